/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume.create, and volume.get until the volume is online, as libdnvme waits for it: each time for another revision
 * than the last one that was seen. What is asked counts as answered when the volume can be used.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/limits.h"
#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "lib/wire/rpc.h"
#include "tests/bench/load.h"
#include "tests/bench/load_frames.h"

#define VOLUME_BYTES (UINT64_C(1) << 30)
#define WAIT_MS (LIMIT_REQUEST_TIMEOUT_DEFAULT_MS / 2)

struct creating {
	char name[32];
	uint64_t revision; /* that was seen; 0: the create is not answered yet */
};

struct maker {
	uint8_t request_id[LIMIT_REQUEST_ID]; /* the rest of it is a number */
	uint64_t number;
	uint32_t prefix; /* of names: no other connection has it */
	struct creating slots[];
};

static struct creating *creating_of(struct load_connection *connection, uint32_t slot)
{
	struct maker *maker = connection->state;

	return &maker->slots[slot - connection->slot_first];
}

static void opened(struct load_connection *connection)
{
	struct maker *maker = calloc(1, sizeof(*maker) + connection->slot_count * sizeof(maker->slots[0]));

	if (maker == NULL || getrandom(maker->request_id, sizeof(maker->request_id), 0) != sizeof(maker->request_id) ||
	    getrandom(&maker->prefix, sizeof(maker->prefix), 0) != sizeof(maker->prefix))
		load_fail("out of memory or random numbers");
	connection->state = maker;
}

static void closed(struct load_connection *connection)
{
	free(connection->state);
	connection->state = NULL;
}

static void ask(struct load_connection *connection, uint32_t slot, const char *method, const struct schema *schema,
		const void *params)
{
	struct error error;

	if (rpc_request_encode(slot, method, schema, params, &connection->output, &error) != 0)
		load_fail("%s", error.message);
}

static void request(struct load_connection *connection, uint32_t slot)
{
	struct maker *maker = connection->state;
	struct creating *creating = creating_of(connection, slot);
	struct volume_create_request params = { .name = creating->name,
						.size_bytes = VOLUME_BYTES,
						.copies = 2,
						.controllers = 1,
						.standbys = 1,
						.legs = 1,
						.request_id = { maker->request_id, sizeof(maker->request_id) } };

	maker->number++;
	memcpy(maker->request_id, &maker->number, sizeof(maker->number));
	creating->revision = 0;
	snprintf(creating->name, sizeof(creating->name), "c%08" PRIx32 "-%" PRIu64, maker->prefix, maker->number);
	ask(connection, slot, "volume.create", schema_volume_create_request(), &params);
}

static void await(struct load_connection *connection, uint32_t slot)
{
	struct creating *creating = creating_of(connection, slot);
	struct volume_get_request params = { .name = creating->name,
					     .after_revision = creating->revision,
					     .wait_ms = WAIT_MS };

	ask(connection, slot, "volume.get", schema_volume_get_request(), &params);
}

static void read_result(const struct rpc_message *message, const struct schema *schema, struct arena *arena,
			void *ret_record)
{
	struct error error;

	if (codec_decode(schema, message->result, arena, ret_record, &error) != 0)
		load_fail("an answer cannot be read: %s", error.message);
}

/* What was answered to a slot that is under way. */
static void slot_go_on(struct load_connection *connection, const struct rpc_message *message, struct arena *arena)
{
	struct creating *creating = creating_of(connection, message->msgid);
	struct mutation_reply reply;
	struct volume_status status;

	if (creating->revision == 0) {
		read_result(message, schema_mutation_reply(), arena, &reply);
		creating->revision = reply.revision;
		await(connection, message->msgid);
		return;
	}
	read_result(message, schema_volume_status(), arena, &status);
	creating->revision = status.volume->revision;
	if (status.volume->phase == VOLUME_PHASE_ONLINE)
		load_answered(connection, message->msgid, NULL);
	else
		await(connection, message->msgid);
}

static void answer(struct load_connection *connection, struct bytes frame)
{
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error;
	int known;

	if (rpc_message_open(frame, &arena, &message, &known, &error) != 0)
		load_fail("%s: %s", connection->address, error.message);
	if (message.type == RPC_RESPONSE) {
		load_slot_get(connection, message.msgid); /* it is one of this connection */
		if (rpc_failure_decode(message.failure, &error) != 0)
			load_answered(connection, message.msgid, error.message);
		else
			slot_go_on(connection, &message, &arena);
	}
	arena_free(&arena);
}

static size_t receive(struct load_connection *connection, const uint8_t *data, size_t size)
{
	return load_frames_take(connection, data, size, answer);
}

const struct load_protocol protocol_create = {
	.name = "create", .opened = opened, .closed = closed, .request = request, .receive = receive
};
