/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/options.h"

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define USAGE_STATUS 2
#define PORT_DEFAULT 4420
#define TIMEOUT_DEFAULT_S 60

enum kind {
	KIND_NAME,
	KIND_ADDRESS,
	KIND_NUMBER,
	KIND_SERVERS,
	KIND_LABEL,
	KIND_STRINGS,
	KIND_TEXT,
	KIND_FLAG,
	KIND_BACKEND,
	KIND_LOG_LEVEL,
};

struct setting {
	const char *name; /* of the long option and of the key in the file */
	int key;
	enum kind kind;
	size_t offset;
	uint64_t min, max; /* numbers */
	bool in_file;
	const char *argument;
	const char *doc;
};

enum {
	KEY_STORAGE_ONLY = 256,
	KEY_BACKEND,
	KEY_SIM_DISK,
	KEY_SIM_STATE,
	KEY_SIM_NO_WRITETHROUGH,
	KEY_CHECK,
	KEY_JSON,
	KEY_OBSERVED,
	KEY_DESIRED,
	KEY_DUMP,
	KEY_TIMEOUT
};

#define AT(member) offsetof(struct options, member)

static const struct setting settings[] = {
	{ "node", 'n', KIND_NAME, AT(node), 0, 0, true, "NAME", "name of this node" },
	{ "address", 'a', KIND_ADDRESS, AT(address), 0, 0, true, "IP", "numeric IP address on which it exports" },
	{ "port", 'p', KIND_NUMBER, AT(port), 1, 65535, true, "NUMBER",
	  "NVMe port of its Controller Node role (default 4420)" },
	{ "server", 's', KIND_SERVERS, AT(servers), 0, 0, true, "ADDR:PORT[,…]", "control-plane servers" },
	{ "label", 'l', KIND_LABEL, AT(labels), 0, 0, true, "KEY=VALUE",
	  "label of the node; rack and zone are failure domains; may be repeated" },
	{ "storage-only", KEY_STORAGE_ONLY, KIND_FLAG, AT(storage_only), 0, 0, true, NULL, "never hold a controller" },
	{ "backend", KEY_BACKEND, KIND_BACKEND, AT(backend), 0, 0, true, "linux|sim",
	  "the kernel of this machine (default), or one in memory" },
	{ "sim-disk", KEY_SIM_DISK, KIND_STRINGS, AT(sim_disks), 0, 0, true, "PATH=SIZE[:USED-BY]",
	  "disk of the simulated kernel; may be repeated" },
	{ "sim-state", KEY_SIM_STATE, KIND_TEXT, AT(sim_state), 0, 0, true, "FILE",
	  "where the simulated kernel lives on when the agent ends" },
	{ "sim-no-writethrough", KEY_SIM_NO_WRITETHROUGH, KIND_FLAG, AT(sim_no_writethrough), 0, 0, true, NULL,
	  "the simulated kernel has no write-through target" },
	{ "log-level", 'L', KIND_LOG_LEVEL, AT(log_level), 0, 0, true, "LEVEL",
	  "error, warning, notice, info (default) or debug" },
	{ "json", KEY_JSON, KIND_FLAG, AT(json), 0, 0, false, NULL, "observe: print JSON, as --observed reads it" },
	{ "observed", KEY_OBSERVED, KIND_TEXT, AT(observed_path), 0, 0, false, "FILE",
	  "plan: what is there, instead of looking" },
	{ "desired", KEY_DESIRED, KIND_TEXT, AT(desired_path), 0, 0, false, "FILE",
	  "plan, apply: what shall be, as JSON" },
	{ "dump-desired", KEY_DUMP, KIND_TEXT, AT(dump_desired_path), 0, 0, true, "FILE",
	  "write each desired state that comes from the leader, as JSON" },
	{ "timeout", KEY_TIMEOUT, KIND_NUMBER, AT(timeout_s), 1, 86400, false, "SECONDS",
	  "apply: how long to try (default 60)" },
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

struct parser {
	struct options *options;
	bool given[SETTING_COUNT];   /* on the command line: the file does not change it */
	bool in_file[SETTING_COUNT]; /* seen in the file */
	bool has_command;
	const char *config;
	struct error *error;
	int code;
};

static int servers_parse(struct options *options, const char *field, const char *text, struct error *error)
{
	char copy[LIMIT_SERVERS * (LIMIT_ADDRESS + 1) + 1], *rest = NULL;

	if (strlen(text) >= sizeof(copy))
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: longer than %zu bytes", field, sizeof(copy) - 1);
	strcpy(copy, text);
	options->servers = (struct string_list){ 0 };
	for (char *server = strtok_r(copy, ", ", &rest); server != NULL; server = strtok_r(NULL, ", ", &rest)) {
		const char *colon = strrchr(server, ':');
		char host[LIMIT_ADDRESS + 1], *end;
		struct in_addr address;
		unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;

		if (colon == NULL || (size_t)(colon - server) >= sizeof(host) || colon[1] < '0' || colon[1] > '9' ||
		    *end != '\0' || port < 1 || port > 65535)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not of the form ADDRESS:PORT",
					 field, server);
		memcpy(host, server, (size_t)(colon - server));
		host[colon - server] = '\0';
		if (inet_pton(AF_INET, host, &address) != 1)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a numeric IPv4 address",
					 field, host);
		if (options->servers.count == LIMIT_SERVERS)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: more than %u servers", field,
					 LIMIT_SERVERS);
		if (list_push_string(&options->arena, &options->servers, server) != 0)
			return error_set_nomem(error);
	}
	if (options->servers.count == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
	return 0;
}

static int label_parse(struct options *options, const char *field, const char *text, struct error *error)
{
	const char *equals = strchr(text, '=');
	struct label *label;
	char *key;

	if (equals == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not of the form KEY=VALUE", field, text);
	if (strlen(equals + 1) > LIMIT_NAME || equals[1] == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: the value must have 1 to %u bytes", field,
				 LIMIT_NAME);
	if (options->labels.count == LIMIT_LABELS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: more than %u labels", field, LIMIT_LABELS);
	key = arena_strndup(&options->arena, text, (size_t)(equals - text));
	label = key != NULL ? LIST_PUSH(&options->arena, &options->labels) : NULL;
	if (label == NULL)
		return error_set_nomem(error);
	label->key = key;
	label->value = arena_strdup(&options->arena, equals + 1);
	if (label->value == NULL)
		return error_set_nomem(error);
	if (names_name_check(field, key, error) != 0)
		return ERROR_INVALID_ARGUMENT;
	/* Else the agent would start, and could never say hello. */
	if (codec_validate(schema_label(), label, error) != 0)
		return error_prefix(error, "%s", field), ERROR_INVALID_ARGUMENT;
	return 0;
}

static int number_parse(const struct setting *setting, const char *field, const char *text, uint64_t *ret_number,
			struct error *error)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < setting->min ||
	    number > setting->max)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a number from %llu to %llu", field,
				 text, (unsigned long long)setting->min, (unsigned long long)setting->max);
	*ret_number = number;
	return 0;
}

static int flag_parse(const char *field, const char *text, bool *ret_flag, struct error *error)
{
	if (text != NULL && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is neither yes nor no", field, text);
	*ret_flag = text == NULL || strcmp(text, "yes") == 0;
	return 0;
}

/* `text` is NULL for a flag on the command line. */
static int setting_apply(struct options *options, const struct setting *setting, const char *field, const char *text,
			 struct error *error)
{
	void *member = (char *)options + setting->offset;
	uint8_t binary[sizeof(struct in6_addr)];

	switch (setting->kind) {
	case KIND_NUMBER:
		return number_parse(setting, field, text, member, error);
	case KIND_SERVERS:
		return servers_parse(options, field, text, error);
	case KIND_LABEL:
		return label_parse(options, field, text, error);
	case KIND_FLAG:
		return flag_parse(field, text, member, error);
	case KIND_STRINGS:
		return list_push_string(&options->arena, member, text) != 0 ? error_set_nomem(error) : 0;
	case KIND_BACKEND:
		if (strcmp(text, "linux") != 0 && strcmp(text, "sim") != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is neither linux nor sim", field,
					 text);
		options->backend = strcmp(text, "sim") == 0 ? OPTIONS_BACKEND_SIM : OPTIONS_BACKEND_LINUX;
		return 0;
	case KIND_LOG_LEVEL:
		if (log_level_parse(text, member) != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "%s: \"%s\" is not one of error, warning, notice, info, debug", field, text);
		return 0;
	case KIND_NAME:
		if (names_name_check(field, text, error) != 0)
			return ERROR_INVALID_ARGUMENT;
		break;
	case KIND_ADDRESS:
		if (inet_pton(AF_INET, text, binary) != 1 && inet_pton(AF_INET6, text, binary) != 1)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a numeric IP address", field,
					 text);
		break;
	case KIND_TEXT:
		if (text[0] == '\0')
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
		break;
	}
	*(const char **)member = arena_strdup(&options->arena, text);
	return *(const char **)member == NULL ? error_set_nomem(error) : 0;
}

static bool is_repeatable(const struct setting *setting)
{
	return setting->kind == KIND_LABEL || setting->kind == KIND_STRINGS;
}

/* Called by inih for each line; 0 tells it that the line is wrong. Only the first wrong one is reported. */
static int file_line(void *data, const char *section, const char *name, const char *value)
{
	struct parser *parser = data;

	if (parser->code != 0)
		return 0;
	if (section[0] != '\0') {
		parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "section [%s]: there are no sections",
					 section);
		return 0;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (!settings[i].in_file || strcmp(settings[i].name, name) != 0)
			continue;
		if (parser->in_file[i] && !is_repeatable(&settings[i]))
			parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "%s: given twice", name);
		else if (!parser->given[i])
			parser->code = setting_apply(parser->options, &settings[i], name, value, parser->error);
		parser->in_file[i] = true;
		return parser->code == 0;
	}
	parser->code = error_set(parser->error, ERROR_INVALID_ARGUMENT, "unknown key \"%s\"", name);
	error_hint(parser->error, "dnvme-agent --help lists the keys: they are the long options");
	return 0;
}

static int file_read_all(struct parser *parser)
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
	error_prefix(parser->error, "%s:%d", parser->config, line > 0 ? line : 1);
	return ERROR_INVALID_ARGUMENT;
}

static int command_parse(struct parser *parser, const char *text)
{
	static const char *const names[] = {
		[OPTIONS_RUN] = "run", [OPTIONS_OBSERVE] = "observe", [OPTIONS_PLAN] = "plan", [OPTIONS_APPLY] = "apply"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !parser->has_command; i++) {
		if (strcmp(names[i], text) == 0) {
			parser->options->command = (enum options_command)i;
			parser->has_command = true;
			return 0;
		}
	}
	return error_set(parser->error, ERROR_INVALID_ARGUMENT, "unexpected argument \"%s\"", text);
}

static error_t option_seen(int key, char *argument, struct argp_state *state)
{
	struct parser *parser = state->input;
	char field[64];

	switch (key) {
	case 'c':
		parser->config = argument;
		return 0;
	case KEY_CHECK:
		parser->options->check_only = true;
		return 0;
	case ARGP_KEY_ARG:
		if (parser->code == 0)
			parser->code = command_parse(parser, argument);
		return 0;
	default:
		break;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (settings[i].key != key)
			continue;
		snprintf(field, sizeof(field), "--%s", settings[i].name);
		if (parser->code == 0)
			parser->code = setting_apply(parser->options, &settings[i], field, argument, parser->error);
		parser->given[i] = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int check(const struct options *options, struct error *error)
{
	static const char missing[] = "--%s is missing (or the key \"%s\" of --config)";

	if (options->command == OPTIONS_RUN) {
		if (options->node == NULL)
			return error_set(error, ERROR_INVALID_ARGUMENT, missing, "node", "node");
		if (options->address == NULL)
			return error_set(error, ERROR_INVALID_ARGUMENT, missing, "address", "address");
		if (options->servers.count == 0)
			return error_set(error, ERROR_INVALID_ARGUMENT, missing, "server", "server");
	}
	if ((options->command == OPTIONS_PLAN || options->command == OPTIONS_APPLY) && options->desired_path == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--desired is missing");
	if (options->backend == OPTIONS_BACKEND_LINUX &&
	    (options->sim_disks.count > 0 || options->sim_state != NULL || options->sim_no_writethrough))
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "--sim-disk, --sim-state and --sim-no-writethrough need --backend sim");
	return 0;
}

const char *argp_program_version = "dnvme-agent " DNVME_VERSION;

int options_parse(int argument_count, char **arguments, struct options *ret_options, struct error *error)
{
	struct options options = { .port = PORT_DEFAULT, .log_level = LOG_LEVEL_INFO, .timeout_s = TIMEOUT_DEFAULT_S };
	struct argp_option argp_options[SETTING_COUNT + 3] = { 0 };
	struct parser parser = { .options = &options, .error = error };
	const struct argp argp = {
		.options = argp_options,
		.parser = option_seen,
		.args_doc = "[run|observe|plan|apply]",
		.doc = "The storage node's part of dnvme: it makes the kernel as the control plane wants it."
		       "\v  run      serve the control plane (this is what it does without a command)\n"
		       "  observe  print what of dnvme is in the kernel\n"
		       "  plan     print what would be done to reach a desired state; changes nothing\n"
		       "  apply    make the kernel as a desired state says, without a control plane\n\n"
		       "The keys of the configuration file are the long options: \"key = value\", one in a line, "
		       "'#' begins a comment; a flag is \"yes\" or \"no\". The command line wins.\n\n"
		       "Exit status: 0 stopped as asked, or done; 1 could not start, or not done in time; "
		       "2 wrong command line or configuration.",
	};
	size_t count = 0;
	int code;

	for (size_t i = 0; i < SETTING_COUNT; i++)
		argp_options[count++] = (struct argp_option){ .name = settings[i].name,
							      .key = settings[i].key,
							      .arg = settings[i].argument,
							      .doc = settings[i].doc };
	argp_options[count++] =
		(struct argp_option){ .name = "config", .key = 'c', .arg = "FILE", .doc = "read options from a file" };
	argp_options[count++] = (struct argp_option){ .name = "check-config",
						      .key = KEY_CHECK,
						      .doc = "check command line and configuration file, then exit" };
	argp_err_exit_status = USAGE_STATUS;
	code = argp_parse(&argp, argument_count, arguments, 0, NULL, &parser) != 0 ? error_set_nomem(error)
										   : parser.code;
	if (code == 0 && parser.config != NULL)
		code = file_read_all(&parser);
	if (code == 0)
		code = check(&options, error);
	if (code != 0) {
		arena_free(&options.arena);
		return code;
	}
	*ret_options = options;
	return 0;
}

void options_free(struct options *options)
{
	arena_free(&options->arena);
}
