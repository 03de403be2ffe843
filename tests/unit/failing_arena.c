/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/failing_arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"

/* Of the thread that armed it: others may be at work. */
static _Thread_local unsigned long limit, calls;

void failing_arena_arm(unsigned long n)
{
	limit = n;
	calls = 0;
}

unsigned long failing_arena_disarm(void)
{
	limit = 0;
	return calls;
}

static bool fails_now(void)
{
	return limit != 0 && ++calls >= limit;
}

#define CALL(type, name, failure, parameters, arguments)                                                               \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters                                                                                  \
	{                                                                                                              \
		return fails_now() ? (failure) : __real_##name arguments;                                              \
	}

CALL(void *, arena_alloc, NULL, (struct arena * arena, size_t size), (arena, size))
CALL(void *, arena_alloc_array, NULL, (struct arena * arena, size_t count, size_t size), (arena, count, size))
CALL(char *, arena_strndup, NULL, (struct arena * arena, const char *text, size_t length), (arena, text, length))
CALL(char *, arena_strdup, NULL, (struct arena * arena, const char *text), (arena, text))
CALL(void *, arena_memdup, NULL, (struct arena * arena, const void *data, size_t size), (arena, data, size))
CALL(int, buffer_reserve, -1, (struct buffer * buffer, size_t more), (buffer, more))
CALL(int, buffer_append, -1, (struct buffer * buffer, const void *data, size_t size), (buffer, data, size))
CALL(void *, list_push, NULL, (struct arena * arena, void *list, size_t item_size), (arena, list, item_size))

char *__wrap_arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *__wrap_arena_printf(struct arena *arena, const char *format, ...)
{
	char *text, *copy;
	va_list arguments;
	int length;

	if (fails_now())
		return NULL;
	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return NULL;
	copy = __real_arena_strdup(arena, text);
	free(text);
	return copy;
}

int __wrap_buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	int length, rv;
	char *text;

	if (fails_now())
		return -1;
	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return -1;
	rv = __real_buffer_append(buffer, text, (size_t)length);
	free(text);
	return rv;
}
