/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hosts say of their paths to the controllers of one volume, in the leader's memory. What a host does not repeat
 * is forgotten; the next leader hears it anew.
 */
#ifndef DNVME_SRC_LEADER_REACH_H
#define DNVME_SRC_LEADER_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/limits.h"
#include "lib/model/records.h"

/* For how long it counts. A host repeats a loss each second and everything each 4 s (client/cli/host_report.h): a loss
 * has to be fresh, and nobody's path is forgotten because one word of it went astray. */
#define REACH_LOST_MS 4000u
#define REACH_LIVE_MS 10000u

enum reach_state { REACH_UNSAID, REACH_LIVE, REACH_LOST };

struct reach_node {
	char node[LIMIT_NAME + 1];
	bool live;
	uint64_t since_ms; /* the leader's boot clock: said so without a gap */
};

struct reach_host {
	char nqn[LIMIT_NQN + 1];
	uint64_t heard_ms;
	size_t count;
	struct reach_node nodes[];
};

struct reach {
	struct reach_host **hosts; /* owned */
	size_t count;
};

/* Take in what a host says (copied). *ret_changed: it said something else before. NO_CAPACITY when more hosts speak
 * than a volume can have; INTERNAL when memory is exhausted: what it said before stays. */
int reach_update(struct reach *reach, const char *host_nqn, const struct host_reach *said, uint64_t now_ms,
		 bool *ret_changed, struct error *error);

/* What a host says of a node now, and for how long. */
enum reach_state reach_of(const struct reach_host *host, const char *node, uint64_t now_ms, uint64_t *ret_for_ms);

/* Forget those who say nothing any more. */
void reach_sweep(struct reach *reach, uint64_t now_ms);

void reach_clear(struct reach *reach);

#endif
