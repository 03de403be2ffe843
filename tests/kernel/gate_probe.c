/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a test of the gate needs on a node: the gate's operations as the agent calls them, a server behind it, and a
 * client that tells how its connection ended; and a target for imports that goes away in the middle of a connection.
 *
 * Each prints one line. Times are milliseconds of the server's wall clock, which the server sends with each echo.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/backend/kernel.h"
#include "lib/base/clock.h"
#include "lib/net/peer.h"

#define CONNECTIONS 64 /* more than knocks, before one is closed to make room */
#define ECHO_INTERVAL_MS 10
#define SILENCE_MS 4000
#define PROBE_TO_CONNECTION_MS 1000

/* What is on the wire when an NVMe/TCP connection begins: the initiator's ICReq, our ICResp, and its first command, a
 * Connect with data. */
#define IC_SIZE 128
#define IC_RESPONSE 1
#define IC_DATA_MAX 0x100000
#define CONNECT_SIZE (8 + 64 + 1024)

static void die(const char *what)
{
	fprintf(stderr, "gate_probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int code, const struct error *error)
{
	if (code == 0)
		return;
	fprintf(stderr, "gate_probe: %s\n", error->message);
	if (error->hint[0] != '\0')
		fprintf(stderr, "  hint: %s\n", error->hint);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct sockaddr_in address_make(const char *address, uint64_t port)
{
	struct sockaddr_in made = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, address, &made.sin_addr) != 1)
		die(address);
	return made;
}

static void serve(uint64_t port)
{
	struct sockaddr_in address = address_make("0.0.0.0", port);
	struct pollfd polled[CONNECTIONS + 1];
	int one = 1;

	polled[0] = (struct pollfd){ .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN };
	setsockopt(polled[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(polled[0].fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(polled[0].fd, 8) != 0)
		die("listen");
	for (int i = 1; i <= CONNECTIONS; i++)
		polled[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	for (int next = 0;;) {
		poll(polled, CONNECTIONS + 1, -1);
		for (int i = 1; i <= CONNECTIONS; i++) {
			uint64_t received, wall = clock_wall_ms();

			if (polled[i].fd < 0 || polled[i].revents == 0)
				continue;
			if (recv(polled[i].fd, &received, sizeof(received), MSG_WAITALL) == sizeof(received) &&
			    send(polled[i].fd, &wall, sizeof(wall), MSG_NOSIGNAL) == sizeof(wall))
				continue;
			close(polled[i].fd);
			polled[i].fd = -1;
		}
		if ((polled[0].revents & POLLIN) != 0) {
			/* The oldest makes room: its client may have been cut off without a word. */
			struct pollfd *slot = &polled[1 + next++ % CONNECTIONS];

			if (slot->fd >= 0)
				close(slot->fd);
			slot->fd = accept(polled[0].fd, NULL, NULL);
			slot->revents = 0;
			setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		}
	}
}

/* The target that an initiator meets when somebody takes it away: it lets everybody in, takes the first command, and
 * answers nothing any more; with `closes` it ends the connection instead. Prints a line for each. */
static void vanish(uint64_t port, bool closes)
{
	struct sockaddr_in address = address_make("0.0.0.0", port);
	const uint32_t size = htole32(IC_SIZE), data_max = htole32(IC_DATA_MAX);
	int listening = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	uint8_t buffer[CONNECT_SIZE], response[IC_SIZE] = { [0] = IC_RESPONSE, [2] = IC_SIZE };

	memcpy(response + 4, &size, sizeof(size));
	memcpy(response + 12, &data_max, sizeof(data_max));
	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listening, 8) != 0)
		die("listen");
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		/* Who only knocks sends nothing. */
		if (recv(fd, buffer, IC_SIZE, MSG_WAITALL) == IC_SIZE &&
		    send(fd, response, sizeof(response), MSG_NOSIGNAL) == (ssize_t)sizeof(response) &&
		    recv(fd, buffer, CONNECT_SIZE, MSG_WAITALL) == CONNECT_SIZE) {
			printf("vanished\n");
			fflush(stdout);
			if (!closes)
				continue;
		}
		close(fd);
	}
}

static int echo_once(int fd, uint64_t *ret_wall)
{
	uint64_t question = 0;
	ssize_t size = send(fd, &question, sizeof(question), MSG_NOSIGNAL);

	if (size == sizeof(question))
		size = recv(fd, ret_wall, sizeof(*ret_wall), MSG_WAITALL);
	if (size == sizeof(*ret_wall))
		return 0;
	errno = size < 0 ? errno : ESHUTDOWN;
	return -1;
}

static int knock(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Until it is let in. */
static int enter(const struct sockaddr_in *address, uint64_t *ret_refusals)
{
	int fd;

	while ((fd = knock(address)) < 0) {
		++*ret_refusals;
		poll(NULL, 0, ECHO_INTERVAL_MS * 5);
	}
	return fd;
}

/* Say nothing on a connection for so long, then a word. Either knock until somebody opens, or knock meanwhile. Prints
 * what became of the connection, and when the door was opened. */
static void silence(const char *server, uint64_t port, uint64_t silent_ms, bool knocks)
{
	struct sockaddr_in address = address_make(server, port);
	uint64_t began, wall, refusals = 0;
	int fd = enter(&address, &refusals), other;

	if (echo_once(fd, &wall) != 0)
		die("the first connection");
	printf("in ");
	fflush(stdout);
	began = now_us();
	while (now_us() - began < silent_ms * 1000) {
		if (knocks && (other = knock(&address)) >= 0)
			close(other);
		poll(NULL, 0, ECHO_INTERVAL_MS * 10);
	}
	if (echo_once(fd, &wall) == 0) {
		printf("answered after %" PRIu64 "\n", (now_us() - began) / 1000);
		return;
	}
	printf("%s after %" PRIu64, strerrorname_np(errno), (now_us() - began) / 1000);
	if (knocks) {
		printf("\n");
		return;
	}
	refusals = 0;
	other = enter(&address, &refusals);
	if (echo_once(other, &wall) != 0)
		die("the new connection");
	printf(" open after %" PRIu64 " and %" PRIu64 " refusals\n", (now_us() - began) / 1000, refusals);
}

/* A peer that speaks each so often, so many times. */
static void talk(const char *server, uint64_t port, uint64_t interval_ms, uint64_t times)
{
	struct sockaddr_in address = address_make(server, port);
	uint64_t refusals = 0, wall;
	int fd = enter(&address, &refusals);

	for (uint64_t i = 0; i < times; i++) {
		if (i > 0)
			poll(NULL, 0, (int)interval_ms);
		if (echo_once(fd, &wall) != 0) {
			printf("%s after %" PRIu64 " echoes\n", strerrorname_np(errno), i);
			return;
		}
	}
	printf("echoed %" PRIu64 "\n", times);
}

/* Echo until it ends, or so many times. */
static void echo(const char *server, uint64_t port, uint64_t limit)
{
	struct sockaddr_in address = address_make(server, port);
	struct timeval silence = { .tv_sec = SILENCE_MS / 1000 };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	uint64_t echoes = 0, wall = 0, ahead = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		printf("refused %s\n", strerrorname_np(errno));
		return;
	}
	while (limit == 0 || echoes < limit) {
		if (echo_once(fd, &wall) != 0) {
			printf("ended %s %" PRIu64 " %" PRIu64 "\n",
			       errno == ESHUTDOWN ? "EOF" : strerrorname_np(errno), clock_wall_ms() + ahead, echoes);
			return;
		}
		ahead = wall - clock_wall_ms();
		echoes++;
		poll(NULL, 0, ECHO_INTERVAL_MS);
	}
	printf("echoed %" PRIu64 "\n", echoes);
}

/* Refresh as an agent does, and die as one that is killed. `leg_port` 0: none joins. */
static void hold(struct kernel *kernel, uint64_t port, uint64_t timeout_ms, uint64_t interval_ms, uint64_t times,
		 uint64_t leg_port)
{
	const struct string_list none = { 0 };
	struct error error = { 0 };

	if (leg_port != 0)
		check(kernel->operations->gate_join(kernel, port, leg_port, &error), &error);
	check(kernel->operations->gate_open(kernel, port, clock_boot_ms() + timeout_ms, &none, &error), &error);
	for (uint64_t i = 0; i < times; i++) {
		if (i > 0)
			poll(NULL, 0, (int)interval_ms);
		check(kernel->operations->gate_refresh(kernel, port, clock_boot_ms() + timeout_ms, &error), &error);
	}
	printf("last %" PRIu64 "\n", clock_wall_ms());
	fflush(stdout);
	kill(getpid(), SIGKILL);
}

/* Look all the time: until it is shut, or for so long. Prints how long it was open, and the least that was left. */
static void watch(struct kernel *kernel, uint64_t port, uint64_t limit_ms)
{
	struct error error = { 0 };
	uint64_t began = now_us(), left, least = UINT64_MAX, spent = 0;

	do {
		check(kernel->operations->gate_read(kernel, port, &left, &error), &error);
		least = left < least ? left : least;
		spent = (now_us() - began) / 1000;
		poll(NULL, 0, ECHO_INTERVAL_MS);
	} while (left > 0 && (limit_ms == 0 || spent < limit_ms));
	printf("%" PRIu64 " %" PRIu64 "\n", spent, least);
}

static void cost(struct kernel *kernel, uint64_t port, uint64_t times)
{
	const struct string_list none = { 0 };
	struct error error = { 0 };
	uint64_t total = 0, worst = 0, guarding;

	guarding = now_us();
	check(kernel->operations->gate_guard(kernel, port, &error), &error);
	guarding = now_us() - guarding;
	check(kernel->operations->gate_open(kernel, port, clock_boot_ms() + 2000, &none, &error), &error);
	for (uint64_t i = 0; i < times; i++) {
		uint64_t began = now_us(), took;

		check(kernel->operations->gate_refresh(kernel, port, clock_boot_ms() + 2000, &error), &error);
		took = now_us() - began;
		total += took;
		worst = took > worst ? took : worst;
	}
	printf("refresh %" PRIu64 " us, worst %" PRIu64 " us of %" PRIu64 "; guard %" PRIu64 " us\n", total / times,
	       worst, times, guarding);
}

/* A peer that is admitted for so long, or (0) not, at a port that joined; once in a generation, or (0) always. */
static void admit(struct kernel *kernel, uint64_t port, uint64_t timeout_ms, const char *address, uint64_t leg_port,
		  uint64_t generation)
{
	struct kernel_peer peer = { .address = address,
				    .port = leg_port,
				    .admitted = timeout_ms > 0,
				    .volume = leg_port,
				    .generation = generation };
	struct kernel_peer_list peers = { 1, &peer };
	struct error error = { 0 };

	check(kernel->operations->gate_admit(kernel, port, &peers, timeout_ms, &error), &error);
	if (generation != 0)
		printf("%s\n", peer.joined ? "joined" : "out");
}

/* As an import is made: a probe, long before a connection, and others after it, each so much later than the last. */
static void consume(const char *server, uint64_t port, uint64_t interval_ms, uint64_t times)
{
	struct sockaddr_in address = address_make(server, port);
	uint64_t wall, count = 0;
	int fds[CONNECTIONS];

	if (peer_try(server, port, SILENCE_MS) != PEER_ANSWERS) {
		printf("refused\n");
		return;
	}
	poll(NULL, 0, PROBE_TO_CONNECTION_MS);
	while (count < times && count < CONNECTIONS) {
		fds[count] = knock(&address);
		if (fds[count] < 0)
			break;
		count++;
		/* All of them go on, as a keep-alive does. */
		for (uint64_t i = 0; i < count; i++) {
			if (echo_once(fds[i], &wall) != 0)
				die("a connection of an import");
		}
		poll(NULL, 0, (int)interval_ms);
	}
	printf("connected %" PRIu64 "\n", count);
}

static void import(struct kernel *kernel, bool drop, const char *address, uint64_t port, const char *nqn)
{
	const struct kernel_import import = { .nqn = nqn,
					      .address = address,
					      .port = port,
					      .host_nqn = "nqn.2026-11.io.dnvme:0000000000000000:node:cn1",
					      .host_id = { 1 } };
	const struct kernel_operations *operations = kernel->operations;
	struct error error = { 0 };

	/* As an agent has guarded its gate. */
	check(operations->gate_guard(kernel, 4420, &error), &error);
	check((drop ? operations->import_drop : operations->import_connect)(kernel, &import, &error), &error);
}

int main(int count, char **arguments)
{
	const char *verb = count > 2 ? arguments[1] : "";
	const struct string_list none = { 0 };
	uint64_t numbers[5] = { 0 }, left;
	struct kernel *kernel;
	struct error error = { 0 };

	if (strcmp(verb, "echo") == 0 && count >= 4) {
		echo(arguments[2], strtoull(arguments[3], NULL, 10), count > 4 ? strtoull(arguments[4], NULL, 10) : 0);
		return 0;
	}
	if (strcmp(verb, "talk") == 0 && count == 6) {
		talk(arguments[2], strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10),
		     strtoull(arguments[5], NULL, 10));
		return 0;
	}
	if (strcmp(verb, "silence") == 0 && count >= 5) {
		silence(arguments[2], strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10), count > 5);
		return 0;
	}
	if (strcmp(verb, "consume") == 0 && count == 6) {
		consume(arguments[2], strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10),
			strtoull(arguments[5], NULL, 10));
		return 0;
	}
	for (int i = 2; i < count && i < 7; i++)
		numbers[i - 2] = strtoull(arguments[i], NULL, 10);
	if (strcmp(verb, "serve") == 0)
		serve(numbers[0]);
	if (strcmp(verb, "vanish") == 0)
		vanish(numbers[0], count > 3);
	check(kernel_linux_open(&kernel, &error), &error);
	if (strcmp(verb, "guard") == 0) {
		check(kernel->operations->gate_guard(kernel, numbers[0], &error), &error);
	} else if (strcmp(verb, "open") == 0) {
		check(kernel->operations->gate_open(kernel, numbers[0], clock_boot_ms() + numbers[1], &none, &error),
		      &error);
	} else if (strcmp(verb, "refresh") == 0) {
		check(kernel->operations->gate_refresh(kernel, numbers[0], clock_boot_ms() + numbers[1], &error),
		      &error);
	} else if (strcmp(verb, "shut") == 0) {
		check(kernel->operations->gate_shut(kernel, numbers[0], &error), &error);
	} else if (strcmp(verb, "read") == 0) {
		check(kernel->operations->gate_read(kernel, numbers[0], &left, &error), &error);
		printf("%" PRIu64 "\n", left);
	} else if (strcmp(verb, "admit") == 0 && (count == 6 || count == 7)) {
		admit(kernel, numbers[0], numbers[1], arguments[4], numbers[3], numbers[4]);
	} else if (strcmp(verb, "join") == 0) {
		check(kernel->operations->gate_join(kernel, numbers[0], numbers[1], &error), &error);
	} else if (strcmp(verb, "leave") == 0) {
		check(kernel->operations->gate_leave(kernel, numbers[0], &error), &error);
	} else if ((strcmp(verb, "import") == 0 || strcmp(verb, "drop") == 0) && count == 5) {
		import(kernel, strcmp(verb, "drop") == 0, arguments[2], numbers[1], arguments[4]);
	} else if (strcmp(verb, "hold") == 0) {
		hold(kernel, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
	} else if (strcmp(verb, "watch") == 0) {
		watch(kernel, numbers[0], numbers[1]);
	} else if (strcmp(verb, "cost") == 0) {
		cost(kernel, numbers[0], numbers[1]);
	} else {
		fprintf(stderr,
			"usage: gate_probe guard|shut|read|serve PORT | vanish PORT [closes] | open|refresh PORT MS | "
			"hold PORT MS INTERVAL "
			"TIMES [JOINED] | admit PORT MS ADDRESS JOINED [GENERATION] | join PORT JOINED | leave JOINED "
			"| cost PORT TIMES | watch PORT [MS] | import|drop ADDRESS PORT NQN | echo ADDRESS PORT "
			"[TIMES] | talk ADDRESS PORT INTERVAL TIMES | consume ADDRESS PORT INTERVAL TIMES | "
			"silence ADDRESS PORT MS [knock]\n");
		return 2;
	}
	kernel->operations->close(kernel);
	return 0;
}
