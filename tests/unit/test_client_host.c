/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host does about the paths of a volume: the decision, and what it does to a copy of sysfs. */
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
#include "client/cli/host_plan.h"
#include "client/cli/host_report.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define OTHER "nqn.2014-08.org.nvmexpress:uuid:99999999-2222-3333-4444-555555555555"
#define NQN "nqn.2026-11.io.dnvme:c0ffee:volume:v1"

/* --- the decision ---------------------------------------------------------------------------------------- */

/*
 * A volume in one line: "cn1 active 0, cn2 standby, cn3 retired 0", where the number is the slot. cn1 is at 10.0.0.1.
 * The kernel in another: "nvme0 cn1 live, nvme1 cn2 connecting".
 */
struct scene {
	struct slot slots[2];
	struct controller controllers[8];
	struct volume_path paths[8];
	char nodes[8][8], addresses[8][32];
	const char *hosts[1];
	struct volume volume;
	struct volume_status status;
	struct host_controller known[8];
	size_t known_count;
};

static void scene_make(struct scene *scene, const char *volume, const char *kernel)
{
	char word[3][32];
	int used = 0, words;

	*scene = (struct scene){ .hosts = { HOST },
				 .slots = { { .holder = "cn1", .epoch = 2, .phase = SLOT_PHASE_SERVING },
					    { .holder = "cn2", .epoch = 2, .phase = SLOT_PHASE_SERVING } } };
	scene->volume = (struct volume){ .phase = VOLUME_PHASE_ONLINE,
					 .slots = { 2, scene->slots },
					 .controllers = { 0, scene->controllers },
					 .hosts = { 1, scene->hosts } };
	scene->status = (struct volume_status){ .volume = &scene->volume, .nqn = NQN, .paths = { 0, scene->paths } };
	for (; *volume != '\0'; volume += used + (volume[used] == ',')) {
		size_t i = scene->volume.controllers.count++;
		struct controller *controller = &scene->controllers[i];

		words = sscanf(volume, " %7[^ ,] %31[^ ,] %31[^ ,]", word[0], word[1], word[2]);
		assert_true(words >= 2);
		used = (int)strcspn(volume, ",");
		strcpy(scene->nodes[i], word[0]);
		snprintf(scene->addresses[i], sizeof(scene->addresses[i]), "10.0.0.%.7s", word[0] + 2);
		*controller = (struct controller){ .node = scene->nodes[i],
						   .role = (enum controller_role)enum_schema_parse(
							   enum_schema_controller_role(), word[1]) };
		if (words == 3) {
			controller->slot = (uint64_t)atoi(word[2]);
			controller->epoch = controller->role == CONTROLLER_ROLE_RETIRED ? 1 : 0;
		}
		scene->paths[scene->status.paths.count++] = (struct volume_path){
			.node = scene->nodes[i], .address = scene->addresses[i], .port = 4420, .role = controller->role
		};
	}
	for (; *kernel != '\0'; kernel += used + (kernel[used] == ',')) {
		struct host_controller *known = &scene->known[scene->known_count++];

		words = sscanf(kernel, " %31[^ ,] %7[^ ,] %31[^ ,] %31[^ ,]", known->name, word[0], known->state,
			       word[1]);
		assert_true(words >= 3);
		used = (int)strcspn(kernel, ",");
		strcpy(known->host_nqn, words == 4 && strcmp(word[1], "foreign") == 0 ? OTHER : HOST);
		snprintf(known->address, sizeof(known->address), "10.0.0.%.7s", word[0] + 2);
		strcpy(known->port, "4420");
	}
}

static void check(struct scene *scene, const char *expected)
{
	static const char *const kinds[] = { "connect", "leave" };
	struct host_action actions[HOST_ACTIONS];
	char text[512] = "";
	size_t count = host_plan(&scene->status, HOST, scene->known, scene->known_count, actions);

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
	scene.hosts[0] = OTHER;
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

static void sysfs_put(const char *root, const char *name, const char *attribute, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "mkdir -p %s/class/nvme/%s", root, name);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "%s/class/nvme/%s/%s", root, name, attribute);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void sysfs_controller(const char *root, const char *name, const char *nqn, const char *state)
{
	sysfs_put(root, name, "subsysnqn", nqn);
	sysfs_put(root, name, "address", "traddr=10.0.0.1,trsvcid=4420\n");
	sysfs_put(root, name, "hostnqn", HOST);
	sysfs_put(root, name, "state", state);
}

/* What is kept of a controller is never taken for another one of the same name. */
static void test_sight(void **state)
{
	struct host_controller found[HOST_CONTROLLERS];
	char root[] = "/tmp/dnvme-sight-XXXXXX", command[128];
	struct host_sight sight = { .sysfs = root };
	struct error error;
	size_t count = 9;

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, NQN, found, &count);
	assert_int_equal(count, 0);
	sysfs_controller(root, "nvme0", NQN "\n", "live\n");
	sysfs_controller(root, "nvme1", "nqn.of.somebody\n", "live\n");
	sysfs_controller(root, "nvme2", "(efault)\n", "new\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	assert_int_equal(sight.count, 1);
	host_sight_find(&sight, NQN, found, &count);
	assert_int_equal(count, 1);
	assert_string_equal(found[0].name, "nvme0");
	assert_string_equal(found[0].state, "live");
	assert_string_equal(found[0].address, "10.0.0.1");
	assert_string_equal(found[0].host_nqn, HOST);
	/* The state is of now, and one that says who it is only later is seen then. */
	sysfs_put(root, "nvme0", "state", "connecting\n");
	sysfs_put(root, "nvme2", "subsysnqn", NQN "\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, NQN, found, &count);
	assert_int_equal(count, 2);
	assert_string_equal(found[strcmp(found[0].name, "nvme0") == 0 ? 0 : 1].state, "connecting");
	/* Another controller of the same name: the old one is there until the new one is, so that the inode differs. */
	snprintf(command, sizeof(command), "mv %s/class/nvme/nvme0 %s/old", root, root);
	assert_int_equal(system(command), 0);
	sysfs_controller(root, "nvme0", "nqn.2026-11.io.dnvme:c0ffee:volume:v2\n", "live\n");
	assert_int_equal(host_sight_look(&sight, &error), 0);
	host_sight_find(&sight, NQN, found, &count);
	assert_int_equal(count, 1);
	assert_string_equal(found[0].name, "nvme2");
	host_sight_free(&sight);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* --- the deeds ------------------------------------------------------------------------------------------- */

static char tree[] = "/tmp/dnvme-paths-XXXXXX";

static void path_of(char full[512], const char *controller, const char *attribute)
{
	snprintf(full, 512, "%s/class/nvme/%s/%s", tree, controller, attribute);
}

static void put(const char *controller, const char *attribute, const char *text)
{
	char full[512];
	FILE *file;

	path_of(full, controller, attribute);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect(const char *controller, const char *attribute, const char *expected)
{
	char full[512], text[64] = "";
	FILE *file;

	path_of(full, controller, attribute);
	file = fopen(full, "r");
	assert_non_null(file);
	(void)!fgets(text, sizeof(text), file);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, expected);
}

static void controller_make(const char *name, const char *nqn, const char *address, const char *state)
{
	char text[512];

	snprintf(text, sizeof(text), "%s/class/nvme/%s", tree, name);
	assert_int_equal(mkdir(text, 0700), 0);
	put(name, "subsysnqn", nqn);
	snprintf(text, sizeof(text), "traddr=%s,trsvcid=4420,src_addr=10.0.0.99\n", address);
	put(name, "address", text);
	put(name, "state", state);
	put(name, "hostnqn", HOST);
	put(name, "ctrl_loss_tmo", "60\n");
	put(name, "fast_io_fail_tmo", "off\n");
	put(name, "reconnect_delay", "5\n");
	put(name, "reset_controller", "");
	put(name, "delete_controller", "");
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
	put(leaving->controller.name, "asked", text);
	snprintf(text, sizeof(text), "%s/free", tree);
	if (access(text, F_OK) != 0)
		return error_set(error, ERROR_UNAVAILABLE, "not yet");
	put(leaving->controller.name, "delete_controller", "1");
	return 0;
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
	static const struct host_identity identity = { .nqn = HOST, .id = "11111111-2222-3333-4444-555555555555" };
	struct host_paths *paths = calloc(1, sizeof(*paths));
	struct scene scene;
	struct error error;
	char text[512], byte = 0;

	(void)state;
	assert_non_null(paths);
	strcpy(tree, "/tmp/dnvme-paths-XXXXXX");
	assert_non_null(mkdtemp(tree));
	snprintf(text, sizeof(text), "mkdir -p %s/class/nvme", tree);
	assert_int_equal(system(text), 0);
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
	for (size_t i = 0; i < HOST_JOBS; i++) {
		while (host_task_runs(&paths->jobs[i].task))
			host_paths_wait(paths, 10000);
	}
	assert_true(host_paths_has(paths, &scene.paths[0], NULL));
	for (size_t i = 0; i < 2; i++) {
		close(made[i]);
		close(go_on[i]);
	}
	snprintf(text, sizeof(text), "rm -r %s", tree);
	assert_int_equal(system(text), 0);
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

static void end_of_jobs(struct host_paths *paths)
{
	for (size_t i = 0; i < HOST_JOBS; i++) {
		while (host_task_runs(&paths->jobs[i].task))
			host_paths_wait(paths, 10000);
	}
}

static void test_paths(void **state)
{
	static const struct host_identity identity = { .nqn = HOST, .id = "11111111-2222-3333-4444-555555555555" };
	struct host_paths *paths = calloc(1, sizeof(*paths));
	const struct host_job *job = NULL;
	char names[8][HOST_NAME_SIZE];
	struct scene scene, single;
	size_t count = 0;
	char text[512];
	struct error error;

	(void)state;
	assert_non_null(paths);
	assert_non_null(mkdtemp(tree));
	snprintf(text, sizeof(text), "%s/class", tree);
	assert_int_equal(mkdir(text, 0700), 0);
	snprintf(text, sizeof(text), "%s/class/nvme", tree);
	assert_int_equal(mkdir(text, 0700), 0);
	controller_make("nvme0", NQN, "10.0.0.1", "live\n");
	controller_make("nvme1", NQN, "10.0.0.2", "live\n");
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
	expect("nvme0", "asked", "wait 0");
	expect("nvme0", "delete_controller", "");
	expect("nvme7", "address", "traddr=10.0.0.3,trsvcid=4420,src_addr=10.0.0.99");
	/* A path that stays is made to stay; others' settings are their own. */
	expect("nvme1", "ctrl_loss_tmo", "-1");
	expect("nvme1", "fast_io_fail_tmo", "off");
	expect("nvme1", "reconnect_delay", "1");
	expect("nvme0", "ctrl_loss_tmo", "60");
	expect("nvme2", "ctrl_loss_tmo", "60");

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
	put("nvme0", "asked", "");
	assert_int_equal(host_paths_step(paths, &scene.status, 1100, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	expect("nvme0", "asked", "wait 1");
	assert_int_equal(host_paths_step(paths, &scene.status, 2100, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	expect("nvme0", "asked", "reset 1");
	assert_int_equal(begun, 1);
	assert_int_equal(ended + failed, 0);
	snprintf(text, sizeof(text), "%s/free", tree);
	assert_int_equal(mkdir(text, 0700), 0);
	assert_int_equal(host_paths_step(paths, &scene.status, 2200, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	expect("nvme0", "delete_controller", "1");
	expect("nvme1", "delete_controller", "");
	expect("nvme2", "delete_controller", "");
	/* Done once, as long as its effect is awaited. */
	put("nvme0", "delete_controller", "");
	assert_int_equal(host_paths_step(paths, &scene.status, 2300, count_leaving, NULL, &error), 0);
	end_of_jobs(paths);
	expect("nvme0", "delete_controller", "");
	assert_int_equal(begun, 1);
	assert_int_equal(ended, 1);

	assert_true(host_paths_has(paths, &scene.paths[0], NULL));
	assert_true(host_paths_has(paths, &scene.paths[1], NULL));
	assert_false(host_paths_has(paths, &scene.paths[2], &job));
	assert_non_null(job);
	assert_string_equal(job->task.failure.message, "it is dead");

	/* Somebody takes a path away: maybe all of them, one after the other. If it was the only one it comes back. */
	put("nvme7", "state", "deleting\n");
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
	expect("nvme7", "state", "live");

	/* As another host: nothing may be done about it. */
	put("nvme1", "hostnqn", OTHER);
	assert_int_equal(host_paths_step(paths, &scene.status, 4600, NULL, NULL, &error), ERROR_CONFLICT);
	assert_non_null(strstr(error.message, "nvme1"));
	snprintf(text, sizeof(text), "rm -r %s", tree);
	assert_int_equal(system(text), 0);
	free(paths);
}

/* --- what the control plane is told ---------------------------------------------------------------------- */

static struct host_report_batch batch;

static bool told_now(struct scene *scene, struct host_told *told, uint64_t now_ms)
{
	batch.count = 0;
	host_report_add(&batch, &scene->status, HOST, scene->known, scene->known_count, told, now_ms);
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
	host_report_add(&batch, &scene.status, HOST, scene.known, scene.known_count, &told, 40000);
	assert_int_equal(batch.count, LIMIT_REPORT_VOLUMES);
	assert_true(told_now(&scene, &told, 40001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_report_times),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_plan_waits_for_the_fence),
		cmocka_unit_test(test_plan_single_slot_does_not_wait),
		cmocka_unit_test(test_plan_only_what_is_there_for_the_host),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_sight),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_path_and_its_maker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
