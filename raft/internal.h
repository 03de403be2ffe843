/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share. */
#ifndef DNVME_RAFT_INTERNAL_H
#define DNVME_RAFT_INTERNAL_H

#include <raft.h>
#include <raft/uv.h>

#include "raft/consensus.h"
#include "raft/transport.h"

struct proposal {
	struct proposal *next;
	consensus_propose_callback callback;
	void *data;
	size_t size;
	uint8_t command[];
};

/* An entry on its way through the log, with the proposals that it carries. */
struct flight {
	struct raft_apply request;
	struct consensus *consensus;
	struct flight *next;
	struct proposal *proposals;
	size_t count;
	struct buffer *outcomes;
};

struct barrier_wait {
	struct barrier_wait *next;
	consensus_barrier_callback callback;
	void *data;
};

struct transfer_wait {
	consensus_barrier_callback callback;
	void *data;
	uint64_t target_id;
	uint64_t waits_since; /* loop time since when the target alone is waited for; 0: it is not */
	bool sent;
};

enum change_kind { CHANGE_NONE, CHANGE_ADD, CHANGE_ASSIGN, CHANGE_REMOVE };

struct change_wait {
	enum change_kind kind;
	consensus_barrier_callback callback;
	void *data;
	uint64_t id;
	char address[CONSENSUS_ADDRESS_SIZE];
	enum consensus_role role;
	bool confirming, confirmed, sent;
};

struct consensus {
	struct raft raft;
	struct raft_io io;
	struct raft_fsm fsm;
	struct raft_tracer tracer;
	struct transport transport;
	struct raft_transfer transfer_request;
	struct raft_barrier barrier_request;
	struct raft_change change_request;
	uv_prepare_t prepare;
	uv_check_t check;
	struct consensus_machine machine;
	struct consensus_statistics statistics;
	void *data;
	void (*on_leadership)(void *data, bool leader, uint64_t term);
	void (*on_failure)(void *data, const struct error *failure);
	void (*closed)(void *data);
	void *closed_data;
	struct raft_io uv; /* the functions behind the guards */
	raft_io_recv_cb uv_recv;

	struct proposal *queue, **queue_end;   /* not yet in the log */
	size_t queued;			       /* proposals in the queue and in flight */
	struct flight *flights, **flights_end; /* in log order */
	size_t flight_count;
	struct barrier_wait *barrier_queue;  /* wait for the next barrier */
	struct barrier_wait *barrier_active; /* wait for the one under way */
	bool barrier_busy;
	struct held_request *held; /* guard.c: to be completed as failed */
	raft_index log_end;	   /* of the next entry, as far as libraft's I/O was told */
	bool truncating;	   /* the log is cut, and nothing was written behind the cut yet */
	raft_index loaded_index;   /* of the snapshot that libraft is given, to send it; 0: none */
	raft_term loaded_term;
	struct transfer_wait transfer;
	bool transferring;
	struct change_wait change;
	bool term_files_there; /* term.c: both of them */
	bool append_rejected;  /* receive.c: by what libraft answered last */

	bool leader;
	uint64_t leader_term;
	bool snapshot_open; /* between snapshot() and snapshot_finalize() */
	bool failed;	    /* the machine could not apply: nothing is applied any more */
	bool failure_told;
	struct error failure;
	bool started; /* raft_start() returned */
	bool closing;
	bool raft_closing;
	uint64_t no_space_since;      /* loop time of the first refusal in a row; 0: none */
	uint64_t snapshot_not_before; /* loop time; after one failed */
	uint64_t room_check_ms;	      /* loop time of the next look */
	uint64_t room_short_since;    /* loop time since when there is too little; 0: there is enough */
	char *directory;
	unsigned handles_open;
};

/* From a libraft code: "<what>: <reason>". */
int error_set_raft(struct error *error, int code, const char *what, const char *message);
/* RAFT_NOSPACE of a proposal: libraft counts what the servers say of their logs, and most have no room. */
int error_set_room(struct error *error, const char *what);

/* consensus.c: one whose log is open and that was not started. After a failure there is none. */
int consensus_make(const struct consensus_options *options, struct consensus **ret_consensus, struct error *error);

/* guard.c: what stands in front of libraft's I/O, and the end of a member that cannot go on (the first reason counts;
 * the program is told in the next turn of the loop). */
void guard_init(struct consensus *consensus);
void guard_tick(struct consensus *consensus); /* completes what the guards held back */
void member_fail(struct consensus *consensus, const struct error *failure);
void member_fail_raft(struct consensus *consensus, int code, const char *what);

/* propose.c: send what waits; fail what was not handed to libraft; whether to wait for room in the log. */
void proposals_tick(struct consensus *consensus);
void proposals_fail(struct consensus *consensus, const struct error *failure);
bool space_may_come(struct consensus *consensus);

/* configuration.c: go on with a change of the group; fail one that libraft was not asked for yet. */
void configuration_tick(struct consensus *consensus);
void configuration_fail(struct consensus *consensus, const struct error *failure);

/* receive.c: whether it comes from a member that was given up when the group was recovered; it is freed then. */
bool receive_is_stray(const struct consensus *consensus, struct raft_message *message);
/* Hand entries of a leader over to libraft. */
void receive_append(struct consensus *consensus, struct raft_message *message);

/* term.c: store a term, or a vote; fail the member when that fails. Block on disk. */
int term_store(struct consensus *consensus, raft_term term);
int vote_store(struct consensus *consensus, raft_id vote);
/* Make sure, once it has started, that both files are there. */
int term_files_make(struct consensus *consensus);

/* write.c: fail the member when a write of its log failed. */
void write_watch(struct consensus *consensus);

/* room.c: tell when the log's disk is full, and when it is not any more. */
void room_tick(struct consensus *consensus);

/* directory.c */
int directory_make(const char *directory, struct error *error);
int directory_reset(const char *directory, struct error *error);
int directory_sync(const char *directory, struct error *error);

/* mend.c: put in order what an interrupted write left; what to do around a truncation for that. Block on disk. */
int directory_mend(const char *directory, struct error *error);
int truncation_begin(const char *directory, uint64_t index, struct error *error);
int truncation_end(const char *directory, struct error *error);

/* machine.c: the callbacks of libraft's state machine. */
void machine_init(struct consensus *consensus);

/* machine.c: a dump as the content of a snapshot, in memory of libraft's. TOO_LARGE, INTERNAL. */
int snapshot_encode(uint64_t index, struct bytes dump, struct raft_buffer *ret_buffer, struct error *error);

#endif
