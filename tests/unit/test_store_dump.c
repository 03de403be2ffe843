/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dump, load and digest. */
#include "tests/unit/test_store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/unit/failing_alloc.h"

struct pair_of_stores {
	struct store_rig *rigs[2];
	struct store *stores[2];
};

static int pair_setup(void **state)
{
	struct pair_of_stores *pair = calloc(1, sizeof(*pair));

	for (unsigned i = 0; i < 2; i++) {
		void *rig = NULL;

		if (store_rig_setup(&rig) != 0)
			return -1;
		pair->rigs[i] = rig;
		pair->rigs[i]->boot_id[0] = (uint8_t)i;
		if (store_rig_open(pair->rigs[i], &pair->stores[i], NULL) != 0)
			return -1;
	}
	*state = pair;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair_of_stores *pair = *state;

	for (unsigned i = 0; i < 2; i++) {
		void *rig = pair->rigs[i];

		store_close(pair->stores[i]);
		store_rig_teardown(&rig);
	}
	free(pair);
	return 0;
}

static struct buffer must_dump(struct store *store)
{
	struct buffer output = BUFFER_INIT;
	struct store_txn *txn = NULL;

	assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
	assert_int_equal(store_dump(txn, &output, NULL), 0);
	store_txn_abort(txn);
	return output;
}

static void small_state(struct store *store)
{
	must_put_committed(store, STORE_TABLE_META, "index", "7");
	must_put_committed(store, STORE_TABLE_NODE, "n1", "first");
	must_put_committed(store, STORE_TABLE_NODE, "n2", "");
	must_put_committed(store, STORE_TABLE_REQUEST_AGE, "r", "last table");
}

static void test_round_trip(void **state)
{
	struct pair_of_stores *pair = *state;
	uint8_t digests[2][16];
	struct buffer dump, again;
	struct error error = { 0 };

	small_state(pair->stores[0]);
	must_put_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must go");
	must_digest(pair->stores[0], digests[0]);
	must_digest(pair->stores[1], digests[1]);
	assert_memory_not_equal(digests[0], digests[1], 16);
	dump = must_dump(pair->stores[0]);
	if (store_load(pair->stores[1], buffer_bytes(&dump), &error) != 0)
		fail_msg("%s", error.message);
	must_hold_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", NULL);
	must_hold_committed(pair->stores[1], STORE_TABLE_NODE, "n2", "");
	must_digest(pair->stores[1], digests[1]);
	assert_memory_equal(digests[0], digests[1], 16);
	again = must_dump(pair->stores[1]);
	assert_int_equal(dump.size, again.size);
	assert_memory_equal(dump.data, again.data, dump.size);
	buffer_free(&dump);
	buffer_free(&again);
}

/* The digest depends on the state, not on how it came about; every kind of difference changes it. */
static void test_digest(void **state)
{
	struct pair_of_stores *pair = *state;
	uint8_t digests[2][16];
	struct store_txn *txn = NULL;

	must_put_committed(pair->stores[0], STORE_TABLE_NODE, "a", "1");
	must_put_committed(pair->stores[0], STORE_TABLE_NODE, "b", "2");
	must_put_committed(pair->stores[1], STORE_TABLE_NODE, "b", "x");
	must_put_committed(pair->stores[1], STORE_TABLE_NODE, "c", "x");
	must_put_committed(pair->stores[1], STORE_TABLE_NODE, "b", "2");
	must_put_committed(pair->stores[1], STORE_TABLE_NODE, "a", "1");
	must_digest(pair->stores[0], digests[0]);
	must_digest(pair->stores[1], digests[1]);
	assert_memory_not_equal(digests[0], digests[1], 16);
	assert_int_equal(store_txn_begin(pair->stores[1], true, &txn, NULL), 0);
	must_delete(txn, STORE_TABLE_NODE, "c");
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	must_digest(pair->stores[1], digests[1]);
	assert_memory_equal(digests[0], digests[1], 16);

	/* The same pairs in another table; the border between key and value elsewhere. */
	assert_int_equal(store_txn_begin(pair->stores[1], true, &txn, NULL), 0);
	must_delete(txn, STORE_TABLE_NODE, "a");
	must_put(txn, STORE_TABLE_META, "a", "1");
	assert_int_equal(store_digest(txn, digests[1], NULL), 0);
	assert_memory_not_equal(digests[0], digests[1], 16);
	must_delete(txn, STORE_TABLE_META, "a");
	must_put(txn, STORE_TABLE_NODE, "a1", "");
	assert_int_equal(store_digest(txn, digests[1], NULL), 0);
	assert_memory_not_equal(digests[0], digests[1], 16);
	store_txn_abort(txn);
}

/* Loading is refused with these words, and changes nothing. */
static void must_refuse(struct store *store, const uint8_t digest[16], struct bytes dump, const char *words)
{
	struct error error = { 0 };
	uint8_t after[16];

	assert_int_equal(store_load(store, dump, &error), ERROR_FAILED_PRECONDITION);
	if (strstr(error.message, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, error.message);
	must_digest(store, after);
	assert_memory_equal(digest, after, 16);
}

static void test_cut_at_every_byte(void **state)
{
	struct pair_of_stores *pair = *state;
	struct buffer dump;
	uint8_t digest[16];

	small_state(pair->stores[0]);
	must_put_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must stay");
	must_digest(pair->stores[1], digest);
	dump = must_dump(pair->stores[0]);
	for (size_t size = 0; size < dump.size; size++) {
		/* A copy of exactly that size, so that a sanitizer sees every byte read too far. */
		uint8_t *copy = malloc(size > 0 ? size : 1);

		memcpy(copy, dump.data, size);
		must_refuse(pair->stores[1], digest, (struct bytes){ copy, size }, "damaged");
		free(copy);
	}
	/* One byte more. */
	assert_int_equal(buffer_append(&dump, "x", 1), 0);
	must_refuse(pair->stores[1], digest, buffer_bytes(&dump), "damaged");
	buffer_free(&dump);
}

static void test_every_flipped_bit(void **state)
{
	struct pair_of_stores *pair = *state;
	struct buffer dump;
	uint8_t digest[16];

	small_state(pair->stores[0]);
	must_put_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must stay");
	must_digest(pair->stores[1], digest);
	dump = must_dump(pair->stores[0]);
	for (size_t bit = 0; bit < dump.size * 8; bit++) {
		dump.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		must_refuse(pair->stores[1], digest, buffer_bytes(&dump),
			    bit < 64   ? "not a dump of dnvme"
			    : bit < 96 ? "format version"
				       : "checksum");
		dump.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(store_load(pair->stores[1], buffer_bytes(&dump), NULL), 0);
	buffer_free(&dump);
}

/* A checksum keeps nobody out who writes one: what is taken is what was given, to the last bit. */
static void test_every_flipped_bit_with_its_checksum(void **state)
{
	const size_t hash_size = sizeof(XXH128_canonical_t);
	struct pair_of_stores *pair = *state;
	struct buffer dump, again;
	XXH128_canonical_t hash;
	size_t taken = 0;

	small_state(pair->stores[0]);
	dump = must_dump(pair->stores[0]);
	for (size_t bit = 96; bit < (dump.size - hash_size) * 8; bit++) {
		dump.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		XXH128_canonicalFromHash(&hash, XXH3_128bits(dump.data, dump.size - hash_size));
		memcpy(dump.data + dump.size - hash_size, hash.digest, hash_size);
		if (store_load(pair->stores[1], buffer_bytes(&dump), NULL) == 0) {
			again = must_dump(pair->stores[1]);
			assert_int_equal(again.size, dump.size);
			assert_memory_equal(again.data, dump.data, dump.size);
			buffer_free(&again);
			taken++;
		}
		dump.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(taken > 100);
	buffer_free(&dump);
}

/* Large and small values, more than the map of the receiver holds at first. */
static void test_large(void **state)
{
	struct pair_of_stores *pair = *state;
	struct store_txn *txn = NULL;
	static uint8_t value[70000];
	uint8_t digests[2][16];
	struct buffer dump;
	char key[64];

	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(store_reserve(pair->stores[0], 40 << 20, NULL), 0);
		assert_int_equal(store_txn_begin(pair->stores[0], true, &txn, NULL), 0);
		for (unsigned i = 0; i < 3000; i++) {
			size_t size = i % 50 == 0 ? sizeof(value) - i : i % 3000;

			snprintf(key, sizeof(key), "key-%u-%u", i, i % (round + 2));
			assert_int_equal(store_put(txn, (enum store_table)(i % STORE_TABLE_COUNT), text(key),
						   (struct bytes){ value, size }, NULL),
					 0);
		}
		assert_int_equal(store_txn_commit(txn, NULL), 0);
		dump = must_dump(pair->stores[0]);
		assert_int_equal(store_load(pair->stores[1], buffer_bytes(&dump), NULL), 0);
		buffer_free(&dump);
		must_digest(pair->stores[0], digests[0]);
		must_digest(pair->stores[1], digests[1]);
		assert_memory_equal(digests[0], digests[1], 16);
	}
}

/* No room for the dump: refused, the old state stays. */
static void test_load_without_room(void **state)
{
	struct pair_of_stores *pair = *state;
	struct store_rig *rig = pair->rigs[1];
	static uint8_t value[200000];
	struct store_txn *txn = NULL;
	struct error error = { 0 };
	struct buffer dump;
	char key[16];

	store_close(pair->stores[1]);
	rig->limit_bytes = 2 << 20;
	pair->stores[1] = store_rig_must_open(rig);
	must_put_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must stay");
	assert_int_equal(store_reserve(pair->stores[0], 8 << 20, NULL), 0);
	assert_int_equal(store_txn_begin(pair->stores[0], true, &txn, NULL), 0);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(
			store_put(txn, STORE_TABLE_NODE, text(key), (struct bytes){ value, sizeof(value) }, NULL), 0);
	}
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	dump = must_dump(pair->stores[0]);
	assert_int_equal(store_load(pair->stores[1], buffer_bytes(&dump), &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "cannot load the dump"));
	must_hold_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must stay");
	must_hold_committed(pair->stores[1], STORE_TABLE_NODE, "1", NULL);
	buffer_free(&dump);
}

static void test_failing_allocations(void **state)
{
	struct pair_of_stores *pair = *state;
	struct buffer output = BUFFER_INIT, dump;
	struct store_txn *txn = NULL;
	uint8_t digest[16], after[16];
	unsigned failures = 0;

	small_state(pair->stores[0]);
	dump = must_dump(pair->stores[0]);
	for (unsigned long n = 1;; n++) {
		assert_int_equal(store_txn_begin(pair->stores[0], false, &txn, NULL), 0);
		output = (struct buffer)BUFFER_INIT;
		failing_alloc_arm(n);
		int code = store_dump(txn, &output, NULL);
		bool failed = failing_alloc_disarm();

		store_txn_abort(txn);
		if (!failed) {
			assert_int_equal(code, 0);
			break;
		}
		assert_int_equal(code, ERROR_INTERNAL);
		assert_int_equal(output.size, 0);
		buffer_free(&output);
		failures++;
	}
	assert_true(failures >= STORE_TABLE_COUNT);
	assert_int_equal(output.size, dump.size);
	buffer_free(&output);

	must_put_committed(pair->stores[1], STORE_TABLE_VOLUME, "old", "must stay");
	must_digest(pair->stores[1], digest);
	failures = 0;
	for (unsigned long n = 1;; n++) {
		failing_alloc_arm(n);
		int code = store_load(pair->stores[1], buffer_bytes(&dump), NULL);

		if (!failing_alloc_disarm()) {
			assert_int_equal(code, 0);
			break;
		}
		assert_int_equal(code, ERROR_INTERNAL);
		must_digest(pair->stores[1], after);
		assert_memory_equal(digest, after, 16);
		failures++;
	}
	assert_true(failures >= 1);
	must_hold_committed(pair->stores[1], STORE_TABLE_NODE, "n1", "first");
	buffer_free(&dump);
}

int main(void)
{
#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_round_trip),
		PAIR_TEST(test_digest),
		PAIR_TEST(test_cut_at_every_byte),
		PAIR_TEST(test_every_flipped_bit),
		PAIR_TEST(test_every_flipped_bit_with_its_checksum),
		PAIR_TEST(test_large),
		PAIR_TEST(test_load_without_room),
		PAIR_TEST(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
