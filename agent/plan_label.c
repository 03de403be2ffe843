/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a Disk Node does with the label of an LD before it exports it: the epoch in the label is the lowest one that may
 * ever be exported again, whoever asks, and whatever this machine forgot since.
 */
#include "agent/label.h"
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
	const struct ld_label demand = { .cluster = planner->target->cluster,
					 .volume = guard->volume,
					 .ld = guard->ld,
					 .epoch = guard->epoch,
					 .formatted = guard->formatted };
	const struct observed_label *found;
	struct action *action;
	struct error error;

	/* The device waits for something else, which a note tells. */
	if (!planner->created[wanted - planner->target->dms.items] && (dm == NULL || !dm->ready))
		return 0;
	if (errors_forget(planner, wanted) != 0)
		return -1;
	if (dm != NULL && dm->wanted == wanted && is_exported(planner, wanted->name))
		return 0;
	found = label_find(planner, wanted);
	if (found != NULL && label_judge(found, &demand, &error) != 0) {
		*held = true;
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL, "%s", error.message);
	}
	if (planner_cache_hold(planner, wanted, held) != 0)
		return -1;
	if (*held)
		return 0;
	if (found != NULL && (!guard->formatted || found->label->epoch == guard->epoch))
		return 0;
	/* What comes behind it in this lane exports the LD, and is done only if the label admits it. */
	action = planner_action(planner, ACTION_LABEL_CHECK, &wanted->owner);
	if (action == NULL)
		return -1;
	action->name = wanted->name;
	action->uuid = wanted->uuid;
	action->label = demand;
	return 0;
}
