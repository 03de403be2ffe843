/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What device-mapper devices are there. One call tells name, number and count of events of all of them; a device is
 * asked for its table only when it is new, had an event, or was touched by this agent.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <libdevmapper.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/model/names.h"

/* How a device in the list was seen. */
struct dm_sight {
	uint64_t stamp, ticket;
	bool known; /* from an earlier look */
};

/* A device by number. */
struct dm_number {
	uint64_t device;
	size_t index; /* among those observed */
};

struct dm_number_list {
	size_t count;
	struct dm_number *items;
};

static bool is_ours(const char *name)
{
	return strncmp(name, NAMES_DM_PREFIX, strlen(NAMES_DM_PREFIX)) == 0;
}

/* The number of events lies behind the name, aligned (DM_LIST_DEVICES since version 4.37 of the interface, which is
 * Linux 4.13). */
static uint32_t event_of(const struct dm_names *names)
{
	size_t length = strlen(names->name) + 1;
	uint32_t event;

	memcpy(&event, (const char *)names + ((offsetof(struct dm_names, name) + length + 7) & ~(size_t)7),
	       sizeof(event));
	return event;
}

static int targets_observe(struct dm_task *task, struct arena *arena, struct observed_dm *dm)
{
	char *type, *params;
	uint64_t start, length;
	void *next = NULL;

	do {
		struct observed_target *line;

		next = dm_get_next_target(task, next, &start, &length, &type, &params);
		if (type == NULL)
			continue;
		line = LIST_PUSH(arena, &dm->targets);
		if (line == NULL)
			return -1;
		line->start = start;
		line->length = length;
		line->type = arena_strdup(arena, type);
		line->params = arena_strdup(arena, params != NULL ? params : "");
		if (line->type == NULL || line->params == NULL)
			return -1;
	} while (next != NULL);
	return 0;
}

/* What a target says of itself, where that matters. It changes by itself, and is read in each look. */
static int status_observe(struct arena *arena, struct observed_dm *dm, struct error *error)
{
	const char *type = dm->targets.count == 1 ? dm->targets.items[0].type : "";
	char *found_type, *params;
	uint64_t start, length;
	struct dm_task *task;
	int code = 0;

	/* Never that of a pool: it waits for a commit that is under way, for ever when a path below is lost, and with
	 * it the observation that would find out. */
	if (strcmp(type, "raid") != 0)
		return 0;
	task = dm_task_on(DM_DEVICE_STATUS, (uint32_t)dm->major, (uint32_t)dm->minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_no_flush(task)) {
		code = error_set_nomem(error);
	} else if (dm_task_run(task)) { /* otherwise it is gone meanwhile */
		dm_get_next_target(task, NULL, &start, &length, &found_type, &params);
		dm->status = arena_strdup(arena, params != NULL ? params : "");
		if (dm->status == NULL)
			code = error_set_nomem(error);
	}
	dm_task_destroy(task);
	return code;
}

/* NOT_FOUND when it is gone meanwhile. */
static int table_observe(struct arena *arena, const char *name, struct observed_dm *dm, struct error *error)
{
	struct dm_task *task = dm_task_create(DM_DEVICE_TABLE);
	struct dm_info info;
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_name(task, name) || !dm_task_no_flush(task)) {
		code = error_set_nomem(error);
	} else if (!dm_task_run(task)) {
		code = dm_task_get_errno(task) == ENXIO
			       ? error_set(error, ERROR_NOT_FOUND, "there is no device %s", name)
			       : dm_task_failed(task, "read the table of", name, error);
	} else if (!dm_task_get_info(task, &info) || !info.exists) {
		code = error_set(error, ERROR_NOT_FOUND, "there is no device %s", name);
	} else {
		dm->name = arena_strdup(arena, name);
		dm->uuid = arena_strdup(arena, dm_task_get_uuid(task));
		dm->major = info.major;
		dm->minor = info.minor;
		dm->suspended = info.suspended;
		dm->open_count = info.open_count > 0 ? (uint64_t)info.open_count : 0;
		dm->event = info.event_nr;
		if (dm->name == NULL || dm->uuid == NULL || targets_observe(task, arena, dm) != 0)
			code = error_set_nomem(error);
	}
	dm_task_destroy(task);
	return code;
}

static int device_observe(struct known *devices, const struct dm_names *listed, struct arena *arena,
			  struct observed *observed, struct dm_sight_list *sights, struct error *error)
{
	struct dm_sight sight = { .stamp = listed->dev << 32 ^ event_of(listed) }, *sight_added;
	struct observed_dm dm = { 0 }, *added;
	int code = 0;

	sight.known = known_get(devices, listed->name, sight.stamp, arena, &dm, &sight.ticket);
	if (!sight.known) {
		code = table_observe(arena, listed->name, &dm, error);
		if (code == ERROR_NOT_FOUND) {
			error_clear(error);
			return 0;
		}
		if (code == 0)
			known_keep(devices, listed->name, sight.stamp, sight.ticket, &dm);
	}
	if (code == 0)
		code = status_observe(arena, &dm, error);
	if (code != 0)
		return code;
	added = LIST_PUSH(arena, &observed->dms);
	sight_added = LIST_PUSH(arena, sights);
	if (added == NULL || sight_added == NULL)
		return error_set_nomem(error);
	*added = dm;
	*sight_added = sight;
	return 0;
}

int dm_observe(struct known *devices, struct arena *arena, struct observed *observed, struct dm_sight_list *ret_sights,
	       struct error *error)
{
	struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
	struct dm_sight_list sights = { 0 };
	const struct dm_names *names;
	unsigned next = 0;
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	known_look_begin(devices, clock_boot_ms());
	if (!dm_task_run(task) || (names = dm_task_get_names(task)) == NULL) {
		code = dm_task_failed(task, "list", "devices", error);
		goto cleanup;
	}
	while (names->dev != 0 && code == 0) {
		if (is_ours(names->name))
			code = device_observe(devices, names, arena, observed, &sights, error);
		next = names->next;
		if (next == 0)
			break;
		names = (const struct dm_names *)((const char *)names + next);
	}
	if (code == 0) {
		known_look_end(devices);
		*ret_sights = sights;
	}
cleanup:
	dm_task_destroy(task);
	return code;
}

/* --- how often devices are open --- */

static int compare_numbers(const void *a, const void *b)
{
	const struct dm_number *x = a, *y = b;

	return x->device < y->device ? -1 : x->device > y->device;
}

/* Count a table among the openers of each device in it, but only once. */
static void holder_count(const struct observed_dm *holder, const struct dm_number_list *numbers, size_t *openers,
			 size_t *last_holder, size_t index)
{
	for (size_t i = 0; i < holder->targets.count; i++) {
		const char *at = holder->targets.items[i].params != NULL ? holder->targets.items[i].params : "";

		for (at += strspn(at, " "); *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
			struct dm_number wanted, *found;
			unsigned long major, minor;
			char *end;

			if (*at < '0' || *at > '9')
				continue;
			major = strtoul(at, &end, 10);
			if (*end != ':')
				continue;
			minor = strtoul(end + 1, &end, 10);
			if (*end != ' ' && *end != '\0')
				continue;
			wanted.device = (uint64_t)major << 32 | minor;
			found = bsearch(&wanted, numbers->items, numbers->count, sizeof(wanted), compare_numbers);
			if (found == NULL || last_holder[found->index] == index + 1)
				continue;
			last_holder[found->index] = index + 1;
			openers[found->index]++;
		}
	}
}

static void exports_count(const struct observed *observed, size_t *openers)
{
	for (size_t i = 0; i < observed->subsystems.count; i++) {
		const struct observed_namespace_list *namespaces = &observed->subsystems.items[i].namespaces;

		for (size_t j = 0; j < namespaces->count; j++) {
			const char *path = namespaces->items[j].path;
			size_t length = strlen(LINUX_MAPPER_DIRECTORY);

			if (path == NULL || !namespaces->items[j].enabled ||
			    strncmp(path, LINUX_MAPPER_DIRECTORY, length) != 0)
				continue;
			for (size_t k = 0; k < observed->dms.count; k++) {
				if (strcmp(observed->dms.items[k].name, path + length) == 0)
					openers[k]++;
			}
		}
	}
}

static int opens_read(struct observed_dm *dm, struct error *error)
{
	struct dm_task *task = dm_task_on(DM_DEVICE_INFO, (uint32_t)dm->major, (uint32_t)dm->minor);
	struct dm_info info;

	if (task == NULL)
		return error_set_nomem(error);
	/* Otherwise it is gone meanwhile. */
	if (dm_task_run(task) && dm_task_get_info(task, &info) && info.exists) {
		dm->suspended = info.suspended;
		dm->open_count = info.open_count > 0 ? (uint64_t)info.open_count : 0;
	}
	dm_task_destroy(task);
	return 0;
}

int dm_opens_observe(struct known *devices, const struct dm_sight_list *sights, struct arena *arena,
		     struct observed *observed, struct error *error)
{
	size_t count = observed->dms.count, *openers = arena_alloc_array(arena, count, sizeof(*openers)),
	       *last_holder = arena_alloc_array(arena, count, sizeof(*last_holder));
	struct dm_number_list numbers = { count, arena_alloc_array(arena, count, sizeof(*numbers.items)) };
	int code = 0;

	if (openers == NULL || last_holder == NULL || numbers.items == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < count; i++) {
		numbers.items[i].device = observed->dms.items[i].major << 32 | observed->dms.items[i].minor;
		numbers.items[i].index = i;
	}
	if (count > 0)
		qsort(numbers.items, count, sizeof(numbers.items[0]), compare_numbers);
	for (size_t i = 0; i < count; i++)
		holder_count(&observed->dms.items[i], &numbers, openers, last_holder, i);
	exports_count(observed, openers);
	for (size_t i = 0; i < count && code == 0; i++) {
		struct observed_dm *dm = &observed->dms.items[i], kept;

		if (!sights->items[i].known || dm->open_count == openers[i])
			continue;
		code = opens_read(dm, error);
		kept = *dm;
		kept.status = NULL;
		known_keep(devices, dm->name, sights->items[i].stamp, sights->items[i].ticket, &kept);
	}
	return code;
}

/* --- events --- */

uint64_t dm_digest(uint64_t seed)
{
	struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
	const struct dm_names *names;
	unsigned next = 0;

	if (task == NULL)
		return seed;
	if (!dm_task_run(task) || (names = dm_task_get_names(task)) == NULL || names->dev == 0) {
		dm_task_destroy(task);
		return seed;
	}
	do {
		names = (const struct dm_names *)((const char *)names + next);
		next = names->next;
		/* One that never had an event is no news: who made it looks at it. */
		if (is_ours(names->name) && event_of(names) != 0)
			seed = XXH64(names->name, strlen(names->name) + 1, seed ^ event_of(names));
	} while (next != 0);
	dm_task_destroy(task);
	return seed;
}
