/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thin devices of snapshots: made, and deleted. Device-mapper cannot be asked what a pool holds, so this process
 * remembers what it deleted; the next one deletes it again.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"

/* A pool, by its uuid, which another epoch's does not have. */
struct thin_pool {
	struct thin_pool *next;
	size_t count;
	uint64_t deleted[LIMIT_THINS_TOLD]; /* the last ones */
	char uuid[];
};

struct thins {
	pthread_mutex_t lock;
	struct thin_pool *first;
};

struct thins *thins_make(void)
{
	struct thins *thins = calloc(1, sizeof(*thins));

	if (thins != NULL)
		pthread_mutex_init(&thins->lock, NULL);
	return thins;
}

void thins_free(struct thins *thins)
{
	if (thins == NULL)
		return;
	while (thins->first != NULL) {
		struct thin_pool *pool = thins->first;

		thins->first = pool->next;
		free(pool);
	}
	pthread_mutex_destroy(&thins->lock);
	free(thins);
}

static int note(struct thins *this, const char *uuid, uint64_t number, struct error *error)
{
	struct thin_pool *pool;
	int code = 0;

	pthread_mutex_lock(&this->lock);
	for (pool = this->first; pool != NULL && strcmp(pool->uuid, uuid) != 0; pool = pool->next)
		;
	if (pool == NULL && (pool = calloc(1, sizeof(*pool) + strlen(uuid) + 1)) != NULL) {
		memcpy(pool->uuid, uuid, strlen(uuid) + 1);
		pool->next = this->first;
		this->first = pool;
	}
	if (pool == NULL) {
		code = error_set_nomem(error);
	} else {
		if (pool->count == LIMIT_THINS_TOLD) {
			memmove(&pool->deleted[0], &pool->deleted[1],
				(LIMIT_THINS_TOLD - 1) * sizeof(pool->deleted[0]));
			pool->count--;
		}
		pool->deleted[pool->count++] = number;
	}
	pthread_mutex_unlock(&this->lock);
	return code;
}

static struct observed_dm *pool_find(struct observed *observed, const char *uuid)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		struct observed_dm *dm = &observed->dms.items[i];

		if (dm->uuid != NULL && strcmp(dm->uuid, uuid) == 0)
			return dm;
	}
	return NULL;
}

static int pool_tell(const struct thin_pool *pool, struct arena *arena, struct observed_dm *dm, struct error *error)
{
	for (size_t i = 0; i < pool->count; i++) {
		struct observed_thin *thin = LIST_PUSH(arena, &dm->deleted);

		if (thin == NULL)
			return error_set_nomem(error);
		thin->number = pool->deleted[i];
	}
	return 0;
}

int thins_tell(struct thins *this, struct arena *arena, struct observed *observed, struct error *error)
{
	struct thin_pool **at;
	int code = 0;

	for (size_t i = 0; i < observed->dms.count; i++)
		observed->dms.items[i].deleted = (struct observed_thin_list){ 0 };
	pthread_mutex_lock(&this->lock);
	for (at = &this->first; *at != NULL && code == 0;) {
		struct thin_pool *pool = *at;
		struct observed_dm *dm = pool_find(observed, pool->uuid);

		if (dm != NULL) {
			code = pool_tell(pool, arena, dm, error);
			at = &pool->next;
			continue;
		}
		*at = pool->next;
		free(pool);
	}
	pthread_mutex_unlock(&this->lock);
	return code;
}

/* A pool whose metadata could not be written says so, and does not fail the message. `commit`: an earlier call did
 * what was asked for, and may not have written it yet. */
static int pool_check(const struct dm_info *info, const char *name, bool commit, struct error *error)
{
	struct dm_task *task = dm_task_on(DM_DEVICE_STATUS, info->major, info->minor);
	char *type, *params = NULL;
	uint64_t start, length;
	int code = 0;

	if (task == NULL)
		return error_set_nomem(error);
	if (!commit && !dm_task_no_flush(task)) {
		code = error_set_nomem(error);
	} else if (!dm_task_run(task)) {
		code = dm_task_failed(task, "ask for the status of", name, error);
	} else {
		dm_get_next_target(task, NULL, &start, &length, &type, &params);
		if (params == NULL || (strstr(params, " rw ") == NULL && strstr(params, " out_of_data_space ") == NULL))
			code = error_set(error, ERROR_FAILED_PRECONDITION, "%s cannot write its metadata: \"%s\"", name,
					 params != NULL ? params : "");
	}
	dm_task_destroy(task);
	return code;
}

/* `done`: the errno which says that there is nothing to do. */
static int pool_message(const char *name, const char *message, int done, struct dm_info *ret_info, char *ret_uuid,
			size_t size, struct error *error)
{
	struct dm_task *task;
	bool again = false;
	int code = dm_info_read(name, ret_info, error);

	if (code != 0)
		return code;
	task = dm_task_on(DM_DEVICE_TARGET_MSG, ret_info->major, ret_info->minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_set_sector(task, 0) || !dm_task_set_message(task, message))
		code = error_set_nomem(error);
	else if (!dm_task_run(task)) {
		again = dm_task_get_errno(task) == done;
		if (!again)
			code = dm_task_failed(task, "send a message to", name, error);
	}
	dm_task_destroy(task);
	if (code == 0)
		code = pool_check(ret_info, name, again, error);
	if (code != 0 || ret_uuid == NULL)
		return code;
	task = dm_task_on(DM_DEVICE_INFO, ret_info->major, ret_info->minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (!dm_task_run(task))
		code = dm_task_failed(task, "look up", name, error);
	else
		snprintf(ret_uuid, size, "%s", dm_task_get_uuid(task));
	dm_task_destroy(task);
	return code;
}

int thin_snap(const char *pool, uint64_t number, struct error *error)
{
	char message[64];
	struct dm_info info;

	snprintf(message, sizeof(message), "create_snap %" PRIu64 " 0", number);
	return pool_message(pool, message, EEXIST, &info, NULL, 0, error);
}

int thin_delete(struct kernel *kernel, const char *pool, uint64_t number, struct error *error)
{
	char message[64], uuid[256];
	struct dm_info info;
	int code;

	snprintf(message, sizeof(message), "delete %" PRIu64, number);
	code = pool_message(pool, message, ENODATA, &info, uuid, sizeof(uuid), error);
	return code != 0 ? code : note(((struct linux_kernel *)kernel)->thins, uuid, number, error);
}
