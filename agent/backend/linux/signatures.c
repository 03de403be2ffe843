/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/signatures.h"

#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAMP_SIZE 256

struct entry {
	struct entry *next;
	struct signatures *owner;
	char path[LIMIT_PATH + 1], stamp[STAMP_SIZE], text[SIGNATURES_TEXT_SIZE];
	uint64_t began_ms;
	bool wanted;   /* asked for since the last signatures_wait() */
	bool running;  /* a thread writes `text`, and frees the entry when it was forgotten */
	bool outdated; /* something was written while it was read */
	bool late, forgotten;
};

struct signatures {
	signatures_reader reader;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct entry *entries;
	size_t users; /* the owner and each running thread */
};

/* --- reading --- */

static void describe(blkid_probe probe, char ret_text[SIGNATURES_TEXT_SIZE])
{
	const char *type = NULL, *usage = NULL;

	if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) != 0) {
		if (blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) != 0)
			type = "of an unknown type";
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "partition table %s", type);
		return;
	}
	if (blkid_probe_lookup_value(probe, "USAGE", &usage, NULL) != 0)
		usage = "";
	if (strcmp(usage, "filesystem") == 0)
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "filesystem %s", type);
	else if (strcmp(usage, "raid") == 0)
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "member of a RAID or volume group, %s", type);
	else if (strcmp(usage, "crypto") == 0)
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "encrypted volume %s", type);
	else
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "signature %s", type);
}

void signatures_read(const char *path, char ret_text[SIGNATURES_TEXT_SIZE])
{
	blkid_probe probe = NULL;
	int result = -1, fd;

	errno = 0;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		probe = blkid_new_probe();
	if (probe != NULL && blkid_probe_set_device(probe, fd, 0, 0) == 0) {
		/* As wipefs looks: a damaged checksum or a lost primary table is still somebody's data. */
		blkid_probe_enable_superblocks(probe, 1);
		blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC |
								 BLKID_SUBLKS_BADCSUM);
		blkid_probe_enable_partitions(probe, 1);
		blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
		result = blkid_do_probe(probe);
	}
	ret_text[0] = '\0';
	if (result == 0)
		describe(probe, ret_text);
	else if (result < 0)
		snprintf(ret_text, SIGNATURES_TEXT_SIZE, "unknown: it cannot be read: %s",
			 errno != 0 ? strerror(errno) : "no reason was given");
	blkid_free_probe(probe);
	if (fd >= 0)
		close(fd);
}

/* --- what was read --- */

/* The lock is held; it is given back. */
static void release(struct signatures *this)
{
	bool last = --this->users == 0;

	pthread_mutex_unlock(&this->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&this->lock);
	pthread_cond_destroy(&this->ended);
	free(this);
}

static void *reader_main(void *argument)
{
	struct entry *entry = argument;
	struct signatures *this = entry->owner;
	char text[SIGNATURES_TEXT_SIZE];

	this->reader(entry->path, text);
	pthread_mutex_lock(&this->lock);
	memcpy(entry->text, text, sizeof(text));
	entry->running = entry->late = false;
	pthread_cond_broadcast(&this->ended);
	if (entry->forgotten)
		free(entry);
	release(this);
	return NULL;
}

/* The lock is held. */
static void reader_start(struct signatures *this, struct entry *entry)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int code;

	entry->running = true;
	this->users++;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	code = pthread_create(&thread, &attributes, reader_main, entry);
	pthread_attr_destroy(&attributes);
	if (code == 0)
		return;
	entry->running = false;
	this->users--;
	entry->stamp[0] = '\0'; /* tried again */
	snprintf(entry->text, sizeof(entry->text), "unknown: it cannot be read: %s", strerror(code));
}

/* The lock is held. A thread that still reads frees the entry itself. */
static void entry_forget(struct entry *entry)
{
	if (entry->running)
		entry->forgotten = true;
	else
		free(entry);
}

static struct entry *entry_find(const struct signatures *this, const char *path)
{
	struct entry *entry = this->entries;

	while (entry != NULL && strcmp(entry->path, path) != 0)
		entry = entry->next;
	return entry;
}

struct signatures *signatures_make(signatures_reader reader)
{
	struct signatures *this = calloc(1, sizeof(*this));
	pthread_condattr_t attributes;

	if (this == NULL)
		return NULL;
	this->reader = reader;
	this->users = 1;
	pthread_mutex_init(&this->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&this->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	return this;
}

void signatures_free(struct signatures *this)
{
	struct entry *entry, *next;

	if (this == NULL)
		return;
	pthread_mutex_lock(&this->lock);
	for (entry = this->entries; entry != NULL; entry = next) {
		next = entry->next;
		entry_forget(entry);
	}
	this->entries = NULL;
	release(this);
}

int signatures_look(struct signatures *this, const char *path, const char *stamp, uint64_t now_ms)
{
	struct entry *entry;

	pthread_mutex_lock(&this->lock);
	entry = entry_find(this, path);
	if (entry == NULL) {
		entry = calloc(1, sizeof(*entry));
		if (entry == NULL) {
			pthread_mutex_unlock(&this->lock);
			return -1;
		}
		entry->owner = this;
		snprintf(entry->path, sizeof(entry->path), "%s", path);
		entry->next = this->entries;
		this->entries = entry;
	}
	entry->wanted = true;
	entry->outdated = entry->running && strcmp(entry->stamp, stamp) != 0;
	if (!entry->running &&
	    (strcmp(entry->stamp, stamp) != 0 || stamp[0] == '\0' || now_ms - entry->began_ms >= SIGNATURES_AGE_MS)) {
		snprintf(entry->stamp, sizeof(entry->stamp), "%s", stamp);
		entry->began_ms = now_ms;
		reader_start(this, entry);
	}
	pthread_mutex_unlock(&this->lock);
	return 0;
}

static bool is_awaited(const struct signatures *this)
{
	const struct entry *entry = this->entries;

	while (entry != NULL && (!entry->running || entry->late))
		entry = entry->next;
	return entry != NULL;
}

void signatures_wait(struct signatures *this, uint64_t patience_ms)
{
	struct entry **at = &this->entries;
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += (time_t)(patience_ms / 1000);
	deadline.tv_nsec += (long)(patience_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&this->lock);
	while (is_awaited(this) && pthread_cond_timedwait(&this->ended, &this->lock, &deadline) == 0)
		;
	while (*at != NULL) {
		struct entry *entry = *at;

		entry->late = entry->running;
		if (entry->wanted) {
			entry->wanted = false;
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		entry_forget(entry);
	}
	pthread_mutex_unlock(&this->lock);
}

int signatures_get(struct signatures *this, const char *path, struct arena *arena, const char **ret_text)
{
	const struct entry *entry;
	const char *text = NULL;
	int result = 0;

	pthread_mutex_lock(&this->lock);
	entry = entry_find(this, path);
	if (entry == NULL || entry->running || entry->outdated)
		text = "unknown: a read from it does not return";
	else if (entry->text[0] != '\0')
		text = entry->text;
	if (text != NULL) {
		text = arena_strdup(arena, text);
		result = text != NULL ? 0 : -1;
	}
	pthread_mutex_unlock(&this->lock);
	if (result == 0)
		*ret_text = text;
	return result;
}
