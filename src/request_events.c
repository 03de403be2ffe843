/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What befalls requests that wait: deadlines, a leader that comes or goes, agents that confirm, the end of a session or
 * of the server. */
#include "src/change.h"
#include "src/dnvmed.h"
#include "src/handlers.h"
#include "src/request_internal.h"
#include "src/session.h"

void request_session_ended(struct session *session)
{
	while (!list_is_empty(&session->requests)) {
		struct request *request = list_entry(session->requests.next, struct request, session_link);

		list_remove(&request->session_link);
		request->session = NULL;
		/* A barrier or a proposal has a callback to come, which ends the request; unless it came, and the
		 * request waits for its turn. */
		if ((request->machine.state != REQUEST_BARRIER && request->machine.state != REQUEST_PROPOSE) ||
		    (!list_is_empty(&request->state_link) && !(request->method->flags & METHOD_AGENT)))
			request_finish(request);
	}
	session->request_count = 0;
	session->request_bytes = 0;
}

static void expire(struct request *request)
{
	struct error failure;

	error_set(&failure, ERROR_DEADLINE_EXCEEDED, "%s was not answered within %u s", request->method->name,
		  LIMIT_REQUEST_TIMEOUT_DEFAULT_MS / 1000);
	switch ((enum request_state)request->machine.state) {
	case REQUEST_PROPOSE:
		request->maybe_applied = true;
		error_set(&failure, ERROR_DEADLINE_EXCEEDED, "%s: the command was not committed in time",
			  request->method->name);
		break;
	case REQUEST_FORWARD:
		request->maybe_applied = true;
		error_set(&failure, ERROR_DEADLINE_EXCEEDED, "%s: server %llu, the leader, did not answer in time",
			  request->method->name, (unsigned long long)request->target);
		break;
	case REQUEST_WAIT_AGENTS:
		error_set(&failure, ERROR_DEADLINE_EXCEEDED,
			  "%s: committed at revision %llu, but not every controller confirmed it: %s",
			  request->method->name, (unsigned long long)request->revision,
			  request->waits_for != NULL ? request->waits_for : "?");
		error_hint(&failure, "it stays in effect; repeat it to wait again");
		error_detail(&failure, "outcome=committed");
		request_fail(request, &failure);
		return;
	case REQUEST_WAIT_OTHERS:
		if (request->waits_for != NULL)
			error_detail(&failure, "%s", request->waits_for);
		break;
	default:
		break;
	}
	if (request->method->flags & METHOD_MUTATE) {
		error_detail(&failure, "outcome=%s", request->maybe_applied ? "unknown" : "none");
		if (request->maybe_applied)
			error_hint(&failure, "whether it took effect is unknown; repeat it with the same request_id");
	}
	request_fail(request, &failure);
}

static void expire_list(struct dnvmed *dnvmed, struct list *requests)
{
	uint64_t now = uv_now(&dnvmed->loop);

	while (!list_is_empty(requests)) {
		struct request *request = list_entry(requests->next, struct request, deadline_link);

		if (request->deadline_ms > now)
			break;
		expire(request);
	}
}

static void route_waiting(struct dnvmed *dnvmed)
{
	uint64_t now = uv_now(&dnvmed->loop);
	struct list waiting;

	list_take(&waiting, &dnvmed->waiting);
	while (!list_is_empty(&waiting)) {
		struct request *request = list_entry(waiting.next, struct request, state_link);

		list_remove(&request->state_link);
		request_hold(request);
		if (now > request->leader_deadline_ms)
			request_fail_unavailable(request, "no server leads at the moment", false);
		else if (dnvmed->leader_ready && request->session != NULL)
			fair_step(request); /* what each takes adds up */
		else
			request_route(request);
		request_release(request);
	}
}

/* Who was sent to a leader that leads no more need not wait for it, if asking twice does no harm. */
static void forwarded_check(struct dnvmed *dnvmed)
{
	uint64_t leader;
	struct list forwarded;

	if (dnvmed->consensus == NULL || list_is_empty(&dnvmed->forwarded))
		return;
	leader = consensus_leader_id(dnvmed->consensus);
	list_take(&forwarded, &dnvmed->forwarded);
	while (!list_is_empty(&forwarded)) {
		struct request *request = list_entry(forwarded.next, struct request, state_link);

		list_remove(&request->state_link);
		if (leader == 0 || leader == request->target || !request_may_repeat(request)) {
			list_append(&dnvmed->forwarded, &request->state_link);
			continue;
		}
		peer_call_cancel(&request->call);
		request->maybe_applied = true;
		request->copied = true;
		request_wait_leader(request);
	}
}

void request_tick(struct dnvmed *dnvmed)
{
	expire_list(dnvmed, &dnvmed->client_requests);
	expire_list(dnvmed, &dnvmed->peer_requests);
	change_tick(dnvmed);
	forwarded_check(dnvmed);
	route_waiting(dnvmed);
}

void request_leadership_changed(struct dnvmed *dnvmed)
{
	struct list detaching;
	struct error failure;

	if (dnvmed->leader_ready) {
		route_waiting(dnvmed);
		return;
	}
	list_take(&detaching, &dnvmed->detaching);
	while (!list_is_empty(&detaching)) {
		struct request *request = list_entry(detaching.next, struct request, state_link);

		list_remove(&request->state_link);
		if (request->request_id.size > 0 && request->session != NULL) {
			/* The next leader knows the outcome and waits for the agents again. */
			request->maybe_applied = true;
			if (request->session->kind == SESSION_PEER) {
				request_fail_unavailable(request, "this server does not lead any more", true);
			} else {
				request_wait_leader(request);
			}
			continue;
		}
		error_set(
			&failure, ERROR_UNAVAILABLE,
			"%s: committed at revision %llu, but leadership was lost before every controller confirmed it",
			request->method->name, (unsigned long long)request->revision);
		error_hint(&failure, "it stays in effect; repeat it to wait again");
		error_detail(&failure, "outcome=committed");
		request_fail(request, &failure);
	}
}

void request_volume_changed(struct dnvmed *dnvmed, uint64_t volume)
{
	struct list detaching;

	list_take(&detaching, &dnvmed->detaching);
	while (!list_is_empty(&detaching)) {
		struct request *request = list_entry(detaching.next, struct request, state_link);
		struct mutation_reply reply = { .revision = request->revision, .id = request->outcome_id };
		struct error failure;

		list_remove(&request->state_link);
		if (volume != 0 && request->volume != volume) {
			list_append(&dnvmed->detaching, &request->state_link);
			continue;
		}
		error_clear(&failure);
		if (handler_detach_check(request, &request->waits_for, &failure) != 0)
			request_fail(request, &failure);
		else if (request->waits_for == NULL)
			request_reply(request, &reply);
		else
			list_append(&dnvmed->detaching, &request->state_link);
	}
}

static void stop_list(struct list *requests)
{
	while (!list_is_empty(requests)) {
		struct request *request = list_entry(requests->next, struct request, deadline_link);

		request_fail_unavailable(request, "the server is stopping",
					 request->machine.state == REQUEST_PROPOSE ||
						 request->machine.state == REQUEST_FORWARD);
	}
}

void request_stop(struct dnvmed *dnvmed)
{
	request_leadership_changed(dnvmed);
	stop_list(&dnvmed->client_requests);
	stop_list(&dnvmed->peer_requests);
}
