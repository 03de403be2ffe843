/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/request.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/handlers.h"
#include "src/session.h"
#include "src/strict.h"

/* An attempt that lasted this long earns the request a new wait for a leader. */
#define ATTEMPT_MS 1000u
/* How often a placement may go stale under a request before it is refused. */
#define PLANS_MAX 16u

static const char *const state_names[REQUEST_STATE_COUNT] = {
	[REQUEST_NEW] = "new",
	[REQUEST_WAIT_LEADER] = "wait-leader",
	[REQUEST_BARRIER] = "barrier",
	[REQUEST_PROPOSE] = "propose",
	[REQUEST_FORWARD] = "forward",
	[REQUEST_WAIT_AGENTS] = "wait-agents",
	[REQUEST_WAIT_OTHERS] = "wait-others",
	[REQUEST_DONE] = "done",
};

static const struct state_machine_edge edges[] = {
	{ REQUEST_NEW, REQUEST_WAIT_LEADER },
	{ REQUEST_NEW, REQUEST_WAIT_OTHERS },
	{ REQUEST_NEW, REQUEST_DONE },
	{ REQUEST_WAIT_LEADER, REQUEST_BARRIER },
	{ REQUEST_WAIT_LEADER, REQUEST_PROPOSE },
	{ REQUEST_WAIT_LEADER, REQUEST_FORWARD },
	{ REQUEST_WAIT_LEADER, REQUEST_WAIT_AGENTS }, /* a request id whose outcome is known */
	{ REQUEST_WAIT_LEADER, REQUEST_DONE },
	{ REQUEST_BARRIER, REQUEST_WAIT_LEADER },
	{ REQUEST_BARRIER, REQUEST_PROPOSE },
	{ REQUEST_BARRIER, REQUEST_WAIT_AGENTS },
	{ REQUEST_BARRIER, REQUEST_WAIT_OTHERS },
	{ REQUEST_BARRIER, REQUEST_DONE },
	{ REQUEST_PROPOSE, REQUEST_WAIT_LEADER },
	{ REQUEST_PROPOSE, REQUEST_WAIT_AGENTS },
	{ REQUEST_PROPOSE, REQUEST_DONE },
	{ REQUEST_FORWARD, REQUEST_WAIT_LEADER },
	{ REQUEST_FORWARD, REQUEST_DONE },
	{ REQUEST_WAIT_AGENTS, REQUEST_WAIT_LEADER },
	{ REQUEST_WAIT_AGENTS, REQUEST_DONE },
	{ REQUEST_WAIT_OTHERS, REQUEST_DONE },
};

static const struct state_machine_table table = {
	.name = "request",
	.state_names = state_names,
	.state_count = REQUEST_STATE_COUNT,
	.edges = edges,
	.edge_count = sizeof(edges) / sizeof(edges[0]),
};

static void route(struct request *request);

/* --- life ------------------------------------------------------------------------------------------------- */

void request_hold(struct request *request)
{
	request->references++;
}

void request_release(struct request *request)
{
	if (--request->references > 0)
		return;
	if (request->message_open)
		rpc_message_close(&request->message);
	arena_free(&request->arena);
	free(request);
}

void request_state_set(struct request *request, enum request_state state)
{
	state_machine_move(&request->machine, (int)state);
	list_remove(&request->state_link);
}

bool request_is_done(const struct request *request)
{
	return request->machine.state == REQUEST_DONE;
}

static void creating_end(struct request *request)
{
	list_remove(&request->create_link);
	request->create = NULL;
}

/* Drops the reference that a request has on itself while it is not done. */
static void finish(struct request *request)
{
	request_state_set(request, REQUEST_DONE);
	list_remove(&request->deadline_link);
	list_remove(&request->session_link);
	peer_call_cancel(&request->call);
	if (request->work_cancel != NULL)
		request->work_cancel(request);
	request->work_cancel = NULL;
	if (request->session != NULL) {
		request->session->request_count--;
		session_touch(request->session);
		request->session = NULL;
	}
	request_release(request);
}

static void send_failure(struct session *session, uint32_t msgid, const struct error *failure)
{
	if (rpc_failure_encode(msgid, failure, session_output(session), NULL) == 0)
		session_touch(session);
	else
		session_close(session, "an answer could not be encoded");
}

/* Closing the session for want of memory ends its requests, this one too. */
static void finish_answered(struct request *request)
{
	if (!request_is_done(request))
		finish(request);
	request_release(request);
}

void request_fail(struct request *request, const struct error *failure)
{
	request_hold(request);
	if (request->session != NULL)
		send_failure(request->session, request->msgid, failure);
	finish_answered(request);
}

void request_reply(struct request *request, const void *record)
{
	struct error failure;

	request_hold(request);
	if (request->session != NULL && rpc_response_encode(request->msgid, request->method->reply(), record,
							    session_output(request->session), &failure) != 0) {
		failure.code = ERROR_INTERNAL;
		error_prefix(&failure, "cannot encode the answer of %s", request->method->name);
		log_failure(LOG_LEVEL_ERROR, "broken answer", &failure);
		send_failure(request->session, request->msgid, &failure);
	} else if (request->session != NULL) {
		session_touch(request->session);
	}
	finish_answered(request);
}

/* UNAVAILABLE always says whether the command may have taken effect, for people and for the server that forwarded. */
static void fail_unavailable(struct request *request, const char *message, bool unknown)
{
	const char *leader = dnvmed_leader_address(request->dnvmed);
	struct error failure;

	unknown = (unknown || request->maybe_applied) && request->method->flags & METHOD_MUTATE;
	error_set(&failure, ERROR_UNAVAILABLE, "%s", message);
	if (unknown) {
		error_prefix(&failure, "%s: the outcome is unknown", request->method->name);
		error_hint(&failure,
			   request->request_id.size > 0
				   ? "repeat it with the same request_id: it never acts twice"
				   : "look whether it took effect; with a request_id it can be repeated safely");
	} else {
		error_hint(&failure, "a majority of the servers must be up; run: dnvme cluster status");
	}
	error_detail(&failure, "outcome=%s", unknown ? "unknown" : "none");
	if (leader != NULL)
		error_detail(&failure, "leader=%s", leader);
	request_fail(request, &failure);
}

/* --- ways to the leader --------------------------------------------------------------------------------------- */

static void attempt_begin(struct request *request, enum request_state state)
{
	request_state_set(request, state);
	request->attempt_ms = uv_now(&request->dnvmed->loop);
}

/* Try again when there is a leader (the tick looks). */
static void wait_leader(struct request *request)
{
	uint64_t now = uv_now(&request->dnvmed->loop);

	if (request->session == NULL) {
		finish(request);
		return;
	}
	if (request->machine.state != REQUEST_WAIT_LEADER) {
		request_state_set(request, REQUEST_WAIT_LEADER);
		if (now - request->attempt_ms >= ATTEMPT_MS)
			request->leader_deadline_ms = now + LIMIT_LEADER_WAIT_MS;
	}
	list_remove(&request->state_link);
	list_append(&request->dnvmed->waiting, &request->state_link);
}

static void outcome_take(struct request *request, const struct outcome *outcome)
{
	const struct handler *handler = handler_of(request->method->id);
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };
	struct error failure;

	if (outcome->code == ERROR_CONFLICT && handler->plan_again && ++request->plans < PLANS_MAX) {
		if (request->machine.state == REQUEST_PROPOSE)
			request_state_set(request, REQUEST_WAIT_LEADER);
		route(request);
		return;
	}
	if (outcome->code != 0) {
		error_set(&failure, (enum error_code)outcome->code, "%s", outcome->message);
		if (outcome->hint != NULL)
			error_hint(&failure, "%s", outcome->hint);
		if (outcome->details != NULL)
			error_detail(&failure, "%s", outcome->details);
		request_fail(request, &failure);
		return;
	}
	if (handler->committed != NULL)
		handler->committed(request, outcome);
	else
		request_reply(request, &reply);
}

static void on_proposed(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct request *request = data;
	struct outcome outcome;
	struct error error;

	creating_end(request);
	if (request_is_done(request)) {
		request_release(request);
		return;
	}
	if (failure == NULL) {
		if (codec_decode(schema_outcome(), bytes, &request->arena, &outcome, &error) != 0)
			request_fail(request, &error);
		else
			outcome_take(request, &outcome);
	} else if (failure->code == ERROR_UNAVAILABLE && (!unknown || request->request_id.size > 0)) {
		request->maybe_applied |= unknown;
		dnvmed_leadership_check(request->dnvmed);
		if (request->method->flags & METHOD_AGENT)
			fail_unavailable(request, "this server does not lead any more", false);
		else
			wait_leader(request);
	} else if (failure->code == ERROR_UNAVAILABLE || failure->code == ERROR_CANCELLED) {
		dnvmed_leadership_check(request->dnvmed);
		fail_unavailable(request, failure->message, true);
	} else {
		request_fail(request, failure);
	}
	request_release(request);
}

void request_propose(struct request *request, const struct command *command)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct buffer bytes = BUFFER_INIT;
	struct error failure;
	int rv;

	attempt_begin(request, REQUEST_PROPOSE);
	rv = codec_encode(schema_command(), command, CODEC_TAGGED, &bytes, &failure);
	if (rv == 0)
		rv = consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_proposed, request, &failure);
	buffer_free(&bytes);
	if (rv == 0) {
		request_hold(request);
		if (command->volume_create != NULL) {
			request->create = command->volume_create;
			list_append(&dnvmed->creating, &request->create_link);
		}
	} else if (rv == ERROR_UNAVAILABLE) {
		dnvmed_leadership_check(dnvmed);
		if (request->method->flags & METHOD_AGENT)
			fail_unavailable(request, failure.message, false);
		else
			wait_leader(request);
	} else if (rv == ERROR_NO_CAPACITY) {
		fail_unavailable(request, failure.message, false);
	} else {
		request_fail(request, &failure);
	}
}

static void barrier(struct request *request);

/* Refusals that depend on the request alone need no proof that the state is fresh. */
static bool refusal_is_certain(enum error_code code)
{
	return code == ERROR_INVALID_ARGUMENT || code == ERROR_UNSUPPORTED || code == ERROR_TOO_LARGE ||
	       code == ERROR_INTERNAL;
}

static void mutate(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct command *command = arena_alloc(&request->arena, sizeof(*command));
	struct outcome outcome;
	struct error failure;
	int rv;

	if (command == NULL) {
		error_set_nomem(&failure);
		request_fail(request, &failure);
		return;
	}
	if (request->request_id.size > 0) {
		rv = fsm_request_get(dnvmed->fsm, request->request_id, &request->arena, &outcome, &failure);
		if (rv == 0) {
			outcome_take(request, &outcome);
			return;
		}
		if (rv != ERROR_NOT_FOUND) {
			request_fail(request, &failure);
			return;
		}
	}
	command->request_id = request->request_id;
	command->time_ms = clock_wall_ms();
	error_clear(&failure);
	rv = handler_of(request->method->id)->prepare(request, command, &failure);
	if (rv == 0) {
		request_propose(request, command);
	} else if (request->refusal_checked || refusal_is_certain(failure.code)) {
		request_fail(request, &failure);
	} else {
		request->refusal_checked = true;
		barrier(request);
	}
}

static void on_barrier(void *data, const struct error *failure)
{
	struct request *request = data;
	struct error error;

	if (request_is_done(request)) {
		request_release(request);
		return;
	}
	if (failure != NULL && failure->code == ERROR_CANCELLED) {
		fail_unavailable(request, "the server is stopping", false);
	} else if (failure != NULL) {
		dnvmed_leadership_check(request->dnvmed);
		if (request->method->flags & METHOD_AGENT)
			fail_unavailable(request, failure->message, false);
		else
			wait_leader(request);
	} else if (request->session == NULL) {
		finish(request);
	} else if (request->method->flags & METHOD_MUTATE) {
		mutate(request);
	} else {
		error_clear(&error);
		if (handler_of(request->method->id)->answer(request, &error) != 0)
			request_fail(request, &error);
	}
	request_release(request);
}

static void barrier(struct request *request)
{
	struct error failure;
	int rv;

	attempt_begin(request, REQUEST_BARRIER);
	rv = consensus_barrier(request->dnvmed->consensus, on_barrier, request, &failure);
	if (rv == 0) {
		request_hold(request);
		return;
	}
	if (rv != ERROR_UNAVAILABLE) {
		request_fail(request, &failure);
		return;
	}
	dnvmed_leadership_check(request->dnvmed);
	if (request->method->flags & METHOD_AGENT)
		fail_unavailable(request, failure.message, false);
	else
		wait_leader(request);
}

/* --- forwarding ------------------------------------------------------------------------------------------------- */

static bool may_repeat(const struct request *request)
{
	return !(request->method->flags & METHOD_MUTATE) || request->request_id.size > 0;
}

static void pass_response(struct request *request, const struct rpc_message *response)
{
	request_hold(request);
	if (request->session != NULL) {
		if (rpc_response_forward(request->msgid, &response->failure, &response->result,
					 session_output(request->session), NULL) == 0)
			session_touch(request->session);
		else
			session_close(request->session, "out of memory");
	}
	finish_answered(request);
}

static void on_forwarded(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct request *request = data;
	struct error refusal;
	bool none;

	request_hold(request);
	if (response != NULL) {
		if (rpc_failure_decode(&response->failure, &refusal) != ERROR_UNAVAILABLE) {
			pass_response(request, response);
		} else {
			none = strstr(refusal.details, "outcome=none") != NULL;
			if (none || may_repeat(request)) {
				request->maybe_applied |= !none;
				wait_leader(request);
			} else {
				pass_response(request, response);
			}
		}
	} else if (failure->code != ERROR_DEADLINE_EXCEEDED && (!sent || may_repeat(request))) {
		request->maybe_applied |= sent;
		wait_leader(request);
	} else {
		fail_unavailable(request, failure->message, sent);
	}
	request_release(request);
}

static void forward(struct request *request, uint64_t leader)
{
	struct dnvmed *dnvmed = request->dnvmed;
	const struct server *member = dnvmed_member(dnvmed, leader);
	uint64_t now = uv_now(&dnvmed->loop);
	struct error failure;

	if (member == NULL || request->deadline_ms <= now ||
	    peer_call(dnvmed->peers, leader, member->api_address, request->method, &request->message.params, NULL,
		      request->deadline_ms - now, &request->call, on_forwarded, request, &failure) != 0) {
		wait_leader(request);
		return;
	}
	attempt_begin(request, REQUEST_FORWARD);
	request->target = leader;
	list_append(&dnvmed->forwarded, &request->state_link);
}

static void route(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct error failure;
	uint64_t leader;

	if (request->session == NULL) {
		finish(request);
		return;
	}
	if (dnvmed_is_stopping(dnvmed)) {
		fail_unavailable(request, "the server is stopping", false);
		return;
	}
	if (dnvmed->consensus == NULL) {
		error_set(&failure, ERROR_FAILED_PRECONDITION, "this server is not part of a cluster yet");
		error_hint(&failure, "run: dnvme cluster init NAME");
		request_fail(request, &failure);
		return;
	}
	if (request->machine.state == REQUEST_NEW)
		request_state_set(request, REQUEST_WAIT_LEADER);
	if (dnvmed->leader_ready) {
		if (request->method->flags & METHOD_MUTATE)
			mutate(request);
		else
			barrier(request);
		return;
	}
	leader = consensus_leader_id(dnvmed->consensus);
	if (dnvmed->leading || leader == dnvmed->options->id)
		wait_leader(request); /* for leader_ready */
	else if (request->method->flags & METHOD_AGENT || request->session->kind == SESSION_PEER)
		fail_unavailable(request, "this server does not lead", false);
	else if (leader == 0)
		wait_leader(request);
	else
		forward(request, leader);
}

/* --- arrival ---------------------------------------------------------------------------------------------------- */

static struct bytes request_id_of(const struct schema *schema, const void *record)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		if (schema->fields[i].type == FIELD_BINARY && strcmp(schema->fields[i].name, "request_id") == 0)
			return *(const struct bytes *)((const char *)record + schema->fields[i].offset);
	}
	return (struct bytes){ NULL, 0 };
}

static int open_params(struct request *request, struct error *error)
{
	const struct rpc_message *message = &request->message;
	const struct method *method = method_find(message->method);
	unsigned flags = method != NULL ? method->flags : 0;

	if (method == NULL || flags & METHOD_NOTIFY) {
		error_set(error, ERROR_UNSUPPORTED,
			  method == NULL ? "there is no method \"%.64s\""
					 : "\"%.64s\" is a notification, not a request",
			  message->method);
		return error_hint(error, "docs/PROTOCOL.md lists the methods");
	}
	request->method = method;
	request->params = arena_alloc(&request->arena, method->request()->size);
	if (request->params == NULL)
		return error_set_nomem(error);
	/* Agents and servers may be of another version; a client that misspells a field wants to know. */
	if (!(flags & METHOD_AGENT) && !(flags & METHOD_LOCAL && request->session->kind == SESSION_PEER) &&
	    strict_check(method->request(), &message->params, error) != 0)
		return error_prefix(error, "%s", method->name);
	if (codec_decode_object(method->request(), &message->params, &request->arena, request->params, error) != 0)
		return error_prefix(error, "%s", method->name);
	request->request_id = request_id_of(method->request(), request->params);
	if (request->request_id.size != 0 && request->request_id.size != LIMIT_REQUEST_ID)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: request_id: has %zu bytes, wanted are %u",
				 method->name, request->request_id.size, LIMIT_REQUEST_ID);
	return 0;
}

static void on_notification(struct session *session, struct request *request)
{
	const struct method *method = method_find(request->message.method);
	struct agent_report report;
	struct error error;

	if (method != NULL && method->id == METHOD_ID_SERVER_PEER && session->kind == SESSION_CLIENT) {
		session_kind_set(session, SESSION_PEER);
	} else if (method != NULL && method->id == METHOD_ID_AGENT_REPORT && session->kind == SESSION_AGENT) {
		if (codec_decode_object(schema_agent_report(), &request->message.params, &request->arena, &report,
					&error) != 0) {
			error_prefix(&error, "agent.report");
			session_finish(session, error.message);
			return;
		}
		agents_report(session, &report);
	} else {
		log_info("ignored a notification", "peer=%s method=%.64s", session->name, request->message.method);
	}
}

static void on_request(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct session *session = request->session;
	bool peer = session->kind == SESSION_PEER;
	uint64_t now = uv_now(&dnvmed->loop);
	struct error failure;

	state_machine_init(&request->machine, &table, REQUEST_NEW);
	request->deadline_ms = now + (peer ? LIMIT_FORWARDED_TIMEOUT_MS : LIMIT_REQUEST_TIMEOUT_DEFAULT_MS);
	request->leader_deadline_ms = now + LIMIT_LEADER_WAIT_MS;
	request->attempt_ms = now;
	list_append(peer ? &dnvmed->peer_requests : &dnvmed->client_requests, &request->deadline_link);
	list_append(&session->requests, &request->session_link);
	session->request_count++;
	request_hold(request);
	error_clear(&failure);
	if (open_params(request, &failure) != 0) {
		request_fail(request, &failure);
	} else if (request->method->flags & METHOD_LOCAL) {
		if (handler_of(request->method->id)->answer(request, &failure) != 0)
			request_fail(request, &failure);
	} else {
		if (request->method->flags & METHOD_AGENT)
			agents_heard(session);
		route(request);
	}
	request_release(request);
}

void request_receive(struct session *session, struct bytes frame)
{
	struct request *request = calloc(1, sizeof(*request));
	int msgid_known = 0;
	struct error failure;
	uint8_t *copy;

	if (request == NULL) {
		session_close(session, "out of memory");
		return;
	}
	request->dnvmed = session->dnvmed;
	request->session = session;
	request->references = 1;
	list_init(&request->session_link);
	list_init(&request->deadline_link);
	list_init(&request->state_link);
	list_init(&request->create_link);
	copy = arena_memdup(&request->arena, frame.data, frame.size);
	if (copy == NULL) {
		session_close(session, "out of memory");
		request_release(request);
		return;
	}
	if (rpc_message_open((struct bytes){ copy, frame.size }, &request->arena, &request->message, &msgid_known,
			     &failure) != 0) {
		if (msgid_known)
			send_failure(session, request->message.msgid, &failure);
		else
			session_finish(session, failure.message);
		request_release(request);
		return;
	}
	request->message_open = true;
	request->msgid = request->message.msgid;
	if (request->message.type == RPC_REQUEST) {
		on_request(request);
		return;
	}
	if (request->message.type == RPC_NOTIFICATION)
		on_notification(session, request);
	else
		session_finish(session, "sent a response that nobody asked for");
	request_release(request);
}

/* --- events ----------------------------------------------------------------------------------------------------- */

void request_session_ended(struct session *session)
{
	while (!list_is_empty(&session->requests)) {
		struct request *request = list_entry(session->requests.next, struct request, session_link);

		list_remove(&request->session_link);
		request->session = NULL;
		/* A barrier or a proposal has a callback to come, which ends the request. */
		if (request->machine.state != REQUEST_BARRIER && request->machine.state != REQUEST_PROPOSE)
			finish(request);
	}
	session->request_count = 0;
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
			fail_unavailable(request, "no server leads at the moment", false);
		else
			route(request);
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
		if (leader == 0 || leader == request->target || !may_repeat(request)) {
			list_append(&dnvmed->forwarded, &request->state_link);
			continue;
		}
		peer_call_cancel(&request->call);
		request->maybe_applied = true;
		wait_leader(request);
	}
}

void request_tick(struct dnvmed *dnvmed)
{
	expire_list(dnvmed, &dnvmed->client_requests);
	expire_list(dnvmed, &dnvmed->peer_requests);
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
				fail_unavailable(request, "this server does not lead any more", true);
			} else {
				wait_leader(request);
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

		fail_unavailable(request, "the server is stopping",
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
