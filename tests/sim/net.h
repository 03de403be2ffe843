/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated network: TCP as a program sees it. Bytes of one direction arrive in order, those of different
 * connections in any; what is lost is sent again until it arrives or the sender gives up. A machine without power
 * answers nothing; when it is back it answers what it does not know with a reset.
 */
#ifndef DNVME_TESTS_SIM_NET_H
#define DNVME_TESTS_SIM_NET_H

#include "lib/base/buffer.h"
#include "tests/sim/world.h"

struct tcp;
struct listener;

struct tcp_events {
	/* Something changed: connected, readable, writable, ended. Called in the middle of things: only note it. */
	void (*changed)(void *data);
};

/* Sides of connections. */
struct tcp *tcp_connect(struct process *process, uint32_t ip, uint16_t port, const struct tcp_events *events,
			void *data);
void tcp_events_set(struct tcp *tcp, struct process *process, const struct tcp_events *events, void *data);
bool tcp_is_connected(const struct tcp *tcp);
int tcp_error(const struct tcp *tcp); /* an errno value; 0 */
/* Bytes that may be sent now without filling the buffers. */
size_t tcp_room(const struct tcp *tcp);
void tcp_send(struct tcp *tcp, const void *bytes, size_t size);
void tcp_shutdown(struct tcp *tcp);
/* What has arrived and was not read. */
struct bytes tcp_received(const struct tcp *tcp);
void tcp_consume(struct tcp *tcp, size_t size);
bool tcp_is_ended(const struct tcp *tcp); /* the other side sends no more, and all is read */
size_t tcp_unsent(const struct tcp *tcp);
void tcp_peer(const struct tcp *tcp, uint32_t *ret_ip, uint16_t *ret_port);
void tcp_user_timeout(struct tcp *tcp, uint64_t us);
void tcp_close(struct tcp *tcp);

/* NULL when somebody listens there already. */
struct listener *listener_open(struct process *process, uint32_t ip, uint16_t port, const struct tcp_events *events,
			       void *data);
struct tcp *listener_take(struct listener *listener); /* NULL: none waits */
void listener_close(struct listener *listener);

void net_process_lost(struct process *process);
void net_machine_lost(struct machine *machine);

/* How long a message takes from one machine to another. */
uint64_t net_delay(const struct machine *from, const struct machine *to);
/* Seeds choose a network; after this it is a good one. */
void net_begin(void);
void net_heal(void);

#endif
