/* SPDX-License-Identifier: GPL-2.0-or-later */
/* States of a request and its end. The way to the leader is request_route.c's. */
#include "src/request_internal.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/session.h"

static const char *const state_names[REQUEST_STATE_COUNT] = {
	[REQUEST_NEW] = "new",
	[REQUEST_WAIT_LEADER] = "wait-leader",
	[REQUEST_WAIT_CHANGE] = "wait-change",
	[REQUEST_BARRIER] = "barrier",
	[REQUEST_PROPOSE] = "propose",
	[REQUEST_FORWARD] = "forward",
	[REQUEST_WAIT_AGENTS] = "wait-agents",
	[REQUEST_WAIT_OTHERS] = "wait-others",
	[REQUEST_DONE] = "done",
};

static const struct state_machine_edge edges[] = {
	{ REQUEST_NEW, REQUEST_WAIT_LEADER },
	{ REQUEST_NEW, REQUEST_WAIT_CHANGE }, /* of one that this server answers itself */
	{ REQUEST_NEW, REQUEST_WAIT_OTHERS },
	{ REQUEST_NEW, REQUEST_DONE },
	{ REQUEST_WAIT_LEADER, REQUEST_WAIT_CHANGE },
	{ REQUEST_WAIT_LEADER, REQUEST_BARRIER },
	{ REQUEST_WAIT_LEADER, REQUEST_PROPOSE },
	{ REQUEST_WAIT_LEADER, REQUEST_FORWARD },
	{ REQUEST_WAIT_LEADER, REQUEST_WAIT_AGENTS }, /* a request id whose outcome is known */
	{ REQUEST_WAIT_LEADER, REQUEST_DONE },
	{ REQUEST_WAIT_CHANGE, REQUEST_WAIT_LEADER },
	{ REQUEST_WAIT_CHANGE, REQUEST_DONE },
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

/* --- life ------------------------------------------------------------------------------------------------- */

void request_begin(struct request *request)
{
	state_machine_init(&request->machine, &table, REQUEST_NEW);
}

void request_hold(struct request *request)
{
	request->references++;
}

void request_release(struct request *request)
{
	if (--request->references > 0)
		return;
	fair_forget(request);
	arena_free(&request->arena);
	free(request);
}

/* States in which a request is a burden to others: those that wait for something to happen are not. */
static bool is_under_way(enum request_state state)
{
	return state == REQUEST_WAIT_LEADER || state == REQUEST_BARRIER || state == REQUEST_PROPOSE ||
	       state == REQUEST_FORWARD;
}

void request_state_set(struct request *request, enum request_state state)
{
	state_machine_move(&request->machine, (int)state);
	list_remove(&request->state_link);
	fair_weigh(request, is_under_way(state));
}

bool request_is_done(const struct request *request)
{
	return request->machine.state == REQUEST_DONE;
}

void request_finish(struct request *request)
{
	request_state_set(request, REQUEST_DONE);
	list_remove(&request->deadline_link);
	list_remove(&request->session_link);
	list_remove(&request->change_link);
	peer_call_cancel(&request->call);
	if (request->work_cancel != NULL)
		request->work_cancel(request);
	request->work_cancel = NULL;
	if (request->session != NULL) {
		request->session->request_count--;
		request->session->request_bytes -= request->held_bytes;
		session_touch(request->session);
		request->session = NULL;
	}
	request_release(request);
}

void request_send_failure(struct session *session, uint32_t msgid, const struct error *failure)
{
	if (rpc_failure_encode(msgid, failure, session_output(session), NULL) == 0)
		session_touch(session);
	else
		session_close(session, "an answer could not be encoded");
}

void request_finish_answered(struct request *request)
{
	if (!request_is_done(request))
		request_finish(request);
	request_release(request);
}

void request_fail(struct request *request, const struct error *failure)
{
	struct error told = *failure;

	/* Whoever refuses it now cannot speak for a copy that an earlier leader may read yet. */
	if (request->copied && request->method->flags & METHOD_MUTATE)
		error_doubt(&told);
	request_hold(request);
	if (request->session != NULL)
		request_send_failure(request->session, request->msgid, &told);
	request_finish_answered(request);
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
		request_send_failure(request->session, request->msgid, &failure);
	} else if (request->session != NULL) {
		session_touch(request->session);
	}
	request_finish_answered(request);
}

void request_fail_unavailable(struct request *request, const char *message, bool unknown)
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
