/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include "tests/sim/fabric.h"
#include "tests/sim/net.h"

#define WIRES_MAX 1024

struct packet {
	struct packet *next;
	uint64_t at; /* when it is there, or is sent again */
};

struct io_wire {
	struct storage *from, *to;
	uint64_t instance, generation;
	struct packet *first;
	unsigned users;
};

static struct io_wire wires[WIRES_MAX];
static size_t wire_count;

bool io_wire_stands(void *data)
{
	const struct io_wire *wire = data;
	uint64_t generation;

	return fabric_path_generation(wire->from, wire->instance, &generation) && generation == wire->generation;
}

struct io_wire *io_wire_get(struct storage *from, struct storage *to, uint64_t instance, uint64_t generation)
{
	struct io_wire *free = NULL;

	for (size_t i = 0; i < wire_count; i++) {
		struct io_wire *wire = &wires[i];

		if (wire->from == from && wire->instance == instance && wire->generation == generation) {
			wire->users++;
			return wire;
		}
		if (free == NULL && wire->users == 0)
			free = wire;
	}
	if (free == NULL && wire_count == WIRES_MAX)
		world_fail("more connections than the simulation has room for");
	if (free == NULL)
		free = &wires[wire_count++];
	*free = (struct io_wire){ .from = from, .to = to, .instance = instance, .generation = generation, .users = 1 };
	return free;
}

void io_wire_put(struct io_wire *wire)
{
	wire->users--;
}

static void packet_join(struct io_wire *wire, struct packet *packet)
{
	struct packet **last = &wire->first;

	for (; *last != NULL; last = &(*last)->next) {
		if (packet->at <= (*last)->at)
			packet->at = (*last)->at + 1;
	}
	*last = packet;
}

static void packet_leave(struct io_wire *wire, struct packet *packet)
{
	struct packet **place = &wire->first;

	while (*place != packet)
		place = &(*place)->next;
	*place = packet->next;
}

bool io_wire_send(struct io_wire *wire, uint64_t delay_us)
{
	struct packet self = { .at = world_now + delay_us };
	bool stands;

	packet_join(wire, &self);
	for (;;) {
		world_sleep(self.at - world_now);
		stands = io_wire_stands(wire);
		if (stands && !machine_hears(wire->from->machine, wire->to->machine))
			self.at = world_now + IO_RETRANSMIT_US;
		else if (stands && wire->first != &self)
			self.at = (wire->first->at > world_now ? wire->first->at : world_now) + 1;
		else
			break;
	}
	packet_leave(wire, &self);
	return stands;
}

void io_wire_begin(void)
{
	wire_count = 0;
}
