/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/online.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/model/names.h"
#include "src/leader/excuse.h"
#include "src/leader/members.h"
#include "src/leader/moves.h"
#include "src/leader/slots.h"
#include "src/leader/standbys.h"
#include "src/leader/volumes.h"

const struct online_node *online_node(const struct online_view *view, const char *name)
{
	for (size_t i = 0; i < view->node_count; i++) {
		if (strcmp(view->nodes[i].name, name) == 0)
			return &view->nodes[i];
	}
	return NULL;
}

const struct online_disk *online_disk(const struct online_view *view, uint64_t id)
{
	for (size_t i = 0; i < view->disk_count; i++) {
		if (view->disks[i].id == id)
			return &view->disks[i];
	}
	return NULL;
}

static const struct object_status *status_of(const struct online_node *node, enum object_kind kind, const char *id)
{
	return node != NULL && node->reported != NULL ? reported_get(node->reported, kind, id) : NULL;
}

const struct object_status *online_export(const struct online_view *view, uint64_t disk, uint64_t slot)
{
	const struct online_disk *found = online_disk(view, disk);
	char id[NAMES_ID_SIZE * 3];

	names_export_id(disk, view->volume->id, slot, id);
	return found != NULL ? status_of(found->node, OBJECT_KIND_EXPORT, id) : NULL;
}

const struct object_status *online_controller(const struct online_view *view, const char *node)
{
	char id[NAMES_ID_SIZE];

	names_id_format("v", view->volume->id, id);
	return status_of(online_node(view, node), OBJECT_KIND_VOLUME, id);
}

const struct reported_health *online_health(const struct online_view *view, const char *node)
{
	const struct online_node *found = online_node(view, node);

	return found != NULL && found->reported != NULL ? reported_health_get(found->reported, view->volume->id) : NULL;
}

bool online_is(const struct online_node *node, enum health health)
{
	return node != NULL && node->health == health;
}

bool online_at(const struct online_view *view, const struct object_status *status, enum object_state state)
{
	return status != NULL && status->state == state && status->revision >= view->volume->revision;
}

bool online_export_confirmed(const struct online_view *view, uint64_t disk, uint64_t slot, bool made)
{
	const struct online_disk *found = online_disk(view, disk);
	const struct object_status *status = online_export(view, disk, slot);

	if (found == NULL || found->node == NULL || found->node->health == HEALTH_OFFLINE)
		return false;
	return online_at(view, status, OBJECT_STATE_CONVERGED) ||
	       (!made && online_at(view, status, OBJECT_STATE_ABSENT));
}

const struct ld_errors *online_errors_told(const struct online_view *view, const struct ld *ld, uint64_t slot)
{
	const struct object_status *status = online_export(view, ld->disk, slot);

	for (size_t i = 0; status != NULL && i < status->errors.count; i++) {
		if (status->errors.items[i].ld == ld->id)
			return &status->errors.items[i];
	}
	return NULL;
}

const struct ld_errors *online_errors(const struct online_view *view, const struct ld *ld, uint64_t slot)
{
	const struct ld_errors *errors = online_errors_told(view, ld, slot);

	return errors != NULL && ld->drain == 0 && excuse_is_about(view, ld, errors) ? NULL : errors;
}

void online_look(struct online_step *step, uint64_t after_ms)
{
	/* A turn of the loop at least: what is due now was not enough just now. */
	if (after_ms == 0)
		after_ms = 1;
	if (after_ms < step->look_again_ms)
		step->look_again_ms = after_ms;
}

static void outlook_add(struct online_outlook *outlook, const struct online_prospect *prospect)
{
	for (size_t i = 0; i < outlook->count; i++) {
		if (strcmp(outlook->items[i].text, prospect->text) == 0)
			return;
	}
	if (outlook->count < ONLINE_PROSPECTS)
		outlook->items[outlook->count++] = *prospect;
}

int online_wait_expected(struct online_step *step, const char *text, struct error *error)
{
	if (text == NULL)
		return error_set_nomem(error);
	if (step->waits_for == NULL)
		step->waits_for = text;
	return 0;
}

int online_wait(struct online_step *step, const char *text, struct error *error)
{
	if (online_wait_expected(step, text, error) != 0)
		return ERROR_INTERNAL;
	if (step->outlook != NULL)
		outlook_add(step->outlook, &(struct online_prospect){ .text = text, .after_ms = ONLINE_LOOK_NEVER });
	return 0;
}

int online_expect(struct online_step *step, struct arena *arena, uint64_t after_ms, uint64_t replace_ld,
		  struct error *error, const char *format, ...)
{
	char text[LIMIT_TEXT + 1];
	const char *copy;
	va_list arguments;

	if (step->outlook == NULL)
		return 0;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	copy = arena_strdup(arena, text);
	if (copy == NULL)
		return error_set_nomem(error);
	outlook_add(step->outlook,
		    &(struct online_prospect){ .text = copy, .after_ms = after_ms, .replace_ld = replace_ld });
	return 0;
}

bool online_is_asked(const struct online_step *step)
{
	return step->waits_for == NULL || step->outlook != NULL;
}

static int wait_part(const struct online_view *view, const struct volumes_part *part, enum object_state state,
		     struct arena *arena, struct online_step *step, struct error *error)
{
	if (!online_is_asked(step))
		return 0;
	return online_wait(step, volumes_part_sentence(part, state, view->volume->revision, arena), error);
}

int online_wait_export(const struct online_view *view, uint64_t disk, uint64_t slot, struct arena *arena,
		       struct online_step *step, struct error *error)
{
	const struct online_disk *found = online_disk(view, disk);
	const struct online_node *node = found != NULL ? found->node : NULL;
	struct volumes_part part = { .kind = OBJECT_KIND_EXPORT,
				     .node = node != NULL ? node->name : NULL,
				     .health = node != NULL ? node->health : HEALTH_UNKNOWN,
				     .status = online_export(view, disk, slot) };

	names_export_id(disk, view->volume->id, slot, part.id);
	return wait_part(view, &part, OBJECT_STATE_CONVERGED, arena, step, error);
}

int online_wait_controller(const struct online_view *view, const char *name, enum object_state state,
			   struct arena *arena, struct online_step *step, struct error *error)
{
	const struct online_node *node = online_node(view, name);
	struct volumes_part part = { .kind = OBJECT_KIND_VOLUME,
				     .node = name,
				     .health = node != NULL ? node->health : HEALTH_UNKNOWN,
				     .status = online_controller(view, name) };

	names_id_format("v", view->volume->id, part.id);
	return wait_part(view, &part, state, arena, step, error);
}

struct command *online_command(struct arena *arena, size_t size, void *ret_record, struct error *error)
{
	struct command *command = arena_alloc(arena, sizeof(*command));
	void *record = arena_alloc(arena, size);

	if (command == NULL || record == NULL) {
		error_set_nomem(error);
		return NULL;
	}
	*(void **)ret_record = record;
	return command;
}

int online_job_advance(const struct online_view *view, const struct operation *operation, enum operation_phase to,
		       struct arena *arena, struct online_step *step, struct error *error)
{
	struct command_job_advance *advance;

	step->command = online_command(arena, sizeof(*advance), &advance, error);
	if (step->command == NULL)
		return error->code;
	*advance = (struct command_job_advance){
		.id = operation->id, .from = operation->phase, .to = to, .revision = view->volume->revision
	};
	step->command->job_advance = advance;
	return 0;
}

int online_ld_append(struct string_list *lds, uint64_t ld, struct arena *arena, struct error *error)
{
	char id[NAMES_ID_SIZE];
	char *text;

	if (lds->items == NULL)
		lds->items = arena_alloc_array(arena, LIMIT_LEGS * LIMIT_COPIES, sizeof(*lds->items));
	if (lds->items == NULL)
		return error_set_nomem(error);
	if (lds->count == LIMIT_LEGS * LIMIT_COPIES)
		return 0;
	names_id_format("ld", ld, id);
	text = arena_strdup(arena, id);
	if (text == NULL)
		return error_set_nomem(error);
	lds->items[lds->count++] = text;
	return 0;
}

static int all_steps(const struct online_view *view, struct arena *arena, struct online_step *step, struct error *error)
{
	int rv = slots_step(view, arena, step, error);

	if (rv == 0 && step->command == NULL)
		rv = members_step(view, arena, step, error);
	if (rv == 0 && step->command == NULL)
		rv = standbys_step(view, arena, step, error);
	if (rv == 0 && step->command == NULL)
		rv = moves_step(view, arena, step, error);
	return rv;
}

int online_step(const struct online_view *view, struct arena *arena, struct online_step *ret_step, struct error *error)
{
	struct online_step step = ONLINE_STEP_INIT;
	int rv = all_steps(view, arena, &step, error);

	if (rv == 0)
		*ret_step = step;
	return rv;
}

int online_foresee(const struct online_view *view, struct arena *arena, struct online_outlook *outlook,
		   struct online_step *ret_step, struct error *error)
{
	struct online_step step = ONLINE_STEP_INIT;
	int rv;

	step.outlook = outlook;
	rv = all_steps(view, arena, &step, error);
	if (rv == 0)
		*ret_step = step;
	return rv;
}
