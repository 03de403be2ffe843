/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_force.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/size.h"
#include "client/cli/when.h"

enum { KEY_SLOT = 0x2000, KEY_REVISION, KEY_POWERED_OFF };

const struct argp_option volume_force_options[] = {
	{ "slot", KEY_SLOT, "N", 0, "the slot; needed when the volume has several", 0 },
	{ "yes-i-may-lose-data", CLI_KEY_YES, NULL, 0, "do it", 0 },
	{ "revision", KEY_REVISION, "N", 0, "the revision that the plan named; refused when the volume changed since",
	  0 },
	{ "powered-off", KEY_POWERED_OFF, "NODE[,NODE…]", 0, "nodes of which you know that they are off, and stay so",
	  0 },
	{ "by", CLI_KEY_BY, "TEXT", 0, "who does it and why, kept with the volume; user and machine if not given", 0 },
	{ 0 },
};

static int nodes_parse(struct cli *cli, const char *value, struct error *error)
{
	char *text = arena_strdup(&cli->arena, value), *next = text, *name;
	const char **items;

	if (text == NULL)
		return error_set_nomem(error);
	while ((name = strsep(&next, ",")) != NULL) {
		if (name[0] == '\0')
			return error_set(error, ERROR_INVALID_ARGUMENT, "--powered-off \"%s\" has an empty name",
					 value);
		items = arena_alloc_array(&cli->arena, cli->powered_off.count + 1, sizeof(*items));
		if (items == NULL)
			return error_set_nomem(error);
		if (cli->powered_off.count > 0)
			memcpy(items, cli->powered_off.items, cli->powered_off.count * sizeof(*items));
		items[cli->powered_off.count] = name;
		cli->powered_off = (struct string_list){ cli->powered_off.count + 1, items };
	}
	return 0;
}

int volume_force_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_SLOT:
		cli->slot_given = true;
		return number_parse("--slot", value, 0, LIMIT_CONTROLLERS - 1, &cli->slot, error);
	case KEY_REVISION:
		return number_parse("--revision", value, 1, UINT64_MAX, &cli->revision, error);
	case KEY_POWERED_OFF:
		return nodes_parse(cli, value, error);
	default:
		return cli_consent_option(cli, key, value);
	}
}

/* --- the plan -------------------------------------------------------------------------------------------------------
 */

static void print_errors(const struct ld_errors *errors)
{
	char when[WHEN_TEXT_SIZE];

	printf("\n        returned %" PRIu64 " read and %" PRIu64 " write errors", errors->reads, errors->writes);
	if (errors->missed)
		printf(", or more, as not all were recorded,");
	/* Each of these makes a Disk Node begin to count anew. */
	if (errors->rebuild_ms > 0)
		printf(" since it was made whole at %s, or since its node booted",
		       when_format(errors->rebuild_ms, when));
	else
		printf(" since its node booted");
}

static void print_member(const struct force_member *member)
{
	char when[WHEN_TEXT_SIZE];

	printf("    %s ld%" PRIu64 "  disk d%" PRIu64 " of node %s  %s", member->taken ? ">" : " ", member->ld,
	       member->disk, member->node, ENUM_NAME(ld_state, member->state));
	if (member->state == LD_STATE_STALE)
		printf(" (%s) since %s", ENUM_NAME(stale_reason, member->reason), when_format(member->since_ms, when));
	if (member->errors != NULL)
		print_errors(member->errors);
	if (member->doubtful)
		printf("\n        its node booted anew since, and its disk has a volatile write cache");
	printf("\n        %s\n", member->note);
}

static void print_names(const struct string_list *names)
{
	for (size_t i = 0; i < names->count; i++)
		printf("%s%s", i > 0 ? "," : "", names->items[i]);
}

static int print_plan(struct cli *cli, const struct volume_force_plan *plan, struct error *error)
{
	if (cli->json)
		return cli_print_json(schema_volume_force_plan(), plan, error);
	printf("slot %" PRIu64 " of volume %s, epoch %" PRIu64
	       ": %zu %s no copy that can be reached and is sure to have everything\n",
	       plan->slot, plan->name, plan->epoch, plan->groups.count,
	       plan->groups.count == 1 ? "group has" : "groups have");
	for (size_t g = 0; g < plan->groups.count; g++) {
		const struct force_group *group = &plan->groups.items[g];

		printf("  group %" PRIu64 " of leg %" PRIu64 "\n", group->group, group->leg);
		for (size_t m = 0; m < group->members.count; m++)
			print_member(&group->members.items[m]);
	}
	printf("what it means:\n");
	for (size_t i = 0; i < plan->notes.count; i++)
		printf("  - %s\n", plan->notes.items[i]);
	printf("nothing was changed; to do it:\n  dnvme volume force %s --slot %" PRIu64 " --revision %" PRIu64
	       " --yes-i-may-lose-data",
	       plan->name, plan->slot, plan->revision);
	if (plan->off_disks.count > 0 && plan->off_holders.count > 0) {
		printf(" --powered-off ");
		print_names(&plan->off_disks);
		printf("\n  or, if node ");
		print_names(&plan->off_holders);
		printf(" is off instead: --powered-off ");
		print_names(&plan->off_holders);
	}
	printf("\n");
	return 0;
}

/* --- doing it -------------------------------------------------------------------------------------------------------
 */

static int await_served(struct cli *cli, const char *name, uint64_t slot, struct error *error)
{
	struct volume_get_request request = { .name = name };
	struct volume_status status = { 0 };
	bool seen = false;
	unsigned pause_ms = 0;
	int rc;

	do {
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);
		seen = seen || rc == 0;
		/* While the servers elect a leader it goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && slot < status.volume->slots.count &&
		    status.volume->slots.items[slot].phase == SLOT_PHASE_SERVING)
			return 0;
	} while (cli_pause(cli, &pause_ms));
	if (!seen)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "slot %" PRIu64 " is not served after %u ms", slot, cli->timeout_ms);
	if (status.waits_for != NULL)
		error_detail(error, "waits for: %s", status.waits_for);
	return error_hint(error, "it goes on without this command; see dnvme volume get %s", name);
}

/* Which slot, where the command does not say. */
static int slot_check(struct cli *cli, const char *name, struct error *error)
{
	struct volume_get_request request = { .name = name };
	struct volume_status status = { 0 };
	int rc;

	if (cli->slot_given)
		return 0;
	rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);
	if (rc != 0 || status.volume->slots.count == 1)
		return rc;
	cli->bad_usage = true;
	return error_set(error, ERROR_INVALID_ARGUMENT, "--slot is missing: volume %s has %zu slots", name,
			 status.volume->slots.count);
}

int volume_force_run(struct cli *cli, struct error *error)
{
	struct volume_force_request request = { .volume = cli->arguments[0],
						.revision = cli->revision,
						.powered_off = cli->powered_off,
						.by = cli_by(cli) };
	struct volume_force_plan plan = { 0 };
	struct mutation_reply reply = { 0 };
	int rc = slot_check(cli, request.volume, error);

	request.slot = cli->slot;
	if (rc == 0 && cli->yes && cli->revision == 0) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "--revision is missing: the plan names it");
		rc = error_hint(error, "run it without --yes-i-may-lose-data first");
	} else if (rc == 0 && !cli->yes) {
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_FORCE_PLAN, &request, &plan, error);
		if (rc == 0)
			return print_plan(cli, &plan, error);
	} else if (rc == 0) {
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_FORCE, &request, &reply, error);
	}
	if (rc != 0)
		return cli_prefix(error, "cannot serve volume \"%s\" by force", request.volume);
	if (!cli->no_wait) {
		rc = await_served(cli, request.volume, request.slot, error);
		if (rc != 0)
			return cli_prefix(error, "volume \"%s\" is to be served by force", request.volume);
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("slot %" PRIu64 " of volume %s %s from members that missed writes, or may have\n", request.slot,
	       request.volume, cli->no_wait ? "is to be served" : "is served");
	return 0;
}
