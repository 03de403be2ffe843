// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/kernel/witness/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct journal_record) == 32, "rig.py knows the layout");

uint64_t journal_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void journal_append(struct journal *journal, enum journal_kind kind, uint64_t block, uint32_t count, uint64_t sequence,
		    int error, uint64_t time_ns)
{
	struct journal_record record = {
		.kind = (uint16_t)kind,
		.count = (uint16_t)count,
		.error = error,
		.block = block,
		.sequence = sequence,
		.time_ns = time_ns,
	};

	/* O_APPEND: records of several threads do not mix. */
	if (write(journal->fd, &record, sizeof(record)) != (ssize_t)sizeof(record)) {
		perror("witness: cannot append to the journal");
		abort();
	}
}

int journal_open(const char *path, uint64_t blocks, struct journal *ret_journal)
{
	struct journal journal = { .fd = -1, .blocks = blocks };
	struct journal_record first;
	struct stat status;
	off_t whole;
	int rc = 0;

	journal.fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (journal.fd < 0 || fstat(journal.fd, &status) != 0)
		goto failed;
	/* What a killed witness wrote half would shift all that follows. */
	whole = status.st_size - status.st_size % (off_t)sizeof(first);
	if (whole != status.st_size && ftruncate(journal.fd, whole) != 0)
		goto failed;
	if (whole == 0) {
		if (getrandom(&journal.run, sizeof(journal.run), 0) != (ssize_t)sizeof(journal.run))
			goto failed;
		journal_append(&journal, JOURNAL_RUN, blocks, 1, journal.run, 0, journal_now_ns());
	} else {
		if (pread(journal.fd, &first, sizeof(first), 0) != (ssize_t)sizeof(first))
			goto failed;
		if (first.kind != JOURNAL_RUN || first.block != blocks) {
			close(journal.fd);
			return EBADMSG;
		}
		journal.run = first.sequence;
	}
	*ret_journal = journal;
	return 0;
failed:
	rc = errno != 0 ? errno : EIO;
	if (journal.fd >= 0)
		close(journal.fd);
	return rc;
}

static int state_apply(struct journal_state *state, const struct journal_record *record)
{
	uint64_t last = record->sequence + record->count - 1;

	if (record->kind == JOURNAL_END) {
		state->complete = true;
		return 0;
	}
	state->complete = false;
	if (record->kind == JOURNAL_READ)
		return 0;
	if (record->kind < JOURNAL_ISSUED || record->kind > JOURNAL_FAILED || record->count == 0 ||
	    record->block >= state->blocks || record->count > state->blocks - record->block)
		return EBADMSG;
	if (last > state->sequence_max)
		state->sequence_max = last;
	for (uint64_t i = 0; i < record->count; i++) {
		if (record->kind == JOURNAL_ISSUED)
			state->issued[record->block + i] = record->sequence + i;
		else if (record->kind == JOURNAL_DONE)
			state->done[record->block + i] = record->sequence + i;
	}
	if (record->kind == JOURNAL_ISSUED)
		state->writes_issued++;
	if (record->kind == JOURNAL_DONE) {
		state->writes_done++;
		state->last_done_ns = record->time_ns;
	}
	return 0;
}

int journal_load(const char *path, struct journal_state *ret_state)
{
	struct journal_state state = { 0 };
	struct journal_record record;
	FILE *file = fopen(path, "re");
	int rc = 0;

	if (file == NULL)
		return errno;
	if (fread(&record, sizeof(record), 1, file) != 1) {
		rc = ENODATA;
		goto out;
	}
	if (record.kind != JOURNAL_RUN || record.block == 0) {
		rc = EBADMSG;
		goto out;
	}
	state.run = record.sequence;
	state.blocks = record.block;
	state.issued = calloc(state.blocks, sizeof(*state.issued));
	state.done = calloc(state.blocks, sizeof(*state.done));
	if (state.issued == NULL || state.done == NULL) {
		rc = ENOMEM;
		goto out;
	}
	while (rc == 0 && fread(&record, sizeof(record), 1, file) == 1)
		rc = state_apply(&state, &record);
out:
	fclose(file);
	if (rc != 0)
		journal_state_free(&state);
	else
		*ret_state = state;
	return rc;
}

void journal_state_free(struct journal_state *state)
{
	free(state->issued);
	free(state->done);
	state->issued = state->done = NULL;
}
