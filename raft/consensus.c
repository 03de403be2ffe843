/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything happens in tick(): it runs around each poll of the loop, after libraft's and the program's callbacks. So
 * what arrived in one turn goes out in one entry, and no callback runs inside the call that asked for it.
 */
#include "raft/consensus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "raft/entry.h"
#include "raft/internal.h"

#define HEARTBEAT_MS_DEFAULT 50
#define ELECTION_TIMEOUT_MS_DEFAULT 400
#define SNAPSHOT_THRESHOLD_DEFAULT 4096
#define SNAPSHOT_TRAILING_DEFAULT 2048
#define INSTALL_SNAPSHOT_TIMEOUT_MS 30000
#define CONNECT_RETRY_MS 100
#define INFLIGHT_ENTRIES 1024 /* to a follower; libraft's 32 stalls a fast log */
#define FLIGHTS_MAX 2	      /* more packed entries under way only make each one smaller */

static int error_set_raft(struct error *error, int code, const char *what, const char *message)
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

/* ---- proposals ---- */

static void proposal_end(struct proposal *proposal, struct bytes outcome, bool unknown, const struct error *failure)
{
	proposal->callback(proposal->data, outcome, unknown, failure);
	free(proposal);
}

static void flight_unlink(struct consensus *consensus, struct flight *flight)
{
	struct flight **at = &consensus->flights;

	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	if (consensus->flights_end == &flight->next)
		consensus->flights_end = at;
	consensus->flight_count--;
}

static void flight_free(struct flight *flight)
{
	for (size_t i = 0; flight->outcomes != NULL && i < flight->count; i++)
		buffer_free(&flight->outcomes[i]);
	free(flight->outcomes);
	free(flight);
}

static void on_flight_done(struct raft_apply *request, int status, void *result)
{
	struct flight *flight = request->data;
	struct consensus *consensus = flight->consensus;
	struct proposal *proposal = flight->proposals, *next;
	struct error failure = { 0 };

	(void)result;
	if (status != 0)
		error_set_raft(&failure, status, "the proposal was not confirmed", raft_errmsg(&consensus->raft));
	else if (consensus->failed)
		failure = consensus->failure;
	flight_unlink(consensus, flight);
	consensus->queued -= flight->count;
	for (size_t i = 0; proposal != NULL; i++, proposal = next) {
		next = proposal->next;
		if (failure.code != ERROR_NONE)
			proposal_end(proposal, (struct bytes){ 0 }, true, &failure);
		else
			proposal_end(proposal, buffer_bytes(&flight->outcomes[i]), false, NULL);
	}
	flight_free(flight);
}

/* Fail everything that was not handed to libraft; it can be repeated elsewhere. */
static void queue_fail(struct consensus *consensus, const struct error *failure)
{
	struct proposal *proposal = consensus->queue, *next;

	consensus->queue = NULL;
	consensus->queue_end = &consensus->queue;
	for (; proposal != NULL; proposal = next) {
		next = proposal->next;
		consensus->queued--;
		proposal_end(proposal, (struct bytes){ 0 }, false, failure);
	}
}

/* Pack what fits from the front of the queue into one entry. Returns a libraft code; the queue is as before on failure.
 */
static int flight_start(struct consensus *consensus)
{
	struct proposal *last = NULL;
	struct flight *flight = calloc(1, sizeof(*flight));
	struct bytes *commands = NULL;
	struct raft_buffer buffer = { 0 };
	size_t count = 0, total = 0;
	int rv = RAFT_NOMEM;

	if (flight == NULL)
		return RAFT_NOMEM;
	for (struct proposal *proposal = consensus->queue; proposal != NULL; proposal = proposal->next) {
		if (count > 0 && entry_size(count + 1, total + proposal->size) > LIMIT_ENTRY_BYTES)
			break;
		count++;
		total += proposal->size;
		last = proposal;
	}
	flight->consensus = consensus;
	flight->count = count;
	flight->outcomes = calloc(count, sizeof(*flight->outcomes));
	commands = calloc(count, sizeof(*commands));
	buffer.len = entry_size(count, total);
	buffer.base = raft_malloc(buffer.len);
	if (flight->outcomes == NULL || commands == NULL || buffer.base == NULL)
		goto out;
	count = 0;
	for (struct proposal *proposal = consensus->queue; count < flight->count; proposal = proposal->next)
		commands[count++] = (struct bytes){ proposal->command, proposal->size };
	entry_pack(commands, count, buffer.base);
	flight->request.data = flight;
	/* Linked before the call: a single server may apply the entry before it returns. */
	*consensus->flights_end = flight;
	consensus->flights_end = &flight->next;
	consensus->flight_count++;
	flight->proposals = consensus->queue;
	rv = raft_apply(&consensus->raft, &flight->request, &buffer, 1, on_flight_done);
	if (rv != 0) {
		flight_unlink(consensus, flight);
		goto out;
	}
	consensus->queue = last->next;
	if (consensus->queue == NULL)
		consensus->queue_end = &consensus->queue;
	last->next = NULL;
	consensus->statistics.entries_proposed++;
	consensus->statistics.commands_proposed += count;
	free(commands);
	return 0;
out:
	raft_free(buffer.base);
	free(commands);
	flight_free(flight);
	return rv;
}

static void proposals_tick(struct consensus *consensus)
{
	struct error failure = { 0 };
	int rv = 0;

	if (consensus->failed)
		failure = consensus->failure;
	else if (raft_state(&consensus->raft) != RAFT_LEADER)
		error_set_raft(&failure, RAFT_NOTLEADER, "cannot propose", "");
	while (failure.code == ERROR_NONE && consensus->queue != NULL && consensus->flight_count < FLIGHTS_MAX &&
	       !consensus->transferring) {
		rv = flight_start(consensus);
		if (rv != 0)
			error_set_raft(&failure, rv, "cannot propose", raft_errmsg(&consensus->raft));
	}
	if (failure.code != ERROR_NONE)
		queue_fail(consensus, &failure);
}

int consensus_propose(struct consensus *consensus, struct bytes command, consensus_propose_callback callback,
		      void *data, struct error *error)
{
	struct proposal *proposal;

	if (consensus->closing || consensus->failed || !consensus_is_leader(consensus))
		return error_set_raft(error, RAFT_NOTLEADER, "cannot propose", "");
	if (command.size > LIMIT_COMMAND_BYTES)
		return error_set(error, ERROR_TOO_LARGE, "a command of %zu bytes exceeds the limit of %u", command.size,
				 LIMIT_COMMAND_BYTES);
	if (consensus->queued >= LIMIT_PROPOSALS) {
		error_set(error, ERROR_NO_CAPACITY, "%u proposals wait already", LIMIT_PROPOSALS);
		return error_hint(error, "send fewer requests at a time");
	}
	proposal = malloc(sizeof(*proposal) + command.size);
	if (proposal == NULL)
		return error_set_nomem(error);
	*proposal = (struct proposal){ .callback = callback, .data = data, .size = command.size };
	if (command.size > 0)
		memcpy(proposal->command, command.data, command.size);
	*consensus->queue_end = proposal;
	consensus->queue_end = &proposal->next;
	consensus->queued++;
	return 0;
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
	if (status != 0)
		error_set_raft(&failure, status, "cannot confirm that this server leads",
			       raft_errmsg(&consensus->raft));
	else if (consensus->failed)
		failure = consensus->failure;
	barriers_end(list, failure.code != ERROR_NONE ? &failure : NULL);
}

static void barriers_tick(struct consensus *consensus)
{
	struct error failure = { 0 };
	struct barrier_wait *list;
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
		consensus->statistics.barriers++;
		return;
	}
	consensus->barrier_active = NULL;
	consensus->barrier_busy = false;
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
	consensus->barrier_queue = wait;
	return 0;
}

/* ---- transfer of leadership ---- */

static void transfer_end(struct consensus *consensus, const struct error *failure)
{
	struct transfer_wait transfer = consensus->transfer;

	consensus->transferring = false;
	transfer.callback(transfer.data, failure);
}

static void on_transfer_done(struct raft_transfer *request)
{
	struct consensus *consensus = request->data;
	struct error failure = { 0 };

	if (consensus->closing)
		error_set_raft(&failure, RAFT_CANCELED, "cannot transfer leadership", "");
	else if (raft_state(&consensus->raft) == RAFT_LEADER)
		error_set(&failure, ERROR_UNAVAILABLE, "server %llu did not take over in time",
			  (unsigned long long)consensus->transfer.target_id);
	transfer_end(consensus, failure.code != ERROR_NONE ? &failure : NULL);
}

/* Under load a transfer aborts: nothing may be under way when it begins. */
static void transfer_tick(struct consensus *consensus)
{
	struct error failure = { 0 };
	int rv;

	if (!consensus->transferring || consensus->transfer.sent || consensus->flight_count > 0 ||
	    consensus->barrier_busy)
		return;
	consensus->transfer.sent = true;
	consensus->transfer_request.data = consensus;
	rv = raft_transfer(&consensus->raft, &consensus->transfer_request, consensus->transfer.target_id,
			   on_transfer_done);
	if (rv == 0)
		return;
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
	if (leader && !consensus->leader) {
		consensus->leader = true;
		consensus->leader_term = term;
		consensus->on_leadership(consensus->data, true, term);
	}
}

static void tick(struct consensus *consensus)
{
	if (consensus->closing)
		return;
	if (consensus->failed && !consensus->failure_told) {
		consensus->failure_told = true;
		consensus->on_failure(consensus->data, &consensus->failure);
	}
	leadership_tick(consensus);
	proposals_tick(consensus);
	barriers_tick(consensus);
	transfer_tick(consensus);
}

static void on_prepare(uv_prepare_t *prepare)
{
	tick(prepare->data);
}

static void on_check(uv_check_t *check)
{
	tick(check->data);
}

/* ---- guards in front of libraft ---- */

/* libraft 0.22.1 crashes when a snapshot arrives while it writes its own: drop it, the leader sends it again. */
static void on_receive(struct raft_io *io, struct raft_message *message)
{
	struct consensus *consensus = (struct consensus *)((char *)io - offsetof(struct consensus, io));

	if (message->type == RAFT_INSTALL_SNAPSHOT && consensus->snapshot_open) {
		raft_configuration_close(&message->install_snapshot.conf);
		raft_free(message->install_snapshot.data.base);
		return;
	}
	consensus->uv_recv(io, message);
}

static int guarded_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick_callback, raft_io_recv_cb recv)
{
	struct consensus *consensus = (struct consensus *)((char *)io - offsetof(struct consensus, io));

	consensus->uv_recv = recv;
	return consensus->uv_start(io, msecs, tick_callback, on_receive);
}

/* ---- directory ---- */

/* Log segments and snapshots make a member; metadata alone is what a crash in the middle of bootstrapping leaves. */
static bool is_member_file(const char *name)
{
	return strncmp(name, "open-", 5) == 0 || strncmp(name, "snapshot-", 9) == 0 ||
	       (name[0] >= '0' && name[0] <= '9' && strchr(name, '-') != NULL);
}

static int directory_make(const char *directory, struct error *error)
{
	char parent[4096];
	char *slash;
	int descriptor;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return error_set_errno(error, errno, "cannot create %s", directory);
	/* The new name must survive a power loss as well. */
	if ((size_t)snprintf(parent, sizeof(parent), "%s", directory) >= sizeof(parent))
		return error_set(error, ERROR_INVALID_ARGUMENT, "the path of the data directory is too long");
	slash = strrchr(parent, '/');
	if (slash == NULL)
		strcpy(parent, ".");
	else
		slash[slash == parent ? 1 : 0] = '\0';
	descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(error, errno, "cannot open %s", parent);
	if (fsync(descriptor) != 0) {
		int saved = errno;

		close(descriptor);
		return error_set_errno(error, saved, "cannot sync %s", parent);
	}
	close(descriptor);
	return 0;
}

int consensus_directory_check(const char *directory, bool *ret_initialized, struct error *error)
{
	DIR *handle = opendir(directory);
	struct dirent *entry;
	bool found = false;

	if (handle == NULL && errno == ENOENT) {
		*ret_initialized = false;
		return 0;
	}
	if (handle == NULL)
		return error_set_errno(error, errno, "cannot read %s", directory);
	while (!found && (entry = readdir(handle)) != NULL)
		found = is_member_file(entry->d_name);
	closedir(handle);
	*ret_initialized = found;
	return 0;
}

/* A term and a vote that no log entry stands behind cannot have counted: a server without configuration does not vote.
 */
static int directory_reset(const char *directory, struct error *error)
{
	static const char *const names[] = { "metadata1", "metadata2" };
	char path[4200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return error_set_errno(error, errno, "cannot remove %s", path);
	}
	return 0;
}

/* ---- life cycle ---- */

static void release(struct consensus *consensus)
{
	void (*closed)(void *data) = consensus->closed;
	void *data = consensus->closed_data;

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

void consensus_close(struct consensus *consensus, void (*closed)(void *data), void *data)
{
	struct barrier_wait *waits = consensus->barrier_queue;
	struct error failure = { 0 };

	consensus->closing = true;
	consensus->closed = closed;
	consensus->closed_data = data;
	consensus->barrier_queue = NULL;
	error_set_raft(&failure, RAFT_CANCELED, "cannot propose", "");
	queue_fail(consensus, &failure);
	barriers_end(waits, &failure);
	if (consensus->transferring && !consensus->transfer.sent)
		transfer_end(consensus, &failure);
	raft_close(&consensus->raft, on_raft_closed);
}

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
	consensus->uv_start = consensus->io.start;
	consensus->io.start = guarded_start;
	machine_init(consensus);
	rv = raft_init(&consensus->raft, &consensus->io, &consensus->fsm, options->id, options->address);
	if (rv != 0) {
		error_set_raft(error, rv, "cannot open the Raft log", raft_errmsg(&consensus->raft));
		raft_uv_close(&consensus->io);
		transport_release(&consensus->transport);
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	consensus->raft.data = consensus;
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
	if (rv != 0)
		return rv;
	consensus = calloc(1, sizeof(*consensus));
	if (consensus == NULL)
		return error_set_nomem(error);
	consensus->machine = options->machine;
	consensus->data = options->data;
	consensus->on_leadership = options->on_leadership;
	consensus->on_failure = options->on_failure;
	consensus->queue_end = &consensus->queue;
	consensus->flights_end = &consensus->flights;
	rv = raft_open(consensus, options, error);
	if (rv != 0) {
		free(consensus);
		return rv;
	}
	/* None of these can fail with valid arguments (libuv, "uv_prepare_t", "uv_check_t"). */
	uv_prepare_init(options->loop, &consensus->prepare);
	uv_check_init(options->loop, &consensus->check);
	consensus->prepare.data = consensus->check.data = consensus;
	consensus->handles_open = 2;
	if (!initialized && bootstrap_count > 0)
		rv = bootstrap_write(consensus, bootstrap, bootstrap_count, error);
	if (rv == 0 && (rv = raft_start(&consensus->raft)) != 0) {
		if (consensus->failed && error != NULL)
			*error = consensus->failure;
		else
			error_set_raft(error, rv, "cannot start the Raft member", raft_errmsg(&consensus->raft));
		rv = error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
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
	return consensus->leader && raft_state((struct raft *)&consensus->raft) == RAFT_LEADER;
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
