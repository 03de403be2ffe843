/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job that somebody asked for waits for, and when it fails; and that it keeps nothing from being served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/names.h"
#include "src/leader/operations.h"
#include "src/leader/standbys.h"
#include "tests/unit/test_leader_rig.h"

/* Slot 0 grows by a group of ld11 on d1 (n1) and ld12 on d2 (n2). */
struct scene {
	struct rig rig;
	struct operation operation;
	struct ld lds[2], unused;
	struct group groups[2];
	struct leaving_ld leaving;
	struct volume whole;
	struct leg legs[2];
};

static struct scene *scene_now;

static int step(const struct online_view *view, struct arena *arena, struct online_step *ret_step, struct error *error)
{
	return operations_step(view, &scene_now->operation, arena, ret_step, error);
}

static void scene_fill(struct rig *rig)
{
	struct scene *scene = scene_now;

	scene->operation = (struct operation){ .id = 5,
					       .kind = JOB_KIND_EXTEND,
					       .volume = RIG_VOLUME,
					       .phase = OPERATION_PHASE_EXPORTING,
					       .state = OPERATION_STATE_RUNNING };
	scene->lds[0] = (struct ld){ .id = 11, .disk = 1, .state = LD_STATE_IN_SYNC };
	scene->lds[1] = (struct ld){ .id = 12, .disk = 2, .state = LD_STATE_IN_SYNC };
	scene->groups[0] = rig->groups[0];
	scene->groups[1] = (struct group){ .members = { 2, scene->lds }, .state = GROUP_STATE_EXPORTING };
	rig->volume.operation = 5;
	scene->whole = rig->volume;
	scene->legs[0] = rig->legs[0];
	scene->legs[1] = rig->legs[1];
	scene->legs[0].groups = (struct group_list){ 2, scene->groups };
	scene->whole.legs.items = scene->legs;
	rig->view.whole = &scene->whole;
}

static void scene_open(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	scene_now = scene;
	rig_open(&scene->rig);
	scene_fill(&scene->rig);
}

static void expect_advance(struct scene *scene, enum operation_phase to)
{
	const struct command_job_advance *advance = rig_expect_command(&scene->rig, step)->job_advance;

	assert_non_null(advance);
	assert_int_equal(advance->id, 5);
	assert_int_equal(advance->from, scene->operation.phase);
	assert_int_equal(advance->to, to);
	assert_int_equal(advance->revision, RIG_REVISION);
}

static void test_exporting(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	expect_advance(&scene, OPERATION_PHASE_FORMATTING);
	rig_say(&scene.rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "export d2.v7.s0: node n2 says pending");
	rig_offline(&scene.rig, N2);
	rig_expect_wait(&scene.rig, step, "node n2 is offline");
	rig_close(&scene.rig);
	/* What a holder says that is about to be another one is worth nothing. */
	scene_open(&scene);
	scene.rig.slots[1].phase = SLOT_PHASE_FENCING;
	rig_expect_wait(&scene.rig, step, "slot 1 is in phase fencing");
	rig_close(&scene.rig);
}

static void test_holders(void **state)
{
	static const enum operation_phase phases[] = { OPERATION_PHASE_FORMATTING, OPERATION_PHASE_JOINING };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;

		scene_open(&scene);
		scene.operation.phase = phases[i];
		expect_advance(&scene, phases[i] + 1);
		/* A standby has nothing to do with it. */
		rig_offline(&scene.rig, C3);
		expect_advance(&scene, phases[i] + 1);
		rig_say(&scene.rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
		rig_expect_wait(&scene.rig, step, "node c2 says pending");
		rig_say(&scene.rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
		rig_offline(&scene.rig, C1);
		rig_expect_wait(&scene.rig, step, "node c1 is offline");
		rig_close(&scene.rig);
	}
}

static void test_resizing(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.operation.phase = OPERATION_PHASE_RESIZING;
	expect_advance(&scene, OPERATION_PHASE_OVER);
	rig_say(&scene.rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "node c3 says pending");
	rig_offline(&scene.rig, C3);
	expect_advance(&scene, OPERATION_PHASE_OVER);
	rig_close(&scene.rig);
}

static void test_undoing(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.operation.phase = OPERATION_PHASE_UNDOING;
	scene.operation.state = OPERATION_STATE_CANCELLING;
	expect_advance(&scene, OPERATION_PHASE_RELEASING);
	/* One that is away blocks nothing, nor does a slot that moves. */
	scene.rig.slots[0].phase = SLOT_PHASE_FENCING;
	rig_offline(&scene.rig, C1);
	expect_advance(&scene, OPERATION_PHASE_RELEASING);
	rig_say(&scene.rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "node c2 says pending");
	scene.operation.phase = OPERATION_PHASE_RELEASING;
	expect_advance(&scene, OPERATION_PHASE_OVER);
	scene.unused = (struct ld){ .id = 11, .disk = 1, .state = LD_STATE_STALE };
	scene.leaving = (struct leaving_ld){ .ld = &scene.unused, .operation = 4 };
	scene.whole.leaving = (struct leaving_ld_list){ 1, &scene.leaving };
	expect_advance(&scene, OPERATION_PHASE_OVER);
	scene.leaving.operation = 5;
	rig_say(&scene.rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "export d1.v7.s0");
	scene.operation.phase = OPERATION_PHASE_OVER;
	rig_expect_wait(&scene.rig, step, NULL);
	rig_close(&scene.rig);
}

static void expect_fail(struct scene *scene, const char *code, const char *words)
{
	const struct command_job_fail *fail = rig_expect_command(&scene->rig, step)->job_fail;

	assert_non_null(fail);
	assert_int_equal(fail->from, scene->operation.phase);
	assert_string_equal(fail->error->code, code);
	if (strstr(fail->error->message, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, fail->error->message);
}

static void test_deadline(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	rig_say(&scene.rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	scene.operation.deadline_ms = scene.rig.view.wall_ms + 700;
	rig_expect_wait(&scene.rig, step, "d2.v7.s0");
	assert_int_equal(scene.rig.step.look_again_ms, 700);
	scene.operation.deadline_ms = scene.rig.view.wall_ms;
	expect_fail(&scene, "DEADLINE_EXCEEDED", "it was in phase exporting when its deadline passed: export d2.v7.s0");
	/* What can go on goes on. */
	rig_say(&scene.rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_CONVERGED);
	expect_advance(&scene, OPERATION_PHASE_FORMATTING);
	/* Nothing is undone that is in use. */
	scene.operation.phase = OPERATION_PHASE_JOINING;
	rig_say(&scene.rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&scene.rig, step, "node c1 says pending");
	rig_close(&scene.rig);
}

static void test_lost(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.lds[1].state = LD_STATE_FREED;
	expect_fail(&scene, "FAILED_PRECONDITION", "ld12, which was to be part of it, went with its node");
	rig_close(&scene.rig);
}

/* Slots and members go by what is part of the legs. */
static void test_served(void **state)
{
	const struct volume *served;
	struct scene scene;
	struct error error;

	(void)state;
	scene_open(&scene);
	assert_int_equal(operations_served(&scene.whole, &scene.rig.arena, &served, &error), 0);
	assert_int_equal(served->legs.items[0].groups.count, 1);
	assert_int_equal(served->legs.items[1].groups.count, scene.legs[1].groups.count);
	assert_int_equal(scene.whole.legs.items[0].groups.count, 2);
	scene.groups[1].state = 0;
	assert_int_equal(operations_served(&scene.whole, &scene.rig.arena, &served, &error), 0);
	assert_int_equal(served->legs.items[0].groups.count, 2);
	scene.whole.operation = 0;
	assert_int_equal(operations_served(&scene.whole, &scene.rig.arena, &served, &error), 0);
	assert_ptr_equal(served, &scene.whole);
	rig_close(&scene.rig);
}

static void make_late(struct rig *rig)
{
	scene_fill(rig);
	rig_say(rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	scene_now->operation.deadline_ms = rig->view.wall_ms;
}

static void test_alloc(void **state)
{
	struct scene scene = { 0 };

	(void)state;
	scene_now = &scene;
	rig_failing_allocations(scene_fill, step);
	rig_failing_allocations(make_late, step);
}

/* --- a slot that somebody moves ----------------------------------------------------------------------------------- */

/* Slot 0 is to move from c1 to c3. */
static void scene_move(struct scene *scene)
{
	static struct operation_move_slot move = { .slot = 0, .from = "c1", .to = "c3" };

	memset(scene, 0, sizeof(*scene));
	scene_now = scene;
	rig_open(&scene->rig);
	scene->operation = (struct operation){ .id = 5,
					       .kind = JOB_KIND_MOVE_SLOT,
					       .volume = RIG_VOLUME,
					       .phase = OPERATION_PHASE_PREPARING,
					       .state = OPERATION_STATE_RUNNING,
					       .move_slot = &move };
	scene->rig.volume.operation = 5;
	scene->rig.slots[0].next = "c3";
	scene->rig.view.whole = &scene->rig.volume;
}

static void test_move_slot(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	scene_move(&scene);
	rig_expect_move(rig, 0, "c3", MOVE_REASON_ASKED);
	/* Whatever the move waits for, the job says. */
	rig_say(rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(rig, NULL, "controller v7: node c3 says pending");
	rig_expect_wait(rig, step, "controller v7: node c3 says pending");
	rig_say(rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig->slots[1].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(rig, step, "slot 0: it is to move to node c3 once slot 1 serves");
	rig->slots[1].phase = SLOT_PHASE_SERVING;
	rig_peer(rig, C2, 0, 1);
	rig_expect_wait(rig, step, "once all holders have their connections");
	rig_peer(rig, C2, 0, 0);
	rig->nodes[C3].cordoned = true;
	rig_expect_wait(rig, step, "slot 0: it is to move to node c3, but that node cannot take it");
	rig->nodes[C3].cordoned = false;
	rig->nodes[C3].health = HEALTH_SUSPECT;
	rig_expect_wait(rig, step, "but that node cannot take it");
	rig->nodes[C3].health = HEALTH_ONLINE;
	/* A holder that is lost does not wait for anybody. */
	rig_offline(rig, C1);
	rig_expect_move(rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig_close(rig);
}

/* There may be another standby that is better; one that is drained gives the slot to the one that was asked for. */
static void test_move_slot_target(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	scene_move(&scene);
	rig->controllers[rig->volume.controllers.count++] =
		(struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig_say(rig, C4, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig->nodes[C3].controllers = 9;
	rig_expect_move(rig, 0, "c3", MOVE_REASON_ASKED);
	rig->nodes[C1].draining = rig->nodes[C1].cordoned = true;
	rig_expect_move(rig, 0, "c3", MOVE_REASON_DRAIN);
	rig->nodes[C3].cordoned = true;
	rig_expect_move(rig, 0, "c4", MOVE_REASON_DRAIN);
	rig_close(rig);
}

/* The node that a job waits for is not one too many, and its place is not filled before. */
static void test_move_slot_standbys(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	scene_move(&scene);
	rig->nodes[C3].cordoned = true; /* so that nothing moves */
	rig_wait(rig, STANDBYS_CALM_MS);
	rig->volume.standbys = 0;
	rig_take(rig, standbys_step);
	assert_null(rig->step.command);
	rig->nodes[C1].health = HEALTH_SUSPECT;
	rig_take(rig, standbys_step);
	assert_null(rig->step.command);
	rig->nodes[C1].health = HEALTH_ONLINE;
	rig->volume.standbys = 1;
	rig_take(rig, NULL);
	assert_null(rig->step.command);
	assert_false(rig->step.add_standby);
	/* Given up: it goes, as it is one too many. */
	rig->volume.standbys = 0;
	rig->slots[0].next = NULL;
	assert_string_equal(rig_expect_command(rig, standbys_step)->controller_retire->node, "c3");
	/* One that is away for long is given up as any other standby, and so is the job. */
	rig->slots[0].next = "c3";
	rig_offline(rig, C3);
	rig->nodes[C3].offline_ms = STANDBYS_OFFLINE_MS;
	assert_string_equal(rig_expect_command(rig, standbys_step)->controller_retire->node, "c3");
	rig->controllers[2].role = CONTROLLER_ROLE_RETIRED;
	assert_string_equal(rig_expect_command(rig, step)->job_fail->error->message,
			    "node c3, to which slot 0 was to move, is no standby any more");
	rig_close(rig);
}

static void test_move_slot_over(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	scene_move(&scene);
	/* Its deadline. */
	rig->slots[1].phase = SLOT_PHASE_EXPORTING;
	scene.operation.deadline_ms = RIG_WALL + 50;
	rig_expect_wait(rig, step, "once slot 1 serves");
	assert_int_equal(rig->step.look_again_ms, 50);
	rig_wait(rig, 50);
	assert_non_null(strstr(rig_expect_command(rig, step)->job_fail->error->message, "once slot 1 serves"));
	/* Past the point of no return there is none; another slot does not matter. */
	rig->slots[0].next = NULL;
	scene.operation.phase = OPERATION_PHASE_MOVING;
	rig_move(rig, SLOT_PHASE_ASSEMBLING);
	rig_expect_wait(rig, step, "slot 0 is in phase assembling");
	rig->slots[0].phase = SLOT_PHASE_SERVING;
	assert_int_equal(rig_expect_command(rig, step)->job_advance->to, OPERATION_PHASE_OVER);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exporting),
		cmocka_unit_test(test_holders),
		cmocka_unit_test(test_resizing),
		cmocka_unit_test(test_undoing),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_move_slot),
		cmocka_unit_test(test_move_slot_target),
		cmocka_unit_test(test_move_slot_standbys),
		cmocka_unit_test(test_move_slot_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
