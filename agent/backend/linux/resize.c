/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Namespaces whose device grew: the target tells its hosts, the initiator looks again.
 *
 * The target does not say which size it tells hosts. So what this process had it look at is remembered; a namespace
 * that is made anew, or was there before this process, is looked at once more, which tells nobody anything when nothing
 * changed.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct size {
	struct size *next;
	uint32_t nsid;
	uint64_t bytes;
	char nqn[];
};

struct sizes {
	pthread_mutex_t lock;
	struct size *first;
};

struct sizes *sizes_make(void)
{
	struct sizes *sizes = calloc(1, sizeof(*sizes));

	if (sizes != NULL)
		pthread_mutex_init(&sizes->lock, NULL);
	return sizes;
}

static void forget(struct sizes *this, const char *nqn, uint32_t nsid)
{
	for (struct size **at = &this->first; *at != NULL;) {
		struct size *size = *at;

		if (nqn != NULL && (size->nsid != nsid || strcmp(size->nqn, nqn) != 0)) {
			at = &size->next;
			continue;
		}
		*at = size->next;
		free(size);
	}
}

void sizes_free(struct sizes *sizes)
{
	if (sizes == NULL)
		return;
	forget(sizes, NULL, 0);
	pthread_mutex_destroy(&sizes->lock);
	free(sizes);
}

void sizes_forget(struct sizes *this, const char *nqn, uint32_t nsid)
{
	pthread_mutex_lock(&this->lock);
	forget(this, nqn, nsid);
	pthread_mutex_unlock(&this->lock);
}

static int note(struct sizes *this, const char *nqn, uint32_t nsid, uint64_t bytes, struct error *error)
{
	struct size *size = calloc(1, sizeof(*size) + strlen(nqn) + 1);

	if (size == NULL)
		return error_set_nomem(error);
	size->nsid = nsid;
	size->bytes = bytes;
	memcpy(size->nqn, nqn, strlen(nqn) + 1);
	pthread_mutex_lock(&this->lock);
	forget(this, nqn, nsid);
	size->next = this->first;
	this->first = size;
	pthread_mutex_unlock(&this->lock);
	return 0;
}

void sizes_tell(struct sizes *this, struct observed *observed)
{
	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; i < observed->subsystems.count; i++) {
		struct observed_subsystem *subsystem = &observed->subsystems.items[i];

		for (size_t j = 0; j < subsystem->namespaces.count; j++) {
			subsystem->namespaces.items[j].size_bytes = 0;
			for (struct size *size = this->first; size != NULL; size = size->next) {
				if (size->nsid == subsystem->namespaces.items[j].nsid &&
				    strcmp(size->nqn, subsystem->nqn) == 0)
					subsystem->namespaces.items[j].size_bytes = size->bytes;
			}
		}
	}
	pthread_mutex_unlock(&this->lock);
}

static int device_size(const char *path, uint64_t *ret_bytes, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), code = 0;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, ret_bytes) != 0)
		code = error_set_errno(error, errno, "cannot tell the size of %s", path);
	if (fd >= 0)
		close(fd);
	return code;
}

int nvmet_namespace_resize(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error)
{
	struct linux_kernel *this = (struct linux_kernel *)kernel;
	char directory[PATH_MAX], device[PATH_MAX] = "";
	uint64_t bytes = 0;
	int code;

	snprintf(directory, sizeof(directory), LINUX_NVMET_ROOT "/subsystems/%s/namespaces/%" PRIu32, nqn, nsid);
	file_read(device, sizeof(device), "%s/device_path", directory);
	code = device_size(device, &bytes, error);
	/* Should it grow in between, hosts are told of the larger size, and asked for once more. */
	if (code == 0)
		code = file_write("1", error, "%s/revalidate_size", directory);
	return code == 0 ? note(this->sizes, nqn, nsid, bytes, error) : code;
}
