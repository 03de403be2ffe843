/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/runs.h"
#include "tests/sim/shorten.h"

#define NIGHTLY_SEEDS 100000

enum { KEY_SHORTEN = 256, KEY_ONLY, KEY_QUIET, KEY_CHANCE, KEY_NIGHTLY, KEY_EXCEPT, KEY_DIGESTS };

struct arguments {
	struct seeds seeds;
	bool shorten, nightly;
	bool only[FAULTS_MAX];
};

static const struct argp_option options[] = {
	{ "seed", 's', "N", 0, "the first seed (1)", 0 },
	{ "seeds", 'n', "N", 0, "how many (1)", 0 },
	{ "size", 'z', "SIZE", 0, "of the cluster and of the run: tiny, small, normal (normal)", 0 },
	{ "seconds", 't', "N", 0, "virtual seconds of faults in each (tiny: 8, small: 12, normal: 40)", 0 },
	{ "minutes", 'm', "N", 0, "begin no seed after so many", 0 },
	{ "jobs", 'j', "N", 0, "so many at a time (1; --nightly: as there are processors)", 0 },
	{ "verbose", 'v', NULL, 0, "print what happens", 0 },
	{ "twice", '2', NULL, 0, "run each twice and compare what happened", 0 },
	{ "digests", KEY_DIGESTS, NULL, 0,
	  "print the digest of each seed's trace: who makes something quicker compares them", 0 },
	{ "keep-going", 'k', NULL, 0, "go on after a seed that fails", 0 },
	{ "shorten", KEY_SHORTEN, NULL, 0, "find the fewest faults with which the seed still fails", 0 },
	{ "only", KEY_ONLY, "N,N,…", 0, "only these faults, by their numbers; none", 0 },
	{ "except", KEY_EXCEPT, "N,N,…", 0, "not these seeds", 0 },
	{ "quiet", KEY_QUIET, NULL, 0, "the client makes and deletes nothing while there are faults", 0 },
	{ "chance", KEY_CHANCE, "N", 0, "the same faults and calls, other delays (0)", 0 },
	{ "nightly", KEY_NIGHTLY, NULL, 0,
	  "many small seeds through all failures, and how far they are; unless said otherwise 100000, from the day's "
	  "on",
	  0 },
	{ 0 },
};

static error_t only_parse(struct arguments *arguments, const char *text)
{
	char *end = NULL;

	arguments->seeds.only = arguments->only;
	arguments->seeds.scenario.tell = true;
	if (strcmp(text, "none") == 0)
		return 0;
	for (const char *at = text;; at = end + 1) {
		unsigned long number = strtoul(at, &end, 10);

		if (end == at || number >= FAULTS_MAX || (*end != ',' && *end != '\0'))
			return EINVAL;
		arguments->only[number] = true;
		if (*end == '\0')
			return 0;
	}
}

static error_t except_parse(struct seeds *seeds, const char *text)
{
	char *end = NULL;

	for (const char *at = text;; at = end + 1) {
		uint64_t seed = strtoull(at, &end, 10);

		if (end == at || seeds->except_count == SEEDS_EXCEPT_MAX || (*end != ',' && *end != '\0'))
			return EINVAL;
		seeds->except[seeds->except_count++] = seed;
		if (*end == '\0')
			return 0;
	}
}

/* What was not said. */
static void defaults_take(struct arguments *arguments)
{
	struct seeds *seeds = &arguments->seeds;

	if (arguments->nightly) {
		long processors = sysconf(_SC_NPROCESSORS_ONLN);

		seeds->scenario.size = SCENARIO_SMALL;
		seeds->keep_going = seeds->progress = true;
		if (seeds->first == 0)
			seeds->first = (uint64_t)time(NULL) / 86400 * NIGHTLY_SEEDS;
		if (seeds->count == 0)
			seeds->count = NIGHTLY_SEEDS;
		if (seeds->jobs == 0)
			seeds->jobs = processors > 0 ? (unsigned)processors : 1;
	}
	if (seeds->first == 0)
		seeds->first = 1;
	if (seeds->count == 0)
		seeds->count = 1;
	if (seeds->jobs == 0)
		seeds->jobs = 1;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct seeds *seeds = &arguments->seeds;

	switch (key) {
	case 's':
		seeds->first = strtoull(text, NULL, 10);
		break;
	case 'n':
		seeds->count = strtoull(text, NULL, 10);
		break;
	case 'z':
		if (!scenario_size_parse(text, &seeds->scenario.size))
			argp_error(state, "--size: \"%s\" is none; there are tiny, small and normal", text);
		break;
	case 't':
		seeds->scenario.fault_seconds = strtoull(text, NULL, 10);
		break;
	case 'm':
		seeds->until = time(NULL) + (time_t)strtoul(text, NULL, 10) * 60;
		break;
	case 'j':
		seeds->jobs = (unsigned)strtoul(text, NULL, 10);
		return seeds->jobs > 0 ? 0 : EINVAL;
	case 'v':
		seeds->scenario.verbose = true;
		break;
	case '2':
		seeds->twice = true;
		break;
	case KEY_DIGESTS:
		seeds->digests = true;
		break;
	case 'k':
		seeds->keep_going = true;
		break;
	case KEY_SHORTEN:
		arguments->shorten = true;
		break;
	case KEY_ONLY:
		return only_parse(arguments, text);
	case KEY_EXCEPT:
		return except_parse(seeds, text);
	case KEY_QUIET:
		seeds->scenario.quiet = true;
		break;
	case KEY_CHANCE:
		seeds->scenario.chance = strtoull(text, NULL, 10);
		break;
	case KEY_NIGHTLY:
		arguments->nightly = true;
		break;
	case ARGP_KEY_END:
		defaults_take(arguments);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL, "The control plane in virtual time.", NULL, NULL, NULL
	};
	static struct arguments arguments = { .seeds = { .scenario = { .size = SCENARIO_NORMAL } } };
	struct totals totals;
	static char output[BUFSIZ]; /* not of the heap, which is put back behind each run */
	double began = seconds_now(), took;

	setvbuf(stdout, output, _IOFBF, sizeof(output));
	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0)
		return 2;
	if (arguments.shorten)
		return shorten(&arguments.seeds.scenario, arguments.seeds.first);
	runs_seeds(&arguments.seeds, &totals);
	took = seconds_now() - began;
	if (arguments.seeds.count == 1 && totals.failed == 0)
		printf("seed %" PRIu64 " trace %016" PRIx64 "\n", arguments.seeds.first, totals.digest);
	printf("%" PRIu64 " seeds, %" PRIu64
	       " failed; %.1f s, %.1f seeds a second, %.0f events and %.0f virtual seconds a second\n",
	       totals.ran, totals.failed, took, (double)totals.ran / took, (double)totals.events / took,
	       (double)totals.virtual_us / 1e6 / took);
	/* Time was over. */
	if (arguments.seeds.progress && totals.next < arguments.seeds.first + arguments.seeds.count)
		printf("the rest: --nightly --seed %" PRIu64 " --seeds %" PRIu64 "\n", totals.next,
		       arguments.seeds.first + arguments.seeds.count - totals.next);
	return totals.failed > 0;
}
