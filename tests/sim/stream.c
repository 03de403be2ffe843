/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams of the simulated libuv, over tests/sim/net.h. There are no pipes: nobody in the world connects to one. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/sim/loop.h"
#include "tests/sim/net.h"

struct pending {
	struct pending *next;
	uv_write_t *request;
	uv_write_cb callback;
	size_t size, sent;
	uint8_t *bytes; /* borrowed, as libuv does */
	bool done;
	int status;
};

struct stream {
	uv_stream_t *handle;
	struct loop *loop;
	struct tcp *tcp;
	struct listener *listener;
	uint32_t ip; /* bound to */
	uint16_t port;
	uv_connect_t *connect;
	uv_connection_cb on_connection;
	uv_shutdown_t *shutdown;
	uv_shutdown_cb on_shutdown;
	struct pending *writes, **writes_end;
	bool reading, end_told;
	struct world_event look;
};

static struct stream *stream_of(const uv_stream_t *handle)
{
	return handle->queued_fds;
}

static void look_soon(void *data)
{
	struct stream *stream = data;

	if (!event_is_waiting(&stream->look))
		event_at(&stream->look, world_now);
}

static const struct tcp_events stream_events = { .changed = look_soon };

static void writes_push(struct stream *stream)
{
	for (struct pending *write = stream->writes; write != NULL; write = write->next) {
		size_t room = tcp_room(stream->tcp), part = write->size - write->sent;

		if (write->done)
			continue;
		if (tcp_error(stream->tcp) != 0) {
			write->done = true;
			write->status = -tcp_error(stream->tcp);
			continue;
		}
		if (part > room)
			part = room;
		tcp_send(stream->tcp, write->bytes + write->sent, part);
		write->sent += part;
		write->done = write->sent == write->size;
		if (!write->done)
			break;
	}
}

static void writes_end(struct stream *stream)
{
	while (stream->writes != NULL && stream->writes->done) {
		struct pending *write = stream->writes;

		stream->writes = write->next;
		if (stream->writes == NULL)
			stream->writes_end = &stream->writes;
		write->callback(write->request, write->status);
		free(write);
	}
}

static void read_some(struct stream *stream)
{
	uv_stream_t *handle = stream->handle;

	while (stream->reading && stream->tcp != NULL) {
		struct bytes received = tcp_received(stream->tcp);
		uv_buf_t buffer = { 0 };
		ssize_t size;

		if (received.size == 0) {
			bool ended = tcp_is_ended(stream->tcp);
			int error = tcp_error(stream->tcp);

			if ((!ended && error == 0) || stream->end_told)
				return;
			stream->end_told = true;
			stream->reading = false;
			handle->alloc_cb((uv_handle_t *)handle, 65536, &buffer);
			handle->read_cb(handle, ended && error == 0 ? UV_EOF : -error, &buffer);
			return;
		}
		handle->alloc_cb((uv_handle_t *)handle, 65536, &buffer);
		size = (ssize_t)(received.size < buffer.len ? received.size : buffer.len);
		memcpy(buffer.base, received.data, (size_t)size);
		tcp_consume(stream->tcp, (size_t)size);
		handle->read_cb(handle, size, &buffer);
	}
}

static void look(void *data)
{
	struct stream *stream = data;

	if (stream->listener != NULL) {
		/* One that is not accepted keeps the others waiting. */
		while (stream->tcp == NULL && stream->listener != NULL &&
		       (stream->tcp = listener_take(stream->listener)) != NULL)
			stream->on_connection(stream->handle, 0);
		return;
	}
	if (stream->connect != NULL && (tcp_is_connected(stream->tcp) || tcp_error(stream->tcp) != 0)) {
		uv_connect_t *connect = stream->connect;

		stream->connect = NULL;
		connect->cb(connect, -tcp_error(stream->tcp));
	}
	if (stream->tcp == NULL)
		return;
	writes_push(stream);
	writes_end(stream);
	if (stream->tcp == NULL)
		return;
	if (stream->shutdown != NULL && stream->writes == NULL) {
		uv_shutdown_t *request = stream->shutdown;

		stream->shutdown = NULL;
		tcp_shutdown(stream->tcp);
		stream->on_shutdown(request, 0);
	}
	read_some(stream);
}

static void on_look(struct world_event *event)
{
	struct stream *stream = event->data;

	loop_turn(stream->loop, look, stream);
}

static int stream_init(uv_loop_t *uv, uv_stream_t *handle, uv_handle_type type)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return UV_ENOMEM;
	loop_handle_init(uv, (uv_handle_t *)handle, type);
	handle->queued_fds = stream;
	handle->write_queue_size = 0;
	handle->alloc_cb = NULL;
	handle->read_cb = NULL;
	stream->handle = handle;
	stream->loop = loop_of(uv);
	stream->writes_end = &stream->writes;
	event_init(&stream->look, stream->loop->process, on_look, stream);
	return 0;
}

int uv_tcp_init(uv_loop_t *uv, uv_tcp_t *tcp)
{
	return stream_init(uv, (uv_stream_t *)tcp, UV_TCP);
}

int uv_pipe_init(uv_loop_t *uv, uv_pipe_t *pipe, int ipc)
{
	pipe->ipc = ipc;
	return stream_init(uv, (uv_stream_t *)pipe, UV_NAMED_PIPE);
}

int uv_pipe_bind(uv_pipe_t *pipe, const char *name)
{
	(void)pipe;
	(void)name;
	return 0;
}

int uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	struct stream *stream = stream_of((uv_stream_t *)tcp);

	(void)flags;
	stream->ip = ntohl(in->sin_addr.s_addr);
	stream->port = ntohs(in->sin_port);
	return 0;
}

int uv_listen(uv_stream_t *handle, int backlog, uv_connection_cb callback)
{
	struct stream *stream = stream_of(handle);

	(void)backlog;
	stream->on_connection = callback;
	if (handle->type != UV_TCP)
		return 0;
	stream->listener = listener_open(stream->loop->process, stream->ip, stream->port, &stream_events, stream);
	return stream->listener != NULL ? 0 : UV_EADDRINUSE;
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
	struct stream *listening = stream_of(server), *stream = stream_of(client);

	if (listening->tcp == NULL)
		return UV_EAGAIN;
	stream->tcp = listening->tcp;
	listening->tcp = NULL;
	tcp_events_set(stream->tcp, stream->loop->process, &stream_events, stream);
	look_soon(stream);
	look_soon(listening);
	return 0;
}

int uv_tcp_connect(uv_connect_t *request, uv_tcp_t *tcp, const struct sockaddr *address, uv_connect_cb callback)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	struct stream *stream = stream_of((uv_stream_t *)tcp);

	request->cb = callback;
	request->handle = (uv_stream_t *)tcp;
	stream->connect = request;
	stream->tcp = tcp_connect(stream->loop->process, ntohl(in->sin_addr.s_addr), ntohs(in->sin_port),
				  &stream_events, stream);
	return 0;
}

int uv_read_start(uv_stream_t *handle, uv_alloc_cb alloc, uv_read_cb read)
{
	struct stream *stream = stream_of(handle);

	handle->alloc_cb = alloc;
	handle->read_cb = read;
	stream->reading = true;
	look_soon(stream);
	return 0;
}

int uv_read_stop(uv_stream_t *handle)
{
	stream_of(handle)->reading = false;
	return 0;
}

int uv_write(uv_write_t *request, uv_stream_t *handle, const uv_buf_t buffers[], unsigned count, uv_write_cb callback)
{
	struct stream *stream = stream_of(handle);
	struct pending *write;

	if (count != 1)
		abort();
	if (stream->tcp == NULL || uv_is_closing((uv_handle_t *)handle))
		return UV_EBADF;
	write = calloc(1, sizeof(*write));
	if (write == NULL)
		return UV_ENOMEM;
	request->handle = handle;
	request->cb = callback;
	write->request = request;
	write->callback = callback;
	write->bytes = (uint8_t *)buffers[0].base;
	write->size = buffers[0].len;
	*stream->writes_end = write;
	stream->writes_end = &write->next;
	if (tcp_is_connected(stream->tcp))
		writes_push(stream);
	look_soon(stream);
	return 0;
}

int uv_shutdown(uv_shutdown_t *request, uv_stream_t *handle, uv_shutdown_cb callback)
{
	struct stream *stream = stream_of(handle);

	request->handle = handle;
	stream->shutdown = request;
	stream->on_shutdown = callback;
	look_soon(stream);
	return 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *handle)
{
	size_t size = 0;

	for (struct pending *write = stream_of(handle)->writes; write != NULL; write = write->next)
		size += write->size - write->sent;
	return size;
}

int uv_tcp_nodelay(uv_tcp_t *tcp, int enable)
{
	(void)tcp;
	(void)enable;
	return 0;
}

int uv_tcp_keepalive(uv_tcp_t *tcp, int enable, unsigned delay)
{
	(void)tcp;
	(void)enable;
	(void)delay;
	return 0;
}

/* Nothing is done with it but setsockopt(); see sim_setsockopt(). */
int uv_fileno(const uv_handle_t *handle, uv_os_fd_t *ret_fd)
{
	(void)handle;
	*ret_fd = -1;
	return 0;
}

int uv_tcp_getpeername(const uv_tcp_t *tcp, struct sockaddr *name, int *size)
{
	struct sockaddr_in *in = (struct sockaddr_in *)name;
	struct stream *stream = stream_of((const uv_stream_t *)tcp);
	uint32_t ip;
	uint16_t port;

	if (stream->tcp == NULL)
		return UV_ENOTCONN;
	tcp_peer(stream->tcp, &ip, &port);
	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	*size = sizeof(*in);
	return 0;
}

/* Requests end before their handle does, as libuv has it. */
void stream_close(uv_stream_t *handle)
{
	struct stream *stream = stream_of(handle);

	event_cancel(&stream->look);
	stream->reading = false;
	if (stream->listener != NULL)
		listener_close(stream->listener);
	stream->listener = NULL;
	if (stream->tcp != NULL)
		tcp_close(stream->tcp);
	stream->tcp = NULL;
}

void stream_closed(uv_stream_t *handle)
{
	struct stream *stream = stream_of(handle);
	struct pending *write;

	if (stream->connect != NULL)
		stream->connect->cb(stream->connect, UV_ECANCELED);
	while ((write = stream->writes) != NULL) {
		stream->writes = write->next;
		write->callback(write->request, write->done ? write->status : UV_ECANCELED);
		free(write);
	}
	if (stream->shutdown != NULL)
		stream->on_shutdown(stream->shutdown, UV_ECANCELED);
	event_cancel(&stream->look);
	free(stream);
	handle->queued_fds = NULL;
}
