/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every allocation of a call fails once: a clean error, no leak, and the handle goes on working. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/dnvme.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_client_rig.h"

/* The server is another process, so that only the client's allocations are counted. */
static struct server_double server;
static pid_t server_pid;

static int server_start(void **state)
{
	static const enum double_step steps[] = { STEP_ANSWER };

	(void)state;
	double_listen(&server, steps, 1);
	server_pid = fork();
	if (server_pid == 0) {
		close(server.stop[1]);
		double_serve(&server);
		_exit(0);
	}
	close(server.stop[0]);
	return server_pid < 0;
}

static int server_stop(void **state)
{
	int status = 1;

	(void)state;
	close(server.stop[1]);
	close(server.listener);
	waitpid(server_pid, &status, 0);
	return status;
}

typedef int (*operation)(struct dnvme_error *error);

static int do_get(struct dnvme_error *error)
{
	struct dnvme_result *result = NULL;
	struct dnvme *dnvme = NULL;
	int rc = dnvme_open(server.address, &dnvme, error);

	if (rc == DNVME_OK)
		rc = dnvme_call(dnvme, "volume.get", "{\"name\":\"db1\"}", NULL, &result, error);
	if (rc == DNVME_OK && dnvme_result_json(result) == NULL) {
		error->code = DNVME_INTERNAL;
		rc = DNVME_INTERNAL;
	}
	dnvme_result_free(result);
	dnvme_close(dnvme);
	return rc;
}

static int do_create(struct dnvme_error *error)
{
	struct dnvme_volume_spec spec = DNVME_VOLUME_SPEC_INIT;
	struct dnvme *dnvme = NULL;
	int rc = dnvme_open(server.address, &dnvme, error);

	spec.name = "db1";
	spec.size_bytes = 1 << 30;
	if (rc == DNVME_OK)
		rc = dnvme_volume_create(dnvme, &spec, NULL, NULL, error);
	dnvme_close(dnvme);
	return rc;
}

static void fail_each(operation function)
{
	unsigned long n;
	bool failed = true;
	int rc = DNVME_OK;

	for (n = 1; failed && n < 10000; n++) {
		struct dnvme_error error = { 0 };

		failing_alloc_arm(n);
		rc = function(&error);
		failed = failing_alloc_disarm();
		/* Where memory for a buffer of the connection was missing, the call was simply sent again. */
		if (rc != DNVME_OK)
			assert_int_equal(rc, DNVME_INTERNAL);
		if (!failed)
			assert_int_equal(rc, DNVME_OK);
	}
	assert_int_equal(rc, DNVME_OK);
	assert_in_range(n, 5, 9999);
}

static void test_get(void **state)
{
	(void)state;
	fail_each(do_get);
}

static void test_create(void **state)
{
	(void)state;
	fail_each(do_create);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_create),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
