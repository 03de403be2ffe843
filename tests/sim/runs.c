/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/runs.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/memory.h"

#define STUCK_S 60 /* of a processor: a run that takes so much goes in a circle */

#define PROGRESS_S 30

/* What the processes that work on the same seeds share. */
struct board {
	_Atomic uint64_t next; /* family that nobody has begun */
	atomic_bool stop;
	_Atomic uint64_t ran, failed, events, virtual_us, digest;
	_Atomic uint64_t at[]; /* the seed that each works on; all before it that were its own have run */
};

struct job {
	const struct seeds *seeds;
	struct board *board;
	unsigned number;
	uint64_t first, end;		   /* the seeds of a family that are wanted */
	uint64_t done;			   /* so many of them have run */
	bool is_running;		   /* the next one, which ends its process when it fails */
	bool again;			   /* for the second time, from the last to the first */
	uint64_t digests[SCENARIO_FAMILY]; /* of the first time */
	bool are_known[SCENARIO_FAMILY];   /* the first time went well */
	struct outcome outcome;
};

void *runs_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("sim");
		exit(2);
	}
	return memory;
}

static pid_t child_make(void)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("sim");
		_exit(2);
	}
	return child;
}

static int child_wait(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child) {
		perror("sim");
		_exit(2);
	}
	return status;
}

void runs_tell(uint64_t seed, const struct outcome *outcome, bool brief)
{
	const char *text = outcome->failure.text;

	if (outcome->failure.check != 0)
		fprintf(stderr, "sim: seed %" PRIu64 " fails at %" PRIu64 ".%06" PRIu64 " s: %.*s\n", seed,
			outcome->failure.at / WORLD_SECOND, outcome->failure.at % WORLD_SECOND,
			(int)(brief ? strcspn(text, "\n") : strlen(text)), text);
	else
		fprintf(stderr, "sim: seed %" PRIu64 " ends with signal %d\n", seed, outcome->signal);
}

/* What would go on for ever ends. */
static void time_limit(void)
{
	struct rusage usage;
	rlim_t limit;

	getrusage(RUSAGE_SELF, &usage);
	limit = (rlim_t)usage.ru_utime.tv_sec + (rlim_t)usage.ru_stime.tv_sec + STUCK_S;
	setrlimit(RLIMIT_CPU, &(struct rlimit){ limit, RLIM_INFINITY });
}

static void run(const struct scenario_options *options, uint64_t seed, const bool *only, struct outcome *shared)
{
	memset(shared, 0, sizeof(*shared));
	world_failure = &shared->failure;
	time_limit();
	scenario_run(options, seed, only, &shared->faults);
	shared->digest = world_trace_digest();
	shared->events = world_events;
	shared->virtual_us = world_now;
	shared->done = true;
}

void runs_one(const struct scenario_options *options, uint64_t seed, const bool *only, struct outcome *shared)
{
	pid_t child;
	int status;

	child = child_make();
	if (child == 0) {
		run(options, seed, only, shared);
		fflush(stdout);
		_exit(0);
	}
	status = child_wait(child);
	shared->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool runs_family(const struct scenario_options *options, uint64_t seed, void (*then)(void *data), void *data,
		 int *ret_signal)
{
	static struct outcome *shared;
	pid_t child;
	int status;

	if (shared == NULL)
		shared = runs_share(sizeof(*shared));
	memset(shared, 0, sizeof(*shared));
	child = child_make();
	if (child == 0) {
		time_limit();
		world_failure = &shared->failure;
		scenario_set_up(options, seed / SCENARIO_FAMILY);
		shared->done = true;
		then(data);
		fflush(stdout);
		_exit(0);
	}
	status = child_wait(child);
	*ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (shared->done)
		return true;
	shared->signal = *ret_signal;
	runs_tell(seed, shared, false);
	return false;
}

/* --- many ------------------------------------------------------------------------------------------------------- */

static void fail(struct job *job)
{
	job->board->failed++;
	if (!job->seeds->keep_going)
		job->board->stop = true;
}

static bool is_over(const struct seeds *seeds, const struct board *board)
{
	return board->stop || (seeds->until != 0 && time(NULL) >= seeds->until);
}

static bool is_excepted(const struct seeds *seeds, uint64_t seed)
{
	bool found = false;

	for (size_t i = 0; i < seeds->except_count && !found; i++)
		found = seeds->except[i] == seed;
	return found;
}

/* The seed that is next. */
static uint64_t seed_of(const struct job *job)
{
	return job->again ? job->end - 1 - job->done : job->first + job->done;
}

static void outcome_take(struct job *job)
{
	uint64_t seed = seed_of(job), place = seed % SCENARIO_FAMILY;
	const struct outcome *outcome = &job->outcome;

	if (!job->again)
		job->board->ran++;
	if (!outcome->done) {
		runs_tell(seed, outcome, job->seeds->progress);
		fail(job);
		return;
	}
	if (job->again && outcome->digest != job->digests[place]) {
		fprintf(stderr, "sim: seed %" PRIu64 " ran in two ways\n", seed);
		fail(job);
		return;
	}
	if (job->seeds->digests && !job->again)
		printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, outcome->digest);
	job->are_known[place] = true;
	job->digests[place] = outcome->digest;
	job->board->digest = outcome->digest;
	job->board->events += outcome->events;
	job->board->virtual_us += outcome->virtual_us;
}

static bool is_left_out(const struct job *job, uint64_t seed)
{
	return is_excepted(job->seeds, seed) || (job->again && !job->are_known[seed % SCENARIO_FAMILY]);
}

/* In the family's process: one after the other, each in memory as it was when the cluster stood. */
static void family_run(void *data)
{
	struct job *job = data;
	bool is_first = true;

	memory_keep();
	for (; job->done < job->end - job->first && !is_over(job->seeds, job->board); job->done++) {
		uint64_t seed = seed_of(job);

		if (!job->again)
			job->board->at[job->number] = seed;
		if (is_left_out(job, seed))
			continue;
		if (!is_first)
			memory_put_back();
		is_first = false;
		job->is_running = true;
		run(&job->seeds->scenario, seed, job->seeds->only, &job->outcome);
		job->is_running = false;
		outcome_take(job);
	}
}

/* A seed that fails takes its process along: another one sets the cluster up again and goes on behind it. */
static void family_work(struct job *job)
{
	job->done = 0;
	while (job->done < job->end - job->first && !is_over(job->seeds, job->board)) {
		job->is_running = false;
		if (!runs_family(&job->seeds->scenario, job->first, family_run, job, &job->outcome.signal)) {
			fail(job);
			return;
		}
		if (!job->is_running)
			return;
		outcome_take(job);
		job->done++;
	}
}

/* All before it have run. */
static uint64_t seed_next(const struct seeds *seeds, const struct board *board)
{
	uint64_t next = board->next * SCENARIO_FAMILY;

	for (unsigned i = 0; i < seeds->jobs; i++)
		next = board->at[i] < next ? board->at[i] : next;
	if (next > seeds->first + seeds->count)
		next = seeds->first + seeds->count;
	return next > seeds->first ? next : seeds->first;
}

static void progress_tell(const struct seeds *seeds, const struct board *board)
{
	static time_t began, told;
	time_t now = time(NULL);

	if (began == 0)
		began = told = now;
	if (!seeds->progress || now - told < PROGRESS_S)
		return;
	told = now;
	fprintf(stderr,
		"sim: %" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed, %.1f seeds a second, all before %" PRIu64
		" have run\n",
		board->ran, seeds->count, board->failed, (double)board->ran / (double)(now - began),
		seed_next(seeds, board));
}

/* One family after the other, until there are no more. The first also says how far all have come. */
static void work(const struct seeds *seeds, struct board *board, unsigned number)
{
	struct job *job = runs_share(sizeof(*job));
	uint64_t end = seeds->first + seeds->count;

	job->seeds = seeds;
	job->board = board;
	job->number = number;
	for (;;) {
		uint64_t family;

		if (number == 0)
			progress_tell(seeds, board);
		/* Before it is taken, so that no seed is left out that nobody has run. */
		board->at[number] = board->next * SCENARIO_FAMILY;
		if (board->next * SCENARIO_FAMILY >= end || is_over(seeds, board))
			break;
		family = board->next++;
		if (family * SCENARIO_FAMILY >= end)
			break;
		job->first = family * SCENARIO_FAMILY > seeds->first ? family * SCENARIO_FAMILY : seeds->first;
		job->end = (family + 1) * SCENARIO_FAMILY < end ? (family + 1) * SCENARIO_FAMILY : end;
		memset(job->are_known, 0, sizeof(job->are_known));
		for (unsigned i = 0; i < (seeds->twice ? 2 : 1); i++) {
			job->again = i > 0;
			family_work(job);
		}
	}
	munmap(job, sizeof(*job));
}

void runs_seeds(const struct seeds *seeds, struct totals *ret_totals)
{
	struct board *board = runs_share(sizeof(*board) + seeds->jobs * sizeof(board->at[0]));
	pid_t *children = calloc(seeds->jobs, sizeof(*children));

	if (children == NULL)
		exit(2);
	board->next = seeds->first / SCENARIO_FAMILY;
	for (unsigned i = 0; i < seeds->jobs; i++)
		board->at[i] = seeds->first;
	for (unsigned i = 1; i < seeds->jobs; i++) {
		children[i] = child_make();
		if (children[i] == 0) {
			work(seeds, board, i);
			_exit(0);
		}
	}
	work(seeds, board, 0);
	for (unsigned i = 1; i < seeds->jobs; i++)
		child_wait(children[i]);
	free(children);
	*ret_totals = (struct totals){ board->ran,	  board->failed, board->events,
				       board->virtual_us, board->digest, seed_next(seeds, board) };
}
