/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit's canaries: each kind of damage, made behind the state machine's back, is found. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/wire/codec.h"

/* Two volumes: v1 "a" online with a host, on d1 and d2; v2 "b" placed, on d3 and d4 or so. */
static void make(struct rig *rig)
{
	static const uint8_t id[] = "0123456789abcdef";
	struct rig_shape shape = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 1 };
	struct command_volume_create create;
	struct error error;

	rig_open(rig);
	rig_rack(rig, 4, 1, 10 * GIB);
	assert_int_equal(rig_plan(rig, &shape, &create, &error), 0);
	rig_do(rig, (struct command){ .request_id = { id, 16 }, .volume_create = &create });
	rig_advance_until(rig, 1, VOLUME_PHASE_ONLINE);
	rig_attach(rig, "a", "nqn.2014-08.org.x:h1");
	shape.name = "b";
	rig_create(rig, &shape);
	rig_check(rig);
}

struct damage {
	struct rig *rig;
	struct store_txn *txn;
};

static uint8_t *big_endian(uint8_t *data, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		data[i] = (uint8_t)value;
	return data;
}

static struct bytes id_bytes(uint8_t *data, uint64_t value)
{
	return (struct bytes){ big_endian(data, value), 8 };
}

static struct bytes two_ids(uint8_t *data, uint64_t first, uint64_t second)
{
	big_endian(data, first);
	big_endian(data + 8, second);
	return (struct bytes){ data, 16 };
}

static struct bytes text_id(uint8_t *data, const char *text, uint64_t id)
{
	size_t length = strlen(text) + 1;

	memcpy(data, text, length);
	big_endian(data + length, id);
	return (struct bytes){ data, length + 8 };
}

static void put(struct damage *damage, enum store_table table, struct bytes key, struct bytes value)
{
	assert_int_equal(store_put(damage->txn, table, key, value, NULL), 0);
}

static void del(struct damage *damage, enum store_table table, struct bytes key)
{
	assert_int_equal(store_delete(damage->txn, table, key, NULL), 0);
}

static void get(struct damage *damage, enum store_table table, struct bytes key, const struct schema *schema,
		void *record)
{
	struct bytes value;

	assert_int_equal(store_get(damage->txn, table, key, &value, NULL), 0);
	assert_int_equal(codec_decode(schema, value, &damage->rig->arena, record, NULL), 0);
}

static void put_record(struct damage *damage, enum store_table table, struct bytes key, const struct schema *schema,
		       const void *record)
{
	struct buffer value = BUFFER_INIT;

	assert_int_equal(codec_encode(schema, record, CODEC_TAGGED, &value, NULL), 0);
	put(damage, table, key, buffer_bytes(&value));
	buffer_free(&value);
}

static const struct bytes nothing = { (const uint8_t *)"", 0 };

/* --- the damages ------------------------------------------------------------------------------------------ */

static struct disk disk_get(struct damage *damage, uint64_t id)
{
	uint8_t key[8];
	struct disk disk;

	get(damage, STORE_TABLE_DISK, id_bytes(key, id), schema_disk(), &disk);
	return disk;
}

static void disk_put(struct damage *damage, const struct disk *disk)
{
	uint8_t key[8];

	put_record(damage, STORE_TABLE_DISK, id_bytes(key, disk->id), schema_disk(), disk);
}

static struct volume volume_read(struct damage *damage, uint64_t id)
{
	uint8_t key[8];
	struct volume volume;

	get(damage, STORE_TABLE_VOLUME, id_bytes(key, id), schema_volume(), &volume);
	return volume;
}

static void volume_put(struct damage *damage, const struct volume *volume)
{
	uint8_t key[8];

	put_record(damage, STORE_TABLE_VOLUME, id_bytes(key, volume->id), schema_volume(), volume);
}

static void lose_free_run(struct damage *damage)
{
	uint8_t key[16];

	del(damage, STORE_TABLE_FREE, two_ids(key, 1, 1 + disk_get(damage, 1).extents_total));
}

static void free_twice(struct damage *damage)
{
	uint8_t key[16], value[8];
	struct disk disk = disk_get(damage, 1);

	put(damage, STORE_TABLE_FREE, two_ids(key, 1, 1 + disk.extents_total), id_bytes(value, disk.extents_free + 1));
	disk.extents_free++;
	disk_put(damage, &disk);
}

static void split_free_run(struct damage *damage)
{
	uint8_t key[16], value[8];
	struct disk disk = disk_get(damage, 1);

	put(damage, STORE_TABLE_FREE, two_ids(key, 1, 1 + disk.extents_total), id_bytes(value, 1));
	put(damage, STORE_TABLE_FREE, two_ids(key, 1, disk.extents_total), id_bytes(value, disk.extents_free - 1));
}

static void free_beyond_end(struct damage *damage)
{
	uint8_t key[16], value[8];
	struct disk disk = disk_get(damage, 1);

	put(damage, STORE_TABLE_FREE, two_ids(key, 1, 3 + disk.extents_total), id_bytes(value, 2));
}

static void free_of_no_disk(struct damage *damage)
{
	uint8_t key[16], value[8];

	put(damage, STORE_TABLE_FREE, two_ids(key, 77, 10), id_bytes(value, 2));
}

static void miscount_free(struct damage *damage)
{
	struct disk disk = disk_get(damage, 1);

	disk.extents_free--;
	disk_put(damage, &disk);
}

static void miscount_lds(struct damage *damage)
{
	struct disk disk = disk_get(damage, 1);

	disk.lds++;
	disk_put(damage, &disk);
}

static void same_port(struct damage *damage)
{
	struct disk disk = disk_get(damage, 1);

	disk.port = 4420;
	disk_put(damage, &disk);
}

static void lose_node(struct damage *damage)
{
	del(damage, STORE_TABLE_NODE, (struct bytes){ (const uint8_t *)"n1", 2 });
}

static void miscount_controllers(struct damage *damage)
{
	struct bytes key = { (const uint8_t *)"n1", 2 };
	struct node node;

	get(damage, STORE_TABLE_NODE, key, schema_node(), &node);
	node.controllers++;
	put_record(damage, STORE_TABLE_NODE, key, schema_node(), &node);
}

static void lose_disk(struct damage *damage)
{
	uint8_t key[8];

	del(damage, STORE_TABLE_DISK, id_bytes(key, 1));
}

static void lose_path(struct damage *damage)
{
	del(damage, STORE_TABLE_DISK_PATH, (struct bytes){ (const uint8_t *)"n1\0/dev/nvme0n1", 15 });
}

static void lose_name(struct damage *damage)
{
	del(damage, STORE_TABLE_VOLUME_NAME, (struct bytes){ (const uint8_t *)"a", 1 });
}

static void name_of_nothing(struct damage *damage)
{
	uint8_t value[8];

	put(damage, STORE_TABLE_VOLUME_NAME, (struct bytes){ (const uint8_t *)"z", 1 }, id_bytes(value, 9));
}

static void port_of_nobody(struct damage *damage)
{
	uint8_t key[8], value[8];

	put(damage, STORE_TABLE_LEG_PORT, id_bytes(key, 20009), id_bytes(value, 9));
}

static void port_of_another(struct damage *damage)
{
	struct volume volume;
	uint8_t id[8], port[8], value[8];

	get(damage, STORE_TABLE_VOLUME, id_bytes(id, 1), schema_volume(), &volume);
	volume.leg_port = 20009;
	put_record(damage, STORE_TABLE_VOLUME, id_bytes(id, 1), schema_volume(), &volume);
	put(damage, STORE_TABLE_LEG_PORT, id_bytes(port, 20009), id_bytes(value, 2));
}

static void lose_node_volume(struct damage *damage)
{
	uint8_t key[32];

	del(damage, STORE_TABLE_NODE_VOLUME, text_id(key, "n1", 1));
}

static void node_volume_of_nothing(struct damage *damage)
{
	uint8_t key[32];

	put(damage, STORE_TABLE_NODE_VOLUME, text_id(key, "nowhere", 1), nothing);
}

static void lose_disk_volume(struct damage *damage)
{
	uint8_t key[16];

	del(damage, STORE_TABLE_DISK_VOLUME, two_ids(key, 1, 1));
}

static void disk_volume_of_nothing(struct damage *damage)
{
	uint8_t key[16];

	put(damage, STORE_TABLE_DISK_VOLUME, two_ids(key, 1, 99), nothing);
}

static void lose_host(struct damage *damage)
{
	uint8_t key[64];

	del(damage, STORE_TABLE_HOST_VOLUME, text_id(key, "nqn.2014-08.org.x:h1", 1));
}

static void host_of_nothing(struct damage *damage)
{
	uint8_t key[64];

	put(damage, STORE_TABLE_HOST_VOLUME, text_id(key, "nqn.2014-08.org.x:h2", 1), nothing);
}

static void lose_transition(struct damage *damage)
{
	uint8_t key[8];

	del(damage, STORE_TABLE_TRANSITION, id_bytes(key, 2));
}

static void transition_of_online(struct damage *damage)
{
	uint8_t key[8];

	put(damage, STORE_TABLE_TRANSITION, id_bytes(key, 1), nothing);
}

static void transition_of_nothing(struct damage *damage)
{
	uint8_t key[8];

	put(damage, STORE_TABLE_TRANSITION, id_bytes(key, 99), nothing);
}

static void lose_outcome(struct damage *damage)
{
	del(damage, STORE_TABLE_REQUEST, (struct bytes){ (const uint8_t *)"0123456789abcdef", 16 });
}

static void outcome_without_age(struct damage *damage)
{
	put(damage, STORE_TABLE_REQUEST, (struct bytes){ (const uint8_t *)"fedcba9876543210", 16 }, nothing);
}

static void ld_elsewhere(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].ranges.items[0].start++;
	volume_put(damage, &volume);
}

static void ld_shorter(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].ranges.items[0].length--;
	volume_put(damage, &volume);
}

static void ld_twice(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].id = 2;
	volume_put(damage, &volume);
}

static void ld_of_the_future(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].id = 1000;
	volume_put(damage, &volume);
}

static void ld_freed_too_early(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].state = LD_STATE_FREED;
	volume_put(damage, &volume);
}

static void other_holder(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.slots.items[0].holder = "n4";
	volume_put(damage, &volume);
}

static void hosts_while_leaving(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);
	uint8_t key[8];

	volume.phase = VOLUME_PHASE_UNEXPORTING;
	volume_put(damage, &volume);
	put(damage, STORE_TABLE_TRANSITION, id_bytes(key, 1), nothing);
}

static void no_member_in_sync(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	for (size_t i = 0; i < 2; i++) {
		volume.legs.items[0].groups.items[0].members.items[i].state = LD_STATE_STALE;
		volume.legs.items[0].groups.items[0].members.items[i].stale_reason = STALE_REASON_MEDIUM;
	}
	volume_put(damage, &volume);
}

static void stale_for_no_reason(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].state = LD_STATE_STALE;
	volume_put(damage, &volume);
}

static void stale_before_it_was_formatted(struct damage *damage)
{
	struct volume volume = volume_read(damage, 2);

	volume.legs.items[0].groups.items[0].members.items[0].state = LD_STATE_STALE;
	volume_put(damage, &volume);
}

static void rebuilding_while_moving(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.slots.items[0].phase = SLOT_PHASE_FENCING;
	volume.legs.items[0].groups.items[0].members.items[0].state = LD_STATE_REBUILDING;
	volume_put(damage, &volume);
}

static void resync_of_nothing(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.legs.items[0].groups.items[0].members.items[0].resync = true;
	volume_put(damage, &volume);
}

static void unsettled_but_not_listed(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.standbys = 1;
	volume_put(damage, &volume);
}

static void imported_from_two(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.slots.items[0].previous = "n4";
	volume_put(damage, &volume);
}

static void left_over_in_the_future(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.slots.items[0].phase = SLOT_PHASE_FENCING;
	volume.slots.items[0].earliest = volume.slots.items[0].epoch;
	volume_put(damage, &volume);
}

static void left_over_while_served(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.slots.items[0].epoch = 9;
	volume.slots.items[0].earliest = 1;
	volume_put(damage, &volume);
}

static void left_over_at_active(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);

	volume.controllers.items[0].earliest = 1;
	volume_put(damage, &volume);
}

static void moving_before_online(struct damage *damage)
{
	struct volume volume = volume_read(damage, 2);

	volume.slots.items[0].phase = SLOT_PHASE_EXPORTING;
	volume_put(damage, &volume);
}

/* The LD of a disk in the list of those that leave, which the disk does not expect there. */
static void leaving_and_member(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);
	struct leaving_ld leaving = { .ld = &volume.legs.items[0].groups.items[0].members.items[0] };

	volume.leaving = (struct leaving_ld_list){ 1, &leaving };
	volume_put(damage, &volume);
}

static void controllers_become(struct damage *damage, const struct controller *second, const struct controller *third)
{
	struct volume volume = volume_read(damage, 1);
	struct controller controllers[] = { volume.controllers.items[0], *second, *third };

	volume.controllers = (struct controller_list){ 3, controllers };
	volume_put(damage, &volume);
}

static void retired_before_standby(struct damage *damage)
{
	controllers_become(damage, &(struct controller){ "n3", CONTROLLER_ROLE_RETIRED, 0, 0, 0 },
			   &(struct controller){ "n4", CONTROLLER_ROLE_STANDBY, 0, 0, 0 });
}

static void retired_in_the_future(struct damage *damage)
{
	controllers_become(damage, &(struct controller){ "n3", CONTROLLER_ROLE_STANDBY, 0, 0, 0 },
			   &(struct controller){ "n4", CONTROLLER_ROLE_RETIRED, 0, 1, 0 });
}

static void retired_of_same_colour(struct damage *damage)
{
	struct bytes key = { (const uint8_t *)"n4", 2 };
	struct node node;

	get(damage, STORE_TABLE_NODE, key, schema_node(), &node);
	node.colour = 0;
	put_record(damage, STORE_TABLE_NODE, key, schema_node(), &node);
	controllers_become(damage, &(struct controller){ "n3", CONTROLLER_ROLE_STANDBY, 0, 0, 0 },
			   &(struct controller){ "n4", CONTROLLER_ROLE_RETIRED, 0, 0, 0 });
}

static void draining_not_cordoned(struct damage *damage)
{
	struct bytes key = { (const uint8_t *)"n1", 2 };
	struct node node;

	get(damage, STORE_TABLE_NODE, key, schema_node(), &node);
	node.draining = true;
	put_record(damage, STORE_TABLE_NODE, key, schema_node(), &node);
}

/* Two snapshots of v1, as the audit wants them. */
static void snapshots_put(struct damage *damage, void (*spoil)(struct volume *volume))
{
	struct volume volume = volume_read(damage, 1);
	struct snapshot snapshots[2] = {
		{ .name = "one", .state = SNAPSHOT_STATE_TAKEN, .thin = 1, .size_bytes = GIB, .moment_ms = 7 },
		{ .name = "two", .state = SNAPSHOT_STATE_TAKEN, .thin = 2, .size_bytes = GIB, .moment_ms = 8 },
	};

	snapshots[0].leg_bytes = snapshots[1].leg_bytes = volume.legs.items[0].size_bytes;
	volume.snapshots = (struct snapshot_list){ 2, snapshots };
	volume.last_thin = 2;
	spoil(&volume);
	volume_put(damage, &volume);
}

static void thin_again(struct volume *volume)
{
	volume->snapshots.items[1].thin = 1;
}

static void thin_twice(struct damage *damage)
{
	snapshots_put(damage, thin_again);
}

static void thin_ahead(struct volume *volume)
{
	volume->last_thin = 1;
}

static void thin_of_the_future(struct damage *damage)
{
	snapshots_put(damage, thin_ahead);
}

static void name_again(struct volume *volume)
{
	volume->snapshots.items[1].name = "one";
}

static void snapshot_twice(struct damage *damage)
{
	snapshots_put(damage, name_again);
}

static void make_taking(struct volume *volume)
{
	volume->snapshots.items[1].state = SNAPSHOT_STATE_TAKING;
}

static void taking_without_job(struct damage *damage)
{
	snapshots_put(damage, make_taking);
}

static void hold_on(struct volume *volume)
{
	volume->snapshots.items[0].pause = PAUSE_PHASE_HOLD;
}

static void taken_and_holding(struct damage *damage)
{
	snapshots_put(damage, hold_on);
}

static void put_event(struct damage *damage, uint64_t revision, uint64_t index, uint64_t key_revision,
		      uint64_t key_index)
{
	struct event event = { .revision = revision, .index = index, .kind = EVENT_KIND_CLUSTER_CREATED };
	struct buffer value = BUFFER_INIT;
	uint8_t key[16];

	assert_int_equal(codec_encode(schema_event(), &event, CODEC_TAGGED, &value, NULL), 0);
	put(damage, STORE_TABLE_EVENT, two_ids(key, key_revision, key_index), buffer_bytes(&value));
	buffer_free(&value);
}

static void event_lost(struct damage *damage)
{
	uint8_t key[16];

	del(damage, STORE_TABLE_EVENT, two_ids(key, 1, 1));
	put_event(damage, 1, 2, 1, 2);
}

static void event_elsewhere(struct damage *damage)
{
	put_event(damage, 1, 2, 1, 3);
}

static void event_of_the_future(struct damage *damage)
{
	put_event(damage, 1000, 1, 1000, 1);
}

static void event_dropped(struct damage *damage)
{
	uint8_t revision[8];

	put(damage, STORE_TABLE_META, (struct bytes){ (const uint8_t *)"events-compacted", 16 }, id_bytes(revision, 1));
}

static void volume_in_wrong_place(struct damage *damage)
{
	struct volume volume = volume_read(damage, 1);
	uint8_t key[8];

	put_record(damage, STORE_TABLE_VOLUME, id_bytes(key, 50), schema_volume(), &volume);
}

static void test_damages(void **state)
{
	static const struct {
		void (*make)(struct damage *damage);
		const char *words;
	} cases[] = {
		{ lose_free_run, "of d1 have no owner" },
		{ thin_twice, "thin device 1 of v1 is there twice" },
		{ thin_of_the_future, "thin device 2 of v1 was never given out" },
		{ snapshot_twice, "v1 has two snapshots \"one\"" },
		{ taking_without_job, "no job makes snapshot \"two\" of v1" },
		{ taken_and_holding, "snapshot \"one\" of v1 is taken, but holds hosts up" },
		{ free_twice, "of d1 has two owners" },
		{ split_free_run, "free runs of d1 at extent 2559 are not joined" },
		{ free_beyond_end, "d1 is used beyond its end" },
		{ free_of_no_disk, "d77 is not there but has extents" },
		{ miscount_free, "free extents, not" },
		{ miscount_lds, "d1 counts 2 LDs, not 1" },
		{ same_port, "port 4420 of node \"n1\" is used twice" },
		{ lose_node, "belongs to node \"n1\", which is not there" },
		{ miscount_controllers, "node \"n1\" counts 2 controllers, not 1" },
		{ lose_disk, "lies on disk d1, which is not there" },
		{ lose_path, "does not lead to d1" },
		{ lose_name, "the name \"a\" does not lead to v1" },
		{ name_of_nothing, "table volume-name has 3 entries, not 2" },
		{ port_of_nobody, "table leg-port has 1 entries, not 0" },
		{ port_of_another, "port 20009 is not listed as v1's" },
		{ port_of_another, "v1 has 1 slots and port 20009 for its legs" },
		{ lose_node_volume, "does not know that it is a controller of v1" },
		{ node_volume_of_nothing, "table node-volume has 3 entries, not 2" },
		{ lose_disk_volume, "disk d1 does not know that v1 lies on it" },
		{ disk_volume_of_nothing, "table disk-volume has 5 entries, not 4" },
		{ lose_host, "is not listed with v1" },
		{ host_of_nothing, "table host-volume has 2 entries, not 1" },
		{ lose_transition, "v2 in phase placed is not listed as in transition" },
		{ transition_of_online, "v1 in phase online, settled, is listed as in transition" },
		{ transition_of_nothing, "table transition has 2 entries, not 1" },
		{ lose_outcome, "a request has an age but no outcome" },
		{ outcome_without_age, "table request has 2 entries, not 1" },
		{ ld_elsewhere, "of d1 have no owner" },
		{ ld_shorter, "ld1 has " },
		{ ld_twice, "1 LDs have the id of another" },
		{ ld_of_the_future, "ld1000 was never given out" },
		{ ld_freed_too_early, "ld1 of v1 is freed but not gone" },
		{ other_holder, "controller 0 of v1 does not match its slots" },
		{ hosts_while_leaving, "v1 is being deleted and has hosts" },
		{ no_member_in_sync, "the group of ld1 of v1 has no member in sync" },
		{ stale_for_no_reason, "ld1 is stale for no reason" },
		{ stale_before_it_was_formatted, "that was never formatted has members that are not in sync" },
		{ rebuilding_while_moving, "slot 0 of v1 is not served and has members that are rebuilt" },
		{ resync_of_nothing, "ld1 is in sync and has something to catch up with" },
		{ unsettled_but_not_listed, "v1 in phase online is not listed as in transition" },
		{ imported_from_two, "slot 0 of v1 is imported from two nodes" },
		{ left_over_in_the_future, "to have something of epoch 1 left, but the slot is fencing in epoch 1" },
		{ left_over_while_served, "to have something of epoch 1 left, but the slot is serving in epoch 9" },
		{ left_over_at_active, "controller 0 of v1 does not match its slots" },
		{ moving_before_online, "slot 0 of v2 moves before the volume was online" },
		{ leaving_and_member, "of d1 has two owners" },
		{ leaving_and_member, "ld1 leaves v1 and is in-sync" },
		{ retired_before_standby, "controller 2 of v1 does not match its slots" },
		{ retired_in_the_future, "controller 2 of v1 does not match its slots" },
		{ retired_of_same_colour, "two controllers of v1 have the colour 0" },
		{ draining_not_cordoned, "node \"n1\" is drained and takes new controllers" },
		{ event_lost, "event 1.2 follows on 0.0" },
		{ event_elsewhere, "event 1.2 is stored in the wrong place" },
		{ event_of_the_future, "event 1000.1 is of a revision that has none" },
		{ event_dropped, "event 1.1 is of a revision that has none" },
		{ volume_in_wrong_place, "v1 is stored in the wrong place" },
	};
	struct error error;
	struct rig rig;

	(void)state;
	make(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct damage damage = { &rig, NULL };
		struct buffer dump = BUFFER_INIT;
		int result;

		assert_int_equal(fsm_dump(rig.fsm, &dump, &error), 0);
		assert_int_equal(store_txn_begin(rig.store, true, &damage.txn, &error), 0);
		cases[i].make(&damage);
		assert_int_equal(store_txn_commit(damage.txn, &error), 0);
		result = fsm_check(rig.fsm, &error);
		if (result != ERROR_FAILED_PRECONDITION || strstr(error.details, cases[i].words) == NULL)
			fail_msg("case %zu, \"%s\": %d %s\n%s", i, cases[i].words, result, error.message,
				 error.details);
		assert_int_equal(store_load(rig.store, buffer_bytes(&dump), &error), 0);
		rig_check(&rig);
		buffer_free(&dump);
	}
	rig_close(&rig);
}

/* More than an answer can hold are counted. */
static void test_many(void **state)
{
	struct fsm_findings findings;
	struct store_txn *txn = NULL;
	uint8_t key[24] = { 0 };
	struct error error;
	struct rig rig;

	(void)state;
	make(&rig);
	assert_int_equal(fsm_audit(rig.fsm, &rig.arena, &findings, &error), 0);
	assert_int_equal(findings.total, 0);
	assert_int_equal(findings.revision, fsm_revision(rig.fsm));
	assert_int_equal(findings.applied_index, fsm_applied_index(rig.fsm));
	assert_int_equal(store_txn_begin(rig.store, true, &txn, &error), 0);
	for (unsigned i = 0; i < LIMIT_FINDINGS + 44; i++) {
		key[22] = (uint8_t)(i >> 8);
		key[23] = (uint8_t)i;
		assert_int_equal(store_put(txn, STORE_TABLE_REQUEST_AGE, (struct bytes){ key, sizeof(key) },
					   (struct bytes){ (const uint8_t *)"", 0 }, &error),
				 0);
	}
	assert_int_equal(store_txn_commit(txn, &error), 0);
	assert_int_equal(fsm_audit(rig.fsm, &rig.arena, &findings, &error), 0);
	/* And the number of outcomes. */
	assert_int_equal(findings.total, LIMIT_FINDINGS + 45);
	assert_int_equal(findings.texts.count, LIMIT_FINDINGS);
	assert_string_equal(findings.texts.items[LIMIT_FINDINGS - 1], "a request has an age but no outcome");
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_damages), cmocka_unit_test(test_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
