/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a volume grows by, itself or for its snapshots. */
#include <inttypes.h>

#include "fsm/policy/placement.h"
#include "fsm/policy/placement_internal.h"
#include "lib/model/layout.h"

static uint64_t ld_bytes(const struct plan *plan, const struct leg *leg, const struct group *group)
{
	return (group->extents != 0 ? group->extents : leg->group_extents) * plan->view->extent_bytes;
}

/* What dm-thin has room for must do for what is there and what comes. */
static int growth_check(const struct plan *plan, const struct leg *leg, const struct place_leg *place,
			struct layout_room room, struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < place->groups.count; i++)
		result = layout_room_add(&room, place->group_extents * plan->view->extent_bytes, error);
	if (result == 0 && place->groups.count + leg->groups.count > LIMIT_GROUPS_PER_LEG)
		result = error_set(error, ERROR_INVALID_ARGUMENT, "a leg has at most %u groups, and has %zu",
				   LIMIT_GROUPS_PER_LEG, leg->groups.count);
	return result == 0 ? 0 : placement_prefix(plan, result, error);
}

uint64_t placement_snapshot_bytes(const struct volume *volume)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < volume->snapshots.count; i++) {
		if (__builtin_add_overflow(bytes, volume->snapshots.items[i].leg_bytes, &bytes))
			return UINT64_MAX;
	}
	return bytes;
}

/* `room_bytes`: what its pool is to hold. */
static int leg_extend(struct plan *plan, const struct leg *leg, size_t index, uint64_t leg_bytes, uint64_t room_bytes,
		      struct place_growth *ret_growth, struct error *error)
{
	struct layout_room room = { .block_bytes = plan->block_bytes };
	struct place_leg place = { 0 };
	int result = 0;

	for (size_t g = 0; result == 0 && g < leg->groups.count; g++)
		result = layout_room_add(&room, ld_bytes(plan, leg, &leg->groups.items[g]), error);
	if (result != 0)
		return placement_prefix(plan, result, error);
	*ret_growth = (struct place_growth){ .size_bytes = leg_bytes };
	if (room.data_bytes >= room_bytes)
		return 0;
	if (leg->groups.count >= LIMIT_GROUPS_PER_LEG) {
		error_set(error, ERROR_INVALID_ARGUMENT, "leg %zu has %zu groups, the most that there can be", index,
			  leg->groups.count);
		return placement_prefix(plan, ERROR_INVALID_ARGUMENT, error);
	}
	plan->leg_bytes = room_bytes - room.data_bytes;
	plan->groups_max = LIMIT_GROUPS_PER_LEG - leg->groups.count;
	result = placement_leg_choose(plan, index, &place, error);
	if (result == 0)
		result = growth_check(plan, leg, &place, room, error);
	if (result != 0)
		return result;
	ret_growth->group_extents = place.group_extents;
	ret_growth->groups = place.groups;
	return 0;
}

/* Groups for all legs, so that each pool has room for a thin device of this size, the snapshots, and `extra_bytes`
 * more. */
static int legs_extend(struct plan *plan, const struct volume *volume, uint64_t leg_bytes, uint64_t extra_bytes,
		       const char *hint, struct place_growth_list *ret_legs, struct error *error)
{
	struct place_growth_list legs = { 0 };
	uint64_t room_bytes;
	size_t lds = 0;
	int result = placement_plan_open(plan, error);

	if (result != 0)
		return result;
	if (__builtin_add_overflow(leg_bytes, placement_snapshot_bytes(volume), &room_bytes) ||
	    __builtin_add_overflow(room_bytes, extra_bytes, &room_bytes) || room_bytes > LIMIT_VOLUME_BYTES_MAX) {
		error_set(error, ERROR_INVALID_ARGUMENT,
			  "a leg with its snapshots exceeds the limit of %" PRIu64 " bytes",
			  (uint64_t)LIMIT_VOLUME_BYTES_MAX);
		return placement_prefix(plan, ERROR_INVALID_ARGUMENT, error);
	}
	legs.items = arena_alloc_array(plan->arena, volume->legs.count, sizeof(*legs.items));
	if (legs.items == NULL)
		return error_set_nomem(error);
	for (; legs.count < volume->legs.count; legs.count++) {
		const struct leg *leg = &volume->legs.items[legs.count];

		plan->block_bytes = leg->block_bytes != 0 ? leg->block_bytes : layout_thin_block_bytes(leg->size_bytes);
		result = leg_extend(plan, leg, legs.count, leg_bytes, room_bytes, &legs.items[legs.count], error);
		if (result != 0)
			return result;
		lds += legs.items[legs.count].groups.count * volume->copies;
	}
	if (lds > LIMIT_EXTEND_LDS) {
		error_set(error, ERROR_INVALID_ARGUMENT, "it would grow by %zu LDs at once, the limit is %u", lds,
			  LIMIT_EXTEND_LDS);
		if (hint != NULL)
			error_hint(error, "%s", hint);
		return placement_prefix(plan, ERROR_INVALID_ARGUMENT, error);
	}
	*ret_legs = legs;
	return 0;
}

static struct placement_request request_of(const struct volume *volume, uint64_t size_bytes)
{
	return (struct placement_request){ .name = volume->name,
					   .size_bytes = size_bytes,
					   .copies = volume->copies,
					   .controllers = volume->slots.count,
					   .legs_per_controller = volume->legs_per_controller,
					   .spread = volume->spread,
					   .durability = volume->durability };
}

int placement_extend(const struct placement_view *view, const struct volume *volume, uint64_t size_bytes,
		     struct arena *arena, struct command_volume_extend *ret_command, struct error *error)
{
	const struct placement_request request = request_of(volume, size_bytes);
	struct plan plan = { .request = &request, .view = view, .arena = arena, .what = "extend" };
	struct command_volume_extend command = { .id = volume->id, .from_bytes = volume->size_bytes };
	uint64_t leg_bytes;
	int result;

	if (size_bytes % 4096 != 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "%" PRIu64 " bytes are not a multiple of 4096", size_bytes);
		return placement_prefix(&plan, ERROR_INVALID_ARGUMENT, error);
	}
	result = layout_leg_bytes(size_bytes, volume->legs.count, volume->stripe_bytes, &leg_bytes, &command.size_bytes,
				  error);
	if (result == 0 && command.size_bytes <= volume->size_bytes) {
		result = error_set(error, ERROR_INVALID_ARGUMENT, "it has %" PRIu64 " bytes, and can only grow",
				   volume->size_bytes);
	}
	if (result != 0)
		return placement_prefix(&plan, result, error);
	result = legs_extend(&plan, volume, leg_bytes, 0, "extend it in several steps", &command.legs, error);
	if (result != 0)
		return result;
	*ret_command = command;
	return 0;
}

int placement_snapshot(const struct placement_view *view, const struct volume *volume, struct arena *arena,
		       struct place_growth_list *ret_legs, struct error *error)
{
	const struct placement_request request = request_of(volume, volume->size_bytes);
	struct plan plan = { .request = &request, .view = view, .arena = arena, .what = "snapshot" };
	uint64_t leg_bytes = volume->legs.items[0].size_bytes; /* all are of one size */

	return legs_extend(&plan, volume, leg_bytes, leg_bytes, NULL, ret_legs, error);
}
