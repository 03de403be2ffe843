/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this machine's kernel shows of NVMe in sysfs. `sysfs` is "/sys", or a copy in tests. */
#ifndef DNVME_CLIENT_CLI_HOST_SYSFS_H
#define DNVME_CLIENT_CLI_HOST_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/limits.h"

#define HOST_SYSFS "/sys"
#define HOST_CONTROLLERS 64
#define HOST_NAME_SIZE 64

struct host_controller {
	char name[HOST_NAME_SIZE]; /* "nvme3" */
	char state[HOST_NAME_SIZE];
	char address[LIMIT_ADDRESS + 1]; /* traddr */
	char port[HOST_NAME_SIZE];	 /* trsvcid */
	char host_nqn[LIMIT_NQN + 1];	 /* empty when the kernel does not tell */
	bool pathless;			 /* no namespace lies on it: host_controller_has_path(), where somebody asked */
};

/* Controllers of a subsystem, at most HOST_CONTROLLERS. NOT_FOUND never: no NVMe at all means none. */
int host_controllers_find(const char *sysfs, const char *nqn, struct host_controller ret_list[HOST_CONTROLLERS],
			  size_t *ret_count, struct error *error);

/* One controller by its name, and the NQN of its subsystem; false when it is gone. */
bool host_controller_read(const char *sysfs, const char *name, struct host_controller *ret,
			  char ret_nqn[LIMIT_NQN + 1]);

/* Whether a namespace can be reached through it. That comes a moment after a controller is live; until then, to delete
 * the last other path makes the kernel fail what waits. */
bool host_controller_has_path(const char *sysfs, const char *controller);

/* What the controller is in just now ("live"); false when it is gone. */
bool host_controller_state(const char *sysfs, const char *controller, char ret_state[HOST_NAME_SIZE]);

/* Its keep-alive timeout; false when it is gone, or the kernel (before 5.13) does not tell. */
bool host_controller_keep_alive(const char *sysfs, const char *controller, unsigned *ret_s);

/* Names of controllers. */
struct host_names {
	const char (*items)[HOST_NAME_SIZE];
	size_t count;
};

enum host_others {
	HOST_OTHERS_NONE,
	HOST_OTHERS_SINGLE, /* of volumes with one slot, all of them */
	HOST_OTHERS_ANY,
};

/* The live controllers of whatever subsystem that lead where `controller` does, without itself and those that are
 * named. How many slots a volume has shows in its keep-alive timeout. */
enum host_others host_others_find(const char *sysfs, const struct host_controller *controller,
				  const struct host_names *without);

/* The block device with a namespace UUID ("nvme0n1"), never one of the hidden paths ("nvme0c1n1"). */
bool host_device_find(const char *sysfs, const uint8_t uuid[16], char ret_name[HOST_NAME_SIZE]);

/* The block device of a subsystem. */
bool host_device_of_subsystem(const char *sysfs, const char *nqn, char ret_name[HOST_NAME_SIZE]);

/* Choose how the kernel spreads I/O over the paths of a subsystem. NOT_FOUND when it has none (yet). */
int host_io_policy_set(const char *sysfs, const char *nqn, const char *policy, struct error *error);

/* Never give the path up, never fail I/O while it is lost, try again each second: as far as the kernel has these
 * attributes, and without a write where it is so already. */
void host_controller_tune(const char *sysfs, const char *controller);

/* Have the kernel wait for LIMIT_ADMIN_TIMEOUT_S at most for answers of controllers, those of local disks included: as
 * far as it has that setting, and without a write where it is so already. */
void host_admin_timeout_lower(const char *sysfs);

/* Write an attribute of a controller: ("nvme3", "delete_controller", "1"). May block. */
int host_controller_write(const char *sysfs, const char *controller, const char *attribute, const char *value,
			  struct error *error);

#endif
