/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads: pages of lists, what is found by its name, counts. */
#include "tests/unit/test_fsm_rig.h"

static void test_lists(void **state)
{
	struct rig_shape shape = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct volume_list volumes;
	struct node_list nodes;
	struct disk_list disks;
	struct host_list hosts;
	struct volume volume;
	struct error error;
	struct node node;
	struct rig rig;
	uint64_t *ids, node_count, disk_count, volume_count;
	size_t count;
	bool more;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 2, 10 * GIB);
	for (const char *names[] = { "d", "a", "c", "b" }, **name = names; name < names + 4; name++) {
		shape.name = *name;
		rig_create(&rig, &shape);
	}
	assert_int_equal(fsm_node_list(rig.fsm, NULL, 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 3);
	assert_true(more);
	assert_int_equal(fsm_node_list(rig.fsm, "n3", 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 1);
	assert_false(more);
	assert_string_equal(nodes.items[0].name, "n4");
	/* `after` need not exist; a page may be exactly full. */
	assert_int_equal(fsm_node_list(rig.fsm, "n10", 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 3);
	assert_false(more);
	assert_string_equal(nodes.items[0].name, "n2");

	assert_int_equal(fsm_disk_list(rig.fsm, NULL, 5, 0, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.count, 3);
	assert_int_equal(disks.items[0].id, 6);
	assert_int_equal(fsm_disk_list(rig.fsm, "n2", 0, 1, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.items[0].id, 3);
	assert_true(more);
	assert_int_equal(fsm_disk_list(rig.fsm, "n2", 3, 1, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.items[0].id, 4);
	assert_false(more);
	assert_int_equal(fsm_disk_list(rig.fsm, "n7", 0, 1, &rig.arena, &disks, &more, &error), ERROR_NOT_FOUND);

	assert_int_equal(fsm_volume_list(rig.fsm, "a", 2, &rig.arena, &volumes, &more, &error), 0);
	assert_int_equal(volumes.count, 2);
	assert_string_equal(volumes.items[0].name, "b");
	assert_string_equal(volumes.items[1].name, "c");
	assert_true(more);

	rig_advance_until(&rig, 2, VOLUME_PHASE_ONLINE);
	assert_int_equal(fsm_transition_list(rig.fsm, 0, 2, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], 1);
	assert_int_equal(ids[1], 3);
	assert_int_equal(fsm_transition_list(rig.fsm, 3, 2, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 4);

	/* One NQN is the beginning of another. */
	rig_attach(&rig, "a", "nqn.2014-08.org.x:h10");
	rig_attach(&rig, "b", "nqn.2014-08.org.x:h1");
	rig_attach(&rig, "c", "nqn.2014-08.org.x:h1");
	rig_attach(&rig, "d", "nqn.2014-08.org.x:h2");
	assert_int_equal(fsm_host_list(rig.fsm, NULL, NULL, 2, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 2);
	assert_true(more);
	assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h1");
	assert_int_equal(hosts.items[0].volumes.count, 2);
	assert_string_equal(hosts.items[0].volumes.items[0], "c");
	assert_string_equal(hosts.items[0].volumes.items[1], "b");
	assert_string_equal(hosts.items[1].nqn, "nqn.2014-08.org.x:h10");
	assert_int_equal(fsm_host_list(rig.fsm, NULL, "nqn.2014-08.org.x:h1", 9, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 2);
	assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h10");
	assert_false(more);
	/* One alone, wherever the page begins. */
	for (const char *afters[] = { NULL, "nqn.2014-08.org.x:h0" }, **after = afters; after < afters + 2; after++) {
		assert_int_equal(
			fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h1", *after, 9, &rig.arena, &hosts, &more, &error),
			0);
		assert_int_equal(hosts.count, 1);
		assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h1");
		assert_int_equal(hosts.items[0].volumes.count, 2);
		assert_false(more);
	}
	assert_int_equal(fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h1", "nqn.2014-08.org.x:h1", 9, &rig.arena, &hosts,
				       &more, &error),
			 0);
	assert_int_equal(hosts.count, 0);
	assert_int_equal(fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h", NULL, 9, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 0);

	assert_int_equal(fsm_volume_find(rig.fsm, "v3", &rig.arena, &volume, &error), 0);
	assert_string_equal(volume.name, "c");
	assert_int_equal(fsm_volume_find(rig.fsm, "c", &rig.arena, &volume, &error), 0);
	assert_int_equal(volume.id, 3);
	assert_int_equal(fsm_volume_find(rig.fsm, "v9", &rig.arena, &volume, &error), ERROR_NOT_FOUND);
	assert_int_equal(fsm_volume_find(rig.fsm, "", &rig.arena, &volume, &error), ERROR_NOT_FOUND);
	assert_int_equal(fsm_node_get(rig.fsm,
				      "a-name-that-is-longer-than-any-name-may-be-a-name-that-is-longer-than-any-name",
				      &rig.arena, &node, &error),
			 ERROR_NOT_FOUND);
	assert_int_equal(fsm_counts(rig.fsm, &node_count, &disk_count, &volume_count, &error), 0);
	assert_int_equal(node_count, 4);
	assert_int_equal(disk_count, 8);
	assert_int_equal(volume_count, 4);
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
