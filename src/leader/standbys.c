/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/standbys.h"

#include <string.h>

#include "src/leader/slots.h"

static bool is_good(const struct online_node *node, struct online_step *step)
{
	if (node == NULL || node->draining || node->unable)
		return false;
	if (node->health != HEALTH_OFFLINE)
		return true;
	if (node->offline_ms >= STANDBYS_OFFLINE_MS)
		return false;
	online_look(step, STANDBYS_OFFLINE_MS - node->offline_ms);
	return true;
}

/* Whether a job is about to give it a slot. */
static bool is_next(const struct online_view *view, const char *node)
{
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const char *next = view->volume->slots.items[i].next;

		if (next != NULL && strcmp(next, node) == 0)
			return true;
	}
	return false;
}

/* Whether one standby is of less use than another: away, or not ready, or where nothing new would be placed, or busier.
 */
static bool is_less_useful(const struct online_view *view, const struct online_node *a, const struct online_node *b)
{
	const struct object_status *status_a = online_controller(view, a->name),
				   *status_b = online_controller(view, b->name);
	bool ready_a = status_a != NULL && status_a->state == OBJECT_STATE_CONVERGED,
	     ready_b = status_b != NULL && status_b->state == OBJECT_STATE_CONVERGED;

	if (online_is(a, HEALTH_ONLINE) != online_is(b, HEALTH_ONLINE))
		return !online_is(a, HEALTH_ONLINE);
	if (ready_a != ready_b)
		return !ready_a;
	return slots_is_better(b, a);
}

/* For people: until when a standby whose node is away is waited for. */
static int expect_bad(const struct online_view *view, struct arena *arena, struct online_step *step,
		      struct error *error)
{
	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];
		const struct online_node *node = online_node(view, controller->node);

		if (controller->role != CONTROLLER_ROLE_STANDBY || !online_is(node, HEALTH_OFFLINE) ||
		    node->offline_ms >= STANDBYS_OFFLINE_MS)
			continue;
		if (online_expect(step, arena, STANDBYS_OFFLINE_MS - node->offline_ms, 0, error,
				  "the leader looks for another standby if node %s is not back by then",
				  node->name) != 0)
			return error->code;
	}
	return 0;
}

/* For people: why no standby is looked for yet. */
static int expect_room(const struct online_view *view, struct arena *arena, struct online_step *step,
		       struct error *error)
{
	if (view->volume->controllers.count >= LIMIT_COLOURS)
		return online_expect(step, arena, ONLINE_LOOK_NEVER, 0, error,
				     "a retired controller to be dropped, as the volume has as many as there can be: "
				     "then the leader looks for a standby");
	return online_expect(step, arena, ONLINE_LOOK_NEVER, 0, error,
			     "every slot to have been served for a while: then the leader looks for a standby");
}

/* Whether a slot moves, and the end of that may be near. */
static bool is_moving(const struct online_view *view, struct online_step *step)
{
	bool moving = false;

	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const struct slot *slot = &view->volume->slots.items[i];
		uint64_t phase_ms = view->now_ms - moments_slot_since(view->moments, slot, i, view->now_ms);

		if (slot->phase == SLOT_PHASE_SERVING || phase_ms >= STANDBYS_DROP_MS)
			continue;
		moving = true;
		online_look(step, STANDBYS_DROP_MS - phase_ms);
	}
	return moving;
}

static int drop(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];
		struct command_controller_drop *drop;

		if (controller->role != CONTROLLER_ROLE_RETIRED)
			continue;
		if (!online_at(view, online_controller(view, controller->node), OBJECT_STATE_ABSENT)) {
			if (online_wait_controller(view, controller->node, OBJECT_STATE_ABSENT, arena, step, error) !=
			    0)
				return error->code;
			continue;
		}
		if (is_moving(view, step))
			continue;
		step->command = online_command(arena, sizeof(*drop), &drop, error);
		if (step->command == NULL)
			return error->code;
		*drop = (struct command_controller_drop){ .volume = view->volume->id,
							  .node = controller->node,
							  .epoch = controller->epoch };
		step->command->controller_drop = drop;
		return 0;
	}
	return 0;
}

static int retire(const struct online_view *view, const char *node, struct arena *arena, struct online_step *step,
		  struct error *error)
{
	struct command_controller_retire *retire;

	step->command = online_command(arena, sizeof(*retire), &retire, error);
	if (step->command == NULL)
		return error->code;
	*retire = (struct command_controller_retire){ .volume = view->volume->id, .node = node };
	step->command->controller_retire = retire;
	return 0;
}

/* Whether some slot wants another holder, and whether one is there; *ret_settled: every slot serves. */
static bool successor_is_missing(const struct online_view *view, struct online_step *step, bool *ret_settled)
{
	bool missing = false;

	*ret_settled = true;
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		enum move_reason reason = slots_move_reason(view, i, step);

		if (reason != 0 || view->volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			*ret_settled = false;
		if (reason == MOVE_REASON_FAILOVER || reason == MOVE_REASON_DRAIN)
			missing = missing || slots_successor(view, reason) == NULL;
	}
	return missing;
}

/* Whether every slot has served for a while. */
static bool is_calm(const struct online_view *view, struct online_step *step)
{
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const struct slot *slot = &view->volume->slots.items[i];
		uint64_t served_ms = view->now_ms - moments_slot_since(view->moments, slot, i, view->now_ms);

		/* The end of another phase is a reason to look by itself. */
		if (slot->phase != SLOT_PHASE_SERVING)
			return false;
		if (served_ms < STANDBYS_CALM_MS) {
			online_look(step, STANDBYS_CALM_MS - served_ms);
			return false;
		}
	}
	return true;
}

int standbys_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	const struct volume *volume = view->volume;
	const struct online_node *surplus = NULL;
	const char *bad = NULL;
	bool settled, missing;
	size_t good = 0, spare = 0; /* spare: that no job is about to give a slot */

	if (drop(view, arena, step, error) != 0 || step->command != NULL)
		return step->command != NULL ? 0 : error->code;
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];
		const struct online_node *node;

		if (controller->role != CONTROLLER_ROLE_STANDBY)
			continue;
		node = online_node(view, controller->node);
		if (is_good(node, step)) {
			good++;
			if (is_next(view, node->name))
				continue;
			if (surplus == NULL || is_less_useful(view, node, surplus))
				surplus = node;
			spare++;
		} else {
			bad = controller->node;
		}
	}
	if (expect_bad(view, arena, step, error) != 0)
		return error->code;
	missing = successor_is_missing(view, step, &settled);
	if (missing || good < volume->standbys) {
		step->add_standby = (missing || is_calm(view, step)) && volume->controllers.count < LIMIT_COLOURS;
		return step->add_standby ? 0 : expect_room(view, arena, step, error);
	}
	if (bad != NULL)
		return retire(view, bad, arena, step, error);
	/* Fewer are wanted by now; or one was added for a slot whose holder came back in time, or that somebody moves
	 * no more. */
	if (settled && spare > volume->standbys)
		return retire(view, surplus->name, arena, step, error);
	return 0;
}
