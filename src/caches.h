/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What agents tell of the write caches of the cluster's disks becomes part of the replicated state: whether they lose
 * what they hold when power fails decides what becomes of members when a node boots anew.
 *
 * An agent switches them off, and exports nothing of a disk whose cache is on, as long as the state says that it is
 * off. So the state knows of one that stays on before anything is written through it.
 */
#ifndef DNVME_SRC_CACHES_H
#define DNVME_SRC_CACHES_H

struct agent;
struct dnvmed;

/* The agent told of its block devices. */
void caches_told(struct dnvmed *dnvmed, struct agent *agent);

/* From time to time, for each agent: what could not be proposed is proposed again. */
void caches_tick(struct dnvmed *dnvmed, struct agent *agent);

#endif
