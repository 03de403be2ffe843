/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/options.h"

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <ini.h>

#include "src/exit_status.h"

enum option_kind { KIND_NUMBER, KIND_ADDRESS, KIND_PATH, KIND_LOG_LEVEL };

struct setting {
	const char *name; /* of the long option and of the key in the file */
	int key;
	enum option_kind kind;
	size_t offset;
	uint64_t min, max; /* numbers: range; paths: max is the longest length */
	const char *argument;
	const char *doc;
};

#define SETTING(name, key, kind, member, min, max, argument, doc)                                                      \
	{                                                                                                              \
		name, key, kind, offsetof(struct options, member), min, max, argument, doc                             \
	}

enum { KEY_UNIX = 256, KEY_THRESHOLD, KEY_TRAILING, KEY_HEARTBEAT, KEY_ELECTION, KEY_STALL, KEY_SESSIONS, KEY_CHECK };

static const struct setting settings[] = {
	SETTING("id", 'i', KIND_NUMBER, id, 1, UINT32_MAX, "NUMBER", "number of this server in the group (required)"),
	SETTING("listen", 'l', KIND_ADDRESS, listen, 0, 0, "ADDR:PORT",
		"numeric IPv4 address for clients, agents and the other servers (required)"),
	SETTING("raft", 'r', KIND_ADDRESS, raft, 0, 0, "ADDR:PORT", "numeric IPv4 address for Raft peers (required)"),
	SETTING("data", 'd', KIND_PATH, data, 1, LIMIT_PATH - 32, "DIR", "directory of log and state (required)"),
	SETTING("unix", KEY_UNIX, KIND_PATH, unix_path, 1, sizeof(((struct sockaddr_un *)0)->sun_path) - 1, "PATH",
		"also listen on this Unix socket"),
	SETTING("log-level", 'L', KIND_LOG_LEVEL, log_level, 0, 0, "LEVEL",
		"error, warning, notice, info (default) or debug"),
	SETTING("heartbeat-ms", KEY_HEARTBEAT, KIND_NUMBER, heartbeat_ms, 5, 10000, "MS",
		"interval of Raft heartbeats (default 50)"),
	SETTING("election-timeout-ms", KEY_ELECTION, KIND_NUMBER, election_timeout_ms, 20, 100000, "MS",
		"silence of a leader after which another one is elected (default 400)"),
	SETTING("snapshot-threshold", KEY_THRESHOLD, KIND_NUMBER, snapshot_threshold, 1, 10000000, "ENTRIES",
		"log entries between snapshots (default 4096)"),
	SETTING("snapshot-trailing", KEY_TRAILING, KIND_NUMBER, snapshot_trailing, 1, 10000000, "ENTRIES",
		"log entries kept behind a snapshot (default 2048)"),
	SETTING("stall-timeout-ms", KEY_STALL, KIND_NUMBER, stall_timeout_ms, 100, 600000, "MS",
		"how long a connection may leave a frame unfinished or answers unread (default 10000)"),
	SETTING("sessions-max", KEY_SESSIONS, KIND_NUMBER, sessions_max, 1, LIMIT_SESSIONS, "NUMBER",
		"connections at the same time (default 12000)"),
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

struct parse_state {
	struct options file, command_line;
	bool file_has[SETTING_COUNT], command_line_has[SETTING_COUNT];
	const char *config;
	struct error *error;
	int rv;
};

int options_address_check(const char *field, const char *text, struct error *error)
{
	char host[LIMIT_ADDRESS + 1], *end;
	const char *colon = strrchr(text, ':');
	struct in_addr address;
	unsigned long port;

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
	if (address.s_addr == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "%s: 0.0.0.0 is not an address that others can connect to; name one of this machine's",
				 field);
	errno = 0;
	port = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || errno != 0 || port < 1 || port > 65535)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: port \"%s\" is not a number from 1 to 65535",
				 field, colon + 1);
	return 0;
}

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

static int setting_apply(const struct setting *setting, const char *field, const char *text, struct options *options,
			 struct error *error)
{
	void *target = (char *)options + setting->offset;
	size_t length = strlen(text);

	switch (setting->kind) {
	case KIND_NUMBER:
		return number_parse(field, text, setting->min, setting->max, target, error);
	case KIND_ADDRESS:
		if (options_address_check(field, text, error) != 0)
			return error->code;
		memcpy(target, text, length + 1);
		return 0;
	case KIND_PATH:
		if (length < setting->min)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
		if (length > setting->max)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: longer than %llu bytes", field,
					 (unsigned long long)setting->max);
		memcpy(target, text, length + 1);
		return 0;
	case KIND_LOG_LEVEL:
		if (log_level_parse(text, target) != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "%s: \"%s\" is not one of error, warning, notice, info, debug", field, text);
		return 0;
	}
	return 0;
}

/* Called by inih for each line; 0 tells it that the line is wrong. Only the first wrong one is reported. */
static int file_line(void *data, const char *section, const char *name, const char *value)
{
	struct parse_state *state = data;

	if (state->rv != 0)
		return 0;
	if (section[0] != '\0') {
		state->rv =
			error_set(state->error, ERROR_INVALID_ARGUMENT, "section [%s]: there are no sections", section);
		return 0;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (strcmp(settings[i].name, name) != 0)
			continue;
		if (state->file_has[i])
			state->rv = error_set(state->error, ERROR_INVALID_ARGUMENT, "%s: given twice", name);
		else
			state->rv = setting_apply(&settings[i], name, value, &state->file, state->error);
		state->file_has[i] = true;
		return state->rv == 0;
	}
	state->rv = error_set(state->error, ERROR_INVALID_ARGUMENT, "unknown key \"%s\"", name);
	error_hint(state->error, "dnvmed --help lists the keys: they are the long options");
	return 0;
}

static int file_read(struct parse_state *state)
{
	FILE *file = fopen(state->config, "re");
	int line;

	if (file == NULL)
		return error_set_errno(state->error, errno, "cannot read configuration file %s", state->config);
	line = ini_parse_file(file, file_line, state);
	fclose(file);
	if (line == 0)
		return 0;
	if (line < 0 || state->rv == 0)
		error_set(state->error, ERROR_INVALID_ARGUMENT, "is not of the form key = value");
	return error_prefix(state->error, "%s:%d", state->config, line > 0 ? line : 1);
}

static error_t option_seen(int key, char *argument, struct argp_state *argp_state)
{
	struct parse_state *state = argp_state->input;
	char field[64];

	switch (key) {
	case 'c':
		state->config = argument;
		return 0;
	case KEY_CHECK:
		state->command_line.check_only = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->rv == 0)
			state->rv =
				error_set(state->error, ERROR_INVALID_ARGUMENT, "unexpected argument \"%s\"", argument);
		return 0;
	default:
		break;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (settings[i].key != key)
			continue;
		snprintf(field, sizeof(field), "--%s", settings[i].name);
		if (state->rv == 0)
			state->rv = setting_apply(&settings[i], field, argument, &state->command_line, state->error);
		state->command_line_has[i] = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int merge(const struct parse_state *state, struct options *ret_options, struct error *error)
{
	struct options options = {
		.log_level = LOG_LEVEL_INFO,
		.stall_timeout_ms = LIMIT_FRAME_STALL_MS,
		.sessions_max = LIMIT_SESSIONS,
		.check_only = state->command_line.check_only,
	};
	static const size_t sizes[] = {
		[KIND_NUMBER] = sizeof(uint64_t),
		[KIND_ADDRESS] = LIMIT_ADDRESS + 1,
		[KIND_PATH] = LIMIT_PATH + 1,
		[KIND_LOG_LEVEL] = sizeof(enum log_level),
	};

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct options *from = state->command_line_has[i] ? &state->command_line
					     : state->file_has[i]	? &state->file
									: NULL;

		if (from != NULL)
			memcpy((char *)&options + settings[i].offset, (const char *)from + settings[i].offset,
			       sizes[settings[i].kind]);
		else if (strstr(settings[i].doc, "(required)") != NULL)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "--%s is missing (or the key \"%s\" of --config)", settings[i].name,
					 settings[i].name);
	}
	if (strcmp(options.listen, options.raft) == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--listen and --raft are both %s; they must differ",
				 options.raft);
	if ((options.election_timeout_ms > 0 ? options.election_timeout_ms : 400) <
	    2 * (options.heartbeat_ms > 0 ? options.heartbeat_ms : 50))
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "--election-timeout-ms must be at least twice --heartbeat-ms");
	*ret_options = options;
	return 0;
}

const char *argp_program_version = "dnvmed " DNVME_VERSION;

int options_parse(int argument_count, char **arguments, struct options *ret_options, struct error *error)
{
	struct argp_option argp_options[SETTING_COUNT + 3] = { 0 };
	struct parse_state state = { .error = error };
	const struct argp argp = {
		.options = argp_options,
		.parser = option_seen,
		.doc = "The control-plane server of dnvme."
		       "\vThe keys of the configuration file are the long options: \"key = value\", one in a line, "
		       "'#' begins a comment. The command line wins.\n\n"
		       "Exit status: 0 stopped as asked; 1 could not start, or could not go on (the log says why); "
		       "2 wrong command line or configuration.",
	};
	size_t count = 0;

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

	argp_err_exit_status = EXIT_STATUS_USAGE;
	if (argp_parse(&argp, argument_count, arguments, 0, NULL, &state) != 0)
		return error_set_nomem(error);
	if (state.rv != 0)
		return state.rv;
	if (state.config != NULL && file_read(&state) != 0)
		return error->code;
	return merge(&state, ret_options, error);
}
