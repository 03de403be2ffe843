/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A write of the log that failed. libraft (0.22) means to try it again a while later, but starts the timer of another
 * retry for it, whose callback then takes something else for the segment: what was to be written is lost, the log
 * stands still for ever, and memory may be damaged. The only word of it goes to the tracer, just before that timer is
 * started. So the timer is made one that nobody lives to see, and the member fails: it closes in order, and the log is
 * read again at the next start. A disk that refused a write once is not to be trusted with the next one anyway.
 */
#include <string.h>

#include "raft/internal.h"

#define NEVER_MS (3600u * 1000u)
#define FAILED_WRITE "retry failed write"

static void trace(struct raft_tracer *tracer, int type, const void *info)
{
	const struct raft_tracer_info *event = info;
	struct consensus *consensus = tracer->impl;
	struct error error = { 0 };

	if (type != RAFT_TRACER_DIAGNOSTIC ||
	    strncmp(event->diagnostic.message, FAILED_WRITE, strlen(FAILED_WRITE)) != 0)
		return;
	raft_uv_set_disk_retry(&consensus->io, NEVER_MS);
	error_set(&error, ERROR_INTERNAL, "cannot write the Raft log: %s", consensus->io.errmsg);
	error_hint(&error, "look at the disk of the data directory; the log is read again at the next start");
	member_fail(consensus, &error);
}

void write_watch(struct consensus *consensus)
{
	consensus->tracer = (struct raft_tracer){ .impl = consensus, .version = 2, .emit = trace };
	raft_uv_set_tracer(&consensus->io, &consensus->tracer);
}
