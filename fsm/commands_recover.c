/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The majority of the servers is lost for good, and one goes on with the log that it has. What the others had committed
 * and this one never got is lost: which slots moved, which members went stale, which numbers were given out, nobody
 * here knows. So
 *
 *   - every number that is given out goes on far behind the last one: no epoch, id or revision of the lost entries ever
 *     comes again with another meaning;
 *   - every volume is fenced anew, in an epoch above all that there may have been: nobody writes to it from then on;
 *   - every volume is held: none of its members is assembled, given up, rebuilt or freed until its operator says that
 *     what this state says of it is right. One that was not online yet may have been formatted and used since: it can
 *     only be deleted.
 *
 * Or there is no server left, and the state is that of a backup. Then much more may be missing, and others may have
 * gone on from there before, after another recovery or from the same backup. So numbers go on by a step for each second
 * since the backup was made, and what lies on a disk where the state sees free extents is not known: each disk is held.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/operation.h"
#include "lib/model/names.h"

/* More than the others can have given out while this server was away: of ids, and of the epochs of a slot; of
 * revisions, of which there may be thousands a second. */
#define STEP (UINT64_C(1) << 20)
#define REVISION_STEP (UINT64_C(1) << 40)
#define THIN_STEP (UINT64_C(1) << 12)
#define SERVER_STEP 100u

/* With each step of a restored one; a recovery since is less than the steps that there are besides the seconds. */
#define RESTORED_REVISION_STEP (UINT64_C(1) << 34)
#define RESTORED_SERVER_STEP (UINT64_C(16) * SERVER_STEP)
#define RESTORED_THIN_STEP (UINT64_C(16) * THIN_STEP)
#define STEPS_PER_HOUR 3600u

/* How far each kind of number goes on. */
struct raise {
	uint64_t revision, id, server, thin;
	uint64_t backup_ms; /* 0: it is the state of a server */
};

static int ids_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct state *state = ((void **)data)[0];
	uint64_t *id = list_add(state->arena, ((void **)data)[1], sizeof(*id));

	(void)value;
	if (id == NULL)
		return state_nomem(state, error);
	if (key.size != sizeof(*id))
		return error_set(error, ERROR_INTERNAL, "the key of a record is damaged");
	*id = key_read_id(key.data);
	return 0;
}

static int ids_list(struct state *state, enum store_table table, struct id_list *ret_ids, struct error *error)
{
	struct bytes all = { NULL, 0 };
	void *data[] = { state, ret_ids };
	int result;

	*ret_ids = (struct id_list){ 0 };
	result = state_walk(state, table, all, all, ids_visit, data, error);
	if (result != 0)
		state->broken = true;
	return result;
}

static struct raise raise_of(const struct restored *restored)
{
	if (restored == NULL)
		return (struct raise){
			.revision = REVISION_STEP, .id = STEP, .server = SERVER_STEP, .thin = THIN_STEP
		};
	return (struct raise){ .revision = restored->steps * RESTORED_REVISION_STEP,
			       .id = restored->steps * STEP,
			       .server = restored->steps + RESTORED_SERVER_STEP,
			       .thin = RESTORED_THIN_STEP + restored->steps / STEPS_PER_HOUR * THIN_STEP,
			       .backup_ms = restored->backup_ms };
}

/* --- servers ------------------------------------------------------------------------------------------------------ */

static int cluster_recover(struct transition *transition, const struct command_cluster_recover *command,
			   const struct raise *raise, struct error *error)
{
	struct state *state = &transition->state;
	const char *lost[LIMIT_SERVERS];
	char names[LIMIT_SERVERS][NAMES_ID_SIZE];
	struct recovered recovered = { .time_ms = transition->time_ms,
				       .by = command->by,
				       .backup_ms = raise->backup_ms };
	struct server self = { 0 };
	struct cluster cluster;
	struct key key;
	uint64_t next;
	int result = state_cluster(state, &cluster, error);

	if (result != 0)
		return result;
	next = cluster.next_server;
	for (size_t i = 0; i < cluster.servers.count; i++) {
		const struct server *server = &cluster.servers.items[i];

		next = server->id >= next ? server->id + 1 : next;
		if (server->id == command->server) {
			self = *server;
			continue;
		}
		names_id_format("s", server->id, names[i]);
		lost[recovered.lost.count++] = server->name != NULL ? server->name : names[i];
	}
	if (command->restored != NULL) {
		next = command->server >= next ? command->server + 1 : next;
		self.id = command->server;
		self.raft_address = command->restored->raft_address;
		self.api_address = command->restored->api_address;
	}
	if (self.id == 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "there is no server s%" PRIu64, command->server);
	if (next + raise->server > UINT32_MAX)
		return error_set(error, ERROR_FAILED_PRECONDITION, "there are no numbers left for servers");
	self.leaving = false;
	transition->id = cluster.id;
	recovered.lost.items = lost;
	recovered.revision = transition_touch(transition);
	cluster.servers = (struct server_list){ 1, &self };
	cluster.next_server = next + raise->server;
	cluster.recovered = &recovered;
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	return result == 0 ? transition_changed_cluster(transition, error) : result;
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

/* Whatever there may have been of it, anywhere, is of an older epoch. */
static int slots_begin(struct transition *transition, struct volume *volume, const struct raise *raise,
		       struct error *error)
{
	for (size_t i = 0; i < volume->slots.count; i++) {
		struct slot *slot = &volume->slots.items[i];
		struct node node;
		int result = state_node(&transition->state, slot->holder, &node, error);

		if (result != 0) {
			transition->state.broken = true; /* a holder keeps its node */
			return result;
		}
		volume_slot_leave(slot);
		volume_slot_keep(slot, &node);
		slot->epoch += raise->id;
		volume_slot_begin(volume, i, &node, MOVE_REASON_RECOVERED, transition->time_ms);
		/* Who held it last, and what that one may still read, is not known. */
		slot->unfenced = true;
	}
	return operation_disturb(transition, volume, error);
}

/* Nothing is formatted in a phase before ASSEMBLING. */
static void unfinished_begin(struct volume *volume, const struct raise *raise)
{
	volume->phase = VOLUME_PHASE_PLACED;
	for (size_t i = 0; i < volume->slots.count; i++)
		volume->slots.items[i].epoch += raise->id;
}

static int volume_recover(struct transition *transition, uint64_t id, const struct raise *raise, struct error *error)
{
	struct hold hold = { .revision = transition_touch(transition),
			     .time_ms = transition->time_ms,
			     .backup_ms = raise->backup_ms };
	struct volume volume;
	int result = state_volume(&transition->state, id, &volume, error);

	if (result != 0)
		return result;
	volume.last_thin = volume.last_thin + raise->thin > LIMIT_THINS ? LIMIT_THINS : volume.last_thin + raise->thin;
	if (!volume_is_leaving(volume.phase)) {
		if (volume.hold != NULL && hold.backup_ms == 0)
			hold.backup_ms = volume.hold->backup_ms; /* it was not released yet */
		volume.hold = &hold;
		if (volume.phase == VOLUME_PHASE_ONLINE)
			result = slots_begin(transition, &volume, raise, error);
		else
			unfinished_begin(&volume, raise);
	}
	return result == 0 ? volume_store(transition, &volume, error) : result;
}

static int disk_recover(struct transition *transition, uint64_t id, const struct raise *raise, struct error *error)
{
	struct disk disk;
	int result = state_disk(&transition->state, id, &disk, error);

	if (result != 0)
		return result;
	disk.revision = transition_touch(transition);
	disk.held |= raise->backup_ms != 0;
	return state_disk_put(&transition->state, &disk, error);
}

/* Each in memory of its own: there may be many. */
static int each(struct transition *transition, enum store_table table,
		int (*recover)(struct transition *transition, uint64_t id, const struct raise *raise,
			       struct error *error),
		const struct raise *raise, struct error *error)
{
	struct state *state = &transition->state;
	struct arena *arena = state->arena;
	struct id_list ids;
	int result = ids_list(state, table, &ids, error);

	for (size_t i = 0; result == 0 && i < ids.count; i++) {
		struct arena own = ARENA_INIT;

		state->arena = &own;
		result = recover(transition, ids.items[i], raise, error);
		state->arena = arena;
		arena_free(&own);
		state->broken |= result != 0; /* what the state lists is there */
	}
	return result;
}

int command_cluster_recover_apply(struct transition *transition, const struct command_cluster_recover *command,
				  struct error *error)
{
	struct counters *counters = &transition->counters;
	struct journal *journal = transition->state.journal;
	const struct raise raise = raise_of(command->restored);
	bool changes_wanted = transition->changes_wanted;
	int result;

	if (command->restored != NULL && counters->revision > LIMIT_RESTORE_FROM)
		return error_set(error, ERROR_FAILED_PRECONDITION, "there are no revisions left for another restore");
	counters->revision += raise.revision;
	counters->last_disk += raise.id;
	counters->last_volume += raise.id;
	counters->last_ld += raise.id;
	counters->last_job += raise.id;
	result = cluster_recover(transition, command, &raise, error);
	/* One event tells of all of them, and the leader has yet to begin. */
	transition->state.journal = NULL;
	transition->changes_wanted = false;
	if (result == 0)
		result = each(transition, STORE_TABLE_VOLUME, volume_recover, &raise, error);
	if (result == 0)
		result = each(transition, STORE_TABLE_DISK, disk_recover, &raise, error);
	transition->state.journal = journal;
	transition->changes_wanted = changes_wanted;
	return result;
}

/* --- an operator's word ------------------------------------------------------------------------------------------- */

/* It would go on where it was: format what may be in use by now, or fill it with zeros. A slot that is to move does no
 * harm: the next move is as good as any. */
static int job_check(struct transition *transition, const struct volume *volume, struct error *error)
{
	struct operation operation;
	int result;

	if (volume->hold->backup_ms == 0 || volume->operation == 0)
		return 0;
	result = state_operation(&transition->state, volume->operation, &operation, error);
	if (result != 0 || operation.kind == JOB_KIND_MOVE_SLOT)
		return result;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "volume \"%s\": job j%" PRIu64
		  " worked on it when the backup was made, and nobody knows how far it came since",
		  volume->name, volume->operation);
	return error_hint(error, "it cannot be used with this backup; delete it, or restore another one");
}

int command_volume_release_apply(struct transition *transition, const struct command_volume_release *command,
				 struct error *error)
{
	struct volume volume;
	int result = state_volume(&transition->state, command->id, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	if (volume.hold == NULL)
		return 0; /* asked again */
	if (volume.phase != VOLUME_PHASE_ONLINE) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "volume \"%s\" was not online yet in the state that is left: nobody knows what it holds now",
			  volume.name);
		return error_hint(error, "delete it");
	}
	result = job_check(transition, &volume, error);
	if (result != 0)
		return result;
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was looked at",
				 volume.id, volume.revision, command->revision);
	volume.hold = NULL;
	return volume_store(transition, &volume, error);
}

static int disk_release(struct transition *transition, const char *text, struct error *error)
{
	struct disk disk;
	uint64_t id;
	int result;

	if (names_id_parse("d", text, &id) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not the id of a disk such as d1", text);
	result = state_disk(&transition->state, id, &disk, error);
	if (result != 0 || !disk.held)
		return result;
	disk.held = false;
	disk.revision = transition_touch(transition);
	result = state_disk_put(&transition->state, &disk, error);
	return result == 0 ? transition_changed_disk(transition, &disk, false, error) : result;
}

int command_disk_release_apply(struct transition *transition, const struct command_disk_release *command,
			       struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < command->disks.count; i++)
		result = disk_release(transition, command->disks.items[i], error);
	return result;
}
