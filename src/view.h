/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What placement looks at: all nodes and disks as they are, and what the leader believes of the nodes. */
#ifndef DNVME_SRC_VIEW_H
#define DNVME_SRC_VIEW_H

#include "fsm/policy/placement.h"
#include "lib/base/arena.h"
#include "lib/base/error.h"

struct dnvmed;

/* Lists and records live in `arena`; texts within the records are borrowed until the state changes, which is not before
 * the loop turns. */
int view_fill(struct dnvmed *dnvmed, struct arena *arena, struct placement_view *view, struct error *error);

/* Placement refused, for the reason in `error`. For want of room while the leader, which has just begun, has not heard
 * of all nodes yet, it is only too early: `error` then says so, as UNAVAILABLE, and the client asks again. Returns its
 * code. */
int view_refused(const struct placement_view *view, struct error *error);

#endif
