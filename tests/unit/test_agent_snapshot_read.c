/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot that hosts read, on its volume's controllers: made, moved, taken away; and that the volume waits for none
 * of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/list.h"
#include "agent/planner.h"
#include "agent/status.h"
#include "lib/base/error.h"
#include "lib/model/names.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"

#define NUMBER 7
#define READER "nqn.2014-08.org.x:reader"
#define NQN "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":"

struct fixture {
	struct rig_volume volume;
	struct rig_agent agent;
	struct arena arena;
	unsigned node; /* whose agent it is */
	enum pause_phase phase;
	bool attached, served;
	uint64_t leg_port;
	struct dropped_thin dropped;
	bool drops;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error error;

	assert_non_null(f);
	f->volume = rig_volume_default();
	f->volume.legs_wanted = f->volume.top_wanted = f->volume.formatted = true;
	f->node = 1;
	f->served = true;
	f->leg_port = RIG_LEG_PORT;
	f->dropped = (struct dropped_thin){ .thin = NUMBER, .leg_bytes = f->volume.leg_bytes };
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rig_agent_free(&f->agent);
	arena_free(&f->arena);
	free(f);
	return 0;
}

static struct desired told(struct fixture *f)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, f->node);
	struct desired_volume *volume = &desired.volumes.items[0];
	struct desired_snapshot *snapshot;
	char nqn[NAMES_NQN_SIZE];

	volume->leg_port = f->leg_port;
	if (f->phase != 0) {
		volume->pause = arena_alloc(&f->arena, sizeof(*volume->pause));
		*volume->pause = (struct desired_pause){ NUMBER, f->phase, LIMIT_PAUSE_MS_MAX };
	}
	if (f->drops)
		volume->dropped_thins = (struct dropped_thin_list){ 1, &f->dropped };
	if (!f->attached)
		return desired;
	snapshot = LIST_PUSH(&f->arena, &volume->snapshots);
	snapshot->thin = NUMBER;
	snapshot->size_bytes = volume->size_bytes;
	snapshot->served = f->served;
	list_push_string(&f->arena, &snapshot->hosts, READER);
	for (unsigned i = 1; f->served && i <= f->volume.controllers; i++) {
		names_node_nqn(RIG_CLUSTER, i == 1 ? "cn1" : "cn2", nqn);
		if (i != f->node)
			list_push_string(&f->arena, &snapshot->controllers, nqn);
	}
	return desired;
}

static const char *converge(struct fixture *f)
{
	struct desired desired = told(f);

	rig_converge(&f->agent, &desired);
	return rig_log_take(&f->agent, &f->arena);
}

static struct observed observe(struct fixture *f)
{
	struct observed observed;
	struct error error;

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	return observed;
}

/* NULL: it is not there. */
static const struct observed_dm *device(struct fixture *f, const char *name)
{
	struct observed observed = observe(f);

	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, name) == 0)
			return &observed.dms.items[i];
	}
	return NULL;
}

static bool is_exported(struct fixture *f, const char *nqn)
{
	struct observed observed = observe(f);

	for (size_t i = 0; i < observed.ports.count; i++) {
		if (list_has_string(&observed.ports.items[i].subsystems, nqn))
			return true;
	}
	return false;
}

/* The volume serves, and the snapshot is there. */
static void begin(struct fixture *f)
{
	converge(f);
	for (f->phase = PAUSE_PHASE_HOLD; f->phase <= PAUSE_PHASE_RELEASE; f->phase++)
		converge(f);
	f->phase = 0;
	converge(f);
	assert_true(kernel_sim_thin_exists(f->agent.kernel, f->node == 1 ? "dnvme-pool-v1.l0" : "dnvme-pool-v1.l2",
					   NUMBER));
}

static struct object_status volume_status(struct fixture *f, const struct desired *desired)
{
	struct object_status_list statuses;
	struct status_lane_list lanes = { 0 };
	struct plan plan = rig_plan(&f->agent, desired, &f->arena);
	struct observed observed = observe(f);
	struct error error;

	assert_int_equal(status_make(desired, &observed, &plan, &lanes, &f->arena, &statuses, &error), 0);
	for (size_t i = 0; i < statuses.count; i++) {
		if (statuses.items[i].kind == OBJECT_KIND_VOLUME)
			return statuses.items[i];
		assert_int_not_equal(statuses.items[i].kind, OBJECT_KIND_SNAPSHOT);
	}
	fail_msg("nothing is said of the volume");
	return (struct object_status){ 0 };
}

static void test_served(void **state)
{
	struct fixture *f = *state;
	const struct observed_dm *read, *thin, *errors;
	struct desired desired;
	char params[96];

	begin(f);
	f->attached = true;
	desired = told(f);
	/* Nothing of it is the volume's, and no slot waits for it. */
	assert_true(rig_plan(&f->agent, &desired, &f->arena).actions.count > 0);
	assert_int_equal(volume_status(f, &desired).state, OBJECT_STATE_CONVERGED);
	rig_golden("snapshot_read_served", converge(f));
	assert_true(is_exported(f, NQN "snapshot:v1.t7"));
	assert_true(is_exported(f, NQN "snapleg:v1.s0.t7"));
	thin = device(f, "dnvme-snapthin-v1.l1.t7");
	errors = device(f, "dnvme-snaperror-v1.t7");
	read = device(f, "dnvme-snapread-v1.l1.t7");
	assert_string_equal(errors->targets.items[0].type, "error");
	/* What writes reach is the device of errors, in no case the thin device. */
	snprintf(params, sizeof(params), "%d:%d 0 0 %d:%d 0 0 %d:%d 0 0", (int)thin->major, (int)thin->minor,
		 (int)errors->major, (int)errors->minor, (int)thin->major, (int)thin->minor);
	assert_string_equal(read->targets.items[0].type, "delay");
	assert_string_equal(read->targets.items[0].params, params);
	rig_agent_restart(&f->agent);
	converge(f);
	assert_string_equal(converge(f), "--\n");
	f->attached = false;
	rig_golden("snapshot_read_over", converge(f));
	assert_null(device(f, "dnvme-snapthin-v1.l0.t7"));
	assert_false(is_exported(f, NQN "snapshot:v1.t7"));
	assert_true(is_exported(f, NQN "volume:v1"));
}

/* The thin device is not deleted under its readers. */
static void test_dropped(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;

	begin(f);
	f->attached = true;
	converge(f);
	f->attached = false;
	f->drops = true;
	desired = told(f);
	rig_wave(&f->agent, &desired);
	log = rig_log_take(&f->agent, &f->arena);
	assert_non_null(
		strstr(log, "thin device 7 is deleted once dnvme-snapthin-v1.l0.t7 is gone, which has it open"));
	assert_null(strstr(log, "delete     thin"));
	assert_true(kernel_sim_thin_exists(f->agent.kernel, "dnvme-pool-v1.l0", NUMBER));
	converge(f);
	assert_false(kernel_sim_thin_exists(f->agent.kernel, "dnvme-pool-v1.l0", NUMBER));
}

/* One that is shut out goes on showing it, inaccessible, over errors; and so does a standby. */
static void test_not_served(void **state)
{
	struct fixture *f = *state;
	struct observed observed;

	begin(f);
	f->attached = true;
	converge(f);
	f->served = false;
	rig_golden("snapshot_read_shut_out", converge(f));
	assert_null(device(f, "dnvme-snapthin-v1.l0.t7"));
	assert_string_equal(device(f, "dnvme-snapshot-v1.t7")->targets.items[0].type, "error");
	assert_false(is_exported(f, NQN "snapleg:v1.s0.t7"));
	observed = observe(f);
	for (size_t i = 0; i < observed.subsystems.count; i++) {
		if (strcmp(observed.subsystems.items[i].nqn, NQN "snapshot:v1.t7") == 0)
			assert_int_equal(observed.subsystems.items[i].namespaces.items[0].group,
					 KERNEL_ANA_INACCESSIBLE);
	}
	assert_true(is_exported(f, NQN "snapshot:v1.t7"));
	f->served = true;
	converge(f);
	assert_string_equal(device(f, "dnvme-snapshot-v1.t7")->targets.items[0].type, "striped");
}

/* Another controller's legs come from the slot's new holder; what lies on them stays as it is. */
static void test_remote_leg_moves(void **state)
{
	struct fixture *f = *state;
	const char *log;

	f->node = 2;
	begin(f);
	f->attached = true;
	converge(f);
	f->volume.moved_to = 3;
	log = converge(f);
	assert_non_null(strstr(log, "connect    " NQN "snapleg:v1.s0.t7 at 10.0.2.3:10001"));
	assert_non_null(strstr(log, "drop       " NQN "snapleg:v1.s0.t7 at 10.0.2.1:10001"));
	assert_null(strstr(log, "reload     dnvme-snapshot-v1.t7"));
	assert_null(strstr(log, NQN "snapshot:v1.t7"));
}

/* Who reads here does not notice that another controller comes or goes. */
static void test_controller_goes(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;

	begin(f);
	f->attached = true;
	desired = told(f);
	list_push_string(&f->arena, &desired.volumes.items[0].snapshots.items[0].controllers, NQN "node:cn3");
	rig_converge(&f->agent, &desired);
	rig_log_take(&f->agent, &f->arena);
	log = converge(f);
	assert_non_null(strstr(log, "deny       " NQN "snapleg:v1.s0.t7  " NQN "node:cn3"));
	assert_null(strstr(log, "deny       " NQN "snapleg:v1.s0.t7  " NQN "node:cn2"));
	assert_null(strstr(log, "unlink"));
	assert_string_equal(converge(f), "--\n");
}

/* The port of the volume's snapshots is somebody else's: the node goes on without. */
static void test_port_is_taken(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct plan plan;
	size_t found = 0;

	begin(f);
	f->attached = true;
	f->leg_port = 4420 + LIMIT_SNAPSHOT_PORT_OFFSET;
	desired = told(f);
	plan = rig_plan(&f->agent, &desired, &f->arena);
	for (size_t i = 0; i < plan.notes.count; i++)
		found += strcmp(plan.notes.items[i].owner.id, "v1.t7") == 0 &&
			 strstr(plan.notes.items[i].text, "nvmet port 4420 is used by something else") != NULL;
	assert_int_equal(found, 1);
}

/* The volume leaves this node: not before its snapshots are gone. */
static void test_volume_leaves(void **state)
{
	struct fixture *f = *state;
	struct object_status_list statuses;
	struct status_lane_list lanes = { 0 };
	struct desired desired;
	struct object_ref *ref;
	struct observed observed;
	struct plan plan;
	struct error error;

	begin(f);
	f->attached = true;
	converge(f);
	desired = rig_desired_nothing(&f->arena, "cn1");
	ref = LIST_PUSH(&f->arena, &desired.removed);
	*ref = (struct object_ref){ OBJECT_KIND_VOLUME, "v1", 10 };
	rig_converge(&f->agent, &desired);
	rig_log_take(&f->agent, &f->arena);
	assert_null(device(f, "dnvme-pool-v1.l0"));
	assert_null(device(f, "dnvme-snapshot-v1.t7"));
	/* Only a snapshot's device is left: the volume is not gone. */
	assert_int_equal(kernel_sim_foreign_add(f->agent.kernel, "left", "DNVME-" RIG_CLUSTER "-snapshot-v1.t7-e0",
						"nqn.2014-08.org.x:foreign", &error),
			 0);
	plan = rig_plan(&f->agent, &desired, &f->arena);
	observed = observe(f);
	assert_int_equal(status_make(&desired, &observed, &plan, &lanes, &f->arena, &statuses, &error), 0);
	assert_int_equal(statuses.items[0].state, OBJECT_STATE_PENDING);
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;

	begin(f);
	f->attached = true;
	for (int served = 1; served >= 0; served--) {
		struct desired desired;
		unsigned long n = 0;
		bool failed;

		f->served = served != 0;
		desired = told(f);
		do {
			struct arena arena = ARENA_INIT;
			struct target target;
			struct error error = { 0 };
			int code;

			failing_alloc_arm(++n);
			code = target_build(&desired, &arena, &target, &error);
			failed = failing_alloc_disarm();
			assert_int_equal(code, failed ? ERROR_INTERNAL : 0);
			arena_free(&arena);
		} while (failed);
		assert_true(n > 2);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_served),	     TEST(test_dropped),	 TEST(test_not_served),
		TEST(test_remote_leg_moves), TEST(test_controller_goes), TEST(test_port_is_taken),
		TEST(test_volume_leaves),    TEST(test_out_of_memory),
	};

	return cmocka_run_group_tests_name("agent_snapshot_read", tests, NULL, NULL);
}
