/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lease.h"

#include <assert.h>
#include <string.h>

#include "lib/base/canary.h"

void lease_init(struct lease *lease)
{
	memset(lease, 0, sizeof(*lease));
	lease->heartbeat_ms = LIMIT_HEARTBEAT_MS;
	lease->lease_ms = LIMIT_LEASE_MS;
	lease->exposed = true;
}

void lease_opened(struct lease *lease, uint64_t heartbeat_ms, uint64_t lease_ms)
{
	lease->heartbeat_ms = heartbeat_ms;
	lease->lease_ms = lease_ms;
}

void lease_sent(struct lease *lease, uint64_t sequence, uint64_t now_ms)
{
	assert(sequence > 0);
	lease->sent[sequence % LEASE_SENT_MAX] =
		(struct lease_heartbeat){ .sequence = sequence, .sent_ms = now_ms, .lease_ms = lease->lease_ms };
}

void lease_answered(struct lease *lease, uint64_t sequence)
{
	const struct lease_heartbeat *heartbeat = &lease->sent[sequence % LEASE_SENT_MAX];
	uint64_t until_ms = heartbeat->sent_ms + heartbeat->lease_ms;

	if (sequence == 0 || heartbeat->sequence != sequence)
		return;
	/* Answers may come late and out of order: none makes a lease shorter, and one that is over renews nothing. */
	if (until_ms > lease->lease_until_ms)
		lease->lease_until_ms = until_ms;
}

void lease_checked(struct lease *lease, bool all_there)
{
	assert(lease->checking);
	lease->checking = false;
	if (all_there)
		lease->check_until_ms = lease->check_began_ms + LEASE_CHECK_TAIL_MS;
}

void lease_exposed(struct lease *lease, bool exposed)
{
	lease->exposed = exposed;
}

void lease_gate_failed(struct lease *lease)
{
	lease->gate_until_ms = 0;
}

bool lease_is_valid(const struct lease *lease, uint64_t now_ms)
{
	return lease->lease_until_ms > now_ms;
}

bool lease_is_open(const struct lease *lease, uint64_t now_ms)
{
	return lease->gate_until_ms > now_ms;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct lease_step lease_step(struct lease *lease, uint64_t now_ms)
{
	struct lease_step step = { .next_ms = now_ms + LIMIT_LEASE_CHECK_MS };
	uint64_t early_ms = LEASE_EARLY_HEARTBEATS * lease->heartbeat_ms, until_ms;

	until_ms = lease->check_until_ms;
	if (lease->lease_until_ms > until_ms && (!lease->exposed || lease_is_open(lease, now_ms)))
		until_ms = lease->lease_until_ms;
	if (canary("lease_endless"))
		until_ms += 3600000;
	if (until_ms > now_ms) {
		if (until_ms > lease->gate_until_ms) {
			step.refresh = true;
			step.open = !lease->exposed || lease->check_until_ms > now_ms;
			step.until_ms = lease->gate_until_ms = until_ms;
		}
		step.next_ms = min(step.next_ms, until_ms);
	} else if (lease->gate_until_ms != 0) {
		/* It has run out by itself, unless the machine slept. */
		step.shut = true;
		lease->gate_until_ms = 0;
	}
	if (lease->lease_until_ms > now_ms + early_ms) {
		step.next_ms = min(step.next_ms, lease->lease_until_ms - early_ms);
	} else if (!lease->checking) {
		if (!lease->has_checked || now_ms - lease->check_began_ms >= LIMIT_LEASE_CHECK_MS) {
			step.check = lease->checking = lease->has_checked = true;
			lease->check_began_ms = now_ms;
		} else {
			step.next_ms = min(step.next_ms, lease->check_began_ms + LIMIT_LEASE_CHECK_MS);
		}
	}
	return step;
}
