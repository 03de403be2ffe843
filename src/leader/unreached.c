/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/unreached.h"

#include <string.h>

#include "src/leader/parted.h"
#include "src/leader/slots.h"

/* What keeps a slot that a host does not reach where it is. */
enum obstacle {
	OBSTACLE_NONE,	 /* nothing: it moves */
	OBSTACLE_NOT_SO, /* no host waits because of it */
	OBSTACLE_OTHER_HOST,
	OBSTACLE_EARLY,
	OBSTACLE_LATELY,
	OBSTACLE_BUSY,
	OBSTACLE_NO_STANDBY,
};

static bool is_attached(const struct volume *volume, const char *nqn)
{
	for (size_t i = 0; i < volume->hosts.count; i++) {
		if (strcmp(volume->hosts.items[i], nqn) == 0)
			return true;
	}
	return false;
}

/* Whether the host says that it reaches none of the holders, and so can neither read nor write; and for how long. One
 * that reaches another slot's holder goes on through that. */
static bool is_cut_off(const struct online_view *view, const struct reach_host *host, uint64_t *ret_for_ms)
{
	const struct slot_list *slots = &view->volume->slots;
	uint64_t least_ms = UINT64_MAX, for_ms = 0;

	for (size_t i = 0; i < slots->count; i++) {
		if (reach_of(host, slots->items[i].holder, view->now_ms, &for_ms) != REACH_LOST)
			return false;
		if (for_ms < least_ms)
			least_ms = for_ms;
	}
	*ret_for_ms = least_ms;
	return slots->count > 0;
}

/* Since when a slot that moved for this reason serves, by the record, which a new leader knows, too; a clock that was
 * put back does not count. */
static uint64_t served_ms(const struct online_view *view, size_t index)
{
	const struct slot *slot = &view->volume->slots.items[index];
	uint64_t wall_ms = view->wall_ms > slot->since_ms ? view->wall_ms - slot->since_ms : 0;
	uint64_t seen_ms = view->now_ms - moments_slot_since(view->moments, slot, index, view->now_ms);

	return wall_ms > seen_ms ? wall_ms : seen_ms;
}

static bool all_serve(const struct volume *volume)
{
	for (size_t i = 0; i < volume->slots.count; i++) {
		if (volume->slots.items[i].phase != SLOT_PHASE_SERVING)
			return false;
	}
	return true;
}

/* How many of the hosts that wait reach the node. */
static size_t reached_count(const struct online_view *view, const char *node)
{
	size_t count = 0;
	uint64_t for_ms;

	for (size_t i = 0; i < view->reach->count; i++) {
		const struct reach_host *host = view->reach->hosts[i];

		count += is_attached(view->volume, host->nqn) && is_cut_off(view, host, &for_ms) &&
			 reach_of(host, node, view->now_ms, NULL) == REACH_LIVE;
	}
	return count;
}

/* As for a drain: one that is ready, so that the pause is short. */
static const struct online_node *standby_find(const struct online_view *view)
{
	const struct online_node *best = NULL;
	size_t best_count = 0;

	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];
		const struct online_node *node = online_node(view, controller->node);
		size_t count;

		if (controller->role != CONTROLLER_ROLE_STANDBY || !online_is(node, HEALTH_ONLINE) || node->unable ||
		    node->cordoned || node->draining ||
		    !online_at(view, online_controller(view, node->name), OBJECT_STATE_CONVERGED))
			continue;
		count = reached_count(view, node->name);
		if (count > best_count || (count > 0 && count == best_count && slots_is_better(node, best))) {
			best = node;
			best_count = count;
		}
	}
	return best;
}

static enum obstacle wait_for(struct online_step *step, uint64_t ms, enum obstacle obstacle)
{
	if (step != NULL)
		online_look(step, ms);
	return obstacle;
}

/* *ret_host: one that waits, unless the answer is NOT_SO. */
static enum obstacle look(const struct online_view *view, size_t index, struct online_step *step,
			  const struct reach_host **ret_host, const struct online_node **ret_standby)
{
	const struct slot *slot = &view->volume->slots.items[index];
	uint64_t longest_ms = 0, led_ms = view->now_ms - view->leader_since_ms, for_ms;
	const struct reach_host *waits = NULL;
	bool other = false;

	if (view->reach == NULL || slot->phase != SLOT_PHASE_SERVING ||
	    !online_is(online_node(view, slot->holder), HEALTH_ONLINE))
		return OBSTACLE_NOT_SO;
	for (size_t i = 0; i < view->reach->count; i++) {
		const struct reach_host *host = view->reach->hosts[i];

		if (!is_attached(view->volume, host->nqn))
			continue;
		other = other || reach_of(host, slot->holder, view->now_ms, NULL) == REACH_LIVE;
		if (is_cut_off(view, host, &for_ms) && (waits == NULL || for_ms > longest_ms)) {
			waits = host;
			longest_ms = for_ms;
		}
	}
	if (waits == NULL)
		return OBSTACLE_NOT_SO;
	*ret_host = waits;
	if (other)
		return OBSTACLE_OTHER_HOST;
	if (longest_ms < UNREACHED_MS)
		return wait_for(step, UNREACHED_MS - longest_ms, OBSTACLE_EARLY);
	/* By then every host that has something to say has said it. */
	if (led_ms < REACH_LIVE_MS)
		return wait_for(step, REACH_LIVE_MS - led_ms, OBSTACLE_EARLY);
	if (slot->reason == MOVE_REASON_UNREACHED && served_ms(view, index) < UNREACHED_AGAIN_MS)
		return wait_for(step, UNREACHED_AGAIN_MS - served_ms(view, index), OBSTACLE_LATELY);
	/* Nothing may wait on its way from one holder to another one while this one is shut out: parted.h comes first.
	 */
	if (!all_serve(view->volume) || !parted_paths_are_there(view))
		return OBSTACLE_BUSY;
	*ret_standby = standby_find(view);
	return *ret_standby != NULL ? OBSTACLE_NONE : OBSTACLE_NO_STANDBY;
}

const struct online_node *unreached_successor(const struct online_view *view, size_t index, struct online_step *step)
{
	const struct online_node *standby = NULL;
	const struct reach_host *host = NULL;

	return look(view, index, step, &host, &standby) == OBSTACLE_NONE ? standby : NULL;
}

int unreached_wait(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		   struct error *error)
{
	static const char *const sentences[] = {
		[OBSTACLE_OTHER_HOST] = "another host has one",
		[OBSTACLE_EARLY] = "it may be a blink",
		[OBSTACLE_LATELY] = "the slot moved for that reason less than 15 s ago",
		[OBSTACLE_BUSY] = "the slots and their paths have to be well before one is moved",
		[OBSTACLE_NO_STANDBY] = "no standby that it reaches is ready",
	};
	const struct online_node *standby = NULL;
	const struct reach_host *host = NULL;
	enum obstacle obstacle = look(view, index, step, &host, &standby);

	if (obstacle == OBSTACLE_NONE || obstacle == OBSTACLE_NOT_SO)
		return 0;
	return online_wait(step,
			   arena_printf(arena, "slot %zu: host %s has no path to node %s; %s", index, host->nqn,
					view->volume->slots.items[index].holder, sentences[obstacle]),
			   error);
}
