/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LDs on a disk that is drained: when one moves, when the old copy goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/leader/members.h"
#include "src/leader/moves.h"
#include "tests/unit/test_leader_rig.h"

static void drained(struct rig *rig)
{
	rig_open(rig);
	rig->disks[0].draining = true;
}

static void expect_begin(struct rig *rig, uint64_t ld, uint64_t slot)
{
	rig_take(rig, moves_step);
	assert_null(rig->step.command);
	assert_null(rig->step.waits_for);
	assert_int_equal(rig->step.move_ld, ld);
	assert_int_equal(rig->step.move_slot, slot);
}

static void expect_obstacle(struct rig *rig, const char *words)
{
	rig_expect_wait(rig, moves_step, words);
	assert_int_equal(rig->step.move_ld, 0);
}

static void test_begins(void **state)
{
	struct online_node old;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	expect_obstacle(&rig, NULL);
	rig.disks[0].draining = true;
	expect_begin(&rig, 1, 0);
	rig_take(&rig, NULL);
	assert_int_equal(rig.step.move_ld, 1);
	/* On d2 lie two, of different slots: one after the other. */
	rig.disks[0].draining = false;
	rig.disks[1].draining = true;
	expect_begin(&rig, 2, 0);
	rig.disks[1].draining = false;
	rig.disks[0].draining = true;
	/* Not too many at one holder. */
	rig.view.rebuilds[0] = MEMBERS_REBUILDS;
	expect_obstacle(&rig, "ld1, which moves to another disk, waits: slot 0: its holder rebuilds as many others");
	assert_int_equal(rig.step.look_again_ms, MEMBERS_SETTLE_MS);
	rig.view.rebuilds[0] = 0;
	rig.slots[1].phase = SLOT_PHASE_EXPORTING;
	expect_obstacle(&rig, "a slot is not served");
	rig.slots[1].phase = SLOT_PHASE_SERVING;
	rig.lds[3].state = LD_STATE_STALE;
	expect_obstacle(&rig, "not all copies are well");
	rig.lds[3].state = LD_STATE_IN_SYNC;
	rig.nodes[N3].health = HEALTH_SUSPECT;
	expect_obstacle(&rig, "not all copies are well");
	rig.nodes[N3].health = HEALTH_ONLINE;
	rig.volume.operation = 5;
	expect_obstacle(&rig, "a job works on its volume");
	rig.volume.operation = 0;
	old = rig.nodes[C3];
	rig.nodes[C3].moves = false;
	expect_obstacle(&rig, "the agent of a controller is too old");
	rig.nodes[C3] = old;
	expect_begin(&rig, 1, 0);
	/* What the holder said before the last change is worth nothing. */
	rig.volume.revision++;
	expect_obstacle(&rig, "not all copies are well");
	rig_close(&rig);
}

static void test_one_copy(void **state)
{
	struct member_status member = { .ld = 1 };
	struct rig rig;

	(void)state;
	drained(&rig);
	rig.groups[0].members.count = rig.groups[1].members.count = 1;
	rig.volume.copies = 1;
	rig_member(&rig, C1, member);
	expect_obstacle(&rig, "its volume has one copy");
	rig_close(&rig);
}

/* --- the end of one -------------------------------------------------------------------------------------------------
 */

/* ld2, on d2, moves to d4 as ld5. */
struct moving {
	struct rig rig;
	struct ld lds[3];
};

static void moving_open(struct moving *this, enum ld_state new_state)
{
	rig_open(&this->rig);
	this->lds[0] = this->rig.lds[0];
	this->lds[1] = (struct ld){ .id = 5, .disk = 4, .state = new_state, .moves = 2 };
	this->lds[2] = this->rig.lds[1];
	this->rig.groups[0].members = (struct ld_list){ 3, this->lds };
	this->rig.disks[1].draining = true;
	rig_say(&this->rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_CONVERGED);
}

static void holder_says(struct moving *this, enum member_health health, bool dropped)
{
	struct member_status members[] = {
		{ .ld = 1 },
		{ .ld = 5, .health = health },
		{ .ld = 2, .health = dropped ? MEMBER_HEALTH_ABSENT : MEMBER_HEALTH_IN_SYNC, .dropped = dropped },
	};

	rig_members(&this->rig, C1, members, 3);
}

static void test_old_copy_goes(void **state)
{
	struct moving moving;
	struct rig *rig = &moving.rig;
	const struct command_ld_moved *moved;

	(void)state;
	/* While it is copied nothing happens to the old one, nor to others on that disk. */
	moving_open(&moving, LD_STATE_REBUILDING);
	holder_says(&moving, MEMBER_HEALTH_REBUILDING, false);
	expect_obstacle(rig, NULL);
	rig_expect_wait(rig, members_step, "ld5: node c1 rebuilds it");
	holder_says(&moving, MEMBER_HEALTH_IN_SYNC, false);
	assert_int_equal(rig_expect_command(rig, members_step)->ld_in_sync->ld, 5);
	/* It is in sync, says the state; the holder has to say so at this revision. */
	moving.lds[1].state = LD_STATE_IN_SYNC;
	rig->volume.revision++;
	expect_obstacle(rig, "ld2, which moves to another disk, waits: slot 0: its holder has not told");
	holder_says(&moving, MEMBER_HEALTH_REBUILDING, false);
	expect_obstacle(rig, "has not told that all other copies are well");
	holder_says(&moving, MEMBER_HEALTH_IN_SYNC, false);
	rig_expect_stale(rig, moves_step, "ld2", STALE_REASON_MOVED);
	rig->nodes[C4].health = HEALTH_SUSPECT;
	expect_obstacle(rig, "has not told that all other copies are well");
	rig->nodes[C4].health = HEALTH_ONLINE;
	moving.lds[0].doubtful = true;
	expect_obstacle(rig, "has not told that all other copies are well");
	moving.lds[0].doubtful = false;
	rig->volume.operation = 5;
	expect_obstacle(rig, "a job works on its volume");
	rig->volume.operation = 0;
	rig->nodes[C1].health = HEALTH_SUSPECT;
	expect_obstacle(rig, NULL);
	rig->nodes[C1].health = HEALTH_ONLINE;

	/* Given up, but nobody knows whether the group went on without it. */
	moving.lds[2].state = LD_STATE_STALE;
	moving.lds[2].stale_reason = STALE_REASON_MOVED;
	moving.lds[2].pending = true;
	holder_says(&moving, MEMBER_HEALTH_IN_SYNC, true);
	expect_obstacle(rig, "ld2, which moves to another disk, waits: slot 0: its holder has not let go of it yet");
	moving.lds[2].pending = false;
	holder_says(&moving, MEMBER_HEALTH_IN_SYNC, false);
	expect_obstacle(rig, "has not let go of it yet");
	holder_says(&moving, MEMBER_HEALTH_IN_SYNC, true);
	/* It is not rebuilt, however well it is. */
	rig_wait(rig, MEMBERS_SETTLE_MEDIUM_MS);
	rig_expect_wait(rig, members_step, NULL);
	moved = rig_expect_command(rig, moves_step)->ld_moved;
	assert_non_null(moved);
	assert_int_equal(moved->slot, 0);
	assert_int_equal(moved->epoch, 1);
	assert_int_equal(moved->ld, 2);
	assert_int_equal(moved->revision, rig->volume.revision);
	/* It may be what is left. */
	rig->nodes[N1].health = rig->nodes[C4].health = HEALTH_SUSPECT;
	expect_obstacle(rig, "no other copy is well");
	rig_close(rig);
}

/* The old copy is lost before the new one is there: it leaves at once, and the new one is rebuilt as any other. */
static void test_old_copy_is_lost(void **state)
{
	struct moving moving;
	struct rig *rig = &moving.rig;

	(void)state;
	moving_open(&moving, LD_STATE_REBUILDING);
	holder_says(&moving, MEMBER_HEALTH_REBUILDING, false);
	rig->lds[2].disk = 3; /* the other slot has nothing on n2 */
	rig_offline(rig, N2);
	rig_expect_stale(rig, members_step, "ld2", STALE_REASON_PATH_LOST);
	moving.lds[2].state = LD_STATE_STALE;
	holder_says(&moving, MEMBER_HEALTH_REBUILDING, true);
	/* No other disk is looked for. */
	rig->view.rebuild_after_ms = 1;
	rig_expect_wait(rig, members_step, "ld5: node c1 rebuilds it");
	assert_int_equal(rig->step.replace_ld, 0);
	assert_int_equal(rig_expect_command(rig, moves_step)->ld_moved->ld, 2);
	moving.lds[2].state = LD_STATE_FREED;
	rig_expect_wait(rig, members_step, "ld5: node c1 rebuilds it");
	assert_int_equal(rig->step.replace_ld, 0);
	assert_int_equal(rig_expect_command(rig, moves_step)->ld_moved->ld, 2);
	rig_close(rig);
}

static void make_moved(struct rig *rig)
{
	rig->disks[0].draining = true;
	rig->volume.operation = 1;
}

static void test_no_memory(void **state)
{
	(void)state;
	rig_failing_allocations(make_moved, moves_step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins),	      cmocka_unit_test(test_one_copy),
		cmocka_unit_test(test_old_copy_goes), cmocka_unit_test(test_old_copy_is_lost),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
