/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slot that moves: to whom, and what it waits for until it is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/leader/slots.h"
#include "tests/unit/test_leader_rig.h"

#define GATE_MS (LIMIT_LEASE_MS + LIMIT_LEASE_CHECK_MS + LIMIT_LEASE_MARGIN_MS)

/* --- moving --- */

static void test_all_is_well(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_true(rig.step.look_again_ms == ONLINE_LOOK_NEVER);
	/* Doubt is no verdict. */
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig.nodes[C1].health = HEALTH_UNKNOWN;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_close(&rig);
}

static void test_failover(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_offline(&rig, C1);
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	/* No standby: it begins anew where it was, as what waits there for the other slot's legs may be old. */
	rig_offline(&rig, C3);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	rig.nodes[C3].health = HEALTH_SUSPECT;
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* Nothing waits at the only slot of a volume: it goes on when its node is back. */
	rig.volume.slots.count = 1;
	rig_expect_wait(&rig, slots_step, "slot 0: node c1 is offline, and no standby is online");
	rig.volume.slots.count = 2;
	/* Of two the least loaded one; one that is cordoned comes last; ties go by name. */
	rig.nodes[C3].health = HEALTH_ONLINE;
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig.volume.controllers.count = 4;
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig.nodes[C3].controllers = 5;
	rig_expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
	rig.nodes[C4].cordoned = true;
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig.nodes[C3].draining = true;
	rig.nodes[C3].controllers = 0;
	rig.nodes[C4].cordoned = false;
	rig.nodes[C4].controllers = 9;
	rig_expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
	rig_close(&rig);
}

/* The new holder is lost as well, in every phase. */
static void test_failover_again(void **state)
{
	static const enum slot_phase phases[] = { SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING, SLOT_PHASE_EXPORTING };
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		rig_open(&rig);
		rig_move(&rig, phases[i]);
		rig_offline(&rig, C3);
		rig_take(&rig, slots_step);
		assert_string_equal(rig.step.waits_for, "slot 0: node c3 is offline, and no standby is online");
		/* Nobody serves, and what was let in begins anew. */
		if (phases[i] == SLOT_PHASE_EXPORTING)
			rig_expect_move(&rig, 0, "c3", MOVE_REASON_RESTART);
		else
			assert_null(rig.step.command);
		rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
		rig.volume.controllers.count = 4;
		rig_expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
		rig_close(&rig);
	}
}

static void test_drain(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.nodes[C1].draining = rig.nodes[C1].cordoned = true;
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_DRAIN);
	/* Nothing is moved to a node that is not ready, or is to be empty, too. */
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3 says pending");
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig.nodes[C3].cordoned = true;
	rig_expect_wait(&rig, slots_step, "node c1 is to be drained, but no standby can take it");
	rig.nodes[C3].cordoned = false;
	/* Nor while something may wait for a connection that is lost. */
	rig_peer(&rig, C2, 0, 1);
	rig_expect_wait(&rig, slots_step, "once all holders have their connections");
	rig_peer(&rig, C2, 0, 0);
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_DRAIN);
	/* Not while another slot moves. */
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	rig_take(&rig, slots_step);
	assert_true(rig.step.command == NULL || rig.step.command->slot_move == NULL);
	rig_close(&rig);
}

static void test_reboot(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	/* Of slots from before this was remembered nothing is known. */
	rig.nodes[C1].boot_id[0] = 9;
	rig_expect_wait(&rig, slots_step, NULL);
	rig.slots[0].boot_id[0] = 9;
	rig_expect_wait(&rig, slots_step, NULL);
	rig.nodes[C1].boot_id[0] = 8;
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig_offline(&rig, C3);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	rig_close(&rig);
	/* While it is fenced the kernel of its holder has nothing of it. */
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig.slots[0].boot_id[0] = 9;
	rig.nodes[C3].boot_id[0] = 8;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* A new leader that has not heard of it yet cannot know whether it is another one by now. */
	rig.nodes[C3].health = HEALTH_UNKNOWN;
	rig_expect_wait(&rig, slots_step, "v7: node c3 ");
	rig.nodes[C3].health = HEALTH_SUSPECT;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig.nodes[C3].health = HEALTH_ONLINE;
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	rig_see(&rig);
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_RESTART);
	rig_close(&rig);
}

static void test_restart(void **state)
{
	struct member_status lost[] = { { .ld = 1, .path_lost = true, .path_lost_ms = 100 },
					{ .ld = 2, .path_lost = true, .path_lost_ms = 300 } };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, SLOTS_FROZEN_MS);
	rig_members(&rig, C1, lost, 2);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, SLOTS_FROZEN_MS - 100);
	rig_wait(&rig, SLOTS_FROZEN_MS - 101);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, 1);
	rig_wait(&rig, 1);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* Not again: while it is fenced, and on what was said of the epoch before. */
	rig.slots[0].phase = SLOT_PHASE_FENCING;
	rig_take(&rig, slots_step);
	assert_true(rig.step.command == NULL || rig.step.command->slot_move == NULL);
	rig.slots[0].phase = SLOT_PHASE_SERVING;
	rig.slots[0].epoch = 2;
	rig_expect_wait(&rig, slots_step, NULL);
	/* A new epoch in which everything was lost from the beginning has its pause, too. */
	lost[0].path_lost_ms = lost[1].path_lost_ms = 60000;
	lost[0].epoch = lost[1].epoch = 2;
	rig_members(&rig, C1, lost, 2);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, SLOTS_FROZEN_MS);
	rig_see(&rig);
	rig_wait(&rig, SLOTS_FROZEN_MS - 1);
	rig_expect_wait(&rig, slots_step, NULL);
	rig_wait(&rig, 1);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	rig.slots[0].epoch = 1;
	lost[0].epoch = lost[1].epoch = 1;
	rig_see(&rig);
	/* One path is enough. */
	lost[1].path_lost = false;
	rig_members(&rig, C1, lost, 2);
	rig_wait(&rig, 2 * SLOTS_FROZEN_MS);
	rig_expect_wait(&rig, slots_step, NULL);
	/* A stale one is none. */
	rig.lds[1].state = LD_STATE_STALE;
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* A holder that is not heard of may have mended it. */
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_close(&rig);
}

/* ld2 was rebuilt and given up, and is what the kernel has alone since ld1 failed a write: nobody takes it back. */
static void test_dead(void **state)
{
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_FAILED },
					   { .ld = 2, .health = MEMBER_HEALTH_ABSENT, .kept = true },
					   { .ld = 9 } };
	struct ld three[3] = { { 0 }, { 0 }, { .id = 9, .disk = 3, .state = LD_STATE_REBUILDING } };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[1].state = LD_STATE_STALE;
	rig_see(&rig);
	rig_members(&rig, C1, members, 2);
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig_wait(&rig, SLOTS_FROZEN_MS - 1);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, 1);
	rig_wait(&rig, 1);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* It has everything, and is taken back. */
	rig.lds[1].pending = true;
	rig_expect_wait(&rig, slots_step, NULL);
	rig.lds[1].pending = false;
	/* Without an error of its disk the next epoch would take ld1 for sound. */
	rig_errors(&rig, N1, "d1.v7.s0", 0);
	rig_expect_wait(&rig, slots_step, NULL);
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* The group has let it go. */
	members[1].kept = false;
	rig_members(&rig, C1, members, 2);
	rig_expect_wait(&rig, slots_step, NULL);
	members[1].kept = true;
	/* It is the last one that the kernel has, errors or not. */
	members[0].health = MEMBER_HEALTH_IN_SYNC;
	rig_members(&rig, C1, members, 2);
	rig_expect_wait(&rig, slots_step, NULL);
	members[0].health = MEMBER_HEALTH_FAILED;
	rig_members(&rig, C1, members, 2);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* One that is copied may be complete when its path is back; not one that is not in the group. */
	rig.groups[0].members = (struct ld_list){ 3, three };
	three[0] = rig.lds[0];
	three[1] = rig.lds[1];
	members[2].health = MEMBER_HEALTH_REBUILDING;
	rig_members(&rig, C1, members, 3);
	rig_expect_wait(&rig, slots_step, NULL);
	members[2].health = MEMBER_HEALTH_ABSENT;
	rig_members(&rig, C1, members, 3);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* What was said before the group changed. */
	rig.volume.revision++;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_close(&rig);
}

/* Its gate was shut, and what waits there for the legs of others may be old. */
static void test_lapse(void **state)
{
	struct volume_health health = { .volume = RIG_VOLUME, .revision = RIG_REVISION, .lapsed = 2 };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	/* Of an epoch that it has no more. */
	rig.slots[0].epoch = 3;
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(reported_health_update(&rig.reported[C1], &health, RIG_NOW, &rig.error), 0);
	rig_expect_wait(&rig, slots_step, NULL);
	rig.slots[0].epoch = 2;
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* Who is not heard of may be gone: then it is moved. */
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_take(&rig, slots_step);
	assert_true(rig.step.command == NULL || rig.step.command->slot_move == NULL);
	rig_close(&rig);
}

/* --- ASSEMBLING, EXPORTING --- */

static void test_assembling(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3 says pending");
	rig_say_at(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED, rig.volume.revision - 1);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3");
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, slots_step, "controller v7: node c3");
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig_expect_advance(&rig, SLOT_PHASE_SERVING);
	rig_close(&rig);
}

/* What the superblocks of its members knew, and Raft did not. */
static void test_assembling_after_errors(void **state)
{
	static const enum member_health healths[] = { MEMBER_HEALTH_FAILED, MEMBER_HEALTH_REBUILDING };
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_IN_SYNC },
					   { .ld = 2, .health = MEMBER_HEALTH_IN_SYNC } };
	const struct command_lds_stale *stale;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	for (size_t i = 0; i < 2; i++) {
		members[1].health = healths[i];
		rig_members(&rig, C3, members, 2);
		rig_take(&rig, slots_step);
		assert_null(rig.step.command);
		stale = rig_expect_command(&rig, NULL)->lds_stale;
		assert_non_null(stale);
		assert_int_equal(stale->reason, STALE_REASON_MEDIUM);
		assert_string_equal(stale->lds.items[0], "ld2");
	}
	/* Not told yet, or told of another revision. */
	rig_members(&rig, C3, members, 1);
	rig_expect_wait(&rig, NULL, "slot 0: ld2 is not told of in the group at node c3");
	members[1].health = MEMBER_HEALTH_IN_SYNC;
	rig.volume.revision--;
	rig_members(&rig, C3, members, 2);
	rig.volume.revision++;
	rig_expect_wait(&rig, slots_step, "slot 0: ld1 is in-sync in the group at node c3");
	rig_members(&rig, C3, members, 2);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	/* One that is stale need not come. */
	rig.lds[1].state = LD_STATE_STALE;
	rig_members(&rig, C3, members, 1);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
}

/* From SERVING on no connection may be made again: all of them must be there. */
static void test_exporting_awaits_paths(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_EXPORTING);
	rig_expect_advance(&rig, SLOT_PHASE_SERVING);
	rig_peer(&rig, C2, 0, 1);
	rig_expect_wait(&rig, slots_step, "node c2 has no path to slot 0 at node c3 yet");
	rig_peer(&rig, C2, 0, 0);
	rig_peer(&rig, C3, 1, 1);
	rig_expect_wait(&rig, slots_step, "node c3 has no path to slot 1 at node c2 yet");
	rig_peer(&rig, C3, 1, 0);
	/* A report about the old holder says nothing. */
	rig.volume.revision--;
	rig_peer(&rig, C2, 0, 0);
	rig.volume.revision++;
	rig_expect_wait(&rig, slots_step, "node c2 has no path to slot 0");
	/* One that is not there begins anew first, and is not waited for. */
	rig_offline(&rig, C2);
	rig_expect_move(&rig, 1, "c2", MOVE_REASON_RESTART);
	rig.slots[1].phase = SLOT_PHASE_FENCING;
	rig.slots[1].epoch++;
	rig_see(&rig);
	rig_expect_advance(&rig, SLOT_PHASE_SERVING);
	rig_close(&rig);
}

/* People are told what the slot waits for that holds up the others. */
static void test_waits_for_the_first_cause(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_EXPORTING);
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3 says pending");
	rig.slots[1].phase = SLOT_PHASE_FENCING;
	rig.slots[1].epoch++;
	rig_see(&rig);
	rig_say(&rig, N3, OBJECT_KIND_EXPORT, "d3.v7.s1", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d3.v7.s1: node n3 says pending");
	rig_close(&rig);
}

static void unfenced(struct rig *rig)
{
	rig_open(rig);
	rig_move(rig, SLOT_PHASE_ASSEMBLING);
	rig->lds[0].state = LD_STATE_STALE;
	rig->slots[0].unfenced = true;
	rig_offline(rig, N1);
}

static void test_may_serve(void **state)
{
	struct rig rig;

	(void)state;
	/* The old holder may read what was not fenced, until its gate is shut. */
	unfenced(&rig);
	rig_expect_wait(&rig, slots_step, "slot 0: node c1 may serve for up to 2500 ms more");
	assert_int_equal(rig.step.look_again_ms, GATE_MS);
	rig_wait(&rig, GATE_MS - 1);
	rig_expect_wait(&rig, slots_step, "for up to 1 ms more");
	rig_wait(&rig, 1);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	/* It was heard of meanwhile: it may have got a lease. */
	rig.nodes[C1].heard_ms = rig.view.now_ms - 100;
	rig_expect_wait(&rig, slots_step, "slot 0: node c1 may serve for up to 2400 ms more");
	rig_close(&rig);
	/* Until it says that nothing is left. */
	unfenced(&rig);
	rig_say_at(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT, rig.volume.revision - 1);
	rig_expect_wait(&rig, slots_step, "node c1 may serve");
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* Or until it is dropped. */
	unfenced(&rig);
	rig.volume.controllers.count = 2;
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* An even older holder may read it, too. */
	unfenced(&rig);
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 };
	rig.volume.controllers.count = 4;
	rig_expect_wait(&rig, slots_step, "node c4 may serve");
	/* But not one that held another slot, or none. */
	rig.controllers[3].slot = 1;
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig.controllers[3].slot = 0;
	rig.controllers[3].epoch = 0;
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* The Disk Node came back and took it in. */
	unfenced(&rig);
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_ABSENT);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
}

/* What was given up in an earlier epoch, or left, and was not taken in by its Disk Node, counts just the same. */
static void test_may_serve_old_members(void **state)
{
	struct rig rig;

	(void)state;
	unfenced(&rig);
	rig.slots[0].unfenced = false;
	rig_expect_wait(&rig, slots_step, "node c1 may serve");
	rig_close(&rig);
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	rig.left = (struct ld){ .id = 9, .disk = 4, .state = LD_STATE_STALE };
	rig.leaving[0] = (struct leaving_ld){ .slot = 0, .ld = &rig.left };
	rig.volume.leaving.count = 1;
	rig_expect_wait(&rig, slots_step, "node c1 may serve");
	rig_say(&rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_ABSENT);
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_well),
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_failover_again),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_reboot),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_dead),
		cmocka_unit_test(test_lapse),
		cmocka_unit_test(test_assembling),
		cmocka_unit_test(test_assembling_after_errors),
		cmocka_unit_test(test_exporting_awaits_paths),
		cmocka_unit_test(test_waits_for_the_first_cause),
		cmocka_unit_test(test_may_serve),
		cmocka_unit_test(test_may_serve_old_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
