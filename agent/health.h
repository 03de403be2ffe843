/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands below each controller, for the leader: a pure function of what is desired and what was observed. */
#ifndef DNVME_AGENT_HEALTH_H
#define DNVME_AGENT_HEALTH_H

#include "agent/backend/kernel.h"
#include "agent/hosts.h"
#include "agent/target.h"

/* All that is remembered from pass to pass: since when paths are lost, by the subsystem at their other end; since when
 * consumers are known to have been let in; and of the hosts. */
struct health_memory {
	struct health_loss *losses;
	struct health_join *joins;
	struct hosts hosts;
};

void health_memory_free(struct health_memory *memory);

/* What the gate says of all consumers. Returns whether others are joined than before; without memory it forgets some,
 * and is told again soon. */
bool health_joined(struct health_memory *memory, const struct kernel_peer_list *peers, uint64_t now_ms);

/* One entry for each volume of `desired`, in its order, in `arena`; `target` was built from it. `now_ms` is on the boot
 * clock. INTERNAL when memory is exhausted. */
int health_make(const struct desired *desired, const struct target *target, const struct observed *observed,
		struct health_memory *memory, uint64_t now_ms, struct arena *arena,
		struct volume_health_list *ret_health, struct error *error);

/* Do not say of the members of mirrors which `may_drop` names that they are kept. The list is one of health_make(). */
void health_keep_not(const struct desired *desired, struct volume_health_list *health,
		     bool (*may_drop)(void *data, const char *mirror), void *data);
/* The gate was shut while legs of other slots were imported, and is shut: note the slots of which that is so. The list
 * is one of health_make(). */
void health_lapse(const struct desired *desired, const struct observed *observed, struct volume_health_list *health);

/* Whether some member is being rebuilt. */
bool health_is_rebuilding(const struct volume_health_list *health);

/* Whether the two say the same. How long a path is lost does not count: it grows by itself. */
bool health_is_same(const struct volume_health *a, const struct volume_health *b, bool with_progress);

#endif
