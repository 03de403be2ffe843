/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme disk add|list|get|remove; disk_drain.c has drain|undrain, disk_release.c release */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/cli/disk_drain.h"
#include "client/cli/disk_release.h"
#include "client/cli/page.h"
#include "client/cli/size.h"
#include "lib/model/names.h"

enum { KEY_NODE = 0x2000, KEY_ACCEPT_VOLATILE_CACHE };

static const char *disk_after(struct arena *arena, const void *item)
{
	char id[NAMES_ID_SIZE];

	names_id_format("d", ((const struct disk *)item)->id, id);
	return arena_strdup(arena, id);
}

static const struct page_kind disk_pages = { METHOD_ID_DISK_LIST, sizeof(struct disk), disk_after };

static double used_percent(const struct disk *disk)
{
	if (disk->extents_total == 0 || disk->extents_free > disk->extents_total)
		return 0.0;
	return 100.0 * (double)(disk->extents_total - disk->extents_free) / (double)disk->extents_total;
}

static const char *placement_text(const struct disk *disk)
{
	if (disk->held)
		return "held";
	if (disk->draining)
		return "draining";
	return disk->cordoned ? "cordoned" : "open";
}

static int list_run(struct cli *cli, struct error *error)
{
	struct disk_page page = { 0 };
	struct libscols_table *table;
	int rc = page_fetch_all(cli, &disk_pages, cli->node, &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list disks");
	if (cli->json)
		return cli_print_json(schema_disk_page(), &page, error);
	table = table_new("ID,NODE,DEVICE,<SIZE,<USED,<LDS,PLACEMENT,SERIAL");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.disks.count; i++) {
		const struct disk *disk = &page.disks.items[i];
		struct libscols_line *line = table_line(table);
		char size[SIZE_TEXT_SIZE];

		size_format(disk->size_bytes, size);
		failed = line == NULL || table_cell(line, 0, "d%" PRIu64, disk->id) != 0 ||
			 table_cell(line, 1, "%s", disk->node) != 0 || table_cell(line, 2, "%s", disk->path) != 0 ||
			 table_cell(line, 3, "%s", size) != 0 ||
			 table_cell(line, 4, "%.0f %%", used_percent(disk)) != 0 ||
			 table_cell(line, 5, "%" PRIu64, disk->lds) != 0 ||
			 table_cell(line, 6, "%s", placement_text(disk)) != 0 ||
			 table_cell(line, 7, "%s", disk->serial != NULL ? disk->serial : "") != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static const char *cache_text(const struct disk *disk)
{
	if (!disk->volatile_cache)
		return "keeps what it holds, or is off";
	return disk->cache_accepted
		       ? "volatile, as was accepted: what was not flushed is lost when nodes lose power"
		       : "volatile, as it could not be switched off: what was not flushed is lost when nodes "
			 "lose power";
}

static int get_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct disk disk = { 0 };
	char size[SIZE_TEXT_SIZE];
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_GET, &request, &disk, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get disk \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_disk(), &disk, error);
	size_format(disk.size_bytes, size);
	printf("disk d%" PRIu64 "  %s:%s\n", disk.id, disk.node, disk.path);
	printf("  size       %s, %" PRIu64 " of %" PRIu64 " extents used (%.0f %%)\n", size,
	       disk.extents_total - disk.extents_free, disk.extents_total, used_percent(&disk));
	printf("  LDs        %" PRIu64 "\n", disk.lds);
	printf("  port       %" PRIu64 "\n", disk.port);
	printf("  cache      %s\n", cache_text(&disk));
	printf("  placement  %s\n", placement_text(&disk));
	printf("  serial     %s\n", disk.serial != NULL ? disk.serial : "unknown");
	return 0;
}

static int add_run(struct cli *cli, struct error *error)
{
	struct disk_add_request request = { .node = cli->arguments[0],
					    .path = cli->arguments[1],
					    .accept_volatile_cache = cli->accept_volatile_cache };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_ADD, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot add disk %s of node \"%s\"", request.path, request.node);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("disk %s is %s:%s\n", reply.id != NULL ? reply.id : "?", request.node, request.path);
	return 0;
}

static int remove_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_REMOVE, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot remove disk \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("disk %s is removed\n", request.name);
	return 0;
}

static int list_option(struct cli *cli, int key, const char *value, struct error *error)
{
	if (key != KEY_NODE)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->node = value;
	return 0;
}

static int add_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)value;
	if (key != KEY_ACCEPT_VOLATILE_CACHE)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->accept_volatile_cache = true;
	return 0;
}

static const struct argp_option add_options[] = {
	{ "accept-volatile-cache", KEY_ACCEPT_VOLATILE_CACHE, NULL, 0,
	  "take it, too, if its write cache loses what it holds when power fails, and cannot be switched off", 0 },
	{ 0 },
};

static const struct argp_option list_options[] = {
	{ "node", KEY_NODE, "NODE", 0, "only disks of this node", 0 },
	{ 0 },
};

const struct cli_command disk_commands[] = {
	{ .noun = "disk",
	  .verb = "add",
	  .arguments = "NODE DEVICE",
	  .argument_count = 2,
	  .summary = "make a disk of a node usable",
	  .text = "DEVICE is a path as `dnvme node get NODE` shows it. A device on which something else is found is "
		  "refused. A volatile write cache is switched off, now and whenever the node boots; one that cannot "
		  "be is "
		  "refused, too.",
	  .options = add_options,
	  .option = add_option,
	  .run = add_run },
	{ .noun = "disk",
	  .verb = "list",
	  .arguments = "",
	  .summary = "disks and their use",
	  .options = list_options,
	  .option = list_option,
	  .run = list_run },
	{ .noun = "disk",
	  .verb = "get",
	  .arguments = "DISK",
	  .argument_count = 1,
	  .summary = "one disk",
	  .run = get_run },
	{ .noun = "disk",
	  .verb = "remove",
	  .arguments = "DISK",
	  .argument_count = 1,
	  .summary = "drop a disk that holds no LD",
	  .run = remove_run },
	{ .noun = "disk",
	  .verb = "drain",
	  .arguments = "DISK",
	  .argument_count = 1,
	  .more = true,
	  .summary = "move the LDs of disks to others, while they are in use",
	  .text = "Waits until no LD is left on them. Each copy is made on the other disk, and is in sync, before the "
		  "one "
		  "here goes. Refused, with what is missing, when an LD finds no other disk. dnvme disk undrain ends "
		  "it; "
		  "an LD that is on its way then goes on.",
	  .options = disk_drain_options,
	  .option = disk_drain_option,
	  .run = disk_drain_run,
	  .waits = true },
	{ .noun = "disk",
	  .verb = "undrain",
	  .arguments = "DISK",
	  .argument_count = 1,
	  .more = true,
	  .summary = "place on disks again that were drained",
	  .run = disk_undrain_run },
	{ .noun = "disk",
	  .verb = "release",
	  .arguments = "DISK",
	  .argument_count = 1,
	  .more = true,
	  .summary = "place on disks again that are held since the cluster was restored from a backup",
	  .text = "Without --yes it says what that means, and changes nothing.",
	  .options = disk_release_options,
	  .option = disk_release_option,
	  .run = disk_release_run },
	{ 0 },
};
