/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a Disk Node does with the label of an LD before it exports it: the epoch in the label is the lowest one that may
 * ever be exported again, whoever asks, and whatever this machine forgot since.
 */
#include "agent/planner.h"

#include <inttypes.h>
#include <string.h>

static const struct observed_label *label_find(const struct planner *planner, const struct target_dm *wanted)
{
	for (size_t i = 0; i < planner->observed->labels.count; i++) {
		const struct observed_label *label = &planner->observed->labels.items[i];

		if (strcmp(label->device, wanted->name) == 0 && strcmp(label->uuid, wanted->uuid) == 0)
			return label;
	}
	return NULL;
}

/* Whether a namespace is enabled over it. Its label was looked at then, and nobody but this agent lets another epoch
 * in. */
static bool is_exported(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &planner->observed->subsystems.items[i];

		for (size_t j = 0; j < subsystem->namespaces.count; j++) {
			if (subsystem->namespaces.items[j].enabled &&
			    strcmp(planner_path_device(subsystem->namespaces.items[j].path), name) == 0)
				return true;
		}
	}
	return false;
}

static struct action *label_action(struct planner *planner, enum action_kind kind, const struct target_dm *wanted)
{
	struct action *action = planner_action(planner, kind, &wanted->owner);

	if (action != NULL) {
		action->name = wanted->name;
		action->uuid = wanted->uuid;
	}
	return action;
}

/* An action outlives what was observed. */
static int raise(struct planner *planner, const struct target_dm *wanted, const struct ld_label *label)
{
	struct action *action = label_action(planner, ACTION_LABEL_RAISE, wanted);

	if (action == NULL)
		return -1;
	action->label = *label;
	action->label.cluster = arena_strdup(planner->arena, label->cluster);
	action->label.epoch = wanted->guard->epoch;
	return action->label.cluster != NULL ? 0 : -1;
}

static const struct ld_errors *errors_find(const struct observed *observed, uint64_t ld)
{
	for (size_t i = 0; i < observed->errors.count; i++) {
		if (observed->errors.items[i].ld == ld)
			return &observed->errors.items[i];
	}
	return NULL;
}

/* Errors from before a rebuild say nothing of what the LD holds after it, nor do those that may have been missed of one
 * on which nothing was. Once for each rebuild: errors in its course do count. */
static int errors_forget(struct planner *planner, const struct target_dm *wanted)
{
	const struct target_guard *guard = wanted->guard;
	const struct ld_errors *errors = errors_find(planner->observed, guard->ld);
	struct action *action;
	bool forget;

	if (guard->rebuild_ms > 0)
		forget = errors == NULL || errors->rebuild_ms != guard->rebuild_ms;
	else
		forget = !guard->formatted && errors != NULL && errors->missed && errors->reads + errors->writes == 0;
	if (!forget || planner->observed->errors_unknown)
		return 0;
	action = planner_action(planner, ACTION_ERRORS_FORGET, &wanted->owner);
	if (action == NULL)
		return -1;
	action->label.ld = guard->ld;
	action->label.rebuild_ms = guard->rebuild_ms;
	return 0;
}

int planner_build_guard(struct planner *planner, const struct target_dm *wanted)
{
	const struct target_guard *guard = wanted->guard;
	const struct planner_dm *dm = planner_dm_find(planner, wanted->name);
	bool *held = &planner->held[wanted - planner->target->dms.items];
	const struct observed_label *found;
	const struct ld_label *label;
	bool same;

	/* The device waits for something else, which a note tells. */
	if (!planner->created[wanted - planner->target->dms.items] && (dm == NULL || !dm->ready))
		return 0;
	if (errors_forget(planner, wanted) != 0)
		return -1;
	if (dm != NULL && dm->wanted == wanted && is_exported(planner, wanted->name))
		return 0;
	*held = true;
	found = label_find(planner, wanted);
	if (found == NULL)
		return label_action(planner, ACTION_LABEL_READ, wanted) == NULL ||
				       planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
						    "ld%" PRIu64 " waits for its label", guard->ld) != 0
			       ? -1
			       : 0;
	label = found->label;
	same = label != NULL && label->ld == guard->ld && label->volume == guard->volume &&
	       strcmp(label->cluster, planner->target->cluster) == 0;
	if (same && label->epoch > guard->epoch)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				    "ld%" PRIu64 " is not exported in epoch %" PRIu64
				    ": its label has a later epoch, %" PRIu64,
				    guard->ld, guard->epoch, label->epoch);
	if (guard->formatted && !same)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL, "ld%" PRIu64 " is not exported: %s",
				    guard->ld,
				    label != NULL	     ? "its label is that of another LD"
				    : found->problem != NULL ? found->problem
							     : "there is no label");
	*held = false;
	if (planner_cache_hold(planner, wanted, held) != 0)
		return -1;
	return guard->formatted && label->epoch < guard->epoch ? raise(planner, wanted, label) : 0;
}
