/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What codec and frames refuse, and that an error can be sent whatever it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"
#include "lib/wire/frame.h"
#include "lib/wire/json.h"
#include "lib/wire/rpc.h"
#include "tests/unit/failing_alloc.h"

static void encode_fails(const struct schema *schema, const void *record, const char *words)
{
	struct buffer output = BUFFER_INIT;
	struct error error = { 0 };

	assert_int_equal(buffer_append(&output, "kept", 4), 0);
	assert_int_equal(codec_encode(schema, record, CODEC_NAMED, &output, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, words);
	assert_int_equal(output.size, 4);
	assert_int_equal(codec_encode(schema, record, CODEC_TAGGED, &output, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, words);
	assert_int_equal(codec_validate(schema, record, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, words);
	buffer_free(&output);
}

static void records_that_a_program_built_wrong(void **state)
{
	uint8_t id[LIMIT_REQUEST_ID + 1] = { 0 };
	struct failed_reads reads = { .reads = 0, .last_us = 1 };
	const struct command_ld_drain drain = { .volume = 1, .epoch = 1, .ld = 3 };
	const struct command_ld_drain zero = { .volume = 1, .epoch = 1, .ld = 3, .failed_reads = &reads };

	(void)state;
	encode_fails(schema_label(), &(struct label){ .key = "a" }, "value: missing");
	encode_fails(schema_label(), &(struct label){ .key = "", .value = "b" }, "key: must not be empty");
	encode_fails(schema_ld(), &(struct ld){ .disk = 1, .state = LD_STATE_STALE }, "id: missing");
	encode_fails(schema_ld(), &(struct ld){ .id = 1, .disk = 1, .state = (enum ld_state)77 },
		     "state: 77 is not a value of ld_state");
	encode_fails(schema_command(), &(struct command){ .request_id = { id, sizeof(id) } },
		     "request_id: 17 bytes, the limit is 16");
	encode_fails(schema_command_ld_drain(), &drain, "failed_reads: missing");
	encode_fails(schema_command_ld_drain(), &zero, "failed_reads.reads: 0 is below the minimum of 1");
}

static void decode_fails(const struct schema *schema, const char *bytes, size_t size, const char *words)
{
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	void *record = calloc(1, schema->size);

	assert_non_null(record);
	assert_int_equal(codec_decode(schema, (struct bytes){ (const uint8_t *)bytes, size }, &arena, record, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, words);
	free(record);
	arena_free(&arena);
}
#define DECODE_FAILS(schema, bytes, words) decode_fails(schema, bytes, sizeof(bytes) - 1, words)

static void input_of_another_form(void **state)
{
	(void)state;
	/* By tags: 3 state, 9 doubtful of an LD; 8 boot_id of a slot; 1 request_id of a command. */
	DECODE_FAILS(schema_ld(), "\x83\x01\x01\x02\x01\x03\xcd\xff\xff", "state: 65535 is not a value of ld_state");
	DECODE_FAILS(schema_ld(), "\x83\x01\x01\x02\x01\x03\xc0", "state: must be a name, not nil");
	DECODE_FAILS(schema_ld(), "\x83\x01\x01\x02\x01\x03\xa3no\x00", "state: must be a name");
	DECODE_FAILS(schema_ld(), "\x84\x01\x01\x02\x01\x03\x02\x09\x01",
		     "doubtful: must be a boolean, not an integer");
	DECODE_FAILS(schema_ld(), "\x81\x01\x00", "id: must be an id such as \"ld1\", not an integer");
	DECODE_FAILS(schema_ld(), "\x81\x01\xb9ld18446744073709551616789", "id: must be an id such as \"ld1\"");
	DECODE_FAILS(schema_slot(), "\x84\x01\xa1n\x02\x01\x03\x01\x08\xc4\x02xy", "boot_id: must be a UUID");
	DECODE_FAILS(schema_slot(), "\x84\x01\xa1n\x02\x01\x03\x01\x08\x05", "boot_id: must be a UUID, not an integer");
	DECODE_FAILS(schema_command(), "\x81\x01\x05", "request_id: must be binary, not an integer");
	DECODE_FAILS(schema_command(),
		     "\x81\x01\xb1"
		     "12345678901234567",
		     "request_id: 17 bytes, the limit is 16");
	DECODE_FAILS(schema_label(),
		     "\x81\x01\xcb"
		     "12345678",
		     "key: must be a string, not a float");
	DECODE_FAILS(schema_label(), "", "label: the record is cut short");
}

/* Every beginning of an input is refused, and nothing is read behind it. */
static void input_that_is_cut_short(void **state)
{
	static const char node[] = "\x86\x01\xa4node\x02\xa9"
				   "127.0.0.1\x03\xcd\x11\x44\x04\xc4\x10"
				   "0123456789abcdef"
				   "\x06\x91\x82\x01\xa1k\x02\xa1v\xcd\x03\xe8\x82\xa1x\xc7\x02\x05"
				   "ab\x91\xc0\xcb"
				   "12345678";
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct node decoded = { 0 };

	(void)state;
	for (size_t size = 0; size < sizeof(node); size++) {
		/* Of its own size, so that a sanitizer sees a byte too many. */
		uint8_t *input = malloc(size + (size == 0));
		bool whole = size == sizeof(node) - 1;

		assert_non_null(input);
		memcpy(input, node, size);
		assert_int_equal(codec_decode(schema_node(), (struct bytes){ input, size }, &arena, &decoded, &error),
				 whole ? 0 : ERROR_INVALID_ARGUMENT);
		if (!whole)
			assert_string_equal(error.message, "node: the record is cut short");
		assert_int_equal(
			codec_decode_value(schema_node(), (struct bytes){ input, size }, &arena, &decoded, &error),
			whole ? 0 : ERROR_INVALID_ARGUMENT);
		if (!whole)
			assert_string_equal(error.message, "not MessagePack");
		free(input);
	}
	assert_string_equal(decoded.labels.items[0].value, "v");
	assert_int_equal(codec_decode_value(schema_node(), (struct bytes){ (const uint8_t *)node, sizeof(node) },
					    &arena, &decoded, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "node: bytes behind the record");
	arena_free(&arena);
}

/* What an element announces fits, and what follows it does not. */
static void a_frame_ends_at_its_limit(void **state)
{
	static const uint8_t bytes[] = { 0x92, 0xcc, 0x01, 0x02 };
	struct frame_scanner scanner;
	struct error error = { 0 };
	size_t used = 77;
	int complete = 77;

	(void)state;
	frame_scanner_init(&scanner, sizeof(bytes) - 1);
	assert_int_equal(frame_scanner_feed(&scanner, bytes, sizeof(bytes), &used, &complete, &error), ERROR_TOO_LARGE);
	assert_string_equal(error.message, "the frame exceeds the limit of 3 bytes");
	assert_int_equal(used, 77);
	frame_scanner_init(&scanner, sizeof(bytes));
	assert_int_equal(frame_scanner_feed(&scanner, bytes, sizeof(bytes), &used, &complete, &error), 0);
	assert_int_equal(complete, 1);
}

/* Encodes, decodes, and gives back what came out. */
static void failure_travels(const struct error *failure, struct error *ret_failure)
{
	struct buffer frame = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error = { 0 };
	int known;

	if (rpc_failure_encode(9, failure, &frame, &error) != 0)
		fail_msg("%s", error.message);
	assert_int_equal(rpc_message_open(buffer_bytes(&frame), &arena, &message, &known, &error), 0);
	assert_int_equal(rpc_failure_decode(message.failure, ret_failure), failure->code);
	buffer_free(&frame);
	arena_free(&arena);
}

/* Whoever asked would wait in vain for an answer that cannot be encoded. */
static void every_error_can_be_sent(void **state)
{
	struct error failure = { 0 }, told = { 0 };
	char text[2 * ERROR_DETAILS_SIZE + 1];

	(void)state;
	error_set(&failure, ERROR_NOT_FOUND, "two\nlines\tand \x7f, \xff and \xc3");
	error_hint(&failure, "a\nb");
	error_detail(&failure, "c\x01");
	error_detail(&failure, "\xc3\xa4");
	failure_travels(&failure, &told);
	assert_string_equal(told.message, "two lines and  , ? and ?");
	assert_string_equal(told.hint, "a b");
	assert_string_equal(told.details, "c \n\xc3\xa4");

	/* A long name of a file was cut within a character. */
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[sizeof(text) - 1] = '\0';
	error_set(&failure, ERROR_NOT_FOUND, "%s", text);
	assert_int_equal(strlen(failure.message) % 2, 1);
	failure_travels(&failure, &told);
	assert_int_equal(strlen(told.message), ERROR_MESSAGE_SIZE - 1);
	assert_memory_equal(told.message, text, ERROR_MESSAGE_SIZE - 2);

	/* Every length, and every byte at its end. */
	for (size_t length = ERROR_MESSAGE_SIZE - 6; length < ERROR_MESSAGE_SIZE; length++) {
		for (unsigned byte = 1; byte < 256; byte++) {
			memset(failure.message, 'x', sizeof(failure.message));
			failure.message[length - 1] = (char)byte;
			failure.message[length] = '\0';
			failure_travels(&failure, &told);
			assert_int_equal(strlen(told.message), length);
		}
	}
}

static void errors_that_are_none_of_ours(void **state)
{
	static const uint8_t nonsense[] = "\x94\x01\x09\xa4oops\xc0";
	static const uint8_t none[] = "\x94\x01\x09\x82\xa4"
				      "code\xa4"
				      "NONE\xa7message\xa1x\xc0";
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error = { 0 };
	int known;

	(void)state;
	assert_int_equal(
		rpc_message_open((struct bytes){ nonsense, sizeof(nonsense) - 1 }, &arena, &message, &known, &error),
		0);
	assert_int_equal(rpc_failure_decode(message.failure, &error), ERROR_INTERNAL);
	assert_non_null(strstr(error.message, "not of dnvme's form"));
	/* An error is never no error. */
	assert_int_equal(rpc_message_open((struct bytes){ none, sizeof(none) - 1 }, &arena, &message, &known, &error),
			 0);
	assert_int_equal(rpc_failure_decode(message.failure, &error), ERROR_INTERNAL);
	assert_string_equal(error.message, "x");
	arena_free(&arena);
}

static int message_make(unsigned which, const struct rpc_message *request, struct buffer *output, struct error *error)
{
	static const uint8_t nil = 0xc0;
	const struct label label = { "a", "b" };
	struct error failure = { 0 };

	switch (which) {
	case 0:
		return rpc_request_encode(1, "node.get", schema_label(), &label, output, error);
	case 1:
		return rpc_notification_encode("node.get", NULL, NULL, output, error);
	case 2:
		return rpc_response_encode(1, schema_label(), &label, output, error);
	case 3:
		error_set(&failure, ERROR_NOT_FOUND, "no");
		return rpc_failure_encode(1, &failure, output, error);
	case 4:
		return rpc_request_forward(1, request->method, request->params, output, error);
	default:
		return rpc_response_forward(1, (struct bytes){ &nil, 1 }, request->params, output, error);
	}
}

/* A message is there as a whole, or nothing of it. */
static void messages_without_memory(void **state)
{
	struct buffer frame = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message request;
	struct error error = { 0 };
	int known;

	(void)state;
	assert_int_equal(message_make(0, NULL, &frame, &error), 0);
	assert_int_equal(rpc_message_open(buffer_bytes(&frame), &arena, &request, &known, &error), 0);
	for (unsigned which = 0; which < 6; which++) {
		/* From each number of bytes that are free, so that the buffer has to grow at each place. */
		for (size_t room = 0; room < 64; room++) {
			struct buffer output = BUFFER_INIT;
			struct rpc_message message;
			size_t before;
			bool failed;
			int rv;

			while (output.size == 0 || output.capacity - output.size > room)
				assert_int_equal(buffer_append(&output, "x", 1), 0);
			before = output.size;
			failing_alloc_arm(1);
			rv = message_make(which, &request, &output, &error);
			failed = failing_alloc_disarm();
			assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
			for (size_t i = 0; failed && i < output.size; i++)
				assert_int_equal(output.data[i], 'x');
			if (failed) {
				assert_int_equal(output.size, before);
				buffer_clear(&output);
				assert_int_equal(message_make(which, &request, &output, &error), 0);
				assert_int_equal(
					rpc_message_open(buffer_bytes(&output), &arena, &message, &known, &error), 0);
			}
			buffer_free(&output);
		}
	}
	for (unsigned long n = 1;; n++) {
		struct arena fresh = ARENA_INIT;
		struct rpc_message message;
		bool failed;
		int rv;

		failing_alloc_arm(n);
		rv = rpc_message_open(buffer_bytes(&frame), &fresh, &message, &known, &error);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		if (rv == 0)
			arena_free(&fresh);
		if (!failed)
			break;
		assert_int_equal(known, 1); /* so that the other side can be told */
	}
	buffer_free(&frame);
	arena_free(&arena);
}

static void json_of_everything(void **state)
{
	uint8_t id[3] = { 0x00, 0xa5, 0xff };
	struct failed_reads reads = { .reads = 2, .last_us = 3 };
	struct ld ld = { .id = 7, .disk = 1, .state = (enum ld_state)77, .whole = true, .failed_reads = &reads };
	struct command command = { .request_id = { id, sizeof(id) } };
	struct json_object *object = json_record_make(schema_command(), &command), *inner;

	(void)state;
	assert_string_equal(json_object_get_string(json_object_object_get(object, "request_id")), "00a5ff");
	assert_null(json_object_object_get(object, "cluster_create"));
	json_object_put(object);
	object = json_record_make(schema_ld(), &ld);
	assert_string_equal(json_object_get_string(json_object_object_get(object, "state")), "");
	assert_true(json_object_get_boolean(json_object_object_get(object, "whole")));
	assert_false(json_object_get_boolean(json_object_object_get(object, "forced")));
	inner = json_object_object_get(object, "failed_reads");
	assert_int_equal(json_object_get_int(json_object_object_get(inner, "reads")), 2);
	json_object_put(object);
}

/* A path longer than its text is cut, not written past it. */
static void paths_are_bounded(void **state)
{
	struct schema_field field = { .name = "a_name_that_is_not_short_at_all" };
	struct codec_path path[20];
	char text[CODEC_PATH_SIZE + 8];

	(void)state;
	memset(text, 0x55, sizeof(text));
	for (size_t i = 0; i < 20; i++)
		path[i] = (struct codec_path){ i > 0 ? &path[i - 1] : NULL, &field, (long)i };
	codec_path_format(&path[19], text);
	assert_int_equal(strlen(text), CODEC_PATH_SIZE - 1);
	for (size_t i = CODEC_PATH_SIZE; i < sizeof(text); i++)
		assert_int_equal(text[i], 0x55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_that_a_program_built_wrong),
		cmocka_unit_test(input_of_another_form),
		cmocka_unit_test(input_that_is_cut_short),
		cmocka_unit_test(a_frame_ends_at_its_limit),
		cmocka_unit_test(every_error_can_be_sent),
		cmocka_unit_test(errors_that_are_none_of_ours),
		cmocka_unit_test(messages_without_memory),
		cmocka_unit_test(json_of_everything),
		cmocka_unit_test(paths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
