/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/growth.h"

#include <inttypes.h>

#include "fsm/policy/placement.h"
#include "lib/model/layout.h"

static int counts_check(const struct place_growth *growth, const struct volume *volume, size_t index, size_t *lds,
			struct error *error)
{
	if (growth->groups.count + volume->legs.items[index].groups.count > LIMIT_GROUPS_PER_LEG)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "leg %zu of volume \"%s\" would have %zu groups, the limit is %u", index, volume->name,
				 growth->groups.count + volume->legs.items[index].groups.count, LIMIT_GROUPS_PER_LEG);
	for (size_t i = 0; i < growth->groups.count; i++) {
		if (growth->groups.items[i].members.count != volume->copies)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "new group %zu of leg %zu has %zu members, not %" PRIu64, i, index,
					 growth->groups.items[i].members.count, volume->copies);
		*lds += growth->groups.items[i].members.count;
	}
	if (*lds > LIMIT_EXTEND_LDS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "volume \"%s\" would grow by more than %u LDs at once",
				 volume->name, LIMIT_EXTEND_LDS);
	return 0;
}

/* What the groups hold that are part of the leg. */
static int leg_room(const struct leg *leg, uint64_t extent_bytes, struct layout_room *ret_room, struct error *error)
{
	struct layout_room room = { .block_bytes = leg_block_bytes(leg) };
	int result = 0;

	for (size_t g = 0; result == 0 && g < leg->groups.count; g++) {
		if (leg->groups.items[g].state == 0)
			result =
				layout_room_add(&room, group_extents(leg, &leg->groups.items[g]) * extent_bytes, error);
	}
	*ret_room = room;
	return result;
}

static bool has_room(const struct layout_room *room, uint64_t bytes, uint64_t extra_bytes)
{
	return room->data_bytes >= bytes && room->data_bytes - bytes >= extra_bytes;
}

static int room_check(const struct place_growth *growth, const struct leg *leg, size_t index, uint64_t extra_bytes,
		      uint64_t extent_bytes, struct error *error)
{
	struct layout_room room;
	int result;

	if (growth->groups.count > 0 &&
	    (growth->group_extents == 0 || growth->group_extents > LIMIT_DISK_BYTES_MAX / extent_bytes))
		return error_set(error, ERROR_INVALID_ARGUMENT, "an LD of %" PRIu64 " extents is out of range",
				 growth->group_extents);
	result = leg_room(leg, extent_bytes, &room, error);
	for (size_t g = 0; result == 0 && g < growth->groups.count; g++)
		result = layout_room_add(&room, growth->group_extents * extent_bytes, error);
	if (result == 0 && !has_room(&room, growth->size_bytes, extra_bytes))
		result = error_set(error, ERROR_INVALID_ARGUMENT,
				   "the groups of leg %zu would hold %" PRIu64 " bytes, not %" PRIu64 " and %" PRIu64
				   " for snapshots",
				   index, room.data_bytes, growth->size_bytes, extra_bytes);
	return result;
}

int growth_check(const struct volume *volume, const struct place_growth_list *legs, uint64_t extra_bytes,
		 uint64_t extent_bytes, struct error *error)
{
	size_t lds = 0;
	int result = 0;

	if (legs->count != volume->legs.count)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%zu legs are placed, volume \"%s\" has %zu",
				 legs->count, volume->name, volume->legs.count);
	for (size_t i = 0; result == 0 && i < legs->count; i++)
		result = counts_check(&legs->items[i], volume, i, &lds, error);
	for (size_t i = 0; result == 0 && i < legs->count; i++)
		result = room_check(&legs->items[i], &volume->legs.items[i], i, extra_bytes, extent_bytes, error);
	return result;
}

static int leg_grow(struct transition *transition, const struct place_growth *growth, struct volume *volume,
		    size_t index, struct error *error)
{
	struct leg *leg = &volume->legs.items[index];
	struct group *groups =
		arena_alloc_array(transition->state.arena, leg->groups.count + growth->groups.count, sizeof(*groups));

	if (groups == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < leg->groups.count; i++)
		groups[i] = leg->groups.items[i];
	leg->groups.items = groups;
	leg->block_bytes = leg_block_bytes(leg);
	for (size_t i = 0; i < growth->groups.count; i++) {
		struct group *group = &groups[leg->groups.count];
		int result = volume_group_make(transition, volume->id, volume->spread, &growth->groups.items[i],
					       growth->group_extents, group, error);

		if (result != 0)
			return result;
		group->state = GROUP_STATE_EXPORTING;
		group->extents = growth->group_extents;
		leg->groups.count++;
	}
	return 0;
}

int growth_apply(struct transition *transition, struct volume *volume, const struct place_growth_list *legs,
		 struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < legs->count; i++)
		result = leg_grow(transition, &legs->items[i], volume, i, error);
	return result;
}

int growth_room(const struct volume *volume, uint64_t extent_bytes, bool *ret_room, struct error *error)
{
	uint64_t extra = placement_snapshot_bytes(volume);

	for (size_t i = 0; i < volume->dropped_thins.count; i++) {
		if (__builtin_add_overflow(extra, volume->dropped_thins.items[i].leg_bytes, &extra))
			extra = UINT64_MAX;
	}
	*ret_room = true;
	for (size_t l = 0; *ret_room && l < volume->legs.count; l++) {
		struct layout_room room;
		int result = leg_room(&volume->legs.items[l], extent_bytes, &room, error);

		if (result != 0)
			return result;
		*ret_room = has_room(&room, volume->legs.items[l].size_bytes, extra);
	}
	return 0;
}
