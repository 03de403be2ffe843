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
#define LIST_REGROW(arena, list)                                                        \
	do {                                                                            \
		__typeof__(*(list)) old_ = *(list);                                     \
		memset((list), 0, sizeof(*(list)));                                     \
		for (size_t i_ = 0; i_ < old_.count; i_++) {                            \
			__typeof__(old_.items) item_ = LIST_PUSH((arena), (list));      \
			if (item_ == NULL)                                              \
				return -1;                                              \
			*item_ = old_.items[i_];                                        \
		}                                                                       \
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
	LIST_REGROW(&this->arena, &this->state.blocks);
	LIST_REGROW(&this->arena, &this->state.thins);
	for (size_t i = 0; i < observed->ports.count; i++) {
		LIST_REGROW(&this->arena, &observed->ports.items[i].subsystems);
		LIST_REGROW(&this->arena, &observed->ports.items[i].groups);
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
	int code = this->fault != NULL ? this->fault(this->fault_data, operation, name, error) : 0;

	if (code == 0)
		pthread_mutex_lock(&this->lock);
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
	struct buffer bytes = BUFFER_INIT;
	int code = sim_begin(this, "observe", "", error);

	if (code != 0)
		return code;
	/* A deep copy. */
	code = codec_encode(schema_observed(), &this->observed, CODEC_TAGGED, &bytes, error);
	pthread_mutex_unlock(&this->lock);
	if (code == 0)
		code = codec_decode(schema_observed(), buffer_bytes(&bytes), arena, ret_observed, error);
	buffer_free(&bytes);
	return code;
}

/* --- the NVMe target --- */

static struct observed_port *port_find(struct sim_kernel *this, uint64_t id)
{
	for (size_t i = 0; i < this->observed.ports.count; i++) {
		if (this->observed.ports.items[i].id == id)
			return &this->observed.ports.items[i];
	}
	return NULL;
}

static struct observed_subsystem *subsystem_find(struct sim_kernel *this, const char *nqn)
{
	for (size_t i = 0; i < this->observed.subsystems.count; i++) {
		if (strcmp(this->observed.subsystems.items[i].nqn, nqn) == 0)
			return &this->observed.subsystems.items[i];
	}
	return NULL;
}

static size_t string_find(const struct string_list *list, const char *text)
{
	size_t i = 0;

	while (i < list->count && strcmp(list->items[i], text) != 0)
		i++;
	return i;
}

static int string_add(struct sim_kernel *this, struct string_list *list, const char *text)
{
	return string_find(list, text) < list->count ? 0 : list_push_string(&this->arena, list, text);
}

static void string_remove(struct string_list *list, const char *text)
{
	size_t at = string_find(list, text);

	if (at < list->count)
		sim_list_remove(list, at, sizeof(list->items[0]));
}

static int group_add(struct sim_kernel *this, struct observed_port *port, uint64_t id, const char *state)
{
	struct observed_ana_group *group;

	for (size_t i = 0; i < port->groups.count; i++) {
		if (port->groups.items[i].id == id)
			return 0;
	}
	group = LIST_PUSH(&this->arena, &port->groups);
	if (group == NULL)
		return -1;
	group->id = id;
	group->state = state;
	return 0;
}

static int port_create(struct kernel *kernel, const char *mark, uint64_t id, const char *address, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_create", mark, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port != NULL && (port->mark == NULL || strcmp(port->mark, mark) != 0))
		return sim_end(this, error_set(error, ERROR_FAILED_PRECONDITION, "port %" PRIu64 " is not ours", id),
			       error);
	if (port == NULL)
		port = LIST_PUSH(&this->arena, &this->observed.ports);
	if (port == NULL)
		return sim_end(this, error_set_nomem(error), error);
	port->id = id;
	port->mark = arena_strdup(&this->arena, mark);
	port->address = arena_strdup(&this->arena, address);
	port->trsvcid = arena_printf(&this->arena, "%" PRIu64, id);
	if (port->mark == NULL || port->address == NULL || port->trsvcid == NULL ||
	    group_add(this, port, KERNEL_ANA_OPTIMIZED, "optimized") != 0 ||
	    group_add(this, port, KERNEL_ANA_INACCESSIBLE, "inaccessible") != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

static int port_remove(struct kernel *kernel, const char *mark, uint64_t id, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_remove", mark, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port != NULL && port->subsystems.count > 0)
		code = error_set(error, ERROR_FAILED_PRECONDITION, "port %" PRIu64 " has subsystems", id);
	else if (port != NULL)
		sim_list_remove(&this->observed.ports, (size_t)(port - this->observed.ports.items), sizeof(*port));
	return sim_end(this, code, error);
}

static int subsystem_create(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
			    struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	int code = sim_begin(this, "subsystem_create", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	if (subsystem == NULL) {
		subsystem = LIST_PUSH(&this->arena, &this->observed.subsystems);
		if (subsystem == NULL || (subsystem->nqn = arena_strdup(&this->arena, nqn)) == NULL)
			return sim_end(this, error_set_nomem(error), error);
	}
	subsystem->any_host = false;
	subsystem->cntlid_min = cntlid_min;
	subsystem->cntlid_max = cntlid_max;
	return sim_end(this, 0, error);
}

static int subsystem_remove(struct kernel *kernel, const char *nqn, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	int code = sim_begin(this, "subsystem_remove", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	for (size_t i = 0; subsystem != NULL && i < this->observed.ports.count; i++) {
		if (string_find(&this->observed.ports.items[i].subsystems, nqn) <
		    this->observed.ports.items[i].subsystems.count)
			code = error_set(error, ERROR_FAILED_PRECONDITION, "%s is linked to a port", nqn);
	}
	if (subsystem != NULL && code == 0 && (subsystem->namespaces.count > 0 || subsystem->hosts.count > 0))
		code = error_set(error, ERROR_FAILED_PRECONDITION, "%s is not empty", nqn);
	if (subsystem != NULL && code == 0)
		sim_list_remove(&this->observed.subsystems, (size_t)(subsystem - this->observed.subsystems.items),
				sizeof(*subsystem));
	return sim_end(this, code, error);
}

static struct observed_namespace *namespace_find(struct observed_subsystem *subsystem, uint32_t nsid)
{
	for (size_t i = 0; subsystem != NULL && i < subsystem->namespaces.count; i++) {
		if (subsystem->namespaces.items[i].nsid == nsid)
			return &subsystem->namespaces.items[i];
	}
	return NULL;
}

static int namespace_create(struct kernel *kernel, const char *nqn, const struct kernel_namespace *wanted,
			    struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	struct observed_namespace *ns;
	struct observed_dm *dm;
	int code = sim_begin(this, "namespace_create", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	dm = sim_dm_find(this, wanted->device);
	if (subsystem == NULL || dm == NULL)
		return sim_end(this,
			       error_set(error, ERROR_NOT_FOUND, "there is no %s", dm == NULL ? wanted->device : nqn),
			       error);
	if (namespace_find(subsystem, wanted->nsid) != NULL)
		return sim_end(this, error_set(error, ERROR_FAILED_PRECONDITION, "namespace exists in %s", nqn), error);
	ns = LIST_PUSH(&this->arena, &subsystem->namespaces);
	if (ns == NULL || (ns->path = arena_printf(&this->arena, "/dev/mapper/%s", wanted->device)) == NULL)
		return sim_end(this, error_set_nomem(error), error);
	ns->nsid = wanted->nsid;
	ns->group = wanted->group;
	memcpy(ns->uuid, wanted->uuid, sizeof(ns->uuid));
	memcpy(ns->nguid, wanted->uuid, sizeof(ns->nguid));
	ns->enabled = true;
	dm->open_count++;
	return sim_end(this, 0, error);
}

static int namespace_set_group(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group,
			       struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_namespace *ns;
	int code = sim_begin(this, "namespace_set_group", nqn, error);

	if (code != 0)
		return code;
	ns = namespace_find(subsystem_find(this, nqn), nsid);
	if (ns == NULL)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "there is no namespace in %s", nqn), error);
	ns->group = group;
	return sim_end(this, 0, error);
}

static int namespace_remove(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	struct observed_namespace *ns;
	struct observed_dm *dm;
	int code = sim_begin(this, "namespace_remove", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	ns = namespace_find(subsystem, nsid);
	if (ns != NULL) {
		dm = sim_dm_find(this, ns->path + strlen("/dev/mapper/"));
		if (dm != NULL)
			dm->open_count--;
		sim_list_remove(&subsystem->namespaces, (size_t)(ns - subsystem->namespaces.items), sizeof(*ns));
	}
	return sim_end(this, 0, error);
}

static int host_allow(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	int code = sim_begin(this, "host_allow", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	if (subsystem == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no %s", nqn);
	else if (string_add(this, &this->observed.hosts, host_nqn) != 0 ||
		 string_add(this, &subsystem->hosts, host_nqn) != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

static int host_deny(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_subsystem *subsystem;
	bool used = false;
	int code = sim_begin(this, "host_deny", nqn, error);

	if (code != 0)
		return code;
	subsystem = subsystem_find(this, nqn);
	if (subsystem != NULL)
		string_remove(&subsystem->hosts, host_nqn);
	for (size_t i = 0; i < this->observed.subsystems.count; i++)
		used = used || string_find(&this->observed.subsystems.items[i].hosts, host_nqn) <
				       this->observed.subsystems.items[i].hosts.count;
	if (!used)
		string_remove(&this->observed.hosts, host_nqn);
	return sim_end(this, 0, error);
}

static int port_link(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_link", nqn, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port == NULL || subsystem_find(this, nqn) == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no port %" PRIu64 " or no %s", id, nqn);
	else if (string_add(this, &port->subsystems, nqn) != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

static int port_unlink(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_unlink", nqn, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port != NULL)
		string_remove(&port->subsystems, nqn);
	return sim_end(this, 0, error);
}

/* --- the NVMe initiator --- */

static size_t import_find(struct sim_kernel *this, const struct kernel_import *import)
{
	const struct observed_import_list *imports = &this->observed.imports;
	char port[24];
	size_t i = 0;

	snprintf(port, sizeof(port), "%" PRIu64, import->port);
	while (i < imports->count &&
	       (strcmp(imports->items[i].nqn, import->nqn) != 0 || strcmp(imports->items[i].trsvcid, port) != 0 ||
		strcmp(imports->items[i].address, import->address) != 0))
		i++;
	return i;
}

static int import_namespace_add(struct sim_kernel *this, const struct kernel_import *import, size_t index)
{
	const struct kernel_expected *expected = &import->expected.items[index];
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	struct observed_import_namespace *ns;

	for (size_t i = 0; i < list->count; i++) {
		if (memcmp(list->items[i].uuid, expected->uuid, sizeof(expected->uuid)) == 0)
			return 0;
	}
	ns = LIST_PUSH(&this->arena, list);
	if (ns == NULL)
		return -1;
	ns->nqn = arena_strdup(&this->arena, import->nqn);
	ns->nsid = index + 1;
	memcpy(ns->uuid, expected->uuid, sizeof(ns->uuid));
	ns->major = SIM_NVME_MAJOR;
	ns->minor = this->state.next_minor++;
	ns->path = arena_printf(&this->arena, "/dev/nvme%" PRIu64 "n1", ns->minor);
	ns->size_bytes = expected->size_bytes;
	return ns->nqn != NULL && ns->path != NULL ? 0 : -1;
}

static int import_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import *added;
	int code = sim_begin(this, "import_connect", import->nqn, error);

	if (code != 0)
		return code;
	if (import_find(this, import) < this->observed.imports.count)
		return sim_end(this, 0, error);
	added = LIST_PUSH(&this->arena, &this->observed.imports);
	if (added == NULL)
		return sim_end(this, error_set_nomem(error), error);
	added->instance = this->state.next_minor++;
	added->nqn = arena_strdup(&this->arena, import->nqn);
	added->address = arena_strdup(&this->arena, import->address);
	added->trsvcid = arena_printf(&this->arena, "%" PRIu64, import->port);
	added->host_nqn = arena_strdup(&this->arena, import->host_nqn);
	added->state = "live";
	if (added->nqn == NULL || added->address == NULL || added->trsvcid == NULL || added->host_nqn == NULL)
		code = error_set_nomem(error);
	for (size_t i = 0; i < import->expected.count && code == 0; i++) {
		if (import_namespace_add(this, import, i) != 0)
			code = error_set_nomem(error);
	}
	return sim_end(this, code, error);
}

static bool device_is_used(struct sim_kernel *this, uint64_t major, uint64_t minor)
{
	char number[48];
	size_t length = (size_t)snprintf(number, sizeof(number), "%" PRIu64 ":%" PRIu64, major, minor);

	for (size_t i = 0; i < this->observed.dms.count; i++) {
		const struct observed_target_list *table = &this->observed.dms.items[i].targets;

		for (size_t j = 0; j < table->count; j++) {
			const char *at = strstr(table->items[j].params, number);

			if (at != NULL && (at[length] == ' ' || at[length] == '\0'))
				return true;
		}
	}
	return false;
}

static int import_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	size_t at, others = 0;
	int code = sim_begin(this, "import_disconnect", import->nqn, error);

	if (code != 0)
		return code;
	at = import_find(this, import);
	for (size_t i = 0; i < this->observed.imports.count; i++)
		others += i != at && strcmp(this->observed.imports.items[i].nqn, import->nqn) == 0;
	for (size_t i = list->count; i-- > 0 && others == 0;) {
		if (strcmp(list->items[i].nqn, import->nqn) != 0)
			continue;
		if (device_is_used(this, list->items[i].major, list->items[i].minor))
			return sim_end(this,
				       error_set(error, ERROR_FAILED_PRECONDITION, "%s is in use", list->items[i].path),
				       error);
		sim_list_remove(list, i, sizeof(list->items[i]));
	}
	if (at < this->observed.imports.count)
		sim_list_remove(&this->observed.imports, at, sizeof(this->observed.imports.items[0]));
	return sim_end(this, code, error);
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
	.dm_message = sim_dm_message,
	.block_zero = sim_block_zero,
	.block_read = sim_block_read,
	.block_write = sim_block_write,
	.port_create = port_create,
	.port_remove = port_remove,
	.subsystem_create = subsystem_create,
	.subsystem_remove = subsystem_remove,
	.namespace_create = namespace_create,
	.namespace_set_group = namespace_set_group,
	.namespace_remove = namespace_remove,
	.host_allow = host_allow,
	.host_deny = host_deny,
	.port_link = port_link,
	.port_unlink = port_unlink,
	.import_connect = import_connect,
	.import_disconnect = import_disconnect,
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

int kernel_sim_disk_add(struct kernel *kernel, const char *text, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const char *equals = strchr(text, '=');
	struct observed_disk *disk;
	uint64_t bytes;
	int code = 0;

	if (equals == NULL || text[0] != '/' || (size_t)(equals - text) > LIMIT_PATH ||
	    size_parse(equals + 1, &bytes) != 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not a simulated disk", text);
		return error_hint(error, "write PATH=SIZE, as /dev/sim0=1TiB");
	}
	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.disks.count; i++) {
		const char *path = this->observed.disks.items[i].path;

		if (strlen(path) == (size_t)(equals - text) && strncmp(path, text, (size_t)(equals - text)) == 0)
			return sim_end(this, 0, error);
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
	return sim_end(this, dm->name == NULL || dm->uuid == NULL || subsystem->nqn == NULL ? error_set_nomem(error) : 0,
		       error);
}

int kernel_sim_reboot(struct kernel *kernel, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_disk_list disks;

	pthread_mutex_lock(&this->lock);
	disks = this->observed.disks;
	this->observed = (struct observed){ .disks = disks };
	return sim_end(this, 0, error);
}

void kernel_sim_fault_set(struct kernel *kernel, kernel_sim_fault fault, void *data)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	this->fault = fault;
	this->fault_data = data;
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
