/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on the cluster, nodes and disks. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/extents.h"
#include "lib/model/names.h"

#define DISK_PORT_FIRST 4500u
#define PORT_MAX 65535u
#define EXTENT_BYTES_MAX (UINT64_C(1) << 40)
#define EXTENT_BYTES_UNIT 4096u

int command_cluster_create_apply(struct transition *transition, const struct cluster *command, struct error *error)
{
	struct state *state = &transition->state;
	struct cluster cluster;
	struct key key;
	int result = names_name_check("the cluster's id", command->id, error);

	if (result == 0)
		result = names_name_check("the cluster's name", command->name, error);
	if (result != 0)
		return result;
	if (command->extent_bytes % EXTENT_BYTES_UNIT != 0 || command->extent_bytes > EXTENT_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "an extent of %" PRIu64 " bytes is not a multiple of %u up to %" PRIu64,
				 command->extent_bytes, EXTENT_BYTES_UNIT, EXTENT_BYTES_MAX);
	result = state_get(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	if (result == 0 && strcmp(cluster.id, command->id) != 0)
		return error_set(error, ERROR_ALREADY_EXISTS, "this is cluster \"%s\" (%s) already", cluster.name,
				 cluster.id);
	transition->id = command->id;
	if (result == 0)
		return 0; /* asked again */
	if (state->broken)
		return result;
	transition_touch(transition);
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), command, error);
	if (result != 0)
		return result;
	return transition_changed_cluster(transition, error);
}

/* --- nodes ------------------------------------------------------------------------------------------------ */

static int address_check(const char *address, struct error *error)
{
	uint8_t binary[16];

	if (inet_pton(AF_INET, address, binary) == 1 || inet_pton(AF_INET6, address, binary) == 1)
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not a numeric IP address", address);
}

struct colour_walk {
	struct state *state;
	uint64_t uses[LIMIT_COLOURS];
};

static int colour_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct colour_walk *walk = data;
	struct node node;
	int result = state_decode(walk->state, STORE_TABLE_NODE, value, schema_node(), &node, error);

	(void)key;
	if (result == 0)
		walk->uses[node.colour]++;
	return result;
}

/* The colour of the fewest nodes, the lowest of several. Reads all nodes; new ones are rare. */
static int colour_choose(struct state *state, uint64_t *ret_colour, struct error *error)
{
	struct colour_walk walk = { .state = state };
	struct bytes all = { NULL, 0 };
	uint64_t colour = 0;
	int result = state_walk(state, STORE_TABLE_NODE, all, all, colour_visit, &walk, error);

	if (result != 0)
		return result;
	for (uint64_t i = 1; i < LIMIT_COLOURS; i++) {
		if (walk.uses[i] < walk.uses[colour])
			colour = i;
	}
	*ret_colour = colour;
	return 0;
}

static bool labels_equal(const struct label_list *a, const struct label_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].key, b->items[i].key) != 0 || strcmp(a->items[i].value, b->items[i].value) != 0)
			return false;
	}
	return true;
}

static int labels_check(const struct label_list *labels, struct error *error)
{
	for (size_t i = 0; i < labels->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(labels->items[i].key, labels->items[j].key) == 0)
				return error_set(error, ERROR_INVALID_ARGUMENT, "label \"%s\" is given twice",
						 labels->items[i].key);
		}
	}
	return 0;
}

static int node_create(struct transition *transition, const struct command_node_register *command, struct error *error)
{
	struct node node = {
		.name = command->name,
		.address = command->address,
		.port = command->port,
		.labels = command->labels,
		.version = command->version,
		.next_port = DISK_PORT_FIRST,
		.storage_only = command->storage_only,
	};
	uint64_t count;
	int result = state_count(&transition->state, STORE_TABLE_NODE, &count, error);

	if (result != 0)
		return result;
	if (count >= LIMIT_NODES)
		return error_set(error, ERROR_NO_CAPACITY, "the cluster has %" PRIu64 " nodes, the limit is %u", count,
				 LIMIT_NODES);
	result = colour_choose(&transition->state, &node.colour, error);
	if (result != 0)
		return result;
	memcpy(node.boot_id, command->boot_id, sizeof(node.boot_id));
	node.revision = transition_touch(transition);
	result = state_node_put(&transition->state, &node, error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, false, error);
	return result;
}

/* The node's own port may not be one of its disks'. */
static int node_port_check(struct state *state, const struct node *node, uint64_t port, struct error *error)
{
	struct id_list disks;
	struct disk disk;
	int result = state_node_disks(state, node->name, &disks, error);

	for (size_t i = 0; result == 0 && i < disks.count; i++) {
		result = state_disk(state, disks.items[i], &disk, error);
		if (result == 0 && disk.port == port)
			return error_set(error, ERROR_FAILED_PRECONDITION,
					 "port %" PRIu64 " of node \"%s\" belongs to its disk d%" PRIu64, port,
					 node->name, disk.id);
	}
	return result;
}

/* Everything that says where the node is reached carries the new revision. */
static int node_moved(struct transition *transition, const struct node *node, struct error *error)
{
	struct state *state = &transition->state;
	struct id_list disks, volumes = { 0 };
	struct volume volume;
	struct disk disk;
	int result = state_node_disks(state, node->name, &disks, error);

	for (size_t i = 0; result == 0 && i < disks.count; i++) {
		result = state_disk(state, disks.items[i], &disk, error);
		if (result != 0)
			return result;
		disk.revision = transition_touch(transition);
		result = state_disk_put(state, &disk, error);
		if (result == 0)
			result = transition_changed_disk(transition, &disk, false, error);
	}
	if (result == 0)
		result = state_node_volumes(state, node->name, &volumes, error);
	for (size_t i = 0; result == 0 && i < volumes.count; i++) {
		result = state_volume(state, volumes.items[i], &volume, error);
		if (result != 0)
			return result;
		volume.revision = transition_touch(transition);
		result = state_volume_put(state, &volume, error);
		if (result == 0)
			result = transition_changed_volume(transition, &volume, false, error);
	}
	return result;
}

static const char *text_or_empty(const char *text)
{
	return text != NULL ? text : "";
}

int command_node_register_apply(struct transition *transition, const struct command_node_register *command,
				struct error *error)
{
	struct state *state = &transition->state;
	struct cluster cluster;
	struct node node;
	bool moved;
	int result = state_cluster(state, &cluster, error);

	if (result == 0)
		result = names_name_check("the node's name", command->name, error);
	if (result == 0)
		result = address_check(command->address, error);
	if (result == 0)
		result = labels_check(&command->labels, error);
	if (result != 0)
		return result;
	transition->id = command->name;
	result = state_node(state, command->name, &node, error);
	if (result == ERROR_NOT_FOUND && !state->broken)
		return node_create(transition, command, error);
	if (result != 0)
		return result;
	moved = strcmp(node.address, command->address) != 0 || node.port != command->port;
	transition->revision = node.revision;
	if (!moved && memcmp(node.boot_id, command->boot_id, sizeof(node.boot_id)) == 0 &&
	    labels_equal(&node.labels, &command->labels) && node.storage_only == command->storage_only &&
	    strcmp(text_or_empty(node.version), text_or_empty(command->version)) == 0)
		return 0; /* nothing new */
	if (node.port != command->port) {
		result = node_port_check(state, &node, command->port, error);
		if (result != 0)
			return result;
	}
	node.address = command->address;
	node.port = command->port;
	memcpy(node.boot_id, command->boot_id, sizeof(node.boot_id));
	node.labels = command->labels;
	node.version = command->version;
	node.storage_only = command->storage_only;
	node.revision = transition_touch(transition);
	result = state_node_put(state, &node, error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, false, error);
	if (result == 0 && moved)
		result = node_moved(transition, &node, error);
	return result;
}

int command_node_cordon_apply(struct transition *transition, const struct command_node_cordon *command,
			      struct error *error)
{
	struct node node;
	int result = state_node(&transition->state, command->name, &node, error);

	if (result != 0)
		return result;
	transition->id = node.name;
	transition->revision = node.revision;
	if (node.cordoned == command->cordoned)
		return 0;
	node.cordoned = command->cordoned;
	node.revision = transition_touch(transition);
	result = state_node_put(&transition->state, &node, error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, false, error);
	return result;
}

int command_node_forget_apply(struct transition *transition, const struct command_node_forget *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	struct id_list disks;
	struct node node;
	struct key key;
	int result = state_node(state, command->name, &node, error);

	if (result == 0)
		result = state_node_disks(state, command->name, &disks, error);
	if (result != 0)
		return result;
	if (disks.count > 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "node \"%s\" has %zu disks, the first is d%" PRIu64,
			  node.name, disks.count, disks.items[0]);
		error_hint(error, "run: dnvme disk remove d%" PRIu64, disks.items[0]);
		return ERROR_FAILED_PRECONDITION;
	}
	if (node.controllers > 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "node \"%s\" holds %" PRIu64 " controllers", node.name,
			  node.controllers);
		error_hint(error, "delete the volumes that it serves first");
		return ERROR_FAILED_PRECONDITION;
	}
	transition->id = node.name;
	transition_touch(transition);
	result = state_delete(state, STORE_TABLE_NODE, key_text(&key, node.name), error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, true, error);
	return result;
}

/* --- disks ------------------------------------------------------------------------------------------------ */

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
		if (taken[i] != port)
			continue;
		port++;
		i = (size_t)-1; /* look at all of them again */
	}
	node->next_port = port < PORT_MAX ? port + 1 : DISK_PORT_FIRST;
	*ret_port = port;
	return 0;
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

int command_disk_remove_apply(struct transition *transition, const struct command_disk_remove *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	struct disk disk;
	struct key key;
	int result = state_disk(state, command->id, &disk, error);

	if (result != 0)
		return result;
	if (disk.lds > 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "disk d%" PRIu64 " holds %" PRIu64 " LDs", disk.id,
			  disk.lds);
		error_hint(error, "delete the volumes that lie on it first");
		return ERROR_FAILED_PRECONDITION;
	}
	transition_touch(transition);
	result = state_delete(state, STORE_TABLE_DISK, key_id(&key, disk.id), error);
	if (result == 0)
		result = state_delete(state, STORE_TABLE_DISK_PATH, key_text_text(&key, disk.node, disk.path), error);
	if (result == 0)
		result = extents_drop(state, &disk, error);
	if (result == 0)
		result = transition_id(transition, "d", disk.id, error);
	if (result == 0)
		result = transition_changed_disk(transition, &disk, true, error);
	return result;
}
