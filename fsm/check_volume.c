/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit of a volume, which leaves its claims on extents and index entries. */
#include <inttypes.h>
#include <string.h>

#include "fsm/check_internal.h"
#include "lib/model/moving.h"

/* `wanted`: the extents that it should have. */
static int ld_audit(struct audit *audit, const struct volume *volume, uint64_t wanted, const struct ld *ld)
{
	uint64_t *id = list_add(audit->state.arena, &audit->lds, sizeof(*id)), extents = 0;
	struct key key;
	int result = 0;

	if (id == NULL)
		return state_nomem(&audit->state, audit->error);
	*id = ld->id;
	if (ld->id == 0 || ld->id > audit->counters.last_ld)
		finding(audit, "ld%" PRIu64 " was never given out", ld->id);
	if (ld->state == LD_STATE_FREED) {
		if (ld->ranges.count > 0 ||
		    (volume->phase != VOLUME_PHASE_RELEASING && ld->stale_reason != STALE_REASON_LOST))
			finding(audit, "ld%" PRIu64 " of v%" PRIu64 " is freed but not gone", ld->id, volume->id);
		return 0;
	}
	if (ld->state == LD_STATE_STALE && ld->stale_reason == 0)
		finding(audit, "ld%" PRIu64 " is stale for no reason", ld->id);
	if (ld->state == LD_STATE_IN_SYNC && ld->resync)
		finding(audit, "ld%" PRIu64 " is in sync and has something to catch up with", ld->id);
	if (ld->state != LD_STATE_STALE && ld->whole)
		finding(audit, "ld%" PRIu64 " is %s and marked as what is left of a copy", ld->id,
			ENUM_NAME(ld_state, ld->state));
	if (!exists(audit, STORE_TABLE_DISK, key_id(&key, ld->disk), &result) && result == 0)
		finding(audit, "ld%" PRIu64 " lies on disk d%" PRIu64 ", which is not there", ld->id, ld->disk);
	for (size_t i = 0; result == 0 && i < ld->ranges.count; i++) {
		const struct range *range = &ld->ranges.items[i];

		extents += range->length;
		result = claim_add(audit, (struct claim){ ld->disk, range->start, range->length, ld->id });
	}
	if (extents != wanted)
		finding(audit, "ld%" PRIu64 " has %" PRIu64 " extents, not %" PRIu64, ld->id, extents, wanted);
	return result;
}

static void failed_reads_audit(struct audit *audit, const struct ld *ld, bool serving)
{
	if (ld->failed_reads != NULL && ld->state != LD_STATE_IN_SYNC)
		finding(audit, "ld%" PRIu64 " is %s, and what it failed to read is excused", ld->id,
			ENUM_NAME(ld_state, ld->state));
	if (ld->drain > 0 && (ld->failed_reads == NULL || !serving))
		finding(audit, "what ld%" PRIu64 " failed to read is asked for, but %s", ld->id,
			serving ? "it failed nothing" : "its slot does not serve");
}

/* What may stand in the way of assembling the group. */
static void group_states_audit(struct audit *audit, const struct volume *volume, const struct leg *leg,
			       const struct group *group)
{
	size_t in_sync = group_in_sync_count(group), rebuilding = 0, freed = 0;
	enum slot_phase phase = leg->slot < volume->slots.count ? volume->slots.items[leg->slot].phase : 0;
	bool serving = phase == SLOT_PHASE_SERVING, fencing = phase == SLOT_PHASE_FENCING;

	for (size_t i = 0; i < group->members.count; i++) {
		rebuilding += group->members.items[i].state == LD_STATE_REBUILDING;
		freed += group->members.items[i].state == LD_STATE_FREED;
		if (group->members.items[i].doubtful && (!fencing || group->members.items[i].state != LD_STATE_IN_SYNC))
			finding(audit,
				"ld%" PRIu64 " of v%" PRIu64 " is doubtful, but it is %s, or its slot is not fenced",
				group->members.items[i].id, volume->id,
				ENUM_NAME(ld_state, group->members.items[i].state));
		if (group->members.items[i].withheld &&
		    (in_sync != 1 || group->members.items[i].state != LD_STATE_IN_SYNC))
			finding(audit, "ld%" PRIu64 " of v%" PRIu64 " is withheld, but it is %s, or not the last one",
				group->members.items[i].id, volume->id,
				ENUM_NAME(ld_state, group->members.items[i].state));
		if (group->members.items[i].pending && group->members.items[i].state != LD_STATE_STALE)
			finding(audit, "ld%" PRIu64 " of v%" PRIu64 " is pending, but it is %s",
				group->members.items[i].id, volume->id,
				ENUM_NAME(ld_state, group->members.items[i].state));
		failed_reads_audit(audit, &group->members.items[i], serving);
		if (group->members.items[i].forced && (!fencing || group->members.items[i].state != LD_STATE_IN_SYNC))
			finding(audit,
				"ld%" PRIu64 " of v%" PRIu64
				" is taken by force, but it is %s, or its slot is not fenced",
				group->members.items[i].id, volume->id,
				ENUM_NAME(ld_state, group->members.items[i].state));
	}
	if (in_sync == 0 && (freed == 0 || (volume->phase != VOLUME_PHASE_RELEASING && group->state == 0)))
		finding(audit, "the group of ld%" PRIu64 " of v%" PRIu64 " has no member in sync",
			group->members.count > 0 ? group->members.items[0].id : 0, volume->id);
	if (leg->state == LEG_STATE_NEW && in_sync + freed < group->members.count)
		finding(audit, "a leg of v%" PRIu64 " that was never formatted has members that are not in sync",
			volume->id);
	if (rebuilding > 0 && !serving)
		finding(audit, "slot %" PRIu64 " of v%" PRIu64 " is not served and has members that are rebuilt",
			leg->slot, volume->id);
}

static int disk_note(struct audit *audit, struct id_list *disks, const struct ld *ld)
{
	uint64_t *disk;

	if (ld->state == LD_STATE_FREED)
		return 0;
	disk = list_add(audit->state.arena, disks, sizeof(*disk));
	if (disk == NULL)
		return state_nomem(&audit->state, audit->error);
	*disk = ld->disk;
	return 0;
}

/* As many members as copies; one more while one of them is moved, which the new one names. */
static void moving_audit(struct audit *audit, const struct volume *volume, size_t leg, size_t index)
{
	const struct group *group = &volume->legs.items[leg].groups.items[index];
	const struct ld *leaving = moving_ld(volume, group);
	size_t named = 0;

	if (group->members.count != volume->copies && (leaving == NULL || group->members.count != volume->copies + 1))
		finding(audit, "group %zu of leg %zu of v%" PRIu64 " has %zu members", index, leg, volume->id,
			group->members.count);
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		if (ld->moves == 0)
			continue;
		named++;
		if (leaving == NULL || ld->moves != leaving->id || ld == leaving)
			finding(audit,
				"ld%" PRIu64 " of v%" PRIu64 " takes the place of ld%" PRIu64 ", which does not leave",
				ld->id, volume->id, ld->moves);
	}
	if (named != (leaving != NULL))
		finding(audit,
			"group %zu of leg %zu of v%" PRIu64 " has %zu members that take the place of another one",
			index, leg, volume->id, named);
	if (leaving != NULL && group->state != 0)
		finding(audit, "ld%" PRIu64 " of v%" PRIu64 " is moved, and its group is not part of its leg",
			leaving->id, volume->id);
	if (leaving != NULL && leaving->state == LD_STATE_REBUILDING)
		finding(audit, "ld%" PRIu64 " of v%" PRIu64 " is rebuilt, though it leaves", leaving->id, volume->id);
}

static int groups_audit(struct audit *audit, const struct volume *volume, size_t index, struct id_list *disks)
{
	const struct leg *leg = &volume->legs.items[index];
	int result = 0;

	for (size_t g = 0; g < leg->groups.count; g++) {
		const struct group *group = &leg->groups.items[g];

		if (group->state != 0 && volume->operation == 0 && !volume_is_leaving(volume->phase))
			finding(audit, "group %zu of leg %zu of v%" PRIu64 " is not part of it, and no job works on it",
				g, index, volume->id);
		if (group->state == 0 && g > 0 && leg->groups.items[g - 1].state != 0)
			finding(audit, "group %zu of leg %zu of v%" PRIu64 " comes behind one that is not part of it",
				g, index, volume->id);
		moving_audit(audit, volume, index, g);
		group_states_audit(audit, volume, leg, group);
		for (size_t m = 0; result == 0 && m < group->members.count; m++) {
			result = ld_audit(audit, volume, group_extents(leg, group), &group->members.items[m]);
			if (result == 0)
				result = disk_note(audit, disks, &group->members.items[m]);
		}
	}
	return result;
}

/* So many extents has an LD of some group of the slot. They need not be of one size, and which one it left is not
 * recorded. */
static uint64_t leaving_extents(const struct volume *volume, const struct leaving_ld *leaving)
{
	uint64_t extents = 0, owned = 0;

	for (size_t i = 0; i < leaving->ld->ranges.count; i++)
		owned += leaving->ld->ranges.items[i].length;
	/* The group of one that was never used went before it. */
	if (leaving->operation != 0)
		return owned;
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == leaving->slot && extents != owned && g < leg->groups.count; g++)
			extents = group_extents(leg, &leg->groups.items[g]);
	}
	return extents;
}

/* LDs that were replaced still own their extents. */
static int leaving_audit(struct audit *audit, const struct volume *volume, struct id_list *disks)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < volume->leaving.count; i++) {
		const struct leaving_ld *leaving = &volume->leaving.items[i];

		if (leaving->slot >= volume->slots.count)
			finding(audit, "ld%" PRIu64 " leaves a slot of v%" PRIu64 " that is not there", leaving->ld->id,
				volume->id);
		if (leaving->ld->state != LD_STATE_STALE)
			finding(audit, "ld%" PRIu64 " leaves v%" PRIu64 " and is %s", leaving->ld->id, volume->id,
				ENUM_NAME(ld_state, leaving->ld->state));
		result = ld_audit(audit, volume, leaving_extents(volume, leaving), leaving->ld);
		if (result == 0)
			result = disk_note(audit, disks, leaving->ld);
	}
	return result;
}

static int legs_audit(struct audit *audit, const struct volume *volume)
{
	struct id_list disks = { 0 };
	struct key key;
	int result = 0;

	for (size_t l = 0; result == 0 && l < volume->legs.count; l++) {
		if (volume->legs.items[l].slot >= volume->slots.count)
			finding(audit, "leg %zu of v%" PRIu64 " is of a slot that is not there", l, volume->id);
		result = groups_audit(audit, volume, l, &disks);
	}
	if (result == 0)
		result = leaving_audit(audit, volume, &disks);
	if (result != 0)
		return result;
	id_list_normalize(&disks);
	audit->disk_volumes += disks.count;
	for (size_t i = 0; result == 0 && i < disks.count; i++) {
		if (!exists(audit, STORE_TABLE_DISK_VOLUME, key_id_id(&key, disks.items[i], volume->id), &result) &&
		    result == 0)
			finding(audit, "disk d%" PRIu64 " does not know that v%" PRIu64 " lies on it", disks.items[i],
				volume->id);
	}
	return result;
}

/* Actives in slot order, then standbys, then retired ones. */
static bool controller_fits(const struct volume *volume, size_t index)
{
	const struct controller *controller = &volume->controllers.items[index];
	const struct slot *slots = volume->slots.items;

	if (controller->earliest > controller->epoch)
		return false;
	if (index < volume->slots.count)
		return controller->role == CONTROLLER_ROLE_ACTIVE && controller->slot == index &&
		       controller->epoch == 0 && strcmp(slots[index].holder, controller->node) == 0;
	if (controller->role == CONTROLLER_ROLE_STANDBY)
		return controller->epoch == 0 &&
		       (index == volume->slots.count || controller[-1].role == CONTROLLER_ROLE_STANDBY);
	return controller->role == CONTROLLER_ROLE_RETIRED && controller->slot < volume->slots.count &&
	       controller->epoch < slots[controller->slot].epoch;
}

static int controllers_audit(struct audit *audit, const struct volume *volume)
{
	struct node node;
	struct key key;
	unsigned colours = 0;
	int result = 0;

	if (volume->controllers.count < volume->slots.count)
		finding(audit, "v%" PRIu64 " has more slots than controllers", volume->id);
	for (size_t i = 0; result == 0 && i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		audit->node_volumes++;
		if (!exists(audit, STORE_TABLE_NODE_VOLUME, key_text_id(&key, controller->node, volume->id), &result) &&
		    result == 0)
			finding(audit, "node \"%s\" does not know that it is a controller of v%" PRIu64,
				controller->node, volume->id);
		if (result == 0)
			result = state_node(&audit->state, controller->node, &node, audit->error);
		if (result == ERROR_NOT_FOUND && !audit->state.broken) {
			finding(audit, "v%" PRIu64 " is served by node \"%s\", which is not there", volume->id,
				controller->node);
			result = 0;
			continue;
		}
		if (result != 0)
			return result;
		if (colours & 1u << node.colour)
			finding(audit, "two controllers of v%" PRIu64 " have the colour %" PRIu64, volume->id,
				node.colour);
		colours |= 1u << node.colour;
		if (!controller_fits(volume, i))
			finding(audit, "controller %zu of v%" PRIu64 " does not match its slots", i, volume->id);
	}
	return result;
}

/* Numbers of thin devices are given out once, and what is held up is held up by a job. */
static void thin_audit(struct audit *audit, const struct volume *volume, uint64_t thin, uint64_t *seen)
{
	if (thin == 0 || thin > volume->last_thin)
		finding(audit, "thin device %" PRIu64 " of v%" PRIu64 " was never given out", thin, volume->id);
	for (size_t i = 0; i < *seen; i++) {
		size_t taken = volume->snapshots.count;
		uint64_t other =
			i < taken ? volume->snapshots.items[i].thin : volume->dropped_thins.items[i - taken].thin;

		if (other == thin)
			finding(audit, "thin device %" PRIu64 " of v%" PRIu64 " is there twice", thin, volume->id);
	}
	(*seen)++;
}

static void snapshots_audit(struct audit *audit, const struct volume *volume)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < volume->snapshots.count; i++) {
		const struct snapshot *snapshot = &volume->snapshots.items[i];
		bool taking = snapshot->state == SNAPSHOT_STATE_TAKING;

		thin_audit(audit, volume, snapshot->thin, &seen);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(snapshot->name, volume->snapshots.items[j].name) == 0)
				finding(audit, "v%" PRIu64 " has two snapshots \"%s\"", volume->id, snapshot->name);
		}
		if (taking && (i + 1 < volume->snapshots.count || volume->operation == 0))
			finding(audit, "no job makes snapshot \"%s\" of v%" PRIu64, snapshot->name, volume->id);
		if (taking && snapshot->hosts.count > 0)
			finding(audit, "snapshot \"%s\" of v%" PRIu64 " is attached, but not taken", snapshot->name,
				volume->id);
		if (!taking && (snapshot->pause != 0 || snapshot->moment_ms == 0))
			finding(audit, "snapshot \"%s\" of v%" PRIu64 " is taken, but %s", snapshot->name, volume->id,
				snapshot->pause != 0 ? "holds hosts up" : "of no moment");
		for (size_t l = 0; l < volume->legs.count; l++) {
			if (snapshot->leg_bytes > volume->legs.items[l].size_bytes)
				finding(audit, "snapshot \"%s\" of v%" PRIu64 " is larger than leg %zu", snapshot->name,
					volume->id, l);
		}
	}
	for (size_t i = 0; i < volume->dropped_thins.count; i++)
		thin_audit(audit, volume, volume->dropped_thins.items[i].thin, &seen);
	if (volume_is_leaving(volume->phase) && seen > 0)
		finding(audit, "v%" PRIu64 " is being deleted and has %" PRIu64 " thin devices", volume->id, seen);
}

/* What the job says of its phase, the volume says, too. */
static void pause_audit(struct audit *audit, const struct volume *volume, const struct operation *operation)
{
	const struct snapshot *snapshot = snapshot_taking(volume);
	bool undone = operation->phase == OPERATION_PHASE_UNDOING || operation->phase == OPERATION_PHASE_RELEASING;
	enum pause_phase wanted = 0;

	if (operation->phase == OPERATION_PHASE_PAUSING)
		wanted = PAUSE_PHASE_HOLD;
	else if (operation->phase == OPERATION_PHASE_SNAPPING)
		wanted = PAUSE_PHASE_SNAP;
	else if (operation->phase == OPERATION_PHASE_RESUMING)
		wanted = PAUSE_PHASE_RELEASE;
	if ((snapshot != NULL) != (operation->kind == JOB_KIND_SNAPSHOT && !undone))
		finding(audit, "job j%" PRIu64 " in phase %s, and v%" PRIu64 " has %s snapshot in the making",
			operation->id, ENUM_NAME(operation_phase, operation->phase), volume->id,
			snapshot != NULL ? "a" : "no");
	else if (snapshot != NULL && snapshot->pause != wanted)
		finding(audit,
			"job j%" PRIu64 " is in phase %s, and the controllers of v%" PRIu64 " are told otherwise",
			operation->id, ENUM_NAME(operation_phase, operation->phase), volume->id);
	for (size_t i = 0; wanted != 0 && i < volume->slots.count; i++) {
		if (volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			finding(audit, "job j%" PRIu64 " is in phase %s, and slot %zu of v%" PRIu64 " is not served",
				operation->id, ENUM_NAME(operation_phase, operation->phase), i, volume->id);
	}
}

static int operation_audit(struct audit *audit, const struct volume *volume)
{
	struct operation operation;
	int result = state_operation(&audit->state, volume->operation, &operation, audit->error);

	if (result == ERROR_NOT_FOUND && !audit->state.broken) {
		finding(audit, "job j%" PRIu64 " of v%" PRIu64 " is not there", volume->operation, volume->id);
		return 0;
	}
	if (result == 0 && (operation.volume != volume->id || operation_is_over(&operation)))
		finding(audit, "job j%" PRIu64 " does not work on v%" PRIu64, volume->operation, volume->id);
	if (result == 0)
		pause_audit(audit, volume, &operation);
	if (result == 0 && !operation_is_over(&operation) && !move_slot_fits(volume, &operation))
		finding(audit, "job j%" PRIu64 " in phase %s, and slots of v%" PRIu64 " are to move otherwise",
			operation.id, ENUM_NAME(operation_phase, operation.phase), volume->id);
	if (result == 0 && volume->phase != VOLUME_PHASE_ONLINE)
		finding(audit, "job j%" PRIu64 " works on v%" PRIu64 ", which is not online", volume->operation,
			volume->id);
	audit->jobs_running++;
	return result;
}

int volume_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	struct volume volume;
	struct key index;
	uint64_t id = 0;
	bool listed, settled;
	int result = state_decode(&audit->state, STORE_TABLE_VOLUME, value, schema_volume(), &volume, error);

	if (result != 0)
		return result;
	if (key.size != 8 || key_read_id(key.data) != volume.id || volume.id > audit->counters.last_volume)
		finding(audit, "v%" PRIu64 " is stored in the wrong place", volume.id);
	if (volume.revision > audit->counters.revision)
		finding(audit, "v%" PRIu64 " has a revision of the future", volume.id);
	if (volume.hosts.count > 0 && volume_is_leaving(volume.phase))
		finding(audit, "v%" PRIu64 " is being deleted and has hosts", volume.id);
	if (volume.phase != VOLUME_PHASE_RELEASING) {
		audit->volume_names++;
		result =
			state_get_id(&audit->state, STORE_TABLE_VOLUME_NAME, key_text(&index, volume.name), &id, error);
		if (audit->state.broken)
			return result;
		if (id != volume.id)
			finding(audit, "the name \"%s\" does not lead to v%" PRIu64, volume.name, volume.id);
		result = 0;
	}
	if ((volume.leg_port != 0) != (volume.slots.count > 1))
		finding(audit, "v%" PRIu64 " has %zu slots and port %" PRIu64 " for its legs", volume.id,
			volume.slots.count, volume.leg_port);
	if (volume.leg_port != 0) {
		audit->leg_ports++;
		result = state_get_id(&audit->state, STORE_TABLE_LEG_PORT, key_id(&index, volume.leg_port), &id, error);
		if (audit->state.broken)
			return result;
		if (result != 0 || id != volume.id)
			finding(audit, "port %" PRIu64 " is not listed as v%" PRIu64 "'s", volume.leg_port, volume.id);
		result = 0;
	}
	snapshots_audit(audit, &volume);
	for (size_t i = 0; i < volume.slots.count; i++) {
		if (volume.slots.items[i].next != NULL && volume.operation == 0)
			finding(audit, "no job moves slot %zu of v%" PRIu64 " to node \"%s\"", i, volume.id,
				volume.slots.items[i].next);
	}
	if (volume.operation != 0)
		result = operation_audit(audit, &volume);
	if (result != 0)
		return result;
	settled = volume_is_settled(&volume);
	listed = exists(audit, STORE_TABLE_TRANSITION, key_id(&index, volume.id), &result);
	audit->transitions += !settled;
	if (result == 0 && listed == settled)
		finding(audit, "v%" PRIu64 " in phase %s%s %s listed as in transition", volume.id,
			ENUM_NAME(volume_phase, volume.phase), settled ? ", settled," : "", listed ? "is" : "is not");
	for (size_t i = 0; i < volume.slots.count; i++) {
		const struct slot *slot = &volume.slots.items[i];

		if (slot->phase != SLOT_PHASE_SERVING && volume.phase != VOLUME_PHASE_ONLINE &&
		    !volume_is_leaving(volume.phase))
			finding(audit, "slot %zu of v%" PRIu64 " moves before the volume was online", i, volume.id);
		if (slot->previous != NULL && slot->phase != SLOT_PHASE_FENCING && slot->phase != SLOT_PHASE_ASSEMBLING)
			finding(audit, "slot %zu of v%" PRIu64 " is imported from two nodes", i, volume.id);
		if (slot->earliest > 0 && (slot->earliest >= slot->epoch ||
					   (slot->phase != SLOT_PHASE_FENCING && slot->phase != SLOT_PHASE_ASSEMBLING)))
			finding(audit,
				"the holder of slot %zu of v%" PRIu64 " is said to have something of epoch %" PRIu64
				" left, but the slot is %s in epoch %" PRIu64,
				i, volume.id, slot->earliest, ENUM_NAME(slot_phase, slot->phase), slot->epoch);
	}
	for (size_t i = 0; result == 0 && i < volume.hosts.count; i++) {
		audit->host_volumes++;
		if (!exists(audit, STORE_TABLE_HOST_VOLUME, key_text_id(&index, volume.hosts.items[i], volume.id),
			    &result) &&
		    result == 0)
			finding(audit, "host %s is not listed with v%" PRIu64, volume.hosts.items[i], volume.id);
	}
	if (result == 0)
		result = controllers_audit(audit, &volume);
	if (result == 0)
		result = legs_audit(audit, &volume);
	return result;
}
