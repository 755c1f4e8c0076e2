/*
 * A database across a network that goes back in time: a standby is promoted that lacks the newest commits.
 *
 *     .ci/check-model       checks that the rules hold and that each broken variant of them is caught
 *
 * By hand, with a copy in a folder of its own; here for the shortest way to the error of a broken variant:
 *
 *     spin -a -DBROKEN=NO_RAISE setback.pml
 *     gcc -O2 -DSAFETY -DBFS -o pan pan.c && ./pan && spin -t -p -g -DBROKEN=NO_RAISE setback.pml
 *
 * The store's meta has the count of setbacks, which changes to a number that was never there before whenever
 * a server says that the past is not what it was, and beside it the history and the floor as of then. Each
 * run's row says with which count it is settled. A server says so that sees another history than the one that
 * was noted (PostgreSQL: another timeline), or a lower count than the one that it knew, or less in its run's row
 * than it has committed; the last not where the count is higher than before, so that somebody has. It changes
 * the count, notes the history, and raises the floor above all that can have been given out. Whoever sees
 * another count than before does nothing that clients ask, starts all leases anew, puts back each hold that it
 * knows where the row's token is lower, raises the floor above all that it has seen, and marks its run as
 * settled. It goes on when all runs are settled, or somebody else did who has waited for that. A row whose token is not above the floor of then is renewed for
 * who knows the token; who only claims the key has a new grant.
 *
 * Where histories have no names, as in MariaDB, or a copy is put back under the name that it had, nobody may see it in
 * time: so a connection that was lost, or that is a server's first, is a reason to wait until the others have looked
 * (RECONNECTS), and it is still assumed that no server ends that has committed what the standby lacks (WITNESSES).
 *
 * What it leaves out, and why that is enough:
 * - What network.pml has: fences, epochs, other keys. They only raise the floor.
 * - Standbys that commits wait for: nothing is lost then, and the floor as of then stays as it was.
 * - Numbers at random: each is higher than those that its server knew, and none comes again (LOTTERY).
 * - Time. A lease is ended here only when its owner has stopped, but for a server that goes by what it saw in
 *   the other history. A grace is over when all that it is there for has happened: every server that lives, and
 *   has its run not in the table or not settled, has looked and come back into it.
 * - Runs of servers that have ended: nobody has to wait for them but for the grace. What they have sent last may
 *   still be done (LOSERS).
 * - Revisions: as in network.pml.
 * - A server's second run, for the upkeep. What is missing of it counts as what is missing of the first.
 */

/* Bounds. */
#ifndef SERVERS
#define SERVERS 2
#endif
#ifndef GRANTS
#define GRANTS  2
#endif
#ifndef LOSERS
#define LOSERS  0        /* how many servers lose answers */
#endif
#ifndef BACKS
#define BACKS   1        /* how often the database goes back */
#endif
#ifndef ENDS
#define ENDS    255      /* how many servers end */
#endif
#ifndef NAMES
#define NAMES   1        /* whether histories have names; in MariaDB they have none */
#endif

#ifndef FENCE_ONLY
#define FENCE_ONLY 0     /* whether only the order of tokens is looked at */
#endif
#ifndef RECONNECTS
#define RECONNECTS 0     /* whether a connection that was lost is a reason to wait */
#endif
#ifndef WITNESSES
#define WITNESSES 0      /* whether no server ends that has committed what the standby or the database lacks */
#endif
#ifndef LOTTERY
#define LOTTERY  0       /* up to which count a number may be taken for one below that which was known */
#endif
#ifndef UPKEEP
#define UPKEEP  0        /* whether free rows are deleted */
#endif

/* Broken variants, to see that the model notices: -DBROKEN=NO_RAISE and so on. */
#define NO_NAME         1  /* nobody looks at the name of the history */
#define NO_OWN_ROW      2  /* nobody looks at the row of its own run (without names) */
#define COUNT_UNSEEN    3  /* nobody heeds what others say */
#define COUNT_REPEATS   4  /* the count may come to a number that was there in another history */
#define ONLY_NOTED      5  /* the history is noted, and nothing is said */
#define NO_RAISE        6  /* the floor is not raised by who says something */
#define SHORT_RAISE     7  /* it is raised only above what is in the store */
#define NO_ROOM         8  /* it is raised only above what is in the store and what the server has seen */
#define NO_OWN_RAISE    9  /* it is not raised by who settles; nothing that is checked notices */
#define NO_PUT_BACK    10  /* nothing is put back */
#define PUT_BACK_BLIND 11  /* it is put back over a later grant */
#define FORGOTTEN      12  /* what was looked through is not known any more */
#define NOTED_LOWER    13  /* what is read is noted over what is known to be later */
#define SEEN_BEFORE    14  /* what was seen of a lease in the other history still counts */
#define SETTLED_FIRST  15  /* a run is settled before all is looked through */
#define SERVES         16  /* commands are done meanwhile */
#define NO_WAIT        17  /* nobody waits for the others */
#define NEWCOMER       18  /* who comes in does not */
#define TABLE_ONLY     19  /* only who is in the table is waited for, not those whose run the standby lacks */
#define READMITTED     20  /* a run that begins anew is settled although its server knows something */
#define RENEWS         21  /* a claim of the owner renews what is from before a setback */
#define BELOW          22  /* a count that is below what it was is taken for what another one has said */
#define OPENED_BEFORE  24  /* where somebody has gone on, those whose connection was lost do as well (without names) */
#define DELETED        23  /* with a row that is deleted a later hold is forgotten, which is to be put back */
#define CAME_LATER     25  /* where somebody has gone on, who comes in does as well (without names) */
#define COLLECTED      26  /* what was freed and deleted is put back by who has not heard of it (UPKEEP) */
#ifndef BROKEN
#define BROKEN 0
#endif

/* The store's meta: how often somebody has said something, the count with which somebody has gone on, the floor,
 * the floor as of then, the history, the highest token of a row that was deleted. */
byte count = 1, opened = 1, floor, setFloor, noted, deleted;
/* The row. Owner 0: it is free. */
byte token, owner;
/* Whether the standby does not have it so, and whether it was written in this history. */
bool rowAhead, written;
/* Which runs there are, and with which count they are settled. */
bool present[SERVERS] = true;
byte settled[SERVERS] = 1;

/* The same on the standby, and how often it was promoted: the name of the history. */
byte count0 = 1, opened0 = 1, floor0, setFloor0, noted0, deleted0, token0, owner0;
bool present0[SERVERS] = true;
byte settled0[SERVERS] = 1;
byte backs;

/* What a server has committed: whether the standby, and the database, has less of it than the server knows. */
bool ahead[SERVERS], behind[SERVERS];
/* Whether it has just started, and has no run yet. */
bool isNew[SERVERS];
/* Whether it has ended, and something that it has sent may still be done. */
bool isDead[SERVERS];
/* The hold that it knows, by its token, 0 for none; whether the standby has not got it; and whether the
 * database has lost it, so that what was seen of its lease is of the other history. */
byte known[SERVERS], knownOwner[SERVERS];
bool knownAhead[SERVERS], knownBefore[SERVERS], isForgotten[SERVERS];
/* The highest token or floor that it has seen. */
byte highest[SERVERS];
/* The count that it knows, 0 for none; whether it has still to look through what it knows; and whether it
 * does what clients ask. */
byte seen[SERVERS] = 1;
bool looks[SERVERS], open[SERVERS] = true;
/* Whether it has lost its connection, or looks through what it knows since it had. */
#define CUT      1
#define LOOKS    2
byte cut[SERVERS];
/* Whether it has to wait itself since then. */
bool doubts[SERVERS];

/* The transaction that a server has decided on. */
#define IDLE    0
#define DECIDED 1
#define LOST    2  /* sent, and there was no answer */
byte phase[SERVERS];
#define NOTHING  0
#define GRANT    1
#define RENEW    2
#define FREE     3
#define DELETE   4
#define PUT_BACK 5
#define SAY      6
#define SETTLE   7
#define OPEN     8
#define ADMIT    9
byte kind[SERVERS];
/* For which owner; the token, or the floor that it sets, 0 for none; the count that it is settled with. */
byte who[SERVERS], number[SERVERS], with[SERVERS];
bool done[SERVERS];

/* The token with which owner 1 or 2 believes that it holds the lock, 0 if it does not; whether the
 * database has lost that grant; whether no server knows it any more; and whether the owner was not told of it. */
byte holds[3];
bool lost[3], unknown[3], unheard[3];

/* The latest token that was given out, how many were, how often something was said, and how many servers have
 * ended. No server sees these. */
byte latest, grants, said = 1, ended;

#define MAX(a, b) (a > b -> a : b)
#define NEXT (MAX(token, floor) + 1)
#define WILL_GO_BACK (backs < BACKS)
/* Nobody gives out so many tokens in one history. */
#define JUMP GRANTS

/* Above what is known, and above all that can have been given out in the histories before. */
#define ABOVE_KNOWN(s) (MAX(floor, highest[s]) + JUMP)
#define ROOM (NAMES && BROKEN != NO_ROOM -> backs * 2 * JUMP : 0)
#define RAISED(s) MAX(ABOVE_KNOWN(s), (ROOM))

/* What a transaction writes, and whether another one that writes the same comes too late. */
#define IN_ROW(s)   (kind[s] >= GRANT && kind[s] <= PUT_BACK)
#define IN_META(s)  (kind[s] == SAY || kind[s] == DELETE || kind[s] == SETTLE && number[s])
#define MEET(first, second) (IN_ROW(first) && IN_ROW(second) || IN_META(first) && IN_META(second))

inline forget(s) { kind[s] = NOTHING; who[s] = 0; number[s] = 0; with[s] = 0 }
inline end(s) { forget(s); phase[s] = IDLE; done[s] = false }

inline see() {
  highest[me] = (WILL_GO_BACK && highest[me] < token -> token : highest[me]);
  highest[me] = (WILL_GO_BACK && highest[me] < floor -> floor : highest[me])
}

inline decide(what, whose) { see(); phase[me] = DECIDED; kind[me] = what; who[me] = whose }

inline overtakeOthers() {
  for (other : 0 .. SERVERS - 1) {
    if
    :: other == me || kind[other] == NOTHING || done[other] || !MEET(me, other)
    :: else ->
       if
       :: phase[other] == LOST -> forget(other)
       :: else -> end(other)
       fi
    fi
  }
  other = 0
}

inline knowNothing(s) {
  known[s] = 0; knownOwner[s] = 0; knownAhead[s] = false; knownBefore[s] = false; isForgotten[s] = false
}

/* Of a grant that is known already nothing is known to be newer. */
inline know(tokenNow, ownerNow) {
  knownBefore[me] = knownBefore[me] && known[me] == tokenNow;
  isForgotten[me] = isForgotten[me] && known[me] == tokenNow;
  known[me] = tokenNow; knownOwner[me] = ownerNow; knownAhead[me] = rowAhead && WILL_GO_BACK
}

/* What the facts say of the past. */
#define IS_OTHER      (NAMES && noted != backs && BROKEN != NO_NAME)
#define IS_ANEW(s)    (count != seen[s] && BROKEN != COUNT_UNSEEN)
#define IS_BELOW(s)   (count < seen[s] && BROKEN != BELOW)
/* Another one has said so since where the count is above that which was known. */
#define IS_BEHIND(s)  (behind[s] && !IS_ANEW(s) && BROKEN != NO_OWN_ROW)
#define HAS_TO_SAY(s) (IS_OTHER || IS_BELOW(s) || IS_BEHIND(s))
#define IS_NEWS(s)    (HAS_TO_SAY(s) || IS_ANEW(s) || cut[s] == CUT)

/* All leases have their whole length again. */
inline lookThrough(now) {
  seen[me] = now; open[me] = false; looks[me] = (known[me] != 0); behind[me] = false;
  cut[me] = 0;
  knownBefore[me] = knownBefore[me] && BROKEN == SEEN_BEFORE
}

/* Who has to be waited for: nobody who has just started. */
#define IS_OPEN(s) (open[s] || isDead[s])
#define IS_SETTLED(s) (isDead[s] || !cut[s] && ( \
  present[s] && settled[s] == count || !present[s] && (isNew[s] || BROKEN == TABLE_ONLY)))
#if SERVERS > 2
#define ALL_ARE_OPEN (IS_OPEN(0) && IS_OPEN(1) && IS_OPEN(2))
#define ALL_ARE_SETTLED (IS_SETTLED(0) && IS_SETTLED(1) && IS_SETTLED(2))
#else
#define ALL_ARE_OPEN (IS_OPEN(0) && IS_OPEN(1))
#define ALL_ARE_SETTLED (IS_SETTLED(0) && IS_SETTLED(1))
#endif
#define MAY_OPEN(s) (settled[s] == count && (ALL_ARE_SETTLED || BROKEN == NO_WAIT))
/* Somebody else has waited. */
#define IS_OPENED(s) (settled[s] == count && opened == count && (!doubts[s] || BROKEN == OPENED_BEFORE))
/* A row that is not there and whose token is not above those that were deleted was freed before. */
#define IS_DELETED(s) (token == 0 && known[s] <= deleted && BROKEN != COLLECTED)
#define IS_MISSING(s) \
  (!isForgotten[s] && known[s] > token && !IS_DELETED(s) || known[s] && BROKEN == PUT_BACK_BLIND && known[s] != token)

/* What a server knows once it knows that its transaction was done. */
inline acknowledged() {
  ahead[me] = (kind[me] != ADMIT && WILL_GO_BACK);
  if
  :: kind[me] == GRANT || kind[me] == RENEW || kind[me] == PUT_BACK ->
     know(number[me], who[me]);
     highest[me] = (WILL_GO_BACK && highest[me] < number[me] -> number[me] : highest[me]);
     if
     :: kind[me] == PUT_BACK ->
        looks[me] = false; isForgotten[me] = (BROKEN == FORGOTTEN)
     :: else
     fi
  :: kind[me] == FREE -> knowNothing(me)
  :: kind[me] == DELETE ->
     /* The row is deleted, and not a later hold that is to be put back. */
     if :: known[me] <= with[me] || BROKEN == DELETED -> knowNothing(me) :: else fi
  :: kind[me] == SAY ->
     highest[me] = MAX(highest[me], number[me]);
     if
     :: BROKEN == ONLY_NOTED -> seen[me] = count; behind[me] = false
     :: else -> lookThrough(count)
     fi
  :: kind[me] == SETTLE -> highest[me] = (WILL_GO_BACK -> highest[me] : 0)
  :: kind[me] == OPEN -> open[me] = true; doubts[me] = false
  :: else
  fi
}

/* There may be an answer at once, or none: then nobody has been told. */
inline hold() {
  unheard[who[me]] = phase[me] == LOST && (!holds[who[me]] || unheard[who[me]]);
  holds[who[me]] = number[me]; lost[who[me]] = false; unknown[who[me]] = false
}

inline answered() {
  latest = (kind[me] == GRANT -> MAX(latest, number[me]) : latest);
  if
  :: kind[me] == GRANT || kind[me] == RENEW ->
     unheard[who[me]] = unheard[who[me]] && holds[who[me]] != number[me]
  :: else
  fi
}

inline stop(o) { holds[o] = 0; lost[o] = false; unknown[o] = false; unheard[o] = false }

inline tellNobody() {
  if :: unheard[1] -> stop(1) :: else fi;
  if :: unheard[2] -> stop(2) :: else fi
}

/* Nobody can put back what nobody knows. */
#define KNOWS(s, o) (known[s] == holds[o])
#if SERVERS > 2
#define IS_KNOWN(o) (KNOWS(0, o) || KNOWS(1, o) || KNOWS(2, o))
#else
#define IS_KNOWN(o) (KNOWS(0, o) || KNOWS(1, o))
#endif
inline whatIsKnown() {
  unknown[1] = unknown[1] || lost[1] && !IS_KNOWN(1);
  unknown[2] = unknown[2] || lost[2] && !IS_KNOWN(2)
}

/* Before the first command of a client, that is. */
#define MAY_BE_LOST (kind[me] > FREE)
#define IS_THERE(o) \
  (!holds[o] || owner == o && token == holds[o] || unknown[o] || MAY_BE_LOST && lost[o] || FENCE_ONLY)

inline commit() {
  overtakeOthers();
  rowAhead = (rowAhead || IN_ROW(me)) && WILL_GO_BACK;
  written = (written || kind[me] <= DELETE) && backs > 0;
  if
  :: kind[me] == GRANT ->
     assert(!holds[3 - who[me]] || unknown[3 - who[me]] || FENCE_ONLY);  // mutex
     assert(number[me] > latest);  // fence
     token = number[me]; owner = who[me]; grants++; hold()
  :: kind[me] == RENEW ->
     assert(!holds[3 - who[me]] || unknown[3 - who[me]] || FENCE_ONLY);  // mutex
     assert(number[me] >= latest);  // fence
     token = number[me]; owner = who[me]; hold()
  :: kind[me] == FREE -> owner = 0
  :: kind[me] == DELETE -> floor = number[me]; deleted = MAX(deleted, token); token = 0
  :: kind[me] == PUT_BACK ->
     token = number[me]; owner = who[me]; lost[owner] = lost[owner] && holds[owner] != token
  :: kind[me] == SAY ->
     if
     :: BROKEN == ONLY_NOTED
     :: else ->
        said++; count = (BROKEN == COUNT_REPEATS -> count + 1 : said);
        floor = number[me]; setFloor = floor
     fi;
     noted = backs
  :: kind[me] == SETTLE ->
     settled[me] = with[me];
     floor = (number[me] -> number[me] : floor)
  :: kind[me] == OPEN -> opened = with[me]
  :: kind[me] == ADMIT -> present[me] = true; settled[me] = with[me]; isNew[me] = false
  fi;
  if
  :: phase[me] == DECIDED -> answered()
  :: else
  fi;
  assert(IS_THERE(1));  // nothing acknowledged is lost
  assert(IS_THERE(2))   // nothing acknowledged is lost
}

/* Whether a server ends that has committed what the standby, or the database, lacks. */
#if WITNESSES
#define MAY_END (ended < ENDS && !ahead[me] && !behind[me] && (phase[me] != LOST || isDead[me]))
#else
#define MAY_END (ended < ENDS)
#endif
#define READS (phase[me] == IDLE && present[me] && !isDead[me])
#define MAY_ACT (READS && (open[me] && !IS_NEWS(me) || BROKEN == SERVES))
/* Whose row of before a setback it is, who claims it has a new grant. */
#define IS_NEW_GRANT (owner == 0 || token <= setFloor && BROKEN != RENEWS)
#define COUNTS_FROM_BEFORE(s) (knownBefore[s] && known[s] == token && written)

active [SERVERS] proctype server() {
  byte me = _pid, other, choice;
  do
  /* Clients' requests, and the ends of leases. */
  :: atomic {
       MAY_ACT && grants < GRANTS && IS_NEW_GRANT ->
       if :: owner != 2 -> choice = 1 :: owner != 1 -> choice = 2 fi;
       d_step { decide(GRANT, choice); number[me] = NEXT; choice = 0 }
     }
  :: d_step {
       MAY_ACT && owner && (holds[owner] == token || !IS_NEW_GRANT) -> decide(RENEW, owner); number[me] = token
     }
  /* The owner stops before it asks for a release, and before anybody may take its lease for over, but for whom
   * what was seen before counts: then there may be a row by now that looks the same. */
  :: d_step {
       MAY_ACT && owner ->
       if
       :: holds[owner] == token && !COUNTS_FROM_BEFORE(me) -> stop(owner)
       :: else
       fi;
       decide(FREE, 0)
     }

#if LOTTERY
  :: d_step {
       READS && !HAS_TO_SAY(me) && IS_ANEW(me) && seen[me] && said < LOTTERY ->
       decide(SAY, 0); number[me] = RAISED(me)
     }
#endif
#if UPKEEP
  :: d_step {
       READS && !IS_NEWS(me) && owner == 0 && token -> decide(DELETE, 0); with[me] = token;
       number[me] = MAX(token, floor)
     }
#endif

  /* It sees what others have written. */
  :: d_step {
       READS && !IS_NEWS(me) && owner && (known[me] < token || BROKEN == NOTED_LOWER && known[me] != token) ->
       see(); know(token, owner)
     }

  /* It sees what has become of the past. */
  :: d_step { READS && HAS_TO_SAY(me) ->
       decide(SAY, 0);
       number[me] = (BROKEN == NO_RAISE -> floor : (BROKEN == SHORT_RAISE -> NEXT : RAISED(me)))
     }
  :: d_step { READS && !HAS_TO_SAY(me) && IS_ANEW(me) -> see();
       /* Whoever has just come in knows as little as who has lost its connection. */
       doubts[me] = doubts[me] || RECONNECTS && !seen[me] && BROKEN != CAME_LATER;
       if
       :: BROKEN == NEWCOMER && !seen[me] -> lookThrough(count); open[me] = true
       :: else -> lookThrough(count)
       fi
     }
#if RECONNECTS
  :: d_step {
       READS && cut[me] == CUT && !HAS_TO_SAY(me) && !IS_ANEW(me) ->
       see(); lookThrough(count); cut[me] = LOOKS; doubts[me] = true
     }
  :: d_step { READS && cut[me] == LOOKS && !looks[me] -> cut[me] = 0 }
#endif
  :: d_step {
       READS && !IS_NEWS(me) && looks[me] ->
       if
       :: IS_MISSING(me) && BROKEN != NO_PUT_BACK -> decide(PUT_BACK, knownOwner[me]); number[me] = known[me]
       :: else ->
          looks[me] = false; isForgotten[me] = (BROKEN == FORGOTTEN)
       fi
     }
  :: d_step {
       READS && !IS_NEWS(me) && (!looks[me] || BROKEN == SETTLED_FIRST) && settled[me] != count ->
       decide(SETTLE, 0); with[me] = count;
       number[me] = (floor < highest[me] && BROKEN != NO_OWN_RAISE -> highest[me] : 0)
     }
  :: d_step { READS && !IS_NEWS(me) && !open[me] && MAY_OPEN(me) -> decide(OPEN, 0); with[me] = count }
  :: d_step { READS && !IS_NEWS(me) && !open[me] && IS_OPENED(me) -> open[me] = true }

  /* Another server in its place, or the same one, whose run the database does not have. */
  :: d_step {
       phase[me] == LOST && !isDead[me] && MAY_END ->
       ended = (ENDS < 255 -> ended + 1 : 0);
       isDead[me] = true; ahead[me] = false; behind[me] = false; highest[me] = 0; seen[me] = 0; looks[me] = false;
       open[me] = false; cut[me] = 0; doubts[me] = false; tellNobody(); knowNothing(me); whatIsKnown()
     }
  :: d_step {
       (phase[me] == IDLE && !isNew[me] || isDead[me]) && MAY_END ->
       ended = (ENDS < 255 -> ended + 1 : 0); end(me); isDead[me] = false;
       present[me] = false; present0[me] = false; settled[me] = 0; settled0[me] = 0; isNew[me] = true;
       ahead[me] = false; behind[me] = false; highest[me] = 0; seen[me] = 0; looks[me] = false; open[me] = false;
       cut[me] = 0; doubts[me] = false; knowNothing(me); whatIsKnown()
     }
  :: d_step {
       phase[me] == IDLE && !present[me] && !isDead[me] ->
       with[me] = (isNew[me] || BROKEN == READMITTED -> count : 0);
       decide(ADMIT, 0)
     }

  /* The commit, and its answer. */
  :: d_step { phase[me] == DECIDED -> commit(); acknowledged(); end(me) }
  /* The answer is lost. What was sent is done now, or later, or never. */
  :: d_step { me < LOSERS && phase[me] == DECIDED && kind[me] != ADMIT -> phase[me] = LOST }
  :: d_step {
       phase[me] == LOST && kind[me] != NOTHING && !done[me] -> commit(); done[me] = true;
       if :: isDead[me] -> forget(me); tellNobody() :: else fi
     }
  /* The server finds out: what was not done can never be done after this. */
  :: d_step {
       phase[me] == LOST && !isDead[me] ->
       if
       :: done[me] -> answered(); acknowledged()
       :: else
       fi;
       end(me)
     }
  od
}

active proctype owners() {
  do
  :: d_step { holds[1] -> stop(1) }
  :: d_step { holds[2] -> stop(2) }
  /* Nothing more need happen where all serve. If they do not and nothing can happen, somebody waits for ever. */
  :: ALL_ARE_OPEN -> skip
  od
}

active proctype standby() {
  byte other;
  do
  /* It has caught up. */
  :: d_step {
       WILL_GO_BACK ->
       count0 = count; opened0 = opened; floor0 = floor; setFloor0 = setFloor; noted0 = noted; deleted0 = deleted;
       token0 = token; owner0 = owner;
       rowAhead = false;
       for (other : 0 .. SERVERS - 1) {
         present0[other] = present[other]; settled0[other] = settled[other];
         ahead[other] = false; knownAhead[other] = false
       }
       other = 0
     }
  /* It is promoted. */
  :: d_step {
       WILL_GO_BACK -> backs++;
       count = count0; opened = opened0; floor = floor0; setFloor = setFloor0; noted = noted0; deleted = deleted0;
       token = token0; owner = owner0;
       rowAhead = false; written = false;
       holds[1] = (unheard[1] -> 0 : holds[1]); unheard[1] = false;
       holds[2] = (unheard[2] -> 0 : holds[2]); unheard[2] = false;
       lost[1] = (holds[1] && !(owner == 1 && token == holds[1]));
       lost[2] = (holds[2] && !(owner == 2 && token == holds[2]));
       for (other : 0 .. SERVERS - 1) {
         end(other);
#if RECONNECTS
         cut[other] = (isNew[other] || isDead[other] -> 0 : CUT);
#endif
         behind[other] = !isDead[other] && (behind[other] || ahead[other] || present[other] && !present0[other]);
         present[other] = present0[other]; settled[other] = settled0[other]; ahead[other] = false;
         knownBefore[other] = knownBefore[other] || knownAhead[other]; knownAhead[other] = false
       }
       other = 0;
       whatIsKnown();
       if
       :: !WILL_GO_BACK ->  /* It was the last time: nobody asks for this any more. */
          count0 = 0; opened0 = 0; floor0 = 0; setFloor0 = 0; noted0 = 0; deleted0 = 0; token0 = 0; owner0 = 0;
          for (other : 0 .. SERVERS - 1) { present0[other] = false; settled0[other] = 0 }
          other = 0
       :: else
       fi
     }
  od
}
