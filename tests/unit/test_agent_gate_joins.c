/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who was let in at the gate: what an agent makes of the kernel's sets, and what it tells the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/backend/linux/gate_joins.h"

static const char generations[] = "table inet dnvme {\n"
				  "\tset generation4 {\n"
				  "\t\ttype ipv4_addr . inet_service\n"
				  "\t\telements = { 10.0.0.2 . 20001 comment \"7.17\",\n"
				  "\t\t\t     10.0.0.3 . 20001 comment \"7.18\" }\n"
				  "\t}\n"
				  "}\n"
				  "table inet dnvme {\n"
				  "\tset generation6 {\n"
				  "\t\ttype ipv6_addr . inet_service\n"
				  "\t\telements = { fd00::3 . 20002 comment \"8.3\" }\n"
				  "\t}\n"
				  "}\n";
static const char joined[] = "table inet dnvme {\n"
			     "\tset joined4 {\n"
			     "\t\ttype ipv4_addr . inet_service\n"
			     "\t\tsize 65536\n"
			     "\t\tflags dynamic\n"
			     "\t\telements = { 10.0.0.2 . 20001, 10.0.0.2 . 20003 }\n"
			     "\t}\n"
			     "}\n";

static void expect_text(const struct buffer *text, const char *wanted, bool is)
{
	char copy[4096] = "";

	assert_true(text->size < sizeof(copy));
	memcpy(copy, text->data, text->size);
	if ((strstr(copy, wanted) != NULL) != is)
		fail_msg("\"%s\" is %s\n%s", wanted, is ? "not in" : "in", copy);
}

/* An agent that starts: who was let in stays so, in its generation. */
static void test_joins(void **state)
{
	struct kernel_peer items[] = {
		{ .address = "10.0.0.2", .port = 20001, .volume = 7, .generation = 17 },
		{ .address = "10.0.0.3", .port = 20001, .volume = 7, .generation = 18 },
		{ .address = "fd00::3", .port = 20002, .volume = 8, .generation = 3 },
	};
	struct kernel_peer_list peers = { 3, items };
	struct gate_joins joins = { 0 };
	struct buffer text = BUFFER_INIT;

	(void)state;
	assert_int_equal(gate_joins_read(&joins, generations), 0);
	assert_int_equal(gate_joins_read(&joins, joined), 0);
	assert_int_equal(gate_joins_read(&joins, "table inet dnvme {\n\tset joined6 {\n\t}\n}\n"), 0);
	gate_joins_tell(&joins, &peers);
	assert_true(items[0].joined);
	assert_false(items[1].joined);
	assert_false(items[2].joined);
	/* The kernel keeps it; and if somebody flushed the rules, it is there again. */
	assert_int_equal(gate_joins_print(&joins, &peers, &text), 0);
	expect_text(&text, "delete", false);
	expect_text(&text, "add element inet dnvme joined4 { 10.0.0.2 . 20001 }\n", true);
	expect_text(&text, "joined4 { 10.0.0.3", false);
	expect_text(&text, "add element inet dnvme generation6 { fd00::3 . 20002 comment \"8.3\" }\n", true);
	/* The next generation begins without it; another one goes on. */
	items[0].generation++;
	buffer_clear(&text);
	assert_int_equal(gate_joins_print(&joins, &peers, &text), 0);
	expect_text(&text, "delete element inet dnvme joined4 { 10.0.0.2 . 20001 }\n", true);
	expect_text(&text, "delete element inet dnvme joined4 { 10.0.0.3", false);
	expect_text(&text, "add element inet dnvme generation4 { 10.0.0.2 . 20001 comment \"7.18\" }\n", true);
	assert_int_equal(gate_joins_take(&joins, &peers), 0);
	gate_joins_tell(&joins, &peers);
	assert_false(items[0].joined);
	assert_int_equal(gate_joins_read(&joins, joined), 0);
	gate_joins_tell(&joins, &peers);
	assert_true(items[0].joined);
	/* So does another volume at the port. */
	items[0].volume++;
	buffer_clear(&text);
	assert_int_equal(gate_joins_print(&joins, &peers, &text), 0);
	expect_text(&text, "delete element inet dnvme joined4 { 10.0.0.2 . 20001 }\n", true);
	/* Without one it comes as often as it likes. */
	items[0].generation = 0;
	buffer_clear(&text);
	assert_int_equal(gate_joins_print(&joins, &peers, &text), 0);
	expect_text(&text, "delete element inet dnvme generation4 { 10.0.0.2 . 20001 }\n", true);
	expect_text(&text, "generation4 { 10.0.0.2 . 20001 comment", false);
	buffer_clear(&text);
	assert_int_equal(gate_joins_leave_print(&joins, 20002, &text), 0);
	expect_text(&text, "delete element inet dnvme generation6 { fd00::3 . 20002 }\n", true);
	expect_text(&text, "10.0.0.2", false);
	gate_joins_leave(&joins, 20002);
	buffer_clear(&text);
	assert_int_equal(gate_joins_leave_print(&joins, 20002, &text), 0);
	assert_int_equal(text.size, 0);
	buffer_free(&text);
	gate_joins_free(&joins);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_joins) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
