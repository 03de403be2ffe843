/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which block devices of this machine may serve as Disk Nodes, and whether something else uses them. */
#include "agent/backend/linux/linux.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/model/names.h"

#define SYS_BLOCK "/sys/block/"
#define PATIENCE_MS 2000 /* a disk that takes longer must not keep the agent from its work */

/* Marks a disk whose signatures are being read. */
static const char unread[] = "being read";

/* Devices that are no disk of their own. */
static const char *const virtual_prefixes[] = { "loop", "ram", "zram", "dm-", "md", "nbd", "nullb", "sr", "fd", "mtd" };

static bool is_virtual(const char *name)
{
	for (size_t i = 0; i < sizeof(virtual_prefixes) / sizeof(virtual_prefixes[0]); i++) {
		if (strncmp(name, virtual_prefixes[i], strlen(virtual_prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* A path of an NVMe namespace (nvme0c1n1), which the kernel hides; or an import of ours. Known without another look. */
static bool is_known_import(const char *name, const struct observed *observed)
{
	unsigned subsystem, controller, head;

	if (strncmp(name, "nvme", 4) != 0)
		return false;
	if (sscanf(name, "nvme%uc%un%u", &subsystem, &controller, &head) == 3)
		return true;
	for (size_t i = 0; i < observed->import_namespaces.count; i++) {
		if (strcmp(observed->import_namespaces.items[i].path + strlen("/dev/"), name) == 0)
			return true;
	}
	return false;
}

/* An NVMe namespace of this machine hangs on a controller with transport "pcie"; all others are imports. */
static bool is_import(struct arena *arena, const char *name)
{
	char path[PATH_MAX], transport[32];
	struct string_list entries;

	if (strncmp(name, "nvme", 4) != 0)
		return false;
	if (file_read(transport, sizeof(transport), SYS_BLOCK "%s/device/transport", name))
		return strcmp(transport, "pcie") != 0;
	snprintf(path, sizeof(path), SYS_BLOCK "%s/device", name);
	if (directory_list(arena, path, &entries, NULL) != 0)
		return true;
	for (size_t i = 0; i < entries.count; i++) {
		if (file_read(transport, sizeof(transport), SYS_BLOCK "%s/device/%s/transport", name,
			      entries.items[i]) &&
		    strcmp(transport, "pcie") == 0)
			return false;
	}
	return true;
}

/* Serial numbers come from devices, names from people: keep what can be shown. */
static void printable(char *text)
{
	for (; *text != '\0'; text++) {
		if (!isprint((unsigned char)*text))
			*text = '?';
	}
}

/* What of the kernel uses the disk, as a text in `arena`; NULL: nothing. `ret_ours`: it has holders of ours. */
static int user_find(struct arena *arena, const char *name, const struct string_list *entries, const char **ret_user,
		     bool *ret_ours, struct error *error)
{
	char path[PATH_MAX], uuid[160], dm_name[LIMIT_NAME + 1]; /* cut off where it is longer */
	struct string_list holders;
	int code;

	*ret_user = NULL;
	*ret_ours = false;
	for (size_t i = 0; i < entries->count; i++) {
		if (strncmp(entries->items[i], name, strlen(name)) != 0 ||
		    file_read_number(SYS_BLOCK "%s/%s/partition", name, entries->items[i]) == 0)
			continue;
		*ret_user = arena_printf(arena, "it has partitions, as %s", entries->items[i]);
		return *ret_user == NULL ? error_set_nomem(error) : 0;
	}
	snprintf(path, sizeof(path), SYS_BLOCK "%s/holders", name);
	code = directory_list(arena, path, &holders, error);
	for (size_t i = 0; i < holders.count && code == 0; i++) {
		if (file_read(uuid, sizeof(uuid), SYS_BLOCK "%s/dm/uuid", holders.items[i]) &&
		    strncmp(uuid, NAMES_DM_UUID_PREFIX, strlen(NAMES_DM_UUID_PREFIX)) == 0) {
			*ret_ours = true;
			continue;
		}
		if (!file_read(dm_name, sizeof(dm_name), SYS_BLOCK "%s/dm/name", holders.items[i]))
			dm_name[0] = '\0';
		printable(dm_name);
		if (dm_name[0] != '\0')
			*ret_user = arena_printf(arena, "held by %s (%s)", holders.items[i], dm_name);
		else
			*ret_user = arena_printf(arena, "held by %s", holders.items[i]);
		return *ret_user == NULL ? error_set_nomem(error) : 0;
	}
	return code;
}

/* Whether a line of the file has the word at its start (swaps) or third field (mountinfo). */
static bool file_mentions(const char *file, const char *word, int field)
{
	char line[4096];
	FILE *stream = fopen(file, "re");
	bool found = false;

	while (stream != NULL && !found && fgets(line, sizeof(line), stream) != NULL) {
		char *rest = NULL, *part = strtok_r(line, " \t", &rest);

		for (int i = 0; i < field && part != NULL; i++)
			part = strtok_r(NULL, " \t", &rest);
		found = part != NULL && strcmp(part, word) == 0;
	}
	if (stream != NULL)
		fclose(stream);
	return found;
}

static const char *mount_find(const struct observed_disk *disk)
{
	char number[32];

	snprintf(number, sizeof(number), "%" PRIu64 ":%" PRIu64, disk->major, disk->minor);
	if (file_mentions("/proc/self/mountinfo", number, 2))
		return "mounted";
	return file_mentions("/proc/swaps", disk->path, 0) ? "used as swap space" : NULL;
}

/* Changes with each write to the disk, and with the disk. */
static void stamp_make(const char *name, char *ret_stamp, size_t size)
{
	static const int counters[] = { 4, 6, 11, 13 }; /* writes and discards: how many, how many sectors */
	char diskseq[32] = "", line[512], *fields[17], *rest = NULL;
	size_t count = 0;

	ret_stamp[0] = '\0';
	if (!file_read(line, sizeof(line), SYS_BLOCK "%s/stat", name))
		return; /* looked at each time */
	if (!file_read(diskseq, sizeof(diskseq), SYS_BLOCK "%s/diskseq", name))
		diskseq[0] = '\0'; /* before Linux 5.15 */
	for (char *field = strtok_r(line, " ", &rest); field != NULL && count < sizeof(fields) / sizeof(fields[0]);
	     field = strtok_r(NULL, " ", &rest))
		fields[count++] = field;
	snprintf(ret_stamp, size, "%s %" PRIu64, diskseq, file_read_number(SYS_BLOCK "%s/size", name));
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		size_t used = strlen(ret_stamp);

		snprintf(ret_stamp + used, size - used, " %s",
			 (size_t)counters[i] < count ? fields[counters[i]] : "none");
	}
}

static int disk_observe(struct linux_kernel *kernel, struct arena *arena, const char *name, struct observed *observed,
			struct error *error)
{
	char path[PATH_MAX], serial[LIMIT_SERIAL + 1] = "", stamp[128], cache[32];
	struct observed_disk disk = { 0 }, *added;
	struct string_list entries;
	struct stat status;
	bool ours;
	int code;

	if (is_virtual(name) || is_known_import(name, observed))
		return 0;
	disk.size_bytes = file_read_number(SYS_BLOCK "%s/size", name);
	if (disk.size_bytes == 0 || file_read_number(SYS_BLOCK "%s/ro", name) != 0 ||
	    file_read_number(SYS_BLOCK "%s/removable", name) != 0 || is_import(arena, name))
		return 0;
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (strlen(path) > LIMIT_PATH || stat(path, &status) != 0 || !S_ISBLK(status.st_mode) ||
	    __builtin_mul_overflow(disk.size_bytes, UINT64_C(512), &disk.size_bytes))
		return 0;
	/* "write through": there is none, or it keeps what it holds. Asked itself it tells better, but who uses it may
	 * not like that. */
	disk.volatile_cache = file_read(cache, sizeof(cache), SYS_BLOCK "%s/queue/write_cache", name) &&
			      strcmp(cache, "write back") == 0;
	disk.major = major(status.st_rdev);
	disk.minor = minor(status.st_rdev);
	if (!file_read(serial, sizeof(serial), SYS_BLOCK "%s/serial", name) &&
	    !file_read(serial, sizeof(serial), SYS_BLOCK "%s/device/serial", name) &&
	    !file_read(serial, sizeof(serial), SYS_BLOCK "%s/device/wwid", name))
		serial[0] = '\0';
	if (strcmp(serial, "(null)") == 0) /* a driver without one that prints it all the same */
		serial[0] = '\0';
	printable(serial);
	disk.path = arena_strdup(arena, path);
	disk.serial = arena_strdup(arena, serial);
	if (disk.path == NULL || disk.serial == NULL)
		return error_set_nomem(error);
	snprintf(path, sizeof(path), SYS_BLOCK "%s", name);
	code = directory_list(arena, path, &entries, error);
	if (code != 0)
		return code;
	code = user_find(arena, name, &entries, &disk.used_by, &ours, error);
	if (code != 0)
		return code;
	if (disk.used_by == NULL)
		disk.used_by = mount_find(&disk);
	if (disk.used_by == NULL && caches_look(kernel->caches, disk.path, clock_boot_ms()) != 0)
		return error_set_nomem(error);
	/* The slow look at what lies on it, begun here and waited for by the caller. Not at a disk with LDs of ours: it
	 * cannot be anybody else's. LDs of ours that no device shows count for nothing: the disk may be used again. */
	if (disk.used_by == NULL && !ours) {
		stamp_make(name, stamp, sizeof(stamp));
		if (signatures_look(kernel->signatures, disk.path, stamp, clock_boot_ms()) != 0)
			return error_set_nomem(error);
		disk.used_by = unread;
	}
	added = LIST_PUSH(arena, &observed->disks);
	if (added == NULL)
		return error_set_nomem(error);
	*added = disk;
	return 0;
}

int disks_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error)
{
	struct string_list names;
	int code = directory_list(arena, SYS_BLOCK, &names, error);

	for (size_t i = 0; i < names.count && code == 0; i++)
		code = disk_observe(kernel, arena, names.items[i], observed, error);
	if (code != 0)
		return code;
	signatures_wait(kernel->signatures, PATIENCE_MS);
	caches_wait(kernel->caches, PATIENCE_MS);
	for (size_t i = 0; i < observed->disks.count; i++) {
		struct observed_disk *disk = &observed->disks.items[i];

		if ((disk->used_by == NULL || disk->used_by == unread) &&
		    caches_get(kernel->caches, disk->path, clock_boot_ms(), &disk->volatile_cache,
			       &disk->cache_switchable) != 0)
			return error_set_nomem(error);
		if (disk->used_by == unread &&
		    signatures_get(kernel->signatures, disk->path, arena, &disk->used_by) != 0)
			return error_set_nomem(error);
		disk->in_use = disk->used_by != NULL;
	}
	return 0;
}

int disk_cache_off(struct kernel *kernel, const char *path, struct error *error)
{
	return caches_off(((struct linux_kernel *)kernel)->caches, path, clock_boot_ms(), error);
}
