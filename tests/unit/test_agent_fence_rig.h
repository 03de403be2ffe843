/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node of a volume whose slot 0 moves away from cn1, before the move: a Disk Node, a holder, what is told of them. */
#ifndef DNVME_TESTS_UNIT_TEST_AGENT_FENCE_RIG_H
#define DNVME_TESTS_UNIT_TEST_AGENT_FENCE_RIG_H

#include "agent/status.h"
#include "tests/unit/test_agent_rig.h"

#define FENCE_NQN "nqn.2026-11.io.dnvme:" RIG_CLUSTER
/* What dn1 exports of slot 0, without the number of the epoch. */
#define FENCE_SLOT FENCE_NQN ":slot:d1.v1.s0:e"

struct fence {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
};

void fence_begin(struct fence *f);
void fence_end(struct fence *f);

/* The plans since the last call. */
const char *fence_log(struct fence *f);
struct observed fence_observe(struct fence *f);

/* dn1 with labels in epoch 1, and what it is told then. */
struct desired fence_disk(struct fence *f);
/* What the holder of an epoch wrote at the start of each LD that is exported. */
void fence_labels_write(struct fence *f, const struct desired *desired, uint64_t epoch, bool formatted);

/* cn<number> serves; what it is told then. */
struct desired fence_holder(struct fence *f, unsigned number);
/* Every path of the node gets this state. */
void fence_imports(struct fence *f, const char *state, const char *ana);

struct object_status_list fence_statuses(struct fence *f, const struct desired *desired);
/* It must be there. */
const struct object_status *fence_status_find(const struct object_status_list *list, enum object_kind kind,
					      const char *id);

#endif
