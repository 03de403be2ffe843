/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "lib/base/error.h"
#include "lib/base/log.h"

#define FIELDS_MAX 32

static char sent[FIELDS_MAX][4096];
static int sent_count;

/* Instead of the library's, which there is no journal for. */
int sd_journal_sendv(const struct iovec *vector, int count)
{
	assert_in_range(count, 1, FIELDS_MAX);
	for (sent_count = 0; sent_count < count; sent_count++) {
		assert_in_range(vector[sent_count].iov_len, 1, sizeof(sent[0]) - 1);
		memcpy(sent[sent_count], vector[sent_count].iov_base, vector[sent_count].iov_len);
		sent[sent_count][vector[sent_count].iov_len] = '\0';
	}
	return 0;
}

static void journal_gets_a_field_for_each_value(void **state)
{
	(void)state;
	log_open("test_log", LOG_TARGET_JOURNAL, LOG_LEVEL_INFO);
	log_warning("lost", "node=n1 reason=\"\"cn1\" does not answer, after=2\" empty=\"\" port=%d", 4420);
	assert_int_equal(sent_count, 6);
	assert_string_equal(sent[0], "MESSAGE=lost node=n1 reason=\"\"cn1\" does not answer, after=2\" empty=\"\" "
				     "port=4420");
	assert_string_equal(sent[1], "PRIORITY=4");
	assert_string_equal(sent[2], "DNVME_NODE=n1");
	assert_string_equal(sent[3], "DNVME_REASON=\"cn1\" does not answer, after=2");
	assert_string_equal(sent[4], "DNVME_EMPTY=");
	assert_string_equal(sent[5], "DNVME_PORT=4420");
	log_notice("alone", NULL);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[0], "MESSAGE=alone");
	log_notice("odd", "words without a key open=\"never closed");
	assert_int_equal(sent_count, 3);
	assert_string_equal(sent[2], "DNVME_OPEN=\"never closed");
	sent_count = 0;
	log_debug("not asked for", NULL);
	assert_int_equal(sent_count, 0);
}

static void journal_is_found_at_stderr(void **state)
{
	struct stat status;
	char stream[64];

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_open("test_log", LOG_TARGET_AUTO, LOG_LEVEL_INFO);
	sent_count = 0;
	log_error("to the journal", NULL);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[1], "PRIORITY=3");
}

/* What one record writes to stderr, in `line`. */
static ssize_t line_of(const char *message, const char *fields, char *line, size_t size)
{
	int ends[2], stderr_was = dup(STDERR_FILENO);
	ssize_t length;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_error(message, "%s", fields);
	dup2(stderr_was, STDERR_FILENO);
	close(ends[1]);
	length = read(ends[0], line, size - 1);
	close(ends[0]);
	close(stderr_was);
	assert_true(length > 0);
	line[length] = '\0';
	return length;
}

static void lines_are_bounded_and_end(void **state)
{
	char message[8192], line[16384];
	ssize_t length;

	(void)state;
	log_open("test_log", LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	line_of("lost", "node=n1", line, sizeof(line));
	assert_string_equal(strchr(line, ' '), " error test_log: lost node=n1\n");
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	length = line_of(message, "node=n1", line, sizeof(line));
	assert_int_equal(line[length - 1], '\n');
	assert_null(memchr(line, '\0', (size_t)length));
	assert_true(length < (ssize_t)sizeof(message));
}

static void levels_have_names(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), -1);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(journal_gets_a_field_for_each_value),
		cmocka_unit_test(journal_is_found_at_stderr),
		cmocka_unit_test(lines_are_bounded_and_end),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
