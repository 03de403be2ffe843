/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for calls that may block, and a watchdog that names those that do.
 *
 * Each job has a thread for itself while it runs, so that any number of stuck ones leaves room for others; only jobs
 * that make progress count against the bound. libuv's pool would be full after four. A few threads wait for the next
 * job.
 */
#ifndef DNVME_AGENT_WORKER_H
#define DNVME_AGENT_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/error.h"

#define WORKER_STEP_SIZE 320

struct worker_job {
	/* Set by the caller. `run` is called on a thread, `done` on the loop's; `done` may free the job. */
	void (*run)(struct worker_job *job);
	void (*done)(struct worker_job *job);
	/* Private. */
	struct worker_pool *pool;
	struct worker_job *next;	 /* finished or waiting */
	struct worker_job *running_next; /* the loop's */
	pthread_mutex_t lock;
	char step[WORKER_STEP_SIZE]; /* under `lock` */
	uint64_t step_ms;	     /* under `lock` */
	bool stuck;		     /* the loop's: was named by the watchdog */
};

struct worker_pool {
	uv_loop_t *loop;
	uv_async_t async;
	uv_timer_t watchdog;
	pthread_mutex_t lock;
	struct worker_job *running;  /* the loop's */
	struct worker_job *finished; /* under `lock` */
	struct worker_job *handed;   /* under `lock`: to threads that wait */
	size_t idle;		     /* under `lock`: threads that wait, or were told to go on and did not yet */
	pthread_cond_t wanted, left;
	struct worker_job *waiting, **last; /* the loop's: above the bound */
	size_t active;
	uint64_t stuck_after_ms;
	atomic_bool stopping;
	bool closed; /* under `lock` */
};

/* Returns 0 or a libuv error. `stuck_after_ms`: when a step is named in the log. */
int worker_pool_open(struct worker_pool *pool, uv_loop_t *loop, uint64_t stuck_after_ms);

/* Close the handles. Jobs that still run are abandoned: the process must exit without freeing what they use. */
void worker_pool_close(struct worker_pool *pool);

/* The program ends: jobs that ask worker_is_stopping() end at their next step, those that wait are done without having
 * run. */
void worker_pool_stop(struct worker_pool *pool);

/* Whether no job runs. */
bool worker_pool_is_idle(const struct worker_pool *pool);

/* Start, or queue behind others. UNAVAILABLE when no thread can be made; `done` is not called then. */
int worker_start(struct worker_pool *pool, struct worker_job *job, struct error *error);

/* From `run`: what is about to be called, for the watchdog. */
void worker_step(struct worker_job *job, const char *text);

/* What was said last. */
void worker_step_get(struct worker_job *job, char ret_step[WORKER_STEP_SIZE]);

/* From `run`: whether to end before the next step. */
bool worker_is_stopping(const struct worker_job *job);

/* The present step and how long it takes; false when it is not stuck. */
bool worker_is_stuck(struct worker_job *job, char ret_step[WORKER_STEP_SIZE], uint64_t *ret_ms);

#endif
