/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process that holds up I/O leaves of itself, and how it is told to go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/backend/linux/pause_file.h"

struct fixture {
	char directory[64];
	struct arena arena;
	pid_t child;
	int to_child[2], from_child[2];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->directory, sizeof(f->directory), "/tmp/dnvme-pause-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -r %s", f->directory);
	assert_int_equal(system(command), 0);
	arena_free(&f->arena);
	free(f);
	return 0;
}

/* Writes a line for each byte that it is told, and for each signal. */
static void child_run(struct fixture *f)
{
	static const char *const lines[] = { "held", "made", "kept", "broken it did not hold any more" };
	const char *names[] = { "dnvme-volume-v1", "dnvme-thin-v1.l0" };
	const struct string_list devices = { 2, names };
	struct error error = { 0 };
	sigset_t set;
	int file, number;
	char byte;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pause_file_make(f->directory, 1, 7, 12345, &devices, &file, &error) != 0)
		_exit(1);
	for (;;) {
		if (write(f->from_child[1], "", 1) != 1 || read(f->to_child[0], &byte, 1) != 1)
			_exit(2);
		if (byte == 's' && (sigwait(&set, &number) != 0 || number != SIGUSR1))
			_exit(3);
		if (byte == 't' && write(file, "broken and no end", 17) != 17)
			_exit(4);
		if (byte < 4 && pause_file_add(file, lines[(int)byte], &error) != 0)
			_exit(5);
	}
}

static void child_wait(struct fixture *f)
{
	char byte;

	assert_int_equal(read(f->from_child[0], &byte, 1), 1);
}

static void child_start(struct fixture *f)
{
	assert_int_equal(pipe(f->to_child), 0);
	assert_int_equal(pipe(f->from_child), 0);
	f->child = fork();
	if (f->child == 0)
		child_run(f);
	close(f->from_child[1]);
	child_wait(f);
}

static void child_tell(struct fixture *f, char byte)
{
	assert_int_equal(write(f->to_child[1], &byte, 1), 1);
	child_wait(f);
}

static struct observed_pause look(struct fixture *f)
{
	struct observed_pause_list list;
	struct error error = { 0 };

	assert_int_equal(pause_files_read(f->directory, &f->arena, &list, &error), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].volume, 1);
	assert_int_equal(list.items[0].number, 7);
	return list.items[0];
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	struct observed_pause pause;
	struct error error = { 0 };

	child_start(f);
	pause = look(f);
	assert_true(pause.alive);
	assert_int_equal(pause.state, 0);
	assert_int_equal(pause.until_ms, 12345);
	assert_int_equal(pause.devices.count, 2);
	assert_string_equal(pause.devices.items[1], "dnvme-thin-v1.l0");
	child_tell(f, 0);
	assert_int_equal(look(f).state, PAUSE_STATE_HELD);
	assert_false(look(f).made);
	child_tell(f, 1);
	assert_int_equal(look(f).state, PAUSE_STATE_HELD);
	assert_true(look(f).made);
	child_tell(f, 't'); /* a line that is not whole does not count */
	assert_int_equal(look(f).state, PAUSE_STATE_HELD);
	/* It dies there: what it said stands, but nobody holds any more. */
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	f->child = 0;
	pause = look(f);
	assert_false(pause.alive);
	assert_int_equal(pause.state, PAUSE_STATE_HELD);
	assert_int_equal(pause_file_signal(f->directory, 1, 7, SIGUSR1, &error), 0);
	assert_int_equal(pause_file_remove(f->directory, 1, 7, &error), 0);
	assert_int_equal(pause_file_remove(f->directory, 1, 7, &error), 0);
	assert_int_equal(pause_file_read(f->directory, 1, 7, &f->arena, &pause, &error), ERROR_NOT_FOUND);
}

static void test_verdicts(void **state)
{
	struct fixture *f = *state;
	struct error error = { 0 };

	child_start(f);
	child_tell(f, 2);
	assert_int_equal(look(f).state, PAUSE_STATE_KEPT);
	child_tell(f, 3);
	assert_int_equal(look(f).state, PAUSE_STATE_BROKEN);
	assert_string_equal(look(f).message, "it did not hold any more");
	/* Who lives is told; who is not there is no failure. */
	assert_int_equal(write(f->to_child[1], "s", 1), 1);
	assert_int_equal(pause_file_signal(f->directory, 1, 8, SIGUSR1, &error), 0);
	assert_int_equal(pause_file_signal(f->directory, 1, 7, SIGUSR1, &error), 0);
	child_wait(f);
}

/* No two for one number, and what else lies there does not matter. */
static void test_once(void **state)
{
	struct fixture *f = *state;
	const struct string_list none = { 0 };
	struct observed_pause_list list;
	struct error error = { 0 };
	char path[PATH_MAX];
	int file;

	child_start(f);
	assert_int_equal(pause_file_make(f->directory, 1, 7, 1, &none, &file, &error), ERROR_ALREADY_EXISTS);
	assert_int_equal(look(f).until_ms, 12345);
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "agent.log", "pause.v1.7.old", "pause.v01.7", "pause.v1.0" };

		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(file >= 0);
		close(file);
	}
	look(f);
	assert_int_equal(pause_files_read("/nowhere/at/all", &f->arena, &list, &error), 0);
	assert_int_equal(list.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_life), TEST(test_verdicts), TEST(test_once) };

	return cmocka_run_group_tests_name("agent_pause_file", tests, NULL, NULL);
}
