/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume with two slots, for spin: remote legs, consumers, and a write that is older than what was written since.
 * README.md says what is in it, what is not, and how to run it.
 *
 * One host, one block. The block lies on the leg of slot 1; who holds slot 0 writes to it as a consumer, through a
 * connection to who holds slot 1. What slot 0 has on its own disks is of no interest: it is the same the other way round.
 * The slots are alike in all else. Disks are one medium that lets in one epoch: failover.pml shows why.
 *
 * What breaks breaks in one cut: some links of one node, at the same time; they heal one by one. Time counts from then.
 *
 * "code:" names the functions that do the step; names.sh checks that there are such functions.
 * "planted:" is an error that spin has to find when it is asked for with -DNAME; check.sh does that.
 */

#ifdef STANDBY_IS_THERE
#define NODES 3 /* 0 and 1 hold the slots, 2 is a standby */
#else
#define NODES 2
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef MOVES
#define MOVES 1 /* slots that begin anew, or are drained, for a reason that is not here: a frozen group, an operator */
#endif
#ifndef REBOOTS
#define REBOOTS 0
#endif
#ifndef LEADERS
#define LEADERS 0 /* changes of the leader */
#endif
#define WRITES 2 /* the block begins with 0; the first write must not land on the second */

/* How old the cut is. */
#define NONE 0
#define BEGUN 1	  /* some packets of it come late, if it is over now */
#define SILENT 2  /* LIMIT_PEER_SILENCE_MS, 1.35 s: holders shut out whom they do not hear */
#define LEASE 3	  /* LIMIT_LEASE_MS, 2 s: leases run out, the leader calls nodes offline */
#define LEFT 4	  /* LIMIT_HOST_KEEP_ALIVE_S, 3 s: hosts give a silent controller up; nothing comes late any more */
#define PASSED 5  /* LIMIT_LEASE_MS + ADMISSION_TIMEOUT_MS, 4 s: nobody is admitted who should not be any more */
#define FORGOTTEN 6 /* KNOWN_MS, 5 s: who was silent may connect anew */

/* Phases of a slot. */
#define FENCING 0
#define ASSEMBLING 1
#define EXPORTING 2
#define SERVING 3
/* Roles. */
#define STANDBY 0
#define ACTIVE 1
#define RETIRED 2
/* What an agent was told last. */
#define NOTHING 0
#define GO 1
#define WAIT 2
#define ASSEMBLE 3
#define SERVE 4
/* Why a slot moved last. */
#define OTHER_REASON 0
#define PARTED 1

#define BIT(n) (1 << (n))
#define HAS(mask, n) (((mask) >> (n)) & 1)
#define NOBODY 0 /* of a number that is a node's and one more */

/* --- the record ------------------------------------------------------------------------------------------------- */

byte epoch[2], holder[2], phase[2], reason[2];
byte previous[2]; /* who exported the legs of the slot last, and one more: slot.previous */
bool rebooted[2]; /* the holder's kernel is another one than slot.boot_id says */
byte role[NODES], slot_of[NODES];

/* --- the leader ------------------------------------------------------------------------------------------------- */

bool lost_before[2]; /* the holder had no path to the other slot when that one began anew */
bool new_leader;     /* that began anew under another leader */

/* --- agents: what they were told; and kernels ------------------------------------------------------------------- */

byte task[NODES], told_epoch[NODES];
byte told_source[NODES];   /* from whom it shall import the legs of the other slot, and one more */
byte told_consumer[NODES]; /* to whom it shall export its own, and one more */
bool told_admitted[NODES]; /* and whether that one may connect */

byte built[NODES];  /* the epoch of its own legs; 0: there are none */
byte import[NODES]; /* from whom, and one more */
bool connected[NODES];
bool top[NODES]; /* exported to hosts, optimized */
bool gate[NODES];
byte waiting[NODES]; /* writes in its kernel that did not reach the medium, or of which it does not know it: a mask */
bool joined;	     /* the holder of slot 1 let the consumer in, since it heard of a move of either slot */
bool is_news;	     /* it has not heard yet of the last one */

/* --- the medium, the host, the links ---------------------------------------------------------------------------- */

byte disk_epoch = 1;
byte acknowledged; /* the host's last write that was; the next one is under way */
#define ISSUED (acknowledged + 1)
byte host_at;		   /* through whom, and one more */

byte i; /* of loops; 0 between steps, so that it is no state */

#define PAIR(a, b) ((a) + (b) - 1)
#define TO_LEADER(n) (3 + (n))
#define TO_HOST(n) (6 + (n))
short down;	    /* links that are cut */
byte late, shut_out; /* pairs: data that was sent comes late; silent for so long that the other one rejects what comes */
byte age;
byte cuts, moves, reboots, leaders;
bool healed, over;

#define IS_DOWN(link) ((down >> (link)) & 1)
#define IS_SERVED(s) (phase[s] >= EXPORTING)
/* code: health_node_step */
#define IS_OFFLINE(n) (IS_DOWN(TO_LEADER(n)) && age >= LEASE)

#if NODES > 2
#define EACH_NODE(MACRO) MACRO(0); MACRO(1); MACRO(2)
#define SOME_NODE(MACRO) (MACRO(0) || MACRO(1) || MACRO(2))
#else
#define EACH_NODE(MACRO) MACRO(0); MACRO(1)
#define SOME_NODE(MACRO) (MACRO(0) || MACRO(1))
#endif

/* --- what is wanted, by the record alone ------------------------------------------------------------------------ */

/* code: is_admitted slot_is_served */
#ifdef ADMITTED_ALWAYS /* planted: who knocks is let in */
#define IS_ADMITTED(s) true
#else
#define IS_ADMITTED(s) ((phase[s] == EXPORTING && IS_SERVED(1 - (s))) || phase[1 - (s)] == EXPORTING)
#endif
/* code: exporter_of */
#define EXPORTER(s)                                                                                                    \
	(!IS_SERVED(s) && previous[s] != NOBODY && role[previous[s] - 1] == RETIRED && slot_of[previous[s] - 1] == (s) \
		 -> previous[s]                                                                                        \
		 : 1 + holder[s])
/* code: projection_controller legs_are_wanted legs_project leg_remote_project consumers_project */
#define SLOT(n) slot_of[n]
#define TASK(n)                                                                                                        \
	(role[n] != ACTIVE -> GO                                                                                       \
			    : (phase[SLOT(n)] == FENCING -> WAIT : (phase[SLOT(n)] == ASSEMBLING -> ASSEMBLE : SERVE)))
#define WANTED_EPOCH(n) (TASK(n) >= ASSEMBLE -> epoch[SLOT(n)] : 0)
#define WANTED_SOURCE(n) (TASK(n) == SERVE -> EXPORTER(1 - SLOT(n)) : NOBODY)
#define WANTED_CONSUMER(n) (TASK(n) == SERVE -> 1 + holder[1 - SLOT(n)] : NOBODY)
#define WANTED_ADMITTED(n) (TASK(n) == SERVE && IS_ADMITTED(SLOT(n)))
/* Who is told the same could as well have been told in this very moment: a revision is a commit, whatever it changed.
 * code: volume_store desired_store_take
 */
#define KNOWS(n)                                                                                                       \
	(task[n] == TASK(n) && told_epoch[n] == WANTED_EPOCH(n) && told_source[n] == WANTED_SOURCE(n) &&               \
	 told_consumer[n] == WANTED_CONSUMER(n) && told_admitted[n] == WANTED_ADMITTED(n) &&                           \
	 !(is_news && holder[1] == (n)))

/* --- what is there ---------------------------------------------------------------------------------------------- */

#define IS_BUILT(n) (built[n] != 0 && built[n] == told_epoch[n])
#define EXPORTS(n) (task[n] == SERVE && IS_BUILT(n))
/* A connection of c to n that n's agent does not want any more. */
#define IS_FOREIGN(n, c) (import[c] == 1 + (n) && connected[c] && told_consumer[n] != 1 + (c))
#define IS_CONSUMER_OF(n, c) (import[c] == 1 + (n) && connected[c])
#if NODES > 2
#define HAS_FOREIGN(n) (IS_FOREIGN(n, 0) || IS_FOREIGN(n, 1) || IS_FOREIGN(n, 2))
#define HAS_CONSUMER(n) (IS_CONSUMER_OF(n, 0) || IS_CONSUMER_OF(n, 1) || IS_CONSUMER_OF(n, 2))
#else
#define HAS_FOREIGN(n) (IS_FOREIGN(n, 0) || IS_FOREIGN(n, 1))
#define HAS_CONSUMER(n) (IS_CONSUMER_OF(n, 0) || IS_CONSUMER_OF(n, 1))
#endif
/* What was told at the present revision stays true at it; see failover.pml.
 * code: online_at status_make health_make volume_add peer_report has_path
 */
#define HAS_ITS_EXPORTS(n) (KNOWS(n) && EXPORTS(n) && !HAS_FOREIGN(n))
#define HAS_ASSEMBLED(n) (KNOWS(n) && task[n] == ASSEMBLE && IS_BUILT(n) && !top[n] && import[n] == NOBODY)
#define HAS_PATH(n) (KNOWS(n) && task[n] == SERVE && import[n] == told_source[n] && connected[n])
#define IS_CONVERGED(n) (HAS_ITS_EXPORTS(n) && HAS_PATH(n) && top[n])
#define IS_ABSENT(n) (KNOWS(n) && task[n] == GO && built[n] == 0 && import[n] == NOBODY && !top[n])

/* Whether a write that waits at n gets through. To its own disks; or to the holder that it is connected to, and on. */
#define GETS_TO_DISK(n) (slot_of[n] == 1 && built[n] != 0 && built[n] == disk_epoch)
#define GETS_TO(n, h)                                                                                                  \
	(slot_of[n] == 0 && import[n] == 1 + (h) && connected[n] && GETS_TO_DISK(h) && gate[h] && !IS_DOWN(PAIR(n, h)))
#if NODES > 2
#define GETS_THROUGH(n)                                                                                                \
	(GETS_TO_DISK(n) || ((n) != 0 && GETS_TO(n, 0)) || ((n) != 1 && GETS_TO(n, 1)) || ((n) != 2 && GETS_TO(n, 2)))
#else
#define GETS_THROUGH(n) (GETS_TO_DISK(n) || GETS_TO(n, 1 - (n)))
#endif
#define IS_LATE(n) (import[n] != NOBODY && HAS(late, PAIR(n, import[n] - 1)))
#define IS_STALLED(n) (connected[n] && (IS_LATE(n) || (age == BEGUN && IS_DOWN(PAIR(n, import[n] - 1)))))
/* Writes of which the host has given up the path that it sent them by. */
#define LEFT_BEHIND(n) (waiting[n] & ~(host_at == 1 + (n) -> BIT(ISSUED) : 0))

/* --- the promises ----------------------------------------------------------------------------------------------- */

/* 2 and 7: nothing older lands on what a host was told is written; with one medium, what is on it is what is read. */
#define PROMISE(write) assert((write) >= acknowledged)

/* --- the leader ------------------------------------------------------------------------------------------------- */

#define IS_SUCCESSOR(n) (role[n] == STANDBY && !IS_OFFLINE(n))
#if NODES > 2
#define HAS_SUCCESSOR SOME_NODE(IS_SUCCESSOR)
#else
#define HAS_SUCCESSOR false
#endif

/* code: command_slot_move_apply volume_slot_begin volume_slot_leave */
inline slot_move(s, to, why)
{
	previous[s] = (IS_SERVED(s) -> 1 + holder[s] : previous[s]);
	if
	:: to != holder[s] ->
		role[holder[s]] = RETIRED;
		role[to] = ACTIVE;
		slot_of[to] = s;
		holder[s] = to
	:: else
	fi;
	lost_before[1 - s] = IS_SERVED(1 - s) && !connected[holder[1 - s]];
	lost_before[s] = false;
	epoch[s]++;
	assert(epoch[s] < 8); /* not for ever */
	phase[s] = FENCING;
	reason[s] = why;
	rebooted[s] = false;
	new_leader = false;
	is_news = true
}

/* What docs/FAILURES.md says of consumers whose host left them unseen: see README.md, "What it assumes". */
#define CONSUMER holder[0]
#ifdef LEFT_UNSEEN
#define IS_LEFT_UNSEEN false
#else
#define IS_LEFT_UNSEEN (IS_SERVED(0) && LEFT_BEHIND(CONSUMER) != 0 && !(IS_OFFLINE(CONSUMER) && age >= LEFT))
#endif

/* The holder of slot s lost its path to the other one, long enough ago: PARTED_MS after it was shut out.
 * code: has_lost
 */
#define HAS_LOST(s)                                                                                                    \
	((phase[s] == SERVING || MAY_LOSE_EARLY(s)) && !IS_OFFLINE(holder[s]) && task[holder[s]] == SERVE &&           \
	 !connected[holder[s]] && (age == NONE || age == FORGOTTEN))
#ifdef LET_IN_AGAIN /* planted: as the code was; see README.md, "What it found" */
#define HAS_BEEN_IN false
#define MAY_LOSE_EARLY(s) false
#define IS_THERE_FOR(s) (phase[s] == SERVING && !IS_OFFLINE(holder[s]))
#else
/* A connection that breaks is the last one while neither slot moved, in EXPORTING, too; so who lost it there parted.
 * code: generation_of gate_joins_rules_print gate_joins_print health_joined has_joined
 */
#define HAS_BEEN_IN joined
#define IS_IN_EARLY(s) (phase[s] == EXPORTING && joined && !is_news)
#define MAY_LOSE_EARLY(s) ((s) == 0 && IS_IN_EARLY(s))
#define IS_THERE_FOR(s) ((phase[s] == SERVING || ((s) == 1 && IS_IN_EARLY(s))) && !IS_OFFLINE(holder[s]))
#endif
#ifdef PARTED_ONE_SIDE /* planted: the consumer goes on as it is */
#define FOLLOWS(s) false
#define IS_PARTED(s) ((s) == 1 && HAS_LOST(s) && IS_THERE_FOR(1 - (s)))
#else
/* The other one begins anew already, because of this.
 * code: has_lost is_parting
 */
#define FOLLOWS(s)                                                                                                     \
	(IS_SERVED(s) && !IS_OFFLINE(holder[s]) && reason[1 - (s)] == PARTED && phase[1 - (s)] == FENCING && lost_before[s])
/* code: parted_is */
#define IS_PARTED(s) ((HAS_LOST(s) && IS_THERE_FOR(1 - (s))) || FOLLOWS(s))
#endif

#ifdef RESTART_FORGOTTEN /* planted: a slot whose holder is offline waits for it */
#define MAY_RESTART false
#else
#define MAY_RESTART true
#endif

#ifdef FOLLOWS_LATE /* planted: as the code was; see README.md, "What it found" */
#define FOLLOWS_FIRST(s) (FOLLOWS(s) && !new_leader)
#else
#define FOLLOWS_FIRST(s) FOLLOWS(s)
#endif
/* A slot that has to move is seen before another one goes on. */
#define HAS_TO_MOVE(s)                                                                                                 \
	(FOLLOWS_FIRST(s) || (IS_OFFLINE(holder[s]) && IS_SERVED(s) && (HAS_SUCCESSOR || MAY_RESTART)))

#ifdef NO_PATHS_AWAITED /* planted: it serves before it is connected */
#define PATHS_ARE_THERE(s) true
#else
#define PATHS_ARE_THERE(s)                                                                                             \
	(!IS_SERVED(1 - (s)) || IS_OFFLINE(holder[1 - (s)]) || (HAS_PATH(holder[s]) && HAS_PATH(holder[1 - (s)])))
#endif

/* Whether nothing of slot s comes through the holder of the other one: its export to a holder that retired is parked.
 * code: fence_other fence_consumer disks_are_fenced
 */
#define DISKS_ARE_FENCED(s) ((s) == 0 || disk_epoch == epoch[s])
#define OTHER_IS_FENCED(o)                                                                                             \
	(phase[o] == ASSEMBLING || (phase[o] == FENCING && DISKS_ARE_FENCED(o)) ||                                     \
	 (IS_SERVED(o) && !IS_OFFLINE(holder[o]) && HAS_ITS_EXPORTS(holder[o])))

inline leader(s)
{
	if
	/* Its group froze, or whatever: it begins anew at its holder.
	 * code: slots_move_reason slot_is_frozen
	 */
	:: d_step { !healed && moves < MOVES && IS_SERVED(s) && !IS_OFFLINE(holder[s]) && (s == 0 || !IS_LEFT_UNSEEN) ->
		   printf("leader: slot %d begins anew at cn%d\n", s, holder[s]);
		   moves++; slot_move(s, holder[s], OTHER_REASON) }
	/* code: slots_move_reason has_rebooted */
	:: d_step { !over && rebooted[s] && phase[s] != FENCING && !HAS_SUCCESSOR ->
		   printf("leader: cn%d booted, slot %d begins anew\n", holder[s], s);
		   slot_move(s, holder[s], OTHER_REASON) }
	/* code: slots_move_reason step_move move */
	:: d_step { !over && IS_OFFLINE(holder[s]) && IS_SERVED(s) && !HAS_SUCCESSOR && MAY_RESTART &&
		   (s == 0 || !IS_LEFT_UNSEEN) ->
		   printf("leader: cn%d is offline, slot %d begins anew there\n", holder[s], s);
		   slot_move(s, holder[s], OTHER_REASON) }
	/* code: parted_successor */
	:: d_step { !over && IS_PARTED(s) ->
		   printf("leader: slot %d parted, it begins anew at cn%d\n", s, holder[s]);
		   slot_move(s, holder[s], PARTED) }
	/* code: step_fencing fenced_step advance command_slot_advance_apply */
	:: d_step { !over && phase[s] == FENCING && !IS_OFFLINE(holder[s]) && DISKS_ARE_FENCED(s) && OTHER_IS_FENCED(1 - s) &&
		   !HAS_TO_MOVE(1 - s) ->
		   printf("leader: slot %d is fenced\n", s);
		   phase[s] = ASSEMBLING; rebooted[s] = false; lost_before[1 - s] = false }
	/* code: step_holder may_serve members_are_whole */
	:: d_step { !over && phase[s] == ASSEMBLING && HAS_ASSEMBLED(holder[s]) && !IS_OFFLINE(holder[s]) &&
		   !HAS_TO_MOVE(1 - s) ->
		   printf("leader: cn%d may serve slot %d\n", holder[s], s);
		   phase[s] = EXPORTING; previous[s] = NOBODY }
	/* code: step_holder parted_await_paths await_path */
	:: d_step { !over && phase[s] == EXPORTING && !IS_OFFLINE(holder[s]) && IS_CONVERGED(holder[s]) && PATHS_ARE_THERE(s) ->
		   printf("leader: cn%d serves slot %d\n", holder[s], s);
		   phase[s] = SERVING; reason[s] = OTHER_REASON }
	fi
}

inline leader_of_node(n)
{
	if
	/* code: slots_successor slots_is_better drain */
	:: d_step { !over && IS_SUCCESSOR(n) && (IS_OFFLINE(holder[0]) || (rebooted[0] && phase[0] != FENCING)) ->
		   printf("leader: slot 0 moves to cn%d\n", n); slot_move(0, n, OTHER_REASON) }
	:: d_step { !over && IS_SUCCESSOR(n) && (IS_OFFLINE(holder[1]) || (rebooted[1] && phase[1] != FENCING)) &&
		   !IS_LEFT_UNSEEN ->
		   printf("leader: slot 1 moves to cn%d\n", n); slot_move(1, n, OTHER_REASON) }
	:: d_step { !over && IS_SUCCESSOR(n) && IS_PARTED(0) ->
		   printf("leader: slot 0 parted, it moves to cn%d\n", n); slot_move(0, n, PARTED) }
	:: d_step { !over && IS_SUCCESSOR(n) && IS_PARTED(1) ->
		   printf("leader: slot 1 parted, it moves to cn%d\n", n); slot_move(1, n, PARTED) }
	:: d_step { !healed && moves < MOVES && IS_SUCCESSOR(n) && phase[0] == SERVING && phase[1] == SERVING ->
		   printf("leader: slot 0 is drained to cn%d\n", n); moves++; slot_move(0, n, OTHER_REASON) }
	:: d_step { !healed && moves < MOVES && IS_SUCCESSOR(n) && phase[0] == SERVING && phase[1] == SERVING ->
		   printf("leader: slot 1 is drained to cn%d\n", n); moves++; slot_move(1, n, OTHER_REASON) }
	/* code: command_controller_drop_apply command_controller_add_apply */
	:: d_step { !over && role[n] == RETIRED && IS_ABSENT(n) ->
		   printf("leader: cn%d is clean\n", n);
		   role[n] = STANDBY; slot_of[n] = 0 }
	fi
}

/* --- agents ----------------------------------------------------------------------------------------------------- */

inline consumers_cut(n)
{
	for (i : 0 .. NODES - 1) {
		connected[i] = connected[i] && import[i] != 1 + n
	}
	i = 0
}

inline drop(n)
{
	waiting[n] = 0;
	host_at = (host_at == 1 + n -> NOBODY : host_at)
}

/* Whether it is not what it was told to be. */
#define IS_WRONG(n) (task[n] != NOTHING && (task[n] < ASSEMBLE || !IS_BUILT(n)))

inline agent(n)
{
	if
	/* code: take_desired term_take desired_store_take */
	:: d_step { !over && !IS_DOWN(TO_LEADER(n)) && !KNOWS(n) ->
		   printf("cn%d: is told\n", n);
		   task[n] = TASK(n); told_epoch[n] = WANTED_EPOCH(n); told_source[n] = WANTED_SOURCE(n);
		   told_consumer[n] = WANTED_CONSUMER(n); told_admitted[n] = WANTED_ADMITTED(n);
		   joined = joined && !(is_news && holder[1] == n); is_news = is_news && holder[1] != n }
	/* First what is exported goes, then what waits below: it never reaches anybody.
	 * code: planner_teardown_exports subsystem_reduce unlink_everywhere let_go
	 */
	:: d_step { !over && IS_WRONG(n) && (top[n] || HAS_CONSUMER(n)) ->
		   printf("cn%d: unlinks what it exports\n", n);
		   top[n] = false; consumers_cut(n) }
	/* code: planner_teardown_imports import_end planner_teardown_dms dm_remove */
	:: d_step { !over && IS_WRONG(n) && !top[n] && !HAS_CONSUMER(n) && (built[n] != 0 || import[n] != NOBODY) ->
		   printf("cn%d: takes its legs and imports down\n", n);
		   built[n] = 0; import[n] = NOBODY; connected[n] = false; drop(n) }
	/* code: planner_build_imports create leg_decide */
	:: d_step { !over && task[n] >= ASSEMBLE && built[n] == 0 && import[n] == NOBODY &&
		   (slot_of[n] == 0 || disk_epoch == told_epoch[n]) ->
		   printf("cn%d: assembles its legs\n", n);
		   built[n] = told_epoch[n] }
	/* The old path stays until the new one is there; what waits, waits for either.
	 * code: planner_build_imports import_is_replaced
	 */
	:: d_step { !over && EXPORTS(n) && import[n] != told_source[n] ->
		   printf("cn%d: imports from cn%d\n", n, told_source[n] - 1);
		   import[n] = told_source[n]; connected[n] = false }
	/* code: top_add stripe_add namespace_build subsystem_link */
	:: d_step { !over && EXPORTS(n) && !top[n] && import[n] == told_source[n] && connected[n] ->
		   printf("cn%d: exports the volume\n", n);
		   top[n] = true }
	/* Its export to who is no consumer any more is parked, or goes: its connections drop.
	 * code: consumer_add subsystem_reduce parked_namespace_add
	 */
	:: d_step { !over && HAS_FOREIGN(n) && EXPORTS(n) ->
		   printf("cn%d: parks its export to a holder that retired\n", n);
		   for (i : 0 .. NODES - 1) {
			   connected[i] = connected[i] && (import[i] != 1 + n || told_consumer[n] == 1 + i)
		   }
		   i = 0 }
	/* Its lease ran out, and not all its members are there: hosts and consumers are answered with tcp-reset.
	 * code: lease_step check_start lease_claim_make paths_check
	 */
	:: d_step { !healed && gate[n] && IS_DOWN(TO_LEADER(n)) && age >= LEASE ->
		   printf("cn%d: its gate shuts\n", n);
		   gate[n] = false; consumers_cut(n) }
	/* code: lease_answered lease_exposed planner_find_exposed */
	:: d_step { !over && !gate[n] && !IS_DOWN(TO_LEADER(n)) && KNOWS(n) && !IS_WRONG(n) && !HAS_FOREIGN(n) ->
		   printf("cn%d: its gate opens\n", n);
		   gate[n] = true }
	:: d_step { !healed && reboots < REBOOTS && role[n] == ACTIVE &&
		   (slot_of[n] == 0 || !IS_LEFT_UNSEEN) ->
		   printf("cn%d: boots anew\n", n);
		   reboots++;
		   rebooted[slot_of[n]] = phase[slot_of[n]] != FENCING;
		   task[n] = NOTHING; told_epoch[n] = 0; told_source[n] = NOBODY; told_consumer[n] = NOBODY;
		   told_admitted[n] = false; consumers_cut(n);
		   built[n] = 0; import[n] = NOBODY; connected[n] = false; top[n] = false; gate[n] = false;
		   drop(n) }
	fi
}
/* --- kernels of consumers --------------------------------------------------------------------------------------- */

/* code: admission_make export_is_open admit gate_admit */
#define LETS_IN(h, n)                                                                                                  \
	(EXPORTS(h) && told_consumer[h] == 1 + (n) && told_admitted[h] && gate[h] &&                                   \
	 !(IS_DOWN(TO_LEADER(h)) && age >= PASSED))
#define IS_OUT(h, n) HAS(shut_out, PAIR(n, h))

inline kernel(n, h)
{
	if
	:: d_step { !over && import[n] == 1 + h && !connected[n] && !IS_DOWN(PAIR(n, h)) && !HAS(late, PAIR(n, h)) &&
		   LETS_IN(h, n) && !IS_OUT(h, n) && (slot_of[n] == 1 || !HAS_BEEN_IN) ->
		   printf("cn%d: connects to cn%d\n", n, h);
		   connected[n] = true; joined = joined || slot_of[n] == 0 }
	fi
}

/* --- the host --------------------------------------------------------------------------------------------------- */

/* The slot that its write waits for is on its way, and the leader does not see that it is left. */
#ifdef LEFT_UNSEEN
#define LEAVES_UNSEEN(n) false
#else
#define LEAVES_UNSEEN(n)                                                                                               \
	(role[n] == ACTIVE && slot_of[n] == 0 && (!joined || is_news || rebooted[1]) &&                                                            \
	 ((IS_SERVED(0) && (phase[1] != SERVING || rebooted[1])) || told_admitted[holder[1]]))
#endif


/* What waits on a way that works gets through before anything else happens: see README.md, "What it assumes". */
#define FLOWS(n) (waiting[n] != 0 && GETS_THROUGH(n) && !IS_LATE(n))

inline reaches(n, write)
{
	printf("cn%d: write %d reaches the medium\n", n, write);
	PROMISE(write);
	waiting[n] = waiting[n] & ~BIT(write);
	if
	:: host_at == 1 + n && ISSUED == write -> acknowledged = write; host_at = NOBODY
	:: else
	fi
}

#ifdef LEFT_WHILE_STALLED
#define MAY_LEAVE(n) (!FLOWS(n))
#else
#define MAY_LEAVE(n) (!FLOWS(n) && !IS_STALLED(n))
#endif

inline flow(n)
{
	if
	:: d_step { FLOWS(n) && HAS(waiting[n], 1) -> reaches(n, 1) }
	:: d_step { FLOWS(n) && HAS(waiting[n], 2) -> reaches(n, 2) }
	fi
}

inline host(n)
{
	if
	:: d_step { !over && acknowledged < WRITES && host_at == NOBODY && top[n] && gate[n] && !IS_DOWN(TO_HOST(n)) ->
		   printf("host: sends write %d to cn%d\n", ISSUED, n);
		   host_at = 1 + n; waiting[n] = waiting[n] | BIT(ISSUED) }
	/* It is answered with a reset, or with nothing. */
	:: d_step { host_at == 1 + n && MAY_LEAVE(n) &&
		   (IS_DOWN(TO_HOST(n)) -> age >= LEFT : !top[n] || !gate[n]) && !LEAVES_UNSEEN(n) ->
		   printf("host: leaves cn%d\n", n);
		   host_at = NOBODY }
	:: d_step { IS_LATE(n) && HAS(waiting[n], 1) && GETS_THROUGH(n) -> reaches(n, 1) }
	:: d_step { IS_LATE(n) && HAS(waiting[n], 2) && GETS_THROUGH(n) -> reaches(n, 2) }
	fi
}

/* --- disks, links, time ----------------------------------------------------------------------------------------- */

inline tick()
{
	age++;
	if
	:: age == SILENT ->
		shut_out = down & 7;
#ifndef SILENCE_NOT_SHUT_OUT /* planted: a connection that was silent goes on */
		for (i : 0 .. NODES - 1) {
			connected[i] = connected[i] && !HAS(shut_out, PAIR(i, import[i] - 1))
		}
		i = 0
#endif
	:: age == FORGOTTEN -> shut_out = 0; age = (down == 0 -> NONE : FORGOTTEN)
	:: else
	fi
}

#if NODES > 2
#define ALL_LINKS 15
#define CUT_FROM_OTHERS(n) (n == 0 -> i >> 2 : (n == 1 -> (i >> 2 & 1) | (i >> 1 & 4) : i >> 2 << 1))
#else
#define ALL_LINKS 7
#define CUT_FROM_OTHERS(n) (i >> 2)
#endif

/* A node loses some of its links, all of them if it stands still. */
inline cut(n)
{
	if
	:: atomic { !healed && cuts < CUTS && age == NONE ->
		   cuts++; age = BEGUN; i = 1;
		   do
		   :: i < ALL_LINKS -> i++
		   :: break
		   od;
		   down = HAS(i, 0) << TO_LEADER(n) | HAS(i, 1) << TO_HOST(n) | CUT_FROM_OTHERS(n); i = 0;
		   printf("cut: cn%d; leader %d host %d others %d\n", n, IS_DOWN(TO_LEADER(n)), IS_DOWN(TO_HOST(n)), down & 7) }
	fi
}

inline heal(link)
{
	if
	:: d_step { !over && IS_DOWN(link) ->
		   printf("link %d heals\n", link);
		   down = down & ~BIT(link);
		   late = (link < 3 && age == BEGUN -> late | BIT(link) : late);
		   age = (age == FORGOTTEN && down == 0 -> NONE : age) }
	fi
}

inline world()
{
	if
	/* code: planner_build_guard label_check */
	:: d_step { !over && disk_epoch != epoch[1] && phase[1] == FENCING ->
		   printf("disks: let epoch %d in\n", epoch[1]);
		   disk_epoch = epoch[1] }
	:: d_step { !healed && leaders < LEADERS -> printf("leader: a new one\n"); leaders++; new_leader = true }
	:: d_step { !over && late != 0 -> printf("nothing is late any more\n"); late = 0 }
	:: d_step { !over && age != NONE && age < FORGOTTEN && (age + 1 != LEFT || (late == 0 && !HAS_TO_MOVE(0) && !HAS_TO_MOVE(1))) -> printf("tick\n"); tick() }
#ifdef PROGRESS
	:: d_step { !healed -> printf("healed\n"); healed = true; down = 0; late = 0 }
	:: atomic { timeout && healed && !over ->
		   printf("nothing is left to do\n");
		   assert(phase[0] == SERVING && phase[1] == SERVING && acknowledged == WRITES);
		   over = true }
#endif
	fi
}

inline begin(n)
{
	role[n] = ACTIVE; slot_of[n] = n; holder[n] = n; epoch[n] = 1; phase[n] = SERVING;
	built[n] = 1; import[n] = 2 - n; connected[n] = true; top[n] = true; gate[n] = true;
	task[n] = SERVE; told_epoch[n] = 1; told_source[n] = 2 - n; told_consumer[n] = 2 - n
}

/* Nothing old is anywhere any more. */
#define HAS_WAITING(n) (waiting[n] != 0)
#ifdef PROGRESS
#define IS_DONE false
#else
#define IS_DONE (acknowledged == WRITES && !SOME_NODE(HAS_WAITING))
#endif

active proctype everything()
{
	d_step { begin(0); begin(1); joined = true }
#if NODES > 2
	d_step { gate[2] = true; task[2] = GO }
#endif
end:	do
	:: flow(0)
	:: flow(1)
#if NODES > 2
	:: flow(2)
#endif
	:: atomic { !SOME_NODE(FLOWS) && !IS_DONE ->
end_here:	if
			:: leader(0)
			:: leader(1)
			:: agent(0)
			:: agent(1)
			:: kernel(0, 1)
			:: kernel(1, 0)
			:: host(0)
			:: host(1)
			:: cut(0)
			:: cut(1)
			:: heal(0)
			:: heal(3)
			:: heal(4)
			:: heal(6)
			:: heal(7)
#if NODES > 2
			:: leader_of_node(0)
			:: leader_of_node(1)
			:: leader_of_node(2)
			:: agent(2)
			:: kernel(0, 2)
			:: kernel(2, 0)
			:: kernel(1, 2)
			:: kernel(2, 1)
			:: host(2)
			:: cut(2)
			:: heal(1)
			:: heal(2)
			:: heal(5)
			:: heal(8)
#endif
			:: world()
		fi }
	od
}
