/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on jobs that somebody asked for: they go on, are undone, are forgotten. */
#include <inttypes.h>

#include "fsm/operation.h"
#include "lib/base/state_machine.h"

/*
 * An extend:
 *
 *   EXPORTING ──► FORMATTING ──► JOINING ──► RESIZING ──► OVER (done)
 *       │              │
 *       └──────┬───────┘  job.cancel, job.fail
 *              ▼
 *           UNDOING ──► RELEASING ──► OVER (cancelled, failed)
 *
 * job.advance takes the horizontal moves.
 */
static const struct state_machine_edge extend_edges[] = {
	{ OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING },
	{ OPERATION_PHASE_FORMATTING, OPERATION_PHASE_JOINING },
	{ OPERATION_PHASE_JOINING, OPERATION_PHASE_RESIZING },
	{ OPERATION_PHASE_RESIZING, OPERATION_PHASE_OVER },
	{ OPERATION_PHASE_UNDOING, OPERATION_PHASE_RELEASING },
	{ OPERATION_PHASE_RELEASING, OPERATION_PHASE_OVER },
};
static const struct state_machine_table extend_table = {
	.name = "job",
	.edges = extend_edges,
	.edge_count = sizeof(extend_edges) / sizeof(extend_edges[0]),
};

/*
 * A snapshot:
 *
 *   [EXPORTING ──► FORMATTING ──►] JOINING ──► PAUSING ──► SNAPPING ──► RESUMING ──► OVER (done)
 *        │              │            │ ▲          │            │            │
 *        │              │            │ └──────────┴────────────┴────────────┘  snapshot.retry, slot.move
 *        └──────────────┴────────────┴──► UNDOING ──► RELEASING ──► OVER (cancelled, failed), from these three, too
 */
static const struct state_machine_edge snapshot_edges[] = {
	{ OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING },
	{ OPERATION_PHASE_FORMATTING, OPERATION_PHASE_JOINING },
	{ OPERATION_PHASE_JOINING, OPERATION_PHASE_PAUSING },
	{ OPERATION_PHASE_PAUSING, OPERATION_PHASE_SNAPPING },
	{ OPERATION_PHASE_SNAPPING, OPERATION_PHASE_RESUMING },
	{ OPERATION_PHASE_RESUMING, OPERATION_PHASE_OVER },
	{ OPERATION_PHASE_UNDOING, OPERATION_PHASE_RELEASING },
	{ OPERATION_PHASE_RELEASING, OPERATION_PHASE_OVER },
};
static const struct state_machine_table snapshot_table = {
	.name = "job",
	.edges = snapshot_edges,
	.edge_count = sizeof(snapshot_edges) / sizeof(snapshot_edges[0]),
};

/*
 * A slot that moves:
 *
 *   PREPARING ──► MOVING ──► OVER (done)
 *       │            │
 *       │            └──► OVER (failed): its holder was lost, and the slot went on to another one
 *       └──► OVER (cancelled, failed)
 *
 * slot.move makes the first step, as it is the slot's own: commands_move_slot.c.
 */
static const struct state_machine_edge move_slot_edges[] = {
	{ OPERATION_PHASE_MOVING, OPERATION_PHASE_OVER },
};
static const struct state_machine_table move_slot_table = {
	.name = "job",
	.edges = move_slot_edges,
	.edge_count = sizeof(move_slot_edges) / sizeof(move_slot_edges[0]),
};

static const struct state_machine_table *table_of(const struct operation *operation)
{
	if (operation->kind == JOB_KIND_MOVE_SLOT)
		return &move_slot_table;
	return operation->kind == JOB_KIND_SNAPSHOT ? &snapshot_table : &extend_table;
}

/* Whether what it made can still be undone. */
static bool is_early(const struct operation *operation)
{
	switch (operation->phase) {
	case OPERATION_PHASE_EXPORTING:
	case OPERATION_PHASE_FORMATTING:
	case OPERATION_PHASE_PREPARING:
		return true;
	case OPERATION_PHASE_JOINING:
	case OPERATION_PHASE_PAUSING:
	case OPERATION_PHASE_SNAPPING:
	case OPERATION_PHASE_RESUMING:
		return operation->kind == JOB_KIND_SNAPSHOT;
	default:
		return false;
	}
}

/* The job, and the volume that it works on unless it is over; sets the outcome's object and revision. */
static int job_read(struct transition *transition, uint64_t id, struct operation *ret_operation,
		    struct volume *ret_volume, struct error *error)
{
	int result = state_operation(&transition->state, id, ret_operation, error);

	if (result == 0)
		result = transition_id(transition, "j", id, error);
	if (result != 0)
		return result;
	transition->revision = ret_operation->revision;
	if (operation_is_over(ret_operation))
		return 0;
	result = state_volume(&transition->state, ret_operation->volume, ret_volume, error);
	if (result != 0) {
		transition->state.broken = true; /* a job that runs has its volume */
		return result;
	}
	if (operation_fits(&transition->state, ret_operation, ret_volume, error) != 0)
		return ERROR_INTERNAL;
	/* To undo what was in use after all would be worse than to wait. */
	return fsm_volume_hold_check(ret_volume, error);
}

static int both_store(struct transition *transition, struct operation *operation, struct volume *volume,
		      struct error *error)
{
	int result = operation_store(transition, operation, error);

	return result == 0 ? volume_store(transition, volume, error) : result;
}

static enum operation_state ended_of(const struct operation *operation)
{
	switch (operation->state) {
	case OPERATION_STATE_CANCELLING:
		return OPERATION_STATE_CANCELLED;
	case OPERATION_STATE_FAILING:
		return OPERATION_STATE_FAILED;
	default:
		return OPERATION_STATE_DONE;
	}
}

/* What becomes of the volume. */
static int advance(struct transition *transition, struct volume *volume, const struct operation *operation,
		   enum operation_phase to, struct error *error)
{
	switch (operation->kind) {
	case JOB_KIND_MOVE_SLOT:
		if (volume->slots.items[operation->move_slot->slot].phase == SLOT_PHASE_SERVING)
			return 0;
		return error_set(error, ERROR_CONFLICT, "slot %" PRIu64 " of volume v%" PRIu64 " is not served yet",
				 operation->move_slot->slot, volume->id);
	case JOB_KIND_SNAPSHOT:
		return snapshot_advance(transition, volume, operation, to, error);
	default:
		return extend_advance(transition, volume, operation, to, error);
	}
}

int command_job_advance_apply(struct transition *transition, const struct command_job_advance *command,
			      struct error *error)
{
	struct operation operation;
	struct volume volume;
	int result = job_read(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	if (!state_machine_allows(table_of(&operation), (int)command->from, (int)command->to))
		return error_set(error, ERROR_INVALID_ARGUMENT, "no job of kind %s goes from phase %s to %s",
				 ENUM_NAME(job_kind, operation.kind), ENUM_NAME(operation_phase, command->from),
				 ENUM_NAME(operation_phase, command->to));
	if (operation.phase != command->from)
		return error_set(error, ERROR_CONFLICT, "job j%" PRIu64 " is in phase %s, not %s", operation.id,
				 ENUM_NAME(operation_phase, operation.phase),
				 ENUM_NAME(operation_phase, command->from));
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was confirmed",
				 volume.id, volume.revision, command->revision);
	result = advance(transition, &volume, &operation, command->to, error);
	if (result != 0)
		return result;
	if (command->to == OPERATION_PHASE_OVER) {
		result = operation_finish(transition, &volume, &operation, ended_of(&operation), error);
		return result == 0 ? volume_store(transition, &volume, error) : result;
	}
	operation_phase_set(transition, &operation, command->to);
	return both_store(transition, &operation, &volume, error);
}

static int undo(struct transition *transition, struct operation *operation, struct volume *volume,
		enum operation_state state, struct error *error)
{
	int result = snapshot_end(transition, volume, error);

	if (result != 0)
		return result;
	operation->state = state;
	/* A standby that was made for it goes by itself, if it is one too many. */
	if (operation->kind == JOB_KIND_MOVE_SLOT) {
		move_slot_end(volume);
		result = operation_finish(transition, volume, operation, ended_of(operation), error);
		return result == 0 ? volume_store(transition, volume, error) : result;
	}
	extend_groups_set(volume, GROUP_STATE_LEAVING);
	operation_phase_set(transition, operation, OPERATION_PHASE_UNDOING);
	return both_store(transition, operation, volume, error);
}

static int late_refuse(const struct operation *operation, const char *what, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "job j%" PRIu64 " is in phase %s: what it made is in use, and it cannot be %s", operation->id,
		  ENUM_NAME(operation_phase, operation->phase), what);
	error_hint(error, "it goes on as soon as it can; dnvme job get j%" PRIu64 " says what it waits for",
		   operation->id);
	return ERROR_FAILED_PRECONDITION;
}

int command_job_cancel_apply(struct transition *transition, const struct command_job_cancel *command,
			     struct error *error)
{
	struct operation operation;
	struct volume volume;
	int result = job_read(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	if (operation.state == OPERATION_STATE_CANCELLING || operation.state == OPERATION_STATE_CANCELLED)
		return 0;
	if (operation.state != OPERATION_STATE_RUNNING)
		return error_set(error, ERROR_FAILED_PRECONDITION, "job j%" PRIu64 " is %s", operation.id,
				 ENUM_NAME(operation_state, operation.state));
	if (!is_early(&operation))
		return late_refuse(&operation, "cancelled", error);
	return undo(transition, &operation, &volume, OPERATION_STATE_CANCELLING, error);
}

int command_job_fail_apply(struct transition *transition, const struct command_job_fail *command, struct error *error)
{
	struct operation operation;
	struct volume volume;
	int result = job_read(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	if (operation.phase != command->from)
		return error_set(error, ERROR_CONFLICT, "job j%" PRIu64 " is in phase %s, not %s", operation.id,
				 ENUM_NAME(operation_phase, operation.phase),
				 ENUM_NAME(operation_phase, command->from));
	if (!is_early(&operation))
		return late_refuse(&operation, "undone", error);
	operation.error = command->error;
	return undo(transition, &operation, &volume, OPERATION_STATE_FAILING, error);
}

int command_snapshot_retry_apply(struct transition *transition, const struct command_snapshot_retry *command,
				 struct error *error)
{
	const struct snapshot *snapshot;
	struct operation operation;
	struct volume volume;
	int result = job_read(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	if (operation.phase != command->from || !snapshot_is_under_way(operation.phase))
		return error_set(error, ERROR_CONFLICT, "job j%" PRIu64 " is in phase %s, and tries nothing in %s",
				 operation.id, ENUM_NAME(operation_phase, operation.phase),
				 ENUM_NAME(operation_phase, command->from));
	snapshot = snapshot_taking(&volume);
	if (snapshot == NULL || snapshot->thin != command->thin)
		return error_set(error, ERROR_CONFLICT, "job j%" PRIu64 " makes thin device %" PRIu64 ", not %" PRIu64,
				 operation.id, snapshot != NULL ? snapshot->thin : 0, command->thin);
	result = snapshot_again(transition, &volume, &operation, command->error, error);
	return result == 0 ? both_store(transition, &operation, &volume, error) : result;
}

int command_job_forget_apply(struct transition *transition, const struct command_job_forget *command,
			     struct error *error)
{
	struct state *state = &transition->state;
	struct operation operation;
	struct volume volume;
	struct key key;
	int result = job_read(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	transition_touch(transition);
	if (operation_is_over(&operation)) {
		result = state_delete(state, STORE_TABLE_JOB_AGE,
				      key_id_id(&key, operation.over_revision, operation.id), error);
		return result == 0 ? state_delete(state, STORE_TABLE_JOB, key_id(&key, operation.id), error) : result;
	}
	if (operation.revision != command->revision) {
		error_set(error, ERROR_CONFLICT,
			  "job j%" PRIu64 " runs, and is at revision %" PRIu64
			  "; what was accepted was of revision %" PRIu64,
			  operation.id, operation.revision, command->revision);
		error_hint(error, "look again: dnvme job forget j%" PRIu64, operation.id);
		return ERROR_CONFLICT;
	}
	if (operation.kind == JOB_KIND_EXTEND &&
	    (operation.phase == OPERATION_PHASE_JOINING || operation.phase == OPERATION_PHASE_RESIZING))
		return late_refuse(&operation, "forgotten", error);
	result = snapshot_end(transition, &volume, error);
	if (result != 0)
		return result;
	move_slot_end(&volume);
	/* Its LDs own their extents until their Disk Nodes confirm that they are gone, as always. */
	result = extend_groups_release(transition, &volume, operation.id, error);
	volume.operation = 0;
	if (result == 0)
		result = state_delete(state, STORE_TABLE_JOB, key_id(&key, operation.id), error);
	return result == 0 ? volume_store(transition, &volume, error) : result;
}
