/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_keep_alive.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/host_sight.h"
#include "lib/base/log.h"
#include "lib/net/keep_alive.h"

#define AGAIN_MS 1000u /* between two processes */

_Static_assert(HOST_NAME_SIZE <= KEEP_ALIVE_NAME_SIZE, "a name fits");

struct paths {
	const char *host_nqn;
	struct host_sight sight;
	struct keep_alive_path *items;
	size_t capacity;
};

static int paths_find(void *data, const struct keep_alive_path **ret_paths, size_t *ret_count, struct error *error)
{
	struct paths *paths = data;
	size_t count = 0;

	if (host_sight_look(&paths->sight, error) != 0)
		return (int)error->code;
	if (paths->sight.count > paths->capacity) {
		struct keep_alive_path *items = realloc(paths->items, paths->sight.count * sizeof(*items));

		if (items == NULL)
			return error_set_nomem(error);
		paths->items = items;
		paths->capacity = paths->sight.count;
	}
	for (size_t i = 0; i < paths->sight.count; i++) {
		const struct host_seen *seen = &paths->sight.items[i];

		/* Where the kernel does not tell whose it is, it can be nobody else's. */
		if (strstr(seen->nqn, ":volume:") == NULL ||
		    (seen->controller.host_nqn[0] != '\0' && strcmp(seen->controller.host_nqn, paths->host_nqn) != 0))
			continue;
		snprintf(paths->items[count].name, sizeof(paths->items[count].name), "%s", seen->controller.name);
		paths->items[count++].inode = seen->inode;
	}
	*ret_paths = paths->items;
	*ret_count = count;
	return 0;
}

static bool path_read(void *data, const char *controller, unsigned *ret_keep_alive_s, bool *ret_live)
{
	char state[HOST_NAME_SIZE];

	(void)data;
	if (!host_controller_keep_alive(HOST_SYSFS, controller, ret_keep_alive_s) ||
	    !host_controller_state(HOST_SYSFS, controller, state))
		return false;
	*ret_live = strcmp(state, "live") == 0;
	return true;
}

static void run(const char *host_nqn, pid_t parent)
{
	static struct paths paths = { .sight = { .sysfs = HOST_SYSFS } };
	static const struct keep_alive_source source = { paths_find, path_read, &paths, LIMIT_HOST_PULSE_MS };

	/* A connection that its parent gives up must not live on here; the journal's is one of these. */
	close_range(STDERR_FILENO + 1, ~0u, 0);
	log_open("dnvme-host-watch", LOG_TARGET_STDERR, LOG_LEVEL_NOTICE);
	paths.host_nqn = host_nqn;
	keep_alive_run(&source, &keep_alive_nvme, parent);
	_exit(0);
}

int host_keep_alive_start(struct host_keep_alive *keep_alive, const char *host_nqn, uint64_t now_ms,
			  struct error *error)
{
	pid_t parent = getpid(), pid;

	if (keep_alive->pid != 0 && waitpid(keep_alive->pid, NULL, WNOHANG) == keep_alive->pid) {
		log_warning("the process that sends keep-alives died", "pid=%d", (int)keep_alive->pid);
		keep_alive->pid = 0;
	}
	if (keep_alive->pid != 0 || now_ms < keep_alive->begin_ms)
		return 0;
	keep_alive->begin_ms = now_ms + AGAIN_MS;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return error_set_errno(error, errno, "cannot start a process for keep-alives");
	if (pid == 0)
		run(host_nqn, parent);
	keep_alive->pid = pid;
	return 0;
}

void host_keep_alive_stop(struct host_keep_alive *keep_alive)
{
	if (keep_alive->pid != 0)
		kill(keep_alive->pid, SIGTERM);
	keep_alive->pid = 0;
}
