/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/job_wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/model/names.h"

#define WAIT_MS 2000u /* then what is shown is brought up to date */
#define BAR_CELLS 20
#define LINE_SIZE 120

bool job_is_asked_for(const char *id)
{
	uint64_t number;

	return names_id_parse("j", id, &number) == 0;
}

/* How many of the phases are behind it, of so many. */
static unsigned steps_done(const struct operation *operation, unsigned *ret_steps)
{
	unsigned steps = operation->kind == JOB_KIND_SNAPSHOT ? 6 : operation->kind == JOB_KIND_MOVE_SLOT ? 2 : 4;

	*ret_steps = steps;
	switch (operation->phase) {
	case OPERATION_PHASE_EXPORTING:
	case OPERATION_PHASE_PREPARING:
		return 0;
	case OPERATION_PHASE_FORMATTING:
	case OPERATION_PHASE_MOVING:
		return 1;
	case OPERATION_PHASE_JOINING:
		return 2;
	case OPERATION_PHASE_RESIZING:
	case OPERATION_PHASE_PAUSING:
		return 3;
	case OPERATION_PHASE_SNAPPING:
		return 4;
	case OPERATION_PHASE_RESUMING:
		return 5;
	case OPERATION_PHASE_UNDOING:
		*ret_steps = 2;
		return 0;
	case OPERATION_PHASE_RELEASING:
		*ret_steps = 2;
		return 1;
	case OPERATION_PHASE_OVER:
		break;
	}
	return steps;
}

/* One line that is written over. */
static void show(const struct cli *cli, const struct job *job)
{
	unsigned steps, done = steps_done(job->operation, &steps), cells;
	char bar[BAR_CELLS + 1], line[LINE_SIZE];

	if (cli->json || !isatty(STDERR_FILENO))
		return;
	cells = done * BAR_CELLS / steps;
	memset(bar, '.', BAR_CELLS);
	memset(bar, '#', cells);
	bar[BAR_CELLS] = '\0';
	snprintf(line, sizeof(line), "%s [%s] %s%s%.60s", job->id, bar, job->phase, job->waits_for != NULL ? ": " : "",
		 job->waits_for != NULL ? job->waits_for : "");
	fprintf(stderr, "\r%s\033[K", line);
}

static void show_end(const struct cli *cli)
{
	if (!cli->json && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

static int ended(const struct job *job, struct error *error)
{
	const struct operation *operation = job->operation;

	if (operation->state == OPERATION_STATE_DONE)
		return 0;
	error_set(error, operation->state == OPERATION_STATE_CANCELLED ? ERROR_CANCELLED : ERROR_FAILED_PRECONDITION,
		  "job %s is %s%s%s", job->id, job->phase, operation->error != NULL ? ": " : "",
		  operation->error != NULL ? operation->error->message : "");
	if (operation->kind == JOB_KIND_MOVE_SLOT)
		return error_hint(error, "dnvme volume get %s shows where its slots are", operation->volume_name);
	return error_hint(error, "what it had made was undone");
}

int job_await(struct cli *cli, const char *id, struct job *ret_job, struct error *error)
{
	struct job_wait_request request = { .id = id };
	struct job job = { 0 };
	bool seen = false;
	unsigned pause_ms = 0, left_ms;
	int rc;

	do {
		left_ms = cli_left_ms(cli);
		request.wait_ms = left_ms < WAIT_MS ? left_ms / 2 : WAIT_MS;
		rc = cli_call(cli, NULL, METHOD_ID_JOB_WAIT, &request, &job, error);
		/* While the servers elect a leader the job goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			break;
		seen = seen || rc == 0;
		if (rc != 0)
			continue;
		if (job.operation != NULL && job.operation->phase == OPERATION_PHASE_OVER) {
			show_end(cli);
			*ret_job = job;
			return ended(&job, error);
		}
		if (job.operation != NULL)
			show(cli, &job);
		pause_ms = 0;
	} while (cli_pause(cli, &pause_ms));
	show_end(cli);
	if (!seen || (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED))
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "job %s is still in phase %s after %u ms", id, job.phase,
		  cli->timeout_ms);
	if (job.waits_for != NULL)
		error_detail(error, "waits for: %s", job.waits_for);
	return error_hint(error, "it goes on without this command; see dnvme job get %s", id);
}
