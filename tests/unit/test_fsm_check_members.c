/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit's canaries in what a volume says of its members: each is made behind the state machine's back, and found.
 */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>

#include "lib/wire/codec.h"

/* v1 is online, its one leg has two copies, ld1 and ld2. */
static void make(struct rig *rig)
{
	struct rig_shape shape = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };

	rig_open(rig);
	rig_rack(rig, 4, 1, 10 * GIB);
	rig_create(rig, &shape);
	rig_advance_until(rig, 1, VOLUME_PHASE_ONLINE);
	rig_check(rig);
}

static struct ld *first(struct volume *volume)
{
	return &volume->legs.items[0].groups.items[0].members.items[0];
}

static void remains(struct volume *volume)
{
	first(volume)->whole = true;
}

static void excused_while_stale(struct volume *volume)
{
	static struct failed_reads reads = { .boot_id = { 1 }, .reads = 1, .last_us = 1 };

	first(volume)->failed_reads = &reads;
	first(volume)->state = LD_STATE_STALE;
	first(volume)->stale_reason = STALE_REASON_MEDIUM;
}

static void drained_for_nothing(struct volume *volume)
{
	first(volume)->drain = 1;
}

static void doubtful_while_served(struct volume *volume)
{
	first(volume)->doubtful = true;
}

static void withheld_of_two(struct volume *volume)
{
	first(volume)->withheld = true;
}

static void pending_in_sync(struct volume *volume)
{
	first(volume)->pending = true;
}

static void forced_while_served(struct volume *volume)
{
	first(volume)->forced = true;
}

static void moves_of_nobody(struct volume *volume)
{
	first(volume)->moves = 9;
}

static void one_copy_less(struct volume *volume)
{
	volume->legs.items[0].groups.items[0].members.count = 1;
}

static void group_of_no_job(struct volume *volume)
{
	volume->legs.items[0].groups.items[0].state = GROUP_STATE_FORMATTING;
}

static void job_of_nobody(struct volume *volume)
{
	volume->operation = 5;
}

static void revision_ahead(struct volume *volume)
{
	volume->revision += 1000;
}

static void damage(struct rig *rig, void (*make_wrong)(struct volume *volume))
{
	static const uint8_t id[8] = { 0, 0, 0, 0, 0, 0, 0, 1 };
	struct bytes key = { id, sizeof(id) }, value;
	struct buffer wrong = BUFFER_INIT;
	struct store_txn *txn = NULL;
	struct volume volume;
	struct error error;

	assert_int_equal(store_txn_begin(rig->store, true, &txn, &error), 0);
	assert_int_equal(store_get(txn, STORE_TABLE_VOLUME, key, &value, &error), 0);
	assert_int_equal(codec_decode(schema_volume(), value, &rig->arena, &volume, &error), 0);
	make_wrong(&volume);
	assert_int_equal(codec_encode(schema_volume(), &volume, CODEC_TAGGED, &wrong, &error), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_VOLUME, key, buffer_bytes(&wrong), &error), 0);
	assert_int_equal(store_txn_commit(txn, &error), 0);
	buffer_free(&wrong);
}

static void test_members(void **state)
{
	static const struct {
		void (*make_wrong)(struct volume *volume);
		const char *words;
	} cases[] = {
		{ remains, "ld1 is in-sync and marked as what is left of a copy" },
		{ excused_while_stale, "ld1 is stale, and what it failed to read is excused" },
		{ drained_for_nothing, "what ld1 failed to read is asked for, but it failed nothing" },
		{ doubtful_while_served, "ld1 of v1 is doubtful, but it is in-sync, or its slot is not fenced" },
		{ withheld_of_two, "ld1 of v1 is withheld, but it is in-sync, or not the last one" },
		{ pending_in_sync, "ld1 of v1 is pending, but it is in-sync" },
		{ forced_while_served, "ld1 of v1 is taken by force, but it is in-sync, or its slot is not fenced" },
		{ moves_of_nobody, "ld1 of v1 takes the place of ld9, which does not leave" },
		{ moves_of_nobody, "has 1 members that take the place of another one" },
		{ one_copy_less, "group 0 of leg 0 of v1 has 1 members" },
		{ group_of_no_job, "group 0 of leg 0 of v1 is not part of it, and no job works on it" },
		{ job_of_nobody, "job j5 of v1 is not there" },
		{ revision_ahead, "v1 has a revision of the future" },
	};
	struct error error;
	struct rig rig;

	(void)state;
	make(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer dump = BUFFER_INIT;
		int result;

		assert_int_equal(fsm_dump(rig.fsm, &dump, &error), 0);
		damage(&rig, cases[i].make_wrong);
		result = fsm_check(rig.fsm, &error);
		if (result != ERROR_FAILED_PRECONDITION || strstr(error.details, cases[i].words) == NULL)
			fail_msg("case %zu, \"%s\": %d %s\n%s", i, cases[i].words, result, error.message,
				 error.details);
		assert_int_equal(store_load(rig.store, buffer_bytes(&dump), &error), 0);
		rig_check(&rig);
		buffer_free(&dump);
	}
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_members) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
