/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members whose disks are really full: each has a small tmpfs of its own in a mount namespace of this process. The
 * machine keeps a checksum of what it applied.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "raft/internal.h"

#define MEMBERS 3
#define DEADLINE_MS 60000
#define DISK_MIB 64 /* libraft keeps three segments of 8 MiB ready */
#define COMMAND_BYTES (LIMIT_COMMAND_BYTES / 2)
#define COMMANDS 110 /* more than three segments take */
#define ELECTION_MS 2000
#define CALM_MS 120000
#define SKIPPED 77

struct machine {
	uint64_t applied, sum, count;
};

struct member {
	struct consensus *consensus;
	struct machine machine;
	char directory[96], address[32];
	bool failed;
	struct error failure;
};

struct cluster {
	uv_loop_t loop;
	struct member members[MEMBERS];
	char directory[64];
	size_t confirmed, refused, unknown, closed;
	struct error refusal;
	uint8_t command[COMMAND_BYTES];
};

static uint64_t machine_applied(void *data)
{
	return ((struct machine *)data)->applied;
}

static int machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count,
			 struct buffer *outcomes, struct error *error)
{
	struct machine *machine = data;
	uint64_t value;

	(void)outcomes;
	(void)error;
	assert_true(index > machine->applied);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(commands[i].size, COMMAND_BYTES);
		memcpy(&value, commands[i].data, sizeof(value));
		machine->sum = machine->sum * 31 + value;
		machine->count++;
	}
	machine->applied = index;
	return 0;
}

static int machine_skip(void *data, uint64_t index, struct error *error)
{
	(void)error;
	((struct machine *)data)->applied = index;
	return 0;
}

static int machine_dump(void *data, struct buffer *output, struct error *error)
{
	(void)error;
	return buffer_append(output, data, sizeof(struct machine));
}

static int machine_load(void *data, uint64_t index, struct bytes dump, struct error *error)
{
	struct machine *machine = data;

	(void)error;
	assert_int_equal(dump.size, sizeof(*machine));
	if (machine->applied >= index)
		return 0;
	memcpy(machine, dump.data, sizeof(*machine));
	machine->applied = index;
	return 0;
}

static void on_leadership(void *data, bool leader, uint64_t term)
{
	(void)data;
	(void)leader;
	(void)term;
}

static void on_failure(void *data, const struct error *failure)
{
	struct member *member = data;

	assert_false(member->failed);
	member->failed = true;
	member->failure = *failure;
}

static unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(descriptor, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
	close(descriptor);
	return ntohs(address.sin_port);
}

static int member_try_start(struct cluster *cluster, size_t i, struct error *error)
{
	struct consensus_server servers[MEMBERS];
	struct member *member = &cluster->members[i];
	const struct consensus_options options = {
		.loop = &cluster->loop,
		.id = i + 1,
		.address = member->address,
		.directory = member->directory,
		.machine = { &member->machine, machine_applied, machine_apply, machine_skip, machine_dump,
			     machine_load },
		.election_timeout_ms = ELECTION_MS,
		.data = member,
		.on_leadership = on_leadership,
		.on_failure = on_failure,
	};

	for (size_t k = 0; k < MEMBERS; k++)
		servers[k] = (struct consensus_server){ k + 1, cluster->members[k].address };
	return consensus_start(&options, servers, MEMBERS, &member->consensus, error);
}

static void on_closed(void *data)
{
	((struct cluster *)data)->closed++;
}

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void on_wakeup(uv_timer_t *timer)
{
	(void)timer;
}

/* Turn the loop until the condition holds; the timer only keeps the loop from blocking for ever. */
#define RUN_UNTIL(cluster, condition)                                                                                  \
	do {                                                                                                           \
		uint64_t end_ms = now_ms() + DEADLINE_MS;                                                              \
		uv_timer_t wakeup;                                                                                     \
                                                                                                                       \
		uv_timer_init(&(cluster)->loop, &wakeup);                                                              \
		uv_timer_start(&wakeup, on_wakeup, 5, 5);                                                              \
		while (!(condition)) {                                                                                 \
			if (now_ms() > end_ms)                                                                         \
				fail_msg("not within the deadline: %s", #condition);                                   \
			uv_run(&(cluster)->loop, UV_RUN_ONCE);                                                         \
		}                                                                                                      \
		uv_close((uv_handle_t *)&wakeup, NULL);                                                                \
		uv_run(&(cluster)->loop, UV_RUN_NOWAIT);                                                               \
	} while (0)

static void member_stop(struct cluster *cluster, struct member *member)
{
	size_t before = cluster->closed;

	consensus_close(member->consensus, on_closed, cluster);
	RUN_UNTIL(cluster, cluster->closed > before);
	member->consensus = NULL;
}

static struct member *leader_of(struct cluster *cluster)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &cluster->members[i];

		if (member->consensus != NULL && consensus_is_leader(member->consensus))
			return member;
	}
	return NULL;
}

static void on_proposed(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct cluster *cluster = data;

	(void)outcome;
	if (failure == NULL) {
		cluster->confirmed++;
	} else if (unknown) {
		cluster->unknown++;
	} else {
		cluster->refused++;
		cluster->refusal = *failure;
	}
}

static void propose(struct cluster *cluster, uint64_t value)
{
	struct error error = { 0 };

	memcpy(cluster->command, &value, sizeof(value));
	assert_int_equal(consensus_propose(leader_of(cluster)->consensus,
					   (struct bytes){ cluster->command, COMMAND_BYTES }, on_proposed, cluster,
					   &error),
			 0);
}

static void filler_path(const struct member *member, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/filler", member->directory);
}

/* Not a byte is left. */
static void disk_fill(const struct member *member)
{
	static const char zeros[1 << 16];
	size_t size = sizeof(zeros);
	char path[128];
	int fd;

	filler_path(member, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (; size >= 1; size = size > 1 ? size / 2 : 0) {
		while (write(fd, zeros, size) > 0)
			;
		assert_int_equal(errno, ENOSPC);
	}
	close(fd);
}

static void disk_free(const struct member *member)
{
	char path[128];

	filler_path(member, path, sizeof(path));
	assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));
	char options[32];

	assert_int_equal(uv_loop_init(&cluster->loop), 0);
	snprintf(cluster->directory, sizeof(cluster->directory), "/tmp/dnvme-consensus-XXXXXX");
	assert_non_null(mkdtemp(cluster->directory));
	snprintf(options, sizeof(options), "size=%dm,mode=700", DISK_MIB);
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &cluster->members[i];

		snprintf(member->directory, sizeof(member->directory), "%s/%zu", cluster->directory, i);
		snprintf(member->address, sizeof(member->address), "127.0.0.1:%u", free_port());
		assert_int_equal(mkdir(member->directory, 0700), 0);
		assert_int_equal(mount("small", member->directory, "tmpfs", MS_NOSUID | MS_NODEV, options), 0);
	}
	*state = cluster;
	return 0;
}

static int teardown(void **state)
{
	struct cluster *cluster = *state;

	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL)
			member_stop(cluster, &cluster->members[i]);
	}
	uv_run(&cluster->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&cluster->loop), 0);
	for (size_t i = 0; i < MEMBERS; i++) {
		umount2(cluster->members[i].directory, MNT_DETACH);
		rmdir(cluster->members[i].directory);
	}
	rmdir(cluster->directory);
	free(cluster);
	return 0;
}

static void elections_after(struct cluster *cluster, unsigned timeout_ms)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].consensus != NULL)
			raft_set_election_timeout(&cluster->members[i].consensus->raft, timeout_ms);
	}
}

/* The leader stays, however long a busy machine stands still. To fill disks takes long, and a member whose disk has not
 * a byte left for another term ends, as it has to. */
static void start_all(struct cluster *cluster)
{
	struct error error = { 0 };

	for (size_t i = 0; i < MEMBERS; i++) {
		if (member_try_start(cluster, i, &error) != 0)
			fail_msg("%s", error.message);
	}
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	elections_after(cluster, CALM_MS);
}

static void must_live(const struct member *member)
{
	if (member->failed)
		fail_msg("%s ended: %s", member->address, member->failure.message);
}

static bool room_is_short(const struct member *member)
{
	struct consensus_statistics statistics;

	consensus_statistics_get(member->consensus, &statistics);
	return statistics.room_short;
}

static bool all_alike(const struct cluster *cluster, uint64_t count)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (cluster->members[i].machine.count != count ||
		    cluster->members[i].machine.sum != cluster->members[0].machine.sum)
			return false;
	}
	return true;
}

/* More than the victim's disk has room for: the others go on, and it catches up. */
static void full_while_others_go_on(struct cluster *cluster, struct member *victim)
{
	disk_fill(victim);
	for (uint64_t value = 0; value < COMMANDS; value++) {
		propose(cluster, value);
		RUN_UNTIL(cluster, cluster->confirmed == value + 1);
	}
	assert_int_equal(cluster->refused + cluster->unknown, 0);
	RUN_UNTIL(cluster, room_is_short(victim));
	for (size_t i = 0; i < MEMBERS; i++) {
		assert_int_equal(room_is_short(&cluster->members[i]), &cluster->members[i] == victim);
		must_live(&cluster->members[i]);
	}
	disk_free(victim);
	RUN_UNTIL(cluster, !room_is_short(victim));
	RUN_UNTIL(cluster, all_alike(cluster, COMMANDS));
}

static void test_leader_with_a_full_disk(void **state)
{
	struct cluster *cluster = *state;

	start_all(cluster);
	full_while_others_go_on(cluster, leader_of(cluster));
}

static void test_follower_with_a_full_disk(void **state)
{
	struct cluster *cluster = *state;
	struct member *leader;

	start_all(cluster);
	leader = leader_of(cluster);
	full_while_others_go_on(cluster, leader == cluster->members ? leader + 1 : cluster->members);
}

/* The leader has applied what only the others' disks hold. It ends, cannot start, and catches up when it can. */
static void test_full_leader_ends(void **state)
{
	struct cluster *cluster = *state;
	struct error error = { 0 };
	struct member *victim;
	uint64_t value;

	start_all(cluster);
	victim = leader_of(cluster);
	disk_fill(victim);
	for (value = 0; value < COMMANDS; value++) {
		propose(cluster, value);
		RUN_UNTIL(cluster, cluster->confirmed == value + 1);
	}
	member_stop(cluster, victim);
	assert_int_equal(victim->machine.count, COMMANDS);
	disk_fill(victim); /* with what it gave back */
	assert_int_equal(member_try_start(cluster, (size_t)(victim - cluster->members), &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "the disk is full"));
	assert_non_null(strstr(error.hint, "free space"));
	elections_after(cluster, ELECTION_MS);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose(cluster, value);
	RUN_UNTIL(cluster, cluster->confirmed == COMMANDS + 1);
	disk_free(victim);
	if (member_try_start(cluster, (size_t)(victim - cluster->members), &error) != 0)
		fail_msg("%s", error.message);
	RUN_UNTIL(cluster, all_alike(cluster, COMMANDS + 1));
}

/* A member that never saw another term than its first takes one, and votes, with not a byte left: after an election
 * that it must not miss, as the other one does not come back. */
static void test_full_member_votes(void **state)
{
	struct cluster *cluster = *state;
	struct error error = { 0 };

	for (size_t i = 0; i < MEMBERS - 1; i++) {
		if (member_try_start(cluster, i, &error) != 0)
			fail_msg("%s", error.message);
	}
	elections_after(cluster, CALM_MS);
	disk_fill(&cluster->members[0]);
	raft_set_election_timeout(&cluster->members[1].consensus->raft, ELECTION_MS);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL || cluster->members[0].failed);
	must_live(&cluster->members[0]);
	assert_ptr_equal(leader_of(cluster), &cluster->members[1]);
	/* And one more, which is written into the file of the first. */
	member_stop(cluster, &cluster->members[1]);
	elections_after(cluster, ELECTION_MS);
	if (member_try_start(cluster, 1, &error) != 0)
		fail_msg("%s", error.message);
	RUN_UNTIL(cluster, leader_of(cluster) != NULL || cluster->members[0].failed);
	must_live(&cluster->members[0]);
	disk_free(&cluster->members[0]);
}

/* Propose one after the other until one waits for room. Returns how many were proposed. */
static uint64_t propose_until_one_waits(struct cluster *cluster)
{
	const struct consensus *leader = leader_of(cluster)->consensus;

	for (uint64_t value = 0; value < COMMANDS; value++) {
		propose(cluster, value);
		RUN_UNTIL(cluster, cluster->confirmed == value + 1 || leader->no_space_since != 0);
		if (cluster->confirmed <= value)
			return value + 1;
	}
	fail_msg("%d commands found room on full disks", COMMANDS);
	return 0;
}

/* No disk has room: what is proposed waits a little, and goes through when room comes in time. */
static void test_wait_for_room(void **state)
{
	struct cluster *cluster = *state;
	uint64_t count;

	start_all(cluster);
	for (size_t i = 0; i < MEMBERS; i++)
		disk_fill(&cluster->members[i]);
	count = propose_until_one_waits(cluster);
	if (cluster->refused > 0)
		fail_msg("refused: %s", cluster->refusal.message);
	for (size_t i = 0; i < MEMBERS; i++)
		disk_free(&cluster->members[i]);
	RUN_UNTIL(cluster, cluster->confirmed + cluster->refused + cluster->unknown == count);
	assert_int_equal(cluster->confirmed, count);
	RUN_UNTIL(cluster, all_alike(cluster, count));
}

static void test_no_room_for_long(void **state)
{
	struct cluster *cluster = *state;
	uint64_t count;

	start_all(cluster);
	for (size_t i = 0; i < MEMBERS; i++)
		disk_fill(&cluster->members[i]);
	count = propose_until_one_waits(cluster);
	RUN_UNTIL(cluster, cluster->refused == 1);
	assert_int_equal(cluster->refusal.code, ERROR_NO_CAPACITY);
	assert_non_null(strstr(cluster->refusal.message, "the disks of most servers are full"));
	for (size_t i = 0; i < MEMBERS; i++) {
		RUN_UNTIL(cluster, room_is_short(&cluster->members[i]));
		must_live(&cluster->members[i]);
		disk_free(&cluster->members[i]);
	}
	for (size_t i = 0; i < MEMBERS; i++)
		RUN_UNTIL(cluster, !room_is_short(&cluster->members[i]));
	RUN_UNTIL(cluster, leader_of(cluster) != NULL);
	propose(cluster, count);
	RUN_UNTIL(cluster, cluster->confirmed == count);
	RUN_UNTIL(cluster, all_alike(cluster, count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leader_with_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follower_with_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_leader_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_member_votes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room_for_long, setup, teardown),
	};

	/* A user that is not root needs a user namespace too; where that is forbidden this cannot be tried. */
	if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		perror("skipped: no mount namespace");
		return SKIPPED;
	}
	signal(SIGPIPE, SIG_IGN);
	log_open("test_consensus_full", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
