/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controllers of an online volume that hold no slot: standbys come and go, retired ones are dropped once their node has
 * nothing of the volume left.
 *
 * How many there are to be, volume.set changes: the one that is of least use goes first, and never a holder.
 *
 * A standby on a bad node goes only after another one took its place. A new one waits until the slots have served for a
 * while: making it costs the same nodes and the same host time that others, of the same failure, still need to fail
 * over. Only a slot that has no successor does not wait. For the same reason a retired controller stays while a slot
 * moves: to drop it is another revision, which every node of the move would have to take in and confirm before it ends.
 */
#ifndef DNVME_SRC_LEADER_STANDBYS_H
#define DNVME_SRC_LEADER_STANDBYS_H

#include "src/leader/online.h"

#define STANDBYS_OFFLINE_MS 30000u /* then a standby's node is not waited for any more */
#define STANDBYS_CALM_MS 3000u	   /* since the last slot began to serve */
#define STANDBYS_DROP_MS 3000u	   /* a slot that is in one phase for so long keeps no retired controller */

int standbys_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error);

#endif
