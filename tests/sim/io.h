/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O through simulated kernels: down through device-mapper, over paths to other kernels, to the media. Each request is
 * a coroutine that waits where a kernel would queue it.
 */
#ifndef DNVME_TESTS_SIM_IO_H
#define DNVME_TESTS_SIM_IO_H

#include "tests/sim/media.h"

enum io_result {
	IO_DONE,
	IO_ERROR, /* the initiator is told so */
	IO_RETRY, /* the path cannot, another one may */
	IO_LOST,  /* nobody is told anything */
};

struct io {
	bool write, forced;	  /* forced: past every cache */
	bool flush;		  /* no data, but all that was written before goes to the medium */
	bool failed;		  /* a medium returned an error */
	struct media_block block; /* to write, or that was read */
	uint64_t attempt;	  /* of the host, for the trace */
	/* The name of the export through which it reached the present kernel. */
	const char *export;
};

void io_begin(void);
/* Run in a coroutine that no machine's death ends. */
void io_start(void (*run)(void *data), void *data);

/* How a request came. */
struct io_way {
	const struct machine *from;
	bool (*stands)(void *data); /* whether the connection does */
	void *data;
	struct io_wire *wire; /* that of an import; NULL: a host's, whose requests keep no order */
};

/* What a target does with a request for a namespace: takes it if it is accessible, then carries it out. */
enum io_result io_target(struct storage *node, const struct io_way *way, uint64_t port, const char *nqn,
			 const uint8_t *uuid, uint64_t sector, struct io *io);

/* A kernel call of the agent: waits for what the real one waits for. */
int io_operation(struct storage *node, const char *operation, const char *name, struct error *error);
/* Flush what lies below a device; UNAVAILABLE when there was no answer in that time. */
int io_flush(struct storage *node, const char *name, uint64_t timeout_us, struct error *error);
/* The LDs that a read from a leg's first group may come from now, by its pool. */
size_t io_copies(struct storage *node, const char *pool, uint64_t lds[], size_t count);
/* Whether a member that is copied lies on a namespace that is gone: then it fails, as it cannot be written. */
bool io_mirror_lost(struct storage *node, const char *name);
/* A mirror's members are equal now; the copying began at that time. */
void io_mirror_copied(struct storage *node, const char *name, uint64_t since);
/* Whether writes to a device of a node, the argument, are under way. */
bool io_is_writing(void *data, const char *name);
/* How often the connections to an export were cut by its target, to look at as long as the program runs; a connection
 * that has seen another number does not stand. */
const unsigned *io_cuts(struct storage *node, const char *nqn);
void io_cut(struct storage *node, const char *nqn);

#endif
