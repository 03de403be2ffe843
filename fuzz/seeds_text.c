/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "agent/label.h"
#include "agent/superblock.h"
#include "fuzz/seeds.h"
#include "lib/backup/backup_file.h"

static void text(const char *target, const char *content)
{
	seed_write(target, (struct bytes){ (const uint8_t *)content, strlen(content) });
}

/* A text with its kind in front (fuzz/kernel.c). */
static void kernel_text(char kind, const char *content)
{
	struct buffer input = BUFFER_INIT;

	buffer_append(&input, &kind, 1);
	buffer_append(&input, content, strlen(content));
	seed_write("kernel", buffer_bytes(&input));
	buffer_free(&input);
}

static void kernel_blocks(void)
{
	struct ld_label label = { .cluster = "c0ffee", .volume = 1, .ld = 1, .epoch = 2, .size_bytes = 1 << 20 };
	uint8_t input[1 + 2 * LABEL_BLOCK_BYTES] = { 4 };

	label_encode(&label, input + 1);
	seed_write("kernel", (struct bytes){ input, 1 + LABEL_BLOCK_BYTES });
	superblock_make(input + 1, 0, true);
	seed_write("kernel", (struct bytes){ input, 1 + LABEL_BLOCK_BYTES });
	memset(input + 1, 0, sizeof(input) - 1);
	superblock_make_degraded(input + 1, input + 1 + LABEL_BLOCK_BYTES, 0, 2);
	seed_write("kernel", (struct bytes){ input, sizeof(input) });
	memset(input, 1, 81);
	input[0] = 5;
	seed_write("kernel", (struct bytes){ input, 81 });
}

static void kernels(void)
{
	kernel_text(0, "raid1 3 0 region_size 1024 2 253:1 253:2 253:3 253:4");
	kernel_text(
		0,
		"raid1 8 0 rebuild 1 region_size 1024 max_recovery_rate 4096 nosync 4 - - 253:3 253:4 1:2 3:4 5:6 7:8");
	kernel_text(1, "raid1 2 AA 1024/1024 idle 0 0 -");
	kernel_text(1, "raid1 4 AaD- 1024/145408 recover 0 0 -");
	kernel_text(2, "DNVME-c0ffee-ld-d1.v2.s0.ld7-e1");
	kernel_text(2, "DNVME-c0ffee-raiddata-v2.l0.g1.m0-e3");
	kernel_text(2, "DNVME-c0ffee-parked-v2.l0.s0.n3-e0");
	kernel_text(2, "DNVME-c0ffee-parked-d1.v2.s0.n3-e1");
	kernel_text(2, "DNVME-c0ffee-leg-v2.l0.s0.nodeb-e1");
	kernel_text(2, "DNVME-c0ffee-leg-e1");
	kernel_text(2, "DNVME-c0ffee-volume-v2-e0");
	kernel_text(2, "nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1");
	kernel_text(2, "nqn.2026-11.io.dnvme:c0ffee:leg:v1.s0.nodeb");
	kernel_text(2, "nqn.2026-11.io.dnvme:c0ffee:volume:v1");
	kernel_text(2, "dnvme-c0ffee-d1");
	kernel_text(2, "dnvme-c0ffee-cn");
	kernel_text(2, "dnvme-c0ffee-leg");
	kernel_text(2, "00000000-0000-4000-8000-0000000000ff");
	kernel_text(2, "d12");
	kernel_text(3, "a 32.376189: block_bio_complete: 252,524295 WS 0 + 8 [-5]\n"
		       "a 33.000000: tracing_mark_write: dnvme forget 524295 5\n"
		       "a 34.000000: tracing_mark_write: dnvme ld 524296 1 2 3 4 5\n"
		       "a 34.000001: tracing_mark_write: dnvme known 34000000 0 0\n"
		       "a 35.5: block_bio_complete: 252,524296 R 0 + 8 [-5]\n");
	kernel_blocks();
}

static void nvmets(void)
{
	text("nvmet",
	     "ports/4500/addr_traddr=10.0.0.1\nports/4500/addr_trsvcid=4500\n"
	     "ports/4500/referrals/dnvme-c0ffee-d1/addr_traddr=\n"
	     "ports/4500/subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/x=\n"
	     "ports/4500/ana_groups/1/ana_state=optimized\nports/4500/ana_groups/3/ana_state=inaccessible\n"
	     "hosts/nqn.2026-11.io.dnvme:c0ffee:node:n1/x=\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/attr_allow_any_host=0\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/attr_cntlid_min=1\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/allowed_hosts/nqn.2026-11.io.dnvme:c0ffee:"
	     "node:n1/x=\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/namespaces/1/device_path=/dev/mapper/"
	     "dnvme-ld-d1.v1.s0.ld1-e1\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/namespaces/1/device_uuid="
	     "00000000-0000-4000-8000-0000000000ff\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/namespaces/1/ana_grpid=1\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:slot:d1.v1.s0:e1/namespaces/1/enable=1\n");
	text("nvmet",
	     "ports/1/addr_traddr=fd00::1\nports/x/addr_trsvcid=4420\nsubsystems/nqn.2014-08.org.x/attr_serial=1\n"
	     "subsystems/nqn.2026-11.io.dnvme:c0ffee:leg:v1.s0.n2/namespaces/2/device_uuid=x\n");
}

static void options(void)
{
	text("options_agent", "# an agent\nnode = n1\naddress = 10.0.0.1\nserver = 10.0.0.201:7000, 10.0.0.202:7000\n"
			      "label = rack=r1\nlabel = zone=z1\n");
	text("options_agent", "node = n1\naddress = fd00::1\nport = 4421\nserver = 127.0.0.1:1\nstorage-only = yes\n"
			      "backend = sim\nsim-disk = /dev/a=1GiB:ext4\nsim-state = /x\nsim-no-writethrough = no\n"
			      "log-level = debug\ndump-desired = /y\n");
	text("options_agent", "[section]\nnode=n1\n");
	text("options_server", "listen = 127.0.0.1:7000\nraft = 127.0.0.1:7001\n");
	text("options_server", "listen = 10.0.0.1:7000\nraft = 10.0.0.1:7001\nunix = /run/x\nlog-level = error\n"
			       "heartbeat-ms = 50\nelection-timeout-ms = 500\nsnapshot-threshold = 10\n"
			       "snapshot-trailing = 5\nstall-timeout-ms = 100\nsessions-max = 12000\n");
}

static void stores(void)
{
	static const uint8_t edits[][12] = {
		{ 0, 0, 0, 0, 0, 0 },		    /* nothing */
		{ 0, 0, 24, 0, 0, 4, 1, 2, 3, 4 },  /* the first page of facts */
		{ 1, 0, 152, 0, 0, 4, 9, 0, 0, 0 }, /* and the second */
		{ 3, 0, 12, 0, 0, 2, 255, 0 },	    /* the list of nodes of a page */
		{ 4, 0, 10, 0, 0, 2, 4, 0 },	    /* its kind */
		{ 5, 0, 4, 0, 1, 0 },		    /* one page twice */
		{ 6, 0, 0, 0, 2, 0 },		    /* the end */
		{ 0, 0, 12, 0, 3, 1, 9 },	    /* the state file */
	};

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
		seed_write("store", (struct bytes){ edits[i], (size_t)6 + edits[i][5] });
}

/* In pieces of this size. */
static void backup(size_t piece_bytes, struct bytes state)
{
	struct backup backup = { .cluster = "c0ffee",
				 .name = "lab",
				 .revision = 12,
				 .index = 34,
				 .term = 2,
				 .time_ms = 1700000000000,
				 .state_bytes = state.size,
				 .server = 1,
				 .version = "1" };
	struct backup_encoder encoder;
	struct buffer file = BUFFER_INIT;
	struct error error;

	FUZZ_MUST(backup_encode_begin(&encoder, &backup, &file, &error), &error);
	while (state.size > 0) {
		size_t size = state.size < piece_bytes ? state.size : piece_bytes;

		FUZZ_MUST(backup_encode_piece(&encoder, (struct bytes){ state.data, size }, &file, &error), &error);
		state = (struct bytes){ state.data + size, state.size - size };
	}
	FUZZ_MUST(backup_encode_end(&encoder, &file, &error), &error);
	backup_encode_close(&encoder);
	seed_write("backup", buffer_bytes(&file));
	buffer_free(&file);
}

static void backups(void)
{
	static const char state[] = "what was in the state, more or less";

	backup(SIZE_MAX, (struct bytes){ (const uint8_t *)state, sizeof(state) });
	backup(8, (struct bytes){ (const uint8_t *)state, sizeof(state) });
}

void seeds_text(void)
{
	backups();
	kernels();
	nvmets();
	options();
	stores();
}
