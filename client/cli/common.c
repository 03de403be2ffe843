/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/cli.h"

#include <json-c/json.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/wire/codec.h"
#include "lib/wire/json.h"

#define PAUSE_MIN_MS 50u
#define PAUSE_MAX_MS 500u

enum cli_status cli_status_of(enum error_code code)
{
	switch (code) {
	case ERROR_NONE:
		return CLI_DONE;
	case ERROR_UNAVAILABLE:
		return CLI_UNAVAILABLE;
	case ERROR_DEADLINE_EXCEEDED:
		return CLI_TIMED_OUT;
	default:
		return CLI_REFUSED;
	}
}

void cli_print_error(const struct error *error)
{
	const char *line = error->details;

	fprintf(stderr, "dnvme: %s\n", error->message);
	while (*line != '\0') {
		size_t length = strcspn(line, "\n");

		if (length > 0)
			fprintf(stderr, "  %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
	if (error->hint[0] != '\0')
		fprintf(stderr, "  hint: %s\n", error->hint);
}

int cli_prefix(struct error *error, const char *format, ...)
{
	char prefix[ERROR_MESSAGE_SIZE];
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	vsnprintf(prefix, sizeof(prefix), format, arguments);
	va_end(arguments);
	length = strlen(prefix);
	if (strncmp(error->message, prefix, length) == 0 && error->message[length] == ':')
		return (int)error->code;
	return error_prefix(error, "%s", prefix);
}

unsigned cli_left_ms(const struct cli *cli)
{
	uint64_t now_ms = clock_boot_ms();

	return now_ms >= cli->deadline_ms ? 0 : (unsigned)(cli->deadline_ms - now_ms);
}

static int error_import(const struct dnvme_error *failure, struct error *error)
{
	error_set(error, (enum error_code)failure->code, "%s", failure->message);
	error_hint(error, "%s", failure->hint);
	memcpy(error->details, failure->details, sizeof(error->details));
	return (int)error->code;
}

int cli_open(struct cli *cli, const char *servers, struct dnvme **ret_dnvme, struct error *error)
{
	struct dnvme_error failure;

	if (dnvme_open(servers, ret_dnvme, &failure) != DNVME_OK) {
		cli->bad_usage = failure.code == DNVME_INVALID_ARGUMENT;
		return error_import(&failure, error);
	}
	return 0;
}

static int decode_answer(struct cli *cli, const struct method *method, const struct dnvme_result *result,
			 void *ret_record, struct error *error)
{
	size_t size;
	const void *data = dnvme_result_msgpack(result, &size);

	return codec_decode(method->reply(), (struct bytes){ data, size }, &cli->arena, ret_record, error);
}

int cli_call(struct cli *cli, struct dnvme *dnvme, enum method_id id, const void *request, void *ret_record,
	     struct error *error)
{
	const struct method *method = method_at(id);
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	struct dnvme_result *result = NULL;
	struct dnvme_error failure;
	struct json_object *params;
	int rc;

	if (dnvme == NULL && cli->dnvme == NULL) {
		rc = cli_open(cli, cli->servers, &cli->dnvme, error);
		if (rc != 0)
			return rc;
	}
	/* A wrong name is refused here, in the words of the schema. */
	rc = codec_validate(method->request(), request, error);
	if (rc != 0)
		return rc;
	params = json_record_make(method->request(), request);
	if (params == NULL)
		return error_set_nomem(error);
	options.timeout_ms = cli_left_ms(cli);
	if (cli->call_max_ms != 0 && options.timeout_ms > cli->call_max_ms)
		options.timeout_ms = cli->call_max_ms;
	if (options.timeout_ms == 0)
		options.timeout_ms = 1;
	rc = dnvme_call(dnvme != NULL ? dnvme : cli->dnvme, method->name,
			json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN), &options, &result, &failure);
	json_object_put(params);
	if (rc != DNVME_OK)
		return error_import(&failure, error);
	rc = decode_answer(cli, method, result, ret_record, error);
	dnvme_result_free(result);
	return rc;
}

int cli_print_json(const struct schema *schema, const void *record, struct error *error)
{
	struct json_object *object = json_record_make(schema, record);
	const char *text;
	int rc = 0;

	if (object == NULL)
		return error_set_nomem(error);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text != NULL)
		puts(text);
	else
		rc = error_set_nomem(error);
	json_object_put(object);
	return rc;
}

bool cli_pause(const struct cli *cli, unsigned *pause_ms)
{
	unsigned left_ms = cli_left_ms(cli);

	if (left_ms == 0)
		return false;
	*pause_ms = *pause_ms == 0 ? PAUSE_MIN_MS : *pause_ms * 2;
	if (*pause_ms > PAUSE_MAX_MS)
		*pause_ms = PAUSE_MAX_MS;
	(void)poll(NULL, 0, (int)(*pause_ms < left_ms ? *pause_ms : left_ms));
	return true;
}

int cli_consent_option(struct cli *cli, int key, const char *value)
{
	switch (key) {
	case CLI_KEY_YES:
		cli->yes = true;
		return 0;
	case CLI_KEY_BY:
		cli->by = value;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const char *cli_by(struct cli *cli)
{
	const struct passwd *user = getpwuid(getuid());
	char machine[LIMIT_NAME + 1] = "";

	if (cli->by != NULL)
		return cli->by;
	if (gethostname(machine, sizeof(machine) - 1) != 0)
		machine[0] = '\0';
	return arena_printf(&cli->arena, "%.40s@%s", user != NULL ? user->pw_name : "?", machine);
}

int cli_enum_parse(const char *field, const struct enum_schema *schema, const char *text, int *ret_number,
		   struct error *error)
{
	int number = enum_schema_parse(schema, text);

	if (number < 0) {
		error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%.64s\" is none of", field, text);
		for (size_t i = 0; error != NULL && i < schema->count; i++) {
			size_t used = strlen(error->message);

			snprintf(error->message + used, sizeof(error->message) - used, "%s %s", i > 0 ? "," : "",
				 schema->values[i].name);
		}
		return ERROR_INVALID_ARGUMENT;
	}
	*ret_number = number;
	return 0;
}
