/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/backup/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/limits.h"
#include "lib/wire/codec.h"

#define FORMAT_VERSION 1u
#define BEGIN_BYTES 16u /* of the header, before the record */
#define RECORD_BYTES_MAX 4096u
#define FRAME_BYTES 8u /* of a piece, before its bytes */
#define HASH_BYTES 8u
#define END_HASH_BYTES 16u

static const uint8_t magic[8] = "DNVMBAK\n";

static void put32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void hash_put(XXH64_hash_t hash, uint8_t bytes[HASH_BYTES])
{
	XXH64_canonical_t canonical;

	XXH64_canonicalFromHash(&canonical, hash);
	memcpy(bytes, canonical.digest, HASH_BYTES);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static int append(struct backup_encoder *encoder, const void *bytes, size_t size, struct buffer *output,
		  struct error *error)
{
	if (buffer_append(output, bytes, size) != 0)
		return error_set_nomem(error);
	XXH3_128bits_update(encoder->hash, bytes, size);
	return 0;
}

int backup_encode_begin(struct backup_encoder *encoder, const struct backup *backup, struct buffer *output,
			struct error *error)
{
	struct buffer header = BUFFER_INIT;
	uint8_t begin[BEGIN_BYTES] = { 0 }, hash[HASH_BYTES];
	int rv;

	*encoder = (struct backup_encoder){ .hash = XXH3_createState(), .wanted_bytes = backup->state_bytes };
	if (encoder->hash == NULL || buffer_append(&header, begin, sizeof(begin)) != 0) {
		buffer_free(&header);
		return error_set_nomem(error);
	}
	XXH3_128bits_reset(encoder->hash);
	rv = codec_encode(schema_backup(), backup, CODEC_TAGGED, &header, error);
	if (rv == 0) {
		memcpy(header.data, magic, sizeof(magic));
		put32(header.data + 8, FORMAT_VERSION);
		put32(header.data + 12, (uint32_t)(header.size - sizeof(begin)));
		hash_put(XXH3_64bits(header.data, header.size), hash);
		rv = append(encoder, header.data, header.size, output, error);
	}
	if (rv == 0)
		rv = append(encoder, hash, sizeof(hash), output, error);
	buffer_free(&header);
	return rv;
}

int backup_encode_piece(struct backup_encoder *encoder, struct bytes piece, struct buffer *output, struct error *error)
{
	uint8_t frame[FRAME_BYTES] = { 0 }, hash[HASH_BYTES];
	size_t framed = sizeof(frame) + piece.size;
	int rv;

	if (piece.size == 0 || piece.size > LIMIT_BACKUP_PIECE_BYTES)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a piece of a backup has %zu bytes, not 1 to %u",
				 piece.size, LIMIT_BACKUP_PIECE_BYTES);
	put32(frame, (uint32_t)piece.size);
	rv = append(encoder, frame, sizeof(frame), output, error);
	if (rv == 0)
		rv = append(encoder, piece.data, piece.size, output, error);
	if (rv != 0)
		return rv;
	hash_put(XXH3_64bits_withSeed(output->data + output->size - framed, framed, encoder->pieces), hash);
	rv = append(encoder, hash, sizeof(hash), output, error);
	encoder->pieces++;
	encoder->state_bytes += piece.size;
	return rv;
}

int backup_encode_end(struct backup_encoder *encoder, struct buffer *output, struct error *error)
{
	const uint8_t frame[FRAME_BYTES] = { 0 };
	XXH128_canonical_t hash;

	if (encoder->state_bytes != encoder->wanted_bytes)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "the pieces of a backup have %" PRIu64 " bytes, not %" PRIu64, encoder->state_bytes,
				 encoder->wanted_bytes);
	if (append(encoder, frame, sizeof(frame), output, error) != 0)
		return error_set_nomem(error);
	XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(encoder->hash));
	if (buffer_append(output, hash.digest, sizeof(hash.digest)) != 0)
		return error_set_nomem(error);
	return 0;
}

void backup_encode_close(struct backup_encoder *encoder)
{
	XXH3_freeState(encoder->hash);
	encoder->hash = NULL;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
	struct bytes file;
	size_t at;
	uint64_t pieces, state_bytes;
};

static int damaged(struct error *error, size_t at, const char *why)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "the backup is damaged at byte %zu: %s", at, why);
	return error_hint(error, "take another copy of it, or an earlier backup");
}

/* NULL: there are no `size` bytes any more. */
static const uint8_t *take(struct reader *reader, size_t size)
{
	if (reader->file.size - reader->at < size)
		return NULL;
	reader->at += size;
	return reader->file.data + reader->at - size;
}

static int version_check(uint32_t version, struct error *error)
{
	if (version == FORMAT_VERSION)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "the backup has format version %u, this program knows version %u",
		  version, FORMAT_VERSION);
	return error_hint(error, "use the version of dnvme that wrote it, if the file is not damaged");
}

static int header_read(struct reader *reader, struct arena *arena, struct backup *ret_backup, struct error *error)
{
	const uint8_t *begin = take(reader, BEGIN_BYTES), *record, *hash;
	uint8_t wanted[HASH_BYTES];
	uint32_t size;
	int rv;

	if (begin == NULL || memcmp(begin, magic, sizeof(magic)) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "this is not a backup of dnvme");
	if (version_check(get32(begin + 8), error) != 0)
		return ERROR_FAILED_PRECONDITION;
	size = get32(begin + 12);
	if (size > RECORD_BYTES_MAX)
		return damaged(error, 12, "its header has an impossible size");
	record = take(reader, size);
	hash = take(reader, HASH_BYTES);
	if (record == NULL || hash == NULL)
		return damaged(error, reader->file.size, "its header is cut");
	hash_put(XXH3_64bits(begin, BEGIN_BYTES + size), wanted);
	if (memcmp(hash, wanted, sizeof(wanted)) != 0)
		return damaged(error, 0, "the checksum of its header does not match");
	rv = codec_decode(schema_backup(), (struct bytes){ record, size }, arena, ret_backup, error);
	return rv == 0 || rv == ERROR_INTERNAL ? rv : damaged(error, BEGIN_BYTES, "its header says nothing");
}

/* *ret_piece is empty at the end. */
static int piece_read(struct reader *reader, struct bytes *ret_piece, struct error *error)
{
	size_t start = reader->at;
	const uint8_t *frame = take(reader, FRAME_BYTES), *bytes, *hash;
	uint8_t wanted[HASH_BYTES];
	uint32_t size;

	if (frame == NULL)
		return damaged(error, reader->file.size, "it is cut");
	size = get32(frame);
	if (size > LIMIT_BACKUP_PIECE_BYTES || get32(frame + 4) != 0)
		return damaged(error, start, "a piece has an impossible size");
	*ret_piece = (struct bytes){ NULL, 0 };
	if (size == 0)
		return 0;
	bytes = take(reader, size);
	hash = take(reader, HASH_BYTES);
	if (bytes == NULL || hash == NULL)
		return damaged(error, reader->file.size, "it is cut in a piece");
	*ret_piece = (struct bytes){ bytes, size };
	hash_put(XXH3_64bits_withSeed(frame, FRAME_BYTES + (size_t)size, reader->pieces), wanted);
	if (memcmp(hash, wanted, sizeof(wanted)) != 0)
		return damaged(error, start, "the checksum of a piece does not match");
	reader->pieces++;
	reader->state_bytes += size;
	return 0;
}

static int end_read(struct reader *reader, const struct backup *backup, struct error *error)
{
	size_t start = reader->at;
	const uint8_t *hash = take(reader, END_HASH_BYTES);
	XXH128_canonical_t wanted;

	if (hash == NULL)
		return damaged(error, reader->file.size, "its end is cut");
	XXH128_canonicalFromHash(&wanted, XXH3_128bits(reader->file.data, start));
	if (memcmp(hash, wanted.digest, END_HASH_BYTES) != 0)
		return damaged(error, start, "the checksum of the whole does not match");
	if (reader->state_bytes != backup->state_bytes)
		return damaged(error, start, "a piece is missing");
	if (reader->at != reader->file.size)
		return damaged(error, reader->at, "something comes behind its end");
	return 0;
}

int backup_decode(struct bytes file, struct arena *arena, struct backup *ret_backup, struct buffer *state,
		  struct error *error)
{
	struct reader reader = { .file = file };
	size_t before = state != NULL ? state->size : 0;
	struct backup backup;
	struct bytes piece = { NULL, 0 };
	int rv = header_read(&reader, arena, &backup, error);

	while (rv == 0) {
		rv = piece_read(&reader, &piece, error);
		if (rv != 0 || piece.size == 0)
			break;
		if (state != NULL && buffer_append(state, piece.data, piece.size) != 0)
			rv = error_set_nomem(error);
	}
	if (rv == 0)
		rv = end_read(&reader, &backup, error);
	if (rv != 0) {
		if (state != NULL)
			state->size = before;
		return rv;
	}
	*ret_backup = backup;
	return 0;
}

static int content_read(int fd, const char *path, struct buffer *content, struct error *error)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) != 0)
		return error_set_errno(error, errno, "%s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s: this is not a file", path);
	if ((uint64_t)status.st_size > LIMIT_BACKUP_FILE_BYTES)
		return error_set(error, ERROR_TOO_LARGE, "%s: no backup has %lld bytes", path,
				 (long long)status.st_size);
	/* One more, to see its end. */
	if (buffer_reserve(content, (size_t)status.st_size + 1) != 0)
		return error_set_nomem(error);
	do {
		if (buffer_reserve(content, 1) != 0)
			return error_set_nomem(error);
		got = read(fd, content->data + content->size, content->capacity - content->size);
		if (got > 0)
			content->size += (size_t)got;
	} while ((got > 0 && content->size <= LIMIT_BACKUP_FILE_BYTES) || (got < 0 && errno == EINTR));
	return got < 0 ? error_set_errno(error, errno, "%s", path) : 0;
}

int backup_file_read(const char *path, struct arena *arena, struct backup *ret_backup, struct buffer *state,
		     struct error *error)
{
	struct buffer content = BUFFER_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rv;

	if (fd < 0)
		return error_set_errno(error, errno, "%s", path);
	rv = content_read(fd, path, &content, error);
	close(fd);
	if (rv == 0 && backup_decode(buffer_bytes(&content), arena, ret_backup, state, error) != 0)
		rv = error_prefix(error, "%s", path);
	buffer_free(&content);
	return rv;
}
