/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/operation.h"

#include <inttypes.h>
#include <string.h>

bool operation_is_over(const struct operation *operation)
{
	return operation->phase == OPERATION_PHASE_OVER;
}

/* What it was asked for is there, and nothing else. */
static bool parameters_fit(const struct operation *operation)
{
	return (operation->kind == JOB_KIND_EXTEND || operation->kind == JOB_KIND_SNAPSHOT ||
		operation->kind == JOB_KIND_MOVE_SLOT) &&
	       (operation->extend != NULL) == (operation->kind == JOB_KIND_EXTEND) &&
	       (operation->snapshot != NULL) == (operation->kind == JOB_KIND_SNAPSHOT) &&
	       (operation->move_slot != NULL) == (operation->kind == JOB_KIND_MOVE_SLOT);
}

int operation_check(struct state *state, uint64_t id, const struct operation *operation, struct error *error)
{
	if (operation->id == id && parameters_fit(operation))
		return 0;
	state->broken = true;
	return error_set(error, ERROR_INTERNAL, "the record of j%" PRIu64 " is damaged: %s", id,
			 operation->id != id ? "it is another one's" : "its parameters are of another kind");
}

int state_operation(struct state *state, uint64_t id, struct operation *ret_operation, struct error *error)
{
	struct key key;
	int result = state_get(state, STORE_TABLE_JOB, key_id(&key, id), schema_operation(), ret_operation, error);

	if (result == ERROR_NOT_FOUND && !state->broken)
		return error_set(error, ERROR_NOT_FOUND, "there is no job j%" PRIu64, id);
	return result == 0 ? operation_check(state, id, ret_operation, error) : result;
}

int operation_fits(struct state *state, const struct operation *operation, const struct volume *volume,
		   struct error *error)
{
	bool undone = operation->phase == OPERATION_PHASE_UNDOING || operation->phase == OPERATION_PHASE_RELEASING;
	bool taking = operation->kind == JOB_KIND_SNAPSHOT && !undone;

	if (volume->operation == operation->id && operation->volume == volume->id && !operation_is_over(operation) &&
	    taking == (snapshot_taking(volume) != NULL) && (taking || !snapshot_is_under_way(operation->phase)) &&
	    move_slot_fits(volume, operation))
		return 0;
	state->broken = true;
	return error_set(error, ERROR_INTERNAL, "the records of j%" PRIu64 " and v%" PRIu64 " are damaged: %s",
			 operation->id, volume->id, "what the job does, the volume does not say");
}

int operation_begin(struct transition *transition, uint64_t id, struct operation *operation, struct volume *volume,
		    struct error *error)
{
	int result = state_volume(&transition->state, id, volume, error);

	if (result != 0)
		return result;
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is in phase %s, not online",
				 volume->name, ENUM_NAME(volume_phase, volume->phase));
	if (fsm_volume_hold_check(volume, error) != 0)
		return ERROR_FAILED_PRECONDITION;
	if (volume->operation != 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "job j%" PRIu64 " works on volume \"%s\"",
			  volume->operation, volume->name);
		error_hint(error, "run: dnvme job wait j%" PRIu64 ", or: dnvme job cancel j%" PRIu64, volume->operation,
			   volume->operation);
		return ERROR_FAILED_PRECONDITION;
	}
	operation->id = ++transition->counters.last_job;
	operation->volume = volume->id;
	operation->volume_name = volume->name;
	operation->state = OPERATION_STATE_RUNNING;
	operation->request_id = transition->request_id;
	operation->created_ms = transition->time_ms;
	operation_phase_set(transition, operation, operation->phase);
	volume->operation = operation->id;
	return 0;
}

int operation_store(struct transition *transition, struct operation *operation, struct error *error)
{
	struct key key;

	operation->revision = transition_touch(transition);
	return state_put(&transition->state, STORE_TABLE_JOB, key_id(&key, operation->id), schema_operation(),
			 operation, error);
}

void operation_phase_set(struct transition *transition, struct operation *operation, enum operation_phase phase)
{
	operation->phase = phase;
	operation->since_ms = transition->time_ms;
	operation->attempts = 1;
}

struct oldest {
	bool found;
	uint8_t key[16];
};

static int oldest_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct oldest *oldest = data;

	(void)value;
	if (key.size != sizeof(oldest->key))
		return error_set(error, ERROR_INTERNAL, "the ages of jobs are damaged");
	memcpy(oldest->key, key.data, sizeof(oldest->key));
	oldest->found = true;
	return STATE_WALK_STOP;
}

/* The oldest go first; the table is replicated, so every server forgets the same. */
static int operations_expire(struct state *state, struct error *error)
{
	struct bytes all = { NULL, 0 };
	uint64_t count = 0;
	int result = state_count(state, STORE_TABLE_JOB_AGE, &count, error);

	for (; result == 0 && count > LIMIT_JOBS_KEPT; count--) {
		struct oldest oldest = { 0 };
		struct key key;

		result = state_walk(state, STORE_TABLE_JOB_AGE, all, all, oldest_visit, &oldest, error);
		if (result != 0 || !oldest.found) {
			state->broken = true;
			return result != 0 ? result : error_set(error, ERROR_INTERNAL, "a job has no age");
		}
		result = state_delete(state, STORE_TABLE_JOB, key_id(&key, key_read_id(oldest.key + 8)), error);
		if (result == 0)
			result = state_delete(state, STORE_TABLE_JOB_AGE,
					      (struct bytes){ oldest.key, sizeof(oldest.key) }, error);
	}
	return result;
}

int operation_finish(struct transition *transition, struct volume *volume, struct operation *operation,
		     enum operation_state ended, struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	int result;

	operation_phase_set(transition, operation, OPERATION_PHASE_OVER);
	operation->state = ended;
	operation->finished_ms = transition->time_ms;
	operation->over_revision = transition_touch(transition);
	volume->operation = 0;
	result = operation_store(transition, operation, error);
	if (result == 0)
		result = state_put_empty(state, STORE_TABLE_JOB_AGE,
					 key_id_id(&key, operation->over_revision, operation->id), error);
	return result == 0 ? operations_expire(state, error) : result;
}

/* Of a volume that has one. */
static int volume_operation(struct transition *transition, const struct volume *volume, struct operation *ret_operation,
			    struct error *error)
{
	int result = state_operation(&transition->state, volume->operation, ret_operation, error);

	if (result == 0)
		result = operation_fits(&transition->state, ret_operation, volume, error);
	if (result != 0)
		transition->state.broken = true; /* a volume's job is there */
	return result;
}

int operation_disturb(struct transition *transition, struct volume *volume, struct error *error)
{
	struct operation operation;
	int result;

	if (volume->operation == 0)
		return 0;
	result = volume_operation(transition, volume, &operation, error);
	if (result != 0)
		return result;
	if (operation.kind == JOB_KIND_MOVE_SLOT)
		result = move_slot_disturb(transition, volume, &operation, error);
	else if (snapshot_is_under_way(operation.phase))
		result = snapshot_again(transition, volume, &operation, NULL, error);
	else
		operation.attempts++;
	return result != 0 || operation_is_over(&operation) ? result : operation_store(transition, &operation, error);
}

int operation_abandon(struct transition *transition, struct volume *volume, struct error *error)
{
	struct operation_error reason = { .code = error_code_name(ERROR_CANCELLED),
					  .message = "the volume was deleted" };
	struct operation operation;
	int result;

	if (volume->operation == 0)
		return 0;
	result = volume_operation(transition, volume, &operation, error);
	if (result != 0)
		return result;
	extend_groups_set(volume, GROUP_STATE_LEAVING);
	move_slot_end(volume);
	result = snapshot_end(transition, volume, error);
	if (result != 0)
		return result;
	if (operation.error == NULL)
		operation.error = &reason;
	return operation_finish(
		transition, volume, &operation,
		operation.state == OPERATION_STATE_FAILING ? OPERATION_STATE_FAILED : OPERATION_STATE_CANCELLED, error);
}
