/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lets holders hear of this node while it has nothing to say to them: a datagram every BEAT_INTERVAL_MS to each whose
 * legs it imports. Their gates shut out a consumer of which nothing came for LIMIT_PEER_SILENCE_MS, and nvme-tcp alone
 * says something once in half a keep-alive at least, which is too seldom for a machine that is busy: docs/FAILURES.md,
 * "A stale write", 2.
 */
#ifndef DNVME_AGENT_BEAT_H
#define DNVME_AGENT_BEAT_H

#include <stddef.h>
#include <sys/socket.h>
#include <uv.h>

#include "agent/desired_store.h"
#include "lib/base/arena.h"

#define BEAT_INTERVAL_MS 250u

_Static_assert(4 * BEAT_INTERVAL_MS < LIMIT_PEER_SILENCE_MS, "three may be lost");

struct beat;

/* Everything is borrowed. NULL when memory is exhausted. */
struct beat *beat_make(uv_loop_t *loop, const struct desired_store *store);

/* The desired state changed. Accepts NULL. */
void beat_desired(struct beat *beat);

/* The memory goes when the loop has closed the handle. Accepts NULL. */
void beat_close(struct beat *beat);

struct beat_target {
	socklen_t size;
	struct sockaddr_storage address;
};

struct beat_target_list {
	size_t count;
	struct beat_target *items;
};

/* Where the holders of legs that this node imports listen to it, each address once: they count all that comes from
 * here, whichever volume's port it comes to. An address that cannot be read is left out. The list lives in `arena`.
 * INTERNAL without memory. */
int beat_targets(const struct desired *desired, struct arena *arena, struct beat_target_list *ret_targets,
		 struct error *error);

#endif
