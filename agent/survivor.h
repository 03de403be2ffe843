/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is left when a mirror that runs goes on without a member that has everything.
 *
 * That the leader gave the member up is not enough: it may not know yet that the disk of the other one failed a write,
 * so that the group has gone on without that one, or that it lost what its cache held. As long as the group does not go
 * on, nothing is acknowledged without the member, and the leader can take it back (docs/FAILURES.md, "Members").
 */
#ifndef DNVME_AGENT_SURVIVOR_H
#define DNVME_AGENT_SURVIVOR_H

#include "agent/action.h"
#include "agent/group.h"

/* Whether the group has a member in sync; while all of it is made equal after a crash, all are. */
bool survivor_is_in_sync(const struct group_status *status, size_t index);

/* What becomes of a member that was given up. */
struct survivor_verdict {
	bool kept; /* its group has it in sync, and does not go on without it whatever happens, as things are desired */
	bool left; /* its group does not have it any more, or nothing leads to it, and what it could give it has */
};

/* Of a stale member of a group that runs; neither when it cannot be told. */
struct survivor_verdict survivor_judge(const struct observed *observed, const struct target_group *group,
				       const struct group_table *table, const struct group_status *status,
				       size_t index);

/* Those with which the group can go on when the member at `leaving` is dropped, appended to the list. *ret_any: there
 * is one, or the member has nothing that the group would miss. Returns 0 or -1. */
int survivors_find(const struct observed *observed, const struct target_dm *mirror, const struct group_table *table,
		   const struct group_status *status, size_t leaving, struct arena *arena, struct survivor_list *list,
		   bool *ret_any);

/* Make sure that all that was acknowledged is on the media of each, and that its group still has it in sync. */
int survivors_check(const struct survivor_list *list, struct kernel *kernel, struct error *error);

#endif
