/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Write caches of disks that a copy of /sys and this test's answers to commands make up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/ioctl.h>
#include <scsi/sg.h>

#include "agent/backend/linux/caches.h"

#define PATIENCE_MS 20000
#define OFF WRITE_CACHE_OFF
#define ON WRITE_CACHE_ON
#define FIXED WRITE_CACHE_FIXED

static char tree[64];

static struct nvme {
	bool lost; /* it answers nothing */
	bool present, on, refuses, ignores;
	bool selects; /* what a feature can do may be asked for */
	uint32_t capabilities;
	bool saved;
} nvme;

static struct scsi {
	bool lost, on;
	bool long_form; /* it knows no other */
	unsigned flushes;
	bool no_flush;
} scsi;

static unsigned fsyncs;

/* --- what disks answer --- */

int __wrap_nvme_identify(struct nvme_identify_args *arguments);
int __wrap_nvme_identify(struct nvme_identify_args *arguments)
{
	struct nvme_id_ctrl *id = arguments->data;

	assert_true(arguments->fd >= 0);
	assert_int_equal(arguments->cns, NVME_IDENTIFY_CNS_CTRL);
	id->vwc = nvme.present ? NVME_CTRL_VWC_PRESENT : 0;
	id->oncs = htole16(nvme.selects ? NVME_CTRL_ONCS_SAVE_FEATURES : 0);
	return nvme.lost ? -1 : 0;
}

int __wrap_nvme_get_features_volatile_wc(int fd, enum nvme_get_features_sel sel, uint32_t *result);
int __wrap_nvme_get_features_volatile_wc(int fd, enum nvme_get_features_sel sel, uint32_t *result)
{
	assert_true(fd >= 0 && nvme.present);
	assert_true(sel == NVME_GET_FEATURES_SEL_CURRENT || nvme.selects);
	*result = sel == NVME_GET_FEATURES_SEL_CURRENT ? nvme.on : nvme.capabilities;
	return 0;
}

int __wrap_nvme_set_features_volatile_wc(int fd, bool on, bool save, uint32_t *result);
int __wrap_nvme_set_features_volatile_wc(int fd, bool on, bool save, uint32_t *result)
{
	(void)result;
	assert_true(fd >= 0 && nvme.present && nvme.on);
	assert_false(on);
	if (nvme.refuses)
		return 0x10e; /* feature not changeable */
	nvme.saved = save;
	nvme.on = nvme.ignores;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	struct sg_io_hdr *header = argument;
	uint8_t *data = header->dxferp;

	assert_true(fd >= 0);
	assert_int_equal(request, SG_IO);
	header->info = SG_INFO_OK;
	switch (header->cmdp[0]) {
	case 0x1a:
	case 0x5a:
		assert_int_equal(header->cmdp[2], 8);
		if (scsi.lost || scsi.long_form != (header->cmdp[0] == 0x5a)) {
			header->info = SG_INFO_CHECK;
			return 0;
		}
		/* A block descriptor in spite of what was asked for. */
		data[scsi.long_form ? 7 : 3] = 8;
		data += (scsi.long_form ? 8 : 4) + 8;
		data[0] = 0x88;
		data[1] = 18;
		data[2] = scsi.on ? 0x14 : 0x10;
		return 0;
	case 0x35:
		scsi.flushes++;
		return scsi.no_flush ? -1 : 0;
	}
	fail_msg("command %02x", header->cmdp[0]);
	return -1;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	assert_true(fd >= 0);
	fsyncs++;
	return 0;
}

/* --- what the kernel shows --- */

static void put(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *text, const char *format, ...)
{
	char name[128], path[256];
	va_list arguments;
	FILE *stream;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s/%s", tree, name);
	for (char *slash = path + strlen(tree) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	if (text == NULL) {
		mkdir(path, 0700);
		return;
	}
	stream = fopen(path, "we");
	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static void expect(const char *text, const char *name)
{
	char path[256], line[64] = "";
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	stream = fopen(path, "re");
	assert_non_null(stream);
	assert_non_null(fgets(line, sizeof(line), stream));
	fclose(stream);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, text);
}

static int setup(void **state)
{
	(void)state;
	snprintf(tree, sizeof(tree), "/tmp/dnvme-caches-XXXXXX");
	assert_non_null(mkdtemp(tree));
	nvme = (struct nvme){ .present = true, .on = true };
	scsi = (struct scsi){ .on = true };
	fsyncs = 0;
	put("", "dev/nvme0n1");
	put("", "dev/sda");
	put("", "dev/vda");
	put("", "dev/ubda");
	put("write back\n", "block/nvme0n1/queue/write_cache");
	put("write back\n", "block/sda/queue/write_cache");
	put("write back\n", "block/sda/device/scsi_disk/0:0:0:0/cache_type");
	put("write back\n", "block/vda/cache_type");
	put(NULL, "block/vda/holders");
	put("write back\n", "block/ubda/queue/write_cache");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", tree);
	return system(command);
}

static enum write_cache ask(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/%s", tree, name);
	return write_cache_ask(tree, path);
}

static void off(const char *name, int wanted, const char *words)
{
	struct error error = { 0 };
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/%s", tree, name);
	assert_int_equal(write_cache_off(tree, path, &error), wanted);
	assert_int_equal(error.code, wanted);
	if (wanted != 0)
		assert_non_null(strstr(error.message, words));
}

/* --- NVMe --- */

static void test_nvme(void **state)
{
	(void)state;
	assert_int_equal(ask("nvme0n1"), ON);
	off("nvme0n1", 0, NULL);
	assert_int_equal(ask("nvme0n1"), OFF);
	assert_int_equal(fsyncs, 1);
	assert_false(nvme.saved);
	/* What the kernel believes stays: it goes on to flush. */
	expect("write back", "block/nvme0n1/queue/write_cache");
	off("nvme0n1", 0, NULL);
	/* For good where it can. */
	nvme = (struct nvme){ .present = true, .on = true, .selects = true, .capabilities = 5 };
	off("nvme0n1", 0, NULL);
	assert_true(nvme.saved);
	nvme = (struct nvme){ .present = true, .on = true, .selects = true, .capabilities = 4 };
	off("nvme0n1", 0, NULL);
	assert_false(nvme.saved);
	/* There is none, whatever the kernel believes. */
	nvme = (struct nvme){ .on = true };
	assert_int_equal(ask("nvme0n1"), OFF);
	off("nvme0n1", 0, NULL);
}

static void test_nvme_stays_on(void **state)
{
	(void)state;
	nvme.refuses = true;
	off("nvme0n1", ERROR_FAILED_PRECONDITION, "does not switch");
	nvme = (struct nvme){ .present = true, .on = true, .ignores = true };
	off("nvme0n1", ERROR_FAILED_PRECONDITION, "is on");
	nvme = (struct nvme){ .present = true, .on = true, .selects = true };
	assert_int_equal(ask("nvme0n1"), FIXED);
	nvme = (struct nvme){ .lost = true };
	assert_int_equal(ask("nvme0n1"), FIXED);
	assert_int_equal(ask("nvme7n1"), FIXED); /* it is gone */
	off("nvme7n1", ERROR_FAILED_PRECONDITION, "cannot open");
}

/* --- SCSI --- */

static void test_scsi(void **state)
{
	(void)state;
	assert_int_equal(ask("sda"), ON);
	/* The disk decides, not the file. */
	off("sda", ERROR_FAILED_PRECONDITION, "is on");
	expect("write through", "block/sda/device/scsi_disk/0:0:0:0/cache_type");
	assert_int_equal(ask("sda"), ON);
	assert_int_equal(scsi.flushes, 1);
	scsi.on = false;
	assert_int_equal(ask("sda"), OFF);
	off("sda", 0, NULL);
	scsi = (struct scsi){ .on = true, .long_form = true };
	assert_int_equal(ask("sda"), ON);
	scsi.no_flush = true;
	off("sda", ERROR_FAILED_PRECONDITION, "does not flush");
	scsi.on = false;
	assert_int_equal(ask("sda"), OFF);
	/* One that does not show the page. */
	scsi.lost = true;
	put("write back, no read (daft)\n", "block/sda/device/scsi_disk/0:0:0:0/cache_type");
	assert_int_equal(ask("sda"), ON);
	scsi.no_flush = false;
	off("sda", 0, NULL);
	assert_int_equal(ask("sda"), OFF);
	expect("write back", "block/sda/queue/write_cache");
}

/* --- virtio, and others --- */

static void test_virtio(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(ask("vda"), ON);
	/* What is written through it by LDs of ours could be flushed by nobody. */
	put(NULL, "block/vda/holders/dm-0");
	assert_int_equal(ask("vda"), FIXED);
	off("vda", ERROR_FAILED_PRECONDITION, "is on");
	expect("write back", "block/vda/cache_type");
	snprintf(path, sizeof(path), "%s/block/vda/holders/dm-0", tree);
	assert_int_equal(rmdir(path), 0);
	off("vda", 0, NULL);
	expect("write through", "block/vda/cache_type");
	assert_int_equal(fsyncs, 1);
	assert_int_equal(ask("vda"), OFF);
	/* One whose device cannot be told. */
	put("write back\n", "block/vda/cache_type");
	snprintf(path, sizeof(path), "%s/block/vda/cache_type", tree);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(ask("vda"), FIXED);
	off("vda", ERROR_FAILED_PRECONDITION, "is on");
}

static void test_other(void **state)
{
	(void)state;
	assert_int_equal(ask("ubda"), FIXED);
	off("ubda", ERROR_FAILED_PRECONDITION, "is on");
	expect("write back", "block/ubda/queue/write_cache");
	put("write through\n", "block/ubda/queue/write_cache");
	assert_int_equal(ask("ubda"), OFF);
	off("ubda", 0, NULL);
}

/* --- what is remembered --- */

static enum write_cache answer;
static bool stays_on;
static unsigned asked, switched;

static enum write_cache device_ask(const char *sys, const char *path)
{
	assert_string_equal(sys, "/sys");
	assert_string_equal(path, "/dev/a");
	__atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&answer, __ATOMIC_SEQ_CST);
}

static int device_off(const char *sys, const char *path, struct error *error)
{
	assert_string_equal(sys, "/sys");
	assert_string_equal(path, "/dev/a");
	switched++;
	if (stays_on)
		return error_set(error, ERROR_FAILED_PRECONDITION, "it stays on");
	__atomic_store_n(&answer, WRITE_CACHE_OFF, __ATOMIC_SEQ_CST);
	return 0;
}

static void must_be(struct caches *caches, uint64_t now_ms, bool is_volatile, bool is_switchable)
{
	bool found_volatile = !is_volatile, found_switchable = !is_switchable;

	assert_int_equal(caches_look(caches, "/dev/a", now_ms), 0);
	caches_wait(caches, PATIENCE_MS);
	assert_int_equal(caches_get(caches, "/dev/a", now_ms, &found_volatile, &found_switchable), 0);
	assert_int_equal(found_volatile, is_volatile);
	assert_int_equal(found_switchable, is_switchable);
}

static void test_memory(void **state)
{
	const struct caches_device device = { device_ask, device_off };
	struct caches *caches = caches_make(&device);
	bool is_volatile, is_switchable;
	struct error error = { 0 };

	(void)state;
	assert_non_null(caches);
	answer = WRITE_CACHE_ON;
	/* Nobody knows yet: it is not off, nor is it said to stay on. */
	assert_int_equal(caches_get(caches, "/dev/a", 1000, &is_volatile, &is_switchable), 0);
	assert_true(is_volatile && is_switchable);
	must_be(caches, 1000, true, true);
	must_be(caches, 2000, true, true);
	assert_int_equal(asked, 1);
	stays_on = true;
	assert_int_equal(caches_off(caches, "/dev/a", 3000, &error), ERROR_FAILED_PRECONDITION);
	must_be(caches, 3000, true, false);
	assert_int_equal(asked, 2);
	must_be(caches, 3000 + CACHES_RETRY_MS - 1, true, false);
	must_be(caches, 3000 + CACHES_RETRY_MS, true, true);
	/* It is asked again at once when it was switched, and then from time to time: it may be on again. */
	stays_on = false;
	asked = 0;
	assert_int_equal(caches_off(caches, "/dev/a", 4000 + CACHES_RETRY_MS, &error), 0);
	must_be(caches, 4000 + CACHES_RETRY_MS, false, false);
	assert_int_equal(asked, 1);
	answer = WRITE_CACHE_FIXED;
	must_be(caches, 5000 + CACHES_RETRY_MS, false, false);
	must_be(caches, 40000 + CACHES_RETRY_MS, true, false);
	assert_int_equal(switched, 2);
	caches_free(caches);
	caches_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nvme, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nvme_stays_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scsi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_virtio, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other, setup, teardown),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
