/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting calls: from a record, from JSON, and waiting for their end. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <msgpack/pack.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "client/result.h"
#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "lib/wire/codec.h"
#include "lib/wire/rpc.h"

#define SAME(name) _Static_assert((int)DNVME_##name == (int)ERROR_##name, "codes are the same")
SAME(INVALID_ARGUMENT);
SAME(NOT_FOUND);
SAME(ALREADY_EXISTS);
SAME(CONFLICT);
SAME(FAILED_PRECONDITION);
SAME(NO_CAPACITY);
SAME(UNAVAILABLE);
SAME(DEADLINE_EXCEEDED);
SAME(CANCELLED);
SAME(COMPACTED);
SAME(TOO_LARGE);
SAME(UNSUPPORTED);
SAME(UNAUTHENTICATED);
SAME(PERMISSION_DENIED);
SAME(INTERNAL);
_Static_assert(ERROR_CODE_COUNT == 16, "every code has a public name");
_Static_assert(DNVME_REQUEST_ID_SIZE == LIMIT_REQUEST_ID, "sizes are the same");

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *dnvme_version(void)
{
	return VERSION_TEXT(DNVME_VERSION_MAJOR, DNVME_VERSION_MINOR, DNVME_VERSION_PATCH);
}

const char *dnvme_code_name(enum dnvme_code code)
{
	return code == DNVME_OK ? "OK" : error_code_name((enum error_code)code);
}

int client_error_export(const struct error *error, struct dnvme_error *ret_error)
{
	if (ret_error != NULL) {
		_Static_assert(sizeof(ret_error->message) == ERROR_MESSAGE_SIZE, "texts are copied whole");
		_Static_assert(sizeof(ret_error->hint) == ERROR_HINT_SIZE, "texts are copied whole");
		_Static_assert(sizeof(ret_error->details) == ERROR_DETAILS_SIZE, "texts are copied whole");
		ret_error->code = (enum dnvme_code)error->code;
		memcpy(ret_error->message, error->message, ERROR_MESSAGE_SIZE);
		memcpy(ret_error->hint, error->hint, ERROR_HINT_SIZE);
		memcpy(ret_error->details, error->details, ERROR_DETAILS_SIZE);
	}
	return (int)error->code;
}

static const char *const call_states[] = { "queued", "sent", "finished" };
static const struct state_machine_edge call_edges[] = {
	{ CALL_QUEUED, CALL_SENT },
	{ CALL_QUEUED, CALL_FINISHED },
	{ CALL_SENT, CALL_QUEUED },
	{ CALL_SENT, CALL_FINISHED },
};
static const struct state_machine_table call_table = {
	"client call", call_states, 3, call_edges, sizeof(call_edges) / sizeof(call_edges[0]),
};

/* --- from a record --------------------------------------------------------------------------------------- */

static const struct schema_field *field_find(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		if (strcmp(schema->fields[i].name, name) == 0)
			return &schema->fields[i];
	}
	return NULL;
}

static int options_check(const struct dnvme_call_options *options, struct error *error)
{
	if (options != NULL && options->size != sizeof(*options))
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "the size of the call's options is %zu, not %zu: use DNVME_CALL_OPTIONS_INIT",
				 options->size, sizeof(*options));
	return 0;
}

static uint32_t msgid_choose(struct dnvme *dnvme)
{
	bool taken;

	do {
		taken = false;
		dnvme->next_msgid++;
		for (const struct dnvme_pending *call = dnvme->first; call != NULL; call = call->next)
			taken = taken || call->msgid == dnvme->next_msgid;
	} while (taken);
	return dnvme->next_msgid;
}

int client_start(struct dnvme *dnvme, const struct method *method, void *record,
		 const struct dnvme_call_options *options, dnvme_done done, void *data,
		 struct dnvme_pending **ret_pending, struct error *error)
{
	const struct schema *schema = method->request();
	const struct schema_field *id_field = field_find(schema, "request_id");
	const struct schema_field *wait_field = field_find(schema, "wait_ms");
	const struct schema_field *again_field = field_find(schema, "again");
	uint8_t request_id[DNVME_REQUEST_ID_SIZE];
	struct dnvme_pending *call;
	int rc = options_check(options, error);

	if (rc != 0)
		return rc;
	if (dnvme->pending_count >= CLIENT_PENDING_MAX)
		return error_set(error, ERROR_TOO_LARGE, "%u calls are already under way", CLIENT_PENDING_MAX);
	if (id_field != NULL && (method->flags & METHOD_MUTATE) != 0) {
		if (options != NULL && options->request_id != NULL)
			memcpy(request_id, options->request_id, sizeof(request_id));
		else
			random_bytes(request_id, sizeof(request_id));
		*(struct bytes *)((char *)record + id_field->offset) = (struct bytes){ request_id, sizeof(request_id) };
	}
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return error_set_nomem(error);
	call->msgid = msgid_choose(dnvme);
	rc = rpc_request_encode(call->msgid, method->name, schema, record, &call->frame, error);
	if (rc == 0 && again_field != NULL && (method->flags & METHOD_MUTATE) != 0) {
		bool *again = (bool *)((char *)record + again_field->offset), as_given = *again;

		*again = true;
		rc = rpc_request_encode(call->msgid, method->name, schema, record, &call->again, error);
		*again = as_given;
	}
	if (rc == 0 && call->frame.size > LIMIT_FRAME_CLIENT_BYTES)
		rc = error_set(error, ERROR_TOO_LARGE, "the request has %zu bytes, the limit is %u", call->frame.size,
			       LIMIT_FRAME_CLIENT_BYTES);
	if (rc != 0) {
		buffer_free(&call->frame);
		buffer_free(&call->again);
		free(call);
		return rc;
	}
	call->method = method;
	state_machine_init(&call->machine, &call_table, CALL_QUEUED);
	call->server = dnvme->preferred;
	call->timeout_ms = options != NULL && options->timeout_ms != 0 ? options->timeout_ms : dnvme->timeout_ms;
	call->started_ms = clock_boot_ms();
	if (wait_field != NULL)
		call->wait_ms = (unsigned)*(const uint64_t *)((const char *)record + wait_field->offset);
	call->deadline_ms = call->started_ms + call->wait_ms + call->timeout_ms;
	call->done = done;
	call->data = data;
	call->previous = dnvme->last;
	if (dnvme->last != NULL)
		dnvme->last->next = call;
	else
		dnvme->first = call;
	dnvme->last = call;
	dnvme->pending_count++;
	if (ret_pending != NULL)
		*ret_pending = call;
	return 0;
}

/* --- waiting --------------------------------------------------------------------------------------------- */

struct waiter {
	bool done;
	struct dnvme_error error;
	struct dnvme_result *result;
};

static void wake(struct dnvme *dnvme, const struct dnvme_error *error, struct dnvme_result *result, void *data)
{
	struct waiter *waiter = data;

	(void)dnvme;
	if (error != NULL)
		waiter->error = *error;
	waiter->result = result;
	waiter->done = true;
}

static int run_method(struct dnvme *dnvme, const struct method *method, void *record,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *ret_error)
{
	struct waiter waiter = { .done = false };
	struct error error;

	if (dnvme->processing) {
		error_set(&error, ERROR_FAILED_PRECONDITION, "%s was called and waited for from within a callback",
			  method->name);
		error_hint(&error, "use dnvme_start() there");
		return client_error_export(&error, ret_error);
	}
	if (client_start(dnvme, method, record, options, wake, &waiter, NULL, &error) != 0)
		return client_error_export(&error, ret_error);
	while (!waiter.done) {
		struct pollfd wanted = { .fd = dnvme->epoll_fd, .events = POLLIN };

		/* An interrupted or failing poll() only means one more round: the deadline ends it. */
		(void)poll(&wanted, 1, dnvme_poll_timeout_ms(dnvme));
		dnvme_process(dnvme);
	}
	if (waiter.result == NULL) {
		if (ret_error != NULL)
			*ret_error = waiter.error;
		return (int)waiter.error.code;
	}
	if (ret_result != NULL)
		*ret_result = waiter.result;
	else
		dnvme_result_free(waiter.result);
	return DNVME_OK;
}

int client_run(struct dnvme *dnvme, enum method_id method, void *record, const struct dnvme_call_options *options,
	       struct dnvme_result **ret_result, struct dnvme_error *error)
{
	return run_method(dnvme, method_at(method), record, options, ret_result, error);
}

/* --- from JSON ------------------------------------------------------------------------------------------- */

static int pack_json(msgpack_packer *packer, struct json_object *value)
{
	int rc;

	switch (json_object_get_type(value)) {
	case json_type_null:
		return msgpack_pack_nil(packer);
	case json_type_boolean:
		return json_object_get_boolean(value) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
	case json_type_double:
		return msgpack_pack_double(packer, json_object_get_double(value));
	case json_type_int:
		if (json_object_get_int64(value) < 0)
			return msgpack_pack_int64(packer, json_object_get_int64(value));
		return msgpack_pack_uint64(packer, json_object_get_uint64(value));
	case json_type_string:
		return msgpack_pack_str_with_body(packer, json_object_get_string(value),
						  (size_t)json_object_get_string_len(value));
	case json_type_array:
		rc = msgpack_pack_array(packer, json_object_array_length(value));
		for (size_t i = 0; rc == 0 && i < json_object_array_length(value); i++)
			rc = pack_json(packer, json_object_array_get_idx(value, i));
		return rc;
	case json_type_object: {
		rc = msgpack_pack_map(packer, (size_t)json_object_object_length(value));
		json_object_object_foreach(value, key, member)
		{
			if (rc == 0)
				rc = msgpack_pack_str_with_body(packer, key, strlen(key));
			if (rc == 0)
				rc = pack_json(packer, member);
		}
		return rc;
	}
	}
	return -1;
}

static int json_parse(const char *text, struct json_object **ret_object, struct error *error)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object;
	size_t length = strlen(text);
	enum json_tokener_error state;
	size_t end;

	if (tokener == NULL)
		return error_set_nomem(error);
	if (length >= INT_MAX) {
		json_tokener_free(tokener);
		return error_set(error, ERROR_TOO_LARGE, "params has %zu bytes", length);
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text, (int)length + 1);
	state = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (state != json_tokener_success) {
		json_object_put(object);
		return error_set(error, ERROR_INVALID_ARGUMENT, "params is not JSON: %s at byte %zu",
				 json_tokener_error_desc(state), end);
	}
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return error_set(error, ERROR_INVALID_ARGUMENT, "params is JSON, but not an object");
	}
	*ret_object = object;
	return 0;
}

/* Decoders skip what they do not know; a misspelt parameter must not get lost in that way. */
static int check_keys(const struct method *method, struct json_object *object, struct error *error)
{
	json_object_object_foreach(object, key, member)
	{
		(void)member;
		if (strcmp(key, "request_id") == 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
					 "request_id is not given in params but in the options");
		if (field_find(method->request(), key) == NULL)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s has no parameter \"%s\"", method->name,
					 key);
	}
	return 0;
}

static int record_from_json(const struct method *method, const char *params, struct arena *arena, void *record,
			    struct error *error)
{
	struct json_object *object = NULL;
	struct buffer bytes = BUFFER_INIT;
	msgpack_packer packer;
	int rc = json_parse(params, &object, error);

	if (rc != 0)
		return rc;
	rc = check_keys(method, object, error);
	if (rc != 0)
		goto cleanup;
	msgpack_packer_init(&packer, &bytes, codec_buffer_write);
	if (pack_json(&packer, object) != 0) {
		rc = error_set_nomem(error);
		goto cleanup;
	}
	rc = codec_decode(method->request(), buffer_bytes(&bytes), arena, record, error);
cleanup:
	buffer_free(&bytes);
	json_object_put(object);
	return rc;
}

static int record_make(const char *name, const char *params, struct arena *arena, const struct method **ret_method,
		       void **ret_record, struct error *error)
{
	const struct method *method = name != NULL ? method_find(name) : NULL;
	void *record;
	int rc;

	if (method == NULL) {
		error_set(error, ERROR_INVALID_ARGUMENT, "there is no method \"%s\"", name != NULL ? name : "");
		error_hint(error, "methods are listed in docs/PROTOCOL.md");
		return ERROR_INVALID_ARGUMENT;
	}
	if ((method->flags & (METHOD_AGENT | METHOD_NOTIFY)) != 0)
		return error_set(error, ERROR_UNSUPPORTED, "method \"%s\" is for agents only", name);
	record = arena_alloc(arena, method->request()->size);
	if (record == NULL)
		return error_set_nomem(error);
	rc = record_from_json(method, params != NULL ? params : "{}", arena, record, error);
	if (rc != 0)
		return rc;
	*ret_method = method;
	*ret_record = record;
	return 0;
}

int dnvme_start(struct dnvme *dnvme, const char *method, const char *params, const struct dnvme_call_options *options,
		dnvme_done done, void *data, struct dnvme_pending **ret_pending, struct dnvme_error *ret_error)
{
	struct arena arena = ARENA_INIT;
	const struct method *found = NULL;
	void *record = NULL;
	struct error error;
	int rc;

	error_clear(&error);
	rc = record_make(method, params, &arena, &found, &record, &error);
	if (rc == 0)
		rc = client_start(dnvme, found, record, options, done, data, ret_pending, &error);
	arena_free(&arena);
	return rc == 0 ? DNVME_OK : client_error_export(&error, ret_error);
}

int dnvme_call(struct dnvme *dnvme, const char *method, const char *params, const struct dnvme_call_options *options,
	       struct dnvme_result **ret_result, struct dnvme_error *ret_error)
{
	struct arena arena = ARENA_INIT;
	const struct method *found = NULL;
	void *record = NULL;
	struct error error;
	int rc;

	error_clear(&error);
	rc = record_make(method, params, &arena, &found, &record, &error);
	if (rc == 0)
		rc = run_method(dnvme, found, record, options, ret_result, ret_error);
	else
		client_error_export(&error, ret_error);
	arena_free(&arena);
	return rc;
}
