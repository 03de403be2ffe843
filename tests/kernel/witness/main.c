// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host that remembers what it was promised: it writes blocks that say who they are, notes each acknowledgement, and
 * finds out whether what it reads, then and later, keeps the promise.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/witness/check.h"
#include "tests/kernel/witness/clock.h"
#include "tests/kernel/witness/load.h"

enum {
	KEY_JOURNAL = 0x100,
	KEY_SECONDS,
	KEY_UNTIL_SIGNAL,
	KEY_GRACE,
	KEY_THREADS,
	KEY_REGION,
	KEY_READ_PERCENT,
	KEY_BLOCKS,
	KEY_RATE,
	KEY_FRESH,
	KEY_RANDOM,
	KEY_BLANK,
	KEY_OFFSET,
	KEY_LENGTH,
	KEY_RUN,
	KEY_PORT,
	KEY_QUESTIONS,
};

static const struct argp_option argp_options[] = {
	{ "journal", KEY_JOURNAL, "FILE", 0, "what was issued and acknowledged; goes on where an earlier one ended",
	  0 },
	{ "seconds", KEY_SECONDS, "N", 0, "write for so long (10)", 0 },
	{ "until-signal", KEY_UNTIL_SIGNAL, NULL, 0, "write until SIGTERM or SIGINT", 0 },
	{ "grace", KEY_GRACE, "N", 0, "seconds that requests may take to end after that (60)", 0 },
	{ "threads", KEY_THREADS, "N", 0, "requests under way at a time (4)", 0 },
	{ "region", KEY_REGION, "FIRST:BLOCKS", 0, "use these blocks of 4 KiB only", 0 },
	{ "read-percent", KEY_READ_PERCENT, "N", 0, "of the requests (30)", 0 },
	{ "blocks", KEY_BLOCKS, "N", 0, "a write has 1 to N blocks (1)", 0 },
	{ "rate", KEY_RATE, "N", 0, "requests a second, of all threads", 0 },
	{ "random", KEY_RANDOM, NULL, 0, "write anywhere (the default)", 0 },
	{ "fresh", KEY_FRESH, NULL, 0, "write each block once, a new 64 KiB each time while there are some", 0 },
	{ "blank", KEY_BLANK, NULL, 0, "the device was never written before: anything but zeros is foreign", 0 },
	{ "offset", KEY_OFFSET, "BYTES", 0, "digest: begin here", 0 },
	{ "length", KEY_LENGTH, "BYTES", 0, "digest: so much; default: to the end", 0 },
	{ "run", KEY_RUN, "RUN", 0, "digest: count the blocks of this run only; may be repeated", 0 },
	{ "port", KEY_PORT, "N", 0, "clock: the UDP port that answers; default: any free one", 0 },
	{ "questions", KEY_QUESTIONS, "N", 0, "clock: ask so many times (200)", 0 },
	{ 0 },
};

struct arguments {
	struct load_options load;
	const char *verb;
	struct check_range range;
	uint16_t port;
	unsigned questions;
};

static void run_add(struct argp_state *state, const char *text, struct check_range *range)
{
	char *end;

	if (range->run_count == CHECK_RUNS_MAX)
		argp_error(state, "--run may be given %u times", CHECK_RUNS_MAX);
	range->runs[range->run_count++] = strtoull(text, &end, 16);
	if (*end != '\0' || end == text)
		argp_error(state, "\"%s\" is not a run: see the status of its journal", text);
}

static uint64_t number(struct argp_state *state, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max)
		argp_error(state, "\"%s\" is not a number from %llu to %llu", text, (unsigned long long)min,
			   (unsigned long long)max);
	return value;
}

static void region(struct argp_state *state, char *text, struct load_options *load)
{
	char *colon = strchr(text, ':');

	if (colon == NULL)
		argp_error(state, "\"%s\" is not FIRST:BLOCKS", text);
	*colon = '\0';
	load->first = number(state, text, 0, UINT64_MAX / 4096);
	load->length = number(state, colon + 1, 1, UINT64_MAX / 4096);
}

static error_t argument(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct load_options *load = &arguments->load;

	switch (key) {
	case KEY_JOURNAL:
		load->journal = value;
		break;
	case KEY_SECONDS:
		load->seconds = number(state, value, 1, 1000000);
		break;
	case KEY_UNTIL_SIGNAL:
		load->seconds = 0;
		break;
	case KEY_GRACE:
		load->grace = number(state, value, 0, 1000000);
		break;
	case KEY_THREADS:
		load->threads = number(state, value, 1, 256);
		break;
	case KEY_REGION:
		region(state, value, load);
		break;
	case KEY_READ_PERCENT:
		load->read_percent = number(state, value, 0, 100);
		break;
	case KEY_BLOCKS:
		load->blocks_max = number(state, value, 1, 64);
		break;
	case KEY_RATE:
		load->rate = number(state, value, 1, 1000000);
		break;
	case KEY_FRESH:
		load->fresh = true;
		break;
	case KEY_RANDOM:
		load->fresh = false;
		break;
	case KEY_BLANK:
		load->blank = true;
		break;
	case KEY_OFFSET:
		arguments->range.offset = number(state, value, 0, UINT64_MAX - 1);
		break;
	case KEY_LENGTH:
		arguments->range.length = number(state, value, 1, UINT64_MAX - 1);
		break;
	case KEY_RUN:
		run_add(state, value, &arguments->range);
		break;
	case KEY_PORT:
		arguments->port = (uint16_t)number(state, value, 1, UINT16_MAX);
		break;
	case KEY_QUESTIONS:
		arguments->questions = (unsigned)number(state, value, 1, 100000);
		break;
	case ARGP_KEY_ARG:
		if (arguments->verb == NULL)
			arguments->verb = value;
		else if (load->device == NULL)
			load->device = value;
		else
			argp_error(state, "one device is enough: \"%s\"", value);
		break;
	case ARGP_KEY_END:
		if (arguments->verb == NULL)
			argp_usage(state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct argp argp = {
		.options = argp_options,
		.parser = argument,
		.args_doc = "write|watch|check DEVICE --journal FILE\nstatus --journal FILE\ndigest DEVICE\nclock "
			    "[ADDRESS]",
		.doc = "Writes, and finds out whether what was acknowledged is there."
		       "\vExit status: 0 all is well, 1 something is lost, stale, foreign, failed or stuck, 2 usage.",
	};
	struct arguments arguments = {
		.load = { .seconds = 10, .grace = 60, .threads = 4, .read_percent = 30, .blocks_max = 1 },
		.questions = 200,
	};
	struct load_options *load = &arguments.load;
	bool device, journal;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	device = load->device != NULL;
	journal = load->journal != NULL;
	if (strcmp(arguments.verb, "write") == 0 && device && journal)
		return load_run(load);
	if (strcmp(arguments.verb, "watch") == 0 && device && journal) {
		load->watch = true;
		return load_run(load);
	}
	if (strcmp(arguments.verb, "check") == 0 && device && journal)
		return check_run(load->device, load->journal, load->blank);
	if (strcmp(arguments.verb, "status") == 0 && journal)
		return check_status(load->journal);
	if (strcmp(arguments.verb, "digest") == 0 && device)
		return check_digest(load->device, &arguments.range);
	if (strcmp(arguments.verb, "clock") == 0 && !device)
		return clock_answer(arguments.port);
	if (strcmp(arguments.verb, "clock") == 0 && arguments.port != 0)
		return clock_compare(load->device, arguments.port, arguments.questions);
	argp_help(&argp, stderr, ARGP_HELP_USAGE | ARGP_HELP_SHORT_USAGE, argv[0]);
	return 2;
}
