/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/options.h"

#include <argp.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "lib/settings/settings.h"

#define HEARTBEAT_DEFAULT_MS 50
#define ELECTION_DEFAULT_MS 400

enum {
	KEY_UNIX = 256,
	KEY_THRESHOLD,
	KEY_TRAILING,
	KEY_HEARTBEAT,
	KEY_ELECTION,
	KEY_STALL,
	KEY_SESSIONS,
	KEY_CHECK,
	KEY_CHECK_STATE,
	KEY_RECOVER,
	KEY_LOST,
	KEY_YES,
	KEY_RESTORE
};

int options_address_check(const char *field, const char *text, struct error *error)
{
	if (settings_endpoint_check(field, text, error) != 0)
		return (int)error->code;
	if (strncmp(text, "0.0.0.0:", strlen("0.0.0.0:")) == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "%s: 0.0.0.0 is not an address that others can connect to; name one of this machine's",
				 field);
	return 0;
}

static int address_parse(const struct setting *setting, const char *field, const char *text, struct arena *arena,
			 void *member, struct error *error)
{
	(void)setting;
	(void)arena;
	if (options_address_check(field, text, error) != 0)
		return (int)error->code;
	memcpy(member, text, strlen(text) + 1);
	return 0;
}

/* `max` is the longest length. */
static int path_parse(const struct setting *setting, const char *field, const char *text, struct arena *arena,
		      void *member, struct error *error)
{
	size_t length = strlen(text);

	(void)arena;
	if (length == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
	if (length > setting->max)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: longer than %llu bytes", field,
				 (unsigned long long)setting->max);
	memcpy(member, text, length + 1);
	return 0;
}

#define AT(member) offsetof(struct options, member)

static const struct setting settings[] = {
	{ "id", 'i', SETTING_NUMBER, AT(id), 1, UINT32_MAX, 0, "NUMBER",
	  "number of this server in the group; one that is added later is given its number", NULL },
	{ "listen", 'l', SETTING_PARSED, AT(listen), 0, 0, SETTING_REQUIRED, "ADDR:PORT",
	  "numeric IPv4 address for clients, agents and the other servers (required)", address_parse },
	{ "raft", 'r', SETTING_PARSED, AT(raft), 0, 0, SETTING_REQUIRED, "ADDR:PORT",
	  "numeric IPv4 address for Raft peers (required)", address_parse },
	{ "data", 'd', SETTING_PARSED, AT(data), 0, LIMIT_PATH - 32, SETTING_REQUIRED, "DIR",
	  "directory of log and state (required)", path_parse },
	{ "unix", KEY_UNIX, SETTING_PARSED, AT(unix_path), 0, sizeof(((struct sockaddr_un *)0)->sun_path) - 1, 0,
	  "PATH", "also listen on this Unix socket", path_parse },
	{ "log-level", 'L', SETTING_LOG_LEVEL, AT(log_level), 0, 0, 0, "LEVEL",
	  "error, warning, notice, info (default) or debug", NULL },
	{ "heartbeat-ms", KEY_HEARTBEAT, SETTING_NUMBER, AT(heartbeat_ms), 5, 10000, 0, "MS",
	  "interval of Raft heartbeats (default 50)", NULL },
	{ "election-timeout-ms", KEY_ELECTION, SETTING_NUMBER, AT(election_timeout_ms), 20, 100000, 0, "MS",
	  "silence of a leader after which another one is elected (default 400)", NULL },
	{ "snapshot-threshold", KEY_THRESHOLD, SETTING_NUMBER, AT(snapshot_threshold), 1, 10000000, 0, "ENTRIES",
	  "log entries between snapshots (default 4096)", NULL },
	{ "snapshot-trailing", KEY_TRAILING, SETTING_NUMBER, AT(snapshot_trailing), 1, 10000000, 0, "ENTRIES",
	  "log entries kept behind a snapshot (default 2048)", NULL },
	{ "stall-timeout-ms", KEY_STALL, SETTING_NUMBER, AT(stall_timeout_ms), 100, 600000, 0, "MS",
	  "how long a connection may leave a frame unfinished or answers unread (default 10000)", NULL },
	{ "sessions-max", KEY_SESSIONS, SETTING_NUMBER, AT(sessions_max), 1, LIMIT_SESSIONS, 0, "NUMBER",
	  "connections at the same time (default 12000)", NULL },
	{ "check-config", KEY_CHECK, SETTING_FLAG, AT(check_only), 0, 0, SETTING_NOT_IN_FILE, NULL,
	  "check command line and configuration file, then exit", NULL },
	{ "check-state", KEY_CHECK_STATE, SETTING_FLAG, AT(check_state), 0, 0, SETTING_NOT_IN_FILE, NULL,
	  "audit the state in the data directory of a stopped server, print what contradicts itself, then exit", NULL },
	{ "recover", KEY_RECOVER, SETTING_FLAG, AT(recover), 0, 0, SETTING_NOT_IN_FILE, NULL,
	  "most servers are lost for good: make this one, which is stopped, the only one of its group, then exit",
	  NULL },
	{ "lost", KEY_LOST, SETTING_PARSED, AT(lost), 0, sizeof(((struct options *)0)->lost) - 1, SETTING_NOT_IN_FILE,
	  "NAME[,NAME…]", "with --recover: each other server, by its name or as s and its number", path_parse },
	{ "yes", KEY_YES, SETTING_FLAG, AT(yes), 0, 0, SETTING_NOT_IN_FILE, NULL, "with --recover or --restore: do it",
	  NULL },
	{ "restore", KEY_RESTORE, SETTING_PARSED, AT(restore), 0, LIMIT_PATH, SETTING_NOT_IN_FILE, "FILE",
	  "all servers are lost for good: make this one, whose data directory is empty, the first one of their cluster "
	  "anew, with the state of this backup, then exit",
	  path_parse },
};

static const struct settings_program program = {
	.name = "dnvmed",
	.doc = "The control-plane server of dnvme."
	       "\vThe keys of the configuration file are the long options: \"key = value\", one in a line, "
	       "'#' begins a comment. The command line wins.\n\n"
	       "Exit status: 0 stopped as asked, or sound; 1 could not start, or could not go on (the log says why); "
	       "2 wrong command line or configuration.",
	.settings = settings,
	.count = sizeof(settings) / sizeof(settings[0]),
	.options_size = sizeof(struct options),
};

static int check(const struct options *options, struct error *error)
{
	uint64_t election_ms = options->election_timeout_ms > 0 ? options->election_timeout_ms : ELECTION_DEFAULT_MS;
	uint64_t heartbeat_ms = options->heartbeat_ms > 0 ? options->heartbeat_ms : HEARTBEAT_DEFAULT_MS;

	if (strcmp(options->listen, options->raft) == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--listen and --raft are both %s; they must differ",
				 options->raft);
	if (!options->recover && options->lost[0] != '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "--lost is of use with --recover only");
	if (!options->recover && options->restore[0] == '\0' && options->yes)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--yes is of use with --recover or --restore only");
	if (options->recover && options->restore[0] != '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "--recover and --restore are two things: the one goes on with a server that is left, "
				 "the other with a backup");
	if (election_ms < 2 * heartbeat_ms)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "--election-timeout-ms must be at least twice --heartbeat-ms");
	return 0;
}

const char *argp_program_version = "dnvmed " DNVME_VERSION;

int options_parse(int argument_count, char **arguments, struct options *ret_options, struct error *error)
{
	struct options options = {
		.log_level = LOG_LEVEL_INFO,
		.stall_timeout_ms = LIMIT_FRAME_STALL_MS,
		.sessions_max = LIMIT_SESSIONS,
	};
	struct arena arena = ARENA_INIT; /* nothing of it is kept: the texts are in the structure */
	int code = settings_parse(&program, argument_count, arguments, &arena, &options, error);

	arena_free(&arena);
	if (code != 0 || check(&options, error) != 0)
		return (int)error->code;
	*ret_options = options;
	return 0;
}
