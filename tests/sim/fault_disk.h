/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What befalls disks, of servers and of storage nodes. What caches lose is in media.h. */
#ifndef DNVME_TESTS_SIM_FAULT_DISK_H
#define DNVME_TESTS_SIM_FAULT_DISK_H

#include "tests/sim/world.h"

struct storage;

/* The faults, for fault.c: each chooses its victim and its end. */
void fault_server_disk_slow(uint64_t us);
void fault_server_disk_full(uint64_t us);
void fault_disk_slow(uint64_t us);
void fault_disk_bad(uint64_t us);
void fault_disk_heal(void);

/* Of a server: how much longer a write of its log takes; whether it has no room. */
uint64_t fault_server_delay_us(const struct machine *machine);
bool fault_server_is_full(const struct machine *machine);

/* Of a storage node: how much longer a request to a disk takes, whether it returns an error, and that one does no more
 * because it was written. */
uint64_t fault_disk_delay_us(const struct storage *node);
bool fault_disk_fails(struct storage *node, uint64_t ld, uint64_t disk, uint64_t sector, bool write);
/* 0, or how long a request may take at a disk that does writes to one block in any order (docs/SIMULATION.md). */
uint64_t fault_disk_overtake_us(void);
/* Whether the kernel of the node knows of a write that failed, so that it must not boot before that is in the state:
 * docs/FAILURES.md, "What remains". */
bool fault_disk_owes(const struct storage *node);

#endif
