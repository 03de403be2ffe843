/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program is told: on its command line, and in a file of lines "key = value" that --config names. The keys are
 * the long options, and the command line wins. A table has all of them once.
 */
#ifndef DNVME_LIB_SETTINGS_SETTINGS_H
#define DNVME_LIB_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"

/* Exit status of --help with a wrong option, as argp gives it. */
#define SETTINGS_USAGE_STATUS 2

enum setting_kind {
	SETTING_NUMBER,	   /* uint64_t from min to max */
	SETTING_FLAG,	   /* bool; "yes" or "no" in the file */
	SETTING_LOG_LEVEL, /* enum log_level */
	SETTING_PARSED,	   /* whatever `parse` makes of it */
};

enum setting_flags {
	SETTING_REQUIRED = 1 << 0,
	SETTING_REPEATABLE = 1 << 1,
	SETTING_NOT_IN_FILE = 1 << 2,
};

struct setting {
	const char *name; /* of the long option and of the key in the file */
	int key;	  /* a letter, or a number above 255; not 'c', which is --config */
	enum setting_kind kind;
	size_t offset; /* of the member of the program's structure */
	uint64_t min, max;
	unsigned flags;
	const char *argument; /* what --help calls the value; NULL: a flag */
	const char *doc;
	/* SETTING_PARSED: `member` is what `offset` names; strings go into `arena`. `field` names the setting as the
	 * user wrote it, for INVALID_ARGUMENT. NOMEM */
	int (*parse)(const struct setting *setting, const char *field, const char *text, struct arena *arena,
		     void *member, struct error *error);
};

struct settings_program {
	const char *name; /* of the program, for the sentence that sends to --help */
	const char *arguments_doc, *doc;
	const struct setting *settings;
	size_t count;	     /* at most 32 */
	size_t options_size; /* of the program's structure */
	/* An argument that is no option; NULL: there are none. INVALID_ARGUMENT */
	int (*command)(const char *text, void *options, struct error *error);
};

/* Read them into `options`, which has the defaults; strings go into `arena`, which the caller frees, on failure too.
 * Exits for --help, --version and options that there are not, as argp does. INVALID_ARGUMENT names the option, or file,
 * line and key. NOMEM. Blocks for reading the file. One thread at a time (argp). */
int settings_parse(const struct settings_program *program, int argument_count, char **arguments, struct arena *arena,
		   void *options, struct error *error);

/* Say that a required setting was not given: INVALID_ARGUMENT. For those that are required now and then. */
int settings_missing(const char *name, struct error *error);

/* "A.B.C.D:PORT" taken apart. INVALID_ARGUMENT names `field` and says what is wrong with `text`, which has at most
 * LIMIT_ADDRESS bytes. */
int settings_endpoint_check(const char *field, const char *text, struct error *error);

#endif
