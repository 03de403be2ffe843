/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that come back by bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/health.h"
#include "agent/list.h"
#include "agent/superblock.h"
#include "tests/unit/test_agent_rig.h"

#define RAID "dnvme-raid-v1.l0.g0"

struct fixture {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
	struct health_memory memory;
};

/* What cn1 is told: member `index` of the first group. */
static struct desired_member *member_of(struct desired *desired, size_t index)
{
	return &desired->volumes.items[0].legs.items[0].groups.items[0].members.items[index];
}

static void member_set(struct desired *desired, size_t index, enum ld_state state, uint64_t since_ms, bool resync)
{
	struct desired_member *member = member_of(desired, index);

	member->state = state;
	member->since_ms = since_ms;
	member->resync = resync;
	member->unlabelled = state == LD_STATE_REBUILDING && !resync;
}

static struct desired desired_make(struct fixture *f, enum ld_state state, uint64_t since_ms, bool resync)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);

	member_set(&desired, 1, state, since_ms, resync);
	return desired;
}

/* A group that runs with all its members. */
static struct fixture *open(unsigned copies)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct desired desired;
	struct error error = { 0 };

	assert_non_null(f);
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	f->volume = rig_volume_default();
	f->volume.controllers = f->volume.legs = 1;
	f->volume.top_wanted = false;
	f->volume.copies = f->volume.disks = copies;
	f->volume.format = true;
	desired = desired_make(f, LD_STATE_IN_SYNC, 0, false);
	rig_converge(&f->agent, &desired);
	f->volume.format = false;
	buffer_clear(&f->agent.log);
	kernel_sim_rebuild_hold(f->agent.kernel, true);
	return f;
}

static void close(struct fixture *f)
{
	health_memory_free(&f->memory);
	rig_agent_free(&f->agent);
	arena_free(&f->arena);
	free(f);
}

static const char *log_take(struct fixture *f)
{
	const char *text;

	assert_int_equal(buffer_append(&f->agent.log, "", 1), 0);
	text = arena_strdup(&f->arena, (const char *)f->agent.log.data);
	buffer_clear(&f->agent.log);
	return text;
}

static void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static struct observed observe(struct fixture *f)
{
	struct observed observed;
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < f->agent.labels.count; i++)
		*LIST_PUSH(&f->arena, &observed.labels) = f->agent.labels.items[i];
	return observed;
}

static enum member_health health_of(struct fixture *f, const struct desired *desired, size_t index)
{
	struct observed observed = observe(f);
	struct volume_health_list list;
	struct target target;
	struct error error = { 0 };

	assert_int_equal(target_build(desired, &f->arena, &target, &error), 0);
	assert_int_equal(health_make(desired, &target, &observed, &f->memory, 1000, &f->arena, &list, &error), 0);
	return list.items[0].members.items[index].health;
}

static const struct observed_dm *raid_of(const struct observed *observed)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (strcmp(observed->dms.items[i].name, RAID) == 0)
			return &observed->dms.items[i];
	}
	return NULL;
}

static void superblock_get(struct fixture *f, const char *device, uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->block_read(f->agent.kernel, device, 0, block,
								 SUPERBLOCK_BLOCK_BYTES, &error),
			 0);
}

static void superblock_set(struct fixture *f, const char *device, const uint8_t block[SUPERBLOCK_BLOCK_BYTES])
{
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, device, 0, block,
								  SUPERBLOCK_BLOCK_BYTES, &error),
			 0);
}

static void test_back_by_bitmap(void **state)
{
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	struct error error;
	const char *log;

	(void)state;
	rig_converge(&f->agent, &desired);
	log_take(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	rig_golden("member_returns", log_take(f));
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_REBUILDING);
	/* Until the kernel wrote that it is complete, its superblock does not say so, whatever it said before. */
	superblock_get(f, "dnvme-raidmeta-ld2", block);
	assert_false(superblock_is_complete(block));
	rig_agent_restart(&f->agent);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_lacks(log, "reload");
	assert_lacks(log, "write");
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, RAID, 145408, &error), 0);
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_REBUILDING);
	rig_converge(&f->agent, &desired);
	assert_contains(log_take(f), "complete as dnvme-raidmeta-ld2");
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_IN_SYNC);
	desired = desired_make(f, LD_STATE_IN_SYNC, 6, false);
	rig_converge(&f->agent, &desired);
	assert_lacks(log_take(f), "reload");
	close(f);
}

/* The bits of what was not copied yet are kept, so it goes on where it was. */
static void test_interrupted(void **state)
{
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	const char *log;

	(void)state;
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_STALE, 6, false);
	rig_converge(&f->agent, &desired);
	log_take(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 7, true);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "back by bitmap dnvme-raidmeta-ld2");
	assert_lacks(log, "rebuild 1");
	/* And when the leader says that all of it is to be copied, it begins anew. */
	desired = desired_make(f, LD_STATE_REBUILDING, 8, false);
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_ABSENT);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, " - -\n");
	assert_contains(log, "after clearing dnvme-raidmeta-ld2  0 145408 raid raid1 5 0 rebuild 1 ");
	close(f);
}

/* Lost and back before this agent heard of it: it never left the group, which then does not know what it missed. */
static void test_never_left(void **state)
{
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	const char *log, *dropped, *back;

	(void)state;
	rig_agent_restart(&f->agent);
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_REBUILDING);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	dropped = strstr(log, " - -\n");
	back = strstr(log, "back by bitmap");
	assert_non_null(dropped);
	assert_non_null(back);
	assert_true(dropped < back);
	/* One that is in the group by a rebuild leaves it, too. */
	desired = desired_make(f, LD_STATE_REBUILDING, 6, false);
	rig_converge(&f->agent, &desired);
	assert_contains(log_take(f), "rebuild 1 ");
	desired = desired_make(f, LD_STATE_REBUILDING, 6, true);
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_ABSENT);
	close(f);
}

/* The one in sync does not remember: the group goes on as it is, and never takes the other one for anything. */
static void test_forgotten(void **state)
{
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	struct observed observed;

	(void)state;
	rig_converge(&f->agent, &desired);
	superblock_make(block, true);
	superblock_set(f, "dnvme-raidmeta-ld1", block);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	for (f->agent.error.code = 0; f->agent.error.code == 0;)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_FAILED_PRECONDITION);
	assert_contains(f->agent.error.message, "what member 1 missed is not known: dnvme-raidmeta-ld1 does not say");
	observed = observe(f);
	assert_false(raid_of(&observed)->suspended);
	assert_contains(raid_of(&observed)->targets.items[0].params, " - -");
	assert_int_equal(health_of(f, &desired, 1), MEMBER_HEALTH_ABSENT);
	/* Told that all of it is to be copied. */
	desired = desired_make(f, LD_STATE_STALE, 6, false);
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 7, false);
	rig_converge(&f->agent, &desired);
	assert_contains(log_take(f), "raid1 5 0 rebuild 1 ");
	close(f);
}

struct order {
	bool suspended, refuse;
	size_t reloads;
};

/* Whatever is written to the members' superblocks, or changed in their table, is read by the load. */
static int order_check(void *data, const char *operation, const char *name, struct error *error)
{
	struct order *order = data;

	if (strcmp(name, RAID) != 0)
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
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	struct order order = { .refuse = true };
	struct observed observed;

	(void)state;
	kernel_sim_fault_set(f->agent.kernel, order_check, &order);
	while (order.reloads == 0)
		assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_FAILED_PRECONDITION);
	/* It goes on with the table that it had. */
	observed = observe(f);
	assert_false(raid_of(&observed)->suspended);
	assert_null(strstr(raid_of(&observed)->targets.items[0].params, " - -"));
	order.refuse = false;
	rig_converge(&f->agent, &desired);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, true);
	rig_converge(&f->agent, &desired);
	assert_int_equal(order.reloads, 3);
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
	close(f);
}

/* Until nothing is left to do; something may be waited for. */
static void waves(struct fixture *f, const struct desired *desired)
{
	while (rig_wave(&f->agent, desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
}

static uint64_t drained_of(struct fixture *f, const struct desired *desired, size_t index)
{
	struct observed observed = observe(f);
	struct volume_health_list list;
	struct target target;
	struct error error = { 0 };

	assert_int_equal(target_build(desired, &f->arena, &target, &error), 0);
	assert_int_equal(health_make(desired, &target, &observed, &f->memory, 1000, &f->arena, &list, &error), 0);
	return list.items[0].members.items[index].drained;
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
	struct fixture *f = open(2);
	struct desired desired = desired_make(f, LD_STATE_IN_SYNC, 0, false);
	struct desired_leg *leg = &desired.volumes.items[0].legs.items[0];
	struct error error;
	const char *log;

	(void)state;
	assert_int_equal(drained_of(f, &desired, 0), 0);
	leg->drain = 50;
	kernel_sim_fault_set(f->agent.kernel, refuse_thindata, NULL);
	assert_true(rig_wave(&f->agent, &desired) > 0);
	assert_int_equal(f->agent.error.code, ERROR_INTERNAL);
	f->agent.error.code = 0;
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
	assert_int_equal(drained_of(f, &desired, 0), 0);
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "dm      drain      dnvme-thinmeta-v1.l0  for 50\n");
	assert_contains(log, "dm      drain      dnvme-thindata-v1.l0  for 50\n");
	assert_int_equal(drained_of(f, &desired, 0), 50);
	assert_int_equal(drained_of(f, &desired, 1), 50);
	leg->drain = 0;
	rig_converge(&f->agent, &desired);
	leg->drain = 50;
	rig_converge(&f->agent, &desired);
	assert_lacks(log_take(f), "drain");
	/* Not while a path is frozen: what waits for it would hold up all else. */
	leg->drain = 60;
	assert_int_equal(
		kernel_sim_import_set(f->agent.kernel, member_of(&desired, 1)->nqn, "connecting", "optimized", &error),
		0);
	waves(f, &desired);
	assert_lacks(log_take(f), "drain");
	assert_int_equal(drained_of(f, &desired, 0), 50);
	assert_int_equal(
		kernel_sim_import_set(f->agent.kernel, member_of(&desired, 1)->nqn, "live", "optimized", &error), 0);
	rig_converge(&f->agent, &desired);
	assert_int_equal(drained_of(f, &desired, 0), 60);
	/* Only of a member of which the group says that it is in sync, while it copies nothing. */
	assert_int_equal(kernel_sim_member_fail(f->agent.kernel, RAID, 1, &error), 0);
	assert_int_equal(drained_of(f, &desired, 0), 60);
	assert_int_equal(drained_of(f, &desired, 1), 0);
	desired = desired_make(f, LD_STATE_STALE, 4, false);
	desired.volumes.items[0].legs.items[0].drain = 60;
	rig_converge(&f->agent, &desired);
	assert_int_equal(drained_of(f, &desired, 0), 60);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, false);
	desired.volumes.items[0].legs.items[0].drain = 60;
	rig_converge(&f->agent, &desired);
	assert_int_equal(drained_of(f, &desired, 0), 0);
	close(f);
}

/* With a `rebuild` in the table the kernel would copy all of the other one, too. */
static void test_before_a_rebuild(void **state)
{
	struct fixture *f = open(3);
	struct desired desired = desired_make(f, LD_STATE_STALE, 4, false);
	struct error error;
	const char *log;

	(void)state;
	member_set(&desired, 2, LD_STATE_STALE, 4, false);
	rig_converge(&f->agent, &desired);
	log_take(f);
	desired = desired_make(f, LD_STATE_REBUILDING, 5, false);
	member_set(&desired, 2, LD_STATE_REBUILDING, 5, true);
	waves(f, &desired);
	log = log_take(f);
	assert_contains(log, "back by bitmap dnvme-raidmeta-ld3");
	assert_lacks(log, "rebuild 1 ");
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, RAID, 145408, &error), 0);
	waves(f, &desired);
	assert_int_equal(health_of(f, &desired, 2), MEMBER_HEALTH_IN_SYNC);
	assert_lacks(log_take(f), "rebuild 1 ");
	member_set(&desired, 2, LD_STATE_IN_SYNC, 6, false);
	rig_converge(&f->agent, &desired);
	assert_contains(log_take(f), "rebuild 1 ");
	close(f);
}

static void test_superblock(void **state)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], bitmap[SUPERBLOCK_BLOCK_BYTES], good[2][SUPERBLOCK_BLOCK_BYTES];
	static const struct {
		int of; /* 0: the superblock, 1: the bitmap */
		size_t at;
		uint8_t value;
		const char *reason;
	} cases[] = { { 0, 32, 0, "is not complete itself" },	  { 0, 24, 1, "does not say that it failed" },
		      { 0, 16, 9, "bitmap that is out of date" }, { 1, 0, 0, "has no bitmap" },
		      { 1, 24, 7, "bitmap that is out of date" }, { 1, 48, 2, "bitmap that is out of date" },
		      { 1, 48, 4, "bitmap that is out of date" }, { 1, 32, 8, "may have cleared bits" },
		      { 1, 32, 9, "may have cleared bits" } };
	struct error error;

	(void)state;
	superblock_make_degraded(good[0], good[1], 1 << 1);
	assert_int_equal(superblock_check(good[0], "one", &error), 0);
	assert_int_equal(superblock_remembers(good[0], good[1], 1, "one", &error), 0);
	assert_int_equal(superblock_remembers(good[0], good[1], 2, "one", &error), ERROR_FAILED_PRECONDITION);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(block, good[0], sizeof(block));
		memcpy(bitmap, good[1], sizeof(bitmap));
		(cases[i].of == 0 ? block : bitmap)[cases[i].at] = cases[i].value;
		assert_int_equal(superblock_remembers(block, bitmap, 1, "one", &error), ERROR_FAILED_PRECONDITION);
		assert_contains(error.message, cases[i].reason);
	}
	/* Behind, and never the freshest. */
	memcpy(block, good[0], sizeof(block));
	superblock_request_recovery(block);
	assert_false(superblock_is_complete(block));
	assert_int_equal(superblock_check(block, "one", &error), 0);
	for (size_t i = 0; i < sizeof(block); i++)
		assert_int_equal(block[i], (i >= 16 && i < 24) || (i >= 32 && i < 40) ? 0 : good[0][i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back_by_bitmap), cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_never_left),     cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_drain),	       cmocka_unit_test(test_before_a_rebuild),
		cmocka_unit_test(test_superblock),     cmocka_unit_test(test_suspended_before_the_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
