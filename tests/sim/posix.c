/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets and epoll as libdnvme uses them; its object is linked against these names instead of the C library's. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/net.h"
#include "tests/sim/posix.h"

#define FIRST 100000
#define COUNT 512

struct file {
	enum { FREE, SOCKET, EPOLL } kind;
	struct process *process;
	struct tcp *tcp;
	int epoll;		  /* of a socket: in which set it is */
	uint32_t wanted;	  /* of a socket: what the set waits for */
	epoll_data_t value;	  /* of a socket */
	struct coroutine *waiter; /* of a set */
	uint64_t waits;
};

static struct file files[COUNT];

static struct file *file_of(int fd)
{
	return fd >= FIRST && fd < FIRST + COUNT ? &files[fd - FIRST] : NULL;
}

static int file_make(int kind)
{
	for (int i = 0; i < COUNT; i++) {
		if (files[i].kind != FREE && files[i].process->alive)
			continue;
		files[i] = (struct file){ .kind = kind, .process = world_current, .epoll = -1 };
		return FIRST + i;
	}
	abort();
}

static uint32_t ready(const struct file *file)
{
	uint32_t events = 0;

	if (file->tcp == NULL)
		return 0;
	if (tcp_error(file->tcp) != 0)
		return EPOLLIN | EPOLLOUT | EPOLLERR;
	if (!tcp_is_connected(file->tcp))
		return 0;
	if (tcp_received(file->tcp).size > 0 || tcp_is_ended(file->tcp))
		events |= EPOLLIN;
	if (tcp_room(file->tcp) > 0)
		events |= EPOLLOUT;
	return events & file->wanted;
}

struct wake {
	int set;
	uint64_t waits;
};

static void on_wake(struct world_event *event)
{
	struct wake *wake = event->data;
	struct file *set = file_of(wake->set);
	struct coroutine *waiter = set->waiter;
	bool counts = set->kind == EPOLL && waiter != NULL && set->waits == wake->waits;

	free(wake);
	if (!counts)
		return;
	set->waiter = NULL;
	coroutine_resume(waiter);
}

static void wake_after(int set, uint64_t delay)
{
	struct wake *wake = malloc(sizeof(*wake));

	if (wake == NULL)
		abort();
	*wake = (struct wake){ set, file_of(set)->waits };
	world_after(delay, file_of(set)->process, on_wake, wake);
}

static void changed(void *data)
{
	struct file *file = data;

	if (file->epoll >= 0 && file_of(file->epoll)->waiter != NULL && ready(file) != 0)
		wake_after(file->epoll, 0);
}

static const struct tcp_events file_events = { .changed = changed };

int sim_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	return file_make(SOCKET);
}

int sim_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	struct file *file = file_of(fd);

	(void)size;
	file->tcp = tcp_connect(world_current, ntohl(in->sin_addr.s_addr), ntohs(in->sin_port), &file_events, file);
	errno = EINPROGRESS;
	return -1;
}

ssize_t sim_send(int fd, const void *data, size_t size, int flags)
{
	struct file *file = file_of(fd);
	size_t room;

	(void)flags;
	if (tcp_error(file->tcp) != 0) {
		errno = tcp_error(file->tcp);
		return -1;
	}
	room = tcp_room(file->tcp);
	if (room == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (size > room)
		size = room;
	tcp_send(file->tcp, data, size);
	return (ssize_t)size;
}

ssize_t sim_recv(int fd, void *data, size_t size, int flags)
{
	struct file *file = file_of(fd);
	struct bytes received = tcp_received(file->tcp);

	(void)flags;
	if (received.size == 0) {
		if (tcp_is_ended(file->tcp))
			return 0;
		errno = tcp_error(file->tcp) != 0 ? tcp_error(file->tcp) : EAGAIN;
		return -1;
	}
	if (size > received.size)
		size = received.size;
	memcpy(data, received.data, size);
	tcp_consume(file->tcp, size);
	return (ssize_t)size;
}

int sim_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	(void)level;
	(void)option;
	(void)size;
	*(int *)value = tcp_error(file_of(fd)->tcp);
	return 0;
}

int sim_epoll_create1(int flags)
{
	(void)flags;
	return file_make(EPOLL);
}

int sim_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	struct file *file = file_of(fd);

	(void)operation;
	file->epoll = set;
	file->wanted = event->events;
	file->value = event->data;
	return 0;
}

int sim_epoll_wait(int set, struct epoll_event *events, int size, int timeout)
{
	int count = 0;

	(void)timeout; /* libdnvme never waits here */
	for (int i = 0; i < COUNT && count < size; i++) {
		uint32_t is = files[i].kind == SOCKET && files[i].epoll == set ? ready(&files[i]) : 0;

		if (is != 0)
			events[count++] = (struct epoll_event){ .events = is, .data = files[i].value };
	}
	return count;
}

int sim_poll(struct pollfd *wanted, nfds_t count, int timeout)
{
	struct epoll_event event;
	int set = wanted[0].fd;
	struct file *file = file_of(set);

	(void)count;
	if (timeout != 0 && sim_epoll_wait(set, &event, 1, 0) == 0) {
		file->waits++;
		file->waiter = coroutine_self();
		if (timeout > 0)
			wake_after(set, (uint64_t)timeout * WORLD_MS);
		coroutine_yield();
		file->waiter = NULL;
		file->waits++;
	}
	wanted[0].revents = sim_epoll_wait(set, &event, 1, 0) > 0 ? POLLIN : 0;
	return wanted[0].revents != 0;
}

int sim_close(int fd)
{
	struct file *file = file_of(fd);

	if (file == NULL)
		return close(fd);
	if (file->tcp != NULL)
		tcp_close(file->tcp);
	*file = (struct file){ .kind = FREE };
	return 0;
}
