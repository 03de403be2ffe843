/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serving a slot by force: a group of it has no reachable member that is sure to have everything, and its operator
 * would rather have what another one holds than nothing. That is a stale one, or while the slot is FENCING one that is
 * in sync, but that its group may have dropped, unknown to all (worth.h): it missed less than any stale one.
 *
 * A plan says which member each such group would be served from and what that means; the command does it. Both are made
 * from the same look, so that what is done is what was shown. Pure.
 *
 * What the system cannot know. A holder without a lease goes on serving as long as every member that it knows as in
 * sync answers it. In a move, one fenced member of each group ends that; where a stale one is taken none is. So when it
 * is not known of each earlier holder that it serves nothing, the operator has to say that the given-up members' nodes
 * are off, or else these holders: `off_disks`, `off_holders`.
 */
#ifndef DNVME_SRC_LEADER_FORCE_H
#define DNVME_SRC_LEADER_FORCE_H

#include "src/leader/online.h"

/* What it would mean, in `arena`. NOT_FOUND: no such slot. FAILED_PRECONDITION: it is not needed, or not possible; the
 * sentence, the details and the hint say why. INTERNAL: memory is exhausted. */
int force_plan(const struct online_view *view, uint64_t slot, struct arena *arena, struct volume_force_plan *ret_plan,
	       struct error *error);

/* The command that does it. As force_plan; CONFLICT when the volume is not at the revision that was accepted;
 * FAILED_PRECONDITION when `powered_off` does not name what has to be off. */
int force_command(const struct online_view *view, const struct volume_force_request *request, struct arena *arena,
		  struct command_slot_force *ret_command, struct error *error);

/* Whether the holder, which is online, says that it reads and writes a member: then it is only this leader that does
 * not hear of its node. */
bool force_is_served(const struct online_view *view, size_t slot, const struct ld *ld);

/* Whether it is what could help a group that waits for its members in sync: there is another one that could be served.
 */
bool force_may_help(const struct online_view *view, size_t slot, const struct group *group);

#endif
