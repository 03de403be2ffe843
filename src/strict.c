/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/strict.h"

#include <stdio.h>
#include <string.h>

#include "lib/wire/value.h"

#define SHOWN_BYTES 64

static const struct schema_field *field_find(const struct schema *schema, const struct value *key)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (key->type == VALUE_TEXT && key->number == strlen(field->name) &&
		    memcmp(key->bytes, field->name, key->number) == 0)
			return field;
		if (key->type == VALUE_UNSIGNED && key->number == field->tag)
			return field;
	}
	return NULL;
}

/* Bytes of a stranger, made fit for a message. */
static void key_show(const struct value *key, char shown[SHOWN_BYTES])
{
	size_t length;

	if (key->type != VALUE_TEXT) {
		snprintf(shown, SHOWN_BYTES, "(a key that is no text)");
		return;
	}
	length = key->number < SHOWN_BYTES - 1 ? key->number : SHOWN_BYTES - 1;
	for (size_t i = 0; i < length; i++)
		shown[i] = key->bytes[i] >= 0x20 && key->bytes[i] < 0x7f ? key->bytes[i] : '?';
	shown[length] = '\0';
}

static int unknown(const struct schema *schema, const struct value *key, struct error *error)
{
	char shown[SHOWN_BYTES], known[ERROR_HINT_SIZE - 32] = "";
	size_t used = 0;

	key_show(key, shown);
	for (size_t i = 0; i < schema->field_count; i++) {
		size_t length = strlen(schema->fields[i].name);

		if (used + length + 3 > sizeof(known))
			break;
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
					 schema->fields[i].name);
	}
	error_set(error, ERROR_INVALID_ARGUMENT, "%s: unknown field", shown);
	error_hint(error, "fields are: %s", known);
	return ERROR_INVALID_ARGUMENT;
}

static int record_check(const struct schema *schema, struct value_reader *reader, struct error *error);

/* Passes over the value. */
static int field_check(const struct schema_field *field, struct value_reader *reader, struct error *error)
{
	struct value_reader list = *reader;
	struct value head;

	if (field->type == FIELD_ONE) {
		if (record_check(field->record(), reader, error) != 0)
			return error_prefix(error, "%s", field->name);
		return 0;
	}
	if (field->type != FIELD_LIST || value_read(&list, &head) != 0 || head.type != VALUE_ARRAY)
		return value_skip(reader), 0;
	for (uint64_t i = 0; i < head.number && list.at != list.end; i++) {
		if (record_check(field->record(), &list, error) != 0)
			return error_prefix(error, "%s[%u]", field->name, (unsigned)i);
	}
	*reader = list;
	return 0;
}

/* Passes over what may be no map. What is cut short is the decoder's business, too. */
static int record_check(const struct schema *schema, struct value_reader *reader, struct error *error)
{
	struct value head, key;

	if (value_read(reader, &head) != 0)
		return 0;
	if (head.type != VALUE_MAP)
		return value_skip_rest(reader, &head), 0;
	for (uint64_t i = 0; i < head.number && value_read(reader, &key) == 0; i++) {
		const struct schema_field *field = field_find(schema, &key);
		int rv = field == NULL ? unknown(schema, &key, error) : field_check(field, reader, error);

		if (rv != 0)
			return rv;
	}
	return 0;
}

int strict_check(const struct schema *schema, struct bytes bytes, struct error *error)
{
	struct value_reader reader = value_reader_of(bytes);

	return record_check(schema, &reader, error);
}
