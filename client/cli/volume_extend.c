/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_extend.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/job_wait.h"
#include "client/cli/size.h"

enum { KEY_SIZE = 0x2000, KEY_DEADLINE };

const struct argp_option volume_extend_options[] = {
	{ "size", KEY_SIZE, "SIZE", 0, "the size that it is to have: 100GiB, 10G (the same as GiB) or bytes; required",
	  0 },
	{ "deadline", KEY_DEADLINE, "TIME", 0,
	  "undo it when it has not come as far as using its new room after so long: 10m; if not given, it may take any "
	  "time",
	  0 },
	{ 0 },
};

int volume_extend_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_SIZE:
		return size_parse("--size", value, &cli->size_bytes, error);
	case KEY_DEADLINE:
		return duration_parse("--deadline", value, &cli->job_deadline_ms, error);
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static int check(const struct cli *cli, struct error *error)
{
	char limit[SIZE_TEXT_SIZE];

	if (cli->size_bytes == 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "--size is missing");
		return error_hint(error, "for example --size 200GiB, the size that it is to have");
	}
	size_format(LIMIT_VOLUME_BYTES_MAX, limit);
	if (cli->size_bytes < LIMIT_VOLUME_BYTES_MIN || cli->size_bytes > LIMIT_VOLUME_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--size is out of range; the largest volume has %s",
				 limit);
	if (cli->size_bytes % 4096 != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--size %" PRIu64 " is not a multiple of 4096 bytes",
				 cli->size_bytes);
	return 0;
}

int volume_extend_run(struct cli *cli, struct error *error)
{
	struct volume_extend_request request = { .name = cli->arguments[0],
						 .size_bytes = cli->size_bytes,
						 .deadline_ms = cli->job_deadline_ms };
	struct mutation_reply reply = { 0 };
	struct job job;
	char size[SIZE_TEXT_SIZE];
	int rc = check(cli, error);

	cli->bad_usage = rc != 0;
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_EXTEND, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot extend volume \"%s\"", request.name);
	if (reply.id == NULL)
		return error_set(error, ERROR_INTERNAL, "the server names no job");
	if (cli->no_wait) {
		if (cli->json)
			return cli_print_json(schema_mutation_reply(), &reply, error);
		printf("volume %s grows: job %s\n", request.name, reply.id);
		return 0;
	}
	rc = job_await(cli, reply.id, &job, error);
	if (rc != 0)
		return cli_prefix(error, "volume \"%s\" did not grow", request.name);
	if (cli->json)
		return cli_print_json(schema_job(), &job, error);
	size_format(job.operation->extend->size_bytes, size);
	printf("volume %s has %s\n", request.name, size);
	return 0;
}
