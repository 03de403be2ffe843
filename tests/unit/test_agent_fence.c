/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The move of slot 0 from cn1 to cn3 as each node sees it, as golden texts; and a crash of the agent behind every
 * single kernel call of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/label.h"
#include "agent/list.h"
#include "agent/status.h"
#include "lib/model/names.h"
#include "tests/unit/test_agent_rig.h"

#define SLOT RIG_NQN ":slot:d1.v1.s0:e"
#define RIG_NQN "nqn.2026-11.io.dnvme:" RIG_CLUSTER

struct fixture {
	struct arena arena;
	struct rig_agent agent;
	struct rig_volume volume;
};

static void begin(struct fixture *f)
{
	struct error error = { 0 };

	memset(f, 0, sizeof(*f));
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	assert_int_equal(kernel_sim_disk_add(f->agent.kernel, "/dev/vdb=4GiB", &error), 0);
	f->volume = rig_volume_default();
}

static void end(struct fixture *f)
{
	rig_agent_free(&f->agent);
	arena_free(&f->arena);
}

static const char *log_take(struct fixture *f)
{
	const char *text;

	assert_int_equal(buffer_append(&f->agent.log, "", 1), 0);
	text = arena_strdup(&f->arena, (const char *)f->agent.log.data);
	buffer_clear(&f->agent.log);
	return text;
}

static struct observed observe(struct fixture *f)
{
	struct observed observed;
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	return observed;
}

static void assert_empty(struct fixture *f)
{
	struct observed observed = observe(f);

	assert_int_equal(observed.dms.count + observed.subsystems.count + observed.ports.count + observed.hosts.count +
				 observed.imports.count,
			 0);
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

static void assert_order(const char *text, const char *first, const char *second)
{
	assert_contains(text, first);
	assert_contains(text, second);
	if (strstr(text, first) > strstr(text, second))
		fail_msg("\"%s\" comes before \"%s\" in:\n%s", second, first, text);
}

/* --- the Disk Node --- */

/* What the holder of an epoch wrote at the start of each LD of slot 0. */
static void labels_write(struct fixture *f, const struct desired *desired, uint64_t epoch, bool formatted)
{
	const struct desired_export *export = &desired->exports.items[0];

	for (size_t i = 0; i < desired->exports.count; i++, export ++) {
		for (size_t j = 0; j < export->lds.count; j++) {
			struct ld_label label = { .cluster = RIG_CLUSTER,
						  .volume = 1,
						  .leg = export->lds.items[j].id,
						  .ld = export->lds.items[j].id,
						  .epoch = epoch,
						  .size_bytes = 4096,
						  .formatted = formatted };
			uint8_t block[LABEL_BLOCK_BYTES];
			struct error error = { 0 };
			char id[NAMES_ID_SIZE], name[NAMES_DM_SIZE];

			names_id_format("ld", export->lds.items[j].id, id);
			names_dm_name("ld", id, name);
			label_encode(&label, block);
			assert_int_equal(f->agent.kernel->operations->block_write(f->agent.kernel, name, 0, block,
										  sizeof(block), &error),
					 0);
		}
	}
}

static uint64_t label_epoch(struct fixture *f, const char *device, uint64_t *ret_leg)
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

static struct desired disk_in_use(struct fixture *f)
{
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1);

	rig_converge(&f->agent, &desired);
	labels_write(f, &desired, 1, true);
	f->volume.formatted = true;
	log_take(f);
	return rig_desired_disk(&f->arena, &f->volume, 1);
}

static void test_disk_node_fences(void **state)
{
	struct fixture f;
	struct desired desired;
	struct observed observed;
	uint64_t leg;
	const char *log;

	(void)state;
	begin(&f);
	desired = disk_in_use(&f);
	rig_converge(&f.agent, &desired);
	assert_string_equal(log_take(&f), "--\n");
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	log = log_take(&f);
	rig_golden("fence_disk_node", log);
	/* The order of docs/FAILURES.md. */
	assert_order(log, "reject     new", "unlink     " SLOT "1");
	assert_order(log, "unlink     " SLOT "1", "disable    " SLOT "1 1");
	assert_order(log, "disable    " SLOT "1 2", "namespace  " SLOT "1 1");
	assert_order(log, "link       " SLOT "1", "admit      new");
	assert_order(log, "admit      new", "dm      remove     dnvme-ld-ld1");
	assert_order(log, "label   raise      dnvme-ld-ld4", "namespace  " SLOT "2");
	assert_lacks(log, ":slot:d1.v1.s1");
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld1", &leg), 2);
	assert_int_equal(leg, 1);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld5", &leg), 1);
	observed = observe(&f);
	for (size_t i = 0; i < observed.subsystems.count; i++) {
		if (strcmp(observed.subsystems.items[i].nqn, SLOT "1") != 0)
			continue;
		assert_int_equal(observed.subsystems.items[i].namespaces.items[0].group, KERNEL_ANA_INACCESSIBLE);
		assert_string_equal(observed.subsystems.items[i].hosts.items[0], RIG_NQN ":node:cn1");
	}
	/* A new process has nothing to do, and reads no label of what is exported. */
	rig_agent_restart(&f.agent);
	rig_converge(&f.agent, &desired);
	assert_string_equal(log_take(&f), "--\n");
	/* The old holder is clean. */
	desired.exports.items[0].parked.count = 0;
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_forgets", log_take(&f));
	end(&f);
}

/* The simulated kernel outlives its process in a file: what an error target has for parameters, none, too. */
static void test_parked_by_the_process_before(void **state)
{
	char path[] = "/tmp/dnvme-sim-XXXXXX";
	struct fixture f;
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
	disk_in_use(&f);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_agent_restart(&f.agent);
	f.agent.kernel->operations->close(f.agent.kernel);
	assert_int_equal(kernel_sim_open(path, &f.agent.kernel, &error), 0);
	log_take(&f);
	rig_converge(&f.agent, &desired);
	assert_string_equal(log_take(&f), "--\n");
	desired.exports.items[0].parked.count = 0;
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_forgets", log_take(&f));
	end(&f);
	assert_int_equal(unlink(path), 0);
}

static void test_disk_node_was_rebooted(void **state)
{
	struct fixture f;
	struct desired desired, old;
	struct error error = { 0 };
	uint64_t leg;

	(void)state;
	begin(&f);
	old = disk_in_use(&f);
	assert_int_equal(kernel_sim_reboot(f.agent.kernel, &error), 0);
	rig_agent_restart(&f.agent);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_disk_node_rebooted", log_take(&f));
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	/* Whoever asks, and whatever was forgotten: the old epoch is not exported again. */
	assert_int_equal(kernel_sim_reboot(f.agent.kernel, &error), 0);
	rig_agent_restart(&f.agent);
	while (rig_wave(&f.agent, &old) > 0)
		assert_int_equal(f.agent.error.code, 0);
	assert_contains(log_take(&f),
			"fails   d1.v1.s0  ld1 is not exported in epoch 1: its label has a later epoch, 2");
	for (size_t i = 0; i < observe(&f).subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &observe(&f).subsystems.items[i];

		if (strcmp(subsystem->nqn, SLOT "1") == 0)
			assert_int_equal(subsystem->namespaces.count, 0);
	}
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	end(&f);
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
		struct fixture f;
		const char *log;

		begin(&f);
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
		log_take(&f);
		f.volume.formatted = cases[i].wanted;
		desired = rig_desired_disk(&f.arena, &f.volume, 1);
		while (rig_wave(&f.agent, &desired) > 0)
			assert_int_equal(f.agent.error.code, 0);
		log = log_take(&f);
		if (cases[i].said != NULL) {
			assert_contains(log, cases[i].said);
			assert_lacks(log, "nvmet   link");
		} else {
			assert_contains(log, "nvmet   link");
			assert_lacks(log, "fails");
		}
		end(&f);
	}
}

static void test_label_changed_before_it_is_raised(void **state)
{
	struct action action = { .kind = ACTION_LABEL_RAISE,
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
	struct fixture f;
	uint64_t leg;

	(void)state;
	begin(&f);
	desired = disk_in_use(&f);
	labels_write(&f, &desired, 3, true);
	assert_int_equal(action_execute(&action, f.agent.kernel, &f.arena, &observed, &error), ERROR_CONFLICT);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld1", &leg), 3);
	end(&f);
}

/* A simulated node among others: nobody writes labels to its disk but itself. */
static void test_assumed_labels(void **state)
{
	struct desired desired;
	struct fixture f;
	uint64_t leg;

	(void)state;
	begin(&f);
	kernel_sim_labels_assume(f.agent.kernel);
	f.volume.formatted = true;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	f.volume.moved_to = 3;
	desired = rig_desired_disk(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	assert_int_equal(label_epoch(&f, "dnvme-ld-ld4", &leg), 2);
	end(&f);
}

/* --- the other holder --- */

static struct desired holder(struct fixture *f, unsigned number)
{
	struct desired desired;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, number);
	rig_converge(&f->agent, &desired);
	f->volume.format = false;
	log_take(f);
	return rig_desired_controller(&f->arena, &f->volume, number);
}

static void test_other_holder(void **state)
{
	struct desired desired;
	struct fixture f;
	const char *log;

	(void)state;
	begin(&f);
	holder(&f, 2);
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	rig_converge(&f.agent, &desired);
	log = log_take(&f);
	rig_golden("fence_other_holder", log);
	assert_order(log, "reject     new", "unlink     " RIG_NQN ":leg:v1.s1.cn1");
	assert_order(log, "disable    " RIG_NQN ":leg:v1.s1.cn1 4", "namespace  " RIG_NQN ":leg:v1.s1.cn1 3");
	/* The new holder serves: its path first, then the old one, which nobody answers. */
	f.volume.address_is_old = false;
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.1", "connecting", "optimized");
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_remote_leg_moves", log_take(&f));
	end(&f);
}

/* The holder itself waits for a Disk Node: what the consumer wrote may still come down. */
static void test_consumer_over_a_lost_path(void **state)
{
	struct desired desired;
	struct fixture f;
	char *plan;

	(void)state;
	begin(&f);
	holder(&f, 2);
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":slot:d1.v1.s1:e1", "10.0.1.1", "connecting", "");
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	while (rig_wave(&f.agent, &desired) > 0)
		assert_int_equal(f.agent.error.code, 0);
	rig_golden("fence_consumer_over_a_lost_path", log_take(&f));
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":slot:d1.v1.s1:e1", "10.0.1.1", "live", "optimized");
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	end(&f);
}

/* A consumer that may not connect anew keeps the connection that it has. */
static void test_consumer_closed(void **state)
{
	struct desired_consumer *consumer;
	struct desired desired;
	struct fixture f;
	char *plan;

	(void)state;
	begin(&f);
	desired = holder(&f, 2);
	consumer = &desired.volumes.items[0].consumers.items[0];
	consumer->admitted = false;
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvmet   deny       " RIG_NQN ":leg:v1.s1.cn1  " RIG_NQN ":node:cn1");
	assert_lacks(plan, "unlink");
	free(plan);
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	consumer->admitted = true;
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvmet   allow      " RIG_NQN ":leg:v1.s1.cn1  " RIG_NQN ":node:cn1");
	assert_lacks(plan, "unlink");
	free(plan);
	rig_converge(&f.agent, &desired);
	consumer->admitted = false;
	rig_converge(&f.agent, &desired);
	/* Fenced: it may come in again, to what is inaccessible. */
	consumer->parked = true;
	plan = rig_plan_text(&f.agent, &desired);
	assert_order(plan, "nvmet   unlink     " RIG_NQN ":leg:v1.s1.cn1",
		     "nvmet   allow      " RIG_NQN ":leg:v1.s1.cn1");
	free(plan);
	rig_converge(&f.agent, &desired);
	plan = rig_plan_text(&f.agent, &desired);
	assert_string_equal(plan, "");
	free(plan);
	end(&f);
}

static void test_old_path_stays_without_the_new(void **state)
{
	struct desired desired;
	struct fixture f;
	char *plan;

	(void)state;
	begin(&f);
	holder(&f, 2);
	f.volume.moved_to = 3;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.1", "connecting", "");
	rig_wave(&f.agent, &desired);
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.3", "connecting", "");
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	assert_lacks(plan, "disconnect");
	free(plan);
	/* The new one is live, but one of its two namespaces is not there yet. */
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.3", "live", "");
	kernel_sim_paths_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.3", 1);
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	assert_lacks(plan, "disconnect");
	free(plan);
	kernel_sim_paths_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.3", 2);
	/* The old holder is dead, and this kernel has not noticed: it is never deleted as if it were well. */
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.1", "live", "optimized");
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":leg:v1.s0.cn2", "10.0.2.3", "live", "optimized");
	plan = rig_plan_text(&f.agent, &desired);
	assert_contains(plan, "nvme    drop       " RIG_NQN ":leg:v1.s0.cn2 at 10.0.2.1:20001");
	assert_lacks(plan, "disconnect");
	free(plan);
	end(&f);
}

static const struct object_status *status_find(const struct object_status_list *list, enum object_kind kind,
					       const char *id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].kind == kind && strcmp(list->items[i].id, id) == 0)
			return &list->items[i];
	}
	fail_msg("no status of %s", id);
	return NULL;
}

static struct object_status_list statuses(struct fixture *f, const struct desired *desired)
{
	struct plan plan = rig_plan(&f->agent, desired, &f->arena);
	struct observed observed = observe(f);
	struct status_lane_list lanes = { 0 };
	struct object_status_list list;
	struct error error = { 0 };

	assert_int_equal(status_make(desired, &observed, &plan, &lanes, &f->arena, &list, &error), 0);
	return list;
}

static size_t errors_of(struct fixture *f, const struct desired *desired, uint64_t ld)
{
	struct object_status_list list = statuses(f, desired);
	const struct object_status *status = status_find(&list, OBJECT_KIND_EXPORT, "d1.v1.s0");

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
	struct fixture f;
	struct desired desired;
	struct error error = { 0 };
	struct desired_ld *ld;

	(void)state;
	begin(&f);
	desired = disk_in_use(&f);
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
	log_take(&f);
	ld->rebuild_ms = 77;
	ld->formatted = false;
	rig_converge(&f.agent, &desired);
	assert_contains(log_take(&f), "errors  forget     ld1, which is rebuilt");
	assert_int_equal(errors_of(&f, &desired, ld->id), 0);
	assert_int_equal(kernel_sim_errors_add(f.agent.kernel, ld->id, 0, 1, &error), 0);
	rig_converge(&f.agent, &desired);
	assert_lacks(log_take(&f), "forget");
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
	end(&f);
}

static void test_status_of_consumers(void **state)
{
	struct desired desired, gone;
	struct object_status_list list;
	struct fixture f;

	(void)state;
	begin(&f);
	desired = holder(&f, 2);
	list = statuses(&f, &desired);
	assert_int_equal(status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->state, OBJECT_STATE_CONVERGED);
	assert_int_equal(status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->revision, 9);
	assert_int_equal(status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_CONVERGED);
	/* To shut a consumer out is a matter between it and the leader, to serve one is part of the volume. */
	f.volume.moved_to = 3;
	f.volume.address_is_old = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	desired.volumes.items[0].consumers.items[0] = desired.volumes.items[0].consumers.items[1];
	desired.volumes.items[0].consumers.count = 1;
	list = statuses(&f, &desired);
	assert_int_equal(status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn1")->state, OBJECT_STATE_PENDING);
	assert_int_equal(status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_CONVERGED);
	desired = rig_desired_controller(&f.arena, &f.volume, 2);
	list = statuses(&f, &desired);
	assert_int_equal(status_find(&list, OBJECT_KIND_CONSUMER, "v1.s1.cn3")->state, OBJECT_STATE_PENDING);
	assert_int_equal(status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_PENDING);
	/* A volume is absent only when its exports to consumers are. */
	gone = rig_desired_nothing(&f.arena, "cn2");
	*LIST_PUSH(&f.arena, &gone.removed) =
		(struct object_ref){ .kind = OBJECT_KIND_VOLUME, .id = "v1", .revision = 10 };
	list = statuses(&f, &gone);
	assert_int_equal(status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_PENDING);
	rig_converge(&f.agent, &gone);
	list = statuses(&f, &gone);
	assert_int_equal(status_find(&list, OBJECT_KIND_VOLUME, "v1")->state, OBJECT_STATE_ABSENT);
	end(&f);
}

/* --- the old holder --- */

static void all_imports(struct fixture *f, const char *state, const char *ana)
{
	struct observed observed = observe(f);

	for (size_t i = 0; i < observed.imports.count; i++)
		kernel_sim_path_set(f->agent.kernel, observed.imports.items[i].nqn, observed.imports.items[i].address,
				    state, ana);
}

static void old_holder_goes(const char *state, const char *ana, const char *golden)
{
	struct desired nothing;
	struct fixture f;
	const char *log;

	begin(&f);
	holder(&f, 1);
	all_imports(&f, state, ana);
	nothing = rig_desired_nothing(&f.arena, "cn1");
	rig_converge(&f.agent, &nothing);
	log = log_take(&f);
	rig_golden(golden, log);
	assert_order(log, "unlink     " RIG_NQN ":volume:v1", "nvme    drop ");
	assert_order(log, "unlink     " RIG_NQN ":leg:v1.s0.cn2", "nvme    drop ");
	assert_order(log, "nvme    drop       " RIG_NQN ":leg:v1.s1.cn1", "disable    " RIG_NQN ":volume:v1");
	assert_order(log, "nvme    drop       " SLOT "1", "dm      remove");
	assert_empty(&f);
	end(&f);
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
	struct fixture f;
	const char *log;

	(void)state;
	begin(&f);
	holder(&f, 1);
	kernel_sim_path_set(f.agent.kernel, SLOT "1", "10.0.1.1", "live", "inaccessible");
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "live", "inaccessible");
	f.volume.moved_to = 1;
	f.volume.may_not_serve = true;
	/* The simulated LDs of another epoch have no label: they are formatted again, which is not the point here. */
	f.volume.format = true;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	log = log_take(&f);
	rig_golden("fence_holder_begins_anew", log);
	assert_order(log, "group      " RIG_NQN ":volume:v1 1  to 2", "nvme    drop ");
	assert_order(log, "unlink     " RIG_NQN ":volume:v1", "nvme    drop ");
	assert_order(log, "nvme    drop ", "reload     dnvme-volume-v1");
	assert_order(log, "reload     dnvme-volume-v1", "link       " RIG_NQN ":volume:v1 to");
	assert_lacks(log, "disable    " RIG_NQN ":volume:v1");
	f.volume.may_not_serve = false;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	rig_converge(&f.agent, &desired);
	rig_golden("fence_holder_serves_again", log_take(&f));
	end(&f);
}

/* The agent was away while it was a standby, and finds itself the holder in a new epoch. */
static void test_holder_jumps_an_epoch(void **state)
{
	struct desired desired;
	struct fixture f;

	(void)state;
	for (int frozen = 0; frozen < 2; frozen++) {
		begin(&f);
		holder(&f, 1);
		if (frozen) {
			kernel_sim_path_set(f.agent.kernel, SLOT "1", "10.0.1.1", "live", "inaccessible");
			kernel_sim_path_set(f.agent.kernel, RIG_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "connecting", "");
		}
		f.volume.moved_to = 1;
		f.volume.format = true;
		desired = rig_desired_controller(&f.arena, &f.volume, 1);
		rig_converge(&f.agent, &desired);
		end(&f);
	}
}

/* A node that imports what is frozen and wanted touches nothing of it. */
static void test_frozen_and_wanted_stays(void **state)
{
	struct desired desired;
	struct fixture f;
	char *plan;

	(void)state;
	begin(&f);
	desired = holder(&f, 1);
	all_imports(&f, "connecting", "");
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "nvmet ");
	assert_lacks(plan, "dm  ");
	assert_lacks(plan, "nvme  ");
	free(plan);
	end(&f);
}

/* --- members that are given up --- */

static void test_stale_member_is_dropped(void **state)
{
	struct desired desired;
	struct fixture f;
	char *plan;

	(void)state;
	begin(&f);
	f.volume.legs = 1;
	holder(&f, 1);
	kernel_sim_path_set(f.agent.kernel, RIG_NQN ":slot:d2.v1.s0:e1", "10.0.1.2", "connecting", "");
	f.volume.stale_ld = 2;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	plan = rig_plan_text(&f.agent, &desired);
	/* Its group and the exports above go on. */
	assert_contains(plan, "nvme    drop       " RIG_NQN ":slot:d2.v1.s0:e1 at 10.0.1.2:4421");
	assert_lacks(plan, "unlink");
	assert_lacks(plan, "dm      remove");
	free(plan);
	rig_wave(&f.agent, &desired);
	assert_int_equal(f.agent.error.code, 0);
	end(&f);
	/* Another LD of the same subsystem is still in sync. */
	begin(&f);
	f.volume.legs = 2;
	holder(&f, 1);
	f.volume.stale_ld = 2;
	desired = rig_desired_controller(&f.arena, &f.volume, 1);
	plan = rig_plan_text(&f.agent, &desired);
	assert_lacks(plan, "drop");
	free(plan);
	end(&f);
}

/* --- the new holder --- */

static void test_standby_takes_over(void **state)
{
	struct desired desired;
	struct fixture f;
	const char *log;

	(void)state;
	begin(&f);
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	f.volume.moved_to = 3;
	f.volume.may_not_serve = true;
	f.volume.format = true; /* as above */
	log_take(&f);
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	log = log_take(&f);
	rig_golden("fence_standby_assembles", log);
	assert_lacks(log, ":leg:v1");
	assert_lacks(log, ":volume:v1");
	f.volume.may_not_serve = false;
	desired = rig_desired_controller(&f.arena, &f.volume, 3);
	rig_converge(&f.agent, &desired);
	log = log_take(&f);
	rig_golden("fence_standby_serves", log);
	assert_order(log, "reload     dnvme-volume-v1", "group      " RIG_NQN ":volume:v1 1  to 1");
	end(&f);
}

/* --- crashes --- */

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

typedef struct desired (*scene_maker)(struct fixture *f);

static struct desired scene_disk_node(struct fixture *f)
{
	disk_in_use(f);
	f->volume.moved_to = 3;
	return rig_desired_disk(&f->arena, &f->volume, 1);
}

static struct desired scene_other_holder(struct fixture *f)
{
	holder(f, 2);
	f->volume.moved_to = 3;
	return rig_desired_controller(&f->arena, &f->volume, 2);
}

static struct desired scene_old_holder(struct fixture *f)
{
	holder(f, 1);
	all_imports(f, "live", "inaccessible");
	return rig_desired_nothing(&f->arena, "cn1");
}

static struct desired scene_begins_anew(struct fixture *f)
{
	holder(f, 1);
	all_imports(f, "live", "inaccessible");
	f->volume.moved_to = 1;
	f->volume.may_not_serve = true;
	f->volume.format = true;
	return rig_desired_controller(&f->arena, &f->volume, 1);
}

/* Returns whether the crash happened. */
static bool crash_and_recover(scene_maker scene, long calls)
{
	long calls_left = -1;
	struct fixture f;
	struct desired desired;
	bool crashed;

	begin(&f);
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
	end(&f);
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
		cmocka_unit_test(test_disk_node_fences),
		cmocka_unit_test(test_parked_by_the_process_before),
		cmocka_unit_test(test_disk_node_was_rebooted),
		cmocka_unit_test(test_labels_refuse),
		cmocka_unit_test(test_label_changed_before_it_is_raised),
		cmocka_unit_test(test_assumed_labels),
		cmocka_unit_test(test_other_holder),
		cmocka_unit_test(test_consumer_over_a_lost_path),
		cmocka_unit_test(test_consumer_closed),
		cmocka_unit_test(test_old_path_stays_without_the_new),
		cmocka_unit_test(test_errors_of_disk),
		cmocka_unit_test(test_status_of_consumers),
		cmocka_unit_test(test_old_holder_is_parked),
		cmocka_unit_test(test_old_holder_lost_its_paths),
		cmocka_unit_test(test_holder_begins_anew),
		cmocka_unit_test(test_holder_jumps_an_epoch),
		cmocka_unit_test(test_frozen_and_wanted_stays),
		cmocka_unit_test(test_stale_member_is_dropped),
		cmocka_unit_test(test_standby_takes_over),
		cmocka_unit_test(test_agent_dies_fencing),
		cmocka_unit_test(test_agent_dies_taking_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
