/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structured logging.
 *
 * A record is a sentence plus key=value fields. It goes to stderr as one line,
 * or to the journal with each field as a journal field, whichever the program
 * chose; journal is picked when stderr is connected to it. Thread-safe.
 * Libraries return errors; only programs (and duties that run unattended in
 * them) log.
 */
#ifndef DNVME_LIB_BASE_LOG_H
#define DNVME_LIB_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

enum log_target { LOG_TARGET_AUTO, LOG_TARGET_STDERR, LOG_TARGET_JOURNAL };

struct error;

/* Set once at the start of a program, before threads. `program` is borrowed for ever. */
void log_open(const char *program, enum log_target target, enum log_level level);

/* Returns 0 or -1: "error", "warning", "notice", "info", "debug". */
int log_level_parse(const char *text, enum log_level *ret_level);

/* `fields` is "key=%s key2=%llu" (printf format, values without spaces or quoted by the caller), or NULL.
 * The journal gets each as a field of its own, DNVME_KEY, without the quotes. */
void log_message(enum log_level level, const char *message, const char *fields, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Log an error with its code and hint: "<what>: <message>" . */
void log_failure(enum log_level level, const char *what, const struct error *error);

#endif
