/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/members.h"

#include "lib/base/canary.h"
#include "lib/model/moving.h"
#include "lib/model/names.h"
#include "src/leader/excuse.h"
#include "src/leader/settle.h"

/* A slot whose holder is online and has, or makes, its legs. */
struct place {
	const struct online_view *view;
	const struct slot *slot;
	size_t index;
	const struct reported_health *health; /* what the holder says; NULL: nothing yet */
};

static const struct online_node *node_of(const struct place *place, const struct ld *ld)
{
	const struct online_disk *disk = online_disk(place->view, ld->disk);

	return disk != NULL ? disk->node : NULL;
}

static const struct member_status *status_of(const struct place *place, const struct ld *ld)
{
	return reported_member(place->health, ld->id, place->slot->epoch, NULL);
}

/* Whether the holder's group runs without a member that counts: what is written does not reach it. A report of another
 * revision may be of the time before it came in. */
static bool is_left_out(const struct place *place, const struct group *group, const struct ld *ld)
{
	const struct member_status *member = status_of(place, ld), *other;

	if (ld->state != LD_STATE_IN_SYNC || place->slot->phase != SLOT_PHASE_SERVING || member == NULL ||
	    member->health != MEMBER_HEALTH_ABSENT || place->health->revision != place->view->volume->revision)
		return false;
	for (size_t m = 0; m < group->members.count; m++) {
		other = status_of(place, &group->members.items[m]);
		if (other != NULL && other->health == MEMBER_HEALTH_IN_SYNC)
			return true;
	}
	return false; /* no group runs */
}

/* Whether the new holder's group copies a member that counts: an earlier group had failed it, and nobody was told. */
static bool lags_behind(const struct place *place, const struct ld *ld)
{
	const struct member_status *member = status_of(place, ld);

	return ld->state == LD_STATE_IN_SYNC && place->slot->phase == SLOT_PHASE_ASSEMBLING && member != NULL &&
	       member->health == MEMBER_HEALTH_REBUILDING && place->health->revision == place->view->volume->revision;
}

/* Whether one that is to come back by bitmap is left out by its group, though its path is well. */
static bool is_refused(const struct place *place, const struct ld *ld)
{
	const struct member_status *member = status_of(place, ld);

	return ld->state == LD_STATE_REBUILDING && ld->resync && member != NULL && !member->path_lost &&
	       member->health == MEMBER_HEALTH_ABSENT && place->health->revision == place->view->volume->revision;
}

/* For how long that. */
static uint64_t refused_ms(const struct place *place, const struct group *group, const struct ld *ld)
{
	if (!is_refused(place, ld))
		return 0;
	/* It waits for another one, unless that one waits as well. */
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *other = &group->members.items[m];

		if (other != ld && other->state == LD_STATE_REBUILDING && !is_refused(place, other))
			return 0;
	}
	return place->view->now_ms - moments_ld_since(place->view->moments, ld, place->view->now_ms);
}

/* For how long a rebuild has not come further; 0: none goes on. */
static uint64_t stalled_ms(const struct place *place, const struct ld *ld)
{
	size_t index;
	const struct member_status *member = reported_member(place->health, ld->id, place->slot->epoch, &index);

	if (ld->state != LD_STATE_REBUILDING || member == NULL || member->health != MEMBER_HEALTH_REBUILDING)
		return 0;
	return place->view->now_ms - place->health->moved_ms[index];
}

static uint64_t lost_ms(const struct place *place, const struct member_status *member)
{
	return member->path_lost_ms + (place->view->now_ms - place->health->received_ms);
}

/* --- giving up
 * -------------------------------------------------------------------------------------------------------- */

enum verdict {
	VERDICT_WELL,
	VERDICT_DOUBTFUL, /* nothing that it could be given up for yet, but no reason to rely on it */
	VERDICT_PATH_LOST,
	VERDICT_MEDIUM, /* the group dropped it */
};

/* One that is not part of its group yet has a path that comes up for the first time: no write is frozen on it. One that
 * is to be rebuilt has to be exported by its Disk Node first. */
static uint64_t patience_ms(const struct ld *ld, const struct member_status *member)
{
	if (member->health != MEMBER_HEALTH_ABSENT)
		return MEMBERS_PATH_LOST_MS;
	return ld->state == LD_STATE_REBUILDING ? MEMBERS_JOIN_MS : MEMBERS_CONNECT_MS;
}

static enum verdict judge(const struct place *place, const struct group *group, const struct ld *ld,
			  struct online_step *step)
{
	const struct member_status *member = status_of(place, ld);
	const struct online_node *node = node_of(place, ld);

	if ((member != NULL && member->health == MEMBER_HEALTH_FAILED) || is_left_out(place, group, ld) ||
	    lags_behind(place, ld) || refused_ms(place, group, ld) > MEMBERS_RESYNC_MS ||
	    stalled_ms(place, ld) > MEMBERS_STALLED_MS)
		return VERDICT_MEDIUM;
	/* The holder's kernel may take seconds to notice what the leader knows. */
	if (node == NULL || node->health == HEALTH_OFFLINE)
		return VERDICT_PATH_LOST;
	if (step != NULL && refused_ms(place, group, ld) > 0)
		online_look(step, MEMBERS_RESYNC_MS + 1 - refused_ms(place, group, ld));
	if (step != NULL && stalled_ms(place, ld) > 0)
		online_look(step, MEMBERS_STALLED_MS + 1 - stalled_ms(place, ld));
	if (member == NULL || !member->path_lost)
		return VERDICT_WELL;
	if (lost_ms(place, member) > patience_ms(ld, member))
		return VERDICT_PATH_LOST;
	if (step != NULL)
		online_look(step, patience_ms(ld, member) + 1 - lost_ms(place, member));
	return VERDICT_DOUBTFUL;
}

/* One whose node fell silent may have lost power, and what its disk's cache held, so that the one that is to be given
 * up is all that is left of some writes. */
static bool is_survivor(const struct place *place, const struct group *group, const struct ld *ld)
{
	return ld->state == LD_STATE_IN_SYNC && !ld->withheld && judge(place, group, ld, NULL) == VERDICT_WELL &&
	       online_is(node_of(place, ld), HEALTH_ONLINE);
}

/* For people: until when a path that is lost is waited for. */
static int expect_give_up(const struct place *place, const struct group *group, const struct ld *ld,
			  struct arena *arena, struct online_step *step, struct error *error)
{
	const struct member_status *member = status_of(place, ld);

	if (step->outlook == NULL || judge(place, group, ld, NULL) != VERDICT_DOUBTFUL)
		return 0;
	return online_expect(step, arena, patience_ms(ld, member) + 1 - lost_ms(place, member), 0, error,
			     "slot %zu: the leader gives ld%llu up if the path of node %s to it is not back by then, "
			     "and another copy is well",
			     place->index, (unsigned long long)ld->id, place->slot->holder);
}

static bool has_survivor(const struct place *place, const struct group *group)
{
	for (size_t m = 0; m < group->members.count; m++) {
		if (is_survivor(place, group, &group->members.items[m]))
			return true;
	}
	return false;
}

static int give_up_group(const struct place *place, const struct group *group, enum verdict verdict,
			 struct arena *arena, struct string_list *lds, struct online_step *step, struct error *error)
{
	bool survivor = has_survivor(place, group);

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		int rv = 0;

		if (ld->state != LD_STATE_IN_SYNC && ld->state != LD_STATE_REBUILDING)
			continue;
		if (expect_give_up(place, group, ld, arena, step, error) != 0)
			return error->code;
		if (judge(place, group, ld, step) != verdict)
			continue;
		if (survivor)
			rv = online_ld_append(lds, ld->id, arena, error);
		else
			rv = online_wait(step,
					 arena_printf(arena, "slot %zu: ld%llu is lost, and no other copy is well",
						      place->index, (unsigned long long)ld->id),
					 error);
		if (rv != 0)
			return rv;
	}
	return 0;
}

static int give_up(const struct place *place, enum verdict verdict, enum stale_reason reason, struct arena *arena,
		   struct online_step *step, struct error *error)
{
	const struct volume *volume = place->view->volume;
	struct command_lds_stale *stale;
	struct string_list lds = { 0 };

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == place->index && g < leg->groups.count; g++) {
			if (give_up_group(place, &leg->groups.items[g], verdict, arena, &lds, step, error) != 0)
				return error->code;
		}
	}
	if (lds.count == 0)
		return 0;
	step->command = online_command(arena, sizeof(*stale), &stale, error);
	if (step->command == NULL)
		return error->code;
	*stale = (struct command_lds_stale){
		.volume = volume->id, .slot = place->index, .epoch = place->slot->epoch, .reason = reason, .lds = lds
	};
	step->command->lds_stale = stale;
	return 0;
}

/* --- coming back
 * ------------------------------------------------------------------------------------------------------ */

static uint64_t settle_ms(const struct ld *ld)
{
	return ld->stale_reason == STALE_REASON_MEDIUM ? MEMBERS_SETTLE_MEDIUM_MS : MEMBERS_SETTLE_MS;
}

/* Whether the holder, too, knows that the member was given up, and has done so: at this very revision, as one of before
 * may be of a time when it had it, and did not know. */
static bool is_dropped(const struct place *place, const struct ld *ld)
{
	const struct member_status *member = status_of(place, ld);

	return member != NULL && member->dropped && place->health->revision == place->view->volume->revision;
}

static int rebuild(const struct place *place, const struct group *group, const struct ld *ld, struct arena *arena,
		   struct online_step *step, struct error *error)
{
	const struct online_view *view = place->view;
	uint64_t waited_ms = view->now_ms - moments_ld_since(view->moments, ld, view->now_ms);
	struct command_ld_rebuild *rebuild;

	/* What its Disk Node had received when it was cut off, or stood still, may reach the medium after that. It must
	 * not come on top of what is copied: so the old export has to go first, which waits for what is in flight. */
	if (!online_export_confirmed(view, ld->disk, place->index, false))
		return online_wait_export(view, ld->disk, place->index, arena, step, error);
	/* And the holder's import of that: the new export has the same name, and what still waits for the old one would
	 * go to it, to be written whenever its Disk Node gets to it. */
	if (!is_dropped(place, ld))
		return online_wait(step,
				   arena_printf(arena, "ld%llu: node %s has not dropped it yet",
						(unsigned long long)ld->id, place->slot->holder),
				   error);
	if (waited_ms < settle_ms(ld)) {
		online_look(step, settle_ms(ld) - waited_ms);
		return online_expect(step, arena, settle_ms(ld) - waited_ms, 0, error,
				     "the leader has node %s rebuild ld%llu where it is", place->slot->holder,
				     (unsigned long long)ld->id);
	}
	/* A rebuild wipes it, and it may be all that is left: slot.force could still serve it. */
	if (!has_survivor(place, group))
		return online_wait(step,
				   arena_printf(arena, "ld%llu is not rebuilt while no other copy is well",
						(unsigned long long)ld->id),
				   error);
	if (view->rebuilds[place->index] >= MEMBERS_REBUILDS) {
		online_look(step, MEMBERS_SETTLE_MS);
		return online_wait(step,
				   arena_printf(arena, "ld%llu: node %s rebuilds %u others at the moment",
						(unsigned long long)ld->id, place->slot->holder, MEMBERS_REBUILDS),
				   error);
	}
	step->command = online_command(arena, sizeof(*rebuild), &rebuild, error);
	if (step->command == NULL)
		return error->code;
	*rebuild = (struct command_ld_rebuild){ .volume = view->volume->id,
						.slot = place->index,
						.epoch = place->slot->epoch,
						.ld = ld->id,
						.resync = ld->resync };
	step->command->ld_rebuild = rebuild;
	return 0;
}

/* By the wall clock of the leader that saw it go, so that a change of leaders does not begin it anew; but never before
 * this leader gave every node the time to come back. */
static uint64_t replace_in_ms(const struct online_view *view, const struct ld *ld)
{
	uint64_t after_ms = view->rebuild_after_ms > 0 ? view->rebuild_after_ms : LIMIT_REBUILD_AFTER_MS;
	uint64_t gone_ms = view->wall_ms > ld->since_ms ? view->wall_ms - ld->since_ms : 0;
	uint64_t led_ms = view->now_ms - view->leader_since_ms;
	uint64_t left_ms = gone_ms < after_ms ? after_ms - gone_ms : 0;
	uint64_t lease_left_ms = led_ms < LIMIT_LEASE_MS ? LIMIT_LEASE_MS - led_ms : 0;

	return left_ms > lease_left_ms ? left_ms : lease_left_ms;
}

static int step_stale(const struct place *place, const struct group *group, const struct ld *ld, struct arena *arena,
		      struct online_step *step, struct error *error)
{
	const struct online_view *view = place->view;
	const struct online_disk *disk = online_disk(view, ld->disk);
	const struct online_node *node = disk != NULL ? disk->node : NULL;
	const char *text;
	uint64_t left_ms;

	if (online_is(node, HEALTH_ONLINE) && !disk->gone && disk->held)
		return online_wait(step,
				   arena_printf(arena,
						"ld%llu: its disk d%llu is held since a restore; an operator releases "
						"it (dnvme disk release d%llu)",
						(unsigned long long)ld->id, (unsigned long long)disk->id,
						(unsigned long long)disk->id),
				   error);
	if (online_is(node, HEALTH_ONLINE) && !disk->gone)
		return rebuild(place, group, ld, arena, step, error);
	if (!online_is(node, HEALTH_OFFLINE) && (disk == NULL || !disk->gone))
		return 0;
	left_ms = replace_in_ms(view, ld);
	/* What is replaced goes when it comes back: the same as for a rebuild. */
	if (left_ms == 0 && !has_survivor(place, group))
		return online_wait(step,
				   arena_printf(arena, "ld%llu is not replaced while no other copy is well",
						(unsigned long long)ld->id),
				   error);
	if (left_ms == 0 && step->replace_ld == 0) {
		step->replace_ld = ld->id;
		step->replace_slot = place->index;
	} else if (left_ms > 0) {
		online_look(step, left_ms);
		if (online_expect(
			    step, arena, left_ms, ld->id, error,
			    "the leader has another disk take the place of ld%llu if %s of node %s is not back by "
			    "then",
			    (unsigned long long)ld->id, disk != NULL && disk->gone ? "its disk" : "the agent",
			    node != NULL ? node->name : "?") != 0)
			return error->code;
	}
	text = arena_printf(arena, "ld%llu: %s of node %s is away; replaced in %llu s", (unsigned long long)ld->id,
			    disk != NULL && disk->gone ? "its disk" : "the agent", node != NULL ? node->name : "?",
			    (unsigned long long)((left_ms + 999) / 1000));
	if (left_ms > 0 || step->replace_ld == ld->id)
		return online_wait_expected(step, text, error);
	return online_wait(step, text, error);
}

/* It went with its node: there is nothing to wait for. */
static int step_lost(const struct place *place, const struct ld *ld, struct arena *arena, struct online_step *step,
		     struct error *error)
{
	if (step->replace_ld == 0) {
		step->replace_ld = ld->id;
		step->replace_slot = place->index;
	}
	return online_wait(
		step, arena_printf(arena, "ld%llu is lost: its node was forgotten", (unsigned long long)ld->id), error);
}

/* One that counts, and is copied from, and returned errors; NULL. */
static const struct ld *bad_source(const struct place *place, const struct group *group)
{
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		if (ld->state == LD_STATE_IN_SYNC && online_errors(place->view, ld, place->index) != NULL)
			return ld;
	}
	return NULL;
}

static int wait_rebuilt(const struct place *place, const struct group *group, const struct ld *ld, struct arena *arena,
			struct online_step *step, struct error *error)
{
	const struct ld *source = bad_source(place, group);

	if (source == NULL)
		return online_wait(step,
				   arena_printf(arena, "ld%llu: node %s rebuilds it", (unsigned long long)ld->id,
						place->slot->holder),
				   error);
	return online_wait(step,
			   arena_printf(arena,
					"ld%llu: node %s rebuilds it; ld%llu, from which it is copied, returned I/O "
					"errors: that ends only when what cannot be read there is written anew",
					(unsigned long long)ld->id, place->slot->holder,
					(unsigned long long)source->id),
			   error);
}

static int step_rebuilding(const struct place *place, const struct group *group, const struct ld *ld,
			   struct arena *arena, struct online_step *step, struct error *error)
{
	const struct member_status *member = status_of(place, ld);
	struct command_ld_in_sync *in_sync;

	/* A report from before the rebuild began may say "in sync", too; one that is ahead of what this leader knows is
	 * of a time when it was. */
	if (member == NULL || member->path_lost ||
	    (member->health != MEMBER_HEALTH_IN_SYNC && !canary("rebuild_believed")) ||
	    place->health->revision != place->view->volume->revision)
		return wait_rebuilt(place, group, ld, arena, step, error);
	/* Nothing can have been copied to what its Disk Node does not export. */
	if (!online_export_confirmed(place->view, ld->disk, place->index, true))
		return online_wait_export(place->view, ld->disk, place->index, arena, step, error);
	step->command = online_command(arena, sizeof(*in_sync), &in_sync, error);
	if (step->command == NULL)
		return error->code;
	*in_sync = (struct command_ld_in_sync){
		.volume = place->view->volume->id,
		.slot = place->index,
		.epoch = place->slot->epoch,
		.ld = ld->id,
		.revision = place->view->volume->revision,
	};
	step->command->ld_in_sync = in_sync;
	return 0;
}

static int come_back(const struct place *place, struct arena *arena, struct online_step *step, struct error *error)
{
	const struct volume *volume = place->view->volume;
	int rv = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == place->index && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				/* Of one that leaves, moves.h knows. */
				if (ld == moving_ld(volume, &leg->groups.items[g]))
					continue;
				if (ld->state == LD_STATE_STALE)
					rv = step_stale(place, &leg->groups.items[g], ld, arena, step, error);
				else if (ld->state == LD_STATE_FREED)
					rv = step_lost(place, ld, arena, step, error);
				else if (ld->state == LD_STATE_REBUILDING)
					rv = step_rebuilding(place, &leg->groups.items[g], ld, arena, step, error);
				if (rv != 0 || step->command != NULL)
					return rv;
			}
		}
	}
	return 0;
}

/* --- freeing
 * ---------------------------------------------------------------------------------------------------------- */

static int free_leaving(const struct online_view *view, struct arena *arena, struct online_step *step,
			struct error *error)
{
	const struct volume *volume = view->volume;
	struct command_lds_free *free;
	struct string_list lds = { 0 };

	for (size_t i = 0; i < volume->leaving.count; i++) {
		const struct leaving_ld *leaving = &volume->leaving.items[i];
		int rv;

		if (leaving->ld->state == LD_STATE_FREED)
			continue;
		if (online_export_confirmed(view, leaving->ld->disk, leaving->slot, false) || canary("free_early"))
			rv = online_ld_append(&lds, leaving->ld->id, arena, error);
		else
			rv = online_wait_export(view, leaving->ld->disk, leaving->slot, arena, step, error);
		if (rv != 0)
			return rv;
	}
	if (lds.count == 0)
		return 0;
	step->command = online_command(arena, sizeof(*free), &free, error);
	if (step->command == NULL)
		return error->code;
	*free = (struct command_lds_free){ .volume = volume->id, .lds = lds };
	step->command->lds_free = free;
	return 0;
}

/* --- what moves.h asks ----------------------------------------------------------------------------------------------
 */

static struct place place_of(const struct online_view *view, size_t slot)
{
	const struct slot *found = &view->volume->slots.items[slot];

	return (struct place){
		.view = view, .slot = found, .index = slot, .health = online_health(view, found->holder)
	};
}

bool members_any_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *but)
{
	struct place place = place_of(view, slot);

	for (size_t m = 0; m < group->members.count; m++) {
		if (&group->members.items[m] != but && is_survivor(&place, group, &group->members.items[m]))
			return true;
	}
	return false;
}

bool members_is_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	struct place place = place_of(view, slot);

	return is_survivor(&place, group, ld);
}

bool members_all_well(const struct online_view *view, size_t slot, const struct group *group, const struct ld *but)
{
	struct place place = place_of(view, slot);

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct member_status *member = status_of(&place, ld);

		if (ld == but)
			continue;
		if (!is_survivor(&place, group, ld) || ld->doubtful || member == NULL ||
		    member->health != MEMBER_HEALTH_IN_SYNC || place.health->revision != view->volume->revision)
			return false;
	}
	return true;
}

bool members_is_dropped(const struct online_view *view, size_t slot, const struct ld *ld)
{
	struct place place = place_of(view, slot);

	return is_dropped(&place, ld);
}

int members_step(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		const struct slot *slot = &view->volume->slots.items[i];
		struct place place = {
			.view = view, .slot = slot, .index = i, .health = online_health(view, slot->holder)
		};

		/* Before that its members are fenced, and slots.h gives up what is not. */
		if (slot->phase == SLOT_PHASE_FENCING || !online_is(online_node(view, slot->holder), HEALTH_ONLINE))
			continue;
		if (settle_step(view, i, place.health, arena, step, error) != 0)
			return error->code;
		if (step->command == NULL &&
		    give_up(&place, VERDICT_MEDIUM, STALE_REASON_MEDIUM, arena, step, error) != 0)
			return error->code;
		if (step->command == NULL &&
		    give_up(&place, VERDICT_PATH_LOST, STALE_REASON_PATH_LOST, arena, step, error) != 0)
			return error->code;
		if (step->command == NULL && slot->phase == SLOT_PHASE_SERVING &&
		    come_back(&place, arena, step, error) != 0)
			return error->code;
		if (step->command == NULL && slot->phase == SLOT_PHASE_SERVING &&
		    excuse_step(view, i, place.health, arena, step, error) != 0)
			return error->code;
		if (step->command != NULL)
			return 0;
	}
	return free_leaving(view, arena, step, error);
}
