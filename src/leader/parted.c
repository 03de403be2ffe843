/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/parted.h"

#include <string.h>

#include "src/leader/slots.h"

static const struct peer_status *peer_of(const struct reported_health *health, size_t slot)
{
	for (size_t i = 0; health != NULL && i < health->peers.count; i++) {
		if (health->peers.items[i].slot == slot)
			return &health->peers.items[i];
	}
	return NULL;
}

static uint64_t since_ms(const struct online_view *view, size_t index)
{
	uint64_t since = moments_slot_since(view->moments, &view->volume->slots.items[index], index, view->now_ms);

	return view->now_ms - since;
}

static bool is_parting(const struct slot *slot)
{
	return slot->reason == MOVE_REASON_PARTED && slot->phase != SLOT_PHASE_SERVING;
}

static bool is_served(const struct slot *slot)
{
	return slot->phase == SLOT_PHASE_SERVING || slot->phase == SLOT_PHASE_EXPORTING;
}

/* For how long the holder of `index` has been known to be one that the holder of `other` let in since either slot got
 * its epoch, which happens once; false: it was not, or that was not told. */
static bool has_joined(const struct online_view *view, size_t index, size_t other, uint64_t *ret_ms)
{
	const struct slot_list *slots = &view->volume->slots;
	const struct reported_health *health = online_health(view, slots->items[other].holder);
	const struct peer_status *peer = peer_of(health, index);

	if (peer == NULL || peer->joined != slots->items[index].epoch + slots->items[other].epoch)
		return false;
	*ret_ms = peer->joined_ms + (view->now_ms - health->received_ms);
	return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whether the holder of `index` lost that of `other`, and for long enough that it counts. */
static bool has_lost(const struct online_view *view, size_t index, size_t other, const struct reported_health *health,
		     struct online_step *step)
{
	const struct slot *slot = &view->volume->slots.items[other], *own = &view->volume->slots.items[index];
	const struct peer_status *peer = peer_of(health, other);
	uint64_t lost_ms, joined_ms = UINT64_MAX;

	if (peer == NULL || !peer->path_lost)
		return false;
	lost_ms = peer->path_lost_ms + (view->now_ms - health->received_ms);
	/* The other one begins anew already: because of this, unless this is what came of it. */
	if (is_parting(slot) && !is_served(slot))
		return slot->phase == SLOT_PHASE_FENCING && lost_ms > since_ms(view, other);
	/* While it moves its consumers are without a path, and wait. */
	if (!is_served(slot) || !online_is(online_node(view, slot->holder), HEALTH_ONLINE))
		return false;
	/* Nor is a path lost that it does not have yet: it was let in, and is not any more. */
	if ((slot->phase == SLOT_PHASE_EXPORTING || own->phase == SLOT_PHASE_EXPORTING) &&
	    !has_joined(view, index, other, &joined_ms))
		return false;
	/* What it missed while either of the two was on its way does not count. */
	lost_ms = least(least(lost_ms, joined_ms), least(since_ms(view, other), since_ms(view, index)));
	if (lost_ms >= PARTED_MS)
		return true;
	if (step != NULL)
		online_look(step, PARTED_MS - lost_ms);
	return false;
}

bool parted_is(const struct online_view *view, size_t index, struct online_step *step)
{
	const struct slot *slot = &view->volume->slots.items[index];
	const struct reported_health *health = online_health(view, slot->holder);
	bool parted = false;

	if (!is_served(slot) || !online_is(online_node(view, slot->holder), HEALTH_ONLINE))
		return false;
	for (size_t i = 0; i < view->volume->slots.count; i++) {
		if (i != index)
			parted = has_lost(view, index, i, health, step) || parted;
	}
	return parted;
}

/* What has just begun anew is not old; and who does so each time that another one does never ends. */
static bool is_fresh(const struct online_view *view, size_t index, struct online_step *step)
{
	uint64_t age_ms = since_ms(view, index);

	if (view->volume->slots.items[index].phase != SLOT_PHASE_EXPORTING || age_ms >= PARTED_MS)
		return false;
	if (step != NULL)
		online_look(step, PARTED_MS - age_ms);
	return true;
}

/* Whether what waits at the holder of `index` for slot `other`, which moves, may be old. */
static bool is_old(const struct online_view *view, size_t index, size_t other, const struct reported_health *health,
		   struct online_step *step)
{
	const struct peer_status *peer = peer_of(health, other);
	enum slot_phase phase = view->volume->slots.items[other].phase;
	uint64_t lost_ms;

	if (peer == NULL || (phase != SLOT_PHASE_ASSEMBLING && phase != SLOT_PHASE_EXPORTING))
		return false;
	/* In ASSEMBLING it may not have noticed yet. */
	if (peer->host_left && (peer->path_lost || phase == SLOT_PHASE_ASSEMBLING) && !is_fresh(view, index, step))
		return true;
	lost_ms = peer->path_lost_ms + (view->now_ms - health->received_ms);
	return phase == SLOT_PHASE_ASSEMBLING && peer->path_lost && lost_ms > since_ms(view, other) + PARTED_STUCK_MS;
}

bool parted_is_stuck(const struct online_view *view, size_t index, struct online_step *step)
{
	const struct slot_list *slots = &view->volume->slots;
	const struct slot *own = &slots->items[index];
	const struct reported_health *health = online_health(view, own->holder);
	bool old = false;

	if (!is_served(own) || !online_is(online_node(view, own->holder), HEALTH_ONLINE))
		return false;
	for (size_t i = 0; i < slots->count; i++)
		old = old || (i != index && is_old(view, index, i, health, step));
	return old;
}

int parted_await_words(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		       bool *ret_may, struct error *error)
{
	const struct slot_list *slots = &view->volume->slots;

	for (size_t i = 0; i < slots->count; i++) {
		const char *holder = slots->items[i].holder;
		const struct online_node *node = online_node(view, holder);

		/* The slot of one that is offline moves, or begins anew. */
		if (i == index || !is_served(&slots->items[i]) || online_is(node, HEALTH_OFFLINE) ||
		    (online_is(node, HEALTH_ONLINE) && online_health(view, holder) != NULL))
			continue;
		*ret_may = false;
		return online_wait(
			step, arena_printf(arena, "slot %zu: node %s has not said since when it waits", index, holder),
			error);
	}
	return 0;
}

static size_t losses_count(const struct reported_health *health)
{
	size_t count = 0;

	for (size_t i = 0; health != NULL && i < health->members.count; i++)
		count += health->members.items[i].path_lost;
	for (size_t i = 0; health != NULL && i < health->peers.count; i++)
		count += health->peers.items[i].path_lost;
	return count;
}

const char *parted_successor(const struct online_view *view, size_t index)
{
	const struct slot_list *slots = &view->volume->slots;
	const char *holder = slots->items[index].holder;
	const struct online_node *standby = slots_successor(view, MOVE_REASON_PARTED);
	size_t losses = losses_count(online_health(view, holder));

	for (size_t i = 0; i < slots->count; i++) {
		const struct slot *slot = &slots->items[i];

		/* It is on its way to a standby. */
		if (is_parting(slot) && slot->previous != NULL && strcmp(slot->previous, slot->holder) != 0)
			return holder;
		if (i != index && parted_is(view, i, NULL) && losses_count(online_health(view, slot->holder)) > losses)
			return holder;
	}
	return standby != NULL ? standby->name : holder;
}

static bool has_path(const struct online_view *view, size_t index, size_t other)
{
	const struct reported_health *health = online_health(view, view->volume->slots.items[index].holder);
	const struct peer_status *peer = peer_of(health, other);

	return peer != NULL && !peer->path_lost && health->revision >= view->volume->revision;
}

bool parted_paths_are_there(const struct online_view *view)
{
	size_t count = view->volume->slots.count;

	for (size_t i = 0; i < count * count; i++) {
		if (i / count != i % count && !has_path(view, i / count, i % count))
			return false;
	}
	return true;
}

static int await_path(const struct online_view *view, size_t index, size_t other, struct arena *arena,
		      struct online_step *step, bool *ret_may, struct error *error)
{
	const struct slot_list *slots = &view->volume->slots;

	if (has_path(view, index, other))
		return 0;
	*ret_may = false;
	return online_wait(step,
			   arena_printf(arena, "node %s has no path to slot %zu at node %s yet",
					slots->items[index].holder, other, slots->items[other].holder),
			   error);
}

int parted_await_paths(const struct online_view *view, size_t index, struct arena *arena, struct online_step *step,
		       bool *ret_may, struct error *error)
{
	const struct slot_list *slots = &view->volume->slots;

	*ret_may = true;
	for (size_t i = 0; i < slots->count; i++) {
		const struct slot *other = &slots->items[i];

		if (i == index || (other->phase != SLOT_PHASE_SERVING && other->phase != SLOT_PHASE_EXPORTING))
			continue;
		/* It will move, or come back; its own export moves with it. */
		if (online_is(online_node(view, other->holder), HEALTH_OFFLINE))
			continue;
		if (await_path(view, index, i, arena, step, ret_may, error) != 0 ||
		    await_path(view, i, index, arena, step, ret_may, error) != 0)
			return error->code;
	}
	return 0;
}
