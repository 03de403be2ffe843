/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeded random histories. After every command the whole state is audited; at the end a replica that applied the same
 * log, and one that began from a dump in the middle, have the same digest, and after everything was deleted every
 * extent is free again.
 */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/model/names.h"

#define STEPS 1400

struct dice {
	uint64_t state;
};

/* How often each command changed something, so that a history that only collects refusals is noticed. */
enum act {
	ACT_MOVE,
	ACT_ADVANCE,
	ACT_STALE,
	ACT_REBUILD,
	ACT_IN_SYNC,
	ACT_DRAIN,
	ACT_EXCUSE,
	ACT_REPLACE,
	ACT_FORCE,
	ACT_LD_MOVE,
	ACT_LD_MOVED,
	ACT_FREE,
	ACT_ADD,
	ACT_RETIRE,
	ACT_DROP,
	ACT_NODE,
	ACTS
};
static unsigned acts[ACTS];

static void act_count(enum act act, struct outcome outcome)
{
	acts[act] += outcome.code == 0;
}

static uint64_t roll(struct dice *dice, uint64_t sides)
{
	/* xorshift64* */
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (dice->state * UINT64_C(2685821657736338717) >> 33) % sides;
}

/* A volume at random, in any phase; false when there is none. */
static bool pick(struct rig *rig, struct dice *dice, struct volume *ret_volume)
{
	for (unsigned tries = 0; tries < 40; tries++) {
		if (fsm_volume_get(rig->fsm, 1 + roll(dice, 200), &rig->arena, ret_volume, NULL) == 0)
			return true;
	}
	return false;
}

static void step_create(struct rig *rig, struct dice *dice)
{
	static const uint64_t sizes[] = { UINT64_C(1) << 20, UINT64_C(100) << 20, GIB, 3 * GIB + 4096, 9 * GIB };
	struct command_volume_create command;
	struct rig_shape shape = {
		.name = arena_printf(&rig->arena, "vol%" PRIu64, roll(dice, 60)),
		.size_bytes = sizes[roll(dice, 5)],
		.copies = 1 + roll(dice, 3),
		.controllers = 1 + roll(dice, 3),
		.standbys = roll(dice, 3),
		.legs = 1 + roll(dice, 3),
		.spread = roll(dice, 2) ? SPREAD_RACK : SPREAD_NODE,
	};
	uint64_t spoil = roll(dice, 8);
	struct outcome outcome;
	struct error error;

	if (rig_plan(rig, &shape, &command, &error) != 0)
		return;
	/* A plan that went stale, one way or another. */
	if (spoil == 0)
		command.legs.items[roll(dice, command.legs.count)].groups.items[0].members.items[0].disk =
			1 + roll(dice, 12);
	else if (spoil == 1)
		command.legs.items[command.legs.count - 1].group_extents += roll(dice, 5000);
	outcome = rig_apply(rig, (struct command){ .volume_create = &command });
	if (spoil > 1 && outcome.code != 0)
		assert_int_equal(outcome.code, ERROR_ALREADY_EXISTS);
}

static void step_disk(struct rig *rig, struct dice *dice)
{
	struct command_disk_remove removal = { 1 + roll(dice, 16) };
	struct command_disk_add addition = {
		.node = arena_printf(&rig->arena, "n%" PRIu64, 1 + roll(dice, 7)),
		.path = arena_printf(&rig->arena, "/dev/x%" PRIu64, roll(dice, 2)),
		.size_bytes = (20 + roll(dice, 20)) * GIB,
		.volatile_cache = roll(dice, 2),
		.cache_accepted = roll(dice, 2),
	};
	char name[NAMES_ID_SIZE];
	struct command_disk_cache cache = { .id = removal.id, .volatile_cache = roll(dice, 2) };

	memset(cache.boot_id, (int)roll(dice, 4), sizeof(cache.boot_id));
	names_id_format("d", removal.id, name);
	if (roll(dice, 4) == 0)
		rig_disk_drain(rig, name, roll(dice, 4) == 0);
	else if (roll(dice, 3) == 0)
		rig_apply(rig, (struct command){ .disk_cache = &cache });
	else if (roll(dice, 2))
		rig_apply(rig, (struct command){ .disk_remove = &removal });
	else
		rig_apply(rig, (struct command){ .disk_add = &addition });
}

static void step_node(struct rig *rig, struct dice *dice)
{
	struct label labels[] = { { "rack", arena_printf(&rig->arena, "r%" PRIu64, roll(dice, 4)) } };
	struct command_node_register node = {
		.name = arena_printf(&rig->arena, "n%" PRIu64, 1 + roll(dice, 8)),
		.address = arena_printf(&rig->arena, "10.0.%" PRIu64 ".1", roll(dice, 4)),
		.port = 4420 + roll(dice, 2) * 80, /* 4500 belongs to the first disk of most */
		.version = "1",
		.labels = { 1, labels },
	};
	struct command_node_cordon cordon = { .name = node.name, .cordoned = roll(dice, 4) == 0 };
	uint64_t boot = roll(dice, 4);
	struct command_node_forget forget = { .name = node.name, .dead = roll(dice, 2) };

	memset(node.boot_id, (int)boot, sizeof(node.boot_id));
	cordon.draining = cordon.cordoned && roll(dice, 2);
	switch (roll(dice, 3)) {
	case 0:
		buffer_clear(&rig->changes);
		if (rig_apply(rig, (struct command){ .node_register = &node }).code == 0) {
			buffer_append(&rig->changes, "", 1);
			acts[ACT_NODE] += strstr((const char *)rig->changes.data, "\nvolume ") != NULL;
		}
		break;
	case 1:
		rig_apply(rig, (struct command){ .node_cordon = &cordon });
		break;
	default:
		rig_apply(rig, (struct command){ .node_forget = &forget });
	}
}

static void step_volume(struct rig *rig, struct dice *dice)
{
	struct volume volume;
	char id[NAMES_ID_SIZE];
	const char *host = arena_printf(&rig->arena, "nqn.2014-08.org.x:h%" PRIu64, roll(dice, 3));

	if (!pick(rig, dice, &volume))
		return;
	names_id_format("v", volume.id, id);
	switch (roll(dice, 8)) {
	case 0:
		rig_attach(rig, id, host);
		break;
	case 1:
		rig_detach(rig, id, host);
		break;
	case 2:
	case 3:
		rig_delete(rig, id);
		break;
	default:
		if (volume.phase == VOLUME_PHASE_RELEASING)
			assert_int_equal(rig_free(rig, volume.id, 1 + roll(dice, 6)).code, 0);
		else
			rig_advance(rig, volume.id, volume.phase + 1);
	}
}

static const char *controller_pick(struct dice *dice, const struct volume *volume)
{
	return volume->controllers.items[roll(dice, volume->controllers.count)].node;
}

static void step_slot(struct rig *rig, struct dice *dice, const struct volume *volume)
{
	uint64_t slot = roll(dice, volume->slots.count);
	enum slot_phase phase = volume->slots.items[slot].phase;

	if (phase == SLOT_PHASE_SERVING || roll(dice, 5) == 0)
		act_count(ACT_MOVE, rig_slot_move(rig, volume->id, slot, controller_pick(dice, volume),
						  (enum move_reason)(MOVE_REASON_FAILOVER + roll(dice, 3))));
	else
		act_count(ACT_ADVANCE, rig_slot_advance(rig, volume->id, slot,
							phase == SLOT_PHASE_EXPORTING ? SLOT_PHASE_SERVING
										      : (enum slot_phase)(phase + 1)));
}

/* A member at random; rather one that is not in sync, and then what follows for it. */
static const struct ld *member_pick(struct dice *dice, const struct volume *volume, uint64_t *ret_slot)
{
	const struct ld *ld = NULL;

	for (unsigned tries = 0; tries < 8 && (ld == NULL || ld->state == LD_STATE_IN_SYNC); tries++) {
		const struct leg *leg = &volume->legs.items[roll(dice, volume->legs.count)];
		const struct group *group = &leg->groups.items[roll(dice, leg->groups.count)];

		ld = &group->members.items[roll(dice, group->members.count)];
		*ret_slot = leg->slot;
	}
	if (roll(dice, 10) == 0)
		*ret_slot = roll(dice, volume->slots.count);
	return ld;
}

static void step_member(struct rig *rig, struct dice *dice, const struct volume *volume)
{
	uint64_t slot, kind = roll(dice, 10);
	const struct ld *ld = member_pick(dice, volume, &slot);
	char name[NAMES_ID_SIZE];

	names_id_format("ld", ld->id, name);
	if (ld->state == LD_STATE_STALE && roll(dice, 3))
		kind = roll(dice, 5) == 0 ? 10 : roll(dice, 2) ? 3 : 6;
	if (ld->state == LD_STATE_REBUILDING && roll(dice, 3))
		kind = 4;
	if (ld->drain > 0 && roll(dice, 3))
		kind = 9;
	if (volume->leaving.count > 0 && roll(dice, 3) == 0)
		kind = 7;
	switch (kind) {
	case 0:
	case 1:
	case 2:
		act_count(ACT_STALE, rig_stale(rig, volume->id, slot, name, (enum stale_reason)(1 + roll(dice, 3))));
		break;
	case 3:
		act_count(ACT_REBUILD, rig_rebuild(rig, volume->id, slot, ld->id, roll(dice, 2)));
		break;
	case 4:
	case 5:
		act_count(ACT_IN_SYNC, rig_in_sync(rig, volume->id, slot, ld->id));
		break;
	case 6:
		act_count(ACT_REPLACE, rig_replace(rig, volume->id, slot, ld->id, 1 + roll(dice, 16)));
		break;
	case 8:
		act_count(ACT_DRAIN, rig_drain(rig, volume->id, slot, ld->id, 1 + roll(dice, 5)));
		if (roll(dice, 2))
			act_count(ACT_EXCUSE,
				  rig_excuse(rig, volume->id, slot, ld->id, rig_volume(rig, volume->id).revision));
		break;
	case 9:
		act_count(ACT_EXCUSE, rig_excuse(rig, volume->id, slot, ld->id, ld->drain > 0 ? ld->drain : 1));
		break;
	case 10:
		act_count(ACT_FORCE, rig_force(rig, volume->id, slot, name));
		break;
	default:
		if (volume->leaving.count > 0) {
			names_id_format("ld", volume->leaving.items[roll(dice, volume->leaving.count)].ld->id, name);
			act_count(ACT_FREE, rig_free_one(rig, volume->id, name));
		}
	}
}

/* The group of which an LD is moved, or any. */
static const struct ld_list *moving_pick(struct dice *dice, const struct volume *volume, uint64_t *ret_slot)
{
	const struct leg *leg = &volume->legs.items[roll(dice, volume->legs.count)];
	const struct ld_list *members = &leg->groups.items[roll(dice, leg->groups.count)].members;

	for (size_t l = 0; l < volume->legs.count && members->count <= volume->copies; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			if (volume->legs.items[l].groups.items[g].members.count <= volume->copies)
				continue;
			leg = &volume->legs.items[l];
			members = &leg->groups.items[g].members;
		}
	}
	*ret_slot = leg->slot;
	return members;
}

/* One step after the other, as the leader would, or out of turn. */
static void step_move(struct rig *rig, struct dice *dice, const struct volume *volume)
{
	uint64_t slot;
	const struct ld_list *members = moving_pick(dice, volume, &slot);
	const struct ld *ld = &members->items[roll(dice, members->count)];
	char name[NAMES_ID_SIZE];

	if (members->count <= volume->copies) {
		act_count(ACT_LD_MOVE, rig_move(rig, volume->id, slot, ld->id, 1 + roll(dice, 16)));
		return;
	}
	for (size_t i = 0; i < members->count && ld->state == LD_STATE_IN_SYNC; i++)
		ld = &members->items[i];
	names_id_format("ld", ld->id, name);
	if (ld->state == LD_STATE_REBUILDING)
		act_count(ACT_IN_SYNC, rig_in_sync(rig, volume->id, slot, ld->id));
	else if (ld->state == LD_STATE_IN_SYNC)
		act_count(ACT_STALE, rig_stale(rig, volume->id, slot, name, STALE_REASON_MOVED));
	else if (ld->pending)
		rig_settle(rig, volume->id, slot, ld->id, roll(dice, 6) != 0);
	else if (ld != &members->items[volume->copies])
		act_count(ACT_REBUILD, rig_rebuild(rig, volume->id, slot, ld->id, false));
	else
		act_count(ACT_LD_MOVED, rig_moved(rig, volume->id, slot, ld->id));
}

static void step_controller(struct rig *rig, struct dice *dice, const struct volume *volume)
{
	const struct controller *controller = &volume->controllers.items[roll(dice, volume->controllers.count)];

	switch (roll(dice, 4)) {
	case 0:
		act_count(ACT_ADD, rig_controller_add(rig, volume->id,
						      arena_printf(&rig->arena, "n%" PRIu64, 1 + roll(dice, 8))));
		break;
	case 1:
		act_count(ACT_RETIRE, rig_controller_retire(rig, volume->id, controller->node));
		break;
	default:
		act_count(ACT_DROP, rig_controller_drop(rig, volume->id, controller->node, controller->epoch));
	}
}

/* What each node is told must be fit to be sent, whatever became of the volume. */
static void project_all(struct rig *rig)
{
	struct node_list nodes;
	struct desired desired;
	struct error error;
	bool more;

	assert_int_equal(fsm_node_list(rig->fsm, NULL, 0, &rig->arena, &nodes, &more, &error), 0);
	for (size_t i = 0; i < nodes.count; i++) {
		if (fsm_project_node(rig->fsm, nodes.items[i].name, &rig->arena, &desired, &error) != 0)
			fail_msg("%s", error.message);
	}
}

static void step_fault(struct rig *rig, struct dice *dice)
{
	struct settings settings = { .rebuild_rate_bytes = roll(dice, 3) };
	struct command_cluster_set set = { &settings };
	struct volume volume;

	/* Rather one that is online, and of these rather one with which there is something to do. */
	for (unsigned tries = 0; tries < 12; tries++) {
		if (!pick(rig, dice, &volume))
			return;
		if (volume.phase == VOLUME_PHASE_ONLINE && (tries > 6 || rig_in_transition(rig, volume.id)))
			break;
	}
	switch (roll(dice, 15)) {
	case 12:
	case 13:
	case 14:
		step_move(rig, dice, &volume);
		break;
	case 0:
		rig_do(rig, (struct command){ .cluster_set = &set });
		break;
	case 1:
	case 2:
		step_controller(rig, dice, &volume);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		step_slot(rig, dice, &volume);
		break;
	default:
		step_member(rig, dice, &volume);
	}
}

static void step(struct rig *rig, struct dice *dice)
{
	uint64_t kind = roll(dice, 40);

	if (kind < 6)
		step_create(rig, dice);
	else if (kind == 6)
		step_disk(rig, dice);
	else if (kind == 7)
		step_node(rig, dice);
	else if (kind < 20)
		step_volume(rig, dice);
	else
		step_fault(rig, dice);
	rig_check(rig);
	if (kind % 3 == 0)
		rig_stock_check(rig);
	if (kind % 8 == 0)
		project_all(rig);
	arena_free(&rig->arena);
}

static void volumes_destroy(struct rig *rig)
{
	for (uint64_t id = 1; id < 1000; id++) {
		struct volume volume;

		if (fsm_volume_get(rig->fsm, id, &rig->arena, &volume, NULL) != 0)
			continue;
		for (size_t i = 0; i < volume.hosts.count; i++)
			assert_int_equal(
				rig_detach(rig, arena_printf(&rig->arena, "v%" PRIu64, id), volume.hosts.items[i]).code,
				0);
		rig_destroy(rig, id);
		rig_check(rig);
	}
}

static void history(uint64_t seed)
{
	struct dice dice = { seed };
	struct buffer dump = BUFFER_INIT;
	uint8_t x[16], y[16];
	struct disk_list disks;
	struct error error;
	struct rig rig, late;
	uint64_t dump_index, nodes, disk_count, volumes;
	bool more;

	print_message("seed %" PRIu64 "\n", seed);
	rig_open(&rig);
	rig.stock = stock_make();
	assert_non_null(rig.stock);
	rig_rack(&rig, 6, 2, 40 * GIB);
	for (unsigned i = 0; i < STEPS / 2; i++)
		step(&rig, &dice);
	assert_int_equal(fsm_dump(rig.fsm, &dump, &error), 0);
	dump_index = rig.index;
	for (unsigned i = STEPS / 2; i < STEPS; i++)
		step(&rig, &dice);
	rig_compare_replay(&rig);

	/* A server that got the dump and then the rest of the log. */
	rig_open(&late);
	assert_int_equal(fsm_load(late.fsm, dump_index, buffer_bytes(&dump), &error), 0);
	for (uint64_t i = dump_index; i < rig.index; i++) {
		struct bytes bytes = buffer_bytes(&rig.entries[i].command);

		assert_int_equal(fsm_apply(late.fsm, i + 1, &bytes, 1, NULL, &error), 0);
	}
	rig_digest(&rig, x);
	rig_digest(&late, y);
	assert_memory_equal(x, y, sizeof(x));
	rig_close(&late);
	buffer_free(&dump);

	assert_int_equal(fsm_counts(rig.fsm, &nodes, &disk_count, &volumes, &error), 0);
	print_message("%" PRIu64 " entries, %" PRIu64 " nodes, %" PRIu64 " disks, %" PRIu64 " volumes\n", rig.index,
		      nodes, disk_count, volumes);
	assert_true(volumes > 0);
	volumes_destroy(&rig);
	assert_int_equal(fsm_disk_list(rig.fsm, NULL, 0, 0, &rig.arena, &disks, &more, &error), 0);
	for (size_t i = 0; i < disks.count; i++) {
		assert_int_equal(disks.items[i].extents_free, disks.items[i].extents_total);
		assert_int_equal(disks.items[i].lds, 0);
	}
	rig_stock_check(&rig);
	rig_compare_replay(&rig);
	stock_free(rig.stock);
	rig_close(&rig);
}

static void test_histories(void **state)
{
	const char *given = getenv("FSM_SEED");

	(void)state;
	if (given != NULL) {
		history(strtoull(given, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= 6; seed++)
		history(seed * 7919);
	for (unsigned i = 0; i < ACTS; i++) {
		print_message("act %u: %u\n", i, acts[i]);
		assert_true(acts[i] > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_histories) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
