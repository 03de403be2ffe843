/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/records.h"
#include "src/strict.h"

/* Of a value that is written as a literal. */
static int check(const struct schema *schema, const char *bytes, size_t size, struct error *error)
{
	return strict_check(schema, (struct bytes){ (const uint8_t *)bytes, size }, error);
}
#define CHECK(schema, literal, error) check(schema, literal, sizeof(literal) - 1, error)

static void test_top(void **state)
{
	struct error error;

	(void)state;
	/* What is wrong with a known field is the decoder's business. */
	assert_int_equal(CHECK(schema_volume_create_request(),
			       "\x82\xa4name\xa1x\xa6"
			       "copies\xacnot a number",
			       &error),
			 0);
	assert_int_equal(CHECK(schema_volume_create_request(), "\xc0", &error), 0);
	assert_int_equal(CHECK(schema_volume_create_request(),
			       "\x82\xa4name\xa1x\xa7"
			       "co\npies\xa1"
			       "2",
			       &error),
			 ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "co?pies: unknown field");
	assert_non_null(strstr(error.hint, "name, size_bytes, copies"));
	assert_int_equal(CHECK(schema_volume_create_request(), "\x81\xa3nam\xa1x", &error), ERROR_INVALID_ARGUMENT);
	assert_int_equal(CHECK(schema_volume_create_request(), "\x81\x01\xa1x", &error), 0);
	assert_int_equal(CHECK(schema_volume_create_request(), "\x81\x63\xa1x", &error), ERROR_INVALID_ARGUMENT);
	/* It goes on behind what it passes over, and ends where the input does. */
	assert_int_equal(CHECK(schema_volume_create_request(), "\x82\xa4name\x92\x81\x01\x02\xc0\xa3nam\x01", &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(CHECK(schema_volume_create_request(), "\x8f\xa4name\x92\x81", &error), 0);
}

static void test_nested(void **state)
{
	struct error error;

	(void)state;
	assert_int_equal(CHECK(schema_cluster_init_request(),
			       "\x81\xa7servers\x92\x81\xa2id\xa1"
			       "1\x82\xa2id\xa1"
			       "1\xa6"
			       "colour\xa3red",
			       &error),
			 ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "servers[1]: colour: unknown field");
	assert_int_equal(CHECK(schema_cluster_init_request(),
			       "\x81\xa7servers\x91\x81\xa2id\xa1"
			       "1",
			       &error),
			 0);
	/* An element that is no map, and a field behind the list. */
	assert_int_equal(CHECK(schema_cluster_init_request(),
			       "\x82\xa7servers\x92\x91\x05\x06\xa6"
			       "colour\x01",
			       &error),
			 ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "colour: unknown field");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
