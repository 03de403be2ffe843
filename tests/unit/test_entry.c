/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raft/entry.h"
#include "tests/unit/failing_alloc.h"

static const struct bytes sample[] = { { (const uint8_t *)"abc", 3 },
				       { NULL, 0 },
				       { (const uint8_t *)"0123456789", 10 } };

static void entries_round_trip(void **state)
{
	(void)state;
	for (size_t count = 1; count <= 3; count++) {
		size_t total = (count > 0 ? 3 : 0) + (count > 2 ? 10 : 0), size = entry_size(count, total), found;
		uint8_t *memory = malloc(size);
		struct bytes *commands;

		assert_int_equal(size % 8, 0);
		memset(memory, 0xee, size);
		entry_pack(sample, count, memory);
		assert_int_equal(entry_unpack((struct bytes){ memory, size }, &commands, &found, NULL), 0);
		assert_int_equal(found, count);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(commands[i].size, sample[i].size);
			if (sample[i].size > 0)
				assert_memory_equal(commands[i].data, sample[i].data, sample[i].size);
		}
		free(commands);
		free(memory);
	}
}

static void damaged_entries_are_refused(void **state)
{
	size_t size = entry_size(3, 13), found;
	uint8_t *memory = malloc(size);
	struct bytes *commands;
	struct error error;

	(void)state;
	entry_pack(sample, 3, memory);
	/* The last ones cut only the padding: it was not this that was committed, either. */
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(entry_unpack((struct bytes){ memory, cut }, &commands, &found, &error),
				 ERROR_FAILED_PRECONDITION);
	assert_int_equal(entry_unpack((struct bytes){ memory, 0 }, &commands, &found, &error),
			 ERROR_FAILED_PRECONDITION);
	memory[7] = 0x7f; /* count */
	assert_int_equal(entry_unpack((struct bytes){ memory, size }, &commands, &found, &error),
			 ERROR_FAILED_PRECONDITION);
	entry_pack(sample, 3, memory);
	memory[0]++;
	assert_int_equal(entry_unpack((struct bytes){ memory, size }, &commands, &found, &error),
			 ERROR_FAILED_PRECONDITION);
	entry_pack(sample, 3, memory);
	failing_alloc_arm(1);
	assert_int_equal(entry_unpack((struct bytes){ memory, size }, &commands, &found, &error), ERROR_INTERNAL);
	assert_true(failing_alloc_disarm());
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_round_trip),
		cmocka_unit_test(damaged_entries_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
