/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_mutate.h"

#include <stdlib.h>
#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/handlers.h"
#include "src/request.h"
#include "src/view.h"

#define VOLUME_UNIT_BYTES 4096u

static void *record_make(struct request *request, size_t size, struct error *error)
{
	void *record = arena_alloc(&request->arena, size);

	if (record == NULL)
		error_set_nomem(error);
	return record;
}

/* --- the cluster ------------------------------------------------------------------------------------------- */

int cluster_set_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct cluster_set_request *params = request->params;

	command->cluster_set = record_make(request, sizeof(*command->cluster_set), error);
	if (command->cluster_set == NULL)
		return error->code;
	command->cluster_set->settings = params->settings;
	return 0;
}

/* --- nodes ------------------------------------------------------------------------------------------------ */

static int cordon(struct request *request, bool cordoned, bool draining, struct command *command, struct error *error)
{
	const struct name_request *params = request->params;

	command->node_cordon = record_make(request, sizeof(*command->node_cordon), error);
	if (command->node_cordon == NULL)
		return error->code;
	*command->node_cordon =
		(struct command_node_cordon){ .name = params->name, .cordoned = cordoned, .draining = draining };
	return 0;
}

int node_cordon_prepare(struct request *request, struct command *command, struct error *error)
{
	return cordon(request, true, false, command, error);
}

int node_uncordon_prepare(struct request *request, struct command *command, struct error *error)
{
	return cordon(request, false, false, command, error);
}

int node_drain_prepare(struct request *request, struct command *command, struct error *error)
{
	return cordon(request, true, true, command, error);
}

/* --- disks ------------------------------------------------------------------------------------------------ */

static const struct inventory_disk *inventory_find(const struct agent *agent, const char *path)
{
	for (size_t i = 0; i < agent->inventory.count; i++) {
		if (strcmp(agent->inventory.items[i].path, path) == 0)
			return &agent->inventory.items[i];
	}
	return NULL;
}

/* An agent may say that a disk is in use, and not why. */
static const char *used_by(const struct inventory_disk *disk)
{
	return disk->used_by != NULL ? disk->used_by : "by something that is not ours";
}

static int no_such_path(const struct agent *agent, const char *path, struct error *error)
{
	error_set(error, ERROR_NOT_FOUND, "path: node %s has no block device %s", agent->name, path);
	error_hint(error, agent->inventory.count > 0 ? "it has the ones below" : "it reports no block device at all");
	for (size_t i = 0; i < agent->inventory.count; i++) {
		const struct inventory_disk *disk = &agent->inventory.items[i];

		error_detail(error, "%s %llu bytes%s%s", disk->path, (unsigned long long)disk->size_bytes,
			     disk->in_use ? ", in use: " : "", disk->in_use ? used_by(disk) : "");
	}
	return ERROR_NOT_FOUND;
}

static int cache_refused(const struct disk_add_request *params, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "path: %s of node %s has a volatile write cache that cannot be switched off: writes that were "
		  "acknowledged and not flushed would be lost when nodes lose power",
		  params->path, params->node);
	return error_hint(error, "take another disk, or switch the cache off by the means of its maker; to take it as "
				 "it is: --accept-volatile-cache");
}

int disk_add_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct disk_add_request *params = request->params;
	const struct agent *agent;
	const struct inventory_disk *found;
	struct node node;
	bool fixed;

	if (fsm_node_get(request->dnvmed->fsm, params->node, &request->arena, &node, error) != 0)
		return error->code;
	agent = agents_get(request->dnvmed, params->node);
	if (agent == NULL || agent->session == NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "the agent of node %s is not connected, so its block devices cannot be checked",
			  params->node);
		return error_hint(error, "start dnvme-agent on the node");
	}
	found = inventory_find(agent, params->path);
	if (found == NULL)
		return no_such_path(agent, params->path, error);
	if (found->in_use) {
		error_set(error, ERROR_FAILED_PRECONDITION, "path: %s of node %s is in use: %s", params->path,
			  params->node, used_by(found));
		return error_hint(error, "if nobody needs what is on it, unmount it and run on %s: wipefs -a %s",
				  params->node, params->path);
	}
	if (found->size_bytes < LIMIT_DISK_BYTES_MIN || found->size_bytes > LIMIT_DISK_BYTES_MAX)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "path: %s of node %s has %llu bytes; a disk has from %llu to %llu", params->path,
				 params->node, (unsigned long long)found->size_bytes,
				 (unsigned long long)LIMIT_DISK_BYTES_MIN, (unsigned long long)LIMIT_DISK_BYTES_MAX);
	/* One that can be switched off will be, before anything lies on it. */
	fixed = found->volatile_cache && !found->cache_switchable;
	if (fixed && !params->accept_volatile_cache)
		return cache_refused(params, error);
	command->disk_add = record_make(request, sizeof(*command->disk_add), error);
	if (command->disk_add == NULL)
		return error->code;
	*command->disk_add = (struct command_disk_add){ .node = params->node,
							.path = params->path,
							.size_bytes = found->size_bytes,
							.volatile_cache = fixed,
							.cache_accepted = fixed };
	/* The inventory may change before the command is encoded again. */
	if (found->serial != NULL) {
		command->disk_add->serial = arena_strdup(&request->arena, found->serial);
		if (command->disk_add->serial == NULL)
			return error_set_nomem(error);
	}
	return 0;
}

/* Nobody can say later that nobody knew. */
void disk_add_committed(struct request *request, const struct outcome *outcome)
{
	const struct disk_add_request *params = request->params;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };
	struct disk disk;
	struct error error;
	uint64_t id;

	if (names_id_parse("d", outcome->id, &id) == 0 &&
	    fsm_disk_get(request->dnvmed->fsm, id, &request->arena, &disk, &error) == 0 && disk.cache_accepted)
		log_warning("a disk is taken whose volatile write cache stays on, as its operator accepts",
			    "disk=d%llu node=%s path=%s", (unsigned long long)id, params->node, params->path);
	request_reply(request, &reply);
}

int disk_remove_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct name_request *params = request->params;
	uint64_t id;

	if (names_id_parse("d", params->name, &id) != 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "name: \"%s\" is not the id of a disk", params->name);
		return error_hint(error, "ids of disks are like d1; run: dnvme disk list");
	}
	command->disk_remove = record_make(request, sizeof(*command->disk_remove), error);
	if (command->disk_remove == NULL)
		return error->code;
	command->disk_remove->id = id;
	return 0;
}

/* --- placing a volume ------------------------------------------------------------------------------------- */

static int node_compare(const void *name, const void *node)
{
	return strcmp(name, ((const struct node *)node)->name);
}

/* Nodes come in the order of their names. */
static void charge_node(struct placement_view *view, const char *name)
{
	struct node *node =
		bsearch(name, view->nodes.items, view->nodes.count, sizeof(*view->nodes.items), node_compare);

	if (node != NULL)
		node->controllers++;
}

/* Disks come in the order of their ids. */
static struct disk *disk_find(struct placement_view *view, uint64_t id)
{
	size_t low = 0, high = view->disks.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (view->disks.items[middle].id == id)
			return &view->disks.items[middle];
		if (view->disks.items[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* What is proposed but not yet applied takes room, too: else volumes that are created at the same time would all
 * choose the same disks. */
static void view_charge(struct placement_view *view, const struct command_volume_create *create)
{
	for (size_t i = 0; i < create->actives.count; i++)
		charge_node(view, create->actives.items[i]);
	for (size_t i = 0; i < create->standby_nodes.count; i++)
		charge_node(view, create->standby_nodes.items[i]);
	for (size_t l = 0; l < create->legs.count; l++) {
		const struct place_leg *leg = &create->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				struct disk *disk = disk_find(view, leg->groups.items[g].members.items[m].disk);

				if (disk == NULL)
					continue;
				disk->extents_free -= leg->group_extents < disk->extents_free ? leg->group_extents
											      : disk->extents_free;
				disk->lds++;
			}
		}
	}
}

static int names_keep(struct string_list *names, struct arena *arena)
{
	for (size_t i = 0; i < names->count; i++) {
		names->items[i] = arena_strdup(arena, names->items[i]);
		if (names->items[i] == NULL)
			return -1;
	}
	return 0;
}

static int create_check(const struct volume_create_request *params, struct error *error)
{
	if (params->size_bytes % VOLUME_UNIT_BYTES != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "size_bytes: %llu is not a multiple of %u",
				 (unsigned long long)params->size_bytes, VOLUME_UNIT_BYTES);
	return 0;
}

int volume_create_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_create_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct placement_request wanted = {
		.name = params->name,
		.size_bytes = params->size_bytes,
		.copies = params->copies > 0 ? params->copies : 2,
		.controllers = params->controllers > 0 ? params->controllers : 1,
		.standbys = params->standbys,
		.legs_per_controller = params->legs > 0 ? params->legs : 1,
		.spread = params->spread != 0 ? params->spread : SPREAD_NODE,
		.provision = params->provision != 0 ? params->provision : PROVISION_THICK,
		.durability = params->durability,
	};
	struct placement_view view = { 0 };
	struct volume existing;
	int rv;

	if (create_check(params, error) != 0)
		return error->code;
	/* Placement would complain of what hardly matters for a name that is taken. */
	rv = fsm_volume_find(dnvmed->fsm, params->name, &request->arena, &existing, error);
	if (rv == 0 && strcmp(existing.name, params->name) == 0) {
		error_set(error, ERROR_ALREADY_EXISTS, "name: there is a volume \"%s\" already", params->name);
		return error_detail(error, "id=v%llu", (unsigned long long)existing.id);
	}
	if (rv != 0 && rv != ERROR_NOT_FOUND)
		return rv;
	error_clear(error);
	uuid_random(wanted.uuid);
	if (view_fill(dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	list_for_each(node, next, &dnvmed->creating)
		view_charge(&view, list_entry(node, struct request, create_link)->create);
	command->volume_create = record_make(request, sizeof(*command->volume_create), error);
	if (command->volume_create == NULL)
		return error->code;
	if (placement_plan(&wanted, &view, &request->arena, command->volume_create, error) != 0)
		return view_refused(&view, error);
	/* The command is counted in (view_charge) while it is under way, and the view's names are not for so long. */
	if (names_keep(&command->volume_create->actives, &request->arena) != 0 ||
	    names_keep(&command->volume_create->standby_nodes, &request->arena) != 0)
		return error_set_nomem(error);
	return 0;
}

/* --- volumes that exist ------------------------------------------------------------------------------------- */

int volume_delete_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct name_request *params = request->params;

	command->volume_delete = record_make(request, sizeof(*command->volume_delete), error);
	if (command->volume_delete == NULL)
		return error->code;
	command->volume_delete->name = params->name;
	return 0;
}

int volume_attach_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_host_request *params = request->params;

	if (names_nqn_check("host_nqn", params->host_nqn, error) != 0)
		return error->code;
	command->host_attach = record_make(request, sizeof(*command->host_attach), error);
	if (command->host_attach == NULL)
		return error->code;
	*command->host_attach = (struct command_host_attach){ .volume = params->volume, .nqn = params->host_nqn };
	return 0;
}

int volume_detach_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_host_request *params = request->params;

	if (names_nqn_check("host_nqn", params->host_nqn, error) != 0)
		return error->code;
	command->host_detach = record_make(request, sizeof(*command->host_detach), error);
	if (command->host_detach == NULL)
		return error->code;
	*command->host_detach = (struct command_host_detach){ .volume = params->volume, .nqn = params->host_nqn };
	return 0;
}

int handler_detach_check(struct request *request, const char **ret_waits_for, struct error *error)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct arena arena = ARENA_INIT;
	const char *waits_for = NULL;
	struct volumes_parts parts;
	struct volume volume;
	int rv = fsm_volume_get(dnvmed->fsm, request->volume, &arena, &volume, error);

	if (rv == ERROR_NOT_FOUND) {
		rv = 0; /* gone, and every controller with it */
	} else if (rv == 0) {
		rv = driver_parts(dnvmed, &volume, &arena, &parts, error);
		if (rv == 0)
			rv = volumes_converged(&volume, &parts, request->revision, &arena, &waits_for, error);
	}
	if (rv == 0 && waits_for != NULL) {
		/* Looked at after each report: the last sentence is kept for the deadline, the others need no room. */
		if (*ret_waits_for == NULL || strcmp(*ret_waits_for, waits_for) != 0)
			waits_for = arena_strdup(&request->arena, waits_for);
		else
			waits_for = *ret_waits_for;
		if (waits_for == NULL)
			rv = error_set_nomem(error);
	}
	arena_free(&arena);
	if (rv == 0)
		*ret_waits_for = waits_for;
	return rv;
}

void volume_detach_committed(struct request *request, const struct outcome *outcome)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };
	struct error failure;

	error_clear(&failure);
	request->revision = outcome->revision;
	request->outcome_id = outcome->id;
	if (outcome->id == NULL || names_id_parse("v", outcome->id, &request->volume) != 0) {
		error_set(&failure, ERROR_INTERNAL, "volume.detach: the outcome names no volume");
		request_fail(request, &failure);
	} else if (handler_detach_check(request, &request->waits_for, &failure) != 0) {
		request_fail(request, &failure);
	} else if (request->waits_for == NULL) {
		request_reply(request, &reply);
	} else {
		request_state_set(request, REQUEST_WAIT_AGENTS);
		list_append(&dnvmed->detaching, &request->state_link);
	}
}
