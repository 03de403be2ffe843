/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an attempt to make a snapshot waits for, when it is given up, and when the job fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/operations.h"
#include "src/leader/snapshots.h"
#include "tests/unit/test_leader_rig.h"

#define NUMBER 4u
#define LIMIT 2000u

struct scene {
	struct rig rig;
	struct operation operation;
	struct operation_snapshot parameters;
	struct snapshot snapshots[2];
	struct dropped_thin dropped[1];
};

static struct scene *scene_now;

static int step(const struct online_view *view, struct arena *arena, struct online_step *ret_step, struct error *error)
{
	return operations_step(view, &scene_now->operation, arena, ret_step, error);
}

static void scene_fill(struct rig *rig)
{
	struct scene *scene = scene_now;

	scene->parameters = (struct operation_snapshot){ .name = "now", .pause_limit_ms = LIMIT };
	scene->operation = (struct operation){ .id = 5,
					       .kind = JOB_KIND_SNAPSHOT,
					       .volume = RIG_VOLUME,
					       .phase = OPERATION_PHASE_JOINING,
					       .state = OPERATION_STATE_RUNNING,
					       .since_ms = RIG_WALL,
					       .snapshot = &scene->parameters };
	scene->snapshots[0] = (struct snapshot){ .name = "before", .state = SNAPSHOT_STATE_TAKEN, .thin = 2 };
	scene->snapshots[1] = (struct snapshot){
		.name = "now", .state = SNAPSHOT_STATE_TAKING, .thin = NUMBER, .pause_limit_ms = LIMIT
	};
	scene->dropped[0] = (struct dropped_thin){ .thin = 3 };
	rig->volume.operation = 5;
	rig->volume.snapshots = (struct snapshot_list){ 2, scene->snapshots };
	rig->view.whole = &rig->volume;
	rig->view.wall_ms = RIG_WALL;
}

static void scene_open(struct scene *scene, enum operation_phase phase)
{
	memset(scene, 0, sizeof(*scene));
	scene_now = scene;
	rig_open(&scene->rig);
	scene_fill(&scene->rig);
	scene->operation.phase = phase;
}

static void say(struct rig *rig, enum rig_node node, uint64_t number, enum pause_state state, bool made)
{
	struct pause_status pause = { .number = number, .state = state, .made = made };
	struct volume_health health = { .volume = RIG_VOLUME, .pause = &pause };

	if (state == PAUSE_STATE_BROKEN)
		pause.message = "the limit passed";
	assert_int_equal(reported_health_update(&rig->reported[node], &health, rig->view.now_ms, NULL), 0);
}

static void expect_advance(struct scene *scene, enum operation_phase to)
{
	const struct command_job_advance *advance = rig_expect_command(&scene->rig, step)->job_advance;

	assert_non_null(advance);
	assert_int_equal(advance->from, scene->operation.phase);
	assert_int_equal(advance->to, to);
	assert_int_equal(advance->revision, RIG_REVISION);
}

static void expect_retry(struct scene *scene, const char *words)
{
	const struct command_snapshot_retry *retry = rig_expect_command(&scene->rig, step)->snapshot_retry;

	assert_non_null(retry);
	assert_int_equal(retry->id, 5);
	assert_int_equal(retry->from, scene->operation.phase);
	assert_int_equal(retry->thin, NUMBER);
	assert_non_null(strstr(retry->error->message, words));
}

static void test_joining(void **state)
{
	struct member_status lost = { .ld = 1, .path_lost = true, .path_lost_ms = 300 };
	struct scene scene;

	(void)state;
	scene_open(&scene, OPERATION_PHASE_JOINING);
	expect_advance(&scene, OPERATION_PHASE_PAUSING);
	rig_say(&scene.rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "node c2 says pending");
	rig_say(&scene.rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	/* What is frozen would hold up the holding up. */
	rig_member(&scene.rig, C1, lost);
	rig_expect_wait(&scene.rig, step, "node c1 lost its path to ld1");
	rig_peer(&scene.rig, C1, 1, 300);
	rig_expect_wait(&scene.rig, step, "node c1 lost its path to slot 1");
	scene.operation.deadline_ms = scene.rig.view.wall_ms;
	assert_non_null(rig_expect_command(&scene.rig, step)->job_fail);
	scene.operation.deadline_ms = 0;
	rig_peer(&scene.rig, C1, 1, 0);
	expect_advance(&scene, OPERATION_PHASE_PAUSING);
	scene.rig.lds[1].state = LD_STATE_REBUILDING;
	rig_expect_wait(&scene.rig, step, "ld2 is being rebuilt");
	scene.rig.lds[1].state = LD_STATE_IN_SYNC;
	rig_offline(&scene.rig, C2);
	rig_expect_wait(&scene.rig, step, "node c2 is offline");
	rig_close(&scene.rig);
}

/* What was dropped goes first: it has the room; with a job and without one. */
static void test_purge(void **state)
{
	const struct command_thins_purge *purge;
	struct scene scene;

	(void)state;
	for (int job = 0; job < 2; job++) {
		rig_step purges = job ? step : snapshots_purge;

		scene_open(&scene, OPERATION_PHASE_JOINING);
		if (!job)
			rig_expect_wait(&scene.rig, purges, NULL);
		scene.rig.volume.dropped_thins = (struct dropped_thin_list){ 1, scene.dropped };
		purge = rig_expect_command(&scene.rig, purges)->thins_purge;
		assert_non_null(purge);
		assert_int_equal(purge->id, RIG_VOLUME);
		assert_int_equal(purge->revision, RIG_REVISION);
		rig_say_at(&scene.rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED, RIG_REVISION - 1);
		rig_expect_wait(&scene.rig, purges, "c1");
		rig_say(&scene.rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
		scene.rig.slots[1].phase = SLOT_PHASE_EXPORTING;
		rig_expect_wait(&scene.rig, purges, "slot 1 is in phase exporting");
		rig_close(&scene.rig);
	}
}

/* Both have to say it, of this attempt. */
static void test_attempt(void **state)
{
	static const struct {
		enum operation_phase phase, to;
		enum pause_state state;
		bool made;
	} rows[] = {
		{ OPERATION_PHASE_PAUSING, OPERATION_PHASE_SNAPPING, PAUSE_STATE_HELD, false },
		{ OPERATION_PHASE_SNAPPING, OPERATION_PHASE_RESUMING, PAUSE_STATE_HELD, true },
		{ OPERATION_PHASE_RESUMING, OPERATION_PHASE_OVER, PAUSE_STATE_KEPT, true },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct scene scene;

		scene_open(&scene, rows[i].phase);
		rig_expect_wait(&scene.rig, step, "node c1 has not said");
		assert_int_equal(scene.rig.step.look_again_ms, LIMIT + LIMIT_PAUSE_MARGIN_MS);
		say(&scene.rig, C1, NUMBER, rows[i].state, rows[i].made);
		rig_expect_wait(&scene.rig, step, "node c2 has not said");
		say(&scene.rig, C2, NUMBER - 1, rows[i].state, true);
		rig_expect_wait(&scene.rig, step, "node c2 has not said");
		if (rows[i].phase == OPERATION_PHASE_SNAPPING) {
			say(&scene.rig, C2, NUMBER, PAUSE_STATE_HELD, false);
			rig_expect_wait(&scene.rig, step, "node c2 has not said");
		}
		say(&scene.rig, C2, NUMBER, rows[i].state == PAUSE_STATE_KEPT ? PAUSE_STATE_HELD : PAUSE_STATE_KEPT,
		    true);
		rig_expect_wait(&scene.rig, step, "node c2 has not said");
		say(&scene.rig, C2, NUMBER, rows[i].state, rows[i].made);
		expect_advance(&scene, rows[i].to);
		/* One is enough, whatever the others say. */
		say(&scene.rig, C2, NUMBER, PAUSE_STATE_BROKEN, true);
		expect_retry(&scene, "node c2 let its hosts go on: the limit passed");
		rig_close(&scene.rig);
	}
}

static void test_given_up(void **state)
{
	const struct command_job_fail *fail;
	struct scene scene;

	(void)state;
	scene_open(&scene, OPERATION_PHASE_PAUSING);
	say(&scene.rig, C1, NUMBER, PAUSE_STATE_HELD, false);
	rig_offline(&scene.rig, C2);
	scene.rig.view.wall_ms = RIG_WALL + LIMIT + LIMIT_PAUSE_MARGIN_MS - 1;
	rig_expect_wait(&scene.rig, step, "node c2 has not said");
	assert_int_equal(scene.rig.step.look_again_ms, 1);
	scene.rig.view.wall_ms++;
	expect_retry(&scene, "in phase pausing node c2 said nothing in time");
	scene.parameters.tries = LIMIT_SNAPSHOT_TRIES - 1;
	fail = rig_expect_command(&scene.rig, step)->job_fail;
	assert_non_null(fail);
	assert_int_equal(fail->from, OPERATION_PHASE_PAUSING);
	assert_string_equal(fail->error->code, "DEADLINE_EXCEEDED");
	rig_close(&scene.rig);
}

static void make_late(struct rig *rig)
{
	scene_fill(rig);
	scene_now->operation.phase = OPERATION_PHASE_SNAPPING;
	rig->view.wall_ms += 10 * LIMIT;
}

static void make_lost(struct rig *rig)
{
	scene_fill(rig);
	rig_peer(rig, C1, 1, 300);
}

static void test_alloc(void **state)
{
	struct scene scene = { 0 };

	(void)state;
	scene_now = &scene;
	rig_failing_allocations(scene_fill, step);
	rig_failing_allocations(make_late, step);
	rig_failing_allocations(make_lost, step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joining),	 cmocka_unit_test(test_purge), cmocka_unit_test(test_attempt),
		cmocka_unit_test(test_given_up), cmocka_unit_test(test_alloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
