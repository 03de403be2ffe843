/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Projections as golden texts, and what the two sides of each connection must agree on. */
#include "tests/unit/test_fsm_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/model/names.h"

static const struct rig_shape shape = {
	.name = "db1", .size_bytes = 4 * GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 1
};

static void test_golden(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	text_golden(&rig, "n1",
		    "n1 10.0.0.1:4420 colour 0 as node:n1\n"
		    "disk d1 /dev/nvme0n1 10.0.0.1:4500 r3\n");
	id = rig_create(&rig, &shape);
	text_golden(&rig, "n1",
		    "n1 10.0.0.1:4420 colour 0 as node:n1\n"
		    "disk d1 /dev/nvme0n1 10.0.0.1:4500 r3\n"
		    "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n1 r10\n"
		    "  ld1 nsid 1 1+515\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r10\n"
		    "  ld3 nsid 1 1+515\n");
	assert_int_equal(rig_attach(&rig, "db1", "nqn.2014-08.org.x:h1").code, 0);
	rig_advance(&rig, id, VOLUME_PHASE_ASSEMBLING);
	text_golden(&rig, "n1",
		    "n1 10.0.0.1:4420 colour 0 as node:n1\n"
		    "disk d1 /dev/nvme0n1 10.0.0.1:4500 r3\n"
		    "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n1 r12\n"
		    "  ld1 nsid 1 1+515\n"
		    "volume v1 volume:v1 active slot 0 legs r12\n"
		    "  leg 0 s0e1 nsid 1 format local\n"
		    "    g0 ld1 in-sync slot:d1.v1.s0:e1 10.0.0.1:4500 515\n"
		    "    g0 ld2 in-sync slot:d2.v1.s0:e1 10.0.0.2:4500 515\n"
		    "  leg 1 s1e1 nsid 2 import leg:v1.s1.n1 10.0.0.2:20001\n"
		    "  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 admitted\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r12\n"
		    "  ld3 nsid 1 1+515\n"
		    "volume v1 volume:v1 standby slot 0 r12\n");
	/* No host is let in before it is online. */
	rig_advance(&rig, id, VOLUME_PHASE_EXPORTING);
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r13\n"
		    "  ld3 nsid 1 1+515 label\n"
		    "volume v1 volume:v1 standby slot 0 top r13\n");
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	text_golden(&rig, "n2",
		    "n2 10.0.0.2:4420 colour 1 as node:n2\n"
		    "disk d2 /dev/nvme0n1 10.0.0.2:4500 r5\n"
		    "export d2.v1.s0 slot:d2.v1.s0:e1 to node:n1 r14\n"
		    "  ld2 nsid 2 1+515 label\n"
		    "volume v1 volume:v1 active slot 1 legs top r14\n"
		    "  leg 0 s0e1 nsid 1 import leg:v1.s0.n2 10.0.0.1:20001\n"
		    "  leg 1 s1e1 nsid 2 local\n"
		    "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
		    "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
		    "  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1 in generation 2\n"
		    "  host nqn.2014-08.org.x:h1\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r14\n"
		    "  ld3 nsid 1 1+515 label\n"
		    "volume v1 volume:v1 standby slot 0 top r14\n"
		    "  host nqn.2014-08.org.x:h1\n");
	text_golden(&rig, "n4",
		    "n4 10.0.0.4:4420 colour 3 as node:n4\n"
		    "disk d4 /dev/nvme0n1 10.0.0.4:4500 r9\n"
		    "export d4.v1.s1 slot:d4.v1.s1:e1 to node:n2 r14\n"
		    "  ld4 nsid 2 1+515 label\n");
	rig_detach(&rig, "db1", "nqn.2014-08.org.x:h1");
	rig_delete(&rig, "db1");
	text_golden(&rig, "n2",
		    "n2 10.0.0.2:4420 colour 1 as node:n2\n"
		    "disk d2 /dev/nvme0n1 10.0.0.2:4500 r5\n"
		    "export d2.v1.s0 slot:d2.v1.s0:e1 to node:n1 r16\n"
		    "  ld2 nsid 2 1+515 label\n"
		    "volume v1 volume:v1 active slot 1 legs r16\n"
		    "  leg 0 s0e1 nsid 1 import leg:v1.s0.n2 10.0.0.1:20001\n"
		    "  leg 1 s1e1 nsid 2 local\n"
		    "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
		    "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
		    "  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r16\n"
		    "  ld3 nsid 1 1+515 label\n"
		    "volume v1 volume:v1 standby slot 0 r16\n");
	rig_advance(&rig, id, VOLUME_PHASE_DISMANTLING);
	text_golden(&rig, "n2",
		    "n2 10.0.0.2:4420 colour 1 as node:n2\n"
		    "disk d2 /dev/nvme0n1 10.0.0.2:4500 r5\n"
		    "export d2.v1.s0 slot:d2.v1.s0:e1 to node:n1 r17\n"
		    "  ld2 nsid 2 1+515 label\n"
		    "removed volume v1 r17\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2 r17\n"
		    "  ld3 nsid 1 1+515 label\n"
		    "removed volume v1 r17\n");
	rig_advance(&rig, id, VOLUME_PHASE_RELEASING);
	text_golden(&rig, "n2",
		    "n2 10.0.0.2:4420 colour 1 as node:n2\n"
		    "disk d2 /dev/nvme0n1 10.0.0.2:4500 r5\n"
		    "removed volume v1 r18\n"
		    "removed export d2.v1.s0 r18\n");
	rig_free(&rig, id, 2);
	text_golden(&rig, "n2",
		    "n2 10.0.0.2:4420 colour 1 as node:n2\n"
		    "disk d2 /dev/nvme0n1 10.0.0.2:4500 r5\n"
		    "removed volume v1 r18\n");
	text_golden(&rig, "n3",
		    "n3 10.0.0.3:4420 colour 2 as node:n3\n"
		    "disk d3 /dev/nvme0n1 10.0.0.3:4500 r7\n"
		    "removed volume v1 r18\n"
		    "removed export d3.v1.s1 r18\n");
	rig_close(&rig);
}

/* Deleted before its legs were formatted: nothing is to be assembled that never was. */
static void test_deleted_early(void **state)
{
	struct desired desired;
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	for (int phase = VOLUME_PHASE_PLACED; phase <= VOLUME_PHASE_EXPORTING; phase++) {
		id = rig_create(&rig, &shape);
		rig_advance_until(&rig, id, (enum volume_phase)phase);
		desired = text_project(&rig, rig_volume(&rig, id).controllers.items[0].node);
		if (desired.volumes.count > 0)
			assert_true(desired.volumes.items[0].unused);
		assert_int_equal(rig_delete(&rig, "db1").code, 0);
		for (size_t i = 0; i < 3; i++) {
			desired = text_project(&rig, rig_volume(&rig, id).controllers.items[i].node);
			assert_int_equal(desired.volumes.count, 1);
			assert_int_equal(desired.volumes.items[0].id, id);
			assert_false(desired.volumes.items[0].top_wanted || desired.volumes.items[0].unused);
			assert_int_equal(desired.volumes.items[0].legs_wanted,
					 phase == VOLUME_PHASE_EXPORTING && i < 2);
			assert_int_equal(desired.volumes.items[0].legs.count,
					 desired.volumes.items[0].legs_wanted ? 2 : 0);
			for (size_t j = 0; j < desired.volumes.items[0].legs.count; j++)
				assert_false(desired.volumes.items[0].legs.items[j].format);
		}
		rig_destroy(&rig, id);
	}
	rig_close(&rig);
}

static const struct desired_ld *exported_ld(const struct desired_member *member, const char *importer,
					    const struct desired *all, size_t count)
{
	char host_nqn[NAMES_NQN_SIZE];

	names_node_nqn("c0ffee", importer, host_nqn);
	for (size_t n = 0; n < count; n++) {
		for (size_t e = 0; e < all[n].exports.count; e++) {
			const struct desired_export *export = &all[n].exports.items[e];

			if (strcmp(export->nqn, member->nqn) != 0)
				continue;
			assert_string_equal(export->host_nqn, host_nqn);
			assert_string_equal(all[n].address, member->address);
			for (size_t i = 0; i < export->lds.count; i++) {
				if (export->lds.items[i].id == member->ld)
					return &export->lds.items[i];
			}
		}
	}
	return NULL;
}

static const struct desired_volume *volume_on(const struct desired *all, size_t count, const char *address,
					      uint64_t leg_port)
{
	for (size_t n = 0; n < count; n++) {
		if (strcmp(all[n].address, address) == 0) {
			assert_int_equal(all[n].volumes.count, 1);
			assert_int_equal(all[n].volumes.items[0].leg_port, leg_port);
			return &all[n].volumes.items[0];
		}
	}
	return NULL;
}

/* Both ends of every connection of a large volume are told the same names, numbers, sizes and uuids. */
static void test_both_ends(void **state)
{
	enum { NODES = 6 };
	static const struct rig_shape big = {
		.name = "big", .size_bytes = 90 * GIB, .copies = 3, .controllers = 3, .standbys = 2, .legs = 2
	};
	struct desired all[NODES];
	char name[8];
	struct rig rig;
	uint64_t id, imports = 0, members = 0;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, NODES, 6, 10 * GIB); /* no disk holds a whole leg: several groups */
	id = rig_create(&rig, &big);
	assert_true(rig_volume(&rig, id).legs.items[0].groups.count > 1);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	for (size_t n = 0; n < NODES; n++) {
		snprintf(name, sizeof(name), "n%zu", n + 1);
		all[n] = text_project(&rig, name);
	}
	for (size_t n = 0; n < NODES; n++) {
		/* Namespace numbers of a subsystem differ. */
		for (size_t e = 0; e < all[n].exports.count; e++) {
			const struct desired_ld_list *lds = &all[n].exports.items[e].lds;

			for (size_t i = 0; i < lds->count; i++) {
				for (size_t j = 0; j < i; j++)
					assert_int_not_equal(lds->items[i].nsid, lds->items[j].nsid);
			}
		}
		if (all[n].volumes.count == 0)
			continue;
		for (size_t l = 0; l < all[n].volumes.items[0].legs.count; l++) {
			const struct desired_leg *leg = &all[n].volumes.items[0].legs.items[l];
			const struct desired_volume *holder;
			bool admitted = false;
			uint8_t uuid[16];

			names_leg_uuid("c0ffee", id, leg->index, all[n].node, uuid);
			assert_memory_equal(leg->uuid, uuid, sizeof(uuid));
			for (size_t g = 0; g < leg->groups.count; g++) {
				for (size_t m = 0; m < leg->groups.items[g].members.count; m++, members++) {
					const struct desired_member *member = &leg->groups.items[g].members.items[m];
					const struct desired_ld *ld = exported_ld(member, all[n].node, all, NODES);
					uint64_t size = 0;

					assert_non_null(ld);
					assert_memory_equal(ld->uuid, member->uuid, sizeof(ld->uuid));
					for (size_t r = 0; r < ld->ranges.count; r++)
						size += ld->ranges.items[r].length_bytes;
					assert_int_equal(size, member->size_bytes);
				}
			}
			if (leg->local)
				continue;
			imports++;
			holder = volume_on(all, NODES, leg->address, leg->port);
			assert_non_null(holder);
			assert_int_equal(holder->slot, leg->slot);
			assert_true(holder->legs.items[l].local);
			assert_int_equal(holder->legs.items[l].nsid, leg->nsid);
			assert_int_equal(holder->legs.items[l].size_bytes, leg->size_bytes);
			for (size_t c = 0; c < holder->consumers.count; c++)
				admitted |= strcmp(holder->consumers.items[c].nqn, leg->nqn) == 0 &&
					    strcmp(holder->consumers.items[c].host_nqn, all[n].host_nqn) == 0;
			assert_true(admitted);
		}
	}
	assert_int_equal(imports, 3 * 4);
	assert_int_equal(members, 6 * rig_volume(&rig, id).legs.items[0].groups.count * 3);
	rig_check(&rig);
	rig_close(&rig);
}

/* Many LDs in one subsystem: two legs of three groups on one disk. */
static void test_namespace_numbers(void **state)
{
	enum { GROUPS = 3 };
	struct rig_shape one = { .name = "a", .size_bytes = 64 << 20, .copies = 1, .controllers = 1, .legs = 2 };
	struct place_ld ld = { 1 };
	struct place_group groups[GROUPS];
	struct command_volume_create command;
	struct desired desired;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, 100 * GIB);
	assert_int_equal(rig_plan(&rig, &one, &command, &error), 0);
	for (size_t i = 0; i < GROUPS; i++)
		groups[i].members = (struct place_ld_list){ 1, &ld };
	for (size_t i = 0; i < 2; i++)
		command.legs.items[i].groups = (struct place_group_list){ GROUPS, groups };
	rig_do(&rig, (struct command){ .volume_create = &command });
	desired = text_project(&rig, "n1");
	assert_int_equal(desired.exports.count, 1);
	assert_int_equal(desired.exports.items[0].lds.count, 2 * GROUPS);
	/* LDs in order of leg and group; the first groups of both legs come before the second ones. */
	for (size_t i = 0; i < 2 * GROUPS; i++)
		assert_int_equal(desired.exports.items[0].lds.items[i].nsid, 1 + i % GROUPS * 2 + i / GROUPS);
	rig_close(&rig);
}

/* The part of one volume is the same as in the whole. */
static void test_one_volume(void **state)
{
	struct rig_shape other = shape;
	struct buffer text = BUFFER_INIT;
	struct desired desired;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	rig_create(&rig, &shape);
	other.name = "db2";
	rig_create(&rig, &other);
	rig_advance(&rig, 2, VOLUME_PHASE_ASSEMBLING);
	assert_int_equal(fsm_project_volume(rig.fsm, "n2", 2, &rig.arena, &desired, &error), 0);
	text_encodes(&desired);
	text_desired(&desired, &text);
	assert_string_equal((const char *)text.data, "n2 10.0.0.2:4420 colour 1 as node:n2\n"
						     "export d2.v2.s0 slot:d2.v2.s0:e1 to node:n4 r12\n"
						     "  ld6 nsid 2 516+515\n"
						     "volume v2 volume:v2 standby slot 0 r12\n");
	/* What is gone is to be removed, whatever it was. */
	assert_int_equal(fsm_project_volume(rig.fsm, "n2", 7, &rig.arena, &desired, &error), 0);
	text_desired(&desired, &text);
	assert_string_equal((const char *)text.data, "n2 10.0.0.2:4420 colour 1 as node:n2\n"
						     "removed volume v7 r12\n");
	assert_int_equal(fsm_project_volume(rig.fsm, "n9", 1, &rig.arena, &desired, &error), ERROR_NOT_FOUND);
	assert_string_equal(error.message, "there is no node \"n9\"");
	assert_int_equal(fsm_project_node(rig.fsm, "n9", &rig.arena, &desired, &error), ERROR_NOT_FOUND);
	buffer_free(&text);
	rig_close(&rig);
}

/* A node's new address reaches everybody who connects to it. */
static void test_new_address(void **state)
{
	struct command_node_register node = { .name = "n2", .address = "10.9.9.9", .port = 4421, .version = "1" };
	struct rig_shape one = shape;
	struct desired desired;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	one.spread = SPREAD_RACK;
	rig_create(&rig, &one);
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	rig_do(&rig, (struct command){ .node_register = &node });
	desired = text_project(&rig, "n1");
	assert_string_equal(desired.volumes.items[0].legs.items[1].address, "10.9.9.9");
	assert_int_equal(desired.volumes.items[0].legs.items[1].port, rig_volume(&rig, 1).leg_port);
	assert_int_equal(desired.volumes.items[0].revision, fsm_revision(rig.fsm));
	desired = text_project(&rig, "n2");
	assert_string_equal(desired.disks.items[0].address, "10.9.9.9");
	assert_int_equal(desired.disks.items[0].revision, fsm_revision(rig.fsm));
	assert_string_equal(desired.volumes.items[0].legs.items[1].groups.items[0].members.items[0].address,
			    "10.9.9.9");
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),	    cmocka_unit_test(test_deleted_early),
		cmocka_unit_test(test_both_ends),   cmocka_unit_test(test_one_volume),
		cmocka_unit_test(test_new_address), cmocka_unit_test(test_namespace_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
