/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command volume.move, and what becomes of its job when slots move.
 *
 *   preparing ──► moving
 *
 * preparing: the slot says where it is to go next (slot.next), and that node is a standby. The leader gives it the slot
 * (slot.move, reason "asked") when it is ready and everything is well, as with a node that is drained.
 *
 * moving: the slot is on its way there, or there. What it waits for is what any slot that moves waits for.
 *
 * The slot's own moves come first: one that is lost meanwhile goes wherever it can, and its job is over.
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/operation.h"

void move_slot_end(struct volume *volume)
{
	for (size_t i = 0; i < volume->slots.count; i++)
		volume->slots.items[i].next = NULL;
}

bool move_slot_fits(const struct volume *volume, const struct operation *operation)
{
	const struct operation_move_slot *move = operation->move_slot;
	bool preparing = operation->phase == OPERATION_PHASE_PREPARING;

	if ((move != NULL) != (preparing || operation->phase == OPERATION_PHASE_MOVING) ||
	    (move != NULL && move->slot >= volume->slots.count))
		return false;
	for (size_t i = 0; i < volume->slots.count; i++) {
		const char *next = volume->slots.items[i].next;
		bool wanted = preparing && i == move->slot;

		if (wanted ? next == NULL || strcmp(next, move->to) != 0 : next != NULL)
			return false;
	}
	return true;
}

/* --- the command ------------------------------------------------------------------------------------------------ */

static int standby_check(struct transition *transition, const char *name, struct error *error)
{
	struct node node;
	int result = state_node(&transition->state, name, &node, error);

	if (result != 0) {
		transition->state.broken = true; /* a controller keeps its node */
		return result;
	}
	return node.cordoned ? error_set(error, ERROR_CONFLICT, "stale placement: node \"%s\" is cordoned", name) : 0;
}

/* Whoever holds the slot next is a standby from now on. */
static int target_prepare(struct transition *transition, struct volume *volume,
			  const struct command_volume_move *command, struct error *error)
{
	const struct controller *controller = volume_controller(volume, command->to);

	if (controller == NULL)
		return volume_standby_add(transition, volume, command->to, error);
	switch (controller->role) {
	case CONTROLLER_ROLE_STANDBY:
		return standby_check(transition, command->to, error);
	case CONTROLLER_ROLE_ACTIVE:
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" holds slot %" PRIu64 " of volume \"%s\" already", command->to,
				 controller->slot, volume->name);
	case CONTROLLER_ROLE_RETIRED:
		break;
	}
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "node \"%s\" was a controller of volume \"%s\", and has not cleaned up yet", command->to,
		  volume->name);
	return error_hint(error, "wait for it: dnvme job wait v%" PRIu64 ".clean.%s", volume->id, command->to);
}

int command_volume_move_apply(struct transition *transition, const struct command_volume_move *command,
			      struct error *error)
{
	struct operation_move_slot move = { .slot = command->slot, .to = command->to };
	struct operation operation = { .kind = JOB_KIND_MOVE_SLOT,
				       .phase = OPERATION_PHASE_PREPARING,
				       .deadline_ms = command->deadline_ms,
				       .move_slot = &move };
	struct volume volume;
	struct slot *slot;
	int result = operation_begin(transition, command->id, &operation, &volume, error);

	if (result != 0)
		return result;
	if (command->slot >= volume.slots.count)
		return error_set(error, ERROR_NOT_FOUND, "volume \"%s\" has no slot %" PRIu64, volume.name,
				 command->slot);
	slot = &volume.slots.items[command->slot];
	if (slot->epoch != command->epoch)
		return error_set(error, ERROR_CONFLICT,
				 "slot %" PRIu64 " of volume \"%s\" is in epoch %" PRIu64 ", not %" PRIu64,
				 command->slot, volume.name, slot->epoch, command->epoch);
	if (slot->phase != SLOT_PHASE_SERVING)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "slot %" PRIu64 " of volume \"%s\" is on its way to node %s, in phase %s",
				 command->slot, volume.name, slot->holder, ENUM_NAME(slot_phase, slot->phase));
	result = target_prepare(transition, &volume, command, error);
	if (result != 0)
		return result;
	move.from = slot->holder;
	slot->next = command->to;
	result = transition_id(transition, "j", operation.id, error);
	if (result == 0)
		result = operation_store(transition, &operation, error);
	return result == 0 ? volume_controllers_store(transition, &volume, error) : result;
}

/* --- when slots move -------------------------------------------------------------------------------------------- */

int move_slot_disturb(struct transition *transition, struct volume *volume, struct operation *operation,
		      struct error *error)
{
	const struct operation_move_slot *move = operation->move_slot;
	const struct slot *slot = &volume->slots.items[move->slot];
	struct operation_error reason = { .code = error_code_name(ERROR_FAILED_PRECONDITION) };

	if (operation->phase == OPERATION_PHASE_PREPARING && strcmp(slot->holder, move->to) == 0) {
		move_slot_end(volume);
		operation_phase_set(transition, operation, OPERATION_PHASE_MOVING);
		return 0;
	}
	if (strcmp(slot->holder, operation->phase == OPERATION_PHASE_PREPARING ? move->from : move->to) == 0) {
		operation->attempts++;
		return 0;
	}
	reason.message = arena_printf(transition->state.arena, "slot %" PRIu64 " went to node %s (%s)", move->slot,
				      slot->holder, ENUM_NAME(move_reason, slot->reason));
	if (reason.message == NULL)
		return state_nomem(&transition->state, error);
	operation->error = &reason;
	move_slot_end(volume);
	return operation_finish(transition, volume, operation, OPERATION_STATE_FAILED, error);
}
