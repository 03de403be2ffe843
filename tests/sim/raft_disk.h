/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raft's disks, which outlive processes and power. */
#ifndef DNVME_TESTS_SIM_RAFT_DISK_H
#define DNVME_TESTS_SIM_RAFT_DISK_H

#include "tests/sim/world.h"

/* How many log entries are durable on that machine. */
uint64_t raft_disk_last_index(const struct machine *machine);

/* A process that may be a server died. */
void raft_disk_process_lost(struct process *process);

#endif
