/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holders of one volume that lost their connections to each other while both live: what waits at one of them may be
 * older than what its hosts wrote through the other one since. Neither gets another connection before it began anew,
 * with what waits there discarded. docs/FAILURES.md, "A stale write".
 */
#ifndef DNVME_SRC_LEADER_PARTED_H
#define DNVME_SRC_LEADER_PARTED_H

#include "src/leader/online.h"

/* Longer than it takes to call a node offline, so that the loss of a dead one is not mistaken for this; and by so much
 * that when one holder noticed it for as long, the other one noticed it as well: a path that fell silent is noticed
 * after 2 to 5 s (keep-alive of LIMIT_IMPORT_KEEP_ALIVE_S), or by the reset that its next packet gets after
 * LIMIT_PEER_SILENCE_MS, and then told. */
#define PARTED_MS 4000u

/* Whether the holder of the slot has to begin anew. While either slot is EXPORTING only one that the other one let in
 * can have lost it: what takes long to connect is waited for, as before. Asks to look again. */
bool parted_is(const struct online_view *view, size_t slot, struct online_step *step);

/* For so long a holder may have been without its path to another slot when that one was fenced. Longer than it takes to
 * fence the slot of a holder that died, counted from when its consumers notice that. */
#define PARTED_STUCK_MS 2000u

/* Whether the holder of the slot has to begin anew before it gets a path to the next holder of another one: what waits
 * there may be old. A host may have left it since, as it says itself; or it lost its path to the last holder so long
 * before the fence that its hosts may have gone on there. Asks to look again; `step` may be NULL. */
bool parted_is_stuck(const struct online_view *view, size_t slot, struct online_step *step);

/* Whether that is known of each holder that the next one of `slot` would let in. Otherwise *ret_may is false and the
 * step says what is waited for. */
int parted_await_words(const struct online_view *view, size_t slot, struct arena *arena, struct online_step *step,
		       bool *ret_may, struct error *error);

/* Who takes a slot whose holder parted: a standby for the one that lost most, which the others can reach then; the
 * others begin anew where they are. */
const char *parted_successor(const struct online_view *view, size_t slot);

/* Whether every pair of holders has its connections, both ways, as far as they told at the volume's revision. */
bool parted_paths_are_there(const struct online_view *view);

/* Whether every pair of holders that the new one of `slot` is part of has its connections, both ways: from then on none
 * of them may be made again. Otherwise *ret_may is false and the step says what is waited for. */
int parted_await_paths(const struct online_view *view, size_t slot, struct arena *arena, struct online_step *step,
		       bool *ret_may, struct error *error);

#endif
