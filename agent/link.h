/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A TCP connection to a server that carries frames. All on the loop's thread. */
#ifndef DNVME_AGENT_LINK_H
#define DNVME_AGENT_LINK_H

#include <uv.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

struct link;

struct link_events {
	void (*opened)(void *data);
	/* A whole frame, borrowed during the call, which may close the link. */
	void (*frame)(void *data, struct bytes frame);
	/* It could not be opened, or has ended. The owner calls link_close(). */
	void (*ended)(void *data, const struct error *error);
};

/* Begin to connect to "IPv4:port". NULL with `error` when that is not possible at all. */
struct link *link_open(uv_loop_t *loop, const char *address, const struct link_events *events, void *data,
		       struct error *error);

/* No event comes any more; the memory goes when the loop has closed the handle. Accepts NULL. */
void link_close(struct link *link);

/* Send what the buffer holds, and empty it. A failure comes as `ended`. INTERNAL when memory is exhausted or the peer
 * has not read for too long: the link is of no use then. */
int link_send(struct link *link, struct buffer *output, struct error *error);

/* Loop time of the last byte received or of the opening. */
uint64_t link_heard_ms(const struct link *link);

#endif
