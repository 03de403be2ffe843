/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that others made to this server: clients, agents, other servers.
 */
#ifndef DNVME_SRC_SESSION_H
#define DNVME_SRC_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/wire/rpc.h"
#include "src/connection.h"
#include "src/fair.h"
#include "src/list.h"

struct dnvmed;
struct agent;

enum session_kind { SESSION_CLIENT, SESSION_PEER, SESSION_AGENT };

struct session {
	struct connection connection;
	struct list link;
	struct list touched_link;
	struct dnvmed *dnvmed;
	enum session_kind kind;
	char name[128];	      /* "tcp:127.0.0.1:4711", "unix": for the log */
	struct list requests; /* unanswered */
	size_t request_count;
	struct agent *agent;   /* of an agent's session; borrowed */
	uint64_t servers_told; /* the list that it was told, by its generation */
	struct fair_place fair;
	size_t request_bytes; /* that its unanswered requests take, about */
	size_t held_bytes;    /* its part of dnvmed->held_bytes */
	bool ending;
};

/* Listen on the API address and, if there is one, the Unix socket. UNAVAILABLE, PERMISSION_DENIED … with the address.
 */
int session_listen(struct dnvmed *dnvmed, struct error *error);

/* Stop listening; idempotent. */
void session_listen_stop(struct dnvmed *dnvmed);

/* Where answers are appended; session_touch() lets them go out before the loop sleeps. */
struct buffer *session_output(struct session *session);

/* Output was appended, or requests were answered: send, and read on if there is room again, before the loop sleeps.
 * Nothing happens inside this call, so it may be made while lists of requests are walked. */
void session_touch(struct session *session);

/* Close with a reason for the log; requests lose their session. Idempotent. */
void session_close(struct session *session, const char *reason);

/* Send what waits, then close. */
void session_finish(struct session *session, const char *reason);

/* The session belongs to an agent or another server now: larger frames. */
void session_kind_set(struct session *session, enum session_kind kind);

/* Whether it has so many requests, or unread answers, that nothing more is read of it. */
bool session_is_full(const struct session *session);

/* Close sessions that stall; take connections that found no memory. */
void session_tick(struct dnvmed *dnvmed);

/* Before the loop sleeps: what session_touch() promised. Returns whether connections wait to be taken. */
bool session_prepare(struct dnvmed *dnvmed);

#endif
