/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define WORKER_ACTIVE_MAX 32
#define WORKER_IDLE_MAX 4 /* threads that wait for jobs: some are due several times a second */
#define WATCHDOG_INTERVAL_MS 1000

/* The next job, when a thread is wanted; NULL: this one ends. Under the lock. */
static struct worker_job *job_wait(struct worker_pool *pool)
{
	struct worker_job *job;

	if (pool->idle >= WORKER_IDLE_MAX)
		return NULL;
	pool->idle++;
	while (pool->handed == NULL && !pool->closed)
		pthread_cond_wait(&pool->wanted, &pool->lock);
	job = pool->handed;
	if (job != NULL)
		pool->handed = job->next;
	pool->idle--;
	pthread_cond_signal(&pool->left);
	return job;
}

static void *thread_main(void *argument)
{
	struct worker_job *job = argument;
	struct worker_pool *pool = job->pool;

	while (job != NULL) {
		job->run(job);
		pthread_mutex_lock(&pool->lock);
		job->next = pool->finished;
		pool->finished = job;
		/* Under the lock: the handle is closed by a thread that held it. */
		if (!pool->closed)
			uv_async_send(&pool->async);
		job = pool->closed ? NULL : job_wait(pool);
		pthread_mutex_unlock(&pool->lock);
	}
	return NULL;
}

/* A thread that waits takes the job, or a new one. */
static int thread_start(struct worker_job *job)
{
	struct worker_pool *pool = job->pool;
	pthread_attr_t attributes;
	pthread_t thread;
	size_t handed = 0;
	int code;

	pthread_mutex_lock(&pool->lock);
	for (const struct worker_job *other = pool->handed; other != NULL; other = other->next)
		handed++;
	if (pool->idle > handed) {
		job->next = pool->handed;
		pool->handed = job;
		pthread_cond_signal(&pool->wanted);
		pthread_mutex_unlock(&pool->lock);
		return 0;
	}
	pthread_mutex_unlock(&pool->lock);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	code = pthread_create(&thread, &attributes, thread_main, job);
	pthread_attr_destroy(&attributes);
	return code;
}

static void running_remove(struct worker_pool *pool, struct worker_job *job)
{
	struct worker_job **at = &pool->running;

	while (*at != NULL && *at != job)
		at = &(*at)->running_next;
	if (*at != NULL)
		*at = job->running_next;
}

static void waiting_start(struct worker_pool *pool)
{
	while (pool->waiting != NULL && pool->active < WORKER_ACTIVE_MAX && !atomic_load(&pool->stopping)) {
		struct worker_job *job = pool->waiting, *next = job->next; /* the thread uses `next` when it ends */

		worker_step(job, "starting");
		if (thread_start(job) != 0)
			return; /* tried again when another one ends */
		pool->waiting = next;
		if (pool->waiting == NULL)
			pool->last = &pool->waiting;
		job->running_next = pool->running;
		pool->running = job;
		pool->active++;
	}
}

static void on_async(uv_async_t *async)
{
	struct worker_pool *pool = async->data;
	struct worker_job *job, *next;

	pthread_mutex_lock(&pool->lock);
	job = pool->finished;
	pool->finished = NULL;
	pthread_mutex_unlock(&pool->lock);
	for (; job != NULL; job = next) {
		next = job->next;
		running_remove(pool, job);
		if (!job->stuck)
			pool->active--;
		else
			log_notice("a kernel call that was stuck returned", "last=\"%s\"", job->step);
		pthread_mutex_destroy(&job->lock);
		job->done(job);
	}
	waiting_start(pool);
}

static void on_watchdog(uv_timer_t *timer)
{
	struct worker_pool *pool = timer->data;

	for (struct worker_job *job = pool->running; job != NULL; job = job->running_next) {
		char step[WORKER_STEP_SIZE];
		uint64_t since, now;

		pthread_mutex_lock(&job->lock);
		memcpy(step, job->step, sizeof(step));
		since = job->step_ms;
		now = clock_boot_ms(); /* under the lock: never before the step began */
		pthread_mutex_unlock(&job->lock);
		if (job->stuck || now - since < pool->stuck_after_ms)
			continue;
		job->stuck = true;
		pool->active--;
		log_warning("a kernel call is stuck", "call=\"%s\" for_ms=%" PRIu64, step, now - since);
	}
	waiting_start(pool);
}

int worker_pool_open(struct worker_pool *pool, uv_loop_t *loop, uint64_t stuck_after_ms)
{
	int code;

	memset(pool, 0, sizeof(*pool));
	pool->loop = loop;
	pool->stuck_after_ms = stuck_after_ms;
	pool->last = &pool->waiting;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wanted, NULL);
	pthread_cond_init(&pool->left, NULL);
	code = uv_async_init(loop, &pool->async, on_async);
	if (code != 0)
		return code;
	pool->async.data = pool;
	uv_timer_init(loop, &pool->watchdog);
	pool->watchdog.data = pool;
	return uv_timer_start(&pool->watchdog, on_watchdog, WATCHDOG_INTERVAL_MS, WATCHDOG_INTERVAL_MS);
}

void worker_pool_stop(struct worker_pool *pool)
{
	struct worker_job *job = pool->waiting, *next;

	atomic_store(&pool->stopping, true);
	pool->waiting = NULL;
	pool->last = &pool->waiting;
	for (; job != NULL; job = next) {
		next = job->next;
		pthread_mutex_destroy(&job->lock);
		job->done(job);
	}
}

bool worker_pool_is_idle(const struct worker_pool *pool)
{
	return pool->running == NULL;
}

void worker_pool_close(struct worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->closed = true;
	/* Threads that wait end; those that run a job find out when it ends. */
	pthread_cond_broadcast(&pool->wanted);
	while (pool->idle > 0)
		pthread_cond_wait(&pool->left, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	uv_close((uv_handle_t *)&pool->async, NULL);
	uv_close((uv_handle_t *)&pool->watchdog, NULL);
}

int worker_start(struct worker_pool *pool, struct worker_job *job, struct error *error)
{
	int code;

	job->pool = pool;
	job->next = job->running_next = NULL;
	job->stuck = false;
	pthread_mutex_init(&job->lock, NULL);
	worker_step(job, "waiting for a thread");
	if (pool->active >= WORKER_ACTIVE_MAX) {
		*pool->last = job;
		pool->last = &job->next;
		return 0;
	}
	code = thread_start(job);
	if (code != 0) {
		pthread_mutex_destroy(&job->lock);
		return error_set(error, ERROR_UNAVAILABLE, "cannot start a thread: %s", strerror(code));
	}
	job->running_next = pool->running;
	pool->running = job;
	pool->active++;
	return 0;
}

void worker_step(struct worker_job *job, const char *text)
{
	pthread_mutex_lock(&job->lock);
	snprintf(job->step, sizeof(job->step), "%s", text);
	job->step_ms = clock_boot_ms();
	pthread_mutex_unlock(&job->lock);
}

void worker_step_get(struct worker_job *job, char ret_step[WORKER_STEP_SIZE])
{
	pthread_mutex_lock(&job->lock);
	memcpy(ret_step, job->step, WORKER_STEP_SIZE);
	pthread_mutex_unlock(&job->lock);
}

bool worker_is_stopping(const struct worker_job *job)
{
	return atomic_load(&job->pool->stopping);
}

bool worker_is_stuck(struct worker_job *job, char ret_step[WORKER_STEP_SIZE], uint64_t *ret_ms)
{
	if (!job->stuck)
		return false;
	pthread_mutex_lock(&job->lock);
	memcpy(ret_step, job->step, WORKER_STEP_SIZE);
	*ret_ms = clock_boot_ms() - job->step_ms;
	pthread_mutex_unlock(&job->lock);
	return true;
}
