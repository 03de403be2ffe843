/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots that move, controllers that come and go, what a node brings and the cluster is set to. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>

static void controllers_are(struct rig *rig, uint64_t id, const char *wanted)
{
	struct volume volume = rig_volume(rig, id);
	struct buffer text = BUFFER_INIT;

	for (size_t i = 0; i < volume.controllers.count; i++) {
		const struct controller *controller = &volume.controllers.items[i];

		buffer_printf(&text, "%s%s %s %" PRIu64 " e%" PRIu64, i > 0 ? ", " : "", controller->node,
			      ENUM_NAME(controller_role, controller->role), controller->slot, controller->epoch);
	}
	buffer_append(&text, "", 1);
	assert_string_equal((const char *)text.data, wanted);
	buffer_free(&text);
}

static uint64_t controllers_of(struct rig *rig, const char *name)
{
	return rig_node_of(rig, name).controllers;
}

static void changes_are(struct rig *rig, const char *words)
{
	assert_int_equal(buffer_append(&rig->changes, "", 1), 0);
	if (strstr((const char *)rig->changes.data, words) == NULL)
		fail_msg("\"%s\" is not in:\n%s", words, (const char *)rig->changes.data);
	buffer_clear(&rig->changes);
}

static void test_failover(void **state)
{
	struct outcome outcome;
	struct command_node_register boot = { .name = "n3", .address = "10.0.0.3", .port = 4420, .version = "1" };
	struct volume volume;
	struct slot slot;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	buffer_clear(&rig.changes);
	rig.time_ms = 50000;
	outcome = rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER);
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "v1");
	rig_check(&rig);
	assert_true(rig_in_transition(&rig, id));
	volume = rig_volume(&rig, id);
	slot = volume.slots.items[0];
	assert_int_equal(volume.revision, outcome.revision);
	assert_int_equal(volume.phase, VOLUME_PHASE_ONLINE);
	assert_string_equal(slot.holder, "n3");
	assert_int_equal(slot.epoch, 2);
	assert_int_equal(slot.phase, SLOT_PHASE_FENCING);
	assert_int_equal(slot.reason, MOVE_REASON_FAILOVER);
	assert_int_equal(slot.since_ms, 50000);
	assert_string_equal(slot.previous, "n1");
	assert_false(slot.unfenced);
	assert_int_equal(volume.slots.items[1].epoch, 1);
	controllers_are(&rig, id, "n3 active 0 e0, n2 active 1 e0, n1 retired 0 e1");
	changes_are(&rig, ": n1 n2 n3 n4\n");
	/* What is assembled is in the kernel that its node has by then. */
	assert_int_equal(slot.boot_id[0], 7);
	memset(boot.boot_id, 9, sizeof(boot.boot_id));
	assert_int_equal(rig_apply(&rig, (struct command){ .node_register = &boot }).code, 0);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].boot_id[0], 7);
	rig.time_ms = 50001;
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].boot_id[0], 9);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].since_ms, 50001);
	assert_string_equal(rig_volume(&rig, id).slots.items[0].previous, "n1");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_EXPORTING).code, 0);
	assert_null(rig_volume(&rig, id).slots.items[0].previous);
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_SERVING).code, 0);
	rig_check(&rig);
	/* A retired controller, and no standby. */
	assert_true(rig_in_transition(&rig, id));
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	controllers_are(&rig, id, "n3 active 0 e0, n2 active 1 e0, n5 standby 0 e0, n1 retired 0 e1");
	rig_check(&rig);
	assert_true(rig_in_transition(&rig, id));
	assert_int_equal(controllers_of(&rig, "n1"), 1);
	buffer_clear(&rig.changes);
	assert_int_equal(rig_controller_drop(&rig, id, "n1", 1).code, 0);
	changes_are(&rig, ": n1 n2 n3 n4 n5\n");
	assert_int_equal(controllers_of(&rig, "n1"), 0);
	assert_int_equal(controllers_of(&rig, "n5"), 1);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_destroy(&rig, id);
	assert_int_equal(controllers_of(&rig, "n5"), 0);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* The successor is lost as well, in each phase of its move. */
static void test_again(void **state)
{
	for (int phase = SLOT_PHASE_FENCING; phase <= SLOT_PHASE_EXPORTING; phase++) {
		bool exported = phase == SLOT_PHASE_EXPORTING;
		struct slot slot;
		struct rig rig;
		uint64_t id;

		(void)state;
		id = rig_open_pair(&rig, 5);
		assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
		assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
		assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
		for (int next = SLOT_PHASE_ASSEMBLING; next <= phase; next++)
			assert_int_equal(rig_slot_advance(&rig, id, 0, (enum slot_phase)next).code, 0);
		assert_int_equal(rig_slot_move(&rig, id, 0, "n4", MOVE_REASON_FAILOVER).code, 0);
		rig_check(&rig);
		slot = rig_volume(&rig, id).slots.items[0];
		assert_int_equal(slot.epoch, 3);
		assert_int_equal(slot.phase, SLOT_PHASE_FENCING);
		controllers_are(&rig, id, "n4 active 0 e0, n2 active 1 e0, n3 retired 0 e2, n1 retired 0 e1");
		/* Who exported last; and n1 may still read ld1, unless n3 came so far that this was waited for. */
		assert_string_equal(slot.previous, exported ? "n3" : "n1");
		assert_int_equal(slot.unfenced, !exported);
		rig_refused(rig_slot_move(&rig, id, 0, "n1", MOVE_REASON_FAILOVER), ERROR_FAILED_PRECONDITION,
			    "\"n1\" is not a standby of volume v1 but retired");
		rig_slot_serve(&rig, id, 0);
		rig_destroy(&rig, id);
		rig_check(&rig);
		rig_close(&rig);
	}
}

static void test_restart(void **state)
{
	struct slot slot;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	rig_check(&rig);
	slot = rig_volume(&rig, id).slots.items[1];
	assert_string_equal(slot.holder, "n2");
	assert_string_equal(slot.previous, "n2");
	assert_int_equal(slot.epoch, 2);
	assert_int_equal(slot.phase, SLOT_PHASE_FENCING);
	controllers_are(&rig, id, "n1 active 0 e0, n2 active 1 e0, n3 standby 0 e0");
	/* Slot 0 meanwhile; each on its own. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_DRAIN).code, 0);
	rig_slot_serve(&rig, id, 1);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].phase, SLOT_PHASE_FENCING);
	rig_slot_serve(&rig, id, 0);
	rig_check(&rig);
	assert_int_equal(rig_controller_drop(&rig, id, "n1", 1).code, 0);
	assert_int_equal(rig_controller_add(&rig, id, "n1").code, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_close(&rig);
}

static void boot(struct rig *rig, const char *name, const char *address, int boot_id)
{
	struct command_node_register record = { .name = name, .address = address, .port = 4420, .version = "1" };

	memset(record.boot_id, boot_id, sizeof(record.boot_id));
	assert_int_equal(rig_apply(rig, (struct command){ .node_register = &record }).code, 0);
}

/* Slot 1: from which epoch on its holder may still import something. */
static void earliest_is(struct rig *rig, uint64_t id, uint64_t epoch, uint64_t earliest)
{
	struct slot slot = rig_volume(rig, id).slots.items[1];

	assert_int_equal(slot.epoch, epoch);
	assert_int_equal(slot.earliest, earliest);
	rig_check(rig);
}

/* What is left at a holder that begins anew, over and over. */
static void test_earliest(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	earliest_is(&rig, id, 1, 0);
	for (uint64_t epoch = 2; epoch <= 3; epoch++) {
		assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
		earliest_is(&rig, id, epoch, 1);
	}
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_ASSEMBLING).code, 0);
	earliest_is(&rig, id, 3, 1);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_PARTED).code, 0);
	earliest_is(&rig, id, 4, 1);
	/* Its holder has what it was told of epoch 4, and so nothing else. */
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_ASSEMBLING).code, 0);
	earliest_is(&rig, id, 4, 1);
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_EXPORTING).code, 0);
	earliest_is(&rig, id, 4, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	earliest_is(&rig, id, 5, 4);
	/* It boots while it is fenced: nothing is left. */
	boot(&rig, "n2", "10.0.0.2", 8);
	earliest_is(&rig, id, 5, 4);
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_ASSEMBLING).code, 0);
	earliest_is(&rig, id, 5, 0);
	/* It boots while it assembles: the new kernel may have begun with that. */
	boot(&rig, "n2", "10.0.0.2", 9);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	earliest_is(&rig, id, 6, 5);
	/* And of two boots, the first one while it is fenced. */
	boot(&rig, "n2", "10.0.0.2", 10);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	earliest_is(&rig, id, 7, 0);
	rig_slot_serve(&rig, id, 1);
	/* Another node takes it: what the old one has of all its epochs goes with it. */
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n3", MOVE_REASON_FAILOVER).code, 0);
	earliest_is(&rig, id, 9, 0);
	controllers_are(&rig, id, "n1 active 0 e0, n3 active 1 e0, n2 retired 1 e8");
	assert_int_equal(rig_volume(&rig, id).controllers.items[2].earliest, 7);
	/* By force it may begin anew without an end. */
	rig_slot_serve(&rig, id, 1);
	for (uint64_t epoch = 10; epoch < 30; epoch++) {
		uint64_t bound = epoch - LIMIT_EPOCHS_PARKED;

		assert_int_equal(rig_slot_move(&rig, id, 1, "n3", MOVE_REASON_RESTART).code, 0);
		earliest_is(&rig, id, epoch, bound < 9 ? 9 : bound);
	}
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n4", MOVE_REASON_FAILOVER).code, 0);
	rig_check(&rig);
	assert_int_equal(rig_volume(&rig, id).controllers.items[2].epoch, 29);
	assert_int_equal(rig_volume(&rig, id).controllers.items[2].earliest, 30 - LIMIT_EPOCHS_PARKED);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* Two holders lost each other: one slot moves, the other one begins anew where it is, both at once. */
static void test_parted(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_PARTED).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_PARTED).code, 0);
	assert_int_equal(rig_volume(&rig, id).slots.items[1].reason, MOVE_REASON_PARTED);
	assert_int_equal(rig_volume(&rig, id).slots.items[1].epoch, 2);
	controllers_are(&rig, id, "n3 active 0 e0, n2 active 1 e0, n1 retired 0 e1");
	rig_check(&rig);
	rig_slot_serve(&rig, id, 1);
	rig_slot_serve(&rig, id, 0);
	rig_check(&rig);
	rig_refused(rig_slot_move(&rig, id, 0, "n2", MOVE_REASON_PARTED), ERROR_FAILED_PRECONDITION,
		    "is not a standby");
	rig_close(&rig);
}

static void test_move_refused(void **state)
{
	struct command_slot_move move = { 1, 0, 2, "n3", MOVE_REASON_FAILOVER };
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	id = rig_open_pair(&rig, 5);
	revision = fsm_revision(rig.fsm);
	rig_refused(rig_apply(&rig, (struct command){ .slot_move = &move }), ERROR_CONFLICT,
		    "slot 0 of volume v1 is in epoch 1, not 2");
	rig_refused(rig_slot_move(&rig, id, 2, "n3", MOVE_REASON_FAILOVER), ERROR_NOT_FOUND, "has no slot 2");
	move.volume = 9;
	rig_refused(rig_apply(&rig, (struct command){ .slot_move = &move }), ERROR_NOT_FOUND, "v9");
	rig_refused(rig_slot_move(&rig, id, 0, "n1", MOVE_REASON_FAILOVER), ERROR_FAILED_PRECONDITION,
		    "holds slot 0 of volume v1 already");
	rig_refused(rig_slot_move(&rig, id, 0, "n2", MOVE_REASON_DRAIN), ERROR_FAILED_PRECONDITION,
		    "\"n2\" is not a standby of volume v1 but active");
	rig_refused(rig_slot_move(&rig, id, 0, "n4", MOVE_REASON_DRAIN), ERROR_FAILED_PRECONDITION,
		    "but none of its controllers");
	rig_refused(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_RESTART), ERROR_FAILED_PRECONDITION,
		    "node \"n1\" holds it");
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_delete(&rig, "db1");
	rig_refused(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER), ERROR_FAILED_PRECONDITION,
		    "is in phase unexporting, not online");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_advance_refused(void **state)
{
	struct command_slot_advance advance;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	for (int from = SLOT_PHASE_SERVING; from <= SLOT_PHASE_EXPORTING; from++) {
		for (int to = SLOT_PHASE_SERVING; to <= SLOT_PHASE_EXPORTING; to++) {
			bool edge = (to == from + 1 && from != SLOT_PHASE_SERVING) ||
				    (from == SLOT_PHASE_EXPORTING && to == SLOT_PHASE_SERVING);
			struct outcome outcome;

			if (from == SLOT_PHASE_FENCING && edge)
				continue; /* the one that is possible now */
			advance = (struct command_slot_advance){
				id, 0, 2, (enum slot_phase)from, (enum slot_phase)to, rig_volume(&rig, id).revision
			};
			outcome = rig_apply(&rig, (struct command){ .slot_advance = &advance });
			if (edge)
				rig_refused(outcome, ERROR_CONFLICT, "is in phase fencing, not");
			else
				rig_refused(outcome, ERROR_INVALID_ARGUMENT, "no slot goes from");
		}
	}
	advance = (struct command_slot_advance){
		id, 0, 2, SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING, rig_volume(&rig, id).revision
	};
	advance.epoch = 1;
	rig_refused(rig_apply(&rig, (struct command){ .slot_advance = &advance }), ERROR_CONFLICT, "epoch 2, not 1");
	/* A member that was given up is a change that must be confirmed again. */
	advance.epoch = 2;
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
	rig_refused(rig_apply(&rig, (struct command){ .slot_advance = &advance }), ERROR_CONFLICT, "was confirmed");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_controllers(void **state)
{
	static const struct command_node_cordon cordon = { .name = "n5", .cordoned = true };
	struct command_node_register storage = {
		.name = "n6", .address = "10.0.0.6", .port = 4420, .storage_only = true
	};
	struct command_node_forget forget = { .name = "n5" };
	struct outcome outcome;
	char name[8];
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig_do(&rig, (struct command){ .node_register = &storage });
	rig_refused(rig_controller_add(&rig, id, "n6"), ERROR_CONFLICT, "\"n6\" holds no controllers");
	rig_refused(rig_controller_add(&rig, id, "n9"), ERROR_NOT_FOUND, "n9");
	rig_refused(rig_controller_add(&rig, 7, "n4"), ERROR_NOT_FOUND, "v7");
	rig_refused(rig_controller_add(&rig, id, "n1"), ERROR_FAILED_PRECONDITION, "already, active");
	revision = fsm_revision(rig.fsm);
	assert_int_equal(rig_controller_add(&rig, id, "n3").code, 0); /* it is one */
	assert_int_equal(fsm_revision(rig.fsm), revision);
	/* n1 to n6 took the colours 0 to 5; n17 gets colour 0, that of n1. */
	for (unsigned i = 7; i <= 17; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		rig_node(&rig, name, "10.0.0.7", NULL);
	}
	rig_refused(rig_controller_add(&rig, id, "n17"), ERROR_CONFLICT, "has the colour 0 of another controller");

	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_true(rig_in_transition(&rig, id)); /* one more than wanted */
	outcome = rig_controller_retire(&rig, id, "n5");
	assert_int_equal(outcome.code, 0);
	assert_int_equal(rig_controller_retire(&rig, id, "n5").revision, outcome.revision); /* again */
	controllers_are(&rig, id, "n1 active 0 e0, n2 active 1 e0, n3 standby 0 e0, n5 retired 0 e0");
	rig_check(&rig);
	rig_refused(rig_controller_add(&rig, id, "n5"), ERROR_FAILED_PRECONDITION, "already, retired");
	rig_refused(rig_controller_retire(&rig, id, "n1"), ERROR_FAILED_PRECONDITION, "holds slot 0");
	rig_refused(rig_controller_retire(&rig, id, "n4"), ERROR_NOT_FOUND, "is no controller");
	rig_refused(rig_controller_drop(&rig, id, "n5", 1), ERROR_CONFLICT, "in epoch 0, not 1");
	rig_refused(rig_controller_drop(&rig, id, "n1", 0), ERROR_FAILED_PRECONDITION, "but active");
	rig_refused(rig_controller_drop(&rig, 7, "n1", 0), ERROR_NOT_FOUND, "v7");
	rig_refused(rig_apply(&rig, (struct command){ .node_forget = &forget }), ERROR_FAILED_PRECONDITION,
		    "has 1 disks");
	assert_int_equal(rig_controller_drop(&rig, id, "n5", 0).code, 0);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(rig_controller_drop(&rig, id, "n5", 0).code, 0); /* again */
	assert_int_equal(fsm_revision(rig.fsm), revision);
	assert_false(rig_in_transition(&rig, id));
	rig_do(&rig, (struct command){ .node_cordon = (struct command_node_cordon *)&cordon });
	rig_refused(rig_controller_add(&rig, id, "n5"), ERROR_CONFLICT, "\"n5\" is cordoned");

	/* A retired controller keeps its colour, and its node. */
	assert_int_equal(rig_controller_add(&rig, id, "n7").code, 0);
	assert_int_equal(rig_controller_retire(&rig, id, "n7").code, 0);
	forget.name = "n7";
	rig_refused(rig_apply(&rig, (struct command){ .node_forget = &forget }), ERROR_FAILED_PRECONDITION,
		    "has to take down what it has of 1 volumes, the last is \"db1\"");
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_refused(rig_controller_add(&rig, id, "n17"), ERROR_CONFLICT, "has the colour 0 of another controller");
	rig_delete(&rig, "db1");
	rig_refused(rig_controller_add(&rig, id, "n8"), ERROR_FAILED_PRECONDITION, "unexporting, not online");
	assert_int_equal(rig_controller_drop(&rig, id, "n7", 0).code, 0);
	rig_do(&rig, (struct command){ .node_forget = &forget });
	rig_check(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* A standby that never answers may be retired before the volume is online. */
static void test_retire_early(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 10 * GIB);
	id = rig_create(&rig, &rig_pair);
	assert_int_equal(rig_controller_retire(&rig, id, "n3").code, 0);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	rig_check(&rig);
	assert_int_equal(rig_controller_drop(&rig, id, "n3", 0).code, 0);
	assert_true(rig_in_transition(&rig, id));
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_delete(&rig, "db1");
	rig_refused(rig_controller_retire(&rig, id, "n4"), ERROR_FAILED_PRECONDITION, "is being deleted");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_settings(void **state)
{
	struct settings settings = { .rebuild_after_ms = 5000, .rebuild_rate_bytes = 1 << 20 };
	struct command_cluster_set set = { &settings };
	struct command_node_cordon cordon = { .name = "n1", .draining = true };
	struct command_node_register node = {
		.name = "n1", .address = "10.0.0.1", .port = 4420, .version = "1", .writethrough = true
	};
	struct command_disk_add disk = { .node = "n1", .path = "/dev/x", .size_bytes = GIB, .volatile_cache = true };
	struct cluster cluster;
	struct node found;
	struct disk added;
	struct rig rig;
	uint64_t revision;

	(void)state;
	rig_open(&rig);
	rig_refused(rig_apply(&rig, (struct command){ .cluster_set = &set }), ERROR_FAILED_PRECONDITION,
		    "there is no cluster");
	rig_cluster(&rig);
	buffer_clear(&rig.changes);
	revision = rig_do(&rig, (struct command){ .cluster_set = &set }).revision;
	changes_are(&rig, "cluster");
	rig_do(&rig, (struct command){ .cluster_set = &set });
	assert_int_equal(fsm_revision(rig.fsm), revision);
	assert_int_equal(fsm_cluster_get(rig.fsm, &rig.arena, &cluster, NULL), 0);
	assert_int_equal(cluster.settings->rebuild_after_ms, 5000);
	assert_int_equal(cluster.settings->rebuild_rate_bytes, 1 << 20);
	assert_string_equal(cluster.name, "lab");
	/* One that says nothing of the rate leaves it as it is, whoever set it since. */
	settings = (struct settings){ .rebuild_after_ms = 6000 };
	rig_do(&rig, (struct command){ .cluster_set = &set });
	settings = (struct settings){ .rebuild_rate_bytes = UINT64_MAX };
	rig_do(&rig, (struct command){ .cluster_set = &set });
	assert_int_equal(fsm_cluster_get(rig.fsm, &rig.arena, &cluster, NULL), 0);
	assert_int_equal(cluster.settings->rebuild_after_ms, 6000);
	assert_int_equal(cluster.settings->rebuild_rate_bytes, 0);

	rig_node(&rig, "n1", "10.0.0.1", NULL);
	rig_refused(rig_apply(&rig, (struct command){ .node_cordon = &cordon }), ERROR_INVALID_ARGUMENT,
		    "cannot be drained");
	cordon.cordoned = true;
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	assert_int_equal(fsm_node_get(rig.fsm, "n1", &rig.arena, &found, NULL), 0);
	assert_true(found.cordoned && found.draining && !found.writethrough);
	/* To cordon it once more ends no drain, to uncordon it does; and what was ended does not come back. */
	cordon.draining = false;
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	assert_int_equal(fsm_node_get(rig.fsm, "n1", &rig.arena, &found, NULL), 0);
	assert_true(found.cordoned && found.draining);
	cordon.cordoned = false;
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	cordon.cordoned = true;
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	rig_do(&rig, (struct command){ .node_register = &node });
	assert_int_equal(fsm_node_get(rig.fsm, "n1", &rig.arena, &found, NULL), 0);
	assert_true(found.cordoned && !found.draining && found.writethrough);
	rig_do(&rig, (struct command){ .disk_add = &disk });
	assert_int_equal(fsm_disk_get(rig.fsm, 1, &rig.arena, &added, NULL), 0);
	assert_true(added.volatile_cache);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_durability(void **state)
{
	struct command_node_register node = {
		.address = "10.0.0.1", .port = 4420, .version = "1", .writethrough = true
	};
	struct command_volume_create command;
	struct rig_shape one = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 3, 1, 10 * GIB);
	assert_int_equal(rig_create(&rig, &one), 1);
	assert_int_equal(rig_volume(&rig, 1).durability, DURABILITY_FLUSH);
	one.name = "b";
	assert_int_equal(rig_plan(&rig, &one, &command, &error), 0);
	command.durability = DURABILITY_STRICT;
	command.provision = PROVISION_THICK;
	rig_refused(rig_apply(&rig, (struct command){ .volume_create = &command }), ERROR_CONFLICT,
		    "has no write-through target");
	node.name = command.actives.items[0];
	rig_do(&rig, (struct command){ .node_register = &node });
	rig_do(&rig, (struct command){ .volume_create = &command });
	assert_int_equal(rig_volume(&rig, 2).durability, DURABILITY_STRICT);
	assert_int_equal(rig_volume(&rig, 2).provision, PROVISION_THICK);
	rig_advance_until(&rig, 2, VOLUME_PHASE_ONLINE);
	rig_refused(rig_controller_add(&rig, 2, "n3"), ERROR_CONFLICT, "has no write-through target");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_node_volumes(void **state)
{
	struct rig_shape one = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };
	struct error error;
	struct rig rig;
	uint64_t id, *ids;
	size_t count;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig_create(&rig, &one);
	one.name = "b";
	rig_create(&rig, &one);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	/* n1 is retired from v1 and holds LDs of it. */
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n1", 0, 0, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(ids[0], 1);
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n5", 0, 0, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 2); /* the least loaded */
	assert_int_equal(ids[0], 2);
	assert_int_equal(ids[1], 3);
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n5", 0, 1, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 2);
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n5", 2, 0, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 3);
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n5", 3, 0, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 0);
	assert_int_equal(fsm_node_volume_list(rig.fsm, "n9", 0, 0, &rig.arena, &ids, &count, &error), ERROR_NOT_FOUND);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failover),	cmocka_unit_test(test_again),
		cmocka_unit_test(test_restart),		cmocka_unit_test(test_parted),
		cmocka_unit_test(test_move_refused),	cmocka_unit_test(test_controllers),
		cmocka_unit_test(test_advance_refused), cmocka_unit_test(test_retire_early),
		cmocka_unit_test(test_settings),	cmocka_unit_test(test_durability),
		cmocka_unit_test(test_node_volumes),	cmocka_unit_test(test_earliest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
