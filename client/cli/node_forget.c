/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/node_forget.h"

#include <inttypes.h>
#include <stdio.h>

const struct argp_option node_forget_options[] = {
	{ "yes", CLI_KEY_YES, NULL, 0,
	  "with what it holds: I know that the machine never comes back with the kernel that it had", 0 },
	{ "by", CLI_KEY_BY, "TEXT", 0, "who says so, for the servers' log; user and machine if not given", 0 },
	{ 0 },
};

int node_forget_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)error;
	return cli_consent_option(cli, key, value);
}

static void print_plan(const struct node_forget_plan *plan)
{
	printf("node %s is %s", plan->name, ENUM_NAME(health, plan->health));
	if (plan->heartbeat_age_ms > 0)
		printf(", last heard of %" PRIu64 " s ago", plan->heartbeat_age_ms / 1000);
	printf(", and holds:\n");
	for (size_t i = 0; i < plan->items.count; i++)
		printf("  %s %s\n", plan->items.items[i].blocks ? "!" : "-", plan->items.items[i].what);
	if (plan->count > plan->items.count)
		printf("  … and %" PRIu64 " more\n", plan->count - plan->items.count);
	printf("To forget it is your promise that the machine never comes back with the kernel that it had: that it "
	       "is\n"
	       "switched off, or was started anew. Whatever it may still serve to hosts, nobody waits for it any "
	       "more.\n");
}

static int refuse(const struct node_forget_plan *plan, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "node \"%s\" is not forgotten: it holds something, and nothing was changed", plan->name);
	if (plan->blocking > 0)
		return error_hint(error, "%" PRIu64 " of these, marked with !, have to be dealt with first",
				  plan->blocking);
	if (plan->health != HEALTH_OFFLINE)
		return error_hint(error, "it is %s: only a node that is offline can be forgotten with what it holds",
				  ENUM_NAME(health, plan->health));
	return error_hint(error, "to forget it with all of this: dnvme node forget %s --yes", plan->name);
}

int node_forget_run(struct cli *cli, struct error *error)
{
	struct node_forget_request request = { .name = cli->arguments[0], .dead = cli->yes };
	struct node_forget_plan plan = { 0 };
	struct mutation_reply reply = { 0 };
	int rc = 0;

	request.by = cli_by(cli);
	if (!cli->yes) {
		rc = cli_call(cli, NULL, METHOD_ID_NODE_FORGET_PLAN, &request, &plan, error);
		if (rc == 0 && plan.count > 0 && cli->json)
			rc = cli_print_json(schema_node_forget_plan(), &plan, error);
		else if (rc == 0 && plan.count > 0)
			print_plan(&plan);
		if (rc == 0 && plan.count > 0)
			return refuse(&plan, error);
	}
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_NODE_FORGET, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot forget node \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("node %s is forgotten\n", request.name);
	return 0;
}
