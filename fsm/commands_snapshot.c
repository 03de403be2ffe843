/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands on snapshots, and what the phases of the job that makes one do to the volume.
 *
 *   exporting    legs have new groups, for the room that the snapshot needs
 *   formatting   the same; their holders are told of them
 *   joining      they are part of their legs, whose thin devices stay as they are
 *   pausing      controllers hold up what hosts send, under the number of this attempt
 *   snapping     holders make the thin device of that number
 *   resuming     controllers let go, and say whether they held throughout
 *
 * docs/ARCHITECTURE.md, "A snapshot", says why that is one moment. Here it rests on three things: from joining on no
 * phase follows while a slot is not served; a slot that moves ends the attempt in the same command; and no number is
 * given out twice.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/growth.h"
#include "fsm/operation.h"
#include "fsm/policy/placement.h"

struct snapshot *snapshot_taking(const struct volume *volume)
{
	struct snapshot *last =
		volume->snapshots.count > 0 ? &volume->snapshots.items[volume->snapshots.count - 1] : NULL;

	return last != NULL && last->state == SNAPSHOT_STATE_TAKING ? last : NULL;
}

bool snapshot_is_under_way(enum operation_phase phase)
{
	return phase == OPERATION_PHASE_PAUSING || phase == OPERATION_PHASE_SNAPPING ||
	       phase == OPERATION_PHASE_RESUMING;
}

/* It may be left in pools. There is room in the list: one place is kept for the attempt that is under way. */
static int thin_drop(struct transition *transition, struct volume *volume, const struct snapshot *snapshot,
		     struct error *error)
{
	struct dropped_thin_list *dropped = &volume->dropped_thins;
	struct dropped_thin *items = arena_alloc_array(transition->state.arena, dropped->count + 1, sizeof(*items));

	if (items == NULL)
		return state_nomem(&transition->state, error);
	if (dropped->count >= LIMIT_DROPPED_THINS) {
		transition->state.broken = true;
		return error_set(error, ERROR_INTERNAL, "volume v%" PRIu64 " has too many thin devices to delete",
				 volume->id);
	}
	if (dropped->count > 0)
		memcpy(items, dropped->items, dropped->count * sizeof(*items));
	items[dropped->count++] = (struct dropped_thin){ .thin = snapshot->thin, .leg_bytes = snapshot->leg_bytes };
	dropped->items = items;
	return 0;
}

/* What the attempt may have made: before snapping nobody was told to make anything. */
static int attempt_end(struct transition *transition, struct volume *volume, struct snapshot *snapshot,
		       struct error *error)
{
	bool made = snapshot->pause == PAUSE_PHASE_SNAP || snapshot->pause == PAUSE_PHASE_RELEASE;

	snapshot->pause = 0;
	snapshot->moment_ms = 0;
	return made && !volume_is_leaving(volume->phase) ? thin_drop(transition, volume, snapshot, error) : 0;
}

int snapshot_end(struct transition *transition, struct volume *volume, struct error *error)
{
	struct snapshot *snapshot = snapshot_taking(volume);
	int result;

	if (snapshot == NULL)
		return 0;
	result = attempt_end(transition, volume, snapshot, error);
	volume->snapshots.count--;
	return result;
}

static struct operation_error *reason_make(struct transition *transition, enum error_code code, const char *message)
{
	struct operation_error *reason = arena_alloc(transition->state.arena, sizeof(*reason));

	if (reason != NULL)
		*reason = (struct operation_error){ .code = error_code_name(code), .message = message };
	return reason;
}

int snapshot_again(struct transition *transition, struct volume *volume, struct operation *operation,
		   struct operation_error *reason, struct error *error)
{
	struct snapshot *snapshot = snapshot_taking(volume);
	int result = attempt_end(transition, volume, snapshot, error);

	if (reason == NULL)
		reason = reason_make(transition, ERROR_CONFLICT, "a slot of the volume moved meanwhile");
	if (result != 0 || reason == NULL)
		return result != 0 ? result : state_nomem(&transition->state, error);
	operation->snapshot->tries++;
	operation->snapshot->last_error = reason;
	if (volume->last_thin < LIMIT_THINS) {
		snapshot->thin = ++volume->last_thin;
		operation_phase_set(transition, operation, OPERATION_PHASE_JOINING);
		return 0;
	}
	/* Sixteen million of them. */
	operation->error = reason_make(transition, ERROR_TOO_LARGE, "no number is left for another thin device");
	if (operation->error == NULL)
		return state_nomem(&transition->state, error);
	volume->snapshots.count--;
	operation->state = OPERATION_STATE_FAILING;
	operation_phase_set(transition, operation, OPERATION_PHASE_UNDOING);
	return 0;
}

/* --- what is in the way ----------------------------------------------------------------------------------------- */

static int slots_check(const struct volume *volume, struct error *error)
{
	for (size_t i = 0; i < volume->slots.count; i++) {
		const struct slot *slot = &volume->slots.items[i];

		if (slot->phase != SLOT_PHASE_SERVING)
			return error_set(error, ERROR_FAILED_PRECONDITION,
					 "slot %zu of volume \"%s\" is in phase %s: no snapshot is made while it moves",
					 i, volume->name, ENUM_NAME(slot_phase, slot->phase));
	}
	return 0;
}

/* What is copied is slow, and the group is changed when it is done: each attempt would be one at bad luck. */
static int rebuilds_check(const struct volume *volume, struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct group *group = &volume->legs.items[l].groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				if (group->members.items[m].state != LD_STATE_REBUILDING)
					continue;
				error_set(error, ERROR_FAILED_PRECONDITION,
					  "ld%" PRIu64
					  " of volume \"%s\" is being rebuilt: no snapshot is made meanwhile",
					  group->members.items[m].id, volume->name);
				error_hint(error, "dnvme job list shows how far it came");
				return ERROR_FAILED_PRECONDITION;
			}
		}
	}
	return 0;
}

/* What a thick volume promises, it would not keep any longer. */
static int durability_check(const struct command_snapshot_create *command, const struct volume *volume,
			    struct error *error)
{
	if (volume->provision != PROVISION_THICK || volume->durability == DURABILITY_STRICT || command->accept_flush)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "with a snapshot, volume \"%s\" would no longer keep all that it acknowledged: a controller's crash "
		  "may "
		  "undo first writes to shared blocks that were not flushed",
		  volume->name);
	error_hint(error, "make volumes with --durability strict to have both, or accept it: --accept-flush");
	return ERROR_FAILED_PRECONDITION;
}

static int name_check(const struct volume *volume, const char *name, struct error *error)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		if (strcmp(volume->snapshots.items[i].name, name) == 0)
			return error_set(error, ERROR_ALREADY_EXISTS, "volume \"%s\" has a snapshot \"%s\"",
					 volume->name, name);
	}
	if (volume->snapshots.count >= LIMIT_SNAPSHOTS)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" has %u snapshots, the limit",
				 volume->name, LIMIT_SNAPSHOTS);
	if (volume->last_thin >= LIMIT_THINS)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "volume \"%s\" had all %u thin devices that a pool can number", volume->name,
				 LIMIT_THINS);
	return 0;
}

/* --- the commands ----------------------------------------------------------------------------------------------- */

static int snapshot_add(struct transition *transition, struct volume *volume, const char *name, struct error *error)
{
	struct snapshot_list *list = &volume->snapshots;
	struct snapshot *items = arena_alloc_array(transition->state.arena, list->count + 1, sizeof(*items));

	if (items == NULL)
		return state_nomem(&transition->state, error);
	if (list->count > 0)
		memcpy(items, list->items, list->count * sizeof(*items));
	items[list->count++] = (struct snapshot){ .name = name,
						  .state = SNAPSHOT_STATE_TAKING,
						  .thin = ++volume->last_thin,
						  .created_ms = transition->time_ms,
						  .size_bytes = volume->size_bytes,
						  .leg_bytes = volume->legs.items[0].size_bytes };
	list->items = items;
	return 0;
}

static bool has_groups(const struct place_growth_list *legs)
{
	for (size_t i = 0; i < legs->count; i++) {
		if (legs->items[i].groups.count > 0)
			return true;
	}
	return false;
}

int command_snapshot_create_apply(struct transition *transition, const struct command_snapshot_create *command,
				  struct error *error)
{
	struct state *state = &transition->state;
	struct operation_snapshot snapshot = { .name = command->name, .pause_limit_ms = command->pause_limit_ms };
	struct operation operation = { .kind = JOB_KIND_SNAPSHOT,
				       .phase = has_groups(&command->legs) ? OPERATION_PHASE_EXPORTING
									   : OPERATION_PHASE_JOINING,
				       .deadline_ms = command->deadline_ms,
				       .snapshot = &snapshot };
	struct cluster cluster;
	struct volume volume;
	int result = state_cluster(state, &cluster, error);

	if (result == 0)
		result = operation_begin(transition, command->id, &operation, &volume, error);
	if (result == 0)
		result = name_check(&volume, command->name, error);
	if (result == 0)
		result = durability_check(command, &volume, error);
	if (result == 0)
		result = slots_check(&volume, error);
	if (result == 0)
		result = rebuilds_check(&volume, error);
	for (size_t i = 0; result == 0 && i < command->legs.count && i < volume.legs.count; i++) {
		if (command->legs.items[i].size_bytes != volume.legs.items[i].size_bytes)
			result = error_set(error, ERROR_CONFLICT,
					   "leg %zu of volume \"%s\" has %" PRIu64 " bytes by now, not %" PRIu64, i,
					   volume.name, volume.legs.items[i].size_bytes,
					   command->legs.items[i].size_bytes);
	}
	if (result == 0)
		result = snapshot_add(transition, &volume, command->name, error);
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

int command_snapshot_delete_apply(struct transition *transition, const struct command_snapshot_delete *command,
				  struct error *error)
{
	struct snapshot_list *list;
	struct volume volume;
	size_t index = 0;
	int result = state_volume_find(&transition->state, command->volume, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	list = &volume.snapshots;
	while (index < list->count && strcmp(list->items[index].name, command->name) != 0)
		index++;
	if (index == list->count)
		return error_set(error, ERROR_NOT_FOUND, "volume \"%s\" has no snapshot \"%s\"", volume.name,
				 command->name);
	if (list->items[index].state != SNAPSHOT_STATE_TAKEN) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "snapshot \"%s\" of volume \"%s\" is being made by job j%" PRIu64, command->name, volume.name,
			  volume.operation);
		error_hint(error, "run: dnvme job cancel j%" PRIu64, volume.operation);
		return ERROR_FAILED_PRECONDITION;
	}
	if (list->items[index].hosts.count > 0) {
		const struct string_list *hosts = &list->items[index].hosts;

		error_set(error, ERROR_FAILED_PRECONDITION, "snapshot \"%s\" of volume \"%s\" is attached to %s%s",
			  command->name, volume.name, hosts->items[0], hosts->count > 1 ? " and others" : "");
		error_hint(error, "run: dnvme snapshot detach %s %s HOST-NQN", volume.name, command->name);
		return ERROR_FAILED_PRECONDITION;
	}
	/* One place is kept for an attempt that is under way, or begins. */
	if (volume.dropped_thins.count + 1 >= LIMIT_DROPPED_THINS) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "%zu thin devices of volume \"%s\" wait to be deleted, the limit", volume.dropped_thins.count,
			  volume.name);
		error_hint(error, "they go when every slot of the volume is served");
		return ERROR_FAILED_PRECONDITION;
	}
	result = thin_drop(transition, &volume, &list->items[index], error);
	if (result != 0)
		return result;
	memmove(&list->items[index], &list->items[index + 1], (list->count - index - 1) * sizeof(*list->items));
	list->count--;
	return volume_store(transition, &volume, error);
}

int command_thins_purge_apply(struct transition *transition, const struct command_thins_purge *command,
			      struct error *error)
{
	struct volume volume;
	int result = state_volume(&transition->state, command->id, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was confirmed",
				 volume.id, volume.revision, command->revision);
	for (size_t i = 0; i < volume.slots.count; i++) {
		if (volume.slots.items[i].phase != SLOT_PHASE_SERVING)
			return error_set(error, ERROR_CONFLICT,
					 "slot %zu of volume v%" PRIu64 " is not served: nobody deletes anything there",
					 i, volume.id);
	}
	volume.dropped_thins.count = 0;
	return volume_store(transition, &volume, error);
}

/* --- phases ----------------------------------------------------------------------------------------------------- */

static int pause_begin(struct transition *transition, struct volume *volume, const struct operation *operation,
		       struct snapshot *snapshot, struct error *error)
{
	struct cluster cluster;
	bool room = false;
	int result = rebuilds_check(volume, error);

	if (result == 0)
		result = state_cluster(&transition->state, &cluster, error);
	if (result == 0)
		result = growth_room(volume, cluster.extent_bytes, &room, error);
	if (result != 0)
		return result;
	if (!room || volume->dropped_thins.count >= LIMIT_DROPPED_THINS)
		return error_set(error, ERROR_CONFLICT,
				 "the pools of volume \"%s\" have no room before %zu thin devices are deleted",
				 volume->name, volume->dropped_thins.count);
	snapshot->pause = PAUSE_PHASE_HOLD;
	snapshot->pause_limit_ms = operation->snapshot->pause_limit_ms;
	return 0;
}

/* The snapshot is there. */
static void snapshot_take(struct snapshot *snapshot)
{
	snapshot->state = SNAPSHOT_STATE_TAKEN;
	snapshot->pause = 0;
	snapshot->pause_limit_ms = 0;
}

static int attempt_advance(struct transition *transition, struct volume *volume, const struct operation *operation,
			   enum operation_phase to, struct error *error)
{
	struct snapshot *snapshot = snapshot_taking(volume);
	int result = slots_check(volume, error);

	if (result != 0)
		return result;
	switch (to) {
	case OPERATION_PHASE_PAUSING:
		return pause_begin(transition, volume, operation, snapshot, error);
	case OPERATION_PHASE_SNAPPING:
		snapshot->pause = PAUSE_PHASE_SNAP;
		return 0;
	case OPERATION_PHASE_RESUMING:
		snapshot->pause = PAUSE_PHASE_RELEASE;
		snapshot->moment_ms = transition->time_ms;
		return 0;
	default:
		snapshot_take(snapshot);
		return 0;
	}
}

int snapshot_advance(struct transition *transition, struct volume *volume, const struct operation *operation,
		     enum operation_phase to, struct error *error)
{
	switch (to) {
	case OPERATION_PHASE_FORMATTING:
		extend_groups_set(volume, GROUP_STATE_FORMATTING);
		return 0;
	case OPERATION_PHASE_JOINING:
		return extend_groups_join(volume, error);
	case OPERATION_PHASE_RELEASING:
		return extend_groups_release(transition, volume, operation->id, error);
	case OPERATION_PHASE_OVER:
		if (operation->phase == OPERATION_PHASE_RELEASING)
			return extend_released_check(volume, operation, error);
		break;
	default:
		break;
	}
	return attempt_advance(transition, volume, operation, to, error);
}
