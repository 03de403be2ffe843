/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clang-format off */
/*
 * The format is that of LMDB 0.9 (MDB_DATA_VERSION 1) on a 64-bit little-endian machine; sizes in bytes:
 *
 *     page     number 8 | pad 2 | flags 2 | lower 2, upper 2 (of an overflow page: how many pages 4) | 16: content
 *              branch and leaf: from 16 to `lower` the offsets of the nodes in the order of their keys; from `upper` nodes,
 *              side by side in any order, each as long as an even number
 *     branch   page 6 | key size 2 | key
 *     leaf     data size 4 | flags 2 | key size 2 | key | data
 *              flags: 1 the data is the number of its first overflow page, 2 the data is the record of a table
 *     table    pad 4 | flags 2 | depth 2 | pages: branch 8, leaf 8, overflow 8 | entries 8 | root 8
 *     facts    (pages 0 and 1, at 16) magic 4 | version 4 | address 8 | map size 8 | table of free pages 48 |
 *              main table 48 | last page 8 | transaction 8; `pad` of the first table is the size of a page
 *
 * The table of free pages has transaction numbers as keys, and a count and page numbers, largest first, as data.
 */
/* clang-format on */
#include "store/verify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/internal.h"

#define MAGIC 0xbeefc0deu
#define VERSION 1u
#define HEADER_BYTES 16u
#define NODE_BYTES 8u
#define TABLE_BYTES 48u
#define FACTS_BYTES 152u
#define FACTS_PAGES 2u
#define PAGE_BYTES_MAX 65536u
#define DEPTH_MAX 32u /* of LMDB's cursors */
#define NO_PAGE UINT64_MAX

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_FACTS = 8 };
enum { NODE_BIG = 1, NODE_TABLE = 2 };
enum { TABLE_INTEGER_KEYS = 8, TABLE_UNKNOWN = 0x7f & ~TABLE_INTEGER_KEYS };
enum kind { KIND_FREE, KIND_MAIN, KIND_NAMED };

struct table {
	uint16_t flags, depth;
	uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct facts {
	uint32_t page_bytes;
	struct table free, main;
	uint64_t last_page, transaction;
};

struct verify {
	const uint8_t *map;
	uint64_t bytes;
	uint32_t page_bytes;
	uint64_t last_page, transaction;
	uint8_t *seen; /* a bit for each page */
	const char *identity;
	bool has_identity, is_plain; /* plain: no table has flags that ours never have */
	const char *why;	     /* the first thing that is wrong */
};

/* One table while it is walked. */
struct walk {
	enum kind kind;
	struct table counted;
	struct bytes last, floor; /* the key before; the key that the next one must not be below */
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static bool bad(struct verify *verify, const char *why)
{
	if (verify->why == NULL)
		verify->why = why;
	return false;
}

static struct table table_read(const uint8_t *at)
{
	return (struct table){ .flags = get16(at + 4),
			       .depth = get16(at + 6),
			       .branch_pages = get64(at + 8),
			       .leaf_pages = get64(at + 16),
			       .overflow_pages = get64(at + 24),
			       .entries = get64(at + 32),
			       .root = get64(at + 40) };
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

/* Pages that are there, and that nothing else has. */
static bool take(struct verify *verify, uint64_t page, uint64_t count)
{
	if (page < FACTS_PAGES || page > verify->last_page || count > verify->last_page - page + 1)
		return bad(verify, "a page lies outside of the file");
	for (uint64_t i = page; i < page + count; i++) {
		if (verify->seen[i / 8] & 1u << i % 8)
			return bad(verify, "a page is used twice, or is free and used");
		verify->seen[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return true;
}

static const uint8_t *page_at(const struct verify *verify, uint64_t page)
{
	return verify->map + page * verify->page_bytes;
}

/* As LMDB compares: bytes, and numbers of transactions. */
static int compare(const struct walk *walk, struct bytes a, struct bytes b)
{
	int order;

	if (walk->kind == KIND_FREE)
		return get64(a.data) < get64(b.data) ? -1 : get64(a.data) > get64(b.data);
	order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static bool key_take(struct verify *verify, struct walk *walk, struct bytes key)
{
	if (walk->kind == KIND_FREE ? key.size != 8 : key.size == 0 || key.size > STORE_KEY_MAX)
		return bad(verify, "a key has an impossible size");
	if (walk->last.data != NULL && compare(walk, walk->last, key) >= 0)
		return bad(verify, "keys are not in order");
	if (walk->floor.data != NULL && compare(walk, walk->floor, key) > 0)
		return bad(verify, "a key is on the wrong page");
	walk->last = key;
	walk->floor = (struct bytes){ 0 };
	walk->counted.entries++;
	return true;
}

/* The data of a node on pages of its own. */
static bool overflow_take(struct verify *verify, struct walk *walk, uint64_t page, uint64_t size,
			  struct bytes *ret_data)
{
	uint64_t count = (HEADER_BYTES - 1 + size) / verify->page_bytes + 1;
	const uint8_t *at;

	if (page < FACTS_PAGES || page > verify->last_page)
		return bad(verify, "a page lies outside of the file");
	at = page_at(verify, page);
	if (get64(at) != page || get16(at + 10) != PAGE_OVERFLOW || get32(at + 12) < count)
		return bad(verify, "a page of a large value has another header");
	/* One that was written twice in a transaction keeps what the larger one needed. */
	count = get32(at + 12);
	if (!take(verify, page, count))
		return false;
	walk->counted.overflow_pages += count;
	*ret_data = (struct bytes){ at + HEADER_BYTES, size };
	return true;
}

/* --- what the two tables of LMDB's own hold ----------------------------------------------------------------------- */

static bool free_pages_take(struct verify *verify, struct bytes key, struct bytes data)
{
	uint64_t count = data.size >= 8 ? get64(data.data) : 0;

	if (get64(key.data) == 0 || get64(key.data) > verify->transaction || data.size % 8 != 0 ||
	    count != data.size / 8 - 1)
		return bad(verify, "the list of free pages is damaged");
	for (uint64_t i = 1; i <= count; i++) {
		if (i > 1 && get64(data.data + 8 * i) >= get64(data.data + 8 * (i - 1)))
			return bad(verify, "the list of free pages is not in order");
		if (!take(verify, get64(data.data + 8 * i), 1))
			return false;
	}
	return true;
}

static bool table_walk(struct verify *verify, enum kind kind, const struct table *table);

static bool named_take(struct verify *verify, struct bytes key, struct bytes data)
{
	struct table table;

	if (data.size != TABLE_BYTES)
		return bad(verify, "the record of a table has an impossible size");
	if (key.size == strlen(verify->identity) && memcmp(key.data, verify->identity, key.size) == 0)
		verify->has_identity = true;
	table = table_read(data.data);
	if (table.flags != 0) {
		verify->is_plain = false;
		return true;
	}
	return table_walk(verify, KIND_NAMED, &table);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static bool leaf_node_take(struct verify *verify, struct walk *walk, const uint8_t *node, uint32_t room)
{
	uint16_t flags = get16(node + 4), key_size = get16(node + 6);
	struct bytes key = { node + NODE_BYTES, key_size }, data = { node + NODE_BYTES + key_size, get32(node) };

	if (key_size > room || !key_take(verify, walk, key))
		return bad(verify, "a key leaves its page");
	room -= key_size;
	if (flags & ~(walk->kind == KIND_MAIN ? NODE_BIG | NODE_TABLE : NODE_BIG))
		return bad(verify, "an entry is of an unknown kind");
	if (flags & NODE_BIG) {
		if (room < 8 || flags != NODE_BIG || !overflow_take(verify, walk, get64(data.data), data.size, &data))
			return bad(verify, "a large value has no pages");
	} else if (data.size > room) {
		return bad(verify, "a value leaves its page");
	}
	if (walk->kind == KIND_FREE)
		return free_pages_take(verify, key, data);
	if (flags & NODE_TABLE)
		return named_take(verify, key, data);
	return true;
}

static bool page_walk(struct verify *verify, struct walk *walk, uint64_t page, unsigned level);

static bool branch_node_take(struct verify *verify, struct walk *walk, const uint8_t *node, uint32_t room, bool first,
			     unsigned level)
{
	uint64_t page = get32(node) | (uint64_t)get16(node + 4) << 32;
	struct bytes key = { node + NODE_BYTES, get16(node + 6) };

	if (key.size > room)
		return bad(verify, "a key leaves its page");
	/* The first one stands for everything that is smaller than the second. */
	if (!first) {
		if (walk->kind == KIND_FREE ? key.size != 8 : key.size == 0 || key.size > STORE_KEY_MAX)
			return bad(verify, "a key has an impossible size");
		if (walk->last.data != NULL && compare(walk, walk->last, key) >= 0)
			return bad(verify, "a key is on the wrong page");
		walk->floor = key;
	}
	return page_walk(verify, walk, page, level + 1);
}

static uint32_t node_bytes(const uint8_t *node, bool leaf)
{
	uint32_t size = NODE_BYTES + get16(node + 6);

	if (leaf)
		size += get16(node + 4) & NODE_BIG ? 8 : get32(node);
	return size + size % 2;
}

/* false: it was set before. */
static bool bit_set(uint8_t *bits, uint32_t bit)
{
	bool was = bits[bit / 8] & 1u << bit % 8;

	bits[bit / 8] |= (uint8_t)(1u << bit % 8);
	return !was;
}

/* LMDB keeps nodes side by side, and takes what is left of a page from `lower` and `upper` alone: of a page with gaps
 * it ends the process when it comes to write there. That each begins on the page was seen before. No two begin, or end,
 * at the same place, and all but the last one end where another one begins: so there is neither gap nor overlap. */
static bool nodes_fill(const struct verify *verify, const uint8_t *at, uint32_t count, uint32_t upper, bool leaf)
{
	uint8_t starts[PAGE_BYTES_MAX / 2 / 8 + 1], ends[PAGE_BYTES_MAX / 2 / 8 + 1]; /* a bit for two bytes */
	uint32_t first = verify->page_bytes;

	memset(starts, 0, verify->page_bytes / 2 / 8 + 1);
	memset(ends, 0, verify->page_bytes / 2 / 8 + 1);
	bit_set(starts, first / 2);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = get16(at + HEADER_BYTES + 2 * i), size = node_bytes(at + offset, leaf);

		if (size > verify->page_bytes - offset || !bit_set(starts, offset / 2) ||
		    !bit_set(ends, (offset + size) / 2))
			return false;
		first = offset < first ? offset : first;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = get16(at + HEADER_BYTES + 2 * i), size = node_bytes(at + offset, leaf);

		if (bit_set(starts, (offset + size) / 2))
			return false;
	}
	return first == upper;
}

static bool page_walk(struct verify *verify, struct walk *walk, uint64_t page, unsigned level)
{
	bool leaf = level == walk->counted.depth;
	uint32_t lower, upper, count, least;
	const uint8_t *at;

	if (!take(verify, page, 1))
		return false;
	at = page_at(verify, page);
	lower = get16(at + 12);
	upper = get16(at + 14);
	if (get64(at) != page || get16(at + 10) != (leaf ? PAGE_LEAF : PAGE_BRANCH))
		return bad(verify, "a page has another header than it should have");
	/* LMDB ends the process at a branch with a single child; only its list of free pages may have one. */
	least = leaf || walk->kind == KIND_FREE ? 1 : 2;
	if (lower < HEADER_BYTES || lower % 2 != 0 || lower > upper || upper > verify->page_bytes ||
	    (lower - HEADER_BYTES) / 2 < least)
		return bad(verify, "a page has an impossible number of entries");
	count = (lower - HEADER_BYTES) / 2;
	if (leaf)
		walk->counted.leaf_pages++;
	else
		walk->counted.branch_pages++;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = get16(at + HEADER_BYTES + 2 * i), room;

		if (offset < upper || offset % 2 != 0 || offset > verify->page_bytes - NODE_BYTES)
			return bad(verify, "an entry lies outside of its page");
		room = verify->page_bytes - offset - NODE_BYTES;
		if (leaf ? !leaf_node_take(verify, walk, at + offset, room)
			 : !branch_node_take(verify, walk, at + offset, room, i == 0, level))
			return false;
	}
	if (!nodes_fill(verify, at, count, upper, leaf))
		return bad(verify, "entries of a page are not side by side");
	return true;
}

static bool table_walk(struct verify *verify, enum kind kind, const struct table *table)
{
	struct walk walk = { .kind = kind, .counted = { .depth = table->depth } };

	if (table->root == NO_PAGE) {
		if (table->depth != 0)
			return bad(verify, "a table has a depth and no pages");
	} else if (table->depth == 0 || table->depth > DEPTH_MAX) {
		return bad(verify, "a table has an impossible depth");
	} else if (!page_walk(verify, &walk, table->root, 1)) {
		return false;
	}
	if (walk.counted.branch_pages != table->branch_pages || walk.counted.leaf_pages != table->leaf_pages ||
	    walk.counted.overflow_pages != table->overflow_pages || walk.counted.entries != table->entries)
		return bad(verify, "a table has another number of pages or entries than it says");
	return true;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static bool is_facts(const uint8_t *at)
{
	return (get16(at + 10) & PAGE_FACTS) && get32(at + HEADER_BYTES) == MAGIC &&
	       get32(at + HEADER_BYTES + 4) == VERSION;
}

static struct facts facts_read(const uint8_t *at)
{
	at += HEADER_BYTES;
	return (struct facts){ .page_bytes = get32(at + 24),
			       .free = table_read(at + 24),
			       .main = table_read(at + 72),
			       .last_page = get64(at + 120),
			       .transaction = get64(at + 128) };
}

/* The newest facts, which are what LMDB begins with. false: damaged, or (without `why`) not a file of LMDB. */
static bool facts_choose(struct verify *verify, struct facts *ret_facts)
{
	struct facts facts[FACTS_PAGES];
	unsigned newest;

	if (verify->bytes < FACTS_BYTES || !is_facts(verify->map))
		return false;
	facts[0] = facts_read(verify->map);
	verify->page_bytes = facts[0].page_bytes;
	if (verify->page_bytes < 512 || verify->page_bytes > PAGE_BYTES_MAX ||
	    (verify->page_bytes & (verify->page_bytes - 1)) != 0)
		return bad(verify, "its pages have an impossible size");
	if (verify->bytes < 2 * (uint64_t)verify->page_bytes)
		return bad(verify, "the data file is shorter than what it holds");
	if (!is_facts(verify->map + verify->page_bytes))
		return bad(verify, "one of its first two pages is damaged");
	facts[1] = facts_read(verify->map + verify->page_bytes);
	if (facts[1].page_bytes != verify->page_bytes)
		return bad(verify, "its pages have two sizes");
	newest = facts[0].transaction < facts[1].transaction;
	/* LMDB also finds them by their number. */
	if ((facts[newest].transaction & 1) != newest)
		return bad(verify, "its newest transaction is in the wrong place");
	*ret_facts = facts[newest];
	return true;
}

static bool file_walk(struct verify *verify, const struct facts *facts)
{
	verify->last_page = facts->last_page;
	verify->transaction = facts->transaction;
	if (facts->last_page >= verify->bytes / verify->page_bytes)
		return bad(verify, "the data file is shorter than what it holds");
	if (facts->last_page < FACTS_PAGES - 1)
		return bad(verify, "it has no pages");
	if ((facts->free.flags & TABLE_UNKNOWN) != 0 || (facts->free.flags & TABLE_INTEGER_KEYS) == 0)
		return bad(verify, "the list of free pages is of an unknown kind");
	if (facts->main.flags != 0) {
		verify->is_plain = false;
		return true;
	}
	return table_walk(verify, KIND_MAIN, &facts->main) && table_walk(verify, KIND_FREE, &facts->free);
}

static enum store_verdict file_judge(struct verify *verify, struct error *error, int *ret_code)
{
	struct facts facts;

	if (!facts_choose(verify, &facts))
		return verify->why != NULL ? STORE_VERDICT_DAMAGED : STORE_VERDICT_UNKNOWN;
	verify->seen = calloc(1, verify->bytes / verify->page_bytes / 8 + 1);
	if (verify->seen == NULL) {
		*ret_code = error_set_nomem(error);
		return STORE_VERDICT_UNKNOWN;
	}
	if (!file_walk(verify, &facts))
		return STORE_VERDICT_DAMAGED;
	if (!verify->has_identity)
		return STORE_VERDICT_FOREIGN;
	if (!verify->is_plain)
		bad(verify, "a table is of an unknown kind");
	return verify->is_plain ? STORE_VERDICT_SOUND : STORE_VERDICT_DAMAGED;
}

int store_verify(int fd, uint64_t bytes, const char *identity, struct store_verified *ret_verified, struct error *error)
{
	struct verify verify = { .bytes = bytes, .identity = identity, .is_plain = true };
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	enum store_verdict verdict;
	int code = 0;

	if (map == MAP_FAILED)
		return store_errno_set(error, errno, "cannot map the data file");
	verify.map = map;
	verdict = file_judge(&verify, error, &code);
	free(verify.seen);
	munmap(map, bytes);
	if (code == 0)
		*ret_verified = (struct store_verified){ verdict, verify.why, verify.page_bytes };
	return code;
}
