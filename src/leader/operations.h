/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a job that somebody asked for waits for, or the command that takes it on. Pure: the records and what the leader
 * knows come in as values.
 *
 *   EXPORTING ──► FORMATTING ──► JOINING ──► RESIZING ──► OVER
 *      exports made   holders have    holders have   every controller that
 *                     formatted them  larger legs    is online has the size
 *
 * A snapshot goes on from JOINING as snapshots.h says.
 *
 *   PREPARING ──► MOVING ──► OVER      a slot that moves: slots.h makes the move, and says when it may begin
 *
 *   UNDOING ──► RELEASING ──► OVER
 *      holders that are online let go    their LDs are gone
 *
 * Going on waits for every slot to be served: what a holder confirms that is about to be another one is worth nothing.
 * Undoing does not wait for an offline node, except that extents return only when the Disk Node itself confirmed that
 * the LD is gone.
 */
#ifndef DNVME_SRC_LEADER_OPERATIONS_H
#define DNVME_SRC_LEADER_OPERATIONS_H

#include "src/leader/online.h"

/* The volume without groups that are not part of their legs, in `arena`: what slots, members and standbys go by, so
 * that nothing that a job makes keeps a volume from being served. INTERNAL when memory is exhausted. */
int operations_served(const struct volume *volume, struct arena *arena, const struct volume **ret_served,
		      struct error *error);

/* One step of the job that works on view->whole. */
int operations_step(const struct online_view *view, const struct operation *operation, struct arena *arena,
		    struct online_step *step, struct error *error);

#endif
