/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "agent/beat.h"
#include "agent/desired_store.h"
#include "agent/gatekeeper.h"
#include "agent/reconcile.h"
#include "agent/session.h"
#include "agent/silent_peers.h"
#include "agent/text.h"
#include "agent/worker.h"
#include "lib/base/log.h"

#define STUCK_AFTER_MS 5000
#define STOP_TIMEOUT_MS 2000
#define STOP_POLL_MS 20

struct agent {
	uv_loop_t loop;
	uv_signal_t terminate, interrupt;
	uv_timer_t timer; /* apply: the deadline; then: the end of waiting for workers */
	const struct options *options;
	struct kernel *kernel;
	struct worker_pool pool;
	struct worker_pool gate_pool; /* of its own: the gate must not wait behind other work */
	struct desired_store *store;
	struct reconciler *reconciler;
	struct session *session;	   /* NULL when applying a file */
	struct gatekeeper *gatekeeper;	   /* NULL on a node that never holds a controller, and when applying a file */
	struct beat *beat;		   /* the same */
	struct silent_peers *silent_peers; /* the same */
	struct buffer left;		   /* apply: the plan at the deadline */
	uint64_t stop_ms;
	bool stopping, done, abandoned;
};

static void on_stop_poll(uv_timer_t *timer)
{
	struct agent *agent = timer->data;

	bool idle = worker_pool_is_idle(&agent->pool) && worker_pool_is_idle(&agent->gate_pool);

	if (!idle && uv_now(&agent->loop) - agent->stop_ms < STOP_TIMEOUT_MS)
		return;
	/* A call that does not return ends with the process, or not at all. */
	agent->abandoned = !idle;
	worker_pool_close(&agent->pool);
	worker_pool_close(&agent->gate_pool);
	uv_close((uv_handle_t *)timer, NULL);
}

/* End: no new work, the present kernel calls are waited for a little. */
static void stop(struct agent *agent)
{
	if (agent->stopping)
		return;
	agent->stopping = true;
	agent->stop_ms = uv_now(&agent->loop);
	session_close(agent->session);
	gatekeeper_close(agent->gatekeeper);
	beat_close(agent->beat);
	silent_peers_close(agent->silent_peers);
	worker_pool_stop(&agent->pool);
	worker_pool_stop(&agent->gate_pool);
	reconciler_close(agent->reconciler);
	uv_close((uv_handle_t *)&agent->terminate, NULL);
	uv_close((uv_handle_t *)&agent->interrupt, NULL);
	uv_timer_start(&agent->timer, on_stop_poll, 0, STOP_POLL_MS);
}

static void on_signal(uv_signal_t *handle, int number)
{
	log_notice("stopping", "signal=%d", number);
	stop(handle->data);
}

static void on_deadline(uv_timer_t *timer)
{
	struct agent *agent = timer->data;
	const char *text = reconciler_plan_text(agent->reconciler);

	/* The reconciler is gone when this is told. Without memory it is not told. */
	if (buffer_append(&agent->left, text, strlen(text) + 1) != 0)
		buffer_clear(&agent->left);
	stop(agent);
}

static void on_passed(void *data)
{
	struct agent *agent = data;
	const struct observed *observed = reconciler_observed(agent->reconciler);

	if (agent->stopping)
		return;
	if (agent->session == NULL) {
		if (reconciler_is_converged(agent->reconciler)) {
			agent->done = true;
			stop(agent);
		}
		return;
	}
	gatekeeper_passed(agent->gatekeeper);
	if (observed == NULL)
		return;
	session_start(agent->session, &observed->disks);
	session_report(agent->session, reconciler_statuses(agent->reconciler), reconciler_health(agent->reconciler),
		       &observed->disks);
}

static void on_desired(void *data)
{
	struct agent *agent = data;

	/* First: who is shut out now must not come in while things change. */
	gatekeeper_desired(agent->gatekeeper);
	beat_desired(agent->beat);
	reconciler_kick(agent->reconciler);
}

/* Everything is told again to a new leader. */
static void on_opened(void *data)
{
	on_passed(data);
}

static void on_welcomed(void *data, uint64_t heartbeat_ms, uint64_t lease_ms)
{
	gatekeeper_opened(((struct agent *)data)->gatekeeper, heartbeat_ms, lease_ms);
}

static void on_sent(void *data, uint64_t sequence, uint64_t now_ms)
{
	gatekeeper_sent(((struct agent *)data)->gatekeeper, sequence, now_ms);
}

static void on_answered(void *data, uint64_t sequence, bool behind)
{
	gatekeeper_answered(((struct agent *)data)->gatekeeper, sequence, behind);
}

static int begin(struct agent *agent, const struct options *options, struct kernel *kernel, bool with_session,
		 struct error *error)
{
	const struct reconciler_events reconciler_events = { on_passed, agent };
	const struct session_events session_events = {
		.desired = on_desired,
		.opened = on_opened,
		.data = agent,
		.welcomed = on_welcomed,
		.sent = on_sent,
		.answered = on_answered,
	};
	struct session_abilities abilities = { 0 };
	int code;

	memset(agent, 0, sizeof(*agent));
	agent->options = options;
	agent->kernel = kernel;
	agent->store = desired_store_make();
	if (agent->store == NULL)
		return error_set_nomem(error);
	/* Before anything can be exported. */
	if (with_session && !options->storage_only && kernel->operations->gate_guard(kernel, options->port, error) != 0)
		return (int)error->code;
	code = uv_loop_init(&agent->loop);
	if (code == 0)
		code = worker_pool_open(&agent->pool, &agent->loop, STUCK_AFTER_MS);
	if (code == 0)
		code = worker_pool_open(&agent->gate_pool, &agent->loop, STUCK_AFTER_MS);
	if (code != 0)
		return error_set(error, ERROR_INTERNAL, "cannot start: %s", uv_strerror(code));
	uv_signal_init(&agent->loop, &agent->terminate);
	uv_signal_init(&agent->loop, &agent->interrupt);
	uv_timer_init(&agent->loop, &agent->timer);
	agent->terminate.data = agent->interrupt.data = agent->timer.data = agent;
	uv_signal_start(&agent->terminate, on_signal, SIGTERM);
	uv_signal_start(&agent->interrupt, on_signal, SIGINT);
	agent->reconciler = reconciler_make(&agent->loop, &agent->pool, kernel, agent->store, &reconciler_events);
	if (agent->reconciler == NULL)
		return error_set_nomem(error);
	if (!with_session)
		return 0;
	/* Once: who loads the module later starts the agent again, which disturbs nothing. */
	if (!options->storage_only &&
	    kernel->operations->dm_has_target(kernel, KERNEL_WRITETHROUGH, &abilities.writethrough, error) != 0)
		return (int)error->code;
	if (!options->storage_only &&
	    kernel->operations->dm_has_target(kernel, KERNEL_DELAY, &abilities.snapshot_reads, error) != 0)
		return (int)error->code;
	abilities.grows = kernel->operations->namespace_resize != NULL && kernel->operations->import_rescan != NULL;
	abilities.snapshots = true;
	agent->session = session_make(&agent->loop, options, &abilities, agent->store, &session_events);
	if (agent->session == NULL)
		return error_set_nomem(error);
	if (options->storage_only)
		return 0;
	agent->gatekeeper = gatekeeper_make(&agent->loop, &agent->gate_pool, kernel, agent->store, agent->reconciler,
					    options->port);
	agent->beat = beat_make(&agent->loop, agent->store);
	agent->silent_peers = silent_peers_make(&agent->loop, &agent->gate_pool, kernel);
	return agent->gatekeeper == NULL || agent->beat == NULL || agent->silent_peers == NULL ? error_set_nomem(error)
											       : 0;
}

/* Run until stopped. */
static void run(struct agent *agent)
{
	uv_run(&agent->loop, UV_RUN_DEFAULT);
	/* An abandoned thread still uses these; the process ends in a moment. */
	if (agent->abandoned)
		return;
	uv_loop_close(&agent->loop);
	desired_store_free(agent->store);
	agent->kernel->operations->close(agent->kernel);
}

int agent_run(const struct options *options, struct kernel *kernel, struct error *error)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int code;

	if (agent == NULL)
		return error_set_nomem(error);
	code = begin(agent, options, kernel, true, error);
	if (code != 0) {
		/* What runs already ends with the program. */
		if (agent->reconciler == NULL) {
			desired_store_free(agent->store);
			free(agent);
		}
		return code;
	}
	log_notice("agent started", "node=%s version=%s", options->node, DNVME_VERSION);
	run(agent);
	log_notice("agent stopped", NULL);
	/* What an abandoned thread uses must outlive this function. */
	if (!agent->abandoned)
		free(agent);
	return 0;
}

/* Line by line: what does not fit is left out at the end. */
static void details_add(struct error *error, const char *text)
{
	while (*text != '\0') {
		int length = (int)strcspn(text, "\n");

		error_detail(error, "  %.*s", length, text);
		text += length + (text[length] == '\n');
	}
}

int agent_apply(const struct options *options, struct kernel *kernel, struct error *error)
{
	static struct agent agent;
	struct arena arena = ARENA_INIT;
	struct desired desired;
	bool complete = false;
	int code = text_json_load(schema_desired(), options->desired_path, &arena, &desired, error);

	if (code == 0)
		code = begin(&agent, options, kernel, false, error);
	if (code == 0) {
		desired.reset = desired.complete = true;
		code = desired_store_take(agent.store, &desired, &complete, error);
	}
	arena_free(&arena);
	if (code != 0)
		return code;
	uv_timer_start(&agent.timer, on_deadline, options->timeout_s * 1000, 0);
	run(&agent);
	if (!agent.done) {
		error_set(error, ERROR_DEADLINE_EXCEEDED, "the kernel is not as desired after %llu s",
			  (unsigned long long)options->timeout_s);
		if (agent.left.size > 0)
			details_add(error, (const char *)agent.left.data);
		code = error->code;
	}
	buffer_free(&agent.left);
	return code;
}
