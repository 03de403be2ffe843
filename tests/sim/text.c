/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snprintf() for the formats that are everywhere: text and plain numbers. The C library's takes several times as long,
 * and it was a fifth of all that a run did. What is not plain goes to the C library.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __real_vsnprintf(char *text, size_t size, const char *format, va_list arguments);
int __wrap_vsnprintf(char *text, size_t size, const char *format, va_list arguments);
int __wrap_snprintf(char *text, size_t size, const char *format, ...);
int __wrap___snprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, ...);

struct output {
	char *text;
	size_t size, length; /* length: what it would be with room enough */
};

static void put(struct output *output, const char *bytes, size_t count)
{
	if (output->length < output->size) {
		size_t room = output->size - output->length;

		memcpy(output->text + output->length, bytes, count < room ? count : room);
	}
	output->length += count;
}

static void put_number(struct output *output, uint64_t value, bool negative)
{
	char digits[24], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	if (negative)
		*--at = '-';
	put(output, at, (size_t)(digits + sizeof(digits) - at));
}

/* false: something is not plain, and what was put counts for nothing. */
static bool print(struct output *output, const char *format, va_list arguments)
{
	for (;;) {
		const char *percent = strchrnul(format, '%'), *text;
		bool is_long = false;
		size_t most = SIZE_MAX;
		int64_t number;

		put(output, format, (size_t)(percent - format));
		if (*percent == '\0')
			return true;
		format = percent + 1;
		if (*format == '.') {
			char *end = (char *)format + 2;
			long wanted = format[1] == '*' ? va_arg(arguments, int) : strtol(format + 1, &end, 10);

			if (wanted < 0 || *end != 's')
				return false;
			most = (size_t)wanted;
			format = end;
		}
		for (; *format == 'l' || *format == 'z' || *format == 'j'; format++)
			is_long = true;
		switch (*format++) {
		case '%':
			put(output, "%", 1);
			break;
		case 's':
			text = va_arg(arguments, const char *);
			if (text == NULL)
				return false;
			put(output, text, strnlen(text, most));
			break;
		case 'u':
			put_number(output, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), false);
			break;
		case 'd':
		case 'i':
			number = is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int);
			put_number(output, number < 0 ? -(uint64_t)number : (uint64_t)number, number < 0);
			break;
		default:
			return false;
		}
	}
}

int __wrap_vsnprintf(char *text, size_t size, const char *format, va_list arguments)
{
	struct output output = { .text = text, .size = size };
	va_list again;
	bool plain;

	va_copy(again, arguments);
	plain = print(&output, format, again);
	va_end(again);
	if (!plain)
		return __real_vsnprintf(text, size, format, arguments);
	if (size > 0)
		text[output.length < size ? output.length : size - 1] = '\0';
	return (int)output.length;
}

int __wrap_snprintf(char *text, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = __wrap_vsnprintf(text, size, format, arguments);
	va_end(arguments);
	return length;
}

/* What snprintf() is in libraft, which was compiled with _FORTIFY_SOURCE. */
int __wrap___snprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list arguments;
	int length;

	(void)flag;
	if (size > room)
		abort();
	va_start(arguments, format);
	length = __wrap_vsnprintf(text, size, format, arguments);
	va_end(arguments);
	return length;
}
