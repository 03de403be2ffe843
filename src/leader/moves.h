/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LDs that move to other disks, since theirs is drained. lib/model/moving.h has what a group looks like meanwhile.
 *
 *   (disk drained) ──► ld_move ──► rebuilt, members.h ──► lds_stale "moved" ──► the holder let go ──► ld_moved
 *
 * One LD of a volume at a time, and only while the volume lacks nothing: what is broken is repaired first. The old copy
 * goes only when every place of its group has another one in sync, which the holder says at the present revision.
 */
#ifndef DNVME_SRC_LEADER_MOVES_H
#define DNVME_SRC_LEADER_MOVES_H

#include "src/leader/online.h"

int moves_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error);

#endif
