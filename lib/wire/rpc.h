/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MessagePack-RPC messages (github.com/msgpack-rpc/msgpack-rpc, spec.md):
 *   request [0, msgid, method, params], response [1, msgid, error, result], notification [2, method, params].
 * params is an array of one map; error is nil or the record rpc_error.
 */
#ifndef DNVME_LIB_WIRE_RPC_H
#define DNVME_LIB_WIRE_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"

enum rpc_type { RPC_REQUEST = 0, RPC_RESPONSE = 1, RPC_NOTIFICATION = 2 };

/* The payloads are values as they lie in the frame. */
struct rpc_message {
	enum rpc_type type;
	uint32_t msgid;
	const char *method;   /* request, notification; NUL-terminated, in the arena */
	struct bytes params;  /* request, notification: the one map (an empty one for []) */
	struct bytes failure; /* response: nil or a map */
	struct bytes result;  /* response */
};

/* Take a complete frame apart. INVALID_ARGUMENT when it is no MessagePack-RPC message; *ret_msgid_known tells whether
 * an error response can still be sent to `ret_message->msgid`. The message points into `frame`, which must live as
 * long. */
int rpc_message_open(struct bytes frame, struct arena *arena, struct rpc_message *ret_message, int *ret_msgid_known,
		     struct error *error);

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
int rpc_request_forward(uint32_t msgid, const char *method, struct bytes params, struct buffer *output,
			struct error *error);
int rpc_response_forward(uint32_t msgid, struct bytes failure, struct bytes result, struct buffer *output,
			 struct error *error);

bool rpc_failure_is_none(struct bytes failure);

/* Turn a response's error map into `ret_failure` (INTERNAL with a sentence when it is not of that form).
 * Returns its code; 0 when it is nil. */
int rpc_failure_decode(struct bytes failure, struct error *ret_failure);

#endif
