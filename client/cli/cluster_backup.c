/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dnvme cluster backup FILE
 *
 * All pieces come from one server, the first of --server that is as far as the cluster was when it began; if that one
 * fails, another begins anew. The file has its name only when all of it is on the disk and was read back.
 */
#include "client/cli/cluster_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/size.h"
#include "client/cli/when.h"
#include "lib/backup/backup_file.h"
#include "lib/base/clock.h"

#define TRIES 3u /* of each server */
#define PATH_SIZE 4096u

enum { KEY_FORCE = 0x2300 };

/* A file that has no name of its own yet. */
struct target {
	const char *path;
	char temporary[PATH_SIZE + 8];
	int fd;
	struct backup_encoder encoder;
	struct buffer output;
};

int cluster_backup_print(const struct cli *cli, const char *path, const struct backup *backup, struct error *error)
{
	char when[WHEN_TEXT_SIZE], size[SIZE_TEXT_SIZE];

	if (cli->json)
		return cli_print_json(schema_backup(), backup, error);
	size_format(backup->state_bytes, size);
	printf("%s: cluster %s (%s) at revision %" PRIu64 ", %s, index %" PRIu64 ", term %" PRIu64 ", %s of state\n",
	       path, backup->name, backup->cluster, backup->revision, when_format(backup->time_ms, when), backup->index,
	       backup->term, size);
	return 0;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static int target_failed(const struct target *target, struct error *error)
{
	return error_set_errno(error, errno, "cannot write %s", target->temporary);
}

static int target_open(const char *path, bool replace, struct target *ret_target, struct error *error)
{
	struct target target = { .path = path, .fd = -1 };

	if (strlen(path) >= PATH_SIZE)
		return error_set(error, ERROR_INVALID_ARGUMENT, "FILE: the path is too long");
	if (!replace && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		error_set(error, ERROR_ALREADY_EXISTS, "%s is there already", path);
		return error_hint(error, "choose another name, or --force to replace it");
	}
	snprintf(target.temporary, sizeof(target.temporary), "%s.XXXXXX", path);
	target.fd = mkostemp(target.temporary, O_CLOEXEC);
	if (target.fd < 0)
		return error_set_errno(error, errno, "cannot make a file beside %s", path);
	*ret_target = target;
	return 0;
}

static void target_close(struct target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	if (target->temporary[0] != '\0')
		unlink(target->temporary);
	backup_encode_close(&target->encoder);
	buffer_free(&target->output);
}

static int target_flush(struct target *target, struct error *error)
{
	while (target->output.size > 0) {
		ssize_t written = write(target->fd, target->output.data, target->output.size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return target_failed(target, error);
		buffer_consume(&target->output, (size_t)written);
	}
	return 0;
}

/* Begin anew, whatever an earlier attempt wrote. */
static int target_begin(struct target *target, const struct backup *backup, struct error *error)
{
	buffer_clear(&target->output);
	backup_encode_close(&target->encoder);
	if (ftruncate(target->fd, 0) != 0 || lseek(target->fd, 0, SEEK_SET) != 0)
		return target_failed(target, error);
	return backup_encode_begin(&target->encoder, backup, &target->output, error);
}

static int directory_sync(const char *path, struct error *error)
{
	char directory[PATH_SIZE];
	char *slash;
	int fd;

	strcpy(directory, path);
	slash = strrchr(directory, '/');
	if (slash != NULL)
		slash[slash == directory] = '\0';
	fd = open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0) {
		error_set_errno(error, errno, "cannot sync the folder of %s", path);
		if (fd >= 0)
			close(fd);
		return (int)error->code;
	}
	close(fd);
	return 0;
}

/* On the disk as a whole and read back, then under its name. */
static int target_finish(struct cli *cli, struct target *target, struct backup *ret_backup, struct error *error)
{
	int rc = backup_encode_end(&target->encoder, &target->output, error);

	if (rc == 0)
		rc = target_flush(target, error);
	if (rc != 0)
		return rc;
	if (fsync(target->fd) != 0)
		return target_failed(target, error);
	if (backup_file_read(target->temporary, &cli->arena, ret_backup, NULL, error) != 0)
		return error_prefix(error, "it was not written as it should be");
	if (cli->force ? rename(target->temporary, target->path) != 0 : link(target->temporary, target->path) != 0)
		return error_set_errno(error, errno, "cannot make %s", target->path);
	if (!cli->force)
		unlink(target->temporary);
	target->temporary[0] = '\0';
	return directory_sync(target->path, error);
}

/* --- the server --------------------------------------------------------------------------------------------------- */

/* Each piece has the time of a call of its own, unless --timeout says otherwise. */
static int piece_get(struct cli *cli, struct dnvme *dnvme, const struct backup_request *request,
		     struct backup_piece *ret_piece, struct error *error)
{
	if (cli->timeout_ms == 0)
		cli->deadline_ms = clock_boot_ms() + CLI_CALL_TIMEOUT_MS;
	else if (cli_left_ms(cli) == 0)
		return error_set(error, ERROR_DEADLINE_EXCEEDED, "the time is over");
	arena_free(&cli->arena);
	return cli_call(cli, dnvme, METHOD_ID_CLUSTER_BACKUP, request, ret_piece, error);
}

static int piece_check(const struct backup_piece *piece, const struct backup_request *request, struct error *error)
{
	if (piece->offset == request->offset && piece->bytes.size > 0 &&
	    piece->bytes.size <= piece->backup->state_bytes - piece->offset)
		return 0;
	return error_set(error, ERROR_INTERNAL, "the server sent another piece than it was asked for");
}

static int pieces_copy(struct cli *cli, struct dnvme *dnvme, uint64_t revision, struct target *target,
		       struct error *error)
{
	struct backup_request request = { .revision = revision };
	struct backup_piece piece = { 0 };
	uint64_t size = 0;
	int rc;

	do {
		rc = piece_get(cli, dnvme, &request, &piece, error);
		if (rc == 0)
			rc = piece_check(&piece, &request, error);
		if (rc == 0 && request.token == 0)
			rc = target_begin(target, piece.backup, error);
		if (rc == 0)
			rc = backup_encode_piece(&target->encoder, piece.bytes, &target->output, error);
		if (rc == 0)
			rc = target_flush(target, error);
		if (rc != 0)
			return rc;
		request.token = piece.token;
		request.offset = piece.offset + piece.bytes.size;
		size = piece.backup->state_bytes;
	} while (request.offset < size);
	/* It lets go of it; if it does not hear of this, by itself. */
	(void)piece_get(cli, dnvme, &request, &piece, error);
	error_clear(error);
	return 0;
}

/* What another attempt, or another server, may do better. */
static bool is_passing(int code)
{
	return code == ERROR_UNAVAILABLE || code == ERROR_NOT_FOUND || code == ERROR_NO_CAPACITY ||
	       code == ERROR_CANCELLED;
}

static int servers_try(struct cli *cli, uint64_t revision, struct target *target, struct error *error)
{
	unsigned pause_ms = 0;
	int rc = 0;

	for (unsigned try = 0; try < TRIES; try++) {
		char list[PATH_SIZE], *save = NULL;

		if ((size_t)snprintf(list, sizeof(list), "%s", cli->servers) >= sizeof(list))
			return error_set(error, ERROR_INVALID_ARGUMENT, "the list of servers is too long");
		for (char *one = strtok_r(list, ", ", &save); one != NULL; one = strtok_r(NULL, ", ", &save)) {
			struct dnvme *dnvme = NULL;

			error_clear(error);
			rc = cli_open(cli, one, &dnvme, error);
			if (rc == 0)
				rc = pieces_copy(cli, dnvme, revision, target, error);
			dnvme_close(dnvme);
			if (rc == 0 || !is_passing(rc))
				return rc;
			cli_prefix(error, "server %s", one);
		}
		(void)cli_pause(cli, &pause_ms);
	}
	return rc;
}

/* Nothing that the cluster had committed when it was asked is missing, whichever server makes the backup. */
static int revision_get(struct cli *cli, uint64_t *ret_revision, struct error *error)
{
	struct server_info_request request = { 0 };
	struct cluster_status status = { 0 };
	int rc;

	if (cli->timeout_ms == 0)
		cli->deadline_ms = clock_boot_ms() + CLI_CALL_TIMEOUT_MS;
	rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_STATUS, &request, &status, error);
	if (rc == 0)
		*ret_revision = status.revision;
	return rc;
}

int cluster_backup_run(struct cli *cli, struct error *error)
{
	struct target target = { .fd = -1 };
	struct backup backup;
	uint64_t revision = 0;
	int rc = target_open(cli->arguments[0], cli->force, &target, error);

	if (rc == 0)
		rc = revision_get(cli, &revision, error);
	if (rc == 0)
		rc = servers_try(cli, revision, &target, error);
	if (rc == 0)
		rc = target_finish(cli, &target, &backup, error);
	target_close(&target);
	if (rc != 0)
		return cli_prefix(error, "cannot make a backup");
	return cluster_backup_print(cli, cli->arguments[0], &backup, error);
}

int cluster_backup_option(struct cli *cli, int key, const char *value, struct error *error)
{
	(void)value;
	if (key != KEY_FORCE)
		return error_set(error, ERROR_INTERNAL, "unknown option");
	cli->force = true;
	return 0;
}

const struct argp_option cluster_backup_options[] = {
	{ "force", KEY_FORCE, NULL, 0, "replace FILE if it is there", 0 },
	{ 0 },
};
