/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device-mapper through libdevmapper, from many threads.
 *
 * The library keeps a list of device nodes to make and remove that is not safe between threads, and a lock around
 * every call would let one stuck device block all. So no call here makes the library touch that list: devices are
 * created with DM_ADD_NODE_ON_RESUME and addressed by number afterwards, and the node in /dev/mapper is made here.
 * udev is told nothing special; where it runs, its link wins, where it does not, ours is there. No cookie is waited
 * for in either case.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/list.h"
#include "lib/base/log.h"
#include "lib/model/names.h"

#define NODE_MODE (S_IFBLK | 0600)

__attribute__((format(printf, 5, 6))) static void library_log(int level, const char *file, int line, int errno_class,
							      const char *format, ...)
{
	char text[512];
	va_list arguments;

	(void)level;
	(void)file;
	(void)line;
	(void)errno_class;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* What matters comes back as errno; this only helps who debugs. */
	log_debug("libdevmapper", "text=\"%s\"", text);
}

int dm_task_failed(struct dm_task *task, const char *what, const char *name, struct error *error)
{
	int problem = dm_task_get_errno(task);

	if (problem == EBUSY || problem == EEXIST)
		return error_set(error, ERROR_FAILED_PRECONDITION, "cannot %s %s: %s", what, name, strerror(problem));
	return error_set_errno(error, problem != 0 ? problem : EIO, "cannot %s %s", what, name);
}

int dm_info_read(const char *name, struct dm_info *ret_info, struct error *error)
{
	struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_name(task, name))
		code = error_set_nomem(error);
	else if (!dm_task_run(task) || !dm_task_get_info(task, ret_info))
		code = dm_task_failed(task, "look up", name, error);
	else if (!ret_info->exists)
		code = error_set(error, ERROR_NOT_FOUND, "there is no device %s", name);
	dm_task_destroy(task);
	return code;
}

/* Nodes of devices that went while nobody was there to take the node away. A node is made after its device. */
static void nodes_sweep(void)
{
	struct arena arena = ARENA_INIT;
	struct string_list names;
	char path[PATH_MAX];
	struct dm_info info;
	struct stat status;

	if (directory_list(&arena, LINUX_MAPPER_DIRECTORY, &names, NULL) != 0)
		names.count = 0;
	for (size_t i = 0; i < names.count; i++) {
		snprintf(path, sizeof(path), LINUX_MAPPER_DIRECTORY "%s", names.items[i]);
		if (strncmp(names.items[i], NAMES_DM_PREFIX, strlen(NAMES_DM_PREFIX)) == 0 &&
		    dm_info_read(names.items[i], &info, NULL) == ERROR_NOT_FOUND && lstat(path, &status) == 0 &&
		    S_ISBLK(status.st_mode))
			unlink(path);
	}
	arena_free(&arena);
}

int dm_library_open(struct error *error)
{
	char version[64];

	dm_log_with_errno_init(library_log);
	dm_log_init_verbose(0);
	dm_udev_set_sync_support(0);
	dm_udev_set_checking(0);
	/* Opened once, before there are threads. */
	dm_hold_control_dev(1);
	if (!dm_driver_version(version, sizeof(version))) {
		error_set(error, ERROR_FAILED_PRECONDITION, "device-mapper is not available");
		return error_hint(error, "run as root, and load the kernel module dm-mod");
	}
	return 0;
}

int dm_open(struct error *error)
{
	int code = dm_library_open(error);

	if (code == 0)
		nodes_sweep();
	return code;
}

void dm_close(void)
{
	dm_hold_control_dev(0);
	dm_lib_release();
}

/* A task on an existing device, by number. */
struct dm_task *dm_task_on(int type, uint32_t major, uint32_t minor)
{
	struct dm_task *task = dm_task_create(type);

	if (task != NULL && (!dm_task_set_major(task, (int)major) || !dm_task_set_minor(task, (int)minor))) {
		dm_task_destroy(task);
		task = NULL;
	}
	return task;
}

static int run_on(int type, const struct dm_info *info, bool no_flush, const char *what, const char *name,
		  struct error *error)
{
	struct dm_task *task = dm_task_on(type, info->major, info->minor);
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	if (no_flush && (!dm_task_no_flush(task) || !dm_task_skip_lockfs(task)))
		code = error_set_nomem(error);
	else if (!dm_task_run(task))
		code = dm_task_failed(task, what, name, error);
	dm_task_destroy(task);
	return code;
}

/* Replace each "@name" by major:minor. */
static int params_resolve(const char *params, char *ret_params, size_t size, struct error *error)
{
	char copy[LIMIT_DM_PARAMS + 1], *rest = NULL;
	size_t used = 0;

	ret_params[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", params);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		char number[32];
		struct dm_info info;
		int code;

		if (word[0] == '@') {
			code = dm_info_read(word + 1, &info, error);
			if (code != 0)
				return code;
			snprintf(number, sizeof(number), "%" PRIu32 ":%" PRIu32, info.major, info.minor);
			word = number;
		}
		used += (size_t)snprintf(ret_params + used, size - used, "%s%s", used > 0 ? " " : "", word);
		if (used >= size)
			return error_set(error, ERROR_TOO_LARGE, "a table line exceeds %u bytes", LIMIT_DM_PARAMS);
	}
	return 0;
}

static int table_load(const struct dm_info *info, const char *name, const struct observed_target_list *table,
		      struct error *error)
{
	struct dm_task *task = dm_task_on(DM_DEVICE_RELOAD, info->major, info->minor);
	char params[LIMIT_DM_PARAMS + 1];
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < table->count && code == 0; i++) {
		const struct observed_target *line = &table->items[i];

		code = params_resolve(line->params != NULL ? line->params : "", params, sizeof(params), error);
		if (code == 0 && !dm_task_add_target(task, line->start, line->length, line->type, params))
			code = error_set_nomem(error);
	}
	if (code == 0 && !dm_task_run(task)) {
		code = dm_task_failed(task, "load a table into", name, error);
		error_hint(error, "the kernel log says which target refused it");
	}
	dm_task_destroy(task);
	return code;
}

/* The node through which nvmet and block I/O open the device. */
static int node_make(const char *name, const struct dm_info *info, struct error *error)
{
	char path[PATH_MAX];
	struct stat status;
	dev_t device = makedev(info->major, info->minor);

	snprintf(path, sizeof(path), LINUX_MAPPER_DIRECTORY "%s", name);
	if (stat(path, &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == device)
		return 0;
	unlink(path);
	if (mknod(path, NODE_MODE, device) == 0)
		return 0;
	/* udev came first. */
	if (errno == EEXIST && stat(path, &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == device)
		return 0;
	return error_set_errno(error, errno, "cannot make %s", path);
}

static int resume(const char *name, const struct dm_info *info, struct error *error)
{
	int code = run_on(DM_DEVICE_RESUME, info, false, "resume", name, error);

	return code != 0 ? code : node_make(name, info, error);
}

/* `minor` 0: the kernel chooses. */
static int device_make(const char *name, const char *uuid, uint64_t major, uint64_t minor, struct dm_info *ret_info,
		       struct error *error)
{
	struct dm_task *task = dm_task_create(DM_DEVICE_CREATE);
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_name(task, name) || !dm_task_set_uuid(task, uuid) ||
	    (minor > 0 && (!dm_task_set_major(task, (int)major) || !dm_task_set_minor(task, (int)minor))) ||
	    !dm_task_set_add_node(task, DM_ADD_NODE_ON_RESUME))
		code = error_set_nomem(error);
	else if (!dm_task_run(task) || !dm_task_get_info(task, ret_info))
		code = dm_task_failed(task, "create", name, error);
	dm_task_destroy(task);
	return code;
}

/* What was known of a device is not, from the moment an operation begins. */

int dm_create(struct kernel *kernel, const char *name, const char *uuid, const struct observed_target_list *table,
	      struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	uint64_t major = 0, minor = 0;
	struct dm_info info;
	int code;

	if (!trace_device((struct linux_kernel *)kernel, uuid, &major, &minor))
		minor = 0;
	code = device_make(name, uuid, major, minor, &info, error);
	/* Another device has that number: it is served all the same, and counts as one that may have returned errors.
	 */
	if (code == ERROR_FAILED_PRECONDITION && minor > 0) {
		error_clear(error);
		code = device_make(name, uuid, 0, 0, &info, error);
	}
	if (code != 0)
		return code;
	code = table_load(&info, name, table, error);
	if (code == 0)
		code = resume(name, &info, error);
	if (code != 0)
		run_on(DM_DEVICE_REMOVE, &info, false, "remove", name, NULL);
	return code;
}

int dm_remove(struct kernel *kernel, const char *name, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	char path[PATH_MAX];
	struct dm_info info;
	struct stat status;
	int code = dm_info_read(name, &info, error);

	if (code == ERROR_NOT_FOUND) {
		error_clear(error);
		return 0;
	}
	if (code == 0)
		code = run_on(DM_DEVICE_REMOVE, &info, false, "remove", name, error);
	if (code != 0)
		return code;
	snprintf(path, sizeof(path), LINUX_MAPPER_DIRECTORY "%s", name);
	if (lstat(path, &status) == 0 && S_ISBLK(status.st_mode))
		unlink(path);
	return 0;
}

int dm_reload(struct kernel *kernel, const char *name, const struct observed_target_list *table, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	if (code == 0)
		code = table_load(&info, name, table, error);
	if (code == 0)
		code = run_on(DM_DEVICE_SUSPEND, &info, true, "suspend", name, error);
	return code != 0 ? code : resume(name, &info, error);
}

int dm_suspend(struct kernel *kernel, const char *name, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	return code != 0 ? code : run_on(DM_DEVICE_SUSPEND, &info, true, "suspend", name, error);
}

int dm_resume(struct kernel *kernel, const char *name, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	return code != 0 ? code : resume(name, &info, error);
}

int dm_message(struct kernel *kernel, const char *name, const char *message, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->devices, name);
	struct dm_task *task;
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	if (code != 0)
		return code;
	task = dm_task_on(DM_DEVICE_TARGET_MSG, info.major, info.minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_sector(task, 0) || !dm_task_set_message(task, message))
		code = error_set_nomem(error);
	else if (!dm_task_run(task) && dm_task_get_errno(task) != EEXIST) /* an earlier attempt did it */
		code = dm_task_failed(task, "send a message to", name, error);
	dm_task_destroy(task);
	return code;
}

int dm_status(struct kernel *kernel, const char *name, struct arena *arena, const char **ret_status,
	      struct error *error)
{
	char *type, *params = NULL;
	uint64_t start, length;
	struct dm_task *task;
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	(void)kernel;
	if (code != 0)
		return code;
	task = dm_task_on(DM_DEVICE_STATUS, info.major, info.minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_no_flush(task)) {
		code = error_set_nomem(error);
	} else if (!dm_task_run(task)) {
		code = dm_task_failed(task, "ask for the status of", name, error);
	} else {
		dm_get_next_target(task, NULL, &start, &length, &type, &params);
		*ret_status = arena_strdup(arena, params != NULL ? params : "");
		if (*ret_status == NULL)
			code = error_set_nomem(error);
	}
	dm_task_destroy(task);
	return code;
}

int dm_has_target(struct kernel *kernel, const char *type, bool *ret_has, struct error *error)
{
	/* Unlike the list of all versions, this makes the kernel ask for the module (since version 4.41 of the
	 * interface, which is Linux 5.4). */
	struct dm_task *task = dm_task_create(DM_DEVICE_GET_TARGET_VERSION);
	int code = 0;

	(void)kernel;
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_name(task, type))
		code = error_set_nomem(error);
	else if (dm_task_run(task))
		*ret_has = true;
	else if (dm_task_get_errno(task) == EINVAL)
		*ret_has = false;
	else
		code = dm_task_failed(task, "ask for the target", type, error);
	dm_task_destroy(task);
	return code;
}
