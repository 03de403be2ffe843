/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/options.h"

#include <argp.h>
#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"
#include "lib/settings/settings.h"
#include "lib/wire/codec.h"

#define PORT_DEFAULT 4420
#define TIMEOUT_DEFAULT_S 60

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

/* What each of these makes of a value: settings.h. */
#define PARSER(name)                                                                                                   \
	static int name(const struct setting *setting, const char *field, const char *text, struct arena *arena,       \
			void *member, struct error *error)

static int text_keep(const char *text, struct arena *arena, const char **ret_text, struct error *error)
{
	*ret_text = arena_strdup(arena, text);
	return *ret_text == NULL ? error_set_nomem(error) : 0;
}

PARSER(text_parse)
{
	(void)setting;
	if (text[0] == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
	return text_keep(text, arena, member, error);
}

PARSER(name_parse)
{
	(void)setting;
	if (names_name_check(field, text, error) != 0)
		return ERROR_INVALID_ARGUMENT;
	return text_keep(text, arena, member, error);
}

PARSER(address_parse)
{
	uint8_t binary[sizeof(struct in6_addr)];

	(void)setting;
	if (inet_pton(AF_INET, text, binary) != 1 && inet_pton(AF_INET6, text, binary) != 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not a numeric IP address", field, text);
	return text_keep(text, arena, member, error);
}

PARSER(disk_parse)
{
	(void)setting;
	(void)field;
	return list_push_string(arena, member, text) != 0 ? error_set_nomem(error) : 0;
}

PARSER(backend_parse)
{
	enum options_backend *backend = member;

	(void)setting;
	(void)arena;
	if (strcmp(text, "linux") != 0 && strcmp(text, "sim") != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is neither linux nor sim", field, text);
	*backend = strcmp(text, "sim") == 0 ? OPTIONS_BACKEND_SIM : OPTIONS_BACKEND_LINUX;
	return 0;
}

PARSER(servers_parse)
{
	char copy[LIMIT_SERVERS * (LIMIT_ADDRESS + 1) + 1], *rest = NULL;
	struct string_list *servers = member;

	(void)setting;
	if (strlen(text) >= sizeof(copy))
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: longer than %zu bytes", field, sizeof(copy) - 1);
	strcpy(copy, text);
	*servers = (struct string_list){ 0 };
	for (char *server = strtok_r(copy, ", ", &rest); server != NULL; server = strtok_r(NULL, ", ", &rest)) {
		if (settings_endpoint_check(field, server, error) != 0)
			return ERROR_INVALID_ARGUMENT;
		if (servers->count == LIMIT_SERVERS)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: more than %u servers", field,
					 LIMIT_SERVERS);
		if (list_push_string(arena, servers, server) != 0)
			return error_set_nomem(error);
	}
	if (servers->count == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: is empty", field);
	return 0;
}

PARSER(label_parse)
{
	const char *equals = strchr(text, '=');
	struct label_list *labels = member;
	struct label *label;
	char *key;

	(void)setting;
	if (equals == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not of the form KEY=VALUE", field, text);
	if (strlen(equals + 1) > LIMIT_NAME || equals[1] == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: the value must have 1 to %u bytes", field,
				 LIMIT_NAME);
	if (labels->count == LIMIT_LABELS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: more than %u labels", field, LIMIT_LABELS);
	key = arena_strndup(arena, text, (size_t)(equals - text));
	label = key != NULL ? LIST_PUSH(arena, labels) : NULL;
	if (label == NULL)
		return error_set_nomem(error);
	label->key = key;
	label->value = arena_strdup(arena, equals + 1);
	if (label->value == NULL)
		return error_set_nomem(error);
	if (names_name_check(field, key, error) != 0)
		return ERROR_INVALID_ARGUMENT;
	/* Else the agent would start, and could never say hello. */
	if (codec_validate(schema_label(), label, error) != 0)
		return error_prefix(error, "%s", field), ERROR_INVALID_ARGUMENT;
	return 0;
}

#define AT(member) offsetof(struct options, member)

static const struct setting settings[] = {
	{ "node", 'n', SETTING_PARSED, AT(node), 0, 0, 0, "NAME", "name of this node", name_parse },
	{ "address", 'a', SETTING_PARSED, AT(address), 0, 0, 0, "IP", "numeric IP address on which it exports",
	  address_parse },
	{ "port", 'p', SETTING_NUMBER, AT(port), 1, UINT16_MAX, 0, "NUMBER",
	  "NVMe port of its Controller Node role (default 4420)", NULL },
	{ "server", 's', SETTING_PARSED, AT(servers), 0, 0, 0, "ADDR:PORT[,…]", "control-plane servers",
	  servers_parse },
	{ "label", 'l', SETTING_PARSED, AT(labels), 0, 0, SETTING_REPEATABLE, "KEY=VALUE",
	  "label of the node; rack and zone are failure domains; may be repeated", label_parse },
	{ "storage-only", KEY_STORAGE_ONLY, SETTING_FLAG, AT(storage_only), 0, 0, 0, NULL, "never hold a controller",
	  NULL },
	{ "backend", KEY_BACKEND, SETTING_PARSED, AT(backend), 0, 0, 0, "linux|sim",
	  "the kernel of this machine (default), or one in memory", backend_parse },
	{ "sim-disk", KEY_SIM_DISK, SETTING_PARSED, AT(sim_disks), 0, 0, SETTING_REPEATABLE, "PATH=SIZE[:USED-BY]",
	  "disk of the simulated kernel; may be repeated", disk_parse },
	{ "sim-state", KEY_SIM_STATE, SETTING_PARSED, AT(sim_state), 0, 0, 0, "FILE",
	  "where the simulated kernel lives on when the agent ends", text_parse },
	{ "sim-no-writethrough", KEY_SIM_NO_WRITETHROUGH, SETTING_FLAG, AT(sim_no_writethrough), 0, 0, 0, NULL,
	  "the simulated kernel has no write-through target", NULL },
	{ "log-level", 'L', SETTING_LOG_LEVEL, AT(log_level), 0, 0, 0, "LEVEL",
	  "error, warning, notice, info (default) or debug", NULL },
	{ "json", KEY_JSON, SETTING_FLAG, AT(json), 0, 0, SETTING_NOT_IN_FILE, NULL,
	  "observe: print JSON, as --observed reads it", NULL },
	{ "observed", KEY_OBSERVED, SETTING_PARSED, AT(observed_path), 0, 0, SETTING_NOT_IN_FILE, "FILE",
	  "plan: what is there, instead of looking", text_parse },
	{ "desired", KEY_DESIRED, SETTING_PARSED, AT(desired_path), 0, 0, SETTING_NOT_IN_FILE, "FILE",
	  "plan, apply: what shall be, as JSON", text_parse },
	{ "dump-desired", KEY_DUMP, SETTING_PARSED, AT(dump_desired_path), 0, 0, 0, "FILE",
	  "write each desired state that comes from the leader, as JSON", text_parse },
	{ "timeout", KEY_TIMEOUT, SETTING_NUMBER, AT(timeout_s), 1, 86400, SETTING_NOT_IN_FILE, "SECONDS",
	  "apply: how long to try (default 60)", NULL },
	{ "check-config", KEY_CHECK, SETTING_FLAG, AT(check_only), 0, 0, SETTING_NOT_IN_FILE, NULL,
	  "check command line and configuration file, then exit", NULL },
};

static int command_parse(const char *text, void *data, struct error *error)
{
	static const char *const names[] = {
		[OPTIONS_RUN] = "run", [OPTIONS_OBSERVE] = "observe", [OPTIONS_PLAN] = "plan", [OPTIONS_APPLY] = "apply"
	};
	struct options *options = data;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !options->has_command; i++) {
		if (strcmp(names[i], text) == 0) {
			options->command = (enum options_command)i;
			options->has_command = true;
			return 0;
		}
	}
	return error_set(error, ERROR_INVALID_ARGUMENT, "unexpected argument \"%s\"", text);
}

static const struct settings_program program = {
	.name = "dnvme-agent",
	.arguments_doc = "[run|observe|plan|apply]",
	.doc = "The storage node's part of dnvme: it makes the kernel as the control plane wants it."
	       "\v  run      serve the control plane (this is what it does without a command)\n"
	       "  observe  print what of dnvme is in the kernel\n"
	       "  plan     print what would be done to reach a desired state; changes nothing\n"
	       "  apply    make the kernel as a desired state says, without a control plane\n\n"
	       "The keys of the configuration file are the long options: \"key = value\", one in a line, "
	       "'#' begins a comment; a flag is \"yes\" or \"no\". The command line wins.\n\n"
	       "Exit status: 0 stopped as asked, or done; 1 could not start, or not done in time; "
	       "2 wrong command line or configuration.",
	.settings = settings,
	.count = sizeof(settings) / sizeof(settings[0]),
	.options_size = sizeof(struct options),
	.command = command_parse,
};

static int check(const struct options *options, struct error *error)
{
	if (options->command == OPTIONS_RUN) {
		if (options->node == NULL)
			return settings_missing("node", error);
		if (options->address == NULL)
			return settings_missing("address", error);
		if (options->servers.count == 0)
			return settings_missing("server", error);
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

	if (settings_parse(&program, argument_count, arguments, &options.arena, &options, error) != 0 ||
	    check(&options, error) != 0) {
		arena_free(&options.arena);
		return (int)error->code;
	}
	*ret_options = options;
	return 0;
}

void options_free(struct options *options)
{
	arena_free(&options->arena);
}
