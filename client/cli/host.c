/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme host list|connect|watch|disconnect */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/host_connect.h"
#include "client/cli/host_watch.h"
#include "client/cli/page.h"

enum { KEY_HOST_NQN = 0x2000, KEY_IO_POLICY, KEY_FORCE, KEY_ALL };

static const char *host_after(struct arena *arena, const void *item)
{
	(void)arena;
	return ((const struct host *)item)->nqn;
}

static const struct page_kind host_pages = { METHOD_ID_HOST_LIST, sizeof(struct host), host_after };

static int list_run(struct cli *cli, struct error *error)
{
	struct host_page page = { 0 };
	struct libscols_table *table;
	int rc = page_fetch_all(cli, &host_pages, NULL, &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list hosts");
	if (cli->json)
		return cli_print_json(schema_host_page(), &page, error);
	table = table_new("HOST-NQN,VOLUMES");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.hosts.count; i++) {
		const struct host *host = &page.hosts.items[i];
		struct libscols_line *line = table_line(table);
		const char *volumes = "";

		for (size_t j = 0; j < host->volumes.count && volumes != NULL; j++)
			volumes =
				arena_printf(&cli->arena, "%s%s%s", volumes, j > 0 ? "," : "", host->volumes.items[j]);
		failed = volumes == NULL || line == NULL || table_cell(line, 0, "%s", host->nqn) != 0 ||
			 table_cell(line, 1, "%s", volumes) != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static int connect_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_HOST_NQN:
		cli->host_nqn = value;
		return 0;
	case KEY_IO_POLICY:
		if (strcmp(value, "numa") != 0 && strcmp(value, "round-robin") != 0 &&
		    strcmp(value, "queue-depth") != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "--io-policy \"%s\" is none of numa, round-robin, queue-depth", value);
		cli->io_policy = value;
		return 0;
	case KEY_ALL:
		cli->all = true;
		return 0;
	case KEY_FORCE:
		cli->force = true;
		return 0;
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static const struct argp_option connect_options[] = {
	{ "all", KEY_ALL, NULL, 0, "every volume that this host is attached to, as at boot; prints names, too", 0 },
	{ "host-nqn", KEY_HOST_NQN, "NQN", 0, "NQN of this host; else from /etc/nvme/hostnqn", 0 },
	{ "io-policy", KEY_IO_POLICY, "numa|round-robin|queue-depth", 0,
	  "how I/O is spread over active paths (round-robin); queue-depth from Linux 6.11 on", 0 },
	{ 0 },
};

static const struct argp_option watch_options[] = {
	{ "host-nqn", KEY_HOST_NQN, "NQN", 0, "NQN of this host; else from /etc/nvme/hostnqn", 0 },
	{ 0 },
};

static const struct argp_option disconnect_options[] = {
	{ "force", KEY_FORCE, NULL, 0, "even if the device is in use: its users get errors", 0 },
	{ 0 },
};

const struct cli_command host_commands[] = {
	{ .noun = "host",
	  .verb = "list",
	  .arguments = "",
	  .summary = "hosts and the volumes that they may use",
	  .run = list_run },
	{ .noun = "host",
	  .verb = "connect",
	  .arguments = "VOLUME|VOLUME@SNAPSHOT|--all",
	  .more = true,
	  .summary = "on a host: connect a volume or a snapshot, print its device",
	  .text = "Connects every path of the volume, waits for its block device and prints the device's path, alone, "
		  "on "
		  "standard output. Paths that are there already are kept; those to controllers that the volume has no "
		  "more are removed. A controller that does not answer is tried on in the background. With --all a "
		  "line "
		  "for each volume has its name and the device; one that fails does not stop the others. Needs root "
		  "and "
		  "the module nvme-tcp.",
	  .options = connect_options,
	  .option = connect_option,
	  .run = host_connect_run,
	  .waits = true },
	{ .noun = "host",
	  .verb = "watch",
	  .arguments = "[VOLUME…]",
	  .more = true,
	  .summary = "on a host: keep the paths of connected volumes as they should be",
	  .text = "Runs until SIGTERM. Follows the volumes that are named, or all that this machine has connected; "
		  "ends "
		  "what is stuck on the path to a controller that was replaced, removes that path, and adds paths to "
		  "new "
		  "controllers. The last live path of a volume is never touched, nor is anything of other subsystems. "
		  "Tells the servers which controllers this host reaches, so that a volume whose controller no host "
		  "reaches is moved.",
	  .options = watch_options,
	  .option = connect_option,
	  .run = host_watch_run,
	  .waits = true },
	{ .noun = "host",
	  .verb = "disconnect",
	  .arguments = "VOLUME|VOLUME@SNAPSHOT|NQN",
	  .argument_count = 1,
	  .summary = "on a host: remove every path of a volume or a snapshot",
	  .options = disconnect_options,
	  .option = connect_option,
	  .run = host_disconnect_run,
	  .waits = true,
	  .local = true },
	{ 0 },
};
