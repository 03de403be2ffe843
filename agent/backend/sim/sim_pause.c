/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds up the I/O of a volume while a snapshot is made. Nothing runs by itself here: that the limit is over is
 * seen by whoever looks next. */
#include "agent/backend/sim/sim_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/clock.h"

static struct observed_pause *pause_find(struct sim_kernel *this, uint64_t volume, uint64_t number)
{
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		struct observed_pause *pause = &this->observed.pauses.items[i];

		if (pause->volume == volume && pause->number == number)
			return pause;
	}
	return NULL;
}

static bool is_final(const struct observed_pause *pause)
{
	return pause->state == PAUSE_STATE_KEPT || pause->state == PAUSE_STATE_BROKEN;
}

/* Somebody else resumed it, or never suspended it, if there is a message already. */
static void let_go(struct sim_kernel *this, struct observed_pause *pause, const char *message)
{
	struct observed_dm *top = sim_dm_find(this, pause->devices.items[0]);
	bool held = pause->state == PAUSE_STATE_HELD && pause->message == NULL && top != NULL && top->suspended;

	if (pause->state == PAUSE_STATE_HELD && top != NULL)
		top->suspended = false;
	if (held && message == NULL) {
		pause->state = PAUSE_STATE_KEPT;
	} else {
		pause->state = PAUSE_STATE_BROKEN;
		if (pause->message == NULL)
			pause->message = message != NULL ? message : "it did not hold any more";
	}
	pause->alive = false;
}

void sim_pauses_look(struct sim_kernel *this)
{
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		struct observed_pause *pause = &this->observed.pauses.items[i];

		if (pause->alive && clock_boot_ms() >= pause->until_ms)
			let_go(this, pause, "the limit is over");
	}
}

void sim_pauses_touch(struct sim_kernel *this, const char *name)
{
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		struct observed_pause *pause = &this->observed.pauses.items[i];

		if (pause->alive && strcmp(pause->devices.items[0], name) == 0)
			pause->message = "another process resumed it";
	}
}

int sim_pause_hold(struct kernel *kernel, const struct kernel_pause *wanted, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	uint64_t began_ms = clock_boot_ms();
	struct observed_pause pause = { .volume = wanted->volume,
					.number = wanted->number,
					.alive = true,
					.until_ms = began_ms + wanted->limit_ms };
	struct observed_pause *made;
	struct observed_dm *top;
	struct error reason;
	int code = sim_begin(this, "pause_hold", wanted->top, error);

	if (code != 0)
		return code;
	if (pause_find(this, wanted->volume, wanted->number) != NULL)
		return sim_end(this, 0, error);
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		if (this->observed.pauses.items[i].volume == wanted->volume && this->observed.pauses.items[i].alive)
			return sim_end(
				this,
				error_set(error, ERROR_FAILED_PRECONDITION, "another attempt holds up %s", wanted->top),
				error);
	}
	if (list_push_string(&this->arena, &pause.devices, wanted->top) != 0)
		return sim_end(this, error_set_nomem(error), error);
	for (size_t i = 0; i < wanted->legs.count; i++) {
		if (list_push_string(&this->arena, &pause.devices, wanted->legs.items[i].thin) != 0)
			return sim_end(this, error_set_nomem(error), error);
	}
	made = LIST_PUSH(&this->arena, &this->observed.pauses);
	if (made == NULL)
		return sim_end(this, error_set_nomem(error), error);
	*made = pause;
	top = sim_dm_find(this, wanted->top);
	if (top == NULL || top->targets.count == 0) {
		let_go(this, made, "there is no such device");
	} else if (top->suspended) {
		let_go(this, made, "it was suspended already");
	} else if (sim_dm_waits(this, top, &reason) != 0) {
		let_go(this, made, "a path below it does not answer");
	} else if (clock_boot_ms() >= pause.until_ms) {
		let_go(this, made, "the limit is over");
	} else {
		top->suspended = true;
		made->state = PAUSE_STATE_HELD;
	}
	return sim_end(this, 0, error);
}

/* "DNVME-c1-pool-v1.l0#7": the same in each epoch. */
static void thin_identity(const struct observed_dm *pool, uint64_t number, char *ret_identity, size_t size)
{
	snprintf(ret_identity, size, "%.*s#%" PRIu64, (int)sim_identity_length(pool->uuid), pool->uuid, number);
}

static struct observed_dm *pool_of(struct sim_kernel *this, const char *thin)
{
	struct observed_dm *dm = sim_dm_find(this, thin);

	return dm != NULL && dm->targets.count == 1 ? sim_dm_by_number(this, dm->targets.items[0].params) : NULL;
}

/* All of the legs at once: nothing is under way. */
static int snap(struct sim_kernel *this, struct observed_pause *pause, struct error *error)
{
	char identity[SIM_KEY_SIZE];

	for (size_t i = 1; i < pause->devices.count; i++) {
		struct observed_dm *pool = pool_of(this, pause->devices.items[i]);

		if (pool == NULL)
			return error_set(error, ERROR_NOT_FOUND, "%s has no pool", pause->devices.items[i]);
		if (sim_dm_waits(this, pool, error) != 0)
			return ERROR_UNAVAILABLE;
		thin_identity(pool, pause->number, identity, sizeof(identity));
		if (sim_thin_add(this, identity) != 0)
			return error_set_nomem(error);
		if (this->world.thin_snap != NULL)
			this->world.thin_snap(this->world.data, &this->base, pool->name, identity);
	}
	pause->made = true;
	return 0;
}

static int begin(struct sim_kernel *this, const char *operation, uint64_t volume, struct error *error)
{
	char name[32];

	snprintf(name, sizeof(name), "v%" PRIu64, volume);
	return sim_begin(this, operation, name, error);
}

int sim_pause_snap(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_pause *pause;
	int code = begin(this, "pause_snap", volume, error);

	if (code != 0)
		return code;
	pause = pause_find(this, volume, number);
	if (pause != NULL && pause->alive && pause->state == PAUSE_STATE_HELD && !pause->made)
		code = snap(this, pause, error);
	return sim_end(this, code, error);
}

int sim_pause_release(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_pause *pause;
	int code = begin(this, "pause_release", volume, error);

	if (code != 0)
		return code;
	pause = pause_find(this, volume, number);
	if (pause != NULL && pause->alive && !is_final(pause))
		let_go(this, pause, NULL);
	return sim_end(this, 0, error);
}

int sim_pause_forget(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_pause *pause;
	int code = begin(this, "pause_forget", volume, error);

	if (code != 0)
		return code;
	pause = pause_find(this, volume, number);
	if (pause != NULL && !pause->alive)
		sim_list_remove(&this->observed.pauses, (size_t)(pause - this->observed.pauses.items), sizeof(*pause));
	return sim_end(this, 0, error);
}

int sim_thin_delete(struct kernel *kernel, const char *name, uint64_t number, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_thin *deleted;
	struct observed_dm *pool;
	char identity[SIM_KEY_SIZE];
	int code = sim_begin(this, "thin_delete", name, error);

	if (code != 0)
		return code;
	pool = sim_dm_find(this, name);
	if (pool == NULL)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "there is no device %s", name), error);
	code = sim_dm_waits(this, pool, error);
	if (code != 0)
		return sim_end(this, code, error);
	thin_identity(pool, number, identity, sizeof(identity));
	sim_thin_remove(this, identity);
	deleted = LIST_PUSH(&this->arena, &pool->deleted);
	if (deleted == NULL)
		return sim_end(this, error_set_nomem(error), error);
	deleted->number = number;
	/* As a real one, it remembers the last ones. */
	if (pool->deleted.count > LIMIT_THINS_TOLD)
		sim_list_remove(&pool->deleted, 0, sizeof(*deleted));
	return sim_end(this, 0, error);
}

/* --- for tests ---------------------------------------------------------------------------------------------------- */

bool sim_thin_is_made(struct sim_kernel *this, const struct observed_dm *pool, uint64_t number)
{
	char identity[SIM_KEY_SIZE];

	thin_identity(pool, number, identity, sizeof(identity));
	return sim_thin_exists(this, identity);
}

bool kernel_sim_thin_exists(struct kernel *kernel, const char *pool, uint64_t number)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_dm *dm;
	char identity[SIM_KEY_SIZE];
	bool exists = false;

	pthread_mutex_lock(&this->lock);
	dm = sim_dm_find(this, pool);
	if (dm != NULL) {
		thin_identity(dm, number, identity, sizeof(identity));
		exists = sim_thin_exists(this, identity);
	}
	pthread_mutex_unlock(&this->lock);
	return exists;
}

void kernel_sim_pauses_look(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	sim_pauses_look(this);
	pthread_mutex_unlock(&this->lock);
}

void kernel_sim_pause_kill(struct kernel *kernel, uint64_t volume)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		if (this->observed.pauses.items[i].volume == volume)
			this->observed.pauses.items[i].alive = false;
	}
	this->changes++;
	pthread_mutex_unlock(&this->lock);
}
