/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's parts in one struct: one loop, one thread. Each part has its own header; this one says how they hang
 * together and how the program lives.
 *
 *   session ──► request ──► consensus ──► fsm ──► agents, driver (on the leader)
 *                  │                                  │
 *                  └──► peers (forwarding)            └──► session (push to agents), consensus (next phase)
 */
#ifndef DNVME_SRC_DNVMED_H
#define DNVME_SRC_DNVMED_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "fsm/fsm.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"
#include "raft/consensus.h"
#include "src/change.h"
#include "src/connection.h"
#include "src/fair.h"
#include "src/list.h"
#include "src/options.h"
#include "src/peer.h"
#include "store/store.h"

#define DNVMED_TICK_MS 25u

/*
 *   STARTING ──► RUNNING ──► HANDING_OVER ──► CLOSING ──► CLOSED
 *       │           └──────────────────────────▲
 *       └──────────────────────────────────────┘
 */
enum dnvmed_stage { DNVMED_STARTING, DNVMED_RUNNING, DNVMED_HANDING_OVER, DNVMED_CLOSING, DNVMED_CLOSED };

struct agents;
struct audit;
struct backups;
struct bootstrap;
struct driver;
struct hosts;
struct stock;
struct membership;

struct dnvmed {
	const struct options *options;
	uint64_t id; /* of this server; 0 until it was given one */
	uv_loop_t loop;
	uint8_t scratch[CONNECTION_SCRATCH_BYTES];
	enum dnvmed_stage stage;
	int exit_status;

	/* State. */
	struct store *store;
	struct fsm *fsm;
	struct consensus *consensus; /* NULL until the group is formed */
	bool has_group;		     /* `cluster` is filled in */
	struct arena cluster_arena;
	struct cluster cluster; /* from DIR/cluster: identity of the group, and the servers that it began with */
	struct arena servers_arena;
	struct server_list servers;  /* of the replicated state; empty until there is one */
	uint64_t next_server;	     /* least number that no server had yet; 0: unknown */
	uint64_t state_version;	     /* that is in use; 0: unknown */
	uint64_t servers_generation; /* how often the list was taken over */
	bool servers_stale;	     /* the state has another list */
	bool log_empty;		     /* this server joined, and its log has nothing yet */
	struct membership *membership;
	struct bootstrap *bootstrap;
	struct audit *audit;
	struct backups *backups;

	/* Listening. */
	uv_tcp_t tcp;
	uv_pipe_t unix_socket;
	bool tcp_open, unix_open;   /* the handles are */
	bool tcp_again, unix_again; /* a connection found no memory */
	struct list sessions, touched;
	size_t session_count;
	size_t sessions_max; /* as many as descriptors allow, if that is less than the options say */
	size_t held_bytes;   /* for clients: input, requests, answers */
	unsigned accepts;    /* in this turn of the loop */
	struct fair fair;
	uint64_t refused_ms; /* loop time of the last log record about refused sessions */

	/* Requests, each in the list of its deadline (oldest first) and perhaps in one of its state. */
	struct list client_requests, peer_requests;
	struct list waiting;	     /* for a leader */
	struct list forwarded;	     /* to another server */
	struct list detaching;	     /* until agents confirm */
	struct change_waits changes; /* volume.get that waits for a change */
	struct list creating;	     /* volumes that are proposed, so that placement counts them */
	struct peers *peers;

	/* What only the leader does. */
	bool leading;		/* this server leads, by its own belief */
	bool leader_ready;	/* and holds everything that was committed before it led */
	bool barrier_under_way; /* towards leader_ready */
	bool create_under_way;	/* the command that makes the cluster */
	bool recovering;	/* recovery.h: DIR/recovering is there */
	bool recover_under_way; /* the command that it stands for */
	uint64_t leader_term;
	uint64_t leader_since_ms; /* boot clock */
	struct agents *agents;
	struct driver *driver;
	struct hosts *hosts;
	struct stock *stock; /* nodes and disks, for view_fill() */

	uv_timer_t tick;
	uv_prepare_t prepare;
	uv_signal_t sigterm, sigint;
	uint64_t stop_deadline_ms; /* loop time */
	size_t transfer_next;	   /* whom of the members to try */
	bool transfer_under_way, consensus_closed;
	bool failing; /* consensus cannot go on */
	bool loop_open;
	unsigned ticks;
};

/* Open the state, listen, and take part in the group if there is one. Blocks on disk. Whether it succeeds or not,
 * dnvmed_run() must follow: it also closes what was opened. */
int dnvmed_start(struct dnvmed *dnvmed, const struct options *options, struct error *error);

/* Run until stopped; returns the exit status. */
int dnvmed_run(struct dnvmed *dnvmed);

/* Stop gracefully: no new requests, hand leadership over, answer what waits. A second call does not wait. */
void dnvmed_stop(struct dnvmed *dnvmed, const char *reason);
bool dnvmed_is_stopping(const struct dnvmed *dnvmed);

/* The servers of the cluster, borrowed until the loop turns. */
const struct server_list *dnvmed_servers(const struct dnvmed *dnvmed);

/* Take over the list of the replicated state when it changed. */
void dnvmed_servers_refresh(struct dnvmed *dnvmed);

/* The server of the cluster with this id, borrowed until the loop turns; NULL when there is none. */
const struct server *dnvmed_member(const struct dnvmed *dnvmed, uint64_t id);

/* Whether this server leads and is ready to, or knows another one that leads. */
bool dnvmed_leader_is_known(const struct dnvmed *dnvmed);

/* The API address of the leader as this server sees it; NULL when it knows none. */
const char *dnvmed_leader_address(const struct dnvmed *dnvmed);

/* Take part in the group that dnvmed->cluster describes; with `empty` wait to be added to it, else make it if there is
 * no log yet. Blocks on disk. */
int dnvmed_join(struct dnvmed *dnvmed, bool empty, struct error *error);

/* Leadership was lost, or may have been: a barrier or a proposal said so. Idempotent. */
void dnvmed_leadership_check(struct dnvmed *dnvmed);

/* What this server says of itself. Texts are borrowed from `dnvmed` and `arena`. */
int dnvmed_info(struct dnvmed *dnvmed, bool digest, struct arena *arena, struct server_info *ret_info,
		struct error *error);

#endif
