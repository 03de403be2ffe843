/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the gate before the port of the Controller Node role as agent/lease.h and agent/admission.h say: timers, and
 * jobs on threads that touch the gate or look at the paths of members.
 */
#ifndef DNVME_AGENT_GATEKEEPER_H
#define DNVME_AGENT_GATEKEEPER_H

#include <uv.h>

#include "agent/backend/kernel.h"
#include "agent/desired_store.h"
#include "agent/reconcile.h"
#include "agent/worker.h"

struct gatekeeper;

/* The port is guarded already. Everything is borrowed; the pool should be one that long work does not fill. NULL when
 * memory is exhausted. */
struct gatekeeper *gatekeeper_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel,
				   const struct desired_store *store, struct reconciler *reconciler, uint64_t port);

/* The desired state changed: other peers may be admitted, and the leader of this session has said what it wants. Before
 * that, and before the reconciler looked at it, a lease opens no gate that is shut. Accepts NULL. */
void gatekeeper_desired(struct gatekeeper *keeper);
/* The reconciler made a pass: what a peer waited for may be there, and what kept the gate shut may be gone. Accepts
 * NULL.
 */
void gatekeeper_passed(struct gatekeeper *keeper);

/* What the session saw; see agent/lease.h. `behind`: the leader has more to tell, so that a gate that is shut stays so,
 * and no peer is let in. All accept NULL: a node without a gate. */
void gatekeeper_opened(struct gatekeeper *keeper, uint64_t heartbeat_ms, uint64_t lease_ms);
void gatekeeper_sent(struct gatekeeper *keeper, uint64_t sequence, uint64_t now_ms);
void gatekeeper_answered(struct gatekeeper *keeper, uint64_t sequence, bool behind);

/* Close; the gate stays as it is and runs out by itself. The memory goes when the loop has closed the handle and the
 * jobs have ended. Accepts NULL. */
void gatekeeper_close(struct gatekeeper *keeper);

#endif
