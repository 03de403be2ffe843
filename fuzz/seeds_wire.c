/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/seeds.h"
#include "fuzz/sequence.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "raft/entry.h"

/* A record that decodes, as the codec writes it. */
static void valid_make(const struct schema *schema, uint64_t seed, unsigned budget, enum codec_style style,
		       struct buffer *output)
{
	struct shape shape = { .style = CODEC_NAMED, .budget = budget };
	struct buffer bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	void *record = arena_alloc(&arena, schema->size);

	for (unsigned i = 0; i < 100; i++) {
		buffer_clear(&bytes);
		dice_init(&shape.dice, seed * 100 + i);
		shape.budget = budget;
		shape_record(&shape, schema, &bytes);
		if (codec_decode(schema, buffer_bytes(&bytes), &arena, record, NULL) == 0 &&
		    codec_encode(schema, record, style, output, NULL) == 0)
			break;
		FUZZ_REQUIRE(i < 99, "no %s is valid", schema->name);
	}
	buffer_free(&bytes);
	arena_free(&arena);
}

static void request_make(const struct method *method, enum rpc_type type, uint64_t seed, struct buffer *output)
{
	const struct schema *schema = type == RPC_RESPONSE ? method->reply() : method->request();
	struct buffer map = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	void *record = arena_alloc(&arena, schema->size);
	struct error error;

	valid_make(schema, seed, 12, CODEC_NAMED, &map);
	FUZZ_MUST(codec_decode(schema, buffer_bytes(&map), &arena, record, &error), &error);
	if (type == RPC_REQUEST)
		FUZZ_MUST(rpc_request_encode(7, method->name, schema, record, output, &error), &error);
	else if (type == RPC_NOTIFICATION)
		FUZZ_MUST(rpc_notification_encode(method->name, schema, record, output, &error), &error);
	else
		FUZZ_MUST(rpc_response_encode(method->id, schema, record, output, &error), &error);
	buffer_free(&map);
	arena_free(&arena);
}

static void requests(void)
{
	static const char nameless[] = "\x94\x00\x07\xa8node.get\x91\x81\xa4name\xa0";
	const struct method *method;

	for (uint64_t i = 0; (method = method_at((enum method_id)i)) != NULL; i++) {
		struct buffer request = BUFFER_INIT, answer = BUFFER_INIT;

		request_make(method, method->flags & METHOD_NOTIFY ? RPC_NOTIFICATION : RPC_REQUEST, i + 1, &request);
		request_make(method, RPC_RESPONSE, i + 1, &answer);
		seed_write("request", buffer_bytes(&request));
		seed_write("request", buffer_bytes(&answer));
		buffer_free(&request);
		buffer_free(&answer);
	}
	/* The library has no address for an empty text. */
	seed_write("request", (struct bytes){ (const uint8_t *)nameless, sizeof(nameless) - 1 });
}

static void frames(void)
{
	struct error failure = {
		.code = ERROR_NOT_FOUND, .message = "there is no volume \"x\"", .hint = "look", .details = "a\nb"
	};
	struct buffer stream = BUFFER_INIT, two = BUFFER_INIT;
	struct bytes commands[2];
	uint8_t entry[256];

	buffer_append(&stream, "\2", 1);
	for (unsigned i = 0; i < 3; i++)
		request_make(method_at(METHOD_ID_SERVER_INFO), (enum rpc_type)i, 1, &stream);
	rpc_failure_encode(9, &failure, &stream, NULL);
	seed_write("frame", buffer_bytes(&stream));
	/* Every format that a value may have. */
	buffer_clear(&stream);
	buffer_append(&stream,
		      "\0\x9a\xc0\xc2\xcb\1\2\3\4\5\6\7\x08\xd4\1\2\xc7\1\5\7\xd3\1\2\3\4\5\6\7\x08\xda\0\2xy\xc5\0\1z"
		      "\xdc\0\1\1\xde\0\1\1\2",
		      46);
	seed_write("frame", buffer_bytes(&stream));
	valid_make(schema_command(), 5, 0, CODEC_TAGGED, &two);
	commands[0] = (struct bytes){ (const uint8_t *)"abcde", 5 };
	commands[1] = (struct bytes){ two.data, two.size < 100 ? two.size : 100 };
	buffer_clear(&stream);
	buffer_append(&stream, "\7", 1);
	entry_pack(commands, 2, entry);
	buffer_append(&stream, entry, entry_size(2, commands[0].size + commands[1].size));
	seed_write("frame", buffer_bytes(&stream));
	buffer_free(&stream);
	buffer_free(&two);
}

static void records(void)
{
	const struct schema *schema;

	for (uint64_t i = 0; (schema = schema_at(i)) != NULL; i++) {
		struct buffer map = BUFFER_INIT, input = BUFFER_INIT;

		valid_make(schema, i + 1, 24, CODEC_NAMED, &map);
		sequence_append((uint8_t)i, buffer_bytes(&map), &input);
		buffer_clear(&map);
		valid_make(schema, i + 500, 8, CODEC_TAGGED, &map);
		sequence_append((uint8_t)i, buffer_bytes(&map), &input);
		seed_write("record", buffer_bytes(&input));
		buffer_free(&map);
		buffer_free(&input);
	}
}

void seeds_wire(void)
{
	frames();
	requests();
	records();
}
