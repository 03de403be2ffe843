/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events: what is told of each object, in order, without a gap; what is dropped; nothing of what was refused. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsm/state.h"

#define NQN "nqn.2014-08.org.x:h1"

static struct fsm_events ask(struct rig *rig, const struct fsm_event_query *query)
{
	struct fsm_events events;
	struct error error;

	assert_int_equal(fsm_event_list(rig->fsm, query, &rig->arena, &events, &error), 0);
	return events;
}

/* "kind" and what else is there, a line each; revisions are left out. */
static void text_of(const struct event_list *events, struct buffer *text)
{
	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->items[i];
		char line[512];
		int length = snprintf(line, sizeof(line), "%s", ENUM_NAME(event_kind, event->kind));

#define ADD(condition, ...)                                                                                            \
	do {                                                                                                           \
		if (condition)                                                                                         \
			length += snprintf(line + length, sizeof(line) - (size_t)length, __VA_ARGS__);                 \
	} while (0)
		ADD(event->server != 0, " %" PRIu64, event->server);
		ADD(event->volume != 0, " v%" PRIu64, event->volume);
		ADD(event->volume_name != NULL, " %s", event->volume_name);
		ADD(event->job != 0, " j%" PRIu64, event->job);
		ADD(event->ld != 0, " ld%" PRIu64, event->ld);
		ADD(event->disk != 0, " d%" PRIu64, event->disk);
		ADD(event->epoch != 0, " s%" PRIu64 ".e%" PRIu64, event->slot, event->epoch);
		ADD(event->previous != NULL, " from %s", event->previous);
		ADD(event->node != NULL, " at %s", event->node);
		ADD(event->state != NULL, " is %s", event->state);
		ADD(event->reason != NULL, " because %s", event->reason);
		ADD(event->host_nqn != NULL, " host %s", event->host_nqn);
		ADD(event->snapshot != NULL, " snapshot %s", event->snapshot);
		ADD(event->size_bytes != 0, " size %" PRIu64, event->size_bytes);
#undef ADD
		assert_true((size_t)length < sizeof(line) - 1);
		line[length++] = '\n';
		assert_int_equal(buffer_append(text, line, (size_t)length), 0);
	}
	assert_int_equal(buffer_append(text, "", 1), 0);
}

static uint64_t now(struct rig *rig)
{
	return fsm_revision(rig->fsm);
}

/* What happened after this revision. */
static void happened(struct rig *rig, uint64_t after, const char *wanted)
{
	struct fsm_events events = ask(rig, &(struct fsm_event_query){ .after_revision = after });
	struct buffer text = BUFFER_INIT;

	text_of(&events.list, &text);
	assert_string_equal((const char *)buffer_bytes(&text).data, wanted);
	assert_int_equal(events.revision, now(rig));
	assert_int_equal(events.index, 0);
	for (size_t i = 0; i < events.list.count; i++)
		assert_true(events.list.items[i].time_ms > 0 && events.list.items[i].time_ms < rig->time_ms);
	buffer_free(&text);
}

static void test_nodes_and_disks(void **state)
{
	struct rig rig;
	uint64_t before;

	(void)state;
	rig_open(&rig);
	happened(&rig, 0, "");
	rig_cluster(&rig);
	rig_node(&rig, "n1", "10.0.0.1", "r1");
	assert_int_equal(rig_disk(&rig, "n1", "/dev/a", GIB), 1);
	{
		struct fsm_events events = ask(&rig, &(struct fsm_event_query){ 0 });

		assert_int_equal(events.list.count, 3);
		assert_int_equal(events.list.items[0].kind, EVENT_KIND_CLUSTER_CREATED);
		assert_int_equal(events.list.items[1].kind, EVENT_KIND_NODE_ADDED);
		assert_int_equal(events.list.items[2].kind, EVENT_KIND_DISK_ADDED);
	}
	before = now(&rig);
	rig_do(&rig,
	       (struct command){ .node_cordon = &(struct command_node_cordon){ .name = "n1", .cordoned = true } });
	happened(&rig, before, "node-cordoned at n1\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .node_cordon = &(struct command_node_cordon){
					       .name = "n1", .cordoned = true, .draining = true } });
	happened(&rig, before, "node-draining at n1\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .node_cordon = &(struct command_node_cordon){ .name = "n1" } });
	happened(&rig, before, "node-uncordoned at n1\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .cluster_set = &(struct command_cluster_set){
					       .settings = &(struct settings){ .rebuild_rate_bytes = 5 } } });
	happened(&rig, before, "settings-changed because rebuild_rate_bytes\n");
	before = now(&rig);
	rig_node(&rig, "n1", "10.0.0.9", "r2");
	happened(&rig, before, "node-changed at n1 because address\nnode-changed at n1 because labels\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .node_register = &(struct command_node_register){
					       .name = "n1", .address = "10.0.0.9", .port = 4420, .boot_id = { 9 } } });
	happened(&rig, before,
		 "node-booted at n1\nnode-changed at n1 because version\nnode-changed at n1 because labels\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .disk_remove = &(struct command_disk_remove){ .id = 1 } });
	happened(&rig, before, "disk-removed d1 at n1 size 1073741824\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .node_forget = &(struct command_node_forget){ .name = "n1" } });
	happened(&rig, before, "node-forgotten at n1\n");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

static struct cluster rig_cluster_of(struct rig *rig)
{
	struct cluster cluster;
	struct error error;

	assert_int_equal(fsm_cluster_get(rig->fsm, &rig->arena, &cluster, &error), 0);
	return cluster;
}

static void server_remove(struct rig *rig, uint64_t id, bool gone)
{
	rig_do(rig, (struct command){ .server_remove = &(struct command_server_remove){ .id = id, .gone = gone } });
}

static void test_servers(void **state)
{
	struct rig rig;
	uint64_t before, id;
	char wanted[64];

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	before = now(&rig);
	id = rig_cluster_of(&rig).next_server;
	id = id != 0 ? id : rig_cluster_of(&rig).servers.count + 1;
	rig_do(&rig, (struct command){ .server_add = &(struct command_server_add){ .id = id,
										   .name = "spare",
										   .raft_address = "10.9.9.9:4401",
										   .api_address = "10.9.9.9:4400" } });
	server_remove(&rig, id, false);
	server_remove(&rig, id, true);
	assert_true(id > 0 && id < 10);
	snprintf(wanted, sizeof(wanted), "server-added %c\nserver-leaving %c\nserver-removed %c\n", (char)('0' + id),
		 (char)('0' + id), (char)('0' + id));
	happened(&rig, before, wanted);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_a_volume(void **state)
{
	struct rig rig;
	uint64_t id, before;

	(void)state;
	id = rig_open_pair(&rig, 5);
	before = now(&rig);
	rig_attach(&rig, "db1", NQN);
	happened(&rig, before, "host-attached v1 db1 host " NQN "\n");
	before = now(&rig);
	rig_detach(&rig, "db1", NQN);
	happened(&rig, before, "host-detached v1 db1 host " NQN "\n");
	before = now(&rig);
	rig_do(&rig, (struct command){ .volume_set = &(struct command_volume_set){ .id = id, .standbys = 2 } });
	rig_do(&rig, (struct command){ .volume_set = &(struct command_volume_set){ .id = id, .standbys = 1 } });
	happened(&rig, before,
		 "volume-changed v1 db1 because standbys from 1 to 2\n"
		 "volume-changed v1 db1 because standbys from 2 to 1\n");
	before = now(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	happened(&rig, before,
		 "slot-moved v1 db1 s0.e2 from n1 at n3 is fencing because failover\n"
		 "controller-role v1 db1 at n3 is active\n"
		 "controller-role v1 db1 at n1 is retired\n");
	before = now(&rig);
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	happened(&rig, before, "slot-phase v1 db1 s0.e2 at n3 is assembling\n");
	rig_slot_serve(&rig, id, 0);
	before = now(&rig);
	assert_int_equal(rig_controller_drop(&rig, id, "n1", 1).code, 0);
	happened(&rig, before, "controller-dropped v1 db1 at n1\n");
	before = now(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	happened(&rig, before, "controller-added v1 db1 at n4 is standby\n");
	before = now(&rig);
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	happened(&rig, before, "member-stale v1 db1 ld3 d3 is stale because medium\n");
	before = now(&rig);
	assert_int_equal(rig_rebuild(&rig, id, 1, 3, false).code, 0);
	happened(&rig, before, "member-rebuilding v1 db1 ld3 d3 is rebuilding\n");
	before = now(&rig);
	assert_int_equal(rig_in_sync(&rig, id, 1, 3).code, 0);
	happened(&rig, before, "member-in-sync v1 db1 ld3 d3 is in-sync\n");
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	before = now(&rig);
	assert_int_equal(rig_replace(&rig, id, 1, 3, 5).code, 0);
	happened(&rig, before, "member-replaced v1 db1 ld5 d5 is rebuilding\n");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_a_job(void **state)
{
	struct command_snapshot_attach attach = { "db1", "s1", "nqn.2014-08.org.x:h1" };
	struct command_snapshot_detach detach = { "db1", "s1", "nqn.2014-08.org.x:h1" };
	struct rig rig;
	uint64_t id, before;

	(void)state;
	id = rig_open_pair(&rig, 4);
	before = now(&rig);
	assert_int_equal(rig_extend(&rig, id, 3 * GIB).code, 0);
	happened(&rig, before, "job-begun v1 db1 j1 is exporting because extend\n");
	before = now(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
	happened(&rig, before, "job-phase v1 db1 j1 is formatting\n");
	rig_job_until(&rig, 1, OPERATION_PHASE_JOINING);
	before = now(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RESIZING).code, 0);
	happened(&rig, before, "job-phase v1 db1 j1 is resizing\nvolume-grew v1 db1 size 3221225472\n");
	before = now(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
	happened(&rig, before, "job-over v1 db1 j1 is done\n");
	before = now(&rig);
	assert_int_equal(rig_snapshot(&rig, id, "s1").code, 0);
	rig_job_until(&rig, 2, OPERATION_PHASE_RESUMING);
	before = now(&rig);
	rig_job_until(&rig, 2, OPERATION_PHASE_OVER);
	happened(&rig, before, "job-over v1 db1 j2 is done\nsnapshot-taken v1 db1 snapshot s1\n");
	before = now(&rig);
	assert_int_equal(rig_apply(&rig, (struct command){ .snapshot_attach = &attach }).code, 0);
	happened(&rig, before, "host-attached v1 db1 host nqn.2014-08.org.x:h1 snapshot s1\n");
	before = now(&rig);
	assert_int_equal(rig_apply(&rig, (struct command){ .snapshot_detach = &detach }).code, 0);
	happened(&rig, before, "host-detached v1 db1 host nqn.2014-08.org.x:h1 snapshot s1\n");
	before = now(&rig);
	assert_int_equal(rig_snapshot_delete(&rig, "db1", "s1").code, 0);
	happened(&rig, before, "snapshot-deleted v1 db1 snapshot s1\n");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_what_is_refused_is_not_told(void **state)
{
	struct rig rig;
	uint64_t id, before;

	(void)state;
	id = rig_open_pair(&rig, 4);
	before = now(&rig);
	rig_refused(rig_slot_move(&rig, id, 0, "n9", MOVE_REASON_FAILOVER), ERROR_FAILED_PRECONDITION, "n9");
	/* Done already. */
	assert_int_equal(rig_detach(&rig, "db1", NQN).code, 0);
	happened(&rig, before, "");
	rig_close(&rig);
}

/* Event by event, or in pages of any length: the same. */
static void test_pages(void **state)
{
	struct fsm_events all;
	struct rig rig;

	(void)state;
	(void)rig_open_pair(&rig, 4);
	all = ask(&rig, &(struct fsm_event_query){ 0 });
	assert_true(all.list.count > 10);
	assert_false(all.more);
	for (size_t limit = 1; limit <= all.list.count; limit++) {
		struct fsm_event_query query = { .limit = limit };
		struct fsm_events page;
		size_t seen = 0;

		do {
			page = ask(&rig, &query);
			for (size_t i = 0; i < page.list.count; i++, seen++) {
				assert_true(seen < all.list.count);
				assert_int_equal(page.list.items[i].revision, all.list.items[seen].revision);
				assert_int_equal(page.list.items[i].index, all.list.items[seen].index);
			}
			assert_true(page.list.count <= limit);
			query.after_revision = page.revision;
			query.after_index = (uint32_t)page.index;
		} while (page.more);
		assert_int_equal(seen, all.list.count);
		assert_int_equal(page.revision, now(&rig));
	}
	/* Another replica was ahead of this one: nothing goes back. */
	all = ask(&rig, &(struct fsm_event_query){ .after_revision = now(&rig) + 7, .after_index = 3 });
	assert_int_equal(all.list.count, 0);
	assert_int_equal(all.revision, now(&rig) + 7);
	assert_int_equal(all.index, 3);
	all = ask(&rig, &(struct fsm_event_query){ .after_revision = UINT64_MAX, .after_index = UINT32_MAX });
	assert_int_equal(all.list.count, 0);
	rig_close(&rig);
}

static void test_filters(void **state)
{
	struct fsm_events events;
	struct rig rig;
	uint64_t id, before;

	(void)state;
	id = rig_open_pair(&rig, 4);
	before = now(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_do(&rig,
	       (struct command){ .node_cordon = &(struct command_node_cordon){ .name = "n1", .cordoned = true } });
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .volume = "v1" });
	assert_int_equal(events.list.count, 3);
	assert_int_equal(events.revision, now(&rig));
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .volume = "db1" });
	assert_int_equal(events.list.count, 3);
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .volume = "db2" });
	assert_int_equal(events.list.count, 0);
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .volume = "v2" });
	assert_int_equal(events.list.count, 0);
	/* It left the slot, is retired, and is cordoned. */
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .node = "n1" });
	assert_int_equal(events.list.count, 3);
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = before, .node = "n2" });
	assert_int_equal(events.list.count, 0);
	rig_close(&rig);
}

static void cordon_switch(struct rig *rig)
{
	bool cordoned = !rig_node_of(rig, "n1").cordoned;

	rig_do(rig,
	       (struct command){ .node_cordon = &(struct command_node_cordon){ .name = "n1", .cordoned = cordoned } });
}

static struct event_list last_of(struct rig *rig, uint64_t volume, size_t limit)
{
	struct event_list list;
	struct error error;

	assert_int_equal(fsm_event_last(rig->fsm, volume, limit, &rig->arena, &list, &error), 0);
	return list;
}

/* The same as the end of all that is told of a volume, however far back that is. */
static void test_the_latest(void **state)
{
	struct event_list last;
	struct fsm_events all;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	for (int i = 0; i < 300; i++)
		cordon_switch(&rig);
	assert_int_equal(rig_attach(&rig, "db1", NQN).code, 0);
	for (int i = 0; i < 100; i++)
		cordon_switch(&rig);
	all = ask(&rig, &(struct fsm_event_query){ .volume = "db1" });
	assert_true(all.list.count >= 2);
	for (size_t limit = 0; limit <= all.list.count + 1; limit++) {
		last = last_of(&rig, id, limit);
		assert_int_equal(last.count, limit < all.list.count ? limit : all.list.count);
		for (size_t i = 0; i < last.count; i++) {
			const struct event *wanted = &all.list.items[all.list.count - last.count + i];

			assert_int_equal(last.items[i].revision, wanted->revision);
			assert_int_equal(last.items[i].index, wanted->index);
		}
	}
	assert_int_equal(last_of(&rig, id + 1, 20).count, 0);
	/* What is further back than that is not looked for: it would hold the loop up. */
	for (size_t i = 0; i < FSM_EVENTS_LOOKED_AT; i++)
		cordon_switch(&rig);
	assert_int_equal(last_of(&rig, id, 20).count, 0);
	rig_close(&rig);
}

static void test_the_oldest_go(void **state)
{
	struct fsm_events events;
	struct error error;
	struct rig rig;
	uint64_t first;

	(void)state;
	(void)rig_open_pair(&rig, 4);
	events = ask(&rig, &(struct fsm_event_query){ 0 });
	/* Exactly as many as are kept. */
	for (size_t i = events.list.count; i < LIMIT_EVENTS_KEPT; i++)
		cordon_switch(&rig);
	rig_check(&rig);
	first = events.list.items[0].revision;
	assert_int_equal(ask(&rig, &(struct fsm_event_query){ .limit = 1 }).list.items[0].revision, first);
	/* One more: the first revision goes, all of it. */
	cordon_switch(&rig);
	rig_check(&rig);
	events = ask(&rig, &(struct fsm_event_query){ .limit = 1 });
	assert_int_equal(events.list.items[0].revision, first + 1);
	assert_int_equal(events.list.items[0].index, 1);
	/* Behind what was dropped there is everything; within it, there is not. */
	events = ask(&rig, &(struct fsm_event_query){ .after_revision = first, .limit = 1 });
	assert_int_equal(events.list.items[0].revision, first + 1);
	assert_int_equal(fsm_event_list(rig.fsm, &(struct fsm_event_query){ .after_revision = first, .after_index = 1 },
					&rig.arena, &events, &error),
			 ERROR_COMPACTED);
	for (int i = 0; i < 10; i++)
		cordon_switch(&rig);
	assert_int_equal(fsm_event_list(rig.fsm, &(struct fsm_event_query){ .after_revision = first }, &rig.arena,
					&events, &error),
			 ERROR_COMPACTED);
	assert_non_null(strstr(error.message, "after_revision"));
	assert_non_null(strstr(error.hint, "after_revision"));
	rig_check(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_and_disks),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_a_volume),
		cmocka_unit_test(test_a_job),
		cmocka_unit_test(test_what_is_refused_is_not_told),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_the_latest),
		cmocka_unit_test(test_the_oldest_go),
	};

	return cmocka_run_group_tests_name("fsm_event", tests, NULL, NULL);
}
