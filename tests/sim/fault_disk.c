/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/fault_disk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

#define BAD_BLOCKS 64

/* Of a machine, by its index. */
static uint64_t slow_until[WORLD_MACHINES], slow_most_us[WORLD_MACHINES], full_until[WORLD_MACHINES];

/* One node at a time has a disk that fails, so that another copy is well, unless it is away. */
static struct {
	struct storage *node;
	uint64_t until;
	unsigned reads, writes; /* that fail, per mille */
} bad;

/* Blocks that cannot be read until they are written. */
static struct bad_block {
	const struct storage *node;
	uint64_t disk, sector;
} bad_blocks[BAD_BLOCKS];
static size_t bad_count;

/* --- faults ----------------------------------------------------------------------------------------------------- */

static void slow(const struct machine *machine, uint64_t us, uint64_t most_us)
{
	slow_until[machine->index] = world_now + us;
	slow_most_us[machine->index] = most_us;
	world_trace("the disks of %s take up to %" PRIu64 " ms, for %" PRIu64 " ms", machine->name, most_us / WORLD_MS,
		    us / WORLD_MS);
}

void fault_server_disk_slow(uint64_t us)
{
	slow(server_machines[world_below(server_count)].machine, us, 400 * WORLD_MS);
}

void fault_server_disk_full(uint64_t us)
{
	const struct server_machine *leader = server_leader();
	const struct machine *machine = leader != NULL && world_chance(400)
						? leader->machine
						: server_machines[world_below(server_count)].machine;

	full_until[machine->index] = world_now + us;
	world_trace("the disk of %s is full for %" PRIu64 " ms", machine->name, us / WORLD_MS);
}

static struct storage *any_with_disks(void)
{
	struct storage *node;

	do
		node = &nodes[world_below(node_count)];
	while (node->disks == 0);
	return node;
}

void fault_disk_slow(uint64_t us)
{
	static const uint64_t most_ms[] = { 20, 100, 800, 3000 };

	slow(any_with_disks()->machine, us, most_ms[world_below(4)] * WORLD_MS);
}

void fault_disk_bad(uint64_t us)
{
	static const unsigned per_mille[] = { 0, 50, 300, 1000 };
	struct storage *node = any_with_disks();

	if (bad.until > world_now)
		return;
	bad.node = node;
	bad.until = world_now + us;
	bad.reads = per_mille[world_below(4)];
	bad.writes = per_mille[world_below(4)];
	world_trace("of %s, %u of 1000 reads and %u writes fail, for %" PRIu64 " ms", node->name, bad.reads, bad.writes,
		    us / WORLD_MS);
}

void fault_disk_heal(void)
{
	memset(slow_until, 0, sizeof(slow_until));
	memset(full_until, 0, sizeof(full_until));
	bad.until = 0;
	bad_count = 0;
}

/* --- what they mean --------------------------------------------------------------------------------------------- */

static uint64_t delay_us(const struct machine *machine, uint64_t least_us)
{
	return slow_until[machine->index] > world_now ? world_between(least_us, slow_most_us[machine->index]) : 0;
}

uint64_t fault_server_delay_us(const struct machine *machine)
{
	return delay_us(machine, 20 * WORLD_MS);
}

bool fault_server_is_full(const struct machine *machine)
{
	return full_until[machine->index] > world_now;
}

uint64_t fault_disk_delay_us(const struct storage *node)
{
	return delay_us(node->machine, WORLD_MS);
}

uint64_t fault_disk_overtake_us(void)
{
	const char *ms = getenv("DNVME_SIM_OVERTAKE_MS");

	return ms != NULL ? strtoull(ms, NULL, 10) * WORLD_MS : 0;
}

static size_t bad_find(const struct storage *node, uint64_t disk, uint64_t sector)
{
	size_t i = 0;

	while (i < bad_count &&
	       (bad_blocks[i].node != node || bad_blocks[i].disk != disk || bad_blocks[i].sector != sector))
		i++;
	return i;
}

static bool is_bad(struct storage *node, uint64_t disk, uint64_t sector, bool write)
{
	bool fails = bad.node == node && bad.until > world_now && world_chance(write ? bad.writes : bad.reads);
	size_t at = bad_find(node, disk, sector);

	if (write) {
		if (!fails && at < bad_count)
			bad_blocks[at] = bad_blocks[--bad_count];
		return fails;
	}
	if (fails && at == bad_count && bad_count < BAD_BLOCKS)
		bad_blocks[bad_count++] = (struct bad_block){ node, disk, sector };
	return fails || at < bad_count;
}

bool fault_disk_fails(struct storage *node, uint64_t ld, uint64_t disk, uint64_t sector, bool write)
{
	struct error error = { 0 };

	if (!is_bad(node, disk, sector, write))
		return false;
	world_trace("ld%" PRIu64 " of %s returns an error to a %s of sector %" PRIu64, ld, node->name,
		    write ? "write" : "read", sector);
	if (kernel_sim_errors_add(node->kernel, ld, !write, write, &error) != 0)
		abort();
	return true;
}

bool fault_disk_owes(const struct storage *node)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;

	for (size_t i = 0; i < kernel->observed.errors.count; i++) {
		if (kernel->observed.errors.items[i].writes > 0)
			return true;
	}
	return false;
}
