/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Desired states of one volume on a few nodes, and an agent's loop without threads: observe, plan, execute, again.
 */
#ifndef DNVME_TESTS_UNIT_TEST_AGENT_RIG_H
#define DNVME_TESTS_UNIT_TEST_AGENT_RIG_H

#include <stdbool.h>

#include "agent/backend/sim/sim.h"
#include "agent/plan.h"

#define RIG_CLUSTER "k3v9"
#define RIG_LEG_PORT 20001
#define RIG_HOST "nqn.2014-08.org.nvmexpress:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"

/* A volume as a leader would have placed it. Leg l belongs to controller l / legs; its copy c lies on disk
 * (l + c) % disks + 1; node dnN holds disk dN, node cnN the controller of slot N - 1, and those behind are standbys. */
struct rig_volume {
	unsigned controllers, legs, copies, groups, disks;
	uint64_t leg_bytes;
	bool format; /* of every leg */
	bool thick, strict;
	bool legs_wanted, top_wanted;
	unsigned host_count; /* RIG_HOST, and others made from it */
	/* Slot 0 was moved from cn1 to this controller and has epoch 2; its exports to cn1 are parked, cn1 is shut out
	 * as a consumer. 0: it was not. */
	unsigned moved_to;
	bool formatted;	     /* LDs have labels */
	bool may_not_serve;  /* the new holder is a standby still */
	bool address_is_old; /* legs of slot 0 are still imported from cn1 */
	unsigned stale_ld;   /* a member that was given up; 0: none */
};

/* The smallest that has everything: 2 controllers with 2 legs each, 2 copies. */
struct rig_volume rig_volume_default(void);

/* What node cn<number> (dn<number>) is told. Everything lives in `arena`. */
struct desired rig_desired_controller(struct arena *arena, const struct rig_volume *volume, unsigned number);
struct desired rig_desired_disk(struct arena *arena, const struct rig_volume *volume, unsigned number);
/* The node without any object. */
struct desired rig_desired_nothing(struct arena *arena, const char *node);

/* An agent: what it read of labels is all that it remembers. */
struct rig_agent {
	struct kernel *kernel;
	struct arena arena;
	struct observed_label_list labels;
	struct buffer log;  /* every plan as text, waves divided by lines "--" */
	struct error error; /* of the last wave's first failure */
	bool power_lost;    /* end a wave at its first failure, whatever the lane */
};

/* Observe and plan. The plan lives in `arena`. */
struct plan rig_plan(struct rig_agent *agent, const struct desired *desired, struct arena *arena);

/* One wave: plan, log, execute. Returns how many actions were planned. Each lane ends at its first failure. */
size_t rig_wave(struct rig_agent *agent, const struct desired *desired);

/* Waves until the plan is empty; fails the test after too many, or when a wave fails. */
void rig_converge(struct rig_agent *agent, const struct desired *desired);

/* Forget what was read, as a new process has. */
void rig_agent_restart(struct rig_agent *agent);
void rig_agent_free(struct rig_agent *agent);

/* The log since the last call, in `arena`. */
const char *rig_log_take(struct rig_agent *agent, struct arena *arena);

/* The plan as text, to be freed with free(). */
char *rig_plan_text(struct rig_agent *agent, const struct desired *desired);

/* Compare with the file in the folder of golden texts; with DNVME_UPDATE_GOLDEN set, write it. */
void rig_golden(const char *name, const char *text);

#endif
