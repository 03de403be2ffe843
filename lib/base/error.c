/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[ERROR_CODE_COUNT] = {
	[ERROR_NONE] = "NONE",
	[ERROR_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[ERROR_NOT_FOUND] = "NOT_FOUND",
	[ERROR_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[ERROR_CONFLICT] = "CONFLICT",
	[ERROR_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[ERROR_NO_CAPACITY] = "NO_CAPACITY",
	[ERROR_UNAVAILABLE] = "UNAVAILABLE",
	[ERROR_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[ERROR_CANCELLED] = "CANCELLED",
	[ERROR_COMPACTED] = "COMPACTED",
	[ERROR_TOO_LARGE] = "TOO_LARGE",
	[ERROR_UNSUPPORTED] = "UNSUPPORTED",
	[ERROR_UNAUTHENTICATED] = "UNAUTHENTICATED",
	[ERROR_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[ERROR_INTERNAL] = "INTERNAL",
};

const char *error_code_name(enum error_code code)
{
	if ((unsigned)code >= ERROR_CODE_COUNT)
		return code_names[ERROR_INTERNAL];
	return code_names[code];
}

enum error_code error_code_parse(const char *name)
{
	for (unsigned code = 0; name != NULL && code < ERROR_CODE_COUNT; code++) {
		if (strcmp(name, code_names[code]) == 0)
			return (enum error_code)code;
	}
	return ERROR_INTERNAL;
}

void error_clear(struct error *error)
{
	if (error == NULL)
		return;
	error->code = ERROR_NONE;
	error->message[0] = error->hint[0] = error->details[0] = '\0';
}

int error_set_va(struct error *error, enum error_code code, const char *format, va_list arguments)
{
	if (error == NULL)
		return code;
	error_clear(error);
	error->code = code;
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	return code;
}

int error_set(struct error *error, enum error_code code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	error_set_va(error, code, format, arguments);
	va_end(arguments);
	return code;
}

int error_set_text(struct error *error, enum error_code code, const char *text)
{
	size_t length = strlen(text);

	if (error == NULL)
		return code;
	error_clear(error);
	error->code = code;
	if (length > sizeof(error->message) - 1)
		length = sizeof(error->message) - 1;
	memcpy(error->message, text, length);
	error->message[length] = '\0';
	return code;
}

static enum error_code code_of_errno(int errno_value)
{
	switch (errno_value) {
	case ENOSPC:
	case EDQUOT:
		return ERROR_NO_CAPACITY;
	case EACCES:
	case EPERM:
		return ERROR_PERMISSION_DENIED;
	case ENOENT:
		return ERROR_NOT_FOUND;
	case EEXIST:
		return ERROR_ALREADY_EXISTS;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENOTCONN:
		return ERROR_UNAVAILABLE;
	case ETIMEDOUT:
		return ERROR_DEADLINE_EXCEEDED;
	case EOPNOTSUPP:
		return ERROR_UNSUPPORTED;
	default:
		return ERROR_INTERNAL;
	}
}

int error_set_errno(struct error *error, int errno_value, const char *format, ...)
{
	enum error_code code = code_of_errno(errno_value);
	va_list arguments;
	size_t used;

	va_start(arguments, format);
	error_set_va(error, code, format, arguments);
	va_end(arguments);
	if (error != NULL) {
		used = strlen(error->message);
		snprintf(error->message + used, sizeof(error->message) - used, ": %s", strerror(errno_value));
	}
	return code;
}

int error_set_nomem(struct error *error)
{
	return error_set(error, ERROR_INTERNAL, "out of memory");
}

int error_prefix(struct error *error, const char *format, ...)
{
	char prefix[ERROR_MESSAGE_SIZE];
	va_list arguments;
	size_t length, kept;

	if (error == NULL)
		return ERROR_INTERNAL;
	va_start(arguments, format);
	vsnprintf(prefix, sizeof(prefix) - 2, format, arguments);
	va_end(arguments);
	strcat(prefix, ": ");
	length = strlen(prefix);
	kept = strlen(error->message);
	if (kept > sizeof(error->message) - 1 - length)
		kept = sizeof(error->message) - 1 - length;
	memmove(error->message + length, error->message, kept);
	memcpy(error->message, prefix, length);
	error->message[length + kept] = '\0';
	return error->code;
}

int error_hint(struct error *error, const char *format, ...)
{
	va_list arguments;

	if (error == NULL)
		return ERROR_INTERNAL;
	va_start(arguments, format);
	vsnprintf(error->hint, sizeof(error->hint), format, arguments);
	va_end(arguments);
	return error->code;
}

int error_detail(struct error *error, const char *format, ...)
{
	static const char more[] = "\n…";
	char line[ERROR_DETAILS_SIZE];
	va_list arguments;
	size_t used, length;

	if (error == NULL)
		return ERROR_INTERNAL;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	used = strlen(error->details);
	length = strlen(line);
	if (used + 1 + length + sizeof(more) <= sizeof(error->details)) {
		if (used > 0)
			error->details[used++] = '\n';
		memcpy(error->details + used, line, length + 1);
	} else if (used < sizeof(more) || strcmp(error->details + used - (sizeof(more) - 1), more) != 0) {
		if (used + sizeof(more) <= sizeof(error->details))
			memcpy(error->details + used, more, sizeof(more));
	}
	return error->code;
}

void error_doubt(struct error *error)
{
	char details[ERROR_DETAILS_SIZE], *rest = details;
	const char *line;

	if (strstr(error->details, "outcome=") != NULL)
		return;
	memcpy(details, error->details, sizeof(details));
	error->details[0] = '\0';
	error_detail(error, "outcome=unknown: an earlier attempt may still take effect");
	while (details[0] != '\0' && (line = strsep(&rest, "\n")) != NULL)
		error_detail(error, "%s", line);
}
