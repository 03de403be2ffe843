/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/moves.h"

#include "lib/model/moving.h"
#include "lib/model/names.h"
#include "src/leader/members.h"

/* A group whose slot serves. */
struct place {
	const struct online_view *view;
	const struct group *group;
	uint64_t slot;
};

static int wait_for(const struct place *place, const struct ld *ld, const char *what, struct arena *arena,
		    struct online_step *step, struct error *error)
{
	return online_wait(step,
			   arena_printf(arena, "ld%llu, which moves to another disk, waits: slot %llu: %s",
					(unsigned long long)ld->id, (unsigned long long)place->slot, what),
			   error);
}

static bool group_is_in_sync(const struct group *group)
{
	for (size_t m = 0; m < group->members.count; m++) {
		if (group->members.items[m].state != LD_STATE_IN_SYNC)
			return false;
	}
	return true;
}

/* The old copy counts no more. As with any member that is given up, its holder goes on without it only when it has
 * made sure of the others. */
static int give_up(const struct place *place, const struct ld *ld, struct arena *arena, struct online_step *step,
		   struct error *error)
{
	const struct volume *volume = place->view->volume;
	struct command_lds_stale *stale;
	struct string_list lds = { 0 };

	if (place->view->volume->operation != 0)
		return wait_for(place, ld, "a job works on its volume", arena, step, error);
	if (!members_all_well(place->view, place->slot, place->group, ld))
		return wait_for(place, ld, "its holder has not told that all other copies are well", arena, step,
				error);
	if (online_ld_append(&lds, ld->id, arena, error) != 0)
		return error->code;
	step->command = online_command(arena, sizeof(*stale), &stale, error);
	if (step->command == NULL)
		return error->code;
	*stale = (struct command_lds_stale){ .volume = volume->id,
					     .slot = place->slot,
					     .epoch = volume->slots.items[place->slot].epoch,
					     .reason = STALE_REASON_MOVED,
					     .lds = lds };
	step->command->lds_stale = stale;
	return 0;
}

static int leave(const struct place *place, const struct ld *ld, struct arena *arena, struct online_step *step,
		 struct error *error)
{
	const struct online_view *view = place->view;
	struct command_ld_moved *moved;

	/* Whether the group went on without it, settle.h asks. What its node had received goes first, like that of any
	 * LD that leaves: its extents come back only when its Disk Node confirmed that. */
	if (ld->pending || !members_is_dropped(view, place->slot, ld))
		return wait_for(place, ld, "its holder has not let go of it yet", arena, step, error);
	/* slot.force could still serve it. */
	if (!members_any_well(view, place->slot, place->group, ld))
		return wait_for(place, ld, "no other copy is well", arena, step, error);
	step->command = online_command(arena, sizeof(*moved), &moved, error);
	if (step->command == NULL)
		return error->code;
	*moved = (struct command_ld_moved){ .volume = view->volume->id,
					    .slot = place->slot,
					    .epoch = view->volume->slots.items[place->slot].epoch,
					    .ld = ld->id,
					    .revision = view->volume->revision };
	step->command->ld_moved = moved;
	return 0;
}

static bool is_drained(const struct online_view *view, const struct ld *ld)
{
	const struct online_disk *disk = online_disk(view, ld->disk);

	return disk != NULL && disk->draining;
}

/* What keeps the volume from having an LD moved now; NULL: nothing does. */
static const char *obstacle(const struct online_view *view)
{
	const struct volume *volume = view->volume;

	if (view->volume->operation != 0)
		return "a job works on its volume";
	for (size_t i = 0; i < volume->slots.count; i++) {
		if (volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			return "a slot is not served";
	}
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			if (!members_all_well(view, leg->slot, &leg->groups.items[g], NULL))
				return "not all copies are well";
		}
	}
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct online_node *node = online_node(view, volume->controllers.items[i].node);

		if (volume->controllers.items[i].role != CONTROLLER_ROLE_RETIRED && (node == NULL || !node->moves))
			return "the agent of a controller is too old for it";
	}
	if (volume->copies < 2)
		return "its volume has one copy, which has no mirror that another one could come into";
	return NULL;
}

static int begin(const struct place *place, const struct ld *ld, struct arena *arena, struct online_step *step,
		 struct error *error)
{
	const char *why = obstacle(place->view);

	if (why == NULL && place->view->rebuilds[place->slot] >= MEMBERS_REBUILDS) {
		online_look(step, MEMBERS_SETTLE_MS);
		why = "its holder rebuilds as many others as it may";
	}
	if (why != NULL)
		return wait_for(place, ld, why, arena, step, error);
	step->move_ld = ld->id;
	step->move_slot = place->slot;
	return 0;
}

/* The first LD on a disk that is drained. */
static int begin_first(const struct online_view *view, struct arena *arena, struct online_step *step,
		       struct error *error)
{
	const struct volume *volume = view->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			struct place place = { .view = view, .group = &leg->groups.items[g], .slot = leg->slot };

			for (size_t m = 0; m < place.group->members.count; m++) {
				const struct ld *ld = &place.group->members.items[m];

				if (ld->state != LD_STATE_FREED && is_drained(view, ld))
					return begin(&place, ld, arena, step, error);
			}
		}
	}
	return 0;
}

int moves_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	const struct volume *volume = view->volume;
	bool moving = false;

	for (size_t l = 0; l < volume->legs.count && step->command == NULL; l++) {
		const struct leg *leg = &volume->legs.items[l];
		const struct slot *slot = &volume->slots.items[leg->slot];

		for (size_t g = 0; g < leg->groups.count && step->command == NULL; g++) {
			struct place place = { .view = view, .group = &leg->groups.items[g], .slot = leg->slot };
			const struct ld *ld = moving_ld(volume, place.group);
			int rv = 0;

			if (ld == NULL)
				continue;
			moving = true;
			if (slot->phase != SLOT_PHASE_SERVING ||
			    !online_is(online_node(view, slot->holder), HEALTH_ONLINE))
				continue;
			if (ld->state != LD_STATE_IN_SYNC)
				rv = leave(&place, ld, arena, step, error);
			/* Until then members.h says how far the new one is. */
			else if (group_is_in_sync(place.group))
				rv = give_up(&place, ld, arena, step, error);
			if (rv != 0)
				return rv;
		}
	}
	return moving || step->command != NULL ? 0 : begin_first(view, arena, step, error);
}
