/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs. A process sets a family's cluster up, and runs its seeds from there. */
#ifndef DNVME_TESTS_SIM_RUNS_H
#define DNVME_TESTS_SIM_RUNS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tests/sim/scenario.h"
#include "tests/sim/world.h"

/* In memory that processes share. */
struct outcome {
	bool done;
	int signal;		      /* 0: it ended by itself */
	struct world_failure failure; /* check 0: none */
	uint64_t digest, events, virtual_us;
	uint64_t faults; /* of its list, that had their turn */
};

#define SEEDS_EXCEPT_MAX 64

struct seeds {
	struct scenario_options scenario;
	uint64_t first, count;
	unsigned jobs;
	bool twice, keep_going;
	bool digests;			   /* a line for each, with that of its trace */
	bool progress;			   /* a line now and then, and one for each failure */
	uint64_t except[SEEDS_EXCEPT_MAX]; /* seeds that are not run */
	size_t except_count;
	const bool *only; /* which faults; NULL: all */
	time_t until;	  /* no seed begins behind that moment; 0: it does not matter */
};

struct totals {
	uint64_t ran, failed, events, virtual_us, digest; /* digest: of the last one */
	uint64_t next;					  /* all before it have run */
};

/* Prints those that fail. */
void runs_seeds(const struct seeds *seeds, struct totals *ret_totals);

/* Memory that children share, zeroed, for ever. */
void *runs_share(size_t size);
/* A child that has set the family up and calls `then`; false: it did not come so far, and said so. `ret_signal`: what
 * ended it; 0: itself. */
bool runs_family(const struct scenario_options *options, uint64_t seed, void (*then)(void *data), void *data,
		 int *ret_signal);
/* In such a child: a run in a child of its own, for one that may fail again and again. */
void runs_one(const struct scenario_options *options, uint64_t seed, const bool *only, struct outcome *shared);
/* `brief`: the first line. */
void runs_tell(uint64_t seed, const struct outcome *outcome, bool brief);

#endif
