/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Proposals: gathered while entries are under way, packed into the next one. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/canary.h"
#include "lib/base/limits.h"
#include "raft/entry.h"
#include "raft/internal.h"

#define NO_SPACE_PATIENCE_MS 3000
#define FLIGHTS_MAX 2 /* more packed entries under way only make each one smaller */

static void proposal_end(struct proposal *proposal, struct bytes outcome, bool unknown, const struct error *failure)
{
	proposal->callback(proposal->data, outcome, unknown, failure);
	free(proposal);
}

/* Another server can do what this one cannot any more. */
static void failure_of_member(const struct consensus *consensus, struct error *ret_failure)
{
	error_set(ret_failure, ERROR_UNAVAILABLE, "this server cannot go on: %s", consensus->failure.message);
}

static void flight_unlink(struct consensus *consensus, struct flight *flight)
{
	struct flight **at = &consensus->flights;

	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	if (consensus->flights_end == &flight->next)
		consensus->flights_end = at;
	consensus->flight_count--;
}

static void flight_free(struct flight *flight)
{
	for (size_t i = 0; flight->outcomes != NULL && i < flight->count; i++)
		buffer_free(&flight->outcomes[i]);
	free(flight->outcomes);
	free(flight);
}

static void on_flight_done(struct raft_apply *request, int status, void *result)
{
	struct flight *flight = request->data;
	struct consensus *consensus = flight->consensus;
	struct proposal *proposal = flight->proposals, *next;
	struct error failure = { 0 };

	(void)result;
	if (consensus->closing)
		status = RAFT_CANCELED;
	if (status != 0)
		error_set_raft(&failure, status, "the proposal was not confirmed", raft_errmsg(&consensus->raft));
	else if (consensus->failed)
		failure_of_member(consensus, &failure);
	flight_unlink(consensus, flight);
	consensus->queued -= flight->count;
	for (size_t i = 0; proposal != NULL; i++, proposal = next) {
		next = proposal->next;
		if (failure.code != ERROR_NONE)
			proposal_end(proposal, (struct bytes){ 0 }, !canary("leadership_lost"), &failure);
		else
			proposal_end(proposal, buffer_bytes(&flight->outcomes[i]), false, NULL);
	}
	flight_free(flight);
}

/* Fail everything that was not handed to libraft; it can be repeated elsewhere. */
void proposals_fail(struct consensus *consensus, const struct error *failure)
{
	struct proposal *proposal = consensus->queue, *next;

	consensus->queue = NULL;
	consensus->queue_end = &consensus->queue;
	for (; proposal != NULL; proposal = next) {
		next = proposal->next;
		consensus->queued--;
		proposal_end(proposal, (struct bytes){ 0 }, false, failure);
	}
}

/* Pack what fits from the front of the queue into one entry. Returns a libraft code; the queue is as before on failure.
 */
static int flight_start(struct consensus *consensus)
{
	struct proposal *last = NULL;
	struct flight *flight = calloc(1, sizeof(*flight));
	struct bytes *commands = NULL;
	struct raft_buffer buffer = { 0 };
	size_t count = 0, total = 0;
	int rv = RAFT_NOMEM;

	if (flight == NULL)
		return RAFT_NOMEM;
	for (struct proposal *proposal = consensus->queue; proposal != NULL; proposal = proposal->next) {
		if (count >= LIMIT_ENTRY_COMMANDS ||
		    (count > 0 && entry_size(count + 1, total + proposal->size) > LIMIT_ENTRY_BYTES))
			break;
		count++;
		total += proposal->size;
		last = proposal;
	}
	flight->consensus = consensus;
	flight->count = count;
	flight->outcomes = calloc(count, sizeof(*flight->outcomes));
	commands = calloc(count, sizeof(*commands));
	buffer.len = entry_size(count, total);
	buffer.base = raft_malloc(buffer.len);
	if (flight->outcomes == NULL || commands == NULL || buffer.base == NULL)
		goto out;
	count = 0;
	for (struct proposal *proposal = consensus->queue; count < flight->count; proposal = proposal->next)
		commands[count++] = (struct bytes){ proposal->command, proposal->size };
	entry_pack(commands, count, buffer.base);
	flight->request.data = flight;
	/* Linked before the call: a single server may apply the entry before it returns. */
	*consensus->flights_end = flight;
	consensus->flights_end = &flight->next;
	consensus->flight_count++;
	flight->proposals = consensus->queue;
	rv = raft_apply(&consensus->raft, &flight->request, &buffer, 1, on_flight_done);
	if (rv == RAFT_NOTLEADER || rv == RAFT_NOSPACE) {
		flight_unlink(consensus, flight);
		goto out;
	}
	if (rv != 0) {
		/* Half done: libraft may have the entry and its memory, and the log no longer matches what it thinks.
		 */
		flight_unlink(consensus, flight);
		buffer.base = NULL;
		member_fail_raft(consensus, rv, "cannot append to the Raft log");
		goto out;
	}
	consensus->queue = last->next;
	if (consensus->queue == NULL)
		consensus->queue_end = &consensus->queue;
	last->next = NULL;
	consensus->statistics.entries_proposed++;
	consensus->statistics.commands_proposed += count;
	free(commands);
	return 0;
out:
	raft_free(buffer.base);
	free(commands);
	flight_free(flight);
	return rv;
}

/* libraft refuses while most servers have less than half a segment prepared: their disks are full, or they have just
 * started. */
bool space_may_come(struct consensus *consensus)
{
	uint64_t now = uv_now(consensus->prepare.loop);

	if (consensus->no_space_since == 0)
		consensus->no_space_since = now > 0 ? now : 1;
	return now - consensus->no_space_since < NO_SPACE_PATIENCE_MS;
}

void proposals_tick(struct consensus *consensus)
{
	struct error failure;
	int rv = 0;

	/* Two times in each turn of the loop. */
	if (consensus->queue == NULL)
		return;
	error_clear(&failure);
	if (consensus->failed)
		failure_of_member(consensus, &failure);
	else if (raft_state(&consensus->raft) != RAFT_LEADER)
		error_set_raft(&failure, RAFT_NOTLEADER, "cannot propose", "");
	while (failure.code == ERROR_NONE && consensus->queue != NULL && consensus->flight_count < FLIGHTS_MAX &&
	       !consensus->transferring) {
		rv = flight_start(consensus);
		if (rv == RAFT_NOSPACE && space_may_come(consensus))
			return;
		if (rv == 0)
			consensus->no_space_since = 0;
		else if (consensus->failed)
			failure_of_member(consensus, &failure);
		else if (rv == RAFT_NOSPACE)
			error_set_room(&failure, "cannot propose");
		else
			error_set_raft(&failure, rv, "cannot propose", raft_errmsg(&consensus->raft));
	}
	if (failure.code != ERROR_NONE)
		proposals_fail(consensus, &failure);
}

int consensus_propose(struct consensus *consensus, struct bytes command, consensus_propose_callback callback,
		      void *data, struct error *error)
{
	struct proposal *proposal;

	if (consensus->closing || consensus->failed || !consensus_is_leader(consensus))
		return error_set_raft(error, RAFT_NOTLEADER, "cannot propose", "");
	if (command.size > LIMIT_COMMAND_BYTES)
		return error_set(error, ERROR_TOO_LARGE, "a command of %zu bytes exceeds the limit of %u", command.size,
				 LIMIT_COMMAND_BYTES);
	if (consensus->queued >= LIMIT_PROPOSALS) {
		error_set(error, ERROR_NO_CAPACITY, "%u proposals wait already", LIMIT_PROPOSALS);
		return error_hint(error, "send fewer requests at a time");
	}
	proposal = malloc(sizeof(*proposal) + command.size);
	if (proposal == NULL)
		return error_set_nomem(error);
	*proposal = (struct proposal){ .callback = callback, .data = data, .size = command.size };
	if (command.size > 0)
		memcpy(proposal->command, command.data, command.size);
	*consensus->queue_end = proposal;
	consensus->queue_end = &proposal->next;
	consensus->queued++;
	return 0;
}
