/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One non-blocking connection to one server.
 *
 *   CLOSED ──► CONNECTING ──► OPEN
 *     ▲             │           │
 *     └─────────────┴───────────┘
 *
 * It knows bytes and frames, not calls. A connection that failed waits a moment (`not_before_ms`), longer each time,
 * until a whole answer came. Times are those of clock_boot_ms().
 */
#ifndef DNVME_CLIENT_CONNECTION_H
#define DNVME_CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/endpoint.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/state_machine.h"
#include "lib/wire/frame.h"

#define CONNECTION_ATTEMPT_MS 2000u /* of one connect() */

enum connection_state { CONNECTION_CLOSED, CONNECTION_CONNECTING, CONNECTION_OPEN };

struct connection {
	const struct endpoint *endpoint; /* borrowed */
	struct state_machine machine;
	int epoll_fd;		/* borrowed */
	int fd;			/* -1 when closed */
	size_t address;		/* of the endpoint, tried now */
	uint64_t due_ms;	/* CONNECTING: give up then */
	uint64_t input_ms;	/* last byte of an unfinished frame */
	uint64_t not_before_ms; /* CLOSED: no new attempt before */
	unsigned failures;	/* since the last whole answer */
	bool speaks_other;	/* the last failure: it sent what is no frame of ours */
	struct error failure;	/* the last one */
	struct frame_scanner scanner;
	size_t scanned; /* bytes of `input` that the scanner has seen */
	struct buffer input;
	struct buffer output;
};

void connection_init(struct connection *connection, const struct endpoint *endpoint, int epoll_fd);

/* Close and free the buffers. */
void connection_destroy(struct connection *connection);

enum connection_state connection_state(const struct connection *connection);

/* CLOSED: begin to connect. On failure the connection has failed as by connection_fail(). */
int connection_begin(struct connection *connection, uint64_t now_ms);

/* OPEN: queue a frame and write what the socket takes. On failure the connection has failed. */
int connection_send(struct connection *connection, struct bytes frame, uint64_t now_ms);

/* The descriptor is ready: finish connecting, write, read some. On failure the connection has failed. */
int connection_ready(struct connection *connection, uint64_t now_ms);

/* The next whole frame that was read, borrowed until connection_frame_drop(); *ret_found says whether there is one.
 * On failure (bytes that are no frame) the connection has failed. */
int connection_frame_next(struct connection *connection, struct bytes *ret_frame, bool *ret_found, uint64_t now_ms);
void connection_frame_drop(struct connection *connection);

/* A whole, sensible answer came: failures are forgotten. */
void connection_praise(struct connection *connection);

/* Close because of `failure` and set the pause before the next attempt. */
void connection_fail(struct connection *connection, uint64_t now_ms, const struct error *failure);

/* Fail when connecting or half an answer takes too long. Returns whether it failed. */
bool connection_expire(struct connection *connection, uint64_t now_ms);

/* When connection_expire() has something to do; UINT64_MAX for never. */
uint64_t connection_due_ms(const struct connection *connection);

#endif
