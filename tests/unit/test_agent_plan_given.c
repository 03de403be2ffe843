/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans for what was observed as it is given: printed differently, not ours, contradicting; memory that ends; JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/text.h"
#include "lib/model/names.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"
#include "tests/unit/test_text.h"

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
	return rig_log_take(&fixture->agent, &fixture->arena);
}

static void assert_plan(struct rig_agent *agent, const struct desired *desired, const char *wanted)
{
	char *text = rig_plan_text(agent, desired);

	assert_string_equal(text, wanted);
	free(text);
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

static const char *observed_params(const struct observed *observed, const char *device)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (strcmp(observed->dms.items[i].name, device) == 0)
			return observed->dms.items[i].targets.items[0].params;
	}
	fail_msg("no %s", device);
	return NULL;
}

/* Have a device lie on another one besides. */
static void lie_on(struct fixture *f, struct observed *observed, const char *device, const char *below)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_dm *dm = &observed->dms.items[i];

		if (strcmp(dm->name, below) == 0)
			observed_edit(f, observed, device,
				      arena_printf(&f->arena, "%s %u:%u", observed_params(observed, device),
						   (unsigned)dm->major, (unsigned)dm->minor));
	}
}

/* Devices are looked at one after the other, and numbers are used again: what was seen may be a circle. All of it
 * stays, and the imports below it. */
static void test_circle(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct observed observed;
	const char *plan;

	controller_complete(f, &desired, &observed);
	desired.volumes.count = 0;
	assert_contains(plan_of(f, &observed, &desired), "remove     dnvme-volume-v1");
	lie_on(f, &observed, "dnvme-volume-v1", "dnvme-volume-v1");
	plan = plan_of(f, &observed, &desired);
	assert_null(strstr(plan, "remove     dnvme-volume-v1"));
	assert_contains(plan, "dnvme-volume-v1 is under dnvme-volume-v1");
	lie_on(f, &observed, "dnvme-raid-v1.l0.g0", "dnvme-volume-v1");
	observed.subsystems.count = 0;
	plan = plan_of(f, &observed, &desired);
	assert_null(strstr(plan, "remove     dnvme-volume-v1"));
	assert_contains(plan, "dnvme-volume-v1 is under dnvme-raid-v1.l0.g0");
	assert_contains(plan, "the import of nqn.2026-11.io.dnvme:k3v9:slot:d1.v1.s0:e1 is under dnvme-label-ld1");
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

/* An agent died while a device was suspended, and nothing of the volume is wanted when it is back. To disable the
 * namespace would wait for what waits there. */
static void test_left_suspended(void **state)
{
	static const char *const names[] = { "dnvme-raid-v1.l0.g0", "dnvme-thindata-v1.l0", "dnvme-volume-v1" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");
		const char *log, *unlink, *resume, *disable;
		struct observed observed;
		struct error error = { 0 };

		controller_complete(f, &desired, &observed);
		assert_int_equal(f->agent.kernel->operations->dm_suspend(f->agent.kernel, names[i], &error), 0);
		rig_agent_restart(&f->agent);
		rig_converge(&f->agent, &nothing);
		log = log_take(f);
		unlink = strstr(log, "nvmet   unlink     nqn.2026-11.io.dnvme:" RIG_CLUSTER ":volume:v1");
		resume = strstr(log, arena_printf(&f->arena, "dm      resume     %s\n", names[i]));
		disable = strstr(log, "nvmet   disable    nqn.2026-11.io.dnvme:" RIG_CLUSTER ":volume:v1");
		assert_non_null(unlink);
		assert_non_null(resume);
		assert_non_null(disable);
		assert_true(unlink < resume && resume < disable);
		assert_plan(&f->agent, &nothing, "");
	}
}

/* Over a path that does not answer the resume would hang, too: the import goes first. */
static void test_left_suspended_over_a_lost_path(void **state)
{
	struct fixture *f = *state;
	struct desired desired, nothing = rig_desired_nothing(&f->arena, "cn1");
	struct observed observed;

	controller_complete(f, &desired, &observed);
	for (size_t i = 0; i < observed.dms.count; i++)
		observed.dms.items[i].suspended = strcmp(observed.dms.items[i].name, "dnvme-raid-v1.l0.g0") == 0;
	for (size_t i = 0; i < observed.ports.count; i++)
		observed.ports.items[i].subsystems.count = 0;
	assert_contains(plan_of(f, &observed, &nothing), "dm      resume     dnvme-raid-v1.l0.g0");
	observed.imports.items[0].state = "connecting";
	assert_lacks(plan_of(f, &observed, &nothing), "dm      resume");
	assert_contains(plan_of(f, &observed, &nothing), "nvme    drop ");
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
		assert_true(f->agent.error.code == 0 || f->agent.error.code == ERROR_CONFLICT);
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
		cmocka_unit_test_setup_teardown(test_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raid_table_compares_by_meaning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counters_do_not_matter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_made_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_suspended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_suspended_over_a_lost_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_things_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_imports_of_others_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contradiction_removes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan_from_json, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
