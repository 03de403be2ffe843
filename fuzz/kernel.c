/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an agent reads that a kernel or a disk wrote: dm tables and status lines, names, the trace of I/O errors,
 * labels, superblocks.
 *
 *   input: a byte that says what it is, then the text or the block
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/linux/tracelog.h"
#include "agent/group.h"
#include "agent/label.h"
#include "agent/owner.h"
#include "agent/superblock.h"
#include "fuzz/fuzz.h"
#include "lib/base/arena.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define BLOCK_BYTES 4096u
_Static_assert(BLOCK_BYTES == LABEL_BLOCK_BYTES && BLOCK_BYTES == SUPERBLOCK_BLOCK_BYTES, "one size of blocks");

static void table_take(const char *text)
{
	struct observed_target line = { .length = 8, .type = "raid", .params = text };
	const struct observed_target_list list = { 1, &line };
	struct group_table table;

	if (!group_table_parse(&list, &table))
		return;
	FUZZ_REQUIRE(table.count > 0 && table.count <= LIMIT_MEMBERS, "a group of %zu members", table.count);
}

static void status_take(const char *text)
{
	struct group_status status;

	group_status_parse(text, &status);
	FUZZ_REQUIRE(status.count <= LIMIT_MEMBERS && strlen(status.health) == status.count,
		     "a status of %zu members, \"%s\"", status.count, status.health);
	FUZZ_REQUIRE(!status.idle || strchr(status.health, 'a') == NULL, "idle, and not in sync");
}

/* Whoever it belongs to, it is of our cluster. */
static void names_take(const char *text)
{
	char mark[OWNER_ID_SIZE];
	struct owner owner;
	uint8_t uuid[16];
	char again[UUID_TEXT_SIZE];
	uint64_t id;

	if (owner_of_dm("c0ffee", text, &owner))
		FUZZ_REQUIRE(names_dm_uuid_is_ours("c0ffee", text), "\"%s\" is not ours", text);
	if (owner_of_subsystem("c0ffee", text, &owner) || owner_of_import("c0ffee", text, &owner))
		FUZZ_REQUIRE(names_nqn_is_ours("c0ffee", text), "\"%s\" is not ours", text);
	if (owner_of_port("c0ffee", text, 4420, &owner)) {
		owner_port_mark("c0ffee", &owner, mark);
		FUZZ_REQUIRE(strncmp(text, "dnvme-c0ffee-", 13) == 0, "\"%s\" is not ours", text);
		FUZZ_REQUIRE(owner_mark_is_leg(text) || strcmp(mark, text) == 0, "\"%s\" is marked \"%s\"", text, mark);
	}
	if (uuid_text_parse(text, uuid) == 0) {
		uuid_text_format(uuid, again);
		FUZZ_REQUIRE(strcasecmp(text, again) == 0, "\"%s\" became \"%s\"", text, again);
	}
	if (names_id_parse("d", text, &id) == 0) {
		char number[NAMES_ID_SIZE];

		names_id_format("d", id, number);
		FUZZ_REQUIRE(strcmp(number, text) == 0, "\"%s\" became \"%s\"", text, number);
	}
	names_nqn_check("nqn", text, NULL);
	names_name_check("name", text, NULL);
}

static void lines_take(struct tracelog *log, char *text)
{
	for (char *line = text, *end; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		FUZZ_REQUIRE(tracelog_line(log, line) == 0, "no memory");
	}
}

/* A summary says what it sums up. */
static void trace_take(char *text)
{
	struct tracelog log = { 0 }, again = { 0 };
	struct buffer summary = BUFFER_INIT, lines = BUFFER_INIT, filter = BUFFER_INIT;
	char *line, *rest = NULL;

	lines_take(&log, text);
	FUZZ_REQUIRE(tracelog_summary(&log, UINT64_C(1) << 40, &summary) == 0 &&
			     tracelog_filter(&log, 253, &filter) == 0 && buffer_append(&summary, "", 1) == 0,
		     "no memory");
	for (line = strtok_r((char *)summary.data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		FUZZ_REQUIRE(buffer_printf(&lines, " 1.000001: tracing_mark_write: %s\n", line) == 0, "no memory");
	buffer_append(&lines, "", 1);
	lines_take(&again, (char *)lines.data);
	for (size_t i = 0; i < log.count && log.count < 100; i++) {
		const struct tracelog_ld *said = &log.lds[i], *heard = NULL;

		for (size_t j = 0; j < again.count; j++) {
			if (again.lds[j].minor == said->minor)
				heard = &again.lds[j];
		}
		FUZZ_REQUIRE(heard != NULL && heard->reads == said->reads && heard->writes == said->writes &&
				     heard->rebuild_ms == said->rebuild_ms && heard->forgotten_us == said->forgotten_us,
			     "a summary lost errors of minor %llu", (unsigned long long)said->minor);
	}
	buffer_free(&summary);
	buffer_free(&lines);
	buffer_free(&filter);
	tracelog_free(&log);
	tracelog_free(&again);
}

/* What is taken for a label is a record of the schema, and is written as it was read. */
static void label_take(const uint8_t *block)
{
	struct arena arena = ARENA_INIT;
	uint8_t again[BLOCK_BYTES];
	struct ld_label label, read;
	struct error error;

	if (label_decode(block, &arena, &label, &error) == 0) {
		FUZZ_MUST(codec_validate(schema_ld_label(), &label, &error), &error);
		label_encode(&label, again);
		FUZZ_MUST(label_decode(again, &arena, &read, &error), &error);
		FUZZ_REQUIRE(label_is_same(&label, &read) && label.epoch == read.epoch, "another label came back");
	}
	arena_free(&arena);
}

static void superblock_take(const uint8_t *block, const uint8_t *bitmap)
{
	uint8_t changed[BLOCK_BYTES];
	struct error error;

	if (superblock_check(block, "it", &error) != 0)
		return;
	superblock_is_complete(block);
	superblock_place(block);
	for (size_t i = 0; i < LIMIT_MEMBERS; i++)
		superblock_remembers(block, bitmap, i, "it", &error);
	memcpy(changed, block, sizeof(changed));
	superblock_request_resync(changed, 2);
	FUZZ_MUST(superblock_check(changed, "it", &error), &error);
	superblock_request_recovery(changed, 2);
	FUZZ_MUST(superblock_check(changed, "it", &error), &error);
}

static void block_take(const uint8_t *data, size_t size)
{
	uint8_t block[2 * BLOCK_BYTES] = { 0 };

	memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
	label_take(block);
	superblock_take(block, block + BLOCK_BYTES);
}

/* A label in which anything may stand: with the checksum that it needs. */
static void label_forge(const uint8_t *data, size_t size)
{
	struct ld_label label = { .cluster = "c0ffee", .volume = 1, .ld = 1, .epoch = 1, .size_bytes = 1 << 20 };
	uint64_t *const numbers[] = { &label.volume, &label.leg,   &label.group,      &label.member,
				      &label.ld,     &label.epoch, &label.size_bytes, &label.rebuild_ms };
	uint8_t block[BLOCK_BYTES];
	char cluster[24] = "";

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && size >= 8; i++, data += 8, size -= 8)
		memcpy(numbers[i], data, 8);
	memcpy(cluster, data, size < sizeof(cluster) - 1 ? size : sizeof(cluster) - 1);
	if (cluster[0] != '\0')
		label.cluster = cluster;
	label_encode(&label, block);
	label_take(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	/* A text ends where its memory ends. */
	text = malloc(size);
	FUZZ_REQUIRE(text != NULL, "no memory");
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 6) {
	case 0:
		table_take(text);
		break;
	case 1:
		status_take(text);
		break;
	case 2:
		names_take(text);
		break;
	case 3:
		trace_take(text);
		break;
	case 4:
		block_take(data + 1, size - 1);
		break;
	default:
		label_forge(data + 1, size - 1);
	}
	free(text);
	return 0;
}
