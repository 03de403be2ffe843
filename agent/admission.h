/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which nodes may open connections to this one to import legs: a pure function of what the leader wants.
 *
 * A consumer that loses its connection holds writes that may be older than what its hosts wrote elsewhere since. So it
 * is let in while the leader says so, and only then: docs/FAILURES.md, "A stale write".
 */
#ifndef DNVME_AGENT_ADMISSION_H
#define DNVME_AGENT_ADMISSION_H

#include "agent/backend/kernel.h"

/* For how long the kernel admits a peer by itself: whatever becomes of the agent, nobody gets in for much longer than
 * the leader wanted. */
#define ADMISSION_TIMEOUT_MS 2000u
#define ADMISSION_INTERVAL_MS 500u

_Static_assert(3 * ADMISSION_INTERVAL_MS < ADMISSION_TIMEOUT_MS, "a look may be late");

/* Each consumer of each volume, at that volume's port. Nobody is admitted without `has_lease`: what was wanted by a
 * leader that this node does not hear any more does not count. Nor is who would find no export, or one that refuses it,
 * in what was observed last (NULL: not known): a kernel from 6.10 on that is told so gives up its path, and what waits
 * on it fails.
 * `ret_waits`: somebody would be let in if its export were there. Borrows from `desired`, the list lives in `arena`.
 * INTERNAL without memory. */
int admission_make(const struct desired *desired, const struct observed *observed, bool has_lease, struct arena *arena,
		   struct kernel_peer_list *ret_peers, bool *ret_waits, struct error *error);

#endif
