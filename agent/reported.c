/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/reported.h"

#include <stdlib.h>
#include <string.h>

#include "agent/health.h"
#include "agent/list.h"

#define PROGRESS_INTERVAL_MS 1000

static int compare(const void *a, const void *b)
{
	const struct object_status *x = a, *y = b;

	return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->id, y->id);
}

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static bool errors_are_same(const struct ld_errors_list *a, const struct ld_errors_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct ld_errors *x = &a->items[i], *y = &b->items[i];

		if (x->ld != y->ld || x->reads != y->reads || x->writes != y->writes || x->missed != y->missed ||
		    x->rebuild_ms != y->rebuild_ms || x->last_us != y->last_us)
			return false;
	}
	return true;
}

static bool is_reported(const struct reported *reported, const struct object_status *status)
{
	const struct object_status *last = NULL;

	if (reported->statuses.count > 0)
		last = bsearch(status, reported->statuses.items, reported->statuses.count, sizeof(*status), compare);
	return last != NULL && last->revision == status->revision && last->state == status->state &&
	       strcmp(or_empty(last->message), or_empty(status->message)) == 0 &&
	       errors_are_same(&last->errors, &status->errors);
}

static bool inventory_is_same(const struct inventory_disk_list *a, const struct inventory_disk_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct inventory_disk *x = &a->items[i], *y = &b->items[i];

		if (strcmp(x->path, y->path) != 0 || x->size_bytes != y->size_bytes || x->in_use != y->in_use ||
		    x->volatile_cache != y->volatile_cache || x->cache_switchable != y->cache_switchable ||
		    strcmp(or_empty(x->serial), or_empty(y->serial)) != 0 ||
		    strcmp(or_empty(x->used_by), or_empty(y->used_by)) != 0)
			return false;
	}
	return true;
}

int reported_inventory_make(const struct observed_disk_list *disks, struct arena *arena,
			    struct inventory_disk_list *ret_inventory)
{
	struct inventory_disk_list inventory = { 0 };

	for (size_t i = 0; i < disks->count && i < LIMIT_DISKS_PER_NODE; i++) {
		struct inventory_disk *disk = LIST_PUSH(arena, &inventory);

		if (disk == NULL)
			return -1;
		disk->path = arena_strdup(arena, disks->items[i].path);
		disk->serial = arena_strdup(arena, or_empty(disks->items[i].serial));
		disk->size_bytes = disks->items[i].size_bytes;
		disk->in_use = disks->items[i].in_use;
		disk->volatile_cache = disks->items[i].volatile_cache;
		disk->cache_switchable = disks->items[i].cache_switchable;
		if (disk->path == NULL || disk->serial == NULL)
			return -1;
		if (disks->items[i].used_by == NULL)
			continue;
		disk->used_by = arena_strdup(arena, disks->items[i].used_by);
		if (disk->used_by == NULL)
			return -1;
	}
	*ret_inventory = inventory;
	return 0;
}

void reported_reset(struct reported *reported)
{
	arena_free(&reported->arena);
	*reported = (struct reported){ 0 };
}

static int health_copy(const struct volume_health *health, struct reported *copy)
{
	struct volume_health *made = LIST_PUSH(&copy->arena, &copy->health);

	if (made == NULL)
		return -1;
	made->volume = health->volume;
	made->revision = health->revision;
	made->lapsed = health->lapsed;
	for (size_t i = 0; i < health->members.count; i++) {
		struct member_status *member = LIST_PUSH(&copy->arena, &made->members);

		if (member == NULL)
			return -1;
		*member = health->members.items[i];
	}
	for (size_t i = 0; i < health->peers.count; i++) {
		struct peer_status *peer = LIST_PUSH(&copy->arena, &made->peers);

		if (peer == NULL)
			return -1;
		*peer = health->peers.items[i];
	}
	if (health->pause == NULL)
		return 0;
	made->pause = arena_memdup(&copy->arena, health->pause, sizeof(*health->pause));
	if (made->pause == NULL)
		return -1;
	made->pause->message = NULL; /* why is told once */
	return 0;
}

/* What was told of the volume, if that says the same; NULL otherwise. */
static const struct volume_health *health_reported(const struct reported *reported, const struct volume_health *health,
						   bool with_progress)
{
	for (size_t i = 0; i < reported->health.count; i++) {
		const struct volume_health *last = &reported->health.items[i];

		if (last->volume == health->volume)
			return health_is_same(last, health, with_progress) ? last : NULL;
	}
	return NULL;
}

static int copy(const struct reported_news *news, const struct reported *reported, bool with_progress,
		struct reported *ret_copy)
{
	const struct object_status_list *statuses = news->statuses;

	for (size_t i = 0; i < statuses->count; i++) {
		struct object_status *status = LIST_PUSH(&ret_copy->arena, &ret_copy->statuses);

		if (status == NULL)
			return -1;
		*status = statuses->items[i];
		status->id = arena_strdup(&ret_copy->arena, status->id);
		status->message = arena_strdup(&ret_copy->arena, or_empty(status->message));
		status->errors = (struct ld_errors_list){ 0 };
		if (status->id == NULL || status->message == NULL)
			return -1;
		for (size_t j = 0; j < statuses->items[i].errors.count; j++) {
			struct ld_errors *errors = LIST_PUSH(&ret_copy->arena, &status->errors);

			if (errors == NULL)
				return -1;
			*errors = statuses->items[i].errors.items[j];
		}
	}
	if (statuses->count > 0)
		qsort(ret_copy->statuses.items, ret_copy->statuses.count, sizeof(ret_copy->statuses.items[0]), compare);
	/* Progress that is not told yet stays what was told. */
	for (size_t i = 0; i < news->health->count; i++) {
		const struct volume_health *now = &news->health->items[i],
					   *last = health_reported(reported, now, with_progress);

		if (health_copy(last != NULL ? last : now, ret_copy) != 0)
			return -1;
	}
	return reported_inventory_make(news->disks, &ret_copy->arena, &ret_copy->inventory);
}

int reported_update(struct reported *reported, const struct reported_news *news, struct arena *arena,
		    struct agent_report *ret_report, struct error *error)
{
	const struct object_status_list *statuses = news->statuses;
	bool with_progress = news->now_ms - reported->progress_ms >= PROGRESS_INTERVAL_MS;
	struct agent_report report = { 0 };
	struct reported now = { .progress_ms = with_progress ? news->now_ms : reported->progress_ms };

	for (size_t i = 0; i < statuses->count; i++) {
		struct object_status *status;

		if (is_reported(reported, &statuses->items[i]))
			continue;
		status = LIST_PUSH(arena, &report.objects);
		if (status == NULL)
			return error_set_nomem(error);
		*status = statuses->items[i];
	}
	for (size_t i = 0; i < news->health->count; i++) {
		struct volume_health *health;

		if (health_reported(reported, &news->health->items[i], with_progress) != NULL)
			continue;
		health = LIST_PUSH(arena, &report.volumes);
		if (health == NULL)
			return error_set_nomem(error);
		*health = news->health->items[i];
	}
	if (copy(news, reported, with_progress, &now) != 0) {
		arena_free(&now.arena);
		return error_set_nomem(error);
	}
	if (!inventory_is_same(&now.inventory, &reported->inventory) &&
	    reported_inventory_make(news->disks, arena, &report.inventory) != 0) {
		arena_free(&now.arena);
		return error_set_nomem(error);
	}
	reported_reset(reported);
	*reported = now;
	*ret_report = report;
	return 0;
}
