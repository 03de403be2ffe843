/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three real members on one loop, over loopback, with a machine that keeps a list of the commands it applied. The
 * machine outlives its member, as the store outlives a process that was killed.
 */
#ifndef DNVME_TESTS_UNIT_TEST_CONSENSUS_RIG_H
#define DNVME_TESTS_UNIT_TEST_CONSENSUS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <cmocka.h>

#include "raft/consensus.h"

#define MEMBERS 3
#define DEADLINE_MS 60000

struct machine {
	uint64_t applied;
	uint64_t *values;
	size_t count, capacity, loads;
	enum error_code skip_fails, dump_fails, load_fails; /* ERROR_NONE: they do not */
};

struct member {
	struct consensus *consensus;
	struct machine machine;
	char directory[96];
	char address[32];
	bool joins; /* begins with an empty log, and waits to be added */
	bool failed;
	struct error failure;
	void (*on_failure)(void *data, const struct error *failure);
	unsigned won, lost;
};

struct cluster {
	uv_loop_t loop;
	uv_timer_t wakeup; /* keeps the loop from blocking for ever */
	struct member members[MEMBERS];
	char directory[64];
	size_t size; /* members of the group */
	size_t confirmed, refused, unknown, barriers, closed;
};

/* Turn the loop until the condition holds. */
#define RUN_UNTIL(cluster, condition)                                                                                  \
	do {                                                                                                           \
		uint64_t end_ms = group_now_ms() + DEADLINE_MS;                                                        \
                                                                                                                       \
		while (!(condition)) {                                                                                 \
			if (group_now_ms() > end_ms)                                                                   \
				fail_msg("not within the deadline: %s", #condition);                                   \
			uv_run(&(cluster)->loop, UV_RUN_ONCE);                                                         \
		}                                                                                                      \
	} while (0)

/* The machine's side of struct consensus_machine, over a struct machine; UINT64_MAX is a command that it cannot apply.
 */
uint64_t group_machine_applied(void *data);
int group_machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count, struct buffer *outcomes,
			struct error *error);
int group_machine_skip(void *data, uint64_t index, struct error *error);
int group_machine_dump(void *data, struct buffer *output, struct error *error);
int group_machine_load(void *data, uint64_t index, struct bytes dump, struct error *error);

/* Over a struct member. */
void group_on_leadership(void *data, bool leader, uint64_t term);
void group_on_failure(void *data, const struct error *failure);

/* Count in a struct cluster how it ended. */
void group_on_closed(void *data);
void group_on_proposed(void *data, struct bytes outcome, bool unknown, const struct error *failure);
void group_on_barrier(void *data, const struct error *failure);

/* cmocka's; *state is a struct cluster, of which no member was started. */
int group_setup(void **state);
int group_teardown(void **state);

/* `threshold`: entries between snapshots, and left behind one; 0: as always. */
void member_start(struct cluster *cluster, size_t i, unsigned threshold);
void member_stop(struct cluster *cluster, size_t i);

uint64_t group_now_ms(void);
struct member *leader_of(struct cluster *cluster); /* NULL: there is none */
void propose(struct cluster *cluster, uint64_t value);

/* Whether each running member applied `count` commands; fails the test unless all applied the same ones. */
bool all_have(struct cluster *cluster, size_t count);
void same_everywhere(struct cluster *cluster, size_t count);

#endif
