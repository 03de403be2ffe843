/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/net/keep_alive.h"

#include <errno.h>
#include <fcntl.h>
#include <libnvme.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/log.h"

#define END_MS 1000u	    /* for the paths that are live to be set back */
#define STACK_BYTES 131072u /* of a thread */

/* --- one path -------------------------------------------------------------------------------------------- */

bool keep_alive_is_known(unsigned keep_alive_s, unsigned *ret_usual_s, unsigned *ret_raised_s)
{
	static const unsigned known[][2] = {
		{ LIMIT_HOST_KEEP_ALIVE_SINGLE_S, LIMIT_KEEP_ALIVE_SINGLE_RAISED_S },
		{ LIMIT_HOST_KEEP_ALIVE_S, LIMIT_KEEP_ALIVE_RAISED_S },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (keep_alive_s != known[i][0] && keep_alive_s != known[i][1])
			continue;
		*ret_usual_s = known[i][0];
		*ret_raised_s = known[i][1];
		return true;
	}
	return false;
}

/* Live: a command is sent, and does not wait for the controller to come back. */
static bool is_ready(const struct keep_alive_source *source, const char *controller, unsigned *ret_now_s,
		     unsigned *ret_usual_s, unsigned *ret_raised_s)
{
	bool live = false;

	return source->read(source->data, controller, ret_now_s, &live) && live &&
	       keep_alive_is_known(*ret_now_s, ret_usual_s, ret_raised_s);
}

void keep_alive_send(const struct keep_alive_source *source, const struct keep_alive_device *device,
		     const char *controller)
{
	unsigned now_s, usual_s, raised_s;

	if (is_ready(source, controller, &now_s, &usual_s, &raised_s) &&
	    device->ask(device->data, controller, usual_s * 1000) && now_s != raised_s)
		(void)device->set(device->data, controller, raised_s, usual_s * 1000);
}

void keep_alive_restore(const struct keep_alive_source *source, const struct keep_alive_device *device,
			const char *controller)
{
	unsigned now_s, usual_s, raised_s;

	if (is_ready(source, controller, &now_s, &usual_s, &raised_s) && now_s != usual_s)
		(void)device->set(device->data, controller, usual_s, usual_s * 1000);
}

/* Opened for each command: a controller that is not live refuses that, and another one may have got its name. */
static int device_open(const char *controller)
{
	char path[sizeof("/dev/") + KEEP_ALIVE_NAME_SIZE];

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

const struct keep_alive_device keep_alive_nvme = { device_ask, device_set, NULL };

/* --- the process ----------------------------------------------------------------------------------------- */

/* One path that has a thread. */
struct kept {
	struct kept *next;
	struct keeper *keeper;
	struct keep_alive_path path;
	pthread_t thread;
	bool leaves; /* written under the lock, as is the next */
	bool ended;
};

struct keeper {
	const struct keep_alive_source *source;
	const struct keep_alive_device *device;
	struct kept *first;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stops;
	bool failed; /* was logged */
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
		struct timespec next = monotonic_in(keeper->source->interval_ms);

		pthread_mutex_unlock(&keeper->lock);
		keep_alive_send(keeper->source, keeper->device, kept->path.name);
		pthread_mutex_lock(&keeper->lock);
		while (!keeper->stops && !kept->leaves &&
		       pthread_cond_timedwait(&keeper->changed, &keeper->lock, &next) != ETIMEDOUT)
			;
	}
	if (!kept->leaves) {
		pthread_mutex_unlock(&keeper->lock);
		keep_alive_restore(keeper->source, keeper->device, kept->path.name);
		pthread_mutex_lock(&keeper->lock);
	}
	kept->ended = true;
	pthread_cond_broadcast(&keeper->changed);
	pthread_mutex_unlock(&keeper->lock);
	return NULL;
}

static void kept_add(struct keeper *keeper, const struct keep_alive_path *path)
{
	struct kept *kept = calloc(1, sizeof(*kept));
	pthread_attr_t attributes;

	if (kept == NULL)
		return;
	kept->keeper = keeper;
	kept->path = *path;
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

static bool is_same(const struct keep_alive_path *a, const struct keep_alive_path *b)
{
	return a->inode == b->inode && strcmp(a->name, b->name) == 0;
}

static bool is_there(const struct kept *kept, const struct keep_alive_path *paths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_same(&kept->path, &paths[i]))
			return true;
	}
	return false;
}

static bool is_kept(const struct keeper *keeper, const struct keep_alive_path *path)
{
	for (const struct kept *kept = keeper->first; kept != NULL; kept = kept->next) {
		if (is_same(&kept->path, path))
			return true;
	}
	return false;
}

/* Each path that is there has a thread; one that is gone lets its thread go. */
static void keeper_look(struct keeper *keeper)
{
	const struct keep_alive_path *paths = NULL;
	size_t count = 0;
	struct error error;

	error_clear(&error);
	if (keeper->source->find(keeper->source->data, &paths, &count, &error) != 0) {
		if (!keeper->failed)
			log_failure(LOG_LEVEL_WARNING, "cannot look for paths that need keep-alives", &error);
		keeper->failed = true;
		return;
	}
	keeper->failed = false;
	pthread_mutex_lock(&keeper->lock);
	for (struct kept **place = &keeper->first, *kept; (kept = *place) != NULL;) {
		kept->leaves = !is_there(kept, paths, count);
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
	for (size_t i = 0; i < count; i++) {
		if (!is_kept(keeper, &paths[i]))
			kept_add(keeper, &paths[i]);
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

void keep_alive_run(const struct keep_alive_source *source, const struct keep_alive_device *device, pid_t parent)
{
	/* Threads that are stuck use it to the end of the process. */
	static struct keeper keeper = { .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct timespec pause = { .tv_sec = source->interval_ms / 1000,
					.tv_nsec = source->interval_ms % 1000 * 1000000L };
	pthread_condattr_t clock;
	struct timespec end;
	sigset_t ends;

	keeper.source = source;
	keeper.device = device;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&keeper.changed, &clock);
	pthread_condattr_destroy(&clock);
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
	pthread_mutex_unlock(&keeper.lock);
}
