/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_event.h"

#include "src/dnvmed.h"
#include "src/page.h"
#include "src/request.h"

static const char *text_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

static struct fsm_event_query query_of(const struct event_list_request *params)
{
	return (struct fsm_event_query){ .after_revision = params->after_revision,
					 .after_index = (uint32_t)params->after_index,
					 .limit = (size_t)params->limit,
					 .volume = text_or_null(params->volume),
					 .node = text_or_null(params->node) };
}

bool event_list_is_empty(struct request *request)
{
	struct event_list_request *params = request->params;
	struct fsm_event_query query = query_of(params);
	struct arena arena = ARENA_INIT;
	struct fsm_events events;
	bool empty;

	query.limit = 1;
	/* What cannot be read is for the answer to say. */
	empty = fsm_event_list(request->dnvmed->fsm, &query, &arena, &events, NULL) == 0 && events.list.count == 0 &&
		!events.more;
	/* 0 asks for all that are kept, and stays that. */
	if (empty && params->after_revision != 0) {
		params->after_revision = events.revision;
		params->after_index = events.index;
	}
	arena_free(&arena);
	return empty;
}

int event_list_answer(struct request *request, struct error *error)
{
	struct dnvmed *dnvmed = request->dnvmed;
	const struct event_list_request *params = request->params;
	struct fsm_event_query query = query_of(params);
	struct event_page answer = { 0 };
	struct fsm_events events;
	struct page page;
	int rv;

	if (dnvmed->consensus == NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this server is not part of a cluster yet");
		return error_hint(error, "run: dnvme cluster init --name NAME");
	}
	rv = fsm_event_list(dnvmed->fsm, &query, &request->arena, &events, error);
	if (rv != 0)
		return rv;
	/* Who is cut off hears of nothing: another server may know more. */
	if (events.list.count == 0 && params->wait_ms > 0 && !dnvmed_leader_is_known(dnvmed)) {
		error_set(error, ERROR_UNAVAILABLE, "no server leads at the moment, as far as this one knows");
		return error_detail(error, "outcome=none");
	}
	answer.more = events.more;
	answer.revision = events.revision;
	answer.index = events.index;
	page_open(&page, schema_event(), 0);
	for (size_t i = 0; rv == 0 && i < events.list.count; i++) {
		rv = page_add(&page, &request->arena, &answer.events, &events.list.items[i], error);
		if (page.full) {
			answer.more = true;
			answer.revision = events.list.items[i - 1].revision;
			answer.index = events.list.items[i - 1].index;
			break;
		}
	}
	page_close(&page);
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}
