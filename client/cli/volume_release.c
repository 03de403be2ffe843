/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_release.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/size.h"
#include "client/cli/when.h"

enum { KEY_REVISION = 0x2000, KEY_FORCE };

const struct argp_option volume_release_options[] = {
	{ "yes", CLI_KEY_YES, NULL, 0, "do it", 0 },
	{ "revision", KEY_REVISION, "N", 0, "refused when the volume is at another one by now", 0 },
	{ "force", KEY_FORCE, NULL, 0,
	  "though not all of its copies that are in sync are there: the others are given up", 0 },
	{ "by", CLI_KEY_BY, "TEXT", 0, "who does it and why, for the servers' log; user and machine if not given", 0 },
	{ 0 },
};

int volume_release_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_REVISION:
		return number_parse("--revision", value, 1, UINT64_MAX, &cli->revision, error);
	case KEY_FORCE:
		cli->force = true;
		return 0;
	default:
		return cli_consent_option(cli, key, value);
	}
}

static int explain(struct cli *cli, const char *name, struct error *error)
{
	struct volume_get_request request = { .name = name };
	struct volume_status status = { 0 };
	char when[WHEN_TEXT_SIZE];
	int rc = cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, &status, error);

	if (rc != 0)
		return rc;
	if (cli->json)
		return cli_print_json(schema_volume_status(), &status, error);
	if (status.volume->hold == NULL) {
		printf("volume %s is not held\n", name);
		return 0;
	}
	if (status.volume->hold->backup_ms != 0) {
		printf("volume %s is held: the state of the cluster is that of a backup of %s. What happened since is "
		       "not in it: if a\n"
		       "copy went stale, was rebuilt, replaced or moved, it says the wrong ones; if it is served then, "
		       "writes that\n"
		       "were acknowledged are lost. Release the volume when you know that there was nothing of that; "
		       "it cannot\n"
		       "be used when it grew since. Hosts that were detached since are attached again. Nothing was "
		       "changed.\n"
		       "To do it:\n"
		       "  dnvme volume release %s --yes --revision %" PRIu64 "\n",
		       name, when_format(status.volume->hold->backup_ms, when), name, status.volume->revision);
		return 0;
	}
	printf("volume %s is held since %s: the servers lost their majority for good, and what they had committed last "
	       "may\n"
	       "be missing here. If a copy went stale then, it is called in sync now; if it is served, writes that "
	       "were\n"
	       "acknowledged are lost. Release the volume when all nodes with copies of it are back, or when you know "
	       "that\n"
	       "none was away, drained or rebuilt in the last minutes before. Nothing was changed. To do it:\n"
	       "  dnvme volume release %s --yes --revision %" PRIu64 "\n",
	       name, when_format(status.volume->hold->time_ms, when), name, status.volume->revision);
	return 0;
}

int volume_release_run(struct cli *cli, struct error *error)
{
	struct volume_release_request request = {
		.volume = cli->arguments[0], .revision = cli->revision, .incomplete = cli->force, .by = cli_by(cli)
	};
	struct mutation_reply reply = { 0 };
	int rc;

	if (!cli->yes) {
		rc = explain(cli, request.volume, error);
		return rc != 0 ? cli_prefix(error, "cannot look at volume \"%s\"", request.volume) : 0;
	}
	rc = cli_call(cli, NULL, METHOD_ID_VOLUME_RELEASE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot release volume \"%s\"", request.volume);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("volume %s is released\n", request.volume);
	return 0;
}
