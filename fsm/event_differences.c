/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "fsm/events.h"
#include "fsm/operation.h"

/* What the events of one object have in common, and where they go. */
struct telling {
	struct arena *arena;
	struct event_list *events;
	struct event about;
	bool failed; /* memory is exhausted */
};

/* An event to be filled in further. Never NULL: one that nobody reads when memory is exhausted. */
static struct event *tell(struct telling *telling, enum event_kind kind)
{
	struct event *event = list_add(telling->arena, telling->events, sizeof(*event));

	if (event == NULL) {
		telling->failed = true;
		event = &telling->about;
	}
	*event = telling->about;
	event->kind = kind;
	return event;
}

static int told(const struct telling *telling, struct error *error)
{
	return telling->failed ? error_set_nomem(error) : 0;
}

static bool text_differs(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

/* --- cluster, nodes, disks, jobs ------------------------------------------------------------------------------------
 */

static const struct server *server_find(const struct server_list *servers, uint64_t id)
{
	for (size_t i = 0; i < servers->count; i++) {
		if (servers->items[i].id == id)
			return &servers->items[i];
	}
	return NULL;
}

static void servers_tell(struct telling *telling, const struct server_list *before, const struct server_list *after)
{
	for (size_t i = 0; i < before->count; i++) {
		if (server_find(after, before->items[i].id) == NULL)
			tell(telling, EVENT_KIND_SERVER_REMOVED)->server = before->items[i].id;
	}
	for (size_t i = 0; i < after->count; i++) {
		const struct server *b = &after->items[i], *a = server_find(before, b->id);

		if (a == NULL)
			tell(telling, EVENT_KIND_SERVER_ADDED)->server = b->id;
		else if (b->leaving && !a->leaving)
			tell(telling, EVENT_KIND_SERVER_LEAVING)->server = b->id;
	}
}

int event_of_cluster(struct arena *arena, const struct cluster *before, const struct cluster *after,
		     struct event_list *events, struct error *error)
{
	static const struct settings defaults;
	struct telling telling = { .arena = arena, .events = events };
	const struct settings *a, *b;

	if (before == NULL || after == NULL) {
		tell(&telling, EVENT_KIND_CLUSTER_CREATED);
		return told(&telling, error);
	}
	if (after->recovered != NULL &&
	    (before->recovered == NULL || before->recovered->revision != after->recovered->revision)) {
		struct event *event = tell(&telling, EVENT_KIND_CLUSTER_RECOVERED);

		event->reason = after->recovered->by;
		event->state = after->recovered->backup_ms != 0 ? "restored" : NULL;
	}
	servers_tell(&telling, &before->servers, &after->servers);
	a = before->settings != NULL ? before->settings : &defaults;
	b = after->settings != NULL ? after->settings : &defaults;
	if (a->rebuild_after_ms != b->rebuild_after_ms)
		tell(&telling, EVENT_KIND_SETTINGS_CHANGED)->reason = "rebuild_after_ms";
	if (a->rebuild_rate_bytes != b->rebuild_rate_bytes)
		tell(&telling, EVENT_KIND_SETTINGS_CHANGED)->reason = "rebuild_rate_bytes";
	return told(&telling, error);
}

static bool labels_differ(const struct label_list *a, const struct label_list *b)
{
	if (a->count != b->count)
		return true;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].key, b->items[i].key) != 0 || strcmp(a->items[i].value, b->items[i].value) != 0)
			return true;
	}
	return false;
}

/* Where it is, and what it can do. */
static void node_tell_changed(struct telling *telling, const struct node *a, const struct node *b)
{
	if (strcmp(a->address, b->address) != 0 || a->port != b->port)
		tell(telling, EVENT_KIND_NODE_CHANGED)->reason = "address";
	if (text_differs(a->version, b->version))
		tell(telling, EVENT_KIND_NODE_CHANGED)->reason = "version";
	if (labels_differ(&a->labels, &b->labels))
		tell(telling, EVENT_KIND_NODE_CHANGED)->reason = "labels";
	if (a->storage_only != b->storage_only || a->writethrough != b->writethrough || a->grows != b->grows)
		tell(telling, EVENT_KIND_NODE_CHANGED)->reason = "abilities";
}

int event_of_node(struct arena *arena, const struct node *before, const struct node *after, struct event_list *events,
		  struct error *error)
{
	const struct node *node = after != NULL ? after : before;
	struct telling telling = { .arena = arena, .events = events, .about = { .node = node->name } };

	if (before == NULL || after == NULL) {
		tell(&telling, after != NULL ? EVENT_KIND_NODE_ADDED : EVENT_KIND_NODE_FORGOTTEN);
		return told(&telling, error);
	}
	if (memcmp(before->boot_id, after->boot_id, sizeof(after->boot_id)) != 0)
		tell(&telling, EVENT_KIND_NODE_BOOTED);
	node_tell_changed(&telling, before, after);
	if (after->draining && !before->draining)
		tell(&telling, EVENT_KIND_NODE_DRAINING);
	else if (after->cordoned != before->cordoned)
		tell(&telling, after->cordoned ? EVENT_KIND_NODE_CORDONED : EVENT_KIND_NODE_UNCORDONED);
	return told(&telling, error);
}

int event_of_disk(struct arena *arena, const struct disk *before, const struct disk *after, struct event_list *events,
		  struct error *error)
{
	const struct disk *disk = after != NULL ? after : before;
	struct telling telling = { .arena = arena,
				   .events = events,
				   .about = { .node = disk->node, .disk = disk->id, .size_bytes = disk->size_bytes } };

	if (before == NULL || after == NULL)
		tell(&telling, after != NULL ? EVENT_KIND_DISK_ADDED : EVENT_KIND_DISK_REMOVED);
	else if (before->draining != after->draining)
		tell(&telling, after->draining ? EVENT_KIND_DISK_DRAINING : EVENT_KIND_DISK_UNDRAINED);
	return told(&telling, error);
}

int event_of_job(struct arena *arena, const struct operation *before, const struct operation *after,
		 struct event_list *events, struct error *error)
{
	const struct operation *job = after != NULL ? after : before;
	struct telling telling = {
		.arena = arena,
		.events = events,
		.about = { .job = job->id, .volume = job->volume, .volume_name = job->volume_name },
	};
	struct event *event;

	if (before == NULL) {
		event = tell(&telling, EVENT_KIND_JOB_BEGUN);
		event->state = ENUM_NAME(operation_phase, job->phase);
		event->reason = ENUM_NAME(job_kind, job->kind);
	} else if (after == NULL) {
		/* The record of one that is over goes after some time. */
		if (!operation_is_over(before))
			tell(&telling, EVENT_KIND_JOB_FORGOTTEN);
	} else if (operation_is_over(after) && !operation_is_over(before)) {
		event = tell(&telling, EVENT_KIND_JOB_OVER);
		event->state = ENUM_NAME(operation_state, after->state);
		event->reason = after->error != NULL ? after->error->message : NULL;
	} else if (after->phase != before->phase) {
		tell(&telling, EVENT_KIND_JOB_PHASE)->state = ENUM_NAME(operation_phase, after->phase);
	}
	return told(&telling, error);
}

/* --- volumes --------------------------------------------------------------------------------------------------------
 */

static bool strings_have(const struct string_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

static void hosts_tell(struct telling *telling, const struct volume *before, const struct volume *after)
{
	for (size_t i = 0; i < before->hosts.count; i++) {
		if (!strings_have(&after->hosts, before->hosts.items[i]))
			tell(telling, EVENT_KIND_HOST_DETACHED)->host_nqn = before->hosts.items[i];
	}
	for (size_t i = 0; i < after->hosts.count; i++) {
		if (!strings_have(&before->hosts, after->hosts.items[i]))
			tell(telling, EVENT_KIND_HOST_ATTACHED)->host_nqn = after->hosts.items[i];
	}
}

static void slots_tell(struct telling *telling, const struct volume *before, const struct volume *after)
{
	for (size_t i = 0; i < after->slots.count && i < before->slots.count; i++) {
		const struct slot *a = &before->slots.items[i], *b = &after->slots.items[i];
		struct event *event;

		if (a->epoch == b->epoch && a->phase == b->phase)
			continue;
		event = tell(telling, a->epoch != b->epoch ? EVENT_KIND_SLOT_MOVED : EVENT_KIND_SLOT_PHASE);
		event->slot = i;
		event->epoch = b->epoch;
		event->node = b->holder;
		event->state = ENUM_NAME(slot_phase, b->phase);
		if (a->epoch == b->epoch)
			continue;
		event->previous = a->holder;
		event->reason = ENUM_NAME(move_reason, b->reason);
	}
}

static const struct controller *controller_find(const struct volume *volume, const char *node)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, node) == 0)
			return &volume->controllers.items[i];
	}
	return NULL;
}

static void controllers_tell(struct telling *telling, const struct volume *before, const struct volume *after)
{
	for (size_t i = 0; i < before->controllers.count; i++) {
		const struct controller *a = &before->controllers.items[i];

		if (controller_find(after, a->node) == NULL)
			tell(telling, EVENT_KIND_CONTROLLER_DROPPED)->node = a->node;
	}
	for (size_t i = 0; i < after->controllers.count; i++) {
		const struct controller *b = &after->controllers.items[i], *a = controller_find(before, b->node);
		struct event *event;

		if (a != NULL && a->role == b->role)
			continue;
		event = tell(telling, a == NULL ? EVENT_KIND_CONTROLLER_ADDED : EVENT_KIND_CONTROLLER_ROLE);
		event->node = b->node;
		event->state = ENUM_NAME(controller_role, b->role);
	}
}

static void member_tell(struct telling *telling, uint64_t slot, const struct ld *a, const struct ld *b)
{
	static const enum event_kind kinds[] = {
		[LD_STATE_IN_SYNC] = EVENT_KIND_MEMBER_IN_SYNC,
		[LD_STATE_STALE] = EVENT_KIND_MEMBER_STALE,
		[LD_STATE_FREED] = EVENT_KIND_MEMBER_FREED,
		[LD_STATE_REBUILDING] = EVENT_KIND_MEMBER_REBUILDING,
	};
	struct event *event;

	if (a->id == b->id && a->state == b->state)
		return;
	event = tell(telling, a->id != b->id ? EVENT_KIND_MEMBER_REPLACED : kinds[b->state]);
	event->slot = slot;
	event->ld = b->id;
	event->disk = b->disk;
	event->state = ENUM_NAME(ld_state, b->state);
	if (b->state == LD_STATE_STALE && b->stale_reason != 0)
		event->reason = ENUM_NAME(stale_reason, b->stale_reason);
}

/* Groups that come or go are a job's, which tells of itself. */
static void members_tell(struct telling *telling, const struct volume *before, const struct volume *after)
{
	for (size_t l = 0; l < after->legs.count && l < before->legs.count; l++) {
		const struct group_list *a = &before->legs.items[l].groups, *b = &after->legs.items[l].groups;

		for (size_t g = 0; g < b->count && g < a->count; g++) {
			const struct ld_list *c = &a->items[g].members, *d = &b->items[g].members;

			for (size_t m = 0; m < d->count && m < c->count; m++)
				member_tell(telling, after->legs.items[l].slot, &c->items[m], &d->items[m]);
		}
	}
}

static void forced_tell(struct telling *telling, const struct volume *before, const struct volume *after)
{
	const struct forced *last = after->forced.count > 0 ? &after->forced.items[after->forced.count - 1] : NULL;
	struct event *event;

	/* The oldest ones go, so their number says nothing. */
	if (last == NULL ||
	    (before->forced.count > 0 && before->forced.items[before->forced.count - 1].revision == last->revision))
		return;
	event = tell(telling, EVENT_KIND_VOLUME_FORCED);
	event->slot = last->slot;
	event->epoch = last->epoch;
	event->reason = last->by;
}

static bool snapshot_is_taken(const struct volume *volume, const char *name)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		if (volume->snapshots.items[i].state == SNAPSHOT_STATE_TAKEN &&
		    strcmp(volume->snapshots.items[i].name, name) == 0)
			return true;
	}
	return false;
}

static struct string_list snapshot_hosts(const struct volume *volume, const char *name)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		if (strcmp(volume->snapshots.items[i].name, name) == 0)
			return volume->snapshots.items[i].hosts;
	}
	return (struct string_list){ 0 };
}

static void snapshot_hosts_tell(struct telling *telling, const struct volume *from, const struct volume *to,
				enum event_kind kind)
{
	for (size_t i = 0; i < to->snapshots.count; i++) {
		const struct snapshot *snapshot = &to->snapshots.items[i];
		struct string_list others = snapshot_hosts(from, snapshot->name);

		for (size_t j = 0; j < snapshot->hosts.count; j++) {
			struct event *event;

			if (strings_have(&others, snapshot->hosts.items[j]))
				continue;
			event = tell(telling, kind);
			event->host_nqn = snapshot->hosts.items[j];
			event->snapshot = snapshot->name;
		}
	}
}

static void snapshots_tell(struct telling *telling, const struct volume *from, const struct volume *to,
			   enum event_kind kind)
{
	for (size_t i = 0; i < to->snapshots.count; i++) {
		const char *name = to->snapshots.items[i].name;

		if (snapshot_is_taken(to, name) && !snapshot_is_taken(from, name))
			tell(telling, kind)->snapshot = name;
	}
}

int event_of_volume(struct arena *arena, const struct volume *before, const struct volume *after,
		    struct event_list *events, struct error *error)
{
	const struct volume *volume = after != NULL ? after : before;
	struct telling telling = { .arena = arena,
				   .events = events,
				   .about = { .volume = volume->id, .volume_name = volume->name } };
	struct event *event;

	if (before == NULL || after == NULL) {
		event = tell(&telling, after != NULL ? EVENT_KIND_VOLUME_CREATED : EVENT_KIND_VOLUME_REMOVED);
		if (after != NULL)
			event->size_bytes = after->size_bytes;
		return told(&telling, error);
	}
	if (before->phase != after->phase)
		tell(&telling, EVENT_KIND_VOLUME_PHASE)->state = ENUM_NAME(volume_phase, after->phase);
	if (before->size_bytes != after->size_bytes)
		tell(&telling, EVENT_KIND_VOLUME_GREW)->size_bytes = after->size_bytes;
	if (before->standbys != after->standbys) {
		event = tell(&telling, EVENT_KIND_VOLUME_CHANGED);
		event->reason =
			arena_printf(arena, "standbys from %" PRIu64 " to %" PRIu64, before->standbys, after->standbys);
		telling.failed = telling.failed || event->reason == NULL;
	}
	if (before->hold != NULL && after->hold == NULL && !volume_is_leaving(after->phase))
		tell(&telling, EVENT_KIND_VOLUME_RELEASED);
	hosts_tell(&telling, before, after);
	forced_tell(&telling, before, after);
	slots_tell(&telling, before, after);
	controllers_tell(&telling, before, after);
	members_tell(&telling, before, after);
	snapshots_tell(&telling, before, after, EVENT_KIND_SNAPSHOT_TAKEN);
	snapshots_tell(&telling, after, before, EVENT_KIND_SNAPSHOT_DELETED);
	snapshot_hosts_tell(&telling, after, before, EVENT_KIND_HOST_DETACHED);
	snapshot_hosts_tell(&telling, before, after, EVENT_KIND_HOST_ATTACHED);
	return told(&telling, error);
}
