/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on the controllers of a volume: how many there are to be, standbys come and go, retired ones are forgotten.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/volume.h"

static int volume_read(struct transition *transition, uint64_t id, struct volume *ret_volume, struct error *error)
{
	int result = state_volume(&transition->state, id, ret_volume, error);

	if (result == 0)
		result = transition_id(transition, "v", id, error);
	if (result == 0)
		transition->revision = ret_volume->revision;
	return result;
}

static int colours_read(struct state *state, const struct volume *volume, unsigned *ret_colours, struct error *error)
{
	unsigned colours = 0;
	struct node node;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		int result = state_node(state, volume->controllers.items[i].node, &node, error);

		if (result != 0) {
			state->broken = true; /* a controller keeps its node */
			return result;
		}
		colours |= 1u << node.colour;
	}
	*ret_colours = colours;
	return 0;
}

int command_volume_set_apply(struct transition *transition, const struct command_volume_set *command,
			     struct error *error)
{
	struct volume volume;
	int result = volume_read(transition, command->id, &volume, error);

	if (result != 0)
		return result;
	if (volume_is_leaving(volume.phase))
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is being deleted", volume.name);
	if (volume.standbys == command->standbys)
		return 0; /* asked again */
	if (command->revision != 0 && command->revision != volume.revision) {
		error_set(error, ERROR_CONFLICT,
			  "volume \"%s\" is at revision %" PRIu64 ", what was accepted was of revision %" PRIu64,
			  volume.name, volume.revision, command->revision);
		return error_hint(error, "look again: dnvme volume get %s", volume.name);
	}
	if (fsm_volume_hold_check(&volume, error) != 0)
		return ERROR_FAILED_PRECONDITION;
	if (volume.slots.count + command->standbys > LIMIT_COLOURS)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "standbys: %zu active controllers and %" PRIu64
				 " standbys of volume \"%s\" exceed the "
				 "limit of %u together",
				 volume.slots.count, command->standbys, volume.name, LIMIT_COLOURS);
	volume.standbys = command->standbys;
	return volume_store(transition, &volume, error);
}

int volume_standby_add(struct transition *transition, struct volume *volume, const char *name, struct error *error)
{
	struct state *state = &transition->state;
	struct controller_list list;
	struct node node;
	unsigned colours;
	int result = state_node(state, name, &node, error);

	if (result == 0)
		result = colours_read(state, volume, &colours, error);
	if (result == 0)
		result = volume_controller_admit(transition, volume, &node, &colours, error);
	if (result != 0)
		return result;
	/* Each has a colour of its own, so that there is room for it. */
	list.count = volume->controllers.count;
	list.items = arena_alloc_array(state->arena, list.count + 1, sizeof(*list.items));
	if (list.items == NULL)
		return state_nomem(state, error);
	memcpy(list.items, volume->controllers.items, list.count * sizeof(*list.items));
	list.items[list.count++] = (struct controller){ .node = node.name, .role = CONTROLLER_ROLE_STANDBY };
	volume->controllers = list;
	return 0;
}

int command_controller_add_apply(struct transition *transition, const struct command_controller_add *command,
				 struct error *error)
{
	const struct controller *present;
	struct volume volume;
	int result = volume_read(transition, command->volume, &volume, error);

	if (result != 0)
		return result;
	if (volume.phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume v%" PRIu64 " is in phase %s, not online",
				 volume.id, ENUM_NAME(volume_phase, volume.phase));
	present = volume_controller(&volume, command->node);
	if (present != NULL && present->role == CONTROLLER_ROLE_STANDBY)
		return 0;
	if (present != NULL)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" is a controller of volume v%" PRIu64 " already, %s", command->node,
				 volume.id, ENUM_NAME(controller_role, present->role));
	result = volume_standby_add(transition, &volume, command->node, error);
	return result == 0 ? volume_controllers_store(transition, &volume, error) : result;
}

int command_controller_retire_apply(struct transition *transition, const struct command_controller_retire *command,
				    struct error *error)
{
	struct controller *controller;
	struct volume volume;
	int result = volume_read(transition, command->volume, &volume, error);

	if (result != 0)
		return result;
	controller = volume_controller(&volume, command->node);
	if (controller == NULL)
		return error_set(error, ERROR_NOT_FOUND, "node \"%s\" is no controller of volume v%" PRIu64,
				 command->node, volume.id);
	if (controller->role == CONTROLLER_ROLE_RETIRED)
		return 0;
	if (controller->role == CONTROLLER_ROLE_ACTIVE)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" holds slot %" PRIu64 " of volume v%" PRIu64, command->node,
				 controller->slot, volume.id);
	if (volume_is_leaving(volume.phase))
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume v%" PRIu64 " is being deleted", volume.id);
	controller->role = CONTROLLER_ROLE_RETIRED;
	return volume_controllers_store(transition, &volume, error);
}

int command_controller_drop_apply(struct transition *transition, const struct command_controller_drop *command,
				  struct error *error)
{
	struct controller *controller;
	struct volume volume;
	int result = volume_read(transition, command->volume, &volume, error);

	if (result != 0)
		return result;
	controller = volume_controller(&volume, command->node);
	if (controller == NULL)
		return 0; /* dropped already */
	if (controller->role != CONTROLLER_ROLE_RETIRED)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" is not retired from volume v%" PRIu64 " but %s", command->node, volume.id,
				 ENUM_NAME(controller_role, controller->role));
	if (controller->epoch != command->epoch)
		return error_set(error, ERROR_CONFLICT,
				 "node \"%s\" retired from volume v%" PRIu64 " in epoch %" PRIu64 ", not %" PRIu64,
				 command->node, volume.id, controller->epoch, command->epoch);
	/* The node that goes hears of it as well. */
	volume.revision = transition_touch(transition);
	result = transition_changed_volume(transition, &volume, false, error);
	if (result == 0)
		result = volume_controller_remove(transition, &volume, controller, error);
	return result == 0 ? volume_write(transition, &volume, error) : result;
}
