/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/pauser.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/backend/linux/linux.h"
#include "agent/backend/linux/pause_file.h"
#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define INTERRUPT SIGUSR2
#define INTERRUPT_MS 5	/* a call that began just behind one is interrupted by the next */
#define INTERRUPTS 40	/* then it is one that cannot be */
#define RESUME_TRIES 50 /* what was suspended must not stay so */
#define RESUME_PAUSE_MS 100
#define ARGUMENTS_FIXED 5

enum state { ABOUT, HELD, MADE };

struct held_leg {
	const char *pool, *thin;
	atomic_bool suspended; /* by the thread, which did not resume it yet */
};

struct pauser {
	uint64_t volume, number, began_ms, until_ms;
	const char *top;
	struct held_leg legs[LIMIT_LEGS];
	size_t leg_count;
	int file, signals, done, told; /* told: the pipe to who waits for the beginning; -1: it knows */
	enum state state;
	pthread_t thread;
	bool running;
	atomic_bool suspended; /* the top is, by the thread */
	atomic_bool over;      /* from now on the thread undoes what it does */
	struct error error;    /* of the thread's last step */
};

/* --- device-mapper ------------------------------------------------------------------------------------------------ */

static int run_on(int type, const char *what, const char *name, struct error *error)
{
	struct dm_task *task;
	struct dm_info info;
	int code = dm_info_read(name, &info, error);

	if (code != 0)
		return code;
	task = dm_task_on(type, info.major, info.minor);
	if (task == NULL)
		return error_set_nomem(error);
	if (type == DM_DEVICE_SUSPEND && (!dm_task_no_flush(task) || !dm_task_skip_lockfs(task)))
		code = error_set_nomem(error);
	else if (!dm_task_run(task))
		code = dm_task_failed(task, what, name, error);
	dm_task_destroy(task);
	return code;
}

/* Into the inactive slot comes the table that is live. Whoever resumes the device takes it out of there. */
static int mark_load(const char *name, struct error *error)
{
	struct dm_task *live, *load;
	char *type, *params;
	uint64_t start, length;
	struct dm_info info;
	void *next = NULL;
	int code = dm_info_read(name, &info, error);

	if (code != 0)
		return code;
	if (info.suspended)
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s was suspended already", name);
	live = dm_task_on(DM_DEVICE_TABLE, info.major, info.minor);
	load = dm_task_on(DM_DEVICE_RELOAD, info.major, info.minor);
	if (live == NULL || load == NULL || !dm_task_no_flush(live)) {
		code = error_set_nomem(error);
	} else if (!dm_task_run(live)) {
		code = dm_task_failed(live, "read the table of", name, error);
	} else {
		do {
			next = dm_get_next_target(live, next, &start, &length, &type, &params);
			if (type != NULL &&
			    !dm_task_add_target(load, start, length, type, params != NULL ? params : ""))
				code = error_set_nomem(error);
		} while (next != NULL && code == 0);
	}
	if (code == 0 && !dm_task_run(load))
		code = dm_task_failed(load, "load a table into", name, error);
	if (live != NULL)
		dm_task_destroy(live);
	if (load != NULL)
		dm_task_destroy(load);
	return code;
}

/* --- steps, on the thread ----------------------------------------------------------------------------------------- */

static void step_end(struct pauser *this)
{
	uint64_t one = 1;

	if (write(this->done, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *hold(void *data)
{
	struct pauser *this = data;
	int code = mark_load(this->top, &this->error);

	if (code == 0)
		code = run_on(DM_DEVICE_SUSPEND, "suspend", this->top, &this->error);
	/* Either who ends this sees that, or it is seen here that it has ended. */
	if (code == 0)
		atomic_store(&this->suspended, true);
	if (code == 0 && atomic_load(&this->over))
		run_on(DM_DEVICE_RESUME, "resume", this->top, NULL);
	step_end(this);
	return NULL;
}

static int leg_snap(struct pauser *this, struct held_leg *leg)
{
	struct error ignored;
	int code = run_on(DM_DEVICE_SUSPEND, "suspend", leg->thin, &this->error);

	if (code != 0)
		return code;
	atomic_store(&leg->suspended, true);
	if (!atomic_load(&this->over))
		code = thin_snap(leg->pool, this->number, &this->error);
	if (run_on(DM_DEVICE_RESUME, "resume", leg->thin, code == 0 ? &this->error : &ignored) != 0)
		return ERROR_INTERNAL;
	atomic_store(&leg->suspended, false);
	return code;
}

static void *snap(void *data)
{
	struct pauser *this = data;
	int code = 0;

	for (size_t i = 0; i < this->leg_count && code == 0 && !atomic_load(&this->over); i++)
		code = leg_snap(this, &this->legs[i]);
	step_end(this);
	return NULL;
}

/* --- the process -------------------------------------------------------------------------------------------------- */

static void note(struct pauser *this, const char *line)
{
	struct error error = { 0 };

	log_notice("pause", "volume=v%" PRIu64 " number=%" PRIu64 " after_ms=%" PRIu64 " what=\"%s\"", this->volume,
		   this->number, clock_boot_ms() - this->began_ms, line);
	if (pause_file_add(this->file, line, &error) != 0)
		log_failure(LOG_LEVEL_ERROR, "cannot tell how a pause went", &error);
}

/* Who started this goes on. */
static void tell(struct pauser *this)
{
	if (this->told < 0)
		return;
	if (write(this->told, "", 1) != 1)
		log_debug("nobody waits for this pause any more", NULL);
	close(this->told);
	this->told = -1;
}

static bool step_start(struct pauser *this, void *(*run)(void *data))
{
	this->error = (struct error){ 0 };
	this->running = pthread_create(&this->thread, NULL, run, this) == 0;
	return this->running;
}

static void step_join(struct pauser *this)
{
	uint64_t count;

	if (read(this->done, &count, sizeof(count)) != sizeof(count))
		abort();
	pthread_join(this->thread, NULL);
	this->running = false;
}

static bool resume(const char *name)
{
	struct error error = { 0 };
	int code = run_on(DM_DEVICE_RESUME, "resume", name, &error);

	/* One that is gone holds nothing up. */
	if (code != 0 && code != ERROR_NOT_FOUND)
		log_failure(LOG_LEVEL_ERROR, "cannot end a pause", &error);
	return code == 0 || code == ERROR_NOT_FOUND;
}

/* All that this process suspended. `top`: that, too. */
static bool resume_all(struct pauser *this, bool top)
{
	bool all = !top || resume(this->top);

	for (size_t i = 0; i < this->leg_count; i++)
		all = (!atomic_load(&this->legs[i].suspended) || resume(this->legs[i].thin)) && all;
	return all;
}

/* A call that waits for I/O is interrupted, and the kernel undoes it. One that cannot be is not waited for. */
static void interrupt(struct pauser *this)
{
	struct pollfd done = { .fd = this->done, .events = POLLIN };

	atomic_store(&this->over, true);
	for (int i = 0; i < INTERRUPTS && this->running; i++) {
		pthread_kill(this->thread, INTERRUPT);
		if (poll(&done, 1, INTERRUPT_MS) > 0)
			step_join(this);
	}
}

/* Let go. `why` NULL: it was told to, in time. */
static void end(struct pauser *this, const char *why)
{
	const struct timespec pause = { .tv_nsec = RESUME_PAUSE_MS * 1000000L };
	struct error error = { 0 };
	struct dm_info info = { 0 };
	char line[LIMIT_TEXT + 64];
	bool kept, resumed, top;

	interrupt(this);
	if (dm_info_read(this->top, &info, &error) != 0)
		info = (struct dm_info){ 0 };
	kept = why == NULL && this->state >= HELD && info.suspended && info.inactive_table;
	top = atomic_load(&this->suspended) && info.suspended;
	resumed = resume_all(this, top);
	/* It was loaded, and nobody suspended the device: it must not take effect later. */
	if (!top && !info.suspended && info.inactive_table)
		run_on(DM_DEVICE_CLEAR, "take a table from", this->top, &error);
	if (kept && resumed)
		snprintf(line, sizeof(line), "kept");
	else
		snprintf(line, sizeof(line), "broken %s",
			 why != NULL ? why
			 : resumed   ? "it did not hold any more"
				     : "it could not be resumed at once");
	note(this, line);
	tell(this);
	for (int i = 0; i < RESUME_TRIES && !resumed; i++) {
		nanosleep(&pause, NULL);
		resumed = resume_all(this, top);
	}
	/* The lock says that this process is there until its last call has returned. */
	if (this->running)
		pthread_join(this->thread, NULL);
}

/* Why it is over: NULL when it was told so. */
static const char *step_done(struct pauser *this, char *ret_text, size_t size)
{
	step_join(this);
	if (this->error.code != 0) {
		snprintf(ret_text, size, "%s", this->error.message);
		return ret_text;
	}
	this->state = this->state == ABOUT ? HELD : MADE;
	note(this, this->state == HELD ? "held" : "made");
	tell(this);
	return "";
}

/* Returns why it is over, as above; "" when it is not. */
static const char *signal_take(struct pauser *this)
{
	struct signalfd_siginfo signal;

	if (read(this->signals, &signal, sizeof(signal)) != sizeof(signal))
		return "";
	if (signal.ssi_signo == PAUSER_RELEASE)
		return this->running || this->state == ABOUT ? "it was told to let go before it was done" : NULL;
	if (this->state == HELD && !this->running && !step_start(this, snap))
		return "no thread can be made";
	return "";
}

static void serve(struct pauser *this)
{
	char text[LIMIT_TEXT];
	const char *why = step_start(this, hold) ? "" : "no thread can be made";

	while (why != NULL && why[0] == '\0') {
		struct pollfd events[] = { { .fd = this->done, .events = POLLIN },
					   { .fd = this->signals, .events = POLLIN } };
		uint64_t now_ms = clock_boot_ms();

		if (now_ms >= this->until_ms) {
			why = "the limit is over";
			break;
		}
		if (poll(events, 2, (int)(this->until_ms - now_ms)) <= 0)
			continue;
		if ((events[0].revents & POLLIN) != 0)
			why = step_done(this, text, sizeof(text));
		else
			why = signal_take(this);
	}
	end(this, why);
}

static void on_interrupt(int number)
{
	(void)number;
}

/* Signals come by a file; the one that interrupts ends no call of a thread but the one that it is sent to. */
static int signals_take(struct pauser *this)
{
	struct sigaction action = { .sa_handler = on_interrupt };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, PAUSER_SNAP);
	sigaddset(&set, PAUSER_RELEASE);
	if (sigaction(INTERRUPT, &action, NULL) != 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	this->signals = signalfd(-1, &set, SFD_CLOEXEC);
	this->done = eventfd(0, EFD_CLOEXEC);
	return this->signals >= 0 && this->done >= 0 ? 0 : -1;
}

/* The last that a machine that lacks memory should end. */
static void oom_avoid(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (write(file, "-1000", 5) != 5)
		log_debug("the pause may be ended when memory is short", NULL);
	close(file);
}

static int begin(struct pauser *this, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct string_list devices = { 0 };
	int code = list_push_string(&arena, &devices, this->top) != 0 ? error_set_nomem(error) : 0;

	for (size_t i = 0; i < this->leg_count && code == 0; i++) {
		if (list_push_string(&arena, &devices, this->legs[i].thin) != 0)
			code = error_set_nomem(error);
	}
	if (code == 0)
		code = pause_file_make(PAUSER_DIRECTORY, this->volume, this->number, this->until_ms, &devices,
				       &this->file, error);
	arena_free(&arena);
	if (code == 0 && signals_take(this) != 0)
		code = error_set_errno(error, errno, "cannot receive signals");
	return code != 0 ? code : dm_library_open(error);
}

static void child_run(struct pauser *this)
{
	struct error error = { 0 };

	oom_avoid();
	switch (begin(this, &error)) {
	case 0:
		serve(this);
		break;
	case ERROR_ALREADY_EXISTS: /* it was begun before */
		tell(this);
		break;
	default:
		log_failure(LOG_LEVEL_ERROR, "cannot hold up a volume", &error);
	}
}

static bool number_parse(const char *text, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

int kernel_linux_pause(int argument_count, char **arguments)
{
	static struct pauser pauser;
	uint64_t limit_ms;
	int told[2];
	pid_t child;
	char byte;

	pauser.began_ms = clock_boot_ms();
	if (argument_count < ARGUMENTS_FIXED || (argument_count - ARGUMENTS_FIXED) % 2 != 0 ||
	    (argument_count - ARGUMENTS_FIXED) / 2 > (int)LIMIT_LEGS || !number_parse(arguments[1], &pauser.volume) ||
	    !number_parse(arguments[2], &pauser.number) || !number_parse(arguments[3], &limit_ms) ||
	    limit_ms > LIMIT_PAUSE_MS_MAX)
		return 2;
	pauser.until_ms = pauser.began_ms + limit_ms;
	pauser.top = arguments[4];
	for (int i = ARGUMENTS_FIXED; i < argument_count; i += 2) {
		pauser.legs[pauser.leg_count].pool = arguments[i];
		pauser.legs[pauser.leg_count++].thin = arguments[i + 1];
	}
	if (pipe2(told, O_CLOEXEC) != 0)
		return 1;
	child = fork();
	if (child < 0)
		return 1;
	if (child == 0) {
		close(told[0]);
		pauser.told = told[1];
		child_run(&pauser);
		return 0;
	}
	close(told[1]);
	/* Nothing comes when it died before it could say anything. */
	return read(told[0], &byte, 1) == 1 ? 0 : 1;
}
