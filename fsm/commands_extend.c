/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command volume.extend, and what the phases of the job do to the volume.
 *
 *   exporting    each leg has new groups at the end of its list, which are not part of it
 *   formatting   the same; their holders are told of them
 *   joining      they are part of their legs, which have their new size; the volume has its old one
 *   resizing     the volume has its new size
 *   undoing      the new groups are not part of their legs, and their holders let go of them
 *   releasing    their LDs leave, as those that were replaced do
 */
#include <inttypes.h>

#include "fsm/growth.h"
#include "fsm/operation.h"
#include "fsm/policy/placement.h"
#include "lib/model/layout.h"

/* --- what is wrong whatever the state ------------------------------------------------------------------------- */

static int size_check(const struct command_volume_extend *command, const struct volume *volume, struct error *error)
{
	uint64_t leg_bytes, volume_bytes;
	int result;

	if (command->size_bytes <= volume->size_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "volume \"%s\" has %" PRIu64 " bytes; it can only grow, not to %" PRIu64, volume->name,
				 volume->size_bytes, command->size_bytes);
	result = layout_leg_bytes(command->size_bytes, volume->legs.count, volume->stripe_bytes, &leg_bytes,
				  &volume_bytes, error);
	if (result != 0)
		return result;
	if (volume_bytes != command->size_bytes || command->legs.count != volume->legs.count)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "a size of %" PRIu64 " bytes, for %zu legs, is not a whole number of stripes over %zu",
				 command->size_bytes, command->legs.count, volume->legs.count);
	for (size_t i = 0; i < command->legs.count; i++) {
		if (command->legs.items[i].size_bytes != leg_bytes)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "leg %zu is to have %" PRIu64 " bytes, not %" PRIu64, i,
					 command->legs.items[i].size_bytes, leg_bytes);
	}
	return 0;
}

/* --- the command ------------------------------------------------------------------------------------------------ */

int command_volume_extend_apply(struct transition *transition, const struct command_volume_extend *command,
				struct error *error)
{
	struct state *state = &transition->state;
	struct operation_extend extend = { .size_bytes = command->size_bytes, .from_bytes = command->from_bytes };
	struct operation operation = { .kind = JOB_KIND_EXTEND,
				       .phase = OPERATION_PHASE_EXPORTING,
				       .deadline_ms = command->deadline_ms,
				       .extend = &extend };
	struct cluster cluster;
	struct volume volume;
	int result = state_cluster(state, &cluster, error);

	if (result == 0)
		result = operation_begin(transition, command->id, &operation, &volume, error);
	if (result != 0)
		return result;
	if (volume.size_bytes != command->from_bytes)
		return error_set(error, ERROR_CONFLICT, "volume \"%s\" has %" PRIu64 " bytes by now, not %" PRIu64,
				 volume.name, volume.size_bytes, command->from_bytes);
	result = size_check(command, &volume, error);
	if (result == 0)
		result = growth_check(&volume, &command->legs, placement_snapshot_bytes(&volume), cluster.extent_bytes,
				      error);
	if (result == 0)
		result = growth_apply(transition, &volume, &command->legs, error);
	if (result == 0)
		result = transition_id(transition, "j", operation.id, error);
	if (result == 0)
		result = operation_store(transition, &operation, error);
	return result == 0 ? volume_store(transition, &volume, error) : result;
}

/* --- phases --------------------------------------------------------------------------------------------------------
 */

void extend_groups_set(struct volume *volume, enum group_state state)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			if (volume->legs.items[l].groups.items[g].state != 0)
				volume->legs.items[l].groups.items[g].state = state;
		}
	}
}

static int group_release(struct transition *transition, struct volume *volume, const struct leg *leg,
			 const struct group *group, uint64_t operation, struct error *error)
{
	for (size_t m = 0; m < group->members.count; m++) {
		struct ld *ld;

		if (group->members.items[m].state == LD_STATE_FREED)
			continue; /* it went with its node */
		ld = arena_memdup(transition->state.arena, &group->members.items[m], sizeof(*ld));
		if (ld == NULL)
			return state_nomem(&transition->state, error);
		volume_ld_stale(ld, STALE_REASON_UNUSED, transition->time_ms);
		ld->whole = ld->resync = false;
		volume->leaving.items[volume->leaving.count++] =
			(struct leaving_ld){ .slot = leg->slot, .ld = ld, .operation = operation };
	}
	return 0;
}

/* The groups that are not part of a leg are its last ones: how many come before. */
static size_t groups_joined(const struct leg *leg)
{
	size_t count = 0;

	while (count < leg->groups.count && leg->groups.items[count].state == 0)
		count++;
	return count;
}

static size_t lds_count(const struct volume *volume)
{
	size_t count = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = groups_joined(leg); g < leg->groups.count; g++)
			count += leg->groups.items[g].members.count;
	}
	return count;
}

int extend_groups_release(struct transition *transition, struct volume *volume, uint64_t operation, struct error *error)
{
	struct arena *arena = transition->state.arena;
	struct leaving_ld *items = arena_alloc_array(arena, volume->leaving.count + lds_count(volume), sizeof(*items));
	int result = 0;

	if (items == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < volume->leaving.count; i++)
		items[i] = volume->leaving.items[i];
	volume->leaving.items = items;
	for (size_t l = 0; l < volume->legs.count; l++) {
		struct leg *leg = &volume->legs.items[l];
		size_t kept = groups_joined(leg);

		for (size_t g = kept; result == 0 && g < leg->groups.count; g++)
			result = group_release(transition, volume, leg, &leg->groups.items[g], operation, error);
		leg->groups.count = kept;
	}
	return result;
}

int extend_groups_join(struct volume *volume, struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			if (group_in_sync_count(&leg->groups.items[g]) == 0)
				return error_set(error, ERROR_CONFLICT, "new group %zu of leg %zu lost its LDs", g, l);
		}
	}
	extend_groups_set(volume, 0);
	return 0;
}

static int join(struct transition *transition, struct volume *volume, const struct operation *operation,
		struct error *error)
{
	uint64_t leg_bytes, volume_bytes;
	int result = layout_leg_bytes(operation->extend->size_bytes, volume->legs.count, volume->stripe_bytes,
				      &leg_bytes, &volume_bytes, error);

	if (result != 0) {
		transition->state.broken = true; /* it was checked when the job began */
		return result;
	}
	result = extend_groups_join(volume, error);
	for (size_t l = 0; result == 0 && l < volume->legs.count; l++)
		volume->legs.items[l].size_bytes = leg_bytes;
	return result;
}

int extend_released_check(const struct volume *volume, const struct operation *operation, struct error *error)
{
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (volume->leaving.items[i].operation == operation->id)
			return error_set(error, ERROR_CONFLICT,
					 "ld%" PRIu64 " of job j%" PRIu64 " is still on its disk",
					 volume->leaving.items[i].ld->id, operation->id);
	}
	return 0;
}

int extend_advance(struct transition *transition, struct volume *volume, const struct operation *operation,
		   enum operation_phase to, struct error *error)
{
	switch (to) {
	case OPERATION_PHASE_FORMATTING:
		extend_groups_set(volume, GROUP_STATE_FORMATTING);
		return 0;
	case OPERATION_PHASE_JOINING:
		return join(transition, volume, operation, error);
	case OPERATION_PHASE_RESIZING:
		volume->size_bytes = operation->extend->size_bytes;
		volume->grown_ms = transition->time_ms;
		return 0;
	case OPERATION_PHASE_RELEASING:
		return extend_groups_release(transition, volume, operation->id, error);
	case OPERATION_PHASE_OVER:
		return extend_released_check(volume, operation, error);
	default:
		return 0;
	}
}
