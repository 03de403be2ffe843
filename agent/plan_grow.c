/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is in use grows.
 *
 *   imports show new namespaces, or larger ones (rescan)
 *   thin metadata, thin data ──► pool ──► thin device ──► write-through ──► consumers
 *                                             └──► new blocks are mapped (thick)
 *   the stripe of a volume, once all that it lies on is large enough
 *   hosts and consumers are told the size of the namespaces above
 *
 * A table only ever gains what lies behind its end, so that I/O to what it had goes where it went.
 */
#include "agent/group.h"
#include "agent/planner.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/label.h"

/* The next word; its length, 0 at the end. */
static size_t next_word(const char **text, const char **ret_word)
{
	size_t length;

	*text += strspn(*text, " ");
	length = strcspn(*text, " ");
	*ret_word = *text;
	*text += length;
	return length;
}

/* The fourth word of a pool's line is how much is left when it tells so, which grows with it; behind it are features,
 * which may change with the same reload. */
static bool params_are_same(const char *type, const char *a, const char *b)
{
	bool pool = strcmp(type, "thin-pool") == 0;
	const char *word_a, *word_b;
	size_t length_a, length_b;

	a = a != NULL ? a : "";
	b = b != NULL ? b : "";
	for (int i = 0; !pool || i < 3; i++) {
		length_a = next_word(&a, &word_a);
		length_b = next_word(&b, &word_b);
		if ((length_a == 0) != (length_b == 0))
			return false;
		if (length_a != length_b || strncmp(word_a, word_b, length_a) != 0)
			return false;
		if (length_a == 0)
			break;
	}
	return true;
}

static uint64_t table_sectors(const struct observed_target_list *table)
{
	return table->count == 0 ? 0 : table->items[table->count - 1].start + table->items[table->count - 1].length;
}

bool planner_pool_differs(const struct observed_target_list *observed, const struct observed_target_list *wanted)
{
	const struct observed_target *old = observed->items, *new = wanted->items;

	return observed->count == 1 && wanted->count == 1 && strcmp(old->type, "thin-pool") == 0 &&
	       strcmp(new->type, "thin-pool") == 0 && old->start == new->start &&
	       old->length == new->length &&params_are_same(old->type, old->params, new->params);
}

bool planner_table_grows(const struct observed_target_list *observed, const struct observed_target_list *wanted)
{
	if (observed->count == 0 || wanted->count < observed->count || table_sectors(wanted) <= table_sectors(observed))
		return false;
	for (size_t i = 0; i < observed->count; i++) {
		const struct observed_target *old = &observed->items[i], *new = &wanted->items[i];
		bool last = i + 1 == observed->count && wanted->count == observed->count;

		if (old->start != new->start || strcmp(old->type, new->type) != 0 ||
		    !params_are_same(old->type, old->params, new->params) ||
		    (last ? old->length > new->length : old->length != new->length))
			return false;
	}
	return true;
}

/* Sectors of a device; UINT64_MAX when it is not known. */
static uint64_t device_sectors(const struct planner *planner, uint64_t device)
{
	const struct observed *observed = planner->observed;

	for (size_t i = 0; i < observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &observed->import_namespaces.items[i];

		if (PLANNER_DEVICE(ns->major, ns->minor) == device)
			return ns->size_bytes / LIMIT_SECTOR_BYTES;
	}
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_dm *dm = &observed->dms.items[i];

		if (PLANNER_DEVICE(dm->major, dm->minor) == device)
			return table_sectors(&dm->targets);
	}
	return UINT64_MAX;
}

int planner_stripe_fits(struct planner *planner, const struct target_dm *wanted,
			const struct observed_target_list *table, bool *ret_fits)
{
	const char *params = table->items[0].params, *word;
	uint64_t columns, sectors;
	size_t length;

	*ret_fits = true;
	next_word(&params, &word);
	columns = strtoull(word, NULL, 10);
	sectors = columns > 0 ? table->items[0].length / columns : 0;
	while ((length = next_word(&params, &word)) > 0) {
		unsigned long major, minor;
		char *end;

		if (!isdigit((unsigned char)word[0]))
			continue;
		major = strtoul(word, &end, 10);
		if (*end != ':')
			continue;
		minor = strtoul(end + 1, NULL, 10);
		if (device_sectors(planner, PLANNER_DEVICE(major, minor)) >= sectors)
			continue;
		*ret_fits = false;
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, wanted->owner.lane,
				    "%s waits until %.*s below it is large enough", wanted->name, (int)length, word);
	}
	return 0;
}

/* --- imports ---------------------------------------------------------------------------------------------------------
 */

bool planner_import_is_behind(const struct planner *planner, const struct kernel_import *import)
{
	const struct observed_import_namespace_list *namespaces = &planner->observed->import_namespaces;
	bool any = false, missing = false, smaller = false;

	for (size_t i = 0; i < import->expected.count; i++) {
		const struct kernel_expected *expected = &import->expected.items[i];
		size_t j = 0;

		while (j < namespaces->count &&
		       memcmp(namespaces->items[j].uuid, expected->uuid, sizeof(expected->uuid)) != 0)
			j++;
		if (j == namespaces->count)
			missing = missing || expected->late;
		else if (expected->late && namespaces->items[j].size_bytes < expected->size_bytes)
			smaller = true;
		any = any || j < namespaces->count;
	}
	/* Those of a connection that is new appear by themselves, all at once. */
	return smaller || (any && missing);
}

/* --- blocks that are mapped ----------------------------------------------------------------------------------------
 */

/* What the label says, if it is that of the member. */
static uint64_t label_filled(const struct planner *planner, const struct target_label *wanted, bool *ret_known)
{
	const struct observed_label *found = group_label_find(planner->observed, wanted);

	*ret_known = found != NULL;
	return found != NULL && found->label != NULL && label_is_same(found->label, &wanted->label)
		       ? found->label->filled_bytes
		       : 0;
}

uint64_t planner_group_filled(const struct planner *planner, const struct target_group *group)
{
	uint64_t most = 0, filled;
	bool known;

	for (size_t i = 0; i < group->count; i++) {
		if (group->members[i].state != LD_STATE_IN_SYNC)
			continue;
		filled = label_filled(planner, &group->members[i].label, &known);
		most = filled > most ? filled : most;
	}
	return most;
}

static int marks_read(struct planner *planner, const struct target_leg *leg, const struct owner *owner)
{
	for (size_t i = 0; i < leg->marks.count; i++) {
		struct action *action;

		if (group_label_find(planner->observed, &leg->marks.items[i]) != NULL)
			continue;
		action = planner_action(planner, ACTION_LABEL_READ, owner);
		if (action == NULL)
			return -1;
		action->name = leg->marks.items[i].device;
		action->uuid = leg->marks.items[i].uuid;
	}
	return 0;
}

/* Hosts reach nothing of these blocks before the holder said that it is done with this, and the leader took that in; so
 * what is mapped may be mapped again, but never once that was said. The labels remember it for the next process. It
 * takes long, so it has a lane of its own: what the leg needs meanwhile does not wait for it. */
int planner_build_fill(struct planner *planner, const struct target_dm *thin, const struct planner_dm *dm)
{
	const struct target_leg *leg = thin->leg;
	struct owner owner = leg->owner;
	struct action *action;
	bool unknown = false, known;

	if (dm == NULL || !dm->ready)
		return 0; /* it is made, or made larger, first */
	for (size_t i = 0; i < leg->marks.count; i++) {
		if (label_filled(planner, &leg->marks.items[i], &known) >= leg->fill_to_bytes)
			return 0;
		unknown = unknown || !known;
	}
	/* In one lane with the reading: a plan that only reads does not end the filling that is under way. */
	snprintf(owner.lane, sizeof(owner.lane), "%.40s.fill", leg->owner.lane);
	if (unknown)
		return marks_read(planner, leg, &owner) != 0 ||
				       planner_note(planner, PLAN_NOTE_WAITS, &leg->owner, leg->owner.lane,
						    "%s waits for the labels that say whether its blocks are mapped",
						    thin->name) != 0
			       ? -1
			       : 0;
	action = planner_action(planner, ACTION_FILL, &owner);
	if (action == NULL)
		return -1;
	action->name = thin->name;
	action->start = leg->fill_from_bytes;
	for (size_t i = 0; i < leg->marks.count; i++) {
		action = planner_action(planner, ACTION_LABEL_MARK, &owner);
		if (action == NULL)
			return -1;
		action->name = leg->marks.items[i].device;
		action->uuid = leg->marks.items[i].uuid;
		action->label = leg->marks.items[i].label;
	}
	return 0;
}
