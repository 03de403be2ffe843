/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small regions of device-mapper devices, past the page cache. */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BLOCK_ALIGNMENT 4096

static int device_open(const char *name, int flags, int *ret_fd, struct error *error)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), LINUX_MAPPER_DIRECTORY "%s", name);
	fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	*ret_fd = fd;
	return 0;
}

int block_zero(struct kernel *kernel, const char *name, uint64_t start, uint64_t length, struct error *error)
{
	uint64_t range[2] = { start, length };
	int fd, code = device_open(name, O_RDWR, &fd, error);

	(void)kernel;
	if (code != 0)
		return code;
	/* The kernel writes pages of zeros where the device has no command for it. */
	if (ioctl(fd, BLKZEROOUT, range) != 0 || fsync(fd) != 0)
		code = error_set_errno(error, errno, "cannot clear %" PRIu64 " bytes of %s", length, name);
	close(fd);
	return code;
}

int block_read(struct kernel *kernel, const char *name, uint64_t start, void *ret_data, size_t length,
	       struct error *error)
{
	void *aligned = NULL;
	ssize_t got;
	int fd, code = device_open(name, O_RDONLY, &fd, error);

	(void)kernel;
	if (code != 0)
		return code;
	if (posix_memalign(&aligned, BLOCK_ALIGNMENT, length) != 0) {
		close(fd);
		return error_set_nomem(error);
	}
	got = pread(fd, aligned, length, (off_t)start);
	if (got < 0)
		code = error_set_errno(error, errno, "cannot read %s", name);
	else if ((size_t)got != length)
		code = error_set(error, ERROR_INTERNAL, "cannot read %s: it ends at %zd of %zu bytes", name, got,
				 length);
	else
		memcpy(ret_data, aligned, length);
	free(aligned);
	close(fd);
	return code;
}

int block_write(struct kernel *kernel, const char *name, uint64_t start, const void *data, size_t length,
		struct error *error)
{
	void *aligned = NULL;
	ssize_t put;
	int fd, code = device_open(name, O_RDWR | O_DSYNC, &fd, error);

	(void)kernel;
	if (code != 0)
		return code;
	if (posix_memalign(&aligned, BLOCK_ALIGNMENT, length) != 0) {
		close(fd);
		return error_set_nomem(error);
	}
	memcpy(aligned, data, length);
	put = pwrite(fd, aligned, length, (off_t)start);
	if (put < 0)
		code = error_set_errno(error, errno, "cannot write to %s", name);
	else if ((size_t)put != length)
		code = error_set(error, ERROR_INTERNAL, "cannot write to %s: it took %zd of %zu bytes", name, put,
				 length);
	free(aligned);
	close(fd);
	return code;
}
