// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The other clock is read after the question left and before the answer came. So each answer gives a lower and an upper
 * bound of the distance, whatever the network and the scheduler did; of many, the highest lower and the lowest upper
 * one count.
 */
#include "tests/kernel/witness/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/kernel/witness/journal.h"

#define ANSWER_WAIT_US 200000

struct question {
	uint64_t number, time_ns;
};

static int failed(const char *what)
{
	fprintf(stderr, "witness: %s: %s\n", what, strerror(errno));
	return 2;
}

int clock_answer(uint16_t port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) }, peer;
	socklen_t length = sizeof(here), peer_length;
	struct question question;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status;

	if (fd < 0)
		return failed("cannot make a socket");
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&here, &length) != 0) {
		status = failed("cannot take the port");
		close(fd);
		return status;
	}
	printf("%u\n", ntohs(here.sin_port));
	fflush(stdout);
	for (;;) {
		peer_length = sizeof(peer);
		if (recvfrom(fd, &question, sizeof(question), 0, (struct sockaddr *)&peer, &peer_length) !=
		    (ssize_t)sizeof(question))
			continue;
		question.time_ns = journal_now_ns();
		/* An answer that is lost is one that is not counted. */
		if (sendto(fd, &question, sizeof(question), 0, (struct sockaddr *)&peer, peer_length) < 0)
			continue;
	}
}

/* The answer to this question, and not a late one to an earlier. */
static bool ask(int fd, uint64_t number, int64_t *ret_low, int64_t *ret_high)
{
	struct question question = { .number = number };
	uint64_t sent = journal_now_ns(), received;

	if (send(fd, &question, sizeof(question), 0) != (ssize_t)sizeof(question))
		return false;
	do {
		if (recv(fd, &question, sizeof(question), 0) != (ssize_t)sizeof(question))
			return false;
		received = journal_now_ns();
	} while (question.number != number);
	*ret_low = (int64_t)(question.time_ns - received);
	*ret_high = (int64_t)(question.time_ns - sent);
	return true;
}

int clock_compare(const char *address, uint16_t port, unsigned questions)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval wait = { .tv_usec = ANSWER_WAIT_US };
	int64_t low = INT64_MIN, high = INT64_MAX, low_one, high_one;
	unsigned answers = 0;
	int fd;

	if (inet_pton(AF_INET, address, &peer.sin_addr) != 1) {
		errno = EINVAL;
		return failed(address);
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0) {
		failed("cannot ask");
		if (fd >= 0)
			close(fd);
		return 2;
	}
	for (unsigned i = 0; i < questions; i++) {
		if (!ask(fd, i + 1, &low_one, &high_one))
			continue;
		answers++;
		low = low_one > low ? low_one : low;
		high = high_one < high ? high_one : high;
	}
	close(fd);
	printf("{\"low_ns\": %" PRId64 ", \"high_ns\": %" PRId64 ", \"answers\": %u}\n", low, high, answers);
	return answers < (questions + 1) / 2 || low > high ? 1 : 0;
}
