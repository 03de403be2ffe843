/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme cluster check: each server audits its own state; or a backup is read through. */
#include "client/cli/cluster_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cluster_backup.h"
#include "lib/backup/backup_file.h"

enum { KEY_FILE = 0x2200 };

struct tally {
	unsigned asked, unsound;
	struct error failure; /* of the first server that gave no answer */
};

static int report_print(const struct cli *cli, const char *address, const struct state_report *report,
			struct error *error)
{
	if (cli->json)
		return cli_print_json(schema_state_report(), report, error);
	if (report->total == 0) {
		printf("server %" PRIu64 " at %s: sound, revision %" PRIu64 ", index %" PRIu64 "\n", report->server,
		       address, report->revision, report->applied_index);
		return 0;
	}
	printf("server %" PRIu64 " at %s: %" PRIu64 " %s, revision %" PRIu64 ", index %" PRIu64 "\n", report->server,
	       address, report->total, report->total == 1 ? "contradiction" : "contradictions", report->revision,
	       report->applied_index);
	for (size_t i = 0; i < report->findings.count; i++)
		printf("  %s\n", report->findings.items[i]);
	if (report->total > report->findings.count)
		printf("  and %" PRIu64 " more\n", report->total - report->findings.count);
	if (report->incomplete)
		printf("  the audit could not go on\n");
	if (report->advice != NULL)
		printf("  hint: %s\n", report->advice);
	return 0;
}

static int server_check(struct cli *cli, const char *address, struct tally *tally, struct error *error)
{
	const struct empty request = { 0 };
	struct state_report report = { 0 };
	struct dnvme *dnvme = NULL;
	int rc = cli_open(cli, address, &dnvme, error);

	if (rc != 0)
		return rc;
	rc = cli_call(cli, dnvme, METHOD_ID_CLUSTER_CHECK, &request, &report, error);
	dnvme_close(dnvme);
	tally->asked++;
	if (rc == 0) {
		tally->unsound += report.total > 0;
		return report_print(cli, address, &report, error);
	}
	/* The others are worth asking all the same. */
	cli_prefix(error, "cannot check server %s", address);
	if (tally->failure.code == ERROR_NONE)
		tally->failure = *error;
	error_clear(error);
	return 0;
}

static int servers_check(struct cli *cli, struct error *error)
{
	char *list = arena_strdup(&cli->arena, cli->servers), *save = NULL;
	struct tally tally = { 0 };

	if (list == NULL)
		return error_set_nomem(error);
	for (char *one = strtok_r(list, ", ", &save); one != NULL; one = strtok_r(NULL, ", ", &save)) {
		int rc = server_check(cli, one, &tally, error);

		if (rc != 0)
			return rc;
	}
	if (tally.unsound > 0) {
		if (tally.failure.code != ERROR_NONE)
			cli_print_error(&tally.failure);
		return error_set(error, ERROR_FAILED_PRECONDITION, "the state of %u of %u %s contradicts itself",
				 tally.unsound, tally.asked, tally.asked == 1 ? "server" : "servers");
	}
	if (tally.failure.code != ERROR_NONE)
		*error = tally.failure;
	return (int)tally.failure.code;
}

static int file_check(struct cli *cli, struct error *error)
{
	struct backup backup;

	if (backup_file_read(cli->file, &cli->arena, &backup, NULL, error) != 0)
		return cli_prefix(error, "cannot use the backup");
	return cluster_backup_print(cli, cli->file, &backup, error);
}

int cluster_check_run(struct cli *cli, struct error *error)
{
	if (cli->file != NULL)
		return file_check(cli, error);
	if (cli->servers == NULL) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "no server is given");
		return error_hint(error, "use --server HOST:PORT[,…] or set DNVME_SERVERS; or --file FILE");
	}
	return servers_check(cli, error);
}

int cluster_check_option(struct cli *cli, int key, const char *value, struct error *error)
{
	if (key != KEY_FILE)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->file = value;
	return 0;
}

const struct argp_option cluster_check_options[] = {
	{ "file", KEY_FILE, "FILE", 0, "read this backup through instead: whether it is whole, and of what", 0 },
	{ 0 },
};
