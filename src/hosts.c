/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/hosts.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/table.h"

#define SWEEP_MS 5000u
/* A loss that lasts is no news, but what else the move depends on may have changed: a look so often. */
#define LOOK_MS 500u

struct told {
	uint64_t looked_ms;
	struct reach reach;
};

struct hosts {
	struct table volumes; /* "v7" -> struct told */
	uint64_t swept_ms;
};

struct hosts *hosts_make(void)
{
	return calloc(1, sizeof(struct hosts));
}

static void told_free(struct hosts *hosts, const char *key)
{
	struct told *told = table_remove(&hosts->volumes, key);

	if (told != NULL)
		reach_clear(&told->reach);
	free(told);
}

static void clear(struct hosts *hosts)
{
	struct table_entry *entry;

	while ((entry = table_any(&hosts->volumes)) != NULL)
		told_free(hosts, entry->key);
}

void hosts_free(struct hosts *hosts)
{
	if (hosts == NULL)
		return;
	clear(hosts);
	table_free(&hosts->volumes);
	free(hosts);
}

void hosts_leader_end(struct dnvmed *dnvmed)
{
	clear(dnvmed->hosts);
}

const struct reach *hosts_reach(const struct dnvmed *dnvmed, uint64_t volume)
{
	const struct told *told;
	char key[NAMES_ID_SIZE];

	names_id_format("v", volume, key);
	told = table_get(&dnvmed->hosts->volumes, key);
	return told != NULL ? &told->reach : NULL;
}

static struct told *told_get(struct hosts *hosts, uint64_t volume)
{
	struct told *told;
	char key[NAMES_ID_SIZE];

	names_id_format("v", volume, key);
	told = table_get(&hosts->volumes, key);
	if (told != NULL)
		return told;
	told = calloc(1, sizeof(*told));
	if (told != NULL && table_put(&hosts->volumes, key, told) != 0) {
		free(told);
		told = NULL;
	}
	return told;
}

int hosts_said(struct dnvmed *dnvmed, const char *host_nqn, const struct host_reach *said, struct error *error)
{
	struct told *told = told_get(dnvmed->hosts, said->volume);
	uint64_t now_ms = clock_boot_ms();
	bool changed = false;

	if (told == NULL)
		return error_set_nomem(error);
	if (reach_update(&told->reach, host_nqn, said, now_ms, &changed, error) != 0)
		return error->code;
	if (changed && said->lost.count > 0)
		log_notice("a host does not reach every controller", "volume=v%llu host=%s lost=%s count=%zu live=%zu",
			   (unsigned long long)said->volume, host_nqn, said->lost.items[0], said->lost.count,
			   said->live.count);
	if (changed || (said->lost.count > 0 && now_ms - told->looked_ms >= LOOK_MS)) {
		told->looked_ms = now_ms;
		driver_volume_dirty(dnvmed, said->volume);
	}
	return 0;
}

void hosts_tick(struct dnvmed *dnvmed)
{
	struct hosts *hosts = dnvmed->hosts;
	struct table_entry *entry, *next;
	uint64_t now_ms = clock_boot_ms();

	if (now_ms - hosts->swept_ms < SWEEP_MS)
		return;
	hosts->swept_ms = now_ms;
	for (entry = table_next(&hosts->volumes, NULL); entry != NULL; entry = next) {
		struct told *told = entry->value;

		next = table_next(&hosts->volumes, entry);
		reach_sweep(&told->reach, now_ms);
		if (told->reach.count == 0)
			told_free(hosts, entry->key);
	}
}
