/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t wanted, capacity;
	uint8_t *data;

	if (__builtin_add_overflow(buffer->size, more, &wanted) || wanted > SIZE_MAX / 2)
		return -1;
	if (wanted <= buffer->capacity)
		return 0;
	capacity = buffer->capacity > 0 ? buffer->capacity : 256;
	while (capacity < wanted)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (data == NULL)
		return -1;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	if (size == 0)
		return 0;
	if (buffer_reserve(buffer, size) != 0)
		return -1;
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
	return 0;
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments, again;
	int length, rv = -1;

	va_start(arguments, format);
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length >= 0 && buffer_reserve(buffer, (size_t)length + 1) == 0) {
		vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, again);
		buffer->size += (size_t)length;
		rv = 0;
	}
	va_end(again);
	return rv;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	if (size > buffer->size)
		size = buffer->size;
	buffer->size -= size;
	if (buffer->size > 0 && size > 0)
		memmove(buffer->data, buffer->data + size, buffer->size);
}

void buffer_clear(struct buffer *buffer)
{
	buffer->size = 0;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer)BUFFER_INIT;
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
	return (struct bytes){ .data = buffer->data, .size = buffer->size };
}
