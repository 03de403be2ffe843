/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_fsm_rig.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/model/names.h"
#include "lib/wire/codec.h"

static void must(int result, const struct error *error)
{
	if (result != 0)
		fail_msg("%s: %s (%s)\n%s", error_code_name((enum error_code)result), error->message, error->hint,
			 error->details);
}

static void change_record(void *data, const struct fsm_change *change)
{
	static const char *const kinds[] = { "cluster", "node", "disk", "volume" };
	struct rig *rig = data;

	if (rig->stock != NULL)
		stock_changed(rig->stock, change);
	assert_int_equal(buffer_printf(&rig->changes, "%s %s%" PRIu64 "%s%s r%" PRIu64 ":", kinds[change->kind],
				       change->node != NULL ? change->node : "", change->id,
				       change->removed ? " removed" : "", change->moved ? " moved" : "",
				       change->revision),
			 0);
	for (size_t i = 0; i < change->node_count; i++)
		assert_int_equal(buffer_printf(&rig->changes, " %s", change->nodes[i]), 0);
	assert_int_equal(buffer_printf(&rig->changes, "\n"), 0);
}

static void machine_open(struct rig *rig)
{
	static const uint8_t boot_id[16] = "one and the same";
	struct store_options options = { .directory = rig->directory, .map_step_bytes = 1 << 20, .boot_id = boot_id };
	struct error error;
	bool rebuilt;

	must(store_open(&options, &rig->store, &rebuilt, &error), &error);
	must(fsm_open(rig->store, change_record, rig, &rig->fsm, &error), &error);
}

void rig_open(struct rig *rig)
{
	const char *parent = getenv("TMPDIR");

	*rig = (struct rig){ .time_ms = 1000 };
	snprintf(rig->directory, sizeof(rig->directory), "%s/dnvme-fsm-XXXXXX",
		 parent != NULL && strlen(parent) < 40 ? parent : "/tmp");
	assert_non_null(mkdtemp(rig->directory));
	/* The callback must not be what lacks memory. */
	assert_int_equal(buffer_reserve(&rig->changes, 1 << 16), 0);
	machine_open(rig);
}

static void machine_close(struct rig *rig)
{
	fsm_close(rig->fsm);
	store_close(rig->store);
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

void rig_close(struct rig *rig)
{
	machine_close(rig);
	nftw(rig->directory, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < rig->entry_count; i++)
		buffer_free(&rig->entries[i].command);
	free(rig->entries);
	buffer_free(&rig->changes);
	arena_free(&rig->arena);
}

void rig_reopen(struct rig *rig)
{
	machine_close(rig);
	machine_open(rig);
}

void rig_encode(const struct command *command, struct buffer *output)
{
	struct error error;

	must(codec_encode(schema_command(), command, CODEC_TAGGED, output, &error), &error);
}

struct outcome rig_outcome(struct rig *rig, struct bytes bytes)
{
	struct outcome outcome;
	struct error error;

	must(codec_decode(schema_outcome(), bytes, &rig->arena, &outcome, &error), &error);
	return outcome;
}

struct outcome rig_apply_bytes(struct rig *rig, struct bytes bytes)
{
	struct buffer output = BUFFER_INIT;
	struct outcome outcome;
	struct error error;

	rig->entries = realloc(rig->entries, (rig->entry_count + 1) * sizeof(*rig->entries));
	assert_non_null(rig->entries);
	rig->entries[rig->entry_count].command = (struct buffer)BUFFER_INIT;
	assert_int_equal(buffer_append(&rig->entries[rig->entry_count].command, bytes.data, bytes.size), 0);
	rig->entry_count++;
	must(fsm_apply(rig->fsm, ++rig->index, &bytes, 1, &output, &error), &error);
	assert_int_equal(fsm_applied_index(rig->fsm), rig->index);
	outcome = rig_outcome(rig, buffer_bytes(&output));
	buffer_free(&output);
	return outcome;
}

struct outcome rig_apply(struct rig *rig, struct command command)
{
	struct buffer bytes = BUFFER_INIT;
	struct outcome outcome;

	command.time_ms = rig->time_ms++;
	rig_encode(&command, &bytes);
	outcome = rig_apply_bytes(rig, buffer_bytes(&bytes));
	buffer_free(&bytes);
	return outcome;
}

struct outcome rig_do(struct rig *rig, struct command command)
{
	struct outcome outcome = rig_apply(rig, command);

	if (outcome.code != 0)
		fail_msg("refused: %s", outcome.message);
	return outcome;
}

void rig_refused_at(struct outcome outcome, enum error_code code, const char *words, const char *file, int line)
{
	if (outcome.code == code && outcome.message != NULL && strstr(outcome.message, words) != NULL)
		return;
	print_error("wanted %s \"%s\", got %s \"%s\"\n", error_code_name(code), words,
		    error_code_name((enum error_code)outcome.code), outcome.message != NULL ? outcome.message : "");
	_fail(file, line);
}

void rig_cluster(struct rig *rig)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000", NULL, false } };
	struct cluster cluster = { .id = "c0ffee",
				   .name = "lab",
				   .extent_bytes = RIG_EXTENT_BYTES,
				   .servers = { 1, servers },
				   .created_ms = 5 };

	rig_do(rig, (struct command){ .cluster_create = &cluster });
}

void rig_node(struct rig *rig, const char *name, const char *address, const char *rack)
{
	struct label labels[] = { { "rack", rack } };
	struct command_node_register node = {
		.name = name, .address = address, .port = 4420, .version = "1", .labels = { rack != NULL, labels }
	};

	memset(node.boot_id, 7, sizeof(node.boot_id));
	rig_do(rig, (struct command){ .node_register = &node });
}

struct outcome rig_disk_add(struct rig *rig, const char *node, const char *path, uint64_t size_bytes)
{
	struct command_disk_add disk = { .node = node, .path = path, .size_bytes = size_bytes, .serial = "S1" };

	return rig_apply(rig, (struct command){ .disk_add = &disk });
}

uint64_t rig_disk(struct rig *rig, const char *node, const char *path, uint64_t size_bytes)
{
	struct outcome outcome = rig_disk_add(rig, node, path, size_bytes);
	uint64_t id;

	if (outcome.code != 0)
		fail_msg("refused: %s", outcome.message);
	assert_int_equal(names_id_parse("d", outcome.id, &id), 0);
	return id;
}

struct node rig_node_of(struct rig *rig, const char *name)
{
	struct node node;
	struct error error;

	must(fsm_node_get(rig->fsm, name, &rig->arena, &node, &error), &error);
	return node;
}

void rig_rack(struct rig *rig, unsigned nodes, unsigned disks, uint64_t size_bytes)
{
	char name[16], address[16], rack[16], path[32];

	rig_cluster(rig);
	for (unsigned i = 1; i <= nodes; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(address, sizeof(address), "10.0.0.%u", i);
		snprintf(rack, sizeof(rack), "r%u", (i + 1) / 2);
		rig_node(rig, name, address, rack);
		for (unsigned d = 0; d < disks; d++) {
			snprintf(path, sizeof(path), "/dev/nvme%un1", d);
			rig_disk(rig, name, path, size_bytes);
		}
	}
}

static void view_fill(struct rig *rig, struct placement_view *view, struct error *error)
{
	bool more;

	view->extent_bytes = RIG_EXTENT_BYTES;
	must(fsm_node_list(rig->fsm, NULL, 0, &rig->arena, &view->nodes, &more, error), error);
	assert_false(more);
	must(fsm_disk_list(rig->fsm, NULL, 0, 0, &rig->arena, &view->disks, &more, error), error);
	assert_false(more);
}

int rig_plan_extend(struct rig *rig, uint64_t volume, uint64_t size_bytes, struct command_volume_extend *ret_command,
		    struct error *error)
{
	struct placement_view view = { 0 };
	struct volume found = rig_volume(rig, volume);

	view_fill(rig, &view, error);
	return placement_extend(&view, &found, size_bytes, &rig->arena, ret_command, error);
}

struct outcome rig_extend(struct rig *rig, uint64_t volume, uint64_t size_bytes)
{
	struct command_volume_extend extend;
	struct error error;

	must(rig_plan_extend(rig, volume, size_bytes, &extend, &error), &error);
	return rig_apply(rig, (struct command){ .volume_extend = &extend });
}

struct command_snapshot_create rig_plan_snapshot(struct rig *rig, uint64_t volume, const char *name)
{
	struct command_snapshot_create create = {
		.id = volume, .name = name, .pause_limit_ms = LIMIT_PAUSE_MS_DEFAULT, .accept_flush = true
	};
	struct volume found = rig_volume(rig, volume);
	struct placement_view view = { 0 };
	struct error error;

	view_fill(rig, &view, &error);
	must(placement_snapshot(&view, &found, &rig->arena, &create.legs, &error), &error);
	return create;
}

struct outcome rig_snapshot(struct rig *rig, uint64_t volume, const char *name)
{
	struct command_snapshot_create create = rig_plan_snapshot(rig, volume, name);

	return rig_apply(rig, (struct command){ .snapshot_create = &create });
}

struct outcome rig_snapshot_retry(struct rig *rig, uint64_t id, enum operation_phase from, uint64_t thin)
{
	struct operation_error reason = { .code = "DEADLINE_EXCEEDED", .message = "the limit passed" };
	struct command_snapshot_retry retry = { .id = id, .from = from, .thin = thin, .error = &reason };

	return rig_apply(rig, (struct command){ .snapshot_retry = &retry });
}

struct outcome rig_snapshot_delete(struct rig *rig, const char *volume, const char *name)
{
	struct command_snapshot_delete drop = { .volume = volume, .name = name };

	return rig_apply(rig, (struct command){ .snapshot_delete = &drop });
}

struct outcome rig_thins_purge(struct rig *rig, uint64_t volume)
{
	struct command_thins_purge purge = { .id = volume, .revision = rig_volume(rig, volume).revision };

	return rig_apply(rig, (struct command){ .thins_purge = &purge });
}

void rig_job_until(struct rig *rig, uint64_t id, enum operation_phase to)
{
	static const enum operation_phase order[] = {
		OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING, OPERATION_PHASE_JOINING, OPERATION_PHASE_PAUSING,
		OPERATION_PHASE_SNAPPING,  OPERATION_PHASE_RESUMING,   OPERATION_PHASE_OVER,
	};
	size_t at = 0;

	while (order[at] != rig_job(rig, id).phase)
		at++;
	while (order[at] != to)
		assert_int_equal(rig_job_advance(rig, id, order[++at]).code, 0);
}

struct operation rig_job(struct rig *rig, uint64_t id)
{
	struct operation operation;
	struct error error;

	must(fsm_operation_get(rig->fsm, id, &rig->arena, &operation, &error), &error);
	return operation;
}

struct outcome rig_job_advance(struct rig *rig, uint64_t id, enum operation_phase to)
{
	struct operation operation = rig_job(rig, id);
	struct command_job_advance advance = { .id = id, .from = operation.phase, .to = to };

	if (operation.phase != OPERATION_PHASE_OVER)
		advance.revision = rig_volume(rig, operation.volume).revision;
	return rig_apply(rig, (struct command){ .job_advance = &advance });
}

struct outcome rig_job_cancel(struct rig *rig, uint64_t id)
{
	struct command_job_cancel cancel = { .id = id };

	return rig_apply(rig, (struct command){ .job_cancel = &cancel });
}

struct outcome rig_job_fail(struct rig *rig, uint64_t id, enum operation_phase from)
{
	struct operation_error reason = { .code = "DEADLINE_EXCEEDED", .message = "too late" };
	struct command_job_fail fail = { .id = id, .from = from, .error = &reason };

	return rig_apply(rig, (struct command){ .job_fail = &fail });
}

struct outcome rig_job_forget(struct rig *rig, uint64_t id, uint64_t revision)
{
	struct command_job_forget forget = { .id = id, .revision = revision };

	return rig_apply(rig, (struct command){ .job_forget = &forget });
}

int rig_plan(struct rig *rig, const struct rig_shape *shape, struct command_volume_create *ret_command,
	     struct error *error)
{
	struct placement_request request = {
		.name = shape->name,
		.size_bytes = shape->size_bytes,
		.copies = shape->copies,
		.controllers = shape->controllers,
		.standbys = shape->standbys,
		.legs_per_controller = shape->legs,
		.spread = shape->spread != 0 ? shape->spread : SPREAD_NODE,
		.provision = PROVISION_THIN,
	};
	struct placement_view view = { 0 };

	memset(request.uuid, 0xab, sizeof(request.uuid));
	view_fill(rig, &view, error);
	return placement_plan(&request, &view, &rig->arena, ret_command, error);
}

uint64_t rig_create(struct rig *rig, const struct rig_shape *shape)
{
	struct command_volume_create create;
	struct outcome outcome;
	struct error error;
	uint64_t id;

	must(rig_plan(rig, shape, &create, &error), &error);
	outcome = rig_do(rig, (struct command){ .volume_create = &create });
	assert_int_equal(names_id_parse("v", outcome.id, &id), 0);
	return id;
}

struct volume rig_volume(struct rig *rig, uint64_t id)
{
	struct volume volume;
	struct error error;

	must(fsm_volume_get(rig->fsm, id, &rig->arena, &volume, &error), &error);
	return volume;
}

struct outcome rig_advance(struct rig *rig, uint64_t id, enum volume_phase to)
{
	struct volume volume = rig_volume(rig, id);
	struct command_volume_advance advance = { id, volume.phase, to, volume.revision };

	return rig_apply(rig, (struct command){ .volume_advance = &advance });
}

void rig_advance_until(struct rig *rig, uint64_t id, enum volume_phase to)
{
	while (rig_volume(rig, id).phase != to)
		assert_int_equal(rig_advance(rig, id, rig_volume(rig, id).phase + 1).code, 0);
}

const struct rig_shape rig_pair = {
	.name = "db1", .size_bytes = GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 1
};

uint64_t rig_open_pair(struct rig *rig, unsigned nodes)
{
	uint64_t id;

	rig_open(rig);
	rig_rack(rig, nodes, 1, 10 * GIB);
	id = rig_create(rig, &rig_pair);
	rig_advance_until(rig, id, VOLUME_PHASE_ONLINE);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(rig_member(rig, id, i / 2, 0, i % 2).id, i + 1);
		assert_int_equal(rig_member(rig, id, i / 2, 0, i % 2).disk, i + 1);
	}
	assert_false(rig_in_transition(rig, id));
	return id;
}

struct outcome rig_delete(struct rig *rig, const char *name)
{
	struct command_volume_delete remove = { name };

	return rig_apply(rig, (struct command){ .volume_delete = &remove });
}

struct outcome rig_attach(struct rig *rig, const char *volume, const char *nqn)
{
	struct command_host_attach attach = { volume, nqn };

	return rig_apply(rig, (struct command){ .host_attach = &attach });
}

struct outcome rig_detach(struct rig *rig, const char *volume, const char *nqn)
{
	struct command_host_detach detach = { volume, nqn };

	return rig_apply(rig, (struct command){ .host_detach = &detach });
}

static uint64_t epoch_of(struct rig *rig, uint64_t id, uint64_t slot)
{
	struct volume volume = rig_volume(rig, id);

	return slot < volume.slots.count ? volume.slots.items[slot].epoch : 1;
}

struct outcome rig_slot_move(struct rig *rig, uint64_t id, uint64_t slot, const char *to, enum move_reason reason)
{
	struct command_slot_move move = { id, slot, epoch_of(rig, id, slot), to, reason };

	return rig_apply(rig, (struct command){ .slot_move = &move });
}

struct outcome rig_slot_advance(struct rig *rig, uint64_t id, uint64_t slot, enum slot_phase to)
{
	struct volume volume = rig_volume(rig, id);
	struct command_slot_advance advance = {
		id, slot, epoch_of(rig, id, slot), volume.slots.items[slot].phase, to, volume.revision
	};

	return rig_apply(rig, (struct command){ .slot_advance = &advance });
}

void rig_slot_serve(struct rig *rig, uint64_t id, uint64_t slot)
{
	enum slot_phase phase = rig_volume(rig, id).slots.items[slot].phase;

	for (int next = phase + 1; phase != SLOT_PHASE_SERVING && next <= SLOT_PHASE_EXPORTING; next++)
		assert_int_equal(rig_slot_advance(rig, id, slot, (enum slot_phase)next).code, 0);
	if (phase != SLOT_PHASE_SERVING)
		assert_int_equal(rig_slot_advance(rig, id, slot, SLOT_PHASE_SERVING).code, 0);
}

struct outcome rig_stale(struct rig *rig, uint64_t id, uint64_t slot, const char *ld, enum stale_reason reason)
{
	const char *names[] = { ld };
	struct command_lds_stale stale = { id, slot, epoch_of(rig, id, slot), reason, { 1, names } };

	return rig_apply(rig, (struct command){ .lds_stale = &stale });
}

struct outcome rig_rebuild(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld, bool resync)
{
	struct command_ld_rebuild rebuild = { id, slot, epoch_of(rig, id, slot), ld, resync };

	return rig_apply(rig, (struct command){ .ld_rebuild = &rebuild });
}

struct outcome rig_drain(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld, uint64_t reads)
{
	struct failed_reads failed = { .boot_id = { 7 }, .reads = reads, .last_us = 76 + reads };
	struct command_ld_drain drain = { id, slot, epoch_of(rig, id, slot), ld, &failed };

	return rig_apply(rig, (struct command){ .ld_drain = &drain });
}

struct outcome rig_excuse(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld, uint64_t number)
{
	struct command_ld_excuse excuse = { id, slot, epoch_of(rig, id, slot), ld, number };

	return rig_apply(rig, (struct command){ .ld_excuse = &excuse });
}

struct outcome rig_settle(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld, bool left)
{
	struct command_ld_settle settle = { id, slot, epoch_of(rig, id, slot), ld, rig_volume(rig, id).revision, left };

	return rig_apply(rig, (struct command){ .ld_settle = &settle });
}

struct outcome rig_in_sync(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld)
{
	struct command_ld_in_sync in_sync = { id, slot, epoch_of(rig, id, slot), ld, rig_volume(rig, id).revision };

	return rig_apply(rig, (struct command){ .ld_in_sync = &in_sync });
}

struct outcome rig_replace(struct rig *rig, uint64_t id, uint64_t slot, uint64_t ld, uint64_t disk)
{
	struct command_ld_replace replace = { id, slot, epoch_of(rig, id, slot), ld, disk };

	return rig_apply(rig, (struct command){ .ld_replace = &replace });
}

struct outcome rig_move(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld, uint64_t disk)
{
	struct command_ld_move move = { volume, slot, epoch_of(rig, volume, slot), ld, disk };

	return rig_apply(rig, (struct command){ .ld_move = &move });
}

struct outcome rig_moved(struct rig *rig, uint64_t volume, uint64_t slot, uint64_t ld)
{
	struct command_ld_moved moved = { volume, slot, epoch_of(rig, volume, slot), ld,
					  rig_volume(rig, volume).revision };

	return rig_apply(rig, (struct command){ .ld_moved = &moved });
}

struct outcome rig_disk_drain(struct rig *rig, const char *disk, bool draining)
{
	struct command_disk_drain drain = { { 1, &disk }, draining };

	return rig_apply(rig, (struct command){ .disk_drain = &drain });
}

struct outcome rig_force(struct rig *rig, uint64_t id, uint64_t slot, const char *ld)
{
	static const char *off[] = { "n2" };
	const char *names[] = { ld };
	struct command_slot_force force = {
		id, slot, epoch_of(rig, id, slot), rig_volume(rig, id).revision, { 1, names }, "root@ops", { 1, off }
	};

	return rig_apply(rig, (struct command){ .slot_force = &force });
}

struct outcome rig_controller_add(struct rig *rig, uint64_t id, const char *node)
{
	struct command_controller_add add = { id, node };

	return rig_apply(rig, (struct command){ .controller_add = &add });
}

struct outcome rig_controller_retire(struct rig *rig, uint64_t id, const char *node)
{
	struct command_controller_retire retire = { id, node };

	return rig_apply(rig, (struct command){ .controller_retire = &retire });
}

struct outcome rig_controller_drop(struct rig *rig, uint64_t id, const char *node, uint64_t epoch)
{
	struct command_controller_drop drop = { id, node, epoch };

	return rig_apply(rig, (struct command){ .controller_drop = &drop });
}

struct outcome rig_free_one(struct rig *rig, uint64_t id, const char *ld)
{
	const char *names[] = { ld };
	struct command_lds_free lds = { id, { 1, names } };

	return rig_apply(rig, (struct command){ .lds_free = &lds });
}

struct ld rig_member(struct rig *rig, uint64_t id, size_t leg, size_t group, size_t member)
{
	struct volume volume = rig_volume(rig, id);

	assert_true(leg < volume.legs.count && group < volume.legs.items[leg].groups.count);
	assert_true(member < volume.legs.items[leg].groups.items[group].members.count);
	return volume.legs.items[leg].groups.items[group].members.items[member];
}

bool rig_in_transition(struct rig *rig, uint64_t id)
{
	struct error error;
	uint64_t *ids;
	size_t count;

	must(fsm_transition_list(rig->fsm, id - 1, 1, &rig->arena, &ids, &count, &error), &error);
	return count > 0 && ids[0] == id;
}

struct outcome rig_free(struct rig *rig, uint64_t id, size_t limit)
{
	struct volume volume = rig_volume(rig, id);
	const char *names[LIMIT_LEGS * LIMIT_COPIES];
	struct command_lds_free lds = { id, { 0, names } };

	if (limit > LIMIT_LEGS * LIMIT_COPIES)
		limit = LIMIT_LEGS * LIMIT_COPIES;
	for (size_t i = 0; i < volume.leaving.count && lds.lds.count < limit; i++)
		names[lds.lds.count++] = arena_printf(&rig->arena, "ld%" PRIu64, volume.leaving.items[i].ld->id);
	for (size_t l = 0; l < volume.legs.count; l++) {
		for (size_t g = 0; g < volume.legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume.legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count && lds.lds.count < limit; m++) {
				if (members->items[m].state != LD_STATE_FREED)
					names[lds.lds.count++] =
						arena_printf(&rig->arena, "ld%" PRIu64, members->items[m].id);
			}
		}
	}
	return rig_apply(rig, (struct command){ .lds_free = &lds });
}

void rig_destroy(struct rig *rig, uint64_t id)
{
	char name[NAMES_ID_SIZE];
	struct volume volume;

	names_id_format("v", id, name);
	assert_int_equal(rig_delete(rig, name).code, 0);
	rig_advance_until(rig, id, VOLUME_PHASE_RELEASING);
	do
		assert_int_equal(rig_free(rig, id, SIZE_MAX).code, 0);
	while (fsm_volume_get(rig->fsm, id, &rig->arena, &volume, NULL) == 0);
}

void rig_heard(struct rig *rig, const char *text)
{
	assert_int_equal(buffer_append(&rig->changes, "", 1), 0);
	assert_string_equal((const char *)rig->changes.data, text);
	buffer_clear(&rig->changes);
}

void rig_check(struct rig *rig)
{
	struct error error;

	must(fsm_check(rig->fsm, &error), &error);
}

static void same_record(const struct schema *schema, const void *a, const void *b)
{
	struct buffer x = BUFFER_INIT, y = BUFFER_INIT;
	struct error error;

	must(codec_encode(schema, a, CODEC_TAGGED, &x, &error), &error);
	must(codec_encode(schema, b, CODEC_TAGGED, &y, &error), &error);
	assert_int_equal(x.size, y.size);
	assert_memory_equal(x.data, y.data, x.size);
	buffer_free(&x);
	buffer_free(&y);
}

void rig_stock_check(struct rig *rig)
{
	struct node_list nodes, stock_nodes;
	struct disk_list disks, stock_disks;
	struct error error;
	bool more;

	must(stock_list(rig->stock, rig->fsm, &rig->arena, &stock_nodes, &stock_disks, &error), &error);
	must(fsm_node_list(rig->fsm, NULL, 0, &rig->arena, &nodes, &more, &error), &error);
	assert_int_equal(stock_nodes.count, nodes.count);
	for (size_t i = 0; i < nodes.count; i++)
		same_record(schema_node(), &stock_nodes.items[i], &nodes.items[i]);
	must(fsm_disk_list(rig->fsm, NULL, 0, 0, &rig->arena, &disks, &more, &error), &error);
	assert_int_equal(stock_disks.count, disks.count);
	for (size_t i = 0; i < disks.count; i++)
		same_record(schema_disk(), &stock_disks.items[i], &disks.items[i]);
}

void rig_digest(struct rig *rig, uint8_t ret_digest[16])
{
	struct error error;

	must(fsm_digest(rig->fsm, ret_digest, &error), &error);
}

uint64_t rig_extents_free(struct rig *rig)
{
	struct arena arena = ARENA_INIT;
	struct disk_list disks;
	struct error error;
	uint64_t sum = 0;
	bool more;

	must(fsm_disk_list(rig->fsm, NULL, 0, 0, &arena, &disks, &more, &error), &error);
	for (size_t i = 0; i < disks.count; i++)
		sum += disks.items[i].extents_free;
	arena_free(&arena);
	return sum;
}

static void digests_equal(struct rig *a, struct rig *b)
{
	uint8_t x[16], y[16];

	rig_digest(a, x);
	rig_digest(b, y);
	assert_memory_equal(x, y, sizeof(x));
	assert_int_equal(fsm_revision(a->fsm), fsm_revision(b->fsm));
	assert_int_equal(fsm_applied_index(a->fsm), fsm_applied_index(b->fsm));
}

/* On the replica nobody listens and nobody wants outcomes, as on a follower. */
void rig_compare_replay(struct rig *rig)
{
	struct rig replica;
	struct error error;
	struct bytes bytes;

	rig_open(&replica);
	fsm_close(replica.fsm);
	must(fsm_open(replica.store, NULL, NULL, &replica.fsm, &error), &error);
	for (size_t i = 0; i < rig->entry_count; i++) {
		bytes = buffer_bytes(&rig->entries[i].command);
		must(fsm_apply(replica.fsm, i + 1, &bytes, 1, NULL, &error), &error);
	}
	must(fsm_skip(replica.fsm, rig->index, &error), &error);
	digests_equal(rig, &replica);
	rig_check(&replica);
	rig_close(&replica);
}

void rig_compare_dump(struct rig *rig)
{
	struct buffer dump = BUFFER_INIT;
	struct rig replica;
	struct error error;

	rig_open(&replica);
	must(fsm_dump(rig->fsm, &dump, &error), &error);
	must(fsm_load(replica.fsm, rig->index, buffer_bytes(&dump), &error), &error);
	buffer_free(&dump);
	digests_equal(rig, &replica);
	rig_check(&replica);
	rig_close(&replica);
}
