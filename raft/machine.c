/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between libraft's state machine and the program's. libraft must never see an error from apply (it would stall or
 * retry): a machine that cannot go on stops here, and the program ends.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "raft/entry.h"
#include "raft/internal.h"

/* A snapshot: size of the dump, Raft index, the dump, padding to a multiple of 8. */
#define SNAPSHOT_HEADER_BYTES 16u
#define SNAPSHOT_MAX_BYTES (INT32_MAX - 4096) /* libraft's bound on a buffer */
#define SNAPSHOT_RETRY_MS 5000

static void put_u64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static uint64_t get_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static struct flight *find_flight(struct consensus *consensus, raft_index index)
{
	/* What a deposed leader still has in flight at this index is not this entry. */
	if (raft_state(&consensus->raft) != RAFT_LEADER)
		return NULL;
	for (struct flight *flight = consensus->flights; flight != NULL; flight = flight->next) {
		if (flight->request.index == index)
			return flight;
	}
	return NULL;
}

static int on_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	struct consensus *consensus = fsm->data;
	raft_index index = raft_last_applied(&consensus->raft) + 1;
	struct bytes entry = { .data = buffer->base, .size = buffer->len }, *commands = NULL;
	struct flight *flight = find_flight(consensus, index);
	struct error error = { 0 };
	size_t count;
	int rv;

	*result = NULL;
	if (consensus->failed || consensus->closing ||
	    index <= consensus->machine.applied_index(consensus->machine.data))
		return 0;
	rv = entry_unpack(entry, &commands, &count, &error);
	if (rv == 0 && flight != NULL && flight->count != count)
		rv = error_set(&error, ERROR_INTERNAL, "the entry at %llu is not the one that was proposed", index);
	if (rv == 0)
		rv = consensus->machine.apply(consensus->machine.data, index, commands, count,
					      flight != NULL ? flight->outcomes : NULL, &error);
	free(commands);
	if (rv != 0) {
		error_prefix(&error, "cannot apply the Raft entry %llu", index);
		member_fail(consensus, &error);
	}
	return 0;
}

int snapshot_encode(uint64_t index, struct bytes dump, struct raft_buffer *ret_buffer, struct error *error)
{
	struct raft_buffer buffer = { .len = SNAPSHOT_HEADER_BYTES + (dump.size + 7) / 8 * 8 };

	if (dump.size > SNAPSHOT_MAX_BYTES)
		return error_set(error, ERROR_TOO_LARGE, "the state is too large for a Raft snapshot: %zu bytes",
				 dump.size);
	buffer.base = raft_malloc(buffer.len);
	if (buffer.base == NULL)
		return error_set_nomem(error);
	memset((uint8_t *)buffer.base + buffer.len - 8, 0, 8);
	put_u64(buffer.base, dump.size);
	put_u64((uint8_t *)buffer.base + 8, index);
	memcpy((uint8_t *)buffer.base + SNAPSHOT_HEADER_BYTES, dump.data, dump.size);
	*ret_buffer = buffer;
	return 0;
}

static int on_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *buffer_count)
{
	struct consensus *consensus = fsm->data;
	struct consensus_machine *machine = &consensus->machine;
	raft_index index = raft_last_applied(&consensus->raft);
	struct buffer dump = BUFFER_INIT;
	struct raft_buffer *list = NULL;
	struct error error = { 0 };
	int rv = RAFT_IOERR;

	if (consensus->failed || consensus->closing || uv_now(consensus->prepare.loop) < consensus->snapshot_not_before)
		return RAFT_IOERR;
	/* libraft has applied a change of the group, but not noted it: the snapshot would have the group before. */
	if (consensus->raft.configuration_uncommitted_index != 0 &&
	    consensus->raft.configuration_uncommitted_index <= index)
		return RAFT_IOERR;
	/* Barriers at the end of the log never reached the machine. */
	if (machine->applied_index(machine->data) < index && machine->skip(machine->data, index, &error) != 0) {
		member_fail(consensus, &error);
		return RAFT_IOERR;
	}
	/* libraft asks again with every event. */
	consensus->snapshot_not_before = uv_now(consensus->prepare.loop) + SNAPSHOT_RETRY_MS;
	if (machine->dump(machine->data, &dump, &error) != 0) {
		log_failure(LOG_LEVEL_WARNING, "cannot take a Raft snapshot", &error);
		goto out;
	}
	list = raft_malloc(sizeof(*list));
	if (list == NULL)
		goto out;
	if (snapshot_encode(index, buffer_bytes(&dump), list, &error) != 0) {
		log_failure(LOG_LEVEL_WARNING, "cannot take a Raft snapshot", &error);
		goto out;
	}
	*buffers = list;
	*buffer_count = 1;
	list = NULL;
	consensus->snapshot_open = true;
	consensus->snapshot_not_before = 0;
	consensus->statistics.snapshots_taken++;
	consensus->statistics.snapshot_index = index;
	rv = 0;
out:
	raft_free(list);
	buffer_free(&dump);
	return rv;
}

static int on_snapshot_finalize(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *buffer_count)
{
	struct consensus *consensus = fsm->data;

	if (*buffers != NULL) {
		for (unsigned i = 0; i < *buffer_count; i++)
			raft_free((*buffers)[i].base);
		raft_free(*buffers);
	}
	*buffers = NULL;
	*buffer_count = 0;
	consensus->snapshot_open = false;
	return 0;
}

static int on_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	struct consensus *consensus = fsm->data;
	const uint8_t *data = buffer->base;
	uint64_t before = consensus->machine.applied_index(consensus->machine.data), size = 0, index = 0;
	struct error error = { 0 };
	int rv;

	if (buffer->len >= SNAPSHOT_HEADER_BYTES) {
		size = get_u64(data);
		index = get_u64(data + 8);
	}
	if (index == 0 || size > buffer->len - SNAPSHOT_HEADER_BYTES)
		rv = error_set(&error, ERROR_FAILED_PRECONDITION, "the snapshot is cut short");
	else
		rv = consensus->machine.load(consensus->machine.data, index,
					     (struct bytes){ data + SNAPSHOT_HEADER_BYTES, size }, &error);
	if (rv != 0) {
		error_prefix(&error, "cannot load a Raft snapshot");
		member_fail(consensus, &error);
		if (!consensus->started)
			return RAFT_CORRUPT; /* raft_start() frees the buffer and fails */
		raft_free(buffer->base);
		return 0;
	}
	if (consensus->started && index > before)
		consensus->statistics.snapshots_installed++;
	consensus->statistics.snapshot_index = index;
	raft_free(buffer->base);
	return 0;
}

void machine_init(struct consensus *consensus)
{
	consensus->fsm = (struct raft_fsm){
		.version = 2,
		.data = consensus,
		.apply = on_apply,
		.snapshot = on_snapshot,
		.restore = on_restore,
		.snapshot_finalize = on_snapshot_finalize,
	};
}
