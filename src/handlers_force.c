/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_force.h"

#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/driver_online.h"
#include "src/leader/force.h"
#include "src/request.h"

static int view_make(struct request *request, struct volume *volume, struct online_view *ret_view, struct error *error)
{
	static const struct moments none; /* what is decided here has no history */
	const struct volume_force_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;

	if (fsm_volume_find(dnvmed->fsm, params->volume, &request->arena, volume, error) != 0)
		return error->code;
	return driver_online_view(dnvmed, volume, &none, &request->arena, ret_view, error);
}

int volume_force_plan_answer(struct request *request, struct error *error)
{
	const struct volume_force_request *params = request->params;
	struct volume_force_plan plan;
	struct online_view view;
	struct volume volume;

	if (view_make(request, &volume, &view, error) != 0 ||
	    force_plan(&view, params->slot, &request->arena, &plan, error) != 0)
		return error->code;
	request_reply(request, &plan);
	return 0;
}

int volume_force_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_force_request *params = request->params;
	struct command_slot_force *force = arena_alloc(&request->arena, sizeof(*force));
	struct online_view view;
	struct volume volume;

	if (force == NULL)
		return error_set_nomem(error);
	if (params->revision == 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "revision: the plan that is accepted has to be named");
		return error_hint(error, "run: dnvme volume force %s --slot %llu", params->volume,
				  (unsigned long long)params->slot);
	}
	if (view_make(request, &volume, &view, error) != 0 ||
	    force_command(&view, params, &request->arena, force, error) != 0)
		return error->code;
	command->slot_force = force;
	return 0;
}

void volume_force_committed(struct request *request, const struct outcome *outcome)
{
	const struct volume_force_request *params = request->params;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };

	log_warning("a volume is served by force: what its lost copies alone hold is lost",
		    "volume=%s slot=%llu accepted_revision=%llu revision=%llu by=\"%s\" powered_off=%zu",
		    outcome->id != NULL ? outcome->id : params->volume, (unsigned long long)params->slot,
		    (unsigned long long)params->revision, (unsigned long long)outcome->revision,
		    params->by != NULL ? params->by : "", params->powered_off.count);
	request_reply(request, &reply);
}
