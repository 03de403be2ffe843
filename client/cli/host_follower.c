/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_follower.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock lock_of(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

bool host_follower_begin(const char *path)
{
	struct flock lock = lock_of(F_RDLCK);
	char folder[PATH_MAX];
	int fd;

	snprintf(folder, sizeof(folder), "%s", path);
	(void)mkdir(dirname(folder), 0755);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	/* Of the process and not of the file, so that the processes that it starts do not keep it. */
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return true;
	close(fd);
	return false;
}

bool host_follower_is_there(const char *path)
{
	struct flock lock = lock_of(F_WRLCK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool there;

	if (fd < 0)
		return false;
	there = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return there;
}
