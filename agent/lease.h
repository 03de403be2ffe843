/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long this node may serve: values and boot-clock times in, what to do out. It does nothing itself.
 *
 * Two reasons keep the gate open:
 *
 *   a lease   the leader answered a heartbeat: until lease_ms after the heartbeat was sent
 *   a check   every member that the last desired state calls in-sync was there: until LEASE_CHECK_TAIL_MS after the
 *             check began. Looked at every LIMIT_LEASE_CHECK_MS from two heartbeats before the end of the lease on.
 *
 * The kernel knows whether the gate ran out since it was opened, and refreshes none that did.
 * A lease opens a gate that was shut only when nothing is exported that should not be, by a desired state of the
 * session: while it was shut, slots may have moved, and what this node exports of them is out of date.
 *
 * The bound. A fence at the moment F drops the connection, which the kernel shows at once; or, if the network swallows
 * packets by then, nothing is heard after F. So a check that begins KERNEL_PATH_SILENCE_MS after F, or later, sees it,
 * and the gate is shut at the latest at
 *
 *   max(end of the lease, F + KERNEL_PATH_SILENCE_MS + LEASE_CHECK_TAIL_MS)  <=  F + lease_ms + LIMIT_LEASE_CHECK_MS
 *
 * when no heartbeat that was sent after F is answered, and lease_ms is LIMIT_LEASE_MS or longer.
 *
 * Kernel timers do not run while the machine sleeps, and the boot clock does: what a late awakening left open is shut
 * at the first step after it.
 */
#ifndef DNVME_AGENT_LEASE_H
#define DNVME_AGENT_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/backend/kernel.h"
#include "lib/base/limits.h"

/* Two checks in a row may fail, or a check be late by almost three intervals: a blink of a path shuts nothing. */
#define LEASE_CHECK_TAIL_MS (4 * LIMIT_LEASE_CHECK_MS)
#define LEASE_EARLY_HEARTBEATS 2
#define LEASE_SENT_MAX 64 /* heartbeats whose answer may be outstanding */

_Static_assert(KERNEL_PATH_SILENCE_MS + LEASE_CHECK_TAIL_MS <= LIMIT_LEASE_MS + LIMIT_LEASE_CHECK_MS,
	       "the bound above");
_Static_assert(LEASE_CHECK_TAIL_MS > 2 * LIMIT_LEASE_CHECK_MS, "a check may be late");

struct lease_heartbeat {
	uint64_t sequence; /* 0: none */
	uint64_t sent_ms;
	uint64_t lease_ms; /* as the leader said that it was sent to */
};

struct lease {
	uint64_t heartbeat_ms, lease_ms;
	struct lease_heartbeat sent[LEASE_SENT_MAX];
	uint64_t lease_until_ms, check_until_ms; /* 0: never */
	uint64_t gate_until_ms;			 /* as it was asked for last; 0: shut, or not touched yet */
	uint64_t check_began_ms;
	bool checking, has_checked;
	bool exposed; /* a gate that is shut must stay so */
};

/* Two may be asked for at once. */
struct lease_step {
	bool refresh; /* until `until_ms` */
	bool open;    /* though it had run out */
	bool shut;
	bool check; /* lease_checked() tells the outcome */
	uint64_t until_ms;
	uint64_t next_ms; /* when to step again at the latest */
};

/* A process begins: it knows of no lease, and leaves alone what the gate still has. */
void lease_init(struct lease *lease);

/* A session was opened. One that ends is no event: a lease outlives it. */
void lease_opened(struct lease *lease, uint64_t heartbeat_ms, uint64_t lease_ms);

/* A heartbeat is about to be sent. Sequences only rise, from 1. */
void lease_sent(struct lease *lease, uint64_t sequence, uint64_t now_ms);

/* The leader answered it. An answer to a heartbeat that was never sent, or long ago, counts for nothing. */
void lease_answered(struct lease *lease, uint64_t sequence);

/* A check that a step asked for ended. */
void lease_checked(struct lease *lease, bool all_there);

/* Whether something is exported that should not be, or nobody knows. It is at first. */
void lease_exposed(struct lease *lease, bool exposed);

/* The gate could not be refreshed or shut: it is asked for again. */
void lease_gate_failed(struct lease *lease);

bool lease_is_valid(const struct lease *lease, uint64_t now_ms);

/* Whether the gate is open by what was asked for last. */
bool lease_is_open(const struct lease *lease, uint64_t now_ms);

/* What to do now. What is asked for counts as done, unless lease_gate_failed() says otherwise. */
struct lease_step lease_step(struct lease *lease, uint64_t now_ms);

#endif
