/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A damaged data file is refused before LMDB follows what stands in it. */
#include "tests/unit/test_store_rig.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/verify.h"
#include "tests/unit/failing_alloc.h"

#define PAGE 4096u
#define FILE_MAX (1u << 20)
#define KEYS 600
#define CHANGES 200u

struct image {
	uint8_t bytes[FILE_MAX];
	size_t size; /* up to the last page in use */
	int fd;
	char path[32];
};

static struct image image;

/* Branch pages, leaf pages, a large value, free pages. */
static void store_fill(struct store *store)
{
	static char value[10000];
	char key[32];

	memset(value, 'x', sizeof(value) - 1);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < KEYS; i += 1 + round) {
			snprintf(key, sizeof(key), "key%04d", i);
			value[round * 20 + 1] = '\0';
			must_put_committed(store, STORE_TABLE_NODE, key, value);
			value[round * 20 + 1] = 'x';
		}
	}
	must_put_committed(store, STORE_TABLE_VOLUME, "large", value);
	must_put_committed(store, STORE_TABLE_META, "m", "1");
}

static void image_take(struct store_rig *rig)
{
	struct store *store = store_rig_must_open(rig);
	uint64_t map_bytes, used_bytes;
	int fd;

	store_fill(store);
	store_usage(store, &map_bytes, &used_bytes);
	store_close(store);
	assert_true(used_bytes < FILE_MAX);
	image.size = used_bytes;
	fd = open(store_rig_path(rig, "data.mdb"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, image.bytes, image.size), (ssize_t)image.size);
	close(fd);
	image.fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(image.fd >= 0);
	snprintf(image.path, sizeof(image.path), "/proc/self/fd/%d", image.fd);
	assert_int_equal(ftruncate(image.fd, (off_t)image.size), 0);
	assert_int_equal(pwrite(image.fd, image.bytes, image.size, 0), (ssize_t)image.size);
}

static struct store_verified verify(uint64_t size)
{
	struct store_verified verified;
	struct error error = { 0 };

	assert_int_equal(store_verify(image.fd, size, "dnvme-store", &verified, &error), 0);
	return verified;
}

/* Read everything, as LMDB does. */
static void read_all(void)
{
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_cursor *tables, *cursor;
	MDB_val name, record, key, value;
	char text[64];
	MDB_dbi main_table, table;
	volatile uint8_t sum = 0;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 32), 0);
	/* It may refuse as well: a size of the map that there cannot be. */
	if (mdb_env_open(env, image.path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600) != 0) {
		mdb_env_close(env);
		return;
	}
	assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &main_table), 0);
	assert_int_equal(mdb_cursor_open(txn, main_table, &tables), 0);
	while (mdb_cursor_get(tables, &name, &record, MDB_NEXT) == 0) {
		if (name.mv_size >= sizeof(text))
			continue;
		memcpy(text, name.mv_data, name.mv_size);
		text[name.mv_size] = '\0';
		if (mdb_dbi_open(txn, text, 0, &table) != 0)
			continue;
		assert_int_equal(mdb_cursor_open(txn, table, &cursor), 0);
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
			for (size_t i = 0; i < value.mv_size; i++)
				sum += ((const uint8_t *)value.mv_data)[i];
		}
		mdb_cursor_close(cursor);
	}
	(void)sum; /* only that it could be read matters */
	mdb_cursor_close(tables);
	mdb_txn_abort(txn);
	mdb_env_close(env);
}

/* Where a page keeps its header and its nodes; data only fills the rest. */
static size_t step_of(size_t at)
{
	return at % PAGE < 256 || at % PAGE > PAGE - 512 ? 1 : 17;
}

static void test_every_byte(void **state)
{
	size_t sound = 0, damaged = 0, unknown = 0;

	image_take(*state);
	assert_int_equal(verify(image.size).verdict, STORE_VERDICT_SOUND);
	assert_int_equal(verify(image.size).page_bytes, PAGE);
	for (size_t at = 0; at < image.size; at += step_of(at)) {
		static const uint8_t masks[] = { 0x01, 0x80, 0xff };

		for (size_t i = 0; i < sizeof(masks); i++) {
			uint8_t byte = image.bytes[at] ^ masks[i];
			struct store_verified verified;

			assert_int_equal(pwrite(image.fd, &byte, 1, (off_t)at), 1);
			verified = verify(image.size);
			sound += verified.verdict == STORE_VERDICT_SOUND;
			damaged += verified.verdict == STORE_VERDICT_DAMAGED;
			unknown += verified.verdict == STORE_VERDICT_UNKNOWN;
			assert_true((verified.why != NULL) == (verified.verdict == STORE_VERDICT_DAMAGED));
			if (verified.verdict == STORE_VERDICT_SOUND)
				read_all();
		}
		assert_int_equal(pwrite(image.fd, &image.bytes[at], 1, (off_t)at), 1);
	}
	print_message("%zu sound, %zu damaged, %zu not known\n", sound, damaged, unknown);
	assert_true(damaged > 1000 && unknown > 10 && sound > 1000);
	close(image.fd);
}

static void test_every_length(void **state)
{
	image_take(*state);
	for (size_t size = 1; size < image.size; size += 509)
		assert_int_not_equal(verify(size).verdict, STORE_VERDICT_SOUND);
	assert_int_equal(verify(image.size).verdict, STORE_VERDICT_SOUND);
	close(image.fd);
}

/* What is free and used, or used twice, would be written over. */
static void test_copied_pages(void **state)
{
	image_take(*state);
	for (size_t page = 2; page < image.size / PAGE; page++) {
		const uint8_t *other = &image.bytes[(page == 2 ? 3 : 2) * PAGE];

		assert_int_equal(pwrite(image.fd, other, PAGE, (off_t)(page * PAGE)), PAGE);
		if (verify(image.size).verdict == STORE_VERDICT_SOUND)
			read_all();
		assert_int_equal(pwrite(image.fd, &image.bytes[page * PAGE], PAGE, (off_t)(page * PAGE)), PAGE);
	}
	close(image.fd);
}

static bool page_is_used(size_t page)
{
	uint8_t other = image.bytes[page * PAGE] ^ 1;
	bool used;

	assert_int_equal(pwrite(image.fd, &other, 1, (off_t)(page * PAGE)), 1);
	used = verify(image.size).verdict == STORE_VERDICT_DAMAGED;
	assert_int_equal(pwrite(image.fd, &image.bytes[page * PAGE], 1, (off_t)(page * PAGE)), 1);
	return used;
}

/* LMDB ends the process when a page that it comes to change has less room than its nodes leave. */
static void test_gaps(void **state)
{
	size_t pages = 0;

	image_take(*state);
	for (size_t page = 2; page < image.size / PAGE; page++) {
		const uint8_t *header = &image.bytes[page * PAGE];
		uint16_t flags, lower, upper;

		memcpy(&flags, header + 10, sizeof(flags));
		memcpy(&lower, header + 12, sizeof(lower));
		memcpy(&upper, header + 14, sizeof(upper));
		if ((flags != 1 && flags != 2) || upper < lower + 2 || !page_is_used(page))
			continue;
		upper -= 2;
		assert_int_equal(pwrite(image.fd, &upper, 2, (off_t)(page * PAGE + 14)), 2);
		assert_int_equal(verify(image.size).verdict, STORE_VERDICT_DAMAGED);
		assert_string_equal(verify(image.size).why, "entries of a page are not side by side");
		assert_int_equal(pwrite(image.fd, header + 14, 2, (off_t)(page * PAGE + 14)), 2);
		pages++;
	}
	assert_true(pages > 5);
	assert_int_equal(verify(image.size).verdict, STORE_VERDICT_SOUND);
	close(image.fd);
}

static void random_change(struct store *store, uint64_t *random)
{
	static uint8_t value[9000];
	struct store_txn *txn;
	struct error error;
	char key[64];

	assert_int_equal(store_reserve(store, 1 << 20, &error), 0);
	assert_int_equal(store_txn_begin(store, true, &txn, &error), 0);
	for (unsigned i = 0; i < 20; i++) {
		enum store_table table;
		struct bytes bytes;
		uint64_t roll;
		int length;

		*random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		roll = *random >> 24;
		table = roll % 3 == 0 ? STORE_TABLE_NODE : roll % 3 == 1 ? STORE_TABLE_VOLUME : STORE_TABLE_FREE;
		length = snprintf(key, sizeof(key), "%0*u", (int)(1 + roll % 40), (unsigned)(roll / 7 % 60));
		bytes = (struct bytes){ (const uint8_t *)key, (size_t)length };
		if (roll / 1000 % 3 == 0)
			store_delete(txn, table, bytes, NULL); /* it need not be there */
		else
			assert_int_equal(store_put(txn, table, bytes,
						   (struct bytes){ value, roll / 3000 % (roll % 10 > 0 ? 300 : 9000) },
						   &error),
					 0);
	}
	assert_int_equal(store_txn_commit(txn, &error), 0);
}

/* Whatever LMDB makes is sound. */
static void test_all_of_ours(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	uint64_t random = 1, map_bytes, used_bytes;

	for (unsigned i = 0; i < CHANGES; i++) {
		struct store_verified verified;
		struct error error;
		int fd;

		random_change(store, &random);
		store_usage(store, &map_bytes, &used_bytes);
		fd = open(store_rig_path(rig, "data.mdb"), O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(store_verify(fd, used_bytes, "dnvme-store", &verified, &error), 0);
		close(fd);
		if (verified.verdict != STORE_VERDICT_SOUND)
			fail_msg("after %u changes: %s", i + 1, verified.why);
	}
	store_close(store);
}

/* A large value that becomes smaller in the same transaction keeps the pages that it had. */
static void test_large_becomes_smaller(void **state)
{
	static const uint8_t value[9000];
	static const size_t sizes[] = { 9000, 5000, 100 };
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn;
	struct error error;

	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(store_txn_begin(store, true, &txn, &error), 0);
		assert_int_equal(store_put(txn, STORE_TABLE_VOLUME, text("large"),
					   (struct bytes){ value, sizes[i - 1] }, &error),
				 0);
		assert_int_equal(
			store_put(txn, STORE_TABLE_VOLUME, text("large"), (struct bytes){ value, sizes[i] }, &error),
			0);
		assert_int_equal(store_txn_commit(txn, &error), 0);
		store_close(store);
		store = store_rig_must_open(*state);
	}
	store_close(store);
}

static void test_no_memory(void **state)
{
	struct store_verified verified = { .verdict = STORE_VERDICT_FOREIGN };
	struct error error = { 0 };

	image_take(*state);
	failing_alloc_arm(1);
	assert_int_equal(store_verify(image.fd, image.size, "dnvme-store", &verified, &error), ERROR_INTERNAL);
	assert_true(failing_alloc_disarm());
	assert_int_equal(verified.verdict, STORE_VERDICT_FOREIGN);
	close(image.fd);
}

static void write_at(struct store_rig *rig, size_t at, const void *bytes, size_t size)
{
	int fd = open(store_rig_path(rig, "data.mdb"), O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)at), (ssize_t)size);
	close(fd);
}

/* Each ended the process, with LMDB alone. */
static void test_open_refuses(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t size;
	} damages[] = {
		{ 16 + 24, 0, 4 },		  /* the size of a page */
		{ PAGE + 16 + 72 + 40, 7777, 8 }, /* the root of the table of tables: beyond the file */
		{ PAGE + 16 + 72 + 40, 1, 8 },	  /* a page of facts as root */
		{ 16, 0, 4 },			  /* no file of LMDB: only one of the two says so */
	};
	struct store_rig *rig = *state;
	struct store *store;
	struct error error;
	uint64_t good;
	int fd;

	/* So many transactions that the second page of facts is the newest. */
	store = store_rig_must_open(rig);
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	must_put_committed(store, STORE_TABLE_NODE, "b", "1");
	store_close(store);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		for (size_t page = 0; page < 2; page++) {
			size_t at = damages[i].at % PAGE + page * PAGE;

			fd = open(store_rig_path(rig, "data.mdb"), O_RDONLY);
			assert_int_equal(pread(fd, &good, sizeof(good), (off_t)at), sizeof(good));
			close(fd);
			write_at(rig, at, &damages[i].value, damages[i].size);
			error_clear(&error);
			/* The facts that are not the newest do not matter, but for their head. */
			if (store_rig_open(rig, &store, &error) == 0) {
				store_close(store);
			} else {
				assert_int_equal(error.code, ERROR_FAILED_PRECONDITION);
				assert_true(error.hint[0] != '\0');
				write_at(rig, at, &good, sizeof(good));
			}
		}
	}
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_every_byte), STORE_TEST(test_every_length), STORE_TEST(test_copied_pages),
		STORE_TEST(test_gaps),	     STORE_TEST(test_all_of_ours),  STORE_TEST(test_large_becomes_smaller),
		STORE_TEST(test_no_memory),  STORE_TEST(test_open_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
