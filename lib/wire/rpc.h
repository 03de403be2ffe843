/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MessagePack-RPC messages (github.com/msgpack-rpc/msgpack-rpc, spec.md):
 *   request [0, msgid, method, params], response [1, msgid, error, result], notification [2, method, params].
 * params is an array of one map; error is nil or the record rpc_error.
 */
#ifndef DNVME_LIB_WIRE_RPC_H
#define DNVME_LIB_WIRE_RPC_H

#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"

enum rpc_type { RPC_REQUEST = 0, RPC_RESPONSE = 1, RPC_NOTIFICATION = 2 };

struct rpc_message {
	enum rpc_type type;
	uint32_t msgid;
	const char *method;	   /* request, notification; NUL-terminated, in the arena */
	msgpack_object params;	   /* request, notification: the one map (an empty one for []) */
	msgpack_object failure;	   /* response: nil or a map */
	msgpack_object result;	   /* response */
	msgpack_unpacked unpacked; /* owns the objects */
};

/* Take a complete frame apart. INVALID_ARGUMENT when it is no MessagePack-RPC message; *ret_msgid_known tells whether
 * an error response can still be sent to `ret_message->msgid`. On success rpc_message_close() must be called; the
 * message's objects point into `frame`, which must live as long. */
int rpc_message_open(struct bytes frame, struct arena *arena, struct rpc_message *ret_message, int *ret_msgid_known,
		     struct error *error);
void rpc_message_close(struct rpc_message *message);

/* Append a message. `record` may be NULL for an empty map. INTERNAL when memory is exhausted, INVALID_ARGUMENT when
 * the record breaks its schema; `output` then keeps what it held. */
int rpc_request_encode(uint32_t msgid, const char *method, const struct schema *schema, const void *record,
		       struct buffer *output, struct error *error);
int rpc_notification_encode(const char *method, const struct schema *schema, const void *record, struct buffer *output,
			    struct error *error);
int rpc_response_encode(uint32_t msgid, const struct schema *schema, const void *record, struct buffer *output,
			struct error *error);
int rpc_failure_encode(uint32_t msgid, const struct error *failure, struct buffer *output, struct error *error);

/* Append a request or response whose payload is passed through as it came. */
int rpc_request_forward(uint32_t msgid, const char *method, const msgpack_object *params, struct buffer *output,
			struct error *error);
int rpc_response_forward(uint32_t msgid, const msgpack_object *failure, const msgpack_object *result,
			 struct buffer *output, struct error *error);

/* Turn a response's error map into `ret_failure` (INTERNAL with a sentence when it is not of that form).
 * Returns its code; 0 when it is nil. */
int rpc_failure_decode(const msgpack_object *failure, struct error *ret_failure);

#endif
