/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program as others would write it with libdnvme: lists volumes, page by page, without blocking while it waits.
 * Built from an installed tree only:   cc example.c $(pkg-config --cflags --libs dnvme)
 */
#include <dnvme.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	char after[256]; /* the last name that was printed */
	int done;
	enum dnvme_code code;
};

static void print_error(const struct dnvme_error *error)
{
	fprintf(stderr, "example: %s: %s\n", dnvme_code_name(error->code), error->message);
	if (error->hint[0] != '\0')
		fprintf(stderr, "  hint: %s\n", error->hint);
}

static void page_came(struct dnvme *dnvme, const struct dnvme_error *error, struct dnvme_result *result, void *data)
{
	struct listing *listing = data;
	const struct dnvme_volume *volume;

	(void)dnvme;
	listing->done = 1;
	if (error != NULL) {
		print_error(error);
		listing->code = error->code;
		return;
	}
	for (size_t i = 0; (volume = dnvme_result_volume(result, i)) != NULL; i++) {
		printf("%s %llu %s\n", volume->name, (unsigned long long)volume->size_bytes, volume->phase);
		snprintf(listing->after, sizeof(listing->after), "%s", volume->name);
	}
	if (dnvme_result_more(result))
		listing->done = 0;
	dnvme_result_free(result);
}

static int list(struct dnvme *dnvme)
{
	struct listing listing = { "", 0, DNVME_OK };
	struct dnvme_error error;
	char params[300];

	while (!listing.done) {
		snprintf(params, sizeof(params), listing.after[0] != '\0' ? "{\"after\":\"%s\"}" : "{}", listing.after);
		if (dnvme_start(dnvme, "volume.list", params, NULL, page_came, &listing, NULL, &error) != DNVME_OK) {
			print_error(&error);
			return (int)error.code;
		}
		while (dnvme_pending_count(dnvme) > 0) {
			struct pollfd wanted = { dnvme_poll_fd(dnvme), dnvme_poll_events(dnvme), 0 };

			poll(&wanted, 1, dnvme_poll_timeout_ms(dnvme));
			dnvme_process(dnvme);
		}
	}
	return (int)listing.code;
}

int main(void)
{
	const char *servers = getenv("DNVME_SERVERS");
	struct dnvme_error error;
	struct dnvme *dnvme;
	int code;

	printf("libdnvme %s\n", dnvme_version());
	if (dnvme_open(servers != NULL ? servers : "127.0.0.1:1", &dnvme, &error) != DNVME_OK) {
		print_error(&error);
		return 1;
	}
	dnvme_set_connect_timeout_ms(dnvme, 200);
	code = list(dnvme);
	dnvme_close(dnvme);
	if (code == DNVME_OK)
		return 0;
	return code == DNVME_UNAVAILABLE ? 3 : 1;
}
