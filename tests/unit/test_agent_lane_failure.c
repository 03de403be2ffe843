/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/lane_failure.h"
#include "tests/unit/failing_alloc.h"

static const struct owner volume = { .kind = OBJECT_KIND_VOLUME };
static const struct error well = { .code = ERROR_NONE };

/* The waits between attempts that each fail at once. */
static void test_often_and_then_seldom(void **state)
{
	static const unsigned seldom[] = { 500, 1000, 2000, 4000, 5000, 5000 };
	struct lane_failures failures = { 0 };
	struct error error = { 0 };
	uint64_t now = 1000000, wait;

	(void)state;
	error_set(&error, ERROR_UNAVAILABLE, "refused");
	assert_int_equal(lane_failures_wait_ms(&failures, "v1", now), 0);
	for (uint64_t begin = now; now - begin <= 3000; now += wait) {
		lane_failures_note(&failures, "v1", &volume, &error, now);
		wait = lane_failures_wait_ms(&failures, "v1", now);
		assert_int_equal(wait, 250);
		assert_int_equal(lane_failures_wait_ms(&failures, "v1", now + 100), 150);
	}
	for (size_t i = 0; i < sizeof(seldom) / sizeof(seldom[0]); i++) {
		lane_failures_note(&failures, "v1", &volume, &error, now);
		wait = lane_failures_wait_ms(&failures, "v1", now);
		assert_int_equal(wait, seldom[i]);
		now += wait;
		assert_int_equal(lane_failures_wait_ms(&failures, "v1", now), 0);
	}
	assert_int_equal(lane_failures_wait_ms(&failures, "v2", now), 0);
	/* One that goes well makes it begin anew. */
	lane_failures_note(&failures, "v1", &volume, &well, now);
	assert_null(failures.first);
	lane_failures_note(&failures, "v1", &volume, &error, now);
	assert_int_equal(lane_failures_wait_ms(&failures, "v1", now), 250);
	lane_failures_free(&failures);
}

static bool is_v2(void *data, const char *lane)
{
	++*(size_t *)data;
	return strcmp(lane, "v2") == 0;
}

static void test_history_is_forgotten(void **state)
{
	struct lane_failures failures = { 0 };
	struct error error = { 0 };
	size_t asked = 0;

	(void)state;
	error_set(&error, ERROR_UNAVAILABLE, "refused");
	for (const char *const *lane = (const char *const[]){ "v1", "v2", "v3", NULL }; *lane != NULL; lane++)
		lane_failures_note(&failures, *lane, &volume, &error, 5);
	lane_failures_prune(&failures, is_v2, &asked);
	assert_int_equal(asked, 3);
	assert_non_null(failures.first);
	assert_string_equal(failures.first->lane, "v2");
	assert_string_equal(failures.first->message, "refused");
	assert_null(failures.first->next);
	lane_failures_free(&failures);
}

static void test_without_memory_it_is_tried_at_once(void **state)
{
	struct lane_failures failures = { 0 };
	struct error error = { 0 };

	(void)state;
	error_set(&error, ERROR_UNAVAILABLE, "refused");
	failing_alloc_arm(1);
	lane_failures_note(&failures, "v1", &volume, &error, 5);
	assert_true(failing_alloc_disarm());
	assert_int_equal(lane_failures_wait_ms(&failures, "v1", 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_often_and_then_seldom),
		cmocka_unit_test(test_history_is_forgotten),
		cmocka_unit_test(test_without_memory_it_is_tried_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
