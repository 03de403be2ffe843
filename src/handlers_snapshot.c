/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_snapshot.h"

#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/base/clock.h"
#include "lib/model/names.h"
#include "src/able.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/request.h"
#include "src/view.h"

/* --- to begin one ------------------------------------------------------------------------------------------------- */

static bool knows_snapshots(const struct node *node)
{
	return node->snapshots;
}

/* Groups that are added for its room are made as when a volume grows. */
static const struct able snapshot_able = { "snapshot", "make snapshots", knows_snapshots };

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
	    able_volume_check(&volume, error) != 0)
		return error->code;
	/* Before it says that there is no room for it. */
	if (snapshot_find(&volume, params->name, &index))
		return error_set(error, ERROR_ALREADY_EXISTS, "volume \"%s\" has a snapshot \"%s\"", volume.name,
				 params->name);
	if (able_controllers_check(dnvmed, &snapshot_able, &volume, &request->arena, error) != 0 ||
	    view_fill(dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	*create = (struct command_snapshot_create){
		.id = volume.id,
		.name = params->name,
		.pause_limit_ms = params->pause_limit_ms > 0 ? params->pause_limit_ms : LIMIT_PAUSE_MS_DEFAULT,
		.deadline_ms = params->deadline_ms > 0 ? clock_wall_ms() + params->deadline_ms : 0,
		.accept_flush = params->accept_flush,
	};
	if (placement_snapshot(&view, &volume, &request->arena, &create->legs, error) != 0)
		return view_refused(&view, error);
	if (able_disks_check(dnvmed, &snapshot_able, &volume, &create->legs, &request->arena, error) != 0)
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

/* --- to read one -------------------------------------------------------------------------------------------------- */

static bool knows_snapshot_reads(const struct node *node)
{
	return node->snapshot_reads;
}

static const struct able attach_able = { "attach a snapshot of", "serve snapshots to hosts", knows_snapshot_reads };

int snapshot_attach_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct snapshot_attach_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct volume volume;

	if (names_nqn_check("host_nqn", params->host_nqn, error) != 0 ||
	    fsm_volume_find(dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0 ||
	    able_controllers_check(dnvmed, &attach_able, &volume, &request->arena, error) != 0)
		return error->code;
	command->snapshot_attach = arena_alloc(&request->arena, sizeof(*command->snapshot_attach));
	if (command->snapshot_attach == NULL)
		return error_set_nomem(error);
	*command->snapshot_attach = (struct command_snapshot_attach){ .volume = params->volume,
								      .name = params->name,
								      .nqn = params->host_nqn };
	return 0;
}

int snapshot_detach_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct snapshot_attach_request *params = request->params;

	if (names_nqn_check("host_nqn", params->host_nqn, error) != 0)
		return error->code;
	command->snapshot_detach = arena_alloc(&request->arena, sizeof(*command->snapshot_detach));
	if (command->snapshot_detach == NULL)
		return error_set_nomem(error);
	*command->snapshot_detach = (struct command_snapshot_detach){ .volume = params->volume,
								      .name = params->name,
								      .nqn = params->host_nqn };
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
	char nqn[NAMES_NQN_SIZE];
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
	names_snapshot_nqn(request->dnvmed->cluster.id, volume.id, status.snapshot->thin, nqn);
	names_snapshot_uuid(request->dnvmed->cluster.id, volume.id, status.snapshot->thin, status.uuid);
	status.nqn = nqn;
	if (status.snapshot->state == SNAPSHOT_STATE_TAKING) {
		status.operation = volume.operation;
		if (driver_operation_waits_for(request->dnvmed, &volume, &request->arena, &status.waits_for, error) !=
		    0)
			return error->code;
	}
	request_reply(request, &status);
	return 0;
}
