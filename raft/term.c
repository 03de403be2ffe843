/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Term and vote on disk. libraft keeps them in two files that it writes in turns, in place. Both are made while there
 * is room: after that a full disk takes every term and vote, on a file system that writes in place. A member that
 * cannot store one has to end, as it must not go on without, and may not try again: libraft's count of the versions,
 * which says whose turn it is, would go on, and the next try would be made in the file that is still good.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/canary.h"
#include "raft/internal.h"

#define METADATA_BYTES 32

static bool file_is_there(const char *directory, unsigned number)
{
	char path[4200];
	struct stat status;

	snprintf(path, sizeof(path), "%s/metadata%u", directory, number);
	return stat(path, &status) == 0 && status.st_size == METADATA_BYTES;
}

/* The vote once more, which goes into the other file. */
static int pair_make(struct consensus *consensus, raft_id vote)
{
	int rv = 0;

	if (consensus->term_files_there)
		return 0;
	if (!file_is_there(consensus->directory, 1) || !file_is_there(consensus->directory, 2))
		rv = consensus->uv.set_vote(&consensus->io, vote);
	consensus->term_files_there = rv == 0;
	return rv;
}

int term_store(struct consensus *consensus, raft_term term)
{
	int rv = consensus->uv.set_term(&consensus->io, term);

	if (rv == 0)
		rv = pair_make(consensus, 0);
	if (rv != 0)
		member_fail_raft(consensus, rv, "cannot store the Raft term");
	return rv;
}

int vote_store(struct consensus *consensus, raft_id vote)
{
	int rv = canary("skip_vote") ? 0 : consensus->uv.set_vote(&consensus->io, vote);

	if (rv != 0)
		member_fail_raft(consensus, rv, "cannot store the Raft vote");
	return rv;
}

int term_files_make(struct consensus *consensus)
{
	/* Without a term there are none yet, and the first one brings both. */
	return consensus->raft.current_term > 0 ? pair_make(consensus, consensus->raft.voted_for) : 0;
}
