/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libdnvme against servers that answer, break, lie and keep silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>

#include "client/dnvme.h"
#include "client/endpoint.h"
#include "lib/base/clock.h"
#include "tests/unit/test_client_rig.h"

#define STEPS(...)                                                                                                     \
	(const enum double_step[]){ __VA_ARGS__ },                                                                     \
		sizeof((const enum double_step[]){ __VA_ARGS__ }) / sizeof(enum double_step)

static struct dnvme *open_servers(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct dnvme *open_servers(const char *format, ...)
{
	struct dnvme_error error;
	struct dnvme *dnvme = NULL;
	char servers[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(servers, sizeof(servers), format, arguments);
	va_end(arguments);
	assert_int_equal(dnvme_open(servers, &dnvme, &error), DNVME_OK);
	return dnvme;
}

static void start(struct server_double *one, const enum double_step *steps, size_t count)
{
	double_listen(one, steps, count);
	double_start(one);
}

/* --- results --------------------------------------------------------------------------------------------- */

static void check_volume(const struct dnvme_volume *volume)
{
	assert_non_null(volume);
	assert_string_equal(volume->id, "v1");
	assert_string_equal(volume->name, "db1");
	assert_string_equal(volume->uuid, "01020304-0506-4708-890a-0b0c0d0e0f10");
	assert_string_equal(volume->phase, "online");
	assert_true(volume->size_bytes == UINT64_C(100) << 30);
	assert_int_equal(volume->host_count, 1);
	assert_int_equal(volume->controller_count, 3);
	assert_int_equal(volume->controllers[1]->epoch, 3);
	assert_int_equal(volume->controllers[2]->epoch, 0);
	assert_string_equal(volume->controllers[2]->role, "standby");
	assert_int_equal(volume->leg_count, 4);
	assert_int_equal(volume->legs[3]->slot, 1);
	assert_string_equal(volume->legs[3]->groups[0]->members[1]->id, "ld8");
	assert_string_equal(volume->legs[3]->groups[0]->members[1]->disk, "d1");
	assert_string_equal(volume->legs[3]->groups[0]->members[1]->state, "stale");
}

static void test_typed_calls(void **state)
{
	struct server_double one;
	struct dnvme_result *result = NULL;
	struct dnvme_error error;
	struct dnvme_volume_spec spec = DNVME_VOLUME_SPEC_INIT;
	struct dnvme_list_options list = DNVME_LIST_OPTIONS_INIT;
	struct dnvme_settings settings = DNVME_SETTINGS_INIT;
	struct dnvme_snapshot_spec snapshot = DNVME_SNAPSHOT_SPEC_INIT;
	struct dnvme_server_spec server = { 1, "10.0.0.9:4401", "10.0.0.9:4400" };
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_ANSWER));
	dnvme = open_servers("%s", one.address);

	assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, &result, &error), DNVME_OK);
	check_volume(dnvme_result_volume(result, 0));
	assert_null(dnvme_result_volume(result, 1));
	assert_null(dnvme_result_disk(result, 0));
	assert_int_equal(dnvme_result_volume(result, 0)->path_count, 3);
	assert_string_equal(dnvme_result_volume(result, 0)->problems[0]->id, "d3.v1.s1");
	assert_non_null(strstr(dnvme_result_json(result), "\"waits_for\":\"node dn3 to report\""));
	dnvme_result_free(result);

	list.after = "db0";
	assert_int_equal(dnvme_volume_list(dnvme, &list, NULL, &result, &error), DNVME_OK);
	check_volume(dnvme_result_volume(result, 0));
	assert_null(dnvme_result_volume(result, 0)->nqn);
	assert_true(dnvme_result_more(result));
	dnvme_result_free(result);

	spec.name = "db2";
	spec.size_bytes = 1 << 20;
	spec.spread = "rack";
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, &result, &error), DNVME_OK);
	assert_int_equal(dnvme_result_revision(result), 42);
	assert_string_equal(dnvme_result_id(result), "v7");
	dnvme_result_free(result);
	/* As a program from before the durability calls it; one of a later library is refused. */
	spec.durability = "moon";
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	spec.size = offsetof(struct dnvme_volume_spec, durability);
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, NULL, &error), DNVME_OK);
	spec.size = sizeof(spec) + 8;
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	spec.size = sizeof(spec);
	spec.durability = NULL;
	spec.spread = "moon";
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, &result, &error), DNVME_INVALID_ARGUMENT);
	spec.spread = NULL;
	spec.size_bytes = (UINT64_C(1) << 62) + 4096;
	assert_int_equal(dnvme_volume_create(dnvme, &spec, NULL, &result, &error), DNVME_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "size_bytes"));

	assert_int_equal(dnvme_disk_get(dnvme, "d3", NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_disk(result, 0)->id, "d3");
	assert_true(dnvme_result_disk(result, 0)->size_bytes == UINT64_C(16) << 40);
	dnvme_result_free(result);
	assert_int_equal(dnvme_disk_list(dnvme, NULL, NULL, &result, &error), DNVME_OK);
	assert_int_equal(dnvme_result_disk(result, 0)->extents_free, 1);
	assert_false(dnvme_result_more(result));
	dnvme_result_free(result);
	assert_int_equal(dnvme_node_get(dnvme, "dn1", NULL, &result, &error), DNVME_OK);
	assert_true(dnvme_result_node(result, 0)->cordoned);
	assert_string_equal(dnvme_result_node(result, 0)->health, "online");
	dnvme_result_free(result);
	assert_int_equal(dnvme_node_list(dnvme, NULL, NULL, &result, &error), DNVME_OK);
	assert_int_equal(dnvme_result_node(result, 0)->problem_count, 1);
	dnvme_result_free(result);
	assert_int_equal(dnvme_host_list(dnvme, NULL, NULL, &result, &error), DNVME_OK);
	assert_null(dnvme_result_host(result, 0));
	dnvme_result_free(result);
	assert_int_equal(dnvme_job_get(dnvme, "v1.ld2", NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_job(result, 0)->kind, "rebuild");
	assert_string_equal(dnvme_result_job(result, 0)->waits_for, "time");
	assert_null(dnvme_result_job(result, 1));
	dnvme_result_free(result);
	assert_int_equal(dnvme_job_list(dnvme, &list, NULL, &result, &error), DNVME_OK);
	assert_int_equal(dnvme_result_job(result, 0)->total_bytes, 4);
	assert_true(dnvme_result_more(result));
	dnvme_result_free(result);
	assert_int_equal(dnvme_job_get(dnvme, NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_job_wait(dnvme, "j7", 0, NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_job(result, 0)->state, "failed");
	assert_string_equal(dnvme_result_job(result, 0)->volume, "v1");
	assert_string_equal(dnvme_result_job(result, 0)->error_code, "DEADLINE_EXCEEDED");
	assert_int_equal(dnvme_result_job(result, 0)->finished_ms, 9);
	dnvme_result_free(result);
	assert_int_equal(dnvme_job_wait(dnvme, NULL, 0, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_job_cancel(dnvme, "j7", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_job_cancel(dnvme, NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_job_forget(dnvme, "j7", 3, NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_job_forget(dnvme, NULL, 0, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_volume_extend(dnvme, "db1", UINT64_C(1) << 30, 1000, NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_id(result), "v7");
	dnvme_result_free(result);
	assert_int_equal(dnvme_volume_extend(dnvme, "db1", 1, 0, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_volume_extend(dnvme, NULL, 1, 0, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	snapshot.name = "before";
	assert_int_equal(dnvme_snapshot_create(dnvme, "db1", &snapshot, NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_id(result), "v7");
	dnvme_result_free(result);
	assert_int_equal(dnvme_snapshot_create(dnvme, NULL, &snapshot, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	snapshot.name = NULL;
	assert_int_equal(dnvme_snapshot_create(dnvme, "db1", &snapshot, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	snapshot.size--;
	assert_int_equal(dnvme_snapshot_create(dnvme, "db1", &snapshot, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_snapshot_list(dnvme, "db1", NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_snapshot(result, 0)->state, "taken");
	assert_string_equal(dnvme_result_snapshot(result, 0)->volume, "db1");
	assert_null(dnvme_result_snapshot(result, 1));
	dnvme_result_free(result);
	assert_int_equal(dnvme_snapshot_list(dnvme, NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_snapshot_get(dnvme, "db1", "before", NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_snapshot(result, 0)->name, "before");
	assert_string_equal(dnvme_result_snapshot(result, 0)->job, "j9");
	assert_string_equal(dnvme_result_snapshot(result, 0)->waits_for, "time");
	dnvme_result_free(result);
	assert_int_equal(dnvme_snapshot_get(dnvme, "db1", NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_snapshot_delete(dnvme, "db1", "before", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_snapshot_delete(dnvme, NULL, "before", NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_server_info(dnvme, NULL, &result, &error), DNVME_OK);
	assert_string_equal(dnvme_result_server(result, 0)->role, "leader");
	dnvme_result_free(result);
	assert_int_equal(dnvme_cluster_status(dnvme, NULL, &result, &error), DNVME_OK);
	assert_int_equal(dnvme_result_cluster(result)->bytes_free, 25);
	assert_string_equal(dnvme_result_server(result, 0)->api_address, "10.0.0.9:4400");
	dnvme_result_free(result);

	assert_int_equal(dnvme_cluster_init(dnvme, "demo", &server, 1, NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_cluster_add_server(dnvme, "b", &server, NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_cluster_add_server(dnvme, "b", NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_cluster_add_server(dnvme, NULL, &server, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_cluster_remove_server(dnvme, "b", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_cluster_transfer(dnvme, "b", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_node_cordon(dnvme, "dn1", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_node_uncordon(dnvme, "dn1", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_node_drain(dnvme, "dn1", NULL, NULL, &error), DNVME_OK);
	settings.rebuild_after_ms = 1000;
	assert_int_equal(dnvme_cluster_set(dnvme, &settings, NULL, NULL, &error), DNVME_OK);
	settings.size--;
	assert_int_equal(dnvme_cluster_set(dnvme, &settings, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_node_forget(dnvme, "dn1", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_disk_add(dnvme, "dn1", "/dev/vdb", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_disk_remove(dnvme, "d1", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_volume_delete(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_volume_attach(dnvme, "db1", "nqn.2014-08.org:a", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_volume_detach(dnvme, "db1", "nqn.2014-08.org:a", NULL, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_node_get(dnvme, NULL, NULL, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_node_get(dnvme, "UPPER", NULL, NULL, &error), DNVME_INVALID_ARGUMENT);

	dnvme_close(dnvme);
	double_stop(&one);
	assert_string_equal(one.methods[0], "volume.get");
	assert_int_equal(one.request_id_sizes[0], 0);
	assert_string_equal(one.methods[2], "volume.create");
	assert_int_equal(one.request_id_sizes[2], 16);
	assert_string_equal(one.methods[one.request_count - 1], "volume.detach");
	/* Each change has an id of its own. */
	assert_memory_not_equal(one.request_ids[one.request_count - 1], one.request_ids[one.request_count - 2], 16);
}

static void test_generic_call(void **state)
{
	static const struct {
		const char *method, *params, *why;
		int code;
	} bad[] = {
		{ "volume.fly", NULL, "there is no method \"volume.fly\"", DNVME_INVALID_ARGUMENT },
		{ NULL, NULL, "there is no method", DNVME_INVALID_ARGUMENT },
		{ "agent.hello", NULL, "for agents only", DNVME_UNSUPPORTED },
		{ "volume.get", NULL, "name", DNVME_INVALID_ARGUMENT },
		{ "volume.get", "{", "params is not JSON", DNVME_INVALID_ARGUMENT },
		{ "volume.get", "[]", "not an object", DNVME_INVALID_ARGUMENT },
		{ "volume.get", "{\"name\":\"a\"} x", "params is not JSON", DNVME_INVALID_ARGUMENT },
		{ "volume.get", "{\"nam\":\"a\"}", "volume.get has no parameter \"nam\"", DNVME_INVALID_ARGUMENT },
		{ "volume.get", "{\"name\":7}", "name", DNVME_INVALID_ARGUMENT },
		{ "volume.delete", "{\"name\":\"a\",\"request_id\":\"x\"}", "in the options", DNVME_INVALID_ARGUMENT },
		{ "volume.create", "{\"name\":\"a\",\"size_bytes\":-1}", "size_bytes", DNVME_INVALID_ARGUMENT },
		{ "volume.create", "{\"name\":\"a\",\"size_bytes\":1.5}", "size_bytes", DNVME_INVALID_ARGUMENT },
	};
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	uint8_t id[DNVME_REQUEST_ID_SIZE] = "my request id 1";
	struct dnvme_result *result = NULL;
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;
	size_t size = 0;

	(void)state;
	start(&one, STEPS(STEP_ANSWER));
	dnvme = open_servers("%s", one.address);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(dnvme_call(dnvme, bad[i].method, bad[i].params, NULL, &result, &error), bad[i].code);
		assert_int_equal(error.code, bad[i].code);
		if (strstr(error.message, bad[i].why) == NULL)
			fail_msg("%s %s gives \"%s\"", bad[i].method, bad[i].params, error.message);
		assert_null(result);
	}
	options.size = 1;
	assert_int_equal(dnvme_call(dnvme, "volume.list", NULL, &options, &result, &error), DNVME_INVALID_ARGUMENT);
	options.size = sizeof(options);
	options.request_id = id;
	assert_int_equal(dnvme_call(dnvme, "volume.create", "{\"name\":\"a\",\"size_bytes\":4611686018427387904}",
				    &options, &result, &error),
			 DNVME_OK);
	assert_string_equal(dnvme_result_json(result), "{\"revision\":42,\"id\":\"v7\"}");
	assert_non_null(dnvme_result_msgpack(result, &size));
	assert_true(size > 10);
	dnvme_close(dnvme);
	/* A result outlives its handle. */
	assert_string_equal(dnvme_result_id(result), "v7");
	dnvme_result_free(result);
	double_stop(&one);
	assert_int_equal(one.request_count, 1);
	assert_memory_equal(one.request_ids[0], id, sizeof(id));
}

/* --- failures -------------------------------------------------------------------------------------------- */

static void test_error_answer(void **state)
{
	struct dnvme_result *result = NULL;
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_NOT_FOUND, STEP_ANSWER));
	dnvme = open_servers("%s", one.address);
	assert_int_equal(dnvme_volume_get(dnvme, "db9", NULL, &result, &error), DNVME_NOT_FOUND);
	assert_int_equal(error.code, DNVME_NOT_FOUND);
	assert_string_equal(error.message, "there is no volume \"db9\"");
	assert_string_equal(error.hint, "dnvme volume list");
	assert_string_equal(error.details, "line one\nline two");
	assert_null(result);
	/* A refusal is no reason to ask again, nor to close the connection. */
	assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, NULL), DNVME_OK);
	dnvme_close(dnvme);
	double_stop(&one);
	assert_int_equal(one.request_count, 2);
}

/* Each first answer is broken in its own way; the call is sent again and succeeds, under the same request id. */
static void test_retry_same_id(void **state)
{
	static const enum double_step breaks[] = { STEP_CLOSE, STEP_HALF_CLOSE, STEP_UNAVAILABLE };

	(void)state;
	for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		enum double_step first[] = { breaks[i] };
		struct server_double one, two;
		struct dnvme_error error;
		struct dnvme *dnvme;

		start(&one, first, 1);
		start(&two, STEPS(STEP_BYTEWISE));
		dnvme = open_servers("%s,%s", one.address, two.address);
		assert_int_equal(dnvme_volume_delete(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
		/* The server that answered is asked first from now on. */
		assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
		dnvme_close(dnvme);
		double_stop(&one);
		double_stop(&two);
		assert_int_equal(one.request_count, 1);
		assert_int_equal(two.request_count, 2);
		assert_int_equal(one.request_id_sizes[0], 16);
		assert_memory_equal(one.request_ids[0], two.request_ids[0], 16);
		/* Who refuses it now has to keep the first attempt from taking effect later. */
		assert_false(one.again[0]);
		assert_true(two.again[0]);
	}
}

/* Who refuses a change cannot speak for an attempt before: that may still be read somewhere. */
static void test_refused_later(void **state)
{
	static const struct {
		enum double_step first;
		bool doubtful;
	} cases[] = { { STEP_CLOSE, true }, { STEP_SILENT, true }, { STEP_NOT_FOUND, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
		enum double_step first[] = { cases[i].first };
		struct server_double one, two;
		struct dnvme_error error;
		struct dnvme *dnvme;

		options.timeout_ms = 4000;
		start(&one, first, 1);
		start(&two, STEPS(STEP_NOT_FOUND, STEP_NOT_FOUND));
		dnvme = open_servers("%s,%s", one.address, two.address);
		assert_int_equal(dnvme_volume_delete(dnvme, "db1", &options, NULL, &error), DNVME_NOT_FOUND);
		assert_int_equal(strstr(error.details, "outcome=unknown") != NULL, cases[i].doubtful);
		assert_non_null(strstr(error.details, "line one\nline two"));
		/* What is only read changes nothing, however often it is asked. */
		if (cases[i].doubtful)
			assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), DNVME_NOT_FOUND);
		assert_null(cases[i].doubtful ? strstr(error.details, "outcome=") : NULL);
		dnvme_close(dnvme);
		double_stop(&one);
		double_stop(&two);
	}
}

static void test_retry_same_server(void **state)
{
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_UNAVAILABLE, STEP_CLOSE, STEP_HALF_CLOSE, STEP_UNAVAILABLE, STEP_ANSWER));
	dnvme = open_servers("%s", one.address);
	assert_int_equal(dnvme_volume_delete(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
	dnvme_close(dnvme);
	double_stop(&one);
	assert_int_equal(one.request_count, 5);
	for (size_t i = 1; i < 5; i++)
		assert_memory_equal(one.request_ids[i], one.request_ids[0], 16);
}

static void test_deadline(void **state)
{
	static const struct {
		enum double_step step;
		int code;
		const char *why;
	} cases[] = {
		{ STEP_SILENT, DNVME_DEADLINE_EXCEEDED, "no answer to volume.delete from server 127.0.0.1:" },
		{ STEP_HALF_SILENT, DNVME_DEADLINE_EXCEEDED, "within 300 ms" },
		{ STEP_UNAVAILABLE, DNVME_UNAVAILABLE, "there is no leader" },
		{ STEP_CLOSE, DNVME_UNAVAILABLE, "the server closed the connection" },
		{ STEP_HALF_CLOSE, DNVME_UNAVAILABLE, "in the middle of an answer" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
		struct server_double one;
		struct dnvme_error error;
		struct dnvme *dnvme;
		uint64_t begun_ms;

		start(&one, &cases[i].step, 1);
		dnvme = open_servers("%s", one.address);
		options.timeout_ms = 300;
		begun_ms = clock_boot_ms();
		assert_int_equal(dnvme_volume_delete(dnvme, "db1", &options, NULL, &error), cases[i].code);
		assert_in_range(clock_boot_ms() - begun_ms, 290, 5000);
		if (strstr(error.message, cases[i].why) == NULL)
			fail_msg("case %zu gives \"%s\"", i, error.message);
		if (cases[i].code == DNVME_DEADLINE_EXCEEDED)
			assert_string_equal(error.hint, "the change may have happened or still happen");
		dnvme_close(dnvme);
		double_stop(&one);
	}
}

/* A server that is paused must not cost the whole deadline when there is another. */
static void test_silent_server_is_left(void **state)
{
	struct server_double one, two;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_SILENT));
	start(&two, STEPS(STEP_ANSWER));
	dnvme = open_servers("%s,%s", one.address, two.address);
	assert_int_equal(dnvme_set_timeout_ms(dnvme, 6000, &error), DNVME_OK);
	assert_int_equal(dnvme_volume_delete(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
	dnvme_close(dnvme);
	double_stop(&one);
	double_stop(&two);
	assert_memory_equal(one.request_ids[0], two.request_ids[0], 16);
}

/* A server that was asked to wait is silent for so long by right; the deadline begins behind that. */
static void test_waiting_is_not_silence(void **state)
{
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	struct server_double one, two;
	struct dnvme_error error;
	struct dnvme *dnvme;
	uint64_t begin_ms, took_ms;

	(void)state;
	start(&one, STEPS(STEP_SILENT));
	start(&two, STEPS(STEP_ANSWER));
	dnvme = open_servers("%s,%s", one.address, two.address);
	options.timeout_ms = 2000; /* half of it for each server */
	begin_ms = clock_boot_ms();
	assert_int_equal(dnvme_volume_wait(dnvme, "db1", 17, 700, &options, NULL, &error), DNVME_OK);
	took_ms = clock_boot_ms() - begin_ms;
	assert_true(took_ms >= 1700);
	assert_int_equal(dnvme_volume_wait(dnvme, NULL, 17, 700, &options, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_volume_wait(dnvme, "db1", 17, 15001, &options, NULL, &error), DNVME_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "wait_ms"));
	dnvme_close(dnvme);
	double_stop(&one);
	double_stop(&two);
	assert_int_equal(one.request_count, 1);
	assert_int_equal(two.request_count, 1);
}

/* Another protocol, garbage, frames beyond every limit: a precise error at once, not after the deadline. */
static void test_other_protocols(void **state)
{
	static const struct {
		enum double_step step;
		int code;
		const char *why;
	} cases[] = {
		{ STEP_GARBAGE, DNVME_INVALID_ARGUMENT, "does not answer in dnvme's protocol" },
		{ STEP_HTTP, DNVME_INVALID_ARGUMENT, "does not answer in dnvme's protocol" },
		{ STEP_OVERSIZE, DNVME_TOO_LARGE, "does not answer in dnvme's protocol" },
		{ STEP_WRONG, DNVME_INTERNAL, "the answer to volume.get is not understood: " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server_double one;
		struct dnvme_error error;
		struct dnvme *dnvme;
		uint64_t begun_ms = clock_boot_ms();

		start(&one, &cases[i].step, 1);
		dnvme = open_servers("%s", one.address);
		assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), cases[i].code);
		assert_true(clock_boot_ms() - begun_ms < 10000);
		if (strstr(error.message, cases[i].why) == NULL)
			fail_msg("case %zu gives \"%s\"", i, error.message);
		assert_true(error.hint[0] != '\0');
		dnvme_close(dnvme);
		double_stop(&one);
	}
}

/* A listener that nobody serves, and an address where nobody listens. */
static void test_unreachable(void **state)
{
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;
	char refused[64];

	(void)state;
	double_listen(&one, STEPS(STEP_ANSWER));
	double_start(&one);
	snprintf(refused, sizeof(refused), "%s", one.address);
	double_stop(&one);
	dnvme = open_servers("%s", refused);
	dnvme_set_connect_timeout_ms(dnvme, 0);
	assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), DNVME_UNAVAILABLE);
	assert_non_null(strstr(error.message, "cannot reach server 127.0.0.1:"));
	assert_non_null(strstr(error.message, "Connection refused"));
	dnvme_close(dnvme);

	start(&one, STEPS(STEP_ANSWER));
	dnvme = open_servers("%s,unix:/nonexistent/socket,%s", refused, one.address);
	assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), DNVME_OK);
	dnvme_close(dnvme);
	double_stop(&one);

	dnvme = open_servers("%s,unix:/nonexistent/socket", refused);
	dnvme_set_connect_timeout_ms(dnvme, 100);
	assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &error), DNVME_UNAVAILABLE);
	assert_string_equal(error.message, "cannot reach any of 2 servers");
	assert_non_null(strstr(error.details, "unix:/nonexistent/socket: No such file or directory"));
	dnvme_close(dnvme);
}

/* --- without waiting ------------------------------------------------------------------------------------- */

struct seen {
	size_t done, good;
	int last_code;
	struct dnvme_pending *victim;
	bool again, nested;
};

static void note(struct dnvme *dnvme, const struct dnvme_error *error, struct dnvme_result *result, void *data)
{
	struct seen *seen = data;
	struct dnvme_error failure;

	seen->done++;
	seen->good += error == NULL && result != NULL;
	seen->last_code = error != NULL ? (int)error->code : DNVME_OK;
	dnvme_result_free(result);
	if (seen->victim != NULL) {
		dnvme_cancel(dnvme, seen->victim);
		seen->victim = NULL;
	}
	if (seen->nested) {
		seen->nested = false;
		assert_int_equal(dnvme_volume_get(dnvme, "db1", NULL, NULL, &failure), DNVME_FAILED_PRECONDITION);
	}
	if (seen->again) {
		seen->again = false;
		assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, seen, NULL, &failure), DNVME_OK);
	}
}

static void loop(struct dnvme *dnvme)
{
	while (dnvme_pending_count(dnvme) > 0) {
		struct pollfd wanted = { .fd = dnvme_poll_fd(dnvme), .events = dnvme_poll_events(dnvme) };

		poll(&wanted, 1, dnvme_poll_timeout_ms(dnvme));
		dnvme_process(dnvme);
	}
}

static void test_many_at_once(void **state)
{
	struct seen seen = { 0 };
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_ANSWER, STEP_CLOSE, STEP_ANSWER));
	dnvme = open_servers("%s", one.address);
	assert_int_equal(dnvme_poll_timeout_ms(dnvme), -1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(
			dnvme_start(dnvme, "volume.get", "{\"name\":\"db1\"}", NULL, note, &seen, NULL, &error),
			DNVME_OK);
	assert_int_equal(dnvme_pending_count(dnvme), 20);
	assert_int_equal(dnvme_poll_timeout_ms(dnvme), 0);
	loop(dnvme);
	assert_int_equal(seen.done, 20);
	assert_int_equal(seen.good, 20);
	assert_int_equal(dnvme_poll_timeout_ms(dnvme), -1);
	dnvme_close(dnvme);
	double_stop(&one);
}

static void test_callbacks(void **state)
{
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	struct seen seen = { .again = true, .nested = true }, never = { 0 }, late = { 0 };
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	start(&one, STEPS(STEP_ANSWER, STEP_SILENT, STEP_ANSWER, STEP_SILENT));
	dnvme = open_servers("%s", one.address);
	assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, &seen, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, &never, &seen.victim, &error), DNVME_OK);
	loop(dnvme);
	assert_int_equal(seen.done, 2);
	assert_int_equal(never.done, 0);

	options.timeout_ms = 100;
	assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, &options, note, &late, NULL, &error), DNVME_OK);
	loop(dnvme);
	assert_int_equal(late.last_code, DNVME_DEADLINE_EXCEEDED);
	/* What is under way when the handle is closed is forgotten without a call back. */
	assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, &never, NULL, &error), DNVME_OK);
	dnvme_process(dnvme);
	dnvme_close(dnvme);
	assert_int_equal(never.done, 0);
	double_stop(&one);
}

static void test_limit(void **state)
{
	struct seen seen = { 0 };
	struct server_double one;
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)state;
	double_listen(&one, STEPS(STEP_SILENT));
	double_start(&one);
	dnvme = open_servers("%s", one.address);
	for (int i = 0; i < 1024; i++)
		assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, &seen, NULL, &error), DNVME_OK);
	assert_int_equal(dnvme_start(dnvme, "volume.list", NULL, NULL, note, &seen, NULL, &error), DNVME_TOO_LARGE);
	assert_string_equal(error.message, "1024 calls are already under way");
	dnvme_close(dnvme);
	double_stop(&one);
	assert_int_equal(seen.done, 0);
}

static void test_small_things(void **state)
{
	struct dnvme_error error;
	struct dnvme *dnvme = NULL;

	(void)state;
	assert_string_equal(dnvme_version(), DNVME_VERSION);
	assert_string_equal(dnvme_code_name(DNVME_NO_CAPACITY), "NO_CAPACITY");
	assert_string_equal(dnvme_code_name((enum dnvme_code)99), "INTERNAL");
	assert_int_equal(dnvme_open("a:b", &dnvme, &error), DNVME_INVALID_ARGUMENT);
	assert_int_equal(dnvme_open(NULL, &dnvme, NULL), DNVME_INVALID_ARGUMENT);
	assert_null(dnvme);
	dnvme = open_servers("127.0.0.1:1");
	assert_int_equal(dnvme_set_timeout_ms(dnvme, 0, &error), DNVME_INVALID_ARGUMENT);
	dnvme_cancel(dnvme, NULL);
	dnvme_close(dnvme);
	dnvme_close(NULL);
	dnvme_result_free(NULL);
}

static void test_servers_that_are_learned(void **state)
{
	struct endpoint *endpoints;
	struct error error;
	char text[32];
	size_t count;

	(void)state;
	assert_int_equal(
		endpoint_list_parse("127.0.0.1:4400,[::1]:4400,unix:/run/dnvmed.sock", &endpoints, &count, &error), 0);
	assert_false(endpoint_list_add(endpoints, &count, "127.0.0.1:4400"));
	assert_true(endpoint_list_add(endpoints, &count, "127.0.0.1:4401"));
	assert_false(endpoint_list_add(endpoints, &count, "127.0.0.1:4401"));
	/* Nothing is looked up, whatever a server says. */
	assert_false(endpoint_list_add(endpoints, &count, "localhost:4402"));
	assert_false(endpoint_list_add(endpoints, &count, "127.0.0.1"));
	assert_false(endpoint_list_add(endpoints, &count, "127.0.0.1:0"));
	assert_false(endpoint_list_add(endpoints, &count, "127.0.0.1:99999"));
	assert_false(endpoint_list_add(endpoints, &count, "1234567890.1234567890:1"));
	assert_false(endpoint_list_add(endpoints, &count, ""));
	assert_int_equal(count, 4);
	assert_string_equal(endpoints[3].name, "127.0.0.1:4401");
	for (unsigned i = 0; count < LIMIT_SERVERS; i++) {
		snprintf(text, sizeof(text), "10.0.0.%u:4400", i);
		assert_true(endpoint_list_add(endpoints, &count, text));
	}
	assert_false(endpoint_list_add(endpoints, &count, "10.0.1.1:4400"));
	assert_int_equal(count, LIMIT_SERVERS);
	free(endpoints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_typed_calls),
		cmocka_unit_test(test_generic_call),
		cmocka_unit_test(test_error_answer),
		cmocka_unit_test(test_retry_same_id),
		cmocka_unit_test(test_refused_later),
		cmocka_unit_test(test_retry_same_server),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_silent_server_is_left),
		cmocka_unit_test(test_waiting_is_not_silence),
		cmocka_unit_test(test_other_protocols),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_callbacks),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_small_things),
		cmocka_unit_test(test_servers_that_are_learned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
