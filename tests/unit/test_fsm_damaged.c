/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume whose record does not fit itself, as in a damaged snapshot, is told of wherever it is read, and not used. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>

#include "lib/wire/codec.h"

#define NODES 6u

/* "db1" of rig_open_pair(), whose slot 0 moved to the standby. */
static struct volume volume_make(struct rig *rig)
{
	assert_int_equal(rig_open_pair(rig, NODES), 1);
	assert_int_equal(rig_slot_move(rig, 1, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	return rig_volume(rig, 1);
}

static struct leaving_ld leaving;

static void leg_of_no_slot(struct volume *volume)
{
	volume->legs.items[1].slot = 2;
}

static void leaving_of_no_slot(struct volume *volume)
{
	leaving = (struct leaving_ld){ .slot = 2, .ld = volume->legs.items[0].groups.items[0].members.items };
	volume->leaving = (struct leaving_ld_list){ 1, &leaving };
}

static struct controller *retired(struct volume *volume)
{
	struct controller *last = &volume->controllers.items[volume->controllers.count - 1];

	assert_int_equal(last->role, CONTROLLER_ROLE_RETIRED);
	return last;
}

static void retired_of_no_slot(struct volume *volume)
{
	retired(volume)->slot = 2;
}

static void active_of_no_slot(struct volume *volume)
{
	volume->controllers.items[1].slot = 2;
}

static void active_that_retired(struct volume *volume)
{
	volume->controllers.items[1].role = CONTROLLER_ROLE_RETIRED;
}

static void held_by_nobody(struct volume *volume)
{
	volume->slots.items[0].holder = volume->controllers.items[1].node;
}

static void no_controllers(struct volume *volume)
{
	volume->controllers.count = 1;
}

static void no_slots(struct volume *volume)
{
	volume->slots.count = 0;
}

static void store_volume(struct rig *rig, const struct volume *volume)
{
	static const uint8_t key[8] = { 0, 0, 0, 0, 0, 0, 0, 1 };
	struct buffer value = BUFFER_INIT;
	struct store_txn *txn;

	assert_int_equal(volume->id, 1);
	assert_int_equal(codec_encode(schema_volume(), volume, CODEC_TAGGED, &value, NULL), 0);
	assert_int_equal(store_txn_begin(rig->store, true, &txn, NULL), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_VOLUME, (struct bytes){ key, 8 }, buffer_bytes(&value), NULL), 0);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	buffer_free(&value);
}

static void test_is_not_used(void **state)
{
	void (*const damages[])(struct volume * volume) = {
		leg_of_no_slot,	     leaving_of_no_slot, retired_of_no_slot, active_of_no_slot,
		active_that_retired, held_by_nobody,	 no_controllers,     no_slots,
	};
	static const char sentence[] = "the record of v1 is damaged: its slots and what they hold do not fit";
	struct desired desired;
	struct volume volume;
	struct error error;
	struct rig rig;
	const char *node;

	(void)state;
	volume = volume_make(&rig);
	node = volume.slots.items[0].holder;
	assert_int_equal(fsm_project_node(rig.fsm, node, &rig.arena, &desired, &error), 0);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct volume damaged;

		store_volume(&rig, &volume);
		damaged = rig_volume(&rig, 1);
		damages[i](&damaged);
		store_volume(&rig, &damaged);
		assert_int_equal(fsm_project_node(rig.fsm, node, &rig.arena, &desired, &error), ERROR_INTERNAL);
		assert_string_equal(error.message, sentence);
		assert_int_equal(fsm_volume_find(rig.fsm, "db1", &rig.arena, &damaged, &error), ERROR_INTERNAL);
		assert_string_equal(error.message, sentence);
	}
	rig_close(&rig);
}

/* What a retired controller is said to have left behind is no number of exports that anybody could have. */
static void test_few_are_parked(void **state)
{
	struct desired desired;
	struct volume volume;
	struct error error;
	struct rig rig;
	size_t parked = 0;

	(void)state;
	volume = volume_make(&rig);
	volume.slots.items[0].epoch = UINT64_MAX;
	retired(&volume)->epoch = UINT64_MAX - 1;
	retired(&volume)->earliest = 1;
	store_volume(&rig, &volume);
	for (unsigned n = 1; n <= NODES; n++) {
		char node[8];

		snprintf(node, sizeof(node), "n%u", n);
		assert_int_equal(fsm_project_node(rig.fsm, node, &rig.arena, &desired, &error), 0);
		for (size_t i = 0; i < desired.exports.count; i++) {
			assert_in_range(desired.exports.items[i].parked.count, 0, LIMIT_EPOCHS_PARKED);
			parked += desired.exports.items[i].parked.count;
		}
	}
	assert_int_equal(parked, 2 * LIMIT_EPOCHS_PARKED); /* one export for each copy of the slot's leg */
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_not_used),
		cmocka_unit_test(test_few_are_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
