/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/reported.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/model/names.h"

/* An export for each disk and slot, and the controller itself. */
#define GROUP_MAX (LIMIT_DISKS_PER_NODE * LIMIT_CONTROLLERS + 1)

struct reported_group {
	struct object_status *items; /* owned, with id and message */
	size_t count, capacity;
};

/* "d1.v2.s0": the volume between the dots. */
static int export_volume_parse(const char *id, uint64_t *ret_volume)
{
	char text[NAMES_ID_SIZE];
	const char *first = strchr(id, '.');
	const char *second = first != NULL ? strchr(first + 1, '.') : NULL;
	size_t length;

	if (second == NULL)
		return -1;
	length = (size_t)(second - first - 1);
	if (length >= sizeof(text))
		return -1;
	memcpy(text, first + 1, length);
	text[length] = '\0';
	return names_id_parse("v", text, ret_volume);
}

/* The key of the group that an object belongs to. */
static int group_key(enum object_kind kind, const char *id, char ret_key[NAMES_ID_SIZE])
{
	uint64_t number;

	switch (kind) {
	case OBJECT_KIND_DISK:
		if (names_id_parse("d", id, &number) != 0)
			return -1;
		names_id_format("d", number, ret_key);
		return 0;
	case OBJECT_KIND_VOLUME:
		if (names_id_parse("v", id, &number) != 0)
			return -1;
		break;
	case OBJECT_KIND_EXPORT:
		if (export_volume_parse(id, &number) != 0)
			return -1;
		break;
	default:
		return -1;
	}
	names_id_format("v", number, ret_key);
	return 0;
}

uint64_t reported_volume_of(enum object_kind kind, const char *id)
{
	char key[NAMES_ID_SIZE];
	uint64_t volume;

	if (group_key(kind, id, key) != 0 || names_id_parse("v", key, &volume) != 0)
		return 0;
	return volume;
}

static struct object_status *find(const struct reported_group *group, enum object_kind kind, const char *id)
{
	for (size_t i = 0; i < group->count; i++) {
		if (group->items[i].kind == kind && strcmp(group->items[i].id, id) == 0)
			return &group->items[i];
	}
	return NULL;
}

static void group_free(struct reported_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		free((char *)group->items[i].id);
		free((char *)group->items[i].message);
	}
	free(group->items);
	free(group);
}

static struct reported_group *group_make(struct reported *reported, const char *key)
{
	struct reported_group *group = table_get(&reported->groups, key);

	if (group != NULL)
		return group;
	group = calloc(1, sizeof(*group));
	if (group != NULL && table_put(&reported->groups, key, group) != 0) {
		free(group);
		group = NULL;
	}
	return group;
}

static struct object_status *item_add(struct reported_group *group, const struct object_status *status)
{
	size_t capacity = group->capacity > 0 ? group->capacity * 2 : 4;
	struct object_status *items;
	char *id;

	if (group->count == group->capacity) {
		items = realloc(group->items, capacity * sizeof(*items));
		if (items == NULL)
			return NULL;
		group->items = items;
		group->capacity = capacity;
	}
	id = strdup(status->id);
	if (id == NULL)
		return NULL;
	group->items[group->count] = (struct object_status){ .kind = status->kind, .id = id };
	return &group->items[group->count++];
}

int reported_update(struct reported *reported, const struct object_status *status, struct error *error)
{
	char key[NAMES_ID_SIZE], *message = NULL;
	struct object_status *item;
	struct reported_group *group;

	if (group_key(status->kind, status->id, key) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "objects: \"%s\" is not the id of a %s", status->id,
				 ENUM_NAME(object_kind, status->kind));
	group = group_make(reported, key);
	if (group == NULL)
		return error_set_nomem(error);
	item = find(group, status->kind, status->id);
	if (item == NULL && group->count >= GROUP_MAX)
		return error_set(error, ERROR_TOO_LARGE, "objects: more than %u objects of %s on one node", GROUP_MAX,
				 key);
	if (status->message != NULL && status->message[0] != '\0') {
		message = strdup(status->message);
		if (message == NULL)
			return error_set_nomem(error);
	}
	if (item == NULL)
		item = item_add(group, status);
	if (item == NULL) {
		free(message);
		return error_set_nomem(error);
	}
	free((char *)item->message);
	item->message = message;
	item->revision = status->revision;
	item->state = status->state;
	return 0;
}

const struct object_status *reported_get(const struct reported *reported, enum object_kind kind, const char *id)
{
	char key[NAMES_ID_SIZE];
	const struct reported_group *group;

	if (group_key(kind, id, key) != 0)
		return NULL;
	group = table_get(&reported->groups, key);
	return group != NULL ? find(group, kind, id) : NULL;
}

static int append_problems(const struct reported_group *group, struct arena *arena, struct object_status_list *list,
			   struct error *error)
{
	struct object_status *items;
	size_t wanted = list->count;

	for (size_t i = 0; i < group->count; i++) {
		if (group->items[i].state == OBJECT_STATE_PENDING || group->items[i].state == OBJECT_STATE_FAILED)
			wanted++;
	}
	if (wanted == list->count)
		return 0;
	items = arena_alloc_array(arena, wanted, sizeof(*items));
	if (items == NULL)
		return error_set_nomem(error);
	if (list->count > 0)
		memcpy(items, list->items, list->count * sizeof(*items));
	list->items = items;
	for (size_t i = 0; i < group->count && list->count < LIMIT_LIST_PAGE; i++) {
		struct object_status copy = group->items[i];

		if (copy.state != OBJECT_STATE_PENDING && copy.state != OBJECT_STATE_FAILED)
			continue;
		copy.id = arena_strdup(arena, copy.id);
		if (copy.message != NULL)
			copy.message = arena_strdup(arena, copy.message);
		if (copy.id == NULL || (group->items[i].message != NULL && copy.message == NULL))
			return error_set_nomem(error);
		items[list->count++] = copy;
	}
	return 0;
}

int reported_problems(const struct reported *reported, uint64_t volume, struct arena *arena,
		      struct object_status_list *list, struct error *error)
{
	char key[NAMES_ID_SIZE];
	const struct reported_group *group;

	if (volume > 0) {
		names_id_format("v", volume, key);
		group = table_get(&reported->groups, key);
		return group != NULL ? append_problems(group, arena, list, error) : 0;
	}
	for (struct table_entry *entry = table_next(&reported->groups, NULL); entry != NULL;
	     entry = table_next(&reported->groups, entry)) {
		if (append_problems(entry->value, arena, list, error) != 0)
			return error->code;
	}
	return 0;
}

void reported_forget(struct reported *reported, uint64_t volume)
{
	char key[NAMES_ID_SIZE];
	struct reported_group *group;

	names_id_format("v", volume, key);
	group = table_remove(&reported->groups, key);
	if (group != NULL)
		group_free(group);
}

void reported_clear(struct reported *reported)
{
	struct table_entry *entry;

	while ((entry = table_any(&reported->groups)) != NULL)
		group_free(table_remove(&reported->groups, entry->key));
	table_free(&reported->groups);
}
