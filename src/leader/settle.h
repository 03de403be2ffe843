/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member was given up, and its holder does not go on without it, as no other one of its group is sure to have
 * everything: the disk of the other one failed a write, or its node began anew and lost what a cache held, before the
 * leader knew. Nothing was acknowledged without the one that was given up, so it is taken back, and the others go.
 *
 *   STALE, kept ──► ld_settle ──► IN_SYNC, and the others STALE
 *   STALE, and its group went on without it ──► ld_settle (left) ──► not pending any more
 *   withheld, and nobody is pending any more ──► ld_settle ──► IN_SYNC
 */
#ifndef DNVME_SRC_LEADER_SETTLE_H
#define DNVME_SRC_LEADER_SETTLE_H

#include "src/leader/online.h"

/* Of a slot whose holder has or makes its groups, by what its holder said (`health`, NULL: nothing yet). */
int settle_step(const struct online_view *view, size_t slot, const struct reported_health *health, struct arena *arena,
		struct online_step *step, struct error *error);

#endif
