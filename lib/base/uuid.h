/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UUIDs (RFC 4122): text form, random ones, and ones derived from a name. */
#ifndef DNVME_LIB_BASE_UUID_H
#define DNVME_LIB_BASE_UUID_H

#include <stdint.h>

#define UUID_TEXT_SIZE 37

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case. */
void uuid_text_format(const uint8_t uuid[16], char ret_text[UUID_TEXT_SIZE]);

/* Returns 0, or -1 when the text is not of that form. Upper case is accepted. */
int uuid_text_parse(const char *text, uint8_t ret_uuid[16]);

/* A random UUID (version 4). */
void uuid_random(uint8_t ret_uuid[16]);

/* The same UUID for the same name on every machine (version 5 under our own namespace). */
void uuid_from_name(const char *name, uint8_t ret_uuid[16]);

#endif
