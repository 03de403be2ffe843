/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A member that moves to another disk: the group has one more for some time, and who stays keeps its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/test_agent_mirror_rig.h"
#include "tests/unit/test_text.h"

/* Of a group of ld1 and ld2: ld2 moves from d2 to d3, as ld3. */
static struct desired desired_moving(struct mirror *f, enum ld_state new_state, uint64_t since_ms,
				     enum ld_state old_state)
{
	struct desired desired;
	struct desired_member old;

	f->volume.copies = f->volume.disks = 3;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	f->volume.copies = f->volume.disks = 2;
	old = *mirror_member(&desired, 1);
	*mirror_member(&desired, 1) = *mirror_member(&desired, 2);
	mirror_member(&desired, 1)->state = new_state;
	mirror_member(&desired, 1)->since_ms = since_ms;
	mirror_member(&desired, 1)->unlabelled = new_state == LD_STATE_REBUILDING;
	*mirror_member(&desired, 2) = old;
	mirror_member(&desired, 2)->state = old_state;
	mirror_member(&desired, 2)->place = 2;
	return desired;
}

static struct desired desired_moved(struct mirror *f)
{
	struct desired desired = desired_moving(f, LD_STATE_IN_SYNC, 6, LD_STATE_STALE);

	desired.volumes.items[0].legs.items[0].groups.items[0].members.count = 2;
	return desired;
}

static void health_is(struct mirror *f, const struct desired *desired, const enum member_health *wanted, size_t count)
{
	struct volume_health health = mirror_health(f, desired);

	assert_int_equal(health.members.count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(health.members.items[i].health, wanted[i]);
}

/* ld3 is in the group, and is copied. */
static void move_in(struct mirror *f)
{
	struct desired desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_IN_SYNC);

	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
}

/* ld3 is in sync, and ld2 was dropped: its place is there, and empty. */
static void move_out(struct mirror *f)
{
	struct desired desired;

	move_in(f);
	mirror_log(f);
	desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_IN_SYNC);
	mirror_complete(f, &desired);
	desired = desired_moving(f, LD_STATE_IN_SYNC, 6, LD_STATE_STALE);
	mirror_log(f);
	while (strstr(mirror_log(f), " - -\n") == NULL)
		assert_int_not_equal(rig_wave(&f->agent, &desired), 0);
}

static void test_moves(void **state)
{
	static const enum member_health copying[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_REBUILDING,
						      MEMBER_HEALTH_IN_SYNC };
	static const enum member_health both[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_IN_SYNC,
						   MEMBER_HEALTH_IN_SYNC };
	static const enum member_health over[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_ABSENT };
	struct mirror *f = *state;
	struct desired desired;
	struct member_status old;
	struct error error;

	mirror_format(f);
	move_in(f);
	rig_golden("move_in", mirror_log(f));
	desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_IN_SYNC);
	health_is(f, &desired, copying, 3);
	mirror_complete(f, &desired);
	health_is(f, &desired, both, 3);
	desired = desired_moving(f, LD_STATE_IN_SYNC, 6, LD_STATE_IN_SYNC);
	assert_string_equal(mirror_plan(f, &desired), "");
	health_is(f, &desired, both, 3);
	mirror_log(f);
	desired = desired_moving(f, LD_STATE_IN_SYNC, 6, LD_STATE_STALE);
	rig_converge(&f->agent, &desired);
	rig_golden("move_out", mirror_log(f));
	health_is(f, &desired, over, 3);
	old = mirror_member_status(f, &desired, 2);
	assert_true(old.dropped && old.left && !old.kept);
	/* It leaves: the group is that of two already. */
	desired = desired_moved(f);
	assert_string_equal(mirror_plan(f, &desired), "");
	health_is(f, &desired, over, 2);
	/* And as any other one from then on. */
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "resync by dnvme-raidmeta-ld1,dnvme-raidmeta-ld3");
	health_is(f, &desired, over, 2);
}

/* The holder booted: what counts is assembled, in the order that is wanted. The label of the one that leaves says the
 * place that it had. */
static void test_assembled_meanwhile(void **state)
{
	static const enum member_health waits[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_ABSENT,
						    MEMBER_HEALTH_IN_SYNC };
	struct mirror *f = *state;
	struct desired desired;
	struct error error;
	const char *log;

	mirror_format(f);
	move_in(f);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	mirror_log(f);
	desired = desired_moving(f, LD_STATE_STALE, 6, LD_STATE_IN_SYNC);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "resync by dnvme-raidmeta-ld1,dnvme-raidmeta-ld2");
	health_is(f, &desired, waits, 3);
	/* And it begins anew. */
	desired = desired_moving(f, LD_STATE_REBUILDING, 7, LD_STATE_IN_SYNC);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "raid1 5 0 rebuild 1 region_size 1024 3 ");
}

/* Before the new one comes in the group runs as it did, and what happens to the others happens as ever. */
static void test_not_yet(void **state)
{
	static const enum member_health waits[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_ABSENT,
						    MEMBER_HEALTH_IN_SYNC };
	static const enum member_health lost[] = { MEMBER_HEALTH_ABSENT, MEMBER_HEALTH_ABSENT, MEMBER_HEALTH_IN_SYNC };
	struct mirror *f = *state;
	struct desired desired;
	struct error error;
	const char *log;

	mirror_format(f);
	desired = desired_moving(f, LD_STATE_STALE, 5, LD_STATE_IN_SYNC);
	assert_string_equal(mirror_plan(f, &desired), "");
	health_is(f, &desired, waits, 3);
	/* The place that a member has in the kernel counts when it is dropped: ld2 has the second one of two still. */
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 0, &error), 0);
	assert_int_equal(mirror_member_status(f, &desired, 0).health, MEMBER_HEALTH_FAILED);
	assert_int_equal(mirror_member_status(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
	mirror_member(&desired, 0)->state = LD_STATE_STALE;
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "raid1 3 0 region_size 1024 2 - - ");
	assert_contains(log, MIRROR);
	health_is(f, &desired, lost, 3);
	assert_true(mirror_member_status(f, &desired, 0).left);
}

/* A write to ld2 fails just before ld3 takes its place: the others say so of that place, and ld2 has another one now.
 * It is one that misses something all the same. */
static void test_fails_as_it_moves(void **state)
{
	static const enum member_health copied[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_REBUILDING,
						     MEMBER_HEALTH_REBUILDING };
	struct mirror *f = *state;
	struct desired desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_IN_SYNC);
	struct error error;

	mirror_format(f);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	mirror_log(f);
	while (strstr(mirror_plan(f, &desired), "rebuild 1") == NULL)
		assert_int_not_equal(rig_wave(&f->agent, &desired), 0);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 1, &error), 0);
	rig_converge(&f->agent, &desired);
	health_is(f, &desired, copied, 3);
}

/* The old one leaves while the new one is copied, as its disk failed: the copy begins again. */
static void test_old_one_fails(void **state)
{
	static const enum member_health copying[] = { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_REBUILDING,
						      MEMBER_HEALTH_ABSENT };
	struct mirror *f = *state;
	struct desired desired;
	struct error error;
	const char *log;

	mirror_format(f);
	move_in(f);
	mirror_log(f);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 2, &error), 0);
	desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_IN_SYNC);
	assert_int_equal(mirror_member_status(f, &desired, 2).health, MEMBER_HEALTH_FAILED);
	desired = desired_moving(f, LD_STATE_REBUILDING, 5, LD_STATE_STALE);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "raid1 3 0 region_size 1024 3 253:5 253:6 - - - -\n");
	assert_contains(log, "raid1 3 0 region_size 1024 2 253:5 253:6 - -\n");
	assert_contains(log, "raid1 5 0 rebuild 1 region_size 1024 2 253:5 253:6 ");
	health_is(f, &desired, copying, 3);
	mirror_complete(f, &desired);
	/* It leaves before the new one is called in sync: nothing is copied again. */
	desired.volumes.items[0].legs.items[0].groups.items[0].members.count = 2;
	assert_string_equal(mirror_plan(f, &desired), "");
	desired = desired_moved(f);
	assert_string_equal(mirror_plan(f, &desired), "");
}

/* A table changes its number of places only while nothing is copied. */
static void test_not_while_it_is_made_equal(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct observed observed;
	struct target target;
	struct plan plan;
	struct buffer text = BUFFER_INIT;
	struct error error;

	mirror_format(f);
	move_out(f);
	desired = desired_moved(f);
	observed = mirror_observe(f);
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (observed.dms.items[i].status != NULL)
			observed.dms.items[i].status = "raid1 3 aa- 512/145408 resync 0 0 -";
	}
	assert_int_equal(target_build(&desired, &f->arena, &target, &error), 0);
	assert_int_equal(plan_make(&observed, &target, &f->arena, &plan, &error), 0);
	assert_int_equal(plan_print(&plan, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_lacks((const char *)text.data, "reload");
	assert_contains((const char *)text.data, MIRROR " keeps a place that is empty until it is in sync");
	buffer_free(&text);
}

/* The next member begins to move before the empty place is gone. */
static void test_one_after_the_other(void **state)
{
	static const enum member_health wanted[] = { MEMBER_HEALTH_REBUILDING, MEMBER_HEALTH_IN_SYNC,
						     MEMBER_HEALTH_IN_SYNC };
	static const enum member_health before[] = { MEMBER_HEALTH_ABSENT, MEMBER_HEALTH_IN_SYNC,
						     MEMBER_HEALTH_IN_SYNC };
	struct mirror *f = *state;
	struct desired desired;
	struct desired_member_list *members;

	mirror_format(f);
	move_out(f);
	f->volume.copies = f->volume.disks = 4;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	f->volume.copies = f->volume.disks = 2;
	members = &desired.volumes.items[0].legs.items[0].groups.items[0].members;
	members->items[1] = members->items[2]; /* ld3 */
	members->items[2] = members->items[0];
	members->items[2].place = 1;
	members->items[0] = members->items[3]; /* ld4 */
	members->count = 3;
	members->items[0].state = LD_STATE_REBUILDING;
	members->items[0].since_ms = 9;
	members->items[0].unlabelled = true;
	health_is(f, &desired, before, 3);
	mirror_log(f);
	rig_converge(&f->agent, &desired);
	rig_golden("move_next", mirror_log(f));
	health_is(f, &desired, wanted, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moves, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_assembled_meanwhile, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_not_yet, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_fails_as_it_moves, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_old_one_fails, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_not_while_it_is_made_equal, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_one_after_the_other, mirror_setup, mirror_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
