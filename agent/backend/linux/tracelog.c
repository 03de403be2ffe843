/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/tracelog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT ": block_bio_complete: "
#define MARK ": tracing_mark_write: dnvme "
#define EXCEPT_MAX 64u	  /* LDs that are not recorded further; the filter is a page at most */
#define SUMMARY_MAX 1024u /* lines of a summary, and lines between two: together they fit into the ring twice */

void tracelog_free(struct tracelog *log)
{
	free(log->lds);
	*log = (struct tracelog){ 0 };
}

uint64_t tracelog_minor(uint64_t ld)
{
	return TRACELOG_MINORS + ld % TRACELOG_MINORS;
}

static struct tracelog_ld *find(const struct tracelog *log, uint64_t minor)
{
	for (size_t i = 0; i < log->count; i++) {
		if (log->lds[i].minor == minor)
			return &log->lds[i];
	}
	return NULL;
}

static struct tracelog_ld *get(struct tracelog *log, uint64_t minor)
{
	struct tracelog_ld *ld = find(log, minor);
	size_t capacity = log->capacity > 0 ? log->capacity * 2 : 16;

	if (ld != NULL)
		return ld;
	if (log->count == log->capacity) {
		ld = realloc(log->lds, capacity * sizeof(*ld));
		if (ld == NULL)
			return NULL;
		log->lds = ld;
		log->capacity = capacity;
	}
	ld = &log->lds[log->count++];
	*ld = (struct tracelog_ld){ .minor = minor };
	return ld;
}

/* "… 32.376189: …": the moment before the colon. */
static uint64_t moment_us(const char *line, const char *colon)
{
	const char *at = colon;
	uint64_t seconds, us;
	char *end;

	while (at > line && strchr("0123456789.", at[-1]) != NULL)
		at--;
	seconds = strtoull(at, &end, 10);
	us = *end == '.' ? strtoull(end + 1, NULL, 10) : 0;
	return seconds * 1000000 + us;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int take_event(struct tracelog *log, const char *text, uint64_t now_us)
{
	unsigned major, minor, sectors;
	unsigned long long sector;
	struct tracelog_ld *ld;
	char kind[16];
	int problem;

	if (sscanf(text, "%u,%u %15s %llu + %u [%d]", &major, &minor, kind, &sector, &sectors, &problem) != 6 ||
	    problem == 0 || minor < TRACELOG_MINORS)
		return 0;
	/* Nothing is lost by a discard that failed, nor by an operation that the disk does not know. */
	if (strchr(kind, 'D') != NULL || problem == -EOPNOTSUPP)
		return 0;
	ld = get(log, minor);
	if (ld == NULL)
		return -1;
	if (strchr(kind, 'R') != NULL)
		ld->reads++;
	else
		ld->writes++;
	ld->last_us = larger(ld->last_us, now_us);
	return 0;
}

static int take_mark(struct tracelog *log, const char *text, uint64_t now_us)
{
	struct tracelog_ld *ld, said = { 0 };
	uint64_t upto_us, missed_us, dropped;

	if (sscanf(text, "known %" SCNu64 " %" SCNu64 " %" SCNu64, &upto_us, &missed_us, &dropped) == 3) {
		log->known_us = larger(log->known_us, upto_us);
		log->missed_us = larger(log->missed_us, missed_us);
		log->dropped = larger(log->dropped, dropped);
		log->lines = 0;
		return 0;
	}
	if (sscanf(text, "forget %" SCNu64 " %" SCNu64, &said.minor, &said.rebuild_ms) == 2) {
		ld = get(log, said.minor);
		if (ld == NULL)
			return -1;
		*ld = (struct tracelog_ld){ .minor = said.minor,
					    .forgotten_us = now_us,
					    .rebuild_ms = said.rebuild_ms };
	} else if (sscanf(text, "ld %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &said.minor,
			  &said.reads, &said.writes, &said.forgotten_us, &said.rebuild_ms, &said.last_us) >= 5) {
		ld = get(log, said.minor);
		if (ld == NULL)
			return -1;
		/* The lines that it sums up may still be there. */
		ld->reads = larger(ld->reads, said.reads);
		ld->writes = larger(ld->writes, said.writes);
		ld->forgotten_us = larger(ld->forgotten_us, said.forgotten_us);
		ld->last_us = larger(ld->last_us, said.last_us);
		ld->rebuild_ms = said.rebuild_ms;
	}
	return 0;
}

int tracelog_line(struct tracelog *log, const char *line)
{
	const char *at = strstr(line, EVENT);

	if (at != NULL) {
		log->lines++;
		return take_event(log, at + strlen(EVENT), moment_us(line, at));
	}
	at = strstr(line, MARK);
	if (at == NULL)
		return 0;
	log->lines++;
	return take_mark(log, at + strlen(MARK), moment_us(line, at));
}

void tracelog_lost(struct tracelog *log, uint64_t before_us, uint64_t dropped, uint64_t now_us)
{
	if (before_us > log->known_us)
		log->missed_us = larger(log->missed_us, before_us);
	if (dropped > log->dropped) {
		log->missed_us = larger(log->missed_us, now_us);
		log->dropped = dropped;
	}
}

bool tracelog_is_due(const struct tracelog *log)
{
	return log->lines > SUMMARY_MAX || log->missed_us > log->known_us;
}

static bool has_errors(const struct tracelog_ld *ld)
{
	return ld->reads + ld->writes > 0;
}

int tracelog_summary(const struct tracelog *log, uint64_t upto_us, struct buffer *output)
{
	uint64_t missed_us = log->missed_us;
	size_t suspects = 0;

	for (size_t i = 0; i < log->count; i++)
		suspects += has_errors(&log->lds[i]);
	/* More than there is room for: then all are suspect. */
	if (suspects > SUMMARY_MAX)
		missed_us = upto_us;
	for (size_t i = 0; i < log->count && suspects <= SUMMARY_MAX; i++) {
		const struct tracelog_ld *ld = &log->lds[i];

		if (!has_errors(ld) && log->count > SUMMARY_MAX)
			continue;
		if (buffer_printf(output,
				  "dnvme ld %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
				  ld->minor, ld->reads, ld->writes, ld->forgotten_us, ld->rebuild_ms, ld->last_us) != 0)
			return -1;
	}
	return buffer_printf(output, "dnvme known %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", upto_us, missed_us,
			     log->dropped);
}

int tracelog_filter(const struct tracelog *log, uint64_t major, struct buffer *output)
{
	uint64_t first = major << 20 | TRACELOG_MINORS;
	unsigned except = 0;

	if (buffer_printf(output, "error != 0 && dev >= %" PRIu64 " && dev <= %" PRIu64, first,
			  first + TRACELOG_MINORS - 1) != 0)
		return -1;
	for (size_t i = 0; i < log->count && except < EXCEPT_MAX; i++) {
		const struct tracelog_ld *ld = &log->lds[i];

		if (ld->reads + ld->writes < TRACELOG_ENOUGH)
			continue;
		except++;
		if (buffer_printf(output, " && dev != %" PRIu64, major << 20 | ld->minor) != 0)
			return -1;
	}
	return 0;
}

struct tracelog_ld tracelog_get(const struct tracelog *log, uint64_t ld)
{
	const struct tracelog_ld *found = find(log, tracelog_minor(ld));

	return found != NULL ? *found : (struct tracelog_ld){ 0 };
}
