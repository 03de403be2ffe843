/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words of device-mapper tables and states, and the numbers in them. Each pass of the agent reads all tables a few
 * times, so these do without the C library's functions, which are made for more.
 */
#ifndef DNVME_AGENT_WORD_H
#define DNVME_AGENT_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_DEVICE_SIZE 48

/* The next word of a text whose words stand apart by blanks, and its length; 0 at the end. Moves *text behind it. */
static inline size_t word_next(const char **text, const char **ret_word)
{
	const char *at = *text, *word;

	while (*at == ' ')
		at++;
	word = at;
	while (*at != ' ' && *at != '\0')
		at++;
	*text = at;
	*ret_word = word;
	return (size_t)(at - word);
}

/* Digits only, and no more than fit. */
static inline bool word_number(const char *word, size_t length, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < length; i++) {
		if (word[i] < '0' || word[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(word[i] - '0'), &number))
			return false;
	}
	*ret_number = number;
	return length > 0;
}

/* "MAJOR:MINOR". */
static inline bool word_device(const char *word, size_t length, uint64_t *ret_major, uint64_t *ret_minor)
{
	size_t colon = 0;

	while (colon < length && word[colon] != ':')
		colon++;
	return colon < length && word_number(word, colon, ret_major) &&
	       word_number(word + colon + 1, length - colon - 1, ret_minor);
}

/* "MAJOR:MINOR" into `ret_text`, which has room for WORD_DEVICE_SIZE. Returns its length. */
static inline size_t word_device_format(uint64_t major, uint64_t minor, char *ret_text)
{
	char digits[WORD_DEVICE_SIZE], *at = digits + sizeof(digits);
	size_t length;

	*--at = '\0';
	do
		*--at = (char)('0' + minor % 10);
	while ((minor /= 10) > 0);
	*--at = ':';
	do
		*--at = (char)('0' + major % 10);
	while ((major /= 10) > 0);
	length = (size_t)(digits + sizeof(digits) - 1 - at);
	memcpy(ret_text, at, length + 1);
	return length;
}

#endif
