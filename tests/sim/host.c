/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "fsm/fsm.h"
#include "lib/model/layout.h"
#include "tests/sim/io.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"
#include "tests/sim/snapshots.h"

#define VOLUMES 32
#define BLOCKS 6
#define HISTORY 1024 /* writes to a block of which it is known when they were sent and acknowledged */
#define LOOK_US (20 * WORLD_MS)
#define RECONNECT_US WORLD_SECOND
#define RETRANSMIT_US (200 * WORLD_MS)
#define KEEP_ALIVE_ONE_US (2 * WORLD_SECOND)
#define KEEP_ALIVE_MANY_US (3 * WORLD_SECOND)

struct path {
	bool live, optimized;
	uint64_t generation; /* of connections; 0: there was none yet */
	const unsigned *cuts_now;
	unsigned cuts;
	uint64_t boots, try_at, unheard_since, patience_us;
	uint64_t shown_changes; /* of the kernel, when it was looked at last */
};

struct volume_used {
	uint64_t number; /* the mark on its blocks; 0: this place is free */
	bool used;
	char name[32], nqn[224];
	uint64_t size_bytes;
	unsigned slots;
	struct path paths[NODES_MAX];
	struct block {
		struct volume_used *volume;
		uint64_t sector;
		uint64_t acknowledged, sent; /* sequence numbers */
		bool busy, is_read, is_forced;
		bool durable;	  /* what was acknowledged last was forced */
		bool forgiven;	  /* what is there is not known until it is written again */
		uint64_t risk;	  /* what was sent when a cache was lost that could have it */
		uint64_t lost;	  /* what was sent when the last cache that could have it was lost */
		uint64_t attempt; /* counts them; an answer to an earlier one is not heard */
		bool under_way;
		size_t node; /* by which path */
		uint64_t generation;
		uint64_t next_at, since, again_at;
		struct write_times {
			uint64_t sequence, sent_at, acknowledged_at; /* 0: not */
		} history[HISTORY];
	} blocks[BLOCKS];
};

struct attempt {
	struct block *block;
	char nqn[224]; /* the block may be another volume's when an old attempt ends */
	uint64_t number, attempt, generation;
	size_t node;
	struct io io;
};

static struct volume_used volumes[VOLUMES];
static uint64_t next_number;
static struct machine *machine;
static struct world_event look;
static bool quiet;
static uint64_t acknowledged;

/* --- requests --------------------------------------------------------------------------------------------------- */

static bool attempt_stands(void *data)
{
	const struct attempt *attempt = data;
	const struct volume_used *volume = attempt->block->volume;
	const struct path *path = &volume->paths[attempt->node];

	return volume->number == attempt->number && path->live && path->generation == attempt->generation &&
	       path->cuts == *path->cuts_now;
}

static bool travel(const struct machine *from, const struct machine *to, struct attempt *attempt)
{
	world_sleep(net_delay(from, to));
	while (!machine_hears(from, to)) {
		if (!attempt_stands(attempt))
			return false;
		world_sleep(RETRANSMIT_US);
	}
	return true;
}

static void request_done(struct attempt *attempt)
{
	struct block *block = attempt->block;
	struct volume_used *volume = block->volume;

	block->busy = block->under_way = false;
	block->next_at = world_now + world_between(WORLD_MS, 400 * WORLD_MS);
	world_trace("the host has attempt %" PRIu64 " of v#%" PRIu64 " sector %" PRIu64 " answered by %s",
		    attempt->attempt, volume->number, block->sector, nodes[attempt->node].name);
	if (attempt->io.write) {
		block->acknowledged = attempt->io.block.sequence;
		block->durable = attempt->io.forced;
		block->history[block->acknowledged % HISTORY].acknowledged_at = world_now;
		/* An answer that was on its way when the power went says nothing of what is there now. */
		block->forgiven = block->acknowledged <= block->lost;
		acknowledged++;
		return;
	}
	if (block->forgiven && (attempt->io.block.volume == volume->number || attempt->io.block.volume == 0 ||
				attempt->io.block.volume == MEDIA_TORN))
		return;
	if (block->acknowledged > 0 && attempt->io.block.volume != volume->number)
		world_fail("foreign data: %s at sector %" PRIu64 " has a block of volume %" PRIu64 ", not %" PRIu64,
			   volume->name, block->sector, attempt->io.block.volume, volume->number);
	if (block->acknowledged == 0 && attempt->io.block.volume != 0)
		world_fail("foreign data: %s at sector %" PRIu64
			   " was never written and has a block of volume %" PRIu64,
			   volume->name, block->sector, attempt->io.block.volume);
	if (attempt->io.block.sequence != block->acknowledged)
		world_fail("%s: %s at sector %" PRIu64 " reads write %" PRIu64 ", acknowledged was %" PRIu64,
			   attempt->io.block.sequence < block->acknowledged ? "lost write or stale read"
									    : "two writers",
			   volume->name, block->sector, attempt->io.block.sequence, block->acknowledged);
}

static void attempt_run(void *data)
{
	struct attempt *attempt = data;
	struct block *block = attempt->block;
	struct storage *node = &nodes[attempt->node];
	enum io_result result = IO_LOST;
	struct io_way way = { .from = machine, .stands = attempt_stands, .data = attempt };
	bool heard;

	if (travel(machine, node->machine, attempt))
		result = io_target(node, &way, NODE_PORT, attempt->nqn, NULL, block->sector, &attempt->io);
	heard = result != IO_LOST && travel(node->machine, machine, attempt) && attempt_stands(attempt) &&
		block->attempt == attempt->attempt;
	if (heard && result == IO_DONE) {
		request_done(attempt);
	} else if (heard && result == IO_ERROR && attempt->io.failed) {
		/* No copy that counts could do it. Whoever uses the volume tries again. */
		world_trace("the host is told that a %s of v#%" PRIu64 " sector %" PRIu64 " failed",
			    attempt->io.write ? "write" : "read", attempt->number, block->sector);
		block->under_way = false;
		block->again_at = world_now + world_between(20 * WORLD_MS, WORLD_SECOND);
	} else if (heard && result == IO_ERROR) {
		world_fail("%s: the host is told of an I/O error by %s", block->volume->name, node->name);
	} else if (heard) {
		/* The path is not optimized any more. */
		block->volume->paths[attempt->node].optimized = false;
		block->under_way = false;
	}
	free(attempt);
}

/* Send what waits, or a new one, by a path that can. */
static void block_look(struct block *block)
{
	struct volume_used *volume = block->volume;
	size_t usable[NODES_MAX], count = 0;
	struct attempt *attempt;

	if (block->under_way && volume->paths[block->node].live &&
	    volume->paths[block->node].generation == block->generation)
		return;
	if (!block->busy) {
		if (quiet || world_now < block->next_at)
			return;
		block->busy = true;
		block->since = world_now;
		block->is_read = world_chance(300);
		block->is_forced = world_chance(300);
		if (!block->is_read) {
			block->sent++;
			block->history[block->sent % HISTORY] =
				(struct write_times){ .sequence = block->sent, .sent_at = world_now };
		}
	}
	block->under_way = false;
	if (world_now < block->again_at)
		return;
	for (size_t i = 0; i < node_count; i++) {
		if (volume->paths[i].live && volume->paths[i].optimized)
			usable[count++] = i;
	}
	if (count == 0)
		return;
	attempt = calloc(1, sizeof(*attempt));
	if (attempt == NULL)
		abort();
	block->node = usable[world_below(count)];
	block->generation = volume->paths[block->node].generation;
	block->under_way = true;
	*attempt = (struct attempt){ .block = block,
				     .number = volume->number,
				     .attempt = ++block->attempt,
				     .generation = block->generation,
				     .node = block->node,
				     .io = { .write = !block->is_read,
					     .forced = block->is_forced,
					     .attempt = block->attempt,
					     .block = { volume->number, block->sent } } };
	snprintf(attempt->nqn, sizeof(attempt->nqn), "%s", volume->nqn);
	world_trace("the host sends a %s of v#%" PRIu64 " sector %" PRIu64 " write %" PRIu64 " attempt %" PRIu64
		    " to %s",
		    block->is_read ? "read" : "write", volume->number, block->sector, block->sent, block->attempt,
		    nodes[block->node].name);
	io_start(attempt_run, attempt);
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

static void path_lost(struct volume_used *volume, size_t index, const char *why)
{
	struct path *path = &volume->paths[index];

	world_trace("the host loses the path of %s to %s: %s", volume->name, nodes[index].name, why);
	path->live = path->optimized = false;
	path->unheard_since = 0;
	path->try_at = world_now + RECONNECT_US;
}

static void path_look(struct volume_used *volume, size_t index)
{
	static struct kernel_sim_namespaces namespaces;
	struct storage *node = &nodes[index];
	struct path *path = &volume->paths[index];
	bool hears = machine_hears(machine, node->machine) && machine_hears(node->machine, machine), goes_on;
	uint64_t changes = 0; /* of a new path nothing was shown yet */

	if (!path->live) {
		if (world_now < path->try_at)
			return;
		path->try_at = world_now + RECONNECT_US / 2;
		if (!hears)
			return;
		node_enter(node);
		goes_on = kernel_sim_ask(node->kernel, NODE_PORT, volume->nqn, HOST_NQN, "10.0.3.1", false,
					 &namespaces) == KERNEL_SIM_TAKEN;
		node_leave();
		if (!goes_on)
			return;
		world_trace("the host has a path of %s to %s", volume->name, node->name);
		path->live = true;
		path->generation++;
		path->boots = node->machine->boots;
		path->cuts_now = io_cuts(node, volume->nqn);
		path->cuts = *path->cuts_now;
	} else {
		if (!hears) {
			uint64_t least = volume->slots > 1 ? KEEP_ALIVE_MANY_US : KEEP_ALIVE_ONE_US;

			/* A command of the keep-alive timed out: not before its own time, and late at worst. */
			if (path->unheard_since == 0) {
				path->unheard_since = world_now;
				path->patience_us = world_between(least, least * 5 / 2);
			}
			if (world_now - path->unheard_since > path->patience_us)
				path_lost(volume, index, "it is silent");
			return;
		}
		path->unheard_since = 0;
		if (path->boots != node->machine->boots) {
			path_lost(volume, index, "it was booted anew");
			return;
		}
		if (path->cuts != *path->cuts_now) {
			path_lost(volume, index, "unlinked");
			return;
		}
		/* What is exported is as it was when nothing changed; a gate shuts by itself. */
		changes = kernel_sim_changes(node->kernel);
		node_enter(node);
		goes_on = changes == path->shown_changes
				  ? kernel_sim_is_open(node->kernel, NODE_PORT)
				  : kernel_sim_goes_on(node->kernel, NODE_PORT, volume->nqn, &namespaces);
		node_leave();
		if (!goes_on) {
			path_lost(volume, index, "reset");
			return;
		}
		if (changes == path->shown_changes)
			return;
	}
	path->shown_changes = changes;
	path->optimized = namespaces.count > 0 && namespaces.items[0].optimized;
}

static void on_look(struct world_event *event)
{
	event_at(event, world_now + LOOK_US);
	if (!machine_runs(machine))
		return;
	for (size_t v = 0; v < VOLUMES; v++) {
		if (volumes[v].number == 0)
			continue;
		for (size_t i = 0; i < node_count; i++) {
			if (!nodes[i].storage_only)
				path_look(&volumes[v], i);
		}
		for (size_t b = 0; b < BLOCKS; b++)
			block_look(&volumes[v].blocks[b]);
	}
}

/* What it gives up, the other side hears of later, if at all: by then it has noticed the silence. */
size_t host_visits(size_t node, struct peer_visit *ret_visits, size_t room)
{
	size_t count = 0;

	for (size_t v = 0; v < VOLUMES && count < room; v++) {
		const struct path *path = &volumes[v].paths[node];

		if (volumes[v].number == 0 || !path->live || path->cuts != *path->cuts_now)
			continue;
		ret_visits[count++] = (struct peer_visit){
			.connection = volumes[v].number << 32 | path->generation,
			.address = { 10, 0, 3, 1 },
			.silent_ms = path->unheard_since != 0 ? (world_now - path->unheard_since) / WORLD_MS : 0,
		};
	}
	return count;
}

/* --- the door --------------------------------------------------------------------------------------------------- */

void host_begin(void)
{
	machine = machine_make("host", 10 << 24 | 3 << 8 | 2);
	event_init(&look, NULL, on_look, NULL);
	event_at(&look, world_now + LOOK_US);
}

void host_use(const char *name, const char *nqn, uint64_t size_bytes, unsigned slots)
{
	struct volume_used *volume = volumes;

	while (volume->number != 0) {
		if (++volume == volumes + VOLUMES)
			world_fail("more volumes than the host has room for");
	}
	memset(volume, 0, sizeof(*volume));
	volume->number = ++next_number;
	volume->size_bytes = size_bytes;
	volume->slots = slots;
	snprintf(volume->name, sizeof(volume->name), "%s", name);
	snprintf(volume->nqn, sizeof(volume->nqn), "%s", nqn);
	for (size_t b = 0; b < BLOCKS; b++) {
		volume->blocks[b].volume = volume;
		/* Apart, so that no two are the same. */
		volume->blocks[b].sector = (size_bytes / 512 / BLOCKS * b + world_below(size_bytes / 512 / BLOCKS)) /
					   MEDIA_SECTORS * MEDIA_SECTORS;
	}
}

/* Its place stays, as requests of old paths may still be on their way. */
void host_leave(const char *name)
{
	for (size_t v = 0; v < VOLUMES; v++) {
		if (volumes[v].number != 0 && strcmp(volumes[v].name, name) == 0) {
			volumes[v].number = 0;
			memset(volumes[v].paths, 0, sizeof(volumes[v].paths));
		}
	}
}

void host_quiet(void)
{
	quiet = true;
}

bool host_is_quiet(char *ret_why, size_t size)
{
	for (size_t v = 0; v < VOLUMES; v++) {
		for (size_t b = 0; volumes[v].number != 0 && b < BLOCKS; b++) {
			const struct block *block = &volumes[v].blocks[b];

			if (!block->busy)
				continue;
			snprintf(ret_why, size, "%s at sector %" PRIu64 ": a %s waits for %" PRIu64 " ms",
				 volumes[v].name, block->sector, block->is_read ? "read" : "write",
				 (world_now - block->since) / WORLD_MS);
			return false;
		}
	}
	return true;
}

uint64_t host_acknowledged(void)
{
	return acknowledged;
}

/* Where a block of a volume lies: which leg, and where in each of its members. */
struct block_place {
	const struct group *group;
	uint64_t sector; /* in an LD */
};

static struct block_place block_place(const struct block *block, const struct volume *record)
{
	uint64_t stripe = record->stripe_bytes / 512, index = block->sector / stripe, legs = record->legs.count;
	const struct leg *leg = &record->legs.items[index % legs];
	uint64_t in_leg = index / legs * stripe + block->sector % stripe, ld_bytes;
	struct layout_group layout;
	struct error error = { 0 };

	ld_bytes = leg->group_extents * LIMIT_EXTENT_BYTES_DEFAULT;
	if (layout_group_compute(ld_bytes, layout_thin_block_bytes(leg->size_bytes), &layout, &error) != 0)
		world_fail("layout: %s", error.message);
	return (struct block_place){ &leg->groups.items[0],
				     (layout.raid_data_start + layout.thin_metadata_bytes) / 512 + in_leg };
}

/* --- snapshots --------------------------------------------------------------------------------------------------- */

/* What is known of when a snapshot was taken: not before, as it has a write that was sent then; nor after, as it lacks
 * one that was acknowledged then. */
struct moment {
	uint64_t earliest, latest;
	uint64_t early_sector, late_sector;
};

static void moment_take(const struct block *block, const struct media_block *found, struct moment *moment)
{
	uint64_t sequence = found->volume == block->volume->number ? found->sequence : 0;

	if (found->volume == MEDIA_TORN || block->forgiven)
		return;
	if (found->volume != 0 && found->volume != block->volume->number)
		world_fail("foreign data: a snapshot of %s at sector %" PRIu64 " has a block of volume %" PRIu64
			   ", not %" PRIu64,
			   block->volume->name, block->sector, found->volume, block->volume->number);
	for (size_t i = 0; i < HISTORY; i++) {
		const struct write_times *write = &block->history[i];

		if (write->sequence == 0)
			continue;
		if (write->sequence == sequence && write->sent_at > moment->earliest) {
			moment->earliest = write->sent_at;
			moment->early_sector = block->sector;
		}
		/* What a cache lost since need not be there. */
		if (write->sequence > sequence && write->sequence > block->lost && write->acknowledged_at > 0 &&
		    write->acknowledged_at < moment->latest) {
			moment->latest = write->acknowledged_at;
			moment->late_sector = block->sector;
		}
	}
}

static void snapshot_check(const struct volume_used *volume, const struct volume *record, uint64_t number,
			   uint64_t asked_at, uint64_t done_at)
{
	struct moment moment = { 0, UINT64_MAX, 0, 0 };
	struct media_block found[LIMIT_COPIES];

	for (size_t b = 0; b < BLOCKS; b++) {
		const struct block *block = &volume->blocks[b];
		struct block_place where = block_place(block, record);
		uint64_t stripe = record->stripe_bytes / 512, leg = block->sector / stripe % record->legs.count;
		size_t count = snapshots_read(record->id, leg, number, where.sector, found, LIMIT_COPIES);

		if (count == 0)
			world_fail("snapshot %" PRIu64 " of %s is there, but not in the pool of leg %" PRIu64, number,
				   volume->name, leg);
		for (size_t i = 0; i < count; i++)
			moment_take(block, &found[i], &moment);
	}
	world_trace("snapshot %" PRIu64 " of %s is of the time from %" PRIu64 " to %" PRIu64, number, volume->name,
		    moment.earliest, moment.latest);
	if (moment.earliest > moment.latest)
		world_fail("a snapshot is not of one moment: number %" PRIu64 " of %s has a write to sector %" PRIu64
			   " that was sent at %" PRIu64 ", and lacks one to sector %" PRIu64
			   " that was acknowledged at %" PRIu64,
			   number, volume->name, moment.early_sector, moment.earliest, moment.late_sector,
			   moment.latest);
	if (moment.latest < asked_at)
		world_fail("a snapshot is too old: number %" PRIu64 " of %s lacks a write to sector %" PRIu64
			   " that was acknowledged before it was asked for",
			   number, volume->name, moment.late_sector);
	if (moment.earliest > done_at)
		world_fail("a snapshot is too new: number %" PRIu64 " of %s has a write to sector %" PRIu64
			   " that was sent after it was taken",
			   number, volume->name, moment.early_sector);
}

void host_check_snapshot(const char *name, uint64_t number, uint64_t asked_at, uint64_t done_at)
{
	struct dnvmed *dnvmed = server_newest();
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct volume record;

	for (size_t v = 0; v < VOLUMES && dnvmed != NULL; v++) {
		if (volumes[v].number != 0 && strcmp(volumes[v].name, name) == 0 &&
		    fsm_volume_find(dnvmed->fsm, name, &arena, &record, &error) == 0)
			snapshot_check(&volumes[v], &record, number, asked_at, done_at);
	}
	arena_free(&arena);
}

/* Whether an LD has what was acknowledged. */
static bool ld_has(const struct block *block, uint64_t ld, uint64_t sector, struct media_block *ret_found)
{
	*ret_found = media_ld_read(ld, sector);
	if (ret_found->volume == block->volume->number && ret_found->sequence >= block->acknowledged)
		return true;
	return block->acknowledged == 0 && ret_found->volume == 0;
}

/* Whether it is known, though not in the state yet, that a member may lack something: its disk returned an error to a
 * write, or it lost what its cache held. */
static bool is_known_to_lack(struct dnvmed *dnvmed, const struct ld *ld, const struct storage *node)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct node record;
	bool known = ld->doubtful || ld->withheld;

	for (size_t i = 0; i < kernel->observed.errors.count && !known; i++)
		known = kernel->observed.errors.items[i].ld == ld->id && kernel->observed.errors.items[i].writes > 0;
	if (!known && media_ld_is_spoilt(ld->id))
		known = !node->machine->up || fsm_node_get(dnvmed->fsm, node->name, &arena, &record, &error) != 0 ||
			memcmp(record.boot_id, node->machine->boot_id, sizeof(record.boot_id)) != 0;
	arena_free(&arena);
	return known;
}

static void block_check(struct dnvmed *dnvmed, const struct block *block, const struct volume *record)
{
	struct block_place where = block_place(block, record);

	for (size_t m = 0; m < where.group->members.count && !block->forgiven; m++) {
		const struct ld *ld = &where.group->members.items[m];
		struct media_block found;
		struct media_place place;

		if (ld->state != LD_STATE_IN_SYNC || !media_ld_find(ld->id, &place) ||
		    ld_has(block, ld->id, where.sector, &found) || is_known_to_lack(dnvmed, ld, place.node))
			continue;
		world_fail("a lost acknowledged write: ld%" PRIu64 " is in sync and has write %" PRIu64
			   " of volume %" PRIu64 " at sector %" PRIu64 " of %s (%" PRIu64
			   "), acknowledged was %" PRIu64,
			   ld->id, found.sequence, found.volume, block->sector, block->volume->name,
			   block->volume->number, block->acknowledged);
	}
}

/* Whether a copy is one that lost something: with its cache, or because its disk failed; or missed something when
 * another one lost its cache. */
static bool has_lost(const struct ld *ld, const struct storage *node)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;

	for (size_t i = 0; i < kernel->observed.errors.count; i++) {
		if (kernel->observed.errors.items[i].ld == ld->id)
			return true;
	}
	return media_ld_is_spoilt(ld->id);
}

static bool group_is_spoilt(const struct group *group, bool now)
{
	bool spoilt = false;

	for (size_t m = 0; m < group->members.count; m++)
		spoilt = spoilt || media_ld_is_spoilt(group->members.items[m].id);
	for (size_t m = 0; m < group->members.count && spoilt && now; m++) {
		const struct ld *ld = &group->members.items[m];

		if (ld->state != LD_STATE_IN_SYNC || ld->doubtful || ld->withheld)
			media_ld_spoil(ld->id);
	}
	return spoilt;
}

/* A cache lost what it held, now or before. docs/FAILURES.md, "Volatile write caches": as long as one copy of the group
 * lost nothing, nothing is lost; otherwise what was acknowledged until then and not forced may be, where not every copy
 * has it. */
static void block_check_loss(struct block *block, const struct volume *record, bool now)
{
	struct block_place where = block_place(block, record);
	bool everywhere = true;

	if (!group_is_spoilt(where.group, now))
		return;
	/* What was not answered yet is as good as not written. */
	if (now)
		block->risk = block->busy && block->is_forced ? block->acknowledged : block->sent;
	for (size_t m = 0; m < where.group->members.count; m++) {
		const struct ld *ld = &where.group->members.items[m];
		struct media_block found;
		struct media_place place;

		if (ld->state == LD_STATE_FREED)
			continue;
		if (!media_ld_find(ld->id, &place)) {
			/* It is to be made yet, and saves nothing. */
			everywhere = false;
			continue;
		}
		if (!has_lost(ld, place.node))
			return;
		everywhere = everywhere && ld_has(block, ld->id, where.sector, &found);
	}
	if (block->lost < block->risk)
		block->lost = block->risk;
	if (everywhere || block->forgiven || block->acknowledged > block->risk ||
	    (block->durable && block->sent == block->acknowledged))
		return;
	world_trace("write %" PRIu64 " of v#%" PRIu64 " sector %" PRIu64 " may be in no cache any more",
		    block->acknowledged, block->volume->number, block->sector);
	block->forgiven = true;
}

/* All copies are in sync, and it is known of all what they lost: then they have everything that there is. */
static void group_look(struct dnvmed *dnvmed, const struct group *group)
{
	struct media_place place;

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		if (ld->state != LD_STATE_IN_SYNC || !media_ld_find(ld->id, &place) ||
		    is_known_to_lack(dnvmed, ld, place.node))
			return;
	}
	for (size_t m = 0; m < group->members.count; m++)
		media_ld_is_whole(group->members.items[m].id);
}

static void blocks_forgive(struct volume_used *volume)
{
	for (size_t b = 0; b < BLOCKS; b++) {
		volume->blocks[b].forgiven = true;
		volume->blocks[b].lost = volume->blocks[b].sent;
	}
}

void host_forgive(const char *name)
{
	for (size_t v = 0; v < VOLUMES; v++) {
		if (volumes[v].number != 0 && strcmp(volumes[v].name, name) == 0)
			blocks_forgive(&volumes[v]);
	}
}

static void blocks_each(struct dnvmed *dnvmed, struct volume_used *volume, bool loss)
{
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct volume record;

	if (fsm_volume_find(dnvmed->fsm, volume->name, &arena, &record, &error) == 0) {
		for (size_t b = 0; b < BLOCKS; b++) {
			block_check_loss(&volume->blocks[b], &record, loss);
			if (!loss)
				block_check(dnvmed, &volume->blocks[b], &record);
		}
		for (size_t l = 0; l < record.legs.count && !loss; l++) {
			for (size_t g = 0; g < record.legs.items[l].groups.count; g++)
				group_look(dnvmed, &record.legs.items[l].groups.items[g]);
		}
	}
	arena_free(&arena);
}

void host_check_loss(void)
{
	struct dnvmed *dnvmed = server_newest();

	for (size_t v = 0; v < VOLUMES; v++) {
		if (volumes[v].number != 0 && dnvmed != NULL)
			blocks_each(dnvmed, &volumes[v], true);
		else if (volumes[v].number != 0)
			blocks_forgive(&volumes[v]);
	}
}

void host_check_media(void)
{
	struct dnvmed *dnvmed = server_newest();

	for (size_t v = 0; v < VOLUMES && dnvmed != NULL; v++) {
		if (volumes[v].number != 0)
			blocks_each(dnvmed, &volumes[v], false);
	}
}
