/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A state, and commands, of a version that is yet to come: nothing of them is applied, and it is said why. */
#include "fsm/state.h"
#include "lib/wire/codec.h"
#include "test_recorded_rig.h"
#include "tests/unit/test_fsm_rig.h"

#include <string.h>

/* The entry is not applied, and the error has the words. */
static void stops(struct rig *rig, struct bytes command, const char *words, const char *hint)
{
	struct buffer output = BUFFER_INIT;
	uint8_t before[16], after[16];
	struct error error;

	assert_int_equal(fsm_digest(rig->fsm, before, &error), 0);
	assert_int_not_equal(fsm_apply(rig->fsm, rig->index + 1, &command, 1, &output, &error), 0);
	if (strstr(error.message, words) == NULL)
		fail_msg("\"%s\" says nothing of \"%s\"", error.message, words);
	assert_non_null(strstr(error.hint, hint));
	assert_int_equal(output.size, 0);
	assert_int_equal(fsm_applied_index(rig->fsm), rig->index);
	assert_int_equal(fsm_digest(rig->fsm, after, &error), 0);
	assert_memory_equal(before, after, sizeof(before));
	buffer_free(&output);
}

static void open_with_node(struct rig *rig)
{
	rig_open(rig);
	rig_cluster(rig);
	rig_node(rig, "node1", "10.0.0.1", NULL);
}

static void test_unknown_field(void **state)
{
	struct command_node_cordon cordon = { .name = "node1", .cordoned = true };
	struct command command = { .time_ms = 1, .node_cordon = &cordon };
	struct buffer bytes = BUFFER_INIT, foreign = BUFFER_INIT;
	struct rig rig;

	(void)state;
	open_with_node(&rig);
	rig_encode(&command, &bytes);
	recorded_foreign(buffer_bytes(&bytes), &foreign);
	stops(&rig, buffer_bytes(&foreign), "command: field 60000 is not known to this version", "newer version");
	/* As it was, it is applied. */
	assert_int_equal(rig_apply_bytes(&rig, buffer_bytes(&bytes)).code, 0);
	assert_true(rig_node_of(&rig, "node1").cordoned);
	buffer_free(&bytes);
	buffer_free(&foreign);
	rig_close(&rig);
}

/* Within a record, and a value. */
static void test_unknown_inside(void **state)
{
	/* {2: 1, 5: {1: "node1", 99: true}} and {2: 1, 17: {… reason: 99}} */
	static const uint8_t field[] = { 0x82, 2, 1, 5, 0x82, 1, 0xa5, 'n', 'o', 'd', 'e', '1', 99, 0xc3 };
	static const uint8_t value[] = { 0x82, 2, 1, 17, 0x81, 4, 99 };
	/* One that no version would write is refused alike by all. */
	static const uint8_t wrong[] = { 0x82, 2, 1, 5, 0x81, 1, 7 };
	struct rig rig;

	(void)state;
	open_with_node(&rig);
	stops(&rig, (struct bytes){ field, sizeof(field) }, "node_cordon: field 99 is not known to this version",
	      "newer version");
	stops(&rig, (struct bytes){ value, sizeof(value) }, "lds_stale.reason: 99 is not a value of stale_reason",
	      "newer version");
	rig_refused(rig_apply_bytes(&rig, (struct bytes){ wrong, sizeof(wrong) }), ERROR_INVALID_ARGUMENT,
		    "node_cordon.name: must be a string");
	rig_close(&rig);
}

static void test_upgrade(void **state)
{
	struct command_state_upgrade upgrade = { .version = fsm_version_known() };
	struct command command = { .time_ms = 1, .state_upgrade = &upgrade };
	struct buffer bytes = BUFFER_INIT;
	struct cluster cluster;
	uint64_t revision;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_refused(rig_apply(&rig, command), ERROR_FAILED_PRECONDITION, "no cluster");
	rig_cluster(&rig);
	revision = fsm_revision(rig.fsm);
	rig_do(&rig, command);
	assert_int_equal(fsm_cluster_get(rig.fsm, &rig.arena, &cluster, NULL), 0);
	assert_int_equal(fsm_version_of(&cluster), fsm_version_known());
	assert_int_equal(fsm_revision(rig.fsm), revision + (fsm_version_known() > 1));
	upgrade.version++;
	rig_encode(&command, &bytes);
	stops(&rig, buffer_bytes(&bytes), "the group's state is of version 2, this program knows version 1",
	      "the other servers run");
	buffer_free(&bytes);
	rig_close(&rig);
}

/* As a server of the next version would leave it. */
static void make_newer(struct rig *rig)
{
	struct buffer bytes = BUFFER_INIT;
	struct cluster cluster;
	struct store_txn *txn;
	struct key key;

	assert_int_equal(fsm_cluster_get(rig->fsm, &rig->arena, &cluster, NULL), 0);
	cluster.state_version = fsm_version_known() + 1;
	assert_int_equal(codec_encode(schema_cluster(), &cluster, CODEC_TAGGED, &bytes, NULL), 0);
	assert_int_equal(store_txn_begin(rig->store, true, &txn, NULL), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_META, key_text(&key, META_CLUSTER), buffer_bytes(&bytes), NULL), 0);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	buffer_free(&bytes);
}

static void test_newer_state(void **state)
{
	struct buffer dump = BUFFER_INIT;
	struct rig newer, other;
	struct error error;
	struct fsm *fsm;

	(void)state;
	open_with_node(&newer);
	make_newer(&newer);
	assert_int_equal(fsm_open(newer.store, NULL, NULL, &fsm, &error), ERROR_FAILED_PRECONDITION);
	assert_string_equal(error.message,
			    "cannot read the state: the group's state is of version 2, this program knows version 1");
	assert_int_equal(fsm_dump(newer.fsm, &dump, &error), 0);
	rig_open(&other);
	assert_int_equal(fsm_load(other.fsm, newer.index, buffer_bytes(&dump), &error), ERROR_FAILED_PRECONDITION);
	assert_non_null(strstr(error.message, "of version 2"));
	buffer_free(&dump);
	rig_close(&other);
	rig_close(&newer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_field),
		cmocka_unit_test(test_unknown_inside),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_newer_state),
	};

	return cmocka_run_group_tests_name("fsm_version", tests, NULL, NULL);
}
