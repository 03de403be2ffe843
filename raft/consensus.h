/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member of the Raft group: libraft on libuv behind a small door. The only code that includes <raft.h>.
 *
 * Proposals that arrive while an entry is on its way to disk go out together in the next one. Reads that need
 * linearizability share one barrier. All calls and callbacks on the loop's thread; callbacks never run inside the
 * call that asked for them.
 */
#ifndef DNVME_RAFT_CONSENSUS_H
#define DNVME_RAFT_CONSENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

struct consensus;

/* The replicated state machine, given by the program. */
struct consensus_machine {
	void *data;

	/* Last Raft index that the machine holds durably enough to survive the death of this process. */
	uint64_t (*applied_index)(void *data);

	/* Apply the `count` commands of the entry `index`, all in one transaction with the index. outcomes[i] (empty at
	 * the call, freed by the caller) receives the i-th command's outcome; may be ignored (outcomes is NULL on
	 * followers). An error means that this server cannot go on (disk full, damaged store): the member stops, the
	 * entry is applied again after a restart. */
	int (*apply)(void *data, uint64_t index, const struct bytes *commands, size_t count, struct buffer *outcomes,
		     struct error *error);

	/* The entries up to `index` without commands (barriers, configurations) are behind us: remember the index.
	 * Called before a dump only. */
	int (*skip)(void *data, uint64_t index, struct error *error);

	/* The whole state, applied index included. */
	int (*dump)(void *data, struct buffer *output, struct error *error);

	/* Replace the state; must do nothing if the machine already holds `index` or more. */
	int (*load)(void *data, uint64_t index, struct bytes dump, struct error *error);
};

struct consensus_server {
	uint64_t id;
	const char *address; /* IPv4:port */
};

struct consensus_options {
	uv_loop_t *loop;       /* borrowed */
	uint64_t id;	       /* > 0 */
	const char *address;   /* IPv4:port on which peers connect; copied */
	const char *directory; /* for log and snapshots; created when missing; copied */
	struct consensus_machine machine;
	unsigned heartbeat_ms;	      /* 0 chooses 50 */
	unsigned election_timeout_ms; /* 0 chooses 400 */
	unsigned snapshot_threshold;  /* entries between snapshots; 0 chooses 4096 */
	unsigned snapshot_trailing;   /* entries kept behind one; 0 chooses 2048 */
	void *data;
	/* Leadership was won or lost (called once per change). */
	void (*on_leadership)(void *data, bool leader, uint64_t term);
	/* The member cannot go on; the program should end. `failure` says why. */
	void (*on_failure)(void *data, const struct error *failure);
};

/* Whether `directory` holds a bootstrapped or joined member. Blocks on disk. */
int consensus_directory_check(const char *directory, bool *ret_initialized, struct error *error);

/* Of a recovery. No group comes so far otherwise, and a member takes nothing from one that is half as far behind: that
 * one was given up, and runs after all. */
#define CONSENSUS_TERM_STEP UINT64_C(1000000)

/* The group lost its majority for good: make the member in `directory`, which does not run, the only voter, in `term`,
 * CONSENSUS_TERM_STEP above the one that it was in. Its log stays, to the last entry; what is in it is committed when
 * it starts next. Durable before this returns; safe to repeat when it was interrupted. FAILED_PRECONDITION (damaged
 * log), NO_CAPACITY, INTERNAL. Blocks on disk. */
int consensus_recover(const char *directory, uint64_t id, const char *address, uint64_t term, struct error *error);

/* No member is left: make the first one of a group anew in `directory`, which has nothing of a member, with a dump of
 * the machine's as its snapshot at `index` > 0, as the only voter, in `term`, which must be above all that there were.
 * Durable before this returns; what an interrupted call left must be removed before it is repeated.
 * FAILED_PRECONDITION (not empty), TOO_LARGE (the dump), NO_CAPACITY, INTERNAL. Blocks on disk. */
int consensus_restore(const char *directory, const struct consensus_server *self, uint64_t term, uint64_t index,
		      struct bytes dump, struct error *error);

/* Open log and snapshot and take part. With `bootstrap_count` > 0 and an empty directory, first writes that
 * configuration (durable before this returns); with a directory that is not empty, `bootstrap` is ignored.
 * The machine may be called before this returns: it loads the snapshot and, alone in its group, applies the log.
 * After a failure the loop must turn until nothing is left in it. FAILED_PRECONDITION (damaged log), NO_CAPACITY,
 * INVALID_ARGUMENT, INTERNAL. */
int consensus_start(const struct consensus_options *options, const struct consensus_server *bootstrap,
		    size_t bootstrap_count, struct consensus **ret_consensus, struct error *error);

/* Fail what waits with CANCELLED, close everything, in turns of the loop; `closed` (may be NULL) runs when the memory
 * is gone. From this call on the machine applies nothing, but it must stay until `closed`. */
void consensus_close(struct consensus *consensus, void (*closed)(void *data), void *data);

bool consensus_is_leader(const struct consensus *consensus);
uint64_t consensus_term(const struct consensus *consensus);
uint64_t consensus_leader_id(const struct consensus *consensus); /* 0 unknown */
uint64_t consensus_applied_index(const struct consensus *consensus);
const char *consensus_state_name(const struct consensus *consensus); /* follower, candidate, leader, unavailable */

struct consensus_statistics {
	uint64_t entries_proposed, commands_proposed, barriers, snapshots_taken, snapshots_installed, snapshot_index;
	bool room_short; /* the log's disk is full, or too slow */
};
void consensus_statistics_get(const struct consensus *consensus, struct consensus_statistics *ret_statistics);

/* Called once. failure is NULL on success, and `outcome` is borrowed during the call. Codes: UNAVAILABLE with
 * *unknown* false: not appended, safe to repeat elsewhere; NO_CAPACITY: not appended, the disks of most servers are
 * full; UNAVAILABLE with unknown true: leadership was lost, only
 * the request id tells whether it was committed; CANCELLED: closing (outcome unknown as well). */
typedef void (*consensus_propose_callback)(void *data, struct bytes outcome, bool unknown, const struct error *failure);

/* Propose a command (copied). Returns UNAVAILABLE when not leader, TOO_LARGE, NO_CAPACITY when the queue is full
 * (LIMIT_PROPOSALS); the callback then never runs. */
int consensus_propose(struct consensus *consensus, struct bytes command, consensus_propose_callback callback,
		      void *data, struct error *error);

/* Run `callback` once everything that was committed before the call is applied here and this server proved that it
 * still leads. failure (UNAVAILABLE, CANCELLED) or NULL. Returns UNAVAILABLE when not leader. */
typedef void (*consensus_barrier_callback)(void *data, const struct error *failure);
int consensus_barrier(struct consensus *consensus, consensus_barrier_callback callback, void *data,
		      struct error *error);

/* Hand leadership to another voter; stops taking proposals and lets those under way finish first. */
int consensus_transfer(struct consensus *consensus, uint64_t target_id, consensus_barrier_callback callback, void *data,
		       struct error *error);

/* ---- who belongs to the group ---- */

enum consensus_role {
	CONSENSUS_VOTER,
	CONSENSUS_STANDBY, /* has the log, and no vote */
	CONSENSUS_SPARE	   /* belongs to the group, and gets nothing yet */
};

#define CONSENSUS_ADDRESS_SIZE 64u

struct consensus_member {
	uint64_t id;
	const char *address; /* borrowed until the loop turns */
	enum consensus_role role;
	uint64_t match_index; /* on the leader: its log is known to be the same up to here */
};

/* The group as this server knows it, a change that is not committed yet included. Returns how many, at most `max`. */
size_t consensus_members(const struct consensus *consensus, struct consensus_member *ret_members, size_t max);

/* Whether a change is asked for, or not known to be committed. */
bool consensus_is_changing(const struct consensus *consensus);

uint64_t consensus_last_index(const struct consensus *consensus);

/* Change the group by one server, on the leader, one change at a time (FAILED_PRECONDITION). A new server is a spare.
 * To make it a voter waits until it has caught up. The leader cannot lose its own vote, nor the last voter
 * (FAILED_PRECONDITION). After a failure in the callback the change may have happened, or may happen yet:
 * consensus_members() tells when consensus_is_changing() does not hold any more. */
int consensus_add(struct consensus *consensus, uint64_t id, const char *address, consensus_barrier_callback callback,
		  void *data, struct error *error);
int consensus_assign(struct consensus *consensus, uint64_t id, enum consensus_role role,
		     consensus_barrier_callback callback, void *data, struct error *error);
int consensus_remove(struct consensus *consensus, uint64_t id, consensus_barrier_callback callback, void *data,
		     struct error *error);

#endif
