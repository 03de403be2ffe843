/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/host_keep_alive.h"
#include "client/cli/host_paths.h"
#include "client/cli/host_report.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define WAIT_MS 5000u	      /* one question to the control plane; its answer comes when something changed */
#define CALL_MS 9000u	      /* on top of that, over all servers */
#define LOOK_MS 1000u	      /* at the kernel, when nothing is to be done */
#define BUSY_MS 100u	      /* when something is */
#define ASK_AGAIN_MS 1000u    /* after an answer that was no good */
#define GONE_AGAIN_MS 10000u  /* of a volume that the control plane does not know, or not for this host */
#define CONNECT_AGAIN_MS 5000 /* between attempts at one path */
#define VOLUMES_MAX 1000u
#define EXPENDABLE_MAX 4000u

struct watch;

/* One volume. */
struct watched {
	struct watched *next;
	struct watch *watch;
	bool named;		   /* by the operator: kept when it is not connected */
	char name[LIMIT_NAME + 1]; /* by which it is asked for: as named, or its id */
	char nqn[LIMIT_NQN + 1];   /* empty until it is known */
	struct dnvme_pending *pending;
	uint64_t revision, ask_ms;
	char trouble[ERROR_MESSAGE_SIZE]; /* what was logged last, so that it is said once */
	struct arena arena;		  /* of `status` */
	struct volume_status *status;	  /* what the control plane said last; NULL: nothing yet, or it is not ours */
	struct host_told told;
	struct host_paths paths;
};

struct watch {
	struct dnvme *dnvme;
	struct host_identity identity;
	struct watched *first;
	size_t count;
	bool all;
	struct host_sight sight;
	uint64_t sight_ms; /* when it was looked at last */
	struct host_reporter reporter;
	struct host_keep_alive keep_alive;
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
	(void)number;
	stop_wanted = 1;
}

/* --- what is said --------------------------------------------------------------------------------------- */

/* Once for each trouble, and once when it is over. */
static void trouble(struct watched *watched, const char *text)
{
	if (strcmp(watched->trouble, text) == 0)
		return;
	snprintf(watched->trouble, sizeof(watched->trouble), "%s", text);
	if (text[0] != '\0')
		log_warning("volume is not followed", "volume=%s reason=\"%s\"", watched->name, text);
	else
		log_notice("volume is followed again", "volume=%s", watched->name);
}

static void on_job(void *data, const struct host_job *job, const struct error *failure)
{
	static const char *const begun[] = { "connecting a path", "leaving a path that is not wanted any more" };
	static const char *const done[] = { "path connected", "path left" };
	const struct watched *watched = data;
	bool connects = job->kind == HOST_ACTION_CONNECT;
	const char *address = connects ? job->connection.address : job->leaving.controller.address;
	const char *port = connects ? job->connection.port : job->leaving.controller.port;
	const char *name = connects ? "new" : job->leaving.controller.name;

	if (failure == NULL)
		log_notice(begun[job->kind], "volume=%s node=%s address=%s:%s controller=%s", watched->name, job->node,
			   address, port, name);
	else if (failure->code == ERROR_NONE)
		log_notice(done[job->kind], "volume=%s node=%s address=%s:%s controller=%s", watched->name, job->node,
			   address, port, name);
	else
		log_warning("it failed", "volume=%s node=%s address=%s:%s controller=%s reason=\"%s\"", watched->name,
			    job->node, address, port, name, failure->message);
}

/* --- asking --------------------------------------------------------------------------------------------- */

static void forget_status(struct watched *watched)
{
	arena_free(&watched->arena);
	watched->status = NULL;
	watched->revision = 0;
}

static void take_status(struct watched *watched, struct dnvme_result *result, uint64_t now_ms)
{
	size_t size = 0;
	const void *data = dnvme_result_msgpack(result, &size);
	struct arena arena = ARENA_INIT;
	struct volume_status *status = arena_alloc(&arena, sizeof(*status));
	struct error error;

	error_clear(&error);
	if (status == NULL ||
	    codec_decode(schema_volume_status(), (struct bytes){ data, size }, &arena, status, &error) != 0) {
		trouble(watched, status == NULL ? "out of memory" : error.message);
		watched->ask_ms = now_ms + ASK_AGAIN_MS;
		arena_free(&arena);
		return;
	}
	if (watched->nqn[0] != '\0' && strcmp(watched->nqn, status->nqn) != 0) {
		trouble(watched, "what this machine has connected is of another cluster");
		watched->ask_ms = now_ms + GONE_AGAIN_MS;
		arena_free(&arena);
		return;
	}
	if (watched->status == NULL)
		log_notice("following a volume", "volume=%s name=%s revision=%" PRIu64, watched->name,
			   status->volume->name, status->volume->revision);
	arena_free(&watched->arena);
	watched->arena = arena;
	watched->status = status;
	watched->revision = status->volume->revision;
	snprintf(watched->nqn, sizeof(watched->nqn), "%s", status->nqn);
	trouble(watched, "");
}

static void on_answer(struct dnvme *dnvme, const struct dnvme_error *failure, struct dnvme_result *result, void *data)
{
	struct watched *watched = data;
	uint64_t now_ms = clock_boot_ms();

	(void)dnvme;
	watched->pending = NULL;
	if (failure == NULL) {
		take_status(watched, result, now_ms);
		dnvme_result_free(result);
		return;
	}
	trouble(watched, failure->message);
	watched->ask_ms = now_ms + ASK_AGAIN_MS;
	/* Without a server one goes on with what one knows; of a volume that is gone, nothing is touched any more. */
	if (failure->code == DNVME_NOT_FOUND) {
		forget_status(watched);
		watched->ask_ms = now_ms + GONE_AGAIN_MS;
	}
}

static void ask(struct watched *watched, uint64_t now_ms)
{
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	struct dnvme_error failure;
	char params[256];

	if (watched->pending != NULL || now_ms < watched->ask_ms)
		return;
	/* Names are DNS labels, so that they need no quoting. */
	snprintf(params, sizeof(params), "{\"name\":\"%s\",\"after_revision\":%" PRIu64 ",\"wait_ms\":%u}",
		 watched->name, watched->revision, WAIT_MS);
	options.timeout_ms = CALL_MS;
	if (dnvme_start(watched->watch->dnvme, "volume.get", params, &options, on_answer, watched, &watched->pending,
			&failure) != DNVME_OK) {
		trouble(watched, failure.message);
		watched->ask_ms = now_ms + ASK_AGAIN_MS;
	}
}

/* --- which volumes -------------------------------------------------------------------------------------- */

static struct watched *watched_add(struct watch *watch, const char *name, const char *nqn, bool named)
{
	struct watched *watched = watch->count < VOLUMES_MAX ? calloc(1, sizeof(*watched)) : NULL;

	if (watched == NULL)
		return NULL;
	watched->watch = watch;
	watched->named = named;
	snprintf(watched->name, sizeof(watched->name), "%s", name);
	snprintf(watched->nqn, sizeof(watched->nqn), "%s", nqn);
	host_paths_init(&watched->paths, HOST_SYSFS, &watch->identity);
	watched->paths.retry_ms = CONNECT_AGAIN_MS;
	watched->paths.sight = &watch->sight;
	watched->next = watch->first;
	watch->first = watched;
	watch->count++;
	return watched;
}

static void watched_free(struct watched *watched)
{
	if (watched->pending != NULL)
		dnvme_cancel(watched->watch->dnvme, watched->pending);
	for (size_t i = 0; i < HOST_JOBS; i++)
		host_task_leave(&watched->paths.jobs[i].task);
	watched->watch->count--;
	arena_free(&watched->arena);
	free(watched);
}

/* "v12" of "nqn.2026-11.io.dnvme:CLUSTER:volume:v12". */
static bool volume_of_nqn(const char *nqn, char ret_id[NAMES_ID_SIZE])
{
	const char *kind = strstr(nqn, ":volume:");
	uint64_t id;

	if (kind == NULL || names_id_parse("v", kind + strlen(":volume:"), &id) != 0)
		return false;
	names_id_format("v", id, ret_id);
	return true;
}

static bool is_ours(const struct watch *watch, const struct host_seen *seen)
{
	const struct host_controller *controller = &seen->controller;

	return (controller->host_nqn[0] == '\0' || strcmp(controller->host_nqn, watch->identity.nqn) == 0) &&
	       strncmp(controller->state, "deleting", strlen("deleting")) != 0;
}

static bool is_connected(const struct watch *watch, const char *nqn)
{
	for (size_t i = 0; i < watch->sight.count; i++) {
		if (strcmp(watch->sight.items[i].nqn, nqn) == 0 && is_ours(watch, &watch->sight.items[i]))
			return true;
	}
	return false;
}

static void discover(struct watch *watch)
{
	for (size_t i = 0; i < watch->sight.count; i++) {
		const struct host_seen *seen = &watch->sight.items[i];
		struct watched *watched = watch->first;
		char id[NAMES_ID_SIZE];

		while (watched != NULL && strcmp(watched->nqn, seen->nqn) != 0)
			watched = watched->next;
		if (watched == NULL && is_ours(watch, seen) && volume_of_nqn(seen->nqn, id) &&
		    watched_add(watch, id, seen->nqn, false) == NULL)
			log_error("cannot follow one more volume", "volume=%s", id);
	}
}

/* Once for all volumes; an answer of the control plane alone is no reason for another look. */
static void look(struct watch *watch, uint64_t now_ms)
{
	struct error error;

	if (watch->sight_ms != 0 && now_ms - watch->sight_ms < BUSY_MS)
		return;
	watch->sight_ms = now_ms;
	if (host_sight_look(&watch->sight, &error) != 0)
		log_failure(LOG_LEVEL_WARNING, "cannot look at the kernel", &error);
	else if (watch->all)
		discover(watch);
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void step(struct watched *watched, uint64_t now_ms)
{
	struct error error;

	if (watched->status == NULL)
		return;
	/* What this machine has disconnected is not connected again behind its back. */
	if (!is_connected(watched->watch, watched->nqn)) {
		watched->paths.planned = 0;
		return;
	}
	error_clear(&error);
	if (host_paths_step(&watched->paths, watched->status, now_ms, on_job, watched, &error) != 0)
		trouble(watched, error.message);
}

/* Of all volumes: whoever leaves a path may end the connections of these with its own. */
static struct host_names expendable(const struct watch *watch)
{
	static char names[EXPENDABLE_MAX][HOST_NAME_SIZE];
	struct host_names all = { names, 0 };

	for (const struct watched *watched = watch->first; watched != NULL; watched = watched->next) {
		if (watched->status != NULL)
			host_paths_expendable(&watched->paths, watched->status, names, EXPENDABLE_MAX, &all.count);
	}
	return all;
}

/* Of all volumes that this machine has connected. */
static void report(struct watch *watch, uint64_t now_ms)
{
	static struct host_report_batch batch;

	if (!host_reporter_is_free(&watch->reporter, now_ms))
		return;
	batch.count = 0;
	for (struct watched *watched = watch->first; watched != NULL; watched = watched->next) {
		if (watched->status != NULL && is_connected(watch, watched->nqn))
			host_report_add(&batch, watched->status, watch->identity.nqn, watched->paths.known,
					watched->paths.known_count, &watched->told, now_ms);
	}
	host_reporter_send(&watch->reporter, &batch);
}

static void keep_alive(struct watch *watch, uint64_t now_ms)
{
	struct error error;

	error_clear(&error);
	if (host_keep_alive_start(&watch->keep_alive, watch->identity.nqn, now_ms, &error) != 0)
		log_failure(LOG_LEVEL_WARNING, "the kernel's keep-alives are left as they are", &error);
}

/* Returns how long may be slept. */
static unsigned turn(struct watch *watch)
{
	struct host_names others = expendable(watch);
	uint64_t now_ms = clock_boot_ms();
	unsigned pause_ms = LOOK_MS;

	keep_alive(watch, now_ms);
	look(watch, now_ms);
	for (struct watched **place = &watch->first, *watched; (watched = *place) != NULL;) {
		if (!watched->named && !is_connected(watch, watched->nqn)) {
			log_notice("volume is not connected any more", "volume=%s", watched->name);
			*place = watched->next;
			watched_free(watched);
			continue;
		}
		watched->paths.others = others;
		step(watched, now_ms);
		ask(watched, now_ms);
		if (watched->paths.planned > 0)
			pause_ms = BUSY_MS;
		place = &watched->next;
	}
	report(watch, now_ms);
	return pause_ms;
}

static void loop(struct watch *watch, const sigset_t *mask)
{
	while (!stop_wanted) {
		unsigned pause_ms = turn(watch);
		int timeout_ms = dnvme_poll_timeout_ms(watch->dnvme);
		struct pollfd wanted = { .fd = dnvme_poll_fd(watch->dnvme), .events = dnvme_poll_events(watch->dnvme) };
		struct timespec pause;

		if (timeout_ms < 0 || (unsigned)timeout_ms > pause_ms)
			timeout_ms = (int)pause_ms;
		pause = (struct timespec){ .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
		/* Signals come only here, so that none is missed. */
		(void)ppoll(&wanted, 1, &pause, mask);
		dnvme_process(watch->dnvme);
	}
}

static void signals_take(sigset_t *ret_before)
{
	const struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, ret_before);
	sigdelset(ret_before, SIGTERM);
	sigdelset(ret_before, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

int host_watch_run(struct cli *cli, struct error *error)
{
	struct watch watch = { .all = cli->argument_count == 0, .sight = { .sysfs = HOST_SYSFS } };
	sigset_t before;
	int rc = host_identity_find(cli->host_nqn, &watch.identity, error);

	for (unsigned i = 0; rc == 0 && i < cli->argument_count; i++) {
		rc = names_name_check("VOLUME", cli->arguments[i], error);
		if (rc == 0 && watched_add(&watch, cli->arguments[i], "", true) == NULL)
			rc = error_set_nomem(error);
	}
	if (rc == 0)
		rc = cli_open(cli, cli->servers, &watch.dnvme, error);
	if (rc == 0) {
		watch.reporter = (struct host_reporter){ .dnvme = watch.dnvme, .host_nqn = watch.identity.nqn };
		log_open("dnvme-host-watch", LOG_TARGET_AUTO, LOG_LEVEL_NOTICE);
		signals_take(&before);
		log_notice("watching", "host=%s volumes=%s", watch.identity.nqn, watch.all ? "all" : "named");
		loop(&watch, &before);
		host_keep_alive_stop(&watch.keep_alive);
		log_notice("stopped", NULL);
	}
	while (watch.first != NULL) {
		struct watched *watched = watch.first;

		watch.first = watched->next;
		watched_free(watched);
	}
	host_reporter_end(&watch.reporter);
	host_sight_free(&watch.sight);
	dnvme_close(watch.dnvme);
	return rc;
}
