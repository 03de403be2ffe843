/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/status.h"

#include <stdio.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"

struct maker {
	const struct desired *desired;
	const struct observed *observed;
	const struct plan *plan;
	const struct status_lane_list *lanes;
	struct arena *arena;
	struct object_status_list *statuses;
	bool top_alone; /* of the volume that is told of */
};

static const struct status_lane *lane_find(const struct maker *maker, const char *lane)
{
	for (size_t i = 0; i < maker->lanes->count; i++) {
		if (strcmp(maker->lanes->items[i].lane, lane) == 0)
			return &maker->lanes->items[i];
	}
	return NULL;
}

/* The worst wins: a failure is told before what merely waits. */
static void take(struct object_status *status, enum object_state state, const char *message)
{
	if (status->state == OBJECT_STATE_FAILED ||
	    (status->state == state && status->message != NULL && status->message[0] != '\0'))
		return;
	status->state = state;
	status->message = message;
}

/* A thing that somebody sees in a kernel although its object is no longer wanted. */
static const char *remains(const struct maker *maker, enum object_kind kind, const char *id)
{
	const struct observed *observed = maker->observed;
	const char *cluster = maker->desired->cluster;
	struct owner owner;

	for (size_t i = 0; i < observed->subsystems.count; i++) {
		if (owner_of_subsystem(cluster, observed->subsystems.items[i].nqn, &owner) &&
		    owner_is_within(&owner, kind, id))
			return observed->subsystems.items[i].nqn;
	}
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_dm *dm = &observed->dms.items[i];

		if (dm->uuid != NULL && owner_of_dm(cluster, dm->uuid, &owner) && owner_is_within(&owner, kind, id))
			return dm->name;
	}
	for (size_t i = 0; i < observed->imports.count; i++) {
		const struct observed_import *import = &observed->imports.items[i];

		if (import->host_nqn != NULL && strcmp(import->host_nqn, maker->desired->host_nqn) == 0 &&
		    owner_of_import(cluster, import->nqn, &owner) && owner_is(&owner, kind, id))
			return import->nqn;
	}
	for (size_t i = 0; i < observed->ports.count; i++) {
		const struct observed_port *port = &observed->ports.items[i];

		if (owner_of_port(cluster, port->mark, port->id, &owner) && owner_is(&owner, kind, id))
			return port->mark;
	}
	return NULL;
}

/* A volume on its way out: its export to hosts and its stripe go, and its legs stay until they went everywhere. What
 * these wait for, a rebuild or a path, does not count: nobody sees to that any more. */
static bool is_going(const struct desired_volume *volume)
{
	return volume->legs_wanted && !volume->top_wanted && !volume->unused;
}

static bool is_top(const struct owner *owner, const char *id)
{
	struct owner top = { .kind = OBJECT_KIND_VOLUME }, out;

	snprintf(top.id, sizeof(top.id), "%s", id);
	snprintf(top.lane, sizeof(top.lane), "%s", id);
	owner_out_make(&top, &out);
	return owner_is(owner, OBJECT_KIND_VOLUME, id) &&
	       (strcmp(owner->lane, top.lane) == 0 || strcmp(owner->lane, out.lane) == 0);
}

static bool volume_is_wanted(const struct desired_volume_list *volumes, const char *id)
{
	char text[NAMES_ID_SIZE];

	for (size_t i = 0; i < volumes->count; i++) {
		names_id_format("v", volumes->items[i].id, text);
		if (strcmp(text, id) == 0)
			return true;
	}
	return false;
}

/* A volume speaks for the exports to its consumers, too, unless they are objects of the desired state themselves. For
 * its snapshots only when it goes: no slot waits for them. */
static bool concerns(const struct maker *maker, const struct owner *owner, enum object_kind kind, const char *id)
{
	const struct desired_volume_list *volumes = &maker->desired->volumes;

	if (maker->top_alone && kind == OBJECT_KIND_VOLUME)
		return is_top(owner, id);
	if (!owner_is_within(owner, kind, id) || owner_is(owner, kind, id))
		return owner_is(owner, kind, id);
	if (owner->kind == OBJECT_KIND_SNAPSHOT)
		return !volume_is_wanted(volumes, id);
	for (size_t i = 0; i < volumes->count; i++) {
		for (size_t j = 0; j < volumes->items[i].consumers.count; j++) {
			if (strcmp(volumes->items[i].consumers.items[j].id, owner->id) == 0)
				return false;
		}
	}
	return true;
}

static int add(struct maker *maker, enum object_kind kind, const char *id, uint64_t revision, bool removed)
{
	struct object_status *status = LIST_PUSH(maker->arena, maker->statuses);
	const char *rest = removed ? remains(maker, kind, id) : NULL;
	struct buffer text = BUFFER_INIT;
	const char *step = NULL;

	if (status == NULL)
		return -1;
	status->kind = kind;
	status->id = arena_strdup(maker->arena, id);
	status->revision = revision;
	status->state = removed ? OBJECT_STATE_ABSENT : OBJECT_STATE_CONVERGED;
	status->message = "";
	if (status->id == NULL)
		return -1;
	if (rest != NULL) {
		status->message = arena_printf(maker->arena, "%s is still there", rest);
		status->state = OBJECT_STATE_PENDING;
		if (status->message == NULL)
			return -1;
	}
	/* Calls that are under way, or failed, or do not return. */
	for (size_t i = 0; i < maker->lanes->count; i++) {
		const struct status_lane *lane = &maker->lanes->items[i];

		if (!concerns(maker, &lane->owner, kind, id))
			continue;
		if (lane->stuck != NULL)
			take(status, OBJECT_STATE_FAILED,
			     arena_printf(maker->arena, "a kernel call does not return: %s", lane->stuck));
		else if (lane->failure != NULL)
			take(status, OBJECT_STATE_FAILED, arena_strdup(maker->arena, lane->failure));
		else if (lane->busy)
			take(status, OBJECT_STATE_PENDING, "work is under way");
		if (lane->step != NULL)
			step = lane->step;
		if (status->message == NULL)
			return -1;
	}
	for (size_t i = 0; i < maker->plan->notes.count; i++) {
		const struct plan_note *note = &maker->plan->notes.items[i];
		const struct status_lane *lane = note->lane[0] != '\0' ? lane_find(maker, note->lane) : NULL;

		if (!concerns(maker, &note->owner, kind, id))
			continue;
		/* There is nothing left to do but for what is below it, which goes with all the rest. */
		if (maker->top_alone && kind == OBJECT_KIND_VOLUME && note->kind == PLAN_NOTE_WAITS)
			continue;
		if (lane != NULL && lane->failure != NULL)
			take(status, OBJECT_STATE_FAILED, arena_strdup(maker->arena, lane->failure));
		else
			take(status, note->kind == PLAN_NOTE_FAILS ? OBJECT_STATE_FAILED : OBJECT_STATE_PENDING,
			     arena_strdup(maker->arena, note->text));
		if (status->message == NULL)
			return -1;
	}
	for (size_t i = 0; i < maker->plan->actions.count && status->state != OBJECT_STATE_FAILED; i++) {
		const struct action *action = &maker->plan->actions.items[i];

		if (!concerns(maker, &action->owner, kind, id))
			continue;
		if (action_print(action, &text) != 0 ||
		    (status->message = arena_strndup(maker->arena, (const char *)text.data,
						     text.size < LIMIT_TEXT ? text.size : LIMIT_TEXT)) == NULL) {
			buffer_free(&text);
			return -1;
		}
		status->state = OBJECT_STATE_PENDING;
		buffer_free(&text);
		break;
	}
	/* Better than what comes next is how far this came. */
	if (step != NULL && status->state == OBJECT_STATE_PENDING &&
	    (status->message = arena_strdup(maker->arena, step)) == NULL)
		return -1;
	return 0;
}

/* The exports to consumers behind their volume. An active controller has not arrived before the consumers that may use
 * its legs can; one that is shut out does not count. */
static int volume_add(struct maker *maker, const struct desired_volume *volume)
{
	size_t place = maker->statuses->count;
	char id[NAMES_ID_SIZE];

	names_id_format("v", volume->id, id);
	maker->top_alone = is_going(volume);
	if (add(maker, OBJECT_KIND_VOLUME, id, volume->revision, false) != 0)
		return -1;
	for (size_t i = 0; i < volume->consumers.count; i++) {
		const struct desired_consumer *consumer = &volume->consumers.items[i];
		struct object_status *own, *of_volume;

		if (add(maker, OBJECT_KIND_CONSUMER, consumer->id, volume->revision, false) != 0)
			return -1;
		own = &maker->statuses->items[maker->statuses->count - 1];
		of_volume = &maker->statuses->items[place];
		if (maker->top_alone || volume->role != CONTROLLER_ROLE_ACTIVE || consumer->parked ||
		    own->state == OBJECT_STATE_CONVERGED)
			continue;
		take(of_volume, own->state, arena_strdup(maker->arena, own->message));
		if (of_volume->message == NULL)
			return -1;
	}
	return 0;
}

/* What its LDs returned. Of those that returned nothing, nothing is said. */
static int export_add(struct maker *maker, const struct desired_export *export)
{
	const struct ld_errors_list *errors = &maker->observed->errors;
	struct object_status *status;

	if (add(maker, OBJECT_KIND_EXPORT, export->id, export->revision, false) != 0)
		return -1;
	status = &maker->statuses->items[maker->statuses->count - 1];
	for (size_t i = 0; i < errors->count; i++) {
		const struct ld_errors *found = &errors->items[i];
		struct ld_errors *told;
		bool wanted = false;

		for (size_t j = 0; j < export->lds.count && !wanted; j++)
			wanted = export->lds.items[j].id == found->ld;
		if (!wanted || (found->reads == 0 && found->writes == 0 && !found->missed))
			continue;
		told = LIST_PUSH(maker->arena, &status->errors);
		if (told == NULL)
			return -1;
		*told = *found;
	}
	return 0;
}

int status_make(const struct desired *desired, const struct observed *observed, const struct plan *plan,
		const struct status_lane_list *lanes, struct arena *arena, struct object_status_list *ret_statuses,
		struct error *error)
{
	struct object_status_list statuses = { 0 };
	struct maker maker = { desired, observed, plan, lanes, arena, &statuses, false };
	char id[NAMES_ID_SIZE];
	int code = 0;

	for (size_t i = 0; i < desired->disks.count && code == 0; i++) {
		names_id_format("d", desired->disks.items[i].id, id);
		code = add(&maker, OBJECT_KIND_DISK, id, desired->disks.items[i].revision, false);
	}
	for (size_t i = 0; i < desired->exports.count && code == 0; i++)
		code = export_add(&maker, &desired->exports.items[i]);
	for (size_t i = 0; i < desired->volumes.count && code == 0; i++)
		code = volume_add(&maker, &desired->volumes.items[i]);
	maker.top_alone = false;
	for (size_t i = 0; i < desired->removed.count && code == 0; i++)
		code = add(&maker, desired->removed.items[i].kind, desired->removed.items[i].id,
			   desired->removed.items[i].revision, true);
	if (code != 0)
		return error_set_nomem(error);
	*ret_statuses = statuses;
	return 0;
}
