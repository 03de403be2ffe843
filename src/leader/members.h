/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of the groups of an online volume: which one is given up, rebuilt, in sync again, replaced, freed.
 *
 *   IN_SYNC ──► STALE ──► REBUILDING ──► IN_SYNC
 *                 │  ▲          │
 *                 │  └──────────┘
 *                 └──► (leaving; another LD takes its place) ──► freed
 *
 * The last member of a group that the holder can reach is never given up.
 */
#ifndef DNVME_SRC_LEADER_MEMBERS_H
#define DNVME_SRC_LEADER_MEMBERS_H

#include "src/leader/online.h"

#define MEMBERS_PATH_LOST_MS 500u /* a path that is lost for this long is not a hiccup */
#define MEMBERS_CONNECT_MS                                                                                             \
	LIMIT_FENCE_DEADLINE_MS		/* nor is one that did not come up for this long; nobody waits on it */
#define MEMBERS_JOIN_MS 10000u		/* the same of one that is to be rebuilt, before it is part of its group */
#define MEMBERS_SETTLE_MS 1000u		/* between giving a member up and rebuilding it */
#define MEMBERS_SETTLE_MEDIUM_MS 10000u /* the same after an error of its disk */
#define MEMBERS_REBUILDS 4u		/* at once at one holder */
/* One that is to come back by bitmap and is not in its group after this time, though its path is well and nobody else
 * is being copied: the group cannot tell what it missed. All of it is copied then. */
#define MEMBERS_RESYNC_MS 20000u
/* One that is copied, and does not come further for this long, does not end: mostly as what it is copied from cannot be
 * read, where md stops for good. It begins anew. The kernel tells how far it is each few minutes at least. */
#define MEMBERS_STALLED_MS (30u * 60 * 1000)

/* Of the group of a slot that serves: whether a copy in sync is well beyond doubt, `but` (NULL: none) aside; whether
 * all of them are. */
bool members_any_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *but);
bool members_all_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *but);

/* The same of one: it is in sync, its node is online, and nothing speaks against it. */
bool members_is_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld);

/* Whether the holder, too, knows that the member was given up, and has nothing of it any more. */
bool members_is_dropped(const struct online_view *view, size_t slot, const struct ld *ld);

int members_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error);

#endif
