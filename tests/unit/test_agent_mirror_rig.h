/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cn1 with one leg of one group, and what it tells of the members. Member 1 is the one that something happens to. */
#ifndef DNVME_TESTS_UNIT_TEST_AGENT_MIRROR_RIG_H
#define DNVME_TESTS_UNIT_TEST_AGENT_MIRROR_RIG_H

#include "agent/health.h"
#include "tests/unit/test_agent_rig.h"

#define MIRROR "dnvme-raid-v1.l0.g0"
#define MIRROR_IMPORT_2 "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d2.v1.s0:e1"

struct mirror {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
	struct health_memory memory;
	uint64_t now_ms;
};

struct mirror *mirror_open(unsigned copies);
void mirror_close(struct mirror *f);
/* The same of two copies, for cmocka. */
int mirror_setup(void **state);
int mirror_teardown(void **state);

/* The group runs with all its members; nothing is in the log. */
void mirror_format(struct mirror *f);

/* What cn1 is told, with member 1 in a state. */
struct desired mirror_desired(struct mirror *f, enum ld_state state, uint64_t since_ms);
struct desired_member *mirror_member(struct desired *desired, size_t index);

/* The plans since the last call; the present plan. */
const char *mirror_log(struct mirror *f);
const char *mirror_plan(struct mirror *f, const struct desired *desired);

/* With the labels that the agent has read. */
struct observed mirror_observe(struct mirror *f);

struct volume_health mirror_health(struct mirror *f, const struct desired *desired);
/* As if the kernel said `status` (NULL: what it says) of every mirror. */
struct volume_health mirror_health_with(struct mirror *f, const struct desired *desired, const char *status);
struct member_status mirror_member_status(struct mirror *f, const struct desired *desired, size_t index);

/* A new process goes on with the rebuild of member 1, which ends. */
void mirror_complete(struct mirror *f, const struct desired *desired);

#endif
