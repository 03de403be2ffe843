/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of volumes, and what agents are told, over a consensus that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/stock.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/hosts.h"
#include "src/membership.h"
#include "src/driver.h"
#include "src/request_internal.h"
#include "src/session.h"
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

int consensus_add(struct consensus *consensus, uint64_t id, const char *address, consensus_barrier_callback callback,
		  void *data, struct error *error)
{
	(void)consensus;
	(void)id;
	(void)address;
	(void)callback;
	(void)data;
	fail_msg("not expected");
	return error_set(error, ERROR_INTERNAL, "not here");
}

int consensus_assign(struct consensus *consensus, uint64_t id, enum consensus_role role,
		     consensus_barrier_callback callback, void *data, struct error *error)
{
	(void)consensus;
	(void)id;
	(void)role;
	(void)callback;
	(void)data;
	fail_msg("not expected");
	return error_set(error, ERROR_INTERNAL, "not here");
}

int consensus_remove(struct consensus *consensus, uint64_t id, consensus_barrier_callback callback, void *data,
		     struct error *error)
{
	(void)consensus;
	(void)id;
	(void)callback;
	(void)data;
	fail_msg("not expected");
	return error_set(error, ERROR_INTERNAL, "not here");
}

size_t consensus_members(const struct consensus *consensus, struct consensus_member *ret_members, size_t max)
{
	(void)consensus;
	(void)ret_members;
	(void)max;
	return 0;
}

bool consensus_is_changing(const struct consensus *consensus)
{
	(void)consensus;
	return false;
}

int consensus_recover(const char *directory, uint64_t id, const char *address, uint64_t term, struct error *error)
{
	(void)directory;
	(void)id;
	(void)address;
	(void)term;
	return error_set(error, ERROR_INTERNAL, "no test comes here");
}

uint64_t consensus_last_index(const struct consensus *consensus)
{
	(void)consensus;
	return 0;
}

uint64_t consensus_applied_index(const struct consensus *consensus)
{
	(void)consensus;
	return 0;
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
	list_init(&dnvmed->touched);
	dnvmed->agents = agents_make();
	dnvmed->driver = driver_make();
	dnvmed->hosts = hosts_make();
	dnvmed->stock = stock_make();
	dnvmed->membership = membership_make();
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
	stock_free(leader->dnvmed.stock);
	membership_free(leader->dnvmed.membership);
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

/* --- volumes for which nothing is found --------------------------------------------------------------------------- */

static unsigned placements;

int __real_placement_standby(const struct placement_view *view, const struct volume *volume, struct arena *arena,
			     const char **ret_node, struct error *error);
int __wrap_placement_standby(const struct placement_view *view, const struct volume *volume, struct arena *arena,
			     const char **ret_node, struct error *error);

int __wrap_placement_standby(const struct placement_view *view, const struct volume *volume, struct arena *arena,
			     const char **ret_node, struct error *error)
{
	placements++;
	return __real_placement_standby(view, volume, arena, ret_node, error);
}

static void ticks(struct leader *leader, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		driver_tick(&leader->dnvmed);
		driver_prepare(&leader->dnvmed);
	}
}

/* All nodes are away; placement is asked for a standby once, and not again before one of them is back. */
static void test_placeless_is_left_alone(void **state)
{
	struct leader *leader = *state;
	struct dnvmed *dnvmed = &leader->dnvmed;
	struct rig_shape shape = {
		.name = "lone", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1, .spread = SPREAD_NODE
	};
	uint64_t volume = rig_create(&leader->rig, &shape);
	struct error error;

	rig_advance_until(&leader->rig, volume, VOLUME_PHASE_ONLINE);
	rig_node(&leader->rig, "n3", "10.0.0.3", "r3");
	agents_leader_end(dnvmed);
	assert_int_equal(agents_leader_begin(dnvmed, &error), 0);
	for (unsigned i = 1; i <= 3; i++)
		agents_get(dnvmed, (char[]){ 'n', (char)('0' + i), '\0' })->health.state = HEALTH_OFFLINE;
	placements = 0;
	driver_volume_dirty(dnvmed, volume);
	ticks(leader, 20);
	assert_int_equal(placements, 1);
	agents_get(dnvmed, "n3")->health.state = HEALTH_ONLINE;
	driver_places_changed(dnvmed);
	ticks(leader, 20);
	assert_int_equal(placements, 2);
	assert_int_equal(leader->consensus.proposals, 1);
	leader->dnvmed.leader_ready = false;
	answer(leader, ERROR_CANCELLED);
}

/* --- heartbeats -----------------------------------------------------------------------------------------------------
 */

static void session_begin(struct leader *leader, const char *node, struct session *session)
{
	*session = (struct session){ .dnvmed = &leader->dnvmed,
				     .kind = SESSION_AGENT,
				     .agent = agents_get(&leader->dnvmed, node) };
	list_init(&session->link);
	list_init(&session->touched_link);
	list_init(&session->requests);
	session->agent->session = session;
}

static void session_end(struct session *session)
{
	session->agent->session = NULL;
	list_remove(&session->touched_link);
	buffer_free(session_output(session));
}

/* A heartbeat of the session came, and the barrier behind it is over. */
static struct request *beat(struct session *session)
{
	static const struct agent_heartbeat heartbeat = { .sequence = 5, .sent_ms = 1 };
	struct request *request = calloc(1, sizeof(*request));
	struct error error;

	assert_non_null(request);
	request->dnvmed = session->dnvmed;
	request->session = session;
	request->references = 1;
	request->method = method_find("agent.heartbeat");
	request->msgid = 77;
	request->params = (void *)&heartbeat;
	list_init(&request->deadline_link);
	list_init(&request->state_link);
	list_init(&request->create_link);
	list_init(&request->change_link);
	list_init(&request->session_link);
	list_append(&session->requests, &request->session_link);
	session->request_count++;
	request_begin(request);
	request_state_set(request, REQUEST_WAIT_LEADER);
	request_state_set(request, REQUEST_BARRIER);
	assert_int_equal(agents_heartbeat(request, &error), 0);
	return request;
}

/* What the session sent, in its order: the names of notifications, and the answers. Forgets it. */
static void sent_is(struct session *session, const char *wanted)
{
	struct buffer *output = session_output(session), text = BUFFER_INIT;
	struct frame_scanner scanner;
	size_t at = 0, used;
	int complete;

	frame_scanner_init(&scanner, LIMIT_FRAME_PEER_BYTES);
	for (; at < output->size; at += used) {
		struct agent_heartbeat_reply reply;
		struct arena arena = ARENA_INIT;
		struct rpc_message message;
		struct error error;

		assert_int_equal(
			frame_scanner_feed(&scanner, output->data + at, output->size - at, &used, &complete, &error),
			0);
		assert_true(complete);
		assert_int_equal(rpc_message_open((struct bytes){ output->data + at, used }, &arena, &message,
						  &(int){ 0 }, &error),
				 0);
		if (message.type == RPC_NOTIFICATION) {
			buffer_printf(&text, "%s ", message.method);
		} else {
			assert_int_equal(message.msgid, 77);
			assert_int_equal(codec_decode_value(schema_agent_heartbeat_reply(), message.result, &arena,
							    &reply, &error),
					 0);
			assert_int_equal(reply.sequence, 5);
			buffer_printf(&text, reply.behind ? "behind " : "lease ");
		}
		arena_free(&arena);
	}
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_string_equal((const char *)text.data, wanted);
	buffer_free(&text);
	buffer_clear(output);
}

static void change(struct leader *leader, const char *node)
{
	struct fsm_change change = { .kind = FSM_CHANGE_VOLUME, .id = leader->volume, .nodes = &node, .node_count = 1 };

	agents_change(&leader->dnvmed, &change);
}

/* What was committed before a lease is told before it. */
static void test_lease_behind_pushes(void **state)
{
	struct leader *leader = *state;
	struct session sessions[2];

	session_begin(leader, "n1", &sessions[0]);
	session_begin(leader, "n2", &sessions[1]);
	beat(&sessions[0]);
	sent_is(&sessions[0], "lease ");
	change(leader, "n1");
	beat(&sessions[0]);
	beat(&sessions[1]);
	sent_is(&sessions[0], "");
	sent_is(&sessions[1], "lease ");
	agents_prepare(&leader->dnvmed);
	sent_is(&sessions[0], "agent.desired lease ");
	/* No time for it in this turn: it goes on serving, and nothing more. */
	leader->dnvmed.agents->push_budget_ns = 0;
	change(leader, "n2");
	change(leader, "n1");
	for (int turn = 0; turn < 2; turn++) {
		beat(&sessions[0]);
		agents_prepare(&leader->dnvmed);
	}
	sent_is(&sessions[0], "behind behind ");
	leader->dnvmed.agents->push_budget_ns = UINT64_MAX;
	beat(&sessions[0]);
	agents_prepare(&leader->dnvmed);
	sent_is(&sessions[0], "agent.desired lease ");
	assert_int_equal(sessions[0].request_count, 0);
	buffer_clear(session_output(&sessions[1]));
	/* A session that another one took the place of. */
	agents_get(&leader->dnvmed, "n1")->session = &sessions[1];
	beat(&sessions[0]);
	agents_prepare(&leader->dnvmed);
	sent_is(&sessions[0], "behind ");
	session_end(&sessions[0]);
	session_end(&sessions[1]);
}

/* Nobody waits for the answer any more; or there is no leader who could give it. */
static void test_lease_not_given(void **state)
{
	struct leader *leader = *state;
	struct session session;
	struct request *request;

	session_begin(leader, "n1", &session);
	change(leader, "n1");
	request = beat(&session);
	request_hold(request);
	request_session_ended(&session);
	assert_false(request_is_done(request));
	agents_prepare(&leader->dnvmed);
	assert_true(request_is_done(request));
	request_release(request);
	buffer_clear(session_output(&session));
	change(leader, "n1");
	request = beat(&session);
	request_hold(request);
	leader->dnvmed.leader_ready = false;
	leader->consensus.leader = false;
	agents_prepare(&leader->dnvmed);
	assert_true(request_is_done(request));
	request_release(request);
	assert_true(session_output(&session)->size > 0);
	session_end(&session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_proposal_at_a_time, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_failed_is_repeated, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_failed_while_dirty, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_placeless_is_left_alone, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_lease_behind_pushes, leader_make, leader_end),
		cmocka_unit_test_setup_teardown(test_lease_not_given, leader_make, leader_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
