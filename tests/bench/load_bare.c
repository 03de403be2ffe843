/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests/bench/bare.c speaks: number of the slot, size, payload; the answer is the number and 0, or 1: not the
 * leader. */
#include <string.h>

#include "tests/bench/load.h"

static void opened(struct load_connection *connection)
{
	(void)connection;
}

static void request(struct load_connection *connection, uint32_t slot)
{
	static const uint8_t payload[1 << 16];
	uint32_t header[2] = { slot, (uint32_t)load_payload_bytes(connection) };
	uint64_t key = slot, turn = load_slot_get(connection, slot)->turn;

	if (header[1] < sizeof(key) + sizeof(turn))
		load_fail("the payload has at least %zu bytes", sizeof(key) + sizeof(turn));
	load_append(&connection->output, header, sizeof(header));
	load_append(&connection->output, &key, sizeof(key));
	load_append(&connection->output, &turn, sizeof(turn));
	load_append(&connection->output, payload, header[1] - sizeof(key) - sizeof(turn));
}

static size_t receive(struct load_connection *connection, const uint8_t *data, size_t size)
{
	uint32_t answer[2];
	size_t used = 0;

	for (; size - used >= sizeof(answer); used += sizeof(answer)) {
		memcpy(answer, data + used, sizeof(answer));
		load_answered(connection, answer[0], answer[1] == 0 ? NULL : "it does not lead");
	}
	return used;
}

const struct load_protocol protocol_bare = {
	.name = "bare", .opened = opened, .closed = opened, .request = request, .receive = receive
};
