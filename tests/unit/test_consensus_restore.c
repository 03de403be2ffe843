/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No member of a group is left: one begins anew with a dump, and others join it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_consensus_rig.h"

#define INDEX 5000
#define TERM UINT64_C(3000000000)
#define COUNT 777

static void restore(const struct member *member, enum error_code code)
{
	const struct consensus_server self = { 1, member->address };
	uint64_t values[COUNT];
	struct error error;

	error_clear(&error);
	for (uint64_t i = 0; i < COUNT; i++)
		values[i] = i;
	if (consensus_restore(member->directory, &self, TERM, INDEX,
			      (struct bytes){ (const uint8_t *)values, sizeof(values) }, &error) != (int)code)
		fail_msg("%s", error.message);
}

static void propose_one(struct cluster *cluster, const struct member *member)
{
	size_t before = cluster->confirmed;
	uint64_t value = 1;

	assert_int_equal(consensus_propose(member->consensus, (struct bytes){ (const uint8_t *)&value, sizeof(value) },
					   group_on_proposed, cluster, NULL),
			 0);
	RUN_UNTIL(cluster, cluster->confirmed == before + 1);
}

static void first_begins_with_the_dump(void **state)
{
	struct cluster *cluster = *state;
	struct member *first = &cluster->members[0];
	struct consensus_member members[4];

	restore(first, ERROR_NONE);
	/* There is a member now. */
	restore(first, ERROR_FAILED_PRECONDITION);
	for (size_t i = 0; i < 3; i++) {
		member_start(cluster, 0, 0);
		RUN_UNTIL(cluster, consensus_is_leader(first->consensus));
		assert_true(consensus_term(first->consensus) >= TERM);
		assert_int_equal(consensus_members(first->consensus, members, 4), 1);
		assert_int_equal(members[0].id, 1);
		assert_int_equal(members[0].role, CONSENSUS_VOTER);
		assert_string_equal(members[0].address, first->address);
		propose_one(cluster, first);
		assert_int_equal(first->machine.count, COUNT + i + 1);
		assert_int_equal(first->machine.values[COUNT - 1], COUNT - 1);
		assert_true(first->machine.applied > INDEX);
		member_stop(cluster, 0);
		/* The next start has nothing but what is on disk. */
		first->machine.applied = 0;
		first->machine.count = 0;
	}
	assert_int_equal(first->machine.loads, 3);
}

static void another_one_gets_it(void **state)
{
	struct cluster *cluster = *state;
	struct member *first = &cluster->members[0], *second = &cluster->members[1];
	size_t barriers;

	restore(first, ERROR_NONE);
	member_start(cluster, 0, 0);
	RUN_UNTIL(cluster, consensus_is_leader(first->consensus));
	second->joins = true;
	member_start(cluster, 1, 0);
	barriers = cluster->barriers;
	assert_int_equal(consensus_add(first->consensus, 2, second->address, group_on_barrier, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers == barriers + 1 && !consensus_is_changing(first->consensus));
	assert_int_equal(consensus_assign(first->consensus, 2, CONSENSUS_VOTER, group_on_barrier, cluster, NULL), 0);
	RUN_UNTIL(cluster, cluster->barriers == barriers + 2 && !consensus_is_changing(first->consensus));
	propose_one(cluster, first);
	RUN_UNTIL(cluster, second->machine.count == COUNT + 1);
	assert_int_equal(second->machine.loads, 1);
	assert_int_equal(second->machine.values[COUNT - 1], COUNT - 1);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, group_setup, group_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { GROUP_TEST(first_begins_with_the_dump), GROUP_TEST(another_one_gets_it) };

	signal(SIGPIPE, SIG_IGN); /* as dnvmed does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
