/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mirrors: their status, their superblocks, and what happens to their members. */
#include "agent/backend/sim/sim_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/group.h"
#include "agent/list.h"
#include "agent/planner.h"
#include "agent/superblock.h"

static int status_set(struct sim_kernel *this, struct observed_dm *dm, const char *health, uint64_t done,
		      const char *action)
{
	dm->status = arena_printf(&this->arena, "raid1 %zu %s %" PRIu64 "/%" PRIu64 " %s 0 0 -", strlen(health), health,
				  done, dm->targets.items[0].length, action);
	dm->event++;
	return dm->status != NULL ? 0 : -1;
}

static const struct observed_dm *dm_by_number(struct sim_kernel *this, uint64_t device)
{
	for (size_t i = 0; i < this->observed.dms.count; i++) {
		const struct observed_dm *dm = &this->observed.dms.items[i];

		if (PLANNER_DEVICE(dm->major, dm->minor) == device)
			return dm;
	}
	return NULL;
}

static bool metadata_place(struct sim_kernel *this, const struct group_table *table, size_t index,
			   struct sim_place *ret_place)
{
	const struct observed_dm *metadata = dm_by_number(this, table->metadata[index]);

	return metadata != NULL && sim_block_place(this, metadata->name, 0, ret_place, NULL) == 0;
}

/* The superblock of a member, and its bitmap when others are away, or failed (a bit mask). */
static int superblock_put(struct sim_kernel *this, const struct group_table *table, size_t index, bool complete,
			  uint64_t failed)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], bitmap[SUPERBLOCK_BLOCK_BYTES];
	struct sim_place place;
	uint64_t away = failed;

	if (!metadata_place(this, table, index, &place)) {
		this->superblocks_wait = true;
		return 0;
	}
	for (size_t i = 0; i < table->count; i++)
		away |= (uint64_t)(table->data[i] == 0) << i;
	if (complete && away != 0) {
		superblock_make_degraded(block, bitmap, index, away);
		if (sim_block_put(&place, SUPERBLOCK_BITMAP_START, bitmap) != 0)
			return -1;
	} else {
		superblock_make(block, index, complete);
	}
	return sim_block_put(&place, 0, block);
}

/* The place that a member had when its superblock was written, which a table may have changed since. */
static uint64_t place_before(struct sim_kernel *this, const struct group_table *table, size_t index)
{
	const struct sim_block *block = NULL;
	struct sim_place place;

	if (table->data[index] != 0 && metadata_place(this, table, index, &place))
		block = sim_block_find(&place, 0);
	return block != NULL && superblock_check(block->data.data, place.key, NULL) == 0
		       ? superblock_place(block->data.data)
		       : index;
}

/* Whether the superblock of one member knows that the one that had that place failed. */
static bool knows_failure(struct sim_kernel *this, const struct group_table *table, size_t index, size_t failed)
{
	const struct sim_block *block, *bitmap;
	struct sim_place place;

	if (table->data[index] == 0 || !metadata_place(this, table, index, &place))
		return false;
	block = sim_block_find(&place, 0);
	bitmap = sim_block_find(&place, SUPERBLOCK_BITMAP_START);
	return block != NULL && bitmap != NULL && superblock_check(block->data.data, place.key, NULL) == 0 &&
	       superblock_remembers(block->data.data, bitmap->data.data, failed, place.key, NULL) == 0;
}

/* Whether the member is to be copied: the table says so, its superblock, or one that knows that it failed. */
static bool is_behind(struct sim_kernel *this, const struct group_table *table, size_t index)
{
	const struct sim_block *block;
	struct sim_place place;
	uint64_t before = place_before(this, table, index);

	if (table->rebuild[index])
		return true;
	for (size_t i = 0; i < table->count; i++) {
		if (i != index && knows_failure(this, table, i, before))
			return true;
	}
	if (!metadata_place(this, table, index, &place))
		return false;
	block = sim_block_find(&place, 0);
	return block != NULL && superblock_check(block->data.data, place.key, NULL) == 0 &&
	       !superblock_is_complete(block->data.data);
}

int sim_raid_start(struct sim_kernel *this, struct observed_dm *dm, struct error *error)
{
	struct group_table table;
	char health[LIMIT_MEMBERS + 1] = "";
	bool rebuilding = false;

	if (!group_table_parse(&dm->targets, &table))
		return 0;
	/* All superblocks are read before any is written. */
	for (size_t i = 0; i < table.count; i++) {
		bool held = table.data[i] != 0 && this->hold_rebuilds && is_behind(this, &table, i);

		health[i] = table.data[i] == 0 ? '-' : held ? 'a' : 'A';
		rebuilding = rebuilding || held;
	}
	for (size_t i = 0; i < table.count; i++) {
		if (table.data[i] != 0 && superblock_put(this, &table, i, health[i] == 'A', 0) != 0)
			return error_set_nomem(error);
	}
	return status_set(this, dm, health, rebuilding ? 0 : dm->targets.items[0].length,
			  rebuilding ? "recover" : "idle") != 0
		       ? error_set_nomem(error)
		       : 0;
}

static uint64_t failed_mask(const struct group_status *status)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < status->count; i++)
		mask |= (uint64_t)(status->health[i] == 'D') << i;
	return mask;
}

static int superblocks_put(struct sim_kernel *this, const struct group_table *table, const struct group_status *status)
{
	for (size_t m = 0; m < table->count && m < status->count; m++) {
		if (table->data[m] != 0 && (status->health[m] == 'A' || status->health[m] == 'a') &&
		    superblock_put(this, table, m, status->health[m] == 'A', failed_mask(status)) != 0)
			return -1;
	}
	return 0;
}

/* Whether the path to a member does not answer; one that is gone gives an error. */
static bool is_frozen(struct sim_kernel *this, const struct group_table *table, size_t index)
{
	const struct observed_dm *metadata = dm_by_number(this, table->metadata[index]);
	struct sim_place place;
	struct error error = { 0 };

	return metadata != NULL && sim_block_place(this, metadata->name, 0, &place, &error) == ERROR_UNAVAILABLE;
}

bool kernel_sim_failures_are_known(struct kernel *kernel, const char *name)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm = sim_dm_find(this, name);
	struct group_status status;
	struct group_table table;

	if (dm == NULL || dm->status == NULL || !group_table_parse(&dm->targets, &table))
		return true;
	group_status_parse(dm->status, &status);
	for (size_t i = 0; i < status.count && i < table.count; i++) {
		for (size_t f = 0; f < status.count && status.health[i] == 'A'; f++) {
			if (status.health[f] != 'D' || knows_failure(this, &table, i, f))
				continue;
			if (is_frozen(this, &table, i))
				return false;
			(void)superblock_put(this, &table, i, true, failed_mask(&status));
		}
	}
	return true;
}

void kernel_sim_superblocks_write(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	if (!this->superblocks_wait)
		return;
	this->superblocks_wait = false;
	for (size_t i = 0; i < this->observed.dms.count; i++) {
		struct observed_dm *dm = &this->observed.dms.items[i];
		struct group_status status;
		struct group_table table;

		if (dm->status == NULL || !group_table_parse(&dm->targets, &table))
			continue;
		group_status_parse(dm->status, &status);
		(void)superblocks_put(this, &table, &status);
	}
}

static int member_set(struct kernel *kernel, const char *name, struct error *error,
		      int (*change)(struct sim_kernel *this, struct observed_dm *dm, uint64_t value), uint64_t value)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm;
	int code = 0;

	pthread_mutex_lock(&this->lock);
	dm = sim_dm_find(this, name);
	if (dm == NULL || dm->status == NULL || strncmp(dm->status, "raid1 ", strlen("raid1 ")) != 0)
		code = error_set(error, ERROR_NOT_FOUND, "there is no mirror %s", name);
	else if (change(this, dm, value) != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

static int fail(struct sim_kernel *this, struct observed_dm *dm, uint64_t index)
{
	struct group_status status;
	struct group_table table;

	group_status_parse(dm->status, &status);
	if (index < status.count)
		status.health[index] = 'D';
	if (group_table_parse(&dm->targets, &table) && superblocks_put(this, &table, &status) != 0)
		return -1;
	return status_set(this, dm, status.health, status.done_sectors,
			  status.rebuilding && strchr(status.health, 'a') != NULL ? "recover" : "idle");
}

static int rebuild(struct sim_kernel *this, struct observed_dm *dm, uint64_t sectors)
{
	struct group_status status;
	struct group_table table;
	bool complete;

	group_status_parse(dm->status, &status);
	if (!group_table_parse(&dm->targets, &table))
		return 0;
	complete = sectors >= status.total_sectors;
	for (size_t i = 0; i < status.count && complete; i++) {
		if (status.health[i] != 'a')
			continue;
		status.health[i] = 'A';
		if (superblock_put(this, &table, i, true, failed_mask(&status)) != 0)
			return -1;
	}
	return status_set(this, dm, status.health, complete ? status.total_sectors : sectors,
			  complete ? "idle" : "recover");
}

int kernel_sim_member_fail(struct kernel *kernel, const char *name, unsigned index, struct error *error)
{
	return member_set(kernel, name, error, fail, index);
}

int kernel_sim_rebuild_set(struct kernel *kernel, const char *name, uint64_t sectors, struct error *error)
{
	return member_set(kernel, name, error, rebuild, sectors);
}

void kernel_sim_rebuild_hold(struct kernel *kernel, bool hold)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	this->hold_rebuilds = hold;
	pthread_mutex_unlock(&this->lock);
}
