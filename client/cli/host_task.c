/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_task.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct error) <= 4096, "an error fits into a pipe at once");

int host_task_start(struct host_task *task, host_task_function function, const void *argument, struct error *error)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_set_errno(error, errno, "cannot make a pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		int saved = errno;

		close(ends[0]);
		close(ends[1]);
		return error_set_errno(error, saved, "cannot start a process");
	}
	if (pid == 0) {
		struct error failure;

		/* One that is left behind must not hold the pipe that a script reads our output from. */
		int nothing = open("/dev/null", O_RDWR);

		for (int fd = 0; nothing >= 0 && fd <= 2; fd++)
			dup2(nothing, fd);
		error_clear(&failure);
		function(argument, &failure);
		(void)!write(ends[1], &failure, sizeof(failure));
		_exit(0);
	}
	close(ends[1]);
	task->fd = ends[0];
	task->pid = pid;
	error_clear(&task->failure);
	return 0;
}

bool host_task_runs(const struct host_task *task)
{
	return task->fd >= 0;
}

void host_tasks_wait(struct host_task *const *tasks, size_t count, int timeout_ms)
{
	struct pollfd wanted[HOST_TASKS];

	assert(count <= HOST_TASKS);
	for (size_t i = 0; i < count; i++)
		wanted[i] = (struct pollfd){ .fd = tasks[i]->fd, .events = POLLIN };
	if (poll(wanted, count, timeout_ms) <= 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct host_task *task = tasks[i];

		if (wanted[i].revents == 0 || task->fd < 0)
			continue;
		if (read(task->fd, &task->failure, sizeof(task->failure)) != (ssize_t)sizeof(task->failure))
			error_set(&task->failure, ERROR_INTERNAL, "the process that did it died");
		close(task->fd);
		task->fd = -1;
		waitpid(task->pid, NULL, 0);
	}
}

void host_task_leave(struct host_task *task)
{
	if (task->fd >= 0)
		close(task->fd);
	task->fd = -1;
}
