/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/caches.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/linux/signatures.h"

#define SYS "/sys"
#define TEXT_ON "on"
#define TEXT_FIXED "fixed"

struct failure {
	struct failure *next;
	char path[LIMIT_PATH + 1];
	uint64_t at_ms;
};

struct caches {
	struct caches_device device;
	struct signatures *answers;
	pthread_mutex_t lock; /* of what is below */
	struct failure *failures;
	unsigned changes; /* that were tried: what was asked before does not count */
};

/* Threads that ask outlive their owner, and know no other. */
static enum write_cache (*asker)(const char *sys, const char *path) = write_cache_ask;

static void answer_read(const char *path, char ret_text[SIGNATURES_TEXT_SIZE])
{
	enum write_cache cache = asker(SYS, path);

	snprintf(ret_text, SIGNATURES_TEXT_SIZE, "%s",
		 cache == WRITE_CACHE_OFF  ? ""
		 : cache == WRITE_CACHE_ON ? TEXT_ON
					   : TEXT_FIXED);
}

struct caches *caches_make(const struct caches_device *device)
{
	struct caches *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->device = *device;
	asker = device->ask;
	this->answers = signatures_make(answer_read);
	if (this->answers == NULL) {
		free(this);
		return NULL;
	}
	pthread_mutex_init(&this->lock, NULL);
	return this;
}

void caches_free(struct caches *this)
{
	struct failure *failure, *next;

	if (this == NULL)
		return;
	for (failure = this->failures; failure != NULL; failure = next) {
		next = failure->next;
		free(failure);
	}
	signatures_free(this->answers);
	pthread_mutex_destroy(&this->lock);
	free(this);
}

int caches_look(struct caches *this, const char *path, uint64_t now_ms)
{
	char stamp[16];

	pthread_mutex_lock(&this->lock);
	snprintf(stamp, sizeof(stamp), "%u", this->changes);
	pthread_mutex_unlock(&this->lock);
	return signatures_look(this->answers, path, stamp, now_ms);
}

void caches_wait(struct caches *this, uint64_t patience_ms)
{
	signatures_wait(this->answers, patience_ms);
}

static bool has_failed(struct caches *this, const char *path, uint64_t now_ms)
{
	bool failed = false;

	pthread_mutex_lock(&this->lock);
	for (const struct failure *failure = this->failures; failure != NULL && !failed; failure = failure->next)
		failed = strcmp(failure->path, path) == 0 && now_ms - failure->at_ms < CACHES_RETRY_MS;
	pthread_mutex_unlock(&this->lock);
	return failed;
}

int caches_get(struct caches *this, const char *path, uint64_t now_ms, bool *ret_volatile, bool *ret_switchable)
{
	struct arena arena = ARENA_INIT;
	const char *text;
	int result = signatures_get(this->answers, path, &arena, &text);

	if (result == 0) {
		*ret_volatile = text != NULL;
		*ret_switchable = text != NULL && strcmp(text, TEXT_FIXED) != 0 && !has_failed(this, path, now_ms);
	}
	arena_free(&arena);
	return result;
}

static void failure_set(struct caches *this, const char *path, uint64_t now_ms, bool failed)
{
	struct failure **at = &this->failures, *failure;

	while (*at != NULL && strcmp((*at)->path, path) != 0)
		at = &(*at)->next;
	failure = *at;
	if (!failed) {
		if (failure != NULL)
			*at = failure->next;
		free(failure);
		return;
	}
	if (failure == NULL) {
		failure = calloc(1, sizeof(*failure));
		if (failure == NULL)
			return; /* it is tried again at once */
		snprintf(failure->path, sizeof(failure->path), "%s", path);
		*at = failure;
	}
	failure->at_ms = now_ms;
}

int caches_off(struct caches *this, const char *path, uint64_t now_ms, struct error *error)
{
	int code = this->device.off(SYS, path, error);

	pthread_mutex_lock(&this->lock);
	this->changes++;
	failure_set(this, path, now_ms, code != 0);
	pthread_mutex_unlock(&this->lock);
	return code;
}
