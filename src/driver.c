/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/driver.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/driver_note.h"
#include "src/driver_online.h"
#include "src/due.h"
#include "src/list.h"
#include "src/request.h"
#include "src/table.h"

#define TRANSITION_PAGE 1024u
/* Between two looks at the network; the rest waits for the next turn of the loop. */
#define BUDGET_NS 20000000u

#define SLOW_LOOK_MS 1000u /* after a failure that nothing else would end */
/* Where nothing had room, something may have by now: between the beginnings of two looks at all those that wait for
 * that. */
#define PLACE_AGAIN_MS 5000u
#define PLACE_AGAIN_COUNT 100u /* of them in a tick */

/* Rebuilds of a volume that a holder works at; they count at the holder's agent. */
struct share {
	char holder[LIMIT_NAME + 1];
	uint64_t count;
};

/* A volume that is to be looked at, has a proposal under way, or something whose time is counted. */
struct driver_volume {
	struct driver *driver;
	struct dnvmed *dnvmed;
	struct list dirty_link;	    /* in driver->dirty or driver->later */
	struct list placeless_link; /* in driver->placeless or driver->placing */
	struct due_entry due;
	uint64_t id;
	bool under_way;
	struct driver_note *note; /* owned, while a proposal is under way; NULL: nothing is to be said */
	struct moments moments;
	struct share *shares; /* owned */
	size_t share_count;
};

struct driver {
	struct table volumes; /* "v1" -> struct driver_volume */
	struct list dirty;
	struct list later;
	struct list placeless; /* placement found nothing for these */
	struct list placing;   /* and is asked again for these */
	bool places_changed;   /* since it was begun to ask again */
	uint64_t placing_ms;   /* boot clock: when that was */
	struct due due;
};

struct driver *driver_make(void)
{
	struct driver *driver = calloc(1, sizeof(*driver));

	if (driver != NULL) {
		list_init(&driver->dirty);
		list_init(&driver->later);
		list_init(&driver->placeless);
		list_init(&driver->placing);
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
	list_remove(&volume->placeless_link);
	due_remove(&volume->driver->due, &volume->due);
}

static void volume_free(struct driver_volume *volume)
{
	char key[NAMES_ID_SIZE];

	names_id_format("v", volume->id, key);
	table_remove(&volume->driver->volumes, key);
	list_remove(&volume->dirty_link);
	volume_settle(volume);
	free(volume->note);
	free(volume);
}

static void free_if_idle(struct driver_volume *volume)
{
	if (!volume->under_way && list_is_empty(&volume->dirty_link) && volume->due.place == 0 &&
	    list_is_empty(&volume->placeless_link) && moments_are_quiet(&volume->moments))
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
	list_init(&volume->placeless_link);
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

void driver_places_changed(struct dnvmed *dnvmed)
{
	dnvmed->driver->places_changed = true;
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

static void note_forget(struct driver_volume *volume)
{
	free(volume->note);
	volume->note = NULL;
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
		if (outcome.code == 0 && volume->note != NULL)
			log_notice(volume->note->message, "%s", volume->note->fields);
		if (dnvmed->leader_ready)
			driver_volume_dirty(dnvmed, volume->id);
	}
	arena_free(&arena);
	note_forget(volume);
	free_if_idle(volume);
}

static void propose(struct driver_volume *volume, struct command *command)
{
	struct dnvmed *dnvmed = volume->dnvmed;
	struct buffer bytes = BUFFER_INIT;
	struct error error;
	int rv;

	command->time_ms = clock_wall_ms();
	volume->note = driver_note_make(volume->id, command);
	rv = codec_encode(schema_command(), command, CODEC_TAGGED, &bytes, &error);
	if (rv == 0)
		rv = consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_proposed, volume, &error);
	buffer_free(&bytes);
	if (rv == 0) {
		volume->under_way = true;
		return;
	}
	note_forget(volume);
	if (rv == ERROR_UNAVAILABLE) {
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
	if (step.placeless)
		list_append(&driver_volume->driver->placeless, &driver_volume->placeless_link);
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
	list_remove(&driver_volume->placeless_link);
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

/* Those that wait for a place, some at a time: there may be as many as there are volumes. */
static void placeless_tick(struct dnvmed *dnvmed)
{
	struct driver *driver = dnvmed->driver;
	uint64_t now_ms = clock_boot_ms();

	if (driver->places_changed && list_is_empty(&driver->placing) &&
	    now_ms - driver->placing_ms >= PLACE_AGAIN_MS) {
		driver->places_changed = false;
		driver->placing_ms = now_ms;
		list_take(&driver->placing, &driver->placeless);
	}
	for (unsigned i = 0; i < PLACE_AGAIN_COUNT && !list_is_empty(&driver->placing); i++) {
		struct list *link = driver->placing.next;

		list_remove(link);
		driver_volume_dirty(dnvmed, list_entry(link, struct driver_volume, placeless_link)->id);
	}
}

void driver_tick(struct dnvmed *dnvmed)
{
	struct due_entry *due;

	if (!dnvmed->leader_ready)
		return;
	placeless_tick(dnvmed);
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
