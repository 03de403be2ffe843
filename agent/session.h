/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's session with the leader.
 *
 *   AWAY ──► CONNECTING ──► GREETING ──► OPEN
 *    ▲            │             │          │
 *    └────────────┴─────────────┴──────────┘   back-off 100 ms … 1 s with jitter, next server; or the leader that a
 *                                              server named, at once
 *
 * A lost session, or another leader, touches nothing in the kernel: only a complete desired state does.
 */
#ifndef DNVME_AGENT_SESSION_H
#define DNVME_AGENT_SESSION_H

#include <uv.h>

#include "agent/desired_store.h"
#include "agent/options.h"

struct session;

struct session_events {
	/* A complete desired state came. */
	void (*desired)(void *data);
	/* The session is open: the report begins anew. */
	void (*opened)(void *data);
	void *data;
	/* All three may be NULL. A leader welcomed this node; a heartbeat is about to be sent, at this moment of the
	 * boot clock; a leader of no lower term than was ever seen answered one of this session. `behind`: it has not
	 * told yet all that it could. */
	void (*welcomed)(void *data, uint64_t heartbeat_ms, uint64_t lease_ms);
	void (*sent)(void *data, uint64_t sequence, uint64_t now_ms);
	void (*answered)(void *data, uint64_t sequence, bool behind);
};

/* What this node can do that not every one can. */
struct session_abilities {
	bool writethrough; /* the kernel has that target */
	bool grows;	   /* what is in use can be made larger */
	bool snapshots;	   /* hosts can be held up while snapshots are made */
};

/* NULL when memory is exhausted. Options and store are borrowed. */
struct session *session_make(uv_loop_t *loop, const struct options *options, const struct session_abilities *abilities,
			     struct desired_store *store, const struct session_events *events);

/* Begin to connect, or nothing if it has begun. `disks` is the first inventory (copied). */
void session_start(struct session *session, const struct observed_disk_list *disks);

/* Tell the leader what changed since the last call of this session, if there is one. */
void session_report(struct session *session, const struct object_status_list *statuses,
		    const struct volume_health_list *health, const struct observed_disk_list *disks);

/* Close; the memory goes when the loop has closed the handles. Accepts NULL. */
void session_close(struct session *session);

/* Whether the session is open. */
bool session_is_open(const struct session *session);

#endif
