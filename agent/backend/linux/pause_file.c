/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/pause_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backend/linux/linux.h"
#include "agent/list.h"
#include "lib/base/buffer.h"
#include "lib/model/names.h"

#define FILE_PREFIX "pause."
#define FILE_BYTES_MAX 65536

void pause_file_path(const char *directory, uint64_t volume, uint64_t number, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/" FILE_PREFIX "v%" PRIu64 ".%" PRIu64, directory, volume, number);
}

int pause_file_add(int file, const char *line, struct error *error)
{
	char text[LIMIT_TEXT + 64];
	int length = snprintf(text, sizeof(text), "%s\n", line);

	if (length >= (int)sizeof(text)) {
		length = sizeof(text) - 1;
		text[length - 1] = '\n';
	}
	if (write(file, text, (size_t)length) != length)
		return error_set_errno(error, errno, "cannot write what became of a pause");
	return 0;
}

static int head_write(int file, uint64_t until_ms, const struct string_list *devices, struct error *error)
{
	char line[256];
	int code;

	snprintf(line, sizeof(line), "until %" PRIu64, until_ms);
	code = pause_file_add(file, line, error);
	for (size_t i = 0; i < devices->count && code == 0; i++) {
		snprintf(line, sizeof(line), "device %s", devices->items[i]);
		code = pause_file_add(file, line, error);
	}
	return code;
}

int pause_file_make(const char *directory, uint64_t volume, uint64_t number, uint64_t until_ms,
		    const struct string_list *devices, int *ret_file, struct error *error)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX], made[PATH_MAX];
	int file, code;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return error_set_errno(error, errno, "cannot make %s", directory);
	pause_file_path(directory, volume, number, path, sizeof(path));
	snprintf(made, sizeof(made), "%s/new-pause.%ld", directory, (long)getpid());
	file = open(made, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (file < 0)
		return error_set_errno(error, errno, "cannot make %s", made);
	code = fcntl(file, F_SETLK, &lock) != 0 ? error_set_errno(error, errno, "cannot lock %s", made)
						: head_write(file, until_ms, devices, error);
	if (code == 0 && link(made, path) != 0)
		code = errno == EEXIST ? error_set(error, ERROR_ALREADY_EXISTS, "%s exists", path)
				       : error_set_errno(error, errno, "cannot make %s", path);
	unlink(made);
	if (code != 0) {
		close(file);
		return code;
	}
	*ret_file = file;
	return 0;
}

/* Who has locked it; 0: nobody. */
static pid_t owner_of(int file)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

/* The rest of a line that begins so. */
static const char *word_skip(const char *line, const char *word)
{
	size_t length = strlen(word);

	return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static int line_take(const char *line, struct arena *arena, struct observed_pause *pause, struct error *error)
{
	const char *rest;

	if ((rest = word_skip(line, "until")) != NULL) {
		pause->until_ms = strtoull(rest, NULL, 10);
	} else if ((rest = word_skip(line, "device")) != NULL) {
		if (pause->devices.count <= LIMIT_LEGS && list_push_string(arena, &pause->devices, rest) != 0)
			return error_set_nomem(error);
	} else if (strcmp(line, "held") == 0) {
		pause->state = PAUSE_STATE_HELD;
	} else if (strcmp(line, "made") == 0) {
		pause->made = true;
	} else if (strcmp(line, "kept") == 0) {
		pause->state = PAUSE_STATE_KEPT;
	} else if ((rest = word_skip(line, "broken")) != NULL) {
		pause->state = PAUSE_STATE_BROKEN;
		pause->message = arena_strndup(arena, rest, strnlen(rest, LIMIT_TEXT));
		if (pause->message == NULL)
			return error_set_nomem(error);
	}
	return 0;
}

static int content_take(char *text, struct arena *arena, struct observed_pause *pause, struct error *error)
{
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (line_take(line, arena, pause, error) != 0)
			return error->code;
	}
	return 0;
}

int pause_file_read(const char *directory, uint64_t volume, uint64_t number, struct arena *arena,
		    struct observed_pause *ret_pause, struct error *error)
{
	struct observed_pause pause = { .volume = volume, .number = number };
	char path[PATH_MAX], *text;
	ssize_t size;
	int file, code;

	pause_file_path(directory, volume, number, path, sizeof(path));
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? error_set(error, ERROR_NOT_FOUND, "there is no %s", path)
				       : error_set_errno(error, errno, "cannot read %s", path);
	/* First: what was written last before it died is seen then. */
	pause.alive = owner_of(file) != 0;
	text = malloc(FILE_BYTES_MAX + 1);
	size = text != NULL ? read(file, text, FILE_BYTES_MAX) : 0;
	if (text == NULL) {
		code = error_set_nomem(error);
	} else if (size < 0) {
		code = error_set_errno(error, errno, "cannot read %s", path);
	} else {
		text[size] = '\0';
		code = content_take(text, arena, &pause, error);
	}
	free(text);
	close(file);
	if (code == 0)
		*ret_pause = pause;
	return code;
}

static bool name_parse(const char *name, uint64_t *ret_volume, uint64_t *ret_number)
{
	char again[64];

	if (sscanf(name, FILE_PREFIX "v%" SCNu64 ".%" SCNu64, ret_volume, ret_number) != 2)
		return false;
	snprintf(again, sizeof(again), FILE_PREFIX "v%" PRIu64 ".%" PRIu64, *ret_volume, *ret_number);
	return strcmp(name, again) == 0 && *ret_number >= 1 && *ret_number <= LIMIT_THINS;
}

int pause_files_read(const char *directory, struct arena *arena, struct observed_pause_list *ret_pauses,
		     struct error *error)
{
	struct observed_pause_list list = { 0 };
	struct string_list names;

	if (directory_list(arena, directory, &names, error) != 0)
		return error->code;
	for (size_t i = 0; i < names.count; i++) {
		struct observed_pause *pause, found;
		uint64_t volume, number;
		int code;

		if (!name_parse(names.items[i], &volume, &number))
			continue;
		code = pause_file_read(directory, volume, number, arena, &found, error);
		if (code == ERROR_NOT_FOUND) {
			error_clear(error);
			continue;
		}
		pause = code == 0 ? LIST_PUSH(arena, &list) : NULL;
		if (pause == NULL)
			return code != 0 ? code : error_set_nomem(error);
		*pause = found;
	}
	*ret_pauses = list;
	return 0;
}

int pause_file_signal(const char *directory, uint64_t volume, uint64_t number, int signal, struct error *error)
{
	char path[PATH_MAX];
	int file, process = -1, code = 0;
	pid_t owner;

	pause_file_path(directory, volume, number, path, sizeof(path));
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : error_set_errno(error, errno, "cannot open %s", path);
	owner = owner_of(file);
	if (owner > 0)
		process = pidfd_open(owner, 0);
	/* The number is still its own: otherwise it would have died, and let go of the lock. */
	if (process >= 0 && owner_of(file) == owner && pidfd_send_signal(process, signal, NULL, 0) != 0 &&
	    errno != ESRCH)
		code = error_set_errno(error, errno, "cannot tell process %ld of %s", (long)owner, path);
	if (process >= 0)
		close(process);
	close(file);
	return code;
}

int pause_file_remove(const char *directory, uint64_t volume, uint64_t number, struct error *error)
{
	char path[PATH_MAX];

	pause_file_path(directory, volume, number, path, sizeof(path));
	return unlink(path) == 0 || errno == ENOENT ? 0 : error_set_errno(error, errno, "cannot remove %s", path);
}
