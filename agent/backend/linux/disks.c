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
#include "lib/model/names.h"

#define SYS_BLOCK "/sys/block/"

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

static bool has_partitions(const char *name, const struct string_list *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		if (strncmp(entries->items[i], name, strlen(name)) == 0 &&
		    file_read_number(SYS_BLOCK "%s/%s/partition", name, entries->items[i]) != 0)
			return true;
	}
	return false;
}

static bool has_foreign_holders(struct arena *arena, const char *name)
{
	char path[PATH_MAX], uuid[160];
	struct string_list holders;

	snprintf(path, sizeof(path), SYS_BLOCK "%s/holders", name);
	if (directory_list(arena, path, &holders, NULL) != 0)
		return true;
	for (size_t i = 0; i < holders.count; i++) {
		if (!file_read(uuid, sizeof(uuid), SYS_BLOCK "%s/dm/uuid", holders.items[i]) ||
		    strncmp(uuid, NAMES_DM_UUID_PREFIX, strlen(NAMES_DM_UUID_PREFIX)) != 0)
			return true;
	}
	return false;
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

static bool is_mounted(const struct observed_disk *disk)
{
	char number[32];

	snprintf(number, sizeof(number), "%" PRIu64 ":%" PRIu64, disk->major, disk->minor);
	return file_mentions("/proc/self/mountinfo", number, 2) || file_mentions("/proc/swaps", disk->path, 0);
}

/* Serial numbers come from devices: keep what can be shown. */
static void printable(char *text)
{
	for (; *text != '\0'; text++) {
		if (!isprint((unsigned char)*text))
			*text = '?';
	}
}

static int disk_observe(struct arena *arena, const char *name, struct observed *observed, struct error *error)
{
	char path[PATH_MAX], serial[LIMIT_SERIAL + 1] = "", cache[32];
	struct observed_disk disk = { 0 }, *added;
	struct string_list entries;
	struct stat status;
	int code;

	disk.size_bytes = file_read_number(SYS_BLOCK "%s/size", name);
	if (is_virtual(name) || disk.size_bytes == 0 || file_read_number(SYS_BLOCK "%s/ro", name) != 0 ||
	    file_read_number(SYS_BLOCK "%s/removable", name) != 0 || is_import(arena, name))
		return 0;
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (strlen(path) > LIMIT_PATH || stat(path, &status) != 0 || !S_ISBLK(status.st_mode) ||
	    __builtin_mul_overflow(disk.size_bytes, UINT64_C(512), &disk.size_bytes))
		return 0;
	/* "write through": there is none, or it keeps what it holds. */
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
	disk.in_use = has_partitions(name, &entries) || has_foreign_holders(arena, name) || is_mounted(&disk);
	added = LIST_PUSH(arena, &observed->disks);
	if (added == NULL)
		return error_set_nomem(error);
	*added = disk;
	return 0;
}

int disks_observe(struct arena *arena, struct observed *observed, struct error *error)
{
	struct string_list names;
	int code = directory_list(arena, SYS_BLOCK, &names, error);

	for (size_t i = 0; i < names.count && code == 0; i++)
		code = disk_observe(arena, names.items[i], observed, error);
	return code;
}
