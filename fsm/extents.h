/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The free extents of a disk, as runs.
 *
 * A run is stored under (disk, first extent behind it) with its length as value: both neighbours of a range that
 * comes back are then found with one look-up each. Neighbouring runs are always joined.
 *
 * Extent 0 of a disk is reserved (a label of the disk may come to stand there); extent n begins at byte
 * n * extent_bytes.
 */
#ifndef DNVME_FSM_EXTENTS_H
#define DNVME_FSM_EXTENTS_H

#include "fsm/state.h"

#define EXTENTS_RESERVED 1u

/* Make all usable extents of a new disk free. */
int extents_init(struct state *state, const struct disk *disk, struct error *error);

/* Forget a disk that holds nothing. */
int extents_drop(struct state *state, const struct disk *disk, struct error *error);

/* Take `wanted` extents: the first run that is long enough, else the longest runs. CONFLICT when the disk has too few
 * (the placement is stale), NO_CAPACITY when they are scattered over more than LIMIT_RANGES_PER_LD runs. Does not
 * touch the disk's record. The time grows with the number of free runs of the disk. */
int extents_take(struct state *state, const struct disk *disk, uint64_t wanted, struct range_list *ret_ranges,
		 struct error *error);

/* Give a range back. */
int extents_give(struct state *state, uint64_t disk, const struct range *range, struct error *error);

#endif
