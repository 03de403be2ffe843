/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share: one libFuzzer program for each input of dnvme.
 *
 * A target decodes what it is given and holds what came of it to more than "it does not crash": FUZZ_REQUIRE() ends the
 * program, as a sanitizer does, and libFuzzer keeps the input.
 */
#ifndef DNVME_FUZZ_FUZZ_H
#define DNVME_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

/* What libFuzzer calls, and gives. */
int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define FUZZ_REQUIRE(condition, ...) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, __VA_ARGS__))
void fuzz_fail(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));

/* A call that must succeed. */
#define FUZZ_MUST(call, error)                                                                                         \
	do {                                                                                                           \
		(error)->message[0] = '\0';                                                                            \
		if ((call) != 0)                                                                                       \
			fuzz_fail(__FILE__, __LINE__, #call ": %s\n%s", (error)->message, (error)->details);           \
	} while (0)

/* A number from a seed: the same seed gives the same numbers. */
struct dice {
	uint64_t state;
};

void dice_init(struct dice *dice, uint64_t seed);
uint64_t dice_roll(struct dice *dice, uint64_t sides); /* 0 to sides - 1; 0 when there are none */
static inline bool dice_once_in(struct dice *dice, uint64_t sides)
{
	return dice_roll(dice, sides) == 0;
}

/* A new directory below $TMPDIR (or /tmp), which goes when the program ends. */
void fuzz_directory(const char *name, char *ret_path, size_t size);

/* Put `data` into a file; the path is of a file without a name. */
struct fuzz_file {
	int fd;
	char path[32];
};
void fuzz_file_write(struct fuzz_file *file, struct bytes data);

/* Copy what was made into libFuzzer's memory; 0 when it does not fit. */
size_t fuzz_give(const struct buffer *made, uint8_t *data, size_t max_size);

#endif
