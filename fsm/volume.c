/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/volume.h"

#include <inttypes.h>
#include <string.h>

#include "fsm/extents.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

bool volume_is_leaving(enum volume_phase phase)
{
	return phase == VOLUME_PHASE_UNEXPORTING || phase == VOLUME_PHASE_DISMANTLING ||
	       phase == VOLUME_PHASE_RELEASING;
}

int fsm_volume_hold_check(const struct volume *volume, struct error *error)
{
	if (volume->hold == NULL)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "volume \"%s\" is held: the state may lack what was committed last about it", volume->name);
	return error_hint(error, "run: dnvme volume release %s", volume->name);
}

bool volume_is_settled(const struct volume *volume)
{
	uint64_t standbys = 0;

	if (volume->phase != VOLUME_PHASE_ONLINE || volume->leaving.count > 0 || volume->operation != 0 ||
	    volume->dropped_thins.count > 0)
		return false;
	for (size_t i = 0; i < volume->slots.count; i++) {
		if (volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			return false;
	}
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (volume->controllers.items[i].role == CONTROLLER_ROLE_RETIRED)
			return false;
		standbys += volume->controllers.items[i].role == CONTROLLER_ROLE_STANDBY;
	}
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			if (group_in_sync_count(&leg->groups.items[g]) < leg->groups.items[g].members.count ||
			    leg->groups.items[g].members.count > volume->copies)
				return false;
		}
	}
	return standbys == volume->standbys;
}

int volume_write(struct transition *transition, const struct volume *volume, struct error *error)
{
	struct state *state = &transition->state;
	bool settled = volume_is_settled(volume), listed = false;
	struct key key;
	int result = state_volume_put(state, volume, error);

	if (result == 0)
		result = state_has(state, STORE_TABLE_TRANSITION, key_id(&key, volume->id), &listed, error);
	if (result != 0 || listed != settled)
		return result;
	if (settled)
		return state_delete(state, STORE_TABLE_TRANSITION, key_id(&key, volume->id), error);
	return state_put_empty(state, STORE_TABLE_TRANSITION, key_id(&key, volume->id), error);
}

int volume_store(struct transition *transition, struct volume *volume, struct error *error)
{
	int result;

	volume->revision = transition_touch(transition);
	result = volume_write(transition, volume, error);
	if (result == 0)
		result = transition_changed_volume(transition, volume, false, error);
	return result;
}

/* --- slots and controllers ------------------------------------------------------------------------------------ */

int volume_slot_read(struct transition *transition, uint64_t id, uint64_t slot, uint64_t epoch,
		     struct volume *ret_volume, struct slot **ret_slot, struct error *error)
{
	struct volume volume;
	int result = state_volume(&transition->state, id, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	if (slot >= volume.slots.count)
		return error_set(error, ERROR_NOT_FOUND, "volume v%" PRIu64 " has no slot %" PRIu64, id, slot);
	if (volume.phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume v%" PRIu64 " is in phase %s, not online", id,
				 ENUM_NAME(volume_phase, volume.phase));
	if (fsm_volume_hold_check(&volume, error) != 0)
		return ERROR_FAILED_PRECONDITION;
	if (volume.slots.items[slot].epoch != epoch)
		return error_set(error, ERROR_CONFLICT,
				 "slot %" PRIu64 " of volume v%" PRIu64 " is in epoch %" PRIu64 ", not %" PRIu64, slot,
				 id, volume.slots.items[slot].epoch, epoch);
	*ret_volume = volume;
	*ret_slot = &ret_volume->slots.items[slot];
	return 0;
}

struct controller *volume_controller(const struct volume *volume, const char *node)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, node) == 0)
			return &volume->controllers.items[i];
	}
	return NULL;
}

static int controllers_sort(struct transition *transition, struct volume *volume, struct error *error)
{
	size_t count = volume->controllers.count, used = volume->slots.count;
	struct controller *sorted = arena_alloc_array(transition->state.arena, count, sizeof(*sorted));

	if (sorted == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < count; i++) {
		if (volume->controllers.items[i].role == CONTROLLER_ROLE_ACTIVE)
			sorted[volume->controllers.items[i].slot] = volume->controllers.items[i];
	}
	for (int role = CONTROLLER_ROLE_STANDBY; role <= CONTROLLER_ROLE_RETIRED; role++) {
		for (size_t i = 0; i < count; i++) {
			if (volume->controllers.items[i].role == (enum controller_role)role)
				sorted[used++] = volume->controllers.items[i];
		}
	}
	volume->controllers.items = sorted;
	return 0;
}

int volume_controllers_store(struct transition *transition, struct volume *volume, struct error *error)
{
	int result = controllers_sort(transition, volume, error);

	if (result == 0)
		result = volume_store(transition, volume, error);
	return result;
}

int volume_controller_admit(struct transition *transition, const struct volume *volume, struct node *node,
			    unsigned *colours, struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	int result;

	if (node->cordoned || node->storage_only)
		return error_set(error, ERROR_CONFLICT, "stale placement: node \"%s\" %s", node->name,
				 node->cordoned ? "is cordoned" : "holds no controllers");
	if (volume->durability == DURABILITY_STRICT && !node->writethrough)
		return error_set(error, ERROR_CONFLICT,
				 "stale placement: the kernel of node \"%s\" has no write-through target", node->name);
	if (*colours & 1u << node->colour)
		return error_set(error, ERROR_CONFLICT,
				 "stale placement: node \"%s\" has the colour %" PRIu64 " of another controller",
				 node->name, node->colour);
	*colours |= 1u << node->colour;
	/* Only a counter: what the node is told does not change, and so neither does its revision. */
	node->controllers++;
	result = state_node_put(state, node, error);
	if (result == 0)
		result = state_put_empty(state, STORE_TABLE_NODE_VOLUME, key_text_id(&key, node->name, volume->id),
					 error);
	return result;
}

int volume_controller_release(struct transition *transition, const struct volume *volume,
			      const struct controller *controller, struct error *error)
{
	struct state *state = &transition->state;
	struct node node;
	struct key key;
	int result = state_node(state, controller->node, &node, error);

	if (result != 0) {
		state->broken = true; /* a controller keeps its node */
		return result;
	}
	node.controllers--;
	result = state_node_put(state, &node, error);
	if (result == 0)
		result = state_delete(state, STORE_TABLE_NODE_VOLUME, key_text_id(&key, node.name, volume->id), error);
	return result;
}

int volume_controller_remove(struct transition *transition, struct volume *volume, struct controller *controller,
			     struct error *error)
{
	size_t index = (size_t)(controller - volume->controllers.items);
	int result = volume_controller_release(transition, volume, controller, error);

	if (result != 0)
		return result;
	memmove(controller, controller + 1, (volume->controllers.count - index - 1) * sizeof(*controller));
	volume->controllers.count--;
	return 0;
}

/* --- LDs ------------------------------------------------------------------------------------------------------ */

int volume_ld_find(const struct volume *volume, uint64_t id, struct ld_place *ret_place, struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			struct group *group = &leg->groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				if (group->members.items[m].id != id)
					continue;
				*ret_place = (struct ld_place){ leg, group, NULL, &group->members.items[m] };
				return 0;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (volume->leaving.items[i].ld->id != id)
			continue;
		*ret_place = (struct ld_place){ NULL, NULL, &volume->leaving.items[i], volume->leaving.items[i].ld };
		return 0;
	}
	return error_set(error, ERROR_NOT_FOUND, "volume v%" PRIu64 " has no LD ld%" PRIu64, volume->id, id);
}

int volume_ld_find_text(const struct volume *volume, const char *text, struct ld_place *ret_place, struct error *error)
{
	uint64_t id;

	if (names_id_parse("ld", text, &id) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not the id of an LD", text);
	return volume_ld_find(volume, id, ret_place, error);
}

size_t group_in_sync_count(const struct group *group)
{
	size_t count = 0;

	for (size_t i = 0; i < group->members.count; i++)
		count += group->members.items[i].state == LD_STATE_IN_SYNC;
	return count;
}

uint64_t group_extents(const struct leg *leg, const struct group *group)
{
	return group->extents != 0 ? group->extents : leg->group_extents;
}

uint64_t leg_block_bytes(const struct leg *leg)
{
	return leg->block_bytes != 0 ? leg->block_bytes : layout_thin_block_bytes(leg->size_bytes);
}

size_t volume_lds_count(const struct volume *volume, uint64_t disk)
{
	size_t count = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				count += ld->state != LD_STATE_FREED && (disk == 0 || ld->disk == disk);
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++)
		count += disk == 0 || volume->leaving.items[i].ld->disk == disk;
	return count;
}

int volume_ld_make(struct transition *transition, uint64_t volume, struct disk *disk, uint64_t extents,
		   struct ld *ret_ld, struct error *error)
{
	struct state *state = &transition->state;
	struct ld ld = { .disk = disk->id, .state = LD_STATE_IN_SYNC };
	struct key key;
	int result;

	if (disk->held) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "disk d%" PRIu64 " is held since a restore: what lies in its free extents is not known",
			  disk->id);
		return error_hint(error, "run: dnvme disk release d%" PRIu64, disk->id);
	}
	result = extents_take(state, disk, extents, &ld.ranges, error);
	if (result != 0)
		return result;
	ld.id = ++transition->counters.last_ld;
	/* Only counters: what the Disk Node is told of the disk does not change, and so neither does its revision. */
	disk->extents_free -= extents;
	disk->lds++;
	result = state_disk_put(state, disk, error);
	if (result == 0)
		result = state_put_empty(state, STORE_TABLE_DISK_VOLUME, key_id_id(&key, disk->id, volume), error);
	if (result == 0)
		*ret_ld = ld;
	return result;
}

int volume_ld_free(struct transition *transition, struct volume *volume, const struct ld_place *place,
		   struct error *error)
{
	struct state *state = &transition->state;
	struct ld *ld = place->ld;
	struct disk disk;
	struct key key;
	size_t index;
	int result = state_disk(state, ld->disk, &disk, error);

	if (result != 0) {
		state->broken = true; /* an LD keeps its disk */
		return result;
	}
	for (size_t i = 0; i < ld->ranges.count; i++) {
		result = extents_give(state, disk.id, &ld->ranges.items[i], error);
		if (result != 0)
			return result;
		disk.extents_free += ld->ranges.items[i].length;
	}
	disk.lds--;
	result = state_disk_put(state, &disk, error);
	if (result != 0)
		return result;
	ld->state = LD_STATE_FREED;
	ld->doubtful = ld->forced = ld->withheld = ld->pending = false;
	volume_ld_errors_clear(ld);
	ld->ranges = (struct range_list){ 0 };
	if (place->leaving != NULL) {
		index = (size_t)(place->leaving - volume->leaving.items);
		memmove(place->leaving, place->leaving + 1,
			(volume->leaving.count - index - 1) * sizeof(*place->leaving));
		volume->leaving.count--;
	}
	if (volume_lds_count(volume, disk.id) == 0)
		result = state_delete(state, STORE_TABLE_DISK_VOLUME, key_id_id(&key, disk.id, volume->id), error);
	return result;
}

static bool id_list_has(const struct id_list *list, uint64_t id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == id)
			return true;
	}
	return false;
}

void volume_ld_since_set(struct ld *ld, uint64_t time_ms)
{
	ld->since_ms = time_ms > ld->since_ms ? time_ms : ld->since_ms + 1;
}

void volume_ld_stale(struct ld *ld, enum stale_reason reason, uint64_t time_ms)
{
	if (ld->state != LD_STATE_STALE) {
		ld->whole = ld->state == LD_STATE_IN_SYNC;
		volume_ld_since_set(ld, time_ms);
	}
	ld->state = LD_STATE_STALE;
	ld->stale_reason = reason;
	ld->doubtful = ld->forced = ld->withheld = false;
	volume_ld_errors_clear(ld);
}

void volume_ld_errors_clear(struct ld *ld)
{
	ld->failed_reads = NULL;
	ld->drain = 0;
}

/* Whether a member whose disk forgot what its cache held has to change. The last one in sync stays: there is nothing
 * better. What is stale already cannot come back by bitmap, which knows nothing of writes that the cache lost. */
static bool member_is_spoilt(const struct group *group, const struct ld *ld)
{
	switch (ld->state) {
	case LD_STATE_IN_SYNC:
		return group_in_sync_count(group) > 1;
	case LD_STATE_REBUILDING:
		return true;
	default:
		return ld->state == LD_STATE_STALE && ld->resync;
	}
}

static size_t beyond_doubt_count(const struct group *group)
{
	size_t count = 0;

	for (size_t m = 0; m < group->members.count; m++)
		count += group->members.items[m].state == LD_STATE_IN_SYNC && !group->members.items[m].doubtful;
	return count;
}

/* While its slot is fenced nobody serves, and the leader may yet find that the other members returned errors, which it
 * was never told of: then this one is the better one. So it is only marked, unless it is the last that is beyond doubt.
 */
static bool member_is_marked(const struct volume *volume, const struct leg *leg, const struct group *group,
			     struct ld *ld, bool *changed)
{
	if (ld->state != LD_STATE_IN_SYNC || volume->slots.items[leg->slot].phase != SLOT_PHASE_FENCING)
		return false;
	if (!ld->doubtful && beyond_doubt_count(group) > 1) {
		ld->doubtful = true;
		*changed = true;
	}
	return true;
}

bool volume_slot_is_served(const struct volume *volume, uint64_t slot)
{
	enum slot_phase phase = volume->slots.items[slot].phase;

	return phase == SLOT_PHASE_EXPORTING || phase == SLOT_PHASE_SERVING;
}

/* Another one was given up for it, but the holder may not have gone on without that one yet: then that one has all that
 * was acknowledged, and this one lacks what its cache held. The holder tells (ld_settle); when it dies before, nobody
 * knows. */
static bool member_is_withheld(const struct group *group, struct ld *ld, bool *changed)
{
	if (ld->state != LD_STATE_IN_SYNC || group_in_sync_count(group) > 1)
		return false;
	for (size_t m = 0; m < group->members.count && !ld->withheld; m++) {
		const struct ld *other = &group->members.items[m];

		if (!other->pending || other->stale_reason == STALE_REASON_REBOOTED)
			continue;
		ld->withheld = true;
		*changed = true;
	}
	return ld->withheld;
}

static bool was_awaited(const struct volume *volume, const struct leg *leg, const struct ld *ld)
{
	return ld->state == LD_STATE_STALE && ld->pending && ld->stale_reason == STALE_REASON_NOT_FENCED &&
	       volume->slots.items[leg->slot].phase == SLOT_PHASE_FENCING;
}

/* The last one that was beyond doubt is so no more. One that the fence waited for no longer, because of this one, has
 * all that was acknowledged: nobody has served since. So it is waited for again. One that lost its own cache is not. */
static void awaited_take_back(const struct volume *volume, const struct leg *leg, struct group *group, struct ld *ld,
			      uint64_t time_ms, bool *changed)
{
	if (was_awaited(volume, leg, ld)) {
		ld->pending = false;
		*changed = true;
	}
	if (ld->state != LD_STATE_IN_SYNC || ld->doubtful || beyond_doubt_count(group) > 1)
		return;
	for (size_t m = 0; m < group->members.count; m++) {
		struct ld *other = &group->members.items[m];

		if (!was_awaited(volume, leg, other))
			continue;
		other->state = LD_STATE_IN_SYNC;
		other->whole = other->pending = false;
		volume_ld_since_set(other, time_ms);
		*changed = true;
	}
}

bool volume_disks_rebooted(struct volume *volume, const struct id_list *disks, uint64_t time_ms)
{
	bool changed = false;

	if (volume->phase != VOLUME_PHASE_ONLINE && volume->phase != VOLUME_PHASE_EXPORTING)
		return false; /* nothing of value was written yet, or is needed any more */
	for (size_t l = 0; l < volume->legs.count; l++) {
		struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			struct group *group = &leg->groups.items[g];

			/* Nothing of value is on those that are not part of the leg. */
			for (size_t m = 0; group->state == 0 && m < group->members.count; m++) {
				struct ld *ld = &group->members.items[m];

				if (!id_list_has(disks, ld->disk))
					continue;
				awaited_take_back(volume, leg, group, ld, time_ms, &changed);
				if (member_is_withheld(group, ld, &changed) ||
				    member_is_marked(volume, leg, group, ld, &changed) || !member_is_spoilt(group, ld))
					continue;
				/* Its group may have failed the other one, and nobody was told yet. */
				ld->pending = ld->pending || (ld->state == LD_STATE_IN_SYNC &&
							      volume_slot_is_served(volume, leg->slot));
				volume_ld_stale(ld, STALE_REASON_REBOOTED, time_ms);
				ld->resync = false;
				changed = true;
			}
		}
	}
	return changed;
}
