/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A job that somebody asked for, in the hands of a command.
 *
 *   RUNNING ──► DONE                    the last phase was confirmed
 *      │
 *      ├──────► CANCELLING ──► CANCELLED     somebody cancelled it, or its volume is deleted
 *      └──────► FAILING ─────► FAILED        its deadline passed, or it cannot go on
 *
 * Its record holds what was asked for, how long it may take, and what came of it; what it made so far is part of the
 * volume's record, so that a volume says by itself what its nodes are to do. Both change in the same command. The last
 * LIMIT_JOBS_KEPT that are over are kept, so that whoever waits for one, or asks again, gets its outcome.
 */
#ifndef DNVME_FSM_OPERATION_H
#define DNVME_FSM_OPERATION_H

#include "fsm/volume.h"

bool operation_is_over(const struct operation *operation);

/* NOT_FOUND names the job. INTERNAL when its record does not fit itself. */
int state_operation(struct state *state, uint64_t id, struct operation *ret_operation, struct error *error);

/* That a record which was read under the key of this job is its own, and has the parameters of its kind. INTERNAL: it
 * is damaged. */
int operation_check(struct state *state, uint64_t id, const struct operation *operation, struct error *error);

/* That a job which is not over and its volume say the same of what it does, as whoever works on both relies on.
 * INTERNAL: they are damaged. */
int operation_fits(struct state *state, const struct operation *operation, const struct volume *volume,
		   struct error *error);

/* Give it an id and the volume to work on, which is read; the caller stores both. FAILED_PRECONDITION when that is not
 * online, or another one works on it. NOT_FOUND */
int operation_begin(struct transition *transition, uint64_t id, struct operation *operation, struct volume *volume,
		    struct error *error);

/* Write the record, with this command's revision. */
int operation_store(struct transition *transition, struct operation *operation, struct error *error);

/* It takes another phase. */
void operation_phase_set(struct transition *transition, struct operation *operation, enum operation_phase phase);

/* It is over: write the record, and drop the oldest one of those that are if there are too many. `volume` no longer has
 * a job; the caller stores it. */
int operation_finish(struct transition *transition, struct volume *volume, struct operation *operation,
		     enum operation_state state, struct error *error);

/* A slot of the volume moved: whoever works there begins its phase anew; an attempt to make a snapshot ends. The caller
 * stores the volume. */
int operation_disturb(struct transition *transition, struct volume *volume, struct error *error);

/* The volume is deleted: its job is over, what it made goes with the volume. */
int operation_abandon(struct transition *transition, struct volume *volume, struct error *error);

/* --- what an extend does to its volume (commands_extend.c) ------------------------------------------------------ */

/* Groups that are not part of their leg get another state. */
void extend_groups_set(struct volume *volume, enum group_state state);
/* They are part of their legs. CONFLICT when one of them has no LD left. */
int extend_groups_join(struct volume *volume, struct error *error);
/* CONFLICT when an LD of the job is still on its disk. */
int extend_released_check(const struct volume *volume, const struct operation *operation, struct error *error);
/* They leave their legs, and their LDs leave the volume. */
int extend_groups_release(struct transition *transition, struct volume *volume, uint64_t operation,
			  struct error *error);
/* What becomes of the volume when the job takes this phase. */
int extend_advance(struct transition *transition, struct volume *volume, const struct operation *operation,
		   enum operation_phase to, struct error *error);

/* --- and a snapshot (commands_snapshot.c) ------------------------------------------------------------------------ */

/* The one that the volume's job makes; NULL when it makes none. */
struct snapshot *snapshot_taking(const struct volume *volume);
/* What becomes of the volume when the job takes this phase. FAILED_PRECONDITION or CONFLICT when it may not. */
int snapshot_advance(struct transition *transition, struct volume *volume, const struct operation *operation,
		     enum operation_phase to, struct error *error);
/* There will be no such snapshot: what the attempt that is under way may leave in pools is to be deleted. */
int snapshot_end(struct transition *transition, struct volume *volume, struct error *error);
/* The attempt that is under way came to nothing: another one, with another number. `reason` may be NULL: a slot moved.
 * The caller stores both. */
int snapshot_again(struct transition *transition, struct volume *volume, struct operation *operation,
		   struct operation_error *reason, struct error *error);
/* Whether an attempt is under way, so that controllers hold something up, or may. */
bool snapshot_is_under_way(enum operation_phase phase);

/* --- and a slot that moves (commands_move_slot.c) --------------------------------------------------------------- */

/* The volume does not say any more that a slot is to move. */
void move_slot_end(struct volume *volume);
/* Whether the volume says of its slots what a job that is not over does. */
bool move_slot_fits(const struct volume *volume, const struct operation *operation);
/* A slot has another epoch, and maybe another holder: the job goes on to MOVING, or is over as another node holds its
 * slot, or goes on as it was. The caller stores both, unless it is over. */
int move_slot_disturb(struct transition *transition, struct volume *volume, struct operation *operation,
		      struct error *error);

#endif
