/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether what waits here for the leg of another slot may be old: a host that sent it may have left this node since,
 * and repeated it elsewhere. docs/FAILURES.md, "A stale write", 7.
 *
 * A host that leaves ends its connections, which this kernel sees; or it gives this node up because it heard nothing
 * for its keep-alive, and then nothing was heard of it here either, or nothing that was sent to it arrived. So what
 * was never the case of any host, while a write may have waited, happened to none.
 */
#ifndef DNVME_AGENT_HOSTS_H
#define DNVME_AGENT_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/records.h"
#include "lib/net/peer.h"

/* Nothing was heard of a host for so long: it may be about to leave. One that is well is heard of each half of its
 * keep-alive; one that leaves because of it does so a second later than this. */
#define HOSTS_SILENCE_MS 2000u
/* A path that fell silent is noticed as lost by then (2.5 times the keep-alive of an import, and what timers round up);
 * a write may have waited on it for as long. */
#define HOSTS_NOTICE_MS 7000u
/* A host leaves when a request was not answered for 30 s (nvme_core.io_timeout). The path may have been lost for a
 * while before that was noticed. */
#define HOSTS_PATIENCE_MS 20000u
/* Who did not look for so long knows nothing. */
#define HOSTS_UNSEEN_MS 3000u

struct hosts_import;

/* Zeroed: knows nothing. */
struct hosts {
	struct peer_visit *visits; /* of the last look, in order; `unanswered`: counts as left */
	size_t count;
	uint64_t looked_ms; /* 0: never */
	uint64_t left_ms;   /* when one was seen to have left last */
	struct hosts_import *imports;
	uint64_t observed_ms; /* what is imported; 0: never */
};

void hosts_free(struct hosts *hosts);

/* What a look at the connections of hosts found; takes the list. Returns whether one was seen to leave. `now_ms` is on
 * the boot clock, here as below. */
bool hosts_look(struct hosts *hosts, struct peer_visit *visits, size_t count, uint64_t now_ms);

/* What is imported now: nothing waits for what was not there. Returns 0, or -1 when memory is exhausted. */
int hosts_observe(struct hosts *hosts, const struct observed *observed, uint64_t now_ms);

/* Whether what waits for an import, that was lost at `lost_ms` (`now_ms` when it was not), may be old: a host may have
 * left while it waited, or is about to. */
bool hosts_may_have_left(const struct hosts *hosts, const char *nqn, uint64_t lost_ms, uint64_t now_ms);

#endif
