/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/disk_drain.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/size.h"

enum { KEY_DRY_RUN = 0x2000 };

const struct argp_option disk_drain_options[] = {
	{ "dry-run", KEY_DRY_RUN, NULL, 0, "only say which LDs would move where", 0 },
	{ 0 },
};

int disk_drain_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)value;
	if (key != KEY_DRY_RUN)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->dry_run = true;
	return 0;
}

static int plan_print(const struct disk_drain_plan *plan, struct error *error)
{
	struct libscols_table *table = table_new("LD,VOLUME,FROM,TO,NODE,<SIZE");
	char size[SIZE_TEXT_SIZE];
	bool failed = table == NULL;
	int rc;

	for (size_t i = 0; !failed && i < plan->items.count; i++) {
		const struct drain_item *item = &plan->items.items[i];
		struct libscols_line *line = table_line(table);

		size_format(item->size_bytes, size);
		failed = line == NULL || table_cell(line, 0, "ld%" PRIu64, item->ld) != 0 ||
			 table_cell(line, 1, "%s", item->volume) != 0 ||
			 table_cell(line, 2, "d%" PRIu64, item->disk) != 0 ||
			 table_cell(line, 3, item->to != 0 ? "d%" PRIu64 : "nowhere", item->to) != 0 ||
			 table_cell(line, 4, "%s", item->node != NULL ? item->node : "") != 0 ||
			 table_cell(line, 5, "%s", size) != 0;
	}
	rc = failed ? error_set_nomem(error) : table_print(table, error);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < plan->items.count; i++) {
		if (plan->items.items[i].to == 0)
			printf("ld%" PRIu64 " cannot move: %s\n", plan->items.items[i].ld, plan->items.items[i].why);
	}
	size_format(plan->size_bytes, size);
	printf("%" PRIu64 " LDs, %s to be copied", plan->count, size);
	if (plan->count > plan->items.count)
		printf("; where the last %" PRIu64 " would go was not looked at", plan->count - plan->items.count);
	printf("%s\n", plan->blocking > 0 ? "; the drain would be refused" : "");
	return 0;
}

int disk_drain_plan(struct cli *cli, const struct string_list *disks, struct error *error)
{
	struct disk_drain_request request = { .disks = *disks };
	struct disk_drain_plan plan = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_DRAIN_PLAN, &request, &plan, error);

	if (rc != 0)
		return rc;
	return cli->json ? cli_print_json(schema_disk_drain_plan(), &plan, error) : plan_print(&plan, error);
}

int disk_drain_begin(struct cli *cli, const struct string_list *disks, struct mutation_reply *ret_reply,
		     struct error *error)
{
	struct disk_drain_request request = { .disks = *disks };

	return cli_call(cli, NULL, METHOD_ID_DISK_DRAIN, &request, ret_reply, error);
}

/* How many LDs are left. */
static int lds_count(struct cli *cli, const struct string_list *disks, uint64_t *ret_count, struct error *error)
{
	uint64_t count = 0;

	for (size_t i = 0; i < disks->count; i++) {
		struct name_request request = { .name = disks->items[i] };
		struct disk disk = { 0 };
		int rc = cli_call(cli, NULL, METHOD_ID_DISK_GET, &request, &disk, error);

		if (rc != 0)
			return rc;
		if (!disk.draining)
			return error_set(error, ERROR_CANCELLED, "disk %s was opened again before it was empty",
					 request.name);
		count += disk.lds;
	}
	*ret_count = count;
	return 0;
}

int disk_drain_wait(struct cli *cli, const struct string_list *disks, struct error *error)
{
	unsigned pause_ms = 0;
	uint64_t count = 0;
	bool seen = false;
	int rc;

	do {
		rc = lds_count(cli, disks, &count, error);
		seen = seen || rc == 0;
		/* While the servers elect a leader the drain goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && count == 0)
			return 0;
	} while (cli_pause(cli, &pause_ms));
	if (!seen)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "%" PRIu64 " LDs are still there after %u ms", count,
		  cli->timeout_ms);
	return error_hint(error, "it goes on without this command; see dnvme job list, and dnvme volume get for what "
				 "a volume waits for");
}

static struct string_list disks_given(struct cli *cli)
{
	return (struct string_list){ cli->argument_count, cli->arguments };
}

int disk_drain_run(struct cli *cli, struct error *error)
{
	struct string_list disks = disks_given(cli);
	struct mutation_reply reply = { 0 };
	int rc;

	if (cli->dry_run) {
		rc = disk_drain_plan(cli, &disks, error);
		return rc != 0 ? cli_prefix(error, "cannot plan the drain") : 0;
	}
	rc = disk_drain_begin(cli, &disks, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot drain");
	if (!cli->no_wait) {
		rc = disk_drain_wait(cli, &disks, error);
		if (rc != 0)
			return cli_prefix(error, "being drained");
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	for (size_t i = 0; i < disks.count; i++)
		printf("disk %s is %s\n", disks.items[i],
		       cli->no_wait ? "being drained" : "drained: no LD is left there");
	return 0;
}

int disk_undrain_run(struct cli *cli, struct error *error)
{
	struct disk_drain_request request = { .disks = disks_given(cli) };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_DISK_UNDRAIN, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot undrain");
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	for (size_t i = 0; i < request.disks.count; i++)
		printf("disk %s is open for placement\n", request.disks.items[i]);
	return 0;
}
