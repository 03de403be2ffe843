/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_leader_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/slots.h"
#include "tests/unit/failing_alloc.h"

static const char *const names[RIG_NODES] = { "c1", "c2", "c3", "c4", "n1", "n2", "n3" };

void rig_say_at(struct rig *rig, enum rig_node node, enum object_kind kind, const char *id, enum object_state state,
		uint64_t revision)
{
	struct object_status status = { .kind = kind, .id = id, .state = state, .revision = revision };

	assert_int_equal(reported_update(&rig->reported[node], &status, NULL), 0);
}

void rig_failed_reads(struct rig *rig, enum rig_node node, const char *id, const struct ld_errors *errors)
{
	struct ld_errors copy = *errors;
	struct object_status status = { .kind = OBJECT_KIND_EXPORT,
					.id = id,
					.state = OBJECT_STATE_CONVERGED,
					.revision = rig->volume.revision,
					.errors = { copy.ld > 0, &copy } };

	assert_int_equal(reported_update(&rig->reported[node], &status, NULL), 0);
}

void rig_errors(struct rig *rig, enum rig_node node, const char *id, uint64_t ld)
{
	rig_failed_reads(rig, node, id, &(struct ld_errors){ .ld = ld, .writes = 1 });
}

void rig_say(struct rig *rig, enum rig_node node, enum object_kind kind, const char *id, enum object_state state)
{
	rig_say_at(rig, node, kind, id, state, rig->volume.revision);
}

void rig_peer(struct rig *rig, enum rig_node node, uint64_t other, uint64_t lost_ms)
{
	struct peer_status peer = { .slot = other, .path_lost = lost_ms > 0, .path_lost_ms = lost_ms };
	struct volume_health health = { .volume = RIG_VOLUME, .peers = { 1, &peer }, .revision = rig->volume.revision };
	struct member_status members[2] = { 0 };

	/* A holder whose members are all well. */
	for (size_t i = 0; i < 2; i++)
		members[i] = (struct member_status){ .ld = 2 * (1 - other) + i + 1,
						     .epoch = rig->slots[1 - other].epoch,
						     .health = MEMBER_HEALTH_IN_SYNC };
	health.members = (struct member_status_list){ 2, members };
	assert_int_equal(reported_health_update(&rig->reported[node], &health, rig->view.now_ms, NULL), 0);
}

static void all_well(struct rig *rig)
{
	static const struct {
		enum rig_node node;
		enum object_kind kind;
		const char *id;
	} objects[] = {
		{ C1, OBJECT_KIND_VOLUME, "v7" },	  { C2, OBJECT_KIND_VOLUME, "v7" },
		{ C3, OBJECT_KIND_VOLUME, "v7" },	  { N1, OBJECT_KIND_EXPORT, "d1.v7.s0" },
		{ N2, OBJECT_KIND_EXPORT, "d2.v7.s0" },	  { N2, OBJECT_KIND_EXPORT, "d2.v7.s1" },
		{ N3, OBJECT_KIND_EXPORT, "d3.v7.s1" },	  { C1, OBJECT_KIND_CONSUMER, "v7.s0.c2" },
		{ C2, OBJECT_KIND_CONSUMER, "v7.s1.c1" },
	};

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		rig_say(rig, objects[i].node, objects[i].kind, objects[i].id, OBJECT_STATE_CONVERGED);
	rig_peer(rig, C1, 1, 0);
	rig_peer(rig, C2, 0, 0);
	rig_peer(rig, C3, 1, 0);
}

void rig_open(struct rig *rig)
{
	static const uint64_t disks[] = { 1, 2, 2, 3 };

	memset(rig, 0, sizeof(*rig));
	for (size_t i = 0; i < 4; i++)
		rig->lds[i] = (struct ld){ .id = i + 1, .disk = disks[i], .state = LD_STATE_IN_SYNC };
	for (size_t i = 0; i < 2; i++) {
		rig->groups[i].members = (struct ld_list){ 2, &rig->lds[2 * i] };
		rig->legs[i] = (struct leg){ .slot = i, .groups = { 1, &rig->groups[i] } };
		rig->slots[i] = (struct slot){ .holder = names[C1 + i], .epoch = 1, .phase = SLOT_PHASE_SERVING };
		rig->controllers[i] = (struct controller){ .node = names[C1 + i], .role = CONTROLLER_ROLE_ACTIVE };
		rig->controllers[i].slot = i;
	}
	rig->controllers[2] = (struct controller){ .node = "c3", .role = CONTROLLER_ROLE_STANDBY };
	rig->volume = (struct volume){ .id = RIG_VOLUME,
				       .name = "vol",
				       .phase = VOLUME_PHASE_ONLINE,
				       .standbys = 1,
				       .copies = 2,
				       .revision = RIG_REVISION,
				       .slots = { 2, rig->slots },
				       .controllers = { 3, rig->controllers },
				       .legs = { 2, rig->legs },
				       .leaving = { 0, rig->leaving } };
	for (size_t i = 0; i < RIG_NODES; i++)
		rig->nodes[i] = (struct online_node){ .name = names[i],
						      .health = HEALTH_ONLINE,
						      .heard_ms = RIG_NOW,
						      .boot_id = { 1 },
						      .moves = true,
						      .reported = &rig->reported[i] };
	for (size_t i = 0; i < 3; i++)
		rig->disks[i] = (struct online_disk){ .id = i + 1, .node = &rig->nodes[N1 + i] };
	rig->disks[3] = (struct online_disk){ .id = 4, .node = &rig->nodes[C4] };
	rig->view = (struct online_view){ .volume = &rig->volume,
					  .nodes = rig->nodes,
					  .node_count = RIG_NODES,
					  .disks = rig->disks,
					  .disk_count = 4,
					  .moments = &rig->moments,
					  .now_ms = RIG_NOW,
					  .leader_since_ms = RIG_NOW - 100000,
					  .wall_ms = RIG_WALL };
	all_well(rig);
	rig_see(rig);
}

void rig_close(struct rig *rig)
{
	for (size_t i = 0; i < RIG_NODES; i++)
		reported_clear(&rig->reported[i]);
	moments_clear(&rig->moments);
	arena_free(&rig->arena);
}

void rig_see(struct rig *rig)
{
	assert_int_equal(moments_update(&rig->moments, &rig->volume, rig->view.now_ms), 0);
}

void rig_wait(struct rig *rig, uint64_t ms)
{
	rig->view.now_ms += ms;
	rig->view.wall_ms += ms;
}

void rig_members(struct rig *rig, enum rig_node node, struct member_status *members, size_t count)
{
	struct volume_health health = { .volume = RIG_VOLUME,
					.members = { count, members },
					.revision = rig->volume.revision };

	for (size_t i = 0; i < count; i++) {
		if (members[i].epoch == 0)
			members[i].epoch = rig->slots[members[i].ld > 2].epoch;
		if (members[i].health == 0)
			members[i].health = MEMBER_HEALTH_IN_SYNC;
	}
	assert_int_equal(reported_health_update(&rig->reported[node], &health, rig->view.now_ms, NULL), 0);
}

void rig_member(struct rig *rig, enum rig_node node, struct member_status member)
{
	rig_members(rig, node, &member, 1);
}

void rig_offline(struct rig *rig, enum rig_node node)
{
	rig->nodes[node].health = HEALTH_OFFLINE;
	rig->nodes[node].heard_ms = rig->view.now_ms - LIMIT_LEASE_MS - 1;
	rig->nodes[node].offline_ms = 1;
}

void rig_move(struct rig *rig, enum slot_phase phase)
{
	rig_offline(rig, C1);
	rig->slots[0].holder = "c3";
	rig->slots[0].epoch = 2;
	rig->slots[0].phase = phase;
	rig->slots[0].reason = MOVE_REASON_FAILOVER;
	rig->controllers[0].node = "c3";
	rig->controllers[2] = (struct controller){ .node = "c1", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 };
	rig->volume.revision++;
	all_well(rig);
	/* What it said, it said of the revision before. */
	rig_say_at(rig, C1, OBJECT_KIND_VOLUME, "v7", OBJECT_STATE_CONVERGED, rig->volume.revision - 1);
	rig_say(rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c3", OBJECT_STATE_CONVERGED);
	rig_say(rig, C2, OBJECT_KIND_CONSUMER, "v7.s1.c1", OBJECT_STATE_CONVERGED);
	rig_see(rig);
}

void rig_take(struct rig *rig, rig_step step)
{
	rig->step = (struct online_step)ONLINE_STEP_INIT;
	if (step == NULL)
		assert_int_equal(online_step(&rig->view, &rig->arena, &rig->step, &rig->error), 0);
	else
		assert_int_equal(step(&rig->view, &rig->arena, &rig->step, &rig->error), 0);
}

void rig_expect_wait(struct rig *rig, rig_step step, const char *words)
{
	rig_take(rig, step);
	if (rig->step.command != NULL)
		fail_msg("a command is proposed");
	if (words == NULL) {
		if (rig->step.waits_for != NULL)
			fail_msg("it waits for \"%s\"", rig->step.waits_for);
	} else if (rig->step.waits_for == NULL || strstr(rig->step.waits_for, words) == NULL) {
		fail_msg("\"%s\" does not say \"%s\"", rig->step.waits_for != NULL ? rig->step.waits_for : "", words);
	}
}

const struct command *rig_expect_command(struct rig *rig, rig_step step)
{
	const struct command *command;

	rig_take(rig, step);
	command = rig->step.command;
	if (command == NULL)
		fail_msg("no command; it waits for \"%s\"", rig->step.waits_for != NULL ? rig->step.waits_for : "");
	assert_int_equal(
		(command->slot_move != NULL) + (command->slot_advance != NULL) + (command->lds_stale != NULL) +
			(command->ld_rebuild != NULL) + (command->ld_in_sync != NULL) + (command->lds_free != NULL) +
			(command->controller_add != NULL) + (command->controller_retire != NULL) +
			(command->controller_drop != NULL) + (command->ld_drain != NULL) +
			(command->ld_excuse != NULL) + (command->job_advance != NULL) + (command->job_fail != NULL) +
			(command->ld_settle != NULL) + (command->snapshot_retry != NULL) +
			(command->thins_purge != NULL) + (command->ld_move != NULL) + (command->ld_moved != NULL),
		1);
	return command;
}

void rig_expect_move(struct rig *rig, size_t slot, const char *to, enum move_reason reason)
{
	const struct command_slot_move *move = rig_expect_command(rig, slots_step)->slot_move;

	assert_non_null(move);
	assert_int_equal(move->volume, RIG_VOLUME);
	assert_int_equal(move->slot, slot);
	assert_int_equal(move->epoch, rig->slots[slot].epoch);
	assert_string_equal(move->to, to);
	assert_int_equal(move->reason, reason);
}

void rig_expect_advance(struct rig *rig, enum slot_phase to)
{
	const struct command_slot_advance *advance = rig_expect_command(rig, slots_step)->slot_advance;

	assert_non_null(advance);
	assert_int_equal(advance->slot, 0);
	assert_int_equal(advance->epoch, rig->slots[0].epoch);
	assert_int_equal(advance->from, rig->slots[0].phase);
	assert_int_equal(advance->to, to);
	assert_int_equal(advance->revision, rig->volume.revision);
}

void rig_expect_stale(struct rig *rig, rig_step step, const char *ld, enum stale_reason reason)
{
	const struct command_lds_stale *stale = rig_expect_command(rig, step)->lds_stale;

	assert_non_null(stale);
	assert_int_equal(stale->volume, RIG_VOLUME);
	assert_int_equal(stale->slot, 0);
	assert_int_equal(stale->epoch, rig->slots[0].epoch);
	assert_int_equal(stale->reason, reason);
	assert_int_equal(stale->lds.count, 1);
	assert_string_equal(stale->lds.items[0], ld);
}

void rig_failing_allocations(void (*make)(struct rig *rig), rig_step step)
{
	bool failed = true;

	for (unsigned long n = 1; failed; n++) {
		struct rig rig;
		int rv;

		rig_open(&rig);
		make(&rig);
		rig.step = (struct online_step)ONLINE_STEP_INIT;
		failing_alloc_arm(n);
		rv = step(&rig.view, &rig.arena, &rig.step, &rig.error);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? ERROR_INTERNAL : 0);
		rig_close(&rig);
	}
}
