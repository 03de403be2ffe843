/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the client reads and writes as text: sizes, addresses, the picture of a volume, sysfs. */
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

#include "client/cli/host_sysfs.h"
#include "client/cli/picture.h"
#include "client/cli/size.h"
#include "client/endpoint.h"
#include "tests/unit/test_client_rig.h"

static void test_size_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "1", 1 },
		{ "4096B", 4096 },
		{ "1KiB", 1024 },
		{ "10G", UINT64_C(10) << 30 },
		{ "10 GiB", UINT64_C(10) << 30 },
		{ "100gib", UINT64_C(100) << 30 },
		{ "4GiB", UINT64_C(1) << 32 },
		{ "4294967295", UINT64_C(0xffffffff) },
		{ "16TiB", UINT64_C(1) << 44 },
		{ "9223372036854775807", INT64_MAX }, /* 8 EiB - 1 */
		{ "8EiB", UINT64_C(1) << 63 },
		{ "18446744073709551615", UINT64_MAX },
		{ "16383PiB", UINT64_C(16383) << 50 },
	};
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "does not begin with a number" },
		{ "GiB", "does not begin with a number" },
		{ "0", "is zero" },
		{ "0GiB", "is zero" },
		{ "-1", "is negative" },
		{ "1.5GiB", "has a fraction" },
		{ "12XB", "there is no unit \"XB\"" },
		{ "12GB", "there is no unit \"GB\"" },
		{ "12GiBs", "there is no unit \"GiBs\"" },
		{ "0x10", "there is no unit \"x10\"" },
		{ "1e3", "there is no unit \"e3\"" },
		{ "18446744073709551616", "does not fit into 64 bits" }, /* 2^64 */
		{ "16EiB", "does not fit into 64 bits" },
		{ "16384PiB", "does not fit into 64 bits" },
		{ "99999999999999999999999999", "does not fit into 64 bits" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 0;

		assert_int_equal(size_parse("--size", good[i].text, &bytes, NULL), 0);
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 77;
		struct error error;

		assert_int_equal(size_parse("--size", bad[i].text, &bytes, &error), ERROR_INVALID_ARGUMENT);
		assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
		assert_non_null(strstr(error.message, "--size"));
		if (strstr(error.message, bad[i].why) == NULL)
			fail_msg("\"%s\" gives \"%s\"", bad[i].text, error.message);
		assert_true(error.hint[0] != '\0');
		assert_true(bytes == 77);
	}
}

static void test_size_format(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 1536, "1.5 KiB" },
		{ (UINT64_C(1) << 20) - 1, "1024 KiB" },
		{ UINT64_C(100) << 30, "100 GiB" },
		{ UINT64_C(1) << 32, "4 GiB" },
		{ UINT64_C(16) << 40, "16 TiB" },
		{ (UINT64_C(1) << 63) - 1, "8 EiB" },
		{ UINT64_C(1) << 63, "8 EiB" },
		{ (UINT64_C(3) << 59), "1.5 EiB" },
		{ UINT64_MAX, "16 EiB" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[SIZE_TEXT_SIZE];

		size_format(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_duration_and_number(void **state)
{
	unsigned ms = 0;
	uint64_t number = 5;
	struct error error;

	(void)state;
	assert_int_equal(duration_parse("--timeout", "30", &ms, NULL), 0);
	assert_int_equal(ms, 30000);
	assert_int_equal(duration_parse("--timeout", "500ms", &ms, NULL), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(duration_parse("--timeout", "2m", &ms, NULL), 0);
	assert_int_equal(ms, 120000);
	assert_int_equal(duration_parse("--timeout", "24h", &ms, NULL), 0);
	assert_int_equal(duration_parse("--timeout", "25h", &ms, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "--timeout \"25h\" is more than a day");
	assert_int_equal(duration_parse("--timeout", "99999999999999999999s", &ms, NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(duration_parse("--timeout", "s", &ms, NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(ms, 86400000);
	assert_int_equal(number_parse("--copies", "4", 1, 4, &number, NULL), 0);
	assert_int_equal(number, 4);
	assert_int_equal(number_parse("--copies", "5", 1, 4, &number, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "--copies 5 is not from 1 to 4");
	assert_int_equal(number_parse("--copies", "18446744073709551617", 1, 4, &number, NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(number, 4);
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "no server is given" },
		{ "127.0.0.1:1,,127.0.0.1:2", "an empty entry" },
		{ ":1", "has no host" },
		{ "127.0.0.1:", "\"\" is not a port" },
		{ "127.0.0.1:x", "\"x\" is not a port" },
		{ "127.0.0.1:0", "is not between 1 and 65535" },
		{ "127.0.0.1:65536", "is not between 1 and 65535" },
		{ "127.0.0.1:123456", "is not a port" },
		{ "fd00::1", "more than one colon" },
		{ "[fd00::1", "[IPV6]:PORT" },
		{ "[fd00::1]x", "[IPV6]:PORT" },
		{ "unix:", "has no path" },
		{ "1,2,3,4,5,6,7,8,9,10", "more than 9 servers" },
	};
	struct endpoint *endpoints = NULL;
	char text[400];
	size_t count = 0;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(endpoint_list_parse(bad[i].text, &endpoints, &count, &error), ERROR_INVALID_ARGUMENT);
		if (strstr(error.message, bad[i].why) == NULL)
			fail_msg("\"%s\" gives \"%s\"", bad[i].text, error.message);
		assert_null(endpoints);
	}
	memset(text, 'a', sizeof(text));
	text[ENDPOINT_NAME_SIZE] = '\0';
	assert_int_equal(endpoint_list_parse(text, &endpoints, &count, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "has 300 bytes, the limit is 299"));
	memcpy(text, "unix:", 5);
	text[5 + 108] = '\0';
	assert_int_equal(endpoint_list_parse(text, &endpoints, &count, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "has 108 bytes, the limit is 107"));

	assert_int_equal(endpoint_list_parse("127.0.0.1:4400, [::1]:4401,unix:/run/x", &endpoints, &count, &error), 0);
	assert_int_equal(count, 3);
	assert_string_equal(endpoints[1].name, "[::1]:4401");
	assert_int_equal(endpoints[0].addresses[0].ss_family, AF_INET);
	assert_int_equal(endpoints[1].addresses[0].ss_family, AF_INET6);
	assert_int_equal(endpoints[2].addresses[0].ss_family, AF_UNIX);
	free(endpoints);
}

static const char golden_utf8[] =
	"volume db1  v1  100 GiB  online\n"
	"  nqn     nqn.2026-11.io.dnvme:c0ffee:volume:v1\n"
	"  uuid    01020304-0506-4708-890a-0b0c0d0e0f10\n"
	"  writes  flush: what is acknowledged and was not flushed may be lost with a controller\n"
	"  layout  2 copies, apart by rack, thin, striped over 4 legs by 64 KiB\n"
	"  hosts   nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555\n"
	"├─ active  cn1  10.0.0.1:4420  slot 0, epoch 1\n"
	"│  ├─ leg 0  25 GiB  ready\n"
	"│  │  └─ group 0  mirror of 2\n"
	"│  │     ├─ ld1  disk d1  dn1:/dev/vdb  in-sync\n"
	"│  │     └─ ld2  disk d2  dn2:/dev/vdb  stale\n"
	"│  ├─ leg 2  25 GiB  ready\n"
	"│  │  └─ group 0  mirror of 2\n"
	"│  │     ├─ ld5  disk d1  dn1:/dev/vdb  in-sync\n"
	"│  │     └─ ld6  disk d3  dn3:/dev/vdc  stale\n"
	"│  └─ remote  leg 1 from cn2  leg 3 from cn2\n"
	"├─ active  cn2  10.0.0.2:4420  slot 1, epoch 3\n"
	"│  ├─ leg 1  25 GiB  ready\n"
	"│  │  └─ group 0  mirror of 2\n"
	"│  │     ├─ ld3  disk d2  dn2:/dev/vdb  in-sync\n"
	"│  │     └─ ld4  disk d3  dn3:/dev/vdc  stale\n"
	"│  ├─ leg 3  25 GiB  ready\n"
	"│  │  └─ group 0  mirror of 2\n"
	"│  │     ├─ ld7  disk d2  dn2:/dev/vdb  in-sync\n"
	"│  │     └─ ld8  disk d1  dn1:/dev/vdb  stale\n"
	"│  └─ remote  leg 0 from cn1  leg 2 from cn1\n"
	"└─ standby  cn3  [fd00::3]:4420  inaccessible until it takes over a slot\n"
	"waits for: node dn3 to report\n"
	"problems:\n"
	"  export d3.v1.s1 is failed: cannot open /dev/vdc: No such device\n";

/* The same for a terminal without UTF-8. */
static void to_ascii(const char *text, char *ret_text)
{
	static const struct {
		const char *from, *to;
	} map[] = { { "├─", "|-" }, { "└─", "`-" }, { "│", "|" } };

	while (*text != '\0') {
		size_t i;

		for (i = 0; i < 3; i++) {
			if (strncmp(text, map[i].from, strlen(map[i].from)) == 0)
				break;
		}
		if (i < 3) {
			text += strlen(map[i].from);
			ret_text = stpcpy(ret_text, map[i].to);
		} else {
			*ret_text++ = *text++;
		}
	}
	*ret_text = '\0';
}

static void check_picture(const struct volume_status *status, bool utf8, const char *golden)
{
	struct buffer text = BUFFER_INIT;

	assert_int_equal(picture_draw(status, utf8, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_string_equal((const char *)text.data, golden);
	buffer_free(&text);
}

static char *picture_of(const struct volume_status *status)
{
	struct buffer text = BUFFER_INIT;

	assert_int_equal(picture_draw(status, false, &text), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	return (char *)text.data;
}

static void test_picture(void **state)
{
	static char ascii[sizeof(golden_utf8)];

	(void)state;
	check_picture(sample_volume(), true, golden_utf8);
	to_ascii(golden_utf8, ascii);
	check_picture(sample_volume(), false, ascii);
	for (const char *at = ascii; *at != '\0'; at++)
		assert_true((unsigned char)*at < 128);
}

/* One controller, one leg, one copy, nobody attached, nothing known of disks and paths. */
static void test_picture_small(void **state)
{
	struct ld ld = { .id = 9, .disk = 4, .state = LD_STATE_FREED };
	struct group group = { .members = { 1, &ld } };
	struct leg leg = { .state = LEG_STATE_NEW, .size_bytes = 1 << 20, .groups = { 1, &group } };
	struct slot slot = { .holder = "cn1", .epoch = 2, .phase = SLOT_PHASE_SERVING };
	struct controller controller = { .node = "cn1", .role = CONTROLLER_ROLE_ACTIVE };
	struct volume volume = { .id = 2,
				 .name = "a",
				 .size_bytes = 1 << 20,
				 .copies = 1,
				 .spread = SPREAD_NODE,
				 .provision = PROVISION_THICK,
				 .phase = VOLUME_PHASE_RELEASING,
				 .slots = { 1, &slot },
				 .controllers = { 1, &controller },
				 .legs = { 1, &leg },
				 .stripe_bytes = 65536 };
	struct volume_status status = { .volume = &volume, .nqn = "nqn.x" };
	struct volume_disk lossy[] = { { 1, "dn1", "/dev/ubda", true },
				       { 2, "dn2", "/dev/vda", false },
				       { 3, "dn3", "/dev/ubdb", true } };
	char *text;

	(void)state;
	check_picture(&status, false,
		      "volume a  v2  1 MiB  releasing\n"
		      "  nqn     nqn.x\n"
		      "  uuid    00000000-0000-0000-0000-000000000000\n"
		      "  writes  flush: what is acknowledged and was not flushed may be lost with a controller\n"
		      "  layout  1 copy, apart by node, thick, striped over 1 leg by 64 KiB\n"
		      "  hosts   none attached\n"
		      "`- active  cn1  no address  slot 0, epoch 2\n"
		      "   `- leg 0  1 MiB  new\n"
		      "      `- group 0  single copy\n"
		      "         `- ld9  disk d4  freed\n");
	/* Disks that lose what they hold. */
	status.disks = (struct volume_disk_list){ 3, lossy };
	text = picture_of(&status);
	assert_non_null(strstr(text, "with a controller\n"
				     "          and with the write caches of dn1:/dev/ubda, dn3:/dev/ubdb, when their "
				     "nodes lose power\n"
				     "  layout"));
	free(text);
	volume.durability = DURABILITY_STRICT;
	text = picture_of(&status);
	assert_null(strstr(text, "caches"));
	free(text);
}

/* A slot on its way, members that are not in sync, and what is left of others. */
static void test_picture_failover(void **state)
{
	struct ld lds[] = {
		{ .id = 1, .disk = 1, .state = LD_STATE_IN_SYNC, .stale_reason = STALE_REASON_MEDIUM },
		{ .id = 2, .disk = 2, .state = LD_STATE_STALE, .stale_reason = STALE_REASON_NOT_FENCED },
		{ .id = 4, .disk = 4, .state = LD_STATE_FREED, .stale_reason = STALE_REASON_LOST },
	};
	struct forced_ld taken = { .ld = 1, .node = "dn1", .reason = STALE_REASON_MEDIUM, .since_ms = 1000 },
			 given_up = { .ld = 2, .node = "dn2" };
	const char *off[] = { "dn2" };
	struct forced forced[] = { { .epoch = 2,
				     .time_ms = 1700000000000,
				     .revision = 9,
				     .by = "me@here",
				     .taken = { 1, &taken },
				     .given_up = { 1, &given_up },
				     .powered_off = { 1, off } } };
	struct ld gone = { .id = 3, .disk = 3, .state = LD_STATE_STALE };
	struct leaving_ld leaving = { .ld = &gone };
	struct group group = { .members = { 3, lds } };
	struct leg leg = { .state = LEG_STATE_READY, .size_bytes = 1 << 20, .groups = { 1, &group } };
	struct slot slot = { .holder = "cn2", .epoch = 2, .phase = SLOT_PHASE_FENCING, .reason = MOVE_REASON_FAILOVER };
	struct controller controllers[] = { { .node = "cn2", .role = CONTROLLER_ROLE_ACTIVE },
					    { .node = "cn1", .role = CONTROLLER_ROLE_RETIRED, .epoch = 1 },
					    { .node = "cn3", .role = CONTROLLER_ROLE_RETIRED } };
	struct volume volume = { .id = 2,
				 .name = "a",
				 .size_bytes = 1 << 20,
				 .copies = 3,
				 .spread = SPREAD_NODE,
				 .provision = PROVISION_THIN,
				 .durability = DURABILITY_STRICT,
				 .phase = VOLUME_PHASE_ONLINE,
				 .slots = { 1, &slot },
				 .controllers = { 3, controllers },
				 .legs = { 1, &leg },
				 .leaving = { 1, &leaving },
				 .forced = { 1, forced },
				 .stripe_bytes = 65536 };
	struct volume_status status = { .volume = &volume, .nqn = "nqn.x" };

	(void)state;
	check_picture(&status, false,
		      "volume a  v2  1 MiB  online\n"
		      "  nqn     nqn.x\n"
		      "  uuid    00000000-0000-0000-0000-000000000000\n"
		      "  writes  strict: what is acknowledged survives everything\n"
		      "  layout  3 copies, apart by node, thin, striped over 1 leg by 64 KiB\n"
		      "  hosts   none attached\n"
		      "`- active  cn2  no address  slot 0, epoch 2, fencing after failover\n"
		      "   `- leg 0  1 MiB  ready\n"
		      "      `- group 0  mirror of 3\n"
		      "         |- ld1  disk d1  in-sync\n"
		      "         |- ld2  disk d2  stale (not-fenced)\n"
		      "         `- ld4  disk d4  freed (lost)\n"
		      "retired: cn1 held slot 0 in epoch 1 and has to take down what it has\n"
		      "retired: cn3 has to take down what it has\n"
		      "leaving: ld3 on disk d3, another one took its place\n"
		      "served by force: slot 0 from epoch 2 on, at 2023-11-14T22:13:20Z, revision 9, by me@here\n"
		      "  from ld1 of node dn1, which missed what was written since 1970-01-01T00:00:01Z (medium)\n"
		      "  instead of ld2 of node dn2\n"
		      "  node dn2 was said to be off\n");
}

/* --- sysfs ----------------------------------------------------------------------------------------------- */

static char tree[] = "/tmp/dnvme-sysfs-XXXXXX";

static void make(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	for (const char *at = strchr(path, '/'); at != NULL; at = strchr(at + 1, '/')) {
		snprintf(full, sizeof(full), "%s/%.*s", tree, (int)(at - path), path);
		mkdir(full, 0700);
	}
	snprintf(full, sizeof(full), "%s/%s", tree, path);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void read_back(const char *path, const char *expected)
{
	char full[512], text[64] = "";
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", tree, path);
	file = fopen(full, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_string_equal(text, expected);
}

static void test_sysfs(void **state)
{
	static const uint8_t hidden[16] = { 0xab, 0xcd, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 3 };
	static const uint8_t uuid[16] = { 0xab, 0xcd, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1 };
	struct host_controller found[HOST_CONTROLLERS];
	char name[HOST_NAME_SIZE] = "";
	char command[64];
	size_t count = 99;
	struct error error;

	(void)state;
	assert_non_null(mkdtemp(tree));
	/* A machine without NVMe has no controllers, which is no error. */
	assert_int_equal(host_controllers_find(tree, "nqn.a", found, &count, &error), 0);
	assert_int_equal(count, 0);
	assert_false(host_device_find(tree, uuid, name));
	assert_int_equal(host_io_policy_set(tree, "nqn.a", "numa", &error), ERROR_NOT_FOUND);

	make("class/nvme/nvme0/subsysnqn", "nqn.a\n");
	make("class/nvme/nvme0/state", "live\n");
	make("class/nvme/nvme0/address", "traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.9\n");
	make("class/nvme/nvme0/hostnqn", "nqn.host\n");
	make("class/nvme/nvme0/delete_controller", "0");
	make("class/nvme/nvme1/subsysnqn", "nqn.ab\n");
	make("class/nvme-subsystem/nvme-subsys0/subsysnqn", "nqn.a\n");
	make("class/nvme-subsystem/nvme-subsys0/iopolicy", "numa\n");
	make("block/nvme0c0n1/uuid", "abcd0000-0000-4000-8000-000000000001\n");
	make("block/nvme0n1/uuid", "ABCD0000-0000-4000-8000-000000000001\n");
	make("block/nvme0n1/device/subsysnqn", "nqn.a\n");
	make("block/nvme0n2/uuid", "abcd0000-0000-4000-8000-000000000002\n");
	make("block/nvme0c1n3/uuid", "abcd0000-0000-4000-8000-000000000003\n");
	make("block/sda/uuid", "abcd0000-0000-4000-8000-000000000001\n");

	assert_int_equal(host_controllers_find(tree, "nqn.a", found, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_string_equal(found[0].name, "nvme0");
	assert_string_equal(found[0].state, "live");
	assert_string_equal(found[0].address, "10.0.0.1");
	assert_string_equal(found[0].port, "4420");
	assert_string_equal(found[0].host_nqn, "nqn.host");
	assert_true(host_device_find(tree, uuid, name));
	assert_string_equal(name, "nvme0n1");
	assert_false(host_device_find(tree, hidden, name));
	name[0] = '\0';
	assert_true(host_device_of_subsystem(tree, "nqn.a", name));
	assert_string_equal(name, "nvme0n1");
	assert_false(host_device_of_subsystem(tree, "nqn.ab", name));
	assert_int_equal(host_io_policy_set(tree, "nqn.a", "round-robin", &error), 0);
	read_back("class/nvme-subsystem/nvme-subsys0/iopolicy", "round-robin");
	assert_int_equal(host_controller_write(tree, "nvme0", "delete_controller", "1", &error), 0);
	read_back("class/nvme/nvme0/delete_controller", "1");
	assert_int_equal(host_controller_write(tree, "nvme7", "delete_controller", "1", &error), ERROR_NOT_FOUND);

	host_admin_timeout_lower(tree); /* a kernel without that setting */
	make("module/nvme_core/parameters/admin_timeout", "9\n");
	host_admin_timeout_lower(tree);
	read_back("module/nvme_core/parameters/admin_timeout", "5\n");
	make("module/nvme_core/parameters/admin_timeout", "4\n");
	host_admin_timeout_lower(tree);
	read_back("module/nvme_core/parameters/admin_timeout", "4\n");
	make("module/nvme_core/parameters/admin_timeout", "0\n"); /* none of its own: the block layer's, 30 */
	host_admin_timeout_lower(tree);
	read_back("module/nvme_core/parameters/admin_timeout", "5\n");

	snprintf(command, sizeof(command), "rm -r %s", tree);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size_parse),
		cmocka_unit_test(test_size_format),
		cmocka_unit_test(test_duration_and_number),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_picture),
		cmocka_unit_test(test_picture_small),
		cmocka_unit_test(test_picture_failover),
		cmocka_unit_test(test_sysfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
