/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of volumes over a consensus that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/hosts.h"
#include "src/driver.h"
#include "tests/unit/test_fsm_rig.h"

/* --- in place of raft/consensus.c ------------------------------------------------------------------------------- */

struct consensus {
	bool leader;
	size_t proposals;
	consensus_propose_callback callback;
	void *data;
};

bool consensus_is_leader(const struct consensus *consensus)
{
	return consensus->leader;
}

int consensus_propose(struct consensus *consensus, struct bytes command, consensus_propose_callback callback,
		      void *data, struct error *error)
{
	(void)command;
	if (!consensus->leader)
		return error_set(error, ERROR_UNAVAILABLE, "not the leader");
	consensus->proposals++;
	consensus->callback = callback;
	consensus->data = data;
	return 0;
}

/* What the rest of dnvmed links with; no test here gets to it. */

int consensus_directory_check(const char *directory, bool *ret_initialized, struct error *error)
{
	(void)ret_initialized;
	fail_msg("not expected: %s", directory);
	return error_set(error, ERROR_INTERNAL, "not here");
}

int consensus_start(const struct consensus_options *options, const struct consensus_server *bootstrap,
		    size_t bootstrap_count, struct consensus **ret_consensus, struct error *error)
{
	(void)bootstrap;
	(void)bootstrap_count;
	(void)ret_consensus;
	fail_msg("not expected: %s", options->directory);
	return error_set(error, ERROR_INTERNAL, "not here");
}

void consensus_close(struct consensus *consensus, void (*closed)(void *data), void *data)
{
	(void)consensus;
	(void)closed;
	(void)data;
	fail_msg("not expected");
}

uint64_t consensus_term(const struct consensus *consensus)
{
	(void)consensus;
	return 1;
}

uint64_t consensus_leader_id(const struct consensus *consensus)
{
	(void)consensus;
	return 0;
}

const char *consensus_state_name(const struct consensus *consensus)
{
	return consensus->leader ? "leader" : "follower";
}

void consensus_statistics_get(const struct consensus *consensus, struct consensus_statistics *ret_statistics)
{
	(void)consensus;
	*ret_statistics = (struct consensus_statistics){ 0 };
}

int consensus_barrier(struct consensus *consensus, consensus_barrier_callback callback, void *data, struct error *error)
{
	(void)consensus;
	(void)callback;
	(void)data;
	fail_msg("not expected");
	return error_set(error, ERROR_INTERNAL, "not here");
}

int consensus_transfer(struct consensus *consensus, uint64_t target_id, consensus_barrier_callback callback, void *data,
		       struct error *error)
{
	(void)consensus;
	(void)target_id;
	(void)callback;
	(void)data;
	fail_msg("not expected");
	return error_set(error, ERROR_INTERNAL, "not here");
}

/* --- a leader with one volume that is being taken down, all of whose nodes are offline --------------------------- */

struct leader {
	struct rig rig;
	struct consensus consensus;
	struct dnvmed dnvmed;
	uint64_t volume;
};

static int leader_make(void **state)
{
	static struct leader leader;
	struct rig_shape shape = {
		.name = "db", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1, .spread = SPREAD_NODE
	};
	struct dnvmed *dnvmed = &leader.dnvmed;
	struct error error;

	memset(&leader, 0, sizeof(leader));
	rig_open(&leader.rig);
	rig_cluster(&leader.rig);
	rig_rack(&leader.rig, 2, 1, 64 * GIB);
	leader.volume = rig_create(&leader.rig, &shape);
	rig_advance_until(&leader.rig, leader.volume, VOLUME_PHASE_ONLINE);
	rig_delete(&leader.rig, "db");
	leader.consensus.leader = true;
	dnvmed->fsm = leader.rig.fsm;
	dnvmed->consensus = &leader.consensus;
	dnvmed->leading = dnvmed->leader_ready = true;
	list_init(&dnvmed->waiting);
	list_init(&dnvmed->detaching);
	dnvmed->agents = agents_make();
	dnvmed->driver = driver_make();
	dnvmed->hosts = hosts_make();
	assert_non_null(dnvmed->agents);
	assert_non_null(dnvmed->driver);
	assert_non_null(dnvmed->hosts);
	assert_int_equal(agents_leader_begin(dnvmed, &error), 0);
	agents_get(dnvmed, "n1")->health.state = agents_get(dnvmed, "n2")->health.state = HEALTH_OFFLINE;
	*state = &leader;
	return 0;
}

static int leader_end(void **state)
{
	struct leader *leader = *state;

	agents_leader_end(&leader->dnvmed);
	hosts_free(leader->dnvmed.hosts);
	driver_free(leader->dnvmed.driver);
	agents_free(leader->dnvmed.agents);
	rig_close(&leader->rig);
	return 0;
}

static void answer(struct leader *leader, enum error_code code)
{
	struct error failure;

	error_set(&failure, code, "the test says so");
	leader->consensus.callback(leader->consensus.data, (struct bytes){ NULL, 0 }, true, &failure);
}

static void test_one_proposal_at_a_time(void **state)
{
	struct leader *leader = *state;

	for (int i = 0; i < 3; i++) {
		driver_volume_dirty(&leader->dnvmed, leader->volume);
		driver_prepare(&leader->dnvmed);
		assert_int_equal(leader->consensus.proposals, 1);
	}
	leader->dnvmed.leader_ready = false;
	answer(leader, ERROR_CANCELLED);
	assert_int_equal(leader->consensus.proposals, 1);
}

/* The log had no room for a while: no agent and no client will ever say something about this volume again. */
static void test_failed_is_repeated(void **state)
{
	struct leader *leader = *state;

	driver_volume_dirty(&leader->dnvmed, leader->volume);
	for (size_t i = 1; i < 4; i++) {
		driver_prepare(&leader->dnvmed);
		assert_int_equal(leader->consensus.proposals, i);
		answer(leader, ERROR_NO_CAPACITY);
		driver_prepare(&leader->dnvmed);
		assert_int_equal(leader->consensus.proposals, i); /* not at once */
		driver_tick(&leader->dnvmed);
	}
}

/* A member that cannot go on stops to lead with the very proposal that tells the driver so; in the same turn an agent
 * may have reported on the volume. */
static void test_failed_while_dirty(void **state)
{
	struct leader *leader = *state;

	driver_volume_dirty(&leader->dnvmed, leader->volume);
	driver_prepare(&leader->dnvmed);
	assert_int_equal(leader->consensus.proposals, 1);
	driver_volume_dirty(&leader->dnvmed, leader->volume);
	leader->consensus.leader = false;
	answer(leader, ERROR_NO_CAPACITY);
	assert_false(leader->dnvmed.leading);
	driver_prepare(&leader->dnvmed);
	driver_volume_dirty(&leader->dnvmed, leader->volume);
	assert_int_equal(leader->consensus.proposals, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_proposal_at_a_time, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_failed_is_repeated, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_failed_while_dirty, leader_make, leader_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
