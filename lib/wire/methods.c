/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/methods.h"

#include <string.h>

#include "lib/model/records.h"

static const struct method methods[METHOD_ID_COUNT] = {
#define METHOD(constant, name, request, reply, flags, doc)                                                             \
	[METHOD_ID_##constant] = { METHOD_ID_##constant, name, schema_##request, schema_##reply, flags, doc },
#include "lib/wire/methods.def"
#undef METHOD
};

const struct method *method_at(enum method_id id)
{
	return (unsigned)id < METHOD_ID_COUNT ? &methods[id] : NULL;
}

const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < METHOD_ID_COUNT; i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}
