/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/group.h"
#include "agent/list.h"
#include "agent/survivor.h"
#include "lib/model/names.h"

struct health_loss {
	struct health_loss *next;
	uint64_t since_ms;
	bool seen; /* in this pass */
	char nqn[];
};

/* A consumer that was let in. */
struct health_join {
	struct health_join *next;
	uint64_t volume, generation, since_ms;
	char address[];
};

struct maker {
	const struct desired *desired;
	const struct target *target;
	const struct observed *observed;
	struct health_memory *memory;
	uint64_t now_ms;
	struct arena *arena;
	struct name_index dms_by_uuid; /* of what is observed */
};

static void joins_free(struct health_join *joins)
{
	while (joins != NULL) {
		struct health_join *join = joins;

		joins = join->next;
		free(join);
	}
}

void health_memory_free(struct health_memory *memory)
{
	while (memory->losses != NULL) {
		struct health_loss *loss = memory->losses;

		memory->losses = loss->next;
		free(loss);
	}
	joins_free(memory->joins);
	memory->joins = NULL;
	hosts_free(&memory->hosts);
}

static const struct health_join *join_find(const struct health_join *joins, const char *address, uint64_t volume,
					   uint64_t generation)
{
	while (joins != NULL &&
	       (joins->volume != volume || joins->generation != generation || strcmp(joins->address, address) != 0))
		joins = joins->next;
	return joins;
}

bool health_joined(struct health_memory *memory, const struct kernel_peer_list *peers, uint64_t now_ms)
{
	struct health_join *made = NULL;
	bool changed = false;

	for (size_t i = 0; i < peers->count; i++) {
		const struct kernel_peer *peer = &peers->items[i];
		const struct health_join *before;
		struct health_join *join;

		if (!peer->joined)
			continue;
		before = join_find(memory->joins, peer->address, peer->volume, peer->generation);
		join = malloc(sizeof(*join) + strlen(peer->address) + 1);
		if (join == NULL)
			continue;
		*join = (struct health_join){ .next = made,
					      .volume = peer->volume,
					      .generation = peer->generation,
					      .since_ms = before != NULL ? before->since_ms : now_ms };
		strcpy(join->address, peer->address);
		changed = changed || before == NULL;
		made = join;
	}
	joins_free(memory->joins);
	memory->joins = made;
	return changed;
}

/* For how long a path is lost; at least 1. Returns 0 when memory is exhausted. */
static uint64_t loss_note(struct maker *maker, const char *nqn)
{
	struct health_loss *loss = maker->memory->losses;

	while (loss != NULL && strcmp(loss->nqn, nqn) != 0)
		loss = loss->next;
	if (loss == NULL) {
		loss = calloc(1, sizeof(*loss) + strlen(nqn) + 1);
		if (loss == NULL)
			return 0;
		memcpy(loss->nqn, nqn, strlen(nqn) + 1);
		loss->since_ms = maker->now_ms;
		loss->next = maker->memory->losses;
		maker->memory->losses = loss;
	}
	loss->seen = true;
	return maker->now_ms - loss->since_ms + 1;
}

/* Paths that are back, or not wanted any more. */
static void losses_prune(struct health_memory *memory)
{
	struct health_loss **at = &memory->losses;

	while (*at != NULL) {
		struct health_loss *loss = *at;

		if (loss->seen) {
			loss->seen = false;
			at = &loss->next;
			continue;
		}
		*at = loss->next;
		free(loss);
	}
}

static int path_note(struct maker *maker, const char *nqn, const char *address, uint64_t port, bool *ret_lost,
		     uint64_t *ret_ms)
{
	if (group_path_at(maker->observed, nqn, address, port) == GROUP_PATH_LIVE)
		return 0;
	*ret_ms = loss_note(maker, nqn);
	*ret_lost = true;
	return *ret_ms > 0 ? 0 : -1;
}

static const struct observed_dm *dm_find(const struct maker *maker, const char *uuid)
{
	size_t place = name_index_find(&maker->dms_by_uuid, uuid);

	return place != NAME_INDEX_NONE ? &maker->observed->dms.items[place] : NULL;
}

static const struct target_group *group_find(const struct maker *maker, const char *uuid)
{
	size_t place = name_index_find(&maker->target->dms_by_uuid, uuid);

	return place != NAME_INDEX_NONE ? maker->target->dms.items[place].group : NULL;
}

static int index_make(struct maker *maker)
{
	const struct observed_dm_list *dms = &maker->observed->dms;

	/* Nobody would ask. */
	if (maker->desired->volumes.count == 0)
		return 0;
	if (name_index_make(maker->arena, dms->count, &maker->dms_by_uuid) != 0)
		return -1;
	for (size_t i = 0; i < dms->count; i++) {
		if (dms->items[i].uuid != NULL)
			name_index_add(&maker->dms_by_uuid, dms->items[i].uuid, i);
	}
	return 0;
}

/* Whether no member is about to leave, as far as can be told: a table without it drops those that are rebuilt, too,
 * however complete they are. What was called in sync before must not miss a write. */
static bool is_settled(const struct maker *maker, const struct group_table *table, const struct target_group *group)
{
	for (size_t i = 0; i < table->count && i < group->count; i++) {
		const struct target_member *member = &group->members[i];
		enum group_place place = group_place_find(maker->observed, table, i, member);

		if (place == GROUP_PLACE_OTHER ||
		    (place == GROUP_PLACE_REBUILDING && group_label_find(maker->observed, &member->label) == NULL))
			return false;
	}
	return true;
}

static enum member_health health_of(const struct maker *maker, const struct group_table *table,
				    const struct group_status *status, size_t index, const struct target_group *group)
{
	const struct target_member *member = &group->members[index];
	char letter = index < status->count ? status->health[index] : '?';
	enum group_place place = group_place_find(maker->observed, table, index, member);

	if (place == GROUP_PLACE_EMPTY)
		return MEMBER_HEALTH_ABSENT;
	if (letter == 'D')
		return MEMBER_HEALTH_FAILED;
	if (place == GROUP_PLACE_OTHER) /* it is about to leave */
		return MEMBER_HEALTH_ABSENT;
	/* While the whole group is made equal after a crash, its members are as good as in sync: the host never sees
	 * what they differ in twice. One that lags behind others was failed by an earlier group, as a superblock says,
	 * and is copied now. */
	if (place == GROUP_PLACE_IN_SYNC)
		return letter == 'a' && (status->rebuilding || strchr(status->health, 'A') != NULL)
			       ? MEMBER_HEALTH_REBUILDING
			       : MEMBER_HEALTH_IN_SYNC;
	return letter == 'A' && is_settled(maker, table, group) &&
			       group_label_is_complete(group_label_find(maker->observed, &member->label), member)
		       ? MEMBER_HEALTH_IN_SYNC
		       : MEMBER_HEALTH_REBUILDING;
}

static void progress_note(const struct group_status *status, size_t index, struct member_status *ret_status)
{
	uint64_t total = status->total_sectors * LIMIT_SECTOR_BYTES;

	if (ret_status->health != MEMBER_HEALTH_REBUILDING || status->count == 0)
		return;
	ret_status->total_bytes = total;
	if (status->health[index] == 'A')
		ret_status->done_bytes = total;
	else if (status->rebuilding)
		ret_status->done_bytes = status->done_sectors * LIMIT_SECTOR_BYTES;
}

/* What was asked for last before all that was seen of the groups of a leg. */
static uint64_t leg_drained(const struct maker *maker, const struct desired_volume *volume,
			    const struct desired_leg *leg)
{
	static const char *const kinds[] = { "thinmeta", "thindata" };
	char id[NAMES_ID_SIZE * 2], uuid[NAMES_DM_UUID_SIZE];
	uint64_t drained = UINT64_MAX;

	snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64, volume->id, leg->index);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct observed_dm *dm;

		names_dm_uuid(maker->desired->cluster, kinds[i], id, leg->epoch, uuid);
		dm = dm_find(maker, uuid);
		if (dm == NULL || dm->drained < drained)
			drained = dm != NULL ? dm->drained : 0;
	}
	return drained;
}

/* What is left of a member that is rebuilt would lie on the import that is gone, and stand in the way of the new one.
 */
static bool has_slices(const struct maker *maker, const char *group, const struct desired_leg *leg,
		       const struct desired_member *member)
{
	static const char *const kinds[] = { "label", "raidmeta", "raiddata" };
	char id[NAMES_ID_SIZE * 4], uuid[NAMES_DM_UUID_SIZE];

	snprintf(id, sizeof(id), "%s.ld%" PRIu64, group, member->ld);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		names_dm_uuid(maker->desired->cluster, kinds[i], id, leg->epoch, uuid);
		if (dm_find(maker, uuid) != NULL)
			return true;
	}
	return false;
}

/* Whether nothing is left of a member that shall not be: its slices are gone, and the namespace, and so is the import
 * that it came through, unless other LDs need that. The kernel shows an import until what was in flight on it has
 * ended. */
static bool is_dropped(const struct maker *maker, const char *group, const struct desired_leg *leg,
		       const struct desired_member *member)
{
	const struct observed *observed = maker->observed;
	bool shared = false;

	if (has_slices(maker, group, leg, member))
		return false;
	for (size_t i = 0; i < maker->target->imports.count; i++)
		shared = shared || strcmp(maker->target->imports.items[i].import.nqn, member->nqn) == 0;
	for (size_t i = 0; i < observed->imports.count; i++) {
		if (!shared && strcmp(observed->imports.items[i].nqn, member->nqn) == 0)
			return false;
	}
	for (size_t i = 0; i < observed->import_namespaces.count; i++) {
		if (memcmp(observed->import_namespaces.items[i].uuid, member->uuid, sizeof(member->uuid)) == 0)
			return false;
	}
	return true;
}

static int group_report(struct maker *maker, const struct desired_volume *volume, const struct desired_leg *leg,
			size_t index, struct volume_health *health)
{
	const struct desired_group *desired = &leg->groups.items[index];
	char id[NAMES_ID_SIZE * 3], uuid[NAMES_DM_UUID_SIZE];
	const struct target_group *group;
	const struct observed_dm *dm;
	struct group_table table = { 0 };
	struct group_status status;

	snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64 ".g%zu", volume->id, leg->index, index);
	names_dm_uuid(maker->desired->cluster, "raid", id, leg->epoch, uuid);
	dm = dm_find(maker, uuid);
	group = group_find(maker, uuid);
	group_status_parse(dm != NULL ? dm->status : NULL, &status);
	if (dm == NULL || group == NULL || !group_table_parse(&dm->targets, &table) ||
	    !group_align(maker->observed, group, &table, &status))
		table.count = 0;
	for (size_t i = 0; i < desired->members.count; i++) {
		const struct desired_member *member = &desired->members.items[i];
		struct member_status *made = LIST_PUSH(maker->arena, &health->members);

		if (made == NULL)
			return -1;
		*made = (struct member_status){ .ld = member->ld, .epoch = leg->epoch, .health = MEMBER_HEALTH_ABSENT };
		if (i < table.count && group != NULL && i < group->count)
			made->health = health_of(maker, &table, &status, i, group);
		else if (desired->members.count == 1 && member->state == LD_STATE_IN_SYNC && dm != NULL &&
			 dm->targets.count > 0)
			made->health = MEMBER_HEALTH_IN_SYNC; /* one copy */
		/* Whether the group will go on with it is certain only while it copies nothing. */
		if (made->health == MEMBER_HEALTH_IN_SYNC && i < status.count && status.health[i] == 'A' && status.idle)
			made->drained = leg_drained(maker, volume, leg);
		if (member->state == LD_STATE_STALE && group != NULL && table.count > 0) {
			struct survivor_verdict verdict = survivor_judge(maker->observed, group, &table, &status, i);

			made->kept = verdict.kept;
			made->left = verdict.left;
		}
		made->dropped = member->state == LD_STATE_STALE && is_dropped(maker, id, leg, member);
		progress_note(&status, i, made);
		if (member->state != LD_STATE_STALE &&
		    path_note(maker, member->nqn, NULL, 0, &made->path_lost, &made->path_lost_ms) != 0)
			return -1;
		/* An import of that name that came since does not help what lies on the one that went; nor does it a
		 * member that is complete but for its label, which can never say so. */
		if ((member->state == LD_STATE_IN_SYNC ||
		     (member->state == LD_STATE_REBUILDING && made->health != MEMBER_HEALTH_ABSENT)) &&
		    i < table.count && table.data[i] != 0 && !made->path_lost &&
		    group_path_find(maker->observed, table.data[i]) == GROUP_PATH_GONE) {
			made->path_lost_ms = loss_note(maker, member->nqn);
			made->path_lost = true;
			if (made->path_lost_ms == 0)
				return -1;
		}
	}
	return 0;
}

/* Who holds the other slot is a consumer here, and comes from the address that its legs are imported from. */
static void join_note(const struct maker *maker, const struct desired_volume *volume, const struct desired_leg *leg,
		      struct peer_status *peer)
{
	for (size_t i = 0; i < volume->consumers.count && leg->address != NULL; i++) {
		const struct desired_consumer *consumer = &volume->consumers.items[i];
		const struct health_join *join;

		if (consumer->generation == 0 || strcmp(consumer->address, leg->address) != 0)
			continue;
		join = join_find(maker->memory->joins, consumer->address, volume->id, consumer->generation);
		if (join == NULL)
			continue;
		peer->joined = join->generation;
		peer->joined_ms = maker->now_ms - join->since_ms;
	}
}

/* All legs of a slot come through one subsystem. The path to the holder that the slot has now: one to an earlier holder
 * is live until this kernel notices that that one is dead. */
static int peer_report(struct maker *maker, const struct desired_volume *volume, const struct desired_leg *leg,
		       struct volume_health *health)
{
	struct peer_status *peer;
	uint64_t lost_ms;

	for (size_t i = 0; i < health->peers.count; i++) {
		if (health->peers.items[i].slot == leg->slot)
			return 0;
	}
	peer = LIST_PUSH(maker->arena, &health->peers);
	if (peer == NULL)
		return -1;
	peer->slot = leg->slot;
	join_note(maker, volume, leg, peer);
	if (leg->nqn == NULL)
		return 0;
	if (path_note(maker, leg->nqn, leg->address, leg->port, &peer->path_lost, &peer->path_lost_ms) != 0)
		return -1;
	lost_ms = maker->now_ms - (peer->path_lost ? peer->path_lost_ms - 1 : 0);
	peer->host_left = hosts_may_have_left(&maker->memory->hosts, leg->nqn, lost_ms, maker->now_ms);
	return 0;
}

/* What is known here of the attempt that the leader tells of. */
static int pause_report(struct maker *maker, const struct desired_volume *volume, struct volume_health *health)
{
	const struct observed_pause *found = NULL;
	struct pause_status *status = arena_alloc(maker->arena, sizeof(*status));

	if (status == NULL)
		return -1;
	for (size_t i = 0; i < maker->observed->pauses.count && found == NULL; i++) {
		const struct observed_pause *pause = &maker->observed->pauses.items[i];

		if (pause->volume == volume->id && pause->number == volume->pause->number)
			found = pause;
	}
	*status = (struct pause_status){ .number = volume->pause->number };
	health->pause = status;
	if (found == NULL) {
		/* It held, as the leader was told, and nothing is left of that. */
		if (volume->pause->phase != PAUSE_PHASE_HOLD) {
			status->state = PAUSE_STATE_BROKEN;
			status->message = "nothing is known of it here";
		}
		return 0;
	}
	status->state = found->state;
	status->made = found->made;
	if (found->state != PAUSE_STATE_KEPT && found->state != PAUSE_STATE_BROKEN && !found->alive) {
		status->state = PAUSE_STATE_BROKEN;
		status->message = "the process that held it up died";
	} else if (found->message != NULL) {
		status->message = arena_strdup(maker->arena, found->message);
		if (status->message == NULL)
			return -1;
	}
	return 0;
}

static int volume_report(struct maker *maker, const struct desired_volume *volume, struct volume_health *health)
{
	health->volume = volume->id;
	health->revision = volume->revision;
	for (size_t i = 0; i < volume->legs.count; i++) {
		const struct desired_leg *leg = &volume->legs.items[i];

		if (leg->local && volume->legs_wanted) {
			for (size_t j = 0; j < leg->groups.count; j++) {
				if (group_report(maker, volume, leg, j, health) != 0)
					return -1;
			}
		} else if (!leg->local && volume->top_wanted && volume->role == CONTROLLER_ROLE_ACTIVE &&
			   peer_report(maker, volume, leg, health) != 0) {
			return -1;
		}
	}
	return volume->pause != NULL ? pause_report(maker, volume, health) : 0;
}

int health_make(const struct desired *desired, const struct target *target, const struct observed *observed,
		struct health_memory *memory, uint64_t now_ms, struct arena *arena,
		struct volume_health_list *ret_health, struct error *error)
{
	struct maker maker = { desired, target, observed, memory, now_ms, arena, { 0 } };
	struct volume_health_list list = { 0 };

	if (index_make(&maker) != 0 || hosts_observe(&memory->hosts, observed, now_ms) != 0)
		return error_set_nomem(error);
	for (size_t i = 0; i < desired->volumes.count; i++) {
		struct volume_health *health = LIST_PUSH(arena, &list);

		if (health == NULL || volume_report(&maker, &desired->volumes.items[i], health) != 0)
			return error_set_nomem(error);
	}
	losses_prune(memory);
	*ret_health = list;
	return 0;
}

static void group_keep_not(const struct desired_group *group, struct volume_health *health)
{
	for (size_t i = 0; i < group->members.count; i++) {
		for (size_t j = 0; j < health->members.count; j++) {
			if (health->members.items[j].ld == group->members.items[i].ld)
				health->members.items[j].kept = false;
		}
	}
}

void health_keep_not(const struct desired *desired, struct volume_health_list *health,
		     bool (*may_drop)(void *data, const char *mirror), void *data)
{
	for (size_t v = 0; v < desired->volumes.count; v++) {
		const struct desired_volume *volume = &desired->volumes.items[v];

		for (size_t l = 0; l < volume->legs.count; l++) {
			const struct desired_leg *leg = &volume->legs.items[l];

			for (size_t g = 0; g < leg->groups.count; g++) {
				char mirror[sizeof(NAMES_DM_PREFIX) + NAMES_ID_SIZE * 4];

				snprintf(mirror, sizeof(mirror), NAMES_DM_PREFIX "raid-v%" PRIu64 ".l%" PRIu64 ".g%zu",
					 volume->id, leg->index, g);
				if (may_drop(data, mirror))
					group_keep_not(&leg->groups.items[g], &health->items[v]);
			}
		}
	}
}

enum way { WAY_NONE, WAY_LOST, WAY_LIVE };

static enum way way_find(const struct observed *observed, const char *nqn)
{
	enum way way = WAY_NONE;

	for (size_t i = 0; i < observed->imports.count; i++) {
		if (strcmp(observed->imports.items[i].nqn, nqn) != 0)
			continue;
		if (strcmp(observed->imports.items[i].state, "live") == 0)
			return WAY_LIVE;
		way = WAY_LOST;
	}
	return way;
}

/* What an epoch left of its imports goes before the next one has any: so what is there is of this one. Not before this
 * kernel has seen that its own gate is in the way: until then the export above would be taken down as if what is under
 * way in it could end. */
void health_lapse(const struct desired *desired, const struct observed *observed, struct volume_health_list *health)
{
	for (size_t i = 0; i < desired->volumes.count && i < health->count; i++) {
		const struct desired_volume *volume = &desired->volumes.items[i];
		bool imports = false, live = false;
		uint64_t epoch = 0;

		for (size_t j = 0; j < volume->legs.count; j++) {
			const struct desired_leg *leg = &volume->legs.items[j];
			enum way way = leg->nqn != NULL ? way_find(observed, leg->nqn) : WAY_NONE;

			if (leg->local)
				epoch = leg->epoch;
			imports = imports || way != WAY_NONE;
			live = live || way == WAY_LIVE;
		}
		if (imports && !live && volume->top_wanted && volume->role == CONTROLLER_ROLE_ACTIVE)
			health->items[i].lapsed = epoch;
	}
}

bool health_is_rebuilding(const struct volume_health_list *health)
{
	for (size_t i = 0; i < health->count; i++) {
		for (size_t j = 0; j < health->items[i].members.count; j++) {
			if (health->items[i].members.items[j].health == MEMBER_HEALTH_REBUILDING)
				return true;
		}
	}
	return false;
}

static bool pause_is_same(const struct pause_status *a, const struct pause_status *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->number == b->number && a->state == b->state && a->made == b->made;
}

bool health_is_same(const struct volume_health *a, const struct volume_health *b, bool with_progress)
{
	/* What was seen before a rebuild began says nothing of it, so the same is told again of each revision. */
	if (a->volume != b->volume || a->revision != b->revision || a->lapsed != b->lapsed ||
	    a->members.count != b->members.count || a->peers.count != b->peers.count ||
	    !pause_is_same(a->pause, b->pause))
		return false;
	for (size_t i = 0; i < a->members.count; i++) {
		const struct member_status *x = &a->members.items[i], *y = &b->members.items[i];

		if (x->ld != y->ld || x->epoch != y->epoch || x->health != y->health || x->path_lost != y->path_lost ||
		    x->total_bytes != y->total_bytes || x->drained != y->drained || x->dropped != y->dropped ||
		    x->kept != y->kept || x->left != y->left || (with_progress && x->done_bytes != y->done_bytes))
			return false;
	}
	for (size_t i = 0; i < a->peers.count; i++) {
		const struct peer_status *x = &a->peers.items[i], *y = &b->peers.items[i];

		if (x->slot != y->slot || x->path_lost != y->path_lost || x->joined != y->joined ||
		    x->host_left != y->host_left)
			return false;
	}
	return true;
}
