/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an attempt to make a snapshot waits for, the command that takes it on, or the one that gives it up.
 *
 *   JOINING ──► PAUSING ──► SNAPPING ──► RESUMING ──► OVER
 *     ▲  holders have  every active    the same, and  every active
 *     │  room, no path controller      every holder   controller
 *     │  is lost       holds           made it        kept it
 *     └─────┴────────────┴──────────────┘  one of them let go, or said nothing for too long
 *
 * docs/ARCHITECTURE.md, "A snapshot", says why what follows is of one moment.
 */
#ifndef DNVME_SRC_LEADER_SNAPSHOTS_H
#define DNVME_SRC_LEADER_SNAPSHOTS_H

#include "src/leader/online.h"

/* One step of a job that is in one of these phases. INTERNAL when memory is exhausted. */
int snapshots_step(const struct online_view *view, const struct operation *operation, struct arena *arena,
		   struct online_step *step, struct error *error);

/* What was dropped is gone from all pools: forget it. */
int snapshots_purge(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error);

#endif
