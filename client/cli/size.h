/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes and durations as people write them. */
#ifndef DNVME_CLIENT_CLI_SIZE_H
#define DNVME_CLIENT_CLI_SIZE_H

#include <stdint.h>

#include "lib/base/error.h"

#define SIZE_TEXT_SIZE 48

/* "4096", "100GiB", "10G" (the same as GiB): a whole number with an IEC suffix. INVALID_ARGUMENT naming `field`. */
int size_parse(const char *field, const char *text, uint64_t *ret_bytes, struct error *error);

/* "100 GiB", "1.5 TiB", "17 B": at most one decimal. */
void size_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE]);

/* "30" or "30s", "500ms", "2m", "1h" in milliseconds, at least 1. INVALID_ARGUMENT naming `field`. */
int duration_parse(const char *field, const char *text, unsigned *ret_ms, struct error *error);

/* A decimal number from `min` to `max`. INVALID_ARGUMENT naming `field`. */
int number_parse(const char *field, const char *text, uint64_t min, uint64_t max, uint64_t *ret_number,
		 struct error *error);

#endif
