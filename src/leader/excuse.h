/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a member failed to read, and its group repaired, is no reason to distrust it for ever.
 *
 *   its Disk Node tells of it ──► ld_drain ──► its holder lets all I/O end that is under way, and then has the member
 *                                              in sync in its group ──► ld_excuse
 *
 * In this order, because only the Disk Node knows of the error and only the holder what became of it: an error that
 * the leader knows of was returned for I/O that began before the leader asked, so when all that has ended the group
 * has dealt with it. It wrote what it read from another copy over it, or it failed the member. Writes that failed are
 * not excused: the group fails a member for them, and what reached it all the same (a label, a retry) cannot be told
 * from what did not.
 */
#ifndef DNVME_SRC_LEADER_EXCUSE_H
#define DNVME_SRC_LEADER_EXCUSE_H

#include "src/leader/online.h"

/* Whether `ld->failed_reads` is about exactly the errors that its Disk Node tells of. */
bool excuse_is_about(const struct online_view *view, const struct ld *ld, const struct ld_errors *errors);

/* Of the members of a slot that serves, with what its holder said last. */
int excuse_step(const struct online_view *view, size_t slot, const struct reported_health *health, struct arena *arena,
		struct online_step *step, struct error *error);

#endif
