/*
 * One row of the store, shared by servers of three versions, in every order of events.
 *
 *     .ci/check-model       checks that the rules hold and that each broken variant of them is caught
 *
 * By hand, with a copy in a folder of its own; here for the shortest way to the error of a broken variant:
 *
 *     spin -a -DVERSIONS=2 -DBROKEN=NO_FLOOR store.pml
 *     gcc -O2 -DSAFETY -DBFS -o pan pan.c && ./pan && spin -t -p -g -DVERSIONS=2 -DBROKEN=NO_FLOOR store.pml
 *
 * What it models: Protocol/README.md, sections 9 and 10. Servers of version 1 know shape s1, those of
 * version 2 s1 and s2, those of version 3 s1 to s3. A transaction is one step; the engine must see to
 * that. Between two of them anything may happen: a server sleeps for as long as it likes, or is replaced
 * by one of any version that the store still lets in (upgrade, rollback, restart). s2 keeps the value in
 * a finer form, which s1 shows rounded, and knows an extra that s1 cannot express; s3 carries all of s2
 * and has an extra of its own. Newer columns bear a stamp: the row's token and revision when they were
 * written.
 *
 * What it leaves out, and why that is enough:
 * - Time. An owner may stop believing that it holds the lock at any moment. A server may find that it has
 *   seen a token and revision for the whole lease only once the owner has stopped: that is what
 *   never-early and holder-first say together. Whether they hold is for the tests of leases.
 * - Answers on their way. An owner believes from the commit on, which is earlier than it could.
 * - Presences. They are a hint, which may be missing while its server sleeps. So a shape may be given up
 *   here at any moment, whoever lives: that includes everything that presences allow.
 * - More servers. Any may be replaced between two transactions, so one could play all versions in turn.
 *   There are more because a server remembers (`over`) and wakes up late.
 * - Other keys, needs_shape, damaged rows. A stamp of 0 stands for NULL: tokens and revisions begin at 1.
 */

/* Bounds. A row that was deleted and comes back counts its revisions anew. */
#ifndef VERSIONS
#define VERSIONS  3
#endif
#ifndef SERVERS
#define SERVERS   2
#endif
#ifndef TOKENS
#define TOKENS    2
#endif
#ifndef REVISIONS
#define REVISIONS 4
#endif

/* Broken variants, to see that the model notices: -DBROKEN=NO_FENCE and so on. */
#define NO_FENCE        1  /* a server does not look whether it still knows a maintained shape */
#define NO_FLOOR        2  /* a row is deleted and its token forgotten */
#define NO_CAS          3  /* a lease is ended although the row was written since */
#define NO_WRITE_OLD    4  /* newer servers do not write s1 */
#define NO_WRITE_MIDDLE 5  /* servers of version 3 do not write s2 */
#define NO_STAMP_TOKEN  6  /* the stamp's token is not compared: an earlier grant shows through */
#define NO_READING_RULE 7  /* its revision is not compared: newer columns stand, whoever wrote since */
#define COMPARE_ONLY    8  /* nor is it here: the older value always is, even one that was given up */
#define NO_MERGE_KEEP   9  /* after an older write the newer view starts from scratch */
#define CONTRACT_BLIND 10  /* shapes that are given up are not read even where no newer one was written */
#ifndef BROKEN
#define BROKEN 0
#endif

/* The store's meta: the oldest maintained shape, and the token floor. */
byte oldest = 1, floor;
/* The row, as every version knows it. Revision 0: there is none. Owner 0: it is free. */
byte token, revision, owner;
/* The columns of each shape. carried3 says in s3 what extra2 says in s2. */
byte value1;
byte value2, extra2, token2, revision2;
byte value3, carried3, extra3, token3, revision3;

/* A server's version; and what it remembers: that it has seen the row's token and revision for the whole
 * lease. A write of the row takes that back, as the compare-and-set that ends the lease would fail. */
byte version[SERVERS] = 1;
bool over[SERVERS];

/* Whether owner 1 or 2 believes that it holds the lock. */
bool holds[3];

/* What was promised last. No server sees this. ackedFine is the value that a newer server wrote last. */
byte latestToken, acked, ackedFine, ackedExtra2, ackedExtra3;

/* What a read found. 0 again at the end of its step, so that it does not multiply the states. */
byte seen, seenExtra2, seenExtra3;
#define FORGET seen = 0; seenExtra2 = 0; seenExtra3 = 0

/* The lens of the value: 1 and 2 are 1 in s1, 3 is 2; 0 is none. */
#define PROJECT(new) ((new + 1) / 2)
#define CREATE(old)  (old -> 2 * old - 1 : 0)

/* The fence: every transaction begins with it. A server that fails it can do nothing any more. */
#define LET_IN(n) (n >= oldest || BROKEN == NO_FENCE)

/* The rule of reading. Newer columns stand where nobody older wrote since; what an older server wrote
 * within the same grant is merged in; those of an earlier grant say nothing. It does not ask which shapes
 * are maintained: a row that was not written since s1 was given up is still read through s1. */
#define SAME_GRANT(stamp) (stamp == token || BROKEN == NO_STAMP_TOKEN)
#define UNTOUCHED(stamp) \
  ((stamp == revision || BROKEN == NO_READING_RULE) && BROKEN != COMPARE_ONLY)
#define STANDS(shape, stampT, stampR) \
  (SAME_GRANT(stampT) && UNTOUCHED(stampR) || BROKEN == CONTRACT_BLIND && shape <= oldest)
#define MERGES(stampT) (SAME_GRANT(stampT) && BROKEN != NO_MERGE_KEEP)

inline read(n) {
  seen = CREATE(value1);
  if
  :: n >= 2 && STANDS(2, token2, revision2) -> seen = value2; seenExtra2 = extra2
  :: n >= 2 && !STANDS(2, token2, revision2) && MERGES(token2) ->
     seen = (PROJECT(value2) == PROJECT(seen) -> value2 : seen);
     seenExtra2 = extra2
  :: else
  fi;
  if
  :: n >= 3 && STANDS(3, token3, revision3) ->
     seen = value3; seenExtra2 = carried3; seenExtra3 = extra3
  :: n >= 3 && !STANDS(3, token3, revision3) && MERGES(token3) ->
     seenExtra3 = extra3  /* and the rest as s2 has it, which s3 expresses without loss */
  :: else
  fi
}

/* What a server of version n has read of a held row is what was promised. Where an older server changed
 * the value and changed it back, the finer one of before shows again, unless somebody newer wrote or
 * backfilled in between. Nobody can tell the two cases apart later, so either is right. */
inline check(n) {
  if
  :: owner != 0 ->
     assert(PROJECT(seen) == PROJECT(acked));              // no update is lost
     assert(n < 2 || seen == acked || seen == ackedFine);  // nothing newer-only is lost
     assert(n < 2 || seenExtra2 >= ackedExtra2);           // nothing newer-only is lost
     assert(n < 3 || seenExtra3 >= ackedExtra3);           // nothing newer-only is lost
     assert(n < 2 || seenExtra2 <= ackedExtra2);           // nothing leaks
     assert(n < 3 || seenExtra3 <= ackedExtra3)            // nothing leaks
  :: else
  fi
}

/* Writes each maintained shape that version n knows, and clears those that were given up. The oldest
 * maintained one is always written here, so nobody who is let in needs what is cleared. */
inline writeShapes(n, value, moreOf2, moreOf3) {
  assert(n >= oldest);  // stale-fenced
  if
  :: n == 1 || oldest == 1 && BROKEN != NO_WRITE_OLD -> value1 = PROJECT(value)
  :: n > 1 && oldest > 1 -> value1 = 0
  :: else
  fi;
  if
  :: oldest <= 2 && (n == 2 || n == 3 && BROKEN != NO_WRITE_MIDDLE) ->
     value2 = value; extra2 = moreOf2; token2 = token; revision2 = revision
  :: n > 2 && oldest > 2 -> value2 = 0; extra2 = 0
  :: else
  fi;
  if
  :: n >= 3 -> value3 = value; carried3 = moreOf2; extra3 = moreOf3; token3 = token; revision3 = revision
  :: else
  fi
}

inline write(n, value, moreOf2, moreOf3) {
  if
  :: BROKEN != NO_CAS -> over[0] = false; over[1] = false; over[SERVERS - 1] = false
  :: else
  fi;
  revision++;
  writeShapes(n, value, moreOf2, moreOf3)
}

inline free(n) {
  owner = 0; acked = 0; ackedFine = 0; ackedExtra2 = 0; ackedExtra3 = 0;
  write(n, 0, 0, 0)
}

/* A claim: a grant where the row is free or missing, a renewal where it is the owner's already. */
inline claim(n, claimant, value, moreOf2, moreOf3) {
  if
  :: owner == 0 ->
     token = (token > floor -> token : floor) + 1; owner = claimant;
     assert(token > latestToken);  // fence
     latestToken = token;
     acked = value; ackedFine = value; ackedExtra2 = moreOf2; ackedExtra3 = moreOf3
  :: owner != 0 && n == 1 -> acked = (PROJECT(value) == PROJECT(acked) -> acked : value)
  :: owner != 0 && n > 1 ->
     acked = value; ackedFine = value; ackedExtra2 = moreOf2;
     ackedExtra3 = (n >= 3 -> moreOf3 : ackedExtra3)
  fi;
  assert(!holds[3 - claimant]);  // mutex
  holds[claimant] = true;
  write(n, value, moreOf2, moreOf3)
}

#define N version[me]
#define MAY_WRITE (LET_IN(N) && revision < REVISIONS)

active [SERVERS] proctype server() {
  byte me = _pid, who, value, more2, more3;
  do
  :: d_step { LET_IN(N) && revision > 0 -> read(N); check(N); FORGET }

  /* A client's claim. To keep an extra is to set it to what it was: a read shows just that. */
  :: atomic {
       MAY_WRITE && (owner != 0 || token < TOKENS && floor < TOKENS) ->
       if :: owner != 2 -> who = 1 :: owner != 1 -> who = 2 fi;
       if :: value = 1 :: value = 3 :: N >= 2 -> value = 2 fi;
       if :: more2 = 0 :: N >= 2 -> more2 = 1 fi;
       if :: more3 = 0 :: N >= 3 -> more3 = 1 fi;
       d_step { claim(N, who, value, more2, more3); who = 0; value = 0; more2 = 0; more3 = 0 }
     }

  /* A client's release: it has stopped before it asks. */
  :: d_step { MAY_WRITE && owner != 0 -> holds[owner] = false; free(N) }

  /* The end of a lease: first in the server's mind, then, perhaps much later, in the store. */
  :: d_step { owner != 0 && !holds[owner] && !over[me] -> over[me] = true }
  :: d_step { MAY_WRITE && owner != 0 && over[me] -> over[me] = false; free(N) }

  /* A free row is deleted. What newer shapes keep of it may be in tables of their own, so a server that
   * does not know them leaves it behind. */
  :: d_step {
       LET_IN(N) && revision > 0 && owner == 0 ->
       floor = (token > floor && BROKEN != NO_FLOOR -> token : floor);
       token = 0; revision = 0; value1 = 0;
       if :: N >= 2 -> value2 = 0; extra2 = 0; token2 = 0; revision2 = 0 :: else fi;
       if :: N >= 3 -> value3 = 0; carried3 = 0; extra3 = 0; token3 = 0; revision3 = 0 :: else fi
     }

  /* Backfill: the server's columns come to say what it reads. Token and revision stay, so it touches
   * nobody's lease, and the stamps of shapes that it does not know stay as they are. */
  :: d_step {
       LET_IN(N) && N >= 2 && revision > 0 ->
       read(N); writeShapes(N, seen, seenExtra2, seenExtra3); FORGET
     }

  /* The oldest shape is given up. */
  :: d_step { N > oldest -> oldest++ }

  /* Another server in its place. */
  :: atomic {
       if
       :: oldest == 1 -> version[me] = 1
       :: oldest <= 2 -> version[me] = 2
       :: VERSIONS >= 3 -> version[me] = 3
       fi;
       over[me] = false
     }
  od
}

active proctype owners() {
  do
  :: d_step { holds[1] -> holds[1] = false }
  :: d_step { holds[2] -> holds[2] = false }
  od
}
