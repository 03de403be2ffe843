/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/caches.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/canary.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"

/* A proposal that is under way; its agent may be gone when it ends. */
struct telling {
	struct dnvmed *dnvmed;
	char node[LIMIT_NAME + 1], path[LIMIT_PATH + 1];
	uint64_t disk;
	bool is_volatile;
};

static void on_proposed(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct telling *telling = data;
	struct dnvmed *dnvmed = telling->dnvmed;
	struct agent *agent;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	(void)unknown; /* the next leader hears of it from the agent */
	if (failure != NULL)
		dnvmed_leadership_check(dnvmed);
	agent = dnvmed->leader_ready ? agents_get(dnvmed, telling->node) : NULL;
	/* Refused: its node began anew, or the disk is gone. Then there is something else to be told. */
	if (failure == NULL && codec_decode(schema_outcome(), bytes, &arena, &outcome, &error) != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot read the outcome of what an agent told of a disk", &error);
	else if (failure == NULL && outcome.code == 0 && telling->is_volatile)
		log_warning("the write cache of a disk is volatile and cannot be switched off: what its LDs had "
			    "acknowledged and not flushed is lost when its node loses power",
			    "disk=d%" PRIu64 " node=%s path=%s", telling->disk, telling->node, telling->path);
	else if (failure == NULL && outcome.code == 0)
		log_notice("the write cache of a disk is off", "disk=d%" PRIu64 " node=%s path=%s", telling->disk,
			   telling->node, telling->path);
	if (agent != NULL) {
		agent->caches_under_way = false;
		agent->caches_told = true; /* of its next disk */
	}
	arena_free(&arena);
	free(telling);
}

static void propose(struct dnvmed *dnvmed, struct agent *agent, const struct disk *disk, bool is_volatile)
{
	struct command_disk_cache record = { .id = disk->id, .volatile_cache = is_volatile };
	struct command command = { .time_ms = clock_wall_ms(), .disk_cache = &record };
	struct telling *telling = calloc(1, sizeof(*telling));
	struct buffer bytes = BUFFER_INIT;
	struct error error = { 0 };
	int rv;

	agent->caches_told = true; /* again with the next tick, if it fails */
	if (telling == NULL)
		return;
	*telling = (struct telling){ .dnvmed = dnvmed, .disk = disk->id, .is_volatile = is_volatile };
	snprintf(telling->node, sizeof(telling->node), "%s", agent->name);
	snprintf(telling->path, sizeof(telling->path), "%s", disk->path);
	memcpy(record.boot_id, agent->boot_id, sizeof(record.boot_id));
	rv = codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error);
	if (rv == 0)
		rv = consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_proposed, telling, &error);
	buffer_free(&bytes);
	if (rv == 0) {
		agent->caches_under_way = true;
		return;
	}
	free(telling);
	if (rv == ERROR_UNAVAILABLE)
		dnvmed_leadership_check(dnvmed);
	else if (rv != ERROR_NO_CAPACITY)
		log_failure(LOG_LEVEL_ERROR, "cannot propose what an agent told of a disk", &error);
}

static const struct inventory_disk *inventory_find(const struct agent *agent, const char *path)
{
	for (size_t i = 0; i < agent->inventory.count; i++) {
		if (strcmp(agent->inventory.items[i].path, path) == 0)
			return &agent->inventory.items[i];
	}
	return NULL;
}

/* One at a time: the next one when that is done. */
static void look(struct dnvmed *dnvmed, struct agent *agent)
{
	struct arena arena = ARENA_INIT;
	struct disk_list disks;
	struct error error;
	bool more;

	agent->caches_told = false;
	if (fsm_disk_list(dnvmed->fsm, agent->name, 0, 0, &arena, &disks, &more, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot list the disks of a node", &error);
		disks.count = 0;
	}
	for (size_t i = 0; i < disks.count; i++) {
		const struct disk *disk = &disks.items[i];
		const struct inventory_disk *there = inventory_find(agent, disk->path);

		/* One that is on and can be switched off will be, or be told of as one that cannot. */
		if (there == NULL || there->volatile_cache == disk->volatile_cache || there->cache_switchable ||
		    (there->volatile_cache && canary("cache_unknown")))
			continue;
		propose(dnvmed, agent, disk, there->volatile_cache);
		break;
	}
	arena_free(&arena);
}

void caches_told(struct dnvmed *dnvmed, struct agent *agent)
{
	agent->caches_told = true;
	caches_tick(dnvmed, agent);
}

void caches_tick(struct dnvmed *dnvmed, struct agent *agent)
{
	if (agent->caches_told && !agent->caches_under_way && agent->session != NULL)
		look(dnvmed, agent);
}
