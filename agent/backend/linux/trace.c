/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O errors of LDs: recorded by the kernel in a trace instance of ours, which outlives this process.
 *
 * A device-mapper device passes bios on and has no requests, so it is the completion of a bio that tells an error and
 * whose it is. The filter lets nothing else through. What was read stays in the ring: tracelog.h.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backend/linux/tracelog.h"
#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"

#define ROOT "/sys/kernel/tracing"
#define INSTANCE ROOT "/instances/dnvme"
#define EVENT INSTANCE "/events/block/block_bio_complete"
#define RING_KIB "256" /* for each processor */
#define BASE_MAX 128
#define FILTER_MAX 4096
#define SETTLE_US 10000 /* a line of this age can be read, on whichever processor it was written */

struct trace {
	pthread_mutex_t lock;
	struct tracelog log;
	uint64_t written; /* how many lines had been written when `log` was read; UINT64_MAX: it was not */
	uint64_t major;	  /* of device-mapper; 0: not known yet */
	bool told;	  /* that this kernel cannot */
};

struct trace *trace_make(void)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	if (trace == NULL)
		return NULL;
	pthread_mutex_init(&trace->lock, NULL);
	trace->written = UINT64_MAX;
	return trace;
}

void trace_free(struct trace *trace)
{
	if (trace == NULL)
		return;
	tracelog_free(&trace->log);
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

static uint64_t now_us(void)
{
	return clock_boot_ms() * 1000;
}

/* "DNVME-k3v9-ld-d1.v2.s0.ld7-e1" is the device of ld7. */
static bool ld_of(const char *uuid, uint64_t *ret_ld)
{
	const char *at;
	char *end;

	if (uuid == NULL || strncmp(uuid, NAMES_DM_UUID_PREFIX, strlen(NAMES_DM_UUID_PREFIX)) != 0)
		return false;
	at = strchr(uuid + strlen(NAMES_DM_UUID_PREFIX), '-');
	if (at == NULL || strncmp(at, "-ld-", 4) != 0)
		return false;
	at = strstr(at, ".ld");
	if (at == NULL || at[3] < '0' || at[3] > '9')
		return false;
	*ret_ld = strtoull(at + 3, &end, 10);
	return strncmp(end, "-e", 2) == 0;
}

static bool has_lds(const struct observed_dm_list *dms)
{
	uint64_t ld;

	for (size_t i = 0; i < dms->count; i++) {
		if (ld_of(dms->items[i].uuid, &ld))
			return true;
	}
	return false;
}

static uint64_t mapper_major(void)
{
	FILE *stream = fopen("/proc/devices", "re");
	char line[128], name[64];
	uint64_t major = 0, number;

	while (stream != NULL && fgets(line, sizeof(line), stream) != NULL) {
		if (sscanf(line, "%" SCNu64 " %63s", &number, name) == 2 && strcmp(name, "device-mapper") == 0)
			major = number;
	}
	if (stream != NULL)
		fclose(stream);
	return major;
}

/* --- the instance --------------------------------------------------------------------------------------------------
 */

static int mark(const char *text, struct error *error)
{
	return file_write(text, error, INSTANCE "/trace_marker");
}

/* Line by line: each write is one record. */
static int marks(struct buffer *text, struct error *error)
{
	char *line, *rest = NULL;
	int code = 0;

	if (buffer_append(text, "", 1) != 0)
		return error_set_nomem(error);
	for (line = strtok_r((char *)text->data, "\n", &rest); line != NULL && code == 0;
	     line = strtok_r(NULL, "\n", &rest))
		code = mark(line, error);
	return code;
}

/* What came from before now is not known. */
static int mark_missed(const struct trace *this, struct error *error)
{
	char text[128];

	snprintf(text, sizeof(text), "dnvme known %" PRIu64 " %" PRIu64 " %" PRIu64, now_us(), now_us(),
		 this->log.dropped);
	return mark(text, error);
}

static int instance_make(struct error *error)
{
	if (access(ROOT "/instances", F_OK) != 0)
		mount("tracefs", ROOT, "tracefs", 0, NULL);
	if (access(ROOT "/events/block/block_bio_complete", F_OK) != 0)
		return error_set(error, ERROR_UNSUPPORTED, "the kernel has no block trace events in " ROOT);
	if (mkdir(INSTANCE, 0700) != 0 && errno != EEXIST)
		return error_set_errno(error, errno, "cannot make " INSTANCE);
	return 0;
}

static bool is_on(const char *path)
{
	char text[16];

	return file_read(text, sizeof(text), "%s", path) && text[0] == '1';
}

static int set(const char *file, const char *value, struct error *error)
{
	return file_write(value, error, INSTANCE "/%s", file);
}

static int filter_make(const struct trace *this, const struct tracelog *log, char *ret_text, size_t size,
		       struct error *error)
{
	struct buffer text = BUFFER_INIT;

	if (tracelog_filter(log, this->major, &text) != 0 || buffer_append(&text, "", 1) != 0) {
		buffer_free(&text);
		return error_set_nomem(error);
	}
	snprintf(ret_text, size, "%s", (const char *)text.data);
	buffer_free(&text);
	return 0;
}

/* The ring with its event, as we left it, or made anew. `lds`: some LDs are there, whose errors were not recorded if it
 * has to be made. The event comes last: whoever is interrupted begins again. */
static int ready(struct trace *this, bool lds, struct error *error)
{
	static const struct tracelog nothing;
	char filter[FILTER_MAX], base[BASE_MAX], clock[256];
	bool has_clock, has_filter;
	int code;

	if (this->major == 0)
		this->major = mapper_major();
	code = instance_make(error);
	if (code == 0)
		code = filter_make(this, &nothing, base, sizeof(base), error);
	if (code != 0)
		return code;
	has_clock = file_read(clock, sizeof(clock), INSTANCE "/trace_clock") && strstr(clock, "[boot]") != NULL;
	has_filter = file_read(filter, sizeof(filter), EVENT "/filter") && strncmp(filter, base, strlen(base)) == 0;
	if (has_clock && has_filter && is_on(EVENT "/enable") && is_on(INSTANCE "/tracing_on"))
		return 0;
	if (lds)
		log_warning("I/O errors of LDs were not recorded until now", "instance=%s", INSTANCE);
	this->written = UINT64_MAX;
	code = file_write("0", error, EVENT "/enable");
	if (code == 0 && !has_clock) {
		code = set("trace_clock", "boot", error);
		if (code == 0)
			code = set("buffer_size_kb", RING_KIB, error);
		if (code == 0)
			code = set("options/markers", "1", error);
		/* Kernels that do not record while they are read, unless told to. */
		set("options/pause-on-trace", "0", NULL);
	}
	if (code == 0)
		code = set("tracing_on", "1", error);
	if (code == 0 && lds)
		code = mark_missed(this, error);
	if (code == 0)
		code = file_write(base, error, EVENT "/filter");
	if (code == 0)
		code = file_write("1", error, EVENT "/enable");
	return code == 0 && lds ? mark_missed(this, error) : code;
}

static void tell_blind(struct trace *this, const struct error *error)
{
	if (!this->told)
		log_failure(LOG_LEVEL_WARNING,
			    "I/O errors of LDs are not recorded: the leader cannot tell a member that its group "
			    "dropped unseen",
			    error);
	this->told = true;
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

static uint64_t stats_number(const char *line, const char *name)
{
	size_t length = strlen(name);

	return strncmp(line, name, length) == 0 ? strtoull(line + length, NULL, 10) : 0;
}

struct stats {
	uint64_t written;   /* lines, whatever became of them */
	uint64_t before_us; /* lines of before this moment were lost */
	uint64_t dropped;   /* lines that found no room */
};

/* Of all processors. Much cheaper than to open the ring, for which the kernel waits. */
static int stats_read(struct stats *ret_stats, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct string_list processors;
	struct stats stats = { 0 };
	char path[PATH_MAX], line[128];
	int code = directory_list(&arena, INSTANCE "/per_cpu", &processors, error);

	for (size_t i = 0; code == 0 && i < processors.count; i++) {
		uint64_t overrun = 0, oldest_us = 0;
		FILE *stream;

		snprintf(path, sizeof(path), INSTANCE "/per_cpu/%s/stats", processors.items[i]);
		stream = fopen(path, "re");
		if (stream == NULL) {
			code = error_set_errno(error, errno, "cannot open %s", path);
			break;
		}
		while (fgets(line, sizeof(line), stream) != NULL) {
			double seconds;

			overrun += stats_number(line, "overrun:");
			stats.written += stats_number(line, "entries:");
			stats.dropped += stats_number(line, "commit overrun:") + stats_number(line, "dropped events:");
			if (sscanf(line, "oldest event ts: %lf", &seconds) == 1)
				oldest_us = (uint64_t)(seconds * 1000000);
		}
		fclose(stream);
		stats.written += overrun;
		if (overrun > 0 && oldest_us > stats.before_us)
			stats.before_us = oldest_us;
	}
	stats.written += stats.dropped;
	arena_free(&arena);
	if (code == 0)
		*ret_stats = stats;
	return code;
}

/* All of it, unless nothing was written since. */
static int log_read(struct trace *this, struct error *error)
{
	struct tracelog log = { 0 };
	struct stats stats, after;
	char line[512];
	FILE *stream;
	int code = stats_read(&stats, error);

	if (code != 0 || stats.written == this->written)
		return code;
	stream = fopen(INSTANCE "/trace", "re");
	if (stream == NULL)
		return error_set_errno(error, errno, "cannot open " INSTANCE "/trace");
	while (code == 0 && fgets(line, sizeof(line), stream) != NULL) {
		if (tracelog_line(&log, line) != 0)
			code = error_set_nomem(error);
	}
	if (code == 0 && ferror(stream) != 0)
		code = error_set_errno(error, errno, "cannot read " INSTANCE "/trace");
	fclose(stream);
	/* What went meanwhile may not have been seen. */
	if (code == 0)
		code = stats_read(&after, error);
	if (code != 0) {
		tracelog_free(&log);
		return code;
	}
	tracelog_lost(&log, after.before_us, after.dropped, now_us());
	if (log.missed_us > this->log.missed_us)
		log_warning("I/O errors of LDs may have been missed", NULL);
	tracelog_free(&this->log);
	this->log = log;
	this->written = stats.written;
	return 0;
}

static int look(struct trace *this, struct error *error)
{
	char filter[FILTER_MAX], wanted[FILTER_MAX];
	uint64_t upto_us = now_us() - SETTLE_US;
	struct buffer summary = BUFFER_INIT;
	int code = log_read(this, error);

	if (code == 0 && tracelog_is_due(&this->log)) {
		code = tracelog_summary(&this->log, upto_us, &summary) != 0 ? error_set_nomem(error)
									    : marks(&summary, error);
		buffer_free(&summary);
	}
	if (code == 0)
		code = filter_make(this, &this->log, wanted, sizeof(wanted), error);
	if (code == 0 && (!file_read(filter, sizeof(filter), EVENT "/filter") || strcmp(filter, wanted) != 0))
		code = file_write(wanted, error, EVENT "/filter");
	return code;
}

/* What is told of an LD, if there is anything. */
static int ld_add(const struct trace *this, const struct observed_dm *dm, bool unknown, struct arena *arena,
		  struct observed *observed, struct error *error)
{
	struct tracelog_ld found;
	struct ld_errors *errors;
	uint64_t ld;
	bool missed;

	if (!ld_of(dm->uuid, &ld))
		return 0;
	found = tracelog_get(&this->log, ld);
	missed = unknown || dm->minor != tracelog_minor(ld) || found.forgotten_us < this->log.missed_us;
	if (!missed && found.reads + found.writes + found.rebuild_ms == 0)
		return 0;
	errors = LIST_PUSH(arena, &observed->errors);
	if (errors == NULL)
		return error_set_nomem(error);
	*errors = (struct ld_errors){
		.ld = ld, .reads = found.reads, .writes = found.writes, .missed = missed, .rebuild_ms = found.rebuild_ms
	};
	/* Those of one that returned very many are not recorded further. */
	if (!missed && found.reads + found.writes < TRACELOG_ENOUGH)
		errors->last_us = found.last_us;
	return 0;
}

/* --- the door ------------------------------------------------------------------------------------------------------
 */

int trace_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error)
{
	struct trace *this = kernel->trace;
	struct error problem = { 0 };
	bool lds = has_lds(&observed->dms), unknown = false;
	int code = 0;

	/* A node that has no LDs pays nothing for this. */
	if (!lds)
		return 0;
	pthread_mutex_lock(&this->lock);
	if (ready(this, true, &problem) != 0) {
		tell_blind(this, &problem);
		observed->errors_unknown = true;
		goto cleanup;
	}
	if (look(this, &problem) != 0) {
		log_failure(LOG_LEVEL_WARNING, "cannot read which LDs returned I/O errors", &problem);
		this->written = UINT64_MAX;
		unknown = true;
	}
	for (size_t i = 0; i < observed->dms.count && code == 0; i++)
		code = ld_add(this, &observed->dms.items[i], unknown, arena, observed, error);
cleanup:
	pthread_mutex_unlock(&this->lock);
	return code;
}

bool trace_device(struct linux_kernel *kernel, const char *uuid, uint64_t *ret_major, uint64_t *ret_minor)
{
	struct trace *this = kernel->trace;
	struct arena arena = ARENA_INIT;
	struct observed observed = { 0 };
	struct dm_sight_list sights;
	struct error problem = { 0 };
	uint64_t ld;

	if (!ld_of(uuid, &ld))
		return false;
	pthread_mutex_lock(&this->lock);
	/* Errors of the very first LD, too. */
	if (access(INSTANCE, F_OK) != 0 && dm_observe(kernel->devices, &arena, &observed, &sights, &problem) == 0 &&
	    ready(this, has_lds(&observed.dms), &problem) != 0)
		tell_blind(this, &problem);
	if (this->major == 0)
		this->major = mapper_major();
	*ret_major = this->major;
	*ret_minor = tracelog_minor(ld);
	pthread_mutex_unlock(&this->lock);
	arena_free(&arena);
	return *ret_major > 0;
}

int trace_forget(struct kernel *kernel, uint64_t ld, uint64_t rebuild_ms, struct error *error)
{
	struct trace *this = ((struct linux_kernel *)kernel)->trace;
	char text[96];
	int code;

	pthread_mutex_lock(&this->lock);
	if (access(INSTANCE, F_OK) != 0) {
		code = 0; /* nothing is recorded */
		goto cleanup;
	}
	snprintf(text, sizeof(text), "dnvme forget %" PRIu64 " %" PRIu64, tracelog_minor(ld), rebuild_ms);
	code = mark(text, error);
	/* It may have been one of those that are not recorded further. */
	if (code == 0)
		code = look(this, error);
cleanup:
	pthread_mutex_unlock(&this->lock);
	return code;
}

uint64_t trace_digest(struct linux_kernel *kernel, uint64_t seed)
{
	struct stats stats;

	(void)kernel;
	if (access(INSTANCE, F_OK) != 0 || stats_read(&stats, NULL) != 0)
		return seed;
	return seed ^ stats.written * UINT64_C(0x9e3779b97f4a7c15);
}
