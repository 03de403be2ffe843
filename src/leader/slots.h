/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which slot of an online volume moves, and which one takes the next phase of its move. docs/FAILURES.md has the
 * phases and why each of them may end.
 *
 *   SERVING ──► FENCING ──► ASSEMBLING ──► EXPORTING ──► SERVING
 *                  ▲            │              │
 *                  └────────────┴──────────────┘  (the holder is lost as well)
 */
#ifndef DNVME_SRC_LEADER_SLOTS_H
#define DNVME_SRC_LEADER_SLOTS_H

#include "src/leader/online.h"

/* All members of a group frozen for this long: the legs are taken down, so that they do not block the whole node. */
#define SLOTS_FROZEN_MS 10000u

int slots_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error);

/* Why a slot should have another holder (FAILOVER, UNREACHED, DRAIN, ASKED), or its holder begin anew (RESTART); 0: it
 * need not. */
enum move_reason slots_move_reason(const struct online_view *view, size_t slot, struct online_step *step);

/* Whether a node is the better one to take a slot over; the best one so far may be NULL. */
bool slots_is_better(const struct online_node *node, const struct online_node *best);

/* The standby that could take a slot over: online, able, least loaded; NULL when there is none. For a failover a node
 * that is cordoned or draining comes last; for a drain it does not count. */
const struct online_node *slots_successor(const struct online_view *view, enum move_reason reason);

/* The node of that name, if it is a standby of the volume; NULL when it is none. */
const struct online_node *slots_standby(const struct online_view *view, const char *name);

/* What a slot that is to move though nothing is wrong (DRAIN, ASKED) waits for; *ret_to: nothing, it can go there now;
 * else NULL. INTERNAL when memory is exhausted. */
int slots_planned_wait(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		       const struct online_node **ret_to, struct error *error);

#endif
