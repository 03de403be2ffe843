/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the tables of docs/PROTOCOL.md from the schema. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/model/records.h"
#include "lib/wire/methods.h"

static void print_type(const struct schema_field *field)
{
	switch (field->type) {
	case FIELD_U64:
		if (field->max == UINT64_MAX && field->min == 0)
			printf("integer");
		else if (field->max == UINT64_MAX)
			printf("integer, from %" PRIu64, field->min);
		else
			printf("integer, %" PRIu64 " to %" PRIu64, field->min, field->max);
		break;
	case FIELD_FLAG:
		printf("boolean");
		break;
	case FIELD_NAME:
		printf("name, at most %" PRIu64 " bytes", field->max);
		break;
	case FIELD_STRING:
	case FIELD_TEXT:
		printf("%s, at most %" PRIu64 " bytes", field->type == FIELD_TEXT ? "text" : "string", field->max);
		break;
	case FIELD_BINARY:
		printf("binary, at most %" PRIu64 " bytes", field->max);
		break;
	case FIELD_UUID:
		printf("UUID");
		break;
	case FIELD_ID:
		printf("id, `%s1`", field->prefix);
		break;
	case FIELD_ENUM:
		printf("%s", field->values()->name);
		break;
	case FIELD_ONE:
		printf("%s", field->record()->name);
		break;
	case FIELD_LIST:
		printf("array of %s, at most %" PRIu64, field->record()->name, field->max);
		break;
	case FIELD_STRINGS:
		printf("array of strings, at most %" PRIu64 " of %" PRIu64 " bytes", field->max, field->min);
		break;
	}
}

int main(void)
{
	const struct enum_schema *values;
	const struct schema *schema;

	printf("### Methods\n\n| method | request | reply | answered by | what it does |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < METHOD_ID_COUNT; i++) {
		const struct method *method = method_at((enum method_id)i);

		printf("| `%s` | %s | %s | %s | %s |\n", method->name, method->request()->name, method->reply()->name,
		       method->flags & METHOD_LOCAL    ? "any server, of itself"
		       : method->flags & METHOD_AGENT  ? "the leader, for agents"
		       : method->flags & METHOD_MUTATE ? "any server; a command"
						       : "any server; linearizable",
		       method->doc);
	}
	printf("\n### Enumerations\n\n| enumeration | values | what it is |\n|---|---|---|\n");
	for (size_t i = 0; (values = enum_schema_at(i)) != NULL; i++) {
		printf("| %s | ", values->name);
		for (size_t k = 0; k < values->count; k++)
			printf("%s`%s` (%d)", k > 0 ? ", " : "", values->values[k].name, values->values[k].number);
		printf(" | %s |\n", values->doc);
	}
	printf("\n### Records\n");
	for (size_t i = 0; (schema = schema_at(i)) != NULL; i++) {
		printf("\n**%s** – %s\n\n| tag | field | type | | meaning |\n|---|---|---|---|---|\n", schema->name,
		       schema->doc);
		for (size_t k = 0; k < schema->field_count; k++) {
			const struct schema_field *field = &schema->fields[k];

			printf("| %u | `%s` | ", field->tag, field->name);
			print_type(field);
			printf(" | %s | %s |\n", field->required ? "required" : "optional", field->doc);
		}
	}
	return 0;
}
