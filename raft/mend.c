/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a power loss, or the end of the process, may leave in the directory of log and snapshots, and libraft 0.22.1
 * then refuses to load, although nothing is lost. It is put in order before libraft looks.
 *
 *   metadata1, metadata2  of zeros: created, and its content never synced. Nobody was told what it would have held.
 *   open-N                without its first word, which the first write to it brings: that write was never finished, so
 *                         nothing in it was acknowledged. libraft takes such a segment only if it is all zeros; and
 *                         where the closed segments end before a snapshot that was installed it takes it for more.
 *   FIRST-END             of a truncation that was not finished: both the segment and its shorter self, or a gap behind
 *                         the entries that stay. A file "truncating-INDEX" stands from before libraft begins until an
 *                         entry was written behind the ones that stayed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/canary.h"
#include "lib/base/log.h"
#include "raft/internal.h"

#define METADATA_BYTES 32
#define NAME_SIZE 64
#define MARKER "truncating-"

struct listing {
	int fd; /* the directory */
	const char *directory;
	struct dirent **entries;
	int count;
	bool changed;
};

static void listing_free(struct listing *listing)
{
	for (int i = 0; i < listing->count; i++)
		free(listing->entries[i]);
	free(listing->entries);
	if (listing->fd >= 0)
		close(listing->fd);
}

static int listing_make(const char *directory, struct listing *ret_listing, struct error *error)
{
	struct listing listing = { .directory = directory };

	listing.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listing.fd < 0)
		return error_set_errno(error, errno, "cannot open %s", directory);
	listing.count = scandirat(listing.fd, ".", &listing.entries, NULL, NULL);
	if (listing.count < 0) {
		error_set_errno(error, errno, "cannot read %s", directory);
		close(listing.fd);
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	*ret_listing = listing;
	return 0;
}

/* The numbers in a name of exactly this form. */
static bool name_is_open(const char *name, uint64_t *ret_number)
{
	int used = 0;

	return sscanf(name, "open-%" SCNu64 "%n", ret_number, &used) == 1 && name[used] == '\0';
}

static bool name_is_closed(const char *name, uint64_t *ret_first, uint64_t *ret_end)
{
	int used = 0;

	return sscanf(name, "%16" SCNu64 "-%16" SCNu64 "%n", ret_first, ret_end, &used) == 2 && name[used] == '\0';
}

static bool name_is_snapshot(const char *name, uint64_t *ret_index)
{
	int used = 0;

	return sscanf(name, "snapshot-%*u-%" SCNu64 "-%*u.meta%n", ret_index, &used) == 1 && used > 0 &&
	       name[used] == '\0';
}

static bool name_is_marker(const char *name, uint64_t *ret_index)
{
	int used = 0;

	return sscanf(name, MARKER "%" SCNu64 "%n", ret_index, &used) == 1 && name[used] == '\0';
}

/* *ret_size is how many bytes there are, at most `size`. */
static int file_begin(const struct listing *listing, const char *name, void *bytes, size_t size, size_t *ret_size,
		      struct error *error)
{
	int fd = openat(listing->fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s/%s", listing->directory, name);
	got = pread(fd, bytes, size, 0);
	if (got < 0)
		error_set_errno(error, errno, "cannot read %s/%s", listing->directory, name);
	close(fd);
	if (got < 0)
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	*ret_size = (size_t)got;
	return 0;
}

static int file_drop(struct listing *listing, const char *name, const char *why, struct error *error)
{
	if (unlinkat(listing->fd, name, 0) != 0 && errno != ENOENT)
		return error_set_errno(error, errno, "cannot remove %s/%s", listing->directory, name);
	listing->changed = true;
	if (why != NULL)
		log_notice("removed what an interrupted write to the Raft log left", "file=%s/%s reason=\"%s\"",
			   listing->directory, name, why);
	return 0;
}

static int metadata_mend(struct listing *listing, const char *name, struct error *error)
{
	static const uint8_t zeros[METADATA_BYTES];
	uint8_t content[METADATA_BYTES];
	size_t size;

	if (file_begin(listing, name, content, sizeof(content), &size, error) != 0)
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	if (size != sizeof(content) || memcmp(content, zeros, sizeof(zeros)) != 0)
		return 0;
	return file_drop(listing, name, "its content was never written", error);
}

/* Whether the first write to a segment was finished. */
static int open_is_begun(const struct listing *listing, const char *name, bool *ret_begun, struct error *error)
{
	uint64_t word = 0;
	size_t size;
	int rv = file_begin(listing, name, &word, sizeof(word), &size, error);

	if (rv == 0)
		*ret_begun = word != 0;
	return rv;
}

/* The last open segment that was begun; 0: none was. */
static int opens_look(const struct listing *listing, uint64_t *ret_last, struct error *error)
{
	uint64_t number, last = 0;
	bool begun;

	for (int i = 0; i < listing->count; i++) {
		const char *name = listing->entries[i]->d_name;

		if (!name_is_open(name, &number))
			continue;
		if (open_is_begun(listing, name, &begun, error) != 0)
			return error != NULL ? (int)error->code : ERROR_INTERNAL;
		if (begun && number > last)
			last = number;
	}
	*ret_last = last;
	return 0;
}

/* *ret_zeros: nothing was ever written to it. */
static int open_is_zeros(const struct listing *listing, const char *name, bool *ret_zeros, struct error *error)
{
	uint8_t piece[65536];
	int fd = openat(listing->fd, name, O_RDONLY | O_CLOEXEC);
	bool zeros = true;
	ssize_t got = 0;
	off_t at;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s/%s", listing->directory, name);
	/* Most of it has no blocks yet. */
	for (at = lseek(fd, 0, SEEK_DATA); zeros && at >= 0; at = lseek(fd, at + got, SEEK_DATA)) {
		got = pread(fd, piece, sizeof(piece), at);
		if (got <= 0)
			break;
		zeros = piece[0] == 0 && memcmp(piece, piece + 1, (size_t)got - 1) == 0;
	}
	if (got < 0)
		error_set_errno(error, errno, "cannot read %s/%s", listing->directory, name);
	close(fd);
	if (got < 0)
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	*ret_zeros = zeros;
	return 0;
}

/* Whether the closed segments end before the last snapshot. */
static bool ends_before_snapshot(const struct listing *listing)
{
	uint64_t first, end, last = 0, index, snapshot = 0;

	for (int i = 0; i < listing->count; i++) {
		const char *name = listing->entries[i]->d_name;

		if (name_is_closed(name, &first, &end) && end > last)
			last = end;
		if (name_is_snapshot(name, &index) && index > snapshot)
			snapshot = index;
	}
	return last > 0 && last < snapshot;
}

/* Those before the last one that was begun are left to libraft: it would be damage. So are empty ones that do not stand
 * in its way: on a full disk they are room that the member still has. */
static int opens_mend(struct listing *listing, uint64_t last_begun, struct error *error)
{
	bool all = last_begun == 0 && ends_before_snapshot(listing), zeros = false;
	uint64_t number;
	int rv = 0;

	for (int i = 0; rv == 0 && i < listing->count; i++) {
		const char *name = listing->entries[i]->d_name;

		if (!name_is_open(name, &number) || number <= last_begun)
			continue;
		if (!all)
			rv = open_is_zeros(listing, name, &zeros, error);
		if (rv == 0 && (all || !zeros))
			rv = file_drop(listing, name, "its first entries were never acknowledged", error);
	}
	return rv;
}

static bool has_closed(const struct listing *listing, uint64_t wanted_first, uint64_t wanted_end)
{
	uint64_t first, end;

	for (int i = 0; i < listing->count; i++) {
		if (name_is_closed(listing->entries[i]->d_name, &first, &end) && first == wanted_first &&
		    end == wanted_end)
			return true;
	}
	return false;
}

/* Finish what libraft began: entries from `index` on go. */
static int truncation_finish(struct listing *listing, uint64_t index, struct error *error)
{
	uint64_t first, end;

	for (int i = 0; i < listing->count; i++) {
		const char *name = listing->entries[i]->d_name;

		if (!name_is_closed(name, &first, &end) || end < index)
			continue;
		/* Without its shorter self a segment stays as it is: the leader takes its end away again. */
		if (first < index && !has_closed(listing, first, index - 1))
			continue;
		if (file_drop(listing, name, "its entries were being replaced by the leader's", error) != 0)
			return error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	return 0;
}

static int truncations_mend(struct listing *listing, uint64_t last_begun, struct error *error)
{
	uint64_t index;
	int rv = 0;

	for (int i = 0; rv == 0 && i < listing->count; i++) {
		const char *name = listing->entries[i]->d_name;

		if (!name_is_marker(name, &index))
			continue;
		/* libraft closes all segments before it truncates, and begins one after: it is not in between. */
		if (last_begun == 0)
			rv = truncation_finish(listing, index, error);
		/* The marker must not be gone before what it stands for. */
		if (rv == 0)
			rv = directory_sync(listing->directory, error);
		if (rv == 0)
			rv = file_drop(listing, name, NULL, error);
	}
	return rv;
}

int directory_mend(const char *directory, struct error *error)
{
	struct listing listing = { .fd = -1 };
	uint64_t last_begun = 0;
	int rv;

	if (canary("skip_mend"))
		return 0;
	rv = listing_make(directory, &listing, error);
	if (rv != 0)
		return rv;
	for (int i = 0; rv == 0 && i < listing.count; i++) {
		const char *name = listing.entries[i]->d_name;

		if (strcmp(name, "metadata1") == 0 || strcmp(name, "metadata2") == 0)
			rv = metadata_mend(&listing, name, error);
	}
	if (rv == 0)
		rv = opens_look(&listing, &last_begun, error);
	if (rv == 0)
		rv = opens_mend(&listing, last_begun, error);
	if (rv == 0)
		rv = truncations_mend(&listing, last_begun, error);
	if (rv == 0 && listing.changed)
		rv = directory_sync(directory, error);
	listing_free(&listing);
	return rv;
}

int truncation_begin(const char *directory, uint64_t index, struct error *error)
{
	char name[NAME_SIZE];
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, rv = 0;

	if (directory_fd < 0)
		return error_set_errno(error, errno, "cannot open %s", directory);
	snprintf(name, sizeof(name), MARKER "%" PRIu64, index);
	fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(directory_fd) != 0)
		rv = error_set_errno(error, errno, "cannot make %s/%s", directory, name);
	if (fd >= 0)
		close(fd);
	close(directory_fd);
	return rv;
}

int truncation_end(const char *directory, struct error *error)
{
	struct listing listing = { .fd = -1 };
	uint64_t index;
	int rv = listing_make(directory, &listing, error);

	if (rv != 0)
		return rv;
	for (int i = 0; rv == 0 && i < listing.count; i++) {
		if (name_is_marker(listing.entries[i]->d_name, &index))
			rv = file_drop(&listing, listing.entries[i]->d_name, NULL, error);
	}
	if (rv == 0)
		rv = directory_sync(directory, error);
	listing_free(&listing);
	return rv;
}
