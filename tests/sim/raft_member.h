/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of what stands in for libraft's raft_uv_*. */
#ifndef DNVME_TESTS_SIM_RAFT_MEMBER_H
#define DNVME_TESTS_SIM_RAFT_MEMBER_H

#include <limits.h>
#include <raft.h>
#include <raft/uv.h>

#include "tests/sim/loop.h"

struct entry {
	raft_term term;
	enum raft_entry_type type;
	size_t size;
	uint8_t *bytes;
};

/* What the machine keeps. */
struct disk {
	raft_term term;
	raft_id vote;
	raft_index start; /* of the first entry */
	struct entry *entries;
	size_t count, size;
	bool has_snapshot;
	struct raft_snapshot snapshot;
};

struct append {
	struct append *next;
	struct member *member;
	struct raft_io_append *request;
	raft_io_append_cb callback;
	raft_index last;
	bool written; /* by a truncation that came after it */
	bool due;     /* its time is over; it waits for those before it, or for room */
	unsigned count;
	struct entry *entries;
};

/* A running server's. */
struct member {
	struct raft_io *io;
	struct loop *loop;
	struct machine *machine;
	struct process *process;
	struct disk *disk;
	char directory[PATH_MAX];
	raft_id id;
	char address[64];
	raft_io_tick_cb tick;
	raft_io_recv_cb recv;
	unsigned tick_ms;
	struct world_event ticker, room;
	struct append *appends, **appends_end;
	raft_index next_index; /* of what is appended next */
	uint64_t disk_free_at;
	raft_io_close_cb close;
	uv_prepare_t prepare;
	uv_check_t check;
	unsigned handles;
	uint64_t last_arrival[WORLD_MACHINES];
	bool closing;
};

extern struct member *raft_members[WORLD_MACHINES]; /* those that run */

static inline struct member *member_of(struct raft_io *io)
{
	return io->impl;
}

void configuration_copy(const struct raft_configuration *from, struct raft_configuration *to);
struct entry entry_keep(const struct raft_entry *entry);
/* Entries as libraft wants them: their bytes in one batch. */
struct raft_entry *entries_load(const struct entry *entries, size_t count);

/* raft_io.send */
int raft_member_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
		     raft_io_send_cb callback);

#endif
