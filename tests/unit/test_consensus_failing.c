/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that fails, a machine that cannot, memory that ends, requests that cannot be: what becomes of a member, and
 * that the others go on. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "raft/internal.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/failing_call.h"
#include "tests/unit/test_consensus_rig.h"

static void on_barrier_failed(void *data, const struct error *failure)
{
	assert_non_null(failure);
	((struct cluster *)data)->barriers++;
}

static void on_barrier_any(void *data, const struct error *failure)
{
	(void)failure;
	((struct cluster *)data)->barriers++;
}

static void start_all(struct cluster *cluster, unsigned threshold)
{
	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, threshold);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
}

/* One that leads and is not `old`. */
static struct member *other_leader(struct cluster *cluster, const struct member *old)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &cluster->members[i];

		if (member != old && member->consensus != NULL && consensus_is_leader(member->consensus))
			return member;
	}
	return NULL;
}

static void must_fail_with(const struct member *member, enum error_code code, const char *words)
{
	assert_true(member->failed);
	assert_int_equal(member->failure.code, code);
	if (strstr(member->failure.message, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, member->failure.message);
	assert_false(consensus_is_leader(member->consensus));
}

static void codes_of_libraft(void **state)
{
	static const struct {
		int code;
		enum error_code wanted;
		const char *words;
		bool hint;
	} codes[] = {
		{ RAFT_NOMEM, ERROR_INTERNAL, "out of memory", false },
		{ RAFT_NOSPACE, ERROR_NO_CAPACITY, "the disk is full", true },
		{ RAFT_CORRUPT, ERROR_FAILED_PRECONDITION, "log is damaged: words", true },
		{ RAFT_MALFORMED, ERROR_FAILED_PRECONDITION, "log is damaged: words", true },
		{ RAFT_NOTLEADER, ERROR_UNAVAILABLE, "not the leader", false },
		{ RAFT_LEADERSHIPLOST, ERROR_UNAVAILABLE, "leadership was lost", false },
		{ RAFT_SHUTDOWN, ERROR_CANCELLED, "stopping", false },
		{ RAFT_CANCELED, ERROR_CANCELLED, "stopping", false },
		{ RAFT_IOERR, ERROR_INTERNAL, "words", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct error error = { 0 };

		assert_int_equal(error_set_raft(&error, codes[i].code, "cannot", "words"), codes[i].wanted);
		assert_non_null(strstr(error.message, codes[i].words));
		assert_int_equal(error.hint[0] != '\0', codes[i].hint);
	}
}

/* --- the disk --- */

static int append_refused(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
			  unsigned count, raft_io_append_cb callback)
{
	(void)io;
	(void)request;
	(void)entries;
	(void)count;
	(void)callback;
	return RAFT_NOMEM;
}

/* Of a leader that cannot write, nothing is confirmed, and another one goes on. */
static void a_leader_that_cannot_append(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	start_all(cluster, 0);
	leader = leader_of(cluster);
	leader->consensus->uv.append = append_refused;
	for (uint64_t value = 0; value < 3; value++)
		propose(cluster, value);
	assert_int_equal(consensus_barrier(leader->consensus, on_barrier_failed, cluster, NULL), 0);
	RUN_UNTIL(cluster, leader->failed && cluster->unknown + cluster->refused == 3 && cluster->barriers == 1);
	must_fail_with(leader, ERROR_INTERNAL, "out of memory");
	assert_int_equal(cluster->confirmed, 0);
	assert_int_equal(consensus_propose(leader->consensus, (struct bytes){ 0 }, group_on_proposed, cluster, NULL),
			 ERROR_UNAVAILABLE);
	RUN_UNTIL(cluster, other_leader(cluster, leader) != NULL);
	propose(cluster, 7);
	RUN_UNTIL(cluster, cluster->confirmed == 1);
	assert_int_equal(leader->machine.count, 0);
}

static struct raft_io_append *append_pending;

static int append_kept(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
		       unsigned count, raft_io_append_cb callback)
{
	(void)io;
	(void)entries;
	(void)count;
	request->cb = callback;
	append_pending = request;
	return 0;
}

static void a_follower_whose_write_fails(void **state)
{
	struct cluster *cluster = *state;
	struct member *follower;

	start_all(cluster, 0);
	follower = &cluster->members[leader_of(cluster) == &cluster->members[0]];
	/* What it has of the leader so far is written as always. */
	propose(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, 1));
	append_pending = NULL;
	follower->consensus->uv.append = append_kept;
	propose(cluster, 2);
	RUN_UNTIL(cluster, append_pending != NULL);
	append_pending->cb(append_pending, RAFT_IOERR);
	RUN_UNTIL(cluster, follower->failed && cluster->confirmed == 2);
	must_fail_with(follower, ERROR_INTERNAL, "cannot write the Raft log");
	assert_int_equal(follower->machine.count, 1);
}

static int vote_refused(struct raft_io *io, raft_id server_id)
{
	(void)io;
	(void)server_id;
	return RAFT_IOERR;
}

/* Without a vote on its medium a member must not count as one that voted: with two such there is no majority. */
static void votes_that_are_not_stored(void **state)
{
	struct cluster *cluster = *state;
	size_t leader;

	start_all(cluster, 0);
	propose(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, 1));
	leader = (size_t)(leader_of(cluster) - cluster->members);
	for (size_t i = 0; i < MEMBERS; i++)
		cluster->members[i].consensus->uv.set_vote = vote_refused;
	member_stop(cluster, leader);
	RUN_UNTIL(cluster,
		  cluster->members[(leader + 1) % MEMBERS].failed || cluster->members[(leader + 2) % MEMBERS].failed);
	assert_null(leader_of(cluster));
	for (size_t i = 1; i < MEMBERS; i++) {
		if (cluster->members[(leader + i) % MEMBERS].failed)
			must_fail_with(&cluster->members[(leader + i) % MEMBERS], ERROR_INTERNAL,
				       "cannot store the Raft");
	}
}

/* What a member sends to nobody. libraft frees it when its callback ran, in a later turn. */
#define SENDS_MAX 4096
static struct {
	struct raft_io_send *request;
	raft_io_send_cb callback;
} sends[SENDS_MAX];
static size_t send_count;

static int send_dropped(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
			raft_io_send_cb callback)
{
	(void)io;
	(void)message;
	assert_true(send_count < SENDS_MAX);
	sends[send_count].request = request;
	sends[send_count++].callback = callback;
	return 0;
}

static void sends_end(void)
{
	for (size_t i = 0; i < send_count; i++)
		sends[i].callback(sends[i].request, RAFT_NOCONNECTION);
	send_count = 0;
}

/* A leader that nobody hears has an entry in its log that the next leader's takes the place of. Returns it, when it
 * hears of that, and was told nothing of the proposal but that nobody knows. */
static struct member *unheard_leader(struct cluster *cluster)
{
	struct member *old;
	int (*send)(struct raft_io * io, struct raft_io_send * request, const struct raft_message *message,
		    raft_io_send_cb callback);
	raft_index last;

	start_all(cluster, 0);
	propose(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, 1));
	old = leader_of(cluster);
	send = old->consensus->uv.send;
	old->consensus->uv.send = send_dropped;
	last = raft_last_index(&old->consensus->raft);
	propose(cluster, 2);
	RUN_UNTIL(cluster, raft_last_index(&old->consensus->raft) > last);
	RUN_UNTIL(cluster, other_leader(cluster, old) != NULL);
	old->consensus->uv.send = send;
	sends_end();
	RUN_UNTIL(cluster, cluster->unknown == 1 && !consensus_is_leader(old->consensus));
	propose(cluster, 3);
	return old;
}

static bool has_mark(const struct member *member)
{
	DIR *directory = opendir(member->directory);
	bool found = false;
	struct dirent *entry;

	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL)
		found = found || strncmp(entry->d_name, "truncating-", strlen("truncating-")) == 0;
	closedir(directory);
	return found;
}

static void a_log_that_is_cut(void **state)
{
	struct cluster *cluster = *state;
	struct member *old = unheard_leader(cluster);

	RUN_UNTIL(cluster, all_have(cluster, 2) && cluster->confirmed == 2);
	same_everywhere(cluster, 2);
	assert_true(cluster->members[0].machine.values[1] == 3);
	/* Done with: a start later would look in vain for what it means. */
	RUN_UNTIL(cluster, !has_mark(old));
	assert_false(old->failed);
}

static void a_cut_that_cannot_be_marked(void **state)
{
	struct cluster *cluster = *state;
	struct member *old;

	/* The only one of our own files that is opened in a directory is the mark. */
	failing_call_arm("openat", 1, EIO);
	old = unheard_leader(cluster);
	RUN_UNTIL(cluster, old->failed);
	assert_string_equal(failing_call_disarm(), "openat");
	must_fail_with(old, ERROR_INTERNAL, "cannot truncate the Raft log");
	RUN_UNTIL(cluster, cluster->confirmed == 2);
	assert_int_equal(old->machine.count, 1);
}

static void a_mark_that_cannot_be_removed(void **state)
{
	struct cluster *cluster = *state;
	struct member *old;

	failing_call_arm("unlinkat", 1, EIO);
	old = unheard_leader(cluster);
	RUN_UNTIL(cluster, old->failed);
	assert_string_equal(failing_call_disarm(), "unlinkat");
	must_fail_with(old, ERROR_INTERNAL, "cannot remove");
	RUN_UNTIL(cluster, cluster->confirmed == 2);
	/* Its next start finishes the cut, and it gets what the others have. */
	old->failed = false;
	member_stop(cluster, (size_t)(old - cluster->members));
	member_start(cluster, (size_t)(old - cluster->members), 0);
	RUN_UNTIL(cluster, all_have(cluster, 2));
	same_everywhere(cluster, 2);
	assert_false(has_mark(old));
}

/* The names of the log's segments are not on the medium: no promise may rest on them. */
static void names_that_are_not_synced(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];

	cluster->size = 1;
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose(cluster, 1);
	RUN_UNTIL(cluster, cluster->confirmed == 1);
	member_stop(cluster, 0);
	member->won = 0;
	failing_call_arm("fsync", 2, EIO); /* the first one is that of the directory above */
	member_start(cluster, 0, 0);
	assert_string_equal(failing_call_disarm(), "fsync");
	RUN_UNTIL(cluster, member->failed);
	must_fail_with(member, ERROR_INTERNAL, "cannot sync");
	assert_int_equal(member->won, 0);
}

/* --- the machine --- */

static uint64_t snapshots_taken(const struct member *member)
{
	struct consensus_statistics statistics;

	consensus_statistics_get(member->consensus, &statistics);
	return statistics.snapshots_taken;
}

static void propose_one_by_one(struct cluster *cluster, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t confirmed = cluster->confirmed;

		propose(cluster, i);
		RUN_UNTIL(cluster, cluster->confirmed > confirmed);
	}
}

/* A snapshot that cannot be taken is taken later; the log goes on. */
static void a_dump_that_fails(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];

	cluster->size = 1;
	member->machine.dump_fails = ERROR_INTERNAL;
	member_start(cluster, 0, 8);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose_one_by_one(cluster, 20);
	assert_int_equal(snapshots_taken(member), 0);
	/* It is asked with every entry, and must not dump with every entry. */
	assert_true(member->consensus->snapshot_not_before > uv_now(&cluster->loop));
	member->machine.dump_fails = ERROR_NONE;
	propose_one_by_one(cluster, 2);
	assert_int_equal(snapshots_taken(member), 0);
	member->consensus->snapshot_not_before = 0;
	propose_one_by_one(cluster, 1);
	RUN_UNTIL(cluster, snapshots_taken(member) == 1);
	assert_false(member->failed);
}

static void a_machine_that_cannot_skip(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];

	cluster->size = 1;
	member->machine.skip_fails = ERROR_NO_CAPACITY;
	member_start(cluster, 0, 8);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	/* Barriers come to no machine: at the end of the log they are skipped. */
	for (size_t i = 0; i < 40 && !member->failed; i++) {
		size_t barriers = cluster->barriers;

		if (consensus_barrier(member->consensus, on_barrier_any, cluster, NULL) != 0)
			break;
		RUN_UNTIL(cluster, cluster->barriers > barriers || member->failed);
	}
	RUN_UNTIL(cluster, member->failed);
	must_fail_with(member, ERROR_NO_CAPACITY, "no skip today");
}

static int start_one(struct cluster *cluster, const char *directory, const struct consensus_server *servers,
		     size_t count, struct consensus **ret_consensus, struct error *error)
{
	struct member *member = &cluster->members[0];
	struct consensus_options options = {
		.loop = &cluster->loop,
		.id = 1,
		.address = member->address,
		.directory = directory,
		.machine = { &member->machine, group_machine_applied, group_machine_apply, group_machine_skip,
			     group_machine_dump, group_machine_load },
		.snapshot_threshold = 8,
		.snapshot_trailing = 8,
		.data = member,
		.on_leadership = group_on_leadership,
		.on_failure = group_on_failure,
	};

	return consensus_start(&options, servers, count, ret_consensus, error);
}

/* One member with a snapshot; its machine is empty, and it does not run. */
static struct member *snapshot_leave(struct cluster *cluster)
{
	struct member *member = &cluster->members[0];

	cluster->size = 1;
	member_start(cluster, 0, 8);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	do {
		propose_one_by_one(cluster, 1);
	} while (snapshots_taken(member) < 2);
	member_stop(cluster, 0);
	member->machine.count = 0;
	member->machine.applied = 0;
	return member;
}

static void a_snapshot_that_cannot_be_loaded(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = snapshot_leave(cluster);
	struct consensus_server server = { 1, member->address };
	struct consensus *consensus = NULL;
	struct error error = { 0 };

	member->machine.load_fails = ERROR_NO_CAPACITY;
	assert_int_equal(start_one(cluster, member->directory, &server, 1, &consensus, &error), ERROR_NO_CAPACITY);
	assert_string_equal(error.message, "cannot load a Raft snapshot: no load today");
	assert_null(consensus);
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
	/* There is room again. */
	member->machine.load_fails = ERROR_NONE;
	member_start(cluster, 0, 8);
	RUN_UNTIL(cluster, member->machine.count == cluster->confirmed);
	assert_int_equal(member->machine.loads, 1);
}

/* One from a leader: the member ends, and does not go on with half a state. */
static void an_installed_snapshot_that_is_cut_short(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];
	struct raft_buffer buffer;

	for (size_t size = 0; size <= 24; size += 8) {
		cluster->size = 1;
		member_start(cluster, 0, 0);
		RUN_UNTIL(cluster, leader_of(cluster) != NULL);
		buffer.len = size;
		buffer.base = raft_malloc(size + 1);
		memset(buffer.base, 0x7f, size); /* of a size that is not there */
		assert_int_equal(member->consensus->fsm.restore(&member->consensus->fsm, &buffer), 0);
		RUN_UNTIL(cluster, member->failed);
		must_fail_with(member, ERROR_FAILED_PRECONDITION, "the snapshot is cut short");
		member_stop(cluster, 0);
		member->failed = false;
	}
	assert_int_equal(member->machine.loads, 0);
}

/* --- requests --- */

static void bounds_of_proposals(void **state)
{
	struct cluster *cluster = *state;
	struct consensus *consensus;
	uint8_t *large = calloc(1, LIMIT_COMMAND_BYTES + 1);
	uint64_t value = 7;
	struct bytes command = { (const uint8_t *)&value, sizeof(value) };
	struct error error = { 0 };

	cluster->size = 1;
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	consensus = leader_of(cluster)->consensus;
	assert_int_equal(consensus_propose(consensus, (struct bytes){ large, LIMIT_COMMAND_BYTES + 1 },
					   group_on_proposed, cluster, &error),
			 ERROR_TOO_LARGE);
	free(large);
	failing_alloc_arm(1);
	assert_int_equal(consensus_propose(consensus, command, group_on_proposed, cluster, &error), ERROR_INTERNAL);
	failing_alloc_arm(1);
	assert_int_equal(consensus_barrier(consensus, group_on_barrier, cluster, &error), ERROR_INTERNAL);
	failing_alloc_disarm();
	for (size_t i = 0; i < LIMIT_PROPOSALS; i++)
		assert_int_equal(consensus_propose(consensus, command, group_on_proposed, cluster, &error), 0);
	assert_int_equal(consensus_propose(consensus, command, group_on_proposed, cluster, &error), ERROR_NO_CAPACITY);
	assert_true(error.hint[0] != '\0');
	RUN_UNTIL(cluster, cluster->confirmed == LIMIT_PROPOSALS);
	propose(cluster, 1);
	RUN_UNTIL(cluster, cluster->confirmed == LIMIT_PROPOSALS + 1);
	assert_int_equal(cluster->refused + cluster->unknown, 0);
}

/* What was not handed on may be repeated: nobody is told that it may have happened. */
static void proposals_without_memory(void **state)
{
	struct cluster *cluster = *state;
	size_t refused;

	cluster->size = 1;
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose(cluster, 1);
	RUN_UNTIL(cluster, cluster->confirmed == 1);
	for (refused = 0; refused < 3; refused++) {
		propose(cluster, 2);
		failing_alloc_arm(refused + 1);
		RUN_UNTIL(cluster, cluster->refused > refused);
		assert_true(failing_alloc_disarm());
	}
	assert_int_equal(cluster->unknown, 0);
	propose(cluster, 3);
	RUN_UNTIL(cluster, cluster->confirmed == 2);
	assert_int_equal(cluster->members[0].machine.count, 2);
	assert_false(cluster->members[0].failed);
}

static struct {
	unsigned calls;
	enum error_code code;
	char message[ERROR_MESSAGE_SIZE];
} transferred;

static void on_transfer(void *data, const struct error *failure)
{
	(void)data;
	transferred.calls++;
	transferred.code = failure != NULL ? failure->code : ERROR_NONE;
	snprintf(transferred.message, sizeof(transferred.message), "%s", failure != NULL ? failure->message : "");
}

static void transfers_that_do_not_succeed(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;
	struct error error = { 0 };
	size_t number, target;

	memset(&transferred, 0, sizeof(transferred));
	start_all(cluster, 0);
	leader = leader_of(cluster);
	number = (size_t)(leader - cluster->members);
	target = (number + 1) % MEMBERS;
	assert_int_equal(consensus_transfer(cluster->members[target].consensus, number + 1, on_transfer, NULL, &error),
			 ERROR_UNAVAILABLE);
	/* To nobody. */
	assert_int_equal(consensus_transfer(leader->consensus, 77, on_transfer, NULL, &error), 0);
	assert_int_equal(consensus_transfer(leader->consensus, target + 1, on_transfer, NULL, &error),
			 ERROR_FAILED_PRECONDITION);
	RUN_UNTIL(cluster, transferred.calls == 1);
	assert_int_not_equal(transferred.code, ERROR_NONE);
	assert_non_null(strstr(transferred.message, "cannot transfer leadership"));
	/* To one that is not there: this one leads on, and takes proposals again. */
	member_stop(cluster, target);
	assert_int_equal(consensus_transfer(leader->consensus, target + 1, on_transfer, NULL, &error), 0);
	RUN_UNTIL(cluster, transferred.calls == 2);
	assert_int_equal(transferred.code, ERROR_UNAVAILABLE);
	assert_non_null(strstr(transferred.message, "did not take over in time"));
	propose(cluster, 1);
	RUN_UNTIL(cluster, cluster->confirmed == 1);
	/* Whoever closes tells. */
	assert_int_equal(consensus_transfer(leader->consensus, target + 1, on_transfer, NULL, &error), 0);
	member_stop(cluster, number);
	assert_int_equal(transferred.calls, 3);
	assert_int_equal(transferred.code, ERROR_CANCELLED);
}

static void what_a_member_says_of_itself(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;
	uint64_t id;

	start_all(cluster, 0);
	leader = leader_of(cluster);
	id = (uint64_t)(leader - cluster->members) + 1;
	propose(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, 1));
	for (size_t i = 0; i < MEMBERS; i++) {
		const struct consensus *consensus = cluster->members[i].consensus;

		assert_int_equal(consensus_leader_id(consensus), id);
		assert_string_equal(consensus_state_name(consensus), i + 1 == id ? "leader" : "follower");
		assert_int_equal(consensus_applied_index(consensus), cluster->members[i].machine.applied);
		assert_int_equal(consensus_term(consensus), consensus_term(leader->consensus));
	}
}

/* --- starts --- */

static void start_fails(struct cluster *cluster, const char *directory, const struct consensus_server *servers,
			size_t count, enum error_code code, const char *words)
{
	struct consensus *consensus = NULL;
	struct error error = { 0 };

	assert_int_equal(start_one(cluster, directory, servers, count, &consensus, &error), code);
	assert_int_equal(error.code, code);
	if (strstr(error.message, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, error.message);
	assert_null(consensus);
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
}

static void starts_that_cannot_be(void **state)
{
	struct cluster *cluster = *state;
	const char *directory = cluster->members[0].directory;
	const struct consensus_server twice[] = { { 1, cluster->members[0].address },
						  { 1, cluster->members[1].address } };
	char long_path[5000];

	start_fails(cluster, directory, twice, 2, ERROR_INVALID_ARGUMENT, "the list of servers is not valid");
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	start_fails(cluster, long_path, twice, 1, ERROR_INTERNAL, "cannot create");
	failing_call_arm("fsync", 1, EIO);
	start_fails(cluster, directory, twice, 1, ERROR_INTERNAL, "cannot sync");
	failing_call_arm("open", 1, EACCES);
	start_fails(cluster, directory, twice, 1, ERROR_PERMISSION_DENIED, "cannot open");
	failing_call_disarm();
}

static void a_start_without_memory(void **state)
{
	struct cluster *cluster = *state;
	struct consensus_server server = { 1, cluster->members[0].address };
	struct consensus *consensus = NULL;
	unsigned failures = 0;

	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		int rv;

		failing_alloc_arm(n);
		rv = start_one(cluster, cluster->members[0].directory, &server, 1, &consensus, &error);
		if (!failing_alloc_disarm()) {
			assert_int_equal(rv, 0);
			break;
		}
		assert_int_equal(rv, ERROR_INTERNAL);
		assert_string_equal(error.message, "out of memory");
		assert_null(consensus);
		uv_run(&cluster->loop, UV_RUN_DEFAULT);
		failures++;
	}
	assert_true(failures >= 1);
	cluster->members[0].consensus = consensus;
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
}

/* A directory named without a path lies in the current one. */
static void a_directory_without_a_path(void **state)
{
	struct cluster *cluster = *state;
	struct consensus_server server = { 1, cluster->members[0].address };
	char before[4096];

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(cluster->directory), 0);
	assert_int_equal(start_one(cluster, "solo", &server, 1, &cluster->members[0].consensus, NULL), 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	member_stop(cluster, 0);
	assert_int_equal(access("solo/metadata1", F_OK), 0);
	assert_int_equal(chdir(before), 0);
}

static void a_damaged_log(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];
	struct consensus_server server = { 1, member->address };
	DIR *directory;
	struct dirent *entry;
	unsigned damaged = 0;

	cluster->size = 1;
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose_one_by_one(cluster, 5);
	member_stop(cluster, 0);
	directory = opendir(member->directory);
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '0') {
			int fd = openat(dirfd(directory), entry->d_name, O_WRONLY);

			assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 60), 4);
			close(fd);
			damaged++;
		}
	}
	closedir(directory);
	assert_true(damaged > 0);
	member->machine.applied = member->machine.count = 0;
	start_fails(cluster, member->directory, &server, 1, ERROR_FAILED_PRECONDITION, "the Raft log is damaged");
	assert_int_equal(member->machine.count, 0);
}

int main(void)
{
#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, group_setup, group_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_of_libraft),
		GROUP_TEST(a_leader_that_cannot_append),
		GROUP_TEST(a_follower_whose_write_fails),
		GROUP_TEST(votes_that_are_not_stored),
		GROUP_TEST(a_log_that_is_cut),
		GROUP_TEST(a_cut_that_cannot_be_marked),
		GROUP_TEST(a_mark_that_cannot_be_removed),
		GROUP_TEST(names_that_are_not_synced),
		GROUP_TEST(a_dump_that_fails),
		GROUP_TEST(a_machine_that_cannot_skip),
		GROUP_TEST(a_snapshot_that_cannot_be_loaded),
		GROUP_TEST(an_installed_snapshot_that_is_cut_short),
		GROUP_TEST(bounds_of_proposals),
		GROUP_TEST(proposals_without_memory),
		GROUP_TEST(transfers_that_do_not_succeed),
		GROUP_TEST(what_a_member_says_of_itself),
		GROUP_TEST(starts_that_cannot_be),
		GROUP_TEST(a_start_without_memory),
		GROUP_TEST(a_directory_without_a_path),
		GROUP_TEST(a_damaged_log),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
