/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of mirrors: how they leave, their labels and paths, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/label.h"
#include "agent/lane.h"
#include "agent/reported.h"
#include "tests/unit/test_agent_mirror_rig.h"
#include "tests/unit/test_text.h"

/* --- leaving --- */

static void test_frozen_is_left_alone(void **state)
{
	struct mirror *f = *state;
	struct desired in_sync, stale;
	struct error error;
	const char *plan;

	mirror_format(f);
	in_sync = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	plan = mirror_plan(f, &in_sync);
	assert_lacks(plan, "dm ");
	plan = mirror_plan(f, &stale);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " MIRROR " is not changed while the path to ld2 is lost\n");
	/* Neither when a member that stays cannot be reached. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "live", "optimized", &error), 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1",
					       "connecting", "optimized", &error),
			 0);
	plan = mirror_plan(f, &stale);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " MIRROR " is not changed while the path to ld1 is lost\n");
}

/* The leader gives a member up before this kernel notices that its node is dead: its path looks well, and a reload
 * would wait for what is in flight on it. */
static void test_dead_looks_well(void **state)
{
	struct mirror *f = *state;
	struct desired stale;
	const char *plan;

	mirror_format(f);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	plan = mirror_plan(f, &stale);
	assert_contains(plan, "nvme    drop       " MIRROR_IMPORT_2);
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " MIRROR " is not changed before the path to ld2 is gone\n");
	rig_converge(&f->agent, &stale);
	assert_string_equal(mirror_plan(f, &stale), "");
	assert_int_equal(mirror_member_status(f, &stale, 1).health, MEMBER_HEALTH_ABSENT);
}

static void test_failed_leaves(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct error error;

	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 1, &error), 0);
	/* The leader has not said so yet: told, and left alone. */
	assert_string_equal(mirror_plan(f, &desired), "");
	assert_int_equal(mirror_member_status(f, &desired, 0).health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_FAILED);
	desired = mirror_desired(f, LD_STATE_STALE, 4);
	rig_converge(&f->agent, &desired);
	rig_golden("member_leaves", mirror_log(f));
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	assert_false(mirror_member_status(f, &desired, 1).path_lost);
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
	struct mirror *f = *state;
	struct desired desired;

	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct volume_health health = mirror_health_with(f, &desired, cases[i].status);

		assert_int_equal(health.members.items[0].health, cases[i].health[0]);
		assert_int_equal(health.members.items[1].health, cases[i].health[1]);
	}
}

/* An assembly would hang as well, and with it all of its lane. */
static void test_assembly_waits_for_paths(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct error error;
	const char *plan;

	mirror_format(f);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	while (strstr(mirror_plan(f, &desired), "dm      create     " MIRROR) == NULL)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	/* Its slices are made, but nothing is read from them. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	plan = mirror_plan(f, &desired);
	assert_contains(plan, "dm      create     dnvme-label-ld2");
	assert_lacks(plan, "label   match      dnvme-label-ld2");
	assert_lacks(plan, "dm      create     " MIRROR);
	assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_lacks(mirror_plan(f, &desired), "label   match      dnvme-label-ld2");
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "live", "optimized", &error), 0);
	plan = mirror_plan(f, &desired);
	assert_true(strstr(plan, "label   match      dnvme-label-ld2") < strstr(plan, "dm      create     " MIRROR));
	assert_contains(plan, "label   match      dnvme-label-ld2");
	/* All is read, by one who might have had to wipe it: its disk node goes then. */
	f->volume.format = true;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	plan = mirror_plan(f, &desired);
	assert_contains(plan, "waits   v1  " MIRROR " waits for the path to ld2\n");
	assert_lacks(plan, "dm      create     " MIRROR);
}

/* --- labels and epochs --- */

static struct desired second_epoch(struct mirror *f)
{
	struct desired desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);

	desired.volumes.items[0].legs.items[0].epoch = 2;
	return desired;
}

static void test_label_of_another_epoch(void **state)
{
	struct mirror *f = *state;
	struct ld_label label = {
		.cluster = RIG_CLUSTER, .volume = 1, .member = 1, .ld = 2, .size_bytes = 0, .formatted = true
	};
	static const char *const reasons[] = { "its label has an earlier epoch: its Disk Node did not fence it",
					       "its label has a later epoch: another holder was given it" };
	struct desired desired;
	struct error error;

	mirror_format(f);
	for (int format = 0; format < 2; format++) {
		for (int i = 0; i < 2; i++) {
			uint8_t block[LABEL_BLOCK_BYTES];

			f->volume.format = format == 1;
			desired = second_epoch(f);
			label.size_bytes = mirror_member(&desired, 1)->size_bytes;
			label.epoch = i == 0 ? 1 : 3;
			label_encode(&label, block);
			f->volume.legs_wanted = false;
			desired = second_epoch(f);
			f->volume.legs_wanted = true;
			rig_agent_restart(&f->agent);
			assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
			desired = second_epoch(f);
			while (strstr(mirror_plan(f, &desired), "label   ") == NULL)
				assert_true(rig_wave(&f->agent, &desired) > 0);
			/* The slices are made, and what is below them is not looked at yet. */
			assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting",
							       "optimized", &error),
					 0);
			rig_wave(&f->agent, &desired);
			assert_int_equal(
				kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "live", "optimized", &error),
				0);
			rig_agent_restart(&f->agent);
			assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, "dnvme-label-ld2", 0,
										  block, sizeof(block), &error),
					 0);
			mirror_log(f);
			assert_true(rig_wave(&f->agent, &desired) > 0);
			assert_int_equal(f->agent.error.code, format == 0 ? ERROR_CONFLICT : 0);
			while (rig_wave(&f->agent, &desired) > 0)
				assert_int_equal(f->agent.error.code, 0);
			assert_contains(mirror_plan(f, &desired), reasons[i]);
			assert_lacks(mirror_log(f), "clearing");
		}
	}
}

static void test_thick_format(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	const char *log, *thin, *fill, *label;

	f->volume.format = true;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	desired.volumes.items[0].legs.items[0].thick = true;
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
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
	assert_lacks(mirror_log(f), "fill");
}

/* --- paths --- */

static void test_paths(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct volume_health health;
	struct error error;

	f->volume.controllers = 2;
	f->volume.top_wanted = true;
	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	health = mirror_health(f, &desired);
	assert_int_equal(health.volume, 1);
	assert_int_equal(health.members.count, 2);
	assert_int_equal(health.peers.count, 1);
	assert_int_equal(health.peers.items[0].slot, 1);
	assert_false(health.peers.items[0].path_lost);
	assert_false(health.members.items[1].path_lost);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":leg:v1.s1.cn1",
					       "connecting", "optimized", &error),
			 0);
	f->now_ms = 2000;
	health = mirror_health(f, &desired);
	assert_true(health.members.items[1].path_lost && health.peers.items[0].path_lost);
	assert_int_equal(health.members.items[1].path_lost_ms, 1);
	f->now_ms = 2700;
	health = mirror_health(f, &desired);
	assert_int_equal(health.members.items[1].path_lost_ms, 701);
	assert_int_equal(health.peers.items[0].path_lost_ms, 701);
	/* Nobody looked at hosts, so that one may have left. */
	assert_true(health.peers.items[0].host_left);
	hosts_look(&f->memory.hosts, NULL, 0, 900);
	hosts_look(&f->memory.hosts, NULL, 0, 2700);
	f->memory.hosts.left_ms = 0;
	/* It stays in sync: nothing was acknowledged without it. */
	assert_int_equal(health.members.items[1].health, MEMBER_HEALTH_IN_SYNC);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "live", "optimized", &error), 0);
	f->now_ms = 3000;
	health = mirror_health(f, &desired);
	assert_false(health.members.items[1].path_lost);
	assert_int_equal(health.members.items[1].path_lost_ms, 0);
	/* Lost again, it counts from anew. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	f->now_ms = 9000;
	assert_int_equal(mirror_member_status(f, &desired, 1).path_lost_ms, 1);
	/* A volume without legs here says so. */
	f->volume.legs_wanted = f->volume.top_wanted = false;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	health = mirror_health(f, &desired);
	assert_int_equal(health.members.count + health.peers.count, 0);
}

/* A member that was given up: when nothing of it is in this kernel any more. */
static void test_dropped(void **state)
{
	struct mirror *f = *state;
	struct desired desired, both;
	struct error error = { 0 };

	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	assert_false(mirror_member_status(f, &desired, 1).dropped);
	desired = mirror_desired(f, LD_STATE_STALE, 0);
	assert_false(mirror_member_status(f, &desired, 1).dropped);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "optimized", &error), 0);
	assert_false(mirror_member_status(f, &desired, 1).dropped);
	/* Others of its disk are imported: what counts is its namespace. */
	both = mirror_desired(f, LD_STATE_STALE, 0);
	mirror_member(&both, 0)->nqn = MIRROR_IMPORT_2;
	assert_false(mirror_member_status(f, &both, 1).dropped);
	/* Its slices are there. */
	memset(mirror_member(&both, 1)->uuid, 9, sizeof(mirror_member(&both, 1)->uuid));
	assert_false(mirror_member_status(f, &both, 1).dropped);
	memset(mirror_member(&desired, 1)->uuid, 9, sizeof(mirror_member(&desired, 1)->uuid));
	assert_false(mirror_member_status(f, &desired, 1).dropped);
	desired = mirror_desired(f, LD_STATE_STALE, 0);
	rig_converge(&f->agent, &desired);
	assert_true(mirror_member_status(f, &desired, 1).dropped);
	assert_true(mirror_member_status(f, &both, 1).dropped);
	/* It is told of once it is stale only. */
	desired = mirror_desired(f, LD_STATE_REBUILDING, 1);
	assert_false(mirror_member_status(f, &desired, 1).dropped);
}

/* The slot has another holder: a path to the one before is none, however live this kernel believes it to be. */
static void test_path_to_an_earlier_holder(void **state)
{
	struct mirror *f = *state;
	struct desired desired;
	struct desired_leg *leg;
	const char *was;

	f->volume.controllers = 2;
	f->volume.top_wanted = true;
	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	leg = &desired.volumes.items[0].legs.items[0];
	while (leg->local)
		leg++;
	was = leg->address;
	assert_false(mirror_health(f, &desired).peers.items[0].path_lost);
	leg->address = "10.0.2.9";
	assert_true(mirror_health(f, &desired).peers.items[0].path_lost);
	leg->address = was;
	assert_false(mirror_health(f, &desired).peers.items[0].path_lost);
	leg->port++;
	assert_true(mirror_health(f, &desired).peers.items[0].path_lost);
}

/* The other one failed a write, and the leader gave this one up before it knew: it is the only one that has everything.
 */
static void test_last_one_is_kept(void **state)
{
	struct mirror *f = *state;
	struct member_status status;
	struct desired stale;
	struct error error;
	const char *plan;

	mirror_format(f);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 0, &error), 0);
	plan = mirror_plan(f, &stale);
	assert_lacks(plan, "drop ");
	assert_lacks(plan, "reload");
	assert_contains(plan, "waits   v1  " MIRROR " does not go on without " MIRROR_IMPORT_2
			      " while no other copy is reachable and in sync\n");
	status = mirror_member_status(f, &stale, 1);
	assert_true(status.kept && !status.left && !status.dropped);
	/* The same with a path that is lost: nothing that waits on it was acknowledged. */
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "connecting", "inaccessible", &error),
			 0);
	assert_lacks(mirror_plan(f, &stale), "drop ");
	assert_true(mirror_member_status(f, &stale, 1).kept);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, MIRROR_IMPORT_2, "live", "optimized", &error), 0);
}

static bool is_named(void *data, const char *mirror)
{
	return strcmp(mirror, data) == 0;
}

/* Of the actions of that kind in the present plan, at least one: they drop members of that mirror, and of no other. */
static void assert_drops(struct mirror *f, const struct desired *desired, enum action_kind kind)
{
	struct plan plan = rig_plan(&f->agent, desired, &f->arena);
	struct plan_box *box = plan_box_make(target_box_make());
	unsigned count = 0;

	assert_non_null(box);
	target_box_release(box->wanted); /* the reference of who made it */
	box->plan = plan;
	for (size_t i = 0; i < plan.actions.count; i++) {
		struct lane_job *lane = lane_job_make(box, f->agent.kernel, plan.actions.items[i].owner.lane);

		assert_non_null(lane);
		if (plan.actions.items[i].kind == kind) {
			count++;
			assert_true(lane_job_drops(lane, MIRROR));
			assert_false(lane_job_drops(lane, "dnvme-raid-v1.l1.g0"));
		}
		lane_job_free(lane);
	}
	plan_box_release(box);
	assert_true(count > 0);
}

/* While what is under way may drop it all the same, a member is not said to be kept. What is under way for another
 * mirror does not matter: it may wait for this member to be taken back. */
static void test_kept_is_held_back(void **state)
{
	struct mirror *f = *state;
	struct volume_health health;
	struct volume_health_list list = { 1, &health };
	struct desired stale;
	struct error error;

	mirror_format(f);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	assert_drops(f, &stale, ACTION_DROP);
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 0, &error), 0);
	health = mirror_health(f, &stale);
	assert_true(health.members.items[1].kept);
	health_keep_not(&stale, &list, is_named, "dnvme-raid-v1.l1.g0");
	assert_true(health.members.items[1].kept);
	health_keep_not(&stale, &list, is_named, MIRROR);
	assert_false(health.members.items[1].kept);
}

static void test_reload_drops(void **state)
{
	struct mirror *f = *state;
	struct desired stale;

	mirror_format(f);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	while (strstr(mirror_plan(f, &stale), "reload") == NULL)
		assert_true(rig_wave(&f->agent, &stale) > 0);
	assert_drops(f, &stale, ACTION_DM_RELOAD);
}

/* What the other one had in its cache may be gone; or it cannot be reached just now, which may pass. */
static void test_withheld(void **state)
{
	struct mirror *f = *state;
	struct member_status status;
	struct desired_member *other;
	struct desired stale;
	struct error error;

	mirror_format(f);
	stale = mirror_desired(f, LD_STATE_STALE, 4);
	other = &stale.volumes.items[0].legs.items[0].groups.items[0].members.items[0];
	other->withheld = true;
	assert_lacks(mirror_plan(f, &stale), "drop ");
	status = mirror_member_status(f, &stale, 1);
	assert_true(status.kept && !status.left);
	other->withheld = false;
	assert_contains(mirror_plan(f, &stale), "after flushing dnvme-raiddata-ld1");
	status = mirror_member_status(f, &stale, 1);
	assert_true(!status.kept && !status.left);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1",
					       "connecting", "optimized", &error),
			 0);
	assert_lacks(mirror_plan(f, &stale), "drop ");
	assert_false(mirror_member_status(f, &stale, 1).kept);
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1",
					       "live", "optimized", &error),
			 0);
	rig_converge(&f->agent, &stale);
	other->withheld = true;
	status = mirror_member_status(f, &stale, 1);
	assert_true(!status.kept && status.left);
}

struct flush_fault {
	struct mirror *mirror;
	bool fails, member;
};

static int flush_fault(void *data, const char *operation, const char *name, struct error *error)
{
	struct flush_fault *fault = data;
	struct error ignored;

	if (strcmp(operation, "block_flush") != 0)
		return 0;
	assert_string_equal(name, "dnvme-raiddata-ld1");
	if (fault->fails)
		return error_set(error, ERROR_UNAVAILABLE, "it does not answer");
	/* It answered, and then a write failed. */
	if (fault->member)
		assert_int_equal(kernel_sim_member_fail(fault->mirror->agent.kernel, MIRROR, 0, &ignored), 0);
	return 0;
}

/* Nothing goes before the flush of the one that stays was answered, and its group has it still. */
static void test_drop_after_flush(void **state)
{
	struct mirror *f = *state;
	struct flush_fault fault = { .mirror = f, .fails = true };
	struct survivor survivor = { .mirror = MIRROR, .device = "dnvme-raiddata-ld1" };
	struct action drop = { .kind = ACTION_DROP,
			       .import = { .nqn = MIRROR_IMPORT_2, .address = "10.0.0.1", .port = 4501 },
			       .survivors = { 1, &survivor } };
	struct observed_label label = { 0 };
	struct error error = { 0 };

	mirror_format(f);
	kernel_sim_fault_set(f->agent.kernel, flush_fault, &fault);
	assert_int_equal(action_execute(&drop, f->agent.kernel, &f->arena, &label, &error), ERROR_UNAVAILABLE);
	fault.fails = false;
	fault.member = true;
	assert_int_equal(action_execute(&drop, f->agent.kernel, &f->arena, &label, &error), ERROR_CONFLICT);
	assert_non_null(strstr(error.message, "does not have dnvme-raiddata-ld1 in sync any more"));
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
}

static void test_progress_once_a_second(void **state)
{
	struct mirror *f = *state;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frozen_is_left_alone, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_dead_looks_well, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_failed_leaves, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_lagging_is_told, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_assembly_waits_for_paths, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_label_of_another_epoch, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_thick_format, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_paths, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_path_to_an_earlier_holder, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_dropped, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_last_one_is_kept, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_kept_is_held_back, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_reload_drops, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_withheld, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_drop_after_flush, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_progress_once_a_second, mirror_setup, mirror_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
