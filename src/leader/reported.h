/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one agent reported, in the leader's memory: the status of each object, grouped by the disk or volume that it
 * belongs to. Gone with the leader; the next one asks again.
 */
#ifndef DNVME_SRC_LEADER_REPORTED_H
#define DNVME_SRC_LEADER_REPORTED_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "src/table.h"

struct reported {
	struct table groups;
};

#define REPORTED_INIT                                                                                                  \
	{                                                                                                              \
		TABLE_INIT                                                                                             \
	}

/* The volume that an object belongs to ("v2", "d1.v2.s0"), 0 when it belongs to none. */
uint64_t reported_volume_of(enum object_kind kind, const char *id);

/* Remember a status (copied). INVALID_ARGUMENT when the id is not one of its kind; TOO_LARGE when a volume or disk has
 * more objects on a node than there can be; INTERNAL when memory is exhausted. */
int reported_update(struct reported *reported, const struct object_status *status, struct error *error);

/* What was reported last, borrowed until the next change; NULL when nothing was. */
const struct object_status *reported_get(const struct reported *reported, enum object_kind kind, const char *id);

/* Append copies of everything that is not as desired to `list`, at most LIMIT_LIST_PAGE: of one volume, or all
 * (`volume` 0). INTERNAL when memory is exhausted. */
int reported_problems(const struct reported *reported, uint64_t volume, struct arena *arena,
		      struct object_status_list *list, struct error *error);

/* Forget a volume, or everything. */
void reported_forget(struct reported *reported, uint64_t volume);
void reported_clear(struct reported *reported);

#endif
