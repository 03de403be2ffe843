/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "raft/entry.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

#define ENTRY_MAGIC 0x31454e44u /* "DNE1": the last byte is the version */
#define ENTRY_HEADER_BYTES 8u
#define ENTRY_ALIGNMENT 8u

size_t entry_size(size_t count, size_t total)
{
	size_t size = ENTRY_HEADER_BYTES + count * sizeof(uint32_t) + total;

	return (size + ENTRY_ALIGNMENT - 1) / ENTRY_ALIGNMENT * ENTRY_ALIGNMENT;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

void entry_pack(const struct bytes *commands, size_t count, uint8_t *memory)
{
	uint8_t *lengths = memory + ENTRY_HEADER_BYTES, *data = lengths + count * sizeof(uint32_t);
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += commands[i].size;
	put_u32(memory, ENTRY_MAGIC);
	put_u32(memory + 4, (uint32_t)count);
	memset(data + total, 0, entry_size(count, total) - (size_t)(data + total - memory));
	for (size_t i = 0; i < count; i++) {
		put_u32(lengths + i * sizeof(uint32_t), (uint32_t)commands[i].size);
		if (commands[i].size > 0)
			memcpy(data, commands[i].data, commands[i].size);
		data += commands[i].size;
	}
}

int entry_unpack(struct bytes entry, struct bytes **ret_commands, size_t *ret_count, struct error *error)
{
	struct bytes *commands;
	size_t count, left, length;
	const uint8_t *data;

	if (entry.size < ENTRY_HEADER_BYTES || entry.size % ENTRY_ALIGNMENT != 0 || get_u32(entry.data) != ENTRY_MAGIC)
		return error_set(error, ERROR_FAILED_PRECONDITION, "a Raft entry is damaged or of another version");
	count = get_u32(entry.data + 4);
	left = entry.size - ENTRY_HEADER_BYTES;
	if (count == 0 || count > left / sizeof(uint32_t))
		return error_set(error, ERROR_FAILED_PRECONDITION, "a Raft entry claims %zu commands in %zu bytes",
				 count, entry.size);
	commands = calloc(count, sizeof(*commands));
	if (commands == NULL)
		return error_set_nomem(error);
	data = entry.data + ENTRY_HEADER_BYTES + count * sizeof(uint32_t);
	left -= count * sizeof(uint32_t);
	for (size_t i = 0; i < count; i++) {
		length = get_u32(entry.data + ENTRY_HEADER_BYTES + i * sizeof(uint32_t));
		if (length > left) {
			free(commands);
			return error_set(error, ERROR_FAILED_PRECONDITION, "a Raft entry is cut short at command %zu",
					 i);
		}
		commands[i] = (struct bytes){ .data = data, .size = length };
		data += length;
		left -= length;
	}
	if (left >= ENTRY_ALIGNMENT) {
		free(commands);
		return error_set(error, ERROR_FAILED_PRECONDITION, "a Raft entry has %zu bytes too many", left);
	}
	*ret_commands = commands;
	*ret_count = count;
	return 0;
}
