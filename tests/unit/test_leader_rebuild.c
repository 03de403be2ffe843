/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that were given up: rebuilt, replaced, freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/members.h"
#include "tests/unit/test_leader_rig.h"

/* What the holder says of the group of ld1, at the volume's revision. */
static void holder_says_both(struct rig *rig, bool dropped, bool lost)
{
	struct member_status members[] = {
		{ .ld = 1, .health = MEMBER_HEALTH_ABSENT, .dropped = dropped },
		{ .ld = 2, .health = MEMBER_HEALTH_IN_SYNC, .path_lost = lost, .path_lost_ms = lost }
	};

	rig_members(rig, C1, members, 2);
}

static void holder_says(struct rig *rig, bool dropped)
{
	holder_says_both(rig, dropped, false);
}

static void stale(struct rig *rig, enum stale_reason reason)
{
	rig_open(rig);
	rig->lds[0].state = LD_STATE_STALE;
	rig->lds[0].stale_reason = reason;
	rig->lds[0].since_ms = rig->view.wall_ms;
	rig_say(rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_ABSENT);
	holder_says(rig, true);
	rig_see(rig);
}

static void expect_rebuild(struct rig *rig, uint64_t ld)
{
	const struct command_ld_rebuild *rebuild = rig_expect_command(rig, members_step)->ld_rebuild;

	assert_non_null(rebuild);
	assert_int_equal(rebuild->slot, 0);
	assert_int_equal(rebuild->epoch, rig->slots[0].epoch);
	assert_int_equal(rebuild->ld, ld);
	assert_false(rebuild->resync);
}

/* Its room may be another LD's by now. That of another disk, which takes its place, is not. */
static void test_held(void **state)
{
	struct rig rig;

	(void)state;
	stale(&rig, STALE_REASON_PATH_LOST);
	rig.disks[0].held = true;
	rig_wait(&rig, MEMBERS_SETTLE_MS);
	rig_expect_wait(&rig, members_step, "ld1: its disk d1 is held since a restore");
	rig.disks[0].held = false;
	expect_rebuild(&rig, 1);
	rig.disks[0].held = rig.disks[0].gone = true;
	rig_expect_wait(&rig, members_step, "its disk of node");
	rig_close(&rig);
}

static void test_rebuild(void **state)
{
	struct rig rig;

	(void)state;
	stale(&rig, STALE_REASON_PATH_LOST);
	rig_expect_wait(&rig, members_step, NULL);
	assert_int_equal(rig.step.look_again_ms, MEMBERS_SETTLE_MS);
	rig_wait(&rig, MEMBERS_SETTLE_MS - 1);
	rig_expect_wait(&rig, members_step, NULL);
	rig_wait(&rig, 1);
	expect_rebuild(&rig, 1);
	/* Not too many at one holder. */
	rig.view.rebuilds[0] = MEMBERS_REBUILDS;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds 4 others");
	rig.view.rebuilds[0] = MEMBERS_REBUILDS - 1;
	expect_rebuild(&rig, 1);
	/* Not while the other copy is in doubt: this one may be what is left. */
	holder_says_both(&rig, true, true);
	rig_expect_wait(&rig, members_step, "ld1 is not rebuilt while no other copy is well");
	holder_says(&rig, true);
	/* Not while the slot moves, the node is in doubt, its disk is gone, or it cannot export. */
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, members_step, NULL);
	rig.slots[0].phase = SLOT_PHASE_SERVING;
	rig.nodes[N1].health = HEALTH_SUSPECT;
	rig_expect_wait(&rig, members_step, NULL);
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig.disks[0].gone = true;
	rig_expect_wait(&rig, members_step, "ld1: its disk of node n1 is away; replaced in 599 s");
	rig.disks[0].gone = false;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_FAILED);
	rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 says failed");
	/* Not before its old export is gone, with what was in flight: that it was before it went stale is not enough.
	 */
	rig_say_at(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED, rig.volume.revision - 1);
	rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 is at revision");
	reported_clear(&rig.reported[N1]);
	rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 has not reported it yet");
	/* Others of its disk may be exported. */
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	expect_rebuild(&rig, 1);
	/* Not before its holder dropped it, and says so of the present revision. */
	holder_says(&rig, false);
	rig_expect_wait(&rig, members_step, "ld1: node c1 has not dropped it yet");
	holder_says(&rig, true);
	rig.volume.revision++;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_ABSENT);
	rig_expect_wait(&rig, members_step, "ld1: node c1 has not dropped it yet");
	holder_says(&rig, true);
	expect_rebuild(&rig, 1);
	rig_members(&rig, C1, NULL, 0);
	rig_expect_wait(&rig, members_step, "ld1: node c1 has not dropped it yet");
	reported_clear(&rig.reported[C1]);
	rig_expect_wait(&rig, members_step, "ld1: node c1 has not dropped it yet");
	rig_close(&rig);
	/* A disk that returned an error is left alone for longer. */
	stale(&rig, STALE_REASON_MEDIUM);
	rig_wait(&rig, MEMBERS_SETTLE_MEDIUM_MS - 1);
	rig_expect_wait(&rig, members_step, NULL);
	rig_wait(&rig, 1);
	expect_rebuild(&rig, 1);
	rig_close(&rig);
}

static void test_by_bitmap(void **state)
{
	struct rig rig;

	(void)state;
	/* Why it is stale says nothing of what its group knows: the record does. */
	stale(&rig, STALE_REASON_PATH_LOST);
	rig_wait(&rig, MEMBERS_SETTLE_MS);
	expect_rebuild(&rig, 1);
	rig.lds[0].resync = true;
	assert_true(rig_expect_command(&rig, members_step)->ld_rebuild->resync);
	/* Its group does not take it, though nothing is in its way: it is copied as a whole then. */
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig_see(&rig);
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_ABSENT });
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_wait(&rig, MEMBERS_RESYNC_MS - 1);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	assert_int_equal(rig.step.look_again_ms, 2);
	rig_wait(&rig, 2);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_MEDIUM);
	/* What was said of an earlier time, one that has its place, one whose path is lost, or that is no such one. */
	rig.volume.revision++;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig.volume.revision--;
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_REBUILDING });
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_member(&rig, C1,
		   (struct member_status){
			   .ld = 1, .health = MEMBER_HEALTH_ABSENT, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_ABSENT });
	rig.lds[0].resync = false;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_close(&rig);
}

/* The group copies it, and comes no further. */
static void test_stalled(void **state)
{
	struct member_status member = {
		.ld = 1, .health = MEMBER_HEALTH_REBUILDING, .done_bytes = 7, .total_bytes = 900
	};
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig_member(&rig, C1, member);
	rig_wait(&rig, MEMBERS_STALLED_MS - 1);
	rig_member(&rig, C1, member);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	assert_int_equal(rig.step.look_again_ms, 2);
	/* It came further. */
	member.done_bytes = 8;
	rig_member(&rig, C1, member);
	rig_wait(&rig, MEMBERS_STALLED_MS);
	rig_member(&rig, C1, member);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	/* What it is copied from cannot be read. */
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	rig_take(&rig, members_step);
	assert_non_null(strstr(rig.step.waits_for,
			       "ld1: node c1 rebuilds it; ld2, from which it is copied, returned I/O errors"));
	rig_wait(&rig, 1);
	rig_expect_stale(&rig, members_step, "ld1", STALE_REASON_MEDIUM);
	/* Not when it is all that there is to copy from. */
	rig_offline(&rig, N2);
	rig_take(&rig, members_step);
	assert_non_null(strstr(rig.step.waits_for, "slot 0: ld1 is lost, and no other copy is well"));
	rig_close(&rig);
}

static void test_in_sync(void **state)
{
	struct member_status member = { .ld = 1, .health = MEMBER_HEALTH_IN_SYNC };
	const struct command_ld_in_sync *in_sync;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig_members(&rig, C1, NULL, 0);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_REBUILDING });
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_member(&rig, C1, member);
	in_sync = rig_expect_command(&rig, members_step)->ld_in_sync;
	assert_non_null(in_sync);
	assert_int_equal(in_sync->slot, 0);
	assert_int_equal(in_sync->epoch, 1);
	assert_int_equal(in_sync->ld, 1);
	assert_int_equal(in_sync->revision, rig.volume.revision);
	/* What was said before the rebuild began, or in another epoch, is about another member than this. */
	rig.volume.revision++;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	rig_member(&rig, C1, member);
	rig_expect_command(&rig, members_step);
	/* Ahead of what this leader has applied: by then it was in sync, and who knows what happened since. */
	rig.volume.revision--;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig.volume.revision++;
	rig.slots[0].epoch = 2;
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig.slots[0].epoch = 1;
	/* And not while what was written last may wait on its way. */
	member.path_lost = true;
	rig_member(&rig, C1, member);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_close(&rig);
}

/* Whatever the holder says: nothing can have been copied to what is not exported. */
static void test_in_sync_needs_its_export(void **state)
{
	const enum object_state states[] = { OBJECT_STATE_ABSENT, OBJECT_STATE_PENDING, OBJECT_STATE_FAILED };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .health = MEMBER_HEALTH_IN_SYNC });
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", states[i]);
		rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 says");
	}
	/* What it said before the rebuild began, or in its session before. */
	rig_say_at(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED, rig.volume.revision - 1);
	rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 is at revision");
	reported_clear(&rig.reported[N1]);
	rig_expect_wait(&rig, members_step, "export d1.v7.s0: node n1 has not reported it yet");
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	assert_non_null(rig_expect_command(&rig, members_step)->ld_in_sync);
	/* The holder's session is another one, and says nothing yet. */
	reported_clear(&rig.reported[C1]);
	rig_expect_wait(&rig, members_step, "ld1: node c1 rebuilds it");
	rig_close(&rig);
}

static void test_replace(void **state)
{
	struct rig rig;

	(void)state;
	stale(&rig, STALE_REASON_PATH_LOST);
	rig_offline(&rig, N1);
	rig_expect_wait(&rig, members_step, "ld1: the agent of node n1 is away; replaced in 600 s");
	assert_int_equal(rig.step.look_again_ms, LIMIT_REBUILD_AFTER_MS);
	rig_wait(&rig, LIMIT_REBUILD_AFTER_MS - 1);
	rig_expect_wait(&rig, members_step, "ld1");
	assert_int_equal(rig.step.replace_ld, 0);
	rig_wait(&rig, 1);
	rig_expect_wait(&rig, members_step, "ld1");
	assert_int_equal(rig.step.replace_ld, 1);
	assert_int_equal(rig.step.replace_slot, 0);
	/* It may be what is left. */
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, "ld1 is not replaced while no other copy is well");
	assert_int_equal(rig.step.replace_ld, 0);
	holder_says(&rig, true);
	/* A new leader gives everybody a lease to come back. */
	rig.view.leader_since_ms = rig.view.now_ms;
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 0);
	assert_int_equal(rig.step.look_again_ms, LIMIT_LEASE_MS);
	rig_wait(&rig, LIMIT_LEASE_MS);
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 1);
	/* Doubt is no reason, and one that is back is rebuilt where it is. */
	rig.nodes[N1].health = HEALTH_UNKNOWN;
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 0);
	rig.nodes[N1].health = HEALTH_ONLINE;
	expect_rebuild(&rig, 1);
	/* Its disk is gone. */
	rig.disks[0].gone = true;
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 1);
	rig_close(&rig);
	/* As the operator wants it. */
	stale(&rig, STALE_REASON_PATH_LOST);
	rig_offline(&rig, N1);
	rig.view.rebuild_after_ms = 30000;
	rig_wait(&rig, 29999);
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 0);
	rig_wait(&rig, 1);
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 1);
	rig_close(&rig);
}

static void test_leaving(void **state)
{
	const struct command_lds_free *free;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.left = (struct ld){ .id = 9, .disk = 4, .state = LD_STATE_STALE };
	rig.leaving[0] = (struct leaving_ld){ .slot = 0, .ld = &rig.left };
	rig.volume.leaving.count = 1;
	rig_expect_wait(&rig, members_step, "export d4.v7.s0: node c4 has not reported it yet");
	rig_say_at(&rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_ABSENT, rig.volume.revision - 1);
	rig_expect_wait(&rig, members_step, "export d4.v7.s0");
	rig_say(&rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, members_step, "export d4.v7.s0");
	/* Gone, or something else of the slot is exported from the disk, and this is not part of it any more. */
	rig_say(&rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_CONVERGED);
	rig_expect_command(&rig, members_step);
	rig_say(&rig, C4, OBJECT_KIND_EXPORT, "d4.v7.s0", OBJECT_STATE_ABSENT);
	free = rig_expect_command(&rig, members_step)->lds_free;
	assert_non_null(free);
	assert_int_equal(free->volume, RIG_VOLUME);
	assert_int_equal(free->lds.count, 1);
	assert_string_equal(free->lds.items[0], "ld9");
	rig_offline(&rig, C4);
	rig_expect_wait(&rig, members_step, "node c4 is offline");
	rig_close(&rig);
}

/* Its node was forgotten: another disk is looked for at once, but only while the slot serves. */
static void test_lost(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.lds[0].state = LD_STATE_FREED;
	rig.lds[0].stale_reason = STALE_REASON_LOST;
	rig.lds[0].disk = 99; /* which is not there any more */
	rig_expect_wait(&rig, members_step, "ld1 is lost: its node was forgotten");
	assert_int_equal(rig.step.replace_ld, 1);
	assert_int_equal(rig.step.replace_slot, 0);
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_take(&rig, members_step);
	assert_int_equal(rig.step.replace_ld, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rebuild),	  cmocka_unit_test(test_held),
		cmocka_unit_test(test_by_bitmap), cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_in_sync),	  cmocka_unit_test(test_in_sync_needs_its_export),
		cmocka_unit_test(test_replace),	  cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
