/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the NVMe target has, from configfs. A port or subsystem that this agent did not touch since it was read is not
 * read again: nothing else changes it, and what a person changes is found by a full look.
 */
#include "agent/backend/linux/linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

#define ROOT LINUX_NVMET_ROOT
#define STAMP 0 /* the list of names tells nothing else */

static const char *text_read(struct arena *arena, const char *directory, const char *name, bool *nomem)
{
	char text[PATH_MAX] = "", *copy;

	file_read(text, sizeof(text), "%s/%s", directory, name);
	copy = arena_strdup(arena, text);
	*nomem = *nomem || copy == NULL;
	return copy;
}

static int port_read(struct arena *arena, const char *name, struct observed_port *port, struct error *error)
{
	char path[PATH_MAX - 64], part[PATH_MAX];
	struct string_list names;
	bool nomem = false;
	int code;

	snprintf(path, sizeof(path), ROOT "/ports/%s", name);
	port->id = strtoull(name, NULL, 10);
	port->address = text_read(arena, path, "addr_traddr", &nomem);
	port->trsvcid = text_read(arena, path, "addr_trsvcid", &nomem);
	if (nomem)
		return error_set_nomem(error);
	snprintf(part, sizeof(part), "%s/referrals", path);
	code = directory_list(arena, part, &names, error);
	if (code != 0)
		return code;
	for (size_t i = 0; i < names.count; i++) {
		if (strncmp(names.items[i], KERNEL_PORT_MARK_PREFIX, strlen(KERNEL_PORT_MARK_PREFIX)) == 0)
			port->mark = names.items[i];
	}
	snprintf(part, sizeof(part), "%s/subsystems", path);
	code = directory_list(arena, part, &port->subsystems, error);
	if (code != 0)
		return code;
	snprintf(part, sizeof(part), "%s/ana_groups", path);
	code = directory_list(arena, part, &names, error);
	for (size_t i = 0; i < names.count && code == 0; i++) {
		struct observed_ana_group *group = LIST_PUSH(arena, &port->groups);

		snprintf(part, sizeof(part), "%s/ana_groups/%s", path, names.items[i]);
		if (group == NULL || (group->state = text_read(arena, part, "ana_state", &nomem)) == NULL)
			return error_set_nomem(error);
		group->id = strtoull(names.items[i], NULL, 10);
	}
	return code;
}

static int namespace_read(struct arena *arena, const char *subsystem, const char *name,
			  struct observed_subsystem *observed, struct error *error)
{
	struct observed_namespace *ns = LIST_PUSH(arena, &observed->namespaces);
	char path[PATH_MAX], text[64];
	bool nomem = false;

	if (ns == NULL)
		return error_set_nomem(error);
	snprintf(path, sizeof(path), "%s/namespaces/%s", subsystem, name);
	ns->nsid = strtoull(name, NULL, 10);
	ns->path = text_read(arena, path, "device_path", &nomem);
	if (nomem)
		return error_set_nomem(error);
	if (file_read(text, sizeof(text), "%s/device_uuid", path))
		uuid_text_parse(text, ns->uuid);
	if (file_read(text, sizeof(text), "%s/device_nguid", path))
		uuid_text_parse(text, ns->nguid);
	ns->group = file_read_number("%s/ana_grpid", path);
	ns->enabled = file_read_number("%s/enable", path) != 0;
	return 0;
}

static int subsystem_read(struct arena *arena, const char *nqn, struct observed_subsystem *subsystem,
			  struct error *error)
{
	char path[PATH_MAX - 64], part[PATH_MAX];
	struct string_list names;
	int code;

	snprintf(path, sizeof(path), ROOT "/subsystems/%s", nqn);
	subsystem->nqn = nqn;
	subsystem->any_host = file_read_number("%s/attr_allow_any_host", path) != 0;
	subsystem->cntlid_min = file_read_number("%s/attr_cntlid_min", path);
	subsystem->cntlid_max = file_read_number("%s/attr_cntlid_max", path);
	snprintf(part, sizeof(part), "%s/allowed_hosts", path);
	code = directory_list(arena, part, &subsystem->hosts, error);
	if (code != 0)
		return code;
	snprintf(part, sizeof(part), "%s/namespaces", path);
	code = directory_list(arena, part, &names, error);
	for (size_t i = 0; code == 0 && i < names.count; i++)
		code = namespace_read(arena, path, names.items[i], subsystem, error);
	return code;
}

static int port_observe(struct known *ports, struct arena *arena, const char *name, struct observed *observed,
			struct error *error)
{
	struct observed_port port = { 0 }, *added;
	uint64_t ticket;
	int code = 0;

	if (!known_get(ports, name, STAMP, arena, &port, &ticket)) {
		code = port_read(arena, name, &port, error);
		if (code == 0)
			known_keep(ports, name, STAMP, ticket, &port);
	}
	if (code != 0)
		return code;
	added = LIST_PUSH(arena, &observed->ports);
	if (added == NULL)
		return error_set_nomem(error);
	*added = port;
	return 0;
}

static int subsystem_observe(struct known *subsystems, struct arena *arena, const char *nqn, struct observed *observed,
			     struct error *error)
{
	struct observed_subsystem subsystem = { 0 }, *added;
	uint64_t ticket;
	int code = 0;

	if (!known_get(subsystems, nqn, STAMP, arena, &subsystem, &ticket)) {
		code = subsystem_read(arena, nqn, &subsystem, error);
		if (code == 0)
			known_keep(subsystems, nqn, STAMP, ticket, &subsystem);
	}
	if (code != 0)
		return code;
	added = LIST_PUSH(arena, &observed->subsystems);
	if (added == NULL)
		return error_set_nomem(error);
	*added = subsystem;
	return 0;
}

int nvmet_observe(struct linux_kernel *this, struct arena *arena, struct observed *observed, struct error *error)
{
	struct string_list names;
	int code = directory_list(arena, ROOT "/ports", &names, error);

	known_look_begin(this->ports, clock_boot_ms());
	known_look_begin(this->subsystems, clock_boot_ms());
	for (size_t i = 0; code == 0 && i < names.count; i++)
		code = port_observe(this->ports, arena, names.items[i], observed, error);
	if (code == 0)
		code = directory_list(arena, ROOT "/hosts", &observed->hosts, error);
	if (code == 0)
		code = directory_list(arena, ROOT "/subsystems", &names, error);
	for (size_t i = 0; code == 0 && i < names.count; i++) {
		if (strncmp(names.items[i], NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) == 0)
			code = subsystem_observe(this->subsystems, arena, names.items[i], observed, error);
	}
	if (code == 0) {
		known_look_end(this->ports);
		known_look_end(this->subsystems);
	}
	return code;
}
