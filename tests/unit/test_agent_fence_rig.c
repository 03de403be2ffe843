/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_agent_fence_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/label.h"
#include "lib/model/names.h"

void fence_begin(struct fence *f)
{
	struct error error = { 0 };

	memset(f, 0, sizeof(*f));
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	assert_int_equal(kernel_sim_disk_add(f->agent.kernel, "/dev/vdb=4GiB", &error), 0);
	f->volume = rig_volume_default();
}

void fence_end(struct fence *f)
{
	rig_agent_free(&f->agent);
	arena_free(&f->arena);
}

const char *fence_log(struct fence *f)
{
	return rig_log_take(&f->agent, &f->arena);
}

struct observed fence_observe(struct fence *f)
{
	struct observed observed;
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	return observed;
}

void fence_labels_write(struct fence *f, const struct desired *desired, uint64_t epoch, bool formatted)
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

struct desired fence_disk(struct fence *f)
{
	struct desired desired = rig_desired_disk(&f->arena, &f->volume, 1);

	rig_converge(&f->agent, &desired);
	fence_labels_write(f, &desired, 1, true);
	f->volume.formatted = true;
	fence_log(f);
	return rig_desired_disk(&f->arena, &f->volume, 1);
}

struct desired fence_holder(struct fence *f, unsigned number)
{
	struct desired desired;

	f->volume.format = true;
	desired = rig_desired_controller(&f->arena, &f->volume, number);
	rig_converge(&f->agent, &desired);
	f->volume.format = false;
	fence_log(f);
	return rig_desired_controller(&f->arena, &f->volume, number);
}

void fence_imports(struct fence *f, const char *state, const char *ana)
{
	struct observed observed = fence_observe(f);

	for (size_t i = 0; i < observed.imports.count; i++)
		kernel_sim_path_set(f->agent.kernel, observed.imports.items[i].nqn, observed.imports.items[i].address,
				    state, ana);
}

const struct object_status *fence_status_find(const struct object_status_list *list, enum object_kind kind,
					      const char *id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].kind == kind && strcmp(list->items[i].id, id) == 0)
			return &list->items[i];
	}
	fail_msg("no status of %s", id);
	return NULL;
}

struct object_status_list fence_statuses(struct fence *f, const struct desired *desired)
{
	struct plan plan = rig_plan(&f->agent, desired, &f->arena);
	struct observed observed = fence_observe(f);
	struct status_lane_list lanes = { 0 };
	struct object_status_list list;
	struct error error = { 0 };

	assert_int_equal(status_make(desired, &observed, &plan, &lanes, &f->arena, &list, &error), 0);
	return list;
}
