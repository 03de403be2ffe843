/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What placement looks at: all nodes and disks as they are, and what the leader believes of the nodes. */
#ifndef DNVME_SRC_VIEW_H
#define DNVME_SRC_VIEW_H

#include "fsm/policy/placement.h"
#include "lib/base/arena.h"
#include "lib/base/error.h"

struct dnvmed;

/* Everything in `view` lives in `arena`. */
int view_fill(struct dnvmed *dnvmed, struct arena *arena, struct placement_view *view, struct error *error);

#endif
