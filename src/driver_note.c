/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/driver_note.h"

#include <stdio.h>
#include <stdlib.h>

static void note_write(struct driver_note *note, unsigned long long id, const struct command *command)
{
	int length = 0;

	if (command->volume_advance != NULL) {
		note->message = "volume advances";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu from=%s to=%s", id,
				  ENUM_NAME(volume_phase, command->volume_advance->from),
				  ENUM_NAME(volume_phase, command->volume_advance->to));
	} else if (command->slot_move != NULL) {
		note->message = "slot moves";
		length = snprintf(
			note->fields, sizeof(note->fields), "volume=v%llu slot=%llu epoch=%llu to=%s reason=%s", id,
			(unsigned long long)command->slot_move->slot, (unsigned long long)command->slot_move->epoch + 1,
			command->slot_move->to, ENUM_NAME(move_reason, command->slot_move->reason));
	} else if (command->lds_stale != NULL) {
		note->message = "members are stale";
		length =
			snprintf(note->fields, sizeof(note->fields),
				 "volume=v%llu slot=%llu epoch=%llu lds=%zu first=%s reason=%s", id,
				 (unsigned long long)command->lds_stale->slot,
				 (unsigned long long)command->lds_stale->epoch, command->lds_stale->lds.count,
				 command->lds_stale->lds.items[0], ENUM_NAME(stale_reason, command->lds_stale->reason));
	} else if (command->ld_rebuild != NULL) {
		note->message = "member is rebuilt";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu resync=%s", id,
				  (unsigned long long)command->ld_rebuild->ld,
				  command->ld_rebuild->resync ? "yes" : "no");
	} else if (command->ld_in_sync != NULL) {
		note->message = "member is in sync";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_in_sync->ld);
	} else if (command->ld_settle != NULL) {
		note->message = command->ld_settle->left ? "its group goes on without the member"
							 : "member has everything, says its holder";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_settle->ld);
	} else if (command->ld_drain != NULL) {
		note->message = "member failed to read, its holder looks whether its group repaired that";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu reads=%llu", id,
				  (unsigned long long)command->ld_drain->ld,
				  (unsigned long long)command->ld_drain->failed_reads->reads);
	} else if (command->ld_excuse != NULL) {
		note->message = "what the member failed to read is repaired";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_excuse->ld);
	} else if (command->ld_replace != NULL) {
		note->message = "another disk takes the place of a lost member";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu disk=d%llu", id,
				  (unsigned long long)command->ld_replace->ld,
				  (unsigned long long)command->ld_replace->disk);
	} else if (command->ld_move != NULL) {
		note->message = "an LD moves to another disk";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu disk=d%llu", id,
				  (unsigned long long)command->ld_move->ld, (unsigned long long)command->ld_move->disk);
	} else if (command->ld_moved != NULL) {
		note->message = "an LD moved to another disk";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_moved->ld);
	} else if (command->controller_add != NULL) {
		note->message = "standby added";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu node=%s", id,
				  command->controller_add->node);
	} else if (command->controller_retire != NULL) {
		note->message = "standby retired";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu node=%s", id,
				  command->controller_retire->node);
	} else if (command->job_advance != NULL) {
		note->message = "job advances";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu job=j%llu from=%s to=%s", id,
				  (unsigned long long)command->job_advance->id,
				  ENUM_NAME(operation_phase, command->job_advance->from),
				  ENUM_NAME(operation_phase, command->job_advance->to));
	} else if (command->snapshot_retry != NULL) {
		note->message = "a snapshot is tried again";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu job=j%llu reason=\"%s\"", id,
				  (unsigned long long)command->snapshot_retry->id,
				  command->snapshot_retry->error->message);
	} else if (command->job_fail != NULL) {
		note->message = "job fails, and is undone";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu job=j%llu reason=\"%s\"", id,
				  (unsigned long long)command->job_fail->id, command->job_fail->error->message);
	} else if (command->controller_drop != NULL) {
		note->message = "controller dropped";
		length = snprintf(note->fields, sizeof(note->fields), "volume=v%llu node=%s", id,
				  command->controller_drop->node);
	}
	(void)length;
}

struct driver_note *driver_note_make(uint64_t volume, const struct command *command)
{
	struct driver_note *note = malloc(sizeof(*note));

	if (note == NULL)
		return NULL;
	note->message = NULL;
	note_write(note, volume, command);
	if (note->message != NULL)
		return note;
	free(note);
	return NULL;
}
