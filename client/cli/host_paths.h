/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths of one volume on this machine: looks at them, and does what host_plan.c says, each step in a process of its
 * own. */
#ifndef DNVME_CLIENT_CLI_HOST_PATHS_H
#define DNVME_CLIENT_CLI_HOST_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli/cli.h"
#include "client/cli/host_leave.h"
#include "client/cli/host_plan.h"
#include "client/cli/host_sight.h"
#include "client/cli/host_sysfs.h"
#include "client/cli/host_task.h"
#include "lib/base/uuid.h"

/* What this machine is to the volumes' controllers. */
struct host_identity {
	char nqn[LIMIT_NQN + 1];
	char id[UUID_TEXT_SIZE];
};

/* One path to be connected: the argument of `connect` below. */
struct host_connection {
	char nqn[LIMIT_NQN + 1]; /* subsystem */
	struct host_identity identity;
	char address[LIMIT_ADDRESS + 1];
	char port[8];
	unsigned keep_alive_s;
	bool patient; /* try on when the parent process is gone, as long as the volume is connected */
};

#define HOST_JOBS 24 /* at once; more actions wait for one that ends */

/* What is being done about one path, or was. */
struct host_job {
	bool used;
	enum host_action_kind kind;
	struct host_task task;
	bool collected;		     /* its end was looked at */
	uint64_t first_ms, retry_ms; /* boot clock: when it was tried first; not again before */
	unsigned attempts;
	struct host_connection connection; /* CONNECT */
	struct host_leaving leaving;	   /* LEAVE */
	char node[LIMIT_NAME + 1];
};

/* A path that somebody else took away, or is about to: whoever disconnects the volume takes one after the other. */
struct host_taken {
	char address[LIMIT_ADDRESS + 1], port[HOST_NAME_SIZE];
	uint64_t since_ms; /* 0: unused */
};

struct host_paths {
	const char *sysfs;
	struct host_identity identity;
	host_task_function connect, leave; /* host_path_connect(), host_leave(), or a test's */
	struct host_names others;	   /* controllers of other volumes that are expendable; borrowed */
	bool patient;
	const struct host_sight *sight; /* where to look; NULL: in sysfs, each time */
	uint64_t tuned_ms;
	unsigned retry_ms; /* between attempts at one path */
	struct host_job jobs[HOST_JOBS];
	/* As they were at the last step. */
	struct host_controller known[HOST_CONTROLLERS];
	size_t known_count;
	struct host_taken taken[LIMIT_COLOURS];
	size_t planned; /* actions that are under way or wait */
};

/* A job began (NULL) or ended (`failure`, code 0 on success). */
typedef void (*host_paths_report)(void *data, const struct host_job *job, const struct error *failure);

/* This machine's NQN and id: from its files, or derived from `nqn` when that is not NULL. */
int host_identity_find(const char *nqn, struct host_identity *ret_identity, struct error *error);

void host_paths_init(struct host_paths *paths, const char *sysfs, const struct host_identity *identity);

/* Look, plan, begin what is planned and not under way, collect what ended. CONFLICT: a controller of the volume that
 * stays is connected as another host. `report` may be NULL. */
int host_paths_step(struct host_paths *paths, const struct volume_status *status, uint64_t now_ms,
		    host_paths_report report, void *data, struct error *error);

/* Add the names of the controllers that leave, or are idle: their connections may be ended with others'. */
void host_paths_expendable(const struct host_paths *paths, const struct volume_status *status,
			   char (*names)[HOST_NAME_SIZE], size_t max, size_t *count);

/* Wait at most `timeout_ms` for one of the jobs to end. */
void host_paths_wait(struct host_paths *paths, int timeout_ms);

/* Whether the kernel has a controller for a listed path, and no job is about to make it; the job that failed to, if
 * there is one, else NULL. */
bool host_paths_has(const struct host_paths *paths, const struct volume_path *path, const struct host_job **ret_job);

/* Leave what still runs to itself. With `patient`, paths that are missing are tried on. */
void host_paths_leave(struct host_paths *paths, const struct volume_status *status);

/* Keep-alive timeout for connections to the volume. */
unsigned host_keep_alive_s(const struct volume *volume);

/* Connects; a host_task_function over a struct host_connection. */
int host_path_connect(const void *connection, struct error *error);

#endif
