/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_client_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/wire/codec.h"
#include "lib/wire/frame.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "lib/wire/value.h"

static void demand(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "server double: %s failed (errno %d)\n", what, errno);
	abort();
}

#define DEMAND(condition) demand(condition, #condition)

/* --- the sample ------------------------------------------------------------------------------------------ */

static struct ld lds[] = {
	{ .id = 1, .disk = 1, .state = LD_STATE_IN_SYNC }, { .id = 2, .disk = 2, .state = LD_STATE_STALE },
	{ .id = 3, .disk = 2, .state = LD_STATE_IN_SYNC }, { .id = 4, .disk = 3, .state = LD_STATE_STALE },
	{ .id = 5, .disk = 1, .state = LD_STATE_IN_SYNC }, { .id = 6, .disk = 3, .state = LD_STATE_STALE },
	{ .id = 7, .disk = 2, .state = LD_STATE_IN_SYNC }, { .id = 8, .disk = 1, .state = LD_STATE_STALE },
};
static struct group groups[] = {
	{ .members = { 2, &lds[0] } },
	{ .members = { 2, &lds[2] } },
	{ .members = { 2, &lds[4] } },
	{ .members = { 2, &lds[6] } },
};
#define LEG(slot_, group)                                                                                              \
	{                                                                                                              \
		.slot = (slot_), .state = LEG_STATE_READY, .size_bytes = UINT64_C(25) << 30, .group_extents = 6402,    \
		.groups = {                                                                                            \
			1,                                                                                             \
			(group)                                                                                        \
		}                                                                                                      \
	}
static struct leg legs[] = { LEG(0, &groups[0]), LEG(1, &groups[1]), LEG(0, &groups[2]), LEG(1, &groups[3]) };
static struct slot slots[] = {
	{ .holder = "cn1", .epoch = 1, .phase = SLOT_PHASE_SERVING },
	{ .holder = "cn2", .epoch = 3, .phase = SLOT_PHASE_SERVING },
};
static struct controller controllers[] = {
	{ .node = "cn1", .role = CONTROLLER_ROLE_ACTIVE },
	{ .node = "cn2", .role = CONTROLLER_ROLE_ACTIVE, .slot = 1 },
	{ .node = "cn3", .role = CONTROLLER_ROLE_STANDBY },
};
static const char *hosts[] = { "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555" };
static struct volume_path paths[] = {
	{ "cn1", "10.0.0.1", 4420, CONTROLLER_ROLE_ACTIVE },
	{ "cn2", "10.0.0.2", 4420, CONTROLLER_ROLE_ACTIVE },
	{ "cn3", "fd00::3", 4420, CONTROLLER_ROLE_STANDBY },
};
static struct volume_disk disks[] = { { 1, "dn1", "/dev/vdb", false },
				      { 2, "dn2", "/dev/vdb", false },
				      { 3, "dn3", "/dev/vdc", false } };
static struct object_status problems[] = {
	{ OBJECT_KIND_EXPORT, "d3.v1.s1", 17, OBJECT_STATE_FAILED, "cannot open /dev/vdc: No such device", { 0 } },
};
static struct volume volume = {
	.id = 1,
	.name = "db1",
	.uuid = { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10 },
	.size_bytes = UINT64_C(100) << 30,
	.copies = 2,
	.standbys = 1,
	.legs_per_controller = 2,
	.spread = SPREAD_RACK,
	.provision = PROVISION_THIN,
	.phase = VOLUME_PHASE_ONLINE,
	.slots = { 2, slots },
	.controllers = { 3, controllers },
	.legs = { 4, legs },
	.hosts = { 1, hosts },
	.stripe_bytes = 65536,
	.created_ms = 1,
	.revision = 17,
};
static const struct volume_status status = {
	.volume = &volume,
	.nqn = "nqn.2026-11.io.dnvme:c0ffee:volume:v1",
	.paths = { 3, paths },
	.disks = { 3, disks },
	.problems = { 1, problems },
	.waits_for = "node dn3 to report",
};

const struct volume_status *sample_volume(void)
{
	return &status;
}

/* --- answers --------------------------------------------------------------------------------------------- */

static void answer_encode(const struct rpc_message *request, struct buffer *output)
{
	const struct method *method = method_find(request->method);
	struct mutation_reply reply = { .revision = 42, .id = "v7" };
	struct volume_page page = { .volumes = { 1, sample_volume()->volume }, .more = true };
	static struct operation_error reason = { .code = "DEADLINE_EXCEEDED", .message = "too late" };
	static struct operation_extend extend = { .size_bytes = UINT64_C(2) << 30, .from_bytes = UINT64_C(1) << 30 };
	static struct operation operation = { .id = 7,
					      .kind = JOB_KIND_EXTEND,
					      .volume = 1,
					      .volume_name = "db1",
					      .phase = OPERATION_PHASE_OVER,
					      .state = OPERATION_STATE_FAILED,
					      .created_ms = 3,
					      .since_ms = 9,
					      .finished_ms = 9,
					      .revision = 3,
					      .error = &reason,
					      .extend = &extend };
	static struct job job = { .id = "v1.ld2",
				  .kind = JOB_KIND_REBUILD,
				  .target = "ld2",
				  .phase = "rebuilding",
				  .done_bytes = 1,
				  .total_bytes = 4,
				  .waits_for = "time",
				  .operation = &operation };
	static const struct job_page job_page = { .jobs = { 1, &job }, .more = true };
	struct host_page host_page = { 0 };
	struct server_info info = { .id = 1,
				    .raft_address = "10.0.0.9:4401",
				    .api_address = "10.0.0.9:4400",
				    .role = SERVER_ROLE_LEADER,
				    .version = "0.1.0",
				    .cluster = "c0ffee",
				    .reachable = true };
	struct cluster_status cluster = { .id = "c0ffee",
					  .name = "demo",
					  .revision = 3,
					  .leader = 1,
					  .servers = { 1, &info },
					  .nodes = 2,
					  .bytes_total = 100,
					  .bytes_free = 25 };
	struct disk disk = { .id = 3,
			     .node = "dn1",
			     .path = "/dev/vdb",
			     .port = 4421,
			     .size_bytes = UINT64_C(16) << 40,
			     .extents_total = 4,
			     .extents_free = 1 };
	struct disk_page disk_page = { .disks = { 1, &disk } };
	struct node node = { .name = "dn1", .address = "10.0.0.1", .port = 4420, .cordoned = true };
	struct node_status node_status = { .node = &node,
					   .health = HEALTH_ONLINE,
					   .problems = sample_volume()->problems };
	struct node_page nodes = { .nodes = { 1, &node_status } };
	struct snapshot snapshot = { .name = "before",
				     .state = SNAPSHOT_STATE_TAKEN,
				     .thin = 4,
				     .created_ms = 1,
				     .size_bytes = UINT64_C(1) << 30,
				     .leg_bytes = UINT64_C(1) << 30 };
	struct snapshot_status snapshot_status = {
		.volume = 1, .volume_name = "db1", .snapshot = &snapshot, .operation = 9, .waits_for = "time"
	};
	struct snapshot_page snapshots = { .volume = 1, .volume_name = "db1", .snapshots = { 1, &snapshot } };
	const struct {
		const struct schema *schema;
		const void *record;
	} answers[] = {
		{ schema_mutation_reply(), &reply },
		{ schema_volume_page(), &page },
		{ schema_volume_status(), sample_volume() },
		{ schema_host_page(), &host_page },
		{ schema_job(), &job },
		{ schema_job_page(), &job_page },
		{ schema_server_info(), &info },
		{ schema_cluster_status(), &cluster },
		{ schema_disk(), &disk },
		{ schema_disk_page(), &disk_page },
		{ schema_node_status(), &node_status },
		{ schema_node_page(), &nodes },
		{ schema_snapshot_status(), &snapshot_status },
		{ schema_snapshot_page(), &snapshots },
	};

	DEMAND(method != NULL);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (answers[i].schema == method->reply()) {
			DEMAND(rpc_response_encode(request->msgid, answers[i].schema, answers[i].record, output,
						   NULL) == 0);
			return;
		}
	}
	DEMAND(!"an answer for this method");
}

static void failure_encode(const struct rpc_message *request, enum error_code code, struct buffer *output)
{
	struct error failure;

	if (code == ERROR_UNAVAILABLE) {
		error_set(&failure, code, "there is no leader");
		error_hint(&failure, "wait for an election");
	} else {
		error_set(&failure, code, "there is no volume \"db9\"");
		error_hint(&failure, "dnvme volume list");
		error_detail(&failure, "line one");
		error_detail(&failure, "line two");
	}
	DEMAND(rpc_failure_encode(request->msgid, &failure, output, NULL) == 0);
}

static void send_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t done = send(fd, at, size, MSG_NOSIGNAL);

		if (done <= 0)
			return; /* the client went away */
		at += done;
		size -= (size_t)done;
	}
}

/* Returns whether the connection stays open. */
static bool play(enum double_step step, int fd, const struct rpc_message *request)
{
	struct buffer output = BUFFER_INIT;
	bool stays = true;

	switch (step) {
	case STEP_UNAVAILABLE:
		failure_encode(request, ERROR_UNAVAILABLE, &output);
		break;
	case STEP_NOT_FOUND:
		failure_encode(request, ERROR_NOT_FOUND, &output);
		break;
	case STEP_WRONG:
		DEMAND(rpc_response_encode(request->msgid, schema_empty(), &(struct empty){ 0 }, &output, NULL) == 0);
		break;
	default:
		answer_encode(request, &output);
		break;
	}
	switch (step) {
	case STEP_CLOSE:
		stays = false;
		break;
	case STEP_HALF_CLOSE:
		stays = false;
		/* fall through */
	case STEP_HALF_SILENT:
		send_all(fd, output.data, output.size / 2);
		break;
	case STEP_BYTEWISE:
		for (size_t i = 0; i < output.size; i++)
			send_all(fd, output.data + i, 1);
		break;
	case STEP_SILENT:
		break;
	case STEP_GARBAGE:
		send_all(fd, "\xc1\xc1\xc1\xc1", 4);
		break;
	case STEP_HTTP:
		send_all(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
		break;
	case STEP_OVERSIZE:
		send_all(fd, "\x94\x01\x01\xc0\xc6\x01\x00\x00\x00", 9);
		break;
	default:
		send_all(fd, output.data, output.size);
		break;
	}
	buffer_free(&output);
	return stays;
}

/* --- requests -------------------------------------------------------------------------------------------- */

static void note_request(struct server_double *one, const struct rpc_message *request)
{
	struct value_reader reader = value_reader_of(request->params);
	size_t index = one->request_count++;
	struct value map;

	if (index >= DOUBLE_REQUESTS)
		return; /* counted, but not remembered */
	snprintf(one->methods[index], sizeof(one->methods[index]), "%s", request->method);
	DEMAND(value_read(&reader, &map) == 0 && map.type == VALUE_MAP);
	for (uint64_t i = 0; i < map.number; i++) {
		struct value_reader behind_key;
		struct value key, value;

		DEMAND(value_read(&reader, &key) == 0 && key.type == VALUE_TEXT);
		behind_key = reader;
		DEMAND(value_read(&behind_key, &value) == 0 && value_skip(&reader) == 0);
		if (key.number == 5 && memcmp(key.bytes, "again", 5) == 0)
			one->again[index] = value.number != 0;
		if (key.number == 10 && memcmp(key.bytes, "request_id", 10) == 0) {
			DEMAND(value.type == VALUE_BINARY && value.number <= 16);
			one->request_id_sizes[index] = value.number;
			memcpy(one->request_ids[index], value.bytes, value.number);
		}
	}
}

static bool take_request(struct server_double *one, int fd, struct bytes frame)
{
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	size_t index;
	int known;
	bool stays;

	DEMAND(rpc_message_open(frame, &arena, &message, &known, NULL) == 0 && message.type == RPC_REQUEST);
	note_request(one, &message);
	index = one->request_count - 1;
	stays = play(one->steps[index < one->step_count ? index : one->step_count - 1], fd, &message);
	arena_free(&arena);
	return stays;
}

/* Returns false when the double is to stop. */
static bool serve_connection(struct server_double *one, int fd)
{
	struct frame_scanner scanner;
	struct buffer input = BUFFER_INIT;
	size_t scanned = 0;
	bool goes_on = true, stays = true;

	frame_scanner_init(&scanner, LIMIT_FRAME_CLIENT_BYTES);
	while (stays) {
		struct pollfd wanted[2] = { { .fd = fd, .events = POLLIN }, { .fd = one->stop[0], .events = POLLIN } };
		uint8_t chunk[4096];
		ssize_t done;

		DEMAND(poll(wanted, 2, -1) > 0 || errno == EINTR);
		if (wanted[1].revents != 0) {
			goes_on = false;
			break;
		}
		done = recv(fd, chunk, sizeof(chunk), 0);
		if (done <= 0)
			break;
		DEMAND(buffer_append(&input, chunk, (size_t)done) == 0);
		while (stays && scanned < input.size) {
			size_t used = 0;
			int complete = 0;

			DEMAND(frame_scanner_feed(&scanner, input.data + scanned, input.size - scanned, &used,
						  &complete, NULL) == 0);
			scanned += used;
			if (!complete)
				break;
			stays = take_request(one, fd, (struct bytes){ input.data, scanned });
			buffer_consume(&input, scanned);
			scanned = 0;
		}
	}
	buffer_free(&input);
	close(fd);
	return goes_on;
}

void double_serve(struct server_double *one)
{
	for (;;) {
		struct pollfd wanted[2] = { { .fd = one->listener, .events = POLLIN },
					    { .fd = one->stop[0], .events = POLLIN } };
		int fd;

		DEMAND(poll(wanted, 2, -1) > 0 || errno == EINTR);
		if (wanted[1].revents != 0)
			return;
		fd = accept(one->listener, NULL, NULL);
		if (fd >= 0 && !serve_connection(one, fd))
			return;
	}
}

static void *serve_thread(void *data)
{
	double_serve(data);
	return NULL;
}

void double_listen(struct server_double *one, const enum double_step *steps, size_t step_count)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	memset(one, 0, sizeof(*one));
	one->steps = steps;
	one->step_count = step_count;
	one->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	DEMAND(one->listener >= 0);
	DEMAND(bind(one->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	DEMAND(listen(one->listener, 16) == 0);
	DEMAND(getsockname(one->listener, (struct sockaddr *)&address, &size) == 0);
	DEMAND(pipe(one->stop) == 0);
	snprintf(one->address, sizeof(one->address), "127.0.0.1:%u", ntohs(address.sin_port));
}

void double_start(struct server_double *one)
{
	DEMAND(pthread_create(&one->thread, NULL, serve_thread, one) == 0);
}

void double_stop(struct server_double *one)
{
	close(one->stop[1]);
	DEMAND(pthread_join(one->thread, NULL) == 0);
	close(one->stop[0]);
	close(one->listener);
}
