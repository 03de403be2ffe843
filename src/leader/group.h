/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the leader does next so that the Raft group becomes what is wanted. Pure, and derived from what is wanted, what
 * Raft's configuration is, and who answers: whoever leads goes on where the last one stopped.
 *
 * A server joins as
 *
 *   (wanted) ──► told ──► spare ──► standby ──► voter
 *                                      ▲          │   dead for long, while another one stands by; or one too many
 *                                      └──────────┘
 *
 * and leaves from any of them. Votes are odd in number, at most GROUP_VOTERS_MAX: of two servers one votes, until the
 * third has caught up. (When one of three is removed the two that are left both keep their votes: a commit on two disks
 * is worth more than nothing gained.) No step is made after which those that vote and are well are not the majority.
 */
#ifndef DNVME_SRC_LEADER_GROUP_H
#define DNVME_SRC_LEADER_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROUP_VOTERS_MAX 5u

enum group_role { GROUP_OUTSIDE, GROUP_SPARE, GROUP_STANDBY, GROUP_VOTER };

struct group_server {
	uint64_t id;
	bool wanted;
	enum group_role role;
	bool told;	/* it says that it takes part in this group */
	bool alive;	/* it answers */
	bool dead;	/* it has not answered for long */
	bool caught_up; /* its log is nearly the leader's, and on its disk */
};

struct group_view {
	const struct group_server *servers; /* the leader included */
	size_t count;
	uint64_t leader;
	bool changing; /* an earlier change is not committed yet */
};

enum group_action {
	GROUP_NOTHING,
	GROUP_ADD, /* as a spare */
	GROUP_TO_STANDBY,
	GROUP_TO_VOTER,
	GROUP_REMOVE,
	GROUP_TRANSFER, /* leadership to it, as the leader is not wanted */
	GROUP_WAIT	/* there is something to do, but not now: `why` */
};

enum group_why {
	GROUP_WHY_NONE,
	GROUP_WHY_CHANGING, /* a change is on its way */
	GROUP_WHY_TELL,	    /* it does not answer, or refuses */
	GROUP_WHY_CATCH_UP, /* it has not caught up */
	GROUP_WHY_MAJORITY, /* without it those that are well would not be the majority */
	GROUP_WHY_SUCCESSOR /* nobody can take over leadership */
};

struct group_step {
	enum group_action action;
	uint64_t id;
	enum group_why why;
};

struct group_step group_step(const struct group_view *view);

/* Whether those that vote would be led by a majority that is well if this server did not vote. */
bool group_without(const struct group_view *view, uint64_t id);

#endif
