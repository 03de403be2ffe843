/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * etcd's KV.Put over gRPC, which is HTTP/2: one stream for each request. A client in C costs less than etcd's own
 * would, and less than the JSON gateway costs the server, which is for etcd.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"

#define KEY_BYTES 10u
#define GRPC_HEADER_BYTES 5u
#define WINDOW_BYTES (1 << 24)

struct stream {
	uint32_t slot;
	size_t sent; /* of the body */
	bool done;   /* grpc-status 0 came */
	char status[64];
};

struct session {
	nghttp2_session *http;
	uint8_t *body; /* of each request but for its key */
	size_t body_size;
	bool receiving;
};

static void check(ssize_t rv, const char *what)
{
	if (rv < 0)
		load_fail("%s: %s", what, nghttp2_strerror((int)rv));
}

/* --- the message -------------------------------------------------------------------------------------------------- */

static uint8_t *put_length(uint8_t *at, size_t length)
{
	for (; length >= 0x80; length >>= 7)
		*at++ = (uint8_t)(length | 0x80);
	*at++ = (uint8_t)length;
	return at;
}

/* PutRequest: bytes key = 1, value = 2. */
static void body_make(struct session *session, size_t payload)
{
	uint8_t *at;
	size_t message;

	session->body = calloc(1, GRPC_HEADER_BYTES + KEY_BYTES + payload + 16);
	if (session->body == NULL)
		load_fail("out of memory");
	at = session->body + GRPC_HEADER_BYTES;
	*at++ = 1 << 3 | 2;
	at = put_length(at, KEY_BYTES);
	at += KEY_BYTES;
	*at++ = 2 << 3 | 2;
	at = put_length(at, payload);
	memset(at, 'v', payload);
	at += payload;
	session->body_size = (size_t)(at - session->body);
	message = session->body_size - GRPC_HEADER_BYTES;
	for (unsigned i = 0; i < 4; i++)
		session->body[1 + i] = (uint8_t)(message >> (24 - 8 * i));
}

static ssize_t on_body(nghttp2_session *http, int32_t id, uint8_t *buffer, size_t size, uint32_t *flags,
		       nghttp2_data_source *source, void *data)
{
	struct load_connection *connection = data;
	struct session *session = connection->state;
	struct stream *stream = source->ptr;
	char key[KEY_BYTES + 1];

	(void)http;
	(void)id;
	snprintf(key, sizeof(key), "bench-%04u", stream->slot % 10000);
	memcpy(session->body + GRPC_HEADER_BYTES + 2, key, KEY_BYTES);
	if (size > session->body_size - stream->sent)
		size = session->body_size - stream->sent;
	memcpy(buffer, session->body + stream->sent, size);
	stream->sent += size;
	if (stream->sent == session->body_size)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t value_size, uint8_t flags, void *data)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);

	(void)flags;
	(void)data;
	if (stream == NULL || name_size != 11 || memcmp(name, "grpc-status", 11) != 0)
		return 0;
	stream->done = value_size == 1 && *value == '0';
	snprintf(stream->status, sizeof(stream->status), "grpc-status %.*s", (int)value_size, value);
	return 0;
}

static int on_stream_close(nghttp2_session *http, int32_t id, uint32_t code, void *data)
{
	struct load_connection *connection = data;
	struct stream *stream = nghttp2_session_get_stream_user_data(http, id), ended;

	if (stream == NULL)
		return 0;
	ended = *stream;
	free(stream);
	if (!ended.done && ended.status[0] == '\0')
		snprintf(ended.status, sizeof(ended.status), "the stream ended with %u", code);
	load_answered(connection, ended.slot, ended.done ? NULL : ended.status);
	return 0;
}

static void drain(struct load_connection *connection)
{
	struct session *session = connection->state;
	const uint8_t *bytes;
	ssize_t count;

	while ((count = nghttp2_session_mem_send(session->http, &bytes)) > 0)
		load_append(&connection->output, bytes, (size_t)count);
	check(count, "HTTP/2");
}

static void opened(struct load_connection *connection)
{
	struct session *session = calloc(1, sizeof(*session));
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES } };
	nghttp2_session_callbacks *callbacks;

	if (session == NULL)
		load_fail("out of memory");
	connection->state = session;
	body_make(session, load_payload_bytes(connection));
	check(nghttp2_session_callbacks_new(&callbacks), "HTTP/2");
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	check(nghttp2_session_client_new(&session->http, callbacks, connection), "HTTP/2");
	nghttp2_session_callbacks_del(callbacks);
	check(nghttp2_submit_settings(session->http, NGHTTP2_FLAG_NONE, settings, 1), "HTTP/2");
	check(nghttp2_session_set_local_window_size(session->http, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES), "HTTP/2");
	drain(connection);
}

static void closed(struct load_connection *connection)
{
	struct session *session = connection->state;

	nghttp2_session_del(session->http);
	free(session->body);
	free(session);
	connection->state = NULL;
}

#define HEADER(name, value)                                                                                            \
	{                                                                                                              \
		(uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE               \
	}

static void request(struct load_connection *connection, uint32_t slot)
{
	struct session *session = connection->state;
	struct stream *stream = calloc(1, sizeof(*stream));
	nghttp2_nv headers[] = { HEADER(":method", "POST"),
				 HEADER(":scheme", "http"),
				 HEADER(":path", "/etcdserverpb.KV/Put"),
				 HEADER(":authority", connection->address),
				 HEADER("content-type", "application/grpc"),
				 HEADER("te", "trailers") };
	nghttp2_data_provider body = { .source.ptr = stream, .read_callback = on_body };

	if (stream == NULL)
		load_fail("out of memory");
	stream->slot = slot;
	check(nghttp2_submit_request(session->http, NULL, headers, sizeof(headers) / sizeof(headers[0]), &body, stream),
	      "HTTP/2");
	if (!session->receiving)
		drain(connection);
}

static size_t receive(struct load_connection *connection, const uint8_t *data, size_t size)
{
	struct session *session = connection->state;
	ssize_t used;

	session->receiving = true;
	used = nghttp2_session_mem_recv(session->http, data, size);
	session->receiving = false;
	check(used, "HTTP/2");
	drain(connection);
	return (size_t)used;
}

const struct load_protocol protocol_etcd = {
	.name = "etcd", .opened = opened, .closed = closed, .request = request, .receive = receive
};
