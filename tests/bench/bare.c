/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What dnvmed is compared with: a replicated table, made of libraft, libuv and LMDB and nothing else that takes time.
 * One of three servers. Each request is a key of 8 bytes and a value, becomes a command as it came, and is applied by
 * one put.
 *
 * Commands are packed into entries as dnvmed packs them (raft/entry.h), at most two entries are under way, libraft has
 * dnvmed's timers and bounds, LMDB dnvmed's flags: the log is durable, the table is not synced. A snapshot is the whole
 * table, as often as dnvmed takes one. There is no guard for what goes wrong: such a server ends.
 */
#include <lmdb.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "lib/base/buffer.h"
#include "lib/base/limits.h"
#include "raft/entry.h"
#include "raft/transport.h"

#define SERVERS 3
#define FLIGHTS_MAX 2
#define KEY_BYTES 8u
#define MAP_BYTES (UINT64_C(1) << 30)
#define HEADER_BYTES 8u

struct client {
	uv_tcp_t tcp;
	struct buffer input, output;
	uv_write_t write;
	struct buffer writing;
	bool busy, closed;
	unsigned references; /* proposals that it waits for, and its handle */
};

struct proposal {
	struct proposal *next;
	struct client *client;
	uint32_t slot, size;
	uint8_t command[];
};

struct flight {
	struct raft_apply request;
	struct proposal *proposals;
};

static struct raft member;
static struct raft_io io;
static struct transport transport;
static uv_loop_t *loop;
static MDB_env *table_env;
static MDB_dbi table;
static struct proposal *queue, **queue_end = &queue;
static unsigned flight_count;
static bool was_leader;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_bare: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void check_raft(int rv, const char *what)
{
	if (rv != 0)
		fail(what, raft_strerror(rv));
}

static void check_uv(int rv, const char *what)
{
	if (rv != 0)
		fail(what, uv_strerror(rv));
}

static void check_mdb(int rv, const char *what)
{
	if (rv != 0)
		fail(what, mdb_strerror(rv));
}

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		fail("memory", "there is none");
	return memory;
}

static void append(struct buffer *buffer, const void *data, size_t size)
{
	if (buffer_append(buffer, data, size) != 0)
		fail("memory", "there is none");
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void table_open(const char *directory)
{
	char path[512];
	MDB_txn *txn;

	snprintf(path, sizeof(path), "%s/table", directory);
	check_mdb(mdb_env_create(&table_env), "table");
	check_mdb(mdb_env_set_mapsize(table_env, MAP_BYTES), "table");
	check_mdb(mdb_env_open(table_env, path, MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC | MDB_NOTLS, 0600), "table");
	check_mdb(mdb_txn_begin(table_env, NULL, 0, &txn), "table");
	check_mdb(mdb_dbi_open(txn, NULL, 0, &table), "table");
	check_mdb(mdb_txn_commit(txn), "table");
}

static int on_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	uint64_t index = raft_last_applied(&member) + 1;
	MDB_val key = { 7, "applied" }, value = { sizeof(index), &index };
	struct bytes *commands;
	struct error error;
	MDB_txn *txn;
	size_t count;

	(void)fsm;
	*result = NULL;
	if (entry_unpack((struct bytes){ buffer->base, buffer->len }, &commands, &count, &error) != 0)
		fail("entry", error.message);
	check_mdb(mdb_txn_begin(table_env, NULL, 0, &txn), "apply");
	check_mdb(mdb_put(txn, table, &key, &value, 0), "apply");
	for (size_t i = 0; i < count; i++) {
		key = (MDB_val){ KEY_BYTES, (void *)commands[i].data };
		value = (MDB_val){ commands[i].size, (void *)commands[i].data };
		check_mdb(mdb_put(txn, table, &key, &value, 0), "apply");
	}
	check_mdb(mdb_txn_commit(txn), "apply");
	free(commands);
	return 0;
}

static int on_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *buffer_count)
{
	struct buffer dump = BUFFER_INIT;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	struct bytes bytes;

	(void)fsm;
	check_mdb(mdb_txn_begin(table_env, NULL, MDB_RDONLY, &txn), "snapshot");
	check_mdb(mdb_cursor_open(txn, table, &cursor), "snapshot");
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		append(&dump, key.mv_data, key.mv_size);
		append(&dump, value.mv_data, value.mv_size);
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	append(&dump, "\0\0\0\0\0\0\0", 8 - buffer_bytes(&dump).size % 8);
	bytes = buffer_bytes(&dump);
	*buffers = raft_malloc(sizeof(**buffers));
	if (*buffers == NULL)
		fail("memory", "there is none");
	(*buffers)->len = bytes.size;
	(*buffers)->base = raft_malloc(bytes.size);
	if ((*buffers)->base == NULL)
		fail("memory", "there is none");
	memcpy((*buffers)->base, bytes.data, bytes.size);
	*buffer_count = 1;
	buffer_free(&dump);
	return 0;
}

static int on_snapshot_end(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *buffer_count)
{
	(void)fsm;
	if (*buffers != NULL)
		raft_free((*buffers)->base);
	raft_free(*buffers);
	*buffers = NULL;
	*buffer_count = 0;
	return 0;
}

static int on_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	(void)fsm;
	(void)buffer;
	fail("snapshot", "it takes none: a server that is so far behind is not what is measured");
	return RAFT_IOERR;
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static void client_release(struct client *client)
{
	if (--client->references > 0)
		return;
	buffer_free(&client->input);
	buffer_free(&client->output);
	buffer_free(&client->writing);
	free(client);
}

static void on_client_closed(uv_handle_t *handle)
{
	client_release(handle->data);
}

static void client_close(struct client *client)
{
	if (client->closed)
		return;
	client->closed = true;
	uv_close((uv_handle_t *)&client->tcp, on_client_closed);
}

static void client_flush(struct client *client);

static void on_written(uv_write_t *write, int status)
{
	struct client *client = write->data;

	client->busy = false;
	buffer_clear(&client->writing);
	if (status != 0)
		client_close(client);
	else
		client_flush(client);
	client_release(client);
}

static void client_flush(struct client *client)
{
	struct buffer empty = client->writing;
	struct bytes bytes;
	uv_buf_t part;

	if (client->busy || client->closed || buffer_bytes(&client->output).size == 0)
		return;
	client->writing = client->output;
	client->output = empty;
	bytes = buffer_bytes(&client->writing);
	part = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
	client->busy = true;
	client->references++;
	client->write.data = client;
	check_uv(uv_write(&client->write, (uv_stream_t *)&client->tcp, &part, 1, on_written), "write");
}

static void proposal_end(struct proposal *proposal, uint32_t status)
{
	uint32_t answer[2] = { proposal->slot, status };
	struct client *client = proposal->client;

	append(&client->output, answer, sizeof(answer));
	free(proposal);
	client_flush(client);
	client_release(client);
}

static void propose(struct client *client, uint32_t slot, const uint8_t *data, uint32_t size)
{
	struct proposal *proposal = allocate(sizeof(*proposal) + size);

	*proposal = (struct proposal){ .client = client, .slot = slot, .size = size };
	memcpy(proposal->command, data, size);
	client->references++;
	*queue_end = proposal;
	queue_end = &proposal->next;
}

static void client_receive(struct client *client)
{
	struct bytes input = buffer_bytes(&client->input);
	uint32_t header[2];
	size_t used = 0;

	while (input.size - used >= HEADER_BYTES) {
		memcpy(header, input.data + used, sizeof(header));
		if (header[1] < KEY_BYTES || header[1] > LIMIT_COMMAND_BYTES)
			fail("request", "its size is wrong");
		if (input.size - used - HEADER_BYTES < header[1])
			break;
		propose(client, header[0], input.data + used + HEADER_BYTES, header[1]);
		used += HEADER_BYTES + header[1];
	}
	buffer_consume(&client->input, used);
}

static void on_allocate(uv_handle_t *handle, size_t size, uv_buf_t *ret_buffer)
{
	static char bytes[256 << 10];

	(void)handle;
	(void)size;
	*ret_buffer = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct client *client = stream->data;

	if (count < 0) {
		client_close(client);
		return;
	}
	append(&client->input, buffer->base, (size_t)count);
	client_receive(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct client *client = allocate(sizeof(*client));

	check_uv(status, "accept");
	client->references = 1;
	check_uv(uv_tcp_init(loop, &client->tcp), "accept");
	client->tcp.data = client;
	check_uv(uv_accept(listener, (uv_stream_t *)&client->tcp), "accept");
	check_uv(uv_tcp_nodelay(&client->tcp, 1), "accept");
	check_uv(uv_read_start((uv_stream_t *)&client->tcp, on_allocate, on_read), "accept");
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

static void proposals_end(struct proposal *proposal, uint32_t status)
{
	struct proposal *next;

	for (; proposal != NULL; proposal = next) {
		next = proposal->next;
		proposal_end(proposal, status);
	}
}

static void on_flight_done(struct raft_apply *request, int status, void *result)
{
	struct flight *flight = request->data;

	(void)result;
	flight_count--;
	proposals_end(flight->proposals, status != 0);
	free(flight);
}

/* Everything that came in this turn, as one entry. */
static int flight_start(void)
{
	struct bytes commands[4096];
	struct proposal **end = &queue;
	struct raft_buffer buffer;
	struct flight *flight;
	size_t count = 0, total = 0;
	int rv;

	for (; *end != NULL && count < sizeof(commands) / sizeof(commands[0]); end = &(*end)->next) {
		if (count > 0 && entry_size(count + 1, total + (*end)->size) > LIMIT_ENTRY_BYTES)
			break;
		commands[count++] = (struct bytes){ (*end)->command, (*end)->size };
		total += (*end)->size;
	}
	flight = allocate(sizeof(*flight));
	buffer.len = entry_size(count, total);
	buffer.base = raft_malloc(buffer.len);
	if (buffer.base == NULL)
		fail("memory", "there is none");
	entry_pack(commands, count, buffer.base);
	flight->request.data = flight;
	rv = raft_apply(&member, &flight->request, &buffer, 1, on_flight_done);
	if (rv != 0) {
		raft_free(buffer.base);
		free(flight);
		return rv;
	}
	flight_count++;
	flight->proposals = queue;
	queue = *end;
	*end = NULL;
	if (queue == NULL)
		queue_end = &queue;
	return 0;
}

static void turn(void)
{
	struct proposal *list;
	bool leader = raft_state(&member) == RAFT_LEADER;
	int rv;

	if (leader != was_leader) {
		puts(leader ? "leader" : "follower");
		fflush(stdout);
	}
	was_leader = leader;
	while (queue != NULL && flight_count < FLIGHTS_MAX && leader) {
		rv = flight_start();
		if (rv == RAFT_NOSPACE)
			return; /* segments are prepared yet */
		if (rv == RAFT_NOTLEADER)
			break;
		check_raft(rv, "append");
	}
	if (queue == NULL || leader)
		return;
	list = queue;
	queue = NULL;
	queue_end = &queue;
	proposals_end(list, 1);
}

static void on_prepare(uv_prepare_t *prepare)
{
	(void)prepare;
	turn();
}

static void on_check(uv_check_t *check)
{
	(void)check;
	turn();
}

static void on_stop(uv_signal_t *handle, int number)
{
	(void)handle;
	(void)number;
	exit(EXIT_SUCCESS);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static void member_start(unsigned id, const char *directory, char **addresses)
{
	static struct raft_fsm fsm = { .version = 2,
				       .apply = on_apply,
				       .snapshot = on_snapshot,
				       .restore = on_restore,
				       .snapshot_finalize = on_snapshot_end };
	struct raft_configuration configuration;

	check_raft(transport_init(&transport, loop), "transport");
	check_raft(raft_uv_init(&io, loop, directory, &transport.outer), "log");
	raft_uv_set_auto_recovery(&io, false);
	raft_uv_set_connect_retry_delay(&io, 100);
	check_raft(raft_init(&member, &io, &fsm, id, addresses[id - 1]), "member");
	member.tracer = NULL;
	raft_set_heartbeat_timeout(&member, 50);
	raft_set_election_timeout(&member, 400);
	raft_set_snapshot_threshold(&member, 4096);
	raft_set_snapshot_trailing(&member, 2048);
	raft_set_max_inflight_entries(&member, 1024);
	raft_set_pre_vote(&member, true);
	raft_configuration_init(&configuration);
	for (unsigned i = 0; i < SERVERS; i++)
		check_raft(raft_configuration_add(&configuration, i + 1, addresses[i], RAFT_VOTER), "configuration");
	check_raft(raft_bootstrap(&member, &configuration), "bootstrap");
	raft_configuration_close(&configuration);
	check_raft(raft_start(&member), "start");
}

int main(int argument_count, char **arguments)
{
	static uv_tcp_t listener;
	static uv_prepare_t prepare;
	static uv_check_t check;
	static uv_signal_t stop;
	struct sockaddr_in address;
	char host[64];
	unsigned id, port;

	if (argument_count != 4 + SERVERS || sscanf(arguments[3], "%63[^:]:%u", host, &port) != 2 ||
	    (id = (unsigned)atoi(arguments[1])) < 1 || id > SERVERS)
		fail("usage", "bench_bare ID DIRECTORY LISTEN RAFT1 RAFT2 RAFT3; DIRECTORY is empty");
	loop = uv_default_loop();
	table_open(arguments[2]);
	member_start(id, arguments[2], arguments + 4);
	check_uv(uv_ip4_addr(host, (int)port, &address), arguments[3]);
	check_uv(uv_tcp_init(loop, &listener), "listen");
	check_uv(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), arguments[3]);
	check_uv(uv_listen((uv_stream_t *)&listener, 1024, on_connection), arguments[3]);
	uv_prepare_init(loop, &prepare);
	uv_prepare_start(&prepare, on_prepare);
	uv_check_init(loop, &check);
	uv_check_start(&check, on_check);
	uv_signal_init(loop, &stop);
	uv_signal_start(&stop, on_stop, SIGTERM);
	return uv_run(loop, UV_RUN_DEFAULT);
}
