/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/change.h"

#include "lib/model/names.h"
#include "src/dnvmed.h"
#include "src/handlers.h"
#include "src/handlers_event.h"
#include "src/request_internal.h"
#include "src/session.h"

/* For those that may go on in a turn of the loop. */
#define BUDGET_NS 2000000u

void change_init(struct change_waits *waits)
{
	for (size_t i = 0; i < CHANGE_BUCKETS; i++)
		list_init(&waits->buckets[i]);
	list_init(&waits->changed);
	list_init(&waits->due);
}

/* Who waits for an event waits in the bucket of this id, which no volume has. */
#define ANY_VOLUME 0u

static struct list *bucket_of(struct change_waits *waits, uint64_t volume)
{
	return &waits->buckets[volume % CHANGE_BUCKETS];
}

/* Whether the job goes on, as far as this server knows. Its volume changes whenever it does. */
static bool job_runs(struct request *request, uint64_t *ret_volume)
{
	const struct job_wait_request *params = request->params;
	struct arena arena = ARENA_INIT;
	struct operation operation;
	uint64_t id;
	bool runs;

	runs = names_id_parse("j", params->id, &id) == 0 &&
	       fsm_operation_get(request->dnvmed->fsm, id, &arena, &operation, NULL) == 0 &&
	       operation.phase != OPERATION_PHASE_OVER;
	if (runs)
		*ret_volume = operation.volume;
	arena_free(&arena);
	return runs;
}

/* Whether the volume is, as far as this server knows, as the request has seen it. What else there is to say (it is
 * gone, the store failed) is for the answer to say. */
static bool is_unchanged(struct request *request, uint64_t *ret_volume)
{
	const struct volume_get_request *params = request->params;
	struct arena arena = ARENA_INIT;
	struct volume volume;
	bool unchanged;

	if (request->method->id == METHOD_ID_JOB_WAIT)
		return job_runs(request, ret_volume);
	if (request->method->id == METHOD_ID_EVENT_LIST) {
		*ret_volume = ANY_VOLUME;
		return event_list_is_empty(request);
	}
	unchanged = fsm_volume_find(request->dnvmed->fsm, params->name, &arena, &volume, NULL) == 0 &&
		    volume.revision <= params->after_revision;
	if (unchanged)
		*ret_volume = volume.id;
	arena_free(&arena);
	return unchanged;
}

/* For how long it may wait; NULL: it never waits. */
static uint64_t *wait_ms_of(const struct request *request)
{
	if (request->method->id == METHOD_ID_VOLUME_GET)
		return &((struct volume_get_request *)request->params)->wait_ms;
	if (request->method->id == METHOD_ID_JOB_WAIT)
		return &((struct job_wait_request *)request->params)->wait_ms;
	if (request->method->id == METHOD_ID_EVENT_LIST)
		return &((struct event_list_request *)request->params)->wait_ms;
	return NULL;
}

static bool may_wait(const struct request *request)
{
	const uint64_t *wait_ms = wait_ms_of(request);

	return wait_ms != NULL && *wait_ms > 0;
}

/* Most waiters ask for the same time, so the place is nearly always the last. */
static void due_insert(struct list *due, struct request *request)
{
	struct list *behind = due->previous;

	while (behind != due && list_entry(behind, struct request, state_link)->change_ms > request->change_ms)
		behind = behind->previous;
	list_append(behind->next, &request->state_link);
}

bool change_wait(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	uint64_t now = uv_now(&dnvmed->loop), volume = 0;

	if (!may_wait(request) || request->change_over)
		return false;
	if (request->change_ms == 0)
		request->change_ms = now + *wait_ms_of(request);
	if (request->change_ms <= now || !is_unchanged(request, &volume)) {
		request->change_over = true;
		return false;
	}
	request_state_set(request, REQUEST_WAIT_CHANGE);
	request->attempt_ms = now;
	request->volume = volume;
	due_insert(&dnvmed->changes.due, request);
	list_remove(&request->change_link);
	list_append(bucket_of(&dnvmed->changes, volume), &request->change_link);
	return true;
}

const void *change_params_at_once(struct request *request)
{
	if (!may_wait(request))
		return NULL;
	*wait_ms_of(request) = 0;
	return request->params;
}

static void bucket_changed(struct dnvmed *dnvmed, uint64_t volume)
{
	list_for_each(node, next, bucket_of(&dnvmed->changes, volume))
	{
		struct request *request = list_entry(node, struct request, change_link);

		if (request->volume != volume)
			continue;
		list_remove(&request->change_link);
		list_append(&dnvmed->changes.changed, &request->change_link);
	}
}

void change_of_volume(struct dnvmed *dnvmed, uint64_t volume)
{
	bucket_changed(dnvmed, volume);
}

void change_of_something(struct dnvmed *dnvmed)
{
	bucket_changed(dnvmed, ANY_VOLUME);
}

void change_of_all(struct dnvmed *dnvmed)
{
	list_for_each(node, next, &dnvmed->changes.due)
	{
		struct request *request = list_entry(node, struct request, state_link);

		list_remove(&request->change_link);
		list_append(&dnvmed->changes.changed, &request->change_link);
	}
}

static void answer_here(struct request *request)
{
	struct error failure;

	error_clear(&failure);
	if (handler_of(request->method->id)->answer(request, &failure) != 0)
		request_fail(request, &failure);
}

/* From waiting for a change to waiting for a leader, with all the time that a new request has for that; or to its
 * answer, if that is this server's own. */
static void go_on(struct request *request)
{
	request_hold(request);
	list_remove(&request->change_link);
	if (request->method->flags & METHOD_LOCAL) {
		answer_here(request);
		request_release(request);
		return;
	}
	request_state_set(request, REQUEST_WAIT_LEADER);
	request->leader_deadline_ms = uv_now(&request->dnvmed->loop) + LIMIT_LEADER_WAIT_MS;
	request_route(request);
	request_release(request);
}

bool change_prepare(struct dnvmed *dnvmed)
{
	uint64_t begin = uv_hrtime();
	struct list changed;

	/* Ten thousand that wait for one event are looked at a few at a time, so that others get their turn. */
	list_take(&changed, &dnvmed->changes.changed);
	while (!list_is_empty(&changed) && uv_hrtime() - begin < BUDGET_NS) {
		struct request *request = list_entry(changed.next, struct request, change_link);
		uint64_t volume = 0;

		list_remove(&request->change_link);
		/* Not every change of a volume raises its revision. */
		if (is_unchanged(request, &volume)) {
			request->volume = volume;
			list_append(bucket_of(&dnvmed->changes, volume), &request->change_link);
			continue;
		}
		request->change_over = true;
		go_on(request);
	}
	while (!list_is_empty(&changed)) {
		struct list *link = changed.next;

		list_remove(link);
		list_append(&dnvmed->changes.changed, link);
	}
	return !list_is_empty(&dnvmed->changes.changed);
}

void change_tick(struct dnvmed *dnvmed)
{
	bool all = dnvmed_is_stopping(dnvmed) || !dnvmed_leader_is_known(dnvmed);
	uint64_t now = uv_now(&dnvmed->loop);
	struct list *due = &dnvmed->changes.due;

	/* None comes back: its time is over, or there is no leader with whom it could wait. */
	while (!list_is_empty(due)) {
		struct request *request = list_entry(due->next, struct request, state_link);

		if (!all && request->change_ms > now)
			break;
		go_on(request);
	}
}
