/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/fair.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/dnvmed.h"
#include "src/request_internal.h"
#include "src/session.h"

#define BUDGET_NS 2000000u
/* Another server's connection stands for all of its clients. */
#define FRAMES_PEER 8u

static void source_init(struct fair_source *source, const char *name)
{
	snprintf(source->name, sizeof(source->name), "%s", name);
	list_init(&source->sessions);
	for (unsigned kind = 0; kind < FAIR_KINDS; kind++) {
		list_init(&source->links[kind]);
		list_init(&source->waiting[kind]);
	}
}

void fair_init(struct fair *fair)
{
	for (unsigned kind = 0; kind < FAIR_KINDS; kind++)
		list_init(&fair->rings[kind]);
	source_init(&fair->common, "");
	fair->common.references = 1;
	fair->budget_ns = BUDGET_NS;
}

int fair_open(struct dnvmed *dnvmed)
{
	int rv = uv_timer_init(&dnvmed->loop, &dnvmed->fair.wake);

	dnvmed->fair.wake_open = rv == 0;
	return rv;
}

void fair_close(struct dnvmed *dnvmed)
{
	if (dnvmed->fair.wake_open)
		uv_close((uv_handle_t *)&dnvmed->fair.wake, NULL);
	dnvmed->fair.wake_open = false;
}

void fair_free(struct fair *fair)
{
	table_free(&fair->sources);
}

/* --- sources ---------------------------------------------------------------------------------------------------- */

static struct fair_source *source_get(struct fair *fair, const char *name)
{
	struct fair_source *source = table_get(&fair->sources, name);

	if (source == NULL) {
		source = calloc(1, sizeof(*source));
		if (source != NULL) {
			source_init(source, name);
			if (table_put(&fair->sources, source->name, source) != 0) {
				free(source);
				source = NULL;
			}
		}
	}
	if (source == NULL)
		source = &fair->common;
	source->references++;
	return source;
}

static void source_put(struct fair *fair, struct fair_source *source)
{
	if (--source->references > 0)
		return;
	table_remove(&fair->sources, source->name);
	free(source);
}

static bool is_client(const struct session *session)
{
	return session->kind == SESSION_CLIENT;
}

void fair_session_begin(struct session *session, const char *source)
{
	struct fair_place *place = &session->fair;

	list_init(&place->source_link);
	for (unsigned kind = 0; kind < FAIR_KINDS; kind++)
		list_init(&place->links[kind]);
	list_init(&place->steps);
	list_init(&place->parked);
	place->source = source_get(&session->dnvmed->fair, source);
	place->source->clients += is_client(session);
	list_append(&place->source->sessions, &place->source_link);
}

/* A session leaves a ring, and its source if nobody of it is left there. */
static void leave(struct session *session, enum fair_kind kind)
{
	struct fair_source *source = session->fair.source;

	list_remove(&session->fair.links[kind]);
	if (list_is_empty(&source->waiting[kind]))
		list_remove(&source->links[kind]);
}

static void enter(struct session *session, enum fair_kind kind)
{
	struct fair_source *source = session->fair.source;

	if (!list_is_empty(&session->fair.links[kind]))
		return;
	list_append(&source->waiting[kind], &session->fair.links[kind]);
	if (list_is_empty(&source->links[kind]))
		list_append(&session->dnvmed->fair.rings[kind], &source->links[kind]);
}

void fair_session_end(struct session *session)
{
	struct fair_source *source = session->fair.source;

	if (source == NULL)
		return;
	for (unsigned kind = 0; kind < FAIR_KINDS; kind++)
		leave(session, kind);
	list_remove(&session->fair.source_link);
	source->clients -= is_client(session);
	session->fair.source = NULL;
	source_put(&session->dnvmed->fair, source);
}

void fair_session_move(struct session *session, const char *source)
{
	struct fair_place *place = &session->fair;

	fair_session_end(session);
	if (source == NULL)
		return;
	place->source = source_get(&session->dnvmed->fair, source);
	list_append(&place->source->sessions, &place->source_link);
	if (!list_is_empty(&place->steps))
		enter(session, FAIR_STEP);
	if (!list_is_empty(&place->parked))
		enter(session, FAIR_ADMIT);
	fair_session_look(session);
}

struct session *fair_session_yields(struct dnvmed *dnvmed, const struct session *newcomer)
{
	const struct fair_source *most = newcomer->fair.source;
	struct list *link;

	for (struct table_entry *entry = table_next(&dnvmed->fair.sources, NULL); entry != NULL;
	     entry = table_next(&dnvmed->fair.sources, entry)) {
		const struct fair_source *source = entry->value;

		if (source->clients > most->clients)
			most = source;
	}
	if (most == newcomer->fair.source)
		return NULL;
	/* The last one: those that were there before go on. */
	for (link = most->sessions.previous; link != &most->sessions; link = link->previous) {
		struct session *session = list_entry(link, struct session, fair.source_link);

		if (is_client(session))
			return session;
	}
	return NULL;
}

/* --- requests --------------------------------------------------------------------------------------------------- */

static bool has_room(const struct dnvmed *dnvmed, const struct fair_source *source)
{
	size_t limit = dnvmed->leading ? LIMIT_UNDER_WAY : LIMIT_UNDER_WAY_FORWARDED;

	return dnvmed->fair.under_way < limit || source->under_way < LIMIT_UNDER_WAY_LEAST;
}

void fair_weigh(struct request *request, bool under_way)
{
	struct fair_source *source = request->source;

	if (source == NULL || request->under_way == under_way)
		return;
	request->under_way = under_way;
	if (under_way) {
		source->under_way++;
		request->dnvmed->fair.under_way++;
	} else {
		source->under_way--;
		request->dnvmed->fair.under_way--;
	}
}

void fair_forget(struct request *request)
{
	if (request->source == NULL)
		return;
	fair_weigh(request, false);
	source_put(&request->dnvmed->fair, request->source);
	request->source = NULL;
}

bool fair_admit(struct request *request)
{
	struct session *session = request->session;

	if (session->fair.source == NULL)
		return true;
	request->source = session->fair.source;
	request->source->references++;
	if (list_is_empty(&request->source->links[FAIR_ADMIT]) && has_room(request->dnvmed, request->source))
		return true;
	list_append(&session->fair.parked, &request->state_link);
	enter(session, FAIR_ADMIT);
	return false;
}

void fair_step(struct request *request)
{
	struct session *session = request->session;

	if (session->fair.source == NULL) {
		request_step(request);
		return;
	}
	list_append(&session->fair.steps, &request->state_link);
	enter(session, FAIR_STEP);
}

static bool wants_input(const struct session *session)
{
	return session->fair.source != NULL && !session->ending && list_is_empty(&session->fair.parked) &&
	       !session_is_full(session) && connection_frame_waits(&session->connection);
}

void fair_session_look(struct session *session)
{
	if (wants_input(session))
		enter(session, FAIR_INPUT);
}

/* --- the slice -------------------------------------------------------------------------------------------------- */

/* The session whose turn it is. Its source goes behind the others, and so does it, if it is put in again. */
static struct session *next_of(struct fair *fair, struct fair_source *source, enum fair_kind kind)
{
	struct list *link = source->waiting[kind].next;
	struct session *session = (struct session *)((char *)(link - kind) - offsetof(struct session, fair.links));

	list_remove(link);
	list_remove(&source->links[kind]);
	if (!list_is_empty(&source->waiting[kind]))
		list_append(&fair->rings[kind], &source->links[kind]);
	return session;
}

static struct fair_source *first_of(const struct fair *fair, enum fair_kind kind)
{
	struct list *link = fair->rings[kind].next;

	return (struct fair_source *)((char *)(link - kind) - offsetof(struct fair_source, links));
}

static struct request *request_take(struct list *requests)
{
	struct request *request = list_entry(requests->next, struct request, state_link);

	list_remove(&request->state_link);
	return request;
}

static void steps_run(struct dnvmed *dnvmed)
{
	struct fair *fair = &dnvmed->fair;
	uint64_t begin = uv_hrtime();

	while (!list_is_empty(&fair->rings[FAIR_STEP]) && uv_hrtime() - begin < fair->budget_ns) {
		struct session *session = next_of(fair, first_of(fair, FAIR_STEP), FAIR_STEP);
		struct request *request;

		/* What was in the list may have been answered meanwhile: its deadline passed. */
		if (list_is_empty(&session->fair.steps))
			continue;
		request = request_take(&session->fair.steps);
		if (!list_is_empty(&session->fair.steps))
			enter(session, FAIR_STEP);
		request_step(request);
	}
}

/* Each source once: those that have much under way may have to wait while others need not. Returns whether somebody was
 * admitted. */
static bool admit_pass(struct dnvmed *dnvmed, uint64_t end)
{
	struct fair *fair = &dnvmed->fair;
	bool admitted = false;
	struct list ring;

	list_take(&ring, &fair->rings[FAIR_ADMIT]);
	while (!list_is_empty(&ring)) {
		struct list *link = ring.next;
		struct fair_source *source =
			(struct fair_source *)((char *)(link - FAIR_ADMIT) - offsetof(struct fair_source, links));
		struct session *session;

		list_remove(link);
		list_append(&fair->rings[FAIR_ADMIT], link);
		if (!has_room(dnvmed, source) || uv_hrtime() >= end)
			continue;
		admitted = true;
		session = next_of(fair, source, FAIR_ADMIT);
		if (!list_is_empty(&session->fair.parked))
			request_route(request_take(&session->fair.parked));
		fair_session_look(session);
	}
	return admitted;
}

static void input_run(struct dnvmed *dnvmed)
{
	struct fair *fair = &dnvmed->fair;
	uint64_t begin = uv_hrtime();

	while (!list_is_empty(&fair->rings[FAIR_INPUT]) && uv_hrtime() - begin < fair->budget_ns) {
		struct session *session = next_of(fair, first_of(fair, FAIR_INPUT), FAIR_INPUT);
		unsigned frames = session->kind == SESSION_PEER ? FRAMES_PEER : 1;

		while (frames-- > 0 && wants_input(session))
			connection_pull(&session->connection);
		fair_session_look(session);
	}
}

void fair_prepare(struct dnvmed *dnvmed)
{
	uint64_t end;

	steps_run(dnvmed);
	end = uv_hrtime() + dnvmed->fair.budget_ns;
	while (admit_pass(dnvmed, end))
		;
	input_run(dnvmed);
}

static void on_wake(uv_timer_t *timer)
{
	(void)timer; /* the loop turns, which is all */
}

void fair_wake(struct dnvmed *dnvmed, bool something)
{
	const struct fair *fair = &dnvmed->fair;

	for (struct list *link = fair->rings[FAIR_ADMIT].next; !something && link != &fair->rings[FAIR_ADMIT];
	     link = link->next)
		something = has_room(dnvmed, (struct fair_source *)((char *)(link - FAIR_ADMIT) -
								    offsetof(struct fair_source, links)));
	if (fair->wake_open &&
	    (something || !list_is_empty(&fair->rings[FAIR_STEP]) || !list_is_empty(&fair->rings[FAIR_INPUT])))
		uv_timer_start(&dnvmed->fair.wake, on_wake, 0, 0);
}
