/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "lib/model/records.h"
#include "lib/base/arena.h"
#include "lib/wire/codec.h"
#include "lib/wire/frame.h"
#include "lib/wire/json.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "lib/wire/value.h"
#include "tests/unit/failing_alloc.h"

static struct ld members[2] = {
	{ .id = 7, .disk = 1, .state = LD_STATE_IN_SYNC },
	{ .id = UINT64_MAX, .disk = 2, .state = LD_STATE_STALE },
};
static struct group groups[1] = { { .members = { 2, members } } };
static struct leg legs[1] = {
	{ .state = LEG_STATE_NEW, .size_bytes = 1 << 20, .group_extents = 3, .groups = { 1, groups } }
};
static struct slot slots[1] = { { .holder = "cn1", .epoch = 4, .phase = SLOT_PHASE_SERVING } };
static struct controller controllers[1] = { { .node = "cn1", .role = CONTROLLER_ROLE_ACTIVE } };
static const char *hosts[] = { "nqn.2014-08.org.nvmexpress:uuid:1" };
static const struct volume sample = {
	.id = 12,
	.name = "db1",
	.uuid = { 1, 2, 3, 255 },
	.size_bytes = LIMIT_VOLUME_BYTES_MAX,
	.copies = 2,
	.legs_per_controller = 1,
	.spread = SPREAD_RACK,
	.provision = PROVISION_THIN,
	.phase = VOLUME_PHASE_PLACED,
	.slots = { 1, slots },
	.controllers = { 1, controllers },
	.legs = { 1, legs },
	.hosts = { 1, hosts },
	.stripe_bytes = 65536,
	.revision = UINT64_MAX,
};

static void records_round_trip_in_both_styles(void **state)
{
	(void)state;
	for (enum codec_style style = CODEC_NAMED; style <= CODEC_TAGGED; style++) {
		struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
		struct arena arena = ARENA_INIT;
		struct error error = { 0 };
		struct volume volume;

		assert_int_equal(codec_encode(schema_volume(), &sample, style, &first, &error), 0);
		assert_int_equal(codec_decode(schema_volume(), buffer_bytes(&first), &arena, &volume, &error), 0);
		assert_int_equal(volume.id, 12);
		assert_string_equal(volume.name, "db1");
		assert_int_equal(volume.uuid[3], 255);
		assert_true(volume.size_bytes == LIMIT_VOLUME_BYTES_MAX);
		assert_int_equal(volume.spread, SPREAD_RACK);
		assert_true(volume.legs.items[0].groups.items[0].members.items[1].id == UINT64_MAX);
		assert_string_equal(volume.hosts.items[0], hosts[0]);
		assert_int_equal(codec_encode(schema_volume(), &volume, style, &second, &error), 0);
		assert_int_equal(first.size, second.size);
		assert_memory_equal(first.data, second.data, first.size);
		/* Cut anywhere, it is refused, never misread. */
		for (size_t size = 0; size < first.size; size++)
			assert_int_equal(codec_decode(schema_volume(), (struct bytes){ first.data, size }, &arena,
						      &volume, &error),
					 ERROR_INVALID_ARGUMENT);
		buffer_free(&first);
		buffer_free(&second);
		arena_free(&arena);
	}
}

static void golden_bytes_do_not_change(void **state)
{
	static const uint8_t named[] = "\x82\xa3key\xa4rack\xa5value\xa2r1";
	static const uint8_t tagged[] = "\x82\x01\xa4rack\x02\xa2r1";
	const struct label label = { "rack", "r1" };
	struct buffer output = BUFFER_INIT;

	(void)state;
	assert_int_equal(codec_encode(schema_label(), &label, CODEC_NAMED, &output, NULL), 0);
	assert_int_equal(output.size, sizeof(named) - 1);
	assert_memory_equal(output.data, named, output.size);
	buffer_clear(&output);
	assert_int_equal(codec_encode(schema_label(), &label, CODEC_TAGGED, &output, NULL), 0);
	assert_int_equal(output.size, sizeof(tagged) - 1);
	assert_memory_equal(output.data, tagged, output.size);
	buffer_free(&output);
}

static void decode_fails(const struct schema *schema, const char *bytes, size_t size, enum error_code code,
			 const char *message)
{
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	uint8_t record[1024];

	assert_true(schema->size <= sizeof(record));
	assert_int_equal(codec_decode(schema, (struct bytes){ (const uint8_t *)bytes, size }, &arena, record, &error),
			 code);
	assert_string_equal(error.message, message);
	arena_free(&arena);
}
#define DECODE_FAILS(schema, bytes, code, message) decode_fails(schema, bytes, sizeof(bytes) - 1, code, message)

static void bad_input_is_named(void **state)
{
	const struct schema *create = schema_volume_create_request();

	(void)state;
	DECODE_FAILS(schema_label(), "\x81\xa3key\xa4rack", ERROR_INVALID_ARGUMENT, "value: missing");
	DECODE_FAILS(schema_label(), "\x82\xa3key\xa4rack\xa5value\x05", ERROR_INVALID_ARGUMENT,
		     "value: must be a string, not an integer");
	DECODE_FAILS(schema_label(), "\x82\xa3key\xa4rack\xa3key\xa4rack", ERROR_INVALID_ARGUMENT, "key: given twice");
	DECODE_FAILS(schema_label(), "\x90", ERROR_INVALID_ARGUMENT, "label must be a map, not an array");
	DECODE_FAILS(schema_label(), "\xc0", ERROR_INVALID_ARGUMENT, "label must be a map, not nil");
	DECODE_FAILS(schema_label(), "\xc3", ERROR_INVALID_ARGUMENT, "label must be a map, not a boolean");
	DECODE_FAILS(schema_label(), "\xc4\x01x", ERROR_INVALID_ARGUMENT, "label must be a map, not binary");
	DECODE_FAILS(schema_label(), "\xd4\x01x", ERROR_INVALID_ARGUMENT, "label must be a map, not an extension");
	DECODE_FAILS(schema_label(), "\x82\xa3key\xa4rack\xa5value\x80", ERROR_INVALID_ARGUMENT,
		     "value: must be a string, not a map");
	DECODE_FAILS(schema_host(),
		     "\x82\xa3nqn\xa1"
		     "a\xa7volumes\xc2",
		     ERROR_INVALID_ARGUMENT, "volumes: must be an array, not a boolean");
	DECODE_FAILS(schema_place_group(), "\x81\xa7members\xa1x", ERROR_INVALID_ARGUMENT,
		     "members: must be an array, not a string");
	DECODE_FAILS(schema_place_group(), "\x81\xa7members\x91\xc0", ERROR_INVALID_ARGUMENT,
		     "members[0]: must be a map, not nil");
	DECODE_FAILS(schema_label(), "\x80\x80", ERROR_INVALID_ARGUMENT, "label: bytes behind the record");
	DECODE_FAILS(schema_label(), "\xc1", ERROR_INVALID_ARGUMENT,
		     "label: the byte 0xc1 is never used in MessagePack");
	DECODE_FAILS(schema_label(),
		     "\x81\xa3key\xa2"
		     "a\x01",
		     ERROR_INVALID_ARGUMENT, "key: control character at byte 1");
	DECODE_FAILS(schema_label(),
		     "\x81\xa3key\xa2"
		     "a\xff",
		     ERROR_INVALID_ARGUMENT, "key: not valid UTF-8 at byte 1");
	DECODE_FAILS(schema_label(),
		     "\x81\xa3key\xa2"
		     "Ab",
		     ERROR_INVALID_ARGUMENT, "key \"Ab\" is not a valid name");
	DECODE_FAILS(create,
		     "\x82\xa4name\xa1"
		     "a\xaasize_bytes\x00",
		     ERROR_INVALID_ARGUMENT, "size_bytes: 0 is below the minimum of 1048576");
	DECODE_FAILS(create,
		     "\x82\xa4name\xa1"
		     "a\xaasize_bytes\xff",
		     ERROR_INVALID_ARGUMENT,
		     "size_bytes: must be an integer that is not negative, not a negative integer");
	DECODE_FAILS(create,
		     "\x82\xa4name\xa1"
		     "a\xaasize_bytes\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
		     ERROR_INVALID_ARGUMENT,
		     "size_bytes: 18446744073709551615 is above the maximum of 4611686018427387904");
	DECODE_FAILS(create,
		     "\x82\xa4name\xa1"
		     "a\xa6spread\xa4moon",
		     ERROR_INVALID_ARGUMENT, "spread: \"moon\" is not a value of spread");
	DECODE_FAILS(schema_host(),
		     "\x82\xa3nqn\xa1"
		     "a\xa7volumes\x92\xa1"
		     "a\x05",
		     ERROR_INVALID_ARGUMENT, "volumes[1]: must be a string, not an integer");
	DECODE_FAILS(schema_place_group(),
		     "\x81\xa7members\x91\x81\xa4"
		     "disk\xa2"
		     "x1",
		     ERROR_INVALID_ARGUMENT, "members[0].disk: must be an id such as \"d1\"");
	DECODE_FAILS(schema_place_group(), "\x81\xa7members\x95\x80\x80\x80\x80\x80", ERROR_INVALID_ARGUMENT,
		     "members: 5 elements, the limit is 4");
}

/* The MessagePack library has no address for an empty text with a length of its own (d9 00). A sanitizer sees it used.
 */
static void empty_texts_have_no_address(void **state)
{
	static const struct {
		const struct schema *(*schema)(void);
		const char *bytes;
		size_t size;
		const char *words;
	} samples[] = {
		{ schema_command_disk_remove, "\x81\x01\xa0", 3, "id: must be an id such as" },
		{ schema_command_disk_remove, "\x81\x01\xc4\x00", 4, "id: must be an id such as" },
		{ schema_ld, "\x83\x01\x01\x02\x01\x03\xa0", 7, "state: \"\" is not a value" },
		{ schema_slot, "\x84\x01\xa1n\x02\x01\x03\x01\x08\xa0", 10, "boot_id: must be a UUID" },
		{ schema_name_request, "\x81\x01\xa0", 3, "name: must not be empty" },
	};
	static const char request[] = "\x94\x00\x07\xa0\x90"; /* a method without a name */
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	union {
		struct command_disk_remove disk_remove;
		struct ld ld;
		struct slot slot;
		struct name_request name;
	} record;
	struct error error;
	int known;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct bytes bytes = { (const uint8_t *)samples[i].bytes, samples[i].size };

		assert_int_equal(codec_decode(samples[i].schema(), bytes, &arena, &record, &error),
				 ERROR_INVALID_ARGUMENT);
		if (strstr(error.message, samples[i].words) == NULL)
			fail_msg("%s", error.message);
	}
	assert_int_equal(rpc_message_open((struct bytes){ (const uint8_t *)request, sizeof(request) - 1 }, &arena,
					  &message, &known, &error),
			 0);
	assert_string_equal(message.method, "");
	arena_free(&arena);
}

static void strings_are_bounded_at_the_limit(void **state)
{
	char text[LIMIT_PATH + 2];
	struct disk_add_request request = { .node = "n", .path = text };
	struct error error;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[LIMIT_PATH] = '\0';
	assert_int_equal(codec_validate(schema_disk_add_request(), &request, &error), 0);
	text[LIMIT_PATH] = 'a';
	text[LIMIT_PATH + 1] = '\0';
	assert_int_equal(codec_validate(schema_disk_add_request(), &request, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "path: 256 bytes, the limit is 255");
}

static void unknown_fields_are_skipped_and_nil_is_absent(void **state)
{
	static const char input[] = "\x84\xa3nqn\xa1"
				    "a\xa3new\x93\x01\x81\x01\x02\xc0\xa7volumes\xc0\xcc\xfa\xc3";
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct host host;

	(void)state;
	assert_int_equal(codec_decode(schema_host(), (struct bytes){ (const uint8_t *)input, sizeof(input) - 1 },
				      &arena, &host, &error),
			 0);
	assert_string_equal(host.nqn, "a");
	assert_int_equal(host.volumes.count, 0);
	arena_free(&arena);
}

static void a_copy_shares_nothing(void **state)
{
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct volume empty = sample, copy;

	(void)state;
	assert_int_equal(codec_copy(schema_volume(), &sample, &arena, &copy, NULL), 0);
	assert_ptr_not_equal(copy.name, sample.name);
	assert_ptr_not_equal(copy.legs.items, sample.legs.items);
	assert_ptr_not_equal(copy.legs.items[0].groups.items[0].members.items,
			     sample.legs.items[0].groups.items[0].members.items);
	assert_ptr_not_equal(copy.hosts.items[0], sample.hosts.items[0]);
	assert_int_equal(codec_encode(schema_volume(), &sample, CODEC_TAGGED, &first, NULL), 0);
	assert_int_equal(codec_encode(schema_volume(), &copy, CODEC_TAGGED, &second, NULL), 0);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
	/* What is optional and empty is absent, as behind a decoder. */
	empty.hosts.count = 0;
	assert_int_equal(codec_copy(schema_volume(), &empty, &arena, &copy, NULL), 0);
	assert_null(copy.hosts.items);
	buffer_free(&first);
	buffer_free(&second);
	arena_free(&arena);
}

static void what_is_packed_is_a_copy_in_one_piece(void **state)
{
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct codec_packed packed = { 0 };
	struct volume copies[2], empty = sample;

	(void)state;
	assert_int_equal(codec_encode(schema_volume(), &sample, CODEC_TAGGED, &first, NULL), 0);
	assert_int_equal(codec_pack(schema_volume(), &sample, &packed, NULL), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(codec_unpack(&packed, &arena, &copies[i], NULL), 0);
	assert_ptr_not_equal(copies[0].name, copies[1].name);
	for (size_t i = 0; i < 2; i++) {
		buffer_clear(&second);
		assert_int_equal(codec_encode(schema_volume(), &copies[i], CODEC_TAGGED, &second, NULL), 0);
		assert_int_equal(first.size, second.size);
		assert_memory_equal(first.data, second.data, first.size);
		/* To write to one changes no other. */
		memset(copies[i].legs.items, 0xff, copies[i].legs.count * sizeof(*copies[i].legs.items));
	}
	/* What is optional and empty is absent, as behind a decoder. */
	empty.hosts.count = 0;
	assert_int_equal(codec_pack(schema_volume(), &empty, &packed, NULL), 0);
	assert_int_equal(codec_unpack(&packed, &arena, &copies[0], NULL), 0);
	assert_null(copies[0].hosts.items);
	buffer_free(&first);
	buffer_free(&second);
	codec_packed_free(&packed);
	arena_free(&arena);
}

static void codec_survives_failing_allocations(void **state)
{
	struct buffer whole = BUFFER_INIT;
	bool failed;

	(void)state;
	assert_int_equal(codec_encode(schema_volume(), &sample, CODEC_NAMED, &whole, NULL), 0);
	for (unsigned long n = 1;; n++) {
		struct buffer output = BUFFER_INIT;
		struct arena arena = ARENA_INIT;
		struct error error = { 0 };
		struct codec_packed packed = { 0 };
		struct volume volume;
		int rv;

		failing_alloc_arm(n);
		rv = codec_encode(schema_volume(), &sample, CODEC_NAMED, &output, &error);
		if (rv == 0)
			rv = codec_decode(schema_volume(), buffer_bytes(&whole), &arena, &volume, &error);
		if (rv == 0)
			rv = codec_copy(schema_volume(), &sample, &arena, &volume, &error);
		if (rv == 0)
			rv = codec_pack(schema_volume(), &sample, &packed, &error);
		if (rv == 0)
			rv = codec_unpack(&packed, &arena, &volume, &error);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		codec_packed_free(&packed);
		buffer_free(&output);
		arena_free(&arena);
		if (!failed)
			break;
	}
	buffer_free(&whole);
}

/* The scanner finds the same ends whatever the pieces. */
static void frames_end_at_the_same_byte_for_any_pieces(void **state)
{
	struct buffer stream = BUFFER_INIT;
	size_t ends[4];

	(void)state;
	assert_int_equal(codec_encode(schema_volume(), &sample, CODEC_NAMED, &stream, NULL), 0);
	ends[0] = stream.size;
	assert_int_equal(rpc_request_encode(1, "volume.list", NULL, NULL, &stream, NULL), 0);
	ends[1] = stream.size;
	assert_int_equal(buffer_append(&stream,
				       "\xc7\x03\x01"
				       "abc",
				       6),
			 0);
	ends[2] = stream.size;
	assert_int_equal(buffer_append(&stream,
				       "\xdf\x00\x00\x00\x01\xd9\x01k\xcb"
				       "12345678",
				       17),
			 0);
	ends[3] = stream.size;
	for (size_t piece = 1; piece <= stream.size; piece++) {
		struct frame_scanner scanner;
		size_t at = 0, found = 0, used;
		int complete;

		frame_scanner_init(&scanner, 4096);
		while (at < stream.size) {
			size_t size = piece < stream.size - at ? piece : stream.size - at;

			assert_int_equal(frame_scanner_feed(&scanner, stream.data + at, size, &used, &complete, NULL),
					 0);
			at += used;
			assert_int_equal(frame_scanner_is_partial(&scanner), !complete);
			if (complete)
				assert_int_equal(at, ends[found++]);
		}
		assert_int_equal(found, 4);
	}
	buffer_free(&stream);
}

/* Whatever a value begins with, the scanner and the library agree on where it ends. */
static void frames_end_where_the_library_says(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		static const uint8_t long_length[] = { 0xc6, 0xc9, 0xdb, 0xdd, 0xdf },
				     short_length[] = { 0xc5, 0xc8, 0xda, 0xdc, 0xde };
		uint8_t bytes[64] = { (uint8_t)first, 3 };
		struct frame_scanner scanner;
		msgpack_unpacked unpacked;
		struct value_reader reader = value_reader_of((struct bytes){ bytes, sizeof(bytes) });
		size_t used = 0, end = 0;
		int complete = 0;

		if (first == 0xc1) {
			assert_int_equal(value_skip(&reader), -1);
			continue;
		}
		if (memchr(long_length, (int)first, sizeof(long_length)) != NULL)
			memcpy(bytes + 1, "\0\0\0\3", 4);
		if (memchr(short_length, (int)first, sizeof(short_length)) != NULL)
			memcpy(bytes + 1, "\0\3", 2);
		msgpack_unpacked_init(&unpacked);
		assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, sizeof(bytes), &end),
				 MSGPACK_UNPACK_SUCCESS);
		msgpack_unpacked_destroy(&unpacked);
		frame_scanner_init(&scanner, sizeof(bytes));
		assert_int_equal(frame_scanner_feed(&scanner, bytes, sizeof(bytes), &used, &complete, NULL), 0);
		assert_true(complete);
		assert_int_equal(used, end);
		assert_int_equal(value_skip(&reader), 0);
		assert_int_equal(reader.at - bytes, end);
		assert_int_equal(value_check((struct bytes){ bytes, end }, NULL), 0);
		for (size_t size = 0; size < end; size++)
			assert_int_equal(value_check((struct bytes){ bytes, size }, NULL), ERROR_INVALID_ARGUMENT);
	}
}

/* Eight bytes of a text are looked at together: each byte counts at each place, as it does alone. */
static void texts_are_checked_bytewise(void **state)
{
	struct arena arena = ARENA_INIT;
	struct label label;
	struct error error = { 0 };

	(void)state;
	for (size_t length = 1; length <= 25; length++) {
		for (size_t at = 0; at < length; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				/* {1: "k", 2: text} */
				uint8_t input[5 + 32] = { 0x82, 0x01, 0xa1, 'k', 0x02 };
				bool good = byte >= 0x20 && byte < 0x7f;

				input[5] = (uint8_t)(0xa0 | length);
				memset(input + 6, 'x', length);
				input[6 + at] = (uint8_t)byte;
				assert_int_equal(codec_decode(schema_label(), (struct bytes){ input, 6 + length },
							      &arena, &label, &error),
						 good ? 0 : ERROR_INVALID_ARGUMENT);
			}
		}
		arena_free(&arena);
	}
}

static int scan(const void *data, size_t size, size_t max_bytes, struct error *error)
{
	struct frame_scanner scanner;
	size_t used;
	int complete;

	frame_scanner_init(&scanner, max_bytes);
	return frame_scanner_feed(&scanner, data, size, &used, &complete, error);
}

static void frames_are_bounded(void **state)
{
	uint8_t nested[LIMIT_FRAME_DEPTH + 1], deep[LIMIT_FRAME_DEPTH + 2] = { 0 };
	struct error error;

	(void)state;
	memset(nested, 0x91, sizeof(nested));
	assert_int_equal(scan(nested, LIMIT_FRAME_DEPTH, 1000, &error), 0);
	assert_int_equal(scan(nested, sizeof(nested), 1000, &error), ERROR_TOO_LARGE);
	assert_string_equal(error.message, "the frame is nested deeper than the limit of 24");
	/* A record is held to the same. */
	memset(deep, 0x91, LIMIT_FRAME_DEPTH);
	assert_int_equal(value_check((struct bytes){ deep, LIMIT_FRAME_DEPTH + 1 }, &error), 0);
	deep[LIMIT_FRAME_DEPTH] = 0x91;
	assert_int_equal(value_check((struct bytes){ deep, LIMIT_FRAME_DEPTH + 2 }, &error), ERROR_TOO_LARGE);
	assert_string_equal(error.message, "the record is nested deeper than the limit of 24");
	assert_int_equal(value_check((struct bytes){ (const uint8_t *)"\xdf\xff\xff\xff\xff", 5 }, &error),
			 ERROR_TOO_LARGE);
	assert_int_equal(scan("\xdd\xff\xff\xff\xff", 5, 1 << 20, &error), ERROR_TOO_LARGE);
	assert_int_equal(scan("\xdf\xff\xff\xff\xff", 5, 1 << 20, &error), ERROR_TOO_LARGE);
	assert_int_equal(scan("\xdb\xff\xff\xff\xff", 5, 1 << 20, &error), ERROR_TOO_LARGE);
	assert_int_equal(scan("\xc6\x00\x00\x03\xe4", 5, 1000, &error), ERROR_TOO_LARGE);
	assert_int_equal(scan("\xc6\x00\x00\x03\xe3", 5, 1000, &error), 0);
	assert_int_equal(scan("\xc1", 1, 1000, &error), ERROR_INVALID_ARGUMENT);
	/* Declared elements of siblings add up. */
	assert_int_equal(scan("\x92\xdd\x00\x00\x03\xd0\x00", 7, 1000, &error), 0);
	assert_int_equal(scan("\x92\xdd\x00\x00\x03\xe3\x00", 7, 1000, &error), ERROR_TOO_LARGE);
}

static void open_fails(const char *bytes, size_t size, int msgid_known, const char *message)
{
	struct arena arena = ARENA_INIT;
	struct rpc_message opened;
	struct error error = { 0 };
	int known;

	assert_int_equal(
		rpc_message_open((struct bytes){ (const uint8_t *)bytes, size }, &arena, &opened, &known, &error),
		ERROR_INVALID_ARGUMENT);
	assert_int_equal(known, msgid_known);
	assert_string_equal(error.message, message);
	arena_free(&arena);
}
#define OPEN_FAILS(bytes, known, message)                                                                              \
	open_fails(bytes, sizeof(bytes) - 1, known, "not a MessagePack-RPC message: " message)

static void rpc_messages_are_checked(void **state)
{
	(void)state;
	OPEN_FAILS("\x01", 0, "it must be an array");
	OPEN_FAILS("\x90", 0, "the type must be 0, 1 or 2");
	OPEN_FAILS("\x91\x03", 0, "the type must be 0, 1 or 2");
	OPEN_FAILS("\x93\x00\x01\xa1m", 0, "requests and responses have four elements, the second a 32-bit msgid");
	OPEN_FAILS("\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1m\x90", 0,
		   "requests and responses have four elements, the second a 32-bit msgid");
	OPEN_FAILS("\x94\x00\x07\x05\x90", 1, "the method must be a string");
	OPEN_FAILS("\x94\x00\x07\xa1m\x80", 1, "params must be an array of at most one map");
	OPEN_FAILS("\x94\x00\x07\xa1m\x91\x05", 1, "params must be an array of one map");
	OPEN_FAILS("\x94\x02\x07\xa1m\x90", 0, "a notification has three elements");
}

static void rpc_round_trips(void **state)
{
	struct buffer frame = BUFFER_INIT, forwarded = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error = { 0 }, failure = { 0 };
	int known;

	(void)state;
	assert_int_equal(rpc_request_encode(UINT32_MAX, "volume.get", schema_label(), &(struct label){ "a", "b" },
					    &frame, &error),
			 0);
	assert_int_equal(rpc_message_open(buffer_bytes(&frame), &arena, &message, &known, &error), 0);
	assert_int_equal(message.type, RPC_REQUEST);
	assert_int_equal(known, 1);
	assert_true(message.msgid == UINT32_MAX);
	assert_string_equal(message.method, "volume.get");
	assert_int_equal(rpc_request_forward(message.msgid, message.method, message.params, &forwarded, &error), 0);
	assert_int_equal(forwarded.size, frame.size);
	assert_memory_equal(forwarded.data, frame.data, frame.size);
	buffer_clear(&frame);
	error_set(&failure, ERROR_NO_CAPACITY, "not enough space");
	error_hint(&failure, "add a disk");
	error_detail(&failure, "rack r1: 5 GiB free");
	error_detail(&failure, "rack r2: 1 GiB free");
	assert_int_equal(rpc_failure_encode(9, &failure, &frame, &error), 0);
	assert_int_equal(rpc_message_open(buffer_bytes(&frame), &arena, &message, &known, &error), 0);
	assert_int_equal(message.type, RPC_RESPONSE);
	assert_int_equal(rpc_failure_decode(message.failure, &error), ERROR_NO_CAPACITY);
	assert_string_equal(error.message, failure.message);
	assert_string_equal(error.hint, failure.hint);
	assert_string_equal(error.details, failure.details);
	buffer_free(&frame);
	buffer_free(&forwarded);
	arena_free(&arena);
}

static void json_uses_the_names_of_the_wire(void **state)
{
	struct json_object *object = json_record_make(schema_volume(), &sample);

	(void)state;
	assert_non_null(object);
	assert_string_equal(json_object_get_string(json_object_object_get(object, "id")), "v12");
	assert_string_equal(json_object_get_string(json_object_object_get(object, "phase")), "placed");
	assert_string_equal(json_object_get_string(json_object_object_get(object, "hosts")),
			    "[ \"nqn.2014-08.org.nvmexpress:uuid:1\" ]");
	assert_true(json_object_get_uint64(json_object_object_get(object, "revision")) == UINT64_MAX);
	json_object_put(object);
}

static void methods_are_found_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < METHOD_ID_COUNT; i++)
		assert_ptr_equal(method_find(method_at((enum method_id)i)->name), method_at((enum method_id)i));
	assert_null(method_find("volume.explode"));
	assert_null(method_at(METHOD_ID_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_round_trip_in_both_styles),
		cmocka_unit_test(golden_bytes_do_not_change),
		cmocka_unit_test(bad_input_is_named),
		cmocka_unit_test(empty_texts_have_no_address),
		cmocka_unit_test(strings_are_bounded_at_the_limit),
		cmocka_unit_test(unknown_fields_are_skipped_and_nil_is_absent),
		cmocka_unit_test(a_copy_shares_nothing),
		cmocka_unit_test(what_is_packed_is_a_copy_in_one_piece),
		cmocka_unit_test(codec_survives_failing_allocations),
		cmocka_unit_test(frames_end_at_the_same_byte_for_any_pieces),
		cmocka_unit_test(frames_end_where_the_library_says),
		cmocka_unit_test(texts_are_checked_bytewise),
		cmocka_unit_test(frames_are_bounded),
		cmocka_unit_test(rpc_messages_are_checked),
		cmocka_unit_test(rpc_round_trips),
		cmocka_unit_test(json_uses_the_names_of_the_wire),
		cmocka_unit_test(methods_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
