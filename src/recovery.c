/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/dnvmed.h"
#include "src/exit_status.h"
#include "src/file.h"
#include "src/membership.h"
#include "src/probe.h"

#define MARK RECOVERY_MARK
#define MARK_BYTES_MAX 4096u

/* What is to be written. */
struct plan {
	bool done; /* an earlier attempt got so far */
	uint64_t id, term;
	char address[LIMIT_ADDRESS + 1];
};

static bool is_there(const struct options *options, const char *name)
{
	char path[FILE_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", options->data, name);
	return access(path, F_OK) == 0;
}

int recovery_check(const struct options *options, struct error *error)
{
	if (!is_there(options, RECOVERY_RESTORING))
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "a restore into %s was not finished", options->data);
	return error_hint(error, "run it again: dnvmed --restore FILE --yes");
}

/* --- whether it may ----------------------------------------------------------------------------------------------- */

static bool is_named(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; *at != '\0'; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
		if (strcspn(at, ",") == length && strncmp(at, name, length) == 0)
			return true;
	}
	return false;
}

static const char *name_of(const struct dnvmed *dnvmed, uint64_t id, char text[MEMBERSHIP_NAME_SIZE])
{
	const struct server *server = dnvmed_member(dnvmed, id);
	const struct server unknown = { .id = id };

	return membership_name(server != NULL ? server : &unknown, text);
}

/* Each other member is named, by its name or number, and none answers. */
static int lost_check(const struct dnvmed *dnvmed, const struct consensus_member *member, struct error *error)
{
	const struct options *options = dnvmed->options;
	const struct server *server = dnvmed_member(dnvmed, member->id);
	char name[MEMBERSHIP_NAME_SIZE], number[MEMBERSHIP_NAME_SIZE];

	name_of(dnvmed, member->id, name);
	snprintf(number, sizeof(number), "s%" PRIu64, member->id);
	if (!is_named(options->lost, name) && !is_named(options->lost, number)) {
		error_set(error, ERROR_INVALID_ARGUMENT, "--lost: server %s (%s) is not named", name, member->address);
		return error_hint(error,
				  "name each other server of the group, if it is lost for good; else start it: as "
				  "long as most of them run, nothing is to be recovered");
	}
	if (probe_answers(member->address) || (server != NULL && probe_answers(server->api_address))) {
		error_set(error, ERROR_FAILED_PRECONDITION, "server %s (%s) is not lost: something answers there", name,
			  member->address);
		return error_hint(error, "stop it for good, and see that it cannot start again, or use it");
	}
	return 0;
}

/* None but members are named: a name that is wrong may be meant for another group. */
static int names_check(const struct dnvmed *dnvmed, const struct consensus_member *members, size_t count,
		       struct error *error)
{
	char list[sizeof(dnvmed->options->lost)], name[MEMBERSHIP_NAME_SIZE], number[MEMBERSHIP_NAME_SIZE];
	char *save = NULL;

	snprintf(list, sizeof(list), "%s", dnvmed->options->lost);
	for (char *one = strtok_r(list, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
		bool found = false;

		for (size_t i = 0; i < count && !found; i++) {
			snprintf(number, sizeof(number), "s%" PRIu64, members[i].id);
			found = members[i].id != dnvmed->id &&
				(strcmp(one, name_of(dnvmed, members[i].id, name)) == 0 || strcmp(one, number) == 0);
		}
		if (!found)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "--lost: \"%s\" is no other server of the group", one);
	}
	return 0;
}

static int state_check(const struct dnvmed *dnvmed, struct error *error)
{
	if (dnvmed->consensus == NULL || dnvmed->log_empty || is_there(dnvmed->options, "joining"))
		return error_set(
			error, ERROR_FAILED_PRECONDITION,
			"this server does not belong to a group yet: there is nothing in its log to go on with");
	return 0;
}

static int plan_make(struct dnvmed *dnvmed, struct plan *ret_plan, struct error *error)
{
	struct consensus_member members[LIMIT_SERVERS + 1];
	size_t count;
	bool member = false;

	if (state_check(dnvmed, error) != 0)
		return error->code;
	dnvmed_servers_refresh(dnvmed);
	count = consensus_members(dnvmed->consensus, members, LIMIT_SERVERS + 1);
	*ret_plan = (struct plan){ .id = dnvmed->id, .term = consensus_term(dnvmed->consensus) + CONSENSUS_TERM_STEP };
	memcpy(ret_plan->address, dnvmed->options->raft, sizeof(ret_plan->address));
	for (size_t i = 0; i < count; i++)
		member |= members[i].id == dnvmed->id && members[i].role != CONSENSUS_SPARE;
	if (!member)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "this server was removed from its group, or has "
				 "nothing of its log yet");
	if (count == 1) {
		ret_plan->done = is_there(dnvmed->options, MARK);
		return ret_plan->done
			       ? 0
			       : error_set(error, ERROR_FAILED_PRECONDITION,
					   "this server is the only one of its group: there is nothing to recover");
	}
	if (names_check(dnvmed, members, count, error) != 0)
		return error->code;
	for (size_t i = 0; i < count; i++) {
		if (members[i].id != dnvmed->id && lost_check(dnvmed, &members[i], error) != 0)
			return error->code;
	}
	if (dnvmed->options->yes)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "nothing was changed: --yes is missing");
	return error_hint(error,
			  "it makes this server the only one, with what it has: what the others committed without "
			  "it is lost, and every volume is out of use until you release it");
}

/* --- doing it ----------------------------------------------------------------------------------------------------- */

static void complain(const struct error *error)
{
	fprintf(stderr, "dnvmed: cannot recover: %s\n", error->message);
	if (error->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", error->hint);
}

static int plan_write(const struct options *options, const struct plan *plan, struct error *error)
{
	char directory[FILE_PATH_SIZE];
	struct store *store = NULL;
	int rv;

	/* Nobody starts it meanwhile. */
	snprintf(directory, sizeof(directory), "%s/state", options->data);
	rv = store_open_read(directory, NULL, &store, error);
	if (rv != 0)
		return rv;
	rv = file_write(options->data, MARK, (struct bytes){ NULL, 0 }, error);
	snprintf(directory, sizeof(directory), "%s/raft", options->data);
	if (rv == 0)
		rv = consensus_recover(directory, plan->id, plan->address, plan->term, error);
	store_close(store);
	return rv;
}

int recovery_run(struct dnvmed *dnvmed, const struct options *options)
{
	struct error error;
	struct plan plan;
	int rv;

	error_clear(&error);
	rv = dnvmed_start(dnvmed, options, &error);
	if (rv == 0)
		rv = plan_make(dnvmed, &plan, &error);
	/* The loop turns for the first time when it closes: nothing was sent, and nothing that came was read. */
	if (dnvmed->stage == DNVMED_RUNNING)
		dnvmed_stop(dnvmed, "recovery");
	(void)dnvmed_run(dnvmed);
	if (rv == 0 && !plan.done)
		rv = plan_write(options, &plan, &error);
	if (rv != 0) {
		complain(&error);
		return EXIT_STATUS_FAILED;
	}
	log_warning("this server is the only one of its group from now on",
		    "server=%" PRIu64 " lost=\"%s\" term=%" PRIu64, plan.id, options->lost, plan.term);
	printf("server %" PRIu64
	       " is the only one of its group: start it. Every volume is out of use until it is released "
	       "(dnvme volume release)\n",
	       plan.id);
	return EXIT_STATUS_STOPPED;
}

/* --- going on ----------------------------------------------------------------------------------------------------- */

void recovery_start(struct dnvmed *dnvmed)
{
	dnvmed->recovering = is_there(dnvmed->options, MARK);
}

static void end(struct dnvmed *dnvmed)
{
	struct error error;

	/* Until it is gone the next start does it all again, which is harmless: this server leads nobody before. */
	if (file_remove(dnvmed->options->data, MARK, &error) == 0)
		dnvmed->recovering = false;
	else
		log_failure(LOG_LEVEL_ERROR, "cannot finish the recovery", &error);
}

static void on_recovered(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct dnvmed *dnvmed = data;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	(void)unknown; /* asked again */
	dnvmed->recover_under_way = false;
	if (failure == NULL && codec_decode(schema_outcome(), bytes, &arena, &outcome, &error) == 0) {
		if (outcome.code == 0) {
			log_warning("the group is recovered: every volume is held until it is released",
				    "revision=%" PRIu64, outcome.revision);
			end(dnvmed);
		} else {
			log_error("the group cannot be recovered", "reason=\"%s\"", outcome.message);
			dnvmed->exit_status = EXIT_STATUS_FAILED;
			dnvmed->failing = true;
		}
	}
	arena_free(&arena);
}

/* An empty mark is that of a server that goes on with its own log; a restore wrote the command into it. */
static int mark_read(const struct dnvmed *dnvmed, struct arena *arena, struct command_cluster_recover *ret_recover,
		     struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	char path[FILE_PATH_SIZE];
	int rv;

	snprintf(path, sizeof(path), "%s/%s", dnvmed->options->data, MARK);
	rv = file_read(path, MARK_BYTES_MAX, &bytes, error);
	if (rv == 0 && bytes.size == 0)
		*ret_recover = (struct command_cluster_recover){ .server = dnvmed->id };
	else if (rv == 0)
		rv = codec_decode(schema_command_cluster_recover(), buffer_bytes(&bytes), arena, ret_recover, error);
	if (rv == 0 && ret_recover->server != dnvmed->id)
		rv = error_set(error, ERROR_FAILED_PRECONDITION, "it is of server s%" PRIu64, ret_recover->server);
	buffer_free(&bytes);
	return rv == 0 ? 0 : error_prefix(error, "cannot use %s", path);
}

static void propose(struct dnvmed *dnvmed)
{
	struct command_cluster_recover recover;
	struct command command = { .time_ms = clock_wall_ms(), .cluster_recover = &recover };
	struct buffer bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct error error;

	error_clear(&error);
	if (mark_read(dnvmed, &arena, &recover, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "the group cannot be recovered", &error);
		dnvmed->exit_status = EXIT_STATUS_FAILED;
		dnvmed->failing = true;
	} else if (codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error) == 0) {
		dnvmed->recover_under_way =
			consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_recovered, dnvmed, &error) == 0;
	}
	buffer_free(&bytes);
	arena_free(&arena);
}

bool recovery_is_pending(struct dnvmed *dnvmed)
{
	struct consensus_member members[2];

	if (!dnvmed->recovering)
		return false;
	if (consensus_members(dnvmed->consensus, members, 2) > 1) {
		log_notice("an attempt to recover the group was given up: it has its majority", NULL);
		end(dnvmed);
		return dnvmed->recovering;
	}
	if (!dnvmed->recover_under_way)
		propose(dnvmed);
	return true;
}
