/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replicated state machine: (state, command) -> (state, outcome).
 *
 * No clock, no random value, no pointer order, no floating point: two replicas that applied the same commands have
 * the same digest. Every mutation checks the command against the state as it is now and refuses what went stale.
 * All calls from one thread; none of them blocks on anything but the store.
 *
 * Revisions. A command that changes something raises the revision of the state by one. A node, disk or volume carries
 * the revision at which what agents are told about it changed last; counters (free extents, LDs, controllers), the
 * freeing of single LDs, and settings of the cluster raise the state's revision but not the object's, so that nobody
 * confirms the same thing twice.
 *
 * Retries. The outcome of a command that carries a request id and succeeded is remembered (the latest
 * LIMIT_DEDUPE_ENTRIES of them): the same request id gets it again and changes nothing. A refusal is not remembered:
 * it left no trace, so a repeated command still acts at most once, and what was refused as stale (CONFLICT) may be
 * planned anew under the same request id. Only the command `refuse` has one remembered, where an earlier attempt may
 * still come.
 *
 * Refusals. INVALID_ARGUMENT: no state takes this command. NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION: this state
 * does not. CONFLICT: it was planned on, or confirms, an older state; try again on the present one. NO_CAPACITY: a
 * limit, or a disk whose free extents are too scattered.
 */
#ifndef DNVME_FSM_FSM_H
#define DNVME_FSM_FSM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "store/store.h"

struct fsm;

/* What changed in a call of fsm_apply, so that the leader knows what to look at. Borrowed during the call. */
struct fsm_change {
	enum { FSM_CHANGE_CLUSTER, FSM_CHANGE_NODE, FSM_CHANGE_DISK, FSM_CHANGE_VOLUME } kind;
	const char *node; /* NODE: its name */
	uint64_t id;	  /* DISK, VOLUME */
	bool removed;
	bool moved; /* NODE: it is new, or reached elsewhere */
	/* VOLUME: nodes whose desired state may have changed (controllers, retired ones included, and nodes of its
	 * disks, before and after); DISK: its node. */
	const char *const *nodes;
	size_t node_count;
	uint64_t revision;
};
typedef void (*fsm_change_callback)(void *data, const struct fsm_change *change);

/* The store is borrowed for the life of the fsm. `callback` (may be NULL) runs after the transaction was committed. */
int fsm_open(struct store *store, fsm_change_callback callback, void *data, struct fsm **ret_fsm, struct error *error);
void fsm_close(struct fsm *fsm); /* accepts NULL */

/* Replication: the shape of struct consensus_machine. A refused command gives an outcome with its code, not an error;
 * an error means that the store or memory failed and nothing of the entry was applied. Entries up to the applied index
 * are skipped, without outcomes. outcomes[i] (empty; may be NULL as a whole) receives a record "outcome", tagged. */
uint64_t fsm_applied_index(const struct fsm *fsm);
int fsm_apply(struct fsm *fsm, uint64_t index, const struct bytes *commands, size_t count, struct buffer *outcomes,
	      struct error *error);
int fsm_skip(struct fsm *fsm, uint64_t index, struct error *error);
int fsm_dump(struct fsm *fsm, struct buffer *output, struct error *error);
int fsm_load(struct fsm *fsm, uint64_t index, struct bytes dump, struct error *error);
/* Of everything but the applied index: replicas that applied the same commands have the same digest. */
int fsm_digest(struct fsm *fsm, uint8_t ret_digest[16], struct error *error);

/* The version of the state (docs/PROTOCOL.md, "Versions"): the newest one that this program knows; the one that is in
 * use; FAILED_PRECONDITION when one is newer than what this program knows. fsm_open, fsm_apply and fsm_load fail with
 * that, too: nothing is applied that another server may understand in another way. */
uint64_t fsm_version_known(void);
uint64_t fsm_version_of(const struct cluster *cluster);
int fsm_version_check(uint64_t version, struct error *error);

/* Revision of the last command that changed something. */
uint64_t fsm_revision(const struct fsm *fsm);

/* Reads. Results live in `arena`. NOT_FOUND names the object and the field. */
int fsm_cluster_get(struct fsm *fsm, struct arena *arena, struct cluster *ret_cluster, struct error *error);
int fsm_node_get(struct fsm *fsm, const char *name, struct arena *arena, struct node *ret_node, struct error *error);
int fsm_disk_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct disk *ret_disk, struct error *error);
int fsm_volume_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct volume *ret_volume, struct error *error);
/* `name` is a name or an id ("v12"). */
int fsm_volume_find(struct fsm *fsm, const char *name, struct arena *arena, struct volume *ret_volume,
		    struct error *error);
/* FAILED_PRECONDITION while it is held: no job begins on it, and none goes on. */
int fsm_volume_hold_check(const struct volume *volume, struct error *error);
/* Pages in key order behind `after` (NULL, 0: from the start; it need not exist); `limit` 0 stands for LIMIT_LIST_PAGE;
 * *ret_more tells that there are more. fsm_volume_list goes by name: volumes in phase releasing have none any more (see
 * fsm_transition_list). A host's record names at most LIMIT_LIST_PAGE volumes. */
int fsm_node_list(struct fsm *fsm, const char *after, size_t limit, struct arena *arena, struct node_list *ret_list,
		  bool *ret_more, struct error *error);
int fsm_disk_list(struct fsm *fsm, const char *node, uint64_t after, size_t limit, struct arena *arena,
		  struct disk_list *ret_list, bool *ret_more, struct error *error); /* node NULL: of all nodes */
int fsm_volume_list(struct fsm *fsm, const char *after_name, size_t limit, struct arena *arena,
		    struct volume_list *ret_list, bool *ret_more, struct error *error);
int fsm_host_list(struct fsm *fsm, const char *nqn, const char *after, size_t limit, struct arena *arena,
		  struct host_list *ret_list, bool *ret_more, struct error *error); /* nqn NULL: all */
/* Ids of volumes that somebody has work with, in order, behind `after`: those that are not online, that have a slot
 * that moves, an LD that is not in sync or leaves, a job, a retired controller, or fewer or more standbys than wanted.
 */
int fsm_transition_list(struct fsm *fsm, uint64_t after, size_t limit, struct arena *arena, uint64_t **ret_ids,
			size_t *ret_count, struct error *error);
/* Ids of volumes that have a controller (in any role) or an LD (leaving ones included) on the node, in order, behind
 * `after`; `limit` 0 stands for LIMIT_LIST_PAGE. NOT_FOUND: no such node. */
int fsm_node_volume_list(struct fsm *fsm, const char *node, uint64_t after, size_t limit, struct arena *arena,
			 uint64_t **ret_ids, size_t *ret_count, struct error *error);
/* Jobs that somebody asked for, also those that are over; by id. */
int fsm_operation_get(struct fsm *fsm, uint64_t id, struct arena *arena, struct operation *ret_operation,
		      struct error *error);
int fsm_operation_list(struct fsm *fsm, uint64_t after, size_t limit, struct arena *arena,
		       struct operation_list *ret_list, bool *ret_more, struct error *error);
/* What happened, in order. */
#define FSM_EVENTS_LOOKED_AT LIMIT_LIST_PAGE /* at once, whether they pass or not */
struct fsm_event_query {
	uint64_t after_revision; /* 0: all that are kept */
	uint32_t after_index;	 /* 0: none of after_revision */
	size_t limit;		 /* 0: LIMIT_LIST_PAGE */
	const char *volume;	 /* name or id; NULL: any */
	const char *node;	 /* NULL: any */
};
struct fsm_events {
	struct event_list list;
	bool more;		  /* there are, or may be, more behind these */
	uint64_t revision, index; /* to be asked for next */
};
/* COMPACTED when events behind after_revision were dropped. */
int fsm_event_list(struct fsm *fsm, const struct fsm_event_query *query, struct arena *arena,
		   struct fsm_events *ret_events, struct error *error);
/* The latest events of a volume, by id, at most `limit`, oldest first. Of those of the cluster the last
 * FSM_EVENTS_LOOKED_AT are looked at; what went before is for fsm_event_list. */
int fsm_event_last(struct fsm *fsm, uint64_t volume, size_t limit, struct arena *arena, struct event_list *ret_list,
		   struct error *error);

int fsm_counts(struct fsm *fsm, uint64_t *ret_nodes, uint64_t *ret_disks, uint64_t *ret_volumes, struct error *error);

/* The outcome of a request id, if it is remembered; NOT_FOUND otherwise. */
int fsm_request_get(struct fsm *fsm, struct bytes request_id, struct arena *arena, struct outcome *ret_outcome,
		    struct error *error);

/* Projection: what the node shall make, derived from the state alone. Whole, or only the objects of one volume
 * (objects that the node no longer has to make are listed in `removed`; so is a volume that does not exist any more).
 * term, reset and complete are left to the caller; the lists are not cut to LIMIT_LIST_PAGE. NOT_FOUND: no such node.
 * project.c shows what is wanted in which phase. */
int fsm_project_node(struct fsm *fsm, const char *node, struct arena *arena, struct desired *ret_desired,
		     struct error *error);
int fsm_project_volume(struct fsm *fsm, const char *node, uint64_t volume, struct arena *arena,
		       struct desired *ret_desired, struct error *error);

/* What an audit of the state found. */
struct fsm_findings {
	uint64_t revision, applied_index; /* of the state that was looked at */
	size_t total;
	struct string_list texts; /* the first LIMIT_FINDINGS; each names the object and what is wrong with it */
};

/* Whole-state audit, in one read transaction: extents of each disk are owned once or free once and add up, every
 * reference resolves, epochs, phases and counters fit. The findings live in `arena`. An error (INTERNAL) means that it
 * could not be finished: the store or memory failed, or a record is damaged, which the message then names. */
int fsm_audit(struct fsm *fsm, struct arena *arena, struct fsm_findings *ret_findings, struct error *error);

/* The same for tests: FAILED_PRECONDITION with one detail line per finding. */
int fsm_check(struct fsm *fsm, struct error *error);

#endif
