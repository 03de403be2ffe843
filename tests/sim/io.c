/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "agent/group.h"
#include "agent/planner.h"
#include "tests/sim/fabric.h"
#include "tests/sim/fault_disk.h"
#include "tests/sim/label_look.h"
#include "tests/sim/mirror_text.h"
#include "tests/sim/net.h"

#define QUIET_LIMIT_MS 1000u	 /* as agent/backend/linux/nvmet.c has it */
#define QUEUE_US (20 * WORLD_MS) /* what waits looks again so often */
#define RETRANSMIT_US (200 * WORLD_MS)
#define INFLIGHT_MAX 2048
#define USES_MAX 2048
#define LINES_MAX 2048

/* A kernel, as long as it runs. */
struct at {
	struct storage *node;
	uint64_t boots;
};

static struct machine nowhere = { .name = "io", .up = true };
static struct process kernel_threads = { .machine = &nowhere, .name = "io", .alive = true };

/* Requests that a target has taken, by export; and how often its connections were cut. */
static struct inflight {
	struct storage *node;
	char nqn[224];
	unsigned count, cuts;
} inflights[INFLIGHT_MAX];
static size_t inflight_count;

static enum io_result device_io(struct at at, const char *name, uint64_t sector, struct io *io);

void io_start(void (*run)(void *data), void *data)
{
	coroutine_start(&kernel_threads, run, data);
}

static struct inflight *inflight_get(struct storage *node, const char *nqn)
{
	for (size_t i = 0; i < inflight_count; i++) {
		if (inflights[i].node == node && strcmp(inflights[i].nqn, nqn) == 0)
			return &inflights[i];
	}
	if (inflight_count == INFLIGHT_MAX)
		world_fail("more exports than the simulation has room for");
	inflights[inflight_count].node = node;
	inflights[inflight_count].count = inflights[inflight_count].cuts = 0;
	snprintf(inflights[inflight_count].nqn, sizeof(inflights[0].nqn), "%s", nqn);
	return &inflights[inflight_count++];
}

const unsigned *io_cuts(struct storage *node, const char *nqn)
{
	return &inflight_get(node, nqn)->cuts;
}

void io_cut(struct storage *node, const char *nqn)
{
	inflight_get(node, nqn)->cuts++;
}

/* Let a machine that is frozen wait; false: it lost power, and all that was in it. */
static bool is_there(struct at at)
{
	while (at.node->machine->up && at.node->machine->boots == at.boots) {
		if (machine_runs(at.node->machine))
			return true;
		world_sleep(QUEUE_US);
	}
	return false;
}

static bool wait_at(struct at at, uint64_t us)
{
	world_sleep(us);
	return is_there(at);
}

static struct sim_kernel *kernel_of(struct at at)
{
	return (struct sim_kernel *)at.node->kernel;
}

/* --- devices ---------------------------------------------------------------------------------------------------- */

static struct observed_dm *dm_by_number(struct sim_kernel *kernel, uint64_t major, uint64_t minor)
{
	for (size_t i = 0; i < kernel->observed.dms.count; i++) {
		struct observed_dm *dm = &kernel->observed.dms.items[i];

		if (dm->major == major && dm->minor == minor)
			return dm;
	}
	return NULL;
}

/* The namespace's subsystem and uuid. */
static bool namespace_by_number(struct sim_kernel *kernel, uint64_t minor, char ret_nqn[224], uint8_t ret_uuid[16])
{
	for (size_t i = 0; i < kernel->observed.import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &kernel->observed.import_namespaces.items[i];

		if (ns->minor != minor)
			continue;
		snprintf(ret_nqn, 224, "%s", ns->nqn);
		memcpy(ret_uuid, ns->uuid, 16);
		return true;
	}
	return false;
}

/* --- media ------------------------------------------------------------------------------------------------------ */

/* No write of an older epoch reaches a medium that a newer epoch reads: from the moment on when the label says so. */
static void epoch_check(struct at at, const char *name, const struct io *io)
{
	const char *colon = io->export != NULL ? strrchr(io->export, ':') : NULL;
	struct sim_place place = { .kernel = kernel_of(at) };
	struct sim_block *block;
	uint64_t label, epoch = colon != NULL && colon[1] == 'e' ? strtoull(colon + 2, NULL, 10) : 0;

	if (epoch == 0 || sim_block_place(kernel_of(at), name, 0, &place, NULL) != 0)
		return;
	block = sim_block_find(&place, 0);
	label = block != NULL ? label_look(&block->data).epoch : 0;
	if (label > epoch)
		world_fail("two writers: a write of epoch %" PRIu64 " reaches %s on %s, which is in epoch %" PRIu64,
			   epoch, name, at.node->name, label);
}

static enum io_result medium_io(struct at at, const char *name, uint64_t minor, uint64_t sector, struct io *io)
{
	uint64_t overtake_us = fault_disk_overtake_us(), most_us = overtake_us > 0 ? overtake_us : 10 * WORLD_MS,
		 ld = 0;
	uint64_t takes_us = world_chance(20) ? world_between(WORLD_MS, most_us) : world_between(20, 300);

	takes_us += fault_disk_delay_us(at.node);
	if (io->flush) {
		if (!wait_at(at, takes_us))
			return IO_LOST;
		media_flush(at.node, minor);
		return IO_DONE;
	}
	/* A write that another one to the same block overtakes is what docs/FAILURES.md, "What remains", is about. */
	if (io->write && overtake_us == 0)
		takes_us = media_write_turn(at.node, minor, sector, takes_us) - world_now;
	if (!wait_at(at, takes_us))
		return IO_LOST;
	if (strncmp(name, "dnvme-ld-ld", 11) == 0)
		ld = strtoull(name + 11, NULL, 10);
	if (fault_disk_fails(at.node, ld, minor, sector, io->write)) {
		io->failed = true;
		return IO_ERROR;
	}
	if (io->write) {
		epoch_check(at, name, io);
		world_trace("%s writes v#%" PRIu64 " sector %" PRIu64 " write %" PRIu64 " attempt %" PRIu64 " for %s",
			    name, io->block.volume, sector, io->block.sequence, io->attempt, io->export);
		media_write(at.node, minor, sector, io->block, io->forced);
	} else {
		io->block = media_read(at.node, minor, sector);
	}
	return IO_DONE;
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

struct path_chosen {
	uint64_t instance, generation, port;
	struct storage *to;
};

/* 1: found; 0: wait; -1: there is no path at all, and never will be. */
static int path_choose(struct at at, const char *nqn, struct path_chosen *ret_path)
{
	struct sim_kernel *kernel = kernel_of(at);
	size_t there = 0;

	for (size_t i = 0; i < kernel->observed.imports.count; i++) {
		const struct observed_import *import = &kernel->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) != 0)
			continue;
		there++;
		if (strcmp(import->state, "live") != 0 || import->ana == NULL || strcmp(import->ana, "optimized") != 0)
			continue;
		*ret_path = (struct path_chosen){ .instance = import->instance,
						  .port = strtoull(import->trsvcid, NULL, 10),
						  .to = node_by_address(import->address) };
		if (fabric_path_generation(at.node, import->instance, &ret_path->generation))
			return 1;
	}
	return there > 0 ? 0 : -1;
}

/* Requests that wait for a path to a namespace. As soon as there is one the kernel sends them (nvme_requeue_work()), in
 * the order in which they came, from one processor and so by one connection. A newer one stands in line behind them:
 * in the kernel it may overtake them in the moment between the path and that work, which is shorter than the two
 * requests of a host that it would take to do harm (docs/FAILURES.md, "A stale write", "What remains"). */
static struct waiter {
	struct waiter *next;
	struct at at;
	uint64_t minor;
} * waiters;

/* When what was sent behind the line last arrives. */
static struct line {
	struct storage *node;
	uint64_t minor, arrives_at;
} lines[LINES_MAX];
static size_t line_count;

static struct line *line_get(struct storage *node, uint64_t minor)
{
	struct line *line = lines;

	while (line < lines + line_count && (line->node != node || line->minor != minor))
		line++;
	if (line == lines + LINES_MAX)
		world_fail("more namespaces than the simulation has room for");
	if (line == lines + line_count) {
		line_count++;
		*line = (struct line){ .node = node, .minor = minor };
	}
	return line;
}

static bool is_before(const struct waiter *waiter, struct at at, uint64_t minor)
{
	return waiter->at.node == at.node && waiter->at.boots == at.boots && waiter->minor == minor;
}

/* Whether somebody stands in front; of all, when `self` does not stand in the line. */
static bool line_is_long(struct at at, uint64_t minor, const struct waiter *self)
{
	for (const struct waiter *waiter = waiters; waiter != NULL && waiter != self; waiter = waiter->next) {
		if (is_before(waiter, at, minor))
			return true;
	}
	return false;
}

static void line_join(struct waiter *self)
{
	struct waiter **last = &waiters;

	while (*last != NULL)
		last = &(*last)->next;
	*last = self;
}

static void line_leave(struct waiter *self)
{
	struct waiter **place = &waiters;

	while (*place != self)
		place = &(*place)->next;
	*place = self->next;
}

struct connection_of {
	struct at at;
	struct path_chosen path;
};

static bool path_stands(void *data)
{
	const struct connection_of *connection = data;
	uint64_t generation;

	return fabric_path_generation(connection->at.node, connection->path.instance, &generation) &&
	       generation == connection->path.generation;
}

/* A packet on its way; sent again while the network is cut, as long as the connection stands. What stood in line
 * arrives in that order. */
static bool travel(struct storage *from, struct storage *to, struct line *line, bool (*stands)(void *data), void *data)
{
	uint64_t at = world_now + net_delay(from->machine, to->machine);

	if (line != NULL) {
		at = at > line->arrives_at ? at : line->arrives_at + 1;
		line->arrives_at = at;
	}
	world_sleep(at - world_now);
	while (!machine_hears(from->machine, to->machine)) {
		if (!stands(data))
			return false;
		world_sleep(RETRANSMIT_US);
	}
	return stands(data);
}

/* By which path a request goes; it stands in line for it, if need be. IO_DONE: found. */
static enum io_result path_await(struct at at, uint64_t minor, char ret_nqn[224], uint8_t ret_uuid[16],
				 struct path_chosen *ret_path, bool *ret_waited)
{
	struct waiter self = { .at = at, .minor = minor };
	enum io_result result = IO_RETRY;

	*ret_waited = false;
	while (result == IO_RETRY) {
		int found = -1;

		/* With its last path went what waited; one of that name that came since is another one. */
		if (namespace_by_number(kernel_of(at), minor, ret_nqn, ret_uuid))
			found = path_choose(at, ret_nqn, ret_path);
		if (found < 0) {
			result = IO_ERROR;
		} else if (found > 0 && !line_is_long(at, minor, *ret_waited ? &self : NULL)) {
			result = IO_DONE;
		} else {
			if (!*ret_waited)
				line_join(&self);
			*ret_waited = true;
			if (!wait_at(at, found > 0 ? QUEUE_US / 100 : QUEUE_US))
				result = IO_LOST;
		}
	}
	if (*ret_waited)
		line_leave(&self);
	return result;
}

static enum io_result remote_io(struct at at, uint64_t minor, uint64_t sector, struct io *io)
{
	char nqn[224];
	uint8_t uuid[16];

	for (;;) {
		struct connection_of connection = { .at = at };
		struct io there = *io;
		bool waited;
		enum io_result result = path_await(at, minor, nqn, uuid, &connection.path, &waited);
		struct line *line = waited ? line_get(at.node, minor) : NULL;

		if (result != IO_DONE)
			return result;
		there.export = nqn;
		result = IO_LOST;
		if (travel(at.node, connection.path.to, line, path_stands, &connection))
			result = io_target(connection.path.to, at.node->machine, connection.path.port, nqn, uuid,
					   sector, &there, path_stands, &connection);
		if (result != IO_LOST && !travel(connection.path.to, at.node, NULL, path_stands, &connection))
			result = IO_LOST;
		if (!is_there(at))
			return IO_LOST;
		/* An answer comes by the connection that the request went by, or not at all. */
		if (result == IO_DONE && path_stands(&connection)) {
			io->block = there.block;
			return IO_DONE;
		}
		if (result == IO_ERROR && path_stands(&connection)) {
			io->failed = io->failed || there.failed;
			return IO_ERROR;
		}
		if (result == IO_RETRY) {
			if (!wait_at(at, world_between(WORLD_MS, QUEUE_US)))
				return IO_LOST;
			continue;
		}
		/* Unanswered: it waits until the path is lost, then goes to another one. */
		while (path_stands(&connection)) {
			if (!wait_at(at, QUEUE_US))
				return IO_LOST;
		}
	}
}

/* --- mirrors ---------------------------------------------------------------------------------------------------- */

struct mirror_write {
	unsigned references;
	struct at at;
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

static enum io_result number_io(struct at at, uint64_t major, uint64_t minor, uint64_t sector, struct io *io)
{
	struct observed_dm *dm = dm_by_number(kernel_of(at), major, minor);
	char name[128];
	size_t length;

	if (major == SIM_NVME_MAJOR)
		return remote_io(at, minor, sector, io);
	if (dm == NULL)
		return IO_ERROR;
	/* It may be gone when the request is done. */
	length = strlen(dm->name);
	if (length >= sizeof(name))
		abort();
	memcpy(name, dm->name, length + 1);
	return device_io(at, name, sector, io);
}

static void member_run(void *data)
{
	struct member_write *member = data;
	struct mirror_write *whole = member->whole;
	struct io io = whole->io;

	member->result = number_io(whole->at, member->device >> 32, member->device & UINT32_MAX, whole->sector, &io);
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

static bool mirror_find(struct at at, const char *name, struct group_table *ret_table, struct group_status *ret_status,
			bool *ret_suspended)
{
	struct observed_dm *dm = sim_dm_find(kernel_of(at), name);

	if (dm == NULL || dm->status == NULL || !mirror_table(&dm->targets, ret_table))
		return false;
	mirror_status(dm->status, ret_status);
	*ret_suspended = dm->suspended;
	return true;
}

/* As md: the last member that is in sync is never dropped, whatever it returns. */
static void member_fail(struct at at, const char *name, size_t index)
{
	struct process *before = world_current;
	struct group_status status;
	struct group_table table;
	struct error error = { 0 };
	size_t others = 0;
	bool suspended;

	if (!mirror_find(at, name, &table, &status, &suspended) || status.health[index] == 'D')
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
	if (!mirror_find(whole->at, whole->name, &table, &status, &suspended))
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

static enum io_result mirror_write_io(struct at at, const char *name, uint64_t sector, struct io *io)
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
	if (!mirror_find(at, name, &table, &status, &suspended)) {
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
		if (!wait_at(at, pause))
			break;
		pause = pause * 2 < QUEUE_US ? pause * 2 : QUEUE_US;
		result = mirror_progress(whole, &waits);
	} while (waits);
	io->failed = whole->io.failed;
	mirror_release(whole);
	return result;
}

/* What was read elsewhere is written over a block that could not be read; a member with which that fails is dropped.
 * The kernel lets nobody write meanwhile, so that the block here is the one that is in sync. */
static void repair(struct at at, const char *name, size_t index, uint64_t ld, uint64_t sector)
{
	struct media_place place;
	bool fails = true;

	if (ld != 0 && media_ld_find(ld, &place))
		fails = fault_disk_fails((struct storage *)place.node, ld, place.disk, place.start + sector, true);
	world_trace("%s: a read of ld%" PRIu64 " is %s", at.node->name, ld, fails ? "not repaired" : "repaired");
	if (fails)
		member_fail(at, name, index);
}

/* The LD of a member, and where its data begins on it. */
static uint64_t ld_of(struct at at, uint64_t device, uint64_t *ret_start)
{
	const struct observed_dm *dm = dm_by_number(kernel_of(at), device >> 32, device & UINT32_MAX);
	uint64_t ld = 0, major, minor;

	if (dm == NULL || sscanf(dm->name, "dnvme-raiddata-ld%" SCNu64, &ld) != 1 ||
	    sscanf(dm->targets.items[0].params, "%" SCNu64 ":%" SCNu64 " %" SCNu64, &major, &minor, ret_start) != 3)
		return 0;
	return ld;
}

/* From any member that is in sync at that moment; one that fails is not asked again. */
static enum io_result mirror_read_io(struct at at, const char *name, uint64_t sector, struct io *io)
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

		if (!mirror_find(at, name, &table, &status, &suspended))
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
		result = number_io(at, device >> 32, device & UINT32_MAX, sector, io);
		if (result != IO_ERROR) {
			/* Those that could not. */
			for (size_t i = 0; result == IO_DONE && i < table.count; i++) {
				for (size_t f = 0; f < failed_count; f++) {
					if (failed[f] == table.data[i])
						repair(at, name, i, ld_of(at, failed[f], &start), start + sector);
				}
			}
			return result;
		}
		failed[failed_count++] = device;
	}
}

void io_mirror_copied(struct storage *node, const char *name, uint64_t since)
{
	struct at at = { node, node->machine->boots };
	struct group_status status;
	struct group_table table;
	uint64_t lds[LIMIT_MEMBERS] = { 0 }, source = 0;
	bool suspended;

	if (!mirror_find(at, name, &table, &status, &suspended))
		return;
	for (size_t i = 0; i < table.count; i++) {
		const struct observed_dm *dm =
			dm_by_number(kernel_of(at), table.data[i] >> 32, table.data[i] & UINT32_MAX);

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

/* --- device-mapper ---------------------------------------------------------------------------------------------- */

/* The next number of a table line, "MAJOR:MINOR START …". The C library's functions would take most of a request's
 * time. */
static bool number_next(const char **text, uint64_t *ret_number)
{
	const char *at = *text;
	uint64_t number = 0;

	while (*at == ' ' || *at == ':')
		at++;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint64_t)(*at - '0');
	*text = at;
	*ret_number = number;
	return true;
}

/* So many numbers from the front of a table line; returns how many there are. */
static size_t numbers_parse(const char *text, uint64_t numbers[], size_t count)
{
	size_t i = 0;

	while (i < count && number_next(&text, &numbers[i]))
		i++;
	return i;
}

static enum io_result striped_io(struct at at, const char *params, uint64_t sector, struct io *io)
{
	uint64_t count, chunk, index, device[3];

	if (!number_next(&params, &count) || !number_next(&params, &chunk))
		return IO_ERROR;
	index = sector / chunk;
	for (uint64_t i = 0; i <= index % count; i++) {
		for (size_t j = 0; j < 3; j++) {
			if (!number_next(&params, &device[j]))
				return IO_ERROR;
		}
	}
	return number_io(at, device[0], device[1], device[2] + index / count * chunk + sector % chunk, io);
}

/* Requests under way in devices whose tables change; and whether new ones wait meanwhile. */
static struct use {
	struct storage *node;
	uint64_t boots;
	char name[128];
	unsigned count, writes;
	const struct process *held_by; /* a call goes on only as long as who made it */
} uses[USES_MAX];
static size_t use_count;

static struct use *use_get(struct storage *node, const char *name)
{
	struct use *use = uses;

	if (strncmp(name, "dnvme-volume-", 13) != 0 && strncmp(name, "dnvme-raid-", 11) != 0 &&
	    strncmp(name, "dnvme-thin", 10) != 0)
		return NULL;
	while (use < uses + use_count && (use->node != node || strcmp(use->name, name) != 0))
		use++;
	if (use == uses + USES_MAX)
		world_fail("more devices than the simulation has room for");
	if (use == uses + use_count) {
		use_count++;
		use->node = node;
		snprintf(use->name, sizeof(use->name), "%s", name);
	}
	if (use->boots != node->machine->boots) {
		use->boots = node->machine->boots;
		use->count = use->writes = 0;
		use->held_by = NULL;
	}
	return use;
}

static enum io_result device_map(struct at at, const char *name, uint64_t sector, struct io *io);

/* What holds up the I/O of a volume lets go by itself; what waits for that is not under way. */
static bool is_paused(struct at at, const char *name)
{
	struct process *before = world_current;
	const struct observed_dm *dm;

	if (strncmp(name, "dnvme-volume-", 13) != 0)
		return false;
	node_enter(at.node);
	kernel_sim_pauses_look(at.node->kernel);
	world_current = before;
	dm = sim_dm_find(kernel_of(at), name);
	return dm != NULL && dm->suspended;
}

static enum io_result device_io(struct at at, const char *name, uint64_t sector, struct io *io)
{
	struct use *use = use_get(at.node, name);
	enum io_result result;

	while (use != NULL && ((use->held_by != NULL && use->held_by->alive) || is_paused(at, name))) {
		if (!wait_at(at, WORLD_MS))
			return IO_LOST;
		use = use_get(at.node, name);
	}
	if (use != NULL) {
		use->count++;
		use->writes += io->write;
	}
	result = device_map(at, name, sector, io);
	if (use != NULL && use->boots == at.boots) {
		use->count--;
		use->writes -= io->write;
	}
	return result;
}

bool io_is_writing(void *data, const char *name)
{
	const struct use *use = use_get(data, name);

	return use != NULL && use->writes > 0;
}

/* To hold up a volume waits for a path that does not answer, too, until the limit; which is the usual one here. */
static void pause_wait(struct storage *node, const char *name)
{
	struct use *use = use_get(node, name);
	uint64_t until = world_now + LIMIT_PAUSE_MS_DEFAULT * WORLD_MS;
	struct observed_dm *dm;

	if (use == NULL)
		return;
	use->held_by = world_current;
	while (world_now < until && (dm = sim_dm_find((struct sim_kernel *)node->kernel, name)) != NULL &&
	       !dm->suspended && (use->count > 0 || sim_dm_waits((struct sim_kernel *)node->kernel, dm, NULL) != 0))
		world_sleep(WORLD_MS);
	use->held_by = NULL;
}

/* As a kernel switches tables: new requests wait, until those under way ended, however long that takes. Where none is,
 * but a path below does not answer, the call itself is an error here. */
static void use_wait(struct storage *node, const char *name)
{
	struct use *use = use_get(node, name);
	const struct observed_dm *dm;

	if (use == NULL)
		return;
	use->held_by = world_current;
	while (use->count > 0 && (dm = sim_dm_find((struct sim_kernel *)node->kernel, name)) != NULL && !dm->suspended)
		world_sleep(WORLD_MS);
	use->held_by = NULL;
}

static enum io_result device_map(struct at at, const char *name, uint64_t sector, struct io *io)
{
	uint64_t numbers[4] = { 0 }, start;
	struct observed_dm *dm = sim_dm_find(kernel_of(at), name);
	const struct observed_target *target;

	while (dm != NULL && dm->suspended) {
		if (!wait_at(at, QUEUE_US))
			return IO_LOST;
		dm = sim_dm_find(kernel_of(at), name);
	}
	if (dm == NULL || dm->targets.count == 0)
		return IO_ERROR;
	target = &dm->targets.items[0];
	for (size_t i = 1; i < dm->targets.count && sector >= target->start + target->length; i++)
		target = &dm->targets.items[i];
	if (strcmp(target->type, "striped") == 0)
		return striped_io(at, target->params, sector, io);
	if (strcmp(target->type, "raid") == 0)
		return io->write ? mirror_write_io(at, name, sector, io) : mirror_read_io(at, name, sector, io);
	if (strcmp(target->type, "thin-pool") == 0) {
		/* The first is its metadata, the second its data. Every block is mapped to itself. */
		if (numbers_parse(target->params, numbers, 4) != 4)
			return IO_ERROR;
		return number_io(at, numbers[2], numbers[3], sector, io);
	}
	if (strcmp(target->type, "error") == 0 || numbers_parse(target->params, numbers, 3) < 2)
		return IO_ERROR;
	start = numbers[2];
	if (strcmp(target->type, "linear") != 0)
		start = 0; /* thin and writethrough */
	if (numbers[0] == SIM_DISK_MAJOR)
		return medium_io(at, name, numbers[1], start + sector - target->start, io);
	return number_io(at, numbers[0], numbers[1], start + sector - target->start, io);
}

/* --- targets ---------------------------------------------------------------------------------------------------- */

/* The data of a write that was taken. It comes behind the command, so a cut may come between. */
static bool data_arrives(struct at at, const struct machine *from, bool (*stands)(void *data), void *data)
{
	if (!wait_at(at, world_between(10, 400)))
		return false;
	while (!machine_hears(from, at.node->machine)) {
		if (!stands(data) || !wait_at(at, RETRANSMIT_US))
			return false;
	}
	return true;
}

enum io_result io_target(struct storage *node, const struct machine *from, uint64_t port, const char *nqn,
			 const uint8_t *uuid, uint64_t sector, struct io *io, bool (*stands)(void *data), void *data)
{
	struct at at = { node, node->machine->boots };
	struct kernel_sim_namespaces *namespaces;
	struct process *before = world_current;
	struct inflight *inflight;
	char device[128] = "";
	enum io_result result;
	bool goes_on, optimized = false;
	unsigned cuts;

	if (!is_there(at) || !stands(data))
		return IO_LOST;
	namespaces = malloc(sizeof(*namespaces));
	if (namespaces == NULL)
		abort();
	node_enter(node);
	goes_on = kernel_sim_goes_on(node->kernel, port, nqn, namespaces);
	world_current = before;
	for (size_t i = 0; goes_on && i < namespaces->count; i++) {
		if (uuid != NULL && memcmp(namespaces->items[i].uuid, uuid, 16) != 0)
			continue;
		optimized = namespaces->items[i].optimized;
		snprintf(device, sizeof(device), "%s", namespaces->items[i].device);
	}
	free(namespaces);
	if (!goes_on) {
		/* Its packet is answered with a reset: the connection is gone, whatever comes next. */
		inflight_get(node, nqn)->cuts++;
		return IO_LOST;
	}
	if (!optimized || device[0] == '\0')
		return IO_RETRY;
	inflight = inflight_get(node, nqn);
	inflight->count++;
	cuts = inflight->cuts;
	/* It has passed the check and waits for its data. */
	result = data_arrives(at, from, stands, data) ? IO_DONE : IO_LOST;
	inflight = inflight_get(node, nqn);
	/* With its connection the data is lost, or had come. */
	if (result == IO_DONE && inflight->cuts != cuts && world_chance(500))
		result = IO_LOST;
	if (result == IO_DONE) {
		result = device_io(at, device, sector, io);
	}
	inflight = inflight_get(node, nqn);
	if (inflight->count > 0)
		inflight->count--;
	/* Nothing is answered over a connection that is gone, however soon the export is linked again. */
	return inflight->cuts == cuts ? result : IO_LOST;
}

/* A flush goes on by itself when nobody waits for it any more. */
struct flush {
	struct at at;
	char name[128];
	unsigned references;
	bool done;
	enum io_result result;
};

static void flush_release(struct flush *flush)
{
	if (--flush->references == 0)
		free(flush);
}

static void flush_run(void *data)
{
	struct flush *flush = data;
	struct io io = { .flush = true };

	flush->result = device_io(flush->at, flush->name, 0, &io);
	flush->done = true;
	flush_release(flush);
}

int io_flush(struct storage *node, const char *name, uint64_t timeout_us, struct error *error)
{
	struct flush *flush = calloc(1, sizeof(*flush));
	uint64_t until = world_now + timeout_us;
	int code = 0;

	if (flush == NULL)
		abort();
	*flush = (struct flush){ .at = { node, node->machine->boots }, .references = 2 };
	snprintf(flush->name, sizeof(flush->name), "%s", name);
	io_start(flush_run, flush);
	while (!flush->done && world_now < until)
		world_sleep(WORLD_MS / 4);
	if (!flush->done || flush->result != IO_DONE)
		code = error_set(error, ERROR_UNAVAILABLE, "%s was not flushed", name);
	flush_release(flush);
	return code;
}

static size_t ld_below(struct at at, const char *name, size_t depth, uint64_t lds[], size_t count)
{
	struct observed_dm *dm = sim_dm_find(kernel_of(at), name);

	if (dm == NULL || depth > 12)
		return count;
	if (strncmp(dm->name, "dnvme-raiddata-ld", 17) == 0 && count < 32) {
		lds[count++] = strtoull(dm->name + 17, NULL, 10);
		return count;
	}
	for (size_t i = 0; i < dm->targets.count; i++) {
		char copy[LIMIT_DM_PARAMS + 2], *rest = NULL;

		snprintf(copy, sizeof(copy), "%s", dm->targets.items[i].params);
		for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
			uint64_t major, minor;
			struct observed_dm *below;

			if (sscanf(word, "%" SCNu64 ":%" SCNu64, &major, &minor) != 2)
				continue;
			below = dm_by_number(kernel_of(at), major, minor);
			if (below != NULL)
				count = ld_below(at, below->name, depth + 1, lds, count);
		}
	}
	return count;
}

size_t io_copies(struct storage *node, const char *pool, uint64_t lds[], size_t count)
{
	struct at at = { node, node->machine->boots };
	struct group_status status;
	struct group_table table;
	uint64_t volume, leg, start;
	char name[128];
	size_t found = 0;
	bool suspended;

	if (sscanf(pool, "dnvme-pool-v%" SCNu64 ".l%" SCNu64, &volume, &leg) != 2)
		return 0;
	snprintf(name, sizeof(name), "dnvme-raid-v%" PRIu64 ".l%" PRIu64 ".g0", volume, leg);
	if (!mirror_find(at, name, &table, &status, &suspended)) {
		uint64_t all[32];

		/* One copy. */
		found = ld_below(at, name, 0, all, 0);
		for (size_t i = 0; i < found && i < count; i++)
			lds[i] = all[i];
		return found < count ? found : count;
	}
	for (size_t i = 0; i < table.count && found < count; i++) {
		uint64_t ld = table.data[i] != 0 && i < status.count && status.health[i] == 'A'
				      ? ld_of(at, table.data[i], &start)
				      : 0;

		if (ld != 0)
			lds[found++] = ld;
	}
	return found;
}

void io_begin(void)
{
	inflight_count = use_count = line_count = 0;
	waiters = NULL;
}

/* To disable a namespace waits for what is in flight, and with it all of nvmet: so it is not tried before. */
static int quiet_await(struct storage *node, const char *nqn, struct error *error)
{
	uint64_t end_us = world_now + QUIET_LIMIT_MS * WORLD_MS;

	while (inflight_get(node, nqn)->count > 0) {
		if (world_now >= end_us)
			return error_set(error, ERROR_UNAVAILABLE, "requests to %s are under way", nqn);
		world_sleep(WORLD_MS);
	}
	return 0;
}

int io_operation(struct storage *node, const char *operation, const char *name, struct error *error)
{
	struct at at = { node, node->machine->boots };

	if (strcmp(operation, "port_unlink") == 0)
		inflight_get(node, name)->cuts++;
	if (strcmp(operation, "namespace_remove") == 0 && quiet_await(node, name, error) != 0)
		return error->code;
	if (strcmp(operation, "dm_reload") == 0 || strcmp(operation, "dm_suspend") == 0 ||
	    strcmp(operation, "dm_drain") == 0 || strcmp(operation, "dm_remove") == 0)
		use_wait(node, name);
	if (strcmp(operation, "pause_hold") == 0)
		pause_wait(node, name);
	if (strcmp(operation, "block_fill") == 0) {
		uint64_t lds[32];
		size_t count = ld_below(at, name, 0, lds, 0);

		for (size_t i = 0; i < count; i++)
			media_ld_clear(lds[i]);
	}
	return 0;
}
