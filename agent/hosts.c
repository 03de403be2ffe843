/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

_Static_assert(HOSTS_SILENCE_MS > LIMIT_HOST_KEEP_ALIVE_S * 1000 / 2, "who is well is heard in time");
_Static_assert(HOSTS_SILENCE_MS >= 2 * LIMIT_HOST_PULSE_MS, "so is a host whose keep-alives are sent by its watch");
_Static_assert(HOSTS_SILENCE_MS + 1000 <= LIMIT_HOST_KEEP_ALIVE_S * 1000, "who leaves is missed before");
_Static_assert(HOSTS_NOTICE_MS > LIMIT_IMPORT_KEEP_ALIVE_S * 5 * 1000 / 2 + HOSTS_SILENCE_MS / 2,
	       "a loss is noticed by then");
_Static_assert(HOSTS_PATIENCE_MS + HOSTS_NOTICE_MS < 30000, "before a host leaves by itself");

struct hosts_import {
	struct hosts_import *next;
	uint64_t since_ms; /* 0: before anybody looked */
	bool seen;	   /* in this pass */
	char nqn[];
};

static void imports_prune(struct hosts *hosts)
{
	for (struct hosts_import **at = &hosts->imports; *at != NULL;) {
		struct hosts_import *import = *at;

		if (import->seen) {
			import->seen = false;
			at = &import->next;
			continue;
		}
		*at = import->next;
		free(import);
	}
}

void hosts_free(struct hosts *hosts)
{
	for (struct hosts_import *import = hosts->imports; import != NULL; import = import->next)
		import->seen = false;
	imports_prune(hosts);
	free(hosts->visits);
	hosts->visits = NULL;
}

static int address_compare(const struct peer_visit *a, const struct peer_visit *b)
{
	return memcmp(a->address, b->address, sizeof(a->address));
}

static int visit_compare(const void *a, const void *b)
{
	const struct peer_visit *x = a, *y = b;
	int order = address_compare(x, y);

	return order != 0 ? order : (x->connection > y->connection) - (x->connection < y->connection);
}

/* A connection may be idle; a host is not, on all that it has. */
static void silence_mark(struct peer_visit *visits, size_t count)
{
	for (size_t first = 0, end; first < count; first = end) {
		uint64_t silent_ms = UINT64_MAX;

		for (end = first; end < count && address_compare(&visits[first], &visits[end]) == 0; end++) {
			if (visits[end].silent_ms < silent_ms)
				silent_ms = visits[end].silent_ms;
		}
		for (size_t i = first; i < end && silent_ms >= HOSTS_SILENCE_MS; i++)
			visits[i].unanswered = true;
	}
}

/* One that is not there any more, or is as good as gone since. */
static bool somebody_left(const struct hosts *hosts, const struct peer_visit *visits, size_t count)
{
	size_t at = 0;
	bool left = false;

	for (size_t i = 0; i < count; i++) {
		int order = 1;

		for (; at < hosts->count && (order = visit_compare(&hosts->visits[at], &visits[i])) < 0; at++)
			left = true;
		if (at == hosts->count)
			order = 1;
		left = left || (visits[i].unanswered && !(order == 0 && hosts->visits[at].unanswered));
		at += order == 0;
	}
	return left || at < hosts->count;
}

bool hosts_look(struct hosts *hosts, struct peer_visit *visits, size_t count, uint64_t now_ms)
{
	bool unseen = hosts->looked_ms == 0 || now_ms - hosts->looked_ms > HOSTS_UNSEEN_MS, left;

	if (count > 0)
		qsort(visits, count, sizeof(*visits), visit_compare);
	silence_mark(visits, count);
	left = unseen || somebody_left(hosts, visits, count);
	free(hosts->visits);
	hosts->visits = visits;
	hosts->count = count;
	hosts->looked_ms = now_ms;
	if (left)
		hosts->left_ms = now_ms;
	return left && !unseen;
}

static struct hosts_import *import_find(const struct hosts *hosts, const char *nqn)
{
	struct hosts_import *import = hosts->imports;

	while (import != NULL && strcmp(import->nqn, nqn) != 0)
		import = import->next;
	return import;
}

int hosts_observe(struct hosts *hosts, const struct observed *observed, uint64_t now_ms)
{
	for (size_t i = 0; i < observed->imports.count; i++) {
		const char *nqn = observed->imports.items[i].nqn;
		struct hosts_import *import = import_find(hosts, nqn);

		if (strstr(nqn, ":leg:") == NULL)
			continue;
		if (import == NULL) {
			import = calloc(1, sizeof(*import) + strlen(nqn) + 1);
			if (import == NULL)
				return -1;
			strcpy(import->nqn, nqn);
			/* Since the last look at the earliest; and this process may have begun after it. */
			import->since_ms = hosts->observed_ms;
			import->next = hosts->imports;
			hosts->imports = import;
		}
		import->seen = true;
	}
	imports_prune(hosts);
	hosts->observed_ms = now_ms;
	return 0;
}

bool hosts_may_have_left(const struct hosts *hosts, const char *nqn, uint64_t lost_ms, uint64_t now_ms)
{
	const struct hosts_import *import = import_find(hosts, nqn);

	if (import == NULL)
		return false;
	if (hosts->looked_ms == 0 || now_ms - hosts->looked_ms > HOSTS_UNSEEN_MS ||
	    now_ms - lost_ms >= HOSTS_PATIENCE_MS)
		return true;
	return hosts->left_ms >= import->since_ms && hosts->left_ms + HOSTS_NOTICE_MS >= lost_ms;
}
