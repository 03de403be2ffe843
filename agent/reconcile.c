/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/health.h"
#include "agent/label_memory.h"
#include "agent/lane.h"
#include "agent/lane_failure.h"
#include "agent/list.h"
#include "agent/status.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define IDLE_INTERVAL_MS 5000 /* inventory, and what somebody else changed */
#define WAIT_FIRST_MS 50      /* for namespaces and connections that appear by themselves */
#define WAIT_MAX_MS 1000
#define REBUILD_INTERVAL_MS 500 /* progress is looked at so often; that it is complete is an event */
#define BUSY_INTERVAL_MS 1000	/* a lane tells how far it came */
#define WATCH_INTERVAL_MS 200	/* paths, and mirrors that lose a member */
#define WATCH_WAITING_MS 20	/* the same while something is to appear, as long as it may be soon, */
#define WATCH_WAITING_SHARE 8	/* unless a look takes more than this part of the time */
#define WATCH_IDLE_TURNS 5	/* a node that imports nothing has neither, and looks less often */
#define EXPOSED_UNKNOWN "what is exported was not compared yet with what should be"
#define GATHER_MAX_MS 100 /* for other lanes to end, before an observation of the first one's work */
#define FRESH_MS 500	  /* an observation that is no older may be planned from; paths are watched meanwhile */

struct observation {
	struct worker_job job;
	struct reconciler *reconciler;
	struct kernel *kernel;
	struct arena arena;
	struct observed observed;
	struct error error;
	uint64_t begin_ms; /* loop time */
	uint64_t look;	   /* its number */
	bool stale;	   /* a lane ran since it began, and ended */
	uint64_t watched;  /* what a watch said last when it began, */
	uint64_t digest;   /* and what one says right before the look, which covers it */
};

/* A look at the paths. */
struct watch {
	struct worker_job job;
	struct reconciler *reconciler;
	uint64_t digest;
	uint64_t begin_ms, took_ms; /* loop time */
};

struct reconciler {
	uv_loop_t *loop;
	uv_timer_t timer, watch_timer;
	struct watch watch;
	uint64_t watched; /* the digest of what was looked at last */
	struct worker_pool *pool;
	struct kernel *kernel;
	struct desired_store *store;
	struct target_box *wanted; /* of that version of the store */
	uint64_t wanted_version;
	struct reconciler_events events;
	struct observation *observing; /* NULL: none is under way */
	struct observation *last;
	bool again;		 /* something changed since the observation began */
	bool hurry;		 /* and it was not just a lane that ended */
	uint64_t observation_ms; /* how long the last one took */
	bool watching;		 /* a look is under way */
	unsigned idle_turns;	 /* without one */
	bool waiting;		 /* the last pass found something that is to appear by itself, soon */
	bool closing;
	unsigned timers_closed;
	struct lane_job *lanes; /* running, or ended during an observation */
	struct lane_failures failures;
	struct label_memory labels; /* those that were read */
	uint64_t wait_ms;
	bool converged;
	const char *exposed; /* NULL: no export is */
	bool lapsed;	     /* the gate was shut, and legs of other slots are imported */
	struct arena status_arena;
	struct object_status_list statuses;
	struct volume_health_list health;
	struct health_memory health_memory;
	struct plan_box *planned; /* in the last pass; NULL: none was */
	struct buffer plan_text;  /* of it, when somebody asked */
};

static void observe(struct reconciler *this);

/* --- small lists --- */

static struct lane_job *lane_find(const struct reconciler *this, const char *lane)
{
	struct lane_job *job = this->lanes;

	while (job != NULL && strcmp(job->lane, lane) != 0)
		job = job->next;
	return job;
}

static void lane_remove(struct reconciler *this, struct lane_job *lane)
{
	struct lane_job **at = &this->lanes;

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	lane_job_free(lane);
	if (this->last != NULL)
		this->last->stale = true;
}

/* Those that ended while an observation was under way. */
static void lanes_remove_finished(struct reconciler *this)
{
	for (struct lane_job *lane = this->lanes, *next; lane != NULL; lane = next) {
		next = lane->next;
		if (lane->finished)
			lane_remove(this, lane);
	}
}

/* --- a pass --- */

static void observation_free(struct observation *observation)
{
	if (observation == NULL)
		return;
	arena_free(&observation->arena);
	free(observation);
}

static void observation_run(struct worker_job *job)
{
	struct observation *observation = (struct observation *)job;

	worker_step(job, "observe the kernel");
	observation->digest = observation->kernel->operations->watch(observation->kernel);
	observation->kernel->operations->observe(observation->kernel, &observation->arena, &observation->observed,
						 &observation->error);
}

static void on_timer(uv_timer_t *timer)
{
	observe(timer->data);
}

/* Look at what a lane did, or what the watch saw, but give lanes that run the time of one observation to end: with many
 * the machine would otherwise do little else than observe. */
static void observe_gathered(struct reconciler *this)
{
	uint64_t gather_ms = this->observation_ms < GATHER_MAX_MS ? this->observation_ms : GATHER_MAX_MS;
	bool busy = false;

	for (struct lane_job *lane = this->lanes; lane != NULL; lane = lane->next)
		busy = busy || !lane->finished;
	if (!busy)
		observe(this);
	else if (!uv_is_active((uv_handle_t *)&this->timer) || uv_timer_get_due_in(&this->timer) > gather_ms)
		uv_timer_start(&this->timer, on_timer, gather_ms, 0);
}

static void on_lane_done(struct worker_job *job)
{
	struct lane_job *lane = (struct lane_job *)job;
	struct reconciler *this = lane->owner;

	lane_failures_note(&this->failures, lane->lane, &lane->object, &lane->error, uv_now(this->loop));
	for (size_t i = 0; i < lane->rewritten.count; i++)
		label_memory_forget(&this->labels, lane->rewritten.items[i]);
	for (size_t i = 0; i < lane->labels.count; i++)
		label_memory_keep(&this->labels, &lane->labels.items[i]);
	if (this->observing != NULL) {
		/* That observation may have seen the lane half-done: it must not be planned from it. */
		lane->finished = true;
		this->again = true;
		return;
	}
	lane_remove(this, lane);
	observe_gathered(this);
}

/* Start each lane of the plan that is free to run. Returns how many run. */
static size_t lanes_start(struct reconciler *this, struct plan_box *box, uint64_t *ret_retry_ms)
{
	const struct action_list *actions = &box->plan.actions;
	size_t started = 0;

	for (size_t i = 0; i < actions->count; i++) {
		const char *name = actions->items[i].owner.lane;
		uint64_t wait_ms = lane_failures_wait_ms(&this->failures, name, uv_now(this->loop));
		struct lane_job *lane;
		struct error error = { 0 };

		if (lane_find(this, name) != NULL)
			continue;
		if (wait_ms > 0) {
			*ret_retry_ms = wait_ms < *ret_retry_ms ? wait_ms : *ret_retry_ms;
			continue;
		}
		lane = lane_job_make(box, this->kernel, name);
		if (lane == NULL)
			break;
		lane->owner = this;
		lane->job.run = lane_job_run;
		lane->job.done = on_lane_done;
		if (worker_start(this->pool, &lane->job, &error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot start work", &error);
			lane_job_free(lane);
			break;
		}
		/* What it makes is seen by looks that end before it does: an old label would bear witness for it. */
		for (size_t j = 0; j < lane->rewritten.count; j++)
			label_memory_forget(&this->labels, lane->rewritten.items[j]);
		lane->next = this->lanes;
		this->lanes = lane;
		started++;
	}
	return started;
}

/* What takes long and is not planned any more keeps devices open that are to go. */
static void lanes_end_unwanted(struct reconciler *this, const struct plan *plan)
{
	for (struct lane_job *lane = this->lanes; lane != NULL; lane = lane->next) {
		bool wanted = false;

		for (size_t i = 0; i < plan->actions.count && !wanted; i++)
			wanted = strcmp(plan->actions.items[i].owner.lane, lane->lane) == 0;
		if (!wanted)
			atomic_store(&lane->unwanted, true);
	}
}

static int lanes_describe(struct reconciler *this, struct arena *arena, struct status_lane_list *ret_lanes)
{
	struct status_lane *lane;

	for (struct lane_failure *failure = this->failures.first; failure != NULL; failure = failure->next) {
		lane = LIST_PUSH(arena, ret_lanes);
		if (lane == NULL)
			return -1;
		*lane = (struct status_lane){ .lane = failure->lane,
					      .failure = failure->message,
					      .owner = failure->object };
	}
	for (struct lane_job *job = this->lanes; job != NULL; job = job->next) {
		char step[WORKER_STEP_SIZE];
		uint64_t ms;

		/* One that ended during the observation is judged by it, unless it worked for an earlier desired state:
		 * then what it did last may not have been seen, and is not what the plan believes to be there. */
		if (job->finished && !job->outdated)
			continue;
		lane = LIST_PUSH(arena, ret_lanes);
		if (lane == NULL)
			return -1;
		*lane = (struct status_lane){ .lane = job->lane, .busy = true, .owner = job->object };
		if (lane_job_is_telling(job, step))
			lane->step = arena_strdup(arena, step);
		if (worker_is_stuck(&job->job, step, &ms))
			lane->stuck = arena_printf(arena, "%s (for %llu s)", step, (unsigned long long)ms / 1000);
	}
	return 0;
}

struct planned {
	struct reconciler *this;
	const struct plan *plan;
};

static bool is_planned(void *data, const char *lane)
{
	const struct planned *planned = data;
	bool found = lane_find(planned->this, lane) != NULL;

	for (size_t i = 0; i < planned->plan->actions.count && !found; i++)
		found = strcmp(planned->plan->actions.items[i].owner.lane, lane) == 0;
	return found;
}

/* Hardly anybody asks for its text, which takes as long as a part of the plan. */
static void plan_keep(struct reconciler *this, struct plan_box *box)
{
	box->references++;
	plan_box_release(this->planned);
	this->planned = box;
}

/* A lane of an earlier desired state may still make an export that the plan does not know. */
static const char *exposed_make(struct reconciler *this, const struct plan *plan)
{
	const char *exposed = plan->exposed;

	for (const struct lane_job *lane = this->lanes; lane != NULL && exposed == NULL; lane = lane->next) {
		if (lane->outdated && lane_job_exports(lane))
			exposed = "work for an earlier desired state is under way";
	}
	if (exposed == NULL)
		return NULL;
	exposed = arena_strdup(&this->status_arena, exposed);
	return exposed != NULL ? exposed : EXPOSED_UNKNOWN;
}

/* What is wanted changes seldom, and to work it out is a good part of a pass. */
static int wanted_update(struct reconciler *this, const struct desired *desired, struct error *error)
{
	uint64_t version = desired_store_version(this->store);
	struct target_box *box;

	if (this->wanted != NULL && this->wanted_version == version)
		return 0;
	box = target_box_make();
	if (box == NULL)
		return error_set_nomem(error);
	if (target_build(desired, &box->arena, &box->target, error) != 0) {
		target_box_release(box);
		return error->code;
	}
	target_box_release(this->wanted);
	this->wanted = box;
	this->wanted_version = version;
	return 0;
}

/* What the last observation saw is there still, when nobody has worked since: what is new is only what is wanted. So
 * the work for that begins without another look. Nothing is said of it: what is told of the new desired state was
 * looked at after it came. Returns whether work began. */
static bool act_at_once(struct reconciler *this)
{
	struct error error = { 0 };
	struct arena arena = ARENA_INIT;
	struct plan_box *box = NULL;
	struct desired desired;
	uint64_t retry_ms = 0;
	size_t started = 0;

	if (this->closing || this->observing != NULL || this->lanes != NULL || this->last == NULL ||
	    this->last->stale || this->last->error.code != 0 || uv_now(this->loop) - this->last->begin_ms > FRESH_MS ||
	    !desired_store_is_complete(this->store))
		return false;
	if (desired_store_get(this->store, &arena, &desired, &error) == 0 && wanted_update(this, &desired, &error) == 0)
		box = plan_box_make(this->wanted);
	if (box != NULL && plan_make(&this->last->observed, &box->wanted->target, &box->arena, &box->plan, &error) == 0)
		started = lanes_start(this, box, &retry_ms);
	plan_box_release(box);
	arena_free(&arena);
	/* Should they take long, a pass says so. */
	if (started > 0)
		uv_timer_start(&this->timer, on_timer, GATHER_MAX_MS, 0);
	return started > 0;
}

/* What is under way may have been planned before that which a member is kept for. What other mirrors do is nothing to
 * it: a table that waits for what is in flight to one member may wait until another one, of the same import, is taken
 * back. */
static bool may_drop(void *data, const char *mirror)
{
	for (const struct lane_job *lane = data; lane != NULL; lane = lane->next) {
		if (lane_job_drops(lane, mirror))
			return true;
	}
	return false;
}

/* Plan from the last observation and act. Returns in how many milliseconds to look again. */
static uint64_t pass(struct reconciler *this, struct error *error)
{
	const struct observed *observed = &this->last->observed;
	struct status_lane_list lanes = { 0 };
	struct plan_box *box = NULL;
	struct desired desired;
	uint64_t retry_ms = IDLE_INTERVAL_MS;
	size_t started;
	bool busy = false;

	arena_free(&this->status_arena);
	this->statuses = (struct object_status_list){ 0 };
	this->health = (struct volume_health_list){ 0 };
	this->converged = this->waiting = false;
	this->exposed = EXPOSED_UNKNOWN;
	if (!desired_store_is_complete(this->store))
		return retry_ms;
	if (desired_store_get(this->store, &this->status_arena, &desired, error) != 0 ||
	    wanted_update(this, &desired, error) != 0)
		goto cleanup;
	box = plan_box_make(this->wanted);
	if (box == NULL) {
		error_set_nomem(error);
		goto cleanup;
	}
	if (plan_make(observed, &box->wanted->target, &box->arena, &box->plan, error) != 0)
		goto cleanup;
	/* A failure of a lane that has nothing to do any more is history. */
	lane_failures_prune(&this->failures, is_planned, &(struct planned){ this, &box->plan });
	lanes_end_unwanted(this, &box->plan);
	started = lanes_start(this, box, &retry_ms);
	for (struct lane_job *job = this->lanes; job != NULL; job = job->next)
		busy = busy || !job->finished;
	this->exposed = exposed_make(this, &box->plan);
	if (lanes_describe(this, &this->status_arena, &lanes) != 0) {
		error_set_nomem(error);
		goto cleanup;
	}
	if (status_make(&desired, observed, &box->plan, &lanes, &this->status_arena, &this->statuses, error) != 0 ||
	    health_make(&desired, &box->wanted->target, observed, &this->health_memory, clock_boot_ms(),
			&this->status_arena, &this->health, error) != 0)
		goto cleanup;
	health_keep_not(&desired, &this->health, may_drop, this->lanes);
	if (this->lapsed)
		health_lapse(&desired, observed, &this->health);
	if (health_is_rebuilding(&this->health) && retry_ms > REBUILD_INTERVAL_MS)
		retry_ms = REBUILD_INTERVAL_MS;
	if (busy && retry_ms > BUSY_INTERVAL_MS)
		retry_ms = BUSY_INTERVAL_MS;
	plan_keep(this, box);
	this->converged = box->plan.actions.count == 0 && box->plan.notes.count == 0 && !busy;
	if (this->converged || started > 0) {
		this->wait_ms = WAIT_FIRST_MS;
	} else if (box->plan.notes.count > 0) {
		if (this->wait_ms < retry_ms)
			retry_ms = this->wait_ms;
		this->waiting = this->wait_ms < WAIT_MAX_MS;
		this->wait_ms = this->wait_ms * 2 < WAIT_MAX_MS ? this->wait_ms * 2 : WAIT_MAX_MS;
	}
cleanup:
	plan_box_release(box);
	return error->code != 0 ? WAIT_MAX_MS : retry_ms;
}

static void free_if_closed(struct reconciler *this)
{
	if (this->timers_closed < 2 || this->watching || this->observing != NULL || this->lanes != NULL)
		return;
	lane_failures_free(&this->failures);
	label_memory_free(&this->labels);
	observation_free(this->last);
	target_box_release(this->wanted);
	health_memory_free(&this->health_memory);
	arena_free(&this->status_arena);
	plan_box_release(this->planned);
	buffer_free(&this->plan_text);
	free(this);
}

static void on_watch(uv_timer_t *timer);

/* A namespace or a path that appears has no event, and a whole pass to look for it would come too late or too often. */
static void watch_hurry(struct reconciler *this)
{
	uint64_t wait_ms = this->watch.took_ms * WATCH_WAITING_SHARE;

	if (wait_ms < WATCH_WAITING_MS)
		wait_ms = WATCH_WAITING_MS;
	if (this->waiting && !this->watching && wait_ms < WATCH_INTERVAL_MS)
		uv_timer_start(&this->watch_timer, on_watch, wait_ms, WATCH_INTERVAL_MS);
}

static void on_observed(struct worker_job *job)
{
	struct observation *observation = (struct observation *)job;
	struct reconciler *this = observation->reconciler;
	struct error error = { 0 };
	uint64_t next_ms;

	this->observing = NULL;
	this->observation_ms = uv_now(this->loop) - observation->begin_ms;
	if (this->closing) {
		lanes_remove_finished(this);
		observation_free(observation);
		free_if_closed(this);
		return;
	}
	if (observation->error.code == 0)
		label_memory_add(&this->labels, observation->look, &observation->observed, &observation->arena,
				 &observation->error);
	observation_free(this->last);
	this->last = observation;
	if (observation->error.code == 0) {
		/* Most of what changes is our own work, which need not be looked at twice; but a watch may have seen
		 * what came while this looked. */
		if (this->watched != observation->watched && this->watched != observation->digest)
			this->again = true;
		this->watched = observation->digest;
		next_ms = pass(this, &error);
		if (error.code != 0)
			log_failure(LOG_LEVEL_ERROR, "cannot plan", &error);
	} else {
		log_failure(LOG_LEVEL_ERROR, "cannot observe", &observation->error);
		next_ms = WAIT_MAX_MS;
	}
	lanes_remove_finished(this); /* they were kept out of this pass */
	if (this->events.passed != NULL)
		this->events.passed(this->events.data);
	if (this->closing) {
		free_if_closed(this);
		return;
	}
	if (this->again && this->hurry)
		observe(this);
	else if (this->again)
		observe_gathered(this);
	else
		uv_timer_start(&this->timer, on_timer, next_ms, 0);
	watch_hurry(this);
}

static void observe(struct reconciler *this)
{
	struct observation *observation;
	struct error error = { 0 };

	if (this->closing) {
		free_if_closed(this);
		return;
	}
	if (this->observing != NULL) {
		this->again = this->hurry = true;
		return;
	}
	this->again = this->hurry = false;
	uv_timer_stop(&this->timer);
	observation = calloc(1, sizeof(*observation));
	if (observation != NULL) {
		observation->reconciler = this;
		observation->kernel = this->kernel;
		observation->begin_ms = uv_now(this->loop);
		observation->watched = this->watched;
		observation->job.run = observation_run;
		observation->job.done = on_observed;
		if (worker_start(this->pool, &observation->job, &error) == 0) {
			observation->look = label_memory_look(&this->labels);
			this->observing = observation;
			return;
		}
		free(observation);
	}
	uv_timer_start(&this->timer, on_timer, WAIT_MAX_MS, 0);
}

/* --- what changes by itself --- */

static void watch_run(struct worker_job *job)
{
	struct watch *watch = (struct watch *)job;

	worker_step(job, "look at the paths");
	watch->digest = watch->reconciler->kernel->operations->watch(watch->reconciler->kernel);
}

static void on_watched(struct worker_job *job)
{
	struct reconciler *this = ((struct watch *)job)->reconciler;
	bool changed = this->watch.digest != this->watched;

	this->watching = false;
	this->watch.took_ms = uv_now(this->loop) - this->watch.begin_ms;
	this->watched = this->watch.digest;
	if (this->closing)
		free_if_closed(this);
	else if (changed && this->observing == NULL)
		observe_gathered(this);
	else
		watch_hurry(this);
}

/* Full passes all the time would cost too much, and a lost path must be known soon. */
static void on_watch(uv_timer_t *timer)
{
	struct reconciler *this = timer->data;

	if (this->watching || !desired_store_is_complete(this->store))
		return;
	if (!this->waiting && this->last != NULL && this->last->observed.imports.count == 0 &&
	    ++this->idle_turns < WATCH_IDLE_TURNS)
		return;
	this->idle_turns = 0;
	this->watch.begin_ms = uv_now(this->loop);
	this->watching = worker_start(this->pool, &this->watch.job, NULL) == 0;
}

/* --- the door --- */

struct reconciler *reconciler_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel,
				   struct desired_store *store, const struct reconciler_events *events)
{
	struct reconciler *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->loop = loop;
	this->pool = pool;
	this->kernel = kernel;
	this->store = store;
	this->events = *events;
	this->wait_ms = WAIT_FIRST_MS;
	this->exposed = EXPOSED_UNKNOWN;
	uv_timer_init(loop, &this->timer);
	uv_timer_init(loop, &this->watch_timer);
	this->timer.data = this->watch_timer.data = this;
	this->watch = (struct watch){ .job = { .run = watch_run, .done = on_watched }, .reconciler = this };
	uv_timer_start(&this->watch_timer, on_watch, WATCH_INTERVAL_MS, WATCH_INTERVAL_MS);
	observe(this);
	return this;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct reconciler *this = handle->data;

	this->timers_closed++;
	free_if_closed(this);
}

void reconciler_close(struct reconciler *this)
{
	if (this == NULL || this->closing)
		return;
	this->closing = true;
	uv_close((uv_handle_t *)&this->timer, on_timer_closed);
	uv_close((uv_handle_t *)&this->watch_timer, on_timer_closed);
}

void reconciler_kick(struct reconciler *this)
{
	this->converged = false;
	this->exposed = EXPOSED_UNKNOWN;
	for (struct lane_job *lane = this->lanes; lane != NULL; lane = lane->next)
		lane->outdated = true;
	this->wait_ms = WAIT_FIRST_MS;
	if (!act_at_once(this))
		observe(this);
}

void reconciler_joined(struct reconciler *this, const struct kernel_peer_list *peers)
{
	if (health_joined(&this->health_memory, peers, clock_boot_ms()))
		observe(this);
}

void reconciler_hosts(struct reconciler *this, struct peer_visit *visits, size_t count)
{
	if (hosts_look(&this->health_memory.hosts, visits, count, clock_boot_ms()))
		observe(this);
}

const struct object_status_list *reconciler_statuses(const struct reconciler *this)
{
	return &this->statuses;
}

const struct volume_health_list *reconciler_health(const struct reconciler *this)
{
	return &this->health;
}

const struct observed *reconciler_observed(const struct reconciler *this)
{
	return this->last != NULL && this->last->error.code == 0 ? &this->last->observed : NULL;
}

bool reconciler_is_converged(const struct reconciler *this)
{
	return this->converged;
}

void reconciler_lapsed(struct reconciler *this, bool lapsed)
{
	this->lapsed = lapsed;
	observe(this);
}

const char *reconciler_plan_text(struct reconciler *this)
{
	buffer_clear(&this->plan_text);
	if (this->planned != NULL &&
	    (plan_print(&this->planned->plan, &this->plan_text) != 0 || buffer_append(&this->plan_text, "", 1) != 0))
		buffer_clear(&this->plan_text);
	return this->plan_text.size > 0 ? (const char *)this->plan_text.data : "";
}

const char *reconciler_exposed(const struct reconciler *this)
{
	return this->exposed;
}

const struct error *reconciler_failure(const struct reconciler *this)
{
	static const struct error none;

	return this->last != NULL ? &this->last->error : &none;
}
