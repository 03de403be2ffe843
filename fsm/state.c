/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define COUNTERS_BYTES 48u
/* As they were before there were jobs. */
#define COUNTERS_BYTES_WITHOUT_JOBS 40u

/* --- keys ------------------------------------------------------------------------------------------------- */

static void id_write(uint8_t *data, uint64_t id)
{
	for (int i = 0; i < 8; i++)
		data[i] = (uint8_t)(id >> (56 - 8 * i));
}

uint64_t key_read_id(const uint8_t *data)
{
	uint64_t id = 0;

	for (int i = 0; i < 8; i++)
		id = id << 8 | data[i];
	return id;
}

static size_t text_add(struct key *key, size_t used, const char *text)
{
	size_t length = strlen(text);

	if (length > KEY_SIZE - used)
		abort(); /* every caller checked the limit */
	memcpy(key->data + used, text, length);
	return used + length;
}

static size_t id_add(struct key *key, size_t used, uint64_t id)
{
	if (KEY_SIZE - used < 8)
		abort();
	id_write(key->data + used, id);
	return used + 8;
}

struct bytes key_text(struct key *key, const char *text)
{
	return (struct bytes){ key->data, text_add(key, 0, text) };
}

struct bytes key_id(struct key *key, uint64_t id)
{
	return (struct bytes){ key->data, id_add(key, 0, id) };
}

struct bytes key_id_id(struct key *key, uint64_t first, uint64_t second)
{
	return (struct bytes){ key->data, id_add(key, id_add(key, 0, first), second) };
}

struct bytes key_text_nul(struct key *key, const char *text)
{
	size_t used = text_add(key, 0, text);

	if (used == KEY_SIZE)
		abort();
	key->data[used] = '\0';
	return (struct bytes){ key->data, used + 1 };
}

struct bytes key_text_id(struct key *key, const char *text, uint64_t id)
{
	return (struct bytes){ key->data, id_add(key, key_text_nul(key, text).size, id) };
}

struct bytes key_text_text(struct key *key, const char *first, const char *second)
{
	return (struct bytes){ key->data, text_add(key, key_text_nul(key, first).size, second) };
}

bool bytes_start_with(struct bytes bytes, struct bytes prefix)
{
	return bytes.size >= prefix.size && (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

/* --- tables ------------------------------------------------------------------------------------------------- */

void state_close(struct state *state)
{
	buffer_free(&state->scratch);
}

int state_nomem(struct state *state, struct error *error)
{
	state->broken = true;
	return error_set_nomem(error);
}

/* Everything but an absent key means that the store, or the memory, failed. */
static int store_result(struct state *state, int result)
{
	if (result != 0 && result != ERROR_NOT_FOUND)
		state->broken = true;
	return result;
}

int state_decode(struct state *state, enum store_table table, struct bytes value, const struct schema *schema,
		 void *ret_record, struct error *error)
{
	if (record_cache_decode(state->records, schema, value, state->arena, ret_record, error) == 0)
		return 0;
	state->broken = true;
	error_prefix(error, "cannot read a record of table %s", store_table_name(table));
	if (error != NULL)
		error->code = ERROR_INTERNAL;
	return ERROR_INTERNAL;
}

int state_get(struct state *state, enum store_table table, struct bytes key, const struct schema *schema,
	      void *ret_record, struct error *error)
{
	struct bytes value;
	int result = store_result(state, store_get(state->txn, table, key, &value, error));

	if (result != 0)
		return result;
	return state_decode(state, table, value, schema, ret_record, error);
}

/* What there are events of. */
static bool is_object(enum store_table table)
{
	return table == STORE_TABLE_META || table == STORE_TABLE_NODE || table == STORE_TABLE_DISK ||
	       table == STORE_TABLE_VOLUME || table == STORE_TABLE_JOB;
}

int state_put(struct state *state, enum store_table table, struct bytes key, const struct schema *schema,
	      const void *record, struct error *error)
{
	int result;

	buffer_clear(&state->scratch);
	result = codec_encode(schema, record, CODEC_TAGGED, &state->scratch, error);
	if (result != 0) {
		/* A bound that the record breaks is broken on every replica; lack of memory is this one's alone. */
		state->broken |= result == ERROR_INTERNAL;
		return result;
	}
	/* Events are made of it, and whoever leads looks at it next. */
	if (is_object(table))
		record_cache_put(state->records, schema, buffer_bytes(&state->scratch), record);
	return state_put_bytes(state, table, key, buffer_bytes(&state->scratch), error);
}

/* Keep what the key held that was just changed. */
static int journal_note(struct state *state, enum store_table table, struct error *error)
{
	struct journal_item *item;

	if (state->journal == NULL || !is_object(table))
		return 0;
	item = list_add(state->arena, state->journal, sizeof(*item));
	if (item == NULL)
		return state_nomem(state, error);
	item->table = table;
	item->place = state->journal->count;
	store_change_last(state->txn, &item->key, &item->before);
	return 0;
}

int state_put_bytes(struct state *state, enum store_table table, struct bytes key, struct bytes value,
		    struct error *error)
{
	int result = store_put(state->txn, table, key, value, error);

	if (result == 0)
		result = journal_note(state, table, error);
	state->broken |= result != 0;
	return result;
}

int state_put_empty(struct state *state, enum store_table table, struct bytes key, struct error *error)
{
	return state_put_bytes(state, table, key, (struct bytes){ (const uint8_t *)"", 0 }, error);
}

int state_put_id(struct state *state, enum store_table table, struct bytes key, uint64_t id, struct error *error)
{
	uint8_t data[8];

	id_write(data, id);
	return state_put_bytes(state, table, key, (struct bytes){ data, sizeof(data) }, error);
}

int state_get_id(struct state *state, enum store_table table, struct bytes key, uint64_t *ret_id, struct error *error)
{
	struct bytes value;
	int result = store_result(state, store_get(state->txn, table, key, &value, error));

	if (result != 0)
		return result;
	if (value.size != 8) {
		state->broken = true;
		return error_set(error, ERROR_INTERNAL, "a value of table %s is damaged", store_table_name(table));
	}
	*ret_id = key_read_id(value.data);
	return 0;
}

int state_delete(struct state *state, enum store_table table, struct bytes key, struct error *error)
{
	int result = store_delete(state->txn, table, key, error);

	if (result == 0)
		result = journal_note(state, table, error);
	if (result == 0)
		return 0;
	state->broken = true;
	if (result == ERROR_NOT_FOUND)
		return error_set(error, ERROR_INTERNAL, "table %s lacks a key that it should have",
				 store_table_name(table));
	return result;
}

int state_has(struct state *state, enum store_table table, struct bytes key, bool *ret_has, struct error *error)
{
	struct bytes value;
	int result = store_result(state, store_get(state->txn, table, key, &value, error));

	if (result != 0 && result != ERROR_NOT_FOUND)
		return result;
	*ret_has = result == 0;
	return 0;
}

int state_count(struct state *state, enum store_table table, uint64_t *ret_count, struct error *error)
{
	int result = store_count(state->txn, table, ret_count, error);

	state->broken |= result != 0;
	return result;
}

int state_walk(struct state *state, enum store_table table, struct bytes from, struct bytes prefix, state_visit visit,
	       void *data, struct error *error)
{
	struct store_cursor *cursor;
	struct bytes key, value;
	int result = store_cursor_open(state->txn, table, from, &cursor, error);

	if (result != 0) {
		state->broken = true;
		return result;
	}
	for (;;) {
		result = store_cursor_next(cursor, &key, &value, error);
		if (result == ERROR_NOT_FOUND) {
			result = 0;
			break;
		}
		if (result != 0) {
			state->broken = true;
			break;
		}
		if (!bytes_start_with(key, prefix))
			break;
		result = visit(data, key, value, error);
		if (result == STATE_WALK_STOP) {
			result = 0;
			break;
		}
		if (result != 0)
			break;
	}
	store_cursor_close(cursor);
	return result;
}

/* --- lists ------------------------------------------------------------------------------------------------ */

void *list_add(struct arena *arena, void *list, size_t item_size)
{
	struct any_list *any = list;
	size_t count = any->count;
	char *items;

	/* The room of a list that has n items is the power of two that is not below n, and 8 at least. */
	if (count == 0 || (count >= 8 && (count & (count - 1)) == 0)) {
		items = arena_alloc_array(arena, count == 0 ? 8 : count * 2, item_size);
		if (items == NULL)
			return NULL;
		if (count > 0)
			memcpy(items, any->items, count * item_size);
		any->items = items;
	}
	any->count++;
	return (char *)any->items + count * item_size;
}

static int id_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void id_list_normalize(struct id_list *list)
{
	size_t kept = 0;

	if (list->count == 0)
		return;
	qsort(list->items, list->count, sizeof(*list->items), id_compare);
	for (size_t i = 0; i < list->count; i++) {
		if (i == 0 || list->items[i] != list->items[kept - 1])
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

/* --- records ------------------------------------------------------------------------------------------------ */

int state_cluster(struct state *state, struct cluster *ret_cluster, struct error *error)
{
	struct key key;
	int result =
		state_get(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), ret_cluster, error);

	if (result == ERROR_NOT_FOUND && !state->broken) {
		error_set(error, ERROR_FAILED_PRECONDITION, "there is no cluster yet");
		error_hint(error, "run: dnvme cluster init --name NAME");
		return ERROR_FAILED_PRECONDITION;
	}
	return result;
}

int state_node(struct state *state, const char *name, struct node *ret_node, struct error *error)
{
	struct key key;
	int result = ERROR_NOT_FOUND;

	if (name[0] != '\0' && strlen(name) <= LIMIT_NAME)
		result = state_get(state, STORE_TABLE_NODE, key_text(&key, name), schema_node(), ret_node, error);
	if (result == ERROR_NOT_FOUND && !state->broken)
		return error_set(error, ERROR_NOT_FOUND, "there is no node \"%s\"", name);
	return result;
}

int state_disk(struct state *state, uint64_t id, struct disk *ret_disk, struct error *error)
{
	struct key key;
	int result = state_get(state, STORE_TABLE_DISK, key_id(&key, id), schema_disk(), ret_disk, error);

	if (result == ERROR_NOT_FOUND && !state->broken)
		return error_set(error, ERROR_NOT_FOUND, "there is no disk d%" PRIu64, id);
	return result;
}

/* What a record says of its own slots is relied on wherever it is used. The audit reads such a record none the less,
 * and says more of it. */
static bool slots_fit(const struct volume *volume)
{
	const struct controller_list *controllers = &volume->controllers;

	if (volume->legs.count == 0 || volume->legs.count != volume->slots.count * volume->legs_per_controller)
		return false;
	for (size_t i = 0; i < volume->legs.count; i++) {
		if (volume->legs.items[i].slot >= volume->slots.count)
			return false;
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (volume->leaving.items[i].slot >= volume->slots.count)
			return false;
	}
	for (size_t i = 0; i < controllers->count; i++) {
		if (controllers->items[i].role != CONTROLLER_ROLE_STANDBY &&
		    controllers->items[i].slot >= volume->slots.count)
			return false;
		if (controllers->items[i].role == CONTROLLER_ROLE_ACTIVE && i >= volume->slots.count)
			return false;
	}
	for (size_t i = 0; i < volume->slots.count; i++) {
		if (i >= controllers->count || controllers->items[i].role != CONTROLLER_ROLE_ACTIVE ||
		    controllers->items[i].slot != i ||
		    strcmp(controllers->items[i].node, volume->slots.items[i].holder) != 0)
			return false;
	}
	return true;
}

int state_volume(struct state *state, uint64_t id, struct volume *ret_volume, struct error *error)
{
	struct key key;
	int result = state_get(state, STORE_TABLE_VOLUME, key_id(&key, id), schema_volume(), ret_volume, error);

	if (result == ERROR_NOT_FOUND && !state->broken)
		return error_set(error, ERROR_NOT_FOUND, "there is no volume v%" PRIu64, id);
	if (result == 0 && (ret_volume->id != id || !slots_fit(ret_volume))) {
		state->broken = true;
		return error_set(error, ERROR_INTERNAL, "the record of v%" PRIu64 " is damaged: %s", id,
				 ret_volume->id != id ? "it is another one's"
						      : "its slots and what they hold do not fit");
	}
	return result;
}

int state_volume_find(struct state *state, const char *name, struct volume *ret_volume, struct error *error)
{
	struct key key;
	uint64_t id;
	int result = ERROR_NOT_FOUND;

	/* No volume has a name of this form. */
	if (names_id_parse("v", name, &id) == 0)
		return state_volume(state, id, ret_volume, error);
	if (name[0] != '\0' && strlen(name) <= LIMIT_NAME)
		result = state_get_id(state, STORE_TABLE_VOLUME_NAME, key_text(&key, name), &id, error);
	if (result == 0)
		return state_volume(state, id, ret_volume, error);
	if (result == ERROR_NOT_FOUND && !state->broken)
		return error_set(error, ERROR_NOT_FOUND, "there is no volume \"%s\"", name);
	return result;
}

int state_node_put(struct state *state, const struct node *node, struct error *error)
{
	struct key key;

	return state_put(state, STORE_TABLE_NODE, key_text(&key, node->name), schema_node(), node, error);
}

int state_disk_put(struct state *state, const struct disk *disk, struct error *error)
{
	struct key key;

	return state_put(state, STORE_TABLE_DISK, key_id(&key, disk->id), schema_disk(), disk, error);
}

int state_volume_put(struct state *state, const struct volume *volume, struct error *error)
{
	struct key key;

	return state_put(state, STORE_TABLE_VOLUME, key_id(&key, volume->id), schema_volume(), volume, error);
}

struct id_walk {
	struct state *state;
	struct id_list *list;
	bool from_value; /* the id is the value, else the last 8 bytes of the key */
};

static int id_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct id_walk *walk = data;
	struct bytes source = walk->from_value ? value : key;
	uint64_t *id;

	if (source.size < 8) {
		walk->state->broken = true;
		return error_set(error, ERROR_INTERNAL, "an index is damaged");
	}
	id = list_add(walk->state->arena, walk->list, sizeof(*id));
	if (id == NULL)
		return state_nomem(walk->state, error);
	*id = key_read_id(source.data + source.size - 8);
	return 0;
}

int state_node_disks(struct state *state, const char *node, struct id_list *ret_list, struct error *error)
{
	struct id_list list = { 0 };
	struct id_walk walk = { state, &list, true };
	struct key key;
	struct bytes prefix = key_text_nul(&key, node);
	int result = state_walk(state, STORE_TABLE_DISK_PATH, prefix, prefix, id_visit, &walk, error);

	if (result != 0)
		return result;
	id_list_normalize(&list);
	*ret_list = list;
	return 0;
}

int state_node_volumes(struct state *state, const char *node, struct id_list *ret_list, struct error *error)
{
	struct id_list disks, list = { 0 };
	struct id_walk walk = { state, &list, false };
	struct key key;
	struct bytes prefix = key_text_nul(&key, node);
	int result = state_walk(state, STORE_TABLE_NODE_VOLUME, prefix, prefix, id_visit, &walk, error);

	if (result == 0)
		result = state_node_disks(state, node, &disks, error);
	for (size_t i = 0; result == 0 && i < disks.count; i++) {
		prefix = key_id(&key, disks.items[i]);
		result = state_walk(state, STORE_TABLE_DISK_VOLUME, prefix, prefix, id_visit, &walk, error);
	}
	if (result != 0)
		return result;
	id_list_normalize(&list);
	*ret_list = list;
	return 0;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int state_volume_nodes(struct state *state, const struct volume *volume, struct string_list *ret_nodes,
		       struct error *error)
{
	struct string_list nodes = { 0 };
	struct id_list disks = { 0 };
	struct disk disk;
	const char **name;
	uint64_t *id;
	size_t kept = 0;
	int result;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		name = list_add(state->arena, &nodes, sizeof(*name));
		if (name == NULL)
			return state_nomem(state, error);
		*name = volume->controllers.items[i].node;
	}
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				id = list_add(state->arena, &disks, sizeof(*id));
				if (id == NULL)
					return state_nomem(state, error);
				*id = leg->groups.items[g].members.items[m].disk;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		id = list_add(state->arena, &disks, sizeof(*id));
		if (id == NULL)
			return state_nomem(state, error);
		*id = volume->leaving.items[i].ld->disk;
	}
	id_list_normalize(&disks);
	for (size_t i = 0; i < disks.count; i++) {
		result = state_disk(state, disks.items[i], &disk, error);
		if (result == ERROR_NOT_FOUND && !state->broken)
			continue; /* its LDs were freed, and then it was removed */
		if (result != 0)
			return result;
		name = list_add(state->arena, &nodes, sizeof(*name));
		if (name == NULL)
			return state_nomem(state, error);
		*name = disk.node;
	}
	if (nodes.count > 0)
		qsort(nodes.items, nodes.count, sizeof(*nodes.items), text_compare);
	for (size_t i = 0; i < nodes.count; i++) {
		if (i == 0 || strcmp(nodes.items[i], nodes.items[kept - 1]) != 0)
			nodes.items[kept++] = nodes.items[i];
	}
	nodes.count = kept;
	*ret_nodes = nodes;
	return 0;
}

int counters_read(struct state *state, struct counters *ret_counters, struct error *error)
{
	struct key key;
	struct bytes value;
	int result = store_result(
		state, store_get(state->txn, STORE_TABLE_META, key_text(&key, META_COUNTERS), &value, error));

	if (result == ERROR_NOT_FOUND) {
		*ret_counters = (struct counters){ 0 };
		return 0;
	}
	if (result != 0)
		return result;
	if (value.size != COUNTERS_BYTES && value.size != COUNTERS_BYTES_WITHOUT_JOBS) {
		state->broken = true;
		return error_set(error, ERROR_INTERNAL, "the counters of the state are damaged");
	}
	*ret_counters = (struct counters){
		.applied = key_read_id(value.data),
		.revision = key_read_id(value.data + 8),
		.last_disk = key_read_id(value.data + 16),
		.last_volume = key_read_id(value.data + 24),
		.last_ld = key_read_id(value.data + 32),
		.last_job = value.size == COUNTERS_BYTES ? key_read_id(value.data + 40) : 0,
	};
	return 0;
}

int counters_write(struct state *state, const struct counters *counters, struct error *error)
{
	uint8_t data[COUNTERS_BYTES];
	struct key key;

	id_write(data, counters->applied);
	id_write(data + 8, counters->revision);
	id_write(data + 16, counters->last_disk);
	id_write(data + 24, counters->last_volume);
	id_write(data + 32, counters->last_ld);
	id_write(data + 40, counters->last_job);
	return state_put_bytes(state, STORE_TABLE_META, key_text(&key, META_COUNTERS),
			       (struct bytes){ data, sizeof(data) }, error);
}
