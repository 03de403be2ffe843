/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What configfs says of the NVMe target.
 *
 *   input: lines "path=value", the path below the directory of nvmet; no file is touched
 *
 * Whatever names and attributes there are, they are observed, a second look says the same, and a plan comes of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/linux/linux.h"
#include "agent/list.h"
#include "agent/plan.h"
#include "agent/text.h"
#include "fuzz/fuzz.h"
#include "lib/base/arena.h"
#include "lib/wire/codec.h"

#define LINES_MAX 256u

struct line {
	const char *path, *value;
};

static struct line lines[LINES_MAX];
static size_t line_count;

/* In place of agent/backend/linux/files.c. */
bool __wrap_file_read(char *ret_text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
uint64_t __wrap_file_read_number(const char *format, ...) __attribute__((format(printf, 1, 2)));
int __wrap_directory_list(struct arena *arena, const char *path, struct string_list *ret_names, struct error *error);

static const char *below(const char *path)
{
	size_t length = strlen(LINUX_NVMET_ROOT "/");

	return strncmp(path, LINUX_NVMET_ROOT "/", length) == 0 ? path + length : path;
}

static bool value_read(const char *path, char *ret_text, size_t size)
{
	for (size_t i = 0; i < line_count; i++) {
		if (strcmp(lines[i].path, below(path)) == 0) {
			snprintf(ret_text, size, "%s", lines[i].value);
			return true;
		}
	}
	return false;
}

bool __wrap_file_read(char *ret_text, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return value_read(path, ret_text, size);
}

uint64_t __wrap_file_read_number(const char *format, ...)
{
	char path[PATH_MAX], text[64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return value_read(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int __wrap_directory_list(struct arena *arena, const char *path, struct string_list *ret_names, struct error *error)
{
	struct string_list names = { 0 };
	char name[256]; /* NAME_MAX, and the end */

	path = below(path);
	for (size_t i = 0; i < line_count; i++) {
		const char *rest = lines[i].path + strlen(path) + 1;
		size_t length;

		if (strncmp(lines[i].path, path, strlen(path)) != 0 || lines[i].path[strlen(path)] != '/')
			continue;
		length = strcspn(rest, "/");
		if (length == 0 || length >= sizeof(name) || rest[0] == '.')
			continue;
		memcpy(name, rest, length);
		name[length] = '\0';
		if (!list_has_string(&names, name) && list_push_string(arena, &names, name) != 0)
			return error_set_nomem(error);
	}
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(names.items[0]), compare_names);
	*ret_names = names;
	return 0;
}

static void lines_set(char *text)
{
	line_count = 0;
	for (char *line = text, *next; line != NULL && line_count < LINES_MAX; line = next) {
		char *equals = strchr(line, '=');

		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		equals = strchr(line, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		lines[line_count++] = (struct line){ line, equals + 1 };
	}
}

static void observed_text(struct linux_kernel *kernel, struct arena *arena, struct observed *observed,
			  struct buffer *output)
{
	struct error error;

	FUZZ_MUST(nvmet_observe(kernel, arena, observed, &error), &error);
	FUZZ_REQUIRE(text_observed_print(observed, output) == 0, "no memory");
}

static void plan_check(const struct observed *observed, struct arena *arena)
{
	struct desired_disk disk = { 1, "/dev/nvme0n1", "10.0.0.1", 4500, 1, false };
	struct desired desired = { .cluster = "c0ffee",
				   .node = "n1",
				   .address = "10.0.0.1",
				   .port = 4420,
				   .host_nqn = "nqn.2026-11.io.dnvme:c0ffee:node:n1",
				   .disks = { 1, &disk } };
	struct target target;
	struct error error;
	struct plan plan;

	FUZZ_MUST(target_build(&desired, arena, &target, &error), &error);
	FUZZ_MUST(plan_make(observed, &target, arena, &plan, &error), &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_kernel kernel = { .ports = known_make(schema_observed_port()),
				       .subsystems = known_make(schema_observed_subsystem()) };
	struct observed first = { 0 }, second = { 0 };
	struct buffer text = BUFFER_INIT, again = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	char *copy = arena_strndup(&arena, (const char *)data, size);

	FUZZ_REQUIRE(copy != NULL && kernel.ports != NULL && kernel.subsystems != NULL, "no memory");
	lines_set(copy);
	observed_text(&kernel, &arena, &first, &text);
	observed_text(&kernel, &arena, &second, &again);
	FUZZ_REQUIRE(text.size == again.size && (text.size == 0 || memcmp(text.data, again.data, text.size) == 0),
		     "a second look says something else");
	plan_check(&first, &arena);
	known_free(kernel.ports);
	known_free(kernel.subsystems);
	buffer_free(&text);
	buffer_free(&again);
	arena_free(&arena);
	return 0;
}
