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

/* Where an LD lies, in sectors of a disk; false when no kernel that runs shows it and none ever did. */
struct media_place {
	const struct storage *node;
	uint64_t disk, start;
};
bool media_ld_find(uint64_t ld, struct media_place *ret_place);

struct media_block media_read(const struct storage *node, uint64_t disk, uint64_t sector);
void media_write(const struct storage *node, uint64_t disk, uint64_t sector, struct media_block block);
/* By LD, at an offset in it. */
struct media_block media_ld_read(uint64_t ld, uint64_t sector);
/* Zeros over all of an LD's data, as block_fill does through the layers. */
void media_ld_clear(uint64_t ld);
/* All that one LD holds, to another, but for what was written to both since the copying began. */
void media_ld_copy(uint64_t from, uint64_t to, uint64_t since);

#endif
