/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts say of their paths, and the slot that moves because of it: each condition, and its refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/parted.h"
#include "src/leader/slots.h"
#include "src/leader/unreached.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_leader_rig.h"

#define H1 "nqn.2014-08.org.x:h1"
#define H2 "nqn.2014-08.org.x:h2"
#define STRANGER "nqn.2014-08.org.x:h3"

struct scene {
	struct rig rig;
	struct reach reach;
	const char *hosts[2];
};

/* "c1 c2" into a list; `words` is cut up. */
static struct string_list list_of(char *words, const char **items)
{
	struct string_list list = { 0, items };

	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		items[list.count++] = word;
	return list;
}

static void say(struct scene *scene, const char *host, const char *live, const char *lost)
{
	const char *live_items[LIMIT_COLOURS], *lost_items[LIMIT_COLOURS];
	char live_words[64], lost_words[64];
	struct host_reach said = { .volume = RIG_VOLUME };
	struct error error;
	bool changed;

	snprintf(live_words, sizeof(live_words), "%s", live);
	snprintf(lost_words, sizeof(lost_words), "%s", lost);
	said.live = list_of(live_words, live_items);
	said.lost = list_of(lost_words, lost_items);
	assert_int_equal(reach_update(&scene->reach, host, &said, scene->rig.view.now_ms, &changed, &error), 0);
}

/* A second later, with a host that repeats what it says. */
static void last(struct scene *scene, unsigned seconds, const char *host, const char *live, const char *lost)
{
	for (unsigned i = 0; i < seconds; i++) {
		rig_wait(&scene->rig, 1000);
		say(scene, host, live, lost);
	}
}

/* One slot at c1; standby c3; both hosts are attached. */
static void open_single(struct scene *scene)
{
	struct rig *rig = &scene->rig;

	rig_open(rig);
	scene->reach = (struct reach){ 0 };
	scene->hosts[0] = H1;
	scene->hosts[1] = H2;
	rig->volume.hosts = (struct string_list){ 2, scene->hosts };
	rig->volume.slots.count = rig->volume.legs.count = 1;
	rig->controllers[1] = rig->controllers[2];
	rig->volume.controllers.count = 2;
	rig->view.reach = &scene->reach;
	rig_see(rig);
}

/* The same; h1 lost its path to c1 just long enough ago, and reaches c3. */
static void open_lost(struct scene *scene)
{
	open_single(scene);
	say(scene, H1, "c3", "c1");
	last(scene, UNREACHED_MS / 1000, H1, "c3", "c1");
}

static void close_scene(struct scene *scene)
{
	reach_clear(&scene->reach);
	rig_close(&scene->rig);
}

static void expect_move(struct scene *scene, size_t slot, const char *to)
{
	rig_expect_move(&scene->rig, slot, to, MOVE_REASON_UNREACHED);
}

static void expect_stay(struct scene *scene, const char *words)
{
	rig_expect_wait(&scene->rig, slots_step, words);
}

/* --- what hosts say --- */

static void test_reach(void **state)
{
	struct scene scene;
	uint64_t for_ms = 0, begin;
	const struct reach_host *host;

	(void)state;
	open_single(&scene);
	begin = scene.rig.view.now_ms;
	say(&scene, H1, "c1 c3", "");
	host = scene.reach.hosts[0];
	assert_int_equal(reach_of(host, "c1", begin + REACH_LIVE_MS, &for_ms), REACH_LIVE);
	assert_int_equal(for_ms, REACH_LIVE_MS);
	assert_int_equal(reach_of(host, "c1", begin + REACH_LIVE_MS + 1, &for_ms), REACH_UNSAID);
	assert_int_equal(reach_of(host, "c2", begin, &for_ms), REACH_UNSAID);
	/* A loss counts from when it was said first, and for a shorter time. */
	rig_wait(&scene.rig, 1000);
	say(&scene, H1, "c3", "c1");
	rig_wait(&scene.rig, REACH_LOST_MS);
	host = scene.reach.hosts[0];
	assert_int_equal(reach_of(host, "c1", scene.rig.view.now_ms, &for_ms), REACH_LOST);
	assert_int_equal(for_ms, REACH_LOST_MS);
	say(&scene, H1, "c3", "c1");
	host = scene.reach.hosts[0];
	assert_int_equal(reach_of(host, "c1", scene.rig.view.now_ms, &for_ms), REACH_LOST);
	assert_int_equal(for_ms, REACH_LOST_MS);
	/* With a gap in between it begins anew. */
	rig_wait(&scene.rig, REACH_LOST_MS + 1);
	assert_int_equal(reach_of(host, "c1", scene.rig.view.now_ms, &for_ms), REACH_UNSAID);
	say(&scene, H1, "c3", "c1");
	host = scene.reach.hosts[0];
	assert_int_equal(reach_of(host, "c1", scene.rig.view.now_ms, &for_ms), REACH_LOST);
	assert_int_equal(for_ms, 0);
	/* Who is silent is forgotten. */
	say(&scene, H2, "c1", "");
	assert_int_equal(scene.reach.count, 2);
	rig_wait(&scene.rig, REACH_LIVE_MS);
	say(&scene, H2, "c1", "");
	rig_wait(&scene.rig, 1);
	reach_sweep(&scene.reach, scene.rig.view.now_ms);
	assert_int_equal(scene.reach.count, 1);
	assert_string_equal(scene.reach.hosts[0]->nqn, H2);
	close_scene(&scene);
}

static void test_reach_bounds(void **state)
{
	struct host_reach said = { .volume = RIG_VOLUME };
	struct reach reach = { 0 };
	struct error error;
	bool changed;
	char nqn[64];

	(void)state;
	for (unsigned i = 0; i < LIMIT_HOSTS_PER_VOLUME; i++) {
		snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.x:%u", i);
		assert_int_equal(reach_update(&reach, nqn, &said, 1000, &changed, &error), 0);
		assert_true(changed);
	}
	assert_int_equal(reach_update(&reach, H1, &said, 1000 + REACH_LIVE_MS, &changed, &error), ERROR_NO_CAPACITY);
	/* The others were silent: they make room. */
	assert_int_equal(reach_update(&reach, H1, &said, 1001 + REACH_LIVE_MS, &changed, &error), 0);
	assert_int_equal(reach.count, 1);
	assert_int_equal(reach_update(&reach, H1, &said, 1002 + REACH_LIVE_MS, &changed, &error), 0);
	assert_false(changed);
	for (unsigned long n = 1; n <= 2; n++) {
		failing_alloc_arm(n);
		assert_int_equal(reach_update(&reach, H2, &said, 1003 + REACH_LIVE_MS, &changed, &error),
				 ERROR_INTERNAL);
		assert_true(failing_alloc_disarm());
	}
	assert_int_equal(reach.count, 1);
	reach_clear(&reach);
}

/* --- the move --- */

static void test_moves(void **state)
{
	struct scene scene;

	(void)state;
	open_single(&scene);
	expect_stay(&scene, NULL);
	say(&scene, H1, "c3", "c1");
	expect_stay(&scene, "host " H1 " has no path to node c1; it may be a blink");
	assert_int_equal(scene.rig.step.look_again_ms, UNREACHED_MS);
	last(&scene, 4, H1, "c3", "c1");
	rig_wait(&scene.rig, 999);
	expect_stay(&scene, "it may be a blink");
	assert_int_equal(scene.rig.step.look_again_ms, 1);
	rig_wait(&scene.rig, 1);
	expect_move(&scene, 0, "c3");
	/* It was a blink after all. */
	say(&scene, H1, "c1 c3", "");
	expect_stay(&scene, NULL);
	close_scene(&scene);
}

static void test_other_hosts(void **state)
{
	struct scene scene;

	(void)state;
	/* One that has a path keeps the slot where it is, until it was silent for long. */
	open_lost(&scene);
	say(&scene, H2, "c1", "c3");
	expect_stay(&scene, "another host has one");
	last(&scene, REACH_LIVE_MS / 1000, H1, "c3", "c1");
	expect_stay(&scene, "another host has one");
	last(&scene, 1, H1, "c3", "c1");
	expect_move(&scene, 0, "c3");
	/* One that has none either does not, even if it just lost it. */
	say(&scene, H2, "", "c1 c3");
	expect_move(&scene, 0, "c3");
	say(&scene, H2, "", "");
	close_scene(&scene);
	/* In whichever order they spoke: what counts is how long the first one has waited. */
	open_single(&scene);
	say(&scene, H2, "c1 c3", "");
	say(&scene, H1, "c3", "c1");
	last(&scene, UNREACHED_MS / 1000, H1, "c3", "c1");
	say(&scene, H2, "c3", "c1");
	expect_move(&scene, 0, "c3");
	/* Who is not attached has no say, neither way. */
	say(&scene, H2, "", "");
	say(&scene, STRANGER, "c1 c3", "");
	expect_move(&scene, 0, "c3");
	scene.hosts[0] = STRANGER;
	say(&scene, STRANGER, "", "");
	expect_stay(&scene, NULL);
	close_scene(&scene);
}

static void test_stale_word(void **state)
{
	struct scene scene;

	(void)state;
	open_lost(&scene);
	rig_wait(&scene.rig, REACH_LOST_MS);
	expect_move(&scene, 0, "c3");
	rig_wait(&scene.rig, 1);
	expect_stay(&scene, NULL);
	close_scene(&scene);
}

/* A new leader has to hear of those who reach the holder first. */
static void test_new_leader(void **state)
{
	struct scene scene;

	(void)state;
	open_lost(&scene);
	scene.rig.view.leader_since_ms = scene.rig.view.now_ms - REACH_LIVE_MS + 1;
	expect_stay(&scene, "it may be a blink");
	assert_int_equal(scene.rig.step.look_again_ms, 1);
	rig_wait(&scene.rig, 1);
	expect_move(&scene, 0, "c3");
	close_scene(&scene);
}

static void test_holder(void **state)
{
	struct scene scene;

	(void)state;
	/* Doubt is no verdict, and a dead one is a failover. */
	open_lost(&scene);
	scene.rig.nodes[C1].health = HEALTH_SUSPECT;
	expect_stay(&scene, NULL);
	rig_offline(&scene.rig, C1);
	assert_int_equal(rig_expect_command(&scene.rig, slots_step)->slot_move->reason, MOVE_REASON_FAILOVER);
	scene.rig.nodes[C1].health = HEALTH_ONLINE;
	/* While it moves, no host has a path. */
	scene.rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	rig_say(&scene.rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	expect_stay(&scene, "node c1 says pending");
	scene.rig.slots[0].phase = SLOT_PHASE_SERVING;
	/* Before it is drained: that waits for hosts that have a path. */
	scene.rig.nodes[C1].draining = true;
	expect_move(&scene, 0, "c3");
	close_scene(&scene);
}

static void test_standby(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	open_lost(&scene);
	/* The host has to reach it. */
	say(&scene, H1, "", "c1 c3");
	expect_stay(&scene, "no standby that it reaches is ready");
	say(&scene, H1, "", "c1");
	expect_stay(&scene, "no standby that it reaches is ready");
	/* Another one reaches it, but that one does not wait. */
	say(&scene, H2, "c3", "");
	expect_stay(&scene, "no standby that it reaches is ready");
	say(&scene, H2, "", "");
	say(&scene, H1, "c3", "c1");
	rig_say(rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	expect_stay(&scene, "no standby that it reaches is ready");
	rig_say(rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig->nodes[C3].health = HEALTH_SUSPECT;
	expect_stay(&scene, "no standby that it reaches is ready");
	rig->nodes[C3].health = HEALTH_ONLINE;
	rig->nodes[C3].unable = true;
	expect_stay(&scene, "no standby that it reaches is ready");
	rig->nodes[C3].unable = false;
	rig->nodes[C3].cordoned = true;
	expect_stay(&scene, "no standby that it reaches is ready");
	rig->nodes[C3].cordoned = false;
	rig->nodes[C3].draining = true;
	expect_stay(&scene, "no standby that it reaches is ready");
	rig->nodes[C3].draining = false;
	expect_move(&scene, 0, "c3");
	/* Of two the one that more hosts reach, then the one with less to do. */
	rig->controllers[2] = (struct controller){ .node = "c4", .role = CONTROLLER_ROLE_STANDBY };
	rig->volume.controllers.count = 3;
	rig_say(rig, C4, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig->nodes[C3].controllers = 5;
	expect_move(&scene, 0, "c3");
	say(&scene, H1, "c3 c4", "c1");
	expect_move(&scene, 0, "c4");
	say(&scene, H2, "c3", "c1 c4");
	expect_move(&scene, 0, "c3");
	close_scene(&scene);
}

/* Once in 15 s, by the record, as the next leader has to know. */
static void test_again(void **state)
{
	struct scene scene;
	struct slot *slot = &scene.rig.slots[0];

	(void)state;
	open_lost(&scene);
	slot->reason = MOVE_REASON_UNREACHED;
	slot->since_ms = scene.rig.view.wall_ms - UNREACHED_AGAIN_MS + 1;
	moments_clear(&scene.rig.moments);
	rig_see(&scene.rig);
	expect_stay(&scene, "less than 15 s ago");
	assert_int_equal(scene.rig.step.look_again_ms, 1);
	rig_wait(&scene.rig, 1);
	expect_move(&scene, 0, "c3");
	/* Another move is none of that kind. */
	slot->since_ms = scene.rig.view.wall_ms;
	slot->reason = MOVE_REASON_FAILOVER;
	expect_move(&scene, 0, "c3");
	/* A wall clock that was put back: what this leader saw itself counts. */
	slot->reason = MOVE_REASON_UNREACHED;
	slot->since_ms = scene.rig.view.wall_ms + 1000000;
	expect_stay(&scene, "less than 15 s ago");
	last(&scene, UNREACHED_AGAIN_MS / 1000, H1, "c3", "c1");
	expect_move(&scene, 0, "c3");
	close_scene(&scene);
}

/* --- several slots --- */

static void open_double(struct scene *scene)
{
	open_single(scene);
	scene->rig.volume.slots.count = scene->rig.volume.legs.count = 2;
	scene->rig.controllers[1] = (struct controller){ .node = "c2", .role = CONTROLLER_ROLE_ACTIVE, .slot = 1 };
	scene->rig.controllers[2] = (struct controller){ .node = "c3", .role = CONTROLLER_ROLE_STANDBY };
	scene->rig.volume.controllers.count = 3;
	rig_see(&scene->rig);
}

static void test_several_slots(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	(void)state;
	open_double(&scene);
	/* Through the other holder it goes on: nothing waits. */
	say(&scene, H1, "c2 c3", "c1");
	last(&scene, 10, H1, "c2 c3", "c1");
	expect_stay(&scene, NULL);
	/* It counts from when the last one was lost. */
	last(&scene, 5, H1, "c3", "c1 c2");
	expect_stay(&scene, "it may be a blink");
	last(&scene, 1, H1, "c3", "c1 c2");
	expect_move(&scene, 0, "c3");
	/* Whoever reaches the holder of one slot keeps that one; another slot does as well. */
	say(&scene, H2, "c1", "c2 c3");
	expect_move(&scene, 1, "c3");
	say(&scene, H2, "c1 c2", "c3");
	expect_stay(&scene, "slot 0: host " H1 " has no path to node c1; another host has one");
	say(&scene, H2, "", "");
	/* One at a time, and none while the holders do not reach each other. */
	rig->slots[1].phase = SLOT_PHASE_EXPORTING;
	rig_say(rig, C2, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	rig_take(rig, slots_step);
	assert_null(rig->step.command);
	rig->slots[1].phase = SLOT_PHASE_SERVING;
	rig_peer(rig, C2, 0, 1);
	expect_stay(&scene, "well before one is moved");
	rig_peer(rig, C2, 0, 0);
	expect_move(&scene, 0, "c3");
	close_scene(&scene);
}

/* The standbys of a volume are not touched because of it. */
static void test_standbys_stay(void **state)
{
	struct scene scene;

	(void)state;
	open_lost(&scene);
	rig_take(&scene.rig, NULL);
	assert_non_null(scene.rig.step.command);
	assert_non_null(scene.rig.step.command->slot_move);
	say(&scene, H2, "c1", "");
	rig_take(&scene.rig, NULL);
	assert_null(scene.rig.step.command);
	assert_false(scene.rig.step.add_standby);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reach),	      cmocka_unit_test(test_reach_bounds),
		cmocka_unit_test(test_moves),	      cmocka_unit_test(test_other_hosts),
		cmocka_unit_test(test_stale_word),    cmocka_unit_test(test_new_leader),
		cmocka_unit_test(test_holder),	      cmocka_unit_test(test_standby),
		cmocka_unit_test(test_again),	      cmocka_unit_test(test_several_slots),
		cmocka_unit_test(test_standbys_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
