/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/operations.h"

#include "lib/model/names.h"
#include "src/leader/slots.h"
#include "src/leader/snapshots.h"

int operations_served(const struct volume *volume, struct arena *arena, const struct volume **ret_served,
		      struct error *error)
{
	struct volume *copy;
	struct leg *legs;

	if (volume->operation == 0) {
		*ret_served = volume;
		return 0;
	}
	copy = arena_memdup(arena, volume, sizeof(*copy));
	legs = arena_alloc_array(arena, volume->legs.count, sizeof(*legs));
	if (copy == NULL || legs == NULL)
		return error_set_nomem(error);
	for (size_t l = 0; l < volume->legs.count; l++) {
		legs[l] = volume->legs.items[l];
		while (legs[l].groups.count > 0 && legs[l].groups.items[legs[l].groups.count - 1].state != 0)
			legs[l].groups.count--;
	}
	copy->legs.items = legs;
	*ret_served = copy;
	return 0;
}

static int fail(const struct operation *operation, enum error_code code, const char *message, struct arena *arena,
		struct online_step *step, struct error *error)
{
	struct operation_error *reason = arena_alloc(arena, sizeof(*reason));
	struct command_job_fail *fail;

	if (reason == NULL || message == NULL)
		return error_set_nomem(error);
	*reason = (struct operation_error){ .code = error_code_name(code), .message = message };
	step->command = online_command(arena, sizeof(*fail), &fail, error);
	if (step->command == NULL)
		return error->code;
	*fail = (struct command_job_fail){ .id = operation->id, .from = operation->phase, .error = reason };
	step->command->job_fail = fail;
	return 0;
}

static int slots_serve(const struct online_view *view, struct arena *arena, struct online_step *step, bool *ret_serve,
		       struct error *error)
{
	*ret_serve = true;
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const struct slot *slot = &view->volume->slots.items[i];

		if (slot->phase == SLOT_PHASE_SERVING)
			continue;
		*ret_serve = false;
		return online_wait(
			step, arena_printf(arena, "slot %zu is in phase %s", i, ENUM_NAME(slot_phase, slot->phase)),
			error);
	}
	return 0;
}

/* One whose node was forgotten does not come back, and no other one takes its place before it is part of a leg. */
static const struct ld *lost_member(const struct volume *volume)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct group *group = &volume->legs.items[l].groups.items[g];

			for (size_t m = 0; group->state != 0 && m < group->members.count; m++) {
				if (group->members.items[m].state == LD_STATE_FREED)
					return &group->members.items[m];
			}
		}
	}
	return NULL;
}

static int step_exporting(const struct online_view *view, const struct operation *operation, struct arena *arena,
			  struct online_step *step, struct error *error)
{
	const struct volume *volume = view->whole;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			const struct group *group = &leg->groups.items[g];

			for (size_t m = 0; group->state != 0 && m < group->members.count; m++) {
				if (!online_export_confirmed(view, group->members.items[m].disk, leg->slot, true))
					return online_wait_export(view, group->members.items[m].disk, leg->slot, arena,
								  step, error);
			}
		}
	}
	return online_job_advance(view, operation, OPERATION_PHASE_FORMATTING, arena, step, error);
}

/* Each holder has what it is told of in this phase. */
static int step_holders(const struct online_view *view, const struct operation *operation, enum operation_phase to,
			struct arena *arena, struct online_step *step, struct error *error)
{
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const char *holder = view->volume->slots.items[i].holder;
		const struct online_node *node = online_node(view, holder);

		if (node == NULL || node->health == HEALTH_OFFLINE ||
		    !online_at(view, online_controller(view, holder), OBJECT_STATE_CONVERGED))
			return online_wait_controller(view, holder, OBJECT_STATE_CONVERGED, arena, step, error);
	}
	return online_job_advance(view, operation, to, arena, step, error);
}

/* Each controller took in what it is told in this phase, unless it is offline: it is told again when it is back. */
static int step_controllers(const struct online_view *view, const struct operation *operation, bool standbys,
			    enum operation_phase to, struct arena *arena, struct online_step *step, struct error *error)
{
	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_RETIRED ||
		    (controller->role == CONTROLLER_ROLE_STANDBY && !standbys) ||
		    online_is(online_node(view, controller->node), HEALTH_OFFLINE))
			continue;
		if (!online_at(view, online_controller(view, controller->node), OBJECT_STATE_CONVERGED))
			return online_wait_controller(view, controller->node, OBJECT_STATE_CONVERGED, arena, step,
						      error);
	}
	return online_job_advance(view, operation, to, arena, step, error);
}

static int step_releasing(const struct online_view *view, const struct operation *operation, struct arena *arena,
			  struct online_step *step, struct error *error)
{
	const struct volume *volume = view->whole;

	for (size_t i = 0; i < volume->leaving.count; i++) {
		const struct leaving_ld *leaving = &volume->leaving.items[i];

		if (leaving->operation == operation->id)
			return online_wait_export(view, leaving->ld->disk, leaving->slot, arena, step, error);
	}
	return online_job_advance(view, operation, OPERATION_PHASE_OVER, arena, step, error);
}

/* The slot's own steps make the move, and say when it may begin. */
static int step_move_slot(const struct online_view *view, const struct operation *operation, struct arena *arena,
			  struct online_step *step, struct error *error)
{
	const struct operation_move_slot *move = operation->move_slot;
	const struct slot *slot = &view->volume->slots.items[move->slot];
	const struct online_node *to;

	if (operation->phase == OPERATION_PHASE_MOVING) {
		if (slot->phase == SLOT_PHASE_SERVING)
			return online_job_advance(view, operation, OPERATION_PHASE_OVER, arena, step, error);
		return online_wait(step,
				   arena_printf(arena, "slot %llu is in phase %s", (unsigned long long)move->slot,
						ENUM_NAME(slot_phase, slot->phase)),
				   error);
	}
	if (slots_standby(view, move->to) == NULL)
		return fail(operation, ERROR_FAILED_PRECONDITION,
			    arena_printf(arena, "node %s, to which slot %llu was to move, is no standby any more",
					 move->to, (unsigned long long)move->slot),
			    arena, step, error);
	return slots_planned_wait(view, move->slot, arena, step, &to, error);
}

static int step_phase(const struct online_view *view, const struct operation *operation, struct arena *arena,
		      struct online_step *step, struct error *error)
{
	bool serve;

	switch (operation->phase) {
	case OPERATION_PHASE_UNDOING:
		return step_controllers(view, operation, false, OPERATION_PHASE_RELEASING, arena, step, error);
	case OPERATION_PHASE_RELEASING:
		return step_releasing(view, operation, arena, step, error);
	case OPERATION_PHASE_OVER:
		return 0;
	case OPERATION_PHASE_PREPARING:
	case OPERATION_PHASE_MOVING:
		return step_move_slot(view, operation, arena, step, error);
	case OPERATION_PHASE_PAUSING:
	case OPERATION_PHASE_SNAPPING:
	case OPERATION_PHASE_RESUMING:
		return snapshots_step(view, operation, arena, step, error);
	default:
		break;
	}
	if (slots_serve(view, arena, step, &serve, error) != 0)
		return error->code;
	if (!serve)
		return 0;
	switch (operation->phase) {
	case OPERATION_PHASE_EXPORTING:
		return step_exporting(view, operation, arena, step, error);
	case OPERATION_PHASE_FORMATTING:
		return step_holders(view, operation, OPERATION_PHASE_JOINING, arena, step, error);
	case OPERATION_PHASE_JOINING:
		if (operation->kind == JOB_KIND_SNAPSHOT)
			return snapshots_step(view, operation, arena, step, error);
		return step_holders(view, operation, OPERATION_PHASE_RESIZING, arena, step, error);
	default:
		return step_controllers(view, operation, true, OPERATION_PHASE_OVER, arena, step, error);
	}
}

int operations_step(const struct online_view *view, const struct operation *operation, struct arena *arena,
		    struct online_step *step, struct error *error)
{
	bool growing = operation->phase == OPERATION_PHASE_EXPORTING || operation->phase == OPERATION_PHASE_FORMATTING;
	/* An attempt at a snapshot has a limit of its own. */
	bool early = growing || operation->phase == OPERATION_PHASE_PREPARING ||
		     (operation->kind == JOB_KIND_SNAPSHOT && operation->phase == OPERATION_PHASE_JOINING);
	const struct ld *lost = growing ? lost_member(view->whole) : NULL;

	if (lost != NULL)
		return fail(operation, ERROR_FAILED_PRECONDITION,
			    arena_printf(arena, "ld%llu, which was to be part of it, went with its node",
					 (unsigned long long)lost->id),
			    arena, step, error);
	if (step_phase(view, operation, arena, step, error) != 0)
		return error->code;
	if (!early || operation->deadline_ms == 0 || step->command != NULL)
		return 0;
	if (view->wall_ms < operation->deadline_ms) {
		online_look(step, operation->deadline_ms - view->wall_ms);
		return 0;
	}
	return fail(operation, ERROR_DEADLINE_EXCEEDED,
		    arena_printf(arena, "it was in phase %s when its deadline passed%s%.700s",
				 ENUM_NAME(operation_phase, operation->phase), step->waits_for != NULL ? ": " : "",
				 step->waits_for != NULL ? step->waits_for : ""),
		    arena, step, error);
}
