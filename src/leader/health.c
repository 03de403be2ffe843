/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/health.h"

void health_node_init(struct health_node *node)
{
	*node = (struct health_node){ .state = HEALTH_UNKNOWN };
}

void health_node_heard(struct health_node *node, uint64_t now_ms)
{
	node->heard = true;
	node->heard_ms = now_ms;
}

/* A clock that seems to go backwards gives age 0, not an age of centuries. */
static uint64_t age_of(uint64_t since_ms, uint64_t now_ms)
{
	return now_ms > since_ms ? now_ms - since_ms : 0;
}

bool health_node_step(struct health_node *node, uint64_t leader_since_ms, uint64_t now_ms,
		      const struct health_limits *limits)
{
	enum health state;
	uint64_t age;

	if (!node->heard) {
		state = age_of(leader_since_ms, now_ms) > limits->lease_ms ? HEALTH_OFFLINE : HEALTH_UNKNOWN;
	} else {
		age = age_of(node->heard_ms, now_ms);
		if (age > limits->lease_ms)
			state = HEALTH_OFFLINE;
		else if (age > HEALTH_SUSPECT_HEARTBEATS * limits->heartbeat_ms)
			state = HEALTH_SUSPECT;
		else
			state = HEALTH_ONLINE;
	}
	if (state == node->state)
		return false;
	node->state = state;
	return true;
}
