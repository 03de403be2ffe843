/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/extents.h"

#include <inttypes.h>
#include <stdlib.h>

struct run {
	uint64_t start, length;
};

struct run_list {
	size_t count;
	struct run *items;
};

struct run_walk {
	struct state *state;
	uint64_t wanted; /* stop at a run of this length */
	struct run_list runs;
	struct run found; /* length 0: none */
};

static int run_read(struct state *state, struct bytes key, struct bytes value, struct run *ret_run, struct error *error)
{
	uint64_t end, length;

	if (key.size != 16 || value.size != 8)
		goto damaged;
	end = key_read_id(key.data + 8);
	length = key_read_id(value.data);
	if (length == 0 || length > end)
		goto damaged;
	*ret_run = (struct run){ end - length, length };
	return 0;
damaged:
	state->broken = true;
	return error_set(error, ERROR_INTERNAL, "a run of free extents is damaged");
}

static int run_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct run_walk *walk = data;
	struct run run, *item;
	int result = run_read(walk->state, key, value, &run, error);

	if (result != 0)
		return result;
	if (run.length >= walk->wanted) {
		walk->found = run;
		return STATE_WALK_STOP;
	}
	item = list_add(walk->state->arena, &walk->runs, sizeof(*item));
	if (item == NULL)
		return state_nomem(walk->state, error);
	*item = run;
	return 0;
}

static int runs_walk(struct run_walk *walk, uint64_t disk, uint64_t end, struct error *error)
{
	struct key from, prefix;

	return state_walk(walk->state, STORE_TABLE_FREE, key_id_id(&from, disk, end), key_id(&prefix, disk), run_visit,
			  walk, error);
}

int extents_init(struct state *state, const struct disk *disk, struct error *error)
{
	struct key key;

	return state_put_id(state, STORE_TABLE_FREE, key_id_id(&key, disk->id, EXTENTS_RESERVED + disk->extents_total),
			    disk->extents_total, error);
}

int extents_drop(struct state *state, const struct disk *disk, struct error *error)
{
	struct key key;

	/* A disk without LDs has exactly one run. */
	return state_delete(state, STORE_TABLE_FREE, key_id_id(&key, disk->id, EXTENTS_RESERVED + disk->extents_total),
			    error);
}

/* Cut `length` extents off the front of a run. */
static int run_cut(struct state *state, uint64_t disk, const struct run *run, uint64_t length, struct error *error)
{
	struct key key;
	struct bytes bytes = key_id_id(&key, disk, run->start + run->length);

	if (length == run->length)
		return state_delete(state, STORE_TABLE_FREE, bytes, error);
	return state_put_id(state, STORE_TABLE_FREE, bytes, run->length - length, error);
}

/* A total order, so that every replica takes the same runs. */
static int longest_first(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->length != y->length)
		return x->length > y->length ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int first_first(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int scattered_take(struct state *state, const struct disk *disk, uint64_t wanted, struct run_list *runs,
			  struct range_list *ret_ranges, struct error *error)
{
	struct range_list ranges = { 0 };
	uint64_t missing = wanted, length;
	size_t needed = 0;
	int result;

	if (runs->count > 0)
		qsort(runs->items, runs->count, sizeof(*runs->items), longest_first);
	for (uint64_t sum = 0; needed < runs->count && sum < wanted; needed++)
		sum += runs->items[needed].length;
	if (needed > LIMIT_RANGES_PER_LD)
		return error_set(error, ERROR_NO_CAPACITY,
				 "the free extents of disk d%" PRIu64 " are scattered: %" PRIu64
				 " extents would need %zu runs, the limit is %u",
				 disk->id, wanted, needed, LIMIT_RANGES_PER_LD);
	ranges.items = arena_alloc_array(state->arena, needed, sizeof(*ranges.items));
	if (ranges.items == NULL)
		return state_nomem(state, error);
	for (; missing > 0 && ranges.count < needed; missing -= length) {
		const struct run *run = &runs->items[ranges.count];

		length = run->length < missing ? run->length : missing;
		result = run_cut(state, disk->id, run, length, error);
		if (result != 0)
			return result;
		ranges.items[ranges.count++] = (struct range){ run->start, length };
	}
	if (missing > 0) {
		state->broken = true;
		return error_set(error, ERROR_INTERNAL, "disk d%" PRIu64 " counts more free extents than it has",
				 disk->id);
	}
	qsort(ranges.items, ranges.count, sizeof(*ranges.items), first_first);
	*ret_ranges = ranges;
	return 0;
}

int extents_take(struct state *state, const struct disk *disk, uint64_t wanted, struct range_list *ret_ranges,
		 struct error *error)
{
	struct run_walk walk = { .state = state, .wanted = wanted };
	struct range *range;
	int result;

	if (disk->extents_free < wanted)
		return error_set(error, ERROR_CONFLICT,
				 "stale placement: disk d%" PRIu64 " has %" PRIu64 " extents free, %" PRIu64 " wanted",
				 disk->id, disk->extents_free, wanted);
	result = runs_walk(&walk, disk->id, 0, error);
	if (result != 0)
		return result;
	if (walk.found.length == 0)
		return scattered_take(state, disk, wanted, &walk.runs, ret_ranges, error);
	range = arena_alloc(state->arena, sizeof(*range));
	if (range == NULL)
		return state_nomem(state, error);
	result = run_cut(state, disk->id, &walk.found, wanted, error);
	if (result != 0)
		return result;
	*range = (struct range){ walk.found.start, wanted };
	*ret_ranges = (struct range_list){ 1, range };
	return 0;
}

int extents_give(struct state *state, uint64_t disk, const struct range *range, struct error *error)
{
	struct run_walk walk = { .state = state, .wanted = 1 };
	uint64_t start = range->start, end = range->start + range->length, before;
	struct key key;
	int result;

	/* The first run that ends behind the range's start begins at its end or later. */
	result = runs_walk(&walk, disk, start + 1, error);
	if (result != 0)
		return result;
	if (walk.found.length > 0 && walk.found.start < end) {
		state->broken = true;
		return error_set(error, ERROR_INTERNAL, "extent %" PRIu64 " of disk d%" PRIu64 " was free already",
				 walk.found.start > start ? walk.found.start : start, disk);
	}
	if (walk.found.length > 0 && walk.found.start == end)
		end += walk.found.length;
	result = state_get_id(state, STORE_TABLE_FREE, key_id_id(&key, disk, start), &before, error);
	if (result == 0) {
		result = state_delete(state, STORE_TABLE_FREE, key_id_id(&key, disk, start), error);
		start -= before;
	} else if (result == ERROR_NOT_FOUND && !state->broken) {
		result = 0;
	}
	if (result != 0)
		return result;
	return state_put_id(state, STORE_TABLE_FREE, key_id_id(&key, disk, end), end - start, error);
}
