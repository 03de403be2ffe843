/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/silent_peers.h"

#include <stdlib.h>

#include "lib/base/log.h"

struct silent_peers {
	struct worker_job job; /* first: the job is cast to this */
	uv_timer_t timer;
	struct worker_pool *pool;
	struct kernel *kernel;
	struct error error;
	bool busy, closing, closed;
	bool failed; /* was logged */
};

static void free_if_closed(struct silent_peers *this)
{
	if (this->closed && !this->busy)
		free(this);
}

static void look_run(struct worker_job *job)
{
	struct silent_peers *this = (struct silent_peers *)job;

	worker_step(job, "look for holders that died");
	this->kernel->operations->imports_tend(this->kernel, &this->error);
}

static void on_looked(struct worker_job *job)
{
	struct silent_peers *this = (struct silent_peers *)job;
	bool failed = this->error.code != 0;

	this->busy = false;
	/* It is a matter of speed: the kernel gives such paths up by itself. */
	if (failed && !this->failed && !this->closing)
		log_failure(LOG_LEVEL_WARNING, "cannot look for holders that died", &this->error);
	this->failed = failed;
	free_if_closed(this);
}

static void on_timer(uv_timer_t *timer)
{
	struct silent_peers *this = timer->data;

	if (this->busy)
		return;
	error_clear(&this->error);
	this->job = (struct worker_job){ .run = look_run, .done = on_looked };
	this->busy = worker_start(this->pool, &this->job, &this->error) == 0;
}

struct silent_peers *silent_peers_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel)
{
	struct silent_peers *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->pool = pool;
	this->kernel = kernel;
	uv_timer_init(loop, &this->timer);
	this->timer.data = this;
	uv_timer_start(&this->timer, on_timer, SILENT_PEERS_INTERVAL_MS, SILENT_PEERS_INTERVAL_MS);
	return this;
}

static void on_closed(uv_handle_t *handle)
{
	struct silent_peers *this = handle->data;

	this->closed = true;
	free_if_closed(this);
}

void silent_peers_close(struct silent_peers *this)
{
	if (this == NULL)
		return;
	this->closing = true;
	uv_close((uv_handle_t *)&this->timer, on_closed);
}
