/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node is forgotten: one that holds nothing, or (`dead`) one that never comes back, with what it holds.
 *
 *   standby, retired       dropped: nobody waits for it any more. That its kernel is gone is the operator's promise.
 *   member, not in sync    freed, and "lost": another LD takes its place
 *   LD that leaves, or of a volume that is released        freed
 *   LD of a group that is not part of its leg yet          freed, and "lost": the job that made it is undone
 *   disk                   removed
 *   active, or a member in sync        refused: something is only there, or is served from there
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/volume.h"

/* Which volumes keep the node, and what would let it go. */
static int controllers_refuse(struct state *state, const struct node *node, struct error *error)
{
	const struct controller *retired = NULL;
	struct volume volume;
	struct id_list volumes;
	int result = state_node_volumes(state, node->name, &volumes, error);

	for (size_t i = 0; result == 0 && i < volumes.count; i++) {
		const struct controller *controller;

		result = state_volume(state, volumes.items[i], &volume, error);
		if (result != 0)
			break;
		controller = volume_controller(&volume, node->name);
		if (controller == NULL)
			continue;
		if (controller->role != CONTROLLER_ROLE_RETIRED) {
			retired = NULL;
			break;
		}
		retired = controller;
	}
	if (result != 0)
		return result;
	if (retired != NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "node \"%s\" has to take down what it has of %" PRIu64 " volumes, the last is \"%s\"",
			  node->name, node->controllers, volume.name);
		error_hint(error,
			   "start its agent, and wait until it is clean; if the machine never comes back: dnvme node "
			   "forget %s --yes",
			   node->name);
		return ERROR_FAILED_PRECONDITION;
	}
	error_set(error, ERROR_FAILED_PRECONDITION, "node \"%s\" holds %" PRIu64 " controllers", node->name,
		  node->controllers);
	error_hint(error, "run: dnvme node drain %s", node->name);
	return ERROR_FAILED_PRECONDITION;
}

/* --- with what it holds ---------------------------------------------------------------------------------------------
 */

struct forgetting {
	struct transition *transition;
	const struct node *node;
	struct id_list disks; /* of the node */
	size_t refused;
	struct error *error;
};

static bool is_on_node(const struct forgetting *this, const struct ld *ld)
{
	for (size_t i = 0; i < this->disks.count; i++) {
		if (this->disks.items[i] == ld->disk)
			return ld->state != LD_STATE_FREED;
	}
	return false;
}

/* All that stands in the way is named, not only the first. */
static void refuse(struct forgetting *this, const char *what)
{
	if (this->refused++ == 0) {
		error_set(this->error, ERROR_FAILED_PRECONDITION, "node \"%s\" holds what is needed", this->node->name);
		error_hint(this->error, "dnvme node forget %s says what, and what can be done", this->node->name);
	}
	error_detail(this->error, "%s", what);
}

static int refuse_text(struct forgetting *this, const char *text)
{
	if (text == NULL)
		return state_nomem(&this->transition->state, this->error);
	refuse(this, text);
	return 0;
}

static int member_lose(struct forgetting *this, struct volume *volume, const struct ld_place *place)
{
	struct ld *ld = place->ld;
	struct arena *arena = this->transition->state.arena;
	int result;

	/* Nothing of value is on a group that is not part of its leg; the job that made it is undone. */
	if (ld->state == LD_STATE_IN_SYNC && volume->phase != VOLUME_PHASE_RELEASING && place->group->state == 0)
		return refuse_text(this,
				   arena_printf(arena, "ld%" PRIu64 " of volume \"%s\" is in sync, on disk d%" PRIu64,
						ld->id, volume->name, ld->disk));
	result = volume_ld_free(this->transition, volume, place, this->error);
	if (result != 0 || volume->phase == VOLUME_PHASE_RELEASING)
		return result;
	ld->stale_reason = STALE_REASON_LOST;
	ld->resync = ld->whole = false;
	volume_ld_since_set(ld, this->transition->time_ms);
	return 0;
}

static int lds_lose(struct forgetting *this, struct volume *volume, bool *changed)
{
	struct ld_place place = { 0 };
	int result = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			place.leg = &volume->legs.items[l];
			place.group = &place.leg->groups.items[g];
			for (size_t m = 0; result == 0 && m < place.group->members.count; m++) {
				place.ld = &place.group->members.items[m];
				if (!is_on_node(this, place.ld))
					continue;
				*changed = true;
				result = member_lose(this, volume, &place);
			}
		}
	}
	/* Each that is freed leaves the list. */
	for (size_t i = volume->leaving.count; result == 0 && i > 0; i--) {
		place = (struct ld_place){ .leaving = &volume->leaving.items[i - 1],
					   .ld = volume->leaving.items[i - 1].ld };
		if (!is_on_node(this, place.ld))
			continue;
		*changed = true;
		result = volume_ld_free(this->transition, volume, &place, this->error);
	}
	return result;
}

static int controller_lose(struct forgetting *this, struct volume *volume, bool *changed)
{
	struct controller *controller = volume_controller(volume, this->node->name);
	struct arena *arena = this->transition->state.arena;

	if (controller == NULL)
		return 0;
	if (controller->role == CONTROLLER_ROLE_ACTIVE)
		return refuse_text(this, arena_printf(arena, "it holds slot %" PRIu64 " of volume \"%s\", which is %s",
						      controller->slot, volume->name,
						      ENUM_NAME(volume_phase, volume->phase)));
	*changed = true;
	return volume_controller_remove(this->transition, volume, controller, this->error);
}

static int volume_lose(struct forgetting *this, uint64_t id)
{
	struct transition *transition = this->transition;
	struct volume volume;
	bool changed = false;
	int result = state_volume(&transition->state, id, &volume, this->error);

	if (result != 0) {
		transition->state.broken = true; /* the index led here */
		return result;
	}
	result = lds_lose(this, &volume, &changed);
	if (result != 0)
		return result;
	if (volume.phase == VOLUME_PHASE_RELEASING && volume_lds_count(&volume, 0) == 0) {
		transition_touch(transition);
		result = volume_remove(transition, &volume, this->error);
		return result == 0 ? transition_changed_volume(transition, &volume, true, this->error) : result;
	}
	result = controller_lose(this, &volume, &changed);
	if (result == 0 && changed && this->refused == 0)
		result = volume_store(transition, &volume, this->error);
	return result;
}

static int holdings_lose(struct transition *transition, const struct node *node, const struct id_list *disks,
			 struct error *error)
{
	struct forgetting this = { .transition = transition, .node = node, .disks = *disks, .error = error };
	struct state *state = &transition->state;
	struct id_list volumes;
	struct disk disk;
	int result = state_node_volumes(state, node->name, &volumes, error);

	for (size_t i = 0; result == 0 && i < volumes.count; i++)
		result = volume_lose(&this, volumes.items[i]);
	if (result == 0 && this.refused > 0)
		return ERROR_FAILED_PRECONDITION;
	for (size_t i = 0; result == 0 && i < disks->count; i++) {
		result = state_disk(state, disks->items[i], &disk, error);
		if (result == 0)
			result = disk_drop(transition, &disk, error);
	}
	return result;
}

static int holds_nothing_check(struct state *state, const struct node *node, const struct id_list *disks,
			       struct error *error)
{
	if (disks->count > 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "node \"%s\" has %zu disks, the first is d%" PRIu64,
			  node->name, disks->count, disks->items[0]);
		error_hint(error,
			   "run: dnvme disk remove d%" PRIu64 "; if the machine never comes back: dnvme node forget %s "
			   "--yes",
			   disks->items[0], node->name);
		return ERROR_FAILED_PRECONDITION;
	}
	return node->controllers > 0 ? controllers_refuse(state, node, error) : 0;
}

int command_node_forget_apply(struct transition *transition, const struct command_node_forget *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	struct id_list disks;
	struct node node;
	struct key key;
	int result = state_node(state, command->name, &node, error);

	if (result == 0)
		result = state_node_disks(state, command->name, &disks, error);
	if (result == 0)
		result = command->dead ? holdings_lose(transition, &node, &disks, error)
				       : holds_nothing_check(state, &node, &disks, error);
	if (result != 0)
		return result;
	transition->id = node.name;
	transition_touch(transition);
	result = state_delete(state, STORE_TABLE_NODE, key_text(&key, node.name), error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, NODE_REMOVED, error);
	return result;
}
