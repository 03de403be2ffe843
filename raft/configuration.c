/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of who belongs to the group, one server at a time.
 *
 *   WAITING ──► CONFIRMING ──► SENT ──► told
 *
 * CONFIRMING is a barrier: a leader that has committed nothing in its own term may not know that an earlier change was
 * committed, and two changes that overlap can make two majorities. libraft 0.22.1 does not ask for that.
 */
#include <stdlib.h>
#include <string.h>

#include "raft/internal.h"

static const char what[] = "cannot change the group";

static void change_end(struct consensus *consensus, const struct error *failure)
{
	struct change_wait change = consensus->change;

	consensus->change = (struct change_wait){ 0 };
	change.callback(change.data, failure);
}

static void on_change_done(struct raft_change *request, int status)
{
	struct consensus *consensus = request->data;
	uint64_t id = consensus->change.id;
	struct error failure = { 0 };

	if (consensus->closing)
		status = RAFT_CANCELED;
	if (status == RAFT_NOCONNECTION)
		error_set(&failure, ERROR_UNAVAILABLE, "server %llu did not catch up in time", (unsigned long long)id);
	else if (status != 0)
		error_set_raft(&failure, status, what, raft_errmsg(&consensus->raft));
	change_end(consensus, failure.code != ERROR_NONE ? &failure : NULL);
}

static void on_confirmed(void *data, const struct error *failure)
{
	struct consensus *consensus = data;

	if (failure != NULL)
		change_end(consensus, failure);
	else
		consensus->change.confirmed = true;
}

static int role_of(enum consensus_role role)
{
	switch (role) {
	case CONSENSUS_VOTER:
		return RAFT_VOTER;
	case CONSENSUS_STANDBY:
		return RAFT_STANDBY;
	case CONSENSUS_SPARE:
		break;
	}
	return RAFT_SPARE;
}

static int change_send(struct consensus *consensus)
{
	struct change_wait *change = &consensus->change;
	struct raft *raft = &consensus->raft;

	consensus->change_request.data = consensus;
	switch (change->kind) {
	case CHANGE_ADD:
		return raft_add(raft, &consensus->change_request, change->id, change->address, on_change_done);
	case CHANGE_ASSIGN:
		return raft_assign(raft, &consensus->change_request, change->id, role_of(change->role), on_change_done);
	case CHANGE_REMOVE:
		return raft_remove(raft, &consensus->change_request, change->id, on_change_done);
	case CHANGE_NONE:
		break;
	}
	return RAFT_INVALID;
}

static void change_go_on(struct consensus *consensus)
{
	struct change_wait *change = &consensus->change;
	struct error failure = { 0 };
	int rv;

	if (!change->confirming) {
		change->confirming = true;
		if (consensus_barrier(consensus, on_confirmed, consensus, &failure) != 0)
			change_end(consensus, &failure);
		return;
	}
	if (!change->confirmed)
		return;
	change->sent = true;
	rv = raft_state(&consensus->raft) == RAFT_LEADER ? change_send(consensus) : RAFT_NOTLEADER;
	if (rv == 0)
		return;
	/* libraft remembers a request to assign a role before it refuses it. */
	if (consensus->raft.legacy.change == &consensus->change_request)
		consensus->raft.legacy.change = NULL;
	if (rv == RAFT_CANTCHANGE)
		error_set(&failure, ERROR_FAILED_PRECONDITION, "%s: an earlier change is not committed yet", what);
	else if (rv == RAFT_NOSPACE)
		error_set_room(&failure, what);
	else
		error_set_raft(&failure, rv, what, raft_errmsg(&consensus->raft));
	/* The configuration in memory may be ahead of the log then. */
	if (rv == RAFT_NOMEM)
		member_fail_raft(consensus, rv, what);
	change_end(consensus, &failure);
}

/* In each turn of the loop, mostly with nothing to do. */
void configuration_tick(struct consensus *consensus)
{
	const struct change_wait *change = &consensus->change;

	if (change->kind != CHANGE_NONE && !change->sent && !consensus->transferring)
		change_go_on(consensus);
}

void configuration_fail(struct consensus *consensus, const struct error *failure)
{
	const struct change_wait *change = &consensus->change;

	/* The barrier that it waits for fails by itself, and so does what libraft was asked for. */
	if (change->kind != CHANGE_NONE && !change->sent && change->confirming == change->confirmed)
		change_end(consensus, failure);
}

static const struct raft_server *server_of(const struct consensus *consensus, uint64_t id)
{
	const struct raft_configuration *configuration = &consensus->raft.configuration;

	for (unsigned i = 0; i < configuration->n; i++) {
		if (configuration->servers[i].id == id)
			return &configuration->servers[i];
	}
	return NULL;
}

static unsigned voters_of(const struct consensus *consensus)
{
	const struct raft_configuration *configuration = &consensus->raft.configuration;
	unsigned count = 0;

	for (unsigned i = 0; i < configuration->n; i++)
		count += configuration->servers[i].role == RAFT_VOTER;
	return count;
}

static int change_begin(struct consensus *consensus, const struct change_wait *change, struct error *error)
{
	if (consensus->closing || consensus->failed || !consensus_is_leader(consensus))
		return error_set_raft(error, RAFT_NOTLEADER, what, "");
	if (consensus_is_changing(consensus))
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s: it is being changed already", what);
	if (change->kind == CHANGE_ADD && server_of(consensus, change->id) != NULL)
		return error_set(error, ERROR_ALREADY_EXISTS, "%s: server %llu belongs to it already", what,
				 (unsigned long long)change->id);
	if (change->kind != CHANGE_ADD && server_of(consensus, change->id) == NULL)
		return error_set(error, ERROR_NOT_FOUND, "%s: server %llu does not belong to it", what,
				 (unsigned long long)change->id);
	consensus->change = *change;
	return 0;
}

int consensus_add(struct consensus *consensus, uint64_t id, const char *address, consensus_barrier_callback callback,
		  void *data, struct error *error)
{
	struct change_wait change = { .kind = CHANGE_ADD, .callback = callback, .data = data, .id = id };
	const struct raft_configuration *configuration = &consensus->raft.configuration;

	if (strlen(address) >= sizeof(change.address))
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: the address %s is too long", what, address);
	for (unsigned i = 0; i < configuration->n; i++) {
		if (strcmp(configuration->servers[i].address, address) == 0)
			return error_set(error, ERROR_ALREADY_EXISTS, "%s: %s is the address of server %llu", what,
					 address, configuration->servers[i].id);
	}
	strcpy(change.address, address);
	return change_begin(consensus, &change, error);
}

/* The leader keeps its vote: it would step down in the middle, with nobody told whom to follow. */
static int vote_taken_check(const struct consensus *consensus, uint64_t id, struct error *error)
{
	const struct raft_server *server = server_of(consensus, id);

	if (id == consensus->raft.id) {
		error_set(error, ERROR_FAILED_PRECONDITION, "%s: server %llu leads it", what, (unsigned long long)id);
		return error_hint(error, "transfer leadership first");
	}
	if (server != NULL && server->role == RAFT_VOTER && voters_of(consensus) == 1)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s: server %llu is the only one that votes", what,
				 (unsigned long long)id);
	return 0;
}

int consensus_assign(struct consensus *consensus, uint64_t id, enum consensus_role role,
		     consensus_barrier_callback callback, void *data, struct error *error)
{
	const struct change_wait change = {
		.kind = CHANGE_ASSIGN, .callback = callback, .data = data, .id = id, .role = role
	};
	const struct raft_server *server = server_of(consensus, id);

	if (server != NULL && server->role == role_of(role))
		return error_set(error, ERROR_ALREADY_EXISTS, "%s: server %llu has this role already", what,
				 (unsigned long long)id);
	if (role != CONSENSUS_VOTER && vote_taken_check(consensus, id, error) != 0)
		return error != NULL ? (int)error->code : ERROR_FAILED_PRECONDITION;
	return change_begin(consensus, &change, error);
}

int consensus_remove(struct consensus *consensus, uint64_t id, consensus_barrier_callback callback, void *data,
		     struct error *error)
{
	const struct change_wait change = { .kind = CHANGE_REMOVE, .callback = callback, .data = data, .id = id };

	if (vote_taken_check(consensus, id, error) != 0)
		return error != NULL ? (int)error->code : ERROR_FAILED_PRECONDITION;
	return change_begin(consensus, &change, error);
}

bool consensus_is_changing(const struct consensus *consensus)
{
	return consensus->change.kind != CHANGE_NONE || consensus->raft.configuration_uncommitted_index != 0;
}

size_t consensus_members(const struct consensus *consensus, struct consensus_member *ret_members, size_t max)
{
	const struct raft_configuration *configuration = &consensus->raft.configuration;
	size_t count = configuration->n < max ? configuration->n : max;

	for (size_t i = 0; i < count; i++) {
		const struct raft_server *server = &configuration->servers[i];
		raft_index match = 0;

		if (raft_match_index(&consensus->raft, server->id, &match) != 0)
			match = 0;
		ret_members[i] = (struct consensus_member){
			.id = server->id,
			.address = server->address,
			.role = server->role == RAFT_VOTER     ? CONSENSUS_VOTER
				: server->role == RAFT_STANDBY ? CONSENSUS_STANDBY
							       : CONSENSUS_SPARE,
			.match_index = match,
		};
	}
	return count;
}

uint64_t consensus_last_index(const struct consensus *consensus)
{
	return raft_last_index((struct raft *)&consensus->raft);
}
