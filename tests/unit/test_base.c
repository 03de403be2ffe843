/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/state_machine.h"
#include "lib/base/uuid.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/failing_call.h"

static void error_codes_have_names_that_parse(void **state)
{
	(void)state;
	for (int code = 0; code < ERROR_CODE_COUNT; code++)
		assert_int_equal(error_code_parse(error_code_name((enum error_code)code)), code);
	assert_int_equal(error_code_parse("nonsense"), ERROR_INTERNAL);
	assert_int_equal(error_code_parse(NULL), ERROR_INTERNAL);
}

static void error_context_is_added_outermost_first(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(error_set(&error, ERROR_NO_CAPACITY, "node7 is %d GiB short", 12), ERROR_NO_CAPACITY);
	error_hint(&error, "add a disk");
	assert_int_equal(error_prefix(&error, "cannot create volume \"%s\"", "db1"), ERROR_NO_CAPACITY);
	assert_string_equal(error.message, "cannot create volume \"db1\": node7 is 12 GiB short");
	assert_string_equal(error.hint, "add a disk");
	error_set_errno(&error, ENOSPC, "cannot write %s", "x");
	assert_int_equal(error.code, ERROR_NO_CAPACITY);
	assert_string_equal(error.message, "cannot write x: No space left on device");
	assert_string_equal(error.hint, "");
}

/* Which of them repeat, and what a script sees, hangs on the code. */
static void error_codes_of_the_kernel(void **state)
{
	static const struct {
		int problem;
		enum error_code code;
	} codes[] = {
		{ ENOSPC, ERROR_NO_CAPACITY },
		{ EDQUOT, ERROR_NO_CAPACITY },
		{ EACCES, ERROR_PERMISSION_DENIED },
		{ EPERM, ERROR_PERMISSION_DENIED },
		{ ENOENT, ERROR_NOT_FOUND },
		{ EEXIST, ERROR_ALREADY_EXISTS },
		{ ECONNREFUSED, ERROR_UNAVAILABLE },
		{ ECONNRESET, ERROR_UNAVAILABLE },
		{ EPIPE, ERROR_UNAVAILABLE },
		{ ENETUNREACH, ERROR_UNAVAILABLE },
		{ EHOSTUNREACH, ERROR_UNAVAILABLE },
		{ ENOTCONN, ERROR_UNAVAILABLE },
		{ ETIMEDOUT, ERROR_DEADLINE_EXCEEDED },
		{ EOPNOTSUPP, ERROR_UNSUPPORTED },
		{ EIO, ERROR_INTERNAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct error error = { 0 };

		assert_int_equal(error_set_errno(&error, codes[i].problem, "cannot"), codes[i].code);
		assert_int_equal(error.code, codes[i].code);
		assert_int_equal(error_set_errno(NULL, codes[i].problem, "cannot"), codes[i].code);
	}
	assert_int_equal(error_prefix(NULL, "nobody"), ERROR_INTERNAL);
	assert_int_equal(error_hint(NULL, "listens"), ERROR_INTERNAL);
	error_clear(NULL);
	assert_string_equal(error_code_name(ERROR_CODE_COUNT), "INTERNAL");
}

static void error_text_is_bounded(void **state)
{
	char text[4 * ERROR_MESSAGE_SIZE];
	struct error error = { 0 };

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&error, ERROR_INTERNAL, "%s", text);
	assert_int_equal(strlen(error.message), ERROR_MESSAGE_SIZE - 1);
	error_prefix(&error, "%s", "front");
	assert_int_equal(strlen(error.message), ERROR_MESSAGE_SIZE - 1);
	assert_memory_equal(error.message, "front: a", 8);
	error_prefix(&error, "%s", text);
	assert_true(strlen(error.message) < ERROR_MESSAGE_SIZE);
	for (int i = 0; i < 200; i++)
		error_detail(&error, "line %d of the details", i);
	assert_true(strlen(error.details) < ERROR_DETAILS_SIZE);
	assert_memory_equal(error.details, "line 0 of the details\nline 1", 28);
	assert_string_equal(error.details + strlen(error.details) - strlen("…"), "…");
	error_set(NULL, ERROR_INTERNAL, "nobody listens");
	error_doubt(&error);
	assert_memory_equal(error.details, "outcome=unknown: ", 17);
	assert_non_null(strstr(error.details, "effect\nline 0 of the details\nline 1"));
	assert_string_equal(error.details + strlen(error.details) - strlen("…"), "…");
	error_set(&error, ERROR_NOT_FOUND, "no");
	error_detail(&error, "outcome=committed");
	error_doubt(&error);
	assert_string_equal(error.details, "outcome=committed");
	error_detail(NULL, "nobody listens");
}

static void arena_survives_failing_allocations(void **state)
{
	struct arena arena = ARENA_INIT;
	bool failed;

	(void)state;
	for (unsigned long n = 1;; n++) {
		char *text;

		failing_alloc_arm(n);
		text = arena_printf(&arena, "%0100000d", 7);
		if (text != NULL)
			text = arena_strdup(&arena, text);
		failed = failing_alloc_disarm();
		assert_int_equal(text == NULL, failed);
		arena_free(&arena);
		if (!failed)
			break;
	}
	assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 4));
	assert_null(arena_alloc(&arena, SIZE_MAX - 3));
	assert_non_null(arena_alloc(&arena, 0));
	arena_free(&arena);
}

static void arena_memory_is_zeroed_and_aligned(void **state)
{
	struct arena arena = ARENA_INIT;

	(void)state;
	for (size_t size = 1; size < 5000; size += 7) {
		uint8_t *memory = arena_alloc(&arena, size);

		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(memory[i], 0);
		memset(memory, 0xff, size);
	}
	arena_free(&arena);
}

static void buffer_keeps_its_content_when_memory_ends(void **state)
{
	struct buffer buffer = BUFFER_INIT;
	char block[300];

	(void)state;
	memset(block, 'x', sizeof(block));
	assert_int_equal(buffer_append(&buffer, "abc", 3), 0);
	failing_alloc_arm(1);
	assert_int_equal(buffer_append(&buffer, block, sizeof(block)), -1);
	assert_true(failing_alloc_disarm());
	assert_int_equal(buffer.size, 3);
	assert_int_equal(buffer_append(&buffer, block, sizeof(block)), 0);
	assert_int_equal(buffer_reserve(&buffer, SIZE_MAX), -1);
	buffer_consume(&buffer, 2);
	assert_memory_equal(buffer.data, "cx", 2);
	buffer_consume(&buffer, 100000);
	assert_int_equal(buffer.size, 0);
	assert_int_equal(buffer_printf(&buffer, "%s-%d", "a", 5), 0);
	assert_int_equal(buffer.size, 3);
	buffer_free(&buffer);
}

static void state_machine_refuses_what_the_table_lacks(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	static const struct state_machine_edge edges[] = { { 0, 1 }, { 1, 2 } };
	static const struct state_machine_table table = { "test", names, 3, edges, 2 };
	struct state_machine machine;

	(void)state;
	state_machine_init(&machine, &table, 0);
	state_machine_move(&machine, 1);
	assert_string_equal(state_machine_name(&machine), "b");
	assert_false(state_machine_allows(&table, 1, 0));
	ASSERT_ABORTS(state_machine_move(&machine, 0));
	ASSERT_ABORTS(state_machine_move(&machine, 3));
	ASSERT_ABORTS(state_machine_move(&machine, -1));
	ASSERT_ABORTS(state_machine_init(&machine, &table, 3));
	assert_string_equal(state_machine_name(&machine), "b");
}

static void uuid_text_is_strict(void **state)
{
	uint8_t uuid[16], again[16];
	char text[UUID_TEXT_SIZE];

	(void)state;
	uuid_from_name("volume", uuid);
	uuid_from_name("volume", again);
	assert_memory_equal(uuid, again, 16);
	uuid_from_name("volumf", again);
	assert_memory_not_equal(uuid, again, 16);
	uuid_text_format(uuid, text);
	assert_int_equal(uuid_text_parse(text, again), 0);
	assert_memory_equal(uuid, again, 16);
	assert_int_equal(uuid_text_parse("12345678-1234-1234-1234-12345678901", again), -1);
	assert_int_equal(uuid_text_parse("12345678-1234-1234-1234-1234567890123", again), -1);
	assert_int_equal(uuid_text_parse("12345678-1234-1234-1234-12345678901g", again), -1);
	assert_int_equal(uuid_text_parse("123456781234-1234-1234-1234-12345678901", again), -1);
	assert_int_equal(uuid_text_parse("12345678-1234-1234-1234+123456789012", again), -1);
	assert_int_equal(uuid_text_parse("", again), -1);
	assert_int_equal(uuid_text_parse("12345678-1234-1234-1234-AbCdEf789012", again), 0);
	assert_int_equal(again[10], 0xab);
	assert_int_equal(again[12], 0xef);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_codes_have_names_that_parse),
		cmocka_unit_test(error_context_is_added_outermost_first),
		cmocka_unit_test(error_codes_of_the_kernel),
		cmocka_unit_test(error_text_is_bounded),
		cmocka_unit_test(arena_survives_failing_allocations),
		cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
		cmocka_unit_test(buffer_keeps_its_content_when_memory_ends),
		cmocka_unit_test(state_machine_refuses_what_the_table_lacks),
		cmocka_unit_test(uuid_text_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
