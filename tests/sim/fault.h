/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What befalls a cluster: a list that a seed decides. Each fault has a number and chance of its own, so that what the
 * others are does not depend on which of them are left out.
 */
#ifndef DNVME_TESTS_SIM_FAULT_H
#define DNVME_TESTS_SIM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTS_MAX 4096

struct fault_options {
	uint64_t us;	  /* how long */
	unsigned pace;	  /* the pauses between them, in per cent of the usual */
	const bool *only; /* FAULTS_MAX of them: which happen; NULL: all */
	bool tell;	  /* print them */
	uint64_t *turns;  /* is set to how many of the list have had their turn, left out or not */
};

/* Faults from now on, each with its end. */
void fault_begin(const struct fault_options *options);
/* None any more; what is cut, stopped or off comes back. */
void fault_heal(void);

#endif
