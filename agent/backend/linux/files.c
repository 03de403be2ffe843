/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/list.h"

static bool read_line(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return false;
	length = read(fd, ret_text, size - 1);
	close(fd);
	if (length < 0)
		return false;
	ret_text[length] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
	/* Serial numbers are padded with blanks. */
	for (length = (ssize_t)strlen(ret_text); length > 0 && ret_text[length - 1] == ' '; length--)
		ret_text[length - 1] = '\0';
	return true;
}

bool file_read(char *ret_text, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return read_line(path, ret_text, size);
}

uint64_t file_read_number(const char *format, ...)
{
	char path[PATH_MAX], text[64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return read_line(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

int file_write(const char *value, struct error *error, const char *format, ...)
{
	size_t length = strlen(value);
	char path[PATH_MAX];
	va_list arguments;
	ssize_t written;
	int fd, problem;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	written = write(fd, value, length);
	problem = errno;
	close(fd);
	if (written < 0)
		return error_set_errno(error, problem, "cannot write \"%s\" to %s", value, path);
	if ((size_t)written != length)
		return error_set(error, ERROR_INTERNAL, "%s took only a part of \"%s\"", path, value);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int directory_list(struct arena *arena, const char *path, struct string_list *ret_names, struct error *error)
{
	struct string_list names = { 0 };
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL && errno != ENOENT)
		return error_set_errno(error, errno, "cannot list %s", path);
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] != '.' && list_push_string(arena, &names, entry->d_name) != 0) {
			closedir(directory);
			return error_set_nomem(error);
		}
	}
	if (directory != NULL)
		closedir(directory);
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(names.items[0]), compare_names);
	*ret_names = names;
	return 0;
}
