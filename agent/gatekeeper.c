/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/gatekeeper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/admission.h"
#include "agent/lease.h"
#include "agent/lease_claim.h"
#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* A shut gate is not refreshed, so nobody would see that its rules were flushed: they are made again so often. */
#define GUARD_INTERVAL_MS 1000

enum gate_work { GATE_GUARD, GATE_REFRESH, GATE_SHUT };

/* By what right the gate is open. */
enum right { RIGHT_NONE, RIGHT_LEASE, RIGHT_CHECK };

struct gate_job {
	struct worker_job job;
	struct gatekeeper *keeper;
	enum gate_work work;
	uint64_t until_ms;
	bool open; /* though it had run out */
	struct arena arena;
	struct string_list harmless;
	struct error error;
};

struct check_job {
	struct worker_job job;
	struct gatekeeper *keeper;
	struct arena arena;
	struct kernel_path_list paths;
	bool all_there;
	struct error error;
};

struct admit_job {
	struct worker_job job;
	struct gatekeeper *keeper;
	struct arena arena;
	struct kernel_peer_list peers;
	struct error error;
	struct peer_visit *visits; /* of hosts, where there are peers */
	size_t visit_count;
	struct error visits_error;
};

struct gatekeeper {
	uv_loop_t *loop;
	uv_timer_t timer, admit_timer;
	struct worker_pool *pool;
	struct kernel *kernel;
	const struct desired_store *store;
	struct reconciler *reconciler;
	uint64_t port;
	struct lease lease;
	struct gate_job gate;
	struct check_job check;
	struct admit_job admit;
	bool gate_busy, check_busy, admit_busy;
	bool again;	  /* a step was due while the gate was busy */
	bool admit_again; /* what is desired changed while peers were admitted */
	bool admit_waits; /* a peer would be let in if its export were there */
	bool admit_none;  /* nobody imports legs from this node, and the gate knows it */
	bool blind;	  /* the connections of hosts cannot be looked at, as was told */
	bool waits;	  /* for what is exposed to go, as was told */
	bool lapsed;	  /* it ran out, and something may wait here for legs of other slots */
	bool written;	  /* it ran out, and a write from before that is under way */
	bool told;	  /* the store holds what this session's leader wants, all of it */
	bool behind;	  /* or all that it had told when it answered last: there was more */
	bool closing;
	unsigned timers_closed;
	uint64_t guarded_ms;
	enum right right;
	const char *obstacle; /* why the last check gave no right; NULL */
};

static void step(struct gatekeeper *this);

static void free_if_closed(struct gatekeeper *this)
{
	if (this->timers_closed == 2 && !this->gate_busy && !this->check_busy && !this->admit_busy)
		free(this);
}

/* --- the gate --- */

static void gate_run(struct worker_job *job)
{
	struct gate_job *gate = (struct gate_job *)job;
	const struct kernel_operations *operations = gate->keeper->kernel->operations;
	struct kernel *kernel = gate->keeper->kernel;
	uint64_t port = gate->keeper->port;

	switch (gate->work) {
	case GATE_GUARD:
		worker_step(job, "guard the gate");
		operations->gate_guard(kernel, port, &gate->error);
		break;
	case GATE_REFRESH:
		worker_step(job, "refresh the gate");
		if (operations->gate_refresh(kernel, port, gate->until_ms, &gate->error) != ERROR_NOT_FOUND ||
		    !gate->open)
			break;
		worker_step(job, "open the gate");
		error_clear(&gate->error);
		operations->gate_open(kernel, port, gate->until_ms, &gate->harmless, &gate->error);
		break;
	case GATE_SHUT:
		worker_step(job, "shut the gate");
		operations->gate_shut(kernel, port, &gate->error);
		break;
	}
}

/* The leader hears of it, and has the slots begin anew. */
static void lapse_tell(struct gatekeeper *this, const struct error *error)
{
	bool lapsed = this->lapsed;

	if (error->code == ERROR_CONFLICT)
		lapsed = true;
	else if (this->gate.work == GATE_REFRESH && error->code == 0)
		lapsed = false;
	if (lapsed == this->lapsed)
		return;
	this->lapsed = lapsed;
	if (lapsed)
		log_warning("the gate was shut, and stays so until what waits for legs of other slots is gone",
			    "port=%" PRIu64 " reason=\"%s\"", this->port, error->message);
	reconciler_lapsed(this->reconciler, lapsed);
}

static void written_tell(struct gatekeeper *this, const struct error *error)
{
	bool written = error->code == ERROR_UNAVAILABLE;

	if (written && !this->written)
		log_warning("the gate was shut, and stays so until what hosts wrote before is done",
			    "port=%" PRIu64 " reason=\"%s\"", this->port, error->message);
	this->written = written;
}

static void on_gate_done(struct worker_job *job)
{
	struct gate_job *gate = (struct gate_job *)job;
	struct gatekeeper *this = gate->keeper;

	this->gate_busy = false;
	arena_free(&gate->arena);
	if (this->closing) {
		free_if_closed(this);
		return;
	}
	lapse_tell(this, &gate->error);
	written_tell(this, &gate->error);
	if (gate->error.code != 0) {
		/* Of the other three it is told elsewhere. */
		if (gate->error.code != ERROR_CONFLICT && gate->error.code != ERROR_NOT_FOUND &&
		    gate->error.code != ERROR_UNAVAILABLE)
			log_failure(gate->error.code == ERROR_DEADLINE_EXCEEDED ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
				    "the gate is not as it should be", &gate->error);
		lease_gate_failed(&this->lease);
	}
	if (this->again)
		step(this);
}

/* Imports of volumes that no host ever wrote to: nothing old waits for them. */
static int harmless_make(struct gatekeeper *this, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct desired desired;
	int code = desired_store_get(this->store, &arena, &desired, error);

	for (size_t i = 0; code == 0 && i < desired.volumes.count; i++) {
		const struct desired_volume *volume = &desired.volumes.items[i];

		for (size_t j = 0; code == 0 && volume->unused && j < volume->legs.count; j++) {
			if (volume->legs.items[j].nqn != NULL &&
			    list_push_string(&this->gate.arena, &this->gate.harmless, volume->legs.items[j].nqn) != 0)
				code = error_set_nomem(error);
		}
	}
	arena_free(&arena);
	return code;
}

static void gate_start(struct gatekeeper *this, enum gate_work work, uint64_t until_ms, bool open)
{
	this->gate = (struct gate_job){ .job = { .run = gate_run, .done = on_gate_done },
					.keeper = this,
					.work = work,
					.until_ms = until_ms,
					.open = open,
					.arena = ARENA_INIT };
	if ((open && this->told && !this->behind && harmless_make(this, &this->gate.error) != 0) ||
	    worker_start(this->pool, &this->gate.job, &this->gate.error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot touch the gate", &this->gate.error);
		arena_free(&this->gate.arena);
		lease_gate_failed(&this->lease);
		return;
	}
	this->gate_busy = true;
}

/* --- the check --- */

static void check_run(struct worker_job *job)
{
	struct check_job *check = (struct check_job *)job;

	worker_step(job, "look at the paths of members");
	check->keeper->kernel->operations->imports_check(check->keeper->kernel, &check->paths, &check->all_there,
							 &check->error);
}

static void check_end(struct gatekeeper *this, const char *obstacle)
{
	this->obstacle = obstacle;
	arena_free(&this->check.arena);
	lease_checked(&this->lease, obstacle == NULL);
}

static void on_check_done(struct worker_job *job)
{
	struct check_job *check = (struct check_job *)job;
	struct gatekeeper *this = check->keeper;

	this->check_busy = false;
	if (this->closing) {
		arena_free(&check->arena);
		free_if_closed(this);
		return;
	}
	if (check->error.code != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot look at the paths of members", &check->error);
	check_end(this, check->error.code == 0 && check->all_there ? NULL : "a member has no live, accessible path");
	step(this);
}

/* What is borrowed from the store does not outlive this turn of the loop. */
static int paths_copy(const struct kernel_path_list *paths, struct arena *arena, struct kernel_path_list *ret_paths)
{
	struct kernel_path *items = arena_alloc_array(arena, paths->count, sizeof(*items));

	for (size_t i = 0; items != NULL && i < paths->count; i++) {
		items[i] = paths->items[i];
		items[i].nqn = arena_strdup(arena, paths->items[i].nqn);
		items[i].address = arena_strdup(arena, paths->items[i].address);
		if (items[i].nqn == NULL || items[i].address == NULL)
			return -1;
	}
	*ret_paths = (struct kernel_path_list){ paths->count, items };
	return items != NULL ? 0 : -1;
}

/* The claim is small against a pass of the reconciler, and made only while there is no lease. */
static int claim_make(struct gatekeeper *this, struct arena *arena, struct lease_claim *ret_claim, struct error *error)
{
	bool complete = desired_store_is_complete(this->store);
	struct desired desired;

	if (complete && desired_store_get(this->store, arena, &desired, error) != 0)
		return (int)error->code;
	return lease_claim_make(complete ? &desired : NULL, reconciler_statuses(this->reconciler), arena, ret_claim,
				error);
}

static void check_start(struct gatekeeper *this)
{
	struct arena arena = ARENA_INIT;
	struct lease_claim claim;
	struct error error = { 0 };

	this->check = (struct check_job){ .job = { .run = check_run, .done = on_check_done },
					  .keeper = this,
					  .arena = ARENA_INIT };
	if (claim_make(this, &arena, &claim, &error) == 0 && claim.refusal == NULL &&
	    paths_copy(&claim.paths, &this->check.arena, &this->check.paths) != 0)
		error_set_nomem(&error);
	if (error.code == 0 && claim.refusal != NULL)
		check_end(this, claim.refusal);
	else if (error.code == 0 && worker_start(this->pool, &this->check.job, &error) == 0)
		this->check_busy = true;
	if (error.code != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot look at the paths of members", &error);
		check_end(this, "they could not be looked at");
	}
	arena_free(&arena);
}

/* --- peers --- */

static void admit(struct gatekeeper *this);

static void admit_run(struct worker_job *job)
{
	struct admit_job *admit = (struct admit_job *)job;
	struct gatekeeper *this = admit->keeper;

	worker_step(job, "admit peers");
	this->kernel->operations->gate_admit(this->kernel, this->port, &admit->peers, ADMISSION_TIMEOUT_MS,
					     &admit->error);
	/* Who has no consumers is none. */
	if (admit->peers.count == 0)
		return;
	worker_step(job, "look at hosts");
	this->kernel->operations->hosts_look(this->kernel, this->port, &admit->visits, &admit->visit_count,
					     &admit->visits_error);
}

/* Without it every consumer begins anew when another slot moves. */
static void hosts_tell(struct gatekeeper *this)
{
	struct admit_job *admit = &this->admit;
	bool blind = admit->visits_error.code != 0;

	if (!blind && admit->peers.count > 0 && !this->closing)
		reconciler_hosts(this->reconciler, admit->visits, admit->visit_count);
	else
		free(admit->visits);
	if (blind && !this->blind)
		log_failure(LOG_LEVEL_ERROR, "cannot look at the connections of hosts", &admit->visits_error);
	this->blind = blind;
}

static void on_admitted(struct worker_job *job)
{
	struct gatekeeper *this = ((struct admit_job *)job)->keeper;

	this->admit_busy = false;
	if (!this->closing && this->admit.error.code == 0)
		reconciler_joined(this->reconciler, &this->admit.peers);
	hosts_tell(this);
	arena_free(&this->admit.arena);
	if (this->closing) {
		free_if_closed(this);
		return;
	}
	this->admit_none = this->admit.peers.count == 0 && this->admit.error.code == 0;
	if (this->admit.error.code != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot admit peers", &this->admit.error);
	if (this->admit_again)
		admit(this);
}

static int peers_make(struct gatekeeper *this, struct arena *arena, struct kernel_peer_list *ret_peers,
		      struct error *error)
{
	struct kernel_peer_list peers;
	struct desired desired;

	if (desired_store_get(this->store, arena, &desired, error) != 0 ||
	    admission_make(&desired, reconciler_observed(this->reconciler),
			   lease_is_valid(&this->lease, clock_boot_ms()) && this->told && !this->behind, arena, &peers,
			   &this->admit_waits, error) != 0)
		return (int)error->code;
	/* What is borrowed from the store does not outlive this turn of the loop. */
	for (size_t i = 0; i < peers.count; i++) {
		peers.items[i].address = arena_strdup(arena, peers.items[i].address);
		if (peers.items[i].address == NULL)
			return error_set_nomem(error);
	}
	*ret_peers = peers;
	return 0;
}

/* All of it each time: somebody may have taken the rules away. Before the leader said who they are, what an earlier
 * agent left stands. */
static void admit(struct gatekeeper *this)
{
	struct error error = { 0 };

	if (this->closing || !desired_store_is_complete(this->store))
		return;
	this->admit_again = this->admit_busy;
	if (this->admit_busy)
		return;
	this->admit = (struct admit_job){ .job = { .run = admit_run, .done = on_admitted },
					  .keeper = this,
					  .arena = ARENA_INIT };
	if (peers_make(this, &this->admit.arena, &this->admit.peers, &error) == 0 &&
	    (this->admit.peers.count > 0 || !this->admit_none) &&
	    worker_start(this->pool, &this->admit.job, &error) == 0) {
		this->admit_busy = true;
		return;
	}
	arena_free(&this->admit.arena);
	if (error.code != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot admit peers", &error);
}

static void on_admit_timer(uv_timer_t *timer)
{
	admit(timer->data);
}

/* --- steps --- */

static void right_tell(struct gatekeeper *this, uint64_t now_ms)
{
	enum right right = RIGHT_NONE;

	if (lease_is_valid(&this->lease, now_ms) && lease_is_open(&this->lease, now_ms))
		right = RIGHT_LEASE;
	else if (this->lease.check_until_ms > now_ms)
		right = RIGHT_CHECK;
	if (right == this->right)
		return;
	this->right = right;
	if (right == RIGHT_LEASE)
		log_notice("this node serves: it has a lease", "port=%" PRIu64, this->port);
	else if (right == RIGHT_CHECK)
		log_warning("this node serves without a lease: all members are there", "port=%" PRIu64, this->port);
	else
		log_warning("this node does not serve: it has no lease", "port=%" PRIu64 " reason=\"%s\"", this->port,
			    this->obstacle != NULL ? this->obstacle : "not looked at the members in time");
}

/* What keeps a gate shut that a lease would open; NULL: nothing. */
static const char *exposed(const struct gatekeeper *this)
{
	if (!this->told)
		return "the leader did not say yet what this node holds";
	return this->behind ? "the leader has more to say" : reconciler_exposed(this->reconciler);
}

static void exposed_tell(struct gatekeeper *this, uint64_t now_ms)
{
	bool waits =
		this->lease.exposed && lease_is_valid(&this->lease, now_ms) && !lease_is_open(&this->lease, now_ms);

	if (waits && !this->waits)
		log_notice("this node has a lease, and its gate stays shut", "port=%" PRIu64 " reason=\"%s\"",
			   this->port, exposed(this));
	this->waits = waits;
}

static void on_timer(uv_timer_t *timer)
{
	step(timer->data);
}

static void step(struct gatekeeper *this)
{
	uint64_t now_ms = clock_boot_ms();
	struct lease_step due;

	if (this->closing)
		return;
	if (this->gate_busy) {
		this->again = true;
		return;
	}
	this->again = false;
	lease_exposed(&this->lease, exposed(this) != NULL);
	due = lease_step(&this->lease, now_ms);
	if (due.refresh) {
		gate_start(this, GATE_REFRESH, due.until_ms, due.open);
	} else if (due.shut) {
		gate_start(this, GATE_SHUT, 0, false);
	} else if (this->lease.gate_until_ms == 0 && now_ms - this->guarded_ms >= GUARD_INTERVAL_MS) {
		this->guarded_ms = now_ms;
		gate_start(this, GATE_GUARD, 0, false);
	}
	right_tell(this, now_ms);
	exposed_tell(this, now_ms);
	uv_timer_start(&this->timer, on_timer, due.next_ms > now_ms ? due.next_ms - now_ms : 1, 0);
	if (due.check)
		check_start(this);
}

struct gatekeeper *gatekeeper_make(uv_loop_t *loop, struct worker_pool *pool, struct kernel *kernel,
				   const struct desired_store *store, struct reconciler *reconciler, uint64_t port)
{
	struct gatekeeper *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->loop = loop;
	this->pool = pool;
	this->kernel = kernel;
	this->store = store;
	this->reconciler = reconciler;
	this->port = port;
	this->guarded_ms = clock_boot_ms();
	lease_init(&this->lease);
	uv_timer_init(loop, &this->timer);
	uv_timer_init(loop, &this->admit_timer);
	this->timer.data = this->admit_timer.data = this;
	uv_timer_start(&this->admit_timer, on_admit_timer, ADMISSION_INTERVAL_MS, ADMISSION_INTERVAL_MS);
	step(this);
	return this;
}

void gatekeeper_opened(struct gatekeeper *this, uint64_t heartbeat_ms, uint64_t lease_ms)
{
	if (this == NULL)
		return;
	this->told = false;
	lease_opened(&this->lease, heartbeat_ms, lease_ms);
}

void gatekeeper_desired(struct gatekeeper *this)
{
	if (this == NULL)
		return;
	this->told = desired_store_is_complete(this->store);
	admit(this);
}

void gatekeeper_passed(struct gatekeeper *this)
{
	if (this == NULL)
		return;
	if (this->admit_waits)
		admit(this);
	if (this->waits || this->lapsed)
		step(this);
}

void gatekeeper_sent(struct gatekeeper *this, uint64_t sequence, uint64_t now_ms)
{
	if (this != NULL)
		lease_sent(&this->lease, sequence, now_ms);
}

void gatekeeper_answered(struct gatekeeper *this, uint64_t sequence, bool behind)
{
	if (this == NULL)
		return;
	this->behind = behind;
	lease_answered(&this->lease, sequence);
	step(this);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct gatekeeper *this = handle->data;

	this->timers_closed++;
	free_if_closed(this);
}

void gatekeeper_close(struct gatekeeper *this)
{
	if (this == NULL || this->closing)
		return;
	this->closing = true;
	uv_close((uv_handle_t *)&this->timer, on_timer_closed);
	uv_close((uv_handle_t *)&this->admit_timer, on_timer_closed);
}
