/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/fault.h"

#include <stdlib.h>

#include "tests/sim/fault_disk.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

static struct event next_fault;
static bool healing;
static uint64_t pause_least, pause_most;
static unsigned weights[16];
static bool splits; /* a run in which nodes are parted from the servers for long, and nothing else happens */

static uint64_t how_long(void)
{
	/* Most are short against a lease, some last. */
	switch (world_below(4)) {
	case 0:
		return world_between(20 * WORLD_MS, 600 * WORLD_MS);
	case 1:
	case 2:
		return world_between(600 * WORLD_MS, 4 * WORLD_SECOND);
	default:
		return world_between(4 * WORLD_SECOND, 25 * WORLD_SECOND);
	}
}

static struct server_machine *any_server(void)
{
	struct server_machine *leader = server_leader();

	return leader != NULL && world_chance(400) ? leader : &server_machines[world_below(server_count)];
}

static struct storage *any_node(void)
{
	return &nodes[world_below(node_count)];
}

static void on_server_back(struct event *event)
{
	struct server_machine *server = event->data;

	machine_power_on(server->machine);
	/* It would end at once, and say why. */
	if (server->process == NULL && fault_server_is_full(server->machine))
		world_after(WORLD_SECOND, NULL, on_server_back, server);
	else if (server->process == NULL)
		server_start(server);
}

static void server_dies(void)
{
	struct server_machine *server = any_server();

	if (server->process == NULL)
		return;
	server_kill(server);
	world_after(how_long(), NULL, on_server_back, server);
}

static void server_loses_power(void)
{
	struct server_machine *server = any_server();

	if (!server->machine->up)
		return;
	server_power_cut(server);
	world_after(how_long(), NULL, on_server_back, server);
}

static void on_node_back(struct event *event)
{
	struct storage *node = event->data;

	if (!node->machine->up)
		node_power_on(node);
	else if (node->process == NULL)
		node_start(node);
}

static void agent_dies(void)
{
	struct storage *node = any_node();

	if (node->process == NULL)
		return;
	node_kill(node);
	world_after(how_long(), NULL, on_node_back, node);
}

static void node_loses_power(void)
{
	struct storage *node = any_node();

	if (!node->machine->up || fault_disk_owes(node))
		return;
	node_power_cut(node);
	world_after(how_long(), NULL, on_node_back, node);
}

static void cut(struct machine *from, struct machine *to, uint64_t until)
{
	world_trace("cut %s to %s until %llu ms", from->name, to->name, (unsigned long long)(until / WORLD_MS));
	if (from->cut_to[to->index] < until)
		from->cut_to[to->index] = until;
}

/* Between two machines, in one direction or both. */
static void link_cut(void)
{
	struct machine *a = &world_machines[world_below(world_machine_count)];
	struct machine *b = &world_machines[world_below(world_machine_count)];
	uint64_t until = world_now + how_long();

	if (a == b)
		return;
	cut(a, b, until);
	if (world_chance(700))
		cut(b, a, until);
}

/* A machine from the servers, from the nodes, or from all. */
static void machine_cut(void)
{
	struct machine *a = world_chance(300) ? any_server()->machine : any_node()->machine;
	uint64_t until = world_now + how_long();
	unsigned from = (unsigned)world_below(3);
	bool out = !world_chance(150), in = !out || !world_chance(150);

	for (size_t i = 0; i < world_machine_count; i++) {
		struct machine *b = &world_machines[i];
		bool server = b->index < server_count;

		if (a == b || (from == 0 && !server) || (from == 1 && server))
			continue;
		if (out)
			cut(a, b, until);
		if (in)
			cut(b, a, until);
	}
}

/* The cluster in two parts; hosts and clients reach both. */
static void partition(void)
{
	uint64_t until = world_now + (splits ? world_between(5 * WORLD_SECOND, 20 * WORLD_SECOND) : how_long());
	bool side[WORLD_MACHINES], both = splits || !world_chance(150);
	size_t count = server_count + node_count;
	unsigned share = (unsigned)world_between(100, 500);

	for (size_t i = 0; i < count; i++)
		side[i] = (!splits || i >= server_count) && world_chance(share);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			if (!side[i] || side[j])
				continue;
			cut(&world_machines[i], &world_machines[j], until);
			if (both)
				cut(&world_machines[j], &world_machines[i], until);
		}
	}
}

static void process_stops(void)
{
	struct process *process = world_chance(300) ? any_server()->process : any_node()->process;

	if (process == NULL)
		return;
	process->stopped_until = world_now + how_long();
	world_trace("stop %s until %llu ms", process->name, (unsigned long long)(process->stopped_until / WORLD_MS));
}

static void machine_freezes(void)
{
	struct machine *machine = world_chance(200) ? any_server()->machine : any_node()->machine;

	if (!machine->up)
		return;
	machine->frozen_until = world_now + how_long();
	world_trace("freeze %s until %llu ms", machine->name, (unsigned long long)(machine->frozen_until / WORLD_MS));
}

static void clock_steps(void)
{
	struct machine *machine = &world_machines[world_below(world_machine_count)];
	int64_t step = (int64_t)world_below(7200 * WORLD_SECOND) - (int64_t)(3600 * WORLD_SECOND);

	machine->wall_us += step;
	world_trace("wall clock of %s steps by %lld ms", machine->name, (long long)step / 1000);
}

static void server_disk_slow(void)
{
	fault_server_disk_slow(how_long());
}

static void server_disk_full(void)
{
	fault_server_disk_full(how_long());
}

static void disk_slow(void)
{
	fault_disk_slow(how_long());
}

static void disk_bad(void)
{
	fault_disk_bad(how_long());
}

static void (*const faults[])(void) = {
	server_dies,   server_loses_power, agent_dies,	node_loses_power, link_cut,	    partition, machine_cut,
	process_stops, machine_freezes,	   clock_steps, server_disk_slow, server_disk_full, disk_slow, disk_bad,
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void on_fault(struct event *event)
{
	unsigned total = 0, at;

	if (healing)
		return;
	for (size_t i = 0; i < FAULTS; i++)
		total += weights[i];
	at = (unsigned)world_below(total);
	for (size_t i = 0; i < FAULTS; i++) {
		if (at < weights[i]) {
			faults[i]();
			break;
		}
		at -= weights[i];
	}
	event_at(event, world_now + world_between(pause_least, pause_most));
}

void fault_begin(void)
{
	/* A run has some kinds often and others never: so they meet in ways that a mean mixture would not show. */
	for (size_t i = 0; i < FAULTS; i++)
		weights[i] = world_chance(300) ? 0 : (unsigned)world_between(1, 10);
	weights[world_below(FAULTS - 1)] += 5;
	splits = world_chance(200);
	for (size_t i = 0; i < FAULTS && splits; i++)
		weights[i] = faults[i] == partition;
	pause_least = world_between(50 * WORLD_MS, 3 * WORLD_SECOND);
	pause_most = pause_least + world_between(100 * WORLD_MS, 8 * WORLD_SECOND);
	event_init(&next_fault, NULL, on_fault, NULL);
	event_at(&next_fault, world_now + world_between(pause_least, pause_most));
}

void fault_heal(void)
{
	world_trace("heal");
	healing = true;
	net_heal();
	fault_disk_heal();
	for (size_t i = 0; i < world_machine_count; i++) {
		world_machines[i].frozen_until = 0;
		for (struct process *process = world_machines[i].processes; process != NULL; process = process->next)
			process->stopped_until = 0;
	}
	for (size_t i = 0; i < server_count; i++) {
		struct event event = { .data = &server_machines[i] };

		/* One that ended by itself stays so: that is an error. */
		on_server_back(&event);
	}
	for (size_t i = 0; i < node_count; i++) {
		struct event event = { .data = &nodes[i] };

		on_node_back(&event);
	}
}
