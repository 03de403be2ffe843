/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which writes keep a gate shut, from a folder that looks like sysfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/backend/linux/linux.h"
#include "tests/unit/test_sysfs.h"

static char tree[SYSFS_TREE_SIZE];

static void put(const char *device, const char *attribute, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/block/%s/%s", tree, device, attribute);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void device_put(const char *device, const char *name, const char *inflight)
{
	char command[256];

	snprintf(command, sizeof(command), "mkdir -p %s/block/%s/dm", tree, device);
	assert_int_equal(system(command), 0);
	put(device, "dm/name", name);
	put(device, "dm/suspended", "0\n");
	put(device, "inflight", inflight);
}

static int tree_setup(void **state)
{
	(void)state;
	sysfs_make(tree);
	return 0;
}

static int tree_teardown(void **state)
{
	(void)state;
	sysfs_remove(tree);
	return 0;
}

static int find(void)
{
	struct error error = { 0 };

	return gate_out_writes_find(tree, &error);
}

static void test_nothing_is_there(void **state)
{
	(void)state;
	assert_int_equal(find(), 0);
}

static void test_writes_to_volumes_count(void **state)
{
	(void)state;
	device_put("dm-3", "dnvme-volume-v1\n", "       2        0\n");
	device_put("dm-4", "dnvme-raid-v1.l0.g0\n", "       0        7\n");
	device_put("dm-5", "somebodys-volume-v1\n", "       0        7\n");
	device_put("dm-6", "dnvme-volume-v2\n", "       0        0\n");
	assert_int_equal(find(), 0);
	put("dm-6", "inflight", "       0        1\n");
	assert_int_equal(find(), ERROR_UNAVAILABLE);
	put("dm-6", "inflight", "       1        0\n");
	assert_int_equal(find(), 0);
}

/* What waits in a device that is suspended is not counted by the kernel. */
static void test_suspended_counts(void **state)
{
	(void)state;
	device_put("dm-3", "dnvme-volume-v1\n", "       0        0\n");
	put("dm-3", "dm/suspended", "1\n");
	assert_int_equal(find(), ERROR_UNAVAILABLE);
	put("dm-3", "dm/suspended", "0\n");
	assert_int_equal(find(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_there, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_writes_to_volumes_count, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_suspended_counts, tree_setup, tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
