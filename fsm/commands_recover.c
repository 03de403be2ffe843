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

/* --- servers ------------------------------------------------------------------------------------------------------ */

static int cluster_recover(struct transition *transition, const struct command_cluster_recover *command,
			   struct error *error)
{
	struct state *state = &transition->state;
	const char *lost[LIMIT_SERVERS];
	char names[LIMIT_SERVERS][NAMES_ID_SIZE];
	struct recovered recovered = { .time_ms = transition->time_ms, .by = command->by };
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
	if (self.id == 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "there is no server s%" PRIu64, command->server);
	self.leaving = false;
	transition->id = cluster.id;
	recovered.lost.items = lost;
	recovered.revision = transition_touch(transition);
	cluster.servers = (struct server_list){ 1, &self };
	cluster.next_server = next + SERVER_STEP;
	cluster.recovered = &recovered;
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	return result == 0 ? transition_changed_cluster(transition, error) : result;
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

/* Whatever there may have been of it, anywhere, is of an older epoch. */
static int slots_begin(struct transition *transition, struct volume *volume, struct error *error)
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
		slot->epoch += STEP;
		volume_slot_begin(volume, i, &node, MOVE_REASON_RECOVERED, transition->time_ms);
		/* Who held it last, and what that one may still read, is not known. */
		slot->unfenced = true;
	}
	return operation_disturb(transition, volume, error);
}

/* Nothing is formatted in a phase before ASSEMBLING. */
static void unfinished_begin(struct volume *volume)
{
	volume->phase = VOLUME_PHASE_PLACED;
	for (size_t i = 0; i < volume->slots.count; i++)
		volume->slots.items[i].epoch += STEP;
}

static int volume_recover(struct transition *transition, uint64_t id, struct error *error)
{
	struct hold hold = { .revision = transition_touch(transition), .time_ms = transition->time_ms };
	struct volume volume;
	int result = state_volume(&transition->state, id, &volume, error);

	if (result != 0)
		return result;
	volume.last_thin = volume.last_thin + THIN_STEP > LIMIT_THINS ? LIMIT_THINS : volume.last_thin + THIN_STEP;
	if (!volume_is_leaving(volume.phase)) {
		volume.hold = &hold;
		if (volume.phase == VOLUME_PHASE_ONLINE)
			result = slots_begin(transition, &volume, error);
		else
			unfinished_begin(&volume);
	}
	return result == 0 ? volume_store(transition, &volume, error) : result;
}

static int disk_recover(struct transition *transition, uint64_t id, struct error *error)
{
	struct disk disk;
	int result = state_disk(&transition->state, id, &disk, error);

	if (result != 0)
		return result;
	disk.revision = transition_touch(transition);
	return state_disk_put(&transition->state, &disk, error);
}

/* Each in memory of its own: there may be many. */
static int each(struct transition *transition, enum store_table table,
		int (*recover)(struct transition *transition, uint64_t id, struct error *error), struct error *error)
{
	struct state *state = &transition->state;
	struct arena *arena = state->arena;
	struct id_list ids;
	int result = ids_list(state, table, &ids, error);

	for (size_t i = 0; result == 0 && i < ids.count; i++) {
		struct arena own = ARENA_INIT;

		state->arena = &own;
		result = recover(transition, ids.items[i], error);
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
	bool changes_wanted = transition->changes_wanted;
	int result;

	counters->revision += REVISION_STEP;
	counters->last_disk += STEP;
	counters->last_volume += STEP;
	counters->last_ld += STEP;
	counters->last_job += STEP;
	result = cluster_recover(transition, command, error);
	/* One event tells of all of them, and the leader has yet to begin. */
	transition->state.journal = NULL;
	transition->changes_wanted = false;
	if (result == 0)
		result = each(transition, STORE_TABLE_VOLUME, volume_recover, error);
	if (result == 0)
		result = each(transition, STORE_TABLE_DISK, disk_recover, error);
	transition->state.journal = journal;
	transition->changes_wanted = changes_wanted;
	return result;
}

/* --- an operator's word ------------------------------------------------------------------------------------------- */

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
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was looked at",
				 volume.id, volume.revision, command->revision);
	volume.hold = NULL;
	return volume_store(transition, &volume, error);
}
