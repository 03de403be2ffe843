/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a text must say, and must not; a failure shows the whole of it. */
#ifndef DNVME_TESTS_UNIT_TEST_TEXT_H
#define DNVME_TESTS_UNIT_TEST_TEXT_H

void assert_contains(const char *text, const char *part);
void assert_lacks(const char *text, const char *part);
/* Both are there, the first one first. */
void assert_order(const char *text, const char *first, const char *second);

#endif
