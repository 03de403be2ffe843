/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a host may have left while something waited for another slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/hosts.h"
#include "tests/unit/failing_alloc.h"

#define LEG "nqn.2026-11.io.dnvme:x:leg:v1.s1.a"
#define OTHER_LEG "nqn.2026-11.io.dnvme:x:leg:v2.s1.a"
#define DISK "nqn.2026-11.io.dnvme:x:dn:d1.v1.s0.e1"

struct seen {
	uint64_t connection;
	uint8_t host;
	uint64_t silent_ms;
	bool unanswered;
};

/* What is seen now, up to the first one without a number. */
static bool look(struct hosts *hosts, uint64_t now_ms, const struct seen *seen)
{
	struct peer_visit *visits = NULL;
	size_t count = 0;

	for (; seen[count].connection != 0; count++) {
		visits = realloc(visits, (count + 1) * sizeof(*visits));
		assert_non_null(visits);
		visits[count] = (struct peer_visit){ .connection = seen[count].connection,
						     .address = { 10, 0, 3, seen[count].host },
						     .silent_ms = seen[count].silent_ms,
						     .unanswered = seen[count].unanswered };
	}
	return hosts_look(hosts, visits, count, now_ms);
}

/* These are imported now; NULL: not that one. */
static void observe(struct hosts *hosts, uint64_t now_ms, const char *first, const char *second)
{
	struct observed_import imports[3] = { { .nqn = DISK } };
	struct observed observed = { .imports = { 1, imports } };

	if (first != NULL)
		imports[observed.imports.count++].nqn = first;
	if (second != NULL)
		imports[observed.imports.count++].nqn = second;
	assert_int_equal(hosts_observe(hosts, &observed, now_ms), 0);
}

/* Two hosts with two connections each, and a leg that was imported when nobody had left for long. */
static const struct seen all[] = {
	{ 7, 2, 0, false }, { 3, 1, 0, false }, { 9, 1, 500, false }, { 4, 2, 0, false }, { 0, 0, 0, false }
};

static struct hosts standing(void)
{
	struct hosts hosts = { 0 };

	observe(&hosts, 1000, NULL, NULL);
	assert_false(look(&hosts, 1000, all));
	observe(&hosts, 2000, LEG, NULL);
	for (uint64_t now_ms = 2000; now_ms <= 60000; now_ms += HOSTS_UNSEEN_MS)
		assert_false(look(&hosts, now_ms, all));
	assert_false(look(&hosts, 60000, all));
	assert_false(hosts_may_have_left(&hosts, LEG, 60000, 60000));
	return hosts;
}

static void test_who_leaves(void **state)
{
	static const struct {
		struct seen seen[6];
		bool left;
	} cases[] = {
		/* Each of the four connections is missed, be there others or not. */
		{ { { 7, 2, 0, false }, { 3, 1, 0, false }, { 9, 1, 0, false } }, true },
		{ { { 7, 2, 0, false }, { 3, 1, 0, false }, { 4, 2, 0, false } }, true },
		{ { { 7, 2, 0, false }, { 9, 1, 0, false }, { 4, 2, 0, false } }, true },
		{ { { 3, 1, 0, false }, { 9, 1, 0, false }, { 4, 2, 0, false } }, true },
		{ { { 0, 0, 0, false } }, true },
		{ { { 8, 2, 0, false }, { 3, 1, 0, false }, { 9, 1, 0, false }, { 4, 2, 0, false } }, true },
		{ { { 7, 2, 0, false }, { 3, 1, 0, false }, { 10, 1, 0, false }, { 4, 2, 0, false } }, true },
		/* Who comes does not leave. */
		{ { { 7, 2, 0, false },
		    { 3, 1, 0, false },
		    { 9, 1, 0, false },
		    { 4, 2, 0, false },
		    { 11, 1, 0, false } },
		  false },
		{ { { 7, 2, 0, false },
		    { 3, 1, 0, false },
		    { 9, 1, 0, false },
		    { 4, 2, 0, false },
		    { 1, 0, 0, false } },
		  false },
		{ { { 7, 2, 0, false },
		    { 3, 1, 0, false },
		    { 9, 1, 0, false },
		    { 4, 2, 0, false },
		    { 1, 9, 0, false } },
		  false },
		/* A connection may be idle, its host is not. */
		{ { { 7, 2, 0, false }, { 3, 1, 0, false }, { 9, 1, 60000, false }, { 4, 2, 60000, false } }, false },
		{ { { 7, 2, 0, false },
		    { 3, 1, HOSTS_SILENCE_MS - 1, false },
		    { 9, 1, 60000, false },
		    { 4, 2, 0, false } },
		  false },
		{ { { 7, 2, 0, false }, { 3, 1, HOSTS_SILENCE_MS, false }, { 9, 1, 60000, false }, { 4, 2, 0, false } },
		  true },
		/* What is sent does not arrive, on one connection. */
		{ { { 7, 2, 0, false }, { 3, 1, 0, true }, { 9, 1, 0, false }, { 4, 2, 0, false } }, true },
		{ { { 7, 2, 0, false },
		    { 3, 1, 0, false },
		    { 9, 1, 0, false },
		    { 4, 2, 0, false },
		    { 11, 1, 0, true } },
		  true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hosts hosts = standing();

		assert_int_equal(look(&hosts, 60500, cases[i].seen), cases[i].left);
		assert_int_equal(hosts_may_have_left(&hosts, LEG, 60500, 60500), cases[i].left);
		/* It leaves once. */
		assert_false(look(&hosts, 61000, cases[i].seen));
		assert_int_equal(hosts_may_have_left(&hosts, LEG, 61000, 61000), cases[i].left);
		hosts_free(&hosts);
	}
}

/* What waits may be older than the loss of the path was noticed, but not by more than that takes. */
static void test_when(void **state)
{
	static const struct seen three[] = {
		{ 7, 2, 0, false }, { 3, 1, 0, false }, { 9, 1, 0, false }, { 0, 0, 0, false }
	};
	struct hosts hosts = standing();

	(void)state;
	assert_true(look(&hosts, 60500, three));
	assert_false(look(&hosts, 63000, three));
	assert_false(look(&hosts, 66000, three));
	assert_false(look(&hosts, 69000, three));
	/* Lost before it, or behind it; not lost. */
	assert_true(hosts_may_have_left(&hosts, LEG, 55000, 69000));
	assert_true(hosts_may_have_left(&hosts, LEG, 60500 + HOSTS_NOTICE_MS, 69000));
	assert_false(hosts_may_have_left(&hosts, LEG, 60501 + HOSTS_NOTICE_MS, 69000));
	assert_false(hosts_may_have_left(&hosts, LEG, 69000, 69000));
	/* What was lost for long is old by itself. */
	assert_false(hosts_may_have_left(&hosts, LEG, 69000, 69000 + HOSTS_PATIENCE_MS - 1 - 18000));
	assert_false(look(&hosts, 72000, three));
	for (uint64_t now_ms = 75000; now_ms < 69000 + HOSTS_PATIENCE_MS; now_ms += 500)
		assert_false(look(&hosts, now_ms, three));
	assert_false(hosts_may_have_left(&hosts, LEG, 69000, 69000 + HOSTS_PATIENCE_MS - 1));
	assert_true(hosts_may_have_left(&hosts, LEG, 69000, 69000 + HOSTS_PATIENCE_MS));
	hosts_free(&hosts);
}

/* Nothing waits for what is not imported, and what was imported after a host had left has nothing of it. */
static void test_imports(void **state)
{
	static const struct seen nobody[] = { { 0, 0, 0, false } };
	struct hosts hosts = standing();

	(void)state;
	observe(&hosts, 60400, LEG, OTHER_LEG);
	assert_true(look(&hosts, 60500, nobody));
	assert_true(hosts_may_have_left(&hosts, OTHER_LEG, 60500, 60500));
	assert_false(hosts_may_have_left(&hosts, DISK, 60500, 60500));
	observe(&hosts, 60600, NULL, OTHER_LEG);
	assert_false(hosts_may_have_left(&hosts, LEG, 60600, 60600));
	observe(&hosts, 60700, LEG, OTHER_LEG);
	assert_false(hosts_may_have_left(&hosts, LEG, 60700, 60700));
	assert_true(hosts_may_have_left(&hosts, OTHER_LEG, 60700, 60700));
	hosts_free(&hosts);
}

/* Who did not look does not know: an agent that began anew, or one that could not. */
static void test_unknown(void **state)
{
	struct hosts hosts = { 0 };

	(void)state;
	observe(&hosts, 60000, LEG, NULL);
	assert_true(hosts_may_have_left(&hosts, LEG, 60000, 60000));
	assert_false(look(&hosts, 60100, all));
	assert_true(hosts_may_have_left(&hosts, LEG, 60100, 60100));
	assert_false(look(&hosts, 63000, all));
	assert_false(look(&hosts, 66000, all));
	assert_true(hosts_may_have_left(&hosts, LEG, 60100 + HOSTS_NOTICE_MS, 60100 + HOSTS_NOTICE_MS));
	assert_false(hosts_may_have_left(&hosts, LEG, 60101 + HOSTS_NOTICE_MS, 60101 + HOSTS_NOTICE_MS));
	hosts_free(&hosts);
	hosts = standing();
	assert_false(hosts_may_have_left(&hosts, LEG, 60000 + HOSTS_UNSEEN_MS, 60000 + HOSTS_UNSEEN_MS));
	assert_true(hosts_may_have_left(&hosts, LEG, 60001 + HOSTS_UNSEEN_MS, 60001 + HOSTS_UNSEEN_MS));
	assert_false(look(&hosts, 60001 + HOSTS_UNSEEN_MS, all));
	assert_true(hosts_may_have_left(&hosts, LEG, 60001 + HOSTS_UNSEEN_MS, 60001 + HOSTS_UNSEEN_MS));
	hosts_free(&hosts);
}

static void test_without_memory(void **state)
{
	struct observed_import import = { .nqn = LEG };
	struct observed observed = { .imports = { 1, &import } };
	struct hosts hosts = { 0 };
	int code;

	(void)state;
	failing_alloc_arm(1);
	code = hosts_observe(&hosts, &observed, 1000);
	assert_true(failing_alloc_disarm());
	assert_int_equal(code, -1);
	assert_int_equal(hosts_observe(&hosts, &observed, 2000), 0);
	assert_true(hosts_may_have_left(&hosts, LEG, 2000, 2000));
	hosts_free(&hosts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_leaves),     cmocka_unit_test(test_when),
		cmocka_unit_test(test_imports),	       cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
