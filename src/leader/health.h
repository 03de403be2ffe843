/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the leader believes about a node, from the age of its last heartbeat alone. Pure: time comes in as a number
 * (milliseconds of the leader's boot clock).
 *
 *   UNKNOWN ──► ONLINE ◄──► SUSPECT ──► OFFLINE
 *      │           ▲                       │ ▲
 *      │           └───────────────────────┘ │
 *      └─────────────────────────────────────┘
 */
#ifndef DNVME_SRC_LEADER_HEALTH_H
#define DNVME_SRC_LEADER_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/records.h"

#define HEALTH_SUSPECT_HEARTBEATS 4u

struct health_limits {
	uint64_t heartbeat_ms;
	uint64_t lease_ms; /* longer than HEALTH_SUSPECT_HEARTBEATS heartbeats */
};

struct health_node {
	enum health state;
	bool heard;	   /* since this leader began */
	uint64_t heard_ms; /* when, if so */
};

/* A leader begins: nothing is known. */
void health_node_init(struct health_node *node);

/* A heartbeat (or a hello) arrived. The state follows with the next step. */
void health_node_heard(struct health_node *node, uint64_t now_ms);

/* Work out the state. A leader that began at `leader_since_ms` waits one lease before it calls a node that it never
 * heard of offline: until then the node may hold a lease that the leader before gave it. Returns whether the state
 * changed. */
bool health_node_step(struct health_node *node, uint64_t leader_since_ms, uint64_t now_ms,
		      const struct health_limits *limits);

#endif
