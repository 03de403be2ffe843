/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe target: configfs is its only state, and after a reboot everything must be made again. */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/backend/linux/quiet.h"
#include "agent/list.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

#define ROOT LINUX_NVMET_ROOT
/* What the kernel gives a subsystem that nobody restricted (NVME_CNTLID_MAX). */
#define CNTLID_HIGHEST "65519"
/* How long to wait for what is under way to a namespace. Then the lane is given up, and tried again soon; what is
 * frozen by then is seen meanwhile. */
#define QUIET_LIMIT_MS 1000u

/* --- paths --- */

__attribute__((format(printf, 2, 3))) static int make(struct error *error, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT && access(ROOT, F_OK) != 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this kernel has no NVMe target (%s is missing)", ROOT);
		return error_hint(error, "load the module nvmet");
	}
	return error_set_errno(error, errno, "cannot make %s", path);
}

__attribute__((format(printf, 2, 3))) static int take(struct error *error, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	return error_set_errno(error, errno, "cannot remove %s", path);
}

__attribute__((format(printf, 3, 4))) static int link_make(const char *target, struct error *error, const char *format,
							   ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (symlink(target, path) == 0 || errno == EEXIST)
		return 0;
	return error_set_errno(error, errno, "cannot link %s", path);
}

__attribute__((format(printf, 2, 3))) static int link_take(struct error *error, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return error_set_errno(error, errno, "cannot remove the link %s", path);
}

/* --- ports --- */

/* What was known of a port or subsystem is not, from the moment an operation begins. `number` stays until it ends. */
static struct known_change port_changes(struct kernel *kernel, uint64_t id, char number[24])
{
	snprintf(number, 24, "%" PRIu64, id);
	return known_change_begin(((struct linux_kernel *)kernel)->ports, number);
}

int nvmet_port_create(struct kernel *kernel, const char *mark, uint64_t id, const char *address, struct error *error)
{
	char number[24];
	KNOWN_CHANGE change = port_changes(kernel, id, number);
	const char *family = strchr(address, ':') != NULL ? "ipv6" : "ipv4";
	char port[PATH_MAX], trsvcid[24];
	int code;

	snprintf(port, sizeof(port), ROOT "/ports/%" PRIu64, id);
	snprintf(trsvcid, sizeof(trsvcid), "%" PRIu64, id);
	code = make(error, "%s", port);
	if (code == 0)
		code = make(error, "%s/referrals/%s", port, mark);
	if (code == 0)
		code = file_write(family, error, "%s/addr_adrfam", port);
	if (code == 0)
		code = file_write("tcp", error, "%s/addr_trtype", port);
	if (code == 0)
		code = file_write(trsvcid, error, "%s/addr_trsvcid", port);
	if (code == 0)
		code = file_write("optimized", error, "%s/ana_groups/%d/ana_state", port, KERNEL_ANA_OPTIMIZED);
	if (code == 0)
		code = make(error, "%s/ana_groups/%d", port, KERNEL_ANA_INACCESSIBLE);
	if (code == 0)
		code = file_write("inaccessible", error, "%s/ana_groups/%d/ana_state", port, KERNEL_ANA_INACCESSIBLE);
	return code != 0 ? code : file_write(address, error, "%s/addr_traddr", port);
}

int nvmet_port_remove(struct kernel *kernel, const char *mark, uint64_t id, struct error *error)
{
	char number[24];
	KNOWN_CHANGE change = port_changes(kernel, id, number);
	char port[96], there[PATH_MAX];
	int code;

	snprintf(port, sizeof(port), ROOT "/ports/%" PRIu64, id);
	snprintf(there, sizeof(there), "%s/referrals/%s", port, mark);
	if (access(port, F_OK) != 0)
		return 0;
	if (access(there, F_OK) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "nvmet port %" PRIu64 " is not ours", id);
	code = take(error, "%s/ana_groups/%d", port, KERNEL_ANA_INACCESSIBLE);
	/* The mark goes last, so that the port is ours until it is gone but for an empty shell. */
	if (code == 0)
		code = take(error, "%s", there);
	if (code == 0 && rmdir(port) != 0 && errno != ENOENT) {
		code = error_set_errno(error, errno, "cannot remove %s", port);
		mkdir(there, 0755);
	}
	return code;
}

int nvmet_port_link(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error)
{
	char number[24];
	KNOWN_CHANGE change = port_changes(kernel, port, number);
	char subsystem[PATH_MAX];

	snprintf(subsystem, sizeof(subsystem), ROOT "/subsystems/%s", nqn);
	return link_make(subsystem, error, ROOT "/ports/%" PRIu64 "/subsystems/%s", port, nqn);
}

int nvmet_port_unlink(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error)
{
	char number[24];
	KNOWN_CHANGE change = port_changes(kernel, port, number);
	return link_take(error, ROOT "/ports/%" PRIu64 "/subsystems/%s", port, nqn);
}

/* --- subsystems --- */

int nvmet_subsystem_create(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
			   struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	char subsystem[PATH_MAX], low[16], high[16], serial[24];
	uint8_t uuid[16];
	int code;

	snprintf(subsystem, sizeof(subsystem), ROOT "/subsystems/%s", nqn);
	snprintf(low, sizeof(low), "%" PRIu32, cntlid_min);
	snprintf(high, sizeof(high), "%" PRIu32, cntlid_max);
	/* All controllers of a volume say the same. */
	uuid_from_name(nqn, uuid);
	snprintf(serial, sizeof(serial), "%02x%02x%02x%02x%02x%02x%02x%02x", uuid[0], uuid[1], uuid[2], uuid[3],
		 uuid[4], uuid[5], uuid[6], uuid[7]);
	code = make(error, "%s", subsystem);
	if (code == 0)
		code = file_write("0", error, "%s/attr_allow_any_host", subsystem);
	if (code == 0)
		code = file_write(serial, error, "%s/attr_serial", subsystem);
	/* The kernel refuses a range that is empty at any moment: open it first. */
	if (code == 0)
		code = file_write(CNTLID_HIGHEST, error, "%s/attr_cntlid_max", subsystem);
	if (code == 0)
		code = file_write(low, error, "%s/attr_cntlid_min", subsystem);
	return code != 0 ? code : file_write(high, error, "%s/attr_cntlid_max", subsystem);
}

int nvmet_subsystem_remove(struct kernel *kernel, const char *nqn, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	return take(error, ROOT "/subsystems/%s", nqn);
}

/* Not before nothing is under way to it: quiet.h. */
static int namespace_disable(const char *path, struct error *error)
{
	char device[PATH_MAX];
	struct stat status;
	int code = 0;

	if (file_read_number("%s/enable", path) == 0)
		return 0;
	if (file_read(device, sizeof(device), "%s/device_path", path) && stat(device, &status) == 0)
		code = quiet_await("/sys", major(status.st_rdev), minor(status.st_rdev), QUIET_LIMIT_MS, error);
	return code != 0 ? error_prefix(error, "cannot disable a namespace yet")
			 : file_write("0", error, "%s/enable", path);
}

int nvmet_namespace_create(struct kernel *kernel, const char *nqn, const struct kernel_namespace *ns,
			   struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	char path[PATH_MAX], device[PATH_MAX], uuid[UUID_TEXT_SIZE], group[16];
	int code;

	sizes_forget(((struct linux_kernel *)kernel)->sizes, nqn, ns->nsid);
	snprintf(path, sizeof(path), ROOT "/subsystems/%s/namespaces/%" PRIu32, nqn, ns->nsid);
	snprintf(device, sizeof(device), LINUX_MAPPER_DIRECTORY "%s", ns->device);
	snprintf(group, sizeof(group), "%" PRIu32, ns->group);
	uuid_text_format(ns->uuid, uuid);
	code = make(error, "%s", path);
	if (code == 0)
		code = namespace_disable(path, error);
	if (code == 0)
		code = file_write(device, error, "%s/device_path", path);
	/* Pinned: a target that comes back with generated ones is refused by its hosts. */
	if (code == 0)
		code = file_write(uuid, error, "%s/device_uuid", path);
	if (code == 0)
		code = file_write(uuid, error, "%s/device_nguid", path);
	if (code == 0)
		code = file_write(group, error, "%s/ana_grpid", path);
	return code != 0 ? code : file_write("1", error, "%s/enable", path);
}

int nvmet_namespace_set_group(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group,
			      struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	char text[16];

	snprintf(text, sizeof(text), "%" PRIu32, group);
	return file_write(text, error, ROOT "/subsystems/%s/namespaces/%" PRIu32 "/ana_grpid", nqn, nsid);
}

int nvmet_namespace_remove(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	char path[PATH_MAX];
	int code;

	snprintf(path, sizeof(path), ROOT "/subsystems/%s/namespaces/%" PRIu32, nqn, nsid);
	if (access(path, F_OK) != 0)
		return 0;
	code = namespace_disable(path, error);
	return code != 0 ? code : take(error, "%s", path);
}

int nvmet_host_allow(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	struct linux_kernel *this = (struct linux_kernel *)kernel;
	char host[PATH_MAX];
	int code;

	snprintf(host, sizeof(host), ROOT "/hosts/%s", host_nqn);
	pthread_mutex_lock(&this->hosts_lock);
	code = make(error, "%s", host);
	if (code == 0)
		code = link_make(host, error, ROOT "/subsystems/%s/allowed_hosts/%s", nqn, host_nqn);
	pthread_mutex_unlock(&this->hosts_lock);
	return code;
}

int nvmet_host_deny(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
{
	KNOWN_CHANGE change = known_change_begin(((struct linux_kernel *)kernel)->subsystems, nqn);
	struct linux_kernel *this = (struct linux_kernel *)kernel;
	char host[PATH_MAX];
	int code;

	snprintf(host, sizeof(host), ROOT "/hosts/%s", host_nqn);
	pthread_mutex_lock(&this->hosts_lock);
	code = link_take(error, ROOT "/subsystems/%s/allowed_hosts/%s", nqn, host_nqn);
	/* Refused by the kernel while any subsystem admits it. */
	if (code == 0)
		rmdir(host);
	pthread_mutex_unlock(&this->hosts_lock);
	return code;
}
