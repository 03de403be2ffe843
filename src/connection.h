/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of frames on a TCP or Unix socket: whole frames come in, bytes go out in batches.
 *
 * Frames are delivered as they come, or, of a connection that is pulled, one by one when its owner asks for them. What
 * waits meanwhile is bounded: the connection is read no further, and the kernel's buffers slow the sender.
 *
 * The owner embeds struct connection and frees it after `closed`. All on the loop's thread. Callbacks may close the
 * connection; its memory stays until `closed`.
 */
#ifndef DNVME_SRC_CONNECTION_H
#define DNVME_SRC_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/wire/frame.h"

#define CONNECTION_SCRATCH_BYTES 65536

struct connection;

struct connection_events {
	/* A whole frame, borrowed during the call. */
	void (*frame)(struct connection *connection, struct bytes frame);
	/* The input cannot be a frame; `seen` is what arrived of it. Nothing more is delivered. */
	void (*bad)(struct connection *connection, struct bytes seen, const struct error *failure);
	/* The other side ended the stream (failure NULL) or the socket failed. */
	void (*ended)(struct connection *connection, const struct error *failure);
	/* Something arrived on a connection that is pulled. May be NULL. */
	void (*arrived)(struct connection *connection);
	/* Output went out. May be NULL. */
	void (*progress)(struct connection *connection);
	/* The handle is gone; the memory may go. */
	void (*closed)(struct connection *connection);
};

struct connection {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	const struct connection_events *events;
	uint8_t *scratch; /* CONNECTION_SCRATCH_BYTES, shared by all connections of a loop */
	struct frame_scanner scanner;
	struct buffer input; /* the frame that is being received, and what waits while paused */
	size_t begin;	     /* of the present frame in `input` */
	size_t scanned;	     /* bytes of `input` that the scanner has seen */
	struct buffer output, writing;
	uv_write_t write;
	uv_shutdown_t shutdown;
	size_t queued_seen;	 /* bytes that the kernel had not taken at the last look */
	uint64_t input_ms;	 /* loop time of the last byte received */
	uint64_t frame_begin_ms; /* loop time at which the unfinished frame began */
	uint64_t output_ms;	 /* loop time at which output last moved or began to wait */
	uint64_t finish_ms;	 /* loop time of connection_finish(); 0 before */
	bool open, reading, paused, delivering, write_active, shutting_down, closing;
	bool pulled;	  /* frames wait for connection_pull() */
	bool frame_waits; /* from `begin` to `scanned` there is a whole one */
};

/* Set up a handle for `events`. Returns 0 or a libuv error; on failure nothing has to be closed. */
int connection_init_tcp(struct connection *connection, uv_loop_t *loop, const struct connection_events *events,
			uint8_t *scratch, size_t frame_max_bytes);
int connection_init_pipe(struct connection *connection, uv_loop_t *loop, const struct connection_events *events,
			 uint8_t *scratch, size_t frame_max_bytes);

/* The stream is connected: set socket options, begin to read, send what waits. Returns 0 or a libuv error. */
int connection_begin(struct connection *connection);

/* Raise or lower the largest frame; counts from the next one. */
void connection_frame_limit(struct connection *connection, size_t frame_max_bytes);

/* Stop and resume delivering frames; the kernel's buffers then fill and slow the sender. */
void connection_pause(struct connection *connection);
void connection_resume(struct connection *connection);

/* From now on frames wait until they are pulled, or are delivered as they come. */
void connection_pull_set(struct connection *connection, bool pulled);

/* Deliver the frame that waits, if one does, unless the connection is paused. */
void connection_pull(struct connection *connection);

/* Whether a whole frame waits to be pulled. */
bool connection_frame_waits(const struct connection *connection);

/* Memory that its buffers hold. */
size_t connection_held_bytes(const struct connection *connection);

/* Append to `output`, then flush. Output of a connection that is closing is dropped. */
struct buffer *connection_output(struct connection *connection);
void connection_flush(struct connection *connection);
size_t connection_output_bytes(const struct connection *connection);

/* Deliver nothing more, send what waits, end our half, and read to nowhere until the other side ends or the owner
 * closes: so that a last answer is not lost to a reset. */
void connection_finish(struct connection *connection);

/* Close now. Idempotent; `closed` follows. */
void connection_close(struct connection *connection);

/* Why this connection should be closed as stalled, or NULL: a frame that stays unfinished, answers that stay unread. */
const char *connection_stalled(struct connection *connection, uint64_t now_ms, uint64_t limit_ms);

#endif
