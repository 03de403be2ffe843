/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is on the simulated media: for each block that a host has written, whose it is and which write was the last.
 * The rest of a medium holds zeros.
 */
#ifndef DNVME_TESTS_SIM_MEDIA_H
#define DNVME_TESTS_SIM_MEDIA_H

#include "tests/sim/node.h"

#define MEDIA_SECTORS 8 /* of a block */

struct media_block {
	uint64_t volume;   /* a number of the test's; 0: never written */
	uint64_t sequence; /* of the write */
};

#define MEDIA_TORN UINT64_MAX /* volume: some sectors are of one write, some of another */

/* Where an LD lies, in sectors of a disk; false when no kernel that runs shows it and none ever did. */
struct media_place {
	const struct storage *node;
	uint64_t disk, start;
};
bool media_ld_find(uint64_t ld, struct media_place *ret_place);

struct media_block media_read(const struct storage *node, uint64_t disk, uint64_t sector);
/* `durable`: past the cache of the disk, if it has one that is volatile. */
void media_write(const struct storage *node, uint64_t disk, uint64_t sector, struct media_block block, bool durable);
/* When a write to the block that arrives now and takes so long by itself is done: writes to one block are done in the
 * order in which they arrive. */
uint64_t media_write_turn(const struct storage *node, uint64_t disk, uint64_t sector, uint64_t takes_us);
/* What the caches of a node's disks held is there or not, of each block for itself, or half of it. Before its kernel
 * begins anew. Returns whether anything may be lost. */
bool media_power_lost(const struct storage *node);
/* What the cache of a disk held is on its medium. */
void media_flush(const struct storage *node, uint64_t disk);
/* By LD, at an offset in it. */
struct media_block media_ld_read(uint64_t ld, uint64_t sector);
/* What an LD holds but zeros, by sectors of it; to be freed. */
struct media_seen {
	uint64_t sector;
	struct media_block block;
};
size_t media_ld_list(uint64_t ld, struct media_seen **ret_seen);
/* Zeros over all of an LD's data, as block_fill does through the layers. */
void media_ld_clear(uint64_t ld);
/* Whether a power cut took something from an LD. Not after all of it was copied from another one, or it was said to be
 * whole. */
bool media_ld_is_spoilt(uint64_t ld);
void media_ld_spoil(uint64_t ld);
void media_ld_is_whole(uint64_t ld);
/* All that one LD holds, to another, but for what was written to both since the copying began. */
void media_ld_copy(uint64_t from, uint64_t to, uint64_t since);

#endif
