/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of a slot that is FENCING: which ones are waited for, and which ones are given up.
 *
 * What is assembled must have everything that was acknowledged. Raft says who is in sync, but the old holder's group
 * may have dropped one at an error of its disk and gone on without it, and the holder died before it could tell. The
 * Disk Nodes know who returned errors, and say so with their confirmation.
 */
#ifndef DNVME_SRC_LEADER_FENCED_H
#define DNVME_SRC_LEADER_FENCED_H

#include "src/leader/online.h"

/* *ret_fenced becomes false while there is a member to wait for or to give up. */
int fenced_step(const struct online_view *view, size_t slot, struct arena *arena, struct online_step *step,
		bool *ret_fenced, struct error *error);

#endif
