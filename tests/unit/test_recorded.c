/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an earlier version wrote and sent is read as it was meant: tests/recorded/frames.txt against this version's
 * decoders. A line is one of
 *
 *	enum NAME NUMBER TEXT
 *	method NAME REQUEST REPLY
 *	fields RECORD TAG:NAME:TYPE …
 *	named RECORD BYTES JSON     a record as it is sent
 *	tagged RECORD BYTES JSON    the same as it is stored
 *	message BYTES TEXT          a whole message, and what is in it
 *
 * Lines are added and never changed: `./dev record` adds what is new. Whoever finds this test failing has changed what
 * other servers, agents, clients, logs and stores say (docs/PROTOCOL.md, "Versions").
 */
/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "lib/wire/json.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "test_recorded_rig.h"

#define PATH RECORDED_DIRECTORY "/frames.txt"
#define LINES_MAX 8192

struct fixture {
	struct arena arena;
	char *lines[LINES_MAX];
	size_t count;
};

static void lines_read(struct fixture *fixture)
{
	FILE *file = fopen(PATH, "r");
	char *line = NULL;
	size_t size = 0;

	if (file == NULL)
		fail_msg("%s is missing: run ./dev record", PATH);
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		assert_true(fixture->count < LINES_MAX);
		fixture->lines[fixture->count++] = arena_strdup(&fixture->arena, line);
	}
	free(line);
	fclose(file);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	lines_read(fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

/* The words of a line of this kind, the last one with all that follows; false: it is of another kind. */
static bool line_take(struct fixture *fixture, size_t number, const char *kind, const char *words[], size_t count)
{
	char *rest = arena_strdup(&fixture->arena, fixture->lines[number]);

	if (strcmp(strsep(&rest, " "), kind) != 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (rest == NULL)
			fail_msg("%s:%zu is cut short", PATH, number + 1);
		words[i] = i + 1 < count ? strsep(&rest, " ") : rest;
	}
	return true;
}

static const struct schema *schema_named(const char *name)
{
	const struct schema *schema;

	for (size_t i = 0; (schema = schema_at(i)) != NULL; i++) {
		if (strcmp(schema->name, name) == 0)
			return schema;
	}
	return NULL;
}

static const struct enum_schema *enum_named(const char *name)
{
	const struct enum_schema *values;

	for (size_t i = 0; (values = enum_schema_at(i)) != NULL; i++) {
		if (strcmp(values->name, name) == 0)
			return values;
	}
	return NULL;
}

static const char *json_of(const struct schema *schema, const void *record, struct arena *arena)
{
	struct json_object *object = json_record_make(schema, record);
	const char *text;

	assert_non_null(object);
	text = arena_strdup(arena, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return text;
}

/* --- names and numbers ------------------------------------------------------------------------------------------- */

static void test_enumerations(void **state)
{
	struct fixture *fixture = *state;
	const struct enum_schema *values;
	const char *words[3], *text;
	size_t seen = 0;

	for (size_t i = 0; i < fixture->count; i++) {
		if (!line_take(fixture, i, "enum", words, 3))
			continue;
		values = enum_named(words[0]);
		text = values != NULL ? enum_schema_name(values, atoi(words[1])) : NULL;
		if (text == NULL || strcmp(text, words[2]) != 0)
			fail_msg("%s:%zu: %s %s was \"%s\", and is \"%s\"", PATH, i + 1, words[0], words[1], words[2],
				 text != NULL ? text : "nothing");
		seen++;
	}
	assert_true(seen > 100);
}

static void test_methods(void **state)
{
	struct fixture *fixture = *state;
	const struct method *method;
	const char *words[3];
	size_t seen = 0;

	for (size_t i = 0; i < fixture->count; i++) {
		if (!line_take(fixture, i, "method", words, 3))
			continue;
		method = method_find(words[0]);
		if (method == NULL || strcmp(method->request()->name, words[1]) != 0 ||
		    strcmp(method->reply()->name, words[2]) != 0)
			fail_msg("%s:%zu: method %s took %s and gave %s, and does not any more", PATH, i + 1, words[0],
				 words[1], words[2]);
		seen++;
	}
	assert_true(seen > 30);
}

static bool field_is_there(const struct schema *schema, const char *wanted, struct arena *arena)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		if (strcmp(recorded_field(&schema->fields[i], arena), wanted) == 0)
			return true;
	}
	return false;
}

static void test_fields(void **state)
{
	struct fixture *fixture = *state;
	const struct schema *schema;
	const char *words[2], *field;
	size_t seen = 0;
	char *rest;

	for (size_t i = 0; i < fixture->count; i++) {
		if (!line_take(fixture, i, "fields", words, 2))
			continue;
		schema = schema_named(words[0]);
		rest = arena_strdup(&fixture->arena, words[1]);
		while ((field = strsep(&rest, " ")) != NULL) {
			if (*field != '\0' && (schema == NULL || !field_is_there(schema, field, &fixture->arena)))
				fail_msg("%s:%zu: record %s had a field %s, and has it not any more", PATH, i + 1,
					 words[0], field);
			seen++;
		}
	}
	assert_true(seen > 500);
}

/* --- frames ------------------------------------------------------------------------------------------------------ */

/* Whether all that was said is said now; a field that came since is said to be absent. */
static bool object_says(struct json_object *now, struct json_object *then)
{
	if (json_object_get_type(now) != json_object_get_type(then))
		return false;
	if (json_object_is_type(then, json_type_object)) {
		json_object_object_foreach(then, key, value)
		{
			struct json_object *present;

			if (!json_object_object_get_ex(now, key, &present) || !object_says(present, value))
				return false;
		}
		return true;
	}
	if (!json_object_is_type(then, json_type_array))
		return json_object_equal(now, then) != 0;
	if (json_object_array_length(now) != json_object_array_length(then))
		return false;
	for (size_t i = 0; i < json_object_array_length(then); i++) {
		if (!object_says(json_object_array_get_idx(now, i), json_object_array_get_idx(then, i)))
			return false;
	}
	return true;
}

static bool json_says(const char *now, const char *then)
{
	struct json_object *present = json_tokener_parse(now), *past = json_tokener_parse(then);
	bool same = present != NULL && past != NULL && object_says(present, past);

	json_object_put(present);
	json_object_put(past);
	return same;
}

static void frame_check(struct fixture *fixture, size_t number, const char *words[])
{
	struct bytes bytes = recorded_unhex(words[1], &fixture->arena);
	const struct schema *schema = schema_named(words[0]);
	struct buffer foreign = BUFFER_INIT;
	const char *json;
	struct error error;
	void *record;

	if (schema == NULL)
		fail_msg("%s:%zu: there is no record %s any more", PATH, number + 1, words[0]);
	record = arena_alloc(&fixture->arena, schema->size);
	/* This version understands all of it. */
	if (codec_decode_known(schema, bytes, &fixture->arena, record, &error) != 0)
		fail_msg("%s:%zu: %s is not read any more: %s", PATH, number + 1, words[0], error.message);
	json = json_of(schema, record, &fixture->arena);
	if (!json_says(json, words[2]))
		fail_msg("%s:%zu: %s is read otherwise:\n was %s\n is  %s", PATH, number + 1, words[0], words[2], json);
	/* What a newer version adds is skipped, and refused where all must be understood. */
	recorded_foreign(bytes, &foreign);
	if (codec_decode(schema, buffer_bytes(&foreign), &fixture->arena, record, &error) != 0)
		fail_msg("%s:%zu: %s with more fields: %s", PATH, number + 1, words[0], error.message);
	assert_string_equal(json_of(schema, record, &fixture->arena), json);
	assert_int_equal(codec_decode_known(schema, buffer_bytes(&foreign), &fixture->arena, record, &error),
			 ERROR_UNSUPPORTED);
	buffer_free(&foreign);
}

static void test_frames(void **state)
{
	struct fixture *fixture = *state;
	const char *words[3];
	size_t seen = 0;

	for (size_t i = 0; i < fixture->count; i++) {
		if (!line_take(fixture, i, "named", words, 3) && !line_take(fixture, i, "tagged", words, 3))
			continue;
		frame_check(fixture, i, words);
		seen++;
	}
	assert_true(seen > 200);
}

/* "request 7 volume.get JSON", "response 7 CODE", "response 7 JSON of the record mutation_reply", "notification …" */
static const char *message_show(struct bytes frame, struct arena *arena)
{
	struct rpc_message message;
	const struct schema *schema = schema_mutation_reply();
	const char *text;
	struct error error;
	void *record;
	int known;

	assert_int_equal(rpc_message_open(frame, arena, &message, &known, &error), 0);
	if (message.type != RPC_RESPONSE) {
		assert_non_null(method_find(message.method));
		schema = method_find(message.method)->request();
	}
	record = arena_alloc(arena, schema->size);
	if (message.type == RPC_RESPONSE && rpc_failure_decode(message.failure, &error) != 0) {
		text = arena_printf(arena, "response %u %s: %s (%s) %s", message.msgid, error_code_name(error.code),
				    error.message, error.hint, error.details);
	} else {
		assert_int_equal(codec_decode_value(schema,
						    message.type == RPC_RESPONSE ? message.result : message.params,
						    arena, record, &error),
				 0);
		text = json_of(schema, record, arena);
		if (message.type == RPC_RESPONSE)
			text = arena_printf(arena, "response %u %s", message.msgid, text);
		else if (message.type == RPC_REQUEST)
			text = arena_printf(arena, "request %u %s %s", message.msgid, message.method, text);
		else
			text = arena_printf(arena, "notification %s %s", message.method, text);
	}
	return text;
}

/* Up to the record, and the record by what it says. */
static void test_messages(void **state)
{
	struct fixture *fixture = *state;
	const char *words[2], *now, *brace;
	size_t seen = 0;

	for (size_t i = 0; i < fixture->count; i++) {
		if (!line_take(fixture, i, "message", words, 2))
			continue;
		now = message_show(recorded_unhex(words[0], &fixture->arena), &fixture->arena);
		brace = strchr(words[1], '{');
		if (brace == NULL)
			assert_string_equal(now, words[1]);
		else if (strncmp(now, words[1], (size_t)(brace - words[1])) != 0 ||
			 !json_says(now + (brace - words[1]), brace))
			fail_msg("%s:%zu: a message is read otherwise:\n was %s\n is  %s", PATH, i + 1, words[1], now);
		seen++;
	}
	assert_true(seen >= 4);
}

/* A value of an enumeration that is yet to come is no other value. */
static void test_unknown_value(void **state)
{
	static const uint8_t frame[] = { 0x82, 1, 1, 3, 0xcd, 0x03, 0xe7 }; /* {1: 1, 3: 999} */
	const struct bytes bytes = { frame, sizeof(frame) };
	struct arena arena = ARENA_INIT;
	struct command_volume_advance advance;
	struct error error;

	(void)state;
	assert_int_equal(codec_decode(schema_command_volume_advance(), bytes, &arena, &advance, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "999 is not a value of volume_phase"));
	assert_int_equal(codec_decode_known(schema_command_volume_advance(), bytes, &arena, &advance, &error),
			 ERROR_UNSUPPORTED);
	arena_free(&arena);
}

/* --- recording --------------------------------------------------------------------------------------------------- */

static bool is_recorded(const struct fixture *fixture, const char *line)
{
	for (size_t i = 0; i < fixture->count; i++) {
		if (strcmp(fixture->lines[i], line) == 0)
			return true;
	}
	return false;
}

static bool field_is_recorded(const struct fixture *fixture, const struct schema *schema, const char *field)
{
	size_t name = strlen(schema->name), length = strlen(field);

	for (size_t i = 0; i < fixture->count; i++) {
		const char *line = fixture->lines[i], *at = line;

		if (strncmp(line, "fields ", 7) != 0 || strncmp(line + 7, schema->name, name) != 0 ||
		    line[7 + name] != ' ')
			continue;
		while ((at = strstr(at + 1, field)) != NULL) {
			if (at[-1] == ' ' && (at[length] == ' ' || at[length] == '\0'))
				return true;
		}
	}
	return false;
}

/* What is not recorded: `found` is told each line. */
typedef void (*line_found)(struct fixture *fixture, const char *line, void *data);

static void records_missing(struct fixture *fixture, line_found found, void *data)
{
	struct arena *arena = &fixture->arena;
	const struct schema *schema;

	for (size_t i = 0; (schema = schema_at(i)) != NULL; i++) {
		struct buffer named = BUFFER_INIT, tagged = BUFFER_INIT;
		const void *record;
		bool all = schema->field_count > 0;
		const char *json;

		for (size_t k = 0; k < schema->field_count; k++)
			all = all && field_is_recorded(fixture, schema, recorded_field(&schema->fields[k], arena));
		if (all || schema->field_count == 0)
			continue;
		record = recorded_fill(schema, arena);
		json = json_of(schema, record, arena);
		assert_int_equal(codec_encode(schema, record, CODEC_NAMED, &named, NULL), 0);
		assert_int_equal(codec_encode(schema, record, CODEC_TAGGED, &tagged, NULL), 0);
		found(fixture, arena_printf(arena, "fields %s %s", schema->name, recorded_fields(schema, arena)), data);
		found(fixture,
		      arena_printf(arena, "named %s %s %s", schema->name, recorded_hex(buffer_bytes(&named), arena),
				   json),
		      data);
		found(fixture,
		      arena_printf(arena, "tagged %s %s %s", schema->name, recorded_hex(buffer_bytes(&tagged), arena),
				   json),
		      data);
		buffer_free(&named);
		buffer_free(&tagged);
	}
}

static void names_missing(struct fixture *fixture, line_found found, void *data)
{
	struct arena *arena = &fixture->arena;
	const struct enum_schema *values;
	const struct method *method;
	const char *line;

	for (size_t i = 0; (values = enum_schema_at(i)) != NULL; i++) {
		for (size_t k = 0; k < values->count; k++) {
			line = arena_printf(arena, "enum %s %d %s", values->name, values->values[k].number,
					    values->values[k].name);
			if (!is_recorded(fixture, line))
				found(fixture, line, data);
		}
	}
	for (size_t i = 0; (method = method_at((enum method_id)i)) != NULL; i++) {
		line = arena_printf(arena, "method %s %s %s", method->name, method->request()->name,
				    method->reply()->name);
		if (!is_recorded(fixture, line))
			found(fixture, line, data);
	}
}

static void complain(struct fixture *fixture, const char *line, void *data)
{
	(void)fixture;
	(void)data;
	fail_msg("not recorded: run ./dev record, which adds\n  %.200s", line);
}

static void test_recorded(void **state)
{
	names_missing(*state, complain, NULL);
	records_missing(*state, complain, NULL);
}

static void append(struct fixture *fixture, const char *line, void *data)
{
	(void)fixture;
	fprintf(data, "%s\n", line);
}

static void message_append(struct fixture *fixture, struct buffer *message, FILE *file)
{
	struct arena *arena = &fixture->arena;

	fprintf(file, "message %s %s\n", recorded_hex(buffer_bytes(message), arena),
		message_show(buffer_bytes(message), arena));
	buffer_clear(message);
}

static void messages_append(struct fixture *fixture, FILE *file)
{
	struct arena *arena = &fixture->arena;
	struct buffer message = BUFFER_INIT;
	struct error failure;

	error_set(&failure, ERROR_NOT_FOUND, "there is no volume \"db1\"");
	error_hint(&failure, "see dnvme volume list");
	error_detail(&failure, "outcome=none");
	assert_int_equal(rpc_request_encode(7, "volume.get", schema_volume_get_request(),
					    recorded_fill(schema_volume_get_request(), arena), &message, NULL),
			 0);
	message_append(fixture, &message, file);
	assert_int_equal(rpc_response_encode(7, schema_mutation_reply(), recorded_fill(schema_mutation_reply(), arena),
					     &message, NULL),
			 0);
	message_append(fixture, &message, file);
	assert_int_equal(rpc_failure_encode(8, &failure, &message, NULL), 0);
	message_append(fixture, &message, file);
	assert_int_equal(rpc_notification_encode("agent.report", schema_agent_report(),
						 recorded_fill(schema_agent_report(), arena), &message, NULL),
			 0);
	message_append(fixture, &message, file);
	buffer_free(&message);
}

/* Add what is new. */
static void record(void)
{
	FILE *file = fopen(PATH, "a");
	void *state;

	if (file == NULL) {
		perror(PATH);
		exit(1);
	}
	setup(&state);
	names_missing(state, append, file);
	records_missing(state, append, file);
	if (((struct fixture *)state)->count == 0)
		messages_append(state, file);
	teardown(&state);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_enumerations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
		cmocka_unit_test(test_unknown_value),
		cmocka_unit_test_setup_teardown(test_recorded, setup, teardown),
	};

	if (getenv("DNVME_UPDATE_GOLDEN") != NULL)
		record();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
