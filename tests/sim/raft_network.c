/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raft's messages. Those of one direction keep their order as on a connection. Those that meet a cut are lost with
 * their connection; or, as a run has it, they come when the cut is over: behind others that went by a new connection,
 * as what was given to a socket is sent also after that was closed. TCP makes no copies, and libraft sends what is lost
 * again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"
#include "tests/sim/raft_member.h"

static void *copy_of(const void *data, size_t size)
{
	void *copy = raft_malloc(size > 0 ? size : 1);

	if (copy == NULL)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

#define RETRANSMIT_US (200 * WORLD_MS)
#define HELD_MOST_US (10 * WORLD_SECOND)

struct message {
	struct raft_message message;
	struct entry *entries;
	size_t count;
	char sender[64];
	struct machine *from, *to;
	struct member *receiver;
	struct member *connected; /* to whom it was sent; NULL: nobody ran there */
	uint64_t boots;		  /* of the sender */
	uint64_t held_until;	  /* 0: it met no cut yet */
};

static void on_arrived(struct world_event *event);

/* Whether one that meets a cut is kept for a while. */
static bool is_held(struct message *message)
{
	static int late_per_mille = -1;

	if (late_per_mille < 0)
		late_per_mille = world_chance(500) ? 0 : world_chance(500) ? 100 : 800;
	if (message->held_until == 0)
		message->held_until =
			world_now +
			(world_chance((unsigned)late_per_mille) ? world_between(WORLD_SECOND / 2, HELD_MOST_US) : 0);
	return world_now < message->held_until && message->from->up && message->from->boots == message->boots;
}

/* All at the same moments, so that they keep their order. */
static void hold(struct message *message)
{
	world_after(RETRANSMIT_US - world_now % RETRANSMIT_US, NULL, on_arrived, message);
}

struct sent {
	struct member *member;
	struct raft_io_send *request;
	raft_io_send_cb callback;
};

static void sent_done(void *data)
{
	struct sent *sent = data;

	sent->callback(sent->request, 0);
	free(sent);
}

static void on_sent(struct world_event *event)
{
	struct sent *sent = event->data;

	loop_turn(sent->member->loop, sent_done, sent);
}

static void message_free(struct message *message)
{
	for (size_t i = 0; i < message->count; i++)
		free(message->entries[i].bytes);
	free(message->entries);
	free(message);
}

static void message_take(void *data)
{
	struct message *message = data;
	struct member *member = message->receiver;

	message->message.server_address = message->sender;
	if (message->message.type == RAFT_APPEND_ENTRIES)
		message->message.append_entries.entries = entries_load(message->entries, message->count);
	member->recv(member->io, &message->message);
	message_free(message);
}

static void message_drop(struct message *message)
{
	if (message->message.type == RAFT_INSTALL_SNAPSHOT) {
		raft_configuration_close(&message->message.install_snapshot.conf);
		raft_free(message->message.install_snapshot.data.base);
	}
	message_free(message);
}

static void on_taken(struct world_event *event)
{
	struct message *message = event->data;

	if (raft_members[message->to->index] != message->receiver || message->receiver->closing ||
	    message->receiver->recv == NULL) {
		message_drop(message);
		return;
	}
	loop_turn(message->receiver->loop, message_take, message);
}

static void on_arrived(struct world_event *event)
{
	struct message *message = event->data;

	message->receiver = raft_members[message->to->index];
	if (!machine_hears(message->from, message->to) && is_held(message)) {
		hold(message);
		return;
	}
	/* A process that ended has no connections any more. */
	if (!machine_hears(message->from, message->to) || message->receiver == NULL ||
	    (message->connected != NULL && message->connected != message->receiver)) {
		message_drop(message);
		return;
	}
	if (message->held_until != 0)
		world_trace("a message from %s to %s comes late", message->from->name, message->to->name);
	world_after(0, message->receiver->process, on_taken, message);
}

static struct machine *machine_of_address(const char *address)
{
	uint32_t ip = 0, part = 0;

	for (; *address != '\0' && *address != ':'; address++) {
		if (*address != '.') {
			part = part * 10 + (uint32_t)(*address - '0');
			continue;
		}
		ip = ip << 8 | part;
		part = 0;
	}
	return machine_by_ip(ip << 8 | part);
}

int raft_member_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
		     raft_io_send_cb callback)
{
	struct member *member = member_of(io);
	struct message *copy = calloc(1, sizeof(*copy));
	struct sent *sent = calloc(1, sizeof(*sent));
	uint64_t arrives;

	copy->message = *message;
	copy->message.server_id = member->id;
	snprintf(copy->sender, sizeof(copy->sender), "%s", member->address);
	copy->from = member->machine;
	copy->to = machine_of_address(message->server_address);
	if (message->type == RAFT_APPEND_ENTRIES) {
		copy->count = message->append_entries.n_entries;
		copy->entries = calloc(copy->count + 1, sizeof(*copy->entries));
		for (size_t i = 0; i < copy->count; i++)
			copy->entries[i] = entry_keep(&message->append_entries.entries[i]);
	} else if (message->type == RAFT_INSTALL_SNAPSHOT) {
		configuration_copy(&message->install_snapshot.conf, &copy->message.install_snapshot.conf);
		copy->message.install_snapshot.data.base =
			copy_of(message->install_snapshot.data.base, message->install_snapshot.data.len);
	}
	*sent = (struct sent){ member, request, callback };
	world_after(world_between(1, 20), member->process, on_sent, sent);
	copy->boots = copy->from->boots;
	copy->connected = copy->to != NULL ? raft_members[copy->to->index] : NULL;
	if (copy->to == NULL || (!machine_hears(copy->from, copy->to) && !is_held(copy))) {
		message_drop(copy);
		return 0;
	}
	if (copy->held_until != 0) {
		hold(copy);
		return 0;
	}
	arrives = world_now + net_delay(copy->from, copy->to);
	if (arrives < member->last_arrival[copy->to->index])
		arrives = member->last_arrival[copy->to->index];
	member->last_arrival[copy->to->index] = arrives;
	world_after(arrives - world_now, NULL, on_arrived, copy);
	return 0;
}
