/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guards in front of libraft's I/O. libraft 0.22.1 asserts that some failures cannot happen, Debian builds it without
 * asserts, and so it goes on after them: with a vote that is not on disk, or an entry that never gets there. Here such
 * a failure ends the member, and nothing leaves it from then on.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/canary.h"
#include "raft/internal.h"

struct append_request {
	struct raft_io_append inner;
	struct raft_io_append *outer;
	raft_io_append_cb callback;
	struct consensus *consensus;
	bool behind_cut; /* asked for after a truncation, which is done before it is written */
};

struct load_request {
	struct raft_io_snapshot_get inner;
	struct raft_io_snapshot_get *outer;
	raft_io_snapshot_get_cb callback;
	struct consensus *consensus;
};

/* A send or an append that never went out. libraft frees twice when these fail at once, so they fail later. */
struct held_request {
	struct held_request *next;
	struct raft_io_send *send;
	raft_io_send_cb send_callback;
	struct raft_io_append *append;
	raft_io_append_cb append_callback;
	int status;
};

static struct consensus *of_io(struct raft_io *io)
{
	return (struct consensus *)((char *)io - offsetof(struct consensus, io));
}

void member_fail(struct consensus *consensus, const struct error *failure)
{
	if (!consensus->failed)
		consensus->failure = *failure;
	consensus->failed = true;
}

void member_fail_raft(struct consensus *consensus, int code, const char *what)
{
	struct error failure = { 0 };

	error_set_raft(&failure, code, what, consensus->io.errmsg);
	member_fail(consensus, &failure);
}

static int hold(struct consensus *consensus, const struct held_request *template)
{
	struct held_request *held = malloc(sizeof(*held)), **end = &consensus->held;

	if (held == NULL)
		return RAFT_NOMEM;
	*held = *template;
	while (*end != NULL)
		end = &(*end)->next;
	*end = held;
	return 0;
}

void guard_tick(struct consensus *consensus)
{
	struct held_request *held;

	while ((held = consensus->held) != NULL) {
		consensus->held = held->next;
		if (held->send != NULL)
			held->send_callback(held->send, held->status);
		else
			held->append_callback(held->append, held->status);
		free(held);
	}
}

/* A snapshot that arrives while libraft writes one of its own crashes it, one that arrives while it installs another
 * is leaked: drop both, the leader sends again. */
static void on_receive(struct raft_io *io, struct raft_message *message)
{
	struct consensus *consensus = of_io(io);

	if (receive_is_stray(consensus, message))
		return;
	if (message->type == RAFT_INSTALL_SNAPSHOT &&
	    (consensus->snapshot_open || consensus->raft.snapshot.installing)) {
		raft_configuration_close(&message->install_snapshot.conf);
		raft_free(message->install_snapshot.data.base);
		return;
	}
	if (message->type == RAFT_APPEND_ENTRIES)
		receive_append(consensus, message);
	else
		consensus->uv_recv(io, message);
}

static int guarded_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
	struct consensus *consensus = of_io(io);

	consensus->uv_recv = recv;
	return consensus->uv.start(io, msecs, tick, on_receive);
}

static int guarded_set_term(struct raft_io *io, raft_term term)
{
	return term_store(of_io(io), term);
}

static int guarded_set_vote(struct raft_io *io, raft_id server_id)
{
	return vote_store(of_io(io), server_id);
}

/* A failed member is silent, so that the others elect another leader. A closing one must not send the snapshot that it
 * was still reading: libraft would connect anew, with a transport that is gone. */
static int guarded_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
			raft_io_send_cb callback)
{
	struct raft_message corrected;

	if (message->type == RAFT_APPEND_ENTRIES_RESULT && message->append_entries_result.rejected > 0)
		of_io(io)->append_rejected = true;
	if (of_io(io)->raft_closing)
		return RAFT_CANCELED;
	if (of_io(io)->failed)
		return hold(of_io(io), &(struct held_request){
					       .send = request, .send_callback = callback, .status = RAFT_CANCELED });
	if (message->type == RAFT_INSTALL_SNAPSHOT && message->install_snapshot.last_index == of_io(io)->loaded_index) {
		corrected = *message;
		corrected.install_snapshot.last_term = of_io(io)->loaded_term;
		message = &corrected;
	}
	return of_io(io)->uv.send(io, request, message, callback);
}

static void on_loaded(struct raft_io_snapshot_get *inner, struct raft_snapshot *snapshot, int status)
{
	struct load_request *request = inner->data;
	struct consensus *consensus = request->consensus;
	struct raft_io_snapshot_get *outer = request->outer;
	raft_io_snapshot_get_cb callback = request->callback;

	free(request);
	if (status == 0) {
		consensus->loaded_index = snapshot->index;
		consensus->loaded_term = snapshot->term;
	}
	callback(outer, snapshot, status);
	consensus->loaded_index = 0;
}

/* What is loaded may be a later snapshot than the one that was to be sent. libraft then sends the index of the one and
 * the term of the other, and whoever installs that has a last entry which no leader has: it refuses the next ones as a
 * conflict, dies, and may vote for one that lacks what is committed. It sends from within the callback. */
static int guarded_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *outer,
				raft_io_snapshot_get_cb callback)
{
	struct load_request *request = malloc(sizeof(*request));
	int rv;

	if (request == NULL)
		return RAFT_NOMEM;
	*request = (struct load_request){
		.inner.data = request, .outer = outer, .callback = callback, .consensus = of_io(io)
	};
	rv = of_io(io)->uv.snapshot_get(io, &request->inner, on_loaded);
	if (rv != 0)
		free(request);
	return rv;
}

static void on_appended(struct raft_io_append *inner, int status)
{
	struct append_request *request = inner->data;
	struct consensus *consensus = request->consensus;
	struct raft_io_append *outer = request->outer;
	raft_io_append_cb callback = request->callback;
	bool behind_cut = request->behind_cut;
	struct error failure = { 0 };

	free(request);
	if (status == 0 && behind_cut && consensus->truncating) {
		/* Before anybody hears of the entries: a start that found the mark might take them for old ones. */
		consensus->truncating = false;
		if (truncation_end(consensus->directory, &failure) != 0) {
			member_fail(consensus, &failure);
			status = RAFT_IOERR;
		}
	}
	if (status != 0 && !consensus->closing)
		member_fail_raft(consensus, status, "cannot write the Raft log");
	if (canary("ack_before_sync") && callback == NULL)
		return;
	callback(outer, status);
}

static int guarded_append(struct raft_io *io, struct raft_io_append *outer, const struct raft_entry entries[],
			  unsigned count, raft_io_append_cb callback)
{
	struct consensus *consensus = of_io(io);
	struct append_request *request;
	int rv = RAFT_NOMEM;

	/* Its log may not be what libraft takes it for. */
	if (consensus->failed)
		return hold(consensus, &(struct held_request){
					       .append = outer, .append_callback = callback, .status = RAFT_CANCELED });
	request = malloc(sizeof(*request));
	if (canary("ack_before_sync")) {
		struct raft_entry *copy = calloc(count, sizeof(*copy)); /* never freed */

		if (copy != NULL)
			memcpy(copy, entries, count * sizeof(*copy));
		entries = copy;
	}
	if (request != NULL) {
		*request = (struct append_request){
			.inner.data = request,
			.outer = outer,
			.callback = callback,
			.consensus = consensus,
			.behind_cut = consensus->truncating,
		};
		outer->cb = callback;
		rv = consensus->uv.append(io, &request->inner, entries, count, on_appended);
	}
	if (rv == 0) {
		consensus->log_end += count;
		if (canary("ack_before_sync")) {
			request->callback = NULL;
			hold(consensus, &(struct held_request){ .append = outer, .append_callback = callback });
		}
		return 0;
	}
	free(request);
	member_fail_raft(consensus, rv, "cannot write the Raft log");
	return hold(consensus,
		    &(struct held_request){ .append = outer, .append_callback = callback, .status = RAFT_CANCELED });
}

static int guarded_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
			raft_index *start_index, struct raft_entry *entries[], size_t *count)
{
	struct consensus *consensus = of_io(io);
	struct error failure = { 0 };
	int rv = consensus->uv.load(io, term, voted_for, snapshot, start_index, entries, count);

	if (rv != 0)
		return rv;
	consensus->log_end = *start_index + *count;
	/* It closed the open segments, and gives their names to new ones next: not before the medium has the names
	 * that the entries are under now. */
	if (directory_sync(consensus->directory, &failure) != 0)
		member_fail(consensus, &failure); /* ends it before it promises anything */
	return 0;
}

/* One that keeps nothing of the log is a leader's. */
static int guarded_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
				const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
	int rv = of_io(io)->uv.snapshot_put(io, trailing, request, snapshot, callback);

	if (rv == 0 && trailing == 0)
		of_io(io)->log_end = snapshot->index + 1;
	return rv;
}

/* libraft removes segments one by one and syncs at the end: what it leaves when it is interrupted it refuses to load.
 */
static int guarded_truncate(struct raft_io *io, raft_index index)
{
	struct consensus *consensus = of_io(io);
	struct error failure = { 0 };

	/* It asks before each append, also when there is nothing to cut. */
	if (index >= consensus->log_end)
		return consensus->uv.truncate(io, index);
	if (truncation_begin(consensus->directory, index, &failure) != 0) {
		error_prefix(&failure, "cannot truncate the Raft log");
		member_fail(consensus, &failure);
		return 0; /* libraft frees twice what it was about to append when this fails at once */
	}
	consensus->truncating = true;
	consensus->log_end = index;
	return consensus->uv.truncate(io, index);
}

void guard_init(struct consensus *consensus)
{
	consensus->uv = consensus->io;
	consensus->io.start = guarded_start;
	consensus->io.set_term = guarded_set_term;
	consensus->io.set_vote = guarded_set_vote;
	consensus->io.send = guarded_send;
	consensus->io.append = guarded_append;
	consensus->io.truncate = guarded_truncate;
	consensus->io.load = guarded_load;
	consensus->io.snapshot_put = guarded_snapshot_put;
	consensus->io.snapshot_get = guarded_snapshot_get;
}
