/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_agent_rig.h"

#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/health.h"
#include "agent/list.h"
#include "agent/status.h"
#include "agent/text.h"
#include "lib/base/uuid.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "tests/unit/failing_arena.h"

#define WAVES_MAX 40
/* Where memory ends in a plan: so many places each, and fewer after so many altogether. */
#define RIG_PLACES 32
#define RIG_PLACES_MANY 3000
#define RIG_PLACES_THEN 1

struct rig_volume rig_volume_default(void)
{
	return (struct rig_volume){
		.controllers = 2,
		.legs = 2,
		.copies = 2,
		.groups = 1,
		.disks = 2,
		.leg_bytes = UINT64_C(64) << 20,
		.legs_wanted = true,
		.top_wanted = true,
		.host_count = 1,
	};
}

static uint64_t ld_bytes(const struct rig_volume *volume)
{
	uint64_t extents;
	struct error error;

	assert_int_equal(layout_ld_extents(volume->leg_bytes / volume->groups,
					   layout_thin_block_bytes(volume->leg_bytes), LIMIT_EXTENT_BYTES_DEFAULT,
					   &extents, &error),
			 0);
	return extents * LIMIT_EXTENT_BYTES_DEFAULT;
}

static uint64_t ld_id(const struct rig_volume *volume, unsigned leg, unsigned group, unsigned copy)
{
	return (leg * volume->groups + group) * volume->copies + copy + 1;
}

static unsigned ld_disk(const struct rig_volume *volume, unsigned leg, unsigned copy)
{
	return (leg + copy) % volume->disks + 1;
}

static const char *nqn_copy(struct arena *arena, const char *nqn)
{
	return arena_strdup(arena, nqn);
}

static const char *node_nqn(struct arena *arena, const char *node)
{
	char nqn[NAMES_NQN_SIZE];

	names_node_nqn(RIG_CLUSTER, node, nqn);
	return nqn_copy(arena, nqn);
}

static uint64_t slot_epoch(const struct rig_volume *volume, uint64_t slot)
{
	return slot == 0 && volume->moved_to != 0 ? 2 : 1;
}

static unsigned slot_holder(const struct rig_volume *volume, uint64_t slot)
{
	return slot == 0 && volume->moved_to != 0 ? volume->moved_to : (unsigned)slot + 1;
}

static const char *export_nqn(struct arena *arena, unsigned disk, unsigned slot, uint64_t epoch)
{
	char nqn[NAMES_NQN_SIZE];

	names_export_nqn(RIG_CLUSTER, disk, 1, slot, epoch, nqn);
	return nqn_copy(arena, nqn);
}

static struct desired node_desired(struct arena *arena, const char *kind, unsigned number)
{
	struct desired desired = { .cluster = RIG_CLUSTER, .term = 1, .reset = true, .complete = true, .port = 4420 };

	desired.node = arena_printf(arena, "%s%u", kind, number);
	desired.address = arena_printf(arena, "10.0.%c.%u", kind[0] == 'd' ? '1' : '2', number);
	desired.colour = number - 1;
	desired.host_nqn = node_nqn(arena, desired.node);
	return desired;
}

struct desired rig_desired_nothing(struct arena *arena, const char *node)
{
	return node_desired(arena, node[0] == 'd' ? "dn" : "cn", (unsigned)atoi(node + 2));
}

struct desired rig_desired_disk(struct arena *arena, const struct rig_volume *volume, unsigned number)
{
	struct desired desired = node_desired(arena, "dn", number);
	struct desired_disk *disk = LIST_PUSH(arena, &desired.disks);
	uint64_t next = UINT64_C(4) << 20;

	*disk = (struct desired_disk){
		.id = number, .path = "/dev/vdb", .address = desired.address, .port = 4421, .revision = 3
	};
	for (unsigned slot = 0; slot < volume->controllers; slot++) {
		uint64_t epoch = slot_epoch(volume, slot);
		struct desired_export export = {
			.disk = number, .volume = 1, .slot = slot, .epoch = epoch, .revision = 5
		};

		for (unsigned leg = slot * volume->legs; leg < (slot + 1) * volume->legs; leg++) {
			for (unsigned group = 0; group < volume->groups; group++) {
				for (unsigned copy = 0; copy < volume->copies; copy++) {
					struct desired_ld *ld;
					struct byte_range *range;

					if (ld_disk(volume, leg, copy) != number)
						continue;
					ld = LIST_PUSH(arena, &export.lds);
					ld->id = ld_id(volume, leg, group, copy);
					ld->nsid = export.lds.count;
					names_ld_uuid(RIG_CLUSTER, ld->id, epoch, ld->uuid);
					ld->formatted = volume->formatted;
					/* In two runs, as a disk that is not empty gives them. */
					range = LIST_PUSH(arena, &ld->ranges);
					*range = (struct byte_range){ next, LIMIT_EXTENT_BYTES_DEFAULT };
					range = LIST_PUSH(arena, &ld->ranges);
					*range = (struct byte_range){ next + 2 * LIMIT_EXTENT_BYTES_DEFAULT,
								      ld_bytes(volume) - LIMIT_EXTENT_BYTES_DEFAULT };
					next += 2 * LIMIT_EXTENT_BYTES_DEFAULT + ld_bytes(volume);
				}
			}
		}
		if (export.lds.count == 0)
			continue;
		export.id = arena_printf(arena, "d%u.v1.s%u", number, slot);
		export.nqn = export_nqn(arena, number, slot, epoch);
		export.host_nqn = node_nqn(arena, arena_printf(arena, "cn%u", slot_holder(volume, slot)));
		for (uint64_t old = 1; old < epoch; old++) {
			struct desired_parked *parked = LIST_PUSH(arena, &export.parked);

			parked->nqn = export_nqn(arena, number, slot, old);
			parked->host_nqn = node_nqn(arena, "cn1");
			parked->epoch = old;
			for (size_t i = 0; i < export.lds.count; i++) {
				struct desired_parked_ld *ld = LIST_PUSH(arena, &parked->lds);

				ld->nsid = export.lds.items[i].nsid;
				ld->size_bytes = ld_bytes(volume);
				names_ld_uuid(RIG_CLUSTER, export.lds.items[i].id, old, ld->uuid);
			}
		}
		*LIST_PUSH(arena, &desired.exports) = export;
	}
	return desired;
}

static void leg_fill(struct arena *arena, const struct rig_volume *volume, unsigned index, unsigned me,
		     struct desired_leg *leg)
{
	char nqn[NAMES_NQN_SIZE], node[16];

	snprintf(node, sizeof(node), "cn%u", me);
	leg->index = index;
	leg->slot = index / volume->legs;
	leg->epoch = slot_epoch(volume, leg->slot);
	leg->size_bytes = volume->leg_bytes;
	leg->nsid = index + 1;
	leg->local = slot_holder(volume, leg->slot) == me;
	names_leg_uuid(RIG_CLUSTER, 1, index, node, leg->uuid);
	if (!leg->local) {
		names_consumer_nqn(RIG_CLUSTER, 1, leg->slot, node, nqn);
		leg->nqn = nqn_copy(arena, nqn);
		leg->address =
			arena_printf(arena, "10.0.2.%u",
				     leg->slot == 0 && volume->address_is_old ? 1 : slot_holder(volume, leg->slot));
		leg->port = RIG_LEG_PORT;
		return;
	}
	leg->format = volume->format;
	leg->thick = volume->thick;
	leg->writethrough = volume->strict;
	for (unsigned group = 0; group < volume->groups; group++) {
		struct desired_group *added = LIST_PUSH(arena, &leg->groups);

		for (unsigned copy = 0; copy < volume->copies; copy++) {
			struct desired_member *member = LIST_PUSH(arena, &added->members);
			unsigned disk = ld_disk(volume, index, copy);

			member->ld = ld_id(volume, index, group, copy);
			member->state = member->ld == volume->stale_ld ? LD_STATE_STALE : LD_STATE_IN_SYNC;
			member->nqn = export_nqn(arena, disk, (unsigned)leg->slot, leg->epoch);
			member->address = arena_printf(arena, "10.0.1.%u", disk);
			member->port = 4421;
			names_ld_uuid(RIG_CLUSTER, member->ld, leg->epoch, member->uuid);
			member->size_bytes = ld_bytes(volume);
		}
	}
}

static void consumer_fill(struct arena *arena, unsigned slot, unsigned number, bool parked,
			  struct desired_consumer *consumer)
{
	char nqn[NAMES_NQN_SIZE], node[16];

	snprintf(node, sizeof(node), "cn%u", number);
	names_consumer_nqn(RIG_CLUSTER, 1, slot, node, nqn);
	consumer->node = arena_strdup(arena, node);
	consumer->nqn = nqn_copy(arena, nqn);
	names_consumer_id(1, slot, node, nqn);
	consumer->id = nqn_copy(arena, nqn);
	consumer->host_nqn = node_nqn(arena, node);
	consumer->parked = parked;
	consumer->address = arena_printf(arena, "10.0.2.%u", number);
	consumer->admitted = !parked;
}

struct desired rig_desired_controller(struct arena *arena, const struct rig_volume *volume, unsigned number)
{
	struct desired desired = node_desired(arena, "cn", number);
	struct desired_volume *added = LIST_PUSH(arena, &desired.volumes);
	char nqn[NAMES_NQN_SIZE];
	unsigned slot = 0;
	bool standby;

	while (slot < volume->controllers && slot_holder(volume, slot) != number)
		slot++;
	standby = slot == volume->controllers;

	names_volume_nqn(RIG_CLUSTER, 1, nqn);
	added->id = 1;
	added->nqn = nqn_copy(arena, nqn);
	uuid_from_name("the volume", added->uuid);
	added->size_bytes = volume->leg_bytes * volume->legs * volume->controllers;
	added->role = standby || (volume->may_not_serve && number == volume->moved_to) ? CONTROLLER_ROLE_STANDBY
										       : CONTROLLER_ROLE_ACTIVE;
	added->slot = standby ? 0 : slot;
	added->stripe_bytes = LAYOUT_STRIPE_BYTES;
	added->legs_wanted = volume->legs_wanted && !standby;
	added->top_wanted = volume->top_wanted;
	added->revision = 9;
	added->leg_port = volume->controllers > 1 ? RIG_LEG_PORT : 0;
	for (unsigned i = 0; i < volume->host_count; i++)
		assert_int_equal(list_push_string(arena, &added->hosts,
						  i == 0 ? RIG_HOST : arena_printf(arena, RIG_HOST "-%u", i)),
				 0);
	for (unsigned leg = 0; !standby && leg < volume->legs * volume->controllers; leg++)
		leg_fill(arena, volume, leg, number, LIST_PUSH(arena, &added->legs));
	for (unsigned other = 0; !standby && other < volume->controllers; other++) {
		if (other != slot)
			consumer_fill(arena, slot, slot_holder(volume, other), false,
				      LIST_PUSH(arena, &added->consumers));
	}
	if (!standby && volume->moved_to != 0 && slot != 0)
		consumer_fill(arena, slot, 1, true, LIST_PUSH(arena, &added->consumers));
	return desired;
}

/* --- the agent --- */

static void labels_merge(struct rig_agent *agent, struct observed *observed, struct arena *arena)
{
	for (size_t i = 0; i < agent->labels.count; i++) {
		for (size_t j = 0; j < observed->dms.count; j++) {
			if (strcmp(observed->dms.items[j].name, agent->labels.items[i].device) == 0)
				*LIST_PUSH(arena, &observed->labels) = agent->labels.items[i];
		}
	}
}

static void label_forget(struct rig_agent *agent, const char *device)
{
	struct observed_label_list *labels = &agent->labels;

	for (size_t i = labels->count; i-- > 0;) {
		if (strcmp(labels->items[i].device, device) != 0)
			continue;
		memmove(&labels->items[i], &labels->items[i + 1], (labels->count - i - 1) * sizeof(labels->items[0]));
		labels->count--;
	}
}

/* All that a pass makes of what it observed. Returns 0, or the error's code. */
static int pass_make(const struct observed *observed, const struct desired *desired, struct arena *arena,
		     struct buffer *text, struct error *error)
{
	const struct status_lane_list no_lanes = { 0 };
	struct health_memory memory = { 0 };
	struct object_status_list statuses;
	struct volume_health_list health;
	struct target target;
	struct plan plan;
	int code = target_build(desired, arena, &target, error);

	if (code == 0)
		code = plan_make(observed, &target, arena, &plan, error);
	if (code == 0)
		code = status_make(desired, observed, &plan, &no_lanes, arena, &statuses, error);
	if (code == 0)
		code = health_make(desired, &target, observed, &memory, 1000, arena, &health, error);
	health_memory_free(&memory);
	if (code == 0 && (plan_print(&plan, text) != 0 || text_observed_print(observed, text) != 0))
		code = error_set_nomem(error);
	return code;
}

/* Memory that ends at any place of a pass is said, and nothing is made of the rest. A few places for each plan: all
 * plans of a test together come by most of them. */
static void plan_survives_without_memory(const struct observed *observed, const struct desired *desired)
{
	static unsigned long turn;
	unsigned places = turn < RIG_PLACES_MANY ? RIG_PLACES : RIG_PLACES_THEN;
	unsigned long total = 0;

	for (unsigned i = 0; i <= places; i++) {
		unsigned long n = i == 0 ? ULONG_MAX : (turn++ * 7919) % total + 1, calls;
		struct buffer text = BUFFER_INIT;
		struct arena arena = ARENA_INIT;
		struct error error = { 0 };
		int code;

		failing_arena_arm(n);
		code = pass_make(observed, desired, &arena, &text, &error);
		calls = failing_arena_disarm();
		if (i == 0) {
			total = calls;
			assert_int_equal(code, 0);
		} else if (code != ERROR_INTERNAL || strcmp(error.message, "out of memory") != 0) {
			fail_msg("call %lu of %lu failed: %d \"%s\"", n, total, code, error.message);
		}
		buffer_free(&text);
		arena_free(&arena);
	}
}

struct plan rig_plan(struct rig_agent *agent, const struct desired *desired, struct arena *arena)
{
	struct target *target = arena_alloc(arena, sizeof(*target));
	struct observed observed;
	struct error error = { 0 };
	struct plan plan;

	assert_int_equal(codec_validate(schema_desired(), desired, &error), 0);
	assert_int_equal(agent->kernel->operations->observe(agent->kernel, arena, &observed, &error), 0);
	labels_merge(agent, &observed, arena);
	plan_survives_without_memory(&observed, desired);
	assert_int_equal(target_build(desired, arena, target, &error), 0);
	assert_int_equal(plan_make(&observed, target, arena, &plan, &error), 0);
	return plan;
}

static bool lane_has_failed(const struct action_list *actions, const bool *failed, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (failed[i] && strcmp(actions->items[i].owner.lane, actions->items[index].owner.lane) == 0)
			return true;
	}
	return false;
}

size_t rig_wave(struct rig_agent *agent, const struct desired *desired)
{
	struct arena arena = ARENA_INIT;
	struct plan plan = rig_plan(agent, desired, &arena);
	bool *failed = arena_alloc_array(&arena, plan.actions.count, sizeof(*failed));

	agent->error.code = 0;
	assert_int_equal(plan_print(&plan, &agent->log), 0);
	assert_int_equal(buffer_printf(&agent->log, "--\n"), 0);
	for (size_t i = 0; i < plan.actions.count; i++) {
		const struct action *action = &plan.actions.items[i];
		struct observed_label label = { 0 };
		struct error error = { 0 };

		if (lane_has_failed(&plan.actions, failed, i))
			continue;
		for (size_t j = 0; j < action->zeros.count; j++)
			label_forget(agent, action->zeros.items[j].device);
		if (action->kind == ACTION_LABEL_WRITE || action->kind == ACTION_LABEL_CHECK ||
		    action->kind == ACTION_LABEL_MARK)
			label_forget(agent, action->name);
		failed[i] = action_execute(action, agent->kernel, &agent->arena, &label, &error) != 0;
		if (failed[i] && agent->error.code == 0)
			agent->error = error;
		if (label.device != NULL) {
			label.device = arena_strdup(&agent->arena, label.device);
			label.uuid = arena_strdup(&agent->arena, label.uuid);
			*LIST_PUSH(&agent->arena, &agent->labels) = label;
		}
		if (failed[i] && agent->power_lost)
			break;
	}
	arena_free(&arena);
	return plan.actions.count;
}

void rig_converge(struct rig_agent *agent, const struct desired *desired)
{
	char *text;

	for (int i = 0; i < WAVES_MAX; i++) {
		if (rig_wave(agent, desired) == 0)
			break;
		if (agent->error.code == 0)
			continue;
		fwrite(agent->log.data, 1, agent->log.size, stderr);
		fail_msg("%s; the plans are above", agent->error.message);
	}
	text = rig_plan_text(agent, desired);
	assert_string_equal(text, "");
	free(text);
}

void rig_agent_restart(struct rig_agent *agent)
{
	agent->labels.count = 0;
	agent->labels.items = NULL;
	arena_free(&agent->arena);
}

void rig_agent_free(struct rig_agent *agent)
{
	rig_agent_restart(agent);
	buffer_free(&agent->log);
	agent->kernel->operations->close(agent->kernel);
}

const char *rig_log_take(struct rig_agent *agent, struct arena *arena)
{
	const char *text;

	assert_int_equal(buffer_append(&agent->log, "", 1), 0);
	text = arena_strdup(arena, (const char *)agent->log.data);
	buffer_clear(&agent->log);
	return text;
}

char *rig_plan_text(struct rig_agent *agent, const struct desired *desired)
{
	struct arena arena = ARENA_INIT;
	struct plan plan = rig_plan(agent, desired, &arena);
	struct buffer text = BUFFER_INIT;

	assert_int_equal(plan_print(&plan, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	arena_free(&arena);
	return (char *)text.data;
}

void rig_golden(const char *name, const char *text)
{
	char path[PATH_MAX], *content;
	size_t size = 1 << 20, length;
	FILE *stream;

	snprintf(path, sizeof(path), AGENT_GOLDEN_DIRECTORY "/%s.txt", name);
	if (getenv("DNVME_UPDATE_GOLDEN") != NULL) {
		stream = fopen(path, "w");
		assert_non_null(stream);
		assert_int_equal(fwrite(text, 1, strlen(text), stream), strlen(text));
		fclose(stream);
		return;
	}
	stream = fopen(path, "r");
	if (stream == NULL)
		fail_msg("%s is missing; set DNVME_UPDATE_GOLDEN to write it, and read what it says", path);
	content = malloc(size);
	assert_non_null(content);
	length = fread(content, 1, size - 1, stream);
	content[length] = '\0';
	fclose(stream);
	assert_string_equal(text, content);
	free(content);
}
