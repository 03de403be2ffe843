/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a request gets to the leader and what happens to it there: barrier, proposal, or another server. */
#include <string.h>

#include "lib/base/canary.h"
#include "lib/base/clock.h"
#include "lib/wire/codec.h"
#include "src/change.h"
#include "src/dnvmed.h"
#include "src/handlers.h"
#include "src/request_internal.h"
#include "src/session.h"

/* An attempt that lasted this long earns the request a new wait for a leader. */
#define ATTEMPT_MS 1000u
/* How often a placement may go stale under a request before it is refused. */
#define PLANS_MAX 16u

static void creating_end(struct request *request)
{
	list_remove(&request->create_link);
	request->create = NULL;
}

static void attempt_begin(struct request *request, enum request_state state)
{
	request_state_set(request, state);
	request->attempt_ms = uv_now(&request->dnvmed->loop);
}

void request_wait_leader(struct request *request)
{
	uint64_t now = uv_now(&request->dnvmed->loop);

	if (request->session == NULL) {
		request_finish(request);
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

/* The flag of a request that may have been sent before; NULL: its method has none. */
static bool *again_of(struct request *request)
{
	const struct schema *schema = request->method->request();

	for (size_t i = 0; i < schema->field_count; i++) {
		if (schema->fields[i].type == FIELD_FLAG && strcmp(schema->fields[i].name, "again") == 0)
			return (bool *)((char *)request->params + schema->fields[i].offset);
	}
	return NULL;
}

/* Whether an earlier attempt may be on its way yet, so that a refusal has to be remembered for it. */
static bool is_again(struct request *request)
{
	const bool *again = again_of(request);

	return request->request_id.size > 0 && again != NULL && (*again || request->copied);
}

/* Refuse it, and what comes of it later: where an earlier attempt may, by way of the log. */
static void refuse(struct request *request, const struct error *failure)
{
	struct command *command = arena_alloc(&request->arena, sizeof(*command));
	struct outcome *outcome = arena_alloc(&request->arena, sizeof(*outcome));
	struct error told = *failure;
	struct buffer bytes = BUFFER_INIT;
	struct error ignored;
	bool fits;

	if (request->refused || !is_again(request) || command == NULL || outcome == NULL) {
		request_fail(request, failure);
		return;
	}
	error_detail(&told, "outcome=none");
	*outcome = (struct outcome){ .code = (uint64_t)told.code,
				     .message = arena_strdup(&request->arena, told.message),
				     .details = arena_strdup(&request->arena, told.details) };
	if (told.hint[0] != '\0')
		outcome->hint = arena_strdup(&request->arena, told.hint);
	/* A long sentence may have been cut inside a character. */
	fits = outcome->message != NULL && outcome->details != NULL &&
	       codec_encode(schema_outcome(), outcome, CODEC_TAGGED, &bytes, &ignored) == 0;
	buffer_free(&bytes);
	if (!fits) {
		request_fail(request, failure);
		return;
	}
	command->request_id = request->request_id;
	command->time_ms = clock_wall_ms();
	command->refuse = outcome;
	request->refused = true;
	if (request->machine.state == REQUEST_PROPOSE)
		request_state_set(request, REQUEST_WAIT_LEADER);
	request_propose(request, command);
}

static void outcome_take(struct request *request, const struct outcome *outcome)
{
	const struct handler *handler = handler_of(request->method->id);
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };
	struct error failure;

	if (outcome->code == ERROR_CONFLICT && !request->refused && handler->plan_again &&
	    ++request->plans < PLANS_MAX) {
		if (request->machine.state == REQUEST_PROPOSE)
			request_state_set(request, REQUEST_WAIT_LEADER);
		request_route(request);
		return;
	}
	if (outcome->code != 0) {
		error_set(&failure, (enum error_code)outcome->code, "%s", outcome->message);
		if (outcome->hint != NULL)
			error_hint(&failure, "%s", outcome->hint);
		if (outcome->details != NULL)
			error_detail(&failure, "%s", outcome->details);
		refuse(request, &failure);
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
			request_fail_unavailable(request, "this server does not lead any more", false);
		else
			request_wait_leader(request);
	} else if (failure->code == ERROR_UNAVAILABLE || failure->code == ERROR_CANCELLED) {
		dnvmed_leadership_check(request->dnvmed);
		request_fail_unavailable(request, failure->message, true);
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
			request_fail_unavailable(request, failure.message, false);
		else
			request_wait_leader(request);
	} else if (rv == ERROR_NO_CAPACITY) {
		request_fail_unavailable(request, failure.message, false);
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
		request->refused = rv == 0;
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
	} else if (failure.code == ERROR_UNAVAILABLE) {
		/* Not now: never remembered for the request id, which would refuse each retry. */
		request_fail_unavailable(request, failure.message, false);
	} else if (refusal_is_certain(failure.code)) {
		request_fail(request, &failure);
	} else if (request->refusal_checked) {
		refuse(request, &failure);
	} else {
		request->refusal_checked = true;
		barrier(request);
	}
}

static void barrier_passed(struct request *request)
{
	struct error error;

	if (request->method->flags & METHOD_MUTATE) {
		mutate(request);
		return;
	}
	error_clear(&error);
	if (handler_of(request->method->id)->answer(request, &error) != 0)
		request_fail(request, &error);
}

/* What is read later than its barrier is as fresh; but a server that led only then knows nothing of agents any more. */
void request_step(struct request *request)
{
	request_hold(request);
	if (request->machine.state != REQUEST_BARRIER)
		request_route(request);
	else if (request->dnvmed->leader_ready)
		barrier_passed(request);
	else
		request_wait_leader(request);
	request_release(request);
}

static void on_barrier(void *data, const struct error *failure)
{
	struct request *request = data;

	if (request_is_done(request)) {
		request_release(request);
		return;
	}
	if (failure != NULL && failure->code == ERROR_CANCELLED) {
		request_fail_unavailable(request, "the server is stopping", false);
	} else if (failure != NULL) {
		dnvmed_leadership_check(request->dnvmed);
		if (request->method->flags & METHOD_AGENT)
			request_fail_unavailable(request, failure->message, false);
		else
			request_wait_leader(request);
	} else if (request->session == NULL) {
		request_finish(request);
	} else if (request->method->flags & METHOD_AGENT) {
		barrier_passed(request);
	} else {
		fair_step(request);
	}
	request_release(request);
}

static void barrier(struct request *request)
{
	struct error failure;
	int rv;

	attempt_begin(request, REQUEST_BARRIER);
	if (canary("stale_read")) {
		request_hold(request);
		on_barrier(request, NULL);
		return;
	}
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
		request_fail_unavailable(request, failure.message, false);
	else
		request_wait_leader(request);
}

/* --- forwarding ------------------------------------------------------------------------------------------------- */

bool request_may_repeat(const struct request *request)
{
	return !(request->method->flags & METHOD_MUTATE) || request->request_id.size > 0;
}

static void pass_response(struct request *request, const struct rpc_message *response)
{
	request_hold(request);
	if (request->session != NULL) {
		if (rpc_response_forward(request->msgid, response->failure, response->result,
					 session_output(request->session), NULL) == 0)
			session_touch(request->session);
		else
			session_close(request->session, "out of memory");
	}
	request_finish_answered(request);
}

static void on_forwarded(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct request *request = data;
	struct error refusal;
	bool none;
	int rv;

	request_hold(request);
	if (response != NULL) {
		rv = rpc_failure_decode(response->failure, &refusal);
		if (rv != 0 && rv != ERROR_UNAVAILABLE && request->copied) {
			request_fail(request, &refusal);
		} else if (rv != ERROR_UNAVAILABLE) {
			pass_response(request, response);
		} else {
			none = strstr(refusal.details, "outcome=none") != NULL;
			if (none || request_may_repeat(request)) {
				request->maybe_applied |= !none;
				request->copied |= !none;
				request_wait_leader(request);
			} else {
				pass_response(request, response);
			}
		}
	} else if (failure->code != ERROR_DEADLINE_EXCEEDED && (!sent || request_may_repeat(request))) {
		request->maybe_applied |= sent;
		request->copied |= sent;
		request_wait_leader(request);
	} else {
		request_fail_unavailable(request, failure->message, sent);
	}
	request_release(request);
}

static void forward(struct request *request, uint64_t leader)
{
	struct dnvmed *dnvmed = request->dnvmed;
	const struct server *member = dnvmed_member(dnvmed, leader);
	/* Who waits for a change waited here already. */
	const void *at_once = change_params_at_once(request);
	bool *again = request->copied ? again_of(request) : NULL;
	uint64_t now = uv_now(&dnvmed->loop);
	struct error failure;

	if (again != NULL) {
		*again = true;
		at_once = request->params;
	}
	if (member == NULL || request->deadline_ms <= now ||
	    peer_call(dnvmed->peers, leader, member->api_address, request->method,
		      at_once == NULL ? &request->message.params : NULL, at_once, request->deadline_ms - now,
		      &request->call, on_forwarded, request, &failure) != 0) {
		request_wait_leader(request);
		return;
	}
	attempt_begin(request, REQUEST_FORWARD);
	request->target = leader;
	list_append(&dnvmed->forwarded, &request->state_link);
}

void request_route(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct error failure;
	uint64_t leader;

	if (request->session == NULL) {
		request_finish(request);
		return;
	}
	if (dnvmed_is_stopping(dnvmed)) {
		request_fail_unavailable(request, "the server is stopping", false);
		return;
	}
	if (dnvmed->consensus == NULL && is_again(request)) {
		/* An earlier attempt went to a server that is: this one knows nothing of it. */
		request_fail_unavailable(request, "this server is not part of a cluster yet", true);
		return;
	}
	if (dnvmed->consensus == NULL) {
		error_set(&failure, ERROR_FAILED_PRECONDITION, "this server is not part of a cluster yet");
		error_hint(&failure, "run: dnvme cluster init --name NAME");
		request_fail(request, &failure);
		return;
	}
	if (request->machine.state == REQUEST_NEW)
		request_state_set(request, REQUEST_WAIT_LEADER);
	leader = consensus_leader_id(dnvmed->consensus);
	if (dnvmed_leader_is_known(dnvmed) && change_wait(request))
		return;
	if (dnvmed->leader_ready) {
		if (request->method->flags & METHOD_MUTATE)
			mutate(request);
		else
			barrier(request);
		return;
	}
	if (dnvmed->leading || leader == dnvmed->id)
		request_wait_leader(request); /* for leader_ready */
	else if (request->method->flags & METHOD_AGENT || request->session->kind == SESSION_PEER)
		request_fail_unavailable(request, "this server does not lead", false);
	else if (leader == 0)
		request_wait_leader(request);
	else
		forward(request, leader);
}
