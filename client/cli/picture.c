/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/picture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/size.h"
#include "client/cli/when.h"
#include "lib/base/uuid.h"

#define DEPTH_MAX 4

struct pen {
	struct buffer *output;
	bool utf8;
	int failed;
	bool last[DEPTH_MAX]; /* of each open level: its present branch is the last one */
};

static void put(struct pen *pen, const char *text)
{
	if (buffer_append(pen->output, text, strlen(text)) != 0)
		pen->failed = -1;
}

static void put_format(struct pen *pen, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(struct pen *pen, const char *format, ...)
{
	char text[1536];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put(pen, text);
}

static void put_size(struct pen *pen, uint64_t bytes)
{
	char text[SIZE_TEXT_SIZE];

	size_format(bytes, text);
	put(pen, text);
}

/* Begin the line of a branch at `depth`. */
static void branch(struct pen *pen, unsigned depth, bool last)
{
	pen->last[depth] = last;
	for (unsigned i = 0; i < depth; i++) {
		if (pen->last[i])
			put(pen, "   ");
		else
			put(pen, pen->utf8 ? "│  " : "|  ");
	}
	if (last)
		put(pen, pen->utf8 ? "└─ " : "`- ");
	else
		put(pen, pen->utf8 ? "├─ " : "|- ");
}

static const struct volume_path *path_of(const struct volume_status *status, const char *node)
{
	for (size_t i = 0; i < status->paths.count; i++) {
		if (strcmp(status->paths.items[i].node, node) == 0)
			return &status->paths.items[i];
	}
	return NULL;
}

static const struct volume_disk *disk_of(const struct volume_status *status, uint64_t id)
{
	for (size_t i = 0; i < status->disks.count; i++) {
		if (status->disks.items[i].id == id)
			return &status->disks.items[i];
	}
	return NULL;
}

static void put_address(struct pen *pen, const struct volume_status *status, const char *node)
{
	const struct volume_path *path = path_of(status, node);

	if (path == NULL)
		put(pen, "  no address");
	else if (strchr(path->address, ':') != NULL)
		put_format(pen, "  [%s]:%" PRIu64, path->address, path->port);
	else
		put_format(pen, "  %s:%" PRIu64, path->address, path->port);
}

static void draw_member(struct pen *pen, const struct volume_status *status, const struct ld *ld, bool last)
{
	const struct volume_disk *disk = disk_of(status, ld->disk);

	branch(pen, 3, last);
	put_format(pen, "ld%" PRIu64 "  disk d%" PRIu64, ld->id, ld->disk);
	if (disk != NULL)
		put_format(pen, "  %s:%s", disk->node, disk->path);
	put_format(pen, "  %s", ENUM_NAME(ld_state, ld->state));
	if (ld->stale_reason == STALE_REASON_LOST ||
	    (ld->state != LD_STATE_IN_SYNC && ld->state != LD_STATE_FREED && ld->stale_reason != 0))
		put_format(pen, " (%s)", ENUM_NAME(stale_reason, ld->stale_reason));
	put(pen, "\n");
}

static void draw_leg(struct pen *pen, const struct volume_status *status, size_t index, bool last)
{
	const struct leg *leg = &status->volume->legs.items[index];

	branch(pen, 1, last);
	put_format(pen, "leg %zu  ", index);
	put_size(pen, leg->size_bytes);
	put_format(pen, "  %s\n", ENUM_NAME(leg_state, leg->state));
	for (size_t i = 0; i < leg->groups.count; i++) {
		const struct group *group = &leg->groups.items[i];

		branch(pen, 2, i + 1 == leg->groups.count);
		if (group->members.count == 1)
			put_format(pen, "group %zu  single copy\n", i);
		else
			put_format(pen, "group %zu  mirror of %zu\n", i, group->members.count);
		for (size_t j = 0; j < group->members.count; j++)
			draw_member(pen, status, &group->members.items[j], j + 1 == group->members.count);
	}
}

static void draw_slot(struct pen *pen, const struct volume_status *status, size_t index, bool last)
{
	const struct volume *volume = status->volume;
	const struct slot *slot = &volume->slots.items[index];
	size_t remote = 0, seen = 0;

	branch(pen, 0, last);
	put_format(pen, "active  %s", slot->holder);
	put_address(pen, status, slot->holder);
	put_format(pen, "  slot %zu, epoch %" PRIu64, index, slot->epoch);
	if (slot->phase != SLOT_PHASE_SERVING)
		put_format(pen, ", %s%s%s", ENUM_NAME(slot_phase, slot->phase), slot->reason != 0 ? " after " : "",
			   slot->reason != 0 ? ENUM_NAME(move_reason, slot->reason) : "");
	put(pen, "\n");
	for (size_t i = 0; i < volume->legs.count; i++)
		remote += volume->legs.items[i].slot != index;
	for (size_t i = 0; i < volume->legs.count; i++) {
		if (volume->legs.items[i].slot != index)
			continue;
		seen++;
		draw_leg(pen, status, i, remote == 0 && seen + remote == volume->legs.count);
	}
	if (remote == 0)
		return;
	branch(pen, 1, true);
	put(pen, "remote");
	for (size_t i = 0; i < volume->legs.count; i++) {
		uint64_t owner = volume->legs.items[i].slot;

		if (owner != index)
			put_format(pen, "  leg %zu from %s", i,
				   owner < volume->slots.count ? volume->slots.items[owner].holder : "?");
	}
	put(pen, "\n");
}

static void draw_standby(struct pen *pen, const struct volume_status *status, const char *node, bool last)
{
	branch(pen, 0, last);
	put_format(pen, "standby  %s", node);
	put_address(pen, status, node);
	put(pen, "  inaccessible until it takes over a slot\n");
}

static void draw_retired(struct pen *pen, const struct controller *controller)
{
	put_format(pen, "retired: %s", controller->node);
	if (controller->epoch > 0)
		put_format(pen, " held slot %" PRIu64 " in epoch %" PRIu64 " and", controller->slot, controller->epoch);
	put(pen, " has to take down what it has\n");
}

static void draw_leaving(struct pen *pen, const struct leaving_ld *leaving)
{
	if (leaving->ld->state != LD_STATE_FREED)
		put_format(pen, "leaving: ld%" PRIu64 " on disk d%" PRIu64 ", another one took its place\n",
			   leaving->ld->id, leaving->ld->disk);
}

static void draw_forced(struct pen *pen, const struct forced *forced)
{
	char when[WHEN_TEXT_SIZE];

	put_format(pen, "served by force: slot %" PRIu64 " from epoch %" PRIu64 " on, at %s, revision %" PRIu64,
		   forced->slot, forced->epoch, when_format(forced->time_ms, when), forced->revision);
	put_format(pen, ", by %s\n", forced->by != NULL && forced->by[0] != '\0' ? forced->by : "somebody unnamed");
	for (size_t i = 0; i < forced->taken.count; i++) {
		const struct forced_ld *ld = &forced->taken.items[i];

		if (ld->reason == 0)
			put_format(pen,
				   "  from ld%" PRIu64 " of node %s, which was in sync, but may have missed writes\n",
				   ld->ld, ld->node);
		else
			put_format(
				pen, "  from ld%" PRIu64 " of node %s, which missed what was written since %s (%s)\n",
				ld->ld, ld->node, when_format(ld->since_ms, when), ENUM_NAME(stale_reason, ld->reason));
	}
	for (size_t i = 0; i < forced->given_up.count; i++)
		put_format(pen, "  instead of ld%" PRIu64 " of node %s\n", forced->given_up.items[i].ld,
			   forced->given_up.items[i].node);
	for (size_t i = 0; i < forced->powered_off.count; i++)
		put_format(pen, "  node %s was said to be off\n", forced->powered_off.items[i]);
}

/* Disks whose write caches lose what they hold. */
static void draw_caches(struct pen *pen, const struct volume_status *status)
{
	const char *separator = "          and with the write caches of ";

	for (size_t i = 0; i < status->disks.count; i++) {
		const struct volume_disk *disk = &status->disks.items[i];

		if (!disk->volatile_cache)
			continue;
		put_format(pen, "%s%s:%s", separator, disk->node, disk->path);
		separator = ", ";
	}
	if (separator[0] == ',')
		put(pen, ", when their nodes lose power\n");
}

static void draw_head(struct pen *pen, const struct volume_status *status)
{
	const struct volume *volume = status->volume;
	char uuid[UUID_TEXT_SIZE];

	uuid_text_format(volume->uuid, uuid);
	put_format(pen, "volume %s  v%" PRIu64 "  ", volume->name, volume->id);
	put_size(pen, volume->size_bytes);
	put_format(pen, "  %s\n", ENUM_NAME(volume_phase, volume->phase));
	put_format(pen, "  nqn     %s\n", status->nqn);
	put_format(pen, "  uuid    %s\n", uuid);
	put_format(pen, "  writes  %s\n",
		   volume->durability == DURABILITY_STRICT
			   ? "strict: what is acknowledged survives everything"
			   : "flush: what is acknowledged and was not flushed may be lost with a controller");
	if (volume->durability != DURABILITY_STRICT)
		draw_caches(pen, status);
	put_format(pen, "  layout  %" PRIu64 " %s, apart by %s, %s, striped over %zu %s by ", volume->copies,
		   volume->copies == 1 ? "copy" : "copies", ENUM_NAME(spread, volume->spread),
		   ENUM_NAME(provision, volume->provision), volume->legs.count,
		   volume->legs.count == 1 ? "leg" : "legs");
	put_size(pen, volume->stripe_bytes);
	put(pen, "\n");
	if (volume->hosts.count == 0)
		put(pen, "  hosts   none attached\n");
	for (size_t i = 0; i < volume->hosts.count; i++)
		put_format(pen, "  %s  %s\n", i == 0 ? "hosts " : "      ", volume->hosts.items[i]);
}

static void draw_foot(struct pen *pen, const struct volume_status *status)
{
	if (status->waits_for != NULL && status->waits_for[0] != '\0')
		put_format(pen, "waits for: %s\n", status->waits_for);
	if (status->problems.count > 0)
		put(pen, "problems:\n");
	for (size_t i = 0; i < status->problems.count; i++) {
		const struct object_status *problem = &status->problems.items[i];

		put_format(pen, "  %s %s is %s", ENUM_NAME(object_kind, problem->kind), problem->id,
			   ENUM_NAME(object_state, problem->state));
		if (problem->message != NULL && problem->message[0] != '\0')
			put_format(pen, ": %s", problem->message);
		put(pen, "\n");
	}
}

int picture_draw(const struct volume_status *status, bool utf8, struct buffer *output)
{
	struct pen pen = { .output = output, .utf8 = utf8 };
	const struct volume *volume = status->volume;
	size_t standbys = 0, seen = 0;

	draw_head(&pen, status);
	for (size_t i = 0; i < volume->controllers.count; i++)
		standbys += volume->controllers.items[i].role == CONTROLLER_ROLE_STANDBY;
	for (size_t i = 0; i < volume->slots.count; i++)
		draw_slot(&pen, status, i, standbys == 0 && i + 1 == volume->slots.count);
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (volume->controllers.items[i].role == CONTROLLER_ROLE_STANDBY)
			draw_standby(&pen, status, volume->controllers.items[i].node, ++seen == standbys);
	}
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (volume->controllers.items[i].role == CONTROLLER_ROLE_RETIRED)
			draw_retired(&pen, &volume->controllers.items[i]);
	}
	for (size_t i = 0; i < volume->leaving.count; i++)
		draw_leaving(&pen, &volume->leaving.items[i]);
	for (size_t i = 0; i < volume->forced.count; i++)
		draw_forced(&pen, &volume->forced.items[i]);
	draw_foot(&pen, status);
	return pen.failed;
}
