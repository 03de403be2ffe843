/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All controllers of our volumes in this kernel, looked at together. For a program that follows many volumes: what
 * never changes of a controller is read once, and a look costs two short reads for each of them.
 */
#ifndef DNVME_CLIENT_CLI_HOST_SIGHT_H
#define DNVME_CLIENT_CLI_HOST_SIGHT_H

#include "client/cli/host_sysfs.h"

struct host_seen {
	struct host_controller controller;
	char nqn[LIMIT_NQN + 1]; /* subsystem */
	uint64_t inode;		 /* of its directory: another controller of the same name has another one */
	bool there;		 /* in the present look */
};

struct host_sight {
	const char *sysfs;
	struct host_seen *items;
	size_t count, capacity;
};

/* A look; what could not be read is as if it were not there. On failure the last one stays. */
int host_sight_look(struct host_sight *sight, struct error *error);

/* As host_controllers_find(), from the last look. */
void host_sight_find(const struct host_sight *sight, const char *nqn, struct host_controller ret_list[HOST_CONTROLLERS],
		     size_t *ret_count);

void host_sight_free(struct host_sight *sight);

#endif
