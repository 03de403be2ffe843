/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of imports as sysfs tells it: cheap enough to be looked at several times a second. */
#include "agent/backend/linux/linux.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "lib/model/names.h"

#define SYS_NVME "/sys/class/nvme"

/* nvme0c1n1: a path of a namespace, a child of its controller. */
static bool is_path(const char *name)
{
	unsigned subsystem, controller, nsid;
	int end = 0;

	return sscanf(name, "nvme%uc%un%u%n", &subsystem, &controller, &nsid, &end) == 3 && name[end] == '\0';
}

/* Higher is worse. */
static int badness(const char *ana)
{
	static const char *const order[] = { "optimized", "non-optimized", "change", "inaccessible",
					     "persistent-loss" };

	for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++) {
		if (strcmp(ana, order[i]) == 0)
			return i;
	}
	return (int)(sizeof(order) / sizeof(order[0]));
}

int watch_ana(struct arena *arena, const char *controller, char *ret_ana, size_t size, struct error *error)
{
	struct string_list names;
	char path[PATH_MAX], ana[32];
	int code;

	ret_ana[0] = '\0';
	snprintf(path, sizeof(path), SYS_NVME "/%s", controller);
	code = directory_list(arena, path, &names, error);
	for (size_t i = 0; code == 0 && i < names.count; i++) {
		if (is_path(names.items[i]) && file_read(ana, sizeof(ana), "%s/%s/ana_state", path, names.items[i]) &&
		    (ret_ana[0] == '\0' || badness(ana) > badness(ret_ana)))
			snprintf(ret_ana, size, "%s", ana);
	}
	return code;
}

uint64_t watch_digest(struct kernel *kernel)
{
	struct arena arena = ARENA_INIT;
	struct string_list names;
	char text[NAMES_NQN_SIZE];
	XXH64_hash_t digest = 0;

	(void)kernel;
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
		if (watch_ana(&arena, names.items[i], text, sizeof(text), NULL) == 0)
			digest = XXH64(text, strlen(text), digest);
	}
	arena_free(&arena);
	return dm_digest(digest);
}
