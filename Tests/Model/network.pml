/*
 * One row of a store across a network, where a transaction is more than one step, in every order of events.
 *
 *     .ci/check-model       checks that the rules hold and that each broken variant of them is caught
 *
 * By hand, with a copy in a folder of its own; here for the shortest way to the error of a broken variant:
 *
 *     spin -a -DBROKEN=FENCE_READ network.pml
 *     gcc -O2 -DSAFETY -DBFS -o pan pan.c && ./pan && spin -t -p -g -DBROKEN=FENCE_READ network.pml
 *
 * What it models: a server reads facts from one snapshot and decides on them. Later it commits a set of
 * changes, of which the store does all or nothing. In between, anything may happen. The first committer
 * wins: either all that a transaction *writes* is still as it was read, or nothing is done. What it only
 * reads protects nothing. So every run of a server has a row of its own, which each of its transactions
 * changes, and whoever must be sure that nobody acts on older facts any more changes all of these rows:
 * to give a shape up, and to begin an epoch. Both change what admissions change first, so no run is
 * admitted unseen. An answer may be lost: what was sent is then done later or never, until the server
 * changes its run's row and finds there whether it was done.
 *
 * With BACKS the database goes back in time: a standby is promoted that lacks the newest commits. What was
 * decided in the other history is never done in this one. A server sees it by the name of the history, which
 * is not the one that was noted (PostgreSQL: its timeline), or by the row of its own run, which is behind what
 * the server has committed. Then it answers nobody for a grace. Who is behind says so in the store: it raises
 * the count of setbacks, and the floor above all that can have been given out. Whoever sees the count change
 * puts back the hold that it knows, where the row's token is lower, forgets what it has seen of leases, and
 * has a grace of its own. Whose grace is over notes the history, and serves again. (Storage/Writing/Setback.swift,
 * Storage/Engine/OwnRuns.swift)
 *
 * A promise that the code does not keep in some case is checked without that case. Each case has a name (WITH),
 * and is checked too: the violation is there, and where a way to mend it is known (MENDED), it is gone with it.
 *
 * What it leaves out, and why that is enough:
 * - Time, answers on their way, presences: as in store.pml. A lease is ended here only when its owner has
 *   stopped; but for a server that goes by what it saw in the other history. A grace is over when all that it
 *   is there for has happened in the history in which it began: every server has looked, said what it misses,
 *   and put back what it knows.
 * - What is in the row. Shapes are for store.pml; here a shape is no more than the fence.
 * - Revisions, and counts in the rows of runs. Tokens rise, which is asserted, and so a token and revision
 *   never come back within one history: to compare them is to know whether somebody wrote since. What was seen
 *   in the other history is taken for the row as it is as soon as somebody has renewed the same grant in this one.
 * - What fails in the end. A transaction that was overtaken ends at once.
 * - Other keys. They only raise the floor.
 * - A server that goes on without having found out. Its next transaction was decided on the same row of
 *   its run, so one of the two fails; and if it comes back as another run, it is another server here. Where
 *   the database went back meanwhile, it takes what it sent for not done.
 * - What else an engine refuses. Galera lets nobody change all runs while others change theirs.
 * - A server's second run, for the upkeep. What is missing of it counts as what is missing of the first.
 */

/* Bounds. */
#ifndef SERVERS
#define SERVERS 2
#endif
#ifndef TOKENS
#define TOKENS  2
#endif
#ifndef LOSERS
#define LOSERS  SERVERS  /* how many of them lose answers */
#endif
#ifndef BACKS
#define BACKS   0
#endif
#ifndef SAYINGS
#define SAYINGS 4        /* how often somebody says that something is missing */
#endif
#ifndef UPKEEP
#define UPKEEP  1        /* whether servers do anything by themselves but recover */
#endif

/* Broken variants, to see that the model notices: -DBROKEN=FENCE_READ and so on. */
#define FENCE_READ      1  /* the fence is only read: a transaction does not change its run's row */
#define GIVE_UP_ALONE   2  /* giving a shape up does not change the rows of runs */
#define GIVE_UP_UNSEEN  3  /* nor what admissions change: a new run may escape it */
#define EPOCH_ALONE     4  /* beginning an epoch does not change the rows of runs */
#define EPOCH_UNSEEN    5  /* nor what admissions change: a new run may escape it, and another the next one */
#define NO_COMPARE      6  /* a row is written although it was written since */
#define BLIND_END       7  /* only a lease is ended so */
#define NO_UNIQUE       8  /* one key is inserted twice */
#define NO_FLOOR        9  /* a row is deleted and its token forgotten */
#define FLOOR_BLIND    10  /* the floor is set although it was set since */
#define LOST_IS_DONE   11  /* a lost answer is taken for success */
#define COUNT_ONLY     12  /* it is taken for success if anybody has changed the run's row since */
#define OLD_FACTS      13  /* it is taken for failure, and what was decided on old facts is tried again */
#define NO_NOTICE      14  /* nobody notices that the database went back */
#define OWN_ROW_ONLY   15  /* histories have no names, as in MariaDB: only who misses something itself notices */
#define NAME_ONLY      16  /* nobody looks at the row of its own run */
#define CROSSING       17  /* what was decided in one history is done in the other */
#define NO_RAISE       18  /* the floor is not raised */
#define NO_PUT_BACK    19  /* nothing is put back */
#define PUT_BACK_BLIND 20  /* it is put back over a later grant */
#define NO_GRACE       21  /* nobody waits for the others; as where one of them looks only after the grace */
#define NOTED_AT_ONCE  22  /* the history is noted before the grace: who sees it later has none */
#define SERVES         23  /* commands are done meanwhile */
#define UNSEEN         24  /* nobody heeds what others say */
#define SEEN_BEFORE    25  /* what was seen of a lease in the other history still counts */
#define NOTED_LATE     26  /* what was read some time ago is noted over what is known since (WITH=LATE_NEWS) */
#ifndef BROKEN
#define BROKEN 0
#endif

/* More that may happen: -DWITH=RECLAIM and so on. In all but LATE_NEWS the code breaks a promise. */
#define NOTHING_MORE    0
#define RECLAIM         1  /* an owner that does not hold it claims the key again, and the row, which is behind,
                            * is still in its name */
#define LAST_WITNESS    2  /* a server ends that has committed what the standby lacks */
#define LONG_LIST       3  /* what is to be put back takes longer than the others' grace */
#define LATE_NEWS       4  /* what was read of the row some time ago is noted as what it is now */
#define LOST_ANSWER     5  /* an answer is lost, and then what was done (LOSERS) */
#define TWICE           6  /* the database goes back twice (BACKS), the second time in a grace or soon after */
#ifndef WITH
#define WITH NOTHING_MORE
#endif

/* What would mend them, of which several may be: -DMENDED=KEPT+GRACE_ANEW. */
#define HISTORY_COUNTS  1  /* another history is as if somebody had said that something is missing */
#define WAITED_FOR      2  /* a grace lasts until nobody has anything to put back */
#define KEPT            8  /* what is put back is known as before */
#define GRACE_ANEW     16  /* each history has a grace, and what is missing in it is looked for anew */
#define NEVER_AGAIN    32  /* the count of setbacks never comes to a number that was seen before, and nobody takes
                            * its fall for the word of another */
#define NEW_GRANT      64  /* a claim of the owner renews nothing that is from before a setback */
#ifndef MENDED
#define MENDED 0
#endif
#define IS_MENDED(what) (MENDED & what)

/* The store's meta: the oldest maintained shape, and the token floor; the history that was noted, and how often
 * somebody has said that something is missing. */
byte oldest = 1, floor, noted, setbacks;
/* The row. Owner 0: it is free. Age: how many epochs have begun since then, as far as it matters. */
bool exists;
byte token, owner, age;
/* Whether the standby does not have it so, and whether it was written in this history. */
bool rowAhead, written;

/* The same on the standby, and how often it was promoted: the name of the history. */
byte oldest0 = 1, floor0, noted0, setbacks0, token0, owner0, age0;
bool exists0;
byte backs;

/* The shape that a server knows; 0 before it is admitted. */
byte shape[SERVERS] = 1;
/* Whether the standby does not have its run, or less than it knows that it has committed. */
bool newborn[SERVERS], ahead[SERVERS];
/* Whether the database does not. */
bool gone[SERVERS], behind[SERVERS];

/* The hold that a server knows, by its token, 0 for none; whether the standby has not got it; and whether the
 * database has lost it, so that what was seen of its lease is of the other history. */
byte known[SERVERS], knownOwner[SERVERS];
bool knownAhead[SERVERS], knownBefore[SERVERS];
/* The highest token that it has seen. */
byte highest[SERVERS];
/* What it has read of the row and not noted yet (WITH=LATE_NEWS). */
byte news[SERVERS], newsOwner[SERVERS];
/* The count of setbacks that it has seen. */
#define NONE_YET 255
byte seen[SERVERS];
/* Whether it answers nobody; the history in which that began; whether it is because something is missing; what
 * it has to say; and the hold that it has to put back. */
bool grace[SERVERS];
byte graceOf[SERVERS];
bool missing[SERVERS];
#define SETBACK   1
#define AGREEMENT 2
byte toSay[SERVERS];
byte back[SERVERS], backOwner[SERVERS];

/* The transaction that a server has decided on. */
#define IDLE    0
#define DECIDED 1
#define LOST    2  /* sent, and there was no answer */
byte phase[SERVERS];
/* What it does; NOTHING also once it was overtaken, or was done. */
#define NOTHING 0
#define GRANT   1
#define FLASH   2  /* a grant and its release at once */
#define RENEW   3
#define FREE    4
#define DELETE  5
#define COLLECT 6  /* deletes another key's row */
#define EPOCH   7
#define GIVE_UP 8
#define RECOVER 9  /* says something, puts something back, or both */
#define NOTE   10
#define ADMIT  11
byte kind[SERVERS];
/* For which owner, or with which shape; the token that it gives out or puts back, or the floor that it sets. */
byte who[SERVERS], number[SERVERS];
/* Whether there was no row; how many epochs it did not notice; which runs it did not see; what it says. */
bool inserts[SERVERS];
byte late[SERVERS], unseen[SERVERS], says[SERVERS];
/* Whether it was done, and whether it seems so by the row of the run. */
bool done[SERVERS], marked[SERVERS];

/* The token with which owner 1 or 2 believes that it holds the lock, 0 if it does not; whether the
 * database has lost that grant; and whether it was not told of it yet. */
byte holds[3];
bool lost[3], unheard[3];

/* The latest token that was given out, and how often something was said to be missing. No server sees these. */
byte latest, said;

/* What a transaction writes, and whether another one that writes the same comes too late. */
#define IN_ROW(s)   (kind[s] >= GRANT && kind[s] <= DELETE || kind[s] == RECOVER && number[s])
#define IN_FLOOR(s) (kind[s] == DELETE || kind[s] == COLLECT || kind[s] == RECOVER && says[s])
#define MEET_IN_ROW(first, second) (IN_ROW(first) && IN_ROW(second) && !inserts[second] && \
  BROKEN != NO_COMPARE && !(BROKEN == BLIND_END && kind[second] == FREE))
#define MEET_IN_META(first, second) ( \
  IN_FLOOR(first) && IN_FLOOR(second) && BROKEN != FLOOR_BLIND || \
  kind[first] == EPOCH && kind[second] == EPOCH || \
  kind[first] == GIVE_UP && kind[second] == ADMIT && BROKEN != GIVE_UP_UNSEEN)
#define CHANGES_RUN(first, other) (kind[other] != ADMIT && !(unseen[first] >> other & 1) && ( \
  kind[first] == GIVE_UP && BROKEN != GIVE_UP_ALONE || kind[first] == EPOCH && BROKEN != EPOCH_ALONE))
#define MEET_IN_RUN(first, second) (CHANGES_RUN(first, second) && BROKEN != FENCE_READ && \
  !(BROKEN == OLD_FACTS && phase[second] == LOST))
/* An insertion fails where there is a row in the end: one that came may have gone again. */
#define FAILS(s) (inserts[s] && exists && BROKEN != NO_UNIQUE)

/* Which admissions it may not see. */
#define MAY_MISS(s) \
  (kind[s] == GIVE_UP && BROKEN == GIVE_UP_UNSEEN || kind[s] == EPOCH && BROKEN == EPOCH_UNSEEN)

#define MAX(a, b) (a > b -> a : b)
#define MIN(a, b) (a < b -> a : b)
#define NEXT (MAX(token, floor) + 1)
#define NUMBER(what) (what <= FLASH -> NEXT : (what == RENEW -> token : \
  (what == DELETE -> MAX(token, floor) : (what == COLLECT -> floor + 1 : 0))))

inline decide(what, whose) {
  phase[me] = DECIDED; kind[me] = what; who[me] = whose; number[me] = NUMBER(what);
  inserts[me] = what <= FLASH && !exists
}

inline forget(s) {
  kind[s] = NOTHING; who[s] = 0; number[s] = 0; inserts[s] = false; late[s] = 0; unseen[s] = 0; says[s] = 0
}

inline end(s) { forget(s); phase[s] = IDLE; done[s] = false; marked[s] = false }

inline overtakeOthers() {
  for (other : 0 .. SERVERS - 1) {
    if
    :: other != me && phase[other] == LOST && CHANGES_RUN(me, other) && BROKEN == COUNT_ONLY ->
       marked[other] = true
    :: else
    fi;
    if
    :: other == me || kind[other] == NOTHING || done[other]
    :: else ->
       if
       :: MEET_IN_ROW(me, other) || MEET_IN_META(me, other) || MEET_IN_RUN(me, other) ->
          if
          :: phase[other] == LOST -> forget(other)
          :: else -> end(other)
          fi
       :: else ->
          late[other] = (kind[me] == EPOCH && kind[other] != ADMIT -> MIN(late[other] + 1, 2) : late[other]);
          unseen[other] = (kind[me] == ADMIT && MAY_MISS(other) -> unseen[other] | 1 << me : unseen[other])
       fi
    fi
  }
  other = 0
}

inline knowNothing(s) { known[s] = 0; knownOwner[s] = 0; knownAhead[s] = false; knownBefore[s] = false }

/* Of a grant that is known already nothing is known to be newer. */
inline know(tokenNow, ownerNow, isAhead) {
  knownBefore[me] = knownBefore[me] && known[me] == tokenNow;
  known[me] = tokenNow; knownOwner[me] = ownerNow; knownAhead[me] = isAhead && backs < BACKS;
  highest[me] = (backs < BACKS -> MAX(highest[me], tokenNow) : highest[me])
}

inline begin(s) {  /* Another server. */
  knowNothing(s); highest[s] = 0; news[s] = 0; newsOwner[s] = 0; seen[s] = (BACKS -> NONE_YET : 0);
  ahead[s] = false; gone[s] = false; grace[s] = false; graceOf[s] = 0; missing[s] = false
}

/* What the facts say of the past. */
#define IS_BEHIND(s) (behind[s] && BROKEN != NO_NOTICE && BROKEN != NAME_ONLY)
#define IS_OTHER (noted != backs && BROKEN != NO_NOTICE && BROKEN != OWN_ROW_ONLY)
#define SAID_ANEW(s) (seen[s] != setbacks && seen[s] != NONE_YET && BROKEN != UNSEEN)
#define IS_HISTORY_NEW(s) (IS_OTHER && (!grace[s] || IS_MENDED(GRACE_ANEW) && graceOf[s] != backs))
#define IS_NEWS(s) (seen[s] != setbacks && BROKEN != UNSEEN || IS_HISTORY_NEW(s) || \
  IS_BEHIND(s) && (!toSay[s] || !missing[s]))

inline look() {
  missing[me] = missing[me] && (graceOf[me] == backs || !IS_MENDED(GRACE_ANEW));
  toSay[me] = (IS_BEHIND(me) && !toSay[me] -> SETBACK : toSay[me]);
  if
  :: IS_BEHIND(me) && !missing[me] || SAID_ANEW(me) || IS_MENDED(HISTORY_COUNTS) && IS_HISTORY_NEW(me) ->
     toSay[me] = (IS_HISTORY_NEW(me) && !toSay[me] && IS_MENDED(HISTORY_COUNTS) -> SETBACK : toSay[me]);
     toSay[me] = (SAID_ANEW(me) && toSay[me] && (setbacks > seen[me] || !IS_MENDED(NEVER_AGAIN)) ->
       AGREEMENT : toSay[me]);
     grace[me] = true; graceOf[me] = backs; missing[me] = true;
     if
     :: known[me] > back[me] && BROKEN != NO_PUT_BACK -> back[me] = known[me]; backOwner[me] = knownOwner[me]
     :: else
     fi;
     if
     :: BROKEN == SEEN_BEFORE
     :: BROKEN != SEEN_BEFORE && IS_MENDED(KEPT) -> knownBefore[me] = false
     :: else -> knowNothing(me)
     fi
  :: else ->
     if
     :: IS_HISTORY_NEW(me) -> grace[me] = true; graceOf[me] = backs
     :: else
     fi
  fi;
  seen[me] = setbacks
}

/* What another server's grace is there for. */
#define HAS_SAID(s) (!IS_BEHIND(s) && !toSay[s] && (seen[s] == setbacks || seen[s] == NONE_YET || BROKEN == UNSEEN))
#define HAS_PUT_BACK(s) (!back[s] || WITH == LONG_LIST && !IS_MENDED(WAITED_FOR))
#define IS_READY(s) (HAS_SAID(s) && HAS_PUT_BACK(s))
#if SERVERS > 2
#define ALL_ARE_READY (IS_READY(0) && IS_READY(1) && IS_READY(2))
#else
#define ALL_ARE_READY (IS_READY(0) && IS_READY(1))
#endif
#define IS_GRACE_OVER(s) (graceOf[s] != backs || ALL_ARE_READY || BROKEN == NO_GRACE)
#define IS_MISSING(s) (back[s] > token || back[s] && BROKEN == PUT_BACK_BLIND && (back[s] != token || owner == 0))
/* The whole of what is to be put back does not go into the transaction that says so. */
#define PUTS_BACK(s) (IS_MISSING(s) && !(WITH == LONG_LIST && toSay[s]))

inline recover() {
  phase[me] = DECIDED; kind[me] = RECOVER; says[me] = toSay[me];
  if
  :: PUTS_BACK(me) -> number[me] = back[me]; who[me] = backOwner[me]; inserts[me] = !exists
  :: else
  fi
}

/* What a server knows once it knows that its transaction was done. */
inline acknowledged() {
#if BACKS
  ahead[me] = (kind[me] != ADMIT && backs < BACKS);
  if
  :: kind[me] == GRANT || kind[me] == RENEW -> know(number[me], who[me], rowAhead)
  :: kind[me] == FLASH || kind[me] == FREE || kind[me] == DELETE ->
     knowNothing(me);
     highest[me] = (kind[me] == FLASH && backs < BACKS -> MAX(highest[me], number[me]) : highest[me])
  :: kind[me] == RECOVER ->
     if
     :: says[me] && WITH == LONG_LIST
     :: else ->
        if
        :: IS_MENDED(KEPT) && back[me] -> know(back[me], backOwner[me], rowAhead)
        :: else
        fi;
        back[me] = 0; backOwner[me] = 0
     fi;
     if
     :: says[me] ->
        behind[me] = false; toSay[me] = 0; highest[me] = (backs < BACKS -> highest[me] : 0);
        seen[me] = (says[me] == SETBACK -> setbacks : seen[me])
     :: else
     fi
  :: kind[me] == NOTE -> grace[me] = false; graceOf[me] = 0; missing[me] = false
  :: else
  fi
#else
  skip
#endif
}

/* There may be an answer at once, or none: then nobody has been told. */
inline hold() {
  unheard[who[me]] = BACKS && phase[me] == LOST && (!holds[who[me]] || unheard[who[me]]);
  holds[who[me]] = number[me]; lost[who[me]] = false
}

inline answered() {
  latest = (kind[me] <= FLASH -> MAX(latest, number[me]) : latest);
  if
  :: kind[me] == GRANT || kind[me] == RENEW ->
     unheard[who[me]] = unheard[who[me]] && holds[who[me]] != number[me]
  :: else
  fi
}

inline stop(o) { holds[o] = 0; lost[o] = false; unheard[o] = false }

inline give() {
  assert(number[me] > latest);  // fence
  token = number[me]; exists = true
}

/* Nobody can put back what nobody knows. */
#define IS_UNKNOWN(o) (WITH == LAST_WITNESS && IS_MENDED(HISTORY_COUNTS) && lost[o])
/* Before the first command of a client, that is. */
#define MAY_BE_LOST (kind[me] > FREE)

inline commit() {
  assert(kind[me] == ADMIT || shape[me] >= oldest);  // stale-fenced
  overtakeOthers();
  rowAhead = (rowAhead || IN_ROW(me)) && backs < BACKS;
  written = (written || IN_ROW(me) && kind[me] != RECOVER) && backs > 0;
  if
  :: kind[me] == GRANT ->
     assert(!holds[3 - who[me]] || IS_UNKNOWN(3 - who[me]));  // mutex
     give(); owner = who[me]; age = 0; hold()
  :: kind[me] == FLASH -> give(); owner = 0; age = late[me]
  :: kind[me] == RENEW ->
     assert(!holds[3 - who[me]] || IS_UNKNOWN(3 - who[me]));  // mutex
     assert(number[me] >= latest);  // fence
     token = number[me]; owner = who[me]; age = 0; hold()
  :: kind[me] == FREE -> owner = 0; age = late[me]
  :: kind[me] == DELETE ->
     floor = (BROKEN == NO_FLOOR -> floor : number[me]);
     exists = false; token = 0; owner = 0; age = 0
  :: kind[me] == COLLECT -> floor = number[me]
  :: kind[me] == EPOCH -> age = (exists && owner == 0 -> MIN(age + 1, 2) : age)
  :: kind[me] == GIVE_UP -> oldest = 2
  :: kind[me] == RECOVER ->
     if
     :: number[me] ->
        exists = true; token = number[me]; owner = who[me]; age = 0;
        lost[owner] = lost[owner] && holds[owner] != token
     :: else
     fi;
     if
     :: says[me] == SETBACK ->
        said = said + IS_MENDED(NEVER_AGAIN) / NEVER_AGAIN;
        setbacks = (IS_MENDED(NEVER_AGAIN) -> said : setbacks + 1);
        floor = (BROKEN == NO_RAISE -> floor : MAX(floor, latest))
     :: says[me] == AGREEMENT -> floor = (BROKEN == NO_RAISE -> floor : MAX(floor, highest[me]))
     :: else
     fi
  :: kind[me] == NOTE -> noted = backs
  :: kind[me] == ADMIT -> shape[me] = who[me]; gone[me] = false; newborn[me] = (backs < BACKS)
  fi;
  if
  :: BACKS == 0 || phase[me] == DECIDED -> answered()
  :: else
  fi;
  assert(!holds[1] || owner == 1 || MAY_BE_LOST && lost[1] || IS_UNKNOWN(1));  // nothing acknowledged is lost
  assert(!holds[2] || owner == 2 || MAY_BE_LOST && lost[2] || IS_UNKNOWN(2))   // nothing acknowledged is lost
}

/* What the facts must say of the fence and the history: for what clients ask, and for the upkeep. */
#define LET_IN (phase[me] == IDLE && shape[me] >= oldest && !gone[me])
#define MAY_ACT (LET_IN && (!grace[me] && !IS_NEWS(me) || BROKEN == SERVES))
#define MAY_KEEP_UP (UPKEEP && LET_IN && !IS_BEHIND(me) && !IS_OTHER)
/* Whose row of before a setback it is, who claims it has a new grant. */
#define IS_GRANTED_AGAIN (IS_MENDED(NEW_GRANT) && WITH == RECLAIM && owner && token <= floor && setbacks)
#define MAY_GRANT (MAY_ACT && (owner == 0 || IS_GRANTED_AGAIN) && NEXT <= TOKENS)
/* The owner holds it, or was the last one that did. */
#define IS_LATEST (BACKS == 0 || holds[owner] == token || token >= latest || WITH == RECLAIM && !IS_GRANTED_AGAIN)
/* The owner stops before it asks for a release, and before anybody may take its lease for over, but for whom
 * what was seen before counts: then there may be a row by now that looks the same. */
#define COUNTS_FROM_BEFORE(s) (knownBefore[s] && known[s] == token && written)
#define MAY_END (!ahead[me] && !behind[me] && !toSay[me] && !back[me] || BACKS == 0 || WITH == LAST_WITNESS)

active [SERVERS] proctype server() {
  byte me = _pid, other, choice;
  do
  /* Clients' requests, and the ends of leases. */
  :: atomic {
       MAY_GRANT ->
       if :: owner != 2 -> choice = 1 :: owner != 1 -> choice = 2 fi;
       d_step { decide(GRANT, choice); choice = 0 }
     }
  :: d_step { MAY_GRANT && owner == 0 -> decide(FLASH, 0) }
  :: d_step { MAY_ACT && owner != 0 && IS_LATEST -> decide(RENEW, owner) }
  :: d_step { MAY_ACT && owner != 0 -> stop(owner); decide(FREE, 0) }
#if BACKS
  :: d_step { MAY_ACT && owner != 0 && COUNTS_FROM_BEFORE(me) -> decide(FREE, 0) }
#endif

  /* What a server does by itself. */
  :: d_step { MAY_KEEP_UP && exists && owner == 0 && age == 2 -> decide(DELETE, 0) }
  :: d_step { MAY_KEEP_UP && floor < TOKENS -> decide(COLLECT, 0) }
  :: d_step { MAY_KEEP_UP -> decide(EPOCH, 0) }
  :: d_step { MAY_KEEP_UP && shape[me] > oldest -> decide(GIVE_UP, 0) }

  /* Another server in its place. */
  :: atomic {
       phase[me] == IDLE && MAY_END ->
       if :: oldest == 1 -> choice = 1 :: UPKEEP -> choice = 2 fi;
       d_step {
         begin(me); behind[me] = false; toSay[me] = 0; back[me] = 0; backOwner[me] = 0;
         shape[me] = 0; decide(ADMIT, choice); choice = 0
       }
     }

#if BACKS
  /* The same one again, whose run the database does not have. */
  :: d_step { phase[me] == IDLE && gone[me] && shape[me] >= oldest -> decide(ADMIT, shape[me]) }

  /* It sees what others have written, and what has become of the past. */
  :: d_step {
       LET_IN && !grace[me] && !IS_NEWS(me) && owner != 0 && WITH != LATE_NEWS &&
       (known[me] != token || knownOwner[me] != owner) ->
       know(token, owner, rowAhead)
     }
#if WITH == LATE_NEWS
  :: d_step {
       LET_IN && !grace[me] && !IS_NEWS(me) && owner != 0 && !news[me] && known[me] != token ->
       news[me] = token; newsOwner[me] = owner
     }
  :: d_step {
       phase[me] == IDLE && news[me] ->
       if
       :: news[me] > known[me] || BROKEN == NOTED_LATE -> know(news[me], newsOwner[me], rowAhead)
       :: else
       fi;
       news[me] = 0; newsOwner[me] = 0
     }
#endif
  :: d_step { LET_IN && IS_NEWS(me) -> look() }
  :: d_step {
       LET_IN && grace[me] && !IS_NEWS(me) && !toSay[me] && back[me] && !IS_MISSING(me) ->
       back[me] = 0; backOwner[me] = 0
     }
  :: d_step {
       LET_IN && grace[me] && !IS_NEWS(me) && (toSay[me] || IS_MISSING(me)) &&
       !(toSay[me] == SETBACK && setbacks == SAYINGS) ->
       recover()
     }
  :: d_step { toSay[me] == SETBACK && setbacks == SAYINGS -> skip }  /* The end of this bound. */
  :: d_step {
       LET_IN && grace[me] && !IS_NEWS(me) && !toSay[me] && !back[me] && IS_GRACE_OVER(me) ->
       decide(NOTE, 0)
     }
  :: d_step { BROKEN == NOTED_AT_ONCE && LET_IN && grace[me] && noted != backs -> noted = backs }
#endif

  /* The commit, and its answer. */
  :: d_step { phase[me] == DECIDED && !FAILS(me) -> commit(); acknowledged(); end(me) }
  :: d_step { phase[me] == DECIDED && FAILS(me) -> end(me) }
  /* The answer is lost. What was sent is done now, or later, or never. */
  :: d_step { me < LOSERS && phase[me] == DECIDED && kind[me] != ADMIT -> phase[me] = LOST }
  :: d_step {
       phase[me] == LOST && kind[me] != NOTHING && !done[me] && !FAILS(me) ->
       commit(); done[me] = true; marked[me] = true;
       if
       :: BACKS == 0 -> forget(me)
       :: else
       fi
     }
  :: d_step { phase[me] == LOST && FAILS(me) && !done[me] -> forget(me) }
  /* The server finds out: what was not done can never be done after this. */
  :: d_step {
       phase[me] == LOST ->
       assert(done[me] || !marked[me] && BROKEN != LOST_IS_DONE);  // nothing acknowledged is lost
       if
       :: BROKEN == OLD_FACTS && kind[me] != NOTHING -> phase[me] = DECIDED
       :: else ->
          if
          :: done[me] && BACKS > 0 -> answered(); acknowledged()
          :: else
          fi;
          end(me)
       fi
     }
  od
}

active proctype owners() {
  do
  :: d_step { holds[1] -> stop(1) }
  :: d_step { holds[2] -> stop(2) }
  od
}

#if BACKS
active proctype standby() {
  byte other;
  do
  /* It has caught up. */
  :: d_step {
       backs < BACKS ->
       oldest0 = oldest; floor0 = floor; noted0 = noted; setbacks0 = setbacks;
       exists0 = exists; token0 = token; owner0 = owner; age0 = age; rowAhead = false;
       for (other : 0 .. SERVERS - 1) {
         newborn[other] = false; ahead[other] = false; knownAhead[other] = false
       }
       other = 0
     }
  /* It is promoted. Where a server's run is not there, it has to be admitted again. */
  :: d_step {
       backs < BACKS -> backs++;
       oldest = oldest0; floor = floor0; noted = noted0; setbacks = setbacks0;
       exists = exists0; token = token0; owner = owner0; age = age0; rowAhead = false; written = false;
       if
       :: backs == BACKS ->  /* It was the last time: nobody asks for this any more. */
          oldest0 = 0; floor0 = 0; noted0 = 0; setbacks0 = 0; exists0 = false; token0 = 0; owner0 = 0; age0 = 0
       :: else
       fi;
       holds[1] = (unheard[1] -> 0 : holds[1]); unheard[1] = false;
       holds[2] = (unheard[2] -> 0 : holds[2]); unheard[2] = false;
       lost[1] = (holds[1] && !(owner == 1 && token == holds[1]));
       lost[2] = (holds[2] && !(owner == 2 && token == holds[2]));
       for (other : 0 .. SERVERS - 1) {
         if
         :: BROKEN == CROSSING && kind[other] != ADMIT
         :: else -> end(other)
         fi;
         behind[other] = behind[other] || ahead[other] || newborn[other] && shape[other];
         gone[other] = newborn[other]; newborn[other] = false; ahead[other] = false;
         knownBefore[other] = knownBefore[other] || knownAhead[other]; knownAhead[other] = false
       }
       other = 0
     }
  od
}
#endif
