/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The superblock of dm-raid (drivers/md/dm-raid.c, struct dm_raid_superblock): the first sector of a member's metadata
 * device, little-endian. Only what the kernel writes for a plain raid1 is known here; anything else is refused.
 */
#ifndef DNVME_AGENT_SUPERBLOCK_H
#define DNVME_AGENT_SUPERBLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

#define SUPERBLOCK_BLOCK_BYTES 4096

/* 0 when it is one that this agent knows. FAILED_PRECONDITION when there is none, UNSUPPORTED when it has features or a
 * state that this agent does not know; `device` is named. */
int superblock_check(const uint8_t block[SUPERBLOCK_BLOCK_BYTES], const char *device, struct error *error);

/* Whether the kernel recorded that all of the member was rebuilt. Of a block that was checked. */
bool superblock_is_complete(const uint8_t block[SUPERBLOCK_BLOCK_BYTES]);

/* Make the kernel look at the write-intent bitmap from the beginning when it assembles the array: it then copies each
 * chunk that was being written when the node died. Otherwise it believes the array clean. Of a block that was checked.
 */
void superblock_request_resync(uint8_t block[SUPERBLOCK_BLOCK_BYTES]);

/* As the kernel would write it for an array that is in sync; for the simulated kernel and for tests. */
void superblock_make(uint8_t ret_block[SUPERBLOCK_BLOCK_BYTES], bool complete);

#endif
