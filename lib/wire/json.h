/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records as JSON, for people and scripts: names as on the wire, ids and enumerations as text. */
#ifndef DNVME_LIB_WIRE_JSON_H
#define DNVME_LIB_WIRE_JSON_H

#include <json-c/json.h>

#include "lib/base/error.h"
#include "lib/model/schema.h"

/* A new object that the caller releases with json_object_put(); NULL when memory is exhausted. */
struct json_object *json_record_make(const struct schema *schema, const void *record);

#endif
