/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* Buffers that a large frame blew up are given back when they are empty: there may be ten thousand connections. */
#define KEEP_BYTES 4096u
/* Of frames that wait to be pulled, and of those that were taken before the rest is moved to the front. */
#define WAITING_BYTES 65536u
#define KEEPALIVE_S 10u
#define USER_TIMEOUT_MS 20000u
/* A sender that trickles gets this many stall limits for one frame. */
#define FRAME_STALLS 12u

static void deliver(struct connection *connection);
static bool scan(struct connection *connection);
static void read_update(struct connection *connection);

static void setup(struct connection *connection, const struct connection_events *events, uint8_t *scratch,
		  size_t frame_max_bytes)
{
	connection->events = events;
	connection->scratch = scratch;
	frame_scanner_init(&connection->scanner, frame_max_bytes);
	connection->handle.data = connection;
}

int connection_init_tcp(struct connection *connection, uv_loop_t *loop, const struct connection_events *events,
			uint8_t *scratch, size_t frame_max_bytes)
{
	int rv = uv_tcp_init(loop, &connection->tcp);

	if (rv == 0)
		setup(connection, events, scratch, frame_max_bytes);
	return rv;
}

int connection_init_pipe(struct connection *connection, uv_loop_t *loop, const struct connection_events *events,
			 uint8_t *scratch, size_t frame_max_bytes)
{
	int rv = uv_pipe_init(loop, &connection->pipe, 0);

	if (rv == 0)
		setup(connection, events, scratch, frame_max_bytes);
	return rv;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct connection *connection = handle->data;

	(void)suggested;
	*buffer = uv_buf_init((char *)connection->scratch, CONNECTION_SCRATCH_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct connection *connection = stream->data;
	struct error failure;

	if (size == 0 || connection->closing)
		return;
	if (size == UV_EOF) {
		connection->events->ended(connection, NULL);
		return;
	}
	if (size < 0) {
		error_set(&failure, ERROR_UNAVAILABLE, "%s", uv_strerror((int)size));
		connection->events->ended(connection, &failure);
		return;
	}
	connection->input_ms = uv_now(stream->loop);
	if (connection->finish_ms > 0)
		return;
	if (connection->input.size == connection->begin)
		connection->frame_begin_ms = connection->input_ms;
	if (buffer_append(&connection->input, buffer->base, (size_t)size) != 0) {
		error_set_nomem(&failure);
		connection->events->ended(connection, &failure);
		return;
	}
	if (!connection->pulled) {
		deliver(connection);
		return;
	}
	scan(connection);
	read_update(connection);
	if (!connection->closing && connection->events->arrived != NULL)
		connection->events->arrived(connection);
}

static bool has_enough(const struct connection *connection)
{
	return connection->pulled && connection->frame_waits && connection->finish_ms == 0 &&
	       connection->input.size - connection->begin >= WAITING_BYTES;
}

static void read_update(struct connection *connection)
{
	bool wanted = connection->open && !connection->paused && !has_enough(connection);

	if (connection->closing || wanted == connection->reading)
		return;
	connection->reading = wanted;
	if (!wanted)
		uv_read_stop(&connection->stream);
	else if (uv_read_start(&connection->stream, on_alloc, on_read) != 0)
		connection->reading = false;
}

int connection_begin(struct connection *connection)
{
	unsigned user_timeout = USER_TIMEOUT_MS;
	uv_os_fd_t fd;
	int rv;

	if (connection->handle.type == UV_TCP) {
		rv = uv_tcp_nodelay(&connection->tcp, 1);
		if (rv == 0)
			rv = uv_tcp_keepalive(&connection->tcp, 1, KEEPALIVE_S);
		if (rv == 0)
			rv = uv_fileno(&connection->handle, &fd);
		if (rv != 0)
			return rv;
		/* A peer that died without a word must not be waited for during TCP's own quarter of an hour. */
		if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout)) != 0)
			return UV_EINVAL;
	}
	connection->open = true;
	connection->output_ms = uv_now(connection->handle.loop);
	rv = uv_read_start(&connection->stream, on_alloc, on_read);
	if (rv != 0)
		return rv;
	connection->reading = true;
	connection_flush(connection);
	return 0;
}

void connection_frame_limit(struct connection *connection, size_t frame_max_bytes)
{
	connection->scanner.max_bytes = frame_max_bytes;
}

/* Whether a whole frame waits; looks at what arrived for that. */
static bool scan(struct connection *connection)
{
	struct bytes seen;
	struct error failure;
	size_t used = 0;
	int complete = 0;

	if (connection->closing || connection->finish_ms > 0)
		return false;
	if (connection->frame_waits || connection->scanned == connection->input.size)
		return connection->frame_waits;
	if (frame_scanner_feed(&connection->scanner, connection->input.data + connection->scanned,
			       connection->input.size - connection->scanned, &used, &complete, &failure) != 0) {
		seen = (struct bytes){ connection->input.data + connection->begin,
				       connection->input.size - connection->begin };
		connection->events->bad(connection, seen, &failure);
		return false;
	}
	connection->scanned += used;
	connection->frame_waits = complete != 0;
	return connection->frame_waits;
}

static void take(struct connection *connection)
{
	struct bytes frame = { connection->input.data + connection->begin, connection->scanned - connection->begin };

	connection->frame_waits = false;
	connection->begin = connection->scanned;
	connection->frame_begin_ms = uv_now(connection->handle.loop);
	connection->events->frame(connection, frame);
}

/* Forget what was taken; not with every frame, as the rest has to be moved. */
static void trim(struct connection *connection)
{
	if (connection->begin < connection->input.size && connection->begin < WAITING_BYTES)
		return;
	buffer_consume(&connection->input, connection->begin);
	connection->scanned -= connection->begin;
	connection->begin = 0;
	if (connection->input.size == 0 && connection->input.capacity > KEEP_BYTES)
		buffer_free(&connection->input);
}

static void deliver(struct connection *connection)
{
	if (connection->delivering)
		return;
	connection->delivering = true;
	while (!connection->paused && !connection->pulled && scan(connection))
		take(connection);
	trim(connection);
	connection->delivering = false;
}

void connection_pull(struct connection *connection)
{
	if (connection->delivering || connection->paused || !scan(connection))
		return;
	connection->delivering = true;
	take(connection);
	trim(connection);
	connection->delivering = false;
	if (connection->pulled)
		scan(connection);
	else
		deliver(connection);
	read_update(connection);
}

void connection_pull_set(struct connection *connection, bool pulled)
{
	connection->pulled = pulled;
	deliver(connection);
	read_update(connection);
}

bool connection_frame_waits(const struct connection *connection)
{
	return connection->frame_waits && connection->finish_ms == 0 && !connection->closing;
}

size_t connection_held_bytes(const struct connection *connection)
{
	return connection->input.capacity + connection->output.capacity + connection->writing.capacity;
}

void connection_pause(struct connection *connection)
{
	connection->paused = true;
	read_update(connection);
}

void connection_resume(struct connection *connection)
{
	if (!connection->paused)
		return;
	connection->paused = false;
	connection->input_ms = connection->frame_begin_ms = uv_now(connection->handle.loop);
	deliver(connection);
	read_update(connection);
}

struct buffer *connection_output(struct connection *connection)
{
	return &connection->output;
}

size_t connection_output_bytes(const struct connection *connection)
{
	return connection->output.size + connection->writing.size;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
	(void)request;
	(void)status; /* the other side's end or the owner's patience ends the connection */
}

static void on_written(uv_write_t *request, int status)
{
	struct connection *connection = request->data;
	struct error failure;

	connection->write_active = false;
	buffer_clear(&connection->writing);
	if (connection->writing.capacity > KEEP_BYTES)
		buffer_free(&connection->writing);
	if (connection->closing)
		return;
	if (status < 0) {
		error_set(&failure, ERROR_UNAVAILABLE, "%s", uv_strerror(status));
		connection->events->ended(connection, &failure);
		return;
	}
	connection->output_ms = uv_now(connection->handle.loop);
	connection_flush(connection);
	if (connection->events->progress != NULL)
		connection->events->progress(connection);
}

void connection_flush(struct connection *connection)
{
	struct buffer empty;
	uv_buf_t piece;

	if (connection->closing) {
		buffer_clear(&connection->output);
		return;
	}
	if (!connection->open || connection->write_active)
		return;
	if (connection->output.size == 0) {
		if (connection->finish_ms > 0 && !connection->shutting_down) {
			connection->shutting_down = true;
			uv_shutdown(&connection->shutdown, &connection->stream, on_shutdown);
		}
		return;
	}
	empty = connection->writing;
	connection->writing = connection->output;
	connection->output = empty;
	connection->write.data = connection;
	connection->write_active = true;
	connection->output_ms = uv_now(connection->handle.loop);
	piece = uv_buf_init((char *)connection->writing.data, (unsigned)connection->writing.size);
	if (uv_write(&connection->write, &connection->stream, &piece, 1, on_written) != 0) {
		/* The stream is broken; the read side reports it. */
		connection->write_active = false;
		buffer_clear(&connection->writing);
	}
}

void connection_finish(struct connection *connection)
{
	if (connection->closing || connection->finish_ms > 0)
		return;
	connection->finish_ms = uv_now(connection->handle.loop);
	if (connection->finish_ms == 0)
		connection->finish_ms = 1;
	connection->paused = false;
	read_update(connection);
	connection_flush(connection);
}

static void on_close(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	buffer_free(&connection->input);
	buffer_free(&connection->output);
	buffer_free(&connection->writing);
	connection->events->closed(connection);
}

void connection_close(struct connection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	uv_close(&connection->handle, on_close);
}

const char *connection_stalled(struct connection *connection, uint64_t now_ms, uint64_t limit_ms)
{
	size_t queued = uv_stream_get_write_queue_size(&connection->stream);

	if (connection->closing || !connection->open)
		return NULL;
	if (queued != connection->queued_seen) {
		/* A large answer on its way to a slow reader: it moves. */
		connection->queued_seen = queued;
		connection->output_ms = now_ms;
	}
	if (connection->finish_ms > 0)
		return now_ms - connection->finish_ms > limit_ms ? "did not take the last answer" : NULL;
	/* What was only just appended is not unread. */
	if (connection->write_active && now_ms - connection->output_ms > limit_ms)
		return "does not read its answers";
	/* A frame that waits for its owner, or behind one that does, is not late. */
	if (!connection->paused && !connection->frame_waits && connection->input.size > connection->begin) {
		if (now_ms - connection->input_ms > limit_ms)
			return "left a frame unfinished";
		if (now_ms - connection->frame_begin_ms > FRAME_STALLS * limit_ms)
			return "takes too long to send a frame";
	}
	return NULL;
}
