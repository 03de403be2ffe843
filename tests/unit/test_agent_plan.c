/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans as golden texts, and what a plan must never contain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/names.h"
#include "tests/unit/test_agent_rig.h"
#include "tests/unit/test_text.h"

struct fixture {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error error = { 0 };

	assert_non_null(fixture);
	assert_int_equal(kernel_sim_open(NULL, &fixture->agent.kernel, &error), 0);
	assert_int_equal(kernel_sim_disk_add(fixture->agent.kernel, "/dev/vdb=4GiB", &error), 0);
	fixture->volume = rig_volume_default();
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	rig_agent_free(&fixture->agent);
	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

static const char *log_take(struct fixture *fixture)
{
	return rig_log_take(&fixture->agent, &fixture->arena);
}

static void assert_plan(struct rig_agent *agent, const struct desired *desired, const char *wanted)
{
	char *text = rig_plan_text(agent, desired);

	assert_string_equal(text, wanted);
	free(text);
}

static void assert_empty(struct fixture *fixture)
{
	struct observed observed;
	struct error error = { 0 };

	assert_int_equal(
		fixture->agent.kernel->operations->observe(fixture->agent.kernel, &fixture->arena, &observed, &error),
		0);
	assert_int_equal(observed.dms.count, 0);
	assert_int_equal(observed.ports.count, 0);
	assert_int_equal(observed.subsystems.count, 0);
	assert_int_equal(observed.hosts.count, 0);
	assert_int_equal(observed.imports.count, 0);
	assert_int_equal(observed.import_namespaces.count, 0);
}

/* --- golden texts --- */

static void test_disk_node(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1);
	struct desired nothing = rig_desired_nothing(&f->arena, "dn1");

	rig_converge(&f->agent, &desired);
	rig_golden("disk_node_create", log_take(f));
	rig_agent_restart(&f->agent);
	assert_plan(&f->agent, &desired, "");
	desired.exports.count = 1;
	rig_converge(&f->agent, &desired);
	rig_golden("disk_node_one_export_less", log_take(f));
	rig_converge(&f->agent, &nothing);
	rig_golden("disk_node_remove", log_take(f));
	assert_empty(f);
}

static void test_controller(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	f->volume.format = true;
	f->volume.top_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("controller_format", log_take(f));
	assert_true(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
	f->volume.format = false;
	f->volume.top_wanted = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("controller_export", log_take(f));
	/* A new process knows nothing and has nothing to do. */
	rig_agent_restart(&f->agent);
	rig_converge(&f->agent, &desired);
	assert_string_equal(log_take(f), "--\n");
	f->volume.top_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("controller_unexport", log_take(f));
	f->volume.legs_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("controller_dismantle", log_take(f));
	assert_false(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
	assert_empty(f);
}

/* A Disk Node exports a namespace anew, or an import is dropped for another LD's sake, when the slices of a leg are
 * there and nothing lies on them yet: they lie on nothing, and are made again. */
static void test_slices_left_behind(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	struct kernel *kernel = f->agent.kernel;
	struct error error = { 0 };
	char *text;

	f->volume.format = true;
	f->volume.top_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	do
		assert_true(rig_wave(&f->agent, &desired) > 0);
	while (strstr(log_take(f), "create     dnvme-raiddata-") == NULL);
	assert_int_equal(kernel->operations->observe(kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < observed.imports.count; i++) {
		const struct observed_import *there = &observed.imports.items[i];
		const struct kernel_import import = { .nqn = there->nqn,
						      .address = there->address,
						      .port = strtoull(there->trsvcid, NULL, 10),
						      .host_nqn = there->host_nqn };

		assert_int_equal(kernel->operations->import_drop(kernel, &import, &error), 0);
	}
	rig_wave(&f->agent, &desired); /* the imports */
	log_take(f);
	rig_converge(&f->agent, &desired);
	rig_golden("controller_slices_left_behind", log_take(f));
	text = rig_plan_text(&f->agent, &desired);
	assert_string_equal(text, "");
	free(text);
}

static int no_gate(void *data, const char *operation, const char *name, struct error *error)
{
	(void)data;
	(void)name;
	return strcmp(operation, "gate_join") == 0 ? error_set(error, ERROR_INTERNAL, "there is no gate") : 0;
}

/* Legs are exported at no port that is not guarded. */
static void test_legs_without_a_gate(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);
	struct observed observed;
	struct error error = { 0 };

	desired.volumes.items[0].legs.items[0].format = desired.volumes.items[0].legs.items[1].format = true;
	kernel_sim_fault_set(f->agent.kernel, no_gate, NULL);
	for (int i = 0; i < 12; i++)
		rig_wave(&f->agent, &desired);
	assert_contains(log_take(f), ":leg:v1.s0.cn2 to port 20001  behind the gate of 4420");
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < observed.ports.count; i++)
		assert_int_equal(observed.ports.items[i].subsystems.count, observed.ports.items[i].id == 4420);
	assert_false(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
	kernel_sim_fault_set(f->agent.kernel, NULL, NULL);
	rig_converge(&f->agent, &desired);
	assert_true(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
}

/* To remove a port waits for connections that go, and those of a volume whose I/O is frozen do not: so what has no
 * links any more stays until nothing is exported here, and serves again in between, whatever became of the gate
 * meanwhile. */
static void test_leg_port_stays(void **state)
{
	struct fixture *f = *state;
	struct error error = { 0 };
	struct desired desired;
	const char *log;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	f->volume.legs_wanted = f->volume.format = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	desired.volumes.items[0].role = CONTROLLER_ROLE_STANDBY;
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "nvmet   unlink     " NAMES_NQN_PREFIX RIG_CLUSTER ":leg:v1.s0.cn2 from port 20001");
	assert_lacks(log, "rmport");
	assert_int_equal(f->agent.kernel->operations->gate_leave(f->agent.kernel, RIG_LEG_PORT, &error), 0);
	f->volume.legs_wanted = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	assert_lacks(log_take(f), "nvmet   port ");
	assert_true(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
	desired = rig_desired_nothing(&f->arena, "cn1");
	rig_converge(&f->agent, &desired);
	assert_false(kernel_sim_is_joined(f->agent.kernel, RIG_LEG_PORT));
	assert_empty(f);
}

/* Nobody is let in where no gate looks at who comes. */
static void test_legs_without_a_port(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	const char *log;

	f->volume.format = true;
	f->volume.top_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	desired.volumes.items[0].leg_port = 0;
	for (int i = 0; i < 12; i++)
		rig_wave(&f->agent, &desired);
	log = log_take(f);
	assert_contains(log, "has no port for its legs");
	assert_lacks(log, ":leg:");
}

/* Everything above the thin device lies on the write-through target: the stripe and what other controllers get. */
static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");

	f->volume.format = f->volume.thick = f->volume.strict = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("strict_format", log_take(f));
	f->volume.format = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_agent_restart(&f->agent);
	assert_plan(&f->agent, &desired, "");
	rig_converge(&f->agent, &nothing);
	rig_golden("strict_dismantle", log_take(f));
	assert_empty(f);
}

/* Whatever became of the labels: while they are to be written, nothing in another lane begins to use the leg. */
static void test_strict_waits_for_labels(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;
	char *text;

	f->volume.format = f->volume.strict = true;
	f->volume.top_wanted = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_agent_restart(&f->agent);
	assert_int_equal(f->agent.kernel->operations->block_zero(f->agent.kernel, "dnvme-label-ld1", 0, 4096, &error),
			 0);
	f->volume.top_wanted = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	for (text = rig_plan_text(&f->agent, &desired); strstr(text, "label   write") == NULL;
	     text = rig_plan_text(&f->agent, &desired)) {
		free(text);
		assert_int_not_equal(rig_wave(&f->agent, &desired), 0);
	}
	assert_lacks(text, "dm      create     dnvme-volume-v1");
	assert_contains(text, "dnvme-volume-v1 waits for dnvme-durable-v1.l0");
	free(text);
	rig_converge(&f->agent, &desired);
}

/* Without the target the leg is not used at all, rather than without the promise. */
static void test_strict_without_the_target(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;
	struct observed observed;

	kernel_sim_writethrough_lack(f->agent.kernel);
	f->volume.format = f->volume.strict = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	for (int i = 0; i < 8; i++)
		rig_wave(&f->agent, &desired);
	assert_contains(f->agent.error.message, "there is no target \"writethrough\"");
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < observed.dms.count; i++) {
		assert_lacks(observed.dms.items[i].name, "dnvme-leg-");
		assert_lacks(observed.dms.items[i].name, "dnvme-volume-");
	}
}

static void test_controller_reassembles(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct error error;
	const char *log;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	log_take(f);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	/* Even if the desired state is old and still says "format". */
	rig_converge(&f->agent, &desired);
	log = log_take(f);
	rig_golden("controller_reassemble", log);
	assert_lacks(log, "clearing");
	assert_lacks(log, "nosync");
	assert_lacks(log, "create_thin");
	assert_lacks(log, "label   write");
}

static void test_everything_goes_at_once(void **state)
{
	struct fixture *f = *state;
	struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	log_take(f);
	rig_converge(&f->agent, &nothing);
	rig_golden("controller_all_at_once", log_take(f));
	assert_empty(f);
}

static void test_standby(void **state)
{
	struct fixture *f = *state;
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 3);
	struct desired active, nothing = rig_desired_nothing(&f->arena, "cn3");

	rig_converge(&f->agent, &desired);
	rig_golden("standby", log_take(f));
	/* It takes over the place of cn1: the table is replaced under the namespace, which is never disabled. */
	f->volume.format = true;
	active = rig_desired_controller(&f->arena, &f->volume, 1);
	active.node = desired.node;
	active.address = desired.address;
	active.colour = desired.colour;
	active.host_nqn = desired.host_nqn;
	rig_converge(&f->agent, &active);
	rig_golden("standby_promoted", log_take(f));
	/* And back: inaccessible first, errors below it only then. */
	f->volume.format = false;
	desired = rig_desired_controller(&f->arena, &f->volume, 3);
	rig_converge(&f->agent, &desired);
	rig_golden("standby_demoted", log_take(f));
	rig_converge(&f->agent, &nothing);
	assert_empty(f);
}

static void test_one_copy_many_groups(void **state)
{
	struct fixture *f = *state;
	struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");

	f->volume = (struct rig_volume){ .controllers = 1,
					 .legs = 1,
					 .copies = 1,
					 .groups = 2,
					 .disks = 2,
					 .leg_bytes = UINT64_C(128) << 20,
					 .format = true,
					 .legs_wanted = true,
					 .top_wanted = true };
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, &desired);
	rig_golden("one_copy_two_groups", log_take(f));
	rig_converge(&f->agent, &nothing);
	assert_empty(f);
}

static void test_host_goes(void **state)
{
	struct fixture *f = *state;
	struct desired desired;

	f->volume.host_count = 2;
	desired = rig_desired_controller(&f->arena, &f->volume, 3);
	rig_converge(&f->agent, &desired);
	log_take(f);
	f->volume.host_count = 1;
	desired = rig_desired_controller(&f->arena, &f->volume, 3);
	rig_converge(&f->agent, &desired);
	/* Unlinked first, so that its connections are gone before anybody can say that it is detached. */
	rig_golden("host_goes", log_take(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disk_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slices_left_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_legs_without_a_gate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leg_port_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_legs_without_a_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strict_waits_for_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strict_without_the_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller_reassembles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything_goes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_standby, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_copy_many_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
