/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wanted and not there is made: device-mapper devices from the bottom. */
#include "agent/group.h"
#include "agent/planner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/label.h"
#include "agent/list.h"
#include "agent/word.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

enum leg_decision {
	LEG_UNKNOWN,   /* labels are not read yet */
	LEG_FORMATTED, /* all labels say so */
	LEG_NEW,       /* it may be wiped, and must be */
	LEG_REFUSED,   /* it must not be wiped, and cannot be assembled */
	LEG_NOMEM,
};

struct dm_builder {
	struct planner *planner;
	const struct target_leg *leg; /* that the decision below is about */
	enum leg_decision decision;
};

/* Whether the slice exists now or is made earlier in this lane. */
static bool device_will_be_there(struct planner *planner, const char *name)
{
	const struct target_dm *wanted = planner_wanted_find(planner, name);
	struct planner_dm *dm = planner_dm_find(planner, name);

	return (dm != NULL && dm->ready) || (wanted != NULL && planner->created[wanted - planner->target->dms.items]);
}

/* Device number of the imported namespace below a slice that is made in this lane; 0: it is not there. */
static uint64_t namespace_below(struct planner *planner, const char *slice)
{
	const struct target_dm *wanted = planner_wanted_find(planner, slice);
	char text[UUID_TEXT_SIZE];
	uint8_t uuid[16];

	if (wanted == NULL || wanted->table.count == 0 || wanted->table.items[0].params[0] != '%')
		return 0;
	snprintf(text, sizeof(text), "%s", wanted->table.items[0].params + 1);
	if (uuid_text_parse(text, uuid) != 0)
		return 0;
	for (size_t i = 0; i < planner->observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &planner->observed->import_namespaces.items[i];

		if (memcmp(ns->uuid, uuid, sizeof(uuid)) == 0)
			return PLANNER_DEVICE(ns->major, ns->minor);
	}
	return 0;
}

/* Whether I/O to a slice would wait: then its lane would hang, and everything in it. */
static bool is_frozen(struct planner *planner, const char *name)
{
	const struct planner_dm *dm = planner_dm_find(planner, name);
	uint64_t device =
		dm != NULL ? PLANNER_DEVICE(dm->observed->major, dm->observed->minor) : namespace_below(planner, name);

	return device != 0 && group_path_find(planner->observed, device) == GROUP_PATH_FROZEN;
}

static int labels_read(struct planner *planner, const struct target_leg *leg, enum action_kind kind)
{
	for (size_t i = 0; i < leg->labels.count; i++) {
		const struct target_label *wanted = &leg->labels.items[i];
		struct action *action;

		if (group_label_find(planner->observed, wanted) != NULL ||
		    !device_will_be_there(planner, wanted->device) || is_frozen(planner, wanted->device))
			continue;
		action = planner_action(planner, kind, &leg->owner);
		if (action == NULL)
			return -1;
		action->name = wanted->device;
		action->uuid = wanted->uuid;
		action->label = wanted->label;
	}
	return 0;
}

/* What may be done with a leg, from its labels; what one of them forbids, the others do not allow. Once all of them say
 * "formatted", nothing is ever wiped again, even when the desired state (which may be old) still says that it shall be
 * formatted. */
static enum leg_decision leg_decide(struct planner *planner, const struct target_leg *leg)
{
	bool formatted = true, known = true;

	for (size_t i = 0; i < leg->labels.count; i++) {
		const struct target_label *wanted = &leg->labels.items[i];
		const struct observed_label *found = group_label_find(planner->observed, wanted);
		const char *reason = found != NULL ? label_complaint(found, &wanted->label) : NULL;
		bool other_epoch;

		known = known && found != NULL;
		if (reason == NULL)
			continue;
		formatted = false;
		/* What was formatted once, or belongs to another epoch, is never wiped; but for what was not in use
		 * then.
		 */
		other_epoch = found->label != NULL && label_is_same(found->label, &wanted->label) &&
			      found->label->epoch != wanted->label.epoch;
		if (leg->format && (!other_epoch || (leg->anew && found->label->epoch < wanted->label.epoch)))
			continue;
		if (planner_note(planner, PLAN_NOTE_FAILS, &leg->owner, NULL,
				 "ld%" PRIu64 " cannot be assembled as member %" PRIu64 " of group %" PRIu64
				 " of leg %" PRIu64 ": %s",
				 wanted->label.ld, wanted->label.member, wanted->label.group, wanted->label.leg,
				 reason) != 0)
			return LEG_NOMEM;
		return LEG_REFUSED;
	}
	if (!known)
		return LEG_UNKNOWN;
	return formatted ? LEG_FORMATTED : LEG_NEW;
}

/* Whether all labels that nobody has seen yet can be read in this lane. */
static bool labels_are_near(struct planner *planner, const struct target_leg *leg)
{
	for (size_t i = 0; i < leg->labels.count; i++) {
		const struct target_label *wanted = &leg->labels.items[i];

		if (group_label_find(planner->observed, wanted) == NULL &&
		    (!device_will_be_there(planner, wanted->device) || is_frozen(planner, wanted->device)))
			return false;
	}
	return true;
}

/* A leg that was formatted is assembled when its labels say so, and otherwise not at all: there is nothing to decide
 * between, so what assembles it follows in this lane. One that may have to be wiped is planned from what was read. */
static int labels_ask(struct dm_builder *this, const struct target_leg *leg)
{
	bool match = !leg->format && labels_are_near(this->planner, leg);

	if (labels_read(this->planner, leg, match ? ACTION_LABEL_MATCH : ACTION_LABEL_READ) != 0)
		return -1;
	if (match)
		this->decision = LEG_FORMATTED;
	return match ? 0
		     : planner_note(this->planner, PLAN_NOTE_WAITS, &leg->owner, leg->owner.lane,
				    "leg %s waits for the labels of its LDs", leg->owner.lane);
}

static enum leg_decision leg_decision(struct dm_builder *this, const struct target_leg *leg)
{
	if (this->leg == leg)
		return this->decision;
	this->leg = leg;
	this->decision = leg_decide(this->planner, leg);
	if (this->decision == LEG_UNKNOWN && labels_ask(this, leg) != 0)
		this->decision = LEG_NOMEM;
	return this->decision;
}

/* Whoever held the group before may have died while it wrote: what was in flight has to be made equal. */
static int resyncs_add(struct planner *planner, const struct target_group *group, struct action *action)
{
	for (size_t i = 0; i < group->count; i++) {
		if (group->members[i].state == LD_STATE_IN_SYNC &&
		    list_push_string(planner->arena, &action->resyncs, group->members[i].raid_metadata) != 0)
			return -1;
	}
	action->places = group->places;
	return 0;
}

static int create(struct dm_builder *this, const struct target_dm *wanted)
{
	struct planner *planner = this->planner;
	const struct observed_target_list *table = &wanted->table;
	struct observed_target_list resolved;
	enum leg_decision decision = LEG_FORMATTED;
	struct action *action;

	/* What it lies on comes first, so that the labels are asked for only when there is something to read. */
	switch (planner_table_resolve(planner, &wanted->owner, wanted->name, table, &resolved)) {
	case PLANNER_NOMEM:
		return -1;
	case PLANNER_WAITS:
		return 0;
	case PLANNER_READY:
	case PLANNER_PLANNED:
		break;
	}
	if (wanted->role == TARGET_DM_STORE)
		decision = leg_decision(this, wanted->leg);
	if (decision == LEG_NOMEM)
		return -1;
	if (decision == LEG_UNKNOWN || decision == LEG_REFUSED)
		return 0;
	if (decision == LEG_NEW && wanted->format_table.count > 0 &&
	    planner_table_resolve(planner, &wanted->owner, wanted->name, &wanted->format_table, &resolved) ==
		    PLANNER_NOMEM)
		return -1;
	for (size_t i = 0; wanted->group != NULL && i < wanted->group->count; i++) {
		const struct target_member *member = &wanted->group->members[i];

		if (member->state == LD_STATE_IN_SYNC && is_frozen(planner, member->raid_metadata))
			return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, NULL,
					    "%s waits for the path to ld%" PRIu64, wanted->name, member->ld);
	}
	action = planner_action(planner, ACTION_DM_CREATE, &wanted->owner);
	if (action == NULL)
		return -1;
	action->name = wanted->name;
	action->uuid = wanted->uuid;
	action->table = resolved;
	if (decision == LEG_NEW) {
		action->zeros = wanted->zeros;
		action->message_device = wanted->message_device;
		action->message = wanted->message;
	} else if (wanted->group != NULL && resyncs_add(planner, wanted->group, action) != 0) {
		return -1;
	}
	planner->created[wanted - planner->target->dms.items] = true;
	return 0;
}

/* Whether hosts may still send I/O to the device. */
static bool is_accessible(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &planner->observed->subsystems.items[i];

		for (size_t j = 0; j < subsystem->namespaces.count; j++) {
			const struct observed_namespace *ns = &subsystem->namespaces.items[j];

			if (ns->enabled && ns->group != KERNEL_ANA_INACCESSIBLE &&
			    strcmp(planner_path_device(ns->path), name) == 0)
				return true;
		}
	}
	return false;
}

static enum planner_state errors_make(struct planner *planner, const struct target_dm *wanted,
				      struct observed_target_list *ret_table)
{
	struct observed_target_list table = { 0 };
	struct observed_target *line = LIST_PUSH(planner->arena, &table);

	if (line == NULL)
		return PLANNER_NOMEM;
	for (size_t i = 0; i < wanted->table.count; i++)
		line->length += wanted->table.items[i].length;
	line->type = "error";
	line->params = "";
	*ret_table = table;
	return PLANNER_READY;
}

/* Once for each number. Not while a path below is frozen: it would wait for that, and new I/O with it. */
static int drain(struct planner *planner, const struct target_dm *wanted, const struct planner_dm *dm)
{
	struct action *action;

	if (wanted->drain <= dm->observed->drained || dm->frozen)
		return 0;
	action = planner_action(planner, ACTION_DM_DRAIN, &wanted->owner);
	if (action == NULL)
		return -1;
	action->name = wanted->name;
	action->drain = wanted->drain;
	return 0;
}

/* From the bottom, in one lane: so nothing is ever larger than what it lies on. Whoever dies in between leaves devices
 * of which some are larger, and the next one goes on. */
static int grow(struct planner *planner, const struct target_dm *wanted, struct planner_dm *dm,
		const struct observed_target_list *table)
{
	struct action *action;

	/* To switch tables waits for all I/O below. */
	if (dm->frozen)
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				    "%s is not made larger while an import below it does not answer", wanted->name);
	action = planner_action(planner, ACTION_DM_RELOAD, &wanted->owner);
	if (action == NULL)
		return -1;
	action->name = wanted->name;
	action->table = *table;
	dm->grows = true;
	planner->created[wanted - planner->target->dms.items] = true;
	return 0;
}

/* Whether it is a slice of a namespace that its import does not show any more, and nothing lies on it. It was made
 * while the import was being dropped, or the Disk Node took the namespace away and exports it again: under another
 * number. */
static bool is_left_behind(const struct planner *planner, const struct target_dm *wanted, const struct planner_dm *dm)
{
	const struct observed_dm *observed = dm->observed;
	const char *params = observed->targets.items[0].params, *word;
	uint64_t major, minor;
	size_t length;

	if (wanted->role != TARGET_DM_PLAIN || wanted->table.items[0].params[0] != '%' || observed->open_count > 0 ||
	    planner_edge_find(planner, PLANNER_DEVICE(observed->major, observed->minor)) < planner->edge_count)
		return false;
	length = word_next(&params, &word);
	return word_device(word, length, &major, &minor) &&
	       group_path_find(planner->observed, PLANNER_DEVICE(major, minor)) == GROUP_PATH_GONE;
}

static int remove_first(struct planner *planner, const struct target_dm *wanted)
{
	struct action *action = planner_action(planner, ACTION_DM_REMOVE, &wanted->owner);

	if (action == NULL)
		return -1;
	action->name = wanted->name;
	return 0;
}

static int adjust(struct dm_builder *this, const struct target_dm *wanted, struct planner_dm *dm)
{
	struct planner *planner = this->planner;
	struct observed_target_list resolved;
	struct action *action;
	bool same, paused;

	/* Somebody died between making it and loading its table. */
	if (dm->observed->targets.count == 0)
		return remove_first(planner, wanted) == 0 ? create(this, wanted) : -1;
	switch (dm->lets_go ? errors_make(planner, wanted, &resolved)
			    : planner_table_resolve(planner, &wanted->owner, wanted->name, &wanted->table, &resolved)) {
	case PLANNER_NOMEM:
		return -1;
	case PLANNER_WAITS:
		return 0;
	case PLANNER_PLANNED: /* it lies on a device of the same name that was made again */
	case PLANNER_READY:
		break;
	}
	if (wanted->group != NULL && !dm->observed->suspended)
		return planner_group_adjust(planner, wanted, dm, &resolved);
	/* Somebody died in the middle of a reload: the table that was loaded takes effect. */
	if (wanted->group != NULL) {
		action = planner_action(planner, ACTION_DM_RESUME, &wanted->owner);
		if (action == NULL)
			return -1;
		action->name = wanted->name;
		return 0;
	}
	same = planner_table_is_same(&resolved, &dm->observed->targets);
	paused = planner_dm_is_paused(planner, wanted->name);
	if (same && (paused || !dm->observed->suspended)) {
		dm->ready = true;
		return drain(planner, wanted, dm);
	}
	/* A resume, too, would be a break, and what holds it up resumes what it knows. */
	if (paused)
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				    "%s waits until it is not held up for a snapshot any more", wanted->name);
	if (!same && wanted->may_grow &&
	    (planner_table_grows(&dm->observed->targets, &resolved) ||
	     planner_pool_differs(&dm->observed->targets, &resolved)))
		return grow(planner, wanted, dm, &resolved);
	/* It is made in the next wave, so that its label is read once more. */
	if (!same && is_left_behind(planner, wanted, dm))
		return remove_first(planner, wanted);
	if (!same && wanted->role != TARGET_DM_VOLUME)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				    "%s has another table than wanted, and it is not changed while it may be in use",
				    wanted->name);
	/* To switch tables waits for all I/O below. */
	if (!same && dm->frozen)
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				    "%s waits until the imports below it that do not answer are dropped", wanted->name);
	if (!same && strcmp(resolved.items[0].type, "striped") == 0) {
		bool fits = true;

		if (planner_stripe_fits(planner, wanted, &resolved, &fits) != 0)
			return -1;
		if (!fits)
			return 0;
	}
	/* A table of errors comes only behind an export that is inaccessible. */
	if (!same && strcmp(resolved.items[0].type, "error") == 0 && is_accessible(planner, wanted->name))
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				    "%s waits until its export is inaccessible", wanted->name);
	action = planner_action(planner, same ? ACTION_DM_RESUME : ACTION_DM_RELOAD, &wanted->owner);
	if (action == NULL)
		return -1;
	action->name = wanted->name;
	action->table = resolved;
	/* What comes behind it in this lane finds it as wanted, or is not reached. */
	planner->created[wanted - planner->target->dms.items] = !dm->lets_go;
	return 0;
}

/* The labels of a leg are written when everything else of it was made, in the same lane. */
static int labels_write(struct dm_builder *this, const struct target_dm *thin, bool ready)
{
	struct planner *planner = this->planner;
	enum leg_decision decision = leg_decision(this, thin->leg);

	if (decision == LEG_NOMEM)
		return -1;
	if (decision != LEG_NEW || (!ready && !planner->created[thin - planner->target->dms.items]))
		return 0;
	if (thin->leg->thick) {
		struct action *action = planner_action(planner, ACTION_FILL, &thin->owner);

		if (action == NULL)
			return -1;
		action->name = thin->name;
	}
	for (size_t i = 0; i < thin->leg->labels.count; i++) {
		const struct target_label *wanted = &thin->leg->labels.items[i];
		struct action *action = planner_action(planner, ACTION_LABEL_WRITE, &thin->owner);

		if (action == NULL)
			return -1;
		action->name = wanted->device;
		action->uuid = wanted->uuid;
		action->label = wanted->label;
	}
	return 0;
}

/* Whether one of an older epoch goes earlier in the same lane. */
static bool lane_removes(const struct planner *planner, const struct target_dm *wanted, const struct planner_dm *dm)
{
	struct owner owner;

	return dm->observed->uuid != NULL && owner_of_dm(planner->target->cluster, dm->observed->uuid, &owner) &&
	       strcmp(owner.lane, wanted->owner.lane) == 0;
}

static int build(struct dm_builder *this, const struct target_dm *wanted)
{
	struct planner_dm *dm = planner_dm_find(this->planner, wanted->name);
	int result;

	if (dm == NULL)
		result = create(this, wanted);
	else if (dm->wanted == wanted)
		result = adjust(this, wanted, dm);
	else if (dm->removed && lane_removes(this->planner, wanted, dm))
		result = create(this, wanted);
	else if (dm->observed->uuid != NULL &&
		 names_dm_uuid_is_ours(this->planner->target->cluster, dm->observed->uuid))
		result = planner_note(this->planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				      "%s waits until %s is gone", wanted->name, dm->observed->uuid);
	else
		result = planner_note(this->planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				      "a device %s exists that is not ours", wanted->name);
	if (result == 0 && wanted->guard != NULL)
		result = planner_build_guard(this->planner, wanted);
	if (result == 0 && wanted->leg != NULL && wanted->leg->fill_from_bytes > 0 && wanted->name == wanted->leg->thin)
		result = planner_build_fill(this->planner, wanted, dm);
	if (result != 0 || wanted->leg == NULL || !wanted->leg->format || wanted->name != wanted->leg->thin)
		return result;
	result = labels_write(this, wanted, dm != NULL && dm->ready);
	/* Until its labels are written, nothing outside this lane may use it. */
	if (dm != NULL && dm->ready && this->leg == wanted->leg && this->decision == LEG_NEW) {
		dm->ready = false;
		this->planner->created[wanted - this->planner->target->dms.items] = true;
	}
	return result;
}

static int build_all(struct planner *planner, bool parked)
{
	struct dm_builder this = { .planner = planner };

	for (size_t i = 0; i < planner->target->dms.count; i++) {
		const struct target_dm *wanted = &planner->target->dms.items[i];

		/* A table that the builder could not make is named by a problem. */
		if ((wanted->role == TARGET_DM_PARKED) == parked && wanted->table.count > 0 &&
		    build(&this, wanted) != 0)
			return -1;
	}
	return 0;
}

int planner_build_parked_dms(struct planner *planner)
{
	return build_all(planner, true);
}

int planner_build_dms(struct planner *planner)
{
	return build_all(planner, false);
}
