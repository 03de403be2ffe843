/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events behind one. */
#include <inttypes.h>
#include <string.h>

#include "fsm/events.h"
#include "fsm/query.h"
#include "lib/base/canary.h"
#include "lib/model/names.h"

struct event_walk {
	struct state *state;
	const struct fsm_event_query *query;
	struct fsm_events *events;
	size_t left; /* that may still be looked at */
};

static bool passes(const struct fsm_event_query *query, const struct event *event)
{
	uint64_t id;

	if (query->volume != NULL) {
		/* No volume has a name of this form. */
		if (names_id_parse("v", query->volume, &id) == 0
			    ? event->volume != id
			    : event->volume_name == NULL || strcmp(event->volume_name, query->volume) != 0)
			return false;
	}
	return query->node == NULL || (event->node != NULL && strcmp(event->node, query->node) == 0) ||
	       (event->previous != NULL && strcmp(event->previous, query->node) == 0);
}

static int event_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct event_walk *walk = data;
	struct fsm_events *events = walk->events;
	struct event event, *item;
	int result;

	if (key.size != 16)
		return error_set(error, ERROR_INTERNAL, "the key of an event is damaged");
	if (walk->left == 0 || events->list.count == walk->query->limit) {
		events->more = true;
		return STATE_WALK_STOP;
	}
	result = state_decode(walk->state, STORE_TABLE_EVENT, value, schema_event(), &event, error);
	if (result != 0)
		return result;
	walk->left--;
	events->revision = event.revision;
	events->index = event.index;
	if (!passes(walk->query, &event) ||
	    (canary("watch_gap") && walk->query->limit == 1 && event.revision % 50 == 0))
		return 0;
	item = list_add(walk->state->arena, &events->list, sizeof(*item));
	if (item == NULL)
		return state_nomem(walk->state, error);
	*item = event;
	return 0;
}

static int compacted(const struct fsm_event_query *query, uint64_t revision, struct error *error)
{
	error_set(error, ERROR_COMPACTED,
		  "after_revision: events up to revision %" PRIu64 " are not kept any more, %" PRIu64 " is among them",
		  revision, query->after_revision);
	return error_hint(error, "read the objects anew, and go on with after_revision %" PRIu64, revision);
}

int fsm_event_list(struct fsm *fsm, const struct fsm_event_query *query, struct arena *arena,
		   struct fsm_events *ret_events, struct error *error)
{
	struct fsm_events events = { .revision = query->after_revision, .index = query->after_index };
	struct fsm_event_query asked = *query;
	struct event_walk walk = { .query = &asked, .events = &events, .left = FSM_EVENTS_LOOKED_AT };
	struct bytes all = { NULL, 0 };
	uint64_t dropped = 0;
	struct state state;
	struct key key;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	/* None is read twice soon. */
	state.records = NULL;
	walk.state = &state;
	if (asked.limit == 0 || asked.limit > LIMIT_LIST_PAGE)
		asked.limit = LIMIT_LIST_PAGE;
	result = events_compacted(&state, &dropped, error);
	if (result == 0 && query->after_revision != 0 &&
	    (query->after_revision < dropped || (query->after_revision == dropped && query->after_index != 0)))
		result = compacted(query, dropped, error);
	/* No event has the last number of a revision. */
	if (result == 0)
		result = state_walk(&state, STORE_TABLE_EVENT,
				    key_id_id(&key, query->after_revision,
					      query->after_index == 0 ? UINT64_MAX : (uint64_t)query->after_index + 1),
				    all, event_visit, &walk, error);
	query_close(&state);
	if (result != 0)
		return result;
	/* All of what there is was looked at. This replica may be behind another one that was asked before. */
	if (!events.more && fsm->counters.revision >= events.revision) {
		events.revision = fsm->counters.revision;
		events.index = 0;
	}
	*ret_events = events;
	return 0;
}

/* --- the latest of a volume -----------------------------------------------------------------------------------------
 */

/* Revisions that are read at once, backwards; more when they have few events. */
#define WINDOW 64u

struct last_walk {
	struct state *state;
	uint64_t volume, until; /* its last revision */
	size_t looked_at;
	struct event_list found;
};

static int last_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct last_walk *walk = data;
	struct event event, *item;
	int result;

	if (key.size != 16)
		return error_set(error, ERROR_INTERNAL, "the key of an event is damaged");
	result = state_decode(walk->state, STORE_TABLE_EVENT, value, schema_event(), &event, error);
	if (result != 0)
		return result;
	if (event.revision > walk->until)
		return STATE_WALK_STOP;
	walk->looked_at++;
	if (event.volume != walk->volume)
		return 0;
	item = list_add(walk->state->arena, &walk->found, sizeof(*item));
	if (item == NULL)
		return state_nomem(walk->state, error);
	*item = event;
	return 0;
}

/* Put the last ones of `earlier` before those of `list`, up to `limit`. */
static int events_prepend(struct arena *arena, const struct event_list *earlier, size_t limit, struct event_list *list)
{
	size_t count = earlier->count < limit - list->count ? earlier->count : limit - list->count;
	struct event *items = arena_alloc_array(arena, count + list->count + 1, sizeof(*items));

	if (items == NULL)
		return -1;
	for (size_t i = 0; i < count; i++)
		items[i] = earlier->items[earlier->count - count + i];
	for (size_t i = 0; i < list->count; i++)
		items[count + i] = list->items[i];
	*list = (struct event_list){ count + list->count, items };
	return 0;
}

int fsm_event_last(struct fsm *fsm, uint64_t volume, size_t limit, struct arena *arena, struct event_list *ret_list,
		   struct error *error)
{
	struct event_list list = { 0 };
	struct bytes all = { NULL, 0 };
	uint64_t dropped = 0, width = WINDOW, until;
	size_t left = FSM_EVENTS_LOOKED_AT;
	struct state state;
	int result = query_open(fsm, arena, &state, error);

	if (result != 0)
		return result;
	state.records = NULL; /* none is read twice soon */
	result = events_compacted(&state, &dropped, error);
	until = fsm->counters.revision;
	while (result == 0 && until > dropped && list.count < limit && left > 0) {
		uint64_t after = until - dropped > width ? until - width : dropped;
		struct last_walk walk = { .state = &state, .volume = volume, .until = until };
		struct key key;

		result = state_walk(&state, STORE_TABLE_EVENT, key_id_id(&key, after, UINT64_MAX), all, last_visit,
				    &walk, error);
		if (result == 0 && walk.found.count > 0 && events_prepend(arena, &walk.found, limit, &list) != 0)
			result = state_nomem(&state, error);
		left -= walk.looked_at < left ? walk.looked_at : left;
		/* Where a majority was lost for good, revisions were left out. */
		if (walk.looked_at < WINDOW && width < UINT64_MAX / 2)
			width *= 2;
		else
			width = WINDOW;
		until = after;
	}
	query_close(&state);
	if (result == 0)
		*ret_list = list;
	return result;
}
