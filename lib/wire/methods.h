/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue of methods, made from methods.def. */
#ifndef DNVME_LIB_WIRE_METHODS_H
#define DNVME_LIB_WIRE_METHODS_H

#include "lib/model/schema.h"

/* What is spoken on sockets; docs/PROTOCOL.md, "Versions". A server speaks the earlier ones, from PROTOCOL_VERSION_MIN
 * on, with agents and servers that say so. */
#define PROTOCOL_VERSION 1
#define PROTOCOL_VERSION_MIN 1

enum method_flag {
	METHOD_LOCAL = 1,
	METHOD_READ = 2,
	METHOD_MUTATE = 4,
	METHOD_AGENT = 8,
	METHOD_NOTIFY = 16,
};

enum method_id {
#define METHOD(constant, name, request, reply, flags, doc) METHOD_ID_##constant,
#include "lib/wire/methods.def"
#undef METHOD
	METHOD_ID_COUNT
};

struct method {
	enum method_id id;
	const char *name;
	const struct schema *(*request)(void);
	const struct schema *(*reply)(void);
	unsigned flags;
	const char *doc;
};

/* By number; NULL from METHOD_ID_COUNT on. */
const struct method *method_at(enum method_id id);

/* By name; NULL when there is none. */
const struct method *method_find(const char *name);

#endif
