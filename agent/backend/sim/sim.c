/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backend/sim/sim_state.h"
#include "agent/list.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

/* Removed things stay in the arena until it is made new. */
#define COMPACT_CHANGES 1024

/* --- the state and its file --- */

static int state_encode(struct sim_kernel *this, struct buffer *output, struct error *error)
{
	this->state.observed = &this->observed;
	return codec_encode(schema_sim_state(), &this->state, CODEC_TAGGED, output, error);
}

static int state_decode(struct sim_kernel *this, struct bytes bytes, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct sim_state state;
	int code = codec_decode(schema_sim_state(), bytes, &arena, &state, error);

	if (code != 0) {
		arena_free(&arena);
		return code;
	}
	arena_free(&this->arena);
	this->arena = arena;
	this->state = state;
	this->observed = *state.observed;
	return 0;
}

/* Decoded lists have no spare room, which list_push() counts on: copy them into grown ones. */
#define LIST_REGROW(arena, list)                                                                                       \
	do {                                                                                                           \
		__typeof__(*(list)) old_ = *(list);                                                                    \
		memset((list), 0, sizeof(*(list)));                                                                    \
		for (size_t i_ = 0; i_ < old_.count; i_++) {                                                           \
			__typeof__(old_.items) item_ = LIST_PUSH((arena), (list));                                     \
			if (item_ == NULL)                                                                             \
				return -1;                                                                             \
			*item_ = old_.items[i_];                                                                       \
		}                                                                                                      \
	} while (0)

static int state_regrow(struct sim_kernel *this)
{
	struct observed *observed = &this->observed;

	LIST_REGROW(&this->arena, &observed->dms);
	LIST_REGROW(&this->arena, &observed->ports);
	LIST_REGROW(&this->arena, &observed->subsystems);
	LIST_REGROW(&this->arena, &observed->hosts);
	LIST_REGROW(&this->arena, &observed->imports);
	LIST_REGROW(&this->arena, &observed->import_namespaces);
	LIST_REGROW(&this->arena, &observed->disks);
	LIST_REGROW(&this->arena, &observed->errors);
	LIST_REGROW(&this->arena, &observed->pauses);
	LIST_REGROW(&this->arena, &this->state.blocks);
	LIST_REGROW(&this->arena, &this->state.thins);
	/* The codec leaves out what is empty, and an error target has no parameters: they are "" here, as when the
	 * device was made. */
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_target_list *table = &observed->dms.items[i].targets;

		for (size_t j = 0; j < table->count; j++) {
			if (table->items[j].params == NULL)
				table->items[j].params = "";
		}
		LIST_REGROW(&this->arena, &observed->dms.items[i].deleted);
		if (observed->dms.items[i].uuid == NULL)
			observed->dms.items[i].uuid = "";
	}
	for (size_t i = 0; i < observed->ports.count; i++) {
		LIST_REGROW(&this->arena, &observed->ports.items[i].subsystems);
		LIST_REGROW(&this->arena, &observed->ports.items[i].groups);
		LIST_REGROW(&this->arena, &observed->ports.items[i].rejected_for);
	}
	for (size_t i = 0; i < observed->subsystems.count; i++) {
		LIST_REGROW(&this->arena, &observed->subsystems.items[i].hosts);
		LIST_REGROW(&this->arena, &observed->subsystems.items[i].namespaces);
	}
	return 0;
}

static int file_save(struct sim_kernel *this, struct bytes bytes, struct error *error)
{
	char temporary[PATH_MAX];
	int fd;

	snprintf(temporary, sizeof(temporary), "%s.new", this->path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot write %s", temporary);
	if (write(fd, bytes.data, bytes.size) != (ssize_t)bytes.size) {
		close(fd);
		return error_set(error, ERROR_INTERNAL, "cannot write %s", temporary);
	}
	close(fd);
	if (rename(temporary, this->path) != 0)
		return error_set_errno(error, errno, "cannot replace %s", this->path);
	return 0;
}

static int file_load(struct sim_kernel *this, struct error *error)
{
	struct buffer content = BUFFER_INIT;
	FILE *stream = fopen(this->path, "re");
	char part[65536];
	size_t size;
	int code = 0;

	if (stream == NULL)
		return errno == ENOENT ? 0 : error_set_errno(error, errno, "cannot read %s", this->path);
	while ((size = fread(part, 1, sizeof(part), stream)) > 0 && code == 0) {
		if (buffer_append(&content, part, size) != 0)
			code = error_set_nomem(error);
	}
	fclose(stream);
	if (code == 0)
		code = state_decode(this, buffer_bytes(&content), error);
	if (code == 0 && state_regrow(this) != 0)
		code = error_set_nomem(error);
	buffer_free(&content);
	return code != 0 ? error_prefix(error, "state of the simulated kernel in %s", this->path) : 0;
}

int sim_begin(struct sim_kernel *this, const char *operation, const char *name, struct error *error)
{
	kernel_sim_fault fault;
	void *data;
	int code;

	/* Called without the lock: it may look at this kernel, or wait. */
	pthread_mutex_lock(&this->lock);
	fault = this->fault;
	data = this->fault_data;
	pthread_mutex_unlock(&this->lock);
	code = fault != NULL ? fault(data, operation, name, error) : 0;
	if (code == 0) {
		pthread_mutex_lock(&this->lock);
		sim_pauses_look(this);
	}
	return code;
}

int sim_end(struct sim_kernel *this, int code, struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	bool compact;

	if (code == 0) {
		this->changes++;
		compact = this->changes - this->compacted >= COMPACT_CHANGES;
		if (compact || this->path != NULL)
			code = state_encode(this, &bytes, error);
		if (code == 0 && this->path != NULL)
			code = file_save(this, buffer_bytes(&bytes), error);
		if (code == 0 && compact) {
			this->compacted = this->changes;
			code = state_decode(this, buffer_bytes(&bytes), error);
			if (code == 0 && state_regrow(this) != 0)
				code = error_set_nomem(error);
		}
		buffer_free(&bytes);
	}
	pthread_mutex_unlock(&this->lock);
	return code;
}

void sim_list_remove(void *list, size_t index, size_t item_size)
{
	struct any_list *any = list;
	char *items = any->items;

	memmove(items + index * item_size, items + (index + 1) * item_size, (any->count - index - 1) * item_size);
	any->count--;
	/* The list grows at powers of two and finds the old room too small then: harmless, but never too large. */
}

static int sim_observe(struct kernel *kernel, struct arena *arena, struct observed *ret_observed, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "observe", "", error);

	if (code != 0)
		return code;
	code = codec_copy(schema_observed(), &this->observed, arena, ret_observed, error);
	pthread_mutex_unlock(&this->lock);
	return code;
}

/* --- I/O errors of LDs --- */

static struct ld_errors *errors_get(struct sim_kernel *this, uint64_t ld)
{
	struct ld_errors *errors;

	for (size_t i = 0; i < this->observed.errors.count; i++) {
		if (this->observed.errors.items[i].ld == ld)
			return &this->observed.errors.items[i];
	}
	errors = LIST_PUSH(&this->arena, &this->observed.errors);
	if (errors != NULL)
		errors->ld = ld;
	return errors;
}

int sim_errors_forget(struct kernel *kernel, uint64_t ld, uint64_t rebuild_ms, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct ld_errors *errors;
	char name[NAMES_ID_SIZE];
	int code;

	names_id_format("ld", ld, name);
	code = sim_begin(this, "errors_forget", name, error);
	if (code != 0)
		return code;
	errors = errors_get(this, ld);
	if (errors != NULL)
		*errors = (struct ld_errors){ .ld = ld, .rebuild_ms = rebuild_ms };
	return sim_end(this, errors != NULL ? 0 : error_set_nomem(error), error);
}

int kernel_sim_errors_add(struct kernel *kernel, uint64_t ld, uint64_t reads, uint64_t writes, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct ld_errors *errors;

	pthread_mutex_lock(&this->lock);
	errors = errors_get(this, ld);
	if (errors != NULL) {
		errors->reads += reads;
		errors->writes += writes;
		errors->missed = errors->missed || reads + writes == 0;
		/* No two of them at one moment. */
		errors->last_us = errors->missed ? 0 : errors->reads + errors->writes;
	}
	return sim_end(this, errors != NULL ? 0 : error_set_nomem(error), error);
}

/* --- life --- */

static void sim_close(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	if (this == NULL)
		return;
	arena_free(&this->arena);
	pthread_mutex_destroy(&this->lock);
	free(this->path);
	free(this);
}

static const struct kernel_operations sim_operations = {
	.observe = sim_observe,
	.dm_create = sim_dm_create,
	.dm_remove = sim_dm_remove,
	.dm_reload = sim_dm_reload,
	.dm_suspend = sim_dm_suspend,
	.dm_resume = sim_dm_resume,
	.dm_drain = sim_dm_drain,
	.dm_status = sim_dm_status,
	.block_flush = sim_block_flush,
	.dm_message = sim_dm_message,
	.dm_has_target = sim_dm_has_target,
	.pause_hold = sim_pause_hold,
	.pause_snap = sim_pause_snap,
	.pause_release = sim_pause_release,
	.pause_forget = sim_pause_forget,
	.thin_delete = sim_thin_delete,
	.block_zero = sim_block_zero,
	.block_read = sim_block_read,
	.block_write = sim_block_write,
	.block_fill = sim_block_fill,
	.port_create = sim_port_create,
	.port_remove = sim_port_remove,
	.subsystem_create = sim_subsystem_create,
	.subsystem_remove = sim_subsystem_remove,
	.namespace_create = sim_namespace_create,
	.namespace_set_group = sim_namespace_set_group,
	.namespace_resize = sim_namespace_resize,
	.namespace_remove = sim_namespace_remove,
	.host_allow = sim_host_allow,
	.host_deny = sim_host_deny,
	.port_link = sim_port_link,
	.port_unlink = sim_port_unlink,
	.port_reject = sim_port_reject,
	.port_admit = sim_port_admit,
	.watch = sim_watch,
	.import_connect = sim_import_connect,
	.import_disconnect = sim_import_disconnect,
	.import_rescan = sim_import_rescan,
	.import_drop = sim_import_drop,
	.imports_check = sim_imports_check,
	.gate_guard = sim_gate_guard,
	.gate_refresh = sim_gate_refresh,
	.gate_open = sim_gate_open,
	.gate_shut = sim_gate_shut,
	.gate_join = sim_gate_join,
	.gate_leave = sim_gate_leave,
	.gate_admit = sim_gate_admit,
	.gate_read = sim_gate_read,
	.hosts_look = sim_hosts_look,
	.imports_tend = sim_imports_tend,
	.errors_forget = sim_errors_forget,
	.cache_off = sim_cache_off,
	.close = sim_close,
};

int kernel_sim_open(const char *state_path, struct kernel **ret_kernel, struct error *error)
{
	struct sim_kernel *this = calloc(1, sizeof(*this));
	int code = 0;

	if (this == NULL)
		return error_set_nomem(error);
	this->base.operations = &sim_operations;
	pthread_mutex_init(&this->lock, NULL);
	if (state_path != NULL) {
		this->path = strdup(state_path);
		code = this->path == NULL ? error_set_nomem(error) : file_load(this, error);
	}
	if (code != 0) {
		sim_close(&this->base);
		return code;
	}
	*ret_kernel = &this->base;
	return 0;
}

static int size_parse(const char *text, uint64_t *ret_bytes)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = { { "", 1 },
		      { "KiB", UINT64_C(1) << 10 },
		      { "MiB", UINT64_C(1) << 20 },
		      { "GiB", UINT64_C(1) << 30 },
		      { "TiB", UINT64_C(1) << 40 } };
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno != 0)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) == 0)
			return __builtin_mul_overflow(number, units[i].bytes, ret_bytes) ? -1 : 0;
	}
	return -1;
}

static int sim_disk_use(struct sim_kernel *this, struct observed_disk *disk, const char *colon, struct error *error)
{
	char *text = colon != NULL ? arena_strdup(&this->arena, colon + 1) : NULL;

	if (colon != NULL && text == NULL)
		return error_set_nomem(error);
	disk->used_by = text;
	disk->in_use = text != NULL;
	return 0;
}

int kernel_sim_disk_add(struct kernel *kernel, const char *text, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const char *equals = strchr(text, '='), *colon = equals != NULL ? strchr(equals, ':') : NULL;
	struct observed_disk *disk;
	char size[32] = "";
	uint64_t bytes;
	int code = 0;

	if (equals != NULL)
		snprintf(size, sizeof(size), "%.*s", colon != NULL ? (int)(colon - equals - 1) : (int)sizeof(size),
			 equals + 1);
	if (equals == NULL || text[0] != '/' || (size_t)(equals - text) > LIMIT_PATH || size_parse(size, &bytes) != 0 ||
	    (colon != NULL && (colon[1] == '\0' || strlen(colon + 1) > LIMIT_USED_BY))) {
		error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not a simulated disk", text);
		return error_hint(error, "write PATH=SIZE or PATH=SIZE:USED-BY, as /dev/sim0=1TiB");
	}
	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.disks.count; i++) {
		disk = &this->observed.disks.items[i];
		if (strlen(disk->path) == (size_t)(equals - text) &&
		    strncmp(disk->path, text, (size_t)(equals - text)) == 0)
			return sim_end(this, sim_disk_use(this, disk, colon, error), error);
	}
	disk = LIST_PUSH(&this->arena, &this->observed.disks);
	if (disk == NULL)
		return sim_end(this, error_set_nomem(error), error);
	disk->path = arena_strndup(&this->arena, text, (size_t)(equals - text));
	disk->serial = arena_printf(&this->arena, "sim%zu", this->observed.disks.count);
	disk->major = SIM_DISK_MAJOR;
	disk->minor = this->state.next_minor++;
	disk->size_bytes = bytes;
	if (disk->path == NULL || disk->serial == NULL)
		code = error_set_nomem(error);
	else
		code = sim_disk_use(this, disk, colon, error);
	return sim_end(this, code, error);
}

int kernel_sim_foreign_add(struct kernel *kernel, const char *name, const char *uuid, const char *nqn,
			   struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	struct observed_dm *dm;

	pthread_mutex_lock(&this->lock);
	dm = LIST_PUSH(&this->arena, &this->observed.dms);
	subsystem = LIST_PUSH(&this->arena, &this->observed.subsystems);
	if (dm == NULL || subsystem == NULL)
		return sim_end(this, error_set_nomem(error), error);
	dm->name = arena_strdup(&this->arena, name);
	dm->uuid = arena_strdup(&this->arena, uuid);
	dm->major = SIM_DM_MAJOR;
	dm->minor = this->state.next_minor++;
	subsystem->nqn = arena_strdup(&this->arena, nqn);
	subsystem->cntlid_min = 1;
	subsystem->cntlid_max = 65519;
	return sim_end(this,
		       dm->name == NULL || dm->uuid == NULL || subsystem->nqn == NULL ? error_set_nomem(error) : 0,
		       error);
}

void kernel_sim_path_set(struct kernel *kernel, const char *nqn, const char *address, const char *state,
			 const char *ana)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		struct observed_import *import = &this->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) != 0 || strcmp(import->address, address) != 0)
			continue;
		import->state = state;
		import->ana = ana;
	}
	pthread_mutex_unlock(&this->lock);
}

void kernel_sim_paths_set(struct kernel *kernel, const char *nqn, const char *address, uint64_t paths)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		struct observed_import *import = &this->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) == 0 && strcmp(import->address, address) == 0)
			import->paths = paths;
	}
	pthread_mutex_unlock(&this->lock);
}

int kernel_sim_reboot(struct kernel *kernel, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_disk_list disks;

	pthread_mutex_lock(&this->lock);
	disks = this->observed.disks;
	this->observed = (struct observed){ .disks = disks };
	sim_caches_on(this);
	this->gate_count = this->peer_count = this->joined_count = 0;
	return sim_end(this, 0, error);
}

void kernel_sim_labels_assume(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	this->assume_labels = true;
}

void kernel_sim_fault_set(struct kernel *kernel, kernel_sim_fault fault, void *data)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	this->fault = fault;
	this->fault_data = data;
	pthread_mutex_unlock(&this->lock);
}

uint64_t kernel_sim_changes(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	uint64_t changes;

	pthread_mutex_lock(&this->lock);
	changes = this->changes;
	pthread_mutex_unlock(&this->lock);
	return changes;
}
