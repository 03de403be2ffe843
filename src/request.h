/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request of a client, another server or an agent, from its frame to its answer.
 *
 *    ┌─────► WAIT_CHANGE ──► DONE
 *    │            ▲
 *    │            ▼
 *   NEW ──► WAIT_LEADER ◄──────────┬──────────────┬──────────────┐
 *    │        │   │   └────────► FORWARD ─────────┼──────────────┼──────────┐
 *    │        │   ▼                               │              │          │
 *    │        │  BARRIER ──► PROPOSE ─────────────┘              │          │
 *    │        │   │            │ └────────► WAIT_AGENTS ─────────┘          │
 *    ▼        ▼   ▼            ▼                  │                         ▼
 *    └──────► DONE ◄───────────┴──────────────────┴─────────── WAIT_OTHERS ◄┘
 *
 * A request may be answered while a callback of consensus is still to come; it is freed after both.
 */
#ifndef DNVME_SRC_REQUEST_H
#define DNVME_SRC_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/state_machine.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "src/list.h"
#include "src/peer.h"

struct dnvmed;
struct session;

enum request_state {
	REQUEST_NEW,
	REQUEST_WAIT_LEADER,
	REQUEST_WAIT_CHANGE,
	REQUEST_BARRIER,
	REQUEST_PROPOSE,
	REQUEST_FORWARD,
	REQUEST_WAIT_AGENTS,
	REQUEST_WAIT_OTHERS,
	REQUEST_DONE,
	REQUEST_STATE_COUNT
};

struct request {
	struct dnvmed *dnvmed;
	struct session *session; /* NULL when it ended */
	struct list session_link, deadline_link, state_link, create_link, change_link;
	struct state_machine machine;
	const struct method *method;
	uint32_t msgid;
	struct arena arena;
	struct rpc_message message;
	void *params; /* the method's request record */
	struct bytes request_id;
	unsigned references;
	uint64_t deadline_ms, leader_deadline_ms, attempt_ms; /* loop time */
	uint64_t target;				      /* server that it was forwarded to */
	struct peer_call call;
	struct fair_source
		*source;      /* that it is counted with; NULL: it is not (an agent's, one that is answered here) */
	bool under_way;	      /* counted there */
	size_t held_bytes;    /* its part of session->request_bytes */
	bool maybe_applied;   /* an earlier attempt may have been committed */
	bool copied;	      /* a copy may be on its way to an earlier leader, and act later */
	bool refused;	      /* whatever refuses it now is the end of it, and of its copies */
	bool refusal_checked; /* the state behind the next refusal was read behind a barrier */
	unsigned plans;	      /* how often a placement went stale */
	const struct command_volume_create *create; /* while it is in dnvmed->creating */
	uint64_t volume, revision;		    /* WAIT_AGENTS: what agents shall confirm; of the outcome */
	uint64_t change_ms;			    /* WAIT_CHANGE: until then, loop time; 0: not asked yet */
	bool change_over;			    /* it changed, or that time is over */
	const char *outcome_id;
	const char *waits_for;
	void *work; /* WAIT_OTHERS: the method's own */
	void (*work_cancel)(struct request *request);
};

/* A frame arrived on a session. */
void request_receive(struct session *session, struct bytes frame);

/* The session is gone: what nobody waits for any more is dropped, what was proposed runs on. */
void request_session_ended(struct session *session);

/* Deadlines, waiting for a leader, forwarded requests whose leader changed. */
void request_tick(struct dnvmed *dnvmed);

/* This server leads (and is ready), or does not any more. */
void request_leadership_changed(struct dnvmed *dnvmed);

/* Something about a volume changed: look at the requests that wait for its agents; 0 means any volume. */
void request_volume_changed(struct dnvmed *dnvmed, uint64_t volume);

/* Answer everything that waits: the server stops. */
void request_stop(struct dnvmed *dnvmed);

/* For handlers. Each ends the request; `record` is of the method's reply schema. */
void request_reply(struct request *request, const void *record);
void request_fail(struct request *request, const struct error *failure);

/* References keep the memory of a request that is done. */
void request_hold(struct request *request);
void request_release(struct request *request);

void request_state_set(struct request *request, enum request_state state);
bool request_is_done(const struct request *request);

/* Propose a command for the request; request_outcome_* follows as the method says. */
void request_propose(struct request *request, const struct command *command);

#endif
