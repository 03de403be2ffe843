/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/stock.h"

#include <stdlib.h>
#include <string.h>

#define STOCK_PAGE 1024u

/* A node, with memory of its own for its record and those of its disks. */
struct own {
	struct arena arena;
	size_t disks;
	bool stale;
};

struct stock {
	bool whole; /* otherwise there is nothing here */
	bool stale; /* some node is */
	size_t node_count, disk_count;
	struct node *nodes; /* by name */
	struct own *own;    /* of each node */
	struct disk *disks; /* by id */
};

struct stock *stock_make(void)
{
	return calloc(1, sizeof(struct stock));
}

void stock_clear(struct stock *stock)
{
	for (size_t i = 0; i < stock->node_count; i++)
		arena_free(&stock->own[i].arena);
	free(stock->nodes);
	free(stock->own);
	free(stock->disks);
	*stock = (struct stock){ 0 };
}

void stock_free(struct stock *stock)
{
	if (stock == NULL)
		return;
	stock_clear(stock);
	free(stock);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

static int node_compare(const void *name, const void *node)
{
	return strcmp(name, ((const struct node *)node)->name);
}

static struct own *own_find(struct stock *stock, const char *name)
{
	const struct node *node = bsearch(name, stock->nodes, stock->node_count, sizeof(*stock->nodes), node_compare);

	return node != NULL ? &stock->own[node - stock->nodes] : NULL;
}

static int disk_compare(const void *id, const void *disk)
{
	uint64_t a = *(const uint64_t *)id, b = ((const struct disk *)disk)->id;

	return a < b ? -1 : a > b;
}

static int disk_order(const void *a, const void *b)
{
	return disk_compare(&((const struct disk *)a)->id, b);
}

/* --- what changed ------------------------------------------------------------------------------------------------- */

static void node_stale(struct stock *stock, const char *name)
{
	struct own *own = own_find(stock, name);

	if (own == NULL) {
		stock_clear(stock); /* a node more */
		return;
	}
	own->stale = stock->stale = true;
}

void stock_changed(struct stock *stock, const struct fsm_change *change)
{
	if (!stock->whole)
		return;
	switch (change->kind) {
	case FSM_CHANGE_NODE:
	case FSM_CHANGE_DISK:
		if (change->removed)
			stock_clear(stock);
		else
			node_stale(stock, change->node);
		break;
	case FSM_CHANGE_VOLUME:
		for (size_t i = 0; stock->whole && i < change->node_count; i++)
			node_stale(stock, change->nodes[i]);
		break;
	case FSM_CHANGE_CLUSTER: /* a recovery changes disks, too */
		stock_clear(stock);
		break;
	}
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The record of a node and those of its disks; everything in `arena`. */
static int node_read(struct fsm *fsm, const char *name, struct arena *arena, struct node *ret_node,
		     struct disk_list *ret_disks, struct error *error)
{
	bool more;
	int rv = fsm_node_get(fsm, name, arena, ret_node, error);

	if (rv == 0)
		rv = fsm_disk_list(fsm, name, 0, SIZE_MAX, arena, ret_disks, &more, error);
	return rv;
}

static int disks_append(struct stock *stock, const struct disk_list *disks, struct error *error)
{
	struct disk *items;

	if (disks->count == 0)
		return 0;
	items = realloc(stock->disks, (stock->disk_count + disks->count) * sizeof(*items));
	if (items == NULL)
		return error_set_nomem(error);
	memcpy(items + stock->disk_count, disks->items, disks->count * sizeof(*items));
	stock->disks = items;
	stock->disk_count += disks->count;
	return 0;
}

static int node_append(struct stock *stock, struct fsm *fsm, const char *name, struct error *error)
{
	struct node *nodes = realloc(stock->nodes, (stock->node_count + 1) * sizeof(*nodes));
	struct own *own;
	struct disk_list disks;
	int rv;

	if (nodes == NULL)
		return error_set_nomem(error);
	stock->nodes = nodes;
	own = realloc(stock->own, (stock->node_count + 1) * sizeof(*own));
	if (own == NULL)
		return error_set_nomem(error);
	stock->own = own;
	own += stock->node_count;
	*own = (struct own){ .arena = ARENA_INIT };
	rv = node_read(fsm, name, &own->arena, &nodes[stock->node_count], &disks, error);
	own->disks = rv == 0 ? disks.count : 0;
	stock->node_count++;
	return rv == 0 ? disks_append(stock, &disks, error) : rv;
}

static int fill(struct stock *stock, struct fsm *fsm, struct error *error)
{
	char after[LIMIT_NAME + 1] = "";
	bool more = true;
	int rv = 0;

	while (rv == 0 && more) {
		struct arena arena = ARENA_INIT;
		struct node_list nodes;

		rv = fsm_node_list(fsm, after[0] != '\0' ? after : NULL, STOCK_PAGE, &arena, &nodes, &more, error);
		for (size_t i = 0; rv == 0 && i < nodes.count; i++) {
			rv = node_append(stock, fsm, nodes.items[i].name, error);
			memcpy(after, nodes.items[i].name, strlen(nodes.items[i].name) + 1);
		}
		more = more && rv == 0 && nodes.count > 0;
		arena_free(&arena);
	}
	if (rv != 0) {
		stock_clear(stock);
		return rv;
	}
	if (stock->disk_count > 0)
		qsort(stock->disks, stock->disk_count, sizeof(*stock->disks), disk_order);
	stock->whole = true;
	return 0;
}

/* Read a node again; false: it has other disks than it had, or cannot be read, and everything is to be. */
static bool refresh(struct stock *stock, struct fsm *fsm, size_t index)
{
	struct own *own = &stock->own[index];
	struct arena arena = ARENA_INIT;
	struct disk_list disks;
	struct node node;
	bool same =
		node_read(fsm, stock->nodes[index].name, &arena, &node, &disks, NULL) == 0 && disks.count == own->disks;

	for (size_t i = 0; same && i < disks.count; i++) {
		struct disk *disk = bsearch(&disks.items[i].id, stock->disks, stock->disk_count, sizeof(*stock->disks),
					    disk_compare);

		same = disk != NULL;
		if (same)
			*disk = disks.items[i];
	}
	if (!same) {
		arena_free(&arena);
		return false;
	}
	stock->nodes[index] = node;
	arena_free(&own->arena);
	*own = (struct own){ .arena = arena, .disks = disks.count };
	return true;
}

static void refresh_all(struct stock *stock, struct fsm *fsm)
{
	for (size_t i = 0; stock->stale && i < stock->node_count; i++) {
		if (stock->own[i].stale && !refresh(stock, fsm, i))
			stock_clear(stock); /* some disks may lie in memory that is gone */
	}
	stock->stale = false;
}

static void *copy(struct arena *arena, const void *items, size_t count, size_t size)
{
	void *made = arena_room(arena, count * size + 1);

	if (made != NULL && count > 0)
		memcpy(made, items, count * size);
	return made;
}

int stock_list(struct stock *stock, struct fsm *fsm, struct arena *arena, struct node_list *ret_nodes,
	       struct disk_list *ret_disks, struct error *error)
{
	struct node_list nodes;
	struct disk_list disks;
	int rv = 0;

	if (stock->whole)
		refresh_all(stock, fsm);
	if (!stock->whole)
		rv = fill(stock, fsm, error);
	if (rv != 0)
		return rv;
	nodes = (struct node_list){ stock->node_count,
				    copy(arena, stock->nodes, stock->node_count, sizeof(*stock->nodes)) };
	disks = (struct disk_list){ stock->disk_count,
				    copy(arena, stock->disks, stock->disk_count, sizeof(*stock->disks)) };
	if (nodes.items == NULL || disks.items == NULL)
		return error_set_nomem(error);
	*ret_nodes = nodes;
	*ret_disks = disks;
	return 0;
}
