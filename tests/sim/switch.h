/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From one stack to another. swapcontext() asks the kernel for the signal mask each time, which costs more than most of
 * what happens between two switches.
 */
#ifndef DNVME_TESTS_SIM_SWITCH_H
#define DNVME_TESTS_SIM_SWITCH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

struct context {
	void *stack_pointer;
};

/* Keep what a function must keep (System V ABI) on this stack, and go on with the other. */
void context_switch(struct context *from, const struct context *to);

/* The first switch to it calls `entry`, which must not return. */
static inline void context_make(struct context *context, void *stack, size_t size, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	uint64_t *at = (uint64_t *)top;

	*--at = 0; /* where `entry` would return to; so the stack is aligned as behind a call */
	*--at = (uint64_t)(uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--at = 0;
	context->stack_pointer = at;
}

#else

#include <ucontext.h>

struct context {
	ucontext_t machine;
};

static inline void context_switch(struct context *from, const struct context *to)
{
	swapcontext(&from->machine, &to->machine);
}

static inline void context_make(struct context *context, void *stack, size_t size, void (*entry)(void))
{
	getcontext(&context->machine);
	context->machine.uc_stack.ss_sp = stack;
	context->machine.uc_stack.ss_size = size;
	context->machine.uc_link = NULL;
	makecontext(&context->machine, entry, 0);
}

#endif
#endif
