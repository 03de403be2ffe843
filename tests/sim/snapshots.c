/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/io.h"

#define KEPT_MAX 512
#define COPIES_MAX 16

/* A copy of a leg. */
struct kept {
	uint64_t volume, leg, number, ld;
	size_t count;
	struct media_seen *seen;
};

static struct kept kept[KEPT_MAX];
static size_t kept_count;

bool snapshots_parse(const char *identity, uint64_t *ret_volume, uint64_t *ret_leg, uint64_t *ret_number)
{
	const char *at = strstr(identity, "-pool-v");

	return at != NULL &&
	       sscanf(at, "-pool-v%" SCNu64 ".l%" SCNu64 "#%" SCNu64, ret_volume, ret_leg, ret_number) == 3;
}

/* A copy that lost what its cache held is stale as soon as its node is heard of, and copied from one that did not: what
 * it holds is of no moment, unless there is no other one. */
static size_t sound_copies(uint64_t lds[], size_t count)
{
	size_t sound = 0;

	for (size_t i = 0; i < count; i++) {
		if (!media_ld_is_spoilt(lds[i]))
			lds[sound++] = lds[i];
	}
	return sound > 0 ? sound : count;
}

void snapshots_note(struct storage *node, const char *pool, const char *identity)
{
	uint64_t volume, leg, number, lds[COPIES_MAX];
	size_t count;

	if (!snapshots_parse(identity, &volume, &leg, &number))
		world_fail("a thin device has the name %s", identity);
	for (size_t i = 0; i < kept_count; i++) {
		/* "File exists": it holds what it held. */
		if (kept[i].volume == volume && kept[i].leg == leg && kept[i].number == number)
			return;
	}
	count = sound_copies(lds, io_copies(node, pool, lds, COPIES_MAX));
	for (size_t i = 0; i < count; i++) {
		if (kept_count == KEPT_MAX)
			world_fail("more snapshots than the simulation has room for");
		kept[kept_count] = (struct kept){ volume, leg, number, lds[i], 0, NULL };
		kept[kept_count].count = media_ld_list(lds[i], &kept[kept_count].seen);
		kept_count++;
	}
	world_trace("%s makes thin device %" PRIu64 " of v%" PRIu64 " leg %" PRIu64 " from %zu copies", node->name,
		    number, volume, leg, count);
}

size_t snapshots_read(uint64_t volume, size_t leg, uint64_t number, uint64_t sector, struct media_block ret_blocks[],
		      size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < kept_count && found < count; i++) {
		if (kept[i].volume != volume || kept[i].leg != leg || kept[i].number != number)
			continue;
		ret_blocks[found] = (struct media_block){ 0 };
		for (size_t j = 0; j < kept[i].count; j++) {
			if (kept[i].seen[j].sector == sector)
				ret_blocks[found] = kept[i].seen[j].block;
		}
		found++;
	}
	return found;
}
