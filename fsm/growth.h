/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New groups for the legs of a volume that is there: for it to grow, or for its snapshots. */
#ifndef DNVME_FSM_GROWTH_H
#define DNVME_FSM_GROWTH_H

#include "fsm/volume.h"

/* Whether these groups, one list for each leg, are of the volume's shape, and with those that there are have room for a
 * thin device of growth->size_bytes and `extra_bytes` more, with metadata that dm-thin can address. INVALID_ARGUMENT
 * when not. */
int growth_check(const struct volume *volume, const struct place_growth_list *legs, uint64_t extra_bytes,
		 uint64_t extent_bytes, struct error *error);

/* Make them, as groups that are not part of their legs yet. The caller stores the volume. CONFLICT when the placement
 * is stale. */
int growth_apply(struct transition *transition, struct volume *volume, const struct place_growth_list *legs,
		 struct error *error);

/* Whether the groups that are part of the legs have room for the volume, its snapshots, and what is still to be
 * deleted of others. */
int growth_room(const struct volume *volume, uint64_t extent_bytes, bool *ret_room, struct error *error);

#endif
