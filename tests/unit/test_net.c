/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections to a peer, on loopback; and what becomes of a kernel that does not tell. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/net/peer.h"
#include "tests/unit/failing_alloc.h"

/* The kernel's side of a netlink socket, as long as `fake.on`. */
static struct {
	bool on;
	int socket_problem, send_problem;
	unsigned interruptions; /* that come first */
	struct {
		ssize_t size; /* -1: `problem` */
		int problem;
		uint8_t bytes[512];
	} answers[8];
	size_t answer_count, answer_next;
} fake;

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);

int __wrap_socket(int family, int type, int protocol)
{
	if (!fake.on || fake.socket_problem == 0)
		return __real_socket(family, type, protocol);
	errno = fake.socket_problem;
	return -1;
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	if (!fake.on)
		return __real_send(fd, data, size, flags);
	if (fake.send_problem == 0)
		return (ssize_t)size;
	errno = fake.send_problem;
	return -1;
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
	if (!fake.on)
		return __real_recv(fd, data, size, flags);
	if (fake.interruptions > 0) {
		fake.interruptions--;
		errno = EINTR;
		return -1;
	}
	assert_true(fake.answer_next < fake.answer_count);
	errno = fake.answers[fake.answer_next].problem;
	if (fake.answers[fake.answer_next].size > 0) {
		assert_true((size_t)fake.answers[fake.answer_next].size <= size);
		memcpy(data, fake.answers[fake.answer_next].bytes, (size_t)fake.answers[fake.answer_next].size);
	}
	return fake.answers[fake.answer_next++].size;
}

static void fake_begin(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.on = true;
}

static void fake_answer(ssize_t size, int problem)
{
	fake.answers[fake.answer_count].size = size;
	fake.answers[fake.answer_count++].problem = problem;
}

static void fake_message(uint16_t type, const void *body, size_t size)
{
	struct nlmsghdr header = { .nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = type };

	memcpy(fake.answers[fake.answer_count].bytes, &header, sizeof(header));
	memcpy(fake.answers[fake.answer_count].bytes + NLMSG_HDRLEN, body, size);
	fake_answer(NLMSG_ALIGN(header.nlmsg_len), 0);
}

static void fake_error(int problem)
{
	struct nlmsgerr body = { .error = -problem };

	fake_message(NLMSG_ERROR, &body, sizeof(body));
}

static void fake_socket_of(const char *address, uint16_t port)
{
	struct inet_diag_msg body = { .idiag_family = AF_INET, .id.idiag_dport = htons(port) };

	inet_pton(AF_INET, address, body.id.idiag_dst);
	fake_message(SOCK_DIAG_BY_FAMILY, &body, sizeof(body));
}

static void fake_done(void)
{
	int nothing = 0;

	fake_message(NLMSG_DONE, &nothing, sizeof(nothing));
}

static int teardown(void **state)
{
	(void)state;
	fake.on = false;
	return 0;
}

static int listener_make(int family, uint16_t *ret_port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = { .any.sa_family = (sa_family_t)family };
	socklen_t size = family == AF_INET ? sizeof(address.v4) : sizeof(address.v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (family == AF_INET)
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.v6.sin6_addr = in6addr_loopback;
	if (bind(fd, &address.any, size) != 0) {
		close(fd);
		return -1; /* a machine without IPv6 */
	}
	assert_int_equal(getsockname(fd, &address.any, &size), 0);
	assert_int_equal(listen(fd, 8), 0);
	*ret_port = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
	return fd;
}

/* --- */

static void test_try(void **state)
{
	static const struct {
		int family;
		const char *address;
	} families[] = { { AF_INET, "127.0.0.1" }, { AF_INET6, "::1" } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint16_t port = 0;
		int fd = listener_make(families[i].family, &port);

		if (fd < 0)
			continue;
		assert_int_equal(peer_try(families[i].address, port, 5000), PEER_ANSWERS);
		close(fd);
		assert_int_equal(peer_try(families[i].address, port, 5000), PEER_REFUSES);
	}
	assert_int_equal(peer_try("somewhere", 4420, 5000), PEER_SILENT);
	fake_begin();
	fake.socket_problem = EMFILE;
	assert_int_equal(peer_try("127.0.0.1", 4420, 5000), PEER_SILENT);
}

static int connection_make(const char *address, int family, uint16_t port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, address, &v4.sin_addr);
	inet_pton(AF_INET6, address, &v6.sin6_addr);
	if (family == AF_INET)
		assert_int_equal(connect(fd, (struct sockaddr *)&v4, sizeof(v4)), 0);
	else
		assert_int_equal(connect(fd, (struct sockaddr *)&v6, sizeof(v6)), 0);
	return fd;
}

/* Both families at once; a place without a connection is as silent as can be. */
static void test_silence(void **state)
{
	struct peer_place places[3] = { { "127.0.0.1", 0 }, { "::1", 0 }, { "127.9.9.9", 9 } };
	uint64_t silent_ms[3] = { 7, 7, 7 };
	int listeners[2], connections[2] = { -1, -1 };
	uint16_t ports[2] = { 0, 0 };
	struct error error = { 0 };

	(void)state;
	listeners[0] = listener_make(AF_INET, &ports[0]);
	listeners[1] = listener_make(AF_INET6, &ports[1]);
	connections[0] = connection_make("127.0.0.1", AF_INET, ports[0]);
	if (listeners[1] >= 0)
		connections[1] = connection_make("::1", AF_INET6, ports[1]);
	places[0].port = ports[0];
	places[1].port = ports[1];
	assert_int_equal(peers_silence(places, 3, silent_ms, &error), 0);
	assert_true(silent_ms[0] < 60000);
	assert_true(listeners[1] < 0 || silent_ms[1] < 60000);
	assert_true(silent_ms[2] == UINT64_MAX);

	silent_ms[0] = 7;
	places[1].address = "nowhere";
	assert_int_equal(peers_silence(places, 3, silent_ms, &error), ERROR_INTERNAL);
	assert_int_equal(silent_ms[0], 7);
	for (size_t i = 0; i < 2; i++) {
		close(listeners[i]);
		close(connections[i]);
	}
}

static void silence_fails(int problem_code, const char *words)
{
	const struct peer_place place = { "127.0.0.1", 4420 };
	struct error error = { 0 };
	uint64_t silent_ms = 7;

	assert_int_equal(peers_silence(&place, 1, &silent_ms, &error), problem_code);
	if (strstr(error.message, words) == NULL)
		fail_msg("%s", error.message);
	assert_non_null(strstr(error.hint, "tcp_diag"));
	assert_int_equal(silent_ms, 7);
}

static void test_silence_is_not_told(void **state)
{
	const struct peer_place place = { "127.0.0.1", 4420 };
	struct error error = { 0 };
	uint64_t silent_ms = 7;

	(void)state;
	fake_begin();
	fake.socket_problem = EPERM;
	silence_fails(ERROR_PERMISSION_DENIED, "not permitted");
	fake_begin();
	fake.send_problem = ENOBUFS;
	silence_fails(ERROR_INTERNAL, "No buffer space");
	fake_begin();
	fake_error(ENOENT); /* what a kernel without tcp_diag says */
	silence_fails(ERROR_NOT_FOUND, "No such file");
	fake_begin();
	fake_answer(-1, EAGAIN); /* it did not answer in time */
	silence_fails(ERROR_INTERNAL, "temporarily unavailable");
	fake_begin();
	fake_answer(0, 0);
	silence_fails(ERROR_INTERNAL, "Protocol error");
	/* A signal in between is none of these. */
	fake_begin();
	fake.interruptions = 3;
	fake_socket_of("127.0.0.1", 4420); /* without the times that were asked for */
	fake_done();
	assert_int_equal(peers_silence(&place, 1, &silent_ms, &error), 0);
	assert_true(silent_ms == UINT64_MAX);
}

static void test_silence_without_memory(void **state)
{
	const struct peer_place place = { "127.0.0.1", 4420 };
	struct error error = { 0 };
	uint64_t silent_ms;
	int rv;

	(void)state;
	for (unsigned long n = 1;; n++) {
		silent_ms = 7;
		failing_alloc_arm(n);
		rv = peers_silence(&place, 1, &silent_ms, &error);
		if (!failing_alloc_disarm())
			break;
		assert_int_equal(rv, ERROR_INTERNAL);
		assert_int_equal(silent_ms, 7);
	}
	assert_int_equal(rv, 0);
}

/* Connections that somebody has to a port here: those on which something came. */
static void test_visits(void **state)
{
	struct peer_visit *visits = NULL;
	int listener, connections[3], accepted[3];
	struct error error = { 0 };
	uint16_t port = 0;
	uint64_t first, second;
	size_t count = 7;

	(void)state;
	listener = listener_make(AF_INET, &port);
	for (size_t i = 0; i < 3; i++) {
		connections[i] = connection_make("127.0.0.1", AF_INET, port);
		accepted[i] = accept(listener, NULL, NULL);
	}
	assert_int_equal(peer_visits(port, &visits, &count, &error), 0);
	assert_int_equal(count, 0);
	assert_null(visits);
	for (size_t i = 0; i < 2; i++) {
		char byte = 'x';

		assert_int_equal(write(connections[i], &byte, 1), 1);
		assert_int_equal(read(accepted[i], &byte, 1), 1);
	}
	assert_int_equal(peer_visits(port, &visits, &count, &error), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(visits[i].address, "\x7f\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
		assert_true(visits[i].silent_ms < 60000 && !visits[i].unanswered);
	}
	assert_true(visits[0].connection != visits[1].connection);
	/* Of one that stays the number does. */
	first = visits[0].connection;
	second = visits[1].connection;
	free(visits);
	close(connections[0]);
	assert_int_equal(peer_visits(port, &visits, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_true(visits[0].connection == first || visits[0].connection == second);
	free(visits);
	for (size_t i = 0; i < 3; i++) {
		close(accepted[i]);
		if (i > 0)
			close(connections[i]);
	}
	close(listener);
}

static void fake_visit(uint32_t cookie, uint64_t received, uint8_t retries)
{
	struct {
		struct inet_diag_msg body;
		struct rtattr attribute;
		struct tcp_info_long {
			uint8_t state, ca_state, retransmits;
			uint8_t rest[197];
		} info;
	} said = { .body = { .idiag_family = AF_INET, .id.idiag_cookie = { cookie, 1 } },
		   .attribute = { .rta_type = INET_DIAG_INFO },
		   .info.retransmits = retries };

	said.attribute.rta_len = RTA_LENGTH(sizeof(said.info));
	memcpy((uint8_t *)&said.info + 128, &received, sizeof(received)); /* tcpi_bytes_received */
	fake_message(SOCK_DIAG_BY_FAMILY, &said, sizeof(said));
}

static void test_visits_as_told(void **state)
{
	struct peer_visit *visits = NULL;
	struct error error = { 0 };
	size_t count = 7;

	(void)state;
	fake_begin();
	fake_visit(5, 1, PEER_UNANSWERED_RETRIES - 1);
	fake_visit(6, 0, 0);
	fake_visit(7, 1, PEER_UNANSWERED_RETRIES);
	fake_done();
	fake_done();
	assert_int_equal(peer_visits(4420, &visits, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_true(visits[0].connection == (1ull << 32 | 5) && !visits[0].unanswered);
	assert_true(visits[1].connection == (1ull << 32 | 7) && visits[1].unanswered);
	free(visits);
	/* Half of the truth is none. */
	fake_begin();
	fake_visit(5, 1, 0);
	fake_error(ENOENT);
	count = 7;
	assert_int_equal(peer_visits(4420, &visits, &count, &error), ERROR_NOT_FOUND);
	assert_non_null(strstr(error.hint, "tcp_diag"));
	assert_int_equal(count, 7);
}

static void test_visits_without_memory(void **state)
{
	struct peer_visit *visits;
	struct error error = { 0 };
	size_t count;
	int rv;

	(void)state;
	for (unsigned long n = 1;; n++) {
		fake_begin();
		fake_visit(5, 1, 0);
		fake_done();
		fake_done();
		visits = NULL;
		failing_alloc_arm(n);
		rv = peer_visits(4420, &visits, &count, &error);
		if (!failing_alloc_disarm())
			break;
		assert_int_equal(rv, ERROR_INTERNAL);
		assert_null(visits);
	}
	assert_int_equal(rv, 0);
	free(visits);
}

static void disconnect_fails(int code, const char *words)
{
	struct error error = { 0 };

	assert_int_equal(peer_disconnect("127.0.0.1", 4420, PEER_EVERY_CONNECTION, &error), code);
	if (strstr(error.message, words) == NULL)
		fail_msg("%s", error.message);
}

static void test_disconnect_fails(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(peer_disconnect("here", 4420, PEER_EVERY_CONNECTION, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "\"here\" is not an address");
	fake_begin();
	fake.socket_problem = EMFILE;
	disconnect_fails(ERROR_INTERNAL, "cannot ask for sockets");
	fake_begin();
	fake.send_problem = EPERM;
	disconnect_fails(ERROR_PERMISSION_DENIED, "cannot end the connections to 127.0.0.1");
	fake_begin();
	fake_answer(-1, ENOBUFS);
	disconnect_fails(ERROR_INTERNAL, "No buffer space");
	fake_begin();
	fake_answer(0, 0);
	disconnect_fails(ERROR_INTERNAL, "Input/output error");
	fake_begin();
	fake_error(ENOENT);
	disconnect_fails(ERROR_NOT_FOUND, "No such file");

	/* One is there; the kernel does not know how to end it. */
	fake_begin();
	fake_socket_of("127.0.0.1", 4420);
	fake_done();
	fake_error(EOPNOTSUPP);
	disconnect_fails(ERROR_UNSUPPORTED, "not supported");
	fake_begin();
	fake_socket_of("127.0.0.1", 4420);
	fake_done();
	fake_answer(-1, ENOBUFS);
	disconnect_fails(ERROR_INTERNAL, "No buffer space");
	/* It has ended meanwhile: that is no failure. That of another port is not touched: nothing is asked for it. */
	fake_begin();
	fake_socket_of("127.0.0.1", 4421);
	fake_socket_of("127.0.0.1", 4420);
	fake_done();
	fake_error(ENOENT);
	assert_int_equal(peer_disconnect("127.0.0.1", 4420, PEER_EVERY_CONNECTION, &error), 0);
	assert_int_equal(fake.answer_next, fake.answer_count);
}

static void test_disconnect_without_memory(void **state)
{
	struct error error = { 0 };
	unsigned failures = 0;
	int rv;

	(void)state;
	for (unsigned long n = 1;; n++) {
		fake_begin();
		fake_socket_of("127.0.0.1", 4420);
		fake_done();
		fake_error(0);
		failing_alloc_arm(n);
		rv = peer_disconnect("127.0.0.1", 4420, PEER_EVERY_CONNECTION, &error);
		if (!failing_alloc_disarm())
			break;
		failures++;
		assert_int_equal(rv, ERROR_INTERNAL);
	}
	assert_int_equal(rv, 0);
	assert_int_equal(failures, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_try, teardown),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_visits),
		cmocka_unit_test_teardown(test_visits_as_told, teardown),
		cmocka_unit_test_teardown(test_visits_without_memory, teardown),
		cmocka_unit_test_teardown(test_silence_is_not_told, teardown),
		cmocka_unit_test(test_silence_without_memory),
		cmocka_unit_test_teardown(test_disconnect_fails, teardown),
		cmocka_unit_test_teardown(test_disconnect_without_memory, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
