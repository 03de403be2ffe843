/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme node list|get|cordon|uncordon|drain|forget */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/disk_drain.h"
#include "client/cli/node_forget.h"
#include "client/cli/page.h"
#include "client/cli/size.h"
#include "lib/model/names.h"

static const char *node_after(struct arena *arena, const void *item)
{
	(void)arena;
	return ((const struct node_status *)item)->node->name;
}

static const struct page_kind node_pages = { METHOD_ID_NODE_LIST, sizeof(struct node_status), node_after };

static const char *labels_text(struct cli *cli, const struct label_list *labels)
{
	const char *text = "";

	for (size_t i = 0; i < labels->count && text != NULL; i++)
		text = arena_printf(&cli->arena, "%s%s%s=%s", text, i > 0 ? "," : "", labels->items[i].key,
				    labels->items[i].value);
	return text != NULL ? text : "";
}

static const char *placement_text(const struct node *node)
{
	if (node->draining)
		return "draining";
	if (node->cordoned)
		return "cordoned";
	return node->storage_only ? "storage only" : "open";
}

static int list_run(struct cli *cli, struct error *error)
{
	struct node_page page = { 0 };
	struct libscols_table *table;
	int rc = page_fetch_all(cli, &node_pages, NULL, &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list nodes");
	if (cli->json)
		return cli_print_json(schema_node_page(), &page, error);
	table = table_new("NAME,ADDRESS,HEALTH,PLACEMENT,<CONTROLLERS,STRICT,<PROBLEMS,LABELS,AGENT");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.nodes.count; i++) {
		const struct node_status *status = &page.nodes.items[i];
		const struct node *node = status->node;
		struct libscols_line *line = table_line(table);

		failed = line == NULL || table_cell(line, 0, "%s", node->name) != 0 ||
			 table_cell(line, 1, "%s:%" PRIu64, node->address, node->port) != 0 ||
			 table_cell(line, 2, "%s", ENUM_NAME(health, status->health)) != 0 ||
			 table_cell(line, 3, "%s", placement_text(node)) != 0 ||
			 table_cell(line, 4, "%" PRIu64, node->controllers) != 0 ||
			 table_cell(line, 5, "%s", node->writethrough ? "yes" : "no") != 0 ||
			 table_cell(line, 6, "%zu", status->problems.count) != 0 ||
			 table_cell(line, 7, "%s", labels_text(cli, &node->labels)) != 0 ||
			 table_cell(line, 8, "%s", node->version != NULL ? node->version : "") != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static const char *cache_text(const struct inventory_disk *disk)
{
	if (!disk->volatile_cache)
		return "safe";
	return disk->cache_switchable ? "volatile, to be switched off" : "volatile";
}

static int print_inventory(const struct inventory_disk_list *inventory, struct error *error)
{
	struct libscols_table *table = table_new("DEVICE,<SIZE,SERIAL,CACHE,STATE");
	bool failed = table == NULL;

	for (size_t i = 0; !failed && i < inventory->count; i++) {
		const struct inventory_disk *disk = &inventory->items[i];
		struct libscols_line *line = table_line(table);
		char size[SIZE_TEXT_SIZE];

		size_format(disk->size_bytes, size);
		failed = line == NULL || table_cell(line, 0, "%s", disk->path) != 0 ||
			 table_cell(line, 1, "%s", size) != 0 ||
			 table_cell(line, 2, "%s", disk->serial != NULL ? disk->serial : "") != 0 ||
			 table_cell(line, 3, "%s", cache_text(disk)) != 0 ||
			 table_cell(line, 4, "%s%s%s", disk->in_use ? "in use by others" : "free or ours",
				    disk->used_by != NULL ? ": " : "", disk->used_by != NULL ? disk->used_by : "") != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static int get_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct node_status status = { 0 };
	const struct node *node;
	int rc = cli_call(cli, NULL, METHOD_ID_NODE_GET, &request, &status, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get node \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_node_status(), &status, error);
	node = status.node;
	printf("node %s  %s  %s\n", node->name, ENUM_NAME(health, status.health), placement_text(node));
	printf("  address      %s:%" PRIu64 "\n", node->address, node->port);
	printf("  labels       %s\n", node->labels.count > 0 ? labels_text(cli, &node->labels) : "none");
	printf("  controllers  %" PRIu64 "\n", node->controllers);
	printf("  durability   %s\n", node->writethrough
					      ? "flush or strict"
					      : "flush only: its kernel has no write-through target (kmod/README.md)");
	printf("  agent        %s, last heard of %" PRIu64 " ms ago\n",
	       node->version != NULL ? node->version : "unknown", status.heartbeat_age_ms);
	if (status.inventory.count > 0) {
		rc = print_inventory(&status.inventory, error);
		if (rc != 0)
			return rc;
	}
	if (status.problems.count > 0)
		printf("problems:\n");
	for (size_t i = 0; i < status.problems.count; i++) {
		const struct object_status *problem = &status.problems.items[i];

		printf("  %s %s is %s%s%s\n", ENUM_NAME(object_kind, problem->kind), problem->id,
		       ENUM_NAME(object_state, problem->state), problem->message != NULL ? ": " : "",
		       problem->message != NULL ? problem->message : "");
	}
	return 0;
}

static int change(struct cli *cli, enum method_id method, const char *verb, const char *done, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, method, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot %s node \"%s\"", verb, request.name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("node %s is %s\n", request.name, done);
	return 0;
}

static int cordon_run(struct cli *cli, struct error *error)
{
	return change(cli, METHOD_ID_NODE_CORDON, "cordon", "cordoned: nothing new is placed there", error);
}

static int uncordon_run(struct cli *cli, struct error *error)
{
	return change(cli, METHOD_ID_NODE_UNCORDON, "uncordon", "open for placement", error);
}

/* Until no controller is left on the node. */
static int drain_wait(struct cli *cli, const char *name, struct error *error)
{
	struct name_request request = { .name = name };
	struct node_status status = { 0 };
	bool seen = false;
	unsigned pause_ms = 0;
	int rc;

	do {
		rc = cli_call(cli, NULL, METHOD_ID_NODE_GET, &request, &status, error);
		seen = seen || rc == 0;
		/* While the servers elect a leader the drain goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && !status.node->draining)
			return error_set(error, ERROR_CANCELLED, "node %s was opened again before it was empty", name);
		if (rc == 0 && status.node->controllers == 0)
			return 0;
	} while (cli_pause(cli, &pause_ms));
	if (!seen)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "%" PRIu64 " controllers are still on node %s after %u ms",
		  status.node->controllers, name, cli->timeout_ms);
	return error_hint(error, "it goes on without this command; see dnvme job list, and dnvme volume get for what "
				 "a volume waits for");
}

enum { KEY_DISKS = 0x2000, KEY_DRY_RUN };

static const struct argp_option drain_options[] = {
	{ "disks", KEY_DISKS, NULL, 0, "empty its disks, too: their LDs move to disks of other nodes", 0 },
	{ "dry-run", KEY_DRY_RUN, NULL, 0, "with --disks: only say which LDs would move where", 0 },
	{ 0 },
};

static int drain_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)value;
	if (key == KEY_DISKS)
		cli->disks = true;
	else if (key == KEY_DRY_RUN)
		cli->dry_run = true;
	else
		return error_set(error, ERROR_INTERNAL, "unknown option");
	return 0;
}

static const char *disk_after(struct arena *arena, const void *item)
{
	char id[NAMES_ID_SIZE];

	names_id_format("d", ((const struct disk *)item)->id, id);
	return arena_strdup(arena, id);
}

static const struct page_kind disk_pages = { METHOD_ID_DISK_LIST, sizeof(struct disk), disk_after };

/* The disks of the node. */
static int disks_list(struct cli *cli, const char *node, struct string_list *ret_disks, struct error *error)
{
	struct disk_page page = { 0 };
	int rc = page_fetch_all(cli, &disk_pages, node, &page, error);

	if (rc != 0)
		return rc;
	ret_disks->count = page.disks.count;
	ret_disks->items = arena_alloc_array(&cli->arena, page.disks.count + 1, sizeof(*ret_disks->items));
	if (ret_disks->items == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < page.disks.count; i++) {
		ret_disks->items[i] = disk_after(&cli->arena, &page.disks.items[i]);
		if (ret_disks->items[i] == NULL)
			return error_set_nomem(error);
	}
	return 0;
}

/* The disks first: when they are refused, nothing is changed. */
static int disks_begin(struct cli *cli, const char *node, struct string_list *disks, struct error *error)
{
	struct mutation_reply reply = { 0 };
	int rc = cli->disks ? disks_list(cli, node, disks, error) : 0;

	if (rc != 0 || disks->count == 0 || cli->dry_run)
		return rc;
	return disk_drain_begin(cli, disks, &reply, error);
}

static int drain_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct mutation_reply reply = { 0 };
	struct string_list disks = { 0 };
	int rc;

	if (cli->dry_run && !cli->disks) {
		cli->bad_usage = true;
		return error_set(error, ERROR_INVALID_ARGUMENT, "--dry-run is for --disks");
	}
	rc = disks_begin(cli, request.name, &disks, error);
	if (rc == 0 && cli->dry_run)
		return disks.count > 0 ? disk_drain_plan(cli, &disks, error) : 0;
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_NODE_DRAIN, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot drain node \"%s\"", request.name);
	if (!cli->no_wait) {
		rc = drain_wait(cli, request.name, error);
		if (rc == 0)
			rc = disk_drain_wait(cli, &disks, error);
		if (rc != 0)
			return cli_prefix(error, "node \"%s\" is being drained", request.name);
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("node %s is %s\n", request.name,
	       cli->no_wait ? "being drained"
	       : cli->disks ? "drained: neither a controller nor an LD is left there"
			    : "drained: no controller is left there");
	return 0;
}

const struct cli_command node_commands[] = {
	{ .noun = "node", .verb = "list", .arguments = "", .summary = "nodes and their health", .run = list_run },
	{ .noun = "node",
	  .verb = "get",
	  .arguments = "NODE",
	  .argument_count = 1,
	  .summary = "one node, its block devices and problems",
	  .run = get_run },
	{ .noun = "node",
	  .verb = "cordon",
	  .arguments = "NODE",
	  .argument_count = 1,
	  .summary = "place nothing new on a node",
	  .run = cordon_run },
	{ .noun = "node",
	  .verb = "uncordon",
	  .arguments = "NODE",
	  .argument_count = 1,
	  .summary = "place on a node again",
	  .run = uncordon_run },
	{ .noun = "node",
	  .verb = "drain",
	  .arguments = "NODE",
	  .argument_count = 1,
	  .summary = "cordon a node and move its controllers away",
	  .text = "Waits until no controller is left there. Its disks stay in use, unless --disks is given. dnvme node "
		  "uncordon ends it, and dnvme disk undrain that of its disks.",
	  .options = drain_options,
	  .option = drain_option,
	  .run = drain_run,
	  .waits = true },
	{ .noun = "node",
	  .verb = "forget",
	  .arguments = "NODE",
	  .argument_count = 1,
	  .summary = "drop a node that never comes back",
	  .text = "One that holds nothing is forgotten at once. Otherwise it says what the node holds and what would "
		  "become of it, and changes nothing without --yes.",
	  .options = node_forget_options,
	  .option = node_forget_option,
	  .run = node_forget_run },
	{ 0 },
};
