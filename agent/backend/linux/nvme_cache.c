/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/nvme_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/backend/linux/linux.h"
#include "agent/list.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

#define NO_FILE (-1)

/* A file that is kept open, and the object that it stands for. */
struct nvme_entry {
	struct nvme_entry *next; /* in the order of names */
	char name[32];
	int fd;	   /* `state` of a controller, `ana_state` of a path, `size` of a namespace */
	bool ours; /* it belongs to a subsystem of ours */
	bool kept; /* else it is read anew in each look */
};

struct nvme_controller {
	struct nvme_entry entry;
	char nqn[NAMES_NQN_SIZE], address[LIMIT_ADDRESS + 1], trsvcid[16], host_nqn[NAMES_NQN_SIZE];
};

/* A namespace, or a path to one: nvme0n1 is a namespace, nvme0c1n1 its path through the controller nvme1. Without
 * native multipath nvme1n1 is both. */
struct nvme_block {
	struct nvme_entry entry;
	char controller[16]; /* whose path it is, or "" */
	bool is_namespace;
	char nqn[NAMES_NQN_SIZE];
	uint8_t uuid[16];
	unsigned major, minor;
	uint64_t nsid;
};

struct nvme_cache {
	pthread_mutex_t lock;
	const char *root;
	nvme_reader reader;
	size_t files, files_max;
	struct nvme_entry *controllers, *blocks;
};

/* In what order one state is worse than another. */
static const char *const ana_states[] = {
	"", "optimized", "non-optimized", "change", "inaccessible", "persistent-loss"
};

/* --- files --- */

/* 0: `ret_fd` is open. NOT_FOUND: there is no such file, or no object behind it. */
__attribute__((format(printf, 4, 5))) static int file_open(const struct nvme_cache *cache, int *ret_fd,
							   struct error *error, const char *format, ...)
{
	char path[PATH_MAX];
	size_t length = (size_t)snprintf(path, sizeof(path), "%s", cache->root);
	va_list arguments;
	int fd;

	va_start(arguments, format);
	vsnprintf(path + length, sizeof(path) - length, format, arguments);
	va_end(arguments);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return error_set(error, ERROR_NO_CAPACITY, "cannot open %s: %s", path, strerror(errno));
	return ERROR_NOT_FOUND;
}

/* false: the object is gone. */
static bool file_again(const struct nvme_cache *cache, int fd, char *ret_text, size_t size)
{
	ssize_t length = cache->reader(fd, ret_text, size - 1, 0);

	if (length < 0)
		return false;
	ret_text[length] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
	return true;
}

/* A file that is not kept. NOT_FOUND as above. */
static int file_once(const struct nvme_cache *cache, const char *directory, const char *name, const char *attribute,
		     char *ret_text, size_t size, struct error *error)
{
	int fd, code = file_open(cache, &fd, error, "/%s/%s/%s", directory, name, attribute);
	bool there;

	if (code != 0)
		return code;
	there = file_again(cache, fd, ret_text, size);
	close(fd);
	return there ? 0 : ERROR_NOT_FOUND;
}

/* "traddr=10.0.0.1,trsvcid=4421,src_addr=…": the value of a key. */
static bool address_part(const char *text, const char *key, char *ret_value, size_t size)
{
	size_t length = strlen(key);

	for (const char *at = text; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
		if (strncmp(at, key, length) == 0 && at[length] == '=') {
			snprintf(ret_value, size, "%.*s", (int)strcspn(at + length + 1, ","), at + length + 1);
			return true;
		}
	}
	return false;
}

static bool nqn_is_ours(const char *nqn)
{
	return strncmp(nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) == 0;
}

/* --- entries --- */

static void entry_close(struct nvme_cache *cache, struct nvme_entry *entry)
{
	if (entry->fd == NO_FILE)
		return;
	close(entry->fd);
	cache->files--;
	entry->fd = NO_FILE;
}

static void entry_remove(struct nvme_cache *cache, struct nvme_entry **at)
{
	struct nvme_entry *entry = *at;

	*at = entry->next;
	entry_close(cache, entry);
	free(entry);
}

static void entry_opened(struct nvme_cache *cache, struct nvme_entry *entry, int fd)
{
	entry->fd = fd;
	cache->files++;
	entry->kept = cache->files <= cache->files_max;
}

/* What lies before `name` in the list is gone. Returns where the entry of that name is, or belongs. */
static struct nvme_entry **entry_at(struct nvme_cache *cache, struct nvme_entry **at, const char *name)
{
	while (*at != NULL && strcmp((*at)->name, name) < 0)
		entry_remove(cache, at);
	return at;
}

/* The place behind that entry, if it is there. */
static struct nvme_entry **entry_after(struct nvme_entry **at, const char *name)
{
	return *at != NULL && strcmp((*at)->name, name) == 0 ? &(*at)->next : at;
}

static struct nvme_entry *entry_make(struct nvme_entry **at, const char *name, size_t size)
{
	struct nvme_entry *entry = calloc(1, size);

	if (entry == NULL)
		return NULL;
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->fd = NO_FILE;
	entry->next = *at;
	*at = entry;
	return entry;
}

/* --- controllers --- */

/* All that never changes. NOT_FOUND: it is gone, or not ready to tell who it is. */
static int controller_learn(struct nvme_cache *cache, struct nvme_controller *controller, struct error *error)
{
	char text[256];
	const char *name = controller->entry.name;
	int fd, code;

	code = file_open(cache, &fd, error, "/class/nvme/%s/state", name);
	if (code != 0)
		return code;
	entry_opened(cache, &controller->entry, fd);
	code = file_once(cache, "class/nvme", name, "subsysnqn", controller->nqn, sizeof(controller->nqn), error);
	if (code != 0)
		return code;
	controller->entry.ours = nqn_is_ours(controller->nqn);
	/* While it connects for the first time, the kernel says something else. */
	if (!controller->entry.ours)
		return strncmp(controller->nqn, "nqn.", 4) == 0 ? 0 : ERROR_NOT_FOUND;
	code = file_once(cache, "class/nvme", name, "address", text, sizeof(text), error);
	if (code != 0)
		return code;
	if (!address_part(text, "traddr", controller->address, sizeof(controller->address)) ||
	    !address_part(text, "trsvcid", controller->trsvcid, sizeof(controller->trsvcid)))
		return ERROR_NOT_FOUND;
	code = file_once(cache, "class/nvme", name, "hostnqn", controller->host_nqn, sizeof(controller->host_nqn),
			 error);
	return code == ERROR_NOT_FOUND ? 0 : code;
}

static int controller_add(const struct nvme_controller *controller, const char *state, struct arena *arena,
			  struct nvme_seen *seen, struct error *error)
{
	struct nvme_controller_seen *added = LIST_PUSH(arena, seen);

	if (added == NULL)
		return error_set_nomem(error);
	added->name = arena_strdup(arena, controller->entry.name);
	added->nqn = arena_strdup(arena, controller->nqn);
	added->address = arena_strdup(arena, controller->address);
	added->trsvcid = arena_strdup(arena, controller->trsvcid);
	added->host_nqn = arena_strdup(arena, controller->host_nqn);
	added->state = arena_strdup(arena, state);
	added->ana = ana_states[0];
	if (added->name == NULL || added->nqn == NULL || added->address == NULL || added->trsvcid == NULL ||
	    added->host_nqn == NULL || added->state == NULL)
		return error_set_nomem(error);
	return 0;
}

/* One name of the list of controllers. */
static int controller_look(struct nvme_cache *cache, struct nvme_entry **at, const char *name, struct arena *arena,
			   struct nvme_seen *seen, struct error *error)
{
	struct nvme_controller *controller;
	char state[32];
	int code = 0;

	if (*at != NULL && strcmp((*at)->name, name) == 0) {
		if (file_again(cache, (*at)->fd, state, sizeof(state))) {
			controller = (struct nvme_controller *)*at;
			return controller->entry.ours ? controller_add(controller, state, arena, seen, error) : 0;
		}
		entry_remove(cache, at);
	}
	controller = (struct nvme_controller *)entry_make(at, name, sizeof(*controller));
	if (controller == NULL)
		return error_set_nomem(error);
	code = controller_learn(cache, controller, error);
	/* Read last: it still answers, so all that was read is its own. */
	if (code == 0 && !file_again(cache, controller->entry.fd, state, sizeof(state)))
		code = ERROR_NOT_FOUND;
	if (code == 0 && controller->entry.ours)
		code = controller_add(controller, state, arena, seen, error);
	if (code != 0)
		entry_remove(cache, at);
	return code == ERROR_NOT_FOUND ? 0 : code;
}

/* --- namespaces and their paths --- */

static int namespace_learn(struct nvme_cache *cache, struct nvme_block *block, struct error *error)
{
	const char *name = block->entry.name;
	char text[64], path[PATH_MAX];
	unsigned instance;
	int fd, code;

	code = file_open(cache, &fd, error, "/block/%s/size", name);
	if (code != 0)
		return code;
	entry_opened(cache, &block->entry, fd);
	code = file_once(cache, "block", name, "device/subsysnqn", block->nqn, sizeof(block->nqn), error);
	if (code != 0)
		return code;
	block->entry.ours = nqn_is_ours(block->nqn);
	if (!block->entry.ours)
		return strncmp(block->nqn, "nqn.", 4) == 0 ? 0 : ERROR_NOT_FOUND;
	code = file_once(cache, "block", name, "dev", text, sizeof(text), error);
	if (code != 0)
		return code;
	if (sscanf(text, "%u:%u", &block->major, &block->minor) != 2)
		return ERROR_NOT_FOUND;
	code = file_once(cache, "block", name, "uuid", text, sizeof(text), error);
	if (code != 0)
		return code;
	if (uuid_text_parse(text, block->uuid) != 0)
		return ERROR_NOT_FOUND;
	code = file_once(cache, "block", name, "nsid", text, sizeof(text), error);
	if (code != 0)
		return code;
	block->nsid = strtoull(text, NULL, 10);
	if (sscanf(name, "nvme%u", &instance) == 1) {
		snprintf(path, sizeof(path), "%s/class/nvme/nvme%u/%s", cache->root, instance, name);
		if (access(path, F_OK) == 0)
			snprintf(block->controller, sizeof(block->controller), "nvme%u", instance);
	}
	return 0;
}

static int namespace_add(const struct nvme_block *block, const char *size, struct arena *arena, struct nvme_seen *seen,
			 struct error *error)
{
	struct observed_import_namespace ns = { .nsid = block->nsid, .major = block->major, .minor = block->minor },
					 *added;

	if (__builtin_mul_overflow(strtoull(size, NULL, 10), UINT64_C(512), &ns.size_bytes))
		return 0;
	memcpy(ns.uuid, block->uuid, sizeof(ns.uuid));
	ns.nqn = arena_strdup(arena, block->nqn);
	ns.path = arena_printf(arena, "/dev/%s", block->entry.name);
	added = LIST_PUSH(arena, &seen->namespaces);
	if (ns.nqn == NULL || ns.path == NULL || added == NULL)
		return error_set_nomem(error);
	*added = ns;
	return 0;
}

static int compare_controllers(const void *a, const void *b)
{
	const struct nvme_controller_seen *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* A path of a controller, in the state `ana`, or without one. */
static void path_add(const char *controller, const char *ana, struct nvme_seen *seen)
{
	struct nvme_controller_seen wanted = { .name = controller }, *of;
	size_t count = sizeof(ana_states) / sizeof(ana_states[0]), worst = 0;

	if (seen->count == 0)
		return;
	of = bsearch(&wanted, seen->items, seen->count, sizeof(wanted), compare_controllers);
	if (of == NULL)
		return;
	of->accessible = (of->paths == 0 || of->accessible) &&
			 (ana == NULL || strcmp(ana, "optimized") == 0 || strcmp(ana, "non-optimized") == 0);
	of->paths++;
	for (size_t i = 0; i < count; i++) {
		if (of->ana == ana_states[i])
			worst = i;
	}
	for (size_t i = worst + 1; ana != NULL && i < count; i++) {
		if (strcmp(ana, ana_states[i]) == 0)
			of->ana = ana_states[i];
	}
}

static int path_look(struct nvme_cache *cache, struct nvme_entry **at, const char *name, unsigned instance,
		     struct nvme_seen *seen, struct error *error)
{
	char controller[16], ana[32];
	struct nvme_entry *entry;
	int fd, code;

	snprintf(controller, sizeof(controller), "nvme%u", instance);
	if (*at != NULL && strcmp((*at)->name, name) == 0) {
		if (file_again(cache, (*at)->fd, ana, sizeof(ana))) {
			path_add(controller, ana, seen);
			return 0;
		}
		entry_remove(cache, at);
	}
	code = file_open(cache, &fd, error, "/block/%s/ana_state", name);
	if (code == ERROR_NOT_FOUND) {
		path_add(controller, NULL, seen);
		return 0;
	}
	if (code != 0)
		return code;
	entry = entry_make(at, name, sizeof(struct nvme_block));
	if (entry == NULL) {
		close(fd);
		return error_set_nomem(error);
	}
	entry_opened(cache, entry, fd);
	if (file_again(cache, fd, ana, sizeof(ana)))
		path_add(controller, ana, seen);
	else
		entry_remove(cache, at);
	return 0;
}

static int namespace_look(struct nvme_cache *cache, struct nvme_entry **at, const char *name, enum nvme_depth depth,
			  struct arena *arena, struct nvme_seen *seen, struct error *error)
{
	struct nvme_block *block;
	char size[32] = "", ana[32];
	int code = 0;

	if (*at != NULL && strcmp((*at)->name, name) == 0 && depth >= NVME_NAMESPACES &&
	    !file_again(cache, (*at)->fd, size, sizeof(size)))
		entry_remove(cache, at);
	if (*at == NULL || strcmp((*at)->name, name) != 0) {
		block = (struct nvme_block *)entry_make(at, name, sizeof(*block));
		if (block == NULL)
			return error_set_nomem(error);
		code = namespace_learn(cache, block, error);
		/* Read last, as with controllers. */
		if (code == 0 && !file_again(cache, block->entry.fd, size, sizeof(size)))
			code = ERROR_NOT_FOUND;
		if (code != 0)
			entry_remove(cache, at);
		if (code != 0)
			return code == ERROR_NOT_FOUND ? 0 : code;
	}
	block = (struct nvme_block *)*at;
	if (!block->entry.ours)
		return 0;
	if (block->controller[0] != '\0') {
		code = file_once(cache, "block", name, "ana_state", ana, sizeof(ana), error);
		if (code != 0 && code != ERROR_NOT_FOUND)
			return code;
		path_add(block->controller, code == 0 ? ana : NULL, seen);
	}
	return depth >= NVME_NAMESPACES ? namespace_add(block, size, arena, seen, error) : 0;
}

static int block_look(struct nvme_cache *cache, struct nvme_entry **at, const char *name, enum nvme_depth depth,
		      struct arena *arena, struct nvme_seen *seen, struct error *error)
{
	unsigned subsystem, instance, head;
	int end = 0;

	if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &instance, &head, &end) == 3 && name[end] == '\0')
		return path_look(cache, at, name, instance, seen, error);
	if (sscanf(name, "nvme%un%u%n", &subsystem, &head, &end) == 2 && name[end] == '\0')
		return namespace_look(cache, at, name, depth, arena, seen, error);
	return 0;
}

/* --- a look --- */

static int names_list(const struct nvme_cache *cache, const char *directory, struct arena *arena,
		      struct string_list *ret_names, struct error *error)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", cache->root, directory);
	return directory_list(arena, path, ret_names, error);
}

static bool is_short(const char *name)
{
	return strlen(name) < sizeof(((struct nvme_entry *)NULL)->name);
}

/* Those of the list that come after the last name are gone; those above the bound are read anew the next time. */
static void list_end(struct nvme_cache *cache, struct nvme_entry **list, struct nvme_entry **at)
{
	while (*at != NULL)
		entry_remove(cache, at);
	while (*list != NULL) {
		if ((*list)->kept)
			list = &(*list)->next;
		else
			entry_remove(cache, list);
	}
}

static int look(struct nvme_cache *cache, enum nvme_depth depth, struct arena *arena, struct nvme_seen *seen,
		struct error *error)
{
	struct nvme_entry **at = &cache->controllers;
	struct string_list names;
	int code = names_list(cache, "class/nvme", arena, &names, error);

	for (size_t i = 0; code == 0 && i < names.count; i++) {
		if (!is_short(names.items[i]))
			continue;
		at = entry_at(cache, at, names.items[i]);
		code = controller_look(cache, at, names.items[i], arena, seen, error);
		at = entry_after(at, names.items[i]);
	}
	if (code != 0)
		return code;
	list_end(cache, &cache->controllers, at);
	if (depth < NVME_PATHS)
		return 0;
	at = &cache->blocks;
	code = names_list(cache, "block", arena, &names, error);
	for (size_t i = 0; code == 0 && i < names.count; i++) {
		if (strncmp(names.items[i], "nvme", 4) != 0 || !is_short(names.items[i]))
			continue;
		at = entry_at(cache, at, names.items[i]);
		code = block_look(cache, at, names.items[i], depth, arena, seen, error);
		at = entry_after(at, names.items[i]);
	}
	if (code == 0)
		list_end(cache, &cache->blocks, at);
	return code;
}

int nvme_cache_look(struct nvme_cache *cache, enum nvme_depth depth, struct arena *arena, struct nvme_seen *ret_seen,
		    struct error *error)
{
	struct nvme_seen seen = { 0 };
	int code;

	pthread_mutex_lock(&cache->lock);
	code = look(cache, depth, arena, &seen, error);
	pthread_mutex_unlock(&cache->lock);
	if (code == 0)
		*ret_seen = seen;
	return code;
}

struct nvme_cache *nvme_cache_make(const char *root, nvme_reader reader, size_t files)
{
	struct nvme_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL)
		return NULL;
	pthread_mutex_init(&cache->lock, NULL);
	cache->root = root;
	cache->reader = reader;
	cache->files_max = files;
	return cache;
}

void nvme_cache_free(struct nvme_cache *cache)
{
	if (cache == NULL)
		return;
	while (cache->controllers != NULL)
		entry_remove(cache, &cache->controllers);
	while (cache->blocks != NULL)
		entry_remove(cache, &cache->blocks);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}
