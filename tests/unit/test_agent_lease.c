/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lease in virtual time, and the claim of a node without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/lease.h"
#include "agent/lease_claim.h"
#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/unit/test_agent_rig.h"

/* --- virtual time --- */

#define START_MS 1000000
#define LEASE_MS 2000
#define BEAT_MS 250
#define CHECK_COST_MS 20
#define HOUR_MS 3600000
#define NEVER UINT64_MAX

/* A leader that answers heartbeats sent in [0, silent), each `answer_delay` after it was sent; a kernel whose members
 * are all there in [0, fenced) and from `back` on. Times count from the start. */
struct world {
	uint64_t silent, answer_delay, fenced, back;
	bool claims; /* there is a desired state to check against */
	uint64_t sleep_at, sleep_ms;
	struct lease lease;
	uint64_t boot_ms, kernel_ms; /* the kernel's timers stand still while the machine sleeps */
	uint64_t gate_until;	     /* on the kernel's timers; 0: shut */
	uint64_t checks, refreshes;
	uint64_t last_open;  /* boot clock since the start */
	uint64_t first_shut; /* NEVER: it was never found shut once it had been open */
	bool check_answer;
	uint64_t check_due;
	uint64_t beats;
};

static struct world world_make(void)
{
	struct world world = { .silent = NEVER, .fenced = NEVER, .back = NEVER, .claims = true, .sleep_at = NEVER };

	world.boot_ms = world.kernel_ms = START_MS;
	world.first_shut = world.check_due = NEVER;
	lease_init(&world.lease);
	lease_exposed(&world.lease, false);
	return world;
}

static bool members_are_there(const struct world *world, uint64_t at)
{
	return world->claims && (at < world->fenced || at >= world->back);
}

static void act(struct world *world)
{
	struct lease_step step = lease_step(&world->lease, world->boot_ms);

	assert_true(step.next_ms > world->boot_ms);
	assert_true(step.next_ms <= world->boot_ms + LIMIT_LEASE_CHECK_MS);
	assert_false(step.refresh && step.shut);
	if (step.refresh) {
		assert_true(step.until_ms > world->boot_ms);
		world->gate_until = world->kernel_ms + (step.until_ms - world->boot_ms);
		world->refreshes++;
	}
	if (step.shut)
		world->gate_until = 0;
	if (step.check) {
		assert_true(world->check_due == NEVER);
		world->checks++;
		world->check_answer = members_are_there(world, world->boot_ms - START_MS);
		world->check_due = world->boot_ms + CHECK_COST_MS;
	}
}

/* Millisecond by millisecond; the lease is stepped at every one, as more often than it asks for does no harm. */
static void run(struct world *world, uint64_t duration)
{
	struct pending {
		uint64_t due, sequence;
	} pending[64];
	size_t count = 0;

	if (world->beats == 0)
		lease_opened(&world->lease, BEAT_MS, LEASE_MS);
	for (uint64_t end = world->boot_ms + duration; world->boot_ms < end; world->boot_ms++, world->kernel_ms++) {
		uint64_t at = world->boot_ms - START_MS;

		if (at == world->sleep_at)
			world->boot_ms += world->sleep_ms;
		if (at % BEAT_MS == 0 && at != world->sleep_at) {
			lease_sent(&world->lease, ++world->beats, world->boot_ms);
			if (at < world->silent && count < 64)
				pending[count++] =
					(struct pending){ world->boot_ms + world->answer_delay, world->beats };
		}
		for (size_t i = count; i-- > 0;) {
			if (pending[i].due > world->boot_ms)
				continue;
			lease_answered(&world->lease, pending[i].sequence);
			pending[i] = pending[--count];
		}
		if (world->check_due <= world->boot_ms) {
			world->check_due = NEVER;
			lease_checked(&world->lease, world->check_answer);
		}
		act(world);
		at = world->boot_ms - START_MS;
		if (world->gate_until > world->kernel_ms)
			world->last_open = at;
		else if (world->refreshes > 0 && world->first_shut == NEVER)
			world->first_shut = at;
	}
}

static void test_renewed_for_an_hour(void **state)
{
	struct world world = world_make();

	(void)state;
	world.answer_delay = 30;
	run(&world, HOUR_MS);
	assert_int_equal(world.first_shut, NEVER);
	assert_int_equal(world.checks, 1); /* the first step, before anything was answered */
}

static void test_counts_from_sending(void **state)
{
	struct world world = world_make();

	(void)state;
	world.claims = false;
	world.answer_delay = 700;
	world.silent = 10001; /* the last heartbeat that is answered is sent at 10000 */
	run(&world, 20000);
	assert_int_equal(world.first_shut, 10000 + LEASE_MS);
	assert_int_equal(world.last_open, 10000 + LEASE_MS - 1);
}

static void test_late_answers_renew_nothing(void **state)
{
	struct world world = world_make();

	(void)state;
	world.claims = false;
	world.answer_delay = LEASE_MS;
	run(&world, 20000);
	assert_int_equal(world.refreshes, 0);
	world = world_make();
	world.claims = false;
	world.answer_delay = LEASE_MS - 1;
	run(&world, 20000);
	assert_true(world.refreshes > 0);
}

static void test_answers_out_of_order_and_unknown(void **state)
{
	struct lease lease;
	struct lease_step step;

	(void)state;
	lease_init(&lease);
	lease_exposed(&lease, false);
	lease_answered(&lease, 0);
	lease_answered(&lease, 7);
	assert_false(lease_is_valid(&lease, START_MS));
	lease_opened(&lease, BEAT_MS, LEASE_MS);
	lease_sent(&lease, 1, START_MS);
	lease_sent(&lease, 2, START_MS + 250);
	lease_answered(&lease, 2);
	step = lease_step(&lease, START_MS + 300);
	assert_true(step.refresh);
	assert_int_equal(step.until_ms, START_MS + 250 + LEASE_MS);
	lease_answered(&lease, 1);
	lease_answered(&lease, 2);
	assert_false(lease_step(&lease, START_MS + 310).refresh);
	/* Its place was taken by a later one. */
	for (uint64_t i = 3; i <= 2 + LEASE_SENT_MAX; i++)
		lease_sent(&lease, i, START_MS + 400);
	lease_answered(&lease, 2);
	assert_false(lease_step(&lease, START_MS + 420).refresh);
	/* An answer to what the next process of this node would have sent. */
	lease_answered(&lease, 3 + LEASE_SENT_MAX);
	assert_false(lease_step(&lease, START_MS + 430).refresh);
}

static void test_another_session_keeps_the_lease(void **state)
{
	struct lease lease;

	(void)state;
	lease_init(&lease);
	lease_exposed(&lease, false);
	lease_opened(&lease, BEAT_MS, LEASE_MS);
	lease_sent(&lease, 1, START_MS);
	lease_answered(&lease, 1);
	assert_true(lease_step(&lease, START_MS + 10).refresh);
	/* This leader gives shorter ones. What it gave before holds; what comes is as short as it says. */
	lease_opened(&lease, 50, 400);
	assert_true(lease_is_valid(&lease, START_MS + LEASE_MS - 1));
	lease_sent(&lease, 2, START_MS + 1000);
	lease_answered(&lease, 2);
	assert_false(lease_step(&lease, START_MS + 1010).refresh);
	assert_true(lease_is_valid(&lease, START_MS + LEASE_MS - 1));
	assert_false(lease_is_valid(&lease, START_MS + LEASE_MS));
}

static void test_members_there_without_a_leader(void **state)
{
	struct world world = world_make();

	(void)state;
	world.silent = 5000;
	run(&world, HOUR_MS);
	assert_int_equal(world.first_shut, NEVER);
	/* Not more often than said. */
	assert_true(world.checks <= HOUR_MS / LIMIT_LEASE_CHECK_MS);
	assert_true(world.checks >= (HOUR_MS - 6000) / (LIMIT_LEASE_CHECK_MS + CHECK_COST_MS));
}

static void test_nothing_known_and_no_leader(void **state)
{
	struct world world = world_make();

	(void)state;
	world.claims = false;
	world.silent = 0;
	run(&world, 60000);
	assert_int_equal(world.refreshes, 0);
	/* What the process before it left is not touched: a step to shut would have been one. */
	assert_int_equal(world.lease.gate_until_ms, 0);
}

/* Whenever the fence comes, without a leader or with one that fell silent, the bound holds. */
static void test_fence_shuts_in_time(void **state)
{
	(void)state;
	for (uint64_t silent = 4000; silent <= 5000; silent += 125) {
		for (uint64_t fenced = silent; fenced <= silent + 6000; fenced += 37) {
			struct world world = world_make();
			uint64_t lease_end = (silent - 1) / BEAT_MS * BEAT_MS + LEASE_MS, bound;

			world.silent = silent;
			world.answer_delay = 3;
			world.fenced = fenced;
			run(&world, 20000);
			bound = fenced + LEASE_CHECK_TAIL_MS > lease_end ? fenced + LEASE_CHECK_TAIL_MS : lease_end;
			assert_int_not_equal(world.first_shut, NEVER);
			assert_true(world.last_open < bound);
			assert_true(world.last_open < fenced + LEASE_MS + LIMIT_LEASE_CHECK_MS);
			/* And it serves as long as nobody else may. */
			assert_true(world.first_shut >= lease_end && world.first_shut >= fenced);
		}
	}
}

static void test_blink_of_a_path(void **state)
{
	struct world world = world_make();

	(void)state;
	world.silent = 4000;
	world.fenced = 10000;
	world.back = 10450;
	run(&world, 20000);
	assert_int_equal(world.first_shut, NEVER);
	world = world_make();
	world.silent = 4000;
	world.fenced = 10000;
	world.back = 13000;
	run(&world, 20000);
	assert_in_range(world.first_shut, 10000 + LEASE_CHECK_TAIL_MS - 300, 10000 + LEASE_CHECK_TAIL_MS);
	assert_int_equal(world.last_open, 20000 - 1); /* none of it was fenced: it serves again */
}

static void test_sleep_of_the_machine(void **state)
{
	struct world world = world_make();

	(void)state;
	world.claims = false;
	world.silent = 4000;
	world.sleep_at = 4500;
	world.sleep_ms = 60000;
	run(&world, 20000);
	/* The kernel would have kept it open for another second. */
	assert_true(world.last_open < 4500);
	/* Asleep for less than the lease: it goes on. */
	world = world_make();
	world.answer_delay = 3;
	world.sleep_at = 4501;
	world.sleep_ms = 900;
	run(&world, 20000);
	assert_int_equal(world.first_shut, NEVER);
}

static void test_failed_refresh_is_tried_again(void **state)
{
	struct lease lease;

	(void)state;
	lease_init(&lease);
	lease_exposed(&lease, false);
	lease_opened(&lease, BEAT_MS, LEASE_MS);
	lease_sent(&lease, 1, START_MS);
	lease_answered(&lease, 1);
	assert_true(lease_step(&lease, START_MS + 10).refresh);
	assert_false(lease_step(&lease, START_MS + 20).refresh);
	lease_gate_failed(&lease);
	assert_true(lease_step(&lease, START_MS + 30).refresh);
}

/* What is exported does not matter to a gate that is open, and one that is shut waits for it. */
static void test_exposed_keeps_a_shut_gate_shut(void **state)
{
	struct lease_step step;
	struct lease lease;

	(void)state;
	lease_init(&lease);
	lease_opened(&lease, BEAT_MS, LEASE_MS);
	lease_sent(&lease, 1, START_MS);
	lease_answered(&lease, 1);
	assert_false(lease_step(&lease, START_MS + 10).refresh);
	assert_true(lease_is_valid(&lease, START_MS + 10));
	assert_false(lease_is_open(&lease, START_MS + 10));
	lease_exposed(&lease, false);
	step = lease_step(&lease, START_MS + 20);
	assert_true(step.refresh && step.open);
	assert_int_equal(step.until_ms, START_MS + LEASE_MS);
	lease_exposed(&lease, true);
	lease_sent(&lease, 2, START_MS + BEAT_MS);
	lease_answered(&lease, 2);
	step = lease_step(&lease, START_MS + LEASE_MS - 10);
	/* Should the kernel know better, it stays shut. */
	assert_true(step.refresh && !step.open);
	assert_int_equal(step.until_ms, START_MS + BEAT_MS + LEASE_MS);
	/* It ran out: the next answer does not open it. */
	assert_true(lease_step(&lease, START_MS + BEAT_MS + LEASE_MS).shut);
	lease_sent(&lease, 3, START_MS + 2 * LEASE_MS);
	lease_answered(&lease, 3);
	assert_false(lease_step(&lease, START_MS + 2 * LEASE_MS + 10).refresh);
	/* The members that are all there do. */
	lease.checking = true;
	lease.check_began_ms = START_MS + 2 * LEASE_MS;
	lease_checked(&lease, true);
	step = lease_step(&lease, START_MS + 2 * LEASE_MS + 20);
	assert_true(step.refresh && step.open);
	assert_int_equal(step.until_ms, START_MS + 2 * LEASE_MS + LEASE_CHECK_TAIL_MS);
}

/* --- the claim --- */

struct claim_fixture {
	struct arena arena;
	struct rig_volume volume;
	struct desired desired;
	struct object_status_list statuses;
	struct lease_claim claim;
};

static void claim_setup(struct claim_fixture *f, unsigned number)
{
	memset(f, 0, sizeof(*f));
	f->volume = rig_volume_default();
	f->volume.legs_wanted = f->volume.top_wanted = true;
	f->desired = rig_desired_controller(&f->arena, &f->volume, number);
}

static const struct lease_claim *claim(struct claim_fixture *f)
{
	struct error error = { 0 };

	assert_int_equal(lease_claim_make(&f->desired, &f->statuses, &f->arena, &f->claim, &error), 0);
	return &f->claim;
}

static struct desired_member *member(struct claim_fixture *f, size_t leg, size_t copy)
{
	return &f->desired.volumes.items[0].legs.items[leg].groups.items[0].members.items[copy];
}

static void status_add(struct claim_fixture *f, const char *id, uint64_t revision, enum object_state state)
{
	*LIST_PUSH(&f->arena, &f->statuses) =
		(struct object_status){ .kind = OBJECT_KIND_VOLUME, .id = id, .revision = revision, .state = state };
}

static void test_claim_of_nothing(void **state)
{
	struct claim_fixture f;
	struct error error = { 0 };

	(void)state;
	claim_setup(&f, 1);
	assert_int_equal(lease_claim_make(NULL, &f.statuses, &f.arena, &f.claim, &error), 0);
	assert_non_null(f.claim.refusal);
	f.desired = rig_desired_nothing(&f.arena, "cn1");
	assert_string_equal(claim(&f)->refusal, "the node holds nothing");
	arena_free(&f.arena);
}

static void test_claim_of_a_holder(void **state)
{
	struct claim_fixture f;
	size_t local = 0, all;

	(void)state;
	claim_setup(&f, 1);
	for (size_t i = 0; i < f.desired.volumes.items[0].legs.count; i++)
		local += f.desired.volumes.items[0].legs.items[i].local;
	assert_true(local > 0 && local < f.desired.volumes.items[0].legs.count);
	assert_null(claim(&f)->refusal);
	/* Own legs only, each path once. */
	all = f.claim.paths.count;
	assert_true(all > 1 && all <= local * f.volume.copies);
	for (size_t i = 1; i < all; i++)
		assert_true(strcmp(f.claim.paths.items[i - 1].nqn, f.claim.paths.items[i].nqn) != 0);
	/* One that is stale has nothing to say. */
	for (size_t i = 0; i < local; i++) {
		if (strcmp(member(&f, i, 0)->nqn, f.claim.paths.items[0].nqn) == 0)
			member(&f, i, 0)->state = LD_STATE_STALE;
		if (strcmp(member(&f, i, 1)->nqn, f.claim.paths.items[0].nqn) == 0)
			member(&f, i, 1)->state = LD_STATE_STALE;
	}
	assert_int_equal(claim(&f)->paths.count, all - 1);
	arena_free(&f.arena);
}

static void test_claim_of_a_rebuild(void **state)
{
	struct claim_fixture f;
	const char *nqn;
	bool found = false;

	(void)state;
	claim_setup(&f, 1);
	nqn = member(&f, 0, 1)->nqn;
	for (size_t i = 0; i < f.desired.volumes.items[0].legs.count; i++) {
		for (size_t j = 0; j < 2 && f.desired.volumes.items[0].legs.items[i].local; j++) {
			if (strcmp(member(&f, i, j)->nqn, nqn) == 0)
				member(&f, i, j)->state = LD_STATE_REBUILDING;
		}
	}
	claim(&f);
	for (size_t i = 0; i < f.claim.paths.count; i++) {
		bool is_it = strcmp(f.claim.paths.items[i].nqn, nqn) == 0;

		found = found || is_it;
		assert_int_equal(f.claim.paths.items[i].may_lack, is_it);
	}
	assert_true(found);
	/* On the same import as one that is in sync: it may not lack. */
	member(&f, 0, 1)->nqn = member(&f, 0, 0)->nqn;
	member(&f, 0, 1)->address = member(&f, 0, 0)->address;
	member(&f, 0, 1)->port = member(&f, 0, 0)->port;
	claim(&f);
	for (size_t i = 0; i < f.claim.paths.count; i++) {
		if (strcmp(f.claim.paths.items[i].nqn, member(&f, 0, 0)->nqn) == 0)
			assert_false(f.claim.paths.items[i].may_lack);
	}
	arena_free(&f.arena);
}

static void test_claim_of_what_was_held_before(void **state)
{
	struct claim_fixture f;

	(void)state;
	claim_setup(&f, 1);
	*LIST_PUSH(&f.arena, &f.desired.removed) =
		(struct object_ref){ .kind = OBJECT_KIND_VOLUME, .id = "v2", .revision = 12 };
	assert_non_null(claim(&f)->refusal);
	status_add(&f, "v2", 11, OBJECT_STATE_ABSENT); /* of an earlier turn */
	assert_non_null(claim(&f)->refusal);
	f.statuses.items[0].revision = 12;
	assert_null(claim(&f)->refusal);
	f.statuses.items[0].state = OBJECT_STATE_PENDING;
	assert_non_null(claim(&f)->refusal);
	/* Exports of a Disk Node have another port. */
	f.desired.removed.items[0] =
		(struct object_ref){ .kind = OBJECT_KIND_EXPORT, .id = "d1.v2.s0", .revision = 12 };
	assert_null(claim(&f)->refusal);
	/* A slot that it shall begin anew: what it had must be gone first. */
	f.desired.volumes.items[0].legs_wanted = false;
	assert_non_null(claim(&f)->refusal);
	arena_free(&f.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renewed_for_an_hour),
		cmocka_unit_test(test_counts_from_sending),
		cmocka_unit_test(test_late_answers_renew_nothing),
		cmocka_unit_test(test_answers_out_of_order_and_unknown),
		cmocka_unit_test(test_another_session_keeps_the_lease),
		cmocka_unit_test(test_members_there_without_a_leader),
		cmocka_unit_test(test_nothing_known_and_no_leader),
		cmocka_unit_test(test_fence_shuts_in_time),
		cmocka_unit_test(test_blink_of_a_path),
		cmocka_unit_test(test_sleep_of_the_machine),
		cmocka_unit_test(test_failed_refresh_is_tried_again),
		cmocka_unit_test(test_exposed_keeps_a_shut_gate_shut),
		cmocka_unit_test(test_claim_of_nothing),
		cmocka_unit_test(test_claim_of_a_holder),
		cmocka_unit_test(test_claim_of_a_rebuild),
		cmocka_unit_test(test_claim_of_what_was_held_before),
	};

	log_open("test_agent_lease", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
