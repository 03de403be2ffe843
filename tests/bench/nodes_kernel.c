/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"
#include "tests/bench/nodes.h"

static int object_add(struct nodes_news *news, enum object_kind kind, const char *id, uint64_t revision,
		      enum object_state state)
{
	struct object_status *status = LIST_PUSH(&news->arena, &news->objects);

	if (status == NULL)
		return -1;
	*status = (struct object_status){ .kind = kind, .revision = revision, .state = state, .message = "" };
	status->id = arena_strdup(&news->arena, id);
	return status->id != NULL ? 0 : -1;
}

/* One that is rebuilt is equal to the others at once; one that was given up is dropped. */
static int member_add(struct nodes_news *news, struct volume_health *health, const struct desired_leg *leg,
		      const struct desired_member *member)
{
	bool stale = member->state == LD_STATE_STALE;
	struct member_status *made = LIST_PUSH(&news->arena, &health->members);

	if (made == NULL)
		return -1;
	*made = (struct member_status){ .ld = member->ld,
					.epoch = leg->epoch,
					.health = stale ? MEMBER_HEALTH_ABSENT : MEMBER_HEALTH_IN_SYNC,
					.drained = stale ? 0 : leg->drain,
					.dropped = stale,
					.left = stale };
	return 0;
}

static int groups_add(struct nodes_news *news, struct volume_health *health, const struct desired_leg *leg)
{
	int rv = 0;

	for (size_t g = 0; rv == 0 && g < leg->groups.count; g++) {
		const struct desired_member_list *members = &leg->groups.items[g].members;

		for (size_t m = 0; rv == 0 && m < members->count; m++)
			rv = member_add(news, health, leg, &members->items[m]);
	}
	return rv;
}

static bool has_peer(const struct volume_health *health, uint64_t slot)
{
	for (size_t i = 0; i < health->peers.count; i++) {
		if (health->peers.items[i].slot == slot)
			return true;
	}
	return false;
}

static int health_add(struct nodes_news *news, const struct desired_volume *volume)
{
	struct volume_health *health = LIST_PUSH(&news->arena, &news->volumes);
	int rv = health != NULL ? 0 : -1;

	if (rv == 0)
		*health = (struct volume_health){ .volume = volume->id, .revision = volume->revision };
	for (size_t l = 0; rv == 0 && l < volume->legs.count; l++) {
		const struct desired_leg *leg = &volume->legs.items[l];
		struct peer_status *peer;

		if (leg->local) {
			rv = groups_add(news, health, leg);
		} else if (volume->top_wanted && !has_peer(health, leg->slot)) {
			peer = LIST_PUSH(&news->arena, &health->peers);
			if (peer != NULL)
				peer->slot = leg->slot;
			rv = peer != NULL ? 0 : -1;
		}
	}
	return rv;
}

static int volume_add(struct nodes_news *news, const struct desired_volume *volume)
{
	char id[NAMES_ID_SIZE];
	int rv;

	names_id_format("v", volume->id, id);
	rv = object_add(news, OBJECT_KIND_VOLUME, id, volume->revision, OBJECT_STATE_CONVERGED);
	for (size_t i = 0; rv == 0 && i < volume->consumers.count; i++)
		rv = object_add(news, OBJECT_KIND_CONSUMER, volume->consumers.items[i].id, volume->revision,
				OBJECT_STATE_CONVERGED);
	return rv == 0 ? health_add(news, volume) : rv;
}

int nodes_kernel_make(const struct desired *part, struct nodes_news *news)
{
	char id[NAMES_ID_SIZE];
	int rv = 0;

	for (size_t i = 0; rv == 0 && i < part->removed.count; i++)
		rv = object_add(news, part->removed.items[i].kind, part->removed.items[i].id,
				part->removed.items[i].revision, OBJECT_STATE_ABSENT);
	for (size_t i = 0; rv == 0 && i < part->disks.count; i++) {
		names_id_format("d", part->disks.items[i].id, id);
		rv = object_add(news, OBJECT_KIND_DISK, id, part->disks.items[i].revision, OBJECT_STATE_CONVERGED);
	}
	for (size_t i = 0; rv == 0 && i < part->exports.count; i++)
		rv = object_add(news, OBJECT_KIND_EXPORT, part->exports.items[i].id, part->exports.items[i].revision,
				OBJECT_STATE_CONVERGED);
	for (size_t i = 0; rv == 0 && i < part->volumes.count; i++)
		rv = volume_add(news, &part->volumes.items[i]);
	return rv;
}

void nodes_news_clear(struct nodes_news *news)
{
	arena_free(&news->arena);
	*news = (struct nodes_news){ .arena = ARENA_INIT };
}
