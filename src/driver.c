/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/driver.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/list.h"
#include "src/request.h"
#include "src/table.h"

#define TRANSITION_PAGE 1024u
/* Between two looks at the network; the rest waits for the next turn of the loop. */
#define BUDGET_NS 20000000u

/* A volume that is to be looked at, or has a proposal under way. */
struct driver_volume {
	struct driver *driver;
	struct dnvmed *dnvmed;
	struct list dirty_link; /* in driver->dirty or driver->later */
	uint64_t id;
	bool under_way;
};

struct driver {
	struct table volumes; /* "v1" -> struct driver_volume */
	struct list dirty;
	struct list later;
};

struct driver *driver_make(void)
{
	struct driver *driver = calloc(1, sizeof(*driver));

	if (driver != NULL) {
		list_init(&driver->dirty);
		list_init(&driver->later);
	}
	return driver;
}

static void volume_free(struct driver_volume *volume)
{
	char key[NAMES_ID_SIZE];

	names_id_format("v", volume->id, key);
	table_remove(&volume->driver->volumes, key);
	list_remove(&volume->dirty_link);
	free(volume);
}

static void free_if_idle(struct driver_volume *volume)
{
	if (!volume->under_way && list_is_empty(&volume->dirty_link))
		volume_free(volume);
}

void driver_free(struct driver *driver)
{
	struct table_entry *entry;

	if (driver == NULL)
		return;
	while ((entry = table_any(&driver->volumes)) != NULL)
		volume_free(entry->value);
	table_free(&driver->volumes);
	free(driver);
}

static struct driver_volume *volume_get(struct dnvmed *dnvmed, uint64_t id)
{
	struct driver *driver = dnvmed->driver;
	struct driver_volume *volume;
	char key[NAMES_ID_SIZE];

	names_id_format("v", id, key);
	volume = table_get(&driver->volumes, key);
	if (volume != NULL)
		return volume;
	volume = calloc(1, sizeof(*volume));
	if (volume == NULL)
		return NULL;
	volume->driver = driver;
	volume->dnvmed = dnvmed;
	volume->id = id;
	list_init(&volume->dirty_link);
	if (table_put(&driver->volumes, key, volume) != 0) {
		free(volume);
		return NULL;
	}
	return volume;
}

void driver_volume_dirty(struct dnvmed *dnvmed, uint64_t id)
{
	struct driver_volume *volume;

	if (!dnvmed->leader_ready)
		return;
	volume = volume_get(dnvmed, id);
	if (volume == NULL) {
		log_error("out of memory: a volume has to wait for its next event", "volume=v%llu",
			  (unsigned long long)id);
		return;
	}
	if (list_is_empty(&volume->dirty_link))
		list_append(&dnvmed->driver->dirty, &volume->dirty_link);
}

static void all_dirty(struct dnvmed *dnvmed)
{
	uint64_t after = 0;
	size_t count;

	do {
		struct arena arena = ARENA_INIT;
		struct error error;
		uint64_t *ids;

		count = 0;
		if (fsm_transition_list(dnvmed->fsm, after, TRANSITION_PAGE, &arena, &ids, &count, &error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot list volumes in transition", &error);
			count = 0;
		}
		for (size_t i = 0; i < count; i++)
			driver_volume_dirty(dnvmed, after = ids[i]);
		arena_free(&arena);
	} while (count == TRANSITION_PAGE);
}

void driver_leader_begin(struct dnvmed *dnvmed)
{
	all_dirty(dnvmed);
}

static void drain(struct list *volumes)
{
	while (!list_is_empty(volumes)) {
		struct driver_volume *volume = list_entry(volumes->next, struct driver_volume, dirty_link);

		list_remove(&volume->dirty_link);
		free_if_idle(volume);
	}
}

void driver_leader_end(struct dnvmed *dnvmed)
{
	drain(&dnvmed->driver->dirty);
	drain(&dnvmed->driver->later);
}

void driver_health_changed(struct dnvmed *dnvmed)
{
	all_dirty(dnvmed);
	request_volume_changed(dnvmed, 0);
}

int driver_parts(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
		 struct volumes_parts *ret_parts, struct error *error)
{
	struct volumes_parts parts;
	int rv = volumes_parts_list(volume, arena, &parts, error);

	for (size_t i = 0; rv == 0 && i < parts.count; i++) {
		struct volumes_part *part = &parts.items[i];
		const struct agent *agent;
		struct disk disk;

		if (part->kind == OBJECT_KIND_EXPORT) {
			rv = fsm_disk_get(dnvmed->fsm, part->disk, arena, &disk, error);
			if (rv != 0)
				break;
			part->node = disk.node;
		}
		agent = agents_get(dnvmed, part->node);
		if (agent == NULL)
			continue;
		part->health = agent->health.state;
		part->status = reported_get(&agent->reported, part->kind, part->id);
	}
	if (rv == 0)
		*ret_parts = parts;
	return rv;
}

static void on_proposed(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct driver_volume *volume = data;
	struct dnvmed *dnvmed = volume->dnvmed;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	(void)unknown; /* the next leader works it out again */
	/* The end of leadership frees every volume that nothing is under way for; this one is needed until the end. */
	if (failure != NULL)
		dnvmed_leadership_check(dnvmed);
	volume->under_way = false;
	if (failure != NULL) {
		/* Still the leader: the log had no room. Nobody else would ask again. */
		if (dnvmed->leader_ready && list_is_empty(&volume->dirty_link))
			list_append(&volume->driver->later, &volume->dirty_link);
	} else if (codec_decode(schema_outcome(), bytes, &arena, &outcome, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot read the outcome of a volume's next phase", &error);
	} else if (outcome.code != 0 && outcome.code != ERROR_CONFLICT && outcome.code != ERROR_NOT_FOUND) {
		log_error("a volume's next phase was refused", "volume=v%llu reason=\"%s\"",
			  (unsigned long long)volume->id, outcome.message);
	} else if (dnvmed->leader_ready) {
		driver_volume_dirty(dnvmed, volume->id);
	}
	arena_free(&arena);
	free_if_idle(volume);
}

static void propose(struct driver_volume *volume, const struct volumes_step *step)
{
	struct dnvmed *dnvmed = volume->dnvmed;
	struct command command = { .time_ms = clock_wall_ms(),
				   .volume_advance = step->advance,
				   .lds_free = step->free };
	struct buffer bytes = BUFFER_INIT;
	struct error error;
	int rv = codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error);

	if (rv == 0)
		rv = consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_proposed, volume, &error);
	buffer_free(&bytes);
	if (rv == 0) {
		volume->under_way = true;
		if (step->advance != NULL)
			log_info("volume advances", "volume=v%llu from=%s to=%s", (unsigned long long)volume->id,
				 ENUM_NAME(volume_phase, step->advance->from),
				 ENUM_NAME(volume_phase, step->advance->to));
	} else if (rv == ERROR_UNAVAILABLE) {
		dnvmed_leadership_check(dnvmed);
	} else if (rv == ERROR_NO_CAPACITY) {
		list_append(&volume->driver->later, &volume->dirty_link);
	} else {
		log_failure(LOG_LEVEL_ERROR, "cannot propose a volume's next phase", &error);
	}
}

static void look(struct driver_volume *driver_volume)
{
	struct dnvmed *dnvmed = driver_volume->dnvmed;
	struct arena arena = ARENA_INIT;
	struct volumes_step step = { 0 };
	struct volumes_parts parts;
	struct volume volume;
	struct error error;
	int rv = fsm_volume_get(dnvmed->fsm, driver_volume->id, &arena, &volume, &error);

	if (rv == ERROR_NOT_FOUND) {
		agents_volume_forget(dnvmed, driver_volume->id);
	} else if (rv == 0 && volume.phase != VOLUME_PHASE_ONLINE && !driver_volume->under_way) {
		rv = driver_parts(dnvmed, &volume, &arena, &parts, &error);
		if (rv == 0)
			rv = volumes_step(&volume, &parts, &arena, &step, &error);
		if (rv == 0 && (step.advance != NULL || step.free != NULL))
			propose(driver_volume, &step);
		else if (rv == 0 && step.waits_for != NULL)
			log_debug("volume waits", "volume=v%llu for=\"%s\"", (unsigned long long)driver_volume->id,
				  step.waits_for);
	}
	if (rv != 0 && rv != ERROR_NOT_FOUND)
		log_failure(LOG_LEVEL_ERROR, "cannot work out a volume's next phase", &error);
	arena_free(&arena);
	request_volume_changed(dnvmed, driver_volume->id);
}

void driver_prepare(struct dnvmed *dnvmed)
{
	uint64_t begin = uv_hrtime();

	while (dnvmed->leader_ready && !list_is_empty(&dnvmed->driver->dirty) && uv_hrtime() - begin < BUDGET_NS) {
		struct driver_volume *volume = list_entry(dnvmed->driver->dirty.next, struct driver_volume, dirty_link);

		list_remove(&volume->dirty_link);
		look(volume);
		free_if_idle(volume);
	}
}

void driver_tick(struct dnvmed *dnvmed)
{
	while (!list_is_empty(&dnvmed->driver->later)) {
		struct driver_volume *volume = list_entry(dnvmed->driver->later.next, struct driver_volume, dirty_link);

		list_remove(&volume->dirty_link);
		list_append(&dnvmed->driver->dirty, &volume->dirty_link);
	}
}
