/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process that holds up the I/O of a volume leaves of itself: a file of /run, which it locks as long as it
 * lives, and into which it writes a line for each thing that it did. Lines only ever come to its end, so that whoever
 * reads sees whole ones.
 *
 *   until 123456            boot clock, ms
 *   device dnvme-volume-v1  all that it may suspend, the top of the volume first
 *   held
 *   made
 *   kept                    the last one is this,
 *   broken WHY              or this
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_PAUSE_FILE_H
#define DNVME_AGENT_BACKEND_LINUX_PAUSE_FILE_H

#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

/* Make and lock it; there is never a moment at which it is there and not locked. ALREADY_EXISTS. */
int pause_file_make(const char *directory, uint64_t volume, uint64_t number, uint64_t until_ms,
		    const struct string_list *devices, int *ret_file, struct error *error);
/* One line more. */
int pause_file_add(int file, const char *line, struct error *error);
/* INTERNAL when memory is exhausted. Files of another form are none of ours. */
int pause_files_read(const char *directory, struct arena *arena, struct observed_pause_list *ret_pauses,
		     struct error *error);
/* One of them; NOT_FOUND. */
int pause_file_read(const char *directory, uint64_t volume, uint64_t number, struct arena *arena,
		    struct observed_pause *ret_pause, struct error *error);
/* Have its process do something; nothing when it is gone. */
int pause_file_signal(const char *directory, uint64_t volume, uint64_t number, int signal, struct error *error);
int pause_file_remove(const char *directory, uint64_t volume, uint64_t number, struct error *error);
/* "/run/dnvme/pause.v1.7" */
void pause_file_path(const char *directory, uint64_t volume, uint64_t number, char *ret_path, size_t size);

#endif
