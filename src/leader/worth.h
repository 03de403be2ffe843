/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the members in sync of a group are worth after a fence, whatever the old holder could not tell any more. Pure.
 */
#ifndef DNVME_SRC_LEADER_WORTH_H
#define DNVME_SRC_LEADER_WORTH_H

#include "src/leader/online.h"

enum worth {		     /* ascending */
	     WORTH_UNFENCED, /* it has everything, but it is not there yet */
	     WORTH_ERRORS,   /* it returned errors: its group may have dropped it at once, and gone on without it */
	     WORTH_DOUBTFUL, /* it may lack what its disk's cache had when its node lost power */
	     WORTH_SOUND,
};

/* Of a member that is in sync. A group of one drops nothing. */
enum worth worth_of(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld);

/* Whether there are members to assemble now, and of which worth: a sound one; or, when all are doubtful, these. If not,
 * one that is fenced is worth something by force only: of a doubtful one and one that returned errors each may have
 * what the other one lacks. */
bool worth_best(const struct online_view *view, size_t slot, const struct group *group, enum worth *ret_best);

#endif
