/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recorder TRACE ROOT BOOT PROGRAM [ARGUMENT]...
 *
 * Runs a program and appends to TRACE what it does to the files below ROOT, and what it sends over TCP, in the order
 * in which it happens. It traces every system call that can write, of every thread (ptrace, with a seccomp filter that
 * lets all other calls pass at full speed), so it also sees what libraft submits by syscall(2); what goes through a
 * shared map it finds by comparing.
 *
 * A thread that waits at one of its calls has done nothing after it, so whatever the program does in an order that it
 * relies on is recorded in that order.
 *
 * The program sees a boot id made of the number BOOT: whoever starts on the same files outside of the recorder, or with
 * another number, finds that the machine was started anew. SIGTERM is passed on; SIGUSR1 kills the program between two
 * calls.
 */
#include "tests/power/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX 64
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID "00000000-0000-4000-8000-%012lu\n"

struct thread {
	pid_t pid;
	struct call call;
};

static int trace_fd;
static const char *root;
static struct thread threads[THREADS_MAX];
static pid_t program;
static volatile sig_atomic_t kill_wanted;

void give_up(const char *format, ...)
{
	va_list arguments;

	fputs("recorder: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(125); /* and the program dies with us */
}

void record_write(const struct record *record)
{
	struct record_header header = {
		.kind = record->kind,
		.name_size = record->name != NULL ? (uint32_t)strlen(record->name) : 0,
		.other_size = record->other != NULL ? (uint32_t)strlen(record->other) : 0,
		.data_size = (uint32_t)record->size,
		.id = record->id,
		.inode = record->inode,
		.a = record->a,
		.b = record->b,
	};
	struct iovec parts[] = {
		{ &header, sizeof(header) },
		{ (void *)record->name, header.name_size },
		{ (void *)record->other, header.other_size },
		{ (void *)record->data, record->size },
	};
	size_t total = 0;

	for (size_t i = 0; i < 4; i++)
		total += parts[i].iov_len;
	if (writev(trace_fd, parts, 4) != (ssize_t)total)
		give_up("cannot write the trace: %s", strerror(errno));
}

const char *below_root(const char *path)
{
	size_t length = strlen(root);

	if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path[length] == '\0' ? "" : path + length + 1;
}

/* --- the program ---------------------------------------------------------------------------------------------- */

/* Another boot id, in a mount namespace of its own. */
static void boot_id_replace(unsigned long boot)
{
	char path[] = "/tmp/dnvme-boot-id-XXXXXX", text[64];
	int fd = mkstemp(path), size = snprintf(text, sizeof(text), BOOT_ID, boot);

	if (fd < 0 || write(fd, text, (size_t)size) != size || close(fd) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(path, BOOT_ID_PATH, NULL, MS_BIND, NULL) != 0) {
		perror("recorder: cannot replace the boot id");
		_exit(125);
	}
	unlink(path);
}

/* Stop at the calls that are watched. */
static void filter_install(void)
{
	struct sock_filter filter[128];
	struct sock_fprog program_filter = { .filter = filter };
	size_t count = 0;

	filter[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < calls_watched_count; i++) {
		filter[count++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls_watched[i], 0, 1);
		filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program_filter.len = (unsigned short)count;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program_filter) != 0) {
		perror("recorder: cannot install the filter");
		_exit(125);
	}
}

static void program_start(unsigned long boot, char **arguments)
{
	int status;

	program = fork();
	if (program < 0)
		give_up("cannot fork");
	if (program == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGUSR1, SIG_DFL);
		boot_id_replace(boot);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(125);
		raise(SIGSTOP);
		filter_install();
		execv(arguments[0], arguments);
		perror("recorder: cannot start the program");
		_exit(125);
	}
	if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status))
		give_up("the program did not come to its start");
	if (ptrace(PTRACE_SETOPTIONS, program, NULL,
		   PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			   PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
		give_up("cannot trace: %s", strerror(errno));
}

/* --- its threads ---------------------------------------------------------------------------------------------- */

static struct thread *thread_get(pid_t pid)
{
	struct thread *unused = NULL;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (threads[i].pid == pid)
			return &threads[i];
		if (threads[i].pid == 0 && unused == NULL)
			unused = &threads[i];
	}
	if (unused == NULL)
		give_up("too many threads");
	unused->pid = pid;
	return unused;
}

static bool any_pending(void)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (threads[i].pid != 0 && threads[i].call.pending)
			return true;
	}
	return false;
}

static struct ptrace_syscall_info call_info(pid_t pid)
{
	struct ptrace_syscall_info info;

	memset(&info, 0, sizeof(info));
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0 && errno != ESRCH)
		give_up("cannot look at a call: %s", strerror(errno));
	return info;
}

static void on_enter(struct thread *thread)
{
	struct ptrace_syscall_info info = call_info(thread->pid);

	if (info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return; /* killed */
	memset(&thread->call, 0, sizeof(thread->call));
	thread->call.number = info.seccomp.nr;
	memcpy(thread->call.arguments, info.seccomp.args, sizeof(thread->call.arguments));
	maps_scan();
	call_enter(thread->pid, &thread->call);
	if (thread->call.pending)
		return;
	free(thread->call.data);
	thread->call.data = NULL;
}

static void on_exit_of_call(struct thread *thread)
{
	struct ptrace_syscall_info info = call_info(thread->pid);

	if (info.op != PTRACE_SYSCALL_INFO_EXIT || !thread->call.pending)
		return;
	call_exit(thread->pid, &thread->call, info.exit.rval);
	free(thread->call.data);
	thread->call.data = NULL;
	thread->call.pending = false;
}

/* One stop of a thread; returns how to let it go on. */
static enum __ptrace_request on_stop(struct thread *thread, int status, int *ret_signal)
{
	int number = WSTOPSIG(status), event = status >> 16;

	*ret_signal = 0;
	if (event == PTRACE_EVENT_SECCOMP)
		on_enter(thread);
	else if (number == (SIGTRAP | 0x80))
		on_exit_of_call(thread);
	else if (event == 0 && number != SIGSTOP)
		*ret_signal = number;
	return thread->call.pending ? PTRACE_SYSCALL : PTRACE_CONT;
}

static void on_signal(int number)
{
	if (number == SIGUSR1)
		kill_wanted = 1;
	/* The first means nothing to the program, but makes it stop once more. */
	kill(program, number == SIGUSR1 ? SIGCONT : SIGTERM);
}

static int run(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	bool killed = false;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	ptrace(PTRACE_CONT, program, NULL, NULL);
	for (;;) {
		enum __ptrace_request request;
		struct thread *thread;
		int status, number;
		pid_t pid;

		if (kill_wanted && !killed && !any_pending()) {
			killed = true;
			kill(program, SIGKILL);
		}
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			give_up("lost the program: %s", strerror(errno));
		thread = thread_get(pid);
		if (WIFSTOPPED(status)) {
			request = on_stop(thread, status, &number);
			ptrace(request, pid, NULL, number);
			continue;
		}
		thread->pid = 0;
		thread->call.pending = false;
		if (pid != program)
			continue;
		maps_scan();
		record_write(&(struct record){ .kind = RECORD_END, .a = (uint64_t)status });
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

int main(int argument_count, char **arguments)
{
	struct stat status;

	if (argument_count < 5) {
		fputs("usage: recorder TRACE ROOT BOOT PROGRAM [ARGUMENT]...\n", stderr);
		return 125;
	}
	root = arguments[2];
	trace_fd = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (trace_fd < 0 || stat(root, &status) != 0)
		give_up("cannot open %s: %s", arguments[1], strerror(errno));
	record_write(&(struct record){ .kind = RECORD_BEGIN, .inode = status.st_ino });
	program_start(strtoul(arguments[3], NULL, 10), arguments + 4);
	return run();
}
