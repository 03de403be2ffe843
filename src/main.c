/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "src/audit.h"
#include "src/dnvmed.h"
#include "src/exit_status.h"
#include "src/options.h"
#include "src/recovery.h"
#include "src/restore.h"

#define LARGE_BYTES (1 << 20)
#define KEEP_BYTES (4 << 20)

/* By itself the allocator learns from large buffers that come and go to keep their memory, in each of libuv's threads;
 * and a server seldom sends a snapshot of its state. */
static void memory_setup(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
}

static void complain(const struct error *error)
{
	fprintf(stderr, "dnvmed: %s\n", error->message);
	if (error->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", error->hint);
}

int main(int argument_count, char **arguments)
{
	struct options options;
	struct dnvmed *dnvmed;
	struct error error;
	int status;

	memory_setup();
	error_clear(&error);
	if (options_parse(argument_count, arguments, &options, &error) != 0) {
		complain(&error);
		return EXIT_STATUS_USAGE;
	}
	if (options.check_only)
		return EXIT_STATUS_STOPPED;
	if (options.check_state)
		return audit_stopped(options.data);
	signal(SIGPIPE, SIG_IGN);
	log_open("dnvmed", LOG_TARGET_AUTO, options.log_level);
	dnvmed = malloc(sizeof(*dnvmed));
	if (dnvmed == NULL) {
		error_set_nomem(&error);
		complain(&error);
		return EXIT_STATUS_FAILED;
	}
	if (options.recover) {
		status = recovery_run(dnvmed, &options);
		free(dnvmed);
		return status;
	}
	if (options.restore[0] != '\0') {
		free(dnvmed);
		return restore_run(&options);
	}
	if (dnvmed_start(dnvmed, &options, &error) != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot start", &error);
	status = dnvmed_run(dnvmed);
	free(dnvmed);
	return status;
}
