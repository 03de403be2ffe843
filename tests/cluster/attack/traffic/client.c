/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client on libdnvme that does as it is told: each line of its input is a call,
 *
 *	TIMEOUT_MS REQUEST_ID METHOD PARAMS
 *
 * with the request id in hexadecimal, or "-" where the library shall choose, and PARAMS as JSON. Each line of its
 *output is what became of it: "ok JSON", or "error CODE" and, behind a tabulator, what the library says. One handle for
 *its whole life, so that retries, the order of servers and broken connections are the library's own.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dnvme.h"

#define LINE_MAX_BYTES 65536

static bool request_id_parse(const char *text, uint8_t id[DNVME_REQUEST_ID_SIZE])
{
	unsigned byte;

	if (strlen(text) != 2 * DNVME_REQUEST_ID_SIZE)
		return false;
	for (size_t i = 0; i < DNVME_REQUEST_ID_SIZE; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	return true;
}

/* An answer is one line, whatever is in it. */
static void print_line(const char *text)
{
	for (; *text != '\0'; text++)
		putchar(*text == '\n' || *text == '\t' ? ' ' : *text);
}

static void print_error(const struct dnvme_error *error)
{
	printf("error %s\t", dnvme_code_name(error->code));
	print_line(error->message);
	putchar(' ');
	print_line(error->details);
	putchar('\n');
}

static bool line_run(struct dnvme *dnvme, char *line)
{
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	uint8_t id[DNVME_REQUEST_ID_SIZE];
	struct dnvme_result *result;
	struct dnvme_error error;
	char *rest = line;
	const char *timeout = strsep(&rest, " "), *request = strsep(&rest, " "), *method = strsep(&rest, " ");

	if (method == NULL || rest == NULL)
		return false;
	options.timeout_ms = (unsigned)strtoul(timeout, NULL, 10);
	if (strcmp(request, "-") != 0) {
		if (!request_id_parse(request, id))
			return false;
		options.request_id = id;
	}
	if (dnvme_call(dnvme, method, rest, &options, &result, &error) != DNVME_OK) {
		print_error(&error);
		return true;
	}
	printf("ok ");
	print_line(dnvme_result_json(result));
	putchar('\n');
	dnvme_result_free(result);
	return true;
}

int main(int argument_count, char **arguments)
{
	static char line[LINE_MAX_BYTES];
	struct dnvme_error error;
	struct dnvme *dnvme;

	if (argument_count != 2) {
		fprintf(stderr, "usage: attack_client SERVERS\n");
		return 2;
	}
	if (dnvme_open(arguments[1], &dnvme, &error) != DNVME_OK) {
		fprintf(stderr, "attack_client: %s\n", error.message);
		return 1;
	}
	dnvme_set_connect_timeout_ms(dnvme, 1000);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (!line_run(dnvme, line)) {
			fprintf(stderr, "attack_client: not a call: %s\n", line);
			dnvme_close(dnvme);
			return 2;
		}
	}
	dnvme_close(dnvme);
	return 0;
}
