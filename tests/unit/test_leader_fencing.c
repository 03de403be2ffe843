/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slot is fenced: who must confirm, and which copies go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/slots.h"
#include "tests/unit/test_leader_rig.h"

static void test_fencing(void **state)
{
	static const struct {
		enum rig_node node;
		enum object_kind kind;
		const char *id, *words;
	} confirms[] = {
		{ N1, OBJECT_KIND_EXPORT, "d1.v7.s0", "export d1.v7.s0: node n1" },
		{ N2, OBJECT_KIND_EXPORT, "d2.v7.s0", "export d2.v7.s0: node n2" },
		{ C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", "consumer export v7.s1.c3: node c2" },
		{ C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", "consumer export v7.s1.c1: node c2" },
	};
	static const enum object_state states[] = { OBJECT_STATE_PENDING, OBJECT_STATE_FAILED, OBJECT_STATE_ABSENT };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* Not before the last of them confirmed, in whichever way it does not. */
	for (size_t i = 0; i < sizeof(confirms) / sizeof(confirms[0]); i++) {
		for (size_t j = 0; j < sizeof(states) / sizeof(states[0]); j++) {
			rig_say(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, states[j]);
			rig_expect_wait(&rig, slots_step, confirms[i].words);
		}
		rig_say_at(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, OBJECT_STATE_CONVERGED,
			   rig.volume.revision - 1);
		rig_expect_wait(&rig, slots_step, confirms[i].words);
		rig_say(&rig, confirms[i].node, confirms[i].kind, confirms[i].id, OBJECT_STATE_CONVERGED);
		rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	}
	/* The other slot's disks have nothing to do with it. */
	rig_say(&rig, N3, OBJECT_KIND_EXPORT, "d3.v7.s1", OBJECT_STATE_PENDING);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

static void test_fence_deadline(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	assert_int_equal(rig.step.look_again_ms, LIMIT_FENCE_DEADLINE_MS);
	rig_wait(&rig, LIMIT_FENCE_DEADLINE_MS - 1);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	rig_wait(&rig, 1);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_NOT_FENCED);
	/* A new leader counts from when it saw it. */
	moments_clear(&rig.moments);
	rig_see(&rig);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0");
	/* A node that is offline is not waited for, even if it confirmed before. */
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	rig_offline(&rig, N1);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_NOT_FENCED);
	/* Never the last one: then everything waits, and the sentence names it. */
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 is offline");
	rig_wait(&rig, 100 * LIMIT_FENCE_DEADLINE_MS);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 is offline");
	/* A stale one needs no fence to go on. */
	rig_close(&rig);
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, N1);
	rig.lds[0].state = LD_STATE_STALE;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

/* What a Disk Node returned errors of, the old holder's group may have dropped, and nobody was told. */
static void test_fencing_after_errors(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	/* Another one is there that returned none. */
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	/* It comes later: the deadline is no reason to do without it. */
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d2.v7.s0: node n2 says pending");
	rig_wait(&rig, 100 * LIMIT_FENCE_DEADLINE_MS);
	rig_expect_wait(&rig, slots_step,
			"slot 0: ld1 on d1 of node n1 returned I/O errors, so it may lack what was written last; bring "
			"node n2 with ld2 back, or else use what is there: dnvme volume force vol --slot 0");
	rig_offline(&rig, N2);
	rig_expect_wait(&rig, slots_step, "bring node n2 with ld2 back");
	rig.nodes[N2].health = HEALTH_ONLINE;
	rig_say(&rig, N2, OBJECT_KIND_EXPORT, "d2.v7.s0", OBJECT_STATE_CONVERGED);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	/* Both did. */
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	rig_expect_wait(&rig, slots_step,
			"no other copy is sure to have it; to use what is there: dnvme volume force vol --slot 0");
	/* An error of another LD of the same export, or of the same disk in another slot, is none of this group. */
	rig_errors(&rig, N2, "d2.v7.s0", 9);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	rig_errors(&rig, N1, "d1.v7.s0", 0);
	rig_errors(&rig, N2, "d2.v7.s1", 3);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* A stale one is not asked; the one that is left is not assembled alone. */
	rig.lds[0].state = LD_STATE_STALE;
	rig_errors(&rig, N1, "d1.v7.s0", 1);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	rig_expect_wait(&rig, slots_step, "ld2 on d2 of node n2 returned I/O errors");
	rig.lds[0].state = LD_STATE_IN_SYNC;
	/* One that lost what its cache held, and one that returned errors: each may have what the other one lacks. */
	rig_errors(&rig, N2, "d2.v7.s0", 0);
	rig.lds[1].doubtful = true;
	rig_expect_wait(
		&rig, slots_step,
		"slot 0: ld1 on d1 of node n1 returned I/O errors, so it may lack what was written last, and no "
		"other copy is sure to have it; to use what is there: dnvme volume force vol --slot 0");
	rig_wait(&rig, 100 * LIMIT_FENCE_DEADLINE_MS);
	rig_expect_wait(&rig, slots_step, "no other copy is sure to have it");
	/* Any other one is better. */
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "export d1.v7.s0: node n1 says pending");
	rig_offline(&rig, N1);
	rig_members(&rig, C3, NULL, 0);
	rig_expect_wait(&rig, slots_step,
			"ld1 on node n1, which is offline or lost its disk, is the only copy that is sure to have "
			"missed nothing; what another one holds: dnvme volume force vol --slot 0");
	rig.nodes[N1].health = HEALTH_ONLINE;
	rig_say(&rig, N1, OBJECT_KIND_EXPORT, "d1.v7.s0", OBJECT_STATE_CONVERGED);
	rig_expect_stale(&rig, slots_step, "ld2", STALE_REASON_REBOOTED);
	rig.lds[0].state = LD_STATE_STALE;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_errors(&rig, N2, "d2.v7.s0", 2);
	/* A group of one drops nothing. */
	rig.groups[0].members = (struct ld_list){ 1, &rig.lds[1] };
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_close(&rig);
}

/* What it failed to read, and was repaired, is no reason to wait; whatever else is known of it is. */
static void test_fencing_after_repair(void **state)
{
	struct ld_errors errors = { .ld = 1, .reads = 2, .last_us = 77, .rebuild_ms = 5 }, other;
	struct failed_reads known = { .reads = 2, .last_us = 77, .rebuild_ms = 5 };
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	memcpy(known.boot_id, rig.nodes[N1].boot_id, sizeof(known.boot_id));
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	rig.lds[0].failed_reads = &known;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* It goes on alone. */
	rig.lds[1].state = LD_STATE_STALE;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig.lds[1].state = LD_STATE_IN_SYNC;
	/* It was asked for, and nobody answered. */
	rig.lds[0].drain = 50;
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	rig.lds[0].drain = 0;
	/* One more, at the same moment or later; a write; one that may be missed; in another boot; since a rebuild. */
	other = errors;
	other.reads = 3;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.last_us = 78;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.writes = 1;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.missed = true;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	other = errors;
	other.rebuild_ms = 6;
	rig_failed_reads(&rig, N1, "d1.v7.s0", &other);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	rig_failed_reads(&rig, N1, "d1.v7.s0", &errors);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig.nodes[N1].boot_id[3] = 9;
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_MEDIUM);
	rig_close(&rig);
}

/* Both slots move at once. */
static void test_fencing_together(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	/* The other holder is offline, and nobody knows what it lets through: its slot begins anew. */
	rig_offline(&rig, C2);
	rig_expect_move(&rig, 1, "c2", MOVE_REASON_RESTART);
	assert_string_equal(rig.step.waits_for, "slot 1: node c2 is offline, and no standby is online");
	/* It moves: the fences at its disks count. */
	rig.slots[1] = (struct slot){ .holder = "c4", .epoch = 2, .phase = SLOT_PHASE_FENCING };
	rig_see(&rig);
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	rig_say(&rig, N3, OBJECT_KIND_EXPORT, "d3.v7.s1", OBJECT_STATE_PENDING);
	rig_expect_wait(&rig, slots_step, "slot 1 is not fenced yet");
	rig.slots[1].phase = SLOT_PHASE_ASSEMBLING;
	rig_expect_advance(&rig, SLOT_PHASE_ASSEMBLING);
	/* From then on its holder has exports to confirm. */
	rig.slots[1].phase = SLOT_PHASE_EXPORTING;
	rig_expect_wait(&rig, slots_step, "consumer export v7.s1.c3: node c4");
	rig_close(&rig);
}

/* No standby is left for the other slot: its disks are fenced all the same, else this one could wait for ever. */
static void test_fencing_without_holder(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_move(&rig, SLOT_PHASE_FENCING);
	rig_offline(&rig, C3);
	rig_offline(&rig, N1);
	rig_expect_stale(&rig, slots_step, "ld1", STALE_REASON_NOT_FENCED);
	rig_close(&rig);
}

static void make(struct rig *rig)
{
	rig_move(rig, SLOT_PHASE_FENCING);
	rig_offline(rig, N1);
}

static void test_failing_allocations(void **state)
{
	(void)state;
	rig_failing_allocations(make, slots_step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fencing),
		cmocka_unit_test(test_fence_deadline),
		cmocka_unit_test(test_fencing_after_errors),
		cmocka_unit_test(test_fencing_after_repair),
		cmocka_unit_test(test_fencing_together),
		cmocka_unit_test(test_fencing_without_holder),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
