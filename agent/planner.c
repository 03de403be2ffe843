/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/planner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "agent/word.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

#define MAPPER_DIRECTORY "/dev/mapper/"

struct action *planner_action(struct planner *planner, enum action_kind kind, const struct owner *owner)
{
	struct action *action = LIST_PUSH(planner->arena, &planner->plan->actions);

	if (action == NULL)
		return NULL;
	action->kind = kind;
	action->owner = *owner;
	return action;
}

int planner_note(struct planner *planner, enum plan_note_kind kind, const struct owner *owner, const char *lane,
		 const char *format, ...)
{
	struct plan_note *note = LIST_PUSH(planner->arena, &planner->plan->notes);
	char text[ERROR_MESSAGE_SIZE];
	va_list arguments;

	if (note == NULL)
		return -1;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	note->kind = kind;
	note->owner = *owner;
	snprintf(note->lane, sizeof(note->lane), "%s", lane != NULL ? lane : "");
	note->text = arena_strdup(planner->arena, text);
	return note->text != NULL ? 0 : -1;
}

static int compare_edges(const void *a, const void *b)
{
	uint64_t x = ((const struct planner_edge *)a)->device, y = ((const struct planner_edge *)b)->device;

	return x < y ? -1 : x > y;
}

struct planner_dm *planner_dm_find(struct planner *planner, const char *name)
{
	size_t place = name_index_find(&planner->dms_by_name, name);

	return place != NAME_INDEX_NONE ? &planner->dms[place] : NULL;
}

const struct target_dm *planner_wanted_find(const struct planner *planner, const char *name)
{
	size_t place = name_index_find(&planner->target->dms_by_name, name);

	return place != NAME_INDEX_NONE ? &planner->target->dms.items[place] : NULL;
}

const struct observed_subsystem *planner_subsystem_find(const struct planner *planner, const char *nqn)
{
	size_t place = name_index_find(&planner->subsystems_by_nqn, nqn);

	return place != NAME_INDEX_NONE ? &planner->observed->subsystems.items[place] : NULL;
}

const struct observed_import *planner_import_find(const struct planner *planner, const struct kernel_import *import)
{
	for (size_t i = 0; i < planner->observed->imports.count; i++) {
		const struct observed_import *there = &planner->observed->imports.items[i];
		uint64_t port;

		if (strcmp(there->nqn, import->nqn) == 0 && strcmp(there->address, import->address) == 0 &&
		    word_number(there->trsvcid, strlen(there->trsvcid), &port) && port == import->port &&
		    there->host_nqn != NULL && strcmp(there->host_nqn, import->host_nqn) == 0)
			return there;
	}
	return NULL;
}

const struct target_subsystem *planner_wanted_subsystem_find(const struct planner *planner, const char *nqn)
{
	size_t place = name_index_find(&planner->target->subsystems_by_nqn, nqn);

	return place != NAME_INDEX_NONE ? &planner->target->subsystems.items[place] : NULL;
}

bool planner_namespace_is_wanted(struct planner *planner, const struct target_subsystem *wanted,
				 const struct observed_namespace *ns)
{
	const struct planner_dm *dm = planner_dm_find(planner, planner_path_device(ns->path));

	if (dm != NULL && dm->wanted == NULL)
		return false;
	for (size_t i = 0; i < wanted->namespaces.count; i++) {
		const struct kernel_namespace *same = &wanted->namespaces.items[i];

		if (same->nsid == ns->nsid)
			return strcmp(planner_path_device(ns->path), same->device) == 0 &&
			       memcmp(ns->uuid, same->uuid, sizeof(ns->uuid)) == 0 &&
			       memcmp(ns->nguid, same->uuid, sizeof(ns->nguid)) == 0 && ns->enabled;
	}
	return false;
}

bool planner_is_linked(const struct observed_port *port, const char *nqn)
{
	for (size_t i = 0; port != NULL && i < port->subsystems.count; i++) {
		if (strcmp(port->subsystems.items[i], nqn) == 0)
			return true;
	}
	return false;
}

const char *planner_path_device(const char *path)
{
	size_t length = strlen(MAPPER_DIRECTORY);

	return path != NULL && strncmp(path, MAPPER_DIRECTORY, length) == 0 ? path + length : "";
}

bool planner_owner_has_problem(const struct planner *planner, const struct owner *owner)
{
	for (size_t i = 0; i < planner->target->problems.count; i++) {
		const struct owner *other = &planner->target->problems.items[i].owner;

		if (owner_is(owner, other->kind, other->id) || owner_is_within(owner, other->kind, other->id))
			return true;
	}
	return false;
}

/* What lies on something that waits, waits too: one note for a lane says enough. */
static bool lane_waits_already(const struct planner *planner, const struct owner *owner)
{
	const struct plan_note_list *notes = &planner->plan->notes;

	return notes->count > 0 && strcmp(notes->items[notes->count - 1].owner.lane, owner->lane) == 0;
}

/* One reference of a table. `ret_text` has room for a device-mapper name. */
static enum planner_state reference_resolve(struct planner *planner, const struct owner *owner, const char *what,
					    const char *reference, char *ret_text, size_t size)
{
	const struct observed *observed = planner->observed;
	const char *name = reference + 1;
	const struct target_dm *wanted;
	struct planner_dm *dm;
	uint8_t uuid[16];
	int result;

	if (reference[0] == '=') {
		for (size_t i = 0; i < observed->disks.count; i++) {
			const struct observed_disk *disk = &observed->disks.items[i];

			if (strcmp(disk->path, name) != 0)
				continue;
			word_device_format(disk->major, disk->minor, ret_text);
			return PLANNER_READY;
		}
		result = planner_note(planner, PLAN_NOTE_FAILS, owner, NULL, "%s needs %s, which is not there", what,
				      name);
		return result == 0 ? PLANNER_WAITS : PLANNER_NOMEM;
	}
	if (reference[0] == '%') {
		if (uuid_text_parse(name, uuid) != 0)
			memset(uuid, 0, sizeof(uuid));
		for (size_t i = 0; i < observed->import_namespaces.count; i++) {
			const struct observed_import_namespace *ns = &observed->import_namespaces.items[i];

			if (memcmp(ns->uuid, uuid, sizeof(uuid)) != 0)
				continue;
			word_device_format(ns->major, ns->minor, ret_text);
			return PLANNER_READY;
		}
		if (lane_waits_already(planner, owner))
			return PLANNER_WAITS;
		result = planner_note(planner, PLAN_NOTE_WAITS, owner, NULL, "%s waits for the import of namespace %s",
				      what, name);
		return result == 0 ? PLANNER_WAITS : PLANNER_NOMEM;
	}
	dm = planner_dm_find(planner, name);
	wanted = planner_wanted_find(planner, name);
	if (dm != NULL && dm->ready) {
		word_device_format(dm->observed->major, dm->observed->minor, ret_text);
		return PLANNER_READY;
	}
	if (dm != NULL && dm->grows && wanted != NULL && strcmp(wanted->owner.lane, owner->lane) == 0) {
		word_device_format(dm->observed->major, dm->observed->minor, ret_text);
		return PLANNER_PLANNED;
	}
	if (wanted != NULL && planner->created[wanted - planner->target->dms.items] &&
	    strcmp(wanted->owner.lane, owner->lane) == 0) {
		snprintf(ret_text, size, "%s", reference);
		return PLANNER_PLANNED;
	}
	if (lane_waits_already(planner, owner))
		return PLANNER_WAITS;
	result = planner_note(planner, PLAN_NOTE_WAITS, owner, wanted != NULL ? wanted->owner.lane : NULL,
			      "%s waits for %s", what, name);
	return result == 0 ? PLANNER_WAITS : PLANNER_NOMEM;
}

enum planner_state planner_table_resolve(struct planner *planner, const struct owner *owner, const char *what,
					 const struct observed_target_list *wanted,
					 struct observed_target_list *ret_table)
{
	enum planner_state result = PLANNER_READY;
	struct observed_target_list table = { 0 };

	for (size_t i = 0; i < wanted->count; i++) {
		struct observed_target *line = LIST_PUSH(planner->arena, &table);
		const char *rest = wanted->items[i].params, *word;
		char params[LIMIT_DM_PARAMS + 1];
		size_t used = 0, length;

		if (line == NULL)
			return PLANNER_NOMEM;
		while ((length = word_next(&rest, &word)) > 0) {
			char reference[LIMIT_PATH + 2], text[LIMIT_PATH + 2];
			enum planner_state state;

			if (length >= sizeof(reference))
				return PLANNER_NOMEM;
			if (word[0] == '@' || word[0] == '%' || word[0] == '=') {
				memcpy(reference, word, length);
				reference[length] = '\0';
				state = reference_resolve(planner, owner, what, reference, text, sizeof(text));
				if (state == PLANNER_WAITS || state == PLANNER_NOMEM)
					return state;
				if (state == PLANNER_PLANNED)
					result = PLANNER_PLANNED;
				word = text;
				length = strlen(text);
			}
			/* Resolved text is never longer than the bound of the schema: LIMIT_LEGS names at most. */
			if (used + (used > 0) + length >= sizeof(params))
				return PLANNER_NOMEM;
			if (used > 0)
				params[used++] = ' ';
			memcpy(params + used, word, length);
			used += length;
		}
		params[used] = '\0';
		*line = wanted->items[i];
		line->params = arena_strdup(planner->arena, params);
		if (line->params == NULL)
			return PLANNER_NOMEM;
	}
	*ret_table = table;
	return result;
}

static bool params_are_same(const char *a, const char *b)
{
	const char *word_a, *word_b;
	size_t length;

	do {
		length = word_next(&a, &word_a);
		if (word_next(&b, &word_b) != length || memcmp(word_a, word_b, length) != 0)
			return false;
	} while (length > 0);
	return true;
}

bool planner_table_is_same(const struct observed_target_list *a, const struct observed_target_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct observed_target *x = &a->items[i], *y = &b->items[i];

		if (x->start != y->start || x->length != y->length || strcmp(x->type, y->type) != 0 ||
		    !params_are_same(x->params != NULL ? x->params : "", y->params != NULL ? y->params : ""))
			return false;
	}
	return true;
}

/* Every word of a table that reads "number:number" is a device. */
static int edges_add(struct planner *planner, size_t holder, const char *params, struct any_list *edges)
{
	const char *word;
	size_t length;

	while ((length = word_next(&params, &word)) > 0) {
		struct planner_edge *edge;
		uint64_t major, minor;

		if (!word_device(word, length, &major, &minor))
			continue;
		edge = list_push(planner->arena, edges, sizeof(*edge));
		if (edge == NULL)
			return -1;
		edge->device = PLANNER_DEVICE(major, minor);
		edge->holder = holder;
	}
	return 0;
}

static int indexes_make(struct planner *planner)
{
	const struct observed_dm_list *dms = &planner->observed->dms;
	const struct observed_subsystem_list *subsystems = &planner->observed->subsystems;

	if (name_index_make(planner->arena, dms->count, &planner->dms_by_name) != 0 ||
	    name_index_make(planner->arena, subsystems->count, &planner->subsystems_by_nqn) != 0)
		return -1;
	for (size_t i = 0; i < dms->count; i++)
		name_index_add(&planner->dms_by_name, dms->items[i].name, i);
	for (size_t i = 0; i < subsystems->count; i++)
		name_index_add(&planner->subsystems_by_nqn, subsystems->items[i].nqn, i);
	return 0;
}

static int prepare(struct planner *planner)
{
	const struct observed_dm_list *dms = &planner->observed->dms;
	const struct target_dm_list *wanted = &planner->target->dms;
	struct any_list edges = { 0 };

	planner->dms = arena_alloc_array(planner->arena, dms->count, sizeof(*planner->dms));
	planner->created = arena_alloc_array(planner->arena, wanted->count, sizeof(*planner->created));
	planner->held = arena_alloc_array(planner->arena, wanted->count, sizeof(*planner->held));
	planner->unlinked =
		arena_alloc_array(planner->arena, planner->observed->subsystems.count, sizeof(*planner->unlinked));
	if (planner->dms == NULL || planner->unlinked == NULL || planner->created == NULL || planner->held == NULL ||
	    indexes_make(planner) != 0)
		return -1;
	for (size_t i = 0; i < dms->count; i++) {
		const struct observed_dm *dm = &dms->items[i];
		const struct target_dm *same = planner_wanted_find(planner, dm->name);

		planner->dms[i].observed = dm;
		if (same != NULL && dm->uuid != NULL && strcmp(same->uuid, dm->uuid) == 0)
			planner->dms[i].wanted = same;
		for (size_t j = 0; j < dm->targets.count; j++) {
			const char *params = dm->targets.items[j].params;

			if (params != NULL && edges_add(planner, i, params, &edges) != 0)
				return -1;
		}
	}
	planner->edges = edges.items;
	planner->edge_count = edges.count;
	if (edges.count > 0)
		qsort(edges.items, edges.count, sizeof(struct planner_edge), compare_edges);
	planner_freeze(planner);
	return 0;
}

int plan_make(const struct observed *observed, const struct target *target, struct arena *arena, struct plan *ret_plan,
	      struct error *error)
{
	struct plan plan = { 0 };
	struct planner planner = { .observed = observed, .target = target, .arena = arena, .plan = &plan };

	if (prepare(&planner) != 0)
		return error_set_nomem(error);
	for (size_t i = 0; i < target->problems.count; i++) {
		const struct target_problem *problem = &target->problems.items[i];

		if (planner_note(&planner, PLAN_NOTE_FAILS, &problem->owner, NULL, "%s", problem->text) != 0)
			return error_set_nomem(error);
	}
	if (planner_teardown_suspensions(&planner) != 0 || planner_teardown_exports(&planner) != 0 ||
	    planner_build_parked_dms(&planner) != 0 || planner_build_parked_exports(&planner) != 0 ||
	    planner_teardown_dms(&planner) != 0 || planner_teardown_imports(&planner) != 0 ||
	    planner_teardown_ports(&planner) != 0 || planner_build_caches(&planner) != 0 ||
	    planner_build_imports(&planner) != 0 || planner_build_dms(&planner) != 0 ||
	    planner_build_exports(&planner) != 0 || planner_build_snapshots(&planner) != 0 ||
	    planner_find_exposed(&planner) != 0)
		return error_set_nomem(error);
	*ret_plan = plan;
	return 0;
}

int plan_print(const struct plan *plan, struct buffer *output)
{
	for (size_t i = 0; i < plan->actions.count; i++) {
		if (action_print(&plan->actions.items[i], output) != 0 || buffer_printf(output, "\n") != 0)
			return -1;
	}
	for (size_t i = 0; i < plan->notes.count; i++) {
		const struct plan_note *note = &plan->notes.items[i];

		if (buffer_printf(output, "%-7s %s  %s\n", note->kind == PLAN_NOTE_FAILS ? "fails" : "waits",
				  note->owner.id[0] != '\0' ? note->owner.id : "node", note->text) != 0)
			return -1;
	}
	return 0;
}
