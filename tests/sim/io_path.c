/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fabric.h"
#include "tests/sim/net.h"

#define LINES_MAX 2048

/* The namespace's subsystem and uuid. */
static bool namespace_by_number(struct sim_kernel *kernel, uint64_t minor, char ret_nqn[224], uint8_t ret_uuid[16])
{
	for (size_t i = 0; i < kernel->observed.import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &kernel->observed.import_namespaces.items[i];

		if (ns->minor != minor)
			continue;
		snprintf(ret_nqn, 224, "%s", ns->nqn);
		memcpy(ret_uuid, ns->uuid, 16);
		return true;
	}
	return false;
}

struct path_chosen {
	uint64_t instance, generation, port;
	struct storage *to;
};

/* 1: found; 0: wait; -1: there is no path at all, and never will be. */
static int path_choose(struct io_at at, const char *nqn, struct path_chosen *ret_path)
{
	struct sim_kernel *kernel = io_kernel(at);
	size_t there = 0;

	for (size_t i = 0; i < kernel->observed.imports.count; i++) {
		const struct observed_import *import = &kernel->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) != 0)
			continue;
		there++;
		if (strcmp(import->state, "live") != 0 || import->ana == NULL || strcmp(import->ana, "optimized") != 0)
			continue;
		*ret_path = (struct path_chosen){ .instance = import->instance,
						  .port = strtoull(import->trsvcid, NULL, 10),
						  .to = node_by_address(import->address) };
		if (fabric_path_generation(at.node, import->instance, &ret_path->generation))
			return 1;
	}
	return there > 0 ? 0 : -1;
}

/* Requests that wait for a path to a namespace. As soon as there is one the kernel sends them (nvme_requeue_work()), in
 * the order in which they came, from one processor and so by one connection. A newer one stands in line behind them:
 * in the kernel it may overtake them in the moment between the path and that work, which is shorter than the two
 * requests of a host that it would take to do harm (docs/FAILURES.md, "A stale write", "What remains"). */
static struct waiter {
	struct waiter *next;
	struct io_at at;
	uint64_t minor;
} * waiters;

/* When what was sent behind the line last arrives. */
static struct line {
	struct storage *node;
	uint64_t minor, arrives_at;
} lines[LINES_MAX];
static size_t line_count;

static struct line *line_get(struct storage *node, uint64_t minor)
{
	struct line *line = lines;

	while (line < lines + line_count && (line->node != node || line->minor != minor))
		line++;
	if (line == lines + LINES_MAX)
		world_fail("more namespaces than the simulation has room for");
	if (line == lines + line_count) {
		line_count++;
		*line = (struct line){ .node = node, .minor = minor };
	}
	return line;
}

static bool is_before(const struct waiter *waiter, struct io_at at, uint64_t minor)
{
	return waiter->at.node == at.node && waiter->at.boots == at.boots && waiter->minor == minor;
}

/* Whether somebody stands in front; of all, when `self` does not stand in the line. */
static bool line_is_long(struct io_at at, uint64_t minor, const struct waiter *self)
{
	for (const struct waiter *waiter = waiters; waiter != NULL && waiter != self; waiter = waiter->next) {
		if (is_before(waiter, at, minor))
			return true;
	}
	return false;
}

static void line_join(struct waiter *self)
{
	struct waiter **last = &waiters;

	while (*last != NULL)
		last = &(*last)->next;
	*last = self;
}

static void line_leave(struct waiter *self)
{
	struct waiter **place = &waiters;

	while (*place != self)
		place = &(*place)->next;
	*place = self->next;
}

struct connection_of {
	struct io_at at;
	struct path_chosen path;
};

static bool path_stands(void *data)
{
	const struct connection_of *connection = data;
	uint64_t generation;

	return fabric_path_generation(connection->at.node, connection->path.instance, &generation) &&
	       generation == connection->path.generation;
}

/* A packet on its way; sent again while the network is cut, as long as the connection stands. What stood in line
 * arrives in that order. */
static bool travel(struct storage *from, struct storage *to, struct line *line, bool (*stands)(void *data), void *data)
{
	uint64_t at = world_now + net_delay(from->machine, to->machine);

	if (line != NULL) {
		at = at > line->arrives_at ? at : line->arrives_at + 1;
		line->arrives_at = at;
	}
	world_sleep(at - world_now);
	while (!machine_hears(from->machine, to->machine)) {
		if (!stands(data))
			return false;
		world_sleep(IO_RETRANSMIT_US);
	}
	return stands(data);
}

/* By which path a request goes; it stands in line for it, if need be. IO_DONE: found. */
static enum io_result path_await(struct io_at at, uint64_t minor, char ret_nqn[224], uint8_t ret_uuid[16],
				 struct path_chosen *ret_path, bool *ret_waited)
{
	struct waiter self = { .at = at, .minor = minor };
	enum io_result result = IO_RETRY;

	*ret_waited = false;
	while (result == IO_RETRY) {
		int found = -1;

		/* With its last path went what waited; one of that name that came since is another one. */
		if (namespace_by_number(io_kernel(at), minor, ret_nqn, ret_uuid))
			found = path_choose(at, ret_nqn, ret_path);
		if (found < 0) {
			result = IO_ERROR;
		} else if (found > 0 && !line_is_long(at, minor, *ret_waited ? &self : NULL)) {
			result = IO_DONE;
		} else {
			if (!*ret_waited)
				line_join(&self);
			*ret_waited = true;
			if (!io_wait(at, found > 0 ? IO_QUEUE_US / 100 : IO_QUEUE_US))
				result = IO_LOST;
		}
	}
	if (*ret_waited)
		line_leave(&self);
	return result;
}

enum io_result io_remote(struct io_at at, uint64_t minor, uint64_t sector, struct io *io)
{
	char nqn[224];
	uint8_t uuid[16];

	for (;;) {
		struct connection_of connection = { .at = at };
		struct io there = *io;
		bool waited;
		enum io_result result = path_await(at, minor, nqn, uuid, &connection.path, &waited);
		struct line *line = waited ? line_get(at.node, minor) : NULL;

		if (result != IO_DONE)
			return result;
		there.export = nqn;
		result = IO_LOST;
		if (travel(at.node, connection.path.to, line, path_stands, &connection))
			result = io_target(connection.path.to, at.node->machine, connection.path.port, nqn, uuid,
					   sector, &there, path_stands, &connection);
		if (result != IO_LOST && !travel(connection.path.to, at.node, NULL, path_stands, &connection))
			result = IO_LOST;
		if (!io_is_there(at))
			return IO_LOST;
		/* An answer comes by the connection that the request went by, or not at all. */
		if (result == IO_DONE && path_stands(&connection)) {
			io->block = there.block;
			return IO_DONE;
		}
		if (result == IO_ERROR && path_stands(&connection)) {
			io->failed = io->failed || there.failed;
			return IO_ERROR;
		}
		if (result == IO_RETRY) {
			if (!io_wait(at, world_between(WORLD_MS, IO_QUEUE_US)))
				return IO_LOST;
			continue;
		}
		/* Unanswered: it waits until the path is lost, then goes to another one. */
		while (path_stands(&connection)) {
			if (!io_wait(at, IO_QUEUE_US))
				return IO_LOST;
		}
	}
}

void io_path_begin(void)
{
	line_count = 0;
	waiters = NULL;
}
