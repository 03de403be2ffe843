/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of mirrors: how they leave, come back, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/group.h"
#include "agent/health.h"
#include "agent/label.h"
#include "agent/list.h"
#include "agent/planner.h"
#include "agent/reported.h"
#include "agent/superblock.h"
#include "tests/unit/test_agent_rig.h"

#define RAID "dnvme-raid-v1.l0.g0"
#define IMPORT_2 "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d2.v1.s0:e1"

struct fixture {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
	struct health_memory memory;
	uint64_t now_ms;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error error = { 0 };

	assert_non_null(fixture);
	assert_int_equal(kernel_sim_open(NULL, &fixture->agent.kernel, &error), 0);
	fixture->volume = rig_volume_default();
	fixture->volume.controllers = fixture->volume.legs = 1;
	fixture->volume.top_wanted = false;
	fixture->now_ms = 1000;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	health_memory_free(&fixture->memory);
	rig_agent_free(&fixture->agent);
	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

static const char *log_take(struct fixture *fixture)
{
	const char *text;

	assert_int_equal(buffer_append(&fixture->agent.log, "", 1), 0);
	text = arena_strdup(&fixture->arena, (const char *)fixture->agent.log.data);
	buffer_clear(&fixture->agent.log);
	return text;
}

static void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, text);
}

/* What cn1 is told, with member 1 of the first group in a state. */
static struct desired desired_make(struct fixture *f, enum ld_state state, uint64_t since_ms)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);
	struct desired_member *member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1];

	member->state = state;
	member->since_ms = since_ms;
	return desired;
}

/* The same of three copies, with members 1 and 2 in states. */
static struct desired desired_of_three(struct fixture *f, enum ld_state one, uint64_t one_ms, enum ld_state two,
				       uint64_t two_ms)
{
	struct desired desired = desired_make(f, one, one_ms);
	struct desired_member *member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[2];

	member->state = two;
	member->since_ms = two_ms;
	return desired;
}

static void formatted(struct fixture *f)
{
	struct desired desired;

	f->volume.format = true;
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	rig_converge(&f->agent, &desired);
	f->volume.format = false;
	log_take(f);
}

static const char *plan_text(struct fixture *f, const struct desired *desired)
{
	char *text = rig_plan_text(&f->agent, desired);
	const char *copy = arena_strdup(&f->arena, text);

	free(text);
	return copy;
}

/* As if the kernel said `status` (NULL: what it says) of every mirror. */
static struct volume_health health_with(struct fixture *f, const struct desired *desired, const char *status)
{
	struct volume_health_list list;
	struct observed observed;
	struct target target;
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < observed.dms.count && status != NULL; i++) {
		if (observed.dms.items[i].status != NULL)
			observed.dms.items[i].status = status;
	}
	for (size_t i = 0; i < f->agent.labels.count; i++)
		*LIST_PUSH(&f->arena, &observed.labels) = f->agent.labels.items[i];
	assert_int_equal(target_build(desired, &f->arena, &target, &error), 0);
	assert_int_equal(health_make(desired, &target, &observed, &f->memory, f->now_ms, &f->arena, &list, &error), 0);
	assert_int_equal(list.count, desired->volumes.count);
	return list.items[0];
}

static struct volume_health health_get(struct fixture *f, const struct desired *desired)
{
	return health_with(f, desired, NULL);
}

static struct member_status member_get(struct fixture *f, const struct desired *desired, size_t index)
{
	struct volume_health health = health_get(f, desired);

	assert_true(index < health.members.count);
	return health.members.items[index];
}

/* --- leaving --- */

static void test_frozen_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct desired in_sync, stale;
	struct error error;
	const char *plan;

	formatted(f);
	in_sync = desired_make(f, LD_STATE_IN_SYNC, 0);
	stale = desired_make(f, LD_STATE_STALE, 4);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "connecting", "optimized", &error), 0);
	plan = plan_text(f, &in_sync);
	assert_lacks(plan, "dm ");
	plan = plan_text(f, &stale);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " RAID " is not changed while the path to ld2 is lost\n");
	/* Neither when a member that stays cannot be reached. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "live", "optimized", &error), 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1",
					       "connecting", "optimized", &error),
			 0);
	plan = plan_text(f, &stale);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " RAID " is not changed while the path to ld1 is lost\n");
}

/* The leader gives a member up before this kernel notices that its node is dead: its path looks well, and a reload
 * would wait for what is in flight on it. */
static void test_dead_looks_well(void **state)
{
	struct fixture *f = *state;
	struct desired stale;
	const char *plan;

	formatted(f);
	stale = desired_make(f, LD_STATE_STALE, 4);
	plan = plan_text(f, &stale);
	assert_contains(plan, "nvme    drop       " IMPORT_2);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " RAID " is not changed before the path to ld2 is gone\n");
	rig_converge(&f->agent, &stale);
	assert_string_equal(plan_text(f, &stale), "");
	assert_int_equal(member_get(f, &stale, 1).health, MEMBER_HEALTH_ABSENT);
}

static void test_failed_leaves(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;

	formatted(f);
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, RAID, 1, &error), 0);
	/* The leader has not said so yet: told, and left alone. */
	assert_string_equal(plan_text(f, &desired), "");
	assert_int_equal(member_get(f, &desired, 0).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_FAILED);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	rig_golden("member_leaves", log_take(f));
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	assert_false(member_get(f, &desired, 1).path_lost);
}

/* A superblock knew that an earlier group had failed it, and the kernel copies it, or is about to. That is no resync of
 * all of them. */
static void test_lagging_is_told(void **state)
{
	static const struct {
		const char *status;
		enum member_health health[2];
	} cases[] = {
		{ "raid1 2 Aa 512/1024 recover 0 0 -", { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_REBUILDING } },
		{ "raid1 2 Aa 0/1024 idle 0 0 -", { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_REBUILDING } },
		{ "raid1 2 AD 0/1024 idle 0 0 -", { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_FAILED } },
		{ "raid1 2 aa 512/1024 resync 0 0 -", { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_IN_SYNC } },
		{ "raid1 2 AA 1024/1024 idle 0 0 -", { MEMBER_HEALTH_IN_SYNC, MEMBER_HEALTH_IN_SYNC } },
	};
	struct fixture *f = *state;
	struct desired desired;

	formatted(f);
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct volume_health health = health_with(f, &desired, cases[i].status);

		assert_int_equal(health.members.items[0].health, cases[i].health[0]);
		assert_int_equal(health.members.items[1].health, cases[i].health[1]);
	}
}

/* An assembly would hang as well, and with it all of its lane. */
static void test_assembly_waits_for_paths(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;
	const char *plan;

	formatted(f);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	while (strstr(plan_text(f, &desired), "dm      create     " RAID) == NULL)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "connecting", "optimized", &error), 0);
	plan = plan_text(f, &desired);
	assert_contains(plan, "waits   v1  " RAID " waits for the path to ld2\n");
	assert_lacks(plan, "dm      create     " RAID);
	rig_agent_restart(&f->agent);
	assert_lacks(plan_text(f, &desired), "label   read       dnvme-label-ld2");
}

/* --- coming back --- */

static void test_rebuild(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct member_status member;
	struct error error;
	const char *log;

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	log_take(f);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	desired.volumes.items[0].legs.items[0].rebuild_rate_bytes = UINT64_C(10) << 20;
	rig_converge(&f->agent, &desired);
	rig_golden("member_rebuilds", log_take(f));
	member = member_get(f, &desired, 1);
	assert_int_equal(member.health, MEMBER_HEALTH_REBUILDING);
	assert_int_equal(member.done_bytes, 0);
	assert_int_equal(member.total_bytes, 145408 * 512);
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, RAID, 1000, &error), 0);
	assert_int_equal(member_get(f, &desired, 1).done_bytes, 1000 * 512);
	/* A new process goes on with it. */
	rig_agent_restart(&f->agent);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_lacks(log, "reload");
	assert_lacks(log, "write");
	/* The group says that it is complete before its superblocks do. */
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, RAID, 145408, &error), 0);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	rig_converge(&f->agent, &desired);
	rig_golden("member_complete", log_take(f));
	member = member_get(f, &desired, 1);
	assert_int_equal(member.health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member.epoch, 1);
	desired = desired_make(f, LD_STATE_IN_SYNC, 6);
	assert_string_equal(plan_text(f, &desired), "");
	/* From now on it is assembled as the others are. */
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	rig_converge(&f->agent, &desired);
	assert_contains(log_take(f), "resync by dnvme-raidmeta-ld1,dnvme-raidmeta-ld2");
}

static void test_incomplete_superblock(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	struct error error;

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, RAID, 145408, &error), 0);
	superblock_make(block, false);
	assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, "dnvme-raidmeta-ld2", 0, block,
								  sizeof(block), &error),
			 0);
	rig_wave(&f->agent, &desired);
	assert_int_equal(f->agent.error.code, ERROR_UNAVAILABLE);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
}

static void test_half_rebuilt_is_not_assembled(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	rig_converge(&f->agent, &desired);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	/* Whoever says that it is in sync is wrong. */
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	while (rig_wave(&f->agent, &desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
	assert_contains(plan_text(f, &desired), "fails   v1  ld2 cannot be assembled as member 1 of group 0 of leg 0: "
						"its label says that it was not formatted");
}

static void test_another_rebuild_begins_anew(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log, *dropped, *added;

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &desired);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	log_take(f);
	/* In sync, stale and rebuilding again, all before this agent heard of it: it looks complete, and is not. */
	desired = desired_make(f, LD_STATE_REBUILDING, 9);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	dropped = strstr(log, "dm      reload     " RAID "  0 145408 raid raid1 3 0 region_size 1024 2 ");
	added = strstr(log, "raid1 5 0 rebuild 1 region_size");
	assert_non_null(dropped);
	assert_non_null(added);
	assert_true(dropped < added);
	assert_contains(log, " - -\n");
	/* So does one that never was in the group by a rebuild. */
	desired = desired_make(f, LD_STATE_IN_SYNC, 10);
	f->volume.legs_wanted = false;
	desired = desired_make(f, LD_STATE_IN_SYNC, 10);
	rig_converge(&f->agent, &desired);
	f->volume.legs_wanted = true;
	desired = desired_make(f, LD_STATE_IN_SYNC, 10);
	rig_converge(&f->agent, &desired);
	log_take(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 9);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
}

/* Once it was called in sync, the leader may commit that at any moment: from then on it must not miss a write. */
static void test_complete_and_another_leaves(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;
	bool forgotten = false;

	f->volume.copies = f->volume.disks = 3;
	formatted(f);
	desired = desired_of_three(f, LD_STATE_STALE, 4, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &desired);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member_get(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
	/* The other one is given up: once its path is gone, it leaves by a table of those that the leader calls in
	 * sync. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_STALE, 6);
	assert_contains(plan_text(f, &desired), "is not changed before the path to ld3 is gone\n");
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	/* … or begins anew. Whether it does is not known before its label is. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 7);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	for (size_t i = 0; i < f->agent.labels.count && !forgotten; i++) {
		if (strcmp(f->agent.labels.items[i].device, "dnvme-label-ld3") != 0)
			continue;
		f->agent.labels.items[i] = f->agent.labels.items[--f->agent.labels.count];
		forgotten = true;
	}
	assert_true(forgotten);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	log_take(f);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, " - - - -\n");
	assert_contains(log, "rebuild 1 rebuild 2");
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
}

static void test_complete_and_another_comes(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;

	f->volume.copies = f->volume.disks = 3;
	formatted(f);
	desired = desired_of_three(f, LD_STATE_STALE, 4, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	log_take(f);
	/* The table with the other one would say "rebuild" of that one only. */
	desired = desired_of_three(f, LD_STATE_REBUILDING, 5, LD_STATE_REBUILDING, 6);
	for (int i = 0; i < 5; i++) {
		rig_wave(&f->agent, &desired);
		assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	}
	log = log_take(f);
	assert_lacks(log, "reload");
	assert_contains(log, "a rebuild in " RAID " waits for the one that is going on");
	desired = desired_of_three(f, LD_STATE_IN_SYNC, 7, LD_STATE_REBUILDING, 6);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "0 rebuild 2 region_size");
	assert_lacks(log, "- -\n");
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member_get(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
}

/* Each way in which "complete" may be about something else than the member's present rebuild. */
static void test_complete_of_another_time(void **state)
{
	struct fixture *f = *state;
	struct desired complete, desired;
	struct ld_label *label = NULL;
	struct error error;

	formatted(f);
	complete = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &complete);
	complete = desired_make(f, LD_STATE_REBUILDING, 5);
	rig_converge(&f->agent, &complete);
	assert_int_equal(member_get(f, &complete, 1).health, MEMBER_HEALTH_IN_SYNC);
	for (size_t i = 0; i < f->agent.labels.count; i++) {
		if (strcmp(f->agent.labels.items[i].device, "dnvme-label-ld2") == 0)
			label = f->agent.labels.items[i].label;
	}
	assert_non_null(label);
	/* A later rebuild, an earlier one. */
	desired = desired_make(f, LD_STATE_REBUILDING, 6);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	desired = desired_make(f, LD_STATE_REBUILDING, 4);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	/* Given up, and it is still in the group. */
	desired = desired_make(f, LD_STATE_STALE, 6);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	/* Another epoch: the group of this one does not run yet. */
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	desired.volumes.items[0].legs.items[0].epoch = 2;
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	assert_int_equal(member_get(f, &desired, 0).health, MEMBER_HEALTH_ABSENT);
	/* The label of an earlier epoch, or not complete. */
	label->epoch = 9;
	assert_int_equal(member_get(f, &complete, 1).health, MEMBER_HEALTH_ABSENT);
	label->epoch = 1;
	label->formatted = false;
	assert_int_equal(member_get(f, &complete, 1).health, MEMBER_HEALTH_REBUILDING);
	label->formatted = true;
	/* The label says so, the kernel does not. */
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, RAID, 1, &error), 0);
	assert_int_equal(member_get(f, &complete, 1).health, MEMBER_HEALTH_FAILED);
}

static void test_new_member_needs_no_label(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct desired_member *member;
	uint8_t other[LABEL_BLOCK_BYTES];
	const char *log;

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	/* ld9 on another disk takes the place of ld2. */
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1];
	member->ld = 9;
	member->unlabelled = true;
	member->nqn = "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d3.v1.s0:e1";
	member->uuid[0] ^= 1;
	memset(other, 7, sizeof(other));
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "label   write      dnvme-label-ld9  ld9 of v1.l0.g0, being rebuilt\n");
	assert_contains(log, "label   write      dnvme-label-ld9  ld9 of v1.l0.g0, complete as dnvme-raidmeta-ld9\n");
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(member_get(f, &desired, 1).ld, 9);
	/* Without that word there must be a label, and there is none on a disk nobody knows. */
	desired = desired_make(f, LD_STATE_STALE, 6);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 7);
	member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1];
	member->ld = 2;
	desired.volumes.items[0].legs.items[0].epoch = 1;
	while (rig_wave(&f->agent, &desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
	assert_int_equal(member_get(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
}

/* A rebuild says to the kernel that the others are equal. */
static void test_rebuild_waits_for_resync(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	struct target target;
	struct buffer text = BUFFER_INIT;
	struct plan plan;
	struct error error = { 0 };

	formatted(f);
	desired = desired_make(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5);
	while (strstr(plan_text(f, &desired), "reload") == NULL)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < f->agent.labels.count; i++)
		*LIST_PUSH(&f->arena, &observed.labels) = f->agent.labels.items[i];
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, RAID) == 0)
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

/* --- labels and epochs --- */

static void test_label_of_another_epoch(void **state)
{
	struct fixture *f = *state;
	struct ld_label label = {
		.cluster = RIG_CLUSTER, .volume = 1, .member = 1, .ld = 2, .size_bytes = 0, .formatted = true
	};
	static const char *const reasons[] = { "its label has an earlier epoch: its Disk Node did not fence it",
					       "its label has a later epoch: another holder was given it" };
	struct desired desired;
	struct error error;

	formatted(f);
	for (int format = 0; format < 2; format++) {
		for (int i = 0; i < 2; i++) {
			uint8_t block[LABEL_BLOCK_BYTES];

			f->volume.format = format == 1;
			desired = desired_make(f, LD_STATE_IN_SYNC, 0);
			label.size_bytes =
				desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].size_bytes;
			/* Epoch 0 is none, but it is earlier. */
			label.epoch = i == 0 ? 0 : 2;
			label_encode(&label, block);
			f->volume.legs_wanted = false;
			desired = desired_make(f, LD_STATE_IN_SYNC, 0);
			f->volume.legs_wanted = true;
			rig_agent_restart(&f->agent);
			assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
			desired = desired_make(f, LD_STATE_IN_SYNC, 0);
			while (strstr(plan_text(f, &desired), "dnvme-label-ld2\n") == NULL)
				assert_true(rig_wave(&f->agent, &desired) > 0);
			rig_wave(&f->agent, &desired);
			rig_agent_restart(&f->agent);
			assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, "dnvme-label-ld2", 0,
										  block, sizeof(block), &error),
					 0);
			log_take(f);
			while (rig_wave(&f->agent, &desired) > 0)
				assert_int_equal(f->agent.error.code, 0);
			assert_contains(plan_text(f, &desired), reasons[i]);
			assert_lacks(log_take(f), "clearing");
		}
	}
}

static void test_thick_format(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log, *thin, *fill, *label;

	f->volume.format = true;
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	desired.volumes.items[0].legs.items[0].thick = true;
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	thin = strstr(log, "dm      create     dnvme-thin-");
	fill = strstr(log, "block   fill       dnvme-thin-v1.l0\n");
	label = strstr(log, "label   write");
	assert_non_null(thin);
	assert_non_null(fill);
	assert_non_null(label);
	assert_true(thin < fill && fill < label);
	assert_contains(log, " 128 0 1 ignore_discard\n");
	/* Once is enough. */
	rig_agent_restart(&f->agent);
	rig_converge(&f->agent, &desired);
	assert_lacks(log_take(f), "fill");
}

/* --- paths --- */

static void test_paths(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct volume_health health;
	struct error error;

	f->volume.controllers = 2;
	f->volume.top_wanted = true;
	formatted(f);
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	health = health_get(f, &desired);
	assert_int_equal(health.volume, 1);
	assert_int_equal(health.members.count, 2);
	assert_int_equal(health.peers.count, 1);
	assert_int_equal(health.peers.items[0].slot, 1);
	assert_false(health.peers.items[0].path_lost);
	assert_false(health.members.items[1].path_lost);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "connecting", "optimized", &error), 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":leg:v1.s1.cn1",
					       "connecting", "optimized", &error),
			 0);
	f->now_ms = 2000;
	health = health_get(f, &desired);
	assert_true(health.members.items[1].path_lost && health.peers.items[0].path_lost);
	assert_int_equal(health.members.items[1].path_lost_ms, 1);
	f->now_ms = 2700;
	health = health_get(f, &desired);
	assert_int_equal(health.members.items[1].path_lost_ms, 701);
	assert_int_equal(health.peers.items[0].path_lost_ms, 701);
	/* It stays in sync: nothing was acknowledged without it. */
	assert_int_equal(health.members.items[1].health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "live", "optimized", &error), 0);
	f->now_ms = 3000;
	health = health_get(f, &desired);
	assert_false(health.members.items[1].path_lost);
	assert_int_equal(health.members.items[1].path_lost_ms, 0);
	/* Lost again, it counts from anew. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, IMPORT_2, "connecting", "optimized", &error), 0);
	f->now_ms = 9000;
	assert_int_equal(member_get(f, &desired, 1).path_lost_ms, 1);
	/* A volume without legs here says so. */
	f->volume.legs_wanted = f->volume.top_wanted = false;
	desired = desired_make(f, LD_STATE_IN_SYNC, 0);
	health = health_get(f, &desired);
	assert_int_equal(health.members.count + health.peers.count, 0);
}

static void test_inaccessible_is_lost(void **state)
{
	struct observed_import import = { .nqn = IMPORT_2, .state = "live" };
	struct observed observed = { .imports = { 1, &import } };

	(void)state;
	assert_int_equal(group_path_of(&observed, IMPORT_2), GROUP_PATH_LIVE);
	import.ana = "optimized";
	assert_int_equal(group_path_of(&observed, IMPORT_2), GROUP_PATH_LIVE);
	import.ana = "inaccessible";
	assert_int_equal(group_path_of(&observed, IMPORT_2), GROUP_PATH_FROZEN);
	assert_int_equal(group_path_of(&observed, "nqn.x"), GROUP_PATH_GONE);
}

static void test_progress_once_a_second(void **state)
{
	struct fixture *f = *state;
	struct member_status member = {
		.ld = 2, .epoch = 1, .health = MEMBER_HEALTH_REBUILDING, .done_bytes = 1, .total_bytes = 9
	};
	struct volume_health volume = { .volume = 1, .members = { 1, &member } };
	struct volume_health_list health = { 1, &volume };
	struct object_status_list statuses = { 0 };
	struct observed_disk_list disks = { 0 };
	struct reported_news news = { &statuses, &health, &disks, 5000 };
	struct reported reported = { 0 };
	struct agent_report report;
	struct error error;

	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 1);
	member.done_bytes = 2;
	news.now_ms = 5900;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 0);
	/* What changed in between is not forgotten. */
	news.now_ms = 6000;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 1);
	news.now_ms = 6100;
	member.path_lost = true;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 1);
	member.path_lost_ms = 77;
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 0);
	reported_reset(&reported);
	assert_int_equal(reported_update(&reported, &news, &f->arena, &report, &error), 0);
	assert_int_equal(report.volumes.count, 1);
	reported_reset(&reported);
}

/* --- what the kernel prints and writes --- */

static void test_table_and_status(void **state)
{
	struct observed_target line = { .length = 100, .type = "raid" };
	struct observed_target_list list = { 1, &line };
	struct group_status status;
	struct group_table table;
	static const char *const bad[] = { "",
					   "raid1",
					   "raid5 3 0 region_size 8 2 - - - -",
					   "raid1 3 0 region_size 8 2 1:2",
					   "raid1 3 0 region_size 8 9 1:2 1:3",
					   "raid1 9 0 region_size 8 1 1:2 1:3",
					   "raid1 3 0 region_size x 1 1:2 1:3",
					   "raid1 3 0 region_size 8 1 1:2x 1:3" };

	(void)state;
	line.params = "raid1 8 0 nosync rebuild 2 max_recovery_rate 7 region_size 1024 3 253:1 253:2 - - 7:8 7:9";
	assert_true(group_table_parse(&list, &table));
	assert_int_equal(table.count, 3);
	assert_int_equal(table.region_sectors, 1024);
	assert_true(table.rebuild[2] && !table.rebuild[1]);
	assert_int_equal(table.data[0], PLANNER_DEVICE(253, 2));
	assert_int_equal(table.data[1], 0);
	assert_int_equal(table.metadata[2], PLANNER_DEVICE(7, 8));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		line.params = bad[i];
		if (group_table_parse(&list, &table))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	group_status_parse("raid1 3 Aa- 1024/2048 recover 0 0 -", &status);
	assert_int_equal(status.count, 3);
	assert_string_equal(status.health, "Aa-");
	assert_int_equal(status.done_sectors, 1024);
	assert_true(status.rebuilding && !status.idle);
	/* Between its end and the next look of the kernel. */
	group_status_parse("raid1 2 aa 2048/2048 idle 0 0 -", &status);
	assert_false(status.idle);
	group_status_parse("raid1 2 AD 2048/2048 idle 0 0 -", &status);
	assert_true(status.idle);
	group_status_parse("raid1 2 A 2048/2048 idle 0 0 -", &status);
	assert_int_equal(status.count, 0);
	group_status_parse(NULL, &status);
	assert_int_equal(status.count, 0);
}

static void test_superblock(void **state)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], good[SUPERBLOCK_BLOCK_BYTES];
	static const struct {
		size_t at;
		uint8_t value;
		int code;
	} cases[] = { { 0, 'x', ERROR_FAILED_PRECONDITION }, { 4, 3, ERROR_UNSUPPORTED },  { 4, 0, ERROR_UNSUPPORTED },
		      { 48, 5, ERROR_UNSUPPORTED },	     { 60, 1, ERROR_UNSUPPORTED }, { 64, 0, ERROR_UNSUPPORTED },
		      { 72, 6, ERROR_UNSUPPORTED },	     { 144, 1, ERROR_UNSUPPORTED } };
	struct error error;

	(void)state;
	superblock_make(good, true);
	assert_memory_equal(good, "DmRd", 4);
	assert_int_equal(superblock_check(good, "dnvme-raidmeta-ld1", &error), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(block, good, sizeof(block));
		block[cases[i].at] = cases[i].value;
		assert_int_equal(superblock_check(block, "dnvme-raidmeta-ld1", &error), cases[i].code);
		assert_contains(error.message, "dnvme-raidmeta-ld1");
	}
	memcpy(block, good, sizeof(block));
	superblock_request_resync(block);
	assert_memory_equal(block, good, 40);
	for (int i = 40; i < 48; i++)
		assert_int_equal(block[i], 0);
	assert_memory_equal(block + 48, good + 48, sizeof(block) - 48);
	assert_true(superblock_is_complete(block));
	block[32] = 0;
	assert_false(superblock_is_complete(block));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frozen_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_looks_well, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lagging_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_assembly_waits_for_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rebuild, setup, teardown),
		cmocka_unit_test_setup_teardown(test_incomplete_superblock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_rebuilt_is_not_assembled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_rebuild_begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete_and_another_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete_and_another_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete_of_another_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_member_needs_no_label, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rebuild_waits_for_resync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label_of_another_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thick_format, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inaccessible_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress_once_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_and_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_superblock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
