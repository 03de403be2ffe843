/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * observe → plan → execute, in waves, until the plan is empty.
 *
 *            desired changed, a lane ended, a path changed, time to retry, or every few seconds
 *                 │
 *   IDLE ──► OBSERVING (on a thread) ──► plan (pure) ──► lanes run on threads ──► IDLE
 *
 * Nothing is changed before a complete desired state is there. Everything here is on the loop's thread.
 */
#ifndef DNVME_AGENT_RECONCILE_H
#define DNVME_AGENT_RECONCILE_H

#include <uv.h>

#include "agent/backend/kernel.h"
#include "agent/desired_store.h"
#include "agent/worker.h"

struct reconciler;

struct reconciler_events {
	/* A pass ended: statuses and observation are new. */
	void (*passed)(void *data);
	void *data;
};

/* NULL when memory is exhausted. Kernel, store and pool are borrowed. Begins with an observation. */
struct reconciler *reconciler_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel,
				   struct desired_store *store, const struct reconciler_events *events);

/* Close the timer; the memory goes when the loop has closed it and no job runs. Accepts NULL. */
void reconciler_close(struct reconciler *reconciler);

/* The desired state changed. */
void reconciler_kick(struct reconciler *reconciler);
/* What the gate says of consumers: the leader is told. */
void reconciler_joined(struct reconciler *reconciler, const struct kernel_peer_list *peers);
/* The connections that hosts have; takes the list. */
void reconciler_hosts(struct reconciler *reconciler, struct peer_visit *visits, size_t count);

/* Of the last pass; borrowed until the next. NULL observation: there was none yet. */
const struct object_status_list *reconciler_statuses(const struct reconciler *reconciler);
const struct volume_health_list *reconciler_health(const struct reconciler *reconciler);
const struct observed *reconciler_observed(const struct reconciler *reconciler);

/* Whether the last plan for the present desired state was empty and nothing is under way. */
bool reconciler_is_converged(const struct reconciler *reconciler);

/* Why a gate that is shut must stay so: an export is within reach that should not be, by the present desired state, or
 * nobody looked since it came. NULL: there is no reason. Borrowed until the next pass. */
const char *reconciler_exposed(const struct reconciler *reconciler);

/* The gate was shut while legs of other slots were imported, and cannot be opened; or it is open again. The leader is
 * told with the health of each volume of which some are. */
void reconciler_lapsed(struct reconciler *reconciler, bool lapsed);

/* What the last plan said, for people; "" before the first. Borrowed until it is asked for again. */
const char *reconciler_plan_text(struct reconciler *reconciler);

/* The error of the last observation; code 0 when it went well. */
const struct error *reconciler_failure(const struct reconciler *reconciler);

#endif
