/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives up connections to Disk Nodes and to holders of remote legs that have died, sooner than the kernel does by
 * itself.
 *
 * Linux 6.1 to 6.11 wait for the answer to a keep-alive before a path is given up. When that times out on a path that
 * is still called live, it gets its time once more; on one whose recovery has begun it ends there. So a path whose
 * connections are ended before its first keep-alive times out, which is 2 s after the peer died at the earliest, is
 * gone up to 3 s sooner, and with it the wait of all that lies on it. Nothing is lost by it: what was under way is
 * kept, and sent again by the next path or connection. A holder has shut out who was not heard for
 * LIMIT_PEER_SILENCE_MS; a Disk Node that is back costs a second.
 */
#ifndef DNVME_AGENT_SILENT_PEERS_H
#define DNVME_AGENT_SILENT_PEERS_H

#include <uv.h>

#include "agent/backend/kernel.h"
#include "agent/worker.h"

#define SILENT_PEERS_INTERVAL_MS 250u

struct silent_peers;

/* Looks each SILENT_PEERS_INTERVAL_MS. Everything is borrowed. NULL when memory is exhausted. */
struct silent_peers *silent_peers_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel);

/* The memory goes when the loop has closed the handle and the job has ended. Accepts NULL. */
void silent_peers_close(struct silent_peers *silent_peers);

#endif
