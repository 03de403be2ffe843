/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USES_MAX 2048

struct observed_dm *io_dm_by_number(struct sim_kernel *kernel, uint64_t major, uint64_t minor)
{
	for (size_t i = 0; i < kernel->observed.dms.count; i++) {
		struct observed_dm *dm = &kernel->observed.dms.items[i];

		if (dm->major == major && dm->minor == minor)
			return dm;
	}
	return NULL;
}

enum io_result io_number(struct io_at at, uint64_t major, uint64_t minor, uint64_t sector, struct io *io)
{
	struct observed_dm *dm = io_dm_by_number(io_kernel(at), major, minor);
	char name[128];
	size_t length;

	if (major == SIM_NVME_MAJOR)
		return io_remote(at, minor, sector, io);
	if (dm == NULL)
		return IO_ERROR;
	/* It may be gone when the request is done. */
	length = strlen(dm->name);
	if (length >= sizeof(name))
		abort();
	memcpy(name, dm->name, length + 1);
	return io_device(at, name, sector, io);
}

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

static enum io_result striped_io(struct io_at at, const char *params, uint64_t sector, struct io *io)
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
	return io_number(at, device[0], device[1], device[2] + index / count * chunk + sector % chunk, io);
}

static enum io_result device_map(struct io_at at, const char *name, uint64_t sector, struct io *io)
{
	uint64_t numbers[4] = { 0 }, start;
	struct observed_dm *dm = sim_dm_find(io_kernel(at), name);
	const struct observed_target *target;

	while (dm != NULL && dm->suspended) {
		if (!io_wait(at, IO_QUEUE_US))
			return IO_LOST;
		dm = sim_dm_find(io_kernel(at), name);
	}
	if (dm == NULL || dm->targets.count == 0)
		return IO_ERROR;
	target = &dm->targets.items[0];
	for (size_t i = 1; i < dm->targets.count && sector >= target->start + target->length; i++)
		target = &dm->targets.items[i];
	if (strcmp(target->type, "striped") == 0)
		return striped_io(at, target->params, sector, io);
	if (strcmp(target->type, "raid") == 0)
		return io->write ? io_mirror_write(at, name, sector, io) : io_mirror_read(at, name, sector, io);
	if (strcmp(target->type, "thin-pool") == 0) {
		/* The first is its metadata, the second its data. Every block is mapped to itself. */
		if (numbers_parse(target->params, numbers, 4) != 4)
			return IO_ERROR;
		return io_number(at, numbers[2], numbers[3], sector, io);
	}
	if (strcmp(target->type, "error") == 0 || numbers_parse(target->params, numbers, 3) < 2)
		return IO_ERROR;
	start = numbers[2];
	if (strcmp(target->type, "linear") != 0)
		start = 0; /* thin and writethrough */
	if (numbers[0] == SIM_DISK_MAJOR)
		return io_medium(at, name, numbers[1], start + sector - target->start, io);
	return io_number(at, numbers[0], numbers[1], start + sector - target->start, io);
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

/* What holds up the I/O of a volume lets go by itself; what waits for that is not under way. */
static bool is_paused(struct io_at at, const char *name)
{
	struct process *before = world_current;
	const struct observed_dm *dm;

	if (strncmp(name, "dnvme-volume-", 13) != 0)
		return false;
	node_enter(at.node);
	kernel_sim_pauses_look(at.node->kernel);
	world_current = before;
	dm = sim_dm_find(io_kernel(at), name);
	return dm != NULL && dm->suspended;
}

enum io_result io_device(struct io_at at, const char *name, uint64_t sector, struct io *io)
{
	struct use *use = use_get(at.node, name);
	enum io_result result;

	while (use != NULL && ((use->held_by != NULL && use->held_by->alive) || is_paused(at, name))) {
		if (!io_wait(at, WORLD_MS))
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

void io_device_pause(struct storage *node, const char *name)
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

void io_device_drain(struct storage *node, const char *name)
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

void io_device_begin(void)
{
	use_count = 0;
}
