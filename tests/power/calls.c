/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system calls that can change a file or send something, at their entry and at their exit. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/power/recorder.h"

#define VECTOR_MAX 1024
#define EVENTS_MAX 64
#define SUBMITTED_MAX 64

const int calls_watched[] = {
	SYS_write,     SYS_pwrite64,  SYS_writev,    SYS_pwritev,	 SYS_pwritev2,	    SYS_sendto,
	SYS_sendmsg,   SYS_sendmmsg,  SYS_ftruncate, SYS_truncate,	 SYS_fallocate,	    SYS_fsync,
	SYS_fdatasync, SYS_msync,     SYS_io_submit, SYS_io_getevents,	 SYS_io_pgetevents, SYS_openat,
	SYS_openat2,   SYS_renameat2, SYS_unlinkat,  SYS_linkat,	 SYS_symlinkat,	    SYS_mkdirat,
	SYS_mmap,      SYS_sendfile,  SYS_splice,    SYS_io_uring_setup, SYS_renameat,	    SYS_copy_file_range,
	SYS_vmsplice,
#ifdef SYS_open
	SYS_open,      SYS_creat,     SYS_rename,    SYS_unlink,	 SYS_link,	    SYS_mkdir,
	SYS_rmdir,     SYS_symlink,
#endif
};
const size_t calls_watched_count = sizeof(calls_watched) / sizeof(calls_watched[0]);

/* Writes that are under way, by the address of their iocb in the program. */
static struct submitted {
	uint64_t address, id;
	bool durable;
} submitted[SUBMITTED_MAX];

static uint64_t last_id;

/* --- looking at the program ----------------------------------------------------------------------------------- */

static void memory_read(pid_t pid, uint64_t address, void *output, size_t size)
{
	struct iovec local = { output, size }, remote = { (void *)address, size };

	if (size > 0 && process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)size)
		give_up("cannot read the program's memory: %s", strerror(errno));
}

static void text_read(pid_t pid, uint64_t address, char *output, size_t size)
{
	size_t used = 0;

	/* Byte by byte at the end of a page; paths are short. */
	while (used < size) {
		memory_read(pid, address + used, output + used, 1);
		if (output[used++] == '\0')
			return;
	}
	give_up("a path is too long");
}

static bool descriptor_link(pid_t pid, int fd, char *output, size_t size)
{
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	length = readlink(path, output, size - 1);
	if (length < 0)
		return false;
	output[length] = '\0';
	return true;
}

static bool descriptor_stat(pid_t pid, int fd, struct stat *ret_status)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	return stat(path, ret_status) == 0;
}

/* The inode of a descriptor's file, if it lies below the root; 0 otherwise. */
static uint64_t descriptor_inode(pid_t pid, int fd)
{
	struct stat status;
	char link[PATH_MAX];

	if (!descriptor_link(pid, fd, link, sizeof(link)) || below_root(link) == NULL ||
	    !descriptor_stat(pid, fd, &status))
		return 0;
	return status.st_ino;
}

static uint64_t descriptor_info(pid_t pid, int fd, const char *field, int base)
{
	char path[64], line[128];
	uint64_t value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	file = fopen(path, "re");
	if (file == NULL)
		give_up("cannot look at a descriptor");
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoull(line + strlen(field), NULL, base);
	}
	fclose(file);
	return value;
}

/* The path that a call names, absolute; false when it does not lie below the root. */
static bool path_resolve(pid_t pid, int directory, uint64_t address, char output[512])
{
	char text[512], base[PATH_MAX], joined[2 * PATH_MAX];
	char link[64];
	ssize_t length;

	text_read(pid, address, text, sizeof(text));
	if (text[0] == '/') {
		snprintf(joined, sizeof(joined), "%s", text);
	} else {
		if (directory == AT_FDCWD) {
			snprintf(link, sizeof(link), "/proc/%d/cwd", pid);
			length = readlink(link, base, sizeof(base) - 1);
			if (length < 0)
				return false;
			base[length] = '\0';
		} else if (!descriptor_link(pid, directory, base, sizeof(base))) {
			return false;
		}
		snprintf(joined, sizeof(joined), "%s/%s", base, text);
	}
	length = (ssize_t)strlen(joined);
	while (length > 1 && joined[length - 1] == '/')
		joined[--length] = '\0';
	if (strstr(joined, "//") != NULL || strstr(joined, "/./") != NULL || strstr(joined, "/../") != NULL)
		give_up("cannot follow the path %s", joined);
	if (below_root(joined) == NULL)
		return false;
	if (length >= 512)
		give_up("the path %s is too long", joined);
	memcpy(output, joined, (size_t)length + 1);
	return true;
}

static uint64_t path_inode(const char *path, bool *ret_exists)
{
	struct stat status;

	*ret_exists = lstat(path, &status) == 0;
	return *ret_exists ? status.st_ino : 0;
}

static void *gather(pid_t pid, uint64_t vector_address, size_t count, size_t *ret_size)
{
	struct iovec vector[VECTOR_MAX];
	size_t size = 0, at = 0;
	uint8_t *data;

	if (count > VECTOR_MAX)
		give_up("a write of %zu pieces", count);
	memory_read(pid, vector_address, vector, count * sizeof(vector[0]));
	for (size_t i = 0; i < count; i++)
		size += vector[i].iov_len;
	data = malloc(size + 1);
	if (data == NULL)
		give_up("out of memory");
	for (size_t i = 0; i < count; i++) {
		memory_read(pid, (uint64_t)vector[i].iov_base, data + at, vector[i].iov_len);
		at += vector[i].iov_len;
	}
	*ret_size = size;
	return data;
}

static void *copy(pid_t pid, uint64_t address, size_t size)
{
	uint8_t *data = malloc(size + 1);

	if (data == NULL)
		give_up("out of memory");
	memory_read(pid, address, data, size);
	return data;
}

/* --- writes ---------------------------------------------------------------------------------------------------- */

static bool descriptor_is_synced(pid_t pid, int fd)
{
	return (descriptor_info(pid, fd, "flags:", 8) & O_DSYNC) != 0;
}

static unsigned port_of(const struct sockaddr_in *address)
{
	return address->sin_family == AF_INET ? ntohs(address->sin_port) : 0;
}

/* The process that a thread belongs to. */
static pid_t process_of(pid_t pid)
{
	char path[64], line[128];
	pid_t process = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "Tgid: %d", &process);
	if (file != NULL)
		fclose(file);
	return process;
}

/* What is sent over TCP is recorded before it goes: whoever receives it may rely on it from then on. */
static void send_enter(pid_t pid, int fd, struct call *call)
{
	struct sockaddr_in own = { 0 }, peer = { 0 };
	socklen_t own_size = sizeof(own), peer_size = sizeof(peer);
	struct stat status;
	char name[64];
	int process, copied;

	if (!descriptor_link(pid, fd, name, sizeof(name)) || strncmp(name, "socket:", 7) != 0 ||
	    !descriptor_stat(pid, fd, &status))
		return;
	process = (int)syscall(SYS_pidfd_open, process_of(pid), 0);
	copied = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	if (copied < 0)
		give_up("cannot look at a socket: %s", strerror(errno));
	getsockname(copied, (struct sockaddr *)&own, &own_size);
	getpeername(copied, (struct sockaddr *)&peer, &peer_size);
	close(copied);
	close(process);
	if (port_of(&own) == 0)
		return;
	call->pending = true;
	call->id = ++last_id;
	record_write(&(struct record){ .kind = RECORD_SEND_BEGIN,
				       .id = call->id,
				       .inode = status.st_ino,
				       .a = port_of(&own),
				       .b = (uint64_t)ntohl(peer.sin_addr.s_addr) << 16 | port_of(&peer),
				       .data = call->data,
				       .size = call->size });
}

/* A write to a file below the root, or into a connection; its data is in the call. */
static void write_enter(pid_t pid, int fd, bool positioned, uint64_t offset, uint64_t flags, struct call *call)
{
	call->inode = descriptor_inode(pid, fd);
	if (call->inode == 0) {
		if (!positioned)
			send_enter(pid, fd, call);
		return;
	}
	if (flags & RWF_APPEND || descriptor_info(pid, fd, "flags:", 8) & O_APPEND)
		give_up("a file is appended to");
	call->pending = true;
	call->offset = positioned ? offset : descriptor_info(pid, fd, "pos:", 10);
	call->durable = (flags & RWF_DSYNC) != 0 || descriptor_is_synced(pid, fd);
}

static void write_exit(const struct call *call, int64_t result)
{
	if (call->inode == 0) {
		record_write(&(struct record){
			.kind = RECORD_SEND_END, .id = call->id, .a = result > 0 ? (uint64_t)result : 0 });
		return;
	}
	if (result <= 0)
		return;
	if ((size_t)result > call->size)
		give_up("a write wrote more than it was given");
	record_write(&(struct record){ .kind = RECORD_WRITE,
				       .id = ++last_id,
				       .inode = call->inode,
				       .a = call->offset,
				       .data = call->data,
				       .size = (size_t)result });
	if (call->durable)
		record_write(
			&(struct record){ .kind = RECORD_WRITE_DONE, .id = last_id, .inode = call->inode, .a = 1 });
}

static void submit_enter(pid_t pid, struct call *call)
{
	uint64_t count = call->arguments[1], addresses[EVENTS_MAX];

	if (count > EVENTS_MAX)
		give_up("%llu writes at once", (unsigned long long)count);
	memory_read(pid, call->arguments[2], addresses, count * sizeof(addresses[0]));
	for (uint64_t i = 0; i < count; i++) {
		struct submitted *slot = NULL;
		struct record record = { .kind = RECORD_WRITE, .b = 1 };
		struct iocb iocb;
		void *data;

		memory_read(pid, addresses[i], &iocb, sizeof(iocb));
		record.inode = descriptor_inode(pid, (int)iocb.aio_fildes);
		if (record.inode == 0)
			continue;
		/* One that is refused leaves what may never have been written: that is what may happen to any. */
		if (iocb.aio_lio_opcode == IOCB_CMD_PWRITE) {
			data = copy(pid, iocb.aio_buf, iocb.aio_nbytes);
			record.size = iocb.aio_nbytes;
		} else if (iocb.aio_lio_opcode == IOCB_CMD_PWRITEV) {
			data = gather(pid, iocb.aio_buf, iocb.aio_nbytes, &record.size);
		} else {
			give_up("an unknown operation %d is submitted", iocb.aio_lio_opcode);
		}
		for (size_t j = 0; j < SUBMITTED_MAX; j++) {
			if (submitted[j].address == addresses[i] || (slot == NULL && submitted[j].address == 0))
				slot = &submitted[j];
			if (submitted[j].address == addresses[i])
				break;
		}
		if (slot == NULL)
			give_up("too many writes are under way");
		record.id = ++last_id;
		record.a = (uint64_t)iocb.aio_offset;
		record.data = data;
		*slot = (struct submitted){ .address = addresses[i],
					    .id = record.id,
					    .durable = (iocb.aio_rw_flags & RWF_DSYNC) != 0 ||
						       descriptor_is_synced(pid, (int)iocb.aio_fildes) };
		record_write(&record);
		free(data);
	}
}

static void getevents_exit(pid_t pid, const struct call *call, int64_t result)
{
	struct io_event events[EVENTS_MAX];

	if (result <= 0)
		return;
	if (result > EVENTS_MAX)
		give_up("%lld events at once", (long long)result);
	memory_read(pid, call->arguments[3], events, (size_t)result * sizeof(events[0]));
	for (int64_t i = 0; i < result; i++) {
		for (size_t j = 0; j < SUBMITTED_MAX; j++) {
			if (submitted[j].address != events[i].obj)
				continue;
			/* One that failed or was cut short (EAGAIN, a full disk) may be there or not. */
			if (events[i].res > 0)
				record_write(&(struct record){
					.kind = RECORD_WRITE_DONE, .id = submitted[j].id, .a = submitted[j].durable });
			submitted[j].address = 0;
		}
	}
}

/* --- names ----------------------------------------------------------------------------------------------------- */

static void open_enter(pid_t pid, int directory, uint64_t path, uint64_t flags, struct call *call)
{
	call->arguments[5] = flags;
	if ((flags & (O_CREAT | O_TRUNC)) == 0 && (flags & O_TMPFILE) != O_TMPFILE)
		return;
	if (!path_resolve(pid, directory, path, call->name))
		return;
	call->pending = true;
	path_inode(call->name, &call->existed);
}

static void open_exit(pid_t pid, const struct call *call, int64_t result)
{
	uint64_t flags = call->arguments[5];
	uint64_t inode;

	if (result < 0)
		return;
	inode = descriptor_inode(pid, (int)result);
	if (inode == 0)
		give_up("a file is gone as soon as it was opened");
	if ((flags & O_TMPFILE) == O_TMPFILE)
		record_write(&(struct record){ .kind = RECORD_TEMPORARY, .inode = inode });
	else if (!call->existed)
		record_write(&(struct record){ .kind = RECORD_CREATE, .inode = inode, .name = below_root(call->name) });
	else if (flags & O_TRUNC)
		record_write(&(struct record){ .kind = RECORD_SIZE, .inode = inode, .a = 0 });
}

static void name_enter(pid_t pid, int directory, uint64_t path, struct call *call)
{
	call->pending = path_resolve(pid, directory, path, call->name);
	if (call->pending)
		call->inode = path_inode(call->name, &call->existed);
}

static void two_names_enter(pid_t pid, int from_directory, uint64_t from, int to_directory, uint64_t to,
			    struct call *call)
{
	bool here = path_resolve(pid, from_directory, from, call->name);
	bool there = path_resolve(pid, to_directory, to, call->other);

	if (here != there)
		give_up("a name moves over the edge of the root");
	call->pending = here;
	if (here)
		call->inode = path_inode(call->name, &call->existed);
}

/* Of a file that has a name, or of one that libraft names by its descriptor. */
static void link_enter(pid_t pid, struct call *call)
{
	char from[512];
	int fd;

	if (!path_resolve(pid, (int)call->arguments[2], call->arguments[3], call->name))
		return;
	text_read(pid, call->arguments[1], from, sizeof(from));
	if (sscanf(from, "/proc/self/fd/%d", &fd) != 1)
		give_up("a second name for %s", from);
	call->inode = descriptor_inode(pid, fd);
	if (call->inode == 0)
		give_up("a name for a file from elsewhere");
	call->pending = true;
}

static void map_enter(pid_t pid, struct call *call)
{
	uint64_t protection = call->arguments[2], flags = call->arguments[3];
	char path[PATH_MAX];

	if ((flags & MAP_TYPE) == MAP_PRIVATE || (flags & MAP_ANONYMOUS) || !(protection & PROT_WRITE))
		return;
	call->inode = descriptor_inode(pid, (int)call->arguments[4]);
	if (call->inode == 0 || !descriptor_link(pid, (int)call->arguments[4], path, sizeof(path)))
		return;
	maps_watch(path, call->inode);
}

static void sync_enter(pid_t pid, struct call *call)
{
	call->inode = descriptor_inode(pid, (int)call->arguments[0]);
	if (call->inode == 0)
		return;
	call->pending = true;
	call->id = ++last_id;
	record_write(&(struct record){ .kind = RECORD_SYNC_BEGIN, .id = call->id, .inode = call->inode });
}

static void size_enter(pid_t pid, uint64_t size, struct call *call)
{
	struct stat status;

	call->inode = descriptor_inode(pid, (int)call->arguments[0]);
	if (call->inode == 0)
		return;
	call->pending = true;
	call->offset = size;
	if (call->number != SYS_fallocate)
		return;
	if (call->arguments[1] != 0)
		give_up("fallocate with mode %llu", (unsigned long long)call->arguments[1]);
	/* It lengthens only. */
	if (descriptor_stat(pid, (int)call->arguments[0], &status) && (uint64_t)status.st_size >= size)
		call->pending = false;
}

/* --- the door -------------------------------------------------------------------------------------------------- */

void call_enter(pid_t pid, struct call *call)
{
	const uint64_t *arguments = call->arguments;
	int fd = (int)arguments[0];

	switch (call->number) {
	case SYS_write:
	case SYS_sendto:
	case SYS_pwrite64: {
		char link[64];

		if (!descriptor_link(pid, fd, link, sizeof(link)) ||
		    (link[0] != '/' && strncmp(link, "socket:", 7) != 0))
			return;
		call->data = copy(pid, arguments[1], arguments[2]);
		call->size = arguments[2];
		write_enter(pid, fd, call->number == SYS_pwrite64, arguments[3], 0, call);
		return;
	}
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
		call->data = gather(pid, arguments[1], arguments[2], &call->size);
		write_enter(pid, fd, call->number != SYS_writev, arguments[3],
			    call->number == SYS_pwritev2 ? arguments[5] : 0, call);
		return;
	case SYS_sendmsg: {
		struct msghdr message;

		memory_read(pid, arguments[1], &message, sizeof(message));
		call->data = gather(pid, (uint64_t)message.msg_iov, message.msg_iovlen, &call->size);
		write_enter(pid, fd, false, 0, 0, call);
		return;
	}
	case SYS_ftruncate:
		size_enter(pid, arguments[1], call);
		return;
	case SYS_fallocate:
		size_enter(pid, arguments[2] + arguments[3], call);
		return;
	case SYS_fsync:
	case SYS_fdatasync:
		sync_enter(pid, call);
		return;
	case SYS_io_submit:
		submit_enter(pid, call);
		return;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		call->pending = true;
		return;
	case SYS_openat:
		open_enter(pid, fd, arguments[1], arguments[2], call);
		return;
	case SYS_renameat:
	case SYS_renameat2:
		two_names_enter(pid, fd, arguments[1], (int)arguments[2], arguments[3], call);
		return;
	case SYS_unlinkat:
	case SYS_mkdirat:
		name_enter(pid, fd, arguments[1], call);
		return;
	case SYS_linkat:
		link_enter(pid, call);
		return;
	case SYS_mmap:
		map_enter(pid, call);
		return;
#ifdef SYS_open
	case SYS_open:
		open_enter(pid, AT_FDCWD, arguments[0], arguments[1], call);
		return;
	case SYS_creat:
		open_enter(pid, AT_FDCWD, arguments[0], O_CREAT | O_TRUNC, call);
		return;
	case SYS_rename:
		two_names_enter(pid, AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], call);
		return;
	case SYS_unlink:
	case SYS_mkdir:
	case SYS_rmdir:
		name_enter(pid, AT_FDCWD, arguments[0], call);
		return;
#endif
	default:
		give_up("the program makes call %llu, which is not recorded", (unsigned long long)call->number);
	}
}

void call_exit(pid_t pid, struct call *call, int64_t result)
{
	struct record record = { .inode = call->inode, .name = below_root(call->name) };
	bool ignored;

	switch (call->number) {
	case SYS_write:
	case SYS_sendto:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_sendmsg:
		write_exit(call, result);
		return;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		getevents_exit(pid, call, result);
		return;
	case SYS_openat:
#ifdef SYS_open
	case SYS_open:
	case SYS_creat:
#endif
		open_exit(pid, call, result);
		return;
	default:
		break;
	}
	if (result < 0)
		return;
	switch (call->number) {
	case SYS_ftruncate:
	case SYS_fallocate:
		record.kind = RECORD_SIZE;
		record.a = call->offset;
		record.name = NULL;
		break;
	case SYS_fsync:
	case SYS_fdatasync:
		record.kind = RECORD_SYNC_END;
		record.id = call->id;
		record.a = call->number == SYS_fsync;
		record.name = NULL;
		break;
	case SYS_linkat:
		record.kind = RECORD_LINK;
		break;
	case SYS_unlinkat:
		record.kind = RECORD_UNLINK;
		break;
	case SYS_mkdirat:
		record.kind = RECORD_DIRECTORY;
		record.inode = path_inode(call->name, &ignored);
		break;
	case SYS_renameat:
	case SYS_renameat2:
		record.kind = RECORD_RENAME;
		record.other = below_root(call->other);
		break;
#ifdef SYS_open
	case SYS_unlink:
	case SYS_rmdir:
		record.kind = RECORD_UNLINK;
		break;
	case SYS_mkdir:
		record.kind = RECORD_DIRECTORY;
		record.inode = path_inode(call->name, &ignored);
		break;
	case SYS_rename:
		record.kind = RECORD_RENAME;
		record.other = below_root(call->other);
		break;
#endif
	default:
		give_up("the end of call %llu is not recorded", (unsigned long long)call->number);
	}
	record_write(&record);
}
