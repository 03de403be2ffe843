/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a backup.
 *
 *   input: a file, as it is; and the same with its checksums made right, as they keep nobody out
 *
 * It is refused with a sentence, and leaves nothing; or read. What was read and is written again is the same, and once
 * more it is the same bytes. One of these with a byte changed, without its end, or with something behind it is refused.
 */
#include <string.h>
#include <xxhash.h>

#include "fuzz/shape.h"
#include "lib/backup/backup_file.h"
#include "lib/base/limits.h"

#define BEGIN_BYTES 16u
#define FRAME_BYTES 8u
#define HASH_BYTES 8u
#define END_BYTES 16u
#define PIECES_MAX 64u
#define WILD 16u
#define BUDGET 16u

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

/* A file as far as it can be made out. */
struct parts {
	struct bytes record, pieces[PIECES_MAX];
	size_t count;
	bool complete; /* up to the end */
};

/* How many bytes come next, of `before` bytes that say so and `after` behind them; false: there are not so many. */
static bool part_next(struct bytes file, size_t *at, size_t before, size_t after, struct bytes *ret_part)
{
	size_t left = file.size - *at, size;

	if (left < before)
		return false;
	size = get32(file.data + *at + (before == BEGIN_BYTES ? before - 4 : 0));
	if (left - before < size || left - before - size < after)
		return false;
	*ret_part = (struct bytes){ file.data + *at + before, size };
	*at += before + size;
	return true;
}

static bool parts_read(struct bytes file, struct parts *ret_parts)
{
	struct bytes piece;
	size_t at = 0;

	*ret_parts = (struct parts){ 0 };
	if (!part_next(file, &at, BEGIN_BYTES, HASH_BYTES, &ret_parts->record))
		return false;
	at += HASH_BYTES;
	while (ret_parts->count < PIECES_MAX && part_next(file, &at, FRAME_BYTES, HASH_BYTES, &piece)) {
		ret_parts->complete = piece.size == 0;
		if (piece.size == 0)
			break;
		ret_parts->pieces[ret_parts->count++] = piece;
		at += HASH_BYTES;
	}
	return true;
}

static void hash64_put(uint8_t *output, const uint8_t *data, size_t size, uint64_t seed)
{
	XXH64_canonical_t canonical;

	XXH64_canonicalFromHash(&canonical, XXH3_64bits_withSeed(data, size, seed));
	memcpy(output, canonical.digest, HASH_BYTES);
}

/* Checksums of what can be made out. */
static void checksums_make(struct buffer *file)
{
	struct bytes whole = buffer_bytes(file), part;
	XXH128_canonical_t canonical;
	size_t at = 0, start;

	if (!part_next(whole, &at, BEGIN_BYTES, HASH_BYTES, &part))
		return;
	hash64_put(file->data + at, file->data, at, 0);
	at += HASH_BYTES;
	for (uint64_t i = 0; start = at, part_next(whole, &at, FRAME_BYTES, HASH_BYTES, &part) && part.size > 0; i++) {
		hash64_put(file->data + at, file->data + start, at - start, i);
		at += HASH_BYTES;
	}
	if (at - start != FRAME_BYTES || whole.size - at < END_BYTES)
		return;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(file->data, at));
	memcpy(file->data + at, canonical.digest, END_BYTES);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static void part_add(struct buffer *output, struct bytes part)
{
	uint8_t frame[FRAME_BYTES] = { 0 };

	put32(frame, (uint32_t)part.size);
	buffer_append(output, frame, sizeof(frame));
	buffer_append(output, part.data, part.size);
	memset(frame, 0, sizeof(frame));
	buffer_append(output, frame, HASH_BYTES);
}

static void parts_write(const struct parts *parts, struct buffer *output)
{
	static const uint8_t end[FRAME_BYTES + END_BYTES];
	uint8_t size[4], hash[HASH_BYTES] = { 0 };

	buffer_append(output, "DNVMBAK\n\1\0\0\0", 12);
	put32(size, (uint32_t)parts->record.size);
	buffer_append(output, size, sizeof(size));
	buffer_append(output, parts->record.data, parts->record.size);
	buffer_append(output, hash, sizeof(hash));
	for (size_t i = 0; i < parts->count; i++)
		part_add(output, parts->pieces[i]);
	buffer_append(output, end, sizeof(end));
	checksums_make(output);
}

/* The record again, with the size that the pieces have. */
static void size_make_right(const struct parts *parts, struct buffer *record)
{
	struct arena arena = ARENA_INIT;
	struct backup backup;

	if (codec_decode(schema_backup(), buffer_bytes(record), &arena, &backup, NULL) == 0) {
		backup.state_bytes = 0;
		for (size_t i = 0; i < parts->count; i++)
			backup.state_bytes += parts->pieces[i].size;
		buffer_clear(record);
		codec_encode(schema_backup(), &backup, CODEC_TAGGED, record, NULL);
	}
	arena_free(&arena);
}

/* A piece goes, comes twice, becomes shorter, or changes places. */
static void piece_change(struct dice *dice, struct parts *parts)
{
	size_t at = dice_roll(dice, parts->count), other = dice_roll(dice, parts->count);
	struct bytes *pieces = parts->pieces, piece;

	if (parts->count == 0)
		return;
	piece = pieces[at];
	switch (dice_roll(dice, 4)) {
	case 0:
		memmove(&pieces[at], &pieces[at + 1], (--parts->count - at) * sizeof(pieces[0]));
		break;
	case 1:
		if (parts->count < PIECES_MAX)
			pieces[parts->count++] = piece;
		break;
	case 2:
		pieces[at].size = dice_roll(dice, piece.size + 1);
		break;
	default:
		pieces[at] = pieces[other];
		pieces[other] = piece;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct shape shape = { .style = CODEC_TAGGED, .wild = WILD, .budget = BUDGET };
	struct buffer made = BUFFER_INIT, record = BUFFER_INIT;
	struct parts parts;
	size_t given;

	dice_init(&shape.dice, seed);
	if (dice_once_in(&shape.dice, 3) || !parts_read((struct bytes){ data, size }, &parts))
		return LLVMFuzzerMutate(data, size, max_size);
	if (dice_roll(&shape.dice, 2))
		piece_change(&shape.dice, &parts);
	else if (!shape_mutate(&shape, schema_backup(), parts.record, &record))
		shape_record(&shape, schema_backup(), &record);
	if (record.size == 0)
		buffer_append(&record, parts.record.data, parts.record.size);
	if (dice_roll(&shape.dice, 4))
		size_make_right(&parts, &record);
	parts.record = buffer_bytes(&record);
	parts_write(&parts, &made);
	given = fuzz_give(&made, data, max_size);
	buffer_free(&made);
	buffer_free(&record);
	return given > 0 ? given : LLVMFuzzerMutate(data, size, max_size);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static const struct bytes nothing = { (const uint8_t *)"before", 6 };

/* Read it, or have it refused; false. What is in `state` already stays. */
static bool read(struct bytes file, struct arena *arena, struct backup *ret_backup, struct buffer *state)
{
	struct backup checked;
	struct error error;
	int rv, alone;

	error_clear(&error);
	alone = backup_decode(file, arena, &checked, NULL, NULL);
	buffer_append(state, nothing.data, nothing.size);
	rv = backup_decode(file, arena, ret_backup, state, &error);
	FUZZ_REQUIRE((rv == 0) == (alone == 0),
		     "a file is good only where its state is not wanted, or only where it is");
	FUZZ_REQUIRE(state->size >= nothing.size && memcmp(state->data, nothing.data, nothing.size) == 0,
		     "what was in the buffer before is lost");
	if (rv == 0) {
		FUZZ_REQUIRE(state->size - nothing.size == ret_backup->state_bytes, "the state has another size");
		return true;
	}
	FUZZ_REQUIRE(rv == ERROR_FAILED_PRECONDITION && (int)error.code == rv && error.message[0] != '\0',
		     "it was refused as %s: %s", error_code_name((enum error_code)rv), error.message);
	FUZZ_REQUIRE(state->size == nothing.size, "a file that was refused left something");
	return false;
}

static void write_again(const struct backup *backup, struct bytes file, struct buffer *output)
{
	struct backup_encoder encoder;
	struct parts parts;
	struct error error;

	FUZZ_REQUIRE(parts_read(file, &parts), "it was read, and cannot be made out");
	FUZZ_MUST(backup_encode_begin(&encoder, backup, output, &error), &error);
	for (size_t i = 0; i < parts.count; i++)
		FUZZ_MUST(backup_encode_piece(&encoder, parts.pieces[i], output, &error), &error);
	/* Of more pieces than are made out the rest would be missing. */
	if (parts.complete)
		FUZZ_MUST(backup_encode_end(&encoder, output, &error), &error);
	else
		buffer_clear(output);
	backup_encode_close(&encoder);
}

static void must_be_refused(struct bytes file, const char *why)
{
	struct arena arena = ARENA_INIT;
	struct backup backup;

	FUZZ_REQUIRE(backup_decode(file, &arena, &backup, NULL, NULL) != 0, "a file is taken %s", why);
	arena_free(&arena);
}

/* `at`: where. */
static void damage(struct buffer *file, size_t at)
{
	size_t size = file->size;

	file->data[at] ^= 0x10;
	must_be_refused(buffer_bytes(file), "that has another byte in it");
	file->data[at] ^= 0x10;
	file->size = at;
	must_be_refused(buffer_bytes(file), "that was cut");
	file->size = size;
	buffer_append(file, "x", 1);
	must_be_refused(buffer_bytes(file), "with something behind it");
	file->size = size;
}

static void take(struct bytes file)
{
	struct buffer state = BUFFER_INIT, same = BUFFER_INIT, second = BUFFER_INIT, third = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct backup backup, again;

	if (read(file, &arena, &backup, &state)) {
		write_again(&backup, file, &second);
		if (second.size > 0) {
			FUZZ_REQUIRE(read(buffer_bytes(&second), &arena, &again, &same), "what was written is refused");
			FUZZ_REQUIRE(same.size == state.size && memcmp(same.data, state.data, state.size) == 0,
				     "another state was written");
			write_again(&again, buffer_bytes(&second), &third);
			FUZZ_REQUIRE(third.size == second.size && memcmp(third.data, second.data, third.size) == 0,
				     "what was read is written as something else");
			damage(&second, backup.revision % second.size);
		}
	}
	buffer_free(&state);
	buffer_free(&same);
	buffer_free(&second);
	buffer_free(&third);
	arena_free(&arena);
}

/* The same of a file on disk. */
static void file_take(struct bytes data)
{
	static struct fuzz_file file;
	struct buffer state = BUFFER_INIT, wanted = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct backup backup;
	int rv;

	fuzz_file_write(&file, data);
	rv = backup_file_read(file.path, &arena, &backup, &state, NULL);
	FUZZ_REQUIRE((rv == 0) == (backup_decode(data, &arena, &backup, &wanted, NULL) == 0) &&
			     state.size == wanted.size &&
			     (state.size == 0 || memcmp(state.data, wanted.data, state.size) == 0),
		     "a file on disk says something else");
	buffer_free(&state);
	buffer_free(&wanted);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer file = BUFFER_INIT;

	FUZZ_REQUIRE(buffer_append(&file, data, size) == 0, "no memory");
	take(buffer_bytes(&file));
	checksums_make(&file);
	take(buffer_bytes(&file));
	file_take(buffer_bytes(&file));
	buffer_free(&file);
	return 0;
}
