/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme job list|get|wait */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/page.h"
#include "client/cli/size.h"

enum { KEY_KIND = 0x2000 };

static const char *job_after(struct arena *arena, const void *item)
{
	(void)arena;
	return ((const struct job *)item)->id;
}

static const struct page_kind job_pages = { METHOD_ID_JOB_LIST, sizeof(struct job), job_after };

/* "1.2 GiB of 4 GiB (30 %), 80 MiB/s, 35 s to go"; empty for what does not copy. */
static const char *progress_text(struct cli *cli, const struct job *job)
{
	char done[SIZE_TEXT_SIZE], total[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
	const char *text;

	if (job->total_bytes == 0)
		return "";
	size_format(job->done_bytes, done);
	size_format(job->total_bytes, total);
	size_format(job->rate_bytes, rate);
	text = arena_printf(&cli->arena, "%s of %s (%.0f %%)", done, total,
			    100.0 * (double)job->done_bytes / (double)job->total_bytes);
	if (text != NULL && job->rate_bytes > 0)
		text = arena_printf(&cli->arena, "%s, %s/s", text, rate);
	if (text != NULL && job->eta_ms > 0)
		text = arena_printf(&cli->arena, "%s, %" PRIu64 " s to go", text, (job->eta_ms + 999) / 1000);
	return text != NULL ? text : "";
}

static int list_run(struct cli *cli, struct error *error)
{
	struct job_page page = { 0 };
	struct libscols_table *table;
	int rc = page_fetch_all(cli, &job_pages, cli->kind, &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list jobs");
	if (cli->json)
		return cli_print_json(schema_job_page(), &page, error);
	table = table_new("ID,KIND,PHASE,NODE,TARGET,PROGRESS");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.jobs.count; i++) {
		const struct job *job = &page.jobs.items[i];
		struct libscols_line *line = table_line(table);

		failed = line == NULL || table_cell(line, 0, "%s", job->id) != 0 ||
			 table_cell(line, 1, "%s", ENUM_NAME(job_kind, job->kind)) != 0 ||
			 table_cell(line, 2, "%s", job->phase) != 0 ||
			 table_cell(line, 3, "%s", job->node != NULL ? job->node : "") != 0 ||
			 table_cell(line, 4, "%s", job->target) != 0 ||
			 table_cell(line, 5, "%s", progress_text(cli, job)) != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static int get_run(struct cli *cli, struct error *error)
{
	struct job_request request = { .id = cli->arguments[0] };
	struct job job = { 0 };
	const char *progress;
	int rc = cli_call(cli, NULL, METHOD_ID_JOB_GET, &request, &job, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get job \"%s\"", request.id);
	if (cli->json)
		return cli_print_json(schema_job(), &job, error);
	printf("job %s  %s  %s\n", job.id, ENUM_NAME(job_kind, job.kind), job.phase);
	printf("  target    %s\n", job.target);
	if (job.node != NULL)
		printf("  node      %s\n", job.node);
	progress = progress_text(cli, &job);
	if (progress[0] != '\0')
		printf("  progress  %s\n", progress);
	if (job.waits_for != NULL)
		printf("waits for: %s\n", job.waits_for);
	return 0;
}

static int wait_run(struct cli *cli, struct error *error)
{
	struct job_request request = { .id = cli->arguments[0] };
	struct job job = { 0 };
	bool seen = false;
	unsigned pause_ms = 0;
	int rc;

	do {
		rc = cli_call(cli, NULL, METHOD_ID_JOB_GET, &request, &job, error);
		if (rc == ERROR_NOT_FOUND) {
			error_clear(error);
			if (!cli->json)
				printf("job %s is over\n", request.id);
			return 0;
		}
		/* While the servers elect a leader the job goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return cli_prefix(error, "cannot wait for job \"%s\"", request.id);
		seen = seen || rc == 0;
	} while (cli_pause(cli, &pause_ms));
	if (!seen)
		return cli_prefix(error, "cannot wait for job \"%s\"", request.id);
	error_set(error, ERROR_DEADLINE_EXCEEDED, "job %s is still in phase %s after %u ms", request.id, job.phase,
		  cli->timeout_ms);
	if (job.waits_for != NULL)
		error_detail(error, "waits for: %s", job.waits_for);
	return error_hint(error, "it goes on without this command; see dnvme job get %s", request.id);
}

static int list_option(struct cli *cli, int key, const char *value, struct error *error)
{
	int number;

	if (key != KEY_KIND)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->kind = value;
	return cli_enum_parse("--kind", enum_schema_job_kind(), value, &number, error);
}

static const struct argp_option list_options[] = {
	{ "kind", KEY_KIND, "KIND", 0, "only failover, drain, restart, rebuild, clean, release or force", 0 },
	{ 0 },
};

const struct cli_command job_commands[] = {
	{ .noun = "job",
	  .verb = "list",
	  .arguments = "",
	  .summary = "moves of slots, rebuilds, and what is to be cleaned",
	  .options = list_options,
	  .option = list_option,
	  .run = list_run },
	{ .noun = "job",
	  .verb = "get",
	  .arguments = "JOB",
	  .argument_count = 1,
	  .summary = "one job, and what it waits for",
	  .run = get_run },
	{ .noun = "job",
	  .verb = "wait",
	  .arguments = "JOB",
	  .argument_count = 1,
	  .summary = "return when a job is over",
	  .text = "A job that is over is forgotten, so one that never was counts as over, too.",
	  .run = wait_run,
	  .waits = true },
	{ 0 },
};
