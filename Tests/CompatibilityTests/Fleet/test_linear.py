#!/usr/bin/env python3
"""Shows that the search for an order finds one where there is one, and none where there is none: small
histories, changed ones, and long ones that a clerk makes who keeps one lock, well or badly.

    test_linear.py
"""
import dataclasses
import heapq
import itertools
import random
import sys
import time
import unittest

sys.dont_write_bytecode = True

import test_history
from history import OK, REFUSED, UNANSWERED, UNAVAILABLE
from linear import check
from test_history import claim, read, release, renew

NOT_ABOUT_ORDER = {"durable", "shared-store", "any-pair"}
# What its own lease tells of, not the order.
OTHERWISE = {"a shorter lease is granted"}

SOUND = [
    ("an unanswered claim is done when the lease before it is over",
     [claim("a", 0, 1, lease=2), claim("b", 1, 1.5, outcome=UNANSWERED), read("b", 4, 5)]),
    ("an unavailable claim holds, and whoever asks is told so",
     [claim("a", 0, 1, outcome=UNAVAILABLE), claim("b", 2, 3, outcome=REFUSED, word="held-by-another")]),
    ("a grant that could not be delivered is taken back",
     [claim("a", 0, 1, outcome=UNANSWERED), read("a", 2, 3), read(None, 3, 4), claim("b", 5, 6)]),
    ("an unanswered renewal for less has shortened the lease",
     [claim("a", 0, 1), renew("a", 2, 3, lease=1, outcome=UNANSWERED), claim("b", 4, 5)]),
    ("one unanswered release, and another claim of the same owner",
     [claim("a", 0, 1, token=1, revision=1), release("a", 2, 3, outcome=UNANSWERED),
      claim("a", 4, 5, token=2, revision=3, is_new_grant=True)]),
    ("two on their way, of which the second is done first",
     [claim("a", 0, 9, token=2, revision=3), claim("b", 1, 8, token=1, revision=1), release("b", 2, 7)]),
    ("one that names the grant before",
     [claim("a", 0, 1, lease=1, token=1, revision=1), claim("b", 3, 4, token=2, revision=3),
      release("a", 5, 6, named=1, outcome=REFUSED, word="not-the-holder")]),
    ("one that names the grant before an unanswered one of the same owner",
     [claim("a", 0, 1, lease=1, token=1, revision=1), claim("a", 1, 2, outcome=UNANSWERED),
      release("a", 3, 4, named=1, outcome=REFUSED, word="not-the-holder")]),
    ("v1 renews, or is granted anew, and does not say which",
     [claim("a", 0, 1, lease=1, token=1, revision=1), renew("a", 2, 3, call="Lock"),
      read("a", 4, 5, token=2, revision=3)]),
    ("a refusal that says nothing of the key",
     [claim("a", 0, 1, outcome=REFUSED, word="too-many-waiters"), read(None, 2, 3)]),
]

BROKEN = [
    ("nobody holds it, and a claim is refused",
     [read(None, 0, 1), claim("b", 2, 3, outcome=REFUSED, word="held-by-another")]),
    ("each of two reads is possible, not one after the other",
     [claim("a", 0, 9), read("a", 1, 2), read(None, 3, 4)]),
    ("an unanswered claim is done twice",
     [claim("a", 0, 1, outcome=UNANSWERED), read("a", 2, 3, token=1, revision=1), read(None, 4, 5),
      read("a", 6, 7, token=2, revision=3)]),
    ("a claim is done before it was sent", [read("a", 0, 1), claim("a", 2, 3)]),
    ("the latest grant, by its token, is said to be over",
     [claim("a", 0, 1, token=1, revision=1),
      release("a", 2, 3, named=1, outcome=REFUSED, word="not-the-holder")]),
    ("a renewal names another grant than the one that it keeps",
     [claim("a", 0, 1, token=2, revision=1), renew("a", 2, 3, named=1, token=2, revision=2)]),
    ("the deadline is that of the renewal, which was sent later",
     [claim("a", 0, 1, lease=2), renew("a", 1.5, 1.6, lease=2), read(None, 2.5, 3.4)]),
    ("a release that was granted twice over",
     [claim("a", 0, 1), claim("b", 2, 3, outcome=REFUSED, word="held-by-another"), release("a", 4, 5),
      claim("b", 6, 7, outcome=REFUSED, word="held-by-another")]),
    ("a token that v1 hides still counts",
     [claim("a", 0, 1, token=5, revision=5), release("a", 2, 3), claim("b", 4, 5, wire=1), release("b", 6, 7),
      claim("c", 8, 9, token=6, revision=9)]),
]

# One after the other, with all kinds of answers; what each of the changes makes of it fits no order.
STORY = [
    claim("a", 0, 1, lease=5, token=3, revision=1, is_new_grant=True),
    claim("b", 1.1, 1.2, outcome=REFUSED, word="held-by-another"),
    read("a", 1.3, 1.4, token=3, revision=1),
    renew("a", 2, 3, lease=5, named=3, token=3, revision=2),
    read("a", 3.1, 3.2, token=3, revision=2),
    release("a", 4, 4.1, named=3),
    read(None, 4.2, 4.3),
    claim("c", 5, 6, lease=2, token=4, revision=4, is_new_grant=True),
    claim("d", 8, 9, lease=20, token=5, revision=6, is_new_grant=True),
    renew("c", 9.1, 9.2, named=4, outcome=REFUSED, word="not-the-holder"),
    renew("d", 9.3, 9.4, lease=20, call="Acquire", token=5, revision=7, is_new_grant=False),
    read("d", 9.5, 9.6, token=5, revision=7),
]
CHANGES = [
    (0, {"is_new_grant": False}), (0, {"outcome": REFUSED, "word": "held-by-another"}), (0, {"owner": "x"}),
    (0, {"token": 9}), (0, {"sent": 1.35, "done": 1.36}), (1, {"outcome": OK}),
    (2, {"found": None}), (2, {"found": {"owner": "b"}}), (2, {"token": 4}), (2, {"revision": 5}),
    (3, {"outcome": REFUSED, "word": "not-the-holder"}), (3, {"token": 4}), (3, {"revision": 1}),
    (3, {"named": 2}), (3, {"owner": "b"}), (4, {"revision": 1}), (4, {"found": None}),
    (5, {"outcome": REFUSED, "word": "not-the-holder"}), (5, {"owner": "b"}), (5, {"sent": 7, "done": 7.1}),
    (6, {"found": {"owner": "a"}, "token": 3, "revision": 2}), (7, {"token": 3}),
    (7, {"is_new_grant": False}), (7, {"lease": 9}), (8, {"token": 4}), (8, {"sent": 6.1, "done": 6.9}), (9, {"outcome": OK}),
    (10, {"is_new_grant": True}), (10, {"token": 6}), (11, {"found": {"owner": "c"}, "token": 4}),
]


class Clerk:
    """Keeps one lock, in a time of its own, and makes a history of what was asked and answered.

    `fault` is what it does wrong now and then: "early" ends leases early, "forgets" loses the latest change
    as an asynchronous standby does, "stale" reads what was, "twice" grants what is held, "reused" gives a
    token again."""

    def __init__(self, seed, seconds, clients, fault=None, lost=0.02):
        self.dice, self.seconds, self.fault, self.lost = random.Random(seed), seconds, fault, lost
        self.now, self.events, self.order, self.history = 0, [], itertools.count(), []
        self.holder, self.token, self.revision, self.expiry = None, 0, 0, None
        self.before, self.owners = [], {client: None for client in range(clients)}
        self.grants = itertools.count()
        for client in self.owners:
            self.at(self.dice.random(), self.turn, client)

    def at(self, time, *event):
        heapq.heappush(self.events, (time, next(self.order), *event))

    def run(self):
        while self.events:
            self.now, _, event, *arguments = heapq.heappop(self.events)
            event(*arguments)
        return self.history

    def is_faulty(self, fault):
        return self.fault == fault and self.dice.random() < 0.2

    def turn(self, client):
        dice, owner = self.dice, self.owners[client]
        changes = [claim] if owner is None else [renew, renew, release, claim]
        kind = dice.choice([read, read, dice.choice(changes)])
        if kind is claim and owner is None:
            owner = self.owners[client] = f"{client}#{next(self.grants)}"
        lease = dice.choice([0.5, 2])
        more = {} if kind in (read, release) else {"lease": lease, "call": "Acquire"}
        one = kind(owner if kind is not read else None, self.now, 0, **more)
        is_lost = dice.random() < self.lost
        one.outcome = dice.choice([UNANSWERED, UNAVAILABLE]) if is_lost else OK
        moment = self.awake(self.now + dice.expovariate(1 / 0.01))
        one.done = moment + dice.expovariate(1 / 0.01)
        if not is_lost or dice.random() < 0.5:
            self.at(moment + (dice.uniform(0, 3) if is_lost else 0), self.do, one, is_lost)
        self.history.append(one)
        if is_lost or kind is release:
            self.owners[client] = None
        if one.done < self.seconds:
            self.at(one.done + dice.expovariate(1 / 0.05), self.turn, client)

    def awake(self, moment):
        """Every ten seconds the clerk nods off for two, and does what has come by then in any order."""
        return moment if moment % 10 < 8 else moment - moment % 10 + 10 + self.dice.random() / 1000

    def remember(self):
        self.before = [self.holder, self.token, self.revision]

    def do(self, one, is_lost):
        answer = {"release": self.release, "read": self.read}.get(one.role, self.hold)(one)
        if not is_lost:
            for name, value in answer.items():
                setattr(one, name, value)
            # As v1 has it.
            if self.dice.random() < 0.2:
                one.token = one.revision = one.is_new_grant = None
        if self.is_faulty("forgets") and self.before:
            self.holder, self.token, self.revision = self.before

    def hold(self, one):
        if self.holder not in (None, one.owner) and not self.is_faulty("twice"):
            return {"outcome": REFUSED, "word": "held-by-another"}
        self.remember()
        is_new = self.holder != one.owner
        self.token += is_new and not self.is_faulty("reused")
        self.holder, self.revision = one.owner, self.revision + 1
        ends = one.lease * 0.5 if self.is_faulty("early") else one.lease + self.dice.uniform(0, 0.1)
        self.at(self.now + ends, self.expire, self.revision)
        return {"token": self.token, "revision": self.revision, "is_new_grant": is_new}

    def expire(self, revision):
        if self.revision == revision and self.holder:
            self.holder, self.revision = None, revision + 1

    def release(self, one):
        if self.holder not in (None, one.owner):
            return {"outcome": REFUSED, "word": "not-the-holder"}
        if self.holder:
            self.remember()
            self.expire(self.revision)
        return {}

    def read(self, one):
        is_stale = self.is_faulty("stale") and self.before
        holder, token, revision = self.before if is_stale else [self.holder, self.token, self.revision]
        shown = {"found": {"owner": holder}, "token": token, "revision": revision}
        return shown if holder else {"found": None}


class LinearTests(unittest.TestCase):
    def verdict(self, operations):
        violations, undecided, _ = check([dataclasses.replace(one) for one in operations])
        self.assertEqual([], undecided)
        return [violation.why for violation in violations]

    def test_sound_histories_have_an_order(self):
        for what, operations in SOUND + test_history.SOUND + [("a story", STORY)]:
            with self.subTest(what):
                self.assertEqual([], self.verdict(operations))

    def test_broken_histories_have_none(self):
        also = [(what, operations) for promise, what, operations in test_history.BROKEN
                if promise not in NOT_ABOUT_ORDER and what not in OTHERWISE]
        for what, operations in BROKEN + also:
            with self.subTest(what):
                self.assertNotEqual([], self.verdict(operations))

    def test_a_story_with_any_change_has_none(self):
        for at, change in CHANGES:
            with self.subTest(f"{at}: {change}"):
                changed = list(STORY)
                changed[at] = dataclasses.replace(STORY[at], **change)
                self.assertNotEqual([], self.verdict(changed))

    def test_a_good_clerk_is_believed(self):
        for seed in range(20):
            with self.subTest(seed=seed):
                self.assertEqual([], self.verdict(Clerk(seed, 30, clients=8).run()))

    def test_a_bad_clerk_is_found_out(self):
        for fault, seed in itertools.product(("early", "forgets", "stale", "twice", "reused"), range(6)):
            with self.subTest(fault, seed=seed):
                self.assertNotEqual([], self.verdict(Clerk(seed, 60, clients=5, fault=fault).run()))

    def test_of_many_unanswered_claims_only_the_number_counts(self):
        claims = [claim(f"c{at}", at, at + 0.1, lease=1, outcome=UNAVAILABLE) for at in range(40)]
        also = []
        for at in range(40, 118, 2):
            also.append(release(f"c{at // 2 - 20}", at, at + 0.1, outcome=REFUSED, word="lock-collision"))
            also.append(claim(f"d{at}", at + 1, at + 1.1, outcome=REFUSED, word="lock-collision"))
        self.assertEqual([], self.verdict(claims + also))

    def test_each_unanswered_claim_explains_one_refusal(self):
        claims = [claim(f"c{at}", at, at + 0.1, lease=1, outcome=UNAVAILABLE) for at in range(40)]
        for refusals, violations in ((40, 0), (41, 1)):
            with self.subTest(refusals=refusals):
                also = []
                for at in range(50, 50 + 2 * refusals, 2):
                    also.append(claim(f"d{at}", at, at + 0.1, outcome=REFUSED, word="lock-collision"))
                    also.append(read(None, at + 1, at + 1.1))
                self.assertEqual(violations, len(self.verdict(claims + also)))

    def test_a_minute_of_40_keys_is_judged_in_time(self):
        operations = []
        for key in range(40):
            operations += [dataclasses.replace(one, key=f"k{key}") for one in Clerk(key, 60, clients=2).run()]
        begin = time.process_time()
        self.assertEqual([], self.verdict(operations))
        self.assertGreater(len(operations), 20_000)
        self.assertLess(time.process_time() - begin, 60)


if __name__ == "__main__":
    unittest.main()
