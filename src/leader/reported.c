/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/reported.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/model/names.h"

/* An export for each disk and slot, one for each consumer of a slot, and the controller itself. */
#define GROUP_MAX (LIMIT_DISKS_PER_NODE * LIMIT_CONTROLLERS + LIMIT_CONTROLLERS * LIMIT_COLOURS + 1)
/* How much of a rate is what was measured last: a quarter. */
#define RATE_WEIGHT 4u

struct reported_group {
	struct object_status *items; /* owned, with id and message */
	size_t count, capacity;
	struct reported_health *health; /* owned, in one piece */
};

/* "d1.v2.s0", "v2.s0.nodeb": the part of an id from `start` up to the next dot. */
static int volume_part_parse(const char *start, uint64_t *ret_volume)
{
	char text[NAMES_ID_SIZE];
	const char *end = strchr(start, '.');
	size_t length;

	if (end == NULL)
		return -1;
	length = (size_t)(end - start);
	if (length >= sizeof(text))
		return -1;
	memcpy(text, start, length);
	text[length] = '\0';
	return names_id_parse("v", text, ret_volume);
}

static int export_volume_parse(const char *id, uint64_t *ret_volume)
{
	const char *dot = strchr(id, '.');

	return dot != NULL ? volume_part_parse(dot + 1, ret_volume) : -1;
}

/* Nothing but the volume is looked at closely: what else is in the id only has to be there. */
static int consumer_volume_parse(const char *id, uint64_t *ret_volume)
{
	const char *slot = strchr(id, '.');
	const char *node = slot != NULL ? strchr(slot + 1, '.') : NULL;

	if (node == NULL || slot[1] != 's' || node[1] == '\0')
		return -1;
	return volume_part_parse(id, ret_volume);
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
	case OBJECT_KIND_CONSUMER:
		if (consumer_volume_parse(id, &number) != 0)
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
		free(group->items[i].errors.items);
	}
	free(group->items);
	free(group->health);
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
	size_t errors_size = status->errors.count * sizeof(struct ld_errors);
	struct ld_errors *errors = NULL;
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
	if (errors_size > 0)
		errors = malloc(errors_size);
	if (item == NULL && (errors_size == 0 || errors != NULL))
		item = item_add(group, status);
	if (item == NULL || (errors_size > 0 && errors == NULL)) {
		free(message);
		free(errors);
		return error_set_nomem(error);
	}
	if (errors_size > 0)
		memcpy(errors, status->errors.items, errors_size);
	free((char *)item->message);
	free(item->errors.items);
	item->message = message;
	item->errors = (struct ld_errors_list){ status->errors.count, errors };
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

/* --- what stands below a controller ----------------------------------------------------------------------------- */

static size_t pause_size(const struct pause_status *pause)
{
	if (pause == NULL)
		return 0;
	return sizeof(*pause) + (pause->message != NULL ? strlen(pause->message) + 1 : 0);
}

static const struct pause_status *pause_copy(const struct pause_status *pause, char *at)
{
	struct pause_status *made = (struct pause_status *)at;

	*made = *pause;
	if (pause->message != NULL)
		made->message = strcpy(at + sizeof(*made), pause->message);
	return made;
}

/* In one piece, so that it goes in one piece; neither list holds pointers of its own. */
static struct reported_health *health_make(const struct volume_health *health, uint64_t now_ms)
{
	size_t members = health->members.count * sizeof(struct member_status);
	size_t peers = health->peers.count * sizeof(struct peer_status);
	size_t numbers = health->members.count * sizeof(uint64_t), rates = 2 * numbers;
	struct reported_health *made = calloc(1, sizeof(*made) + members + peers + rates + pause_size(health->pause));
	char *at = (char *)(made + 1);

	if (made == NULL)
		return NULL;
	made->received_ms = now_ms;
	made->revision = health->revision;
	made->lapsed = health->lapsed;
	made->rates = (uint64_t *)at;
	made->moved_ms = (uint64_t *)(at + numbers);
	made->members = (struct member_status_list){ health->members.count, (void *)(at + rates) };
	made->peers = (struct peer_status_list){ health->peers.count, (void *)(at + rates + members) };
	if (members > 0)
		memcpy(made->members.items, health->members.items, members);
	if (peers > 0)
		memcpy(made->peers.items, health->peers.items, peers);
	if (health->pause != NULL)
		made->pause = pause_copy(health->pause, at + rates + members + peers);
	return made;
}

/* From two reports of one rebuild; the rate before it weighs in, so that one late report does not shake it. */
static uint64_t rate_of(const struct reported_health *before, const struct member_status *member, uint64_t now_ms)
{
	const struct member_status *last;
	uint64_t elapsed_ms, measured;
	size_t index;

	last = before != NULL ? reported_member(before, member->ld, member->epoch, &index) : NULL;
	if (last == NULL || member->health != MEMBER_HEALTH_REBUILDING || last->health != MEMBER_HEALTH_REBUILDING ||
	    member->done_bytes < last->done_bytes)
		return 0;
	elapsed_ms = now_ms > before->received_ms ? now_ms - before->received_ms : 0;
	if (elapsed_ms == 0)
		return before->rates[index];
	measured = (member->done_bytes - last->done_bytes) / elapsed_ms * 1000 +
		   (member->done_bytes - last->done_bytes) % elapsed_ms * 1000 / elapsed_ms;
	if (before->rates[index] == 0)
		return measured;
	return before->rates[index] - before->rates[index] / RATE_WEIGHT + measured / RATE_WEIGHT;
}

/* Since when a rebuild has not come further; of what is none, now. */
static uint64_t moved_at(const struct reported_health *before, const struct member_status *member, uint64_t now_ms)
{
	size_t index;
	const struct member_status *last =
		before != NULL ? reported_member(before, member->ld, member->epoch, &index) : NULL;

	return last != NULL && member->health == MEMBER_HEALTH_REBUILDING && last->health == member->health &&
			       member->done_bytes == last->done_bytes
		       ? before->moved_ms[index]
		       : now_ms;
}

int reported_health_update(struct reported *reported, const struct volume_health *health, uint64_t now_ms,
			   struct error *error)
{
	char key[NAMES_ID_SIZE];
	struct reported_group *group;
	struct reported_health *made;

	names_id_format("v", health->volume, key);
	group = group_make(reported, key);
	made = group != NULL ? health_make(health, now_ms) : NULL;
	if (made == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < made->members.count; i++) {
		made->rates[i] = rate_of(group->health, &made->members.items[i], now_ms);
		made->moved_ms[i] = moved_at(group->health, &made->members.items[i], now_ms);
	}
	free(group->health);
	group->health = made;
	return 0;
}

const struct reported_health *reported_health_get(const struct reported *reported, uint64_t volume)
{
	char key[NAMES_ID_SIZE];
	const struct reported_group *group;

	names_id_format("v", volume, key);
	group = table_get(&reported->groups, key);
	return group != NULL ? group->health : NULL;
}

const struct member_status *reported_member(const struct reported_health *health, uint64_t ld, uint64_t epoch,
					    size_t *ret_index)
{
	for (size_t i = 0; health != NULL && i < health->members.count; i++) {
		if (health->members.items[i].ld != ld || health->members.items[i].epoch != epoch)
			continue;
		if (ret_index != NULL)
			*ret_index = i;
		return &health->members.items[i];
	}
	return NULL;
}

/* --- problems ----------------------------------------------------------------------------------------------------- */

/* A consumer that is no longer wanted is not reported any more: what was said of it last, before the agent knew, is
 * history once it reported on a later revision of the volume. */
static bool is_history(const struct reported_group *group, const struct object_status *status)
{
	for (size_t i = 0; status->kind == OBJECT_KIND_CONSUMER && i < group->count; i++) {
		if (group->items[i].kind == OBJECT_KIND_VOLUME && group->items[i].revision > status->revision)
			return true;
	}
	return false;
}

static bool is_problem(const struct reported_group *group, const struct object_status *status)
{
	return (status->state == OBJECT_STATE_PENDING || status->state == OBJECT_STATE_FAILED) &&
	       !is_history(group, status);
}

static int append_problems(const struct reported_group *group, struct arena *arena, struct object_status_list *list,
			   struct error *error)
{
	struct object_status *items;
	size_t wanted = list->count;

	for (size_t i = 0; i < group->count; i++) {
		if (is_problem(group, &group->items[i]))
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

		if (!is_problem(group, &group->items[i]))
			continue;
		copy.id = arena_strdup(arena, copy.id);
		if (copy.message != NULL)
			copy.message = arena_strdup(arena, copy.message);
		if (copy.id == NULL || (group->items[i].message != NULL && copy.message == NULL))
			return error_set_nomem(error);
		if (copy.errors.count > 0) {
			size_t size = copy.errors.count * sizeof(*copy.errors.items);

			copy.errors.items = arena_alloc(arena, size);
			if (copy.errors.items == NULL)
				return error_set_nomem(error);
			memcpy(copy.errors.items, group->items[i].errors.items, size);
		}
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
