/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on slots: they move, and the move goes on phase by phase. */
#include <inttypes.h>
#include <string.h>

#include "fsm/operation.h"
#include "fsm/volume.h"
#include "lib/base/state_machine.h"

/*
 *   SERVING ──► FENCING ──► ASSEMBLING ──► EXPORTING ──► SERVING
 *                  ▲             │             │
 *                  └─────────────┴─────────────┘
 *
 * slot.move and slot.force begin FENCING from every phase, itself included; slot.advance takes the other moves.
 */
static const struct state_machine_edge advance_edges[] = {
	{ SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING },
	{ SLOT_PHASE_ASSEMBLING, SLOT_PHASE_EXPORTING },
	{ SLOT_PHASE_EXPORTING, SLOT_PHASE_SERVING },
};
static const struct state_machine_table advance_table = {
	.name = "slot",
	.edges = advance_edges,
	.edge_count = sizeof(advance_edges) / sizeof(advance_edges[0]),
};

static int successor_check(const struct volume *volume, const struct slot *slot,
			   const struct command_slot_move *command, struct error *error)
{
	const struct controller *controller = volume_controller(volume, command->to);
	bool holder = strcmp(slot->holder, command->to) == 0;

	if (command->reason == MOVE_REASON_FORCE)
		return error_set(error, ERROR_INVALID_ARGUMENT, "no slot moves by force: it begins anew by slot.force");
	if (holder && command->reason != MOVE_REASON_RESTART && command->reason != MOVE_REASON_PARTED)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" holds slot %" PRIu64 " of volume v%" PRIu64 " already", command->to,
				 command->slot, volume->id);
	if (!holder && command->reason == MOVE_REASON_RESTART)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" cannot begin slot %" PRIu64 " of volume v%" PRIu64
				 " anew, node \"%s\" holds it",
				 command->to, command->slot, volume->id, slot->holder);
	if (command->reason == MOVE_REASON_ASKED && (slot->next == NULL || strcmp(slot->next, command->to) != 0))
		return error_set(error, ERROR_CONFLICT,
				 "nobody asks any more for slot %" PRIu64 " of volume v%" PRIu64
				 " to move to node \"%s\"",
				 command->slot, volume->id, command->to);
	if (!holder && (controller == NULL || controller->role != CONTROLLER_ROLE_STANDBY))
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "node \"%s\" is not a standby of volume v%" PRIu64 " but %s", command->to, volume->id,
				 controller == NULL ? "none of its controllers"
						    : ENUM_NAME(controller_role, controller->role));
	return 0;
}

/*
 * What the old holder knew of members that are not in sync is lost with it. Whether one of them may still be read
 * there: one that was being rebuilt, up to where the rebuild came; or one that it lost in this epoch, when it did not
 * hear that it is stale. Nobody waits for a fence of these.
 */
static bool members_abandon(struct volume *volume, uint64_t slot, uint64_t time_ms)
{
	bool readable = false;

	for (size_t l = 0; l < volume->legs.count; l++) {
		struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == slot && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				struct ld *ld = &leg->groups.items[g].members.items[m];

				readable |=
					ld->state == LD_STATE_REBUILDING || (ld->state == LD_STATE_STALE && ld->resync);
				ld->resync = false;
				/* What the last holder was asked, no other one can answer. */
				if (ld->drain > 0)
					volume_ld_errors_clear(ld);
				if (ld->state != LD_STATE_REBUILDING)
					continue;
				volume_ld_stale(ld, STALE_REASON_HOLDER_LOST, time_ms);
			}
		}
	}
	return readable;
}

/* A record without a boot id says nothing. */
static bool is_same_kernel(const struct slot *slot, const struct node *node)
{
	static const uint8_t none[16];

	return memcmp(slot->boot_id, none, sizeof(none)) == 0 ||
	       memcmp(slot->boot_id, node->boot_id, sizeof(slot->boot_id)) == 0;
}

/* The latest ones, should an operator force a slot over and over. */
static uint64_t earliest_bound(uint64_t earliest, uint64_t epoch)
{
	return earliest > 0 && epoch - earliest >= LIMIT_EPOCHS_PARKED ? epoch + 1 - LIMIT_EPOCHS_PARKED : earliest;
}

/*
 * From which epoch on the holder may still import something. What was fenced only was never imported. Of what was
 * before a reboot nothing is left, but the last epoch may have come to the new kernel, too, before the leader saw that
 * it is another one.
 */
void volume_slot_keep(struct slot *slot, const struct node *holder)
{
	if (!is_same_kernel(slot, holder))
		slot->earliest = 0;
	if (slot->earliest == 0 && slot->phase != SLOT_PHASE_FENCING)
		slot->earliest = slot->epoch;
	slot->earliest = earliest_bound(slot->earliest, slot->epoch);
}

void volume_slot_begin(struct volume *volume, uint64_t index, const struct node *node, enum move_reason reason,
		       uint64_t time_ms)
{
	struct slot *slot = &volume->slots.items[index];

	memcpy(slot->boot_id, node->boot_id, sizeof(slot->boot_id));
	slot->unfenced |= members_abandon(volume, index, time_ms);
	slot->epoch++;
	slot->phase = SLOT_PHASE_FENCING;
	slot->reason = reason;
	slot->since_ms = time_ms;
}

/* Before the holder is another one: what the last one that exported leaves behind. */
void volume_slot_leave(struct slot *slot)
{
	if (slot->phase != SLOT_PHASE_SERVING && slot->phase != SLOT_PHASE_EXPORTING)
		return;
	/* Consumers import from the last one that got as far as exporting to them. */
	slot->previous = slot->holder;
	/* An earlier holder that may still read is no less dangerous because its successor went as well; one that got
	 * as far as exporting is proof that no earlier one serves any more. */
	slot->unfenced = false;
}

int command_slot_move_apply(struct transition *transition, const struct command_slot_move *command, struct error *error)
{
	struct controller *from, *to;
	struct volume volume;
	struct slot *slot;
	struct node node;
	int result =
		volume_slot_read(transition, command->volume, command->slot, command->epoch, &volume, &slot, error);

	if (result == 0)
		result = successor_check(&volume, slot, command, error);
	if (result == 0)
		result = state_node(&transition->state, command->to, &node, error);
	if (result != 0)
		return result;
	volume_slot_leave(slot);
	from = volume_controller(&volume, slot->holder);
	to = volume_controller(&volume, command->to);
	if (from == to) {
		volume_slot_keep(slot, &node);
	} else {
		from->role = CONTROLLER_ROLE_RETIRED;
		from->slot = command->slot;
		from->epoch = slot->epoch;
		from->earliest = earliest_bound(slot->earliest, slot->epoch);
		slot->earliest = 0;
		to->role = CONTROLLER_ROLE_ACTIVE;
		to->slot = command->slot;
		slot->holder = to->node;
	}
	volume_slot_begin(&volume, command->slot, &node, command->reason, transition->time_ms);
	result = operation_disturb(transition, &volume, error);
	return result == 0 ? volume_controllers_store(transition, &volume, error) : result;
}

static void doubts_end(struct volume *volume, uint64_t slot)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == slot && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				struct ld *ld = &leg->groups.items[g].members.items[m];

				ld->doubtful = ld->forced = ld->withheld = ld->pending = false;
			}
		}
	}
}

int command_slot_advance_apply(struct transition *transition, const struct command_slot_advance *command,
			       struct error *error)
{
	struct volume volume;
	struct slot *slot;
	struct node node;
	int result;

	if (!state_machine_allows(&advance_table, (int)command->from, (int)command->to))
		return error_set(error, ERROR_INVALID_ARGUMENT, "no slot goes from phase %s to %s",
				 ENUM_NAME(slot_phase, command->from), ENUM_NAME(slot_phase, command->to));
	result = volume_slot_read(transition, command->volume, command->slot, command->epoch, &volume, &slot, error);
	if (result != 0)
		return result;
	if (slot->phase != command->from)
		return error_set(error, ERROR_CONFLICT,
				 "slot %" PRIu64 " of volume v%" PRIu64 " is in phase %s, not %s", command->slot,
				 volume.id, ENUM_NAME(slot_phase, slot->phase), ENUM_NAME(slot_phase, command->from));
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was confirmed",
				 volume.id, volume.revision, command->revision);
	/* What is assembled is in the kernel that the holder has by now. */
	if (command->to == SLOT_PHASE_ASSEMBLING) {
		result = state_node(&transition->state, slot->holder, &node, error);
		if (result != 0)
			return result;
		/* While it was fenced no kernel imported anything of it. */
		if (!is_same_kernel(slot, &node))
			slot->earliest = 0;
		memcpy(slot->boot_id, node.boot_id, sizeof(slot->boot_id));
	}
	slot->phase = command->to;
	slot->since_ms = transition->time_ms;
	if (command->to == SLOT_PHASE_EXPORTING) {
		slot->previous = NULL;
		/* Its holder has what it was told of this epoch, and so nothing else. */
		slot->earliest = 0;
	}
	/* Who was not given up in FENCING was the best that there was; what was to be forgotten of it is forgotten. */
	if (command->from == SLOT_PHASE_FENCING)
		doubts_end(&volume, command->slot);
	return volume_store(transition, &volume, error);
}
