/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libraft's raft_uv_*: a log in memory of the machine. Messages are in raft_network.c.
 *
 * What was appended and not yet confirmed is lost with the process or not, as chance has it, from some entry on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/fault_disk.h"
#include "tests/sim/raft_disk.h"
#include "tests/sim/raft_member.h"

/* libraft's own: what raft_uv_init()'s prepare and check handles call. Hence its static library is linked. */
void LegacyFireCompletedRequests(struct raft *raft);

#define ROOM_US (100 * WORLD_MS)

static struct disk disks[WORLD_MACHINES];
struct member *raft_members[WORLD_MACHINES];

uint64_t raft_disk_last_index(const struct machine *machine)
{
	const struct disk *disk = &disks[machine->index];

	return disk->start + disk->count - (disk->count > 0 || disk->start > 0);
}

void configuration_copy(const struct raft_configuration *from, struct raft_configuration *to)
{
	*to = (struct raft_configuration){ 0 };
	for (unsigned i = 0; i < from->n; i++) {
		if (raft_configuration_add(to, from->servers[i].id, from->servers[i].address, from->servers[i].role) !=
		    0)
			abort();
	}
}

/* --- the log ---------------------------------------------------------------------------------------------------- */

struct entry entry_keep(const struct raft_entry *entry)
{
	struct entry kept = { entry->term, entry->type, entry->buf.len, malloc(entry->buf.len + 1) };

	if (kept.bytes == NULL)
		abort();
	if (kept.size > 0)
		memcpy(kept.bytes, entry->buf.base, kept.size);
	return kept;
}

static void disk_push(struct disk *disk, const struct entry *entry)
{
	if (disk->count == disk->size) {
		disk->size = disk->size == 0 ? 256 : disk->size * 2;
		disk->entries = realloc(disk->entries, disk->size * sizeof(*disk->entries));
		if (disk->entries == NULL)
			abort();
	}
	if (disk->count == 0 && disk->start == 0)
		disk->start = 1;
	disk->entries[disk->count++] = *entry;
}

static void disk_cut_front(struct disk *disk, raft_index first)
{
	size_t drop = first > disk->start ? first - disk->start : 0;

	if (drop > disk->count)
		drop = disk->count;
	for (size_t i = 0; i < drop; i++)
		free(disk->entries[i].bytes);
	memmove(disk->entries, disk->entries + drop, (disk->count - drop) * sizeof(*disk->entries));
	disk->count -= drop;
	disk->start = first;
}

static void disk_truncate(struct disk *disk, raft_index index)
{
	while (disk->count > 0 && disk->start + disk->count > index)
		free(disk->entries[--disk->count].bytes);
}

struct raft_entry *entries_load(const struct entry *entries, size_t count)
{
	size_t total = 1;
	struct raft_entry *list;
	uint8_t *batch;

	if (count == 0)
		return NULL;
	for (size_t i = 0; i < count; i++)
		total += (entries[i].size + 7) / 8 * 8;
	list = raft_calloc(count, sizeof(*list));
	batch = raft_malloc(total);
	if (list == NULL || batch == NULL)
		abort();
	for (size_t i = 0, at = 0; i < count; i++) {
		list[i] = (struct raft_entry){ .term = entries[i].term,
					       .type = entries[i].type,
					       .buf = { batch + at, entries[i].size },
					       .batch = batch };
		memcpy(batch + at, entries[i].bytes, entries[i].size);
		at += (entries[i].size + 7) / 8 * 8;
	}
	return list;
}

static void append_write(struct append *append)
{
	if (!append->written) {
		for (unsigned i = 0; i < append->count; i++)
			disk_push(append->member->disk, &append->entries[i]);
	}
	append->written = true;
}

/* One write after the other: what ends is the first, also where a process that was stopped finds the ends of several.
 */
static void append_done(void *data)
{
	struct member *member = data;
	struct append *append = member->appends;

	append_write(append);
	member->appends = append->next;
	if (member->appends == NULL)
		member->appends_end = &member->appends;
	append->callback(append->request, 0);
	free(append->entries);
	free(append);
}

/* As libraft does it: without room what is to be written waits, in order. */
static bool has_room(struct member *member)
{
	bool full = fault_server_is_full(member->machine);

	member->io->capacity = full ? 0 : USHRT_MAX;
	if (full && !event_is_waiting(&member->room))
		event_at(&member->room, world_now + ROOM_US);
	return !full;
}

static void appends_go_on(struct member *member)
{
	while (member->appends != NULL && member->appends->due && has_room(member))
		loop_turn(member->loop, append_done, member);
}

static void on_room(struct world_event *event)
{
	appends_go_on(event->data);
	has_room(event->data);
}

static void on_append(struct world_event *event)
{
	struct member *member = event->data;
	struct append *append = member->appends;

	while (append->due)
		append = append->next;
	append->due = true;
	appends_go_on(member);
}

/* How long the disk takes; one write after the other. */
static uint64_t disk_delay(struct member *member)
{
	uint64_t takes = world_chance(5) ? world_between(5 * WORLD_MS, 200 * WORLD_MS) : world_between(80, 2000);

	takes += fault_server_delay_us(member->machine);
	if (member->disk_free_at < world_now)
		member->disk_free_at = world_now;
	member->disk_free_at += takes;
	return member->disk_free_at - world_now;
}

static int disk_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
		       unsigned count, raft_io_append_cb callback)
{
	struct member *member = member_of(io);
	struct append *append = calloc(1, sizeof(*append));

	if (append == NULL)
		return RAFT_NOMEM;
	append->member = member;
	append->request = request;
	append->callback = callback;
	append->count = count;
	append->entries = calloc(count, sizeof(*append->entries));
	for (unsigned i = 0; i < count; i++)
		append->entries[i] = entry_keep(&entries[i]);
	*member->appends_end = append;
	member->appends_end = &append->next;
	world_after(disk_delay(member), member->process, on_append, member);
	return 0;
}

static int disk_truncate_from(struct raft_io *io, raft_index index)
{
	struct member *member = member_of(io);

	for (struct append *append = member->appends; append != NULL; append = append->next)
		append_write(append);
	disk_truncate(member->disk, index);
	return 0;
}

/* Term and vote are written on the thread of the loop, and synced: all of the server waits. */
static void block(struct member *member)
{
	uint64_t us = fault_server_delay_us(member->machine);

	if (us > 0 && member->process->stopped_until < world_now + us)
		member->process->stopped_until = world_now + us;
}

static int disk_set_term(struct raft_io *io, raft_term term)
{
	struct disk *disk = member_of(io)->disk;

	block(member_of(io));
	disk->term = term;
	disk->vote = 0;
	return 0;
}

static int disk_set_vote(struct raft_io *io, raft_id id)
{
	block(member_of(io));
	member_of(io)->disk->vote = id;
	return 0;
}

/* The mark by which raft/directory.c knows a member. */
static void directory_mark(struct member *member)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/open-1", member->directory);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	close(fd);
}

static int disk_bootstrap(struct raft_io *io, const struct raft_configuration *configuration)
{
	struct member *member = member_of(io);
	struct raft_entry entry = { .term = 1, .type = RAFT_CHANGE };
	struct entry kept;
	int rv;

	if (member->disk->term != 0)
		return RAFT_CANTBOOTSTRAP;
	rv = raft_configuration_encode(configuration, &entry.buf);
	if (rv != 0)
		return rv;
	kept = entry_keep(&entry);
	raft_free(entry.buf.base);
	disk_push(member->disk, &kept);
	member->disk->term = 1;
	directory_mark(member);
	return 0;
}

static int disk_recover(struct raft_io *io, const struct raft_configuration *configuration)
{
	(void)io;
	(void)configuration;
	return RAFT_IOERR;
}

/* --- snapshots -------------------------------------------------------------------------------------------------- */

static void snapshot_copy(const struct raft_snapshot *from, struct raft_snapshot *to)
{
	size_t total = 0, at = 0;

	*to = *from;
	configuration_copy(&from->configuration, &to->configuration);
	for (unsigned i = 0; i < from->n_bufs; i++)
		total += from->bufs[i].len;
	to->n_bufs = 1;
	to->bufs = raft_malloc(sizeof(*to->bufs));
	if (to->bufs == NULL)
		abort();
	to->bufs[0].len = total;
	to->bufs[0].base = raft_malloc(total + 1);
	if (to->bufs[0].base == NULL)
		abort();
	for (unsigned i = 0; i < from->n_bufs; i++) {
		memcpy((uint8_t *)to->bufs[0].base + at, from->bufs[i].base, from->bufs[i].len);
		at += from->bufs[i].len;
	}
}

static void snapshot_free(struct raft_snapshot *snapshot)
{
	raft_configuration_close(&snapshot->configuration);
	raft_free(snapshot->bufs[0].base);
	raft_free(snapshot->bufs);
}

struct snapshot_put {
	struct member *member;
	struct raft_io_snapshot_put *request;
	raft_io_snapshot_put_cb callback;
	struct raft_snapshot snapshot;
	unsigned trailing;
};

static void put_done(void *data)
{
	struct snapshot_put *put = data;
	struct disk *disk = put->member->disk;

	if (disk->has_snapshot)
		snapshot_free(&disk->snapshot);
	disk->snapshot = put->snapshot;
	disk->has_snapshot = true;
	if (put->trailing == 0) {
		disk_truncate(disk, 0);
		disk->count = 0;
		disk->start = put->snapshot.index + 1;
	} else if (put->snapshot.index > put->trailing && put->snapshot.index - put->trailing > disk->start) {
		disk_cut_front(disk, put->snapshot.index - put->trailing);
	}
	put->callback(put->request, 0);
	free(put);
}

static void on_put(struct world_event *event)
{
	struct snapshot_put *put = event->data;

	if (!has_room(put->member))
		world_after(ROOM_US, put->member->process, on_put, put);
	else
		loop_turn(put->member->loop, put_done, put);
}

static int disk_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
			     const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
	struct snapshot_put *put = calloc(1, sizeof(*put));

	put->member = member_of(io);
	put->request = request;
	put->callback = callback;
	put->trailing = trailing;
	snapshot_copy(snapshot, &put->snapshot);
	world_after(disk_delay(put->member) + world_between(0, 20 * WORLD_MS), put->member->process, on_put, put);
	return 0;
}

struct snapshot_get {
	struct member *member;
	struct raft_io_snapshot_get *request;
	raft_io_snapshot_get_cb callback;
};

static void get_done(void *data)
{
	struct snapshot_get *get = data;
	struct raft_snapshot *snapshot = raft_malloc(sizeof(*snapshot));

	if (snapshot == NULL)
		abort();
	snapshot_copy(&get->member->disk->snapshot, snapshot);
	get->callback(get->request, snapshot, 0);
	free(get);
}

static void on_get(struct world_event *event)
{
	struct snapshot_get *get = event->data;

	loop_turn(get->member->loop, get_done, get);
}

static int disk_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request, raft_io_snapshot_get_cb callback)
{
	struct snapshot_get *get = calloc(1, sizeof(*get));

	get->member = member_of(io);
	get->request = request;
	get->callback = callback;
	world_after(world_between(100, 5000), get->member->process, on_get, get);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

static void fire(struct member *member)
{
	if (member->io->data != NULL)
		LegacyFireCompletedRequests(member->io->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
	fire(prepare->data);
}

static void on_check(uv_check_t *check)
{
	fire(check->data);
}

static int disk_init(struct raft_io *io, raft_id id, const char *address)
{
	struct member *member = member_of(io);

	uv_prepare_init(member->loop->uv, &member->prepare);
	uv_check_init(member->loop->uv, &member->check);
	member->prepare.data = member->check.data = member;
	member->handles = 2;
	uv_prepare_start(&member->prepare, on_prepare);
	uv_check_start(&member->check, on_check);
	uv_unref((uv_handle_t *)&member->prepare);
	uv_unref((uv_handle_t *)&member->check);
	member->id = id;
	snprintf(member->address, sizeof(member->address), "%s", address);
	return 0;
}

static int disk_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
		     raft_index *start, struct raft_entry *entries[], size_t *count)
{
	struct disk *disk = member_of(io)->disk;

	*term = disk->term;
	*vote = disk->vote;
	*snapshot = NULL;
	*start = disk->start > 0 ? disk->start : 1;
	if (disk->has_snapshot) {
		*snapshot = raft_malloc(sizeof(**snapshot));
		if (*snapshot == NULL)
			return RAFT_NOMEM;
		snapshot_copy(&disk->snapshot, *snapshot);
		if (disk->count == 0)
			*start = disk->snapshot.index + 1;
	}
	*entries = entries_load(disk->entries, disk->count);
	*count = disk->count;
	if (disk->term != 0)
		directory_mark(member_of(io));
	return 0;
}

static void tick(void *data)
{
	struct member *member = data;

	member->tick(member->io);
}

static void on_tick(struct world_event *event)
{
	struct member *member = event->data;

	if (member->closing)
		return;
	event_at(&member->ticker, world_now + member->tick_ms * WORLD_MS);
	loop_turn(member->loop, tick, member);
}

static int disk_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb callback, raft_io_recv_cb recv)
{
	struct member *member = member_of(io);

	member->tick = callback;
	member->recv = recv;
	member->tick_ms = msecs;
	raft_members[member->machine->index] = member;
	event_at(&member->ticker, world_now + msecs * WORLD_MS);
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct member *member = handle->data;

	if (--member->handles == 0)
		member->close(member->io);
}

static void close_handles(void *data)
{
	struct member *member = data;

	uv_close((uv_handle_t *)&member->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&member->check, on_handle_closed);
}

static void on_close(struct world_event *event)
{
	struct member *member = event->data;

	if (member->appends != NULL)
		world_after(WORLD_MS, member->process, on_close, member);
	else
		loop_turn(member->loop, close_handles, member);
}

static void disk_close(struct raft_io *io, raft_io_close_cb callback)
{
	struct member *member = member_of(io);

	member->closing = true;
	member->close = callback;
	if (raft_members[member->machine->index] == member)
		raft_members[member->machine->index] = NULL;
	world_after(WORLD_MS, member->process, on_close, member);
}

static raft_time disk_time(struct raft_io *io)
{
	return machine_boot_us(member_of(io)->machine) / WORLD_MS;
}

static int disk_random(struct raft_io *io, int min, int max)
{
	(void)io;
	return min + (int)world_below((uint64_t)(max - min) + 1);
}

int raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *directory, struct raft_uv_transport *transport)
{
	struct member *member = calloc(1, sizeof(*member));

	(void)transport;
	if (member == NULL)
		return RAFT_NOMEM;
	member->io = io;
	member->loop = loop_of(loop);
	member->process = world_current;
	member->machine = world_current->machine;
	member->disk = &disks[member->machine->index];
	member->appends_end = &member->appends;
	snprintf(member->directory, sizeof(member->directory), "%s", directory);
	event_init(&member->ticker, member->process, on_tick, member);
	event_init(&member->room, member->process, on_room, member);
	memset(io, 0, sizeof(*io));
	io->version = 2;
	io->capacity = USHRT_MAX;
	io->impl = member;
	io->init = disk_init;
	io->close = disk_close;
	io->load = disk_load;
	io->start = disk_start;
	io->bootstrap = disk_bootstrap;
	io->recover = disk_recover;
	io->set_term = disk_set_term;
	io->set_vote = disk_set_vote;
	io->send = raft_member_send;
	io->append = disk_append;
	io->truncate = disk_truncate_from;
	io->snapshot_put = disk_snapshot_put;
	io->snapshot_get = disk_snapshot_get;
	io->time = disk_time;
	io->random = disk_random;
	return 0;
}

/* The process died: of what was not confirmed yet a part may be there. */
void raft_disk_process_lost(struct process *process)
{
	struct member *member = raft_members[process->machine->index];

	if (member == NULL || member->process != process)
		return;
	raft_members[process->machine->index] = NULL;
	for (struct append *append = member->appends; append != NULL && world_chance(500); append = append->next) {
		unsigned part = (unsigned)world_below(append->count + 1);

		for (unsigned i = 0; i < part && !append->written; i++)
			disk_push(member->disk, &append->entries[i]);
		if (part < append->count)
			break;
	}
}

void raft_uv_close(struct raft_io *io)
{
	struct member *member = member_of(io);

	event_cancel(&member->ticker);
	event_cancel(&member->room);
	free(member);
}

void raft_uv_set_auto_recovery(struct raft_io *io, bool flag)
{
	(void)io;
	(void)flag;
}

void raft_uv_set_connect_retry_delay(struct raft_io *io, unsigned msecs)
{
	(void)io;
	(void)msecs;
}

void raft_uv_set_disk_retry(struct raft_io *io, unsigned msecs)
{
	(void)io;
	(void)msecs;
}

/* The shipped transport asks for these and never uses them here. */
int raft_uv_tcp_init(struct raft_uv_transport *transport, struct uv_loop_s *loop)
{
	(void)transport;
	(void)loop;
	return 0;
}

void raft_uv_tcp_close(struct raft_uv_transport *transport)
{
	(void)transport;
}
