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

#include "agent/list.h"
#include "agent/text.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"

#define LAYOUT_TEST_SHIFT 65536

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
	const char *text;

	assert_int_equal(buffer_append(&fixture->agent.log, "", 1), 0);
	text = arena_strdup(&fixture->arena, (const char *)fixture->agent.log.data);
	buffer_clear(&fixture->agent.log);
	return text;
}

static void assert_plan(struct rig_agent *agent, const struct desired *desired, const char *wanted)
{
	char *text = rig_plan_text(agent, desired);

	assert_string_equal(text, wanted);
	free(text);
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

/* --- what the kernel prints differently --- */

static struct observed *observed_edit(struct fixture *f, struct observed *observed, const char *device,
				      const char *params)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (strcmp(observed->dms.items[i].name, device) == 0) {
			observed->dms.items[i].targets.items[0].params = params;
			return observed;
		}
	}
	fail_msg("no %s", device);
	(void)f;
	return NULL;
}

static const char *plan_of(struct fixture *f, const struct observed *observed, const struct desired *desired)
{
	struct buffer text = BUFFER_INIT;
	struct target target;
	struct error error = { 0 };
	struct plan plan;
	const char *copy;

	assert_int_equal(target_build(desired, &f->arena, &target, &error), 0);
	assert_int_equal(plan_make(observed, &target, &f->arena, &plan, &error), 0);
	assert_int_equal(plan_print(&plan, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	copy = arena_strdup(&f->arena, (const char *)text.data);
	buffer_free(&text);
	return copy;
}

static void controller_complete(struct fixture *f, struct desired *ret_desired, struct observed *ret_observed)
{
	struct error error = { 0 };

	f->volume.format = true;
	*ret_desired = rig_desired_controller(&f->arena, &f->volume, 1);
	rig_converge(&f->agent, ret_desired);
	log_take(f);
	f->volume.format = false;
	*ret_desired = rig_desired_controller(&f->arena, &f->volume, 1);
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, ret_observed, &error), 0);
}

static void test_raid_table_compares_by_meaning(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	const char *params = NULL, *members;

	controller_complete(f, &desired, &observed);
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, "dnvme-raid-v1.l0.g0") == 0)
			params = observed.dms.items[i].targets.items[0].params;
	}
	assert_non_null(params);
	members = strstr(params, " 2 ");
	assert_non_null(members);
	assert_string_equal(
		plan_of(f,
			observed_edit(f, &observed, "dnvme-raid-v1.l0.g0",
				      arena_printf(&f->arena, "raid1 5 0 rebuild 1 region_size 1024%s", members)),
			&desired),
		"");
	assert_string_equal(
		plan_of(f,
			observed_edit(f, &observed, "dnvme-raid-v1.l0.g0",
				      arena_printf(&f->arena, "raid1 4 0 sync region_size 1024%s ", members)),
			&desired),
		"");
	/* Another bitmap, or another member, is another array: said, and left alone. */
	assert_contains(plan_of(f,
				observed_edit(f, &observed, "dnvme-raid-v1.l0.g0",
					      arena_printf(&f->arena, "raid1 3 0 region_size 2048%s", members)),
				&desired),
			"fails   v1  dnvme-raid-v1.l0.g0 has another table than wanted");
	assert_contains(plan_of(f,
				observed_edit(f, &observed, "dnvme-raid-v1.l0.g0",
					      "raid1 3 0 region_size 1024 2 - - 253:1 253:2"),
				&desired),
			"fails   v1  dnvme-raid-v1.l0.g0 runs without ld1, which is said to be in sync");
}

static void test_counters_do_not_matter(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;

	controller_complete(f, &desired, &observed);
	for (size_t i = 0; i < observed.dms.count; i++)
		observed.dms.items[i].event += 7;
	assert_string_equal(plan_of(f, &observed, &desired), "");
	/* A path that is away is waited for: nothing is done to what is above. */
	observed.imports.items[0].state = "connecting";
	assert_contains(plan_of(f, &observed, &desired), "is connecting");
	assert_lacks(plan_of(f, &observed, &desired), "dm ");
	/* Nor when its namespaces are gone. */
	observed.import_namespaces.count = 0;
	assert_lacks(plan_of(f, &observed, &desired), "dm ");
	assert_contains(plan_of(f, &observed, &desired), "waits for the import of namespace");
}

static void test_half_made_device(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	const char *plan;

	controller_complete(f, &desired, &observed);
	for (size_t i = 0; i < observed.dms.count; i++) {
		if (strcmp(observed.dms.items[i].name, "dnvme-volume-v1") == 0) {
			observed.dms.items[i].targets.count = 0;
			observed.dms.items[i].open_count = 0;
		}
	}
	observed.subsystems.count = 0;
	for (size_t i = 0; i < observed.ports.count; i++)
		observed.ports.items[i].subsystems.count = 0;
	plan = plan_of(f, &observed, &desired);
	assert_contains(plan, "dm      remove     dnvme-volume-v1\ndm      create     dnvme-volume-v1");
	observed.dms.items[0].suspended = true;
	assert_contains(plan_of(f, &observed, &desired), "dm      resume     ");
}

/* --- what is not ours --- */

static void test_foreign_things_stay(void **state)
{
	struct fixture *f = *state;
	struct desired nothing = rig_desired_nothing(&f->arena, "cn1"), desired;
	struct error error = { 0 };

	assert_int_equal(kernel_sim_foreign_add(f->agent.kernel, "dnvme-volume-v1", "LVM-abc",
						"nqn.2014-08.org.nvmexpress:uuid:x", &error),
			 0);
	assert_int_equal(kernel_sim_foreign_add(f->agent.kernel, "dnvme-thin-v9.l0", "DNVME-othr-thin-v9.l0-e1",
						"nqn.2026-11.io.dnvme:othr:volume:v9", &error),
			 0);
	/* Ours by prefix, but of no form that this agent makes. */
	assert_int_equal(kernel_sim_foreign_add(f->agent.kernel, "dnvme-x", "DNVME-" RIG_CLUSTER "-future-v1-e1",
						"nqn.2026-11.io.dnvme:" RIG_CLUSTER ":future:v1", &error),
			 0);
	assert_plan(&f->agent, &nothing, "");
	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	while (rig_wave(&f->agent, &desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
	assert_plan(&f->agent, &desired,
		    "fails   v1  a device dnvme-volume-v1 exists that is not ours\n"
		    "waits   v1  nqn.2026-11.io.dnvme:" RIG_CLUSTER ":volume:v1 waits for dnvme-volume-v1\n");
	while (rig_wave(&f->agent, &nothing) > 0)
		assert_int_equal(f->agent.error.code, 0);
	assert_lacks(log_take(f), "remove     dnvme-volume-v1");
}

static void test_imports_of_others_stay(void **state)
{
	struct fixture *f = *state;
	struct desired nothing = rig_desired_nothing(&f->arena, "cn1");
	struct kernel_import import = { .nqn = "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":volume:v1",
					.address = "10.0.2.1",
					.port = 4420,
					.host_nqn = RIG_HOST };
	struct error error = { 0 };

	/* This machine is somebody's host; and another agent runs on it. */
	assert_int_equal(f->agent.kernel->operations->import_connect(f->agent.kernel, &import, &error), 0);
	import.nqn = "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":slot:d1.v1.s0:e1";
	import.host_nqn = "nqn.2026-11.io.dnvme:" RIG_CLUSTER ":node:cn2";
	assert_int_equal(f->agent.kernel->operations->import_connect(f->agent.kernel, &import, &error), 0);
	assert_plan(&f->agent, &nothing, "");
}

/* --- desired states that cannot be --- */

static void test_contradiction_removes_nothing(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	const char *plan;

	controller_complete(f, &desired, &observed);
	desired.volumes.items[0].size_bytes += LAYOUT_TEST_SHIFT;
	plan = plan_of(f, &observed, &desired);
	assert_contains(plan, "fails   v1  4 legs hold 268435456 bytes, the volume has 268500992");
	assert_lacks(plan, "remove");
	assert_lacks(plan, "unlink");
	desired = rig_desired_controller(&f->arena, &f->volume, 1);
	desired.volumes.items[0].legs.items[0].groups.items[0].members.items[0].state = LD_STATE_STALE;
	desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].state = LD_STATE_STALE;
	plan = plan_of(f, &observed, &desired);
	assert_contains(plan, "fails   v1  group 0 has no member in sync");
	assert_lacks(plan, "remove");
}

static void test_label_of_another(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	struct error error;
	const char *plan;

	controller_complete(f, &desired, &observed);
	rig_agent_restart(&f->agent);
	assert_int_equal(kernel_sim_reboot(f->agent.kernel, &error), 0);
	/* The disks hold the labels of v1; the leader says that v2 lies there, and does not say "format". */
	desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].ld = 77;
	while (rig_wave(&f->agent, &desired) > 0)
		assert_int_equal(f->agent.error.code, 0);
	plan = rig_plan_text(&f->agent, &desired);
	assert_contains(plan, "fails   v1  ld77 cannot be assembled as member 1 of group 0 of leg 0: "
			      "its label is that of another LD");
	assert_lacks(log_take(f), "clearing");
	free((char *)plan);
}

/* --- failing allocations --- */

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	unsigned long n = 0;
	bool failed;

	controller_complete(f, &desired, &observed);
	observed.dms.count /= 2;
	do {
		struct arena arena = ARENA_INIT;
		struct buffer text = BUFFER_INIT;
		struct target target;
		struct plan plan = { 0 };
		struct error error = { 0 };
		int code;

		failing_alloc_arm(++n);
		code = target_build(&desired, &arena, &target, &error);
		if (code == 0)
			code = plan_make(&observed, &target, &arena, &plan, &error);
		if (code == 0 && plan_print(&plan, &text) != 0)
			code = error_set_nomem(&error);
		failed = failing_alloc_disarm();
		assert_int_equal(code, failed ? ERROR_INTERNAL : 0);
		assert_int_equal(error.code, code);
		buffer_free(&text);
		arena_free(&arena);
	} while (failed);
	assert_true(n > 5);
}

/* --- observed and desired as JSON --- */

static void test_plan_from_json(void **state)
{
	struct fixture *f = *state;
	struct buffer observed_text = BUFFER_INIT, desired_text = BUFFER_INIT, text = BUFFER_INIT;
	struct observed observed, read_observed;
	struct desired desired, read_desired;
	struct error error = { 0 };

	controller_complete(f, &desired, &observed);
	assert_int_equal(text_json_print(schema_observed(), &observed, &observed_text, &error), 0);
	assert_int_equal(text_json_print(schema_desired(), &desired, &desired_text, &error), 0);
	assert_int_equal(text_json_parse(schema_observed(), (char *)observed_text.data, observed_text.size - 1,
					 &f->arena, &read_observed, &error),
			 0);
	assert_int_equal(text_json_parse(schema_desired(), (char *)desired_text.data, desired_text.size - 1, &f->arena,
					 &read_desired, &error),
			 0);
	assert_string_equal(plan_of(f, &read_observed, &read_desired), "");
	assert_int_equal(text_observed_print(&read_observed, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	rig_golden("observed", (const char *)text.data);
	assert_int_equal(text_json_parse(schema_desired(), "{\"cluster\": 1.5}", 16, &f->arena, &read_desired, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(
		text_json_parse(schema_desired(), "{\"cluster\": \"x\"}", 16, &f->arena, &read_desired, &error),
		ERROR_INVALID_ARGUMENT);
	assert_contains(error.message, "node");
	assert_int_equal(text_json_parse(schema_desired(), "{", 1, &f->arena, &read_desired, &error),
			 ERROR_INVALID_ARGUMENT);
	buffer_free(&observed_text);
	buffer_free(&desired_text);
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disk_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller, setup, teardown),
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
		cmocka_unit_test_setup_teardown(test_raid_table_compares_by_meaning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counters_do_not_matter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_made_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_things_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_imports_of_others_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contradiction_removes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan_from_json, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
