/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/settings/settings.h"

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/log.h"

#define SETTINGS_MAX 32

struct parser {
	const struct settings_program *program;
	struct arena *arena;
	void *options;
	void *ignored; /* where the file's value of what was given on the command line goes: it has to be right */
	bool given[SETTINGS_MAX];   /* on the command line */
	bool in_file[SETTINGS_MAX]; /* seen in the file */
	const char *config;
	struct error *error;
	int code;
};

static int number_parse(const char *field, const char *text, uint64_t min, uint64_t max, uint64_t *ret_number,
			struct error *error)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < min || number > max)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a number from %llu to %llu", field,
				 text, (unsigned long long)min, (unsigned long long)max);
	*ret_number = number;
	return 0;
}

/* `text` is NULL for a flag on the command line. */
static int flag_parse(const char *field, const char *text, bool *ret_flag, struct error *error)
{
	if (text != NULL && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is neither yes nor no", field, text);
	*ret_flag = text == NULL || strcmp(text, "yes") == 0;
	return 0;
}

int settings_endpoint_check(const char *field, const char *text, struct error *error)
{
	char host[LIMIT_ADDRESS + 1];
	const char *colon = strrchr(text, ':');
	struct in_addr address;
	uint64_t port;

	if (strlen(text) > LIMIT_ADDRESS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: longer than %u bytes", field, LIMIT_ADDRESS);
	if (colon == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" has no port; wanted is ADDRESS:PORT", field,
				 text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &address) != 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a numeric IPv4 address", field,
				 host);
	if (number_parse(field, colon + 1, 1, UINT16_MAX, &port, error) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: port \"%s\" is not a number from 1 to %u", field,
				 colon + 1, UINT16_MAX);
	return 0;
}

static int setting_apply(struct parser *parser, const struct setting *setting, const char *field, const char *text,
			 void *options)
{
	void *member = (char *)options + setting->offset;
	struct error *error = parser->error;

	switch (setting->kind) {
	case SETTING_NUMBER:
		return number_parse(field, text, setting->min, setting->max, member, error);
	case SETTING_FLAG:
		return flag_parse(field, text, member, error);
	case SETTING_LOG_LEVEL:
		if (log_level_parse(text, member) != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "%s: \"%s\" is not one of error, warning, notice, info, debug", field, text);
		return 0;
	case SETTING_PARSED:
		break;
	}
	return setting->parse(setting, field, text, parser->arena, member, error);
}

/* Called by inih for each line; 0 tells it that the line is wrong. Only the first wrong one is reported. */
static int file_line(void *data, const char *section, const char *name, const char *value)
{
	struct parser *parser = data;
	const struct settings_program *program = parser->program;

	if (parser->code != 0)
		return 0;
	if (section[0] != '\0') {
		parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "section [%s]: there are no sections",
					 section);
		return 0;
	}
	for (size_t i = 0; i < program->count; i++) {
		const struct setting *setting = &program->settings[i];

		if ((setting->flags & SETTING_NOT_IN_FILE) != 0 || strcmp(setting->name, name) != 0)
			continue;
		if (parser->in_file[i] && (setting->flags & SETTING_REPEATABLE) == 0)
			parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: given twice", name);
		else
			parser->code = setting_apply(parser, setting, name, value,
						     parser->given[i] ? parser->ignored : parser->options);
		parser->in_file[i] = true;
		return parser->code == 0;
	}
	parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "unknown key \"%s\"", name);
	error_hint(parser->error, "%s --help lists the keys: they are the long options", program->name);
	return 0;
}

static int file_read(struct parser *parser)
{
	FILE *file = fopen(parser->config, "re");
	int line;

	if (file == NULL)
		return error_set_errno(parser->error, errno, "cannot read configuration file %s", parser->config);
	line = ini_parse_file(file, file_line, parser);
	fclose(file);
	if (line == 0)
		return 0;
	if (line < 0 || parser->code == 0)
		error_set(parser->error, ERROR_INVALID_ARGUMENT, "is not of the form key = value");
	return error_prefix(parser->error, "%s:%d", parser->config, line > 0 ? line : 1);
}

static int argument_seen(struct parser *parser, const char *text)
{
	if (parser->program->command != NULL)
		return parser->program->command(text, parser->options, parser->error);
	return error_set(parser->error, ERROR_INVALID_ARGUMENT, "unexpected argument \"%s\"", text);
}

static error_t option_seen(int key, char *argument, struct argp_state *state)
{
	struct parser *parser = state->input;
	char field[64];

	if (key == 'c') {
		parser->config = argument;
		return 0;
	}
	if (key == ARGP_KEY_ARG) {
		if (parser->code == 0)
			parser->code = argument_seen(parser, argument);
		return 0;
	}
	for (size_t i = 0; i < parser->program->count; i++) {
		const struct setting *setting = &parser->program->settings[i];

		if (setting->key != key)
			continue;
		snprintf(field, sizeof(field), "--%s", setting->name);
		if (parser->code == 0)
			parser->code = setting_apply(parser, setting, field, argument, parser->options);
		parser->given[i] = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int settings_missing(const char *name, struct error *error)
{
	return error_set(error, ERROR_INVALID_ARGUMENT, "--%s is missing (or the key \"%s\" of --config)", name, name);
}

static int required_check(const struct parser *parser)
{
	for (size_t i = 0; i < parser->program->count; i++) {
		const struct setting *setting = &parser->program->settings[i];

		if ((setting->flags & SETTING_REQUIRED) != 0 && !parser->given[i] && !parser->in_file[i])
			return settings_missing(setting->name, parser->error);
	}
	return 0;
}

int settings_parse(const struct settings_program *program, int argument_count, char **arguments, struct arena *arena,
		   void *options, struct error *error)
{
	struct argp_option argp_options[SETTINGS_MAX + 2] = { 0 };
	const struct argp argp = {
		.options = argp_options, .parser = option_seen, .args_doc = program->arguments_doc, .doc = program->doc
	};
	struct parser parser = { .program = program, .arena = arena, .options = options, .error = error };

	if (program->count > SETTINGS_MAX)
		return error_set(error, ERROR_INTERNAL, "%s has more than %d settings", program->name, SETTINGS_MAX);
	parser.ignored = arena_alloc_array(arena, 1, program->options_size);
	if (parser.ignored == NULL)
		return error_set_nomem(error);
	memset(parser.ignored, 0, program->options_size);
	for (size_t i = 0; i < program->count; i++)
		argp_options[i] = (struct argp_option){ .name = program->settings[i].name,
							.key = program->settings[i].key,
							.arg = program->settings[i].argument,
							.doc = program->settings[i].doc };
	argp_options[program->count] =
		(struct argp_option){ .name = "config", .key = 'c', .arg = "FILE", .doc = "read options from a file" };
	argp_err_exit_status = SETTINGS_USAGE_STATUS;
	if (argp_parse(&argp, argument_count, arguments, 0, NULL, &parser) != 0)
		return error_set_nomem(error);
	if (parser.code == 0 && parser.config != NULL)
		parser.code = file_read(&parser);
	return parser.code != 0 ? parser.code : required_check(&parser);
}
