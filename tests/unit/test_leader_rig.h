/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An online volume with two slots, two copies, one leg of one group each, and one standby:
 *
 *   slot 0 at c1: ld1 on d1 (n1), ld2 on d2 (n2)      slot 1 at c2: ld3 on d2 (n2), ld4 on d3 (n3)      standby: c3
 *
 * All nodes are online and have confirmed the volume's revision, until a test says otherwise.
 */
#ifndef DNVME_TESTS_UNIT_TEST_LEADER_RIG_H
#define DNVME_TESTS_UNIT_TEST_LEADER_RIG_H

#include "src/leader/online.h"

#define RIG_VOLUME 7u
#define RIG_REVISION 40u
#define RIG_NOW 1000000u
#define RIG_WALL 5000000000u

enum rig_node { C1, C2, C3, C4, N1, N2, N3, RIG_NODES };

struct rig {
	struct ld lds[4], left;
	struct group groups[2];
	struct leg legs[2];
	struct slot slots[2];
	struct controller controllers[8];
	struct leaving_ld leaving[1];
	struct volume volume;
	struct reported reported[RIG_NODES];
	struct online_node nodes[RIG_NODES];
	struct online_disk disks[4];
	struct moments moments;
	struct online_view view;
	struct arena arena;
	struct online_step step;
	struct error error;
};

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);

/* What a node says of an object, at the volume's revision. */
void rig_say(struct rig *rig, enum rig_node node, enum object_kind kind, const char *id, enum object_state state);
void rig_say_at(struct rig *rig, enum rig_node node, enum object_kind kind, const char *id, enum object_state state,
		uint64_t revision);

/* What a Disk Node confirms of an export, with the LD that returned errors (0: none did). */
void rig_errors(struct rig *rig, enum rig_node node, const char *id, uint64_t ld);

/* The same of one that failed to read. */
void rig_failed_reads(struct rig *rig, enum rig_node node, const char *id, const struct ld_errors *errors);

/* What a holder says of a member of its slot, in the slot's epoch; it replaces what it said of others. */
void rig_member(struct rig *rig, enum rig_node node, struct member_status member);
void rig_members(struct rig *rig, enum rig_node node, struct member_status *members, size_t count);

/* What the holder of one slot says of its path to the other one: lost for so long, or (0) not. It replaces what it said
 * of members. */
void rig_peer(struct rig *rig, enum rig_node node, uint64_t other, uint64_t lost_ms);

void rig_offline(struct rig *rig, enum rig_node node);

/* Slot 0 moved from c1 to c3 and is in this phase; c1 is offline and retired. Everybody else confirmed. */
void rig_move(struct rig *rig, enum slot_phase phase);

/* Time passes; what is seen now was there before. */
void rig_wait(struct rig *rig, uint64_t ms);
void rig_see(struct rig *rig);

typedef int (*rig_step)(const struct online_view *view, struct arena *arena, struct online_step *step,
			struct error *error);

/* Take a step (NULL: all of them). */
void rig_take(struct rig *rig, rig_step step);
/* It proposes nothing, and the sentence holds the words (NULL: there is none). */
void rig_expect_wait(struct rig *rig, rig_step step, const char *words);
/* It proposes exactly one command, which is returned. */
const struct command *rig_expect_command(struct rig *rig, rig_step step);
/* It is this one, in the slot's present epoch. */
void rig_expect_move(struct rig *rig, size_t slot, const char *to, enum move_reason reason);
/* These of slot 0. */
void rig_expect_advance(struct rig *rig, enum slot_phase to);
void rig_expect_stale(struct rig *rig, rig_step step, const char *ld, enum stale_reason reason);

/* Let each allocation of the step fail in turn. `make` changes what rig_open made. */
void rig_failing_allocations(void (*make)(struct rig *rig), rig_step step);

#endif
