/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_move.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/job_wait.h"
#include "client/cli/size.h"

enum { KEY_SLOT = 0x2000, KEY_TO, KEY_DEADLINE };

const struct argp_option volume_move_options[] = {
	{ "slot", KEY_SLOT, "N", 0, "the slot; required", 0 },
	{ "to", KEY_TO, "NODE", 0,
	  "the node; one that is no standby becomes one first. If not given, the best standby, or a node that can be "
	  "one",
	  0 },
	{ "deadline", KEY_DEADLINE, "TIME", 0,
	  "give it up when the slot does not move after so long: 10m; if not given, it may take any time", 0 },
	{ 0 },
};

int volume_move_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_SLOT:
		cli->slot_given = true;
		return number_parse("--slot", value, 0, LIMIT_CONTROLLERS - 1, &cli->slot, error);
	case KEY_TO:
		cli->node = value;
		return 0;
	case KEY_DEADLINE:
		return duration_parse("--deadline", value, &cli->job_deadline_ms, error);
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

int volume_move_run(struct cli *cli, struct error *error)
{
	struct volume_move_request request = {
		.volume = cli->arguments[0], .slot = cli->slot, .to = cli->node, .deadline_ms = cli->job_deadline_ms
	};
	struct mutation_reply reply = { 0 };
	struct job job;
	int rc = 0;

	if (!cli->slot_given) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "--slot is missing");
		rc = error_hint(error, "dnvme volume get %s shows its slots and who holds them; the first one is 0",
				request.volume);
	}
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_MOVE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot move a slot of volume \"%s\"", request.volume);
	if (reply.id == NULL)
		return error_set(error, ERROR_INTERNAL, "the server names no job");
	if (cli->no_wait) {
		if (cli->json)
			return cli_print_json(schema_mutation_reply(), &reply, error);
		printf("slot %" PRIu64 " of volume %s is to move: job %s\n", request.slot, request.volume, reply.id);
		return 0;
	}
	rc = job_await(cli, reply.id, &job, error);
	if (rc != 0)
		return cli_prefix(error, "slot %" PRIu64 " of volume \"%s\" did not move", request.slot,
				  request.volume);
	if (cli->json)
		return cli_print_json(schema_job(), &job, error);
	printf("slot %" PRIu64 " of volume %s is at node %s\n", request.slot, request.volume,
	       job.operation->move_slot != NULL ? job.operation->move_slot->to : "?");
	return 0;
}
