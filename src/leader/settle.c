/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/settle.h"

static int propose(const struct online_view *view, size_t slot, const struct ld *ld, bool left, struct arena *arena,
		   struct online_step *step, struct error *error)
{
	struct command_ld_settle *settle;

	step->command = online_command(arena, sizeof(*settle), &settle, error);
	if (step->command == NULL)
		return error->code;
	*settle = (struct command_ld_settle){ .volume = view->volume->id,
					      .slot = slot,
					      .epoch = view->volume->slots.items[slot].epoch,
					      .ld = ld->id,
					      .revision = view->volume->revision,
					      .left = left };
	step->command->ld_settle = settle;
	return 0;
}

static int group_step(const struct online_view *view, size_t slot, const struct reported_health *health,
		      const struct group *group, struct arena *arena, struct online_step *step, struct error *error)
{
	const struct ld *withheld = NULL;
	bool undecided = false;

	for (size_t m = 0; m < group->members.count; m++) {
		if (group->members.items[m].withheld)
			withheld = &group->members.items[m];
	}
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct member_status *member =
			reported_member(health, ld->id, view->volume->slots.items[slot].epoch, NULL);
		bool fresh = health != NULL && health->revision == view->volume->revision;

		if (ld->state != LD_STATE_STALE || !ld->pending)
			continue;
		if (member != NULL && member->left && fresh)
			return propose(view, slot, ld, true, arena, step, error);
		if (withheld != NULL && ld->stale_reason == STALE_REASON_REBOOTED)
			continue;
		/* Its group goes on without the others only when it is called in sync: what the holder said at this
		 * revision stays so until then. */
		if (member != NULL && member->kept && fresh)
			return propose(view, slot, ld, false, arena, step, error);
		undecided = true;
	}
	if (withheld != NULL && !undecided)
		return propose(view, slot, withheld, false, arena, step, error);
	if (withheld != NULL)
		return online_wait(step,
				   arena_printf(arena,
						"ld%llu may lack what its cache held: node %s has not said yet whether "
						"its group went on without the other copy",
						(unsigned long long)withheld->id,
						view->volume->slots.items[slot].holder),
				   error);
	return 0;
}

int settle_step(const struct online_view *view, size_t slot, const struct reported_health *health, struct arena *arena,
		struct online_step *step, struct error *error)
{
	const struct volume *volume = view->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == slot && g < leg->groups.count; g++) {
			if (group_step(view, slot, health, &leg->groups.items[g], arena, step, error) != 0)
				return error->code;
			if (step->command != NULL)
				return 0;
		}
	}
	return 0;
}
