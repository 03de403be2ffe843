/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything happens in tick(): it runs around each poll of the loop, after libraft's and the program's callbacks. So
 * what arrived in one turn goes out in one entry, and no callback runs inside the call that asked for it.
 */
#include "raft/consensus.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "raft/internal.h"

#define HEARTBEAT_MS_DEFAULT 50
#define ELECTION_TIMEOUT_MS_DEFAULT 400
#define SNAPSHOT_THRESHOLD_DEFAULT 4096
#define SNAPSHOT_TRAILING_DEFAULT 2048
#define INSTALL_SNAPSHOT_TIMEOUT_MS 10000
#define CONNECT_RETRY_MS 100
#define CATCH_UP_ROUND_MS 3000 /* of a server that had caught up and is to vote */
#define DISK_RETRY_MS 250      /* to make a segment when the disk was full */
#define INFLIGHT_ENTRIES 1024  /* to a follower; libraft's 32 stalls a fast log */

int error_set_room(struct error *error, const char *what)
{
	error_set(error, ERROR_NO_CAPACITY, "%s: the disks of most servers are full", what);
	return error_hint(error, "free space in the data directories of the servers; each says in its log when its "
				 "disk is full");
}

int error_set_raft(struct error *error, int code, const char *what, const char *message)
{
	switch (code) {
	case RAFT_NOMEM:
		return error_set_nomem(error);
	case RAFT_NOSPACE:
		error_set(error, ERROR_NO_CAPACITY, "%s: the disk is full", what);
		return error_hint(error, "free space in the data directory and start again");
	case RAFT_CORRUPT:
	case RAFT_MALFORMED:
		error_set(error, ERROR_FAILED_PRECONDITION, "%s: the Raft log is damaged: %s", what, message);
		return error_hint(error,
				  "keep the data directory for analysis, remove this server and add it again empty");
	case RAFT_NOTLEADER:
		return error_set(error, ERROR_UNAVAILABLE, "%s: this server is not the leader", what);
	case RAFT_LEADERSHIPLOST:
		return error_set(error, ERROR_UNAVAILABLE, "%s: leadership was lost meanwhile", what);
	case RAFT_SHUTDOWN:
	case RAFT_CANCELED:
		return error_set(error, ERROR_CANCELLED, "%s: the server is stopping", what);
	default:
		return error_set(error, ERROR_INTERNAL, "%s: %s: %s", what, raft_strerror(code), message);
	}
}

/* ---- barriers ---- */

static void barriers_end(struct barrier_wait *list, const struct error *failure)
{
	struct barrier_wait *next;

	for (; list != NULL; list = next) {
		next = list->next;
		list->callback(list->data, failure);
		free(list);
	}
}

static void on_barrier_done(struct raft_barrier *request, int status)
{
	struct consensus *consensus = request->data;
	struct barrier_wait *list = consensus->barrier_active;
	struct error failure = { 0 };

	consensus->barrier_active = NULL;
	consensus->barrier_busy = false;
	if (consensus->closing)
		status = RAFT_CANCELED;
	if (status != 0)
		error_set_raft(&failure, status, "cannot confirm that this server leads",
			       raft_errmsg(&consensus->raft));
	else if (consensus->failed)
		failure = consensus->failure;
	barriers_end(list, failure.code != ERROR_NONE ? &failure : NULL);
}

static void barriers_tick(struct consensus *consensus)
{
	struct barrier_wait *list;
	struct error failure;
	int rv;

	if (consensus->barrier_queue == NULL || consensus->barrier_busy)
		return;
	if (consensus->transferring && raft_state(&consensus->raft) == RAFT_LEADER)
		return;
	list = consensus->barrier_queue;
	consensus->barrier_queue = NULL;
	consensus->barrier_request.data = consensus;
	consensus->barrier_active = list;
	consensus->barrier_busy = true;
	rv = consensus->failed ? RAFT_NOTLEADER
			       : raft_barrier(&consensus->raft, &consensus->barrier_request, on_barrier_done);
	if (rv == 0) {
		consensus->no_space_since = 0;
		consensus->statistics.barriers++;
		return;
	}
	if (rv == RAFT_NOSPACE && space_may_come(consensus)) {
		consensus->barrier_queue = list;
		consensus->barrier_active = NULL;
		consensus->barrier_busy = false;
		return;
	}
	consensus->barrier_active = NULL;
	consensus->barrier_busy = false;
	error_clear(&failure);
	if (rv == RAFT_NOSPACE)
		error_set_room(&failure, "cannot confirm that this server leads");
	else
		error_set_raft(&failure, rv, "cannot confirm that this server leads", raft_errmsg(&consensus->raft));
	barriers_end(list, &failure);
}

int consensus_barrier(struct consensus *consensus, consensus_barrier_callback callback, void *data, struct error *error)
{
	struct barrier_wait *wait;

	if (consensus->closing || consensus->failed || !consensus_is_leader(consensus))
		return error_set_raft(error, RAFT_NOTLEADER, "cannot confirm that this server leads", "");
	wait = malloc(sizeof(*wait));
	if (wait == NULL)
		return error_set_nomem(error);
	*wait = (struct barrier_wait){ .next = consensus->barrier_queue, .callback = callback, .data = data };
	consensus->barrier_queue = wait; /* the newest first; their order means nothing */
	return 0;
}

/* ---- transfer of leadership ---- */

static void transfer_end(struct consensus *consensus, const struct error *failure)
{
	struct transfer_wait transfer = consensus->transfer;

	consensus->transferring = false;
	transfer.callback(transfer.data, failure);
}

static void transfer_too_late(const struct consensus *consensus, struct error *ret_failure)
{
	error_set(ret_failure, ERROR_UNAVAILABLE, "server %llu did not take over in time",
		  (unsigned long long)consensus->transfer.target_id);
}

static void on_transfer_done(struct raft_transfer *request)
{
	struct consensus *consensus = request->data;
	struct error failure = { 0 };

	if (consensus->closing)
		error_set_raft(&failure, RAFT_CANCELED, "cannot transfer leadership", "");
	else if (raft_state(&consensus->raft) == RAFT_LEADER)
		transfer_too_late(consensus, &failure);
	transfer_end(consensus, failure.code != ERROR_NONE ? &failure : NULL);
}

/* Whether the target is a voter whose log is not known to be the leader's to the end. */
static bool transfer_is_behind(const struct consensus *consensus)
{
	struct consensus_member members[LIMIT_SERVERS];
	size_t count = consensus_members(consensus, members, LIMIT_SERVERS);

	if (raft_state((struct raft *)&consensus->raft) != RAFT_LEADER)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (members[i].id == consensus->transfer.target_id && members[i].role == CONSENSUS_VOTER)
			return members[i].match_index < consensus_last_index(consensus);
	}
	return false;
}

/* The others may have committed what the target is still writing. libraft 0.22.1 tells it to take over as soon as it
 * was sent everything, and only once: a target that has not written it then ignores that, and nobody proposes anything
 * for an election timeout. Returns whether to wait on; *ret_over that it took too long. */
static bool transfer_waits(struct consensus *consensus, bool *ret_over)
{
	uint64_t now = uv_now(consensus->prepare.loop);
	struct transfer_wait *transfer = &consensus->transfer;

	*ret_over = false;
	if (!transfer_is_behind(consensus))
		return false;
	if (transfer->waits_since == 0)
		transfer->waits_since = now > 0 ? now : 1;
	*ret_over = now - transfer->waits_since >= consensus->raft.election_timeout;
	return true;
}

/* Under load a transfer aborts: nothing may be under way when it begins. */
static void transfer_tick(struct consensus *consensus)
{
	struct error failure;
	bool over;
	int rv;

	if (!consensus->transferring || consensus->transfer.sent || consensus->flight_count > 0 ||
	    consensus->barrier_busy)
		return;
	if (transfer_waits(consensus, &over)) {
		error_clear(&failure);
		if (over) {
			transfer_too_late(consensus, &failure);
			transfer_end(consensus, &failure);
		}
		return;
	}
	consensus->transfer.sent = true;
	consensus->transfer_request.data = consensus;
	rv = raft_transfer(&consensus->raft, &consensus->transfer_request, consensus->transfer.target_id,
			   on_transfer_done);
	if (rv == 0)
		return;
	error_clear(&failure);
	error_set_raft(&failure, rv, "cannot transfer leadership", raft_errmsg(&consensus->raft));
	transfer_end(consensus, &failure);
}

int consensus_transfer(struct consensus *consensus, uint64_t target_id, consensus_barrier_callback callback, void *data,
		       struct error *error)
{
	if (consensus->closing || consensus->failed || !consensus_is_leader(consensus))
		return error_set_raft(error, RAFT_NOTLEADER, "cannot transfer leadership", "");
	if (consensus->transferring)
		return error_set(error, ERROR_FAILED_PRECONDITION, "leadership is being transferred already");
	consensus->transferring = true;
	consensus->transfer = (struct transfer_wait){ .callback = callback, .data = data, .target_id = target_id };
	return 0;
}

/* ---- closing ---- */

static void release(struct consensus *consensus)
{
	void (*closed)(void *data) = consensus->closed;
	void *data = consensus->closed_data;

	free(consensus->directory);
	free(consensus);
	if (closed != NULL)
		closed(data);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct consensus *consensus = handle->data;

	if (--consensus->handles_open == 0)
		release(consensus);
}

static void on_raft_closed(struct raft *raft)
{
	struct consensus *consensus = raft->data;

	raft_uv_close(&consensus->io);
	transport_release(&consensus->transport);
	uv_close((uv_handle_t *)&consensus->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&consensus->check, on_handle_closed);
}

/* In a turn of the loop, so that nothing that waits is told inside consensus_close(). */
static void close_tick(struct consensus *consensus)
{
	struct barrier_wait *waits = consensus->barrier_queue;
	struct error failure = { 0 };

	if (consensus->raft_closing)
		return;
	consensus->raft_closing = true;
	consensus->barrier_queue = NULL;
	error_set_raft(&failure, RAFT_CANCELED, "cannot finish", "");
	guard_tick(consensus);
	proposals_fail(consensus, &failure);
	barriers_end(waits, &failure);
	configuration_fail(consensus, &failure);
	if (consensus->transferring && !consensus->transfer.sent)
		transfer_end(consensus, &failure);
	raft_close(&consensus->raft, on_raft_closed);
}

void consensus_close(struct consensus *consensus, void (*closed)(void *data), void *data)
{
	consensus->closing = true;
	consensus->closed = closed;
	consensus->closed_data = data;
	if (!consensus->started)
		close_tick(consensus);
}

/* ---- the turn of the loop ---- */

static void leadership_tick(struct consensus *consensus)
{
	bool leader = raft_state(&consensus->raft) == RAFT_LEADER && !consensus->failed;
	uint64_t term = consensus_term(consensus);

	/* Lost and won again between two turns shows in the term. */
	if (consensus->leader && (!leader || term != consensus->leader_term)) {
		consensus->leader = false;
		consensus->on_leadership(consensus->data, false, consensus->leader_term);
	}
	if (leader && !consensus->leader && !consensus->closing) {
		consensus->leader = true;
		consensus->leader_term = term;
		consensus->no_space_since = 0; /* of an earlier term */
		consensus->on_leadership(consensus->data, true, term);
	}
}

static void failure_tick(struct consensus *consensus)
{
	if (raft_state(&consensus->raft) == RAFT_UNAVAILABLE)
		member_fail_raft(consensus, RAFT_IOERR, "the Raft member cannot go on");
	if (!consensus->failed || consensus->failure_told)
		return;
	consensus->failure_told = true;
	consensus->on_failure(consensus->data, &consensus->failure);
}

/* Any callback may close the member. */
static void tick(struct consensus *consensus)
{
	static void (*const steps[])(struct consensus * consensus) = {
		failure_tick,  leadership_tick,	   room_tick,	  proposals_tick,
		barriers_tick, configuration_tick, transfer_tick,
	};

	guard_tick(consensus);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !consensus->closing; i++)
		steps[i](consensus);
	if (consensus->closing)
		close_tick(consensus);
}

static void on_prepare(uv_prepare_t *prepare)
{
	tick(prepare->data);
}

static void on_check(uv_check_t *check)
{
	tick(check->data);
}

/* ---- starting ---- */

static int bootstrap_write(struct consensus *consensus, const struct consensus_server *servers, size_t count,
			   struct error *error)
{
	struct raft_configuration configuration;
	int rv = 0;

	raft_configuration_init(&configuration);
	for (size_t i = 0; rv == 0 && i < count; i++)
		rv = raft_configuration_add(&configuration, servers[i].id, servers[i].address, RAFT_VOTER);
	if (rv != 0)
		rv = error_set(error, ERROR_INVALID_ARGUMENT, "the list of servers is not valid: %s",
			       raft_strerror(rv));
	else if ((rv = raft_bootstrap(&consensus->raft, &configuration)) != 0)
		rv = error_set_raft(error, rv, "cannot bootstrap", raft_errmsg(&consensus->raft));
	raft_configuration_close(&configuration);
	return rv;
}

static int raft_open(struct consensus *consensus, const struct consensus_options *options, struct error *error)
{
	int rv = transport_init(&consensus->transport, options->loop);

	if (rv != 0)
		return error_set_raft(error, rv, "cannot open the Raft transport", "");
	rv = raft_uv_init(&consensus->io, options->loop, options->directory, &consensus->transport.outer);
	if (rv != 0) {
		transport_release(&consensus->transport);
		return error_set_raft(error, rv, "cannot open the Raft log", consensus->io.errmsg);
	}
	raft_uv_set_auto_recovery(&consensus->io, false);
	raft_uv_set_connect_retry_delay(&consensus->io, CONNECT_RETRY_MS);
	raft_uv_set_disk_retry(&consensus->io, DISK_RETRY_MS);
	write_watch(consensus);
	guard_init(consensus);
	machine_init(consensus);
	rv = raft_init(&consensus->raft, &consensus->io, &consensus->fsm, options->id, options->address);
	if (rv != 0) {
		error_set_raft(error, rv, "cannot open the Raft log", raft_errmsg(&consensus->raft));
		raft_uv_close(&consensus->io);
		transport_release(&consensus->transport);
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	consensus->raft.data = consensus;
	/* Unless somebody reads it: a good part of what libraft does is to write sentences. */
	if (getenv("LIBRAFT_TRACE") == NULL)
		consensus->raft.tracer = NULL;
	raft_set_heartbeat_timeout(&consensus->raft,
				   options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS_DEFAULT);
	raft_set_election_timeout(&consensus->raft, options->election_timeout_ms ? options->election_timeout_ms
										 : ELECTION_TIMEOUT_MS_DEFAULT);
	raft_set_install_snapshot_timeout(&consensus->raft, INSTALL_SNAPSHOT_TIMEOUT_MS);
	raft_set_snapshot_threshold(&consensus->raft, options->snapshot_threshold ? options->snapshot_threshold
										  : SNAPSHOT_THRESHOLD_DEFAULT);
	raft_set_snapshot_trailing(&consensus->raft,
				   options->snapshot_trailing ? options->snapshot_trailing : SNAPSHOT_TRAILING_DEFAULT);
	raft_set_max_inflight_entries(&consensus->raft, INFLIGHT_ENTRIES);
	raft_set_pre_vote(&consensus->raft, true);
	raft_set_max_catch_up_round_duration(&consensus->raft, CATCH_UP_ROUND_MS);
	return 0;
}

int consensus_make(const struct consensus_options *options, struct consensus **ret_consensus, struct error *error)
{
	struct consensus *consensus = calloc(1, sizeof(*consensus));
	int rv;

	if (consensus == NULL)
		return error_set_nomem(error);
	consensus->directory = strdup(options->directory);
	if (consensus->directory == NULL) {
		free(consensus);
		return error_set_nomem(error);
	}
	consensus->machine = options->machine;
	consensus->data = options->data;
	consensus->on_leadership = options->on_leadership;
	consensus->on_failure = options->on_failure;
	consensus->queue_end = &consensus->queue;
	consensus->flights_end = &consensus->flights;
	rv = raft_open(consensus, options, error);
	if (rv != 0) {
		free(consensus->directory);
		free(consensus);
		return rv;
	}
	/* None of these can fail with valid arguments (libuv, "uv_prepare_t", "uv_check_t"). */
	uv_prepare_init(options->loop, &consensus->prepare);
	uv_check_init(options->loop, &consensus->check);
	consensus->prepare.data = consensus->check.data = consensus;
	consensus->handles_open = 2;
	*ret_consensus = consensus;
	return 0;
}

int consensus_start(const struct consensus_options *options, const struct consensus_server *bootstrap,
		    size_t bootstrap_count, struct consensus **ret_consensus, struct error *error)
{
	struct consensus *consensus;
	bool initialized;
	int rv;

	rv = directory_make(options->directory, error);
	if (rv == 0)
		rv = consensus_directory_check(options->directory, &initialized, error);
	if (rv == 0 && !initialized && bootstrap_count > 0)
		rv = directory_reset(options->directory, error);
	if (rv == 0)
		rv = directory_mend(options->directory, error);
	if (rv == 0)
		rv = consensus_make(options, &consensus, error);
	if (rv != 0)
		return rv;
	if (!initialized && bootstrap_count > 0)
		rv = bootstrap_write(consensus, bootstrap, bootstrap_count, error);
	if (rv == 0 && (rv = raft_start(&consensus->raft)) != 0) {
		if (consensus->failed && error != NULL)
			*error = consensus->failure;
		else
			error_set_raft(error, rv, "cannot start the Raft member", raft_errmsg(&consensus->raft));
		rv = error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	if (rv == 0 && (rv = term_files_make(consensus)) != 0)
		rv = error_set_raft(error, rv, "cannot store the Raft vote", consensus->io.errmsg);
	if (rv != 0) {
		/* The loop must turn once more to free it. */
		consensus_close(consensus, NULL, NULL);
		return rv;
	}
	consensus->started = true;
	uv_prepare_start(&consensus->prepare, on_prepare);
	uv_check_start(&consensus->check, on_check);
	uv_unref((uv_handle_t *)&consensus->prepare);
	uv_unref((uv_handle_t *)&consensus->check);
	*ret_consensus = consensus;
	return 0;
}

bool consensus_is_leader(const struct consensus *consensus)
{
	/* As the program was told: between libraft's change and the next turn nothing is proposed. */
	return consensus->leader && !consensus->failed && !consensus->closing &&
	       raft_state((struct raft *)&consensus->raft) == RAFT_LEADER;
}

uint64_t consensus_term(const struct consensus *consensus)
{
	return consensus->raft.current_term;
}

uint64_t consensus_leader_id(const struct consensus *consensus)
{
	const char *address;
	raft_id id = 0;

	raft_leader((struct raft *)&consensus->raft, &id, &address);
	return id;
}

uint64_t consensus_applied_index(const struct consensus *consensus)
{
	return raft_last_applied((struct raft *)&consensus->raft);
}

const char *consensus_state_name(const struct consensus *consensus)
{
	return raft_state_name(raft_state((struct raft *)&consensus->raft));
}

void consensus_statistics_get(const struct consensus *consensus, struct consensus_statistics *ret_statistics)
{
	*ret_statistics = consensus->statistics;
}
