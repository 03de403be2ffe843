/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Projection: what one node shall make, derived from the replicated state alone.
 *
 *   phase         exports of Disk Nodes   active controller    standby
 *   PLACED        wanted                  -                    -
 *   ASSEMBLING    wanted                  legs                 listed, nothing wanted
 *   EXPORTING     wanted                  legs, top            top
 *   ONLINE        wanted                  legs, top            top
 *   UNEXPORTING   wanted                  legs (if formatted)  listed, nothing wanted
 *   DISMANTLING   wanted                  removed              removed
 *   RELEASING     removed                 removed              removed
 *
 * A volume that is deleted before its legs were formatted has no leg that could be assembled: then UNEXPORTING wants
 * none, and the agent takes down what there is.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/state.h"
#include "lib/model/names.h"

#define LOOKUP_BUCKETS 256u

/* Disks and nodes that were looked up, so that a node with many volumes decodes each once. */
struct disk_entry {
	struct disk_entry *next;
	struct disk disk;
	const struct node *node;
};

struct node_entry {
	struct node_entry *next;
	struct node node;
};

struct projection {
	struct state state;
	struct cluster cluster;
	const struct node *node; /* the one that is told */
	struct desired desired;
	struct disk_entry *disks[LOOKUP_BUCKETS];
	struct node_entry *nodes[LOOKUP_BUCKETS];
};

static const char *nqn_copy(struct projection *projection, const char *nqn)
{
	return arena_strdup(projection->state.arena, nqn);
}

/* --- look-ups ------------------------------------------------------------------------------------------- */

static int node_look_up(struct projection *projection, const char *name, const struct node **ret_node,
			struct error *error)
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

static int disk_look_up(struct projection *projection, uint64_t id, const struct disk_entry **ret_entry,
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
		result = node_look_up(projection, entry->disk.node, &entry->node, error);
	if (result != 0)
		return result;
	entry->next = projection->disks[id % LOOKUP_BUCKETS];
	projection->disks[id % LOOKUP_BUCKETS] = entry;
	*ret_entry = entry;
	return 0;
}

static int removed_add(struct projection *projection, enum object_kind kind, const char *id, uint64_t revision,
		       struct error *error)
{
	struct object_ref *ref = list_add(projection->state.arena, &projection->desired.removed, sizeof(*ref));

	if (ref != NULL)
		*ref = (struct object_ref){ kind, nqn_copy(projection, id), revision };
	return ref != NULL && ref->id != NULL ? 0 : state_nomem(&projection->state, error);
}

/* --- exports of Disk Nodes -------------------------------------------------------------------------------- */

/* Where an LD stands in its volume. */
struct ld_place {
	const struct volume *volume;
	const struct leg *leg;
	const struct ld *ld;
	uint64_t nsid;
	uint64_t epoch;
	const char *holder;
};

static int ranges_project(struct projection *projection, const struct ld *ld, struct byte_range_list *ret_list,
			  struct error *error)
{
	uint64_t extent_bytes = projection->cluster.extent_bytes;
	struct byte_range_list list = { ld->ranges.count, NULL };

	list.items = arena_alloc_array(projection->state.arena, list.count, sizeof(*list.items));
	if (list.items == NULL)
		return state_nomem(&projection->state, error);
	for (size_t i = 0; i < list.count; i++)
		list.items[i] = (struct byte_range){ ld->ranges.items[i].start * extent_bytes,
						     ld->ranges.items[i].length * extent_bytes };
	*ret_list = list;
	return 0;
}

/* The export of (disk, slot) among those of the volume, which begin at `first`; made when it is not there yet. */
static int export_find(struct projection *projection, const struct ld_place *place, size_t first,
		       struct desired_export **ret_export, struct error *error)
{
	struct desired *desired = &projection->desired;
	struct desired_export *export;
	char id[NAMES_ID_SIZE * 3], nqn[NAMES_NQN_SIZE], host_nqn[NAMES_NQN_SIZE];
	const char *cluster = projection->cluster.id;

	for (size_t i = first; i < desired->exports.count; i++) {
		export = &desired->exports.items[i];
		if (export->disk == place->ld->disk && export->slot == place->leg->slot) {
			*ret_export = export;
			return 0;
		}
	}
	export = list_add(projection->state.arena, &desired->exports, sizeof(*export));
	if (export == NULL)
		return state_nomem(&projection->state, error);
	names_export_id(place->ld->disk, place->volume->id, place->leg->slot, id);
	names_export_nqn(cluster, place->ld->disk, place->volume->id, place->leg->slot, place->epoch, nqn);
	names_node_nqn(cluster, place->holder, host_nqn);
	*export = (struct desired_export){
		.id = nqn_copy(projection, id),
		.disk = place->ld->disk,
		.volume = place->volume->id,
		.slot = place->leg->slot,
		.epoch = place->epoch,
		.nqn = nqn_copy(projection, nqn),
		.host_nqn = nqn_copy(projection, host_nqn),
		.revision = place->volume->revision,
	};
	if (export->id == NULL || export->nqn == NULL || export->host_nqn == NULL)
		return state_nomem(&projection->state, error);
	*ret_export = export;
	return 0;
}

static int export_remove(struct projection *projection, const struct ld_place *place, size_t first, struct error *error)
{
	char id[NAMES_ID_SIZE * 3];

	names_export_id(place->ld->disk, place->volume->id, place->leg->slot, id);
	for (size_t i = first; i < projection->desired.removed.count; i++) {
		if (strcmp(projection->desired.removed.items[i].id, id) == 0)
			return 0;
	}
	return removed_add(projection, OBJECT_KIND_EXPORT, id, place->volume->revision, error);
}

static int export_ld(struct projection *projection, const struct ld_place *place, size_t first, struct error *error)
{
	struct desired_export *export = NULL;
	struct desired_ld *ld;
	int result = export_find(projection, place, first, &export, error);

	if (result != 0)
		return result;
	ld = list_add(projection->state.arena, &export->lds, sizeof(*ld));
	if (ld == NULL)
		return state_nomem(&projection->state, error);
	ld->id = place->ld->id;
	ld->nsid = place->nsid;
	names_ld_uuid(projection->cluster.id, place->ld->id, place->epoch, ld->uuid);
	return ranges_project(projection, place->ld, &ld->ranges, error);
}

/* Namespace numbers run through the slot group by group, leg by leg, member by member: the first group of every leg
 * before the second of any. Groups that are added to every leg later leave the numbers of the others as they are. */
static uint64_t nsid_of(const struct volume *volume, size_t leg_in_slot, size_t group, size_t member)
{
	return 1 + (group * volume->legs_per_controller + leg_in_slot) * volume->copies + member;
}

static int exports_project(struct projection *projection, const struct volume *volume, struct error *error)
{
	size_t first_export = projection->desired.exports.count, first_removed = projection->desired.removed.count;
	size_t legs_of_slot[LIMIT_CONTROLLERS] = { 0 };
	const struct disk_entry *entry;
	int result;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];
		const struct slot *slot = &volume->slots.items[leg->slot];
		size_t leg_in_slot = legs_of_slot[leg->slot]++;

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				struct ld_place place = {
					.volume = volume,
					.leg = leg,
					.ld = &leg->groups.items[g].members.items[m],
					.nsid = nsid_of(volume, leg_in_slot, g, m),
					.epoch = slot->epoch,
					.holder = slot->holder,
				};

				if (place.ld->state == LD_STATE_FREED)
					continue;
				result = disk_look_up(projection, place.ld->disk, &entry, error);
				if (result != 0)
					return result;
				if (strcmp(entry->disk.node, projection->node->name) != 0)
					continue;
				if (volume->phase == VOLUME_PHASE_RELEASING)
					result = export_remove(projection, &place, first_removed, error);
				else
					result = export_ld(projection, &place, first_export, error);
				if (result != 0)
					return result;
			}
		}
	}
	return 0;
}

/* --- controllers -------------------------------------------------------------------------------------------- */

static int member_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			  const struct ld *ld, struct desired_member *ret_member, struct error *error)
{
	const struct slot *slot = &volume->slots.items[leg->slot];
	const struct disk_entry *entry;
	char nqn[NAMES_NQN_SIZE];
	int result = disk_look_up(projection, ld->disk, &entry, error);

	if (result != 0)
		return result;
	names_export_nqn(projection->cluster.id, ld->disk, volume->id, leg->slot, slot->epoch, nqn);
	*ret_member = (struct desired_member){
		.ld = ld->id,
		.state = ld->state,
		.nqn = nqn_copy(projection, nqn),
		.address = entry->node->address,
		.port = entry->disk.port,
		.size_bytes = leg->group_extents * projection->cluster.extent_bytes,
		.since_ms = ld->since_ms,
	};
	names_ld_uuid(projection->cluster.id, ld->id, slot->epoch, ret_member->uuid);
	return ret_member->nqn != NULL ? 0 : state_nomem(&projection->state, error);
}

static int leg_local_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			     struct desired_leg *ret_leg, struct error *error)
{
	struct arena *arena = projection->state.arena;
	int result;

	ret_leg->local = true;
	ret_leg->format = leg->state == LEG_STATE_NEW && volume->phase == VOLUME_PHASE_ASSEMBLING;
	ret_leg->groups.items = arena_alloc_array(arena, leg->groups.count, sizeof(*ret_leg->groups.items));
	if (ret_leg->groups.items == NULL)
		return state_nomem(&projection->state, error);
	for (size_t g = 0; g < leg->groups.count; g++) {
		const struct group *group = &leg->groups.items[g];
		struct desired_group *made = &ret_leg->groups.items[ret_leg->groups.count++];

		made->members.items = arena_alloc_array(arena, group->members.count, sizeof(*made->members.items));
		if (made->members.items == NULL)
			return state_nomem(&projection->state, error);
		for (size_t m = 0; m < group->members.count; m++) {
			result = member_project(projection, volume, leg, &group->members.items[m],
						&made->members.items[made->members.count++], error);
			if (result != 0)
				return result;
		}
	}
	return 0;
}

static int leg_remote_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			      struct desired_leg *ret_leg, struct error *error)
{
	const struct node *holder;
	char nqn[NAMES_NQN_SIZE];
	int result = node_look_up(projection, volume->slots.items[leg->slot].holder, &holder, error);

	if (result != 0)
		return result;
	names_consumer_nqn(projection->cluster.id, volume->id, leg->slot, projection->node->name, nqn);
	ret_leg->nqn = nqn_copy(projection, nqn);
	ret_leg->address = holder->address;
	ret_leg->port = holder->port;
	return ret_leg->nqn != NULL ? 0 : state_nomem(&projection->state, error);
}

static int legs_project(struct projection *projection, const struct volume *volume, struct desired_volume *ret_volume,
			struct error *error)
{
	struct desired_leg *legs = arena_alloc_array(projection->state.arena, volume->legs.count, sizeof(*legs));
	int result = 0;

	if (legs == NULL)
		return state_nomem(&projection->state, error);
	for (size_t i = 0; result == 0 && i < volume->legs.count; i++) {
		const struct leg *leg = &volume->legs.items[i];
		const struct slot *slot = &volume->slots.items[leg->slot];

		legs[i] = (struct desired_leg){
			.index = i,
			.slot = leg->slot,
			.epoch = slot->epoch,
			.size_bytes = leg->size_bytes,
			.nsid = i + 1,
		};
		/* The holder, local or remote, derives the same uuid for this consumer. */
		names_leg_uuid(projection->cluster.id, volume->id, i, projection->node->name, legs[i].uuid);
		if (strcmp(slot->holder, projection->node->name) == 0)
			result = leg_local_project(projection, volume, leg, &legs[i], error);
		else
			result = leg_remote_project(projection, volume, leg, &legs[i], error);
	}
	ret_volume->legs = (struct desired_leg_list){ volume->legs.count, legs };
	return result;
}

static int consumers_project(struct projection *projection, const struct volume *volume,
			     struct desired_volume *ret_volume, struct error *error)
{
	char host_nqn[NAMES_NQN_SIZE], nqn[NAMES_NQN_SIZE], id[NAMES_CONSUMER_ID_SIZE];
	struct desired_consumer *consumer;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role != CONTROLLER_ROLE_ACTIVE || strcmp(controller->node, projection->node->name) == 0)
			continue;
		consumer = list_add(projection->state.arena, &ret_volume->consumers, sizeof(*consumer));
		if (consumer == NULL)
			return state_nomem(&projection->state, error);
		names_node_nqn(projection->cluster.id, controller->node, host_nqn);
		names_consumer_nqn(projection->cluster.id, volume->id, ret_volume->slot, controller->node, nqn);
		names_consumer_id(volume->id, ret_volume->slot, controller->node, id);
		*consumer = (struct desired_consumer){ .node = controller->node,
						       .host_nqn = nqn_copy(projection, host_nqn),
						       .nqn = nqn_copy(projection, nqn),
						       .id = nqn_copy(projection, id) };
		if (consumer->host_nqn == NULL || consumer->nqn == NULL || consumer->id == NULL)
			return state_nomem(&projection->state, error);
	}
	return 0;
}

static bool legs_are_wanted(const struct volume *volume)
{
	if (volume->phase == VOLUME_PHASE_UNEXPORTING) {
		for (size_t i = 0; i < volume->legs.count; i++) {
			if (volume->legs.items[i].state != LEG_STATE_READY)
				return false;
		}
		return true;
	}
	return volume->phase == VOLUME_PHASE_ASSEMBLING || volume->phase == VOLUME_PHASE_EXPORTING ||
	       volume->phase == VOLUME_PHASE_ONLINE;
}

static int controller_project(struct projection *projection, const struct volume *volume,
			      const struct controller *controller, struct error *error)
{
	struct desired_volume *made;
	char id[NAMES_ID_SIZE], nqn[NAMES_NQN_SIZE];
	int result = 0;

	if (volume->phase == VOLUME_PHASE_PLACED)
		return 0;
	if (volume->phase == VOLUME_PHASE_DISMANTLING || volume->phase == VOLUME_PHASE_RELEASING) {
		names_id_format("v", volume->id, id);
		return removed_add(projection, OBJECT_KIND_VOLUME, id, volume->revision, error);
	}
	made = list_add(projection->state.arena, &projection->desired.volumes, sizeof(*made));
	if (made == NULL)
		return state_nomem(&projection->state, error);
	names_volume_nqn(projection->cluster.id, volume->id, nqn);
	*made = (struct desired_volume){
		.id = volume->id,
		.nqn = nqn_copy(projection, nqn),
		.size_bytes = volume->size_bytes,
		.role = controller->role,
		.slot = controller->slot,
		.stripe_bytes = volume->stripe_bytes,
		.legs_wanted = controller->role == CONTROLLER_ROLE_ACTIVE && legs_are_wanted(volume),
		.top_wanted = volume->phase == VOLUME_PHASE_EXPORTING || volume->phase == VOLUME_PHASE_ONLINE,
		.hosts = volume->hosts,
		.revision = volume->revision,
	};
	memcpy(made->uuid, volume->uuid, sizeof(made->uuid));
	if (made->nqn == NULL)
		return state_nomem(&projection->state, error);
	if (made->legs_wanted) {
		result = legs_project(projection, volume, made, error);
		if (result == 0)
			result = consumers_project(projection, volume, made, error);
	}
	return result;
}

static int volume_project(struct projection *projection, const struct volume *volume, struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, projection->node->name) == 0)
			result = controller_project(projection, volume, &volume->controllers.items[i], error);
	}
	return result == 0 ? exports_project(projection, volume, error) : result;
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
	result = store_txn_begin(fsm->store, false, &projection->state.txn, error);
	if (result != 0)
		return result;
	result = state_cluster(&projection->state, &projection->cluster, error);
	if (result == 0)
		result = node_look_up(projection, node, &projection->node, error);
	if (result == 0) {
		names_node_nqn(projection->cluster.id, projection->node->name, nqn);
		projection->desired = (struct desired){
			.cluster = projection->cluster.id,
			.node = projection->node->name,
			.address = projection->node->address,
			.port = projection->node->port,
			.colour = projection->node->colour,
			.host_nqn = nqn_copy(projection, nqn),
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
		result = disk_look_up(projection, disks.items[i], &entry, error);
		if (result != 0)
			return result;
		made = list_add(projection->state.arena, &projection->desired.disks, sizeof(*made));
		if (made == NULL)
			return state_nomem(&projection->state, error);
		*made = (struct desired_disk){ entry->disk.id, entry->disk.path, projection->node->address,
					       entry->disk.port, entry->disk.revision };
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
		result = removed_add(projection, OBJECT_KIND_VOLUME, id, fsm->counters.revision, error);
	}
	return projection_close(projection, result, ret_desired);
}
