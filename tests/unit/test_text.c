/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, text);
}

void assert_order(const char *text, const char *first, const char *second)
{
	assert_contains(text, first);
	assert_contains(text, second);
	if (strstr(text, first) > strstr(text, second))
		fail_msg("\"%s\" comes before \"%s\" in:\n%s", second, first, text);
}
