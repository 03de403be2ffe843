/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What volume.explain says of a volume in one state or another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/wire/codec.h"
#include "src/leader/explain.h"
#include "src/leader/members.h"
#include "src/leader/standbys.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_leader_rig.h"

#define RACK 7

/* The rig, and what placement sees: nodes c1 to n3, disks d1 to d3 at n1 to n3, d4 at c4 and d5 at c3. */
struct scene {
	struct rig rig;
	struct online_outlook outlook;
	struct volumes_step phase_step;
	struct node nodes[RACK];
	struct disk disks[5];
	enum health health[RACK];
	struct placement_view placement;
	struct operation operation;
	struct explain_input input;
	struct volume_explanation out;
};

static void scene_open(struct scene *scene)
{
	static const char *const disk_nodes[] = { "n1", "n2", "n3", "c4", "c3" };

	memset(scene, 0, sizeof(*scene));
	rig_open(&scene->rig);
	for (size_t i = 0; i < RACK; i++) {
		scene->nodes[i] = (struct node){ .name = scene->rig.nodes[i].name, .colour = i };
		scene->health[i] = HEALTH_ONLINE;
	}
	for (size_t i = 0; i < 5; i++)
		scene->disks[i] = (struct disk){
			.id = i + 1, .node = disk_nodes[i], .extents_total = 1000, .extents_free = 900 - 100 * i
		};
	scene->placement = (struct placement_view){
		UINT64_C(4) << 20, { RACK, scene->nodes }, { 5, scene->disks }, scene->health
	};
	for (size_t i = 0; i < 2; i++)
		scene->rig.legs[i].group_extents = 10;
	scene->input.view = &scene->rig.view;
}

static int try_to_explain(struct scene *scene)
{
	struct rig *rig = &scene->rig;

	scene->outlook.count = 0;
	if (rig->volume.phase == VOLUME_PHASE_ONLINE && rig->volume.hold == NULL) {
		if (online_foresee(&rig->view, &rig->arena, &scene->outlook, &rig->step, &rig->error) != 0)
			return rig->error.code;
		scene->input.step = &rig->step;
		scene->input.outlook = &scene->outlook;
		scene->input.placement =
			explain_needs_placement(&rig->step, &scene->outlook) ? &scene->placement : NULL;
	}
	return explain_volume(&scene->input, &rig->arena, &scene->out, &rig->error);
}

static void explain(struct scene *scene, enum volume_condition condition, const char *words)
{
	if (try_to_explain(scene) != 0)
		fail_msg("%s", scene->rig.error.message);
	if (scene->out.condition != condition || strstr(scene->out.sentence, words) == NULL)
		fail_msg("it is %s: \"%s\"", ENUM_NAME(volume_condition, scene->out.condition), scene->out.sentence);
}

static const struct finding *finding(const struct scene *scene, const char *object, const char *words)
{
	for (size_t i = 0; i < scene->out.findings.count; i++) {
		const struct finding *one = &scene->out.findings.items[i];

		if (strcmp(one->object, object) == 0 && strstr(one->seen, words) != NULL)
			return one;
	}
	for (size_t i = 0; i < scene->out.findings.count; i++)
		print_message("%s: %s\n", scene->out.findings.items[i].object, scene->out.findings.items[i].seen);
	fail_msg("nothing is found of %s: %s", object, words);
	return NULL;
}

static const struct prospect *prospect(const struct scene *scene, enum prospect_kind kind, const char *words)
{
	for (size_t i = 0; i < scene->out.prospects.count; i++) {
		const struct prospect *one = &scene->out.prospects.items[i];

		if (one->kind == kind && strstr(one->text, words) != NULL)
			return one;
	}
	for (size_t i = 0; i < scene->out.prospects.count; i++)
		print_message("%s: %s\n", ENUM_NAME(prospect_kind, scene->out.prospects.items[i].kind),
			      scene->out.prospects.items[i].text);
	fail_msg("\"%s\" (%s) is not foreseen", words, ENUM_NAME(prospect_kind, kind));
	return NULL;
}

static bool is_advised(const struct scene *scene, const char *command)
{
	for (size_t i = 0; i < scene->out.advice.count; i++) {
		const char *one = scene->out.advice.items[i].command;

		if (one != NULL && strcmp(one, command) == 0)
			return true;
	}
	return false;
}

/* Advice without a command: what placement says that helps. */
static bool is_hinted(const struct scene *scene, const char *words)
{
	for (size_t i = 0; i < scene->out.advice.count; i++) {
		const struct advice *one = &scene->out.advice.items[i];

		if (one->command == NULL && strstr(one->text, words) != NULL)
			return true;
	}
	return false;
}

static bool must_not_be_lost(const struct scene *scene, const char *words)
{
	for (size_t i = 0; i < scene->out.stops_if.count; i++) {
		if (strstr(scene->out.stops_if.items[i], words) != NULL)
			return true;
	}
	return false;
}

/* ld1 of node n1 is stale; its holder has dropped it. */
static void stale(struct scene *scene, enum stale_reason reason)
{
	struct rig *rig = &scene->rig;
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_ABSENT, .dropped = true }, { .ld = 2 } };

	rig->lds[0].state = LD_STATE_STALE;
	rig->lds[0].stale_reason = reason;
	rig->lds[0].since_ms = rig->view.wall_ms;
	rig_members(rig, C1, members, 2);
	rig_see(rig);
}

static void test_well(void **state)
{
	const char *hosts[] = { "nqn.a" };
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.rig.volume.hosts = (struct string_list){ 1, hosts };
	explain(&scene, VOLUME_CONDITION_WELL, "every slot is served, and every write has 2 copies");
	assert_int_equal(scene.out.finding_count, 0);
	assert_int_equal(scene.out.prospects.count, 0);
	assert_int_equal(scene.out.advice.count, 0);
	assert_int_equal(scene.out.stops_if.count, 0);
	assert_int_equal(scene.out.since_ms, 0);
	assert_int_equal(scene.out.slots.count, 2);
	assert_string_equal(scene.out.slots.items[1].holder, "c2");
	assert_int_equal(scene.out.controllers.count, 1);
	assert_string_equal(scene.out.controllers.items[0].node, "c3");
	assert_true(scene.out.controllers.items[0].ready);
	assert_int_equal(scene.out.members.count, 4);
	assert_int_equal(scene.out.member_count, 4);
	assert_true(scene.out.members.items[3].well);
	assert_string_equal(scene.out.members.items[3].node, "n3");
	assert_int_equal(scene.out.members.items[3].leg, 1);
	assert_string_equal(scene.out.hosts.items[0].nqn, "nqn.a");
	assert_false(scene.out.hosts.items[0].tells);
	rig_close(&scene.rig);
}

/* Its agent is away: it is waited for, and then replaced where placement says. */
static void test_stale_is_waited_for(void **state)
{
	const struct prospect *then;
	struct scene scene;

	(void)state;
	scene_open(&scene);
	stale(&scene, STALE_REASON_PATH_LOST);
	rig_offline(&scene.rig, N1);
	scene.health[N1] = HEALTH_OFFLINE;
	rig_wait(&scene.rig, 12000);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "every write has 1 copy instead of 2 on leg 0");
	assert_true(scene.out.since_ms == scene.rig.lds[0].since_ms);
	assert_true(finding(&scene, "node n1", "offline")->since_ms ==
		    scene.rig.view.wall_ms - 12000 - LIMIT_LEASE_MS - 1);
	assert_string_equal(finding(&scene, "node n1", "offline")->meaning, "it has 1 of 4 LDs");
	assert_string_equal(finding(&scene, "ld1 on d1 of node n1", "stale (path-lost)")->meaning,
			    "leg 0 has 1 of 2 copies, ld2 on d2 of node n2: without it, hosts wait");
	then = prospect(&scene, PROSPECT_KIND_THEN, "another disk take the place of ld1");
	assert_true(then->at_ms == scene.rig.lds[0].since_ms + LIMIT_REBUILD_AFTER_MS);
	/* d2 has the other copy; d1 is its own. The most free first. */
	assert_non_null(strstr(then->text, "d3 of node n3, or else d4 of node c4, or else d5 of node c3"));
	assert_true(must_not_be_lost(&scene, "ld2 on d2 of node n2, the only copy of leg 0"));
	assert_false(must_not_be_lost(&scene, "leg 1"));
	assert_true(is_advised(&scene, "dnvme node get n1"));
	assert_true(is_advised(&scene, "dnvme node forget n1"));
	assert_true(is_advised(&scene, "dnvme cluster set --rebuild-after TIME"));
	assert_false(is_advised(&scene, "dnvme volume force vol --slot 0"));
	/* The operator wants it sooner. */
	scene.rig.view.rebuild_after_ms = 60000;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "1 copy");
	then = prospect(&scene, PROSPECT_KIND_THEN, "another disk take the place of ld1");
	assert_true(then->at_ms == scene.rig.lds[0].since_ms + 60000);
	rig_close(&scene.rig);
}

static void test_replaced(void **state)
{
	const struct prospect *now;
	struct scene scene;

	(void)state;
	scene_open(&scene);
	stale(&scene, STALE_REASON_PATH_LOST);
	rig_offline(&scene.rig, N1);
	scene.health[N1] = HEALTH_OFFLINE;
	rig_wait(&scene.rig, LIMIT_REBUILD_AFTER_MS);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "1 copy");
	prospect(&scene, PROSPECT_KIND_NOW, "ld1 is replaced by another one on d3 of node n3, or else d4");
	/* No room anywhere: why, node by node, and what helps. */
	for (size_t i = 0; i < 5; i++)
		scene.disks[i].extents_free = 9;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "1 copy");
	now = prospect(&scene, PROSPECT_KIND_BLOCKED, "ld1 finds no other disk");
	assert_non_null(strstr(now->details, "n3"));
	assert_true(is_hinted(&scene, "disk"));
	/* That is foreseen, too. */
	scene.rig.view.rebuild_after_ms = 2 * LIMIT_REBUILD_AFTER_MS;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "1 copy");
	prospect(&scene, PROSPECT_KIND_BLOCKED, "ld1 finds no other disk then, as things are now");
	rig_close(&scene.rig);
}

static void test_rebuilt(void **state)
{
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_REBUILDING, .total_bytes = 40000 },
					   { .ld = 2 } };
	const struct prospect *then;
	struct scene scene;

	(void)state;
	scene_open(&scene);
	stale(&scene, STALE_REASON_MEDIUM);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "1 copy");
	then = prospect(&scene, PROSPECT_KIND_THEN, "the leader has node c1 rebuild ld1 where it is");
	assert_true(then->at_ms == scene.rig.view.wall_ms + MEMBERS_SETTLE_MEDIUM_MS);
	assert_true(is_advised(&scene, "dnvme disk drain d1"));
	scene.rig.lds[0].state = LD_STATE_REBUILDING;
	members[0].done_bytes = 10000;
	rig_members(&scene.rig, C1, members, 2);
	rig_wait(&scene.rig, 10000);
	members[0].done_bytes = 20000;
	rig_members(&scene.rig, C1, members, 2);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "every write has 1 copy instead of 2");
	finding(&scene, "ld1 on d1 of node n1", "it is rebuilt: 50.0 % so far");
	prospect(&scene, PROSPECT_KIND_WAITS, "ld1: node c1 rebuilds it");
	then = prospect(&scene, PROSPECT_KIND_THEN, "node c1 has rebuilt ld1 about then");
	assert_in_range(then->at_ms, scene.rig.view.wall_ms + 9000, scene.rig.view.wall_ms + 11000);
	assert_int_equal(scene.out.members.items[0].done_bytes, 20000);
	assert_int_equal(scene.out.members.items[0].total_bytes, 40000);
	assert_int_equal(scene.out.members.items[0].rate_bytes, 1000);
	rig_close(&scene.rig);
}

/* The holder died; a Disk Node does not confirm. */
static void test_not_fenced(void **state)
{
	/* It has none of them yet. */
	struct member_status members[] = { { .ld = 1, .health = MEMBER_HEALTH_ABSENT },
					   { .ld = 2, .health = MEMBER_HEALTH_ABSENT } };
	struct scene scene;

	(void)state;
	scene_open(&scene);
	rig_move(&scene.rig, SLOT_PHASE_FENCING);
	rig_members(&scene.rig, C3, members, 2);
	scene.rig.slots[0].since_ms = scene.rig.view.wall_ms;
	rig_say_at(&scene.rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_CONVERGED,
		   scene.rig.volume.revision - 1);
	rig_wait(&scene.rig, 1000);
	explain(&scene, VOLUME_CONDITION_WAITING, "slot 0 is not served, it is fencing at node c3 after failover");
	assert_true(scene.out.since_ms == scene.rig.slots[0].since_ms);
	finding(&scene, "slot 0", "it is fencing");
	assert_string_equal(finding(&scene, "node c1", "offline")->meaning,
			    "it has what is left of a controller, to be taken down");
	prospect(&scene, PROSPECT_KIND_WAITS, "export d2.v7.s0: node n2 is at revision 40, wanted is 41");
	assert_true(
		prospect(&scene, PROSPECT_KIND_THEN, "gives ld2 up if node n2 has not confirmed the fence")->at_ms ==
		scene.rig.view.wall_ms + LIMIT_FENCE_DEADLINE_MS - 1000);
	assert_false(is_advised(&scene, "dnvme volume force vol --slot 0"));
	/* Both are away, and an older copy is there. */
	scene.rig.lds[0].state = LD_STATE_STALE;
	scene.rig.lds[0].whole = true;
	rig_offline(&scene.rig, N2);
	explain(&scene, VOLUME_CONDITION_WAITING, "slot 0 is not served");
	prospect(&scene, PROSPECT_KIND_WAITS, "dnvme volume force vol --slot 0");
	assert_true(is_advised(&scene, "dnvme volume force vol --slot 0"));
	/* No other one: nothing but bringing it back helps. */
	scene.rig.lds[0].whole = false;
	explain(&scene, VOLUME_CONDITION_WAITING, "slot 0 is not served");
	assert_false(is_advised(&scene, "dnvme volume force vol --slot 0"));
	assert_true(is_advised(&scene, "dnvme node get n2"));
	rig_close(&scene.rig);
}

static void test_held(void **state)
{
	struct hold hold = { .revision = 40, .time_ms = 77 };
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.rig.volume.hold = &hold;
	explain(&scene, VOLUME_CONDITION_HELD, "until its operator releases it");
	assert_int_equal(scene.out.since_ms, 77);
	prospect(&scene, PROSPECT_KIND_WAITS, "its operator");
	assert_true(is_advised(&scene, "dnvme volume release vol"));
	rig_close(&scene.rig);
}

static void test_no_standby(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	rig_offline(&scene.rig, C3);
	scene.health[C3] = HEALTH_OFFLINE;
	explain(&scene, VOLUME_CONDITION_DEGRADED,
		"every write has 2 copies, but of 1 standbys 0 can take a slot over");
	assert_string_equal(finding(&scene, "node c3", "offline")->meaning, "it has a standby");
	assert_true(prospect(&scene, PROSPECT_KIND_THEN, "looks for another standby if node c3")->at_ms ==
		    scene.rig.view.wall_ms + STANDBYS_OFFLINE_MS - 1);
	assert_true(must_not_be_lost(&scene, "node c1, as no standby is there to take slot 0 over"));
	assert_true(must_not_be_lost(&scene, "node c2"));
	assert_false(scene.out.controllers.items[0].ready);
	assert_non_null(strstr(scene.out.controllers.items[0].note, "node c3 is offline"));
	/* Another one is made, or there is none. */
	scene.rig.nodes[C3].offline_ms = STANDBYS_OFFLINE_MS;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "of 1 standbys 0");
	prospect(&scene, PROSPECT_KIND_WAITS, "every slot to have been served for a while: then the leader looks for");
	rig_wait(&scene.rig, STANDBYS_CALM_MS);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "of 1 standbys 0");
	prospect(&scene, PROSPECT_KIND_NOW, "the leader makes node c4 a standby");
	for (size_t i = 0; i < RACK; i++)
		scene.nodes[i].cordoned = true;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "of 1 standbys 0");
	assert_non_null(
		strstr(prospect(&scene, PROSPECT_KIND_BLOCKED, "a standby finds no node")->details, "c4 is cordoned"));
	/* And with the holder: hosts wait. */
	rig_offline(&scene.rig, C1);
	scene.rig.volume.slots.count = 1;
	scene.rig.volume.legs.count = 1;
	explain(&scene, VOLUME_CONDITION_WAITING, "node c1, which holds slot 0, is offline; hosts wait, unless");
	prospect(&scene, PROSPECT_KIND_WAITS, "node c1 is offline, and no standby is online");
	rig_close(&scene.rig);
}

/* The first command of the rules, and what is wrong besides. */
static void test_found(void **state)
{
	struct member_status members[] = { { .ld = 1, .path_lost = true, .path_lost_ms = 100 }, { .ld = 2 } };
	const char *hosts[] = { "nqn.a" }, *live[] = { "c2" }, *lost[] = { "c1" };
	struct host_reach said = { .volume = RIG_VOLUME, .live = { 1, live }, .lost = { 1, lost } };
	struct object_status failed = { .kind = OBJECT_KIND_CONSUMER,
					.id = "v7.s0.c2",
					.state = OBJECT_STATE_FAILED,
					.revision = RIG_REVISION,
					.message = "no such device" };
	struct reach reach = { 0 };
	struct scene scene;
	bool changed;

	(void)state;
	scene_open(&scene);
	scene.rig.volume.hosts = (struct string_list){ 1, hosts };
	assert_int_equal(reach_update(&reach, "nqn.a", &said, scene.rig.view.now_ms, &changed, NULL), 0);
	scene.rig.view.reach = &reach;
	/* A path that may be back at once. */
	rig_members(&scene.rig, C1, members, 2);
	rig_errors(&scene.rig, N3, "d3.v7.s1", 4);
	assert_int_equal(reported_update(&scene.rig.reported[C1], &failed, NULL), 0);
	scene.rig.disks[1].gone = true;
	explain(&scene, VOLUME_CONDITION_DEGRADED, "no copy of leg 0 can be relied on, but its holder says");
	assert_true(finding(&scene, "ld1 on d1 of node n1", "node c1 has no path to it")->since_ms ==
		    scene.rig.view.wall_ms - 101);
	assert_true(prospect(&scene, PROSPECT_KIND_THEN, "gives ld1 up if the path of node c1")->at_ms ==
		    scene.rig.view.wall_ms + MEMBERS_PATH_LOST_MS + 1 - 100);
	finding(&scene, "disk d3 of node n3", "ld4 on it returned 0 read and 1 write errors");
	finding(&scene, "disk d2 of node n2", "no such block device");
	finding(&scene, "consumer export v7.s0.c2 of node c1", "failed: no such device");
	assert_string_equal(finding(&scene, "nqn.a", "no path to node c1")->meaning,
			    "it goes through the other holders");
	assert_true(is_advised(&scene, "dnvme disk drain d3"));
	assert_true(is_advised(&scene, "dnvme node get n2"));
	/* A holder without its path to another one. */
	rig_peer(&scene.rig, C2, 0, 3000);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "no copy of leg 0");
	assert_true(finding(&scene, "node c2", "its path to slot 0 at node c1 is lost")->since_ms ==
		    scene.rig.view.wall_ms - 3000);
	reach_clear(&reach);
	rig_close(&scene.rig);
}

/* The agents of the Disk Nodes died, and their kernels go on: hosts do not wait. */
static void test_served_all_the_same(void **state)
{
	struct member_status members[] = { { .ld = 1 }, { .ld = 2 } };
	struct scene scene;

	(void)state;
	scene_open(&scene);
	rig_members(&scene.rig, C1, members, 2);
	rig_offline(&scene.rig, N1);
	rig_offline(&scene.rig, N2);
	explain(&scene, VOLUME_CONDITION_DEGRADED, "no copy of leg 0 can be relied on, but its holder says");
	assert_non_null(
		strstr(finding(&scene, "ld1 on d1 of node n1", "its node is offline")->meaning, "goes on with"));
	prospect(&scene, PROSPECT_KIND_WAITS, "ld1 is lost, and no other copy is well");
	/* It has lost them as well. */
	members[0].path_lost = members[1].path_lost = true;
	members[0].path_lost_ms = members[1].path_lost_ms = 5;
	rig_members(&scene.rig, C1, members, 2);
	explain(&scene, VOLUME_CONDITION_WAITING, "no copy of leg 0 can be relied on; hosts wait");
	rig_close(&scene.rig);
}

static void test_new_leader(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	/* Nothing is known yet, and nothing is called wrong with the copies. */
	for (size_t i = 0; i < RIG_NODES; i++)
		scene.rig.nodes[i].health = HEALTH_UNKNOWN;
	explain(&scene, VOLUME_CONDITION_WELL, "what is found does no harm now");
	finding(&scene, "node n2", "this leader is new");
	assert_int_equal(scene.out.stops_if.count, 2); /* no standby is known to be there */
	rig_close(&scene.rig);
}

static void test_job(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.operation = (struct operation){ .id = 3,
					      .kind = JOB_KIND_EXTEND,
					      .phase = OPERATION_PHASE_FORMATTING,
					      .deadline_ms = scene.rig.view.wall_ms + 500 };
	scene.input.operation = &scene.operation;
	explain(&scene, VOLUME_CONDITION_WELL, "a job works on it");
	assert_int_equal(scene.out.job, 3);
	prospect(&scene, PROSPECT_KIND_NOW, "job j3 (extend) is in phase formatting");
	assert_true(prospect(&scene, PROSPECT_KIND_THEN, "undoes job j3")->at_ms == scene.rig.view.wall_ms + 500);
	scene.input.operation_waits_for = "node c1 sleeps";
	explain(&scene, VOLUME_CONDITION_WELL, "a job works on it");
	prospect(&scene, PROSPECT_KIND_WAITS, "formatting: node c1 sleeps");
	assert_true(is_advised(&scene, "dnvme job get j3"));
	rig_close(&scene.rig);
}

static void test_phases(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.rig.volume.phase = VOLUME_PHASE_PLACED;
	scene.rig.volume.created_ms = 5;
	scene.phase_step.waits_for = "export d1.v7.s0: node n1 is offline";
	scene.input.phase_step = &scene.phase_step;
	explain(&scene, VOLUME_CONDITION_BEING_MADE, "phase placed");
	assert_int_equal(scene.out.since_ms, 5);
	prospect(&scene, PROSPECT_KIND_WAITS, "node n1 is offline");
	assert_int_equal(scene.out.stops_if.count, 0);
	scene.rig.volume.phase = VOLUME_PHASE_RELEASING;
	explain(&scene, VOLUME_CONDITION_BEING_DELETED, "phase releasing");
	rig_close(&scene.rig);
}

static void check_answer(const struct scene *scene)
{
	struct buffer bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct volume_explanation back;
	struct error error;

	assert_int_equal(codec_encode(schema_volume_explanation(), &scene->out, CODEC_NAMED, &bytes, &error), 0);
	assert_true(bytes.size < LIMIT_FRAME_CLIENT_BYTES);
	if (codec_decode(schema_volume_explanation(), buffer_bytes(&bytes), &arena, &back, &error) != 0)
		fail_msg("%s", error.message);
	buffer_free(&bytes);
	arena_free(&arena);
}

/* Whatever an agent says, the answer fits into a frame and is text. */
static void test_bounds(void **state)
{
	static char message[LIMIT_TEXT + 1];
	struct ld_list lds = { 5000, NULL };
	static char nqn[LIMIT_NQN + 1];
	const char *id = "v7.s0.c2", *hosts[] = { nqn }, *lost[] = { "c1" };
	struct host_reach said = { .volume = RIG_VOLUME, .lost = { 1, lost } };
	struct reach reach = { 0 };
	struct scene scene;
	bool changed;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(message); i += 2)
		memcpy(message + i, "ä", 2);
	scene_open(&scene);
	for (size_t n = 0; n < RIG_NODES; n++) {
		struct object_status failed = { .kind = OBJECT_KIND_CONSUMER,
						.id = id,
						.state = OBJECT_STATE_FAILED,
						.revision = RIG_REVISION,
						.message = message };

		assert_int_equal(reported_update(&scene.rig.reported[n], &failed, NULL), 0);
	}
	memset(nqn, 'q', LIMIT_NQN);
	scene.rig.volume.hosts = (struct string_list){ 1, hosts };
	assert_int_equal(reach_update(&reach, nqn, &said, scene.rig.view.now_ms, &changed, NULL), 0);
	scene.rig.view.reach = &reach;
	/* More members than are told, one of them stale, and that one the last. */
	lds.items = arena_alloc_array(&scene.rig.arena, lds.count, sizeof(*lds.items));
	assert_non_null(lds.items);
	for (size_t i = 0; i < lds.count; i++)
		lds.items[i] = (struct ld){ .id = 100 + i, .disk = 1 + i % 3, .state = LD_STATE_IN_SYNC };
	lds.items[lds.count - 1].state = LD_STATE_STALE;
	scene.rig.groups[0].members = lds;
	rig_see(&scene.rig);
	assert_int_equal(try_to_explain(&scene), 0);
	finding(&scene, nqn, "no path");
	assert_int_equal(scene.out.member_count, lds.count + 2);
	assert_int_equal(scene.out.members.count, LIMIT_EXPLAINED_MEMBERS);
	assert_int_equal(scene.out.members.items[LIMIT_EXPLAINED_MEMBERS - 1].ld, lds.items[lds.count - 1].id);
	finding(&scene, "consumer export v7.s0.c2 of node c1", "failed: ä");
	check_answer(&scene);
	/* And all of them. */
	for (size_t i = 0; i < lds.count; i++)
		lds.items[i].state = LD_STATE_STALE;
	rig_see(&scene.rig);
	assert_int_equal(try_to_explain(&scene), 0);
	assert_int_equal(scene.out.findings.count, LIMIT_EXPLAINED);
	assert_true(scene.out.finding_count > lds.count);
	check_answer(&scene);
	reach_clear(&reach);
	rig_close(&scene.rig);
}

static void test_failing_allocations(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct scene scene;
		int rv;

		scene_open(&scene);
		stale(&scene, STALE_REASON_PATH_LOST);
		rig_offline(&scene.rig, N1);
		scene.health[N1] = HEALTH_OFFLINE;
		rig_offline(&scene.rig, C3);
		failing_alloc_arm(n);
		rv = try_to_explain(&scene);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		rig_close(&scene.rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_stale_is_waited_for),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_rebuilt),
		cmocka_unit_test(test_not_fenced),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_no_standby),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_served_all_the_same),
		cmocka_unit_test(test_new_leader),
		cmocka_unit_test(test_job),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
