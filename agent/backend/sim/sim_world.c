/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A simulated kernel among others: what it answers to them, and what it sees of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "agent/list.h"
#include "lib/base/clock.h"

#define ANA_OPTIMIZED "optimized"
#define ANA_INACCESSIBLE "inaccessible"
#define MAPPER "/dev/mapper/"

void kernel_sim_world_set(struct kernel *kernel, const struct kernel_sim_world *world)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	this->world = *world;
	this->hold_rebuilds = true;
}

/* --- what it answers -------------------------------------------------------------------------------------------- */

static bool gate_is_open(const struct sim_kernel *this, uint64_t port)
{
	uint64_t now_ms = clock_boot_ms();

	for (size_t i = 0; i < this->gate_count; i++) {
		if (this->gates[i].port == port)
			return this->gates[i].until_ms > now_ms;
	}
	for (size_t i = 0; i < this->joined_count; i++) {
		if (this->joined[i] == port)
			return this->gate_count > 0 && this->gates[0].until_ms > now_ms;
	}
	return true;
}

static bool gate_admits(struct sim_kernel *this, uint64_t port, const char *address, bool probe)
{
	bool joined = false;

	for (size_t i = 0; i < this->joined_count; i++)
		joined = joined || this->joined[i] == port;
	for (size_t i = 0; i < this->peer_count && joined; i++) {
		struct sim_peer *peer = &this->peers[i];

		if (peer->port != port || strcmp(peer->address, address) != 0)
			continue;
		if (peer->until_ms <= clock_boot_ms() || (peer->joined && peer->generation != 0))
			return false;
		peer->joined = peer->joined || !probe;
		return true;
	}
	return !joined;
}

static const struct observed_port *port_by_id(const struct sim_kernel *this, uint64_t id)
{
	for (size_t i = 0; i < this->observed.ports.count; i++) {
		if (this->observed.ports.items[i].id == id)
			return &this->observed.ports.items[i];
	}
	return NULL;
}

static bool has(const struct string_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

/* host_nqn NULL: who is in stays in. */
static enum kernel_sim_answer ask_port(struct sim_kernel *this, const struct observed_port *port, const char *nqn,
				       const char *host_nqn, struct kernel_sim_namespaces *ret_namespaces)
{
	const struct observed_subsystem *subsystem = NULL;

	for (size_t i = 0; i < this->observed.subsystems.count; i++) {
		if (strcmp(this->observed.subsystems.items[i].nqn, nqn) == 0)
			subsystem = &this->observed.subsystems.items[i];
	}
	if (subsystem == NULL || !has(&port->subsystems, nqn))
		return KERNEL_SIM_NO_SUBSYSTEM;
	if (host_nqn != NULL && !has(&subsystem->hosts, host_nqn))
		return KERNEL_SIM_NO_HOST;
	ret_namespaces->count = 0;
	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		const struct observed_namespace *ns = &subsystem->namespaces.items[i];
		const struct observed_dm *dm = sim_dm_find(this, ns->path + strlen(MAPPER));
		struct kernel_sim_namespace *item = &ret_namespaces->items[ret_namespaces->count];
		size_t length;

		if (!ns->enabled || dm == NULL || ret_namespaces->count == 64)
			continue;
		ret_namespaces->count++;
		memcpy(item->uuid, ns->uuid, sizeof(item->uuid));
		item->nsid = (uint32_t)ns->nsid;
		item->optimized = ns->group == KERNEL_ANA_OPTIMIZED;
		item->size_bytes = 0;
		for (size_t t = 0; t < dm->targets.count; t++)
			item->size_bytes += dm->targets.items[t].length * LIMIT_SECTOR_BYTES;
		length = strnlen(dm->name, sizeof(item->device) - 1);
		memcpy(item->device, dm->name, length);
		item->device[length] = '\0';
	}
	return KERNEL_SIM_TAKEN;
}

enum kernel_sim_answer kernel_sim_ask(struct kernel *kernel, uint64_t id, const char *nqn, const char *host_nqn,
				      const char *from_address, bool probe,
				      struct kernel_sim_namespaces *ret_namespaces)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_port *port = port_by_id(this, id);

	if (port == NULL || port->subsystems.count == 0 || port->rejected_for.count > 0 || !gate_is_open(this, id) ||
	    !gate_admits(this, id, from_address, probe))
		return KERNEL_SIM_RESET;
	return ask_port(this, port, nqn, host_nqn, ret_namespaces);
}

bool kernel_sim_is_open(struct kernel *kernel, uint64_t port)
{
	return gate_is_open((struct sim_kernel *)kernel, port);
}

bool kernel_sim_goes_on(struct kernel *kernel, uint64_t id, const char *nqn,
			struct kernel_sim_namespaces *ret_namespaces)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	const struct observed_port *port = port_by_id(this, id);

	return port != NULL && gate_is_open(this, id) &&
	       ask_port(this, port, nqn, NULL, ret_namespaces) == KERNEL_SIM_TAKEN;
}

/* --- what it sees ----------------------------------------------------------------------------------------------- */

/* Asked for each path, again and again: strtoull() would be most of it. */
static uint64_t number_of(const char *digits)
{
	uint64_t number = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		number = number * 10 + (uint64_t)(*digits - '0');
	return number;
}

bool kernel_sim_import_at(struct kernel *kernel, size_t index, struct kernel_sim_import *ret_import)
{
	const struct sim_kernel *this = (const struct sim_kernel *)kernel;
	const struct observed_import *import;

	if (index >= this->observed.imports.count)
		return false;
	import = &this->observed.imports.items[index];
	*ret_import = (struct kernel_sim_import){ .instance = import->instance,
						  .port = number_of(import->trsvcid),
						  .nqn = import->nqn,
						  .address = import->address,
						  .host_nqn = import->host_nqn,
						  .state = import->state };
	return true;
}

static struct observed_import *import_by_instance(struct sim_kernel *this, uint64_t instance)
{
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		if (this->observed.imports.items[i].instance == instance)
			return &this->observed.imports.items[i];
	}
	return NULL;
}

static bool namespace_show(struct sim_kernel *this, const char *nqn, const struct kernel_sim_namespace *shown)
{
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	struct observed_import_namespace *ns;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].nqn, nqn) == 0 &&
		    memcmp(list->items[i].uuid, shown->uuid, sizeof(shown->uuid)) == 0)
			return false;
	}
	ns = LIST_PUSH(&this->arena, list);
	if (ns == NULL)
		abort();
	ns->nqn = arena_strdup(&this->arena, nqn);
	ns->nsid = shown->nsid;
	memcpy(ns->uuid, shown->uuid, sizeof(ns->uuid));
	ns->major = SIM_NVME_MAJOR;
	ns->minor = this->state.next_minor++;
	ns->path = arena_printf(&this->arena, "/dev/nvme%" PRIu64 "n1", ns->minor);
	ns->size_bytes = shown->size_bytes;
	if (ns->nqn == NULL || ns->path == NULL)
		abort();
	return true;
}

static size_t others_count(const struct sim_kernel *this, const struct observed_import *import)
{
	size_t others = 0;

	for (size_t i = 0; i < this->observed.imports.count; i++)
		others += &this->observed.imports.items[i] != import &&
			  strcmp(this->observed.imports.items[i].nqn, import->nqn) == 0;
	return others;
}

/* What the other side does not export any more goes, when no other path leads there. */
static bool namespaces_hide(struct sim_kernel *this, const struct observed_import *import,
			    const struct kernel_sim_namespaces *shown)
{
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	bool changed = false;

	for (size_t i = list->count; i-- > 0 && others_count(this, import) == 0;) {
		bool there = strcmp(list->items[i].nqn, import->nqn) != 0;

		for (size_t j = 0; j < shown->count && !there; j++)
			there = memcmp(list->items[i].uuid, shown->items[j].uuid, sizeof(list->items[i].uuid)) == 0;
		if (there)
			continue;
		sim_list_remove(list, i, sizeof(list->items[i]));
		changed = true;
	}
	return changed;
}

void kernel_sim_import_show(struct kernel *kernel, uint64_t instance, const struct kernel_sim_namespaces *namespaces)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import *import = import_by_instance(this, instance);
	const char *state = namespaces != NULL ? "live" : "connecting", *ana = NULL;
	bool changed;

	if (import == NULL)
		return;
	changed = strcmp(import->state, state) != 0;
	import->state = state;
	for (size_t i = 0; namespaces != NULL && i < namespaces->count; i++) {
		changed = namespace_show(this, import->nqn, &namespaces->items[i]) || changed;
		if (!namespaces->items[i].optimized)
			ana = ANA_INACCESSIBLE;
		else if (ana == NULL)
			ana = ANA_OPTIMIZED;
	}
	if (namespaces != NULL) {
		changed = namespaces_hide(this, import, namespaces) || changed;
		changed = changed || import->paths != namespaces->count || (ana == NULL) != (import->ana == NULL) ||
			  (ana != NULL && strcmp(ana, import->ana) != 0);
		import->paths = namespaces->count;
		import->ana = ana;
	}
	if (changed)
		this->changes++;
}

void kernel_sim_import_lose(struct kernel *kernel, uint64_t instance)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct observed_import *import = import_by_instance(this, instance);
	struct observed_import_namespace_list *list = &this->observed.import_namespaces;
	size_t others;

	if (import == NULL)
		return;
	others = others_count(this, import);
	/* The last path takes its namespaces with it, whatever lies on them. */
	for (size_t i = list->count; i-- > 0 && others == 0;) {
		if (strcmp(list->items[i].nqn, import->nqn) == 0)
			sim_list_remove(list, i, sizeof(list->items[i]));
	}
	sim_list_remove(&this->observed.imports, (size_t)(import - this->observed.imports.items), sizeof(*import));
	this->changes++;
}
