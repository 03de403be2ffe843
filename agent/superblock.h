/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The superblock of dm-raid (drivers/md/dm-raid.c, struct dm_raid_superblock): the first sector of a member's metadata
 * device, little-endian. Only what the kernel writes for a plain raid1 is known here; anything else is refused.
 */
#ifndef DNVME_AGENT_SUPERBLOCK_H
#define DNVME_AGENT_SUPERBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

#define SUPERBLOCK_BLOCK_BYTES 4096

/* 0 when it is one that this agent knows. FAILED_PRECONDITION when there is none, UNSUPPORTED when it has features or a
 * state that this agent does not know; `device` is named. */
int superblock_check(const uint8_t block[SUPERBLOCK_BLOCK_BYTES], const char *device, struct error *error);

/* Whether the kernel recorded that all of the member was rebuilt. Of a block that was checked. */
bool superblock_is_complete(const uint8_t block[SUPERBLOCK_BLOCK_BYTES]);

/* The place in the group that the kernel last wrote it for. By this one the superblocks of the others say whether the
 * member failed, whatever place a later table gives it. Of a block that was checked. */
uint64_t superblock_place(const uint8_t block[SUPERBLOCK_BLOCK_BYTES]);

/* Make the kernel look at the write-intent bitmap from the beginning when it assembles the array: it then copies each
 * chunk that was being written when the node died. Otherwise it believes the array clean. Of a block that was checked.
 * An array that is to be made equal is taken to have as many places as the superblock says, whatever the table does, so
 * that a member behind them would be left out: `places` are those of the table. */
void superblock_request_resync(uint8_t block[SUPERBLOCK_BLOCK_BYTES], uint64_t places);

/* Make the kernel take the member for one that misses something, whatever it holds: it is never the freshest, and when
 * the others remember that it failed, the kernel copies the chunks of their bitmap to it; else all of it. Of a block
 * that was checked. `places` are left alone. */
void superblock_request_recovery(uint8_t block[SUPERBLOCK_BLOCK_BYTES], uint64_t places);

/* Where the write-intent bitmap begins on the metadata device. */
#define SUPERBLOCK_BITMAP_START 4096

/* 0 when a member in sync knows, on its disk, what member `index` missed: its superblock (checked) remembers that that
 * one failed, and its bitmap, whose first block this is, has kept all bits since then. FAILED_PRECONDITION: it does
 * not.
 */
int superblock_remembers(const uint8_t block[SUPERBLOCK_BLOCK_BYTES], const uint8_t bitmap[SUPERBLOCK_BLOCK_BYTES],
			 size_t index, const char *device, struct error *error);

/* As the kernel would write it for the member in that place of an array that is in sync; for the simulated kernel and
 * for tests. */
void superblock_make(uint8_t ret_block[SUPERBLOCK_BLOCK_BYTES], uint64_t place, bool complete);
/* The same when the members of a bit mask failed, with the first block of a bitmap that knows what they missed. */
void superblock_make_degraded(uint8_t ret_block[SUPERBLOCK_BLOCK_BYTES], uint8_t ret_bitmap[SUPERBLOCK_BLOCK_BYTES],
			      uint64_t place, uint64_t failed);

#endif
