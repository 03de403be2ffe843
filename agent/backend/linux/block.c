/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small regions of device-mapper devices, past the page cache. */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BLOCK_ALIGNMENT 4096
#define FILL_BYTES                                                                                                     \
	(UINT64_C(1) << 20) /* of one write: whole blocks of a thin pool, which then need not be cleared before */
#define FILL_WRITERS 4

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

/* A thread of its own, which is left alone when the path below does not answer: nothing ends it before. */
struct flush {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned references;
	bool done;
	int fd, problem;
};

static void flush_release(struct flush *flush)
{
	bool last;

	pthread_mutex_lock(&flush->lock);
	last = --flush->references == 0;
	pthread_mutex_unlock(&flush->lock);
	if (!last)
		return;
	close(flush->fd);
	pthread_cond_destroy(&flush->ended);
	pthread_mutex_destroy(&flush->lock);
	free(flush);
}

static void *flush_run(void *argument)
{
	struct flush *flush = argument;
	int problem = fsync(flush->fd) != 0 ? errno : 0;

	pthread_mutex_lock(&flush->lock);
	flush->problem = problem;
	flush->done = true;
	pthread_cond_signal(&flush->ended);
	pthread_mutex_unlock(&flush->lock);
	flush_release(flush);
	return NULL;
}

static struct flush *flush_make(int fd)
{
	struct flush *flush = calloc(1, sizeof(*flush));
	pthread_condattr_t attributes;

	if (flush == NULL)
		return NULL;
	flush->fd = fd;
	flush->references = 1;
	pthread_mutex_init(&flush->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&flush->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	return flush;
}

static int flush_wait(struct flush *flush, const char *name, uint64_t timeout_ms, struct error *error)
{
	struct timespec until;
	int code = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&flush->lock);
	while (!flush->done && pthread_cond_timedwait(&flush->ended, &flush->lock, &until) == 0)
		;
	if (!flush->done)
		code = error_set(error, ERROR_UNAVAILABLE, "%s was not flushed in %" PRIu64 " ms", name, timeout_ms);
	else if (flush->problem != 0)
		code = error_set_errno(error, flush->problem, "cannot flush %s", name);
	pthread_mutex_unlock(&flush->lock);
	return code;
}

int block_flush(struct kernel *kernel, const char *name, uint64_t timeout_ms, struct error *error)
{
	struct flush *flush;
	pthread_t thread;
	int fd, code = device_open(name, O_RDWR, &fd, error);

	(void)kernel;
	if (code != 0)
		return code;
	flush = flush_make(fd);
	if (flush == NULL) {
		close(fd);
		return error_set_nomem(error);
	}
	flush->references++;
	if (pthread_create(&thread, NULL, flush_run, flush) == 0) {
		pthread_detach(thread);
		code = flush_wait(flush, name, timeout_ms, error);
	} else {
		flush->references--;
		code = error_set(error, ERROR_UNAVAILABLE, "no thread to flush %s can be made", name);
	}
	flush_release(flush);
	return code;
}

/* Several threads take the next piece each. */
struct fill {
	int fd;
	const void *zeros;
	uint64_t start, size;
	_Atomic uint64_t next, done;
	atomic_bool stop;
	atomic_int problem; /* errno of the first failure */
};

/* Whether there may be another piece. */
static bool fill_piece(struct fill *fill)
{
	uint64_t at = atomic_load(&fill->stop) ? fill->size : atomic_fetch_add(&fill->next, FILL_BYTES), length;
	ssize_t put;
	int none = 0;

	if (at >= fill->size)
		return false;
	length = fill->size - at < FILL_BYTES ? fill->size - at : FILL_BYTES;
	put = pwrite(fill->fd, fill->zeros, length, (off_t)at);
	if (put == (ssize_t)length) {
		atomic_fetch_add(&fill->done, length);
		return true;
	}
	atomic_compare_exchange_strong(&fill->problem, &none, put < 0 ? errno : EIO);
	atomic_store(&fill->stop, true);
	return false;
}

static void *fill_run(void *argument)
{
	while (fill_piece(argument))
		;
	return NULL;
}

/* The thread that tells of the progress writes as well: it goes on as long as there are pieces. */
static int fill_all(struct fill *fill, const char *name, const struct kernel_progress *progress, struct error *error)
{
	pthread_t threads[FILL_WRITERS - 1];
	bool cancelled = false;
	int started = 0;

	while (started < FILL_WRITERS - 1 && pthread_create(&threads[started], NULL, fill_run, fill) == 0)
		started++;
	while (!cancelled && fill_piece(fill))
		cancelled = progress != NULL &&
			    !progress->tell(progress->data, atomic_load(&fill->done), fill->size - fill->start);
	if (cancelled)
		atomic_store(&fill->stop, true);
	while (started > 0)
		pthread_join(threads[--started], NULL);
	if (atomic_load(&fill->problem) != 0)
		return error_set_errno(error, atomic_load(&fill->problem), "cannot write zeros to %s", name);
	if (cancelled)
		return error_set(error, ERROR_CANCELLED, "writing zeros to %s was interrupted", name);
	/* A thin pool commits its mappings with it. */
	return fsync(fill->fd) != 0 ? error_set_errno(error, errno, "cannot flush %s", name) : 0;
}

int block_fill(struct kernel *kernel, const char *name, uint64_t start, const struct kernel_progress *progress,
	       struct error *error)
{
	struct fill fill = { 0 };
	void *zeros = NULL;
	int code = device_open(name, O_RDWR, &fill.fd, error);

	(void)kernel;
	if (code != 0)
		return code;
	if (ioctl(fill.fd, BLKGETSIZE64, &fill.size) != 0)
		code = error_set_errno(error, errno, "cannot tell the size of %s", name);
	else if (posix_memalign(&zeros, BLOCK_ALIGNMENT, FILL_BYTES) != 0)
		code = error_set_nomem(error);
	if (code == 0 && start > fill.size)
		code = error_set(error, ERROR_INVALID_ARGUMENT, "%s ends before byte %" PRIu64, name, start);
	if (code == 0) {
		fill.start = start;
		atomic_store(&fill.next, start);
		memset(zeros, 0, FILL_BYTES);
		fill.zeros = zeros;
		code = fill_all(&fill, name, progress, error);
	}
	free(zeros);
	close(fill.fd);
	return code;
}
