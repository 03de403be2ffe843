/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A group that lost its majority for good goes on with one member, whatever becomes of the others. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/internal.h"
#include "tests/unit/test_consensus_rig.h"

/* On one that leads, while another one does, too. */
static void propose_at(struct cluster *cluster, const struct member *member, size_t count)
{
	size_t before = cluster->confirmed;

	for (uint64_t value = 0; value < count; value++)
		assert_int_equal(consensus_propose(member->consensus,
						   (struct bytes){ (const uint8_t *)&value, sizeof(value) },
						   group_on_proposed, cluster, NULL),
				 0);
	RUN_UNTIL(cluster, cluster->confirmed == before + count);
}

/* Three of which the first one leads, with so many commands; none runs any more. Returns its term. */
static uint64_t make(struct cluster *cluster, size_t count, unsigned threshold)
{
	uint64_t term;

	for (size_t i = 0; i < MEMBERS; i++)
		member_start(cluster, i, threshold);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose_at(cluster, leader_of(cluster), count);
	RUN_UNTIL(cluster, all_have(cluster, count));
	term = consensus_term(cluster->members[0].consensus);
	for (size_t i = 0; i < MEMBERS; i++)
		member_stop(cluster, i);
	return term;
}

static void recover(const struct member *member, uint64_t term)
{
	struct error error;

	if (consensus_recover(member->directory, 1, member->address, term, &error) != 0)
		fail_msg("%s", error.message);
}

static void must_be_alone(const struct member *member, uint64_t least_term)
{
	struct consensus_member members[4];

	assert_int_equal(consensus_members(member->consensus, members, 4), 1);
	assert_int_equal(members[0].id, 1);
	assert_int_equal(members[0].role, CONSENSUS_VOTER);
	assert_true(consensus_term(member->consensus) >= least_term);
}

static void one_goes_on_alone(void **state)
{
	static const unsigned thresholds[] = { 0, 16 };
	struct cluster *cluster = *state;
	struct member *left = &cluster->members[0];
	size_t count = 0;
	uint64_t term;

	for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++) {
		/* The group as it was before, but for what it applied: start anew each time. */
		if (i > 0) {
			group_teardown(state);
			group_setup(state);
			cluster = *state;
			left = &cluster->members[0];
		}
		count = 100;
		term = make(cluster, count, thresholds[i]) + CONSENSUS_TERM_STEP;
		recover(left, term);
		/* It was not sure whether that was done. */
		recover(left, term);
		member_start(cluster, 0, thresholds[i]);
		RUN_UNTIL(cluster, consensus_is_leader(left->consensus));
		must_be_alone(left, term);
		propose_at(cluster, left, 50);
		assert_int_equal(left->machine.count, count + 50);
		/* That is so for good. */
		member_stop(cluster, 0);
		member_start(cluster, 0, thresholds[i]);
		RUN_UNTIL(cluster, consensus_is_leader(left->consensus));
		must_be_alone(left, term);
		assert_int_equal(left->machine.count, count + 50);
		propose_at(cluster, left, 1);
		member_stop(cluster, 0);
	}
}

/* They ask it to follow, and it does not even answer: that would tell them its term, and the next leader among them
 * would have its log cut. */
static void nothing_is_taken_from_those_that_were_given_up(void **state)
{
	struct cluster *cluster = *state;
	struct member *members = cluster->members, *other;
	uint64_t term = make(cluster, 20, 0), recovered;

	recover(&members[0], term + CONSENSUS_TERM_STEP);
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, consensus_is_leader(members[0].consensus));
	recovered = consensus_term(members[0].consensus);
	propose_at(cluster, &members[0], 5);
	member_start(cluster, 1, 0);
	member_start(cluster, 2, 0);
	RUN_UNTIL(cluster, consensus_is_leader(members[1].consensus) || consensus_is_leader(members[2].consensus));
	other = consensus_is_leader(members[1].consensus) ? &members[1] : &members[2];
	/* Each is sent to all three. */
	for (size_t i = 0; i < 30; i++)
		propose_at(cluster, other, 1);
	/* Its vote is asked for, too. */
	member_stop(cluster, other == &members[1] ? 1 : 2);
	member_start(cluster, other == &members[1] ? 1 : 2, 0);
	RUN_UNTIL(cluster, consensus_is_leader(members[1].consensus) || consensus_is_leader(members[2].consensus));
	propose_at(cluster, &members[0], 5);
	assert_true(consensus_is_leader(members[0].consensus));
	assert_int_equal(consensus_term(members[0].consensus), recovered);
	assert_int_equal(members[0].machine.count, 30);
	assert_false(members[0].failed);
	for (size_t i = 1; i < MEMBERS; i++) {
		assert_true(consensus_term(members[i].consensus) < term + 100);
		RUN_UNTIL(cluster, members[i].machine.count == 50);
	}
}

static void a_damaged_log_is_refused(void **state)
{
	struct cluster *cluster = *state;
	const struct member *left = &cluster->members[0];
	uint64_t term = make(cluster, 20, 0);
	char path[160];
	struct error error;
	FILE *file;

	snprintf(path, sizeof(path), "%s/0000000000000001-0000000000000001", left->directory);
	file = fopen(path, "r+");
	if (file == NULL) {
		/* It is part of a longer segment. */
		snprintf(path, sizeof(path), "%s/metadata1", left->directory);
		file = fopen(path, "r+");
	}
	assert_non_null(file);
	for (size_t i = 0; i < 64; i++)
		fputc(0x5a, file);
	fclose(file);
	assert_int_not_equal(consensus_recover(left->directory, 1, left->address, term + 1, &error), 0);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, group_setup, group_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GROUP_TEST(one_goes_on_alone),
		GROUP_TEST(nothing_is_taken_from_those_that_were_given_up),
		GROUP_TEST(a_damaged_log_is_refused),
	};

	signal(SIGPIPE, SIG_IGN); /* as dnvmed does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
