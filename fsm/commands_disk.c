/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on disks. */
#include <inttypes.h>
#include <string.h>

#include "fsm/extents.h"

#define PORT_MAX 65535u

/* The next port, counting up, that neither the node nor one of its disks has. A port is used again only after all
 * others were, because initiators of a disk that went may still knock on it. */
static int disk_port_choose(struct state *state, struct node *node, const struct id_list *disks, uint64_t *ret_port,
			    struct error *error)
{
	uint64_t taken[LIMIT_DISKS_PER_NODE + 1], port = node->next_port;
	struct disk disk;
	size_t count = 0;
	int result;

	taken[count++] = node->port;
	for (size_t i = 0; i < disks->count; i++) {
		result = state_disk(state, disks->items[i], &disk, error);
		if (result != 0)
			return result;
		taken[count++] = disk.port;
	}
	if (port < DISK_PORT_FIRST)
		port = DISK_PORT_FIRST;
	for (size_t i = 0; i < count; i++) {
		if (port > PORT_MAX)
			port = DISK_PORT_FIRST;
		if (port >= LIMIT_LEG_PORT_FIRST && port <= LIMIT_LEG_PORT_LAST)
			port = LIMIT_LEG_PORT_LAST + 1;
		if (taken[i] != port)
			continue;
		port++;
		i = (size_t)-1; /* look at all of them again */
	}
	node->next_port = port < PORT_MAX ? port + 1 : DISK_PORT_FIRST;
	*ret_port = port;
	return 0;
}

static int held_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct state *state = ((void **)data)[0];
	bool *held = ((void **)data)[1];
	struct disk disk;
	int result = state_decode(state, STORE_TABLE_DISK, value, schema_disk(), &disk, error);

	(void)key;
	*held |= result == 0 && disk.held;
	return result;
}

/* Whether an operator has yet to look at any disk since a restore. */
static int any_held(struct state *state, bool *ret_held, struct error *error)
{
	struct bytes all = { NULL, 0 };
	void *data[] = { state, ret_held };

	*ret_held = false;
	return state_walk(state, STORE_TABLE_DISK, all, all, held_visit, data, error);
}

int command_disk_add_apply(struct transition *transition, const struct command_disk_add *command, struct error *error)
{
	struct state *state = &transition->state;
	struct cluster cluster;
	struct id_list disks;
	struct node node;
	struct disk disk = {
		.node = command->node,
		.path = command->path,
		.size_bytes = command->size_bytes,
		.serial = command->serial,
		.volatile_cache = command->volatile_cache,
		.cache_accepted = command->cache_accepted,
	};
	struct key key;
	uint64_t id;
	int result = state_cluster(state, &cluster, error);

	if (result == 0)
		result = state_node(state, command->node, &node, error);
	if (result != 0)
		return result;
	if (command->path[0] != '/')
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not an absolute path", command->path);
	result = state_get_id(state, STORE_TABLE_DISK_PATH, key_text_text(&key, command->node, command->path), &id,
			      error);
	if (result == 0)
		return error_set(error, ERROR_ALREADY_EXISTS, "%s of node \"%s\" is disk d%" PRIu64 " already",
				 command->path, command->node, id);
	if (!state->broken)
		result = state_node_disks(state, node.name, &disks, error);
	if (state->broken)
		return result;
	if (disks.count >= LIMIT_DISKS_PER_NODE)
		return error_set(error, ERROR_NO_CAPACITY, "node \"%s\" has %zu disks, the limit is %u", node.name,
				 disks.count, LIMIT_DISKS_PER_NODE);
	disk.extents_total = command->size_bytes / cluster.extent_bytes;
	if (disk.extents_total <= EXTENTS_RESERVED)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "%s of node \"%s\" has %" PRIu64 " bytes, less than two extents of %" PRIu64,
				 command->path, command->node, command->size_bytes, cluster.extent_bytes);
	disk.extents_total -= EXTENTS_RESERVED;
	disk.extents_free = disk.extents_total;
	result = disk_port_choose(state, &node, &disks, &disk.port, error);
	if (result != 0)
		return result;
	/* It may be one that was added since the backup was made. */
	result = any_held(state, &disk.held, error);
	if (result != 0)
		return result;
	disk.id = ++transition->counters.last_disk;
	disk.revision = transition_touch(transition);
	result = state_disk_put(state, &disk, error);
	if (result == 0)
		result = state_put_id(state, STORE_TABLE_DISK_PATH, key_text_text(&key, disk.node, disk.path), disk.id,
				      error);
	if (result == 0)
		result = extents_init(state, &disk, error);
	if (result == 0)
		result = state_node_put(state, &node, error);
	if (result == 0)
		result = transition_id(transition, "d", disk.id, error);
	if (result == 0)
		result = transition_changed_disk(transition, &disk, false, error);
	return result;
}

/* Of another boot nobody knows: one that began since may have been told what the record said before, and serve what the
 * new one says is off. */
int command_disk_cache_apply(struct transition *transition, const struct command_disk_cache *command,
			     struct error *error)
{
	struct state *state = &transition->state;
	struct disk disk;
	struct node node;
	int result = state_disk(state, command->id, &disk, error);

	if (result == 0)
		result = state_node(state, disk.node, &node, error);
	if (result != 0)
		return result;
	if (memcmp(node.boot_id, command->boot_id, sizeof(node.boot_id)) != 0)
		return error_set(error, ERROR_CONFLICT,
				 "node \"%s\" began anew since its agent told of the write cache of disk d%" PRIu64,
				 disk.node, disk.id);
	result = transition_id(transition, "d", disk.id, error);
	if (result != 0 || disk.volatile_cache == command->volatile_cache)
		return result;
	disk.volatile_cache = command->volatile_cache;
	disk.revision = transition_touch(transition);
	result = state_disk_put(state, &disk, error);
	if (result == 0)
		result = transition_changed_disk(transition, &disk, false, error);
	return result;
}

int disk_drop(struct transition *transition, const struct disk *disk, struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	int result;

	transition_touch(transition);
	result = state_delete(state, STORE_TABLE_DISK, key_id(&key, disk->id), error);
	if (result == 0)
		result = state_delete(state, STORE_TABLE_DISK_PATH, key_text_text(&key, disk->node, disk->path), error);
	if (result == 0)
		result = extents_drop(state, disk, error);
	if (result == 0)
		result = transition_changed_disk(transition, disk, true, error);
	return result;
}

int command_disk_remove_apply(struct transition *transition, const struct command_disk_remove *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	struct disk disk;
	int result = state_disk(state, command->id, &disk, error);

	if (result != 0)
		return result;
	if (disk.held) {
		error_set(error, ERROR_FAILED_PRECONDITION, "disk d%" PRIu64 " is held since a restore", disk.id);
		return error_hint(error, "run: dnvme disk release d%" PRIu64, disk.id);
	}
	if (disk.lds > 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "disk d%" PRIu64 " holds %" PRIu64 " LDs", disk.id,
			  disk.lds);
		error_hint(error, "empty it first: dnvme disk drain d%" PRIu64, disk.id);
		return ERROR_FAILED_PRECONDITION;
	}
	result = disk_drop(transition, &disk, error);
	if (result == 0)
		result = transition_id(transition, "d", disk.id, error);
	return result;
}
