/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that runs out at every possible place of a command: the entry is then not applied at all (same index, same
 * digest, nobody is told), and applied again it gives what it would have given at once.
 */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/failing_alloc.h"

#define ATTEMPTS 20000u

/* Apply with the n-th allocation failing, n = 1, 2, …, until no allocation fails. */
static void apply_stubbornly(struct rig *rig, struct bytes command)
{
	uint8_t before[16], after[16];
	struct buffer output = BUFFER_INIT;
	struct error error;
	unsigned long n = 1;
	int result;

	rig_digest(rig, before);
	for (;; n++) {
		assert_true(n < ATTEMPTS);
		buffer_clear(&rig->changes);
		error_clear(&error);
		failing_alloc_arm(n);
		result = fsm_apply(rig->fsm, rig->index + 1, &command, 1, &output, &error);
		if (!failing_alloc_disarm())
			break;
		if (result == 0) {
			/* Memory that something could do without. */
			break;
		}
		assert_int_equal(error.code, result);
		assert_int_equal(output.size, 0);
		assert_int_equal(rig->changes.size, 0);
		assert_int_equal(fsm_applied_index(rig->fsm), rig->index);
		rig_digest(rig, after);
		assert_memory_equal(before, after, sizeof(before));
		buffer_free(&output); /* so that its growth fails again */
	}
	assert_int_equal(result, 0);
	assert_true(output.size > 0);
	rig->index++;
	buffer_free(&output);
}

/* All that becomes of volume 2 when things die, and a second disk of n1 that loses its cache. */
static void faults_apply(struct rig *rig)
{
	struct command_disk_add disk = { .node = "n1", .path = "/dev/v", .size_bytes = GIB, .volatile_cache = true };
	struct command_node_register boot = { .name = "n1", .address = "10.7.7.8", .port = 4420, .version = "2" };
	struct volume volume = rig_volume(rig, 2);
	const char *standby = volume.controllers.items[2].node, *holder = volume.slots.items[0].holder;
	struct ld ld = rig_member(rig, 2, 0, 0, 0), other = rig_member(rig, 2, 0, 0, 1);
	const char *name = arena_printf(&rig->arena, "ld%" PRIu64, ld.id);

	memset(boot.boot_id, 9, sizeof(boot.boot_id));
	rig_do(rig, (struct command){ .disk_add = &disk });
	assert_int_equal(rig_stale(rig, 2, 0, name, STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_rebuild(rig, 2, 0, ld.id, true).code, 0);
	assert_int_equal(rig_in_sync(rig, 2, 0, ld.id).code, 0);
	assert_int_equal(rig_drain(rig, 2, 0, ld.id, 1).code, 0);
	assert_int_equal(rig_excuse(rig, 2, 0, ld.id, rig_member(rig, 2, 0, 0, 0).drain).code, 0);
	assert_int_equal(rig_stale(rig, 2, 0, name, STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_force(rig, 2, 0, name).code, 0);
	rig_slot_serve(rig, 2, 0);
	assert_int_equal(rig_rebuild(rig, 2, 0, other.id, false).code, 0);
	assert_int_equal(rig_in_sync(rig, 2, 0, other.id).code, 0);
	assert_int_equal(rig_slot_move(rig, 2, 0, standby, MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_stale(rig, 2, 0, name, STALE_REASON_NOT_FENCED).code, 0);
	rig_slot_serve(rig, 2, 0);
	assert_int_equal(rig_replace(rig, 2, 0, ld.id, ld.disk).code, 0);
	assert_int_equal(rig_free_one(rig, 2, name).code, 0);
	assert_int_equal(rig_controller_drop(rig, 2, holder, 2).code, 0);
	assert_int_equal(rig_controller_add(rig, 2, holder).code, 0);
	assert_int_equal(rig_controller_retire(rig, 2, holder).code, 0);
	rig_do(rig, (struct command){ .node_register = &boot });
}

static void test_commands(void **state)
{
	struct rig_shape shape = { .name = "a",
				   .size_bytes = 3 * GIB,
				   .copies = 2,
				   .controllers = 2,
				   .standbys = 1,
				   .legs = 2,
				   .spread = SPREAD_RACK };
	struct command_node_register moved = { .name = "n1", .address = "10.7.7.7", .port = 4420, .version = "2" };
	struct command_node_forget forget = { .name = "n6" };
	struct command_node_cordon cordon = { .name = "n5", .cordoned = true },
				   away = { .name = "n6", .cordoned = true };
	struct command_disk_add disk = { .node = "n5", .path = "/dev/new", .size_bytes = GIB };
	struct command_disk_remove remove = { 5 };
	struct settings settings = { .rebuild_rate_bytes = 5 };
	struct command_cluster_set set = { &settings };
	struct command_server_add server = { .name = "b", .raft_address = "10.0.0.2:1", .api_address = "10.0.0.2:2" };
	struct command_server_remove no_server = { .id = 1 }, gone = { .id = 1, .gone = true };
	struct command_volume_create create;
	struct rig rig, victim;
	struct error error;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 20 * GIB);
	rig_node(&rig, "n6", "10.0.0.6", NULL);
	rig_do(&rig, (struct command){ .node_cordon = &away });
	rig_do(&rig, (struct command){ .disk_add = &disk });
	assert_int_equal(rig_plan(&rig, &shape, &create, &error), 0);
	rig_do(&rig,
	       (struct command){ .request_id = { (const uint8_t *)"0123456789abcdef", 16 }, .volume_create = &create });
	shape.name = "b";
	rig_create(&rig, &shape);
	rig_apply(&rig, (struct command){ .volume_create = &create }); /* refused: the name is taken */
	rig_attach(&rig, "a", "nqn.2014-08.org.x:h1");
	rig_attach(&rig, "a", "nqn.2014-08.org.x:h2");
	rig_detach(&rig, "a", "nqn.2014-08.org.x:h1");
	rig_do(&rig, (struct command){ .node_register = &moved });
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	rig_do(&rig, (struct command){ .node_forget = &forget });
	rig_apply(&rig, (struct command){ .disk_remove = &remove });
	rig_advance_until(&rig, 2, VOLUME_PHASE_ONLINE);
	rig_do(&rig, (struct command){ .cluster_set = &set });
	rig_do(&rig, (struct command){ .server_add = &server });
	rig_do(&rig, (struct command){ .server_remove = &no_server });
	rig_do(&rig, (struct command){ .server_remove = &gone });
	faults_apply(&rig);
	rig_destroy(&rig, 2);

	rig_open(&victim);
	for (size_t i = 0; i < rig.entry_count; i++)
		apply_stubbornly(&victim, buffer_bytes(&rig.entries[i].command));
	rig_check(&victim);
	uint8_t x[16], y[16];
	rig_digest(&rig, x);
	rig_digest(&victim, y);
	assert_memory_equal(x, y, sizeof(x));
	rig_close(&victim);
	rig_close(&rig);
}

/* All that becomes of snapshots: one is taken and deleted, others are tried again, disturbed, undone, forgotten. */
static void test_snapshots(void **state)
{
	uint8_t x[16], y[16];
	struct rig rig, victim;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	assert_int_equal(rig_snapshot(&rig, id, "one").code, 0);
	rig_job_until(&rig, 1, OPERATION_PHASE_SNAPPING);
	assert_int_equal(rig_snapshot_retry(&rig, 1, OPERATION_PHASE_SNAPPING, 1).code, 0);
	assert_int_equal(rig_thins_purge(&rig, id).code, 0);
	rig_job_until(&rig, 1, OPERATION_PHASE_SNAPPING);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_thins_purge(&rig, id).code, 0);
	rig_job_until(&rig, 1, OPERATION_PHASE_OVER);
	assert_int_equal(rig_snapshot(&rig, id, "two").code, 0);
	rig_job_until(&rig, 2, OPERATION_PHASE_RESUMING);
	assert_int_equal(rig_job_cancel(&rig, 2).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_RELEASING).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_OVER).code, 0);
	assert_int_equal(rig_snapshot(&rig, id, "two").code, 0);
	assert_int_equal(rig_job_forget(&rig, 3, rig_job(&rig, 3).revision).code, 0);
	assert_int_equal(rig_snapshot_delete(&rig, "db1", "one").code, 0);
	assert_int_equal(rig_snapshot(&rig, id, "two").code, 0);
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_open(&victim);
	for (size_t i = 0; i < rig.entry_count; i++)
		apply_stubbornly(&victim, buffer_bytes(&rig.entries[i].command));
	rig_check(&victim);
	rig_digest(&rig, x);
	rig_digest(&victim, y);
	assert_memory_equal(x, y, sizeof(x));
	rig_close(&victim);
	rig_close(&rig);
}

/* All that becomes of jobs: one is done, others are undone, forgotten, or go with their volume. */
static void test_jobs(void **state)
{
	uint8_t x[16], y[16];
	struct rig rig, victim;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	assert_int_equal(rig_extend(&rig, id, 2 * GIB).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_slot_serve(&rig, id, 0);
	for (int phase = OPERATION_PHASE_FORMATTING; phase <= OPERATION_PHASE_RESIZING; phase++)
		assert_int_equal(rig_job_advance(&rig, 1, (enum operation_phase)phase).code, 0);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
	assert_int_equal(rig_extend(&rig, id, 3 * GIB).code, 0);
	assert_int_equal(rig_job_cancel(&rig, 2).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_RELEASING).code, 0);
	assert_int_equal(rig_free(&rig, id, 4).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_OVER).code, 0);
	assert_int_equal(rig_job_forget(&rig, 2, 0).code, 0);
	assert_int_equal(rig_extend(&rig, id, 3 * GIB).code, 0);
	assert_int_equal(rig_job_fail(&rig, 3, OPERATION_PHASE_EXPORTING).code, 0);
	assert_int_equal(rig_job_forget(&rig, 3, rig_job(&rig, 3).revision).code, 0);
	assert_int_equal(rig_extend(&rig, id, 3 * GIB).code, 0);
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_open(&victim);
	for (size_t i = 0; i < rig.entry_count; i++)
		apply_stubbornly(&victim, buffer_bytes(&rig.entries[i].command));
	rig_check(&victim);
	rig_digest(&rig, x);
	rig_digest(&victim, y);
	assert_memory_equal(x, y, sizeof(x));
	rig_close(&victim);
	rig_close(&rig);
}

/* Reads leave their outputs alone when they fail. */
static void test_reads(void **state)
{
	struct rig_shape shape = {
		.name = "a", .size_bytes = 3 * GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 2
	};
	struct arena arena = ARENA_INIT;
	struct volume_list volumes;
	struct desired desired, untouched;
	struct host_list hosts;
	struct node_list nodes;
	struct disk_list disks;
	struct error error;
	struct rig rig;
	uint64_t *ids;
	size_t count;
	bool more;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 20 * GIB);
	for (const char *names[] = { "a", "b", "c" }, **name = names; name < names + 3; name++) {
		shape.name = *name;
		rig_create(&rig, &shape);
		rig_attach(&rig, *name, "nqn.2014-08.org.x:h1");
	}
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	assert_int_equal(
		rig_slot_move(&rig, 1, 0, rig_volume(&rig, 1).controllers.items[2].node, MOVE_REASON_DRAIN).code, 0);
	memset(&untouched, 0x5a, sizeof(untouched));
	for (unsigned read = 0; read < 10; read++) {
		int result = -1;

		for (unsigned long n = 1; result != 0; n++) {
			assert_true(n < ATTEMPTS);
			desired = untouched;
			error_clear(&error);
			failing_alloc_arm(n);
			switch (read) {
			case 0:
				result = fsm_project_node(rig.fsm, "n1", &arena, &desired, &error);
				break;
			case 1:
				result = fsm_project_volume(rig.fsm, "n1", 1, &arena, &desired, &error);
				break;
			case 2:
				result = fsm_node_list(rig.fsm, NULL, 0, &arena, &nodes, &more, &error);
				break;
			case 3:
				result = fsm_disk_list(rig.fsm, "n1", 0, 0, &arena, &disks, &more, &error);
				break;
			case 4:
				result = fsm_volume_list(rig.fsm, NULL, 0, &arena, &volumes, &more, &error);
				break;
			case 5:
				result = fsm_host_list(rig.fsm, NULL, NULL, 0, &arena, &hosts, &more, &error);
				break;
			case 6:
				result = fsm_transition_list(rig.fsm, 0, 0, &arena, &ids, &count, &error);
				break;
			case 8:
				result = fsm_node_volume_list(rig.fsm, "n1", 0, 0, &arena, &ids, &count, &error);
				break;
			case 7:
				result = fsm_check(rig.fsm, &error);
				break;
			default:
				result = fsm_disk_list(rig.fsm, NULL, 0, 0, &arena, &disks, &more, &error);
			}
			if (failing_alloc_disarm() && result != 0) {
				assert_int_equal(error.code, result);
				assert_int_not_equal(result, ERROR_NOT_FOUND);
				assert_int_not_equal(result, ERROR_FAILED_PRECONDITION);
				assert_memory_equal(&desired, &untouched, sizeof(desired));
			}
			arena_free(&arena);
		}
	}
	rig_close(&rig);
}

static void test_open(void **state)
{
	struct fsm *fsm = NULL;
	struct error error;
	struct rig rig;
	int result = -1;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	for (unsigned long n = 1; result != 0; n++) {
		assert_true(n < ATTEMPTS);
		failing_alloc_arm(n);
		result = fsm_open(rig.store, NULL, NULL, &fsm, &error);
		failing_alloc_disarm();
		assert_true((result == 0) == (fsm != NULL));
	}
	assert_int_equal(fsm_revision(fsm), 1);
	fsm_close(fsm);
	fsm_close(NULL);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands), cmocka_unit_test(test_jobs), cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_reads),	 cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
