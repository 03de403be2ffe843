/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Projection: what one node shall make, derived from the replicated state alone.
 *
 *   volume        exports of Disk Nodes   active controller     standby                    retired
 *   PLACED        wanted                  -                     -                          removed
 *   ASSEMBLING    wanted                  legs, consumers       listed, nothing wanted     removed
 *   EXPORTING     wanted                  legs, consumers, top  top                        removed
 *   ONLINE        wanted                  by its slot, below    top                        removed
 *   UNEXPORTING   wanted                  legs, consumers *     listed, nothing wanted     removed
 *   DISMANTLING   wanted                  removed               removed                    removed
 *   RELEASING     removed                 removed               removed                    removed
 *
 *   slot          its holder is told      legs   consumers      the others import its legs from
 *   FENCING       standby                 -      -              the last holder that exported them, if not clean yet
 *   ASSEMBLING    standby                 legs   -              the same
 *   EXPORTING     active                  legs   consumers      its holder
 *   SERVING       active                  legs   consumers      its holder
 *
 * (*) Unless they were never formatted, or the slot was on its way to a holder that has not assembled them: then the
 * agent takes down what there is.
 *
 * An export holds the LDs that are in sync or being rebuilt; stale ones, and those that leave, are not wanted: where
 * nothing else of that disk and slot is, the export is listed as removed, so that the Disk Node confirms that it is
 * absent. While a holder of an older epoch is retired and not clean, the export of its epoch is wanted parked, and so
 * are the exports of other slots to it. So is, until the slot is EXPORTING, that of an older epoch whose holder holds
 * the slot again, or still.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/project_internal.h"
#include "lib/model/names.h"

const char *projection_text(struct projection *projection, const char *text)
{
	return arena_strdup(projection->state.arena, text);
}

/* --- look-ups ------------------------------------------------------------------------------------------- */

int projection_node(struct projection *projection, const char *name, const struct node **ret_node, struct error *error)
{
	struct node_entry *entry;
	unsigned hash = 0;
	int result;

	for (const char *c = name; *c != '\0'; c++)
		hash = hash * 31 + (unsigned char)*c;
	for (entry = projection->nodes[hash % LOOKUP_BUCKETS]; entry != NULL; entry = entry->next) {
		if (strcmp(entry->node.name, name) == 0) {
			*ret_node = &entry->node;
			return 0;
		}
	}
	entry = arena_alloc(projection->state.arena, sizeof(*entry));
	if (entry == NULL)
		return state_nomem(&projection->state, error);
	result = state_node(&projection->state, name, &entry->node, error);
	if (result != 0)
		return result;
	entry->next = projection->nodes[hash % LOOKUP_BUCKETS];
	projection->nodes[hash % LOOKUP_BUCKETS] = entry;
	*ret_node = &entry->node;
	return 0;
}

int projection_disk(struct projection *projection, uint64_t id, const struct disk_entry **ret_entry,
		    struct error *error)
{
	struct disk_entry *entry;
	int result;

	for (entry = projection->disks[id % LOOKUP_BUCKETS]; entry != NULL; entry = entry->next) {
		if (entry->disk.id == id) {
			*ret_entry = entry;
			return 0;
		}
	}
	entry = arena_alloc(projection->state.arena, sizeof(*entry));
	if (entry == NULL)
		return state_nomem(&projection->state, error);
	result = state_disk(&projection->state, id, &entry->disk, error);
	if (result == 0)
		result = projection_node(projection, entry->disk.node, &entry->node, error);
	if (result != 0)
		return result;
	entry->next = projection->disks[id % LOOKUP_BUCKETS];
	projection->disks[id % LOOKUP_BUCKETS] = entry;
	*ret_entry = entry;
	return 0;
}

int projection_remove(struct projection *projection, enum object_kind kind, const char *id, uint64_t revision,
		      struct error *error)
{
	struct object_ref *ref = list_add(projection->state.arena, &projection->desired.removed, sizeof(*ref));

	if (ref != NULL)
		*ref = (struct object_ref){ kind, projection_text(projection, id), revision };
	return ref != NULL && ref->id != NULL ? 0 : state_nomem(&projection->state, error);
}

static int volume_project(struct projection *projection, const struct volume *volume, struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, projection->node->name) == 0)
			result = projection_controller(projection, volume, &volume->controllers.items[i], error);
	}
	return result == 0 ? projection_exports(projection, volume, error) : result;
}

/* --- whole -------------------------------------------------------------------------------------------------- */

static int projection_open(struct fsm *fsm, const char *node, struct arena *arena, struct projection **ret_projection,
			   struct error *error)
{
	struct projection *projection = arena_alloc(arena, sizeof(*projection));
	char nqn[NAMES_NQN_SIZE];
	int result;

	if (projection == NULL)
		return error_set_nomem(error);
	projection->state.arena = arena;
	projection->state.records = &fsm->records;
	result = store_txn_begin(fsm->store, false, &projection->state.txn, error);
	if (result != 0)
		return result;
	result = state_cluster(&projection->state, &projection->cluster, error);
	if (result == 0)
		result = projection_node(projection, node, &projection->node, error);
	if (result == 0) {
		names_node_nqn(projection->cluster.id, projection->node->name, nqn);
		projection->desired = (struct desired){
			.cluster = projection->cluster.id,
			.node = projection->node->name,
			.address = projection->node->address,
			.port = projection->node->port,
			.colour = projection->node->colour,
			.host_nqn = projection_text(projection, nqn),
		};
		if (projection->desired.host_nqn == NULL)
			result = state_nomem(&projection->state, error);
	}
	if (result != 0)
		store_txn_abort(projection->state.txn);
	else
		*ret_projection = projection;
	return result;
}

static int projection_close(struct projection *projection, int result, struct desired *ret_desired)
{
	store_txn_abort(projection->state.txn);
	state_close(&projection->state);
	if (result == 0)
		*ret_desired = projection->desired;
	return result;
}

static int disks_project(struct projection *projection, struct error *error)
{
	const struct disk_entry *entry;
	struct desired_disk *made;
	struct id_list disks;
	int result = state_node_disks(&projection->state, projection->node->name, &disks, error);

	for (size_t i = 0; result == 0 && i < disks.count; i++) {
		result = projection_disk(projection, disks.items[i], &entry, error);
		if (result != 0)
			return result;
		made = list_add(projection->state.arena, &projection->desired.disks, sizeof(*made));
		if (made == NULL)
			return state_nomem(&projection->state, error);
		*made = (struct desired_disk){ .id = entry->disk.id,
					       .path = entry->disk.path,
					       .address = projection->node->address,
					       .port = entry->disk.port,
					       .revision = entry->disk.revision,
					       .volatile_cache = entry->disk.volatile_cache };
	}
	return result;
}

int fsm_project_node(struct fsm *fsm, const char *node, struct arena *arena, struct desired *ret_desired,
		     struct error *error)
{
	struct projection *projection = NULL;
	struct id_list volumes = { 0 };
	struct volume volume;
	int result = projection_open(fsm, node, arena, &projection, error);

	if (result != 0)
		return result;
	result = disks_project(projection, error);
	if (result == 0)
		result = state_node_volumes(&projection->state, node, &volumes, error);
	for (size_t i = 0; result == 0 && i < volumes.count; i++) {
		result = state_volume(&projection->state, volumes.items[i], &volume, error);
		if (result == 0)
			result = volume_project(projection, &volume, error);
	}
	return projection_close(projection, result, ret_desired);
}

int fsm_project_volume(struct fsm *fsm, const char *node, uint64_t volume, struct arena *arena,
		       struct desired *ret_desired, struct error *error)
{
	struct projection *projection = NULL;
	struct volume found;
	char id[NAMES_ID_SIZE];
	int result = projection_open(fsm, node, arena, &projection, error);

	if (result != 0)
		return result;
	result = state_volume(&projection->state, volume, &found, error);
	if (result == 0) {
		result = volume_project(projection, &found, error);
	} else if (result == ERROR_NOT_FOUND && !projection->state.broken) {
		/* It is gone, and with it the knowledge of what it was made of. */
		names_id_format("v", volume, id);
		result = projection_remove(projection, OBJECT_KIND_VOLUME, id, fsm->counters.revision, error);
	}
	return projection_close(projection, result, ret_desired);
}
