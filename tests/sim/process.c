/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes and their coroutines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/sim/net.h"
#include "tests/sim/world.h"

#define STACK_BYTES (512u << 10)

struct coroutine {
	struct coroutine *next;
	struct process *process;
	ucontext_t context, back;
	void (*run)(void *data);
	void *data;
	void *stack;
	bool done;
};

struct stack {
	struct stack *next;
};

static struct coroutine *running;
static struct stack *spare_stacks;

static void *stack_get(void)
{
	void *stack = spare_stacks;

	if (stack != NULL) {
		spare_stacks = spare_stacks->next;
		return stack;
	}
	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stack == MAP_FAILED)
		abort();
	return stack;
}

static void coroutine_free(struct coroutine *coroutine)
{
	struct stack *stack = coroutine->stack;

	stack->next = spare_stacks;
	spare_stacks = stack;
	free(coroutine);
}

static void unlink_coroutine(struct coroutine *coroutine)
{
	struct coroutine **at = &coroutine->process->coroutines;

	while (*at != coroutine)
		at = &(*at)->next;
	*at = coroutine->next;
}

static void entry(void)
{
	struct coroutine *self = running;

	self->run(self->data);
	self->done = true;
	swapcontext(&self->context, &self->back);
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
	swapcontext(&coroutine->back, &coroutine->context);
	running = before;
	world_current = current;
	if (!coroutine->done)
		return;
	/* A process that was killed meanwhile has let it go already. */
	if (coroutine->process->alive)
		unlink_coroutine(coroutine);
	coroutine_free(coroutine);
}

void coroutine_yield(void)
{
	struct coroutine *self = running;

	swapcontext(&self->context, &self->back);
}

static void on_begin(struct event *event)
{
	coroutine_resume(event->data);
}

void coroutine_start(struct process *process, void (*run)(void *data), void *data)
{
	struct coroutine *coroutine = calloc(1, sizeof(*coroutine));

	if (coroutine == NULL)
		abort();
	coroutine->process = process;
	coroutine->run = run;
	coroutine->data = data;
	coroutine->stack = stack_get();
	getcontext(&coroutine->context);
	coroutine->context.uc_stack.ss_sp = coroutine->stack;
	coroutine->context.uc_stack.ss_size = STACK_BYTES;
	coroutine->context.uc_link = NULL;
	makecontext(&coroutine->context, entry, 0);
	coroutine->next = process->coroutines;
	process->coroutines = coroutine;
	world_after(0, process, on_begin, coroutine);
}

static void on_awake(struct event *event)
{
	coroutine_resume(event->data);
}

void world_sleep(uint64_t us)
{
	world_after(us, running->process, on_awake, running);
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
