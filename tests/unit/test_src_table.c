/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "src/list.h"
#include "src/table.h"
#include "tests/unit/failing_alloc.h"

#define COUNT 1000
#define MANY 100000

static void test_table(void **state)
{
	static int values[COUNT];
	struct table table = TABLE_INIT;
	size_t seen = 0;
	char key[16];

	(void)state;
	assert_null(table_get(&table, "x"));
	assert_null(table_remove(&table, "x"));
	assert_null(table_next(&table, NULL));
	for (int i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "v%d", i);
		assert_int_equal(table_put(&table, key, &values[i]), 0);
	}
	assert_int_equal(table.count, COUNT);
	assert_int_equal(table_put(&table, "v5", &values[6]), 0);
	assert_int_equal(table.count, COUNT);
	assert_ptr_equal(table_get(&table, "v5"), &values[6]);
	for (struct table_entry *entry = table_next(&table, NULL); entry != NULL; entry = table_next(&table, entry))
		seen++;
	assert_int_equal(seen, COUNT);
	for (int i = 0; i < COUNT; i += 2) {
		snprintf(key, sizeof(key), "v%d", i);
		assert_non_null(table_remove(&table, key));
		assert_null(table_get(&table, key));
	}
	assert_int_equal(table.count, COUNT / 2);
	assert_ptr_equal(table_get(&table, "v7"), &values[7]);
	table_free(&table);
	assert_int_equal(table.count, 0);
	assert_null(table_get(&table, "v7"));
}

/* However many there are: whoever empties a table does not look at all of it for each entry. */
static void test_emptying(void **state)
{
	static int value;
	struct table table = TABLE_INIT;
	struct table_entry *entry;
	clock_t began = clock(), filled, emptied;
	size_t seen = 0;
	char key[16];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "v%d", i);
		assert_int_equal(table_put(&table, key, &value), 0);
	}
	filled = clock();
	/* Some come back into buckets that were emptied. */
	for (int i = 0; (entry = table_any(&table)) != NULL; i++, seen++) {
		assert_ptr_equal(table_remove(&table, entry->key), &value);
		snprintf(key, sizeof(key), "w%d", i);
		if (i < COUNT)
			assert_int_equal(table_put(&table, key, &value), 0);
	}
	emptied = clock();
	assert_int_equal(seen, MANY + COUNT);
	assert_int_equal(table.count, 0);
	assert_in_range(emptied - filled, 0, 20 * (filled - began) + CLOCKS_PER_SEC / 10);
	table_free(&table);
}

static void test_failing_allocations(void **state)
{
	bool failed = true;
	int value = 0;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct table table = TABLE_INIT;
		int stored = 0;
		char key[16];

		failing_alloc_arm(n);
		for (int i = 0; i < 40; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			stored += table_put(&table, key, &value) == 0;
		}
		failed = failing_alloc_disarm();
		assert_int_equal(table.count, stored);
		/* Growing is not needed for storing, so at most the one allocation is missing. */
		assert_true(stored >= 39);
		table_free(&table);
	}
}

struct item {
	int number;
	struct list link;
};

static void test_list(void **state)
{
	struct item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
	struct list list, taken;
	int expected = 0;

	(void)state;
	list_init(&list);
	list_take(&taken, &list);
	assert_true(list_is_empty(&taken));
	for (int i = 0; i < 3; i++)
		list_append(&list, &items[i].link);
	list_take(&taken, &list);
	assert_true(list_is_empty(&list));
	list_for_each(node, next, &taken)
	{
		assert_int_equal(list_entry(node, struct item, link)->number, expected++);
		list_remove(node);
		list_remove(node);
	}
	assert_int_equal(expected, 3);
	assert_true(list_is_empty(&taken));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_emptying),
		cmocka_unit_test(test_failing_allocations),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
