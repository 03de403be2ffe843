/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standbys and retired controllers; and that one step never does two things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/due.h"
#include "src/leader/slots.h"
#include "src/leader/standbys.h"
#include "tests/unit/test_leader_rig.h"

static void expect_add(struct rig *rig, bool add)
{
	rig_take(rig, standbys_step);
	assert_null(rig->step.command);
	assert_int_equal(rig->step.add_standby, add);
}

static void expect_retire(struct rig *rig, const char *node)
{
	const struct command_controller_retire *retire = rig_expect_command(rig, standbys_step)->controller_retire;

	assert_non_null(retire);
	assert_string_equal(retire->node, node);
	assert_false(rig->step.add_standby);
}

static void standby(struct rig *rig, const char *node)
{
	rig->controllers[rig->volume.controllers.count++] =
		(struct controller){ .node = node, .role = CONTROLLER_ROLE_STANDBY };
}

static void test_add(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, STANDBYS_CALM_MS);
	expect_add(&rig, false);
	rig.volume.standbys = 2;
	expect_add(&rig, true);
	rig.volume.standbys = 0;
	rig.volume.controllers.count = 2;
	expect_add(&rig, false);
	/* None was wanted, but now a slot needs one. */
	rig_offline(&rig, C2);
	expect_add(&rig, true);
	standby(&rig, "c3");
	expect_add(&rig, false);
	rig_offline(&rig, C3);
	expect_add(&rig, true);
	/* It came back in time: what was added for it goes. */
	rig.nodes[C2].health = rig.nodes[C3].health = HEALTH_ONLINE;
	expect_retire(&rig, "c3");
	/* Not while a slot moves: it may be needed yet. */
	rig.slots[0].phase = SLOT_PHASE_EXPORTING;
	expect_add(&rig, false);
	rig_close(&rig);
}

/* Fewer are wanted: the least useful goes, one in each step, and never a holder. */
static void test_fewer(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	standby(&rig, "c4");
	standby(&rig, "n3");
	rig_say(&rig, C4, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig_say(&rig, N3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig.volume.standbys = 3;
	expect_add(&rig, false);
	rig.volume.standbys = 1;
	/* The busiest, and of equal ones the last by name. */
	expect_retire(&rig, "n3");
	rig.nodes[C3].controllers = 5;
	expect_retire(&rig, "c3");
	/* Rather one where nothing new would be placed; one that is not made yet; one that is away for now. */
	rig.nodes[C4].cordoned = true;
	expect_retire(&rig, "c4");
	rig_say(&rig, N3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	expect_retire(&rig, "n3");
	rig_offline(&rig, C3);
	expect_retire(&rig, "c3");
	rig.nodes[C3].health = HEALTH_SUSPECT;
	expect_retire(&rig, "c3");
	/* The one that is bad, though more could go than that. */
	rig.nodes[C3].health = HEALTH_ONLINE;
	rig.nodes[N3].draining = rig.nodes[N3].cordoned = true;
	expect_retire(&rig, "n3");
	/* Down to none, but not while a slot moves, or is to. */
	rig.nodes[N3].draining = rig.nodes[N3].cordoned = rig.nodes[C4].cordoned = false;
	rig.volume.standbys = 0;
	rig.volume.controllers.count = 3;
	expect_retire(&rig, "c3");
	rig.slots[1].phase = SLOT_PHASE_FENCING;
	expect_add(&rig, false);
	rig.slots[1].phase = SLOT_PHASE_SERVING;
	rig_offline(&rig, C1);
	expect_add(&rig, false);
	rig.nodes[C1].health = HEALTH_ONLINE;
	rig.volume.controllers.count = 2;
	expect_add(&rig, false);
	rig_close(&rig);
}

/* What fails over comes first; a slot without a successor is no reason to wait. */
static void test_calm(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.volume.standbys = 2;
	expect_add(&rig, false);
	assert_int_equal(rig.step.look_again_ms, STANDBYS_CALM_MS);
	rig_wait(&rig, STANDBYS_CALM_MS - 1);
	expect_add(&rig, false);
	assert_int_equal(rig.step.look_again_ms, 1);
	rig_wait(&rig, 1);
	expect_add(&rig, true);
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	expect_add(&rig, false);
	rig_offline(&rig, C3);
	expect_add(&rig, false);
	rig_offline(&rig, C2);
	expect_add(&rig, true);
	rig_close(&rig);
}

static void test_bad_standby(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_wait(&rig, STANDBYS_CALM_MS);
	rig_offline(&rig, C3);
	rig.nodes[C3].offline_ms = STANDBYS_OFFLINE_MS - 1;
	expect_add(&rig, false);
	assert_int_equal(rig.step.look_again_ms, 1);
	rig.nodes[C3].offline_ms = STANDBYS_OFFLINE_MS;
	expect_add(&rig, true);
	/* It goes when another one is there, not before. */
	standby(&rig, "c4");
	expect_retire(&rig, "c3");
	rig.nodes[C3].health = HEALTH_ONLINE;
	rig.nodes[C3].draining = rig.nodes[C3].cordoned = true;
	expect_retire(&rig, "c3");
	rig.volume.controllers.count = 3;
	expect_add(&rig, true);
	/* The kernel that it came up with cannot do what the volume promises: a failover must not go there. */
	rig.nodes[C3].draining = false;
	rig.nodes[C3].unable = true;
	expect_add(&rig, true);
	assert_null(slots_successor(&rig.view, MOVE_REASON_FAILOVER));
	rig.nodes[C3].unable = false;
	/* One that is only cordoned stays. */
	rig.nodes[C3].draining = false;
	expect_add(&rig, false);
	rig_close(&rig);
}

/* A drain needs a standby that is not drained itself; one more is not added while one is on its way. */
static void test_drain(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.nodes[C1].draining = rig.nodes[C1].cordoned = true;
	expect_add(&rig, false);
	rig_say(&rig, C3, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_PENDING);
	expect_add(&rig, false);
	rig.nodes[C3].cordoned = true;
	expect_add(&rig, true);
	rig_close(&rig);
}

static void test_drop(void **state)
{
	const struct command_controller_drop *drop;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_SERVING);
	rig.volume.standbys = 0;
	rig_expect_wait(&rig, standbys_step, "controller v7: node c1 is offline");
	rig.nodes[C1].health = HEALTH_ONLINE;
	rig_expect_wait(&rig, standbys_step, "controller v7: node c1 is at revision 40, wanted is 41");
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED);
	rig_expect_wait(&rig, standbys_step, "controller v7: node c1 says converged, wanted is absent");
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	drop = rig_expect_command(&rig, standbys_step)->controller_drop;
	assert_non_null(drop);
	assert_string_equal(drop->node, "c1");
	assert_int_equal(drop->epoch, 1);
	rig_close(&rig);
}

/* The nodes of a move have no other revision to confirm before it ends. */
static void test_drop_after_the_move(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_ASSEMBLING);
	rig.volume.standbys = 0;
	rig.nodes[C1].health = HEALTH_ONLINE;
	rig_say(&rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_ABSENT);
	rig_take(&rig, standbys_step);
	assert_null(rig.step.command);
	assert_true(rig.step.look_again_ms <= STANDBYS_DROP_MS);
	/* One that lasts keeps nobody. */
	rig_wait(&rig, STANDBYS_DROP_MS);
	assert_non_null(rig_expect_command(&rig, standbys_step)->controller_drop);
	rig_close(&rig);
}

/* All at once: one command, the most urgent first. */
static void test_order(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_offline(&rig, C1);
	rig_offline(&rig, N3);
	rig.volume.standbys = 2;
	assert_non_null(rig_expect_command(&rig, NULL)->slot_move);
	assert_false(rig.step.add_standby);
	rig.nodes[C1].health = HEALTH_ONLINE;
	assert_non_null(rig_expect_command(&rig, NULL)->lds_stale);
	rig.nodes[N3].health = HEALTH_ONLINE;
	rig_wait(&rig, STANDBYS_CALM_MS);
	rig_take(&rig, NULL);
	assert_null(rig.step.command);
	assert_true(rig.step.add_standby);
	rig_close(&rig);
}

static void test_due(void **state)
{
	enum { COUNT = 500 };
	static struct due_entry entries[COUNT];
	struct due due = { 0 };
	struct due_entry *entry;
	uint64_t last = 0, taken = 0;

	(void)state;
	srand(4711);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(due_put(&due, &entries[i], (uint64_t)(rand() % 1000)), 0);
	for (size_t i = 0; i < COUNT; i += 3)
		assert_int_equal(due_put(&due, &entries[i], (uint64_t)(rand() % 1000)), 0);
	for (size_t i = 1; i < COUNT; i += 5) {
		due_remove(&due, &entries[i]);
		due_remove(&due, &entries[i]);
	}
	while ((entry = due_take(&due, 499)) != NULL) {
		assert_true(entry->at_ms >= last && entry->at_ms <= 499);
		last = entry->at_ms;
		taken++;
	}
	while ((entry = due_take(&due, UINT64_MAX)) != NULL) {
		assert_true(entry->at_ms >= last && entry->at_ms > 499);
		last = entry->at_ms;
		taken++;
	}
	assert_int_equal(taken, COUNT - COUNT / 5);
	due_free(&due);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_fewer),
		cmocka_unit_test(test_calm),
		cmocka_unit_test(test_bad_standby),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_drop_after_the_move),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
