/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A double of a server: takes requests on a loopback port and does what a script says, one step per request; the last
 * step is repeated. It speaks frames with the library's own codec, so it tests the client, not the protocol.
 */
#ifndef DNVME_TESTS_UNIT_TEST_CLIENT_RIG_H
#define DNVME_TESTS_UNIT_TEST_CLIENT_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/model/records.h"

enum double_step {
	STEP_ANSWER,	  /* as the method wants it */
	STEP_CLOSE,	  /* close the connection */
	STEP_HALF_CLOSE,  /* half an answer, then close */
	STEP_HALF_SILENT, /* half an answer, then nothing */
	STEP_BYTEWISE,	  /* the answer, byte by byte */
	STEP_SILENT,	  /* nothing */
	STEP_GARBAGE,	  /* bytes that are no MessagePack */
	STEP_HTTP,	  /* another protocol */
	STEP_OVERSIZE,	  /* a frame that announces just more than 16 MiB */
	STEP_WRONG,	  /* a frame that is no answer of this method */
	STEP_UNAVAILABLE,
	STEP_NOT_FOUND, /* with hint and details */
};

#define DOUBLE_REQUESTS 64

struct server_double {
	char address[64];
	int listener;
	int stop[2]; /* a pipe: closing the writing end stops the thread */
	pthread_t thread;
	const enum double_step *steps;
	size_t step_count;
	/* What came, the first DOUBLE_REQUESTS in detail; read it after double_stop(). */
	size_t request_count;
	char methods[DOUBLE_REQUESTS][64];
	uint8_t request_ids[DOUBLE_REQUESTS][16];
	size_t request_id_sizes[DOUBLE_REQUESTS];
	bool again[DOUBLE_REQUESTS];
};

/* Listen on a loopback port; does nothing until double_start() or double_serve(). */
void double_listen(struct server_double *one, const enum double_step *steps, size_t step_count);
void double_start(struct server_double *one);
/* Serve in this thread until the pipe is closed. */
void double_serve(struct server_double *one);
/* Stop and join. */
void double_stop(struct server_double *one);

/* The volume of docs and golden texts: 2 copies, 2 active controllers, 1 standby, 2 legs each. */
const struct volume_status *sample_volume(void);

#endif
