/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a path is left: a copy of sysfs, and peers on the loopback that answer, refuse, or fall silent.
 *
 * A thread stands for the kernel's initiator: it has a connection, and when that is ended its path is "connecting".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "client/cli/host_leave.h"
#include "lib/base/clock.h"
#include "lib/net/peer.h"
#include "tests/unit/test_sysfs.h"

static char tree[SYSFS_TREE_SIZE];

static void controller_make(const char *name, unsigned port, const char *state, const char *keep_alive)
{
	char text[256];

	snprintf(text, sizeof(text), "traddr=127.0.0.1,trsvcid=%u\n", port);
	sysfs_put(tree, name, "address", text);
	sysfs_put(tree, name, "state", state);
	sysfs_put(tree, name, "kato", keep_alive);
	sysfs_put(tree, name, "reset_controller", "");
	sysfs_put(tree, name, "delete_controller", "");
}

static int tree_make(void **state)
{
	(void)state;
	sysfs_make(tree);
	return 0;
}

static int tree_remove(void **state)
{
	(void)state;
	sysfs_remove(tree);
	return 0;
}

/* --- a peer ---------------------------------------------------------------------------------------------- */

static int listener_make(int backlog, unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int connection_make(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void *initiator_run(void *fd)
{
	char byte;

	assert_true(recv(*(int *)fd, &byte, 1, 0) < 0);
	sysfs_put(tree, "nvme0", "state", "connecting\n");
	return NULL;
}

static struct host_leaving leaving_make(unsigned port, enum host_leave_live live)
{
	struct host_leaving leaving = { .sysfs = tree, .controller = { .name = "nvme0", .address = "127.0.0.1" } };

	leaving.live = live;
	snprintf(leaving.controller.port, sizeof(leaving.controller.port), "%u", port);
	return leaving;
}

/* As those who leave do: again as long as it is "not yet" for want of silence. */
static int free_when_silent(const struct host_leaving *leaving, struct error *error)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int rc;

	while ((rc = host_leave_free(leaving, error)) == ERROR_UNAVAILABLE && strstr(error->message, "was heard of"))
		nanosleep(&pause, NULL);
	return rc;
}

/* --- */

static void test_peer_answers(void **state)
{
	struct host_leaving leaving;
	struct error error;
	unsigned port;
	int fd = listener_make(64, &port);

	(void)state;
	error_clear(&error);
	controller_make("nvme0", port, "connecting\n", "2\n");
	leaving = leaving_make(port, HOST_LEAVE_WAIT);
	assert_int_equal(host_leave(&leaving, &error), 0);
	sysfs_expect(tree, "nvme0", "delete_controller", "1");
	sysfs_expect(tree, "nvme0", "reset_controller", "");

	/* Another volume is served there: its connection is not touched. */
	controller_make("nvme0", port, "live\n", "2\n");
	controller_make("nvme1", port, "live\n", "2\n");
	assert_int_equal(host_leave(&leaving, &error), ERROR_UNAVAILABLE);
	sysfs_expect(tree, "nvme0", "delete_controller", "");
	sysfs_expect(tree, "nvme0", "reset_controller", "");
	leaving.live = HOST_LEAVE_RESET;
	assert_int_equal(host_leave(&leaving, &error), 0);
	sysfs_expect(tree, "nvme0", "reset_controller", "1");
	sysfs_expect(tree, "nvme0", "delete_controller", "1");
	controller_make("nvme0", port, "live\n", "2\n");
	leaving.live = HOST_LEAVE_AS_IT_IS;
	assert_int_equal(host_leave(&leaving, &error), 0);
	sysfs_expect(tree, "nvme0", "reset_controller", "");
	sysfs_expect(tree, "nvme0", "delete_controller", "1");

	/* Gone meanwhile. */
	strcpy(leaving.controller.name, "nvme9");
	assert_int_equal(host_leave(&leaving, &error), 0);
	close(fd);
}

/* Ends a live path; whatever is to be ended must not need more than `limit_ms`. */
static void leave_live(const struct host_leaving *leaving, int connection, uint64_t limit_ms)
{
	uint64_t begin_ms = clock_boot_ms();
	pthread_t initiator;
	struct error error;

	error_clear(&error);
	assert_int_equal(pthread_create(&initiator, NULL, initiator_run, &connection), 0);
	assert_int_equal(free_when_silent(leaving, &error), 0);
	pthread_join(initiator, NULL);
	sysfs_expect(tree, "nvme0", "state", "connecting");
	assert_int_equal(host_leave_delete(leaving, &error), 0);
	sysfs_expect(tree, "nvme0", "delete_controller", "1");
	sysfs_expect(tree, "nvme0", "reset_controller", "");
	assert_true(clock_boot_ms() - begin_ms < limit_ms);
}

/* Nobody else is there, or nobody who stays: its connections are ended without delay. */
static void test_peer_answers_and_all_leave(void **state)
{
	static const char names[1][HOST_NAME_SIZE] = { "nvme1" };
	struct host_leaving leaving;
	unsigned port;
	int listener = listener_make(64, &port), connection = connection_make(port);

	(void)state;
	if (geteuid() != 0)
		skip();
	controller_make("nvme0", port, "live\n", "3\n");
	controller_make("nvme1", port, "live\n", "3\n");
	controller_make("nvme2", port + 1, "live\n", "3\n"); /* elsewhere */
	leaving = leaving_make(port, HOST_LEAVE_WAIT);
	leaving.others = (struct host_names){ names, 1 };
	leave_live(&leaving, connection, 2000);
	close(connection);
	close(listener);
}

static void test_peer_refuses(void **state)
{
	struct host_leaving leaving;
	unsigned port;
	int listener = listener_make(64, &port), connection = connection_make(port);
	int accepted = accept(listener, NULL, NULL);

	(void)state;
	close(listener);
	if (geteuid() != 0)
		skip(); /* only root ends connections */
	controller_make("nvme0", port, "live\n", "2\n");
	/* A volume with several controllers there: its connection is reset by the peer anyway. */
	controller_make("nvme1", port, "live\n", "3\n");
	leaving = leaving_make(port, HOST_LEAVE_WAIT);
	leave_live(&leaving, connection, 2000);
	close(accepted);
	close(connection);
}

/* A listener whose queue is full swallows the first packet of every other connection. */
static void test_peer_is_silent(void **state)
{
	static const char names[1][HOST_NAME_SIZE] = { "nvme1" };
	struct host_leaving leaving;
	struct error error;
	unsigned port;
	int listener = listener_make(0, &port), connection = connection_make(port);

	(void)state;
	if (geteuid() != 0)
		skip();
	error_clear(&error);
	assert_int_equal(peer_try("127.0.0.1", port, 100), PEER_SILENT);
	controller_make("nvme0", port, "live\n", "2\n");
	leaving = leaving_make(port, HOST_LEAVE_RESET);
	/* One that was heard of just now is not dead. */
	assert_int_equal(host_leave(&leaving, &error), ERROR_UNAVAILABLE);
	assert_non_null(strstr(error.message, "was heard of"));
	/* A volume with several controllers has a path there that stays: not before its keep-alive. */
	controller_make("nvme1", port, "live\n", "25\n");
	assert_int_equal(free_when_silent(&leaving, &error), ERROR_UNAVAILABLE);
	assert_non_null(strstr(error.message, "other volumes"));
	sysfs_expect(tree, "nvme0", "reset_controller", "");
	sysfs_expect(tree, "nvme0", "delete_controller", "");
	/* It leaves, too. */
	leaving.others = (struct host_names){ names, 1 };
	leave_live(&leaving, connection, 2000);
	close(connection);
	close(listener);
}

/* A volume with one slot loses nothing by it, whoever sends its keep-alives. */
static void test_peer_is_silent_for_volumes_with_one_slot(void **state)
{
	struct host_leaving leaving;
	unsigned port;
	int listener = listener_make(0, &port), connection = connection_make(port);

	(void)state;
	if (geteuid() != 0)
		skip();
	controller_make("nvme0", port, "live\n", "24\n");
	controller_make("nvme1", port, "live\n", "24\n");
	controller_make("nvme2", port, "live\n", "2\n");
	leaving = leaving_make(port, HOST_LEAVE_RESET);
	leave_live(&leaving, connection, 2000);
	close(connection);
	close(listener);
}

/* An attempt that is under way would block a deletion; one that stands has nothing to do with it. */
static void test_attempts_alone(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int attempt = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), problem = 0;
	socklen_t size = sizeof(problem);
	struct error error;
	unsigned port;
	int listener = listener_make(0, &port), connection = connection_make(port);

	(void)state;
	if (geteuid() != 0)
		skip();
	error_clear(&error);
	address.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(attempt, (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(peer_disconnect("127.0.0.1", port, PEER_ATTEMPTS, &error), 0);
	assert_int_equal(getsockopt(attempt, SOL_SOCKET, SO_ERROR, &problem, &size), 0);
	assert_int_equal(problem, ECONNABORTED);
	assert_int_equal(getsockopt(connection, SOL_SOCKET, SO_ERROR, &problem, &size), 0);
	assert_int_equal(problem, 0);
	assert_int_equal(peer_disconnect("127.0.0.1", port, PEER_EVERY_CONNECTION, &error), 0);
	assert_int_equal(getsockopt(connection, SOL_SOCKET, SO_ERROR, &problem, &size), 0);
	assert_int_equal(problem, ECONNABORTED);
	close(attempt);
	close(connection);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_peer_answers, tree_make, tree_remove),
		cmocka_unit_test_setup_teardown(test_peer_answers_and_all_leave, tree_make, tree_remove),
		cmocka_unit_test_setup_teardown(test_peer_refuses, tree_make, tree_remove),
		cmocka_unit_test_setup_teardown(test_peer_is_silent, tree_make, tree_remove),
		cmocka_unit_test_setup_teardown(test_peer_is_silent_for_volumes_with_one_slot, tree_make, tree_remove),
		cmocka_unit_test(test_attempts_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
