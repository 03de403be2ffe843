/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct reach_host **place_of(const struct reach *reach, const char *nqn)
{
	for (size_t i = 0; i < reach->count; i++) {
		if (strcmp(reach->hosts[i]->nqn, nqn) == 0)
			return &reach->hosts[i];
	}
	return NULL;
}

static const struct reach_node *node_of(const struct reach_host *host, const char *node)
{
	for (size_t i = 0; i < host->count; i++) {
		if (strcmp(host->nodes[i].node, node) == 0)
			return &host->nodes[i];
	}
	return NULL;
}

static uint64_t age_ms(uint64_t since_ms, uint64_t now_ms)
{
	return now_ms > since_ms ? now_ms - since_ms : 0;
}

enum reach_state reach_of(const struct reach_host *host, const char *name, uint64_t now_ms, uint64_t *ret_for_ms)
{
	const struct reach_node *node = node_of(host, name);

	if (node == NULL || age_ms(host->heard_ms, now_ms) > (node->live ? REACH_LIVE_MS : REACH_LOST_MS))
		return REACH_UNSAID;
	if (ret_for_ms != NULL)
		*ret_for_ms = age_ms(node->since_ms, now_ms);
	return node->live ? REACH_LIVE : REACH_LOST;
}

static void node_add(struct reach_host *host, const struct reach_host *before, const char *name, bool live,
		     uint64_t now_ms, bool *changed)
{
	struct reach_node *node = &host->nodes[host->count++];
	enum reach_state wanted = live ? REACH_LIVE : REACH_LOST;
	uint64_t for_ms = 0;

	if (before == NULL || reach_of(before, name, now_ms, &for_ms) != wanted) {
		*changed = true;
		for_ms = 0;
	}
	snprintf(node->node, sizeof(node->node), "%s", name);
	node->live = live;
	node->since_ms = now_ms - for_ms;
}

int reach_update(struct reach *reach, const char *host_nqn, const struct host_reach *said, uint64_t now_ms,
		 bool *ret_changed, struct error *error)
{
	struct reach_host **place = place_of(reach, host_nqn), **hosts, *host;
	const struct reach_host *before = place != NULL ? *place : NULL;
	bool changed = before == NULL || before->count != said->live.count + said->lost.count;

	if (place == NULL && reach->count >= LIMIT_HOSTS_PER_VOLUME)
		reach_sweep(reach, now_ms);
	if (place == NULL && reach->count >= LIMIT_HOSTS_PER_VOLUME)
		return error_set(error, ERROR_NO_CAPACITY, "more than %u hosts tell of volume v%llu",
				 LIMIT_HOSTS_PER_VOLUME, (unsigned long long)said->volume);
	host = calloc(1, sizeof(*host) + (said->live.count + said->lost.count) * sizeof(host->nodes[0]));
	if (host == NULL)
		return error_set_nomem(error);
	if (place == NULL) {
		hosts = realloc(reach->hosts, (reach->count + 1) * sizeof(*hosts));
		if (hosts == NULL) {
			free(host);
			return error_set_nomem(error);
		}
		reach->hosts = hosts;
		place = &hosts[reach->count++];
		*place = NULL;
	}
	snprintf(host->nqn, sizeof(host->nqn), "%s", host_nqn);
	host->heard_ms = now_ms;
	for (size_t i = 0; i < said->live.count; i++)
		node_add(host, before, said->live.items[i], true, now_ms, &changed);
	for (size_t i = 0; i < said->lost.count; i++)
		node_add(host, before, said->lost.items[i], false, now_ms, &changed);
	free(*place);
	*place = host;
	*ret_changed = changed;
	return 0;
}

void reach_sweep(struct reach *reach, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < reach->count; i++) {
		if (age_ms(reach->hosts[i]->heard_ms, now_ms) > REACH_LIVE_MS)
			free(reach->hosts[i]);
		else
			reach->hosts[kept++] = reach->hosts[i];
	}
	reach->count = kept;
}

void reach_clear(struct reach *reach)
{
	for (size_t i = 0; i < reach->count; i++)
		free(reach->hosts[i]);
	free(reach->hosts);
	*reach = (struct reach){ 0 };
}
