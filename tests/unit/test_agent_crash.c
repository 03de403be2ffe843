/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A crash behind every single kernel call of a format and a teardown: of the agent alone, or of the whole machine.
 * Whatever is there then, the next agent comes to the same end; and once all labels said "formatted", nothing is
 * cleared any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/test_agent_rig.h"

/* Two local legs of two copies, one with two groups' worth of labels: enough for every order of events. */
static const struct rig_volume volume = { .controllers = 2,
					  .legs = 2,
					  .copies = 2,
					  .groups = 2,
					  .disks = 2,
					  .leg_bytes = UINT64_C(64) << 20,
					  .format = true,
					  .legs_wanted = true,
					  .top_wanted = true,
					  .host_count = 1 };

struct crash {
	long calls_left; /* negative: never */
	unsigned labels_written, labels_total;
	unsigned cleared_after; /* regions that were cleared although every label was written */
};

static int on_call(void *data, const char *operation, const char *name, struct error *error)
{
	struct crash *crash = data;

	if (strcmp(operation, "observe") == 0)
		return 0;
	if (crash->calls_left == 0)
		return error_set(error, ERROR_CANCELLED, "crashed");
	if (crash->calls_left > 0)
		crash->calls_left--;
	if (strcmp(operation, "block_write") == 0 && strncmp(name, "dnvme-label-", strlen("dnvme-label-")) == 0)
		crash->labels_written++;
	if (strcmp(operation, "block_zero") == 0 && crash->labels_written >= crash->labels_total)
		crash->cleared_after++;
	return 0;
}

static void waves_until_crash(struct rig_agent *agent, const struct desired *desired)
{
	agent->power_lost = true;
	while (rig_wave(agent, desired) > 0 && agent->error.code == 0)
		;
	agent->power_lost = false;
}

/* Returns whether the crash happened, so that the caller can go on to a later one. */
static bool crash_and_recover(long calls, bool machine, bool teardown)
{
	struct rig_agent agent = { 0 };
	struct arena arena = ARENA_INIT;
	struct desired desired = rig_desired_controller(&arena, &volume, 1),
		       nothing = rig_desired_nothing(&arena, "cn1");
	struct crash crash = { .calls_left = -1, .labels_total = 8 };
	struct error error = { 0 };
	struct observed observed;
	bool crashed;

	assert_int_equal(kernel_sim_open(NULL, &agent.kernel, &error), 0);
	kernel_sim_fault_set(agent.kernel, on_call, &crash);
	if (teardown)
		rig_converge(&agent, &desired);
	crash.calls_left = calls;
	waves_until_crash(&agent, teardown ? &nothing : &desired);
	crashed = crash.calls_left == 0;
	crash.calls_left = -1;
	rig_agent_restart(&agent);
	if (machine)
		assert_int_equal(kernel_sim_reboot(agent.kernel, &error), 0);
	/* A wipe counts from here on only if every label was there. */
	rig_converge(&agent, &desired);
	assert_int_equal(crash.cleared_after, 0);
	/* A machine that lost its power once more finds all as it was. */
	rig_agent_restart(&agent);
	assert_int_equal(kernel_sim_reboot(agent.kernel, &error), 0);
	rig_converge(&agent, &desired);
	assert_int_equal(crash.cleared_after, 0);
	rig_converge(&agent, &nothing);
	assert_int_equal(agent.kernel->operations->observe(agent.kernel, &arena, &observed, &error), 0);
	assert_int_equal(observed.dms.count + observed.subsystems.count + observed.ports.count + observed.hosts.count +
				 observed.imports.count,
			 0);
	rig_agent_free(&agent);
	arena_free(&arena);
	return crashed;
}

static void crash_everywhere(bool machine, bool teardown)
{
	long calls = 0;

	while (crash_and_recover(calls, machine, teardown))
		calls++;
	/* It was a long way, and the loop above saw each step of it. */
	assert_true(calls > 40);
}

static void test_agent_dies_in_format(void **state)
{
	(void)state;
	crash_everywhere(false, false);
}

static void test_machine_dies_in_format(void **state)
{
	(void)state;
	crash_everywhere(true, false);
}

static void test_agent_dies_in_teardown(void **state)
{
	(void)state;
	crash_everywhere(false, true);
}

static void test_machine_dies_in_teardown(void **state)
{
	(void)state;
	crash_everywhere(true, true);
}

/* A member is rebuilt, and everything ends in the middle of it. */
static bool crash_in_rebuild(long calls, bool machine)
{
	static const struct rig_volume one = { .controllers = 1,
					       .legs = 1,
					       .copies = 2,
					       .groups = 1,
					       .disks = 2,
					       .leg_bytes = UINT64_C(64) << 20,
					       .legs_wanted = true };
	struct rig_agent agent = { 0 };
	struct arena arena = ARENA_INIT;
	struct rig_volume volume_new = one;
	struct desired desired;
	struct desired_member *member;
	struct crash crash = { .calls_left = -1, .labels_total = 2 };
	struct error error = { 0 };
	bool crashed;
	char *text;

	volume_new.format = true;
	assert_int_equal(kernel_sim_open(NULL, &agent.kernel, &error), 0);
	kernel_sim_fault_set(agent.kernel, on_call, &crash);
	desired = rig_desired_controller(&arena, &volume_new, 1);
	rig_converge(&agent, &desired);
	desired = rig_desired_controller(&arena, &one, 1);
	member = &desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1];
	member->state = LD_STATE_STALE;
	rig_converge(&agent, &desired);
	member->state = LD_STATE_REBUILDING;
	member->since_ms = 5;
	crash.calls_left = calls;
	waves_until_crash(&agent, &desired);
	crashed = crash.calls_left == 0;
	crash.calls_left = -1;
	rig_agent_restart(&agent);
	if (machine)
		assert_int_equal(kernel_sim_reboot(agent.kernel, &error), 0);
	rig_converge(&agent, &desired);
	/* It is part of the group now, and nothing is left to do. */
	member->state = LD_STATE_IN_SYNC;
	member->since_ms = 6;
	text = rig_plan_text(&agent, &desired);
	assert_string_equal(text, "");
	free(text);
	/* And is assembled by whoever comes next. */
	rig_agent_restart(&agent);
	assert_int_equal(kernel_sim_reboot(agent.kernel, &error), 0);
	rig_converge(&agent, &desired);
	rig_agent_free(&agent);
	arena_free(&arena);
	return crashed;
}

static void test_agent_dies_in_rebuild(void **state)
{
	long calls = 0;

	(void)state;
	while (crash_in_rebuild(calls, false))
		calls++;
	assert_true(calls > 8);
}

static void test_machine_dies_in_rebuild(void **state)
{
	long calls = 0;

	(void)state;
	while (crash_in_rebuild(calls, true))
		calls++;
	assert_true(calls > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agent_dies_in_format),   cmocka_unit_test(test_machine_dies_in_format),
		cmocka_unit_test(test_agent_dies_in_teardown), cmocka_unit_test(test_machine_dies_in_teardown),
		cmocka_unit_test(test_agent_dies_in_rebuild),  cmocka_unit_test(test_machine_dies_in_rebuild),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
