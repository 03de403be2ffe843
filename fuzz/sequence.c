/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/sequence.h"

#include "lib/wire/frame.h"

#define WILD 24u
#define BUDGET 48u

void sequence_split(struct bytes input, struct sequence *ret_sequence)
{
	struct frame_scanner scanner;
	size_t used = 0;
	int complete = 0;

	ret_sequence->count = 0;
	while (input.size > 1 && ret_sequence->count < SEQUENCE_MAX) {
		frame_scanner_init(&scanner, LIMIT_FRAME_PEER_BYTES);
		if (frame_scanner_feed(&scanner, input.data + 1, input.size - 1, &used, &complete, NULL) != 0 ||
		    !complete)
			return;
		ret_sequence->items[ret_sequence->count++] =
			(struct sequence_item){ input.data[0], { input.data + 1, used } };
		input.data += 1 + used;
		input.size -= 1 + used;
	}
}

int sequence_append(uint8_t kind, struct bytes record, struct buffer *output)
{
	return buffer_append(output, &kind, 1) != 0 || buffer_append(output, record.data, record.size) != 0 ? -1 : 0;
}

static void item_append(struct sequence_item item, struct buffer *output)
{
	sequence_append(item.kind, item.record, output);
}

static const struct schema *schema_of(const struct sequence_kinds *kinds, uint8_t kind)
{
	return kinds->schema(kind % kinds->count);
}

static void item_make(const struct sequence_kinds *kinds, struct shape *shape, struct buffer *output)
{
	uint8_t kind = (uint8_t)dice_roll(&shape->dice, kinds->count);

	buffer_append(output, &kind, 1);
	shape_record(shape, schema_of(kinds, kind), output);
}

static void item_change(const struct sequence_kinds *kinds, struct shape *shape, struct sequence_item item,
			struct buffer *output)
{
	size_t before = output->size;

	buffer_append(output, &item.kind, 1);
	if (!shape_mutate(shape, schema_of(kinds, item.kind), item.record, output)) {
		output->size = before;
		item_make(kinds, shape, output);
	}
}

size_t sequence_mutate(const struct sequence_kinds *kinds, uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct shape shape = { .style = kinds->style, .wild = WILD, .budget = BUDGET };
	struct buffer made = BUFFER_INIT;
	struct sequence sequence;
	uint64_t kind;
	size_t at, other, given;

	dice_init(&shape.dice, seed);
	if (dice_once_in(&shape.dice, 6))
		return LLVMFuzzerMutate(data, size, max_size);
	if (dice_once_in(&shape.dice, 4))
		shape.wild = 0;
	sequence_split((struct bytes){ data, size }, &sequence);
	at = dice_roll(&shape.dice, sequence.count);
	other = dice_roll(&shape.dice, sequence.count);
	kind = sequence.count == 0 ? 0 : dice_roll(&shape.dice, 8);
	for (size_t i = 0; i < sequence.count; i++) {
		if (kind == 0 && i == at)
			item_make(kinds, &shape, &made);
		if (kind == 1 && i == at)
			continue;
		if (kind == 2 && (i == at || i == other))
			item_append(sequence.items[i == at ? other : at], &made);
		else if (kind > 3 && i == at)
			item_change(kinds, &shape, sequence.items[i], &made);
		else
			item_append(sequence.items[i], &made);
		if (kind == 3 && i == at)
			item_append(sequence.items[other], &made);
	}
	if (sequence.count == 0 || (kind == 0 && dice_roll(&shape.dice, 2)))
		item_make(kinds, &shape, &made);
	given = fuzz_give(&made, data, max_size);
	buffer_free(&made);
	return given > 0 ? given : LLVMFuzzerMutate(data, size, max_size);
}
