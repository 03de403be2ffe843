/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/fault.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fault_disk.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

/* Streams of chance (world_stream_begin()). */
#define STREAM_LIST UINT64_C(0)
#define STREAM_FAULTS UINT64_C(1)

static struct fault_options options;
static struct fault {
	uint64_t at;
	size_t kind;
} list[FAULTS_MAX];
static size_t list_count, list_next;
static struct world_event next_fault;
static bool healing;
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

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
	char text[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	world_trace("fault %zu: %s", list_next - 1, text);
	if (options.tell)
		printf("fault %zu at %" PRIu64 ".%03" PRIu64 " s: %s\n", list_next - 1, world_now / WORLD_SECOND,
		       world_now % WORLD_SECOND / WORLD_MS, text);
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

static void on_server_back(struct world_event *event)
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
	uint64_t for_us;

	if (server->process == NULL)
		return;
	for_us = how_long();
	tell("%s dies for %" PRIu64 " ms", server->machine->name, for_us / WORLD_MS);
	server_kill(server);
	world_after(for_us, NULL, on_server_back, server);
}

static void server_loses_power(void)
{
	struct server_machine *server = any_server();
	uint64_t for_us;

	if (!server->machine->up)
		return;
	for_us = how_long();
	tell("%s loses power for %" PRIu64 " ms", server->machine->name, for_us / WORLD_MS);
	server_power_cut(server);
	world_after(for_us, NULL, on_server_back, server);
}

static void on_node_back(struct world_event *event)
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
	uint64_t for_us;

	if (node->process == NULL)
		return;
	for_us = how_long();
	tell("the agent of %s dies for %" PRIu64 " ms", node->name, for_us / WORLD_MS);
	node_kill(node);
	world_after(for_us, NULL, on_node_back, node);
}

static void node_loses_power(void)
{
	struct storage *node = any_node();
	uint64_t for_us;

	if (!node->machine->up || fault_disk_owes(node))
		return;
	for_us = how_long();
	tell("%s loses power for %" PRIu64 " ms", node->name, for_us / WORLD_MS);
	node_power_cut(node);
	world_after(for_us, NULL, on_node_back, node);
}

static void cut(struct machine *from, struct machine *to, uint64_t until)
{
	if (from->cut_to[to->index] < until)
		from->cut_to[to->index] = until;
}

/* Between two machines, in one direction or both. */
static void link_cut(void)
{
	struct machine *a = &world_machines[world_below(world_machine_count)];
	struct machine *b = &world_machines[world_below(world_machine_count)];
	uint64_t until = world_now + how_long();
	bool both;

	if (a == b)
		return;
	both = world_chance(700);
	tell("%s %s %s is cut for %" PRIu64 " ms", a->name, both ? "and" : "to", b->name,
	     (until - world_now) / WORLD_MS);
	cut(a, b, until);
	if (both)
		cut(b, a, until);
}

/* A machine from the servers, from the nodes, or from all. */
static void machine_cut(void)
{
	struct machine *a = world_chance(300) ? any_server()->machine : any_node()->machine;
	uint64_t until = world_now + how_long();
	unsigned from = (unsigned)world_below(3);
	bool out = !world_chance(150), in = !out || !world_chance(150);

	tell("%s is cut %s %s for %" PRIu64 " ms", a->name,
	     !in    ? "to"
	     : !out ? "from"
		    : "off",
	     from == 0	 ? "the servers"
	     : from == 1 ? "the nodes"
			 : "all",
	     (until - world_now) / WORLD_MS);
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
	size_t count = server_count + node_count, used = 0;
	unsigned share = (unsigned)world_between(100, 500);
	char names[160] = "";

	for (size_t i = 0; i < count; i++) {
		side[i] = (!splits || i >= server_count) && world_chance(share);
		if (side[i] && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s", world_machines[i].name);
	}
	tell("cut %s the others for %" PRIu64 " ms:%s", both ? "off" : "to", (until - world_now) / WORLD_MS, names);
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
	uint64_t until;

	if (process == NULL)
		return;
	until = world_now + how_long();
	if (process->stopped_until < until)
		process->stopped_until = until;
	tell("the process of %s is stopped for %" PRIu64 " ms", process->name,
	     (process->stopped_until - world_now) / WORLD_MS);
}

static void machine_freezes(void)
{
	struct machine *machine = world_chance(200) ? any_server()->machine : any_node()->machine;
	uint64_t until;

	if (!machine->up)
		return;
	until = world_now + how_long();
	if (machine->frozen_until < until)
		machine->frozen_until = until;
	tell("%s freezes for %" PRIu64 " ms", machine->name, (machine->frozen_until - world_now) / WORLD_MS);
}

static void clock_steps(void)
{
	struct machine *machine = &world_machines[world_below(world_machine_count)];
	int64_t step = (int64_t)world_below(7200 * WORLD_SECOND) - (int64_t)(3600 * WORLD_SECOND);

	machine->wall_us += step;
	tell("the wall clock of %s steps by %" PRId64 " ms", machine->name, step / 1000);
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

static const struct kind {
	const char *name;
	void (*happens)(void);
} kinds[] = {
	{ "server_dies", server_dies },
	{ "server_loses_power", server_loses_power },
	{ "agent_dies", agent_dies },
	{ "node_loses_power", node_loses_power },
	{ "link_cut", link_cut },
	{ "partition", partition },
	{ "machine_cut", machine_cut },
	{ "process_stops", process_stops },
	{ "machine_freezes", machine_freezes },
	{ "clock_steps", clock_steps },
	{ "server_disk_slow", server_disk_slow },
	{ "server_disk_full", server_disk_full },
	{ "disk_slow", disk_slow },
	{ "disk_bad", disk_bad },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void on_fault(struct world_event *event)
{
	size_t number = list_next++;

	if (healing)
		return;
	*options.turns = list_next;
	if (options.only == NULL || options.only[number]) {
		world_stream_begin(STREAM_FAULTS + number);
		kinds[list[number].kind].happens();
		world_stream_end();
	}
	if (list_next < list_count)
		event_at(event, list[list_next].at);
}

static size_t kind_choose(const unsigned *weights, unsigned total)
{
	unsigned at = (unsigned)world_below(total);
	size_t kind = 0;

	while (at >= weights[kind])
		at -= weights[kind++];
	return kind;
}

static bool is_named(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = names; (at = strstr(at, name)) != NULL; at += length) {
		if ((at == names || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* Those that somebody asked for, in place of what the seed says; a run of none would show nothing. */
static void kinds_wanted(const char *names, unsigned weights[KINDS])
{
	size_t wanted = 0;

	for (size_t i = 0; i < KINDS; i++) {
		weights[i] = is_named(names, kinds[i].name) ? (unsigned)world_between(1, 10) : 0;
		wanted += weights[i] > 0;
	}
	if (wanted == 0)
		world_fail("DNVME_SIM_FAULTS has no kind of fault that there is: %s", names);
}

/* A run has some kinds often and others never: so they meet in ways that a mean mixture would not show. */
static void list_make(void)
{
	const char *names = getenv("DNVME_SIM_FAULTS");
	uint64_t at = world_now, least, most;
	unsigned weights[KINDS], total = 0;

	for (size_t i = 0; i < KINDS; i++)
		weights[i] = world_chance(300) ? 0 : (unsigned)world_between(1, 10);
	weights[world_below(KINDS - 1)] += 5;
	splits = world_chance(200);
	for (size_t i = 0; i < KINDS && splits; i++)
		weights[i] = kinds[i].happens == partition;
	if (names != NULL) {
		splits = false;
		kinds_wanted(names, weights);
	}
	for (size_t i = 0; i < KINDS; i++)
		total += weights[i];
	least = world_between(50 * WORLD_MS, 3 * WORLD_SECOND) * options.pace / 100;
	most = least + world_between(100 * WORLD_MS, 8 * WORLD_SECOND) * options.pace / 100;
	while (list_count < FAULTS_MAX) {
		at += world_between(least, most);
		if (at >= world_now + options.us)
			break;
		list[list_count++] = (struct fault){ at, kind_choose(weights, total) };
	}
}

void fault_begin(const struct fault_options *chosen)
{
	options = *chosen;
	world_stream_begin(STREAM_LIST);
	list_make();
	world_stream_end();
	event_init(&next_fault, NULL, on_fault, NULL);
	if (list_count > 0)
		event_at(&next_fault, list[0].at);
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
	world_release();
	for (size_t i = 0; i < server_count; i++) {
		struct world_event event = { .data = &server_machines[i] };

		/* One that ended by itself stays so: that is an error. */
		on_server_back(&event);
	}
	for (size_t i = 0; i < node_count; i++) {
		struct world_event event = { .data = &nodes[i] };

		on_node_back(&event);
	}
}
