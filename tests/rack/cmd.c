// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs commands in the guests of a rack.
 *
 *   cmd serve PORT                                       in the guest
 *   cmd run [options] ADDRESS PORT COMMAND [ARGUMENT…]   outside
 *   cmd tsc                                              the processor's time-stamp counter, in kHz
 *
 * A stream of frames in each direction: one byte kind, four bytes length (big-endian), data.  The client sends ARGV, then
 * INPUT until END; the server sends OUTPUT and ERRORS, and last EXIT.  A client that hangs up kills its command.  What a
 * command leaves running in the background lives on, and what that writes later goes to the guest's console.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind { ARGV = 'a', INPUT = 'i', END = 'e', OUTPUT = 'o', ERRORS = 'r', EXIT = 'x' };

enum {
	FRAME_MAX = 128 * 1024,
	ARGS_MAX = 1024,
	CONNECT_MS = 5000,   /* to reach a guest that should be up */
	ATTEMPT_MS = 300,    /* one try while waiting for a guest to boot */
	STATUS_TIMEOUT = 124, /* as in timeout(1) */
	STATUS_LOST = 125,   /* the guest could not be reached, or died meanwhile */
};

struct frame {
	enum kind kind;
	size_t len;
	char data[FRAME_MAX];
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The client's guest, or -1: one that dies in the middle of a frame never sends the rest of it. */
static int watched = -1;

static bool watched_is_gone(int fd)
{
	struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = watched, .events = POLLIN}};

	return watched >= 0 && poll(p, 2, -1) > 0 && !p[0].revents && p[1].revents;
}

static bool read_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n;

		if (watched_is_gone(fd))
			return false;
		n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool frame_send(int fd, enum kind kind, const void *data, size_t len)
{
	uint32_t size = htonl((uint32_t)len);
	char header[5] = {(char)kind};

	memcpy(header + 1, &size, sizeof size);
	return write_all(fd, header, sizeof header) && write_all(fd, data, len);
}

static bool frame_recv(int fd, struct frame *f)
{
	uint32_t size;
	char header[5];

	if (!read_all(fd, header, sizeof header))
		return false;
	memcpy(&size, header + 1, sizeof size);
	f->kind = (enum kind)header[0];
	f->len = ntohl(size);
	return f->len <= sizeof f->data && read_all(fd, f->data, f->len);
}

/* ---- server ---- */

struct command {
	int sock;
	pid_t pid;
	int pidfd;
	int in, out, err;      /* our ends of its pipes, -1 when closed */
	struct frame input;    /* on its way to the command */
	size_t input_done;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void command_exec(char *args, size_t len, int in, int out, int err)
{
	char *argv[ARGS_MAX + 1];
	size_t n = 0;

	setsid();
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	close_range(3, ~0U, 0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	for (char *p = args; p < args + len && n < ARGS_MAX; p += strlen(p) + 1)
		argv[n++] = p;
	argv[n] = NULL;
	if (n > 0)
		execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", n > 0 ? argv[0] : "no command", strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static bool command_start(struct command *c)
{
	int in[2], out[2], err[2];

	if (!frame_recv(c->sock, &c->input) || c->input.kind != ARGV || c->input.len == 0 ||
	    c->input.data[c->input.len - 1] != '\0')
		return false;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return false;
	c->pid = fork();
	if (c->pid < 0)
		return false;
	if (c->pid == 0)
		command_exec(c->input.data, c->input.len, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	c->in = in[1];
	c->out = out[0];
	c->err = err[0];
	fcntl(c->in, F_SETFL, O_NONBLOCK);
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	fcntl(c->err, F_SETFL, O_NONBLOCK);
	c->pidfd = pidfd_open(c->pid, 0);
	c->input.len = 0;
	return c->pidfd >= 0;
}

/* Returns whether something was read. */
static bool command_forward(struct command *c, int *fd, enum kind kind, int sink)
{
	char data[16384];
	ssize_t n = *fd < 0 ? -1 : read(*fd, data, sizeof data);

	if (n == 0 || (n < 0 && *fd >= 0 && errno != EAGAIN && errno != EINTR))
		close_fd(fd);
	if (n <= 0)
		return false;
	if (sink >= 0)
		(void)!write(sink, data, (size_t)n);
	else
		(void)frame_send(c->sock, kind, data, (size_t)n);
	return true;
}

/* One frame from the client, if there is one and the last was consumed.  False when the client hung up. */
static bool command_input(struct command *c, short sock_events)
{
	if (c->input_done == c->input.len && sock_events & POLLIN) {
		if (!frame_recv(c->sock, &c->input))
			return false;
		c->input_done = 0;
		if (c->input.kind == END)
			close_fd(&c->in);
		if (c->input.kind != INPUT || c->in < 0)
			c->input.len = 0;
	} else if (sock_events & (POLLHUP | POLLERR | POLLRDHUP)) {
		return false;
	}
	if (c->input_done < c->input.len) {
		ssize_t n = write(c->in, c->input.data + c->input_done, c->input.len - c->input_done);

		if (n > 0)
			c->input_done += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR) {
			close_fd(&c->in);
			c->input_done = c->input.len; /* it does not read: not our business */
		}
	}
	return true;
}

static void command_run(struct command *c)
{
	int status = 0;
	uint32_t code;

	for (bool exited = false; !exited;) {
		bool pending = c->input_done < c->input.len;
		struct pollfd p[] = {
			{.fd = c->pidfd, .events = POLLIN},
			{.fd = c->out, .events = POLLIN},
			{.fd = c->err, .events = POLLIN},
			{.fd = c->sock, .events = pending ? POLLRDHUP : POLLIN | POLLRDHUP},
			{.fd = pending ? c->in : -1, .events = POLLOUT},
		};

		if (poll(p, 5, -1) < 0)
			continue;
		exited = p[0].revents != 0;
		if (p[1].revents)
			command_forward(c, &c->out, OUTPUT, -1);
		if (p[2].revents)
			command_forward(c, &c->err, ERRORS, -1);
		if (!exited && !command_input(c, p[3].revents)) {
			kill(-c->pid, SIGKILL);
			return;
		}
	}
	while (command_forward(c, &c->out, OUTPUT, -1) || command_forward(c, &c->err, ERRORS, -1))
		;
	waitpid(c->pid, &status, 0);
	code = htonl((uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)));
	frame_send(c->sock, EXIT, &code, sizeof code);
	close_fd(&c->sock);
	close_fd(&c->in);
}

/* A daemon that the command left behind must not die of a closed pipe. */
static void command_drain(struct command *c)
{
	int console = -1;

	while (c->out >= 0 || c->err >= 0) {
		struct pollfd p[] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			continue;
		if (console < 0)
			console = open("/dev/console", O_WRONLY | O_NOCTTY);
		if (p[0].revents)
			command_forward(c, &c->out, OUTPUT, console);
		if (p[1].revents)
			command_forward(c, &c->err, ERRORS, console);
	}
}

static int serve(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(sock, (struct sockaddr *)&a, sizeof a) || listen(sock, 128)) {
		perror("cmd: listen");
		return 1;
	}
	for (;;) {
		static struct command c;
		int conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			continue;
		if (fork() == 0) {
			close(sock);
			signal(SIGCHLD, SIG_DFL);
			setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			c = (struct command){.sock = conn, .in = -1, .out = -1, .err = -1};
			if (command_start(&c))
				command_run(&c);
			command_drain(&c);
			_exit(0);
		}
		close(conn);
	}
}

/* ---- client ---- */

struct options {
	const char *netns; /* file of the namespace to connect from */
	const char *input; /* file to send as standard input */
	int64_t deadline;  /* in ms, 0 for none */
	int guest;         /* pidfd of the guest's process, or -1 */
	bool wait;         /* the guest is still booting: try again until the deadline */
};

static int connect_once(const struct sockaddr_in *a, int timeout_ms)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd p = {.fd = sock, .events = POLLOUT};
	socklen_t len = sizeof error;

	if (connect(sock, (const struct sockaddr *)a, sizeof *a) && errno != EINPROGRESS)
		error = errno;
	else if (poll(&p, 1, timeout_ms) <= 0)
		error = ETIMEDOUT;
	else
		getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == 0) {
		fcntl(sock, F_SETFL, 0);
		return sock;
	}
	close(sock);
	errno = error;
	return -1;
}

static bool guest_gone(const struct options *o)
{
	struct pollfd p = {.fd = o->guest, .events = POLLIN};

	return o->guest >= 0 && poll(&p, 1, 0) > 0;
}

static int connect_guest(const struct options *o, const struct sockaddr_in *a)
{
	int64_t until = o->wait && o->deadline ? o->deadline : now_ms() + CONNECT_MS;
	int one = 1, sock;

	while ((sock = connect_once(a, o->wait ? ATTEMPT_MS : CONNECT_MS)) < 0) {
		if (!o->wait || now_ms() >= until || guest_gone(o))
			return -1;
		poll(NULL, 0, 50);
	}
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	watched = o->guest;
	return sock;
}

static bool send_argv(int sock, char **argv)
{
	static char block[FRAME_MAX];
	size_t len = 0;

	for (; *argv; argv++) {
		size_t n = strlen(*argv) + 1;

		if (len + n > sizeof block) {
			fprintf(stderr, "rack: command too long\n");
			return false;
		}
		memcpy(block + len, *argv, n);
		len += n;
	}
	return frame_send(sock, ARGV, block, len);
}

static bool send_input(int sock, const char *path)
{
	static char data[16384];
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, data, sizeof data)) > 0)
		if (!frame_send(sock, INPUT, data, (size_t)n))
			return false;
	close_fd(&fd);
	return frame_send(sock, END, "", 0);
}

static int lost(const char *address)
{
	fprintf(stderr, "rack: the guest at %s does not answer\n", address);
	return STATUS_LOST;
}

static int run(const struct options *o, const char *address, uint16_t port, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	static struct frame f;
	int sock;

	signal(SIGPIPE, SIG_IGN);
	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		return lost(address);
	if (o->netns) {
		int fd = open(o->netns, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || setns(fd, CLONE_NEWNET)) {
			perror(o->netns);
			return STATUS_LOST;
		}
	}
	sock = connect_guest(o, &a);
	if (sock < 0 || !send_argv(sock, argv) || !send_input(sock, o->input))
		return lost(address);
	for (;;) {
		struct pollfd p[] = {{.fd = sock, .events = POLLIN}, {.fd = o->guest, .events = POLLIN}};
		int64_t left = o->deadline ? o->deadline - now_ms() : -1;

		if (o->deadline && left <= 0)
			return STATUS_TIMEOUT;
		if (poll(p, 2, (int)left) <= 0)
			continue;
		if (!p[0].revents || !frame_recv(sock, &f))
			return lost(address);
		if (f.kind == OUTPUT || f.kind == ERRORS)
			(void)write_all(f.kind == OUTPUT ? 1 : 2, f.data, f.len);
		if (f.kind == EXIT && f.len == sizeof(uint32_t)) {
			uint32_t code;

			memcpy(&code, f.data, sizeof code);
			return (int)ntohl(code);
		}
	}
}

/* An emulated microvm has no other clock to calibrate by, so it is told. */
static int tsc(void)
{
	struct timespec pause = {.tv_nsec = 100 * 1000 * 1000}, t0, t1;
	uint64_t c0, c1;
	double ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t0);
	c0 = __builtin_ia32_rdtsc();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &t1);
	c1 = __builtin_ia32_rdtsc();
	ns = (double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec);
	printf("%.0f\n", (double)(c1 - c0) * 1e6 / ns);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: cmd serve PORT\n"
			"       cmd run [-n NETNS] [-t SECONDS] [-p PID] [-i INPUT] [-w] ADDRESS PORT COMMAND…\n"
			"       cmd tsc\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = {.guest = -1};
	int opt;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve((uint16_t)atoi(argv[2]));
	if (argc == 2 && strcmp(argv[1], "tsc") == 0)
		return tsc();
	if (argc < 2 || strcmp(argv[1], "run") != 0)
		return usage();
	argv++;
	argc--;
	while ((opt = getopt(argc, argv, "+n:t:p:i:w")) != -1) {
		switch (opt) {
		case 'n':
			o.netns = optarg;
			break;
		case 't':
			o.deadline = now_ms() + (int64_t)(atof(optarg) * 1000);
			break;
		case 'p':
			o.guest = pidfd_open(atoi(optarg), 0);
			if (o.guest < 0)
				return lost("this rack");
			break;
		case 'i':
			o.input = optarg;
			break;
		case 'w':
			o.wait = true;
			break;
		default:
			return usage();
		}
	}
	if (argc - optind < 3)
		return usage();
	return run(&o, argv[optind], (uint16_t)atoi(argv[optind + 1]), argv + optind + 2);
}
