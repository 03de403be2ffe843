/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records that stay decoded: what comes out is what a decoder makes of the bytes, and belongs to who asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/record_cache.h"
#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "tests/unit/failing_alloc.h"

static struct node node_make(const char *name)
{
	return (struct node){ .name = name, .address = "10.0.0.1", .port = 4420, .colour = 3 };
}

static void encode(const struct node *node, struct buffer *output)
{
	buffer_clear(output);
	assert_int_equal(codec_encode(schema_node(), node, CODEC_TAGGED, output, NULL), 0);
}

static void a_record_is_that_of_its_bytes(void **state)
{
	struct node first = node_make("n1"), second = node_make("n2"), found, again;
	static struct record_cache cache;
	struct buffer bytes = BUFFER_INIT, others = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct error error;

	(void)state;
	encode(&first, &bytes);
	encode(&second, &others);
	/* Decoded, and then kept; in turns with one that may take its place. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			record_cache_decode(&cache, schema_node(), buffer_bytes(&bytes), &arena, &found, &error), 0);
		assert_string_equal(found.name, "n1");
		assert_int_equal(
			record_cache_decode(&cache, schema_node(), buffer_bytes(&others), &arena, &again, &error), 0);
		assert_string_equal(again.name, "n2");
		/* It is the caller's: nobody else sees what he does with it. */
		((char *)found.name)[0] = 'x';
	}
	/* What was put is found, without being decoded: that is seen by its name. */
	second.name = "n3";
	record_cache_put(&cache, schema_node(), (struct bytes){ (const uint8_t *)"not a node", 10 }, &second);
	assert_int_equal(record_cache_decode(&cache, schema_node(), (struct bytes){ (const uint8_t *)"not a node", 10 },
					     &arena, &found, &error),
			 0);
	assert_string_equal(found.name, "n3");
	/* The same bytes as another record, or bytes that are none, are not. */
	assert_int_not_equal(record_cache_decode(&cache, schema_disk(), buffer_bytes(&bytes), &arena, &found, &error),
			     0);
	bytes.size--;
	assert_int_equal(record_cache_decode(&cache, schema_node(), buffer_bytes(&bytes), &arena, &found, &error),
			 ERROR_INVALID_ARGUMENT);
	record_cache_clear(&cache);
	assert_int_not_equal(record_cache_decode(&cache, schema_node(),
						 (struct bytes){ (const uint8_t *)"not a node", 10 }, &arena, &found,
						 &error),
			     0);
	record_cache_clear(&cache);
	buffer_free(&bytes);
	buffer_free(&others);
	arena_free(&arena);
}

/* More of them than there are places, and of one length: each is told apart from what was in its place. */
static void many_take_each_others_places(void **state)
{
	static struct record_cache cache;
	struct buffer bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;

	(void)state;
	for (unsigned i = 0; i < 4 * RECORD_CACHE_PLACES; i++) {
		struct node node, found;
		struct error error;
		char name[16];

		snprintf(name, sizeof(name), "n%03u", i);
		node = node_make(name);
		encode(&node, &bytes);
		for (int turn = 0; turn < 2; turn++) {
			assert_int_equal(record_cache_decode(&cache, schema_node(), buffer_bytes(&bytes), &arena,
							     &found, &error),
					 0);
			assert_string_equal(found.name, name);
		}
	}
	record_cache_clear(&cache);
	buffer_free(&bytes);
	arena_free(&arena);
}

/* Without memory to keep it a record is decoded all the same. */
static void what_cannot_be_kept_is_decoded(void **state)
{
	struct node node = node_make("n1"), found;
	struct buffer bytes = BUFFER_INIT;
	bool failed;

	(void)state;
	encode(&node, &bytes);
	for (unsigned long n = 1;; n++) {
		static struct record_cache cache;
		struct arena arena = ARENA_INIT;
		struct error error;
		int code;

		failing_alloc_arm(n);
		code = record_cache_decode(&cache, schema_node(), buffer_bytes(&bytes), &arena, &found, &error);
		record_cache_put(&cache, schema_node(), buffer_bytes(&bytes), &node);
		failed = failing_alloc_disarm();
		assert_true(code == 0 || (failed && code == ERROR_INTERNAL));
		if (code == 0)
			assert_string_equal(found.name, "n1");
		record_cache_clear(&cache);
		arena_free(&arena);
		if (!failed)
			break;
		assert_true(n < 100);
	}
	buffer_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_that_of_its_bytes),
		cmocka_unit_test(many_take_each_others_places),
		cmocka_unit_test(what_cannot_be_kept_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
