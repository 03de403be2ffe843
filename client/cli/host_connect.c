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
/* So many volumes are begun at once, and each of them counts for so long. */
#define FRESH_MAX 16u
#define FRESH_MS 1000u

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

/* A volume that is being connected. */
struct connecting {
	const char *name;
	struct volume_status status;
	struct host_paths *paths; /* owned; NULL: not begun, or over */
	char device[HOST_NAME_SIZE + 8];
	uint64_t begun_ms, found_ms; /* boot clock; 0: not yet */
	bool over;
	struct error failure; /* code 0: it is connected */
};

static void connecting_end(struct connecting *one)
{
	if (one->paths != NULL)
		host_paths_leave(one->paths, &one->status);
	free(one->paths);
	one->paths = NULL;
	one->over = true;
}

static void connecting_fail(struct connecting *one)
{
	cli_prefix(&one->failure, "cannot connect volume \"%s\"", one->name);
	connecting_end(one);
}

/* What connects a snapshot instead of its volume: it has the same paths, under its own name, for its own hosts. Of
 * "VOLUME@NAME", `at` is where NAME begins. */
static int snapshot_find(struct cli *cli, const char *name, const char *at, struct volume_status *ret_status,
			 struct snapshot_status *ret_snapshot, struct error *error)
{
	struct volume_get_request request = { .name = arena_strndup(&cli->arena, name, (size_t)(at - name) - 1) };
	struct snapshot_request wanted = { .volume = request.name, .name = at };
	int rc;

	if (request.name == NULL)
		return error_set_nomem(error);
	rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, ret_status, error);
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_SNAPSHOT_GET, &wanted, ret_snapshot, error);
	if (rc == 0 && ret_snapshot->nqn == NULL)
		rc = error_set(error, ERROR_UNSUPPORTED, "the servers serve no snapshots to hosts");
	return rc;
}

static int snapshot_connecting(struct cli *cli, const struct host_identity *identity, struct connecting *one,
			       const char *at)
{
	struct snapshot_status snapshot = { 0 };
	int rc = snapshot_find(cli, one->name, at, &one->status, &snapshot, &one->failure);
	bool attached = false;

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < snapshot.snapshot->hosts.count && !attached; i++)
		attached = strcmp(snapshot.snapshot->hosts.items[i], identity->nqn) == 0;
	if (!attached) {
		error_set(&one->failure, ERROR_FAILED_PRECONDITION, "host %s is not attached to the snapshot",
			  identity->nqn);
		error_hint(&one->failure, "dnvme snapshot attach %s %s %s", one->status.volume->name, at,
			   identity->nqn);
		return ERROR_FAILED_PRECONDITION;
	}
	one->status.nqn = snapshot.nqn;
	one->status.volume->hosts = snapshot.snapshot->hosts;
	memcpy(one->status.volume->uuid, snapshot.uuid, sizeof(snapshot.uuid));
	return volume_check(&one->status, identity->nqn, &one->failure);
}

static int volume_connecting(struct cli *cli, const struct host_identity *identity, struct connecting *one)
{
	struct volume_get_request request = { .name = one->name };
	const char *at = strchr(one->name, '@');

	if (at != NULL)
		return snapshot_connecting(cli, identity, one, at + 1);
	if (cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &one->status, &one->failure) != 0)
		return (int)one->failure.code;
	return volume_check(&one->status, identity->nqn, &one->failure);
}

static void connecting_begin(struct cli *cli, const struct host_identity *identity, struct connecting *one)
{
	error_clear(&one->failure);
	one->begun_ms = clock_boot_ms();
	if (volume_connecting(cli, identity, one) != 0) {
		connecting_fail(one);
		return;
	}
	if (access(FABRICS_DEVICE, W_OK) != 0) {
		error_set_errno(&one->failure, errno, FABRICS_DEVICE);
		error_hint(&one->failure, "run as root, and load the kernel module: modprobe nvme-tcp");
		connecting_fail(one);
		return;
	}
	one->paths = malloc(sizeof(*one->paths));
	if (one->paths == NULL) {
		error_set_nomem(&one->failure);
		connecting_fail(one);
		return;
	}
	host_paths_init(one->paths, HOST_SYSFS, identity);
	one->paths->patient = true;
}

static void connecting_step(const struct cli *cli, struct connecting *one)
{
	uint64_t now_ms = clock_boot_ms();
	bool late;

	if (host_paths_step(one->paths, &one->status, now_ms, NULL, NULL, &one->failure) != 0) {
		connecting_fail(one);
		return;
	}
	if (one->found_ms == 0 && device_is_there(one->status.volume->uuid, one->device))
		one->found_ms = now_ms;
	late = cli_left_ms(cli) == 0 || (one->found_ms != 0 && now_ms - one->found_ms >= GRACE_MS);
	if (one->found_ms == 0 && late) {
		connect_timed_out(one->paths, &one->status, cli, &one->failure);
		connecting_fail(one);
		return;
	}
	if (one->found_ms == 0 || (!late && (missing_count(one->paths, &one->status) > 0 || one->paths->planned > 0)))
		return;
	print_missing(one->paths, &one->status);
	if (host_io_policy_set(HOST_SYSFS, one->status.nqn, cli->io_policy != NULL ? cli->io_policy : "round-robin",
			       &one->failure) != 0) {
		/* The device works all the same, through one path at a time. */
		fprintf(stderr, "dnvme: warning: cannot choose the I/O policy: %s\n", one->failure.message);
		error_clear(&one->failure);
	}
	connecting_end(one);
}

/* One that has had a while for itself makes room for the next, or dead ones would keep all others waiting. */
static bool is_fresh(const struct connecting *one)
{
	return one->paths != NULL && one->found_ms == 0 && clock_boot_ms() - one->begun_ms < FRESH_MS;
}

/* All at once, as one that cannot be reached takes all the time there is. `each` prints a device. */
static void volumes_connect(struct cli *cli, const struct host_identity *identity, struct connecting *all, size_t count,
			    void (*each)(const struct connecting *one))
{
	struct connecting *busy;

	do {
		size_t fresh = 0;

		busy = NULL;
		for (size_t i = 0; i < count; i++) {
			struct connecting *one = &all[i];

			if (one->over)
				continue;
			if (one->paths == NULL && fresh < FRESH_MAX)
				connecting_begin(cli, identity, one);
			if (one->paths != NULL)
				connecting_step(cli, one);
			if (one->over && one->failure.code == ERROR_NONE)
				each(one);
			if (one->over)
				continue;
			fresh += is_fresh(one);
			if (one->paths != NULL)
				busy = one;
		}
		if (busy != NULL)
			host_paths_wait(busy->paths, POLL_MS);
	} while (busy != NULL);
}

static void print_device(const struct connecting *one)
{
	puts(one->device);
}

static void print_volume(const struct connecting *one)
{
	printf("%s %s\n", one->name, one->device);
	fflush(stdout);
}

/* The volumes that the host is attached to. */
static int attached_find(struct cli *cli, const char *nqn, struct string_list *ret_names, struct error *error)
{
	struct list_request request = { .filter = nqn };
	struct host_page page = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_HOST_LIST, &request, &page, error);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < page.hosts.count; i++) {
		if (strcmp(page.hosts.items[i].nqn, nqn) == 0)
			*ret_names = page.hosts.items[i].volumes;
	}
	return 0;
}

static int connect_all(struct cli *cli, const struct host_identity *identity, struct error *error)
{
	struct string_list names = { 0 };
	struct connecting *all;
	size_t failed = 0;
	int rc = attached_find(cli, identity->nqn, &names, error);

	if (rc != 0)
		return cli_prefix(error, "cannot tell which volumes host %s is attached to", identity->nqn);
	if (names.count == 0)
		fprintf(stderr, "dnvme: host %s is attached to no volume\n", identity->nqn);
	all = arena_alloc_array(&cli->arena, names.count + 1, sizeof(*all));
	if (all == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < names.count; i++)
		all[i].name = names.items[i];
	volumes_connect(cli, identity, all, names.count, print_volume);
	for (size_t i = 0; i < names.count; i++) {
		if (all[i].failure.code == ERROR_NONE)
			continue;
		if (failed++ == 0)
			*error = all[i].failure;
		else
			cli_print_error(&all[i].failure);
	}
	return failed == 0 ? 0 : (int)error->code;
}

int host_connect_run(struct cli *cli, struct error *error)
{
	struct connecting one = { .name = cli->arguments[0] };
	struct host_identity identity;

	if (cli->all != (cli->argument_count == 0) || cli->argument_count > 1) {
		cli->bad_usage = true;
		return error_set(error, ERROR_INVALID_ARGUMENT, "name one volume, or use --all");
	}
	if (host_identity_find(cli->host_nqn, &identity, error) != 0)
		return cli->all ? (int)error->code : cli_prefix(error, "cannot connect volume \"%s\"", one.name);
	if (cli->all)
		return connect_all(cli, &identity, error);
	volumes_connect(cli, &identity, &one, 1, print_device);
	if (one.failure.code != ERROR_NONE)
		*error = one.failure;
	return (int)one.failure.code;
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
	struct snapshot_status snapshot = { 0 };
	const char *nqn = cli->arguments[0], *at = strchr(nqn, '@');
	size_t count = 0;
	int rc = 0;

	if (strncmp(nqn, "nqn.", 4) != 0 && at != NULL) {
		rc = snapshot_find(cli, nqn, at + 1, &status, &snapshot, error);
		nqn = snapshot.nqn;
	} else if (strncmp(nqn, "nqn.", 4) != 0) {
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
