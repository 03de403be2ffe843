/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_paths.h"

#include <libnvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/names.h"

#define LEAVE_RETRY_MS 5000u
/* A peer that answers takes the export away by itself, or its lease runs out: as a rule sooner than this. */
#define LEAVE_PATIENCE_MS 1000u
/* A path that is taken away may be the first of all: so long it is not made again. */
#define TAKEN_MS 2000u
/* "Not yet" is worth a word after so many attempts only. */
#define LEAVE_SAID_AT 30u

#define TUNE_MS 5000u /* settings that somebody else changed are put right so often */

_Static_assert(HOST_JOBS <= HOST_TASKS, "all jobs of a volume are waited for at once");

/* --- this machine ---------------------------------------------------------------------------------------- */

/* The first word of a text that libnvme allocated; false when there is none, or it does not fit. */
static bool first_word(char *text, char *ret_word, size_t size)
{
	size_t length = text == NULL ? 0 : strcspn(text, " \t\r\n");
	bool fits = length > 0 && length < size;

	if (fits) {
		memcpy(ret_word, text, length);
		ret_word[length] = '\0';
	}
	free(text);
	return fits;
}

int host_identity_find(const char *nqn, struct host_identity *ret_identity, struct error *error)
{
	struct host_identity identity = { .nqn = "" };
	char id[UUID_TEXT_SIZE] = "";
	uint8_t uuid[16];

	if (nqn != NULL) {
		snprintf(identity.nqn, sizeof(identity.nqn), "%s", nqn);
	} else {
		if (!first_word(nvmf_hostnqn_from_file(), identity.nqn, sizeof(identity.nqn))) {
			error_set(error, ERROR_FAILED_PRECONDITION,
				  "this machine has no host NQN in /etc/nvme/hostnqn");
			return error_hint(error, "write one there (nvme gen-hostnqn makes one), or use --host-nqn");
		}
		/* The kernel refuses one NQN with two ids: use the id with which others connect, too. */
		(void)first_word(nvmf_hostid_from_file(), id, sizeof(id));
	}
	if (names_nqn_check(nqn != NULL ? "--host-nqn" : "/etc/nvme/hostnqn", nqn != NULL ? nqn : identity.nqn,
			    error) != 0)
		return ERROR_INVALID_ARGUMENT;
	if (uuid_text_parse(id, uuid) != 0)
		uuid_from_name(identity.nqn, uuid);
	uuid_text_format(uuid, identity.id);
	*ret_identity = identity;
	return 0;
}

unsigned host_keep_alive_s(const struct volume *volume)
{
	return volume->slots.count > 1 ? LIMIT_HOST_KEEP_ALIVE_S : LIMIT_HOST_KEEP_ALIVE_SINGLE_S;
}

/* --- jobs ------------------------------------------------------------------------------------------------ */

void host_paths_init(struct host_paths *paths, const char *sysfs, const struct host_identity *identity)
{
	*paths = (struct host_paths){
		.sysfs = sysfs,
		.identity = *identity,
		.connect = host_path_connect,
		.leave = host_leave,
		.retry_ms = 1000,
	};
	for (size_t i = 0; i < HOST_JOBS; i++)
		paths->jobs[i].task = (struct host_task)HOST_TASK_INIT;
}

static bool leads_to(const struct host_connection *connection, const struct volume_path *path)
{
	char port[sizeof(connection->port)];

	snprintf(port, sizeof(port), "%u", (unsigned)path->port);
	return strcmp(connection->address, path->address) == 0 && strcmp(connection->port, port) == 0;
}

static struct host_job *job_of(struct host_paths *paths, const struct host_action *action)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		struct host_job *job = &paths->jobs[i];

		if (job->used && job->kind == action->kind &&
		    (action->kind == HOST_ACTION_CONNECT
			     ? leads_to(&job->connection, action->path)
			     : strcmp(job->leaving.controller.name, action->controller->name) == 0))
			return job;
	}
	return NULL;
}

static struct host_job *job_make(struct host_paths *paths, const struct volume_status *status,
				 const struct host_action *action)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		struct host_job *job = &paths->jobs[i];

		if (job->used)
			continue;
		*job = (struct host_job){
			.used = true, .kind = action->kind, .task = HOST_TASK_INIT, .collected = true
		};
		if (action->path != NULL)
			snprintf(job->node, sizeof(job->node), "%s", action->path->node);
		if (action->kind != HOST_ACTION_CONNECT) {
			job->leaving =
				(struct host_leaving){ .sysfs = paths->sysfs, .controller = *action->controller };
			return job;
		}
		job->connection.identity = paths->identity;
		job->connection.keep_alive_s = host_keep_alive_s(status->volume);
		job->connection.patient = paths->patient;
		snprintf(job->connection.nqn, sizeof(job->connection.nqn), "%s", status->nqn);
		snprintf(job->connection.address, sizeof(job->connection.address), "%s", action->path->address);
		snprintf(job->connection.port, sizeof(job->connection.port), "%u", (unsigned)action->path->port);
		return job;
	}
	return NULL;
}

static int job_start(struct host_paths *paths, struct host_job *job, struct error *error)
{
	job->attempts++;
	if (job->kind == HOST_ACTION_CONNECT)
		return host_task_start(&job->task, paths->connect, &job->connection, error);
	job->leaving.others = paths->others;
	return host_task_start(&job->task, paths->leave, &job->leaving, error);
}

static void job_begin(struct host_paths *paths, const struct volume_status *status, const struct host_action *action,
		      uint64_t now_ms, host_paths_report report, void *data)
{
	struct host_job *job = job_of(paths, action);

	if (job == NULL)
		job = job_make(paths, status, action);
	if (job == NULL || host_task_runs(&job->task) || now_ms < job->retry_ms)
		return;
	if (job->attempts == 0)
		job->first_ms = now_ms;
	job->retry_ms = now_ms + (job->kind == HOST_ACTION_CONNECT ? paths->retry_ms : LEAVE_RETRY_MS);
	job->leaving.live = now_ms - job->first_ms < LEAVE_PATIENCE_MS ? HOST_LEAVE_WAIT : HOST_LEAVE_RESET;
	if (job_start(paths, job, &job->task.failure) == 0) {
		job->collected = false;
		if (report != NULL && (job->kind == HOST_ACTION_CONNECT || job->attempts == 1))
			report(data, job, NULL);
	}
}

static void jobs_collect(struct host_paths *paths, host_paths_report report, void *data)
{
	host_paths_wait(paths, 0);
	for (size_t i = 0; i < HOST_JOBS; i++) {
		struct host_job *job = &paths->jobs[i];

		if (!job->used || job->collected || host_task_runs(&job->task))
			continue;
		job->collected = true;
		/* It could not be left yet: asked again at the next look. */
		if (job->kind == HOST_ACTION_LEAVE && job->task.failure.code == ERROR_UNAVAILABLE) {
			job->retry_ms = 0;
			if (job->attempts != LEAVE_SAID_AT)
				continue;
		}
		if (report != NULL)
			report(data, job, &job->task.failure);
	}
}

/* Forget what concerns nothing any more. */
static void jobs_forget(struct host_paths *paths, const struct volume_status *status)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		struct host_job *job = &paths->jobs[i];
		bool needed = !job->used || host_task_runs(&job->task);

		for (size_t j = 0; !needed && job->kind == HOST_ACTION_CONNECT && j < status->paths.count; j++)
			needed = leads_to(&job->connection, &status->paths.items[j]);
		for (size_t j = 0; !needed && job->kind != HOST_ACTION_CONNECT && j < paths->known_count; j++)
			needed = strcmp(job->leaving.controller.name, paths->known[j].name) == 0 &&
				 !host_plan_stays(status, &paths->known[j]);
		if (!needed)
			job->used = false;
	}
}

/* --- looking --------------------------------------------------------------------------------------------- */

static bool is_deleting(const struct host_controller *controller)
{
	return strncmp(controller->state, "deleting", strlen("deleting")) == 0;
}

/* One that is being made, or could not be, goes by itself. */
static bool was_made(const struct host_paths *paths, const struct host_controller *controller)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		const struct host_job *job = &paths->jobs[i];

		if (job->used && job->kind == HOST_ACTION_CONNECT &&
		    strcmp(job->connection.address, controller->address) == 0 &&
		    strcmp(job->connection.port, controller->port) == 0)
			return !host_task_runs(&job->task) && job->task.failure.code == ERROR_NONE;
	}
	return true;
}

static void taken_note(struct host_paths *paths, const struct host_controller *controller, uint64_t now_ms)
{
	struct host_taken *oldest = &paths->taken[0];

	for (size_t i = 1; i < LIMIT_COLOURS; i++) {
		if (paths->taken[i].since_ms < oldest->since_ms)
			oldest = &paths->taken[i];
	}
	oldest->since_ms = now_ms;
	strcpy(oldest->address, controller->address);
	strcpy(oldest->port, controller->port);
}

static bool is_taken(const struct host_paths *paths, const struct volume_path *path, uint64_t now_ms)
{
	char port[HOST_NAME_SIZE];

	snprintf(port, sizeof(port), "%u", (unsigned)path->port);
	for (size_t i = 0; i < LIMIT_COLOURS; i++) {
		if (paths->taken[i].since_ms != 0 && now_ms - paths->taken[i].since_ms < TAKEN_MS &&
		    strcmp(paths->taken[i].address, path->address) == 0 && strcmp(paths->taken[i].port, port) == 0)
			return true;
	}
	return false;
}

/* What is gone since the last look, or is going. */
static void taken_look(struct host_paths *paths, const struct host_controller *found, size_t count, uint64_t now_ms)
{
	for (size_t i = 0; i < paths->known_count; i++) {
		const struct host_controller *before = &paths->known[i], *after = NULL;

		for (size_t j = 0; j < count; j++) {
			if (strcmp(found[j].name, before->name) == 0)
				after = &found[j];
		}
		if (!is_deleting(before) && (after == NULL || is_deleting(after)) && was_made(paths, before))
			taken_note(paths, before, now_ms);
	}
}

static int look(struct host_paths *paths, const struct volume_status *status, uint64_t now_ms, struct error *error)
{
	struct host_controller found[HOST_CONTROLLERS];
	bool trouble = false, tune = paths->tuned_ms == 0 || now_ms - paths->tuned_ms >= TUNE_MS;
	size_t count = 0, wanted = 0;
	int rc = 0;

	if (paths->sight != NULL)
		host_sight_find(paths->sight, status->nqn, found, &count);
	else
		rc = host_controllers_find(paths->sysfs, status->nqn, found, &count, error);
	if (rc != 0)
		return rc;
	taken_look(paths, found, count, now_ms);
	for (size_t i = 0; i < count; i++) {
		bool fresh = i >= paths->known_count || strcmp(paths->known[i].name, found[i].name) != 0;

		paths->known[i] = found[i];
		if (!host_plan_stays(status, &found[i]))
			continue;
		if (found[i].host_nqn[0] != '\0' && strcmp(found[i].host_nqn, paths->identity.nqn) != 0) {
			error_set(error, ERROR_CONFLICT, "%s (%s:%s) is connected as host %s", found[i].name,
				  found[i].address, found[i].port, found[i].host_nqn);
			return error_hint(error, "disconnect it first, or use --host-nqn %s", found[i].host_nqn);
		}
		if (fresh || tune)
			host_controller_tune(paths->sysfs, found[i].name);
	}
	if (tune)
		paths->tuned_ms = now_ms;
	paths->known_count = count;
	for (size_t i = 0; i < count; i++)
		trouble = trouble || strcmp(found[i].state, "live") != 0 || !host_plan_stays(status, &found[i]);
	for (size_t i = 0; i < status->paths.count; i++)
		wanted += status->paths.items[i].role != CONTROLLER_ROLE_RETIRED;
	/* Which one leads to the namespace matters only while some other one does not. */
	for (size_t i = 0; (trouble || count < wanted) && i < count; i++)
		paths->known[i].pathless = !host_controller_has_path(paths->sysfs, found[i].name);
	return 0;
}

int host_paths_step(struct host_paths *paths, const struct volume_status *status, uint64_t now_ms,
		    host_paths_report report, void *data, struct error *error)
{
	struct host_action actions[HOST_ACTIONS];
	int rc;

	jobs_collect(paths, report, data);
	rc = look(paths, status, now_ms, error);
	if (rc != 0)
		return rc;
	jobs_forget(paths, status);
	paths->planned = host_plan(status, paths->identity.nqn, paths->known, paths->known_count, actions);
	for (size_t i = 0; i < paths->planned; i++) {
		if (actions[i].kind != HOST_ACTION_CONNECT || !is_taken(paths, actions[i].path, now_ms))
			job_begin(paths, status, &actions[i], now_ms, report, data);
	}
	return 0;
}

void host_paths_expendable(const struct host_paths *paths, const struct volume_status *status,
			   char (*names)[HOST_NAME_SIZE], size_t max, size_t *count)
{
	for (size_t i = 0; i < HOST_JOBS && *count < max; i++) {
		if (paths->jobs[i].used && paths->jobs[i].kind == HOST_ACTION_LEAVE)
			strcpy(names[(*count)++], paths->jobs[i].leaving.controller.name);
	}
	for (size_t i = 0; i < paths->known_count && *count < max; i++) {
		if (host_plan_is_idle(status, &paths->known[i]))
			strcpy(names[(*count)++], paths->known[i].name);
	}
}

bool host_paths_has(const struct host_paths *paths, const struct volume_path *path, const struct host_job **ret_job)
{
	const struct host_job *making = NULL;
	char port[8];

	for (size_t i = 0; i < HOST_JOBS; i++) {
		if (paths->jobs[i].used && paths->jobs[i].kind == HOST_ACTION_CONNECT &&
		    leads_to(&paths->jobs[i].connection, path))
			making = &paths->jobs[i];
	}
	if (ret_job != NULL)
		*ret_job = making;
	snprintf(port, sizeof(port), "%u", (unsigned)path->port);
	for (size_t i = 0; i < paths->known_count; i++) {
		const struct host_controller *controller = &paths->known[i];

		if (strcmp(controller->address, path->address) != 0 || strcmp(controller->port, port) != 0 ||
		    is_deleting(controller))
			continue;
		/* One that is just being made may still fail; one that was there before goes on trying. Whoever makes
		 * it has to be done even if it is live: left to itself before, it may take the volume for disconnected.
		 */
		return making == NULL || !host_task_runs(&making->task);
	}
	return false;
}

void host_paths_wait(struct host_paths *paths, int timeout_ms)
{
	struct host_task *tasks[HOST_JOBS];
	size_t count = 0;

	for (size_t i = 0; i < HOST_JOBS; i++) {
		if (paths->jobs[i].used && host_task_runs(&paths->jobs[i].task))
			tasks[count++] = &paths->jobs[i].task;
	}
	host_tasks_wait(tasks, count, timeout_ms);
}

void host_paths_leave(struct host_paths *paths, const struct volume_status *status)
{
	for (size_t i = 0; i < status->paths.count && paths->patient; i++) {
		const struct volume_path *path = &status->paths.items[i];
		const struct host_job *job = NULL;

		if (path->role != CONTROLLER_ROLE_RETIRED && !host_paths_has(paths, path, &job) && job != NULL &&
		    !host_task_runs(&job->task))
			(void)job_start(paths, (struct host_job *)job, NULL);
	}
	for (size_t i = 0; i < HOST_JOBS; i++)
		host_task_leave(&paths->jobs[i].task);
}
