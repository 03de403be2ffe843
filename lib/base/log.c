/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be this file for every record */
#include <systemd/sd-journal.h>

#include "lib/base/error.h"

#define LOG_LINE_BYTES 2048
#define LOG_JOURNAL_FIELDS 24

static struct {
	const char *program;
	enum log_level level;
	int journal;
} log_state = { .program = "dnvme", .level = LOG_LEVEL_INFO };

static const struct {
	const char *name;
	enum log_level level;
} level_names[] = {
	{ "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "notice", LOG_LEVEL_NOTICE },
	{ "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },
};

/* systemd sets JOURNAL_STREAM to device:inode of the stream that it connected to stderr (systemd.exec(5)). */
static int stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	if (stream == NULL || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return 0;
	return fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_open(const char *program, enum log_target target, enum log_level level)
{
	log_state.program = program;
	log_state.level = level;
	log_state.journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i].name) == 0) {
			*ret_level = level_names[i].level;
			return 0;
		}
	}
	return -1;
}

static const char *level_name(enum log_level level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (level_names[i].level == level)
			return level_names[i].name;
	}
	return "error";
}

static bool is_name_ahead(const char *text)
{
	return text[strcspn(text, "= ")] == '=';
}

/* The end of the value at `value`. Messages have quotes themselves: the last one stands before the next name. */
static char *value_end(char *value)
{
	char *end;

	if (value[0] != '"')
		return value + strcspn(value, " ");
	for (end = strchr(value + 1, '"'); end != NULL; end = strchr(end + 1, '"')) {
		if (end[1] == '\0' || (end[1] == ' ' && is_name_ahead(end + 2)))
			return end + 1;
	}
	return value + strlen(value);
}

/* "volume=v1 why="no answer"" becomes the journal fields DNVME_VOLUME=v1 and DNVME_WHY=no answer. */
static int journal_fields(const char *fields, char texts[LOG_JOURNAL_FIELDS][LOG_LINE_BYTES])
{
	char copy[LOG_LINE_BYTES], *at = copy;
	int count = 0;

	snprintf(copy, sizeof(copy), "%s", fields);
	while (*at != '\0' && count < LOG_JOURNAL_FIELDS) {
		size_t name_length = strcspn(at, "= ");
		char *value = at + name_length + 1, *end;

		if (at[name_length] != '=') {
			at += name_length + (at[name_length] == ' ');
			continue;
		}
		for (char *c = at; c < at + name_length; c++) {
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		}
		end = value_end(value);
		if (value[0] == '"' && end - value >= 2 && end[-1] == '"')
			snprintf(texts[count++], LOG_LINE_BYTES, "DNVME_%.*s=%.*s", (int)name_length, at,
				 (int)(end - value - 2), value + 1);
		else
			snprintf(texts[count++], LOG_LINE_BYTES, "DNVME_%.*s=%.*s", (int)name_length, at,
				 (int)(end - value), value);
		at = *end == ' ' ? end + 1 : end;
	}
	return count;
}

static void send_journal(enum log_level level, const char *message, const char *fields)
{
	char message_field[LOG_LINE_BYTES], priority[16], texts[LOG_JOURNAL_FIELDS][LOG_LINE_BYTES];
	struct iovec vector[LOG_JOURNAL_FIELDS + 2];
	int count = 0, named = journal_fields(fields, texts);

	snprintf(message_field, sizeof(message_field), "MESSAGE=%s%s%s", message, fields[0] ? " " : "", fields);
	snprintf(priority, sizeof(priority), "PRIORITY=%d", (int)level);
	vector[count++] = (struct iovec){ message_field, strlen(message_field) };
	vector[count++] = (struct iovec){ priority, strlen(priority) };
	for (int i = 0; i < named; i++)
		vector[count++] = (struct iovec){ texts[i], strlen(texts[i]) };
	sd_journal_sendv(vector, count);
}

void log_message(enum log_level level, const char *message, const char *fields, ...)
{
	char text[LOG_LINE_BYTES] = "", line[LOG_LINE_BYTES * 2];
	struct timespec now;
	struct tm calendar;
	va_list arguments;
	int length;

	if (level > log_state.level)
		return;
	if (fields != NULL) {
		va_start(arguments, fields);
		vsnprintf(text, sizeof(text), fields, arguments);
		va_end(arguments);
	}
	if (log_state.journal) {
		send_journal(level, message, text);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &calendar);
	length = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s: %s%s%s\n",
			  calendar.tm_year + 1900, calendar.tm_mon + 1, calendar.tm_mday, calendar.tm_hour,
			  calendar.tm_min, calendar.tm_sec, now.tv_nsec / 1000000, level_name(level), log_state.program,
			  message, text[0] ? " " : "", text);
	if (length >= (int)sizeof(line)) {
		length = sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	/* One write per record keeps lines of several threads apart; a log that cannot be written has no better place.
	 */
	if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}

void log_failure(enum log_level level, const char *what, const struct error *error)
{
	char text[ERROR_MESSAGE_SIZE + 256];

	snprintf(text, sizeof(text), "%s: %s", what, error->message);
	if (error->hint[0])
		log_message(level, text, "code=%s hint=\"%s\"", error_code_name(error->code), error->hint);
	else
		log_message(level, text, "code=%s", error_code_name(error->code));
}
