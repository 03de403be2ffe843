/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a leg lies on its LDs. One place, so that placement (which reserves the room) and the agent (which slices it)
 * cannot disagree.
 *
 *   LD            | label | raid metadata | raid data                          |
 *   group (raid1)                         | thin metadata | thin data          |
 *   leg           thin metadata and thin data of its groups, each concatenated in group order
 *
 * All sizes are in bytes and multiples of 4096; every sum is checked for overflow.
 */
#ifndef DNVME_LIB_MODEL_LAYOUT_H
#define DNVME_LIB_MODEL_LAYOUT_H

#include <stdint.h>

struct error;

#define LAYOUT_LABEL_BYTES (UINT64_C(1) << 20)
#define LAYOUT_RAID_METADATA_BYTES (UINT64_C(4) << 20)
#define LAYOUT_STRIPE_BYTES (UINT64_C(64) << 10)
#define LAYOUT_THIN_BLOCK_MIN_BYTES (UINT64_C(64) << 10)
#define LAYOUT_THIN_BLOCK_MAX_BYTES (UINT64_C(1) << 30) /* limit of dm-thin (drivers/md/dm-thin.c) */
/* What dm-thin uses of a metadata device: 255 bitmaps of 16384 blocks (THIN_METADATA_MAX_SECTORS). */
#define LAYOUT_THIN_METADATA_MAX_BYTES (UINT64_C(255) * 16384 * 4096)

struct layout_group {
	uint64_t label_start, label_bytes;		   /* on the LD */
	uint64_t raid_metadata_start, raid_metadata_bytes; /* on the LD */
	uint64_t raid_data_start, raid_data_bytes;	   /* on the LD */
	uint64_t thin_metadata_bytes;			   /* at the start of the group */
	uint64_t thin_data_bytes;			   /* behind it */
};

/* Size of a thin pool's blocks for a leg of this virtual size: a power of two that keeps the number of blocks small. */
uint64_t layout_thin_block_bytes(uint64_t leg_bytes);

/* How an LD of `ld_bytes` is divided. INVALID_ARGUMENT when it is too small to hold one block. */
int layout_group_compute(uint64_t ld_bytes, uint64_t thin_block_bytes, struct layout_group *ret_group,
			 struct error *error);

/* What groups hold together. Fill in the size of the thin blocks, and add LDs. INVALID_ARGUMENT, naming the limit, when
 * they are more than dm-thin can address the metadata of, or the sum exceeds 64 bits. */
struct layout_room {
	uint64_t block_bytes;
	uint64_t data_bytes, metadata_bytes;
};
int layout_room_add(struct layout_room *room, uint64_t ld_bytes, struct error *error);

/* Smallest LD, in extents, whose group holds `data_bytes` of thin data. INVALID_ARGUMENT when it would not fit into 64
 * bits. */
int layout_ld_extents(uint64_t data_bytes, uint64_t thin_block_bytes, uint64_t extent_bytes, uint64_t *ret_extents,
		      struct error *error);

/* Virtual size of each of `legs` legs so that together they hold `volume_bytes`, and the size of the volume rounded up
 * to whole stripes. INVALID_ARGUMENT on overflow of LIMIT_VOLUME_BYTES_MAX. */
int layout_leg_bytes(uint64_t volume_bytes, uint64_t legs, uint64_t stripe_bytes, uint64_t *ret_leg_bytes,
		     uint64_t *ret_volume_bytes, struct error *error);

#endif
