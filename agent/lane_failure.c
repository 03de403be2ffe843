/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lane_failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 250
#define RETRY_STEADY_MS 3000 /* for so long no wait is longer than the first */
#define RETRY_MAX_MS 5000

static struct lane_failure *find(const struct lane_failures *failures, const char *lane)
{
	struct lane_failure *failure = failures->first;

	while (failure != NULL && strcmp(failure->lane, lane) != 0)
		failure = failure->next;
	return failure;
}

static void take_off(struct lane_failures *failures, struct lane_failure *failure)
{
	struct lane_failure **at = &failures->first;

	while (*at != failure)
		at = &(*at)->next;
	*at = failure->next;
	free(failure);
}

void lane_failures_free(struct lane_failures *failures)
{
	while (failures->first != NULL)
		take_off(failures, failures->first);
}

void lane_failures_note(struct lane_failures *failures, const char *lane, const struct owner *object,
			const struct error *error, uint64_t now_ms)
{
	struct lane_failure *failure = find(failures, lane);

	if (error->code == ERROR_NONE) {
		if (failure != NULL)
			take_off(failures, failure);
		return;
	}
	if (failure == NULL) {
		failure = calloc(1, sizeof(*failure));
		if (failure == NULL)
			return;
		failure->next = failures->first;
		failures->first = failure;
		failure->since_ms = now_ms;
		failure->delay_ms = RETRY_FIRST_MS;
		snprintf(failure->lane, sizeof(failure->lane), "%s", lane);
	}
	failure->object = *object;
	if (now_ms - failure->since_ms > RETRY_STEADY_MS)
		failure->delay_ms = failure->delay_ms * 2 < RETRY_MAX_MS ? failure->delay_ms * 2 : RETRY_MAX_MS;
	failure->retry_ms = now_ms + failure->delay_ms;
	snprintf(failure->message, sizeof(failure->message), "%s", error->message);
}

uint64_t lane_failures_wait_ms(const struct lane_failures *failures, const char *lane, uint64_t now_ms)
{
	const struct lane_failure *failure = find(failures, lane);

	return failure != NULL && failure->retry_ms > now_ms ? failure->retry_ms - now_ms : 0;
}

void lane_failures_prune(struct lane_failures *failures, bool (*keep)(void *data, const char *lane), void *data)
{
	struct lane_failure *next;

	for (struct lane_failure *failure = failures->first; failure != NULL; failure = next) {
		next = failure->next;
		if (!keep(data, failure->lane))
			take_off(failures, failure);
	}
}
