/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one error type.
 *
 * A function that can fail takes a `struct error *` last and returns 0 or one
 * of the codes below; it leaves its other outputs untouched on failure. The
 * struct owns its text (no allocation), so that reporting an error cannot fail.
 * Context is added on the way up, outermost first:
 *
 *     return error_prefix(error, "cannot create volume \"%s\"", name);
 *
 * Every function here accepts a NULL `error` and then only passes the code on.
 */
#ifndef DNVME_LIB_BASE_ERROR_H
#define DNVME_LIB_BASE_ERROR_H

#include <stdarg.h>

enum error_code {
	ERROR_NONE = 0,
	ERROR_INVALID_ARGUMENT,
	ERROR_NOT_FOUND,
	ERROR_ALREADY_EXISTS,
	ERROR_CONFLICT,
	ERROR_FAILED_PRECONDITION,
	ERROR_NO_CAPACITY,
	ERROR_UNAVAILABLE,
	ERROR_DEADLINE_EXCEEDED,
	ERROR_CANCELLED,
	ERROR_COMPACTED,
	ERROR_TOO_LARGE,
	ERROR_UNSUPPORTED,
	ERROR_UNAUTHENTICATED,
	ERROR_PERMISSION_DENIED,
	ERROR_INTERNAL,
};

#define ERROR_CODE_COUNT (ERROR_INTERNAL + 1)
#define ERROR_MESSAGE_SIZE 512
#define ERROR_HINT_SIZE 256
#define ERROR_DETAILS_SIZE 1024

struct error {
	enum error_code code;
	char message[ERROR_MESSAGE_SIZE]; /* one sentence, no newline */
	char hint[ERROR_HINT_SIZE];	  /* what to do; may be empty */
	char details[ERROR_DETAILS_SIZE]; /* lines separated by newlines; may be empty */
};

/* The name on the wire ("NOT_FOUND"); "NONE" for 0, "INTERNAL" for what is not a code. */
const char *error_code_name(enum error_code code);

/* The code of a wire name; ERROR_INTERNAL for an unknown or NULL name. */
enum error_code error_code_parse(const char *name);

/* Forget whatever `error` holds. */
void error_clear(struct error *error);

/* Set code and message, clear hint and details. Text that is too long is cut. Returns `code`. */
int error_set(struct error *error, enum error_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_set_va(struct error *error, enum error_code code, const char *format, va_list arguments);
/* The same of a text as it is, for what is said often. */
int error_set_text(struct error *error, enum error_code code, const char *text);

/* Set code INTERNAL (or NO_CAPACITY for ENOSPC/EDQUOT, PERMISSION_DENIED for EACCES/EPERM, NOT_FOUND for
 * ENOENT, UNAVAILABLE for connection errors) and the message "<text>: <strerror>". `errno_value` is positive. */
int error_set_errno(struct error *error, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The one way to report a failed allocation. */
int error_set_nomem(struct error *error);

/* Put "<text>: " before the message. Returns the code that `error` holds. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint. Returns the code that `error` holds. */
int error_hint(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append a line to the details; lines that no longer fit are dropped and replaced by "…". Returns the code. */
int error_detail(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What was refused may have been accepted at an earlier attempt, or may be yet: say so in the first of the details,
 * unless they tell the outcome already. Lines at the end may be dropped for it. */
void error_doubt(struct error *error);

#endif
