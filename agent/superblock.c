/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/superblock.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC UINT64_C(0x64526d44) /* "DmRd" */
#define COMPATIBLE_V190 1	   /* the only feature that there is */
#define LEVEL_RAID1 1
#define FINISHED UINT64_MAX /* MaxSector: nothing is left to copy */

#define BITMAP_MAGIC UINT64_C(0x6d746962) /* "bitm", drivers/md/md-bitmap.h */
#define BITMAP_BAD 0x6			  /* stale, or a write of it failed */

/* Byte offsets. */
enum {
	AT_MAGIC = 0,
	AT_COMPATIBLE = 4,
	AT_DEVICES = 8,
	AT_PLACE = 12,
	AT_EVENTS = 16,
	AT_FAILED = 24,
	AT_DISK_RECOVERY = 32,
	AT_ARRAY_RESYNC = 40,
	AT_LEVEL = 48,
	/* Behind these only with COMPATIBLE_V190. */
	AT_FLAGS = 60,
	AT_RESHAPE = 64,
	AT_NEW_LEVEL = 72,
	AT_INCOMPATIBLE = 144,
};

/* In the first block of the bitmap. */
enum {
	AT_BITMAP_MAGIC = 0,
	AT_BITMAP_EVENTS = 24,
	AT_BITMAP_CLEARED = 32,
	AT_BITMAP_STATE = 48,
};

static uint64_t get(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static void put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

int superblock_check(const uint8_t block[SUPERBLOCK_BLOCK_BYTES], const char *device, struct error *error)
{
	uint64_t compatible = get(block + AT_COMPATIBLE, 4), incompatible = get(block + AT_INCOMPATIBLE, 4);

	if (get(block + AT_MAGIC, 4) != MAGIC)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s holds no raid superblock", device);
	if (compatible != COMPATIBLE_V190 || incompatible != 0)
		return error_set(
			error, ERROR_UNSUPPORTED,
			"the raid superblock on %s has features that this agent does not know: compatible %#" PRIx64
			", incompatible %#" PRIx64,
			device, compatible, incompatible);
	if (get(block + AT_LEVEL, 4) != LEVEL_RAID1 || get(block + AT_NEW_LEVEL, 4) != LEVEL_RAID1)
		return error_set(error, ERROR_UNSUPPORTED,
				 "the raid superblock on %s is of level %" PRIu64 ", not raid1", device,
				 get(block + AT_LEVEL, 4));
	if (get(block + AT_FLAGS, 4) != 0 || get(block + AT_RESHAPE, 8) != FINISHED)
		return error_set(error, ERROR_UNSUPPORTED, "the raid superblock on %s is in the middle of a reshape",
				 device);
	return 0;
}

bool superblock_is_complete(const uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	return get(block + AT_DISK_RECOVERY, 8) == FINISHED;
}

uint64_t superblock_place(const uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	return get(block + AT_PLACE, 4);
}

void superblock_request_resync(uint8_t block[SUPERBLOCK_BLOCK_BYTES], uint64_t places)
{
	put(block + AT_DEVICES, places, 4);
	put(block + AT_ARRAY_RESYNC, 0, 8);
}

void superblock_request_recovery(uint8_t block[SUPERBLOCK_BLOCK_BYTES], uint64_t places)
{
	(void)places;
	put(block + AT_EVENTS, 0, 8);
	put(block + AT_DISK_RECOVERY, 0, 8);
}

int superblock_remembers(const uint8_t block[SUPERBLOCK_BLOCK_BYTES], const uint8_t bitmap[SUPERBLOCK_BLOCK_BYTES],
			 size_t index, const char *device, struct error *error)
{
	uint64_t events = get(block + AT_EVENTS, 8);
	const char *reason = NULL;

	if (get(block + AT_DISK_RECOVERY, 8) != FINISHED)
		reason = "is not complete itself";
	else if ((get(block + AT_FAILED, 8) >> index & 1) == 0)
		reason = "does not say that it failed";
	else if (get(bitmap + AT_BITMAP_MAGIC, 4) != BITMAP_MAGIC)
		reason = "has no bitmap";
	/* The kernel takes such a one for all dirty, and then copies nothing of it to a member that comes back. */
	else if (get(bitmap + AT_BITMAP_EVENTS, 8) < events || (get(bitmap + AT_BITMAP_STATE, 4) & BITMAP_BAD) != 0)
		reason = "has a bitmap that is out of date";
	/* Nor does it copy what a bitmap has that was cleared at this very event: then it was not degraded. */
	else if (get(bitmap + AT_BITMAP_CLEARED, 8) >= events)
		reason = "may have cleared bits since it failed";
	if (reason == NULL)
		return 0;
	return error_set(error, ERROR_FAILED_PRECONDITION, "what member %zu missed is not known: %s %s", index, device,
			 reason);
}

void superblock_make(uint8_t ret_block[SUPERBLOCK_BLOCK_BYTES], uint64_t place, bool complete)
{
	memset(ret_block, 0, SUPERBLOCK_BLOCK_BYTES);
	put(ret_block + AT_MAGIC, MAGIC, 4);
	put(ret_block + AT_COMPATIBLE, COMPATIBLE_V190, 4);
	put(ret_block + AT_DEVICES, 2, 4);
	put(ret_block + AT_PLACE, place, 4);
	put(ret_block + AT_DISK_RECOVERY, complete ? FINISHED : 0, 8);
	put(ret_block + AT_ARRAY_RESYNC, FINISHED, 8);
	put(ret_block + AT_LEVEL, LEVEL_RAID1, 4);
	put(ret_block + AT_RESHAPE, FINISHED, 8);
	put(ret_block + AT_NEW_LEVEL, LEVEL_RAID1, 4);
}

void superblock_make_degraded(uint8_t ret_block[SUPERBLOCK_BLOCK_BYTES], uint8_t ret_bitmap[SUPERBLOCK_BLOCK_BYTES],
			      uint64_t place, uint64_t failed)
{
	superblock_make(ret_block, place, true);
	put(ret_block + AT_EVENTS, 8, 8);
	put(ret_block + AT_FAILED, failed, 8);
	memset(ret_bitmap, 0, SUPERBLOCK_BLOCK_BYTES);
	put(ret_bitmap + AT_BITMAP_MAGIC, BITMAP_MAGIC, 4);
	put(ret_bitmap + AT_BITMAP_EVENTS, 8, 8);
	put(ret_bitmap + AT_BITMAP_CLEARED, 5, 8);
}
