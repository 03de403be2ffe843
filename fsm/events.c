/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/events.h"

#include <stdlib.h>
#include <string.h>

/* --- from the journal to events -------------------------------------------------------------------------------------
 */

static int bytes_compare(struct bytes a, struct bytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

static int object_compare(const void *a, const void *b)
{
	const struct journal_item *x = a, *y = b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return bytes_compare(x->key, y->key);
}

static int item_compare(const void *a, const void *b)
{
	const struct journal_item *x = a, *y = b;
	int order = object_compare(a, b);

	return order != 0 ? order : x->place < y->place ? -1 : 1;
}

static int place_compare(const void *a, const void *b)
{
	const struct journal_item *x = a, *y = b;

	return x->place < y->place ? -1 : 1;
}

/* Each object once, as it was before its first change, in the order of these. */
static void journal_normalize(struct journal *journal)
{
	size_t kept = 0;

	qsort(journal->items, journal->count, sizeof(*journal->items), item_compare);
	for (size_t i = 0; i < journal->count; i++) {
		if (kept == 0 || object_compare(&journal->items[kept - 1], &journal->items[i]) != 0)
			journal->items[kept++] = journal->items[i];
	}
	journal->count = kept;
	qsort(journal->items, kept, sizeof(*journal->items), place_compare);
}

/* Both records of an object; NULL where there is none. */
static int item_read(struct state *state, const struct journal_item *item, const struct schema *schema,
		     void **ret_before, void **ret_after, struct error *error)
{
	struct bytes value = { NULL, 0 };
	void *before = NULL, *after = NULL;
	int result = store_get(state->txn, item->table, item->key, &value, error);

	if (result != 0 && result != ERROR_NOT_FOUND) {
		state->broken = true;
		return result;
	}
	if (result == 0) {
		after = arena_alloc(state->arena, schema->size);
		if (after == NULL)
			return state_nomem(state, error);
		result = state_decode(state, item->table, value, schema, after, error);
		if (result != 0)
			return result;
	}
	if (item->before.data != NULL) {
		before = arena_alloc(state->arena, schema->size);
		if (before == NULL)
			return state_nomem(state, error);
		result = state_decode(state, item->table, item->before, schema, before, error);
		if (result != 0)
			return result;
	}
	*ret_before = before;
	*ret_after = after;
	return 0;
}

/* Of the disks that a command only counts something on, and of other facts than the cluster's, there is nothing to
 * tell. */
static bool item_matters(const struct state *state, const struct journal_item *item)
{
	struct bytes ignored;

	if (item->table == STORE_TABLE_META)
		return item->key.size == strlen(META_CLUSTER) &&
		       memcmp(item->key.data, META_CLUSTER, item->key.size) == 0;
	return item->table != STORE_TABLE_DISK || item->before.data == NULL ||
	       store_get(state->txn, item->table, item->key, &ignored, NULL) != 0;
}

static int item_tell(struct state *state, const struct journal_item *item, struct event_list *events,
		     struct error *error)
{
	void *before = NULL, *after = NULL;
	const struct schema *schema = item->table == STORE_TABLE_META	? schema_cluster()
				      : item->table == STORE_TABLE_NODE ? schema_node()
				      : item->table == STORE_TABLE_DISK ? schema_disk()
				      : item->table == STORE_TABLE_JOB	? schema_operation()
									: schema_volume();
	int result = item_read(state, item, schema, &before, &after, error);

	if (result != 0 || (before == NULL && after == NULL))
		return result;
	if (item->table == STORE_TABLE_META)
		result = event_of_cluster(state->arena, before, after, events, error);
	else if (item->table == STORE_TABLE_NODE)
		result = event_of_node(state->arena, before, after, events, error);
	else if (item->table == STORE_TABLE_DISK)
		result = event_of_disk(state->arena, before, after, events, error);
	else if (item->table == STORE_TABLE_JOB)
		result = event_of_job(state->arena, before, after, events, error);
	else
		result = event_of_volume(state->arena, before, after, events, error);
	state->broken |= result != 0;
	return result;
}

/* --- keeping them ---------------------------------------------------------------------------------------------------
 */

int events_compacted(struct state *state, uint64_t *ret_revision, struct error *error)
{
	struct key key;
	int result = state_get_id(state, STORE_TABLE_META, key_text(&key, META_EVENTS_COMPACTED), ret_revision, error);

	if (result != ERROR_NOT_FOUND || state->broken)
		return result;
	*ret_revision = 0;
	return 0;
}

static int key_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	uint64_t *numbers = data;

	(void)value;
	if (key.size != 16)
		return error_set(error, ERROR_INTERNAL, "the key of an event is damaged");
	numbers[0] = key_read_id(key.data);
	numbers[1] = key_read_id(key.data + 8);
	return STATE_WALK_STOP;
}

/* Whole revisions go, so that none is told of in part. */
static int events_expire(struct state *state, struct error *error)
{
	struct bytes all = { NULL, 0 };
	uint64_t count = 0, compacted = 0;
	struct key key;
	int result = state_count(state, STORE_TABLE_EVENT, &count, error);

	if (result != 0 || count <= LIMIT_EVENTS_KEPT)
		return result;
	while (result == 0 && count > 0) {
		uint64_t oldest[2] = { 0, 0 };

		result = state_walk(state, STORE_TABLE_EVENT, all, all, key_visit, oldest, error);
		if (result != 0 || oldest[1] == 0) {
			state->broken = true;
			return result != 0 ? result : error_set(error, ERROR_INTERNAL, "the events are damaged");
		}
		if (count <= LIMIT_EVENTS_KEPT && oldest[0] != compacted)
			break;
		compacted = oldest[0];
		result = state_delete(state, STORE_TABLE_EVENT, key_id_id(&key, oldest[0], oldest[1]), error);
		count--;
	}
	if (result == 0 && compacted != 0)
		result = state_put_id(state, STORE_TABLE_META, key_text(&key, META_EVENTS_COMPACTED), compacted, error);
	return result;
}

int events_write(struct transition *transition, struct error *error)
{
	struct state *state = &transition->state;
	struct journal *journal = state->journal;
	struct event_list events = { 0 };
	struct key key;
	int result = 0;

	if (journal == NULL || journal->count == 0 || !transition->changed)
		return 0;
	state->journal = NULL;
	journal_normalize(journal);
	for (size_t i = 0; result == 0 && i < journal->count; i++) {
		if (item_matters(state, &journal->items[i]))
			result = item_tell(state, &journal->items[i], &events, error);
	}
	for (size_t i = 0; result == 0 && i < events.count; i++) {
		struct event *event = &events.items[i];

		event->revision = transition->counters.revision;
		event->index = i + 1;
		event->time_ms = transition->time_ms;
		result = state_put(state, STORE_TABLE_EVENT, key_id_id(&key, event->revision, event->index),
				   schema_event(), event, error);
	}
	return result == 0 && events.count > 0 ? events_expire(state, error) : result;
}
