/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of bytes as it comes from a socket: frames, whatever the pieces; and a Raft entry.
 *
 *   input: a byte that says how large the pieces are, then the stream
 *
 * Pieces of any size give the same frames. What the scanner lets through, the MessagePack library unpacks, and it is as
 * long as the scanner said, and as the codec's own reader finds it. A message that is passed on says the same at the
 * other end.
 */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "lib/base/limits.h"
#include "lib/wire/frame.h"
#include "lib/wire/rpc.h"
#include "lib/wire/value.h"
#include "raft/entry.h"

#define MAX_BYTES 4096u
#define FRAMES_MAX 64u

struct frames {
	size_t count, ends[FRAMES_MAX];
	int result;
};

static struct frames scan(struct bytes stream, size_t piece)
{
	struct frames frames = { 0 };
	struct frame_scanner scanner;
	struct error error;
	size_t at = 0;

	frame_scanner_init(&scanner, MAX_BYTES);
	while (at < stream.size && frames.count < FRAMES_MAX) {
		size_t size = stream.size - at < piece ? stream.size - at : piece, used = 0;
		int complete = 0;

		frames.result = frame_scanner_feed(&scanner, stream.data + at, size, &used, &complete, &error);
		if (frames.result != 0)
			break;
		FUZZ_REQUIRE(used > 0 && used <= size, "%zu of %zu bytes used", used, size);
		FUZZ_REQUIRE(complete || used == size, "bytes are left before the frame's end");
		at += used;
		if (complete)
			frames.ends[frames.count++] = at;
		FUZZ_REQUIRE(frame_scanner_is_partial(&scanner) == !complete, "it forgot what it has seen");
	}
	return frames;
}

static void forwarded_is_same(const struct rpc_message *message)
{
	struct buffer output = BUFFER_INIT, again = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct rpc_message copy;
	struct error error;
	int known;

	if (message->type == RPC_RESPONSE)
		FUZZ_MUST(rpc_response_forward(message->msgid, message->failure, message->result, &output, &error),
			  &error);
	else
		FUZZ_MUST(rpc_request_forward(message->msgid, message->method, message->params, &output, &error),
			  &error);
	FUZZ_MUST(rpc_message_open(buffer_bytes(&output), &arena, &copy, &known, &error), &error);
	if (message->type == RPC_RESPONSE)
		FUZZ_MUST(rpc_response_forward(copy.msgid, copy.failure, copy.result, &again, &error), &error);
	else
		FUZZ_MUST(rpc_request_forward(copy.msgid, copy.method, copy.params, &again, &error), &error);
	FUZZ_REQUIRE(output.size == again.size && memcmp(output.data, again.data, again.size) == 0,
		     "a message changed on its way");
	arena_free(&arena);
	buffer_free(&output);
	buffer_free(&again);
}

static void frame_open(struct bytes frame)
{
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error;
	struct value_reader reader = value_reader_of(frame);
	msgpack_unpacked unpacked;
	size_t offset = 0;
	int known;

	msgpack_unpacked_init(&unpacked);
	FUZZ_REQUIRE(msgpack_unpack_next(&unpacked, (const char *)frame.data, frame.size, &offset) ==
				     MSGPACK_UNPACK_SUCCESS &&
			     offset == frame.size,
		     "the library does not see the frame that the scanner saw: %zu of %zu bytes", offset, frame.size);
	msgpack_unpacked_destroy(&unpacked);
	FUZZ_REQUIRE(value_skip(&reader) == 0 && reader.at == reader.end, "a value ends elsewhere");
	FUZZ_MUST(value_check(frame, &error), &error);
	if (rpc_message_open(frame, &arena, &message, &known, &error) == 0) {
		struct error failure = { 0 };

		forwarded_is_same(&message);
		if (message.type == RPC_RESPONSE)
			FUZZ_REQUIRE((rpc_failure_decode(message.failure, &failure) == 0) ==
					     rpc_failure_is_none(message.failure),
				     "a failure was lost");
	}
	arena_free(&arena);
}

static void entry_open(struct bytes entry)
{
	struct bytes *commands = NULL;
	size_t count = 0, total = 0, size;
	uint8_t *memory;
	struct error error;

	if (entry_unpack(entry, &commands, &count, &error) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		FUZZ_REQUIRE(commands[i].data >= entry.data &&
				     commands[i].size <= (size_t)(entry.data + entry.size - commands[i].data),
			     "command %zu lies outside of its entry", i);
		total += commands[i].size;
	}
	size = entry_size(count, total);
	memory = malloc(size);
	FUZZ_REQUIRE(memory != NULL && size <= entry.size, "an entry grew from %zu to %zu bytes", entry.size, size);
	entry_pack(commands, count, memory);
	free(commands);
	FUZZ_MUST(entry_unpack((struct bytes){ memory, size }, &commands, &size, &error), &error);
	FUZZ_REQUIRE(size == count, "an entry lost commands");
	free(commands);
	free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes stream = { data + 1, size - 1 };
	struct frames whole, pieces;
	size_t start = 0;

	if (size < 2)
		return 0;
	whole = scan(stream, stream.size);
	pieces = scan(stream, 1 + data[0]);
	FUZZ_REQUIRE(whole.result == pieces.result && whole.count == pieces.count &&
			     memcmp(whole.ends, pieces.ends, sizeof(whole.ends)) == 0,
		     "pieces of %u bytes give other frames", 1 + data[0]);
	for (size_t i = 0; i < whole.count; i++) {
		frame_open((struct bytes){ data + 1 + start, whole.ends[i] - start });
		start = whole.ends[i];
	}
	entry_open(stream);
	return 0;
}
