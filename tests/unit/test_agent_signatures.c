/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies on a disk, read from files that look like disks; and when it is read again, with a reader of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "agent/backend/linux/signatures.h"

#define IMAGE_BYTES (8 << 20)
#define PATIENCE_MS 20000
#define A "/dev/a"
#define B "/dev/b"

/* --- reading --- */

struct image {
	char path[64];
	int fd;
};

static void image_make(struct image *image)
{
	snprintf(image->path, sizeof(image->path), "/tmp/dnvme-signatures-XXXXXX");
	image->fd = mkstemp(image->path);
	assert_true(image->fd >= 0);
	assert_int_equal(ftruncate(image->fd, IMAGE_BYTES), 0);
}

static void image_put(struct image *image, off_t at, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(image->fd, bytes, size, at), size);
}

static void image_remove(struct image *image)
{
	close(image->fd);
	unlink(image->path);
}

static void must_read(const struct image *image, const char *wanted)
{
	char text[SIGNATURES_TEXT_SIZE] = "not written";

	signatures_read(image->path, text);
	assert_string_equal(text, wanted);
}

static void test_nothing(void **state)
{
	struct image image;
	uint8_t noise[4096];

	(void)state;
	image_make(&image);
	must_read(&image, "");
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 37 + 11);
	image_put(&image, 0, noise, sizeof(noise));
	must_read(&image, "");
	image_remove(&image);
}

static void test_filesystem(void **state)
{
	uint8_t super[256] = { 0 };
	struct image image;

	(void)state;
	image_make(&image);
	super[0x18] = 2; /* blocks of 4 KiB */
	memcpy(super + 0x38, "\x53\xef", 2);
	super[0x4c] = 1;    /* revision */
	super[0x60] = 0x40; /* extents: ext4 */
	image_put(&image, 1024, super, sizeof(super));
	must_read(&image, "filesystem ext4");
	image_put(&image, 1024 + 0x38, "\0", 2);
	must_read(&image, "");
	image_remove(&image);
}

static void test_volume_group(void **state)
{
	uint8_t label[512] = "LABELONE\1\0\0\0\0\0\0\0xxxx\x20\0\0\0LVM2 001";
	struct image image;

	(void)state;
	image_make(&image);
	/* Its checksum is wrong: it is still somebody's. */
	image_put(&image, 512, label, sizeof(label));
	must_read(&image, "member of a RAID or volume group, LVM2_member");
	image_remove(&image);
}

static void test_encrypted(void **state)
{
	uint8_t header[592] = "LUKS\xba\xbe\0\1";
	struct image image;

	(void)state;
	image_make(&image);
	image_put(&image, 0, header, sizeof(header));
	must_read(&image, "encrypted volume crypto_LUKS");
	image_remove(&image);
}

static void test_partition_table(void **state)
{
	static const uint8_t partition[16] = { 0, 0, 2, 0, 0x83, 0, 2, 0, 0, 8, 0, 0, 0, 16, 0, 0 };
	struct image image;

	(void)state;
	image_make(&image);
	image_put(&image, 446, partition, sizeof(partition));
	image_put(&image, 510, "\x55\xaa", 2);
	must_read(&image, "partition table dos");
	image_remove(&image);
}

static void test_not_readable(void **state)
{
	char text[SIGNATURES_TEXT_SIZE];

	(void)state;
	signatures_read("/nonexistent/disk", text);
	assert_string_equal(text, "unknown: it cannot be read: No such file or directory");
}

/* --- when it is read --- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned begun, ended;
	bool hang;
	const char *text;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void read_disk(const char *path, char ret_text[SIGNATURES_TEXT_SIZE])
{
	pthread_mutex_lock(&disk.lock);
	disk.begun++;
	pthread_cond_broadcast(&disk.changed);
	snprintf(ret_text, SIGNATURES_TEXT_SIZE, "%s", disk.text);
	while (disk.hang && strcmp(path, A) == 0)
		pthread_cond_wait(&disk.changed, &disk.lock);
	disk.ended++;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static int setup(void **state)
{
	disk.begun = disk.ended = 0;
	disk.hang = false;
	disk.text = "";
	*state = signatures_make(read_disk);
	return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	signatures_free(*state);
	return 0;
}

static void hang_set(bool hang)
{
	pthread_mutex_lock(&disk.lock);
	disk.hang = hang;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static void must_get(struct signatures *signatures, const char *path, const char *wanted)
{
	struct arena arena = ARENA_INIT;
	const char *text = "not written";

	assert_int_equal(signatures_get(signatures, path, &arena, &text), 0);
	if (wanted == NULL)
		assert_null(text);
	else
		assert_string_equal(text, wanted);
	arena_free(&arena);
}

static void look(struct signatures *signatures, const char *stamp, uint64_t now_ms)
{
	assert_int_equal(signatures_look(signatures, A, stamp, now_ms), 0);
	signatures_wait(signatures, PATIENCE_MS);
}

static void test_read_again_after_a_write(void **state)
{
	struct signatures *signatures = *state;

	look(signatures, "1", 1000);
	must_get(signatures, A, NULL);
	disk.text = "filesystem ext4";
	look(signatures, "1", 1000 + SIGNATURES_AGE_MS - 1);
	assert_int_equal(disk.begun, 1);
	look(signatures, "2", 1001);
	assert_int_equal(disk.begun, 2);
	must_get(signatures, A, "filesystem ext4");
	/* A write that nobody counted. */
	disk.text = "";
	look(signatures, "2", 1001 + SIGNATURES_AGE_MS);
	must_get(signatures, A, NULL);
	/* Without a stamp: each time. */
	look(signatures, "", 1002);
	look(signatures, "", 1002);
	assert_int_equal(disk.begun, 5);
}

static void test_forgotten(void **state)
{
	struct signatures *signatures = *state;

	look(signatures, "1", 0);
	assert_int_equal(signatures_look(signatures, B, "1", 0), 0);
	signatures_wait(signatures, PATIENCE_MS);
	assert_int_equal(disk.begun, 2);
	/* Somebody used it meanwhile. */
	look(signatures, "1", 0);
	assert_int_equal(disk.begun, 3);
}

static void test_disk_that_does_not_answer(void **state)
{
	struct signatures *signatures = *state;

	hang_set(true);
	assert_int_equal(signatures_look(signatures, A, "1", 0), 0);
	assert_int_equal(signatures_look(signatures, B, "1", 0), 0);
	signatures_wait(signatures, 100);
	must_get(signatures, A, "unknown: a read from it does not return");
	must_get(signatures, B, NULL);
	/* It is not waited for again, nor read twice. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(signatures_look(signatures, A, "1", SIGNATURES_AGE_MS * 2), 0);
		assert_int_equal(signatures_look(signatures, B, "1", 1), 0);
		signatures_wait(signatures, UINT32_MAX);
	}
	assert_int_equal(disk.begun, 2);
	/* Something was written while it was read: what was read is of no use. */
	assert_int_equal(signatures_look(signatures, A, "2", 1), 0);
	hang_set(false);
	pthread_mutex_lock(&disk.lock);
	while (disk.ended < 2)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
	must_get(signatures, A, "unknown: a read from it does not return");
	/* Its thread may still be on its last steps, and is not waited for. */
	while (disk.begun < 3) {
		look(signatures, "2", 1);
		usleep(1000);
	}
	must_get(signatures, A, NULL);
}

/* The thread outlives its owner. */
static void test_end_while_reading(void **state)
{
	struct signatures *signatures = *state;

	hang_set(true);
	assert_int_equal(signatures_look(signatures, A, "1", 0), 0);
	signatures_wait(signatures, 0);
	signatures_free(signatures);
	*state = NULL;
	pthread_mutex_lock(&disk.lock);
	while (disk.begun < 1)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
	hang_set(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_filesystem),
		cmocka_unit_test(test_volume_group),
		cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_partition_table),
		cmocka_unit_test(test_not_readable),
		cmocka_unit_test_setup_teardown(test_read_again_after_a_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_that_does_not_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_while_reading, setup, teardown),
	};

	alarm(120); /* a wait that has no end is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
