/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/group.h"

static size_t voters(const struct group_view *view, bool alive_only)
{
	size_t count = 0;

	for (size_t i = 0; i < view->count; i++)
		count += view->servers[i].role == GROUP_VOTER && (view->servers[i].alive || !alive_only);
	return count;
}

static size_t wanted(const struct group_view *view)
{
	size_t count = 0;

	for (size_t i = 0; i < view->count; i++)
		count += view->servers[i].wanted;
	return count;
}

/* How many of so many servers vote. */
static size_t votes_of(size_t servers)
{
	if (servers >= GROUP_VOTERS_MAX)
		return GROUP_VOTERS_MAX;
	return servers % 2 == 0 && servers > 0 ? servers - 1 : servers;
}

static bool can_vote(const struct group_server *server)
{
	return server->wanted && server->role == GROUP_STANDBY && server->alive && server->caught_up;
}

bool group_without(const struct group_view *view, uint64_t id)
{
	size_t all = 0, well = 0;

	for (size_t i = 0; i < view->count; i++) {
		if (view->servers[i].role != GROUP_VOTER || view->servers[i].id == id)
			continue;
		all++;
		well += view->servers[i].alive;
	}
	return well > all / 2;
}

static struct group_step step_of(enum group_action action, uint64_t id)
{
	return (struct group_step){ .action = action, .id = id };
}

static struct group_step wait_for(enum group_why why, uint64_t id)
{
	return (struct group_step){ .action = GROUP_WAIT, .id = id, .why = why };
}

/* The first that could have a vote, if it may have one now. */
static const struct group_server *next_voter(const struct group_view *view)
{
	size_t all = voters(view, false), well = voters(view, true);

	for (size_t i = 0; i < view->count; i++) {
		if (can_vote(&view->servers[i]))
			return well + 1 > (all + 1) / 2 ? &view->servers[i] : NULL;
	}
	return NULL;
}

static struct group_step leave(const struct group_view *view, const struct group_server *server)
{
	const struct group_server *heir = next_voter(view);

	/* While it still votes its place can be taken without a moment of less. */
	if (server->role == GROUP_VOTER && server->alive && heir != NULL &&
	    voters(view, false) <= votes_of(wanted(view)))
		return step_of(GROUP_TO_VOTER, heir->id);
	if (server->id == view->leader) {
		for (size_t i = 0; i < view->count; i++) {
			const struct group_server *other = &view->servers[i];

			if (other->id != view->leader && other->wanted && other->role == GROUP_VOTER && other->alive &&
			    other->caught_up)
				return step_of(GROUP_TRANSFER, other->id);
		}
		return wait_for(GROUP_WHY_SUCCESSOR, server->id);
	}
	if (server->role == GROUP_VOTER && !group_without(view, server->id))
		return wait_for(GROUP_WHY_MAJORITY, server->id);
	return step_of(GROUP_REMOVE, server->id);
}

/* Votes that are missing, and who can have one. */
static struct group_step grow(const struct group_view *view)
{
	size_t all = voters(view, false), able = 0, most = votes_of(wanted(view));
	const struct group_server *heir = next_voter(view);

	for (size_t i = 0; i < view->count; i++)
		able += can_vote(&view->servers[i]);
	/* Two at a time, one after the other, so that they stay odd. */
	if (heir != NULL && (all % 2 == 0 ? all < most : all + 1 < most && able >= 2))
		return step_of(GROUP_TO_VOTER, heir->id);
	return step_of(GROUP_NOTHING, 0);
}

/* A vote that is of no use: of a dead server in whose place another one can vote, or one too many. */
static struct group_step shrink(const struct group_view *view)
{
	size_t all = voters(view, false), most = votes_of(wanted(view));
	const struct group_server *heir = next_voter(view), *victim = NULL;
	bool heir_is_there = heir != NULL;

	for (size_t i = 0; i < view->count; i++) {
		const struct group_server *server = &view->servers[i];

		if (server->role != GROUP_VOTER || server->id == view->leader)
			continue;
		if (server->dead ? heir_is_there || all > most
				 : all > most && all > 2 && (victim == NULL || !victim->dead))
			victim = server;
		if (victim != NULL && victim->dead)
			break;
	}
	if (victim == NULL || !group_without(view, victim->id))
		return step_of(GROUP_NOTHING, 0);
	return step_of(GROUP_TO_STANDBY, victim->id);
}

struct group_step group_step(const struct group_view *view)
{
	struct group_step step, waits = { .action = GROUP_NOTHING };

	if (view->changing)
		return wait_for(GROUP_WHY_CHANGING, 0);
	for (size_t i = 0; i < view->count; i++) {
		const struct group_server *server = &view->servers[i];

		if (server->wanted || server->role == GROUP_OUTSIDE)
			continue;
		step = leave(view, server);
		if (step.action != GROUP_WAIT)
			return step;
		waits = step;
	}
	for (size_t i = 0; i < view->count; i++) {
		const struct group_server *server = &view->servers[i];

		if (!server->wanted)
			continue;
		if (server->role == GROUP_OUTSIDE && server->told)
			return step_of(GROUP_ADD, server->id);
		if (server->role == GROUP_SPARE)
			return step_of(GROUP_TO_STANDBY, server->id);
	}
	if (waits.action == GROUP_WAIT)
		return waits;
	step = grow(view);
	if (step.action == GROUP_NOTHING)
		step = shrink(view);
	if (step.action != GROUP_NOTHING)
		return step;
	for (size_t i = 0; i < view->count; i++) {
		const struct group_server *server = &view->servers[i];

		if (server->wanted && server->role == GROUP_OUTSIDE)
			waits = wait_for(GROUP_WHY_TELL, server->id);
		if (server->wanted && server->role == GROUP_STANDBY && server->alive && !server->caught_up)
			waits = wait_for(GROUP_WHY_CATCH_UP, server->id);
	}
	return waits;
}
