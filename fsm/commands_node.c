/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on nodes. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/volume.h"
#include "lib/model/names.h"

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

/* The ports of striped volumes are the same at all nodes. */
static int port_check(uint64_t port, struct error *error)
{
	if (port < LIMIT_LEG_PORT_FIRST || port > LIMIT_LEG_PORT_LAST)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "port %" PRIu64 " may be that of a volume's legs", port);
	return error_hint(error, "take one outside %u to %u", LIMIT_LEG_PORT_FIRST, LIMIT_LEG_PORT_LAST);
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
		.writethrough = command->writethrough,
		.grows = command->grows,
		.snapshots = command->snapshots,
		.moves = command->moves,
		.snapshot_reads = command->snapshot_reads,
	};
	uint64_t count;
	int result = port_check(command->port, error);

	if (result == 0)
		result = state_count(&transition->state, STORE_TABLE_NODE, &count, error);
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
		result = transition_changed_node(transition, node.name, NODE_MOVED, error);
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

/* Where it is reached: all its disks carry the new revision. */
static int disks_moved(struct transition *transition, const struct id_list *disks, struct error *error)
{
	struct state *state = &transition->state;
	struct disk disk;
	int result = 0;

	for (size_t i = 0; result == 0 && i < disks->count; i++) {
		result = state_disk(state, disks->items[i], &disk, error);
		if (result != 0)
			return result;
		disk.revision = transition_touch(transition);
		result = state_disk_put(state, &disk, error);
		if (result == 0)
			result = transition_changed_disk(transition, &disk, false, error);
	}
	return result;
}

/* Keep of the disks those that lose what their write caches hold. */
static int disks_filter_volatile(struct state *state, struct id_list *disks, struct error *error)
{
	struct disk disk;
	size_t kept = 0;

	for (size_t i = 0; i < disks->count; i++) {
		int result = state_disk(state, disks->items[i], &disk, error);

		if (result != 0)
			return result;
		if (disk.volatile_cache)
			disks->items[kept++] = disk.id;
	}
	disks->count = kept;
	return 0;
}

/* Its volumes carry the new revision where it is reached elsewhere, or where members became stale: `moved`,
 * `rebooted`. */
static int node_changed(struct transition *transition, const struct node *node, bool moved, bool rebooted,
			struct error *error)
{
	struct state *state = &transition->state;
	struct id_list disks, volumes = { 0 };
	struct volume volume;
	int result = state_node_disks(state, node->name, &disks, error);

	if (result == 0 && moved)
		result = disks_moved(transition, &disks, error);
	if (result == 0)
		result = disks_filter_volatile(state, &disks, error);
	if (result != 0)
		return result;
	if (!rebooted)
		disks.count = 0;
	if (moved || disks.count > 0)
		result = state_node_volumes(state, node->name, &volumes, error);
	for (size_t i = 0; result == 0 && i < volumes.count; i++) {
		bool spoilt;

		result = state_volume(state, volumes.items[i], &volume, error);
		if (result != 0)
			return result;
		spoilt = volume_disks_rebooted(&volume, &disks, transition->time_ms);
		if (moved || spoilt)
			result = volume_store(transition, &volume, error);
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
	bool moved, rebooted;
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
	rebooted = memcmp(node.boot_id, command->boot_id, sizeof(node.boot_id)) != 0;
	if (!moved && !rebooted && labels_equal(&node.labels, &command->labels) &&
	    node.storage_only == command->storage_only && node.writethrough == command->writethrough &&
	    node.grows == command->grows && node.snapshots == command->snapshots && node.moves == command->moves &&
	    node.snapshot_reads == command->snapshot_reads &&
	    strcmp(text_or_empty(node.version), text_or_empty(command->version)) == 0)
		return 0; /* nothing new */
	if (node.port != command->port) {
		result = port_check(command->port, error);
		if (result == 0)
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
	node.writethrough = command->writethrough;
	node.grows = command->grows;
	node.snapshots = command->snapshots;
	node.moves = command->moves;
	node.snapshot_reads = command->snapshot_reads;
	node.revision = transition_touch(transition);
	result = state_node_put(state, &node, error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, moved ? NODE_MOVED : NODE_STAYS, error);
	if (result == 0 && (moved || rebooted))
		result = node_changed(transition, &node, moved, rebooted, error);
	return result;
}

int command_node_cordon_apply(struct transition *transition, const struct command_node_cordon *command,
			      struct error *error)
{
	struct node node;
	bool draining;
	int result;

	if (command->draining && !command->cordoned)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "node \"%s\" cannot be drained while new controllers may be placed on it",
				 command->name);
	result = state_node(&transition->state, command->name, &node, error);
	if (result != 0)
		return result;
	transition->id = node.name;
	transition->revision = node.revision;
	/* A drain that is under way goes on until somebody uncordons the node. Decided here and not by who proposes: in
	 * between it may have begun, or ended. */
	draining = command->draining || (command->cordoned && node.draining);
	if (node.cordoned == command->cordoned && node.draining == draining)
		return 0;
	node.cordoned = command->cordoned;
	node.draining = draining;
	node.revision = transition_touch(transition);
	result = state_node_put(&transition->state, &node, error);
	if (result == 0)
		result = transition_changed_node(transition, node.name, NODE_STAYS, error);
	return result;
}
