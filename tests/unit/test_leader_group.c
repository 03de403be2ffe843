/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the Raft group becomes what is wanted, one step after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/leader/group.h"

#define SERVERS_MAX 9

struct group {
	struct group_server servers[SERVERS_MAX];
	size_t count;
	uint64_t leader;
};

static struct group_server *server_of(struct group *group, uint64_t id)
{
	for (size_t i = 0; i < group->count; i++) {
		if (group->servers[i].id == id)
			return &group->servers[i];
	}
	return NULL;
}

/* All are wanted, well, and vote. */
static void begin(struct group *group, size_t count)
{
	memset(group, 0, sizeof(*group));
	group->count = count;
	group->leader = 1;
	for (size_t i = 0; i < count; i++)
		group->servers[i] = (struct group_server){
			.id = i + 1, .wanted = true, .role = GROUP_VOTER, .told = true, .alive = true, .caught_up = true
		};
}

static struct group_server *join(struct group *group)
{
	struct group_server *server = &group->servers[group->count++];

	*server = (struct group_server){ .id = group->count, .wanted = true, .alive = true };
	return server;
}

static struct group_step next(const struct group *group)
{
	const struct group_view view = { .servers = group->servers, .count = group->count, .leader = group->leader };

	return group_step(&view);
}

static size_t votes(const struct group *group, bool alive_only)
{
	size_t count = 0;

	for (size_t i = 0; i < group->count; i++)
		count += group->servers[i].role == GROUP_VOTER && (group->servers[i].alive || !alive_only);
	return count;
}

/* Do what is said; false when nothing is. */
static bool go(struct group *group)
{
	struct group_step step;
	struct group_server *server;

	for (size_t i = 0; i < group->count; i++)
		group->servers[i].told |= group->servers[i].alive;
	step = next(group);
	server = server_of(group, step.id);
	switch (step.action) {
	case GROUP_NOTHING:
	case GROUP_WAIT:
		return false;
	case GROUP_ADD:
		assert_int_equal(server->role, GROUP_OUTSIDE);
		server->role = GROUP_SPARE;
		break;
	case GROUP_TO_STANDBY:
		assert_true(step.id != group->leader);
		server->role = GROUP_STANDBY;
		server->caught_up = server->alive;
		break;
	case GROUP_TO_VOTER:
		assert_true(server->role == GROUP_STANDBY && server->alive && server->caught_up);
		server->role = GROUP_VOTER;
		break;
	case GROUP_REMOVE:
		assert_true(step.id != group->leader);
		server->role = GROUP_OUTSIDE;
		break;
	case GROUP_TRANSFER:
		assert_true(server->role == GROUP_VOTER && server->alive);
		group->leader = step.id;
		break;
	}
	/* After each step those that are well can go on. */
	assert_true(votes(group, true) > votes(group, false) / 2);
	return true;
}

static void go_to_the_end(struct group *group)
{
	for (size_t steps = 0; go(group); steps++)
		assert_true(steps < 100);
}

static void test_growing(void **state)
{
	static const size_t votes_of[] = { 0, 1, 1, 3, 3, 5, 5, 5, 5, 5 };
	struct group group;

	(void)state;
	begin(&group, 1);
	assert_int_equal(next(&group).action, GROUP_NOTHING);
	while (group.count < SERVERS_MAX) {
		join(&group);
		assert_int_equal(next(&group).why, GROUP_WHY_TELL);
		go_to_the_end(&group);
		assert_int_equal(votes(&group, true), votes_of[group.count]);
	}
}

static void test_one_that_does_not_come(void **state)
{
	struct group group;
	struct group_server *server;

	(void)state;
	begin(&group, 3);
	server = join(&group);
	server->alive = false;
	assert_int_equal(next(&group).why, GROUP_WHY_TELL);
	/* Another one does not wait for it. */
	join(&group);
	go_to_the_end(&group);
	assert_int_equal(server_of(&group, 5)->role, GROUP_STANDBY);
	server->wanted = false;
	assert_int_equal(next(&group).action, GROUP_NOTHING);
	/* Told, and dead before it caught up: no vote. */
	server->wanted = server->told = true;
	go_to_the_end(&group);
	assert_int_equal(server->role, GROUP_STANDBY);
	assert_int_equal(votes(&group, false), 3);
	server->alive = true;
	assert_int_equal(next(&group).why, GROUP_WHY_CATCH_UP);
	server->caught_up = true;
	go_to_the_end(&group);
	assert_int_equal(votes(&group, true), 5);
}

static void test_leaving(void **state)
{
	struct group group;

	(void)state;
	/* The leader itself, with somebody who stands by. */
	begin(&group, 3);
	join(&group);
	go_to_the_end(&group);
	server_of(&group, 1)->wanted = false;
	assert_int_equal(next(&group).action, GROUP_TO_VOTER);
	go_to_the_end(&group);
	assert_true(group.leader != 1);
	assert_int_equal(server_of(&group, 1)->role, GROUP_OUTSIDE);
	assert_int_equal(votes(&group, true), 3);
	/* Down to two, which both keep their votes; to one. */
	server_of(&group, 4)->wanted = false;
	go_to_the_end(&group);
	assert_int_equal(votes(&group, true), 2);
	server_of(&group, group.leader)->wanted = false;
	go_to_the_end(&group);
	assert_int_equal(votes(&group, true), 1);
	/* Five, of which one goes: three votes. */
	begin(&group, 5);
	server_of(&group, 5)->wanted = false;
	go_to_the_end(&group);
	assert_int_equal(votes(&group, true), 3);
}

static void test_nobody_takes_over(void **state)
{
	struct group group;

	(void)state;
	begin(&group, 1);
	join(&group)->alive = false;
	group.servers[0].wanted = false;
	assert_int_equal(next(&group).why, GROUP_WHY_SUCCESSOR);
	group.servers[1].role = GROUP_STANDBY;
	assert_int_equal(next(&group).why, GROUP_WHY_SUCCESSOR);
	group.servers[1].alive = group.servers[1].caught_up = true;
	go_to_the_end(&group);
	assert_int_equal(group.leader, 2);
	assert_int_equal(votes(&group, false), 1);
}

static void test_majority(void **state)
{
	struct group group;

	(void)state;
	begin(&group, 3);
	server_of(&group, 3)->alive = false;
	server_of(&group, 2)->wanted = false;
	assert_int_equal(next(&group).action, GROUP_WAIT);
	assert_int_equal(next(&group).why, GROUP_WHY_MAJORITY);
	assert_int_equal(next(&group).id, 2);
	/* The dead one may go. */
	server_of(&group, 3)->wanted = false;
	server_of(&group, 2)->wanted = true;
	go_to_the_end(&group);
	assert_int_equal(votes(&group, false), 2);
	/* A change that is not committed: nothing else. */
	const struct group_view view = {
		.servers = group.servers, .count = group.count, .leader = 1, .changing = true
	};
	assert_int_equal(group_step(&view).why, GROUP_WHY_CHANGING);
}

static void test_dead_for_long(void **state)
{
	struct group group;
	struct group_server *server;

	(void)state;
	begin(&group, 3);
	server = server_of(&group, 3);
	server->alive = false;
	server->dead = true;
	/* Nobody could take its place. */
	assert_int_equal(next(&group).action, GROUP_NOTHING);
	server->dead = false;
	join(&group);
	go_to_the_end(&group);
	assert_int_equal(server->role, GROUP_VOTER);
	server->dead = true;
	go_to_the_end(&group);
	assert_int_equal(server->role, GROUP_STANDBY);
	assert_int_equal(votes(&group, true), 3);
	/* It comes back, and stands by. */
	server->alive = server->caught_up = true;
	server->dead = false;
	assert_int_equal(next(&group).action, GROUP_NOTHING);
}

/* Every mix of what can be: a step never takes the majority from those that are well, and it ends. */
static void test_every_mix(void **state)
{
	(void)state;
	for (unsigned mix = 0; mix < 1u << 16; mix++) {
		struct group group;
		unsigned bits = mix;

		begin(&group, 4);
		for (size_t i = 0; i < 4; i++, bits >>= 4) {
			struct group_server *server = &group.servers[i];

			server->role = bits & 3u;
			server->wanted = bits & 4u;
			server->alive = server->caught_up = server->id == 1 || (bits & 8u) != 0;
			server->dead = !server->alive;
			server->told = server->role != GROUP_OUTSIDE;
		}
		if (group.servers[0].role != GROUP_VOTER || votes(&group, true) <= votes(&group, false) / 2)
			continue;
		go_to_the_end(&group);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing),	  cmocka_unit_test(test_one_that_does_not_come),
		cmocka_unit_test(test_leaving),	  cmocka_unit_test(test_nobody_takes_over),
		cmocka_unit_test(test_majority),  cmocka_unit_test(test_dead_for_long),
		cmocka_unit_test(test_every_mix),
	};

	return cmocka_run_group_tests_name("leader_group", tests, NULL, NULL);
}
