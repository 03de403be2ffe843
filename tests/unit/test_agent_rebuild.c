/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that are copied as a whole: when that begins, and when it is complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/label.h"
#include "agent/superblock.h"
#include "tests/unit/test_agent_mirror_rig.h"
#include "tests/unit/test_text.h"

/* All were in sync, and then member 1 was lost. */
static void format_and_lose(struct mirror *f)
{
	struct desired desired;

	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
}

/* What cn1 is told with three copies, members 1 and 2 in states. */
static struct desired desired_of_three(struct mirror *f, enum ld_state one, uint64_t one_ms, enum ld_state two,
				       uint64_t two_ms)
{
	struct desired desired = mirror_desired(f, one, one_ms);
	struct desired_member *member = mirror_member(&desired, 2);

	member->state = two;
	member->since_ms = two_ms;
	return desired;
}

static void test_rebuild(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct member_status member;
	struct error error;

	format_and_lose(f);
	mirror_log(f);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	desired.volumes.items[0].legs.items[0].rebuild_rate_bytes = UINT64_C(10) << 20;
	rig_converge(&f->agent, &desired);
	rig_golden("member_rebuilds", mirror_log(f));
	member = mirror_member_status(f, &desired, 1);
	assert_int_equal(member.health, MEMBER_HEALTH_REBUILDING);
	assert_int_equal(member.done_bytes, 0);
	assert_int_equal(member.total_bytes, 145408 * 512);
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, MIRROR, 1000, &error), 0);
	assert_int_equal(mirror_member_status(f, &desired, 1).done_bytes, 1000 * 512);
	mirror_complete(f, &desired);
	rig_golden("member_complete", mirror_log(f));
	member = mirror_member_status(f, &desired, 1);
	assert_int_equal(member.health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member.epoch, 1);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 6);
	assert_string_equal(mirror_plan(f, &desired), "");
	/* From now on it is assembled as the others are. */
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "resync by dnvme-raidmeta-ld1,dnvme-raidmeta-ld2");
}

static void test_incomplete_superblock(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	struct error error;

	format_and_lose(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, MIRROR, 145408, &error), 0);
	superblock_make(block, 1, false);
	assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, "dnvme-raidmeta-ld2", 0, block,
								  sizeof(block), &error),
			 0);
	rig_wave(&f->agent, &desired);
	assert_int_equal(f->agent.error.code, ERROR_UNAVAILABLE);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
}

static void test_half_rebuilt_is_not_assembled(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct error error;

	format_and_lose(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	/* Whoever says that it is in sync is wrong. */
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	mirror_log(f);
	while (rig_wave(&f->agent, &desired) > 0)
		assert_true(f->agent.error.code == 0 || f->agent.error.code == ERROR_CONFLICT);
	for (size_t i = 0; i < mirror_observe(f).dms.count; i++)
		assert_string_not_equal(mirror_observe(f).dms.items[i].name, MIRROR);
	assert_contains(mirror_plan(f, &desired),
			"fails   v1  ld2 cannot be assembled as member 1 of group 0 of leg 0: "
			"its label says that it was not formatted");
}

static void test_another_rebuild_begins_anew(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	const char *log, *dropped, *added;

	format_and_lose(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	mirror_log(f);
	/* In sync, stale and rebuilding again, all before this agent heard of it: it looks complete, and is not. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 9);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	dropped =
		strstr(log, "dm      reload     " MIRROR "  after flushing dnvme-raiddata-ld1  0 145408 raid raid1 3 0 "
			    "region_size 1024 2 ");
	added = strstr(log, "raid1 5 0 rebuild 1 region_size");
	assert_non_null(dropped);
	assert_non_null(added);
	assert_true(dropped < added);
	assert_contains(log, " - -\n");
	/* So does one that never was in the group by a rebuild. */
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 10);
	f->volume.legs_wanted = false;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 10);
	rig_converge(&f->agent, &desired);
	f->volume.legs_wanted = true;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 10);
	rig_converge(&f->agent, &desired);
	mirror_log(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 9);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
}

/* Once it was called in sync, the leader may commit that at any moment: from then on it must not miss a write. */
static void test_complete_and_another_leaves(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	const char *log;
	bool forgotten = false;

	f->volume.copies = f->volume.disks = 3;
	mirror_format(f);
	desired = desired_of_three(f, LD_STATE_STALE, 4, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(mirror_member_status(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
	/* The other one is given up: once its path is gone, it leaves by a table of those that the leader calls in
	 * sync. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_STALE, 6);
	assert_contains(mirror_plan(f, &desired), "is not changed before the path to ld3 is gone\n");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	/* … or begins anew. Whether it does is not known before its label is. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 7);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	for (size_t i = 0; i < f->agent.labels.count && !forgotten; i++) {
		if (strcmp(f->agent.labels.items[i].device, "dnvme-label-ld3") != 0)
			continue;
		f->agent.labels.items[i] = f->agent.labels.items[--f->agent.labels.count];
		forgotten = true;
	}
	assert_true(forgotten);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	mirror_log(f);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, " - - - -\n");
	assert_contains(log, "rebuild 1 rebuild 2");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
}

static void test_complete_and_another_comes(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	const char *log;

	f->volume.copies = f->volume.disks = 3;
	mirror_format(f);
	desired = desired_of_three(f, LD_STATE_STALE, 4, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	mirror_log(f);
	/* The table with the other one would say "rebuild" of that one only. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 6);
	for (int i = 0; i < 5; i++) {
		rig_wave(&f->agent, &desired);
		assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	}
	log = mirror_log(f);
	assert_lacks(log, "reload");
	assert_contains(log, "a rebuild in " MIRROR " waits for the one that is going on");
	desired = desired_of_three(f, LD_STATE_IN_SYNC, 7, LD_STATE_REBUILDING, 6);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "0 rebuild 2 region_size");
	assert_lacks(log, "- -\n");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(mirror_member_status(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
}

/* Each way in which "complete" may be about something else than the member's present rebuild. */
static void test_complete_of_another_time(void **state)
{
	struct mirror *f = *state;
	struct desired complete, desired;
	struct ld_label *label = NULL;
	struct error error;

	format_and_lose(f);
	complete = mirror_desired(f, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &complete);
	assert_int_equal(mirror_member_status(f, &complete, 1).health, MEMBER_HEALTH_IN_SYNC);
	for (size_t i = 0; i < f->agent.labels.count; i++) {
		if (strcmp(f->agent.labels.items[i].device, "dnvme-label-ld2") == 0)
			label = f->agent.labels.items[i].label;
	}
	assert_non_null(label);
	/* A later rebuild, an earlier one. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 6);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 4);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	/* Given up, and it is still in the group. */
	desired = mirror_desired(f, LD_STATE_STALE, 6);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	/* Another epoch: the group of this one does not run yet. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	desired.volumes.items[0].legs.items[0].epoch = 2;
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	assert_int_equal(mirror_member_status(f, &desired, 0).health, MEMBER_HEALTH_ABSENT);
	/* The label of an earlier epoch, or not complete. */
	label->epoch = 9;
	assert_int_equal(mirror_member_status(f, &complete, 1).health, MEMBER_HEALTH_ABSENT);
	label->epoch = 1;
	label->formatted = false;
	assert_int_equal(mirror_member_status(f, &complete, 1).health, MEMBER_HEALTH_REBUILDING);
	label->formatted = true;
	/* The label says so, the kernel does not. */
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 1, &error), 0);
	assert_int_equal(mirror_member_status(f, &complete, 1).health, MEMBER_HEALTH_FAILED);
}

static void test_new_member_needs_no_label(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct desired_member *member;
	uint8_t other[LABEL_BLOCK_BYTES];
	const char *log;

	format_and_lose(f);
	/* ld9 on another disk takes the place of ld2. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	member = mirror_member(&desired, 1);
	member->ld = 9;
	member->unlabelled = true;
	member->nqn = "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d3.v1.s0:e1";
	member->uuid[0] ^= 1;
	memset(other, 7, sizeof(other));
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "label   write      dnvme-label-ld9  ld9 of v1.l0.g0, being rebuilt\n");
	assert_contains(log, "label   write      dnvme-label-ld9  ld9 of v1.l0.g0, complete as dnvme-raidmeta-ld9\n");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(mirror_member_status(f, &desired, 1).ld, 9);
	/* Without that word there must be a label, and there is none on a disk nobody knows. */
	desired = mirror_desired(f, LD_STATE_STALE, 6);
	rig_converge(&f->agent, &desired);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 7);
	member = mirror_member(&desired, 1);
	member->ld = 2;
	desired.volumes.items[0].legs.items[0].epoch = 1;
	while (rig_wave(&f->agent, &desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
}

/* A rebuild says to the kernel that the others are equal. */
static void test_rebuild_waits_for_resync(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct observed observed;
	struct target target;
	struct buffer text = BUFFER_INIT;
	struct plan plan;
	struct error error = { 0 };

	format_and_lose(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	while (strstr(mirror_plan(f, &desired), "reload") == NULL)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	observed = mirror_observe(f);
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, MIRROR) == 0)
			observed.dms.items[i].status = "raid1 2 a- 512/145408 resync 0 0 -";
	}
	assert_int_equal(target_build(&desired, &f->arena, &target, &error), 0);
	assert_int_equal(plan_make(&observed, &target, &f->arena, &plan, &error), 0);
	assert_int_equal(plan_print(&plan, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_lacks((const char *)text.data, "reload");
	assert_contains((const char *)text.data, "waits for the one that is going on, or for its resync");
	buffer_free(&text);
}

/* Its Disk Node took the namespace away and exports it again. What the group has lies on the one that went, complete or
 * not, whatever becomes of the new one. */
static void test_namespace_goes(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct observed observed;
	struct error error = { 0 };

	format_and_lose(f);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
	assert_false(mirror_member_status(f, &desired, 1).path_lost);
	observed = mirror_observe(f);
	for (size_t i = 0; i < observed.imports.count; i++) {
		const struct observed_import *found = &observed.imports.items[i];
		struct kernel_import import = {
			.nqn = found->nqn, .address = found->address, .port = 4421, .host_nqn = found->host_nqn
		};

		if (strcmp(found->nqn, MIRROR_IMPORT_2) == 0)
			assert_int_equal(f->agent.kernel->operations->import_drop(f->agent.kernel, &import, &error), 0);
	}
	rig_wave(&f->agent, &desired);
	assert_contains(mirror_log(f), "nvme    connect    " MIRROR_IMPORT_2);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	assert_true(mirror_member_status(f, &desired, 1).path_lost);
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, MIRROR, 145408, &error), 0);
	assert_true(mirror_member_status(f, &desired, 1).path_lost);
	f->now_ms += 700;
	assert_int_equal(mirror_member_status(f, &desired, 1).path_lost_ms, 701);
	/* One that is not in the group lies on nothing that went. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 9);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	assert_false(mirror_member_status(f, &desired, 1).path_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rebuild, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_incomplete_superblock, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_half_rebuilt_is_not_assembled, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_another_rebuild_begins_anew, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_complete_and_another_leaves, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_complete_and_another_comes, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_complete_of_another_time, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_new_member_needs_no_label, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_rebuild_waits_for_resync, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_goes, mirror_setup, mirror_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
