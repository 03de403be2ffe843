/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of imports as sysfs tells it, and whether there are new I/O errors: cheap enough to be looked at several
 * times a second. */
#include "agent/backend/linux/linux.h"

#include <string.h>
#include <xxhash.h>

#include "lib/model/names.h"

#define SYS_NVME "/sys/class/nvme"

uint64_t watch_digest(struct kernel *kernel)
{
	struct arena arena = ARENA_INIT;
	struct string_list names;
	char text[NAMES_NQN_SIZE];
	const char *ana;
	XXH64_hash_t digest = 0;

	if (directory_list(&arena, SYS_NVME, &names, NULL) != 0)
		names.count = 0;
	for (size_t i = 0; i < names.count; i++) {
		if (!file_read(text, sizeof(text), SYS_NVME "/%s/subsysnqn", names.items[i]) ||
		    strncmp(text, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) != 0)
			continue;
		digest = XXH64(names.items[i], strlen(names.items[i]), digest);
		digest = XXH64(text, strlen(text), digest);
		if (file_read(text, sizeof(text), SYS_NVME "/%s/state", names.items[i]))
			digest = XXH64(text, strlen(text), digest);
		if (fabrics_ana_read(&arena, names.items[i], &ana, NULL) == 0)
			digest = XXH64(ana, strlen(ana), digest);
	}
	arena_free(&arena);
	return trace_digest((struct linux_kernel *)kernel, dm_digest(digest));
}
