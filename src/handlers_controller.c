/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_controller.h"

#include "fsm/policy/placement.h"
#include "lib/base/limits.h"
#include "src/dnvmed.h"
#include "src/request.h"
#include "src/view.h"

/* Only where more are wanted: to want fewer is no worse than what is there. What no state allows, the command refuses.
 */
static int nodes_check(struct request *request, const struct volume *volume, uint64_t standbys, struct error *error)
{
	struct placement_view view = { 0 };

	if (standbys <= volume->standbys || volume->slots.count + standbys > LIMIT_COLOURS || volume->hold != NULL ||
	    volume->phase == VOLUME_PHASE_UNEXPORTING || volume->phase == VOLUME_PHASE_DISMANTLING ||
	    volume->phase == VOLUME_PHASE_RELEASING)
		return 0;
	if (view_fill(request->dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	return placement_standbys_check(&view, volume, standbys, &request->arena, error);
}

int volume_set_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_set_request *params = request->params;
	struct command_volume_set *set = arena_alloc(&request->arena, sizeof(*set));
	struct volume volume;

	if (set == NULL)
		return error_set_nomem(error);
	if (fsm_volume_find(request->dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0 ||
	    nodes_check(request, &volume, params->standbys, error) != 0)
		return error->code;
	*set = (struct command_volume_set){ .id = volume.id,
					    .standbys = params->standbys,
					    .revision = params->revision };
	command->volume_set = set;
	return 0;
}
