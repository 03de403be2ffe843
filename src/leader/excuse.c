/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/excuse.h"

#include <string.h>

/* Whether a record can be excused: of reads alone, and complete up to now. */
static bool is_of_reads(const struct ld_errors *errors)
{
	return errors->reads > 0 && errors->writes == 0 && !errors->missed && errors->last_us > 0;
}

bool excuse_is_about(const struct online_view *view, const struct ld *ld, const struct ld_errors *errors)
{
	const struct online_disk *disk = online_disk(view, ld->disk);
	const struct failed_reads *known = ld->failed_reads;

	return known != NULL && disk != NULL && disk->node != NULL && is_of_reads(errors) &&
	       memcmp(known->boot_id, disk->node->boot_id, sizeof(known->boot_id)) == 0 &&
	       known->reads == errors->reads && known->last_us == errors->last_us &&
	       known->rebuild_ms == errors->rebuild_ms;
}

static const struct member_status *status_of(const struct online_view *view, size_t slot,
					     const struct reported_health *health, const struct ld *ld)
{
	return reported_member(health, ld->id, view->volume->slots.items[slot].epoch, NULL);
}

/* Nobody is asked to wait for I/O that is frozen. */
static bool is_well(const struct member_status *member)
{
	return member != NULL && member->health == MEMBER_HEALTH_IN_SYNC && !member->path_lost;
}

static bool group_is_well(const struct online_view *view, size_t slot, const struct reported_health *health,
			  const struct group *group)
{
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		if (ld->state == LD_STATE_IN_SYNC && !is_well(status_of(view, slot, health, ld)))
			return false;
	}
	return true;
}

static int ask(const struct online_view *view, size_t slot, const struct ld *ld, const struct ld_errors *errors,
	       struct arena *arena, struct online_step *step, struct error *error)
{
	struct failed_reads *failed = arena_alloc(arena, sizeof(*failed));
	struct command_ld_drain *drain;

	step->command = failed != NULL ? online_command(arena, sizeof(*drain), &drain, error) : NULL;
	if (step->command == NULL)
		return error_set_nomem(error);
	*failed = (struct failed_reads){ .reads = errors->reads,
					 .last_us = errors->last_us,
					 .rebuild_ms = errors->rebuild_ms };
	memcpy(failed->boot_id, online_disk(view, ld->disk)->node->boot_id, sizeof(failed->boot_id));
	*drain = (struct command_ld_drain){ .volume = view->volume->id,
					    .slot = slot,
					    .epoch = view->volume->slots.items[slot].epoch,
					    .ld = ld->id,
					    .failed_reads = failed };
	step->command->ld_drain = drain;
	return 0;
}

static int excuse(const struct online_view *view, size_t slot, const struct ld *ld, struct arena *arena,
		  struct online_step *step, struct error *error)
{
	struct command_ld_excuse *excuse;

	step->command = online_command(arena, sizeof(*excuse), &excuse, error);
	if (step->command == NULL)
		return error->code;
	*excuse = (struct command_ld_excuse){ .volume = view->volume->id,
					      .slot = slot,
					      .epoch = view->volume->slots.items[slot].epoch,
					      .ld = ld->id,
					      .drain = ld->drain };
	step->command->ld_excuse = excuse;
	return 0;
}

static int group_step(const struct online_view *view, size_t slot, const struct reported_health *health,
		      const struct group *group, struct arena *arena, struct online_step *step, struct error *error)
{
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct online_disk *disk = online_disk(view, ld->disk);
		const struct ld_errors *errors = online_errors_told(view, ld, slot);
		const struct member_status *member = status_of(view, slot, health, ld);

		if (ld->state != LD_STATE_IN_SYNC || errors == NULL || !is_of_reads(errors) || disk == NULL ||
		    !online_is(disk->node, HEALTH_ONLINE))
			continue;
		/* There were more meanwhile: what was asked for is not enough. */
		if (!excuse_is_about(view, ld, errors)) {
			if (group_is_well(view, slot, health, group))
				return ask(view, slot, ld, errors, arena, step, error);
		} else if (ld->drain > 0 && is_well(member) && member->drained >= ld->drain) {
			return excuse(view, slot, ld, arena, step, error);
		}
	}
	return 0;
}

int excuse_step(const struct online_view *view, size_t slot, const struct reported_health *health, struct arena *arena,
		struct online_step *step, struct error *error)
{
	const struct volume *volume = view->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == slot && g < leg->groups.count; g++) {
			const struct group *group = &leg->groups.items[g];

			/* A group of one drops nothing. */
			if (group->members.count == 1)
				continue;
			if (group_step(view, slot, health, group, arena, step, error) != 0)
				return error->code;
			if (step->command != NULL)
				return 0;
		}
	}
	return 0;
}
