/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "store/internal.h"

#define STATE_SIZE 64u

static const uint8_t state_magic[8] = "DNVMEST\n";

/* magic 8 | version 4 | phase 4 | boot id 16 | store id 16 | zero 8 | XXH3-64 of all before 8 */
enum { AT_VERSION = 8, AT_PHASE = 12, AT_BOOT = 16, AT_STORE = 32, AT_ZERO = 48, AT_HASH = 56 };

static void put32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int store_state_read(int directory_fd, const char *directory, struct store_state *ret_state, bool *ret_found,
		     struct error *error)
{
	uint8_t bytes[STATE_SIZE + 1];
	XXH64_canonical_t hash;
	ssize_t size;
	int fd;

	fd = openat(directory_fd, STATE_NAME, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		*ret_found = false;
		return 0;
	}
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open \"%s/" STATE_NAME "\"", directory);
	size = read(fd, bytes, sizeof(bytes));
	if (size < 0) {
		error_set_errno(error, errno, "cannot read \"%s/" STATE_NAME "\"", directory);
		close(fd);
		return error != NULL ? (int)error->code : ERROR_INTERNAL;
	}
	close(fd);
	if (size < 8 || memcmp(bytes, state_magic, sizeof(state_magic)) != 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "\"%s/" STATE_NAME "\" was not written by dnvme",
			  directory);
		error_hint(error, "give dnvme a directory of its own");
		return ERROR_FAILED_PRECONDITION;
	}
	if (size >= AT_PHASE && get32(bytes + AT_VERSION) != STORE_FORMAT_VERSION) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "the store \"%s\" has format version %u, this program knows version %u", directory,
			  get32(bytes + AT_VERSION), STORE_FORMAT_VERSION);
		error_hint(error, "start the version of dnvme that wrote it");
		return ERROR_FAILED_PRECONDITION;
	}
	if (size == STATE_SIZE)
		XXH64_canonicalFromHash(&hash, XXH3_64bits(bytes, AT_HASH));
	if (size != STATE_SIZE || memcmp(hash.digest, bytes + AT_HASH, sizeof(hash.digest)) != 0 ||
	    get32(bytes + AT_PHASE) > STORE_PHASE_REBUILDING) {
		error_set(error, ERROR_FAILED_PRECONDITION, "\"%s/" STATE_NAME "\" is damaged", directory);
		error_hint(error, "remove the directory \"%s\": snapshot and log rebuild the state", directory);
		return ERROR_FAILED_PRECONDITION;
	}
	ret_state->phase = (enum store_phase)get32(bytes + AT_PHASE);
	memcpy(ret_state->boot_id, bytes + AT_BOOT, 16);
	memcpy(ret_state->store_id, bytes + AT_STORE, 16);
	*ret_found = true;
	return 0;
}

int store_state_write(int directory_fd, const char *directory, const struct store_state *state, struct error *error)
{
	uint8_t bytes[STATE_SIZE] = { 0 };
	XXH64_canonical_t hash;
	ssize_t size;
	int fd, code;

	memcpy(bytes, state_magic, sizeof(state_magic));
	put32(bytes + AT_VERSION, STORE_FORMAT_VERSION);
	put32(bytes + AT_PHASE, (uint32_t)state->phase);
	memcpy(bytes + AT_BOOT, state->boot_id, 16);
	memcpy(bytes + AT_STORE, state->store_id, 16);
	XXH64_canonicalFromHash(&hash, XXH3_64bits(bytes, AT_HASH));
	memcpy(bytes + AT_HASH, hash.digest, sizeof(hash.digest));

	fd = openat(directory_fd, STATE_NAME_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return store_errno_set(error, errno, "cannot create \"%s/" STATE_NAME_NEW "\"", directory);
	size = write(fd, bytes, sizeof(bytes));
	if (size != (ssize_t)sizeof(bytes)) {
		/* A short write of 64 bytes means that there is no room for them. */
		code = store_errno_set(error, size < 0 ? errno : ENOSPC, "cannot write \"%s/" STATE_NAME_NEW "\"",
				       directory);
		goto cleanup;
	}
	if (fsync(fd) != 0 || renameat(directory_fd, STATE_NAME_NEW, directory_fd, STATE_NAME) != 0 ||
	    fsync(directory_fd) != 0) {
		code = store_errno_set(error, errno, "cannot replace \"%s/" STATE_NAME "\"", directory);
		goto cleanup;
	}
	close(fd);
	return 0;

cleanup:
	close(fd);
	unlinkat(directory_fd, STATE_NAME_NEW, 0);
	return code;
}
