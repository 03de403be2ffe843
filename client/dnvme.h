/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libdnvme: the C client library of dnvme.
 *
 *     struct dnvme *dnvme;
 *     struct dnvme_result *result;
 *     struct dnvme_error error;
 *
 *     if (dnvme_open("10.0.0.1:4400,10.0.0.2:4400", &dnvme, &error) != DNVME_OK)
 *             return fail(&error);
 *     if (dnvme_volume_get(dnvme, "db1", NULL, &result, &error) == DNVME_OK)
 *             printf("%llu bytes\n", (unsigned long long)dnvme_result_volume(result, 0)->size_bytes);
 *     dnvme_result_free(result);
 *     dnvme_close(dnvme);
 *
 * Calls. Every call has a deadline and ends by then, never later. (One that asks the server to wait for something has
 * that time in addition.) Until then the library retries by itself: when a
 * connection breaks, a server stays silent or answers UNAVAILABLE, the call goes to the next server after a short
 * pause. That is safe for calls that change something too, because each carries a random request id under which the
 * cluster remembers the outcome. What was refused had no effect; only where the details of the error have a line that
 * begins with "outcome=unknown", an earlier attempt may be on its way yet, and take effect after all.
 *
 * Errors. Functions that can fail return DNVME_OK or a code, and fill `error` (which may be NULL). Outputs named
 * ret_x are untouched on failure. The library never prints, never installs signal handlers and raises no SIGPIPE.
 *
 * Threads. A handle and what was made from it belong to one thread at a time; the caller locks if it shares them.
 * Different handles are independent. Results belong to no handle: they may be used after dnvme_close(), and read by
 * several threads at once, except for dnvme_result_json(). Functions that take no handle may be called anywhere.
 *
 * ABI. The structs that the library returns are only ever allocated by it and reached through pointers, so that fields
 * may be appended; do not copy them by value. Structs that the caller fills begin with their size: use the _INIT
 * macros.
 */
#ifndef DNVME_H
#define DNVME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DNVME_VERSION_MAJOR 0
#define DNVME_VERSION_MINOR 1
#define DNVME_VERSION_PATCH 0

/* Port of a server when its address names none. */
#define DNVME_DEFAULT_PORT 4400

#define DNVME_REQUEST_ID_SIZE 16

/* Version of the library that is linked at run time, "0.1.0". */
const char *dnvme_version(void);

/* --- errors ---------------------------------------------------------------------------------------------- */

enum dnvme_code {
	DNVME_OK = 0,
	DNVME_INVALID_ARGUMENT = 1,
	DNVME_NOT_FOUND = 2,
	DNVME_ALREADY_EXISTS = 3,
	DNVME_CONFLICT = 4,
	DNVME_FAILED_PRECONDITION = 5,
	DNVME_NO_CAPACITY = 6,
	DNVME_UNAVAILABLE = 7,	     /* no server reached, or the cluster has no leader */
	DNVME_DEADLINE_EXCEEDED = 8, /* no answer in time; whether a change happened is unknown */
	DNVME_CANCELLED = 9,
	DNVME_COMPACTED = 10,
	DNVME_TOO_LARGE = 11,
	DNVME_UNSUPPORTED = 12,
	DNVME_UNAUTHENTICATED = 13,
	DNVME_PERMISSION_DENIED = 14,
	DNVME_INTERNAL = 15, /* out of memory, or a bug of either side */
};

struct dnvme_error {
	enum dnvme_code code;
	char message[512];  /* one sentence, without a newline */
	char hint[256];	    /* what to do; may be empty */
	char details[1024]; /* more lines, separated by newlines; may be empty */
};

/* "NOT_FOUND" for DNVME_NOT_FOUND; "INTERNAL" for what is no code. Static text. */
const char *dnvme_code_name(enum dnvme_code code);

/* --- handle ---------------------------------------------------------------------------------------------- */

struct dnvme;

/*
 * Make a handle for the servers of one cluster: "HOST:PORT,[IPV6]:PORT,HOST,unix:PATH". Nothing is connected yet.
 * Host names are looked up here, and this may block; numeric addresses never do. A name that cannot be looked up is
 * an error only if no other server is left. Each answer of dnvme_cluster_status() adds the servers that it names: a
 * handle that was made with one of them goes on with the others when that one is gone.
 *
 * Errors: INVALID_ARGUMENT (naming the entry), UNAVAILABLE (no name can be looked up), INTERNAL.
 */
int dnvme_open(const char *servers, struct dnvme **ret_dnvme, struct dnvme_error *error);

/* Cancel what is under way, without calling back, and free the handle. NULL is allowed. Not from a callback. */
void dnvme_close(struct dnvme *dnvme);

/* Deadline of calls that name none, in milliseconds; 30000 at first. 0 is INVALID_ARGUMENT. */
int dnvme_set_timeout_ms(struct dnvme *dnvme, unsigned timeout_ms, struct dnvme_error *error);

/* How long a call goes on trying while no server can be reached at all; it then fails as UNAVAILABLE before its
 * deadline. 3000 at first; 0 gives up after each server was tried once. */
void dnvme_set_connect_timeout_ms(struct dnvme *dnvme, unsigned timeout_ms);

/* --- calls ----------------------------------------------------------------------------------------------- */

struct dnvme_call_options {
	size_t size;		   /* sizeof(struct dnvme_call_options) */
	const uint8_t *request_id; /* DNVME_REQUEST_ID_SIZE bytes, copied; NULL: the library chooses */
	unsigned timeout_ms;	   /* 0: the handle's */
};

#define DNVME_CALL_OPTIONS_INIT                                                                                        \
	{                                                                                                              \
		sizeof(struct dnvme_call_options), NULL, 0                                                             \
	}

struct dnvme_result;

/*
 * Call any method of docs/PROTOCOL.md and wait: dnvme_call(dnvme, "volume.get", "{\"name\":\"db1\"}", NULL, …).
 * `params` is a JSON object or NULL; `options` may be NULL. Blocks until the call's deadline at most, and serves
 * asynchronous calls of the same handle meanwhile. The result is freed with dnvme_result_free().
 *
 * Errors: what the method returns, and INVALID_ARGUMENT (unknown method, params that are not of its form),
 * UNAVAILABLE, DEADLINE_EXCEEDED, TOO_LARGE, FAILED_PRECONDITION (called from a callback), INTERNAL.
 */
int dnvme_call(struct dnvme *dnvme, const char *method, const char *params, const struct dnvme_call_options *options,
	       struct dnvme_result **ret_result, struct dnvme_error *error);

/* --- calls without waiting ------------------------------------------------------------------------------- */

struct dnvme_pending;

/*
 * A call ended. `error` is NULL on success; `result` is NULL on failure, else taken over by the callee
 * (dnvme_result_free). Called from dnvme_process() or from a blocking call of the same handle, once per call. It may
 * start and cancel calls, but must neither block nor close the handle.
 */
typedef void (*dnvme_done)(struct dnvme *dnvme, const struct dnvme_error *error, struct dnvme_result *result,
			   void *data);

/* Begin a call; arguments as for dnvme_call(), all copied. `ret_pending` may be NULL; it is valid until `done` is
 * called. Never blocks. On failure `done` is not called. TOO_LARGE: 1024 calls are already under way. */
int dnvme_start(struct dnvme *dnvme, const char *method, const char *params, const struct dnvme_call_options *options,
		dnvme_done done, void *data, struct dnvme_pending **ret_pending, struct dnvme_error *error);

/* Forget a call; `done` is not called. A change that was already sent may still happen. Never blocks. */
void dnvme_cancel(struct dnvme *dnvme, struct dnvme_pending *pending);

/* What to wait for in a poll loop. The descriptor stays the same for the life of the handle (it stands for all
 * connections); do nothing with it but wait. The events are those of poll(2). */
int dnvme_poll_fd(const struct dnvme *dnvme);
short dnvme_poll_events(const struct dnvme *dnvme);

/* How long to wait at most, in milliseconds, before dnvme_process() must be called; -1: for ever. */
int dnvme_poll_timeout_ms(const struct dnvme *dnvme);

/* Read, write, retry, give up, and call back what ended. Call it when the descriptor is ready, when the timeout is
 * over, and whenever else one likes. Never blocks. Does nothing when it is called from a callback. */
void dnvme_process(struct dnvme *dnvme);

/* Number of calls that have not called back yet. */
size_t dnvme_pending_count(const struct dnvme *dnvme);

/* --- results --------------------------------------------------------------------------------------------- */

struct dnvme_server {
	unsigned id;		  /* number in the Raft group; 0 before cluster.init */
	const char *raft_address; /* "IPv4:port" for other servers */
	const char *api_address;  /* "IPv4:port" for clients */
	const char *role;	  /* "leader", "follower", "candidate", "uninitialized" */
	const char *version;
	const char *cluster_id; /* NULL before cluster.init */
	uint64_t term;
	uint64_t applied_index;
	unsigned leader;	/* as this server sees it; 0 unknown */
	int reachable;		/* in cluster.status: it answered */
	const char *name;	/* in cluster.status; NULL elsewhere */
	const char *membership; /* in cluster.status: "joining", "standby", "voter", "leaving"; NULL elsewhere */
};

struct dnvme_cluster {
	const char *id;
	const char *name;
	uint64_t revision;
	unsigned leader; /* 0: none */
	uint64_t nodes;
	uint64_t disks;
	uint64_t volumes;
	uint64_t bytes_total;
	uint64_t bytes_free;
	const char *waits_for; /* what a change of the servers waits for; NULL: none is under way */
};

struct dnvme_problem {
	const char *kind; /* "disk", "export", "volume" */
	const char *id;
	const char *state;   /* "pending", "failed" … */
	const char *message; /* NULL if none */
};

struct dnvme_node {
	const char *name;
	const char *address;
	unsigned port;
	const char *health; /* "online", "suspect", "offline", "unknown" */
	const char *version;
	int cordoned;
	int storage_only;
	uint64_t controllers;
	uint64_t heartbeat_age_ms;
	size_t problem_count;
	const struct dnvme_problem *const *problems;
	int draining;	  /* its controllers are moved away */
	int writethrough; /* its kernel has the write-through target: controllers of strict volumes may be there */
};

struct dnvme_disk {
	const char *id; /* "d1" */
	const char *node;
	const char *path;
	unsigned port;
	uint64_t size_bytes;
	uint64_t extents_total;
	uint64_t extents_free;
	uint64_t lds;
	int cordoned;
	const char *serial; /* NULL if unknown */
};

struct dnvme_member {
	const char *id;	   /* "ld1" */
	const char *disk;  /* "d1" */
	const char *state; /* "in-sync", "stale", "rebuilding", "freed" */
};

struct dnvme_group {
	size_t member_count;
	const struct dnvme_member *const *members;
};

struct dnvme_leg {
	unsigned slot;
	const char *state; /* "new", "ready" */
	uint64_t size_bytes;
	size_t group_count;
	const struct dnvme_group *const *groups;
};

struct dnvme_controller {
	const char *node;
	const char *role;  /* "active", "standby", "retired": it has to take down what it has */
	unsigned slot;	   /* of an active one, or that a retired one held */
	uint64_t epoch;	   /* of its slot; of a retired one the last in which it held it; 0 for a standby */
	const char *phase; /* of an active one: "serving", or how far the slot's move to it came; NULL for others */
};

struct dnvme_path {
	const char *node;
	const char *address;
	unsigned port;
	const char *role;
};

struct dnvme_volume {
	const char *id; /* "v1" */
	const char *name;
	const char *uuid; /* namespace UUID that hosts see */
	const char *phase;
	uint64_t size_bytes;
	unsigned copies;
	unsigned standbys; /* wanted */
	unsigned legs_per_controller;
	const char *spread;
	const char *provision;
	uint64_t revision;
	size_t host_count;
	const char *const *hosts; /* host NQNs */
	size_t controller_count;
	const struct dnvme_controller *const *controllers;
	size_t leg_count;
	const struct dnvme_leg *const *legs; /* in stripe order */
	/* Only from volume.get, else NULL or 0: */
	const char *nqn; /* subsystem NQN */
	size_t path_count;
	const struct dnvme_path *const *paths;
	size_t problem_count;
	const struct dnvme_problem *const *problems;
	const char *waits_for;
	/* Always: */
	const char *durability; /* "flush", "strict" */
};

struct dnvme_job {
	const char *id;	    /* "j7"; "v3.s0.e5", "v3.ld12", "v3.clean.node2" */
	const char *kind;   /* "extend", "snapshot", "move-slot"; "failover", "drain", "restart", "rebuild", "clean",
			       "release" */
	const char *target; /* what it works on, for people */
	const char *phase;
	const char *node;      /* that works on it; NULL if none */
	uint64_t since_ms;     /* wall clock when the phase began; 0 unknown */
	uint64_t done_bytes;   /* copied so far */
	uint64_t total_bytes;  /* of so many; 0 when it does not copy */
	uint64_t rate_bytes;   /* a second, of late */
	uint64_t eta_ms;       /* until it is done; 0 unknown */
	const char *waits_for; /* from job.get and job.wait; NULL if nothing */
	/* Of a job that somebody asked for, whose id begins with "j"; otherwise NULL or 0: */
	const char *state;    /* "running", "cancelling", "failing", "done", "cancelled", "failed" */
	const char *volume;   /* "v3" */
	uint64_t created_ms;  /* wall clock when it began */
	uint64_t finished_ms; /* and when it was over; 0: it is not */
	uint64_t deadline_ms; /* 0: none */
	uint64_t revision;    /* of its last change */
	const char *error;    /* why it failed, or was cancelled; NULL */
	const char *error_code;
};

struct dnvme_snapshot {
	const char *volume; /* name */
	const char *name;
	const char *state;   /* "taking", "taken" */
	uint64_t created_ms; /* wall clock when it was asked for */
	uint64_t moment_ms;  /* wall clock while everything was held up; 0: it is not taken yet */
	uint64_t size_bytes;
	uint64_t number;       /* of its thin device in each pool */
	const char *job;       /* from snapshot.get: that makes it; NULL if none */
	const char *waits_for; /* the same; NULL if nothing */
};

struct dnvme_host {
	const char *nqn;
	size_t volume_count;
	const char *const *volumes; /* names */
};

/* Objects of a result, borrowed from it. `index` counts from 0; NULL behind the last, and for a result of another
 * kind. A `get` has one object, a `list` one page of them. server: of server.info and cluster.status. */
const struct dnvme_cluster *dnvme_result_cluster(const struct dnvme_result *result);
const struct dnvme_server *dnvme_result_server(const struct dnvme_result *result, size_t index);
const struct dnvme_node *dnvme_result_node(const struct dnvme_result *result, size_t index);
const struct dnvme_disk *dnvme_result_disk(const struct dnvme_result *result, size_t index);
const struct dnvme_volume *dnvme_result_volume(const struct dnvme_result *result, size_t index);
const struct dnvme_host *dnvme_result_host(const struct dnvme_result *result, size_t index);
const struct dnvme_job *dnvme_result_job(const struct dnvme_result *result, size_t index);
const struct dnvme_snapshot *dnvme_result_snapshot(const struct dnvme_result *result, size_t index);

/* Of a list: whether there are more behind this page (ask again with `after` set to the last name or id). */
int dnvme_result_more(const struct dnvme_result *result);

/* Of a call that changed something: the revision at which it took effect, and the id of the object that it made
 * (NULL if none). 0 and NULL for other results. */
uint64_t dnvme_result_revision(const struct dnvme_result *result);
const char *dnvme_result_id(const struct dnvme_result *result);

/* The whole answer as JSON text, and as the MessagePack value that came, both borrowed from the result. The JSON is
 * made at the first call; NULL when memory is exhausted. */
const char *dnvme_result_json(struct dnvme_result *result);
const void *dnvme_result_msgpack(const struct dnvme_result *result, size_t *ret_size);

/* NULL is allowed. */
void dnvme_result_free(struct dnvme_result *result);

/* --- methods --------------------------------------------------------------------------------------------- */

/*
 * Each of these calls one method and waits, as dnvme_call() does, with the same errors. `options` and `ret_result` may
 * be NULL, the latter where the caller wants nothing of the answer. Strings are copied.
 */

struct dnvme_server_spec {
	unsigned id; /* 1, 2, 3 … */
	const char *raft_address;
	const char *api_address;
};

struct dnvme_list_options {
	size_t size;	    /* sizeof(struct dnvme_list_options) */
	const char *after;  /* only what follows this name or id; NULL: from the beginning */
	const char *filter; /* disks: of this node; volumes: in this phase; jobs: of this kind; NULL: all */
	uint64_t limit;	    /* objects in the page; 0: as many as one page may hold */
};

#define DNVME_LIST_OPTIONS_INIT                                                                                        \
	{                                                                                                              \
		sizeof(struct dnvme_list_options), NULL, NULL, 0                                                       \
	}

struct dnvme_event_options {
	size_t size;		 /* sizeof(struct dnvme_event_options) */
	uint64_t after_revision; /* only later ones; 0: all that are kept */
	uint64_t after_index;	 /* and those of that revision behind this one; 0: none of them */
	uint64_t limit;		 /* 0: as many as one page may hold */
	const char *volume;	 /* only of this one, by name or id; NULL: of all */
	const char *node;	 /* only those that name it; NULL: all */
	unsigned wait_ms;	 /* when there is none, wait for one; at most 15000, on top of the call's timeout */
};

#define DNVME_EVENT_OPTIONS_INIT                                                                                       \
	{                                                                                                              \
		sizeof(struct dnvme_event_options), 0, 0, 0, NULL, NULL, 0                                             \
	}

struct dnvme_volume_spec {
	size_t size; /* sizeof(struct dnvme_volume_spec) */
	const char *name;
	uint64_t size_bytes;	/* a multiple of 4096 */
	unsigned copies;	/* 0: 2 */
	unsigned controllers;	/* active ones; 0: 1 */
	unsigned standbys;	/* */
	unsigned legs;		/* per active controller; 0: 1 */
	const char *spread;	/* "node", "rack", "zone"; NULL: node */
	const char *provision;	/* "thin", "thick"; NULL: thick */
	const char *durability; /* "flush", "strict"; NULL: flush */
};

#define DNVME_VOLUME_SPEC_INIT                                                                                         \
	{                                                                                                              \
		sizeof(struct dnvme_volume_spec), NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL                                \
	}

/* What the server that is asked says of itself; answered without a leader. */
int dnvme_server_info(struct dnvme *dnvme, const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error);

/* Form the Raft group and the cluster; safe to repeat. The servers include the one that is asked; none: it alone. */
int dnvme_cluster_init(struct dnvme *dnvme, const char *name, const struct dnvme_server_spec *servers,
		       size_t server_count, const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		       struct dnvme_error *error);
int dnvme_cluster_status(struct dnvme *dnvme, const struct dnvme_call_options *options,
			 struct dnvme_result **ret_result, struct dnvme_error *error);

/* Add a server that runs and belongs to no cluster, under a name for people; its id is the number with which it was
 * started, 0: the cluster chooses one. Remove one, dead or alive, by its name or "s" and its number. Both return when
 * it is decided; dnvme_cluster_status() says how far it is. */
int dnvme_cluster_add_server(struct dnvme *dnvme, const char *name, const struct dnvme_server_spec *server,
			     const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			     struct dnvme_error *error);
int dnvme_cluster_remove_server(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
				struct dnvme_result **ret_result, struct dnvme_error *error);
/* Hand leadership over to a server that votes. */
int dnvme_cluster_transfer(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
			   struct dnvme_result **ret_result, struct dnvme_error *error);

struct dnvme_settings {
	size_t size;		   /* sizeof(struct dnvme_settings) */
	uint64_t rebuild_after_ms; /* how long a lost LD may stay away before another disk takes its place; 0: as it is
				    */
	uint64_t rebuild_rate_bytes; /* a second, of one group; UINT64_MAX: no limit; 0: as it is */
};

#define DNVME_SETTINGS_INIT                                                                                            \
	{                                                                                                              \
		sizeof(struct dnvme_settings), 0, 0                                                                    \
	}

int dnvme_cluster_set(struct dnvme *dnvme, const struct dnvme_settings *settings,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error);

int dnvme_node_list(struct dnvme *dnvme, const struct dnvme_list_options *list,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error);
int dnvme_node_get(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error);
/* Place nothing new on a node; place on it again; drop one that holds nothing (else FAILED_PRECONDITION). */
int dnvme_node_cordon(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		      struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_node_uncordon(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
			struct dnvme_result **ret_result, struct dnvme_error *error);
/* Cordon a node and move its controllers away; dnvme_node_uncordon() ends both. */
int dnvme_node_drain(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_node_forget(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		      struct dnvme_result **ret_result, struct dnvme_error *error);

/* Jobs that somebody asked for, also the latest that are over; and what else is under way: moves of slots, rebuilds,
 * what is to be cleaned, of which one that is over is NOT_FOUND. */
int dnvme_job_list(struct dnvme *dnvme, const struct dnvme_list_options *list, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_job_get(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		  struct dnvme_result **ret_result, struct dnvme_error *error);

/* The job (one that somebody asked for) as soon as it is over, or when `wait_ms` (at most 15000) are, then as it is:
 * look at its state. These milliseconds come on top of the call's timeout. */
int dnvme_job_wait(struct dnvme *dnvme, const char *id, unsigned wait_ms, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error);
/* Begins to undo it; it is over in state "cancelled". FAILED_PRECONDITION when what it made is in use, or it is over.
 */
int dnvme_job_cancel(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error);
/* Drops the record of one that is over; of one that runs only at its `revision`, and what it made is cleaned up without
 * it. CONFLICT when it changed since. */
int dnvme_job_forget(struct dnvme *dnvme, const char *id, uint64_t revision, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error);

/* A disk with a volatile write cache that cannot be switched off is refused: dnvme_call() with "accept_volatile_cache"
 * takes it. */
int dnvme_disk_add(struct dnvme *dnvme, const char *node, const char *path, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_disk_list(struct dnvme *dnvme, const struct dnvme_list_options *list,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error);
int dnvme_disk_get(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_disk_remove(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		      struct dnvme_result **ret_result, struct dnvme_error *error);

/* Returns when the volume is placed and committed; it can be used in phase "online" (dnvme_volume_get). */
int dnvme_volume_create(struct dnvme *dnvme, const struct dnvme_volume_spec *spec,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error);
int dnvme_volume_list(struct dnvme *dnvme, const struct dnvme_list_options *list,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error);
int dnvme_volume_get(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error);
/*
 * The volume as soon as its revision is above `after_revision` (the `revision` of the volume that was got last), or
 * when `wait_ms` (at most 15000) are over, then as it is: compare the revisions. These milliseconds come on top of the
 * call's timeout. Loss of a server or of the leader meanwhile is none of the caller's business, as for any call; 0 and
 * 0 is dnvme_volume_get(). The same works without blocking: dnvme_start() with "volume.get" and
 * {"name":…,"after_revision":…,"wait_ms":…}.
 *
 * Errors: NOT_FOUND also when the volume is deleted meanwhile.
 */
int dnvme_volume_wait(struct dnvme *dnvme, const char *name, uint64_t after_revision, unsigned wait_ms,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error);
/* Begins to make it larger; the result's id is that of the job (dnvme_job_wait). The size is rounded up to whole
 * stripes. `deadline_ms`: undo it when it does not use its new room after so long; 0: it may take any time. */
int dnvme_volume_extend(struct dnvme *dnvme, const char *name, uint64_t size_bytes, uint64_t deadline_ms,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error);

/* How a snapshot is made. */
struct dnvme_snapshot_spec {
	size_t size;		 /* of this struct */
	const char *name;	 /* one of a kind in its volume */
	unsigned pause_limit_ms; /* how long hosts may be held up at most, each time that it is tried; 0: 2 seconds */
	uint64_t deadline_ms;	 /* undo it when it is not there after so long; 0: it may take any time */
	/* Of a thick volume that is not strict: accept that from now on a controller's crash may undo first writes to
	 * shared blocks that were not flushed. */
	int accept_flush;
};

#define DNVME_SNAPSHOT_SPEC_INIT                                                                                       \
	{                                                                                                              \
		.size = sizeof(struct dnvme_snapshot_spec)                                                             \
	}

/* Begins to make one; the result's id is that of the job (dnvme_job_wait). */
int dnvme_snapshot_create(struct dnvme *dnvme, const char *volume, const struct dnvme_snapshot_spec *spec,
			  const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			  struct dnvme_error *error);
/* All of a volume. */
int dnvme_snapshot_list(struct dnvme *dnvme, const char *volume, const struct dnvme_call_options *options,
			struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_snapshot_get(struct dnvme *dnvme, const char *volume, const char *name,
		       const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		       struct dnvme_error *error);
/* It is gone at once; its room comes back when the holders of all slots have deleted it. */
int dnvme_snapshot_delete(struct dnvme *dnvme, const char *volume, const char *name,
			  const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			  struct dnvme_error *error);

/* Begins the removal; it is over when dnvme_volume_get() says NOT_FOUND. */
int dnvme_volume_delete(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
			struct dnvme_result **ret_result, struct dnvme_error *error);
int dnvme_volume_attach(struct dnvme *dnvme, const char *volume, const char *host_nqn,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error);
/* Returns when every controller dropped the host's connections. */
int dnvme_volume_detach(struct dnvme *dnvme, const char *volume, const char *host_nqn,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error);

int dnvme_host_list(struct dnvme *dnvme, const struct dnvme_list_options *list,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error);

/*
 * What happened, in order: {events, more, revision, index}. To miss nothing and see nothing twice, ask again with the
 * revision and the index of the answer; it may come from any server. `events` may be NULL: all that are kept, at once.
 * The server that is asked tells what it applied itself, so it may know of something a moment later than the leader.
 *
 * Errors: COMPACTED: what happened since is not kept any more; read the objects anew, then go on with the revision that
 * the hint names. NOT_FOUND is no error here: nothing ever happened to a volume that never was.
 */
int dnvme_event_list(struct dnvme *dnvme, const struct dnvme_event_options *events,
		     const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		     struct dnvme_error *error);

#ifdef __cplusplus
}
#endif

#endif
