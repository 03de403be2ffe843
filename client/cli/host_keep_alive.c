/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_keep_alive.h"

#include <errno.h>
#include <fcntl.h>
#include <libnvme.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/host_sight.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define AGAIN_MS 1000u	    /* between two processes */
#define END_MS 1000u	    /* for the paths that are live to be set back */
#define STACK_BYTES 131072u /* of a thread */
#define PATH_SIZE (sizeof("/dev/") + HOST_NAME_SIZE)

/* --- one path -------------------------------------------------------------------------------------------- */

bool host_keep_alive_known(unsigned keep_alive_s, unsigned *ret_usual_s, unsigned *ret_watched_s)
{
	static const unsigned known[][2] = {
		{ LIMIT_HOST_KEEP_ALIVE_SINGLE_S, LIMIT_HOST_KEEP_ALIVE_SINGLE_WATCHED_S },
		{ LIMIT_HOST_KEEP_ALIVE_S, LIMIT_HOST_KEEP_ALIVE_WATCHED_S },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (keep_alive_s != known[i][0] && keep_alive_s != known[i][1])
			continue;
		*ret_usual_s = known[i][0];
		*ret_watched_s = known[i][1];
		return true;
	}
	return false;
}

/* Whether a command would be sent, and not wait for the controller to come back. */
static bool is_live(const char *sysfs, const char *controller, unsigned *ret_now_s, unsigned *ret_usual_s,
		    unsigned *ret_watched_s)
{
	char state[HOST_NAME_SIZE];

	return host_controller_keep_alive(sysfs, controller, ret_now_s) &&
	       host_keep_alive_known(*ret_now_s, ret_usual_s, ret_watched_s) &&
	       host_controller_state(sysfs, controller, state) && strcmp(state, "live") == 0;
}

void host_keep_alive_send(const char *sysfs, const struct host_keep_alive_device *device, const char *controller)
{
	unsigned now_s, usual_s, watched_s;

	if (!is_live(sysfs, controller, &now_s, &usual_s, &watched_s) ||
	    !device->ask(device->data, controller, usual_s * 1000) || now_s == watched_s)
		return;
	if (device->set(device->data, controller, watched_s, usual_s * 1000))
		log_debug("keep-alives are sent", "controller=%s keep_alive_s=%u", controller, watched_s);
}

void host_keep_alive_restore(const char *sysfs, const struct host_keep_alive_device *device, const char *controller)
{
	unsigned now_s, usual_s, watched_s;

	if (is_live(sysfs, controller, &now_s, &usual_s, &watched_s) && now_s != usual_s)
		(void)device->set(device->data, controller, usual_s, usual_s * 1000);
}

/* Opened for each command: a controller that is not live refuses that, and another one may have got its name. */
static int device_open(const char *controller)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/dev/%s", controller);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool device_ask(void *data, const char *controller, unsigned timeout_ms)
{
	int fd = device_open(controller);
	struct nvme_get_features_args args = {
		.args_size = sizeof(args),
		.fd = fd,
		.timeout = timeout_ms,
		.sel = NVME_GET_FEATURES_SEL_CURRENT,
		.fid = NVME_FEAT_FID_KATO,
	};
	bool answered;

	(void)data;
	if (fd < 0)
		return false;
	answered = nvme_get_features(&args) == 0;
	close(fd);
	return answered;
}

static bool device_set(void *data, const char *controller, unsigned keep_alive_s, unsigned timeout_ms)
{
	int fd = device_open(controller);
	struct nvme_set_features_args args = {
		.args_size = sizeof(args),
		.fd = fd,
		.timeout = timeout_ms,
		.fid = NVME_FEAT_FID_KATO,
		.cdw11 = keep_alive_s * 1000,
	};
	bool done;

	(void)data;
	if (fd < 0)
		return false;
	done = nvme_set_features(&args) == 0;
	close(fd);
	return done;
}

/* --- the process ----------------------------------------------------------------------------------------- */

/* One path that has a thread. */
struct kept {
	struct kept *next;
	struct keeper *keeper;
	char name[HOST_NAME_SIZE];
	uint64_t inode;
	pthread_t thread;
	bool leaves; /* written under the lock, as is the next */
	bool ended;
};

struct keeper {
	const char *host_nqn;
	struct host_sight sight;
	struct kept *first;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stops;
	struct host_keep_alive_device device;
};

static struct timespec monotonic_in(unsigned ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

static void *kept_run(void *data)
{
	struct kept *kept = data;
	struct keeper *keeper = kept->keeper;

	pthread_mutex_lock(&keeper->lock);
	while (!keeper->stops && !kept->leaves) {
		struct timespec next = monotonic_in(LIMIT_HOST_PULSE_MS);

		pthread_mutex_unlock(&keeper->lock);
		host_keep_alive_send(HOST_SYSFS, &keeper->device, kept->name);
		pthread_mutex_lock(&keeper->lock);
		while (!keeper->stops && !kept->leaves &&
		       pthread_cond_timedwait(&keeper->changed, &keeper->lock, &next) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&keeper->lock);
	host_keep_alive_restore(HOST_SYSFS, &keeper->device, kept->name);
	pthread_mutex_lock(&keeper->lock);
	kept->ended = true;
	pthread_cond_broadcast(&keeper->changed);
	pthread_mutex_unlock(&keeper->lock);
	return NULL;
}

static void kept_add(struct keeper *keeper, const struct host_seen *seen)
{
	struct kept *kept = calloc(1, sizeof(*kept));
	pthread_attr_t attributes;

	if (kept == NULL)
		return;
	kept->keeper = keeper;
	kept->inode = seen->inode;
	snprintf(kept->name, sizeof(kept->name), "%s", seen->controller.name);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (pthread_create(&kept->thread, &attributes, kept_run, kept) == 0) {
		kept->next = keeper->first;
		keeper->first = kept;
	} else {
		free(kept); /* tried again at the next look */
	}
	pthread_attr_destroy(&attributes);
}

static const struct host_seen *seen_find(const struct keeper *keeper, const struct kept *kept)
{
	for (size_t i = 0; i < keeper->sight.count; i++) {
		const struct host_seen *seen = &keeper->sight.items[i];

		if (seen->inode == kept->inode && strcmp(seen->controller.name, kept->name) == 0)
			return seen;
	}
	return NULL;
}

static bool is_kept(const struct keeper *keeper, const struct host_seen *seen)
{
	for (const struct kept *kept = keeper->first; kept != NULL; kept = kept->next) {
		if (kept->inode == seen->inode && strcmp(kept->name, seen->controller.name) == 0)
			return true;
	}
	return false;
}

/* Each path that is there has a thread; one that is gone lets its thread go. */
static void keeper_look(struct keeper *keeper)
{
	struct error error;

	error_clear(&error);
	if (host_sight_look(&keeper->sight, &error) != 0) {
		log_failure(LOG_LEVEL_WARNING, "cannot look at the kernel", &error);
		return;
	}
	pthread_mutex_lock(&keeper->lock);
	for (struct kept **place = &keeper->first, *kept; (kept = *place) != NULL;) {
		kept->leaves = seen_find(keeper, kept) == NULL;
		if (!kept->ended) {
			place = &kept->next;
			continue;
		}
		*place = kept->next;
		pthread_join(kept->thread, NULL);
		free(kept);
	}
	pthread_cond_broadcast(&keeper->changed);
	pthread_mutex_unlock(&keeper->lock);
	for (size_t i = 0; i < keeper->sight.count; i++) {
		const struct host_seen *seen = &keeper->sight.items[i];

		/* Where the kernel does not tell whose it is, it can be nobody else's. */
		if ((seen->controller.host_nqn[0] == '\0' ||
		     strcmp(seen->controller.host_nqn, keeper->host_nqn) == 0) &&
		    !is_kept(keeper, seen))
			kept_add(keeper, seen);
	}
}

static bool all_ended(const struct keeper *keeper)
{
	for (const struct kept *kept = keeper->first; kept != NULL; kept = kept->next) {
		if (!kept->ended)
			return false;
	}
	return true;
}

/* Does not return. What is stuck in the kernel then keeps the process, and nothing else. */
static void keeper_run(const char *host_nqn, pid_t parent)
{
	static struct keeper keeper = { .sight = { .sysfs = HOST_SYSFS },
					.lock = PTHREAD_MUTEX_INITIALIZER,
					.device = { device_ask, device_set, NULL } };
	const struct timespec pause = { .tv_sec = LIMIT_HOST_PULSE_MS / 1000 };
	pthread_condattr_t clock;
	struct timespec end;
	sigset_t ends;

	keeper.host_nqn = host_nqn;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&keeper.changed, &clock);
	pthread_condattr_destroy(&clock);
	/* Asked behind prctl(): one that died before sent no signal. */
	while (getppid() == parent) {
		keeper_look(&keeper);
		if (sigtimedwait(&ends, NULL, &pause) >= 0)
			break;
	}
	end = monotonic_in(END_MS);
	pthread_mutex_lock(&keeper.lock);
	keeper.stops = true;
	pthread_cond_broadcast(&keeper.changed);
	while (!all_ended(&keeper) && pthread_cond_timedwait(&keeper.changed, &keeper.lock, &end) != ETIMEDOUT)
		;
	_exit(0);
}

int host_keep_alive_start(struct host_keep_alive *keep_alive, const char *host_nqn, uint64_t now_ms,
			  struct error *error)
{
	pid_t parent = getpid(), pid;

	if (keep_alive->pid != 0 && waitpid(keep_alive->pid, NULL, WNOHANG) == keep_alive->pid) {
		log_warning("the process that sends keep-alives died", "pid=%d", (int)keep_alive->pid);
		keep_alive->pid = 0;
	}
	if (keep_alive->pid != 0 || now_ms < keep_alive->begin_ms)
		return 0;
	keep_alive->begin_ms = now_ms + AGAIN_MS;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return error_set_errno(error, errno, "cannot start a process for keep-alives");
	if (pid == 0)
		keeper_run(host_nqn, parent);
	keep_alive->pid = pid;
	return 0;
}

void host_keep_alive_stop(struct host_keep_alive *keep_alive)
{
	if (keep_alive->pid != 0)
		kill(keep_alive->pid, SIGTERM);
	keep_alive->pid = 0;
}
