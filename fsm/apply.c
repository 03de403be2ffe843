/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One Raft entry: all its commands and the index in one transaction.
 *
 * Each command runs in a nested transaction, so that a refused one leaves nothing. Outcomes of commands that carry a
 * request id and succeeded are remembered, and a repeated request id gets the first outcome. A refusal is not
 * remembered: it changed nothing, so a command that is repeated after it still acts at most once, and a leader may
 * plan again under the same request id what went stale. Unless an earlier attempt may still be on its way, and would
 * take effect though its client was told of a refusal: then the leader has that remembered, by the command `refuse`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/events.h"
#include "lib/base/canary.h"
#include "lib/base/clock.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define APPLY_ROOM_MIN_BYTES (UINT64_C(4) << 20)
#define APPLY_ROOM_MAX_BYTES (UINT64_C(8) << 30)
#define APPLY_ROOM_FACTOR 64u

struct entry {
	struct fsm *fsm;
	struct store_txn *txn;
	struct counters counters;
	struct arena arena; /* of the changes */
	struct change_list changes;
};

/* --- what commands use ------------------------------------------------------------------------------------ */

uint64_t transition_touch(struct transition *transition)
{
	if (!transition->changed) {
		transition->changed = true;
		transition->counters.revision++;
	}
	transition->revision = transition->counters.revision;
	return transition->revision;
}

int transition_id(struct transition *transition, const char *prefix, uint64_t id, struct error *error)
{
	char text[NAMES_ID_SIZE];

	names_id_format(prefix, id, text);
	transition->id = arena_strdup(transition->state.arena, text);
	return transition->id != NULL ? 0 : state_nomem(&transition->state, error);
}

static int change_add(struct transition *transition, struct fsm_change change, struct error *error)
{
	struct fsm_change *item;

	if (!transition->changes_wanted)
		return 0;
	item = list_add(transition->entry_arena, transition->changes, sizeof(*item));
	if (item == NULL)
		return state_nomem(&transition->state, error);
	*item = change;
	item->revision = transition->counters.revision;
	return 0;
}

int transition_changed_cluster(struct transition *transition, struct error *error)
{
	return change_add(transition, (struct fsm_change){ .kind = FSM_CHANGE_CLUSTER }, error);
}

int transition_changed_node(struct transition *transition, const char *name, enum node_change change,
			    struct error *error)
{
	const char *copy = arena_strdup(transition->entry_arena, name);

	if (copy == NULL)
		return state_nomem(&transition->state, error);
	return change_add(transition,
			  (struct fsm_change){ .kind = FSM_CHANGE_NODE,
					       .node = copy,
					       .removed = change == NODE_REMOVED,
					       .moved = change == NODE_MOVED },
			  error);
}

int transition_changed_disk(struct transition *transition, const struct disk *disk, bool removed, struct error *error)
{
	const char **nodes = arena_alloc(transition->entry_arena, sizeof(*nodes));

	if (nodes != NULL)
		nodes[0] = arena_strdup(transition->entry_arena, disk->node);
	if (nodes == NULL || nodes[0] == NULL)
		return state_nomem(&transition->state, error);
	return change_add(transition,
			  (struct fsm_change){ .kind = FSM_CHANGE_DISK,
					       .node = nodes[0],
					       .id = disk->id,
					       .removed = removed,
					       .nodes = nodes,
					       .node_count = 1 },
			  error);
}

int transition_changed_volume(struct transition *transition, const struct volume *volume, bool removed,
			      struct error *error)
{
	struct string_list nodes;
	const char **copies;
	int result;

	if (!transition->changes_wanted)
		return 0;
	result = state_volume_nodes(&transition->state, volume, &nodes, error);
	if (result != 0)
		return result;
	copies = arena_alloc_array(transition->entry_arena, nodes.count, sizeof(*copies));
	if (copies == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < nodes.count; i++) {
		copies[i] = arena_strdup(transition->entry_arena, nodes.items[i]);
		if (copies[i] == NULL)
			return state_nomem(&transition->state, error);
	}
	return change_add(transition,
			  (struct fsm_change){ .kind = FSM_CHANGE_VOLUME,
					       .id = volume->id,
					       .removed = removed,
					       .nodes = copies,
					       .node_count = nodes.count },
			  error);
}

/* --- a command -------------------------------------------------------------------------------------------- */

/* Apply the command of this name if it is the one that is there. */
#define DISPATCH(name)                                                                                                 \
	do {                                                                                                           \
		if (command->name != NULL)                                                                             \
			return command_##name##_apply(transition, command->name, error);                               \
	} while (0)

/* The refusal itself is the outcome. */
static int refuse_apply(const struct command *command, struct error *error)
{
	if (command->request_id.size == 0 || command->refuse->code == 0 || command->refuse->code >= ERROR_CODE_COUNT ||
	    command->refuse->message == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a refusal without a request id, a code or a reason");
	return 0;
}

static int dispatch(struct transition *transition, const struct command *command, struct error *error)
{
	const void *const commands[] = {
		command->cluster_create,  command->node_register,
		command->node_cordon,	  command->node_forget,
		command->disk_add,	  command->disk_remove,
		command->volume_create,	  command->volume_advance,
		command->volume_delete,	  command->lds_free,
		command->host_attach,	  command->host_detach,
		command->slot_move,	  command->slot_advance,
		command->lds_stale,	  command->ld_rebuild,
		command->ld_in_sync,	  command->ld_replace,
		command->controller_add,  command->controller_retire,
		command->controller_drop, command->cluster_set,
		command->slot_force,	  command->ld_drain,
		command->ld_excuse,	  command->refuse,
		command->volume_extend,	  command->job_advance,
		command->job_cancel,	  command->job_fail,
		command->job_forget,	  command->snapshot_create,
		command->snapshot_retry,  command->snapshot_delete,
		command->thins_purge,	  command->ld_settle,
		command->disk_cache,	  command->server_add,
		command->server_remove,	  command->disk_drain,
		command->ld_move,	  command->ld_moved,
		command->cluster_recover, command->volume_release,
		command->disk_release,	  command->state_upgrade,
		command->volume_set,	  command->volume_move,
		command->snapshot_attach, command->snapshot_detach,
	};
	int present = 0;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		present += commands[i] != NULL;
	if (present != 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "an entry of the log holds %d commands in one place",
				 present);
	DISPATCH(cluster_create);
	DISPATCH(node_register);
	DISPATCH(node_cordon);
	DISPATCH(node_forget);
	DISPATCH(disk_add);
	DISPATCH(disk_remove);
	DISPATCH(volume_create);
	DISPATCH(volume_advance);
	DISPATCH(volume_delete);
	DISPATCH(lds_free);
	DISPATCH(host_attach);
	DISPATCH(host_detach);
	DISPATCH(slot_move);
	DISPATCH(slot_advance);
	DISPATCH(lds_stale);
	DISPATCH(ld_rebuild);
	DISPATCH(ld_in_sync);
	DISPATCH(ld_settle);
	DISPATCH(ld_replace);
	DISPATCH(controller_add);
	DISPATCH(controller_retire);
	DISPATCH(controller_drop);
	DISPATCH(slot_force);
	DISPATCH(ld_drain);
	DISPATCH(ld_excuse);
	if (command->refuse != NULL)
		return refuse_apply(command, error);
	DISPATCH(volume_extend);
	DISPATCH(job_advance);
	DISPATCH(job_cancel);
	DISPATCH(job_fail);
	DISPATCH(job_forget);
	DISPATCH(snapshot_create);
	DISPATCH(snapshot_retry);
	DISPATCH(snapshot_delete);
	DISPATCH(thins_purge);
	DISPATCH(disk_cache);
	DISPATCH(server_add);
	DISPATCH(server_remove);
	DISPATCH(disk_drain);
	DISPATCH(ld_move);
	DISPATCH(ld_moved);
	DISPATCH(cluster_recover);
	DISPATCH(volume_release);
	DISPATCH(disk_release);
	DISPATCH(state_upgrade);
	DISPATCH(volume_set);
	DISPATCH(volume_move);
	DISPATCH(snapshot_attach);
	DISPATCH(snapshot_detach);
	return command_cluster_set_apply(transition, command->cluster_set, error);
}
#undef DISPATCH

static int outcome_encode(const struct outcome *outcome, struct buffer *output, struct error *error)
{
	return codec_encode(schema_outcome(), outcome, CODEC_TAGGED, output, error);
}

/* Returns an error only when memory is exhausted. */
static int refusal_encode(const struct error *failure, struct buffer *output, struct error *error)
{
	struct outcome outcome = {
		.code = (uint64_t)failure->code,
		.message = failure->message,
		.hint = failure->hint[0] != '\0' ? failure->hint : NULL,
		.details = failure->details[0] != '\0' ? failure->details : NULL,
	};
	int result = outcome_encode(&outcome, output, error);

	if (result == 0 || result == ERROR_INTERNAL)
		return result;
	/* A long sentence may have been cut inside a character. */
	outcome.message = "the command was refused; its reason cannot be shown";
	outcome.hint = outcome.details = NULL;
	return outcome_encode(&outcome, output, error);
}

/* The oldest go first; both tables are replicated, so every server forgets the same. */
static int requests_expire(struct state *state, struct error *error)
{
	struct store_cursor *cursor;
	struct bytes key, value;
	uint8_t oldest[8 + LIMIT_REQUEST_ID];
	uint64_t count;
	int result;

	for (;;) {
		result = state_count(state, STORE_TABLE_REQUEST, &count, error);
		if (result != 0 || count <= LIMIT_DEDUPE_ENTRIES)
			return result;
		result = store_cursor_open(state->txn, STORE_TABLE_REQUEST_AGE, (struct bytes){ NULL, 0 }, &cursor,
					   error);
		if (result != 0) {
			state->broken = true;
			return result;
		}
		result = store_cursor_next(cursor, &key, &value, error);
		if (result == 0 && key.size == sizeof(oldest))
			memcpy(oldest, key.data, sizeof(oldest));
		else
			result = error_set(error, ERROR_INTERNAL, "the ages of requests are damaged");
		store_cursor_close(cursor);
		if (result != 0) {
			state->broken = true;
			return result;
		}
		result =
			state_delete(state, STORE_TABLE_REQUEST, (struct bytes){ oldest + 8, LIMIT_REQUEST_ID }, error);
		if (result == 0)
			result = state_delete(state, STORE_TABLE_REQUEST_AGE, (struct bytes){ oldest, sizeof(oldest) },
					      error);
		if (result != 0)
			return result;
	}
}

static int request_remember(struct transition *transition, struct bytes request_id, struct bytes outcome,
			    struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	struct bytes age = key_id(&key, transition->counters.revision);
	int result;

	memcpy(key.data + age.size, request_id.data, request_id.size);
	age.size += request_id.size;
	result = state_put_bytes(state, STORE_TABLE_REQUEST, request_id, outcome, error);
	if (result == 0)
		result = state_put_empty(state, STORE_TABLE_REQUEST_AGE, age, error);
	if (result == 0)
		result = requests_expire(state, error);
	return result;
}

/* Run the command in its own transaction; a refusal is written into `output` like any outcome. */
static int command_run(struct entry *entry, const struct command *command, struct transition *transition,
		       struct buffer *output, struct error *error)
{
	struct outcome outcome = { 0 };
	struct error failure;
	size_t change_count = entry->changes.count;
	int result = store_txn_begin_nested(entry->txn, &transition->state.txn, error);

	if (result != 0)
		return result;
	error_clear(&failure);
	result = dispatch(transition, command, &failure);
	if (result == 0)
		result = events_write(transition, &failure);
	if (result == 0) {
		outcome.revision = transition->revision;
		outcome.id = transition->id;
		if (command->refuse != NULL)
			outcome = *command->refuse;
		result = outcome_encode(&outcome, output, &failure);
		if (result != 0)
			transition->state.broken = true;
	}
	if (result == 0 && command->request_id.size > 0 && !canary("dedupe_off"))
		result = request_remember(transition, command->request_id, buffer_bytes(output), &failure);
	if (result == 0) {
		result = store_txn_commit(transition->state.txn, error);
		if (result == 0)
			entry->counters = transition->counters;
		return result;
	}
	store_txn_abort(transition->state.txn);
	if (transition->state.broken) {
		if (error != NULL)
			*error = failure;
		return result;
	}
	entry->changes.count = change_count;
	return refusal_encode(&failure, output, error);
}

/* Append the outcome to `output`, which is empty. An error ends the entry. */
static int command_apply(struct entry *entry, struct bytes bytes, struct buffer *output, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct journal journal = { 0 };
	struct transition transition = {
		.state = { .txn = entry->txn, .arena = &arena, .records = &entry->fsm->records, .journal = &journal },
		.counters = entry->counters,
		.revision = entry->counters.revision, /* of a command that finds its work done */
		.changes_wanted = entry->fsm->callback != NULL,
		.entry_arena = &entry->arena,
		.changes = &entry->changes,
	};
	struct command command;
	struct bytes remembered;
	struct error failure;
	int result;

	error_clear(&failure);
	result = codec_decode_known(schema_command(), bytes, &arena, &command, &failure);
	if (result == ERROR_UNSUPPORTED)
		error_hint(&failure, "a newer version of dnvme wrote it: start that one");
	if (result == ERROR_INTERNAL || result == ERROR_UNSUPPORTED) {
		if (error != NULL)
			*error = failure;
		goto cleanup;
	}
	if (result == 0 && command.request_id.size != 0 && command.request_id.size != LIMIT_REQUEST_ID)
		result = error_set(&failure, ERROR_INVALID_ARGUMENT, "a request id has %zu bytes, not %u",
				   command.request_id.size, LIMIT_REQUEST_ID);
	if (result != 0) {
		result = refusal_encode(&failure, output, error);
		goto cleanup;
	}
	if (command.request_id.size > 0) {
		result = store_get(entry->txn, STORE_TABLE_REQUEST, command.request_id, &remembered, NULL);
		if (result != 0 && result != ERROR_NOT_FOUND)
			result = store_get(entry->txn, STORE_TABLE_REQUEST, command.request_id, &remembered, error);
		if (result == 0) {
			if (buffer_append(output, remembered.data, remembered.size) != 0)
				result = error_set_nomem(error);
			goto cleanup;
		}
		if (result != ERROR_NOT_FOUND)
			goto cleanup;
	}
	transition.time_ms = canary("apply_clock") ? clock_wall_ms() : command.time_ms;
	transition.request_id = command.request_id;
	result = command_run(entry, &command, &transition, output, error);
cleanup:
	state_close(&transition.state);
	arena_free(&arena);
	return result;
}

/* --- an entry --------------------------------------------------------------------------------------------- */

static void changes_tell(const struct entry *entry)
{
	for (size_t i = 0; i < entry->changes.count; i++)
		entry->fsm->callback(entry->fsm->data, &entry->changes.items[i]);
}

static int entry_finish(struct entry *entry, uint64_t index, struct error *error)
{
	struct state state = { .txn = entry->txn, .arena = &entry->arena };
	int result;

	entry->counters.applied = index;
	result = counters_write(&state, &entry->counters, error);
	state_close(&state);
	if (result != 0) {
		store_txn_abort(entry->txn);
		return result;
	}
	result = store_txn_commit(entry->txn, error);
	if (result == 0)
		entry->fsm->counters = entry->counters;
	return result;
}

static int entry_apply(struct fsm *fsm, uint64_t index, const struct bytes *commands, size_t count,
		       struct buffer *outcomes, struct error *error)
{
	struct entry entry = { .fsm = fsm, .counters = fsm->counters, .arena = ARENA_INIT };
	struct buffer ignored = BUFFER_INIT;
	int result = store_txn_begin(fsm->store, true, &entry.txn, error);

	if (result != 0)
		return result;
	for (size_t i = 0; result == 0 && i < count; i++) {
		buffer_clear(&ignored);
		result = command_apply(&entry, commands[i], outcomes != NULL ? &outcomes[i] : &ignored, error);
	}
	if (result != 0)
		store_txn_abort(entry.txn);
	else
		result = entry_finish(&entry, index, error);
	if (result == 0)
		changes_tell(&entry);
	for (size_t i = 0; result != 0 && outcomes != NULL && i < count; i++)
		buffer_clear(&outcomes[i]);
	buffer_free(&ignored);
	arena_free(&entry.arena);
	return result;
}

int fsm_apply(struct fsm *fsm, uint64_t index, const struct bytes *commands, size_t count, struct buffer *outcomes,
	      struct error *error)
{
	uint64_t room = 0;
	int result;

	if (index <= fsm->counters.applied)
		return 0;
	for (size_t i = 0; i < count; i++)
		room += commands[i].size * APPLY_ROOM_FACTOR;
	if (room < APPLY_ROOM_MIN_BYTES)
		room = APPLY_ROOM_MIN_BYTES;
	for (;;) {
		result = store_reserve(fsm->store, room, error);
		if (result != 0)
			return error_prefix(error, "cannot apply entry %" PRIu64, index), result;
		/* A small command may touch many records (a node's new address): then it takes more than foreseen. */
		result = entry_apply(fsm, index, commands, count, outcomes, error);
		if (result != ERROR_NO_CAPACITY || room >= APPLY_ROOM_MAX_BYTES)
			break;
		room *= 2;
	}
	if (result != 0)
		error_prefix(error, "cannot apply entry %" PRIu64, index);
	return result;
}

int fsm_skip(struct fsm *fsm, uint64_t index, struct error *error)
{
	return fsm_apply(fsm, index, NULL, 0, NULL, error);
}

/* --- the machine ------------------------------------------------------------------------------------------ */

static int counters_load(struct fsm *fsm, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct state state = { .arena = &arena };
	int result = store_txn_begin(fsm->store, false, &state.txn, error);

	if (result != 0)
		return result;
	result = counters_read(&state, &fsm->counters, error);
	if (result == 0)
		result = version_read(&state, error);
	store_txn_abort(state.txn);
	state_close(&state);
	arena_free(&arena);
	return result;
}

int fsm_open(struct store *store, fsm_change_callback callback, void *data, struct fsm **ret_fsm, struct error *error)
{
	struct fsm *fsm = calloc(1, sizeof(*fsm));
	int result;

	if (fsm == NULL)
		return error_set_nomem(error);
	*fsm = (struct fsm){ .store = store, .callback = callback, .data = data };
	result = counters_load(fsm, error);
	if (result != 0) {
		fsm_close(fsm);
		return error_prefix(error, "cannot read the state"), result;
	}
	*ret_fsm = fsm;
	return 0;
}

void fsm_close(struct fsm *fsm)
{
	if (fsm != NULL)
		record_cache_clear(&fsm->records);
	free(fsm);
}

uint64_t fsm_applied_index(const struct fsm *fsm)
{
	return fsm->counters.applied;
}

uint64_t fsm_revision(const struct fsm *fsm)
{
	return fsm->counters.revision;
}

int fsm_dump(struct fsm *fsm, struct buffer *output, struct error *error)
{
	struct store_txn *txn;
	int result = store_txn_begin(fsm->store, false, &txn, error);

	if (result != 0)
		return result;
	result = store_dump(txn, output, error);
	store_txn_abort(txn);
	return result;
}

int fsm_digest(struct fsm *fsm, uint8_t ret_digest[16], struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct state state = { .arena = &arena };
	struct counters counters = fsm->counters;
	int result = store_txn_begin(fsm->store, true, &state.txn, error);

	if (result != 0)
		return result;
	/* Entries without commands move the index of one server and not of another (a snapshot writes it); they are not
	 * state. Nothing of this is committed. */
	counters.applied = 0;
	result = counters_write(&state, &counters, error);
	if (result == 0)
		result = store_digest(state.txn, ret_digest, error);
	state_close(&state);
	store_txn_abort(state.txn);
	arena_free(&arena);
	return result;
}

int fsm_load(struct fsm *fsm, uint64_t index, struct bytes dump, struct error *error)
{
	int result;

	if (index <= fsm->counters.applied)
		return 0;
	result = store_load(fsm->store, dump, error);
	if (result == 0)
		result = counters_load(fsm, error);
	/* The dump may have been taken before entries without commands; they are part of what `index` stands for. */
	if (result == 0)
		result = fsm_skip(fsm, index, error);
	return result;
}
