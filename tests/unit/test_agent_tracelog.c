/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the trace instance, as Linux 6.1 and 6.12 write them, and what follows from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/backend/linux/tracelog.h"

#define LD7 "252,524295"
#define HEAD "     kworker/0:1-23      [000] "

static void take(struct tracelog *log, const char *line)
{
	assert_int_equal(tracelog_line(log, line), 0);
}

/* What is written to the marker comes back as lines of that moment. */
static void take_marks(struct tracelog *log, const char *marks, const char *moment)
{
	while (*marks != '\0') {
		int length = (int)strcspn(marks, "\n");
		char line[256];

		snprintf(line, sizeof(line), HEAD "%s: tracing_mark_write: %.*s\n", moment, length, marks);
		take(log, line);
		marks += length + (marks[length] == '\n');
	}
}

static void assert_ld(const struct tracelog *log, uint64_t ld, uint64_t reads, uint64_t writes)
{
	struct tracelog_ld found = tracelog_get(log, ld);

	assert_int_equal(found.reads, reads);
	assert_int_equal(found.writes, writes);
}

static const char *text(struct buffer *buffer)
{
	assert_int_equal(buffer_append(buffer, "", 1), 0);
	return (const char *)buffer->data;
}

static void test_lines(void **state)
{
	struct tracelog log = { 0 };

	(void)state;
	take(&log, "# entries-in-buffer/entries-written: 4/4   #P:1\n");
	take(&log, "#              | |         |         |         |\n");
	take(&log, "CPU:1 [LOST 12 EVENTS]\n");
	take(&log, HEAD "   32.376189: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
	take(&log, HEAD "   32.376190: block_bio_complete: " LD7 " FWFS 0 + 8 [-5]\n");
	take(&log, HEAD ".....   32.472249: block_bio_complete: " LD7 " RS 0 + 8 [-121]\n");
	take(&log, HEAD "   32.472249: block_bio_complete: " LD7 " FF 0 + 0 [-5]\n");
	assert_ld(&log, 7, 1, 3);
	assert_ld(&log, 8, 0, 0);
	/* Another LD that has the number. */
	assert_ld(&log, 7 + TRACELOG_MINORS, 1, 3);
	/* Nothing is lost by these. */
	take(&log, HEAD "   33.000000: block_bio_complete: 252,524296 DS 0 + 8 [-5]\n");
	take(&log, HEAD "   33.000000: block_bio_complete: 252,524296 N 0 + 8 [-95]\n");
	take(&log, HEAD "   33.000000: block_bio_complete: 252,524296 WS 0 + 8 [0]\n");
	take(&log, HEAD "   33.000000: block_bio_complete: 252,8 WS 0 + 8 [-5]\n");
	take(&log, HEAD "   33.000000: block_bio_complete: nonsense\n");
	take(&log, HEAD "   33.000000: tracing_mark_write: somebody else's\n");
	assert_ld(&log, 8, 0, 0);
	assert_false(tracelog_is_due(&log));
	tracelog_free(&log);
}

static void test_forget(void **state)
{
	struct tracelog log = { 0 };

	(void)state;
	take(&log, HEAD "   32.376189: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
	take_marks(&log, "dnvme forget 524295 77", "40.000001");
	assert_ld(&log, 7, 0, 0);
	assert_int_equal(tracelog_get(&log, 7).rebuild_ms, 77);
	assert_int_equal(tracelog_get(&log, 7).forgotten_us, 40000001);
	/* One in the course of the rebuild counts. */
	take(&log, HEAD "   41.000000: block_bio_complete: " LD7 " RS 0 + 8 [-5]\n");
	assert_ld(&log, 7, 1, 0);
	assert_int_equal(tracelog_get(&log, 7).rebuild_ms, 77);
	tracelog_free(&log);
}

/* A summary makes up for the lines that went, and does not count twice those that are still there. */
static void test_summary(void **state)
{
	struct tracelog log = { 0 }, later = { 0 };
	struct buffer summary = BUFFER_INIT;

	(void)state;
	take(&log, HEAD "   32.000000: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
	take(&log, HEAD "   32.000001: block_bio_complete: " LD7 " RS 0 + 8 [-5]\n");
	take_marks(&log, "dnvme forget 524297 5", "33.000000");
	assert_int_equal(tracelog_summary(&log, 34000000, &summary), 0);
	assert_string_equal(text(&summary), "dnvme ld 524295 1 1 0 0 32000001\n"
					    "dnvme ld 524297 0 0 33000000 5 0\n"
					    "dnvme known 34000000 0 0\n");
	take_marks(&log, (const char *)summary.data, "34.000000");
	assert_ld(&log, 7, 1, 1);
	take_marks(&later, (const char *)summary.data, "34.000000");
	take(&later, HEAD "   35.000000: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
	assert_ld(&later, 7, 1, 2);
	assert_int_equal(tracelog_get(&later, 9).rebuild_ms, 5);
	/* What went is what it knows of. */
	tracelog_lost(&later, 34000000, 0, 36000000);
	assert_int_equal(later.missed_us, 0);
	tracelog_free(&log);
	tracelog_free(&later);
	buffer_free(&summary);
}

/* When the last one was: it tells one record from the next, whatever its lines went through. */
static void test_last(void **state)
{
	struct tracelog log = { 0 }, later = { 0 };
	struct buffer summary = BUFFER_INIT;

	(void)state;
	take(&log, HEAD "   32.000007: block_bio_complete: " LD7 " RS 0 + 8 [-5]\n");
	assert_int_equal(tracelog_get(&log, 7).last_us, 32000007);
	/* Those that do not count do not count here. */
	take(&log, HEAD "   32.500000: block_bio_complete: " LD7 " DS 0 + 8 [-5]\n");
	take(&log, HEAD "   32.500000: block_bio_complete: 252,524296 RS 0 + 8 [-5]\n");
	assert_int_equal(tracelog_get(&log, 7).last_us, 32000007);
	assert_int_equal(tracelog_summary(&log, 34000000, &summary), 0);
	take_marks(&later, text(&summary), "34.000000");
	assert_int_equal(tracelog_get(&later, 7).last_us, 32000007);
	tracelog_free(&later);
	/* One that the summary was too early for, and one that comes later, with or without the lines of before. */
	take(&later, HEAD "   33.999999: block_bio_complete: " LD7 " RS 0 + 8 [-5]\n");
	take_marks(&later, (const char *)summary.data, "34.000000");
	assert_int_equal(tracelog_get(&later, 7).last_us, 33999999);
	take(&later, HEAD "   35.000000: block_bio_complete: " LD7 " RS 0 + 8 [-5]\n");
	assert_int_equal(tracelog_get(&later, 7).last_us, 35000000);
	take_marks(&later, "dnvme forget 524295 77", "36.000000");
	assert_int_equal(tracelog_get(&later, 7).last_us, 0);
	tracelog_free(&log);
	tracelog_free(&later);
	/* A summary by an agent that did not know it. */
	take_marks(&log, "dnvme ld 524295 1 1 0 0", "37.000000");
	assert_ld(&log, 7, 1, 1);
	assert_int_equal(tracelog_get(&log, 7).last_us, 0);
	tracelog_free(&log);
	buffer_free(&summary);
}

/* Lines that no summary knows of: all LDs are suspect, but for those that were forgotten since. */
static void test_lost(void **state)
{
	struct tracelog log = { 0 }, later = { 0 };
	struct buffer summary = BUFFER_INIT;

	(void)state;
	take_marks(&log, "dnvme known 10000000 0 0", "10.010000");
	take_marks(&log, "dnvme forget 524297 5", "33.000000");
	tracelog_lost(&log, 20000000, 0, 36000000);
	assert_int_equal(log.missed_us, 20000000);
	assert_true(tracelog_get(&log, 7).forgotten_us < log.missed_us);
	assert_true(tracelog_get(&log, 9).forgotten_us > log.missed_us);
	/* This is kept, too. */
	assert_true(tracelog_is_due(&log));
	assert_int_equal(tracelog_summary(&log, 35000000, &summary), 0);
	take_marks(&later, text(&summary), "35.010000");
	assert_int_equal(later.missed_us, 20000000);
	assert_false(tracelog_is_due(&later));
	tracelog_lost(&later, 35000000, 0, 36000000);
	assert_int_equal(later.missed_us, 20000000);
	assert_true(tracelog_get(&later, 9).forgotten_us > later.missed_us);
	/* There was no room for some: who knows when. */
	tracelog_lost(&later, 0, 3, 36000000);
	assert_int_equal(later.missed_us, 36000000);
	assert_true(tracelog_is_due(&later));
	tracelog_free(&log);
	tracelog_free(&later);
	buffer_free(&summary);
}

static void test_due(void **state)
{
	struct tracelog log = { 0 };

	(void)state;
	for (int i = 0; !tracelog_is_due(&log); i++) {
		take(&log, HEAD "   33.000000: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
		assert_true(i < 2000);
	}
	take_marks(&log, "dnvme known 40000000 0 0", "40.010000");
	assert_false(tracelog_is_due(&log));
	tracelog_free(&log);
}

/* More suspects than a summary has room for: then all are. */
static void test_many(void **state)
{
	struct tracelog log = { 0 }, later = { 0 };
	struct buffer summary = BUFFER_INIT;
	char line[128];

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), HEAD "   33.0: block_bio_complete: 252,%u WS 0 + 8 [-5]\n",
			 TRACELOG_MINORS + i);
		take(&log, line);
	}
	assert_int_equal(tracelog_summary(&log, 40000000, &summary), 0);
	take_marks(&later, text(&summary), "40.010000");
	assert_int_equal(later.missed_us, 40000000);
	tracelog_free(&log);
	tracelog_free(&later);
	buffer_free(&summary);
}

/* An LD that returned very many does not push out those of others. */
static void test_filter(void **state)
{
	struct tracelog log = { 0 };
	struct buffer filter = BUFFER_INIT;

	(void)state;
	for (unsigned i = 0; i < TRACELOG_ENOUGH; i++)
		take(&log, HEAD "   33.000000: block_bio_complete: " LD7 " WS 0 + 8 [-5]\n");
	take(&log, HEAD "   33.000000: block_bio_complete: 252,524296 WS 0 + 8 [-5]\n");
	assert_int_equal(tracelog_filter(&log, 252, &filter), 0);
	assert_string_equal(text(&filter), "error != 0 && dev >= 264765440 && dev <= 265289727 && dev != 264765447");
	buffer_clear(&filter);
	take_marks(&log, "dnvme forget 524295 77", "40.000001");
	assert_int_equal(tracelog_filter(&log, 252, &filter), 0);
	assert_string_equal(text(&filter), "error != 0 && dev >= 264765440 && dev <= 265289727");
	buffer_free(&filter);
	tracelog_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),  cmocka_unit_test(test_forget), cmocka_unit_test(test_summary),
		cmocka_unit_test(test_lost),   cmocka_unit_test(test_due),    cmocka_unit_test(test_many),
		cmocka_unit_test(test_filter), cmocka_unit_test(test_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
