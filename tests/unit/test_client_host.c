/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host does about the paths of a volume, and what it tells of them: the decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/host_keep_alive.h"
#include "client/cli/host_paths.h"
#include "client/cli/host_report.h"
#include "tests/unit/test_client_scene.h"

/* --- the decision ---------------------------------------------------------------------------------------- */

static void check(struct scene *scene, const char *expected)
{
	static const char *const kinds[] = { "connect", "leave" };
	struct host_action actions[HOST_ACTIONS];
	char text[512] = "";
	size_t count = host_plan(&scene->status, SCENE_HOST, scene->known, scene->known_count, actions);

	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s%s %s", i > 0 ? ", " : "", kinds[actions[i].kind],
			 actions[i].kind == HOST_ACTION_CONNECT ? actions[i].path->node : actions[i].controller->name);
	}
	assert_string_equal(text, expected);
}

static void test_plan(void **state)
{
	static const struct {
		const char *volume, *kernel, *actions;
	} cases[] = {
		/* Nothing to do, with whatever trouble the kernel has by itself. */
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 live", "" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 connecting, nvme1 cn2 live", "" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 connecting, nvme1 cn2 connecting", "" },
		/* Missing ones, active ones first; none that is retired. */
		{ "cn3 standby, cn1 active 0", "", "connect cn1, connect cn3" },
		{ "cn1 active 0, cn2 standby, cn3 retired 0", "nvme0 cn1 live", "connect cn2" },
		{ "cn1 active 0, cn2 active 1, cn3 standby", "nvme4 cn2 live", "connect cn1, connect cn3" },
		/* One that is being deleted is in nobody's way. */
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 deleting", "connect cn2" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 deleting (no IO), nvme2 cn2 connecting", "" },
		/* One that leaves, in whatever state it can be left. */
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 live", "leave nvme0" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 connecting, nvme1 cn2 live", "leave nvme0" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 dead, nvme1 cn2 live", "leave nvme0" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 resetting, nvme1 cn2 live", "" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 new, nvme1 cn2 live", "" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 deleting, nvme1 cn2 live", "" },
		/* Not listed at all: the same. */
		{ "cn2 active 0", "nvme0 cn1 live, nvme1 cn2 live", "leave nvme0" },
		{ "cn2 active 0", "nvme0 cn1 connecting, nvme1 cn2 live", "leave nvme0" },
		/* Never the last live path, and one that leaves itself is no other one. */
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 connecting", "" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 live", "connect cn2" },
		{ "cn3 active 0, cn1 retired 0, cn2 retired 0", "nvme0 cn1 connecting, nvme1 cn2 live", "connect cn3" },
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 live foreign", "" },
		/* A standby is live enough: I/O waits for it. */
		{ "cn3 active 0, cn2 standby, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 live, nvme2 cn3 connecting",
		  "leave nvme0" },
		/* Taken back before it was gone. */
		{ "cn2 active 0, cn1 retired 0, cn1 standby", "nvme0 cn1 live, nvme1 cn2 live", "" },
		/* Another host's connections are not touched. */
		{ "cn2 active 0, cn1 retired 0", "nvme0 cn1 live foreign, nvme1 cn2 live", "" },
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_make(&scene, cases[i].volume, cases[i].kernel);
		check(&scene, cases[i].actions);
	}
}

/* What was sent to a retired controller may reach its slot's legs until they are fenced. */
static void test_plan_waits_for_the_fence(void **state)
{
	static const char volume[] = "cn3 active 0, cn2 active 1, cn1 retired 0";
	static const char kernel[] = "nvme0 cn1 live, nvme1 cn2 live, nvme2 cn3 live";
	struct scene scene;

	(void)state;
	scene_make(&scene, volume, kernel);
	scene.slots[0].phase = SLOT_PHASE_FENCING;
	check(&scene, "");
	scene.slots[0].phase = SLOT_PHASE_ASSEMBLING;
	check(&scene, "leave nvme0");
	scene.slots[0].phase = SLOT_PHASE_SERVING;
	scene.slots[1].phase = SLOT_PHASE_FENCING; /* the other slot's matter */
	check(&scene, "leave nvme0");
	/* One that was a standby held no slot. */
	scene.slots[0].phase = SLOT_PHASE_FENCING;
	scene.controllers[2].epoch = 0;
	check(&scene, "leave nvme0");
}

/* With one slot there is no leg of another one that it could reach, and a standby that is live is a path that stays. */
static void test_plan_single_slot_does_not_wait(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, "cn2 active 0, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 live");
	scene.volume.slots.count = 1;
	scene.slots[0].phase = SLOT_PHASE_FENCING;
	check(&scene, "leave nvme0");
	scene_make(&scene, "cn2 active 0, cn3 standby, cn1 retired 0",
		   "nvme0 cn1 live, nvme1 cn2 connecting, nvme2 cn3 live");
	scene.volume.slots.count = 1;
	scene.slots[0].phase = SLOT_PHASE_FENCING;
	check(&scene, "leave nvme0");
	strcpy(scene.known[2].state, "connecting");
	check(&scene, "");
}

static void test_plan_only_what_is_there_for_the_host(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, "cn2 active 0, cn3 standby, cn1 retired 0", "nvme0 cn1 live, nvme1 cn2 live");
	check(&scene, "connect cn3, leave nvme0");
	scene.volume.phase = VOLUME_PHASE_UNEXPORTING;
	check(&scene, "");
	scene.volume.phase = VOLUME_PHASE_ONLINE;
	scene.hosts[0] = SCENE_OTHER;
	check(&scene, "");
}

static void test_keep_alive(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, "cn1 active 0", "");
	assert_int_equal(host_keep_alive_s(&scene.volume), LIMIT_HOST_KEEP_ALIVE_S);
	scene.volume.slots.count = 1;
	assert_int_equal(host_keep_alive_s(&scene.volume), LIMIT_HOST_KEEP_ALIVE_SINGLE_S);
}

/* --- what the control plane is told ---------------------------------------------------------------------- */

static struct host_report_batch batch;

static bool told_now(struct scene *scene, struct host_told *told, uint64_t now_ms)
{
	batch.count = 0;
	host_report_add(&batch, &scene->status, SCENE_HOST, scene->known, scene->known_count, told, now_ms);
	return batch.count == 1;
}

static const char *words_of(const struct string_list *list, char *text, size_t size)
{
	text[0] = '\0';
	for (size_t i = 0; i < list->count; i++)
		snprintf(text + strlen(text), size - strlen(text), "%s%s", i > 0 ? " " : "", list->items[i]);
	return text;
}

static void test_report(void **state)
{
	static const struct {
		const char *volume, *kernel, *live, *lost;
	} cases[] = {
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 live", "cn1 cn2", "" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 connecting, nvme1 cn2 live", "cn2", "cn1" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 resetting, nvme1 cn2 deleting", "", "cn2 cn1" },
		/* One that is missing is lost as well; one that is there twice is not if one of them lives. */
		{ "cn1 active 0, cn2 standby", "nvme1 cn2 live", "cn2", "cn1" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 deleting, nvme1 cn2 live, nvme2 cn1 live", "cn1 cn2", "" },
		/* Nobody asks for retired ones, and another host's paths are not this one's. */
		{ "cn1 active 0, cn2 standby, cn3 retired 0", "nvme0 cn1 live, nvme1 cn2 live, nvme2 cn3 live",
		  "cn1 cn2", "" },
		{ "cn1 active 0, cn2 standby", "nvme0 cn1 live foreign, nvme1 cn2 live", "cn2", "cn1" },
	};
	struct scene scene;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_told told = { 0 };

		scene_make(&scene, cases[i].volume, cases[i].kernel);
		scene.volume.id = 7;
		assert_true(told_now(&scene, &told, 5000));
		assert_int_equal(batch.items[0].volume, 7);
		assert_string_equal(words_of(&batch.items[0].live, text, sizeof(text)), cases[i].live);
		assert_string_equal(words_of(&batch.items[0].lost, text, sizeof(text)), cases[i].lost);
	}
	/* One that does not lead to the namespace yet is of no use. */
	scene_make(&scene, "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 live");
	scene.known[1].pathless = true;
	assert_true(told_now(&scene, &(struct host_told){ 0 }, 5000));
	assert_string_equal(words_of(&batch.items[0].lost, text, sizeof(text)), "cn2");
	/* Of a volume that is not there for this host nothing is told. */
	scene.volume.hosts.count = 0;
	assert_false(told_now(&scene, &(struct host_told){ 0 }, 5000));
}

static void test_report_times(void **state)
{
	struct host_told told = { 0 };
	struct scene scene;

	(void)state;
	scene_make(&scene, "cn1 active 0, cn2 standby", "nvme0 cn1 live, nvme1 cn2 live");
	assert_true(told_now(&scene, &told, 10000));
	assert_false(told_now(&scene, &told, 10000 + HOST_REPORT_LIVE_MS - 1));
	assert_true(told_now(&scene, &told, 10000 + HOST_REPORT_LIVE_MS));
	/* News at once, but not without end; a loss more often. */
	strcpy(scene.known[0].state, "connecting");
	assert_true(told_now(&scene, &told, 20000));
	strcpy(scene.known[0].state, "live");
	assert_false(told_now(&scene, &told, 20000 + HOST_REPORT_NEWS_MS - 1));
	strcpy(scene.known[0].state, "connecting");
	assert_false(told_now(&scene, &told, 20000 + HOST_REPORT_LOST_MS - 1));
	assert_true(told_now(&scene, &told, 20000 + HOST_REPORT_LOST_MS));
	scene.volume.revision++;
	assert_true(told_now(&scene, &told, 20000 + HOST_REPORT_LOST_MS + HOST_REPORT_NEWS_MS));
	/* What finds no room is told the next time. */
	batch.count = LIMIT_REPORT_VOLUMES;
	host_report_add(&batch, &scene.status, SCENE_HOST, scene.known, scene.known_count, &told, 40000);
	assert_int_equal(batch.count, LIMIT_REPORT_VOLUMES);
	assert_true(told_now(&scene, &told, 40001));
}

/* A connection that watch gives up must end, though this process goes on. */
static void test_keep_alive_process_holds_nothing(void **state)
{
	struct host_keep_alive keep_alive = { 0 };
	struct pollfd end;
	struct error error;
	int ends[2];
	pid_t pid;

	(void)state;
	error_clear(&error);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(host_keep_alive_start(&keep_alive, SCENE_HOST, 1000, &error), 0);
	pid = keep_alive.pid;
	close(ends[1]);
	end = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_int_equal(end.revents, POLLHUP);
	assert_int_equal(kill(pid, 0), 0);
	/* It runs: another one is not started. */
	assert_int_equal(host_keep_alive_start(&keep_alive, SCENE_HOST, 9000, &error), 0);
	assert_int_equal(keep_alive.pid, pid);
	kill(pid, SIGKILL);
	while (keep_alive.pid == pid)
		assert_int_equal(host_keep_alive_start(&keep_alive, SCENE_HOST, 9000, &error), 0);
	assert_int_not_equal(keep_alive.pid, 0);
	pid = keep_alive.pid;
	host_keep_alive_stop(&keep_alive);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_plan_waits_for_the_fence),
		cmocka_unit_test(test_plan_single_slot_does_not_wait),
		cmocka_unit_test(test_plan_only_what_is_there_for_the_host),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_keep_alive_process_holds_nothing),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_report_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
