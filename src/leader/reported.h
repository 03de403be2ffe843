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

/* What a node said last of what stands below its controller of a volume. */
struct reported_health {
	uint64_t received_ms; /* the leader's boot clock */
	uint64_t revision;    /* desired revision that had been acted on */
	uint64_t lapsed;      /* epoch of the slot in which its gate was shut; 0 */
	struct member_status_list members;
	struct peer_status_list peers;
	const struct pause_status *pause; /* NULL: it says nothing of one */
	uint64_t *rates;		  /* bytes a second of late, of each member that is rebuilt */
	uint64_t *moved_ms; /* the leader's boot clock: when each member that is rebuilt came further last */
};

/* The volume that an object belongs to ("v2", "d1.v2.s0", "v2.s0.nodeb"), 0 when it belongs to none. */
uint64_t reported_volume_of(enum object_kind kind, const char *id);

/* Remember a status (copied). INVALID_ARGUMENT when the id is not one of its kind; TOO_LARGE when a volume or disk has
 * more objects on a node than there can be; INTERNAL when memory is exhausted. */
int reported_update(struct reported *reported, const struct object_status *status, struct error *error);

/* What was reported last, borrowed until the next change; NULL when nothing was. */
const struct object_status *reported_get(const struct reported *reported, enum object_kind kind, const char *id);

/* Take over what stands below a controller (copied), in place of what was reported of that volume before. INTERNAL when
 * memory is exhausted: the old one stays. */
int reported_health_update(struct reported *reported, const struct volume_health *health, uint64_t now_ms,
			   struct error *error);

/* Borrowed until the next change; NULL when nothing was reported. */
const struct reported_health *reported_health_get(const struct reported *reported, uint64_t volume);

/* What the controller says of a member in this epoch, NULL when nothing. *ret_index (may be NULL): its place. */
const struct member_status *reported_member(const struct reported_health *health, uint64_t ld, uint64_t epoch,
					    size_t *ret_index);

/* Append copies of everything that is not as desired to `list`, at most LIMIT_LIST_PAGE: of one volume, or all
 * (`volume` 0). INTERNAL when memory is exhausted. */
int reported_problems(const struct reported *reported, uint64_t volume, struct arena *arena,
		      struct object_status_list *list, struct error *error);

/* Forget a volume, or everything. */
void reported_forget(struct reported *reported, uint64_t volume);
void reported_clear(struct reported *reported);

#endif
