/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of kernel objects, and when it must be read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/backend/linux/known.h"
#include "lib/model/records.h"

#define STAMP 7

static struct known *known;
static uint64_t now_ms;

static int setup(void **state)
{
	(void)state;
	now_ms = 1000;
	known = known_make(schema_observed_dm());
	return known == NULL;
}

static int teardown(void **state)
{
	(void)state;
	known_free(known);
	return 0;
}

static void keep(const char *name, uint64_t stamp, uint64_t ticket, uint64_t minor)
{
	struct observed_target line = { 8, 16, "linear", "8:0 1" };
	struct observed_dm dm = { .name = name, .major = 253, .minor = minor, .targets = { 1, &line } };

	known_keep(known, name, stamp, ticket, &dm);
}

/* The minor number of what is known; 0: nothing is. */
static uint64_t get(const char *name, uint64_t stamp, uint64_t *ret_ticket)
{
	struct arena arena = ARENA_INIT;
	struct observed_dm dm = { 0 };
	uint64_t minor = 0;

	if (known_get(known, name, stamp, &arena, &dm, ret_ticket)) {
		minor = dm.minor;
		assert_string_equal(dm.name, name);
		assert_int_equal(dm.targets.count, 1);
		assert_string_equal(dm.targets.items[0].params, "8:0 1");
	}
	arena_free(&arena);
	return minor;
}

/* A look that finds `minor` in the kernel when it must read. Returns what it says is there. */
static uint64_t look_at(const char *name, uint64_t stamp, uint64_t minor)
{
	uint64_t ticket, there;

	known_look_begin(known, now_ms);
	there = get(name, stamp, &ticket);
	if (there == 0) {
		keep(name, stamp, ticket, minor);
		there = minor;
	}
	known_look_end(known);
	return there;
}

static void test_known(void **state)
{
	(void)state;
	assert_int_equal(look_at("a", STAMP, 1), 1);
	assert_int_equal(look_at("a", STAMP, 2), 1);
	assert_int_equal(look_at("b", STAMP, 3), 3);
	assert_int_equal(look_at("a", STAMP, 4), 4); /* the look before did not see it: another one of that name */
}

static void test_another_stamp(void **state)
{
	(void)state;
	look_at("a", STAMP, 1);
	assert_int_equal(look_at("a", STAMP + 1, 2), 2);
	assert_int_equal(look_at("a", STAMP + 1, 3), 2);
	assert_int_equal(look_at("a", STAMP, 4), 4);
}

static void test_full(void **state)
{
	(void)state;
	look_at("a", STAMP, 1);
	now_ms += KNOWN_FULL_MS - 1;
	assert_int_equal(look_at("a", STAMP, 2), 1);
	now_ms += 1;
	assert_int_equal(look_at("a", STAMP, 3), 3);
	now_ms += KNOWN_FULL_MS - 1;
	assert_int_equal(look_at("a", STAMP, 4), 3);
}

static void test_changed(void **state)
{
	(void)state;
	look_at("a", STAMP, 1);
	look_at("a", STAMP, 1);
	{
		KNOWN_CHANGE change = known_change_begin(known, "a");
	}
	assert_int_equal(look_at("a", STAMP, 2), 2);
	assert_int_equal(look_at("a", STAMP, 3), 2);
}

/* What is seen half-done is not kept, however long the operation takes. */
static void test_changing(void **state)
{
	struct known_change change, another;

	(void)state;
	look_at("a", STAMP, 1);
	change = known_change_begin(known, "a");
	assert_int_equal(look_at("a", STAMP, 2), 2);
	assert_int_equal(look_at("a", STAMP, 3), 3);
	another = known_change_begin(known, "a");
	known_change_end(&another);
	assert_int_equal(look_at("a", STAMP, 4), 4);
	known_change_end(&change);
	assert_int_equal(look_at("a", STAMP, 5), 5);
	assert_int_equal(look_at("a", STAMP, 6), 5);
}

/* An object that is made while no look sees it is still known to change. */
static void test_changing_unseen(void **state)
{
	struct known_change change;

	(void)state;
	look_at("b", STAMP, 1);
	change = known_change_begin(known, "a");
	look_at("b", STAMP, 1);
	look_at("b", STAMP, 1);
	assert_int_equal(look_at("a", STAMP, 2), 2);
	assert_int_equal(look_at("a", STAMP, 3), 3);
	known_change_end(&change);
	look_at("a", STAMP, 4);
	assert_int_equal(look_at("a", STAMP, 5), 4);
}

/* The operation comes between the read and the note of it. */
static void test_raced(void **state)
{
	struct known_change change;
	uint64_t ticket;

	(void)state;
	known_look_begin(known, now_ms);
	assert_int_equal(get("a", STAMP, &ticket), 0);
	change = known_change_begin(known, "a");
	known_change_end(&change);
	keep("a", STAMP, ticket, 1);
	known_look_end(known);
	assert_int_equal(look_at("a", STAMP, 2), 2);

	now_ms += KNOWN_FULL_MS;
	known_look_begin(known, now_ms);
	assert_int_equal(get("a", STAMP, &ticket), 0);
	change = known_change_begin(known, "a");
	keep("a", STAMP, ticket, 3);
	known_look_end(known);
	known_change_end(&change);
	assert_int_equal(look_at("a", STAMP, 4), 4);
}

/* A ticket of an object that went does not fit the one that has its name now. */
static void test_old_ticket(void **state)
{
	uint64_t ticket;

	(void)state;
	known_look_begin(known, now_ms);
	get("a", STAMP, &ticket);
	known_look_end(known);
	look_at("b", STAMP, 1);
	known_look_begin(known, now_ms);
	keep("a", STAMP, ticket, 2);
	known_look_end(known);
	assert_int_equal(look_at("a", STAMP, 3), 3);
}

/* A second read with the ticket of a record that was known. */
static void test_amended(void **state)
{
	uint64_t ticket;

	(void)state;
	look_at("a", STAMP, 1);
	known_look_begin(known, now_ms);
	assert_int_equal(get("a", STAMP, &ticket), 1);
	keep("a", STAMP, ticket, 2);
	known_look_end(known);
	assert_int_equal(look_at("a", STAMP, 3), 2);
}

static void test_not_encodable(void **state)
{
	struct observed_dm dm = { .name = NULL };
	uint64_t ticket;

	(void)state;
	look_at("a", STAMP, 1);
	known_look_begin(known, now_ms);
	get("a", STAMP, &ticket);
	known_keep(known, "a", STAMP, ticket, &dm);
	known_look_end(known);
	assert_int_equal(look_at("a", STAMP, 2), 2);
}

static void test_many(void **state)
{
	char name[16];
	uint64_t ticket;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		known_look_begin(known, now_ms);
		for (unsigned i = 1; i <= 1000; i++) {
			snprintf(name, sizeof(name), "d%u", i);
			assert_int_equal(get(name, i, &ticket), round == 0 ? 0 : i);
			keep(name, i, ticket, i);
		}
		known_look_end(known);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_stamp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changing_unseen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_ticket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_amended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_encodable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
