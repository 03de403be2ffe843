/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/size.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char letters[] = "KMGTPE";

/* Reads digits; *ret_rest is what follows. Returns false when there are none or they overflow. */
static bool digits_parse(const char *text, uint64_t *ret_number, const char **ret_rest, bool *ret_overflow)
{
	uint64_t number = 0;
	const char *at = text;

	*ret_overflow = false;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			*ret_overflow = true;
	}
	*ret_number = number;
	*ret_rest = at;
	return at != text;
}

/* Bits to shift for a suffix; -1 when it is none. */
static int suffix_shift(const char *suffix)
{
	const char *letter;
	int upper;

	if (*suffix == '\0' || strcasecmp(suffix, "B") == 0)
		return 0;
	upper = *suffix >= 'a' && *suffix <= 'z' ? *suffix - 'a' + 'A' : *suffix;
	letter = strchr(letters, upper);
	if (letter == NULL || (suffix[1] != '\0' && strcasecmp(suffix + 1, "iB") != 0))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

static int size_refuse(const char *field, const char *text, const char *why, const char *hint, struct error *error)
{
	error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%.64s\" %s", field, text, why);
	error_hint(error, "%s", hint);
	return ERROR_INVALID_ARGUMENT;
}

int size_parse(const char *field, const char *text, uint64_t *ret_bytes, struct error *error)
{
	static const char hint[] = "write a whole number with KiB, MiB, GiB, TiB, PiB or EiB, for example 100GiB";
	uint64_t number, bytes;
	const char *rest;
	bool overflow;
	int shift;

	if (*text == '-')
		return size_refuse(field, text, "is negative", hint, error);
	if (!digits_parse(text, &number, &rest, &overflow))
		return size_refuse(field, text, "does not begin with a number", hint, error);
	if (*rest == '.' || *rest == ',')
		return size_refuse(field, text, "has a fraction",
				   "write a whole number of a smaller unit: 1536MiB instead of 1.5GiB", error);
	while (*rest == ' ')
		rest++;
	shift = suffix_shift(rest);
	if (shift < 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%.64s\": there is no unit \"%.16s\"", field, text, rest);
		error_hint(error, "%s", hint);
		return ERROR_INVALID_ARGUMENT;
	}
	if (overflow || __builtin_mul_overflow(number, UINT64_C(1) << shift, &bytes))
		return size_refuse(field, text, "does not fit into 64 bits: it must be less than 16EiB", hint, error);
	if (bytes == 0)
		return size_refuse(field, text, "is zero", hint, error);
	*ret_bytes = bytes;
	return 0;
}

void size_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE])
{
	unsigned unit = 0;
	uint64_t whole, tenths;

	while (unit < 6 && bytes >> (10 * (unit + 1)) != 0)
		unit++;
	if (unit == 0) {
		snprintf(ret_text, SIZE_TEXT_SIZE, "%" PRIu64 " B", bytes);
		return;
	}
	whole = bytes >> (10 * unit);
	/* The remainder has at most 60 bits, so that ten times it would overflow for EiB: drop bits that do not count.
	 */
	tenths = (((bytes & ((UINT64_C(1) << (10 * unit)) - 1)) >> (10 * (unit - 1))) * 10 + 512) >> 10;
	if (tenths == 10) {
		whole++;
		tenths = 0;
	}
	if (tenths == 0)
		snprintf(ret_text, SIZE_TEXT_SIZE, "%" PRIu64 " %ciB", whole, letters[unit - 1]);
	else
		snprintf(ret_text, SIZE_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %ciB", whole, tenths, letters[unit - 1]);
}

int duration_parse(const char *field, const char *text, unsigned *ret_ms, struct error *error)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "min", 60000 }, { "h", 3600000 } };
	static const char hint[] = "write for example 30s, 500ms or 2m";
	uint64_t number, ms;
	const char *rest;
	bool overflow;

	if (!digits_parse(text, &number, &rest, &overflow))
		return size_refuse(field, text, "does not begin with a number", hint, error);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].suffix) != 0)
			continue;
		if (overflow || __builtin_mul_overflow(number, units[i].ms, &ms) || ms > 24 * UINT64_C(3600000))
			return size_refuse(field, text, "is more than a day", hint, error);
		if (ms == 0)
			return size_refuse(field, text, "is zero", hint, error);
		*ret_ms = (unsigned)ms;
		return 0;
	}
	return size_refuse(field, text, "has no known unit", hint, error);
}

int number_parse(const char *field, const char *text, uint64_t min, uint64_t max, uint64_t *ret_number,
		 struct error *error)
{
	uint64_t number;
	const char *rest;
	bool overflow;

	if (!digits_parse(text, &number, &rest, &overflow) || *rest != '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%.64s\" is not a number", field, text);
	if (overflow || number < min || number > max)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s %.64s is not from %" PRIu64 " to %" PRIu64, field,
				 text, min, max);
	*ret_number = number;
	return 0;
}
