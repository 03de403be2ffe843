/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of the TCP connections of this machine, by sock_diag. For this folder. */
#ifndef DNVME_LIB_NET_DIAG_H
#define DNVME_LIB_NET_DIAG_H

#include <linux/inet_diag.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

struct diag_connection {
	const struct inet_diag_msg *message; /* addresses, ports, the connection's number */
	uint64_t silent_ms;		     /* since something was heard on it; UINT64_MAX: not told */
	uint64_t received_bytes;	     /* 0: nothing, or not told */
	unsigned retries;		     /* how often what is sent was sent again, without an answer */
};

typedef void (*diag_take)(void *data, const struct diag_connection *connection);

/* Call `take` with each established connection of the families, to the local port unless that is 0. Returns 0, or an
 * error with a hint; what was taken until then does not count. Blocks for a second at most. */
int diag_connections(const int *families, size_t count, uint16_t port, diag_take take, void *data, struct error *error);

#endif
