/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs seeds, each in a process of its own: what a run leaves in memory ends with it. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"
#include "tests/sim/world.h"

struct arguments {
	uint64_t seed, seeds, seconds;
	bool verbose, twice, keep_going;
};

struct outcome {
	uint64_t digest, events, virtual_us;
};

static const struct argp_option options[] = {
	{ "seed", 's', "N", 0, "the first seed (1)", 0 },
	{ "seeds", 'n', "N", 0, "how many (1)", 0 },
	{ "seconds", 't', "N", 0, "virtual seconds of faults in each (40)", 0 },
	{ "verbose", 'v', NULL, 0, "print what happens", 0 },
	{ "twice", '2', NULL, 0, "run each twice and compare what happened", 0 },
	{ "keep-going", 'k', NULL, 0, "go on after a seed that fails", 0 },
	{ 0 },
};

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 's':
		arguments->seed = strtoull(text, NULL, 10);
		break;
	case 'n':
		arguments->seeds = strtoull(text, NULL, 10);
		break;
	case 't':
		arguments->seconds = strtoull(text, NULL, 10);
		break;
	case 'v':
		arguments->verbose = true;
		break;
	case '2':
		arguments->twice = true;
		break;
	case 'k':
		arguments->keep_going = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void run_child(const struct arguments *arguments, uint64_t seed, const char *directory, int fd)
{
	const struct scenario_options scenario = {
		.seed = seed, .fault_seconds = arguments->seconds, .verbose = arguments->verbose, .directory = "."
	};
	struct outcome outcome;

	/* Its name is another one each time, and servers log it. */
	if (chdir(directory) != 0)
		_exit(1);
	scenario_run(&scenario);
	outcome = (struct outcome){ world_trace_digest(), world_events, world_now };
	fflush(stdout);
	if (write(fd, &outcome, sizeof(outcome)) != sizeof(outcome))
		_exit(1);
	_exit(0);
}

static void directory_remove(const char *directory)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", directory);
}

/* Returns whether it went well. */
static bool run_seed(const struct arguments *arguments, uint64_t seed, struct outcome *ret_outcome)
{
	char directory[] = "/dev/shm/dnvme-sim-XXXXXX";
	int pipes[2], status;
	ssize_t size;
	pid_t child;

	fflush(stdout);
	if (mkdtemp(directory) == NULL || pipe(pipes) != 0) {
		perror("sim");
		exit(2);
	}
	child = fork();
	if (child == 0) {
		close(pipes[0]);
		run_child(arguments, seed, directory, pipes[1]);
	}
	close(pipes[1]);
	size = read(pipes[0], ret_outcome, sizeof(*ret_outcome));
	close(pipes[0]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	directory_remove(directory);
	if (status != 0 && WIFSIGNALED(status))
		fprintf(stderr, "sim: seed %" PRIu64 " ends with signal %d\n", seed, WTERMSIG(status));
	return status == 0 && size == sizeof(*ret_outcome);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL, "The control plane in virtual time.", NULL, NULL, NULL
	};
	struct arguments arguments = { .seed = 1, .seeds = 1, .seconds = 40 };
	uint64_t events = 0, virtual_us = 0, failed = 0, ran = 0;
	struct timespec begin, end;
	double took;

	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t i = 0; i < arguments.seeds; i++) {
		uint64_t seed = arguments.seed + i;
		struct outcome outcome, again;
		bool well = run_seed(&arguments, seed, &outcome);

		if (well && arguments.twice && run_seed(&arguments, seed, &again) && again.digest != outcome.digest) {
			fprintf(stderr, "sim: seed %" PRIu64 " ran in two ways\n", seed);
			well = false;
		}
		ran++;
		if (!well) {
			failed++;
			if (!arguments.keep_going)
				break;
			continue;
		}
		events += outcome.events;
		virtual_us += outcome.virtual_us;
		if (arguments.seeds == 1)
			printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, outcome.digest);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	took = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("%" PRIu64 " seeds, %" PRIu64
	       " failed; %.1f s, %.1f seeds a second, %.0f events and %.0f virtual seconds a "
	       "second\n",
	       ran, failed, took, (double)ran / took, (double)events / took, (double)virtual_us / 1e6 / took);
	return failed > 0;
}
