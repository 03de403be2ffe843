/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_consensus_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test_network.h"

uint64_t group_machine_applied(void *data)
{
	return ((struct machine *)data)->applied;
}

static void machine_push(struct machine *machine, uint64_t value)
{
	if (machine->count == machine->capacity) {
		machine->capacity = machine->capacity ? machine->capacity * 2 : 64;
		machine->values = realloc(machine->values, machine->capacity * sizeof(*machine->values));
	}
	machine->values[machine->count++] = value;
}

int group_machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count, struct buffer *outcomes,
			struct error *error)
{
	struct machine *machine = data;
	uint64_t value;

	assert_true(index > machine->applied);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(commands[i].size, sizeof(value));
		memcpy(&value, commands[i].data, sizeof(value));
		if (value == UINT64_MAX)
			return error_set(error, ERROR_NO_CAPACITY, "the disk is full");
		machine_push(machine, value);
		if (outcomes != NULL)
			assert_int_equal(buffer_append(&outcomes[i], &value, sizeof(value)), 0);
	}
	machine->applied = index;
	return 0;
}

int group_machine_skip(void *data, uint64_t index, struct error *error)
{
	struct machine *machine = data;

	if (machine->skip_fails != ERROR_NONE)
		return error_set(error, machine->skip_fails, "no skip today");
	machine->applied = index;
	return 0;
}

int group_machine_dump(void *data, struct buffer *output, struct error *error)
{
	struct machine *machine = data;

	if (machine->dump_fails != ERROR_NONE)
		return error_set(error, machine->dump_fails, "no dump today");
	return buffer_append(output, machine->values, machine->count * sizeof(*machine->values));
}

int group_machine_load(void *data, uint64_t index, struct bytes dump, struct error *error)
{
	struct machine *machine = data;
	uint64_t value;

	if (machine->load_fails != ERROR_NONE)
		return error_set(error, machine->load_fails, "no load today");
	if (machine->applied >= index)
		return 0;
	machine->count = 0;
	machine->loads++;
	for (size_t at = 0; at < dump.size; at += sizeof(value)) {
		memcpy(&value, dump.data + at, sizeof(value));
		machine_push(machine, value);
	}
	machine->applied = index;
	return 0;
}

void group_on_leadership(void *data, bool leader, uint64_t term)
{
	struct member *member = data;

	assert_true(term > 0);
	member->won += leader;
	member->lost += !leader;
}

void group_on_failure(void *data, const struct error *failure)
{
	struct member *member = data;

	assert_false(member->failed);
	member->failed = true;
	member->failure = *failure;
}

void member_start(struct cluster *cluster, size_t i, unsigned threshold)
{
	struct consensus_server servers[MEMBERS];
	struct member *member = &cluster->members[i];
	struct consensus_options options = {
		.loop = &cluster->loop,
		.id = i + 1,
		.address = member->address,
		.directory = member->directory,
		.machine = { &member->machine, group_machine_applied, group_machine_apply, group_machine_skip,
			     group_machine_dump, group_machine_load },
		.snapshot_threshold = threshold,
		.snapshot_trailing = threshold,
		.data = member,
		.on_leadership = group_on_leadership,
		.on_failure = member->on_failure != NULL ? member->on_failure : group_on_failure,
	};
	struct error error = { 0 };

	for (size_t k = 0; k < cluster->size; k++)
		servers[k] = (struct consensus_server){ k + 1, cluster->members[k].address };
	if (consensus_start(&options, servers, member->joins ? 0 : cluster->size, &member->consensus, &error) != 0)
		fail_msg("%s", error.message);
}

void group_on_closed(void *data)
{
	((struct cluster *)data)->closed++;
}

uint64_t group_now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void on_wakeup(uv_timer_t *timer)
{
	(void)timer;
}

void member_stop(struct cluster *cluster, size_t i)
{
	size_t before = cluster->closed;

	consensus_close(cluster->members[i].consensus, group_on_closed, cluster);
	RUN_UNTIL(cluster, cluster->closed > before);
	cluster->members[i].consensus = NULL;
}

struct member *leader_of(struct cluster *cluster)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &cluster->members[i];

		if (member->consensus != NULL && consensus_is_leader(member->consensus))
			return member;
	}
	return NULL;
}

void group_on_proposed(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct cluster *cluster = data;

	if (failure == NULL) {
		assert_int_equal(outcome.size, sizeof(uint64_t));
		cluster->confirmed++;
	} else if (unknown) {
		cluster->unknown++;
	} else {
		cluster->refused++;
	}
}

void propose(struct cluster *cluster, uint64_t value)
{
	struct error error = { 0 };

	assert_int_equal(consensus_propose(leader_of(cluster)->consensus,
					   (struct bytes){ (const uint8_t *)&value, sizeof(value) }, group_on_proposed,
					   cluster, &error),
			 0);
}

void group_on_barrier(void *data, const struct error *failure)
{
	assert_null(failure);
	((struct cluster *)data)->barriers++;
}

int group_setup(void **state)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));
	char network[16];

	cluster->size = MEMBERS;
	assert_int_equal(uv_loop_init(&cluster->loop), 0);
	uv_timer_init(&cluster->loop, &cluster->wakeup);
	uv_timer_start(&cluster->wakeup, on_wakeup, 5, 5);
	uv_unref((uv_handle_t *)&cluster->wakeup);
	snprintf(cluster->directory, sizeof(cluster->directory), "/tmp/dnvme-consensus-XXXXXX");
	assert_non_null(mkdtemp(cluster->directory));
	test_network(network);
	for (size_t i = 0; i < MEMBERS; i++) {
		snprintf(cluster->members[i].directory, sizeof(cluster->members[i].directory), "%s/%zu",
			 cluster->directory, i);
		snprintf(cluster->members[i].address, sizeof(cluster->members[i].address), "%s.%zu:7401", network,
			 i + 1);
	}
	*state = cluster;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

int group_teardown(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL)
			member_stop(cluster, i);
		free(cluster->members[i].machine.values);
	}
	uv_close((uv_handle_t *)&cluster->wakeup, NULL);
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&cluster->loop), 0);
	nftw(cluster->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(cluster);
	return 0;
}

bool all_have(struct cluster *cluster, size_t count)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL && cluster->members[i].machine.count < count)
			return false;
	}
	return true;
}

void same_everywhere(struct cluster *cluster, size_t count)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		assert_int_equal(cluster->members[i].machine.count, count);
		assert_memory_equal(cluster->members[i].machine.values, cluster->members[0].machine.values,
				    count * sizeof(uint64_t));
	}
}
