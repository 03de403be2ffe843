/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP connections of this machine to a peer, whoever has them: whether it answers, when it was heard of last, and the
 * end of what leads there. Of NVMe the kernel's connections are meant, which no process has.
 */
#ifndef DNVME_LIB_NET_PEER_H
#define DNVME_LIB_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

enum peer_answer {
	PEER_ANSWERS,
	PEER_REFUSES, /* at once: its kernel lives */
	PEER_SILENT,
};

/* What marks the packets of peer_try(), so that a gate does not take one for a connection that is meant: least effort.
 * Should a network change it, they are taken for one. */
#define PEER_TRY_DSCP 1

/* Connects, and closes again. Blocks for `timeout_ms` at most. */
enum peer_answer peer_try(const char *address, uint64_t port, int timeout_ms);

enum peer_connections {
	PEER_EVERY_CONNECTION,
	PEER_ATTEMPTS, /* that the peer has not answered yet: nothing is under way on them */
};

/* End connections of this machine to the peer, as if it had been reset; none is no error. INVALID_ARGUMENT for an
 * address that is none; UNSUPPORTED or INTERNAL when the kernel cannot. */
int peer_disconnect(const char *address, uint64_t port, enum peer_connections which, struct error *error);

struct peer_place {
	const char *address; /* borrowed */
	uint64_t port;
};

/* How long nothing was heard from each place, over all connections to it; UINT64_MAX when there is none. */
int peers_silence(const struct peer_place *places, size_t count, uint64_t *ret_silent_ms, struct error *error);

/* TCP sent again so often, without an answer: for 1.4 s, without much load. */
#define PEER_UNANSWERED_RETRIES 3

/* A connection that somebody else has to this machine. */
struct peer_visit {
	uint64_t connection; /* a number that no other one has until the machine boots */
	uint8_t address[16]; /* where it comes from: so many bytes as it has, then zeros */
	uint64_t silent_ms;  /* since something was heard on it */
	bool unanswered;     /* what is sent on it does not arrive */
};

/* Those to a port here on which anything was ever heard: a probe is none. *ret_visits is the caller's, who frees it;
 * NULL when there are none. Costs what a look at all connections of the machine costs. An error has a hint. */
int peer_visits(uint64_t port, struct peer_visit **ret_visits, size_t *ret_count, struct error *error);

#endif
