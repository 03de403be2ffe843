/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What refuses the creation of a volume, and leaves nothing of it. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>
#include <stdlib.h>

static const struct rig_shape mirror = {
	.name = "db1", .size_bytes = GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 2
};

static struct outcome create(struct rig *rig, const struct command_volume_create *command)
{
	return rig_apply(rig, (struct command){ .volume_create = (struct command_volume_create *)command });
}

static void spoil_name(struct command_volume_create *command)
{
	command->name = "v12";
}

static void spoil_size(struct command_volume_create *command)
{
	command->size_bytes += 4096;
}

static void spoil_leg_size(struct command_volume_create *command)
{
	command->legs.items[1].size_bytes += 4096;
}

static void spoil_stripe(struct command_volume_create *command)
{
	command->stripe_bytes = UINT64_MAX - 4095;
}

static void spoil_leg_count(struct command_volume_create *command)
{
	command->legs.count--;
}

static void spoil_slot(struct command_volume_create *command)
{
	command->legs.items[0].slot = 2;
}

static void spoil_slot_balance(struct command_volume_create *command)
{
	command->legs.items[0].slot = 1;
}

static void spoil_standbys(struct command_volume_create *command)
{
	command->standbys = 2;
}

static void spoil_actives(struct command_volume_create *command)
{
	command->actives.count = 0;
}

static void spoil_controller_twice(struct command_volume_create *command)
{
	command->standby_nodes.items[0] = command->actives.items[0];
}

static void spoil_controller_gone(struct command_volume_create *command)
{
	command->actives.items[1] = "n99";
}

static void spoil_copies(struct command_volume_create *command)
{
	command->legs.items[2].groups.items[0].members.count = 1;
}

static void spoil_group_count(struct command_volume_create *command)
{
	command->legs.items[2].groups.count = 0;
}

static void spoil_room(struct command_volume_create *command)
{
	command->legs.items[2].group_extents--;
}

static void spoil_room_overflow(struct command_volume_create *command)
{
	command->legs.items[2].group_extents = UINT64_MAX / RIG_EXTENT_BYTES + 2;
}

static void spoil_same_disk(struct command_volume_create *command)
{
	struct place_ld *members = command->legs.items[2].groups.items[0].members.items;

	members[1].disk = members[0].disk;
}

static void spoil_disk_gone(struct command_volume_create *command)
{
	command->legs.items[2].groups.items[0].members.items[1].disk = 99;
}

static void spoil_disk_full(struct command_volume_create *command)
{
	command->legs.items[3].group_extents = 1000000;
}

static void test_create_refused(void **state)
{
	static const struct {
		void (*spoil)(struct command_volume_create *command);
		enum error_code code;
		const char *words;
	} cases[] = {
		{ spoil_name, ERROR_INVALID_ARGUMENT, "form of an id" },
		{ spoil_size, ERROR_INVALID_ARGUMENT, "whole number of stripes" },
		{ spoil_leg_size, ERROR_INVALID_ARGUMENT, "leg 1 has" },
		{ spoil_stripe, ERROR_INVALID_ARGUMENT, "out of range" },
		{ spoil_leg_count, ERROR_INVALID_ARGUMENT, "do not make 3 legs" },
		{ spoil_slot, ERROR_INVALID_ARGUMENT, "slot 2" },
		{ spoil_slot_balance, ERROR_INVALID_ARGUMENT, "slot 0 has 1 legs, not 2" },
		{ spoil_standbys, ERROR_INVALID_ARGUMENT, "2 standbys were asked for, 1 are placed" },
		{ spoil_actives, ERROR_INVALID_ARGUMENT, "1 to 16" },
		{ spoil_controller_twice, ERROR_INVALID_ARGUMENT, "two controllers" },
		{ spoil_controller_gone, ERROR_CONFLICT, "stale placement: there is no node \"n99\"" },
		{ spoil_copies, ERROR_INVALID_ARGUMENT, "group 0 of leg 2 has 1 members, not 2" },
		{ spoil_group_count, ERROR_INVALID_ARGUMENT, "leg 2 has no group" },
		{ spoil_room, ERROR_INVALID_ARGUMENT, "the groups of leg 2 hold" },
		{ spoil_room_overflow, ERROR_INVALID_ARGUMENT, "out of range" },
		{ spoil_same_disk, ERROR_INVALID_ARGUMENT, "two copies" },
		{ spoil_disk_gone, ERROR_CONFLICT, "stale placement: there is no disk d99" },
		{ spoil_disk_full, ERROR_CONFLICT, "extents free, 1000000 wanted" },
	};
	struct command_volume_create command;
	struct command_node_cordon cordon = { .name = "n4", .cordoned = true };
	struct command_node_register moved = { .name = "n2", .address = "10.0.0.2", .port = 4420, .version = "1" };
	struct label labels[] = { { "rack", "r2" } };
	struct rig_shape shape = mirror;
	struct rig_shape other = { .name = "other", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 100 * GIB);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(rig_plan(&rig, &mirror, &command, &error), 0);
		cases[i].spoil(&command);
		buffer_clear(&rig.changes);
		rig_refused(create(&rig, &command), cases[i].code, cases[i].words);
		assert_int_equal(rig.changes.size, 0);
		rig_check(&rig);
		/* Nothing is left of it, no id is lost. */
		assert_int_equal(rig_extents_free(&rig), 4 * (100 * 256 - 1));
		assert_int_equal(fsm_revision(rig.fsm), 9);
	}
	shape.spread = SPREAD_RACK;
	assert_int_equal(rig_plan(&rig, &shape, &command, &error), 0);
	moved.labels = (struct label_list){ 1, labels };
	rig_do(&rig, (struct command){ .node_register = &moved });
	moved.name = "n1";
	moved.address = "10.0.0.1";
	rig_do(&rig, (struct command){ .node_register = &moved });
	rig_refused(create(&rig, &command), ERROR_CONFLICT, "share a rack");
	assert_int_equal(rig_plan(&rig, &mirror, &command, &error), 0);
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	rig_refused(create(&rig, &command), ERROR_CONFLICT, "stale placement: node \"n4\" is cordoned");
	cordon.cordoned = false;
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	moved.name = "n2";
	moved.address = "10.0.0.2";
	moved.storage_only = true;
	assert_int_equal(rig_plan(&rig, &mirror, &command, &error), 0);
	rig_do(&rig, (struct command){ .node_register = &moved });
	rig_refused(create(&rig, &command), ERROR_CONFLICT, "holds no controllers");
	moved.storage_only = false;
	rig_do(&rig, (struct command){ .node_register = &moved });

	assert_int_equal(rig_create(&rig, &other), 1);
	other.size_bytes *= 2;
	assert_int_equal(rig_plan(&rig, &other, &command, &error), 0);
	rig_refused(create(&rig, &command), ERROR_ALREADY_EXISTS, "\"other\" already (v1)");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* Nodes 1 and 17 have one colour: their controllers would give out the same ids. */
static void test_colours(void **state)
{
	struct rig_shape shape = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 2, .legs = 1 };
	struct command_volume_create command;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 17, 1, 100 * GIB);
	assert_int_equal(rig_plan(&rig, &shape, &command, &error), 0);
	command.actives.items[0] = "n1";
	command.actives.items[1] = "n17";
	rig_refused(create(&rig, &command), ERROR_CONFLICT, "colour 0 of another");
	rig_check(&rig);
	rig_close(&rig);
}

/* Two plans made on the same state: the second is stale, and planned anew under the same request id it succeeds. */
static void test_stale_placement(void **state)
{
	struct rig_shape shape = { .name = "a", .size_bytes = 60 * GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct command_volume_create first, second;
	struct command command = { .request_id = { (const uint8_t *)"0123456789abcdef", 16 },
				   .volume_create = &second };
	struct outcome outcome;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 2, 1, 100 * GIB);
	assert_int_equal(rig_plan(&rig, &shape, &first, &error), 0);
	shape.name = "b";
	assert_int_equal(rig_plan(&rig, &shape, &second, &error), 0);
	assert_int_equal(create(&rig, &first).code, 0);
	rig_refused(rig_apply(&rig, command), ERROR_CONFLICT, "stale placement: disk d1 has ");
	assert_int_equal(rig_plan(&rig, &shape, &second, &error), 0);
	outcome = rig_do(&rig, command);
	assert_string_equal(outcome.id, "v2");
	assert_string_equal(rig_do(&rig, command).id, "v2");
	rig_check(&rig);
	shape.name = "c";
	shape.size_bytes = 90 * GIB;
	assert_int_equal(rig_plan(&rig, &shape, &second, &error), ERROR_NO_CAPACITY);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_refused),
		cmocka_unit_test(test_stale_placement),
		cmocka_unit_test(test_colours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
