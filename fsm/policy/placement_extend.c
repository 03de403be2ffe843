/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a volume grows by. */
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
	return result == 0 ? 0 : placement_prefix(plan, error);
}

static int leg_extend(struct plan *plan, const struct leg *leg, size_t index, uint64_t leg_bytes,
		      struct place_growth *ret_growth, struct error *error)
{
	struct layout_room room = { .block_bytes = plan->block_bytes };
	struct place_leg place = { 0 };
	int result = 0;

	for (size_t g = 0; result == 0 && g < leg->groups.count; g++)
		result = layout_room_add(&room, ld_bytes(plan, leg, &leg->groups.items[g]), error);
	if (result != 0)
		return placement_prefix(plan, error);
	*ret_growth = (struct place_growth){ .size_bytes = leg_bytes };
	if (room.data_bytes >= leg_bytes)
		return 0;
	if (leg->groups.count >= LIMIT_GROUPS_PER_LEG) {
		error_set(error, ERROR_INVALID_ARGUMENT, "leg %zu has %zu groups, the most that there can be", index,
			  leg->groups.count);
		return placement_prefix(plan, error);
	}
	plan->leg_bytes = leg_bytes - room.data_bytes;
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

int placement_extend(const struct placement_view *view, const struct volume *volume, uint64_t size_bytes,
		     struct arena *arena, struct command_volume_extend *ret_command, struct error *error)
{
	const struct placement_request request = { .name = volume->name,
						   .size_bytes = size_bytes,
						   .copies = volume->copies,
						   .controllers = volume->slots.count,
						   .legs_per_controller = volume->legs_per_controller,
						   .spread = volume->spread,
						   .durability = volume->durability };
	struct plan plan = { .request = &request, .view = view, .arena = arena, .what = "extend" };
	struct command_volume_extend command = { .id = volume->id, .from_bytes = volume->size_bytes };
	uint64_t leg_bytes;
	size_t lds = 0;
	int result;

	if (size_bytes % 4096 != 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "%" PRIu64 " bytes are not a multiple of 4096", size_bytes);
		return placement_prefix(&plan, error);
	}
	result = layout_leg_bytes(size_bytes, volume->legs.count, volume->stripe_bytes, &leg_bytes, &command.size_bytes,
				  error);
	if (result == 0 && command.size_bytes <= volume->size_bytes) {
		result = error_set(error, ERROR_INVALID_ARGUMENT, "it has %" PRIu64 " bytes, and can only grow",
				   volume->size_bytes);
	}
	if (result != 0)
		return placement_prefix(&plan, error);
	result = placement_plan_open(&plan, error);
	if (result != 0)
		return result;
	command.legs.items = arena_alloc_array(arena, volume->legs.count, sizeof(*command.legs.items));
	if (command.legs.items == NULL)
		return error_set_nomem(error);
	for (; command.legs.count < volume->legs.count; command.legs.count++) {
		const struct leg *leg = &volume->legs.items[command.legs.count];
		struct place_growth *growth = &command.legs.items[command.legs.count];

		plan.block_bytes = leg->block_bytes != 0 ? leg->block_bytes : layout_thin_block_bytes(leg->size_bytes);
		result = leg_extend(&plan, leg, command.legs.count, leg_bytes, growth, error);
		if (result != 0)
			return result;
		lds += growth->groups.count * volume->copies;
	}
	if (lds > LIMIT_EXTEND_LDS) {
		error_set(error, ERROR_INVALID_ARGUMENT, "it would grow by %zu LDs at once, the limit is %u", lds,
			  LIMIT_EXTEND_LDS);
		error_hint(error, "extend it in several steps");
		return placement_prefix(&plan, error);
	}
	*ret_command = command;
	return 0;
}
