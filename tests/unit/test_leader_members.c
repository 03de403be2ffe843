/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/members.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_leader_rig.h"

static void expect_stale(struct rig *rig, const char *ld, enum stale_reason reason)
{
	const struct command_lds_stale *stale = rig_expect_command(rig, members_step)->lds_stale;

	assert_non_null(stale);
	assert_int_equal(stale->volume, RIG_VOLUME);
	assert_int_equal(stale->slot, 0);
	assert_int_equal(stale->epoch, rig->slots[0].epoch);
	assert_int_equal(stale->reason, reason);
	assert_int_equal(stale->lds.count, 1);
	assert_string_equal(stale->lds.items[0], ld);
}

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
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	/* One that is not assembled yet is being connected to: that may take longer. */
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_ABSENT,
					   .path_lost = true,
					   .path_lost_ms = 2 * MEMBERS_PATH_LOST_MS });
	rig_expect_wait(&rig, members_step, NULL);
	assert_int_equal(rig.step.look_again_ms, MEMBERS_CONNECT_MS + 1 - 2 * MEMBERS_PATH_LOST_MS);
	rig_wait(&rig, MEMBERS_CONNECT_MS);
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
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
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

static void test_node_offline(void **state)
{
	struct rig rig;

	(void)state;
	/* Without a word from the holder. */
	rig_open(&rig);
	rig_offline(&rig, N1);
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	rig_member(&rig, C1, (struct member_status){ .ld = 1, .path_lost = true, .path_lost_ms = 1 });
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
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
	/* … or on a node that is offline, too. */
	rig.lds[1].state = LD_STATE_IN_SYNC;
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
	expect_stale(&rig, "ld2", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

static void test_medium(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .health = MEMBER_HEALTH_FAILED });
	expect_stale(&rig, "ld2", STALE_REASON_MEDIUM);
	rig_offline(&rig, N1);
	rig_expect_wait(&rig, members_step, "no other copy is well");
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
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	rig.nodes[N1].health = HEALTH_ONLINE;
	/* Once it is part of the group, writes wait for it; before, it is only on its way. */
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_REBUILDING,
					   .path_lost = true,
					   .path_lost_ms = MEMBERS_PATH_LOST_MS + 1 });
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	rig_member(&rig, C1,
		   (struct member_status){ .ld = 1,
					   .health = MEMBER_HEALTH_ABSENT,
					   .path_lost = true,
					   .path_lost_ms = MEMBERS_PATH_LOST_MS + 1 });
	rig_expect_wait(&rig, members_step, "node c1 rebuilds it");
	rig_wait(&rig, MEMBERS_JOIN_MS - MEMBERS_PATH_LOST_MS);
	expect_stale(&rig, "ld1", STALE_REASON_PATH_LOST);
	rig_close(&rig);
}

static void stale(struct rig *rig, enum stale_reason reason)
{
	rig_open(rig);
	rig->lds[0].state = LD_STATE_STALE;
	rig->lds[0].stale_reason = reason;
	rig->lds[0].since_ms = rig->view.wall_ms;
	rig_say(rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_ABSENT);
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
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
	rig_expect_wait(&rig, members_step, "ld1 is not rebuilt while no other copy is well");
	rig_members(&rig, C1, NULL, 0);
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
	expect_stale(&rig, "ld1", STALE_REASON_MEDIUM);
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

static void members_well(struct rig *rig, uint64_t drained)
{
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_IN_SYNC, .drained = drained },
					   { .ld = 2, .health = MEMBER_HEALTH_IN_SYNC, .drained = drained } };

	rig_members(rig, C1, members, 2);
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

/* It is called in sync, and the holder's group runs without it: what is written does not reach it. */
static void test_left_out(void **state)
{
	struct member_status both[] = { { .ld = 1, .health = MEMBER_HEALTH_ABSENT },
					{ .ld = 2, .health = MEMBER_HEALTH_IN_SYNC } };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_members(&rig, C1, both, 2);
	expect_stale(&rig, "ld1", STALE_REASON_MEDIUM);
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
	rig_members(&rig, C1, NULL, 0);
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

static void test_failing_allocations(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct rig rig;
		struct online_step step = ONLINE_STEP_INIT;
		int rv;

		rig_open(&rig);
		rig_offline(&rig, N1);
		failing_alloc_arm(n);
		rv = members_step(&rig.view, &rig.arena, &step, &rig.error);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_lost),
		cmocka_unit_test(test_node_offline),
		cmocka_unit_test(test_one_is_back),
		cmocka_unit_test(test_medium),
		cmocka_unit_test(test_rebuild_lost),
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_by_bitmap),
		cmocka_unit_test(test_failed_reads),
		cmocka_unit_test(test_failed_reads_unasked),
		cmocka_unit_test(test_in_sync),
		cmocka_unit_test(test_in_sync_needs_its_export),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
