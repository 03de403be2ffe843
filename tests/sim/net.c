/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (512u << 10)
#define RETRY_FIRST_US (200 * WORLD_MS)
#define RETRY_MAX_US (10 * WORLD_SECOND)
#define USER_TIMEOUT_US (60 * WORLD_SECOND)
#define CONNECT_RETRY_US WORLD_SECOND
#define CONNECT_TIMEOUT_US (60 * WORLD_SECOND)

struct chunk {
	struct chunk *next;
	uint64_t arrives;
	bool end; /* no bytes: the sender sends no more */
	size_t size;
	uint8_t bytes[];
};

struct tcp {
	struct tcp *next, **at; /* of all */
	struct machine *machine;
	struct process *process; /* NULL: waits in a backlog, or closed */
	struct tcp *peer;	 /* NULL: not connected, or its side is gone */
	uint32_t peer_ip;
	uint16_t peer_port;
	const struct tcp_events *events;
	void *data;
	bool connecting, connected, closed, ended, lost;
	int error;
	struct chunk *flight, **flight_end; /* sent, not arrived */
	size_t flight_bytes;
	uint64_t last_arrival, blocked_since, retry_us, user_timeout_us;
	struct buffer received;
	struct world_event delivery; /* of the first in flight; of the next attempt to connect */
};

struct listener {
	struct listener *next, **at;
	struct process *process;
	uint32_t ip;
	uint16_t port;
	const struct tcp_events *events;
	void *data;
	struct tcp *waiting[64];
	size_t count;
};

static struct tcp *all;
static struct listener *listeners;
static uint16_t next_port = 32768;
static struct {
	uint64_t least_us, most_us;
	unsigned slow_per_mille;
	uint64_t slow_us;
} quality;

void net_begin(void)
{
	quality.least_us = world_between(20, 300);
	quality.most_us = quality.least_us + world_between(20, world_chance(300) ? 20000 : 1000);
	quality.slow_per_mille = world_chance(500) ? (unsigned)world_below(10) : 0;
	quality.slow_us = quality.most_us + world_between(5 * WORLD_MS, 300 * WORLD_MS);
}

void net_heal(void)
{
	quality.slow_per_mille = 0;
	for (size_t i = 0; i < world_machine_count; i++)
		memset(world_machines[i].cut_to, 0, sizeof(world_machines[i].cut_to));
}

uint64_t net_delay(const struct machine *from, const struct machine *to)
{
	if (from == to)
		return world_between(5, 50);
	if (quality.slow_per_mille > 0 && world_chance(quality.slow_per_mille))
		return world_between(quality.most_us, quality.slow_us);
	return world_between(quality.least_us, quality.most_us);
}

static void changed(struct tcp *tcp)
{
	if (tcp->process != NULL && tcp->events != NULL)
		tcp->events->changed(tcp->data);
}

static void on_delivery(struct world_event *event);

static struct tcp *tcp_make(struct machine *machine)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (tcp == NULL)
		abort();
	tcp->machine = machine;
	tcp->flight_end = &tcp->flight;
	tcp->user_timeout_us = USER_TIMEOUT_US;
	event_init(&tcp->delivery, NULL, on_delivery, tcp);
	tcp->next = all;
	tcp->at = &all;
	if (all != NULL)
		all->at = &tcp->next;
	all = tcp;
	return tcp;
}

static void flight_drop(struct tcp *tcp)
{
	struct chunk *chunk;

	while ((chunk = tcp->flight) != NULL) {
		tcp->flight = chunk->next;
		free(chunk);
	}
	tcp->flight_end = &tcp->flight;
	tcp->flight_bytes = 0;
}

static void tcp_free(struct tcp *tcp)
{
	if (tcp->peer != NULL)
		tcp->peer->peer = NULL;
	event_cancel(&tcp->delivery);
	flight_drop(tcp);
	buffer_free(&tcp->received);
	*tcp->at = tcp->next;
	if (tcp->next != NULL)
		tcp->next->at = tcp->at;
	free(tcp);
}

static void fail(struct tcp *tcp, int error)
{
	flight_drop(tcp);
	event_cancel(&tcp->delivery);
	tcp->connecting = tcp->connected = false;
	if (tcp->peer != NULL) {
		tcp->peer->peer = NULL;
		tcp->peer = NULL;
	}
	if (tcp->closed) {
		tcp_free(tcp);
		return;
	}
	tcp->error = error;
	changed(tcp);
}

static struct listener *listener_find(uint32_t ip, uint16_t port)
{
	for (struct listener *listener = listeners; listener != NULL; listener = listener->next) {
		if (listener->ip == ip && listener->port == port)
			return listener;
	}
	return NULL;
}

static void try_connect(struct tcp *tcp)
{
	struct machine *to = machine_by_ip(tcp->peer_ip);
	struct listener *listener;
	struct tcp *other;

	if (to == NULL || !machine_hears(tcp->machine, to) || !machine_hears(to, tcp->machine)) {
		if (world_now - tcp->blocked_since > CONNECT_TIMEOUT_US) {
			fail(tcp, ETIMEDOUT);
			return;
		}
		event_at(&tcp->delivery, world_now + tcp->retry_us);
		tcp->retry_us *= 2;
		return;
	}
	listener = listener_find(tcp->peer_ip, tcp->peer_port);
	if (listener == NULL || listener->count == sizeof(listener->waiting) / sizeof(listener->waiting[0])) {
		fail(tcp, ECONNREFUSED);
		return;
	}
	other = tcp_make(to);
	other->connected = true;
	other->peer = tcp;
	other->peer_ip = tcp->machine->ip;
	other->peer_port = next_port++;
	if (next_port < 32768)
		next_port = 32768;
	tcp->peer = other;
	tcp->connecting = false;
	tcp->connected = true;
	tcp->retry_us = tcp->blocked_since = 0;
	listener->waiting[listener->count++] = other;
	listener->events->changed(listener->data);
	changed(tcp);
}

static void schedule(struct tcp *tcp)
{
	if (tcp->flight != NULL && !event_is_waiting(&tcp->delivery))
		event_at(&tcp->delivery, tcp->flight->arrives);
}

/* The first in flight is due. */
static void on_delivery(struct world_event *event)
{
	struct tcp *tcp = event->data, *peer;
	struct machine *to;
	struct chunk *chunk;

	if (tcp->connecting) {
		try_connect(tcp);
		return;
	}
	chunk = tcp->flight;
	if (chunk == NULL)
		return;
	to = machine_by_ip(tcp->peer_ip);
	if (!machine_hears(tcp->machine, to) || !machine_hears(to, tcp->machine)) {
		if (tcp->blocked_since == 0) {
			tcp->blocked_since = world_now;
			tcp->retry_us = RETRY_FIRST_US;
		}
		if (world_now - tcp->blocked_since > tcp->user_timeout_us) {
			fail(tcp, ETIMEDOUT);
			return;
		}
		event_at(&tcp->delivery, world_now + tcp->retry_us);
		tcp->retry_us = tcp->retry_us * 2 < RETRY_MAX_US ? tcp->retry_us * 2 : RETRY_MAX_US;
		return;
	}
	tcp->blocked_since = 0;
	peer = tcp->peer;
	if (peer == NULL || peer->closed || peer->lost) {
		if (peer != NULL && peer->closed && chunk->end) {
			/* Both have ended: nobody waits for anything any more. */
			flight_drop(tcp);
			if (tcp->closed)
				tcp_free(tcp);
			return;
		}
		fail(tcp, ECONNRESET);
		return;
	}
	tcp->flight = chunk->next;
	if (tcp->flight == NULL)
		tcp->flight_end = &tcp->flight;
	tcp->flight_bytes -= chunk->size;
	if (chunk->end)
		peer->ended = true;
	else if (buffer_append(&peer->received, chunk->bytes, chunk->size) != 0)
		abort();
	free(chunk);
	schedule(tcp);
	changed(peer);
	if (tcp->closed && tcp->flight == NULL) {
		/* What comes from now on is answered by a reset. */
		tcp_free(tcp);
		return;
	}
	changed(tcp);
}

struct tcp *tcp_connect(struct process *process, uint32_t ip, uint16_t port, const struct tcp_events *events,
			void *data)
{
	struct machine *to = machine_by_ip(ip);
	struct tcp *tcp = tcp_make(process->machine);

	tcp_events_set(tcp, process, events, data);
	tcp->connecting = true;
	tcp->peer_ip = ip;
	tcp->peer_port = port;
	tcp->blocked_since = world_now;
	tcp->retry_us = CONNECT_RETRY_US;
	event_at(&tcp->delivery, world_now + 2 * (to != NULL ? net_delay(tcp->machine, to) : 100));
	return tcp;
}

void tcp_events_set(struct tcp *tcp, struct process *process, const struct tcp_events *events, void *data)
{
	tcp->process = process;
	tcp->events = events;
	tcp->data = data;
}

bool tcp_is_connected(const struct tcp *tcp)
{
	return tcp->connected;
}

int tcp_error(const struct tcp *tcp)
{
	return tcp->error;
}

size_t tcp_room(const struct tcp *tcp)
{
	size_t used = tcp->flight_bytes + (tcp->peer != NULL ? tcp->peer->received.size : 0);

	return used < BUFFER_BYTES ? BUFFER_BYTES - used : 0;
}

static void launch(struct tcp *tcp, const void *bytes, size_t size, bool end)
{
	struct machine *to = machine_by_ip(tcp->peer_ip);
	struct chunk *chunk = malloc(sizeof(*chunk) + size);
	uint64_t arrives = world_now + net_delay(tcp->machine, to);

	if (chunk == NULL)
		abort();
	if (arrives < tcp->last_arrival)
		arrives = tcp->last_arrival;
	tcp->last_arrival = arrives;
	chunk->next = NULL;
	chunk->arrives = arrives;
	chunk->end = end;
	chunk->size = size;
	if (size > 0)
		memcpy(chunk->bytes, bytes, size);
	*tcp->flight_end = chunk;
	tcp->flight_end = &chunk->next;
	tcp->flight_bytes += size;
	schedule(tcp);
}

void tcp_send(struct tcp *tcp, const void *bytes, size_t size)
{
	if (tcp->connected && size > 0)
		launch(tcp, bytes, size, false);
}

void tcp_shutdown(struct tcp *tcp)
{
	if (tcp->connected)
		launch(tcp, NULL, 0, true);
}

struct bytes tcp_received(const struct tcp *tcp)
{
	return buffer_bytes(&tcp->received);
}

void tcp_consume(struct tcp *tcp, size_t size)
{
	buffer_consume(&tcp->received, size);
	if (tcp->peer != NULL && size > 0)
		changed(tcp->peer);
}

bool tcp_is_ended(const struct tcp *tcp)
{
	return tcp->ended && tcp->received.size == 0;
}

size_t tcp_unsent(const struct tcp *tcp)
{
	return tcp->flight_bytes;
}

void tcp_peer(const struct tcp *tcp, uint32_t *ret_ip, uint16_t *ret_port)
{
	*ret_ip = tcp->peer_ip;
	*ret_port = tcp->peer_port;
}

void tcp_user_timeout(struct tcp *tcp, uint64_t us)
{
	tcp->user_timeout_us = us;
}

/* What was sent still goes out, and the end behind it. */
void tcp_close(struct tcp *tcp)
{
	tcp->process = NULL;
	tcp->closed = true;
	if (!tcp->connected || tcp->error != 0) {
		tcp_free(tcp);
		return;
	}
	launch(tcp, NULL, 0, true);
}

struct listener *listener_open(struct process *process, uint32_t ip, uint16_t port, const struct tcp_events *events,
			       void *data)
{
	struct listener *listener = listener_find(ip, port);

	if (listener != NULL)
		return NULL;
	listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		abort();
	listener->process = process;
	listener->ip = ip;
	listener->port = port;
	listener->events = events;
	listener->data = data;
	listener->next = listeners;
	listener->at = &listeners;
	if (listeners != NULL)
		listeners->at = &listener->next;
	listeners = listener;
	return listener;
}

struct tcp *listener_take(struct listener *listener)
{
	struct tcp *tcp;

	if (listener->count == 0)
		return NULL;
	tcp = listener->waiting[0];
	memmove(listener->waiting, listener->waiting + 1, --listener->count * sizeof(listener->waiting[0]));
	return tcp;
}

void listener_close(struct listener *listener)
{
	while (listener->count > 0)
		tcp_close(listener_take(listener));
	*listener->at = listener->next;
	if (listener->next != NULL)
		listener->next->at = listener->at;
	free(listener);
}

void net_process_lost(struct process *process)
{
	struct tcp *next;

	for (struct listener *listener = listeners, *after; listener != NULL; listener = after) {
		after = listener->next;
		if (listener->process == process)
			listener_close(listener);
	}
	for (struct tcp *tcp = all; tcp != NULL; tcp = next) {
		next = tcp->next;
		if (tcp->process == process)
			tcp_close(tcp);
	}
}

/* Without power nothing says good-bye. */
void net_machine_lost(struct machine *machine)
{
	struct tcp *next;

	for (struct listener *listener = listeners; listener != NULL; listener = listener->next) {
		if (listener->process->machine == machine)
			listener->count = 0;
	}
	for (struct tcp *tcp = all; tcp != NULL; tcp = next) {
		next = tcp->next;
		if (tcp->machine != machine)
			continue;
		/* Its peer finds out when it sends, or never. */
		tcp_free(tcp);
	}
}
