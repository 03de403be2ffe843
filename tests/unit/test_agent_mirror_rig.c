/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_agent_mirror_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/list.h"
#include "tests/unit/test_text.h"

struct mirror *mirror_open(unsigned copies)
{
	struct mirror *f = calloc(1, sizeof(*f));
	struct error error = { 0 };

	assert_non_null(f);
	assert_int_equal(kernel_sim_open(NULL, &f->agent.kernel, &error), 0);
	f->volume = rig_volume_default();
	f->volume.controllers = f->volume.legs = 1;
	f->volume.top_wanted = false;
	f->volume.copies = f->volume.disks = copies;
	f->now_ms = 1000;
	return f;
}

void mirror_close(struct mirror *f)
{
	health_memory_free(&f->memory);
	rig_agent_free(&f->agent);
	arena_free(&f->arena);
	free(f);
}

int mirror_setup(void **state)
{
	*state = mirror_open(2);
	return 0;
}

int mirror_teardown(void **state)
{
	mirror_close(*state);
	return 0;
}

struct desired_member *mirror_member(struct desired *desired, size_t index)
{
	return &desired->volumes.items[0].legs.items[0].groups.items[0].members.items[index];
}

struct desired mirror_desired(struct mirror *f, enum ld_state state, uint64_t since_ms)
{
	struct desired desired = rig_desired_controller(&f->arena, &f->volume, 1);

	mirror_member(&desired, 1)->state = state;
	mirror_member(&desired, 1)->since_ms = since_ms;
	return desired;
}

const char *mirror_log(struct mirror *f)
{
	return rig_log_take(&f->agent, &f->arena);
}

const char *mirror_plan(struct mirror *f, const struct desired *desired)
{
	char *text = rig_plan_text(&f->agent, desired);
	const char *copy = arena_strdup(&f->arena, text);

	free(text);
	return copy;
}

void mirror_format(struct mirror *f)
{
	struct desired desired;

	f->volume.format = true;
	desired = mirror_desired(f, LD_STATE_IN_SYNC, 0);
	rig_converge(&f->agent, &desired);
	f->volume.format = false;
	mirror_log(f);
}

struct observed mirror_observe(struct mirror *f)
{
	struct observed observed;
	struct error error = { 0 };

	assert_int_equal(f->agent.kernel->operations->observe(f->agent.kernel, &f->arena, &observed, &error), 0);
	for (size_t i = 0; i < f->agent.labels.count; i++)
		*LIST_PUSH(&f->arena, &observed.labels) = f->agent.labels.items[i];
	return observed;
}

struct volume_health mirror_health_with(struct mirror *f, const struct desired *desired, const char *status)
{
	struct observed observed = mirror_observe(f);
	struct volume_health_list list;
	struct target target;
	struct error error = { 0 };

	for (size_t i = 0; i < observed.dms.count && status != NULL; i++) {
		if (observed.dms.items[i].status != NULL)
			observed.dms.items[i].status = status;
	}
	assert_int_equal(target_build(desired, &f->arena, &target, &error), 0);
	assert_int_equal(health_make(desired, &target, &observed, &f->memory, f->now_ms, &f->arena, &list, &error), 0);
	assert_int_equal(list.count, desired->volumes.count);
	return list.items[0];
}

struct volume_health mirror_health(struct mirror *f, const struct desired *desired)
{
	return mirror_health_with(f, desired, NULL);
}

struct member_status mirror_member_status(struct mirror *f, const struct desired *desired, size_t index)
{
	struct volume_health health = mirror_health(f, desired);

	assert_true(index < health.members.count);
	return health.members.items[index];
}

void mirror_complete(struct mirror *f, const struct desired *desired)
{
	struct error error = { 0 };
	const char *log;

	rig_agent_restart(&f->agent);
	rig_converge(&f->agent, desired);
	log = mirror_log(f);
	assert_lacks(log, "reload");
	assert_lacks(log, "write");
	/* The group says that it is complete before its superblocks do. */
	assert_int_equal(kernel_sim_rebuild_set(f->agent.kernel, MIRROR, 145408, &error), 0);
	assert_int_equal(mirror_member_status(f, desired, 1).health, MEMBER_HEALTH_REBUILDING);
	rig_converge(&f->agent, desired);
}
