/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A slot whose holder lives and serves, but which no host reaches, while hosts whose I/O waits reach a standby. The
 * cluster sees nothing wrong with it: hosts say so (reach.h). docs/FAILURES.md, "A controller that hosts cannot reach".
 *
 * What a host says is believed only as far as it does no harm: a move is always safe, so that a host that is wrong, or
 * lies, costs a pause, and that seldom.
 */
#ifndef DNVME_SRC_LEADER_UNREACHED_H
#define DNVME_SRC_LEADER_UNREACHED_H

#include "src/leader/online.h"

/* A host has had no path for so long. Longer than a blink of the network, than the lease (a holder that is cut off from
 * all is called offline by then), and than PARTED_MS. */
#define UNREACHED_MS 5000u
/* Between a move for this reason and the next one of the same slot. A host whose link to the next holder breaks as well
 * waits for that long at most: less than what it takes databases and file systems to give up. */
#define UNREACHED_AGAIN_MS 15000u

/* The standby that takes the slot for this reason; NULL: it does not move. Asks to look again. */
const struct online_node *unreached_successor(const struct online_view *view, size_t slot, struct online_step *step);

/* Say which host waits, and why the slot does not move all the same. */
int unreached_wait(const struct online_view *view, size_t slot, struct arena *arena, struct online_step *step,
		   struct error *error);

#endif
