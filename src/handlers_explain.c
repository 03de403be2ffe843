/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_explain.h"

#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/driver_online.h"
#include "src/leader/explain.h"
#include "src/request.h"
#include "src/view.h"

/* What the explanation is made of, in the request's arena. */
struct material {
	struct volume volume;
	struct online_view view;
	struct online_step step;
	struct online_outlook outlook;
	struct volumes_step phase_step;
	struct placement_view placement;
	struct operation operation;
	struct explain_input input;
};

/* What the rules say of a volume that they work on. */
static int rules_ask(struct dnvmed *dnvmed, struct material *material, struct arena *arena, struct error *error)
{
	const struct volume *volume = &material->volume;
	struct explain_input *input = &material->input;
	struct volumes_parts parts;

	if (volume->hold != NULL)
		return 0;
	if (volume->phase != VOLUME_PHASE_ONLINE) {
		if (driver_parts(dnvmed, volume, arena, &parts, error) != 0 ||
		    volumes_step(volume, &parts, arena, &material->phase_step, error) != 0)
			return error->code;
		input->phase_step = &material->phase_step;
		return 0;
	}
	if (online_foresee(&material->view, arena, &material->outlook, &material->step, error) != 0)
		return error->code;
	input->step = &material->step;
	input->outlook = &material->outlook;
	if (!explain_needs_placement(&material->step, &material->outlook))
		return 0;
	if (view_fill(dnvmed, arena, &material->placement, error) != 0)
		return error->code;
	input->placement = &material->placement;
	return 0;
}

static int job_ask(struct dnvmed *dnvmed, struct material *material, struct arena *arena, struct error *error)
{
	const struct volume *volume = &material->volume;

	if (volume->phase != VOLUME_PHASE_ONLINE || volume->hold != NULL)
		return 0;
	if (volume->operation != 0) {
		if (fsm_operation_get(dnvmed->fsm, volume->operation, arena, &material->operation, error) != 0)
			return error->code;
		material->input.operation = &material->operation;
	}
	return driver_operation_waits_for(dnvmed, volume, arena, &material->input.operation_waits_for, error);
}

int volume_explain_answer(struct request *request, struct error *error)
{
	const struct name_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct arena *arena = &request->arena;
	struct material *material = arena_alloc(arena, sizeof(*material));
	struct volume_explanation answer;

	if (material == NULL)
		return error_set_nomem(error);
	if (fsm_volume_find(dnvmed->fsm, params->name, arena, &material->volume, error) != 0 ||
	    driver_online_view(dnvmed, &material->volume, driver_moments(dnvmed, material->volume.id), arena,
			       &material->view, error) != 0)
		return error->code;
	material->input.view = &material->view;
	if (rules_ask(dnvmed, material, arena, error) != 0 || job_ask(dnvmed, material, arena, error) != 0 ||
	    fsm_event_last(dnvmed->fsm, material->volume.id, LIMIT_EXPLAINED_EVENTS, arena, &material->input.events,
			   error) != 0 ||
	    explain_volume(&material->input, arena, &answer, error) != 0)
		return error->code;
	request_reply(request, &answer);
	return 0;
}
