/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state is that of a backup: numbers go far beyond, volumes and disks are held, and what may be in use stays. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>
#include <string.h>

#define STEPS UINT64_C(2000)
#define STEP (UINT64_C(1) << 20)

static const struct rig_shape plain = { .name = "b", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };

static struct outcome restore(struct rig *rig, uint64_t server, uint64_t steps)
{
	struct restored restored = {
		.backup_ms = 1234, .steps = steps, .raft_address = "10.9.0.1:1", .api_address = "10.9.0.1:2"
	};
	struct command_cluster_recover recover = { .server = server, .restored = &restored };

	return rig_apply(rig, (struct command){ .cluster_recover = &recover });
}

static struct outcome release(struct rig *rig, uint64_t id)
{
	struct command_volume_release release = { .id = id, .revision = rig_volume(rig, id).revision };

	return rig_apply(rig, (struct command){ .volume_release = &release });
}

static struct outcome disk_release(struct rig *rig, const char *disk)
{
	struct command_disk_release release = { .disks = { 1, &disk } };

	return rig_apply(rig, (struct command){ .disk_release = &release });
}

static struct disk disk_of(struct rig *rig, uint64_t id)
{
	struct disk disk;
	struct error error;

	assert_int_equal(fsm_disk_get(rig->fsm, id, &rig->arena, &disk, &error), 0);
	return disk;
}

static struct cluster cluster_of(struct rig *rig)
{
	struct cluster cluster;
	struct error error;

	assert_int_equal(fsm_cluster_get(rig->fsm, &rig->arena, &cluster, &error), 0);
	return cluster;
}

/* One that nobody knew, or one in the place of one that was. */
static void test_server(void **state)
{
	static const uint64_t numbers[] = { 1, 5000 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct cluster cluster;
		struct rig rig;

		rig_open(&rig);
		rig_cluster(&rig);
		assert_int_equal(restore(&rig, numbers[i], STEPS).code, 0);
		cluster = cluster_of(&rig);
		assert_int_equal(cluster.servers.count, 1);
		assert_int_equal(cluster.servers.items[0].id, numbers[i]);
		assert_string_equal(cluster.servers.items[0].raft_address, "10.9.0.1:1");
		assert_string_equal(cluster.servers.items[0].api_address, "10.9.0.1:2");
		assert_true(cluster.next_server > numbers[i] + STEPS);
		assert_int_equal(cluster.recovered->backup_ms, 1234);
		rig_check(&rig);
		rig_close(&rig);
	}
}

/* Another restore of the same backup, a second later, is beyond all that came of the first one and a recovery of it. */
static void test_numbers(void **state)
{
	uint64_t revision[2], volume[2], epoch[2], thin[2], server[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct command_cluster_recover recover = { .server = 1 };
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 5);

		assert_int_equal(restore(&rig, 1, STEPS + 100 * i).code, 0);
		if (i == 0)
			assert_int_equal(rig_apply(&rig, (struct command){ .cluster_recover = &recover }).code, 0);
		revision[i] = fsm_revision(rig.fsm);
		epoch[i] = rig_volume(&rig, id).slots.items[0].epoch;
		thin[i] = rig_volume(&rig, id).last_thin;
		server[i] = cluster_of(&rig).next_server;
		for (unsigned disk = 1; disk <= 5; disk++) {
			char name[8];

			snprintf(name, sizeof(name), "d%u", disk);
			assert_int_equal(disk_release(&rig, name).code, 0);
		}
		volume[i] = rig_create(&rig, &plain);
		rig_check(&rig);
		rig_compare_replay(&rig);
		rig_compare_dump(&rig);
		rig_close(&rig);
	}
	assert_true(epoch[0] > STEPS * STEP && volume[0] > STEPS * STEP);
	assert_true(thin[0] > 16 * 4096);
	assert_true(revision[1] > revision[0] + (UINT64_C(1) << 36));
	assert_true(epoch[1] > epoch[0] + STEP && volume[1] > volume[0] + STEP);
	assert_true(server[1] > STEPS && server[0] > STEPS);
}

static void test_no_numbers_left(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	rig_refused(restore(&rig, UINT32_MAX - 10, STEPS), ERROR_FAILED_PRECONDITION, "no numbers left");
	/* One restore reaches it, however old its backup is; the next one would wrap around. */
	assert_int_equal(restore(&rig, 1, LIMIT_RESTORE_STEPS).code, 0);
	assert_int_equal(rig_disk_add(&rig, "n1", "/dev/x", GIB).code, ERROR_NOT_FOUND);
	rig_refused(restore(&rig, 1, STEPS), ERROR_FAILED_PRECONDITION, "no revisions left");
	rig_check(&rig);
	rig_close(&rig);
}

/* Nothing is placed where something may lie that the state does not know. */
static void test_disks(void **state)
{
	struct command_volume_create create;
	struct command_disk_remove remove = { 5 };
	uint64_t id, added, free;
	struct error error;
	struct rig rig;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig.stock = stock_make();
	rig_stock_check(&rig);
	assert_false(disk_of(&rig, 1).held);
	assert_int_equal(rig_plan(&rig, &plain, &create, &error), 0);
	assert_int_equal(restore(&rig, 1, STEPS).code, 0);
	for (uint64_t disk = 1; disk <= 5; disk++)
		assert_true(disk_of(&rig, disk).held);
	rig_stock_check(&rig);
	stock_free(rig.stock);
	rig.stock = NULL;
	free = rig_extents_free(&rig);
	/* Who plans knows, and the state goes by itself. */
	rig_refused(rig_apply(&rig, (struct command){ .volume_create = &create }), ERROR_FAILED_PRECONDITION,
		    "is held since a restore");
	assert_int_equal(rig_plan(&rig, &plain, &create, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.details, "n1 has only disks that are held since a restore"));
	/* It may be one that the backup does not know, and may come back as one. */
	added = rig_disk(&rig, "n1", "/dev/more", 10 * GIB);
	assert_true(disk_of(&rig, added).held);
	rig_refused(rig_apply(&rig, (struct command){ .disk_remove = &remove }), ERROR_FAILED_PRECONDITION,
		    "d5 is held");
	/* That it may be used again for other reasons does not matter. */
	assert_int_equal(rig_disk_drain(&rig, "d5", true).code, 0);
	assert_int_equal(rig_disk_drain(&rig, "d5", false).code, 0);
	assert_true(disk_of(&rig, 5).held);
	rig_refused(disk_release(&rig, "d99"), ERROR_NOT_FOUND, "d99");
	rig_refused(disk_release(&rig, "x"), ERROR_INVALID_ARGUMENT, "not the id of a disk");
	/* What is deleted goes, and its room stays where it is. */
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_destroy(&rig, id);
	assert_true(rig_extents_free(&rig) > free);
	assert_int_equal(rig_plan(&rig, &plain, &create, &error), ERROR_NO_CAPACITY);
	assert_int_equal(disk_release(&rig, "d1").code, 0);
	assert_int_equal(disk_release(&rig, "d1").code, 0);
	assert_int_equal(disk_release(&rig, "d2").code, 0);
	assert_false(disk_of(&rig, 1).held);
	assert_int_equal(rig_plan(&rig, &plain, &create, &error), 0);
	rig_create(&rig, &plain);
	rig_check(&rig);
	rig_close(&rig);
}

/* A rebuild looks at no label: it would copy over whatever lies there now. */
static void test_rebuild(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(restore(&rig, 1, STEPS).code, 0);
	assert_int_equal(rig_volume(&rig, id).hold->backup_ms, 1234);
	assert_int_equal(release(&rig, id).code, 0);
	rig_slot_serve(&rig, id, 0);
	rig_slot_serve(&rig, id, 1);
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_FAILED_PRECONDITION, "its disk d2 is held");
	rig_refused(rig_replace(&rig, id, 0, 2, 5), ERROR_FAILED_PRECONDITION, "d5 is held");
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).state, LD_STATE_STALE);
	assert_int_equal(disk_release(&rig, "d2").code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

/* It would be formatted anew, and may be in use. */
static void test_job(void **state)
{
	struct command_cluster_recover recover = { .server = 1 };
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(rig_extend(&rig, id, 2 * rig_pair.size_bytes).code, 0);
	assert_int_equal(restore(&rig, 1, STEPS).code, 0);
	/* Nor does it help to lose the majority once more. */
	assert_int_equal(rig_apply(&rig, (struct command){ .cluster_recover = &recover }).code, 0);
	assert_true(disk_of(&rig, 1).held);
	rig_refused(release(&rig, id), ERROR_FAILED_PRECONDITION, "j1 worked on it when the backup was made");
	assert_non_null(rig_volume(&rig, id).hold);
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server), cmocka_unit_test(test_numbers), cmocka_unit_test(test_no_numbers_left),
		cmocka_unit_test(test_disks),  cmocka_unit_test(test_rebuild), cmocka_unit_test(test_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
