/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Disk Node whose disk has a volatile write cache: nothing of it is exported before the cache is off, or known to
 * stay on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/test_agent_fence_rig.h"
#include "tests/unit/test_text.h"

static struct kernel *kernel_of;

/* Whatever is enabled over an LD: the cache must be off in that moment. */
static int watch(void *data, const char *operation, const char *name, struct error *error)
{
	bool *refuses = data;

	(void)name;
	if (strcmp(operation, "namespace_create") == 0)
		assert_false(kernel_sim_disk_is_volatile(kernel_of, 0));
	if (strcmp(operation, "cache_off") == 0 && *refuses)
		return error_set(error, ERROR_FAILED_PRECONDITION, "it stays on");
	return 0;
}

static void begin(struct fence *f, enum kernel_sim_cache cache, bool *refuses)
{
	fence_begin(f);
	kernel_of = f->agent.kernel;
	kernel_sim_disk_cache_set(f->agent.kernel, "/dev/vdb", cache);
	assert_int_equal(fence_observe(f).disks.items[0].minor, 0);
	if (refuses != NULL)
		kernel_sim_fault_set(f->agent.kernel, watch, refuses);
}

static void reboot(struct fence *f)
{
	struct error error = { 0 };

	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	rig_agent_restart(&f->agent);
}

static void waves(struct fence *f, const struct desired *desired)
{
	for (int i = 0; i < 8; i++)
		rig_wave(&f->agent, desired);
}

static void test_switched_off(void **state)
{
	struct desired desired;
	bool refuses = false;
	struct fence f;
	const char *log;

	(void)state;
	begin(&f, KERNEL_SIM_CACHE_SWITCHABLE, &refuses);
	assert_true(fence_observe(&f).disks.items[0].volatile_cache);
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	assert_order(log, "cache off  /dev/vdb", "nvmet   namespace");
	assert_false(fence_observe(&f).disks.items[0].volatile_cache);

	/* A new process has nothing to do; a power cut switches it on. */
	rig_agent_restart(&f.agent);
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "--\n");
	fence_labels_write(&f, &desired, 1, true);
	f.volume.formatted = true;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	reboot(&f);
	assert_true(fence_observe(&f).disks.items[0].volatile_cache);
	rig_converge(&f.agent, &desired);
	assert_order(fence_log(&f), "cache off  /dev/vdb", "nvmet   namespace");

	/* On again under what is exported: off it goes, and nothing else. */
	kernel_sim_disk_cache_set(f.agent.kernel, "/dev/vdb", KERNEL_SIM_CACHE_SWITCHABLE);
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "disk    cache off  /dev/vdb\n--\n--\n");
	fence_end(&f);
}

static void test_stays_on(void **state)
{
	struct object_status_list statuses;
	const struct object_status *status;
	struct desired desired;
	struct fence f;
	const char *log;

	(void)state;
	begin(&f, KERNEL_SIM_CACHE_FIXED, NULL);
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	waves(&f, &desired);
	log = fence_log(&f);
	assert_lacks(log, "cache off");
	assert_lacks(log, "nvmet   namespace");
	assert_lacks(log, "nvmet   link");
	assert_contains(log, "waits until the cluster knows that the volatile write cache of /dev/vdb stays on");
	statuses = fence_statuses(&f, &desired);
	status = fence_status_find(&statuses, OBJECT_KIND_EXPORT, "d1.v1.s0");
	assert_int_equal(status->state, OBJECT_STATE_PENDING);
	/* It knows. */
	desired.disks.items[0].volatile_cache = true;
	rig_converge(&f.agent, &desired);
	assert_contains(fence_log(&f), "nvmet   link");
	/* It believes what is not so any more: what is there stays. */
	desired.disks.items[0].volatile_cache = false;
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "--\n");
	fence_end(&f);
}

static void test_cannot_be_switched(void **state)
{
	struct desired desired;
	bool refuses = true;
	struct fence f;
	const char *log;

	(void)state;
	begin(&f, KERNEL_SIM_CACHE_SWITCHABLE, &refuses);
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_wave(&f.agent, &desired);
	assert_int_equal(f.agent.error.code, ERROR_FAILED_PRECONDITION);
	waves(&f, &desired);
	log = fence_log(&f);
	assert_lacks(log, "nvmet   link");
	assert_contains(log, "waits until the cluster knows that the volatile write cache of /dev/vdb stays on");
	assert_true(fence_observe(&f).disks.items[0].volatile_cache);
	assert_false(fence_observe(&f).disks.items[0].cache_switchable);
	/* The next boot brings another chance. */
	refuses = false;
	reboot(&f);
	rig_converge(&f.agent, &desired);
	assert_order(fence_log(&f), "cache off  /dev/vdb", "nvmet   namespace");
	fence_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_stays_on),
		cmocka_unit_test(test_cannot_be_switched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
