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

static void no_legs(struct volume *volume)
{
	volume->legs.count = 0;
}

static void too_few_legs(struct volume *volume)
{
	volume->legs.count--;
}

static void active_behind_the_slots(struct volume *volume)
{
	retired(volume)->role = CONTROLLER_ROLE_ACTIVE;
}

static void store_record(struct rig *rig, enum store_table table, uint8_t id, const struct schema *schema,
			 const void *record)
{
	const uint8_t key[8] = { 0, 0, 0, 0, 0, 0, 0, id };
	struct buffer value = BUFFER_INIT;
	struct store_txn *txn;

	assert_int_equal(codec_encode(schema, record, CODEC_TAGGED, &value, NULL), 0);
	assert_int_equal(store_txn_begin(rig->store, true, &txn, NULL), 0);
	assert_int_equal(store_put(txn, table, (struct bytes){ key, 8 }, buffer_bytes(&value), NULL), 0);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	buffer_free(&value);
}

static void store_volume(struct rig *rig, const struct volume *volume)
{
	assert_int_equal(volume->id, 1);
	store_record(rig, STORE_TABLE_VOLUME, 1, schema_volume(), volume);
}

static void test_is_not_used(void **state)
{
	void (*const damages[])(struct volume * volume) = {
		leg_of_no_slot,		 leaving_of_no_slot, retired_of_no_slot, active_of_no_slot, active_that_retired,
		held_by_nobody,		 no_controllers,     no_slots,		 no_legs,	    too_few_legs,
		active_behind_the_slots,
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

/* Under the key of another one. */
static void test_is_another_one(void **state)
{
	struct volume volume, found;
	struct operation operation;
	struct error error;
	struct rig rig;

	(void)state;
	volume = volume_make(&rig);
	store_record(&rig, STORE_TABLE_VOLUME, 2, schema_volume(), &volume);
	assert_int_equal(fsm_volume_get(rig.fsm, 2, &rig.arena, &found, &error), ERROR_INTERNAL);
	assert_string_equal(error.message, "the record of v2 is damaged: it is another one's");
	assert_string_equal(rig_extend(&rig, 1, 2 * volume.size_bytes).id, "j1");
	assert_int_equal(fsm_operation_get(rig.fsm, 1, &rig.arena, &operation, &error), 0);
	store_record(&rig, STORE_TABLE_JOB, 2, schema_operation(), &operation);
	assert_int_equal(fsm_operation_get(rig.fsm, 2, &rig.arena, &operation, &error), ERROR_INTERNAL);
	assert_string_equal(error.message, "the record of j2 is damaged: it is another one's");
	rig_close(&rig);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

static int advance(struct rig *rig, enum operation_phase from, enum operation_phase to, struct error *error)
{
	struct command_job_advance advance = { 1, from, to, rig_volume(rig, 1).revision };
	struct command command = { .job_advance = &advance };
	struct buffer bytes = BUFFER_INIT;
	struct bytes entry;
	int result;

	assert_int_equal(codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, NULL), 0);
	entry = buffer_bytes(&bytes);
	error_clear(error);
	result = fsm_apply(rig->fsm, fsm_applied_index(rig->fsm) + 1, &entry, 1, NULL, error);
	buffer_free(&bytes);
	return result;
}

static void without_parameters(struct operation *operation, struct volume *volume)
{
	(void)volume;
	operation->extend = NULL;
}

static void of_another_kind(struct operation *operation, struct volume *volume)
{
	(void)volume;
	operation->kind = JOB_KIND_SNAPSHOT;
}

static void of_no_kind(struct operation *operation, struct volume *volume)
{
	(void)volume;
	operation->kind = JOB_KIND_FAILOVER;
	operation->extend = NULL;
}

static void of_another_volume(struct operation *operation, struct volume *volume)
{
	(void)operation;
	volume->operation = 0;
}

static void without_its_snapshot(struct operation *operation, struct volume *volume)
{
	static struct operation_snapshot parameters = { .name = "s1", .pause_limit_ms = LIMIT_PAUSE_MS_DEFAULT };

	(void)volume;
	operation->kind = JOB_KIND_SNAPSHOT;
	operation->extend = NULL;
	operation->snapshot = &parameters;
}

static void in_a_phase_of_another_kind(struct operation *operation, struct volume *volume)
{
	(void)volume;
	operation->phase = OPERATION_PHASE_SNAPPING;
}

/* Neither is it used, nor is the entry of the log taken that would change it. */
static void test_job_is_not_used(void **state)
{
	static const struct {
		void (*damage)(struct operation *operation, struct volume *volume);
		const char *sentence;
	} damages[] = {
		{ without_parameters, "the record of j1 is damaged: its parameters are of another kind" },
		{ of_another_kind, "the record of j1 is damaged: its parameters are of another kind" },
		{ of_no_kind, "the record of j1 is damaged: its parameters are of another kind" },
		{ of_another_volume,
		  "the records of j1 and v1 are damaged: what the job does, the volume does not say" },
		{ in_a_phase_of_another_kind,
		  "the records of j1 and v1 are damaged: what the job does, the volume does not say" },
		{ without_its_snapshot,
		  "the records of j1 and v1 are damaged: what the job does, the volume does not say" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct operation_list operations;
		struct operation operation;
		struct volume volume;
		struct error error;
		struct rig rig;
		bool more;

		assert_int_equal(rig_open_pair(&rig, NODES), 1);
		volume = rig_volume(&rig, 1);
		assert_int_equal(rig_extend(&rig, 1, 2 * volume.size_bytes).code, 0);
		assert_int_equal(advance(&rig, OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING, &error), 0);
		assert_int_equal(fsm_operation_get(rig.fsm, 1, &rig.arena, &operation, &error), 0);
		assert_int_equal(operation.phase, OPERATION_PHASE_FORMATTING);
		volume = rig_volume(&rig, 1);
		damages[i].damage(&operation, &volume);
		store_record(&rig, STORE_TABLE_JOB, 1, schema_operation(), &operation);
		store_volume(&rig, &volume);
		assert_int_equal(advance(&rig, OPERATION_PHASE_FORMATTING, OPERATION_PHASE_JOINING, &error),
				 ERROR_INTERNAL);
		assert_non_null(strstr(error.message, damages[i].sentence));
		/* What is wrong with the record alone, is wrong wherever it is read. */
		assert_int_equal(fsm_operation_list(rig.fsm, 0, 0, &rig.arena, &operations, &more, &error),
				 strstr(damages[i].sentence, "parameters") != NULL ? ERROR_INTERNAL : 0);
		rig_close(&rig);
	}
}

/* A job made more LDs than one may. */
static void test_many_lds_leave(void **state)
{
	struct operation operation;
	struct volume volume;
	struct error error;
	struct group *groups;
	struct ld members[4];
	struct rig rig;
	struct leg *leg;

	(void)state;
	assert_int_equal(rig_open_pair(&rig, NODES), 1);
	volume = rig_volume(&rig, 1);
	assert_int_equal(rig_extend(&rig, 1, 2 * volume.size_bytes).code, 0);
	volume = rig_volume(&rig, 1);
	for (size_t l = 0; l < volume.legs.count; l++) {
		leg = &volume.legs.items[l];
		groups = arena_alloc_array(&rig.arena, LIMIT_GROUPS_PER_LEG, sizeof(*groups));
		assert_non_null(groups);
		for (size_t m = 0; m < sizeof(members) / sizeof(members[0]); m++)
			members[m] = leg->groups.items[leg->groups.count - 1].members.items[m % 2];
		for (size_t g = 0; g < LIMIT_GROUPS_PER_LEG; g++) {
			groups[g] = leg->groups.items[g < leg->groups.count ? g : leg->groups.count - 1];
			if (g >= leg->groups.count)
				groups[g].members = (struct ld_list){ sizeof(members) / sizeof(members[0]), members };
		}
		leg->groups = (struct group_list){ LIMIT_GROUPS_PER_LEG, groups };
	}
	store_volume(&rig, &volume);
	assert_int_equal(fsm_operation_get(rig.fsm, 1, &rig.arena, &operation, &error), 0);
	operation.phase = OPERATION_PHASE_UNDOING;
	store_record(&rig, STORE_TABLE_JOB, 1, schema_operation(), &operation);
	assert_int_equal(advance(&rig, OPERATION_PHASE_UNDOING, OPERATION_PHASE_RELEASING, &error), 0);
	volume = rig_volume(&rig, 1);
	assert_true(volume.leaving.count > LIMIT_EXTEND_LDS);
	rig_close(&rig);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* What a retired controller is said to have left behind is no number of exports that anybody could have. */
static size_t parked_count(uint64_t earliest, uint64_t last)
{
	struct desired desired;
	struct volume volume;
	struct error error;
	struct rig rig;
	size_t parked = 0;

	volume = volume_make(&rig);
	volume.slots.items[0].epoch = UINT64_MAX;
	retired(&volume)->epoch = last;
	retired(&volume)->earliest = earliest;
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
	rig_close(&rig);
	return parked;
}

/* One export for each copy of the slot's leg. */
static void test_few_are_parked(void **state)
{
	(void)state;
	assert_int_equal(parked_count(1, UINT64_MAX - 1), 2 * LIMIT_EPOCHS_PARKED);
	assert_int_equal(parked_count(UINT64_MAX, UINT64_MAX), 2);
	assert_int_equal(parked_count(7, 6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_not_used),	cmocka_unit_test(test_is_another_one),
		cmocka_unit_test(test_job_is_not_used), cmocka_unit_test(test_many_lds_leave),
		cmocka_unit_test(test_few_are_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
