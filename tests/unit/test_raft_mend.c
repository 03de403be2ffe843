/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an interrupted write leaves in the directory of the log is put in order, and nothing else is touched. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/internal.h"
#include "tests/unit/failing_call.h"

static char directory[64];

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/dnvme-mend-XXXXXX");
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file of `size` bytes: zeros, with `word` at the start and `tail` at the end. */
static void make(const char *name, size_t size, uint64_t word, uint8_t tail)
{
	uint8_t *content = calloc(1, size + 1);
	char path[160];
	FILE *file;

	assert_non_null(content);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (size >= sizeof(word)) {
		memcpy(content, &word, sizeof(word));
		if (tail != 0)
			content[size - 1] = tail;
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, size, file), size);
	fclose(file);
	free(content);
}

/* All names that are there, in order, with a space behind each. */
static const char *names(void)
{
	static char text[1024];
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);

	assert_true(count >= 0);
	text[0] = '\0';
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			strcat(text, entries[i]->d_name);
			strcat(text, " ");
		}
		free(entries[i]);
	}
	free(entries);
	return text;
}

/* With each call of the kernel failing in turn, until none does: whatever was done by then, the next one comes to the
 * same. */
static void mend(void)
{
	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		const char *name;
		int rv;

		failing_call_arm(NULL, n, EIO);
		rv = directory_mend(directory, &error);
		name = failing_call_disarm();
		if (name == NULL) {
			if (rv != 0)
				fail_msg("%s", error.message);
			return;
		}
		/* That is the log, which has no better place. */
		if (strcmp(name, "write") == 0 && rv == 0)
			continue;
		assert_int_equal(rv, ERROR_INTERNAL);
		assert_int_equal(error.code, ERROR_INTERNAL);
		assert_non_null(strstr(error.message, directory));
	}
}

#define SEGMENT(first, end) "00000000000000" first "-00000000000000" end

static void content_that_was_never_written(void **state)
{
	(void)state;
	make("metadata1", 32, 0, 0);
	make("metadata2", 32, 1, 0);
	make("open-1", 8192, 1, 0);
	make("open-2", 8192, 0, 7); /* only the end of the first write came to the medium */
	make("open-3", 8192, 0, 0);
	make("open-x", 8192, 0, 0);
	mend();
	assert_string_equal(names(), "metadata2 open-1 open-3 open-x ");
}

static void segments_prepared_behind_an_installed_snapshot(void **state)
{
	(void)state;
	make("0000000000000001-0000000000000010", 64, 1, 0);
	make("open-3", 8192, 0, 0);
	make("snapshot-2-10-77", 64, 1, 0);
	make("snapshot-2-10-77.meta", 64, 1, 0);
	mend();
	assert_string_equal(names(),
			    "0000000000000001-0000000000000010 open-3 snapshot-2-10-77 snapshot-2-10-77.meta ");
	make("snapshot-3-50-99", 64, 1, 0);
	make("snapshot-3-50-99.meta", 64, 1, 0);
	mend();
	assert_string_equal(names(), "0000000000000001-0000000000000010 snapshot-2-10-77 snapshot-2-10-77.meta "
				     "snapshot-3-50-99 snapshot-3-50-99.meta ");
}

static void damage_is_left_to_be_refused(void **state)
{
	(void)state;
	make("metadata1", 32, 0, 3);
	make("open-1", 8192, 0, 7);
	make("open-2", 8192, 1, 0);
	mend();
	assert_string_equal(names(), "metadata1 open-1 open-2 ");
}

static void truncation_begun_and_not_finished(void **state)
{
	struct error error = { 0 };

	(void)state;
	make(SEGMENT("01", "10"), 64, 1, 0);
	make(SEGMENT("11", "20"), 64, 1, 0);
	make(SEGMENT("21", "30"), 64, 1, 0);
	make(SEGMENT("31", "40"), 64, 1, 0);
	make("open-7", 8192, 0, 0);
	assert_int_equal(truncation_begin(directory, 15, &error), 0);
	/* Nothing of it was done yet: whole segments behind it are what may be missing later, so they go. */
	mend();
	assert_string_equal(names(), SEGMENT("01", "10") " " SEGMENT("11", "20") " open-7 ");
	assert_int_equal(truncation_begin(directory, 15, &error), 0);
	make(SEGMENT("11", "14"), 64, 1, 0);
	mend();
	assert_string_equal(names(), SEGMENT("01", "10") " " SEGMENT("11", "14") " open-7 ");
}

static void truncation_with_a_gap(void **state)
{
	struct error error = { 0 };

	(void)state;
	make(SEGMENT("01", "10"), 64, 1, 0);
	make(SEGMENT("31", "40"), 64, 1, 0);
	assert_int_equal(truncation_begin(directory, 11, &error), 0);
	mend();
	assert_string_equal(names(), SEGMENT("01", "10") " ");
}

static void gap_without_a_truncation(void **state)
{
	(void)state;
	make(SEGMENT("01", "10"), 64, 1, 0);
	make(SEGMENT("31", "40"), 64, 1, 0);
	mend();
	assert_string_equal(names(), SEGMENT("01", "10") " " SEGMENT("31", "40") " ");
}

/* What is open was not closed yet, so libraft has not begun; or it was written after. */
static void truncation_beside_an_open_segment(void **state)
{
	struct error error = { 0 };

	(void)state;
	make(SEGMENT("01", "10"), 64, 1, 0);
	make(SEGMENT("11", "20"), 64, 1, 0);
	make("open-1", 8192, 1, 0);
	assert_int_equal(truncation_begin(directory, 11, &error), 0);
	mend();
	assert_string_equal(names(), SEGMENT("01", "10") " " SEGMENT("11", "20") " open-1 ");
}

static void truncation_that_was_finished(void **state)
{
	struct error error = { 0 };

	(void)state;
	make(SEGMENT("01", "10"), 64, 1, 0);
	assert_int_equal(truncation_begin(directory, 8, &error), 0);
	assert_int_equal(truncation_begin(directory, 5, &error), 0);
	assert_string_equal(names(), SEGMENT("01", "10") " truncating-5 truncating-8 ");
	assert_int_equal(truncation_end(directory, &error), 0);
	assert_string_equal(names(), SEGMENT("01", "10") " ");
}

/* No mark, no truncation: whoever asks must hear of it. */
static void marks_that_fail(void **state)
{
	struct error error = { 0 };

	(void)state;
	for (unsigned long n = 1;; n++) {
		int rv;

		failing_call_arm(NULL, n, EIO);
		rv = truncation_begin(directory, 5, &error);
		if (rv == 0)
			rv = truncation_end(directory, &error);
		if (failing_call_disarm() == NULL) {
			assert_int_equal(rv, 0);
			break;
		}
		assert_int_equal(rv, ERROR_INTERNAL);
	}
	assert_string_equal(names(), "");
	assert_int_equal(truncation_begin("/proc/none", 5, &error), ERROR_NOT_FOUND);
	assert_int_equal(truncation_end("/proc/none", &error), ERROR_NOT_FOUND);
	assert_int_equal(directory_mend("/proc/none", &error), ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(content_that_was_never_written, setup, teardown),
		cmocka_unit_test_setup_teardown(segments_prepared_behind_an_installed_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_is_left_to_be_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(truncation_begun_and_not_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(truncation_with_a_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(gap_without_a_truncation, setup, teardown),
		cmocka_unit_test_setup_teardown(truncation_beside_an_open_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(truncation_that_was_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(marks_that_fail, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
