/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `dnvme volume explain` prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/volume_explain.h"
#include "tests/unit/failing_alloc.h"

#define NOW UINT64_C(1700000100000)

static void check_text(const struct volume_explanation *explanation, const char *wanted)
{
	struct buffer text = BUFFER_INIT;
	struct arena arena = ARENA_INIT;

	assert_int_equal(volume_explain_draw(explanation, &arena, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_string_equal((const char *)text.data, wanted);
	buffer_free(&text);
	arena_free(&arena);
}

static struct explained_slot slots[] = {
	{ .slot = 0, .holder = "cn1", .health = HEALTH_ONLINE, .epoch = 1, .phase = SLOT_PHASE_SERVING },
	{ .slot = 1,
	  .holder = "cn3",
	  .health = HEALTH_SUSPECT,
	  .epoch = 2,
	  .phase = SLOT_PHASE_FENCING,
	  .reason = MOVE_REASON_FAILOVER,
	  .since_ms = NOW - 1500 },
};
static struct explained_controller controllers[] = {
	{ .node = "cn4", .role = CONTROLLER_ROLE_STANDBY, .health = HEALTH_ONLINE, .ready = true },
	{ .node = "cn5", .role = CONTROLLER_ROLE_STANDBY, .health = HEALTH_OFFLINE, .note = "node cn5 is offline" },
	{ .node = "cn2", .role = CONTROLLER_ROLE_RETIRED, .health = HEALTH_OFFLINE, .note = "node cn2 is offline" },
};
static struct explained_member members[] = {
	{ .leg = 0,
	  .group = 0,
	  .slot = 0,
	  .ld = 1,
	  .disk = 1,
	  .node = "dn1",
	  .health = HEALTH_ONLINE,
	  .state = LD_STATE_IN_SYNC,
	  .since_ms = 5,
	  .well = true },
	{ .leg = 0,
	  .group = 0,
	  .slot = 0,
	  .ld = 2,
	  .disk = 2,
	  .node = "dn2",
	  .health = HEALTH_ONLINE,
	  .state = LD_STATE_REBUILDING,
	  .reason = STALE_REASON_MEDIUM,
	  .since_ms = NOW - 100000,
	  .done_bytes = 1 << 20,
	  .total_bytes = 4 << 20,
	  .rate_bytes = 512 << 10 },
	{ .leg = 1,
	  .group = 3,
	  .slot = 1,
	  .ld = 7,
	  .disk = 4,
	  .node = "dn3",
	  .health = HEALTH_OFFLINE,
	  .state = LD_STATE_STALE,
	  .reason = STALE_REASON_PATH_LOST,
	  .since_ms = NOW - 7300000,
	  .leaves = true },
	{ .leg = 1, .group = 3, .slot = 1, .ld = 8, .disk = 9, .state = LD_STATE_FREED, .reason = STALE_REASON_LOST },
};
static const char *live[] = { "cn1", "cn4" }, *lost[] = { "cn3" };
static struct explained_host hosts[] = {
	{ .nqn = "nqn.a", .live = { 2, live }, .lost = { 1, lost }, .tells = true },
	{ .nqn = "nqn.b" },
};
static struct finding findings[] = {
	{ .object = "node dn3",
	  .seen = "it is offline: its agent is not heard of",
	  .since_ms = NOW - 200000000,
	  .meaning = "it has 1 of 9 LDs" },
	{ .object = "export d2.v1.s0 of node dn2", .seen = "failed: no such device" },
};
static const char *stops[] = { "ld1 on d1 of node dn1, the only copy of leg 0" };
static struct prospect prospects[] = {
	{ .kind = PROSPECT_KIND_NOW, .text = "slot 1 goes on to assembling" },
	{ .kind = PROSPECT_KIND_THEN, .text = "the leader has another disk take its place", .at_ms = NOW + 500000 },
	{ .kind = PROSPECT_KIND_WAITS, .text = "ld2: node cn1 rebuilds it" },
	{ .kind = PROSPECT_KIND_BLOCKED, .text = "no room", .details = "node dn1 is full\nnode dn2 is cordoned" },
};
static struct advice advice[] = {
	{ .text = "bring node dn3 back", .command = "dnvme node get dn3" },
	{ .text = "add a disk" },
};
static struct event events[] = {
	{ .revision = 9,
	  .index = 1,
	  .time_ms = NOW - 1000,
	  .kind = EVENT_KIND_MEMBER_STALE,
	  .volume = 1,
	  .volume_name = "db1",
	  .ld = 7,
	  .disk = 4,
	  .state = "stale",
	  .reason = "path-lost" },
};

static const struct volume_explanation all = { .id = 1,
					       .name = "db1",
					       .condition = VOLUME_CONDITION_WAITING,
					       .sentence = "slot 1 is not served; hosts wait",
					       .since_ms = NOW - 1500,
					       .time_ms = NOW,
					       .slots = { 2, slots },
					       .controllers = { 3, controllers },
					       .members = { 4, members },
					       .member_count = 9,
					       .hosts = { 2, hosts },
					       .findings = { 2, findings },
					       .finding_count = 3,
					       .stops_if = { 1, stops },
					       .prospects = { 4, prospects },
					       .advice = { 2, advice },
					       .events = { 1, events } };

static void test_text(void **state)
{
	(void)state;
	check_text(
		&all,
		"volume db1 (v1) is waiting: slot 1 is not served; hosts wait, since 2023-11-14T22:14:58Z (1 s)\n"
		"who holds what\n"
		"  slot 0  node cn1  serving, epoch 1\n"
		"  slot 1  node cn3  fencing, epoch 2, after failover, since 2023-11-14T22:14:58Z (1 s), the node "
		"is suspect\n"
		"  standby  node cn4  ready\n"
		"  standby  node cn5  not ready: node cn5 is offline\n"
		"  retired  node cn2  has something left: node cn2 is offline\n"
		"  leg 0, group 0  of slot 0\n"
		"    ld1  disk d1  node dn1  in-sync\n"
		"    ld2  disk d2  node dn2  rebuilding (medium), since 2023-11-14T22:13:20Z (100 s), 1 MiB of 4 MiB, "
		"512 KiB a second\n"
		"  leg 1, group 3  of slot 1\n"
		"    ld7  disk d4  node dn3  stale (path-lost), since 2023-11-14T20:13:20Z (2 h), leaves for another "
		"disk, the node is offline\n"
		"    ld8  disk d9  node ?  freed (lost)\n"
		"  and 5 copies more\n"
		"  host  nqn.a  reaches cn1, cn4  does not reach cn3\n"
		"  host  nqn.b  does not tell of its paths\n"
		"what is wrong\n"
		"  - node dn3: it is offline: its agent is not heard of, since 2023-11-12T14:41:40Z (2 days)\n"
		"      it has 1 of 9 LDs\n"
		"  - export d2.v1.s0 of node dn2: failed: no such device\n"
		"  and 1 more\n"
		"what must not be lost now\n"
		"  - ld1 on d1 of node dn1, the only copy of leg 0\n"
		"what happens next\n"
		"  - now: slot 1 goes on to assembling\n"
		"  - at 2023-11-14T22:23:20Z (in 8 min): the leader has another disk take its place\n"
		"  - it waits for: ld2: node cn1 rebuilds it\n"
		"  - nothing can be done: no room\n"
		"      node dn1 is full\n"
		"      node dn2 is cordoned\n"
		"what you can do\n"
		"  - bring node dn3 back\n"
		"      dnvme node get dn3\n"
		"  - add a disk\n"
		"what happened last\n"
		"  2023-11-14T22:14:59Z  volume db1: ld7 on d4 is stale: path-lost\n");
}

static void test_text_well(void **state)
{
	struct volume_explanation well = { .id = 1,
					   .name = "db1",
					   .condition = VOLUME_CONDITION_WELL,
					   .sentence = "every slot is served",
					   .time_ms = NOW,
					   .slots = { 1, slots },
					   .members = { 1, members },
					   .member_count = 1 };

	(void)state;
	check_text(&well, "volume db1 (v1) is well: every slot is served\n"
			  "who holds what\n"
			  "  slot 0  node cn1  serving, epoch 1\n"
			  "  leg 0, group 0  of slot 0\n"
			  "    ld1  disk d1  node dn1  in-sync\n"
			  "  no host is attached\n");
}

/* The longest texts that a server may send are not cut. */
static void test_text_long(void **state)
{
	static char object[LIMIT_NQN + 1], text[LIMIT_TEXT + 1];
	struct finding finding = { .object = object, .seen = text, .since_ms = NOW };
	struct volume_explanation explanation = all;
	struct buffer drawn = BUFFER_INIT;
	struct arena arena = ARENA_INIT;

	(void)state;
	memset(object, 'o', LIMIT_NQN);
	memset(text, 't', LIMIT_TEXT - 3);
	strcat(text, "end");
	explanation.findings = (struct finding_list){ 1, &finding };
	assert_int_equal(volume_explain_draw(&explanation, &arena, &drawn), 0);
	assert_int_equal(buffer_append(&drawn, "", 1), 0);
	assert_non_null(strstr((const char *)drawn.data, "ttend, since"));
	buffer_free(&drawn);
	arena_free(&arena);
}

static void test_failing_allocations(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct buffer text = BUFFER_INIT;
		struct arena arena = ARENA_INIT;
		int rv;

		failing_alloc_arm(n);
		rv = volume_explain_draw(&all, &arena, &text);
		failed = failing_alloc_disarm();
		assert_int_equal(rv, failed ? -1 : 0);
		buffer_free(&text);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_well),
		cmocka_unit_test(test_text_long),
		cmocka_unit_test(test_failing_allocations),
	};

	return cmocka_run_group_tests_name("client_explain", tests, NULL, NULL);
}
