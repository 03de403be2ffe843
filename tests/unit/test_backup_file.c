/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of a backup: what was written is read, and whatever happened to it since is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/backup/backup_file.h"
#include "lib/base/limits.h"

#define PIECE_BYTES 40u
#define PIECES 3u
#define STATE_BYTES (PIECE_BYTES * PIECES)

static const struct backup present = { .cluster = "0123456789abcdef",
				       .name = "rack",
				       .revision = 57,
				       .index = 99,
				       .term = 3,
				       .time_ms = 1700000000000,
				       .state_bytes = STATE_BYTES,
				       .server = 2,
				       .version = "0.1.0" };

static uint8_t state_bytes[STATE_BYTES];

static void state_fill(void)
{
	for (size_t i = 0; i < sizeof(state_bytes); i++)
		state_bytes[i] = (uint8_t)(i * 7 + 1);
}

/* Where each piece begins, in ret_starts (PIECES + 1, the end included). */
static void encode(struct buffer *file, size_t *ret_starts)
{
	struct backup_encoder encoder;
	struct error error;

	state_fill();
	assert_int_equal(backup_encode_begin(&encoder, &present, file, &error), 0);
	for (size_t i = 0; i < PIECES; i++) {
		ret_starts[i] = file->size;
		assert_int_equal(backup_encode_piece(&encoder,
						     (struct bytes){ state_bytes + i * PIECE_BYTES, PIECE_BYTES }, file,
						     &error),
				 0);
	}
	ret_starts[PIECES] = file->size;
	assert_int_equal(backup_encode_end(&encoder, file, &error), 0);
	backup_encode_close(&encoder);
	backup_encode_close(&encoder);
}

static int decode(struct bytes file, struct buffer *state, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct backup backup;
	int rv;

	error_clear(error);
	rv = backup_decode(file, &arena, &backup, state, error);
	if (rv == 0) {
		assert_string_equal(backup.cluster, present.cluster);
		assert_string_equal(backup.name, present.name);
		assert_string_equal(backup.version, present.version);
		assert_int_equal(backup.revision, present.revision);
		assert_int_equal(backup.index, present.index);
		assert_int_equal(backup.term, present.term);
		assert_int_equal(backup.state_bytes, present.state_bytes);
	}
	arena_free(&arena);
	return rv;
}

static void must_refuse(struct bytes file, const char *what, size_t at)
{
	struct buffer state = BUFFER_INIT;
	struct error error;
	int rv;

	assert_int_equal(buffer_append(&state, "kept", 4), 0);
	rv = decode(file, &state, &error);
	if (rv != ERROR_FAILED_PRECONDITION || error.message[0] == '\0')
		fail_msg("%s %zu: %d \"%s\"", what, at, rv, error.message);
	assert_int_equal(state.size, 4);
	buffer_free(&state);
}

static void test_whole(void **unused)
{
	struct buffer file = BUFFER_INIT, state = BUFFER_INIT;
	size_t starts[PIECES + 1];
	struct error error;

	(void)unused;
	encode(&file, starts);
	assert_int_equal(decode(buffer_bytes(&file), &state, &error), 0);
	assert_int_equal(state.size, STATE_BYTES);
	assert_memory_equal(state.data, state_bytes, STATE_BYTES);
	assert_int_equal(decode(buffer_bytes(&file), NULL, &error), 0);
	buffer_free(&state);
	buffer_free(&file);
}

static void test_flipped(void **unused)
{
	struct buffer file = BUFFER_INIT;
	size_t starts[PIECES + 1];

	(void)unused;
	encode(&file, starts);
	for (size_t bit = 0; bit < file.size * 8; bit++) {
		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		must_refuse(buffer_bytes(&file), "bit", bit);
		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buffer_free(&file);
}

static void test_cut(void **unused)
{
	struct buffer file = BUFFER_INIT;
	size_t starts[PIECES + 1];

	(void)unused;
	encode(&file, starts);
	for (size_t size = 0; size < file.size; size++) {
		/* On its own, so that a read behind its end is noticed where memory is watched. */
		uint8_t *copy = malloc(size > 0 ? size : 1);

		assert_non_null(copy);
		memcpy(copy, file.data, size);
		must_refuse((struct bytes){ copy, size }, "size", size);
		free(copy);
	}
	assert_int_equal(buffer_append(&file, "", 1), 0);
	must_refuse(buffer_bytes(&file), "longer", file.size);
	buffer_free(&file);
}

/* Whole pieces that are elsewhere, twice, or missing; the checksum of the whole alone would be made right easily. */
static void test_pieces_moved(void **unused)
{
	static const size_t orders[][PIECES] = { { 1, 0, 2 }, { 0, 2, 1 }, { 0, 0, 2 }, { 0, 1, 1 }, { 2, 1, 0 } };
	struct buffer file = BUFFER_INIT, other = BUFFER_INIT;
	size_t starts[PIECES + 1], piece;
	struct error error;

	(void)unused;
	encode(&file, starts);
	piece = starts[1] - starts[0];
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		buffer_clear(&other);
		buffer_append(&other, file.data, starts[0]);
		for (size_t j = 0; j < PIECES; j++)
			buffer_append(&other, file.data + starts[orders[i][j]], piece);
		buffer_append(&other, file.data + starts[PIECES], file.size - starts[PIECES]);
		assert_int_equal(decode(buffer_bytes(&other), NULL, &error), ERROR_FAILED_PRECONDITION);
		assert_non_null(strstr(error.message, "the checksum of a piece does not match"));
	}
	/* One that is missing at the end. */
	buffer_clear(&other);
	buffer_append(&other, file.data, starts[PIECES - 1]);
	buffer_append(&other, file.data + starts[PIECES], file.size - starts[PIECES]);
	assert_int_equal(decode(buffer_bytes(&other), NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "the checksum of the whole does not match"));
	buffer_free(&other);
	buffer_free(&file);
}

static void test_words(void **unused)
{
	struct buffer file = BUFFER_INIT;
	size_t starts[PIECES + 1];
	struct error error;

	(void)unused;
	encode(&file, starts);
	file.data[8] = 2;
	assert_int_equal(decode(buffer_bytes(&file), NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "format version 2, this program knows version 1"));
	file.data[8] = 1;
	file.data[20] ^= 1;
	assert_int_equal(decode(buffer_bytes(&file), NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "the checksum of its header does not match"));
	file.data[20] ^= 1;
	file.data[starts[1] + 10] ^= 1;
	assert_int_equal(decode(buffer_bytes(&file), NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "the checksum of a piece does not match"));
	assert_int_equal(decode((struct bytes){ (const uint8_t *)"#!/bin/sh -- a script", 21 }, NULL, &error),
			 ERROR_FAILED_PRECONDITION);
	assert_string_equal(error.message, "this is not a backup of dnvme");
	assert_int_equal(decode((struct bytes){ NULL, 0 }, NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_string_equal(error.message, "this is not a backup of dnvme");
	buffer_free(&file);
}

static void test_refused_to_write(void **unused)
{
	static const uint8_t large[LIMIT_BACKUP_PIECE_BYTES + 1];
	struct buffer file = BUFFER_INIT;
	struct backup_encoder encoder;
	struct backup wrong = present;
	struct error error;

	(void)unused;
	assert_int_equal(backup_encode_begin(&encoder, &present, &file, &error), 0);
	assert_int_equal(backup_encode_piece(&encoder, (struct bytes){ large, 0 }, &file, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(backup_encode_piece(&encoder, (struct bytes){ large, sizeof(large) }, &file, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(backup_encode_piece(&encoder, (struct bytes){ large, 1 }, &file, &error), 0);
	assert_int_equal(backup_encode_end(&encoder, &file, &error), ERROR_INVALID_ARGUMENT);
	backup_encode_close(&encoder);
	wrong.state_bytes = 0;
	assert_int_equal(backup_encode_begin(&encoder, &wrong, &file, &error), ERROR_INVALID_ARGUMENT);
	backup_encode_close(&encoder);
	buffer_free(&file);
}

static void test_file(void **unused)
{
	char path[] = "/tmp/dnvme-backup-XXXXXX";
	struct buffer file = BUFFER_INIT, state = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	size_t starts[PIECES + 1];
	struct backup backup;
	struct error error;
	int fd = mkstemp(path);

	(void)unused;
	assert_true(fd >= 0);
	encode(&file, starts);
	assert_int_equal(write(fd, file.data, file.size), (ssize_t)file.size);
	assert_int_equal(backup_file_read(path, &arena, &backup, &state, &error), 0);
	assert_int_equal(state.size, STATE_BYTES);
	assert_int_equal(ftruncate(fd, (off_t)file.size - 1), 0);
	assert_int_equal(backup_file_read(path, &arena, &backup, NULL, &error), ERROR_FAILED_PRECONDITION);
	assert_int_equal(strncmp(error.message, path, strlen(path)), 0);
	assert_int_equal(ftruncate(fd, (off_t)LIMIT_BACKUP_FILE_BYTES + 1), 0);
	assert_int_equal(backup_file_read(path, &arena, &backup, NULL, &error), ERROR_TOO_LARGE);
	close(fd);
	unlink(path);
	assert_int_equal(backup_file_read(path, &arena, &backup, NULL, &error), ERROR_NOT_FOUND);
	assert_int_equal(backup_file_read("/tmp", &arena, &backup, NULL, &error), ERROR_FAILED_PRECONDITION);
	arena_free(&arena);
	buffer_free(&state);
	buffer_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_cut),   cmocka_unit_test(test_pieces_moved),
		cmocka_unit_test(test_words), cmocka_unit_test(test_refused_to_write),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
