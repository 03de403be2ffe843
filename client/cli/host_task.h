/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel calls that may block for minutes, each in a process of its own: the command keeps its deadline, and a call
 * that is stuck can be left behind.
 */
#ifndef DNVME_CLIENT_CLI_HOST_TASK_H
#define DNVME_CLIENT_CLI_HOST_TASK_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/error.h"

struct host_task {
	int fd; /* -1: not running */
	pid_t pid;
	struct error failure; /* of the last run; code 0 if it succeeded */
};

/* Returns 0 or a code; runs in the child. */
typedef int (*host_task_function)(const void *argument, struct error *error);

#define HOST_TASKS 128 /* that are waited for at once */

#define HOST_TASK_INIT                                                                                                 \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/* Start; the task must not be running. */
int host_task_start(struct host_task *task, host_task_function function, const void *argument, struct error *error);

bool host_task_runs(const struct host_task *task);

/* Wait at most `timeout_ms` for any of the tasks to end, and collect those that did. */
void host_tasks_wait(struct host_task *const *tasks, size_t count, int timeout_ms);

/* Forget a task that still runs; it goes on by itself. */
void host_task_leave(struct host_task *task);

#endif
