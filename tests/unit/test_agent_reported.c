/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was reported of a volume is told again when it changed, and not before. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/reported.h"

/* Number of volumes in the report on this one. */
static size_t report(struct reported *reported, struct volume_health health)
{
	const struct object_status_list statuses = { 0 };
	const struct observed_disk_list disks = { 0 };
	const struct volume_health_list list = { 1, &health };
	struct reported_news news = { .statuses = &statuses, .health = &list, .disks = &disks, .now_ms = 1 };
	struct arena arena = ARENA_INIT;
	struct agent_report made;
	struct error error;
	size_t count;

	assert_int_equal(reported_update(reported, &news, &arena, &made, &error), 0);
	count = made.volumes.count;
	arena_free(&arena);
	return count;
}

static void test_told_once(void **state)
{
	struct member_status member = { .ld = 4, .epoch = 1, .health = MEMBER_HEALTH_IN_SYNC };
	struct peer_status peer = { .slot = 1 };
	struct pause_status pause = { .number = 7, .state = PAUSE_STATE_HELD };
	struct volume_health health = { .volume = 3,
					.revision = 8,
					.lapsed = 5,
					.members = { 1, &member },
					.peers = { 1, &peer },
					.pause = &pause };
	struct reported reported = { 0 };

	(void)state;
	assert_int_equal(report(&reported, health), 1);
	assert_int_equal(report(&reported, health), 0);
	health.lapsed = 0;
	assert_int_equal(report(&reported, health), 1);
	assert_int_equal(report(&reported, health), 0);
	member.health = MEMBER_HEALTH_FAILED;
	assert_int_equal(report(&reported, health), 1);
	pause.state = PAUSE_STATE_KEPT;
	assert_int_equal(report(&reported, health), 1);
	health.pause = NULL;
	assert_int_equal(report(&reported, health), 1);
	health.revision++;
	assert_int_equal(report(&reported, health), 1);
	assert_int_equal(report(&reported, health), 0);
	reported_reset(&reported);
	assert_int_equal(report(&reported, health), 1);
	reported_reset(&reported);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_told_once) };

	return cmocka_run_group_tests_name("agent_reported", tests, NULL, NULL);
}
