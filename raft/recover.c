/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A member that is alone for good. */
#include "raft/internal.h"

/* The term first: with it alone the member is what it was, and the whole is done again. */
static int configuration_write(struct consensus *consensus, uint64_t id, const char *address, uint64_t term,
			       struct error *error)
{
	static const char what[] = "cannot make this server the only one that votes";
	struct raft_configuration configuration;
	int rv;

	raft_configuration_init(&configuration);
	rv = raft_configuration_add(&configuration, id, address, RAFT_VOTER);
	if (rv == 0)
		rv = consensus->uv.set_term(&consensus->io, term);
	if (rv == 0)
		rv = raft_recover(&consensus->raft, &configuration);
	raft_configuration_close(&configuration);
	return rv == 0 ? 0 : error_set_raft(error, rv, what, consensus->io.errmsg);
}

int consensus_recover(const char *directory, uint64_t id, const char *address, uint64_t term, struct error *error)
{
	struct consensus_options options = { .id = id, .address = address, .directory = directory };
	struct consensus *consensus;
	uv_loop_t loop;
	int rv = uv_loop_init(&loop);

	if (rv != 0)
		return error_set_errno(error, -rv, "cannot make the event loop");
	options.loop = &loop;
	rv = directory_mend(directory, error);
	if (rv == 0)
		rv = consensus_make(&options, &consensus, error);
	if (rv == 0) {
		rv = configuration_write(consensus, id, address, term, error);
		consensus_close(consensus, NULL, NULL);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return rv;
}
