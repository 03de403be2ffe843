/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/view.h"

#include <string.h>

#include "src/agents.h"
#include "src/dnvmed.h"

#define VIEW_PAGE 1024u

static int append_nodes(struct node_list *all, const struct node_list *more, struct arena *arena, struct error *error)
{
	struct node *items = arena_alloc_array(arena, all->count + more->count, sizeof(*items));

	if (items == NULL)
		return error_set_nomem(error);
	if (all->count > 0)
		memcpy(items, all->items, all->count * sizeof(*items));
	if (more->count > 0)
		memcpy(items + all->count, more->items, more->count * sizeof(*items));
	*all = (struct node_list){ all->count + more->count, items };
	return 0;
}

static int append_disks(struct disk_list *all, const struct disk_list *more, struct arena *arena, struct error *error)
{
	struct disk *items = arena_alloc_array(arena, all->count + more->count, sizeof(*items));

	if (items == NULL)
		return error_set_nomem(error);
	if (all->count > 0)
		memcpy(items, all->items, all->count * sizeof(*items));
	if (more->count > 0)
		memcpy(items + all->count, more->items, more->count * sizeof(*items));
	*all = (struct disk_list){ all->count + more->count, items };
	return 0;
}

int view_fill(struct dnvmed *dnvmed, struct arena *arena, struct placement_view *view, struct error *error)
{
	struct cluster cluster;
	enum health *health;
	bool more = true;

	if (fsm_cluster_get(dnvmed->fsm, arena, &cluster, error) != 0)
		return error->code;
	view->extent_bytes = cluster.extent_bytes;
	while (more) {
		const char *after = view->nodes.count > 0 ? view->nodes.items[view->nodes.count - 1].name : NULL;
		struct node_list nodes;

		if (fsm_node_list(dnvmed->fsm, after, VIEW_PAGE, arena, &nodes, &more, error) != 0 ||
		    append_nodes(&view->nodes, &nodes, arena, error) != 0)
			return error->code;
		more = more && nodes.count > 0;
	}
	for (more = true; more;) {
		uint64_t after = view->disks.count > 0 ? view->disks.items[view->disks.count - 1].id : 0;
		struct disk_list disks;

		if (fsm_disk_list(dnvmed->fsm, NULL, after, VIEW_PAGE, arena, &disks, &more, error) != 0 ||
		    append_disks(&view->disks, &disks, arena, error) != 0)
			return error->code;
		more = more && disks.count > 0;
	}
	health = arena_alloc_array(arena, view->nodes.count, sizeof(*health));
	if (health == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < view->nodes.count; i++) {
		const struct agent *agent = agents_get(dnvmed, view->nodes.items[i].name);

		health[i] = agent != NULL ? agent->health.state : HEALTH_UNKNOWN;
	}
	view->health = health;
	return 0;
}

int view_refused(const struct placement_view *view, struct error *error)
{
	for (size_t i = 0; error->code == ERROR_NO_CAPACITY && i < view->nodes.count; i++) {
		const struct node *node = &view->nodes.items[i];

		/* Not for longer than a lease: then it is offline. */
		if (view->health[i] == HEALTH_UNKNOWN && !node->cordoned)
			return error_set(error, ERROR_UNAVAILABLE,
					 "the leader has just begun, and has not heard of node %s yet", node->name);
	}
	return (int)error->code;
}
