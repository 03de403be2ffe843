/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_operation.h"

#include "fsm/policy/placement.h"
#include "lib/base/clock.h"
#include "lib/model/names.h"
#include "src/able.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/page.h"
#include "src/request.h"
#include "src/view.h"

static bool is_over(const struct operation *operation)
{
	return operation->phase == OPERATION_PHASE_OVER;
}

static int id_parse(const char *text, uint64_t *ret_id, struct error *error)
{
	if (names_id_parse("j", text, ret_id) == 0)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "id: \"%s\" is not the id of a job that somebody asked for", text);
	return error_hint(error, "their ids are like j7; run: dnvme job list");
}

/* --- how it is told --------------------------------------------------------------------------------------------- */

/* "10 GiB" where it is whole, else bytes. */
static const char *size_text(uint64_t bytes, struct arena *arena)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;

	while (unit + 1 < sizeof(units) / sizeof(units[0]) && bytes >= 1024 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	return arena_printf(arena, "%llu %s", (unsigned long long)bytes, units[unit]);
}

/* What it works on, for people; NULL when memory is exhausted. */
static const char *target_text(const struct operation *operation, struct arena *arena)
{
	const char *from, *to;

	if (operation->snapshot != NULL)
		return arena_printf(arena, "snapshot %s of volume %s", operation->snapshot->name,
				    operation->volume_name);
	if (operation->move_slot != NULL)
		return arena_printf(arena, "slot %llu of volume %s from node %s to node %s",
				    (unsigned long long)operation->move_slot->slot, operation->volume_name,
				    operation->move_slot->from, operation->move_slot->to);
	from = size_text(operation->extend->from_bytes, arena);
	to = size_text(operation->extend->size_bytes, arena);
	return from != NULL && to != NULL
		       ? arena_printf(arena, "volume %s from %s to %s", operation->volume_name, from, to)
		       : NULL;
}

int operation_job(const struct operation *operation, struct arena *arena, struct job *ret_job, struct error *error)
{
	*ret_job = (struct job){
		.id = arena_printf(arena, "j%llu", (unsigned long long)operation->id),
		.kind = operation->kind,
		.target = target_text(operation, arena),
		.phase = is_over(operation) ? ENUM_NAME(operation_state, operation->state)
					    : ENUM_NAME(operation_phase, operation->phase),
		.since_ms = operation->since_ms,
		.operation = (struct operation *)operation,
	};
	return ret_job->id != NULL && ret_job->target != NULL ? 0 : error_set_nomem(error);
}

int operation_job_get(struct dnvmed *dnvmed, uint64_t id, struct arena *arena, struct job *ret_job, struct error *error)
{
	struct operation *operation = arena_alloc(arena, sizeof(*operation));
	struct volume volume;

	if (operation == NULL)
		return error_set_nomem(error);
	if (fsm_operation_get(dnvmed->fsm, id, arena, operation, error) != 0 ||
	    operation_job(operation, arena, ret_job, error) != 0)
		return error->code;
	if (is_over(operation))
		return 0;
	if (fsm_volume_get(dnvmed->fsm, operation->volume, arena, &volume, error) != 0)
		return error->code;
	return driver_operation_waits_for(dnvmed, &volume, arena, &ret_job->waits_for, error);
}

int job_wait_answer(struct request *request, struct error *error)
{
	const struct job_wait_request *params = request->params;
	struct job job;
	uint64_t id;

	if (id_parse(params->id, &id, error) != 0 ||
	    operation_job_get(request->dnvmed, id, &request->arena, &job, error) != 0)
		return error->code;
	request_reply(request, &job);
	return 0;
}

/* --- to begin one ------------------------------------------------------------------------------------------------- */

static bool knows_growth(const struct node *node)
{
	return node->grows;
}

static const struct able extend_able = { "extend", "make volumes larger that are in use", knows_growth };

int volume_extend_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_extend_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct placement_view view = { 0 };
	struct volume volume;

	if (fsm_volume_find(dnvmed->fsm, params->name, &request->arena, &volume, error) != 0 ||
	    able_volume_check(&volume, error) != 0 ||
	    able_controllers_check(dnvmed, &extend_able, &volume, &request->arena, error) != 0 ||
	    view_fill(dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	command->volume_extend = arena_alloc(&request->arena, sizeof(*command->volume_extend));
	if (command->volume_extend == NULL)
		return error_set_nomem(error);
	if (placement_extend(&view, &volume, params->size_bytes, &request->arena, command->volume_extend, error) != 0)
		return view_refused(&view, error);
	if (able_disks_check(dnvmed, &extend_able, &volume, &command->volume_extend->legs, &request->arena, error) != 0)
		return error->code;
	if (params->deadline_ms > 0)
		command->volume_extend->deadline_ms = clock_wall_ms() + params->deadline_ms;
	return 0;
}

/* --- to end one ------------------------------------------------------------------------------------------------- */

int job_cancel_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct job_cancel_request *params = request->params;

	command->job_cancel = arena_alloc(&request->arena, sizeof(*command->job_cancel));
	if (command->job_cancel == NULL)
		return error_set_nomem(error);
	return id_parse(params->id, &command->job_cancel->id, error);
}

int job_forget_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct job_forget_request *params = request->params;

	command->job_forget = arena_alloc(&request->arena, sizeof(*command->job_forget));
	if (command->job_forget == NULL)
		return error_set_nomem(error);
	command->job_forget->revision = params->revision;
	return id_parse(params->id, &command->job_forget->id, error);
}

static int item_add(struct request *request, const struct ld *ld, struct job_forget_plan *plan, struct error *error)
{
	const char **item, *text;
	struct disk disk;

	if (ld->state == LD_STATE_FREED)
		return 0;
	plan->count++;
	if (plan->items.count == LIMIT_FORGET_ITEMS)
		return 0;
	if (fsm_disk_get(request->dnvmed->fsm, ld->disk, &request->arena, &disk, error) != 0)
		return error->code;
	text = arena_printf(&request->arena, "ld%llu on disk d%llu: node %s gives its room back once it removed it",
			    (unsigned long long)ld->id, (unsigned long long)ld->disk, disk.node);
	item = list_grow(&request->arena, (struct any_list *)&plan->items, sizeof(*item));
	if (item == NULL || text == NULL)
		return error_set_nomem(error);
	*item = text;
	return 0;
}

static int items_add(struct request *request, const struct operation *operation, struct job_forget_plan *plan,
		     struct error *error)
{
	struct volume volume;

	if (fsm_volume_get(request->dnvmed->fsm, operation->volume, &request->arena, &volume, error) != 0)
		return error->code;
	for (size_t l = 0; l < volume.legs.count; l++) {
		for (size_t g = 0; g < volume.legs.items[l].groups.count; g++) {
			const struct group *group = &volume.legs.items[l].groups.items[g];

			for (size_t m = 0; group->state != 0 && m < group->members.count; m++) {
				if (item_add(request, &group->members.items[m], plan, error) != 0)
					return error->code;
			}
		}
	}
	for (size_t i = 0; i < volume.leaving.count; i++) {
		if (volume.leaving.items[i].operation == operation->id &&
		    item_add(request, volume.leaving.items[i].ld, plan, error) != 0)
			return error->code;
	}
	return 0;
}

int job_forget_plan_answer(struct request *request, struct error *error)
{
	const struct job_forget_request *params = request->params;
	struct job_forget_plan plan = { .id = params->id };
	struct operation operation;
	uint64_t id;

	if (id_parse(params->id, &id, error) != 0 ||
	    fsm_operation_get(request->dnvmed->fsm, id, &request->arena, &operation, error) != 0)
		return error->code;
	plan.revision = operation.revision;
	plan.over = is_over(&operation);
	if (operation.kind == JOB_KIND_EXTEND &&
	    (operation.phase == OPERATION_PHASE_JOINING || operation.phase == OPERATION_PHASE_RESIZING)) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "job j%llu is in phase %s: what it made is in use, and it cannot be forgotten",
			  (unsigned long long)id, ENUM_NAME(operation_phase, operation.phase));
		return error_hint(error, "dnvme job get j%llu says what it waits for", (unsigned long long)id);
	}
	if (!plan.over && items_add(request, &operation, &plan, error) != 0)
		return error->code;
	request_reply(request, &plan);
	return 0;
}
