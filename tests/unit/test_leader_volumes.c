/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One volume: two slots with one leg each, two copies, one standby.
 *   leg 0 (slot 0): ld1 on d1, ld2 on d2      leg 1 (slot 1): ld3 on d2, ld4 on d3 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/volumes.h"
#include "tests/unit/failing_alloc.h"

#define REVISION 40u

struct rig {
	struct ld lds[4];
	struct group groups[2];
	struct leg legs[2];
	struct slot slots[2];
	struct controller controllers[3];
	struct volume volume;
	struct object_status statuses[16];
	struct arena arena;
	struct volumes_parts parts;
	struct volumes_step step;
	struct error error;
};

static const char *const disk_nodes[] = { NULL, "n1", "n2", "n3" };

static void rig_open(struct rig *rig, enum volume_phase phase)
{
	static const uint64_t disks[] = { 1, 2, 2, 3 };

	memset(rig, 0, sizeof(*rig));
	for (size_t i = 0; i < 4; i++)
		rig->lds[i] = (struct ld){ .id = i + 1, .disk = disks[i], .state = LD_STATE_IN_SYNC };
	for (size_t i = 0; i < 2; i++) {
		rig->groups[i].members = (struct ld_list){ 2, &rig->lds[2 * i] };
		rig->legs[i] = (struct leg){ .slot = i, .groups = { 1, &rig->groups[i] } };
	}
	rig->controllers[0] = (struct controller){ .node = "c1", .role = CONTROLLER_ROLE_ACTIVE };
	rig->controllers[1] = (struct controller){ .node = "c2", .role = CONTROLLER_ROLE_ACTIVE, .slot = 1 };
	rig->controllers[2] = (struct controller){ .node = "c3", .role = CONTROLLER_ROLE_STANDBY };
	rig->volume = (struct volume){ .id = 7,
				       .name = "vol",
				       .phase = phase,
				       .revision = REVISION,
				       .controllers = { 3, rig->controllers },
				       .legs = { 2, rig->legs } };
	assert_int_equal(volumes_parts_list(&rig->volume, &rig->arena, &rig->parts, &rig->error), 0);
	for (size_t i = 0; i < rig->parts.count; i++) {
		if (rig->parts.items[i].kind == OBJECT_KIND_EXPORT)
			rig->parts.items[i].node = disk_nodes[rig->parts.items[i].disk];
		rig->parts.items[i].health = HEALTH_ONLINE;
	}
}

static void rig_close(struct rig *rig)
{
	arena_free(&rig->arena);
}

/* What a node says of a part. */
static void say(struct rig *rig, size_t part, enum object_state state, uint64_t revision)
{
	assert_true(part < rig->parts.count);
	rig->statuses[part] = (struct object_status){ .kind = rig->parts.items[part].kind,
						      .id = rig->parts.items[part].id,
						      .state = state,
						      .revision = revision };
	rig->parts.items[part].status = &rig->statuses[part];
}

static void step(struct rig *rig)
{
	assert_int_equal(volumes_step(&rig->volume, &rig->parts, &rig->arena, &rig->step, &rig->error), 0);
}

static void expect_wait(struct rig *rig, const char *words)
{
	step(rig);
	assert_null(rig->step.advance);
	assert_null(rig->step.free);
	assert_non_null(rig->step.waits_for);
	if (strstr(rig->step.waits_for, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", rig->step.waits_for, words);
}

static void expect_advance(struct rig *rig, enum volume_phase to)
{
	step(rig);
	assert_null(rig->step.free);
	assert_null(rig->step.waits_for);
	assert_non_null(rig->step.advance);
	assert_int_equal(rig->step.advance->id, 7);
	assert_int_equal(rig->step.advance->from, rig->volume.phase);
	assert_int_equal(rig->step.advance->to, to);
	assert_int_equal(rig->step.advance->revision, REVISION);
}

/* Parts 0..2 are the controllers, 3..6 the exports d1.s0, d2.s0, d2.s1, d3.s1. */
static void test_parts(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_PLACED);
	assert_int_equal(rig.parts.count, 7);
	assert_string_equal(rig.parts.items[0].id, "v7");
	assert_string_equal(rig.parts.items[2].node, "c3");
	assert_string_equal(rig.parts.items[3].id, "d1.v7.s0");
	assert_string_equal(rig.parts.items[4].id, "d2.v7.s0");
	assert_string_equal(rig.parts.items[5].id, "d2.v7.s1");
	assert_string_equal(rig.parts.items[6].id, "d3.v7.s1");
	rig_close(&rig);

	/* Two LDs of one slot on one disk share an export; freed ones have none. */
	rig_open(&rig, VOLUME_PHASE_PLACED);
	rig.lds[1].disk = 1;
	rig.lds[3].state = LD_STATE_FREED;
	assert_int_equal(volumes_parts_list(&rig.volume, &rig.arena, &rig.parts, &rig.error), 0);
	assert_int_equal(rig.parts.count, 5);
	assert_string_equal(rig.parts.items[3].id, "d1.v7.s0");
	assert_string_equal(rig.parts.items[4].id, "d2.v7.s1");
	rig_close(&rig);
}

static void test_placed(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_PLACED);
	expect_wait(&rig, "export d1.v7.s0: node n1 has not reported it yet");
	for (size_t i = 3; i < 7; i++)
		say(&rig, i, OBJECT_STATE_CONVERGED, REVISION);
	say(&rig, 5, OBJECT_STATE_PENDING, REVISION);
	rig.statuses[5].message = "wiping";
	expect_wait(&rig, "export d2.v7.s1: node n2 says pending, wanted is converged: wiping");
	say(&rig, 5, OBJECT_STATE_CONVERGED, REVISION - 1);
	expect_wait(&rig, "node n2 is at revision 39, wanted is 40");
	/* Nobody goes up without an offline node. */
	rig.parts.items[5].health = HEALTH_OFFLINE;
	expect_wait(&rig, "node n2 is offline");
	rig.parts.items[5].health = HEALTH_ONLINE;
	say(&rig, 5, OBJECT_STATE_CONVERGED, REVISION + 1);
	expect_advance(&rig, VOLUME_PHASE_ASSEMBLING);
	rig_close(&rig);
}

static void test_assembling(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_ASSEMBLING);
	say(&rig, 0, OBJECT_STATE_CONVERGED, REVISION);
	expect_wait(&rig, "controller v7: node c2");
	say(&rig, 1, OBJECT_STATE_FAILED, REVISION);
	expect_wait(&rig, "says failed");
	say(&rig, 1, OBJECT_STATE_CONVERGED, REVISION);
	/* The standby and the exports do not matter here. */
	expect_advance(&rig, VOLUME_PHASE_EXPORTING);
	rig_close(&rig);
}

static void test_exporting(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_EXPORTING);
	say(&rig, 0, OBJECT_STATE_CONVERGED, REVISION);
	say(&rig, 1, OBJECT_STATE_CONVERGED, REVISION);
	expect_wait(&rig, "controller v7: node c3");
	say(&rig, 2, OBJECT_STATE_CONVERGED, REVISION);
	expect_advance(&rig, VOLUME_PHASE_ONLINE);
	rig.volume.phase = VOLUME_PHASE_ONLINE;
	step(&rig);
	assert_null(rig.step.advance);
	assert_null(rig.step.free);
	assert_null(rig.step.waits_for);
	rig_close(&rig);
}

static void test_going_down(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_UNEXPORTING);
	say(&rig, 0, OBJECT_STATE_CONVERGED, REVISION);
	say(&rig, 1, OBJECT_STATE_CONVERGED, REVISION);
	expect_wait(&rig, "node c3");
	/* Unknown and suspect are no verdict. */
	rig.parts.items[2].health = HEALTH_UNKNOWN;
	expect_wait(&rig, "node c3");
	rig.parts.items[2].health = HEALTH_SUSPECT;
	expect_wait(&rig, "node c3");
	rig.parts.items[2].health = HEALTH_OFFLINE;
	expect_advance(&rig, VOLUME_PHASE_DISMANTLING);

	rig.volume.phase = VOLUME_PHASE_DISMANTLING;
	expect_wait(&rig, "controller v7: node c1 says converged, wanted is absent");
	say(&rig, 0, OBJECT_STATE_ABSENT, REVISION);
	say(&rig, 1, OBJECT_STATE_ABSENT, REVISION - 1);
	expect_wait(&rig, "node c2 is at revision");
	say(&rig, 1, OBJECT_STATE_ABSENT, REVISION);
	expect_advance(&rig, VOLUME_PHASE_RELEASING);
	rig_close(&rig);
}

static void test_releasing(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_RELEASING);
	expect_wait(&rig, "export d1.v7.s0");
	/* "Converged" is no confirmation that an LD is gone, and neither is an old "absent". */
	say(&rig, 3, OBJECT_STATE_CONVERGED, REVISION);
	say(&rig, 4, OBJECT_STATE_ABSENT, REVISION - 1);
	expect_wait(&rig, "export d1.v7.s0");
	say(&rig, 4, OBJECT_STATE_ABSENT, REVISION);
	say(&rig, 6, OBJECT_STATE_ABSENT, REVISION);
	step(&rig);
	assert_null(rig.step.advance);
	assert_non_null(rig.step.free);
	assert_int_equal(rig.step.free->volume, 7);
	assert_int_equal(rig.step.free->lds.count, 2);
	assert_string_equal(rig.step.free->lds.items[0], "ld2");
	assert_string_equal(rig.step.free->lds.items[1], "ld4");

	/* An offline node frees nothing, whatever it said before. */
	rig.parts.items[4].health = HEALTH_OFFLINE;
	step(&rig);
	assert_int_equal(rig.step.free->lds.count, 1);
	assert_string_equal(rig.step.free->lds.items[0], "ld4");
	rig_close(&rig);

	rig_open(&rig, VOLUME_PHASE_RELEASING);
	for (size_t i = 3; i < 7; i++) {
		say(&rig, i, OBJECT_STATE_ABSENT, REVISION);
		rig.parts.items[i].health = HEALTH_OFFLINE;
	}
	expect_wait(&rig, "is offline");
	rig_close(&rig);

	/* What is freed already is not freed again. */
	rig_open(&rig, VOLUME_PHASE_RELEASING);
	rig.lds[0].state = rig.lds[1].state = rig.lds[2].state = LD_STATE_FREED;
	say(&rig, 6, OBJECT_STATE_ABSENT, REVISION);
	step(&rig);
	assert_int_equal(rig.step.free->lds.count, 1);
	assert_string_equal(rig.step.free->lds.items[0], "ld4");
	rig_close(&rig);
}

static void test_converged(void **state)
{
	const char *waits_for = "untouched";
	struct rig rig;

	(void)state;
	rig_open(&rig, VOLUME_PHASE_ONLINE);
	say(&rig, 0, OBJECT_STATE_CONVERGED, REVISION);
	say(&rig, 1, OBJECT_STATE_CONVERGED, REVISION - 1);
	rig.parts.items[2].health = HEALTH_OFFLINE;
	assert_int_equal(volumes_converged(&rig.volume, &rig.parts, REVISION, &rig.arena, &waits_for, &rig.error), 0);
	assert_non_null(strstr(waits_for, "node c2"));
	/* Older revisions were confirmed. */
	assert_int_equal(volumes_converged(&rig.volume, &rig.parts, REVISION - 1, &rig.arena, &waits_for, &rig.error),
			 0);
	assert_null(waits_for);
	rig.parts.items[1].health = HEALTH_SUSPECT;
	assert_int_equal(volumes_converged(&rig.volume, &rig.parts, REVISION, &rig.arena, &waits_for, &rig.error), 0);
	assert_non_null(waits_for);
	say(&rig, 1, OBJECT_STATE_ABSENT, REVISION);
	assert_int_equal(volumes_converged(&rig.volume, &rig.parts, REVISION, &rig.arena, &waits_for, &rig.error), 0);
	assert_null(waits_for);
	/* Nobody was told of a controller yet. */
	rig.parts.items[1].status = NULL;
	rig.volume.phase = VOLUME_PHASE_PLACED;
	waits_for = "untouched";
	assert_int_equal(volumes_converged(&rig.volume, &rig.parts, REVISION, &rig.arena, &waits_for, &rig.error), 0);
	assert_null(waits_for);
	rig_close(&rig);
}

static void test_failing_allocations(void **state)
{
	static const enum volume_phase phases[] = { VOLUME_PHASE_PLACED, VOLUME_PHASE_EXPORTING,
						    VOLUME_PHASE_RELEASING };

	(void)state;
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
		bool failed = true;

		for (unsigned long n = 1; failed; n++) {
			struct arena arena = ARENA_INIT;
			struct volumes_step step_made = { 0 };
			struct volumes_parts parts;
			struct error error;
			struct rig rig;
			int rv;

			rig_open(&rig, phases[p]);
			say(&rig, 3, OBJECT_STATE_ABSENT, REVISION);
			failing_alloc_arm(n);
			rv = volumes_parts_list(&rig.volume, &arena, &parts, &error);
			if (rv == 0)
				rv = volumes_step(&rig.volume, &rig.parts, &arena, &step_made, &error);
			failed = failing_alloc_disarm();
			assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
			if (failed)
				assert_true(step_made.advance == NULL && step_made.free == NULL &&
					    step_made.waits_for == NULL);
			arena_free(&arena);
			rig_close(&rig);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),	   cmocka_unit_test(test_placed),
		cmocka_unit_test(test_assembling), cmocka_unit_test(test_exporting),
		cmocka_unit_test(test_going_down), cmocka_unit_test(test_releasing),
		cmocka_unit_test(test_converged),  cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
