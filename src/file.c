/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/canary.h"

static int write_all(int fd, struct bytes content)
{
	size_t done = 0;

	while (done < content.size) {
		ssize_t written = write(fd, content.data + done, content.size - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return errno;
		done += (size_t)written;
	}
	return 0;
}

static int directory_sync(const char *directory, struct error *error)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rv;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", directory);
	rv = canary("skip_directory_sync") || fsync(fd) == 0
		     ? 0
		     : error_set_errno(error, errno, "cannot sync %s", directory);
	close(fd);
	return rv;
}

int file_write(const char *directory, const char *name, struct bytes content, struct error *error)
{
	char path[FILE_PATH_SIZE], temporary[FILE_PATH_SIZE];
	int fd, failed;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(temporary, sizeof(temporary), "%s/%s.new", directory, name);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot make %s", temporary);
	failed = write_all(fd, content);
	if (failed == 0 && fsync(fd) != 0)
		failed = errno;
	if (close(fd) != 0 && failed == 0)
		failed = errno;
	if (failed == 0 && rename(temporary, path) != 0)
		failed = errno;
	if (failed != 0) {
		unlink(temporary);
		return error_set_errno(error, failed, "cannot write %s", path);
	}
	return directory_sync(directory, error);
}

int file_remove(const char *directory, const char *name, struct error *error)
{
	char path[FILE_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (unlink(path) != 0 && errno != ENOENT)
		return error_set_errno(error, errno, "cannot remove %s", path);
	return directory_sync(directory, error);
}

int file_read(const char *path, size_t max, struct buffer *output, struct error *error)
{
	size_t before = output->size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rv = 0;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	for (;;) {
		uint8_t piece[4096];
		ssize_t size = read(fd, piece, sizeof(piece));

		if (size == 0)
			break;
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			rv = error_set_errno(error, errno, "cannot read %s", path);
		else if (output->size - before + (size_t)size > max)
			rv = error_set(error, ERROR_TOO_LARGE, "%s has more than %zu bytes", path, max);
		else if (buffer_append(output, piece, (size_t)size) != 0)
			rv = error_set_nomem(error);
		if (rv != 0) {
			output->size = before;
			break;
		}
	}
	close(fd);
	return rv;
}

int file_directory_make(const char *path, struct error *error)
{
	char parent[FILE_PATH_SIZE];
	struct stat status;

	if (mkdir(path, 0700) != 0) {
		if (errno != EEXIST)
			return error_set_errno(error, errno, "cannot make directory %s", path);
		if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
			return error_set(error, ERROR_FAILED_PRECONDITION, "%s exists and is not a directory", path);
	}
	/* All that is promised later goes with its name. One that exists may be new all the same: whoever made it may
	 * have died before this. */
	snprintf(parent, sizeof(parent), "%s/..", path);
	return directory_sync(parent, error);
}
