/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads. Each runs in a read transaction of its own; the results live in the caller's arena. */
#include <inttypes.h>
#include <string.h>

#include "fsm/operation.h"
#include "fsm/query.h"
#include "lib/model/names.h"

int query_open(struct fsm *fsm, struct arena *arena, struct state *ret_state, struct error *error)
{
	struct store_txn *txn;
	int result = store_txn_begin(fsm->store, false, &txn, error);

	if (result == 0)
		*ret_state = (struct state){ .txn = txn, .arena = arena, .records = &fsm->records };
	return result;
}

void query_close(struct state *state)
{
	store_txn_abort(state->txn);
	state_close(state);
}

/* --- one object ----------------------------------------------------------------------------------------- */

int fsm_cluster_get(struct fsm *fsm, struct arena *arena, struct cluster *ret_cluster, struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_cluster(&state, ret_cluster, error);
	query_close(&state);
	return result;
}

int fsm_node_get(struct fsm *fsm, const char *name, struct arena *arena, struct node *ret_node, struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_node(&state, name, ret_node, error);
	query_close(&state);
	return result;
}

int fsm_disk_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct disk *ret_disk, struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_disk(&state, id, ret_disk, error);
	query_close(&state);
	return result;
}

int fsm_volume_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct volume *ret_volume, struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_volume(&state, id, ret_volume, error);
	query_close(&state);
	return result;
}

int fsm_volume_find(struct fsm *fsm, const char *name, struct arena *arena, struct volume *ret_volume,
		    struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_volume_find(&state, name, ret_volume, error);
	query_close(&state);
	return result;
}

int fsm_request_get(struct fsm *fsm, struct bytes request_id, struct arena *arena, struct outcome *ret_outcome,
		    struct error *error)
{
	struct bytes value;
	struct state state;
	int result;

	if (request_id.size != LIMIT_REQUEST_ID)
		return error_set(error, ERROR_NOT_FOUND, "a request id has %zu bytes, not %u", request_id.size,
				 LIMIT_REQUEST_ID);
	result = query_open(fsm, arena, &state, error);
	if (result != 0)
		return result;
	/* Nearly all are new: that takes no sentence of the store. */
	if (store_get(state.txn, STORE_TABLE_REQUEST, request_id, &value, NULL) == ERROR_NOT_FOUND)
		result = error_set_text(error, ERROR_NOT_FOUND, "no outcome is known for this request id");
	else
		result = state_get(&state, STORE_TABLE_REQUEST, request_id, schema_outcome(), ret_outcome, error);
	query_close(&state);
	return result;
}

int fsm_counts(struct fsm *fsm, uint64_t *ret_nodes, uint64_t *ret_disks, uint64_t *ret_volumes, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct state state;
	uint64_t nodes = 0, disks = 0, volumes = 0;
	int result = query_open(fsm, &arena, &state, error);

	if (result != 0)
		return result;
	result = state_count(&state, STORE_TABLE_NODE, &nodes, error);
	if (result == 0)
		result = state_count(&state, STORE_TABLE_DISK, &disks, error);
	if (result == 0)
		result = state_count(&state, STORE_TABLE_VOLUME, &volumes, error);
	query_close(&state);
	if (result != 0)
		return result;
	*ret_nodes = nodes;
	*ret_disks = disks;
	*ret_volumes = volumes;
	return 0;
}

/* --- pages ------------------------------------------------------------------------------------------------ */

struct page {
	struct state state;
	struct bytes after; /* the key behind which the page begins; size 0: none */
	size_t limit;
	size_t count;
	bool more;
	void *list; /* struct any_list of the records */
};

static int page_open(struct fsm *fsm, struct arena *arena, size_t limit, void *list, struct page *ret_page,
		     struct error *error)
{
	int result;

	*ret_page = (struct page){ .limit = limit > 0 ? limit : LIMIT_LIST_PAGE, .list = list };
	result = query_open(fsm, arena, &ret_page->state, error);
	/* Hundreds of records would drive out those that are read again. */
	ret_page->state.records = NULL;
	return result;
}

/* Whether the pair belongs to the page; `ret_stop` that the page is full. */
static bool page_takes(struct page *page, struct bytes key, bool *ret_stop)
{
	*ret_stop = false;
	if (page->after.size > 0 && key.size == page->after.size && memcmp(key.data, page->after.data, key.size) == 0)
		return false;
	if (page->count == page->limit) {
		page->more = *ret_stop = true;
		return false;
	}
	page->count++;
	return true;
}

static int page_walk(struct page *page, enum store_table table, state_visit visit, struct error *error)
{
	return state_walk(&page->state, table, page->after, (struct bytes){ NULL, 0 }, visit, page, error);
}

static int node_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	struct node *node;
	bool stop;

	if (!page_takes(page, key, &stop))
		return stop ? STATE_WALK_STOP : 0;
	node = list_add(page->state.arena, page->list, sizeof(*node));
	if (node == NULL)
		return state_nomem(&page->state, error);
	return state_decode(&page->state, STORE_TABLE_NODE, value, schema_node(), node, error);
}

int fsm_node_list(struct fsm *fsm, const char *after, size_t limit, struct arena *arena, struct node_list *ret_list,
		  bool *ret_more, struct error *error)
{
	struct node_list list = { 0 };
	struct page page;
	struct key key;
	int result;

	if (after != NULL && strlen(after) > LIMIT_NAME)
		return error_set(error, ERROR_INVALID_ARGUMENT, "after has %zu bytes, the limit is %u", strlen(after),
				 LIMIT_NAME);
	result = page_open(fsm, arena, limit, &list, &page, error);
	if (result != 0)
		return result;
	if (after != NULL)
		page.after = key_text(&key, after);
	result = page_walk(&page, STORE_TABLE_NODE, node_visit, error);
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_list = list;
	*ret_more = page.more;
	return 0;
}

static int disk_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	struct disk *disk;
	bool stop;

	if (!page_takes(page, key, &stop))
		return stop ? STATE_WALK_STOP : 0;
	disk = list_add(page->state.arena, page->list, sizeof(*disk));
	if (disk == NULL)
		return state_nomem(&page->state, error);
	return state_decode(&page->state, STORE_TABLE_DISK, value, schema_disk(), disk, error);
}

static int node_disks_read(struct page *page, const char *node, uint64_t after, struct error *error)
{
	struct id_list ids;
	struct disk *disk;
	int result = state_node_disks(&page->state, node, &ids, error);

	for (size_t i = 0; result == 0 && i < ids.count; i++) {
		if (ids.items[i] <= after)
			continue;
		if (page->count == page->limit) {
			page->more = true;
			break;
		}
		page->count++;
		disk = list_add(page->state.arena, page->list, sizeof(*disk));
		if (disk == NULL)
			return state_nomem(&page->state, error);
		result = state_disk(&page->state, ids.items[i], disk, error);
	}
	return result;
}

int fsm_disk_list(struct fsm *fsm, const char *node, uint64_t after, size_t limit, struct arena *arena,
		  struct disk_list *ret_list, bool *ret_more, struct error *error)
{
	struct disk_list list = { 0 };
	struct node found;
	struct page page;
	struct key key;
	int result = page_open(fsm, arena, limit, &list, &page, error);

	if (result != 0)
		return result;
	if (node != NULL) {
		result = state_node(&page.state, node, &found, error);
		if (result == 0)
			result = node_disks_read(&page, node, after, error);
	} else {
		page.after = key_id(&key, after);
		result = page_walk(&page, STORE_TABLE_DISK, disk_visit, error);
	}
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_list = list;
	*ret_more = page.more;
	return 0;
}

static int volume_name_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	struct volume *volume;
	bool stop;

	if (!page_takes(page, key, &stop))
		return stop ? STATE_WALK_STOP : 0;
	if (value.size != 8) {
		page->state.broken = true;
		return error_set(error, ERROR_INTERNAL, "the index of volume names is damaged");
	}
	volume = list_add(page->state.arena, page->list, sizeof(*volume));
	if (volume == NULL)
		return state_nomem(&page->state, error);
	return state_volume(&page->state, key_read_id(value.data), volume, error);
}

int fsm_volume_list(struct fsm *fsm, const char *after_name, size_t limit, struct arena *arena,
		    struct volume_list *ret_list, bool *ret_more, struct error *error)
{
	struct volume_list list = { 0 };
	struct page page;
	struct key key;
	int result;

	if (after_name != NULL && strlen(after_name) > LIMIT_NAME)
		return error_set(error, ERROR_INVALID_ARGUMENT, "after has %zu bytes, the limit is %u",
				 strlen(after_name), LIMIT_NAME);
	result = page_open(fsm, arena, limit, &list, &page, error);
	if (result != 0)
		return result;
	if (after_name != NULL)
		page.after = key_text(&key, after_name);
	result = page_walk(&page, STORE_TABLE_VOLUME_NAME, volume_name_visit, error);
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_list = list;
	*ret_more = page.more;
	return 0;
}

/* Pairs of one host follow each other. */
static int host_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	struct host_list *hosts = page->list;
	struct host *host = hosts->count > 0 ? &hosts->items[hosts->count - 1] : NULL;
	size_t length = key.size > 9 ? key.size - 9 : 0;
	struct volume volume;
	const char **name;
	int result;

	(void)value;
	if (length == 0 || key.data[length] != '\0' || memchr(key.data, '\0', length) != NULL) {
		page->state.broken = true;
		return error_set(error, ERROR_INTERNAL, "the index of hosts is damaged");
	}
	if (host == NULL || strlen(host->nqn) != length || memcmp(host->nqn, key.data, length) != 0) {
		if (page->count == page->limit) {
			page->more = true;
			return STATE_WALK_STOP;
		}
		page->count++;
		host = list_add(page->state.arena, hosts, sizeof(*host));
		if (host == NULL)
			return state_nomem(&page->state, error);
		host->nqn = arena_strndup(page->state.arena, (const char *)key.data, length);
		if (host->nqn == NULL)
			return state_nomem(&page->state, error);
	}
	if (host->volumes.count == LIMIT_LIST_PAGE)
		return 0; /* the record holds no more */
	result = state_volume(&page->state, key_read_id(key.data + length + 1), &volume, error);
	if (result != 0)
		return result;
	name = list_add(page->state.arena, &host->volumes, sizeof(*name));
	if (name == NULL)
		return state_nomem(&page->state, error);
	*name = volume.name;
	return 0;
}

int fsm_host_list(struct fsm *fsm, const char *nqn, const char *after, size_t limit, struct arena *arena,
		  struct host_list *ret_list, bool *ret_more, struct error *error)
{
	struct host_list list = { 0 };
	struct bytes prefix = { NULL, 0 }, from = prefix;
	struct key key, one;
	struct page page;
	int result;

	if (after != NULL && strlen(after) > LIMIT_NQN)
		return error_set(error, ERROR_INVALID_ARGUMENT, "after has %zu bytes, the limit is %u", strlen(after),
				 LIMIT_NQN);
	if (nqn != NULL && strlen(nqn) > LIMIT_NQN)
		return error_set(error, ERROR_INVALID_ARGUMENT, "filter has %zu bytes, the limit is %u", strlen(nqn),
				 LIMIT_NQN);
	result = page_open(fsm, arena, limit, &list, &page, error);
	if (result != 0)
		return result;
	if (after != NULL) {
		/* Behind all keys that begin with the NQN and a NUL. */
		from = key_text_nul(&key, after);
		key.data[from.size - 1] = 1;
	}
	if (nqn != NULL) {
		prefix = key_text_nul(&one, nqn);
		if (after == NULL || strcmp(after, nqn) < 0)
			from = prefix;
	}
	result = state_walk(&page.state, STORE_TABLE_HOST_VOLUME, from, prefix, host_visit, &page, error);
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_list = list;
	*ret_more = page.more;
	return 0;
}

static int transition_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	uint64_t *id;
	bool stop;

	(void)value;
	if (!page_takes(page, key, &stop) || key.size != 8)
		return stop ? STATE_WALK_STOP : 0;
	id = list_add(page->state.arena, page->list, sizeof(*id));
	if (id == NULL)
		return state_nomem(&page->state, error);
	*id = key_read_id(key.data);
	return 0;
}

int fsm_transition_list(struct fsm *fsm, uint64_t after, size_t limit, struct arena *arena, uint64_t **ret_ids,
			size_t *ret_count, struct error *error)
{
	struct id_list list = { 0 };
	struct page page;
	struct key key;
	int result = page_open(fsm, arena, limit, &list, &page, error);

	if (result != 0)
		return result;
	page.after = key_id(&key, after);
	result = page_walk(&page, STORE_TABLE_TRANSITION, transition_visit, error);
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_ids = list.items;
	*ret_count = list.count;
	return 0;
}

static int node_exists(struct state *state, const char *name, struct error *error)
{
	struct key key;
	bool exists = false;
	int result = 0;

	if (name[0] != '\0' && strlen(name) <= LIMIT_NAME)
		result = state_has(state, STORE_TABLE_NODE, key_text(&key, name), &exists, error);
	if (result == 0 && !exists)
		result = error_set(error, ERROR_NOT_FOUND, "there is no node \"%s\"", name);
	return result;
}

int fsm_node_volume_list(struct fsm *fsm, const char *node, uint64_t after, size_t limit, struct arena *arena,
			 uint64_t **ret_ids, size_t *ret_count, struct error *error)
{
	struct id_list list = { 0 };
	struct state state;
	size_t first = 0;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = node_exists(&state, node, error);
	if (result == 0)
		result = state_node_volumes(&state, node, &list, error);
	query_close(&state);
	if (result != 0)
		return result;
	while (first < list.count && list.items[first] <= after)
		first++;
	if (limit == 0)
		limit = LIMIT_LIST_PAGE;
	*ret_ids = list.count > 0 ? list.items + first : NULL;
	*ret_count = list.count - first < limit ? list.count - first : limit;
	return 0;
}

int fsm_operation_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct operation *ret_operation,
		      struct error *error)
{
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	result = state_operation(&state, id, ret_operation, error);
	query_close(&state);
	return result;
}

static int operation_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct page *page = data;
	struct operation *operation;
	bool stop;
	int result;

	if (!page_takes(page, key, &stop))
		return stop ? STATE_WALK_STOP : 0;
	operation = list_add(page->state.arena, page->list, sizeof(*operation));
	if (operation == NULL)
		return state_nomem(&page->state, error);
	result = state_decode(&page->state, STORE_TABLE_JOB, value, schema_operation(), operation, error);
	if (result != 0)
		return result;
	return operation_check(&page->state, key.size == 8 ? key_read_id(key.data) : 0, operation, error);
}

int fsm_operation_list(struct fsm *fsm, uint64_t after, size_t limit, struct arena *arena,
		       struct operation_list *ret_list, bool *ret_more, struct error *error)
{
	struct operation_list list = { 0 };
	struct page page;
	struct key key;
	int result = page_open(fsm, arena, limit, &list, &page, error);

	if (result != 0)
		return result;
	page.after = key_id(&key, after);
	result = page_walk(&page, STORE_TABLE_JOB, operation_visit, error);
	query_close(&page.state);
	if (result != 0)
		return result;
	*ret_list = list;
	*ret_more = page.more;
	return 0;
}
