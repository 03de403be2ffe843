/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme job list|get|wait|cancel|forget */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/job_wait.h"
#include "client/cli/size.h"
#include "client/cli/when.h"

enum { KEY_KIND = 0x2000, KEY_VOLUME, KEY_STATE, KEY_REVISION };

/* All pages as one. */
static int jobs_fetch(struct cli *cli, struct job_page *ret_page, struct error *error)
{
	struct job_list_request request = { .filter = cli->kind, .volume = cli->volume, .state = cli->job_state };
	struct job_page all = { 0 };

	for (;;) {
		struct job_page page = { 0 };
		struct job *items;
		int rc = cli_call(cli, NULL, METHOD_ID_JOB_LIST, &request, &page, error);

		if (rc != 0)
			return rc;
		items = arena_alloc_array(&cli->arena, all.jobs.count + page.jobs.count, sizeof(*items));
		if (items == NULL)
			return error_set_nomem(error);
		if (all.jobs.count > 0)
			memcpy(items, all.jobs.items, all.jobs.count * sizeof(*items));
		if (page.jobs.count > 0)
			memcpy(items + all.jobs.count, page.jobs.items, page.jobs.count * sizeof(*items));
		all.jobs.items = items;
		all.jobs.count += page.jobs.count;
		if (!page.more)
			break;
		if (page.jobs.count == 0)
			return error_set(error, ERROR_INTERNAL, "the server promises more, but its page is empty");
		request.after = items[all.jobs.count - 1].id;
	}
	*ret_page = all;
	return 0;
}

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
	int rc = jobs_fetch(cli, &page, error);
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

static void print_operation(const struct operation *operation)
{
	char when[WHEN_TEXT_SIZE];

	printf("  state     %s\n", ENUM_NAME(operation_state, operation->state));
	printf("  began     %s\n", when_format(operation->created_ms, when));
	if (operation->deadline_ms > 0)
		printf("  deadline  %s\n", when_format(operation->deadline_ms, when));
	if (operation->finished_ms > 0)
		printf("  over      %s\n", when_format(operation->finished_ms, when));
	if (operation->attempts > 1)
		printf("  attempts  %" PRIu64 "\n", operation->attempts);
	if (operation->snapshot != NULL && operation->snapshot->tries > 0 && operation->snapshot->last_error != NULL)
		printf("  tried     %" PRIu64 " times; the last time: %s\n", operation->snapshot->tries,
		       operation->snapshot->last_error->message);
	if (operation->error != NULL)
		printf("  because   %s: %s\n", operation->error->code, operation->error->message);
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
	if (job.operation != NULL)
		print_operation(job.operation);
	progress = progress_text(cli, &job);
	if (progress[0] != '\0')
		printf("  progress  %s\n", progress);
	if (job.waits_for != NULL)
		printf("waits for: %s\n", job.waits_for);
	return 0;
}

static int asked_for_wait(struct cli *cli, const char *id, struct error *error)
{
	struct job job = { 0 };
	int rc = job_await(cli, id, &job, error);

	if (rc != 0)
		return rc;
	if (cli->json)
		return cli_print_json(schema_job(), &job, error);
	printf("job %s is %s: %s\n", id, job.phase, job.target);
	return 0;
}

static int wait_run(struct cli *cli, struct error *error)
{
	struct job_request request = { .id = cli->arguments[0] };
	struct job job = { 0 };
	bool seen = false;
	unsigned pause_ms = 0;
	int rc;

	if (job_is_asked_for(request.id))
		return asked_for_wait(cli, request.id, error);
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

static int cancel_run(struct cli *cli, struct error *error)
{
	struct job_cancel_request request = { .id = cli->arguments[0] };
	struct mutation_reply reply = { 0 };
	struct job job;
	int rc = cli_call(cli, NULL, METHOD_ID_JOB_CANCEL, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot cancel job \"%s\"", request.id);
	if (!cli->no_wait) {
		rc = job_await(cli, request.id, &job, error);
		if (rc != ERROR_CANCELLED)
			return cli_prefix(error, "job \"%s\" is being cancelled", request.id);
		error_clear(error);
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("job %s is %s\n", request.id, cli->no_wait ? "being cancelled" : "cancelled");
	return 0;
}

static int forget_plan_print(struct cli *cli, const struct job_forget_plan *plan, struct error *error)
{
	if (cli->json)
		return cli_print_json(schema_job_forget_plan(), plan, error);
	printf("job %s runs; without it this is left behind, and cleaned up:\n", plan->id);
	for (size_t i = 0; i < plan->items.count; i++)
		printf("  - %s\n", plan->items.items[i]);
	if (plan->count == 0)
		printf("  nothing\n");
	if (plan->count > plan->items.count)
		printf("  and %" PRIu64 " more\n", plan->count - plan->items.count);
	printf("nothing was changed; dnvme job cancel %s undoes it in order; to forget it:\n"
	       "  dnvme job forget %s --revision %" PRIu64 " --yes\n",
	       plan->id, plan->id, plan->revision);
	return 0;
}

static int forget_run(struct cli *cli, struct error *error)
{
	struct job_forget_request request = { .id = cli->arguments[0], .revision = cli->revision };
	struct job_forget_plan plan = { 0 };
	struct mutation_reply reply = { 0 };
	int rc = 0;

	if (cli->yes && cli->revision == 0) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "--revision is missing: the preview names it");
		return error_hint(error, "run it without --yes first");
	}
	if (!cli->yes) {
		rc = cli_call(cli, NULL, METHOD_ID_JOB_FORGET_PLAN, &request, &plan, error);
		if (rc == 0 && !plan.over)
			return forget_plan_print(cli, &plan, error);
	}
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_JOB_FORGET, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot forget job \"%s\"", request.id);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("job %s is forgotten\n", request.id);
	return 0;
}

static int forget_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_REVISION:
		return number_parse("--revision", value, 1, UINT64_MAX, &cli->revision, error);
	default:
		return cli_consent_option(cli, key, value);
	}
}

static int list_option(struct cli *cli, int key, const char *value, struct error *error)
{
	int number;

	switch (key) {
	case KEY_KIND:
		cli->kind = value;
		return cli_enum_parse("--kind", enum_schema_job_kind(), value, &number, error);
	case KEY_STATE:
		cli->job_state = value;
		return cli_enum_parse("--state", enum_schema_operation_state(), value, &number, error);
	case KEY_VOLUME:
		cli->volume = value;
		return 0;
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static const struct argp_option list_options[] = {
	{ "kind", KEY_KIND, "KIND", 0,
	  "only extend, snapshot, failover, drain, restart, rebuild, clean, release or force", 0 },
	{ "volume", KEY_VOLUME, "VOLUME", 0, "only of this volume", 0 },
	{ "state", KEY_STATE, "STATE", 0,
	  "only jobs that somebody asked for, and running, cancelling, failing, done, cancelled or failed", 0 },
	{ 0 },
};

static const struct argp_option forget_options[] = {
	{ "yes", CLI_KEY_YES, NULL, 0, "forget it although it runs", 0 },
	{ "revision", KEY_REVISION, "N", 0, "of the preview that was accepted", 0 },
	{ 0 },
};

const struct cli_command job_commands[] = {
	{ .noun = "job",
	  .verb = "list",
	  .arguments = "",
	  .summary = "what somebody asked for, moves of slots, rebuilds, and what is to be cleaned",
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
	  .text = "One that somebody asked for (j7) is kept, and what came of it decides about success. Another one "
		  "that is "
		  "over is forgotten, so one that never was counts as over, too.",
	  .run = wait_run,
	  .waits = true },
	{ .noun = "job",
	  .verb = "cancel",
	  .arguments = "JOB",
	  .argument_count = 1,
	  .summary = "undo a job that somebody asked for",
	  .text = "Refused when what it made is in use. Waits until everything is undone.",
	  .run = cancel_run,
	  .waits = true },
	{ .noun = "job",
	  .verb = "forget",
	  .arguments = "JOB",
	  .argument_count = 1,
	  .summary = "drop the record of a job",
	  .text = "Of one that is over at once. For one that hangs, it says first what is left behind; with --yes and "
		  "the "
		  "revision that it names, the job is dropped, and the rest is cleaned up without it.",
	  .options = forget_options,
	  .option = forget_option,
	  .run = forget_run },
	{ 0 },
};
