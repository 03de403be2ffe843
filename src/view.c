/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/view.h"

#include "fsm/stock.h"
#include "src/agents.h"
#include "src/dnvmed.h"

int view_fill(struct dnvmed *dnvmed, struct arena *arena, struct placement_view *view, struct error *error)
{
	struct cluster cluster;
	enum health *health;

	if (fsm_cluster_get(dnvmed->fsm, arena, &cluster, error) != 0)
		return error->code;
	view->extent_bytes = cluster.extent_bytes;
	if (stock_list(dnvmed->stock, dnvmed->fsm, arena, &view->nodes, &view->disks, error) != 0)
		return error->code;
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
