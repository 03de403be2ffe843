/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that must be as they were or as they shall be, whatever the disk says. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/file.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/failing_call.h"

static char directory[64], path[96];

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/dnvme-file-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/name", directory);
	return 0;
}

static int teardown(void **state)
{
	char temporary[128];

	(void)state;
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	unlink(temporary);
	unlink(path);
	return rmdir(directory);
}

static void must_hold(const char *text)
{
	struct buffer content = BUFFER_INIT;
	struct error error = { 0 };

	if (file_read(path, 100, &content, &error) != 0)
		fail_msg("%s", error.message);
	assert_int_equal(content.size, strlen(text));
	assert_memory_equal(content.data, text, content.size);
	buffer_free(&content);
}

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

/* For each call that fails, the old content or the new one is there, never something between; a signal is no failure.
 */
static void test_write(void **state)
{
	unsigned failures = 0;

	(void)state;
	assert_int_equal(file_write(directory, "name", bytes_of("old"), NULL), 0);
	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		struct buffer content = BUFFER_INIT;
		const char *name;
		int rv;

		failing_call_arm(NULL, n, ENOSPC);
		rv = file_write(directory, "name", bytes_of("the new one"), &error);
		name = failing_call_disarm();
		if (name == NULL) {
			assert_int_equal(rv, 0);
			break;
		}
		failures++;
		assert_int_equal(rv, ERROR_NO_CAPACITY);
		assert_non_null(strstr(error.message, directory));
		assert_int_equal(file_read(path, 100, &content, &error), 0);
		/* Only the sync of the name comes behind the rename. */
		if (content.size != 3)
			assert_memory_equal(content.data, "the new one", 11);
		else
			assert_memory_equal(content.data, "old", 3);
		buffer_free(&content);
	}
	assert_true(failures >= 5);
	must_hold("the new one");
	failing_call_arm("write", 1, EINTR);
	assert_int_equal(file_write(directory, "name", bytes_of("another"), NULL), 0);
	assert_string_equal(failing_call_disarm(), "write");
	must_hold("another");
}

static void test_read(void **state)
{
	struct buffer content = BUFFER_INIT;
	struct error error = { 0 };

	(void)state;
	assert_int_equal(file_read(path, 100, &content, &error), ERROR_NOT_FOUND);
	assert_int_equal(file_write(directory, "name", bytes_of("0123456789"), NULL), 0);
	assert_int_equal(buffer_append(&content, "kept", 4), 0);
	assert_int_equal(file_read(path, 9, &content, &error), ERROR_TOO_LARGE);
	assert_int_equal(content.size, 4);
	failing_call_arm("read", 2, EIO); /* behind the first piece */
	assert_int_equal(file_read(path, 10, &content, &error), ERROR_INTERNAL);
	assert_non_null(failing_call_disarm());
	assert_int_equal(content.size, 4);
	failing_call_arm("read", 1, EINTR);
	assert_int_equal(file_read(path, 10, &content, &error), 0);
	assert_non_null(failing_call_disarm());
	assert_int_equal(content.size, 14);
	assert_memory_equal(content.data, "kept0123456789", 14);
	buffer_free(&content);
	failing_alloc_arm(1);
	assert_int_equal(file_read(path, 10, &content, &error), ERROR_INTERNAL);
	assert_true(failing_alloc_disarm());
	assert_int_equal(content.size, 0);
}

static void test_remove(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(file_write(directory, "name", bytes_of("x"), NULL), 0);
	failing_call_arm("unlink", 1, EIO);
	assert_int_equal(file_remove(directory, "name", &error), ERROR_INTERNAL);
	must_hold("x");
	failing_call_arm("fsync", 1, EIO);
	assert_int_equal(file_remove(directory, "name", &error), ERROR_INTERNAL);
	failing_call_disarm();
	/* What is gone already may not be gone from the medium. */
	assert_int_equal(file_remove(directory, "name", &error), 0);
	assert_int_equal(file_remove("/proc/none", "name", &error), ERROR_NOT_FOUND);
}

static void test_directory(void **state)
{
	struct error error = { 0 };
	struct stat status;

	(void)state;
	failing_call_arm("fsync", 1, EIO);
	assert_int_equal(file_directory_make(path, &error), ERROR_INTERNAL);
	assert_non_null(failing_call_disarm());
	/* The one that is there may be new: its name is synced all the same. */
	failing_call_arm("fsync", 1, EIO);
	assert_int_equal(file_directory_make(path, &error), ERROR_INTERNAL);
	assert_non_null(failing_call_disarm());
	assert_int_equal(file_directory_make(path, &error), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(file_directory_make("/proc/none/such", &error), ERROR_NOT_FOUND);
	assert_int_equal(file_write(directory, "name", bytes_of("a file"), NULL), 0);
	assert_int_equal(file_directory_make(path, &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "is not a directory"));
	must_hold("a file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
