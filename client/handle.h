/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls on their way: which server they are sent to, again and again, until an answer or their deadline ends them.
 *
 *   QUEUED ──► SENT ──► FINISHED
 *     │ ▲       │          ▲
 *     │ └───────┘          │      back to QUEUED: connection lost, UNAVAILABLE, silence
 *     └────────────────────┘
 */
#ifndef DNVME_CLIENT_HANDLE_H
#define DNVME_CLIENT_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"
#include "client/dnvme.h"
#include "client/endpoint.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/state_machine.h"
#include "lib/wire/methods.h"

#define CLIENT_PENDING_MAX 1024u

enum call_state { CALL_QUEUED, CALL_SENT, CALL_FINISHED };

struct dnvme_pending {
	struct dnvme_pending *next;
	struct dnvme_pending *previous;
	const struct method *method;
	struct state_machine machine;
	uint32_t msgid;	     /* the same at every attempt: a late answer of an earlier one is as good */
	struct buffer frame; /* the request */
	struct buffer again; /* the same once an earlier attempt is doubtful; empty: it makes no difference */
	size_t server;	     /* QUEUED: try this one first; SENT: where it is */
	unsigned timeout_ms; /* for the message */
	unsigned wait_ms;    /* so long the server may be silent because it was asked to wait */
	uint64_t started_ms;
	uint64_t deadline_ms;
	uint64_t retry_ms;	/* QUEUED: not before */
	uint64_t attempt_ms;	/* SENT: then the next server is asked */
	unsigned refusals;	/* answers UNAVAILABLE */
	unsigned misunderstood; /* servers that did not speak our protocol */
	bool reached;		/* it was sent at least once */
	bool doubtful;		/* nobody knows what becomes of an earlier attempt: it may still be read somewhere */
	struct error refusal;	/* the last answer UNAVAILABLE */
	struct error outcome;	/* FINISHED: code 0 on success */
	struct dnvme_result *result;
	dnvme_done done;
	void *data;
};

struct dnvme {
	struct endpoint *endpoints;
	struct connection *connections; /* one per endpoint; both have room for LIMIT_SERVERS */
	size_t count;
	size_t preferred; /* the server that answered last */
	int epoll_fd;
	unsigned timeout_ms;
	unsigned connect_timeout_ms;
	uint32_t next_msgid;
	bool processing;
	struct dnvme_pending *first; /* in order of their start */
	struct dnvme_pending *last;
	size_t pending_count;
};

/* Begin a call of a method with a record of its request schema (borrowed). Sets the record's request_id if it has
 * one. As dnvme_start(). */
int client_start(struct dnvme *dnvme, const struct method *method, void *record,
		 const struct dnvme_call_options *options, dnvme_done done, void *data,
		 struct dnvme_pending **ret_pending, struct error *error);

/* The same, and wait for the end. As dnvme_call(). */
int client_run(struct dnvme *dnvme, enum method_id method, void *record, const struct dnvme_call_options *options,
	       struct dnvme_result **ret_result, struct dnvme_error *error);

/* Copy an error to a caller's struct, if there is one. Returns its code. */
int client_error_export(const struct error *error, struct dnvme_error *ret_error);

#endif
