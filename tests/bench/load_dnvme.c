/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node.cordon and node.uncordon, in turns, each slot on a node of its own, as libdnvme sends them: with a request id.
 * Each changes the record of the node, and so is a revision, an event, and an outcome that is remembered. Nothing is
 * placed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/wire/rpc.h"
#include "lib/model/records.h"
#include "tests/bench/load.h"
#include "tests/bench/load_frames.h"

struct scan {
	uint8_t request_id[LIMIT_REQUEST_ID]; /* the rest of it is a number */
	uint64_t number;
};

static void opened(struct load_connection *connection)
{
	struct scan *scan = calloc(1, sizeof(*scan));

	if (scan == NULL || getrandom(scan->request_id, sizeof(scan->request_id), 0) != sizeof(scan->request_id))
		load_fail("out of memory or random numbers");
	connection->state = scan;
}

static void closed(struct load_connection *connection)
{
	free(connection->state);
	connection->state = NULL;
}

static void request(struct load_connection *connection, uint32_t slot)
{
	struct scan *scan = connection->state;
	bool cordon = load_slot_get(connection, slot)->turn % 2 == 0;
	/* The longest name there is, as tests/bench/commits.py registered it. */
	char name[LIMIT_NAME + 1];
	struct name_request params = { .name = name, .request_id = { scan->request_id, sizeof(scan->request_id) } };
	struct error error;

	memset(name, 'b', sizeof(name));
	snprintf(name + LIMIT_NAME - 5, 6, "-%04u", slot % 10000);
	scan->number++;
	memcpy(scan->request_id, &scan->number, sizeof(scan->number));
	if (rpc_request_encode(slot, cordon ? "node.cordon" : "node.uncordon", schema_name_request(), &params,
			       &connection->output, &error) != 0)
		load_fail("%s", error.message);
}

static void answer(struct load_connection *connection, struct bytes frame)
{
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error;
	int known;

	if (rpc_message_open(frame, &arena, &message, &known, &error) != 0)
		load_fail("%s: %s", connection->address, error.message);
	if (message.type == RPC_RESPONSE)
		load_answered(connection, message.msgid,
			      rpc_failure_decode(message.failure, &error) != 0 ? error.message : NULL);
	arena_free(&arena);
}

static size_t receive(struct load_connection *connection, const uint8_t *data, size_t size)
{
	return load_frames_take(connection, data, size, answer);
}

const struct load_protocol protocol_dnvme = {
	.name = "dnvme", .opened = opened, .closed = closed, .request = request, .receive = receive
};
