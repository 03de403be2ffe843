/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The move of slot 0 from cn1 to cn3 as a Disk Node sees it: exports, labels, and the errors of its LDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/label.h"
#include "tests/unit/test_agent_fence_rig.h"
#include "tests/unit/test_text.h"

static uint64_t label_epoch(struct fence *f, const char *device, uint64_t *ret_leg)
{
	uint8_t block[LABEL_BLOCK_BYTES];
	struct ld_label label;
	struct error error = { 0 };

	assert_int_equal(
		f->agent.kernel->operations->block_read(f->agent.kernel, device, 0, block, sizeof(block), &error), 0);
	assert_int_equal(label_decode(block, &f->arena, &label, &error), 0);
	*ret_leg = label.leg;
	return label.epoch;
}

static void test_disk_node_fences(void **state)
{
	struct fence f;
	struct desired desired;
	struct observed observed;
	uint64_t leg;
	const char *log;

	(void)state;
	fence_begin(&f);
	desired = fence_disk(&f);
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "--\n");
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	log = fence_log(&f);
	rig_golden("fence_disk_node", log);
	/* The order of docs/FAILURES.md. */
	assert_order(log, "reject     new", "unlink     " FENCE_SLOT "1");
	assert_order(log, "unlink     " FENCE_SLOT "1", "disable    " FENCE_SLOT "1 1");
	assert_order(log, "disable    " FENCE_SLOT "1 2", "namespace  " FENCE_SLOT "1 1");
	assert_order(log, "link       " FENCE_SLOT "1", "admit      new");
	assert_order(log, "admit      new", "dm      remove     dnvme-ld-ld1");
	assert_order(log, "label   check      dnvme-ld-ld4", "namespace  " FENCE_SLOT "2");
	assert_lacks(log, ":slot:d1.v1.s1");
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld1", &leg), 2);
	assert_int_equal(leg, 1);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld5", &leg), 1);
	observed = fence_observe(&f);
	for (size_t i = 0; i < observed.subsystems.count; i++) {
		if (strcmp(observed.subsystems.items[i].nqn, FENCE_SLOT "1") != 0)
			continue;
		assert_int_equal(observed.subsystems.items[i].namespaces.items[0].group, KERNEL_ANA_INACCESSIBLE);
		assert_string_equal(observed.subsystems.items[i].hosts.items[0], FENCE_NQN ":node:cn1");
	}
	/* A new process has nothing to do, and reads no label of what is exported. */
	rig_agent_restart(&f.agent);
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "--\n");
	/* The old holder is clean. */
	desired.exports.items[0].parked.count = 0;
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_forgets", fence_log(&f));
	fence_end(&f);
}

/* The simulated kernel outlives its process in a file: what an error target has for parameters, none, too. */
static void test_parked_by_the_process_before(void **state)
{
	char path[] = "/tmp/dnvme-sim-XXXXXX";
	struct fence f;
	struct desired desired;
	struct error error = { 0 };
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	close(file);
	assert_int_equal(unlink(path), 0); /* it is read if it is there */
	memset(&f, 0, sizeof(f));
	assert_int_equal(kernel_sim_open(path, &f.agent.kernel, &error), 0);
	assert_int_equal(kernel_sim_disk_add(f.agent.kernel, "/dev/vdb=4GiB", &error), 0);
	f.volume = rig_volume_default();
	fence_disk(&f);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_agent_restart(&f.agent);
	f.agent.kernel->operations->close(f.agent.kernel);
	assert_int_equal(kernel_sim_open(path, &f.agent.kernel, &error), 0);
	fence_log(&f);
	rig_converge(&f.agent, &desired);
	assert_string_equal(fence_log(&f), "--\n");
	desired.exports.items[0].parked.count = 0;
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_forgets", fence_log(&f));
	fence_end(&f);
	assert_int_equal(unlink(path), 0);
}

static void test_disk_node_was_rebooted(void **state)
{
	struct fence f;
	struct desired desired, old;
	struct error error = { 0 };
	uint64_t leg;

	(void)state;
	fence_begin(&f);
	old = fence_disk(&f);
	assert_int_equal(kernel_sim_reboot(f.agent.kernel, &error), 0);
	rig_agent_restart(&f.agent);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_rebooted", fence_log(&f));
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	/* Whoever asks, and whatever was forgotten: the old epoch is not exported again. */
	assert_int_equal(kernel_sim_reboot(f.agent.kernel, &error), 0);
	rig_agent_restart(&f.agent);
	for (size_t refused = 0; rig_wave(&f.agent, &old) > 0; refused++)
		assert_int_equal(f.agent.error.code, refused < 2 ? ERROR_CONFLICT : 0); /* one label after the other */
	assert_contains(fence_log(&f),
			"fails   d1.v1.s0  ld1 is not exported in epoch 1: its label has a later epoch, 2");
	for (size_t i = 0; i < fence_observe(&f).subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &fence_observe(&f).subsystems.items[i];

		if (strcmp(subsystem->nqn, FENCE_SLOT "1") == 0)
			assert_int_equal(subsystem->namespaces.count, 0);
	}
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	fence_end(&f);
}

/* Desired, label and what is said. */
static void test_labels_refuse(void **state)
{
	static const struct {
		bool wanted; /* the desired state says that there is a label */
		uint64_t volume, epoch;
		const char *said; /* NULL: it is exported */
	} cases[] = {
		{ true, 0, 0, "ld1 is not exported: there is no label" },
		{ true, 9, 1, "ld1 is not exported: its label is that of another LD" },
		{ true, 1, 2, "its label has a later epoch, 2" },
		{ true, 1, 1, NULL },
		{ false, 0, 0, NULL },
		{ false, 9, 7, NULL },
		{ false, 1, 1, NULL },
		{ false, 1, 2, "its label has a later epoch, 2" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ld_label label = { .cluster = RIG_CLUSTER,
					  .volume = cases[i].volume,
					  .ld = 1,
					  .epoch = cases[i].epoch,
					  .size_bytes = 4096 };
		uint8_t block[LABEL_BLOCK_BYTES];
		struct desired desired;
		struct error error = { 0 };
		struct fence f;
		const char *log;

		fence_begin(&f);
		f.volume.controllers = 1;
		f.volume.legs = 1;
		desired = rig_desired_disk(&f.arena, &f.volume, 1);
		rig_converge(&f.agent, &desired);
		if (cases[i].volume != 0) {
			label_encode(&label, block);
			assert_int_equal(f.agent.kernel->operations->block_write(f.agent.kernel, "dnvme-ld-ld1", 0,
										 block, sizeof(block), &error),
					 0);
		}
		assert_int_equal(kernel_sim_reboot(f.agent.kernel, &error), 0);
		rig_agent_restart(&f.agent);
		fence_log(&f);
		f.volume.formatted = cases[i].wanted;
		desired = rig_desired_disk(&f.arena, &f.volume, 1);
		/* The wave that reads it stops there; the next one knows, and does nothing. */
		assert_true(rig_wave(&f.agent, &desired) > 0);
		assert_int_equal(f.agent.error.code, cases[i].said != NULL ? ERROR_CONFLICT : 0);
		if (cases[i].said != NULL)
			assert_contains(f.agent.error.message, cases[i].said);
		while (rig_wave(&f.agent, &desired) > 0)
			assert_int_equal(f.agent.error.code, 0);
		log = fence_log(&f);
		if (cases[i].said != NULL) {
			assert_contains(log, "fails   d1.v1.s0  ld1 is not exported");
			assert_contains(log, cases[i].said);
			assert_lacks(log, "nvmet   link");
		} else {
			assert_contains(log, "nvmet   link");
			assert_lacks(log, "fails");
		}
		fence_end(&f);
	}
}

static void test_label_with_a_later_epoch(void **state)
{
	struct action action = { .kind = ACTION_LABEL_CHECK,
				 .name = "dnvme-ld-ld1",
				 .uuid = "",
				 .label = { .cluster = RIG_CLUSTER,
					    .volume = 1,
					    .ld = 1,
					    .leg = 1,
					    .epoch = 2,
					    .size_bytes = 4096,
					    .formatted = true } };
	struct observed_label observed = { 0 };
	struct error error = { 0 };
	struct desired desired;
	struct fence f;
	uint64_t leg;

	(void)state;
	fence_begin(&f);
	desired = fence_disk(&f);
	fence_labels_write(&f, &desired, 3, true);
	assert_int_equal(action_execute(&action, f.agent.kernel, &f.arena, &observed, &error), ERROR_CONFLICT);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld1", &leg), 3);
	fence_end(&f);
}

/* A simulated node among others: nobody writes labels to its disk but itself. */
static void test_assumed_labels(void **state)
{
	struct desired desired;
	struct fence f;
	uint64_t leg;

	(void)state;
	fence_begin(&f);
	kernel_sim_labels_assume(f.agent.kernel);
	f.volume.formatted = true;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	fence_end(&f);
}

static size_t errors_of(struct fence *f, const struct desired *desired, uint64_t ld)
{
	struct object_status_list list = fence_statuses(f, desired);
	const struct object_status *status = fence_status_find(&list, OBJECT_KIND_EXPORT, "d1.v1.s0");

	assert_non_null(status);
	assert_int_equal(status->state, OBJECT_STATE_CONVERGED);
	for (size_t i = 0; i < status->errors.count; i++) {
		if (status->errors.items[i].ld == ld)
			return status->errors.items[i].reads + status->errors.items[i].writes +
			       status->errors.items[i].missed;
	}
	return 0;
}

/* What an LD returned is told with the confirmation of its fence, until it is rebuilt. */
static void test_errors_of_disk(void **state)
{
	struct fence f;
	struct desired desired;
	struct error error = { 0 };
	struct desired_ld *ld;

	(void)state;
	fence_begin(&f);
	desired = fence_disk(&f);
	ld = &desired.exports.items[0].lds.items[0];
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 1, 1, &error), 0);
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, 4711, 1, 1, &error), 0);
	assert_int_equal(errors_of(&f, &desired, ld->id), 2);
	/* A new process, and a new epoch. */
	rig_agent_restart(&f.agent);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	ld = &desired.exports.items[0].lds.items[0];
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 2);
	assert_int_equal(errors_of(&f, &desired, 4711), 0);
	/* A rebuild makes it whole, once: what happens in its course counts. */
	fence_log(&f);
	ld->rebuild_ms = 77;
	ld->formatted = false;
	rig_converge(&f.agent, &desired);
	assert_contains(fence_log(&f), "errors  forget     ld1, which is rebuilt");
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 0, 1, &error), 0);
	rig_converge(&f.agent, &desired);
	assert_lacks(fence_log(&f), "forget");
	assert_int_equal(errors_of(&f, &desired, ld->id), 1);
	ld->rebuild_ms = 78;
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	/* So does an operator who takes it by force. */
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 1, 0, &error), 0);
	ld->rebuild_ms = 79;
	ld->formatted = true;
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 1, 0, &error), 0);
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 1);
	ld->rebuild_ms = 80;
	ld->formatted = false;
	rig_converge(&f.agent, &desired);
	/* It may have returned some: that is nothing to an LD on which nothing was, and no less than an error else. */
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 0, 0, &error), 0);
	ld->rebuild_ms = 0;
	ld->formatted = true;
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 1);
	ld->formatted = false;
	rig_converge(&f.agent, &desired);
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	fence_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_node_fences),	 cmocka_unit_test(test_parked_by_the_process_before),
		cmocka_unit_test(test_disk_node_was_rebooted),	 cmocka_unit_test(test_labels_refuse),
		cmocka_unit_test(test_label_with_a_later_epoch), cmocka_unit_test(test_assumed_labels),
		cmocka_unit_test(test_errors_of_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
