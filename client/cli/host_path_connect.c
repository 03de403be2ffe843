/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One path through libnvme, in a process of its own, which ends right behind it: libnvme's objects are not freed. */
#include <errno.h>
#include <libnvme.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/host_paths.h"

#define RECONNECT_DELAY_S 1
/* Until host_controller_tune(): libnvme before 1.4 does not pass -1 on, and this process may die in between. */
#define CTRL_LOSS_FIRST_S 1000000000
#define FAST_IO_FAIL_OFF 0 /* libnvme leaves the option out, and the kernel's own default is never */

/* What is tried behind the parent's back. */
#define PATIENT_PAUSE_S 5
#define PATIENT_ATTEMPTS 120

static int attempt(const struct host_connection *connection, struct error *error)
{
	struct nvme_fabrics_config config;
	nvme_root_t root = nvme_create_root(NULL, -1);
	nvme_host_t host;
	nvme_ctrl_t controller;

	if (root == NULL)
		return error_set_nomem(error);
	host = nvme_lookup_host(root, connection->identity.nqn, connection->identity.id);
	controller = host == NULL ? NULL
				  : nvme_create_ctrl(root, connection->nqn, "tcp", connection->address, NULL, NULL,
						     connection->port);
	if (controller == NULL)
		return error_set_nomem(error);
	nvmf_default_config(&config);
	config.keep_alive_tmo = (int)connection->keep_alive_s;
	config.reconnect_delay = RECONNECT_DELAY_S;
	config.ctrl_loss_tmo = CTRL_LOSS_FIRST_S;
	config.fast_io_fail_tmo = FAST_IO_FAIL_OFF;
	errno = 0;
	if (nvmf_add_ctrl(host, controller, &config) != 0)
		return error_set(error, ERROR_UNAVAILABLE, "%s", nvme_errno_to_string(errno));
	return 0;
}

/* The controllers of the volume, each tuned; returns how many lead elsewhere. */
static size_t others_count(const struct host_connection *connection, const char **ret_own)
{
	static struct host_controller found[HOST_CONTROLLERS];
	size_t count = 0, others = 0;

	*ret_own = NULL;
	if (host_controllers_find(HOST_SYSFS, connection->nqn, found, &count, NULL) != 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(found[i].state, "deleting", strlen("deleting")) == 0)
			continue;
		if (strcmp(found[i].address, connection->address) != 0 ||
		    strcmp(found[i].port, connection->port) != 0) {
			others++;
			continue;
		}
		*ret_own = found[i].name;
		host_controller_tune(HOST_SYSFS, found[i].name);
	}
	return others;
}

int host_path_connect(const void *argument, struct error *error)
{
	const struct host_connection *connection = argument;
	const struct timespec pause = { .tv_sec = PATIENT_PAUSE_S };
	pid_t parent = getppid();
	const char *own;
	bool alone;
	int rc;

	/* Should the peer go away meanwhile, the kernel makes no other path in that time. */
	host_admin_timeout_lower(HOST_SYSFS);
	rc = attempt(connection, error);
	/* The parent decides while it is there. Behind its back a volume that was disconnected must stay so. */
	for (unsigned i = 0; rc != 0 && connection->patient && i < PATIENT_ATTEMPTS; i++) {
		if (getppid() == parent)
			return rc;
		nanosleep(&pause, NULL);
		if (others_count(connection, &own) == 0 || own != NULL)
			return rc;
		rc = attempt(connection, error);
	}
	if (rc != 0)
		return rc;
	/* Asked first: as long as the parent is there, the other paths may be on their way, and it sees to them. */
	alone = getppid() != parent;
	if (others_count(connection, &own) == 0 && alone && own != NULL)
		return host_controller_write(HOST_SYSFS, own, "delete_controller", "1", error);
	return 0;
}
