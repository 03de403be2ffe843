/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme snapshot create|list|get|attach|detach|delete */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/job_wait.h"
#include "client/cli/size.h"
#include "client/cli/when.h"

enum { KEY_PAUSE_LIMIT = 0x2000, KEY_DEADLINE, KEY_ACCEPT_FLUSH };

static int get(struct cli *cli, const char *volume, const char *name, struct snapshot_status *ret_status,
	       struct error *error)
{
	struct snapshot_request request = { .volume = volume, .name = name };

	return cli_call(cli, NULL, METHOD_ID_SNAPSHOT_GET, &request, ret_status, error);
}

/* --- create ------------------------------------------------------------------------------------------------------- */

static int create_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_PAUSE_LIMIT:
		return duration_parse("--pause-limit", value, &cli->pause_limit_ms, error);
	case KEY_DEADLINE:
		return duration_parse("--deadline", value, &cli->job_deadline_ms, error);
	case KEY_ACCEPT_FLUSH:
		cli->accept_flush = true;
		return 0;
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static int create_check(const struct cli *cli, struct error *error)
{
	if (cli->pause_limit_ms == 0 ||
	    (cli->pause_limit_ms >= LIMIT_PAUSE_MS_MIN && cli->pause_limit_ms <= LIMIT_PAUSE_MS_MAX))
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT, "--pause-limit is out of range; it can be %u ms to %u ms",
			 LIMIT_PAUSE_MS_MIN, LIMIT_PAUSE_MS_MAX);
}

static int create_run(struct cli *cli, struct error *error)
{
	struct snapshot_create_request request = { .volume = cli->arguments[0],
						   .name = cli->arguments[1],
						   .pause_limit_ms = cli->pause_limit_ms,
						   .deadline_ms = cli->job_deadline_ms,
						   .accept_flush = cli->accept_flush };
	struct mutation_reply reply = { 0 };
	struct snapshot_status status = { 0 };
	struct job job;
	int rc = create_check(cli, error);

	cli->bad_usage = rc != 0;
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_SNAPSHOT_CREATE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot snapshot volume \"%s\"", request.volume);
	if (reply.id == NULL)
		return error_set(error, ERROR_INTERNAL, "the server names no job");
	if (cli->no_wait) {
		if (cli->json)
			return cli_print_json(schema_mutation_reply(), &reply, error);
		printf("snapshot %s of volume %s is being made: job %s\n", request.name, request.volume, reply.id);
		return 0;
	}
	rc = job_await(cli, reply.id, &job, error);
	if (rc == 0)
		rc = get(cli, request.volume, request.name, &status, error);
	if (rc != 0)
		return cli_prefix(error, "there is no snapshot \"%s\" of volume \"%s\"", request.name, request.volume);
	if (cli->json)
		return cli_print_json(schema_snapshot_status(), &status, error);
	printf("snapshot %s of volume %s is taken\n", request.name, request.volume);
	return 0;
}

/* --- list, get ---------------------------------------------------------------------------------------------------- */

static int list(struct cli *cli, const char *volume, struct snapshot_page *ret_page, struct error *error)
{
	struct name_request request = { .name = volume };

	return cli_call(cli, NULL, METHOD_ID_SNAPSHOT_LIST, &request, ret_page, error);
}

static int list_run(struct cli *cli, struct error *error)
{
	struct snapshot_page page = { 0 };
	struct libscols_table *table;
	int rc = list(cli, cli->arguments[0], &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list the snapshots of volume \"%s\"", cli->arguments[0]);
	if (cli->json)
		return cli_print_json(schema_snapshot_page(), &page, error);
	table = table_new("NAME,STATE,SIZE,MOMENT");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.snapshots.count; i++) {
		const struct snapshot *snapshot = &page.snapshots.items[i];
		struct libscols_line *line = table_line(table);
		char size[SIZE_TEXT_SIZE], when[WHEN_TEXT_SIZE];

		size_format(snapshot->size_bytes, size);
		failed = line == NULL || table_cell(line, 0, "%s", snapshot->name) != 0 ||
			 table_cell(line, 1, "%s", ENUM_NAME(snapshot_state, snapshot->state)) != 0 ||
			 table_cell(line, 2, "%s", size) != 0 ||
			 table_cell(line, 3, "%s",
				    snapshot->moment_ms > 0 ? when_format(snapshot->moment_ms, when) : "") != 0;
	}
	rc = failed ? error_set_nomem(error) : table_print(table, error);
	if (rc == 0 && page.dropped_thins.count > 0)
		printf("%zu more are being deleted\n", page.dropped_thins.count);
	return rc;
}

static int get_run(struct cli *cli, struct error *error)
{
	struct snapshot_status status = { 0 };
	char size[SIZE_TEXT_SIZE], when[WHEN_TEXT_SIZE];
	int rc = get(cli, cli->arguments[0], cli->arguments[1], &status, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get snapshot \"%s\"", cli->arguments[1]);
	if (cli->json)
		return cli_print_json(schema_snapshot_status(), &status, error);
	size_format(status.snapshot->size_bytes, size);
	printf("snapshot %s of volume %s  %s\n", status.snapshot->name, status.volume_name,
	       ENUM_NAME(snapshot_state, status.snapshot->state));
	printf("  size      %s\n", size);
	printf("  asked for %s\n", when_format(status.snapshot->created_ms, when));
	if (status.snapshot->moment_ms > 0)
		printf("  moment    %s\n", when_format(status.snapshot->moment_ms, when));
	printf("  thin      device %" PRIu64 " of each pool\n", status.snapshot->thin);
	for (size_t i = 0; i < status.snapshot->hosts.count; i++)
		printf("  read by   %s\n", status.snapshot->hosts.items[i]);
	if (status.operation != 0)
		printf("  job       j%" PRIu64 "\n", status.operation);
	if (status.waits_for != NULL)
		printf("waits for: %s\n", status.waits_for);
	return 0;
}

/* --- attach, detach ----------------------------------------------------------------------------------------------- */

static int host_run(struct cli *cli, bool attach, struct error *error)
{
	struct snapshot_attach_request request = { .volume = cli->arguments[0],
						   .name = cli->arguments[1],
						   .host_nqn = cli->arguments[2] };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, attach ? METHOD_ID_SNAPSHOT_ATTACH : METHOD_ID_SNAPSHOT_DETACH, &request, &reply,
			  error);

	if (rc != 0)
		return cli_prefix(error, "cannot %s snapshot \"%s\" of volume \"%s\"", attach ? "attach" : "detach",
				  request.name, request.volume);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("host %s may%s read snapshot %s of volume %s\n", request.host_nqn, attach ? "" : " not", request.name,
	       request.volume);
	return 0;
}

static int attach_run(struct cli *cli, struct error *error)
{
	return host_run(cli, true, error);
}

static int detach_run(struct cli *cli, struct error *error)
{
	return host_run(cli, false, error);
}

/* --- delete ------------------------------------------------------------------------------------------------------- */

static bool has_number(const struct snapshot_page *page, uint64_t number)
{
	for (size_t i = 0; i < page->dropped_thins.count; i++) {
		if (page->dropped_thins.items[i].thin == number)
			return true;
	}
	return false;
}

/* Until no pool has it. */
static int deleted_wait(struct cli *cli, const char *volume, uint64_t number, struct error *error)
{
	unsigned pause_ms = 0;
	int rc;

	do {
		struct snapshot_page page = { 0 };

		rc = list(cli, volume, &page, error);
		/* With its volume it is gone. */
		if (rc == ERROR_NOT_FOUND)
			return 0;
		/* While the servers elect a leader it goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && !has_number(&page, number))
			return 0;
	} while (cli_pause(cli, &pause_ms));
	if (rc != 0)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "its blocks are still in use after %u ms", cli->timeout_ms);
	return error_hint(error, "they are given back without this command; see dnvme volume get %s", volume);
}

static int delete_run(struct cli *cli, struct error *error)
{
	struct snapshot_delete_request request = { .volume = cli->arguments[0], .name = cli->arguments[1] };
	struct snapshot_status status = { 0 };
	struct mutation_reply reply = { 0 };
	int rc = get(cli, request.volume, request.name, &status, error);

	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_SNAPSHOT_DELETE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot delete snapshot \"%s\" of volume \"%s\"", request.name,
				  request.volume);
	if (!cli->no_wait)
		rc = deleted_wait(cli, request.volume, status.snapshot->thin, error);
	if (rc != 0)
		return cli_prefix(error, "snapshot \"%s\" of volume \"%s\" is deleted", request.name, request.volume);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("snapshot %s of volume %s is deleted\n", request.name, request.volume);
	return 0;
}

static const struct argp_option create_options[] = {
	{ "pause-limit", KEY_PAUSE_LIMIT, "TIME", 0,
	  "how long hosts may be held up at most, each time that it is tried: 500ms; 2s if not given", 0 },
	{ "deadline", KEY_DEADLINE, "TIME", 0,
	  "undo it when it is not there after so long: 10m; if not given, it may take any time", 0 },
	{ "accept-flush", KEY_ACCEPT_FLUSH, NULL, 0,
	  "of a thick volume without --durability strict: accept that from now on a controller's crash may undo first "
	  "writes to blocks that a snapshot shares, unless they were flushed",
	  0 },
	{ 0 },
};

const struct cli_command snapshot_commands[] = {
	{ .noun = "snapshot",
	  .verb = "create",
	  .arguments = "VOLUME NAME",
	  .argument_count = 2,
	  .summary = "keep what a volume holds at a moment",
	  .text = "Hosts go on meanwhile; for a moment their requests wait. Waits until it is taken; with --no-wait "
		  "only "
		  "until the job has begun. dnvme job cancel undoes it. It has room for all of the volume to be "
		  "written anew.",
	  .options = create_options,
	  .option = create_option,
	  .run = create_run,
	  .waits = true },
	{ .noun = "snapshot",
	  .verb = "list",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "snapshots of a volume",
	  .run = list_run },
	{ .noun = "snapshot",
	  .verb = "get",
	  .arguments = "VOLUME NAME",
	  .argument_count = 2,
	  .summary = "one snapshot",
	  .run = get_run },
	{ .noun = "snapshot",
	  .verb = "attach",
	  .arguments = "VOLUME NAME HOST-NQN",
	  .argument_count = 3,
	  .summary = "allow a host to read a snapshot",
	  .text = "The controllers of the volume serve it, read-only, under an NQN of its own; there: dnvme host "
		  "connect "
		  "VOLUME@NAME.",
	  .run = attach_run },
	{ .noun = "snapshot",
	  .verb = "detach",
	  .arguments = "VOLUME NAME HOST-NQN",
	  .argument_count = 3,
	  .summary = "forbid it again",
	  .text = "What the host has connected is of no use any more; disconnect it there before.",
	  .run = detach_run },
	{ .noun = "snapshot",
	  .verb = "delete",
	  .arguments = "VOLUME NAME",
	  .argument_count = 2,
	  .summary = "drop a snapshot",
	  .text = "It is gone at once. Waits until its blocks can be used again; with --no-wait it does not.",
	  .run = delete_run,
	  .waits = true },
	{ 0 },
};
