/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_snapshot.h"

#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/base/clock.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/request.h"
#include "src/view.h"

/* --- to begin one ------------------------------------------------------------------------------------------------- */

/* An older agent would not know what it is told; and a standby may be the next holder. */
static int controllers_check(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			     struct error *error)
{
	struct node node;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_RETIRED)
			continue;
		if (fsm_node_get(dnvmed->fsm, controller->node, arena, &node, error) != 0)
			return error->code;
		if (node.snapshots)
			continue;
		error_set(error, ERROR_UNSUPPORTED,
			  "cannot snapshot volume \"%s\": the agent of node %s, a controller of it, cannot make "
			  "snapshots",
			  volume->name, node.name);
		return error_hint(error, "run a version of dnvme-agent there that can");
	}
	return 0;
}

/* Groups that are added are made as when a volume grows. */
static int disks_check(struct dnvmed *dnvmed, const struct place_growth_list *legs, const struct volume *volume,
		       struct arena *arena, struct error *error)
{
	struct disk disk;
	struct node node;

	for (size_t l = 0; l < legs->count; l++) {
		for (size_t g = 0; g < legs->items[l].groups.count; g++) {
			const struct place_ld_list *members = &legs->items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (fsm_disk_get(dnvmed->fsm, members->items[m].disk, arena, &disk, error) != 0 ||
				    fsm_node_get(dnvmed->fsm, disk.node, arena, &node, error) != 0)
					return error->code;
				if (node.grows)
					continue;
				error_set(error, ERROR_UNSUPPORTED,
					  "cannot snapshot volume \"%s\": the agent of node %s, a disk of which would "
					  "have "
					  "room for it, knows nothing of volumes that grow",
					  volume->name, node.name);
				return error_hint(error, "run a version of dnvme-agent there that does");
			}
		}
	}
	return 0;
}

static int volume_check(const struct volume *volume, struct error *error)
{
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is in phase %s, not online",
				 volume->name, ENUM_NAME(volume_phase, volume->phase));
	/* Placement would complain of what does not matter then. */
	if (volume->operation == 0)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "job j%llu works on volume \"%s\"",
		  (unsigned long long)volume->operation, volume->name);
	return error_hint(error, "run: dnvme job wait j%llu, or: dnvme job cancel j%llu",
			  (unsigned long long)volume->operation, (unsigned long long)volume->operation);
}

/* Whether it has one of that name; the index. */
static bool snapshot_find(const struct volume *volume, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		if (strcmp(volume->snapshots.items[i].name, name) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

int snapshot_create_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct snapshot_create_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct command_snapshot_create *create = arena_alloc(&request->arena, sizeof(*create));
	struct placement_view view = { 0 };
	struct volume volume;
	size_t index;

	if (create == NULL)
		return error_set_nomem(error);
	if (params->pause_limit_ms > 0 && params->pause_limit_ms < LIMIT_PAUSE_MS_MIN)
		return error_set(error, ERROR_INVALID_ARGUMENT, "pause_limit_ms: at least %u", LIMIT_PAUSE_MS_MIN);
	if (fsm_volume_find(dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0 ||
	    volume_check(&volume, error) != 0)
		return error->code;
	/* Before it says that there is no room for it. */
	if (snapshot_find(&volume, params->name, &index))
		return error_set(error, ERROR_ALREADY_EXISTS, "volume \"%s\" has a snapshot \"%s\"", volume.name,
				 params->name);
	if (controllers_check(dnvmed, &volume, &request->arena, error) != 0 ||
	    view_fill(dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	*create = (struct command_snapshot_create){
		.id = volume.id,
		.name = params->name,
		.pause_limit_ms = params->pause_limit_ms > 0 ? params->pause_limit_ms : LIMIT_PAUSE_MS_DEFAULT,
		.deadline_ms = params->deadline_ms > 0 ? clock_wall_ms() + params->deadline_ms : 0,
		.accept_flush = params->accept_flush,
	};
	if (placement_snapshot(&view, &volume, &request->arena, &create->legs, error) != 0 ||
	    disks_check(dnvmed, &create->legs, &volume, &request->arena, error) != 0)
		return error->code;
	command->snapshot_create = create;
	return 0;
}

/* --- to drop one -------------------------------------------------------------------------------------------------- */

int snapshot_delete_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct snapshot_delete_request *params = request->params;

	command->snapshot_delete = arena_alloc(&request->arena, sizeof(*command->snapshot_delete));
	if (command->snapshot_delete == NULL)
		return error_set_nomem(error);
	*command->snapshot_delete = (struct command_snapshot_delete){ .volume = params->volume, .name = params->name };
	return 0;
}

/* --- to look at them ---------------------------------------------------------------------------------------------- */

int snapshot_list_answer(struct request *request, struct error *error)
{
	const struct name_request *params = request->params;
	struct snapshot_page page;
	struct volume volume;

	if (fsm_volume_find(request->dnvmed->fsm, params->name, &request->arena, &volume, error) != 0)
		return error->code;
	page = (struct snapshot_page){ .volume = volume.id,
				       .volume_name = volume.name,
				       .snapshots = volume.snapshots,
				       .dropped_thins = volume.dropped_thins };
	request_reply(request, &page);
	return 0;
}

int snapshot_get_answer(struct request *request, struct error *error)
{
	const struct snapshot_request *params = request->params;
	struct snapshot_status status = { 0 };
	struct volume volume;
	size_t index;

	if (fsm_volume_find(request->dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0)
		return error->code;
	if (!snapshot_find(&volume, params->name, &index))
		return error_set(error, ERROR_NOT_FOUND, "volume \"%s\" has no snapshot \"%s\"", volume.name,
				 params->name);
	status.volume = volume.id;
	status.volume_name = volume.name;
	status.snapshot = &volume.snapshots.items[index];
	if (status.snapshot->state == SNAPSHOT_STATE_TAKING) {
		status.operation = volume.operation;
		if (driver_operation_waits_for(request->dnvmed, &volume, &request->arena, &status.waits_for, error) !=
		    0)
			return error->code;
	}
	request_reply(request, &status);
	return 0;
}
