/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the simulated libuv: the part of it that dnvme uses, in virtual time. */
#ifndef DNVME_TESTS_SIM_LOOP_H
#define DNVME_TESTS_SIM_LOOP_H

#include <uv.h>

#include "tests/sim/world.h"

#define HANDLE_ACTIVE 1u
#define HANDLE_CLOSING 2u
#define HANDLE_CLOSED 4u
#define HANDLE_UNREF 8u

struct loop {
	uv_loop_t *uv;
	struct process *process;
	struct coroutine *runner; /* waits in uv_run() */
	uv_handle_t *handles;	  /* open ones, by handle_queue, but for */
	uv_handle_t *turned;	  /* prepare and check, which each turn has */
	uv_handle_t *closing;	  /* by handle_queue[0] */
	unsigned open;		  /* those that keep uv_run() */
	unsigned turning;
	struct world_event poke;
};

static inline struct loop *loop_of(const uv_loop_t *uv)
{
	return uv->internal_fields;
}

void loop_handle_init(uv_loop_t *loop, uv_handle_t *handle, uv_handle_type type);
/* A turn: run `what`, then everything else that a turn has. */
void loop_turn(struct loop *loop, void (*what)(void *data), void *data);
/* Have a turn soon, though nothing is due. */
void loop_poke(struct loop *loop);
/* What a stream does when it is closed, and at the end of that. */
void stream_close(uv_stream_t *stream);
void stream_closed(uv_stream_t *stream);

#endif
