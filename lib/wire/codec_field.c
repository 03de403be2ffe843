/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/codec_field.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/ascii.h"
#include "lib/base/canary.h"
#include "lib/base/buffer.h"
#include "lib/model/names.h"

static size_t path_append(const struct codec_path *path, char *text, size_t used)
{
	if (path == NULL)
		return used;
	used = path_append(path->parent, text, used);
	if (used < CODEC_PATH_SIZE)
		used += (size_t)snprintf(text + used, CODEC_PATH_SIZE - used, "%s%s", used > 0 ? "." : "",
					 path->field->name);
	if (used < CODEC_PATH_SIZE && path->index >= 0)
		used += (size_t)snprintf(text + used, CODEC_PATH_SIZE - used, "[%ld]", path->index);
	return used;
}

void codec_path_format(const struct codec_path *path, char ret_text[CODEC_PATH_SIZE])
{
	ret_text[0] = '\0';
	path_append(path, ret_text, 0);
}

int codec_path_error(const struct codec_path *path, struct error *error, const char *format, ...)
{
	char text[CODEC_PATH_SIZE];
	va_list arguments;

	codec_path_format(path, text);
	va_start(arguments, format);
	error_set_va(error, ERROR_INVALID_ARGUMENT, format, arguments);
	va_end(arguments);
	error_prefix(error, "%s", text);
	return ERROR_INVALID_ARGUMENT;
}

int codec_check_u64(const struct codec_path *path, uint64_t value, struct error *error)
{
	const struct schema_field *field = path->field;

	if (value < field->min)
		return codec_path_error(path, error, "%" PRIu64 " is below the minimum of %" PRIu64, value, field->min);
	if (value > field->max)
		return codec_path_error(path, error, "%" PRIu64 " is above the maximum of %" PRIu64, value, field->max);
	return 0;
}

int codec_check_count(const struct codec_path *path, size_t count, struct error *error)
{
	if (count > path->field->max)
		return codec_path_error(path, error, "%zu elements, the limit is %" PRIu64, count, path->field->max);
	return 0;
}

/* RFC 3629, section 4. */
size_t codec_utf8_length(const uint8_t *text, size_t left)
{
	static const struct {
		uint8_t first_low, first_high, second_low, second_high;
		size_t length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (text[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (text[0] < forms[i].first_low || text[0] > forms[i].first_high || left < forms[i].length)
			continue;
		if (text[1] < forms[i].second_low || text[1] > forms[i].second_high)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++) {
			if (text[k] < 0x80 || text[k] > 0xbf)
				return 0;
		}
		return forms[i].length;
	}
	return 0;
}

/* Bytes at the beginning of the text that are printable ASCII, which nearly all text is. */
static size_t printable_length(const char *text, size_t length)
{
	size_t at = 0;

	for (; length - at >= ASCII_WORD_BYTES; at += ASCII_WORD_BYTES) {
		uint64_t word = ascii_word(text + at);

		if (!ascii_is_plain(word) || !ascii_is_all(ascii_between(word, 0x20, 0x7e)))
			break;
	}
	while (at < length && text[at] >= 0x20 && text[at] < 0x7f)
		at++;
	return at;
}

int codec_check_string(const struct codec_path *path, const char *text, size_t length, struct error *error)
{
	const struct schema_field *field = path->field;
	uint64_t max = field->type == FIELD_STRINGS ? field->min : field->max;
	const uint8_t *at = (const uint8_t *)text;
	char copy[LIMIT_NAME + 1], name[CODEC_PATH_SIZE];
	size_t step = 0;

	if (canary("fuzz_length"))
		max++;
	if (length > max)
		return codec_path_error(path, error, "%zu bytes, the limit is %" PRIu64, length, max);
	if (field->type == FIELD_NAME && names_name_is_valid(text, length))
		return 0;
	for (size_t i = printable_length(text, length); i < length; i += step) {
		step = codec_utf8_length(at + i, length - i);
		if (step == 0)
			return codec_path_error(path, error, "not valid UTF-8 at byte %zu", i);
		if ((at[i] < 0x20 && !(field->type == FIELD_TEXT && (at[i] == '\n' || at[i] == '\t'))) || at[i] == 0x7f)
			return codec_path_error(path, error, "control character at byte %zu", i);
	}
	if (field->type == FIELD_NAME && length > 0) {
		memcpy(copy, text, length);
		copy[length] = '\0';
		codec_path_format(path, name);
		return names_name_check(name, copy, error);
	}
	if (field->type == FIELD_NAME && field->required)
		return codec_path_error(path, error, "must not be empty");
	return 0;
}
