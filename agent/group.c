/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/label.h"
#include "agent/planner.h"
#include "agent/word.h"
#include "lib/model/names.h"

#define WORD_SIZE 48

/* The next word, "" at the end. */
static const char *next_word(const char **text, char word[WORD_SIZE])
{
	const char *begin;
	size_t length = word_next(text, &begin);

	if (length >= WORD_SIZE)
		length = WORD_SIZE - 1;
	memcpy(word, begin, length);
	word[length] = '\0';
	return word;
}

static bool parse_number(const char *word, uint64_t *ret_number)
{
	return word_number(word, strlen(word), ret_number);
}

static bool parse_device(const char *word, uint64_t *ret_device)
{
	uint64_t major, minor;

	*ret_device = 0;
	if (strcmp(word, "-") == 0)
		return true;
	if (!word_device(word, strlen(word), &major, &minor))
		return false;
	*ret_device = PLANNER_DEVICE(major, minor);
	return true;
}

bool group_table_parse(const struct observed_target_list *list, struct group_table *ret_table)
{
	struct group_table table = { 0 };
	char word[WORD_SIZE], value[WORD_SIZE];
	const char *text;
	uint64_t number, parameters;

	if (list->count != 1 || strcmp(list->items[0].type, "raid") != 0 || list->items[0].params == NULL)
		return false;
	text = list->items[0].params;
	if (strcmp(next_word(&text, word), "raid1") != 0 || !parse_number(next_word(&text, word), &parameters) ||
	    parameters == 0)
		return false;
	next_word(&text, word); /* the size of a chunk, which raid1 has not */
	for (parameters--; parameters > 0; parameters--) {
		next_word(&text, word);
		if (strcmp(word, "sync") == 0 || strcmp(word, "nosync") == 0)
			continue;
		/* All others have a value. */
		if (parameters < 2 || !parse_number(next_word(&text, value), &number))
			return false;
		parameters--;
		if (strcmp(word, "region_size") == 0)
			table.region_sectors = number;
		else if (strcmp(word, "rebuild") == 0 && number < LIMIT_MEMBERS)
			table.rebuild[number] = true;
	}
	if (!parse_number(next_word(&text, word), &number) || number == 0 || number > LIMIT_MEMBERS)
		return false;
	table.count = number;
	for (size_t i = 0; i < table.count; i++) {
		if (!parse_device(next_word(&text, word), &table.metadata[i]) ||
		    !parse_device(next_word(&text, word), &table.data[i]))
			return false;
		table.at[i] = i;
	}
	table.running = table.count;
	table.exact = true;
	*ret_table = table;
	return true;
}

void group_status_parse(const char *text, struct group_status *ret_status)
{
	struct group_status status = { 0 };
	char word[WORD_SIZE], *slash;
	uint64_t count;

	*ret_status = (struct group_status){ 0 };
	/* raid1 COUNT HEALTH DONE/TOTAL ACTION … */
	if (text == NULL || strcmp(next_word(&text, word), "raid1") != 0 ||
	    !parse_number(next_word(&text, word), &count) || count == 0 || count > LIMIT_MEMBERS ||
	    strlen(next_word(&text, word)) != count)
		return;
	memcpy(status.health, word, count + 1);
	slash = strchr(next_word(&text, word), '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	if (!parse_number(word, &status.done_sectors) || !parse_number(slash + 1, &status.total_sectors) ||
	    next_word(&text, word)[0] == '\0')
		return;
	status.count = count;
	status.rebuilding = strcmp(word, "recover") == 0;
	/* Between two actions the kernel says "idle" too, but shows a lower-case letter. */
	status.idle = strcmp(word, "idle") == 0 && strchr(status.health, 'a') == NULL;
	*ret_status = status;
}

static const struct observed_dm *dm_find(const struct observed *observed, uint64_t device)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (PLANNER_DEVICE(observed->dms.items[i].major, observed->dms.items[i].minor) == device)
			return &observed->dms.items[i];
	}
	return NULL;
}

/* Whether a place of the table is that of this LD, in whatever epoch. */
static bool is_of(const struct observed *observed, uint64_t device, uint64_t ld)
{
	const struct observed_dm *dm = device != 0 ? dm_find(observed, device) : NULL;
	char name[sizeof(NAMES_DM_PREFIX) + 48];

	snprintf(name, sizeof(name), NAMES_DM_PREFIX "raiddata-ld%" PRIu64, ld);
	return dm != NULL && strcmp(dm->name, name) == 0;
}

/* Fill table->at, for the order of the group; whether each is where it is wanted. */
static bool places_find(const struct observed *observed, const struct target_group *group, struct group_table *table,
			bool taken[LIMIT_MEMBERS])
{
	bool exact = table->count == group->count;

	for (size_t i = 0; i < group->count; i++) {
		table->at[i] = SIZE_MAX;
		for (size_t p = 0; p < table->count; p++) {
			if (!is_of(observed, table->data[p], group->members[i].ld))
				continue;
			table->at[i] = p;
			taken[p] = true;
			exact = exact && p == i;
		}
	}
	return exact;
}

/* One that shall leave stands in the way at a place that is free: there, or anywhere. */
static bool strangers_place(struct group_table *table, size_t count, bool taken[LIMIT_MEMBERS])
{
	for (size_t p = 0; p < table->count; p++) {
		size_t place = p < count && table->at[p] == SIZE_MAX ? p : 0;

		if (taken[p] || table->data[p] == 0)
			continue;
		while (place < count && table->at[place] != SIZE_MAX)
			place++;
		if (place == count)
			return false;
		table->at[place] = p;
	}
	return true;
}

bool group_align(const struct observed *observed, const struct target_group *group, struct group_table *table,
		 struct group_status *status)
{
	struct group_table aligned = *table;
	struct group_status letters = *status;
	bool taken[LIMIT_MEMBERS] = { false };

	if (places_find(observed, group, &aligned, taken))
		return true; /* table->at says so */
	if (!strangers_place(&aligned, group->count, taken))
		return false;
	aligned.count = group->count;
	aligned.exact = false;
	for (size_t i = 0; i < group->count; i++) {
		size_t p = aligned.at[i];
		bool there = p != SIZE_MAX;

		aligned.metadata[i] = there ? table->metadata[p] : 0;
		aligned.data[i] = there ? table->data[p] : 0;
		aligned.rebuild[i] = there && table->rebuild[p];
		letters.health[i] = there && p < status->count ? status->health[p] : '-';
	}
	if (status->count > 0) {
		letters.count = group->count;
		letters.health[group->count] = '\0';
		*status = letters;
	}
	*table = aligned;
	return true;
}

static bool is_accessible(const struct observed_import *import)
{
	return strcmp(import->state, "live") == 0 &&
	       (import->ana == NULL || import->ana[0] == '\0' || strcmp(import->ana, "optimized") == 0 ||
		strcmp(import->ana, "non-optimized") == 0);
}

static bool leads_to(const struct observed_import *import, const char *address, uint64_t port)
{
	return address == NULL ||
	       (strcmp(import->address, address) == 0 && strtoull(import->trsvcid, NULL, 10) == port);
}

enum group_path group_path_at(const struct observed *observed, const char *nqn, const char *address, uint64_t port)
{
	enum group_path path = GROUP_PATH_GONE;

	for (size_t i = 0; i < observed->imports.count && path != GROUP_PATH_LIVE; i++) {
		const struct observed_import *import = &observed->imports.items[i];

		if (strcmp(import->nqn, nqn) == 0)
			path = is_accessible(import) && leads_to(import, address, port) ? GROUP_PATH_LIVE
											: GROUP_PATH_FROZEN;
	}
	return path;
}

const char *group_subsystem_find(const struct observed *observed, uint64_t device)
{
	const struct observed_dm *dm = dm_find(observed, device);
	char word[WORD_SIZE];

	/* A slice is one linear over the namespace. */
	if (dm != NULL && dm->targets.count == 1 && strcmp(dm->targets.items[0].type, "linear") == 0 &&
	    dm->targets.items[0].params != NULL) {
		const char *text = dm->targets.items[0].params;

		if (!parse_device(next_word(&text, word), &device))
			return NULL;
	}
	for (size_t i = 0; i < observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &observed->import_namespaces.items[i];

		if (PLANNER_DEVICE(ns->major, ns->minor) == device)
			return ns->nqn;
	}
	return NULL;
}

enum group_path group_path_find(const struct observed *observed, uint64_t device)
{
	const char *nqn = group_subsystem_find(observed, device);

	return nqn != NULL ? group_path_at(observed, nqn, NULL, 0) : GROUP_PATH_GONE;
}

static bool is_device(const struct observed *observed, const char *name, uint64_t device)
{
	const struct observed_dm *dm = name != NULL ? dm_find(observed, device) : NULL;

	return dm != NULL && strcmp(dm->name, name) == 0;
}

enum group_place group_place_find(const struct observed *observed, const struct group_table *table, size_t index,
				  const struct target_member *member)
{
	const struct observed_label *label;

	if (table->data[index] == 0)
		return GROUP_PLACE_EMPTY;
	if (!is_device(observed, member->raid_data, table->data[index]) ||
	    !is_device(observed, member->raid_metadata, table->metadata[index]))
		return GROUP_PLACE_OTHER;
	if (member->state == LD_STATE_IN_SYNC)
		return GROUP_PLACE_IN_SYNC;
	/* One that comes back by bitmap is there without `rebuild`: what tells it from one that never left is its label
	 * alone, which is written when its place is empty. */
	if (member->state != LD_STATE_REBUILDING || table->rebuild[index] == member->resync)
		return GROUP_PLACE_OTHER;
	label = group_label_find(observed, &member->label);
	/* A label that is not read yet is read before anything is decided. */
	return label == NULL || (label->label != NULL && label_is_same(label->label, &member->label.label) &&
				 label->label->epoch == member->label.label.epoch &&
				 label->label->rebuild_ms == member->label.label.rebuild_ms)
		       ? GROUP_PLACE_REBUILDING
		       : GROUP_PLACE_OTHER;
}

const struct observed_label *group_label_find(const struct observed *observed, const struct target_label *wanted)
{
	for (size_t i = 0; i < observed->labels.count; i++) {
		const struct observed_label *label = &observed->labels.items[i];

		if (strcmp(label->device, wanted->device) == 0 && strcmp(label->uuid, wanted->uuid) == 0)
			return label;
	}
	return NULL;
}

bool group_label_is_complete(const struct observed_label *label, const struct target_member *member)
{
	const struct ld_label *found = label != NULL ? label->label : NULL;

	return found != NULL && found->formatted && label_is_same(found, &member->label.label) &&
	       found->epoch == member->label.label.epoch && found->rebuild_ms == member->label.label.rebuild_ms;
}
