/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which devices were drained, as this process remembers. An agent that starts again is asked again. */
#include "agent/backend/linux/linux.h"

#include <stdlib.h>
#include <string.h>

#include "agent/list.h"

struct drain {
	struct drain *next;
	uint64_t number;
	char name[];
};

struct drains {
	pthread_mutex_t lock;
	struct drain *first;
};

struct drains *drains_make(void)
{
	struct drains *drains = calloc(1, sizeof(*drains));

	if (drains != NULL)
		pthread_mutex_init(&drains->lock, NULL);
	return drains;
}

void drains_free(struct drains *drains)
{
	if (drains == NULL)
		return;
	while (drains->first != NULL) {
		struct drain *drain = drains->first;

		drains->first = drain->next;
		free(drain);
	}
	pthread_mutex_destroy(&drains->lock);
	free(drains);
}

static int note(struct drains *this, const char *name, uint64_t number, struct error *error)
{
	struct drain *drain;
	int code = 0;

	pthread_mutex_lock(&this->lock);
	for (drain = this->first; drain != NULL && strcmp(drain->name, name) != 0; drain = drain->next)
		;
	if (drain == NULL && (drain = calloc(1, sizeof(*drain) + strlen(name) + 1)) != NULL) {
		memcpy(drain->name, name, strlen(name) + 1);
		drain->next = this->first;
		this->first = drain;
	}
	if (drain == NULL)
		code = error_set_nomem(error);
	else if (drain->number < number)
		drain->number = number;
	pthread_mutex_unlock(&this->lock);
	return code;
}

int dm_drain(struct kernel *kernel, const char *name, uint64_t number, struct error *error)
{
	struct error ignored;
	int code = dm_suspend(kernel, name, error);

	/* A suspend that was interrupted may leave it as well. */
	if (code != 0) {
		dm_resume(kernel, name, &ignored);
		return code;
	}
	code = dm_resume(kernel, name, error);
	return code != 0 ? code : note(((struct linux_kernel *)kernel)->drains, name, number, error);
}

int drains_read(struct drains *this, struct arena *arena, struct drained_list *ret_drained, struct error *error)
{
	struct drained_list list = { 0 };
	int code = 0;

	pthread_mutex_lock(&this->lock);
	for (struct drain *drain = this->first; drain != NULL && code == 0; drain = drain->next) {
		struct drained *drained = LIST_PUSH(arena, &list);

		if (drained != NULL)
			*drained = (struct drained){ arena_strdup(arena, drain->name), drain->number };
		if (drained == NULL || drained->name == NULL)
			code = error_set_nomem(error);
	}
	pthread_mutex_unlock(&this->lock);
	if (code == 0)
		*ret_drained = list;
	return code;
}

static bool is_there(const struct observed *observed, const char *name)
{
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (strcmp(observed->dms.items[i].name, name) == 0)
			return true;
	}
	return false;
}

void drains_tell(struct drains *this, const struct drained_list *drained, struct observed *observed)
{
	struct drain **at;

	for (size_t i = 0; i < observed->dms.count; i++) {
		struct observed_dm *dm = &observed->dms.items[i];

		dm->drained = 0;
		for (size_t j = 0; j < drained->count; j++) {
			if (strcmp(drained->items[j].name, dm->name) == 0)
				dm->drained = drained->items[j].number;
		}
	}
	/* One that is not there any more, or not yet, is forgotten: then it is drained once more. */
	pthread_mutex_lock(&this->lock);
	for (at = &this->first; *at != NULL;) {
		struct drain *drain = *at;

		if (is_there(observed, drain->name)) {
			at = &drain->next;
			continue;
		}
		*at = drain->next;
		free(drain);
	}
	pthread_mutex_unlock(&this->lock);
}
