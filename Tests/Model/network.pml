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
 * What it leaves out, and why that is enough:
 * - Time, answers on their way, presences: as in store.pml. A lease is ended here only when its owner has
 *   stopped. A database that goes back in time: as in setback.pml.
 * - What is in the row. Shapes are for store.pml; here a shape is no more than the fence.
 * - Revisions, and counts in the rows of runs. Tokens rise, which is asserted, and so a token and revision
 *   never come back within one history: to compare them is to know whether somebody wrote since.
 * - What fails in the end. A transaction that was overtaken ends at once.
 * - Other keys. They only raise the floor.
 * - A server that goes on without having found out. Its next transaction was decided on the same row of
 *   its run, so one of the two fails; and if it comes back as another run, it is another server here.
 * - What else an engine refuses. Galera lets nobody change all runs while others change theirs.
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
#ifndef BROKEN
#define BROKEN 0
#endif

/* The store's meta: the oldest maintained shape, and the token floor. */
byte oldest = 1, floor;
/* The row. Owner 0: it is free. Age: how many epochs have begun since then, as far as it matters. */
bool exists;
byte token, owner, age;

/* The shape that a server knows; 0 before it is admitted. */
byte shape[SERVERS] = 1;

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
#define ADMIT   9
byte kind[SERVERS];
/* For which owner, or with which shape; the token that it gives out, or the floor that it sets. */
byte who[SERVERS], number[SERVERS];
/* Whether there was no row; how many epochs it did not notice; which runs it did not see. */
bool inserts[SERVERS];
byte late[SERVERS], unseen[SERVERS];
/* Whether it was done, and whether it seems so by the row of the run. */
bool done[SERVERS], marked[SERVERS];

/* The token with which owner 1 or 2 believes that it holds the lock, 0 if it does not. */
byte holds[3];

/* The latest token that was given out. No server sees this. */
byte latest;

/* What a transaction writes, and whether another one that writes the same comes too late. */
#define IN_ROW(s)   (kind[s] >= GRANT && kind[s] <= DELETE)
#define IN_FLOOR(s) (kind[s] == DELETE || kind[s] == COLLECT)
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
  kind[s] = NOTHING; who[s] = 0; number[s] = 0; inserts[s] = false; late[s] = 0; unseen[s] = 0
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
    :: other == me || kind[other] == NOTHING
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

inline give() {
  assert(number[me] > latest);  // fence
  latest = number[me]; token = number[me]; exists = true
}

inline commit() {
  assert(kind[me] == ADMIT || shape[me] >= oldest);  // stale-fenced
  overtakeOthers();
  if
  :: kind[me] == GRANT ->
     assert(!holds[3 - who[me]]);  // mutex
     give(); owner = who[me]; age = 0; holds[owner] = token
  :: kind[me] == FLASH -> give(); owner = 0; age = late[me]
  :: kind[me] == RENEW ->
     assert(!holds[3 - who[me]]);  // mutex
     assert(number[me] == latest);  // fence
     token = number[me]; owner = who[me]; age = 0; holds[owner] = token
  :: kind[me] == FREE -> owner = 0; age = late[me]
  :: kind[me] == DELETE ->
     floor = (BROKEN == NO_FLOOR -> floor : number[me]);
     exists = false; token = 0; owner = 0; age = 0
  :: kind[me] == COLLECT -> floor = number[me]
  :: kind[me] == EPOCH -> age = (exists && owner == 0 -> MIN(age + 1, 2) : age)
  :: kind[me] == GIVE_UP -> oldest = 2
  :: kind[me] == ADMIT -> shape[me] = who[me]
  fi;
  assert(!holds[1] || owner == 1);  // nothing acknowledged is lost
  assert(!holds[2] || owner == 2)   // nothing acknowledged is lost
}

/* What the facts must say of the fence. */
#define MAY_ACT (phase[me] == IDLE && shape[me] >= oldest)
#define MAY_GRANT (MAY_ACT && owner == 0 && NEXT <= TOKENS)

active [SERVERS] proctype server() {
  byte me = _pid, other, choice;
  do
  /* Clients' requests, and the ends of leases. */
  :: atomic {
       MAY_GRANT ->
       if :: choice = 1 :: choice = 2 fi;
       d_step { decide(GRANT, choice); choice = 0 }
     }
  :: d_step { MAY_GRANT -> decide(FLASH, 0) }
  :: d_step { MAY_ACT && owner != 0 -> decide(RENEW, owner) }
  /* The owner stops before it asks for a release, and before anybody may take its lease for over. */
  :: d_step { MAY_ACT && owner != 0 -> holds[owner] = 0; decide(FREE, 0) }

  /* What a server does by itself. */
  :: d_step { MAY_ACT && exists && owner == 0 && age == 2 -> decide(DELETE, 0) }
  :: d_step { MAY_ACT && floor < TOKENS -> decide(COLLECT, 0) }
  :: d_step { MAY_ACT -> decide(EPOCH, 0) }
  :: d_step { MAY_ACT && shape[me] > oldest -> decide(GIVE_UP, 0) }

  /* Another server in its place. */
  :: atomic {
       phase[me] == IDLE ->
       if :: oldest == 1 -> choice = 1 :: choice = 2 fi;
       d_step { shape[me] = 0; decide(ADMIT, choice); choice = 0 }
     }

  /* The commit, and its answer. */
  :: d_step { phase[me] == DECIDED && !FAILS(me) -> commit(); end(me) }
  :: d_step { phase[me] == DECIDED && FAILS(me) -> end(me) }
  /* The answer is lost. What was sent is done now, or later, or never. */
  :: d_step { me < LOSERS && phase[me] == DECIDED && kind[me] != ADMIT -> phase[me] = LOST }
  :: d_step {
       phase[me] == LOST && kind[me] != NOTHING && !FAILS(me) ->
       commit(); forget(me); done[me] = true; marked[me] = true
     }
  :: d_step { phase[me] == LOST && FAILS(me) -> forget(me) }
  /* The server finds out: what was not done can never be done after this. */
  :: d_step {
       phase[me] == LOST ->
       assert(done[me] || !marked[me] && BROKEN != LOST_IS_DONE);  // nothing acknowledged is lost
       if
       :: BROKEN == OLD_FACTS && kind[me] != NOTHING -> phase[me] = DECIDED
       :: else -> end(me)
       fi
     }
  od
}

active proctype owners() {
  do
  :: d_step { holds[1] -> holds[1] = 0 }
  :: d_step { holds[2] -> holds[2] = 0 }
  od
}
