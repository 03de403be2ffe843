/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler with its threads, over the simulated kernel: convergence, failures, calls that do not return. */
#include <limits.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <uv.h>

#include "agent/desired_store.h"
#include "agent/list.h"
#include "agent/reconcile.h"
#include "agent/reported.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/unit/test_agent_rig.h"

#define DEADLINE_MS 20000
#define STUCK_AFTER_MS 200

struct fixture {
	uv_loop_t loop;
	uv_timer_t deadline;
	struct worker_pool pool;
	struct kernel *kernel;
	struct desired_store *store;
	struct reconciler *reconciler;
	struct arena arena;
	struct rig_volume volume;
	bool (*wanted)(struct fixture *fixture); /* what the loop runs for */
	bool reached, closing;
	unsigned passes;
	/* The fault: */
	pthread_mutex_t lock;
	pthread_cond_t release;
	const char *fail_operation, *hang_operation, *hang_name;
	bool released, hanging;
	unsigned looks, looks_before_work; /* since the latter was NOT_YET; under `lock` */
};

#define NOT_YET UINT_MAX

/* The tree of objects allocates inside libc, where failing_alloc.h does not reach: its n-th call fails, once. */
static unsigned tsearch_fails_at;

void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	if (tsearch_fails_at > 0 && --tsearch_fails_at == 0)
		return NULL;
	return __real_tsearch(key, root, compare);
}

/* So that what depends on the age of a look does not depend on how busy this machine is. 0: time goes on. */
static uint64_t stands_at_ms;

uint64_t __real_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop);

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
	return stands_at_ms != 0 ? stands_at_ms : __real_uv_now(loop);
}

/* The only timer that repeats is that of the watch. */
static uv_timer_t *watch_timer;
static uv_timer_cb watch_callback;
static bool watch_is_held;

int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat);

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
	if (repeat != 0) {
		watch_timer = timer;
		watch_callback = callback;
		if (watch_is_held)
			return 0;
	}
	return __real_uv_timer_start(timer, callback, timeout, repeat);
}

static void stop_if_reached(struct fixture *fixture)
{
	if (fixture->wanted != NULL && fixture->wanted(fixture)) {
		fixture->reached = true;
		uv_stop(&fixture->loop);
	}
}

static void on_passed(void *data)
{
	struct fixture *fixture = data;

	fixture->passes++;
	if (!fixture->closing)
		stop_if_reached(fixture);
}

static void on_deadline(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static int on_call(void *data, const char *operation, const char *name, struct error *error)
{
	struct fixture *fixture = data;
	int code = 0;

	pthread_mutex_lock(&fixture->lock);
	if (strcmp(operation, "observe") == 0)
		fixture->looks++;
	else if (fixture->looks_before_work == NOT_YET)
		fixture->looks_before_work = fixture->looks;
	if (fixture->fail_operation != NULL && strcmp(operation, fixture->fail_operation) == 0)
		code = error_set(error, ERROR_UNAVAILABLE, "%s %s refused for the test", operation, name);
	if (fixture->hang_operation != NULL && strcmp(operation, fixture->hang_operation) == 0 &&
	    strstr(name, fixture->hang_name) != NULL) {
		fixture->hanging = true;
		while (!fixture->released)
			pthread_cond_wait(&fixture->release, &fixture->lock);
	}
	pthread_mutex_unlock(&fixture->lock);
	return code;
}

/* A worker may be in the kernel already. NULL: no fault. */
static void fault_set(struct fixture *fixture, const char *fail_operation, const char *hang_operation,
		      const char *hang_name)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->fail_operation = fail_operation;
	fixture->hang_operation = hang_operation;
	fixture->hang_name = hang_name;
	pthread_mutex_unlock(&fixture->lock);
}

static bool is_hanging(struct fixture *fixture)
{
	bool hanging;

	pthread_mutex_lock(&fixture->lock);
	hanging = fixture->hanging;
	pthread_mutex_unlock(&fixture->lock);
	return hanging;
}

static void release(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->released = true;
	pthread_cond_broadcast(&fixture->release);
	pthread_mutex_unlock(&fixture->lock);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct reconciler_events events = { on_passed, fixture };
	struct error error = { 0 };

	assert_non_null(fixture);
	fixture->volume = rig_volume_default();
	pthread_mutex_init(&fixture->lock, NULL);
	pthread_cond_init(&fixture->release, NULL);
	assert_int_equal(kernel_sim_open(NULL, &fixture->kernel, &error), 0);
	assert_int_equal(kernel_sim_disk_add(fixture->kernel, "/dev/vdb=4GiB", &error), 0);
	kernel_sim_fault_set(fixture->kernel, on_call, fixture);
	fixture->store = desired_store_make();
	uv_loop_init(&fixture->loop);
	uv_timer_init(&fixture->loop, &fixture->deadline);
	assert_int_equal(worker_pool_open(&fixture->pool, &fixture->loop, STUCK_AFTER_MS), 0);
	fixture->reconciler = reconciler_make(&fixture->loop, &fixture->pool, fixture->kernel, fixture->store, &events);
	assert_non_null(fixture->reconciler);
	*state = fixture;
	return 0;
}

static bool pool_is_idle(struct fixture *fixture)
{
	return worker_pool_is_idle(&fixture->pool);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	fixture->closing = true;
	release(fixture); /* of a test that failed */
	worker_pool_stop(&fixture->pool);
	reconciler_close(fixture->reconciler);
	while (!pool_is_idle(fixture))
		uv_run(&fixture->loop, UV_RUN_ONCE);
	worker_pool_close(&fixture->pool);
	uv_close((uv_handle_t *)&fixture->deadline, NULL);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	desired_store_free(fixture->store);
	fixture->kernel->operations->close(fixture->kernel);
	arena_free(&fixture->arena);
	pthread_mutex_destroy(&fixture->lock);
	pthread_cond_destroy(&fixture->release);
	free(fixture);
	return 0;
}

static void want(struct fixture *fixture, const struct desired *desired)
{
	struct error error = { 0 };
	bool complete;

	assert_int_equal(desired_store_take(fixture->store, desired, &complete, &error), 0);
	assert_true(complete);
	reconciler_kick(fixture->reconciler);
}

static void run_until(struct fixture *fixture, bool (*wanted)(struct fixture *fixture))
{
	fixture->wanted = wanted;
	fixture->reached = false;
	uv_timer_start(&fixture->deadline, on_deadline, DEADLINE_MS, 0);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&fixture->deadline);
	fixture->wanted = NULL;
	if (!fixture->reached)
		fail_msg("not reached; the plan is:\n%s", reconciler_plan_text(fixture->reconciler));
}

static const struct object_status *status_of(struct fixture *fixture, const char *id)
{
	const struct object_status_list *statuses = reconciler_statuses(fixture->reconciler);

	for (size_t i = 0; i < statuses->count; i++) {
		if (strcmp(statuses->items[i].id, id) == 0)
			return &statuses->items[i];
	}
	return NULL;
}

static bool is_converged(struct fixture *fixture)
{
	return reconciler_is_converged(fixture->reconciler);
}

/* At least one observation that began behind the kick. */
static bool has_passed(struct fixture *fixture)
{
	return fixture->passes >= 2;
}

static bool exports_have_failed(struct fixture *fixture)
{
	const struct object_status *export = status_of(fixture, "d1.v1.s0"), *disk = status_of(fixture, "d1");

	return export != NULL && export->state == OBJECT_STATE_FAILED && disk->state == OBJECT_STATE_CONVERGED;
}

static bool one_is_stuck_and_the_other_done(struct fixture *fixture)
{
	const struct object_status *stuck = status_of(fixture, "d1.v1.s0"), *other = status_of(fixture, "d1.v1.s1");

	return stuck != NULL && stuck->state == OBJECT_STATE_FAILED && other != NULL &&
	       other->state == OBJECT_STATE_CONVERGED;
}

static void test_create_and_remove(void **state)
{
	struct fixture *f = *state;
	struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");
	struct object_ref removed = { .kind = OBJECT_KIND_VOLUME, .id = "v1", .revision = 77 };
	struct object_ref disk = { .kind = OBJECT_KIND_DISK, .id = "d8", .revision = 78 };
	const struct object_status *status;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	run_until(f, is_converged);
	status = status_of(f, "v1");
	assert_non_null(status);
	assert_int_equal(status->state, OBJECT_STATE_CONVERGED);
	assert_int_equal(status->revision, 9);
	*LIST_PUSH(&f->arena, &nothing.removed) = removed;
	*LIST_PUSH(&f->arena, &nothing.removed) = disk;
	want(f, &nothing);
	run_until(f, is_converged);
	status = status_of(f, "v1");
	assert_non_null(status);
	assert_int_equal(status->state, OBJECT_STATE_ABSENT);
	assert_int_equal(status->revision, 77);
	assert_int_equal(status_of(f, "d8")->state, OBJECT_STATE_ABSENT);
	assert_int_equal(reconciler_observed(f->reconciler)->dms.count, 0);
}

/* A pass neither acts nor says that all is as desired: nobody knows what is desired. */
static void pass_does_nothing(struct fixture *f, uint64_t changes)
{
	f->passes = 0;
	reconciler_kick(f->reconciler);
	run_until(f, has_passed);
	assert_int_equal(kernel_sim_changes(f->kernel), changes);
	assert_false(reconciler_is_converged(f->reconciler));
	assert_int_equal(reconciler_statuses(f->reconciler)->count, 0);
}

static void test_nothing_before_a_desired_state(void **state)
{
	struct fixture *f = *state;
	struct rig_agent agent = { .kernel = f->kernel };
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1), part;
	struct error error = { 0 };
	uint64_t changes;
	bool complete;

	/* What an agent before this one has made. */
	while (rig_wave(&agent, &desired) > 0)
		;
	buffer_free(&agent.log);
	rig_agent_restart(&agent);
	changes = kernel_sim_changes(f->kernel);
	pass_does_nothing(f, changes);
	/* Nor with the first part of a whole state, which names less than there is. */
	part = desired;
	part.exports.count = 0;
	part.complete = false;
	assert_int_equal(desired_store_take(f->store, &part, &complete, &error), 0);
	assert_false(complete);
	pass_does_nothing(f, changes);
	/* And with all of it: it is as it was, nothing is done. */
	want(f, &desired);
	run_until(f, is_converged);
	assert_int_equal(kernel_sim_changes(f->kernel), changes);
}

/* A change of which memory took only a part: the removal arrived, what was to be made was not kept. */
static void test_nothing_after_half_a_change(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1), change = desired;
	struct object_ref removed = { .kind = OBJECT_KIND_EXPORT, .id = "d1.v1.s1", .revision = 12 };
	struct desired_export added = desired.exports.items[1];
	struct error error = { 0 };
	uint64_t changes;
	bool complete;

	want(f, &desired);
	run_until(f, is_converged);
	changes = kernel_sim_changes(f->kernel);
	added.id = "d1.v7.s0";
	change.reset = false;
	change.disks.count = 0;
	change.exports = (struct desired_export_list){ 1, &added };
	change.removed = (struct object_ref_list){ 1, &removed };
	tsearch_fails_at = 4; /* two of the part, then the removal, then what is added */
	assert_int_not_equal(desired_store_take(f->store, &change, &complete, &error), 0);
	assert_int_equal(tsearch_fails_at, 0);
	pass_does_nothing(f, changes);
	want(f, &desired);
	run_until(f, is_converged);
	assert_int_equal(kernel_sim_changes(f->kernel), changes);
}

/* All is as desired, and nobody is about to look again. */
static void settle(struct fixture *f)
{
	run_until(f, is_converged);
	while (!pool_is_idle(f))
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void watch_hold(void)
{
	uv_timer_stop(watch_timer);
	watch_is_held = true;
}

static unsigned looks_before_work(struct fixture *f, const struct desired *desired)
{
	pthread_mutex_lock(&f->lock);
	f->looks = 0;
	f->looks_before_work = NOT_YET;
	pthread_mutex_unlock(&f->lock);
	f->passes = 0;
	want(f, desired);
	settle(f);
	assert_true(f->looks > 0);
	return f->looks_before_work;
}

/* What was just looked at need not be looked at again before work for another desired state begins; but nothing is
 * said of that state before. */
static void test_work_begins_at_once(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1), fewer = desired;

	fewer.exports.count = 1;
	stands_at_ms = 1000000;
	watch_hold();
	want(f, &desired);
	settle(f);
	assert_int_equal(looks_before_work(f, &fewer), 0);
	assert_int_equal(looks_before_work(f, &desired), 0);
	/* There is nothing to do: it is looked at, to say so. */
	assert_int_equal(looks_before_work(f, &desired), NOT_YET);
	/* Too long ago. */
	stands_at_ms += 600;
	assert_int_equal(looks_before_work(f, &fewer), 1);
	stands_at_ms = 0;
	watch_is_held = false;
}

static struct kernel_operations counting;
static uint64_t (*watch_really)(struct kernel *kernel);
static atomic_uint watches;

static uint64_t watch_counted(struct kernel *kernel)
{
	uint64_t digest = watch_really(kernel);

	watches++;
	return digest;
}

static bool has_watched(struct fixture *f)
{
	(void)f;
	return watches >= 3;
}

static void on_poll(uv_timer_t *timer)
{
	stop_if_reached(timer->data);
}

/* The watch sees what was done, and what was looked at behind it needs no other look. It is held up until all is done:
 * what it sees in the middle of the work is news, of course. */
static void test_own_work_is_not_looked_at_twice(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	static uv_timer_t poll; /* until the loop ends */
	unsigned looks;

	watch_hold();
	f->volume.controllers = f->volume.legs = 1;
	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	settle(f);
	pthread_mutex_lock(&f->lock);
	looks = f->looks;
	pthread_mutex_unlock(&f->lock);
	counting = *f->kernel->operations;
	watch_really = counting.watch;
	counting.watch = watch_counted;
	f->kernel->operations = &counting;
	watches = 0;
	watch_is_held = false;
	uv_timer_start(watch_timer, watch_callback, 0, 50);
	uv_timer_init(&f->loop, &poll);
	poll.data = f;
	__real_uv_timer_start(&poll, on_poll, 10, 10);
	run_until(f, has_watched);
	uv_close((uv_handle_t *)&poll, NULL);
	pthread_mutex_lock(&f->lock);
	assert_int_equal(f->looks, looks);
	pthread_mutex_unlock(&f->lock);
}

static void test_failure_is_told_and_retried(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1);

	fault_set(f, "host_allow", NULL, NULL);
	want(f, &desired);
	run_until(f, exports_have_failed);
	assert_non_null(strstr(status_of(f, "d1.v1.s0")->message, "refused for the test"));
	fault_set(f, NULL, NULL, NULL);
	run_until(f, is_converged);
	assert_int_equal(status_of(f, "d1.v1.s0")->state, OBJECT_STATE_CONVERGED);
}

static void test_stuck_call_blocks_only_its_own(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1);

	fault_set(f, NULL, "subsystem_create", ":slot:d1.v1.s0:");
	want(f, &desired);
	run_until(f, one_is_stuck_and_the_other_done);
	assert_non_null(strstr(status_of(f, "d1.v1.s0")->message, "does not return: nvmet   subsystem"));
	assert_true(is_hanging(f));
	release(f);
	run_until(f, is_converged);
	assert_int_equal(status_of(f, "d1.v1.s0")->state, OBJECT_STATE_CONVERGED);
}

static bool hangs(struct fixture *fixture)
{
	return is_hanging(fixture);
}

static bool parked_imports_are_gone(struct fixture *fixture)
{
	const struct observed *observed = reconciler_observed(fixture->reconciler);

	for (size_t i = 0; observed != NULL && i < observed->imports.count; i++) {
		if (strstr(observed->imports.items[i].nqn, ".s0:e1") != NULL)
			return false;
	}
	return observed != NULL;
}

static bool volume_is_linked(struct fixture *fixture)
{
	const struct observed_port_list *ports = &reconciler_observed(fixture->reconciler)->ports;

	for (size_t i = 0; i < ports->count; i++) {
		for (size_t j = 0; j < ports->items[i].subsystems.count; j++) {
			if (strstr(ports->items[i].subsystems.items[j], ":volume:v1") != NULL)
				return true;
		}
	}
	return false;
}

/* The slot begins anew where it is. What is below froze behind the look from which the reload was planned, and the
 * reload waits for it: until the import is dropped, which waits for the export to be out of reach. */
static void test_reload_over_what_froze_meanwhile_ends(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	run_until(f, is_converged);
	assert_true(volume_is_linked(f));
	fault_set(f, NULL, "dm_reload", "dnvme-volume-v1");
	f->volume.moved_to = 1;
	f->volume.may_not_serve = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	run_until(f, hangs);
	for (unsigned i = 1; i <= 2; i++) {
		const char *nqn = arena_printf(&f->arena, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d%u.v1.s0:e1", i);

		kernel_sim_path_set(f->kernel, nqn, arena_printf(&f->arena, "10.0.1.%u", i), "live", "inaccessible");
	}
	run_until(f, parked_imports_are_gone);
	assert_false(volume_is_linked(f));
	fault_set(f, NULL, NULL, NULL);
	release(f);
	run_until(f, is_converged);
	assert_true(volume_is_linked(f));
}

static bool path_is_lost(struct fixture *fixture)
{
	const struct volume_health_list *health = reconciler_health(fixture->reconciler);

	return health->count > 0 && health->items[0].members.count > 1 && health->items[0].members.items[1].path_lost;
}

/* Long before the next look at everything is due. */
static void test_lost_path_is_seen_soon(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error = { 0 };
	uint64_t begin;

	f->volume.controllers = f->volume.legs = 1;
	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	run_until(f, is_converged);
	assert_false(path_is_lost(f));
	assert_int_equal(reconciler_health(f->reconciler)->items[0].members.items[1].health, MEMBER_HEALTH_IN_SYNC);
	begin = clock_boot_ms();
	assert_int_equal(kernel_sim_import_set(f->kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d2.v1.s0:e1",
					       "connecting", "optimized", &error),
			 0);
	run_until(f, path_is_lost);
	assert_in_range(clock_boot_ms() - begin, 0, 2500);
}

static bool label_is_known(struct fixture *fixture, const char *device)
{
	const struct observed *observed = reconciler_observed(fixture->reconciler);

	for (size_t i = 0; observed != NULL && i < observed->labels.count; i++) {
		if (strcmp(observed->labels.items[i].device, device) == 0)
			return true;
	}
	return false;
}

static bool hangs_and_has_passed(struct fixture *fixture)
{
	return is_hanging(fixture) && fixture->passes >= 2;
}

/* What a lane makes is seen before it ends: an old label must not bear witness for it. */
static void test_label_is_void_while_it_is_written(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct desired_member *member;
	bool other, written;

	f->volume.controllers = f->volume.legs = 1;
	f->volume.top_wanted = false;
	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	want(f, &desired);
	run_until(f, is_converged);
	f->volume.format = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1];
	member->state = LD_STATE_STALE;
	member->since_ms = 4;
	want(f, &desired);
	run_until(f, is_converged);
	fault_set(f, NULL, "dm_reload", "dnvme-raid-v1.l0.g0");
	member->state = LD_STATE_REBUILDING;
	member->since_ms = 5;
	want(f, &desired);
	run_until(f, hangs);
	f->passes = 0;
	reconciler_kick(f->reconciler);
	run_until(f, hangs_and_has_passed);
	other = label_is_known(f, "dnvme-label-ld1");
	written = label_is_known(f, "dnvme-label-ld2");
	release(f);
	run_until(f, is_converged);
	assert_true(other);
	assert_false(written);
	assert_true(label_is_known(f, "dnvme-label-ld2"));
	assert_int_equal(reconciler_health(f->reconciler)->items[0].members.items[1].health, MEMBER_HEALTH_IN_SYNC);
}

static bool is_mapping(struct fixture *fixture)
{
	const struct object_status *status = status_of(fixture, "v1");

	return status != NULL && status->message != NULL &&
	       strstr(status->message, "mapping blocks of dnvme-thin-v1.l0: 0 %") != NULL;
}

static bool is_mapping_and_has_passed(struct fixture *fixture)
{
	return fixture->passes >= 2 && is_mapping(fixture);
}

static void test_mapping_tells_how_far_it_came(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	f->volume.controllers = f->volume.legs = 1;
	f->volume.format = true;
	fault_set(f, NULL, "block_fill", "dnvme-thin-v1.l0");
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	desired.volumes.items[0].legs.items[0].thick = true;
	want(f, &desired);
	run_until(f, is_mapping);
	/* Nothing of it is used before it is done. */
	for (size_t i = 0; i < reconciler_observed(f->reconciler)->dms.count; i++)
		assert_string_not_equal(reconciler_observed(f->reconciler)->dms.items[i].name, "dnvme-volume-v1");
	release(f);
	run_until(f, is_converged);
}

/* What takes long ends when nobody wants it any more, and what it holds goes. */
static void test_mapping_ends_when_it_is_unwanted(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	kernel_sim_fill_forever(f->kernel);
	f->volume.controllers = f->volume.legs = 1;
	f->volume.groups = 2;
	f->volume.formatted = f->volume.thick = f->volume.legs_wanted = f->volume.top_wanted = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	desired.volumes.items[0].grown = true;
	desired.volumes.items[0].legs.items[0].size_bytes *= 2;
	desired.volumes.items[0].legs.items[0].fill_from_bytes = f->volume.leg_bytes;
	want(f, &desired);
	run_until(f, is_mapping);
	/* Not because somebody looks. */
	for (int i = 0; i < 3; i++) {
		f->passes = 0;
		reconciler_kick(f->reconciler);
		run_until(f, is_mapping_and_has_passed);
	}
	desired = rig_desired_nothing(&f->arena, "cn1");
	want(f, &desired);
	run_until(f, is_converged);
	assert_int_equal(reconciler_observed(f->reconciler)->dms.count, 0);
}

static void test_reported(void **state)
{
	struct fixture *f = *state;
	struct object_status items[2] = {
		{ .kind = OBJECT_KIND_DISK, .id = "d1", .revision = 1, .state = OBJECT_STATE_PENDING, .message = "x" },
		{ .kind = OBJECT_KIND_VOLUME, .id = "v1", .revision = 1, .state = OBJECT_STATE_CONVERGED }
	};
	struct object_status_list statuses = { 2, items };
	struct observed_disk disk = { .path = "/dev/vdb", .size_bytes = 5 };
	struct observed_disk_list disks = { 1, &disk };
	struct volume_health_list health = { 0 };
	struct reported_news news = { &statuses, &health, &disks, 5000 };
	struct reported reported = { 0 };
	struct ld_errors errors = { .ld = 3, .writes = 1 };
	struct agent_report report;
	struct error error;

	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 2);
	assert_int_equal(report.inventory.count, 1);
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 0);
	assert_int_equal(report.inventory.count, 0);
	items[0].message = "y";
	disk.in_use = true;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 1);
	assert_string_equal(report.objects.items[0].message, "y");
	assert_int_equal(report.inventory.count, 1);
	disk.used_by = "filesystem ext4";
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 0);
	assert_int_equal(report.inventory.count, 1);
	assert_string_equal(report.inventory.items[0].used_by, "filesystem ext4");
	items[1].errors = (struct ld_errors_list){ 1, &errors };
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 1);
	assert_int_equal(report.objects.items[0].errors.items[0].ld, 3);
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 0);
	errors.reads = 1;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 1);
	reported_reset(&reported);
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.objects.count, 2);
	reported_reset(&reported);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create_and_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_before_a_desired_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_after_half_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_work_begins_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_work_is_not_looked_at_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_is_told_and_retried, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_call_blocks_only_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_over_what_froze_meanwhile_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label_is_void_while_it_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_path_is_seen_soon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping_tells_how_far_it_came, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping_ends_when_it_is_unwanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reported, setup, teardown),
	};

	log_open("test_agent_reconcile", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
