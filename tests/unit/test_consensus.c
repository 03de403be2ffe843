/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test_consensus_rig.h"

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
		assert_int_equal(consensus_barrier(leader_of(cluster)->consensus, group_on_barrier, cluster, NULL), 0);
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
		assert_int_equal(consensus_propose(consensus, (struct bytes){ 0 }, group_on_proposed, cluster, &error),
				 ERROR_UNAVAILABLE);
		assert_int_equal(consensus_barrier(consensus, group_on_barrier, cluster, &error), ERROR_UNAVAILABLE);
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
	if (failure != NULL)
		fail_msg("refused: %s", failure->message);
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

/* A follower that has yet to write two entries or more, which the others have committed; 0: none has. */
static uint64_t straggler_of(struct cluster *cluster, struct member *leader)
{
	uint64_t self = (uint64_t)(leader - cluster->members) + 1;
	struct consensus_member members[MEMBERS];
	size_t count = consensus_members(leader->consensus, members, MEMBERS);

	for (size_t i = 0; i < count; i++) {
		if (members[i].id != self && members[i].match_index + 2 <= consensus_last_index(leader->consensus))
			return members[i].id;
	}
	return 0;
}

/* libraft tells a server to take over once, and may do so before that one has written its log to the end; it ignores it
 * then. */
static void leadership_moves_to_one_that_writes_yet(void **state)
{
	struct cluster *cluster = *state;
	size_t proposed = 0;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	for (size_t round = 0; round < 20; round++) {
		struct member *old = leader_of(cluster);
		uint64_t target = 0;

		/* Each an entry of its own. On a quick disk there may be no such server: then it is any. */
		for (size_t i = 0; i < 300 && target == 0; i++) {
			propose(cluster, proposed++);
			RUN_UNTIL(cluster, cluster->confirmed == proposed);
			target = straggler_of(cluster, old);
		}
		if (target == 0)
			target = (uint64_t)(old - cluster->members + 1) % MEMBERS + 1;
		assert_int_equal(consensus_transfer(old->consensus, target, on_transferred, cluster, NULL), 0);
		RUN_UNTIL(cluster, cluster->barriers == round + 1);
		RUN_UNTIL(cluster, leader_of(cluster) == &cluster->members[target - 1]);
	}
	RUN_UNTIL(cluster, all_have(cluster, proposed));
	same_everywhere(cluster, proposed);
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
	consensus_close(leader->consensus, group_on_closed, cluster);
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

	group_on_failure(data, failure);
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
	assert_int_equal(consensus_barrier(leader_of(cluster)->consensus, group_on_barrier, cluster, NULL), 0);
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
		.machine = { &member->machine, group_machine_applied, group_machine_apply, group_machine_skip,
			     group_machine_dump, group_machine_load },
		.data = member,
		.on_leadership = group_on_leadership,
		.on_failure = group_on_failure,
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
		cmocka_unit_test_setup_teardown(commands_are_packed_and_applied_alike, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(followers_refuse_proposals, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_restarted_member_goes_on_where_it_was, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_follower_far_behind_gets_a_snapshot, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(leadership_moves_under_load, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(leadership_moves_to_one_that_writes_yet, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_machine_that_fails_stops_its_member, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(closing_ends_what_waits, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(closing_tells_nobody_inside_the_call, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_failed_member_may_be_closed_at_once, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_vote_that_is_not_stored_ends_the_member, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_group_of_one, group_setup, group_teardown),
		cmocka_unit_test_setup_teardown(a_start_that_fails, group_setup, group_teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
