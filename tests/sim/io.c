/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct machine nowhere = { .name = "io", .up = true };
static struct process kernel_threads = { .machine = &nowhere, .name = "io", .alive = true };

void io_start(void (*run)(void *data), void *data)
{
	coroutine_start(&kernel_threads, run, data);
}

bool io_is_there(struct io_at at)
{
	while (at.node->machine->up && at.node->machine->boots == at.boots) {
		if (machine_runs(at.node->machine))
			return true;
		world_sleep(IO_QUEUE_US);
	}
	return false;
}

bool io_wait(struct io_at at, uint64_t us)
{
	world_sleep(us);
	return io_is_there(at);
}

struct sim_kernel *io_kernel(struct io_at at)
{
	return (struct sim_kernel *)at.node->kernel;
}

/* A flush goes on by itself when nobody waits for it any more. */
struct flush {
	struct io_at at;
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

	flush->result = io_device(flush->at, flush->name, 0, &io);
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

static size_t ld_below(struct io_at at, const char *name, size_t depth, uint64_t lds[], size_t count)
{
	struct observed_dm *dm = sim_dm_find(io_kernel(at), name);

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
			below = io_dm_by_number(io_kernel(at), major, minor);
			if (below != NULL)
				count = ld_below(at, below->name, depth + 1, lds, count);
		}
	}
	return count;
}

size_t io_copies(struct storage *node, const char *pool, uint64_t lds[], size_t count)
{
	struct io_at at = { node, node->machine->boots };
	struct group_status status;
	struct group_table table;
	uint64_t volume, leg, start;
	char name[128];
	size_t found = 0;
	bool suspended;

	if (sscanf(pool, "dnvme-pool-v%" SCNu64 ".l%" SCNu64, &volume, &leg) != 2)
		return 0;
	snprintf(name, sizeof(name), "dnvme-raid-v%" PRIu64 ".l%" PRIu64 ".g0", volume, leg);
	if (!io_mirror_find(at, name, &table, &status, &suspended)) {
		uint64_t all[32];

		/* One copy. */
		found = ld_below(at, name, 0, all, 0);
		for (size_t i = 0; i < found && i < count; i++)
			lds[i] = all[i];
		return found < count ? found : count;
	}
	for (size_t i = 0; i < table.count && found < count; i++) {
		uint64_t ld = table.data[i] != 0 && i < status.count && status.health[i] == 'A'
				      ? io_ld_of(at, table.data[i], &start)
				      : 0;

		if (ld != 0)
			lds[found++] = ld;
	}
	return found;
}

void io_begin(void)
{
	io_device_begin();
	io_path_begin();
	io_target_begin();
	io_wire_begin();
}

int io_operation(struct storage *node, const char *operation, const char *name, struct error *error)
{
	struct io_at at = { node, node->machine->boots };

	if (strcmp(operation, "port_unlink") == 0)
		io_cut(node, name);
	if (strcmp(operation, "namespace_remove") == 0 && io_target_drain(node, name, error) != 0)
		return error->code;
	if (strcmp(operation, "dm_reload") == 0 || strcmp(operation, "dm_suspend") == 0 ||
	    strcmp(operation, "dm_drain") == 0 || strcmp(operation, "dm_remove") == 0)
		io_device_drain(node, name);
	if (strcmp(operation, "pause_hold") == 0)
		io_device_pause(node, name);
	if (strcmp(operation, "block_fill") == 0) {
		uint64_t lds[32];
		size_t count = ld_below(at, name, 0, lds, 0);

		for (size_t i = 0; i < count; i++)
			media_ld_clear(lds[i]);
	}
	return 0;
}
