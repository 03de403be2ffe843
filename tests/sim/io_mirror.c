/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fault_disk.h"
#include "tests/sim/mirror_text.h"

struct mirror_write {
	unsigned references;
	struct io_at at;
	char name[128];
	uint64_t sector;
	struct io io;
	struct member_write {
		struct mirror_write *whole;
		uint64_t device;
		bool done, failed;
		enum io_result result;
	} members[2 * LIMIT_MEMBERS];
	size_t count;
};

static void mirror_release(struct mirror_write *whole)
{
	if (--whole->references == 0)
		free(whole);
}

static void member_run(void *data)
{
	struct member_write *member = data;
	struct mirror_write *whole = member->whole;
	struct io io = whole->io;

	member->result = io_number(whole->at, member->device >> 32, member->device & UINT32_MAX, whole->sector, &io);
	member->failed = io.failed;
	member->done = true;
	mirror_release(whole);
}

static void member_start(struct mirror_write *whole, uint64_t device)
{
	struct member_write *member = &whole->members[whole->count++];

	*member = (struct member_write){ .whole = whole, .device = device };
	whole->references++;
	io_start(member_run, member);
}

bool io_mirror_find(struct io_at at, const char *name, struct group_table *ret_table, struct group_status *ret_status,
		    bool *ret_suspended)
{
	struct observed_dm *dm = sim_dm_find(io_kernel(at), name);

	if (dm == NULL || dm->status == NULL || !mirror_table(&dm->targets, ret_table))
		return false;
	mirror_status(dm->status, ret_status);
	*ret_suspended = dm->suspended;
	return true;
}

/* As md: the last member that is in sync is never dropped, whatever it returns. */
static void member_fail(struct io_at at, const char *name, size_t index)
{
	struct process *before = world_current;
	struct group_status status;
	struct group_table table;
	struct error error = { 0 };
	size_t others = 0;
	bool suspended;

	if (!io_mirror_find(at, name, &table, &status, &suspended) || status.health[index] == 'D')
		return;
	for (size_t i = 0; i < status.count; i++)
		others += i != index && status.health[i] == 'A';
	if (others == 0 && status.health[index] == 'A')
		return;
	world_trace("%s: member %zu of %s fails", at.node->name, index, name);
	node_enter(at.node);
	kernel_sim_member_fail(at.node->kernel, name, (unsigned)index, &error);
	world_current = before;
}

/* Of what was asked for: complete when each member that still belongs to the mirror has it. */
static enum io_result mirror_progress(struct mirror_write *whole, bool *ret_waits)
{
	struct group_status status;
	struct group_table table;
	size_t has = 0;
	bool suspended;

	*ret_waits = false;
	if (!io_mirror_find(whole->at, whole->name, &table, &status, &suspended))
		return IO_ERROR;
	for (size_t i = 0; i < table.count; i++) {
		struct member_write *member = NULL;

		if (table.data[i] == 0 || i >= status.count || status.health[i] == 'D')
			continue;
		for (size_t m = 0; m < whole->count; m++) {
			if (whole->members[m].device == table.data[i])
				member = &whole->members[m];
		}
		if (member == NULL) {
			/* It came in meanwhile. */
			if (whole->count == 2 * LIMIT_MEMBERS)
				return IO_LOST;
			member_start(whole, table.data[i]);
			*ret_waits = true;
			continue;
		}
		if (!member->done) {
			*ret_waits = true;
			continue;
		}
		if (member->result == IO_DONE) {
			has += status.health[i] == 'A'; /* of one that is copied yet nothing is read */
		} else if (member->result == IO_ERROR) {
			whole->io.failed = whole->io.failed || member->failed;
			member_fail(whole->at, whole->name, i);
		} else {
			return IO_LOST;
		}
	}
	/* Nothing is acknowledged before the others know, on their disks, who failed. */
	if (!*ret_waits && has > 0 && !kernel_sim_failures_are_known(whole->at.node->kernel, whole->name))
		*ret_waits = true;
	/* One whose disk returned an error is out, and there is no way to the others any more. */
	if (has == 0 && strchr(status.health, 'D') != NULL)
		whole->io.failed = true;
	return has > 0 ? IO_DONE : IO_ERROR;
}

enum io_result io_mirror_write(struct io_at at, const char *name, uint64_t sector, struct io *io)
{
	struct mirror_write *whole = calloc(1, sizeof(*whole));
	struct group_status status;
	struct group_table table;
	enum io_result result;
	bool suspended, waits;
	uint64_t pause = 100;

	if (whole == NULL)
		abort();
	whole->references = 1;
	whole->at = at;
	whole->sector = sector;
	whole->io = *io;
	snprintf(whole->name, sizeof(whole->name), "%s", name);
	if (!io_mirror_find(at, name, &table, &status, &suspended)) {
		free(whole);
		return IO_ERROR;
	}
	for (size_t i = 0; i < table.count; i++) {
		if (table.data[i] == 0 || i >= status.count || status.health[i] == 'D')
			continue;
		member_start(whole, table.data[i]);
	}
	do {
		result = IO_LOST;
		if (!io_wait(at, pause))
			break;
		pause = pause * 2 < IO_QUEUE_US ? pause * 2 : IO_QUEUE_US;
		result = mirror_progress(whole, &waits);
	} while (waits);
	io->failed = whole->io.failed;
	mirror_release(whole);
	return result;
}

/* What was read elsewhere is written over a block that could not be read; a member with which that fails is dropped.
 * The kernel lets nobody write meanwhile, so that the block here is the one that is in sync. */
static void repair(struct io_at at, const char *name, size_t index, uint64_t ld, uint64_t sector)
{
	struct media_place place;
	bool fails = true;

	if (ld != 0 && media_ld_find(ld, &place))
		fails = fault_disk_fails((struct storage *)place.node, ld, place.disk, place.start + sector, true);
	world_trace("%s: a read of ld%" PRIu64 " is %s", at.node->name, ld, fails ? "not repaired" : "repaired");
	if (fails)
		member_fail(at, name, index);
}

uint64_t io_ld_of(struct io_at at, uint64_t device, uint64_t *ret_start)
{
	const struct observed_dm *dm = io_dm_by_number(io_kernel(at), device >> 32, device & UINT32_MAX);
	uint64_t ld = 0, major, minor;

	if (dm == NULL || sscanf(dm->name, "dnvme-raiddata-ld%" SCNu64, &ld) != 1 ||
	    sscanf(dm->targets.items[0].params, "%" SCNu64 ":%" SCNu64 " %" SCNu64, &major, &minor, ret_start) != 3)
		return 0;
	return ld;
}

/* From any member that is in sync at that moment; one that fails is not asked again. */
enum io_result io_mirror_read(struct io_at at, const char *name, uint64_t sector, struct io *io)
{
	uint64_t failed[2 * LIMIT_MEMBERS];
	size_t failed_count = 0;

	for (;;) {
		struct group_status status;
		struct group_table table;
		uint64_t usable[LIMIT_MEMBERS], device, start = 0;
		size_t count = 0;
		bool suspended;
		enum io_result result;

		if (!io_mirror_find(at, name, &table, &status, &suspended))
			return IO_ERROR;
		for (size_t i = 0; i < table.count; i++) {
			bool bad = table.data[i] == 0 || i >= status.count || status.health[i] != 'A';

			for (size_t f = 0; f < failed_count && !bad; f++)
				bad = failed[f] == table.data[i];
			if (!bad)
				usable[count++] = table.data[i];
		}
		if (count == 0 || failed_count == 2 * LIMIT_MEMBERS) {
			io->failed = io->failed || strchr(status.health, 'D') != NULL;
			return IO_ERROR;
		}
		device = usable[world_below(count)];
		result = io_number(at, device >> 32, device & UINT32_MAX, sector, io);
		if (result != IO_ERROR) {
			/* Those that could not. */
			for (size_t i = 0; result == IO_DONE && i < table.count; i++) {
				for (size_t f = 0; f < failed_count; f++) {
					if (failed[f] == table.data[i])
						repair(at, name, i, io_ld_of(at, failed[f], &start), start + sector);
				}
			}
			return result;
		}
		failed[failed_count++] = device;
	}
}

bool io_mirror_lost(struct storage *node, const char *name)
{
	struct io_at at = { node, node->machine->boots };
	struct group_status status;
	struct group_table table;
	bool suspended, lost = false;

	if (!io_mirror_find(at, name, &table, &status, &suspended))
		return false;
	for (size_t i = 0; i < table.count && i < status.count; i++) {
		struct sim_place place;
		const struct observed_dm *dm =
			io_dm_by_number(io_kernel(at), table.data[i] >> 32, table.data[i] & UINT32_MAX);

		/* A path that does not answer is not gone: what is written to it waits. */
		if (status.health[i] != 'a' ||
		    (dm != NULL && sim_block_place(io_kernel(at), dm->name, 0, &place, NULL) != ERROR_INTERNAL))
			continue;
		member_fail(at, name, i);
		lost = true;
	}
	return lost;
}

void io_mirror_copied(struct storage *node, const char *name, uint64_t since)
{
	struct io_at at = { node, node->machine->boots };
	struct group_status status;
	struct group_table table;
	uint64_t lds[LIMIT_MEMBERS] = { 0 }, source = 0;
	bool suspended;

	if (!io_mirror_find(at, name, &table, &status, &suspended))
		return;
	for (size_t i = 0; i < table.count; i++) {
		const struct observed_dm *dm =
			io_dm_by_number(io_kernel(at), table.data[i] >> 32, table.data[i] & UINT32_MAX);

		if (dm == NULL || sscanf(dm->name, "dnvme-raiddata-ld%" SCNu64, &lds[i]) != 1)
			continue;
		if (status.health[i] == 'A' && source == 0)
			source = lds[i];
	}
	for (size_t i = 0; i < table.count && source != 0; i++) {
		if (lds[i] != 0 && status.health[i] == 'a')
			media_ld_copy(source, lds[i], since);
	}
}
