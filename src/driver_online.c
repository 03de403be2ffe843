/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/driver_online.h"

#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/base/clock.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/hosts.h"
#include "src/leader/operations.h"
#include "src/leader/snapshots.h"
#include "src/leader/volumes.h"
#include "src/view.h"

/* --- the view ----------------------------------------------------------------------------------------------------- */

struct filling {
	struct dnvmed *dnvmed;
	struct arena *arena;
	struct online_node *nodes;
	struct online_disk *disks;
	size_t node_count, disk_count;
	uint64_t now_ms;
	bool strict;
};

static bool path_is_there(const struct agent *agent, const struct disk *disk)
{
	/* Without an inventory nothing is known. */
	if (agent->session == NULL || agent->inventory.count == 0)
		return true;
	for (size_t i = 0; i < agent->inventory.count; i++) {
		const struct inventory_disk *there = &agent->inventory.items[i];

		if (strcmp(there->path, disk->path) == 0)
			return true;
		if (disk->serial != NULL && disk->serial[0] != '\0' && there->serial != NULL &&
		    strcmp(there->serial, disk->serial) == 0)
			return true;
	}
	return false;
}

static int node_add(struct filling *filling, const char *name, const struct online_node **ret_node, struct error *error)
{
	struct dnvmed *dnvmed = filling->dnvmed;
	const struct agent *agent;
	struct online_node *made;
	struct node node;

	for (size_t i = 0; i < filling->node_count; i++) {
		if (strcmp(filling->nodes[i].name, name) == 0) {
			*ret_node = &filling->nodes[i];
			return 0;
		}
	}
	if (fsm_node_get(dnvmed->fsm, name, filling->arena, &node, error) != 0)
		return error->code;
	made = &filling->nodes[filling->node_count++];
	*made = (struct online_node){ .name = node.name,
				      .health = HEALTH_UNKNOWN,
				      .heard_ms = dnvmed->leader_since_ms,
				      .cordoned = node.cordoned,
				      .draining = node.draining,
				      .moves = node.moves,
				      .unable = filling->strict && !node.writethrough,
				      .controllers = node.controllers };
	memcpy(made->boot_id, node.boot_id, sizeof(made->boot_id));
	agent = agents_get(dnvmed, name);
	if (agent != NULL) {
		made->health = agent->health.state;
		made->reported = &agent->reported;
		if (agent->health.heard)
			made->heard_ms = agent->health.heard_ms;
		if (agent->health.state == HEALTH_OFFLINE)
			made->offline_ms = filling->now_ms - agent->offline_since_ms;
	}
	*ret_node = made;
	return 0;
}

static int disk_add(struct filling *filling, const struct ld *ld, struct error *error)
{
	const struct online_node *node;
	const struct agent *agent;
	struct disk disk;

	if (ld->state == LD_STATE_FREED)
		return 0;
	for (size_t i = 0; i < filling->disk_count; i++) {
		if (filling->disks[i].id == ld->disk)
			return 0;
	}
	if (fsm_disk_get(filling->dnvmed->fsm, ld->disk, filling->arena, &disk, error) != 0 ||
	    node_add(filling, disk.node, &node, error) != 0)
		return error->code;
	agent = agents_get(filling->dnvmed, disk.node);
	filling->disks[filling->disk_count++] =
		(struct online_disk){ .id = disk.id,
				      .node = node,
				      .draining = disk.draining,
				      .held = disk.held,
				      .gone = node->health == HEALTH_ONLINE && agent != NULL &&
					      !path_is_there(agent, &disk) };
	return 0;
}

static int disks_add(struct filling *filling, const struct volume *volume, struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (disk_add(filling, &members->items[m], error) != 0)
					return error->code;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (disk_add(filling, volume->leaving.items[i].ld, error) != 0)
			return error->code;
	}
	return 0;
}

int driver_online_view(struct dnvmed *dnvmed, const struct volume *volume, const struct moments *moments,
		       struct arena *arena, struct online_view *ret_view, struct error *error)
{
	struct filling filling = { .dnvmed = dnvmed,
				   .arena = arena,
				   .now_ms = clock_boot_ms(),
				   .strict = volume->durability == DURABILITY_STRICT };
	const struct online_node *node;
	struct online_view view;
	struct cluster cluster;

	filling.nodes =
		arena_alloc_array(arena, volume->controllers.count + volumes_ld_count(volume), sizeof(*filling.nodes));
	filling.disks = arena_alloc_array(arena, volumes_ld_count(volume) + 1, sizeof(*filling.disks));
	if (filling.nodes == NULL || filling.disks == NULL)
		return error_set_nomem(error);
	if (fsm_cluster_get(dnvmed->fsm, arena, &cluster, error) != 0)
		return error->code;
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (node_add(&filling, volume->controllers.items[i].node, &node, error) != 0)
			return error->code;
	}
	if (disks_add(&filling, volume, error) != 0)
		return error->code;
	view = (struct online_view){ .whole = volume,
				     .nodes = filling.nodes,
				     .node_count = filling.node_count,
				     .disks = filling.disks,
				     .disk_count = filling.disk_count,
				     .moments = moments,
				     .reach = hosts_reach(dnvmed, volume->id),
				     .now_ms = filling.now_ms,
				     .leader_since_ms = dnvmed->leader_since_ms,
				     .wall_ms = clock_wall_ms(),
				     .rebuild_after_ms =
					     cluster.settings != NULL ? cluster.settings->rebuild_after_ms : 0 };
	if (operations_served(volume, arena, &view.volume, error) != 0)
		return error->code;
	for (size_t i = 0; i < volume->slots.count; i++) {
		const struct agent *agent = agents_get(dnvmed, volume->slots.items[i].holder);

		view.rebuilds[i] = agent != NULL ? agent->rebuilds : 0;
	}
	*ret_view = view;
	return 0;
}

int driver_online_operation(struct dnvmed *dnvmed, const struct online_view *view, struct arena *arena,
			    struct online_step *step, struct error *error)
{
	struct operation operation;

	if (view->whole->operation == 0)
		return snapshots_purge(view, arena, step, error);
	if (fsm_operation_get(dnvmed->fsm, view->whole->operation, arena, &operation, error) != 0)
		return error->code;
	return operations_step(view, &operation, arena, step, error);
}

/* --- placement ---------------------------------------------------------------------------------------------------- */

/* A sentence with what placement found, for people who wait. */
static int no_place(const struct error *reason, const char *what, struct arena *arena, struct online_step *step,
		    struct error *error)
{
	const char *first = step->waits_for != NULL ? step->waits_for : "";
	const char *text =
		arena_printf(arena, "%.400s%s%s: %.500s", first, first[0] != '\0' ? "; " : "", what, reason->message);

	step->placeless = true;
	if (text == NULL)
		return error_set_nomem(error);
	step->waits_for = text;
	return 0;
}

static int place_standby(const struct volume *volume, const struct placement_view *view, struct arena *arena,
			 struct online_step *step, struct error *error)
{
	struct command_controller_add *add;
	struct error reason;
	const char *node;
	int rv = placement_standby(view, volume, arena, &node, &reason);

	if (rv == ERROR_NO_CAPACITY)
		return no_place(&reason, "a standby finds no node", arena, step, error);
	if (rv != 0) {
		*error = reason;
		return rv;
	}
	step->command = online_command(arena, sizeof(*add), &add, error);
	if (step->command == NULL)
		return error->code;
	*add = (struct command_controller_add){ .volume = volume->id, .node = node };
	step->command->controller_add = add;
	return 0;
}

static int place_replacement(const struct volume *volume, const struct placement_view *view, struct arena *arena,
			     struct online_step *step, struct error *error)
{
	struct command_ld_replace *replace;
	struct error reason;
	uint64_t disk;
	int rv = placement_replacement(view, volume, step->replace_ld, arena, &disk, &reason);

	if (rv == ERROR_NO_CAPACITY)
		return no_place(&reason, "a lost LD finds no other disk", arena, step, error);
	if (rv != 0) {
		*error = reason;
		return rv;
	}
	step->command = online_command(arena, sizeof(*replace), &replace, error);
	if (step->command == NULL)
		return error->code;
	*replace = (struct command_ld_replace){ .volume = volume->id,
						.slot = step->replace_slot,
						.epoch = volume->slots.items[step->replace_slot].epoch,
						.ld = step->replace_ld,
						.disk = disk };
	step->command->ld_replace = replace;
	return 0;
}

static int place_move(const struct volume *volume, const struct placement_view *view, struct arena *arena,
		      struct online_step *step, struct error *error)
{
	struct command_ld_move *move;
	struct error reason;
	uint64_t disk;
	int rv = placement_move(view, volume, step->move_ld, arena, &disk, &reason);

	if (rv == ERROR_NO_CAPACITY)
		return no_place(&reason, "an LD on a disk that is drained finds no other one", arena, step, error);
	if (rv != 0) {
		*error = reason;
		return rv;
	}
	step->command = online_command(arena, sizeof(*move), &move, error);
	if (step->command == NULL)
		return error->code;
	*move = (struct command_ld_move){ .volume = volume->id,
					  .slot = step->move_slot,
					  .epoch = volume->slots.items[step->move_slot].epoch,
					  .ld = step->move_ld,
					  .disk = disk };
	step->command->ld_move = move;
	return 0;
}

int driver_online_place(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			struct online_step *step, struct error *error)
{
	struct placement_view view = { 0 };

	if (step->command != NULL || (!step->add_standby && step->replace_ld == 0 && step->move_ld == 0))
		return 0;
	if (view_fill(dnvmed, arena, &view, error) != 0)
		return error->code;
	if (step->add_standby && place_standby(volume, &view, arena, step, error) != 0)
		return error->code;
	if (step->command == NULL && step->replace_ld != 0)
		return place_replacement(volume, &view, arena, step, error);
	if (step->command == NULL && step->move_ld != 0)
		return place_move(volume, &view, arena, step, error);
	return 0;
}
