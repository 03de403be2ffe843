/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/leader/health.h"

static const struct health_limits limits = { .heartbeat_ms = 250, .lease_ms = 2000 };

#define SINCE 1000000u

static void test_unknown_until_a_lease(void **state)
{
	struct health_node node;

	(void)state;
	health_node_init(&node);
	assert_int_equal(node.state, HEALTH_UNKNOWN);
	assert_false(health_node_step(&node, SINCE, SINCE, &limits));
	assert_false(health_node_step(&node, SINCE, SINCE + 2000, &limits));
	assert_int_equal(node.state, HEALTH_UNKNOWN);
	assert_true(health_node_step(&node, SINCE, SINCE + 2001, &limits));
	assert_int_equal(node.state, HEALTH_OFFLINE);
	assert_false(health_node_step(&node, SINCE, SINCE + 9000, &limits));
}

static void test_heartbeats(void **state)
{
	struct health_node node;
	uint64_t now = SINCE + 10;

	(void)state;
	health_node_init(&node);
	health_node_heard(&node, now);
	assert_int_equal(node.state, HEALTH_UNKNOWN);
	assert_true(health_node_step(&node, SINCE, now, &limits));
	assert_int_equal(node.state, HEALTH_ONLINE);
	/* Four may be missed. */
	assert_false(health_node_step(&node, SINCE, now + 1000, &limits));
	assert_true(health_node_step(&node, SINCE, now + 1001, &limits));
	assert_int_equal(node.state, HEALTH_SUSPECT);
	assert_false(health_node_step(&node, SINCE, now + 2000, &limits));
	assert_true(health_node_step(&node, SINCE, now + 2001, &limits));
	assert_int_equal(node.state, HEALTH_OFFLINE);
	health_node_heard(&node, now + 5000);
	assert_true(health_node_step(&node, SINCE, now + 5000, &limits));
	assert_int_equal(node.state, HEALTH_ONLINE);
}

static void test_suspect_recovers(void **state)
{
	struct health_node node;

	(void)state;
	health_node_init(&node);
	health_node_heard(&node, SINCE);
	health_node_step(&node, SINCE, SINCE + 1500, &limits);
	assert_int_equal(node.state, HEALTH_SUSPECT);
	health_node_heard(&node, SINCE + 1600);
	assert_true(health_node_step(&node, SINCE, SINCE + 1700, &limits));
	assert_int_equal(node.state, HEALTH_ONLINE);
}

/* A clock that is read a little earlier than the heartbeat was stamped must not make a healthy node old. */
static void test_clock_before_heartbeat(void **state)
{
	struct health_node node;

	(void)state;
	health_node_init(&node);
	assert_false(health_node_step(&node, SINCE, SINCE - 5, &limits));
	health_node_heard(&node, SINCE + 100);
	health_node_step(&node, SINCE, SINCE + 90, &limits);
	assert_int_equal(node.state, HEALTH_ONLINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_until_a_lease),
		cmocka_unit_test(test_heartbeats),
		cmocka_unit_test(test_suspect_recovers),
		cmocka_unit_test(test_clock_before_heartbeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
