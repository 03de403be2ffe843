/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a server: a slow or failing disk, a wall clock that is wrong, and a machine whose every clock runs
 * slow. The file that DNVME_ATTACK_CONTROL names is mapped, so that who runs the attack changes the numbers while the
 * server runs.
 *
 * libraft writes its log by io_submit(2), through syscall(3): from the loop's thread with RWF_NOWAIT first, and if the
 * kernel says EAGAIN, from a thread that may wait. A disk that is slow says EAGAIN, and then takes its time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

struct control {
	volatile uint32_t delay_ms;	/* of each flush and each write of the log */
	volatile uint32_t fail;		/* they return EIO */
	volatile int64_t clock_ms;	/* added to the wall clock */
	volatile int64_t slow_since_ns; /* monotonic */
	volatile uint32_t slow_percent; /* how fast clocks run since then; 0: as they should */
	uint32_t unused;
};

static struct control nothing;
static struct control *control = &nothing;

int clock_gettime(clockid_t id, struct timespec *now);
int gettimeofday(struct timeval *restrict now, void *restrict zone);
time_t time(time_t *now);
int fsync(int fd);
int fdatasync(int fd);
int msync(void *address, size_t size, int flags);
long syscall(long number, ...);

static int (*next_clock_gettime)(clockid_t id, struct timespec *now);
static int (*next_fsync)(int fd);
static int (*next_fdatasync)(int fd);
static int (*next_msync)(void *address, size_t size, int flags);
static long (*next_syscall)(long number, ...);

static void __attribute__((constructor)) shim_begin(void)
{
	const char *path = getenv("DNVME_ATTACK_CONTROL");
	void *page = MAP_FAILED;
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	*(void **)&next_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	*(void **)&next_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&next_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&next_msync = dlsym(RTLD_NEXT, "msync");
	*(void **)&next_syscall = dlsym(RTLD_NEXT, "syscall");
	if (fd >= 0) {
		page = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (page != MAP_FAILED)
		control = page;
}

/* Whether the disk answers at all. */
static int disk(void)
{
	uint32_t delay_ms = control->delay_ms;

	if (delay_ms > 0)
		nanosleep(&(struct timespec){ delay_ms / 1000, (long)(delay_ms % 1000) * 1000000 }, NULL);
	if (!control->fail)
		return 0;
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	return disk() == 0 ? next_fsync(fd) : -1;
}

int fdatasync(int fd)
{
	return disk() == 0 ? next_fdatasync(fd) : -1;
}

int msync(void *address, size_t size, int flags)
{
	return disk() == 0 ? next_msync(address, size, flags) : -1;
}

long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_io_submit && a[1] > 0 && (control->delay_ms > 0 || control->fail)) {
		struct iocb *const *requests = (struct iocb *const *)a[2];

		if (requests[0]->aio_rw_flags & RWF_NOWAIT) {
			errno = EAGAIN;
			return -1;
		}
		if (disk() != 0)
			return -1;
	}
	return next_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* By how much this machine's clocks are behind. */
static int64_t lag(void)
{
	uint32_t percent = control->slow_percent;
	struct timespec now;

	if (percent == 0 || next_clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return 0;
	return (nanoseconds(&now) - control->slow_since_ns) / 100 * (100 - (int64_t)percent);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	int64_t ns;
	int rv;

	/* Before the constructor ran: other libraries' own ask for the time. */
	if (next_clock_gettime == NULL)
		*(void **)&next_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	rv = next_clock_gettime(id, now);
	if (rv != 0 || id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID)
		return rv;
	ns = nanoseconds(now) - lag();
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		ns += control->clock_ms * 1000000;
	now->tv_sec = (time_t)(ns / 1000000000);
	now->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
		return -1;
	*now = (struct timeval){ exact.tv_sec, exact.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *now)
{
	struct timespec exact;

	if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
		return -1;
	if (now != NULL)
		*now = exact.tv_sec;
	return exact.tv_sec;
}
