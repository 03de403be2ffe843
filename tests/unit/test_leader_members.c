/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members in sync: when they are given up, and what is asked of their holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/leader/members.h"
#include "tests/unit/test_leader_rig.h"

static void test_path_lost(void **state)
{
	struct member_status lost = { .ld = 1, .path_lost = true, .path_lost_ms = 200 };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_expect_wait(&rig, members_step, NULL);
	/* A hiccup is none, and it is looked at again in time. */
	rig_member(&rig, C1, lost);
	rig_expect_wait(&rig, members_step, NULL);
	assert_int_equal(rig.step.look_again_ms, MEMBERS_PATH_LOST_MS + 1 - 200);
	rig_wait(&rig, MEMBERS_PATH_LOST_MS - 200);
	rig_expect_wait(&rig, members_step, NULL);
	rig_wait(&rig, 1);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	/* One that is not assembled yet is being connected to: that may take longer. */
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_ABSENT,
					   .path_lost = true,
					   .path_lost_ms = 2 * MEMBERS_PATH_LOST_MS });
	rig_expect_wait(&rig, members_step, NULL);
	assert_int_equal(rig.step.look_again_ms, MEMBERS_CONNECT_MS + 1 - 2 * MEMBERS_PATH_LOST_MS);
	rig_wait(&rig, MEMBERS_CONNECT_MS);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig_member(&rig, C1, lost);
	rig_wait(&rig, MEMBERS_PATH_LOST_MS);
	/* Of another epoch. */
	rig.slots[0].epoch = 2;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].epoch = 1;
	/* A holder that is not online may be wrong by now. */
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, members_step, NULL);
	rig.nodes[C1].health = HEALTH_ONLINE;
	/* slots.h gives up what is not fenced. */
	rig.slots[0].phase = SLOT_PHASE_FENCING;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

static void test_node_offline(void **state)
{
	struct rig rig;

	(void)state;
	/* Without a word from the holder. */
	rig_open(&rig);
	rig_offline(&rig, N1);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	/* Not when the other copy is in doubt … */
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, "ld1 is lost, and no other copy is well");
	/* … lost, failed, stale, rebuilt … */
	rig_wait(&rig, 2 * MEMBERS_PATH_LOST_MS);
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .health = MEMBER_HEALTH_FAILED });
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	rig_members(&rig, C1, NULL, 0);
	rig.lds[1].state = LD_STATE_REBUILDING;
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	rig.lds[1].state = LD_STATE_STALE;
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	/* … or on a node that fell silent, and may have lost power … */
	rig.lds[1].state = LD_STATE_IN_SYNC;
	rig.nodes[N2].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	/* … or is offline, too. */
	rig.lds[2].disk = 3; /* the other slot has nothing on n2 */
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	rig_close(&rig);
	/* With one copy there is no other. */
	rig_open(&rig);
	rig.groups[0].members.count = 1;
	rig_offline(&rig, N1);
	rig_expect_wait(&rig, members_step, "ld1 is lost, and no other copy is well");
	rig_close(&rig);
}

/* Both at once: as soon as one of them is there, the other one is given up. */
static void test_one_is_back(void **state)
{
	struct member_status lost[] = { { .ld = 1, .path_lost = true, .path_lost_ms = 5000 },
					{ .ld = 2, .path_lost = true, .path_lost_ms = 5000 } };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_members(&rig, C1, lost, 2);
	rig_expect_wait(&rig, members_step, "no other copy is well");
	lost[0].path_lost = false;
	rig_members(&rig, C1, lost, 2);
	rig_expect_stale(&rig, members_step, "ld2", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

static void test_medium(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .health = MEMBER_HEALTH_FAILED });
	rig_expect_stale(&rig, members_step, "ld2", STALE_REASON_MEDIUM);
	rig_offline(&rig, N1);
	rig_expect_wait(&rig, members_step, "no other copy is well");
	rig_close(&rig);
}

/* It is called in sync, and the holder's group runs without it: what is written does not reach it. */
static void test_left_out(void **state)
{
	struct member_status both[] = { { .ld = 1, .health = MEMBER_HEALTH_ABSENT },
					{ .ld = 2, .health = MEMBER_HEALTH_IN_SYNC } };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_members(&rig, C1, both, 2);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_MEDIUM);
	/* It is nobody's survivor either. */
	rig.lds[2].disk = 3; /* the other slot has nothing on n2 */
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, members_step, "is lost, and no other copy is well");
	rig.nodes[N2].health = HEALTH_ONLINE;
	/* A report of before it came in, of another epoch, or while the group is made. */
	rig.volume.revision++;
	rig_expect_wait(&rig, members_step, NULL);
	rig.volume.revision--;
	rig.slots[0].epoch = 2;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].epoch = 1;
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].phase = SLOT_PHASE_SERVING;
	/* No group runs at all. */
	both[1].health = MEMBER_HEALTH_ABSENT;
	rig_members(&rig, C1, both, 2);
	rig_expect_wait(&rig, members_step, NULL);
	rig_close(&rig);
}

/* What is rebuilt and fails holds back every write, as a member would. */
static void test_rebuild_lost(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig_offline(&rig, N1);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig.nodes[N1].health = HEALTH_ONLINE;
	/* Once it is part of the group, writes wait for it; before, it is only on its way. */
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_REBUILDING,
					   .path_lost = true,
					   .path_lost_ms = MEMBERS_PATH_LOST_MS + 1 });
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_ABSENT,
					   .path_lost = true,
					   .path_lost_ms = MEMBERS_PATH_LOST_MS + 1 });
	rig_expect_wait(&rig, members_step, "node c1 rebuilds it");
	rig_wait(&rig, MEMBERS_JOIN_MS - MEMBERS_PATH_LOST_MS);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

/* Two that are to come back by bitmap, and a group that cannot tell what either missed: neither waits for the other. */
static void test_two_refused(void **state)
{
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_ABSENT },
					   { .ld = 2, .health = MEMBER_HEALTH_ABSENT },
					   { .ld = 3, .health = MEMBER_HEALTH_IN_SYNC } };
	const struct command_lds_stale *stale;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.groups[0].members = (struct ld_list){ 3, &rig.lds[0] };
	rig.groups[1].members = (struct ld_list){ 1, &rig.lds[3] };
	for (size_t i = 0; i < 2; i++) {
		rig.lds[i].state = LD_STATE_REBUILDING;
		rig.lds[i].resync = true;
	}
	rig_members(&rig, C1, members, 3);
	rig_expect_wait(&rig, members_step, "node c1 rebuilds it");
	rig_see(&rig);
	rig_wait(&rig, MEMBERS_RESYNC_MS + 1);
	stale = rig_expect_command(&rig, members_step)->lds_stale;
	assert_non_null(stale);
	assert_int_equal(stale->reason, STALE_REASON_MEDIUM);
	assert_int_equal(stale->lds.count, 2);
	/* One that is being copied is waited for. */
	members[0].health = MEMBER_HEALTH_REBUILDING;
	rig_members(&rig, C1, members, 3);
	rig_expect_wait(&rig, members_step, "node c1 rebuilds it");
	rig_close(&rig);
}

static void members_well(struct rig *rig, uint64_t drained)
{
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_IN_SYNC, .drained = drained },
					   { .ld = 2, .health = MEMBER_HEALTH_IN_SYNC, .drained = drained } };

	rig_members(rig, C1, members, 2);
}

/* What the holder says of the two copies of the first leg, where the first one was given up. */
static void members_given_up(struct rig *rig, struct member_status first, enum member_health second)
{
	struct member_status members[] = { first, { .ld = 2, .health = second } };

	members[0].ld = 1;
	members[0].health = MEMBER_HEALTH_ABSENT;
	rig_members(rig, C1, members, 2);
}

static const struct command_ld_settle *settle_expected(struct rig *rig)
{
	const struct command_ld_settle *settle = rig_expect_command(rig, members_step)->ld_settle;

	assert_non_null(settle);
	assert_int_equal(settle->volume, RIG_VOLUME);
	assert_int_equal(settle->slot, 0);
	assert_int_equal(settle->epoch, 1);
	assert_int_equal(settle->revision, rig->volume.revision);
	return settle;
}

/* One that was given up is taken back when its group never ran without it, and the other one is no good. */
static void test_taken_back(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_STALE;
	rig.lds[0].stale_reason = STALE_REASON_PATH_LOST;
	rig.lds[0].pending = rig.lds[0].whole = rig.lds[0].resync = true;
	members_given_up(&rig, (struct member_status){ .kept = true }, MEMBER_HEALTH_FAILED);
	assert_int_equal(settle_expected(&rig)->ld, 1);
	assert_false(settle_expected(&rig)->left);
	/* What was said of another revision, or in another epoch, may have changed. */
	rig.volume.revision++;
	rig_take(&rig, members_step);
	assert_true(rig.step.command == NULL || rig.step.command->ld_settle == NULL);
	rig.volume.revision--;
	rig.slots[0].epoch = 2;
	rig_take(&rig, members_step);
	assert_true(rig.step.command == NULL || rig.step.command->ld_settle == NULL);
	rig.slots[0].epoch = 1;
	/* The group goes on without it. */
	members_given_up(&rig, (struct member_status){ .left = true }, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(settle_expected(&rig)->ld, 1);
	assert_true(settle_expected(&rig)->left);
	rig_close(&rig);
}

/* The other one lost what its cache held: it serves only when the group is known to have gone on with it alone. */
static void test_withheld(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_STALE;
	rig.lds[0].stale_reason = STALE_REASON_PATH_LOST;
	rig.lds[0].pending = rig.lds[0].whole = rig.lds[0].resync = true;
	rig.lds[1].withheld = true;
	members_given_up(&rig, (struct member_status){ 0 }, MEMBER_HEALTH_IN_SYNC);
	rig_expect_wait(&rig, members_step, "ld2 may lack what its cache held");
	members_given_up(&rig, (struct member_status){ .kept = true }, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(settle_expected(&rig)->ld, 1);
	/* Both lost a cache: there is nothing better. */
	rig.lds[0].stale_reason = STALE_REASON_REBOOTED;
	assert_int_equal(settle_expected(&rig)->ld, 2);
	rig.lds[0].pending = false;
	assert_int_equal(settle_expected(&rig)->ld, 2);
	assert_false(settle_expected(&rig)->left);
	rig_close(&rig);
}

/* What it failed to read is excused by the holder, after that was asked for, and by nothing else. */
static void test_failed_reads(void **state)
{
	struct ld_errors errors = { .ld = 1, .reads = 2, .last_us = 77, .rebuild_ms = 5 };
	const struct command_ld_excuse *excuse;
	const struct command_ld_drain *drain;
	struct failed_reads known;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	members_well(&rig, 0);
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	drain = rig_expect_command(&rig, members_step)->ld_drain;
	assert_non_null(drain);
	assert_int_equal(drain->volume, RIG_VOLUME);
	assert_int_equal(drain->slot, 0);
	assert_int_equal(drain->epoch, 1);
	assert_int_equal(drain->ld, 1);
	assert_memory_equal(drain->failed_reads->boot_id, rig.nodes[N1].boot_id, 16);
	assert_int_equal(drain->failed_reads->reads, 2);
	assert_int_equal(drain->failed_reads->last_us, 77);
	assert_int_equal(drain->failed_reads->rebuild_ms, 5);
	/* It is asked for once. What the holder did before, or for somebody else, is not that. */
	known = *drain->failed_reads;
	rig.lds[0].failed_reads = &known;
	rig.lds[0].drain = 50;
	rig_expect_wait(&rig, members_step, NULL);
	members_well(&rig, 49);
	rig_expect_wait(&rig, members_step, NULL);
	/* Nor is it when the group dropped it, or may. */
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_REBUILDING, .drained = 50 });
	rig_expect_wait(&rig, members_step, NULL);
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_IN_SYNC,
					   .drained = 50,
					   .path_lost = true,
					   .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, NULL);
	rig_members(&rig, C1, NULL, 0);
	rig_expect_wait(&rig, members_step, NULL);
	/* Said in another epoch. */
	members_well(&rig, 50);
	rig.slots[0].epoch = 2;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].epoch = 1;
	/* There were more, or the record is another one: asked for again. */
	errors.last_us = 78;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	assert_int_equal(rig_expect_command(&rig, members_step)->ld_drain->failed_reads->last_us, 78);
	errors.last_us = 77;
	errors.reads = 3;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	assert_int_equal(rig_expect_command(&rig, members_step)->ld_drain->failed_reads->reads, 3);
	errors.reads = 2;
	errors.rebuild_ms = 6;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	assert_int_equal(rig_expect_command(&rig, members_step)->ld_drain->failed_reads->rebuild_ms, 6);
	errors.rebuild_ms = 5;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	rig.nodes[N1].boot_id[3] = 9;
	assert_int_equal(rig_expect_command(&rig, members_step)->ld_drain->failed_reads->boot_id[3], 9);
	rig.nodes[N1].boot_id[3] = 0;
	/* Nobody answers for a Disk Node that is not there. */
	rig.nodes[N1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, members_step, NULL);
	rig.nodes[N1].health = HEALTH_ONLINE;
	excuse = rig_expect_command(&rig, members_step)->ld_excuse;
	assert_non_null(excuse);
	assert_int_equal(excuse->ld, 1);
	assert_int_equal(excuse->epoch, 1);
	assert_int_equal(excuse->drain, 50);
	rig.lds[0].drain = 0;
	rig_expect_wait(&rig, members_step, NULL);
	rig_close(&rig);
}

/* Nobody is asked about what nobody can know, or to wait for I/O that is frozen. */
static void test_failed_reads_unasked(void **state)
{
	struct ld_errors errors = { .ld = 1, .reads = 2, .last_us = 77 }, other;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	members_well(&rig, 0);
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	assert_non_null(rig_expect_command(&rig, members_step)->ld_drain);
	other = errors;
	other.writes = 1;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_wait(&rig, members_step, NULL);
	other = errors;
	other.missed = true;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_wait(&rig, members_step, NULL);
	/* There may be others that were not recorded. */
	other = errors;
	other.last_us = 0;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_wait(&rig, members_step, NULL);
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, NULL);
	rig_members(&rig, C1, NULL, 0);
	rig_expect_wait(&rig, members_step, NULL);
	members_well(&rig, 0);
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].phase = SLOT_PHASE_SERVING;
	rig.groups[0].members.count = 1;
	rig_expect_wait(&rig, members_step, NULL);
	rig.groups[0].members.count = 2;
	/* One that is the last in sync is asked about, too. */
	rig.lds[1].state = LD_STATE_STALE;
	rig_offline(&rig, N2);
	rig.lds[2].disk = 3; /* the other slot has nothing on n2 */
	assert_non_null(rig_expect_command(&rig, members_step)->ld_drain);
	rig_close(&rig);
}

static void make(struct rig *rig)
{
	rig_offline(rig, N1);
}

static void test_failing_allocations(void **state)
{
	(void)state;
	rig_failing_allocations(make, members_step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_lost),
		cmocka_unit_test(test_node_offline),
		cmocka_unit_test(test_one_is_back),
		cmocka_unit_test(test_medium),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_rebuild_lost),
		cmocka_unit_test(test_two_refused),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_withheld),
		cmocka_unit_test(test_failed_reads),
		cmocka_unit_test(test_failed_reads_unasked),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
