/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growable byte buffer. Not thread-safe. */
#ifndef DNVME_LIB_BASE_BUFFER_H
#define DNVME_LIB_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct bytes { /* borrowed bytes */
	const uint8_t *data;
	size_t size;
};

struct buffer {
	uint8_t *data; /* owned */
	size_t size;
	size_t capacity;
};

#define BUFFER_INIT                                                                                                    \
	{                                                                                                              \
		0                                                                                                      \
	}

/* Each returns 0, or -1 when memory is exhausted; the buffer then keeps what it held. */
int buffer_reserve(struct buffer *buffer, size_t more);
int buffer_append(struct buffer *buffer, const void *data, size_t size);
int buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drop `size` bytes (at most all) from the front. */
void buffer_consume(struct buffer *buffer, size_t size);

/* Forget the content, keep the memory. */
void buffer_clear(struct buffer *buffer);

/* Free the memory; the buffer can be used again. */
void buffer_free(struct buffer *buffer);

/* The content, borrowed until the buffer changes. */
struct bytes buffer_bytes(const struct buffer *buffer);

#endif
