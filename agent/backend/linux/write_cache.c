/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/write_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <scsi/sg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nvme/ioctl.h>
#include <nvme/util.h>

#include "agent/backend/linux/linux.h"

#define WRITE_THROUGH "write through"
#define WRITE_BACK "write back" /* or with words behind it */
#define NVME_WCE 1u
#define NVME_CHANGEABLE 4u /* of a feature, as "supported capabilities" tell */
#define NVME_SAVEABLE 1u
#define SCSI_TIMEOUT_MS 30000
#define SCSI_CACHING_PAGE 8
#define SCSI_WCE 4u
#define SCSI_SENSE_BYTES 128

enum kind { KIND_NVME, KIND_SCSI, KIND_VIRTIO, KIND_OTHER };

struct device {
	const char *sys, *path, *name;
	enum kind kind;
	char cache_type[PATH_MAX]; /* of SCSI and virtio: its file */
};

static bool is_there(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0;
}

/* A file that the kernel made without a right to write it has nothing behind it that writes. */
static bool is_writable(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (status.st_mode & S_IWUSR) != 0;
}

static void disk_find(const char *sys, const char *path, struct device *ret_disk)
{
	const char *slash = strrchr(path, '/');
	struct device disk = { .sys = sys, .path = path, .name = slash != NULL ? slash + 1 : path, .kind = KIND_OTHER };
	struct arena arena = ARENA_INIT;
	struct string_list entries = { 0 };
	char directory[PATH_MAX];

	snprintf(directory, sizeof(directory), "%s/block/%s/device/scsi_disk", sys, disk.name);
	snprintf(disk.cache_type, sizeof(disk.cache_type), "%s/block/%s/cache_type", sys, disk.name);
	if (strncmp(disk.name, "nvme", 4) == 0) {
		disk.kind = KIND_NVME;
	} else if (directory_list(&arena, directory, &entries, NULL) == 0 && entries.count > 0) {
		disk.kind = KIND_SCSI;
		snprintf(disk.cache_type, sizeof(disk.cache_type), "%s/block/%s/device/scsi_disk/%s/cache_type", sys,
			 disk.name, entries.items[0]);
	} else if (is_there(disk.cache_type)) {
		disk.kind = KIND_VIRTIO;
	}
	arena_free(&arena);
	*ret_disk = disk;
}

/* --- NVMe --- */

static enum write_cache nvme_ask(int fd, bool *ret_saveable)
{
	struct nvme_id_ctrl controller;
	uint32_t value = 0, capabilities = NVME_CHANGEABLE;

	*ret_saveable = false;
	memset(&controller, 0, sizeof(controller));
	if (nvme_identify_ctrl(fd, &controller) != 0)
		return WRITE_CACHE_FIXED;
	if ((controller.vwc & NVME_CTRL_VWC_PRESENT) == 0)
		return WRITE_CACHE_OFF;
	if (nvme_get_features_volatile_wc(fd, NVME_GET_FEATURES_SEL_CURRENT, &value) != 0)
		return WRITE_CACHE_FIXED;
	/* The same bit says whether a feature can be saved, and whether one can ask which can. */
	if ((le16toh(controller.oncs) & NVME_CTRL_ONCS_SAVE_FEATURES) != 0 &&
	    nvme_get_features_volatile_wc(fd, NVME_GET_FEATURES_SEL_SUPPORTED, &capabilities) != 0)
		capabilities = NVME_CHANGEABLE;
	*ret_saveable = (capabilities & NVME_SAVEABLE) != 0;
	if ((value & NVME_WCE) == 0)
		return WRITE_CACHE_OFF;
	return (capabilities & NVME_CHANGEABLE) != 0 ? WRITE_CACHE_ON : WRITE_CACHE_FIXED;
}

static int nvme_switch_off(const struct device *disk, int fd, struct error *error)
{
	uint32_t result = 0;
	bool saveable;
	int status;

	if (nvme_ask(fd, &saveable) == WRITE_CACHE_OFF)
		return 0;
	status = nvme_set_features_volatile_wc(fd, false, saveable, &result);
	if (status == 0)
		return 0;
	return error_set(error, ERROR_FAILED_PRECONDITION,
			 "the controller of %s does not switch its volatile write cache off: %s", disk->path,
			 nvme_status_to_string(status, false));
}

/* --- SCSI --- */

/* Returns 0 or -1. */
static int scsi_command(int fd, uint8_t *command, uint8_t length, uint8_t *data, unsigned size)
{
	uint8_t sense[64];
	struct sg_io_hdr header = { .interface_id = 'S',
				    .dxfer_direction = size > 0 ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
				    .cmd_len = length,
				    .mx_sb_len = sizeof(sense),
				    .dxfer_len = size,
				    .dxferp = data,
				    .cmdp = command,
				    .sbp = sense,
				    .timeout = SCSI_TIMEOUT_MS };

	return ioctl(fd, SG_IO, &header) == 0 && (header.info & SG_INFO_OK_MASK) == SG_INFO_OK ? 0 : -1;
}

/* What the caching mode page says; false: the disk does not show it. */
static bool scsi_sense(int fd, bool *ret_on)
{
	uint8_t short_form[6] = { 0x1a, 0x08, SCSI_CACHING_PAGE, 0, SCSI_SENSE_BYTES, 0 };
	uint8_t long_form[10] = { 0x5a, 0x08, SCSI_CACHING_PAGE, 0, 0, 0, 0, 0, SCSI_SENSE_BYTES, 0 };
	uint8_t data[SCSI_SENSE_BYTES] = { 0 };
	unsigned at;

	if (scsi_command(fd, short_form, sizeof(short_form), data, sizeof(data)) == 0) {
		at = 4u + data[3];
	} else {
		memset(data, 0, sizeof(data));
		if (scsi_command(fd, long_form, sizeof(long_form), data, sizeof(data)) != 0)
			return false;
		at = 8u + ((unsigned)data[6] << 8 | data[7]);
	}
	if (at + 2 >= sizeof(data) || (data[at] & 0x3f) != SCSI_CACHING_PAGE)
		return false;
	*ret_on = (data[at + 2] & SCSI_WCE) != 0;
	return true;
}

/* The kernel believes what it read when it found the disk, or what somebody told it. */
static enum write_cache scsi_ask(const struct device *disk, int fd)
{
	char text[64] = "";
	bool on;

	if (!scsi_sense(fd, &on)) {
		if (!file_read(text, sizeof(text), "%s", disk->cache_type))
			return WRITE_CACHE_FIXED;
		on = strncmp(text, WRITE_BACK, strlen(WRITE_BACK)) == 0;
	}
	return on ? WRITE_CACHE_ON : WRITE_CACHE_OFF;
}

static int cache_type_write(const struct device *disk, struct error *error)
{
	if (file_write(WRITE_THROUGH, error, "%s", disk->cache_type) != 0)
		return error->code = ERROR_FAILED_PRECONDITION;
	return 0;
}

/* From then on the kernel sends no flush, so what the cache held is flushed here. */
static int scsi_switch_off(const struct device *disk, int fd, struct error *error)
{
	uint8_t synchronize[10] = { 0x35 };

	if (scsi_ask(disk, fd) == WRITE_CACHE_OFF)
		return 0;
	if (cache_type_write(disk, error) != 0)
		return error->code;
	if (scsi_command(fd, synchronize, sizeof(synchronize), NULL, 0) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s does not flush its write cache", disk->path);
	return 0;
}

/* --- virtio --- */

/* Once it is off the kernel sends no flush, and there is no command for one: so only while nothing of ours writes. */
static bool has_holders(const struct device *disk)
{
	struct arena arena = ARENA_INIT;
	struct string_list holders = { 0 };
	char path[PATH_MAX];
	bool has;

	snprintf(path, sizeof(path), "%s/block/%s/holders", disk->sys, disk->name);
	has = directory_list(&arena, path, &holders, NULL) != 0 || holders.count > 0;
	arena_free(&arena);
	return has;
}

static enum write_cache virtio_ask(const struct device *disk)
{
	char text[64] = "";

	if (!file_read(text, sizeof(text), "%s", disk->cache_type))
		return WRITE_CACHE_FIXED;
	if (strcmp(text, WRITE_THROUGH) == 0)
		return WRITE_CACHE_OFF;
	return is_writable(disk->cache_type) && !has_holders(disk) ? WRITE_CACHE_ON : WRITE_CACHE_FIXED;
}

/* --- any of them --- */

static enum write_cache other_ask(const struct device *disk)
{
	char text[64] = "";

	if (file_read(text, sizeof(text), "%s/block/%s/queue/write_cache", disk->sys, disk->name) &&
	    strcmp(text, WRITE_BACK) == 0)
		return WRITE_CACHE_FIXED;
	return WRITE_CACHE_OFF;
}

static enum write_cache ask(const struct device *disk, int fd)
{
	bool saveable;

	switch (disk->kind) {
	case KIND_NVME:
		return nvme_ask(fd, &saveable);
	case KIND_SCSI:
		return scsi_ask(disk, fd);
	case KIND_VIRTIO:
		return virtio_ask(disk);
	case KIND_OTHER:
		break;
	}
	return other_ask(disk);
}

enum write_cache write_cache_ask(const char *sys, const char *path)
{
	enum write_cache answer;
	struct device disk;
	int fd;

	disk_find(sys, path, &disk);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return WRITE_CACHE_FIXED;
	answer = ask(&disk, fd);
	close(fd);
	return answer;
}

static int switch_off(const struct device *disk, int fd, struct error *error)
{
	switch (disk->kind) {
	case KIND_NVME:
		return nvme_switch_off(disk, fd, error);
	case KIND_SCSI:
		return scsi_switch_off(disk, fd, error);
	case KIND_VIRTIO:
		/* What others, who are gone, wrote to it. */
		if (virtio_ask(disk) != WRITE_CACHE_ON)
			return 0;
		if (fsync(fd) != 0)
			return error_set(error, ERROR_FAILED_PRECONDITION, "%s does not flush its write cache: %s",
					 disk->path, strerror(errno));
		return cache_type_write(disk, error);
	case KIND_OTHER:
		break;
	}
	return 0;
}

int write_cache_off(const char *sys, const char *path, struct error *error)
{
	struct device disk;
	int code, fd;

	disk_find(sys, path, &disk);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "cannot open %s: %s", path, strerror(errno));
	code = switch_off(&disk, fd, error);
	/* An NVMe disk is flushed by the kernel, which goes on to believe that there is a cache. */
	if (code == 0 && disk.kind == KIND_NVME && fsync(fd) != 0)
		code = error_set(error, ERROR_FAILED_PRECONDITION, "%s does not flush its write cache: %s", path,
				 strerror(errno));
	if (code == 0 && ask(&disk, fd) != WRITE_CACHE_OFF)
		code = error_set(error, ERROR_FAILED_PRECONDITION,
				 "the volatile write cache of %s is on, and cannot be switched off", path);
	close(fd);
	return code;
}
