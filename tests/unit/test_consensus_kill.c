/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three members in three processes, each with a real store, killed with SIGKILL in the midst of the work and started
 * again. Whoever leads proposes numbers that nobody proposed before; a number is never proposed twice. At the end all
 * stores are equal, every confirmed number is in them, and none was applied twice.
 *
 *     traffic: member_run()   fault: kill and restart in the test   model: struct shared   check: verify()
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "raft/consensus.h"
#include "tests/unit/test_network.h"
#include "store/store.h"

#define MEMBERS 3
#define NUMBERS 100000
#define OUTSTANDING 32
#define DEADLINE_MS 60000

/* What all processes see. */
struct shared {
	_Atomic uint32_t next_number;
	_Atomic uint32_t confirmed_count;
	_Atomic uint32_t leader; /* id of the last one that won */
	_Atomic uint32_t stop;	 /* propose nothing new */
	_Atomic uint32_t end;	 /* close and exit */
	_Atomic uint64_t applied[MEMBERS];
	_Atomic uint32_t outstanding[MEMBERS];
	_Atomic uint32_t snapshots; /* taken by all, in all their lives */
	_Atomic uint8_t confirmed[NUMBERS];
	char directory[64];
	char network[16];
};

/* ---- one member, in a process of its own ---- */

struct member {
	struct shared *shared;
	unsigned id;
	uv_loop_t loop;
	uv_timer_t timer;
	struct store *store;
	struct consensus *consensus;
	uint64_t applied;
	unsigned outstanding;
	uint32_t snapshots; /* already counted */
};

struct proposal {
	struct member *member;
	uint32_t number;
};

/* A member that fails in a way that the test does not mean ends with a status that the parent notices. */
#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "member: %s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
			_exit(3);                                                                                      \
		}                                                                                                      \
	} while (0)

static const struct bytes index_key = { (const uint8_t *)"applied", 7 };

static uint64_t applied_read(struct store *store)
{
	struct store_txn *txn = NULL;
	struct bytes value;
	uint64_t index = 0;

	REQUIRE(store_txn_begin(store, false, &txn, NULL) == 0);
	if (store_get(txn, STORE_TABLE_META, index_key, &value, NULL) == 0)
		memcpy(&index, value.data, sizeof(index));
	store_txn_abort(txn);
	return index;
}

static uint64_t machine_applied(void *data)
{
	return ((struct member *)data)->applied;
}

/* Number -> how often it was applied, with the index in the same transaction. */
static int machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count,
			 struct buffer *outcomes, struct error *error)
{
	struct member *member = data;
	struct store_txn *txn = NULL;
	int code;

	REQUIRE(index > member->applied);
	code = store_reserve(member->store, 1 << 20, error);
	if (code == 0)
		code = store_txn_begin(member->store, true, &txn, error);
	for (size_t i = 0; code == 0 && i < count; i++) {
		struct bytes value;
		uint32_t times = 0;

		if (store_get(txn, STORE_TABLE_VOLUME, commands[i], &value, NULL) == 0)
			memcpy(&times, value.data, sizeof(times));
		times++;
		code = store_put(txn, STORE_TABLE_VOLUME, commands[i],
				 (struct bytes){ (uint8_t *)&times, sizeof(times) }, error);
		if (outcomes != NULL)
			REQUIRE(buffer_append(&outcomes[i], commands[i].data, commands[i].size) == 0);
	}
	if (code == 0)
		code = store_put(txn, STORE_TABLE_META, index_key, (struct bytes){ (uint8_t *)&index, sizeof(index) },
				 error);
	if (code != 0) {
		store_txn_abort(txn);
		return code;
	}
	code = store_txn_commit(txn, error);
	if (code == 0)
		member->applied = index;
	return code;
}

static int machine_skip(void *data, uint64_t index, struct error *error)
{
	return machine_apply(data, index, NULL, 0, NULL, error);
}

static int machine_dump(void *data, struct buffer *output, struct error *error)
{
	struct member *member = data;
	struct store_txn *txn = NULL;
	int code = store_txn_begin(member->store, false, &txn, error);

	if (code == 0)
		code = store_dump(txn, output, error);
	store_txn_abort(txn);
	return code;
}

static int machine_load(void *data, uint64_t index, struct bytes dump, struct error *error)
{
	struct member *member = data;
	int code;

	if (member->applied >= index)
		return 0;
	code = store_load(member->store, dump, error);
	if (code == 0) {
		member->applied = applied_read(member->store);
		REQUIRE(member->applied == index);
	}
	return code;
}

static void on_leadership(void *data, bool leader, uint64_t term)
{
	struct member *member = data;

	(void)term;
	if (leader)
		member->shared->leader = member->id;
}

static void on_failure(void *data, const struct error *failure)
{
	(void)data;
	fprintf(stderr, "member: %s\n", failure->message);
	_exit(4);
}

static void propose_more(struct member *member);

static void on_proposed(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct proposal *proposal = data;
	struct member *member = proposal->member;

	(void)unknown;
	member->outstanding--;
	if (failure == NULL) {
		REQUIRE(outcome.size == sizeof(uint32_t) && memcmp(outcome.data, &proposal->number, 4) == 0);
		member->shared->confirmed[proposal->number] = 1;
		member->shared->confirmed_count++;
	}
	free(proposal);
	propose_more(member);
}

static void propose_more(struct member *member)
{
	struct shared *shared = member->shared;

	while (!shared->stop && member->outstanding < OUTSTANDING && consensus_is_leader(member->consensus)) {
		struct proposal *proposal = malloc(sizeof(*proposal));

		REQUIRE(proposal != NULL);
		*proposal = (struct proposal){ .member = member, .number = shared->next_number++ };
		REQUIRE(proposal->number < NUMBERS);
		if (consensus_propose(member->consensus,
				      (struct bytes){ (uint8_t *)&proposal->number, sizeof(proposal->number) },
				      on_proposed, proposal, NULL) != 0) {
			free(proposal);
			return;
		}
		member->outstanding++;
	}
}

static void on_closed(void *data)
{
	struct member *member = data;

	uv_close((uv_handle_t *)&member->timer, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct member *member = timer->data;
	struct consensus_statistics statistics;

	consensus_statistics_get(member->consensus, &statistics);
	member->shared->snapshots += (uint32_t)statistics.snapshots_taken - member->snapshots;
	member->snapshots = (uint32_t)statistics.snapshots_taken;
	member->shared->applied[member->id - 1] = member->applied;
	member->shared->outstanding[member->id - 1] = member->outstanding;
	if (member->shared->end) {
		uv_timer_stop(timer);
		consensus_close(member->consensus, on_closed, member);
		return;
	}
	propose_more(member);
}

static void member_run(struct shared *shared, unsigned id)
{
	struct member member = { .shared = shared, .id = id };
	struct consensus_server servers[MEMBERS];
	char addresses[MEMBERS][32], store_directory[96], log_directory[96];
	struct store_options store_options = { .directory = store_directory, .map_step_bytes = 4 << 20 };
	struct consensus_options options = {
		.loop = &member.loop,
		.id = id,
		.directory = log_directory,
		.machine = { &member, machine_applied, machine_apply, machine_skip, machine_dump, machine_load },
		.snapshot_threshold = 64,
		.snapshot_trailing = 16,
		.data = &member,
		.on_leadership = on_leadership,
		.on_failure = on_failure,
	};
	struct error error = { 0 };
	bool rebuilt;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no process */
	snprintf(store_directory, sizeof(store_directory), "%s/store%u", shared->directory, id);
	snprintf(log_directory, sizeof(log_directory), "%s/log%u", shared->directory, id);
	for (unsigned i = 0; i < MEMBERS; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "%s.%zu:7401", shared->network, (size_t)i + 1);
		servers[i] = (struct consensus_server){ i + 1, addresses[i] };
	}
	options.address = addresses[id - 1];
	REQUIRE(store_open(&store_options, &member.store, &rebuilt, NULL) == 0);
	REQUIRE(!rebuilt);
	member.applied = applied_read(member.store);
	REQUIRE(uv_loop_init(&member.loop) == 0);
	if (consensus_start(&options, servers, MEMBERS, &member.consensus, &error) != 0) {
		fprintf(stderr, "member: %s\n", error.message);
		_exit(5);
	}
	uv_timer_init(&member.loop, &member.timer);
	member.timer.data = &member;
	uv_timer_start(&member.timer, on_timer, 1, 5);
	uv_run(&member.loop, UV_RUN_DEFAULT);
	REQUIRE(uv_loop_close(&member.loop) == 0);
	store_close(member.store);
	_exit(0);
}

/* ---- the test ---- */

static pid_t member_start(struct shared *shared, unsigned id)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		member_run(shared, id);
	return pid;
}

/* Wait until what other processes do makes the condition true. */
#define WAIT_UNTIL(condition)                                                                                          \
	do {                                                                                                           \
		uint64_t end_ms = clock_boot_ms() + DEADLINE_MS;                                                       \
                                                                                                                       \
		while (!(condition)) {                                                                                 \
			if (clock_boot_ms() > end_ms)                                                                  \
				fail_msg("not within the deadline: %s", #condition);                                   \
			usleep(1000);                                                                                  \
		}                                                                                                      \
	} while (0)

static bool all_ended(const struct shared *shared)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (shared->outstanding[i] != 0)
			return false;
	}
	return true;
}

static bool all_equal(const struct shared *shared)
{
	for (unsigned i = 1; i < MEMBERS; i++) {
		if (shared->applied[i] != shared->applied[0])
			return false;
	}
	return shared->applied[0] > 0;
}

/* Every store: the same digest, each number once, every confirmed number. */
static void verify(const struct shared *shared)
{
	uint8_t digests[MEMBERS][16];
	uint32_t number, times;

	for (unsigned i = 0; i < MEMBERS; i++) {
		char directory[96];
		struct store_options options = { .directory = directory };
		struct store_cursor *cursor = NULL;
		struct store_txn *txn = NULL;
		struct store *store = NULL;
		struct bytes key, value;
		size_t confirmed = 0;
		bool rebuilt = true;

		snprintf(directory, sizeof(directory), "%s/store%u", shared->directory, i + 1);
		assert_int_equal(store_open(&options, &store, &rebuilt, NULL), 0);
		assert_false(rebuilt);
		assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
		assert_int_equal(store_digest(txn, digests[i], NULL), 0);
		assert_int_equal(store_cursor_open(txn, STORE_TABLE_VOLUME, (struct bytes){ 0 }, &cursor, NULL), 0);
		while (store_cursor_next(cursor, &key, &value, NULL) == 0) {
			assert_int_equal(key.size, sizeof(number));
			memcpy(&number, key.data, sizeof(number));
			memcpy(&times, value.data, sizeof(times));
			assert_int_equal(times, 1);
			assert_true(number < shared->next_number);
			confirmed += shared->confirmed[number];
		}
		store_cursor_close(cursor);
		store_txn_abort(txn);
		store_close(store);
		assert_int_equal(confirmed, shared->confirmed_count);
		assert_memory_equal(digests[i], digests[0], 16);
	}
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void must_die(pid_t pid, int signal_number)
{
	int status = 0;

	assert_int_equal(kill(pid, signal_number), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* Not by an assertion or a failure of its own before. */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal_number);
}

static void killed_members_lose_and_repeat_nothing(void **state)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[MEMBERS];
	unsigned victim;
	uint32_t before;
	int status;

	(void)state;
	assert_ptr_not_equal(shared, MAP_FAILED);
	strcpy(shared->directory, "/tmp/dnvme-kill-XXXXXX");
	assert_non_null(mkdtemp(shared->directory));
	test_network(shared->network);
	for (unsigned i = 0; i < MEMBERS; i++)
		pids[i] = member_start(shared, i + 1);

	/* Leader, follower, leader, follower … one after the other, while the others go on. */
	for (unsigned round = 0; round < 6; round++) {
		before = shared->confirmed_count;
		WAIT_UNTIL(shared->confirmed_count >= before + 1000);
		victim = round % 2 == 0 ? shared->leader - 1 : shared->leader % MEMBERS;
		must_die(pids[victim], SIGKILL);
		before = shared->confirmed_count;
		WAIT_UNTIL(shared->confirmed_count >= before + 1000);
		pids[victim] = member_start(shared, victim + 1);
	}

	/* All three at once. */
	before = shared->confirmed_count;
	WAIT_UNTIL(shared->confirmed_count >= before + 1000);
	for (unsigned i = 0; i < MEMBERS; i++)
		must_die(pids[i], SIGKILL);
	for (unsigned i = 0; i < MEMBERS; i++)
		pids[i] = member_start(shared, i + 1);
	before = shared->confirmed_count;
	WAIT_UNTIL(shared->confirmed_count >= before + 1000);

	shared->stop = 1;
	/* What a member writes from here on it knows after the stop. */
	for (unsigned i = 0; i < MEMBERS; i++)
		shared->outstanding[i] = UINT32_MAX;
	WAIT_UNTIL(all_ended(shared));
	for (unsigned i = 0; i < MEMBERS; i++)
		shared->applied[i] = 0;
	WAIT_UNTIL(all_equal(shared));
	assert_true(shared->snapshots >= MEMBERS);
	shared->end = 1;
	for (unsigned i = 0; i < MEMBERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	verify(shared);
	print_message("%u proposed, %u confirmed\n", shared->next_number, shared->confirmed_count);
	nftw(shared->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_members_lose_and_repeat_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
