/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that go stale, are rebuilt, replaced, and what a reboot makes of them. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>

static void ld_is(struct ld ld, enum ld_state state, enum stale_reason reason, bool resync)
{
	assert_int_equal(ld.state, state);
	assert_int_equal(ld.stale_reason, reason);
	assert_int_equal(ld.resync, resync);
}

static void test_lost_and_back(void **state)
{
	struct outcome outcome;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig.time_ms = 9000;
	outcome = rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST);
	assert_int_equal(outcome.code, 0);
	assert_int_equal(rig_volume(&rig, id).revision, outcome.revision);
	assert_true(rig_in_transition(&rig, id));
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_STALE, STALE_REASON_PATH_LOST, true);
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).since_ms, 9000);
	assert_false(rig_volume(&rig, id).slots.items[0].unfenced);
	rig_check(&rig);
	/* Again, even for another reason: it is stale. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MEDIUM).revision, outcome.revision);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_STALE, STALE_REASON_PATH_LOST, true);
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM), ERROR_FAILED_PRECONDITION,
		    "ld1 of volume v1 is the last member of its group that is in sync");
	rig_refused(rig_in_sync(&rig, id, 0, 2), ERROR_CONFLICT, "ld2 is stale, not rebuilding");

	outcome = rig_rebuild(&rig, id, 0, 2, true);
	assert_int_equal(outcome.code, 0);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_REBUILDING, STALE_REASON_PATH_LOST, true);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, true).revision, outcome.revision); /* again */
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_CONFLICT, "ld2 is rebuilding, not stale");
	rig_refused(rig_rebuild(&rig, id, 0, 1, false), ERROR_CONFLICT, "ld1 is in-sync, not stale");
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_PATH_LOST), ERROR_FAILED_PRECONDITION, "last member");
	rig_check(&rig);
	/* Lost once more: the bitmap still knows. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, true).code, 0);
	outcome = rig_in_sync(&rig, id, 0, 2);
	assert_int_equal(outcome.code, 0);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_IN_SYNC, STALE_REASON_PATH_LOST, false);
	assert_int_equal(rig_in_sync(&rig, id, 0, 2).revision, outcome.revision); /* again */
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	/* Now the other one may go. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM).code, 0);
	rig_refused(rig_rebuild(&rig, id, 0, 1, true), ERROR_FAILED_PRECONDITION, "it is copied as a whole");
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	/* A copy that is not complete is not completed by bitmap. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	rig_refused(rig_rebuild(&rig, id, 0, 1, true), ERROR_FAILED_PRECONDITION, "it is copied as a whole");
	rig_check(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* What it missed is known to the group that it was in: one that is lost before the group of its epoch is complete comes
 * back as a whole. */
static void test_lost_before_it_was_in(void **state)
{
	static const enum slot_phase phases[] = { SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING, SLOT_PHASE_EXPORTING,
						  SLOT_PHASE_SERVING };

	(void)state;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		bool resync = phases[i] == SLOT_PHASE_EXPORTING || phases[i] == SLOT_PHASE_SERVING;
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 5);

		assert_int_equal(
			rig_slot_move(&rig, id, 0, rig_volume(&rig, id).slots.items[0].holder, MOVE_REASON_RESTART)
				.code,
			0);
		for (size_t j = 1; j <= i; j++)
			assert_int_equal(rig_slot_advance(&rig, id, 0, phases[j]).code, 0);
		assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
		ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_STALE, STALE_REASON_PATH_LOST, resync);
		rig_check(&rig);
		rig_close(&rig);
	}
}

static void test_refused(void **state)
{
	const char *both[] = { "ld1", "ld2" };
	struct command_lds_stale stale = { 1, 0, 1, STALE_REASON_MEDIUM, { 2, both } };
	struct command_ld_rebuild rebuild = { 1, 0, 7, 2, false };
	struct command_ld_in_sync in_sync = { 1, 0, 7, 2, 1 };
	struct command_ld_replace replace = { 1, 0, 7, 2, 5 };
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	id = rig_open_pair(&rig, 5);
	revision = fsm_revision(rig.fsm);
	/* Of two members one would have to stay; then none goes. */
	rig_refused(rig_apply(&rig, (struct command){ .lds_stale = &stale }), ERROR_FAILED_PRECONDITION,
		    "ld2 of volume v1 is the last member");
	assert_int_equal(fsm_revision(rig.fsm), revision);
	ld_is(rig_member(&rig, id, 0, 0, 0), LD_STATE_IN_SYNC, 0, false);
	rig_refused(rig_stale(&rig, id, 0, "ld3", STALE_REASON_MEDIUM), ERROR_INVALID_ARGUMENT,
		    "ld3 belongs to slot 1, not to slot 0");
	rig_refused(rig_stale(&rig, id, 0, "ld9", STALE_REASON_MEDIUM), ERROR_NOT_FOUND, "has no LD ld9");
	rig_refused(rig_stale(&rig, id, 0, "d1", STALE_REASON_MEDIUM), ERROR_INVALID_ARGUMENT, "not the id of an LD");
	stale.epoch = 2;
	rig_refused(rig_apply(&rig, (struct command){ .lds_stale = &stale }), ERROR_CONFLICT, "in epoch 1, not 2");
	rig_refused(rig_apply(&rig, (struct command){ .ld_rebuild = &rebuild }), ERROR_CONFLICT, "in epoch 1, not 7");
	rig_refused(rig_apply(&rig, (struct command){ .ld_in_sync = &in_sync }), ERROR_CONFLICT, "in epoch 1, not 7");
	rig_refused(rig_apply(&rig, (struct command){ .ld_replace = &replace }), ERROR_CONFLICT, "in epoch 1, not 7");
	rig_refused(rig_rebuild(&rig, id, 1, 1, false), ERROR_INVALID_ARGUMENT, "belongs to slot 0, not to slot 1");
	rig_refused(rig_in_sync(&rig, id, 0, 77), ERROR_NOT_FOUND, "has no LD ld77");
	rig_refused(rig_replace(&rig, id, 0, 2, 5), ERROR_CONFLICT, "ld2 is in-sync, not stale");
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_delete(&rig, "db1");
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM), ERROR_FAILED_PRECONDITION, "not online");
	rig_close(&rig);
}

/* The leader heard that a rebuild was complete, and before that is committed another one has begun: it may have been
 * deposed meanwhile, or not have applied all that its predecessor did. */
static void test_in_sync_of_another_time(void **state)
{
	struct command_ld_in_sync in_sync = { 1, 0, 1, 2, 0 };
	struct command command = { .ld_in_sync = &in_sync };
	struct rig rig;
	uint64_t id, first_ms;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig.time_ms = 9000;
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	first_ms = rig_member(&rig, id, 0, 0, 1).since_ms;
	in_sync.revision = rig_volume(&rig, id).revision;
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	rig_refused(rig_apply(&rig, command), ERROR_CONFLICT, "ld2 is stale, not rebuilding");
	/* The clock of the next leader is behind: a rebuild never has the moment of another one. */
	rig.time_ms = first_ms - 1;
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	assert_true(rig_member(&rig, id, 0, 0, 1).since_ms > first_ms);
	rig_refused(rig_apply(&rig, command), ERROR_CONFLICT, "is where ld2 was in sync");
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_REBUILDING, STALE_REASON_PATH_LOST, false);
	in_sync.revision = rig_volume(&rig, id).revision;
	assert_int_equal(rig_apply(&rig, command).code, 0);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_IN_SYNC, STALE_REASON_PATH_LOST, false);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* What a member failed to read: asked for, excused, and forgotten with whatever makes it another member. */
static void test_failed_reads(void **state)
{
	struct rig rig;
	uint64_t id, first;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig_refused(rig_excuse(&rig, id, 0, 1, 1), ERROR_CONFLICT, "the holder of ld1 is asked for 0, not for 1");
	assert_int_equal(rig_drain(&rig, id, 0, 1, 1).code, 0);
	first = rig_member(&rig, id, 0, 0, 0).drain;
	assert_int_equal(first, rig_volume(&rig, id).revision);
	rig_check(&rig);
	/* There are more now: what the holder did for the first is too early. */
	assert_int_equal(rig_drain(&rig, id, 0, 1, 2).code, 0);
	assert_true(rig_member(&rig, id, 0, 0, 0).drain > first);
	rig_refused(rig_excuse(&rig, id, 0, 1, first), ERROR_CONFLICT, "is asked for");
	assert_int_equal(rig_excuse(&rig, id, 0, 1, rig_member(&rig, id, 0, 0, 0).drain).code, 0);
	assert_int_equal(rig_member(&rig, id, 0, 0, 0).drain, 0);
	assert_int_equal(rig_member(&rig, id, 0, 0, 0).failed_reads->reads, 2);
	assert_int_equal(rig_member(&rig, id, 0, 0, 0).failed_reads->last_us, 78);
	rig_check(&rig);
	/* That holds for the next holder, too; but what the last one did not answer, no other one can. */
	assert_int_equal(
		rig_slot_move(&rig, id, 0, rig_volume(&rig, id).slots.items[0].holder, MOVE_REASON_RESTART).code, 0);
	assert_non_null(rig_member(&rig, id, 0, 0, 0).failed_reads);
	rig_refused(rig_drain(&rig, id, 0, 1, 1), ERROR_CONFLICT, "only in phase serving");
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_drain(&rig, id, 0, 1, 1).code, 0);
	first = rig_member(&rig, id, 0, 0, 0).drain;
	assert_int_equal(
		rig_slot_move(&rig, id, 0, rig_volume(&rig, id).slots.items[0].holder, MOVE_REASON_RESTART).code, 0);
	assert_null(rig_member(&rig, id, 0, 0, 0).failed_reads);
	rig_refused(rig_excuse(&rig, id, 0, 1, first), ERROR_CONFLICT, "only in phase serving");
	rig_check(&rig);
	rig_slot_serve(&rig, id, 0);
	rig_refused(rig_excuse(&rig, id, 0, 1, first), ERROR_CONFLICT, "is asked for 0");
	/* One that went stale is copied. */
	assert_int_equal(rig_drain(&rig, id, 0, 1, 2).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM).code, 0);
	assert_null(rig_member(&rig, id, 0, 0, 0).failed_reads);
	assert_int_equal(rig_member(&rig, id, 0, 0, 0).drain, 0);
	rig_refused(rig_drain(&rig, id, 0, 1, 2), ERROR_CONFLICT, "ld1 is stale, not in-sync");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* What a move does to members, and what is given up meanwhile. */
static void test_move(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_STALE, STALE_REASON_HOLDER_LOST, false);
	/* The old holder may read what it rebuilt, and nobody waits for a fence of ld2. */
	assert_true(rig_volume(&rig, id).slots.items[0].unfenced);
	rig_check(&rig);
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED), ERROR_FAILED_PRECONDITION, "last member");
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_CONFLICT, "in phase fencing; members are rebuilt in");
	rig_refused(rig_replace(&rig, id, 0, 2, 5), ERROR_CONFLICT, "in phase fencing");
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 2).code, 0);

	/* Lost in this epoch: not by bitmap in the next one. */
	assert_int_equal(rig_stale(&rig, id, 1, "ld4", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	ld_is(rig_member(&rig, id, 1, 0, 1), LD_STATE_STALE, STALE_REASON_PATH_LOST, false);
	assert_true(rig_volume(&rig, id).slots.items[1].unfenced);
	rig_slot_serve(&rig, id, 1);
	rig_refused(rig_rebuild(&rig, id, 1, 4, true), ERROR_FAILED_PRECONDITION, "it is copied as a whole");
	assert_int_equal(rig_rebuild(&rig, id, 1, 4, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 1, 4).code, 0);

	/* A fence that did not come is noted in phase fencing only, and only when it is news. */
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	assert_false(rig_volume(&rig, id).slots.items[1].unfenced);
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_NOT_FENCED).code, 0);
	assert_true(rig_volume(&rig, id).slots.items[1].unfenced);
	ld_is(rig_member(&rig, id, 1, 0, 0), LD_STATE_STALE, STALE_REASON_NOT_FENCED, false);
	rig_slot_serve(&rig, id, 1);
	assert_int_equal(rig_rebuild(&rig, id, 1, 3, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 1, 3).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	assert_false(rig_volume(&rig, id).slots.items[1].unfenced);
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	assert_false(rig_volume(&rig, id).slots.items[1].unfenced);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_replace(void **state)
{
	static const struct command_node_cordon cordon = { .name = "n5", .cordoned = true },
						uncordon = { .name = "n5" };
	struct disk disk;
	struct outcome outcome;
	struct volume volume;
	struct rig rig;
	uint64_t id, all, extents;

	(void)state;
	id = rig_open_pair(&rig, 5);
	all = rig_extents_free(&rig);
	extents = rig_volume(&rig, id).legs.items[0].group_extents;
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	rig_refused(rig_replace(&rig, id, 0, 2, 1), ERROR_CONFLICT,
		    "node \"n1\" holds another member of the group, ld1");
	rig_refused(rig_replace(&rig, id, 0, 2, 99), ERROR_CONFLICT, "stale placement: there is no disk d99");
	rig_do(&rig, (struct command){ .node_cordon = (struct command_node_cordon *)&cordon });
	rig_refused(rig_replace(&rig, id, 0, 2, 5), ERROR_CONFLICT, "disk d5 of node \"n5\" is cordoned");
	rig_do(&rig, (struct command){ .node_cordon = (struct command_node_cordon *)&uncordon });
	assert_int_equal(rig_disk(&rig, "n5", "/dev/small", GIB / 4), 6);
	rig_refused(rig_replace(&rig, id, 0, 2, 6), ERROR_CONFLICT, "disk d6 has ");
	all = rig_extents_free(&rig);

	outcome = rig_replace(&rig, id, 0, 2, 5);
	assert_int_equal(outcome.code, 0);
	rig_check(&rig);
	volume = rig_volume(&rig, id);
	ld_is(rig_member(&rig, id, 0, 0, 1), LD_STATE_REBUILDING, 0, false);
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).id, 5);
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).disk, 5);
	assert_int_equal(volume.leaving.count, 1);
	assert_int_equal(volume.leaving.items[0].ld->id, 2);
	assert_int_equal(volume.leaving.items[0].ld->ranges.count, 1);
	ld_is(*volume.leaving.items[0].ld, LD_STATE_STALE, STALE_REASON_PATH_LOST, false);
	assert_int_equal(rig_extents_free(&rig), all - extents);
	/* Again, and what else may come late. */
	assert_int_equal(rig_replace(&rig, id, 0, 2, 5).revision, outcome.revision);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MEDIUM).revision, outcome.revision);
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_CONFLICT, "another LD took the place of ld2");
	rig_refused(rig_in_sync(&rig, id, 0, 2), ERROR_CONFLICT, "ld2 is stale, not rebuilding");
	rig_refused(rig_free_one(&rig, id, "ld5"), ERROR_FAILED_PRECONDITION, "ld5 is freed in phase releasing");

	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_true(rig_in_transition(&rig, id)); /* ld2 is still there */
	outcome = (struct outcome){ .revision = rig_volume(&rig, id).revision };
	buffer_clear(&rig.changes);
	assert_int_equal(rig_free_one(&rig, id, "ld2").code, 0);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_non_null(strstr((const char *)rig.changes.data, "volume 1 r"));
	assert_int_equal(rig_volume(&rig, id).revision, outcome.revision);
	assert_int_equal(rig_volume(&rig, id).leaving.count, 0);
	assert_false(rig_in_transition(&rig, id));
	assert_int_equal(rig_extents_free(&rig), all);
	assert_int_equal(fsm_disk_get(rig.fsm, 2, &rig.arena, &disk, NULL), 0);
	assert_int_equal(disk.lds, 0);
	rig_refused(rig_free_one(&rig, id, "ld2"), ERROR_NOT_FOUND, "has no LD ld2");
	rig_check(&rig);

	/* A replaced LD that is still there when the volume is deleted goes with the others. */
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(rig_replace(&rig, id, 1, 3, 2).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_check(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	assert_int_equal(rig_extents_free(&rig), all + 4 * extents);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* The node of an LD that leaves hears of it, to the end. */
static void test_leaving_heard(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_stale(&rig, id, 1, "ld4", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(rig_replace(&rig, id, 1, 4, 5).code, 0);
	buffer_clear(&rig.changes);
	assert_int_equal(rig_in_sync(&rig, id, 1, 5).code, 0);
	assert_int_equal(rig_free_one(&rig, id, "ld4").code, 0);
	assert_int_equal(rig_stale(&rig, id, 1, "ld5", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_string_equal((const char *)rig.changes.data, "volume 1 r18: n1 n2 n3 n4 n5\n"
							    "volume 1 r19: n1 n2 n3 n4 n5\n"
							    "volume 1 r20: n1 n2 n3 n5\n");
	rig_close(&rig);
}

/* Leaving LDs may go before the others, and last. */
static void test_release_order(void **state)
{
	for (int last = 0; last < 2; last++) {
		struct volume volume;
		struct rig rig;
		uint64_t id;

		(void)state;
		id = rig_open_pair(&rig, 5);
		assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MEDIUM).code, 0);
		assert_int_equal(rig_replace(&rig, id, 0, 2, 5).code, 0);
		rig_delete(&rig, "db1");
		if (!last)
			assert_int_equal(rig_free_one(&rig, id, "ld2").code, 0);
		rig_advance_until(&rig, id, VOLUME_PHASE_RELEASING);
		for (const char *names[] = { "ld1", "ld3", "ld4", "ld5" }, **name = names; name < names + 4; name++) {
			assert_int_equal(rig_free_one(&rig, id, *name).code, 0);
			rig_check(&rig);
		}
		if (last)
			assert_int_equal(rig_free_one(&rig, id, "ld2").code, 0);
		assert_int_equal(fsm_volume_get(rig.fsm, id, &rig.arena, &volume, NULL), ERROR_NOT_FOUND);
		rig_check(&rig);
		rig_close(&rig);
	}
}

/* --- reboots ---------------------------------------------------------------------------------------------------- */

static struct outcome reboot(struct rig *rig, const char *name, const char *address, int boot)
{
	struct command_node_register node = { .name = name, .address = address, .port = 4420, .version = "1" };

	memset(node.boot_id, boot, sizeof(node.boot_id));
	return rig_do(rig, (struct command){ .node_register = &node });
}

static void test_reboot(void **state)
{
	struct command_disk_add disk = { .path = "/dev/x", .size_bytes = 20 * GIB, .volatile_cache = true };
	struct rig_shape two = { .name = "b", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 2 };
	char name[8], address[16];
	uint64_t revision;
	struct rig rig;

	(void)state;
	/* n1 and n2 lose what their caches hold, n3 does not. */
	rig_open(&rig);
	rig_cluster(&rig);
	for (unsigned i = 1; i <= 3; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(address, sizeof(address), "10.0.0.%u", i);
		rig_node(&rig, name, address, NULL);
		disk.node = name;
		disk.volatile_cache = i < 3;
		rig_do(&rig, (struct command){ .disk_add = &disk });
	}
	rig_create(&rig, &two); /* d1 d2, d3 d1 or so */
	two.name = "new";
	rig_create(&rig, &two);
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	assert_int_equal(rig_member(&rig, 1, 0, 0, 0).disk, 1);
	assert_int_equal(rig_member(&rig, 1, 0, 0, 1).disk, 2);
	buffer_clear(&rig.changes);
	revision = reboot(&rig, "n1", "10.0.0.1", 8).revision;
	ld_is(rig_member(&rig, 1, 0, 0, 0), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	ld_is(rig_member(&rig, 1, 0, 0, 1), LD_STATE_IN_SYNC, 0, false);
	assert_int_equal(rig_volume(&rig, 1).revision, revision);
	assert_true(rig_in_transition(&rig, 1));
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_non_null(strstr((const char *)rig.changes.data, "volume 1 r"));
	/* What was never formatted has nothing to lose. */
	assert_null(strstr((const char *)rig.changes.data, "volume 2 r"));
	ld_is(rig_member(&rig, 2, 0, 0, 0), LD_STATE_IN_SYNC, 0, false);
	rig_check(&rig);

	/* The last one stays, and it is no change of the volume. */
	revision = rig_volume(&rig, 1).revision;
	reboot(&rig, "n2", "10.0.0.2", 8);
	ld_is(rig_member(&rig, 1, 0, 0, 1), LD_STATE_IN_SYNC, 0, false);
	for (size_t l = 0; l < 2; l++)
		assert_true(rig_member(&rig, 1, l, 0, 0).state == LD_STATE_IN_SYNC ||
			    rig_member(&rig, 1, l, 0, 1).state == LD_STATE_IN_SYNC);
	/* Same boot id: nothing. */
	revision = fsm_revision(rig.fsm);
	reboot(&rig, "n2", "10.0.0.2", 8);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	/* A cache that keeps what it holds. */
	revision = rig_volume(&rig, 1).revision;
	reboot(&rig, "n3", "10.0.0.3", 8);
	assert_int_equal(rig_volume(&rig, 1).revision, revision);
	rig_check(&rig);

	/* A rebuild begins again; what was lost before cannot come back by bitmap. */
	assert_int_equal(rig_rebuild(&rig, 1, 0, rig_member(&rig, 1, 0, 0, 0).id, false).code, 0);
	reboot(&rig, "n1", "10.0.0.1", 9);
	ld_is(rig_member(&rig, 1, 0, 0, 0), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	assert_int_equal(rig_rebuild(&rig, 1, 0, rig_member(&rig, 1, 0, 0, 0).id, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, 1, 0, rig_member(&rig, 1, 0, 0, 0).id).code, 0);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	/* With a new address: one change, of everything. */
	buffer_clear(&rig.changes);
	revision = reboot(&rig, "n1", "10.0.9.1", 10).revision;
	ld_is(rig_member(&rig, 1, 0, 0, 0), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	assert_int_equal(rig_volume(&rig, 1).revision, revision);
	assert_int_equal(rig_volume(&rig, 2).revision, revision);
	rig_refused(rig_rebuild(&rig, 1, 0, 1, true), ERROR_FAILED_PRECONDITION, "lost what its cache held");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* In FENCING it is not given up before it is known what the others are worth. */
static void test_reboot_in_fence(void **state)
{
	struct command_disk_add disk = { .path = "/dev/x", .size_bytes = 20 * GIB, .volatile_cache = true };
	struct rig_shape two = {
		.name = "b", .size_bytes = GIB, .copies = 2, .controllers = 1, .standbys = 1, .legs = 1
	};
	char name[8], address[16];
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	for (unsigned i = 1; i <= 3; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(address, sizeof(address), "10.0.0.%u", i);
		rig_node(&rig, name, address, NULL);
		disk.node = name;
		rig_do(&rig, (struct command){ .disk_add = &disk });
	}
	rig_create(&rig, &two);
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	assert_int_equal(rig_member(&rig, 1, 0, 0, 0).disk, 1);
	assert_int_equal(rig_member(&rig, 1, 0, 0, 1).disk, 2);
	assert_int_equal(
		rig_slot_move(&rig, 1, 0, rig_volume(&rig, 1).controllers.items[1].node, MOVE_REASON_FAILOVER).code, 0);
	reboot(&rig, "n1", "10.0.0.1", 8);
	ld_is(rig_member(&rig, 1, 0, 0, 0), LD_STATE_IN_SYNC, 0, false);
	assert_true(rig_member(&rig, 1, 0, 0, 0).doubtful);
	/* The last one that is beyond doubt. */
	reboot(&rig, "n2", "10.0.0.2", 8);
	assert_false(rig_member(&rig, 1, 0, 0, 1).doubtful);
	rig_check(&rig);
	/* Given up, or assembled. */
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_REBOOTED).code, 0);
	ld_is(rig_member(&rig, 1, 0, 0, 0), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	assert_false(rig_member(&rig, 1, 0, 0, 0).doubtful);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* A pair on two nodes whose disks have volatile caches, and a node more. */
static void open_volatile(struct rig *rig)
{
	struct command_disk_add disk = { .path = "/dev/x", .size_bytes = 20 * GIB, .volatile_cache = true };
	struct rig_shape two = {
		.name = "b", .size_bytes = GIB, .copies = 2, .controllers = 1, .standbys = 1, .legs = 1
	};
	char name[8], address[16];

	rig_open(rig);
	rig_cluster(rig);
	for (unsigned i = 1; i <= 3; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(address, sizeof(address), "10.0.0.%u", i);
		rig_node(rig, name, address, NULL);
		disk.node = name;
		rig_do(rig, (struct command){ .disk_add = &disk });
	}
	rig_create(rig, &two);
	rig_advance_until(rig, 1, VOLUME_PHASE_ONLINE);
}

static struct ld member_by_id(struct rig *rig, uint64_t id)
{
	struct ld first = rig_member(rig, 1, 0, 0, 0);

	return first.id == id ? first : rig_member(rig, 1, 0, 0, 1);
}

/* The holder says that its group never ran without the one that was given up. */
static void test_taken_back(void **state)
{
	struct command_ld_settle old = { .volume = 1, .epoch = 1, .ld = 1 };
	struct ld ld;
	struct rig rig;

	(void)state;
	open_volatile(&rig);
	rig_refused(rig_settle(&rig, 1, 0, 77, false), ERROR_NOT_FOUND, "ld77");
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	ld = member_by_id(&rig, 1);
	assert_true(ld.pending && ld.whole);
	old.revision = rig_volume(&rig, 1).revision - 1;
	rig_refused(rig_apply(&rig, (struct command){ .ld_settle = &old }), ERROR_CONFLICT, "is at revision");
	old.epoch = 2;
	old.revision++;
	rig_refused(rig_apply(&rig, (struct command){ .ld_settle = &old }), ERROR_CONFLICT, "epoch");
	assert_int_equal(rig_settle(&rig, 1, 0, 1, false).code, 0);
	ld = member_by_id(&rig, 1);
	assert_true(ld.state == LD_STATE_IN_SYNC && !ld.pending);
	ld_is(member_by_id(&rig, 2), LD_STATE_STALE, STALE_REASON_MEDIUM, false);
	rig_check(&rig);
	/* Its group went on without it, or it was given up for its disk: it stays so. */
	rig_refused(rig_settle(&rig, 1, 0, 2, false), ERROR_CONFLICT, "was not given up by the present holder");
	assert_int_equal(rig_rebuild(&rig, 1, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, 1, 0, 2).code, 0);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_settle(&rig, 1, 0, 2, true).code, 0);
	assert_false(member_by_id(&rig, 2).pending);
	rig_refused(rig_settle(&rig, 1, 0, 2, false), ERROR_CONFLICT, "was not given up by the present holder");
	/* Its node lost a cache, and the disk of the other one had failed a write: this one has all that was flushed.
	 */
	reboot(&rig, "n1", "10.0.0.1", 8);
	ld_is(member_by_id(&rig, 1), LD_STATE_IN_SYNC, STALE_REASON_PATH_LOST, false);
	assert_int_equal(rig_rebuild(&rig, 1, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, 1, 0, 2).code, 0);
	reboot(&rig, "n1", "10.0.0.1", 9);
	ld_is(member_by_id(&rig, 1), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	assert_true(member_by_id(&rig, 1).pending);
	assert_int_equal(rig_settle(&rig, 1, 0, 1, false).code, 0);
	ld_is(member_by_id(&rig, 1), LD_STATE_IN_SYNC, STALE_REASON_REBOOTED, false);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* The last one lost its cache before it was known whether the group had gone on without the other one. */
static void test_withheld(void **state)
{
	char node[2][8];
	struct rig rig;

	(void)state;
	open_volatile(&rig);
	for (size_t m = 0; m < 2; m++)
		snprintf(node[m], sizeof(node[m]), "n%u", (unsigned)rig_member(&rig, 1, 0, 0, m).disk);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	reboot(&rig, node[1], node[1][1] == '1' ? "10.0.0.1" : node[1][1] == '2' ? "10.0.0.2" : "10.0.0.3", 8);
	assert_true(member_by_id(&rig, 2).withheld);
	rig_check(&rig);
	/* It went on: so this one is as good as any. */
	assert_int_equal(rig_settle(&rig, 1, 0, 2, false).code, 0);
	assert_false(member_by_id(&rig, 2).withheld);
	reboot(&rig, node[1], node[1][1] == '1' ? "10.0.0.1" : node[1][1] == '2' ? "10.0.0.2" : "10.0.0.3", 9);
	assert_true(member_by_id(&rig, 2).withheld);
	/* It did not. */
	assert_int_equal(rig_settle(&rig, 1, 0, 1, false).code, 0);
	ld_is(member_by_id(&rig, 1), LD_STATE_IN_SYNC, STALE_REASON_PATH_LOST, false);
	ld_is(member_by_id(&rig, 2), LD_STATE_STALE, STALE_REASON_REBOOTED, false);
	assert_false(member_by_id(&rig, 2).withheld);
	rig_check(&rig);
	/* When it is known that the group went on, a reboot is nothing. */
	assert_int_equal(rig_rebuild(&rig, 1, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, 1, 0, 2).code, 0);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_settle(&rig, 1, 0, 1, true).code, 0);
	reboot(&rig, node[1], node[1][1] == '1' ? "10.0.0.1" : node[1][1] == '2' ? "10.0.0.2" : "10.0.0.3", 10);
	assert_false(member_by_id(&rig, 2).withheld);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void reboot_of(struct rig *rig, uint64_t ld, uint8_t boot)
{
	char name[8], address[16];

	snprintf(name, sizeof(name), "n%u", (unsigned)member_by_id(rig, ld).disk);
	snprintf(address, sizeof(address), "10.0.0.%u", (unsigned)member_by_id(rig, ld).disk);
	reboot(rig, name, address, boot);
}

/* The fence did not wait for one any more, because of another one that then lost its cache. */
static void test_awaited_again(void **state)
{
	struct rig rig;

	(void)state;
	open_volatile(&rig);
	assert_int_equal(rig_slot_move(&rig, 1, 0, rig_volume(&rig, 1).slots.items[0].holder, MOVE_REASON_RESTART).code,
			 0);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
	reboot_of(&rig, 2, 8);
	ld_is(member_by_id(&rig, 1), LD_STATE_IN_SYNC, STALE_REASON_NOT_FENCED, false);
	assert_true(member_by_id(&rig, 2).state == LD_STATE_IN_SYNC && member_by_id(&rig, 2).doubtful);
	assert_false(member_by_id(&rig, 2).withheld);
	rig_check(&rig);
	/* One that lost its own cache meanwhile is no better. */
	assert_int_equal(rig_stale(&rig, 1, 0, "ld2", STALE_REASON_NOT_FENCED).code, 0);
	reboot_of(&rig, 2, 9);
	reboot_of(&rig, 1, 9);
	ld_is(member_by_id(&rig, 2), LD_STATE_STALE, STALE_REASON_NOT_FENCED, false);
	assert_true(member_by_id(&rig, 1).state == LD_STATE_IN_SYNC && !member_by_id(&rig, 1).doubtful);
	rig_check(&rig);
	/* Once it is assembled without it, writes may be missing there. */
	rig_slot_serve(&rig, 1, 0);
	assert_int_equal(rig_rebuild(&rig, 1, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, 1, 0, 2).code, 0);
	assert_int_equal(rig_slot_move(&rig, 1, 0, rig_volume(&rig, 1).slots.items[0].holder, MOVE_REASON_RESTART).code,
			 0);
	assert_int_equal(rig_stale(&rig, 1, 0, "ld2", STALE_REASON_NOT_FENCED).code, 0);
	rig_slot_serve(&rig, 1, 0);
	assert_int_equal(rig_slot_move(&rig, 1, 0, rig_volume(&rig, 1).slots.items[0].holder, MOVE_REASON_RESTART).code,
			 0);
	reboot_of(&rig, 1, 10);
	ld_is(member_by_id(&rig, 2), LD_STATE_STALE, STALE_REASON_NOT_FENCED, false);
	assert_false(member_by_id(&rig, 1).withheld);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_and_back),	cmocka_unit_test(test_in_sync_of_another_time),
		cmocka_unit_test(test_refused),		cmocka_unit_test(test_failed_reads),
		cmocka_unit_test(test_taken_back),	cmocka_unit_test(test_withheld),
		cmocka_unit_test(test_awaited_again),	cmocka_unit_test(test_move),
		cmocka_unit_test(test_reboot_in_fence), cmocka_unit_test(test_replace),
		cmocka_unit_test(test_leaving_heard),	cmocka_unit_test(test_release_order),
		cmocka_unit_test(test_reboot),		cmocka_unit_test(test_lost_before_it_was_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
