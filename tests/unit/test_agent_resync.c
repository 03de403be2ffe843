/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that come back by bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/superblock.h"
#include "tests/unit/test_agent_mirror_rig.h"
#include "tests/unit/test_text.h"

static void member_set(struct desired *desired, size_t index, enum ld_state state, uint64_t since_ms, bool resync)
{
	struct desired_member *member = mirror_member(desired, index);

	member->state = state;
	member->since_ms = since_ms;
	member->resync = resync;
	member->unlabelled = state == LD_STATE_REBUILDING && !resync;
}

static struct desired desired_make(struct mirror *f, enum ld_state state, uint64_t since_ms, bool resync)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);

	member_set(&desired, 1, state, since_ms, resync);
	return desired;
}

/* A group that runs with all its members. */
static struct mirror *open_running(unsigned copies)
{
	struct mirror *f = mirror_open(copies);

	mirror_format(f);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	return f;
}

static const struct observed_dm *raid_of(const struct observed *observed)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (strcmp(observed->dms.items[i].name, MIRROR) == 0)
			return &observed->dms.items[i];
	}
	return NULL;
}

static void superblock_get(struct mirror *f, const char *device, uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->block_read(f->agent.kernel, device, 0, block,
								 SUPERBLOCK_BLOCK_BYTES, &error),
			 0);
}

static void superblock_set(struct mirror *f, const char *device, const uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, device, 0, block,
								  SUPERBLOCK_BLOCK_BYTES, &error),
			 0);
}

static void test_back_by_bitmap(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];

	(void)state;
	rig_converge(&f->agent, &desired);
	mirror_log(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	rig_golden("member_returns", mirror_log(f));
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	/* Until the kernel wrote that it is complete, its superblock does not say so, whatever it said before. */
	superblock_get(f, "dnvme-raidmeta-ld2", block);
	assert_false(superblock_is_complete(block));
	mirror_complete(f, &desired);
	assert_contains(mirror_log(f), "complete as dnvme-raidmeta-ld2");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_IN_SYNC);
	desired = desired_make(f, LD_STATE_IN_SYNC, 6, false);
	rig_converge(&f->agent, &desired);
	assert_lacks(mirror_log(f), "reload");
	mirror_close(f);
}

/* The bits of what was not copied yet are kept, so it goes on where it was. */
static void test_interrupted(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	const char *log;

	(void)state;
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_STALE, 6, false);
	rig_converge(&f->agent, &desired);
	mirror_log(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 7, true);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "back by bitmap dnvme-raidmeta-ld2");
	assert_lacks(log, "rebuild 1");
	/* And when the leader says that all of it is to be copied, it begins anew. */
	desired = desired_make(f, LD_STATE_REBUILDING, 8, false);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, " - -\n");
	assert_contains(log, "after clearing dnvme-raidmeta-ld2  0 145408 raid raid1 5 0 rebuild 1 ");
	mirror_close(f);
}

/* Lost and back before this agent heard of it: it never left the group, which then does not know what it missed. */
static void test_never_left(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	const char *log, *dropped, *back;

	(void)state;
	rig_agent_restart(&f->agent);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_REBUILDING);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	dropped = strstr(log, " - -\n");
	back = strstr(log, "back by bitmap");
	assert_non_null(dropped);
	assert_non_null(back);
	assert_true(dropped < back);
	/* One that is in the group by a rebuild leaves it, too. */
	desired = desired_make(f, LD_STATE_REBUILDING, 6, false);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "rebuild 1 ");
	desired = desired_make(f, LD_STATE_REBUILDING, 6, true);
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	mirror_close(f);
}

/* The one in sync does not remember: the group goes on as it is, and never takes the other one for anything. */
static void test_forgotten(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	struct observed observed;

	(void)state;
	rig_converge(&f->agent, &desired);
	superblock_make(block, 0, true);
	superblock_set(f, "dnvme-raidmeta-ld1", block);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	for (f->agent.error.code = 0; f->agent.error.code == 0;)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_FAILED_PRECONDITION);
	assert_contains(f->agent.error.message, "what member 1 missed is not known: dnvme-raidmeta-ld1 does not say");
	observed = mirror_observe(f);
	assert_false(raid_of(&observed)->suspended);
	assert_contains(raid_of(&observed)->targets.items[0].params, " - -");
	assert_int_equal(mirror_member_status(f, &desired, 1).health, MEMBER_HEALTH_ABSENT);
	/* Told that all of it is to be copied. */
	desired = desired_make(f, LD_STATE_STALE, 6, false);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 7, false);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "raid1 5 0 rebuild 1 ");
	mirror_close(f);
}

struct order {
	bool suspended, refuse;
	size_t reloads;
};

/* Whatever is written to the members' superblocks, or changed in their table, is read by the load. */
static int order_check(void *data, const char *operation, const char *name, struct error *error)
{
	struct order *order = data;

	if (strcmp(name, MIRROR) != 0)
		return 0;
	if (strcmp(operation, "dm_suspend") == 0)
		order->suspended = true;
	if (strcmp(operation, "dm_reload") != 0)
		return 0;
	assert_true(order->suspended);
	order->suspended = false;
	order->reloads++;
	return order->refuse ? error_set(error, ERROR_FAILED_PRECONDITION, "the table is refused") : 0;
}

/* A member that fails a write after the load would be forgotten by the new table. */
static void test_suspended_before_the_load(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	struct order order = { .refuse = true };
	struct observed observed;

	(void)state;
	kernel_sim_fault_set(f->agent.kernel, order_check, &order);
	while (order.reloads == 0)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_FAILED_PRECONDITION);
	/* It goes on with the table that it had. */
	observed = mirror_observe(f);
	assert_false(raid_of(&observed)->suspended);
	assert_null(strstr(raid_of(&observed)->targets.items[0].params, " - -"));
	order.refuse = false;
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	assert_int_equal(order.reloads, 3);
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
	mirror_close(f);
}

/* Until nothing is left to do; something may be waited for. */
static void waves(struct mirror *f, const struct desired *desired)
{
	while (rig_wave(&f->agent, desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
}

/* One of the two through which a leg's I/O goes cannot be drained. */
static int refuse_thindata(void *data, const char *operation, const char *name, struct error *error)
{
	(void)data;
	return strcmp(operation, "dm_drain") == 0 && strstr(name, "thindata") != NULL
		       ? error_set(error, ERROR_INTERNAL, "it does not end")
		       : 0;
}

/* All that is under way ends, once for each time that it is asked for; then what the groups are is told with it. */
static void test_drain(void **state)
{
	struct mirror *f = open_running(2);
	struct desired desired = desired_make(f, LD_STATE_IN_SYNC, 0, false);
	struct desired_leg *leg = &desired.volumes.items[0].legs.items[0];
	struct error error;
	const char *log;

	(void)state;
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 0);
	leg->drain = 50;
	kernel_sim_fault_set(f->agent.kernel, refuse_thindata, NULL);
	assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_INTERNAL);
	f->agent.error.code = 0;
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 0);
	rig_converge(&f->agent, &desired);
	log = mirror_log(f);
	assert_contains(log, "dm      drain      dnvme-thinmeta-v1.l0  for 50\n");
	assert_contains(log, "dm      drain      dnvme-thindata-v1.l0  for 50\n");
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 50);
	assert_int_equal(mirror_member_status(f, &desired, 1).drained, 50);
	leg->drain = 0;
	rig_converge(&f->agent, &desired);
	leg->drain = 50;
	rig_converge(&f->agent, &desired);
	assert_lacks(mirror_log(f), "drain");
	/* Not while a path is frozen: what waits for it would hold up all else. */
	leg->drain = 60;
	assert_int_equal(kernel_sim_import_set(f->agent.kernel, mirror_member(&desired, 1)->nqn, "connecting",
					       "optimized", &error),
			 0);
	waves(f, &desired);
	assert_lacks(mirror_log(f), "drain");
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 50);
	assert_int_equal(
		kernel_sim_import_set(f->agent.kernel, mirror_member(&desired, 1)->nqn, "live", "optimized", &error),
		0);
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 60);
	/* Only of a member of which the group says that it is in sync, while it copies nothing. */
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, MIRROR, 1, &error), 0);
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 60);
	assert_int_equal(mirror_member_status(f, &desired, 1).drained, 0);
	desired = desired_make(f, LD_STATE_STALE, 4, false);
	desired.volumes.items[0].legs.items[0].drain = 60;
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 60);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, false);
	desired.volumes.items[0].legs.items[0].drain = 60;
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 0).drained, 0);
	mirror_close(f);
}

/* With a `rebuild` in the table the kernel would copy all of the other one, too. */
static void test_before_a_rebuild(void **state)
{
	struct mirror *f = open_running(3);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	struct error error;
	const char *log;

	(void)state;
	member_set(&desired, 2, LD_STATE_STALE, 4, false);
	rig_converge(&f->agent, &desired);
	mirror_log(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, false);
	member_set(&desired, 2, LD_STATE_REBUILDING, 5, true);
	waves(f, &desired);
	log = mirror_log(f);
	assert_contains(log, "back by bitmap dnvme-raidmeta-ld3");
	assert_lacks(log, "rebuild 1 ");
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, MIRROR, 145408, &error), 0);
	waves(f, &desired);
	assert_int_equal(mirror_member_status(f, &desired, 2).health, MEMBER_HEALTH_IN_SYNC);
	assert_lacks(mirror_log(f), "rebuild 1 ");
	member_set(&desired, 2, LD_STATE_IN_SYNC, 6, false);
	rig_converge(&f->agent, &desired);
	assert_contains(mirror_log(f), "rebuild 1 ");
	mirror_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back_by_bitmap),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_never_left),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_suspended_before_the_load),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_before_a_rebuild),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
