/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes that hold up the I/O of volumes, as their agent sees them. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent/backend/linux/linux.h"
#include "agent/backend/linux/pause_file.h"
#include "agent/backend/linux/pauser.h"
#include "lib/base/clock.h"

#define NUMBER_SIZE 24
#define ARGUMENTS_MAX (8 + 2 * LIMIT_LEGS)
#define LOOK_MS 20		/* that it died says no event */
#define RELEASE_TIMEOUT_MS 1000 /* it takes milliseconds */

static bool is_final(const struct observed_pause *pause)
{
	return pause->state == PAUSE_STATE_KEPT || pause->state == PAUSE_STATE_BROKEN;
}

/* --- to begin one ------------------------------------------------------------------------------------------------- */

static int process_start(char *const arguments[], struct error *error)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t child;
	int problem, status = 0;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	/* It holds on to nothing of this process, and no signal for this one or its terminal ends it. */
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	problem = posix_spawn(&child, "/proc/self/exe", &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (problem != 0)
		return error_set_errno(error, problem, "cannot start the process that holds up %s", arguments[5]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? 0
		       : error_set(error, ERROR_INTERNAL, "the process that was to hold up %s failed", arguments[5]);
}

static int others_check(const struct kernel_pause *pause, struct arena *arena, struct error *error)
{
	struct observed_pause_list pauses;

	if (pause_files_read(PAUSER_DIRECTORY, arena, &pauses, error) != 0)
		return error->code;
	for (size_t i = 0; i < pauses.count; i++) {
		if (pauses.items[i].volume == pause->volume && pauses.items[i].number != pause->number &&
		    pauses.items[i].alive)
			return error_set(error, ERROR_FAILED_PRECONDITION, "attempt %" PRIu64 " holds up %s",
					 pauses.items[i].number, pause->top);
	}
	return 0;
}

int pause_hold(struct kernel *kernel, const struct kernel_pause *pause, struct error *error)
{
	char volume[NUMBER_SIZE], number[NUMBER_SIZE], limit[NUMBER_SIZE];
	char *arguments[ARGUMENTS_MAX] = { (char *)"dnvme-agent", (char *)KERNEL_LINUX_PAUSE, volume, number, limit,
					   (char *)pause->top };
	struct arena arena = ARENA_INIT;
	size_t count = 6;
	int code = others_check(pause, &arena, error);

	(void)kernel;
	arena_free(&arena);
	if (code != 0)
		return code;
	snprintf(volume, sizeof(volume), "%" PRIu64, pause->volume);
	snprintf(number, sizeof(number), "%" PRIu64, pause->number);
	snprintf(limit, sizeof(limit), "%" PRIu64, pause->limit_ms);
	for (size_t i = 0; i < pause->legs.count && i < LIMIT_LEGS; i++) {
		arguments[count++] = (char *)pause->legs.items[i].pool;
		arguments[count++] = (char *)pause->legs.items[i].thin;
	}
	/* One that is there already says so itself. */
	return process_start(arguments, error);
}

/* --- to go on ----------------------------------------------------------------------------------------------------- */

/* Wait for it to be made, or for its end. */
static int wait_for(uint64_t volume, uint64_t number, bool made, uint64_t timeout_ms, struct error *error)
{
	uint64_t until_ms = clock_boot_ms() + timeout_ms;
	char path[PATH_MAX], events[sizeof(struct inotify_event) + NAME_MAX + 1];
	struct pollfd watch = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN };
	struct observed_pause pause;
	struct arena arena = ARENA_INIT;
	int code;

	pause_file_path(PAUSER_DIRECTORY, volume, number, path, sizeof(path));
	if (watch.fd >= 0)
		inotify_add_watch(watch.fd, path, IN_MODIFY);
	for (;;) {
		code = pause_file_read(PAUSER_DIRECTORY, volume, number, &arena, &pause, error);
		if (code != 0 || !pause.alive || is_final(&pause) || (made && pause.made))
			break;
		if (clock_boot_ms() >= until_ms) {
			code = error_set(error, ERROR_UNAVAILABLE, "the process of %s does not answer", path);
			break;
		}
		poll(&watch, 1, LOOK_MS);
		while (watch.fd >= 0 && read(watch.fd, events, sizeof(events)) > 0)
			;
		arena_free(&arena);
	}
	if (watch.fd >= 0)
		close(watch.fd);
	arena_free(&arena);
	return code;
}

int pause_snap(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	(void)kernel;
	if (pause_file_signal(PAUSER_DIRECTORY, volume, number, PAUSER_SNAP, error) != 0)
		return error->code;
	return wait_for(volume, number, true, LIMIT_PAUSE_MS_MAX + RELEASE_TIMEOUT_MS, error);
}

int pause_release(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	(void)kernel;
	if (pause_file_signal(PAUSER_DIRECTORY, volume, number, PAUSER_RELEASE, error) != 0)
		return error->code;
	return wait_for(volume, number, false, RELEASE_TIMEOUT_MS, error);
}

int pause_forget(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	(void)kernel;
	return pause_file_remove(PAUSER_DIRECTORY, volume, number, error);
}

/* --- what is there ------------------------------------------------------------------------------------------------ */

int pauses_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error)
{
	if (pause_files_read(PAUSER_DIRECTORY, arena, &observed->pauses, error) != 0)
		return error->code;
	/* To suspend and to resume is no event. */
	for (size_t i = 0; i < observed->pauses.count; i++) {
		for (size_t j = 0; j < observed->pauses.items[i].devices.count; j++) {
			KNOWN_CHANGE change =
				known_change_begin(kernel->devices, observed->pauses.items[i].devices.items[j]);
		}
	}
	return 0;
}

uint64_t pauses_digest(uint64_t seed)
{
	struct observed_pause_list pauses;
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };

	if (pause_files_read(PAUSER_DIRECTORY, &arena, &pauses, &error) != 0)
		pauses.count = 0;
	for (size_t i = 0; i < pauses.count; i++) {
		const struct observed_pause *pause = &pauses.items[i];
		const uint64_t words[] = { pause->volume, pause->number, pause->state, pause->made, pause->alive };

		seed = XXH64(words, sizeof(words), seed);
	}
	arena_free(&arena);
	return seed;
}
