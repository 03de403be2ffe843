/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as sentences: each kind has one, with or without what it may hold. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/cli/event_text.h"

static const char *const sentences[] = {
	"the cluster was made",
	"the setting failover of the cluster changed",
	"node n2 is new",
	"node n2 booted",
	"node n2 came back with another failover",
	"node n2 is cordoned",
	"node n2 is drained",
	"node n2 is open again",
	"node n2 was forgotten",
	"disk d4 of node n2, 1 GiB, is new",
	"disk d4 of node n2 was removed",
	"volume db1, 1 GiB, is new",
	"volume db1 is serving",
	"volume db1 has 1 GiB now",
	"volume db1 is gone",
	"volume db1: host nqn.x may connect",
	"volume db1: host nqn.x may not connect any more",
	"volume db1: slot 1 moves from node n1 to n2, epoch 7: failover",
	"volume db1: slot 1 is serving at node n2",
	"volume db1: the controller at node n2 is serving",
	"volume db1: the controller at node n2 is serving",
	"volume db1: node n2 has nothing of it any more",
	"volume db1: ld5 on d4 is serving: failover",
	"volume db1: ld5 on d4 is serving: failover",
	"volume db1: ld5 on d4 is serving: failover",
	"volume db1: ld5 on d4 is serving: failover",
	"volume db1: ld5 on d4 takes the place of another one",
	"volume db1: slot 1 is served by force, by failover",
	"volume db1: snapshot s1 is taken",
	"volume db1: snapshot s1 was deleted",
	"volume db1: job j6 began: failover",
	"volume db1: job j6 is serving: failover",
	"volume db1: job j6 is serving: failover",
	"volume db1: job j6 was forgotten while it ran",
	"server 8 is to join",
	"server 8 is to leave",
	"server 8 is no part of the group any more",
	"disk d4 of node n2 is drained",
	"disk d4 of node n2 is open again",
	"the group lost its majority for good, and goes on with what one server had; every volume is held",
	"volume db1 is released",
	"volume db1: failover",
};

static void test_sentences(void **state)
{
	const struct enum_schema *kinds = enum_schema_event_kind();
	struct event event = { .volume = 3,
			       .volume_name = "db1",
			       .node = "n2",
			       .disk = 4,
			       .ld = 5,
			       .job = 6,
			       .slot = 1,
			       .epoch = 7,
			       .reason = "failover",
			       .previous = "n1",
			       .host_nqn = "nqn.x",
			       .size_bytes = 1 << 30,
			       .snapshot = "s1",
			       .server = 8 };
	struct arena arena = ARENA_INIT;

	(void)state;
	assert_int_equal(kinds->count, sizeof(sentences) / sizeof(sentences[0]));
	for (size_t i = 0; i < kinds->count; i++) {
		event.kind = (enum event_kind)kinds->values[i].number;
		event.state = event.kind == EVENT_KIND_CLUSTER_RECOVERED ? NULL : "serving";
		event.snapshot = event.kind == EVENT_KIND_SNAPSHOT_TAKEN || event.kind == EVENT_KIND_SNAPSHOT_DELETED
					 ? "s1"
					 : NULL;
		assert_string_equal(event_text(&event, &arena), sentences[i]);
	}
	event.kind = EVENT_KIND_CLUSTER_RECOVERED;
	event.state = "restored";
	assert_string_equal(event_text(&event, &arena),
			    "the cluster was restored from a backup; every volume and every disk is held");
	event.snapshot = "s1";
	event.kind = EVENT_KIND_HOST_ATTACHED;
	assert_string_equal(event_text(&event, &arena), "volume db1: host nqn.x may read snapshot s1");
	event.kind = EVENT_KIND_HOST_DETACHED;
	assert_string_equal(event_text(&event, &arena), "volume db1: host nqn.x may not read snapshot s1 any more");
	arena_free(&arena);
}

/* Another version may leave out what this one expects, or tell of more. */
static void test_other_versions(void **state)
{
	const struct enum_schema *kinds = enum_schema_event_kind();
	struct arena arena = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < kinds->count; i++) {
		struct event event = { .volume = 3, .kind = (enum event_kind)kinds->values[i].number };
		const char *text = event_text(&event, &arena);

		assert_non_null(text);
		assert_null(strstr(text, "(null)"));
	}
	assert_string_equal(event_text(&(struct event){ .kind = (enum event_kind)999 }, &arena),
			    "an event of kind 999, which this program does not know");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sentences), cmocka_unit_test(test_other_versions) };

	return cmocka_run_group_tests_name("client_event", tests, NULL, NULL);
}
