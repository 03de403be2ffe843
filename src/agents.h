/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leader's side of the agents: their sessions, what they reported, whether they live, and what they are told.
 *
 * Everything here is derived and in memory; it begins when this server is ready to lead and ends with that.
 */
#ifndef DNVME_SRC_AGENTS_H
#define DNVME_SRC_AGENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/fsm.h"
#include "src/leader/health.h"
#include "src/leader/reported.h"
#include "src/list.h"
#include "src/table.h"

struct dnvmed;
struct request;
struct session;

/* A node as the leader sees it. */
struct agent {
	char name[LIMIT_NAME + 1];
	struct session *session; /* NULL while it is away */
	struct health_node health;
	uint64_t offline_since_ms; /* boot clock; while its health is offline */
	uint64_t rebuilds;	   /* under way where it holds the slot; counted by driver.c */
	struct reported reported;
	struct arena inventory_arena;
	struct inventory_disk_list inventory; /* as reported last; survives the session */
	uint8_t boot_id[16];		      /* of the agent that reported it */
	bool caches_told, caches_under_way;   /* caches.c: look at it, and a proposal is on its way */
	char address[LIMIT_ADDRESS + 1];
	uint64_t port, colour;
	/* What is to be pushed before the loop sleeps. */
	struct list dirty_link;
	bool push_whole, push_disks;
	struct table push_volumes;  /* "v1" -> any */
	struct table removed_disks; /* "d1" -> any */
};

struct agents {
	struct table nodes; /* name -> struct agent */
	struct list dirty;
	struct list beats;	 /* heartbeats that are answered behind what their agents are to be told */
	uint64_t push_budget_ns; /* for pushes in a turn of the loop */
	uint64_t stepped_ms;	 /* loop time of the last look at health */
	uint64_t looked_ms;	 /* the same on the boot clock */
	uint64_t awake_ms;	 /* boot clock: since when this server has not been held up */
};

/* NULL when memory is exhausted. agents_free() accepts NULL; agents_leader_end() must have run. */
struct agents *agents_make(void);
void agents_free(struct agents *agents);

/* This server is ready to lead: begin with every node of the state, health unknown. */
int agents_leader_begin(struct dnvmed *dnvmed, struct error *error);

/* It leads no more: close the sessions, forget everything. */
void agents_leader_end(struct dnvmed *dnvmed);

/* A node by name, NULL when it is unknown. */
struct agent *agents_get(const struct dnvmed *dnvmed, const char *name);

/* Milliseconds since the last heartbeat; 0 when there was none. */
uint64_t agents_age_ms(const struct agent *agent);

/* Handlers, behind a barrier. */
int agents_hello(struct request *request, struct error *error);
void agents_hello_committed(struct request *request, const struct outcome *outcome);
int agents_heartbeat(struct request *request, struct error *error);

/* A request of an agent arrived: it lives. */
void agents_heard(struct session *session);
void agents_report(struct session *session, const struct agent_report *report);
void agents_session_ended(struct session *session);

/* The state changed: remember whom to tell. */
void agents_change(struct dnvmed *dnvmed, const struct fsm_change *change);

/* A volume is gone: forget what was reported of it. */
void agents_volume_forget(struct dnvmed *dnvmed, uint64_t volume);

/* Health. */
void agents_tick(struct dnvmed *dnvmed);

/* Push what is to be pushed, and answer the heartbeats that wait for that. */
void agents_prepare(struct dnvmed *dnvmed);

#endif
