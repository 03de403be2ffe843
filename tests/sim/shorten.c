/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delta debugging: parts of the list are left out, halves first, then quarters, and so on down to single faults, as
 * long as the same check fails. A fault that is left out shifts everything behind it, so a part is tried with a few
 * chances (world_seed()) before it counts as one that is needed. What is found is a list from which no single fault can
 * go, not the smallest that there is.
 */
#include "tests/sim/shorten.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/runs.h"

#define CHANCES 4

struct shortening {
	struct scenario_options options;
	uint64_t seed, check;
	int signal;
	unsigned runs;
	size_t total, count;
	size_t faults[FAULTS_MAX];
	bool only[FAULTS_MAX];
	struct outcome outcome;
	int status;
};

/* Whether it fails as before with these faults alone; if so, with the chance that the options have then. */
static bool fails(struct shortening *this, const size_t *faults, size_t count)
{
	uint64_t before = this->options.chance;

	memset(this->only, 0, sizeof(this->only));
	for (size_t i = 0; i < count; i++)
		this->only[faults[i]] = true;
	for (uint64_t i = 0; i < CHANCES; i++) {
		this->options.chance = (before + i) % CHANCES;
		runs_one(&this->options, this->seed, this->only, &this->outcome);
		this->runs++;
		if (!this->outcome.done && this->outcome.failure.check == this->check &&
		    this->outcome.signal == this->signal)
			return true;
	}
	this->options.chance = before;
	return false;
}

static void keep(struct shortening *this, const size_t *faults, size_t count)
{
	memmove(this->faults, faults, count * sizeof(*faults));
	this->count = count;
	fprintf(stderr, "sim: %zu faults\n", count);
}

/* Leave out one of so many parts; whether any could go. */
static bool part_drop(struct shortening *this, size_t parts)
{
	size_t rest[FAULTS_MAX];

	for (size_t part = 0; part < parts; part++) {
		size_t from = this->count * part / parts, to = this->count * (part + 1) / parts, count = 0;

		for (size_t i = 0; i < this->count; i++) {
			if (i < from || i >= to)
				rest[count++] = this->faults[i];
		}
		if (from < to && fails(this, rest, count)) {
			keep(this, rest, count);
			return true;
		}
	}
	return false;
}

static void list_shorten(struct shortening *this)
{
	size_t parts = 2;

	if (fails(this, NULL, 0)) {
		keep(this, NULL, 0);
		return;
	}
	while (this->count > 1) {
		if (parts > this->count)
			parts = this->count;
		if (part_drop(this, parts))
			parts = parts > 2 ? parts - 1 : 2;
		else if (parts == this->count)
			break;
		else
			parts *= 2;
	}
}

static void result_tell(struct shortening *this)
{
	unsigned runs = this->runs;

	this->options.tell = true;
	fails(this, this->faults, this->count);
	runs_tell(this->seed, &this->outcome, false);
	printf("%zu of %zu faults are enough, found in %u runs; again:\n", this->count, this->total, runs);
	printf("  ./dev sim --size %s --seed %" PRIu64, scenario_size_name(this->options.size), this->seed);
	if (this->options.fault_seconds > 0)
		printf(" --seconds %" PRIu64, this->options.fault_seconds);
	if (this->options.quiet)
		printf(" --quiet");
	if (this->options.chance > 0)
		printf(" --chance %" PRIu64, this->options.chance);
	printf(" --only ");
	for (size_t i = 0; i < this->count; i++)
		printf("%s%zu", i > 0 ? "," : "", this->faults[i]);
	printf("%s\n", this->count == 0 ? "none" : "");
}

static void family_run(void *data)
{
	struct shortening *this = data;
	struct outcome *outcome = &this->outcome;
	size_t all[FAULTS_MAX];

	runs_one(&this->options, this->seed, NULL, outcome);
	if (outcome->done) {
		fprintf(stderr, "sim: seed %" PRIu64 " does not fail\n", this->seed);
		return;
	}
	runs_tell(this->seed, outcome, false);
	this->check = outcome->failure.check;
	this->signal = outcome->signal;
	for (size_t i = 0; i < FAULTS_MAX; i++)
		all[i] = i;
	/* What comes behind the failure, or is never reached, is no part of it. */
	this->total = outcome->faults;
	keep(this, all, this->total);
	this->options.quiet = true;
	this->options.quiet = fails(this, this->faults, this->count);
	list_shorten(this);
	result_tell(this);
	this->status = 0;
}

int shorten(const struct scenario_options *options, uint64_t seed)
{
	struct shortening *this = runs_share(sizeof(*this));
	int signal;

	this->options = *options;
	this->seed = seed;
	this->status = 1;
	runs_family(options, seed, family_run, this, &signal);
	return this->status;
}
