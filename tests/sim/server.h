/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Simulated servers: dnvmed as it is shipped, each on a machine of its own. */
#ifndef DNVME_TESTS_SIM_SERVER_H
#define DNVME_TESTS_SIM_SERVER_H

#include "src/dnvmed.h"
#include "tests/sim/world.h"

#define SERVERS_MAX 5

/* Until something is committed to its store. All zeros: none. */
struct server_moment {
	uint64_t start, transaction;
};

static inline bool server_moment_is(const struct server_moment *a, const struct server_moment *b)
{
	return a->start == b->start && a->transaction == b->transaction;
}

struct server_machine {
	struct machine *machine;
	struct process *process; /* NULL: does not run */
	struct options options;
	struct dnvmed *dnvmed; /* of the process */
	uint64_t starts;
	struct {
		struct server_moment moment;
		uint8_t digest[16];
	} digested; /* by server_digest() */
};

extern struct server_machine server_machines[SERVERS_MAX];
extern size_t server_count;
extern uint64_t server_last_revision; /* the highest that a server which died had reached */

/* `directory`: where their stores lie. */
void servers_make(size_t count, const char *directory);
void server_start(struct server_machine *server);
/* kill -9. */
void server_kill(struct server_machine *server);
void server_power_cut(struct server_machine *server);
/* Of one that runs. */
struct server_moment server_moment(const struct server_machine *server);
/* fsm_digest() of one that runs. The store is not read again when nothing was committed to it since. */
int server_digest(struct server_machine *server, uint8_t ret_digest[16], struct error *error);
/* Those that run and lead, by their own belief; NULL. */
struct server_machine *server_leader(void);
/* One whose state is the last one as far as anybody ever knew: a server that has just started may be far behind. NULL.
 */
struct dnvmed *server_newest(void);

#endif
