/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated world: one clock, one queue of events, one source of chance. Machines have clocks of their own and run
 * processes; a process is the shipped code with one loop, and coroutines for what blocks.
 *
 * Everything that happens is an event. Events of a process that is stopped, or whose machine is frozen, wait for it;
 * those of a process that ended are dropped.
 */
#ifndef DNVME_TESTS_SIM_WORLD_H
#define DNVME_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_MACHINES 32
#define WORLD_MS UINT64_C(1000)
#define WORLD_SECOND UINT64_C(1000000)

struct process;
struct coroutine;

struct machine {
	char name[16];
	size_t index;
	uint32_t ip; /* host order */
	bool up;
	uint64_t boots;
	uint8_t boot_id[16];
	uint64_t frozen_until;		 /* the whole machine, clocks go on */
	uint64_t boot_us;		 /* boot clock at world time 0 */
	int64_t wall_us;		 /* wall clock minus world time */
	int64_t drift_ppm;		 /* of the boot clock */
	uint64_t cut_to[WORLD_MACHINES]; /* packets to that machine are lost until then */
	struct process *processes;
};

struct process {
	struct process *next; /* of the machine */
	struct machine *machine;
	char name[24];
	bool alive;
	uint64_t stopped_until;
	int exit_status;
	bool ended; /* its main function returned */
	void (*main)(struct process *process);
	void *data;
	void (*killed)(struct process *process); /* give back what the machine's kernel gives back */
	struct coroutine *coroutines;
};

struct world_event {
	uint64_t at;
	uint64_t sequence;
	struct process *owner; /* NULL: of the world */
	void (*run)(struct world_event *event);
	void *data;
	size_t place; /* in the heap; SIZE_MAX: not there */
	bool dynamic; /* freed when it has run or is dropped */
	bool held;    /* its owner could not run when it was due */
};

extern struct process *world_current; /* whose code runs */
extern uint64_t world_now;	      /* microseconds */
extern struct machine world_machines[WORLD_MACHINES];
extern size_t world_machine_count;
extern uint64_t world_events; /* that have run */

void world_begin(uint64_t seed, bool verbose);
/* From now on chance is that of another seed; but for its streams, which only the seed decides, of one of its chances.
 */
void world_seed(uint64_t seed, uint64_t chance);
/* Chance for one purpose, which only seed and number decide, until world_stream_end(): what is drawn there, or not,
 * changes nothing elsewhere. */
void world_stream_begin(uint64_t number);
void world_stream_end(void);
uint64_t world_random(void);
uint64_t world_below(uint64_t bound);			   /* 0 … bound - 1 */
uint64_t world_between(uint64_t least, uint64_t greatest); /* both included */
bool world_chance(unsigned per_mille);

/* The trace: its digest is what two runs of a seed must share. */
void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t world_trace_digest(void);
/* How a run failed; two runs with the same check failed in the same way. */
struct world_failure {
	uint64_t check; /* 0: it did not */
	uint64_t at;
	char text[4096];
};
extern struct world_failure *world_failure; /* where it is written */

/* An invariant does not hold, or the run cannot go on: the run ends. `format` stands for the check. */
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Events. One that is embedded must be cancelled before its memory goes. */
void event_at(struct world_event *event, uint64_t at);
void event_cancel(struct world_event *event);
static inline bool event_is_waiting(const struct world_event *event)
{
	return event->place != SIZE_MAX;
}
void event_init(struct world_event *event, struct process *owner, void (*run)(struct world_event *event), void *data);
/* One that frees itself. */
void world_after(uint64_t delay, struct process *owner, void (*run)(struct world_event *event), void *data);
const struct world_event *world_next(void);
/* Run until nothing is left or that moment; false when nothing is left. */
bool world_run(uint64_t until);

/* Who was stopped or frozen can run again sooner than it was to: what it was held from comes first. */
void world_release(void);

/* Machines. */
struct machine *machine_make(const char *name, uint32_t ip);
struct machine *machine_by_ip(uint32_t ip);
uint64_t machine_boot_us(const struct machine *machine);
/* The world's time at which the boot clock shows at least that. */
uint64_t machine_world_us(const struct machine *machine, uint64_t boot_us);
bool machine_hears(const struct machine *from, const struct machine *to);
bool machine_runs(const struct machine *machine);
void machine_power_off(struct machine *machine);
void machine_power_on(struct machine *machine);

/* Processes. */
struct process *process_start(struct machine *machine, const char *name, void (*main)(struct process *process),
			      void (*killed)(struct process *process), void *data);
void process_kill(struct process *process);

/* Coroutines: what blocks. */
void coroutine_start(struct process *process, void (*run)(void *data), void *data);
struct coroutine *coroutine_self(void);
/* Give way until coroutine_resume(). */
void coroutine_yield(void);
void coroutine_resume(struct coroutine *coroutine);
void world_sleep(uint64_t us);

#endif
