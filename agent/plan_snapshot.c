/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: hosts are held up while thin devices are made, and what no snapshot has any more is deleted.
 *
 *   hold ──► snap ──► release ──► forget         as the leader tells, for one number
 *     └────────┴────────►┘                       it tells of that number no more, or of another one
 *
 * What holds is a process that may outlive the agent that started it, and lets go by itself. All of this is one lane of
 * the volume: nothing is deleted while a call that may make it is under way, nor while such a process is there.
 */
#include "agent/planner.h"

#include <inttypes.h>
#include <string.h>

static bool is_final(const struct observed_pause *pause)
{
	return pause->state == PAUSE_STATE_KEPT || pause->state == PAUSE_STATE_BROKEN;
}

static bool is_holding(const struct observed_pause *pause)
{
	return pause->alive && !is_final(pause);
}

bool planner_dm_is_paused(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->observed->pauses.count; i++) {
		const struct observed_pause *pause = &planner->observed->pauses.items[i];

		for (size_t j = 0; is_holding(pause) && j < pause->devices.count; j++) {
			if (strcmp(pause->devices.items[j], name) == 0)
				return true;
		}
	}
	return false;
}

static const struct observed_pause *pause_find(const struct planner *planner, uint64_t volume, uint64_t number)
{
	for (size_t i = 0; i < planner->observed->pauses.count; i++) {
		const struct observed_pause *pause = &planner->observed->pauses.items[i];

		if (pause->volume == volume && pause->number == number)
			return pause;
	}
	return NULL;
}

static const struct target_pause *wanted_find(const struct planner *planner, const struct observed_pause *pause)
{
	for (size_t i = 0; i < planner->target->pauses.count; i++) {
		const struct target_pause *wanted = &planner->target->pauses.items[i];

		if (wanted->pause.volume == pause->volume && wanted->pause.number == pause->number)
			return wanted;
	}
	return NULL;
}

static int pause_action(struct planner *planner, enum action_kind kind, const struct owner *owner, uint64_t volume,
			uint64_t number)
{
	struct action *action = planner_action(planner, kind, owner);

	if (action == NULL)
		return -1;
	action->pause.volume = volume;
	action->pause.number = number;
	return 0;
}

/* One that nobody asks for any more. */
static int pause_end(struct planner *planner, const struct observed_pause *pause)
{
	struct owner owner;

	owner_snapshots_make(pause->volume, &owner);
	if (is_holding(pause))
		return pause_action(planner, ACTION_PAUSE_RELEASE, &owner, pause->volume, pause->number);
	if (!pause->alive)
		return pause_action(planner, ACTION_PAUSE_FORGET, &owner, pause->volume, pause->number);
	return planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL,
			    "a kernel call of attempt %" PRIu64 " at a snapshot does not return", pause->number);
}

/* Whether a device is as wanted, and I/O through it ends. */
static bool is_usable(struct planner *planner, const char *name)
{
	const struct planner_dm *dm = planner_dm_find(planner, name);

	return dm != NULL && dm->wanted != NULL && dm->ready && !dm->frozen;
}

/* NULL: to hold it up would not last. */
static const char *unusable_find(struct planner *planner, const struct kernel_pause *pause)
{
	if (!is_usable(planner, pause->top))
		return pause->top;
	for (size_t i = 0; i < pause->legs.count; i++) {
		if (!is_usable(planner, pause->legs.items[i].pool))
			return pause->legs.items[i].pool;
		if (!is_usable(planner, pause->legs.items[i].thin))
			return pause->legs.items[i].thin;
	}
	return NULL;
}

static int hold(struct planner *planner, const struct target_pause *wanted)
{
	const char *unusable = unusable_find(planner, &wanted->pause);
	struct action *action;

	if (unusable != NULL)
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, NULL,
				    "hosts are not held up for attempt %" PRIu64
				    " at a snapshot: %s is not as wanted, or a path below it is lost",
				    wanted->pause.number, unusable);
	for (size_t i = 0; i < planner->observed->pauses.count; i++) {
		const struct observed_pause *other = &planner->observed->pauses.items[i];

		if (other->volume == wanted->pause.volume && other->alive)
			return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, NULL,
					    "attempt %" PRIu64 " at a snapshot waits until attempt %" PRIu64
					    " has let go",
					    wanted->pause.number, other->number);
	}
	action = planner_action(planner, ACTION_PAUSE_HOLD, &wanted->owner);
	if (action == NULL)
		return -1;
	action->pause = wanted->pause;
	return 0;
}

static int pause_go_on(struct planner *planner, const struct target_pause *wanted)
{
	const struct observed_pause *pause = pause_find(planner, wanted->pause.volume, wanted->pause.number);
	enum action_kind kind = wanted->phase == PAUSE_PHASE_SNAP ? ACTION_PAUSE_SNAP : ACTION_PAUSE_RELEASE;

	if (pause == NULL)
		return wanted->phase == PAUSE_PHASE_HOLD ? hold(planner, wanted) : 0;
	if (!is_holding(pause) || wanted->phase == PAUSE_PHASE_HOLD)
		return 0;
	if (wanted->phase == PAUSE_PHASE_SNAP && (pause->state != PAUSE_STATE_HELD || pause->made))
		return 0;
	return pause_action(planner, kind, &wanted->owner, wanted->pause.volume, wanted->pause.number);
}

static bool is_deleted(const struct observed_dm *pool, uint64_t number)
{
	for (size_t i = 0; i < pool->deleted.count; i++) {
		if (pool->deleted.items[i].number == number)
			return true;
	}
	return false;
}

static int drop(struct planner *planner, const struct target_drop *drop)
{
	const struct planner_dm *pool = planner_dm_find(planner, drop->pool);
	const struct observed_pause *pause = pause_find(planner, drop->volume, drop->number);
	struct action *action;

	if (!is_usable(planner, drop->pool))
		return planner_note(planner, PLAN_NOTE_WAITS, &drop->owner, NULL,
				    "thin device %" PRIu64 " is deleted once %s is as wanted, and answers",
				    drop->number, drop->pool);
	if (is_deleted(pool->observed, drop->number))
		return 0;
	if (planner_dm_find(planner, drop->device) != NULL)
		return planner_note(planner, PLAN_NOTE_WAITS, &drop->owner, NULL,
				    "thin device %" PRIu64 " is deleted once %s is gone, which has it open",
				    drop->number, drop->device);
	if (pause != NULL && pause->alive)
		return planner_note(planner, PLAN_NOTE_WAITS, &drop->owner, NULL,
				    "thin device %" PRIu64 " is deleted once the process is gone that may make it",
				    drop->number);
	action = planner_action(planner, ACTION_THIN_DELETE, &drop->owner);
	if (action == NULL)
		return -1;
	action->name = drop->pool;
	action->number = drop->number;
	return 0;
}

int planner_build_snapshots(struct planner *planner)
{
	const struct target *target = planner->target;

	for (size_t i = 0; i < planner->observed->pauses.count; i++) {
		const struct observed_pause *pause = &planner->observed->pauses.items[i];

		if (wanted_find(planner, pause) == NULL && pause_end(planner, pause) != 0)
			return -1;
	}
	for (size_t i = 0; i < target->pauses.count; i++) {
		if (!planner_owner_has_problem(planner, &target->pauses.items[i].owner) &&
		    pause_go_on(planner, &target->pauses.items[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < target->drops.count; i++) {
		if (!planner_owner_has_problem(planner, &target->drops.items[i].owner) &&
		    drop(planner, &target->drops.items[i]) != 0)
			return -1;
	}
	return 0;
}
