/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eight characters looked at together. */
#ifndef DNVME_LIB_BASE_ASCII_H
#define DNVME_LIB_BASE_ASCII_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ASCII_WORD_BYTES sizeof(uint64_t)
#define ASCII_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t ascii_word(const char *text)
{
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return word;
}

static inline bool ascii_is_plain(uint64_t word) /* no byte is above 0x7f */
{
	return (word & ASCII_EACH(0x80)) == 0;
}

/* Of plain ones: bit 7 of each byte that is from `low` to `high`, both at most 0x7e. To a byte below 0x80 is added what
 * makes it 0x80 from the bound on, so that nothing carries over into the next one. */
static inline uint64_t ascii_between(uint64_t word, uint8_t low, uint8_t high)
{
	return (word + ASCII_EACH(0x80u - low)) & ~(word + ASCII_EACH(0x7fu - high)) & ASCII_EACH(0x80);
}

static inline bool ascii_is_all(uint64_t bits)
{
	return bits == ASCII_EACH(0x80);
}

#endif
