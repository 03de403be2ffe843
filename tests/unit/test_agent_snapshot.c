/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A controller's part of a snapshot: each phase, and whoever dies or is too late in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/health.h"
#include "agent/planner.h"
#include "lib/base/clock.h"
#include "lib/base/error.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"

#define NUMBER 7
#define TOP "dnvme-volume-v1"
#define THIN "dnvme-thin-v1.l0"
#define POOL "dnvme-pool-v1.l0"

enum phase { IDLE, HOLD, SNAP, RELEASE };

struct fixture {
	struct rig_volume volume;
	struct rig_agent agent;
	struct arena arena;
	struct desired_pause pause;
	struct dropped_thin dropped[2];
	size_t dropped_count;
	bool shared, moved;
	struct volume_health health;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error error;

	assert_non_null(f);
	f->volume = rig_volume_default();
	f->volume.legs_wanted = f->volume.top_wanted = f->volume.formatted = true;
	f->pause.number = NUMBER;
	f->pause.limit_ms = LIMIT_PAUSE_MS_MAX;
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rig_agent_free(&f->agent);
	arena_free(&f->arena);
	free(f);
	return 0;
}

static struct desired told(struct fixture *f, enum phase phase)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);
	struct desired_volume *volume = &desired.volumes.items[0];

	f->pause.phase = (enum pause_phase)phase;
	volume->pause = phase != IDLE ? &f->pause : NULL;
	volume->dropped_thins = (struct dropped_thin_list){ f->dropped_count, f->dropped };
	for (size_t i = 0; i < volume->legs.count; i++)
		volume->legs.items[i].shared = volume->legs.items[i].local && f->shared;
	if (f->moved)
		volume->role = CONTROLLER_ROLE_STANDBY;
	return desired;
}

static const char *phase_log(struct fixture *f, enum phase phase)
{
	struct desired desired = told(f, phase);

	rig_converge(&f->agent, &desired);
	return rig_log_take(&f->agent, &f->arena);
}

static void begin(struct fixture *f)
{
	phase_log(f, IDLE);
}

static const struct pause_status *said(struct fixture *f, enum phase phase)
{
	struct health_memory memory = { 0 };
	struct volume_health_list health;
	struct observed observed;
	struct target target;
	struct error error;
	struct desired desired = told(f, phase);

	assert_int_equal(target_build(&desired, &f->arena, &target, &error), 0);
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	assert_int_equal(health_make(&desired, &target, &observed, &memory, 1, &f->arena, &health, &error), 0);
	health_memory_free(&memory);
	f->health = health.items[0];
	return f->health.pause;
}

static void assert_says(struct fixture *f, enum phase phase, enum pause_state state, bool made, const char *why)
{
	const struct pause_status *status = said(f, phase);

	assert_non_null(status);
	assert_int_equal(status->number, f->pause.number);
	assert_int_equal(status->state, state);
	assert_int_equal(status->made, made);
	if (why != NULL)
		assert_non_null(strstr(status->message, why));
}

static struct observed_dm look(struct fixture *f, const char *name)
{
	struct observed observed;
	struct error error;

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, name) == 0)
			return observed.dms.items[i];
	}
	fail_msg("there is no %s", name);
	return (struct observed_dm){ 0 };
}

static bool has_thin(struct fixture *f, uint64_t number)
{
	return kernel_sim_thin_exists(f->agent.kernel, POOL, number);
}

static void test_phases(void **state)
{
	static const char *const names[] = { "snapshot_hold", "snapshot_snap", "snapshot_release", "snapshot_over" };
	static const struct {
		enum pause_state state;
		bool made, suspended;
	} after[] = { { PAUSE_STATE_HELD, false, true },
		      { PAUSE_STATE_HELD, true, true },
		      { PAUSE_STATE_KEPT, true, false } };
	struct fixture *f = *state;

	begin(f);
	assert_null(said(f, IDLE));
	assert_int_equal(said(f, HOLD)->state, 0);
	for (int i = 0; i < 4; i++) {
		enum phase phase = i == 3 ? IDLE : (enum phase)(HOLD + i);

		rig_golden(names[i], phase_log(f, phase));
		/* A new process, too, finds nothing to do, and says the same. */
		rig_agent_restart(&f->agent);
		phase_log(f, phase);
		assert_string_equal(phase_log(f, phase), "--\n");
		if (i < 3)
			assert_says(f, phase, after[i].state, after[i].made, NULL);
		assert_int_equal(look(f, TOP).suspended, i < 3 && after[i].suspended);
		assert_int_equal(has_thin(f, NUMBER), i >= 1);
	}
	assert_null(said(f, IDLE));
}

/* No two answers are taken for one. */
static void test_told_again(void **state)
{
	struct fixture *f = *state;
	struct volume_health before, after;

	begin(f);
	phase_log(f, HOLD);
	said(f, HOLD);
	before = f->health;
	assert_true(health_is_same(&before, &before, true));
	phase_log(f, SNAP);
	said(f, SNAP);
	after = f->health;
	assert_false(health_is_same(&before, &after, true));
	said(f, IDLE);
	assert_false(health_is_same(&after, &f->health, true));
	f->pause.number++;
	said(f, HOLD);
	assert_false(health_is_same(&before, &f->health, true));
}

/* The attempt is given up in each phase: it lets go, and what it made goes. */
static void test_given_up(void **state)
{
	struct fixture *f = *state;

	begin(f);
	for (enum phase last = HOLD; last <= RELEASE; last++) {
		for (enum phase phase = HOLD; phase <= last; phase++)
			phase_log(f, phase);
		f->dropped[0] = (struct dropped_thin){ .thin = f->pause.number, .leg_bytes = f->volume.leg_bytes };
		f->dropped_count = last >= SNAP;
		if (last == SNAP)
			rig_golden("snapshot_given_up", phase_log(f, IDLE));
		else
			phase_log(f, IDLE);
		assert_false(look(f, TOP).suspended);
		assert_false(has_thin(f, f->pause.number));
		f->dropped_count = 0;
		assert_string_equal(phase_log(f, IDLE), "--\n");
		f->pause.number++;
	}
}

static uint64_t clock_shift_ms;

uint64_t __real_clock_boot_ms(void);
uint64_t __wrap_clock_boot_ms(void);
uint64_t __wrap_clock_boot_ms(void)
{
	return __real_clock_boot_ms() + clock_shift_ms;
}

/* The limit passes in each phase, with no agent there: what holds lets go, and nobody says that it was kept. */
static void test_limit(void **state)
{
	struct fixture *f = *state;

	begin(f);
	for (enum phase last = HOLD; last <= SNAP; last++) {
		for (enum phase phase = HOLD; phase <= last; phase++)
			phase_log(f, phase);
		assert_true(look(f, TOP).suspended);
		clock_shift_ms += LIMIT_PAUSE_MS_MAX;
		assert_false(look(f, TOP).suspended);
		assert_says(f, last, PAUSE_STATE_BROKEN, last == SNAP, "the limit is over");
		/* It makes nothing any more, nor is it asked to hold once more. */
		assert_string_equal(phase_log(f, SNAP), "--\n");
		assert_string_equal(phase_log(f, HOLD), "--\n");
		assert_string_equal(phase_log(f, RELEASE), "--\n");
		assert_int_equal(has_thin(f, f->pause.number), last == SNAP);
		assert_says(f, RELEASE, PAUSE_STATE_BROKEN, last == SNAP, "the limit is over");
		phase_log(f, IDLE);
		f->pause.number++;
	}
}

/* Somebody resumed it: the verdict says so at the end. */
static void test_resumed(void **state)
{
	struct fixture *f = *state;
	struct error error;

	begin(f);
	phase_log(f, HOLD);
	phase_log(f, SNAP);
	assert_int_equal(f->agent.kernel->operations->dm_resume(f->agent.kernel, TOP, &error), 0);
	assert_int_equal(f->agent.kernel->operations->dm_suspend(f->agent.kernel, TOP, &error), 0);
	phase_log(f, RELEASE);
	assert_says(f, RELEASE, PAUSE_STATE_BROKEN, true, "another process resumed it");
	assert_false(look(f, TOP).suspended);
}

/* What held it died, so that nobody resumes it: the agent does. */
static void test_killed(void **state)
{
	struct fixture *f = *state;

	begin(f);
	phase_log(f, HOLD);
	kernel_sim_pause_kill(f->agent.kernel, 1);
	assert_says(f, HOLD, PAUSE_STATE_BROKEN, false, "died");
	assert_true(look(f, TOP).suspended);
	rig_golden("snapshot_killed", phase_log(f, HOLD));
	assert_false(look(f, TOP).suspended);
	assert_says(f, SNAP, PAUSE_STATE_BROKEN, false, "died");
	phase_log(f, IDLE);
	/* Of one that held, as the leader was told, nothing is known any more. */
	assert_says(f, SNAP, PAUSE_STATE_BROKEN, false, "nothing is known of it");
	assert_string_equal(phase_log(f, SNAP), "--\n");
}

/* The slot moves on while its hosts are held up: the table changes once it is let go. */
static void test_moved(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	begin(f);
	phase_log(f, HOLD);
	f->moved = true;
	desired = told(f, IDLE);
	rig_wave(&f->agent, &desired);
	rig_golden("snapshot_moved", rig_log_take(&f->agent, &f->arena));
	rig_converge(&f->agent, &desired);
	assert_string_equal(look(f, TOP).targets.items[0].type, "error");
	assert_false(look(f, TOP).suspended);
}

static size_t count_notes(const struct plan *plan, const char *words)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->notes.count; i++)
		count += strstr(plan->notes.items[i].text, words) != NULL;
	return count;
}

/* A lost path: it would wait for that until the limit. */
static void test_frozen(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct plan plan;

	begin(f);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1",
					       "connecting", "optimized", &(struct error){ 0 }),
			 0);
	f->dropped[0] = (struct dropped_thin){ .thin = 3, .leg_bytes = f->volume.leg_bytes };
	f->dropped_count = 1;
	desired = told(f, HOLD);
	plan = rig_plan(&f->agent, &desired, &f->arena);
	assert_int_equal(plan.actions.count, 0);
	assert_int_equal(
		count_notes(&plan, "hosts are not held up for attempt 7 at a snapshot: " TOP " is not as wanted"), 1);
	assert_int_equal(count_notes(&plan, "thin device 3 is deleted once " POOL), 1);
}

/* One attempt at a time; and nothing is deleted as long as a process is there that may make it. */
static void test_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;

	begin(f);
	phase_log(f, HOLD);
	f->pause.number = NUMBER + 1;
	f->dropped[0] = (struct dropped_thin){ .thin = NUMBER, .leg_bytes = f->volume.leg_bytes };
	f->dropped_count = 1;
	desired = told(f, HOLD);
	rig_wave(&f->agent, &desired);
	log = rig_log_take(&f->agent, &f->arena);
	assert_non_null(strstr(log, "pause   release    v1 number 7\n"));
	assert_non_null(strstr(log, "attempt 8 at a snapshot waits until attempt 7 has let go"));
	assert_non_null(strstr(log, "thin device 7 is deleted once the process is gone that may make it"));
	assert_null(strstr(log, "delete     thin"));
	log = phase_log(f, HOLD);
	assert_non_null(strstr(log, "pause   hold       v1 number 8"));
	assert_non_null(strstr(log, "delete     thin device 7 of " POOL));
	assert_says(f, HOLD, PAUSE_STATE_HELD, false, NULL);
}

/* The pool stops to pass discards down, and goes on to when nothing is shared any more; with new groups at once, too.
 */
static void test_shared(void **state)
{
	struct fixture *f = *state;

	begin(f);
	f->shared = true;
	rig_golden("snapshot_shared", phase_log(f, IDLE));
	assert_non_null(strstr(look(f, POOL).targets.items[0].params, "1 no_discard_passdown"));
	f->shared = false;
	phase_log(f, IDLE);
	assert_null(strstr(look(f, POOL).targets.items[0].params, "no_discard_passdown"));
}

static void test_pool_differs(void **state)
{
	struct observed_target a = { 0, 100, "thin-pool", "253:1 253:2 128 5 0 " };
	struct observed_target b = { 0, 100, "thin-pool", "253:1 253:2 128 5 1 no_discard_passdown" };
	struct observed_target c = { 0, 200, "thin-pool", "253:1 253:2 128 9 1 no_discard_passdown" };
	struct observed_target d = { 0, 100, "thin-pool", "253:1 253:3 128 5 1 no_discard_passdown" };
	struct observed_target e = { 0, 100, "linear", "253:1 0" };

#define DIFFERS(x, y)                                                                                                  \
	planner_pool_differs(&(struct observed_target_list){ 1, x }, &(struct observed_target_list){ 1, y })
	(void)state;
	assert_true(DIFFERS(&a, &b));
	assert_false(DIFFERS(&a, &c)); /* it grows */
	assert_true(
		planner_table_grows(&(struct observed_target_list){ 1, &a }, &(struct observed_target_list){ 1, &c }));
	assert_false(DIFFERS(&a, &d));
	assert_false(DIFFERS(&e, &e));
#undef DIFFERS
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;

	begin(f);
	f->dropped[0] = (struct dropped_thin){ .thin = 3, .leg_bytes = f->volume.leg_bytes };
	f->dropped_count = 1;
	for (enum phase phase = HOLD; phase <= RELEASE; phase++) {
		struct desired desired = told(f, phase);

		do {
			struct observed observed;
			unsigned long n = 0;
			bool failed;

			assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed,
									      &(struct error){ 0 }),
					 0);
			observed.labels = f->agent.labels;
			do {
				struct health_memory memory = { 0 };
				struct volume_health_list health;
				struct arena arena = ARENA_INIT;
				struct target target;
				struct plan plan = { 0 };
				struct error error = { 0 };
				int code;

				failing_alloc_arm(++n);
				code = target_build(&desired, &arena, &target, &error);
				if (code == 0)
					code = plan_make(&observed, &target, &arena, &plan, &error);
				if (code == 0)
					code = health_make(&desired, &target, &observed, &memory, 1, &arena, &health,
							   &error);
				failed = failing_alloc_disarm();
				assert_int_equal(code, failed ? ERROR_INTERNAL : 0);
				health_memory_free(&memory);
				arena_free(&arena);
			} while (failed);
			assert_true(n > 5);
		} while (rig_wave(&f->agent, &desired) > 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_phases), TEST(test_told_again),   TEST(test_given_up),
		TEST(test_limit),  TEST(test_resumed),	    TEST(test_killed),
		TEST(test_moved),  TEST(test_frozen),	    TEST(test_one_after_the_other),
		TEST(test_shared), TEST(test_pool_differs), TEST(test_out_of_memory),
	};

	return cmocka_run_group_tests_name("agent_snapshot", tests, NULL, NULL);
}
