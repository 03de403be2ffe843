/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme event list|watch */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/event_text.h"
#include "client/cli/size.h"
#include "client/cli/when.h"
#include "lib/base/clock.h"
#include "lib/wire/json.h"

/* How long a server is asked to wait for an event. */
#define WATCH_WAIT_MS 10000u

enum { KEY_VOLUME = 0x2100, KEY_NODE, KEY_AFTER };

static struct event_list_request request_make(const struct cli *cli)
{
	return (struct event_list_request){ .volume = cli->volume, .node = cli->node, .after_revision = cli->revision };
}

/* "57.3  2026-11-27T14:30:01Z  volume db1: …"; or a record in one line. */
static int event_print(struct cli *cli, const struct event *event, struct error *error)
{
	char when[WHEN_TEXT_SIZE];
	struct json_object *object;
	const char *text;

	if (cli->json) {
		object = json_record_make(schema_event(), event);
		text = object != NULL ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
										       JSON_C_TO_STRING_NOSLASHESCAPE)
				      : NULL;
		if (text != NULL)
			puts(text);
		json_object_put(object);
		return text != NULL ? 0 : error_set_nomem(error);
	}
	text = event_text(event, &cli->arena);
	if (text == NULL)
		return error_set_nomem(error);
	printf("%" PRIu64 ".%" PRIu64 "  %s  %s\n", event->revision, event->index, when_format(event->time_ms, when),
	       text);
	return 0;
}

/* One page; the next one is behind what `request` says then. */
static int page_print(struct cli *cli, struct event_list_request *request, bool *ret_more, struct error *error)
{
	struct event_page page = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_EVENT_LIST, request, &page, error);

	for (size_t i = 0; rc == 0 && i < page.events.count; i++)
		rc = event_print(cli, &page.events.items[i], error);
	if (rc != 0)
		return rc;
	request->after_revision = page.revision;
	request->after_index = page.index;
	*ret_more = page.more;
	return fflush(stdout) == 0 ? 0 : error_set_errno(error, errno, "cannot print events");
}

static int list_run(struct cli *cli, struct error *error)
{
	struct event_list_request request = request_make(cli);
	bool more = true;
	int rc = 0;

	while (rc == 0 && more) {
		rc = page_print(cli, &request, &more, error);
		arena_free(&cli->arena);
	}
	return rc != 0 ? cli_prefix(error, "cannot list events") : 0;
}

static int watch_run(struct cli *cli, struct error *error)
{
	struct event_list_request request = request_make(cli);
	bool endless = cli->timeout_ms == 0, more = true;
	unsigned pause_ms = 0;
	int rc;

	for (;;) {
		unsigned left_ms = cli_left_ms(cli);

		if (endless)
			cli->deadline_ms = clock_boot_ms() + CLI_CALL_TIMEOUT_MS;
		else if (left_ms == 0)
			return 0;
		request.wait_ms = endless || left_ms > WATCH_WAIT_MS ? WATCH_WAIT_MS : left_ms;
		rc = page_print(cli, &request, &more, error);
		arena_free(&cli->arena);
		/* Whatever befalls the servers: the next one goes on where the last one ended. */
		if (rc == ERROR_UNAVAILABLE || rc == ERROR_DEADLINE_EXCEEDED) {
			error_clear(error);
			(void)cli_pause(cli, &pause_ms);
			continue;
		}
		if (rc != 0)
			return cli_prefix(error, "cannot watch events");
		pause_ms = 0;
	}
}

static int option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_VOLUME:
		cli->volume = value;
		return 0;
	case KEY_NODE:
		cli->node = value;
		return 0;
	case KEY_AFTER:
		return number_parse("--after", value, 0, UINT64_MAX, &cli->revision, error);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "volume", KEY_VOLUME, "NAME", 0, "only of this volume, by name or id", 0 },
	{ "node", KEY_NODE, "NAME", 0, "only those that name this node", 0 },
	{ "after", KEY_AFTER, "REVISION", 0, "only later ones; if not given, all that are kept", 0 },
	{ 0 },
};

const struct cli_command event_commands[] = {
	{ .noun = "event",
	  .verb = "list",
	  .arguments = "",
	  .summary = "what happened, oldest first",
	  .text = "With --output json, each event is a line.",
	  .options = options,
	  .option = option,
	  .run = list_run },
	{ .noun = "event",
	  .verb = "watch",
	  .arguments = "",
	  .summary = "what happened, and what happens, until it is interrupted or --timeout is over",
	  .text = "With --output json, each event is a line. It outlives servers: nothing is left out and nothing "
		  "comes "
		  "twice.",
	  .options = options,
	  .option = option,
	  .run = watch_run,
	  .endless = true },
	{ 0 },
};
