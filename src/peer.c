/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/model/records.h"

/* After a connection failed, calls fail at once for this long, so that a dead server costs each of them nothing. */
#define RETRY_MS 100u
#define CONNECT_TIMEOUT_MS 2000u

/*
 *   IDLE ──► CONNECTING ──► CONNECTED
 *    ▲           │              │
 *    └─ CLOSING ◄┴──────────────┘
 */
enum peer_state { PEER_IDLE, PEER_CONNECTING, PEER_CONNECTED, PEER_CLOSING };

struct peer {
	struct peers *peers;
	uint64_t id;
	char address[LIMIT_ADDRESS + 1];
	struct connection connection;
	uv_connect_t connect;
	enum peer_state state;
	struct list calls;
	uint32_t next_msgid;
	uint64_t retry_ms, connect_deadline_ms; /* loop time */
	bool reported;
};

struct peers {
	uv_loop_t *loop;
	uint8_t *scratch;
	struct table table; /* address -> struct peer */
	bool closing;
};

static void free_if_done(struct peers *peers)
{
	struct table_entry *entry;

	for (entry = table_next(&peers->table, NULL); entry != NULL; entry = table_next(&peers->table, entry)) {
		if (((struct peer *)entry->value)->state != PEER_IDLE)
			return;
	}
	while ((entry = table_any(&peers->table)) != NULL)
		free(table_remove(&peers->table, entry->key));
	table_free(&peers->table);
	free(peers);
}

static void call_end(struct peer_call *call, const struct rpc_message *response, const struct error *failure)
{
	call->active = false;
	list_remove(&call->link);
	call->callback(call->data, response, call->sent, failure);
}

static void fail_calls(struct peer *peer, const struct error *failure)
{
	struct list calls;

	list_take(&calls, &peer->calls);
	while (!list_is_empty(&calls))
		call_end(list_entry(calls.next, struct peer_call, link), NULL, failure);
}

static void drop(struct peer *peer, const char *reason)
{
	struct error failure;

	if (peer->state != PEER_CONNECTING && peer->state != PEER_CONNECTED)
		return;
	if (!peer->reported) {
		log_notice("lost the connection to a server", "server=%llu address=%s reason=\"%s\"",
			   (unsigned long long)peer->id, peer->address, reason);
		peer->reported = true;
	}
	peer->state = PEER_CLOSING;
	peer->retry_ms = uv_now(peer->peers->loop) + RETRY_MS;
	connection_close(&peer->connection);
	error_set(&failure, ERROR_UNAVAILABLE, "server %llu at %s: %s", (unsigned long long)peer->id, peer->address,
		  reason);
	fail_calls(peer, &failure);
}

static void on_frame(struct connection *connection, struct bytes frame)
{
	struct peer *peer = list_entry(connection, struct peer, connection);
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error failure;
	int msgid_known;

	if (rpc_message_open(frame, &arena, &message, &msgid_known, &failure) != 0) {
		arena_free(&arena);
		drop(peer, failure.message);
		return;
	}
	if (message.type == RPC_RESPONSE) {
		list_for_each(node, next, &peer->calls)
		{
			struct peer_call *call = list_entry(node, struct peer_call, link);

			if (call->msgid == message.msgid) {
				call_end(call, &message, NULL);
				break;
			}
		}
	}
	arena_free(&arena);
}

static void on_bad(struct connection *connection, struct bytes seen, const struct error *failure)
{
	(void)seen;
	drop(list_entry(connection, struct peer, connection), failure->message);
}

static void on_ended(struct connection *connection, const struct error *failure)
{
	drop(list_entry(connection, struct peer, connection),
	     failure != NULL ? failure->message : "the server closed the connection");
}

static void on_closed(struct connection *connection)
{
	struct peer *peer = list_entry(connection, struct peer, connection);

	peer->state = PEER_IDLE;
	memset(connection, 0, sizeof(*connection));
	if (peer->peers->closing)
		free_if_done(peer->peers);
}

static const struct connection_events peer_events = {
	.frame = on_frame,
	.bad = on_bad,
	.ended = on_ended,
	.closed = on_closed,
};

static void on_connect(uv_connect_t *request, int status)
{
	struct peer *peer = request->data;

	if (peer->state != PEER_CONNECTING)
		return;
	if (status == 0) {
		peer->state = PEER_CONNECTED;
		peer->reported = false;
		list_for_each(node, next, &peer->calls) list_entry(node, struct peer_call, link)->sent = true;
		status = connection_begin(&peer->connection);
	}
	if (status != 0)
		drop(peer, uv_strerror(status));
}

static int connect_begin(struct peer *peer, struct error *error)
{
	const struct server_hello hello = { .protocol = PROTOCOL_VERSION, .version = DNVME_VERSION };
	struct sockaddr_in address;
	char host[LIMIT_ADDRESS + 1];
	const char *colon = strrchr(peer->address, ':');
	int rv;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - peer->address), peer->address);
	rv = uv_ip4_addr(host, atoi(colon + 1), &address);
	if (rv == 0)
		rv = connection_init_tcp(&peer->connection, peer->peers->loop, &peer_events, peer->peers->scratch,
					 LIMIT_FRAME_PEER_BYTES);
	if (rv != 0)
		return error_set(error, ERROR_UNAVAILABLE, "cannot connect to server %llu at %s: %s",
				 (unsigned long long)peer->id, peer->address, uv_strerror(rv));
	peer->state = PEER_CONNECTING;
	peer->connect.data = peer;
	peer->connect_deadline_ms = uv_now(peer->peers->loop) + CONNECT_TIMEOUT_MS;
	rv = rpc_notification_encode("server.peer", schema_server_hello(), &hello, connection_output(&peer->connection),
				     error);
	if (rv == 0) {
		rv = uv_tcp_connect(&peer->connect, &peer->connection.tcp, (const struct sockaddr *)&address,
				    on_connect);
		if (rv != 0)
			error_set(error, ERROR_UNAVAILABLE, "cannot connect to server %llu at %s: %s",
				  (unsigned long long)peer->id, peer->address, uv_strerror(rv));
	}
	if (rv != 0) {
		peer->state = PEER_CLOSING;
		connection_close(&peer->connection);
		return error->code;
	}
	return 0;
}

static struct peer *peer_get(struct peers *peers, uint64_t id, const char *address)
{
	struct peer *peer = table_get(&peers->table, address);

	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return NULL;
	peer->peers = peers;
	peer->id = id;
	snprintf(peer->address, sizeof(peer->address), "%s", address);
	list_init(&peer->calls);
	if (table_put(&peers->table, address, peer) != 0) {
		free(peer);
		return NULL;
	}
	return peer;
}

int peer_call(struct peers *peers, uint64_t id, const char *address, const struct method *method,
	      const struct bytes *params, const void *record, uint64_t timeout_ms, struct peer_call *call,
	      peer_callback callback, void *data, struct error *error)
{
	struct peer *peer = peer_get(peers, id, address);
	struct error ignored;
	struct buffer *output;
	uint32_t msgid;
	int rv;

	if (error == NULL)
		error = &ignored;
	if (peer == NULL)
		return error_set_nomem(error);
	if (peers->closing)
		return error_set(error, ERROR_UNAVAILABLE, "the server is stopping");
	if (peer->state == PEER_CLOSING || (peer->state == PEER_IDLE && uv_now(peers->loop) < peer->retry_ms))
		return error_set(error, ERROR_UNAVAILABLE, "server %llu at %s cannot be reached",
				 (unsigned long long)id, address);
	if (peer->state == PEER_IDLE && connect_begin(peer, error) != 0)
		return error->code;
	if (connection_output_bytes(&peer->connection) > LIMIT_SESSION_OUTPUT_BYTES)
		return error_set(error, ERROR_UNAVAILABLE, "server %llu at %s does not read its requests",
				 (unsigned long long)id, address);
	msgid = ++peer->next_msgid;
	output = connection_output(&peer->connection);
	rv = params != NULL ? rpc_request_forward(msgid, method->name, *params, output, error)
			    : rpc_request_encode(msgid, method->name, method->request(), record, output, error);
	if (rv != 0)
		return rv;
	*call = (struct peer_call){ .peer = peer,
				    .msgid = msgid,
				    .deadline_ms = uv_now(peers->loop) + timeout_ms,
				    .active = true,
				    .sent = peer->state == PEER_CONNECTED,
				    .callback = callback,
				    .data = data };
	list_append(&peer->calls, &call->link);
	connection_flush(&peer->connection);
	return 0;
}

void peer_call_cancel(struct peer_call *call)
{
	if (!call->active)
		return;
	call->active = false;
	list_remove(&call->link);
}

void peers_tick(struct peers *peers)
{
	uint64_t now = uv_now(peers->loop);

	for (struct table_entry *entry = table_next(&peers->table, NULL); entry != NULL;
	     entry = table_next(&peers->table, entry)) {
		struct peer *peer = entry->value;
		struct error failure;

		if (peer->state == PEER_CONNECTING && now > peer->connect_deadline_ms)
			drop(peer, "the connection cannot be made");
		for (bool found = true; found;) {
			found = false;
			list_for_each(node, next, &peer->calls)
			{
				struct peer_call *call = list_entry(node, struct peer_call, link);

				if (now <= call->deadline_ms)
					continue;
				error_set(&failure, ERROR_DEADLINE_EXCEEDED, "server %llu at %s did not answer in time",
					  (unsigned long long)peer->id, peer->address);
				call_end(call, NULL, &failure);
				found = true; /* the callback may have changed the list: look again from the start */
				break;
			}
		}
	}
}

struct peers *peers_make(uv_loop_t *loop, uint8_t *scratch)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (peers != NULL) {
		peers->loop = loop;
		peers->scratch = scratch;
	}
	return peers;
}

void peers_close(struct peers *peers)
{
	if (peers == NULL)
		return;
	peers->closing = true;
	for (struct table_entry *entry = table_next(&peers->table, NULL); entry != NULL;
	     entry = table_next(&peers->table, entry)) {
		((struct peer *)entry->value)->reported = true;
		drop(entry->value, "the server is stopping");
	}
	free_if_done(peers);
}
