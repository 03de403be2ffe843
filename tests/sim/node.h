/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Simulated storage nodes: dnvme-agent as it is shipped, over kernels that see each other through the network. */
#ifndef DNVME_TESTS_SIM_NODE_H
#define DNVME_TESTS_SIM_NODE_H

#include "agent/backend/sim/sim.h"
#include "tests/sim/world.h"

#define NODES_MAX 16
#define NODE_PORT 5000

struct options;

struct storage {
	struct machine *machine;
	struct process *process; /* NULL: its agent does not run */
	struct kernel *kernel;
	struct kernel_operations operations;
	struct options *options;
	char name[16], address[24];
	bool storage_only;
	unsigned disks;
	enum kernel_sim_cache cache; /* of its disks */
	bool switch_fails;	     /* now and then one is on again after a boot, and stays on */
};

extern struct storage nodes[NODES_MAX];
extern size_t node_count;

struct storage *node_make(const char *name, bool storage_only, unsigned disks, const char *servers[], size_t count);
void node_start(struct storage *node);
/* kill -9 of the agent; its kernel goes on. */
void node_kill(struct storage *node);
void node_power_cut(struct storage *node);
void node_power_on(struct storage *node);
struct storage *node_by_address(const char *address);
struct storage *node_by_kernel(const struct kernel *kernel);

/* The paths between kernels. */
void fabric_begin(void);
/* From the moment on kernels are told "no such subsystem" they give up for ever (Linux from 6.10 on). */
void fabric_gives_up(bool gives_up);

/* Run something with a machine's clock. */
void node_enter(struct storage *node);
void node_leave(void);

#endif
