/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state machine in a directory of its own, and short ways to give it commands.
 * Every command that is applied is kept, so that a test can replay them.
 */
#ifndef DNVME_TESTS_UNIT_TEST_FSM_RIG_H
#define DNVME_TESTS_UNIT_TEST_FSM_RIG_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fsm/fsm.h"
#include "fsm/policy/placement.h"
#include "fsm/stock.h"

#define RIG_EXTENT_BYTES (UINT64_C(4) << 20)
#define GIB (UINT64_C(1) << 30)

struct rig_entry {
	struct buffer command;
};

struct rig {
	char directory[64];
	struct store *store;
	struct fsm *fsm;
	uint64_t index;
	struct arena arena; /* of outcomes and records */
	struct rig_entry *entries;
	size_t entry_count;
	struct buffer changes; /* what the callback heard, a line each */
	uint64_t time_ms;
	struct stock *stock; /* hears of changes, too; NULL: there is none */
};

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);  /* removes the directory */
void rig_reopen(struct rig *rig); /* as after a restart */

/* Apply one command as one entry. Fails the test on an error; the outcome lives in rig->arena. */
struct outcome rig_apply(struct rig *rig, struct command command);
/* The same from bytes, and what the outcome looks like as bytes. */
struct outcome rig_apply_bytes(struct rig *rig, struct bytes bytes);
struct outcome rig_outcome(struct rig *rig, struct bytes bytes);
/* As rig_apply, and the outcome must be a success. */
struct outcome rig_do(struct rig *rig, struct command command);
void rig_encode(const struct command *command, struct buffer *output);

/* The outcome must have the code, and its text the words. */
#define rig_refused(outcome, code, words) rig_refused_at(outcome, code, words, __FILE__, __LINE__)
void rig_refused_at(struct outcome outcome, enum error_code code, const char *words, const char *file, int line);

void rig_cluster(struct rig *rig);
void rig_node(struct rig *rig, const char *name, const char *address, const char *rack);
struct outcome rig_disk_add(struct rig *rig, const char *node, const char *path, uint64_t size_bytes);
/* The same; returns its id. */
uint64_t rig_disk(struct rig *rig, const char *node, const char *path, uint64_t size_bytes);
struct node rig_node_of(struct rig *rig, const char *name); /* it must be there */
/* `nodes` nodes n1… (10.0.0.1…) with `disks` disks of `size_bytes` each, two nodes per rack r1, r2…. */
void rig_rack(struct rig *rig, unsigned nodes, unsigned disks, uint64_t size_bytes);

struct rig_shape {
	const char *name;
	uint64_t size_bytes, copies, controllers, standbys, legs;
	enum spread spread;
};
/* Plan on the present state; the command lives in rig->arena. Returns placement_plan's code. */
int rig_plan(struct rig *rig, const struct rig_shape *shape, struct command_volume_create *ret_command,
	     struct error *error);
/* Plan and create; returns the volume's id. */
uint64_t rig_create(struct rig *rig, const struct rig_shape *shape);
/* "db1", a pair of controllers, online: slot 0 at n1 with ld1 on d1 of n1 and ld2 on d2 of n2, slot 1 at n2 with ld3 on
 * d3 of n3 and ld4 on d4 of n4, the standby at n3. Opens the rig, with `nodes` nodes of one disk. */
extern const struct rig_shape rig_pair;
uint64_t rig_open_pair(struct rig *rig, unsigned nodes);
struct volume rig_volume(struct rig *rig, uint64_t id);
struct outcome rig_advance(struct rig *rig, uint64_t volume, enum volume_phase to);
/* Advance phase by phase until `to`. */
void rig_advance_until(struct rig *rig, uint64_t volume, enum volume_phase to);
struct outcome rig_delete(struct rig *rig, const char *name);
struct outcome rig_attach(struct rig *rig, const char *volume, const char *nqn);
struct outcome rig_detach(struct rig *rig, const char *volume, const char *nqn);
/* With the slot's present epoch (and the volume's present revision). */
struct outcome rig_slot_move(struct rig *rig, uint64_t volume, uint64_t slot, const char *to, enum move_reason reason);
struct outcome rig_slot_advance(struct rig *rig, uint64_t volume, uint64_t slot, enum slot_phase to);
void rig_slot_serve(struct rig *rig, uint64_t volume, uint64_t slot); /* advance until it is served */
struct outcome rig_stale(struct rig *rig, uint64_t volume, uint64_t slot, const char *ld, enum stale_reason reason);
struct outcome rig_rebuild(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, bool resync);
/* What it failed to read: its holder is asked; it answered this question. */
struct outcome rig_drain(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, uint64_t reads);
struct outcome rig_excuse(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, uint64_t drain);
struct outcome rig_settle(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, bool left);
struct outcome rig_in_sync(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld);
struct outcome rig_replace(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, uint64_t disk);
struct outcome rig_move(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, uint64_t disk);
struct outcome rig_moved(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld);
struct outcome rig_disk_drain(struct rig *rig, const char *disk, bool draining);
struct outcome rig_force(struct rig *rig, uint64_t volume, uint64_t slot, const char *ld);
struct outcome rig_controller_add(struct rig *rig, uint64_t volume, const char *node);
struct outcome rig_controller_retire(struct rig *rig, uint64_t volume, const char *node);
struct outcome rig_controller_drop(struct rig *rig, uint64_t volume, const char *node, uint64_t epoch);
struct outcome rig_free_one(struct rig *rig, uint64_t volume, const char *ld);
/* The member; it must be there. */
struct ld rig_member(struct rig *rig, uint64_t volume, size_t leg, size_t group, size_t member);
bool rig_in_transition(struct rig *rig, uint64_t volume);

/* Plan on the present state that a volume is to have this size; the command lives in rig->arena. */
int rig_plan_extend(struct rig *rig, uint64_t volume, uint64_t size_bytes, struct command_volume_extend *ret_command,
		    struct error *error);
struct outcome rig_extend(struct rig *rig, uint64_t volume, uint64_t size_bytes);
/* With room as placement finds it, and the present sizes. */
struct command_snapshot_create rig_plan_snapshot(struct rig *rig, uint64_t volume, const char *name);
struct outcome rig_snapshot(struct rig *rig, uint64_t volume, const char *name); /* flush is accepted */
struct outcome rig_snapshot_retry(struct rig *rig, uint64_t id, enum operation_phase from, uint64_t thin);
struct outcome rig_snapshot_delete(struct rig *rig, const char *volume, const char *name);
struct outcome rig_thins_purge(struct rig *rig, uint64_t volume);
/* Advance the job phase by phase until this one. */
void rig_job_until(struct rig *rig, uint64_t id, enum operation_phase to);
struct operation rig_job(struct rig *rig, uint64_t id); /* it must be there */
/* With its present phase, and the volume's present revision. */
struct outcome rig_job_advance(struct rig *rig, uint64_t id, enum operation_phase to);
struct outcome rig_job_cancel(struct rig *rig, uint64_t id);
struct outcome rig_job_fail(struct rig *rig, uint64_t id, enum operation_phase from);
struct outcome rig_job_forget(struct rig *rig, uint64_t id, uint64_t revision);

/* Free at most `limit` LDs that are not freed yet, leaving ones first. */
struct outcome rig_free(struct rig *rig, uint64_t volume, size_t limit);
/* Delete, dismantle, free everything. */
void rig_destroy(struct rig *rig, uint64_t volume);

/* What the callback heard since the last call. */
void rig_heard(struct rig *rig, const char *text);

void rig_check(struct rig *rig);       /* fsm_check must be content */
void rig_stock_check(struct rig *rig); /* the stock must be what is in the state */
void rig_digest(struct rig *rig, uint8_t ret_digest[16]);
uint64_t rig_extents_free(struct rig *rig);

/* A second state machine that applied the same entries must have the same digest; so must one loaded from a dump. */
void rig_compare_replay(struct rig *rig);
void rig_compare_dump(struct rig *rig);

#endif
