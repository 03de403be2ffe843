/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guards in front of libraft's I/O. libraft 0.22.1 asserts that some failures cannot happen, Debian builds it without
 * asserts, and so it goes on after them: with a vote that is not on disk, or an entry that never gets there. Here such
 * a failure ends the member, and nothing leaves it from then on.
 */
#include <stdlib.h>

#include "raft/internal.h"

struct append_request {
	struct raft_io_append inner;
	struct raft_io_append *outer;
	raft_io_append_cb callback;
	struct consensus *consensus;
};

/* A send or an append that never went out. libraft frees twice when these fail at once, so they fail later. */
struct held_request {
	struct held_request *next;
	struct raft_io_send *send;
	raft_io_send_cb send_callback;
	struct raft_io_append *append;
	raft_io_append_cb append_callback;
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
	struct held_request *held = malloc(sizeof(*held));

	if (held == NULL)
		return RAFT_NOMEM;
	*held = *template;
	held->next = consensus->held;
	consensus->held = held;
	return 0;
}

void guard_tick(struct consensus *consensus)
{
	struct held_request *held;

	while ((held = consensus->held) != NULL) {
		consensus->held = held->next;
		if (held->send != NULL)
			held->send_callback(held->send, RAFT_CANCELED);
		else
			held->append_callback(held->append, RAFT_CANCELED);
		free(held);
	}
}

/* A snapshot that arrives while libraft writes one of its own crashes it, one that arrives while it installs another
 * is leaked: drop both, the leader sends again. */
static void on_receive(struct raft_io *io, struct raft_message *message)
{
	struct consensus *consensus = of_io(io);

	if (message->type == RAFT_INSTALL_SNAPSHOT &&
	    (consensus->snapshot_open || consensus->raft.snapshot.installing)) {
		raft_configuration_close(&message->install_snapshot.conf);
		raft_free(message->install_snapshot.data.base);
		return;
	}
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
	int rv = of_io(io)->uv.set_term(io, term);

	if (rv != 0)
		member_fail_raft(of_io(io), rv, "cannot store the Raft term");
	return rv;
}

static int guarded_set_vote(struct raft_io *io, raft_id server_id)
{
	int rv = of_io(io)->uv.set_vote(io, server_id);

	if (rv != 0)
		member_fail_raft(of_io(io), rv, "cannot store the Raft vote");
	return rv;
}

/* A failed member is silent, so that the others elect another leader. A closing one must not send the snapshot that it
 * was still reading: libraft would connect anew, with a transport that is gone. */
static int guarded_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
			raft_io_send_cb callback)
{
	if (of_io(io)->raft_closing)
		return RAFT_CANCELED;
	if (of_io(io)->failed)
		return hold(of_io(io), &(struct held_request){ .send = request, .send_callback = callback });
	return of_io(io)->uv.send(io, request, message, callback);
}

static void on_appended(struct raft_io_append *inner, int status)
{
	struct append_request *request = inner->data;
	struct consensus *consensus = request->consensus;
	struct raft_io_append *outer = request->outer;
	raft_io_append_cb callback = request->callback;

	free(request);
	if (status != 0 && !consensus->closing)
		member_fail_raft(consensus, status, "cannot write the Raft log");
	callback(outer, status);
}

static int guarded_append(struct raft_io *io, struct raft_io_append *outer, const struct raft_entry entries[],
			  unsigned count, raft_io_append_cb callback)
{
	struct consensus *consensus = of_io(io);
	struct append_request *request = malloc(sizeof(*request));
	int rv = RAFT_NOMEM;

	if (request != NULL) {
		*request = (struct append_request){
			.inner.data = request, .outer = outer, .callback = callback, .consensus = consensus
		};
		outer->cb = callback;
		rv = consensus->uv.append(io, &request->inner, entries, count, on_appended);
	}
	if (rv == 0)
		return 0;
	free(request);
	member_fail_raft(consensus, rv, "cannot write the Raft log");
	return hold(consensus, &(struct held_request){ .append = outer, .append_callback = callback });
}

void guard_init(struct consensus *consensus)
{
	consensus->uv = consensus->io;
	consensus->io.start = guarded_start;
	consensus->io.set_term = guarded_set_term;
	consensus->io.set_vote = guarded_set_vote;
	consensus->io.send = guarded_send;
	consensus->io.append = guarded_append;
}
