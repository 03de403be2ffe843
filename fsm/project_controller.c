/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Projection of the controller that a node is for a volume. */
#include <string.h>

#include "fsm/project_internal.h"
#include "lib/model/moving.h"
#include "lib/model/names.h"

static int member_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			  const struct group *group, const struct ld *ld, struct desired_member *ret_member,
			  struct error *error)
{
	const struct slot *slot = &volume->slots.items[leg->slot];
	/* One that went with its node is nowhere, and nobody connects to it: the place is what counts. */
	bool lost = ld->state == LD_STATE_FREED;
	const char *address = projection->node->address;
	uint64_t port = projection->node->port;
	const struct disk_entry *entry;
	char nqn[NAMES_NQN_SIZE];
	int result;

	if (!lost) {
		result = projection_disk(projection, ld->disk, &entry, error);
		if (result != 0)
			return result;
		address = entry->node->address;
		port = entry->disk.port;
	}
	names_export_nqn(projection->cluster.id, ld->disk, volume->id, leg->slot, slot->epoch, nqn);
	*ret_member = (struct desired_member){
		.ld = ld->id,
		.state = lost ? LD_STATE_STALE : ld->state,
		.nqn = projection_text(projection, nqn),
		.address = address,
		.port = port,
		.size_bytes = group_extents(leg, group) * projection->cluster.extent_bytes,
		.since_ms = ld->since_ms,
		.resync = ld->state == LD_STATE_REBUILDING && ld->resync,
		.withheld = ld->withheld,
		.unlabelled = ld->state == LD_STATE_REBUILDING && !ld->resync,
	};
	names_ld_uuid(projection->cluster.id, ld->id, slot->epoch, ret_member->uuid);
	return ret_member->nqn != NULL ? 0 : state_nomem(&projection->state, error);
}

/* Size of each leg as hosts see the volume: while it grows its legs are larger. */
static uint64_t leg_bytes_served(const struct volume *volume)
{
	return volume->size_bytes / volume->legs.count;
}

/* Whether the holder is to have it: it is part of its leg, or to be formatted. Not when the volume is on its way out,
 * nor before the holder serves: that must not wait for disks that nobody needs yet. */
static bool group_is_told(const struct volume *volume, const struct leg *leg, const struct group *group)
{
	return group->state == 0 || (group->state == GROUP_STATE_FORMATTING && volume->phase == VOLUME_PHASE_ONLINE &&
				     volume->slots.items[leg->slot].phase == SLOT_PHASE_SERVING);
}

static int leg_local_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			     struct desired_leg *ret_leg, struct error *error)
{
	struct arena *arena = projection->state.arena;
	int result;

	ret_leg->local = true;
	ret_leg->size_bytes = leg->size_bytes;
	ret_leg->format = leg->state == LEG_STATE_NEW && volume->phase == VOLUME_PHASE_ASSEMBLING;
	ret_leg->thick = volume->provision == PROVISION_THICK;
	ret_leg->writethrough = volume->durability == DURABILITY_STRICT;
	ret_leg->block_bytes = leg->block_bytes;
	ret_leg->shared = volume->snapshots.count > 0 || volume->dropped_thins.count > 0;
	/* Hosts see nothing of the new blocks yet. Once they do, nobody is ever told to write zeros over them. */
	if (ret_leg->thick && volume->phase == VOLUME_PHASE_ONLINE &&
	    volume->slots.items[leg->slot].phase == SLOT_PHASE_SERVING && leg->size_bytes > leg_bytes_served(volume))
		ret_leg->fill_from_bytes = leg_bytes_served(volume);
	if (projection->cluster.settings != NULL)
		ret_leg->rebuild_rate_bytes = projection->cluster.settings->rebuild_rate_bytes;
	ret_leg->groups.items = arena_alloc_array(arena, leg->groups.count, sizeof(*ret_leg->groups.items));
	if (ret_leg->groups.items == NULL)
		return state_nomem(&projection->state, error);
	for (size_t g = 0; g < leg->groups.count; g++) {
		const struct group *group = &leg->groups.items[g];
		struct desired_group *made = &ret_leg->groups.items[ret_leg->groups.count];

		if (!group_is_told(volume, leg, group))
			continue;
		ret_leg->groups.count++;
		made->format = group->state != 0;
		made->members.items = arena_alloc_array(arena, group->members.count, sizeof(*made->members.items));
		if (made->members.items == NULL)
			return state_nomem(&projection->state, error);
		for (size_t m = 0; m < group->members.count; m++) {
			if (group->members.items[m].drain > ret_leg->drain)
				ret_leg->drain = group->members.items[m].drain;
			result = member_project(projection, volume, leg, group, &group->members.items[m],
						&made->members.items[made->members.count++], error);
			if (result != 0)
				return result;
			if (moving_place(volume, group, m) != m)
				made->members.items[m].place = moving_place(volume, group, m) + 1;
		}
	}
	return 0;
}

/* From whom the others import the legs of a slot: until its holder may serve, from the one that exported them last,
 * if it has not said yet that it is clean; that export is parked or gone, and I/O waits there. */
static const char *exporter_of(const struct volume *volume, uint64_t index)
{
	const struct slot *slot = &volume->slots.items[index];
	const struct controller *previous;

	if (slot->phase != SLOT_PHASE_FENCING && slot->phase != SLOT_PHASE_ASSEMBLING)
		return slot->holder;
	previous = slot->previous != NULL ? volume_controller(volume, slot->previous) : NULL;
	if (previous != NULL && previous->role == CONTROLLER_ROLE_RETIRED && previous->epoch > 0 &&
	    previous->slot == index)
		return previous->node;
	return slot->holder;
}

static int leg_remote_project(struct projection *projection, const struct volume *volume, const struct leg *leg,
			      struct desired_leg *ret_leg, struct error *error)
{
	const struct node *holder;
	char nqn[NAMES_NQN_SIZE];
	int result = projection_node(projection, exporter_of(volume, leg->slot), &holder, error);

	if (result != 0)
		return result;
	names_consumer_nqn(projection->cluster.id, volume->id, leg->slot, projection->node->name, nqn);
	ret_leg->nqn = projection_text(projection, nqn);
	ret_leg->address = holder->address;
	ret_leg->port = volume->leg_port;
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
			.size_bytes = leg_bytes_served(volume),
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

/* Whether the export of the slot to this controller is wanted; a retired one held another slot, and goes on queueing
 * until it is clean. */
static bool is_consumer(const struct controller *controller, uint64_t slot)
{
	if (controller->role == CONTROLLER_ROLE_RETIRED)
		return controller->epoch > 0 && controller->slot != slot;
	return controller->role == CONTROLLER_ROLE_ACTIVE && controller->slot != slot;
}

static bool slot_is_served(const struct slot *slot)
{
	return slot->phase == SLOT_PHASE_EXPORTING || slot->phase == SLOT_PHASE_SERVING;
}

/*
 * When a consumer may open connections to the holder of a slot: while either of the two is new in its place, and once
 * in each generation. One that loses its connection has to begin anew before it gets another: what waits in its kernel
 * may be older than what its hosts wrote elsewhere meanwhile (docs/FAILURES.md, "A stale write").
 */
static bool is_admitted(const struct volume *volume, const struct controller *consumer, uint64_t slot)
{
	const struct slot *own = &volume->slots.items[slot], *other = &volume->slots.items[consumer->slot];

	if (consumer->role != CONTROLLER_ROLE_ACTIVE)
		return false;
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return volume->phase == VOLUME_PHASE_ASSEMBLING || volume->phase == VOLUME_PHASE_EXPORTING;
	return (own->phase == SLOT_PHASE_EXPORTING && slot_is_served(other)) || other->phase == SLOT_PHASE_EXPORTING;
}

/* While a volume is created nothing is written to it. Epochs only grow, so that their sum never comes again. */
static uint64_t generation_of(const struct volume *volume, const struct controller *consumer, uint64_t slot)
{
	if (volume->phase != VOLUME_PHASE_ONLINE || consumer->role != CONTROLLER_ROLE_ACTIVE)
		return 0;
	return volume->slots.items[slot].epoch + volume->slots.items[consumer->slot].epoch;
}

static int consumers_project(struct projection *projection, const struct volume *volume,
			     struct desired_volume *ret_volume, struct error *error)
{
	char host_nqn[NAMES_NQN_SIZE], nqn[NAMES_NQN_SIZE], id[NAMES_CONSUMER_ID_SIZE];
	struct desired_consumer *consumer;
	const struct node *node;
	int result;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (!is_consumer(controller, ret_volume->slot))
			continue;
		consumer = list_add(projection->state.arena, &ret_volume->consumers, sizeof(*consumer));
		if (consumer == NULL)
			return state_nomem(&projection->state, error);
		result = projection_node(projection, controller->node, &node, error);
		if (result != 0)
			return result;
		names_node_nqn(projection->cluster.id, controller->node, host_nqn);
		names_consumer_nqn(projection->cluster.id, volume->id, ret_volume->slot, controller->node, nqn);
		names_consumer_id(volume->id, ret_volume->slot, controller->node, id);
		*consumer =
			(struct desired_consumer){ .node = controller->node,
						   .host_nqn = projection_text(projection, host_nqn),
						   .nqn = projection_text(projection, nqn),
						   .parked = controller->role == CONTROLLER_ROLE_RETIRED,
						   .id = projection_text(projection, id),
						   .address = node->address,
						   .admitted = is_admitted(volume, controller, ret_volume->slot),
						   .generation = generation_of(volume, controller, ret_volume->slot) };
		if (consumer->host_nqn == NULL || consumer->nqn == NULL || consumer->id == NULL)
			return state_nomem(&projection->state, error);
	}
	return 0;
}

static bool legs_are_formatted(const struct volume *volume)
{
	for (size_t i = 0; i < volume->legs.count; i++) {
		if (volume->legs.items[i].state != LEG_STATE_READY)
			return false;
	}
	return true;
}

/* What an active controller is told of its slot in this phase of the volume. */
static bool legs_are_wanted(const struct volume *volume, const struct slot *slot)
{
	switch (volume->phase) {
	case VOLUME_PHASE_ASSEMBLING:
	case VOLUME_PHASE_EXPORTING:
		return true;
	case VOLUME_PHASE_ONLINE:
		return slot->phase != SLOT_PHASE_FENCING;
	case VOLUME_PHASE_UNEXPORTING:
		return legs_are_formatted(volume) && slot_is_served(slot);
	default:
		return false;
	}
}

static bool legs_are_larger(const struct volume *volume)
{
	for (size_t i = 0; i < volume->legs.count; i++) {
		if (volume->legs.items[i].size_bytes > leg_bytes_served(volume))
			return true;
	}
	return false;
}

/* Groups came to them later, to grow or for snapshots: imports may lack their namespaces. */
static bool legs_gained(const struct volume *volume)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			if (leg->groups.items[g].extents > 0 && leg->groups.items[g].state == 0)
				return true;
		}
	}
	return false;
}

/* Only who serves holds anything up, and has pools of which something can be deleted; a slot that is on its way must
 * not wait for that. */
static int snapshots_project(struct projection *projection, const struct volume *volume, struct desired_volume *made,
			     struct error *error)
{
	const struct snapshot *last =
		volume->snapshots.count > 0 ? &volume->snapshots.items[volume->snapshots.count - 1] : NULL;

	made->dropped_thins = volume->dropped_thins;
	if (last == NULL || last->pause == 0)
		return 0;
	made->pause = arena_alloc(projection->state.arena, sizeof(*made->pause));
	if (made->pause == NULL)
		return state_nomem(&projection->state, error);
	*made->pause =
		(struct desired_pause){ .number = last->thin, .phase = last->pause, .limit_ms = last->pause_limit_ms };
	return 0;
}

static int readers_project(struct projection *projection, const struct volume *volume, struct desired_snapshot *made,
			   struct error *error)
{
	size_t count = 0;
	const char **nqns = arena_alloc_array(projection->state.arena, volume->controllers.count, sizeof(*nqns));

	if (nqns == NULL)
		return state_nomem(&projection->state, error);
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const char *node = volume->controllers.items[i].node;
		char nqn[NAMES_NQN_SIZE];

		if (strcmp(node, projection->node->name) == 0)
			continue;
		names_node_nqn(projection->cluster.id, node, nqn);
		nqns[count] = projection_text(projection, nqn);
		if (nqns[count++] == NULL)
			return state_nomem(&projection->state, error);
	}
	made->controllers = (struct string_list){ count, nqns };
	return 0;
}

/* Those that hosts may read. Legs only where the slot is served, so that it waits for none of them. */
static int snapshot_reads_project(struct projection *projection, const struct volume *volume, const struct slot *slot,
				  struct desired_volume *made, struct error *error)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < volume->snapshots.count; i++) {
		const struct snapshot *snapshot = &volume->snapshots.items[i];
		struct desired_snapshot *told;

		if (snapshot->hosts.count == 0)
			continue;
		told = list_add(projection->state.arena, &made->snapshots, sizeof(*told));
		if (told == NULL)
			return state_nomem(&projection->state, error);
		*told = (struct desired_snapshot){ .thin = snapshot->thin,
						   .size_bytes = snapshot->size_bytes,
						   .hosts = snapshot->hosts,
						   .served = slot != NULL && slot->phase == SLOT_PHASE_SERVING };
		if (told->served)
			result = readers_project(projection, volume, told, error);
	}
	return result;
}

static bool is_unused(const struct volume *volume)
{
	return volume->phase == VOLUME_PHASE_ASSEMBLING || volume->phase == VOLUME_PHASE_EXPORTING;
}

int projection_controller(struct projection *projection, const struct volume *volume,
			  const struct controller *controller, struct error *error)
{
	const struct slot *slot = NULL;
	struct desired_volume *made;
	char id[NAMES_ID_SIZE], nqn[NAMES_NQN_SIZE];
	int result = 0;

	if (volume->phase == VOLUME_PHASE_DISMANTLING || volume->phase == VOLUME_PHASE_RELEASING ||
	    controller->role == CONTROLLER_ROLE_RETIRED) {
		names_id_format("v", volume->id, id);
		return projection_remove(projection, OBJECT_KIND_VOLUME, id, volume->revision, error);
	}
	if (volume->phase == VOLUME_PHASE_PLACED)
		return 0;
	if (controller->role == CONTROLLER_ROLE_ACTIVE)
		slot = &volume->slots.items[controller->slot];
	made = list_add(projection->state.arena, &projection->desired.volumes, sizeof(*made));
	if (made == NULL)
		return state_nomem(&projection->state, error);
	names_volume_nqn(projection->cluster.id, volume->id, nqn);
	*made = (struct desired_volume){
		.id = volume->id,
		.nqn = projection_text(projection, nqn),
		.size_bytes = volume->size_bytes,
		.role = slot != NULL && slot_is_served(slot) ? CONTROLLER_ROLE_ACTIVE : CONTROLLER_ROLE_STANDBY,
		.slot = controller->slot,
		.stripe_bytes = volume->stripe_bytes,
		.legs_wanted = slot != NULL && legs_are_wanted(volume, slot),
		.top_wanted = volume->phase == VOLUME_PHASE_EXPORTING || volume->phase == VOLUME_PHASE_ONLINE,
		/* Until it is online nothing is written to it, as consumers and gates rely on, whoever is attached. */
		.hosts = is_unused(volume) ? (struct string_list){ 0 } : volume->hosts,
		.revision = volume->revision,
		.leg_port = volume->leg_port,
		.grown = volume->grown_ms > 0 || legs_are_larger(volume) || legs_gained(volume) || moving_any(volume),
		.unused = is_unused(volume),
	};
	memcpy(made->uuid, volume->uuid, sizeof(made->uuid));
	if (made->nqn == NULL)
		return state_nomem(&projection->state, error);
	if (made->legs_wanted)
		result = legs_project(projection, volume, made, error);
	if (result == 0 && made->legs_wanted && slot_is_served(slot))
		result = consumers_project(projection, volume, made, error);
	if (result == 0 && volume->phase == VOLUME_PHASE_ONLINE && slot != NULL && slot->phase == SLOT_PHASE_SERVING)
		result = snapshots_project(projection, volume, made, error);
	if (result == 0 && volume->phase == VOLUME_PHASE_ONLINE)
		result = snapshot_reads_project(projection, volume, slot, made, error);
	return result;
}
