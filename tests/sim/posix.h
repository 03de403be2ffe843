/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stand-ins for calls of the C library; tests/sim/CMakeLists.txt renames them in the objects of libdnvme. */
#ifndef DNVME_TESTS_SIM_POSIX_H
#define DNVME_TESTS_SIM_POSIX_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

int sim_socket(int domain, int type, int protocol);
int sim_connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t sim_send(int fd, const void *data, size_t size, int flags);
ssize_t sim_recv(int fd, void *data, size_t size, int flags);
int sim_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int sim_epoll_create1(int flags);
int sim_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int sim_epoll_wait(int set, struct epoll_event *events, int size, int timeout);
int sim_poll(struct pollfd *wanted, nfds_t count, int timeout);
int sim_close(int fd);

#endif
