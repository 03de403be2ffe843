/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/error.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"
#include "lib/model/records.h"

static void every_record_is_well_formed(void **state)
{
	const struct schema *schema;
	size_t count = 0;

	(void)state;
	for (; (schema = schema_at(count)) != NULL; count++) {
		/* The decoder keeps the set of present fields in 64 bits. */
		assert_in_range(schema->field_count, 1, 64);
		for (size_t i = 0; i < schema->field_count; i++) {
			assert_true(schema->fields[i].tag > 0);
			for (size_t k = 0; k < i; k++) {
				assert_int_not_equal(schema->fields[i].tag, schema->fields[k].tag);
				assert_string_not_equal(schema->fields[i].name, schema->fields[k].name);
			}
		}
	}
	assert_true(count > 40);
}

static void names_round_trip(void **state)
{
	uint64_t id = 0;
	char text[NAMES_ID_SIZE];
	static const char *const bad[] = { "v", "v0", "v01", "v-1", "v1x", "x1", "", "v18446744073709551616" };

	(void)state;
	names_id_format("v", UINT64_MAX, text);
	assert_string_equal(text, "v18446744073709551615");
	assert_int_equal(names_id_parse("v", text, &id), 0);
	assert_true(id == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(names_id_parse("v", bad[i], &id), -1);
	assert_true(id == UINT64_MAX);
}

static void names_are_checked(void **state)
{
	struct error error = { 0 };
	char name[LIMIT_NAME + 2];
	static const char *const bad[] = { "", "-a", "a-", "A", "a b", "a.b", "ä" };

	(void)state;
	memset(name, 'a', sizeof(name));
	name[LIMIT_NAME] = '\0';
	assert_int_equal(names_name_check("name", name, &error), 0);
	name[LIMIT_NAME] = 'a';
	name[LIMIT_NAME + 1] = '\0';
	assert_int_equal(names_name_check("name", name, &error), ERROR_INVALID_ARGUMENT);
	assert_string_equal(error.message, "name has 64 bytes, the limit is 63");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(names_name_check("name", bad[i], &error), ERROR_INVALID_ARGUMENT);
	assert_int_equal(names_nqn_check("nqn", "nqn.2014-08.org.nvmexpress:uuid:1", &error), 0);
	assert_int_equal(names_nqn_check("nqn", "nqn.2014-08", &error), 0);
	assert_int_equal(names_nqn_check("nqn", "nqn.20140-8.x", &error), ERROR_INVALID_ARGUMENT);
	assert_int_equal(names_nqn_check("nqn", "nqn.2014-08.a/b", &error), ERROR_INVALID_ARGUMENT);
	assert_int_equal(names_nqn_check("nqn", "iqn.2014-08.a", &error), ERROR_INVALID_ARGUMENT);
}

static void only_our_own_names_are_ours(void **state)
{
	char nqn[NAMES_NQN_SIZE], uuid[NAMES_DM_UUID_SIZE];

	(void)state;
	names_volume_nqn("abc", 7, nqn);
	assert_string_equal(nqn, "nqn.2026-11.io.dnvme:abc:volume:v7");
	assert_true(names_nqn_is_ours("abc", nqn));
	assert_false(names_nqn_is_ours("ab", nqn));
	assert_false(names_nqn_is_ours("abcd", nqn));
	assert_false(names_nqn_is_ours("abc", "nqn.2014-08.org.nvmexpress:abc:volume:v7"));
	names_dm_uuid("abc", "ld", "ld5", 3, uuid);
	assert_string_equal(uuid, "DNVME-abc-ld-ld5-e3");
	assert_true(names_dm_uuid_is_ours("abc", uuid));
	assert_false(names_dm_uuid_is_ours("ab", uuid));
	assert_false(names_dm_uuid_is_ours("abc", "LVM-abc-ld-ld5-e3"));
}

static void controller_ids_of_colours_are_disjoint(void **state)
{
	(void)state;
	assert_int_equal(names_cntlid_min(0), 1);
	for (uint64_t colour = 0; colour < LIMIT_COLOURS; colour++) {
		assert_true(names_cntlid_max(colour) < 0xffef);
		if (colour > 0)
			assert_int_equal(names_cntlid_min(colour), names_cntlid_max(colour - 1) + 1);
	}
}

/* At 4 GiB, 16 TiB and the largest volume, one byte below and above: what is reserved holds the leg, and no less does.
 */
static void layout_reserves_enough_and_not_more(void **state)
{
	static const uint64_t points[] = { UINT64_C(1) << 20, UINT64_C(1) << 32, UINT64_C(1) << 44, UINT64_C(1) << 50,
					   UINT64_C(1) << 61 };
	uint64_t extent = LIMIT_EXTENT_BYTES_DEFAULT, extents, block;
	struct layout_group group;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		for (int64_t delta = -65536; delta <= 65536; delta += 65536) {
			uint64_t bytes = points[i] + (uint64_t)delta;

			block = layout_thin_block_bytes(bytes);
			assert_int_equal(block & (block - 1), 0);
			assert_int_equal(layout_ld_extents(bytes, block, extent, &extents, &error), 0);
			assert_int_equal(layout_group_compute(extents * extent, block, &group, &error), 0);
			assert_true(group.thin_data_bytes >= bytes);
			assert_true(group.raid_data_start + group.raid_data_bytes <= extents * extent);
			assert_true(group.thin_metadata_bytes + group.thin_data_bytes == group.raid_data_bytes);
			/* The wish is met with less than two extents and two blocks to spare. */
			assert_true(group.thin_data_bytes - bytes < 2 * extent + 2 * block);
		}
	}
	assert_int_equal(
		layout_ld_extents(LIMIT_VOLUME_BYTES_MAX, LAYOUT_THIN_BLOCK_MAX_BYTES, extent, &extents, &error),
		ERROR_INVALID_ARGUMENT);
	assert_int_equal(layout_ld_extents(0, LAYOUT_THIN_BLOCK_MIN_BYTES, extent, &extents, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(layout_ld_extents(UINT64_MAX, LAYOUT_THIN_BLOCK_MIN_BYTES, extent, &extents, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(layout_group_compute(0, LAYOUT_THIN_BLOCK_MIN_BYTES, &group, &error), ERROR_INVALID_ARGUMENT);
}

static void volume_sizes_round_up_to_stripes(void **state)
{
	uint64_t leg, volume;
	struct error error;

	(void)state;
	assert_int_equal(layout_leg_bytes(1 << 20, 3, LAYOUT_STRIPE_BYTES, &leg, &volume, &error), 0);
	assert_int_equal(leg, 6 * LAYOUT_STRIPE_BYTES);
	assert_int_equal(volume, 18 * LAYOUT_STRIPE_BYTES);
	assert_int_equal(layout_leg_bytes(LIMIT_VOLUME_BYTES_MAX, 1, LAYOUT_STRIPE_BYTES, &leg, &volume, &error), 0);
	assert_true(volume == LIMIT_VOLUME_BYTES_MAX);
	assert_int_equal(layout_leg_bytes(LIMIT_VOLUME_BYTES_MAX, 3, LAYOUT_STRIPE_BYTES, &leg, &volume, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(layout_leg_bytes(UINT64_MAX, 1, LAYOUT_STRIPE_BYTES, &leg, &volume, &error),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(layout_leg_bytes(0, 1, LAYOUT_STRIPE_BYTES, &leg, &volume, &error), ERROR_INVALID_ARGUMENT);
}

/* Eight bytes of a name are looked at together: each byte counts at each place, as it does alone. */
static void names_are_checked_bytewise(void **state)
{
	(void)state;
	for (size_t length = 1; length <= 20; length++) {
		for (size_t at = 0; at < length; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				char name[20];
				bool letter = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
				bool inner = at > 0 && at < length - 1;

				memset(name, 'x', sizeof(name));
				name[at] = (char)byte;
				assert_int_equal(names_name_is_valid(name, length), letter || (byte == '-' && inner));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked_bytewise),
		cmocka_unit_test(every_record_is_well_formed),
		cmocka_unit_test(names_round_trip),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(only_our_own_names_are_ours),
		cmocka_unit_test(controller_ids_of_colours_are_disjoint),
		cmocka_unit_test(layout_reserves_enough_and_not_more),
		cmocka_unit_test(volume_sizes_round_up_to_stripes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
