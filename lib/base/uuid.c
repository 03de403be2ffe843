/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/uuid.h"

#include <string.h>
#include <uuid/uuid.h>

/* Made once at random; it only has to differ from everybody else's. */
static const uint8_t uuid_namespace[16] = { 0x5b, 0x1f, 0x6c, 0x0e, 0x8d, 0x42, 0x4e, 0x7a,
					    0x9c, 0x31, 0x64, 0x6e, 0x76, 0x6d, 0x65, 0x01 };

void uuid_text_format(const uint8_t uuid[16], char ret_text[UUID_TEXT_SIZE])
{
	uuid_unparse_lower(uuid, ret_text);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* uuid_parse() looks at each character several times, and agents parse one for each LD in each pass. */
int uuid_text_parse(const char *text, uint8_t ret_uuid[16])
{
	uint8_t parsed[16];

	for (size_t i = 0; i < sizeof(parsed); i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -1;
		high = hex_digit(text[0]);
		low = high >= 0 ? hex_digit(text[1]) : -1;
		if (low < 0)
			return -1;
		parsed[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0')
		return -1;
	memcpy(ret_uuid, parsed, sizeof(parsed));
	return 0;
}

void uuid_random(uint8_t ret_uuid[16])
{
	uuid_generate_random(ret_uuid);
}

void uuid_from_name(const char *name, uint8_t ret_uuid[16])
{
	uuid_generate_sha1(ret_uuid, uuid_namespace, name, strlen(name));
}
