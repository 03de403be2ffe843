/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a job may begin on a volume, as far as the volume and the agents of its nodes go. */
#ifndef DNVME_SRC_ABLE_H
#define DNVME_SRC_ABLE_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct dnvmed;

/* What a job does to its volume, in words of errors, and what the agents of its controllers have to know for that. */
struct able {
	const char *verb;   /* "extend" */
	const char *cannot; /* "make volumes larger that are in use" */
	bool (*knows)(const struct node *node);
};

/* FAILED_PRECONDITION: it is not online, or another job works on it. Before placement, which would complain of what
 * does not matter then. */
int able_volume_check(const struct volume *volume, struct error *error);

/* UNSUPPORTED: the agent of a controller, a standby included, is too old. */
int able_controllers_check(struct dnvmed *dnvmed, const struct able *able, const struct volume *volume,
			   struct arena *arena, struct error *error);

/* The same of the Disk Nodes on which new groups are placed: what labels say that grew has to survive a fence. */
int able_disks_check(struct dnvmed *dnvmed, const struct able *able, const struct volume *volume,
		     const struct place_growth_list *legs, struct arena *arena, struct error *error);

#endif
