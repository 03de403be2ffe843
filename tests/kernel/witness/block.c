// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/kernel/witness/block.h"

#include <stddef.h>
#include <string.h>

#define BLOCK_MAGIC UINT64_C(0x5353454e5449572d) /* "-WITNESS" */
#define DIGEST_WORD (offsetof(struct block_header, digest) / sizeof(uint64_t))
#define HEADER_WORDS (sizeof(struct block_header) / sizeof(uint64_t))

static uint64_t mix(uint64_t value)
{
	value ^= value >> 30;
	value *= UINT64_C(0xbf58476d1ce4e5b9);
	value ^= value >> 27;
	value *= UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

uint64_t block_digest(const void *data, uint64_t bytes)
{
	const uint64_t *words = data;
	uint64_t sum = bytes;

	for (uint64_t i = 0; i < bytes / sizeof(uint64_t); i++) {
		sum = (sum ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 29;
	}
	return sum;
}

static uint64_t sealed(const uint64_t *words)
{
	struct block_header header;

	memcpy(&header, words, sizeof(header));
	header.digest = 0;
	return block_digest(&header, sizeof(header)) ^
	       block_digest(words + HEADER_WORDS, BLOCK_BYTES - sizeof(struct block_header));
}

void block_fill(void *block, uint64_t run, uint64_t number, uint64_t sequence, uint64_t time_ns)
{
	uint64_t *words = block, seed = mix(run ^ mix(number ^ mix(sequence)));
	struct block_header header = {
		.magic = BLOCK_MAGIC, .run = run, .number = number, .sequence = sequence, .time_ns = time_ns
	};

	memcpy(words, &header, sizeof(header));
	/* Each word depends on the write, so that a mixture of two writes cannot pass. */
	for (size_t i = HEADER_WORDS; i < BLOCK_WORDS; i++)
		words[i] = seed += UINT64_C(0x9e3779b97f4a7c15);
	words[DIGEST_WORD] = sealed(words);
}

bool block_is_witness(const void *block, uint64_t *ret_run)
{
	struct block_header header;

	memcpy(&header, block, sizeof(header));
	if (header.magic != BLOCK_MAGIC)
		return false;
	*ret_run = header.run;
	return true;
}

enum block_verdict block_inspect(const void *block, uint64_t run, uint64_t number, uint64_t *ret_sequence)
{
	const uint64_t *words = block;
	struct block_header header;

	memcpy(&header, block, sizeof(header));
	if (header.magic == BLOCK_MAGIC) {
		if (header.run != run || header.number != number || header.digest != sealed(words))
			return BLOCK_FOREIGN;
		*ret_sequence = header.sequence;
		return BLOCK_OURS;
	}
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		if (words[i] != 0)
			return BLOCK_FOREIGN;
	return BLOCK_ZERO;
}
