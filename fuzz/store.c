/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store whose files were damaged.
 *
 *   input: edits of 6 bytes and what they write, one behind the other:
 *          page 2 (little endian, modulo the file) | offset in it 2 | kind 1 | size 1 | bytes
 *          kind 0: the bytes are written there, 1: the page is a copy of page `offset`, 2: the file ends there,
 *          3: the bytes are written into the state file
 *
 * Opening refuses it with a sentence, or everything in it can be read and written, and the audit says what is wrong.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/world.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"
#include "lib/wire/codec.h"

#define PAGE_BYTES 4096u
#define STATE_BYTES 64u

static struct world world;
static uint8_t *data_file, state_file[STATE_BYTES];
static size_t data_size;

static void path_of(const char *name, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/%s", world.directory, name);
}

static int file_open(const char *name, int flags)
{
	char path[192];
	int fd;

	path_of(name, path, sizeof(path));
	fd = open(path, flags | O_CLOEXEC, 0600);
	FUZZ_REQUIRE(fd >= 0, "cannot open %s", path);
	return fd;
}

static size_t file_load(const char *name, void *ret_data, size_t size)
{
	int fd = file_open(name, O_RDONLY);
	ssize_t got = pread(fd, ret_data, size, 0);

	close(fd);
	FUZZ_REQUIRE(got >= 0, "cannot read %s", name);
	return (size_t)got;
}

static void file_store(const char *name, const void *data, size_t size)
{
	int fd = file_open(name, O_WRONLY | O_CREAT | O_TRUNC);

	FUZZ_REQUIRE(write(fd, data, size) == (ssize_t)size, "cannot write %s", name);
	close(fd);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	world_open("damaged", &world);
	world_reset(&world);
	world_close(&world);
	data_file = malloc(1 << 24);
	FUZZ_REQUIRE(data_file != NULL, "no memory");
	data_size = file_load("data.mdb", data_file, 1 << 24);
	FUZZ_REQUIRE(data_size > 8 * PAGE_BYTES && file_load("state", state_file, STATE_BYTES) == STATE_BYTES,
		     "the store cannot be read");
	/* What LMDB has not used yet is not worth damaging. */
	while (data_size > PAGE_BYTES && data_file[data_size - 1] == 0)
		data_size--;
	data_size += PAGE_BYTES - data_size % PAGE_BYTES;
	return 0;
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

struct damage {
	uint8_t *data, state[STATE_BYTES];
	size_t size;
};

static size_t edit(struct damage *damage, const uint8_t *input, size_t left)
{
	size_t page = (size_t)(input[0] | input[1] << 8) % (data_size / PAGE_BYTES), size = input[5];
	size_t at = (size_t)(input[2] | input[3] << 8) % PAGE_BYTES;

	if (size > left - 6)
		size = left - 6;
	switch (input[4] % 4) {
	case 0:
		if (size > PAGE_BYTES - at)
			size = PAGE_BYTES - at;
		memcpy(damage->data + page * PAGE_BYTES + at, input + 6, size);
		break;
	case 1:
		memcpy(damage->data + page * PAGE_BYTES, data_file + at % (data_size / PAGE_BYTES) * PAGE_BYTES,
		       PAGE_BYTES);
		break;
	case 2:
		damage->size = page * PAGE_BYTES + at;
		break;
	default:
		at %= STATE_BYTES;
		memcpy(damage->state + at, input + 6, size < STATE_BYTES - at ? size : STATE_BYTES - at);
	}
	return 6 + size;
}

/* --- what is left of it ------------------------------------------------------------------------------------------- */

static void go_on(void)
{
	struct command_node_register node = { .name = "n1", .address = "10.0.9.9", .port = 4420, .version = "2" };
	struct command_volume_delete remove = { "db3" };
	struct command commands[] = { { .node_register = &node }, { .volume_delete = &remove } };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct buffer bytes = BUFFER_INIT;
		struct bytes command;
		struct error error;

		commands[i].time_ms = 1;
		FUZZ_MUST(codec_encode(schema_command(), &commands[i], CODEC_TAGGED, &bytes, &error), &error);
		command = buffer_bytes(&bytes);
		fsm_apply(world.fsm, fsm_applied_index(world.fsm) + 1, &command, 1, NULL, NULL);
		buffer_free(&bytes);
	}
}

static void read_all(void)
{
	struct buffer dump = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct volume_list volumes;
	struct node_list nodes;
	struct error error = { 0 };
	bool more;

	if (fsm_check(world.fsm, &error) != 0)
		FUZZ_REQUIRE(error.message[0] != '\0', "the audit found something and did not say what");
	fsm_dump(world.fsm, &dump, NULL);
	fsm_volume_list(world.fsm, NULL, 0, &arena, &volumes, &more, NULL);
	fsm_node_list(world.fsm, NULL, 0, &arena, &nodes, &more, NULL);
	buffer_free(&dump);
	arena_free(&arena);
}

static void open_it(void)
{
	static const uint8_t boot_id[16] = "one and the same";
	struct store_options options = { .directory = world.directory, .map_step_bytes = 1 << 20, .boot_id = boot_id };
	struct error error = { 0 };
	bool rebuilt;

	if (store_open(&options, &world.store, &rebuilt, &error) != 0) {
		FUZZ_REQUIRE(error.message[0] != '\0', "refused without a word");
		return;
	}
	if (fsm_open(world.store, NULL, NULL, &world.fsm, &error) == 0) {
		read_all();
		go_on();
		fsm_close(world.fsm);
	}
	store_close(world.store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct damage damage = { .data = malloc(data_size), .size = data_size };

	FUZZ_REQUIRE(damage.data != NULL, "no memory");
	memcpy(damage.data, data_file, data_size);
	memcpy(damage.state, state_file, STATE_BYTES);
	for (size_t at = 0, used; size - at >= 6; at += used)
		used = edit(&damage, data + at, size - at);
	file_store("data.mdb", damage.data, damage.size);
	file_store("state", damage.state, STATE_BYTES);
	free(damage.data);
	open_it();
	return 0;
}

/* --- structure ---------------------------------------------------------------------------------------------------- */

/* A number in the header or the list of nodes of a page becomes a little larger or smaller, or a page's number. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static const uint8_t places[] = { 0,  8,  10, 12, 14, 16, 18, 20,  22,	24,
					  32, 40, 48, 56, 64, 80, 96, 112, 128, 144 };
	uint8_t new_edit[14] = { 0 };
	size_t page, at, width;
	struct dice dice;
	uint64_t value = 0;

	dice_init(&dice, seed);
	if (dice_once_in(&dice, 4) || size + sizeof(new_edit) > max_size)
		return LLVMFuzzerMutate(data, size, max_size);
	page = dice_roll(&dice, data_size / PAGE_BYTES);
	at = places[dice_roll(&dice, sizeof(places))];
	/* A node: the page's list of offsets leads to it. */
	if (dice_roll(&dice, 2)) {
		const uint8_t *from = data_file + page * PAGE_BYTES + 16 + 2 * dice_roll(&dice, 16);

		at = (size_t)(from[0] | from[1] << 8) % (PAGE_BYTES - 32) + 2 * dice_roll(&dice, 8);
	}
	width = (size_t)1 << dice_roll(&dice, 4);
	memcpy(&value, data_file + page * PAGE_BYTES + at, width);
	switch (dice_roll(&dice, 4)) {
	case 0:
		value += dice_roll(&dice, 17) - 8;
		break;
	case 1:
		value = dice_roll(&dice, data_size / PAGE_BYTES + 2);
		break;
	case 2:
		value ^= UINT64_C(1) << dice_roll(&dice, 8 * width);
		break;
	default:
		value = dice_roll(&dice, UINT64_MAX);
	}
	new_edit[0] = (uint8_t)page;
	new_edit[1] = (uint8_t)(page >> 8);
	new_edit[2] = (uint8_t)at;
	new_edit[3] = (uint8_t)(at >> 8);
	new_edit[4] = dice_once_in(&dice, 16) ? (uint8_t)dice_roll(&dice, 4) : 0;
	new_edit[5] = (uint8_t)width;
	memcpy(new_edit + 6, &value, width);
	if (dice_roll(&dice, 2))
		size = 0;
	memcpy(data + size, new_edit, 6 + width);
	return size + 6 + width;
}
