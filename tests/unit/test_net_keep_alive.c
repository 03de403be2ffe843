/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keep-alives of our own: when one is sent, when the kernel's timeout is raised, and that it is set back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/base/limits.h"
#include "lib/net/keep_alive.h"

#define INTERVAL_MS 20u
#define PATIENCE_MS 10000

/* A machine with a few controllers. What is done is written into a pipe. */
struct one {
	struct keep_alive_path path;
	unsigned keep_alive_s;
	bool live, answers, is_stuck;
};

static struct machine {
	struct one items[3];
	size_t count;
	pthread_mutex_t lock;
	int told; /* the pipe's writing end */
} machine;

static struct one *one_find(const char *name)
{
	for (size_t i = 0; i < machine.count; i++) {
		if (strcmp(machine.items[i].path.name, name) == 0)
			return &machine.items[i];
	}
	return NULL;
}

static void tell(const char *text)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "%s\n", text);

	assert_int_equal(write(machine.told, line, (size_t)length), length);
}

static int paths_find(void *data, const struct keep_alive_path **ret_paths, size_t *ret_count, struct error *error)
{
	static struct keep_alive_path paths[3];

	(void)data;
	(void)error;
	for (size_t i = 0; i < machine.count; i++)
		paths[i] = machine.items[i].path;
	*ret_paths = paths;
	*ret_count = machine.count;
	return 0;
}

static bool path_read(void *data, const char *controller, unsigned *ret_keep_alive_s, bool *ret_live)
{
	const struct one *one = one_find(controller);

	(void)data;
	if (one == NULL)
		return false;
	pthread_mutex_lock(&machine.lock);
	*ret_keep_alive_s = one->keep_alive_s;
	*ret_live = one->live;
	pthread_mutex_unlock(&machine.lock);
	return true;
}

static bool device_ask(void *data, const char *controller, unsigned timeout_ms)
{
	const struct one *one = one_find(controller);
	char text[96];

	(void)data;
	while (one->is_stuck)
		pause();
	snprintf(text, sizeof(text), "ask %s %u", controller, timeout_ms);
	tell(text);
	return one->answers;
}

static bool device_set(void *data, const char *controller, unsigned keep_alive_s, unsigned timeout_ms)
{
	struct one *one = one_find(controller);
	char text[96];

	(void)data;
	snprintf(text, sizeof(text), "set %s %u %u", controller, keep_alive_s, timeout_ms);
	pthread_mutex_lock(&machine.lock);
	one->keep_alive_s = keep_alive_s;
	pthread_mutex_unlock(&machine.lock);
	tell(text);
	return true;
}

static const struct keep_alive_source source = { paths_find, path_read, NULL, INTERVAL_MS };
static const struct keep_alive_device device = { device_ask, device_set, NULL };

static FILE *told;

static int machine_make(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	memset(&machine, 0, sizeof(machine));
	pthread_mutex_init(&machine.lock, NULL);
	machine.told = ends[1];
	told = fdopen(ends[0], "r");
	assert_non_null(told);
	setvbuf(told, NULL, _IONBF, 0);
	return 0;
}

static int machine_remove(void **state)
{
	(void)state;
	fclose(told);
	if (machine.told >= 0)
		close(machine.told);
	return 0;
}

static struct one *controller_add(const char *name, unsigned keep_alive_s)
{
	struct one *one = &machine.items[machine.count++];

	snprintf(one->path.name, sizeof(one->path.name), "%s", name);
	one->path.inode = 100 + machine.count;
	one->keep_alive_s = keep_alive_s;
	one->live = one->answers = true;
	return one;
}

static bool line_is_there(int timeout_ms)
{
	struct pollfd wanted = { .fd = fileno(told), .events = POLLIN };

	return poll(&wanted, 1, timeout_ms) == 1;
}

static void line_read(char ret_line[128])
{
	assert_true(line_is_there(PATIENCE_MS));
	assert_non_null(fgets(ret_line, 128, told));
	ret_line[strcspn(ret_line, "\n")] = '\0';
}

static void expect_line(const char *expected)
{
	char line[128];

	line_read(line);
	assert_string_equal(line, expected);
}

static void expect_nothing(void)
{
	assert_false(line_is_there(0));
}

/* Whatever comes before it. */
static void await_line(const char *expected)
{
	char line[128];

	do
		line_read(line);
	while (strcmp(line, expected) != 0);
}

/* --- one path --- */

static void test_only_our_own_timeouts_are_known(void **state)
{
	unsigned usual_s, raised_s;

	(void)state;
	assert_true(keep_alive_is_known(2, &usual_s, &raised_s));
	assert_int_equal(usual_s, 2);
	assert_int_equal(raised_s, 24);
	assert_true(keep_alive_is_known(25, &usual_s, &raised_s));
	assert_int_equal(usual_s, 3);
	assert_int_equal(raised_s, 25);
	assert_false(keep_alive_is_known(0, &usual_s, &raised_s));
	assert_false(keep_alive_is_known(5, &usual_s, &raised_s));
	assert_false(keep_alive_is_known(15, &usual_s, &raised_s));
}

static void test_raised_when_the_first_is_answered(void **state)
{
	(void)state;
	controller_add("nvme1", 3);
	keep_alive_send(&source, &device, "nvme1");
	expect_line("ask nvme1 3000");
	expect_line("set nvme1 25 3000");
	/* It is raised: what is sent still has the time that it had before. */
	keep_alive_send(&source, &device, "nvme1");
	expect_line("ask nvme1 3000");
	expect_nothing();
}

static void test_not_raised_without_an_answer(void **state)
{
	(void)state;
	controller_add("nvme1", 2)->answers = false;
	keep_alive_send(&source, &device, "nvme1");
	expect_line("ask nvme1 2000");
	expect_nothing();
}

/* A command would wait for it as long as it is away. */
static void test_nothing_is_sent_where_it_would_wait(void **state)
{
	(void)state;
	controller_add("nvme1", 24)->live = false;
	keep_alive_send(&source, &device, "nvme1");
	keep_alive_restore(&source, &device, "nvme1");
	keep_alive_send(&source, &device, "nvme7");
	expect_nothing();
}

static void test_what_was_made_by_hand_is_left_alone(void **state)
{
	(void)state;
	controller_add("nvme1", 10);
	keep_alive_send(&source, &device, "nvme1");
	keep_alive_restore(&source, &device, "nvme1");
	expect_nothing();
}

static void test_set_back(void **state)
{
	(void)state;
	controller_add("nvme1", 24);
	keep_alive_restore(&source, &device, "nvme1");
	expect_line("set nvme1 2 2000");
	keep_alive_restore(&source, &device, "nvme1");
	expect_nothing();
}

/* --- the process --- */

static pid_t process_start(pid_t parent)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		keep_alive_run(&source, &device, parent != 0 ? parent : getppid());
		_exit(0);
	}
	return pid;
}

static void process_await(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_sends_again_and_again_and_sets_back_at_the_end(void **state)
{
	pid_t pid;

	(void)state;
	controller_add("nvme1", 2);
	pid = process_start(0);
	expect_line("ask nvme1 2000");
	expect_line("set nvme1 24 2000");
	expect_line("ask nvme1 2000");
	expect_line("ask nvme1 2000");
	kill(pid, SIGTERM);
	await_line("set nvme1 2 2000");
	process_await(pid);
}

static void test_ends_with_its_parent(void **state)
{
	pid_t parent;

	(void)state;
	controller_add("nvme1", 3);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		process_start(0);
		pause();
	}
	await_line("set nvme1 25 3000");
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	await_line("set nvme1 3 3000");
	/* Nobody has the pipe any more: it ended. */
	close(machine.told);
	machine.told = -1;
	assert_true(line_is_there(PATIENCE_MS));
	while (fgetc(told) != EOF)
		;
}

static void test_one_that_is_stuck_holds_up_no_other(void **state)
{
	pid_t pid;

	(void)state;
	controller_add("nvme1", 2)->is_stuck = true;
	controller_add("nvme2", 3);
	pid = process_start(0);
	await_line("set nvme2 25 3000");
	await_line("ask nvme2 3000");
	kill(pid, SIGTERM);
	await_line("set nvme2 3 3000");
	process_await(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_our_own_timeouts_are_known, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_raised_when_the_first_is_answered, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_not_raised_without_an_answer, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_nothing_is_sent_where_it_would_wait, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_what_was_made_by_hand_is_left_alone, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_set_back, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_sends_again_and_again_and_sets_back_at_the_end, machine_make,
						machine_remove),
		cmocka_unit_test_setup_teardown(test_ends_with_its_parent, machine_make, machine_remove),
		cmocka_unit_test_setup_teardown(test_one_that_is_stuck_holds_up_no_other, machine_make, machine_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
