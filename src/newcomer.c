/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/newcomer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/file.h"

#define NUMBER_SIZE 32

static bool is_there(const struct dnvmed *dnvmed, const char *name)
{
	char path[FILE_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", dnvmed->options->data, name);
	return access(path, F_OK) == 0;
}

int newcomer_begin(struct dnvmed *dnvmed, uint64_t id, struct error *error)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)id);
	if (file_write(dnvmed->options->data, "id", (struct bytes){ (const uint8_t *)text, strlen(text) }, error) !=
		    0 ||
	    file_write(dnvmed->options->data, "empty", (struct bytes){ NULL, 0 }, error) != 0)
		return error->code;
	dnvmed->id = id;
	dnvmed->log_empty = true;
	return 0;
}

/* Its log has something: from now on it must not be lost. */
void newcomer_tick(struct dnvmed *dnvmed)
{
	struct error error;

	if (!dnvmed->log_empty || dnvmed->consensus == NULL || consensus_applied_index(dnvmed->consensus) == 0)
		return;
	if (file_remove(dnvmed->options->data, "empty", &error) == 0)
		dnvmed->log_empty = false;
	else
		log_failure(LOG_LEVEL_ERROR, "cannot finish to join the group", &error);
}

int newcomer_forget(struct dnvmed *dnvmed, struct error *error)
{
	int rv = file_remove(dnvmed->options->data, "id", error);

	return rv != 0 ? rv : file_remove(dnvmed->options->data, "empty", error);
}

int newcomer_start(struct dnvmed *dnvmed, struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	char path[FILE_PATH_SIZE], text[NUMBER_SIZE];
	unsigned long long id;
	int rv, used = 0;

	if (is_there(dnvmed, "removed")) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this server was removed from its cluster");
		return error_hint(error, "empty %s to add it to a cluster anew", dnvmed->options->data);
	}
	if (!is_there(dnvmed, "cluster"))
		return 0; /* it may be given another number */
	dnvmed->log_empty = is_there(dnvmed, "empty");
	snprintf(path, sizeof(path), "%s/id", dnvmed->options->data);
	if (!is_there(dnvmed, "id")) {
		if (dnvmed->id != 0)
			return 0;
		error_set(error, ERROR_FAILED_PRECONDITION, "this server is part of a cluster, and has no number");
		return error_hint(error, "start it with --id, as before");
	}
	rv = file_read(path, sizeof(text) - 1, &bytes, error);
	snprintf(text, sizeof(text), "%.*s", rv == 0 ? (int)bytes.size : 0, (const char *)bytes.data);
	buffer_free(&bytes);
	if (rv != 0)
		return rv;
	if (sscanf(text, "%10llu\n%n", &id, &used) != 1 || text[used] != '\0' || id == 0 || id > UINT32_MAX)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s is damaged", path);
	if (dnvmed->id != 0 && dnvmed->id != id)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "this is server %llu, but was started with --id %llu", id,
				 (unsigned long long)dnvmed->id);
	dnvmed->id = id;
	return 0;
}
