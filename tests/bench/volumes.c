/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the data directory of a server that is the only one of its group, with so many volumes that are online.
 *
 *	bench_volumes DIRECTORY RAFT_ADDRESS API_ADDRESS VOLUMES [NODES [ON_FIRST]]
 *
 * The state is made by the commands that would have made it, one after the other, with the request ids of clients, and
 * the audit looks at it; only Raft is left out. The server finds it as its snapshot. Of the volumes the
 * first ON_FIRST are served by the first node.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/fsm.h"
#include "fsm/policy/placement.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "raft/consensus.h"
#include "src/file.h"
#include "store/store.h"
#include "tests/bench/rack.h"

#define VOLUME_BYTES (UINT64_C(1) << 30)
#define BATCH 500u
#define SERVER_ID 1u
#define TERM 1u

struct maker {
	struct store *store;
	struct fsm *fsm;
	uint64_t index, time_ms;
	struct arena arena; /* of what stays */
	struct placement_view view;
	struct cluster cluster;
	struct server server;
	uint64_t nodes, on_first;
};

struct batch {
	struct arena arena;
	struct bytes commands[BATCH];
	struct buffer encoded[BATCH], outcomes[BATCH];
	size_t count;
	uint64_t ids[BATCH], revisions[BATCH];
};

static void must(int result, const struct error *error)
{
	if (result == 0)
		return;
	fprintf(stderr, "bench_volumes: %s\n%s\n", error->message, error->details);
	exit(EXIT_FAILURE);
}

static void batch_add(struct maker *maker, struct batch *batch, struct command *command)
{
	struct error error;
	size_t at = batch->count++;

	command->time_ms = maker->time_ms++;
	must(codec_encode(schema_command(), command, CODEC_TAGGED, &batch->encoded[at], &error), &error);
	batch->commands[at] = buffer_bytes(&batch->encoded[at]);
}

/* All of it as one entry; keeps of each which object it made and at which revision. */
static void batch_apply(struct maker *maker, struct batch *batch)
{
	struct outcome outcome;
	struct error error;

	must(fsm_apply(maker->fsm, ++maker->index, batch->commands, batch->count, batch->outcomes, &error), &error);
	for (size_t i = 0; i < batch->count; i++) {
		must(codec_decode(schema_outcome(), buffer_bytes(&batch->outcomes[i]), &batch->arena, &outcome, &error),
		     &error);
		if (outcome.code != 0) {
			fprintf(stderr, "bench_volumes: refused: %s\n%s\n", outcome.message,
				outcome.details != NULL ? outcome.details : "");
			exit(EXIT_FAILURE);
		}
		batch->revisions[i] = outcome.revision;
		if (outcome.id != NULL && outcome.id[0] == 'v' && names_id_parse("v", outcome.id, &batch->ids[i]) != 0)
			batch->ids[i] = 0;
		buffer_free(&batch->encoded[i]);
		buffer_free(&batch->outcomes[i]);
	}
	batch->count = 0;
}

static void batch_free(struct batch *batch)
{
	arena_free(&batch->arena);
	batch->arena = (struct arena)ARENA_INIT;
}

/* --- what volumes lie on ------------------------------------------------------------------------------------------ */

static void node_make(struct maker *maker, struct batch *batch, unsigned number)
{
	struct rack_node *is = arena_alloc(&batch->arena, sizeof(*is));
	struct label rack = { .key = "rack" };
	struct command_node_register node = { .port = RACK_PORT, .version = RACK_VERSION, .labels = { 1, &rack } };
	char path[16];

	rack_node_make(number, is);
	rack.value = is->rack;
	node.name = is->name;
	node.address = is->address;
	memcpy(node.boot_id, is->boot_id, sizeof(node.boot_id));
	batch_add(maker, batch, &(struct command){ .node_register = &node });
	for (unsigned d = 0; d < RACK_DISKS; d++) {
		struct command_disk_add disk = { .node = is->name, .path = path, .size_bytes = RACK_DISK_BYTES };

		rack_disk_path(d, path);
		batch_add(maker, batch, &(struct command){ .disk_add = &disk });
	}
	batch_apply(maker, batch);
}

static void rack_make(struct maker *maker, struct batch *batch)
{
	bool more;
	struct error error;

	batch_add(maker, batch, &(struct command){ .cluster_create = &maker->cluster });
	batch_apply(maker, batch);
	for (unsigned i = 1; i <= maker->nodes; i++)
		node_make(maker, batch, i);
	batch_free(batch);
	maker->view.extent_bytes = maker->cluster.extent_bytes;
	must(fsm_node_list(maker->fsm, NULL, RACK_NODES_MAX, &maker->arena, &maker->view.nodes, &more, &error), &error);
	must(fsm_disk_list(maker->fsm, NULL, 0, RACK_NODES_MAX * RACK_DISKS, &maker->arena, &maker->view.disks, &more,
			   &error),
	     &error);
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

static void node_charge(struct maker *maker, const struct string_list *names)
{
	for (size_t n = 0; n < names->count; n++) {
		for (size_t i = 0; i < maker->view.nodes.count; i++) {
			if (strcmp(maker->view.nodes.items[i].name, names->items[n]) == 0)
				maker->view.nodes.items[i].controllers++;
		}
	}
}

/* The next one is placed beside it. */
static void view_charge(struct maker *maker, const struct command_volume_create *create, bool on_first)
{
	/* The first node is chosen for the next one, too: the least loaded, and of those the first by name. */
	if (!on_first)
		node_charge(maker, &create->actives);
	node_charge(maker, &create->standby_nodes);
	for (size_t l = 0; l < create->legs.count; l++) {
		const struct place_leg *leg = &create->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				struct disk *disk =
					&maker->view.disks.items[leg->groups.items[g].members.items[m].disk - 1];

				disk->extents_free -= leg->group_extents;
				disk->lds++;
			}
		}
	}
}

static void volume_add(struct maker *maker, struct batch *batch, uint64_t number)
{
	struct placement_request wanted = { .name = arena_printf(&batch->arena, "volume-%06" PRIu64, number),
					    .size_bytes = VOLUME_BYTES,
					    .copies = 2,
					    .controllers = 1,
					    .standbys = 1,
					    .legs_per_controller = 1,
					    .spread = SPREAD_NODE,
					    .provision = PROVISION_THICK };
	uint8_t request_id[LIMIT_REQUEST_ID] = { 0 };
	struct command_volume_create create;
	struct error error;

	memcpy(wanted.uuid, &number, sizeof(number));
	memcpy(request_id, &number, sizeof(number));
	must(placement_plan(&wanted, &maker->view, &batch->arena, &create, &error), &error);
	view_charge(maker, &create, number <= maker->on_first);
	for (uint64_t i = 0; number == maker->on_first && i < number; i++)
		node_charge(maker, &create.actives);
	batch_add(maker, batch,
		  &(struct command){ .request_id = { request_id, sizeof(request_id) }, .volume_create = &create });
}

static void batch_advance(struct maker *maker, struct batch *batch, size_t count, enum volume_phase from)
{
	for (size_t i = 0; i < count; i++) {
		struct command_volume_advance advance = { batch->ids[i], from, (enum volume_phase)(from + 1),
							  batch->revisions[i] };

		batch_add(maker, batch, &(struct command){ .volume_advance = &advance });
	}
	batch_apply(maker, batch);
}

static void volumes_make(struct maker *maker, struct batch *batch, uint64_t volumes)
{
	for (uint64_t number = 1; number <= volumes;) {
		size_t count = 0;

		for (; count < BATCH && number <= volumes; count++)
			volume_add(maker, batch, number++);
		batch_apply(maker, batch);
		for (enum volume_phase phase = VOLUME_PHASE_PLACED; phase < VOLUME_PHASE_ONLINE; phase++)
			batch_advance(maker, batch, count, phase);
		batch_free(batch);
	}
}

/* --- the directory ------------------------------------------------------------------------------------------------ */

static void state_check(struct maker *maker)
{
	struct fsm_findings findings;
	struct error error;

	must(fsm_audit(maker->fsm, &maker->arena, &findings, &error), &error);
	if (findings.total > 0) {
		fprintf(stderr, "bench_volumes: the state is wrong: %s\n", findings.texts.items[0]);
		exit(EXIT_FAILURE);
	}
}

static void directory_write(struct maker *maker, const char *directory)
{
	struct consensus_server self = { .id = SERVER_ID, .address = maker->server.raft_address };
	struct buffer dump = BUFFER_INIT, record = BUFFER_INIT;
	char path[FILE_PATH_SIZE];
	struct error error;

	must(fsm_dump(maker->fsm, &dump, &error), &error);
	snprintf(path, sizeof(path), "%s/raft", directory);
	must(consensus_restore(path, &self, TERM, maker->index, buffer_bytes(&dump), &error), &error);
	must(codec_encode(schema_cluster(), &maker->cluster, CODEC_TAGGED, &record, &error), &error);
	must(file_write(directory, "member", (struct bytes){ NULL, 0 }, &error), &error);
	must(file_write(directory, "cluster", buffer_bytes(&record), &error), &error);
	printf("{\"dump_bytes\": %zu, \"revision\": %" PRIu64 "}\n", buffer_bytes(&dump).size,
	       fsm_revision(maker->fsm));
	buffer_free(&dump);
	buffer_free(&record);
}

int main(int argument_count, char **arguments)
{
	struct maker *maker = calloc(1, sizeof(*maker));
	struct batch *batch = calloc(1, sizeof(*batch));
	char scratch[FILE_PATH_SIZE];
	struct error error;
	uint64_t volumes;
	bool rebuilt;

	if (maker == NULL || batch == NULL || argument_count < 5 || argument_count > 7) {
		fprintf(stderr, "usage: bench_volumes DIRECTORY RAFT_ADDRESS API_ADDRESS VOLUMES [NODES [ON_FIRST]]\n");
		return 2;
	}
	volumes = strtoull(arguments[4], NULL, 10);
	maker->nodes = argument_count > 5 ? strtoull(arguments[5], NULL, 10) : RACK_NODES;
	maker->on_first = argument_count > 6 ? strtoull(arguments[6], NULL, 10) : 0;
	if (maker->nodes < 4 || maker->nodes > RACK_NODES_MAX) {
		fprintf(stderr, "bench_volumes: NODES is a number from 4 to %u\n", RACK_NODES_MAX);
		return 2;
	}
	maker->time_ms = 1;
	maker->server = (struct server){ .id = SERVER_ID, .raft_address = arguments[2], .api_address = arguments[3] };
	maker->cluster = (struct cluster){ .id = "be7c4",
					   .name = "bench",
					   .extent_bytes = LIMIT_EXTENT_BYTES_DEFAULT,
					   .servers = { 1, &maker->server },
					   .created_ms = 1 };
	must(file_directory_make(arguments[1], &error), &error);
	snprintf(scratch, sizeof(scratch), "%s.scratch", arguments[1]);
	must(store_open(&(struct store_options){ .directory = scratch }, &maker->store, &rebuilt, &error), &error);
	must(fsm_open(maker->store, NULL, NULL, &maker->fsm, &error), &error);
	rack_make(maker, batch);
	volumes_make(maker, batch, volumes);
	state_check(maker);
	directory_write(maker, arguments[1]);
	fsm_close(maker->fsm);
	store_discard(maker->store);
	arena_free(&maker->arena);
	free(batch);
	free(maker);
	return 0;
}
