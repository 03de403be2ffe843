/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/shape.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/words.h"
#include "lib/base/limits.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/frame.h"

#define STRING_MAX 4200u

struct maker {
	struct shape *shape;
	msgpack_packer packer;
	long countdown; /* values until the one that is changed; negative: it was */
};

static bool is_wild(struct maker *maker)
{
	return maker->shape->wild > 0 && dice_once_in(&maker->shape->dice, maker->shape->wild);
}

static uint64_t roll(struct maker *maker, uint64_t sides)
{
	return dice_roll(&maker->shape->dice, sides);
}

static void pack_text(struct maker *maker, const char *text, size_t length)
{
	msgpack_pack_str(&maker->packer, length);
	msgpack_pack_str_body(&maker->packer, text, length);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void make_u64(struct maker *maker, const struct schema_field *field)
{
	uint64_t value, span = field->max - field->min;

	if (is_wild(maker)) {
		value = roll(maker, 2) && field->min > 0 ? field->min - 1 : field->max + 1;
	} else if (words_number(field->name, &maker->shape->dice, &value) && value >= field->min &&
		   value <= field->max) {
		/* as it is */
	} else {
		switch (roll(maker, 8)) {
		case 0:
			value = field->min;
			break;
		case 1:
			value = field->max;
			break;
		case 2:
			value = field->max - (span > 0);
			break;
		case 3:
			value = UINT64_C(1) << roll(maker, 64);
			break;
		case 4:
			value = roll(maker, UINT64_MAX);
			break;
		default:
			value = field->min + roll(maker, span < 16 ? span + 1 : 16);
		}
		if (value < field->min || value > field->max)
			value = field->min + (span == UINT64_MAX ? value : value % (span + 1));
	}
	msgpack_pack_uint64(&maker->packer, value);
}

/* A string of exactly so many bytes. */
static void make_length(struct maker *maker, size_t length)
{
	char text[STRING_MAX];

	if (length > sizeof(text))
		length = sizeof(text);
	for (size_t i = 0; i < length; i++)
		text[i] = (char)('a' + roll(maker, 26));
	pack_text(maker, text, length);
}

static void make_string(struct maker *maker, const struct schema_field *field)
{
	uint64_t max = field->type == FIELD_STRINGS ? field->min : field->max;
	char text[STRING_MAX];

	if (is_wild(maker)) {
		if (roll(maker, 2))
			make_length(maker, max + 1);
		else
			pack_text(maker, "\xc3\x28\x01 A/", roll(maker, 7));
	} else if (dice_once_in(&maker->shape->dice, 12)) {
		make_length(maker, max);
	} else {
		words_text(field->name, field->type == FIELD_NAME, &maker->shape->dice, text, sizeof(text));
		pack_text(maker, text, strlen(text) <= max ? strlen(text) : max);
	}
}

static void make_id(struct maker *maker, const struct schema_field *field)
{
	/* Volumes, disks, jobs and LDs that there are in the small world, and a few more. */
	uint64_t some = strcmp(field->prefix, "v") == 0	  ? 4
			: strcmp(field->prefix, "d") == 0 ? 7
			: strcmp(field->prefix, "j") == 0 ? 3
							  : 14;
	uint64_t id = 1 + roll(maker, roll(maker, 16) ? some : 40);
	char text[NAMES_ID_SIZE + 2];

	if (is_wild(maker))
		id = roll(maker, 2) ? 0 : UINT64_MAX;
	if (maker->shape->style == CODEC_TAGGED) {
		msgpack_pack_uint64(&maker->packer, id);
		return;
	}
	snprintf(text, sizeof(text), "%s%" PRIu64, is_wild(maker) ? "x" : field->prefix, id);
	pack_text(maker, text, strlen(text));
}

static void make_uuid(struct maker *maker)
{
	uint8_t uuid[16];
	char text[UUID_TEXT_SIZE];

	memset(uuid, (int)roll(maker, 4), sizeof(uuid));
	if (roll(maker, 2))
		uuid[roll(maker, sizeof(uuid))] = (uint8_t)roll(maker, 256);
	if (maker->shape->style == CODEC_TAGGED) {
		size_t size = is_wild(maker) ? 15 + 2 * roll(maker, 2) : 16;

		msgpack_pack_bin(&maker->packer, size);
		msgpack_pack_bin_body(&maker->packer, "0123456789abcdefg", size > 16 ? 17 : 0);
		if (size <= 16)
			msgpack_pack_bin_body(&maker->packer, uuid, size);
		return;
	}
	uuid_text_format(uuid, text);
	pack_text(maker, text, UUID_TEXT_SIZE - 1 - (is_wild(maker) ? 1 : 0));
}

static void make_enum(struct maker *maker, const struct schema_field *field)
{
	const struct enum_schema *values = field->values();
	const struct enum_value *value = &values->values[roll(maker, values->count)];

	if (is_wild(maker))
		msgpack_pack_uint64(&maker->packer, roll(maker, 300));
	else if (maker->shape->style == CODEC_TAGGED || dice_once_in(&maker->shape->dice, 8))
		msgpack_pack_int(&maker->packer, value->number);
	else
		pack_text(maker, value->name, strlen(value->name));
}

static void make_binary(struct maker *maker, const struct schema_field *field)
{
	uint8_t bytes[4096] = { 0 };
	size_t size = field->max <= LIMIT_REQUEST_ID && roll(maker, 4) ? field->max : roll(maker, 24);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)roll(maker, 256);
	if (is_wild(maker))
		size = field->max + 1 < sizeof(bytes) ? field->max + 1 : sizeof(bytes);
	if (roll(maker, 4)) {
		msgpack_pack_bin(&maker->packer, size);
		msgpack_pack_bin_body(&maker->packer, bytes, size);
	} else {
		pack_text(maker, (const char *)bytes, size);
	}
}

static size_t count_choose(struct maker *maker, const struct schema_field *field)
{
	size_t count = roll(maker, 4);

	if (maker->shape->budget == 0)
		return 0;
	if (dice_once_in(&maker->shape->dice, 16))
		count = roll(maker, 20);
	if (count > field->max)
		count = field->max;
	if (is_wild(maker) && field->max <= 64)
		count = field->max + 1;
	return count;
}

static void make_record(struct maker *maker, const struct schema *schema);

/* Anything that is not of the field's type. */
static void make_other(struct maker *maker)
{
	switch (roll(maker, 6)) {
	case 0:
		msgpack_pack_nil(&maker->packer);
		break;
	case 1:
		msgpack_pack_int64(&maker->packer, -1 - (int64_t)roll(maker, 300));
		break;
	case 2:
		msgpack_pack_double(&maker->packer, 0.5);
		break;
	case 3:
		msgpack_pack_array(&maker->packer, 0);
		break;
	case 4:
		msgpack_pack_map(&maker->packer, 0);
		break;
	default:
		msgpack_pack_ext(&maker->packer, 2, 5);
		msgpack_pack_ext_body(&maker->packer, "ab", 2);
	}
}

static void make_value(struct maker *maker, const struct schema_field *field)
{
	size_t count;

	if (maker->shape->budget > 0)
		maker->shape->budget--;
	if (is_wild(maker) && roll(maker, 2)) {
		make_other(maker);
		return;
	}
	switch (field->type) {
	case FIELD_U64:
		make_u64(maker, field);
		break;
	case FIELD_FLAG:
		if (roll(maker, 2))
			msgpack_pack_true(&maker->packer);
		else
			msgpack_pack_false(&maker->packer);
		break;
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		make_string(maker, field);
		break;
	case FIELD_BINARY:
		make_binary(maker, field);
		break;
	case FIELD_UUID:
		make_uuid(maker);
		break;
	case FIELD_ID:
		make_id(maker, field);
		break;
	case FIELD_ENUM:
		make_enum(maker, field);
		break;
	case FIELD_ONE:
		make_record(maker, field->record());
		break;
	case FIELD_LIST:
		count = count_choose(maker, field);
		msgpack_pack_array(&maker->packer, count);
		for (size_t i = 0; i < count; i++)
			make_record(maker, field->record());
		break;
	case FIELD_STRINGS:
		count = count_choose(maker, field);
		msgpack_pack_array(&maker->packer, count);
		for (size_t i = 0; i < count; i++)
			make_string(maker, field);
		break;
	}
}

static void make_key(struct maker *maker, const struct schema_field *field)
{
	if (maker->shape->style == CODEC_TAGGED)
		msgpack_pack_uint32(&maker->packer, field->tag);
	else
		pack_text(maker, field->name, strlen(field->name));
}

/* Exactly one of the records that are fields is there (struct command). */
static bool is_choice(const struct schema *schema)
{
	return strcmp(schema->name, "command") == 0;
}

static void make_record(struct maker *maker, const struct schema *schema)
{
	size_t present = 0, chosen = schema->field_count;
	uint64_t picked = 0;

	if (is_choice(schema)) {
		do
			chosen = maker->shape->choice > 0 ? maker->shape->choice - 1 : roll(maker, schema->field_count);
		while (schema->fields[chosen].type != FIELD_ONE);
	}
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		bool pick = field->required || (maker->shape->budget > 0 && roll(maker, 2));

		if (is_choice(schema) && field->type == FIELD_ONE)
			pick = i == chosen;
		if (pick && is_wild(maker))
			pick = false;
		picked |= (uint64_t)pick << i;
		present += pick;
	}
	msgpack_pack_map(&maker->packer, present);
	for (size_t i = 0; i < schema->field_count; i++) {
		if (!(picked >> i & 1))
			continue;
		make_key(maker, &schema->fields[i]);
		make_value(maker, &schema->fields[i]);
	}
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static const struct schema_field *field_of(const struct schema *schema, const msgpack_object *key)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (key->type == MSGPACK_OBJECT_POSITIVE_INTEGER && key->via.u64 == field->tag)
			return field;
		if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(field->name) &&
		    memcmp(key->via.str.ptr, field->name, key->via.str.size) == 0)
			return field;
	}
	return NULL;
}

/* Values that may be changed: each map, and each field of it that the schema knows. */
static long count_points(const struct schema *schema, const msgpack_object *object)
{
	long count = 1;

	if (object->type != MSGPACK_OBJECT_MAP)
		return 0;
	for (uint32_t i = 0; i < object->via.map.size; i++) {
		const msgpack_object *value = &object->via.map.ptr[i].val;
		const struct schema_field *field = field_of(schema, &object->via.map.ptr[i].key);

		if (field == NULL)
			continue;
		count++;
		if (field->type == FIELD_ONE)
			count += count_points(field->record(), value);
		for (uint32_t j = 0;
		     field->type == FIELD_LIST && value->type == MSGPACK_OBJECT_ARRAY && j < value->via.array.size; j++)
			count += count_points(field->record(), &value->via.array.ptr[j]);
	}
	return count;
}

static void change_record(struct maker *maker, const struct schema *schema, const msgpack_object *object);

static void pack_element(struct maker *maker, const struct schema_field *field, const msgpack_object *element)
{
	if (field->type == FIELD_LIST)
		change_record(maker, field->record(), element);
	else
		msgpack_pack_object(&maker->packer, *element);
}

/* An element goes, comes twice, changes places, or a new one is made. */
static void change_list(struct maker *maker, const struct schema_field *field, const msgpack_object *list)
{
	uint32_t size = list->via.array.size, at = (uint32_t)roll(maker, size), other = (uint32_t)roll(maker, size);
	uint64_t kind = size == 0 ? 0 : roll(maker, 4);

	msgpack_pack_array(&maker->packer, kind == 1 ? size - 1 : kind == 2 ? size : size + 1);
	for (uint32_t i = 0; i < size; i++) {
		if (kind == 1 && i == at)
			continue;
		if (kind == 2 && (i == at || i == other))
			pack_element(maker, field, &list->via.array.ptr[i == at ? other : at]);
		else
			pack_element(maker, field, &list->via.array.ptr[i]);
		if (kind == 3 && i == at)
			pack_element(maker, field, &list->via.array.ptr[other]);
	}
	if (kind != 0)
		return;
	if (field->type == FIELD_LIST)
		make_record(maker, field->record());
	else
		make_string(maker, field);
}

static void change_value(struct maker *maker, const struct schema_field *field, const msgpack_object *value)
{
	if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && roll(maker, 2)) {
		msgpack_pack_uint64(&maker->packer, value->via.u64 + roll(maker, 5) - 2);
	} else if (value->type == MSGPACK_OBJECT_ARRAY && (field->type == FIELD_LIST || field->type == FIELD_STRINGS) &&
		   roll(maker, 4)) {
		change_list(maker, field, value);
	} else {
		make_value(maker, field);
	}
}

static void change_record(struct maker *maker, const struct schema *schema, const msgpack_object *object)
{
	uint32_t size = object->via.map.size, at;
	uint64_t kind = 3;

	if (object->type != MSGPACK_OBJECT_MAP || maker->countdown < 0) {
		msgpack_pack_object(&maker->packer, *object);
		return;
	}
	/* The map itself: a field goes, comes twice, or comes. */
	if (maker->countdown-- == 0)
		kind = size == 0 ? 2 : roll(maker, 3);
	at = (uint32_t)roll(maker, size);
	msgpack_pack_map(&maker->packer, kind == 0 ? size - 1 : kind == 3 ? size : size + 1);
	for (uint32_t i = 0; i < size; i++) {
		const msgpack_object_kv *pair = &object->via.map.ptr[i];
		const struct schema_field *field = field_of(schema, &pair->key);

		if (kind == 0 && i == at)
			continue;
		for (unsigned twice = kind == 1 && i == at; twice <= 1; twice--) {
			msgpack_pack_object(&maker->packer, pair->key);
			if (field != NULL && maker->countdown-- == 0)
				change_value(maker, field, &pair->val);
			else if (field != NULL && field->type == FIELD_ONE)
				change_record(maker, field->record(), &pair->val);
			else if (field != NULL && field->type == FIELD_LIST && pair->val.type == MSGPACK_OBJECT_ARRAY) {
				msgpack_pack_array(&maker->packer, pair->val.via.array.size);
				for (uint32_t j = 0; j < pair->val.via.array.size; j++)
					change_record(maker, field->record(), &pair->val.via.array.ptr[j]);
			} else {
				msgpack_pack_object(&maker->packer, pair->val);
			}
		}
	}
	if (kind == 2) {
		const struct schema_field *field = &schema->fields[roll(maker, schema->field_count)];

		if (is_wild(maker))
			msgpack_pack_uint32(&maker->packer, 1000);
		else
			make_key(maker, field);
		make_value(maker, field);
	}
}

void shape_record(struct shape *shape, const struct schema *schema, struct buffer *output)
{
	struct maker maker = { .shape = shape };

	msgpack_packer_init(&maker.packer, output, codec_buffer_write);
	make_record(&maker, schema);
}

bool shape_mutate(struct shape *shape, const struct schema *schema, struct bytes input, struct buffer *output)
{
	struct maker maker = { .shape = shape };
	struct frame_scanner scanner;
	msgpack_unpacked unpacked;
	size_t used = 0, offset = 0;
	int complete = 0;
	bool done = false;

	frame_scanner_init(&scanner, LIMIT_FRAME_PEER_BYTES);
	if (input.size == 0 || frame_scanner_feed(&scanner, input.data, input.size, &used, &complete, NULL) != 0 ||
	    !complete)
		return false;
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, (const char *)input.data, used, &offset) == MSGPACK_UNPACK_SUCCESS &&
	    unpacked.data.type == MSGPACK_OBJECT_MAP) {
		msgpack_packer_init(&maker.packer, output, codec_buffer_write);
		maker.countdown = (long)roll(&maker, (uint64_t)count_points(schema, &unpacked.data));
		change_record(&maker, schema, &unpacked.data);
		done = true;
	}
	msgpack_unpacked_destroy(&unpacked);
	return done;
}
