/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controllers and namespaces that sysfs shows, from a folder that looks like it. As in sysfs, a file that was taken
 * away cannot be read any more, even by who has it open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backend/linux/nvme_cache.h"

#define OURS "nqn.2026-11.io.dnvme:trial:ld:ld7:e3"
#define FOREIGN "nqn.2014-08.org.nvmexpress:uuid:1"
#define UUID "6b1f2b5e-0000-4000-8000-00000000000"

static char root[64];
static struct nvme_cache *cache;
static struct arena arena;
static struct nvme_seen seen;
static unsigned reads;

static ssize_t reader(int fd, void *ret_data, size_t size, off_t offset)
{
	struct stat status;

	reads++;
	if (fstat(fd, &status) != 0 || status.st_nlink == 0) {
		errno = ENODEV;
		return -1;
	}
	return pread(fd, ret_data, size, offset);
}

static int take_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

__attribute__((format(printf, 2, 3))) static void put(const char *content, const char *format, ...)
{
	char path[256];
	size_t length = (size_t)snprintf(path, sizeof(path), "%s/", root);
	va_list arguments;
	int fd;

	va_start(arguments, format);
	vsnprintf(path + length, sizeof(path) - length, format, arguments);
	va_end(arguments);
	for (char *at = path + length; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

__attribute__((format(printf, 1, 2))) static void take(const char *format, ...)
{
	char path[256];
	size_t length = (size_t)snprintf(path, sizeof(path), "%s/", root);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path + length, sizeof(path) - length, format, arguments);
	va_end(arguments);
	nftw(path, take_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void controller(unsigned instance, const char *nqn, const char *address)
{
	char text[128];

	snprintf(text, sizeof(text), "traddr=%s,trsvcid=4421,src_addr=10.0.0.9\n", address);
	put(text, "class/nvme/nvme%u/address", instance);
	snprintf(text, sizeof(text), "%s\n", nqn);
	put(text, "class/nvme/nvme%u/subsysnqn", instance);
	put("nqn.host\n", "class/nvme/nvme%u/hostnqn", instance);
	put("live\n", "class/nvme/nvme%u/state", instance);
}

static void namespace(unsigned subsystem, const char *nqn, const char *size)
{
	char text[128];

	snprintf(text, sizeof(text), "%s\n", nqn);
	put(text, "block/nvme%un1/device/subsysnqn", subsystem);
	put("259:3\n", "block/nvme%un1/dev", subsystem);
	put(UUID "7\n", "block/nvme%un1/uuid", subsystem);
	put("1\n", "block/nvme%un1/nsid", subsystem);
	put(size, "block/nvme%un1/size", subsystem);
}

static int setup_bounded(size_t files)
{
	snprintf(root, sizeof(root), "/tmp/dnvme-nvme-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	cache = nvme_cache_make(root, reader, files);
	return cache == NULL;
}

static int setup(void **state)
{
	(void)state;
	return setup_bounded(64);
}

static int setup_small(void **state)
{
	(void)state;
	return setup_bounded(1);
}

static int teardown(void **state)
{
	(void)state;
	nvme_cache_free(cache);
	arena_free(&arena);
	return nftw(root, take_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void look(enum nvme_depth depth)
{
	arena_free(&arena);
	reads = 0;
	assert_int_equal(nvme_cache_look(cache, depth, &arena, &seen, NULL), 0);
}

static void test_nothing(void **state)
{
	(void)state;
	look(NVME_NAMESPACES);
	assert_int_equal(seen.count, 0);
	assert_int_equal(seen.namespaces.count, 0);
}

static void test_controllers(void **state)
{
	(void)state;
	controller(10, OURS, "10.0.0.1");
	controller(2, OURS, "10.0.0.2");
	controller(3, FOREIGN, "10.0.0.3");
	put("pcie\n", "class/nvme/nvme4/transport"); /* no state: it goes just now */
	for (unsigned i = 0; i < 2; i++) {
		look(NVME_CONTROLLERS);
		assert_int_equal(seen.count, 2);
		assert_string_equal(seen.items[0].name, "nvme10");
		assert_string_equal(seen.items[0].address, "10.0.0.1");
		assert_string_equal(seen.items[0].trsvcid, "4421");
		assert_string_equal(seen.items[0].host_nqn, "nqn.host");
		assert_string_equal(seen.items[0].nqn, OURS);
		assert_string_equal(seen.items[1].name, "nvme2");
		assert_string_equal(seen.items[1].state, "live");
	}
	assert_int_equal(reads, 3); /* a state of each */
	put("connecting\n", "class/nvme/nvme2/state");
	look(NVME_CONTROLLERS);
	assert_string_equal(seen.items[1].state, "connecting");
	take("class/nvme/nvme10");
	look(NVME_CONTROLLERS);
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.items[0].name, "nvme2");
}

/* Another controller with the number of one that is gone. */
static void test_number_again(void **state)
{
	(void)state;
	controller(1, OURS, "10.0.0.1");
	controller(2, FOREIGN, "10.0.0.2");
	look(NVME_CONTROLLERS);
	take("class/nvme/nvme1");
	take("class/nvme/nvme2");
	controller(1, OURS, "10.0.0.3");
	controller(2, OURS, "10.0.0.4");
	look(NVME_CONTROLLERS);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.items[0].address, "10.0.0.3");
	assert_string_equal(seen.items[1].address, "10.0.0.4");
}

/* What a controller says of itself before it is connected is not kept. */
static void test_not_ready(void **state)
{
	(void)state;
	controller(1, "(efault)", "10.0.0.1");
	look(NVME_CONTROLLERS);
	assert_int_equal(seen.count, 0);
	put(OURS "\n", "class/nvme/nvme1/subsysnqn");
	look(NVME_CONTROLLERS);
	assert_int_equal(seen.count, 1);
}

static void test_paths(void **state)
{
	(void)state;
	controller(1, OURS, "10.0.0.1");
	controller(2, OURS, "10.0.0.2");
	look(NVME_PATHS);
	assert_int_equal(seen.items[0].paths, 0);
	assert_false(seen.items[0].accessible);
	assert_string_equal(seen.items[0].ana, "");

	put("optimized\n", "block/nvme0c1n1/ana_state");
	put("inaccessible\n", "block/nvme0c2n1/ana_state");
	put("0\n", "block/dm-0/size");
	for (unsigned i = 0; i < 2; i++) {
		look(NVME_PATHS);
		assert_int_equal(seen.items[0].paths, 1);
		assert_true(seen.items[0].accessible);
		assert_string_equal(seen.items[0].ana, "optimized");
		assert_false(seen.items[1].accessible);
		assert_string_equal(seen.items[1].ana, "inaccessible");
	}
	assert_int_equal(reads, 4);
	put("non-optimized\n", "block/nvme0c1n1/ana_state");
	put("change\n", "block/nvme0c1n2/ana_state");
	look(NVME_PATHS);
	assert_int_equal(seen.items[0].paths, 2);
	assert_false(seen.items[0].accessible);
	assert_string_equal(seen.items[0].ana, "change");
	take("block/nvme0c1n2");
	take("block/nvme0c1n1");
	put("optimized\n", "block/nvme0c1n1/ana_state");
	look(NVME_PATHS);
	assert_int_equal(seen.items[0].paths, 1);
	assert_true(seen.items[0].accessible);
	/* A path of which no state is told. */
	take("block/nvme0c1n1");
	put("8\n", "block/nvme0c1n1/size");
	look(NVME_PATHS);
	assert_true(seen.items[0].accessible);
	assert_string_equal(seen.items[0].ana, "");
}

/* nvme1n1 hangs below the controller: without native multipath it is its own path. */
static void test_single_path(void **state)
{
	(void)state;
	controller(1, OURS, "10.0.0.1");
	namespace(1, OURS, "8\n");
	look(NVME_PATHS);
	assert_int_equal(seen.items[0].paths, 0);
	take("block/nvme1n1");
	put("", "class/nvme/nvme1/nvme1n1/size");
	namespace(1, OURS, "8\n");
	look(NVME_NAMESPACES);
	assert_int_equal(seen.items[0].paths, 1);
	assert_true(seen.items[0].accessible);
}

static void test_namespaces(void **state)
{
	(void)state;
	namespace(0, OURS, "2048\n");
	namespace(1, FOREIGN, "2048\n");
	for (unsigned i = 0; i < 2; i++) {
		look(NVME_NAMESPACES);
		assert_int_equal(seen.namespaces.count, 1);
		assert_string_equal(seen.namespaces.items[0].path, "/dev/nvme0n1");
		assert_string_equal(seen.namespaces.items[0].nqn, OURS);
		assert_int_equal(seen.namespaces.items[0].major, 259);
		assert_int_equal(seen.namespaces.items[0].minor, 3);
		assert_int_equal(seen.namespaces.items[0].nsid, 1);
		assert_int_equal(seen.namespaces.items[0].uuid[15], 7);
		assert_int_equal(seen.namespaces.items[0].size_bytes, 1 << 20);
	}
	assert_int_equal(reads, 2);
	put("4096\n", "block/nvme0n1/size");
	look(NVME_NAMESPACES);
	assert_int_equal(seen.namespaces.items[0].size_bytes, 2 << 20);
	take("block/nvme0n1");
	look(NVME_NAMESPACES);
	assert_int_equal(seen.namespaces.count, 0);
	namespace(0, OURS, "8\n");
	put("259:9\n", "block/nvme0n1/dev");
	look(NVME_NAMESPACES);
	assert_int_equal(seen.namespaces.items[0].minor, 9);
	take("block/nvme0n1");
	namespace(0, OURS, "8\n");
	look(NVME_NAMESPACES);
	assert_int_equal(seen.namespaces.items[0].minor, 3);
}

static unsigned files_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Above the bound all is seen just the same. */
static void test_bound(void **state)
{
	unsigned before = files_open();

	(void)state;
	for (unsigned i = 1; i <= 4; i++) {
		controller(i, OURS, "10.0.0.1");
		put("optimized\n", "block/nvme0c%un1/ana_state", i);
	}
	namespace(0, OURS, "8\n");
	for (unsigned i = 0; i < 3; i++) {
		look(NVME_NAMESPACES);
		assert_int_equal(seen.count, 4);
		assert_int_equal(seen.namespaces.count, 1);
		for (unsigned j = 0; j < 4; j++)
			assert_true(seen.items[j].accessible);
		assert_int_equal(files_open(), before + 1);
	}
	take("class/nvme");
	take("block");
	look(NVME_NAMESPACES);
	assert_int_equal(files_open(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controllers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_single_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound, setup_small, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
