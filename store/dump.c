/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state as bytes. All numbers little endian.
 *
 *     header   magic 8 | format version 4 | number of tables 4 | number of pairs 8
 *     table    number 4 | zero 4 | number of pairs 8 | pairs, in key order
 *     pair     key size 4 | value size 4 | key | value
 *     end      XXH3-128 of everything before, canonical
 */
#include <string.h>
#include <xxhash.h>

#include "store/internal.h"

#define HEADER_SIZE 24u
#define TABLE_SIZE 16u
#define PAIR_SIZE 8u
#define HASH_SIZE 16u

static const uint8_t dump_magic[8] = "DNVMDMP\n";

static void put32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *bytes, uint64_t value)
{
	put32(bytes, (uint32_t)value);
	put32(bytes + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t get64(const uint8_t *bytes)
{
	return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

/* Everything of every table, in order, to one sink. */
struct walk {
	int (*table)(void *data, enum store_table table, uint64_t count);
	int (*pair)(void *data, struct bytes key, struct bytes value);
	void *data;
};

static int walk_tables(struct store_txn *txn, const struct walk *walk, struct error *error)
{
	struct store_cursor *cursor = NULL;
	struct bytes key, value;
	uint64_t count = 0;
	struct error reason;
	int code;

	for (unsigned table = 0; table < STORE_TABLE_COUNT; table++) {
		code = store_count(txn, (enum store_table)table, &count, error);
		if (code != 0)
			return code;
		if (walk->table(walk->data, (enum store_table)table, count) != 0)
			return error_set_nomem(error);
		code = store_cursor_open(txn, (enum store_table)table, (struct bytes){ 0 }, &cursor, error);
		if (code != 0)
			return code;
		while ((code = store_cursor_next(cursor, &key, &value, &reason)) == 0) {
			if (walk->pair(walk->data, key, value) != 0)
				break;
		}
		store_cursor_close(cursor);
		if (code == 0)
			return error_set_nomem(error);
		if (code != ERROR_NOT_FOUND) {
			if (error != NULL)
				*error = reason;
			return code;
		}
	}
	return 0;
}

static int dump_table(void *data, enum store_table table, uint64_t count)
{
	uint8_t bytes[TABLE_SIZE] = { 0 };

	put32(bytes, (uint32_t)table);
	put64(bytes + 8, count);
	return buffer_append(data, bytes, sizeof(bytes));
}

static int dump_pair(void *data, struct bytes key, struct bytes value)
{
	uint8_t bytes[PAIR_SIZE];
	struct buffer *output = data;

	put32(bytes, (uint32_t)key.size);
	put32(bytes + 4, (uint32_t)value.size);
	if (buffer_reserve(output, sizeof(bytes) + key.size + value.size) != 0)
		return -1;
	buffer_append(output, bytes, sizeof(bytes));
	buffer_append(output, key.data, key.size);
	buffer_append(output, value.data, value.size);
	return 0;
}

int store_dump(struct store_txn *txn, struct buffer *output, struct error *error)
{
	const struct walk walk = { .table = dump_table, .pair = dump_pair, .data = output };
	const size_t start = output->size;
	uint8_t header[HEADER_SIZE] = { 0 };
	XXH128_canonical_t hash;
	uint64_t pairs = 0, count = 0;
	int code = 0;

	for (unsigned table = 0; code == 0 && table < STORE_TABLE_COUNT; table++) {
		code = store_count(txn, (enum store_table)table, &count, error);
		pairs += count;
	}
	if (code != 0)
		return code;
	memcpy(header, dump_magic, sizeof(dump_magic));
	put32(header + 8, STORE_FORMAT_VERSION);
	put32(header + 12, STORE_TABLE_COUNT);
	put64(header + 16, pairs);
	code = buffer_append(output, header, sizeof(header)) != 0 ? error_set_nomem(error) : 0;
	if (code == 0)
		code = walk_tables(txn, &walk, error);
	if (code == 0) {
		XXH128_canonicalFromHash(&hash, XXH3_128bits(output->data + start, output->size - start));
		code = buffer_append(output, hash.digest, sizeof(hash.digest)) != 0 ? error_set_nomem(error) : 0;
	}
	if (code != 0)
		output->size = start;
	return code;
}

static int digest_table(void *data, enum store_table table, uint64_t count)
{
	uint8_t bytes[12];

	put32(bytes, (uint32_t)table);
	put64(bytes + 4, count);
	return XXH3_128bits_update(data, bytes, sizeof(bytes)) == XXH_OK ? 0 : -1;
}

static int digest_pair(void *data, struct bytes key, struct bytes value)
{
	uint8_t bytes[PAIR_SIZE];

	/* With the sizes, no two states give the same stream. */
	put32(bytes, (uint32_t)key.size);
	put32(bytes + 4, (uint32_t)value.size);
	XXH3_128bits_update(data, bytes, sizeof(bytes));
	XXH3_128bits_update(data, key.data, key.size);
	return XXH3_128bits_update(data, value.data, value.size) == XXH_OK ? 0 : -1;
}

int store_digest(struct store_txn *txn, uint8_t ret_digest[16], struct error *error)
{
	struct walk walk = { .table = digest_table, .pair = digest_pair };
	XXH128_canonical_t digest;
	XXH3_state_t *state;
	int code;

	state = XXH3_createState();
	if (state == NULL)
		return error_set_nomem(error);
	XXH3_128bits_reset(state);
	walk.data = state;
	code = walk_tables(txn, &walk, error);
	if (code == 0) {
		XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
		memcpy(ret_digest, digest.digest, sizeof(digest.digest));
	}
	XXH3_freeState(state);
	return code;
}

/* A reader of a dump whose every step checks what remains. */
struct dump_reader {
	struct bytes rest;
	uint32_t tables;
	uint64_t pairs;
};

static int dump_damaged(struct error *error, const char *why)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "the dump of the state is damaged: %s", why);
	error_hint(error, "take another backup or snapshot");
	return ERROR_FAILED_PRECONDITION;
}

static const uint8_t *dump_take(struct dump_reader *reader, size_t size)
{
	const uint8_t *bytes = reader->rest.data;

	if (reader->rest.size < size)
		return NULL;
	reader->rest.data += size;
	reader->rest.size -= size;
	return bytes;
}

/* Check magic, version and checksum. */
static int dump_open(struct bytes dump, struct dump_reader *ret_reader, struct error *error)
{
	XXH128_canonical_t hash;

	if (dump.size < HEADER_SIZE + HASH_SIZE)
		return dump_damaged(error, "it is too short");
	if (memcmp(dump.data, dump_magic, sizeof(dump_magic)) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "this is not a dump of dnvme's state");
	if (get32(dump.data + 8) != STORE_FORMAT_VERSION) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "the dump has format version %u, this program knows version %u", get32(dump.data + 8),
			  STORE_FORMAT_VERSION);
		error_hint(error, "use the version of dnvme that wrote it");
		return ERROR_FAILED_PRECONDITION;
	}
	XXH128_canonicalFromHash(&hash, XXH3_128bits(dump.data, dump.size - HASH_SIZE));
	if (memcmp(hash.digest, dump.data + dump.size - HASH_SIZE, HASH_SIZE) != 0)
		return dump_damaged(error, "its checksum does not match");
	ret_reader->rest.data = dump.data + HEADER_SIZE;
	ret_reader->rest.size = dump.size - HEADER_SIZE - HASH_SIZE;
	ret_reader->tables = get32(dump.data + 12);
	ret_reader->pairs = get64(dump.data + 16);
	if (ret_reader->tables > STORE_TABLE_COUNT)
		return dump_damaged(error, "it has tables that this program does not know");
	return 0;
}

/* Next table; the caller then reads *ret_count pairs. */
static int dump_next_table(struct dump_reader *reader, uint32_t expected, uint64_t *ret_count, struct error *error)
{
	const uint8_t *bytes = dump_take(reader, TABLE_SIZE);

	if (bytes == NULL || get32(bytes) != expected)
		return dump_damaged(error, "a table is missing");
	if (get32(bytes + 4) != 0)
		return dump_damaged(error, "a table is of an unknown kind");
	*ret_count = get64(bytes + 8);
	return 0;
}

static int dump_next_pair(struct dump_reader *reader, struct bytes *ret_key, struct bytes *ret_value,
			  struct error *error)
{
	const uint8_t *sizes = dump_take(reader, PAIR_SIZE);
	const uint8_t *key, *value;

	if (sizes == NULL)
		return dump_damaged(error, "a pair is missing");
	key = dump_take(reader, get32(sizes));
	value = key != NULL ? dump_take(reader, get32(sizes + 4)) : NULL;
	if (value == NULL)
		return dump_damaged(error, "a pair is cut");
	*ret_key = (struct bytes){ .data = key, .size = get32(sizes) };
	*ret_value = (struct bytes){ .data = value, .size = get32(sizes + 4) };
	if (ret_key->size == 0 || ret_key->size > STORE_KEY_MAX || ret_value->size > UINT32_MAX / 2)
		return dump_damaged(error, "a key or a value has an impossible size");
	return 0;
}

static int key_compare(struct bytes a, struct bytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Walk all of it; *ret_room is what its pages may need in the map. */
static int dump_verify(struct dump_reader reader, uint64_t page_bytes, uint64_t *ret_room, struct error *error)
{
	struct bytes key, value, before;
	uint64_t pairs = 0, room = 0, count = 0;
	int code;

	for (uint32_t table = 0; table < reader.tables; table++) {
		before = (struct bytes){ 0 };
		code = dump_next_table(&reader, table, &count, error);
		if (code != 0)
			return code;
		for (uint64_t i = 0; i < count; i++) {
			code = dump_next_pair(&reader, &key, &value, error);
			if (code != 0)
				return code;
			if (before.size > 0 && key_compare(before, key) >= 0)
				return dump_damaged(error, "its keys are not in order");
			before = key;
			/* A page is at least half full; a large value has pages of its own. Sums cannot overflow:
			 * the dump is in memory. */
			room += 2 * (key.size + 32);
			room += value.size > page_bytes / 4 ? value.size + 2 * page_bytes : 2 * value.size;
		}
		pairs += count;
	}
	if (reader.rest.size != 0 || pairs != reader.pairs)
		return dump_damaged(error, "its number of pairs does not match");
	*ret_room = room + room / 16 + 64 * page_bytes;
	return 0;
}

static int load_pairs(struct store_txn *txn, struct dump_reader reader, struct error *error)
{
	MDB_val mdb_key, mdb_value;
	struct bytes key, value;
	uint64_t count = 0;
	int code = 0;

	for (uint32_t table = 0; code == 0 && table < reader.tables; table++) {
		code = dump_next_table(&reader, table, &count, error);
		for (uint64_t i = 0; code == 0 && i < count; i++) {
			code = dump_next_pair(&reader, &key, &value, error);
			if (code != 0)
				break;
			mdb_key = store_value(key);
			mdb_value = store_value(value);
			code = mdb_put(txn->mdb, txn->store->tables[table], &mdb_key, &mdb_value, MDB_APPEND);
			if (code != 0)
				code = store_error_set(error, code, "cannot load table \"%s\"",
						       store_table_name((enum store_table)table));
		}
	}
	return code;
}

int store_load(struct store *store, struct bytes dump, struct error *error)
{
	uint64_t map_bytes, used_bytes, room = 0;
	struct store_txn *txn = NULL;
	struct dump_reader reader;
	int code;

	STORE_CONTRACT(store->open_transactions == 0);
	code = dump_open(dump, &reader, error);
	if (code == 0)
		code = dump_verify(reader, store->page_bytes, &room, error);
	if (code != 0)
		return code;
	/* The old pages become free only with the commit, and their list needs room too. */
	store_usage(store, &map_bytes, &used_bytes);
	code = store_reserve(store, room + used_bytes / 256, error);
	if (code == 0)
		code = store_txn_begin(store, true, &txn, error);
	if (code != 0)
		return error_prefix(error, "cannot load the dump");
	for (unsigned table = 0; code == 0 && table < STORE_TABLE_COUNT; table++) {
		code = mdb_drop(txn->mdb, store->tables[table], 0);
		if (code != 0)
			code = store_error_set(error, code, "cannot empty table \"%s\"",
					       store_table_name((enum store_table)table));
	}
	if (code == 0)
		code = load_pairs(txn, reader, error);
	if (code != 0) {
		store_txn_abort(txn);
		return code;
	}
	return store_txn_commit(txn, error);
}
