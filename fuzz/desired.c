/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the leader tells an agent, and what the agent sees of its kernel: from both comes a plan.
 *
 *   input: sequence.h; kind 0: a part of a desired state, kind 1: an observed kernel
 *
 * Whatever comes, there is a plan or an error. The state that an agent keeps is a state that the codec takes; the same
 * state gives the same plan; nothing is done to what is not of our cluster.
 */
#include <string.h>

#include "agent/desired_store.h"
#include "agent/plan.h"
#include "agent/status.h"
#include "agent/text.h"
#include "fuzz/sequence.h"
#include "lib/base/arena.h"
#include "lib/model/names.h"
#include "lib/model/records.h"

static const struct schema *(*const schemas[])(void) = { schema_desired, schema_observed };

static const struct schema *schema_of(size_t kind)
{
	return schemas[kind]();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const struct sequence_kinds kinds = { schema_of, 2, seed & 1 ? CODEC_NAMED : CODEC_TAGGED };

	return sequence_mutate(&kinds, data, size, max_size, seed >> 1);
}

static void plan_text(const struct observed *observed, const struct desired *desired, struct buffer *output)
{
	struct arena arena = ARENA_INIT;
	struct target target;
	struct error error;
	struct plan plan;

	FUZZ_MUST(target_build(desired, &arena, &target, &error), &error);
	FUZZ_MUST(plan_make(observed, &target, &arena, &plan, &error), &error);
	FUZZ_REQUIRE(plan_print(&plan, output) == 0, "no memory");
	arena_free(&arena);
}

static void plan_check(const struct observed *observed, const struct desired *desired)
{
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT, text = BUFFER_INIT;

	FUZZ_REQUIRE(text_observed_print(observed, &text) == 0, "no memory");
	plan_text(observed, desired, &first);
	plan_text(observed, desired, &second);
	FUZZ_REQUIRE(first.size == second.size && (first.size == 0 || memcmp(first.data, second.data, first.size) == 0),
		     "two plans from the same");
	buffer_free(&first);
	buffer_free(&second);
	buffer_free(&text);
}

static void desired_take(struct desired_store *store, struct bytes bytes, struct arena *arena)
{
	struct desired part, whole;
	struct error error;
	bool complete = false;

	if (codec_decode(schema_desired(), bytes, arena, &part, NULL) != 0)
		return;
	error_clear(&error);
	if (desired_store_take(store, &part, &complete, &error) != 0)
		FUZZ_REQUIRE(error.code == ERROR_INVALID_ARGUMENT, "%s", error.message);
	if (!desired_store_is_complete(store))
		return;
	FUZZ_MUST(desired_store_get(store, arena, &whole, &error), &error);
	FUZZ_MUST(codec_validate(schema_desired(), &whole, &error), &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct desired_store *store = desired_store_make();
	struct observed observed = { 0 };
	struct arena arena = ARENA_INIT;
	struct desired desired;
	struct sequence sequence;
	struct error error;

	FUZZ_REQUIRE(store != NULL, "no memory");
	sequence_split((struct bytes){ data, size }, &sequence);
	for (size_t i = 0; i < sequence.count; i++) {
		if (sequence.items[i].kind % 2 == 0)
			desired_take(store, sequence.items[i].record, &arena);
		else
			codec_decode(schema_observed(), sequence.items[i].record, &arena, &observed, NULL);
		if (desired_store_is_complete(store)) {
			FUZZ_MUST(desired_store_get(store, &arena, &desired, &error), &error);
			plan_check(&observed, &desired);
		}
	}
	desired_store_free(store);
	arena_free(&arena);
	return 0;
}
