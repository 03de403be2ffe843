/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls to the other servers of the group: one connection for each, made when it is needed.
 *
 * The first thing that it says is the notification server.peer, so that the other side never forwards its requests
 * again.
 */
#ifndef DNVME_SRC_PEER_H
#define DNVME_SRC_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "src/connection.h"
#include "src/list.h"
#include "src/table.h"

struct peers; /* all peers of a server */
struct peer;

/* The end of a call, once. Either `response` (borrowed; its failure may be set) or `failure`. `sent` tells whether the
 * other side may have received the request. */
typedef void (*peer_callback)(void *data, const struct rpc_message *response, bool sent, const struct error *failure);

/* Owned and embedded by the caller; must stay until its callback ran or peer_call_cancel(). */
struct peer_call {
	struct list link;
	struct peer *peer;
	uint32_t msgid;
	uint64_t deadline_ms; /* loop time */
	bool active, sent;
	peer_callback callback;
	void *data;
};

/* `scratch` as in connection.h. NULL when memory is exhausted. */
struct peers *peers_make(uv_loop_t *loop, uint8_t *scratch);

/* End all calls (UNAVAILABLE) and connections; the memory goes when the handles are closed. Accepts NULL. */
void peers_close(struct peers *peers);

/* Call a method of the server with this id and API address. `params` is passed through as it came, or `record` is
 * encoded when it is NULL. Returns 0, then the callback runs later, never inside this call; or an error (UNAVAILABLE:
 * nothing was sent), then it never runs. */
int peer_call(struct peers *peers, uint64_t id, const char *address, const struct method *method,
	      const struct bytes *params, const void *record, uint64_t timeout_ms, struct peer_call *call,
	      peer_callback callback, void *data, struct error *error);

/* Forget a call; its callback does not run. Harmless when it is not active. */
void peer_call_cancel(struct peer_call *call);

/* End the calls that are past their deadline (DEADLINE_EXCEEDED) and connections that cannot be made. */
void peers_tick(struct peers *peers);

#endif
