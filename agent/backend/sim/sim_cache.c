/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Write caches of simulated disks. */
#include <string.h>

#include "agent/backend/sim/sim_state.h"

static struct observed_disk *disk_find(struct sim_kernel *this, const char *path)
{
	for (size_t i = 0; i < this->observed.disks.count; i++) {
		if (strcmp(this->observed.disks.items[i].path, path) == 0)
			return &this->observed.disks.items[i];
	}
	return NULL;
}

static struct sim_cache *cache_find(struct sim_kernel *this, uint64_t minor)
{
	for (size_t i = 0; i < this->cache_count; i++) {
		if (this->caches[i].minor == minor)
			return &this->caches[i];
	}
	return NULL;
}

void sim_caches_on(struct sim_kernel *this)
{
	for (size_t i = 0; i < this->observed.disks.count; i++) {
		struct observed_disk *disk = &this->observed.disks.items[i];
		const struct sim_cache *cache = cache_find(this, disk->minor);

		disk->volatile_cache = cache != NULL;
		disk->cache_switchable = cache != NULL && cache->switchable;
	}
}

void kernel_sim_disk_cache_set(struct kernel *kernel, const char *path, enum kernel_sim_cache kind)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_disk *disk;
	struct sim_cache *cache;

	pthread_mutex_lock(&this->lock);
	disk = disk_find(this, path);
	cache = disk != NULL ? cache_find(this, disk->minor) : NULL;
	if (cache == NULL && disk != NULL && this->cache_count < SIM_CACHES) {
		cache = &this->caches[this->cache_count++];
		cache->minor = disk->minor;
	}
	if (cache != NULL) {
		cache->switchable = kind == KERNEL_SIM_CACHE_SWITCHABLE;
		if (kind == KERNEL_SIM_CACHE_NONE)
			*cache = this->caches[--this->cache_count];
		disk->volatile_cache = kind != KERNEL_SIM_CACHE_NONE;
		disk->cache_switchable = kind == KERNEL_SIM_CACHE_SWITCHABLE;
	}
	pthread_mutex_unlock(&this->lock);
}

bool kernel_sim_disk_is_volatile(struct kernel *kernel, uint64_t minor)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	bool is_volatile = false;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.disks.count; i++) {
		if (this->observed.disks.items[i].minor == minor)
			is_volatile = this->observed.disks.items[i].volatile_cache;
	}
	pthread_mutex_unlock(&this->lock);
	return is_volatile;
}

int sim_cache_off(struct kernel *kernel, const char *path, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_disk *disk;
	int code = sim_begin(this, "cache_off", path, error);

	/* It fails because a test wants it to: then it is on, and was tried. */
	if (code != 0) {
		pthread_mutex_lock(&this->lock);
		disk = disk_find(this, path);
		if (disk != NULL)
			disk->cache_switchable = false;
		pthread_mutex_unlock(&this->lock);
		return code;
	}
	disk = disk_find(this, path);
	if (disk == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no disk %s", path);
	else if (disk->volatile_cache && !disk->cache_switchable)
		code = error_set(error, ERROR_FAILED_PRECONDITION, "the write cache of %s cannot be switched off",
				 path);
	else
		disk->volatile_cache = disk->cache_switchable = false;
	return sim_end(this, code, error);
}
