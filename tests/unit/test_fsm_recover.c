/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The majority was lost for good: what the state may say wrongly is fenced and held, and no number comes again. */
#include "tests/unit/test_fsm_rig.h"

#include <stdlib.h>

#define STEP (UINT64_C(1) << 20)
#define REVISION_STEP (UINT64_C(1) << 40)

static const struct rig_shape plain = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };

static struct outcome recover(struct rig *rig)
{
	struct command_cluster_recover recover = { .server = 1, .by = "me" };

	return rig_apply(rig, (struct command){ .cluster_recover = &recover });
}

static struct outcome release(struct rig *rig, uint64_t id, uint64_t revision)
{
	struct command_volume_release release = { .id = id, .revision = revision };

	return rig_apply(rig, (struct command){ .volume_release = &release });
}

static struct cluster cluster_of(struct rig *rig)
{
	struct cluster cluster;
	struct error error;

	assert_int_equal(fsm_cluster_get(rig->fsm, &rig->arena, &cluster, &error), 0);
	return cluster;
}

static void test_servers(void **state)
{
	struct command_server_add add = { .name = "b", .raft_address = "10.1.0.2:1", .api_address = "10.1.0.2:2" };
	struct command_cluster_recover other = { .server = 77 };
	struct cluster cluster;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	rig_do(&rig, (struct command){ .server_add = &add });
	rig_refused(rig_apply(&rig, (struct command){ .cluster_recover = &other }), ERROR_FAILED_PRECONDITION,
		    "there is no server s77");
	assert_true(cluster_of(&rig).servers.count > 1);
	assert_null(cluster_of(&rig).recovered);
	assert_int_equal(recover(&rig).code, 0);
	cluster = cluster_of(&rig);
	assert_int_equal(cluster.servers.count, 1);
	assert_int_equal(cluster.servers.items[0].id, 1);
	assert_non_null(cluster.recovered);
	assert_string_equal(cluster.recovered->by, "me");
	assert_string_equal(cluster.recovered->lost.items[cluster.recovered->lost.count - 1], "b");
	/* A number that the others may have given out is never given out again. */
	add.name = "c";
	assert_true(strtoull(rig_do(&rig, (struct command){ .server_add = &add }).id + 1, NULL, 10) > 100);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_numbers(void **state)
{
	uint64_t revision, disk, volume;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 10 * GIB);
	rig_advance_until(&rig, rig_create(&rig, &plain), VOLUME_PHASE_ONLINE);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(recover(&rig).code, 0);
	assert_true(fsm_revision(rig.fsm) > revision + REVISION_STEP);
	/* What an agent confirmed of the lost entries is of an older revision than anything now. */
	assert_true(rig_volume(&rig, 1).revision > revision + REVISION_STEP);
	disk = rig_disk(&rig, "n1", "/dev/new", 10 * GIB);
	assert_true(disk > STEP);
	volume = rig_create(
		&rig, &(struct rig_shape){ .name = "b", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 });
	assert_true(volume > STEP);
	assert_true(rig_volume(&rig, volume).legs.items[0].groups.items[0].members.items[0].id > STEP);
	assert_null(rig_volume(&rig, volume).hold);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_held(void **state)
{
	struct command_volume_release none = { .id = 999, .revision = 1 };
	uint64_t id, epoch[2];
	struct volume volume;
	struct rig rig;

	(void)state;
	id = rig_open_pair(&rig, 5);
	volume = rig_volume(&rig, id);
	epoch[0] = volume.slots.items[0].epoch;
	epoch[1] = volume.slots.items[1].epoch;
	assert_int_equal(recover(&rig).code, 0);
	rig_check(&rig);
	volume = rig_volume(&rig, id);
	assert_non_null(volume.hold);
	for (size_t i = 0; i < 2; i++) {
		const struct slot *slot = &volume.slots.items[i];

		assert_int_equal(slot->phase, SLOT_PHASE_FENCING);
		assert_true(slot->epoch > epoch[i] + STEP);
		assert_int_equal(slot->reason, MOVE_REASON_RECOVERED);
		/* What its holder has of before is parked, as when it begins anew. */
		assert_int_equal(slot->earliest, epoch[i]);
	}
	/* Nothing is done with it, whoever leads. */
	rig_refused(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING), ERROR_FAILED_PRECONDITION, "is held");
	rig_refused(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER), ERROR_FAILED_PRECONDITION, "is held");
	rig_refused(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST), ERROR_FAILED_PRECONDITION, "is held");
	rig_refused(rig_apply(&rig, (struct command){ .volume_release = &none }), ERROR_NOT_FOUND, "v999");
	rig_refused(release(&rig, id, volume.revision - 1), ERROR_CONFLICT, "was looked at");
	assert_int_equal(release(&rig, id, volume.revision).code, 0);
	assert_int_equal(release(&rig, id, volume.revision).code, 0);
	assert_null(rig_volume(&rig, id).hold);
	rig_slot_serve(&rig, id, 0);
	rig_slot_serve(&rig, id, 1);
	rig_check(&rig);
	rig_close(&rig);
}

/* One that was not online may have been formatted and used since. */
static void test_unfinished(void **state)
{
	static const enum volume_phase phases[] = { VOLUME_PHASE_PLACED, VOLUME_PHASE_ASSEMBLING,
						    VOLUME_PHASE_EXPORTING };

	(void)state;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct volume volume;
		struct rig rig;
		uint64_t id;

		rig_open(&rig);
		rig_rack(&rig, 4, 1, 10 * GIB);
		id = rig_create(&rig, &plain);
		if (phases[i] != VOLUME_PHASE_PLACED)
			rig_advance_until(&rig, id, phases[i]);
		assert_int_equal(recover(&rig).code, 0);
		rig_check(&rig);
		volume = rig_volume(&rig, id);
		assert_int_equal(volume.phase, VOLUME_PHASE_PLACED);
		assert_true(volume.slots.items[0].epoch > STEP);
		rig_refused(rig_advance(&rig, id, VOLUME_PHASE_ASSEMBLING), ERROR_FAILED_PRECONDITION, "is held");
		rig_refused(release(&rig, id, volume.revision), ERROR_FAILED_PRECONDITION, "was not online");
		assert_int_equal(rig_delete(&rig, "a").code, 0);
		assert_null(rig_volume(&rig, id).hold);
		rig_check(&rig);
		rig_close(&rig);
	}
}

/* What was on its way out goes on; what is held can be deleted. */
static void test_deleted(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 1, 10 * GIB);
	id = rig_create(&rig, &plain);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	assert_int_equal(rig_delete(&rig, "a").code, 0);
	assert_int_equal(recover(&rig).code, 0);
	assert_null(rig_volume(&rig, id).hold);
	assert_int_equal(rig_advance(&rig, id, VOLUME_PHASE_DISMANTLING).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),	   cmocka_unit_test(test_numbers), cmocka_unit_test(test_held),
		cmocka_unit_test(test_unfinished), cmocka_unit_test(test_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
