/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/tend.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/backend/linux/linux.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/net/keep_alive.h"

#define SYS_NVME "/sys/class/nvme"
#define AGAIN_MS 1000u /* between two processes */
#define FILES_MAX 64u  /* that are kept open */

_Static_assert(LIMIT_IMPORT_KEEP_ALIVE_S == LIMIT_HOST_KEEP_ALIVE_SINGLE_S, "it is one that is known");

/* --- the process ----------------------------------------------------------------------------------------- */

struct imports {
	struct nvme_cache *cache;
	struct arena arena; /* of the items */
};

static bool is_slot(const char *nqn)
{
	return strncmp(nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) == 0 && strstr(nqn, ":slot:") != NULL;
}

static int imports_find(void *data, const struct keep_alive_path **ret_paths, size_t *ret_count, struct error *error)
{
	struct imports *imports = data;
	struct keep_alive_path *items;
	struct nvme_seen seen = { 0 };
	size_t count = 0;

	arena_free(&imports->arena);
	if (nvme_cache_look(imports->cache, NVME_CONTROLLERS, &imports->arena, &seen, error) != 0)
		return (int)error->code;
	items = arena_alloc_array(&imports->arena, seen.count + 1, sizeof(*items));
	if (items == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < seen.count; i++) {
		struct keep_alive_path *path = &items[count];
		char folder[sizeof(SYS_NVME "/") + sizeof(path->name)];
		struct stat status;

		if (!is_slot(seen.items[i].nqn) || strlen(seen.items[i].name) >= sizeof(path->name))
			continue;
		strcpy(path->name, seen.items[i].name);
		snprintf(folder, sizeof(folder), SYS_NVME "/%s", path->name);
		if (stat(folder, &status) != 0)
			continue;
		path->inode = status.st_ino;
		count++;
	}
	*ret_paths = items;
	*ret_count = count;
	return 0;
}

static bool import_read(void *data, const char *controller, unsigned *ret_keep_alive_s, bool *ret_live)
{
	char state[32];

	(void)data;
	*ret_keep_alive_s = (unsigned)file_read_number(SYS_NVME "/%s/kato", controller);
	if (!file_read(state, sizeof(state), SYS_NVME "/%s/state", controller))
		return false;
	*ret_live = strcmp(state, "live") == 0;
	return true;
}

int kernel_linux_keep_alive(const char *parent)
{
	static struct imports imports = { .arena = ARENA_INIT };
	static const struct keep_alive_source source = { imports_find, import_read, &imports, LIMIT_IMPORT_PULSE_MS };

	imports.cache = nvme_cache_make("/sys", pread, FILES_MAX);
	if (imports.cache == NULL)
		return 1;
	keep_alive_run(&source, &keep_alive_nvme, (pid_t)strtol(parent, NULL, 10));
	/* Threads that are stuck use all of this. */
	_exit(0);
}

/* --- its start ------------------------------------------------------------------------------------------- */

int tend_start(struct tend *tend, struct error *error)
{
	char parent[24];
	char *arguments[] = { (char *)"dnvme-agent", (char *)KERNEL_LINUX_KEEP_ALIVE, parent, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	uint64_t now_ms = clock_boot_ms();
	sigset_t none;
	int problem;

	if (tend->pid != 0 && waitpid(tend->pid, NULL, WNOHANG) == tend->pid) {
		log_warning("the process that sends keep-alives died", "pid=%d", (int)tend->pid);
		tend->pid = 0;
	}
	if (tend->pid != 0 || now_ms < tend->begin_ms)
		return 0;
	tend->begin_ms = now_ms + AGAIN_MS;
	snprintf(parent, sizeof(parent), "%d", (int)getpid());
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	problem = posix_spawn(&tend->pid, "/proc/self/exe", &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (problem == 0)
		return 0;
	tend->pid = 0;
	return error_set_errno(error, problem, "cannot start the process that sends keep-alives");
}
