/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/driver.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/driver_online.h"
#include "src/due.h"
#include "src/list.h"
#include "src/request.h"
#include "src/table.h"

#define TRANSITION_PAGE 1024u
/* Between two looks at the network; the rest waits for the next turn of the loop. */
#define BUDGET_NS 20000000u

#define SLOW_LOOK_MS 1000u /* after a failure that nothing else would end */
#define NOTE_SIZE 256

/* Rebuilds of a volume that a holder works at; they count at the holder's agent. */
struct share {
	char holder[LIMIT_NAME + 1];
	uint64_t count;
};

/* A volume that is to be looked at, has a proposal under way, or something whose time is counted. */
struct driver_volume {
	struct driver *driver;
	struct dnvmed *dnvmed;
	struct list dirty_link; /* in driver->dirty or driver->later */
	struct due_entry due;
	uint64_t id;
	bool under_way;
	char note[NOTE_SIZE]; /* fields for the log once the proposal is applied */
	const char *note_message;
	struct moments moments;
	struct share *shares; /* owned */
	size_t share_count;
};

struct driver {
	struct table volumes; /* "v1" -> struct driver_volume */
	struct list dirty;
	struct list later;
	struct due due;
};

struct driver *driver_make(void)
{
	struct driver *driver = calloc(1, sizeof(*driver));

	if (driver != NULL) {
		list_init(&driver->dirty);
		list_init(&driver->later);
	}
	return driver;
}

static void shares_end(struct driver_volume *volume)
{
	for (size_t i = 0; i < volume->share_count; i++) {
		const struct share *share = &volume->shares[i];
		struct agent *agent = agents_get(volume->dnvmed, share->holder);

		/* The node may have been forgotten, and be back with nothing. */
		if (agent != NULL)
			agent->rebuilds -= share->count < agent->rebuilds ? share->count : agent->rebuilds;
	}
	free(volume->shares);
	volume->shares = NULL;
	volume->share_count = 0;
}

/* Nothing is counted any more: the volume is gone, or this server does not lead. */
static void volume_settle(struct driver_volume *volume)
{
	shares_end(volume);
	moments_clear(&volume->moments);
	due_remove(&volume->driver->due, &volume->due);
}

static void volume_free(struct driver_volume *volume)
{
	char key[NAMES_ID_SIZE];

	names_id_format("v", volume->id, key);
	table_remove(&volume->driver->volumes, key);
	list_remove(&volume->dirty_link);
	volume_settle(volume);
	free(volume);
}

static void free_if_idle(struct driver_volume *volume)
{
	if (!volume->under_way && list_is_empty(&volume->dirty_link) && volume->due.place == 0 &&
	    moments_are_quiet(&volume->moments))
		volume_free(volume);
}

void driver_free(struct driver *driver)
{
	struct table_entry *entry;

	if (driver == NULL)
		return;
	while ((entry = table_any(&driver->volumes)) != NULL)
		volume_free(entry->value);
	table_free(&driver->volumes);
	due_free(&driver->due);
	free(driver);
}

static struct driver_volume *volume_get(struct dnvmed *dnvmed, uint64_t id)
{
	struct driver *driver = dnvmed->driver;
	struct driver_volume *volume;
	char key[NAMES_ID_SIZE];

	names_id_format("v", id, key);
	volume = table_get(&driver->volumes, key);
	if (volume != NULL)
		return volume;
	volume = calloc(1, sizeof(*volume));
	if (volume == NULL)
		return NULL;
	volume->driver = driver;
	volume->dnvmed = dnvmed;
	volume->id = id;
	list_init(&volume->dirty_link);
	if (table_put(&driver->volumes, key, volume) != 0) {
		free(volume);
		return NULL;
	}
	return volume;
}

void driver_volume_dirty(struct dnvmed *dnvmed, uint64_t id)
{
	struct driver_volume *volume;

	if (!dnvmed->leader_ready)
		return;
	volume = volume_get(dnvmed, id);
	if (volume == NULL) {
		log_error("out of memory: a volume has to wait for its next event", "volume=v%llu",
			  (unsigned long long)id);
		return;
	}
	if (list_is_empty(&volume->dirty_link))
		list_append(&dnvmed->driver->dirty, &volume->dirty_link);
}

static void all_dirty(struct dnvmed *dnvmed)
{
	uint64_t after = 0;
	size_t count;

	do {
		struct arena arena = ARENA_INIT;
		struct error error;
		uint64_t *ids;

		count = 0;
		if (fsm_transition_list(dnvmed->fsm, after, TRANSITION_PAGE, &arena, &ids, &count, &error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot list volumes in transition", &error);
			count = 0;
		}
		for (size_t i = 0; i < count; i++)
			driver_volume_dirty(dnvmed, after = ids[i]);
		arena_free(&arena);
	} while (count == TRANSITION_PAGE);
}

void driver_leader_begin(struct dnvmed *dnvmed)
{
	all_dirty(dnvmed);
}

void driver_leader_end(struct dnvmed *dnvmed)
{
	struct driver *driver = dnvmed->driver;
	struct table_entry *entry, *next;

	for (entry = table_next(&driver->volumes, NULL); entry != NULL; entry = next) {
		struct driver_volume *volume = entry->value;

		next = table_next(&driver->volumes, entry);
		list_remove(&volume->dirty_link);
		volume_settle(volume);
		free_if_idle(volume);
	}
}

void driver_node_changed(struct dnvmed *dnvmed, const char *node)
{
	uint64_t after = 0;
	size_t count = 0;

	if (!dnvmed->leader_ready)
		return;
	do {
		struct arena arena = ARENA_INIT;
		struct error error;
		uint64_t *ids;

		if (fsm_node_volume_list(dnvmed->fsm, node, after, TRANSITION_PAGE, &arena, &ids, &count, &error) !=
		    0) {
			log_failure(LOG_LEVEL_ERROR, "cannot list the volumes of a node", &error);
			count = 0;
		}
		for (size_t i = 0; i < count; i++)
			driver_volume_dirty(dnvmed, after = ids[i]);
		arena_free(&arena);
	} while (count == TRANSITION_PAGE);
}

void driver_settings_changed(struct dnvmed *dnvmed)
{
	if (dnvmed->leader_ready)
		all_dirty(dnvmed);
}

int driver_parts(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
		 struct volumes_parts *ret_parts, struct error *error)
{
	struct volumes_parts parts;
	int rv = volumes_parts_list(volume, arena, &parts, error);

	for (size_t i = 0; rv == 0 && i < parts.count; i++) {
		struct volumes_part *part = &parts.items[i];
		const struct agent *agent;
		struct disk disk;

		if (part->kind == OBJECT_KIND_EXPORT) {
			rv = fsm_disk_get(dnvmed->fsm, part->disk, arena, &disk, error);
			if (rv != 0)
				break;
			part->node = disk.node;
		}
		agent = agents_get(dnvmed, part->node);
		if (agent == NULL)
			continue;
		part->health = agent->health.state;
		part->status = reported_get(&agent->reported, part->kind, part->id);
	}
	if (rv == 0)
		*ret_parts = parts;
	return rv;
}

static void look_in(struct driver_volume *volume, uint64_t after_ms)
{
	if (due_put(&volume->driver->due, &volume->due, clock_boot_ms() + after_ms) != 0) {
		/* Then with the next tick. */
		list_remove(&volume->dirty_link);
		list_append(&volume->driver->later, &volume->dirty_link);
	}
}

static void on_proposed(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct driver_volume *volume = data;
	struct dnvmed *dnvmed = volume->dnvmed;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	(void)unknown; /* the next leader works it out again */
	/* The end of leadership frees every volume that nothing is under way for; this one is needed until the end. */
	if (failure != NULL)
		dnvmed_leadership_check(dnvmed);
	volume->under_way = false;
	if (failure != NULL) {
		/* Still the leader: the log had no room. Nobody else would ask again. */
		if (dnvmed->leader_ready && list_is_empty(&volume->dirty_link))
			list_append(&volume->driver->later, &volume->dirty_link);
	} else if (codec_decode(schema_outcome(), bytes, &arena, &outcome, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot read the outcome of a volume's next step", &error);
	} else if (outcome.code != 0 && outcome.code != ERROR_CONFLICT && outcome.code != ERROR_NOT_FOUND) {
		log_error("a volume's next step was refused", "volume=v%llu reason=\"%s\"",
			  (unsigned long long)volume->id, outcome.message);
		/* Asked again at once it would be refused again. */
		if (dnvmed->leader_ready)
			look_in(volume, SLOW_LOOK_MS);
	} else {
		if (outcome.code == 0 && volume->note_message != NULL)
			log_notice(volume->note_message, "%s", volume->note);
		if (dnvmed->leader_ready)
			driver_volume_dirty(dnvmed, volume->id);
	}
	arena_free(&arena);
	free_if_idle(volume);
}

/* What the log says of a command once it is applied. */
static void note(struct driver_volume *volume, const struct command *command)
{
	unsigned long long id = volume->id;
	int length = 0;

	volume->note_message = NULL;
	if (command->volume_advance != NULL) {
		volume->note_message = "volume advances";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu from=%s to=%s", id,
				  ENUM_NAME(volume_phase, command->volume_advance->from),
				  ENUM_NAME(volume_phase, command->volume_advance->to));
	} else if (command->slot_move != NULL) {
		volume->note_message = "slot moves";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu slot=%llu epoch=%llu to=%s reason=%s", id,
				  (unsigned long long)command->slot_move->slot,
				  (unsigned long long)command->slot_move->epoch + 1, command->slot_move->to,
				  ENUM_NAME(move_reason, command->slot_move->reason));
	} else if (command->lds_stale != NULL) {
		volume->note_message = "members are stale";
		length = snprintf(
			volume->note, NOTE_SIZE, "volume=v%llu slot=%llu epoch=%llu lds=%zu first=%s reason=%s", id,
			(unsigned long long)command->lds_stale->slot, (unsigned long long)command->lds_stale->epoch,
			command->lds_stale->lds.count, command->lds_stale->lds.items[0],
			ENUM_NAME(stale_reason, command->lds_stale->reason));
	} else if (command->ld_rebuild != NULL) {
		volume->note_message = "member is rebuilt";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu resync=%s", id,
				  (unsigned long long)command->ld_rebuild->ld,
				  command->ld_rebuild->resync ? "yes" : "no");
	} else if (command->ld_in_sync != NULL) {
		volume->note_message = "member is in sync";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_in_sync->ld);
	} else if (command->ld_settle != NULL) {
		volume->note_message = command->ld_settle->left ? "its group goes on without the member"
								: "member has everything, says its holder";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_settle->ld);
	} else if (command->ld_drain != NULL) {
		volume->note_message = "member failed to read, its holder looks whether its group repaired that";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu reads=%llu", id,
				  (unsigned long long)command->ld_drain->ld,
				  (unsigned long long)command->ld_drain->failed_reads->reads);
	} else if (command->ld_excuse != NULL) {
		volume->note_message = "what the member failed to read is repaired";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_excuse->ld);
	} else if (command->ld_replace != NULL) {
		volume->note_message = "another disk takes the place of a lost member";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu disk=d%llu", id,
				  (unsigned long long)command->ld_replace->ld,
				  (unsigned long long)command->ld_replace->disk);
	} else if (command->ld_move != NULL) {
		volume->note_message = "an LD moves to another disk";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu disk=d%llu", id,
				  (unsigned long long)command->ld_move->ld, (unsigned long long)command->ld_move->disk);
	} else if (command->ld_moved != NULL) {
		volume->note_message = "an LD moved to another disk";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu ld=ld%llu", id,
				  (unsigned long long)command->ld_moved->ld);
	} else if (command->controller_add != NULL) {
		volume->note_message = "standby added";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu node=%s", id, command->controller_add->node);
	} else if (command->controller_retire != NULL) {
		volume->note_message = "standby retired";
		length =
			snprintf(volume->note, NOTE_SIZE, "volume=v%llu node=%s", id, command->controller_retire->node);
	} else if (command->job_advance != NULL) {
		volume->note_message = "job advances";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu job=j%llu from=%s to=%s", id,
				  (unsigned long long)command->job_advance->id,
				  ENUM_NAME(operation_phase, command->job_advance->from),
				  ENUM_NAME(operation_phase, command->job_advance->to));
	} else if (command->snapshot_retry != NULL) {
		volume->note_message = "a snapshot is tried again";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu job=j%llu reason=\"%s\"", id,
				  (unsigned long long)command->snapshot_retry->id,
				  command->snapshot_retry->error->message);
	} else if (command->job_fail != NULL) {
		volume->note_message = "job fails, and is undone";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu job=j%llu reason=\"%s\"", id,
				  (unsigned long long)command->job_fail->id, command->job_fail->error->message);
	} else if (command->controller_drop != NULL) {
		volume->note_message = "controller dropped";
		length = snprintf(volume->note, NOTE_SIZE, "volume=v%llu node=%s", id, command->controller_drop->node);
	}
	(void)length; /* cut off if it is too long */
}

static void propose(struct driver_volume *volume, struct command *command)
{
	struct dnvmed *dnvmed = volume->dnvmed;
	struct buffer bytes = BUFFER_INIT;
	struct error error;
	int rv;

	command->time_ms = clock_wall_ms();
	note(volume, command);
	rv = codec_encode(schema_command(), command, CODEC_TAGGED, &bytes, &error);
	if (rv == 0)
		rv = consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_proposed, volume, &error);
	buffer_free(&bytes);
	if (rv == 0) {
		volume->under_way = true;
	} else if (rv == ERROR_UNAVAILABLE) {
		dnvmed_leadership_check(dnvmed);
	} else if (rv == ERROR_NO_CAPACITY) {
		list_append(&volume->driver->later, &volume->dirty_link);
	} else {
		log_failure(LOG_LEVEL_ERROR, "cannot propose a volume's next step", &error);
		look_in(volume, SLOW_LOOK_MS);
	}
}

/* --- one look -------------------------------------------------------------------------------------------------------
 */

/* Count what is rebuilt, and what is about to be: `starting` at a slot, or SIZE_MAX. */
static void shares_count(struct driver_volume *driver_volume, const struct volume *volume, uint64_t starting)
{
	struct share *shares;

	shares_end(driver_volume);
	shares = calloc(volume->slots.count, sizeof(*shares));
	if (shares == NULL)
		return; /* a few rebuilds too many */
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				if (leg->groups.items[g].members.items[m].state == LD_STATE_REBUILDING)
					shares[leg->slot].count++;
			}
		}
	}
	for (size_t i = 0; i < volume->slots.count; i++) {
		struct agent *agent = agents_get(driver_volume->dnvmed, volume->slots.items[i].holder);

		snprintf(shares[i].holder, sizeof(shares[i].holder), "%s", volume->slots.items[i].holder);
		shares[i].count += i == starting;
		if (agent != NULL)
			agent->rebuilds += shares[i].count;
	}
	driver_volume->shares = shares;
	driver_volume->share_count = volume->slots.count;
}

static void log_phases(const struct driver_volume *driver_volume, const struct volume *volume, uint64_t now_ms)
{
	for (size_t i = 0; i < volume->slots.count; i++) {
		const struct slot *slot = &volume->slots.items[i];
		const struct moment_slot *seen = &driver_volume->moments.slots[i];

		if (seen->epoch == slot->epoch && seen->phase == slot->phase)
			continue;
		if (seen->epoch == 0 && slot->phase == SLOT_PHASE_SERVING)
			continue;
		log_notice("slot is in another phase",
			   "volume=v%llu slot=%zu epoch=%llu from=%s to=%s holder=%s reason=%s after_ms=%llu",
			   (unsigned long long)volume->id, i, (unsigned long long)slot->epoch,
			   seen->epoch > 0 ? ENUM_NAME(slot_phase, seen->phase) : "unknown",
			   ENUM_NAME(slot_phase, slot->phase), slot->holder,
			   slot->reason != 0 ? ENUM_NAME(move_reason, slot->reason) : "none",
			   (unsigned long long)(seen->epoch > 0 ? now_ms - seen->since_ms : 0));
	}
}

static int look_online(struct driver_volume *driver_volume, const struct volume *volume, struct arena *arena,
		       struct error *error)
{
	struct dnvmed *dnvmed = driver_volume->dnvmed;
	struct online_step step = ONLINE_STEP_INIT, job = ONLINE_STEP_INIT;
	struct online_view view;
	uint64_t now_ms = clock_boot_ms(), starting = SIZE_MAX;

	log_phases(driver_volume, volume, now_ms);
	if (moments_update(&driver_volume->moments, volume, now_ms) != 0)
		return error_set_nomem(error);
	shares_count(driver_volume, volume, starting);
	if (driver_online_view(dnvmed, volume, &driver_volume->moments, arena, &view, error) != 0 ||
	    online_step(&view, arena, &step, error) != 0 ||
	    driver_online_place(dnvmed, volume, arena, &step, error) != 0 ||
	    driver_online_operation(dnvmed, &view, arena, &job, error) != 0)
		return error->code;
	/* To be served comes first. */
	if (step.command == NULL)
		step.command = job.command;
	online_look(&step, job.look_again_ms);
	if (step.command != NULL) {
		/* Others that are looked at before it is applied see it, too. */
		if (step.command->ld_rebuild != NULL)
			shares_count(driver_volume, volume, step.command->ld_rebuild->slot);
		else if (step.command->ld_move != NULL)
			shares_count(driver_volume, volume, step.command->ld_move->slot);
		propose(driver_volume, step.command);
		return 0;
	}
	if (step.look_again_ms != ONLINE_LOOK_NEVER)
		look_in(driver_volume, step.look_again_ms);
	if (step.waits_for != NULL)
		log_debug("volume waits", "volume=v%llu for=\"%s\"", (unsigned long long)volume->id, step.waits_for);
	return 0;
}

static int look_phase(struct driver_volume *driver_volume, const struct volume *volume, struct arena *arena,
		      struct error *error)
{
	struct volumes_parts parts;
	struct volumes_step step;
	struct command command = { 0 };

	volume_settle(driver_volume);
	if (driver_parts(driver_volume->dnvmed, volume, arena, &parts, error) != 0 ||
	    volumes_step(volume, &parts, arena, &step, error) != 0)
		return error->code;
	command.volume_advance = step.advance;
	command.lds_free = step.free;
	if (step.advance != NULL || step.free != NULL)
		propose(driver_volume, &command);
	else if (step.waits_for != NULL)
		log_debug("volume waits", "volume=v%llu for=\"%s\"", (unsigned long long)volume->id, step.waits_for);
	return 0;
}

static void look(struct driver_volume *driver_volume)
{
	struct dnvmed *dnvmed = driver_volume->dnvmed;
	struct arena arena = ARENA_INIT;
	struct volume volume;
	struct error error;
	int rv = fsm_volume_get(dnvmed->fsm, driver_volume->id, &arena, &volume, &error);

	due_remove(&driver_volume->driver->due, &driver_volume->due);
	if (rv == ERROR_NOT_FOUND) {
		agents_volume_forget(dnvmed, driver_volume->id);
		volume_settle(driver_volume);
		rv = 0;
	} else if (rv == 0 && volume.hold != NULL) {
		volume_settle(driver_volume);
	} else if (rv == 0 && !driver_volume->under_way) {
		rv = volume.phase == VOLUME_PHASE_ONLINE ? look_online(driver_volume, &volume, &arena, &error)
							 : look_phase(driver_volume, &volume, &arena, &error);
	}
	if (rv != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot work out a volume's next step", &error);
		look_in(driver_volume, SLOW_LOOK_MS);
	}
	arena_free(&arena);
	request_volume_changed(dnvmed, driver_volume->id);
}

const struct moments *driver_moments(struct dnvmed *dnvmed, uint64_t id)
{
	static const struct moments none;
	const struct driver_volume *driver_volume;
	char key[NAMES_ID_SIZE];

	names_id_format("v", id, key);
	driver_volume = table_get(&dnvmed->driver->volumes, key);
	return driver_volume != NULL ? &driver_volume->moments : &none;
}

/* The state says so, and refuses what a leader might propose all the same. */
static const char *hold_text(const struct hold *hold)
{
	return hold->backup_ms == 0
		       ? "an operator, who says that what the state says of it is right, or deletes it: the servers "
			 "lost their majority for good"
		       : "an operator, who says that what the state says of it is right, or deletes it: the state is "
			 "that of a backup";
}

int driver_operation_waits_for(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			       const char **ret_waits_for, struct error *error)
{
	struct online_step step = ONLINE_STEP_INIT;
	struct online_view view;

	if (volume->hold != NULL) {
		*ret_waits_for = hold_text(volume->hold);
		return 0;
	}
	if (driver_online_view(dnvmed, volume, driver_moments(dnvmed, volume->id), arena, &view, error) != 0 ||
	    driver_online_operation(dnvmed, &view, arena, &step, error) != 0)
		return error->code;
	*ret_waits_for = step.command == NULL ? step.waits_for : NULL;
	return 0;
}

int driver_waits_for(struct dnvmed *dnvmed, const struct volume *volume, const struct volumes_parts *parts,
		     struct arena *arena, const char **ret_waits_for, struct error *error)
{
	struct online_step step;
	struct online_view view;
	struct volumes_step phase_step;

	if (volume->hold != NULL) {
		*ret_waits_for = hold_text(volume->hold);
		return 0;
	}
	if (volume->phase != VOLUME_PHASE_ONLINE) {
		if (volumes_step(volume, parts, arena, &phase_step, error) != 0)
			return error->code;
		*ret_waits_for = phase_step.waits_for;
		return 0;
	}
	if (driver_online_view(dnvmed, volume, driver_moments(dnvmed, volume->id), arena, &view, error) != 0 ||
	    online_step(&view, arena, &step, error) != 0)
		return error->code;
	if (step.command == NULL && driver_online_place(dnvmed, volume, arena, &step, error) != 0)
		return error->code;
	*ret_waits_for = step.command == NULL ? step.waits_for : NULL;
	return 0;
}

void driver_prepare(struct dnvmed *dnvmed)
{
	uint64_t begin = uv_hrtime();

	while (dnvmed->leader_ready && !list_is_empty(&dnvmed->driver->dirty) && uv_hrtime() - begin < BUDGET_NS) {
		struct driver_volume *volume = list_entry(dnvmed->driver->dirty.next, struct driver_volume, dirty_link);

		list_remove(&volume->dirty_link);
		look(volume);
		free_if_idle(volume);
	}
}

void driver_tick(struct dnvmed *dnvmed)
{
	struct due_entry *due;

	while ((due = due_take(&dnvmed->driver->due, clock_boot_ms())) != NULL) {
		struct driver_volume *volume =
			(struct driver_volume *)((char *)due - offsetof(struct driver_volume, due));

		driver_volume_dirty(dnvmed, volume->id);
	}
	while (!list_is_empty(&dnvmed->driver->later)) {
		struct driver_volume *volume = list_entry(dnvmed->driver->later.next, struct driver_volume, dirty_link);

		list_remove(&volume->dirty_link);
		list_append(&dnvmed->driver->dirty, &volume->dirty_link);
	}
}
