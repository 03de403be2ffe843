/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an agent says of a volume that is on its way out, and whose legs stay until all controllers have let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/owner.h"
#include "agent/status.h"
#include "tests/unit/test_agent_mirror_rig.h"
#include "tests/unit/test_text.h"

static struct object_status status_with(struct mirror *f, const struct desired *desired,
					const struct status_lane_list *lanes)
{
	struct plan plan = rig_plan(&f->agent, desired, &f->arena);
	struct observed observed = mirror_observe(f);
	struct object_status_list list;
	struct error error = { 0 };

	assert_int_equal(status_make(desired, &observed, &plan, lanes, &f->arena, &list, &error), 0);
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].kind == OBJECT_KIND_VOLUME)
			return list.items[i];
	}
	fail_msg("nothing is said of the volume");
	return (struct object_status){ 0 };
}

static struct object_status status_of(struct mirror *f, const struct desired *desired)
{
	return status_with(f, desired, &(struct status_lane_list){ 0 });
}

static void import_set(struct mirror *f, const char *nqn, const char *state)
{
	struct error error = { 0 };

	assert_int_equal(kernel_sim_import_set(f->agent.kernel, nqn, state, "optimized", &error), 0);
}

/* Waves until nothing changes any more. */
static void settle(struct mirror *f, const struct desired *desired)
{
	for (int i = 0; i < 20 && rig_wave(&f->agent, desired) > 0; i++)
		assert_int_equal(f->agent.error.code, 0);
}

/* One member is complete, and the leader does not call it in sync any more; another one waits for that. */
static void test_rebuild(void **state)
{
	struct mirror *f = *state;
	struct desired desired;

	f->volume.copies = f->volume.disks = 3;
	f->volume.top_wanted = true;
	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_STALE, 4);
	mirror_member(&desired, 2)->state = LD_STATE_STALE;
	rig_converge(&f->agent, &desired);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	mirror_member(&desired, 2)->state = LD_STATE_STALE;
	rig_converge(&f->agent, &desired);
	desired = mirror_desired(f, LD_STATE_REBUILDING, 5);
	mirror_member(&desired, 2)->state = LD_STATE_REBUILDING;
	mirror_member(&desired, 2)->since_ms = 6;
	settle(f, &desired);
	assert_contains(mirror_plan(f, &desired), "a rebuild in " MIRROR " waits for the one that is going on");
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_PENDING);

	desired.volumes.items[0].top_wanted = false;
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_PENDING); /* hosts have it still */
	settle(f, &desired);
	assert_contains(mirror_plan(f, &desired), "a rebuild in " MIRROR " waits for the one that is going on");
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_CONVERGED);
	/* While it is created a leg that is not there counts. */
	desired.volumes.items[0].unused = true;
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_PENDING);
}

/* No path to any copy: what is above goes on waiting, out of reach of all hosts. */
static void test_frozen(void **state)
{
	struct mirror *f = *state;
	struct desired desired;

	f->volume.top_wanted = true;
	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	rig_converge(&f->agent, &desired);
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_CONVERGED);
	import_set(f, MIRROR_IMPORT_2, "connecting");
	import_set(f, "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1", "connecting");
	desired.volumes.items[0].top_wanted = false;
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_PENDING);
	settle(f, &desired);
	assert_contains(mirror_log(f), "nvmet   unlink     nqn.2026-11.io.dnvme:" RIG_CLUSTER ":volume:v1");
	assert_contains(mirror_plan(f, &desired), "waits until the imports below it that do not answer are dropped");
	assert_int_equal(status_of(f, &desired).state, OBJECT_STATE_CONVERGED);
	/* All of it goes, then. */
	desired = rig_desired_nothing(&f->arena, "cn1");
	rig_converge(&f->agent, &desired);
	assert_int_equal(mirror_observe(f).dms.count, 0);
	assert_int_equal(mirror_observe(f).imports.count, 0);
}

/* What works on the export, or failed to, counts; what works on a leg does not. */
static void test_lanes(void **state)
{
	static const struct {
		const char *lane;
		bool counts;
	} lanes[] = { { "v1", true }, { "out v1", true }, { "v1.l0", false }, { "import d2.v1.s0", false } };
	struct mirror *f = *state;
	struct desired desired;

	mirror_format(f);
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
		struct status_lane lane = { .lane = lanes[i].lane, .owner = { .kind = OBJECT_KIND_VOLUME } };

		snprintf(lane.owner.id, sizeof(lane.owner.id), "v1");
		snprintf(lane.owner.lane, sizeof(lane.owner.lane), "%s", lanes[i].lane);
		lane.busy = true;
		assert_int_equal(status_with(f, &desired, &(struct status_lane_list){ 1, &lane }).state,
				 lanes[i].counts ? OBJECT_STATE_PENDING : OBJECT_STATE_CONVERGED);
		lane.busy = false;
		lane.failure = "it did not work";
		assert_int_equal(status_with(f, &desired, &(struct status_lane_list){ 1, &lane }).state,
				 lanes[i].counts ? OBJECT_STATE_FAILED : OBJECT_STATE_CONVERGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rebuild, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_frozen, mirror_setup, mirror_teardown),
		cmocka_unit_test_setup_teardown(test_lanes, mirror_setup, mirror_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
