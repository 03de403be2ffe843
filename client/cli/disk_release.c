/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/disk_release.h"

#include <stdio.h>

const struct argp_option disk_release_options[] = {
	{ "yes", CLI_KEY_YES, NULL, 0, "do it", 0 },
	{ "by", CLI_KEY_BY, "TEXT", 0, "who does it and why, for the servers' log; user and machine if not given", 0 },
	{ 0 },
};

int disk_release_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)error;
	return cli_consent_option(cli, key, value);
}

static int explain(struct cli *cli, const char *name, struct error *error)
{
	struct name_request request = { .name = name };
	struct disk disk = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_GET, &request, &disk, error);

	if (rc != 0)
		return cli_prefix(error, "cannot look at disk \"%s\"", name);
	if (cli->json)
		return cli_print_json(schema_disk(), &disk, error);
	if (!disk.held) {
		printf("disk %s is not held\n", name);
		return 0;
	}
	printf("disk %s (%s of node %s) is held: the state of the cluster is that of a backup. Where it sees free "
	       "room, a\n"
	       "volume may lie that was made, moved or rebuilt since that was made; it is overwritten when something "
	       "else\n"
	       "is placed there. Release the disk when you know that there was none, or need none of them any more.\n"
	       "Nothing was changed. To do it:\n"
	       "  dnvme disk release %s --yes\n",
	       name, disk.path, disk.node, name);
	return 0;
}

int disk_release_run(struct cli *cli, struct error *error)
{
	struct disk_release_request request = { .disks = { (size_t)cli->argument_count, cli->arguments },
						.by = cli_by(cli) };
	struct mutation_reply reply = { 0 };
	int rc = 0;

	for (size_t i = 0; !cli->yes && rc == 0 && i < request.disks.count; i++)
		rc = explain(cli, request.disks.items[i], error);
	if (!cli->yes)
		return rc;
	rc = cli_call(cli, NULL, METHOD_ID_DISK_RELEASE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot release");
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	for (size_t i = 0; i < request.disks.count; i++)
		printf("disk %s is released\n", request.disks.items[i]);
	return 0;
}
