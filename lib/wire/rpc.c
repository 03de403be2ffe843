/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/rpc.h"

#include <string.h>

#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"
#include "lib/wire/value.h"

static int not_rpc(struct error *error, const char *why)
{
	error_set(error, ERROR_INVALID_ARGUMENT, "not a MessagePack-RPC message: %s", why);
	return error_hint(error, "send [0, msgid, method, [params]]; see docs/PROTOCOL.md"), ERROR_INVALID_ARGUMENT;
}

static int not_one_value(struct error *error)
{
	return not_rpc(error, "it is not one MessagePack value");
}

/* A value with all that is in it. */
static int take_payload(struct value_reader *reader, struct bytes *ret_payload, struct error *error)
{
	const uint8_t *begin = reader->at;

	if (value_skip(reader) != 0)
		return not_one_value(error);
	*ret_payload = (struct bytes){ begin, (size_t)(reader->at - begin) };
	return 0;
}

static int open_params(struct value_reader *reader, struct bytes *ret_params, struct error *error)
{
	static const uint8_t empty_map = 0x80;
	struct value params, map;
	struct value_reader ahead;

	if (value_read(reader, &params) != 0)
		return not_one_value(error);
	if (params.type != VALUE_ARRAY || params.number > 1)
		return not_rpc(error, "params must be an array of at most one map");
	*ret_params = (struct bytes){ &empty_map, 1 };
	if (params.number == 0)
		return 0;
	ahead = *reader;
	if (value_read(&ahead, &map) != 0)
		return not_one_value(error);
	if (map.type != VALUE_MAP)
		return not_rpc(error, "params must be an array of one map");
	return take_payload(reader, ret_params, error);
}

static int open_call(struct rpc_message *message, struct value_reader *reader, struct arena *arena, struct error *error)
{
	struct value method;

	if (value_read(reader, &method) != 0)
		return not_one_value(error);
	if (method.type != VALUE_TEXT)
		return not_rpc(error, "the method must be a string");
	if (method.number > LIMIT_NAME || memchr(method.bytes, '\0', method.number) != NULL)
		return not_rpc(error, "the method's name is too long or holds a NUL");
	message->method = arena_strndup(arena, method.bytes, method.number);
	if (message->method == NULL)
		return error_set_nomem(error);
	return open_params(reader, &message->params, error);
}

static int open_array(struct rpc_message *message, struct value_reader *reader, struct arena *arena,
		      int *ret_msgid_known, struct error *error)
{
	struct value array, type, msgid;
	int rv;

	if (value_read(reader, &array) != 0)
		return not_one_value(error);
	if (array.type != VALUE_ARRAY)
		return not_rpc(error, "it must be an array");
	if (array.number > 0 && value_read(reader, &type) != 0)
		return not_one_value(error);
	if (array.number == 0 || type.type != VALUE_UNSIGNED || type.number > RPC_NOTIFICATION)
		return not_rpc(error, "the type must be 0, 1 or 2");
	message->type = (enum rpc_type)type.number;
	if (message->type == RPC_NOTIFICATION) {
		if (array.number != 3)
			return not_rpc(error, "a notification has three elements");
		return open_call(message, reader, arena, error);
	}
	if (array.number > 1 && value_read(reader, &msgid) != 0)
		return not_one_value(error);
	if (array.number != 4 || msgid.type != VALUE_UNSIGNED || msgid.number > UINT32_MAX)
		return not_rpc(error, "requests and responses have four elements, the second a 32-bit msgid");
	message->msgid = (uint32_t)msgid.number;
	if (message->type == RPC_REQUEST) {
		*ret_msgid_known = 1;
		return open_call(message, reader, arena, error);
	}
	rv = take_payload(reader, &message->failure, error);
	return rv != 0 ? rv : take_payload(reader, &message->result, error);
}

int rpc_message_open(struct bytes frame, struct arena *arena, struct rpc_message *ret_message, int *ret_msgid_known,
		     struct error *error)
{
	struct value_reader reader = value_reader_of(frame);
	struct rpc_message message = { 0 };
	int rv;

	*ret_msgid_known = 0;
	rv = open_array(&message, &reader, arena, ret_msgid_known, error);
	if (rv == 0 && reader.at != reader.end)
		rv = not_one_value(error);
	if (rv == 0)
		*ret_message = message;
	else
		ret_message->msgid = message.msgid;
	return rv;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

#define RPC_NIL                                                                                                        \
	(struct bytes)                                                                                                 \
	{                                                                                                              \
		(const uint8_t[]){ VALUE_NIL_BYTE }, 1                                                                 \
	}

static int append_head(struct buffer *output, enum rpc_type type, uint32_t msgid)
{
	uint8_t head[2 * VALUE_HEAD_MAX + 1];
	size_t size = value_array_head(head, type == RPC_NOTIFICATION ? 3 : 4);

	head[size++] = (uint8_t)type;
	if (type != RPC_NOTIFICATION)
		size += value_number(head + size, msgid);
	return buffer_append(output, head, size);
}

/* And the array that the parameters are in. */
static int append_method(struct buffer *output, const char *method)
{
	uint8_t head[VALUE_HEAD_MAX], params[VALUE_HEAD_MAX];
	size_t length = strlen(method);

	return buffer_append(output, head, value_text_head(head, length)) || buffer_append(output, method, length) ||
	       buffer_append(output, params, value_array_head(params, 1));
}

static int append_bytes(struct buffer *output, struct bytes bytes)
{
	return buffer_append(output, bytes.data, bytes.size);
}

/* Append the payload, or undo what was written of the message. */
static int finish(const struct schema *schema, const void *record, struct buffer *output, size_t before, int rv,
		  struct error *error)
{
	static const uint8_t empty_map = 0x80;

	if (rv != 0)
		rv = error_set_nomem(error);
	else if (record != NULL)
		rv = codec_encode(schema, record, CODEC_NAMED, output, error);
	else if (buffer_append(output, &empty_map, 1) != 0)
		rv = error_set_nomem(error);
	if (rv != 0)
		output->size = before;
	return rv;
}

int rpc_request_encode(uint32_t msgid, const char *method, const struct schema *schema, const void *record,
		       struct buffer *output, struct error *error)
{
	size_t before = output->size;

	return finish(schema, record, output, before,
		      append_head(output, RPC_REQUEST, msgid) || append_method(output, method), error);
}

int rpc_notification_encode(const char *method, const struct schema *schema, const void *record, struct buffer *output,
			    struct error *error)
{
	size_t before = output->size;

	return finish(schema, record, output, before,
		      append_head(output, RPC_NOTIFICATION, 0) || append_method(output, method), error);
}

int rpc_response_encode(uint32_t msgid, const struct schema *schema, const void *record, struct buffer *output,
			struct error *error)
{
	size_t before = output->size;

	return finish(schema, record, output, before,
		      append_head(output, RPC_RESPONSE, msgid) || append_bytes(output, RPC_NIL), error);
}

/* A text that the record takes, whatever is in it: an error that could not be sent would leave its reader without an
 * answer. It may have been cut within a character, or hold what a kernel or a library said. */
static void copy_text(char *to, size_t size, const char *from, bool lines)
{
	size_t left = strlen(from), used = 0, step;

	for (; left > 0; from += step, left -= step) {
		char c = from[0];

		step = codec_utf8_length((const uint8_t *)from, left);
		if (step == 0 || (uint8_t)c < 0x20 || c == 0x7f) {
			c = step == 0 ? '?' : c == '\n' && lines ? c : ' ';
			step = 1;
		}
		if (used + step >= size)
			break;
		to[used] = c;
		memcpy(to + used + 1, from + 1, step - 1);
		used += step;
	}
	to[used] = '\0';
}

int rpc_failure_encode(uint32_t msgid, const struct error *failure, struct buffer *output, struct error *error)
{
	char message[ERROR_MESSAGE_SIZE], hint[ERROR_HINT_SIZE], details[ERROR_DETAILS_SIZE];
	struct rpc_error record = {
		.code = error_code_name(failure->code), .message = message, .hint = hint, .details = details
	};
	size_t before = output->size;
	int rv;

	copy_text(message, sizeof(message), failure->message, false);
	copy_text(hint, sizeof(hint), failure->hint, false);
	copy_text(details, sizeof(details), failure->details, true);
	rv = finish(schema_rpc_error(), &record, output, before, append_head(output, RPC_RESPONSE, msgid), error);
	if (rv == 0 && append_bytes(output, RPC_NIL) != 0) {
		output->size = before;
		rv = error_set_nomem(error);
	}
	return rv;
}

/* All of it, or nothing. */
static int whole(struct buffer *output, size_t before, int rv, struct error *error)
{
	if (rv == 0)
		return 0;
	output->size = before;
	return error_set_nomem(error);
}

int rpc_request_forward(uint32_t msgid, const char *method, struct bytes params, struct buffer *output,
			struct error *error)
{
	size_t before = output->size;

	return whole(output, before,
		     append_head(output, RPC_REQUEST, msgid) || append_method(output, method) ||
			     append_bytes(output, params),
		     error);
}

int rpc_response_forward(uint32_t msgid, struct bytes failure, struct bytes result, struct buffer *output,
			 struct error *error)
{
	size_t before = output->size;

	return whole(output, before,
		     append_head(output, RPC_RESPONSE, msgid) || append_bytes(output, failure) ||
			     append_bytes(output, result),
		     error);
}

bool rpc_failure_is_none(struct bytes failure)
{
	return failure.size == 1 && failure.data[0] == VALUE_NIL_BYTE;
}

int rpc_failure_decode(struct bytes failure, struct error *ret_failure)
{
	struct arena arena = ARENA_INIT;
	struct rpc_error record;
	enum error_code code;

	if (rpc_failure_is_none(failure)) {
		error_clear(ret_failure);
		return 0;
	}
	if (codec_decode_value(schema_rpc_error(), failure, &arena, &record, NULL) != 0) {
		arena_free(&arena);
		return error_set(ret_failure, ERROR_INTERNAL,
				 "the peer answered with an error that is not of dnvme's form");
	}
	code = error_code_parse(record.code);
	if (code == ERROR_NONE)
		code = ERROR_INTERNAL;
	error_set(ret_failure, code, "%s", record.message);
	if (record.hint != NULL)
		error_hint(ret_failure, "%s", record.hint);
	if (record.details != NULL)
		error_detail(ret_failure, "%s", record.details);
	arena_free(&arena);
	return code;
}
