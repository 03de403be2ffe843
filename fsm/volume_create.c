/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command volume.create: check the leader's placement against the state as it is now, and make the volume.
 *
 * INVALID_ARGUMENT: no state could take the command. CONFLICT: the placement went stale; planned again it may fit.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/policy/placement.h"
#include "fsm/volume.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

#define STRIPE_BYTES_MAX (UINT64_C(1) << 30)

/* --- what is wrong whatever the state ------------------------------------------------------------------- */

static int sizes_check(const struct command_volume_create *command, struct error *error)
{
	uint64_t leg_bytes, volume_bytes;
	int result;

	if (command->stripe_bytes % 4096 != 0 || command->stripe_bytes > STRIPE_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a stripe of %" PRIu64 " bytes is out of range",
				 command->stripe_bytes);
	result = layout_leg_bytes(command->size_bytes, command->legs.count, command->stripe_bytes, &leg_bytes,
				  &volume_bytes, error);
	if (result != 0)
		return result;
	if (volume_bytes != command->size_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "a size of %" PRIu64 " bytes is not a whole number of stripes over %zu legs",
				 command->size_bytes, command->legs.count);
	for (size_t i = 0; i < command->legs.count; i++) {
		if (command->legs.items[i].size_bytes != leg_bytes)
			return error_set(error, ERROR_INVALID_ARGUMENT, "leg %zu has %" PRIu64 " bytes, not %" PRIu64,
					 i, command->legs.items[i].size_bytes, leg_bytes);
	}
	return 0;
}

static int slots_check(const struct command_volume_create *command, struct error *error)
{
	uint64_t legs_of_slot[LIMIT_CONTROLLERS] = { 0 };

	for (size_t i = 0; i < command->legs.count; i++) {
		if (command->legs.items[i].slot >= command->actives.count)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "leg %zu is of slot %" PRIu64 ", the volume has %zu slots", i,
					 command->legs.items[i].slot, command->actives.count);
		legs_of_slot[command->legs.items[i].slot]++;
	}
	for (size_t i = 0; i < command->actives.count; i++) {
		if (legs_of_slot[i] != command->legs_per_controller)
			return error_set(error, ERROR_INVALID_ARGUMENT, "slot %zu has %" PRIu64 " legs, not %" PRIu64,
					 i, legs_of_slot[i], command->legs_per_controller);
	}
	return 0;
}

static int shape_check(const struct command_volume_create *command, struct error *error)
{
	uint64_t id;
	int result = names_name_check("the volume's name", command->name, error);

	if (result != 0)
		return result;
	if (names_id_parse("v", command->name, &id) == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is the form of an id, not a name",
				 command->name);
	if (command->actives.count == 0 || command->actives.count > LIMIT_CONTROLLERS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a volume has 1 to %u active controllers, not %zu",
				 LIMIT_CONTROLLERS, command->actives.count);
	if (command->standby_nodes.count != command->standbys)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%" PRIu64 " standbys were asked for, %zu are placed",
				 command->standbys, command->standby_nodes.count);
	if (command->legs.count != command->actives.count * command->legs_per_controller ||
	    command->legs.count > LIMIT_LEGS)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "%zu slots with %" PRIu64 " legs each do not make %zu legs (at most %u)",
				 command->actives.count, command->legs_per_controller, command->legs.count, LIMIT_LEGS);
	result = slots_check(command, error);
	if (result != 0)
		return result;
	return sizes_check(command, error);
}

/* The groups of a leg hold its virtual size. */
static int leg_room_check(const struct command_volume_create *command, size_t index, uint64_t extent_bytes,
			  struct error *error)
{
	const struct place_leg *leg = &command->legs.items[index];
	struct layout_group layout;
	uint64_t room;
	int result;

	if (leg->groups.count == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "leg %zu has no group", index);
	if (leg->group_extents > LIMIT_DISK_BYTES_MAX / extent_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT, "an LD of %" PRIu64 " extents is out of range",
				 leg->group_extents);
	result = layout_group_compute(leg->group_extents * extent_bytes, layout_thin_block_bytes(leg->size_bytes),
				      &layout, error);
	if (result != 0)
		return result;
	/* An overflow is more than any leg. */
	if (!__builtin_mul_overflow(layout.thin_data_bytes, leg->groups.count, &room) && room < leg->size_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "the groups of leg %zu hold %" PRIu64 " of its %" PRIu64 " bytes", index, room,
				 leg->size_bytes);
	for (size_t i = 0; i < leg->groups.count; i++) {
		if (leg->groups.items[i].members.count != command->copies)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "group %zu of leg %zu has %zu members, not %" PRIu64, i, index,
					 leg->groups.items[i].members.count, command->copies);
	}
	return 0;
}

/* --- controllers ------------------------------------------------------------------------------------------ */

static int stale(struct state *state, int result, struct error *error)
{
	if (result != ERROR_NOT_FOUND || state->broken)
		return result;
	error_prefix(error, "stale placement");
	if (error != NULL)
		error->code = ERROR_CONFLICT;
	return ERROR_CONFLICT;
}

static int controller_add(struct transition *transition, struct volume *volume, const char *name,
			  const struct controller *controller, unsigned *colours, struct error *error)
{
	struct state *state = &transition->state;
	struct node node;
	int result = stale(state, state_node(state, name, &node, error), error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, name) == 0)
			return error_set(error, ERROR_INVALID_ARGUMENT, "node \"%s\" is to be two controllers", name);
	}
	result = volume_controller_admit(transition, volume, &node, colours, error);
	if (result == 0)
		volume->controllers.items[volume->controllers.count++] = *controller;
	return result;
}

static int controllers_add(struct transition *transition, const struct command_volume_create *command,
			   struct volume *volume, struct error *error)
{
	struct arena *arena = transition->state.arena;
	size_t actives = command->actives.count, count = actives + command->standby_nodes.count;
	unsigned colours = 0;
	struct node node;
	int result = 0;

	if (count > LIMIT_COLOURS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a volume has at most %u controllers, not %zu",
				 LIMIT_COLOURS, count);
	volume->controllers.items = arena_alloc_array(arena, count, sizeof(*volume->controllers.items));
	volume->slots.items = arena_alloc_array(arena, actives, sizeof(*volume->slots.items));
	if (volume->controllers.items == NULL || volume->slots.items == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; result == 0 && i < count; i++) {
		bool active = i < actives;
		struct controller controller = {
			.node = active ? command->actives.items[i] : command->standby_nodes.items[i - actives],
			.role = active ? CONTROLLER_ROLE_ACTIVE : CONTROLLER_ROLE_STANDBY,
			.slot = active ? i : 0,
		};

		if (active)
			volume->slots.items[volume->slots.count++] = (struct slot){ .holder = controller.node,
										    .epoch = 1,
										    .phase = SLOT_PHASE_SERVING,
										    .since_ms = transition->time_ms };
		result = controller_add(transition, volume, controller.node, &controller, &colours, error);
		if (result == 0 && active)
			result = state_node(&transition->state, controller.node, &node, error);
		if (result == 0 && active)
			memcpy(volume->slots.items[i].boot_id, node.boot_id, sizeof(node.boot_id));
	}
	return result;
}

/* --- legs --------------------------------------------------------------------------------------------------- */

int volume_group_make(struct transition *transition, uint64_t volume, enum spread spread,
		      const struct place_group *place, uint64_t extents, struct group *ret_group, struct error *error)
{
	struct state *state = &transition->state;
	struct node nodes[LIMIT_COPIES];
	struct group group = { 0 };
	struct disk disk;
	int result;

	group.members.items = arena_alloc_array(state->arena, place->members.count, sizeof(*group.members.items));
	if (group.members.items == NULL)
		return state_nomem(state, error);
	for (size_t i = 0; i < place->members.count; i++) {
		struct node *node = &nodes[i];

		result = stale(state, state_disk(state, place->members.items[i].disk, &disk, error), error);
		if (result == 0)
			result = state_node(state, disk.node, node, error);
		if (result != 0)
			return result;
		if (disk.cordoned)
			return error_set(error, ERROR_CONFLICT, "stale placement: disk d%" PRIu64 " is cordoned",
					 disk.id);
		if (node->cordoned)
			return error_set(error, ERROR_CONFLICT, "stale placement: node \"%s\" is cordoned", node->name);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(nodes[j].name, node->name) == 0)
				return error_set(error, ERROR_INVALID_ARGUMENT,
						 "two copies of a group are to lie on node \"%s\"", node->name);
			if (placement_domains_equal(&nodes[j], node, spread))
				return error_set(error, ERROR_CONFLICT,
						 "stale placement: nodes \"%s\" and \"%s\" share a %s", nodes[j].name,
						 node->name, ENUM_NAME(spread, spread));
		}
		result = volume_ld_make(transition, volume, &disk, extents, &group.members.items[i], error);
		if (result != 0)
			return result;
		group.members.count++;
	}
	*ret_group = group;
	return 0;
}

static int legs_make(struct transition *transition, const struct command_volume_create *command, struct volume *volume,
		     struct error *error)
{
	struct arena *arena = transition->state.arena;
	int result = 0;

	volume->legs.items = arena_alloc_array(arena, command->legs.count, sizeof(*volume->legs.items));
	if (volume->legs.items == NULL)
		return state_nomem(&transition->state, error);
	for (size_t i = 0; i < command->legs.count; i++) {
		const struct place_leg *place = &command->legs.items[i];
		struct leg *leg = &volume->legs.items[volume->legs.count++];

		*leg = (struct leg){
			.slot = place->slot,
			.state = LEG_STATE_NEW,
			.size_bytes = place->size_bytes,
			.group_extents = place->group_extents,
		};
		leg->groups.items = arena_alloc_array(arena, place->groups.count, sizeof(*leg->groups.items));
		if (leg->groups.items == NULL)
			return state_nomem(&transition->state, error);
		for (size_t j = 0; j < place->groups.count; j++) {
			result = volume_group_make(transition, volume->id, command->spread, &place->groups.items[j],
						   place->group_extents, &leg->groups.items[leg->groups.count], error);
			if (result != 0)
				return result;
			leg->groups.count++;
		}
	}
	return 0;
}

/* --- the command ------------------------------------------------------------------------------------------ */

static int name_check_free(struct state *state, const char *name, struct error *error)
{
	struct key key;
	uint64_t id;
	int result = state_get_id(state, STORE_TABLE_VOLUME_NAME, key_text(&key, name), &id, error);

	if (result == 0)
		return error_set(error, ERROR_ALREADY_EXISTS, "there is a volume \"%s\" already (v%" PRIu64 ")", name,
				 id);
	return state->broken ? result : 0;
}

/* A port that no other volume of the cluster has, so that it is free at whichever node becomes a controller; each one's
 * turn comes again only after all others', because initiators of a volume that went may still knock on it. */
static int leg_port_choose(struct state *state, struct volume *volume, struct error *error)
{
	const uint64_t ports = LIMIT_LEG_PORT_LAST - LIMIT_LEG_PORT_FIRST + 1;
	struct key key;
	uint64_t port = 0, taken;
	bool has = true;
	int result = 0;

	if (volume->slots.count < 2)
		return 0;
	result = state_count(state, STORE_TABLE_LEG_PORT, &taken, error);
	if (result == 0 && taken >= ports) {
		error_set(error, ERROR_NO_CAPACITY,
			  "each of the %" PRIu64 " ports for volumes with several controllers is taken", ports);
		result = error_hint(error, "delete such a volume, or create \"%s\" with one active controller",
				    volume->name);
	}
	if (result != 0)
		return result;
	for (uint64_t i = 0; result == 0 && has; i++) {
		port = LIMIT_LEG_PORT_FIRST + (volume->id + i) % ports;
		result = state_has(state, STORE_TABLE_LEG_PORT, key_id(&key, port), &has, error);
	}
	if (result == 0)
		result = state_put_id(state, STORE_TABLE_LEG_PORT, key_id(&key, port), volume->id, error);
	if (result == 0)
		volume->leg_port = port;
	return result;
}

int command_volume_create_apply(struct transition *transition, const struct command_volume_create *command,
				struct error *error)
{
	struct state *state = &transition->state;
	struct volume volume = {
		.name = command->name,
		.size_bytes = command->size_bytes,
		.copies = command->copies,
		.standbys = command->standbys,
		.legs_per_controller = command->legs_per_controller,
		.spread = command->spread,
		.provision = command->provision,
		.durability = command->durability != 0 ? command->durability : DURABILITY_FLUSH,
		.phase = VOLUME_PHASE_PLACED,
		.stripe_bytes = command->stripe_bytes,
		.created_ms = transition->time_ms,
	};
	struct cluster cluster;
	struct key key;
	int result = state_cluster(state, &cluster, error);

	if (result == 0)
		result = shape_check(command, error);
	if (result == 0)
		result = name_check_free(state, command->name, error);
	for (size_t i = 0; result == 0 && i < command->legs.count; i++)
		result = leg_room_check(command, i, cluster.extent_bytes, error);
	if (result != 0)
		return result;
	memcpy(volume.uuid, command->uuid, sizeof(volume.uuid));
	volume.id = ++transition->counters.last_volume;
	volume.revision = transition_touch(transition);
	result = controllers_add(transition, command, &volume, error);
	if (result == 0)
		result = legs_make(transition, command, &volume, error);
	if (result == 0)
		result = leg_port_choose(state, &volume, error);
	if (result == 0)
		result = state_put_id(state, STORE_TABLE_VOLUME_NAME, key_text(&key, volume.name), volume.id, error);
	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result == 0)
		result = volume_store(transition, &volume, error);
	return result;
}
