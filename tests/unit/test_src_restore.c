/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvmed --restore: what a backup may be, and what is in the data directory afterwards. The file itself is the business
 * of test_backup_file.c. */
#include "tests/unit/test_fsm_rig.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/backup/backup_file.h"
#include "lib/base/clock.h"
#include "lib/wire/codec.h"
#include "src/exit_status.h"
#include "src/file.h"
#include "src/options.h"
#include "src/recovery.h"
#include "src/restore.h"

#define STEP_MS 1000u
#define DAY_MS UINT64_C(86400000)

struct scene {
	struct rig rig;
	struct backup backup; /* of the rig's state */
	struct options options;
	char directory[64];
};

static void scene_open(struct scene *scene, const char *address)
{
	struct server servers[] = { { 3, "127.0.0.9:9", address, NULL, false } };
	struct cluster cluster = {
		.id = "c0ffee", .name = "lab", .extent_bytes = 1 << 20, .servers = { 1, servers }, .created_ms = 5
	};

	*scene = (struct scene){ .options = { .listen = "127.0.0.8:9", .raft = "127.0.0.8:10", .yes = true } };
	rig_open(&scene->rig);
	rig_do(&scene->rig, (struct command){ .cluster_create = &cluster });
	rig_node(&scene->rig, "n1", "127.0.0.1", NULL);
	rig_disk(&scene->rig, "n1", "/dev/a", 10 * GIB);
	strcpy(scene->directory, "/tmp/dnvme-restore-XXXXXX");
	assert_non_null(mkdtemp(scene->directory));
	snprintf(scene->options.data, sizeof(scene->options.data), "%s/data", scene->directory);
	snprintf(scene->options.restore, sizeof(scene->options.restore), "%s/backup", scene->directory);
	scene->backup = (struct backup){ .cluster = "c0ffee",
					 .name = "lab",
					 .revision = fsm_revision(scene->rig.fsm),
					 .index = fsm_applied_index(scene->rig.fsm),
					 .term = 7,
					 .time_ms = clock_wall_ms() - DAY_MS,
					 .server = 3 };
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	return remove(path);
}

static void scene_close(struct scene *scene)
{
	rig_close(&scene->rig);
	nftw(scene->directory, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void backup_write(const struct scene *scene)
{
	struct buffer state = BUFFER_INIT, file = BUFFER_INIT;
	struct backup backup = scene->backup;
	struct backup_encoder encoder;
	struct error error;

	assert_int_equal(fsm_dump(scene->rig.fsm, &state, &error), 0);
	backup.state_bytes = state.size;
	assert_int_equal(backup_encode_begin(&encoder, &backup, &file, &error), 0);
	assert_int_equal(backup_encode_piece(&encoder, buffer_bytes(&state), &file, &error), 0);
	assert_int_equal(backup_encode_end(&encoder, &file, &error), 0);
	backup_encode_close(&encoder);
	assert_int_equal(file_write(scene->directory, "backup", buffer_bytes(&file), &error), 0);
	buffer_free(&state);
	buffer_free(&file);
}

static bool is_there(const struct scene *scene, const char *name)
{
	char path[FILE_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", scene->options.data, name);
	return access(path, F_OK) == 0;
}

/* It must fail, and say these words. */
static void run_refused(const struct scene *scene, const char *words)
{
	char path[128];
	struct buffer said = BUFFER_INIT;
	struct error error;
	int kept = dup(STDERR_FILENO), file, status;

	snprintf(path, sizeof(path), "%s/said", scene->directory);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(kept >= 0 && file >= 0);
	assert_true(dup2(file, STDERR_FILENO) >= 0);
	status = restore_run(&scene->options);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	close(kept);
	close(file);
	assert_int_equal(status, EXIT_STATUS_FAILED);
	assert_int_equal(file_read(path, 4096, &said, &error), 0);
	assert_int_equal(buffer_append(&said, "", 1), 0);
	if (strstr((const char *)said.data, words) == NULL)
		fail_msg("\"%s\" is not in: %s", words, (const char *)said.data);
	buffer_free(&said);
}

static void must_be_refused(const struct scene *scene, const char *words)
{
	static const char *const names[] = { "check", "raft", "restoring", "recovering", "cluster", "member", "id" };

	backup_write(scene);
	run_refused(scene, words);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(is_there(scene, names[i]));
}

/* Whatever its checksums say. */
static void test_backups_refused(void **state)
{
	struct scene scene;
	struct backup right;

	(void)state;
	scene_open(&scene, "127.0.0.9:10");
	right = scene.backup;
	scene.backup.revision++;
	must_be_refused(&scene, "is not the one that it says");
	scene.backup = right;
	scene.backup.index++;
	must_be_refused(&scene, "is not the one that it says");
	scene.backup = right;
	scene.backup.cluster = "c0ffef";
	must_be_refused(&scene, "is not the one that it says");
	scene.backup = right;
	scene.backup.time_ms = 0;
	must_be_refused(&scene, "the clock of this machine");
	scene.backup.time_ms = clock_wall_ms() + DAY_MS;
	must_be_refused(&scene, "the clock of this machine");
	scene.backup.time_ms = clock_wall_ms() - 9 * 365 * DAY_MS;
	must_be_refused(&scene, "longer ago than numbers reach");
	scene.backup = right;
	scene.backup.term = UINT64_MAX - 5;
	must_be_refused(&scene, "no numbers left");
	scene.backup = right;
	scene.options.yes = false;
	must_be_refused(&scene, "--yes is missing");
	scene_close(&scene);
}

/* Its extents are free, and its LDs are not counted. */
static void test_contradictions_refused(void **state)
{
	struct bytes key = { (const uint8_t *)"\0\0\0\0\0\0\0\1", 8 }, value;
	struct store_txn *txn;
	struct scene scene;
	struct disk disk;
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	(void)state;
	scene_open(&scene, "127.0.0.9:10");
	assert_int_equal(fsm_disk_get(scene.rig.fsm, 1, &scene.rig.arena, &disk, &error), 0);
	disk.extents_free--;
	assert_int_equal(codec_encode(schema_disk(), &disk, CODEC_TAGGED, &bytes, &error), 0);
	assert_int_equal(store_txn_begin(scene.rig.store, true, &txn, &error), 0);
	assert_int_equal(store_get(txn, STORE_TABLE_DISK, key, &value, &error), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_DISK, key, buffer_bytes(&bytes), &error), 0);
	assert_int_equal(store_txn_commit(txn, &error), 0);
	buffer_free(&bytes);
	must_be_refused(&scene, "contradicts itself in 1 places, first: d1 counts");
	scene_close(&scene);
}

static struct command_cluster_recover mark_of(struct scene *scene)
{
	struct command_cluster_recover recover;
	struct buffer bytes = BUFFER_INIT;
	char path[FILE_PATH_SIZE];
	struct error error;

	snprintf(path, sizeof(path), "%s/recovering", scene->options.data);
	assert_int_equal(file_read(path, 4096, &bytes, &error), 0);
	if (codec_decode(schema_command_cluster_recover(), buffer_bytes(&bytes), &scene->rig.arena, &recover, &error) !=
	    0)
		fail_msg("%s", error.message);
	buffer_free(&bytes);
	return recover;
}

static void test_done(void **state)
{
	static const char *const names[] = { "raft", "cluster", "member", "id" };
	const uint64_t steps = LIMIT_RESTORE_STEPS_LEAST + DAY_MS / STEP_MS;
	struct command_cluster_recover recover;
	struct scene scene;
	struct error error;

	(void)state;
	scene_open(&scene, "127.0.0.9:10");
	backup_write(&scene);
	assert_int_equal(restore_run(&scene.options), EXIT_STATUS_STOPPED);
	recover = mark_of(&scene);
	assert_non_null(recover.restored);
	assert_in_range(recover.restored->steps, steps, steps + 60);
	assert_int_equal(recover.restored->backup_ms, scene.backup.time_ms);
	assert_string_equal(recover.restored->api_address, "127.0.0.8:9");
	assert_in_range(recover.server, steps, steps + 100);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(is_there(&scene, names[i]));
	assert_false(is_there(&scene, "restoring"));
	assert_false(is_there(&scene, "check"));
	assert_int_equal(recovery_check(&scene.options, &error), 0);
	/* Once more: that would be another cluster. */
	run_refused(&scene, "is not empty");
	/* Unless it was not finished. */
	assert_int_equal(file_write(scene.options.data, "restoring", (struct bytes){ NULL, 0 }, &error), 0);
	assert_int_equal(recovery_check(&scene.options, &error), ERROR_FAILED_PRECONDITION);
	scene.options.id = 3;
	assert_int_equal(restore_run(&scene.options), EXIT_STATUS_STOPPED);
	assert_int_equal(recovery_check(&scene.options, &error), 0);
	assert_int_equal(mark_of(&scene).server, 3);
	assert_false(is_there(&scene, "id"));
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backups_refused),
		cmocka_unit_test(test_contradictions_refused),
		cmocka_unit_test(test_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
