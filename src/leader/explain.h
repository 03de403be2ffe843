/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a volume is, why, and what will become of it, for people who ask (volume.explain). Pure, and no policy of its
 * own: what will happen is what the rules say that they wait for and will do (online_foresee, volumes_step, the job's
 * step), and where placement would put what they ask for.
 */
#ifndef DNVME_SRC_LEADER_EXPLAIN_H
#define DNVME_SRC_LEADER_EXPLAIN_H

#include "fsm/policy/placement.h"
#include "src/leader/online.h"
#include "src/leader/volumes.h"

struct explain_input {
	const struct online_view *view; /* of a volume in any phase */
	/* Online, and not held: what the rules say of this very view. Else NULL. */
	const struct online_step *step;
	const struct online_outlook *outlook;
	const struct volumes_step *phase_step;	/* not online, and not held; else NULL */
	const struct placement_view *placement; /* NULL when explain_needs_placement() says no */
	const struct operation *operation;	/* the job that works on it; NULL: none */
	const char *operation_waits_for;	/* or what is to be deleted of old snapshots; NULL: for nothing */
	struct event_list events;		/* what happened to it last, oldest first */
};

/* Whether the rules ask for another disk or node, now or when some time is over. */
bool explain_needs_placement(const struct online_step *step, const struct online_outlook *outlook);

/* Everything in `ret_explanation` lives in `arena`, or is the input's. It fits into a client's frame. INTERNAL when
 * memory is exhausted. */
int explain_volume(const struct explain_input *input, struct arena *arena, struct volume_explanation *ret_explanation,
		   struct error *error);

#endif
