/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slot.force: the operator takes a member of a group for the one that has everything, because no better one will come
 * back.
 *
 * In one step, so that there is no moment in which a group has none in sync, or in which two are that are not equal:
 *
 *   the one that is taken                      IN_SYNC ──► IN_SYNC: what its disk returned errors for is forgotten
 *     or, where none in sync is there    STALE (whole) ──► IN_SYNC
 *   the others of its group that were in sync  IN_SYNC ──► STALE (forced): they come back by a rebuild only
 *   the slot                                 any phase ──► FENCING, in a new epoch
 *
 * That those in sync cannot be reached, or may have been dropped by their group, was looked at by the leader; here is
 * only what the state can tell: while a slot is fenced, and then only, one in sync may be as bad as that.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/operation.h"
#include "fsm/volume.h"
#include "lib/model/names.h"

/* What is remembered of one of the members. */
static int note_add(struct transition *transition, struct forced_ld_list *list, const struct ld *ld,
		    struct error *error)
{
	struct state *state = &transition->state;
	struct forced_ld *note;
	struct disk disk;
	int result;

	if (list->count == LIMIT_FORCED_LDS)
		return 0;
	note = list_add(state->arena, list, sizeof(*note));
	if (note == NULL)
		return state_nomem(state, error);
	result = state_disk(state, ld->disk, &disk, error);
	if (result != 0) {
		state->broken = true; /* an LD keeps its disk */
		return result;
	}
	*note = (struct forced_ld){ .ld = ld->id, .node = disk.node };
	if (ld->state == LD_STATE_STALE) {
		note->reason = ld->stale_reason;
		note->since_ms = ld->since_ms;
	}
	return 0;
}

static int taken_check(const struct volume *volume, const struct command_slot_force *command,
		       const struct ld_place *place, struct error *error)
{
	const struct ld *ld = place->ld;

	if (place->leaving != NULL)
		return error_set(error, ERROR_FAILED_PRECONDITION, "another LD took the place of ld%" PRIu64, ld->id);
	if (place->leg->slot != command->slot)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "ld%" PRIu64 " belongs to slot %" PRIu64 " of volume v%" PRIu64
				 ", not to slot %" PRIu64,
				 ld->id, place->leg->slot, volume->id, command->slot);
	if (ld->state == LD_STATE_IN_SYNC && place->group->members.count == 1)
		return error_set(error, ERROR_FAILED_PRECONDITION, "ld%" PRIu64 " is all that its group ever had",
				 ld->id);
	if (ld->state == LD_STATE_IN_SYNC && volume->slots.items[command->slot].phase == SLOT_PHASE_FENCING)
		return 0;
	if (ld->state != LD_STATE_STALE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "ld%" PRIu64 " is %s, not stale", ld->id,
				 ENUM_NAME(ld_state, ld->state));
	if (!ld->whole)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "ld%" PRIu64 " was being rebuilt and holds only a part of its group", ld->id);
	return 0;
}

/* How many of the names are of members of the group. */
static size_t named_count(const struct command_slot_force *command, const struct group *group)
{
	size_t count = 0;

	for (size_t m = 0; m < group->members.count; m++) {
		char id[NAMES_ID_SIZE];

		names_id_format("ld", group->members.items[m].id, id);
		for (size_t i = 0; i < command->lds.count; i++)
			count += strcmp(command->lds.items[i], id) == 0;
	}
	return count;
}

static int member_take(struct transition *transition, const struct volume *volume,
		       const struct command_slot_force *command, const char *text, struct forced *forced,
		       struct error *error)
{
	struct ld_place place;
	int result = volume_ld_find_text(volume, text, &place, error);

	if (result == 0)
		result = taken_check(volume, command, &place, error);
	if (result == 0 && named_count(command, place.group) != 1)
		result = error_set(error, ERROR_INVALID_ARGUMENT, "more than one is named of the group of ld%" PRIu64,
				   place.ld->id);
	if (result == 0)
		result = note_add(transition, &forced->taken, place.ld, error);
	for (size_t m = 0; result == 0 && m < place.group->members.count; m++) {
		struct ld *other = &place.group->members.items[m];

		other->pending = false;
		if (other == place.ld || other->state != LD_STATE_IN_SYNC)
			continue;
		result = note_add(transition, &forced->given_up, other, error);
		volume_ld_stale(other, STALE_REASON_FORCED, transition->time_ms);
		other->resync = false;
	}
	if (result != 0)
		return result;
	place.ld->state = LD_STATE_IN_SYNC;
	place.ld->whole = place.ld->resync = place.ld->doubtful = place.ld->withheld = false;
	place.ld->forced = true;
	volume_ld_since_set(place.ld, transition->time_ms);
	return 0;
}

/* The latest ones are kept. */
static int forced_remember(struct transition *transition, struct volume *volume, const struct forced *forced,
			   struct error *error)
{
	size_t count = volume->forced.count, skip = count >= LIMIT_FORCED_KEPT ? count + 1 - LIMIT_FORCED_KEPT : 0;
	struct forced *items = arena_alloc_array(transition->state.arena, count - skip + 1, sizeof(*items));

	if (items == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = skip; i < count; i++)
		items[i - skip] = volume->forced.items[i];
	items[count - skip] = *forced;
	volume->forced = (struct forced_list){ count - skip + 1, items };
	return 0;
}

int command_slot_force_apply(struct transition *transition, const struct command_slot_force *command,
			     struct error *error)
{
	struct forced forced = { .slot = command->slot,
				 .time_ms = transition->time_ms,
				 .by = command->by,
				 .powered_off = command->powered_off };
	struct volume volume;
	struct slot *slot;
	struct node node;
	int result =
		volume_slot_read(transition, command->volume, command->slot, command->epoch, &volume, &slot, error);

	if (result != 0)
		return result;
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64
				 ", what was accepted was of revision %" PRIu64,
				 volume.id, volume.revision, command->revision);
	if (command->lds.count == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "no member is named that shall be served");
	for (size_t i = 0; result == 0 && i < command->lds.count; i++)
		result = member_take(transition, &volume, command, command->lds.items[i], &forced, error);
	if (result != 0)
		return result;
	result = state_node(&transition->state, slot->holder, &node, error);
	if (result != 0) {
		transition->state.broken = true; /* a holder keeps its node */
		return result;
	}
	volume_slot_leave(slot);
	volume_slot_keep(slot, &node);
	volume_slot_begin(&volume, command->slot, &node, MOVE_REASON_FORCE, transition->time_ms);
	/* Nobody fenced what is given up. */
	slot->unfenced = true;
	forced.epoch = slot->epoch;
	forced.revision = transition_touch(transition);
	result = forced_remember(transition, &volume, &forced, error);
	if (result == 0)
		result = operation_disturb(transition, &volume, error);
	if (result == 0)
		result = volume_store(transition, &volume, error);
	return result;
}
