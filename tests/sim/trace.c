/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trace. Nobody reads it in most runs, so what would be printed is not printed but digested: the format, and each
 * argument as the format has it.
 */
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/sim/world.h"

#define FORMATS 1024 /* a power of two */
#define ARGUMENTS 24

enum argument { ARGUMENT_INT, ARGUMENT_LONG, ARGUMENT_TEXT, ARGUMENT_CUT_TEXT };

/* A format is a literal: its address stands for it. */
static struct format {
	const char *text;
	uint64_t digest;
	size_t count;
	struct {
		enum argument kind;
		size_t cut; /* ARGUMENT_CUT_TEXT */
	} arguments[ARGUMENTS];
} formats[FORMATS];

static uint64_t digest;
static bool be_verbose;

void trace_begin(uint64_t seed, bool verbose)
{
	digest = seed;
	be_verbose = verbose;
}

uint64_t world_trace_digest(void)
{
	return digest;
}

/* One conversion, from behind its '%'; returns what is behind it. */
static const char *conversion_parse(struct format *format, const char *at)
{
	enum argument kind = ARGUMENT_INT;
	size_t cut = SIZE_MAX;

	if (*at == '%')
		return at + 1;
	at += strspn(at, "-+ #0123456789");
	if (*at == '.') {
		cut = strtoul(at + 1, NULL, 10);
		at += 1 + strspn(at + 1, "0123456789");
	}
	for (; *at == 'h' || *at == 'l' || *at == 'z' || *at == 'j' || *at == 't'; at++)
		kind = *at == 'h' ? ARGUMENT_INT : ARGUMENT_LONG;
	if (*at == 's')
		kind = cut == SIZE_MAX ? ARGUMENT_TEXT : ARGUMENT_CUT_TEXT;
	else if (strchr("diuxXc", *at) == NULL || *at == '\0' || format->count == ARGUMENTS)
		abort();
	format->arguments[format->count].kind = kind;
	format->arguments[format->count++].cut = cut;
	return at + 1;
}

static const struct format *format_get(const char *text)
{
	size_t at = (size_t)((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15) >> 48) % FORMATS;
	struct format *format;

	while (formats[at].text != NULL && formats[at].text != text)
		at = (at + 1) % FORMATS;
	format = &formats[at];
	if (format->text == text)
		return format;
	format->text = text;
	format->digest = XXH64(text, strlen(text), 0);
	for (const char *percent = strchr(text, '%'); percent != NULL; percent = strchr(percent, '%'))
		percent = conversion_parse(format, percent + 1);
	return format;
}

static void take(uint64_t value)
{
	digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	digest ^= digest >> 29;
}

static void take_text(const char *text, size_t length)
{
	take(XXH64(text, length, 0));
}

void trace(const char *message, const char *format_text, va_list arguments)
{
	static const char nothing[1];
	const struct format *format = format_get(format_text != NULL ? format_text : nothing);
	const char *text;
	va_list again;

	va_copy(again, arguments);
	take(world_now ^ format->digest);
	if (message != NULL)
		take_text(message, strlen(message));
	for (size_t i = 0; i < format->count; i++) {
		switch (format->arguments[i].kind) {
		case ARGUMENT_INT:
			take((uint64_t)va_arg(arguments, int));
			break;
		case ARGUMENT_LONG:
			take((uint64_t)va_arg(arguments, long));
			break;
		case ARGUMENT_TEXT:
			text = va_arg(arguments, const char *);
			take_text(text, strlen(text));
			break;
		case ARGUMENT_CUT_TEXT:
			text = va_arg(arguments, const char *);
			take_text(text, strnlen(text, format->arguments[i].cut));
		}
	}
	if (be_verbose) {
		printf("%6" PRIu64 ".%06" PRIu64 " %-8s %s%s", world_now / WORLD_SECOND, world_now % WORLD_SECOND,
		       world_current != NULL ? world_current->name : "-", message != NULL ? message : "",
		       message != NULL ? " " : "");
		if (format_text != NULL)
			vprintf(format_text, again);
		printf("\n");
	}
	va_end(again);
}

void world_trace(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	trace(NULL, format, arguments);
	va_end(arguments);
}
