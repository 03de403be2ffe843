/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holders that lost each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/leader/parted.h"
#include "src/leader/slots.h"
#include "tests/unit/test_leader_rig.h"

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
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	/* It is under way. What the other one lost, it lost before; it stays where it is. */
	rig.slots[0] = (struct slot){
		.holder = "c3", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_PARTED, .previous = "c1"
	};
	rig.controllers[0].node = "c3";
	rig.controllers[2] = (struct controller){ .node = "c1", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 };
	rig.controllers[3] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig.volume.controllers.count = 4;
	rig_see(&rig);
	rig_wait(&rig, 1000);
	/* Also for a leader that hears of that together with the last confirmation of the fence. */
	rig_expect_move(&rig, 1, "c2", MOVE_REASON_PARTED);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", OBJECT_STATE_PENDING);
	/* What it lost by the fence itself is no reason. */
	rig_peer(&rig, C2, 0, 900);
	rig_expect_wait(&rig, slots_step, "v7.s1.c3");
	/* Once it assembles, the other one has nothing from before to lose any more: it began anew itself. */
	rig_peer(&rig, C2, 0, 60000);
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	assert_false(parted_is(&rig.view, 1, NULL));
	rig_close(&rig);
}

/* Where there is no standby both begin anew in place. */
static void test_parted_without_standby(void **state)
{
	struct rig rig;

	(void)state;
	lost_long_ago(&rig);
	rig_offline(&rig, C3);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_PARTED);
	rig.slots[0] = (struct slot){
		.holder = "c1", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_PARTED, .previous = "c1"
	};
	rig_see(&rig);
	rig_expect_move(&rig, 1, "c2", MOVE_REASON_PARTED);
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
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_PARTED);
	rig_peer(&rig, C1, 1, 0);
	rig_expect_move(&rig, 1, "c3", MOVE_REASON_PARTED);
	rig_close(&rig);
}

static void test_parted_not(void **state)
{
	struct rig rig;

	(void)state;
	/* One that is dead, or may be, did not part: its slot moves. */
	lost_long_ago(&rig);
	rig_peer(&rig, C2, 0, 0);
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	rig.nodes[C2].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, NULL);
	rig_offline(&rig, C2);
	rig_expect_move(&rig, 1, "c3", MOVE_REASON_FAILOVER);
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
	rig_expect_move(&rig, 0, "c3", MOVE_REASON_PARTED);
	/* An ordinary failover of the other one is none. */
	rig.slots[1] = (struct slot){
		.holder = "c4", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_FAILOVER
	};
	rig_see(&rig);
	rig_take(&rig, slots_step);
	assert_true(rig.step.command == NULL || rig.step.command->slot_move == NULL);
	rig_close(&rig);
}

/* Who lost its path to the last holder of a slot long before that one was fenced: its hosts may have gone on there, and
 * what waits would come to the next holder. It begins anew where it is, before it could get its path. */
static void test_stuck(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, 60000);
	rig.slots[1] = (struct slot){ .holder = "c3",
				      .epoch = 2,
				      .phase = SLOT_PHASE_FENCING,
				      .reason = MOVE_REASON_FAILOVER,
				      .previous = "c2" };
	rig.controllers[1].node = "c3";
	rig.controllers[2] =
		(struct controller){ .node = "c2", .role = CONTROLLER_ROLE_RETIRED, .slot = 1, .epoch = 1 };
	rig_see(&rig);
	rig_peer(&rig, C1, 1, 60000);
	/* The longer the fence takes, the more counts; but until it is over nobody gets anywhere. */
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	rig_see(&rig);
	rig_wait(&rig, 500);
	rig_peer(&rig, C1, 1, 500 + PARTED_STUCK_MS);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig_peer(&rig, C1, 1, 501 + PARTED_STUCK_MS);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* The time that the next holder takes does not. */
	rig_wait(&rig, 60000);
	rig_peer(&rig, C1, 1, 60500 + PARTED_STUCK_MS);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig_peer(&rig, C1, 1, 0);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig_peer(&rig, C1, 1, 60501 + PARTED_STUCK_MS);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	/* One that begins anew already has nothing. */
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig_close(&rig);
}

/* What a holder says: for how long it has had no path to the other slot, and that a host may have left it. */
static void leave(struct rig *rig, uint64_t lost_ms, bool left)
{
	struct peer_status peer = { .slot = 1, .path_lost = lost_ms > 0, .path_lost_ms = lost_ms, .host_left = left };
	struct volume_health health = { .volume = RIG_VOLUME, .peers = { 1, &peer }, .revision = rig->volume.revision };

	assert_int_equal(reported_health_update(&rig->reported[C1], &health, rig->view.now_ms, NULL), 0);
}

/* A host may have left a holder since something began to wait there: it begins anew before the next holder lets it in,
 * and while that one would, as long as it has no path. */
static void test_stuck_without_host(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, 60000);
	leave(&rig, 0, true);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig.slots[1].phase = SLOT_PHASE_FENCING;
	rig_see(&rig);
	rig_wait(&rig, 60000);
	leave(&rig, 100, true);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	rig_see(&rig);
	leave(&rig, 100, false);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	leave(&rig, 100, true);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	/* Its kernel may not have noticed yet. */
	leave(&rig, 0, true);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	rig.slots[1].phase = SLOT_PHASE_EXPORTING;
	rig_see(&rig);
	leave(&rig, 100, true);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_RESTART);
	leave(&rig, 0, true);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	/* One that has just begun anew does not do so again. */
	leave(&rig, 100, true);
	rig.slots[0].epoch = 2;
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_see(&rig);
	rig_wait(&rig, PARTED_MS - 1);
	rig.step.look_again_ms = UINT64_MAX;
	assert_false(parted_is_stuck(&rig.view, 0, &rig.step));
	assert_int_equal(rig.step.look_again_ms, 1);
	rig_wait(&rig, 1);
	assert_true(parted_is_stuck(&rig.view, 0, NULL));
	rig.slots[1].phase = SLOT_PHASE_SERVING;
	rig_see(&rig);
	assert_false(parted_is_stuck(&rig.view, 0, NULL));
	rig_close(&rig);
}

/* Nobody is let in before it is known since when it waits. */
static void test_stuck_unknown(void **state)
{
	bool may = true;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	rig.nodes[C2].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, slots_step, "slot 0: node c2 has not said since when it waits");
	rig.nodes[C2].health = HEALTH_ONLINE;
	rig_expect_advance(&rig, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
	rig_open(&rig);
	rig_peer(&rig, C1, 1, 100);
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	rig_see(&rig);
	rig.nodes[C1].health = HEALTH_SUSPECT;
	assert_int_equal(parted_await_words(&rig.view, 1, &rig.arena, &rig.step, &may, &rig.error), 0);
	assert_false(may);
	assert_string_equal(rig.step.waits_for, "slot 1: node c1 has not said since when it waits");
	rig.nodes[C1].health = HEALTH_ONLINE;
	may = true;
	assert_int_equal(parted_await_words(&rig.view, 1, &rig.arena, &rig.step, &may, &rig.error), 0);
	assert_true(may);
	/* One that is offline begins anew anyway, as does one that is not served. */
	rig_offline(&rig, C1);
	assert_int_equal(parted_await_words(&rig.view, 1, &rig.arena, &rig.step, &may, &rig.error), 0);
	assert_true(may);
	rig.nodes[C1].health = HEALTH_SUSPECT;
	rig.slots[0].phase = SLOT_PHASE_FENCING;
	assert_int_equal(parted_await_words(&rig.view, 1, &rig.arena, &rig.step, &may, &rig.error), 0);
	assert_true(may);
	rig_close(&rig);
}

/* What a holder says: its path to the other slot, and whether it let that one's holder in, and in which generation. */
static void say(struct rig *rig, enum rig_node node, uint64_t lost_ms, uint64_t joined, uint64_t ms)
{
	struct peer_status peer = { .slot = node == C1 ? 1 : 0,
				    .path_lost = lost_ms > 0,
				    .path_lost_ms = lost_ms,
				    .joined = joined,
				    .joined_ms = ms };
	struct volume_health health = { .volume = RIG_VOLUME, .peers = { 1, &peer }, .revision = rig->volume.revision };

	assert_int_equal(reported_health_update(&rig->reported[node], &health, rig->view.now_ms, NULL), 0);
}

static void export_slot(struct rig *rig, size_t slot)
{
	rig_open(rig);
	rig_offline(rig, C3);
	rig_wait(rig, 60000);
	rig->slots[slot].epoch = 2;
	rig->slots[slot].phase = SLOT_PHASE_EXPORTING;
	rig->slots[slot].previous = NULL;
	rig_see(rig);
	rig_wait(rig, 60000);
}

/* Until the first one let the second one in, that has no path yet, however long it takes. Then it gets none again. */
static void expect_parting(struct rig *rig, enum rig_node holder, enum rig_node consumer)
{
	size_t slot = consumer == C1 ? 0 : 1;

	say(rig, consumer, 60000, 0, 0);
	say(rig, holder, 0, 0, 0);
	assert_false(parted_is(&rig->view, slot, NULL));
	/* In an earlier generation. */
	say(rig, holder, 0, 2, 60000);
	assert_false(parted_is(&rig->view, slot, NULL));
	/* The connect takes its time, and has as much as any loss. */
	say(rig, holder, 0, 3, 500);
	rig_wait(rig, PARTED_MS - 501);
	assert_false(parted_is(&rig->view, slot, NULL));
	say(rig, consumer, 0, 0, 0);
	rig_wait(rig, 60000);
	assert_false(parted_is(&rig->view, slot, NULL));
	say(rig, consumer, 1, 0, 0);
	rig_wait(rig, PARTED_MS - 2);
	rig_take(rig, slots_step);
	assert_true(rig->step.command == NULL || rig->step.command->slot_move == NULL);
	assert_int_equal(rig->step.look_again_ms, 1);
	rig_wait(rig, 1);
	rig_expect_move(rig, slot, consumer == C1 ? "c1" : "c2", MOVE_REASON_PARTED);
	/* The other one does not, though it exports: it has its path. */
	assert_false(parted_is(&rig->view, 1 - slot, NULL));
}

/* While a slot is EXPORTING, too, who lost a path that it had begins anew: it is not let in a second time. */
static void test_parted_exporting(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t slot = 0; slot < 2; slot++) {
		export_slot(&rig, slot);
		expect_parting(&rig, C2, C1);
		rig_close(&rig);
		export_slot(&rig, slot);
		expect_parting(&rig, C1, C2);
		rig_close(&rig);
	}
	/* The same when it is what came of an earlier parting. */
	export_slot(&rig, 0);
	rig.slots[0].reason = MOVE_REASON_PARTED;
	expect_parting(&rig, C1, C2);
	rig_close(&rig);
	/* One that exports follows one that begins anew, with what may wait there. */
	export_slot(&rig, 0);
	rig.slots[1] = (struct slot){
		.holder = "c2", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_PARTED, .previous = "c2"
	};
	say(&rig, C1, 4000, 0, 0);
	rig_see(&rig);
	rig_wait(&rig, 100);
	rig_expect_move(&rig, 0, "c1", MOVE_REASON_PARTED);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parted),
		cmocka_unit_test(test_parted_without_standby),
		cmocka_unit_test(test_parted_which_moves),
		cmocka_unit_test(test_parted_not),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_stuck_without_host),
		cmocka_unit_test(test_stuck_unknown),
		cmocka_unit_test(test_parted_exporting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
