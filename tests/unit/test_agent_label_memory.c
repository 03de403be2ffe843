/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels that were read, and which observation they bear witness in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/label_memory.h"

#define DEVICE "dnvme-label-ld1"
#define UUID "DNVME-0123456789abcdef-label-ld1-e1"

static struct observed_dm dm = { .name = DEVICE, .uuid = UUID };
static const struct observed_label label = { .device = DEVICE, .uuid = UUID, .problem = "empty" };

/* What the look of this number, which saw the device or not, finds to be known of its label. */
static size_t known(struct label_memory *memory, uint64_t look, bool is_there)
{
	struct observed observed = { .dms = { is_there, &dm } };
	struct arena arena = ARENA_INIT;
	struct error error;
	size_t count;

	assert_int_equal(label_memory_add(memory, look, &observed, &arena, &error), 0);
	count = observed.labels.count;
	arena_free(&arena);
	return count;
}

static void test_goes_with_its_device(void **state)
{
	struct label_memory memory = { 0 };

	(void)state;
	label_memory_keep(&memory, &label);
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 1);
	assert_int_equal(known(&memory, label_memory_look(&memory), false), 0);
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 0);
	label_memory_free(&memory);
}

static void test_outlives_a_look_that_began_before(void **state)
{
	struct label_memory memory = { 0 };
	uint64_t early;

	(void)state;
	early = label_memory_look(&memory);
	label_memory_keep(&memory, &label);
	assert_int_equal(known(&memory, early, false), 0);
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 1);
	/* Only from such a look: the device is gone when a later one does not see it. */
	assert_int_equal(known(&memory, label_memory_look(&memory), false), 0);
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 0);
	label_memory_free(&memory);
}

static void test_made_again(void **state)
{
	struct label_memory memory = { 0 };

	(void)state;
	label_memory_keep(&memory, &label);
	dm.uuid = "DNVME-0123456789abcdef-label-ld1-e2";
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 0);
	dm.uuid = UUID;
	assert_int_equal(known(&memory, label_memory_look(&memory), true), 0);
	label_memory_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_with_its_device),
		cmocka_unit_test(test_outlives_a_look_that_began_before),
		cmocka_unit_test(test_made_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
