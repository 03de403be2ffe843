/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server that joins a group that is there, and what its folder remembers of that:
 *
 *   DIR/id       the number that it was given
 *   DIR/empty    its log has nothing yet: none that was lost. Nobody gives it a vote before this is gone
 *   DIR/removed  it does not belong to its group any more, and does not start
 */
#ifndef DNVME_SRC_NEWCOMER_H
#define DNVME_SRC_NEWCOMER_H

#include <stdint.h>

#include "lib/base/error.h"

struct dnvmed;

/* At the start, before DIR/cluster is read. FAILED_PRECONDITION: it was removed, or was started with another number. */
int newcomer_start(struct dnvmed *dnvmed, struct error *error);

/* It was told to join, under this number: durable before anything else. Blocks on disk. */
int newcomer_begin(struct dnvmed *dnvmed, uint64_t id, struct error *error);

/* It makes a group with others: what an attempt to join another one left, which ended half-way, means nothing. */
int newcomer_forget(struct dnvmed *dnvmed, struct error *error);

void newcomer_tick(struct dnvmed *dnvmed);

#endif
