/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/load.h"

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define CONNECTIONS_MAX 1024u
#define OUTSTANDING_MAX 4096u
#define ADDRESSES_MAX 16u
#define READ_BYTES (256u << 10)
#define CONNECT_AGAIN_NS (20 * MS)
#define SEND_AGAIN_NS (5 * MS) /* after a failure: a server without a leader says so at once */
#define TURN_MS 5

struct load {
	const struct load_protocol *protocol;
	const char *addresses[ADDRESSES_MAX];
	unsigned address_count, connection_count, outstanding;
	size_t payload_bytes;
	double seconds, warm_seconds;
	bool faults;	      /* failures and lost connections are to be expected */
	const char *times_at; /* file for the time of each answer */

	int epoll;
	struct load_connection *connections;
	struct load_slot *slots;
	uint32_t *latencies_us;
	size_t latency_count, latency_room;
	uint64_t measured_from, measured_until, done, failed;
	FILE *times;
	char failure_last[256];
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
	(void)number;
	asked_to_end = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void load_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("bench_load: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(EXIT_FAILURE);
}

void load_append(struct buffer *buffer, const void *data, size_t size)
{
	if (buffer_append(buffer, data, size) != 0)
		load_fail("out of memory");
}

struct load_slot *load_slot_get(struct load_connection *connection, uint32_t slot)
{
	if (slot < connection->slot_first || slot - connection->slot_first >= connection->slot_count)
		load_fail("%s: an answer to nothing that was asked", connection->address);
	return &connection->load->slots[slot];
}

size_t load_payload_bytes(const struct load_connection *connection)
{
	return connection->load->payload_bytes;
}

/* --- what comes of requests --------------------------------------------------------------------------------------- */

static void latency_keep(struct load *load, uint64_t ns)
{
	if (load->latency_count == load->latency_room) {
		load->latency_room = load->latency_room > 0 ? 2 * load->latency_room : 1 << 16;
		load->latencies_us = realloc(load->latencies_us, load->latency_room * sizeof(*load->latencies_us));
		if (load->latencies_us == NULL)
			load_fail("out of memory");
	}
	load->latencies_us[load->latency_count++] = (uint32_t)(ns / 1000);
}

static void slot_send(struct load_connection *connection, uint32_t slot, uint64_t now)
{
	struct load_slot *at = load_slot_get(connection, slot);

	at->busy = true;
	at->failed_last = false;
	at->sent_ns = now;
	connection->load->protocol->request(connection, slot);
}

void load_answered(struct load_connection *connection, uint32_t slot, const char *failure)
{
	struct load *load = connection->load;
	struct load_slot *at = load_slot_get(connection, slot);
	uint64_t now = now_ns();

	if (!at->busy)
		load_fail("%s: a second answer to a request", connection->address);
	if (failure != NULL) {
		if (!load->faults)
			load_fail("%s refused a request: %s", connection->address, failure);
		load->failed++;
		snprintf(load->failure_last, sizeof(load->failure_last), "%s", failure);
		at->busy = false;
		at->failed_last = true;
		at->sent_ns = now;
		return;
	}
	at->turn++;
	if (load->times != NULL && fwrite(&now, sizeof(now), 1, load->times) != 1)
		load_fail("cannot write %s", load->times_at);
	if (now >= load->measured_from && now < load->measured_until) {
		load->done++;
		latency_keep(load, now - at->sent_ns);
	}
	slot_send(connection, slot, now);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void connection_close(struct load_connection *connection, const char *why)
{
	struct load *load = connection->load;

	if (!load->faults)
		load_fail("%s: %s", connection->address, why);
	close(connection->fd); /* epoll forgets it, too */
	connection->fd = -1;
	if (connection->connected)
		load->protocol->closed(connection);
	connection->connected = false;
	buffer_clear(&connection->input);
	buffer_clear(&connection->output);
	connection->retry_ns = now_ns() + CONNECT_AGAIN_NS;
	for (uint32_t i = 0; i < connection->slot_count; i++)
		load->slots[connection->slot_first + i].busy = false;
}

static void connection_watch(struct load_connection *connection, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = connection };

	if (epoll_ctl(connection->load->epoll, operation, connection->fd, &event) != 0)
		load_fail("epoll_ctl: %s", strerror(errno));
}

static void connection_begin(struct load_connection *connection)
{
	char host[64];
	const char *colon = strrchr(connection->address, ':');
	struct sockaddr_in to = { .sin_family = AF_INET };
	int one = 1;

	if (colon == NULL || (size_t)(colon - connection->address) >= sizeof(host))
		load_fail("\"%s\" is not IPv4:port", connection->address);
	memcpy(host, connection->address, (size_t)(colon - connection->address));
	host[colon - connection->address] = '\0';
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		load_fail("\"%s\" is not IPv4:port", connection->address);
	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->fd < 0 || setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
		load_fail("socket: %s", strerror(errno));
	if (connect(connection->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
		connection_close(connection, strerror(errno));
		return;
	}
	connection_watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connection_flush(struct load_connection *connection)
{
	struct bytes output = buffer_bytes(&connection->output);
	ssize_t sent;

	if (connection->fd < 0 || !connection->connected || output.size == 0)
		return;
	sent = send(connection->fd, output.data, output.size, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		connection_close(connection, strerror(errno));
		return;
	}
	if (sent > 0)
		buffer_consume(&connection->output, (size_t)sent);
	connection_watch(connection, EPOLL_CTL_MOD,
			 buffer_bytes(&connection->output).size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void connection_opened(struct load_connection *connection)
{
	int error = 0;
	socklen_t size = sizeof(error);
	uint64_t now = now_ns();

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
		connection_close(connection, strerror(error));
		return;
	}
	connection->connected = true;
	connection_watch(connection, EPOLL_CTL_MOD, EPOLLIN);
	connection->load->protocol->opened(connection);
	for (uint32_t i = 0; i < connection->slot_count; i++)
		slot_send(connection, connection->slot_first + i, now);
}

static void connection_receive(struct load_connection *connection)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t count = recv(connection->fd, bytes, sizeof(bytes), 0);
	struct bytes input;

	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0) {
		connection_close(connection, count < 0 ? strerror(errno) : "the server ended the connection");
		return;
	}
	load_append(&connection->input, bytes, (size_t)count);
	input = buffer_bytes(&connection->input);
	buffer_consume(&connection->input, connection->load->protocol->receive(connection, input.data, input.size));
}

static void connection_event(struct load_connection *connection, uint32_t events)
{
	if (connection->fd < 0)
		return;
	if (!connection->connected)
		connection_opened(connection);
	else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		connection_receive(connection);
	connection_flush(connection);
}

/* After failures: connect again, send again. */
static void connection_revive(struct load_connection *connection, uint64_t now)
{
	if (connection->fd < 0) {
		if (now >= connection->retry_ns)
			connection_begin(connection);
		return;
	}
	for (uint32_t i = 0; connection->connected && i < connection->slot_count; i++) {
		struct load_slot *slot = &connection->load->slots[connection->slot_first + i];

		if (slot->failed_last && now >= slot->sent_ns + SEND_AGAIN_NS)
			slot_send(connection, connection->slot_first + i, now);
	}
	connection_flush(connection);
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static void load_begin(struct load *load)
{
	uint64_t now = now_ns();
	uint32_t slot = 0;

	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->slots = calloc(load->outstanding, sizeof(*load->slots));
	load->connections = calloc(load->connection_count, sizeof(*load->connections));
	if (load->epoll < 0 || load->slots == NULL || load->connections == NULL)
		load_fail("out of memory");
	if (load->times_at != NULL && (load->times = fopen(load->times_at, "w")) == NULL)
		load_fail("cannot create %s: %s", load->times_at, strerror(errno));
	for (unsigned i = 0; i < load->connection_count; i++) {
		struct load_connection *connection = &load->connections[i];

		connection->load = load;
		connection->address = load->addresses[i % load->address_count];
		connection->slot_first = slot;
		connection->slot_count =
			load->outstanding / load->connection_count + (i < load->outstanding % load->connection_count);
		slot += connection->slot_count;
		connection_begin(connection);
	}
	load->measured_from = now + (uint64_t)(load->warm_seconds * SECOND);
	load->measured_until = load->measured_from + (uint64_t)(load->seconds * SECOND);
}

static void load_run(struct load *load)
{
	struct epoll_event events[64];
	uint64_t now;

	while ((now = now_ns()) < load->measured_until && !asked_to_end) {
		int count = epoll_wait(load->epoll, events, 64, TURN_MS);

		for (int i = 0; i < count; i++)
			connection_event(events[i].data.ptr, events[i].events);
		for (unsigned i = 0; load->faults && i < load->connection_count; i++)
			connection_revive(&load->connections[i], now);
		if (load->times != NULL)
			fflush(load->times);
	}
}

static int compare(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;

	return (a > b) - (a < b);
}

static double percentile_ms(const struct load *load, double part)
{
	return load->latency_count > 0 ? load->latencies_us[(size_t)(part * (double)(load->latency_count - 1))] / 1000.0
				       : 0;
}

static void load_report(struct load *load)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	qsort(load->latencies_us, load->latency_count, sizeof(*load->latencies_us), compare);
	printf("{\"protocol\": \"%s\", \"outstanding\": %u, \"connections\": %u, \"seconds\": %.3f, \"done\": %llu, "
	       "\"failed\": %llu, \"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
	       "\"client_cpu_seconds\": %.3f}\n",
	       load->protocol->name, load->outstanding, load->connection_count, load->seconds,
	       (unsigned long long)load->done, (unsigned long long)load->failed, (double)load->done / load->seconds,
	       percentile_ms(load, 0.5), percentile_ms(load, 0.99), percentile_ms(load, 1),
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	if (load->failed > 0)
		fprintf(stderr, "bench_load: last failure: %s\n", load->failure_last);
}

/* --- what is asked for -------------------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
	{ "protocol", 'p', "NAME", 0, "dnvme, create, bare or etcd", 0 },
	{ "address", 'a', "ADDR:PORT", 0, "of a server; several: connections take turns", 0 },
	{ "outstanding", 'o', "NUMBER", 0, "requests under way (1)", 0 },
	{ "connections", 'c', "NUMBER", 0, "over which they go (1)", 0 },
	{ "payload", 'b', "BYTES", 0, "of a request of the protocols bare and etcd (300)", 0 },
	{ "seconds", 's', "SECONDS", 0, "that are measured (2)", 0 },
	{ "warm", 'w', "SECONDS", 0, "before that (0.5)", 0 },
	{ "faults", 'f', NULL, 0, "failures are to be expected: go on", 0 },
	{ "times", 't', "FILE", 0, "write the time of each answer, monotonic, as 64-bit nanoseconds", 0 },
	{ 0 },
};

static const struct load_protocol *protocol_find(const char *name)
{
	static const struct load_protocol *const all[] = {
		&protocol_dnvme,
		&protocol_create,
		&protocol_bare,
#ifdef DNVME_BENCH_ETCD
		&protocol_etcd,
#endif
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	}
	load_fail("there is no protocol \"%s\" in this build", name);
}

static unsigned number_parse(const char *text, unsigned max)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || number < 1 || number > max)
		load_fail("\"%s\" is not a number from 1 to %u", text, max);
	return (unsigned)number;
}

static double seconds_parse(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400))
		load_fail("\"%s\" is not a number of seconds", text);
	return seconds;
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
	struct load *load = state->input;

	switch (key) {
	case 'p':
		load->protocol = protocol_find(argument);
		return 0;
	case 'a':
		if (load->address_count == ADDRESSES_MAX)
			load_fail("more than %u addresses", ADDRESSES_MAX);
		load->addresses[load->address_count++] = argument;
		return 0;
	case 'o':
		load->outstanding = number_parse(argument, OUTSTANDING_MAX);
		return 0;
	case 'c':
		load->connection_count = number_parse(argument, CONNECTIONS_MAX);
		return 0;
	case 'b':
		load->payload_bytes = number_parse(argument, 1 << 16);
		return 0;
	case 's':
		load->seconds = seconds_parse(argument);
		return 0;
	case 'w':
		load->warm_seconds = seconds_parse(argument);
		return 0;
	case 'f':
		load->faults = true;
		return 0;
	case 't':
		load->times_at = argument;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argument_count, char **arguments)
{
	struct load load = {
		.outstanding = 1, .connection_count = 1, .payload_bytes = 300, .seconds = 2, .warm_seconds = 0.5
	};
	const struct argp argp = { options, option_parse, NULL, "Keeps so many requests under way.", NULL, NULL, NULL };
	struct sigaction action = { .sa_handler = on_signal };

	argp_parse(&argp, argument_count, arguments, 0, NULL, &load);
	if (load.protocol == NULL || load.address_count == 0)
		load_fail("--protocol and --address are needed");
	if (load.connection_count > load.outstanding)
		load.connection_count = load.outstanding;
	sigaction(SIGTERM, &action, NULL);
	load_begin(&load);
	load_run(&load);
	load_report(&load);
	return 0;
}
