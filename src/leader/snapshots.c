/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/snapshots.h"

#include "lib/base/canary.h"
#include "lib/model/names.h"

/* Every active controller, which are the holders: slot i is held by controllers[i]. */
static const char *holder(const struct online_view *view, size_t slot)
{
	return view->whole->slots.items[slot].holder;
}

/* The one that is being made; the last of the list. */
static const struct snapshot *taking(const struct online_view *view)
{
	const struct snapshot_list *list = &view->whole->snapshots;

	return list->count > 0 && list->items[list->count - 1].state == SNAPSHOT_STATE_TAKING
		       ? &list->items[list->count - 1]
		       : NULL;
}

/* Every slot is served, and its holder has all that it is told. */
static int holders_wait(const struct online_view *view, struct arena *arena, struct online_step *step, bool *ret_wait,
			struct error *error)
{
	*ret_wait = true;
	for (size_t i = 0; i < view->whole->slots.count; i++) {
		const struct slot *slot = &view->whole->slots.items[i];

		if (slot->phase != SLOT_PHASE_SERVING)
			return online_wait(
				step,
				arena_printf(arena, "slot %zu is in phase %s", i, ENUM_NAME(slot_phase, slot->phase)),
				error);
		if (!online_is(online_node(view, slot->holder), HEALTH_ONLINE) ||
		    !online_at(view, online_controller(view, slot->holder), OBJECT_STATE_CONVERGED))
			return online_wait_controller(view, slot->holder, OBJECT_STATE_CONVERGED, arena, step, error);
	}
	*ret_wait = false;
	return 0;
}

int snapshots_purge(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	struct command_thins_purge *purge;
	bool wait;

	if (view->whole->dropped_thins.count == 0)
		return 0;
	if (holders_wait(view, arena, step, &wait, error) != 0)
		return error->code;
	if (wait)
		return 0;
	step->command = online_command(arena, sizeof(*purge), &purge, error);
	if (step->command == NULL)
		return error->code;
	*purge = (struct command_thins_purge){ .id = view->whole->id, .revision = view->whole->revision };
	step->command->thins_purge = purge;
	return 0;
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

/* To hold I/O up waits for what is under way, and that would wait for a path that is lost. NULL: nothing is. */
static const char *lost_path(const struct online_view *view, const char *node, struct arena *arena)
{
	const struct reported_health *health = online_health(view, node);

	for (size_t i = 0; health != NULL && i < health->members.count; i++) {
		if (health->members.items[i].path_lost && health->members.items[i].health == MEMBER_HEALTH_IN_SYNC)
			return arena_printf(arena, "node %s lost its path to ld%llu: what is written to it waits", node,
					    (unsigned long long)health->members.items[i].ld);
	}
	for (size_t i = 0; health != NULL && i < health->peers.count; i++) {
		if (health->peers.items[i].path_lost)
			return arena_printf(arena, "node %s lost its path to slot %llu: what is written there waits",
					    node, (unsigned long long)health->peers.items[i].slot);
	}
	return "";
}

static int rebuild_wait(const struct online_view *view, struct arena *arena, struct online_step *step, bool *ret_wait,
			struct error *error)
{
	const struct volume *volume = view->whole;

	*ret_wait = false;
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct group *group = &volume->legs.items[l].groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				if (group->members.items[m].state != LD_STATE_REBUILDING)
					continue;
				*ret_wait = true;
				return online_wait(step,
						   arena_printf(arena, "ld%llu is being rebuilt",
								(unsigned long long)group->members.items[m].id),
						   error);
			}
		}
	}
	return 0;
}

static int step_joining(const struct online_view *view, const struct operation *operation, struct arena *arena,
			struct online_step *step, struct error *error)
{
	bool wait;

	/* It may hold the room that the next attempt needs. */
	if (view->whole->dropped_thins.count > 0)
		return snapshots_purge(view, arena, step, error);
	if (holders_wait(view, arena, step, &wait, error) != 0)
		return error->code;
	if (!wait && rebuild_wait(view, arena, step, &wait, error) != 0)
		return error->code;
	for (size_t i = 0; !wait && i < view->whole->slots.count; i++) {
		const char *lost = lost_path(view, holder(view, i), arena);

		if (lost == NULL || lost[0] != '\0')
			return online_wait(step, lost, error);
	}
	return wait ? 0 : online_job_advance(view, operation, OPERATION_PHASE_PAUSING, arena, step, error);
}

/* --- an attempt --------------------------------------------------------------------------------------------------- */

static int give_up(const struct operation *operation, const struct snapshot *snapshot, enum error_code code,
		   const char *message, struct arena *arena, struct online_step *step, struct error *error)
{
	struct operation_error *reason = arena_alloc(arena, sizeof(*reason));
	struct command_snapshot_retry *retry;
	struct command_job_fail *fail;

	if (reason == NULL || message == NULL)
		return error_set_nomem(error);
	*reason = (struct operation_error){ .code = error_code_name(code), .message = message };
	if (operation->snapshot->tries + 1 >= LIMIT_SNAPSHOT_TRIES) {
		step->command = online_command(arena, sizeof(*fail), &fail, error);
		if (step->command == NULL)
			return error->code;
		*fail = (struct command_job_fail){ .id = operation->id, .from = operation->phase, .error = reason };
		step->command->job_fail = fail;
		return 0;
	}
	step->command = online_command(arena, sizeof(*retry), &retry, error);
	if (step->command == NULL)
		return error->code;
	*retry = (struct command_snapshot_retry){
		.id = operation->id, .from = operation->phase, .thin = snapshot->thin, .error = reason
	};
	step->command->snapshot_retry = retry;
	return 0;
}

/* What the controller says of this attempt; NULL: nothing. Numbers are never used twice, so it does not matter at which
 * revision it said so. */
static const struct pause_status *said(const struct online_view *view, const struct snapshot *snapshot,
				       const char *node)
{
	const struct reported_health *health = online_health(view, node);

	return health != NULL && health->pause != NULL && health->pause->number == snapshot->thin ? health->pause
												  : NULL;
}

static bool has_arrived(const struct pause_status *status, enum operation_phase phase)
{
	if (status == NULL)
		return false;
	switch (phase) {
	case OPERATION_PHASE_PAUSING:
		return status->state == PAUSE_STATE_HELD;
	case OPERATION_PHASE_SNAPPING:
		return status->state == PAUSE_STATE_HELD && (status->made || canary("snap_unmade"));
	default:
		return status->state == PAUSE_STATE_KEPT;
	}
}

static int late_wait(const struct online_view *view, const struct operation *operation, const struct snapshot *snapshot,
		     const char *node, struct arena *arena, struct online_step *step, struct error *error)
{
	uint64_t end_ms = operation->since_ms + snapshot->pause_limit_ms + LIMIT_PAUSE_MARGIN_MS;

	if (view->wall_ms >= end_ms)
		return give_up(operation, snapshot, ERROR_DEADLINE_EXCEEDED,
			       arena_printf(arena, "in phase %s node %s said nothing in time",
					    ENUM_NAME(operation_phase, operation->phase), node),
			       arena, step, error);
	online_look(step, end_ms - view->wall_ms);
	return online_wait(step, arena_printf(arena, "node %s has not said that its part is done", node), error);
}

static int step_attempt(const struct online_view *view, const struct operation *operation, struct arena *arena,
			struct online_step *step, struct error *error)
{
	const struct snapshot *snapshot = taking(view);
	const char *missing = NULL;

	if (snapshot == NULL)
		return error_set(error, ERROR_INTERNAL, "job j%llu makes a snapshot that its volume does not have",
				 (unsigned long long)operation->id);
	for (size_t i = 0; i < view->whole->slots.count; i++) {
		const struct pause_status *status = said(view, snapshot, holder(view, i));

		if (status != NULL && status->state == PAUSE_STATE_BROKEN)
			return give_up(operation, snapshot, ERROR_DEADLINE_EXCEEDED,
				       arena_printf(arena, "in phase %s node %s let its hosts go on%s%.700s",
						    ENUM_NAME(operation_phase, operation->phase), holder(view, i),
						    status->message != NULL ? ": " : "",
						    status->message != NULL ? status->message : ""),
				       arena, step, error);
		if (missing == NULL && !has_arrived(status, operation->phase))
			missing = holder(view, i);
	}
	if (missing != NULL)
		return late_wait(view, operation, snapshot, missing, arena, step, error);
	return online_job_advance(view, operation,
				  operation->phase == OPERATION_PHASE_PAUSING	 ? OPERATION_PHASE_SNAPPING
				  : operation->phase == OPERATION_PHASE_SNAPPING ? OPERATION_PHASE_RESUMING
										 : OPERATION_PHASE_OVER,
				  arena, step, error);
}

int snapshots_step(const struct online_view *view, const struct operation *operation, struct arena *arena,
		   struct online_step *step, struct error *error)
{
	return operation->phase == OPERATION_PHASE_JOINING ? step_joining(view, operation, arena, step, error)
							   : step_attempt(view, operation, arena, step, error);
}
