/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/media.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "tests/sim/check.h"

#define BLOCKS_MAX 8192 /* a power of two */
#define LDS_MAX 512

static struct cell {
	const struct storage *node;
	uint64_t disk, sector, at;
	struct media_block block;
	struct media_block kept; /* in_cache: what is on the medium itself */
	bool in_cache;
	uint64_t busy_until;
} slots[BLOCKS_MAX];
static size_t slot_count;

static struct ld_known {
	bool known, spoilt;
	struct media_place place;
	uint64_t sectors;
} lds[LDS_MAX];

static struct cell *slot_find(const struct storage *node, uint64_t disk, uint64_t sector)
{
	uint64_t hash = (sector * UINT64_C(0x9e3779b97f4a7c15)) ^ (disk << 7) ^ ((uint64_t)(node - nodes) << 3);
	size_t at = (size_t)(hash ^ hash >> 29) % BLOCKS_MAX;

	while (slots[at].node != NULL &&
	       (slots[at].node != node || slots[at].disk != disk || slots[at].sector != sector))
		at = (at + 1) % BLOCKS_MAX;
	return &slots[at];
}

struct media_block media_read(const struct storage *node, uint64_t disk, uint64_t sector)
{
	return slot_find(node, disk, sector)->block;
}

static struct cell *slot_take(const struct storage *node, uint64_t disk, uint64_t sector)
{
	struct cell *slot = slot_find(node, disk, sector);

	if (slot->node == NULL && ++slot_count > BLOCKS_MAX / 2)
		world_fail("more blocks than the simulated media have room for");
	slot->node = node;
	slot->disk = disk;
	slot->sector = sector;
	return slot;
}

void media_write(const struct storage *node, uint64_t disk, uint64_t sector, struct media_block block, bool durable)
{
	struct cell *slot = slot_take(node, disk, sector);
	bool cached = !durable && kernel_sim_disk_is_volatile(node->kernel, disk);

	if (cached)
		check_cached_write(node, disk);

	if (cached && !slot->in_cache)
		slot->kept = slot->block;
	slot->in_cache = cached;
	slot->block = block;
	slot->at = world_now;
}

uint64_t media_write_turn(const struct storage *node, uint64_t disk, uint64_t sector, uint64_t takes_us)
{
	struct cell *slot = slot_take(node, disk, sector);
	uint64_t done = world_now + takes_us;

	if (done <= slot->busy_until)
		done = slot->busy_until + 1;
	slot->busy_until = done;
	return done;
}

void media_flush(const struct storage *node, uint64_t disk)
{
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node == node && slots[i].disk == disk)
			slots[i].in_cache = false;
	}
}

/* The blocks of an LD that hold something. */
static bool is_in(const struct cell *slot, const struct ld_known *ld)
{
	return slot->node == ld->place.node && slot->disk == ld->place.disk && slot->sector >= ld->place.start &&
	       slot->sector < ld->place.start + ld->sectors;
}

/* All LDs that the node has now. */
static void lds_look(const struct storage *node)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;
	struct media_place place;
	uint64_t id;

	for (size_t i = 0; i < kernel->observed.dms.count; i++) {
		if (sscanf(kernel->observed.dms.items[i].name, "dnvme-ld-ld%" SCNu64, &id) == 1)
			media_ld_find(id, &place);
	}
}

bool media_power_lost(const struct storage *node)
{
	bool lost = false;

	lds_look(node);
	/* Whether it was in luck nobody can know. */
	for (size_t n = 0; n < LDS_MAX; n++) {
		if (!lds[n].known || lds[n].place.node != node ||
		    !kernel_sim_disk_is_volatile(node->kernel, lds[n].place.disk))
			continue;
		lds[n].spoilt = lost = true;
	}
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node != node || !slots[i].in_cache)
			continue;
		slots[i].in_cache = false;
		switch (world_below(4)) {
		case 0:
			continue;
		case 1:
			slots[i].block = (struct media_block){ MEDIA_TORN, 0 };
			break;
		default:
			slots[i].block = slots[i].kept;
		}
	}
	return lost;
}

bool media_ld_is_spoilt(uint64_t ld)
{
	return ld < LDS_MAX && lds[ld].spoilt;
}

void media_ld_spoil(uint64_t ld)
{
	if (ld < LDS_MAX)
		lds[ld].spoilt = true;
}

void media_ld_is_whole(uint64_t ld)
{
	if (ld < LDS_MAX)
		lds[ld].spoilt = false;
}

static bool ld_look(uint64_t id, struct ld_known *ld)
{
	char name[64];

	snprintf(name, sizeof(name), "dnvme-ld-ld%" PRIu64, id);
	for (size_t n = 0; n < node_count; n++) {
		struct observed_dm *dm = sim_dm_find((struct sim_kernel *)nodes[n].kernel, name);
		uint64_t major, minor, start;

		if (dm == NULL || dm->targets.count == 0 ||
		    sscanf(dm->targets.items[0].params, "%" SCNu64 ":%" SCNu64 " %" SCNu64, &major, &minor, &start) !=
			    3)
			continue;
		*ld = (struct ld_known){ .known = true,
					 .place = { &nodes[n], minor, start },
					 .sectors = dm->targets.items[0].length };
		return true;
	}
	return false;
}

bool media_ld_find(uint64_t id, struct media_place *ret_place)
{
	if (id >= LDS_MAX)
		world_fail("more LDs than the simulated media have room for");
	if (!lds[id].known && !ld_look(id, &lds[id]))
		return false;
	*ret_place = lds[id].place;
	return true;
}

struct media_block media_ld_read(uint64_t ld, uint64_t sector)
{
	struct media_place place;

	if (!media_ld_find(ld, &place))
		return (struct media_block){ 0 };
	return media_read(place.node, place.disk, place.start + sector);
}

size_t media_ld_list(uint64_t id, struct media_seen **ret_seen)
{
	struct media_place place;
	size_t count = 0;

	*ret_seen = NULL;
	if (!media_ld_find(id, &place))
		return 0;
	*ret_seen = calloc(slot_count + 1, sizeof(**ret_seen));
	if (*ret_seen == NULL)
		abort();
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node != NULL && is_in(&slots[i], &lds[id]) && slots[i].block.volume != 0)
			(*ret_seen)[count++] = (struct media_seen){ slots[i].sector - place.start, slots[i].block };
	}
	return count;
}

void media_ld_clear(uint64_t id)
{
	struct media_place place;

	if (!media_ld_find(id, &place))
		return;
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node != NULL && is_in(&slots[i], &lds[id])) {
			slots[i].block = (struct media_block){ 0 };
			slots[i].in_cache = false;
		}
	}
}

void media_ld_copy(uint64_t from, uint64_t to, uint64_t since)
{
	struct media_place source, target;

	if (!media_ld_find(from, &source) || !media_ld_find(to, &target))
		return;
	/* What the target has and the source has not is zeros there. */
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node != NULL && is_in(&slots[i], &lds[to]) && slots[i].at < since &&
		    media_read(source.node, source.disk, source.start + slots[i].sector - target.start).volume == 0)
			slots[i].block = (struct media_block){ 0 };
	}
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		const struct cell *written;
		struct media_block has;
		uint64_t sector;

		if (slots[i].node == NULL || !is_in(&slots[i], &lds[from]) || slots[i].block.volume == 0)
			continue;
		sector = target.start + slots[i].sector - source.start;
		written = slot_find(target.node, target.disk, sector);
		has = written->block;
		/* A write that came meanwhile is on its way to the source as well: md orders the two. */
		if (slots[i].block.volume == MEDIA_TORN && written->at >= since)
			continue;
		if (has.volume != slots[i].block.volume || has.sequence < slots[i].block.sequence)
			media_write(target.node, target.disk, sector, slots[i].block, true);
	}
	lds[to].spoilt = false;
	/* A copy counts as complete only when the cache of its disk was flushed. */
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		if (slots[i].node != NULL && is_in(&slots[i], &lds[to]))
			slots[i].in_cache = false;
	}
}
