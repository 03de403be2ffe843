/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume create|list|get|delete|attach|detach; the others have files of their own */
#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/page.h"
#include "client/cli/picture.h"
#include "client/cli/size.h"
#include "client/cli/volume_explain.h"
#include "client/cli/volume_extend.h"
#include "client/cli/volume_force.h"
#include "client/cli/volume_move.h"
#include "client/cli/volume_release.h"
#include "client/cli/volume_set.h"

enum {
	KEY_SIZE = 0x2000,
	KEY_COPIES,
	KEY_CONTROLLERS,
	KEY_STANDBYS,
	KEY_LEGS,
	KEY_SPREAD,
	KEY_PROVISION,
	KEY_DURABILITY,
	KEY_PHASE,
};

static const char *volume_after(struct arena *arena, const void *item)
{
	(void)arena;
	return ((const struct volume *)item)->name;
}

static const struct page_kind volume_pages = { METHOD_ID_VOLUME_LIST, sizeof(struct volume), volume_after };

/* --- list, get ------------------------------------------------------------------------------------------- */

static int list_run(struct cli *cli, struct error *error)
{
	struct volume_page page = { 0 };
	struct libscols_table *table;
	int rc = page_fetch_all(cli, &volume_pages, cli->phase, &page, error);
	bool failed;

	if (rc != 0)
		return cli_prefix(error, "cannot list volumes");
	if (cli->json)
		return cli_print_json(schema_volume_page(), &page, error);
	table = table_new("ID,NAME,<SIZE,<COPIES,<ACTIVE,<STANDBY,<LEGS,<HOSTS,PROVISION,PHASE");
	failed = table == NULL;
	for (size_t i = 0; !failed && i < page.volumes.count; i++) {
		const struct volume *volume = &page.volumes.items[i];
		struct libscols_line *line = table_line(table);
		char size[SIZE_TEXT_SIZE];

		size_format(volume->size_bytes, size);
		failed = line == NULL || table_cell(line, 0, "v%" PRIu64, volume->id) != 0 ||
			 table_cell(line, 1, "%s", volume->name) != 0 || table_cell(line, 2, "%s", size) != 0 ||
			 table_cell(line, 3, "%" PRIu64, volume->copies) != 0 ||
			 table_cell(line, 4, "%zu", volume->slots.count) != 0 ||
			 table_cell(line, 5, "%" PRIu64, volume->standbys) != 0 ||
			 table_cell(line, 6, "%zu", volume->legs.count) != 0 ||
			 table_cell(line, 7, "%zu", volume->hosts.count) != 0 ||
			 table_cell(line, 8, "%s", ENUM_NAME(provision, volume->provision)) != 0 ||
			 table_cell(line, 9, "%s", ENUM_NAME(volume_phase, volume->phase)) != 0;
	}
	return failed ? error_set_nomem(error) : table_print(table, error);
}

static int status_get(struct cli *cli, const char *name, struct volume_status *ret_status, struct error *error)
{
	struct volume_get_request request = { .name = name };

	memset(ret_status, 0, sizeof(*ret_status));
	return cli_call(cli, NULL, METHOD_ID_VOLUME_GET, &request, ret_status, error);
}

static int print_status(const struct cli *cli, const struct volume_status *status, struct error *error)
{
	struct buffer text = BUFFER_INIT;

	if (cli->json)
		return cli_print_json(schema_volume_status(), status, error);
	if (picture_draw(status, strcmp(nl_langinfo(CODESET), "UTF-8") == 0, &text) != 0) {
		buffer_free(&text);
		return error_set_nomem(error);
	}
	fwrite(text.data, 1, text.size, stdout);
	buffer_free(&text);
	return 0;
}

static int get_run(struct cli *cli, struct error *error)
{
	struct volume_status status;
	int rc = status_get(cli, cli->arguments[0], &status, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get volume \"%s\"", cli->arguments[0]);
	return print_status(cli, &status, error);
}

/* --- waiting --------------------------------------------------------------------------------------------- */

/* What a wait ended with. */
static void add_reasons(const struct volume_status *status, struct error *error)
{
	if (status->waits_for != NULL && status->waits_for[0] != '\0')
		error_detail(error, "phase %s waits for: %s", ENUM_NAME(volume_phase, status->volume->phase),
			     status->waits_for);
	for (size_t i = 0; i < status->problems.count; i++) {
		const struct object_status *problem = &status->problems.items[i];

		error_detail(error, "%s %s is %s%s%s", ENUM_NAME(object_kind, problem->kind), problem->id,
			     ENUM_NAME(object_state, problem->state), problem->message != NULL ? ": " : "",
			     problem->message != NULL ? problem->message : "");
	}
}

typedef bool (*volume_reached)(const struct volume_status *status);

static bool is_online(const struct volume_status *status)
{
	return status->volume->phase == VOLUME_PHASE_ONLINE;
}

static bool is_converged(const struct volume_status *status)
{
	/* What an online volume waits for, a standby or a rebuild, has nothing to do with its hosts. */
	return status->problems.count == 0 && (status->volume->phase == VOLUME_PHASE_ONLINE ||
					       status->waits_for == NULL || status->waits_for[0] == '\0');
}

static bool never(const struct volume_status *status)
{
	(void)status;
	return false;
}

/* Ask until `reached`. Returns 0, NOT_FOUND when the volume is gone, DEADLINE_EXCEEDED with what it still waits for. */
static int volume_wait(struct cli *cli, const char *name, volume_reached reached, struct volume_status *ret_status,
		       struct error *error)
{
	struct volume_status status = { 0 }, now;
	bool seen = false;
	unsigned pause_ms = 0;
	int rc;

	do {
		rc = status_get(cli, name, &now, error);
		/* While the servers elect a leader the change goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		if (rc == 0 && reached(&now)) {
			*ret_status = now;
			return 0;
		}
		if (rc == 0)
			status = now;
		seen = seen || rc == 0;
	} while (cli_pause(cli, &pause_ms));
	/* The last question may have had no time left: what was said before counts. */
	if (!seen)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "still in phase %s after %u ms",
		  ENUM_NAME(volume_phase, status.volume->phase), cli->timeout_ms);
	add_reasons(&status, error);
	return error_hint(error, "it goes on without this command; see dnvme volume get %s", name);
}

/* --- create, delete -------------------------------------------------------------------------------------- */

static int create_check(const struct cli *cli, struct error *error)
{
	char text[SIZE_TEXT_SIZE], limit[SIZE_TEXT_SIZE];

	if (cli->size_bytes == 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "--size is missing");
		return error_hint(error, "for example --size 100GiB");
	}
	size_format(cli->size_bytes, text);
	size_format(cli->size_bytes < LIMIT_VOLUME_BYTES_MIN ? LIMIT_VOLUME_BYTES_MIN : LIMIT_VOLUME_BYTES_MAX, limit);
	if (cli->size_bytes < LIMIT_VOLUME_BYTES_MIN)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--size %s is less than the smallest volume, %s", text,
				 limit);
	if (cli->size_bytes > LIMIT_VOLUME_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--size %s is more than the largest volume, %s", text,
				 limit);
	if (cli->size_bytes % 4096 != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "--size %" PRIu64 " is not a multiple of 4096 bytes",
				 cli->size_bytes);
	return 0;
}

static int create_run(struct cli *cli, struct error *error)
{
	struct volume_create_request request = {
		.name = cli->arguments[0],
		.size_bytes = cli->size_bytes,
		.copies = cli->copies,
		.controllers = cli->controllers,
		.standbys = cli->standbys,
		.legs = cli->legs,
		.spread = cli->spread,
		.provision = cli->provision,
		.durability = cli->durability,
	};
	struct mutation_reply reply = { 0 };
	struct volume_status status;
	char size[SIZE_TEXT_SIZE];
	int rc = create_check(cli, error);

	cli->bad_usage = rc != 0;
	if (rc == 0)
		rc = cli_call(cli, NULL, METHOD_ID_VOLUME_CREATE, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot create volume \"%s\"", request.name);
	if (cli->no_wait) {
		if (cli->json)
			return cli_print_json(schema_mutation_reply(), &reply, error);
		printf("volume %s is placed as %s\n", request.name, reply.id != NULL ? reply.id : "?");
		return 0;
	}
	rc = volume_wait(cli, request.name, is_online, &status, error);
	if (rc != 0)
		return cli_prefix(error, "volume \"%s\" is created, but not online", request.name);
	if (cli->json)
		return cli_print_json(schema_volume_status(), &status, error);
	size_format(status.volume->size_bytes, size);
	printf("volume %s is online: v%" PRIu64 ", %s\n", request.name, status.volume->id, size);
	return 0;
}

static int delete_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct mutation_reply reply = { 0 };
	struct volume_status status;
	int rc = cli_call(cli, NULL, METHOD_ID_VOLUME_DELETE, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot delete volume \"%s\"", request.name);
	if (!cli->no_wait) {
		/* By its id: the name is free, and may be another volume's, before its disks have cleaned up. */
		rc = volume_wait(cli, reply.id != NULL ? reply.id : request.name, never, &status, error);
		if (rc != ERROR_NOT_FOUND)
			return cli_prefix(error, "volume \"%s\" is being deleted", request.name);
		error_clear(error);
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("volume %s is %s\n", request.name, cli->no_wait ? "being deleted" : "deleted");
	return 0;
}

/* --- attach, detach -------------------------------------------------------------------------------------- */

static int attach_run(struct cli *cli, struct error *error)
{
	struct volume_host_request request = { .volume = cli->arguments[0], .host_nqn = cli->arguments[1] };
	struct mutation_reply reply = { 0 };
	struct volume_status status;
	int rc = cli_call(cli, NULL, METHOD_ID_VOLUME_ATTACH, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot attach host %s to volume \"%s\"", request.host_nqn, request.volume);
	if (!cli->no_wait) {
		rc = volume_wait(cli, request.volume, is_converged, &status, error);
		if (rc != 0)
			return cli_prefix(error, "the host is attached, but not yet admitted by every controller");
	}
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("host %s may use volume %s\n", request.host_nqn, request.volume);
	return 0;
}

static int detach_run(struct cli *cli, struct error *error)
{
	struct volume_host_request request = { .volume = cli->arguments[0], .host_nqn = cli->arguments[1] };
	struct mutation_reply reply = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_VOLUME_DETACH, &request, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot detach host %s from volume \"%s\"", request.host_nqn, request.volume);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("host %s may no longer use volume %s\n", request.host_nqn, request.volume);
	return 0;
}

/* --- options --------------------------------------------------------------------------------------------- */

static int create_option(struct cli *cli, int key, const char *value, struct error *error)
{
	int number = 0, rc;

	switch (key) {
	case KEY_SIZE:
		return size_parse("--size", value, &cli->size_bytes, error);
	case KEY_COPIES:
		return number_parse("--copies", value, 1, LIMIT_COPIES, &cli->copies, error);
	case KEY_CONTROLLERS:
		return number_parse("--controllers", value, 1, LIMIT_CONTROLLERS, &cli->controllers, error);
	case KEY_STANDBYS:
		return number_parse("--standbys", value, 0, LIMIT_STANDBYS, &cli->standbys, error);
	case KEY_LEGS:
		return number_parse("--legs", value, 1, LIMIT_LEGS_PER_CONTROLLER, &cli->legs, error);
	case KEY_SPREAD:
		rc = cli_enum_parse("--spread", enum_schema_spread(), value, &number, error);
		cli->spread = (enum spread)number;
		return rc;
	case KEY_PROVISION:
		rc = cli_enum_parse("--provision", enum_schema_provision(), value, &number, error);
		cli->provision = (enum provision)number;
		return rc;
	case KEY_DURABILITY:
		rc = cli_enum_parse("--durability", enum_schema_durability(), value, &number, error);
		cli->durability = (enum durability)number;
		return rc;
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static int list_option(struct cli *cli, int key, const char *value, struct error *error)
{
	int number;

	if (key != KEY_PHASE)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->phase = value;
	return cli_enum_parse("--phase", enum_schema_volume_phase(), value, &number, error);
}

static const struct argp_option create_options[] = {
	{ "size", KEY_SIZE, "SIZE", 0, "100GiB, 10G (the same as GiB) or bytes; required", 0 },
	{ "copies", KEY_COPIES, "N", 0, "copies of each block, 1 to 4; 2 if not given", 0 },
	{ "controllers", KEY_CONTROLLERS, "N", 0, "active controllers; 1 if not given", 0 },
	{ "standbys", KEY_STANDBYS, "N", 0, "standby controllers; none if not given", 0 },
	{ "legs", KEY_LEGS, "N", 0, "legs of each active controller; 1 if not given", 0 },
	{ "spread", KEY_SPREAD, "node|rack|zone", 0, "what two copies must not share; node if not given", 0 },
	{ "provision", KEY_PROVISION, "thin|thick", 0, "when blocks are mapped; thick if not given", 0 },
	{ "durability", KEY_DURABILITY, "flush|strict", 0,
	  "what an acknowledged write survives: strict, everything; flush (if not given), all but a controller's crash "
	  "before a flush",
	  0 },
	{ 0 },
};

static const struct argp_option list_options[] = {
	{ "phase", KEY_PHASE, "PHASE", 0, "only volumes in this phase", 0 },
	{ 0 },
};

const struct cli_command volume_commands[] = {
	{ .noun = "volume",
	  .verb = "create",
	  .arguments = "NAME",
	  .argument_count = 1,
	  .summary = "make a volume",
	  .text = "Waits until the volume is online; with --no-wait only until it is placed. The volume has "
		  "controllers "
		  "times legs legs, and every active controller stripes over all of them.",
	  .options = create_options,
	  .option = create_option,
	  .run = create_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "extend",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "make a volume larger while it is in use",
	  .text = "Waits until every controller serves the new size; with --no-wait only until the job has begun. "
		  "Hosts "
		  "see the new size by themselves; a filesystem on it is to be grown there. dnvme job cancel undoes it "
		  "as "
		  "long as its new room is not in use.",
	  .options = volume_extend_options,
	  .option = volume_extend_option,
	  .run = volume_extend_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "set",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "change how many standby controllers a volume has, while it is in use",
	  .text = "Waits until it has exactly so many and each could take a slot over; with --no-wait only until that "
		  "is "
		  "committed. Of surplus ones the least useful goes first. A standby takes over within seconds when a "
		  "controller is lost. With --standbys 0 none is kept ready: one is made then, on a node that has room "
		  "for "
		  "it, and hosts wait longer, or for as long as there is no such node.",
	  .options = volume_set_options,
	  .option = volume_set_option,
	  .run = volume_set_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "move",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "move a slot of a volume to another node, while it is in use",
	  .text = "Waits until the slot is served there; with --no-wait only until the job has begun. The node is made "
		  "ready "
		  "before, and the slot moves when all slots are served, as with a node that is drained: hosts see a "
		  "short "
		  "pause. dnvme job cancel gives it up as long as the slot has not begun to move.",
	  .options = volume_move_options,
	  .option = volume_move_option,
	  .run = volume_move_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "list",
	  .arguments = "",
	  .summary = "volumes",
	  .options = list_options,
	  .option = list_option,
	  .run = list_run },
	{ .noun = "volume",
	  .verb = "get",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "one volume, drawn down to its disks",
	  .run = get_run },
	{ .noun = "volume",
	  .verb = "explain",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "how a volume is, who holds what, what is wrong, what happens next, what can be done",
	  .text = "Changes nothing. Begin here when something is wrong with a volume.",
	  .run = volume_explain_run },
	{ .noun = "volume",
	  .verb = "delete",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "remove a volume and what is on it",
	  .text = "Refused while a host is attached. Waits until every node has cleaned up.",
	  .run = delete_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "attach",
	  .arguments = "VOLUME HOST-NQN",
	  .argument_count = 2,
	  .summary = "admit a host",
	  .run = attach_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "detach",
	  .arguments = "VOLUME HOST-NQN",
	  .argument_count = 2,
	  .summary = "refuse a host",
	  .text = "Returns when every controller dropped the host's connections.",
	  .run = detach_run,
	  .waits = true },
	{ .noun = "volume",
	  .verb = "release",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary =
		  "go on with a volume that is held since the servers lost their majority for good, or were restored",
	  .text = "Without --yes it says what that means, and changes nothing.",
	  .options = volume_release_options,
	  .option = volume_release_option,
	  .run = volume_release_run },
	{ .noun = "volume",
	  .verb = "force",
	  .arguments = "VOLUME",
	  .argument_count = 1,
	  .summary = "serve a volume whose copies in sync are lost from one that missed writes, or may have",
	  .text = "Without --yes-i-may-lose-data it changes nothing, and says what would be lost, what else could be "
		  "done, and how to go on. Waits until the slot is served.",
	  .options = volume_force_options,
	  .option = volume_force_option,
	  .run = volume_force_run,
	  .waits = true },
	{ 0 },
};
