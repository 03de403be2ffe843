/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/rpc.h"

#include <string.h>

#include "lib/model/records.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"

static int not_rpc(struct error *error, const char *why)
{
	error_set(error, ERROR_INVALID_ARGUMENT, "not a MessagePack-RPC message: %s", why);
	return error_hint(error, "send [0, msgid, method, [params]]; see docs/PROTOCOL.md"), ERROR_INVALID_ARGUMENT;
}

static int open_call(struct rpc_message *message, const msgpack_object *method, const msgpack_object *params,
		     struct arena *arena, struct error *error)
{
	static const msgpack_object empty = { .type = MSGPACK_OBJECT_MAP };

	if (method->type != MSGPACK_OBJECT_STR)
		return not_rpc(error, "the method must be a string");
	if (method->via.str.size > LIMIT_NAME ||
	    (method->via.str.size > 0 && memchr(method->via.str.ptr, '\0', method->via.str.size) != NULL))
		return not_rpc(error, "the method's name is too long or holds a NUL");
	message->method = arena_strndup(arena, method->via.str.ptr, method->via.str.size);
	if (message->method == NULL)
		return error_set_nomem(error);
	if (params->type != MSGPACK_OBJECT_ARRAY || params->via.array.size > 1)
		return not_rpc(error, "params must be an array of at most one map");
	message->params = params->via.array.size == 0 ? empty : params->via.array.ptr[0];
	if (message->params.type != MSGPACK_OBJECT_MAP)
		return not_rpc(error, "params must be an array of one map");
	return 0;
}

static int open_array(struct rpc_message *message, const msgpack_object *object, struct arena *arena,
		      int *ret_msgid_known, struct error *error)
{
	const msgpack_object *items = object->via.array.ptr;
	uint32_t size;

	if (object->type != MSGPACK_OBJECT_ARRAY)
		return not_rpc(error, "it must be an array");
	size = object->via.array.size;
	if (size == 0 || items[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || items[0].via.u64 > RPC_NOTIFICATION)
		return not_rpc(error, "the type must be 0, 1 or 2");
	message->type = (enum rpc_type)items[0].via.u64;
	if (message->type == RPC_NOTIFICATION) {
		if (size != 3)
			return not_rpc(error, "a notification has three elements");
		return open_call(message, &items[1], &items[2], arena, error);
	}
	if (size != 4 || items[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || items[1].via.u64 > UINT32_MAX)
		return not_rpc(error, "requests and responses have four elements, the second a 32-bit msgid");
	message->msgid = (uint32_t)items[1].via.u64;
	if (message->type == RPC_REQUEST) {
		*ret_msgid_known = 1;
		return open_call(message, &items[2], &items[3], arena, error);
	}
	message->failure = items[2];
	message->result = items[3];
	return 0;
}

int rpc_message_open(struct bytes frame, struct arena *arena, struct rpc_message *ret_message, int *ret_msgid_known,
		     struct error *error)
{
	struct rpc_message message = { 0 };
	size_t offset = 0;
	int rv;

	*ret_msgid_known = 0;
	msgpack_unpacked_init(&message.unpacked);
	switch (msgpack_unpack_next(&message.unpacked, (const char *)frame.data, frame.size, &offset)) {
	case MSGPACK_UNPACK_SUCCESS:
		rv = open_array(&message, &message.unpacked.data, arena, ret_msgid_known, error);
		break;
	case MSGPACK_UNPACK_NOMEM_ERROR:
		rv = error_set_nomem(error);
		break;
	default:
		rv = not_rpc(error, "it is not one MessagePack value");
		break;
	}
	if (rv != 0) {
		ret_message->msgid = message.msgid;
		msgpack_unpacked_destroy(&message.unpacked);
		return rv;
	}
	*ret_message = message;
	return 0;
}

void rpc_message_close(struct rpc_message *message)
{
	msgpack_unpacked_destroy(&message->unpacked);
}

static int pack_head(msgpack_packer *packer, enum rpc_type type, uint32_t msgid)
{
	int rv = msgpack_pack_array(packer, type == RPC_NOTIFICATION ? 3 : 4);

	rv |= msgpack_pack_int(packer, type);
	if (type != RPC_NOTIFICATION)
		rv |= msgpack_pack_uint32(packer, msgid);
	return rv;
}

static int pack_method(msgpack_packer *packer, const char *method)
{
	return msgpack_pack_str(packer, strlen(method)) | msgpack_pack_str_body(packer, method, strlen(method)) |
	       msgpack_pack_array(packer, 1);
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
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	return finish(schema, record, output, before,
		      pack_head(&packer, RPC_REQUEST, msgid) | pack_method(&packer, method), error);
}

int rpc_notification_encode(const char *method, const struct schema *schema, const void *record, struct buffer *output,
			    struct error *error)
{
	size_t before = output->size;
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	return finish(schema, record, output, before,
		      pack_head(&packer, RPC_NOTIFICATION, 0) | pack_method(&packer, method), error);
}

int rpc_response_encode(uint32_t msgid, const struct schema *schema, const void *record, struct buffer *output,
			struct error *error)
{
	size_t before = output->size;
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	return finish(schema, record, output, before,
		      pack_head(&packer, RPC_RESPONSE, msgid) | msgpack_pack_nil(&packer), error);
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
	msgpack_packer packer;
	int rv;

	copy_text(message, sizeof(message), failure->message, false);
	copy_text(hint, sizeof(hint), failure->hint, false);
	copy_text(details, sizeof(details), failure->details, true);
	msgpack_packer_init(&packer, output, codec_buffer_write);
	rv = finish(schema_rpc_error(), &record, output, before, pack_head(&packer, RPC_RESPONSE, msgid), error);
	if (rv == 0 && msgpack_pack_nil(&packer) != 0) {
		output->size = before;
		rv = error_set_nomem(error);
	}
	return rv;
}

int rpc_request_forward(uint32_t msgid, const char *method, const msgpack_object *params, struct buffer *output,
			struct error *error)
{
	size_t before = output->size;
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	if ((pack_head(&packer, RPC_REQUEST, msgid) | pack_method(&packer, method)) == 0 &&
	    msgpack_pack_object(&packer, *params) == 0)
		return 0;
	output->size = before;
	return error_set_nomem(error);
}

int rpc_response_forward(uint32_t msgid, const msgpack_object *failure, const msgpack_object *result,
			 struct buffer *output, struct error *error)
{
	size_t before = output->size;
	msgpack_packer packer;

	msgpack_packer_init(&packer, output, codec_buffer_write);
	if (pack_head(&packer, RPC_RESPONSE, msgid) == 0 && msgpack_pack_object(&packer, *failure) == 0 &&
	    msgpack_pack_object(&packer, *result) == 0)
		return 0;
	output->size = before;
	return error_set_nomem(error);
}

int rpc_failure_decode(const msgpack_object *failure, struct error *ret_failure)
{
	struct arena arena = ARENA_INIT;
	struct rpc_error record;
	enum error_code code;

	if (failure->type == MSGPACK_OBJECT_NIL) {
		error_clear(ret_failure);
		return 0;
	}
	if (codec_decode_object(schema_rpc_error(), failure, &arena, &record, NULL) != 0) {
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
