/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

struct libscols_table *table_new(const char *columns)
{
	struct libscols_table *table = scols_new_table();
	char *copy = strdup(columns), *save = NULL;

	if (table == NULL || copy == NULL)
		goto cleanup;
	/* In a pipe nothing may be cut to the width of a terminal that is not there. */
	scols_table_enable_nowrap(table, 1);
	for (char *name = strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
		bool right = *name == '<';

		if (scols_table_new_column(table, name + right, 0.1, right ? SCOLS_FL_RIGHT : 0) == NULL)
			goto cleanup;
	}
	free(copy);
	return table;
cleanup:
	free(copy);
	scols_unref_table(table);
	return NULL;
}

struct libscols_line *table_line(struct libscols_table *table)
{
	return scols_table_new_line(table, NULL);
}

int table_cell(struct libscols_line *line, unsigned column, const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return -1;
	if (scols_line_refer_data(line, column, text) != 0) {
		free(text);
		return -1;
	}
	return 0;
}

int table_print(struct libscols_table *table, struct error *error)
{
	int rc = scols_print_table(table);

	scols_unref_table(table);
	return rc != 0 ? error_set(error, ERROR_INTERNAL, "cannot print a table") : 0;
}
