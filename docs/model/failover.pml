/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failover and fencing of one slot, for spin. README.md says what is in it, what is not, and how to run it.
 *
 * One volume with one slot and one group: CNS Controller Nodes that can hold the slot, DNS Disk Nodes with a member each.
 * Three things are kept apart, as in the code: what Raft says (the record), what an agent was told of it last, however
 * long ago, and what the kernel of its node does.
 *
 * Nobody is fair. A node that is dead, frozen or cut off is one that takes no step; what is late is a step that is taken
 * late. Only time needs no one's help: see TICK. All steps are those of one process, so that a state is small.
 *
 * "code:" names the functions that do the step; names.sh checks that there are such functions.
 * "planted:" is an error that spin has to find when it is asked for with -DNAME; check.sh does that.
 */

#ifndef CNS
#define CNS 2
#endif
#ifndef DNS
#define DNS 2
#endif
#ifndef WRITES
#define WRITES 3 /* the last number that a host writes; the block begins with 1 */
#endif
#ifndef EPOCHS
#define EPOCHS 3 /* the slot moves while its epoch is lower */
#endif
#ifndef GIVE_UPS
#define GIVE_UPS 1 /* members that are given up outside of a fence, for whatever reason */
#endif
#ifndef REBUILDS
#define REBUILDS 1
#endif
#ifndef CN_REBOOTS
#define CN_REBOOTS 1
#endif
#ifndef DN_REBOOTS
#define DN_REBOOTS 1
#endif
#ifndef LEADERS
#define LEADERS 1 /* changes of the leader */
#endif

/* Ticks. The relations are those of agent/lease.h: SILENCE + TAIL <= LEASE + CHECK, and nothing to spare. */
#define LEASE 2	  /* LIMIT_LEASE_MS */
#define SILENCE 1 /* KERNEL_PATH_SILENCE_MS */
#define TAIL 2	  /* LEASE_CHECK_TAIL_MS */
#define CHECK 1	  /* LIMIT_LEASE_CHECK_MS; the margin is for clocks that do not run alike, and here they do */
#ifdef GATE_TOO_SHORT /* planted: the wait for a gate forgets that a check may have opened it once more */
#define GATE LEASE
#else
#define GATE (LEASE + CHECK) /* GATE_MS */
#endif

/* Phases of the slot. */
#define FENCING 0
#define ASSEMBLING 1
#define EXPORTING 2
#define SERVING 3
/* Roles of a Controller Node. One that is none of the volume's is a standby that nobody chooses. */
#define STANDBY 0
#define ACTIVE 1
#define RETIRED 2
/* States of a member. */
#define STALE 0
#define REBUILDING 1
#define IN_SYNC 2
/* What an agent of a Controller Node was told last. */
#define NOTHING 0  /* since it began; or what a node that has nothing was told is no matter */
#define GO 1	   /* all of the volume shall go */
#define WAIT 2	   /* a holder in FENCING: no legs, the top inaccessible */
#define ASSEMBLE 3 /* legs, the top inaccessible */
#define SERVE 4	   /* legs, exported to hosts */

#define BIT(d) (1 << (d))
#define HAS(mask, d) (((mask) >> (d)) & 1)

/* --- the record: what Raft committed ---------------------------------------------------------------------------- */

byte epoch = 1, holder = 0, phase = SERVING;
byte role[CNS], state[DNS];
byte attempt[DNS]; /* which rebuild of the member: ld.since_ms, no two are the same */
bool rebooted;	   /* the holder's kernel is another one than when it got the slot: slot.boot_id */

/* --- the leader ------------------------------------------------------------------------------------------------- */

byte gate_wait[CNS]; /* ticks until the gate of a retired holder is shut for certain */

/* --- agents: what they were told -------------------------------------------------------------------------------- */

byte cn_task[CNS], cn_epoch[CNS];
byte cn_state[CNS], cn_attempt[CNS]; /* two bits for each member */
bool dn_wanted[DNS], dn_formatted[DNS];
byte dn_epoch[DNS]; /* 0: nothing since it began */

#define CN_STATE(c, d) ((cn_state[c] >> (2 * (d))) & 3)
#define CN_ATTEMPT(c, d) ((cn_attempt[c] >> (2 * (d))) & 3)

/* --- kernels of Controller Nodes -------------------------------------------------------------------------------- */

byte group_epoch[CNS]; /* of its imports and its group; 0: there are none */
byte members[CNS];     /* of the group, those that are copied included */
byte copied[CNS];      /* members that are being rebuilt */
byte complete[CNS];    /* those of them that are done */
bool exported[CNS];    /* the top lies on the group, and is optimized for hosts */
byte gate[CNS];	       /* ticks that the lease element lives on; 0: every packet is answered with tcp-reset. Who holds
			* the slot has LEASE: more can happen then than with less. 0 where it makes no difference. */
byte flight[CNS];      /* the write that is in the kernel; 0: none */
byte missing[CNS];     /* members that did not confirm it */

/* --- kernels and disks of Disk Nodes ---------------------------------------------------------------------------- */

byte export_epoch[DNS]; /* the export of that epoch is enabled; 0: there is none */
bool linked[DNS];	/* and its holder gets through to it */
byte quiet[DNS];	/* the epoch that was cut off within SILENCE, so that its holder may not have noticed: twice the
			 * epoch, and one more until the next tick */
byte queue[DNS], queue_epoch[DNS], queue_from[DNS]; /* a write that came in and is not on the medium; 0: none */
byte medium[DNS];
byte label_epoch[DNS], label_attempt[DNS];
bool label_formatted[DNS];
byte read_epoch[DNS]; /* the latest epoch in which somebody had the member in a group; only to judge */

/* --- hosts, and how much goes wrong ----------------------------------------------------------------------------- */

byte acknowledged = 1;
byte give_ups, rebuilds, cn_reboots, dn_reboots, leaders;
bool healed, over;		 /* nothing new goes wrong; nothing is left to do */
byte gone_cn = 255, gone_dn = 255; /* a node whose agent never comes back */

byte i; /* of loops; 0 between steps, so that it is no state */

#if CNS > 2
#define EACH_CN(MACRO) MACRO(0); MACRO(1); MACRO(2)
#define ALL_CNS(MACRO) (MACRO(0) && MACRO(1) && MACRO(2))
#else
#define EACH_CN(MACRO) MACRO(0); MACRO(1)
#define ALL_CNS(MACRO) (MACRO(0) && MACRO(1))
#endif
#if DNS > 2
#define EACH_DN(MACRO) MACRO(0); MACRO(1); MACRO(2)
#define ALL_DNS(MACRO) (MACRO(0) && MACRO(1) && MACRO(2))
#define SOME_DN(MACRO) (MACRO(0) || MACRO(1) || MACRO(2))
#define ALL_DNS_OF(MACRO, c) (MACRO(c, 0) && MACRO(c, 1) && MACRO(c, 2))
#define SOME_DN_OF(MACRO, c) (MACRO(c, 0) || MACRO(c, 1) || MACRO(c, 2))
#else
#define EACH_DN(MACRO) MACRO(0); MACRO(1)
#define ALL_DNS(MACRO) (MACRO(0) && MACRO(1))
#define SOME_DN(MACRO) (MACRO(0) || MACRO(1))
#define ALL_DNS_OF(MACRO, c) (MACRO(c, 0) && MACRO(c, 1))
#define SOME_DN_OF(MACRO, c) (MACRO(c, 0) || MACRO(c, 1))
#endif

/* --- how things are --------------------------------------------------------------------------------------------- */

/* An import carries the epoch in its name: it leads to the export of that epoch, or nowhere. */
#ifdef FENCE_SKIPPED /* planted: the export of before stays when the new one is made */
#define LETS_IN(d, e) (linked[d] && export_epoch[d] >= (e))
#else
#define LETS_IN(d, e) (linked[d] && export_epoch[d] == (e))
#endif
/* The group is of the epoch that is wanted. */
#define IS_BUILT(c) (group_epoch[c] != 0 && group_epoch[c] == cn_epoch[c])
/* The label says which rebuild it is. What it says is known from when there was a path; an epoch that its Disk Node
 * raised since nobody reads here.
 * code: group_label_find label_is_same label_memory_keep
 */
#define IS_COPY(c, d) (HAS(copied[c], d) && label_attempt[d] == CN_ATTEMPT(c, d))
/* A member that shall go: its import is dropped, whatever its state. One that shall be rebuilt, and is in the table for
 * another reason, goes by a change of the table, which needs its path.
 * code: group_place_find may_reload
 */
#define IS_UNWANTED(c, d) (HAS(members[c], d) && CN_STATE(c, d) == STALE)
#define IS_OTHER(c, d) (HAS(members[c], d) && CN_STATE(c, d) == REBUILDING && !IS_COPY(c, d))
#define LEAVES(c, d) (IS_UNWANTED(c, d) || IS_OTHER(c, d))
#define IS_ON_ITS_WAY(c, d) (queue[d] != 0 && queue_from[d] == (c))
#define IS_SETTLED(c, d) (!LEAVES(c, d) && (HAS(members[c], d) || CN_STATE(c, d) == STALE))
/* code: health_of is_settled group_label_is_complete */
#define IS_WELL(c, d)                                                                                                  \
	(HAS(members[c], d) &&                                                                                         \
	 (CN_STATE(c, d) == IN_SYNC || (CN_STATE(c, d) == REBUILDING && IS_COPY(c, d) && HAS(complete[c], d) &&        \
					label_formatted[d] && LETS_IN(d, group_epoch[c]))))

/* Whether an agent was told what the record says now. A commit is a new revision of the volume, and each agent is told
 * again, whatever changed; but who is told the same could as well have been told in this very moment.
 * code: volume_store desired_store_take
 */
#define DN_KNOWS(d)                                                                                                    \
	(dn_epoch[d] == epoch && dn_wanted[d] == (state[d] != STALE) && dn_formatted[d] == (state[d] == IN_SYNC))
#define TASK(c)                                                                                                        \
	(role[c] != ACTIVE -> GO : (phase == FENCING -> WAIT : (phase == ASSEMBLING -> TASK_IN_ASSEMBLING : SERVE)))
#define CN_KNOWS_OF(c, d)                                                                                              \
	(CN_STATE(c, d) == state[d] && (state[d] != REBUILDING || CN_ATTEMPT(c, d) == attempt[d]))
#if DNS > 2
#define CN_KNOWS_MEMBERS(c) (CN_KNOWS_OF(c, 0) && CN_KNOWS_OF(c, 1) && CN_KNOWS_OF(c, 2))
#else
#define CN_KNOWS_MEMBERS(c) (CN_KNOWS_OF(c, 0) && CN_KNOWS_OF(c, 1))
#endif
#define CN_KNOWS(c) (cn_task[c] == TASK(c) && (TASK(c) < ASSEMBLE || (cn_epoch[c] == epoch && CN_KNOWS_MEMBERS(c))))
#ifdef EXPORTED_TOO_EARLY /* planted: a new holder exports as soon as it has assembled */
#define TASK_IN_ASSEMBLING SERVE
#else
#define TASK_IN_ASSEMBLING ASSEMBLE
#endif

/* What the leader was told at the present revision, the only one that counts. It may have been told long ago: what was
 * true at a revision stays true at it, but for a reboot, and that could as well have come after what the leader does. So
 * it is read from the node itself, and there are no messages. A leader that is new is told the same again.
 * code: online_at online_export_confirmed status_make health_make session_report agents_report reported_update
 */
#define DN_CONVERGED(d)                                                                                                \
	(DN_KNOWS(d) && dn_wanted[d] && linked[d] && export_epoch[d] == dn_epoch[d] && (d) != gone_dn)
#define DN_ABSENT(d) (DN_KNOWS(d) && !dn_wanted[d] && export_epoch[d] == 0 && (d) != gone_dn)
#define CN_CONVERGED(c)                                                                                                \
	(CN_KNOWS(c) && cn_task[c] >= ASSEMBLE && IS_BUILT(c) && ALL_DNS_OF(IS_SETTLED, c) &&                          \
	 exported[c] == (cn_task[c] == SERVE) && (c) != gone_cn)
#define CN_ABSENT(c) (CN_KNOWS(c) && cn_task[c] == GO && group_epoch[c] == 0 && !exported[c] && (c) != gone_cn)
#define SAYS_WELL(c, d) (CN_KNOWS(c) && cn_task[c] >= ASSEMBLE && IS_BUILT(c) && IS_WELL(c, d) && (c) != gone_cn)

/* --- the promises (DESIGN, section 7) --------------------------------------------------------------------------- */

/* Hosts reach the top, and the group may read the member: it is in sync there, and lets this epoch in. */
#define READABLE(c, d)                                                                                                 \
	(exported[c] && gate[c] > 0 && HAS(members[c], d) && (!HAS(copied[c], d) || HAS(complete[c], d)) &&            \
	 LETS_IN(d, group_epoch[c]))

/* 1. What reaches a medium is not of an older epoch than what somebody reads there. */
#define PROMISE_1(d) assert(queue_epoch[d] >= read_epoch[d])
/* 2. What a host was told is on every member that the record calls in sync. */
#define PROMISE_2(d) assert(state[d] != IN_SYNC || medium[d] >= acknowledged)
/* 3. Who becomes part of a group as in sync has missed nothing. */
#define PROMISE_3(d) assert(medium[d] >= acknowledged)
/* 7. What a host could read now is not older than what any host was told. */
#define PROMISE_7_BY(c, d) assert(!READABLE(c, d) || medium[d] >= acknowledged)
#if DNS > 2
#define PROMISE_7(c) PROMISE_7_BY(c, 0); PROMISE_7_BY(c, 1); PROMISE_7_BY(c, 2)
#else
#define PROMISE_7(c) PROMISE_7_BY(c, 0); PROMISE_7_BY(c, 1)
#endif
#define PROMISES EACH_DN(PROMISE_2); EACH_CN(PROMISE_7)

/* --- the leader, and what it commits ---------------------------------------------------------------------------- */
/*
 * A step looks at the record and at what was told, and gives one command. That the command is committed a moment later
 * changes nothing: one at a time is under way, revisions and epochs are compared when it is applied, and a renewal of a
 * lease whose barrier came after it is behind it in the log.
 * code: online_step slots_step members_step standbys_step
 *
 * Why the leader wants something is left open where it can be: a slot moves, a member is given up, as soon as it may.
 * What is safe at any time is safe for each of the reasons.
 */

/* The leader sees the slot in a phase for the first time: because that is new, or the leader is.
 * code: moments_slot_since moments_update gate_open_ms
 */
#ifdef GATES_FORGOTTEN /* planted: a new leader takes it that the one before has waited */
#define GATE_FOR_NEW_LEADER 0
#else
#define GATE_FOR_NEW_LEADER GATE
#endif
inline await_gates(ticks)
{
	for (i : 0 .. CNS - 1) {
		gate_wait[i] = (role[i] == RETIRED && phase == ASSEMBLING -> ticks : 0)
	}
	i = 0
}

/* code: command_slot_move_apply volume_slot_begin members_abandon volume_slot_leave */
inline slot_move(to)
{
	if
	:: to != holder ->
		role[holder] = RETIRED;
		role[to] = ACTIVE;
		gate[to] = LEASE;
		holder = to
	:: else
	fi;
	for (i : 0 .. DNS - 1) {
		state[i] = (state[i] == REBUILDING -> STALE : state[i])
	}
	epoch++;
	phase = FENCING;
	rebooted = false;
	await_gates(GATE)
}

#ifdef FENCE_NOT_AWAITED /* planted: nobody waits for the Disk Nodes */
#define IS_FENCED(d) true
#else
#define IS_FENCED(d) (state[d] != IN_SYNC || DN_CONVERGED(d))
#endif
#ifdef GATE_NOT_AWAITED /* planted: the new holder serves while an old one may */
#define MAY_SERVE true
#else
#define MAY_SERVE (ALL_DNS(IS_SHUT_OUT) || ALL_CNS(GATE_IS_SHUT))
#endif
#define IS_SHUT_OUT(d) (DN_CONVERGED(d) || DN_ABSENT(d))
#define GATE_IS_SHUT(c) (role[c] != RETIRED || CN_ABSENT(c) || gate_wait[c] == 0)
#define IS_WHOLE(c, d) (state[d] != IN_SYNC || SAYS_WELL(c, d))

inline leader_of_slot()
{
	if
	/* A node that holds the slot begins anew: it rebooted, its group froze, it parted from another one.
	 * code: slots_move_reason slot_is_frozen has_rebooted parted_is
	 */
	:: d_step { !over && (healed -> rebooted && holder != gone_cn && epoch < EPOCHS + 2 : epoch < EPOCHS) ->
		   printf("leader: cn%d begins anew in epoch %d\n", holder, epoch + 1);
		   slot_move(holder); PROMISES }
	/* code: step_fencing fenced_step online_export_confirmed command_slot_advance_apply */
	:: d_step { !over && phase == FENCING && ALL_DNS(IS_FENCED) ->
		   printf("leader: epoch %d is fenced, cn%d assembles\n", epoch, holder);
		   phase = ASSEMBLING; await_gates(GATE); PROMISES }
	/* code: step_holder members_are_whole may_serve all_is_shut_out ld_is_shut_out gate_open_ms */
	:: d_step { !over && phase == ASSEMBLING && CN_CONVERGED(holder) && ALL_DNS_OF(IS_WHOLE, holder) && MAY_SERVE ->
		   printf("leader: cn%d may serve\n", holder);
		   phase = EXPORTING; await_gates(GATE); PROMISES }
	/* code: step_holder parted_await_paths */
	:: d_step { !over && phase == EXPORTING && CN_CONVERGED(holder) ->
		   printf("leader: cn%d serves\n", holder);
		   phase = SERVING; PROMISES }
	/* Another server leads. It waits for gates from the beginning, as it knows of no renewal.
	 * code: agents_leader_begin moments_slot_since driver_online_view
	 */
	:: d_step { !healed && leaders < LEADERS ->
		   printf("leader: a new one\n");
		   leaders++; await_gates(GATE_FOR_NEW_LEADER); PROMISES }
	fi
}

#define IS_ANOTHER_IN_SYNC(d, other) (state[other] == IN_SYNC && (d) != (other))
#define IS_GOOD(d) (state[d] == IN_SYNC && DN_CONVERGED(d))
#ifdef NEVER_GIVEN_UP /* planted: the leader waits for ever */
#define IS_OVERDUE(d) false
#else
#define IS_OVERDUE(d) (!healed || (d) == gone_dn)
#endif
#ifdef REBUILT_TOO_EARLY /* planted: a write that is on its way lands on what was copied */
#define HAS_NOTHING_OLD(d) true
#else
#ifdef REBUILT_UNHEARD /* planted: the holder may have it in its group, and send again what waited there */
#define HAS_NOTHING_OLD(d) IS_SHUT_OUT(d)
#else
#define HAS_NOTHING_OLD(d) (IS_SHUT_OUT(d) && IS_DROPPED(holder, d))
#endif
#endif
/* Said at the present revision: it knows that the member was given up, and has no import of it.
 * code: is_dropped group_report
 */
#define IS_DROPPED(c, d) (CN_KNOWS(c) && cn_task[c] >= ASSEMBLE && IS_BUILT(c) && !HAS(members[c], d) && (c) != gone_cn)
#ifdef IN_SYNC_TOO_EARLY /* planted: it counts before it is complete */
#define IS_COMPLETE(c, d) true
#else
#define IS_COMPLETE(c, d) SAYS_WELL(c, d)
#endif

inline leader_of_member(d)
{
	if
	/* Not fenced when its time is over, or its node is offline; another one that is in sync is.
	 * code: fence_group is_overdue worth_of worth_best command_lds_stale_apply member_stale volume_ld_stale
	 */
	:: d_step { !over && phase == FENCING && IS_OVERDUE(d) && state[d] == IN_SYNC && !DN_CONVERGED(d) &&
		   SOME_DN(IS_GOOD) ->
		   printf("leader: dn%d is not fenced, so it is stale\n", d);
		   state[d] = STALE; PROMISES }
	/* Its path is lost, its disk returned an error, its node is offline. Never the last one.
	 * code: judge give_up_group has_survivor command_lds_stale_apply member_stale group_in_sync_count
	 */
	:: d_step { !over && phase != FENCING && (healed -> d == gone_dn : give_ups < GIVE_UPS) && state[d] != STALE &&
		   SOME_DN_OF(IS_ANOTHER_IN_SYNC, d) ->
		   printf("leader: dn%d is given up, so it is stale\n", d);
		   give_ups = (healed -> give_ups : give_ups + 1);
		   state[d] = STALE; PROMISES }
	/* Its export of before has gone, and with it what was on its way there.
	 * code: come_back step_stale rebuild command_ld_rebuild_apply stale_and_serving_check
	 */
	:: d_step { !over && phase == SERVING && state[d] == STALE && (healed -> d != gone_dn : rebuilds < REBUILDS) &&
		   HAS_NOTHING_OLD(d) ->
		   printf("leader: dn%d is rebuilt\n", d);
		   rebuilds = (healed -> rebuilds : rebuilds + 1);
		   state[d] = REBUILDING; attempt[d] = (attempt[d] + 1) & 3; PROMISES }
	/* code: step_rebuilding command_ld_in_sync_apply */
	:: d_step { !over && phase == SERVING && state[d] == REBUILDING && DN_CONVERGED(d) && IS_COMPLETE(holder, d) ->
		   printf("leader: dn%d is in sync\n", d);
		   state[d] = IN_SYNC; PROMISES }
	fi
}

inline leader_of_controller(c)
{
	if
	/* For whatever reason; in a healed world, because the holder does not come back.
	 * code: slots_step slots_move_reason slots_successor unreached_successor health_node_step
	 */
	:: d_step { !over && role[c] == STANDBY &&
		   (healed -> holder == gone_cn && epoch < EPOCHS + 2 : epoch < EPOCHS) ->
		   printf("leader: the slot moves to cn%d in epoch %d\n", c, epoch + 1);
		   slot_move(c); PROMISES }
	/* It is clean; it may become a standby again.
	 * code: drop command_controller_drop_apply place_standby command_controller_add_apply
	 */
	:: d_step { !over && role[c] == RETIRED && CN_ABSENT(c) ->
		   printf("leader: cn%d is clean\n", c);
		   role[c] = STANDBY; cn_task[c] = NOTHING; gate[c] = 0; gate_wait[c] = 0; PROMISES }
	fi
}

/* --- the agent of a Controller Node ----------------------------------------------------------------------------- */

/* code: projection_controller legs_are_wanted slot_is_served leg_local_project member_project */
inline cn_take(c)
{
	cn_task[c] = TASK(c);
	cn_epoch[c] = epoch;
	cn_state[c] = 0;
	cn_attempt[c] = 0;
	if
	:: cn_task[c] >= ASSEMBLE ->
		for (i : 0 .. DNS - 1) {
			cn_state[c] = cn_state[c] | state[i] << (2 * i);
			cn_attempt[c] = cn_attempt[c] | (state[i] == REBUILDING -> attempt[i] : 0) << (2 * i);
			/* What was copied is a member as any other, once the record says so. */
			if
			:: HAS(complete[c], i) && state[i] == IN_SYNC ->
				copied[c] = copied[c] & ~BIT(i);
				complete[c] = complete[c] & ~BIT(i)
			:: else
			fi
		}
	:: else -> cn_epoch[c] = 0
	fi;
	i = 0
}

#define CN_WORKS(c) (!over && (c) != gone_cn)
#define HAS_SOMETHING(c) (group_epoch[c] != 0)
/* Or will, by what it was told last. */
#define MAY_EXPORT(c) (exported[c] || cn_task[c] == SERVE)
/* code: leg_decide label_match create */
#define CAN_ASSEMBLE(c, d)                                                                                             \
	(CN_STATE(c, d) != IN_SYNC ||                                                                                  \
	 (LETS_IN(d, cn_epoch[c]) && label_epoch[d] == cn_epoch[c] && label_formatted[d]))
/* code: lease_claim_make leg_add */
#ifdef CHECK_BLIND /* planted: it does not look at its members */
#define IS_THERE(c, d) true
#else
#define IS_THERE(c, d)                                                                                                 \
	(CN_STATE(c, d) == STALE || (CN_STATE(c, d) == REBUILDING && !HAS(members[c], d)) ||                           \
	 LETS_IN(d, cn_epoch[c]) || quiet[d] / 2 == cn_epoch[c])
#endif
#ifdef RETURN_UNCHECKED /* as the code was; see README.md, "What it found" */
#define MAY_RENEW(c) true
#else
/* A gate that is shut is opened only when nothing is exported that should not be: and then it does not matter here.
 * code: planner_find_exposed reconciler_exposed lease_exposed */
#define MAY_RENEW(c) (gate[c] > 0)
#endif

inline agent_of_cn(c)
{
	if
	/* A leader of the past may push what was so in its time; that is as if the agent took its time, since none takes a
	 * lower term than it has seen.
	 * code: push_volume push_whole take_desired term_take desired_store_take
	 */
	:: d_step { CN_WORKS(c) && role[c] != STANDBY && !CN_KNOWS(c) &&
		   (TASK(c) != WAIT || HAS_SOMETHING(c) || cn_task[c] >= ASSEMBLE) ->
		   printf("cn%d: is told of epoch %d\n", c, epoch);
		   cn_take(c); PROMISES }

	/* Taking down, from the top: first the export goes, so what waits below ends as errors that no host sees. One step,
	 * as nothing can happen in its midst that could not before.
	 * code: planner_teardown_exports subsystem_reduce unlink_everywhere let_go namespace_build
	 * code: planner_teardown_imports import_end planner_teardown_dms dm_remove
	 */
	:: d_step { CN_WORKS(c) && HAS_SOMETHING(c) && cn_task[c] != NOTHING && (cn_task[c] < ASSEMBLE || !IS_BUILT(c)) ->
		   printf("cn%d: takes epoch %d down\n", c, group_epoch[c]);
		   exported[c] = false; gate[c] = (role[c] == ACTIVE -> LEASE : 0);
		   group_epoch[c] = 0; members[c] = 0; copied[c] = 0; complete[c] = 0; flight[c] = 0; missing[c] = 0;
		   PROMISES }

	/* code: planner_build_imports create leg_decide resyncs_add */
	:: d_step { CN_WORKS(c) && cn_task[c] >= ASSEMBLE && group_epoch[c] == 0 && ALL_DNS_OF(CAN_ASSEMBLE, c) ->
		   printf("cn%d: assembles epoch %d\n", c, cn_epoch[c]);
		   group_epoch[c] = cn_epoch[c];
		   for (i : 0 .. DNS - 1) {
			   if
			   :: CN_STATE(c, i) == IN_SYNC ->
				   PROMISE_3(i);
				   members[c] = members[c] | BIT(i);
				   read_epoch[i] = (read_epoch[i] < cn_epoch[c] -> cn_epoch[c] : read_epoch[i])
			   :: else
			   fi
		   }
		   i = 0; PROMISES }
	/* code: top_add stripe_add adjust namespace_build subsystem_link */
	:: d_step { CN_WORKS(c) && cn_task[c] == SERVE && IS_BUILT(c) && !exported[c] ->
		   printf("cn%d: exports epoch %d\n", c, cn_epoch[c]);
		   exported[c] = true; PROMISES }

	/* A heartbeat that a leader answered opens the gate until LEASE after it was sent. Here sent, proven and answered are
	 * one step; an answer that comes later opens it for less. The leader heard of the node, so it waits anew.
	 * code: agents_heartbeat on_barrier lease_sent lease_answered lease_step gatekeeper_answered gate_open_ms
	 */
	:: d_step { CN_WORKS(c) && !healed && role[c] == RETIRED && MAY_EXPORT(c) && MAY_RENEW(c) &&
		   (gate[c] < LEASE || gate_wait[c] > 0 && gate_wait[c] < GATE) ->
		   printf("cn%d: its lease is renewed\n", c);
		   gate[c] = LEASE; gate_wait[c] = (phase == ASSEMBLING -> GATE : 0); PROMISES }
#ifdef BARRIER_SKIPPED /* planted: a leader that is none any more answers, and the new one knows nothing of it */
	:: d_step { !healed && leaders > 0 && role[c] == RETIRED && MAY_EXPORT(c) && gate[c] < LEASE && gate[c] > 0 ->
		   printf("cn%d: a deposed leader renews its lease\n", c);
		   gate[c] = LEASE; PROMISES }
#endif
	/* Nobody answers, but all members that it knows to be in sync are there.
	 * code: check_start lease_claim_make paths_check on_check_done lease_checked lease_step
	 */
	:: d_step { CN_WORKS(c) && !healed && role[c] == RETIRED && MAY_EXPORT(c) && cn_task[c] == SERVE &&
		   gate[c] < TAIL && ALL_DNS_OF(IS_THERE, c) ->
		   printf("cn%d: all its members are there\n", c);
		   gate[c] = TAIL; PROMISES }

	/* The node boots anew: its agent knows nothing, its kernel has nothing, its gate is shut. */
	:: d_step { !healed && cn_reboots < CN_REBOOTS && (role[c] == ACTIVE || HAS_SOMETHING(c)) ->
		   printf("cn%d: boots anew\n", c);
		   cn_reboots++;
		   cn_task[c] = NOTHING; cn_epoch[c] = 0; cn_state[c] = 0; cn_attempt[c] = 0;
		   group_epoch[c] = 0; members[c] = 0; copied[c] = 0; complete[c] = 0; exported[c] = false;
		   gate[c] = (role[c] == ACTIVE -> LEASE : 0); flight[c] = 0; missing[c] = 0;
		   rebooted = rebooted || c == holder; PROMISES }
	fi
}

/* A write is acknowledged when every member has it. What leaves the node passes no gate. That it is later is no harm. */
inline acknowledge(c)
{
	if
	:: flight[c] != 0 && missing[c] == 0 ->
		acknowledged = (flight[c] > acknowledged -> flight[c] : acknowledged);
		flight[c] = 0
	:: else
	fi
}

inline leave(c, d)
{
	members[c] = members[c] & ~BIT(d);
	copied[c] = copied[c] & ~BIT(d);
	complete[c] = complete[c] & ~BIT(d);
	missing[c] = missing[c] & ~BIT(d);
	acknowledge(c)
}

#define MAY_COPY_FROM(c, d) (HAS(members[c], d) && !HAS(copied[c], d) && LETS_IN(d, group_epoch[c]))

/* A member of the group, as it leaves, comes, and is copied. */
inline agent_of_cn_member(c, d)
{
	if
	/* The record says stale, and only then its import is dropped; writes go on without it.
	 * code: import_end planner_group_adjust drop fabrics_drop
	 */
	:: d_step { CN_WORKS(c) && IS_BUILT(c) && IS_UNWANTED(c, d) ->
		   printf("cn%d: its group goes on without dn%d\n", c, d);
		   leave(c, d); PROMISES }
	/* Suspended, so that nothing is in flight.
	 * code: planner_group_adjust may_reload reload
	 */
	:: d_step { CN_WORKS(c) && IS_BUILT(c) && IS_OTHER(c, d) && LETS_IN(d, group_epoch[c]) && flight[c] == 0 &&
		   !IS_ON_ITS_WAY(c, d) ->
		   printf("cn%d: dn%d leaves its group to be rebuilt\n", c, d);
		   leave(c, d); PROMISES }
#ifdef DROPPED_UNASKED /* planted: a lost path fails its I/O, and the group goes on by itself */
	:: d_step { !healed && HAS(members[c], d) && members[c] != BIT(d) && !LETS_IN(d, group_epoch[c]) ->
		   printf("cn%d: drops dn%d unasked\n", c, d);
		   leave(c, d); PROMISES }
#endif
	/* A table with one more, which is rebuilt: suspended, so that nothing is in flight. Its label says first which
	 * rebuild it is, and that it is not whole.
	 * code: add may_add label_write table_make
	 */
	:: d_step { CN_WORKS(c) && IS_BUILT(c) && CN_STATE(c, d) == REBUILDING && !HAS(members[c], d) &&
		   copied[c] == 0 && LETS_IN(d, cn_epoch[c]) && flight[c] == 0 ->
		   printf("cn%d: its group takes dn%d in\n", c, d);
		   label_epoch[d] = cn_epoch[c]; label_formatted[d] = false; label_attempt[d] = CN_ATTEMPT(c, d);
		   members[c] = members[c] | BIT(d); copied[c] = copied[c] | BIT(d);
		   read_epoch[d] = (read_epoch[d] < cn_epoch[c] -> cn_epoch[c] : read_epoch[d]); PROMISES }
	/* The kernel keeps writes away from what it copies; then the label says that it is whole.
	 * code: complete label_write group_label_is_complete
	 */
	:: d_step { CN_WORKS(c) && IS_BUILT(c) && !HAS(complete[c], d) && IS_COPY(c, d) && flight[c] == 0 &&
		   LETS_IN(d, group_epoch[c]) && SOME_DN_OF(MAY_COPY_FROM, c) ->
		   printf("cn%d: dn%d is copied\n", c, d);
		   do
		   :: MAY_COPY_FROM(c, i) -> break
		   :: else -> i++
		   od;
		   medium[d] = medium[i]; i = 0;
		   complete[c] = complete[c] | BIT(d); label_formatted[d] = true; PROMISES }
	/* Its kernel: a path that is lost, or inaccessible, queues. It sends when it is there again, however late. */
	:: d_step { HAS(missing[c], d) && queue[d] == 0 && LETS_IN(d, group_epoch[c]) ->
		   printf("cn%d: sends write %d to dn%d\n", c, flight[c], d);
		   queue[d] = flight[c]; queue_epoch[d] = group_epoch[c]; queue_from[d] = c }
	fi
}

/* A host writes the next number; one that got no answer writes the same again, wherever it is let in. */
inline host(c)
{
	if
	:: d_step { !over && exported[c] && gate[c] > 0 && flight[c] == 0 && acknowledged < WRITES ->
		   printf("cn%d: takes write %d\n", c, acknowledged + 1);
		   flight[c] = acknowledged + 1; missing[c] = members[c] }
	fi
}

/* --- Disk Nodes ------------------------------------------------------------------------------------------------- */

#define DN_WORKS(d) (!over && (d) != gone_dn)
#ifdef FENCE_WITHOUT_DRAIN /* planted: to unlink is thought to be enough */
#define IS_DRAINED(d) true
#else
#define IS_DRAINED(d) (queue[d] == 0)
#endif
#ifdef LABEL_IGNORED /* planted: whoever asks gets what he asks for */
#define LABEL_ALLOWS(d) true
#else
#define LABEL_ALLOWS(d) (label_epoch[d] <= dn_epoch[d])
#endif

/* Only who may still look at his members is concerned. */
#define MAY_LOOK(c, e)                                                                                                 \
	((role[c] == RETIRED && cn_task[c] == SERVE && cn_epoch[c] == (e)) || (role[c] == ACTIVE && (e) == epoch))
#if CNS > 2
#define QUIET(e) (MAY_LOOK(0, e) || MAY_LOOK(1, e) || MAY_LOOK(2, e) -> 2 * (e) + SILENCE : 0)
#else
#define QUIET(e) (MAY_LOOK(0, e) || MAY_LOOK(1, e) -> 2 * (e) + SILENCE : 0)
#endif

inline disk_node(d)
{
	if
	/* code: projection_exports ld_is_wanted export_ld take_desired desired_store_take */
	:: d_step { DN_WORKS(d) && !DN_KNOWS(d) ->
		   printf("dn%d: is told of epoch %d\n", d, epoch);
		   dn_wanted[d] = state[d] != STALE; dn_formatted[d] = state[d] == IN_SYNC; dn_epoch[d] = epoch }
	/* The fence. New connections are rejected, the old export is unlinked: its connections drop. Then it is disabled: the
	 * kernel waits for what came in before. What is parked after that has nothing below it, so it is not here.
	 * code: subsystem_reduce reject unlink_everywhere
	 * code: planner_namespace_is_wanted planner_teardown_dms planner_build_parked_exports
	 */
	:: d_step { DN_WORKS(d) && dn_epoch[d] != 0 && linked[d] && (!dn_wanted[d] || export_epoch[d] != dn_epoch[d]) ->
		   printf("dn%d: shuts epoch %d out\n", d, export_epoch[d]);
		   linked[d] = false; quiet[d] = QUIET(export_epoch[d]);
		   export_epoch[d] = (IS_DRAINED(d) -> 0 : export_epoch[d]) }
	/* The label is raised, never lowered; then comes the export to the new holder.
	 * code: planner_build_guard label_check subsystem_build subsystem_link
	 */
	:: d_step { DN_WORKS(d) && dn_wanted[d] && export_epoch[d] == 0 && LABEL_ALLOWS(d) ->
		   printf("dn%d: exports epoch %d\n", d, dn_epoch[d]);
		   label_epoch[d] = (dn_formatted[d] -> dn_epoch[d] : label_epoch[d]);
		   export_epoch[d] = dn_epoch[d]; linked[d] = true; PROMISES }
	/* Its kernel forgets its exports, and what was on its way to the disk. Labels and blocks stay.
	 * code: command_node_register_apply
	 */
	:: d_step { !healed && dn_reboots < DN_REBOOTS ->
		   printf("dn%d: boots anew\n", d);
		   dn_reboots++;
		   dn_wanted[d] = false; dn_formatted[d] = false; dn_epoch[d] = 0;
		   quiet[d] = (linked[d] -> QUIET(export_epoch[d]) : quiet[d]);
		   export_epoch[d] = 0; linked[d] = false; queue[d] = 0; queue_epoch[d] = 0; queue_from[d] = 0 }
	/* Its kernel: what came in reaches the medium. Who was cut off meanwhile gets no answer, and sends it again. */
	:: d_step { queue[d] != 0 ->
		   printf("dn%d: write %d of epoch %d reaches the medium\n", d, queue[d], queue_epoch[d]);
		   PROMISE_1(d);
		   medium[d] = queue[d];
		   if
		   :: LETS_IN(d, queue_epoch[d]) && group_epoch[queue_from[d]] == queue_epoch[d] &&
		      flight[queue_from[d]] == queue[d] ->
			   missing[queue_from[d]] = missing[queue_from[d]] & ~BIT(d);
			   acknowledge(queue_from[d])
		   :: else
		   fi;
		   queue[d] = 0; queue_epoch[d] = 0; queue_from[d] = 0;
		   export_epoch[d] = (linked[d] -> export_epoch[d] : 0); PROMISES }
	fi
}

/* --- time, and how it ends -------------------------------------------------------------------------------------- */

#ifdef GATE_NEEDS_ITS_AGENT /* planted: it is open until somebody shuts it */
#define GATE_TICK(c) skip
#else
/* The element runs out in the kernel, with no agent. */
#define GATE_TICK(c) gate[c] = (gate[c] > 0 && role[c] != ACTIVE -> gate[c] - 1 : gate[c])
#endif
#define WAIT_TICK(c) gate_wait[c] = (gate_wait[c] > 0 -> gate_wait[c] - 1 : 0)
#define QUIET_TICK(d) quiet[d] = (quiet[d] & 1 -> quiet[d] - 1 : 0)
#define TICK EACH_CN(GATE_TICK); EACH_CN(WAIT_TICK); EACH_DN(QUIET_TICK)

#define NO_GATE(c) (gate[c] == 0 || role[c] == ACTIVE)
#define NO_WAIT(c) (gate_wait[c] == 0)
#define IS_NOT_QUIET(d) (quiet[d] == 0)
#define TIME_STANDS (ALL_CNS(NO_GATE) && ALL_CNS(NO_WAIT) && ALL_DNS(IS_NOT_QUIET))

#define CAN_BE_SERVED(d) (state[d] == IN_SYNC && (d) != gone_dn)
#define IS_IN_SYNC_OR_GONE(d) (state[d] == IN_SYNC || (d) == gone_dn)
#define IS_CLEAN_OR_GONE(c) (role[c] != RETIRED || (c) == gone_cn)
#define IS_SERVED                                                                                                      \
	(phase == SERVING && holder != gone_cn && exported[holder] && acknowledged == WRITES &&    \
	 ALL_DNS(IS_IN_SYNC_OR_GONE) && ALL_CNS(IS_CLEAN_OR_GONE))

inline world()
{
	if
	:: d_step { !healed && !TIME_STANDS -> printf("tick\n"); TICK; PROMISES }
#ifdef PROGRESS
	/* From here on nothing new goes wrong. One Controller Node, or one Disk Node, may never come back. */
	:: d_step { !healed -> printf("healed\n"); healed = true }
	:: d_step { !healed -> printf("healed, but for cn0\n"); healed = true; gone_cn = 0 }
	:: d_step { !healed -> printf("healed, but for cn1\n"); healed = true; gone_cn = 1 }
	:: d_step { !healed -> printf("healed, but for dn0\n"); healed = true; gone_dn = 0 }
	:: d_step { !healed -> printf("healed, but for dn1\n"); healed = true; gone_dn = 1 }
	/* Whoever can do something does it; time goes on when nobody can. */
	:: atomic { timeout && healed && !over && !TIME_STANDS -> printf("tick\n"); TICK; PROMISES }
	:: atomic { timeout && healed && !over && TIME_STANDS ->
		   printf("nothing is left to do\n");
		   assert(!SOME_DN(CAN_BE_SERVED) || IS_SERVED);
		   over = true }
#endif
	fi
}

active proctype everything()
{
	d_step {
		for (i : 0 .. DNS - 1) {
			state[i] = IN_SYNC;
			export_epoch[i] = 1;
			linked[i] = true;
			medium[i] = 1;
			label_epoch[i] = 1;
			label_formatted[i] = true;
			read_epoch[i] = 1;
			dn_wanted[i] = true;
			dn_formatted[i] = true;
			dn_epoch[i] = 1
		}
		role[0] = ACTIVE;
		cn_take(0);
		group_epoch[0] = 1;
		members[0] = BIT(DNS) - 1;
		exported[0] = true;
		gate[0] = LEASE
	}
end:	do
	:: leader_of_slot()
	:: leader_of_member(0)
	:: leader_of_member(1)
	:: leader_of_controller(0)
	:: leader_of_controller(1)
	:: agent_of_cn(0)
	:: agent_of_cn(1)
	:: agent_of_cn_member(0, 0)
	:: agent_of_cn_member(0, 1)
	:: agent_of_cn_member(1, 0)
	:: agent_of_cn_member(1, 1)
	:: host(0)
	:: host(1)
	:: disk_node(0)
	:: disk_node(1)
#if CNS > 2
	:: leader_of_controller(2)
	:: agent_of_cn(2)
	:: agent_of_cn_member(2, 0)
	:: agent_of_cn_member(2, 1)
	:: host(2)
#endif
#if DNS > 2
	:: leader_of_member(2)
	:: agent_of_cn_member(0, 2)
	:: agent_of_cn_member(1, 2)
	:: disk_node(2)
#if CNS > 2
	:: agent_of_cn_member(2, 2)
#endif
#endif
	:: world()
	od
}
