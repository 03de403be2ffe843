/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the thin devices of snapshots hold: what was on the media of each leg when they were made. */
#ifndef DNVME_TESTS_SIM_SNAPSHOTS_H
#define DNVME_TESTS_SIM_SNAPSHOTS_H

#include "tests/sim/media.h"

/* One was made in a pool of that node. */
void snapshots_note(struct storage *node, const char *pool, const char *identity);
/* What the copies of a leg that were in sync had then; `sector` in an LD. Returns how many there are; 0: it was never
 * made. */
size_t snapshots_read(uint64_t volume, size_t leg, uint64_t number, uint64_t sector, struct media_block ret_blocks[],
		      size_t count);
/* "DNVME-c1-pool-v1.l0#7"; false for one of another form. */
bool snapshots_parse(const char *identity, uint64_t *ret_volume, uint64_t *ret_leg, uint64_t *ret_number);

#endif
