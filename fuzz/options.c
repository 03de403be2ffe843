/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration file, of dnvme-agent or (FUZZ_SERVER) of dnvmed: the same code with the options of the one or the
 * other program.
 *
 *   input: the file
 *
 * It is refused with a sentence, or gives options within their bounds.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "lib/model/names.h"
#ifdef FUZZ_SERVER
#include "src/options.h"
#else
#include "agent/options.h"
#include "lib/wire/codec.h"
#endif

#ifdef FUZZ_SERVER
static char *arguments[] = { "dnvmed", "--id", "1", "--data", "/tmp", "--config", NULL, NULL };

static void accepted_check(struct options *options)
{
	struct error error;

	FUZZ_MUST(options_address_check("listen", options->listen, &error), &error);
	FUZZ_MUST(options_address_check("raft", options->raft, &error), &error);
	FUZZ_REQUIRE(options->id >= 1 && options->id <= UINT32_MAX, "id");
	FUZZ_REQUIRE(options->sessions_max >= 1 && options->sessions_max <= LIMIT_SESSIONS, "sessions-max");
	FUZZ_REQUIRE(options->data[0] != '\0' && strlen(options->data) <= LIMIT_PATH - 32, "data");
}
#else
static char *arguments[] = { "dnvme-agent", "--config", NULL, NULL };

static void accepted_check(struct options *options)
{
	/* What it will say of itself must be a record that the leader takes. */
	struct agent_hello hello = { .node = options->node,
				     .address = options->address,
				     .port = options->port,
				     .labels = options->labels,
				     .version = "1",
				     .protocol = 1 };
	struct error error;

	FUZZ_MUST(codec_validate(schema_agent_hello(), &hello, &error), &error);
	FUZZ_REQUIRE(options->servers.count >= 1 && options->servers.count <= LIMIT_SERVERS, "servers");
	options_free(options);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int count = (int)(sizeof(arguments) / sizeof(arguments[0])) - 1;
	static struct fuzz_file file;
	struct options options;
	struct error error = { 0 };

	fuzz_file_write(&file, (struct bytes){ data, size });
	arguments[count - 1] = file.path;
	if (options_parse(count, arguments, &options, &error) == 0)
		accepted_check(&options);
	else
		FUZZ_REQUIRE(error.code != 0 && error.message[0] != '\0', "refused without a word");
	return 0;
}
