/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/slots.h"

#include <string.h>

#include "lib/base/canary.h"
#include "lib/model/names.h"
#include "src/leader/fenced.h"
#include "src/leader/parted.h"
#include "src/leader/unreached.h"
#include "src/leader/volumes.h"

/* By then the gate of a node that nobody renews a lease of is shut: it looks at its paths once more, the lease that
 * this look gave runs out, and clocks do not run alike. */
#define GATE_MS (LIMIT_LEASE_MS + LIMIT_LEASE_CHECK_MS + LIMIT_LEASE_MARGIN_MS)

/* --- whether it moves -----------------------------------------------------------------------------------------------
 */

/* For how long the holder has had no path to any member of the group that is in sync; 0: it has one. */
static uint64_t group_frozen_ms(const struct online_view *view, const struct slot *slot, const struct group *group,
				const struct reported_health *health)
{
	uint64_t frozen_ms = UINT64_MAX;
	bool any = false;

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct member_status *member = reported_member(health, ld->id, slot->epoch, NULL);
		uint64_t lost_ms;

		if (ld->state != LD_STATE_IN_SYNC)
			continue;
		if (member == NULL || !member->path_lost)
			return 0;
		any = true;
		lost_ms = member->path_lost_ms + (view->now_ms - health->received_ms);
		if (lost_ms < frozen_ms)
			frozen_ms = lost_ms;
	}
	return any ? frozen_ms : 0;
}

/* For how long the kernel has had a copy alone that counts for nothing; 0: it has not. It failed each member in sync,
 * as their disks told, for one that was given up just when it was complete: nobody can take that back, as it was never
 * called in sync, and nothing of it is exported any more. In the next epoch the errors that were told are waited for,
 * so that a copy is not served that may lack something. */
static uint64_t group_dead_ms(const struct online_view *view, size_t index, const struct group *group,
			      const struct reported_health *health)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct ld *kept = NULL;

	if (health->revision != view->volume->revision)
		return 0;
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct member_status *member = reported_member(health, ld->id, slot->epoch, NULL);

		/* In the group it may be complete yet; nobody comes into this one. */
		if (ld->state == LD_STATE_REBUILDING && (member == NULL || member->health != MEMBER_HEALTH_ABSENT))
			return 0;
		if (ld->state == LD_STATE_STALE && member != NULL && member->kept && !ld->pending)
			kept = ld;
		if (ld->state == LD_STATE_IN_SYNC && (member == NULL || member->health != MEMBER_HEALTH_FAILED ||
						      online_errors(view, ld, index) == NULL))
			return 0;
	}
	return kept != NULL ? view->now_ms - moments_ld_since(view->moments, kept, view->now_ms) : 0;
}

static bool slot_is_frozen(const struct online_view *view, size_t index, struct online_step *step)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct reported_health *health = online_health(view, slot->holder);
	/* A slot that froze again as soon as it was made begins anew no sooner: whatever its holder says, there is a
	 * pause. */
	uint64_t age_ms = view->now_ms - moments_slot_since(view->moments, slot, index, view->now_ms);
	bool frozen = false;

	if (health == NULL)
		return false;
	for (size_t l = 0; l < view->volume->legs.count; l++) {
		const struct leg *leg = &view->volume->legs.items[l];

		for (size_t g = 0; leg->slot == index && g < leg->groups.count; g++) {
			uint64_t frozen_ms = group_frozen_ms(view, slot, &leg->groups.items[g], health);

			if (frozen_ms == 0)
				frozen_ms = group_dead_ms(view, index, &leg->groups.items[g], health);
			if (frozen_ms == 0)
				continue;
			if (frozen_ms > age_ms)
				frozen_ms = age_ms;
			if (frozen_ms >= SLOTS_FROZEN_MS)
				frozen = true;
			else
				online_look(step, SLOTS_FROZEN_MS - frozen_ms);
		}
	}
	return frozen;
}

static bool has_rebooted(const struct slot *slot, const struct online_node *holder)
{
	static const uint8_t none[16];

	return memcmp(slot->boot_id, none, sizeof(none)) != 0 &&
	       memcmp(slot->boot_id, holder->boot_id, sizeof(none)) != 0;
}

/* Whether the holder's gate was shut while it imported the legs of other slots: its hosts went elsewhere, and what
 * waits there may be older than what they wrote since. It opens its gate when it has begun anew. */
static bool has_lapsed(const struct online_view *view, const struct slot *slot)
{
	const struct reported_health *health = online_health(view, slot->holder);

	return health != NULL && health->lapsed == slot->epoch;
}

enum move_reason slots_move_reason(const struct online_view *view, size_t index, struct online_step *step)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct online_node *holder = online_node(view, slot->holder);

	if (holder == NULL)
		return 0;
	if (holder->health == HEALTH_OFFLINE)
		return MOVE_REASON_FAILOVER;
	/* While it is fenced nothing of its epoch is in any kernel; which one assembles it is remembered then. */
	if (slot->phase != SLOT_PHASE_FENCING && has_rebooted(slot, holder))
		return slots_successor(view, MOVE_REASON_FAILOVER) != NULL ? MOVE_REASON_FAILOVER : MOVE_REASON_RESTART;
	/* While it is fenced or assembled it has no leg that could freeze. */
	if (holder->health == HEALTH_ONLINE &&
	    (slot->phase == SLOT_PHASE_SERVING || slot->phase == SLOT_PHASE_EXPORTING) &&
	    slot_is_frozen(view, index, step))
		return MOVE_REASON_RESTART;
	if (holder->health == HEALTH_ONLINE && has_lapsed(view, slot))
		return MOVE_REASON_RESTART;
	if (parted_is_stuck(view, index, step))
		return MOVE_REASON_RESTART;
	if (parted_is(view, index, step))
		return MOVE_REASON_PARTED;
	if (unreached_successor(view, index, step) != NULL)
		return MOVE_REASON_UNREACHED;
	if (holder->health != HEALTH_ONLINE || slot->phase != SLOT_PHASE_SERVING)
		return 0;
	if (holder->draining)
		return MOVE_REASON_DRAIN;
	return slot->next != NULL ? MOVE_REASON_ASKED : 0;
}

bool slots_is_better(const struct online_node *node, const struct online_node *best)
{
	bool avoid = node->cordoned || node->draining, avoid_best;

	if (best == NULL)
		return true;
	avoid_best = best->cordoned || best->draining;
	if (avoid != avoid_best)
		return avoid_best;
	if (node->controllers != best->controllers)
		return node->controllers < best->controllers;
	return strcmp(node->name, best->name) < 0;
}

/* Whether a planned move may go there. */
static bool is_open(const struct online_node *node)
{
	return online_is(node, HEALTH_ONLINE) && !node->unable && !node->cordoned && !node->draining;
}

const struct online_node *slots_standby(const struct online_view *view, const char *name)
{
	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_STANDBY && strcmp(controller->node, name) == 0)
			return online_node(view, name);
	}
	return NULL;
}

const struct online_node *slots_successor(const struct online_view *view, enum move_reason reason)
{
	const struct online_node *best = NULL;

	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];
		const struct online_node *node = online_node(view, controller->node);

		if (controller->role != CONTROLLER_ROLE_STANDBY || !online_is(node, HEALTH_ONLINE) || node->unable)
			continue;
		if (reason == MOVE_REASON_DRAIN && (node->cordoned || node->draining))
			continue;
		if (slots_is_better(node, best))
			best = node;
	}
	return best;
}

static int move(const struct online_view *view, size_t index, const char *to, enum move_reason reason,
		struct arena *arena, struct online_step *step, struct error *error)
{
	struct command_slot_move *move;

	step->command = online_command(arena, sizeof(*move), &move, error);
	if (step->command == NULL)
		return error->code;
	*move = (struct command_slot_move){ .volume = view->volume->id,
					    .slot = index,
					    .epoch = view->volume->slots.items[index].epoch,
					    .to = to,
					    .reason = reason };
	step->command->slot_move = move;
	return 0;
}

/* To whom a slot goes that moves though nothing is wrong. What somebody asked for, he gets, or nothing; a node that is
 * drained gives it to that one if it can take it, else to another one. NULL: nobody can take it. */
static const struct online_node *planned_successor(const struct online_view *view, size_t index)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct online_node *next = slot->next != NULL ? slots_standby(view, slot->next) : NULL,
				 *holder = online_node(view, slot->holder);

	if (next != NULL && is_open(next))
		return next;
	return holder != NULL && holder->draining ? slots_successor(view, MOVE_REASON_DRAIN) : NULL;
}

int slots_planned_wait(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		       const struct online_node **ret_to, struct error *error)
{
	const struct volume *volume = view->volume;
	const struct slot *slot = &volume->slots.items[index];
	const struct online_node *to = planned_successor(view, index), *holder = online_node(view, slot->holder);
	const char *what = holder != NULL && holder->draining
				   ? arena_printf(arena, "slot %zu: node %s is to be drained", index, slot->holder)
				   : arena_printf(arena, "slot %zu: it is to move to node %s", index,
						  slot->next != NULL ? slot->next : "?");

	*ret_to = NULL;
	if (what == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < volume->slots.count; i++) {
		if (volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			return online_wait(step, arena_printf(arena, "%s once slot %zu serves", what, i), error);
	}
	/* What waits for the legs of this slot goes to the next holder: it may be old where a connection is lost. */
	if (!parted_paths_are_there(view))
		return online_wait(step, arena_printf(arena, "%s once all holders have their connections", what),
				   error);
	if (to == NULL)
		return online_wait(
			step,
			arena_printf(arena, "%s, but %s take it", what,
				     holder != NULL && holder->draining ? "no standby can" : "that node cannot"),
			error);
	if (!online_at(view, online_controller(view, to->name), OBJECT_STATE_CONVERGED))
		return online_wait_controller(view, to->name, OBJECT_STATE_CONVERGED, arena, step, error);
	*ret_to = to;
	return 0;
}

/* A planned move begins when everything is well, so that nothing is shut out for longer than it has to be. */
static int move_planned(const struct online_view *view, size_t index, enum move_reason reason, struct arena *arena,
			struct online_step *step, struct error *error)
{
	const struct online_node *to;

	if (slots_planned_wait(view, index, arena, step, &to, error) != 0)
		return error->code;
	return to != NULL ? move(view, index, to->name, reason, arena, step, error) : 0;
}

/* --- FENCING
 * ---------------------------------------------------------------------------------------------------------- */

/* Whether every disk with a member of the slot that is in sync is fenced. */
static bool disks_are_fenced(const struct online_view *view, size_t index)
{
	for (size_t l = 0; l < view->volume->legs.count; l++) {
		const struct leg *leg = &view->volume->legs.items[l];

		for (size_t g = 0; leg->slot == index && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				if (ld->state == LD_STATE_IN_SYNC &&
				    !online_export_confirmed(view, ld->disk, index, true))
					return false;
			}
		}
	}
	return true;
}

static int wait_consumer(const struct online_view *view, const char *id, const struct online_node *holder,
			 const struct object_status *status, struct arena *arena, struct online_step *step,
			 struct error *error)
{
	struct volumes_part part = {
		.kind = OBJECT_KIND_CONSUMER, .node = holder->name, .health = holder->health, .status = status
	};

	if (!online_is_asked(step))
		return 0;
	memcpy(part.id, id, strlen(id) + 1);
	return online_wait(step, volumes_part_sentence(&part, OBJECT_STATE_CONVERGED, view->volume->revision, arena),
			   error);
}

/* Whether the holder of another slot made, or parked, the export of its legs to `consumer`. */
static int fence_consumer(const struct online_view *view, size_t other, const char *consumer, struct arena *arena,
			  struct online_step *step, bool *ret_fenced, struct error *error)
{
	const struct online_node *holder = online_node(view, view->volume->slots.items[other].holder);
	const struct object_status *status;
	char id[NAMES_CONSUMER_ID_SIZE];

	*ret_fenced = *ret_fenced && holder != NULL;
	if (holder == NULL)
		return online_wait(step, "a holder is not a node", error);
	names_consumer_id(view->volume->id, other, consumer, id);
	status = holder->reported != NULL ? reported_get(holder->reported, OBJECT_KIND_CONSUMER, id) : NULL;
	if (holder->health != HEALTH_OFFLINE && online_at(view, status, OBJECT_STATE_CONVERGED))
		return 0;
	*ret_fenced = false;
	return wait_consumer(view, id, holder, status, arena, step, error);
}

/* The old holder also writes through the holders of other slots. A slot that is moving has no such exports: there the
 * fences at its disks count, and they are behind it once it assembles. */
static int fence_other(const struct online_view *view, size_t index, size_t other, struct arena *arena,
		       struct online_step *step, bool *ret_fenced, struct error *error)
{
	const struct volume *volume = view->volume;
	const struct slot *slot = &volume->slots.items[other];

	if (slot->phase == SLOT_PHASE_ASSEMBLING)
		return 0;
	if (slot->phase == SLOT_PHASE_FENCING) {
		if (disks_are_fenced(view, other))
			return 0;
		*ret_fenced = false;
		return online_wait(step, arena_printf(arena, "slot %zu: slot %zu is not fenced yet", index, other),
				   error);
	}
	if (fence_consumer(view, other, volume->slots.items[index].holder, arena, step, ret_fenced, error) != 0)
		return error->code;
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role != CONTROLLER_ROLE_RETIRED || controller->epoch == 0 || controller->slot != index)
			continue;
		if (fence_consumer(view, other, controller->node, arena, step, ret_fenced, error) != 0)
			return error->code;
	}
	return 0;
}

static int advance(const struct online_view *view, size_t index, enum slot_phase to, struct arena *arena,
		   struct online_step *step, struct error *error)
{
	const struct slot *slot = &view->volume->slots.items[index];
	struct command_slot_advance *advance;

	step->command = online_command(arena, sizeof(*advance), &advance, error);
	if (step->command == NULL)
		return error->code;
	*advance = (struct command_slot_advance){ .volume = view->volume->id,
						  .slot = index,
						  .epoch = slot->epoch,
						  .from = slot->phase,
						  .to = to,
						  .revision = view->volume->revision };
	step->command->slot_advance = advance;
	return 0;
}

static int step_fencing(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
			struct error *error)
{
	const struct volume *volume = view->volume;
	const struct online_node *holder = online_node(view, volume->slots.items[index].holder);
	bool fenced = true;

	if (fenced_step(view, index, arena, step, &fenced, error) != 0)
		return error->code;
	if (step->command != NULL)
		return 0;
	for (size_t other = 0; other < volume->slots.count; other++) {
		if (other != index && fence_other(view, index, other, arena, step, &fenced, error) != 0)
			return error->code;
	}
	if (canary("fence_skipped"))
		fenced = true;
	if (!fenced || holder == NULL)
		return 0;
	/* One that is away may come back as another kernel: it assembles what it was told of when it is back. A leader
	 * that is new knows within a lease whether it is. */
	if (holder->health == HEALTH_OFFLINE || holder->health == HEALTH_UNKNOWN)
		return online_wait_controller(view, holder->name, OBJECT_STATE_CONVERGED, arena, step, error);
	return advance(view, index, SLOT_PHASE_ASSEMBLING, arena, step, error);
}

/* --- ASSEMBLING
 * ------------------------------------------------------------------------------------------------------- */

static bool ld_is_shut_out(const struct online_view *view, const struct ld *ld, size_t index)
{
	return ld->state == LD_STATE_FREED || online_export_confirmed(view, ld->disk, index, false);
}

/* Whether no LD that the slot ever had can be reached by an old holder. A member that was given up, in whichever epoch,
 * may still be read by a holder that does not know it, until its Disk Node took that in. */
static bool all_is_shut_out(const struct online_view *view, size_t index)
{
	const struct volume *volume = view->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == index && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				if (!ld_is_shut_out(view, &leg->groups.items[g].members.items[m], index))
					return false;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (volume->leaving.items[i].slot == index && !ld_is_shut_out(view, volume->leaving.items[i].ld, index))
			return false;
	}
	return true;
}

/* For how long the gate of a retired holder may still be open; 0: it is shut, or there is nothing behind it. */
static uint64_t gate_open_ms(const struct online_view *view, size_t index, const struct controller *retired)
{
	const struct online_node *node = online_node(view, retired->node);
	uint64_t since_ms = moments_slot_since(view->moments, &view->volume->slots.items[index], index, view->now_ms);

	if (online_at(view, online_controller(view, retired->node), OBJECT_STATE_ABSENT))
		return 0;
	/* Whoever talks to the leader gets leases. */
	if (node != NULL && node->heard_ms > since_ms)
		since_ms = node->heard_ms;
	return view->now_ms - since_ms >= GATE_MS ? 0 : GATE_MS - (view->now_ms - since_ms);
}

static int may_serve(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		     bool *ret_may, struct error *error)
{
	const struct volume *volume = view->volume;

	*ret_may = true;
	if (all_is_shut_out(view, index))
		return 0;
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];
		uint64_t open_ms;

		if (controller->role != CONTROLLER_ROLE_RETIRED || controller->epoch == 0 || controller->slot != index)
			continue;
		open_ms = gate_open_ms(view, index, controller);
		if (open_ms == 0)
			continue;
		*ret_may = false;
		online_look(step, open_ms);
		if (online_wait(step,
				arena_printf(arena, "slot %zu: node %s may serve for up to %llu ms more", index,
					     controller->node, (unsigned long long)open_ms),
				error) != 0)
			return error->code;
	}
	return 0;
}

/* Whether each member that counts came into its group as such. Which ones an earlier group dropped unseen, their
 * superblocks know, and the holder says with its confirmation: they are given up first (members.h). */
static int members_are_whole(const struct online_view *view, size_t index, struct arena *arena,
			     struct online_step *step, bool *ret_whole, struct error *error)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct reported_health *health = online_health(view, slot->holder);

	*ret_whole = true;
	for (size_t l = 0; l < view->volume->legs.count; l++) {
		const struct leg *leg = &view->volume->legs.items[l];

		for (size_t i = 0; leg->slot == index && i < leg->groups.count * LIMIT_MEMBERS; i++) {
			const struct ld_list *members = &leg->groups.items[i / LIMIT_MEMBERS].members;
			const struct member_status *member;
			const struct ld *ld;

			if (i % LIMIT_MEMBERS >= members->count)
				continue;
			ld = &members->items[i % LIMIT_MEMBERS];
			member = reported_member(health, ld->id, slot->epoch, NULL);
			if (ld->state != LD_STATE_IN_SYNC ||
			    (member != NULL && member->health == MEMBER_HEALTH_IN_SYNC &&
			     health->revision >= view->volume->revision))
				continue;
			*ret_whole = false;
			return online_wait(
				step,
				arena_printf(arena, "slot %zu: ld%llu is %s in the group at node %s", index,
					     (unsigned long long)ld->id,
					     member != NULL ? ENUM_NAME(member_health, member->health) : "not told of",
					     slot->holder),
				error);
		}
	}
	return 0;
}

static int step_holder(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		       struct error *error)
{
	const struct slot *slot = &view->volume->slots.items[index];
	bool may = true;

	if (!online_at(view, online_controller(view, slot->holder), OBJECT_STATE_CONVERGED))
		return online_wait_controller(view, slot->holder, OBJECT_STATE_CONVERGED, arena, step, error);
	if (slot->phase == SLOT_PHASE_EXPORTING) {
		if (parted_await_paths(view, index, arena, step, &may, error) != 0)
			return error->code;
		return may ? advance(view, index, SLOT_PHASE_SERVING, arena, step, error) : 0;
	}
	if (members_are_whole(view, index, arena, step, &may, error) != 0)
		return error->code;
	if (may && may_serve(view, index, arena, step, &may, error) != 0)
		return error->code;
	if (may && parted_await_words(view, index, arena, step, &may, error) != 0)
		return error->code;
	return may ? advance(view, index, SLOT_PHASE_EXPORTING, arena, step, error) : 0;
}

/* --- one slot
 * --------------------------------------------------------------------------------------------------------- */

static int step_failover(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
			 struct error *error)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct online_node *to = slots_successor(view, MOVE_REASON_FAILOVER);

	if (to != NULL)
		return move(view, index, to->name, MOVE_REASON_FAILOVER, arena, step, error);
	if (online_wait(
		    step,
		    arena_printf(arena, "slot %zu: node %s is offline, and no standby is online", index, slot->holder),
		    error) != 0)
		return error->code;
	/* Its hosts went elsewhere when its gate shut, and what waits in its kernel for the legs of others may
	 * be older than what they wrote since: it comes back with nothing of that, or not at all. */
	if (view->volume->slots.count > 1 && (slot->phase == SLOT_PHASE_SERVING || slot->phase == SLOT_PHASE_EXPORTING))
		return move(view, index, slot->holder, MOVE_REASON_RESTART, arena, step, error);
	return 0;
}

static int step_move(const struct online_view *view, size_t index, enum move_reason reason, struct arena *arena,
		     struct online_step *step, struct error *error)
{
	if (reason == MOVE_REASON_DRAIN || reason == MOVE_REASON_ASKED)
		return move_planned(view, index, reason, arena, step, error);
	if (reason == MOVE_REASON_RESTART)
		return move(view, index, view->volume->slots.items[index].holder, reason, arena, step, error);
	if (reason == MOVE_REASON_UNREACHED)
		return move(view, index, unreached_successor(view, index, step)->name, reason, arena, step, error);
	if (reason == MOVE_REASON_PARTED)
		return move(view, index, parted_successor(view, index), reason, arena, step, error);
	if (reason == MOVE_REASON_FAILOVER)
		return step_failover(view, index, arena, step, error);
	return 0;
}

static int step_phase(const struct online_view *view, size_t index, enum move_reason reason, struct arena *arena,
		      struct online_step *step, struct error *error)
{
	enum slot_phase phase = view->volume->slots.items[index].phase;

	/* One that is to move, and cannot yet, goes no further, except that other slots may wait for the fences at the
	 * disks of this one. */
	if (reason != 0 && !(reason == MOVE_REASON_FAILOVER && phase == SLOT_PHASE_FENCING))
		return 0;
	switch (phase) {
	case SLOT_PHASE_FENCING:
		return step_fencing(view, index, arena, step, error);
	case SLOT_PHASE_ASSEMBLING:
	case SLOT_PHASE_EXPORTING:
		return step_holder(view, index, arena, step, error);
	case SLOT_PHASE_SERVING:
		return unreached_wait(view, index, arena, step, error);
	}
	return 0;
}

int slots_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	static const enum slot_phase order[] = { SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING, SLOT_PHASE_EXPORTING,
						 SLOT_PHASE_SERVING };
	const size_t count = view->volume->slots.count;
	enum move_reason reasons[LIMIT_CONTROLLERS];

	/* Whoever has to begin anew does so before any slot goes on: two that parted are seen as such only while the
	 * first of them is in FENCING, and a leader that is new may hear of both in one report. */
	for (size_t i = 0; i < count && step->command == NULL; i++) {
		reasons[i] = slots_move_reason(view, i, step);
		if (step_move(view, i, reasons[i], arena, step, error) != 0)
			return error->code;
	}
	/* One that came further may wait for one that did not: what that one waits for is what people have to know. */
	for (size_t i = 0; i < count * (sizeof(order) / sizeof(order[0])) && step->command == NULL; i++) {
		if (view->volume->slots.items[i % count].phase == order[i / count] &&
		    step_phase(view, i % count, reasons[i % count], arena, step, error) != 0)
			return error->code;
	}
	return 0;
}
