/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a slot may be served by force, from what, and what has to be promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/force.h"
#include "src/leader/slots.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_leader_rig.h"

static void lost(struct rig *rig, enum rig_node holder)
{
	rig_member(rig, holder, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
}

/* ld1 (n1) missed writes; ld2, in sync, is on n2, which is offline, and the holder has lost it. */
static void make(struct rig *rig)
{
	rig_open(rig);
	rig->lds[0].state = LD_STATE_STALE;
	rig->lds[0].stale_reason = STALE_REASON_PATH_LOST;
	rig->lds[0].since_ms = RIG_WALL - 60000;
	rig->lds[0].whole = true;
	rig->lds[2].disk = 3; /* the other slot has nothing on n2 */
	rig_offline(rig, N2);
	lost(rig, C1);
}

static struct volume_force_plan plan_made(struct rig *rig)
{
	struct volume_force_plan plan;

	if (force_plan(&rig->view, 0, &rig->arena, &plan, &rig->error) != 0)
		fail_msg("%s\n%s", rig->error.message, rig->error.details);
	return plan;
}

static void refused(struct rig *rig, const char *words)
{
	struct volume_force_plan plan;

	assert_int_equal(force_plan(&rig->view, 0, &rig->arena, &plan, &rig->error), ERROR_FAILED_PRECONDITION);
	if (strstr(rig->error.message, words) == NULL && strstr(rig->error.details, words) == NULL)
		fail_msg("\"%s\" is not in: %s\n%s", words, rig->error.message, rig->error.details);
}

static bool says(const struct volume_force_plan *plan, const char *words)
{
	for (size_t i = 0; i < plan->notes.count; i++) {
		if (strstr(plan->notes.items[i], words) != NULL)
			return true;
	}
	return false;
}

static void test_plan(void **state)
{
	struct volume_force_plan plan;
	const struct force_member *members;
	struct rig rig;

	(void)state;
	make(&rig);
	plan = plan_made(&rig);
	assert_int_equal(plan.id, RIG_VOLUME);
	assert_int_equal(plan.epoch, 1);
	assert_int_equal(plan.revision, RIG_REVISION);
	assert_int_equal(plan.groups.count, 1);
	assert_int_equal(plan.groups.items[0].leg, 0);
	assert_int_equal(plan.groups.items[0].members.count, 2);
	members = plan.groups.items[0].members.items;
	assert_int_equal(members[0].ld, 1);
	assert_string_equal(members[0].node, "n1");
	assert_true(members[0].taken);
	assert_int_equal(members[0].reason, STALE_REASON_PATH_LOST);
	assert_int_equal(members[0].since_ms, RIG_WALL - 60000);
	assert_false(members[1].taken);
	assert_non_null(strstr(members[1].note, "its node is offline; given up"));
	assert_true(says(&plan, "every write since"));
	assert_true(says(&plan, "of different times")); /* the other leg is of now */
	assert_true(says(&plan, "nothing is lost if node n2 comes back"));
	/* The holder is online and does what it is told. */
	assert_int_equal(plan.off_holders.count, 0);
	assert_int_equal(plan.off_disks.count, 1);
	assert_string_equal(plan.off_disks.items[0], "n2");
	assert_int_equal(force_plan(&rig.view, 2, &rig.arena, &plan, &rig.error), ERROR_NOT_FOUND);
	rig_close(&rig);
	/* A failed member is the only one left. */
	make(&rig);
	rig.lds[0].stale_reason = STALE_REASON_MEDIUM;
	plan = plan_made(&rig);
	assert_non_null(strstr(plan.groups.items[0].members.items[0].note, "returned an error"));
	rig_close(&rig);
}

static void test_not_needed(void **state)
{
	struct rig rig;

	(void)state;
	make(&rig);
	rig.nodes[N2].health = HEALTH_ONLINE;
	refused(&rig, "needs no force");
	refused(&rig, "ld2 of node n2 is in sync, and the node is online");
	/* Its disk is not there any more. */
	rig.disks[1].gone = true;
	assert_non_null(strstr(plan_made(&rig).groups.items[0].members.items[1].note, "no such disk any more"));
	rig.disks[1].gone = false;
	/* It is this leader alone that does not hear of it: the holder reads and writes it. */
	rig.nodes[N2].health = HEALTH_OFFLINE;
	rig_member(&rig, C1, (struct member_status){ .ld = 2 });
	refused(&rig, "ld2 of node n2 is in sync, and the slot's holder reaches it");
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .path_lost = true, .path_lost_ms = 1 });
	assert_int_equal(plan_made(&rig).groups.count, 1);
	rig_member(&rig, C1, (struct member_status){ .ld = 2, .health = MEMBER_HEALTH_FAILED });
	assert_int_equal(plan_made(&rig).groups.count, 1);
	/* What it said is history once it is silent. */
	rig_member(&rig, C1, (struct member_status){ .ld = 2 });
	rig_offline(&rig, C1);
	assert_int_equal(plan_made(&rig).groups.count, 1);
	rig.nodes[C1].health = HEALTH_ONLINE;
	rig_members(&rig, C1, NULL, 0);
	/* Not known yet: a new leader, or a node that was silent for a moment. */
	rig.nodes[N2].health = HEALTH_UNKNOWN;
	refused(&rig, "not known yet whether node n2 lives");
	rig.nodes[N2].health = HEALTH_SUSPECT;
	refused(&rig, "not known yet whether node n2 lives");
	rig.nodes[N2].health = HEALTH_OFFLINE;
	rig.nodes[C1].health = HEALTH_UNKNOWN;
	refused(&rig, "not known yet whether node c1 lives");
	rig.nodes[C1].health = HEALTH_ONLINE;
	rig.volume.phase = VOLUME_PHASE_UNEXPORTING;
	refused(&rig, "not online");
	rig_close(&rig);
}

static void test_no_candidate(void **state)
{
	struct rig rig;

	(void)state;
	make(&rig);
	rig.lds[0].whole = false;
	refused(&rig, "holds only a part");
	assert_non_null(strstr(rig.error.message, "no copy that could be served"));
	rig.lds[0].whole = true;
	rig_offline(&rig, N1);
	refused(&rig, "ld1 of node n1, stale: stale, and its node is offline");
	rig.nodes[N1].health = HEALTH_SUSPECT;
	refused(&rig, "not known yet whether its node lives");
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig.disks[0].gone = true;
	refused(&rig, "no such disk any more");
	rig.disks[0].gone = false;
	rig.lds[0].state = LD_STATE_REBUILDING;
	rig.lds[0].whole = false;
	refused(&rig, "holds only a part");
	rig.groups[0].members = (struct ld_list){ 1, &rig.lds[1] };
	refused(&rig, "holds everything, but its node is offline");
	rig_close(&rig);
}

/* The one that missed least. */
static void test_choice(void **state)
{
	struct ld lds[3];
	struct volume_force_plan plan;
	struct rig rig;

	(void)state;
	make(&rig);
	lds[0] = rig.lds[0];
	lds[1] = rig.lds[1];
	lds[2] = (struct ld){ .id = 5,
			      .disk = 4,
			      .state = LD_STATE_STALE,
			      .stale_reason = STALE_REASON_NOT_FENCED,
			      .whole = true,
			      .since_ms = RIG_WALL - 5000 };
	rig.groups[0].members = (struct ld_list){ 3, lds };
	plan = plan_made(&rig);
	assert_false(plan.groups.items[0].members.items[0].taken);
	assert_non_null(strstr(plan.groups.items[0].members.items[0].note, "missed more"));
	assert_true(plan.groups.items[0].members.items[2].taken);
	lds[2].whole = false;
	assert_true(plan_made(&rig).groups.items[0].members.items[0].taken);
	rig_close(&rig);
}

static int command_make(struct rig *rig, uint64_t revision, const char *off, struct command_slot_force *ret_command)
{
	struct volume_force_request request = { .volume = "vol", .revision = revision, .by = "me" };

	request.powered_off = (struct string_list){ off != NULL, &off };
	return force_command(&rig->view, &request, &rig->arena, ret_command, &rig->error);
}

static void test_command(void **state)
{
	struct command_slot_force command;
	struct rig rig;

	(void)state;
	make(&rig);
	assert_int_equal(command_make(&rig, RIG_REVISION - 1, NULL, &command), ERROR_CONFLICT);
	assert_int_equal(command_make(&rig, RIG_REVISION, NULL, &command), 0);
	assert_int_equal(command.volume, RIG_VOLUME);
	assert_int_equal(command.epoch, 1);
	assert_int_equal(command.revision, RIG_REVISION);
	assert_int_equal(command.lds.count, 1);
	assert_string_equal(command.lds.items[0], "ld1");
	assert_string_equal(command.by, "me");
	rig.nodes[N2].health = HEALTH_ONLINE;
	assert_int_equal(command_make(&rig, RIG_REVISION, "n2", &command), ERROR_FAILED_PRECONDITION);
	rig_close(&rig);
}

/* A holder that nobody hears of may serve on from the member that nobody hears of. */
static void test_promise(void **state)
{
	struct command_slot_force command;
	struct volume_force_plan plan;
	struct rig rig;

	(void)state;
	make(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, N2);
	lost(&rig, C3);
	plan = plan_made(&rig);
	assert_int_equal(plan.off_holders.count, 1);
	assert_string_equal(plan.off_holders.items[0], "c1");
	assert_true(says(&plan, "whether node c1 still serves hosts from node n2"));
	assert_int_equal(command_make(&rig, plan.revision, NULL, &command), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(rig.error.message, "node c1 may still serve hosts from node n2"));
	assert_non_null(strstr(rig.error.hint, "--powered-off n2"));
	assert_int_equal(command_make(&rig, plan.revision, "n1", &command), ERROR_FAILED_PRECONDITION);
	assert_int_equal(command_make(&rig, plan.revision, "n2", &command), 0);
	assert_int_equal(command.powered_off.count, 1);
	assert_int_equal(command_make(&rig, plan.revision, "c1", &command), 0);
	/* It is back: it takes down what it has, and is waited for. */
	rig.nodes[C1].health = HEALTH_ONLINE;
	assert_int_equal(command_make(&rig, plan.revision, NULL, &command), 0);
	/* The present holder is gone as well. */
	rig_offline(&rig, C3);
	assert_int_equal(command_make(&rig, plan.revision, "c1", &command), ERROR_FAILED_PRECONDITION);
	assert_int_equal(command_make(&rig, plan.revision, "c3", &command), 0);
	rig_close(&rig);
}

/* Whoever asks what the volume waits for hears of it; and what follows takes the way of every move. */
static void test_slots(void **state)
{
	struct rig rig;

	(void)state;
	make(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, N2);
	lost(&rig, C3);
	rig_expect_wait(&rig, slots_step, "what another one holds: dnvme volume force vol --slot 0");
	rig.lds[0].whole = false;
	rig_expect_wait(&rig, slots_step, "node n2 is offline");
	/* It was forced: ld1 has to be fenced like any other, and c1's lease is waited for, as n2 cannot be asked. */
	rig.lds[0].state = LD_STATE_IN_SYNC;
	rig.lds[1].state = LD_STATE_STALE;
	rig.lds[1].stale_reason = STALE_REASON_FORCED;
	rig.slots[0].epoch = 3;
	rig.slots[0].reason = MOVE_REASON_FORCE;
	rig.volume.revision++;
	rig_see(&rig);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", OBJECT_STATE_CONVERGED);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", OBJECT_STATE_CONVERGED);
	assert_int_equal(rig_expect_command(&rig, slots_step)->slot_advance->to, SLOT_PHASE_ASSEMBLING);
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	rig_see(&rig);
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig_member(&rig, C3, (struct member_status){ .ld = 1 });
	rig_expect_wait(&rig, slots_step, "node c1 may serve for up to");
	rig_wait(&rig, LIMIT_LEASE_MS + LIMIT_LEASE_CHECK_MS + LIMIT_LEASE_MARGIN_MS);
	assert_int_equal(rig_expect_command(&rig, slots_step)->slot_advance->to, SLOT_PHASE_EXPORTING);
	rig_close(&rig);
}

static void told(struct rig *rig, enum rig_node node, const char *id, struct ld_errors errors)
{
	struct object_status status = { .kind = OBJECT_KIND_EXPORT,
					.id = id,
					.state = OBJECT_STATE_CONVERGED,
					.revision = rig->volume.revision,
					.errors = { 1, &errors } };

	assert_int_equal(reported_update(&rig->reported[node], &status, NULL), 0);
}

/* Slot 0 is fenced. ld1, in sync, returned errors; ld2 is on n2, which is offline. */
static void make_errors(struct rig *rig)
{
	rig_open(rig);
	rig_move(rig, SLOT_PHASE_FENCING);
	rig->lds[2].disk = 3;
	rig_offline(rig, N2);
	rig_members(rig, C3, NULL, 0);
	told(rig, N1, "d1.v7.s0", (struct ld_errors){ .ld = 1, .reads = 2, .writes = 1, .rebuild_ms = 99 });
}

/* A copy that is there, but that its group may have dropped, is no reason to wait for ever for one that is gone. */
static void test_errors(void **state)
{
	const struct force_member *members;
	struct command_slot_force command;
	struct volume_force_plan plan;
	struct rig rig;

	(void)state;
	make_errors(&rig);
	plan = plan_made(&rig);
	assert_int_equal(plan.groups.count, 1);
	members = plan.groups.items[0].members.items;
	assert_true(members[0].taken);
	assert_int_equal(members[0].state, LD_STATE_IN_SYNC);
	assert_non_null(strstr(members[0].note, "may have dropped it at an error"));
	assert_non_null(members[0].errors);
	assert_int_equal(members[0].errors->reads, 2);
	assert_int_equal(members[0].errors->writes, 1);
	assert_int_equal(members[0].errors->rebuild_ms, 99);
	assert_false(members[1].taken);
	assert_null(members[1].errors);
	assert_non_null(strstr(members[1].note, "its node is offline; given up"));
	assert_true(says(&plan, "not known: whether the members that returned errors"));
	assert_true(says(&plan, "nothing is lost if node n2 comes back, unless its disk returned errors, too"));
	assert_false(says(&plan, "went stale") || says(&plan, "lacks less"));
	/* It is fenced, which ends whatever the old holder does. */
	assert_int_equal(plan.off_holders.count, 1);
	assert_int_equal(plan.off_disks.count, 0);
	assert_int_equal(command_make(&rig, plan.revision, NULL, &command), 0);
	assert_int_equal(command.lds.count, 1);
	assert_string_equal(command.lds.items[0], "ld1");
	rig_expect_wait(&rig, slots_step, "dnvme volume force vol --slot 0");
	/* It was forced. Until its Disk Node has forgotten the errors it is waited for; those that come later count. */
	rig.lds[1].state = LD_STATE_STALE;
	rig.slots[0].epoch = 3;
	rig.volume.revision++;
	rig_see(&rig);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", OBJECT_STATE_CONVERGED);
	rig_say(&rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", OBJECT_STATE_CONVERGED);
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig_expect_wait(&rig, slots_step, "ld1 on d1 of node n1 returned I/O errors");
	rig_errors(&rig, N1, "d1.v7.s0", 0);
	assert_int_equal(rig_expect_command(&rig, slots_step)->slot_advance->to, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

static void test_errors_not_needed(void **state)
{
	struct rig rig;

	(void)state;
	/* The other one may yet confirm, without errors. */
	make_errors(&rig);
	rig.nodes[N2].health = HEALTH_ONLINE;
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	refused(&rig, "ld2 of node n2 is in sync, and the node is online; it is not fenced yet");
	assert_null(strstr(rig.error.details, "ld1"));
	assert_non_null(strstr(rig.error.hint, "ask again in a few seconds"));
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_CONVERGED);
	refused(&rig, "needs no force");
	assert_null(strstr(rig.error.details, "not fenced yet"));
	assert_null(strstr(rig.error.hint, "ask again"));
	rig.lds[1].doubtful = true;
	assert_int_equal(plan_made(&rig).groups.count, 1);
	rig.lds[1].doubtful = false;
	rig.nodes[N2].health = HEALTH_SUSPECT;
	refused(&rig, "not known yet whether node n2 lives");
	rig_offline(&rig, N2);
	assert_int_equal(plan_made(&rig).groups.count, 1);
	/* Not fenced yet; and once it is assembled, errors are nothing that anybody waits for. */
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	refused(&rig, "ld1 of node n1 is in sync, and the node is online");
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	refused(&rig, "ld1 of node n1 is in sync, and the node is online");
	rig.slots[0].phase = SLOT_PHASE_FENCING;
	/* A group of one drops nothing. */
	rig.groups[0].members = (struct ld_list){ 1, &rig.lds[0] };
	refused(&rig, "needs no force");
	rig_close(&rig);
}

static uint64_t taken_of(struct rig *rig)
{
	struct volume_force_plan plan = plan_made(rig);
	const struct force_member_list *members = &plan.groups.items[0].members;
	uint64_t taken = 0;

	for (size_t m = 0; m < members->count; m++) {
		if (!members->items[m].taken)
			continue;
		assert_int_equal(taken, 0);
		taken = members->items[m].ld;
	}
	return taken;
}

/* Which one of those that may have been dropped; a stale one only after all of them. */
static void test_errors_choice(void **state)
{
	static const struct {
		struct ld_errors one, two;
		uint64_t taken;
	} cases[] = {
		{ { .ld = 1, .reads = 9 }, { .ld = 2, .writes = 1 }, 1 },
		{ { .ld = 1, .writes = 1 }, { .ld = 2, .reads = 9 }, 2 },
		{ { .ld = 1, .reads = 9 }, { .ld = 2, .missed = true }, 1 },
		{ { .ld = 1, .missed = true }, { .ld = 2, .reads = 9 }, 2 },
		{ { .ld = 1, .writes = 1 }, { .ld = 2, .writes = 50 }, 2 },
		{ { .ld = 1, .reads = 2 }, { .ld = 2, .reads = 1 }, 2 },
		{ { .ld = 1, .reads = 1 }, { .ld = 2, .reads = 1 }, 1 },
	};
	struct volume_force_plan plan;
	struct ld lds[3];
	struct rig rig;

	(void)state;
	make_errors(&rig);
	lds[0] = (struct ld){ .id = 5,
			      .disk = 4,
			      .state = LD_STATE_STALE,
			      .stale_reason = STALE_REASON_FORCED,
			      .whole = true,
			      .since_ms = RIG_WALL };
	lds[1] = rig.lds[0];
	lds[2] = rig.lds[1];
	rig.groups[0].members = (struct ld_list){ 3, lds };
	plan = plan_made(&rig);
	assert_non_null(strstr(plan.groups.items[0].members.items[0].note, "missed more than the one"));
	assert_int_equal(taken_of(&rig), 1);
	rig.nodes[N2].health = HEALTH_ONLINE;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		told(&rig, N1, "d1.v7.s0", cases[i].one);
		told(&rig, N2, "d2.v7.s0", cases[i].two);
		assert_int_equal(taken_of(&rig), cases[i].taken);
	}
	plan = plan_made(&rig);
	assert_true(says(&plan, "not known: which of the members in sync"));
	assert_false(says(&plan, "comes back"));
	assert_non_null(plan.groups.items[0].members.items[2].errors);
	assert_non_null(strstr(plan.groups.items[0].members.items[2].note, "not known which of them lacks less"));
	/* A cache that was lost is worth more than errors: what was flushed is there. */
	lds[2].doubtful = true;
	rig_errors(&rig, N2, "d2.v7.s0", 0);
	assert_int_equal(taken_of(&rig), 2);
	plan = plan_made(&rig);
	assert_true(says(&plan, "not known: which of the members in sync"));
	assert_true(says(&plan, "whether the cache of the disk"));
	assert_non_null(strstr(plan.groups.items[0].members.items[1].note, "not known which of them lacks less"));
	assert_non_null(strstr(plan.groups.items[0].members.items[2].note, "may lack what the cache of its disk held"));
	/* It needs no force when none returned errors, unless a better one is away. */
	rig_errors(&rig, N1, "d1.v7.s0", 0);
	refused(&rig, "needs no force");
	lds[1].state = LD_STATE_STALE;
	refused(&rig, "needs no force");
	lds[1].state = LD_STATE_IN_SYNC;
	told(&rig, N1, "d1.v7.s0", cases[0].one);
	lds[0].state = LD_STATE_IN_SYNC;
	rig_offline(&rig, N3);
	lds[0].disk = 3;
	assert_int_equal(taken_of(&rig), 2);
	plan = plan_made(&rig);
	assert_true(plan.groups.items[0].members.items[2].doubtful);
	assert_true(says(&plan, "whether the cache of the disk"));
	assert_false(says(&plan, "whether the members that returned errors"));
	assert_int_equal(plan.off_disks.count, 0);
	assert_true(says(&plan, "nothing is lost if node n3 comes back: wait"));
	rig_close(&rig);
}

static void test_failing_allocations(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct command_slot_force command;
		struct rig rig;
		int rv;

		if (n % 2 == 0)
			make_errors(&rig);
		else
			make(&rig);
		failing_alloc_arm(n);
		rv = command_make(&rig, rig.volume.revision, NULL, &command);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_not_needed),
		cmocka_unit_test(test_no_candidate),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_promise),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_not_needed),
		cmocka_unit_test(test_errors_choice),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
