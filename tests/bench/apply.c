/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the state machine alone costs for a command of the question "commits", without Raft, sockets and disk syncs.
 *
 *	bench_apply DIRECTORY COMMANDS
 *
 * The same nodes and commands, in entries of 128, applied as a follower does. Prints the time of one command; under
 * `valgrind --tool=callgrind --toggle-collect=entry_measure` it counts its instructions (docs/PERFORMANCE.md).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fsm/fsm.h"
#include "lib/wire/codec.h"
#include "store/store.h"

#define NODES 512u
#define BATCH 128u
#define LABELS 3u
#define NAME_BYTES 63u

struct bench {
	struct store *store;
	struct fsm *fsm;
	uint64_t index, time_ms;
	struct buffer encoded[BATCH], outcomes[BATCH];
	struct bytes commands[BATCH];
	size_t count;
	double seconds; /* that fsm_apply() took of what is measured */
	bool measuring;
};

static void must(int result, const struct error *error)
{
	if (result == 0)
		return;
	fprintf(stderr, "bench_apply: %s\n%s\n", error->message, error->details);
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* A function of its own, so that a profiler can look at nothing else. */
static __attribute__((noinline)) int entry_measure(struct bench *bench, struct error *error)
{
	double begin = now();
	int result = fsm_apply(bench->fsm, ++bench->index, bench->commands, bench->count, bench->outcomes, error);

	bench->seconds += now() - begin;
	return result;
}

static void entry_apply(struct bench *bench)
{
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	if (bench->measuring)
		must(entry_measure(bench, &error), &error);
	else
		must(fsm_apply(bench->fsm, ++bench->index, bench->commands, bench->count, bench->outcomes, &error),
		     &error);
	for (size_t i = 0; i < bench->count; i++) {
		must(codec_decode(schema_outcome(), buffer_bytes(&bench->outcomes[i]), &arena, &outcome, &error),
		     &error);
		if (outcome.code != 0) {
			fprintf(stderr, "bench_apply: refused: %s\n", outcome.message);
			exit(EXIT_FAILURE);
		}
		buffer_clear(&bench->outcomes[i]);
	}
	arena_free(&arena);
	bench->count = 0;
}

static void command_add(struct bench *bench, struct command *command)
{
	struct error error;
	size_t at = bench->count++;

	command->time_ms = bench->time_ms++;
	buffer_clear(&bench->encoded[at]);
	must(codec_encode(schema_command(), command, CODEC_TAGGED, &bench->encoded[at], &error), &error);
	bench->commands[at] = buffer_bytes(&bench->encoded[at]);
	if (bench->count == BATCH)
		entry_apply(bench);
}

static void node_name(uint64_t number, char ret_name[NAME_BYTES + 1])
{
	memset(ret_name, 'b', NAME_BYTES - 5);
	snprintf(ret_name + NAME_BYTES - 5, 6, "-%04" PRIu64, number);
}

static void nodes_make(struct bench *bench)
{
	struct server server = { .id = 1, .raft_address = "127.0.0.1:7401", .api_address = "127.0.0.1:7400" };
	struct cluster cluster = { .id = "be7c4",
				   .name = "bench",
				   .extent_bytes = LIMIT_EXTENT_BYTES_DEFAULT,
				   .servers = { 1, &server },
				   .created_ms = 1 };
	char text[41], name[NAME_BYTES + 1];
	struct label labels[LABELS] = { { "label0", text }, { "label1", text }, { "label2", text } };

	memset(text, 'v', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	command_add(bench, &(struct command){ .cluster_create = &cluster });
	entry_apply(bench);
	for (uint64_t number = 0; number < NODES; number++) {
		struct command_node_register node = { .name = name,
						      .address = "127.0.0.1",
						      .port = 4420,
						      .version = "bench",
						      .labels = { LABELS, labels },
						      .storage_only = true };

		node_name(number, name);
		memset(node.boot_id, 7, sizeof(node.boot_id));
		command_add(bench, &(struct command){ .node_register = &node });
	}
	if (bench->count > 0)
		entry_apply(bench);
	bench->measuring = true;
}

static void cordon(struct bench *bench, uint64_t number)
{
	uint8_t request_id[LIMIT_REQUEST_ID] = { 0xbe };
	char name[NAME_BYTES + 1];
	struct command_node_cordon command = { .name = name, .cordoned = number / NODES % 2 == 0 };

	/* Clients choose them at random: they are nowhere in order. */
	for (int i = 0; i < 8; i++)
		request_id[8 + i] = (uint8_t)(number >> 8 * i);
	request_id[0] = (uint8_t)(number * 167);
	node_name(number % NODES, name);
	command_add(bench,
		    &(struct command){ .request_id = { request_id, sizeof(request_id) }, .node_cordon = &command });
}

int main(int argument_count, char **arguments)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	uint64_t commands = argument_count == 3 ? strtoull(arguments[2], NULL, 10) : 0;
	struct error error;
	bool rebuilt;

	if (bench == NULL || commands == 0) {
		fprintf(stderr, "usage: bench_apply DIRECTORY COMMANDS\n");
		return 2;
	}
	must(store_open(&(struct store_options){ .directory = arguments[1] }, &bench->store, &rebuilt, &error), &error);
	must(fsm_open(bench->store, NULL, NULL, &bench->fsm, &error), &error);
	nodes_make(bench);
	for (uint64_t number = 0; number < commands; number++)
		cordon(bench, number);
	if (bench->count > 0)
		entry_apply(bench);
	printf("%.2f us\n", bench->seconds * 1e6 / (double)commands);
	fsm_close(bench->fsm);
	store_discard(bench->store);
	for (size_t i = 0; i < BATCH; i++) {
		buffer_free(&bench->encoded[i]);
		buffer_free(&bench->outcomes[i]);
	}
	free(bench);
	return 0;
}
