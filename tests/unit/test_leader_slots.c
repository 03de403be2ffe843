/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/parted.h"
#include "src/leader/slots.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_leader_rig.h"

#define GATE_MS (LIMIT_LEASE_MS + LIMIT_LEASE_CHECK_MS + LIMIT_LEASE_MARGIN_MS)

static void expect_move(struct rig *rig, size_t slot, const char *to, enum move_reason reason)
{
	const struct command_slot_move *move = rig_expect_command(rig, slots_step)->slot_move;

	assert_non_null(move);
	assert_int_equal(move->volume, RIG_VOLUME);
	assert_int_equal(move->slot, slot);
	assert_int_equal(move->epoch, rig->slots[slot].epoch);
	assert_string_equal(move->to, to);
	assert_int_equal(move->reason, reason);
}

static void expect_advance(struct rig *rig, enum slot_phase to)
{
	const struct command_slot_advance *advance = rig_expect_command(rig, slots_step)->slot_advance;

	assert_non_null(advance);
	assert_int_equal(advance->slot, 0);
	assert_int_equal(advance->epoch, rig->slots[0].epoch);
	assert_int_equal(advance->from, rig->slots[0].phase);
	assert_int_equal(advance->to, to);
	assert_int_equal(advance->revision, rig->volume.revision);
}

static void expect_stale_for(struct rig *rig, const char *ld, enum stale_reason reason)
{
	const struct command_lds_stale *stale = rig_expect_command(rig, slots_step)->lds_stale;

	assert_non_null(stale);
	assert_int_equal(stale->reason, reason);
	assert_int_equal(stale->epoch, rig->slots[0].epoch);
	assert_int_equal(stale->slot, 0);
	assert_int_equal(stale->lds.count, 1);
	assert_string_equal(stale->lds.items[0], ld);
}

static void expect_stale(struct rig *rig, const char *ld)
{
	expect_stale_for(rig, ld, STALE_REASON_NOT_FENCED);
}

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
	expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	/* No standby: it waits and says so. */
	rig_offline(&rig, C3);
	rig_expect_wait(&rig, slots_step, "slot 0: node c1 is offline, and no standby is online");
	rig.nodes[C3].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, "no standby is online");
	/* Of two the least loaded one; one that is cordoned comes last; ties go by name. */
	rig.nodes[C3].health = HEALTH_ONLINE;
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig.volume.controllers.count = 4;
	expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig.nodes[C3].controllers = 5;
	expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
	rig.nodes[C4].cordoned = true;
	expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig.nodes[C3].draining = true;
	rig.nodes[C3].controllers = 0;
	rig.nodes[C4].cordoned = false;
	rig.nodes[C4].controllers = 9;
	expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
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
		/* Its disks are fenced all the same, but nobody serves. */
		if (phases[i] == SLOT_PHASE_FENCING)
			expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
		else
			assert_null(rig.step.command);
		rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
		rig.volume.controllers.count = 4;
		expect_move(&rig, 0, "c4", MOVE_REASON_FAILOVER);
		rig_close(&rig);
	}
}

static void test_drain(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.nodes[C1].draining = rig.nodes[C1].cordoned = true;
	expect_move(&rig, 0, "c3", MOVE_REASON_DRAIN);
	/* Nothing is moved to a node that is not ready, or is to be empty, too. */
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3 says pending");
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig.nodes[C3].cordoned = true;
	rig_expect_wait(&rig, slots_step, "node c1 is to be drained, but no standby can take it");
	rig.nodes[C3].cordoned = false;
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
	expect_move(&rig, 0, "c3", MOVE_REASON_FAILOVER);
	rig_offline(&rig, C3);
	expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
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
	expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
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
	expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
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
	expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* A holder that is not heard of may have mended it. */
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_close(&rig);
}

/* --- holders that lost each other --- */

static void part(struct rig *rig, uint64_t c1_ms, uint64_t c2_ms)
{
	rig_peer(rig, C1, 1, c1_ms);
	rig_peer(rig, C2, 0, c2_ms);
}

static void lost_long_ago(struct rig *rig)
{
	rig_open(rig);
	rig_wait(rig, 60000);
	part(rig, PARTED_MS, PARTED_MS);
}

/* Both begin anew: nobody knows at which of them something older waits. */
static void test_parted(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, 60000);
	part(&rig, 500, 300);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, PARTED_MS - 500);
	rig_wait(&rig, PARTED_MS - 501);
	rig_expect_wait(&rig, slots_step, NULL);
	rig_wait(&rig, 1);
	expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	/* It is under way. What the other one lost, it lost before; it stays where it is. */
	rig.slots[0] = (struct slot){
		.holder = "c3", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_PARTED, .previous = "c1"
	};
	rig.controllers[0].node = "c3";
	rig.controllers[2] = (struct controller){ .node = "c1", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 };
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig.volume.controllers.count = 4;
	rig_see(&rig);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", OBJECT_STATE_PENDING);
	rig_wait(&rig, 1000);
	expect_move(&rig, 1, "c2", MOVE_REASON_PARTED);
	/* What it lost by the fence itself is no reason. */
	rig_peer(&rig, C2, 0, 900);
	rig_expect_wait(&rig, slots_step, "v7.s1.c3");
	/* Once it assembles, the other one has nothing from before to lose any more. */
	rig_peer(&rig, C2, 0, 60000);
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "node c3 says pending");
	rig_close(&rig);
}

/* Where there is no standby both begin anew in place. */
static void test_parted_without_standby(void **state)
{
	struct rig rig;

	(void)state;
	lost_long_ago(&rig);
	rig_offline(&rig, C3);
	expect_move(&rig, 0, "c1", MOVE_REASON_PARTED);
	rig.slots[0] = (struct slot){
		.holder = "c1", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_PARTED, .previous = "c1"
	};
	rig_see(&rig);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", OBJECT_STATE_PENDING);
	expect_move(&rig, 1, "c2", MOVE_REASON_PARTED);
	rig_close(&rig);
}

/* The standby is for the one that lost more. */
static void test_parted_which_moves(void **state)
{
	struct member_status member = { .ld = 3, .epoch = 1, .health = MEMBER_HEALTH_IN_SYNC, .path_lost = true };
	struct peer_status peer = { .slot = 0, .path_lost = true, .path_lost_ms = PARTED_MS };
	struct volume_health health = {
		.volume = RIG_VOLUME, .members = { 1, &member }, .peers = { 1, &peer }, .revision = RIG_REVISION
	};
	struct rig rig;

	(void)state;
	lost_long_ago(&rig);
	assert_int_equal(reported_health_update(&rig.reported[C2], &health, rig.view.now_ms, NULL), 0);
	expect_move(&rig, 0, "c1", MOVE_REASON_PARTED);
	rig_peer(&rig, C1, 1, 0);
	expect_move(&rig, 1, "c3", MOVE_REASON_PARTED);
	rig_close(&rig);
}

static void test_parted_not(void **state)
{
	struct rig rig;

	(void)state;
	/* One that is dead, or may be, did not part: its slot moves. */
	lost_long_ago(&rig);
	rig_peer(&rig, C2, 0, 0);
	expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	rig.nodes[C2].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_offline(&rig, C2);
	expect_move(&rig, 1, "c3", MOVE_REASON_FAILOVER);
	rig.nodes[C2].health = HEALTH_ONLINE;
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_close(&rig);
	/* What was lost while either of them moved does not count, nor what a new leader did not see. */
	rig_open(&rig);
	part(&rig, 60000, 60000);
	rig_wait(&rig, PARTED_MS - 1);
	rig_expect_wait(&rig, slots_step, NULL);
	assert_int_equal(rig.step.look_again_ms, 1);
	rig_wait(&rig, 1);
	expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	/* An ordinary failover of the other one is none. */
	rig.slots[1] = (struct slot){
		.holder = "c4", .epoch = 2, .phase = SLOT_PHASE_ASSEMBLING, .reason = MOVE_REASON_FAILOVER
	};
	rig_take(&rig, slots_step);
	assert_true(rig.step.command == NULL || rig.step.command->slot_move == NULL);
	rig_close(&rig);
}

/* From SERVING on no connection may be made again: all of them must be there. */
static void test_exporting_awaits_paths(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_EXPORTING);
	expect_advance(&rig, SLOT_PHASE_SERVING);
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
	/* One that is not there is not waited for. */
	rig_offline(&rig, C2);
	expect_advance(&rig, SLOT_PHASE_SERVING);
	rig_close(&rig);
}

/* --- FENCING --- */

static void test_fencing(void **state)
{
	static const struct {
		enum rig_node node;
		enum object_kind kind;
		const char *id, *words;
	} confirms[] = {
		{ N1, OBJECT_KIND_EXPORT, "d1.v7.s0", "export d1.v7.s0: node n1" },
		{ N2, OBJECT_KIND_EXPORT, "d2.v7.s0", "export d2.v7.s0: node n2" },
		{ C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", "consumer export v7.s1.c3: node c2" },
		{ C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", "consumer export v7.s1.c1: node c2" },
	};
	static const enum object_state states[] = { OBJECT_STATE_PENDING, OBJECT_STATE_FAILED, OBJECT_STATE_ABSENT };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* Not before the last of them confirmed, in whichever way it does not. */
	for (size_t i = 0; i < sizeof(confirms) / sizeof(confirms[0]); i++) {
		for (size_t j = 0; j < sizeof(states) / sizeof(states[0]); j++) {
			rig_say(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, states[j]);
			rig_expect_wait(&rig, slots_step, confirms[i].words);
		}
		rig_say_at(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, OBJECT_STATE_CONVERGED,
			   rig.volume.revision - 1);
		rig_expect_wait(&rig, slots_step, confirms[i].words);
		rig_say(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, OBJECT_STATE_CONVERGED);
		expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	}
	/* The other slot's disks have nothing to do with it. */
	rig_say(&rig, N3, OBJECT_KIND_EXPORT, "d3.v7.s1", OBJECT_STATE_PENDING);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

static void test_fence_deadline(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	assert_int_equal(rig.step.look_again_ms, LIMIT_FENCE_DEADLINE_MS);
	rig_wait(&rig, LIMIT_FENCE_DEADLINE_MS - 1);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	rig_wait(&rig, 1);
	expect_stale(&rig, "ld1");
	/* A new leader counts from when it saw it. */
	moments_clear(&rig.moments);
	rig_see(&rig);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	/* A node that is offline is not waited for, even if it confirmed before. */
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	rig_offline(&rig, N1);
	expect_stale(&rig, "ld1");
	/* Never the last one: then everything waits, and the sentence names it. */
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 is offline");
	rig_wait(&rig, 100 * LIMIT_FENCE_DEADLINE_MS);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 is offline");
	/* A stale one needs no fence to go on. */
	rig_close(&rig);
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, N1);
	rig.lds[0].state = LD_STATE_STALE;
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

/* Both slots move at once. */
/* What a Disk Node returned errors of, the old holder's group may have dropped, and nobody was told. */
static void test_fencing_after_errors(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	/* Another one is there that returned none. */
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	/* It comes later: the deadline is no reason to do without it. */
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d2.v7.s0: node n2 says pending");
	rig_wait(&rig, 100 * LIMIT_FENCE_DEADLINE_MS);
	rig_expect_wait(&rig, slots_step,
			"slot 0: ld1 on d1 of node n1 returned I/O errors, so it may lack what was written last; bring "
			"node n2 with ld2 back, or else use what is there: dnvme volume force vol --slot 0");
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, slots_step, "bring node n2 with ld2 back");
	rig.nodes[N2].health = HEALTH_ONLINE;
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_CONVERGED);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	/* Both did. */
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	rig_expect_wait(&rig, slots_step,
			"no other copy is sure to have it; to use what is there: dnvme volume force vol --slot 0");
	/* An error of another LD of the same export, or of the same disk in another slot, is none of this group. */
	rig_errors(&rig, N2, "d2.v7.s0", 9);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig_errors(&rig, N1, "d1.v7.s0", 0);
	rig_errors(&rig, N2, "d2.v7.s1", 3);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* A stale one is not asked; the one that is left is not assembled alone. */
	rig.lds[0].state = LD_STATE_STALE;
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	rig_expect_wait(&rig, slots_step, "ld2 on d2 of node n2 returned I/O errors");
	rig.lds[0].state = LD_STATE_IN_SYNC;
	/* One that lost what its cache held is better than one that returned errors, and worse than any other. */
	rig_errors(&rig, N2, "d2.v7.s0", 0);
	rig.lds[1].doubtful = true;
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 says pending");
	rig_offline(&rig, N1);
	rig_members(&rig, C3, NULL, 0);
	rig_expect_wait(&rig, slots_step,
			"ld1 on node n1, which is offline or lost its disk, is the only copy that is sure to have "
			"missed nothing; what another one holds: dnvme volume force vol --slot 0");
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	expect_stale_for(&rig, "ld2", STALE_REASON_REBOOTED);
	rig.lds[0].state = LD_STATE_STALE;
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	/* A group of one drops nothing. */
	rig.groups[0].members = (struct ld_list){ 1, &rig.lds[1] };
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

/* What it failed to read, and was repaired, is no reason to wait; whatever else is known of it is. */
static void test_fencing_after_repair(void **state)
{
	struct ld_errors errors = { .ld = 1, .reads = 2, .last_us = 77, .rebuild_ms = 5 }, other;
	struct failed_reads known = { .reads = 2, .last_us = 77, .rebuild_ms = 5 };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	memcpy(known.boot_id, rig.nodes[N1].boot_id, sizeof(known.boot_id));
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig.lds[0].failed_reads = &known;
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* It goes on alone. */
	rig.lds[1].state = LD_STATE_STALE;
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig.lds[1].state = LD_STATE_IN_SYNC;
	/* It was asked for, and nobody answered. */
	rig.lds[0].drain = 50;
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig.lds[0].drain = 0;
	/* One more, at the same moment or later; a write; one that may be missed; in another boot; since a rebuild. */
	other = errors;
	other.reads = 3;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.last_us = 78;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.writes = 1;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.missed = true;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.rebuild_ms = 6;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig.nodes[N1].boot_id[3] = 9;
	expect_stale_for(&rig, "ld1", STALE_REASON_MEDIUM);
	rig_close(&rig);
}

static void test_fencing_together(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	/* The other holder is offline, and its slot does not move: nobody knows what it lets through. */
	rig_offline(&rig, C2);
	rig_expect_wait(&rig, slots_step, "consumer export v7.s1.c3: node c2 is offline");
	/* It moves: the fences at its disks count. */
	rig.slots[1] = (struct slot){ .holder = "c4", .epoch = 2, .phase = SLOT_PHASE_FENCING };
	rig_see(&rig);
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_say(&rig, N3, OBJECT_KIND_EXPORT, "d3.v7.s1", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "slot 1 is not fenced yet");
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* From then on its holder has exports to confirm. */
	rig.slots[1].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, slots_step, "consumer export v7.s1.c3: node c4");
	rig_close(&rig);
}

/* No standby is left for the other slot: its disks are fenced all the same, else this one could wait for ever. */
static void test_fencing_without_holder(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, C3);
	rig_offline(&rig, N1);
	expect_stale(&rig, "ld1");
	rig_close(&rig);
}

/* --- ASSEMBLING, EXPORTING --- */

static void test_assembling(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3 says pending");
	rig_say_at(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED, rig.volume.revision - 1);
	rig_expect_wait(&rig, slots_step, "controller v7: node c3");
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, slots_step, "controller v7: node c3");
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	expect_advance(&rig, SLOT_PHASE_SERVING);
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
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	/* One that is stale need not come. */
	rig.lds[1].state = LD_STATE_STALE;
	rig_members(&rig, C3, members, 1);
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
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
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	/* It was heard of meanwhile: it may have got a lease. */
	rig.nodes[C1].heard_ms = rig.view.now_ms - 100;
	rig_expect_wait(&rig, slots_step, "slot 0: node c1 may serve for up to 2400 ms more");
	rig_close(&rig);
	/* Until it says that nothing is left. */
	unfenced(&rig);
	rig_say_at(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT, rig.volume.revision - 1);
	rig_expect_wait(&rig, slots_step, "node c1 may serve");
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* Or until it is dropped. */
	unfenced(&rig);
	rig.volume.controllers.count = 2;
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* An even older holder may read it, too. */
	unfenced(&rig);
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 };
	rig.volume.controllers.count = 4;
	rig_expect_wait(&rig, slots_step, "node c4 may serve");
	/* But not one that held another slot, or none. */
	rig.controllers[3].slot = 1;
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig.controllers[3].slot = 0;
	rig.controllers[3].epoch = 0;
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	/* The Disk Node came back and took it in. */
	unfenced(&rig);
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_ABSENT);
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
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
	expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
}

static void test_failing_allocations(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct rig rig;
		struct online_step step = ONLINE_STEP_INIT;
		int rv;

		rig_open(&rig);
		rig_move(&rig, SLOT_PHASE_FENCING);
		rig_offline(&rig, N1);
		failing_alloc_arm(n);
		rv = slots_step(&rig.view, &rig.arena, &step, &rig.error);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		rig_close(&rig);
	}
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
		cmocka_unit_test(test_parted),
		cmocka_unit_test(test_parted_without_standby),
		cmocka_unit_test(test_parted_which_moves),
		cmocka_unit_test(test_parted_not),
		cmocka_unit_test(test_exporting_awaits_paths),
		cmocka_unit_test(test_fencing),
		cmocka_unit_test(test_fence_deadline),
		cmocka_unit_test(test_fencing_after_repair),
		cmocka_unit_test(test_fencing_after_errors),
		cmocka_unit_test(test_assembling_after_errors),
		cmocka_unit_test(test_fencing_together),
		cmocka_unit_test(test_fencing_without_holder),
		cmocka_unit_test(test_assembling),
		cmocka_unit_test(test_may_serve),
		cmocka_unit_test(test_may_serve_old_members),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
