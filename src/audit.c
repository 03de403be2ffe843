/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/exit_status.h"
#include "src/file.h"
#include "src/request.h"

#define MAP_STEP_BYTES (UINT64_C(1) << 20)
/* The Raft log is on the same disk, and needs room more than we do. */
#define ROOM_FACTOR 4u
#define ROOM_BYTES (UINT64_C(64) << 20)

static const char advice[] =
	"if only this server says so, its store is damaged: stop it, remove \"state\" in its data directory, and start "
	"it, "
	"which rebuilds it; if all say so, it is a fault of dnvme: report it, and leave alone what is named";

struct audit {
	struct dnvmed *dnvmed;
	struct list waiting; /* requests */
	struct list asked;   /* requests that the run under way is for */
	uv_work_t work;
	bool running;
	struct buffer dump;
	char directory[FILE_PATH_SIZE];
	struct arena arena; /* of the findings */
	struct fsm_findings findings;
	struct error failure;
	int rv;
};

struct audit *audit_make(struct dnvmed *dnvmed)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	if (audit == NULL)
		return NULL;
	audit->dnvmed = dnvmed;
	list_init(&audit->waiting);
	list_init(&audit->asked);
	snprintf(audit->directory, sizeof(audit->directory), "%s/check", dnvmed->options->data);
	store_remove(audit->directory); /* what a server that died in the middle left */
	return audit;
}

void audit_free(struct audit *audit)
{
	if (audit == NULL)
		return;
	buffer_free(&audit->dump);
	arena_free(&audit->arena);
	free(audit);
}

/* --- an audit ----------------------------------------------------------------------------------------------------- */

int audit_dump(struct bytes dump, const char *directory, struct arena *arena, struct fsm_findings *ret_findings,
	       struct cluster *ret_cluster, struct error *error)
{
	const struct store_options options = { .directory = directory, .map_step_bytes = MAP_STEP_BYTES };
	struct store *store = NULL;
	struct fsm *fsm = NULL;
	bool rebuilt;
	int rv;

	store_remove(directory);
	rv = store_open(&options, &store, &rebuilt, error);
	if (rv != 0) {
		store_remove(directory);
		return rv;
	}
	rv = store_load(store, dump, error);
	if (rv == 0)
		rv = fsm_open(store, NULL, NULL, &fsm, error);
	if (rv == 0)
		rv = fsm_audit(fsm, arena, ret_findings, error);
	if (rv == 0 && ret_cluster != NULL)
		rv = fsm_cluster_get(fsm, arena, ret_cluster, error);
	fsm_close(fsm);
	store_discard(store);
	return rv;
}

/* On a thread of its own: it touches nothing but the audit, which the loop leaves alone meanwhile. */
static void on_work(uv_work_t *work)
{
	struct audit *audit = work->data;

	audit->rv = audit_dump(buffer_bytes(&audit->dump), audit->directory, &audit->arena, &audit->findings, NULL,
			       &audit->failure);
}

static void report_make(const struct audit *audit, struct state_report *ret_report, const char **damage)
{
	*ret_report = (struct state_report){ .server = audit->dnvmed->id,
					     .revision = audit->findings.revision,
					     .applied_index = audit->findings.applied_index,
					     .total = audit->findings.total,
					     .findings = audit->findings.texts };
	if (audit->rv != 0) {
		*damage = audit->failure.message;
		ret_report->total = 1;
		ret_report->findings = (struct string_list){ 1, damage };
		ret_report->incomplete = true;
	}
	if (ret_report->total > 0)
		ret_report->advice = advice;
}

static void asked_answer(struct audit *audit)
{
	/* Of these the state is not to blame. */
	bool failed = audit->rv != 0 && audit->failure.code != ERROR_INTERNAL;
	struct state_report report;
	const char *damage;

	report_make(audit, &report, &damage);
	while (!list_is_empty(&audit->asked)) {
		struct request *request = list_entry(audit->asked.next, struct request, state_link);

		if (failed)
			request_fail(request, &audit->failure);
		else
			request_reply(request, &report);
	}
	if (!failed && report.total > 0)
		log_error("the audit of the state found contradictions", "total=%llu first=\"%s\"",
			  (unsigned long long)report.total, report.findings.count > 0 ? report.findings.items[0] : "");
}

static void on_worked(uv_work_t *work, int status)
{
	struct audit *audit = work->data;

	if (status != 0)
		audit->rv = error_set(&audit->failure, ERROR_CANCELLED, "the server is stopping");
	audit->running = false;
	asked_answer(audit);
	buffer_free(&audit->dump);
	arena_free(&audit->arena);
}

/* --- those who ask ------------------------------------------------------------------------------------------------ */

static int room_check(const struct audit *audit, struct error *error)
{
	uint64_t wanted = audit->dump.size * ROOM_FACTOR + ROOM_BYTES, available;
	struct statvfs status;

	if (statvfs(audit->dnvmed->options->data, &status) != 0)
		return error_set_errno(error, errno, "cannot look at %s", audit->dnvmed->options->data);
	available = (uint64_t)status.f_bavail * status.f_frsize;
	if (available >= wanted)
		return 0;
	error_set(error, ERROR_NO_CAPACITY,
		  "cluster.check: a copy of the state needs %" PRIu64 " bytes on the disk of %s, which has %" PRIu64,
		  wanted, audit->dnvmed->options->data, available);
	return error_hint(error, "ask another server, or free space");
}

static int audit_begin(struct audit *audit)
{
	struct error *failure = &audit->failure;
	int rv;

	error_clear(failure);
	audit->findings = (struct fsm_findings){ .revision = fsm_revision(audit->dnvmed->fsm),
						 .applied_index = fsm_applied_index(audit->dnvmed->fsm) };
	rv = fsm_dump(audit->dnvmed->fsm, &audit->dump, failure);
	if (rv == 0)
		rv = room_check(audit, failure);
	if (rv != 0)
		return rv;
	audit->work.data = audit;
	rv = uv_queue_work(&audit->dnvmed->loop, &audit->work, on_work, on_worked);
	return rv == 0 ? 0 : error_set_errno(failure, -rv, "cannot begin an audit");
}

void audit_tick(struct dnvmed *dnvmed)
{
	struct audit *audit = dnvmed->audit;

	if (audit->running || list_is_empty(&audit->waiting) || dnvmed_is_stopping(dnvmed))
		return;
	list_take(&audit->asked, &audit->waiting);
	audit->rv = audit_begin(audit);
	audit->running = audit->rv == 0;
	if (audit->running)
		return;
	buffer_free(&audit->dump);
	asked_answer(audit);
}

int cluster_check_answer(struct request *request, struct error *error)
{
	struct dnvmed *dnvmed = request->dnvmed;

	if (dnvmed->consensus == NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this server is not part of a cluster yet");
		return error_hint(error, "run: dnvme cluster init --name NAME");
	}
	if (dnvmed_is_stopping(dnvmed))
		return error_set(error, ERROR_UNAVAILABLE, "the server is stopping");
	request_state_set(request, REQUEST_WAIT_OTHERS);
	request->waits_for = "the audit of the state is not finished";
	list_append(&dnvmed->audit->waiting, &request->state_link);
	return 0;
}

/* --- of a stopped server ------------------------------------------------------------------------------------------ */

static int stopped_audit(const char *data_directory, struct arena *arena, struct fsm_findings *ret_findings,
			 struct error *error)
{
	char directory[FILE_PATH_SIZE];
	struct store *store = NULL;
	struct fsm *fsm = NULL;
	int rv;

	snprintf(directory, sizeof(directory), "%s/state", data_directory);
	rv = store_open_read(directory, NULL, &store, error);
	if (rv != 0)
		return rv;
	rv = fsm_open(store, NULL, NULL, &fsm, error);
	if (rv == 0)
		rv = fsm_audit(fsm, arena, ret_findings, error);
	fsm_close(fsm);
	store_close(store);
	return rv;
}

int audit_stopped(const char *data_directory)
{
	struct arena arena = ARENA_INIT;
	struct fsm_findings findings;
	struct error error;
	int status = EXIT_STATUS_FAILED;

	error_clear(&error);
	if (stopped_audit(data_directory, &arena, &findings, &error) != 0) {
		fprintf(stderr, "dnvmed: cannot check the state in %s: %s\n", data_directory, error.message);
		if (error.hint[0] != '\0')
			fprintf(stderr, "hint: %s\n", error.hint);
	} else if (findings.total > 0) {
		for (size_t i = 0; i < findings.texts.count; i++)
			printf("%s\n", findings.texts.items[i]);
		fprintf(stderr, "dnvmed: the state in %s contradicts itself in %zu places\nhint: %s\n", data_directory,
			findings.total, advice);
	} else {
		printf("the state in %s is sound: revision %" PRIu64 ", index %" PRIu64 "\n", data_directory,
		       findings.revision, findings.applied_index);
		status = EXIT_STATUS_STOPPED;
	}
	arena_free(&arena);
	return status;
}
