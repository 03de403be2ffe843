/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What arrives from other servers, before libraft 0.22.1 sees it.
 *
 * A follower of libraft takes a change of the group for uncommitted at the index of the first new entry of its message,
 * not at its own. So it never learns that the change was committed: its next snapshot has the old group, it may undo
 * another entry's change when its log is cut, and as a leader it refuses every change for ever. And it knows one
 * uncommitted change only: of two that arrive one after the other, the first is never committed either. Here
 *
 *   - a message is cut in pieces, so that a change is always the first entry of its own, and
 *   - an earlier change is noted as committed before another one is handed over: a leader begins one only when it knows
 *     that the one before was committed, so a log that has both proves it. (libraft itself concludes so at a start.)
 */
#include <string.h>

#include "raft/internal.h"

#define PIECE_ALIGNMENT 8u

static void message_drop(struct raft_append_entries *append)
{
	if (append->n_entries == 0)
		return;
	raft_free(append->entries[0].batch);
	raft_free(append->entries);
}

/* The entries [from, end) of a message as a message with memory of its own. */
static int piece_make(const struct raft_message *message, unsigned from, unsigned end, struct raft_message *ret_piece)
{
	const struct raft_append_entries *append = &message->append_entries;
	struct raft_entry *entries = NULL;
	size_t size = 0;
	uint8_t *batch;
	void *all;

	*ret_piece = *message;
	ret_piece->append_entries.prev_log_index = append->prev_log_index + from;
	if (from > 0)
		ret_piece->append_entries.prev_log_term = append->entries[from - 1].term;
	ret_piece->append_entries.n_entries = end - from;
	ret_piece->append_entries.entries = NULL;
	if (from == end)
		return 0;
	for (unsigned i = from; i < end; i++)
		size += (append->entries[i].buf.len + PIECE_ALIGNMENT - 1) / PIECE_ALIGNMENT * PIECE_ALIGNMENT;
	entries = raft_malloc((end - from) * sizeof(*entries));
	batch = raft_malloc(size > 0 ? size : PIECE_ALIGNMENT);
	if (entries == NULL || batch == NULL) {
		raft_free(entries);
		raft_free(batch);
		return RAFT_NOMEM;
	}
	ret_piece->append_entries.entries = entries;
	all = batch;
	for (unsigned i = from; i < end; i++) {
		const struct raft_entry *entry = &append->entries[i];

		entries[i - from] = *entry;
		entries[i - from].batch = all;
		entries[i - from].buf.base = batch;
		if (entry->buf.len > 0)
			memcpy(batch, entry->buf.base, entry->buf.len);
		batch += (entry->buf.len + PIECE_ALIGNMENT - 1) / PIECE_ALIGNMENT * PIECE_ALIGNMENT;
	}
	return 0;
}

/* Returns whether what follows it in its message may be handed over, too. */
static bool piece_deliver(struct consensus *consensus, const struct raft_message *message, unsigned from, unsigned end)
{
	struct raft_message piece;

	if (piece_make(message, from, end, &piece) != 0)
		return false; /* as if it had been lost on its way */
	consensus->append_rejected = false;
	consensus->uv_recv(&consensus->io, &piece);
	/* A refusal of an old leader's first entries does not look like one. */
	return !consensus->append_rejected && consensus->raft.current_term == message->append_entries.term &&
	       !consensus->closing && !consensus->failed && !consensus->raft.snapshot.installing &&
	       raft_state(&consensus->raft) == RAFT_FOLLOWER;
}

/* The log is the leader's up to `index`, where another change stands. */
static bool change_is_next(struct consensus *consensus, raft_index index)
{
	struct raft *raft = &consensus->raft;
	struct raft_configuration copy;
	int rv = 0;

	if (raft->configuration_uncommitted_index == 0 || raft->configuration_uncommitted_index >= index)
		return true;
	raft_configuration_init(&copy);
	for (unsigned i = 0; rv == 0 && i < raft->configuration.n; i++) {
		const struct raft_server *server = &raft->configuration.servers[i];

		rv = raft_configuration_add(&copy, server->id, server->address, server->role);
	}
	if (rv != 0) {
		raft_configuration_close(&copy);
		return false;
	}
	raft_configuration_close(&raft->configuration_committed);
	raft->configuration_committed = copy;
	raft->configuration_committed_index = raft->configuration_uncommitted_index;
	raft->configuration_uncommitted_index = 0;
	return true;
}

static bool has_change(const struct raft_append_entries *append)
{
	for (unsigned i = 0; i < append->n_entries; i++) {
		if (append->entries[i].type == RAFT_CHANGE)
			return true;
	}
	return false;
}

void receive_append(struct consensus *consensus, struct raft_message *message)
{
	struct raft_append_entries *append = &message->append_entries;
	unsigned from = 0;
	bool more = true;

	if (!has_change(append)) {
		consensus->uv_recv(&consensus->io, message);
		return;
	}
	for (unsigned i = 0; more && i < append->n_entries; i++) {
		if (append->entries[i].type != RAFT_CHANGE)
			continue;
		/* Even without entries: it says whether the logs are the same up to here, and what is committed. */
		more = piece_deliver(consensus, message, from, i) &&
		       change_is_next(consensus, append->prev_log_index + i + 1);
		from = i;
	}
	if (more)
		piece_deliver(consensus, message, from, append->n_entries);
	message_drop(append);
}

static raft_term term_of(const struct raft_message *message)
{
	switch (message->type) {
	case RAFT_REQUEST_VOTE:
		return message->request_vote.term;
	case RAFT_REQUEST_VOTE_RESULT:
		return message->request_vote_result.term;
	case RAFT_APPEND_ENTRIES:
		return message->append_entries.term;
	case RAFT_APPEND_ENTRIES_RESULT:
		return message->append_entries_result.term;
	case RAFT_INSTALL_SNAPSHOT:
		return message->install_snapshot.term;
	case RAFT_TIMEOUT_NOW:
		return message->timeout_now.term;
	default:
		return UINT64_MAX;
	}
}

bool receive_is_stray(const struct consensus *consensus, struct raft_message *message)
{
	raft_term term = term_of(message);

	/* Not even a refusal: it would tell the term, and a leader of the next one would have this log cut. */
	if (consensus->raft.current_term < CONSENSUS_TERM_STEP / 2 ||
	    term >= consensus->raft.current_term - CONSENSUS_TERM_STEP / 2)
		return false;
	if (message->type == RAFT_APPEND_ENTRIES)
		message_drop(&message->append_entries);
	if (message->type == RAFT_INSTALL_SNAPSHOT) {
		raft_configuration_close(&message->install_snapshot.conf);
		raft_free(message->install_snapshot.data.base);
	}
	return true;
}
