/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far each desired object is: a pure function of what was observed, planned and tried. */
#ifndef DNVME_AGENT_STATUS_H
#define DNVME_AGENT_STATUS_H

#include "agent/plan.h"

/* A lane as the reconciler knows it. */
struct status_lane {
	const char *lane;
	const char *failure; /* of its last attempt; NULL when that succeeded or there was none */
	const char *stuck;   /* the call that does not return; NULL */
	const char *step;    /* how far its present step came; NULL when that says nothing */
	bool busy;
	struct owner owner;
};

struct status_lane_list {
	size_t count;
	struct status_lane *items;
};

/* One entry for each object of `desired`, removed ones included. Text lives in `arena`. */
int status_make(const struct desired *desired, const struct observed *observed, const struct plan *plan,
		const struct status_lane_list *lanes, struct arena *arena, struct object_status_list *ret_statuses,
		struct error *error);

#endif
