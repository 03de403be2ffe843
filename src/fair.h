/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose turn it is: what clients ask is worked off a little in each turn of the loop, address by address, and
 * connection by connection of one address. So who asks for one thing waits for one thing of each other address, however
 * much those ask for; and Raft, agents, and what the leader does by itself, wait for one such slice at most.
 *
 *   connection ──INPUT──► request ──ADMIT──► barrier, proposal, another server ──STEP──► answer
 *
 * INPUT: frames that wait in a connection. ADMIT: requests that wait because as many as are to be under way at a time
 * are. STEP: requests that can go on. Each is a ring of addresses, each with a ring of its connections. Agents are not
 * part of this, they come first. All on the loop's thread.
 */
#ifndef DNVME_SRC_FAIR_H
#define DNVME_SRC_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "src/list.h"
#include "src/table.h"

struct dnvmed;
struct request;
struct session;

enum fair_kind { FAIR_STEP, FAIR_ADMIT, FAIR_INPUT, FAIR_KINDS };

#define FAIR_SOURCE_NAME 64u

/* Where connections come from: an address, the Unix socket, one other server. */
struct fair_source {
	char name[FAIR_SOURCE_NAME];
	size_t references; /* of sessions and requests */
	size_t under_way;  /* of its requests */
	size_t clients;	   /* connections that are neither an agent's nor a server's */
	struct list sessions;
	struct list links[FAIR_KINDS];	 /* in the rings */
	struct list waiting[FAIR_KINDS]; /* sessions, the next one first */
};

struct fair {
	struct table sources;	   /* by name */
	struct fair_source common; /* of those for which there was no memory */
	struct list rings[FAIR_KINDS];
	size_t under_way;
	uint64_t budget_ns; /* of each kind in a turn of the loop */
	uv_timer_t wake;
	bool wake_open;
};

/* A session's part. */
struct fair_place {
	struct fair_source *source;
	struct list source_link;
	struct list links[FAIR_KINDS];
	struct list steps;  /* requests that can go on (state_link) */
	struct list parked; /* the one that waits to be admitted (state_link); nothing is read behind it */
};

void fair_init(struct fair *fair);

/* Before the loop runs; returns 0 or a libuv error. */
int fair_open(struct dnvmed *dnvmed);
void fair_close(struct dnvmed *dnvmed);
void fair_free(struct fair *fair); /* behind the loop */

/* A session begins, of the source with this name; it ends; it is of another source from now on (NULL: it is an agent's
 * and has no turns). */
void fair_session_begin(struct session *session, const char *source);
void fair_session_end(struct session *session);
void fair_session_move(struct session *session, const char *source);

/* Of the source with most clients, a client that can go so that one of `newcomer`'s source has room; NULL when that
 * source would have more than any other. */
struct session *fair_session_yields(struct dnvmed *dnvmed, const struct session *newcomer);

/* Something may have arrived, or there may be room for it. */
void fair_session_look(struct session *session);

/* A request came in: whether it may go on at once. If not it waits for its turn. */
bool fair_admit(struct request *request);

/* The request, which is in no other list, goes on (request_step()) when it is its turn. */
void fair_step(struct request *request);

/* Count the request among those under way, or no more. Idempotent. */
void fair_weigh(struct request *request, bool under_way);

/* Its memory goes. */
void fair_forget(struct request *request);

/* One slice. */
void fair_prepare(struct dnvmed *dnvmed);

/* Before the loop sleeps: it does not, if there is something left to do. */
void fair_wake(struct dnvmed *dnvmed, bool something);

#endif
