/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fabric.h"
#include "tests/sim/net.h"

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
 * the order in which they came, and by one connection. A newer one stands in line behind them:
 * in the kernel it may overtake them in the moment between the path and that work, which is shorter than the two
 * requests of a host that it would take to do harm (docs/FAILURES.md, "A stale write", "What remains"). */
static struct waiter {
	struct waiter *next;
	struct io_at at;
	uint64_t minor;
} * waiters;

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

/* An answer on its way; sent again while the network is cut, as long as the connection stands. */
static bool answer_arrives(struct storage *from, struct storage *to, struct io_wire *wire)
{
	world_sleep(net_delay(from->machine, to->machine));
	while (!machine_hears(from->machine, to->machine)) {
		if (!io_wire_stands(wire))
			return false;
		world_sleep(IO_RETRANSMIT_US);
	}
	return io_wire_stands(wire);
}

/* By which path a request goes; it stands in line for it, if need be. IO_DONE: found. */
static enum io_result path_await(struct io_at at, uint64_t minor, char ret_nqn[224], uint8_t ret_uuid[16],
				 struct path_chosen *ret_path)
{
	struct waiter self = { .at = at, .minor = minor };
	enum io_result result = IO_RETRY;
	bool waited = false;

	while (result == IO_RETRY) {
		int found = -1;

		/* With its last path went what waited; one of that name that came since is another one. */
		if (namespace_by_number(io_kernel(at), minor, ret_nqn, ret_uuid))
			found = path_choose(at, ret_nqn, ret_path);
		if (found < 0) {
			result = IO_ERROR;
		} else if (found > 0 && !line_is_long(at, minor, waited ? &self : NULL)) {
			result = IO_DONE;
		} else {
			if (!waited)
				line_join(&self);
			waited = true;
			if (!io_wait(at, found > 0 ? IO_QUEUE_US / 100 : IO_QUEUE_US))
				result = IO_LOST;
		}
	}
	if (waited)
		line_leave(&self);
	return result;
}

/* IO_LOST: there was no answer. */
static enum io_result send(struct io_at at, const struct path_chosen *path, struct io_wire *wire, const char *nqn,
			   const uint8_t *uuid, uint64_t sector, struct io *io)
{
	struct io_way way = { .from = at.node->machine, .stands = io_wire_stands, .data = wire, .wire = wire };
	struct io there = *io;
	enum io_result result;

	there.export = nqn;
	if (!io_wire_send(wire, net_delay(at.node->machine, path->to->machine)))
		return IO_LOST;
	result = io_target(path->to, &way, path->port, nqn, uuid, sector, &there);
	/* An answer comes by the connection that the request went by, or not at all. */
	if (result == IO_LOST || !answer_arrives(path->to, at.node, wire))
		return IO_LOST;
	if (result == IO_DONE)
		io->block = there.block;
	if (result == IO_ERROR)
		io->failed = io->failed || there.failed;
	return result;
}

/* An unanswered one waits until the path is lost, then goes to another one. */
static bool wire_await_end(struct io_at at, struct io_wire *wire)
{
	while (io_wire_stands(wire)) {
		if (!io_wait(at, IO_QUEUE_US))
			return false;
	}
	return true;
}

enum io_result io_remote(struct io_at at, uint64_t minor, uint64_t sector, struct io *io)
{
	struct path_chosen path;
	char nqn[224];
	uint8_t uuid[16];

	for (;;) {
		enum io_result result = path_await(at, minor, nqn, uuid, &path);
		struct io_wire *wire;
		bool again;

		if (result != IO_DONE)
			return result;
		wire = io_wire_get(at.node, path.to, path.instance, path.generation);
		result = send(at, &path, wire, nqn, uuid, sector, io);
		again = io_is_there(at) && (result == IO_RETRY ? io_wait(at, world_between(WORLD_MS, IO_QUEUE_US))
							       : result == IO_LOST && wire_await_end(at, wire));
		io_wire_put(wire);
		if (result == IO_DONE || result == IO_ERROR)
			return io_is_there(at) ? result : IO_LOST;
		if (!again)
			return IO_LOST;
	}
}

void io_path_begin(void)
{
	waiters = NULL;
}
