/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load: so many requests outstanding, over so many connections, for so long; each that is answered is asked again.
 * One thread on epoll, so that all answers of a turn cost one read, and all requests of a turn one write. What differs
 * between the servers that are compared is a protocol.
 */
#ifndef DNVME_TESTS_BENCH_LOAD_H
#define DNVME_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"

struct load;

/* One request that is under way, or waits to be sent again. */
struct load_slot {
	uint64_t sent_ns;
	uint64_t turn; /* how often it was answered */
	bool busy;
	bool failed_last; /* is sent again in a while */
};

struct load_connection {
	struct load *load;
	const char *address; /* IPv4:port */
	int fd;		     /* -1: there is none */
	bool connected;
	uint64_t retry_ns; /* when to connect again */
	struct buffer input, output;
	uint32_t slot_first, slot_count; /* its own */
	void *state;			 /* the protocol's */
};

struct load_protocol {
	const char *name;
	/* The connection stands. May append to its output. */
	void (*opened)(struct load_connection *connection);
	void (*closed)(struct load_connection *connection);
	/* Append the request of a slot to the output. */
	void (*request)(struct load_connection *connection, uint32_t slot);
	/* Take from `data` what is complete, and tell of each answer by load_answered(). Returns how much was taken. */
	size_t (*receive)(struct load_connection *connection, const uint8_t *data, size_t size);
};

extern const struct load_protocol protocol_dnvme, protocol_create, protocol_bare;
#ifdef DNVME_BENCH_ETCD
extern const struct load_protocol protocol_etcd;
#endif

/* `failure` NULL: it was done. */
void load_answered(struct load_connection *connection, uint32_t slot, const char *failure);
struct load_slot *load_slot_get(struct load_connection *connection, uint32_t slot);
size_t load_payload_bytes(const struct load_connection *connection);
void load_append(struct buffer *buffer, const void *data, size_t size);

/* Says why, and ends the program. */
void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
