/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_set.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/size.h"

enum { KEY_STANDBYS = 0x2000, KEY_REVISION };

const struct argp_option volume_set_options[] = {
	{ "standbys", KEY_STANDBYS, "N", 0, "standby controllers that it is to have, 0 to 15; required", 0 },
	{ "revision", KEY_REVISION, "N", 0, "refused when the volume is at another one by now", 0 },
	{ 0 },
};

int volume_set_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_STANDBYS:
		cli->standbys_given = true;
		return number_parse("--standbys", value, 0, LIMIT_STANDBYS, &cli->standbys, error);
	case KEY_REVISION:
		return number_parse("--revision", value, 1, UINT64_MAX, &cli->revision, error);
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

/* Whether it has exactly so many, and each could take a slot over now. */
static bool is_reached(const struct volume_explanation *explanation, uint64_t standbys)
{
	uint64_t count = 0, ready = 0;

	for (size_t i = 0; i < explanation->controllers.count; i++) {
		const struct explained_controller *controller = &explanation->controllers.items[i];

		count += controller->role == CONTROLLER_ROLE_STANDBY;
		ready += controller->role == CONTROLLER_ROLE_STANDBY && controller->ready;
	}
	return count == standbys && ready == standbys;
}

static int late(const struct cli *cli, const struct volume_explanation *explanation, struct error *error)
{
	error_set(error, ERROR_DEADLINE_EXCEEDED, "not yet so after %u ms", cli->timeout_ms);
	for (size_t i = 0; i < explanation->controllers.count; i++) {
		const struct explained_controller *controller = &explanation->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_STANDBY)
			error_detail(error, "standby at node %s is %s%s%s", controller->node,
				     controller->ready ? "ready" : "not ready", controller->note != NULL ? ": " : "",
				     controller->note != NULL ? controller->note : "");
	}
	for (size_t i = 0; i < explanation->prospects.count; i++)
		error_detail(error, "%s", explanation->prospects.items[i].text);
	return error_hint(error, "it goes on without this command; see dnvme volume explain %s", explanation->name);
}

static int await(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct volume_explanation explanation = { 0 }, now;
	unsigned pause_ms = 0;
	bool seen = false;
	int rc;

	do {
		now = (struct volume_explanation){ 0 };
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_EXPLAIN, &request, &now, error);
		/* While the servers elect a leader the change goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && is_reached(&now, cli->standbys))
			return 0;
		if (rc == 0)
			explanation = now;
		seen = seen || rc == 0;
	} while (cli_pause(cli, &pause_ms));
	/* The last question may have had no time left: what was said before counts. */
	return seen ? late(cli, &explanation, error) : rc;
}

static void print_done(const struct cli *cli)
{
	const char *name = cli->arguments[0];

	if (cli->standbys == 0)
		printf("volume %s keeps no standby ready: when a controller is lost, one is made then, on a node that "
		       "has "
		       "room for it,\nand hosts wait longer, or for as long as there is no such node\n",
		       name);
	else
		printf("volume %s %s %" PRIu64 " standby%s\n", name, cli->no_wait ? "is to have" : "has", cli->standbys,
		       cli->standbys == 1 ? "" : "s");
}

int volume_set_run(struct cli *cli, struct error *error)
{
	struct volume_set_request request = { .volume = cli->arguments[0],
					      .standbys = cli->standbys,
					      .revision = cli->revision };
	struct mutation_reply reply = { 0 };
	int rc = 0;

	if (!cli->standbys_given) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "--standbys is missing");
		rc = error_hint(error, "it is what can be set; for example --standbys 1");
	}
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_SET, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot set volume \"%s\"", request.volume);
	if (!cli->no_wait) {
		rc = await(cli, error);
		if (rc != 0)
			return cli_prefix(error, "volume \"%s\" is to have %" PRIu64 " standbys", request.volume,
					  request.standbys);
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	print_done(cli);
	return 0;
}
