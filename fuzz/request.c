/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every request and every answer, as MessagePack-RPC.
 *
 *   input: one frame
 *
 * The parameters of a method that there is are taken there and back. An answer's result is decoded as that of the
 * method whose number is its msgid, an error as an error.
 */
#include <msgpack.h>
#include <string.h>

#include "fuzz/round.h"
#include "fuzz/shape.h"
#include "lib/wire/frame.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "src/strict.h"

#define WILD 24u
#define BUDGET 64u

static const struct method *method_of(const struct rpc_message *message)
{
	return message->type == RPC_RESPONSE ? method_at((enum method_id)(message->msgid % METHOD_ID_COUNT))
					     : method_find(message->method);
}

static bool is_frame(struct bytes frame)
{
	struct frame_scanner scanner;
	size_t used = 0;
	int complete = 0;

	frame_scanner_init(&scanner, LIMIT_FRAME_CLIENT_BYTES);
	return frame.size > 0 && frame_scanner_feed(&scanner, frame.data, frame.size, &used, &complete, NULL) == 0 &&
	       complete && used == frame.size;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static void message_pack(enum rpc_type type, uint32_t msgid, const struct method *method, struct bytes map,
			 struct buffer *output)
{
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	msgpack_pack_array(&packer, type == RPC_NOTIFICATION ? 3 : 4);
	msgpack_pack_int(&packer, type);
	if (type == RPC_RESPONSE) {
		msgpack_pack_uint32(&packer, method->id);
		msgpack_pack_nil(&packer);
	} else {
		if (type == RPC_REQUEST)
			msgpack_pack_uint32(&packer, msgid);
		msgpack_pack_str(&packer, strlen(method->name));
		msgpack_pack_str_body(&packer, method->name, strlen(method->name));
		msgpack_pack_array(&packer, 1);
	}
	buffer_append(output, map.data, map.size);
}

static void message_make(struct shape *shape, struct buffer *output)
{
	const struct method *method = method_at((enum method_id)dice_roll(&shape->dice, METHOD_ID_COUNT));
	enum rpc_type type = (enum rpc_type)dice_roll(&shape->dice, 3);
	struct buffer map = BUFFER_INIT;

	shape_record(shape, type == RPC_RESPONSE ? method->reply() : method->request(), &map);
	message_pack(type, (uint32_t)dice_roll(&shape->dice, 1000), method, buffer_bytes(&map), output);
	buffer_free(&map);
}

/* false when it is no message of a method. */
static bool message_change(struct shape *shape, struct bytes frame, struct buffer *output)
{
	struct buffer map = BUFFER_INIT, changed = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	const struct method *method;
	int known;
	bool done;

	if (!is_frame(frame) || rpc_message_open(frame, &arena, &message, &known, NULL) != 0) {
		arena_free(&arena);
		return false;
	}
	method = method_of(&message);
	if (method != NULL)
		buffer_append(&map, message.type == RPC_RESPONSE ? message.result.data : message.params.data,
			      message.type == RPC_RESPONSE ? message.result.size : message.params.size);
	done = method != NULL && shape_mutate(shape, message.type == RPC_RESPONSE ? method->reply() : method->request(),
					      buffer_bytes(&map), &changed);
	if (done)
		message_pack(message.type, message.msgid, method, buffer_bytes(&changed), output);
	buffer_free(&map);
	buffer_free(&changed);
	arena_free(&arena);
	return done;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct shape shape = { .style = CODEC_NAMED, .wild = WILD, .budget = BUDGET };
	struct buffer made = BUFFER_INIT;
	size_t given;

	dice_init(&shape.dice, seed);
	if (dice_once_in(&shape.dice, 5))
		return LLVMFuzzerMutate(data, size, max_size);
	if (dice_once_in(&shape.dice, 8) || !message_change(&shape, (struct bytes){ data, size }, &made))
		message_make(&shape, &made);
	given = fuzz_give(&made, data, max_size);
	buffer_free(&made);
	return given > 0 ? given : LLVMFuzzerMutate(data, size, max_size);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static void record_take(const struct schema *schema, struct bytes value, struct arena *arena)
{
	void *record = arena_alloc(arena, schema->size);
	struct error error;

	FUZZ_REQUIRE(record != NULL, "no memory");
	error_clear(&error);
	if (codec_decode_value(schema, value, arena, record, &error) == 0)
		round_trip(schema, record);
	else
		FUZZ_REQUIRE(error.message[0] != '\0', "%s was refused without a word", schema->name);
}

/* What a server answers to a message that it does not take, its client understands. */
static void refusal_take(uint32_t msgid, const struct error *failure)
{
	struct buffer answer = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error, told = { 0 };
	int known;

	FUZZ_MUST(rpc_failure_encode(msgid, failure, &answer, &error), &error);
	FUZZ_MUST(rpc_message_open(buffer_bytes(&answer), &arena, &message, &known, &error), &error);
	FUZZ_REQUIRE(rpc_failure_decode(message.failure, &told) == (int)failure->code, "\"%s\" became \"%s\"",
		     failure->message, told.message);
	arena_free(&arena);
	buffer_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes frame = { data, size };
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	const struct method *method;
	struct error error;
	int known;

	if (!is_frame(frame))
		return 0;
	message.msgid = 0;
	if (rpc_message_open(frame, &arena, &message, &known, &error) != 0) {
		refusal_take(message.msgid, &error);
		arena_free(&arena);
		return 0;
	}
	method = method_of(&message);
	if (message.type == RPC_RESPONSE) {
		rpc_failure_decode(message.failure, &error);
		record_take(method->reply(), message.result, &arena);
	} else if (method != NULL) {
		/* A server tells a client about fields that it skips. */
		if (strict_check(method->request(), message.params, &error) != 0)
			refusal_take(message.msgid, &error);
		record_take(method->request(), message.params, &arena);
	}
	arena_free(&arena);
	return 0;
}
