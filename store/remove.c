/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store that was made for a moment goes again. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/state_file.h"

void store_remove(const char *directory)
{
	/* The data first: what is left behind without its state file is never taken for a store. */
	static const char *const names[] = { DATA_NAME, READERS_NAME, STATE_NAME, STATE_NAME_NEW, LOCK_NAME };
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	close(fd);
	rmdir(directory);
}

void store_discard(struct store *store)
{
	char *directory;

	if (store == NULL)
		return;
	STORE_CONTRACT(store->open_transactions == 0 && !store->read_only);
	directory = store->directory;
	store->directory = NULL;
	store_free(store);
	store_remove(directory);
	free(directory);
}
