/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/link.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire/frame.h"

#define READ_BYTES 65536

struct link {
	uv_tcp_t tcp;
	uv_connect_t connect;
	const struct link_events *events; /* NULL once it is being closed */
	void *data;
	struct buffer input;
	struct frame_scanner scanner;
	uint64_t heard_ms;
	bool opened, delivering, handle_closed;
	char scratch[READ_BYTES];
};

struct sending {
	uv_write_t write;
	struct buffer data;
};

static void free_if_done(struct link *link)
{
	if (!link->handle_closed || link->delivering)
		return;
	buffer_free(&link->input);
	free(link);
}

static void on_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	link->handle_closed = true;
	free_if_done(link);
}

static void end(struct link *link, enum error_code code, const char *text)
{
	const struct link_events *events = link->events;
	struct error error = { 0 };

	if (events == NULL)
		return;
	link->events = NULL;
	error_set(&error, code, "%s", text);
	events->ended(link->data, &error);
}

/* Cut what arrived into frames. The owner may close the link in the middle. */
static void deliver(struct link *link, const uint8_t *data, size_t size)
{
	struct error error = { 0 };

	link->delivering = true;
	while (size > 0 && link->events != NULL) {
		size_t used = 0;
		int complete = 0;

		if (frame_scanner_feed(&link->scanner, data, size, &used, &complete, &error) != 0) {
			end(link, error.code, error.message);
			break;
		}
		if (buffer_append(&link->input, data, used) != 0) {
			end(link, ERROR_INTERNAL, "out of memory");
			break;
		}
		data += used;
		size -= used;
		if (!complete)
			continue;
		link->events->frame(link->data, buffer_bytes(&link->input));
		buffer_clear(&link->input);
	}
	link->delivering = false;
	free_if_done(link);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct link *link = handle->data;

	(void)suggested;
	*ret = uv_buf_init(link->scratch, sizeof(link->scratch));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *data)
{
	struct link *link = stream->data;

	if (size < 0) {
		end(link, ERROR_UNAVAILABLE,
		    size == UV_EOF ? "the server closed the connection" : uv_strerror((int)size));
		return;
	}
	if (size == 0)
		return;
	link->heard_ms = uv_now(stream->loop);
	deliver(link, (const uint8_t *)data->base, (size_t)size);
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct link *link = connect->data;
	const struct link_events *events = link->events;
	int code;

	if (events == NULL)
		return;
	if (status != 0) {
		end(link, ERROR_UNAVAILABLE, uv_strerror(status));
		return;
	}
	uv_tcp_nodelay(&link->tcp, 1);
	code = uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read);
	if (code != 0) {
		end(link, ERROR_UNAVAILABLE, uv_strerror(code));
		return;
	}
	link->heard_ms = uv_now(link->tcp.loop);
	link->opened = true;
	events->opened(link->data);
}

struct link *link_open(uv_loop_t *loop, const char *address, const struct link_events *events, void *data,
		       struct error *error)
{
	const char *colon = strrchr(address, ':');
	struct sockaddr_in socket_address;
	struct link *link;
	char host[64];
	int code;

	if (colon == NULL || (size_t)(colon - address) >= sizeof(host)) {
		error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not of the form ADDRESS:PORT", address);
		return NULL;
	}
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	code = uv_ip4_addr(host, atoi(colon + 1), &socket_address);
	if (code != 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\": %s", address, uv_strerror(code));
		return NULL;
	}
	link = malloc(sizeof(*link));
	if (link == NULL) {
		error_set_nomem(error);
		return NULL;
	}
	memset(link, 0, offsetof(struct link, scratch));
	link->events = events;
	link->data = data;
	link->heard_ms = uv_now(loop);
	link->connect.data = link;
	frame_scanner_init(&link->scanner, LIMIT_FRAME_PEER_BYTES);
	uv_tcp_init(loop, &link->tcp);
	link->tcp.data = link;
	code = uv_tcp_connect(&link->connect, &link->tcp, (const struct sockaddr *)&socket_address, on_connected);
	if (code != 0) {
		error_set(error, ERROR_UNAVAILABLE, "cannot connect to %s: %s", address, uv_strerror(code));
		link_close(link);
		return NULL;
	}
	return link;
}

void link_close(struct link *link)
{
	if (link == NULL)
		return;
	link->events = NULL;
	if (!uv_is_closing((uv_handle_t *)&link->tcp))
		uv_close((uv_handle_t *)&link->tcp, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
	struct sending *sending = (struct sending *)write;
	struct link *link = write->handle->data;

	buffer_free(&sending->data);
	free(sending);
	if (status != 0 && status != UV_ECANCELED)
		end(link, ERROR_UNAVAILABLE, uv_strerror(status));
}

int link_send(struct link *link, struct buffer *output, struct error *error)
{
	struct sending *sending;
	uv_buf_t data;
	int code;

	if (output->size == 0)
		return 0;
	if (uv_stream_get_write_queue_size((uv_stream_t *)&link->tcp) > LIMIT_SESSION_OUTPUT_BYTES)
		return error_set(error, ERROR_INTERNAL, "the server does not read");
	sending = calloc(1, sizeof(*sending));
	if (sending == NULL)
		return error_set_nomem(error);
	sending->data = *output;
	*output = (struct buffer)BUFFER_INIT;
	data = uv_buf_init((char *)sending->data.data, (unsigned)sending->data.size);
	code = uv_write(&sending->write, (uv_stream_t *)&link->tcp, &data, 1, on_written);
	if (code != 0) {
		buffer_free(&sending->data);
		free(sending);
		return error_set(error, ERROR_INTERNAL, "cannot send: %s", uv_strerror(code));
	}
	return 0;
}

uint64_t link_heard_ms(const struct link *link)
{
	return link->heard_ms;
}
