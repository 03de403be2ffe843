/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands at random that the present state takes: ways into states that a few random commands do not reach. */
#ifndef DNVME_FUZZ_ACCEPT_H
#define DNVME_FUZZ_ACCEPT_H

#include "fuzz/shape.h"
#include "fuzz/world.h"

/* Find a command that is not refused, apply it, and append it as an item of sequence.h. Each kind is tried for a while,
 * else those that are seldom refused would be all that there is. false when none was found in so many tries. */
bool accept_find(struct world *world, struct shape *shape, unsigned tries, struct buffer *output);

#endif
