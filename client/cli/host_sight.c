/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_sight.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/model/names.h"

static struct host_seen *seen_find(const struct host_sight *sight, const char *name, uint64_t inode)
{
	for (size_t i = 0; i < sight->count; i++) {
		if (sight->items[i].inode == inode && strcmp(sight->items[i].controller.name, name) == 0)
			return &sight->items[i];
	}
	return NULL;
}

static int seen_add(struct host_sight *sight, const struct host_seen *seen, struct error *error)
{
	if (sight->count == sight->capacity) {
		size_t capacity = sight->capacity > 0 ? 2 * sight->capacity : 64;
		struct host_seen *items = realloc(sight->items, capacity * sizeof(*items));

		if (items == NULL)
			return error_set_nomem(error);
		sight->items = items;
		sight->capacity = capacity;
	}
	sight->items[sight->count++] = *seen;
	return 0;
}

static int one_look(struct host_sight *sight, const char *folder, const char *name, struct error *error)
{
	char path[PATH_MAX];
	struct host_seen made = { .there = true }, *seen;
	struct stat status;

	if (strlen(name) >= sizeof(made.controller.name) ||
	    snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) || stat(path, &status) != 0)
		return 0;
	seen = seen_find(sight, name, status.st_ino);
	if (seen != NULL) {
		seen->there = host_controller_state(sight->sysfs, name, seen->controller.state);
		return 0;
	}
	/* One that connects for the first time does not say yet whose it is. */
	if (!host_controller_read(sight->sysfs, name, &made.controller, made.nqn) ||
	    strncmp(made.nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) != 0)
		return 0;
	made.inode = status.st_ino;
	return seen_add(sight, &made, error);
}

int host_sight_look(struct host_sight *sight, struct error *error)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	size_t kept = 0;
	DIR *stream;
	int rc = 0;

	snprintf(folder, sizeof(folder), "%s/class/nvme", sight->sysfs);
	stream = opendir(folder);
	if (stream == NULL && errno != ENOENT)
		return error_set_errno(error, errno, "cannot list %s", folder);
	for (size_t i = 0; i < sight->count; i++)
		sight->items[i].there = false;
	while (stream != NULL && rc == 0 && (entry = readdir(stream)) != NULL) {
		if (entry->d_name[0] != '.')
			rc = one_look(sight, folder, entry->d_name, error);
	}
	if (stream != NULL)
		closedir(stream);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < sight->count; i++) {
		if (sight->items[i].there)
			sight->items[kept++] = sight->items[i];
	}
	sight->count = kept;
	return 0;
}

void host_sight_find(const struct host_sight *sight, const char *nqn, struct host_controller ret_list[HOST_CONTROLLERS],
		     size_t *ret_count)
{
	size_t count = 0;

	for (size_t i = 0; i < sight->count && count < HOST_CONTROLLERS; i++) {
		if (strcmp(sight->items[i].nqn, nqn) == 0)
			ret_list[count++] = sight->items[i].controller;
	}
	*ret_count = count;
}

void host_sight_free(struct host_sight *sight)
{
	free(sight->items);
	*sight = (struct host_sight){ .sysfs = sight->sysfs };
}
