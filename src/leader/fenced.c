/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/fenced.h"

#include "lib/base/limits.h"
#include "src/leader/force.h"
#include "src/leader/worth.h"

/* Whether an LD's Disk Node did not confirm a fence and is not waited for any more. */
static bool is_overdue(const struct online_view *view, size_t index, uint64_t disk, struct online_step *step)
{
	const struct online_disk *found = online_disk(view, disk);
	uint64_t since_ms = moments_slot_since(view->moments, &view->volume->slots.items[index], index, view->now_ms);
	uint64_t waited_ms = view->now_ms - since_ms;

	if (found == NULL || online_is(found->node, HEALTH_OFFLINE) || waited_ms >= LIMIT_FENCE_DEADLINE_MS)
		return true;
	if (step != NULL)
		online_look(step, LIMIT_FENCE_DEADLINE_MS - waited_ms);
	return false;
}

static bool is_in_sync(const struct ld *ld)
{
	return ld->state == LD_STATE_IN_SYNC;
}

static const char *node_name(const struct online_view *view, const struct ld *ld)
{
	const struct online_disk *disk = online_disk(view, ld->disk);

	return disk != NULL && disk->node != NULL ? disk->node->name : "?";
}

/* A member that returned errors, and no sound one: who could help. */
static int wait_sound(const struct online_view *view, size_t index, const struct group *group, const struct ld *bad,
		      struct arena *arena, struct online_step *step, struct error *error)
{
	const struct ld *missing = NULL;
	const char *text;

	for (size_t m = 0; m < group->members.count && missing == NULL; m++) {
		const struct ld *ld = &group->members.items[m];

		if (is_in_sync(ld) && !online_export_confirmed(view, ld->disk, index, true))
			missing = ld;
	}
	if (missing != NULL && !is_overdue(view, index, missing->disk, step))
		return online_wait_export(view, missing->disk, index, arena, step, error);
	text = missing != NULL
		       ? arena_printf(
				 arena,
				 "slot %zu: ld%llu on d%llu of node %s returned I/O errors, so it may lack what was "
				 "written last; bring node %s with ld%llu back, or else use what is there: "
				 "dnvme volume force %s --slot %zu",
				 index, (unsigned long long)bad->id, (unsigned long long)bad->disk,
				 node_name(view, bad), node_name(view, missing), (unsigned long long)missing->id,
				 view->volume->name, index)
		       : arena_printf(
				 arena,
				 "slot %zu: ld%llu on d%llu of node %s returned I/O errors, so it may lack what was "
				 "written last, and no other copy is sure to have it; to use what is there: "
				 "dnvme volume force %s --slot %zu",
				 index, (unsigned long long)bad->id, (unsigned long long)bad->disk,
				 node_name(view, bad), view->volume->name, index);
	return online_wait(step, text, error);
}

/* For people: until when it is waited for. */
static int expect_overdue(const struct online_view *view, size_t index, const struct ld *ld, struct arena *arena,
			  struct online_step *step, struct error *error)
{
	uint64_t since_ms = moments_slot_since(view->moments, &view->volume->slots.items[index], index, view->now_ms);

	if (is_overdue(view, index, ld->disk, NULL))
		return 0;
	return online_expect(step, arena, LIMIT_FENCE_DEADLINE_MS - (view->now_ms - since_ms), 0, error,
			     "slot %zu: the leader gives ld%llu up if node %s has not confirmed the fence by then, as "
			     "another copy is fenced",
			     index, (unsigned long long)ld->id, node_name(view, ld));
}

/* A member that is not fenced, and not there. When only a copy that missed writes is, or may have, the operator may
 * want that rather than nothing. */
static int wait_unfenced(const struct online_view *view, size_t index, const struct group *group, const struct ld *ld,
			 bool any, struct arena *arena, struct online_step *step, struct error *error)
{
	if (any && expect_overdue(view, index, ld, arena, step, error) != 0)
		return error->code;
	if (!force_may_help(view, index, group))
		return online_wait_export(view, ld->disk, index, arena, step, error);
	return online_wait(
		step,
		arena_printf(
			arena,
			"slot %zu: ld%llu on node %s, which is offline or lost its disk, is the only copy "
			"that is sure to have missed nothing; what another one holds: dnvme volume force %s --slot %zu",
			index, (unsigned long long)ld->id, node_name(view, ld), view->volume->name, index),
		error);
}

struct given_up {
	struct string_list unfenced, medium, rebooted;
};

/* Members that are worth less than the best are given up once that is there: at once, or if they are not fenced when
 * their time is over. *ret_fenced: none is left to wait for. */
static int fence_group(const struct online_view *view, size_t index, const struct group *group, struct arena *arena,
		       struct given_up *lds, struct online_step *step, bool *ret_fenced, struct error *error)
{
	enum worth best;
	bool any = worth_best(view, index, group, &best);
	int rv = 0;

	for (size_t m = 0; m < group->members.count && rv == 0; m++) {
		const struct ld *ld = &group->members.items[m];
		enum worth worth = worth_of(view, index, group, ld);

		if (!is_in_sync(ld) || (any && worth == best))
			continue;
		*ret_fenced = false;
		if (worth == WORTH_UNFENCED && is_overdue(view, index, ld->disk, step) && any)
			rv = online_ld_append(&lds->unfenced, ld->id, arena, error);
		else if (worth == WORTH_UNFENCED)
			rv = wait_unfenced(view, index, group, ld, any, arena, step, error);
		else if (worth == WORTH_ERRORS)
			rv = any ? online_ld_append(&lds->medium, ld->id, arena, error)
				 : wait_sound(view, index, group, ld, arena, step, error);
		else if (any)
			rv = online_ld_append(&lds->rebooted, ld->id, arena, error);
	}
	return rv;
}

static int give_up(const struct online_view *view, size_t index, enum stale_reason reason,
		   const struct string_list *lds, struct arena *arena, struct online_step *step, struct error *error)
{
	struct command_lds_stale *stale;

	step->command = online_command(arena, sizeof(*stale), &stale, error);
	if (step->command == NULL)
		return error->code;
	*stale = (struct command_lds_stale){ .volume = view->volume->id,
					     .slot = index,
					     .epoch = view->volume->slots.items[index].epoch,
					     .reason = reason,
					     .lds = *lds };
	step->command->lds_stale = stale;
	return 0;
}

int fenced_step(const struct online_view *view, size_t slot, struct arena *arena, struct online_step *step,
		bool *ret_fenced, struct error *error)
{
	const struct volume *volume = view->volume;
	struct given_up lds = { 0 };

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; volume->legs.items[l].slot == slot && g < volume->legs.items[l].groups.count; g++) {
			if (fence_group(view, slot, &volume->legs.items[l].groups.items[g], arena, &lds, step,
					ret_fenced, error) != 0)
				return error->code;
		}
	}
	if (lds.medium.count > 0)
		return give_up(view, slot, STALE_REASON_MEDIUM, &lds.medium, arena, step, error);
	if (lds.rebooted.count > 0)
		return give_up(view, slot, STALE_REASON_REBOOTED, &lds.rebooted, arena, step, error);
	if (lds.unfenced.count > 0)
		return give_up(view, slot, STALE_REASON_NOT_FENCED, &lds.unfenced, arena, step, error);
	return 0;
}
