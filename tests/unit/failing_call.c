/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/failing_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *wanted;
static unsigned long countdown;
static int problem_wanted;
static const char *failed;
static jmp_buf catcher;
static bool catching;

void failing_call_arm(const char *name, unsigned long n, int problem)
{
	wanted = name;
	countdown = n;
	problem_wanted = problem;
	failed = NULL;
}

const char *failing_call_disarm(void)
{
	countdown = 0;
	return failed;
}

static bool fails_now(const char *name)
{
	if (countdown == 0 || (wanted != NULL && strcmp(name, wanted) != 0) || --countdown > 0)
		return false;
	failed = name;
	errno = problem_wanted;
	return true;
}

#define CALL(type, name, failure, parameters, arguments)                                                               \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters                                                                                  \
	{                                                                                                              \
		return fails_now(#name) ? (failure) : __real_##name arguments;                                         \
	}

CALL(ssize_t, read, -1, (int fd, void *data, size_t size), (fd, data, size))
CALL(ssize_t, pread, -1, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
CALL(ssize_t, write, -1, (int fd, const void *data, size_t size), (fd, data, size))
CALL(ssize_t, pwrite, -1, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
CALL(int, fsync, -1, (int fd), (fd))
CALL(int, fdatasync, -1, (int fd), (fd))
CALL(int, ftruncate, -1, (int fd, off_t size), (fd, size))
CALL(int, posix_fallocate, problem_wanted, (int fd, off_t at, off_t size), (fd, at, size))
CALL(int, flock, -1, (int fd, int operation), (fd, operation))
CALL(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
CALL(int, rename, -1, (const char *from, const char *to), (from, to))
CALL(int, renameat, -1, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to))
CALL(int, unlink, -1, (const char *path), (path))
CALL(int, unlinkat, -1, (int fd, const char *path, int flags), (fd, path, flags))
CALL(int, fstat, -1, (int fd, struct stat *status), (fd, status))
CALL(int, fstatat, -1, (int fd, const char *path, struct stat *status, int flags), (fd, path, status, flags))
CALL(void *, mmap, MAP_FAILED, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset))
CALL(int, socket, -1, (int family, int type, int protocol), (family, type, protocol))
CALL(ssize_t, send, -1, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
CALL(ssize_t, recv, -1, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return fails_now("open") ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return fails_now("openat") ? -1 : __real_openat(fd, path, flags, mode);
}

jmp_buf *abort_catch(void)
{
	catching = true;
	return &catcher;
}

void __real_abort(void) __attribute__((noreturn));
void __wrap_abort(void) __attribute__((noreturn));
void __wrap_abort(void)
{
	if (!catching)
		__real_abort();
	catching = false;
	longjmp(catcher, 1);
}
