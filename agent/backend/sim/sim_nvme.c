/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe target, and the initiator. */
#include "agent/backend/sim/sim_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "agent/label.h"
#include "agent/list.h"
#include "agent/superblock.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

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

int sim_port_create(struct kernel *kernel, const char *mark, uint64_t id, const char *address, struct error *error)
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

int sim_port_remove(struct kernel *kernel, const char *mark, uint64_t id, struct error *error)
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

int sim_subsystem_create(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
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

int sim_subsystem_remove(struct kernel *kernel, const char *nqn, struct error *error)
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

int sim_namespace_create(struct kernel *kernel, const char *nqn, const struct kernel_namespace *wanted,
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

int sim_namespace_set_group(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group, struct error *error)
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

int sim_namespace_resize(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_namespace *ns;
	struct observed_dm *dm = NULL;
	int code = sim_begin(this, "namespace_resize", nqn, error);

	if (code != 0)
		return code;
	ns = namespace_find(subsystem_find(this, nqn), nsid);
	if (ns != NULL)
		dm = sim_dm_find(this, ns->path + strlen("/dev/mapper/"));
	if (dm == NULL)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "there is no namespace in %s", nqn), error);
	ns->size_bytes = sim_table_sectors(&dm->targets) * LIMIT_SECTOR_BYTES;
	return sim_end(this, 0, error);
}

int sim_namespace_remove(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error)
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
		if (dm != NULL && sim_dm_waits(this, dm, error) != 0)
			return sim_end(this, error->code, error);
		if (dm != NULL)
			dm->open_count--;
		sim_list_remove(&subsystem->namespaces, (size_t)(ns - subsystem->namespaces.items), sizeof(*ns));
	}
	return sim_end(this, 0, error);
}

int sim_host_allow(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
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

int sim_host_deny(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error)
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

int sim_port_link(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error)
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

int sim_port_unlink(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error)
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

/* Nobody connects to a simulated port. */
int sim_port_reject(struct kernel *kernel, uint64_t id, const char *reason, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_reject", reason, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no port %" PRIu64, id);
	else if (string_add(this, &port->rejected_for, reason) != 0)
		code = error_set_nomem(error);
	return sim_end(this, code, error);
}

int sim_port_admit(struct kernel *kernel, uint64_t id, const char *reason, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_port *port;
	int code = sim_begin(this, "port_admit", reason, error);

	if (code != 0)
		return code;
	port = port_find(this, id);
	if (port == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "there is no port %" PRIu64, id);
	else
		string_remove(&port->rejected_for, reason);
	return sim_end(this, code, error);
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

/* What a Disk Node that did its work would show: a label of this epoch, a raid superblock, a thin device in the pool.
 */
static int content_add(struct sim_kernel *this, const struct kernel_expected *expected)
{
	const struct ld_label *wanted = expected->label;
	struct sim_place place = { .kernel = this };
	char id[NAMES_ID_SIZE * 2], uuid[NAMES_DM_UUID_SIZE];
	uint8_t block[LABEL_BLOCK_BYTES];
	struct arena arena = ARENA_INIT;
	const struct sim_block *found;
	struct ld_label label;
	int result = 0;

	for (size_t i = 0; i < sizeof(expected->uuid); i++)
		snprintf(place.key + 2 * i, sizeof(place.key) - 2 * i, "%02x", expected->uuid[i]);
	found = sim_block_find(&place, 0);
	if (found != NULL && (label_decode(found->data.data, &arena, &label, NULL) != 0 ||
			      !label_is_same(&label, wanted) || label.epoch >= wanted->epoch)) {
		arena_free(&arena);
		return 0;
	}
	label_encode(wanted, block);
	result = sim_block_put(&place, 0, block);
	superblock_make(block, wanted->member, true);
	if (result == 0 && sim_block_find(&place, LAYOUT_LABEL_BYTES) == NULL)
		result = sim_block_put(&place, LAYOUT_LABEL_BYTES, block);
	snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64, wanted->volume, wanted->leg);
	names_dm_uuid(wanted->cluster, "pool", id, wanted->epoch, uuid);
	if (result == 0)
		result = sim_thin_add(this, uuid);
	arena_free(&arena);
	return result;
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
	if (ns->nqn == NULL || ns->path == NULL)
		return -1;
	return expected->label != NULL ? content_add(this, expected) : 0;
}

int sim_import_add(struct sim_kernel *this, const struct kernel_import *import, struct observed_import **ret_import,
		   struct error *error)
{
	struct observed_import *added = LIST_PUSH(&this->arena, &this->observed.imports);

	if (added == NULL)
		return error_set_nomem(error);
	added->instance = this->state.next_minor++;
	added->nqn = arena_strdup(&this->arena, import->nqn);
	added->address = arena_strdup(&this->arena, import->address);
	added->trsvcid = arena_printf(&this->arena, "%" PRIu64, import->port);
	added->host_nqn = arena_strdup(&this->arena, import->host_nqn);
	added->state = "connecting";
	if (added->nqn == NULL || added->address == NULL || added->trsvcid == NULL || added->host_nqn == NULL)
		return error_set_nomem(error);
	*ret_import = added;
	return 0;
}

int sim_import_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import *added;
	int code = sim_begin(this, "import_connect", import->nqn, error);

	if (code != 0)
		return code;
	if (import_find(this, import) < this->observed.imports.count)
		return sim_end(this, 0, error);
	if (!kernel_sim_lets_out(kernel, import->nqn))
		return sim_end(this,
			       error_set(error, ERROR_UNAVAILABLE, "the gate before %s at %s is shut", import->nqn,
					 import->address),
			       error);
	if (this->world.resolve != NULL && this->world.connect(this->world.data, kernel, import, error) != 0)
		return sim_end(this, (int)error->code, error);
	code = sim_import_add(this, import, &added, error);
	if (code != 0 || this->world.resolve != NULL)
		return sim_end(this, code, error);
	added->state = "live";
	added->paths = import->expected.count;
	for (size_t i = 0; i < import->expected.count && code == 0; i++) {
		if (import_namespace_add(this, import, i) != 0)
			code = error_set_nomem(error);
	}
	return sim_end(this, code, error);
}

/* What the other side shows now is what is expected of it. */
int sim_import_rescan(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	int code = sim_begin(this, "import_rescan", import->nqn, error);
	size_t at;

	if (code != 0)
		return code;
	at = import_find(this, import);
	if (at == this->observed.imports.count)
		return sim_end(this, error_set(error, ERROR_NOT_FOUND, "%s is not imported", import->nqn), error);
	/* In a world the other side is a kernel, and its namespaces come by themselves. */
	if (this->world.resolve != NULL)
		return sim_end(
			this,
			error_set(error, ERROR_UNAVAILABLE, "%s does not show all that is expected yet", import->nqn),
			error);
	this->observed.imports.items[at].paths = import->expected.count;
	for (size_t i = 0; i < import->expected.count && code == 0; i++) {
		const struct kernel_expected *expected = &import->expected.items[i];

		if (import_namespace_add(this, import, i) != 0)
			code = error_set_nomem(error);
		for (size_t j = 0; j < list->count; j++) {
			if (memcmp(list->items[j].uuid, expected->uuid, sizeof(expected->uuid)) == 0)
				list->items[j].size_bytes = expected->size_bytes;
		}
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

static int import_end(struct kernel *kernel, const struct kernel_import *import, const char *operation, bool drop,
		      struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	size_t at, others = 0;
	int code = sim_begin(this, operation, import->nqn, error);

	if (code != 0)
		return code;
	at = import_find(this, import);
	if (!drop && at < this->observed.imports.count && strcmp(this->observed.imports.items[at].state, "live") != 0)
		return sim_end(
			this,
			error_set(error, ERROR_FAILED_PRECONDITION, "would block: %s does not answer", import->nqn),
			error);
	for (size_t i = 0; i < this->observed.imports.count; i++)
		others += i != at && strcmp(this->observed.imports.items[i].nqn, import->nqn) == 0;
	for (size_t i = list->count; i-- > 0 && others == 0;) {
		if (strcmp(list->items[i].nqn, import->nqn) != 0)
			continue;
		if (!drop && device_is_used(this, list->items[i].major, list->items[i].minor))
			return sim_end(this,
				       error_set(error, ERROR_FAILED_PRECONDITION, "%s is in use", list->items[i].path),
				       error);
		sim_list_remove(list, i, sizeof(list->items[i]));
	}
	if (at < this->observed.imports.count)
		sim_list_remove(&this->observed.imports, at, sizeof(this->observed.imports.items[0]));
	return sim_end(this, code, error);
}

int sim_import_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	return import_end(kernel, import, "import_disconnect", false, error);
}

int sim_import_drop(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	return import_end(kernel, import, "import_drop", true, error);
}

uint64_t sim_watch(struct kernel *kernel)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	XXH64_hash_t digest = 0;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		const struct observed_import *import = &this->observed.imports.items[i];

		digest = XXH64(import->nqn, strlen(import->nqn), digest);
		digest = XXH64(import->state, strlen(import->state), digest);
		digest = XXH64(import->ana != NULL ? import->ana : "", import->ana != NULL ? strlen(import->ana) : 0,
			       digest);
	}
	for (size_t i = 0; i < this->observed.dms.count; i++) {
		const struct observed_dm *dm = &this->observed.dms.items[i];

		if (dm->event != 0)
			digest = XXH64(dm->name, strlen(dm->name), digest ^ dm->event);
	}
	sim_pauses_look(this);
	for (size_t i = 0; i < this->observed.pauses.count; i++) {
		const struct observed_pause *pause = &this->observed.pauses.items[i];
		const uint64_t words[] = { pause->volume, pause->number, pause->state, pause->made, pause->alive };

		digest = XXH64(words, sizeof(words), digest);
	}
	pthread_mutex_unlock(&this->lock);
	return digest;
}
