/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program dnvme: `dnvme NOUN VERB …`. Options are taken apart here, verbs are in the files of their nouns. */
#include <argp.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/size.h"
#include "lib/base/clock.h"

static const struct {
	const char *name;
	const char *summary;
	const struct cli_command *commands;
} nouns[] = {
	{ "cluster", "the control plane", cluster_commands },
	{ "node", "storage nodes", node_commands },
	{ "disk", "disks of storage nodes", disk_commands },
	{ "volume", "virtual disks", volume_commands },
	{ "snapshot", "what volumes held at a moment", snapshot_commands },
	{ "job", "what is under way: what somebody asked for, moves of slots, rebuilds", job_commands },
	{ "event", "what happened", event_commands },
	{ "host", "initiators, and this machine as one", host_commands },
};

#define NOUN_COUNT (sizeof(nouns) / sizeof(nouns[0]))

enum { KEY_TIMEOUT = 0x1000, KEY_WAIT, KEY_NO_WAIT };

static const struct argp_option common_options[] = {
	{ "server", 's', "HOST:PORT[,…]", 0, "servers of the cluster; else $DNVME_SERVERS", 10 },
	{ "output", 'o', "table|json", 0, "for people (default) or for programs", 10 },
	{ "timeout", KEY_TIMEOUT, "TIME", 0, "give up after this time: 30s, 500ms, 2m", 10 },
	{ "wait", KEY_WAIT, NULL, 0, "return when the change has reached the nodes (default)", 10 },
	{ "no-wait", KEY_NO_WAIT, NULL, 0, "return when the change is committed", 10 },
	{ 0 },
};

/* What a parser works on. */
struct parsing {
	struct cli *cli;
	const struct cli_command *command; /* NULL above the verb */
	const char *word;		   /* above the verb: the noun or verb that was met */
	int word_index;
};

static void usage_error(struct argp_state *state, const struct error *error)
{
	cli_print_error(error);
	argp_state_help(state, stderr, ARGP_HELP_SEE);
	exit(CLI_USAGE);
}

static error_t parse_common(int key, char *value, struct argp_state *state)
{
	struct cli *cli = state->input;
	struct error error;

	switch (key) {
	case 's':
		cli->servers = value;
		return 0;
	case 'o':
		if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0) {
			error_set(&error, ERROR_INVALID_ARGUMENT, "--output \"%s\" is neither table nor json", value);
			usage_error(state, &error);
		}
		cli->json = strcmp(value, "json") == 0;
		return 0;
	case KEY_TIMEOUT:
		if (duration_parse("--timeout", value, &cli->timeout_ms, &error) != 0)
			usage_error(state, &error);
		return 0;
	case KEY_WAIT:
		cli->no_wait = false;
		return 0;
	case KEY_NO_WAIT:
		cli->no_wait = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp common_argp = { .options = common_options, .parser = parse_common };
static const struct argp_child children[] = { { &common_argp, 0, "Common options:", 10 }, { 0 } };

/* Above the verb: the first word ends the parsing. */
static error_t parse_word(int key, char *value, struct argp_state *state)
{
	struct parsing *parsing = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = parsing->cli;
		return 0;
	case ARGP_KEY_ARG:
		parsing->word = value;
		parsing->word_index = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_state_help(state, stderr, ARGP_HELP_USAGE | ARGP_HELP_SEE);
		exit(CLI_USAGE);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_verb(int key, char *value, struct argp_state *state)
{
	struct parsing *parsing = state->input;
	const struct cli_command *command = parsing->command;
	struct cli *cli = parsing->cli;
	struct error error;

	error_clear(&error);
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = cli;
		return 0;
	case ARGP_KEY_ARG:
		if (cli->argument_count >= (command->more ? CLI_ARGUMENTS : command->argument_count)) {
			error_set(&error, ERROR_INVALID_ARGUMENT, "\"%s\" is one argument too many", value);
			usage_error(state, &error);
		}
		cli->arguments[cli->argument_count++] = value;
		return 0;
	case ARGP_KEY_END:
		if (cli->argument_count < command->argument_count) {
			error_set(&error, ERROR_INVALID_ARGUMENT, "an argument is missing: %s %s needs %s",
				  command->noun, command->verb, command->arguments);
			usage_error(state, &error);
		}
		return 0;
	default:
		/* argp's own events (ARGP_KEY_INIT and above) are no options. */
		if (command->option == NULL || key >= 0x1000000 || key <= 0)
			return ARGP_ERR_UNKNOWN;
		if (command->option(cli, key, value, &error) != 0)
			usage_error(state, &error);
		return 0;
	}
}

/* "volume create" behind the program's name, so that argp's messages name the command. */
static char *program_name(struct cli *cli, const char *noun, const char *verb)
{
	char *name = verb != NULL ? arena_printf(&cli->arena, "dnvme %s %s", noun, verb)
				  : arena_printf(&cli->arena, "dnvme %s", noun);

	if (name == NULL) {
		fprintf(stderr, "dnvme: out of memory\n");
		exit(CLI_REFUSED);
	}
	return name;
}

static void add_line(struct cli *cli, const char **text, const char *left, const char *right)
{
	const char *longer = arena_printf(&cli->arena, "%s  %-26s %s\n", *text, left, right);

	if (longer != NULL)
		*text = longer;
}

static const struct cli_command *verb_find(struct cli *cli, size_t noun, int argc, char **argv, int *ret_index)
{
	struct parsing parsing = { .cli = cli };
	const char *text = arena_printf(&cli->arena, "%s\v", nouns[noun].summary);
	struct argp argp = { .args_doc = "VERB …", .parser = parse_word, .children = children };
	const struct cli_command *command;
	struct error error;

	for (command = nouns[noun].commands; text != NULL && command->noun != NULL; command++) {
		const char *usage = arena_printf(&cli->arena, "%s %s", command->verb, command->arguments);

		add_line(cli, &text, usage != NULL ? usage : command->verb, command->summary);
	}
	argp.doc = text;
	argv[0] = program_name(cli, nouns[noun].name, NULL);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &parsing);
	for (command = nouns[noun].commands; command->noun != NULL; command++) {
		if (strcmp(command->verb, parsing.word) == 0) {
			*ret_index = parsing.word_index;
			return command;
		}
	}
	error_set(&error, ERROR_INVALID_ARGUMENT, "%s has no verb \"%s\"", nouns[noun].name, parsing.word);
	error_hint(&error, "see dnvme %s --help", nouns[noun].name);
	cli_print_error(&error);
	exit(CLI_USAGE);
}

static size_t noun_find(struct cli *cli, int argc, char **argv, int *ret_index)
{
	struct parsing parsing = { .cli = cli };
	struct argp argp = { .args_doc = "NOUN VERB …", .parser = parse_word, .children = children };
	const char *text = "Virtual disks over NVMe-oF, from the disks of many servers.\v";
	struct error error;

	for (size_t i = 0; i < NOUN_COUNT; i++) {
		for (const struct cli_command *command = nouns[i].commands; command->noun != NULL; command++) {
			const char *usage = arena_printf(&cli->arena, "%s %s", command->noun, command->verb);

			add_line(cli, &text, usage != NULL ? usage : command->verb, command->summary);
		}
	}
	argp.doc = arena_printf(&cli->arena,
				"%s\nExit status: 0 done, 1 refused, 2 usage, 3 unavailable, 4 timed out.\n", text);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &parsing);
	for (size_t i = 0; i < NOUN_COUNT; i++) {
		if (strcmp(nouns[i].name, parsing.word) == 0) {
			*ret_index = parsing.word_index;
			return i;
		}
	}
	error_set(&error, ERROR_INVALID_ARGUMENT, "there is no \"%s\"", parsing.word);
	error_hint(&error, "see dnvme --help");
	cli_print_error(&error);
	exit(CLI_USAGE);
}

static int run(struct cli *cli, const struct cli_command *command, struct error *error)
{
	int rc;

	if (cli->servers == NULL)
		cli->servers = getenv("DNVME_SERVERS");
	if (cli->servers != NULL && cli->servers[0] == '\0')
		cli->servers = NULL;
	if (cli->timeout_ms == 0 && !command->endless)
		cli->timeout_ms = command->waits && !cli->no_wait ? CLI_WAIT_TIMEOUT_MS : CLI_CALL_TIMEOUT_MS;
	cli->deadline_ms = clock_boot_ms() + cli->timeout_ms;
	if (cli->servers == NULL && !command->local) {
		error_set(error, ERROR_INVALID_ARGUMENT, "no server is given");
		error_hint(error, "use --server HOST:PORT[,…] or set DNVME_SERVERS");
		cli_print_error(error);
		return CLI_USAGE;
	}
	rc = command->run(cli, error);
	if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		rc = error_set(error, ERROR_INTERNAL, "cannot write to standard output");
	if (rc != 0)
		cli_print_error(error);
	if (rc != 0 && cli->bad_usage)
		return CLI_USAGE;
	return (int)cli_status_of((enum error_code)rc);
}

int main(int argc, char **argv)
{
	struct cli cli = { .arena = ARENA_INIT };
	struct parsing parsing = { .cli = &cli };
	struct argp argp = { .parser = parse_verb, .children = children };
	const struct cli_command *command;
	struct error error;
	size_t noun;
	int index = 0, status;

	setlocale(LC_ALL, "");
	argp_err_exit_status = CLI_USAGE;
	argp_program_version = "dnvme " DNVME_VERSION;
	error_clear(&error);
	noun = noun_find(&cli, argc, argv, &index);
	argc -= index;
	argv += index;
	command = verb_find(&cli, noun, argc, argv, &index);
	argc -= index;
	argv += index;
	argv[0] = program_name(&cli, command->noun, command->verb);
	parsing.command = command;
	argp.options = command->options;
	argp.args_doc = command->arguments;
	argp.doc = command->text == NULL ? command->summary
					 : arena_printf(&cli.arena, "%s\v%s", command->summary, command->text);
	argp_parse(&argp, argc, argv, 0, NULL, &parsing);
	status = run(&cli, command, &error);
	dnvme_close(cli.dnvme);
	arena_free(&cli.arena);
	return status;
}
