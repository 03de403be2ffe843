/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three real members on one loop, over loopback, with a machine that keeps a list of the commands it applied. The
 * machine outlives its member, as the store outlives a process that was killed.
 */
#include <arpa/inet.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "raft/consensus.h"
#include "tests/unit/test_network.h"

#define MEMBERS 3
#define DEADLINE_MS 60000

struct machine {
	uint64_t applied;
	uint64_t *values;
	size_t count, capacity, loads;
};

struct member {
	struct consensus *consensus;
	struct machine machine;
	char directory[96];
	char address[32];
	bool failed;
	struct error failure;
	void (*on_failure)(void *data, const struct error *failure);
	unsigned won, lost;
};

struct cluster {
	uv_loop_t loop;
	uv_timer_t wakeup; /* keeps the loop from blocking for ever */
	struct member members[MEMBERS];
	char directory[64];
	size_t size; /* members of the group */
	size_t confirmed, refused, unknown, barriers, closed;
};

static uint64_t machine_applied(void *data)
{
	return ((struct machine *)data)->applied;
}

static void machine_push(struct machine *machine, uint64_t value)
{
	if (machine->count == machine->capacity) {
		machine->capacity = machine->capacity ? machine->capacity * 2 : 64;
		machine->values = realloc(machine->values, machine->capacity * sizeof(*machine->values));
	}
	machine->values[machine->count++] = value;
}

static int machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count,
			 struct buffer *outcomes, struct error *error)
{
	struct machine *machine = data;
	uint64_t value;

	assert_true(index > machine->applied);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(commands[i].size, sizeof(value));
		memcpy(&value, commands[i].data, sizeof(value));
		if (value == UINT64_MAX)
			return error_set(error, ERROR_NO_CAPACITY, "the disk is full");
		machine_push(machine, value);
		if (outcomes != NULL)
			assert_int_equal(buffer_append(&outcomes[i], &value, sizeof(value)), 0);
	}
	machine->applied = index;
	return 0;
}

static int machine_skip(void *data, uint64_t index, struct error *error)
{
	(void)error;
	((struct machine *)data)->applied = index;
	return 0;
}

static int machine_dump(void *data, struct buffer *output, struct error *error)
{
	struct machine *machine = data;

	(void)error;
	return buffer_append(output, machine->values, machine->count * sizeof(*machine->values));
}

static int machine_load(void *data, uint64_t index, struct bytes dump, struct error *error)
{
	struct machine *machine = data;
	uint64_t value;

	(void)error;
	if (machine->applied >= index)
		return 0;
	machine->count = 0;
	machine->loads++;
	for (size_t at = 0; at < dump.size; at += sizeof(value)) {
		memcpy(&value, dump.data + at, sizeof(value));
		machine_push(machine, value);
	}
	machine->applied = index;
	return 0;
}

static void on_leadership(void *data, bool leader, uint64_t term)
{
	struct member *member = data;

	assert_true(term > 0);
	member->won += leader;
	member->lost += !leader;
}

static void on_failure(void *data, const struct error *failure)
{
	struct member *member = data;

	assert_false(member->failed);
	member->failed = true;
	member->failure = *failure;
}

static void member_start(struct cluster *cluster, size_t i, unsigned threshold)
{
	struct consensus_server servers[MEMBERS];
	struct member *member = &cluster->members[i];
	struct consensus_options options = {
		.loop = &cluster->loop,
		.id = i + 1,
		.address = member->address,
		.directory = member->directory,
		.machine = { &member->machine, machine_applied, machine_apply, machine_skip, machine_dump,
			     machine_load },
		.snapshot_threshold = threshold,
		.snapshot_trailing = threshold,
		.data = member,
		.on_leadership = on_leadership,
		.on_failure = member->on_failure != NULL ? member->on_failure : on_failure,
	};
	struct error error = { 0 };

	for (size_t k = 0; k < cluster->size; k++)
		servers[k] = (struct consensus_server){ k + 1, cluster->members[k].address };
	if (consensus_start(&options, servers, cluster->size, &member->consensus, &error) != 0)
		fail_msg("%s", error.message);
}

static void on_closed(void *data)
{
	((struct cluster *)data)->closed++;
}

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void on_wakeup(uv_timer_t *timer)
{
	(void)timer;
}

/* Turn the loop until the condition holds. */
#define RUN_UNTIL(cluster, condition)                                                                                  \
	do {                                                                                                           \
		uint64_t end_ms = now_ms() + DEADLINE_MS;                                                              \
                                                                                                                       \
		while (!(condition)) {                                                                                 \
			if (now_ms() > end_ms)                                                                         \
				fail_msg("not within the deadline: %s", #condition);                                   \
			uv_run(&(cluster)->loop, UV_RUN_ONCE);                                                         \
		}                                                                                                      \
	} while (0)

static void member_stop(struct cluster *cluster, size_t i)
{
	size_t before = cluster->closed;

	consensus_close(cluster->members[i].consensus, on_closed, cluster);
	RUN_UNTIL(cluster, cluster->closed > before);
	cluster->members[i].consensus = NULL;
}

static struct member *leader_of(struct cluster *cluster)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &cluster->members[i];

		if (member->consensus != NULL && consensus_is_leader(member->consensus))
			return member;
	}
	return NULL;
}

static void on_proposed(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct cluster *cluster = data;

	if (failure == NULL) {
		assert_int_equal(outcome.size, sizeof(uint64_t));
		cluster->confirmed++;
	} else if (unknown) {
		cluster->unknown++;
	} else {
		cluster->refused++;
	}
}

static void propose(struct cluster *cluster, uint64_t value)
{
	struct error error = { 0 };

	assert_int_equal(consensus_propose(leader_of(cluster)->consensus,
					   (struct bytes){ (const uint8_t *)&value, sizeof(value) }, on_proposed,
					   cluster, &error),
			 0);
}

static void on_barrier(void *data, const struct error *failure)
{
	assert_null(failure);
	((struct cluster *)data)->barriers++;
}

static int setup(void **state)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));
	char network[16];

	cluster->size = MEMBERS;
	assert_int_equal(uv_loop_init(&cluster->loop), 0);
	uv_timer_init(&cluster->loop, &cluster->wakeup);
	uv_timer_start(&cluster->wakeup, on_wakeup, 5, 5);
	uv_unref((uv_handle_t *)&cluster->wakeup);
	snprintf(cluster->directory, sizeof(cluster->directory), "/tmp/dnvme-consensus-XXXXXX");
	assert_non_null(mkdtemp(cluster->directory));
	test_network(network);
	for (size_t i = 0; i < MEMBERS; i++) {
		snprintf(cluster->members[i].directory, sizeof(cluster->members[i].directory), "%s/%zu",
			 cluster->directory, i);
		snprintf(cluster->members[i].address, sizeof(cluster->members[i].address), "%s.%zu:7401", network,
			 i + 1);
	}
	*state = cluster;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int teardown(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL)
			member_stop(cluster, i);
		free(cluster->members[i].machine.values);
	}
	uv_close((uv_handle_t *)&cluster->wakeup, NULL);
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&cluster->loop), 0);
	nftw(cluster->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(cluster);
	return 0;
}

static bool all_have(struct cluster *cluster, size_t count)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL && cluster->members[i].machine.count < count)
			return false;
	}
	return true;
}

static void same_everywhere(struct cluster *cluster, size_t count)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		assert_int_equal(cluster->members[i].machine.count, count);
		assert_memory_equal(cluster->members[i].machine.values, cluster->members[0].machine.values,
				    count * sizeof(uint64_t));
	}
}

static void commands_are_packed_and_applied_alike(void **state)
{
	struct cluster *cluster = *state;
	struct consensus_statistics statistics;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	for (uint64_t value = 0; value < 1000; value++)
		propose(cluster, value);
	assert_int_equal(cluster->confirmed, 0); /* no callback inside the call */
	RUN_UNTIL(cluster, cluster->confirmed == 1000);
	for (int i = 0; i < 50; i++)
		assert_int_equal(consensus_barrier(leader_of(cluster)->consensus, on_barrier, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers == 50);
	consensus_statistics_get(leader_of(cluster)->consensus, &statistics);
	assert_int_equal(statistics.commands_proposed, 1000);
	assert_in_range(statistics.entries_proposed, 1, 10);
	assert_in_range(statistics.barriers, 1, 2);
	RUN_UNTIL(cluster, all_have(cluster, 1000));
	same_everywhere(cluster, 1000);
}

static void followers_refuse_proposals(void **state)
{
	struct cluster *cluster = *state;
	struct error error = { 0 };

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	for (size_t i = 0; i < MEMBERS; i++) {
		struct consensus *consensus = cluster->members[i].consensus;

		if (consensus == leader_of(cluster)->consensus)
			continue;
		assert_int_equal(consensus_propose(consensus, (struct bytes){ 0 }, on_proposed, cluster, &error),
				 ERROR_UNAVAILABLE);
		assert_int_equal(consensus_barrier(consensus, on_barrier, cluster, &error), ERROR_UNAVAILABLE);
	}
}

/* The member stops without warning and its machine stays as it is: nothing may be applied twice or be missing. */
static void a_restarted_member_goes_on_where_it_was(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	for (uint64_t round = 0; round < 4; round++) {
		size_t victim = round % MEMBERS, confirmed = cluster->confirmed;

		RUN_UNTIL(cluster, leader_of(cluster) != NULL);
		for (uint64_t value = 0; value < 100; value++)
			propose(cluster, round * 100 + value);
		RUN_UNTIL(cluster, cluster->confirmed == confirmed + 100);
		member_stop(cluster, victim);
		member_start(cluster, victim, 0);
	}
	RUN_UNTIL(cluster, all_have(cluster, 400));
	same_everywhere(cluster, 400);
	for (uint64_t value = 0; value < 400; value++)
		assert_true(cluster->members[0].machine.values[value] == value);
}

static void a_follower_far_behind_gets_a_snapshot(void **state)
{
	struct cluster *cluster = *state;
	struct consensus_statistics statistics;
	size_t victim, proposed = 0;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 16);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	for (victim = 0; &cluster->members[victim] == leader_of(cluster); victim++)
		;
	member_stop(cluster, victim);
	/* The third one begins when the second has cut the log. */
	do {
		propose(cluster, cluster->confirmed);
		proposed++;
		RUN_UNTIL(cluster, cluster->confirmed == proposed);
		consensus_statistics_get(leader_of(cluster)->consensus, &statistics);
	} while (statistics.snapshots_taken < 3);
	/* The others start again: libraft keeps what it once began to send, cut from the log or not. */
	for (size_t i = 0; i < MEMBERS; i++) {
		if (i != victim)
			member_stop(cluster, i);
	}
	for (size_t i = 0; i < MEMBERS; i++) {
		if (i != victim)
			member_start(cluster, i, 16);
	}
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	member_start(cluster, victim, 16);
	RUN_UNTIL(cluster, all_have(cluster, proposed));
	same_everywhere(cluster, proposed);
	assert_true(cluster->members[victim].machine.loads >= 1);
	consensus_statistics_get(cluster->members[victim].consensus, &statistics);
	assert_true(statistics.snapshots_installed >= 1);
}

static void on_transferred(void *data, const struct error *failure)
{
	assert_null(failure);
	((struct cluster *)data)->barriers++;
}

/* Proposals that arrive during a transfer end with a clear answer, those before it are confirmed. */
static void leadership_moves_under_load(void **state)
{
	struct cluster *cluster = *state;
	struct member *old;
	uint64_t target;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	old = leader_of(cluster);
	target = old == &cluster->members[0] ? 2 : 1;
	for (uint64_t value = 0; value < 64; value++)
		propose(cluster, value);
	uv_run(&cluster->loop, UV_RUN_NOWAIT);
	assert_int_equal(consensus_transfer(old->consensus, target, on_transferred, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers == 1);
	RUN_UNTIL(cluster, cluster->confirmed + cluster->refused == 64);
	RUN_UNTIL(cluster, leader_of(cluster) == &cluster->members[target - 1]);
	assert_int_equal(cluster->unknown, 0);
	assert_int_equal(old->lost, 1);
	RUN_UNTIL(cluster, all_have(cluster, cluster->confirmed));
	same_everywhere(cluster, cluster->confirmed);
}

static void a_machine_that_fails_stops_its_member(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	leader = leader_of(cluster);
	propose(cluster, 1);
	propose(cluster, UINT64_MAX);
	RUN_UNTIL(cluster, leader->failed && cluster->unknown == 2);
	assert_int_equal(leader->failure.code, ERROR_NO_CAPACITY);
	assert_int_equal(cluster->confirmed, 0);
	assert_false(consensus_is_leader(leader->consensus));
}

static void closing_ends_what_waits(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	leader = leader_of(cluster);
	for (uint64_t value = 0; value < 10; value++)
		propose(cluster, value);
	uv_run(&cluster->loop, UV_RUN_NOWAIT);
	for (uint64_t value = 0; value < 10; value++)
		propose(cluster, value);
	member_stop(cluster, (size_t)(leader - cluster->members));
	assert_int_equal(cluster->confirmed + cluster->refused + cluster->unknown, 20);
}

struct closing {
	struct cluster *cluster;
	struct consensus *consensus;
	bool inside; /* consensus_close() */
	size_t cancelled;
};

static void on_cancelled(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct closing *closing = data;

	(void)outcome;
	(void)unknown;
	assert_false(closing->inside);
	assert_non_null(failure);
	assert_int_equal(failure->code, ERROR_CANCELLED);
	closing->cancelled++;
}

static void on_barrier_cancelled(void *data, const struct error *failure)
{
	on_cancelled(data, (struct bytes){ 0 }, false, failure);
}

static void closing_tells_nobody_inside_the_call(void **state)
{
	struct cluster *cluster = *state;
	struct closing closing = { .cluster = cluster };
	struct bytes command = { (const uint8_t *)"12345678", 8 };
	struct member *leader;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	leader = leader_of(cluster);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(consensus_propose(leader->consensus, command, on_cancelled, &closing, NULL), 0);
	assert_int_equal(consensus_barrier(leader->consensus, on_barrier_cancelled, &closing, NULL), 0);
	closing.inside = true;
	consensus_close(leader->consensus, on_closed, cluster);
	closing.inside = false;
	assert_int_equal(closing.cancelled, 0);
	assert_int_equal(consensus_propose(leader->consensus, command, on_cancelled, &closing, NULL),
			 ERROR_UNAVAILABLE);
	RUN_UNTIL(cluster, cluster->closed == 1);
	leader->consensus = NULL;
	assert_int_equal(closing.cancelled, 6);
}

/* The program's callback for the failure closes the member, as dnvmed does. */
static void on_failure_close(void *data, const struct error *failure)
{
	struct member *member = data;

	on_failure(data, failure);
	consensus_close(member->consensus, NULL, NULL);
	member->consensus = NULL;
}

static void a_failed_member_may_be_closed_at_once(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	for (size_t i = 0; i < MEMBERS; i++) {
		cluster->members[i].on_failure = on_failure_close;
		member_start(cluster, i, 0);
	}
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	leader = leader_of(cluster);
	propose(cluster, UINT64_MAX);
	RUN_UNTIL(cluster, leader->failed && cluster->unknown == 1);
	assert_null(leader->consensus);
}

/* A vote that cannot be stored must not be given: the member ends. */
static void a_vote_that_is_not_stored_ends_the_member(void **state)
{
	struct cluster *cluster = *state;
	struct member *follower;
	char hidden[128];
	size_t leader;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, 1));
	leader = (size_t)(leader_of(cluster) - cluster->members);
	follower = &cluster->members[(leader + 1) % MEMBERS];
	snprintf(hidden, sizeof(hidden), "%s.hidden", follower->directory);
	assert_int_equal(rename(follower->directory, hidden), 0);
	member_stop(cluster, leader);
	RUN_UNTIL(cluster, follower->failed);
	assert_non_null(strstr(follower->failure.message, "cannot store the Raft"));
	assert_false(consensus_is_leader(follower->consensus));
	assert_null(leader_of(cluster));
}

/* A group of one leads at once, before its log has room prepared: the first proposals wait for that. */
static void a_group_of_one(void **state)
{
	struct cluster *cluster = *state;
	bool initialized = true;

	cluster->size = 1;
	assert_int_equal(consensus_directory_check(cluster->members[0].directory, &initialized, NULL), 0);
	assert_false(initialized);
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	for (uint64_t value = 0; value < 10; value++)
		propose(cluster, value);
	assert_int_equal(consensus_barrier(leader_of(cluster)->consensus, on_barrier, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->confirmed == 10 && cluster->barriers == 1);
	member_stop(cluster, 0);
	assert_int_equal(consensus_directory_check(cluster->members[0].directory, &initialized, NULL), 0);
	assert_true(initialized);

	/* The log is applied again to a machine that lost everything, and not to one that did not. */
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	assert_int_equal(cluster->members[0].machine.count, 10);
	member_stop(cluster, 0);
	cluster->members[0].machine.count = 0;
	cluster->members[0].machine.applied = 0;
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, cluster->members[0].machine.count == 10);
}

/* What a start cannot do it says, and a turn of the loop frees all of it. */
static void a_start_that_fails(void **state)
{
	struct cluster *cluster = *state;
	struct member *member = &cluster->members[0];
	struct consensus_server server = { 1, member->address };
	struct consensus_options options = {
		.loop = &cluster->loop,
		.id = 1,
		.address = member->address,
		.directory = member->directory,
		.machine = { &member->machine, machine_applied, machine_apply, machine_skip, machine_dump,
			     machine_load },
		.data = member,
		.on_leadership = on_leadership,
		.on_failure = on_failure,
	};
	struct consensus *consensus = NULL;
	struct sockaddr_in taken;
	struct error error = { 0 };
	char host[32];
	int descriptor;

	/* The port is in use. */
	descriptor = socket(AF_INET, SOCK_STREAM, 0);
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(member->address, ":"), member->address);
	assert_int_equal(uv_ip4_addr(host, atoi(strchr(member->address, ':') + 1), &taken), 0);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&taken, sizeof(taken)), 0);
	assert_int_equal(listen(descriptor, 1), 0);
	assert_int_not_equal(consensus_start(&options, &server, 1, &consensus, &error), 0);
	assert_null(consensus);
	assert_true(error.message[0] != '\0');
	close(descriptor);
	uv_run(&cluster->loop, UV_RUN_DEFAULT);

	options.directory = "/proc/none/such";
	assert_int_not_equal(consensus_start(&options, &server, 1, &consensus, &error), 0);
	assert_null(consensus);
	assert_non_null(strstr(error.message, "/proc/none/such"));
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_are_packed_and_applied_alike, setup, teardown),
		cmocka_unit_test_setup_teardown(followers_refuse_proposals, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restarted_member_goes_on_where_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_follower_far_behind_gets_a_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(leadership_moves_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(a_machine_that_fails_stops_its_member, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_ends_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_tells_nobody_inside_the_call, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_member_may_be_closed_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vote_that_is_not_stored_ends_the_member, setup, teardown),
		cmocka_unit_test_setup_teardown(a_group_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_that_fails, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
