/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/load_frames.h"

#include "lib/base/limits.h"
#include "lib/wire/frame.h"

size_t load_frames_take(struct load_connection *connection, const uint8_t *data, size_t size,
			void (*take)(struct load_connection *connection, struct bytes frame))
{
	struct frame_scanner scanner;
	size_t used = 0, part;
	struct error error;
	int complete;

	while (used < size) {
		frame_scanner_init(&scanner, LIMIT_FRAME_PEER_BYTES);
		if (frame_scanner_feed(&scanner, data + used, size - used, &part, &complete, &error) != 0)
			load_fail("%s: %s", connection->address, error.message);
		if (!complete)
			break;
		take(connection, (struct bytes){ data + used, part });
		used += part;
	}
	return used;
}
