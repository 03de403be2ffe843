/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backend/sim/sim.h"
#include "agent/label_memory.h"
#include "agent/plan.h"
#include "fuzz/seeds.h"
#include "fuzz/sequence.h"
#include "fuzz/words.h"
#include "fuzz/world.h"
#include "lib/model/names.h"

#define PRESENT WORDS_PRESENT
#define WAVES 6u

/* --- what an agent is told, and sees ------------------------------------------------------------------------------ */

static void record_add(uint8_t kind, const struct schema *schema, const void *record, struct buffer *input)
{
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	FUZZ_MUST(codec_encode(schema, record, CODEC_TAGGED, &bytes, &error), &error);
	sequence_append(kind, buffer_bytes(&bytes), input);
	buffer_free(&bytes);
}

/* One wave of what the agent would do; the kernel before it goes into the input. */
static void wave(struct kernel *kernel, struct label_memory *labels, const struct desired *desired,
		 struct buffer *input)
{
	struct arena arena = ARENA_INIT;
	struct observed observed;
	struct target target;
	struct error error;
	struct plan plan;

	uint64_t look = label_memory_look(labels);

	FUZZ_MUST(kernel->operations->observe(kernel, &arena, &observed, &error), &error);
	FUZZ_MUST(label_memory_add(labels, look, &observed, &arena, &error), &error);
	FUZZ_MUST(target_build(desired, &arena, &target, &error), &error);
	FUZZ_MUST(plan_make(&observed, &target, &arena, &plan, &error), &error);
	record_add(1, schema_observed(), &observed, input);
	record_add(0, schema_desired(), desired, input);
	for (size_t i = 0; i < plan.actions.count; i++) {
		const struct action *action = &plan.actions.items[i];
		struct observed_label label = { 0 };

		for (size_t j = 0; j < action->zeros.count; j++)
			label_memory_forget(labels, action->zeros.items[j].device);
		if (action->kind == ACTION_LABEL_WRITE || action->kind == ACTION_LABEL_CHECK)
			label_memory_forget(labels, action->name);
		/* What fails is tried again in the next wave. */
		action_execute(action, kernel, &arena, &label, &error);
		if (label.device != NULL)
			label_memory_keep(labels, &label);
	}
	arena_free(&arena);
}

static void agent(struct world *world, const char *node, unsigned waves)
{
	struct label_memory labels = { 0 };
	struct buffer input = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct kernel *kernel;
	struct desired desired;
	struct error error;

	FUZZ_MUST(fsm_project_node(world->fsm, node, &arena, &desired, &error), &error);
	desired.reset = desired.complete = true;
	desired.term = 3;
	FUZZ_MUST(kernel_sim_open(NULL, &kernel, &error), &error);
	FUZZ_MUST(kernel_sim_disk_add(kernel, "/dev/nvme0n1=2GiB", &error), &error);
	kernel_sim_labels_assume(kernel);
	for (unsigned i = 0; i < waves; i++) {
		buffer_clear(&input);
		wave(kernel, &labels, &desired, &input);
	}
	seed_write("desired", buffer_bytes(&input));
	kernel->operations->close(kernel);
	label_memory_free(&labels);
	buffer_free(&input);
	arena_free(&arena);
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

/* Everything of a node is as desired; its members are all well, but `lost`. */
static void report_add(struct world *world, unsigned number, uint64_t lost, struct buffer *input)
{
	struct member_status members[] = { { .ld = 1, .epoch = PRESENT, .health = MEMBER_HEALTH_IN_SYNC },
					   { .ld = 2, .epoch = PRESENT, .health = MEMBER_HEALTH_IN_SYNC } };
	struct volume_health health = { .volume = 1, .members = { 2, members }, .revision = PRESENT };
	struct object_status statuses[32] = { 0 };
	struct agent_report report = { .objects = { 0, statuses }, .volumes = { 1, &health } };
	struct arena arena = ARENA_INIT;
	struct desired desired;
	struct error error;
	char node[8];

	snprintf(node, sizeof(node), "n%u", number);
	FUZZ_MUST(fsm_project_node(world->fsm, node, &arena, &desired, &error), &error);
	for (size_t i = 0; i < 2; i++) {
		members[i].path_lost = members[i].ld == lost;
		members[i].path_lost_ms = members[i].path_lost ? 9000 : 0;
	}
	for (size_t i = 0; i < desired.exports.count && report.objects.count < 32; i++)
		statuses[report.objects.count++] =
			(struct object_status){ .kind = OBJECT_KIND_EXPORT, .id = desired.exports.items[i].id };
	for (size_t i = 0; i < desired.volumes.count && report.objects.count < 32; i++)
		statuses[report.objects.count++] =
			(struct object_status){ .kind = OBJECT_KIND_VOLUME,
						.id = arena_printf(&arena, "v%" PRIu64, desired.volumes.items[i].id) };
	for (size_t i = 0; i < report.objects.count; i++) {
		statuses[i].revision = PRESENT;
		statuses[i].state = OBJECT_STATE_CONVERGED;
	}
	record_add((uint8_t)(4 * (number - 1)), schema_agent_report(), &report, input);
	arena_free(&arena);
}

static void time_add(unsigned number, struct buffer *input)
{
	struct empty empty = { 0 };

	record_add((uint8_t)(4 * (number - 1) + 3), schema_empty(), &empty, input);
}

static void reports(struct world *world)
{
	const char *live[] = { "n2" }, *lost[] = { "n1" };
	struct host_reach reach = { 1, { 1, live }, { 1, lost } };
	struct host_report host = { "nqn.2014-08.org.x:h0", { 1, &reach } };
	struct buffer input = BUFFER_INIT;

	/* A member is lost, then a node, then a host's path. */
	for (unsigned i = 1; i <= 6; i++)
		report_add(world, i, 0, &input);
	seed_write("report", buffer_bytes(&input));
	report_add(world, 1, 2, &input);
	time_add(6, &input);
	report_add(world, 1, 2, &input);
	seed_write("report", buffer_bytes(&input));
	time_add(1, &input);
	for (unsigned i = 2; i <= 6; i++)
		report_add(world, i, 0, &input);
	seed_write("report", buffer_bytes(&input));
	record_add(2, schema_host_report(), &host, &input);
	time_add(5, &input);
	record_add(2, schema_host_report(), &host, &input);
	seed_write("report", buffer_bytes(&input));
	buffer_free(&input);
}

void seeds_state(void)
{
	struct world world;

	world_open("seeds", &world);
	world_reset(&world);
	for (unsigned i = 1; i <= WAVES; i++)
		agent(&world, "n1", i);
	agent(&world, "n2", 3);
	agent(&world, "n3", 4);
	reports(&world);
	world_close(&world);
}
