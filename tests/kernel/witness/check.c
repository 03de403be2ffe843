// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/kernel/witness/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/kernel/witness/block.h"
#include "tests/kernel/witness/journal.h"

#define CHUNK_BYTES (64u << 10)
#define CHUNK_BLOCKS (CHUNK_BYTES / BLOCK_BYTES)
#define EXAMPLES_MAX 10u

int device_open(const char *path, int flags, int *ret_fd, uint64_t *ret_blocks)
{
	struct stat status;
	uint64_t bytes;
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return errno;
	if (fstat(fd, &status) != 0)
		goto failed;
	bytes = (uint64_t)status.st_size;
	if (S_ISBLK(status.st_mode)) {
		/* Past the page cache, or a check would see what the writer left there. */
		if (fcntl(fd, F_SETFL, flags | O_DIRECT) != 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0)
			goto failed;
	}
	*ret_fd = fd;
	*ret_blocks = bytes / BLOCK_BYTES;
	return 0;
failed:
	flags = errno;
	close(fd);
	return flags;
}

struct tally {
	uint64_t checked, lost, foreign, unreadable, examples;
};

static void example(struct tally *tally, const char *what, uint64_t block, uint64_t found, uint64_t done,
		    uint64_t issued)
{
	if (tally->examples++ < EXAMPLES_MAX)
		fprintf(stderr,
			"witness: block %" PRIu64 ": %s: found sequence %" PRIu64 ", acknowledged %" PRIu64
			", issued %" PRIu64 "\n",
			block, what, found, done, issued);
}

static void judge(const struct journal_state *state, uint64_t number, const void *block, bool blank,
		  struct tally *tally)
{
	uint64_t done = state->done[number], issued = state->issued[number], sequence = 0;
	enum block_verdict verdict = block_inspect(block, state->run, number, &sequence);

	if (issued == 0 && (!blank || verdict == BLOCK_ZERO))
		return;
	tally->checked++;
	/* A journal that was cut off may lack the last writes; a later sequence is then no surprise. */
	if (verdict == BLOCK_OURS && sequence >= done && (sequence <= issued || !state->complete))
		return;
	if (verdict == BLOCK_OURS && sequence < done) {
		tally->lost++;
		example(tally, "rolled back", number, sequence, done, issued);
	} else if (verdict == BLOCK_ZERO) {
		if (done == 0)
			return;
		tally->lost++;
		example(tally, "lost, zeros", number, 0, done, issued);
	} else if (verdict == BLOCK_OURS || done != 0 || blank) {
		tally->foreign++;
		example(tally, "foreign", number, sequence, done, issued);
	}
}

int check_run(const char *device, const char *journal, bool blank)
{
	struct journal_state state = { 0 };
	struct tally tally = { 0 };
	uint64_t blocks = 0;
	char *buffer = NULL;
	int fd = -1, rc;

	rc = journal_load(journal, &state);
	if (rc != 0) {
		fprintf(stderr, "witness: cannot load %s: %s\n", journal, strerror(rc));
		return 2;
	}
	rc = device_open(device, O_RDONLY, &fd, &blocks);
	/* It may have grown since. */
	if (rc == 0 && blocks < state.blocks)
		rc = EMEDIUMTYPE;
	blocks = state.blocks;
	if (rc == 0)
		rc = posix_memalign((void **)&buffer, BLOCK_BYTES, CHUNK_BYTES);
	if (rc != 0) {
		fprintf(stderr, "witness: cannot check %s: %s\n", device, strerror(rc));
		journal_state_free(&state);
		return 2;
	}
	for (uint64_t first = 0; first < blocks; first += CHUNK_BLOCKS) {
		uint64_t count = blocks - first < CHUNK_BLOCKS ? blocks - first : CHUNK_BLOCKS;
		bool wanted = blank;
		ssize_t got;

		for (uint64_t i = 0; i < count && !wanted; i++)
			wanted = state.issued[first + i] != 0;
		if (!wanted)
			continue;
		got = pread(fd, buffer, count * BLOCK_BYTES, (off_t)(first * BLOCK_BYTES));
		if (got != (ssize_t)(count * BLOCK_BYTES)) {
			tally.unreadable += count;
			example(&tally, got < 0 ? strerror(errno) : "short read", first, 0, 0, 0);
			continue;
		}
		for (uint64_t i = 0; i < count; i++)
			judge(&state, first + i, buffer + i * BLOCK_BYTES, blank, &tally);
	}
	printf("{\"writes\": %" PRIu64 ", \"checked\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"foreign\": %" PRIu64
	       ", \"unreadable\": %" PRIu64 "}\n",
	       state.writes_done, tally.checked, tally.lost, tally.foreign, tally.unreadable);
	free(buffer);
	close(fd);
	journal_state_free(&state);
	return tally.lost + tally.foreign + tally.unreadable == 0 ? 0 : 1;
}

int check_status(const char *journal)
{
	struct journal_state state;
	int rc = journal_load(journal, &state);

	if (rc != 0) {
		fprintf(stderr, "witness: cannot load %s: %s\n", journal, strerror(rc));
		return 2;
	}
	printf("{\"run\": \"%016" PRIx64 "\", \"issued\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"last_ns\": %" PRIu64
	       ", \"now_ns\": %" PRIu64 ", \"complete\": %s}\n",
	       state.run, state.writes_issued, state.writes_done, state.last_done_ns, journal_now_ns(),
	       state.complete ? "true" : "false");
	journal_state_free(&state);
	return 0;
}

static bool is_wanted(const void *block, const struct check_range *range)
{
	uint64_t run;

	if (!block_is_witness(block, &run))
		return false;
	for (size_t i = 0; i < range->run_count; i++) {
		if (range->runs[i] == run)
			return true;
	}
	return range->run_count == 0;
}

int check_digest(const char *device, const struct check_range *range)
{
	char *buffer = NULL;
	uint64_t offset = range->offset, length = range->length, blocks = 0;
	int fd = -1, rc;

	rc = device_open(device, O_RDONLY, &fd, &blocks);
	if (rc == 0)
		rc = posix_memalign((void **)&buffer, BLOCK_BYTES, CHUNK_BYTES);
	if (rc == 0 && (offset % BLOCK_BYTES != 0 || offset > blocks * BLOCK_BYTES))
		rc = EINVAL;
	if (rc == 0 && (length == 0 || length > blocks * BLOCK_BYTES - offset))
		length = blocks * BLOCK_BYTES - offset;
	for (uint64_t at = 0; rc == 0 && at < length; at += CHUNK_BYTES) {
		uint64_t bytes = length - at < CHUNK_BYTES ? length - at : CHUNK_BYTES, found = 0;

		if (pread(fd, buffer, bytes, (off_t)(offset + at)) != (ssize_t)bytes) {
			rc = errno != 0 ? errno : EIO;
			break;
		}
		if (buffer[0] == 0 && memcmp(buffer, buffer + 1, bytes - 1) == 0)
			continue;
		for (uint64_t i = 0; i < bytes; i += BLOCK_BYTES)
			found += is_wanted(buffer + i, range);
		printf("%" PRIu64 " %016" PRIx64 " %" PRIu64 "\n", at / CHUNK_BYTES, block_digest(buffer, bytes),
		       found);
	}
	free(buffer);
	if (fd >= 0)
		close(fd);
	if (rc != 0)
		fprintf(stderr, "witness: cannot read %s: %s\n", device, strerror(rc));
	return rc == 0 ? 0 : 2;
}
