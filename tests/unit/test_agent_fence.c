/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The move of slot 0 from cn1 to cn3 as each controller sees it, as golden texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/list.h"
#include "tests/unit/test_agent_fence_rig.h"
#include "tests/unit/test_text.h"

static void assert_empty(struct fence *f)
{
	struct observed observed = fence_observe(f);

	assert_int_equal(observed.dms.count + observed.subsystems.count + observed.ports.count + observed.hosts.count +
				 observed.imports.count,
			 0);
}

/* --- the other holder --- */

static void test_other_holder(void **state)
{
	struct desired desired;
	struct fence f;
	const char *log;

	(void)state;
	fence_begin(&f);
	fence_holder(&f, 2);
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	rig_golden("fence_other_holder", log);
	assert_order(log, "reject     new", "unlink     " FENCE_NQN ":leg:v1.s1.cn1");
	assert_order(log, "disable    " FENCE_NQN ":leg:v1.s1.cn1 4", "namespace  " FENCE_NQN ":leg:v1.s1.cn1 3");
	/* The new holder serves: its path first, then the old one, which nobody answers. */
	f.volume.address_is_old = false;
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.1", "connecting", "optimized");
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_remote_leg_moves", fence_log(&f));
	fence_end(&f);
}

/* The holder itself waits for a Disk Node: what the consumer wrote may still come down. */
static void test_consumer_over_a_lost_path(void **state)
{
	struct desired desired;
	struct fence f;
	char *plan;

	(void)state;
	fence_begin(&f);
	fence_holder(&f, 2);
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":slot:d1.v1.s1:e1", "10.0.1.1", "connecting", "");
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	while (rig_wave(&f.agent, &desired) > 0)
		assert_int_equal(f.agent.error.code, 0);
	rig_golden("fence_consumer_over_a_lost_path", fence_log(&f));
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":slot:d1.v1.s1:e1", "10.0.1.1", "live", "optimized");
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	fence_end(&f);
}

/* A consumer that may not connect anew keeps the connection that it has. */
static void test_consumer_closed(void **state)
{
	struct desired_consumer *consumer;
	struct desired desired;
	struct fence f;
	char *plan;

	(void)state;
	fence_begin(&f);
	desired = fence_holder(&f, 2);
	consumer = &desired.volumes.items[0].consumers.items[0];
	consumer->admitted = false;
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvmet   deny       " FENCE_NQN ":leg:v1.s1.cn1  " FENCE_NQN ":node:cn1");
	assert_lacks(plan, "unlink");
	free(plan);
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	consumer->admitted = true;
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvmet   allow      " FENCE_NQN ":leg:v1.s1.cn1  " FENCE_NQN ":node:cn1");
	assert_lacks(plan, "unlink");
	free(plan);
	rig_converge(&f.agent, &desired);
	consumer->admitted = false;
	rig_converge(&f.agent, &desired);
	/* Fenced: it may come in again, to what is inaccessible. */
	consumer->parked = true;
	plan = rig_plan_text(&f.agent, &desired);
	assert_order(plan, "nvmet   unlink     " FENCE_NQN ":leg:v1.s1.cn1",
		     "nvmet   allow      " FENCE_NQN ":leg:v1.s1.cn1");
	free(plan);
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	fence_end(&f);
}

static void test_old_path_stays_without_the_new(void **state)
{
	struct desired desired;
	struct fence f;
	char *plan;

	(void)state;
	fence_begin(&f);
	fence_holder(&f, 2);
	f.volume.moved_to = 3;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.1", "connecting", "");
	rig_wave(&f.agent, &desired);
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.3", "connecting", "");
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	assert_lacks(plan, "disconnect");
	free(plan);
	/* The new one is live, but one of its two namespaces is not there yet. */
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.3", "live", "");
	kernel_sim_paths_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.3", 1);
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	assert_lacks(plan, "disconnect");
	free(plan);
	kernel_sim_paths_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.3", 2);
	/* The old holder is dead, and this kernel has not noticed: it is never deleted as if it were well. */
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.1", "live", "optimized");
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":leg:v1.s0.cn2", "10.0.2.3", "live", "optimized");
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvme    drop       " FENCE_NQN ":leg:v1.s0.cn2 at 10.0.2.1:20001");
	assert_lacks(plan, "disconnect");
	free(plan);
	fence_end(&f);
}

static void test_status_of_consumers(void **state)
{
	struct desired desired, gone;
	struct object_status_list list;
	struct fence f;

	(void)state;
	fence_begin(&f);
	desired = fence_holder(&f, 2);
	list = fence_statuses(&f, &desired);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->state, OBJECT_STATE_CONVERGED);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->revision, 9);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_CONVERGED);
	/* To shut a consumer out is a matter between it and the leader, to serve one is part of the volume. */
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	desired.volumes.items[0].consumers.items[0] = desired.volumes.items[0].consumers.items[1];
	desired.volumes.items[0].consumers.count = 1;
	list = fence_statuses(&f, &desired);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->state, OBJECT_STATE_PENDING);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_CONVERGED);
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	list = fence_statuses(&f, &desired);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn3")->state, OBJECT_STATE_PENDING);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_PENDING);
	/* A volume is absent only when its exports to consumers are. */
	gone = rig_desired_nothing(&f.arena, "cn2");
	*LIST_PUSH(&f.arena, &gone.removed) =
		(struct object_ref){ .kind = OBJECT_KIND_VOLUME, .id = "v1", .revision = 10 };
	list = fence_statuses(&f, &gone);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_PENDING);
	rig_converge(&f.agent, &gone);
	list = fence_statuses(&f, &gone);
	assert_int_equal(fence_status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_ABSENT);
	fence_end(&f);
}

/* --- the old holder --- */

static void old_holder_goes(const char *state, const char *ana, const char *golden)
{
	struct desired nothing;
	struct fence f;
	const char *log;

	fence_begin(&f);
	fence_holder(&f, 1);
	fence_imports(&f, state, ana);
	nothing = rig_desired_nothing(&f.arena, "cn1");
	rig_converge(&f.agent, &nothing);
	log = fence_log(&f);
	rig_golden(golden, log);
	assert_order(log, "unlink     " FENCE_NQN ":volume:v1", "nvme    drop ");
	assert_order(log, "unlink     " FENCE_NQN ":leg:v1.s0.cn2", "nvme    drop ");
	assert_order(log, "nvme    drop       " FENCE_NQN ":leg:v1.s1.cn1", "disable    " FENCE_NQN ":volume:v1");
	assert_order(log, "nvme    drop       " FENCE_SLOT "1", "dm      remove");
	assert_empty(&f);
	fence_end(&f);
}

static void test_old_holder_is_parked(void **state)
{
	(void)state;
	old_holder_goes("live", "inaccessible", "fence_old_holder_parked");
}

static void test_old_holder_lost_its_paths(void **state)
{
	(void)state;
	old_holder_goes("connecting", "optimized", "fence_old_holder_connecting");
}

/* The same node holds the slot in a new epoch: it begins as standby. */
static void test_holder_begins_anew(void **state)
{
	struct desired desired;
	struct fence f;
	const char *log;

	(void)state;
	fence_begin(&f);
	fence_holder(&f, 1);
	kernel_sim_path_set(f.agent.kernel, FENCE_SLOT "1", "10.0.1.1", "live", "inaccessible");
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "live", "inaccessible");
	f.volume.moved_to = 1;
	f.volume.may_not_serve = true;
	/* The simulated LDs of another epoch have no label: they are formatted again, which is not the point here. */
	f.volume.format = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	rig_golden("fence_holder_begins_anew", log);
	assert_order(log, "group      " FENCE_NQN ":volume:v1 1  to 2", "nvme    drop ");
	assert_order(log, "unlink     " FENCE_NQN ":volume:v1", "nvme    drop ");
	assert_order(log, "nvme    drop ", "reload     dnvme-volume-v1");
	assert_order(log, "reload     dnvme-volume-v1", "link       " FENCE_NQN ":volume:v1 to");
	assert_lacks(log, "disable    " FENCE_NQN ":volume:v1");
	f.volume.may_not_serve = false;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_holder_serves_again", fence_log(&f));
	fence_end(&f);
}

/* The agent was away while it was a standby, and finds itself the holder in a new epoch. */
static void test_holder_jumps_an_epoch(void **state)
{
	struct desired desired;
	struct fence f;

	(void)state;
	for (int frozen = 0; frozen < 2; frozen++) {
		fence_begin(&f);
		fence_holder(&f, 1);
		if (frozen) {
			kernel_sim_path_set(f.agent.kernel, FENCE_SLOT "1", "10.0.1.1", "live", "inaccessible");
			kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "connecting",
					    "");
		}
		f.volume.moved_to = 1;
		f.volume.format = true;
		desired = rig_desired_controller(&f.arena, &f.volume, 1);
		rig_converge(&f.agent, &desired);
		fence_end(&f);
	}
}

/* A node that imports what is frozen and wanted touches nothing of it. */
static void test_frozen_and_wanted_stays(void **state)
{
	struct desired desired;
	struct fence f;
	char *plan;

	(void)state;
	fence_begin(&f);
	desired = fence_holder(&f, 1);
	fence_imports(&f, "connecting", "");
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "nvmet ");
	assert_lacks(plan, "dm  ");
	assert_lacks(plan, "nvme  ");
	free(plan);
	fence_end(&f);
}

/* --- members that are given up --- */

static void test_stale_member_is_dropped(void **state)
{
	struct desired desired;
	struct fence f;
	char *plan;

	(void)state;
	fence_begin(&f);
	f.volume.legs = 1;
	fence_holder(&f, 1);
	kernel_sim_path_set(f.agent.kernel, FENCE_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "connecting", "");
	f.volume.stale_ld = 2;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	plan = rig_plan_text(&f.agent, &desired);
	/* Its group and the exports above go on. */
	assert_contains(plan, "nvme    drop       " FENCE_NQN ":slot:d2.v1.s0:e1 at 10.0.1.2:4421");
	assert_lacks(plan, "unlink");
	assert_lacks(plan, "dm      remove");
	free(plan);
	rig_wave(&f.agent, &desired);
	assert_int_equal(f.agent.error.code, 0);
	fence_end(&f);
	/* Another LD of the same subsystem is still in sync. */
	fence_begin(&f);
	f.volume.legs = 2;
	fence_holder(&f, 1);
	f.volume.stale_ld = 2;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	free(plan);
	fence_end(&f);
}

/* --- the new holder --- */

static void test_standby_takes_over(void **state)
{
	struct desired desired;
	struct fence f;
	const char *log;

	(void)state;
	fence_begin(&f);
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	f.volume.moved_to = 3;
	f.volume.may_not_serve = true;
	f.volume.format = true; /* as above */
	fence_log(&f);
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	rig_golden("fence_standby_assembles", log);
	assert_lacks(log, ":leg:v1");
	assert_lacks(log, ":volume:v1");
	f.volume.may_not_serve = false;
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	rig_golden("fence_standby_serves", log);
	assert_order(log, "reload     dnvme-volume-v1", "group      " FENCE_NQN ":volume:v1 1  to 1");
	fence_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_holder),
		cmocka_unit_test(test_consumer_over_a_lost_path),
		cmocka_unit_test(test_consumer_closed),
		cmocka_unit_test(test_old_path_stays_without_the_new),
		cmocka_unit_test(test_status_of_consumers),
		cmocka_unit_test(test_old_holder_is_parked),
		cmocka_unit_test(test_old_holder_lost_its_paths),
		cmocka_unit_test(test_holder_begins_anew),
		cmocka_unit_test(test_holder_jumps_an_epoch),
		cmocka_unit_test(test_frozen_and_wanted_stays),
		cmocka_unit_test(test_stale_member_is_dropped),
		cmocka_unit_test(test_standby_takes_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
