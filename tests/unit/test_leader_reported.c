/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/reported.h"
#include "tests/unit/failing_alloc.h"

static int say(struct reported *reported, enum object_kind kind, const char *id, enum object_state state,
	       uint64_t revision, const char *message)
{
	struct object_status status = {
		.kind = kind, .id = id, .revision = revision, .state = state, .message = message
	};

	return reported_update(reported, &status, NULL);
}

static void test_update(void **state)
{
	struct reported reported = REPORTED_INIT;
	const struct object_status *status;

	(void)state;
	assert_null(reported_get(&reported, OBJECT_KIND_VOLUME, "v1"));
	assert_int_equal(say(&reported, OBJECT_KIND_VOLUME, "v1", OBJECT_STATE_PENDING, 3, "slow"), 0);
	assert_int_equal(say(&reported, OBJECT_KIND_EXPORT, "d1.v1.s0", OBJECT_STATE_CONVERGED, 3, NULL), 0);
	assert_int_equal(say(&reported, OBJECT_KIND_DISK, "d1", OBJECT_STATE_CONVERGED, 1, NULL), 0);
	status = reported_get(&reported, OBJECT_KIND_VOLUME, "v1");
	assert_string_equal(status->message, "slow");
	assert_int_equal(say(&reported, OBJECT_KIND_VOLUME, "v1", OBJECT_STATE_CONVERGED, 4, NULL), 0);
	status = reported_get(&reported, OBJECT_KIND_VOLUME, "v1");
	assert_int_equal(status->revision, 4);
	assert_int_equal(status->state, OBJECT_STATE_CONVERGED);
	assert_null(status->message);
	assert_int_equal(reported_get(&reported, OBJECT_KIND_EXPORT, "d1.v1.s0")->revision, 3);
	assert_null(reported_get(&reported, OBJECT_KIND_EXPORT, "d1.v1.s1"));
	reported_forget(&reported, 1);
	assert_null(reported_get(&reported, OBJECT_KIND_VOLUME, "v1"));
	assert_null(reported_get(&reported, OBJECT_KIND_EXPORT, "d1.v1.s0"));
	assert_non_null(reported_get(&reported, OBJECT_KIND_DISK, "d1"));
	reported_clear(&reported);
	assert_null(reported_get(&reported, OBJECT_KIND_DISK, "d1"));
}

static void test_ids(void **state)
{
	static const struct {
		enum object_kind kind;
		const char *id;
	} bad[] = {
		{ OBJECT_KIND_VOLUME, "d1" },
		{ OBJECT_KIND_VOLUME, "v" },
		{ OBJECT_KIND_VOLUME, "v01" },
		{ OBJECT_KIND_DISK, "v1" },
		{ OBJECT_KIND_EXPORT, "v1" },
		{ OBJECT_KIND_EXPORT, "d1.x1.s0" },
		{ OBJECT_KIND_EXPORT, "d1.v1" },
		{ OBJECT_KIND_EXPORT, "" },
		{ OBJECT_KIND_CONSUMER, "v2" },
		{ OBJECT_KIND_CONSUMER, "v2.s0" },
		{ OBJECT_KIND_CONSUMER, "v2.s0." },
		{ OBJECT_KIND_CONSUMER, "v2.x0.nodeb" },
		{ OBJECT_KIND_CONSUMER, "d2.s0.nodeb" },
		{ (enum object_kind)9, "v1" },
		{ OBJECT_KIND_EXPORT, "d1.v11111111111111111111111111111111111111111111111111.s0" },
	};
	struct reported reported = REPORTED_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(say(&reported, bad[i].kind, bad[i].id, OBJECT_STATE_PENDING, 1, NULL),
				 ERROR_INVALID_ARGUMENT);
		assert_int_equal(reported_volume_of(bad[i].kind, bad[i].id), 0);
	}
	assert_int_equal(reported_volume_of(OBJECT_KIND_EXPORT, "d12.v345.s6"), 345);
	assert_int_equal(reported_volume_of(OBJECT_KIND_VOLUME, "v345"), 345);
	assert_int_equal(reported_volume_of(OBJECT_KIND_DISK, "d3"), 0);
	assert_int_equal(reported_volume_of(OBJECT_KIND_CONSUMER, "v2.s0.nodeb"), 2);
	assert_int_equal(say(&reported, OBJECT_KIND_CONSUMER, "v2.s0.nodeb", OBJECT_STATE_CONVERGED, 3, NULL), 0);
	assert_int_equal(reported_get(&reported, OBJECT_KIND_CONSUMER, "v2.s0.nodeb")->revision, 3);
	assert_null(reported_get(&reported, OBJECT_KIND_CONSUMER, "v2.s0.nodec"));
	reported_clear(&reported);
}

/* A rebuild as it goes on; each report takes the place of the one before. */
static void test_health(void **state)
{
	struct member_status members[2] = {
		{ .ld = 1, .epoch = 2, .health = MEMBER_HEALTH_IN_SYNC },
		{ .ld = 2, .epoch = 2, .health = MEMBER_HEALTH_REBUILDING, .done_bytes = 1000, .total_bytes = 9000 },
	};
	struct peer_status peer = { .slot = 1, .path_lost = true, .path_lost_ms = 7 };
	struct volume_health health = { .volume = 4, .members = { 2, members }, .peers = { 1, &peer }, .revision = 11 };
	struct reported reported = REPORTED_INIT;
	const struct reported_health *got;
	size_t index;

	(void)state;
	assert_null(reported_health_get(&reported, 4));
	assert_int_equal(reported_health_update(&reported, &health, 1000, NULL), 0);
	got = reported_health_get(&reported, 4);
	assert_int_equal(got->received_ms, 1000);
	assert_int_equal(got->revision, 11);
	assert_int_equal(got->peers.items[0].path_lost_ms, 7);
	assert_int_equal(reported_member(got, 2, 2, &index)->done_bytes, 1000);
	assert_int_equal(index, 1);
	assert_int_equal(got->rates[1], 0);
	assert_null(reported_member(got, 2, 1, NULL)); /* what is said of another epoch says nothing */
	assert_null(reported_member(got, 3, 2, NULL));
	/* 4000 bytes in 2 s. */
	members[1].done_bytes = 5000;
	assert_int_equal(reported_health_update(&reported, &health, 3000, NULL), 0);
	assert_int_equal(reported_health_get(&reported, 4)->rates[1], 2000);
	assert_int_equal(reported_health_get(&reported, 4)->rates[0], 0);
	/* Nothing for 2 s: slower, but not yet still. */
	assert_int_equal(reported_health_update(&reported, &health, 5000, NULL), 0);
	assert_int_equal(reported_health_get(&reported, 4)->rates[1], 1500);
	assert_int_equal(reported_health_get(&reported, 4)->moved_ms[1], 3000);
	assert_int_equal(reported_health_get(&reported, 4)->moved_ms[0], 5000);
	assert_int_equal(reported_health_update(&reported, &health, 5500, NULL), 0);
	assert_int_equal(reported_health_get(&reported, 4)->moved_ms[1], 3000);
	/* It began anew. */
	members[1].done_bytes = 10;
	assert_int_equal(reported_health_update(&reported, &health, 6000, NULL), 0);
	assert_int_equal(reported_health_get(&reported, 4)->rates[1], 0);
	assert_int_equal(reported_health_get(&reported, 4)->moved_ms[1], 6000);
	health.members.count = 1;
	health.peers.count = 0;
	assert_int_equal(reported_health_update(&reported, &health, 7000, NULL), 0);
	assert_null(reported_member(reported_health_get(&reported, 4), 2, 2, NULL));
	assert_int_equal(reported_health_get(&reported, 4)->peers.count, 0);
	reported_forget(&reported, 4);
	assert_null(reported_health_get(&reported, 4));
	assert_int_equal(reported_health_update(&reported, &health, 7000, NULL), 0);
	reported_clear(&reported);
}

static void test_problems(void **state)
{
	struct object_status_list list = { 0 };
	struct reported reported = REPORTED_INIT;
	struct arena arena = ARENA_INIT;
	struct error error;

	(void)state;
	say(&reported, OBJECT_KIND_VOLUME, "v1", OBJECT_STATE_PENDING, 3, "slow");
	say(&reported, OBJECT_KIND_EXPORT, "d1.v1.s0", OBJECT_STATE_CONVERGED, 3, NULL);
	say(&reported, OBJECT_KIND_VOLUME, "v2", OBJECT_STATE_FAILED, 3, "broken");
	assert_int_equal(reported_problems(&reported, 1, &arena, &list, &error), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].message, "slow");
	assert_int_equal(reported_problems(&reported, 2, &arena, &list, &error), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[0].message, "slow");
	assert_string_equal(list.items[1].id, "v2");
	list = (struct object_status_list){ 0 };
	assert_int_equal(reported_problems(&reported, 0, &arena, &list, &error), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(reported_problems(&reported, 3, &arena, &list, &error), 0);
	assert_int_equal(list.count, 2);
	/* A consumer that was not reported with the last revision of its volume is no longer wanted. */
	say(&reported, OBJECT_KIND_VOLUME, "v4", OBJECT_STATE_CONVERGED, 3, NULL);
	say(&reported, OBJECT_KIND_CONSUMER, "v4.s0.nodeb", OBJECT_STATE_PENDING, 3, "reject");
	list = (struct object_status_list){ 0 };
	assert_int_equal(reported_problems(&reported, 4, &arena, &list, &error), 0);
	assert_int_equal(list.count, 1);
	say(&reported, OBJECT_KIND_VOLUME, "v4", OBJECT_STATE_CONVERGED, 4, NULL);
	list = (struct object_status_list){ 0 };
	assert_int_equal(reported_problems(&reported, 4, &arena, &list, &error), 0);
	assert_int_equal(list.count, 0);
	arena_free(&arena);
	reported_clear(&reported);
}

/* An agent that invents objects does not fill the leader's memory. */
static void test_flood(void **state)
{
	struct reported reported = REPORTED_INIT;
	size_t taken = 0;
	char id[64];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "d%u.v1.s0", i);
		taken += say(&reported, OBJECT_KIND_EXPORT, id, OBJECT_STATE_PENDING, 1, NULL) == 0;
	}
	assert_int_equal(taken, LIMIT_DISKS_PER_NODE * LIMIT_CONTROLLERS + LIMIT_CONTROLLERS * LIMIT_COLOURS + 1);
	/* What is known can still change. */
	assert_int_equal(say(&reported, OBJECT_KIND_EXPORT, "d5.v1.s0", OBJECT_STATE_CONVERGED, 2, NULL), 0);
	reported_clear(&reported);
}

static void test_failing_allocations(void **state)
{
	struct ld_errors errors = { .ld = 7, .writes = 1 };
	struct object_status export = {
		.kind = OBJECT_KIND_EXPORT, .id = "d1.v3.s0", .state = OBJECT_STATE_FAILED, .errors = { 1, &errors }
	};
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct reported reported = REPORTED_INIT;
		const struct object_status *status;
		int rv;

		say(&reported, OBJECT_KIND_VOLUME, "v1", OBJECT_STATE_PENDING, 1, "first");
		failing_alloc_arm(n);
		rv = say(&reported, OBJECT_KIND_VOLUME, "v1", OBJECT_STATE_FAILED, 2, "second");
		if (rv == 0)
			rv = say(&reported, OBJECT_KIND_VOLUME, "v2", OBJECT_STATE_FAILED, 2, "other");
		if (rv == 0)
			rv = reported_update(&reported, &export, NULL);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		/* The old status or the new one, never a mixture. */
		status = reported_get(&reported, OBJECT_KIND_VOLUME, "v1");
		assert_string_equal(status->message, status->revision == 1 ? "first" : "second");
		/* Never an export that seems to have returned no error. */
		status = reported_get(&reported, OBJECT_KIND_EXPORT, "d1.v3.s0");
		assert_true(status == NULL || (status->errors.count == 1 && status->errors.items[0].ld == 7));
		reported_clear(&reported);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_update), cmocka_unit_test(test_ids),
		cmocka_unit_test(test_health), cmocka_unit_test(test_problems),
		cmocka_unit_test(test_flood),  cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
