/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The move of slot 0, with a crash of the agent behind every single kernel call of each node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/test_agent_fence_rig.h"

static int on_call(void *data, const char *operation, const char *name, struct error *error)
{
	long *calls_left = data;

	(void)name;
	if (strcmp(operation, "observe") == 0 || *calls_left < 0)
		return 0;
	if (*calls_left == 0)
		return error_set(error, ERROR_CANCELLED, "crashed");
	*calls_left -= 1;
	return 0;
}

typedef struct desired (*scene_maker)(struct fence *f);

static struct desired scene_disk_node(struct fence *f)
{
	fence_disk(f);
	f->volume.moved_to = 3;
	return rig_desired_disk(&f->arena, &f->volume, 1);
}

static struct desired scene_other_holder(struct fence *f)
{
	fence_holder(f, 2);
	f->volume.moved_to = 3;
	return rig_desired_controller(&f->arena, &f->volume, 2);
}

static struct desired scene_old_holder(struct fence *f)
{
	fence_holder(f, 1);
	fence_imports(f, "live", "inaccessible");
	return rig_desired_nothing(&f->arena, "cn1");
}

static struct desired scene_begins_anew(struct fence *f)
{
	fence_holder(f, 1);
	fence_imports(f, "live", "inaccessible");
	f->volume.moved_to = 1;
	f->volume.may_not_serve = true;
	f->volume.format = true;
	return rig_desired_controller(&f->arena, &f->volume, 1);
}

/* Returns whether the crash happened. */
static bool crash_and_recover(scene_maker scene, long calls)
{
	long calls_left = -1;
	struct fence f;
	struct desired desired;
	bool crashed;

	fence_begin(&f);
	kernel_sim_fault_set(f.agent.kernel, on_call, &calls_left);
	desired = scene(&f);
	calls_left = calls;
	f.agent.power_lost = true;
	while (rig_wave(&f.agent, &desired) > 0 && f.agent.error.code == 0)
		;
	f.agent.power_lost = false;
	crashed = calls_left == 0;
	calls_left = -1;
	rig_agent_restart(&f.agent);
	rig_converge(&f.agent, &desired);
	fence_end(&f);
	return crashed;
}

static void crash_everywhere(scene_maker scene, long at_least)
{
	long calls = 0;

	while (crash_and_recover(scene, calls))
		calls++;
	assert_true(calls > at_least);
}

static void test_agent_dies_fencing(void **state)
{
	(void)state;
	crash_everywhere(scene_disk_node, 15);
	crash_everywhere(scene_other_holder, 10);
}

static void test_agent_dies_taking_down(void **state)
{
	(void)state;
	crash_everywhere(scene_old_holder, 30);
	crash_everywhere(scene_begins_anew, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agent_dies_fencing),
		cmocka_unit_test(test_agent_dies_taking_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
