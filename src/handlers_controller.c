/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_controller.h"

#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "src/able.h"
#include "src/dnvmed.h"
#include "src/driver_online.h"
#include "src/leader/slots.h"
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

/* --- a slot that moves ----------------------------------------------------------------------------------------------
 */

/* The best standby, as for a node that is drained; or a node that can be one. */
static int holder_choose(struct request *request, const struct volume *volume, const struct placement_view *view,
			 const char **ret_node, struct error *error)
{
	static const struct moments none; /* what is decided here has no history */
	const struct online_node *standby;
	struct online_view online;

	if (driver_online_view(request->dnvmed, volume, &none, &request->arena, &online, error) != 0)
		return error->code;
	standby = slots_successor(&online, MOVE_REASON_DRAIN);
	if (standby == NULL)
		return placement_standby(view, volume, &request->arena, ret_node, error);
	*ret_node = standby->name;
	return 0;
}

/* What the volume itself refuses, the command says. */
static int holder_check(struct request *request, const struct volume *volume, const struct placement_view *view,
			const char *node, struct error *error)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role != CONTROLLER_ROLE_STANDBY && strcmp(controller->node, node) == 0)
			return 0;
	}
	if (placement_holder_check(view, volume, node, &request->arena, error) == 0)
		return 0;
	if (error->hint[0] == '\0')
		error_hint(error, "leave --to out, and a node is chosen; or see: dnvme node list");
	return error->code;
}

int volume_move_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_move_request *params = request->params;
	struct command_volume_move *move = arena_alloc(&request->arena, sizeof(*move));
	struct placement_view view = { 0 };
	const char *to = params->to;
	struct volume volume;

	if (move == NULL)
		return error_set_nomem(error);
	if (fsm_volume_find(request->dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0 ||
	    able_volume_check(&volume, error) != 0)
		return error->code;
	if (params->slot >= volume.slots.count)
		return error_set(error, ERROR_NOT_FOUND, "slot: volume \"%s\" has no slot %llu, the last one is %zu",
				 volume.name, (unsigned long long)params->slot, volume.slots.count - 1);
	if (view_fill(request->dnvmed, &request->arena, &view, error) != 0)
		return error->code;
	if (to == NULL ? holder_choose(request, &volume, &view, &to, error) != 0
		       : holder_check(request, &volume, &view, to, error) != 0)
		return error->code;
	*move = (struct command_volume_move){ .id = volume.id,
					      .slot = params->slot,
					      .epoch = volume.slots.items[params->slot].epoch,
					      .to = to,
					      .deadline_ms = params->deadline_ms > 0
								     ? clock_wall_ms() + params->deadline_ms
								     : 0 };
	command->volume_move = move;
	return 0;
}
