/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands on members of groups.
 *
 *                    lds_stale                 ld_rebuild, or ld_replace by a new LD
 *   IN_SYNC ───────────────────► STALE ───────────────────────────────────────► REBUILDING
 *      ▲                           ▲      lds_stale, slot_move                       │  │
 *      │                           └─────────────────────────────────────────────────┘  │
 *      └────────────────────────────────────────────────────────────────────────────────┘  ld_in_sync
 *
 * ld_settle takes a member back that was given up, for the others: the holder has not gone on without it.
 * One whose node was forgotten is FREED, and only ld_replace brings its place back.
 * One that is moved to another disk (commands_move.c) goes the same way to STALE, and never comes back from there.
 * The last member of a group that is in sync stays so, whatever happens to it; but for slot_force (commands_force.c),
 * which puts a stale one in its place.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/member.h"
#include "lib/model/moving.h"

static int slot_check(const struct member_subject *subject, uint64_t slot, struct error *error)
{
	uint64_t owner = subject->place.leg != NULL ? subject->place.leg->slot : subject->place.leaving->slot;

	if (owner == slot)
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
			 "ld%" PRIu64 " belongs to slot %" PRIu64 ", not to slot %" PRIu64, subject->place.ld->id,
			 owner, slot);
}

int member_subject_read(struct transition *transition, uint64_t volume, uint64_t slot, uint64_t epoch, uint64_t ld,
			struct member_subject *ret_subject, struct error *error)
{
	struct member_subject *subject = ret_subject;
	int result = volume_slot_read(transition, volume, slot, epoch, &subject->volume, &subject->slot, error);

	if (result == 0)
		result = volume_ld_find(&subject->volume, ld, &subject->place, error);
	if (result == 0)
		result = slot_check(subject, slot, error);
	return result;
}

/* A rebuild begins only while the holder serves: else it would begin again at once. `lost`: one that went with its node
 * will do, too. */
static int stale_and_serving_check(const struct member_subject *subject, bool lost, struct error *error)
{
	const struct ld *ld = subject->place.ld;

	if (ld->state != LD_STATE_STALE && !(lost && ld->state == LD_STATE_FREED))
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is %s, not stale", ld->id,
				 ENUM_NAME(ld_state, ld->state));
	if (subject->slot->phase != SLOT_PHASE_SERVING)
		return error_set(error, ERROR_CONFLICT,
				 "the slot of ld%" PRIu64 " is in phase %s; members are rebuilt in phase serving",
				 ld->id, ENUM_NAME(slot_phase, subject->slot->phase));
	return 0;
}

/* The last one of a group that has one more: each place has a copy in sync without it. */
static int moved_check(const struct member_subject *subject, struct error *error)
{
	const struct ld *ld = subject->place.ld;

	if (subject->slot->phase == SLOT_PHASE_SERVING && ld == moving_ld(&subject->volume, subject->place.group) &&
	    ld->state == LD_STATE_IN_SYNC && group_in_sync_count(subject->place.group) > subject->volume.copies)
		return 0;
	return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is not moved, or a copy beside it is not in sync",
			 ld->id);
}

static int member_stale(struct transition *transition, const struct command_lds_stale *command,
			const struct member_subject *subject, bool *changed, struct error *error)
{
	struct ld *ld = subject->place.ld;
	/* A copy that was never complete does not become so by bitmap. Nor does one that was not in the group of this
	 * epoch: until EXPORTING nobody said that it was. What the last holder had in flight when it died may then
	 * differ, and the group, assembled without it, forgets these bits. */
	bool in_group = subject->slot->phase == SLOT_PHASE_EXPORTING || subject->slot->phase == SLOT_PHASE_SERVING;
	/* While an LD is moved, the table that runs may have the members in another order than the superblocks say. */
	bool moving = subject->place.group != NULL && moving_ld(&subject->volume, subject->place.group) != NULL;
	bool resync = command->reason == STALE_REASON_PATH_LOST && in_group && !moving &&
		      (ld->state == LD_STATE_IN_SYNC || ld->resync);

	if (subject->place.leaving != NULL || ld->state == LD_STATE_STALE || ld->state == LD_STATE_FREED)
		return 0;
	if (ld->state == LD_STATE_IN_SYNC && group_in_sync_count(subject->place.group) == 1)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "ld%" PRIu64 " of volume v%" PRIu64 " is the last member of its group that is in sync",
				 ld->id, subject->volume.id);
	if (command->reason == STALE_REASON_MOVED && moved_check(subject, error) != 0)
		return error->code;
	volume_ld_stale(ld, command->reason, transition->time_ms);
	ld->resync = resync;
	ld->pending =
		ld->whole && (command->reason == STALE_REASON_MOVED ||
			      command->reason == (subject->slot->phase == SLOT_PHASE_FENCING ? STALE_REASON_NOT_FENCED
											     : STALE_REASON_PATH_LOST));
	*changed = true;
	return 0;
}

int command_lds_stale_apply(struct transition *transition, const struct command_lds_stale *command, struct error *error)
{
	struct member_subject subject;
	bool changed = false;
	int result = volume_slot_read(transition, command->volume, command->slot, command->epoch, &subject.volume,
				      &subject.slot, error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < command->lds.count; i++) {
		result = volume_ld_find_text(&subject.volume, command->lds.items[i], &subject.place, error);
		if (result == 0)
			result = slot_check(&subject, command->slot, error);
		if (result == 0)
			result = member_stale(transition, command, &subject, &changed, error);
		if (result != 0)
			return result;
	}
	if (!changed)
		return 0;
	if (command->reason == STALE_REASON_NOT_FENCED && subject.slot->phase == SLOT_PHASE_FENCING)
		subject.slot->unfenced = true;
	return volume_store(transition, &subject.volume, error);
}

int command_ld_rebuild_apply(struct transition *transition, const struct command_ld_rebuild *command,
			     struct error *error)
{
	struct member_subject subject;
	struct disk disk;
	struct ld *ld;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	ld = subject.place.ld;
	if (subject.place.leaving != NULL)
		return error_set(error, ERROR_CONFLICT, "another LD took the place of ld%" PRIu64, ld->id);
	if (ld->state == LD_STATE_REBUILDING && ld->resync == command->resync)
		return 0;
	if (ld == moving_ld(&subject.volume, subject.place.group))
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " leaves its group", ld->id);
	result = stale_and_serving_check(&subject, false, error);
	if (result != 0)
		return result;
	/* Its extents may be another LD's by now, and a rebuild looks at no label. */
	result = state_disk(&transition->state, ld->disk, &disk, error);
	if (result != 0) {
		transition->state.broken = true; /* an LD keeps its disk */
		return result;
	}
	if (disk.held) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "ld%" PRIu64 " is not copied: its disk d%" PRIu64 " is held since a restore", ld->id,
			  disk.id);
		return error_hint(error, "run: dnvme disk release d%" PRIu64, disk.id);
	}
	if (command->resync && !ld->resync)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "ld%" PRIu64 " was not lost to the present holder in this epoch, or lost what its "
				 "cache held: it is copied as a whole",
				 ld->id);
	ld->state = LD_STATE_REBUILDING;
	ld->whole = ld->pending = false;
	ld->resync = command->resync;
	volume_ld_since_set(ld, transition->time_ms);
	return volume_store(transition, &subject.volume, error);
}

int command_ld_in_sync_apply(struct transition *transition, const struct command_ld_in_sync *command,
			     struct error *error)
{
	struct member_subject subject;
	struct ld *ld;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	ld = subject.place.ld;
	if (subject.place.leaving == NULL && ld->state == LD_STATE_IN_SYNC)
		return 0;
	if (ld->state != LD_STATE_REBUILDING)
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is %s, not rebuilding", ld->id,
				 ENUM_NAME(ld_state, ld->state));
	/* What was said of it may be about an earlier rebuild, or of before the group changed. */
	if (subject.volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64
				 " is where ld%" PRIu64 " was in sync",
				 subject.volume.id, subject.volume.revision, command->revision, ld->id);
	ld->state = LD_STATE_IN_SYNC;
	ld->resync = false;
	volume_ld_since_set(ld, transition->time_ms);
	return volume_store(transition, &subject.volume, error);
}

/* Whether it has everything when its holder says that its group never ran without it, and has it in sync. Then it was
 * in the group of this epoch, and nothing was copied to it since. One whose node lost what a cache held has all that
 * was flushed: better than one whose disk failed a write, but not than one that lost a cache, too. */
static bool settle_may(const struct member_subject *subject, bool *ret_withheld)
{
	const struct ld_list *members = &subject->place.group->members;
	const struct ld *ld = subject->place.ld;

	*ret_withheld = false;
	for (size_t i = 0; i < members->count; i++)
		*ret_withheld = *ret_withheld || members->items[i].withheld;
	return ld->state == LD_STATE_STALE && ld->pending &&
	       (!*ret_withheld || ld->stale_reason != STALE_REASON_REBOOTED);
}

int command_ld_settle_apply(struct transition *transition, const struct command_ld_settle *command, struct error *error)
{
	struct member_subject subject;
	struct ld_list *members;
	struct ld *ld;
	bool withheld;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	ld = subject.place.ld;
	if (subject.place.leaving != NULL)
		return error_set(error, ERROR_CONFLICT, "another LD took the place of ld%" PRIu64, ld->id);
	if (ld->state == LD_STATE_IN_SYNC && !ld->withheld)
		return 0;
	/* What was said may be about another group, or another member may have gone meanwhile. */
	if (subject.volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64
				 " is where the holder told of ld%" PRIu64,
				 subject.volume.id, subject.volume.revision, command->revision, ld->id);
	if (subject.slot->phase == SLOT_PHASE_FENCING)
		return error_set(error, ERROR_CONFLICT, "the slot of ld%" PRIu64 " is in phase %s", ld->id,
				 ENUM_NAME(slot_phase, subject.slot->phase));
	if (ld->state == LD_STATE_IN_SYNC) {
		ld->withheld = false;
		return volume_store(transition, &subject.volume, error);
	}
	if (command->left && ld->state == LD_STATE_STALE) {
		ld->pending = false;
		return volume_store(transition, &subject.volume, error);
	}
	if (command->left || !settle_may(&subject, &withheld))
		return error_set(error, ERROR_CONFLICT,
				 "ld%" PRIu64 " is %s, and was not given up by the present holder in this epoch",
				 ld->id, ENUM_NAME(ld_state, ld->state));
	members = &subject.place.group->members;
	for (size_t i = 0; i < members->count; i++) {
		if (members->items[i].state == LD_STATE_IN_SYNC || members->items[i].state == LD_STATE_REBUILDING)
			volume_ld_stale(&members->items[i],
					members->items[i].withheld ? STALE_REASON_REBOOTED : STALE_REASON_MEDIUM,
					transition->time_ms);
		/* What it missed, no bitmap of the group that goes on knows. */
		members->items[i].resync = false;
	}
	ld->state = LD_STATE_IN_SYNC;
	ld->whole = ld->pending = false;
	volume_ld_since_set(ld, transition->time_ms);
	return volume_store(transition, &subject.volume, error);
}

/* --- what a member failed to read --------------------------------------------------------------------------------- */

static int serving_member_read(struct transition *transition, uint64_t volume, uint64_t slot, uint64_t epoch,
			       uint64_t ld, struct member_subject *ret_subject, struct error *error)
{
	struct member_subject *subject = ret_subject;
	int result = member_subject_read(transition, volume, slot, epoch, ld, subject, error);

	if (result != 0)
		return result;
	if (subject->place.leaving != NULL || subject->place.ld->state != LD_STATE_IN_SYNC)
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is %s, not in-sync", ld,
				 ENUM_NAME(ld_state, subject->place.ld->state));
	if (subject->slot->phase != SLOT_PHASE_SERVING)
		return error_set(error, ERROR_CONFLICT,
				 "the slot of ld%" PRIu64
				 " is in phase %s; only in phase serving its holder knows what its group repaired",
				 ld, ENUM_NAME(slot_phase, subject->slot->phase));
	return 0;
}

/* The number is a revision, so that whatever was under way when its Disk Node told of the errors began before it. */
int command_ld_drain_apply(struct transition *transition, const struct command_ld_drain *command, struct error *error)
{
	struct member_subject subject;
	int result = serving_member_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	subject.place.ld->failed_reads = command->failed_reads;
	subject.place.ld->drain = transition_touch(transition);
	return volume_store(transition, &subject.volume, error);
}

int command_ld_excuse_apply(struct transition *transition, const struct command_ld_excuse *command, struct error *error)
{
	struct member_subject subject;
	struct ld *ld;
	int result = serving_member_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	ld = subject.place.ld;
	/* There were others since, or it went stale and came back. */
	if (ld->drain != command->drain)
		return error_set(error, ERROR_CONFLICT,
				 "the holder of ld%" PRIu64 " is asked for %" PRIu64 ", not for %" PRIu64, ld->id,
				 ld->drain, command->drain);
	ld->drain = 0;
	return volume_store(transition, &subject.volume, error);
}

/* --- replacement ---------------------------------------------------------------------------------------------- */

int member_disk_read(struct transition *transition, const struct member_subject *subject, uint64_t id,
		     struct disk *ret_disk, struct error *error)
{
	struct state *state = &transition->state;
	const struct ld_list *members = &subject->place.group->members;
	struct disk other;
	struct node node;
	int result = state_disk(state, id, ret_disk, error);

	if (result == 0)
		result = state_node(state, ret_disk->node, &node, error);
	if (result == ERROR_NOT_FOUND && !state->broken) {
		error_prefix(error, "stale placement");
		error->code = ERROR_CONFLICT;
		return ERROR_CONFLICT;
	}
	if (result != 0)
		return result;
	if (ret_disk->cordoned || node.cordoned)
		return error_set(error, ERROR_CONFLICT, "stale placement: disk d%" PRIu64 " of node \"%s\" is cordoned",
				 id, node.name);
	for (size_t i = 0; i < members->count; i++) {
		if (&members->items[i] == subject->place.ld)
			continue;
		/* They would have the same number in one export. */
		if (members->items[i].id == subject->place.ld->moves && members->items[i].disk == id)
			return error_set(error, ERROR_CONFLICT,
					 "stale placement: ld%" PRIu64 " is to leave disk d%" PRIu64 " for it",
					 members->items[i].id, id);
		/* On the node of the one that it comes for it may lie. */
		if (members->items[i].state == LD_STATE_FREED || members->items[i].id == subject->place.ld->moves)
			continue;
		result = state_disk(state, members->items[i].disk, &other, error);
		if (result != 0) {
			state->broken = true; /* an LD keeps its disk */
			return result;
		}
		if (strcmp(other.node, ret_disk->node) == 0)
			return error_set(error, ERROR_CONFLICT,
					 "stale placement: node \"%s\" holds another member of the group, ld%" PRIu64,
					 node.name, members->items[i].id);
	}
	return 0;
}

int member_leave(struct transition *transition, struct volume *volume, uint64_t slot, const struct ld *ld,
		 struct error *error)
{
	struct arena *arena = transition->state.arena;
	struct leaving_ld_list leaving = { .count = volume->leaving.count };
	struct ld *copy;

	if (leaving.count >= LIMIT_LEGS * LIMIT_COPIES)
		return error_set(error, ERROR_NO_CAPACITY,
				 "%zu LDs are leaving volume v%" PRIu64 ", no more can until one is gone",
				 leaving.count, volume->id);
	leaving.items = arena_alloc_array(arena, leaving.count + 1, sizeof(*leaving.items));
	copy = arena_memdup(arena, ld, sizeof(*copy));
	if (leaving.items == NULL || copy == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < leaving.count; i++)
		leaving.items[i] = volume->leaving.items[i];
	copy->resync = copy->whole = copy->pending = false;
	copy->moves = 0;
	leaving.items[leaving.count++] = (struct leaving_ld){ .slot = slot, .ld = copy };
	volume->leaving = leaving;
	return 0;
}

int command_ld_replace_apply(struct transition *transition, const struct command_ld_replace *command,
			     struct error *error)
{
	struct member_subject subject;
	struct disk disk;
	struct ld ld;
	int result = member_subject_read(transition, command->volume, command->slot, command->epoch, command->ld,
					 &subject, error);

	if (result != 0)
		return result;
	if (subject.place.leaving != NULL)
		return 0; /* done already */
	/* Its copy is on another disk, or will be. */
	if (subject.place.ld == moving_ld(&subject.volume, subject.place.group))
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " leaves its group", command->ld);
	result = stale_and_serving_check(&subject, true, error);
	if (result == 0)
		result = member_disk_read(transition, &subject, command->disk, &disk, error);
	if (result == 0 && subject.place.ld->state != LD_STATE_FREED)
		result = member_leave(transition, &subject.volume, command->slot, subject.place.ld, error);
	if (result == 0)
		result = volume_ld_make(transition, subject.volume.id, &disk,
					group_extents(subject.place.leg, subject.place.group), &ld, error);
	if (result != 0)
		return result;
	ld.state = LD_STATE_REBUILDING;
	ld.since_ms = transition->time_ms;
	ld.moves = subject.place.ld->moves;
	*subject.place.ld = ld;
	return volume_store(transition, &subject.volume, error);
}
