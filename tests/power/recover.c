/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recover ID LISTEN RAFT member|alone < directories
 *
 * Starts dnvmed, by its own code, on one data directory after another, each in a process of its own, and prints for
 * each a line of JSON with what the server holds. "alone": of a group with one server, which then leads, so that the
 * whole log is applied. "member": of a larger group; what it promised the others is in its log, which is looked at as
 * it was loaded.
 */
#include <json-c/json.h>
#include <net/if.h>
#include <raft.h>
#include <raft/uv.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsm/fsm.h"
#include "lib/base/log.h"
#include "src/dnvmed.h"

#define DEADLINE_S 20
#define LINE_MAX_BYTES 4096

/* What libraft found on the medium. */
static struct loaded {
	bool done;
	raft_term term;
	raft_id voted_for;
	raft_index snapshot_index;
	raft_term snapshot_term;
	raft_index start_index;
	size_t count;
	raft_term *terms;
} loaded;

static int (*load_of_libraft)(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
			      raft_index *start_index, struct raft_entry *entries[], size_t *n_entries);

static int load_and_keep(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
			 raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
	int rv = load_of_libraft(io, term, voted_for, snapshot, start_index, entries, n_entries);

	if (rv != 0)
		return rv;
	loaded = (struct loaded){ .done = true,
				  .term = *term,
				  .voted_for = *voted_for,
				  .start_index = *start_index,
				  .count = *n_entries,
				  .terms = calloc(*n_entries + 1, sizeof(raft_term)) };
	if (*snapshot != NULL) {
		loaded.snapshot_index = (*snapshot)->index;
		loaded.snapshot_term = (*snapshot)->term;
	}
	for (size_t i = 0; i < *n_entries && loaded.terms != NULL; i++)
		loaded.terms[i] = (*entries)[i].term;
	return 0;
}

int __real_raft_start(struct raft *r);
int __wrap_raft_start(struct raft *r);

int __wrap_raft_start(struct raft *r)
{
	load_of_libraft = r->io->load;
	r->io->load = load_and_keep;
	return __real_raft_start(r);
}

/* --- one server ------------------------------------------------------------------------------------------------- */

struct look {
	struct dnvmed *dnvmed;
	uv_prepare_t prepare;
	bool alone;
	int output;
};

static void add_number(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_int64((int64_t)value));
}

static void finish(int output, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);

	_exit(write(output, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1);
}

static void refuse(int output, const char *where, const struct error *error)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "refused", json_object_new_string(error->message));
	json_object_object_add(object, "hint", json_object_new_string(error->hint));
	json_object_object_add(object, "where", json_object_new_string(where));
	finish(output, object);
}

static void tell(const struct look *look)
{
	struct dnvmed *dnvmed = look->dnvmed;
	struct json_object *object = json_object_new_object(), *terms = json_object_new_array();
	uint8_t digest[16];
	char text[33];
	struct error error = { 0 };

	json_object_object_add(object, "cluster",
			       dnvmed->has_group ? json_object_new_string(dnvmed->cluster.id) : NULL);
	if (loaded.done) {
		add_number(object, "term", loaded.term);
		add_number(object, "vote", loaded.voted_for);
		add_number(object, "snapshot_index", loaded.snapshot_index);
		add_number(object, "snapshot_term", loaded.snapshot_term);
		add_number(object, "start", loaded.start_index);
		for (size_t i = 0; i < loaded.count; i++)
			json_object_array_add(terms, json_object_new_int64((int64_t)loaded.terms[i]));
		json_object_object_add(object, "terms", terms);
	}
	add_number(object, "revision", fsm_revision(dnvmed->fsm));
	add_number(object, "applied", fsm_applied_index(dnvmed->fsm));
	if (fsm_digest(dnvmed->fsm, digest, &error) != 0)
		refuse(look->output, "digest", &error);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	json_object_object_add(object, "digest", json_object_new_string(text));
	if (fsm_revision(dnvmed->fsm) > 0 && fsm_check(dnvmed->fsm, &error) != 0)
		refuse(look->output, "check", &error);
	finish(look->output, object);
}

static void on_turn(uv_prepare_t *prepare)
{
	struct look *look = prepare->data;

	if (look->dnvmed->failing) {
		struct error error = { .message = "the server cannot go on" };

		refuse(look->output, "run", &error);
	}
	if (look->dnvmed->leader_ready)
		tell(look);
}

static void server_run(const struct options *options, bool alone, int output)
{
	struct look look = { .dnvmed = calloc(1, sizeof(struct dnvmed)), .alone = alone, .output = output };
	struct error error = { 0 };

	if (look.dnvmed == NULL)
		_exit(3);
	log_open("dnvmed", LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
	if (dnvmed_start(look.dnvmed, options, &error) != 0)
		refuse(output, "start", &error);
	if (!alone || look.dnvmed->consensus == NULL)
		tell(&look);
	uv_prepare_init(&look.dnvmed->loop, &look.prepare);
	look.prepare.data = &look;
	uv_prepare_start(&look.prepare, on_turn);
	dnvmed_run(look.dnvmed);
	_exit(4);
}

/* --- one after the other --------------------------------------------------------------------------------------- */

static void complain(const char *what, int status, int log)
{
	struct json_object *object = json_object_new_object();
	char text[4096];
	ssize_t size = pread(log, text, sizeof(text) - 1, 0);

	text[size > 0 ? size : 0] = '\0';
	json_object_object_add(object, "failed", json_object_new_string(what));
	add_number(object, "status", (uint64_t)status);
	json_object_object_add(object, "log", json_object_new_string(text));
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
}

static void recover(struct options *options, const char *directory, bool alone)
{
	char answer[1 << 20];
	int pipes[2], status = 0, log = memfd_create("log", MFD_CLOEXEC);
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	if (log < 0 || pipe(pipes) != 0)
		exit(1);
	snprintf(options->data, sizeof(options->data), "%s", directory);
	pid = fork();
	if (pid < 0)
		exit(1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipes[0]);
		dup2(log, STDERR_FILENO);
		alarm(DEADLINE_S);
		server_run(options, alone, pipes[1]);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], answer + used, sizeof(answer) - 1 - used)) > 0)
		used += (size_t)got;
	close(pipes[0]);
	answer[used] = '\0';
	if (waitpid(pid, &status, 0) != pid)
		exit(1);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		puts(answer);
	else
		complain(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "it hangs" : "it crashed", status, log);
	fflush(stdout);
	close(log);
}

/* A loopback of our own: the addresses of the group are the same for all that look at the same time. */
static int network_make(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, rv;

	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	rv = ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
	return rv;
}

int main(int argument_count, char **arguments)
{
	struct options options = { .log_level = LOG_LEVEL_WARNING, .stall_timeout_ms = 10000, .sessions_max = 100 };
	char line[LINE_MAX_BYTES];

	if (argument_count != 5) {
		fputs("usage: recover ID LISTEN RAFT member|alone\n", stderr);
		return 2;
	}
	if (network_make() != 0) {
		perror("recover: cannot make a network");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	options.id = strtoull(arguments[1], NULL, 10);
	snprintf(options.listen, sizeof(options.listen), "%s", arguments[2]);
	snprintf(options.raft, sizeof(options.raft), "%s", arguments[3]);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		recover(&options, line, strcmp(arguments[4], "alone") == 0);
	}
	return 0;
}
