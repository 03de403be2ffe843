// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each thread owns a run of blocks and alone writes them, one write at a time, so that the last acknowledged sequence
 * of a block is always known. Any thread reads any block: what it gets may not be older than what was acknowledged, or
 * read, before the read began, nor newer than what was issued when it ended.
 */
#include "tests/kernel/witness/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kernel/witness/block.h"
#include "tests/kernel/witness/check.h"
#include "tests/kernel/witness/journal.h"

#define FRESH_STRIDE 16u /* blocks of the smallest thin block, lib/model/layout.h */
#define BUCKETS 40u	 /* powers of two of microseconds */
#define EXAMPLES_MAX 10u
#define THREAD_STACK_BYTES (128u << 10)
#define BLOCKS_MAX 64u

struct load {
	const struct load_options *options;
	struct journal journal;
	int fd;
	uint64_t first, length, begin_ns;
	_Atomic uint64_t *issued, *done, *seen;
	_Atomic uint64_t sequence;
	atomic_bool stop;

	pthread_mutex_t mutex; /* everything below */
	pthread_cond_t changed;
	uint64_t running, reads, writes, errors, stale, foreign, examples;
	uint64_t latency[BUCKETS];
	uint64_t stall_ns, stall_at_ns;	    /* the slowest request: how long, and when it began */
	uint64_t silence_ns, silence_at_ns; /* the longest time in which no request ended though some were under way */
	uint64_t under_way, last_end_ns;
	uint64_t error_first_ns;
	int error_first;
};

struct worker {
	struct load *load;
	uint64_t first, length, random, turn;
	void *buffer;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&time, NULL);
}

static uint64_t random_below(struct worker *worker, uint64_t limit)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return worker->random % limit;
}

static void example(struct load *load, const char *what, uint64_t block, uint64_t found, uint64_t least, uint64_t most)
{
	if (load->examples++ < EXAMPLES_MAX)
		fprintf(stderr,
			"witness: %s at %" PRIu64 " ns: block %" PRIu64 ": read sequence %" PRIu64 ", wanted %" PRIu64
			" to %" PRIu64 "\n",
			what, journal_now_ns(), block, found, least, most);
}

static uint64_t request_begin(struct load *load)
{
	uint64_t now;

	pthread_mutex_lock(&load->mutex);
	now = monotonic_ns();
	if (load->under_way++ == 0)
		load->last_end_ns = now;
	pthread_mutex_unlock(&load->mutex);
	return now;
}

static void request_end(struct load *load, uint64_t begin, int error, bool is_write)
{
	uint64_t now, wall, took;
	unsigned bucket = 0;

	pthread_mutex_lock(&load->mutex);
	now = monotonic_ns();
	wall = journal_now_ns();
	took = now - begin;
	for (uint64_t rest = took / 1000; rest != 0 && bucket < BUCKETS - 1; rest >>= 1)
		bucket++;
	load->under_way--;
	load->latency[bucket]++;
	if (took > load->stall_ns) {
		load->stall_ns = took;
		load->stall_at_ns = wall - took;
	}
	if (now - load->last_end_ns > load->silence_ns) {
		load->silence_ns = now - load->last_end_ns;
		load->silence_at_ns = wall - load->silence_ns;
	}
	load->last_end_ns = now;
	if (error != 0) {
		if (load->errors++ == 0) {
			load->error_first = error;
			load->error_first_ns = wall;
		}
	} else if (is_write) {
		load->writes++;
	} else {
		load->reads++;
	}
	pthread_mutex_unlock(&load->mutex);
	/* A path that is gone answers at once: do not turn that into a busy loop. */
	if (error != 0)
		pause_ns(20000000);
}

static void write_one(struct worker *worker, uint64_t block, uint64_t count)
{
	struct load *load = worker->load;
	uint64_t sequence = atomic_fetch_add(&load->sequence, count), now = journal_now_ns(), begin;
	ssize_t put;
	int error = 0;

	for (uint64_t i = 0; i < count; i++)
		block_fill((char *)worker->buffer + i * BLOCK_BYTES, load->journal.run, block + i, sequence + i, now);
	journal_append(&load->journal, JOURNAL_ISSUED, block, (uint32_t)count, sequence, 0, now);
	for (uint64_t i = 0; i < count; i++)
		atomic_store(&load->issued[block + i], sequence + i);
	begin = request_begin(load);
	put = pwrite(load->fd, worker->buffer, count * BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
	if (put != (ssize_t)(count * BLOCK_BYTES))
		error = put < 0 ? errno : EIO;
	journal_append(&load->journal, error != 0 ? JOURNAL_FAILED : JOURNAL_DONE, block, (uint32_t)count, sequence,
		       error, journal_now_ns());
	for (uint64_t i = 0; error == 0 && i < count; i++)
		atomic_store(&load->done[block + i], sequence + i);
	request_end(load, begin, error, true);
}

static uint64_t least_allowed(struct load *load, uint64_t block)
{
	uint64_t done = atomic_load(&load->done[block]), seen = atomic_load(&load->seen[block]);

	return done > seen ? done : seen;
}

static void read_judge(struct load *load, uint64_t block, const void *data, uint64_t least, bool quiet)
{
	uint64_t most = atomic_load(&load->issued[block]), sequence = 0, before;
	enum block_verdict verdict = block_inspect(data, load->journal.run, block, &sequence);

	if (verdict == BLOCK_OURS && sequence >= least && sequence <= most) {
		before = atomic_load(&load->seen[block]);
		while (before < sequence && !atomic_compare_exchange_weak(&load->seen[block], &before, sequence))
			;
		return;
	}
	if (verdict == BLOCK_ZERO && least == 0)
		return;
	/* No disk promises that a read which overlaps a write is all old or all new. */
	if (verdict == BLOCK_FOREIGN && (!quiet || most != atomic_load(&load->done[block])))
		return;
	if (verdict == BLOCK_FOREIGN && least == 0 && !load->options->blank)
		return;
	pthread_mutex_lock(&load->mutex);
	if (verdict == BLOCK_FOREIGN || (verdict == BLOCK_OURS && sequence > most)) {
		load->foreign++;
		example(load, "foreign data", block, sequence, least, most);
	} else {
		load->stale++;
		example(load, "stale read", block, sequence, least, most);
	}
	pthread_mutex_unlock(&load->mutex);
}

static void read_one(struct worker *worker)
{
	struct load *load = worker->load;
	uint64_t block = load->first + random_below(worker, load->length), least = least_allowed(load, block), begin;
	uint64_t issued = atomic_load(&load->issued[block]);
	bool quiet = issued == atomic_load(&load->done[block]);
	ssize_t got;

	begin = request_begin(load);
	got = pread(load->fd, worker->buffer, BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
	request_end(load, begin, got == BLOCK_BYTES ? 0 : got < 0 ? errno : EIO, false);
	if (got == BLOCK_BYTES)
		read_judge(load, block, worker->buffer, least, quiet && issued == atomic_load(&load->issued[block]));
}

/* Another host writes: what is right is found out afterwards, from both journals. */
static void watch_one(struct worker *worker)
{
	struct load *load = worker->load;
	uint64_t block = load->first + random_below(worker, load->length), wall = journal_now_ns(), sequence = 0,
		 run = 0;
	uint64_t begin = request_begin(load);
	ssize_t got = pread(load->fd, worker->buffer, BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
	int error = got == BLOCK_BYTES ? 0 : got < 0 ? errno : EIO;

	request_end(load, begin, error, false);
	/* Neither old nor new: it overlapped a write, and no disk promises that it does not show both in part. */
	if (error == 0 && block_is_witness(worker->buffer, &run) &&
	    block_inspect(worker->buffer, run, block, &sequence) != BLOCK_OURS)
		error = EBADMSG;
	journal_append(&load->journal, JOURNAL_READ, block, 1, sequence, error, wall);
}

/* The block of the n-th fresh write of a region: with a stride first, so that each of the first ones meets a thin block
 * that was never written. */
static uint64_t fresh_block(const struct worker *worker)
{
	uint64_t rows = (worker->length + FRESH_STRIDE - 1) / FRESH_STRIDE, turn = worker->turn;

	return worker->first + turn % rows * FRESH_STRIDE + turn / rows;
}

static bool write_next(struct worker *worker)
{
	uint64_t count = 1 + random_below(worker, worker->load->options->blocks_max), block;

	if (worker->load->options->fresh) {
		uint64_t rows = (worker->length + FRESH_STRIDE - 1) / FRESH_STRIDE;

		if (worker->turn >= rows * FRESH_STRIDE)
			return false;
		block = fresh_block(worker);
		worker->turn++;
		if (block < worker->first + worker->length)
			write_one(worker, block, 1);
		return true;
	}
	if (count > worker->length)
		count = worker->length;
	block = worker->first + random_below(worker, worker->length - count + 1);
	write_one(worker, block, count);
	return true;
}

static void *worker_run(void *data)
{
	struct worker *worker = data;
	struct load *load = worker->load;
	uint64_t rate = load->options->rate, next = monotonic_ns(), now, step = 0;

	/* Paced by its own clock: after a stall it does not catch up in a burst. */
	if (rate != 0)
		step = UINT64_C(1000000000) * load->options->threads / rate;
	while (!atomic_load(&load->stop)) {
		if (load->options->watch) {
			watch_one(worker);
		} else if (random_below(worker, 100) < load->options->read_percent) {
			read_one(worker);
		} else if (!write_next(worker)) {
			break;
		}
		next += step;
		now = monotonic_ns();
		if (next > now)
			pause_ns(next - now);
		else
			next = now;
	}
	pthread_mutex_lock(&load->mutex);
	load->running--;
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->mutex);
	return NULL;
}

static uint64_t percentile_us(const struct load *load, uint64_t percent)
{
	uint64_t all = 0, sum = 0;
	unsigned bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++)
		all += load->latency[bucket];
	for (bucket = 0; bucket < BUCKETS - 1; bucket++) {
		sum += load->latency[bucket];
		if (sum * 100 >= all * percent)
			break;
	}
	return UINT64_C(1) << bucket;
}

static int report(struct load *load)
{
	uint64_t now = monotonic_ns();

	/* What still hangs is the longest stall of all. */
	if (load->under_way != 0 && now - load->last_end_ns > load->stall_ns) {
		load->stall_ns = now - load->last_end_ns;
		load->stall_at_ns = journal_now_ns() - load->stall_ns;
	}
	printf("{\"run\": \"%016" PRIx64 "\", \"seconds\": %.1f, \"writes\": %" PRIu64 ", \"reads\": %" PRIu64
	       ", \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64 ", \"stall_ms\": %" PRIu64
	       ", \"stall_at_ns\": %" PRIu64 ", \"silence_ms\": %" PRIu64 ", \"silence_at_ns\": %" PRIu64
	       ", \"errors\": %" PRIu64 ", \"error\": \"%s\", \"error_at_ns\": %" PRIu64 ", \"stale\": %" PRIu64
	       ", \"foreign\": %" PRIu64 ", \"stuck\": %" PRIu64 "}\n",
	       load->journal.run, (double)(now - load->begin_ns) / 1e9, load->writes, load->reads,
	       percentile_us(load, 50), percentile_us(load, 99), load->stall_ns / 1000000, load->stall_at_ns,
	       load->silence_ns / 1000000, load->silence_at_ns, load->errors,
	       load->error_first != 0 ? strerror(load->error_first) : "", load->error_first_ns, load->stale,
	       load->foreign, load->running);
	fflush(stdout);
	return load->errors + load->stale + load->foreign + load->running == 0 ? 0 : 1;
}

/* Until a signal, the time, or the threads' own end; then until they ended, or the grace is over. */
static void await(struct load *load)
{
	struct timespec time;
	sigset_t signals;
	uint64_t deadline = monotonic_ns() + load->options->seconds * UINT64_C(1000000000);
	bool ended = false;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	while (!ended && (load->options->seconds == 0 || monotonic_ns() < deadline)) {
		time = (struct timespec){ .tv_nsec = 100000000 };
		if (sigtimedwait(&signals, NULL, &time) > 0)
			break;
		pthread_mutex_lock(&load->mutex);
		ended = load->running == 0;
		pthread_mutex_unlock(&load->mutex);
	}
	atomic_store(&load->stop, true);
	clock_gettime(CLOCK_REALTIME, &time);
	time.tv_sec += (time_t)load->options->grace;
	pthread_mutex_lock(&load->mutex);
	while (load->running != 0 && pthread_cond_timedwait(&load->changed, &load->mutex, &time) == 0)
		;
	pthread_mutex_unlock(&load->mutex);
}

static int load_open(struct load *load)
{
	const struct load_options *options = load->options;
	struct journal_state state;
	uint64_t blocks = 0;
	int rc = device_open(options->device, options->watch ? O_RDONLY : O_RDWR, &load->fd, &blocks);

	if (rc != 0)
		return rc;
	load->first = options->first;
	load->length = options->length != 0 ? options->length : blocks - options->first;
	if (options->first >= blocks || load->length > blocks - options->first || load->length < options->threads)
		return ERANGE;
	rc = journal_open(options->journal, blocks, &load->journal);
	if (rc == 0)
		rc = journal_load(options->journal, &state);
	if (rc != 0)
		return rc;
	load->issued = calloc(blocks, sizeof(*load->issued));
	load->done = calloc(blocks, sizeof(*load->done));
	load->seen = calloc(blocks, sizeof(*load->seen));
	if (load->issued == NULL || load->done == NULL || load->seen == NULL)
		return ENOMEM;
	/* Goes on where a killed one ended; a write of that one may still be among those of the journal. */
	for (uint64_t i = 0; i < blocks; i++) {
		atomic_store(&load->issued[i], state.issued[i]);
		atomic_store(&load->done[i], state.done[i]);
	}
	atomic_store(&load->sequence, state.sequence_max + 1);
	journal_state_free(&state);
	return 0;
}

static int workers_start(struct load *load, struct worker *workers)
{
	uint64_t share = load->length / load->options->threads;
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	pthread_attr_setdetachstate(&attributes,
				    PTHREAD_CREATE_DETACHED); /* one that hangs in the kernel is never joined */
	for (uint64_t i = 0; i < load->options->threads; i++) {
		struct worker *worker = &workers[i];

		worker->load = load;
		worker->first = load->first + i * share;
		worker->length = share;
		worker->random = (load->journal.run ^ (i + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
		rc = posix_memalign(&worker->buffer, BLOCK_BYTES, (size_t)BLOCK_BYTES * BLOCKS_MAX);
		if (rc != 0)
			return rc;
		load->running++;
		rc = pthread_create(&thread, &attributes, worker_run, worker);
		if (rc != 0)
			return rc;
	}
	pthread_attr_destroy(&attributes);
	return 0;
}

int load_run(const struct load_options *options)
{
	struct load load = { .options = options, .fd = -1 };
	struct worker *workers = calloc(options->threads, sizeof(*workers));
	pthread_condattr_t attributes;
	sigset_t signals;
	int rc;

	pthread_mutex_init(&load.mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_cond_init(&load.changed, &attributes);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* for the threads too: `await` takes them */
	rc = workers == NULL ? ENOMEM : load_open(&load);
	if (rc != 0) {
		fprintf(stderr, "witness: cannot start on %s: %s\n", options->device, strerror(rc));
		free(workers);
		return 2;
	}
	load.begin_ns = monotonic_ns();
	pthread_mutex_lock(&load.mutex); /* nobody ends before all are counted */
	rc = workers_start(&load, workers);
	pthread_mutex_unlock(&load.mutex);
	if (rc != 0) {
		fprintf(stderr, "witness: cannot start a thread: %s\n", strerror(rc));
		_exit(2);
	}
	await(&load);
	pthread_mutex_lock(&load.mutex);
	if (load.running == 0)
		journal_append(&load.journal, JOURNAL_END, 0, 1, 0, 0, journal_now_ns());
	rc = report(&load);
	/* Threads that hang in the kernel cannot be joined, and use what would be freed here. */
	_exit(rc);
}
