/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/sim/net.h"
#include "tests/sim/trace.h"

struct process *world_current;
uint64_t world_now;
struct machine world_machines[WORLD_MACHINES];
size_t world_machine_count;
uint64_t world_events;
struct world_failure *world_failure;

/* An event in the heap; what is compared lies there, too. */
struct waiting {
	uint64_t at, sequence;
	struct world_event *event;
};

static uint64_t random_state[4], kept_state[4]; /* kept: while there is a stream */
static struct waiting *heap;
static size_t heap_count, heap_size;
static uint64_t next_sequence;
static uint64_t seed_of_run;

/* --- chance ----------------------------------------------------------------------------------------------------- */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t value, int by)
{
	return (value << by) | (value >> (64 - by));
}

uint64_t world_random(void)
{
	uint64_t result = rotate(random_state[1] * 5, 7) * 9, t = random_state[1] << 17;

	random_state[2] ^= random_state[0];
	random_state[3] ^= random_state[1];
	random_state[1] ^= random_state[2];
	random_state[0] ^= random_state[3];
	random_state[2] ^= t;
	random_state[3] = rotate(random_state[3], 45);
	return result;
}

uint64_t world_below(uint64_t bound)
{
	return bound == 0 ? 0 : world_random() % bound;
}

uint64_t world_between(uint64_t least, uint64_t greatest)
{
	if (greatest < least)
		abort();
	return least + world_below(greatest - least + 1);
}

bool world_chance(unsigned per_mille)
{
	return world_below(1000) < per_mille;
}

void world_seed(uint64_t seed, uint64_t chance)
{
	uint64_t state = seed ^ chance << 48;

	seed_of_run = seed;
	for (size_t i = 0; i < 4; i++)
		random_state[i] = splitmix(&state);
}

void world_begin(uint64_t seed, bool verbose)
{
	world_seed(seed, 0);
	world_now = 0;
	trace_begin(seed, verbose);
}

void world_stream_begin(uint64_t number)
{
	uint64_t state = seed_of_run ^ (number + 1) * UINT64_C(0xd1342543de82ef95);

	memcpy(kept_state, random_state, sizeof(kept_state));
	for (size_t i = 0; i < 4; i++)
		random_state[i] = splitmix(&state);
}

void world_stream_end(void)
{
	memcpy(random_state, kept_state, sizeof(random_state));
}

/* --- the end of a run that fails -------------------------------------------------------------------------------- */

void world_fail(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	world_failure->at = world_now;
	va_start(arguments, format);
	vsnprintf(world_failure->text, sizeof(world_failure->text), format, arguments);
	va_end(arguments);
	/* The format, and what it begins with when that is an argument. */
	world_failure->check = XXH64(format, strlen(format), 1);
	if (strncmp(format, "%s:", 3) == 0)
		world_failure->check =
			XXH64(world_failure->text, strcspn(world_failure->text, ":"), world_failure->check);
	_Exit(1);
}

/* --- events ----------------------------------------------------------------------------------------------------- */

#define CHILDREN 4 /* of each place: fewer steps down than with two */

static bool earlier(const struct waiting *a, const struct waiting *b)
{
	/* As one number: which of two comes first can hardly be foretold, so a branch costs more. */
	return ((unsigned __int128)a->at << 64 | a->sequence) < ((unsigned __int128)b->at << 64 | b->sequence);
}

static void place(const struct waiting *waiting, size_t at)
{
	heap[at] = *waiting;
	waiting->event->place = at;
}

static void sift_up(struct waiting waiting, size_t at)
{
	while (at > 0 && earlier(&waiting, &heap[(at - 1) / CHILDREN])) {
		place(&heap[(at - 1) / CHILDREN], at);
		at = (at - 1) / CHILDREN;
	}
	place(&waiting, at);
}

static void sift_down(struct waiting waiting, size_t at)
{
	for (;;) {
		size_t first = CHILDREN * at + 1, child = first;

		if (first >= heap_count)
			break;
		for (size_t i = first + 1; i < first + CHILDREN && i < heap_count; i++) {
			if (earlier(&heap[i], &heap[child]))
				child = i;
		}
		if (!earlier(&heap[child], &waiting))
			break;
		place(&heap[child], at);
		at = child;
	}
	place(&waiting, at);
}

static void heap_remove(struct world_event *event)
{
	size_t at = event->place;
	struct waiting last = heap[--heap_count];

	event->place = SIZE_MAX;
	if (last.event == event)
		return;
	if (at > 0 && earlier(&last, &heap[(at - 1) / CHILDREN]))
		sift_up(last, at);
	else
		sift_down(last, at);
}

static void heap_add(struct world_event *event)
{
	if (heap_count == heap_size) {
		heap_size = heap_size == 0 ? 1024 : heap_size * 2;
		heap = realloc(heap, heap_size * sizeof(*heap));
		if (heap == NULL)
			abort();
	}
	sift_up((struct waiting){ event->at, event->sequence, event }, heap_count++);
}

void event_init(struct world_event *event, struct process *owner, void (*run)(struct world_event *event), void *data)
{
	*event = (struct world_event){ .owner = owner, .run = run, .data = data, .place = SIZE_MAX };
}

void event_at(struct world_event *event, uint64_t at)
{
	if (event_is_waiting(event))
		heap_remove(event);
	event->at = at < world_now ? world_now : at;
	event->held = false;
	event->sequence = next_sequence++;
	heap_add(event);
}

void event_cancel(struct world_event *event)
{
	if (event_is_waiting(event))
		heap_remove(event);
}

void world_after(uint64_t delay, struct process *owner, void (*run)(struct world_event *event), void *data)
{
	struct world_event *event = malloc(sizeof(*event));

	if (event == NULL)
		abort();
	event_init(event, owner, run, data);
	event->dynamic = true;
	event_at(event, world_now + delay);
}

const struct world_event *world_next(void)
{
	return heap_count > 0 ? heap[0].event : NULL;
}

/* When the owner of an event can run again; 0: it can. */
static uint64_t held_until(const struct process *process)
{
	uint64_t until = process->stopped_until;

	if (process->machine->frozen_until > until)
		until = process->machine->frozen_until;
	return until > world_now ? until : 0;
}

static void run_one(struct world_event *event)
{
	uint64_t held;

	heap_remove(event);
	world_now = event->at;
	if (event->owner != NULL && !event->owner->alive) {
		if (event->dynamic)
			free(event);
		return;
	}
	held = event->owner != NULL ? held_until(event->owner) : 0;
	if (held > 0) {
		/* In their old order: the number stays. */
		event->at = held;
		event->held = true;
		heap_add(event);
		return;
	}
	world_events++;
	world_current = event->owner;
	if (event->dynamic) {
		struct world_event copy = *event;

		free(event);
		copy.run(&copy);
	} else {
		event->run(event);
	}
	world_current = NULL;
}

void world_release(void)
{
	for (size_t i = 0; i < heap_count; i++) {
		struct world_event *event = heap[i].event;

		if (event->held && held_until(event->owner) == 0)
			heap[i].at = event->at = world_now;
	}
	for (size_t i = heap_count / CHILDREN + 1; i-- > 0;) {
		if (i < heap_count)
			sift_down(heap[i], i);
	}
}

bool world_run(uint64_t until)
{
	while (heap_count > 0 && heap[0].at <= until)
		run_one(heap[0].event);
	if (heap_count == 0)
		return false;
	world_now = until;
	return true;
}

/* --- machines --------------------------------------------------------------------------------------------------- */

static void boot_id_make(struct machine *machine)
{
	for (size_t i = 0; i < 16; i += 8) {
		uint64_t value = world_random();

		memcpy(machine->boot_id + i, &value, 8);
	}
	machine->boots++;
}

struct machine *machine_make(const char *name, uint32_t ip)
{
	struct machine *machine = &world_machines[world_machine_count];

	if (world_machine_count == WORLD_MACHINES)
		abort();
	*machine = (struct machine){ .index = world_machine_count++, .ip = ip, .up = true };
	snprintf(machine->name, sizeof(machine->name), "%s", name);
	boot_id_make(machine);
	machine->boot_us = world_between(20 * WORLD_SECOND, 100000 * WORLD_SECOND);
	machine->wall_us = INT64_C(1795000000) * (int64_t)WORLD_SECOND + (int64_t)world_below(2 * WORLD_SECOND);
	machine->drift_ppm = (int64_t)world_below(201) - 100;
	return machine;
}

struct machine *machine_by_ip(uint32_t ip)
{
	for (size_t i = 0; i < world_machine_count; i++) {
		if (world_machines[i].ip == ip)
			return &world_machines[i];
	}
	return NULL;
}

uint64_t machine_boot_us(const struct machine *machine)
{
	return machine->boot_us + world_now + (uint64_t)((int64_t)world_now * machine->drift_ppm / 1000000);
}

uint64_t machine_world_us(const struct machine *machine, uint64_t boot_us)
{
	uint64_t now = machine_boot_us(machine), ahead;

	if (boot_us <= now)
		return world_now;
	ahead = boot_us - now;
	/* Rounded up: the clock shows at least that then. */
	return world_now + ahead + 1 + (machine->drift_ppm < 0 ? ahead * (uint64_t)-machine->drift_ppm / 999000 : 0);
}

bool machine_runs(const struct machine *machine)
{
	return machine->up && machine->frozen_until <= world_now;
}

bool machine_hears(const struct machine *from, const struct machine *to)
{
	return machine_runs(from) && machine_runs(to) && (from == to || from->cut_to[to->index] <= world_now);
}

void machine_power_off(struct machine *machine)
{
	if (!machine->up)
		return;
	world_trace("power off %s", machine->name);
	machine->up = false;
	net_machine_lost(machine);
	while (machine->processes != NULL)
		process_kill(machine->processes);
}

void machine_power_on(struct machine *machine)
{
	if (machine->up)
		return;
	machine->up = true;
	machine->frozen_until = 0;
	boot_id_make(machine);
	machine->boot_us = 5 * WORLD_SECOND - world_now - (uint64_t)((int64_t)world_now * machine->drift_ppm / 1000000);
	world_trace("power on %s", machine->name);
}
