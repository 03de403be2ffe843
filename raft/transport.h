/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport between Raft peers: libraft's own over TCP, with the socket options that it does not set.
 * Without TCP_NODELAY a packed entry waits for an acknowledgement; without TCP_USER_TIMEOUT a peer that vanished is
 * noticed after minutes.
 */
#ifndef DNVME_RAFT_TRANSPORT_H
#define DNVME_RAFT_TRANSPORT_H

#include <raft/uv.h>

struct transport {
	struct raft_uv_transport outer; /* given to libraft */
	struct raft_uv_transport tcp;	/* libraft's own */
	raft_uv_accept_cb accept;
	raft_uv_transport_close_cb closed;
};

/* Returns 0 or a libraft code. */
int transport_init(struct transport *transport, uv_loop_t *loop);

/* After libraft closed it. */
void transport_release(struct transport *transport);

#endif
