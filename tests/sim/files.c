/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/sim/memory.h"

#define FIRST 200000 /* descriptors, above those of posix.c */
#define DESCRIPTORS 512
#define FILES 256
#define PATH_BYTES 128
#define ROOM_BYTES (UINT64_C(128) << 20) /* of addresses, for each file; memory is what is touched */

struct file {
	char path[PATH_BYTES]; /* "": removed, or free when nothing has it open */
	bool is_directory;
	unsigned opens;
	uint8_t *bytes; /* ROOM_BYTES; NULL of a directory */
	size_t size;
};

struct descriptor {
	struct file *file; /* NULL: free */
	size_t at;
};

struct listing {
	char path[PATH_BYTES];
	size_t next;
	struct dirent entry;
};

static struct file files[FILES] = { { .path = FILES_ROOT, .is_directory = true } };
static struct descriptor descriptors[DESCRIPTORS];

/* --- the files -------------------------------------------------------------------------------------------------- */

static int refuse(int code)
{
	errno = code;
	return -1;
}

static bool is_ours(const char *path)
{
	return strncmp(path, FILES_ROOT, sizeof(FILES_ROOT) - 1) == 0;
}

static struct file *file_find(const char *path)
{
	size_t length = strlen(path);

	/* The directory above. */
	if (length > 3 && strcmp(path + length - 3, "/..") == 0) {
		length -= 3;
		while (length > 0 && path[--length] != '/')
			;
	}
	for (size_t i = 0; i < FILES; i++) {
		if (strncmp(files[i].path, path, length) == 0 && files[i].path[length] == '\0')
			return &files[i];
	}
	return NULL;
}

int __real_madvise(void *address, size_t size, int advice);

static void file_cut(struct file *file, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;

	if (size < file->size && file->size > whole)
		__real_madvise(file->bytes + whole, file->size - whole, MADV_DONTNEED);
	if (size < file->size && size < whole)
		memset(file->bytes + size, 0, (file->size < whole ? file->size : whole) - size);
	if (size > ROOM_BYTES)
		abort();
	file->size = size;
}

static void file_drop(struct file *file)
{
	file->path[0] = '\0';
	if (file->opens == 0 && file->bytes != NULL)
		file_cut(file, 0);
}

static struct file *file_make(const char *path, bool is_directory)
{
	static uint8_t *room;

	if (room == NULL) {
		room = memory_room(FILES * ROOM_BYTES);
		for (size_t i = 0; i < FILES; i++)
			memory_part(room + i * ROOM_BYTES, &files[i].size, true);
	}
	for (size_t i = 0; i < FILES; i++) {
		struct file *file = &files[i];

		if (file->path[0] != '\0' || file->opens > 0)
			continue;
		if ((size_t)snprintf(file->path, sizeof(file->path), "%s", path) >= sizeof(file->path))
			abort();
		file->is_directory = is_directory;
		if (!is_directory)
			file->bytes = room + i * ROOM_BYTES;
		file->size = 0;
		return file;
	}
	abort();
}

static struct descriptor *descriptor_of(int fd)
{
	if (fd < FIRST || fd >= FIRST + DESCRIPTORS || descriptors[fd - FIRST].file == NULL)
		return NULL;
	return &descriptors[fd - FIRST];
}

static int descriptor_make(struct file *file)
{
	for (int i = 0; i < DESCRIPTORS; i++) {
		if (descriptors[i].file != NULL)
			continue;
		descriptors[i] = (struct descriptor){ file, 0 };
		file->opens++;
		return FIRST + i;
	}
	abort();
}

/* The path of a name in a directory that is open. */
static bool path_at(int directory, const char *name, char ret_path[PATH_BYTES])
{
	struct descriptor *descriptor = descriptor_of(directory);

	if (descriptor == NULL)
		return false;
	if (strcmp(name, ".") == 0)
		snprintf(ret_path, PATH_BYTES, "%s", descriptor->file->path);
	else if ((size_t)snprintf(ret_path, PATH_BYTES, "%.60s/%s", descriptor->file->path, name) >= PATH_BYTES)
		abort();
	return true;
}

static void status_make(const struct file *file, struct stat *ret_status)
{
	*ret_status = (struct stat){ .st_mode = file->is_directory ? S_IFDIR | 0700 : S_IFREG | 0600,
				     .st_nlink = 1,
				     .st_size = (off_t)file->size,
				     .st_ino = (ino_t)(file - files) + 1,
				     .st_blksize = 4096 };
}

static int file_open(const char *path, int flags)
{
	struct file *file = file_find(path);

	if (file == NULL && (flags & O_CREAT) == 0)
		return refuse(ENOENT);
	if (file == NULL)
		file = file_make(path, false);
	else if (flags & O_DIRECTORY && !file->is_directory)
		return refuse(ENOTDIR);
	else if (flags & O_TRUNC)
		file_cut(file, 0);
	return descriptor_make(file);
}

static int file_remove(const char *path)
{
	struct file *file = file_find(path);

	if (file == NULL)
		return refuse(ENOENT);
	file_drop(file);
	return 0;
}

static int file_rename(const char *from, const char *to)
{
	struct file *file = file_find(from), *before = file_find(to);

	if (file == NULL)
		return refuse(ENOENT);
	if (before != NULL && before != file)
		file_drop(before);
	snprintf(file->path, sizeof(file->path), "%s", to);
	return 0;
}

static ssize_t file_read(const struct file *file, void *data, size_t size, size_t at)
{
	if (at >= file->size)
		return 0;
	if (size > file->size - at)
		size = file->size - at;
	memcpy(data, file->bytes + at, size);
	return (ssize_t)size;
}

static ssize_t file_write(struct file *file, const void *data, size_t size, size_t at)
{
	if (at + size > file->size)
		file_cut(file, at + size);
	memcpy(file->bytes + at, data, size);
	return (ssize_t)size;
}

/* The name of the next file in a directory, from a place on. */
static const char *name_next(const char *directory, size_t *place)
{
	size_t length = strlen(directory);

	while (*place < FILES) {
		const char *path = files[(*place)++].path;

		if (strncmp(path, directory, length) == 0 && path[length] == '/' &&
		    strchr(path + length + 1, '/') == NULL)
			return path + length + 1;
	}
	return NULL;
}

/* --- the C library's calls -------------------------------------------------------------------------------------- */

/* What the linker makes of each call (--wrap): ours, and that of the C library for everything else. */
#define WRAP(type, name, parameters)                                                                                   \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters

WRAP(int, open, (const char *path, int flags, ...))
{
	va_list arguments;
	unsigned mode = 0;

	if (is_ours(path))
		return file_open(path, flags);
	va_start(arguments, flags);
	if (flags & O_CREAT)
		mode = va_arg(arguments, unsigned);
	va_end(arguments);
	return __real_open(path, flags, mode);
}

WRAP(int, openat, (int directory, const char *name, int flags, ...))
{
	char path[PATH_BYTES];
	va_list arguments;
	unsigned mode = 0;

	if (path_at(directory, name, path))
		return file_open(path, flags);
	va_start(arguments, flags);
	if (flags & O_CREAT)
		mode = va_arg(arguments, unsigned);
	va_end(arguments);
	return __real_openat(directory, name, flags, mode);
}

WRAP(int, close, (int fd))
{
	struct descriptor *descriptor = descriptor_of(fd);
	struct file *file;

	if (descriptor == NULL)
		return __real_close(fd);
	file = descriptor->file;
	descriptor->file = NULL;
	if (--file->opens == 0 && file->path[0] == '\0')
		file_drop(file);
	return 0;
}

WRAP(int, mkdir, (const char *path, mode_t mode))
{
	if (!is_ours(path))
		return __real_mkdir(path, mode);
	if (file_find(path) != NULL)
		return refuse(EEXIST);
	file_make(path, true);
	return 0;
}

WRAP(int, access, (const char *path, int mode))
{
	if (!is_ours(path))
		return __real_access(path, mode);
	return file_find(path) != NULL ? 0 : refuse(ENOENT);
}

WRAP(int, stat, (const char *path, struct stat *ret_status))
{
	const struct file *file;

	if (!is_ours(path))
		return __real_stat(path, ret_status);
	file = file_find(path);
	if (file == NULL)
		return refuse(ENOENT);
	status_make(file, ret_status);
	return 0;
}

WRAP(int, fstat, (int fd, struct stat *ret_status))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_fstat(fd, ret_status);
	status_make(descriptor->file, ret_status);
	return 0;
}

/* What older headers made of fstat(). */
int __wrap___fxstat(int version, int fd, struct stat *ret_status);
int __wrap___fxstat(int version, int fd, struct stat *ret_status)
{
	(void)version;
	return __wrap_fstat(fd, ret_status);
}

WRAP(int, fstatat, (int directory, const char *name, struct stat *ret_status, int flags))
{
	char path[PATH_BYTES];

	return path_at(directory, name, path) ? __wrap_stat(path, ret_status)
					      : __real_fstatat(directory, name, ret_status, flags);
}

WRAP(ssize_t, read, (int fd, void *data, size_t size))
{
	struct descriptor *descriptor = descriptor_of(fd);
	ssize_t got;

	if (descriptor == NULL)
		return __real_read(fd, data, size);
	got = file_read(descriptor->file, data, size, descriptor->at);
	descriptor->at += (size_t)got;
	return got;
}

WRAP(ssize_t, write, (int fd, const void *data, size_t size))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_write(fd, data, size);
	descriptor->at += size;
	return file_write(descriptor->file, data, size, descriptor->at - size);
}

WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t at))
{
	struct descriptor *descriptor = descriptor_of(fd);

	return descriptor != NULL ? file_read(descriptor->file, data, size, (size_t)at)
				  : __real_pread(fd, data, size, at);
}

WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at))
{
	struct descriptor *descriptor = descriptor_of(fd);

	return descriptor != NULL ? file_write(descriptor->file, data, size, (size_t)at)
				  : __real_pwrite(fd, data, size, at);
}

WRAP(off_t, lseek, (int fd, off_t offset, int from))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_lseek(fd, offset, from);
	if (from == SEEK_END)
		offset += (off_t)descriptor->file->size;
	else if (from == SEEK_CUR)
		offset += (off_t)descriptor->at;
	descriptor->at = (size_t)offset;
	return offset;
}

WRAP(int, ftruncate, (int fd, off_t size))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_ftruncate(fd, size);
	file_cut(descriptor->file, (size_t)size);
	return 0;
}

WRAP(int, posix_fallocate, (int fd, off_t offset, off_t length))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_posix_fallocate(fd, offset, length);
	if (descriptor->file->size < (size_t)(offset + length))
		file_cut(descriptor->file, (size_t)(offset + length));
	return 0;
}

/* A file is always mapped: there, and nowhere else. */
WRAP(void *, mmap, (void *address, size_t size, int protection, int flags, int fd, off_t offset))
{
	struct descriptor *descriptor = descriptor_of(fd);

	if (descriptor == NULL)
		return __real_mmap(address, size, protection, flags, fd, offset);
	if (offset != 0 || size > ROOM_BYTES)
		abort();
	return descriptor->file->bytes;
}

WRAP(int, munmap, (void *address, size_t size))
{
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].bytes == address)
			return 0;
	}
	return __real_munmap(address, size);
}

static const struct file *file_mapped(const void *address)
{
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].bytes != NULL && (const uint8_t *)address >= files[i].bytes &&
		    (const uint8_t *)address < files[i].bytes + ROOM_BYTES)
			return &files[i];
	}
	return NULL;
}

WRAP(int, madvise, (void *address, size_t size, int advice))
{
	return file_mapped(address) != NULL ? 0 : __real_madvise(address, size, advice);
}

WRAP(int, msync, (void *address, size_t size, int flags))
{
	return file_mapped(address) != NULL ? 0 : __real_msync(address, size, flags);
}

WRAP(int, fsync, (int fd))
{
	return descriptor_of(fd) != NULL ? 0 : __real_fsync(fd);
}

WRAP(int, fdatasync, (int fd))
{
	return descriptor_of(fd) != NULL ? 0 : __real_fdatasync(fd);
}

WRAP(int, flock, (int fd, int operation))
{
	return descriptor_of(fd) != NULL ? 0 : __real_flock(fd, operation);
}

WRAP(int, fcntl, (int fd, int command, ...))
{
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (descriptor_of(fd) == NULL)
		return __real_fcntl(fd, command, argument);
	if (command == F_GETLK)
		((struct flock *)argument)->l_type = F_UNLCK;
	return 0;
}

WRAP(int, unlink, (const char *path))
{
	return is_ours(path) ? file_remove(path) : __real_unlink(path);
}

WRAP(int, unlinkat, (int directory, const char *name, int flags))
{
	char path[PATH_BYTES];

	return path_at(directory, name, path) ? file_remove(path) : __real_unlinkat(directory, name, flags);
}

WRAP(int, rename, (const char *from, const char *to))
{
	return is_ours(from) ? file_rename(from, to) : __real_rename(from, to);
}

WRAP(int, renameat, (int from_directory, const char *from, int to_directory, const char *to))
{
	char from_path[PATH_BYTES], to_path[PATH_BYTES];

	if (path_at(from_directory, from, from_path) && path_at(to_directory, to, to_path))
		return file_rename(from_path, to_path);
	return __real_renameat(from_directory, from, to_directory, to);
}

WRAP(int, fstatfs, (int fd, struct statfs *ret_status))
{
	if (descriptor_of(fd) == NULL)
		return __real_fstatfs(fd, ret_status);
	*ret_status = (struct statfs){ .f_bsize = 4096 };
	return 0;
}

WRAP(int, statvfs, (const char *path, struct statvfs *ret_status))
{
	if (!is_ours(path))
		return __real_statvfs(path, ret_status);
	*ret_status = (struct statvfs){ .f_bsize = 4096, .f_frsize = 4096, .f_bavail = 1 << 24, .f_bfree = 1 << 24 };
	return 0;
}

/* LMDB's marks of who reads carry it: those of before a fork stay valid. */
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
	return 1;
}

/* --- directories ------------------------------------------------------------------------------------------------ */

/* What our opendir() gives back, and nothing else looks into. */
static struct listing *listings[16];

static struct listing *listing_of(DIR *handle)
{
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		if (listings[i] != NULL && listings[i] == (struct listing *)handle)
			return listings[i];
	}
	return NULL;
}

WRAP(DIR *, opendir, (const char *path))
{
	if (!is_ours(path))
		return __real_opendir(path);
	if (file_find(path) == NULL) {
		errno = ENOENT;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		if (listings[i] != NULL)
			continue;
		listings[i] = calloc(1, sizeof(*listings[i]));
		if (listings[i] == NULL)
			abort();
		snprintf(listings[i]->path, sizeof(listings[i]->path), "%s", path);
		return (DIR *)listings[i];
	}
	abort();
}

WRAP(struct dirent *, readdir, (DIR * handle))
{
	struct listing *listing = listing_of(handle);
	const char *name;

	if (listing == NULL)
		return __real_readdir(handle);
	name = name_next(listing->path, &listing->next);
	if (name == NULL)
		return NULL;
	snprintf(listing->entry.d_name, sizeof(listing->entry.d_name), "%s", name);
	return &listing->entry;
}

WRAP(int, closedir, (DIR * handle))
{
	struct listing *listing = listing_of(handle);

	if (listing == NULL)
		return __real_closedir(handle);
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		if (listings[i] == listing)
			listings[i] = NULL;
	}
	free(listing);
	return 0;
}

WRAP(int, scandirat,
     (int directory, const char *name, struct dirent ***ret_list, int (*filter)(const struct dirent *),
      int (*compare)(const struct dirent **, const struct dirent **)))
{
	char path[PATH_BYTES];
	struct dirent **list;
	const char *found;
	size_t place = 0;
	int count = 0;

	if (!path_at(directory, name, path))
		return __real_scandirat(directory, name, ret_list, filter, compare);
	list = calloc(FILES, sizeof(*list));
	if (list == NULL)
		abort();
	while ((found = name_next(path, &place)) != NULL) {
		list[count] = calloc(1, sizeof(**list));
		if (list[count] == NULL)
			abort();
		snprintf(list[count++]->d_name, sizeof(list[0]->d_name), "%s", found);
	}
	*ret_list = list;
	return count;
}
