/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of imports as sysfs tells it, and whether there are new I/O errors: cheap enough to be looked at several
 * times a second. */
#include "agent/backend/linux/linux.h"

#include <string.h>
#include <xxhash.h>

uint64_t watch_digest(struct kernel *kernel)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	XXH64_hash_t digest = 0;

	/* Files or memory are exhausted: an observation is due at the next look that succeeds. */
	if (nvme_cache_look(((struct linux_kernel *)kernel)->nvme, NVME_PATHS, &arena, &seen, NULL) != 0)
		digest = 1;
	for (size_t i = 0; i < seen.count; i++) {
		const struct nvme_controller_seen *controller = &seen.items[i];

		digest = XXH64(controller->name, strlen(controller->name), digest);
		digest = XXH64(controller->nqn, strlen(controller->nqn), digest);
		digest = XXH64(controller->state, strlen(controller->state), digest);
		digest = XXH64(controller->ana, strlen(controller->ana), digest);
	}
	arena_free(&arena);
	return trace_digest((struct linux_kernel *)kernel, dm_digest(pauses_digest(digest)));
}
