/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/records.h"
#include "src/strict.h"

#define TEXT(literal)                                                                                                  \
	{                                                                                                              \
		.type = MSGPACK_OBJECT_STR, .via.str = { sizeof(literal) - 1, literal }                                \
	}

static msgpack_object map_of(msgpack_object_kv *pairs, uint32_t count)
{
	return (msgpack_object){ .type = MSGPACK_OBJECT_MAP, .via.map = { count, pairs } };
}

static void test_top(void **state)
{
	msgpack_object_kv good[] = { { TEXT("name"), TEXT("x") }, { TEXT("copies"), TEXT("not a number") } };
	msgpack_object_kv bad[] = { { TEXT("name"), TEXT("x") }, { TEXT("co\npies"), TEXT("2") } };
	msgpack_object_kv prefix[] = { { TEXT("nam"), TEXT("x") } };
	msgpack_object_kv tag[] = { { { .type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = 1 }, TEXT("x") } };
	msgpack_object_kv no_tag[] = { { { .type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = 99 }, TEXT("x") } };
	msgpack_object object = map_of(good, 2), nil = { .type = MSGPACK_OBJECT_NIL };
	struct error error;

	(void)state;
	/* What is wrong with a known field is the decoder's business. */
	assert_int_equal(strict_check(schema_volume_create_request(), &object, &error), 0);
	assert_int_equal(strict_check(schema_volume_create_request(), &nil, &error), 0);
	object = map_of(bad, 2);
	assert_int_equal(strict_check(schema_volume_create_request(), &object, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "co?pies: unknown field");
	assert_non_null(strstr(error.hint, "name, size_bytes, copies"));
	object = map_of(prefix, 1);
	assert_int_equal(strict_check(schema_volume_create_request(), &object, &error), ERROR_INVALID_ARGUMENT);
	object = map_of(tag, 1);
	assert_int_equal(strict_check(schema_volume_create_request(), &object, &error), 0);
	object = map_of(no_tag, 1);
	assert_int_equal(strict_check(schema_volume_create_request(), &object, &error), ERROR_INVALID_ARGUMENT);
}

static void test_nested(void **state)
{
	msgpack_object_kv server[] = { { TEXT("id"), TEXT("1") }, { TEXT("colour"), TEXT("red") } };
	msgpack_object_kv fine[] = { { TEXT("id"), TEXT("1") } };
	msgpack_object items[2] = { map_of(fine, 1), map_of(server, 2) };
	msgpack_object_kv top[] = { { TEXT("servers"), { .type = MSGPACK_OBJECT_ARRAY, .via.array = { 2, items } } } };
	msgpack_object object = map_of(top, 1);
	struct error error;

	(void)state;
	assert_int_equal(strict_check(schema_cluster_init_request(), &object, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "servers[1]: colour: unknown field");
	top[0].val.via.array.size = 1;
	assert_int_equal(strict_check(schema_cluster_init_request(), &object, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
