/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes and their coroutines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/memory.h"
#include "tests/sim/net.h"
#include "tests/sim/switch.h"
#include "tests/sim/world.h"

/* No power of two apart: the tops of all stacks would share a few lines of the caches. */
#define STACK_BYTES (((size_t)512 << 10) + 4096 + 576)
#define STACKS_MAX ((size_t)16384)

struct coroutine {
	struct coroutine *next, **at; /* of the process, or spare */
	struct process *process;
	struct context context, back;
	void (*run)(void *data);
	void *data;
	void *stack;
	struct world_event awake;
	bool done;
};

static struct coroutine *running;
static struct coroutine *spare; /* each with its stack */

#if defined(__x86_64__)
__asm__(".text\n"
	".p2align 4\n"
	".globl context_switch\n"
	".hidden context_switch\n"
	".type context_switch, @function\n"
	"context_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq (%rsi), %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size context_switch, . - context_switch\n");
#endif

static void *stack_make(void)
{
	static uint8_t *room;
	static size_t used;

	if (room == NULL) {
		room = memory_room(STACKS_MAX * STACK_BYTES);
		memory_part(room, &used, false);
	}
	used += STACK_BYTES;
	if (used > STACKS_MAX * STACK_BYTES)
		abort();
	return room + used - STACK_BYTES;
}

static struct coroutine *coroutine_make(void)
{
	struct coroutine *coroutine = spare;

	if (coroutine != NULL) {
		spare = coroutine->next;
		coroutine->done = false;
		return coroutine;
	}
	coroutine = calloc(1, sizeof(*coroutine));
	if (coroutine == NULL)
		abort();
	coroutine->stack = stack_make();
	return coroutine;
}

static void coroutine_free(struct coroutine *coroutine)
{
	event_cancel(&coroutine->awake);
	coroutine->next = spare;
	spare = coroutine;
}

static void coroutine_unlink(struct coroutine *coroutine)
{
	*coroutine->at = coroutine->next;
	if (coroutine->next != NULL)
		coroutine->next->at = coroutine->at;
}

static void entry(void)
{
	struct coroutine *self = running;

	self->run(self->data);
	self->done = true;
	context_switch(&self->context, &self->back);
}

struct coroutine *coroutine_self(void)
{
	return running;
}

void coroutine_resume(struct coroutine *coroutine)
{
	struct coroutine *before = running;
	struct process *current = world_current;

	running = coroutine;
	world_current = coroutine->process;
	context_switch(&coroutine->back, &coroutine->context);
	running = before;
	world_current = current;
	if (!coroutine->done)
		return;
	/* A process that was killed meanwhile has let it go already. */
	if (coroutine->process->alive)
		coroutine_unlink(coroutine);
	coroutine_free(coroutine);
}

void coroutine_yield(void)
{
	struct coroutine *self = running;

	context_switch(&self->context, &self->back);
}

static void on_begin(struct world_event *event)
{
	coroutine_resume(event->data);
}

static void on_awake(struct world_event *event)
{
	coroutine_resume(event->data);
}

void coroutine_start(struct process *process, void (*run)(void *data), void *data)
{
	struct coroutine *coroutine = coroutine_make();

	coroutine->process = process;
	coroutine->run = run;
	coroutine->data = data;
	event_init(&coroutine->awake, process, on_awake, coroutine);
	context_make(&coroutine->context, coroutine->stack, STACK_BYTES, entry);
	coroutine->next = process->coroutines;
	coroutine->at = &process->coroutines;
	if (coroutine->next != NULL)
		coroutine->next->at = &coroutine->next;
	process->coroutines = coroutine;
	world_after(0, process, on_begin, coroutine);
}

void world_sleep(uint64_t us)
{
	event_at(&running->awake, world_now + us);
	coroutine_yield();
}

/* --- processes -------------------------------------------------------------------------------------------------- */

static void main_run(void *data)
{
	struct process *process = data;

	process->main(process);
	process->ended = true;
	world_trace("%s ended with status %d", process->name, process->exit_status);
}

struct process *process_start(struct machine *machine, const char *name, void (*main)(struct process *process),
			      void (*killed)(struct process *process), void *data)
{
	struct process *process = calloc(1, sizeof(*process));

	if (process == NULL)
		abort();
	process->machine = machine;
	snprintf(process->name, sizeof(process->name), "%s", name);
	process->alive = true;
	process->main = main;
	process->killed = killed;
	process->data = data;
	process->next = machine->processes;
	machine->processes = process;
	coroutine_start(process, main_run, process);
	return process;
}

/* What it had in memory is not freed: a run ends with its program. */
void process_kill(struct process *process)
{
	struct process **at = &process->machine->processes;

	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	world_trace("kill %s", process->name);
	process->alive = false;
	net_process_lost(process);
	if (process->killed != NULL)
		process->killed(process);
	while (process->coroutines != NULL) {
		struct coroutine *coroutine = process->coroutines;

		process->coroutines = coroutine->next;
		coroutine_free(coroutine);
	}
}
