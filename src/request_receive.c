/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a frame to a request: the message, the method, its parameters. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/change.h"
#include "src/dnvmed.h"
#include "src/handlers.h"
#include "src/request_internal.h"
#include "src/session.h"
#include "src/strict.h"

/* The frame is kept, for a server that it may have to be passed on to, and what was unpacked and decoded of it. */
#define HELD_FACTOR 4u

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
	    strict_check(method->request(), message->params, error) != 0)
		return error_prefix(error, "%s", method->name);
	if (codec_decode_value(method->request(), message->params, &request->arena, request->params, error) != 0)
		return error_prefix(error, "%s", method->name);
	request->request_id = request_id_of(method->request(), request->params);
	if (request->request_id.size != 0 && request->request_id.size != LIMIT_REQUEST_ID)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: request_id: has %zu bytes, wanted are %u",
				 method->name, request->request_id.size, LIMIT_REQUEST_ID);
	return 0;
}

/* A newer server speaks our version, too; one that is older than the earliest that we speak does not. */
static void on_peer(struct session *session, struct request *request)
{
	struct server_hello hello;
	struct error error;
	int rv = codec_decode_value(schema_server_hello(), request->message.params, &request->arena, &hello, &error);

	if (rv == 0 && hello.protocol != 0 && hello.protocol < PROTOCOL_VERSION_MIN)
		rv = error_set(&error, ERROR_UNSUPPORTED,
			       "protocol: the server speaks version %llu, this one %u and later",
			       (unsigned long long)hello.protocol, PROTOCOL_VERSION_MIN);
	if (rv != 0) {
		error_prefix(&error, "server.peer");
		session_finish(session, error.message);
		return;
	}
	log_debug("a server connected", "peer=%s version=%s", session->name,
		  hello.version != NULL ? hello.version : "unknown");
	session_kind_set(session, SESSION_PEER);
}

static void on_notification(struct session *session, struct request *request)
{
	const struct method *method = method_find(request->message.method);
	struct agent_report report;
	struct error error;

	if (method != NULL && method->id == METHOD_ID_SERVER_PEER && session->kind == SESSION_CLIENT) {
		on_peer(session, request);
	} else if (method != NULL && method->id == METHOD_ID_AGENT_REPORT && session->kind == SESSION_AGENT) {
		if (codec_decode_value(schema_agent_report(), request->message.params, &request->arena, &report,
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

	request_begin(request);
	request->deadline_ms = now + (peer ? LIMIT_FORWARDED_TIMEOUT_MS : LIMIT_REQUEST_TIMEOUT_DEFAULT_MS);
	request->leader_deadline_ms = now + LIMIT_LEADER_WAIT_MS;
	request->attempt_ms = now;
	list_append(peer ? &dnvmed->peer_requests : &dnvmed->client_requests, &request->deadline_link);
	list_append(&session->requests, &request->session_link);
	session->request_count++;
	session->request_bytes += request->held_bytes;
	request_hold(request);
	error_clear(&failure);
	if (open_params(request, &failure) != 0) {
		request_fail(request, &failure);
	} else if (request->method->flags & METHOD_LOCAL) {
		if (!(dnvmed_leader_is_known(dnvmed) && change_wait(request)) &&
		    handler_of(request->method->id)->answer(request, &failure) != 0)
			request_fail(request, &failure);
	} else {
		if (request->method->flags & METHOD_AGENT) {
			agents_heard(session);
			request_route(request);
		} else if (fair_admit(request)) {
			request_route(request);
		}
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
	request->held_bytes = sizeof(*request) + HELD_FACTOR * frame.size;
	list_init(&request->session_link);
	list_init(&request->deadline_link);
	list_init(&request->state_link);
	list_init(&request->create_link);
	list_init(&request->change_link);
	copy = arena_memdup(&request->arena, frame.data, frame.size);
	if (copy == NULL) {
		session_close(session, "out of memory");
		request_release(request);
		return;
	}
	if (rpc_message_open((struct bytes){ copy, frame.size }, &request->arena, &request->message, &msgid_known,
			     &failure) != 0) {
		if (msgid_known)
			request_send_failure(session, request->message.msgid, &failure);
		else
			session_finish(session, failure.message);
		request_release(request);
		return;
	}
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
