/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume that is in use grows: formatting, joining and resizing on its controllers, and whoever dies in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/label.h"
#include "agent/planner.h"
#include "lib/base/error.h"
#include "lib/model/layout.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"

enum phase { BEFORE, FORMATTING, JOINING, RESIZING };

struct fixture {
	struct rig_volume volume;
	struct rig_agent agent;
	struct arena arena;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error error;

	assert_non_null(f);
	f->volume = rig_volume_default();
	f->volume.legs_wanted = f->volume.top_wanted = true;
	f->volume.groups = 2; /* the second one is new */
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

/* What controller 1 is told while its volume grows to twice its size. */
static struct desired told(struct fixture *f, enum phase phase)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);
	struct desired_volume *volume = &desired.volumes.items[0];
	uint64_t served = phase == RESIZING ? 2 : 1;

	volume->grown = phase >= JOINING;
	for (size_t i = 0; i < volume->legs.count; i++) {
		struct desired_leg *leg = &volume->legs.items[i];

		leg->block_bytes = layout_thin_block_bytes(f->volume.leg_bytes);
		if (!leg->local) {
			leg->size_bytes = f->volume.leg_bytes * served;
			continue;
		}
		if (phase == BEFORE)
			leg->groups.count = 1;
		leg->groups.items[leg->groups.count - 1].format = phase == FORMATTING;
		if (phase >= JOINING)
			leg->size_bytes = f->volume.leg_bytes * 2;
		if (phase == JOINING && leg->thick)
			leg->fill_from_bytes = f->volume.leg_bytes;
	}
	volume->size_bytes *= served;
	return desired;
}

static const char *phase_log(struct fixture *f, enum phase phase)
{
	struct desired desired = told(f, phase);

	rig_converge(&f->agent, &desired);
	return rig_log_take(&f->agent, &f->arena);
}

static void assert_nothing_to_do(struct fixture *f, enum phase phase)
{
	assert_string_equal(phase_log(f, phase), "--\n");
}

static void begin(struct fixture *f)
{
	f->volume.formatted = true;
	phase_log(f, BEFORE);
}

static void golden_phases(struct fixture *f, const char *const names[3])
{
	for (int phase = FORMATTING; phase <= RESIZING; phase++) {
		rig_golden(names[phase - FORMATTING], phase_log(f, phase));
		/* A new process, too, finds nothing to do. */
		rig_agent_restart(&f->agent);
		phase_log(f, phase); /* it reads what labels say */
		assert_nothing_to_do(f, phase);
	}
}

static void test_thin(void **state)
{
	static const char *const names[] = { "grow_formatting", "grow_joining", "grow_resizing" };

	begin(*state);
	golden_phases(*state, names);
}

static void test_thick(void **state)
{
	static const char *const names[] = { "grow_thick_formatting", "grow_thick_joining", "grow_thick_resizing" };
	struct fixture *f = *state;

	f->volume.thick = f->volume.strict = true;
	begin(f);
	golden_phases(f, names);
}

static size_t count(const char *text, const char *part)
{
	size_t found = 0;

	while ((text = strstr(text, part)) != NULL) {
		found++;
		text++;
	}
	return found;
}

/* What was mapped is not mapped again, whatever the process knows: zeros over it would be a loss. */
static void test_filled_once(void **state)
{
	struct fixture *f = *state;
	const char *log;

	f->volume.thick = true;
	begin(f);
	phase_log(f, FORMATTING);
	assert_int_equal(count(phase_log(f, JOINING), "block   fill"), 2);
	rig_agent_restart(&f->agent);
	log = phase_log(f, JOINING);
	assert_int_equal(count(log, "block   fill"), 0);
	assert_true(count(log, "label   read") > 0);
}

/* Cancelled: what was made for the new group goes, and nothing else is touched. */
static void test_undo(void **state)
{
	struct fixture *f = *state;
	struct observed before, after;
	struct arena arena = ARENA_INIT;
	struct error error;

	begin(f);
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &before, &error), 0);
	phase_log(f, FORMATTING);
	rig_golden("grow_undoing", phase_log(f, BEFORE));
	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &arena, &after, &error), 0);
	assert_int_equal(after.dms.count, before.dms.count);
	for (size_t i = 0; i < after.dms.count; i++) {
		assert_string_equal(after.dms.items[i].name, before.dms.items[i].name);
		assert_int_equal(after.dms.items[i].event, before.dms.items[i].event);
	}
	arena_free(&arena);
}

/* As if it had been written in another epoch. */
static void label_set_epoch(struct fixture *f, const char *device, uint64_t epoch)
{
	const struct kernel_operations *operations = f->agent.kernel->operations;
	uint8_t block[LABEL_BLOCK_BYTES];
	struct ld_label label;
	struct error error;

	assert_int_equal(operations->block_read(f->agent.kernel, device, 0, block, sizeof(block), &error), 0);
	assert_int_equal(label_decode(block, &f->arena, &label, &error), 0);
	assert_true(label.formatted);
	label.epoch = epoch;
	label_encode(&label, block);
	assert_int_equal(operations->block_write(f->agent.kernel, device, 0, block, sizeof(block), &error), 0);
	rig_agent_restart(&f->agent);
}

/* A new holder formats anew what an earlier one had formatted, as nobody used it; but not what a later one may. */
static void test_earlier_epoch(void **state)
{
	struct fixture *f = *state;
	struct desired desired;
	struct arena arena = ARENA_INIT;
	struct plan plan;

	f->volume.moved_to = 1; /* the same one began anew: epoch 2 */
	begin(f);
	phase_log(f, FORMATTING);
	label_set_epoch(f, "dnvme-label-ld3", 1);
	assert_int_equal(count(phase_log(f, FORMATTING), "label   write      dnvme-label-ld3"), 1);
	rig_agent_restart(&f->agent);
	assert_int_equal(count(phase_log(f, FORMATTING), "label   write"), 0);
	label_set_epoch(f, "dnvme-label-ld3", 3);
	desired = told(f, FORMATTING);
	rig_wave(&f->agent, &desired);
	plan = rig_plan(&f->agent, &desired, &arena);
	assert_int_equal(plan.actions.count, 0);
	assert_int_equal(plan.notes.count, 1);
	assert_int_equal(plan.notes.items[0].kind, PLAN_NOTE_FAILS);
	assert_non_null(strstr(plan.notes.items[0].text, "its label has a later epoch"));
	arena_free(&arena);
}

/* What was mapped is not mapped again, though the member that says so is the only one that is left. */
static void test_mark_survives(void **state)
{
	struct fixture *f = *state;
	struct target_group group = { .count = 2 };
	struct observed_label labels[1];
	struct ld_label label = { .cluster = RIG_CLUSTER, .volume = 1, .ld = 3, .filled_bytes = 77 };
	struct observed observed = { .labels = { 1, labels } };
	struct planner planner = { .observed = &observed };

	labels[0] = (struct observed_label){ .device = "dnvme-label-ld3", .uuid = "u", .label = &label };
	group.members[0] = (struct target_member){ .ld = 3, .state = LD_STATE_IN_SYNC };
	group.members[0].label = (struct target_label){ "dnvme-label-ld3", "u", label };
	group.members[1] = (struct target_member){ .ld = 4, .state = LD_STATE_REBUILDING };
	(void)f;
	/* It is written into the label of one that comes in. */
	assert_int_equal(planner_group_filled(&planner, &group), 77);
	group.members[0].state = LD_STATE_STALE;
	assert_int_equal(planner_group_filled(&planner, &group), 0);
	group.members[0].state = LD_STATE_IN_SYNC;
	label.ld = 5;
	assert_int_equal(planner_group_filled(&planner, &group), 0);
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;

	f->volume.thick = f->volume.strict = true;
	begin(f);
	for (int phase = FORMATTING; phase <= RESIZING; phase++) {
		struct desired desired = told(f, (enum phase)phase);
		unsigned waves = 0;

		do {
			struct observed observed;
			unsigned long n = 0;
			bool failed;

			assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed,
									      &(struct error){ 0 }),
					 0);
			observed.labels = f->agent.labels;
			do {
				struct arena arena = ARENA_INIT;
				struct target target;
				struct plan plan = { 0 };
				struct error error = { 0 };
				int code;

				failing_alloc_arm(++n);
				code = target_build(&desired, &arena, &target, &error);
				if (code == 0)
					code = plan_make(&observed, &target, &arena, &plan, &error);
				failed = failing_alloc_disarm();
				assert_int_equal(code, failed ? ERROR_INTERNAL : 0);
				arena_free(&arena);
			} while (failed);
			assert_true(n > 5 && ++waves < 20);
		} while (rig_wave(&f->agent, &desired) > 0);
	}
}

static struct observed_target line(uint64_t start, uint64_t length, const char *type, const char *params)
{
	return (struct observed_target){ start, length, (char *)type, (char *)params };
}

static bool grows(struct observed_target *old, size_t old_count, struct observed_target *new, size_t new_count)
{
	const struct observed_target_list a = { old_count, old }, b = { new_count, new };

	return planner_table_grows(&a, &b);
}

/* More behind its end, and nothing else. */
static void test_table(void **state)
{
	struct observed_target a[2] = { line(0, 8, "linear", "253:1 0"), line(8, 8, "linear", "253:2 0") };
	struct observed_target b[3] = { a[0], a[1], line(16, 8, "linear", "253:3 0") };
	struct observed_target pool = line(0, 100, "thin-pool", "253:1 253:2 128 7 0 ");
	struct observed_target larger = line(0, 200, "thin-pool", "253:1 253:2 128 11 0");
	struct observed_target other = larger;

	(void)state;
	assert_true(grows(a, 1, a, 2));
	assert_true(grows(a, 2, b, 3));
	assert_false(grows(a, 2, a, 2));
	assert_false(grows(b, 3, a, 2));
	assert_false(grows(a, 0, a, 2));
	b[1].params = "253:9 0";
	assert_false(grows(a, 2, b, 3));
	b[1] = line(8, 16, "linear", "253:2 0");
	assert_false(grows(a, 2, b, 3)); /* the last line is longer, and more follow */
	assert_true(grows(a, 2, b, 2));
	assert_true(grows(&pool, 1, &larger, 1));
	other.params = "253:1 253:3 128 11 0";
	assert_false(grows(&pool, 1, &other, 1));
	other.params = "253:1 253:2 256 11 0";
	assert_false(grows(&pool, 1, &other, 1));
	other = line(0, 200, "error", "");
	assert_false(grows(&pool, 1, &other, 1));
}

/* Die after each operation in turn: what is left is finished, and comes out the same. */
static unsigned countdown;

static int power_fails(void *data, const char *operation, const char *name, struct error *error)
{
	(void)data;
	(void)name;
	if (strcmp(operation, "observe") == 0)
		return 0;
	if (countdown-- > 0)
		return 0;
	countdown = 0;
	return error_set(error, ERROR_UNAVAILABLE, "the agent died");
}

static void test_crash(void **state)
{
	struct fixture *whole = *state;
	bool died = true;

	for (unsigned step = 0; died; step++) {
		struct fixture f = { .volume = whole->volume };
		struct error error;
		struct desired desired;

		f.volume.thick = f.volume.strict = true;
		assert_int_equal(kernel_sim_open(NULL, &f.agent.kernel, &error), 0);
		begin(&f);
		countdown = step;
		died = false;
		for (int phase = FORMATTING; phase <= RESIZING; phase++) {
			desired = told(&f, (enum phase)phase);
			if (!died) {
				kernel_sim_fault_set(f.agent.kernel, power_fails, NULL);
				f.agent.power_lost = true;
				error_clear(&f.agent.error);
				for (int i = 0; i < 50 && f.agent.error.code == 0 && rig_wave(&f.agent, &desired) > 0;
				     i++)
					;
				died = f.agent.error.code != 0;
				kernel_sim_fault_set(f.agent.kernel, NULL, NULL);
				f.agent.power_lost = false;
				error_clear(&f.agent.error);
				rig_agent_restart(&f.agent);
			}
			rig_converge(&f.agent, &desired);
		}
		desired = told(&f, RESIZING);
		rig_agent_restart(&f.agent);
		{
			char *text = rig_plan_text(&f.agent, &desired);

			assert_string_equal(text, "");
			free(text);
		}
		rig_agent_free(&f.agent);
		arena_free(&f.arena);
		assert_true(step < 500);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_thin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thick, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filled_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_earlier_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mark_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
