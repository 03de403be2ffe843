/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/host_sysfs.h"
#include "client/cli/host_task.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

/* A dead controller is noticed in seconds, and its path is tried for ever: the volume comes back by itself. */
#define KEEP_ALIVE_S 2
#define RECONNECT_DELAY_S 1
#define CTRL_LOSS_NEVER (-1)

#define POLL_MS 50
#define RETRY_MS 1000u /* between attempts to connect one path */
#define GRACE_MS 5000u /* for the other paths once the device is there */

#define FABRICS_DEVICE "/dev/nvme-fabrics"

struct host_path {
	const char *nqn;
	const char *host_nqn;
	char host_id[UUID_TEXT_SIZE];
	const struct volume_path *path;
	char port[8];
	bool connected;
	uint64_t retry_ms;
};

/* --- one path -------------------------------------------------------------------------------------------- */

/* In a process of its own, which ends right behind it: libnvme's objects are not freed. */
static int path_connect(const void *argument, struct error *error)
{
	const struct host_path *one = argument;
	struct nvme_fabrics_config config;
	nvme_root_t root = nvme_create_root(NULL, -1);
	nvme_host_t host;
	nvme_ctrl_t controller;

	if (root == NULL)
		return error_set_nomem(error);
	host = nvme_lookup_host(root, one->host_nqn, one->host_id);
	controller = host == NULL ? NULL
				  : nvme_create_ctrl(root, one->nqn, "tcp", one->path->address, NULL, NULL, one->port);
	if (controller == NULL)
		return error_set_nomem(error);
	nvmf_default_config(&config);
	config.keep_alive_tmo = KEEP_ALIVE_S;
	config.reconnect_delay = RECONNECT_DELAY_S;
	config.ctrl_loss_tmo = CTRL_LOSS_NEVER;
	errno = 0;
	if (nvmf_add_ctrl(host, controller, &config) != 0)
		return error_set(error, ERROR_UNAVAILABLE, "%s", nvme_errno_to_string(errno));
	return 0;
}

/* Mark the paths that the kernel has, and see to it that it never gives one up. */
static int paths_observe(struct host_path *paths, const struct host_task *tasks, size_t count, const char *nqn,
			 struct error *error)
{
	struct host_controller found[HOST_CONTROLLERS];
	size_t found_count = 0;
	int rc = host_controllers_find(HOST_SYSFS, nqn, found, &found_count, error);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		bool connected = false;

		for (size_t j = 0; j < found_count; j++) {
			if (strcmp(found[j].address, paths[i].path->address) != 0 ||
			    strcmp(found[j].port, paths[i].port) != 0)
				continue;
			if (found[j].host_nqn[0] != '\0' && strcmp(found[j].host_nqn, paths[i].host_nqn) != 0) {
				error_set(error, ERROR_CONFLICT, "%s is connected to %s as host %s", found[j].name,
					  paths[i].path->node, found[j].host_nqn);
				return error_hint(error, "disconnect it first, or use --host-nqn %s",
						  found[j].host_nqn);
			}
			/* Older versions of libnvme do not pass -1 on to the kernel. */
			if (!paths[i].connected)
				(void)host_controller_write(HOST_SYSFS, found[j].name, "ctrl_loss_tmo", "-1", NULL);
			/* One that is just being made may still fail; one that was there before goes on trying. */
			connected = strcmp(found[j].state, "live") == 0 ||
				    (!host_task_runs(&tasks[i]) && strncmp(found[j].state, "deleting", 8) != 0);
		}
		paths[i].connected = connected;
	}
	return 0;
}

static void paths_start(struct host_path *paths, struct host_task *tasks, size_t count, uint64_t now_ms)
{
	for (size_t i = 0; i < count; i++) {
		if (paths[i].connected || host_task_runs(&tasks[i]) || now_ms < paths[i].retry_ms)
			continue;
		paths[i].retry_ms = now_ms + RETRY_MS;
		(void)host_task_start(&tasks[i], path_connect, &paths[i], &tasks[i].failure);
	}
}

/* --- connect --------------------------------------------------------------------------------------------- */

static const char *first_line(struct cli *cli, char *text)
{
	char *copy = text == NULL ? NULL : arena_strndup(&cli->arena, text, strcspn(text, " \t\r\n"));

	free(text);
	return copy;
}

/* The host's NQN and id: from the machine's files, or derived from --host-nqn. */
static int identity_find(struct cli *cli, const char **ret_nqn, char ret_id[UUID_TEXT_SIZE], struct error *error)
{
	const char *nqn = cli->host_nqn, *id = NULL;
	uint8_t uuid[16];

	if (nqn == NULL) {
		nqn = first_line(cli, nvmf_hostnqn_from_file());
		if (nqn == NULL || nqn[0] == '\0') {
			error_set(error, ERROR_FAILED_PRECONDITION,
				  "this machine has no host NQN in /etc/nvme/hostnqn");
			return error_hint(error, "write one there (nvme gen-hostnqn makes one), or use --host-nqn");
		}
		/* The kernel refuses one NQN with two ids: use the id with which others connect, too. */
		id = first_line(cli, nvmf_hostid_from_file());
	}
	if (names_nqn_check(cli->host_nqn != NULL ? "--host-nqn" : "/etc/nvme/hostnqn", nqn, error) != 0)
		return ERROR_INVALID_ARGUMENT;
	if (id == NULL || uuid_text_parse(id, uuid) != 0)
		uuid_from_name(nqn, uuid);
	uuid_text_format(uuid, ret_id);
	*ret_nqn = nqn;
	return 0;
}

static int volume_check(const struct volume_status *status, const char *host_nqn, struct error *error)
{
	const struct volume *volume = status->volume;

	if (volume->phase != VOLUME_PHASE_ONLINE) {
		error_set(error, ERROR_FAILED_PRECONDITION, "the volume is not online but %s",
			  ENUM_NAME(volume_phase, volume->phase));
		if (status->waits_for != NULL)
			error_detail(error, "it waits for: %s", status->waits_for);
		return ERROR_FAILED_PRECONDITION;
	}
	for (size_t i = 0; i < volume->hosts.count; i++) {
		if (strcmp(volume->hosts.items[i], host_nqn) == 0)
			return 0;
	}
	error_set(error, ERROR_FAILED_PRECONDITION, "host %s is not attached to the volume", host_nqn);
	return error_hint(error, "dnvme volume attach %s %s", volume->name, host_nqn);
}

static void print_missing(const struct host_path *paths, const struct host_task *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!paths[i].connected)
			fprintf(stderr, "dnvme: warning: no path through %s (%s:%s): %s\n", paths[i].path->node,
				paths[i].path->address, paths[i].port,
				host_task_runs(&tasks[i]) ? "still connecting" : tasks[i].failure.message);
	}
}

static int connect_timed_out(const struct host_path *paths, const struct host_task *tasks, size_t count,
			     const struct cli *cli, struct error *error)
{
	error_set(error, ERROR_DEADLINE_EXCEEDED, "no block device appeared within %u ms", cli->timeout_ms);
	for (size_t i = 0; i < count; i++) {
		const char *state = paths[i].connected		? "connected"
				    : host_task_runs(&tasks[i]) ? "still connecting"
								: tasks[i].failure.message;

		error_detail(error, "%s %s (%s:%s): %s", ENUM_NAME(controller_role, paths[i].path->role),
			     paths[i].path->node, paths[i].path->address, paths[i].port, state);
	}
	return ERROR_DEADLINE_EXCEEDED;
}

static bool all_connected(const struct host_path *paths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!paths[i].connected)
			return false;
	}
	return true;
}

static bool device_is_there(const uint8_t uuid[16], char ret_path[HOST_NAME_SIZE + 8])
{
	char name[HOST_NAME_SIZE];

	if (!host_device_find(HOST_SYSFS, uuid, name))
		return false;
	snprintf(ret_path, HOST_NAME_SIZE + 8, "/dev/%s", name);
	return access(ret_path, F_OK) == 0;
}

static int paths_connect(struct cli *cli, const struct volume_status *status, struct host_path *paths, size_t count,
			 struct error *error)
{
	struct host_task tasks[LIMIT_COLOURS];
	char device[HOST_NAME_SIZE + 8];
	uint64_t found_ms = 0;
	bool found = false;
	int rc;

	for (size_t i = 0; i < count; i++)
		tasks[i] = (struct host_task)HOST_TASK_INIT;
	for (;;) {
		uint64_t now_ms = clock_boot_ms();

		rc = paths_observe(paths, tasks, count, status->nqn, error);
		if (rc != 0)
			goto cleanup;
		if (!found && device_is_there(status->volume->uuid, device)) {
			found = true;
			found_ms = now_ms;
		}
		if (found && (all_connected(paths, count) || now_ms - found_ms >= GRACE_MS || cli_left_ms(cli) == 0))
			break;
		if (cli_left_ms(cli) == 0) {
			rc = connect_timed_out(paths, tasks, count, cli, error);
			goto cleanup;
		}
		paths_start(paths, tasks, count, now_ms);
		host_tasks_wait(tasks, count, POLL_MS);
	}
	print_missing(paths, tasks, count);
	rc = host_io_policy_set(HOST_SYSFS, status->nqn, cli->io_policy != NULL ? cli->io_policy : "round-robin",
				error);
	if (rc != 0) {
		/* The device works all the same, through one path at a time. */
		fprintf(stderr, "dnvme: warning: cannot choose the I/O policy: %s\n", error->message);
		rc = 0;
	}
	puts(device);
cleanup:
	for (size_t i = 0; i < count; i++)
		host_task_leave(&tasks[i]);
	return rc;
}

int host_connect_run(struct cli *cli, struct error *error)
{
	struct volume_get_request request = { .name = cli->arguments[0] };
	struct host_path paths[LIMIT_COLOURS];
	struct volume_status status = { 0 };
	const char *host_nqn = NULL;
	char host_id[UUID_TEXT_SIZE];
	int rc = identity_find(cli, &host_nqn, host_id, error);

	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);
	if (rc == 0)
		rc = volume_check(&status, host_nqn, error);
	if (rc == 0 && access(FABRICS_DEVICE, W_OK) != 0) {
		rc = error_set_errno(error, errno, FABRICS_DEVICE);
		error_hint(error, "run as root, and load the kernel module: modprobe nvme-tcp");
	}
	if (rc != 0)
		return cli_prefix(error, "cannot connect volume \"%s\"", request.name);
	for (size_t i = 0; i < status.paths.count; i++) {
		paths[i] = (struct host_path){
			.nqn = status.nqn,
			.host_nqn = host_nqn,
			.path = &status.paths.items[i],
		};
		memcpy(paths[i].host_id, host_id, sizeof(host_id));
		snprintf(paths[i].port, sizeof(paths[i].port), "%u", (unsigned)status.paths.items[i].port);
	}
	rc = paths_connect(cli, &status, paths, status.paths.count, error);
	return rc == 0 ? 0 : cli_prefix(error, "cannot connect volume \"%s\"", request.name);
}

/* --- disconnect ------------------------------------------------------------------------------------------ */

static int controller_delete(const void *argument, struct error *error)
{
	const struct host_controller *controller = argument;

	return host_controller_write(HOST_SYSFS, controller->name, "delete_controller", "1", error);
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

static int controllers_delete(const struct cli *cli, const char *nqn, size_t *ret_count, struct error *error)
{
	struct host_controller found[HOST_CONTROLLERS], left[HOST_CONTROLLERS];
	struct host_task tasks[HOST_CONTROLLERS];
	size_t count = 0, left_count = 0;
	int rc = host_controllers_find(HOST_SYSFS, nqn, found, &count, error);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		tasks[i] = (struct host_task)HOST_TASK_INIT;
		(void)host_task_start(&tasks[i], controller_delete, &found[i], &tasks[i].failure);
	}
	for (;;) {
		rc = host_controllers_find(HOST_SYSFS, nqn, left, &left_count, error);
		if (rc != 0 || left_count == 0)
			break;
		if (cli_left_ms(cli) == 0) {
			rc = error_set(error, ERROR_DEADLINE_EXCEEDED, "%zu of %zu controllers are left after %u ms",
				       left_count, count, cli->timeout_ms);
			for (size_t i = 0; i < left_count; i++)
				error_detail(error, "%s (%s:%s) is %s", left[i].name, left[i].address, left[i].port,
					     left[i].state);
			for (size_t i = 0; i < count; i++) {
				if (!host_task_runs(&tasks[i]) && tasks[i].failure.code != ERROR_NONE)
					error_detail(error, "%s", tasks[i].failure.message);
			}
			break;
		}
		host_tasks_wait(tasks, count, POLL_MS);
	}
	for (size_t i = 0; i < count; i++)
		host_task_leave(&tasks[i]);
	if (rc == 0)
		*ret_count = count;
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
