/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "lib/backup/backup_file.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "raft/consensus.h"
#include "src/audit.h"
#include "src/exit_status.h"
#include "src/file.h"
#include "src/options.h"
#include "src/probe.h"
#include "src/recovery.h"

#define MARK RECOVERY_RESTORING
#define CHECK "check"
#define TIME_TEXT_SIZE 32

struct plan {
	const struct options *options;
	struct arena arena;
	struct buffer state;
	struct backup backup;
	struct cluster cluster; /* the backup's */
	struct restored restored;
	uint64_t id, term;
	int lock;   /* of the data directory; -1: none yet */
	bool again; /* an earlier attempt was interrupted */
};

static void time_format(uint64_t time_ms, char text[TIME_TEXT_SIZE])
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm parts;

	if (gmtime_r(&seconds, &parts) == NULL || strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		snprintf(text, TIME_TEXT_SIZE, "an unknown time");
}

/* --- whether it may ----------------------------------------------------------------------------------------------- */

static int path_make(const struct options *options, const char *name, char path[FILE_PATH_SIZE])
{
	return snprintf(path, FILE_PATH_SIZE, "%s/%s", options->data, name);
}

static bool is_there(const struct options *options, const char *name)
{
	char path[FILE_PATH_SIZE];

	path_make(options, name, path);
	return access(path, F_OK) == 0;
}

/* What an earlier attempt may leave before its mark is there. */
static bool is_leftover(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, CHECK) == 0 ||
	       strcmp(name, MARK ".new") == 0;
}

static int empty_check(const struct options *options, struct error *error)
{
	DIR *directory = opendir(options->data);
	struct dirent *entry;
	char found[sizeof(entry->d_name)] = "";

	if (directory == NULL)
		return error_set_errno(error, errno, "cannot read %s", options->data);
	while ((entry = readdir(directory)) != NULL) {
		if (!is_leftover(entry->d_name))
			memcpy(found, entry->d_name, strlen(entry->d_name) + 1);
	}
	closedir(directory);
	if (found[0] == '\0')
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "--data: %s is not empty: there is \"%s\"", options->data, found);
	return error_hint(error, "if a server of the cluster is left there, use it instead (--recover, if most are "
				 "lost); else choose another directory");
}

/* The clock tells how much may have been given out since. One that is behind would let numbers come again. */
static int steps_count(struct plan *plan, struct error *error)
{
	uint64_t now_ms = clock_wall_ms(), steps;
	char then[TIME_TEXT_SIZE], now[TIME_TEXT_SIZE];

	time_format(plan->backup.time_ms, then);
	time_format(now_ms, now);
	if (plan->backup.time_ms == 0 || now_ms < plan->backup.time_ms) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "the backup was made at %s, and the clock of this machine says %s", then, now);
		return error_hint(error, "set the clock: it tells how far numbers have to go on");
	}
	steps = LIMIT_RESTORE_STEPS_LEAST + (now_ms - plan->backup.time_ms) / 1000;
	if (steps > LIMIT_RESTORE_STEPS)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "the backup was made at %s, which is longer ago than numbers reach", then);
	if (plan->backup.term > LIMIT_RESTORE_FROM || plan->backup.revision > LIMIT_RESTORE_FROM)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "the backup is of term %" PRIu64 ", revision %" PRIu64 ": there are no numbers left",
				 plan->backup.term, plan->backup.revision);
	plan->restored = (struct restored){ .backup_ms = plan->backup.time_ms,
					    .steps = steps,
					    .raft_address = plan->options->raft,
					    .api_address = plan->options->listen };
	plan->term = plan->backup.term + steps * CONSENSUS_TERM_STEP;
	return 0;
}

/* One that was not given a number gets one that nobody of the old group can have. */
static int number_choose(struct plan *plan, struct error *error)
{
	uint64_t next = plan->cluster.next_server;

	for (size_t i = 0; i < plan->cluster.servers.count; i++) {
		if (plan->cluster.servers.items[i].id >= next)
			next = plan->cluster.servers.items[i].id + 1;
	}
	plan->id = plan->options->id != 0 ? plan->options->id : next + plan->restored.steps;
	if (plan->id > UINT32_MAX)
		return error_set(error, ERROR_FAILED_PRECONDITION, "there are no numbers left for servers");
	return 0;
}

static int state_check(struct plan *plan, struct error *error)
{
	struct bytes state = buffer_bytes(&plan->state);
	struct fsm_findings findings;
	char directory[FILE_PATH_SIZE];

	path_make(plan->options, CHECK, directory);
	if (audit_dump(state, directory, &plan->arena, &findings, &plan->cluster, error) != 0)
		return error_prefix(error, "%s: the state in it cannot be used", plan->options->restore);
	if (findings.total > 0)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "%s: the state in it contradicts itself in %zu places, first: %s",
				 plan->options->restore, findings.total, findings.texts.items[0]);
	if (findings.revision != plan->backup.revision || findings.applied_index != plan->backup.index ||
	    plan->backup.index == 0 || strcmp(plan->cluster.id, plan->backup.cluster) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "%s: the state in it is not the one that it says (revision %" PRIu64 ", index %" PRIu64
				 ")",
				 plan->options->restore, plan->backup.revision, plan->backup.index);
	return 0;
}

/* None of those whom the backup knows may run: they would command the same agents. */
static int servers_check(const struct plan *plan, struct error *error)
{
	for (size_t i = 0; i < plan->cluster.servers.count; i++) {
		const struct server *server = &plan->cluster.servers.items[i];

		if (!probe_answers(server->raft_address) && !probe_answers(server->api_address))
			continue;
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "server s%" PRIu64 " (%s) is not lost: something answers there", server->id,
			  server->api_address);
		return error_hint(error, "as long as a server is left, use it; else stop it for good, and see that it "
					 "cannot start again. One that is to join the new group starts afterwards");
	}
	return 0;
}

static int agreed_check(const struct plan *plan, struct error *error)
{
	char then[TIME_TEXT_SIZE];

	if (plan->options->yes)
		return 0;
	time_format(plan->backup.time_ms, then);
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "nothing was changed: --yes is missing. This server would command the nodes of cluster \"%s\" with "
		  "the state of %s, revision %" PRIu64,
		  plan->cluster.name, then, plan->backup.revision);
	error_detail(error, "what was committed since is lost: volumes that were made since are taken down, and hosts "
			    "that use them get errors");
	error_detail(error, "every volume and every disk is out of use until you release it: you have to know that no "
			    "copy went stale or moved since");
	return error_hint(error, "--yes is your word, too, that no server of this cluster runs anywhere or ever "
				 "starts again: two groups would command the same nodes");
}

/* Of two at once both may find the directory empty. */
static int directory_lock(struct plan *plan, struct error *error)
{
	const char *directory = plan->options->data;

	plan->lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan->lock < 0)
		return error_set_errno(error, errno, "cannot open %s", directory);
	if (flock(plan->lock, LOCK_EX | LOCK_NB) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "another restore into %s is under way", directory);
	return 0;
}

static int plan_make(struct plan *plan, struct error *error)
{
	const struct options *options = plan->options;
	int rv = backup_file_read(options->restore, &plan->arena, &plan->backup, &plan->state, error);

	if (rv == 0)
		rv = file_directory_make(options->data, error);
	if (rv == 0)
		rv = directory_lock(plan, error);
	if (rv != 0)
		return rv;
	plan->again = is_there(options, MARK);
	if (!plan->again)
		rv = empty_check(options, error);
	if (rv == 0)
		rv = steps_count(plan, error);
	if (rv == 0)
		rv = state_check(plan, error);
	if (rv == 0)
		rv = number_choose(plan, error);
	if (rv == 0)
		rv = servers_check(plan, error);
	return rv == 0 ? agreed_check(plan, error) : rv;
}

/* --- doing it ----------------------------------------------------------------------------------------------------- */

static int log_remove(const struct options *options, struct error *error)
{
	char directory[FILE_PATH_SIZE], path[FILE_PATH_SIZE + sizeof(((struct dirent *)0)->d_name)];
	struct dirent *entry;
	DIR *handle;
	int rv = 0;

	path_make(options, "raft", directory);
	handle = opendir(directory);
	if (handle == NULL)
		return errno == ENOENT ? 0 : error_set_errno(error, errno, "cannot read %s", directory);
	while (rv == 0 && (entry = readdir(handle)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (unlink(path) != 0)
			rv = error_set_errno(error, errno, "cannot remove %s", path);
	}
	closedir(handle);
	return rv;
}

/* The mark says that all of it was made by a restore. */
static int leftovers_remove(const struct options *options, struct error *error)
{
	static const char *const names[] = { RECOVERY_MARK, "id", "member", "cluster" };
	int rv = log_remove(options, error);

	for (size_t i = 0; rv == 0 && i < sizeof(names) / sizeof(names[0]); i++)
		rv = file_remove(options->data, names[i], error);
	return rv;
}

static int record_write(const struct options *options, const char *name, const struct schema *schema,
			const void *record, struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	int rv = codec_encode(schema, record, CODEC_TAGGED, &bytes, error);

	if (rv == 0)
		rv = file_write(options->data, name, buffer_bytes(&bytes), error);
	buffer_free(&bytes);
	return rv;
}

static int number_write(const struct plan *plan, struct error *error)
{
	char text[32];

	if (plan->options->id != 0)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64 "\n", plan->id);
	return file_write(plan->options->data, "id", (struct bytes){ (const uint8_t *)text, strlen(text) }, error);
}

/* Which group it is, with this server as the one that it begins with. */
static int cluster_write(const struct plan *plan, struct error *error)
{
	struct server self = { .id = plan->id,
			       .raft_address = plan->options->raft,
			       .api_address = plan->options->listen };
	struct cluster cluster = { .id = plan->cluster.id,
				   .name = plan->cluster.name,
				   .extent_bytes = plan->cluster.extent_bytes,
				   .servers = { 1, &self },
				   .created_ms = plan->cluster.created_ms };

	return record_write(plan->options, "cluster", schema_cluster(), &cluster, error);
}

static int recover_write(struct plan *plan, struct error *error)
{
	struct command_cluster_recover recover = { .server = plan->id, .restored = &plan->restored };

	return record_write(plan->options, RECOVERY_MARK, schema_command_cluster_recover(), &recover, error);
}

static int plan_write(struct plan *plan, struct error *error)
{
	const struct options *options = plan->options;
	const struct consensus_server self = { .id = plan->id, .address = options->raft };
	char directory[FILE_PATH_SIZE];
	int rv = file_write(options->data, MARK, (struct bytes){ NULL, 0 }, error);

	path_make(options, "raft", directory);
	if (rv == 0)
		rv = leftovers_remove(options, error);
	if (rv == 0)
		rv = consensus_restore(directory, &self, plan->term, plan->backup.index, buffer_bytes(&plan->state),
				       error);
	if (rv == 0)
		rv = recover_write(plan, error);
	if (rv == 0)
		rv = number_write(plan, error);
	if (rv == 0)
		rv = file_write(options->data, "member", (struct bytes){ NULL, 0 }, error);
	if (rv == 0)
		rv = cluster_write(plan, error);
	return rv == 0 ? file_remove(options->data, MARK, error) : rv;
}

static void complain(const struct error *error)
{
	fprintf(stderr, "dnvmed: cannot restore: %s\n%s%s", error->message, error->details,
		error->details[0] != '\0' ? "\n" : "");
	if (error->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", error->hint);
}

static void tell(const struct plan *plan)
{
	char then[TIME_TEXT_SIZE];

	time_format(plan->backup.time_ms, then);
	log_warning("the cluster is restored from a backup: this server is the only one of its group",
		    "cluster=%s server=%" PRIu64 " revision=%" PRIu64 " made=%s term=%" PRIu64 " steps=%" PRIu64,
		    plan->cluster.id, plan->id, plan->backup.revision, then, plan->term, plan->restored.steps);
	printf("cluster %s is restored as it was at %s, revision %" PRIu64 ", with server %" PRIu64
	       " as the only one: start it. Every volume and every disk is out of use until it is released "
	       "(dnvme volume release, dnvme disk release)\n",
	       plan->cluster.name, then, plan->backup.revision, plan->id);
}

int restore_run(const struct options *options)
{
	struct plan plan = { .options = options, .arena = ARENA_INIT, .state = BUFFER_INIT, .lock = -1 };
	struct error error;
	int rv;

	error_clear(&error);
	rv = plan_make(&plan, &error);
	if (rv == 0)
		rv = plan_write(&plan, &error);
	if (rv == 0)
		tell(&plan);
	else
		complain(&error);
	if (plan.lock >= 0)
		close(plan.lock);
	buffer_free(&plan.state);
	arena_free(&plan.arena);
	return rv == 0 ? EXIT_STATUS_STOPPED : EXIT_STATUS_FAILED;
}
