/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

#define NQN "nqn.2026-11.io.dnvme:c0ffee:"
#define UUID "DNVME-c0ffee-"

/* Where a field may hold one of these words. */
struct words {
	const char *fields; /* " name name " */
	const char *const *words;
	size_t count;
};

#define WORDS(fields, ...)                                                                                             \
	{                                                                                                              \
		" " fields " ", (const char *const[]){ __VA_ARGS__ },                                                  \
			sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)                            \
	}

static const struct words lists[] = {
	WORDS("cluster", "c0ffee", "c0ffee", "c0ffee", "0000", ""),
	WORDS("key", "rack", "zone", "x"),
	WORDS("value filter", "r1", "r2", "r3", "online", "n1", ""),
	WORDS("address raft_address api_address", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1",
	      "10.0.0.1:7000", "127.0.0.1:1", "1.2.3", ""),
	WORDS("path device", "/dev/nvme0n1", "/dev/nvme1n1", "/dev/mapper/dnvme-ld-d1.v1.s0.ld1-e1", "/dev/nvme7n1",
	      "/", "dnvme-label-v1.l0.g0.m0", ""),
	WORDS("nqn host_nqn hosts subsystems rejected_for", NQN "node:n1", NQN "node:n2", NQN "slot:d1.v1.s0:e1",
	      NQN "slot:d2.v1.s0:e2", NQN "leg:v1.s0.n2", NQN "leg:v1.s1.n1", NQN "volume:v1", NQN "slot:d1.v1.s0:e",
	      "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001", "nqn.2014-08.org.x:h0",
	      "opening"),
	WORDS("mark", "dnvme-c0ffee-cn", "dnvme-c0ffee-d1", "dnvme-c0ffee-leg", "dnvme-c0ffee-", "else"),
	WORDS("trsvcid", "4420", "4500", "20000", "x"),
	WORDS("type", "linear", "error", "raid", "thin-pool", "thin", "striped", "writethrough", "zero"),
	WORDS("params", "253:1 0", "raid1 3 0 region_size 1024 2 253:1 253:2 253:3 253:4",
	      "raid1 5 0 rebuild 1 region_size 1024 2 - - 253:3 253:4", "253:1 253:2 128 0 1 skip_block_zeroing",
	      "253:5 0", "2 128 253:1 0 253:2 0", "253:7", "0 18446744073709551615", "raid1 1 0 5 - -"),
	WORDS("status", "raid1 2 AA 1024/1024 idle 0 0 -", "raid1 2 Aa 1024/145408 recover 0 0 -",
	      "raid1 4 AADa 0/8 resync 0 0 -", "raid1 2 A- 8/8 idle 0 0 -", "raid1 5 AAAAA 1/1 idle 0 0 -", "Fail"),
	WORDS("state ana", "live", "connecting", "deleting", "optimized", "non-optimized", "inaccessible", ""),
	WORDS("uuid", UUID "ld-d1.v1.s0.ld1-e1", UUID "label-v1.l0.g0.m0-e1", UUID "raid-v1.l0.g0-e1",
	      UUID "raiddata-v1.l0.g0.m1-e1", UUID "thin-v1.l0-e1", UUID "pool-v1.l0-e1", UUID "leg-v1.l0.s0.n2-e1",
	      UUID "parked-d1.v1.s0.n3-e1", UUID "parked-v1.l0.s0.n2-e0", UUID "volume-v1-e0", "LVM-x", ""),
	WORDS("dm", "dnvme-ld-d1.v1.s0.ld1-e1", "dnvme-raid-v1.l0.g0", "dnvme-thin-v1.l0", "dnvme-volume-v1",
	      "dnvme-label-v1.l0.g0.m0", "dnvme-parked-d1.v1.s0.n3-e1"),
	WORDS("id target", "d1", "d2", "v1", "v1", "v2", "v3", "d1.v1.s0", "d2.v1.s0", "d3.v1.s1", "d4.v1.s1",
	      "d5.v1.s0", "d6.v1.s1", "d1.v2.s0", "d5.v2.s0", "d6.v2.s0", "d5.v3.s0", "d6.v3.s0", "v1.s0.n2",
	      "v1.s1.n1", "v1.s0.n3", "v1.s1.n3", "v1.s0.e2", "v1.ld2", "v1.clean.n1", "c0ffee"),
	WORDS("disks", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "ld1"),
	WORDS("lds ld", "ld1", "ld2", "ld3", "ld4", "ld5", "ld6", "ld9", "ld12", "ld0", "d1"),
	WORDS("volume volumes", "db1", "db2", "db3", "v1", "v2", "vol1"),
	WORDS("name node to holder previous actives standby_nodes powered_off key nodes", "n1", "n2", "n3", "n4", "n5",
	      "n6", "db1", "db2", "db3", "v1", "v2", "d1", "d12", "lab"),
	WORDS("code", "NOT_FOUND", "CONFLICT", "INTERNAL", "NONE", "WHAT"),
};

#define LIST_COUNT (sizeof(lists) / sizeof(lists[0]))

static bool has_word(const char *fields, const char *field)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), " %s ", field);
	return strstr(fields, wanted) != NULL;
}

bool words_number(const char *field, struct dice *dice, uint64_t *ret_value)
{
	static const uint64_t sizes[] = { UINT64_C(1) << 20,   UINT64_C(64) << 20, UINT64_C(100) << 20,
					  UINT64_C(256) << 20, UINT64_C(1) << 30,  UINT64_C(2) << 30 };

	if (has_word(" revision epoch drain ", field))
		*ret_value = dice_roll(dice, 4) ? WORDS_PRESENT : dice_roll(dice, 8);
	else if (has_word(" size_bytes length_bytes total_bytes ", field))
		*ret_value = sizes[dice_roll(dice, sizeof(sizes) / sizeof(sizes[0]))];
	else if (has_word(" extent_bytes ", field))
		*ret_value = UINT64_C(4) << 20;
	else if (has_word(" stripe_bytes ", field))
		*ret_value = UINT64_C(65536) << dice_roll(dice, 3);
	else if (has_word(" slot leg group member index other nsid copies standbys legs_per_controller major ", field))
		*ret_value = dice_roll(dice, 3);
	else if (has_word(" port ", field))
		*ret_value = dice_roll(dice, 2) ? 4420 : 4500 + dice_roll(dice, 3);
	else if (has_word(" leg_port ", field))
		*ret_value = LIMIT_LEG_PORT_FIRST + dice_roll(dice, 3);
	else if (has_word(" minor ", field))
		*ret_value = dice_roll(dice, 2) ? dice_roll(dice, 10) : (1u << 19) + dice_roll(dice, 10);
	else
		return false;
	return dice_roll(dice, 8) != 0;
}

void words_text(const char *field, bool label, struct dice *dice, char *ret_text, size_t size)
{
	const struct words *list = &lists[LIST_COUNT - 2]; /* names */

	for (size_t i = 0; i < LIST_COUNT; i++) {
		if (has_word(lists[i].fields, field)) {
			list = &lists[i];
			break;
		}
	}
	if (label && list->words[0][0] == '/')
		list = &lists[LIST_COUNT - 2];
	/* The name of a device is text, and every other name a label. */
	if (!label && strcmp(field, "name") == 0)
		words_text("dm", false, dice, ret_text, size);
	else
		snprintf(ret_text, size, "%s", list->words[dice_roll(dice, list->count)]);
}

const char *words_at(size_t index)
{
	for (size_t i = 0; i < LIST_COUNT; i++) {
		if (index < lists[i].count)
			return lists[i].words[index];
		index -= lists[i].count;
	}
	return NULL;
}
