/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A group as the kernel prints and writes it: tables, statuses, superblocks, paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/group.h"
#include "agent/planner.h"
#include "agent/superblock.h"
#include "tests/unit/test_text.h"

#define IMPORT "nqn.2026-11.io.dnvme:k3v9:slot:d2.v1.s0:e1"

static void test_table_and_status(void **state)
{
	struct observed_target line = { .length = 100, .type = "raid" };
	struct observed_target_list list = { 1, &line };
	struct group_status status;
	struct group_table table;
	static const char *const bad[] = { "",
					   "raid1",
					   "raid5 3 0 region_size 8 2 - - - -",
					   "raid1 3 0 region_size 8 2 1:2",
					   "raid1 3 0 region_size 8 9 1:2 1:3",
					   "raid1 9 0 region_size 8 1 1:2 1:3",
					   "raid1 3 0 region_size x 1 1:2 1:3",
					   "raid1 3 0 region_size 8 1 1:2x 1:3" };

	(void)state;
	line.params = "raid1 8 0 nosync rebuild 2 max_recovery_rate 7 region_size 1024 3 253:1 253:2 - - 7:8 7:9";
	assert_true(group_table_parse(&list, &table));
	assert_int_equal(table.count, 3);
	assert_int_equal(table.region_sectors, 1024);
	assert_true(table.rebuild[2] && !table.rebuild[1]);
	assert_int_equal(table.data[0], PLANNER_DEVICE(253, 2));
	assert_int_equal(table.data[1], 0);
	assert_int_equal(table.metadata[2], PLANNER_DEVICE(7, 8));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		line.params = bad[i];
		if (group_table_parse(&list, &table))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	group_status_parse("raid1 3 Aa- 1024/2048 recover 0 0 -", &status);
	assert_int_equal(status.count, 3);
	assert_string_equal(status.health, "Aa-");
	assert_int_equal(status.done_sectors, 1024);
	assert_true(status.rebuilding && !status.idle);
	/* Between its end and the next look of the kernel. */
	group_status_parse("raid1 2 aa 2048/2048 idle 0 0 -", &status);
	assert_false(status.idle);
	group_status_parse("raid1 2 AD 2048/2048 idle 0 0 -", &status);
	assert_true(status.idle);
	group_status_parse("raid1 2 A 2048/2048 idle 0 0 -", &status);
	assert_int_equal(status.count, 0);
	group_status_parse(NULL, &status);
	assert_int_equal(status.count, 0);
}

static void test_inaccessible_is_lost(void **state)
{
	struct observed_import import = { .nqn = IMPORT, .state = "live" };
	struct observed observed = { .imports = { 1, &import } };

	(void)state;
	assert_int_equal(group_path_at(&observed, IMPORT, NULL, 0), GROUP_PATH_LIVE);
	import.ana = "optimized";
	assert_int_equal(group_path_at(&observed, IMPORT, NULL, 0), GROUP_PATH_LIVE);
	import.ana = "inaccessible";
	assert_int_equal(group_path_at(&observed, IMPORT, NULL, 0), GROUP_PATH_FROZEN);
	assert_int_equal(group_path_at(&observed, "nqn.x", NULL, 0), GROUP_PATH_GONE);
}

static void test_superblock(void **state)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], good[SUPERBLOCK_BLOCK_BYTES];
	static const struct {
		size_t at;
		uint8_t value;
		int code;
	} cases[] = { { 0, 'x', ERROR_FAILED_PRECONDITION }, { 4, 3, ERROR_UNSUPPORTED },  { 4, 0, ERROR_UNSUPPORTED },
		      { 48, 5, ERROR_UNSUPPORTED },	     { 60, 1, ERROR_UNSUPPORTED }, { 64, 0, ERROR_UNSUPPORTED },
		      { 72, 6, ERROR_UNSUPPORTED },	     { 144, 1, ERROR_UNSUPPORTED } };
	struct error error;

	(void)state;
	superblock_make(good, 1, true);
	assert_memory_equal(good, "DmRd", 4);
	assert_int_equal(good[12], 1);
	assert_int_equal(superblock_place(good), 1);
	assert_int_equal(superblock_check(good, "dnvme-raidmeta-ld1", &error), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(block, good, sizeof(block));
		block[cases[i].at] = cases[i].value;
		assert_int_equal(superblock_check(block, "dnvme-raidmeta-ld1", &error), cases[i].code);
		assert_contains(error.message, "dnvme-raidmeta-ld1");
	}
	memcpy(block, good, sizeof(block));
	superblock_request_resync(block, 2);
	assert_memory_equal(block, good, 40);
	for (int i = 40; i < 48; i++)
		assert_int_equal(block[i], 0);
	assert_memory_equal(block + 48, good + 48, sizeof(block) - 48);
	assert_true(superblock_is_complete(block));
	/* A table may have more places, or fewer, than the superblock says. */
	superblock_request_resync(block, 3);
	assert_int_equal(block[8], 3);
	superblock_request_resync(block, 2);
	block[32] = 0;
	assert_false(superblock_is_complete(block));
}

static void test_superblock_remembers(void **state)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], bitmap[SUPERBLOCK_BLOCK_BYTES], good[2][SUPERBLOCK_BLOCK_BYTES];
	static const struct {
		int of; /* 0: the superblock, 1: the bitmap */
		size_t at;
		uint8_t value;
		const char *reason;
	} cases[] = { { 0, 32, 0, "is not complete itself" },	  { 0, 24, 1, "does not say that it failed" },
		      { 0, 16, 9, "bitmap that is out of date" }, { 1, 0, 0, "has no bitmap" },
		      { 1, 24, 7, "bitmap that is out of date" }, { 1, 48, 2, "bitmap that is out of date" },
		      { 1, 48, 4, "bitmap that is out of date" }, { 1, 32, 8, "may have cleared bits" },
		      { 1, 32, 9, "may have cleared bits" } };
	struct error error;

	(void)state;
	superblock_make_degraded(good[0], good[1], 0, 1 << 1);
	assert_int_equal(superblock_check(good[0], "one", &error), 0);
	assert_int_equal(superblock_remembers(good[0], good[1], 1, "one", &error), 0);
	assert_int_equal(superblock_remembers(good[0], good[1], 2, "one", &error), ERROR_FAILED_PRECONDITION);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(block, good[0], sizeof(block));
		memcpy(bitmap, good[1], sizeof(bitmap));
		(cases[i].of == 0 ? block : bitmap)[cases[i].at] = cases[i].value;
		assert_int_equal(superblock_remembers(block, bitmap, 1, "one", &error), ERROR_FAILED_PRECONDITION);
		assert_contains(error.message, cases[i].reason);
	}
	/* Behind, and never the freshest. */
	memcpy(block, good[0], sizeof(block));
	superblock_request_recovery(block, 2);
	assert_false(superblock_is_complete(block));
	assert_int_equal(superblock_check(block, "one", &error), 0);
	for (size_t i = 0; i < sizeof(block); i++)
		assert_int_equal(block[i], (i >= 16 && i < 24) || (i >= 32 && i < 40) ? 0 : good[0][i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_and_status),
		cmocka_unit_test(test_inaccessible_is_lost),
		cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_superblock_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
