/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The group changes: servers join, vote, stand by and leave. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/internal.h"
#include "tests/unit/test_consensus_rig.h"

/* Of servers that belong to the group, and never run. */
#define ABSENT 9

static void on_changed(void *data, const struct error *failure)
{
	if (failure != NULL)
		fail_msg("%s", failure->message);
	((struct cluster *)data)->barriers++;
}

static struct consensus *leading(struct cluster *cluster)
{
	RUN_UNTIL(cluster, leader_of(cluster) != NULL && !consensus_is_changing(leader_of(cluster)->consensus));
	return leader_of(cluster)->consensus;
}

/* On a machine that is busy nobody may lead for a moment. */
static const struct member *leader_await(struct cluster *cluster)
{
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	return leader_of(cluster);
}

/* -1: it does not belong to the group, as `member` sees it. */
static int role_at(const struct member *member, uint64_t id)
{
	struct consensus_member members[16];
	size_t count = consensus_members(member->consensus, members, 16);

	for (size_t i = 0; i < count; i++) {
		if (members[i].id == id)
			return (int)members[i].role;
	}
	return -1;
}

static void add(struct cluster *cluster, uint64_t id, const char *address)
{
	size_t before = cluster->barriers;

	assert_int_equal(consensus_add(leading(cluster), id, address, on_changed, cluster, NULL), 0);
	assert_int_equal(cluster->barriers, before); /* no callback inside the call */
	RUN_UNTIL(cluster, cluster->barriers > before);
	assert_int_equal(role_at(leader_await(cluster), id), CONSENSUS_SPARE);
}

static void assign(struct cluster *cluster, uint64_t id, enum consensus_role role)
{
	size_t before = cluster->barriers;

	assert_int_equal(consensus_assign(leading(cluster), id, role, on_changed, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers > before);
	assert_int_equal(role_at(leader_await(cluster), id), role);
}

static void propose_some(struct cluster *cluster, size_t count)
{
	size_t before = cluster->confirmed;

	leading(cluster);
	for (size_t i = 0; i < count; i++)
		propose(cluster, before + i);
	RUN_UNTIL(cluster, cluster->confirmed == before + count);
}

static void one_becomes_three_and_the_first_leaves(void **state)
{
	struct cluster *cluster = *state;
	struct member *members = cluster->members;
	size_t before;

	cluster->size = 1;
	members[1].joins = members[2].joins = true;
	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 16);
	propose_some(cluster, 100);
	for (uint64_t id = 2; id <= 3; id++) {
		add(cluster, id, members[id - 1].address);
		assign(cluster, id, CONSENSUS_STANDBY);
		for (uint64_t value = 0; value < 50; value++)
			propose(cluster, value);
		assign(cluster, id, CONSENSUS_VOTER);
	}
	RUN_UNTIL(cluster, cluster->confirmed == 200);
	RUN_UNTIL(cluster, all_have(cluster, 200));
	same_everywhere(cluster, 200);
	assert_true(leader_of(cluster) == &members[0]);
	before = cluster->barriers;
	assert_int_equal(consensus_transfer(leading(cluster), 2, on_changed, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers > before && leader_of(cluster) == &members[1]);
	before = cluster->barriers;
	assert_int_equal(consensus_remove(leading(cluster), 1, on_changed, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers > before);
	assert_int_equal(role_at(&members[1], 1), -1);
	/* Without the first one they go on, also after each has started again. */
	member_stop(cluster, 0);
	for (size_t i = 1; i < MEMBERS; i++) {
		member_stop(cluster, i);
		member_start(cluster, i, 16);
	}
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose_some(cluster, 10);
	RUN_UNTIL(cluster, members[1].machine.count == 210 && members[2].machine.count == 210);
	assert_int_equal(role_at(&members[1], 1), -1);
	assert_int_equal(role_at(&members[2], 2), CONSENSUS_VOTER);
}

/* What a follower missed arrives in one message: commands with changes between them. It knows afterwards that they are
 * committed, keeps them when it cuts its log and starts again, and can make another one as the leader. */
static void changes_among_commands_are_not_forgotten(void **state)
{
	struct cluster *cluster = *state;
	struct member *late = &cluster->members[2];
	struct consensus_statistics statistics;
	size_t before;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 64);
	propose_some(cluster, 10);
	RUN_UNTIL(cluster, all_have(cluster, 10));
	if (leader_of(cluster) == late) {
		before = cluster->barriers;
		assert_int_equal(consensus_transfer(leading(cluster), 1, on_changed, cluster, NULL), 0);
		RUN_UNTIL(cluster, cluster->barriers > before);
	}
	member_stop(cluster, 2);
	for (uint64_t id = ABSENT; id < ABSENT + 3; id++) {
		char address[32];

		snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)id);
		propose_some(cluster, 3);
		add(cluster, id, address);
	}
	propose_some(cluster, 3);
	member_start(cluster, 2, 64);
	RUN_UNTIL(cluster, all_have(cluster, cluster->confirmed));
	RUN_UNTIL(cluster, !consensus_is_changing(late->consensus));
	/* From its snapshot, with none of this left in the log. */
	do {
		propose_some(cluster, 1);
		consensus_statistics_get(late->consensus, &statistics);
	} while (statistics.snapshots_taken < 4);
	member_stop(cluster, 2);
	member_start(cluster, 2, 64);
	for (uint64_t id = ABSENT; id < ABSENT + 3; id++)
		assert_int_equal(role_at(late, id), CONSENSUS_SPARE);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose_some(cluster, 1);
	RUN_UNTIL(cluster, all_have(cluster, cluster->confirmed));
	before = cluster->barriers;
	if (leader_of(cluster) != late) {
		assert_int_equal(consensus_transfer(leading(cluster), 3, on_changed, cluster, NULL), 0);
		RUN_UNTIL(cluster, cluster->barriers > before && leader_of(cluster) == late);
	}
	before = cluster->barriers;
	assert_int_equal(consensus_remove(leading(cluster), ABSENT, on_changed, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers > before);
	RUN_UNTIL(cluster, role_at(&cluster->members[0], ABSENT) < 0 && role_at(&cluster->members[1], ABSENT) < 0);
}

static void what_is_refused(void **state)
{
	struct cluster *cluster = *state;
	struct consensus *leader, *follower;
	struct error error = { 0 };
	uint64_t self;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	leader = leading(cluster);
	self = (uint64_t)(leader_of(cluster) - cluster->members) + 1;
	follower = cluster->members[self % MEMBERS].consensus;
	RUN_UNTIL(cluster, !consensus_is_changing(leader));
	assert_int_equal(consensus_add(follower, 9, "127.0.0.1:9", on_changed, cluster, &error), ERROR_UNAVAILABLE);
	assert_int_equal(consensus_add(leader, 2, "127.0.0.1:9", on_changed, cluster, &error), ERROR_ALREADY_EXISTS);
	assert_int_equal(consensus_add(leader, 9, cluster->members[1].address, on_changed, cluster, &error),
			 ERROR_ALREADY_EXISTS);
	assert_int_equal(consensus_remove(leader, 9, on_changed, cluster, &error), ERROR_NOT_FOUND);
	assert_int_equal(consensus_assign(leader, 9, CONSENSUS_VOTER, on_changed, cluster, &error), ERROR_NOT_FOUND);
	assert_int_equal(consensus_assign(leader, 2, CONSENSUS_VOTER, on_changed, cluster, &error),
			 ERROR_ALREADY_EXISTS);
	assert_int_equal(consensus_remove(leader, self, on_changed, cluster, &error), ERROR_FAILED_PRECONDITION);
	assert_int_equal(consensus_assign(leader, self, CONSENSUS_STANDBY, on_changed, cluster, &error),
			 ERROR_FAILED_PRECONDITION);
	assert_int_equal(consensus_add(leader, 9, "127.0.0.1:9", on_changed, cluster, &error), 0);
	assert_int_equal(consensus_add(leader, 10, "127.0.0.1:10", on_changed, cluster, &error),
			 ERROR_FAILED_PRECONDITION);
	RUN_UNTIL(cluster, cluster->barriers == 1);
}

static void on_failed(void *data, const struct error *failure)
{
	struct cluster *cluster = data;

	assert_non_null(failure);
	assert_true(failure->code == ERROR_UNAVAILABLE || failure->code == ERROR_CANCELLED);
	cluster->refused++;
}

/* A server that never answers does not get a vote, and the group can be changed again. */
static void who_does_not_catch_up_gets_no_vote(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	add(cluster, ABSENT, "127.0.0.1:9");
	assert_int_equal(consensus_assign(leading(cluster), ABSENT, CONSENSUS_VOTER, on_failed, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->refused == 1);
	assert_int_equal(role_at(leader_await(cluster), ABSENT), CONSENSUS_SPARE);
	assign(cluster, ABSENT, CONSENSUS_STANDBY);
}

/* Nobody confirms anything: the change ends when leadership does; so it does when the member is closed. */
static void without_a_majority_nothing_changes(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, 0);
	leading(cluster);
	leader = leader_of(cluster);
	for (size_t i = 0; i < MEMBERS; i++) {
		if (&cluster->members[i] != leader)
			member_stop(cluster, i);
	}
	if (consensus_add(leader->consensus, ABSENT, "127.0.0.1:9", on_failed, cluster, NULL) == 0)
		RUN_UNTIL(cluster, cluster->refused == 1);
	RUN_UNTIL(cluster, !consensus_is_leader(leader->consensus));
	for (size_t i = 0; i < MEMBERS; i++) {
		if (&cluster->members[i] != leader)
			member_start(cluster, i, 0);
	}
	add(cluster, ABSENT, "127.0.0.1:9");
	cluster->refused = 0;
	assert_int_equal(consensus_assign(leading(cluster), ABSENT, CONSENSUS_STANDBY, on_failed, cluster, NULL), 0);
	member_stop(cluster, (size_t)(leader_of(cluster) - cluster->members));
	assert_int_equal(cluster->refused, 1);
}

/* libraft applies a change before it notes that it is committed; a snapshot in between would have the group before. */
static void no_snapshot_before_a_change_is_noted(void **state)
{
	struct cluster *cluster = *state;
	struct consensus *consensus;
	struct raft_buffer *buffers = NULL;
	unsigned count = 0;

	cluster->size = 1;
	member_start(cluster, 0, 0);
	propose_some(cluster, 5);
	consensus = leading(cluster);
	consensus->raft.configuration_uncommitted_index = raft_last_applied(&consensus->raft);
	assert_int_equal(consensus->fsm.snapshot(&consensus->fsm, &buffers, &count), RAFT_IOERR);
	consensus->raft.configuration_uncommitted_index = 0;
	assert_int_equal(consensus->fsm.snapshot(&consensus->fsm, &buffers, &count), 0);
	assert_int_equal(consensus->fsm.snapshot_finalize(&consensus->fsm, &buffers, &count), 0);
}

/* ---- what libraft is handed over ---- */

static struct {
	size_t pieces;
	struct raft_append_entries last;
	size_t reject; /* the piece of this number, from 1 on */
} handed;

static void on_handed(struct raft_io *io, struct raft_message *message)
{
	struct consensus *consensus = (struct consensus *)((char *)io - offsetof(struct consensus, io));
	struct raft_append_entries *append = &message->append_entries;

	handed.last = *append;
	consensus->append_rejected = ++handed.pieces == handed.reject;
	for (unsigned i = 0; i < append->n_entries; i++) {
		assert_true(append->entries[i].type != RAFT_CHANGE || i == 0);
		assert_int_equal(append->entries[i].buf.len, 8);
		assert_int_equal(*(uint8_t *)append->entries[i].buf.base, append->prev_log_index + 1 + i);
	}
	if (append->n_entries > 0) {
		raft_free(append->entries[0].batch);
		raft_free(append->entries);
	}
}

/* Entries 11 to 14 arrive at a follower that takes entry 8 for an uncommitted change: a command, two changes, a
 * command. */
static void hand_over(struct consensus *consensus, size_t reject)
{
	struct raft_message message = { .type = RAFT_APPEND_ENTRIES };
	struct raft_append_entries *append = &message.append_entries;
	uint8_t *batch = raft_malloc(4 * 8);

	*consensus = (struct consensus){ .uv_recv = on_handed };
	consensus->raft.state = RAFT_FOLLOWER;
	consensus->raft.current_term = 3;
	raft_configuration_init(&consensus->raft.configuration);
	raft_configuration_init(&consensus->raft.configuration_committed);
	assert_int_equal(raft_configuration_add(&consensus->raft.configuration, 7, "127.0.0.1:7", RAFT_VOTER), 0);
	consensus->raft.configuration_committed_index = 1;
	consensus->raft.configuration_uncommitted_index = 8;
	*append = (struct raft_append_entries){ .term = 3, .prev_log_index = 10, .prev_log_term = 2, .n_entries = 4 };
	append->entries = raft_malloc(4 * sizeof(*append->entries));
	for (unsigned i = 0; i < 4; i++) {
		batch[8 * i] = (uint8_t)(11 + i);
		append->entries[i] = (struct raft_entry){ .term = 3,
							  .type = i == 1 || i == 2 ? RAFT_CHANGE : RAFT_COMMAND,
							  .buf = { batch + 8 * (size_t)i, 8 },
							  .batch = batch };
	}
	memset(&handed, 0, sizeof(handed));
	handed.reject = reject;
	receive_append(consensus, &message);
}

static void hand_over_end(struct consensus *consensus)
{
	raft_configuration_close(&consensus->raft.configuration);
	raft_configuration_close(&consensus->raft.configuration_committed);
}

static void an_earlier_change_is_committed_before_the_next(void **state)
{
	struct consensus *consensus = calloc(1, sizeof(*consensus));

	(void)state;
	hand_over(consensus, 0);
	assert_int_equal(handed.pieces, 3);
	assert_int_equal(handed.last.prev_log_index, 12);
	assert_int_equal(handed.last.prev_log_term, 3);
	assert_int_equal(handed.last.n_entries, 2);
	assert_int_equal(consensus->raft.configuration_committed_index, 8);
	assert_int_equal(consensus->raft.configuration_uncommitted_index, 0);
	assert_int_equal(consensus->raft.configuration_committed.n, 1);
	assert_int_equal(consensus->raft.configuration_committed.servers[0].id, 7);
	hand_over_end(consensus);
	/* Where the logs are not the same, nothing follows from what the leader has. */
	hand_over(consensus, 1);
	assert_int_equal(handed.pieces, 1);
	assert_int_equal(consensus->raft.configuration_committed_index, 1);
	assert_int_equal(consensus->raft.configuration_uncommitted_index, 8);
	hand_over_end(consensus);
	free(consensus);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, group_setup, group_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GROUP_TEST(one_becomes_three_and_the_first_leaves),
		GROUP_TEST(changes_among_commands_are_not_forgotten),
		GROUP_TEST(what_is_refused),
		GROUP_TEST(who_does_not_catch_up_gets_no_vote),
		GROUP_TEST(without_a_majority_nothing_changes),
		GROUP_TEST(no_snapshot_before_a_change_is_noted),
		cmocka_unit_test(an_earlier_change_is_committed_before_the_next),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("consensus_change", tests, NULL, NULL);
}
