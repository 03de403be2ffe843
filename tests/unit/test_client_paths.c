/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host sees of paths, and what it does about them, in a copy of sysfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/cli/host_paths.h"
#include "tests/unit/test_client_scene.h"
#include "tests/unit/test_sysfs.h"

static const struct host_identity identity = { .nqn = SCENE_HOST, .id = "11111111-2222-3333-4444-555555555555" };

static char tree[SYSFS_TREE_SIZE];

/* --- what is seen --- */

static void named_make(const char *name, const char *nqn, const char *state)
{
	sysfs_put(tree, name, "subsysnqn", nqn);
	sysfs_put(tree, name, "address", "traddr=10.0.0.1,trsvcid=4420\n");
	sysfs_put(tree, name, "hostnqn", SCENE_HOST);
	sysfs_put(tree, name, "state", state);
}

/* What is kept of a controller is never taken for another one of the same name. */
static void test_sight(void **state)
{
	struct host_controller found[HOST_CONTROLLERS];
	char command[256];
	struct host_sight sight = { .sysfs = tree };
	struct error error;
	size_t count = 9;

	(void)state;
	sysfs_make(tree);
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, SCENE_NQN, found, &count);
	assert_int_equal(count, 0);
	named_make("nvme0", SCENE_NQN "\n", "live\n");
	named_make("nvme1", "nqn.of.somebody\n", "live\n");
	named_make("nvme2", "(efault)\n", "new\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	assert_int_equal(sight.count, 1);
	host_sight_find(&sight, SCENE_NQN, found, &count);
	assert_int_equal(count, 1);
	assert_string_equal(found[0].name, "nvme0");
	assert_string_equal(found[0].state, "live");
	assert_string_equal(found[0].address, "10.0.0.1");
	assert_string_equal(found[0].host_nqn, SCENE_HOST);
	/* The state is of now, and one that says who it is only later is seen then. */
	sysfs_put(tree, "nvme0", "state", "connecting\n");
	sysfs_put(tree, "nvme2", "subsysnqn", SCENE_NQN "\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, SCENE_NQN, found, &count);
	assert_int_equal(count, 2);
	assert_string_equal(found[strcmp(found[0].name, "nvme0") == 0 ? 0 : 1].state, "connecting");
	/* Another controller of the same name: the old one is there until the new one is, so that the inode differs. */
	snprintf(command, sizeof(command), "mv %s/class/nvme/nvme0 %s/old", tree, tree);
	assert_int_equal(system(command), 0);
	named_make("nvme0", "nqn.2026-11.io.dnvme:c0ffee:volume:v2\n", "live\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, SCENE_NQN, found, &count);
	assert_int_equal(count, 1);
	assert_string_equal(found[0].name, "nvme2");
	host_sight_free(&sight);
	sysfs_remove(tree);
}

/* --- what is done --- */

static void controller_make(const char *name, const char *nqn, const char *address, const char *state)
{
	char text[512];

	/* It was not there before. */
	snprintf(text, sizeof(text), "%s/class/nvme/%s", tree, name);
	assert_int_equal(mkdir(text, 0700), 0);
	sysfs_put(tree, name, "subsysnqn", nqn);
	snprintf(text, sizeof(text), "traddr=%s,trsvcid=4420,src_addr=10.0.0.99\n", address);
	sysfs_put(tree, name, "address", text);
	sysfs_put(tree, name, "state", state);
	sysfs_put(tree, name, "hostnqn", SCENE_HOST);
	sysfs_put(tree, name, "ctrl_loss_tmo", "60\n");
	sysfs_put(tree, name, "fast_io_fail_tmo", "off\n");
	sysfs_put(tree, name, "reconnect_delay", "5\n");
	sysfs_put(tree, name, "reset_controller", "");
	sysfs_put(tree, name, "delete_controller", "");
}

/* Stands for the kernel: a path that is connected appears in the copy of sysfs, unless its peer is dead. */
static int connect_in_tree(const void *argument, struct error *error)
{
	const struct host_connection *connection = argument;

	if (strcmp(connection->address, "10.0.0.9") == 0)
		return error_set(error, ERROR_UNAVAILABLE, "it is dead");
	controller_make("nvme7", connection->nqn, connection->address, "live\n");
	return 0;
}

/* Stands for host_leave(): says what it was asked for, and can do it as soon as a file says so. */
static int leave_in_tree(const void *argument, struct error *error)
{
	const struct host_leaving *leaving = argument;
	char text[256];

	snprintf(text, sizeof(text), "%s %zu", leaving->live == HOST_LEAVE_WAIT ? "wait" : "reset",
		 leaving->others.count);
	sysfs_put(tree, leaving->controller.name, "asked", text);
	snprintf(text, sizeof(text), "%s/free", tree);
	if (access(text, F_OK) != 0)
		return error_set(error, ERROR_UNAVAILABLE, "not yet");
	sysfs_put(tree, leaving->controller.name, "delete_controller", "1");
	return 0;
}

static void end_of_jobs(struct host_paths *paths)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		while (host_task_runs(&paths->jobs[i].task))
			host_paths_wait(paths, 10000);
	}
}

static int made[2], go_on[2];

/* The path is there, but its maker still looks around. */
static int connect_and_linger(const void *argument, struct error *error)
{
	int rc = connect_in_tree(argument, error);
	char byte = 0;

	(void)!write(made[1], &byte, 1);
	(void)!read(go_on[0], &byte, 1);
	return rc;
}

/* A path counts once its maker is done: left alone it might take the volume for disconnected, and delete it. */
static void test_path_and_its_maker(void **state)
{
	struct host_paths *paths = calloc(1, sizeof(*paths));
	struct scene scene;
	struct error error;
	char byte = 0;

	(void)state;
	assert_non_null(paths);
	sysfs_make(tree);
	assert_int_equal(pipe(made) + pipe(go_on), 0);
	host_paths_init(paths, tree, &identity);
	paths->connect = connect_and_linger;
	scene_make(&scene, "cn1 active 0", "");
	assert_int_equal(host_paths_step(paths, &scene.status, 1000, NULL, NULL, &error), 0);
	assert_int_equal(read(made[0], &byte, 1), 1);
	assert_int_equal(host_paths_step(paths, &scene.status, 1050, NULL, NULL, &error), 0);
	assert_int_equal(paths->known_count, 1);
	assert_false(host_paths_has(paths, &scene.paths[0], NULL));
	assert_int_equal(write(go_on[1], &byte, 1), 1);
	end_of_jobs(paths);
	assert_true(host_paths_has(paths, &scene.paths[0], NULL));
	for (size_t i = 0; i < 2; i++) {
		close(made[i]);
		close(go_on[i]);
	}
	sysfs_remove(tree);
	free(paths);
}

static unsigned begun, ended, failed;

static void count_leaving(void *data, const struct host_job *job, const struct error *failure)
{
	(void)data;
	if (job->kind == HOST_ACTION_CONNECT)
		return;
	begun += failure == NULL;
	ended += failure != NULL && failure->code == ERROR_NONE;
	failed += failure != NULL && failure->code != ERROR_NONE;
}

static void test_paths(void **state)
{
	struct host_paths *paths = calloc(1, sizeof(*paths));
	const struct host_job *job = NULL;
	char names[8][HOST_NAME_SIZE];
	struct scene scene, single;
	size_t count = 0;
	char text[512];
	struct error error;

	(void)state;
	assert_non_null(paths);
	sysfs_make(tree);
	controller_make("nvme0", SCENE_NQN, "10.0.0.1", "live\n");
	controller_make("nvme1", SCENE_NQN, "10.0.0.2", "live\n");
	controller_make("nvme2", "nqn.2026-11.io.dnvme:c0ffee:volume:v12", "10.0.0.1", "live\n");
	host_paths_init(paths, tree, &identity);
	paths->connect = connect_in_tree;
	paths->leave = leave_in_tree;

	/* cn1 was replaced by cn3; cn9 does not answer. */
	scene_make(&scene, "cn2 active 0, cn3 standby, cn9 standby, cn1 retired 0", "");
	/* The path that stays is live, but does not lead to the namespace yet: the other one is the last. */
	assert_int_equal(host_paths_step(paths, &scene.status, 950, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	assert_int_equal(begun, 0);
	snprintf(text, sizeof(text), "%s/class/nvme/nvme1/nvme0c1n1", tree);
	assert_int_equal(mkdir(text, 0700), 0);
	assert_int_equal(host_paths_step(paths, &scene.status, 1000, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme0", "asked", "wait 0");
	sysfs_expect(tree, "nvme0", "delete_controller", "");
	sysfs_expect(tree, "nvme7", "address", "traddr=10.0.0.3,trsvcid=4420,src_addr=10.0.0.99");
	/* A path that stays is made to stay; others' settings are their own. */
	sysfs_expect(tree, "nvme1", "ctrl_loss_tmo", "-1");
	sysfs_expect(tree, "nvme1", "fast_io_fail_tmo", "off");
	sysfs_expect(tree, "nvme1", "reconnect_delay", "1");
	sysfs_expect(tree, "nvme0", "ctrl_loss_tmo", "60");
	sysfs_expect(tree, "nvme2", "ctrl_loss_tmo", "60");

	/* Others may end its connections with their own; and a standby's, where there is one slot. */
	host_paths_expendable(paths, &scene.status, names, 8, &count);
	assert_int_equal(count, 1);
	assert_string_equal(names[0], "nvme0");
	assert_false(host_plan_is_idle(&scene.status, &paths->known[0]));
	scene_make(&single, "cn1 standby, cn2 active 0", "nvme0 cn1 live, nvme1 cn2 live");
	assert_false(host_plan_is_idle(&single.status, &single.known[0]));
	single.volume.slots.count = 1;
	assert_true(host_plan_is_idle(&single.status, &single.known[0]));
	assert_false(host_plan_is_idle(&single.status, &single.known[1]));
	paths->others = (struct host_names){ names, 1 };

	/* Not yet: asked again at each look, silently; a peer that goes on serving is not waited for without end. */
	sysfs_put(tree, "nvme0", "asked", "");
	assert_int_equal(host_paths_step(paths, &scene.status, 1100, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme0", "asked", "wait 1");
	assert_int_equal(host_paths_step(paths, &scene.status, 2100, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme0", "asked", "reset 1");
	assert_int_equal(begun, 1);
	assert_int_equal(ended + failed, 0);
	snprintf(text, sizeof(text), "%s/free", tree);
	assert_int_equal(mkdir(text, 0700), 0);
	assert_int_equal(host_paths_step(paths, &scene.status, 2200, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme0", "delete_controller", "1");
	sysfs_expect(tree, "nvme1", "delete_controller", "");
	sysfs_expect(tree, "nvme2", "delete_controller", "");
	/* Done once, as long as its effect is awaited. */
	sysfs_put(tree, "nvme0", "delete_controller", "");
	assert_int_equal(host_paths_step(paths, &scene.status, 2300, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme0", "delete_controller", "");
	assert_int_equal(begun, 1);
	assert_int_equal(ended, 1);

	assert_true(host_paths_has(paths, &scene.paths[0], NULL));
	assert_true(host_paths_has(paths, &scene.paths[1], NULL));
	assert_false(host_paths_has(paths, &scene.paths[2], &job));
	assert_non_null(job);
	assert_string_equal(job->task.failure.message, "it is dead");

	/* Somebody takes a path away: maybe all of them, one after the other. If it was the only one it comes back. */
	sysfs_put(tree, "nvme7", "state", "deleting\n");
	assert_int_equal(host_paths_step(paths, &scene.status, 2400, NULL, NULL, &error), 0);
	end_of_jobs(paths);
	snprintf(text, sizeof(text), "rm -r %s/class/nvme/nvme7", tree);
	assert_int_equal(system(text), 0);
	snprintf(text, sizeof(text), "%s/class/nvme/nvme7", tree);
	assert_int_equal(host_paths_step(paths, &scene.status, 4300, NULL, NULL, &error), 0);
	end_of_jobs(paths);
	assert_int_equal(access(text, F_OK), -1);
	assert_int_equal(host_paths_step(paths, &scene.status, 4500, NULL, NULL, &error), 0);
	end_of_jobs(paths);
	sysfs_expect(tree, "nvme7", "state", "live");

	/* As another host: nothing may be done about it. */
	sysfs_put(tree, "nvme1", "hostnqn", SCENE_OTHER);
	assert_int_equal(host_paths_step(paths, &scene.status, 4600, NULL, NULL, &error), ERROR_CONFLICT);
	assert_non_null(strstr(error.message, "nvme1"));
	sysfs_remove(tree);
	free(paths);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sight),
		cmocka_unit_test(test_path_and_its_maker),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
