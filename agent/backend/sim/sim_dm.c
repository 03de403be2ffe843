/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device-mapper and the blocks on it. */
#include "agent/backend/sim/sim_state.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "agent/label.h"
#include "agent/list.h"
#include "agent/word.h"

#define SECTOR_BYTES LIMIT_SECTOR_BYTES
#define BLOCK_BYTES 4096

struct device {
	uint64_t major, minor, sectors;
	struct observed_dm *dm; /* NULL: a disk or an imported namespace */
	const char *identity;	/* what stays the same when it is made again */
};

/* Each request of the simulation comes here a few times: where a name was found last is looked at first. */
struct observed_dm *sim_dm_find(struct sim_kernel *this, const char *name)
{
	const struct observed_dm_list *dms = &this->observed.dms;
	size_t *hint = &this->dm_hints[XXH3_64bits(name, strlen(name)) % SIM_DM_HINTS];

	if (*hint < dms->count && strcmp(dms->items[*hint].name, name) == 0)
		return &dms->items[*hint];
	for (size_t i = 0; i < dms->count; i++) {
		if (strcmp(dms->items[i].name, name) != 0)
			continue;
		*hint = i;
		return &dms->items[i];
	}
	return NULL;
}

uint64_t sim_table_sectors(const struct observed_target_list *table)
{
	return table->count == 0 ? 0 : table->items[table->count - 1].start + table->items[table->count - 1].length;
}

/* By "major:minor". */
static bool device_find(struct sim_kernel *this, const char *number, struct device *ret_device)
{
	struct observed *observed = &this->observed;
	uint64_t major, minor;
	char *colon, *end;

	/* Each request of the simulation comes here: sscanf() would be most of it. */
	major = strtoull(number, &colon, 10);
	if (colon == number || *colon != ':')
		return false;
	minor = strtoull(colon + 1, &end, 10);
	if (end == colon + 1)
		return false;
	*ret_device = (struct device){ .major = major, .minor = minor };
	for (size_t i = 0; i < observed->dms.count; i++) {
		if (observed->dms.items[i].major == major && observed->dms.items[i].minor == minor) {
			ret_device->dm = &observed->dms.items[i];
			ret_device->sectors = sim_table_sectors(&ret_device->dm->targets);
			ret_device->identity = ret_device->dm->uuid;
			return true;
		}
	}
	for (size_t i = 0; i < observed->disks.count; i++) {
		if (observed->disks.items[i].major == major && observed->disks.items[i].minor == minor) {
			ret_device->sectors = observed->disks.items[i].size_bytes / SECTOR_BYTES;
			ret_device->identity = observed->disks.items[i].path;
			return true;
		}
	}
	for (size_t i = 0; i < observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &observed->import_namespaces.items[i];

		if (ns->major == major && ns->minor == minor) {
			ret_device->sectors = ns->size_bytes / SECTOR_BYTES;
			/* One LD is one namespace of its subsystem at its place. */
			ret_device->identity = (const char *)ns->uuid;
			return true;
		}
	}
	return false;
}

struct observed_dm *sim_dm_by_number(struct sim_kernel *this, const char *number)
{
	struct device device;

	return device_find(this, number, &device) ? device.dm : NULL;
}

/* The words of params; references become numbers. Each device must exist. */
struct words {
	char text[LIMIT_DM_PARAMS + 1], copy[LIMIT_DM_PARAMS + 1];
	char *word[2 * LIMIT_LEGS + 16];
	size_t count;
};

static int words_split(struct sim_kernel *this, const char *params, struct words *words, struct error *error)
{
	char *rest = NULL;
	size_t used = 0;

	words->count = 0;
	words->text[0] = '\0';
	snprintf(words->copy, sizeof(words->copy), "%s", params != NULL ? params : "");
	for (char *word = strtok_r(words->copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		char *at = words->text + used;

		if (word[0] == '@') {
			const struct observed_dm *dm = sim_dm_find(this, word + 1);

			if (dm == NULL)
				return error_set(error, ERROR_NOT_FOUND, "there is no device %s", word + 1);
			used += (size_t)snprintf(at, sizeof(words->text) - used, "%" PRIu64 ":%" PRIu64 " ", dm->major,
						 dm->minor);
		} else {
			used += (size_t)snprintf(at, sizeof(words->text) - used, "%s ", word);
		}
		if (used >= sizeof(words->text) || words->count == sizeof(words->word) / sizeof(words->word[0]))
			return error_set(error, ERROR_TOO_LARGE, "a table line is too long");
	}
	if (used > 0)
		words->text[used - 1] = '\0';
	snprintf(words->copy, sizeof(words->copy), "%s", words->text);
	for (char *word = strtok_r(words->copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		words->word[words->count++] = word;
	return 0;
}

static bool is_device(const char *word)
{
	return isdigit((unsigned char)word[0]) && strchr(word, ':') != NULL;
}

size_t sim_identity_length(const char *uuid)
{
	const char *epoch = strrchr(uuid, '-');

	return epoch != NULL && epoch[1] == 'e' ? (size_t)(epoch - uuid) : strlen(uuid);
}

bool sim_thin_exists(struct sim_kernel *this, const char *identity)
{
	size_t length = sim_identity_length(identity);

	if (this->world.resolve != NULL)
		return this->world.thin_find(this->world.data, identity, length);
	for (size_t i = 0; i < this->state.thins.count; i++) {
		const char *thin = this->state.thins.items[i];

		if (sim_identity_length(thin) == length && strncmp(thin, identity, length) == 0)
			return true;
	}
	return false;
}

int sim_thin_add(struct sim_kernel *this, const char *pool_uuid)
{
	if (this->world.resolve != NULL) {
		this->world.thin_make(this->world.data, pool_uuid, sim_identity_length(pool_uuid));
		return 0;
	}
	return sim_thin_exists(this, pool_uuid) ? 0 : list_push_string(&this->arena, &this->state.thins, pool_uuid);
}

void sim_thin_remove(struct sim_kernel *this, const char *identity)
{
	if (this->world.resolve != NULL) {
		this->world.thin_drop(this->world.data, identity);
		return;
	}
	for (size_t i = this->state.thins.count; i-- > 0;) {
		if (strcmp(this->state.thins.items[i], identity) == 0)
			sim_list_remove(&this->state.thins, i, sizeof(this->state.thins.items[0]));
	}
}

void kernel_sim_writethrough_lack(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	this->lacks_writethrough = true;
	pthread_mutex_unlock(&this->lock);
}

static bool target_is_known(const struct sim_kernel *this, const char *type)
{
	static const char *const others[] = { "linear", "striped", "error", "raid", "thin-pool", "thin", KERNEL_DELAY };

	if (strcmp(type, KERNEL_WRITETHROUGH) == 0)
		return !this->lacks_writethrough;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(type, others[i]) == 0)
			return true;
	}
	return false;
}

int sim_dm_has_target(struct kernel *kernel, const char *type, bool *ret_has, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "dm_has_target", type, error);

	if (code != 0)
		return code;
	*ret_has = target_is_known(this, type);
	pthread_mutex_unlock(&this->lock);
	return 0;
}

/* A line as the kernel prints it, after the checks that its target makes. */
static int line_check(struct sim_kernel *this, const struct observed_target *line, char *ret_params, size_t size,
		      struct error *error)
{
	struct words *words = malloc(sizeof(*words));
	struct device device;
	int code;

	if (words == NULL)
		return error_set_nomem(error);
	code = target_is_known(this, line->type)
		       ? words_split(this, line->params, words, error)
		       : error_set(error, ERROR_FAILED_PRECONDITION, "there is no target \"%s\"", line->type);
	for (size_t i = 0; i < words->count && code == 0; i++) {
		if (!is_device(words->word[i]))
			continue;
		if (!device_find(this, words->word[i], &device))
			code = error_set(error, ERROR_NOT_FOUND, "there is no device %s", words->word[i]);
		else if (strcmp(line->type, "linear") == 0 &&
			 strtoull(words->word[i + 1], NULL, 10) + line->length > device.sectors)
			code = error_set(error, ERROR_INVALID_ARGUMENT, "%s is too small for \"%s\"", words->word[i],
					 line->params);
		else if (strcmp(line->type, KERNEL_WRITETHROUGH) == 0 && line->length > device.sectors)
			code = error_set(error, ERROR_INVALID_ARGUMENT, "%s is too small for %" PRIu64 " sectors",
					 words->word[i], line->length);
		else if (strcmp(line->type, "thin") == 0 && i == 0 &&
			 (device.dm == NULL || !sim_thin_exists(this, device.identity)))
			code = error_set(error, ERROR_NOT_FOUND, "the pool has no thin device 0");
		else if (strcmp(line->type, "thin") == 0 && i == 0 && strcmp(words->word[1], "0") != 0 &&
			 /* Without a world nobody knows what another node made. */
			 this->world.resolve != NULL &&
			 !sim_thin_is_made(this, device.dm, strtoull(words->word[1], NULL, 10)))
			code = error_set(error, ERROR_NOT_FOUND, "the pool has no thin device %s", words->word[1]);
	}
	if (code == 0 && strcmp(line->type, "linear") == 0 && words->count != 2)
		code = error_set(error, ERROR_INVALID_ARGUMENT, "a linear needs two parameters");
	/* The raid target prints its parameters as it counts them, a pool ends in a blank. */
	if (code == 0)
		snprintf(ret_params, size, "%s%s", words->text, strcmp(line->type, "thin-pool") == 0 ? " " : "");
	free(words);
	return code;
}

static int table_copy(struct sim_kernel *this, const struct observed_target_list *table,
		      struct observed_target_list *ret_table, struct error *error)
{
	struct observed_target_list copy = { 0 };
	char params[LIMIT_DM_PARAMS + 2];

	for (size_t i = 0; i < table->count; i++) {
		struct observed_target *line = LIST_PUSH(&this->arena, &copy);
		int code;

		if (line == NULL)
			return error_set_nomem(error);
		code = line_check(this, &table->items[i], params, sizeof(params), error);
		if (code != 0)
			return code;
		*line = table->items[i];
		line->type = arena_strdup(&this->arena, table->items[i].type);
		line->params = arena_strdup(&this->arena, params);
		if (line->type == NULL || line->params == NULL)
			return error_set_nomem(error);
	}
	*ret_table = copy;
	return 0;
}

static bool table_has(const struct observed_target_list *table, uint64_t major, uint64_t minor)
{
	for (size_t i = 0; i < table->count; i++) {
		const char *text = table->items[i].params, *word;
		uint64_t a, b;
		size_t length;

		while ((length = word_next(&text, &word)) > 0) {
			if (word_device(word, length, &a, &b) && a == major && b == minor)
				return true;
		}
	}
	return false;
}

/* Count a table's devices as opened (+1) or closed (-1), each once. */
static void table_hold(struct sim_kernel *this, const struct observed_target_list *table, int change)
{
	struct observed_dm_list *dms = &this->observed.dms;

	for (size_t i = 0; i < dms->count; i++) {
		if (table_has(table, dms->items[i].major, dms->items[i].minor))
			dms->items[i].open_count += (uint64_t)(int64_t)change;
	}
}

int sim_dm_create(struct kernel *kernel, const char *name, const char *uuid, const struct observed_target_list *table,
		  struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_target_list copy;
	struct observed_dm *dm;
	int code = sim_begin(this, "dm_create", name, error);

	if (code != 0)
		return code;
	for (size_t i = 0; i < this->observed.dms.count && code == 0; i++) {
		if (strcmp(this->observed.dms.items[i].name, name) == 0 ||
		    strcmp(this->observed.dms.items[i].uuid, uuid) == 0)
			code = error_set(error, ERROR_FAILED_PRECONDITION, "cannot create %s: it exists", name);
	}
	if (code == 0)
		code = table_copy(this, table, &copy, error);
	if (code != 0)
		return sim_end(this, error_prefix(error, "cannot create %s", name), error);
	dm = LIST_PUSH(&this->arena, &this->observed.dms);
	if (dm == NULL || (dm->name = arena_strdup(&this->arena, name)) == NULL ||
	    (dm->uuid = arena_strdup(&this->arena, uuid)) == NULL)
		return sim_end(this, error_set_nomem(error), error);
	dm->major = SIM_DM_MAJOR;
	dm->minor = this->state.next_minor++;
	dm->targets = copy;
	table_hold(this, &copy, 1);
	return sim_end(this, sim_raid_start(this, dm, error), error);
}

static bool import_answers(struct sim_kernel *this, const char *nqn)
{
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		const struct observed_import *import = &this->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) == 0 && strcmp(import->state, "live") == 0 &&
		    (import->ana == NULL || strcmp(import->ana, "inaccessible") != 0) &&
		    (this->world.resolve == NULL || this->world.heard(this->world.data, &this->base, import->address)))
			return true;
	}
	return false;
}

int sim_dm_waits(struct sim_kernel *this, const struct observed_dm *dm, struct error *error)
{
	const struct observed_import_namespace_list *namespaces = &this->observed.import_namespaces;

	for (size_t i = 0; i < dm->targets.count; i++) {
		char copy[LIMIT_DM_PARAMS + 2], *rest = NULL;
		struct device device;

		snprintf(copy, sizeof(copy), "%s", dm->targets.items[i].params);
		for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
			if (!is_device(word) || !device_find(this, word, &device))
				continue;
			if (device.dm != NULL && sim_dm_waits(this, device.dm, error) != 0)
				return ERROR_FAILED_PRECONDITION;
			for (size_t j = 0; device.dm == NULL && j < namespaces->count; j++) {
				if (namespaces->items[j].major == device.major &&
				    namespaces->items[j].minor == device.minor &&
				    !import_answers(this, namespaces->items[j].nqn))
					return error_set(error, ERROR_FAILED_PRECONDITION,
							 "%s would block: the import of %s does not answer", dm->name,
							 namespaces->items[j].nqn);
			}
		}
	}
	return 0;
}

int sim_dm_remove(struct kernel *kernel, const char *name, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm;
	int code = sim_begin(this, "dm_remove", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL)
		return sim_end(this, 0, error);
	if (dm->open_count > 0)
		return sim_end(this,
			       error_set(error, ERROR_FAILED_PRECONDITION, "cannot remove %s: it is in use", name),
			       error);
	code = sim_dm_waits(this, dm, error);
	if (code != 0)
		return sim_end(this, code, error);
	table_hold(this, &dm->targets, -1);
	sim_list_remove(&this->observed.dms, (size_t)(dm - this->observed.dms.items), sizeof(*dm));
	return sim_end(this, 0, error);
}

int sim_dm_reload(struct kernel *kernel, const char *name, const struct observed_target_list *table,
		  struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_target_list copy;
	struct observed_dm *dm;
	int code = sim_begin(this, "dm_reload", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	code = dm == NULL ? error_set(error, ERROR_NOT_FOUND, "there is no device %s", name)
			  : table_copy(this, table, &copy, error);
	if (code == 0)
		code = sim_dm_waits(this, dm, error);
	if (code == 0) {
		table_hold(this, &dm->targets, -1);
		dm->targets = copy;
		dm->event++;
		dm->suspended = false;
		sim_pauses_touch(this, name);
		table_hold(this, &copy, 1);
		code = sim_raid_start(this, dm, error);
	}
	return sim_end(this, code, error);
}

static int suspended_set(struct kernel *kernel, const char *name, bool suspended, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm;
	int code = sim_begin(this, suspended ? "dm_suspend" : "dm_resume", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "there is no device %s", name), error);
	dm->suspended = suspended;
	if (!suspended)
		sim_pauses_touch(this, name);
	return sim_end(this, 0, error);
}

int sim_dm_suspend(struct kernel *kernel, const char *name, struct error *error)
{
	return suspended_set(kernel, name, true, error);
}

int sim_dm_resume(struct kernel *kernel, const char *name, struct error *error)
{
	return suspended_set(kernel, name, false, error);
}

int sim_dm_drain(struct kernel *kernel, const char *name, uint64_t number, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm;
	int code = sim_begin(this, "dm_drain", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "there is no device %s", name), error);
	code = sim_dm_waits(this, dm, error);
	if (code == 0)
		dm->drained = number;
	return sim_end(this, code, error);
}

int sim_dm_status(struct kernel *kernel, const char *name, struct arena *arena, const char **ret_status,
		  struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_dm *dm;
	int code = sim_begin(this, "dm_status", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL || dm->status == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no mirror %s", name);
	else if ((*ret_status = arena_strdup(arena, dm->status)) == NULL)
		code = error_set_nomem(error);
	pthread_mutex_unlock(&this->lock);
	return code;
}

int sim_dm_message(struct kernel *kernel, const char *name, const char *message, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_dm *dm;
	int code = sim_begin(this, "dm_message", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL || strcmp(message, "create_thin 0") != 0)
		code = error_set(error, ERROR_INVALID_ARGUMENT, "%s does not know the message \"%s\"", name, message);
	else if (sim_thin_add(this, dm->uuid) != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

/* --- blocks --- */

/* In a world the namespace is a device of another kernel. */
static int place_remote(struct sim_kernel *this, const uint8_t uuid[16], uint64_t start, struct sim_place *ret_place,
			struct error *error)
{
	struct kernel *kernel;
	const char *device;

	if (this->world.resolve(this->world.data, &this->base, uuid, &kernel, &device, error) != 0)
		return ERROR_UNAVAILABLE;
	return sim_block_place((struct sim_kernel *)kernel, device, start, ret_place, error);
}

/* Where a byte of a device lies: down through linears to what is at the bottom. */
int sim_block_place(struct sim_kernel *this, const char *name, uint64_t start, struct sim_place *ret_place,
		    struct error *error)
{
	struct observed_dm *dm = sim_dm_find(this, name);

	if (dm == NULL)
		return error_set(error, ERROR_NOT_FOUND, "there is no device %s", name);
	while (dm->targets.count > 0 && strcmp(dm->targets.items[0].type, "linear") == 0 &&
	       start / SECTOR_BYTES < dm->targets.items[0].length) {
		const char *params = dm->targets.items[0].params, *offset = strchr(params, ' ');
		struct device device;

		if (!device_find(this, params, &device) || offset == NULL)
			return error_set(error, ERROR_INTERNAL, "%s lies on nothing", dm->name);
		start += strtoull(offset, NULL, 10) * SECTOR_BYTES;
		if (device.dm == NULL) {
			const uint8_t *uuid = (const uint8_t *)device.identity;

			if (device.major != SIM_DISK_MAJOR && this->world.resolve != NULL)
				return place_remote(this, uuid, start, ret_place, error);
			ret_place->kernel = this;
			ret_place->start = start;
			if (device.major == SIM_DISK_MAJOR) {
				snprintf(ret_place->key, SIM_KEY_SIZE, "%s", device.identity);
				return 0;
			}
			for (int i = 0; i < 16; i++)
				snprintf(ret_place->key + 2 * i, SIM_KEY_SIZE - 2 * (size_t)i, "%02x", uuid[i]);
			return 0;
		}
		dm = device.dm;
	}
	ret_place->kernel = this;
	ret_place->start = start;
	snprintf(ret_place->key, SIM_KEY_SIZE, "%s", dm->uuid);
	return 0;
}

struct sim_block *sim_block_find(const struct sim_place *place, uint64_t offset)
{
	struct sim_block_list *blocks = &place->kernel->state.blocks;

	for (size_t i = 0; i < blocks->count; i++) {
		struct sim_block *block = &blocks->items[i];

		if (block->start == place->start + offset && strcmp(block->device, place->key) == 0)
			return block;
	}
	return NULL;
}

int sim_block_put(const struct sim_place *place, uint64_t offset, const void *data)
{
	struct sim_block *block = sim_block_find(place, offset);
	struct sim_kernel *this = place->kernel;

	if (block == NULL) {
		block = LIST_PUSH(&this->arena, &this->state.blocks);
		if (block == NULL || (block->device = arena_strdup(&this->arena, place->key)) == NULL)
			return -1;
		block->start = place->start + offset;
	}
	block->data.data = arena_memdup(&this->arena, data, BLOCK_BYTES);
	block->data.size = BLOCK_BYTES;
	return block->data.data != NULL ? 0 : -1;
}

int sim_block_zero(struct kernel *kernel, const char *name, uint64_t start, uint64_t length, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_block_list *blocks;
	struct sim_place place;
	int code = sim_begin(this, "block_zero", name, error);

	if (code != 0)
		return code;
	code = sim_block_place(this, name, start, &place, error);
	blocks = code == 0 ? &place.kernel->state.blocks : NULL;
	for (size_t i = code == 0 ? blocks->count : 0; i-- > 0;) {
		const struct sim_block *block = &blocks->items[i];

		if (strcmp(block->device, place.key) == 0 && block->start >= place.start &&
		    block->start < place.start + length)
			sim_list_remove(blocks, i, sizeof(*block));
	}
	return sim_end(this, code, error);
}

/* What the holder of an LD wrote at its start; see kernel_sim_labels_assume(). */
static void label_assume(struct sim_kernel *this, const char *name, uint8_t *ret_block)
{
	const struct observed_dm *dm = sim_dm_find(this, name);
	char cluster[32];
	struct ld_label label = { .cluster = cluster,
				  .epoch = 1,
				  .size_bytes = sim_table_sectors(&dm->targets) * SECTOR_BYTES,
				  .formatted = true };

	if (sscanf(dm->uuid, "DNVME-%31[^-]-ld-d%*u.v%" SCNu64 ".s%*u.ld%" SCNu64, cluster, &label.volume, &label.ld) ==
	    3)
		label_encode(&label, ret_block);
}

int sim_block_read(struct kernel *kernel, const char *name, uint64_t start, void *ret_data, size_t length,
		   struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_place place;
	int code = sim_begin(this, "block_read", name, error);

	if (code != 0)
		return code;
	code = sim_block_place(this, name, start, &place, error);
	if (code == 0)
		memset(ret_data, 0, length);
	for (size_t at = 0; at < length && code == 0; at += BLOCK_BYTES) {
		const struct sim_block *block = sim_block_find(&place, at);

		if (block != NULL)
			memcpy((char *)ret_data + at, block->data.data, block->data.size);
		else if (this->assume_labels && start + at == 0 && length >= LABEL_BLOCK_BYTES)
			label_assume(this, name, ret_data);
	}
	pthread_mutex_unlock(&this->lock);
	return code;
}

int sim_block_write(struct kernel *kernel, const char *name, uint64_t start, const void *data, size_t length,
		    struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_place place;
	int code = sim_begin(this, "block_write", name, error);

	if (code != 0)
		return code;
	code = sim_block_place(this, name, start, &place, error);
	for (size_t at = 0; at < length && code == 0; at += BLOCK_BYTES) {
		if (sim_block_put(&place, at, (const char *)data + at) != 0)
			code = error_set_nomem(error);
	}
	return sim_end(this, code, error);
}

/* What the medium holds is the world's; here it is enough that there is a way to it. */
int sim_block_flush(struct kernel *kernel, const char *name, uint64_t timeout_ms, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_dm *dm;
	int code = sim_begin(this, "block_flush", name, error);

	(void)timeout_ms;
	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no device %s", name);
	else if (sim_dm_waits(this, dm, error) != 0)
		code = error->code = ERROR_UNAVAILABLE;
	pthread_mutex_unlock(&this->lock);
	return code;
}

/* Every block is mapped at once: there is no data to hold. */
void kernel_sim_fill_forever(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	this->fills_forever = true;
	pthread_mutex_unlock(&this->lock);
}

int sim_block_fill(struct kernel *kernel, const char *name, uint64_t start, const struct kernel_progress *progress,
		   struct error *error)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_dm *dm;
	bool forever, goes_on = true;
	int code = sim_begin(this, "block_fill", name, error);

	if (code != 0)
		return code;
	dm = sim_dm_find(this, name);
	if (dm == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no device %s", name);
	else if (start > sim_table_sectors(&dm->targets) * SECTOR_BYTES)
		code = error_set(error, ERROR_INVALID_ARGUMENT, "%s ends before byte %" PRIu64, name, start);
	forever = this->fills_forever;
	code = sim_end(this, code, error);
	if (code != 0 || progress == NULL)
		return code;
	do {
		goes_on = progress->tell(progress->data, forever ? 0 : 1, 1);
		if (forever)
			nanosleep(&pause, NULL);
	} while (forever && goes_on);
	return goes_on ? 0 : error_set(error, ERROR_CANCELLED, "writing zeros to %s was interrupted", name);
}
