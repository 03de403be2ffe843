/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the recorder share, and the format of the trace: records one after the other, each a header in the
 * byte order of this machine, two names without terminator, and data. trace.py reads it.
 */
#ifndef DNVME_TESTS_POWER_RECORDER_H
#define DNVME_TESTS_POWER_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum record_kind {
	RECORD_BEGIN = 1,  /* a program starts; inode: of the root */
	RECORD_END,	   /* it ended; a: status of waitpid() */
	RECORD_WRITE,	   /* perhaps not on the medium; a: offset; b: 1: submitted, 0: done */
	RECORD_WRITE_DONE, /* the write `id` is on the medium (a: 1) or only done (a: 0) */
	RECORD_STORE,	   /* written through a shared map; a: offset */
	RECORD_SYNC_BEGIN, /* what was done to `inode` before this ... */
	RECORD_SYNC_END,   /* ... is on the medium from here on, as far as a (1: all, 0: data and its length) says */
	RECORD_SIZE,	   /* a: the new length */
	RECORD_CREATE,	   /* name: a new file */
	RECORD_TEMPORARY,  /* a file without a name */
	RECORD_DIRECTORY,  /* name: a new directory */
	RECORD_LINK,	   /* name: a file gets another name */
	RECORD_UNLINK,	   /* name */
	RECORD_RENAME,	   /* name -> other */
	RECORD_SEND_BEGIN, /* bytes go into a connection; a: own port, b: the peer's address and, in 16 bits, port */
	RECORD_SEND_END,   /* a: how many of them went */
};

struct record_header {
	uint32_t kind;
	uint32_t name_size, other_size, data_size;
	uint64_t id, inode, a, b;
};

struct record {
	enum record_kind kind;
	uint64_t id, inode, a, b;
	const char *name, *other; /* below the root; NULL: none */
	const void *data;
	size_t size;
};

/* The recorder cannot do its work, or sees what it cannot record: nothing that it wrote so far may be believed. */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* recorder.c: append to the trace; the path below the root, NULL when it is not. */
void record_write(const struct record *record);
const char *below_root(const char *path);

/* maps.c: files that the program mapped writable and shared. What it stores there makes no system call, so the files
 * are compared with what they were. */
void maps_watch(const char *path, uint64_t inode);
void maps_scan(void);

/* calls.c: the system calls. */
struct call {
	uint64_t number;
	uint64_t arguments[6];
	bool pending; /* its exit is of interest */
	uint64_t id, inode;
	uint64_t offset;
	uint8_t *data; /* owned */
	size_t size;
	char name[512], other[512];
	bool existed, durable;
};

extern const int calls_watched[];
extern const size_t calls_watched_count;
void call_enter(pid_t pid, struct call *call);
void call_exit(pid_t pid, struct call *call, int64_t result);

#endif
