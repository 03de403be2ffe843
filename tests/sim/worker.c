/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for agent/worker.c: a thread is a coroutine, and kernel calls take their time in it. */
#include "agent/worker.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/sim/loop.h"

#define ACTIVE_MAX 32
#define WATCHDOG_INTERVAL_MS 1000

static void job_run(void *data);

static void job_begin(struct worker_pool *pool, struct worker_job *job)
{
	job->running_next = pool->running;
	pool->running = job;
	pool->active++;
	worker_step(job, "starting");
	coroutine_start(loop_of(pool->loop)->process, job_run, job);
}

static void waiting_start(struct worker_pool *pool)
{
	while (pool->waiting != NULL && pool->active < ACTIVE_MAX && !atomic_load(&pool->stopping)) {
		struct worker_job *job = pool->waiting;

		pool->waiting = job->next;
		if (pool->waiting == NULL)
			pool->last = &pool->waiting;
		job_begin(pool, job);
	}
}

static void job_done(void *data)
{
	struct worker_job *job = data;
	struct worker_pool *pool = job->pool;
	struct worker_job **at = &pool->running;

	while (*at != job)
		at = &(*at)->running_next;
	*at = job->running_next;
	if (job->stuck)
		log_notice("a kernel call that was stuck returned", "last=\"%s\"", job->step);
	else
		pool->active--;
	job->done(job);
	waiting_start(pool);
}

static void on_done(struct world_event *event)
{
	struct worker_job *job = event->data;

	/* A pool that was closed has no loop to tell. */
	if (!job->pool->closed)
		loop_turn(loop_of(job->pool->loop), job_done, job);
}

static void job_run(void *data)
{
	struct worker_job *job = data;

	world_sleep(world_between(10, 200));
	job->run(job);
	world_after(world_between(5, 100), loop_of(job->pool->loop)->process, on_done, job);
}

static void on_watchdog(uv_timer_t *timer)
{
	struct worker_pool *pool = timer->data;

	for (struct worker_job *job = pool->running; job != NULL; job = job->running_next) {
		uint64_t since = clock_boot_ms() - job->step_ms;

		if (job->stuck || since < pool->stuck_after_ms)
			continue;
		job->stuck = true;
		pool->active--;
		log_warning("a kernel call is stuck", "call=\"%s\"", job->step);
	}
	waiting_start(pool);
}

int worker_pool_open(struct worker_pool *pool, uv_loop_t *loop, uint64_t stuck_after_ms)
{
	memset(pool, 0, sizeof(*pool));
	pool->loop = loop;
	pool->stuck_after_ms = stuck_after_ms;
	pool->last = &pool->waiting;
	uv_timer_init(loop, &pool->watchdog);
	pool->watchdog.data = pool;
	return uv_timer_start(&pool->watchdog, on_watchdog, WATCHDOG_INTERVAL_MS, WATCHDOG_INTERVAL_MS);
}

void worker_pool_close(struct worker_pool *pool)
{
	pool->closed = true;
	uv_close((uv_handle_t *)&pool->watchdog, NULL);
}

void worker_pool_stop(struct worker_pool *pool)
{
	struct worker_job *job = pool->waiting, *next;

	atomic_store(&pool->stopping, true);
	pool->waiting = NULL;
	pool->last = &pool->waiting;
	for (; job != NULL; job = next) {
		next = job->next;
		job->done(job);
	}
}

bool worker_pool_is_idle(const struct worker_pool *pool)
{
	return pool->running == NULL;
}

int worker_start(struct worker_pool *pool, struct worker_job *job, struct error *error)
{
	(void)error;
	job->pool = pool;
	job->next = job->running_next = NULL;
	job->stuck = false;
	worker_step(job, "waiting for a thread");
	if (pool->active < ACTIVE_MAX) {
		job_begin(pool, job);
		return 0;
	}
	*pool->last = job;
	pool->last = &job->next;
	return 0;
}

void worker_step(struct worker_job *job, const char *text)
{
	size_t length = strnlen(text, sizeof(job->step) - 1);

	memcpy(job->step, text, length);
	job->step[length] = '\0';
	job->step_ms = clock_boot_ms();
}

void worker_step_get(struct worker_job *job, char ret_step[WORKER_STEP_SIZE])
{
	memcpy(ret_step, job->step, WORKER_STEP_SIZE);
}

bool worker_is_stopping(const struct worker_job *job)
{
	return atomic_load(&job->pool->stopping);
}

bool worker_is_stuck(struct worker_job *job, char ret_step[WORKER_STEP_SIZE], uint64_t *ret_ms)
{
	if (!job->stuck)
		return false;
	worker_step_get(job, ret_step);
	*ret_ms = clock_boot_ms() - job->step_ms;
	return true;
}
