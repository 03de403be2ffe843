/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A member that begins with a snapshot of which no member is left. */
#include <stdlib.h>
#include <string.h>

#include "raft/internal.h"

static const char what[] = "cannot write the first snapshot";

struct put {
	struct raft_io_snapshot_put request;
	struct raft_snapshot snapshot;
	struct raft_buffer buffer;
	int status;
	bool done;
};

static void on_put(struct raft_io_snapshot_put *request, int status)
{
	struct put *put = request->data;

	put->status = status;
	put->done = true;
}

/* The term first: with it alone the directory is no member's. */
static int put_begin(struct consensus *consensus, const struct consensus_server *self, uint64_t term, struct put *put)
{
	struct raft_snapshot *snapshot = &put->snapshot;
	int rv;

	raft_configuration_init(&snapshot->configuration);
	rv = raft_configuration_add(&snapshot->configuration, self->id, self->address, RAFT_VOTER);
	if (rv == 0)
		rv = consensus->uv.set_term(&consensus->io, term);
	snapshot->term = term;
	snapshot->bufs = &put->buffer;
	snapshot->n_bufs = 1;
	put->request.data = put;
	/* It keeps nothing of a log, as one that a leader sent. */
	return rv == 0 ? consensus->uv.snapshot_put(&consensus->io, 0, &put->request, snapshot, on_put) : rv;
}

static int put_run(struct consensus *consensus, uv_loop_t *loop, const struct consensus_server *self, uint64_t term,
		   struct put *put, struct error *error)
{
	int rv = put_begin(consensus, self, term, put);

	while (rv == 0 && !put->done)
		uv_run(loop, UV_RUN_ONCE);
	if (rv == 0)
		rv = put->status;
	raft_configuration_close(&put->snapshot.configuration);
	return rv == 0 ? 0 : error_set_raft(error, rv, what, consensus->io.errmsg);
}

static int directory_prepare(const char *directory, struct error *error)
{
	bool initialized;

	if (directory_make(directory, error) != 0 || consensus_directory_check(directory, &initialized, error) != 0)
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	if (initialized)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s: %s is not empty", what, directory);
	return directory_reset(directory, error);
}

int consensus_restore(const char *directory, const struct consensus_server *self, uint64_t term, uint64_t index,
		      struct bytes dump, struct error *error)
{
	struct consensus_options options = { .id = self->id, .address = self->address, .directory = directory };
	struct put put = { .snapshot = { .index = index, .configuration_index = index } };
	struct consensus *consensus;
	uv_loop_t loop;
	int rv = directory_prepare(directory, error);

	if (rv == 0)
		rv = snapshot_encode(index, dump, &put.buffer, error);
	if (rv != 0)
		return rv;
	rv = uv_loop_init(&loop);
	if (rv != 0) {
		raft_free(put.buffer.base);
		return error_set_errno(error, -rv, "cannot make the event loop");
	}
	options.loop = &loop;
	rv = consensus_make(&options, &consensus, error);
	if (rv == 0) {
		rv = put_run(consensus, &loop, self, term, &put, error);
		consensus_close(consensus, NULL, NULL);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	raft_free(put.buffer.base);
	return rv == 0 ? directory_sync(directory, error) : rv;
}
