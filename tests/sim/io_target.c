/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_LIMIT_MS 1000u /* as agent/backend/linux/nvmet.c has it */
#define INFLIGHT_MAX 2048

/* Requests that a target has taken, by export; and how often its connections were cut. */
static struct inflight {
	struct storage *node;
	char nqn[224];
	unsigned count, cuts;
} inflights[INFLIGHT_MAX];
static size_t inflight_count;

static struct inflight *inflight_get(struct storage *node, const char *nqn)
{
	for (size_t i = 0; i < inflight_count; i++) {
		if (inflights[i].node == node && strcmp(inflights[i].nqn, nqn) == 0)
			return &inflights[i];
	}
	if (inflight_count == INFLIGHT_MAX)
		world_fail("more exports than the simulation has room for");
	inflights[inflight_count].node = node;
	inflights[inflight_count].count = inflights[inflight_count].cuts = 0;
	snprintf(inflights[inflight_count].nqn, sizeof(inflights[0].nqn), "%s", nqn);
	return &inflights[inflight_count++];
}

const unsigned *io_cuts(struct storage *node, const char *nqn)
{
	return &inflight_get(node, nqn)->cuts;
}

void io_cut(struct storage *node, const char *nqn)
{
	inflight_get(node, nqn)->cuts++;
}

/* The data of a write that was taken. It comes behind the command, so a cut may come between. */
static bool data_arrives(struct io_at at, const struct io_way *way)
{
	uint64_t delay_us = world_between(10, 400);

	if (way->wire != NULL)
		return io_wire_send(way->wire, delay_us) && io_is_there(at);
	if (!io_wait(at, delay_us))
		return false;
	while (!machine_hears(way->from, at.node->machine)) {
		if (!way->stands(way->data) || !io_wait(at, IO_RETRANSMIT_US))
			return false;
	}
	return true;
}

enum io_result io_target(struct storage *node, const struct io_way *way, uint64_t port, const char *nqn,
			 const uint8_t *uuid, uint64_t sector, struct io *io)
{
	struct io_at at = { node, node->machine->boots };
	struct kernel_sim_namespaces *namespaces;
	struct process *before = world_current;
	struct inflight *inflight;
	char device[128] = "";
	enum io_result result;
	bool goes_on, optimized = false;
	unsigned cuts;

	if (!io_is_there(at) || !way->stands(way->data))
		return IO_LOST;
	namespaces = malloc(sizeof(*namespaces));
	if (namespaces == NULL)
		abort();
	node_enter(node);
	goes_on = kernel_sim_goes_on(node->kernel, port, nqn, namespaces);
	world_current = before;
	for (size_t i = 0; goes_on && i < namespaces->count; i++) {
		if (uuid != NULL && memcmp(namespaces->items[i].uuid, uuid, 16) != 0)
			continue;
		optimized = namespaces->items[i].optimized;
		snprintf(device, sizeof(device), "%s", namespaces->items[i].device);
	}
	free(namespaces);
	if (!goes_on) {
		/* Its packet is answered with a reset: the connection is gone, whatever comes next. */
		inflight_get(node, nqn)->cuts++;
		return IO_LOST;
	}
	if (!optimized || device[0] == '\0')
		return IO_RETRY;
	inflight = inflight_get(node, nqn);
	inflight->count++;
	cuts = inflight->cuts;
	/* It has passed the check and waits for its data. */
	result = data_arrives(at, way) ? IO_DONE : IO_LOST;
	inflight = inflight_get(node, nqn);
	/* With its connection the data is lost, or had come. */
	if (result == IO_DONE && inflight->cuts != cuts && world_chance(500))
		result = IO_LOST;
	if (result == IO_DONE)
		result = io_device(at, device, sector, io);
	inflight = inflight_get(node, nqn);
	if (inflight->count > 0)
		inflight->count--;
	/* Nothing is answered over a connection that is gone, however soon the export is linked again. */
	return inflight->cuts == cuts ? result : IO_LOST;
}

int io_target_drain(struct storage *node, const char *nqn, struct error *error)
{
	uint64_t end_us = world_now + QUIET_LIMIT_MS * WORLD_MS;

	while (inflight_get(node, nqn)->count > 0) {
		if (world_now >= end_us)
			return error_set(error, ERROR_UNAVAILABLE, "requests to %s are under way", nqn);
		world_sleep(WORLD_MS);
	}
	return 0;
}

void io_target_begin(void)
{
	inflight_count = 0;
}
