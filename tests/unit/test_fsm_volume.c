/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes: phases, hosts, removal, fragmented disks. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsm/state.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:1"

static const struct rig_shape mirror = {
	.name = "db1", .size_bytes = GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 2
};

static struct node node_of(struct rig *rig, const char *name)
{
	struct node node;

	assert_int_equal(fsm_node_get(rig->fsm, name, &rig->arena, &node, NULL), 0);
	return node;
}

static struct outcome create(struct rig *rig, const struct command_volume_create *command)
{
	return rig_apply(rig, (struct command){ .volume_create = (struct command_volume_create *)command });
}

static void test_life(void **state)
{
	struct outcome outcome;
	struct volume volume;
	struct rig rig;
	uint64_t id, all;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	all = rig_extents_free(&rig);
	buffer_clear(&rig.changes);
	id = rig_create(&rig, &mirror);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_string_equal((const char *)rig.changes.data, "volume 1 r10: n1 n2 n3 n4\n");
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.phase, VOLUME_PHASE_PLACED);
	assert_int_equal(volume.controllers.count, 3);
	assert_string_equal(volume.controllers.items[1].node, "n2");
	assert_int_equal(volume.controllers.items[1].role, CONTROLLER_ROLE_ACTIVE);
	assert_int_equal(volume.controllers.items[1].slot, 1);
	assert_string_equal(volume.controllers.items[2].node, "n3");
	assert_int_equal(volume.controllers.items[2].role, CONTROLLER_ROLE_STANDBY);
	assert_string_equal(volume.slots.items[1].holder, "n2");
	assert_int_equal(volume.slots.items[1].epoch, 1);
	assert_int_equal(volume.legs.count, 4);
	assert_int_equal(volume.legs.items[3].slot, 1);
	assert_int_equal(volume.legs.items[3].state, LEG_STATE_NEW);
	assert_int_equal(volume.legs.items[0].groups.items[0].members.items[0].ranges.items[0].start, 1);
	assert_true(volume.created_ms >= 1000);
	assert_int_equal(node_of(&rig, "n3").controllers, 1);
	assert_int_equal(rig_extents_free(&rig), all - 8 * volume.legs.items[0].group_extents);
	rig_check(&rig);

	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_ASSEMBLING).code, 0);
	assert_int_equal(rig_volume(&rig, id).legs.items[0].state, LEG_STATE_NEW);
	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_EXPORTING).code, 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(rig_volume(&rig, id).legs.items[i].state, LEG_STATE_READY);
	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_ONLINE).code, 0);
	rig_check(&rig);

	outcome = rig_delete(&rig, "db1");
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "v1");
	/* Again, by id: done already. */
	assert_int_equal(rig_delete(&rig, "v1").revision, outcome.revision);
	assert_int_equal(fsm_revision(rig.fsm), outcome.revision);
	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_DISMANTLING).code, 0);
	rig_refused(rig_free(&rig, id, 1), ERROR_FAILED_PRECONDITION, "phase dismantling");
	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_RELEASING).code, 0);
	rig_check(&rig);
	rig_refused(rig_delete(&rig, "db1"), ERROR_NOT_FOUND, "db1");
	assert_int_equal(rig_delete(&rig, "v1").code, 0);
	/* The name is free again; the extents are not yet. */
	assert_int_equal(rig_create(&rig, &mirror), 2);
	assert_int_equal(rig_extents_free(&rig), all - 16 * volume.legs.items[0].group_extents);

	/* One LD after the other; the others need not confirm anything anew. */
	volume = rig_volume(&rig, id);
	for (unsigned i = 1; i < 8; i++) {
		assert_int_equal(rig_free(&rig, id, 1).code, 0);
		assert_int_equal(rig_volume(&rig, id).revision, volume.revision);
		assert_int_equal(rig_extents_free(&rig), all - (16 - i) * volume.legs.items[0].group_extents);
		rig_check(&rig);
	}
	buffer_clear(&rig.changes);
	assert_int_equal(rig_free(&rig, id, 1).code, 0);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_non_null(strstr((const char *)rig.changes.data, "volume 1 removed"));
	rig_check(&rig);
	assert_int_equal(node_of(&rig, "n3").controllers, 0);
	assert_int_equal(node_of(&rig, "n4").controllers, 1);
	rig_destroy(&rig, 2);
	assert_int_equal(rig_extents_free(&rig), all);
	assert_int_equal(node_of(&rig, "n4").controllers, 0);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

static void test_advance_refused(void **state)
{
	struct command_volume_advance advance;
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	id = rig_create(&rig, &mirror);
	for (int from = VOLUME_PHASE_PLACED; from <= VOLUME_PHASE_RELEASING; from++) {
		for (int to = VOLUME_PHASE_PLACED; to <= VOLUME_PHASE_RELEASING; to++) {
			bool edge = to == from + 1 && from != VOLUME_PHASE_ONLINE;
			struct outcome outcome;

			if (edge && from == VOLUME_PHASE_PLACED)
				continue; /* the one that is possible now */
			advance = (struct command_volume_advance){ id, (enum volume_phase)from, (enum volume_phase)to,
								   rig_volume(&rig, id).revision };
			outcome = rig_apply(&rig, (struct command){ .volume_advance = &advance });
			if (edge)
				rig_refused(outcome, ERROR_CONFLICT, "is in phase placed, not");
			else
				rig_refused(outcome, ERROR_INVALID_ARGUMENT, "no volume goes from");
		}
	}
	advance = (struct command_volume_advance){ id, VOLUME_PHASE_PLACED, VOLUME_PHASE_ASSEMBLING,
						   rig_volume(&rig, id).revision - 1 };
	rig_refused(rig_apply(&rig, (struct command){ .volume_advance = &advance }), ERROR_CONFLICT, "was confirmed");
	advance.id = 77;
	rig_refused(rig_apply(&rig, (struct command){ .volume_advance = &advance }), ERROR_NOT_FOUND, "v77");
	/* An attached host is a change that must be confirmed again. */
	advance = (struct command_volume_advance){ id, VOLUME_PHASE_PLACED, VOLUME_PHASE_ASSEMBLING,
						   rig_volume(&rig, id).revision };
	assert_int_equal(rig_attach(&rig, "db1", HOST).code, 0);
	rig_refused(rig_apply(&rig, (struct command){ .volume_advance = &advance }), ERROR_CONFLICT, "was confirmed");
	rig_check(&rig);
	rig_close(&rig);
}

/* A volume can be deleted in every phase. */
static void test_delete_early(void **state)
{
	struct rig rig;
	uint64_t id, all;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	all = rig_extents_free(&rig);
	for (int phase = VOLUME_PHASE_PLACED; phase <= VOLUME_PHASE_ONLINE; phase++) {
		id = rig_create(&rig, &mirror);
		rig_advance_until(&rig, id, (enum volume_phase)phase);
		assert_int_equal(rig_delete(&rig, "db1").code, 0);
		assert_int_equal(rig_volume(&rig, id).phase, VOLUME_PHASE_UNEXPORTING);
		rig_check(&rig);
		rig_destroy(&rig, id);
		rig_check(&rig);
		assert_int_equal(rig_extents_free(&rig), all);
	}
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* Each striped volume has a port that no other one has, and that is not one's again soon; others need none. */
static void test_leg_ports(void **state)
{
	struct rig_shape other = mirror,
			 single = { .name = "s", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct command_node_register node = {
		.name = "n9", .address = "10.0.0.9", .port = LIMIT_LEG_PORT_LAST, .version = "1"
	};
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	assert_int_equal(rig_volume(&rig, rig_create(&rig, &mirror)).leg_port, LIMIT_LEG_PORT_FIRST + 1);
	assert_int_equal(rig_volume(&rig, rig_create(&rig, &single)).leg_port, 0);
	other.name = "db2";
	assert_int_equal(rig_volume(&rig, rig_create(&rig, &other)).leg_port, LIMIT_LEG_PORT_FIRST + 3);
	rig_check(&rig);
	rig_destroy(&rig, 1);
	rig_check(&rig);
	assert_int_equal(rig_volume(&rig, rig_create(&rig, &mirror)).leg_port, LIMIT_LEG_PORT_FIRST + 4);
	rig_refused(rig_apply(&rig, (struct command){ .node_register = &node }), ERROR_INVALID_ARGUMENT, "port 29999");
	node.port = LIMIT_LEG_PORT_LAST + 1;
	rig_do(&rig, (struct command){ .node_register = &node });
	node.port = LIMIT_LEG_PORT_FIRST;
	rig_refused(rig_apply(&rig, (struct command){ .node_register = &node }), ERROR_INVALID_ARGUMENT, "port 20000");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* What has one is stepped over; when all are taken, no other volume fits. */
static void test_leg_ports_taken(void **state)
{
	const uint64_t ports = LIMIT_LEG_PORT_LAST - LIMIT_LEG_PORT_FIRST + 1;
	struct rig_shape single = { .name = "s", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct command_volume_create create;
	struct store_txn *txn;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(store_txn_begin(rig.store, true, &txn, NULL), 0);
		for (uint64_t port = LIMIT_LEG_PORT_FIRST; port <= LIMIT_LEG_PORT_LAST; port++) {
			struct key key, value;

			if (round == 0 && port == LIMIT_LEG_PORT_FIRST)
				continue;
			assert_int_equal(
				store_put(txn, STORE_TABLE_LEG_PORT, key_id(&key, port), key_id(&value, ports), NULL),
				0);
		}
		assert_int_equal(store_txn_commit(txn, NULL), 0);
		if (round == 0) {
			assert_int_equal(rig_volume(&rig, rig_create(&rig, &mirror)).leg_port, LIMIT_LEG_PORT_FIRST);
			rig_destroy(&rig, 1);
		} else {
			assert_int_equal(rig_plan(&rig, &mirror, &create, &error), 0);
			rig_refused(rig_apply(&rig, (struct command){ .volume_create = &create }), ERROR_NO_CAPACITY,
				    "each of the 10000 ports");
			assert_int_equal(rig_volume(&rig, rig_create(&rig, &single)).leg_port, 0);
		}
	}
	rig_close(&rig);
}

static void test_hosts(void **state)
{
	char nqn[64];
	struct outcome outcome;
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	id = rig_create(&rig, &mirror);
	rig_refused(rig_attach(&rig, "db1", "host1"), ERROR_INVALID_ARGUMENT, "not an NQN");
	rig_refused(rig_attach(&rig, "db2", HOST), ERROR_NOT_FOUND, "db2");
	revision = rig_attach(&rig, "db1", HOST).revision;
	assert_int_equal(rig_volume(&rig, id).revision, revision);
	assert_int_equal(rig_attach(&rig, "v1", HOST).revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	for (unsigned i = 2; i <= LIMIT_HOSTS_PER_VOLUME; i++) {
		snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.nvmexpress:uuid:%u", i);
		assert_int_equal(rig_attach(&rig, "db1", nqn).code, 0);
	}
	rig_refused(rig_attach(&rig, "db1", "nqn.2014-08.org.nvmexpress:uuid:more"), ERROR_FAILED_PRECONDITION,
		    "limit is 64");
	rig_check(&rig);

	outcome = rig_delete(&rig, "db1");
	rig_refused(outcome, ERROR_FAILED_PRECONDITION, HOST);
	assert_string_equal(outcome.hint, "run: dnvme volume detach db1 HOST-NQN");
	assert_non_null(strstr(outcome.details, "uuid:5\n"));
	for (unsigned i = LIMIT_HOSTS_PER_VOLUME; i >= 1; i--) {
		snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.nvmexpress:uuid:%u", i % 2 ? i : 66 - i);
		assert_int_equal(rig_detach(&rig, "db1", nqn).code, 0);
	}
	assert_int_equal(rig_volume(&rig, id).hosts.count, 0);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(rig_detach(&rig, "db1", HOST).revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_check(&rig);
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_refused(rig_attach(&rig, "db1", HOST), ERROR_FAILED_PRECONDITION, "is being deleted");
	assert_int_equal(rig_detach(&rig, "db1", HOST).code, 0);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* --- extents -------------------------------------------------------------------------------------------------- */

/* A disk full of small LDs of which every other one goes: the next large LD takes several runs. */
static void test_fragments(void **state)
{
	struct rig_shape small = { .size_bytes = 4 << 20, .copies = 1, .controllers = 1, .legs = 1 };
	struct rig_shape large = { .name = "large", .copies = 1, .controllers = 1, .legs = 1 };
	struct command_volume_create command;
	uint64_t ids[400], extents, id;
	struct volume volume;
	char name[16];
	size_t count = 0;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, 5 * GIB);
	for (; count < 400; count++) {
		snprintf(name, sizeof(name), "s%zu", count);
		small.name = name;
		if (rig_plan(&rig, &small, &command, &error) != 0)
			break;
		ids[count] = rig_create(&rig, &small);
	}
	assert_in_range(count, 300, 399);
	extents = rig_volume(&rig, ids[0]).legs.items[0].group_extents;
	for (size_t i = 0; i < count; i += 2)
		rig_destroy(&rig, ids[i]);
	rig_check(&rig);

	/* Ten runs' worth. */
	large.size_bytes = 10 * extents * RIG_EXTENT_BYTES;
	id = rig_create(&rig, &large);
	rig_check(&rig);
	volume = rig_volume(&rig, id);
	assert_true(volume.legs.items[0].groups.items[0].members.items[0].ranges.count >= 10);
	rig_destroy(&rig, id);
	rig_check(&rig);

	/* A run that is long enough is preferred. */
	rig_destroy(&rig, ids[101]);
	small.name = "two";
	small.size_bytes = 2 * extents * RIG_EXTENT_BYTES;
	id = rig_create(&rig, &small);
	assert_int_equal(rig_volume(&rig, id).legs.items[0].groups.items[0].members.items[0].ranges.count, 1);
	rig_destroy(&rig, id);
	for (size_t i = 1; i < count; i += 2) {
		if (i != 101)
			rig_destroy(&rig, ids[i]);
	}
	rig_check(&rig);
	assert_int_equal(rig_extents_free(&rig), 5 * 256 - 1);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* More runs than an LD may have: refused by name, although there are extents enough. */
static void test_scattered(void **state)
{
	struct rig_shape shape = { .size_bytes = 1 << 20, .copies = 1, .controllers = 1, .legs = 1 };
	struct command_volume_create command;
	uint64_t ids[2 * LIMIT_RANGES_PER_LD + 20], extents;
	char name[16];
	struct error error;
	struct rig rig;
	size_t count = sizeof(ids) / sizeof(ids[0]);

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, 64 * GIB);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "s%zu", i);
		shape.name = name;
		ids[i] = rig_create(&rig, &shape);
	}
	extents = rig_volume(&rig, ids[0]).legs.items[0].group_extents;
	/* One volume takes the rest, so that only the gaps are free. */
	shape.name = "rest";
	for (shape.size_bytes = 56 * GIB;
	     rig_plan(&rig, &shape, &command, &error) == 0 && command.legs.items[0].groups.count == 1;)
		shape.size_bytes += 16 << 20;
	shape.size_bytes -= 16 << 20;
	rig_create(&rig, &shape);
	for (size_t i = 0; i < count; i += 2)
		rig_destroy(&rig, ids[i]);
	rig_check(&rig);

	shape.name = "wide";
	shape.size_bytes = (LIMIT_RANGES_PER_LD - 10) * extents * RIG_EXTENT_BYTES;
	rig_destroy(&rig, rig_create(&rig, &shape));
	shape.size_bytes = (LIMIT_RANGES_PER_LD + 5) * extents * RIG_EXTENT_BYTES;
	assert_int_equal(rig_plan(&rig, &shape, &command, &error), 0);
	assert_int_equal(command.legs.items[0].groups.count, 1);
	rig_refused(create(&rig, &command), ERROR_NO_CAPACITY, "the limit is 256");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_free_refused(void **state)
{
	const char *names[1] = { "ld99" };
	struct command_lds_free lds = { 1, { 1, names } };
	struct rig_shape one = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 2, 1, 100 * GIB);
	id = rig_create(&rig, &one);
	rig_delete(&rig, "a");
	rig_advance_until(&rig, id, VOLUME_PHASE_RELEASING);
	rig_refused(rig_apply(&rig, (struct command){ .lds_free = &lds }), ERROR_NOT_FOUND, "no LD ld99");
	names[0] = "d1";
	rig_refused(rig_apply(&rig, (struct command){ .lds_free = &lds }), ERROR_INVALID_ARGUMENT,
		    "not the id of an LD");
	/* Confirmed twice. */
	names[0] = "ld1";
	rig_do(&rig, (struct command){ .lds_free = &lds });
	revision = fsm_revision(rig.fsm);
	rig_do(&rig, (struct command){ .lds_free = &lds });
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_check(&rig);
	/* The disk may go, the volume still remembers the LD. */
	struct command_disk_remove disk = { 1 };
	rig_do(&rig, (struct command){ .disk_remove = &disk });
	rig_check(&rig);
	disk.id = 2;
	rig_refused(rig_apply(&rig, (struct command){ .disk_remove = &disk }), ERROR_FAILED_PRECONDITION,
		    "holds 1 LDs");
	names[0] = "ld2";
	rig_do(&rig, (struct command){ .lds_free = &lds });
	rig_refused(rig_apply(&rig, (struct command){ .lds_free = &lds }), ERROR_NOT_FOUND, "no volume v1");
	rig_do(&rig, (struct command){ .disk_remove = &disk });
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* --- a node that moves -------------------------------------------------------------------------------------- */

static void test_node_moves(void **state)
{
	struct command_node_register node = { .name = "n1", .address = "10.9.9.9", .port = 4420, .version = "1" };
	struct rig_shape on_n1 = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct rig_shape elsewhere = { .name = "b", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct disk disk;
	struct rig rig;
	uint64_t a, b, before, revision;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 2, 1, 100 * GIB);
	a = rig_create(&rig, &on_n1);
	b = rig_create(&rig, &elsewhere);
	before = rig_volume(&rig, b).revision;
	assert_string_equal(rig_volume(&rig, b).controllers.items[0].node, "n2");
	buffer_clear(&rig.changes);
	revision = rig_do(&rig, (struct command){ .node_register = &node }).revision;
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_string_equal((const char *)rig.changes.data, "node n10 moved r8:\ndisk n11 r8: n1\nvolume 1 r8: n1\n");
	assert_int_equal(rig_volume(&rig, a).revision, revision);
	assert_int_equal(rig_volume(&rig, b).revision, before);
	assert_int_equal(fsm_disk_get(rig.fsm, 1, &rig.arena, &disk, NULL), 0);
	assert_int_equal(disk.revision, revision);
	/* A restart of the node alone changes nothing but the node. */
	node.boot_id[0] = 99;
	rig_do(&rig, (struct command){ .node_register = &node });
	assert_int_equal(rig_volume(&rig, a).revision, revision);
	rig_check(&rig);

	struct command_node_forget forget = { .name = "n1" };
	struct command_disk_remove remove = { 1 };
	rig_refused(rig_apply(&rig, (struct command){ .node_forget = &forget }), ERROR_FAILED_PRECONDITION, "1 disks");
	rig_refused(rig_apply(&rig, (struct command){ .disk_remove = &remove }), ERROR_FAILED_PRECONDITION, "1 LDs");
	rig_destroy(&rig, a);
	rig_do(&rig, (struct command){ .disk_remove = &remove });
	rig_do(&rig, (struct command){ .node_forget = &forget });
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* A small command that touches more than the room that is reserved at first: the map grows until it fits. */
static void test_room_grows(void **state)
{
	enum { VOLUMES = 1400, GROUPS = 64 };
	struct command_node_register node = { .name = "n1", .address = "10.9.9.9", .port = 4420, .version = "1" };
	struct place_group groups[GROUPS];
	struct place_ld lds[GROUPS];
	struct place_leg leg;
	struct rig_shape shape = { .name = "a", .size_bytes = 64 << 20, .copies = 1, .controllers = 1, .legs = 1 };
	struct command_volume_create command;
	char name[16];
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, UINT64_C(64) << 40);
	assert_int_equal(rig_plan(&rig, &shape, &command, &error), 0);
	/* As many LDs as a leg can have make the largest record. */
	leg = command.legs.items[0];
	for (size_t i = 0; i < GROUPS; i++) {
		lds[i].disk = 1;
		groups[i].members = (struct place_ld_list){ 1, &lds[i] };
	}
	leg.groups = (struct place_group_list){ GROUPS, groups };
	command.legs = (struct place_leg_list){ 1, &leg };
	for (size_t i = 0; i < VOLUMES; i++) {
		snprintf(name, sizeof(name), "a%zu", i);
		command.name = name;
		assert_int_equal(create(&rig, &command).code, 0);
	}
	rig_do(&rig, (struct command){ .node_register = &node });
	assert_int_equal(rig_volume(&rig, VOLUMES).revision, fsm_revision(rig.fsm));
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),	     cmocka_unit_test(test_advance_refused),
		cmocka_unit_test(test_delete_early), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_leg_ports),    cmocka_unit_test(test_leg_ports_taken),
		cmocka_unit_test(test_fragments),    cmocka_unit_test(test_scattered),
		cmocka_unit_test(test_free_refused), cmocka_unit_test(test_node_moves),
		cmocka_unit_test(test_room_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
