/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that move LDs to other disks. lib/model/moving.h has what a group looks like meanwhile.
 *
 *   disk_drain   what an operator wants
 *   ld_move      a new LD comes into the group, and is rebuilt as any other one: ld_in_sync says when it is whole
 *   lds_stale    (reason "moved") the old one counts no more, once all others are in sync: commands_member.c
 *   ld_moved     the holder let go of the old one: it leaves the volume, as one that was replaced does
 *
 * At no time are fewer members in sync than before. There is no way back: a move that began ends.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/member.h"
#include "lib/model/moving.h"
#include "lib/model/names.h"

/* --- disks ----------------------------------------------------------------------------------------------------------
 */

static int disk_set(struct transition *transition, const char *text, bool draining, struct error *error)
{
	struct disk disk;
	uint64_t id;
	int result;

	if (names_id_parse("d", text, &id) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not the id of a disk such as d1", text);
	result = state_disk(&transition->state, id, &disk, error);
	if (result != 0 || (disk.draining == draining && disk.cordoned == draining))
		return result;
	disk.draining = disk.cordoned = draining;
	disk.revision = transition_touch(transition);
	result = state_disk_put(&transition->state, &disk, error);
	return result == 0 ? transition_changed_disk(transition, &disk, false, error) : result;
}

int command_disk_drain_apply(struct transition *transition, const struct command_disk_drain *command,
			     struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < command->disks.count; i++)
		result = disk_set(transition, command->disks.items[i], command->draining, error);
	return result;
}

/* --- one LD ---------------------------------------------------------------------------------------------------------
 */

/* Each other group may take part in the next move, but not in this one. */
static int all_in_sync_check(const struct volume *volume, struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (members->items[m].state != LD_STATE_IN_SYNC)
					return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is %s, not in-sync",
							 members->items[m].id,
							 ENUM_NAME(ld_state, members->items[m].state));
			}
		}
	}
	return 0;
}

static int move_check(const struct member_subject *subject, struct error *error)
{
	const struct volume *volume = &subject->volume;

	if (subject->place.leaving != NULL)
		return error_set(error, ERROR_CONFLICT, "another LD took the place of ld%" PRIu64,
				 subject->place.ld->id);
	if (volume->copies < 2) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "volume \"%s\" has one copy, which has no mirror that another one could come into",
			  volume->name);
		return ERROR_FAILED_PRECONDITION;
	}
	if (volume->operation != 0)
		return error_set(error, ERROR_CONFLICT, "job j%" PRIu64 " works on volume \"%s\"", volume->operation,
				 volume->name);
	if (moving_any(volume))
		return error_set(error, ERROR_CONFLICT, "another LD of volume \"%s\" is being moved", volume->name);
	if (subject->slot->phase != SLOT_PHASE_SERVING)
		return error_set(error, ERROR_CONFLICT,
				 "the slot of ld%" PRIu64 " is in phase %s; members are moved in phase serving",
				 subject->place.ld->id, ENUM_NAME(slot_phase, subject->slot->phase));
	return all_in_sync_check(volume, error);
}

int command_ld_move_apply(struct transition *transition, const struct command_ld_move *command, struct error *error)
{
	struct state *state = &transition->state;
	struct member_subject subject;
	struct ld_list members;
	struct disk disk;
	struct ld ld, *old;
	const struct ld *leaving;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	leaving = subject.place.group != NULL ? moving_ld(&subject.volume, subject.place.group) : NULL;
	if (leaving == subject.place.ld && leaving != NULL)
		return 0; /* it is on its way */
	result = move_check(&subject, error);
	if (result == 0)
		result = member_disk_read(transition, &subject, command->disk, &disk, error);
	if (result == 0 && command->disk == subject.place.ld->disk)
		result = error_set(error, ERROR_CONFLICT, "stale placement: ld%" PRIu64 " lies on disk d%" PRIu64,
				   command->ld, command->disk);
	if (result == 0)
		result = volume_ld_make(transition, subject.volume.id, &disk,
					group_extents(subject.place.leg, subject.place.group), &ld, error);
	if (result != 0)
		return result;
	members = subject.place.group->members;
	members.items = arena_alloc_array(state->arena, members.count + 1, sizeof(*members.items));
	if (members.items == NULL)
		return state_nomem(state, error);
	memcpy(members.items, subject.place.group->members.items, members.count * sizeof(*members.items));
	old = &members.items[subject.place.ld - subject.place.group->members.items];
	members.items[members.count++] = *old;
	ld.state = LD_STATE_REBUILDING;
	ld.since_ms = transition->time_ms;
	ld.moves = old->id;
	*old = ld;
	subject.place.group->members = members;
	return volume_store(transition, &subject.volume, error);
}

int command_ld_moved_apply(struct transition *transition, const struct command_ld_moved *command, struct error *error)
{
	struct member_subject subject;
	struct ld_list *members;
	struct ld *ld;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0 || subject.place.leaving != NULL)
		return result; /* done already */
	ld = subject.place.ld;
	if (ld != moving_ld(&subject.volume, subject.place.group))
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " does not leave its group", ld->id);
	if (ld->state != LD_STATE_FREED && (ld->state != LD_STATE_STALE || ld->pending))
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is %s, or its group may need it", ld->id,
				 ENUM_NAME(ld_state, ld->state));
	/* What its holder said may be about an earlier time, when it had it. */
	if (subject.volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64
				 " is where the holder had let go of ld%" PRIu64,
				 subject.volume.id, subject.volume.revision, command->revision, ld->id);
	if (ld->state != LD_STATE_FREED)
		result = member_leave(transition, &subject.volume, command->slot, ld, error);
	if (result != 0)
		return result;
	members = &subject.place.group->members;
	members->items[moving_place(&subject.volume, subject.place.group, subject.volume.copies)].moves = 0;
	members->count--;
	return volume_store(transition, &subject.volume, error);
}
