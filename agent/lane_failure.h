/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes whose last attempt failed, and when each is tried again: often at first, as what it waits for is mostly an
 * export that another node is about to make, and seldom when that did not come.
 */
#ifndef DNVME_AGENT_LANE_FAILURE_H
#define DNVME_AGENT_LANE_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/owner.h"
#include "lib/base/error.h"

struct lane_failure {
	struct lane_failure *next;
	char lane[OWNER_LANE_SIZE];
	struct owner object;
	char message[ERROR_MESSAGE_SIZE + 64];
	uint64_t since_ms, delay_ms, retry_ms; /* the loop's clock */
};

/* A list, empty when zeroed. */
struct lane_failures {
	struct lane_failure *first;
};

void lane_failures_free(struct lane_failures *failures);

/* An attempt ended at `now_ms`. One that went well (`error` is empty) takes what failed before off the list. When
 * memory is exhausted the lane is tried again at once. */
void lane_failures_note(struct lane_failures *failures, const char *lane, const struct owner *object,
			const struct error *error, uint64_t now_ms);

/* How long a lane still waits; 0: it may be tried. */
uint64_t lane_failures_wait_ms(const struct lane_failures *failures, const char *lane, uint64_t now_ms);

/* Forget those of which `keep` says no. */
void lane_failures_prune(struct lane_failures *failures, bool (*keep)(void *data, const char *lane), void *data);

#endif
