/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/event_text.h"

#include <inttypes.h>

#include "client/cli/size.h"

static const char *or_unknown(const char *text)
{
	return text != NULL ? text : "?";
}

/* "volume db1"; of one that lost its name, "volume v3". */
static const char *volume_text(const struct event *event, struct arena *arena)
{
	if (event->volume_name != NULL)
		return arena_printf(arena, "volume %s", event->volume_name);
	return arena_printf(arena, "volume v%" PRIu64, event->volume);
}

/* Of the cluster, a server, a node or a disk; NULL: of something else. */
static const char *thing_text(const struct event *event, struct arena *arena)
{
	const char *node = or_unknown(event->node);
	char size[SIZE_TEXT_SIZE];

	size_format(event->size_bytes, size);
	switch (event->kind) {
	case EVENT_KIND_CLUSTER_CREATED:
		return "the cluster was made";
	case EVENT_KIND_CLUSTER_RECOVERED:
		if (event->state != NULL)
			return "the cluster was restored from a backup; every volume and every disk is held";
		return "the group lost its majority for good, and goes on with what one server had; every volume is "
		       "held";
	case EVENT_KIND_SETTINGS_CHANGED:
		return arena_printf(arena, "the setting %s of the cluster changed", or_unknown(event->reason));
	case EVENT_KIND_SERVER_ADDED:
		return arena_printf(arena, "server %" PRIu64 " is to join", event->server);
	case EVENT_KIND_SERVER_LEAVING:
		return arena_printf(arena, "server %" PRIu64 " is to leave", event->server);
	case EVENT_KIND_SERVER_REMOVED:
		return arena_printf(arena, "server %" PRIu64 " is no part of the group any more", event->server);
	case EVENT_KIND_NODE_ADDED:
		return arena_printf(arena, "node %s is new", node);
	case EVENT_KIND_NODE_BOOTED:
		return arena_printf(arena, "node %s booted", node);
	case EVENT_KIND_NODE_CHANGED:
		return arena_printf(arena, "node %s came back with another %s", node, or_unknown(event->reason));
	case EVENT_KIND_NODE_CORDONED:
		return arena_printf(arena, "node %s is cordoned", node);
	case EVENT_KIND_NODE_DRAINING:
		return arena_printf(arena, "node %s is drained", node);
	case EVENT_KIND_NODE_UNCORDONED:
		return arena_printf(arena, "node %s is open again", node);
	case EVENT_KIND_NODE_FORGOTTEN:
		return arena_printf(arena, "node %s was forgotten", node);
	case EVENT_KIND_DISK_ADDED:
		return arena_printf(arena, "disk d%" PRIu64 " of node %s, %s, is new", event->disk, node, size);
	case EVENT_KIND_DISK_REMOVED:
		return arena_printf(arena, "disk d%" PRIu64 " of node %s was removed", event->disk, node);
	case EVENT_KIND_DISK_DRAINING:
		return arena_printf(arena, "disk d%" PRIu64 " of node %s is drained", event->disk, node);
	case EVENT_KIND_DISK_UNDRAINED:
		return arena_printf(arena, "disk d%" PRIu64 " of node %s is open again", event->disk, node);
	default:
		return NULL;
	}
}

static const char *slot_text(const struct event *event, const char *volume, struct arena *arena)
{
	if (event->kind == EVENT_KIND_SLOT_PHASE)
		return arena_printf(arena, "%s: slot %" PRIu64 " is %s at node %s", volume, event->slot,
				    or_unknown(event->state), or_unknown(event->node));
	return arena_printf(arena, "%s: slot %" PRIu64 " moves from node %s to %s, epoch %" PRIu64 ": %s", volume,
			    event->slot, or_unknown(event->previous), or_unknown(event->node), event->epoch,
			    or_unknown(event->reason));
}

static const char *member_text(const struct event *event, const char *volume, struct arena *arena)
{
	if (event->kind == EVENT_KIND_MEMBER_REPLACED)
		return arena_printf(arena, "%s: ld%" PRIu64 " on d%" PRIu64 " takes the place of another one", volume,
				    event->ld, event->disk);
	return arena_printf(arena, "%s: ld%" PRIu64 " on d%" PRIu64 " is %s%s%s", volume, event->ld, event->disk,
			    or_unknown(event->state), event->reason != NULL ? ": " : "",
			    event->reason != NULL ? event->reason : "");
}

static const char *job_text(const struct event *event, const char *volume, struct arena *arena)
{
	switch (event->kind) {
	case EVENT_KIND_JOB_BEGUN:
		return arena_printf(arena, "%s: job j%" PRIu64 " began: %s", volume, event->job,
				    or_unknown(event->reason));
	case EVENT_KIND_JOB_FORGOTTEN:
		return arena_printf(arena, "%s: job j%" PRIu64 " was forgotten while it ran", volume, event->job);
	default:
		return arena_printf(arena, "%s: job j%" PRIu64 " is %s%s%s", volume, event->job,
				    or_unknown(event->state), event->reason != NULL ? ": " : "",
				    event->reason != NULL ? event->reason : "");
	}
}

const char *event_text(const struct event *event, struct arena *arena)
{
	const char *thing = thing_text(event, arena), *volume;
	char size[SIZE_TEXT_SIZE];

	if (thing != NULL)
		return thing;
	volume = volume_text(event, arena);
	if (volume == NULL)
		return NULL;
	size_format(event->size_bytes, size);
	switch (event->kind) {
	case EVENT_KIND_VOLUME_CREATED:
		return arena_printf(arena, "%s, %s, is new", volume, size);
	case EVENT_KIND_VOLUME_PHASE:
		return arena_printf(arena, "%s is %s", volume, or_unknown(event->state));
	case EVENT_KIND_VOLUME_GREW:
		return arena_printf(arena, "%s has %s now", volume, size);
	case EVENT_KIND_VOLUME_REMOVED:
		return arena_printf(arena, "%s is gone", volume);
	case EVENT_KIND_HOST_ATTACHED:
		if (event->snapshot != NULL)
			return arena_printf(arena, "%s: host %s may read snapshot %s", volume,
					    or_unknown(event->host_nqn), event->snapshot);
		return arena_printf(arena, "%s: host %s may connect", volume, or_unknown(event->host_nqn));
	case EVENT_KIND_HOST_DETACHED:
		if (event->snapshot != NULL)
			return arena_printf(arena, "%s: host %s may not read snapshot %s any more", volume,
					    or_unknown(event->host_nqn), event->snapshot);
		return arena_printf(arena, "%s: host %s may not connect any more", volume, or_unknown(event->host_nqn));
	case EVENT_KIND_SLOT_MOVED:
	case EVENT_KIND_SLOT_PHASE:
		return slot_text(event, volume, arena);
	case EVENT_KIND_CONTROLLER_ADDED:
	case EVENT_KIND_CONTROLLER_ROLE:
		return arena_printf(arena, "%s: the controller at node %s is %s", volume, or_unknown(event->node),
				    or_unknown(event->state));
	case EVENT_KIND_CONTROLLER_DROPPED:
		return arena_printf(arena, "%s: node %s has nothing of it any more", volume, or_unknown(event->node));
	case EVENT_KIND_MEMBER_STALE:
	case EVENT_KIND_MEMBER_REBUILDING:
	case EVENT_KIND_MEMBER_IN_SYNC:
	case EVENT_KIND_MEMBER_FREED:
	case EVENT_KIND_MEMBER_REPLACED:
		return member_text(event, volume, arena);
	case EVENT_KIND_VOLUME_FORCED:
		return arena_printf(arena, "%s: slot %" PRIu64 " is served by force, by %s", volume, event->slot,
				    event->reason != NULL ? event->reason : "somebody");
	case EVENT_KIND_VOLUME_CHANGED:
		return arena_printf(arena, "%s: %s", volume, or_unknown(event->reason));
	case EVENT_KIND_VOLUME_RELEASED:
		return arena_printf(arena, "%s is released", volume);
	case EVENT_KIND_SNAPSHOT_TAKEN:
		return arena_printf(arena, "%s: snapshot %s is taken", volume, or_unknown(event->snapshot));
	case EVENT_KIND_SNAPSHOT_DELETED:
		return arena_printf(arena, "%s: snapshot %s was deleted", volume, or_unknown(event->snapshot));
	case EVENT_KIND_JOB_BEGUN:
	case EVENT_KIND_JOB_PHASE:
	case EVENT_KIND_JOB_OVER:
	case EVENT_KIND_JOB_FORGOTTEN:
		return job_text(event, volume, arena);
	default:
		return arena_printf(arena, "an event of kind %d, which this program does not know", (int)event->kind);
	}
}
