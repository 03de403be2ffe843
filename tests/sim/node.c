/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/backend/sim/sim_state.h"
#include "agent/options.h"
#include "tests/sim/check.h"
#include "tests/sim/fabric.h"
#include "tests/sim/fault_disk.h"
#include "tests/sim/host.h"
#include "tests/sim/io.h"
#include "tests/sim/media.h"

#define SNAP_US (400 * WORLD_MS)

struct storage nodes[NODES_MAX];
size_t node_count;

static struct process contexts[NODES_MAX];
#define STREAM_CACHES (UINT64_C(2) << 32)

void node_enter(struct storage *node)
{
	world_current = &contexts[node - nodes];
}

void node_leave(void)
{
	world_current = NULL;
}

/* The kernel belongs to the machine, whatever becomes of a process. */
static void stay(struct kernel *kernel)
{
	(void)kernel;
}

static int cache_off(struct storage *node, const char *path, struct error *error)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;

	/* A disk may write all that its cache held first. */
	if (world_chance(200))
		world_sleep(world_between(100 * WORLD_MS, 4 * WORLD_SECOND));
	if (node->switch_fails && world_chance(500))
		return error_set(error, ERROR_FAILED_PRECONDITION, "the write cache of %s stays on", path);
	for (size_t i = 0; i < kernel->observed.disks.count; i++) {
		if (strcmp(kernel->observed.disks.items[i].path, path) == 0)
			media_flush(node, kernel->observed.disks.items[i].minor);
	}
	return 0;
}

/* Every call of a kernel takes its time, now and then a long one. */
static int take_time(void *data, const char *operation, const char *name, struct error *error)
{
	uint64_t us = world_between(30, 600);

	if (world_chance(5))
		us = world_between(5 * WORLD_MS, 150 * WORLD_MS);
	/* A label is written past every cache. */
	if (strncmp(operation, "block_", 6) == 0 && strncmp(name, "dnvme-ld-", 9) == 0)
		us += fault_disk_delay_us(data);
	/* Not all nodes make their thin devices at one time: what is not held up meanwhile shows. */
	if (strcmp(operation, "pause_snap") == 0)
		us += world_between(0, SNAP_US);
	if (strcmp(operation, "observe") != 0 && strncmp(operation, "gate_", 5) != 0 &&
	    strcmp(operation, "imports_check") != 0 && strcmp(operation, "block_read") != 0)
		world_trace("%s %s", operation, name);
	/* An export of a new LD, while an old one may still be there for a moment. */
	if (strcmp(operation, "namespace_create") == 0)
		check_extents(data);
	if (coroutine_self() != NULL) {
		world_sleep(us);
		if (io_operation(data, operation, name, error) != 0)
			return error->code;
		if (strcmp(operation, "cache_off") == 0)
			return cache_off(data, name, error);
		if (strcmp(operation, "block_flush") == 0)
			return io_flush(data, name, KERNEL_FLUSH_MS * WORLD_MS, error);
	}
	return 0;
}

/* Most caches can be switched off; DNVME_SIM_CACHES=fixed: none can. */
static enum kernel_sim_cache cache_choose(bool *ret_switch_fails)
{
	const char *wanted = getenv("DNVME_SIM_CACHES");
	bool is_volatile = world_chance(400);
	enum kernel_sim_cache cache;

	world_stream_begin(STREAM_CACHES + node_count);
	cache = world_chance(150) ? KERNEL_SIM_CACHE_FIXED : KERNEL_SIM_CACHE_SWITCHABLE;
	*ret_switch_fails = world_chance(300);
	world_stream_end();
	if (wanted != NULL && strcmp(wanted, "fixed") == 0)
		cache = KERNEL_SIM_CACHE_FIXED;
	return is_volatile ? cache : KERNEL_SIM_CACHE_NONE;
}

struct storage *node_make(const char *name, bool storage_only, unsigned disks, const char *servers[], size_t count)
{
	struct storage *node = &nodes[node_count];
	struct error error = { 0 };

	if (node_count == NODES_MAX)
		abort();
	node_count++;
	snprintf(node->name, sizeof(node->name), "%s", name);
	snprintf(node->address, sizeof(node->address), "10.0.2.%zu", node_count);
	node->machine = machine_make(name, (uint32_t)(10 << 24 | 2 << 8 | node_count));
	node->storage_only = storage_only;
	node->disks = disks;
	node->cache = cache_choose(&node->switch_fails);
	contexts[node_count - 1] = (struct process){ .machine = node->machine, .alive = true };
	snprintf(contexts[node_count - 1].name, sizeof(contexts[0].name), "k-%s", name);
	if (kernel_sim_open(NULL, &node->kernel, &error) != 0)
		abort();
	node->operations = *node->kernel->operations;
	node->operations.close = stay;
	node->kernel->operations = &node->operations;
	kernel_sim_fault_set(node->kernel, take_time, node);
	fabric_attach(node);
	for (unsigned i = 0; i < disks; i++) {
		char text[64];

		snprintf(text, sizeof(text), "/dev/sim%u=64GiB", i);
		if (kernel_sim_disk_add(node->kernel, text, &error) != 0)
			abort();
		text[strcspn(text, "=")] = '\0';
		kernel_sim_disk_cache_set(node->kernel, text, node->cache);
	}
	node->options = calloc(1, sizeof(*node->options));
	*node->options = (struct options){ .command = OPTIONS_RUN,
					   .node = node->name,
					   .address = node->address,
					   .port = NODE_PORT,
					   .storage_only = storage_only,
					   .backend = OPTIONS_BACKEND_SIM,
					   .log_level = LOG_LEVEL_INFO };
	node->options->servers.items = calloc(count, sizeof(char *));
	for (size_t i = 0; i < count; i++)
		node->options->servers.items[node->options->servers.count++] = strdup(servers[i]);
	return node;
}

static void agent_main(struct process *process)
{
	struct storage *node = process->data;
	struct error error = { 0 };

	if (agent_run(node->options, node->kernel, &error) != 0) {
		world_trace("agent: %s", error.message);
		process->exit_status = 1;
	}
}

static void agent_killed(struct process *process)
{
	((struct storage *)process->data)->process = NULL;
}

void node_start(struct storage *node)
{
	node->process = process_start(node->machine, node->name, agent_main, agent_killed, node);
}

void node_kill(struct storage *node)
{
	if (node->process != NULL)
		process_kill(node->process);
}

void node_power_cut(struct storage *node)
{
	struct error error = { 0 };
	bool lost;

	machine_power_off(node->machine);
	lost = media_power_lost(node);
	if (kernel_sim_reboot(node->kernel, &error) != 0)
		abort();
	if (lost)
		host_check_loss();
}

void node_power_on(struct storage *node)
{
	machine_power_on(node->machine);
	node_start(node);
}

struct storage *node_by_address(const char *address)
{
	for (size_t i = 0; i < node_count; i++) {
		if (strcmp(nodes[i].address, address) == 0)
			return &nodes[i];
	}
	return NULL;
}

struct storage *node_by_kernel(const struct kernel *kernel)
{
	for (size_t i = 0; i < node_count; i++) {
		if (nodes[i].kernel == kernel)
			return &nodes[i];
	}
	return NULL;
}
