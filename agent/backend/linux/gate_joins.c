/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/gate_joins.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/peer.h"

#define TABLE "inet dnvme"
#define GENERATION "set generation"
#define JOINED "set joined"
#define ELEMENTS "elements = {"
#define SYN "tcp flags & (fin | syn | rst | ack) == syn"
#define SIZE 65536 /* more than consumers of all volumes of a node */

static int family_rules_print(char n, const char *ip, struct buffer *commands)
{
	char pair[32], syn[96], refresh[96];

	snprintf(pair, sizeof(pair), "%s saddr . tcp dport", ip);
	snprintf(syn, sizeof(syn), SYN " %s dscp != %d", ip, PEER_TRY_DSCP);
	snprintf(refresh, sizeof(refresh), "update @joining%c { %s timeout %ums }", n, pair, GATE_JOINING_MS);
	if (buffer_printf(commands,
			  "add set " TABLE " consumer%c { type ipv%c_addr . inet_service ; flags timeout ; }\n"
			  "add set " TABLE " generation%c { type ipv%c_addr . inet_service ; }\n"
			  "add set " TABLE " joined%c { type ipv%c_addr . inet_service ; flags dynamic ; size %d ; }\n"
			  "add set " TABLE " joining%c { type ipv%c_addr . inet_service ; flags dynamic,timeout ; "
			  "size %d ; }\n",
			  n, n, n, n, n, n, SIZE, n, n, SIZE) != 0)
		return -1;
	return buffer_printf(commands,
			     "add chain " TABLE " once%c\nflush chain " TABLE " once%c\n"
			     "add chain " TABLE " joins%c\nflush chain " TABLE " joins%c\n"
			     "add rule " TABLE
			     " once%c %s @generation%c %s @joined%c %s != @joining%c reject with tcp reset\n"
			     "add rule " TABLE " joins%c %s add @joined%c { %s } %s return\n"
			     "add rule " TABLE " joins%c %s reject with tcp reset\n"
			     "add rule " TABLE " joins%c %s @consumer%c %s @joining%c %s\n",
			     n, n, n, n, n, pair, n, pair, n, pair, n, n, syn, n, pair, refresh, n, syn, n, pair, n,
			     pair, n, refresh);
}

int gate_joins_rules_print(struct buffer *commands)
{
	return family_rules_print('4', "ip", commands) != 0 ? -1 : family_rules_print('6', "ip6", commands);
}

static struct gate_join *join_find(const struct gate_joins *joins, const char *address, size_t length, uint64_t port)
{
	struct gate_join *join = joins->first;

	while (join != NULL &&
	       (join->port != port || strlen(join->address) != length || memcmp(join->address, address, length) != 0))
		join = join->next;
	return join;
}

static struct gate_join *join_get(struct gate_joins *joins, const char *address, size_t length, uint64_t port)
{
	struct gate_join *join = join_find(joins, address, length, port);

	if (join != NULL)
		return join;
	join = calloc(1, sizeof(*join) + length + 1);
	if (join == NULL)
		return NULL;
	memcpy(join->address, address, length);
	join->port = port;
	join->next = joins->first;
	joins->first = join;
	return join;
}

void gate_joins_free(struct gate_joins *joins)
{
	while (joins->first != NULL) {
		struct gate_join *join = joins->first;

		joins->first = join->next;
		free(join);
	}
}

/* `10.0.0.2 . 20001 comment "7.17"`, or without a comment. */
static int element_read(struct gate_joins *joins, const char *element, size_t length, bool is_joined)
{
	static const char dot[] = " . ", comment[] = " comment \"";
	size_t address = strcspn(element, " ");
	const char *said = memmem(element, length, comment, strlen(comment));
	struct gate_join *join;
	char *end;

	if (address + strlen(dot) >= length || strncmp(element + address, dot, strlen(dot)) != 0)
		return 0;
	join = join_get(joins, element, address, strtoull(element + address + strlen(dot), NULL, 10));
	if (join == NULL)
		return -1;
	if (is_joined) {
		join->joined = true;
	} else if (said != NULL && join->generation == 0) {
		join->volume = strtoull(said + strlen(comment), &end, 10);
		join->generation = *end == '.' ? strtoull(end + 1, NULL, 10) : 0;
	}
	return 0;
}

int gate_joins_read(struct gate_joins *joins, const char *listing)
{
	for (const char *at = strstr(listing, ELEMENTS); at != NULL; at = strstr(at, ELEMENTS)) {
		const char *name = NULL;
		bool is_joined;

		/* Of which set: the last one that was named before. */
		for (const char *set = strstr(listing, "set "); set != NULL && set < at; set = strstr(set + 1, "set "))
			name = set;
		is_joined = name != NULL && strncmp(name, JOINED, strlen(JOINED)) == 0;
		at += strlen(ELEMENTS);
		if (name == NULL || (!is_joined && strncmp(name, GENERATION, strlen(GENERATION)) != 0))
			continue;
		while (*at != '\0' && *at != '}') {
			size_t length;

			at += strspn(at, " \t\n,");
			length = strcspn(at, ",}");
			if (element_read(joins, at, length, is_joined) != 0)
				return -1;
			at += length;
		}
	}
	return 0;
}

static bool is_same(const struct gate_join *join, const struct kernel_peer *peer)
{
	return join != NULL && join->volume == peer->volume && join->generation == peer->generation;
}

static char family(const char *address)
{
	return strchr(address, ':') != NULL ? '6' : '4';
}

/* Added first, it is there to be deleted. */
static int delete_print(const char *set, const char *address, uint64_t port, struct buffer *commands)
{
	char f = family(address);

	return buffer_printf(commands,
			     "add element " TABLE " %s%c { %s . %" PRIu64 " }\n"
			     "delete element " TABLE " %s%c { %s . %" PRIu64 " }\n",
			     set, f, address, port, set, f, address, port);
}

static int peer_print(const struct gate_join *join, const struct kernel_peer *peer, struct buffer *commands)
{
	char f = family(peer->address);

	if (peer->generation == 0)
		return delete_print("generation", peer->address, peer->port, commands);
	if (!is_same(join, peer) && (delete_print("generation", peer->address, peer->port, commands) != 0 ||
				     delete_print("joined", peer->address, peer->port, commands) != 0 ||
				     delete_print("joining", peer->address, peer->port, commands) != 0))
		return -1;
	if (is_same(join, peer) && join->joined &&
	    buffer_printf(commands, "add element " TABLE " joined%c { %s . %" PRIu64 " }\n", f, peer->address,
			  peer->port) != 0)
		return -1;
	return buffer_printf(commands,
			     "add element " TABLE " generation%c { %s . %" PRIu64 " comment \"%" PRIu64 ".%" PRIu64
			     "\" }\n",
			     f, peer->address, peer->port, peer->volume, peer->generation);
}

int gate_joins_print(const struct gate_joins *joins, const struct kernel_peer_list *peers, struct buffer *commands)
{
	for (size_t i = 0; i < peers->count; i++) {
		const struct kernel_peer *peer = &peers->items[i];

		if (peer_print(join_find(joins, peer->address, strlen(peer->address), peer->port), peer, commands) != 0)
			return -1;
	}
	return 0;
}

int gate_joins_take(struct gate_joins *joins, const struct kernel_peer_list *peers)
{
	for (size_t i = 0; i < peers->count; i++) {
		const struct kernel_peer *peer = &peers->items[i];
		struct gate_join *join = join_get(joins, peer->address, strlen(peer->address), peer->port);

		if (join == NULL)
			return -1;
		join->joined = join->joined && is_same(join, peer);
		join->volume = peer->volume;
		join->generation = peer->generation;
	}
	return 0;
}

void gate_joins_tell(const struct gate_joins *joins, struct kernel_peer_list *peers)
{
	for (size_t i = 0; i < peers->count; i++) {
		struct kernel_peer *peer = &peers->items[i];
		const struct gate_join *join = join_find(joins, peer->address, strlen(peer->address), peer->port);

		peer->joined = peer->generation != 0 && is_same(join, peer) && join->joined;
	}
}

int gate_joins_leave_print(const struct gate_joins *joins, uint64_t port, struct buffer *commands)
{
	for (const struct gate_join *join = joins->first; join != NULL; join = join->next) {
		if (join->port == port && (delete_print("generation", join->address, port, commands) != 0 ||
					   delete_print("joined", join->address, port, commands) != 0))
			return -1;
	}
	return 0;
}

void gate_joins_leave(struct gate_joins *joins, uint64_t port)
{
	for (struct gate_join **at = &joins->first; *at != NULL;) {
		struct gate_join *join = *at;

		if (join->port != port) {
			at = &join->next;
			continue;
		}
		*at = join->next;
		free(join);
	}
}
