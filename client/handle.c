/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/handle.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/result.h"
#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "lib/wire/rpc.h"

#define CONNECT_TIMEOUT_DEFAULT_MS 3000u
#define ATTEMPT_MIN_MS 1000u
#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 500u

/* --- the handle ------------------------------------------------------------------------------------------ */

int dnvme_open(const char *servers, struct dnvme **ret_dnvme, struct dnvme_error *ret_error)
{
	struct error error;
	struct dnvme *dnvme = calloc(1, sizeof(*dnvme));
	int rc;

	if (dnvme == NULL) {
		error_set_nomem(&error);
		return client_error_export(&error, ret_error);
	}
	dnvme->epoll_fd = -1;
	dnvme->timeout_ms = LIMIT_REQUEST_TIMEOUT_DEFAULT_MS;
	dnvme->connect_timeout_ms = CONNECT_TIMEOUT_DEFAULT_MS;
	random_bytes(&dnvme->next_msgid, sizeof(dnvme->next_msgid));
	rc = endpoint_list_parse(servers, &dnvme->endpoints, &dnvme->count, &error);
	if (rc != 0)
		goto cleanup;
	dnvme->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dnvme->epoll_fd < 0) {
		error_set_errno(&error, errno, "cannot create an epoll descriptor");
		goto cleanup;
	}
	dnvme->connections = calloc(LIMIT_SERVERS, sizeof(*dnvme->connections));
	if (dnvme->connections == NULL) {
		error_set_nomem(&error);
		goto cleanup;
	}
	for (size_t i = 0; i < dnvme->count; i++)
		connection_init(&dnvme->connections[i], &dnvme->endpoints[i], dnvme->epoll_fd);
	*ret_dnvme = dnvme;
	return DNVME_OK;
cleanup:
	dnvme_close(dnvme);
	return client_error_export(&error, ret_error);
}

static void call_free(struct dnvme_pending *call)
{
	dnvme_result_free(call->result);
	buffer_free(&call->frame);
	buffer_free(&call->again);
	free(call);
}

static void call_unlink(struct dnvme *dnvme, struct dnvme_pending *call)
{
	if (call->previous != NULL)
		call->previous->next = call->next;
	else
		dnvme->first = call->next;
	if (call->next != NULL)
		call->next->previous = call->previous;
	else
		dnvme->last = call->previous;
	dnvme->pending_count--;
}

void dnvme_close(struct dnvme *dnvme)
{
	if (dnvme == NULL)
		return;
	while (dnvme->first != NULL)
		dnvme_cancel(dnvme, dnvme->first);
	for (size_t i = 0; dnvme->connections != NULL && i < dnvme->count; i++)
		connection_destroy(&dnvme->connections[i]);
	if (dnvme->epoll_fd >= 0)
		close(dnvme->epoll_fd);
	free(dnvme->connections);
	free(dnvme->endpoints);
	free(dnvme);
}

int dnvme_set_timeout_ms(struct dnvme *dnvme, unsigned timeout_ms, struct dnvme_error *ret_error)
{
	struct error error;

	if (timeout_ms == 0) {
		error_set(&error, ERROR_INVALID_ARGUMENT, "a timeout of 0 ms leaves no time to answer");
		return client_error_export(&error, ret_error);
	}
	dnvme->timeout_ms = timeout_ms;
	return DNVME_OK;
}

void dnvme_set_connect_timeout_ms(struct dnvme *dnvme, unsigned timeout_ms)
{
	dnvme->connect_timeout_ms = timeout_ms;
}

void dnvme_cancel(struct dnvme *dnvme, struct dnvme_pending *pending)
{
	if (pending == NULL)
		return;
	call_unlink(dnvme, pending);
	call_free(pending);
}

size_t dnvme_pending_count(const struct dnvme *dnvme)
{
	return dnvme->pending_count;
}

/* --- how calls end --------------------------------------------------------------------------------------- */

static void call_finish(struct dnvme_pending *call, const struct error *outcome)
{
	state_machine_move(&call->machine, CALL_FINISHED);
	if (outcome != NULL)
		call->outcome = *outcome;
}

static void outcome_add_servers(const struct dnvme *dnvme, struct error *outcome)
{
	for (size_t i = 0; i < dnvme->count; i++) {
		const struct connection *connection = &dnvme->connections[i];

		if (connection->failures > 0)
			error_detail(outcome, "%s: %s", connection->endpoint->name, connection->failure.message);
	}
}

static void call_finish_unreachable(const struct dnvme *dnvme, struct dnvme_pending *call)
{
	struct error outcome;

	if (dnvme->count == 1) {
		error_set(&outcome, ERROR_UNAVAILABLE, "cannot reach server %s: %s", dnvme->endpoints[0].name,
			  dnvme->connections[0].failure.message);
	} else {
		error_set(&outcome, ERROR_UNAVAILABLE, "cannot reach any of %zu servers", dnvme->count);
		outcome_add_servers(dnvme, &outcome);
	}
	error_hint(&outcome, "check the address, and that dnvmed runs there");
	call_finish(call, &outcome);
}

static bool no_server_left(const struct dnvme *dnvme)
{
	for (size_t i = 0; i < dnvme->count; i++) {
		if (connection_state(&dnvme->connections[i]) == CONNECTION_OPEN || dnvme->connections[i].failures == 0)
			return false;
	}
	return true;
}

static void call_finish_deadline(const struct dnvme *dnvme, struct dnvme_pending *call)
{
	struct error outcome;

	if (call->machine.state == CALL_QUEUED) {
		if (call->refusals > 0) {
			call_finish(call, &call->refusal);
			return;
		}
		if (no_server_left(dnvme)) {
			call_finish_unreachable(dnvme, call);
			return;
		}
	}
	error_set(&outcome, ERROR_DEADLINE_EXCEEDED, "no answer to %s from server %s within %u ms", call->method->name,
		  dnvme->endpoints[call->server].name, call->timeout_ms);
	if (call->refusals > 0)
		error_detail(&outcome, "an earlier attempt: %s", call->refusal.message);
	outcome_add_servers(dnvme, &outcome);
	if (call->reached && (call->method->flags & METHOD_MUTATE) != 0)
		error_hint(&outcome, "the change may have happened or still happen");
	call_finish(call, &outcome);
}

/* --- where calls go -------------------------------------------------------------------------------------- */

static void call_requeue(struct dnvme *dnvme, struct dnvme_pending *call, uint64_t retry_ms)
{
	state_machine_move(&call->machine, CALL_QUEUED);
	call->server = (call->server + 1) % dnvme->count;
	call->retry_ms = retry_ms;
}

/* A connection failed: what was sent over it goes elsewhere. */
static void connection_lost(struct dnvme *dnvme, size_t server, uint64_t now_ms)
{
	const struct connection *connection = &dnvme->connections[server];

	for (struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next) {
		if (call->machine.state != CALL_SENT || call->server != server)
			continue;
		if (connection->speaks_other && ++call->misunderstood >= dnvme->count) {
			struct error outcome = connection->failure;

			error_prefix(&outcome, "server %s does not answer in dnvme's protocol",
				     connection->endpoint->name);
			error_hint(&outcome, "check the port: it must be the one for clients");
			call_finish(call, &outcome);
			continue;
		}
		call->doubtful = true;
		call_requeue(dnvme, call, now_ms);
	}
}

static void call_route(struct dnvme *dnvme, struct dnvme_pending *call, uint64_t now_ms)
{
	for (size_t i = 0; i < dnvme->count; i++) {
		size_t server = (call->server + i) % dnvme->count;
		struct connection *connection = &dnvme->connections[server];
		uint64_t window_ms = call->timeout_ms / dnvme->count;

		if (connection_state(connection) == CONNECTION_CLOSED &&
		    (now_ms < connection->not_before_ms || connection_begin(connection, now_ms) != 0))
			continue;
		call->server = server;
		if (connection_state(connection) == CONNECTION_CONNECTING)
			return; /* sent once it is open */
		state_machine_move(&call->machine, CALL_SENT);
		call->reached = true;
		call->attempt_ms = now_ms + call->wait_ms + (window_ms > ATTEMPT_MIN_MS ? window_ms : ATTEMPT_MIN_MS);
		if (connection_send(connection,
				    buffer_bytes(call->doubtful && call->again.size > 0 ? &call->again : &call->frame),
				    now_ms) != 0)
			connection_lost(dnvme, server, now_ms);
		return;
	}
	if (!call->reached && now_ms - call->started_ms >= dnvme->connect_timeout_ms && no_server_left(dnvme))
		call_finish_unreachable(dnvme, call);
}

static void advance(struct dnvme *dnvme, uint64_t now_ms)
{
	for (size_t i = 0; i < dnvme->count; i++) {
		if (connection_expire(&dnvme->connections[i], now_ms))
			connection_lost(dnvme, i, now_ms);
	}
	for (struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next) {
		if (call->machine.state == CALL_FINISHED)
			continue;
		if (now_ms >= call->deadline_ms) {
			call_finish_deadline(dnvme, call);
			continue;
		}
		if (call->machine.state == CALL_SENT && dnvme->count > 1 && now_ms >= call->attempt_ms) {
			call->doubtful = true;
			call_requeue(dnvme, call, now_ms);
		}
		if (call->machine.state == CALL_QUEUED && now_ms >= call->retry_ms)
			call_route(dnvme, call, now_ms);
	}
}

/* --- answers --------------------------------------------------------------------------------------------- */

static struct dnvme_pending *call_find(const struct dnvme *dnvme, uint32_t msgid)
{
	for (struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next) {
		if (call->msgid == msgid)
			return call;
	}
	return NULL;
}

static void call_refused(struct dnvme *dnvme, struct dnvme_pending *call, const struct error *failure, uint64_t now_ms)
{
	uint64_t pause_ms = call->refusals >= 4 ? RETRY_MAX_MS : (uint64_t)RETRY_MIN_MS << call->refusals;
	uint16_t random;

	random_bytes(&random, sizeof(random));
	call->refusal = *failure;
	call->doubtful |= strstr(failure->details, "outcome=none") == NULL;
	if (call->refusals < 16)
		call->refusals++;
	call_requeue(dnvme, call, now_ms + pause_ms / 2 + random % (pause_ms / 2 + 1));
}

/* From now on its calls go there, too. */
static void servers_learn(struct dnvme *dnvme, const struct cluster_status *status)
{
	for (size_t i = 0; i < status->servers.count; i++) {
		size_t added = dnvme->count;

		if (endpoint_list_add(dnvme->endpoints, &dnvme->count, status->servers.items[i].api_address))
			connection_init(&dnvme->connections[added], &dnvme->endpoints[added], dnvme->epoll_fd);
	}
}

static void take_response(struct dnvme *dnvme, size_t server, const struct rpc_message *message, uint64_t now_ms)
{
	struct dnvme_pending *call = call_find(dnvme, message->msgid);
	struct error failure;

	if (call == NULL || call->machine.state == CALL_FINISHED)
		return; /* cancelled, or answered by another server first */
	if (rpc_failure_decode(message->failure, &failure) != 0) {
		if (failure.code != ERROR_UNAVAILABLE) {
			if (call->doubtful && (call->method->flags & METHOD_MUTATE) != 0)
				error_doubt(&failure);
			call_finish(call, &failure);
			return;
		}
		if (call->machine.state == CALL_SENT && call->server == server)
			call_refused(dnvme, call, &failure, now_ms);
		return;
	}
	dnvme->preferred = server;
	error_clear(&failure);
	if (result_make(call->method, message->result, &call->result, &failure) != 0)
		call_finish(call, &failure);
	else
		call_finish(call, NULL);
	if (call->result != NULL && call->method->id == METHOD_ID_CLUSTER_STATUS)
		servers_learn(dnvme, call->result->record);
}

/* Returns 0, or a code when the connection has failed. */
static int take_frame(struct dnvme *dnvme, size_t server, struct bytes frame, uint64_t now_ms)
{
	struct connection *connection = &dnvme->connections[server];
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error failure;
	int msgid_known = 0, rc;

	rc = rpc_message_open(frame, &arena, &message, &msgid_known, &failure);
	if (rc == 0 && message.type == RPC_REQUEST) {
		rc = error_set(&failure, ERROR_INVALID_ARGUMENT, "it sent a request instead of an answer");
	} else if (rc == 0) {
		connection_praise(connection);
		if (message.type == RPC_RESPONSE)
			take_response(dnvme, server, &message, now_ms);
	}
	arena_free(&arena);
	if (rc != 0) {
		connection->speaks_other = rc != ERROR_INTERNAL;
		connection_fail(connection, now_ms, &failure);
	}
	return rc;
}

static void take_input(struct dnvme *dnvme, size_t server, uint64_t now_ms)
{
	struct connection *connection = &dnvme->connections[server];
	struct bytes frame = { 0 };
	bool found = true;
	int rc = connection_ready(connection, now_ms);

	while (rc == 0 && found) {
		rc = connection_frame_next(connection, &frame, &found, now_ms);
		if (rc != 0 || !found)
			break;
		rc = take_frame(dnvme, server, frame, now_ms);
		if (rc == 0)
			connection_frame_drop(connection);
	}
	if (rc != 0)
		connection_lost(dnvme, server, now_ms);
}

/* --- the poll loop's side -------------------------------------------------------------------------------- */

int dnvme_poll_fd(const struct dnvme *dnvme)
{
	return dnvme->epoll_fd;
}

short dnvme_poll_events(const struct dnvme *dnvme)
{
	(void)dnvme;
	return POLLIN;
}

static uint64_t min_ms(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t call_due_ms(const struct dnvme *dnvme, const struct dnvme_pending *call, uint64_t now_ms)
{
	uint64_t due_ms = call->deadline_ms, earliest_ms = UINT64_MAX;

	if (call->machine.state == CALL_FINISHED)
		return 0;
	if (call->machine.state == CALL_SENT)
		return dnvme->count > 1 ? min_ms(due_ms, call->attempt_ms) : due_ms;
	if (now_ms < call->retry_ms)
		return min_ms(due_ms, call->retry_ms);
	/* It waits for a connection that is being made, or for the end of a pause. */
	if (connection_state(&dnvme->connections[call->server]) == CONNECTION_CONNECTING)
		return due_ms;
	for (size_t i = 0; i < dnvme->count; i++) {
		const struct connection *connection = &dnvme->connections[i];

		earliest_ms = min_ms(earliest_ms,
				     connection_state(connection) == CONNECTION_CLOSED ? connection->not_before_ms : 0);
	}
	return min_ms(due_ms, earliest_ms);
}

int dnvme_poll_timeout_ms(const struct dnvme *dnvme)
{
	uint64_t now_ms = clock_boot_ms(), due_ms = UINT64_MAX;

	for (const struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next)
		due_ms = min_ms(due_ms, call_due_ms(dnvme, call, now_ms));
	for (size_t i = 0; i < dnvme->count; i++)
		due_ms = min_ms(due_ms, connection_due_ms(&dnvme->connections[i]));
	if (due_ms == UINT64_MAX)
		return -1;
	if (due_ms <= now_ms)
		return 0;
	return due_ms - now_ms > INT_MAX ? INT_MAX : (int)(due_ms - now_ms);
}

static struct dnvme_pending *finished_find(const struct dnvme *dnvme)
{
	for (struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next) {
		if (call->machine.state == CALL_FINISHED)
			return call;
	}
	return NULL;
}

static void deliver(struct dnvme *dnvme)
{
	struct dnvme_pending *call;

	while ((call = finished_find(dnvme)) != NULL) {
		struct dnvme_result *result = call->result;
		struct dnvme_error failure;

		call_unlink(dnvme, call);
		call->result = NULL;
		client_error_export(&call->outcome, &failure);
		call->done(dnvme, result == NULL ? &failure : NULL, result, call->data);
		call_free(call);
	}
}

void dnvme_process(struct dnvme *dnvme)
{
	struct epoll_event events[LIMIT_SERVERS];
	uint64_t now_ms = clock_boot_ms();
	int count;

	if (dnvme->processing)
		return;
	dnvme->processing = true;
	do {
		count = epoll_wait(dnvme->epoll_fd, events, LIMIT_SERVERS, 0);
	} while (count < 0 && errno == EINTR);
	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;

		take_input(dnvme, (size_t)(connection - dnvme->connections), now_ms);
	}
	advance(dnvme, now_ms);
	deliver(dnvme);
	dnvme->processing = false;
}
