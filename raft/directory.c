/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory of log and snapshots: making it, and telling a member's from an empty one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raft/internal.h"

/* Log segments and snapshots make a member; metadata alone is what a crash in the middle of bootstrapping leaves. */
static bool is_member_file(const char *name)
{
	return strncmp(name, "open-", 5) == 0 || strncmp(name, "snapshot-", 9) == 0 ||
	       (name[0] >= '0' && name[0] <= '9' && strchr(name, '-') != NULL);
}

int directory_sync(const char *directory, struct error *error)
{
	int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), saved;

	if (descriptor < 0)
		return error_set_errno(error, errno, "cannot open %s", directory);
	if (fsync(descriptor) != 0) {
		saved = errno;
		close(descriptor);
		return error_set_errno(error, saved, "cannot sync %s", directory);
	}
	close(descriptor);
	return 0;
}

int directory_make(const char *directory, struct error *error)
{
	char parent[4096];
	char *slash;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return error_set_errno(error, errno, "cannot create %s", directory);
	/* The new name must survive a power loss as well. */
	if ((size_t)snprintf(parent, sizeof(parent), "%s", directory) >= sizeof(parent))
		return error_set(error, ERROR_INVALID_ARGUMENT, "the path of the data directory is too long");
	slash = strrchr(parent, '/');
	if (slash == NULL)
		strcpy(parent, ".");
	else
		slash[slash == parent ? 1 : 0] = '\0';
	return directory_sync(parent, error);
}

int consensus_directory_check(const char *directory, bool *ret_initialized, struct error *error)
{
	DIR *handle = opendir(directory);
	struct dirent *entry;
	bool found = false;

	if (handle == NULL && errno == ENOENT) {
		*ret_initialized = false;
		return 0;
	}
	if (handle == NULL)
		return error_set_errno(error, errno, "cannot read %s", directory);
	while (!found && (entry = readdir(handle)) != NULL)
		found = is_member_file(entry->d_name);
	closedir(handle);
	*ret_initialized = found;
	return 0;
}

/* A term and a vote that no log entry stands behind cannot have counted: a server without configuration does not vote.
 */
int directory_reset(const char *directory, struct error *error)
{
	static const char *const names[] = { "metadata1", "metadata2" };
	char path[4200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return error_set_errno(error, errno, "cannot remove %s", path);
	}
	return 0;
}
