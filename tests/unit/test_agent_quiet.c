/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What keeps a namespace from being disabled, from a folder that looks like sysfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/backend/linux/quiet.h"
#include "tests/unit/test_sysfs.h"

static char tree[SYSFS_TREE_SIZE];

static void put(const char *attribute, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/dev/block/252:27/%s", tree, attribute);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int tree_setup(void **state)
{
	char command[256];

	(void)state;
	sysfs_make(tree);
	snprintf(command, sizeof(command), "mkdir -p %s/dev/block/252:27/dm", tree);
	assert_int_equal(system(command), 0);
	put("dm/name", "dnvme-leg-v3.l2.cn4\n");
	put("dm/suspended", "0\n");
	put("inflight", "       0        0\n");
	return 0;
}

static int tree_teardown(void **state)
{
	(void)state;
	sysfs_remove(tree);
	return 0;
}

static void expect_busy(const char *message)
{
	struct error error = { 0 };

	assert_int_equal(quiet_await(tree, 252, 27, 0, &error), ERROR_UNAVAILABLE);
	assert_string_equal(error.message, message);
}

static void test_quiet(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(quiet_await(tree, 252, 27, 0, &error), 0);
	assert_int_equal(quiet_await(tree, 252, 28, 0, &error), 0);
}

static void test_reads_and_writes_count(void **state)
{
	(void)state;
	put("inflight", "       0        1\n");
	expect_busy("1 requests to dnvme-leg-v3.l2.cn4 are under way");
	put("inflight", "       2        0\n");
	expect_busy("2 requests to dnvme-leg-v3.l2.cn4 are under way");
}

static void test_suspended(void **state)
{
	(void)state;
	put("dm/suspended", "1\n");
	expect_busy("dnvme-leg-v3.l2.cn4 is suspended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_quiet, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_reads_and_writes_count, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_suspended, tree_setup, tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
