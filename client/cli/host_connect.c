/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/host_leave.h"
#include "client/cli/host_paths.h"
#include "client/cli/host_sysfs.h"
#include "client/cli/host_task.h"
#include "lib/base/clock.h"

#define POLL_MS 50
#define GRACE_MS 5000u /* for the other paths once the device is there */

/* A dead peer is let go of at the latest when the kernel itself has given it up. */
#define FREE_MS ((2 * LIMIT_HOST_KEEP_ALIVE_S + 3) * UINT64_C(1000))
#define FREE_AGAIN_NS 100000000L

#define FABRICS_DEVICE "/dev/nvme-fabrics"

/* --- connect --------------------------------------------------------------------------------------------- */

static int volume_check(const struct volume_status *status, const char *host_nqn, struct error *error)
{
	const struct volume *volume = status->volume;

	if (host_plan_is_usable(status, host_nqn))
		return 0;
	if (volume->phase != VOLUME_PHASE_ONLINE) {
		error_set(error, ERROR_FAILED_PRECONDITION, "the volume is not online but %s",
			  ENUM_NAME(volume_phase, volume->phase));
		if (status->waits_for != NULL)
			error_detail(error, "it waits for: %s", status->waits_for);
		return ERROR_FAILED_PRECONDITION;
	}
	error_set(error, ERROR_FAILED_PRECONDITION, "host %s is not attached to the volume", host_nqn);
	return error_hint(error, "dnvme volume attach %s %s", volume->name, host_nqn);
}

static const char *path_state(const struct host_paths *paths, const struct volume_path *path)
{
	const struct host_job *job = NULL;

	if (host_paths_has(paths, path, &job))
		return "connected";
	return job == NULL || host_task_runs(&job->task) ? "still connecting" : job->task.failure.message;
}

static size_t missing_count(const struct host_paths *paths, const struct volume_status *status)
{
	size_t count = 0;

	for (size_t i = 0; i < status->paths.count; i++)
		count += status->paths.items[i].role != CONTROLLER_ROLE_RETIRED &&
			 !host_paths_has(paths, &status->paths.items[i], NULL);
	return count;
}

static void print_missing(const struct host_paths *paths, const struct volume_status *status)
{
	for (size_t i = 0; i < status->paths.count; i++) {
		const struct volume_path *path = &status->paths.items[i];

		if (path->role != CONTROLLER_ROLE_RETIRED && !host_paths_has(paths, path, NULL))
			fprintf(stderr, "dnvme: warning: no path through %s (%s:%u) yet, trying on: %s\n", path->node,
				path->address, (unsigned)path->port, path_state(paths, path));
	}
}

static int connect_timed_out(const struct host_paths *paths, const struct volume_status *status, const struct cli *cli,
			     struct error *error)
{
	error_set(error, ERROR_DEADLINE_EXCEEDED, "no block device appeared within %u ms", cli->timeout_ms);
	for (size_t i = 0; i < status->paths.count; i++) {
		const struct volume_path *path = &status->paths.items[i];

		error_detail(error, "%s %s (%s:%u): %s", ENUM_NAME(controller_role, path->role), path->node,
			     path->address, (unsigned)path->port,
			     path->role == CONTROLLER_ROLE_RETIRED ? "not wanted any more" : path_state(paths, path));
	}
	return ERROR_DEADLINE_EXCEEDED;
}

static bool device_is_there(const uint8_t uuid[16], char ret_path[HOST_NAME_SIZE + 8])
{
	char name[HOST_NAME_SIZE];

	if (!host_device_find(HOST_SYSFS, uuid, name))
		return false;
	snprintf(ret_path, HOST_NAME_SIZE + 8, "/dev/%s", name);
	return access(ret_path, F_OK) == 0;
}

static int paths_connect(struct cli *cli, const struct volume_status *status, struct host_paths *paths,
			 struct error *error)
{
	char device[HOST_NAME_SIZE + 8];
	uint64_t found_ms = 0;
	bool found = false;
	int rc;

	for (;;) {
		uint64_t now_ms = clock_boot_ms();
		bool late;

		rc = host_paths_step(paths, status, now_ms, NULL, NULL, error);
		if (rc != 0)
			goto cleanup;
		if (!found && device_is_there(status->volume->uuid, device)) {
			found = true;
			found_ms = now_ms;
		}
		late = cli_left_ms(cli) == 0 || (found && now_ms - found_ms >= GRACE_MS);
		if (found && (late || (missing_count(paths, status) == 0 && paths->planned == 0)))
			break;
		if (late) {
			rc = connect_timed_out(paths, status, cli, error);
			goto cleanup;
		}
		host_paths_wait(paths, POLL_MS);
	}
	print_missing(paths, status);
	rc = host_io_policy_set(HOST_SYSFS, status->nqn, cli->io_policy != NULL ? cli->io_policy : "round-robin",
				error);
	if (rc != 0) {
		/* The device works all the same, through one path at a time. */
		fprintf(stderr, "dnvme: warning: cannot choose the I/O policy: %s\n", error->message);
		rc = 0;
	}
	puts(device);
cleanup:
	host_paths_leave(paths, status);
	return rc;
}

int host_connect_run(struct cli *cli, struct error *error)
{
	struct volume_get_request request = { .name = cli->arguments[0] };
	struct host_paths *paths = arena_alloc(&cli->arena, sizeof(*paths));
	struct volume_status status = { 0 };
	struct host_identity identity;
	int rc = paths == NULL ? error_set_nomem(error) : host_identity_find(cli->host_nqn, &identity, error);

	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);
	if (rc == 0)
		rc = volume_check(&status, identity.nqn, error);
	if (rc == 0 && access(FABRICS_DEVICE, W_OK) != 0) {
		rc = error_set_errno(error, errno, FABRICS_DEVICE);
		error_hint(error, "run as root, and load the kernel module: modprobe nvme-tcp");
	}
	if (rc == 0) {
		host_paths_init(paths, HOST_SYSFS, &identity);
		paths->patient = true;
		rc = paths_connect(cli, &status, paths, error);
	}
	return rc == 0 ? 0 : cli_prefix(error, "cannot connect volume \"%s\"", request.name);
}

/* --- disconnect ------------------------------------------------------------------------------------------ */

/* Whether or not I/O is under way, the last path goes: a live one as it is, and nothing waits for a dead one. */
static int controller_free(const void *leaving, struct error *error)
{
	const struct timespec pause = { .tv_nsec = FREE_AGAIN_NS };
	uint64_t end_ms = clock_boot_ms() + FREE_MS;
	int rc;

	while ((rc = host_leave_free(leaving, error)) == ERROR_UNAVAILABLE && clock_boot_ms() < end_ms)
		nanosleep(&pause, NULL);
	/* What was said before it succeeded. */
	if (rc == 0)
		error_clear(error);
	return rc;
}

/* A device that is mounted, or below another device, must not vanish under it. */
static int device_check_unused(const char *nqn, struct error *error)
{
	char name[HOST_NAME_SIZE], path[HOST_NAME_SIZE + 8];
	int fd;

	if (!host_device_of_subsystem(HOST_SYSFS, nqn, name))
		return 0;
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		error_set(error, ERROR_FAILED_PRECONDITION, "%s is in use", path);
		return error_hint(error, "unmount it and remove what is stacked on it, or use --force");
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

/* What is done to all controllers of a volume at once, each in a process of its own. */
struct leavings {
	struct host_leaving items[HOST_CONTROLLERS];
	struct host_task tasks[HOST_CONTROLLERS], *all[HOST_CONTROLLERS];
	size_t count;
};

static bool any_runs(const struct leavings *leavings)
{
	for (size_t i = 0; i < leavings->count; i++) {
		if (host_task_runs(&leavings->tasks[i]))
			return true;
	}
	return false;
}

/* Until all can be deleted at once, so that `host watch` sees them go together and brings none of them back. */
static void controllers_free(const struct cli *cli, struct leavings *leavings)
{
	for (size_t i = 0; i < leavings->count; i++)
		(void)host_task_start(&leavings->tasks[i], controller_free, &leavings->items[i],
				      &leavings->tasks[i].failure);
	while (any_runs(leavings) && cli_left_ms(cli) > 0)
		host_tasks_wait(leavings->all, leavings->count, POLL_MS);
}

static int controllers_await(const struct cli *cli, const char *nqn, struct leavings *leavings, struct error *error)
{
	static struct host_controller left[HOST_CONTROLLERS];
	size_t left_count = 0;
	int rc;

	for (;;) {
		rc = host_controllers_find(HOST_SYSFS, nqn, left, &left_count, error);
		if (rc != 0 || left_count == 0)
			return rc;
		if (cli_left_ms(cli) == 0)
			break;
		host_tasks_wait(leavings->all, leavings->count, POLL_MS);
	}
	rc = error_set(error, ERROR_DEADLINE_EXCEEDED, "%zu of %zu controllers are left after %u ms", left_count,
		       leavings->count, cli->timeout_ms);
	for (size_t i = 0; i < left_count; i++)
		error_detail(error, "%s (%s:%s) is %s", left[i].name, left[i].address, left[i].port, left[i].state);
	for (size_t i = 0; i < leavings->count; i++) {
		if (!host_task_runs(&leavings->tasks[i]) && leavings->tasks[i].failure.code != ERROR_NONE)
			error_detail(error, "%s", leavings->tasks[i].failure.message);
	}
	return rc;
}

static int controllers_delete(const struct cli *cli, const char *nqn, size_t *ret_count, struct error *error)
{
	static struct host_controller found[HOST_CONTROLLERS];
	static struct leavings leavings;
	int rc = host_controllers_find(HOST_SYSFS, nqn, found, &leavings.count, error);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < leavings.count; i++) {
		leavings.items[i] = (struct host_leaving){ .sysfs = HOST_SYSFS,
							   .controller = found[i],
							   .live = HOST_LEAVE_AS_IT_IS };
		leavings.tasks[i] = (struct host_task)HOST_TASK_INIT;
		error_clear(&leavings.tasks[i].failure);
		leavings.all[i] = &leavings.tasks[i];
	}
	controllers_free(cli, &leavings);
	for (size_t i = 0; i < leavings.count; i++) {
		/* One that could not be freed would block. */
		if (!host_task_runs(&leavings.tasks[i]) && leavings.tasks[i].failure.code == ERROR_NONE)
			(void)host_task_start(&leavings.tasks[i], host_leave_delete, &leavings.items[i],
					      &leavings.tasks[i].failure);
	}
	rc = controllers_await(cli, nqn, &leavings, error);
	for (size_t i = 0; i < leavings.count; i++)
		host_task_leave(&leavings.tasks[i]);
	if (rc == 0)
		*ret_count = leavings.count;
	return rc;
}

int host_disconnect_run(struct cli *cli, struct error *error)
{
	struct volume_get_request request = { .name = cli->arguments[0] };
	struct volume_status status = { 0 };
	const char *nqn = cli->arguments[0];
	size_t count = 0;
	int rc = 0;

	if (strncmp(nqn, "nqn.", 4) != 0) {
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);
		if (rc == ERROR_NOT_FOUND)
			error_hint(error, "for a volume that is deleted, give its NQN instead of its name");
		nqn = status.nqn;
	}
	if (rc == 0 && !cli->force)
		rc = device_check_unused(nqn, error);
	if (rc == 0)
		rc = controllers_delete(cli, nqn, &count, error);
	if (rc != 0)
		return cli_prefix(error, "cannot disconnect volume \"%s\"", cli->arguments[0]);
	if (count == 0)
		printf("volume %s was not connected\n", cli->arguments[0]);
	else
		printf("volume %s is disconnected: %zu %s removed\n", cli->arguments[0], count,
		       count == 1 ? "path" : "paths");
	return 0;
}
