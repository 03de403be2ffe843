/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/text.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/uuid.h"
#include "lib/wire/codec.h"
#include "lib/wire/json.h"

/* --- what was observed --- */

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static int print_dm(const struct observed_dm *dm, struct buffer *output)
{
	if (buffer_printf(output,
			  "dm        %s  %" PRIu64 ":%" PRIu64 "  uuid %s  open %" PRIu64 "  event %" PRIu64 "%s\n",
			  dm->name, dm->major, dm->minor, or_empty(dm->uuid), dm->open_count, dm->event,
			  dm->suspended ? "  suspended" : "") != 0)
		return -1;
	if (dm->drained > 0 && buffer_printf(output, "          drained for %" PRIu64 "\n", dm->drained) != 0)
		return -1;
	for (size_t i = 0; i < dm->deleted.count; i++) {
		if (buffer_printf(output, "          thin device %" PRIu64 " was deleted\n",
				  dm->deleted.items[i].number) != 0)
			return -1;
	}
	for (size_t i = 0; i < dm->targets.count; i++) {
		const struct observed_target *line = &dm->targets.items[i];

		if (buffer_printf(output, "          %" PRIu64 " %" PRIu64 " %s %s\n", line->start, line->length,
				  line->type, or_empty(line->params)) != 0)
			return -1;
	}
	if (dm->status != NULL && dm->status[0] != '\0' &&
	    buffer_printf(output, "          status %s\n", dm->status) != 0)
		return -1;
	return 0;
}

static int print_pause(const struct observed_pause *pause, struct buffer *output)
{
	if (buffer_printf(output, "pause     v%" PRIu64 " number %" PRIu64 "  %s%s%s%s%s\n", pause->volume,
			  pause->number, pause->state != 0 ? ENUM_NAME(pause_state, pause->state) : "begins",
			  pause->made ? "  made" : "", pause->alive ? "" : "  no process",
			  pause->message != NULL ? "  " : "", or_empty(pause->message)) != 0)
		return -1;
	for (size_t i = 0; i < pause->devices.count; i++) {
		if (buffer_printf(output, "          may hold up %s\n", pause->devices.items[i]) != 0)
			return -1;
	}
	return 0;
}

static int print_port(const struct observed_port *port, struct buffer *output)
{
	if (buffer_printf(output, "port      %" PRIu64 "  %s:%s  mark %s", port->id, or_empty(port->address),
			  or_empty(port->trsvcid), port->mark != NULL ? port->mark : "none") != 0)
		return -1;
	for (size_t i = 0; i < port->groups.count; i++) {
		if (buffer_printf(output, "  group %" PRIu64 " %s", port->groups.items[i].id,
				  port->groups.items[i].state) != 0)
			return -1;
	}
	for (size_t i = 0; i < port->subsystems.count; i++) {
		if (buffer_printf(output, "\n          %s", port->subsystems.items[i]) != 0)
			return -1;
	}
	return buffer_printf(output, "\n");
}

static int print_subsystem(const struct observed_subsystem *subsystem, struct buffer *output)
{
	char uuid[UUID_TEXT_SIZE];

	if (buffer_printf(output, "subsystem %s  cntlid %" PRIu64 "-%" PRIu64 "%s\n", subsystem->nqn,
			  subsystem->cntlid_min, subsystem->cntlid_max, subsystem->any_host ? "  any host" : "") != 0)
		return -1;
	for (size_t i = 0; i < subsystem->hosts.count; i++) {
		if (buffer_printf(output, "          host %s\n", subsystem->hosts.items[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		const struct observed_namespace *ns = &subsystem->namespaces.items[i];

		uuid_text_format(ns->uuid, uuid);
		if (buffer_printf(output, "          namespace %" PRIu64 "  %s  uuid %s  group %" PRIu64 "%s\n",
				  ns->nsid, or_empty(ns->path), uuid, ns->group, ns->enabled ? "" : "  disabled") != 0)
			return -1;
	}
	return 0;
}

int text_observed_print(const struct observed *observed, struct buffer *output)
{
	char uuid[UUID_TEXT_SIZE];
	int result = 0;

	for (size_t i = 0; i < observed->disks.count && result == 0; i++) {
		const struct observed_disk *disk = &observed->disks.items[i];

		result = buffer_printf(output,
				       "disk      %s  %" PRIu64 ":%" PRIu64 "  %" PRIu64 " bytes  serial %s%s%s%s\n",
				       disk->path, disk->major, disk->minor, disk->size_bytes, or_empty(disk->serial),
				       disk->in_use ? "  in use: " : "", disk->in_use ? or_empty(disk->used_by) : "",
				       !disk->volatile_cache	? ""
				       : disk->cache_switchable ? "  volatile cache, can be switched off"
								: "  volatile cache");
	}
	for (size_t i = 0; i < observed->dms.count && result == 0; i++)
		result = print_dm(&observed->dms.items[i], output);
	for (size_t i = 0; i < observed->ports.count && result == 0; i++)
		result = print_port(&observed->ports.items[i], output);
	for (size_t i = 0; i < observed->subsystems.count && result == 0; i++)
		result = print_subsystem(&observed->subsystems.items[i], output);
	for (size_t i = 0; i < observed->imports.count && result == 0; i++) {
		const struct observed_import *import = &observed->imports.items[i];

		result = buffer_printf(output, "import    nvme%" PRIu64 "  %s  at %s:%s  as %s  %s%s%s\n",
				       import->instance, import->nqn, import->address, import->trsvcid,
				       or_empty(import->host_nqn), import->state,
				       or_empty(import->ana)[0] != '\0' ? "  " : "", or_empty(import->ana));
	}
	for (size_t i = 0; i < observed->import_namespaces.count && result == 0; i++) {
		const struct observed_import_namespace *ns = &observed->import_namespaces.items[i];

		uuid_text_format(ns->uuid, uuid);
		result = buffer_printf(output,
				       "namespace %s  %" PRIu64 ":%" PRIu64 "  %" PRIu64 " bytes  uuid %s  of %s\n",
				       ns->path, ns->major, ns->minor, ns->size_bytes, uuid, ns->nqn);
	}
	for (size_t i = 0; i < observed->errors.count && result == 0; i++) {
		const struct ld_errors *errors = &observed->errors.items[i];

		result = buffer_printf(output, "errors    ld%" PRIu64 "  reads %" PRIu64 "  writes %" PRIu64 "%s\n",
				       errors->ld, errors->reads, errors->writes,
				       errors->missed ? "  some may be missed" : "");
	}
	for (size_t i = 0; i < observed->pauses.count && result == 0; i++)
		result = print_pause(&observed->pauses.items[i], output);
	return result;
}

/* --- JSON --- */

int text_json_print(const struct schema *schema, const void *record, struct buffer *output, struct error *error)
{
	struct json_object *object = json_record_make(schema, record);
	const char *text;
	int result = -1;

	if (object == NULL)
		return error_set_nomem(error);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text != NULL)
		result = buffer_printf(output, "%s\n", text);
	json_object_put(object);
	return result == 0 ? 0 : error_set_nomem(error);
}

/* JSON as MessagePack: the codec then finds what is wrong, and names it. Depth is bounded by the parser. */
static int pack(msgpack_packer *packer, struct json_object *object, struct error *error)
{
	int code = 0;

	switch (json_object_get_type(object)) {
	case json_type_null:
		return msgpack_pack_nil(packer) != 0 ? error_set_nomem(error) : 0;
	case json_type_boolean:
		return (json_object_get_boolean(object) ? msgpack_pack_true(packer) : msgpack_pack_false(packer)) != 0
			       ? error_set_nomem(error)
			       : 0;
	case json_type_double:
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s is not a whole number",
				 json_object_get_string(object));
	case json_type_int:
		if (json_object_get_int64(object) < 0)
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s is negative",
					 json_object_get_string(object));
		return msgpack_pack_uint64(packer, json_object_get_uint64(object)) != 0 ? error_set_nomem(error) : 0;
	case json_type_string:
		if (msgpack_pack_str(packer, (size_t)json_object_get_string_len(object)) != 0 ||
		    msgpack_pack_str_body(packer, json_object_get_string(object),
					  (size_t)json_object_get_string_len(object)) != 0)
			return error_set_nomem(error);
		return 0;
	case json_type_array:
		if (msgpack_pack_array(packer, json_object_array_length(object)) != 0)
			return error_set_nomem(error);
		for (size_t i = 0; i < json_object_array_length(object) && code == 0; i++)
			code = pack(packer, json_object_array_get_idx(object, i), error);
		return code;
	case json_type_object:
		break;
	}
	if (msgpack_pack_map(packer, (size_t)json_object_object_length(object)) != 0)
		return error_set_nomem(error);
	json_object_object_foreach(object, key, value)
	{
		if (msgpack_pack_str(packer, strlen(key)) != 0 || msgpack_pack_str_body(packer, key, strlen(key)) != 0)
			return error_set_nomem(error);
		code = pack(packer, value, error);
		if (code != 0)
			return code;
	}
	return 0;
}

int text_json_parse(const struct schema *schema, const char *text, size_t length, struct arena *arena, void *ret_record,
		    struct error *error)
{
	struct json_tokener *tokener = json_tokener_new_ex((int)LIMIT_FRAME_DEPTH);
	struct json_object *object = NULL;
	struct buffer bytes = BUFFER_INIT;
	msgpack_packer packer;
	int code = 0;

	if (tokener == NULL)
		return error_set_nomem(error);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	if (length > INT32_MAX)
		code = error_set(error, ERROR_TOO_LARGE, "the text is too long");
	else
		object = json_tokener_parse_ex(tokener, text, (int)length + 1);
	if (code == 0 && object == NULL)
		code = error_set(error, ERROR_INVALID_ARGUMENT, "not JSON: %s at byte %zu",
				 json_tokener_error_desc(json_tokener_get_error(tokener)),
				 json_tokener_get_parse_end(tokener));
	if (code == 0) {
		msgpack_packer_init(&packer, &bytes, codec_buffer_write);
		code = pack(&packer, object, error);
	}
	if (code == 0)
		code = codec_decode(schema, buffer_bytes(&bytes), arena, ret_record, error);
	json_object_put(object);
	json_tokener_free(tokener);
	buffer_free(&bytes);
	return code;
}

int text_json_load(const struct schema *schema, const char *path, struct arena *arena, void *ret_record,
		   struct error *error)
{
	struct buffer content = BUFFER_INIT;
	FILE *stream = fopen(path, "re");
	char part[65536];
	size_t size;
	int code = 0;

	if (stream == NULL)
		return error_set_errno(error, errno, "cannot read %s", path);
	while (code == 0 && (size = fread(part, 1, sizeof(part), stream)) > 0) {
		if (buffer_append(&content, part, size) != 0)
			code = error_set_nomem(error);
	}
	fclose(stream);
	if (code == 0 && buffer_append(&content, "", 1) != 0)
		code = error_set_nomem(error);
	if (code == 0) {
		code = text_json_parse(schema, (const char *)content.data, content.size - 1, arena, ret_record, error);
		if (code != 0)
			error_prefix(error, "%s", path);
	}
	buffer_free(&content);
	return code;
}
