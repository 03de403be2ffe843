/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state machine in a small world, which can be taken back to its beginning after each input:
 *
 *   nodes n1 to n6 (racks r1 to r3) with a disk of 2 GiB each, d1 to d6; n6 holds no controllers
 *   db1 (v1), online: two slots, two copies, a standby     db2 (v2), placed     db3 (v3), online, one slot, one copy
 */
#ifndef DNVME_FUZZ_WORLD_H
#define DNVME_FUZZ_WORLD_H

#include "fsm/fsm.h"
#include "fuzz/fuzz.h"

struct world {
	char directory[128];
	struct store *store;
	struct fsm *fsm;
	uint64_t index; /* of the last entry */
};

/* The beginning, as a dump; made once. */
struct bytes world_beginning(void);

/* An empty store in a directory of its own; world_reset() makes the world in it. */
void world_open(const char *name, struct world *ret_world);
void world_close(struct world *world);
void world_reset(struct world *world);

/* Apply one command. The outcome (appended to `ret_outcome`, may be NULL) is a refusal or not; everything else fails.
 */
void world_apply(struct world *world, struct bytes command, struct buffer *ret_outcome);
void world_digest(struct world *world, uint8_t ret_digest[16]);

/* The audit of the whole state is content. `after` says what was done. */
void world_check(struct world *world, const char *after);

/* What each node is told can be sent. */
void world_project(struct world *world, const char *after);

/* A command that fits the present state: UINT64_MAX stands for the present epoch, revision or question, `from` equal to
 * `to` for the present phase and the next one, the phase `over` of a job that is to be undone or to try again for its
 * present one, and what has no legs is placed. Changes the command in place (freshen.c). */
void world_freshen(struct world *world, struct command *command, struct arena *arena);

#endif
