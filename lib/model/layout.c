/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/model/layout.h"

#include <inttypes.h>
#include <stddef.h>

#include "lib/base/error.h"
#include "lib/base/limits.h"

#define MIB (UINT64_C(1) << 20)
#define LEG_OVERHEAD_BYTES (LAYOUT_LABEL_BYTES + LAYOUT_RAID_METADATA_BYTES)
#define THIN_BLOCKS_GOAL (UINT64_C(1) << 20)
/* A mapping costs less than 48 bytes of metadata; 64 leave room for shadowed blocks while a transaction is open. */
#define THIN_METADATA_BYTES_PER_BLOCK 64
#define THIN_METADATA_BYTES_BASE (4 * MIB)

uint64_t layout_thin_block_bytes(uint64_t leg_bytes)
{
	uint64_t block = LAYOUT_THIN_BLOCK_MIN_BYTES;

	while (leg_bytes / block > THIN_BLOCKS_GOAL && block < LAYOUT_THIN_BLOCK_MAX_BYTES)
		block *= 2;
	return block;
}

/* Cannot overflow: bytes / block_bytes is below 2^48, as a block has at least 2^16 bytes. */
static uint64_t thin_metadata_bytes(uint64_t bytes, uint64_t block_bytes)
{
	uint64_t wanted = THIN_METADATA_BYTES_BASE + (bytes / block_bytes + 1) * THIN_METADATA_BYTES_PER_BLOCK;

	return (wanted + MIB - 1) / MIB * MIB;
}

int layout_group_compute(uint64_t ld_bytes, uint64_t thin_block_bytes, struct layout_group *ret_group,
			 struct error *error)
{
	uint64_t raid_data, metadata, data;

	raid_data = ld_bytes > LEG_OVERHEAD_BYTES ? ld_bytes - LEG_OVERHEAD_BYTES : 0;
	metadata = thin_metadata_bytes(raid_data, thin_block_bytes);
	data = raid_data > metadata ? (raid_data - metadata) / thin_block_bytes * thin_block_bytes : 0;
	if (data == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "an LD of %" PRIu64 " bytes is too small for a block of %" PRIu64 " bytes", ld_bytes,
				 thin_block_bytes);
	*ret_group = (struct layout_group){
		.label_start = 0,
		.label_bytes = LAYOUT_LABEL_BYTES,
		.raid_metadata_start = LAYOUT_LABEL_BYTES,
		.raid_metadata_bytes = LAYOUT_RAID_METADATA_BYTES,
		.raid_data_start = LEG_OVERHEAD_BYTES,
		.raid_data_bytes = metadata + data,
		.thin_metadata_bytes = metadata,
		.thin_data_bytes = data,
	};
	return 0;
}

int layout_room_add(struct layout_room *room, uint64_t ld_bytes, struct error *error)
{
	struct layout_group group;
	int result = layout_group_compute(ld_bytes, room->block_bytes, &group, error);

	if (result != 0)
		return result;
	if (__builtin_add_overflow(room->data_bytes, group.thin_data_bytes, &room->data_bytes) ||
	    room->metadata_bytes + group.thin_metadata_bytes > LAYOUT_THIN_METADATA_MAX_BYTES)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "with thin blocks of %" PRIu64 " bytes a leg has at most %" PRIu64
				 " bytes of thin metadata, the limit of dm-thin",
				 room->block_bytes, LAYOUT_THIN_METADATA_MAX_BYTES);
	room->metadata_bytes += group.thin_metadata_bytes;
	return 0;
}

int layout_ld_extents(uint64_t data_bytes, uint64_t thin_block_bytes, uint64_t extent_bytes, uint64_t *ret_extents,
		      struct error *error)
{
	struct layout_group group;
	uint64_t bytes, extents;

	if (data_bytes == 0 || data_bytes > LIMIT_VOLUME_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a leg of %" PRIu64 " bytes is out of range",
				 data_bytes);
	bytes = (data_bytes + thin_block_bytes - 1) / thin_block_bytes * thin_block_bytes;
	bytes += LEG_OVERHEAD_BYTES + thin_metadata_bytes(bytes, thin_block_bytes);
	extents = (bytes + extent_bytes - 1) / extent_bytes;
	/* The metadata of the rounded LD is a little larger than that of the data alone. */
	while (layout_group_compute(extents * extent_bytes, thin_block_bytes, &group, NULL) != 0 ||
	       group.thin_data_bytes < data_bytes)
		extents++;
	if (extents > LIMIT_DISK_BYTES_MAX / extent_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "a leg of %" PRIu64 " bytes needs a disk larger than the limit of %" PRIu64 " bytes",
				 data_bytes, (uint64_t)LIMIT_DISK_BYTES_MAX);
	*ret_extents = extents;
	return 0;
}

int layout_leg_bytes(uint64_t volume_bytes, uint64_t legs, uint64_t stripe_bytes, uint64_t *ret_leg_bytes,
		     uint64_t *ret_volume_bytes, struct error *error)
{
	uint64_t leg_bytes, total;

	if (volume_bytes == 0 || volume_bytes > LIMIT_VOLUME_BYTES_MAX || legs == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a volume of %" PRIu64 " bytes is out of range",
				 volume_bytes);
	leg_bytes = (volume_bytes - 1) / legs + 1;
	leg_bytes = (leg_bytes + stripe_bytes - 1) / stripe_bytes * stripe_bytes;
	if (__builtin_mul_overflow(leg_bytes, legs, &total) || total > LIMIT_VOLUME_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "a volume of %" PRIu64
				 " bytes, rounded up to whole stripes, exceeds the limit of %" PRIu64,
				 volume_bytes, (uint64_t)LIMIT_VOLUME_BYTES_MAX);
	*ret_leg_bytes = leg_bytes;
	*ret_volume_bytes = total;
	return 0;
}
